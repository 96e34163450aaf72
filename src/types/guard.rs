//! Places where a bug that upstream once had would come back.
//!
//! Each guard stands for a few lines of this server. In tests of this crate one can be taken out, to show that the
//! simulator notices ([`without`]); anywhere else all of them hold, and asking costs nothing.

/// A rule that an old bug broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// ZOOKEEPER-1154: a learner that has what its leader has not is cut back.
    CutWhatLeaderLacks,
    /// ZOOKEEPER-1156: cutting back leaves the txn that is to be the last.
    CutBehindLast,
    /// ZOOKEEPER-1277: a leader whose counter has come to its end gives up.
    EpochEnds,
    /// ZOOKEEPER-1319: a learner that joins gets what is proposed and not committed.
    SendOutstanding,
    /// ZOOKEEPER-1367: learners know the sessions that txns begin.
    LearnSessions,
    /// ZOOKEEPER-2307: a promised epoch is on disk.
    StoreAccepted,
    /// ZOOKEEPER-2355: what is in the log when a role ends gets into the tree.
    ApplyInFlight,
    /// ZOOKEEPER-2678: who is in step gets no tree.
    NoTreeInStep,
    /// ZOOKEEPER-3104: NEWLEADER comes behind the leader's history.
    HistoryFirst,
    /// ZOOKEEPER-3642: a leader's tree is on disk before it counts.
    TreeOnDisk,
    /// ZOOKEEPER-3911: the history is in the log before NEWLEADER is acknowledged.
    AppendBeforeAck,
    /// ZOOKEEPER-4646: and it is forced.
    ForceBeforeAck,
    /// ZOOKEEPER-4269: an epoch's file is whole, whenever the machine dies.
    EpochFileWhole,
    /// ZOOKEEPER-4394: a commit between NEWLEADER and UPTODATE counts.
    CommitWhileJoining,
    /// ZOOKEEPER-4846: a create that is replayed over its own znode says which ACL it has.
    AclOfReplayed,
    /// ZOOKEEPER-4925: what came by synchronisation is in the history that learners are served from.
    HistoryWhole,
    /// Who joins a leader anew counts for nothing that it acknowledged before.
    AcksEndWithConnection,
    /// A reconfiguration is committed by a quorum of the old configuration and one of the new one.
    JointQuorum,
    /// ZOOKEEPER-5010: the tree is that of the log as it was cut.
    TreeOfCutLog,
}

/// Whether the guard is in place.
#[cfg(not(test))]
#[inline(always)]
pub fn holds(_guard: Guard) -> bool {
    true
}

#[cfg(test)]
pub use removable::{holds, without};

#[cfg(test)]
mod removable {
    use super::Guard;
    use std::cell::Cell;

    thread_local! {
        static REMOVED: Cell<Option<Guard>> = const { Cell::new(None) };
    }

    /// Whether the guard is in place on this thread.
    pub fn holds(guard: Guard) -> bool {
        REMOVED.get() != Some(guard)
    }

    /// Does something on this thread without the guard.
    pub fn without<T>(guard: Guard, act: impl FnOnce() -> T) -> T {
        REMOVED.set(Some(guard));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        REMOVED.set(None);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
