use crate::types::Zxid;
use bytes::Bytes;
use std::collections::VecDeque;

/// Bytes of committed txns that are kept for learners that come back, whatever their number. All of them may wait in
/// the queue of one connection, so this stays well below what such a queue may hold.
const BYTES_MAX: usize = 32 << 20;

/// A txn as it goes over the wire and into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its number.
    pub zxid: Zxid,
    /// Header, body and digest.
    pub entry: Bytes,
}

/// The newest txns of this member: the last committed ones, and behind them those that are proposed and not committed.
///
/// A leader brings learners up to date from it. It outlives roles: what a follower has committed serves it when it
/// leads.
///
/// Upstream counterpart: `ZKDatabase.committedLog` and `Leader.outstandingProposals`.
#[derive(Clone, Debug)]
pub struct History {
    committed: VecDeque<Logged>,
    outstanding: VecDeque<Logged>,
    /// The last committed txn, also when it is not kept.
    last_committed: Zxid,
    /// The txn before the oldest that is kept.
    base: Zxid,
    /// Everything up to this is in the log of this member.
    forced: Zxid,
    count_max: usize,
    bytes: usize,
}

impl History {
    /// Nothing but the knowledge that everything up to `last` is committed and in the log. At most `count_max` committed
    /// txns are kept (`commitLogCount`), and those that are not in the log yet.
    pub fn new(last: Zxid, count_max: usize) -> Self {
        Self {
            committed: VecDeque::new(),
            outstanding: VecDeque::new(),
            last_committed: last,
            base: last,
            forced: last,
            count_max,
            bytes: 0,
        }
    }

    /// Forgets everything: the state is now that after `last`, however it came about.
    pub fn reset(&mut self, last: Zxid) {
        *self = Self::new(last, self.count_max);
    }

    /// A txn is proposed.
    pub fn propose(&mut self, txn: Logged) {
        self.outstanding.push_back(txn);
    }

    /// The oldest proposals up to and including `zxid` are committed.
    pub fn commit(&mut self, zxid: Zxid) {
        while self.outstanding.front().is_some_and(|t| t.zxid <= zxid)
            && let Some(txn) = self.outstanding.pop_front()
        {
            self.last_committed = txn.zxid;
            self.bytes += txn.entry.len();
            self.committed.push_back(txn);
        }
        // Others may have committed what the log here has not taken yet. It is needed until then: what is no longer
        // kept has to come from the log.
        while (self.committed.len() > self.count_max || (self.bytes > BYTES_MAX && self.committed.len() > 1))
            && self.committed.front().is_some_and(|oldest| oldest.zxid <= self.forced)
            && let Some(dropped) = self.committed.pop_front()
        {
            self.bytes -= dropped.entry.len();
            self.base = dropped.zxid;
        }
    }

    /// Everything up to `zxid` is in the log of this member.
    pub fn force(&mut self, zxid: Zxid) {
        self.forced = self.forced.max(zxid);
    }

    /// The oldest committed txn kept; [`last_committed`](Self::last_committed) when none is.
    pub fn min(&self) -> Zxid {
        self.committed.front().map_or(self.last_committed, |t| t.zxid)
    }

    /// The txn before the oldest committed one that is kept. The log has everything up to it.
    pub fn base(&self) -> Zxid {
        self.base
    }

    /// The last committed txn.
    pub fn last_committed(&self) -> Zxid {
        self.last_committed
    }

    /// The last txn proposed, or the last committed one.
    pub fn last(&self) -> Zxid {
        self.outstanding.back().map_or(self.last_committed, |t| t.zxid)
    }

    /// The committed txns that are kept, oldest first.
    pub fn committed(&self) -> impl DoubleEndedIterator<Item = &Logged> + ExactSizeIterator {
        self.committed.iter()
    }

    /// The committed txns after `zxid` that are kept.
    pub fn committed_after(&self, zxid: Zxid) -> impl Iterator<Item = &Logged> {
        self.committed.iter().skip(self.committed.partition_point(|t| t.zxid <= zxid))
    }

    /// What is proposed and not committed, oldest first.
    pub fn outstanding(&self) -> impl DoubleEndedIterator<Item = &Logged> + ExactSizeIterator {
        self.outstanding.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txn(zxid: i64) -> Logged {
        Logged { zxid: Zxid(zxid), entry: Bytes::from_static(b"entry") }
    }

    #[test]
    fn the_newest_committed_txns_are_kept_and_proposals_wait_behind_them() {
        let mut h = History::new(Zxid(7), 3);
        assert_eq!((h.min(), h.last_committed(), h.last()), (Zxid(7), Zxid(7), Zxid(7)));
        (8..=12).for_each(|z| h.propose(txn(z)));
        h.force(Zxid(12));
        h.commit(Zxid(11));
        assert_eq!((h.base(), h.min(), h.last_committed(), h.last()), (Zxid(8), Zxid(9), Zxid(11), Zxid(12)));
        assert_eq!(h.committed_after(Zxid(9)).map(|t| t.zxid.0).collect::<Vec<_>>(), [10, 11]);
        assert_eq!(h.outstanding().map(|t| t.zxid.0).collect::<Vec<_>>(), [12]);
        h.reset(Zxid(20));
        assert_eq!((h.min(), h.last()), (Zxid(20), Zxid(20)));
    }

    /// Found by simulation: a leader whose disk was slow forgot txns that its followers had committed before they were in
    /// its own log, and then a learner was to get them from there.
    #[test]
    fn what_is_not_in_the_log_yet_is_kept() {
        let mut h = History::new(Zxid(7), 3);
        (8..=14).for_each(|z| h.propose(txn(z)));
        h.force(Zxid(8));
        h.commit(Zxid(13));
        assert_eq!((h.base(), h.min(), h.committed().len()), (Zxid(8), Zxid(9), 5));
        h.force(Zxid(14));
        h.commit(Zxid(14));
        assert_eq!((h.base(), h.min(), h.committed().len()), (Zxid(11), Zxid(12), 3));
    }
}
