use crate::{
    types::{Epoch, ServerId, SessionId, Zxid},
    zab::{EpochKind, Packet, Request},
};
use bytes::Bytes;

/// What a learner has to know.
#[derive(Clone, Debug)]
pub struct LearnerConfig {
    /// Its own number.
    pub me: ServerId,
    /// It observes: it has no vote.
    pub observer: bool,
    /// What it is told goes to its log. Nobody may count on an observer that keeps nothing.
    pub logs: bool,
    /// Version of its active configuration.
    pub config_version: i64,
    /// `initLimit` × `tickTime`, ms: the longest silence of the leader until NEWLEADER.
    pub init_limit_ms: i64,
    /// `syncLimit` × `tickTime`, ms: the longest silence afterwards.
    pub sync_limit_ms: i64,
}

/// What reaches a learner.
#[derive(Clone, Debug)]
pub enum LearnerInput {
    /// The connection to the leader is there.
    Connected,
    /// A packet of the leader.
    Packet(Packet),
    /// The tree that followed a SNAP is in place, with this as its last txn. What comes in before it waits.
    SnapshotLoaded {
        /// As the packet said.
        zxid: Zxid,
    },
    /// Answer to [`LearnerOutput::Truncate`]: log and tree end at this.
    Truncated {
        /// The last txn.
        last: Zxid,
    },
    /// The other answer: this member's history does not reach back to there, because it came as a tree that held what is
    /// not committed. Nothing was changed.
    NotTruncated {
        /// Why, for the operator.
        why: String,
    },
    /// Answer to [`LearnerOutput::SaveSnapshot`].
    SnapshotSaved,
    /// The log is on stable storage up to this.
    Durable(Zxid),
    /// A client's request for the leader.
    Forward(Request),
    /// A client wants to take up a session: ask the leader.
    Revalidate {
        /// Which.
        session: SessionId,
        /// Its timeout, ms.
        timeout_ms: i32,
    },
    /// Sessions that were heard from, for the next PING.
    Touched(Vec<(SessionId, i32)>),
    /// The connection is gone, or could not be made.
    Gone {
        /// Why, for the operator.
        why: String,
    },
    /// Time has passed.
    Tick,
}

/// What a learner wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LearnerOutput {
    /// Send these bytes to the leader: whole packets.
    Send {
        /// What.
        bytes: Bytes,
    },
    /// Make an epoch durable before anything that follows is done.
    StoreEpoch {
        /// Which file.
        kind: EpochKind,
        /// The value.
        epoch: Epoch,
    },
    /// The sync begins by a DIFF: the state is that of this member's log.
    Continue,
    /// Cut the log back to this and load the state again, then say [`LearnerInput::Truncated`], or
    /// [`LearnerInput::NotTruncated`] when the log does not go back that far.
    Truncate {
        /// What is to be the last txn.
        zxid: Zxid,
    },
    /// Make a snapshot of the tree, as it was loaded, durable; logs and snapshots that reach beyond it are of another
    /// history and must go first. Then say [`LearnerInput::SnapshotSaved`].
    SaveSnapshot,
    /// Append to the log, and force it.
    Append {
        /// Its number.
        zxid: Zxid,
        /// What the log keeps.
        entry: Bytes,
    },
    /// Everything up to this is committed: apply it. It has been appended before, though it need not be forced.
    Commit {
        /// The number.
        zxid: Zxid,
    },
    /// The leader's configuration, of NEWLEADER.
    ConfigSeen {
        /// Its text.
        text: Bytes,
    },
    /// A reconfiguration is committed with this zxid and this leader. Follows its [`Commit`](Self::Commit).
    Activate {
        /// The txn.
        zxid: Zxid,
        /// Who is to lead.
        designated: ServerId,
    },
    /// The member is in step with the leader: serve clients.
    Serve {
        /// The leader's epoch.
        epoch: Epoch,
    },
    /// The oldest sync has its answer.
    Synced,
    /// Answer of the leader about a session.
    Revalidated {
        /// Which.
        session: SessionId,
        /// Whether it lives.
        valid: bool,
    },
    /// The leader is lost, or of no use: look for another.
    Lost {
        /// Why, for the operator.
        why: String,
    },
    /// This member's log and the leader's words do not go together: stop the process.
    ///
    /// Upstream counterpart: exit codes 12 and 13.
    Diverged {
        /// What was found.
        what: String,
    },
}
