use super::{fatal, log::ToLog, snapshot::Snapshots};
use crate::{
    admin::metrics::{Counter, KeyedCounter, Shard, Summary},
    net::{CoreReport, Inbox, OncePerSecond, Shared, ToCore},
    ops::QuotaNote,
    pipeline::{Deliveries, Input, Pipeline, PipelineCounts},
    tree::{QuotaExcess, QuotaKind},
};
use std::sync::Arc;
use tracing::{error, warn};

/// Txns applied in one exclusive section of the tree: longer ones would make reads wait, shorter ones cost more.
const SECTION_TXNS_MAX: usize = 128;

/// The core: the one thread that decides. It owns the pipeline, turns what workers send into log entries and
/// applies what has been forced.
pub(super) struct Core {
    pub shared: Arc<Shared>,
    pub pipeline: Pipeline,
    pub log: Arc<Inbox<ToLog>>,
    pub snapshots: Arc<Snapshots>,
    pub tick_ms: i64,
    pub metrics: Arc<Shard>,
    pub seen: PipelineCounts,
    pub quota_lines: OncePerSecond,
}

impl Core {
    /// Runs until it has been told to stop and has nothing left to do.
    pub fn run(mut self) {
        let shared = self.shared.clone();
        let mut out = Deliveries::new(shared.workers.len());
        let mut woken = vec![false; shared.workers.len()];
        let mut messages = Vec::new();
        let mut next_tick_ms = shared.clock.mono_ms() + self.tick_ms;
        let mut stopping = false;
        while !(stopping && self.pipeline.in_flight() == 0 && !self.pipeline.has_ready()) {
            if self.pipeline.has_ready() {
                shared.core.take(&mut messages);
            } else {
                shared.core.wait(&mut messages, Some(shared.clock.instant(next_tick_ms)));
            }
            let now = shared.clock.now();
            let tick = now.mono_ms >= next_tick_ms;
            let mut snapshot_due = false;
            if tick || !messages.is_empty() {
                self.metrics.record(Summary::PrepProcessorQueueSize, messages.len() as u64);
                let tree = shared.tree.read();
                for message in messages.drain(..) {
                    match message {
                        ToCore::Input(input) => self.pipeline.accept(now, &tree, input),
                        ToCore::SnapshotDue => snapshot_due = true,
                        ToCore::Report(to) => {
                            // Whoever asked may have gone.
                            let _ = to.send(self.report());
                        }
                        ToCore::Stop => stopping = true,
                    }
                }
                if tick {
                    self.pipeline.accept(now, &tree, Input::Tick);
                    next_tick_ms = now.mono_ms + self.tick_ms;
                }
            }
            self.note_counts();
            self.note_quotas(now.mono_ms);
            if let Some(batch) = self.pipeline.take_log() {
                self.metrics.add(Counter::SyncProcessorRequestQueued, batch.ends.len() as u64);
                self.log.put(ToLog::Append(batch));
            }
            if self.pipeline.has_ready() {
                let mut tree = shared.tree.write();
                let mut watches = shared.watches.lock();
                self.pipeline.apply(&mut tree, &mut watches, &mut out, SECTION_TXNS_MAX);
                drop(watches);
                // Inside the section: whoever sees the change afterwards finds what is told of it.
                for ((worker, port), woken) in out.workers.iter_mut().zip(&shared.workers).zip(&mut woken) {
                    *woken = !worker.is_empty() && port.mailbox.put(worker);
                }
                drop(tree);
                for (port, woken) in shared.workers.iter().zip(&woken) {
                    if *woken {
                        port.mailbox.wake();
                    }
                }
            }
            if snapshot_due && !stopping {
                self.begin_snapshot();
            }
        }
        self.log.put(ToLog::Stop);
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

    fn begin_snapshot(&self) {
        if !self.snapshots.try_begin() {
            return;
        }
        let mut tree = self.shared.tree.write();
        let walk = match tree.begin_snapshot() {
            Ok(walk) => walk,
            Err(error) => fatal::stop(fatal::Exit::Unexpected, &format!("a snapshot cannot begin: {error}")),
        };
        let sessions = self.pipeline.global_sessions();
        drop(tree);
        self.snapshots.write(self.shared.clone(), walk, sessions);
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
