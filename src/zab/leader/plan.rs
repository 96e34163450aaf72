use crate::{
    types::{
        Zxid,
        guard::{self, Guard},
    },
    zab::{History, LeaderOutput, LinkId, Packet},
};

/// How a learner is brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::zab) enum Plan {
    /// By a whole tree.
    Snap,
    /// That depends on how far back the log files go: ask, and decide again.
    AskLog,
    /// By txns that follow on what it has.
    Stream {
        /// The first packet.
        first: First,
        /// Txns that are only in the log files: those after the first zxid, up to the second.
        log: Option<(Zxid, Zxid)>,
        /// Then everything that the history holds after this.
        after: Zxid,
    },
}

/// The packet that opens a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::zab) enum First {
    /// The learner has nothing that the leader has not.
    Diff(Zxid),
    /// The learner has to forget what comes after this.
    Trunc(Zxid),
}

impl First {
    /// Opens the sync. What follows from log files is already to be sent then; what is to be sent next begins with the
    /// bytes answered.
    pub(in crate::zab) fn open(
        self,
        link: LinkId,
        log: Option<(Zxid, Zxid)>,
        out: &mut Vec<LeaderOutput>,
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            First::Diff(zxid) => Packet::Diff { zxid }.write(&mut bytes),
            First::Trunc(zxid) => Packet::Trunc { zxid }.write(&mut bytes),
        }
        if let Some((after, through)) = log {
            out.push(LeaderOutput::Send { link, bytes: std::mem::take(&mut bytes).into() });
            out.push(LeaderOutput::SendLog { link, after, through });
        }
        bytes
    }
}

/// Why a learner cannot be given the tree as it was after `zxid`.
pub(in crate::zab) fn not_kept(zxid: Zxid, history: &History) -> String {
    let last = history.last_committed();
    format!("txns between the snapshot at {zxid} and {last} are no longer kept: it has to come again")
}

/// What is known of the log files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::zab) enum Files {
    /// They must not be used.
    Off,
    /// They have not been looked at.
    Unasked,
    /// They reach back to this; see [`super::LeaderInput::LogProbed`].
    Reach(Option<Zxid>),
}

/// Decides how a learner whose last txn is `peer` gets to the state of `history`.
///
/// The cases and their order are upstream's, because a stock learner relies on some of them: it cannot cut its log
/// across epochs, and a zxid with counter 0 stands for no txn (a learner that got a tree at the beginning of an
/// epoch has it), so it is never cut back to or away.
///
/// Upstream counterpart: `LearnerHandler.syncFollower` and `queueCommittedProposals`.
pub(in crate::zab) fn plan(history: &History, peer: Zxid, force_snapshot: bool, files: Files) -> Plan {
    let (min, max) = (history.min(), history.last_committed());
    let begins_epoch = peer.counter() == 0;
    let stream = |first, after| Plan::Stream { first, log: None, after };
    if force_snapshot {
        Plan::Snap
    } else if peer == max {
        if !guard::holds(Guard::NoTreeInStep) {
            return Plan::Snap;
        }
        stream(First::Diff(peer), peer)
    } else if peer > max {
        if !guard::holds(Guard::CutWhatLeaderLacks) {
            return stream(First::Diff(max), max);
        }
        // Beyond the beginning of an epoch that this history knows nothing of, there is nothing to go by.
        if begins_epoch { Plan::Snap } else { stream(First::Trunc(max), max) }
    } else if peer >= min {
        let before = history.committed().rev().find(|txn| txn.zxid <= peer).map(|txn| txn.zxid);
        let next = history.committed_after(peer).next().map(|txn| txn.zxid);
        match (before, next) {
            (Some(zxid), _) if zxid == peer => stream(First::Diff(max), peer),
            _ if begins_epoch => stream(First::Diff(max), peer),
            (Some(zxid), Some(next)) if next.epoch() == peer.epoch() => stream(First::Trunc(zxid), peer),
            _ => Plan::Snap,
        }
    } else {
        let first = match files {
            Files::Off | Files::Reach(None) => return Plan::Snap,
            Files::Unasked => return Plan::AskLog,
            Files::Reach(Some(at)) if at == peer => First::Diff(max),
            Files::Reach(Some(at)) if at < peer && at.epoch() == peer.epoch() => First::Trunc(at),
            Files::Reach(Some(_)) => return Plan::Snap,
        };
        let from = match first {
            First::Diff(_) => peer,
            First::Trunc(at) => at,
        };
        let base = history.base();
        Plan::Stream { first, log: (from < base).then_some((from, base)), after: from.max(base) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zab::Logged;
    use bytes::Bytes;

    /// Txns 1:1 to 1:9 and 2:1 to 2:5, of which the ring holds 1:7 to 1:9 without 1:8, and all of epoch 2.
    fn history() -> History {
        let mut h = History::new(z(1, 0), 7);
        let all = (1..=9).filter(|c| *c != 8).map(|c| z(1, c)).chain((1..=5).map(|c| z(2, c)));
        all.for_each(|zxid| h.propose(Logged { zxid, entry: Bytes::from_static(b"txn") }));
        h.force(z(2, 4));
        h.commit(z(2, 5));
        h.propose(Logged { zxid: z(2, 6), entry: Bytes::from_static(b"outstanding") });
        assert_eq!((h.min(), h.last_committed(), h.last()), (z(1, 7), z(2, 5), z(2, 6)));
        h
    }

    fn z(epoch: i64, counter: i64) -> Zxid {
        Zxid(epoch << 32 | counter)
    }

    const OFF: Files = Files::Off;
    const ASK: Files = Files::Unasked;

    fn diff(zxid: Zxid, after: Zxid) -> Plan {
        Plan::Stream { first: First::Diff(zxid), log: None, after }
    }

    fn trunc(zxid: Zxid, after: Zxid) -> Plan {
        Plan::Stream { first: First::Trunc(zxid), log: None, after }
    }

    fn reach(at: Zxid) -> Files {
        Files::Reach(Some(at))
    }

    #[test]
    fn every_learner_is_brought_up_to_date_as_upstream_would() {
        let max = z(2, 5);
        let from_log = |first, from| Plan::Stream { first, log: Some((from, z(1, 6))), after: z(1, 6) };
        let table = [
            ("it has everything committed", z(2, 5), ASK, diff(max, z(2, 5))),
            ("it has what is only proposed", z(2, 6), ASK, trunc(max, max)),
            ("it has what nobody here knows", z(2, 9), ASK, trunc(max, max)),
            ("it has txns of a later epoch", z(3, 2), ASK, trunc(max, max)),
            ("it begins an epoch unknown here", z(3, 0), ASK, Plan::Snap),
            ("it has the newest but one", z(2, 4), ASK, diff(max, z(2, 4))),
            ("it ends with the epoch before", z(1, 9), ASK, diff(max, z(1, 9))),
            ("it has the oldest that is kept", z(1, 7), ASK, diff(max, z(1, 7))),
            ("it begins this epoch", z(2, 0), ASK, diff(max, z(2, 0))),
            ("it has one too much in between", z(1, 8), ASK, trunc(z(1, 7), z(1, 8))),
            ("it has one too much at an epoch's end", z(1, 10), ASK, Plan::Snap),
            ("it is behind, and files may not be used", z(1, 3), OFF, Plan::Snap),
            ("it is behind, and files were not asked", z(1, 3), ASK, Plan::AskLog),
            ("it is behind, and files do not reach it", z(1, 3), Files::Reach(None), Plan::Snap),
            ("it is behind, and files know it", z(1, 3), reach(z(1, 3)), from_log(First::Diff(max), z(1, 3))),
            (
                "it is behind with one too much",
                z(1, 3),
                reach(z(1, 2)),
                from_log(First::Trunc(z(1, 2)), z(1, 2)),
            ),
            ("the oldest that is kept is the next", z(1, 6), reach(z(1, 6)), diff(max, z(1, 6))),
            ("it begins an epoch long ago", z(1, 0), reach(z(1, 0)), from_log(First::Diff(max), z(1, 0))),
            ("files know only another epoch", z(1, 3), reach(z(0, 2)), Plan::Snap),
            ("files answer nonsense", z(1, 3), reach(z(1, 4)), Plan::Snap),
            ("it is empty", Zxid::ZERO, ASK, Plan::AskLog),
            ("it is empty, and files begin later", Zxid::ZERO, Files::Reach(None), Plan::Snap),
            ("it does not trust its emptiness", Zxid(-1), Files::Reach(None), Plan::Snap),
        ];
        for (what, peer, files, expected) in table {
            assert_eq!(plan(&history(), peer, false, files), expected, "{what}: {peer}");
            assert_eq!(plan(&history(), peer, true, files), Plan::Snap, "{what}: forced");
        }
    }

    #[test]
    fn a_leader_without_recent_txns_goes_by_its_last_zxid() {
        let h = History::new(z(1, 7), 500);
        let table = [
            (z(1, 7), ASK, diff(z(1, 7), z(1, 7))),
            (z(1, 9), ASK, trunc(z(1, 7), z(1, 7))),
            (z(1, 2), ASK, Plan::AskLog),
            (z(1, 2), OFF, Plan::Snap),
            (z(2, 0), ASK, Plan::Snap),
        ];
        for (peer, files, expected) in table {
            assert_eq!(plan(&h, peer, false, files), expected, "{peer}");
        }
        // A new ensemble: nobody has anything.
        assert_eq!(
            plan(&History::new(Zxid::ZERO, 500), Zxid::ZERO, false, ASK),
            diff(Zxid::ZERO, Zxid::ZERO)
        );
    }
}
