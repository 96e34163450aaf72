use super::{fatal, log::ToLog, snapshot::Snapshots};
use crate::{
    admin::metrics::{Counter, KeyedCounter, Shard, Summary},
    net::{CoreReport, Decider, Inbox, OncePerSecond, Shared, ToCore, TurnEnd},
    ops::QuotaNote,
    pipeline::{Deliveries, Input, Now, Pipeline, PipelineCounts},
    tree::{QuotaExcess, QuotaKind},
};
use std::sync::Arc;
use tracing::{error, warn};

/// Txns applied in one exclusive section of the tree: longer ones would make reads wait, shorter ones cost more.
const SECTION_TXNS_MAX: usize = 128;

/// The core: decides. It owns the pipeline, turns what workers send into log entries and applies what has been forced.
///
/// It has a thread of its own, which has it decide when there is much to do and when it is time for something. When
/// there is little, a worker or the log has it decide on the spot: at each moment one thread is at it, and what is in
/// the inbox is taken by whoever that is.
pub(super) struct Core {
    pipeline: Pipeline,
    log: Arc<Inbox<ToLog>>,
    snapshots: Arc<Snapshots>,
    tick_ms: i64,
    next_tick_ms: i64,
    stopping: bool,
    metrics: Arc<Shard>,
    seen: PipelineCounts,
    quota_lines: OncePerSecond,
    out: Deliveries,
    /// By worker: whether it has to be woken.
    woken: Vec<bool>,
    /// Kept to be used again.
    messages: Vec<ToCore>,
}

/// Runs the core's thread until the core has been told to stop and has nothing left to do.
pub(super) fn run(shared: &Arc<Shared>, log: &Inbox<ToLog>) {
    loop {
        let mut decider = shared.decider.lock();
        let end = decider.as_mut().map_or(TurnEnd::Over, |core| core.turn(shared));
        if end == TurnEnd::Over {
            *decider = None;
        }
        drop(decider);
        match end {
            TurnEnd::More => {}
            TurnEnd::Rest(until_ms) => shared.core.rest(shared.clock.instant(until_ms)),
            TurnEnd::Over => break,
        }
    }
    log.put(ToLog::Stop);
}

impl Decider for Core {
    fn turn(&mut self, shared: &Arc<Shared>) -> TurnEnd {
        shared.core.take(&mut self.messages);
        let now = shared.clock.now();
        let snapshot_due = self.take_in(shared, now);
        self.note_counts();
        self.note_quotas(now.mono_ms);
        if let Some(batch) = self.pipeline.take_log() {
            self.metrics.add(Counter::SyncProcessorRequestQueued, batch.ends.len() as u64);
            self.log.put(ToLog::Append(batch));
        }
        if self.pipeline.has_ready() {
            self.apply(shared);
        }
        if snapshot_due && !self.stopping {
            self.begin_snapshot(shared);
        }
        if self.pipeline.has_ready() {
            TurnEnd::More
        } else if self.stopping && self.pipeline.in_flight() == 0 {
            TurnEnd::Over
        } else {
            TurnEnd::Rest(self.next_tick_ms)
        }
    }
}

impl Core {
    pub fn new(
        shared: &Shared,
        pipeline: Pipeline,
        log: Arc<Inbox<ToLog>>,
        snapshots: Arc<Snapshots>,
        metrics: Arc<Shard>,
    ) -> Self {
        let tick_ms = i64::from(shared.config.session.tick_time_ms);
        Self {
            pipeline,
            log,
            snapshots,
            tick_ms,
            next_tick_ms: shared.clock.mono_ms() + tick_ms,
            stopping: false,
            metrics,
            seen: PipelineCounts::default(),
            quota_lines: OncePerSecond::default(),
            out: Deliveries::new(shared.workers.len()),
            woken: vec![false; shared.workers.len()],
            messages: Vec::new(),
        }
    }

    /// Has everything that has come checked; whether a snapshot is to be made.
    fn take_in(&mut self, shared: &Shared, now: Now) -> bool {
        let tick = now.mono_ms >= self.next_tick_ms;
        if !tick && self.messages.is_empty() {
            return false;
        }
        self.metrics.record(Summary::PrepProcessorQueueSize, self.messages.len() as u64);
        let mut snapshot_due = false;
        let mut messages = std::mem::take(&mut self.messages);
        let tree = shared.tree.read();
        for message in messages.drain(..) {
            match message {
                ToCore::Input(input) => self.pipeline.accept(now, &tree, input),
                ToCore::SnapshotDue => snapshot_due = true,
                ToCore::Report(to) => {
                    // Whoever asked may have gone.
                    let _ = to.send(self.report());
                }
                ToCore::Stop => self.stopping = true,
            }
        }
        self.messages = messages;
        if tick {
            self.pipeline.accept(now, &tree, Input::Tick);
            self.next_tick_ms = now.mono_ms + self.tick_ms;
        }
        snapshot_due
    }

    fn apply(&mut self, shared: &Shared) {
        let mut tree = shared.tree.write();
        let mut watches = shared.watches.lock();
        self.pipeline.apply(&mut tree, &mut watches, &mut self.out, SECTION_TXNS_MAX);
        drop(watches);
        // Inside the section: whoever sees the change afterwards finds what is told of it.
        for ((worker, port), woken) in self.out.workers.iter_mut().zip(&shared.workers).zip(&mut self.woken) {
            *woken = !worker.is_empty() && port.mailbox.put(worker);
        }
        drop(tree);
        for (port, woken) in shared.workers.iter().zip(&self.woken) {
            if *woken {
                port.mailbox.wake();
            }
        }
    }

    /// Hands on what the pipeline counts.
    fn note_counts(&mut self) {
        let (now, seen) = (self.pipeline.counts(), self.seen);
        if now.sessions_expired != seen.sessions_expired {
            self.metrics.add(Counter::StaleSessionsExpired, now.sessions_expired - seen.sessions_expired);
        }
        if now.throttled != seen.throttled {
            self.metrics.add(Counter::ThrottledOps, now.throttled - seen.throttled);
        }
        if now.digest_mismatches != seen.digest_mismatches {
            self.metrics.add(Counter::DigestMismatchesCount, now.digest_mismatches - seen.digest_mismatches);
            if seen.digest_mismatches == 0 {
                error!(
                    "the tree is not what it was expected to be after a transaction: its digest differs. This is a \
                     bug; the metric digest_mismatches_count counts further ones"
                );
            }
        }
        self.seen = now;
    }

    /// Tells the operator of quotas that were exceeded, once a second at most.
    fn note_quotas(&mut self, now_ms: i64) {
        for QuotaNote { excess, refused, .. } in self.pipeline.take_quota_notes() {
            if refused {
                let namespace = excess.path.trim_start_matches('/').split('/').next().unwrap_or_default();
                self.metrics.inc_keyed(KeyedCounter::QuotaExceededErrorPerNamespace, namespace);
            }
            if let Some(more) = self.quota_lines.pass(now_ms) {
                let what = match excess.kind {
                    QuotaKind::Count => "znodes",
                    QuotaKind::Bytes => "bytes",
                };
                let QuotaExcess { path, usage, limit, .. } = excess;
                warn!(refused, more, "quota of {path} exceeded: {usage} {what}, the limit is {limit}");
            }
        }
    }

    fn begin_snapshot(&self, shared: &Arc<Shared>) {
        if !self.snapshots.try_begin() {
            return;
        }
        let mut tree = shared.tree.write();
        let walk = match tree.begin_snapshot() {
            Ok(walk) => walk,
            Err(error) => fatal::stop(fatal::Exit::Unexpected, &format!("a snapshot cannot begin: {error}")),
        };
        let sessions = self.pipeline.global_sessions();
        drop(tree);
        self.snapshots.write(shared.clone(), walk, sessions);
    }

    fn report(&self) -> CoreReport {
        let sessions = self.pipeline.sessions();
        CoreReport {
            sessions: sessions.len(),
            deadlines: sessions.by_deadline().into_iter().collect(),
            counts: self.pipeline.counts(),
        }
    }
}
