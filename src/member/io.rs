use crate::{
    pipeline,
    types::{Epoch, ServerId, SessionId, Zxid, members::Members},
    zab::{Brought, EpochKind, LinkId, Packet, election::Notification},
};
use bytes::Bytes;

/// What reaches a member.
#[derive(Debug)]
pub enum Input {
    /// From this server's clients and its own log.
    Pipeline(pipeline::Input),
    /// A peer's message on its election connection.
    Heard {
        /// Who sent it.
        from: ServerId,
        /// What it says.
        notification: Notification,
    },
    /// A peer can be reached on its election connection, or cannot any more.
    Reachable {
        /// Who.
        peer: ServerId,
        /// Whether it can.
        up: bool,
    },
    /// A learner has connected to this member.
    LinkUp {
        /// Its connection.
        link: LinkId,
    },
    /// A packet of a learner.
    LinkPacket {
        /// Its connection.
        link: LinkId,
        /// What it sent.
        packet: Packet,
    },
    /// A learner's connection is gone.
    LinkDown {
        /// Which.
        link: LinkId,
        /// Why, for the operator.
        why: String,
    },
    /// Answer to [`Output::ProbeLog`]; see [`crate::zab::LeaderInput::LogProbed`].
    LogProbed {
        /// For whom.
        link: LinkId,
        /// From where the log can be sent.
        at: Option<Zxid>,
    },
    /// Answer to [`Output::BeginSnapshot`].
    SnapshotBegun {
        /// For whom.
        link: LinkId,
        /// The tree's last txn.
        zxid: Zxid,
    },
    /// The last byte of the tree has left for a learner.
    SnapshotSent {
        /// Which.
        link: LinkId,
    },
    /// The connection to the leader is there.
    LeaderUp {
        /// Number of the attempt, as in [`Output::ConnectLeader`]. Those of older attempts are ignored.
        attempt: u64,
    },
    /// A packet of the leader.
    LeaderPacket {
        /// Number of the attempt.
        attempt: u64,
        /// What it sent.
        packet: Packet,
    },
    /// The connection to the leader is gone, or could not be made.
    LeaderDown {
        /// Number of the attempt.
        attempt: u64,
        /// Why, for the operator.
        why: String,
    },
    /// The tree that followed a SNAP has taken the place of the old one. Before that a snapshot of it is on stable
    /// storage, and no log or snapshot reaches beyond it: what this member says next may rest on it.
    TreeLoaded {
        /// Number of the attempt.
        attempt: u64,
        /// Its last txn.
        zxid: Zxid,
        /// The sessions that came with it, and their timeouts in ms.
        sessions: Vec<(SessionId, i32)>,
    },
    /// Answer to [`Output::Truncate`]: log and tree now end at `last`.
    Truncated {
        /// The last txn.
        last: Zxid,
        /// The sessions of that state, and their timeouts in ms.
        sessions: Vec<(SessionId, i32)>,
    },
    /// The other answer: it cannot be done, and nothing was changed. The leader is asked for its tree instead.
    NotTruncated {
        /// Why, for the operator.
        why: String,
    },
    /// Time has passed; see [`super::Member::next_deadline_ms`].
    Tick,
}

/// Where a learner connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearnerPort {
    /// The quorum port, which its leader listens at.
    Quorum,
    /// `observerMasterPort`, which followers listen at.
    ObserverMaster,
}

/// What a member wants done, in this order. Besides, its log entries wait in [`super::Member::take_log`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message to a peer on its election connection, in place of one that still waits.
    Notify {
        /// To whom.
        to: ServerId,
        /// What.
        notification: Notification,
    },
    /// See to it that there are election connections to all peers.
    ConnectPeers,
    /// Connect to the leader, or to the follower that stands for it.
    ConnectLeader {
        /// Number of the attempt, never used twice.
        attempt: u64,
        /// Which member it is.
        leader: ServerId,
        /// Where.
        port: LearnerPort,
    },
    /// Close the connection to the leader, or stop trying.
    DisconnectLeader {
        /// Number of the attempt.
        attempt: u64,
    },
    /// Send to the leader: whole packets.
    SendToLeader {
        /// Number of the attempt.
        attempt: u64,
        /// What.
        bytes: Bytes,
    },
    /// Send to a learner: whole packets.
    Send {
        /// To whom.
        link: LinkId,
        /// What.
        bytes: Bytes,
    },
    /// Send txns of the log files to a learner; see [`crate::zab::LeaderOutput::SendLog`].
    SendLog {
        /// To whom.
        link: LinkId,
        /// It has this.
        after: Zxid,
        /// The last one.
        through: Zxid,
    },
    /// Send the tree to a learner, in its place among what is sent, as it is when it can be seized; then say
    /// [`Input::SnapshotBegun`].
    BeginSnapshot {
        /// To whom.
        link: LinkId,
    },
    /// How far back do the log files go? Answered by [`Input::LogProbed`].
    ProbeLog {
        /// For whom.
        link: LinkId,
        /// Its last zxid.
        peer: Zxid,
    },
    /// Close a learner's connection.
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
    /// A configuration is proposed: make it durable before anything that follows is done and before any log entry of
    /// this turn is appended, and forget one that was proposed before. `None`: what was proposed before is of no
    /// account.
    SeeConfig {
        /// The configuration; its servers are peers from now on.
        next: Option<Box<Members>>,
    },
    /// A configuration is committed: make it durable before anything that follows is done. One that was proposed and is
    /// not newer is forgotten.
    AdoptConfig {
        /// The configuration.
        active: Box<Members>,
    },
    /// Cut the log back to this and load the state again. Nothing is in the log's queue at this time. Answered by
    /// [`Input::Truncated`] or [`Input::NotTruncated`].
    Truncate {
        /// What is to be the last txn.
        zxid: Zxid,
    },
    /// Close every client's connection: this server does not serve any more.
    CloseClients,
    /// The member's part is another one now.
    Part(Part),
    /// Log and leader do not go together: the process must stop. See [`crate::zab::LearnerOutput::Diverged`].
    Diverged {
        /// What was found.
        what: String,
    },
    /// Something for the operator.
    Note {
        /// A sentence.
        text: String,
    },
}

/// Takes out of `outputs` what has to be done before log entries of the same turn are appended: everything up to the
/// last [`Output::SeeConfig`]. Who has a txn in its log after a crash that says a configuration knows then that it was
/// proposed.
pub fn take_before_log(outputs: &mut Vec<Output>) -> Vec<Output> {
    match outputs.iter().rposition(|output| matches!(output, Output::SeeConfig { .. })) {
        Some(last) => outputs.drain(..=last).collect(),
        None => Vec::new(),
    }
}

/// What a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It is alone: no ensemble.
    Standalone,
    /// It looks for a leader.
    Looking,
    /// It looks for a leader, and meanwhile serves clients that accept a server which takes no writes.
    ReadOnly,
    /// It is elected, or follows somebody who is, but does not serve yet.
    Joining {
        /// Who leads.
        leader: ServerId,
    },
    /// It leads and serves.
    Leading,
    /// It leads, and leaves clients to the others.
    LeadingOnly,
    /// It follows and serves.
    Following {
        /// Whom.
        leader: ServerId,
    },
    /// It observes and serves.
    Observing {
        /// Whom.
        leader: ServerId,
    },
}

/// Counts of what a member has heard from leaders and given to learners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberCounts {
    /// Proposals that it got as a follower that served. (An observer hears of txns when they are committed.)
    pub proposals_heard: u64,
    /// Commits that it got as a follower or an observer that served.
    pub commits_heard: u64,
    /// Learners that it brought up to date, as a leader or as a follower with observers.
    pub brought: Brought,
}

/// How a member stands in its ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many have a vote in the active configuration.
    pub voters: usize,
    /// Since when it leads, monotonic ms; `None` when it does not.
    pub leads_since_ms: Option<i64>,
    /// Who tells it what is committed: the leader, or a follower that serves observers. `None` for a leader.
    pub master: Option<ServerId>,
}

impl Part {
    /// Whether it follows or observes and serves.
    pub fn learns(self) -> bool {
        matches!(self, Part::Following { .. } | Part::Observing { .. })
    }

    /// Whether clients are served, by whatever leave.
    pub fn serves(self) -> bool {
        !matches!(self, Part::Looking | Part::Joining { .. } | Part::LeadingOnly)
    }
}
