use super::{
    fatal,
    log::ToLog,
    membership::Reconfiguration,
    outgoing::Outgoing,
    parts::PartTimes,
    peers::{Peers, add_messages},
    snapshot::Snapshots,
};
use crate::{
    admin::metrics::{Counter, KeyedCounter, KeyedSummary, Shard, Summary},
    member::{Input as MemberInput, Member, MemberCounts, Output, Part, take_before_log},
    net::{CoreReport, Inbox, OncePerSecond, Shared, ToCore},
    ops::QuotaNote,
    peer::{Event, Poller},
    pipeline::{Deliveries, Now, PipelineCounts},
    storage::{Disk, StorageOptions},
    tree::{QuotaExcess, QuotaKind},
    types::first_component,
    watch::EventKind,
    zab::LinkId,
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::{error, warn};

/// Txns applied in one exclusive section of the tree: longer ones would make reads wait, shorter ones cost more.
const SECTION_TXNS_MAX: usize = 128;

/// Places of deleted znodes given back in one exclusive section.
const SECTION_PLACES_MAX: usize = 128;

/// How long a member that stops waits for what its quorum has not acknowledged yet.
const STOP_MS: i64 = 500;

/// The core: the one thread that decides. It owns the member, turns what workers and peers send into log entries and
/// messages, and applies what has been committed.
pub(super) struct Core {
    pub shared: Arc<Shared>,
    pub member: Member,
    /// The other members; none of a server that is alone.
    pub peers: Option<Peers>,
    /// Reads what learners and the leader send.
    pub poller: Option<Poller>,
    /// What it has read, on the way to the messages.
    pub events: Vec<Event>,
    pub reconfiguration: Reconfiguration,
    pub disk: Arc<dyn Disk>,
    pub storage: StorageOptions,
    pub log: Arc<Inbox<ToLog>>,
    pub snapshots: Arc<Snapshots>,
    pub tick_ms: i64,
    pub metrics: Arc<Shard>,
    pub seen: PipelineCounts,
    pub seen_of_member: MemberCounts,
    pub part_times: PartTimes,
    pub quota_lines: OncePerSecond,
    pub next_tick_ms: i64,
    pub outputs: Vec<Output>,
    pub outgoing: Outgoing,
    /// What the core tells the member itself, before anything from outside.
    pub own: VecDeque<MemberInput>,
    /// Learners that wait for the tree.
    pub trees_wanted: VecDeque<LinkId>,
    pub snapshot_due: bool,
}

impl Core {
    /// Runs until it has been told to stop and has nothing left to do.
    pub fn run(mut self) {
        let shared = self.shared.clone();
        let mut out = Deliveries::new(shared.workers.len());
        let mut woken = vec![false; shared.workers.len()];
        let mut messages = Vec::new();
        let now_ms = shared.clock.mono_ms();
        self.next_tick_ms = now_ms + self.tick_ms;
        // What it begins with, nobody says.
        self.part_times.begin(self.member.part(), now_ms, &self.metrics);
        let mut stopping_since = None;
        // Whether the tree has places to give back.
        let mut remains = false;
        loop {
            if let Some(since_ms) = stopping_since
                && (self.member.pipeline().in_flight() == 0 && !self.member.has_ready()
                    || self.peers.is_some() && shared.clock.mono_ms() >= since_ms + STOP_MS)
            {
                break;
            }
            self.wait(&mut messages, remains);
            let now = shared.clock.now();
            let tick = now.mono_ms >= self.wake_at_ms();
            if tick || !messages.is_empty() || !self.own.is_empty() {
                self.metrics.record(Summary::PrepProcessorQueueSize, messages.len() as u64);
                if self.take_in(now, &mut messages, tick) {
                    stopping_since = Some(now.mono_ms);
                }
            } else if self.peers.is_some() {
                self.member.settle(now, &shared.tree.read(), &mut self.outputs);
            }
            if let Some(peers) = &mut self.peers {
                peers.take_ports(now.mono_ms);
            }
            self.note_counts();
            self.note_quotas(now.mono_ms);
            self.hand_on(now);
            if self.member.has_ready() {
                if self.member.pipeline_mut().wants_plan() {
                    self.member.pipeline_mut().plan(&shared.tree.read());
                }
                let mut tree = shared.tree.write();
                let mut watches = shared.watches.lock();
                self.member.apply(&mut tree, &mut watches, &mut out, SECTION_TXNS_MAX);
                drop(watches);
                // Inside the section: whoever sees the change afterwards finds what is told of it.
                for ((worker, port), woken) in out.workers.iter_mut().zip(&shared.workers).zip(&mut woken) {
                    *woken = !worker.is_empty() && port.mailbox.put(worker);
                }
                remains = tree.can_reclaim();
                drop(tree);
                for (port, woken) in shared.workers.iter().zip(&woken) {
                    if *woken {
                        port.mailbox.wake();
                    }
                }
            }
            if remains {
                remains = shared.tree.write().reclaim(SECTION_PLACES_MAX);
            }
            // It would give back all the rest at once.
            if self.snapshot_due && stopping_since.is_none() && !remains {
                self.begin_snapshot();
            }
        }
        if let Some(peers) = self.peers.take() {
            peers.shutdown();
        }
        self.log.put(ToLog::Stop);
    }

    /// Takes what there is, and waits for it unless there is something else to do; `busy` says that there is.
    fn wait(&mut self, messages: &mut Vec<ToCore>, busy: bool) {
        let shared = &self.shared;
        let idle = !busy && !self.member.has_ready() && self.own.is_empty();
        let until = idle.then(|| shared.clock.instant(self.wake_at_ms()));
        let Some(poller) = &mut self.poller else {
            match until {
                Some(_) => shared.core.wait(messages, until),
                None => shared.core.take(messages),
            }
            return;
        };
        let mut events = std::mem::take(&mut self.events);
        poller.adopt(&mut events);
        shared.core.wait_by(messages, |nothing| {
            let until = until.filter(|_| nothing && events.is_empty());
            let time = until.map_or(Duration::ZERO, |u| u.saturating_duration_since(Instant::now()));
            poller.poll(Some(time), &mut events);
        });
        add_messages(&mut events, messages);
        self.events = events;
    }

    /// Deals with messages in their order. Whether the server is to stop.
    fn take_in(&mut self, now: Now, messages: &mut Vec<ToCore>, tick: bool) -> bool {
        let shared = self.shared.clone();
        let mut stop = false;
        let mut messages = messages.drain(..);
        loop {
            let mut arrived = None;
            let tree = shared.tree.read();
            while let Some(input) = self.own.pop_front() {
                self.member.accept(now, &tree, input, &mut self.outputs);
            }
            for message in messages.by_ref() {
                match message {
                    ToCore::Input(input) => {
                        self.member.accept(now, &tree, MemberInput::Pipeline(input), &mut self.outputs);
                    }
                    ToCore::Member(input) => self.member.accept(now, &tree, input, &mut self.outputs),
                    ToCore::Tree { attempt, zxid, tree, sessions } => {
                        arrived = Some((attempt, zxid, tree, sessions));
                        break;
                    }
                    ToCore::SnapshotDue => self.snapshot_due = true,
                    ToCore::SnapshotFree => {}
                    ToCore::ResetStats => self.reset_stats(),
                    ToCore::Report(to) => {
                        // Whoever asked may have gone.
                        let _ = to.send(self.report());
                    }
                    ToCore::Stop => stop = true,
                }
            }
            if let Some((attempt, zxid, new, sessions)) = arrived {
                drop(tree);
                self.hand_on(now);
                self.take_tree(attempt, zxid, *new, sessions);
                continue;
            }
            if tick {
                self.member.accept(now, &tree, MemberInput::Tick, &mut self.outputs);
                self.next_tick_ms = now.mono_ms + self.tick_ms;
            }
            self.member.settle(now, &tree, &mut self.outputs);
            return stop;
        }
    }

    fn wake_at_ms(&self) -> i64 {
        self.member.next_deadline_ms().unwrap_or(self.next_tick_ms)
    }

    /// Log entries to the log, outputs to the world.
    fn hand_on(&mut self, now: Now) {
        loop {
            for output in take_before_log(&mut self.outputs) {
                self.execute(output);
            }
            while let Some(batch) = self.member.take_log() {
                self.metrics.add(Counter::SyncProcessorRequestQueued, batch.ends.len() as u64);
                self.log.put(ToLog::Append(batch));
            }
            if self.outputs.is_empty() && !self.begin_tree(now) {
                break;
            }
            let mut outputs = std::mem::take(&mut self.outputs);
            for output in outputs.drain(..) {
                self.execute(output);
            }
            if self.outputs.is_empty() {
                // Its memory serves the next turn.
                self.outputs = outputs;
            }
        }
        if let Some(peers) = &self.peers {
            self.outgoing.flush(peers);
        }
    }

    /// Hands on what the pipeline and the member count.
    fn note_counts(&mut self) {
        let (now, seen) = (self.member.pipeline().counts(), self.seen);
        let (member, before) = (self.member.counts(), self.seen_of_member);
        for (counter, now, seen) in [
            (Counter::StaleSessionsExpired, now.sessions_expired, seen.sessions_expired),
            (Counter::ThrottledOps, now.throttled, seen.throttled),
            (Counter::DigestMismatchesCount, now.digest_mismatches, seen.digest_mismatches),
            (Counter::WatchBytes, now.notification_bytes, seen.notification_bytes),
            (Counter::ProposalCount, now.proposed, seen.proposed),
            (Counter::CommitCount, now.proposals_committed, seen.proposals_committed),
            (Counter::RevalidateCount, now.revalidations_asked, seen.revalidations_asked),
            (Counter::LearnerProposalReceivedCount, member.proposals_heard, before.proposals_heard),
            (Counter::LearnerCommitReceivedCount, member.commits_heard, before.commits_heard),
            (Counter::DiffCount, member.brought.by_txns, before.brought.by_txns),
            (Counter::SnapCount, member.brought.by_tree, before.brought.by_tree),
        ] {
            if now != seen {
                self.metrics.add(counter, now - seen);
            }
        }
        if now.digest_mismatches != seen.digest_mismatches && seen.digest_mismatches == 0 {
            error!(
                "the tree is not what it was expected to be after a transaction: its digest differs. This is a bug; \
                 the metric digest_mismatches_count counts further ones"
            );
        }
        (self.seen, self.seen_of_member) = (now, member);
    }

    /// Tells the operator of quotas that were exceeded, once a second at most.
    fn note_quotas(&mut self, now_ms: i64) {
        for QuotaNote { excess, refused, .. } in self.member.pipeline_mut().take_quota_notes() {
            if refused {
                let namespace = first_component(&excess.path).unwrap_or_default();
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

    fn begin_snapshot(&mut self) {
        // One that finds another under way, or comes soon after one, is left out: the next roll of the log asks again.
        self.snapshot_due = false;
        if !self.snapshots.try_begin_due() {
            return;
        }
        let mut tree = self.shared.tree.write();
        let walk = match tree.begin_snapshot() {
            Ok(walk) => walk,
            Err(error) => fatal::stop(fatal::Exit::Unexpected, &format!("a snapshot cannot begin: {error}")),
        };
        let sessions = self.member.pipeline().global_sessions();
        drop(tree);
        self.snapshots.write(self.shared.clone(), walk, sessions);
    }

    fn reset_stats(&mut self) {
        let pipeline = self.member.pipeline_mut();
        pipeline.forget_proposal_sizes();
        pipeline.bytes_read().take(|_, _| {});
        pipeline.bytes_written().take(|_, _| {});
        self.shared.watches.lock().take_fired();
    }

    fn report(&mut self) -> CoreReport {
        let pipeline = self.member.pipeline_mut();
        self.metrics.record_namespaces(KeyedSummary::ReadPerNamespace, pipeline.bytes_read());
        self.metrics.record_namespaces(KeyedSummary::WritePerNamespace, pipeline.bytes_written());
        for (kind, watches) in self.shared.watches.lock().take_fired() {
            let summary = match kind {
                EventKind::NodeCreated => Summary::NodeCreatedWatchCount,
                EventKind::NodeDeleted => Summary::NodeDeletedWatchCount,
                EventKind::NodeDataChanged => Summary::NodeChangedWatchCount,
                EventKind::NodeChildrenChanged => Summary::NodeChildrenWatchCount,
            };
            self.metrics.record_all(summary, watches);
        }
        let sessions = self.member.pipeline().sessions();
        let part = self.member.part();
        CoreReport {
            sessions: sessions.len() - sessions.local_len(),
            local_sessions: sessions.local_len(),
            deadlines: sessions.by_deadline().into_iter().collect(),
            local_deadlines: (self.member.pipeline().has_local_sessions())
                .then(|| sessions.local_by_deadline().into_iter().collect()),
            counts: self.member.pipeline().counts(),
            learned: (part.learns() || part == Part::ReadOnly)
                .then(|| self.member.pipeline().global_sessions()),
            learners: self.member.leader().map(super::ensemble::learner_counts),
            standing: self.member.standing(),
            proposal_sizes: self.member.pipeline().proposal_sizes().unwrap_or_default(),
        }
    }
}
