use super::{Now, ReaperConfig};
use crate::{tree::Tree, types::Owner};
use std::collections::VecDeque;

/// Finds containers and TTL znodes that have had their time and lets them go at a bounded rate.
///
/// Upstream counterpart: `ContainerManager`.
#[derive(Debug)]
pub(super) struct Reaper {
    config: ReaperConfig,
    next_check_ms: i64,
    allowance_since_ms: i64,
    candidates: VecDeque<String>,
}

impl Reaper {
    pub(super) fn new(config: ReaperConfig, now: Now) -> Self {
        Self {
            config,
            next_check_ms: now.mono_ms + config.check_interval_ms,
            allowance_since_ms: now.mono_ms,
            candidates: VecDeque::new(),
        }
    }

    /// Paths whose removal may be proposed now. Whether they may still go is checked when that is prepared.
    pub(super) fn due(&mut self, now: Now, tree: &Tree) -> Vec<String> {
        if self.candidates.is_empty() {
            if now.mono_ms < self.next_check_ms {
                return Vec::new();
            }
            self.next_check_ms = now.mono_ms + self.config.check_interval_ms;
            self.allowance_since_ms = now.mono_ms - 1000;
            self.candidates = self.find(now, tree);
        }
        let elapsed_ms = (now.mono_ms - self.allowance_since_ms).clamp(0, 60_000);
        let allowed = elapsed_ms * self.config.per_minute_max.max(1) / 60_000;
        if allowed == 0 {
            return Vec::new();
        }
        self.allowance_since_ms = now.mono_ms;
        let n = usize::try_from(allowed).unwrap_or(usize::MAX).min(self.candidates.len());
        self.candidates.drain(..n).collect()
    }

    fn find(&self, now: Now, tree: &Tree) -> VecDeque<String> {
        let never_used_max_ms = self.config.never_used_max_ms;
        let containers = tree.containers().filter(|n| {
            let stat = n.stat_persisted();
            n.child_count() == 0
                && (stat.cversion > 0
                    || (never_used_max_ms > 0 && now.wall_ms - stat.mtime > never_used_max_ms))
        });
        let ttls = tree.ttls().filter(|n| {
            n.child_count() == 0
                && matches!(n.owner(), Owner::Ttl(ttl_ms) if now.wall_ms - n.stat_persisted().mtime > ttl_ms)
        });
        containers.chain(ttls).map(|n| n.path()).collect()
    }
}
