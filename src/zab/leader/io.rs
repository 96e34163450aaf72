pub use crate::types::LinkId;
use crate::{
    types::{Epoch, EpochKind, ServerId, SessionId, Zxid},
    zab::{Packet, Quorum, Request},
};
use bytes::Bytes;

/// What a leader has to know.
#[derive(Clone, Debug)]
pub struct LeaderConfig {
    /// Its own number.
    pub me: ServerId,
    /// The active configuration and, while it differs, the last seen one: everything needs a quorum of each.
    pub quorums: Vec<Quorum>,
    /// Text of the last seen configuration, for NEWLEADER.
    pub config_text: String,
    /// Version of the last seen configuration. A learner with a newer one is refused.
    pub config_version: i64,
    /// The configuration is one from a file, without a version: it gets that of the epoch, and is the last seen one.
    pub begins_config: bool,
    /// `tickTime`, ms. PINGs leave every half tick, and every tick the leader looks whether it still has a quorum.
    pub tick_ms: i64,
    /// `initLimit` × `tickTime`, ms: the time for each of the waits before it is established.
    pub init_limit_ms: i64,
    /// `syncLimit` × `tickTime`, ms.
    pub sync_limit_ms: i64,
    /// `zookeeper.forceSnapshotSync`.
    pub force_snapshot: bool,
    /// Whether learners may be brought up to date from log files: `snapshotSizeFactor` is not negative.
    pub sync_from_log: bool,
    /// `leader.maxConcurrentSnapSyncs`: more observers than this are sent away. 0 or less is no limit.
    pub snapshot_syncs_max: i32,
    /// `leader.maxConcurrentDiffSyncs`: the same for observers that get txns.
    pub diff_syncs_max: i32,
    /// `leader.maxTimeToWaitForEpoch`, ms: a leader that waits for a quorum for longer than this gives up as soon as a
    /// member that voted for it looks for a leader again. Negative: only after `initLimit`.
    pub epoch_wait_max_ms: i64,
}

/// What reaches a leader.
#[derive(Clone, Debug)]
pub enum LeaderInput {
    /// A learner has connected.
    Connected {
        /// Its connection.
        link: LinkId,
    },
    /// A packet of a learner.
    Packet {
        /// Its connection.
        link: LinkId,
        /// What it sent.
        packet: Packet,
    },
    /// The connection is gone.
    Gone {
        /// Which.
        link: LinkId,
    },
    /// Time has passed.
    Tick,
    /// The history has new proposals: everything in it after what learners were sent so far.
    Proposed,
    /// The history has new commits, up to this.
    Committed(Zxid),
    /// A reconfiguration is proposed, or committed.
    Configured {
        /// As [`LeaderConfig::quorums`] from now on.
        quorums: Vec<Quorum>,
        /// As [`LeaderConfig::config_text`] from now on.
        config_text: String,
        /// As [`LeaderConfig::config_version`] from now on.
        config_version: i64,
    },
    /// The txn, which the history does not know as committed yet, is a reconfiguration, and is told as such.
    Activated {
        /// The txn.
        zxid: Zxid,
        /// Who is to lead.
        designated: ServerId,
    },
    /// Another one is to lead: this member says what it has to say, and resigns when that one has left.
    HandOver {
        /// Who; `None` when the others have to elect one.
        to: Option<ServerId>,
    },
    /// Answer to [`LeaderOutput::ProbeLog`].
    LogProbed {
        /// The learner it is about.
        link: LinkId,
        /// The greatest zxid in the log that is not above the one asked for and of the same epoch, if the log goes on
        /// from there without a gap and within the limit of its size. When the one asked for has counter 0, which no
        /// txn has: itself, if the log begins before it. `None` otherwise.
        at: Option<Zxid>,
    },
    /// Answer to [`LeaderOutput::BeginSnapshot`]: the tree as of `zxid` is seized.
    ///
    /// The first output of this step is the SNAP packet, as a `Send` to the link, and the driver puts the tree right
    /// behind it, before it executes what follows. When the first output is anything else, the tree is not wanted any
    /// more.
    SnapshotBegun {
        /// The learner it is for.
        link: LinkId,
        /// The tree's last txn.
        zxid: Zxid,
    },
    /// The last byte of the tree has left for the learner, which has `init_limit_ms` from now on to acknowledge. Until
    /// then it is not given up for its silence: how long a tree takes to get through, only the transport knows.
    SnapshotSent {
        /// The learner.
        link: LinkId,
    },
    /// A member that voted for this one looks for a leader again.
    Disloyal {
        /// Who.
        member: ServerId,
    },
    /// Is this still the leader? Answered by [`LeaderOutput::BarrierPassed`] once a quorum has answered a PING that
    /// was sent afterwards. Never answered when it is not.
    Barrier(u64),
}

/// What a leader wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderOutput {
    /// Send these bytes: whole packets.
    Send {
        /// To whom.
        link: LinkId,
        /// What.
        bytes: Bytes,
    },
    /// Send PROPOSAL and COMMIT of every txn in the log files after `after` and up to `through`, in its place among
    /// what is sent to the link. All of them are committed and in the files.
    SendLog {
        /// To whom.
        link: LinkId,
        /// The learner has this.
        after: Zxid,
        /// The last one to be sent.
        through: Zxid,
    },
    /// Send the tree as it is when nobody changes it, and say when it is determined what that is. Nothing is sent to
    /// the link until then.
    BeginSnapshot {
        /// To whom.
        link: LinkId,
    },
    /// How far back do the log files go?
    ProbeLog {
        /// For whom.
        link: LinkId,
        /// The learner's last zxid.
        peer: Zxid,
    },
    /// Close the connection.
    Close {
        /// Which.
        link: LinkId,
        /// Why, for the operator.
        why: String,
    },
    /// Make an epoch durable before anything that follows is done.
    StoreEpoch {
        /// Which file.
        kind: EpochKind,
        /// The value.
        epoch: Epoch,
    },
    /// The configuration is now the last seen one, with this version: make it durable before anything that follows is
    /// done. See [`LeaderConfig::begins_config`].
    ConfigBegun {
        /// The epoch with counter 0.
        version: Zxid,
    },
    /// A quorum has the leader's history: from now on it proposes.
    Established {
        /// Its epoch.
        epoch: Epoch,
    },
    /// The member has everything up to this on stable storage.
    Acked {
        /// Who. Members without a vote too.
        member: ServerId,
        /// What.
        zxid: Zxid,
    },
    /// The member begins to get the leader's history: what it acknowledged before counts no more.
    Joins {
        /// Who.
        member: ServerId,
    },
    /// A request of a client of a learner.
    Request {
        /// Whose client it is; sessions move between links.
        link: LinkId,
        /// What is asked.
        request: Request,
    },
    /// A client of a learner wants to take up a session.
    Revalidate {
        /// At whom.
        link: LinkId,
        /// Which.
        session: SessionId,
        /// Its timeout, ms.
        timeout_ms: i32,
    },
    /// Sessions that a learner has heard from since its last word.
    Touched {
        /// Where they are.
        link: LinkId,
        /// Sessions and their timeouts in ms.
        sessions: Vec<(SessionId, i32)>,
    },
    /// The leader was one after [`LeaderInput::Barrier`] came in.
    BarrierPassed(u64),
    /// It cannot lead any more: all links are to be closed, and it says nothing more.
    Resign {
        /// Why, for the operator.
        why: String,
    },
}
