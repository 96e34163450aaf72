//! Quotas: limits that clients write, usage that the server keeps beside them.
//!
//! ```text
//! /zookeeper/quota<path>/zookeeper_limits   count=N,bytes=M[=;byteHardLimit=X;countHardLimit=Y]
//! /zookeeper/quota<path>/zookeeper_stats    the usage, in the same text, rewritten in memory without a txn
//! ```
//!
//! The deepest path with limits that is the znode or above it counts; one on `/` is ignored. Usage is counted afresh
//! when the stats znode is created and when a snapshot is loaded.
//!
//! Upstream counterparts: `Quotas`, `StatsTrack`, `common.PathTrie`, `ZooKeeperServer.checkQuota`.

use super::{Tree, slab::ROOT};
use crate::types::QuotaSums;
use std::{collections::BTreeMap, collections::HashSet, fmt};

const TREE: &str = "/zookeeper/quota";
const LIMITS: &str = "/zookeeper_limits";
const STATS: &str = "/zookeeper_stats";

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum QuotaKind {
    Count,
    Bytes,
}

/// A limit and what would exceed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaExcess {
    /// The path that has the quota.
    pub path: String,
    /// What is limited.
    pub kind: QuotaKind,
    /// Usage with the change.
    pub usage: i64,
    /// The limit.
    pub limit: i64,
}

/// What the quota says to a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaVerdict {
    /// Nothing.
    Within,
    /// A soft limit would be exceeded: a warning, nothing more.
    Soft(QuotaExcess),
    /// A hard limit would be exceeded.
    Hard(QuotaExcess),
}

/// The paths that have limits.
#[derive(Default)]
pub(super) struct Quotas {
    paths: HashSet<Box<str>>,
}

impl Quotas {
    pub(super) fn deepest<'p>(&self, path: &'p str) -> Option<&'p str> {
        if self.paths.is_empty() {
            return None;
        }
        let mut prefix = path;
        while prefix.len() > 1 {
            if self.paths.contains(prefix) {
                return Some(prefix);
            }
            prefix = &prefix[..prefix.rfind('/')?];
        }
        None
    }
}

/// Whether a znode of this path may say something about quotas.
pub(super) fn is_about_quotas(path: &str) -> bool {
    path.starts_with(TREE)
}

/// The path that a znode of the quota tree is about, if it is one of that name.
fn target<'p>(path: &'p str, leaf: &str) -> Option<&'p str> {
    let target = path.strip_prefix(TREE)?.strip_suffix(leaf)?;
    (target.len() > 1 && target.starts_with('/')).then_some(target)
}

impl Tree {
    /// What the nearest quota says to a change of this path by so many bytes and znodes. It is judged by the applied
    /// state: changes on their way do not count.
    pub fn quota_check(&self, path: &str, bytes_diff: i64, count_diff: i64) -> QuotaVerdict {
        let Some(prefix) = self.quotas.deepest(path) else { return QuotaVerdict::Within };
        let Some(limits) = self.quota_text(prefix, LIMITS) else { return QuotaVerdict::Within };
        let Some(usage) = self.quota_text(prefix, STATS) else { return QuotaVerdict::Within };
        let mut verdict = QuotaVerdict::Within;
        let counted = [
            (QuotaKind::Count, count_diff, usage.count, limits.count, limits.other("countHardLimit")),
            (QuotaKind::Bytes, bytes_diff, usage.bytes, limits.bytes, limits.other("byteHardLimit")),
        ];
        for (kind, diff, usage, soft, hard) in counted {
            if diff == 0 {
                continue;
            }
            let is_hard = hard > -1;
            let limit = if is_hard { hard } else { soft };
            let usage = usage.saturating_add(diff);
            if limit > -1 && usage > limit {
                let excess = QuotaExcess { path: prefix.into(), kind, usage, limit };
                if is_hard {
                    return QuotaVerdict::Hard(excess);
                }
                if verdict == QuotaVerdict::Within {
                    verdict = QuotaVerdict::Soft(excess);
                }
            }
        }
        verdict
    }

    /// Paths that have limits, in no particular order.
    pub fn quota_paths(&self) -> impl Iterator<Item = &str> {
        self.quotas.paths.iter().map(AsRef::as_ref)
    }

    /// Limits and usage by the first component of the path that they are about.
    pub fn quota_sums(&self) -> BTreeMap<String, QuotaSums> {
        let mut sums = BTreeMap::<String, QuotaSums>::new();
        let Some(top) = self.find(TREE) else { return sums };
        let mut at = top;
        while let Some(id) = self.next_below(top, at) {
            at = id;
            let node = self.node(id);
            let is_limit = match node.name() {
                _ if node.child_count() > 0 => continue,
                name if name == &LIMITS[1..] => true,
                name if name == &STATS[1..] => false,
                _ => continue,
            };
            let Some(data) = node.data() else { continue };
            let track = Track::parse(data);
            let path = node.path();
            let Some(namespace) = path[TREE.len()..].split('/').nth(1) else { continue };
            let sum = sums.entry(namespace.to_owned()).or_default();
            let hard_or = |hard: i64, soft: i64| if hard > -1 { hard } else { soft };
            let (place, count, bytes) = if is_limit {
                let count = hard_or(track.other("countHardLimit"), track.count);
                (&mut sum.limits, count, hard_or(track.other("byteHardLimit"), track.bytes))
            } else {
                (&mut sum.usage, track.count, track.bytes)
            };
            let (counts, all_bytes) = place.unwrap_or_default();
            *place = Some((counts.wrapping_add(count), all_bytes.wrapping_add(bytes)));
        }
        sums
    }

    pub(super) fn quota_after_create(&mut self, path: &str, data_len: usize) {
        if let Some(target) = target(path, LIMITS) {
            self.quotas.paths.insert(target.into());
        } else if let Some(target) = target(path, STATS) {
            self.quota_recount(target);
        }
        self.quota_charge(path, data_len as i64, 1);
    }

    pub(super) fn quota_after_delete(&mut self, path: &str, data_len: usize) {
        if let Some(target) = target(path, LIMITS) {
            self.quotas.paths.remove(target);
        }
        self.quota_charge(path, -(data_len as i64), -1);
    }

    /// Adds to the usage of the nearest quota.
    pub(super) fn quota_charge(&mut self, path: &str, bytes: i64, count: i64) {
        let Some(prefix) = self.quotas.deepest(path) else { return };
        let Some(mut usage) = self.quota_text(prefix, STATS) else { return };
        usage.count = usage.count.wrapping_add(count);
        usage.bytes = usage.bytes.wrapping_add(bytes);
        self.quota_put_stats(prefix, &usage);
    }

    /// Counts a subtree and writes its stats, if they are there.
    fn quota_recount(&mut self, target: &str) {
        let mut usage = Track { count: 0, bytes: 0, others: BTreeMap::new() };
        if let Some(top) = self.find(target) {
            let mut at = Some(top);
            while let Some(id) = at {
                usage.count += 1;
                usage.bytes += self.slab.at(id).data_len() as i64;
                at = self.next_below(top, id);
            }
        }
        self.quota_put_stats(target, &usage);
    }

    fn quota_text(&self, target: &str, leaf: &str) -> Option<Track> {
        let node = self.lookup(&format!("{TREE}{target}{leaf}"))?;
        Some(Track::parse(node.data().unwrap_or_default()))
    }

    fn quota_put_stats(&mut self, target: &str, usage: &Track) {
        if let Some(id) = self.find(&format!("{TREE}{target}{STATS}")) {
            self.put_data(id, Some(usage.to_string().as_bytes()));
        }
    }

    /// Finds all limits and counts what they are about, after a load.
    pub(super) fn quota_setup(&mut self) {
        let Some(top) = self.find(TREE) else { return };
        let mut targets = Vec::new();
        let mut at = top;
        while let Some(id) = self.next_below(top, at) {
            let slot = self.slab.at(id);
            if slot.child_count == 0
                && self.slab.name_bytes(slot) == &LIMITS.as_bytes()[1..]
                && slot.parent != ROOT
            {
                let path = self.path_of(id);
                targets.extend(target(&path, LIMITS).map(str::to_owned));
            }
            at = id;
        }
        for target in targets {
            self.quota_recount(&target);
            self.quotas.paths.insert(target.into());
        }
    }
}

/// The text of limits and stats. What is missing or no number is −1.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Track {
    count: i64,
    bytes: i64,
    others: BTreeMap<String, i64>,
}

impl Track {
    fn parse(text: &[u8]) -> Self {
        let mut track = Self { count: -1, bytes: -1, others: BTreeMap::new() };
        for pair in String::from_utf8_lossy(text).split([',', ';']) {
            let mut parts = pair.split('=');
            let (Some(key), Some(value)) = (parts.next(), parts.next()) else { continue };
            let value = value.parse().unwrap_or(-1);
            match key {
                "count" => track.count = value,
                "bytes" => track.bytes = value,
                _ => {
                    track.others.insert(key.into(), value);
                }
            }
        }
        track
    }

    fn other(&self, key: &str) -> i64 {
        self.others.get(key).copied().unwrap_or(-1)
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.count, self.bytes)?;
        if !self.others.is_empty() {
            // Readers of before hard limits split at ',' and '=' and stop here.
            f.write_str("=")?;
        }
        self.others.iter().try_for_each(|(key, value)| write!(f, ";{key}={value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_with_and_without_hard_ones() {
        let plain = Track::parse(b"count=5,bytes=-1");
        assert_eq!((plain.count, plain.bytes, plain.other("countHardLimit")), (5, -1, -1));
        assert_eq!(plain.to_string(), "count=5,bytes=-1");
        let hard = Track::parse(b"count=4,bytes=5=;byteHardLimit=10;countHardLimit=7");
        assert_eq!((hard.other("byteHardLimit"), hard.other("countHardLimit")), (10, 7));
        assert_eq!(hard.to_string(), "count=4,bytes=5=;byteHardLimit=10;countHardLimit=7");
    }

    #[test]
    fn what_is_no_limit_is_unlimited() {
        for text in ["", "count", "count=,bytes=x", ",;=", "\u{1f600}=3"] {
            let track = Track::parse(text.as_bytes());
            assert_eq!((track.count, track.bytes), (-1, -1), "{text}");
        }
        assert_eq!(Track::parse(&[0xff, 0xfe]).count, -1);
    }

    #[test]
    fn only_the_two_names_below_the_quota_tree_are_about_a_path() {
        assert_eq!(target("/zookeeper/quota/a/b/zookeeper_limits", LIMITS), Some("/a/b"));
        assert_eq!(target("/zookeeper/quota/zookeeper_limits", LIMITS), None);
        assert_eq!(target("/zookeeper/quotax/zookeeper_limits", LIMITS), None);
        assert_eq!(target("/a/zookeeper_limits", LIMITS), None);
    }
}
