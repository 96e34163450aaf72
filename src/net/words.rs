//! Four-letter words: asking everybody for what they know and putting it together.

use super::{
    conn::Conn,
    shared::{CoreReport, Shared, ToCore},
    stats::WorkerStats,
    worker::{Command, ConnReport, WorkerReport},
};
use crate::{
    admin::{
        ConnectionView, ExpiryBucket, LatencyStats, LearnersView, Mode, QuotaView, ServerView, SessionsView,
        SettingsView, SizeStats, StandingView, WatchesSummary,
        words::{self, Effect, Part as ViewPart, Whitelist, gtmk::TraceMask},
    },
    member::Part,
    types::{ConnId, SessionId},
};
use hashbrown::HashMap;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;
use tracing::debug;

/// What only the surroundings of the network know.
pub trait Host: Send + Sync {
    /// Bytes of snapshots and of logs.
    fn dir_bytes(&self) -> (u64, u64);
    /// Open files now, and how many there may be.
    fn open_files(&self) -> (Option<u64>, Option<u64>);
    /// The lines of `envi` behind the version.
    fn environment(&self) -> Vec<(String, String)>;
    /// What `conf` shows; the directories are absolute.
    fn settings(&self) -> SettingsView;
}

/// Answers a word: what is to be sent before the connection is closed.
pub(super) async fn answer(
    shared: &Shared,
    conn: &Conn,
    word: words::Command,
    argument: Option<i64>,
) -> Vec<u8> {
    if !shared.whitelist.allows(word) {
        debug!(peer = %conn.peer, word = word.name(), "four-letter word refused: 4lw.commands.whitelist");
        return Whitelist::refusal(word).into();
    }
    debug!(peer = %conn.peer, word = word.name(), "four-letter word");
    let view = view(shared, word, conn.id).await;
    let Some(answer) = words::answer(word, &view, argument) else { return Vec::new() };
    match answer.effect {
        Effect::None => {}
        Effect::SetTraceMask(mask) => shared.trace_mask.store(mask, Ordering::Relaxed),
        Effect::ResetServer => {
            shared.metrics.reset();
            shared.core.put(ToCore::ResetStats);
            tell_workers(shared, || Command::Reset { connections: false, server: true });
        }
        Effect::ResetConnections => {
            tell_workers(shared, || Command::Reset { connections: true, server: false })
        }
    }
    answer.text.into()
}

fn tell_workers(shared: &Shared, command: impl Fn() -> Command) {
    for port in &shared.workers {
        // A worker that has ended has nothing to reset.
        let _ = port.commands.send(command());
    }
}

async fn ask_workers(shared: &Shared, connections: bool) -> Vec<WorkerReport> {
    let mut reports = Vec::new();
    for port in &shared.workers {
        let (to, from) = oneshot::channel();
        let _ = port.commands.send(Command::Report { connections, to });
        if let Ok(report) = from.await {
            reports.push(report);
        }
    }
    reports
}

async fn ask_core(shared: &Shared) -> CoreReport {
    let (to, from) = oneshot::channel();
    shared.core.put(ToCore::Report(to));
    from.await.unwrap_or_default()
}

async fn view(shared: &Shared, word: words::Command, asking: ConnId) -> ServerView {
    use words::Command as W;
    let part = *shared.part.lock();
    let mut view = ServerView {
        running: part.serves(),
        mode: match part {
            Part::Standalone | Part::Looking | Part::Joining { .. } | Part::LeadingOnly => Mode::Standalone,
            Part::ReadOnly => Mode::ReadOnly,
            Part::Leading => Mode::Leader,
            Part::Following { .. } => Mode::Follower,
            Part::Observing { .. } => Mode::Observer,
        },
        trace_mask: TraceMask(shared.trace_mask.load(Ordering::Relaxed)),
        ..ServerView::default()
    };
    if matches!(word, W::Ruok | W::Gtmk | W::Stmk | W::Isro | W::Crst | W::Srst | W::TelnetClose) {
        return view;
    }
    let parts = word.parts();
    let needs = |part| parts.contains(&part);
    let with_connections = [
        ViewPart::Connections,
        ViewPart::ConnectionExpiry,
        ViewPart::WatchesBySession,
        ViewPart::WatchesByPath,
    ]
    .into_iter()
    .any(needs);
    let workers = ask_workers(shared, with_connections).await;
    let core = ask_core(shared).await;
    let mut connections: Vec<ConnReport> = workers.iter().flat_map(|w| &w.connections).cloned().collect();
    connections.sort_by_key(|c| (c.since_ms, c.conn));

    let mut stats = WorkerStats::default();
    workers.iter().for_each(|w| stats.merge(&w.stats));
    let mut latency = stats.reads;
    latency.merge(&stats.updates);
    view.latency = LatencyStats {
        min_ms: if latency.count == 0 { 0 } else { latency.min_ms as u64 },
        avg_ms: latency.total_ms as f64 / latency.count.max(1) as f64,
        max_ms: latency.max_ms as u64,
    };
    let sizes = |seen: Option<(u32, u32, u32)>| match seen {
        Some((last, min, max)) => SizeStats { last: Some(last), min: Some(min), max: Some(max) },
        None => SizeStats::default(),
    };
    view.response_sizes = sizes(stats.sizes.seen);
    view.proposal_sizes = sizes(core.proposal_sizes.seen);
    view.packets_received = stats.received;
    view.packets_sent = stats.sent;
    view.connections_alive = u64::from(shared.door.total());
    view.outstanding_requests = shared.under_way.requests.load(Ordering::Relaxed).max(0) as u64;
    view.uptime_ms = shared.clock.mono_ms() as u64;
    view.global_sessions = core.sessions as u64;
    view.local_sessions = core.local_sessions as u64;
    view.learners = core.learners.map(|learners| LearnersView {
        connected: learners.all,
        synced_followers: learners.synced_followers,
        synced_non_voting: learners.synced_non_voting,
        synced_observers: learners.synced_observers,
        pending: learners.pending,
    });
    view.standing = core.standing.map(|standing| StandingView {
        voters: standing.voters as u64,
        leads_for_ms: standing
            .leads_since_ms
            .map(|since_ms| (shared.clock.mono_ms() - since_ms).max(0) as u64),
        master: standing.master.map(|server| server.0),
    });
    view.connection_drop_probability = shared.bucket.lock().drop_probability();
    view.auth_failures = shared.auth_failures.load(Ordering::Relaxed);
    view.settings = shared.host.settings();
    if let (Mode::ReadOnly, Some(ensemble)) = (view.mode, &mut view.settings.ensemble) {
        ensemble.membership = None;
    }
    (view.open_files, view.open_files_max) = shared.host.open_files();
    {
        let tree = shared.tree.read();
        view.last_zxid = tree.last_zxid();
        view.node_count = tree.node_count() as u64 + 1;
        view.ephemeral_count = tree.ephemerals_count() as u64;
        view.data_bytes = tree.data_size_bytes().max(0) as u64;
        if needs(ViewPart::Ephemerals) {
            view.ephemerals = tree.ephemeral_sessions().map(|s| (s, tree.ephemerals(s).collect())).collect();
        }
        if needs(ViewPart::Digests) {
            view.digests = tree.digest_log().map(|(zxid, digest)| (zxid, digest as u64)).collect();
        }
        if needs(ViewPart::Metrics) {
            let sums = tree.quota_sums().into_iter();
            view.quotas = sums.map(|(namespace, sums)| QuotaView { namespace, sums }).collect();
        }
        // The watches stand behind the tree in the order of locks.
        watches(shared, &mut view, parts, &connections);
    }
    if needs(ViewPart::Metrics) {
        view.metrics = shared.metrics.view();
    }
    if needs(ViewPart::Sizes) {
        (view.data_dir_bytes, view.log_dir_bytes) = shared.host.dir_bytes();
    }
    if needs(ViewPart::Environment) {
        view.environment = shared.host.environment();
    }
    if needs(ViewPart::Sessions) {
        let buckets = |deadlines: Vec<(i64, Vec<SessionId>)>| -> Vec<_> {
            let bucket =
                |(mono_ms, members)| ExpiryBucket { expires_ms: shared.clock.to_wall_ms(mono_ms), members };
            deadlines.into_iter().map(bucket).collect()
        };
        let local = core.local_deadlines.map(buckets);
        view.sessions = match core.learned {
            Some(sessions) => SessionsView::Learner {
                global: sessions.into_iter().map(|(id, ms)| (id, u32::try_from(ms).unwrap_or(0))).collect(),
                local,
            },
            None => SessionsView::Owner { global: buckets(core.deadlines), local },
        };
    }
    if needs(ViewPart::ConnectionExpiry) {
        view.connection_expiry = connection_expiry(shared, &connections);
    }
    if needs(ViewPart::Connections) {
        view.connections = connections.iter().map(|c| connection_view(c, asking)).collect();
    }
    view
}

fn watches(shared: &Shared, view: &mut ServerView, parts: &[ViewPart], connections: &[ConnReport]) {
    let needs = |part| parts.contains(&part);
    let sessions: HashMap<ConnId, SessionId> = connections.iter().map(|c| (c.conn, c.session)).collect();
    let session_of = |conn: ConnId| sessions.get(&conn).copied().unwrap_or(SessionId::NONE);
    let watches = shared.watches.lock();
    view.watch_count = (watches.data_watch_count() + watches.child_watch_count()) as u64;
    if needs(ViewPart::WatchesSummary) {
        let summary = watches.summary();
        view.watches_summary = WatchesSummary {
            connections: summary.connections as u64,
            paths: summary.paths as u64,
            total: summary.watches as u64,
        };
    }
    if needs(ViewPart::WatchesBySession) {
        view.watches_by_session = watches
            .by_conn()
            .map(|(conn, paths)| (session_of(conn), paths.into_iter().map(str::to_owned).collect()))
            .collect();
        view.watches_by_session.sort();
    }
    if needs(ViewPart::WatchesByPath) {
        view.watches_by_path = watches
            .by_path()
            .map(|(path, conns)| (path.to_owned(), conns.into_iter().map(session_of).collect()))
            .collect();
        view.watches_by_path.sort();
    }
}

/// When connections would be closed for silence. Here a silent connection is closed with its session, which is
/// what is shown; one without a session, by its own time limit.
fn connection_expiry(
    shared: &Shared,
    connections: &[ConnReport],
) -> Vec<ExpiryBucket<(std::net::SocketAddr, SessionId)>> {
    let tick_ms = i64::from(shared.config.session.tick_time_ms);
    let mut buckets = std::collections::BTreeMap::<i64, Vec<_>>::new();
    for c in connections {
        let heard_ms = if c.stats.last_response_ms > 0 {
            shared.clock.to_wall_ms(c.stats.last_response_ms)
        } else {
            c.since_ms
        };
        let timeout_ms = match c.session {
            SessionId::NONE => shared.settings.sessionless_timeout_ms,
            _ => i64::from(c.timeout_ms),
        };
        let expires_ms = ((heard_ms + timeout_ms) / tick_ms + 1) * tick_ms;
        buckets.entry(expires_ms).or_default().push((c.peer, c.session));
    }
    buckets.into_iter().map(|(expires_ms, members)| ExpiryBucket { expires_ms, members }).collect()
}

fn connection_view(c: &ConnReport, asking: ConnId) -> ConnectionView {
    let latency = c.stats.latency;
    let some = latency.count > 0;
    ConnectionView {
        remote: c.peer,
        interest_ops: match c.conn == asking {
            true => 0,
            false => u8::from(c.reading) + 4 * u8::from(c.writing),
        },
        queued: c.queued as u64,
        received: c.stats.received,
        sent: c.stats.sent,
        session: c.session,
        last_op: c.stats.last_op,
        established_ms: c.since_ms,
        timeout_ms: c.timeout_ms.max(0) as u32,
        last_cxid: c.stats.last_cxid,
        last_zxid: c.stats.last_zxid,
        last_response_ms: c.stats.last_response_ms.max(0) as u64,
        last_latency_ms: c.stats.last_latency_ms.max(0) as u64,
        min_latency_ms: if some { latency.min_ms as u64 } else { 0 },
        avg_latency_ms: if some { latency.total_ms as u64 / latency.count } else { 0 },
        max_latency_ms: latency.max_ms as u64,
    }
}
