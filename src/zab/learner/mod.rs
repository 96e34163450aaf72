//! A learner: a follower or an observer of a leader.
//!
//! ```text
//! Connected -> FOLLOWERINFO | OBSERVERINFO
//! LEADERINFO -> accepted epoch -> ACKEPOCH
//! DIFF | TRUNC | SNAP -> continue | cut the log | take the tree         then txns come, which wait
//! NEWLEADER -> [snapshot] -> append -> all durable -> current epoch -> ACK
//! UPTODATE -> ACK, serve                                                then broadcast
//! ```
//!
//! Invariants: an epoch is on disk before it is promised or acknowledged; what came before NEWLEADER is on disk before
//! the current epoch is, and that before the ACK; what is applied was appended before; txns are appended in order.
//!
//! Upstream counterpart: `Learner`, `Follower`, `Observer`. Start reading at [`Learner::step`].

mod broadcast;
mod io;
mod sync;

pub use io::{LearnerConfig, LearnerInput, LearnerOutput};

use super::{EpochKind, PROTOCOL_VERSION, Packet, epoch_start};
use crate::types::{Epoch, ServerId, SessionId, Zxid};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// A member that has a leader, towards it.
#[derive(Clone, Debug)]
pub struct Learner {
    config: LearnerConfig,
    accepted: Epoch,
    current: Epoch,
    /// The last zxid it has or has received.
    last: Zxid,
    /// Everything up to this was in the state with which the sync began.
    base: Zxid,
    stage: Stage,
    /// The epoch whose leader has to send a whole tree.
    tree_wanted_in: Option<Epoch>,
    /// The leader's epoch, once it has said so.
    epoch: Epoch,
    heard_ms: i64,
    /// Packets that came while this member had to do something first.
    held: VecDeque<Packet>,
    /// Txns that are not appended: before NEWLEADER all of them, then those that came until UPTODATE. Those that are
    /// committed come first.
    stash: VecDeque<Txn>,
    /// What is appended and not committed.
    pending: VecDeque<Zxid>,
    /// What was committed last.
    committed: Zxid,
    /// What is appended and has to be acknowledged once it is durable.
    unacked: VecDeque<Zxid>,
    /// The log is on stable storage up to this.
    durable: Zxid,
    /// Sessions heard from since the last PING, and their timeouts in ms.
    touched: BTreeMap<SessionId, i32>,
    out: Vec<LearnerOutput>,
}

/// A txn that waits for its place in the log.
#[derive(Clone, Debug)]
struct Txn {
    zxid: Zxid,
    entry: Bytes,
    committed: bool,
    /// A reconfiguration: who is to lead.
    activate: Option<ServerId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// There is no connection yet.
    Connecting,
    /// The next packet is LEADERINFO.
    Registering,
    /// The next packet is DIFF, TRUNC or SNAP.
    Promised,
    /// The log is being cut back to this.
    Truncating(Zxid),
    /// The tree is on its way.
    Loading,
    /// Txns come, and then NEWLEADER.
    Streaming {
        /// After SNAP the tree has to be saved before they are appended.
        save: bool,
    },
    /// The tree is being saved.
    Saving,
    /// What came before NEWLEADER is being made durable, up to this.
    Appending(Zxid),
    /// NEWLEADER is acknowledged; the next packet of note is UPTODATE.
    Acked,
    /// It serves clients.
    Serving,
    /// It has given its leader up.
    Over,
}

impl Learner {
    /// A member with these epochs and this last txn has a leader. The connection is being made.
    pub fn new(config: LearnerConfig, now_ms: i64, accepted: Epoch, current: Epoch, last: Zxid) -> Self {
        Self {
            config,
            accepted,
            current,
            last,
            base: last,
            stage: Stage::Connecting,
            tree_wanted_in: None,
            epoch: Epoch(0),
            heard_ms: now_ms,
            held: VecDeque::new(),
            stash: VecDeque::new(),
            pending: VecDeque::new(),
            committed: Zxid::ZERO,
            unacked: VecDeque::new(),
            durable: last,
            touched: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    /// The leader of this epoch wanted something cut from the log that cannot be: ask it for a whole tree.
    pub fn want_tree_in(&mut self, epoch: Option<Epoch>) {
        self.tree_wanted_in = epoch;
    }

    /// The epoch whose leader has to send a whole tree.
    pub fn tree_wanted_in(&self) -> Option<Epoch> {
        self.tree_wanted_in
    }

    /// Takes an input at a time (ms, monotonic) and gives what is to be done, in order.
    pub fn step(&mut self, now_ms: i64, input: LearnerInput) -> Vec<LearnerOutput> {
        if self.stage == Stage::Over {
            return Vec::new();
        }
        match input {
            LearnerInput::Connected => self.connected(now_ms),
            LearnerInput::Packet(packet) => {
                self.heard_ms = now_ms;
                self.held.push_back(packet);
            }
            LearnerInput::SnapshotLoaded { zxid } => self.after_own_turn(now_ms, |l| l.snapshot_loaded(zxid)),
            LearnerInput::Truncated { last } => self.after_own_turn(now_ms, |l| l.truncated(last)),
            LearnerInput::NotTruncated { why } => self.not_truncated(&why),
            LearnerInput::SnapshotSaved => self.after_own_turn(now_ms, Self::snapshot_saved),
            LearnerInput::Durable(zxid) => self.after_own_turn(now_ms, |l| l.durable(zxid)),
            LearnerInput::Forward(request) => self.if_serving(Packet::Request(request)),
            LearnerInput::Revalidate { session, timeout_ms } => {
                self.if_serving(Packet::Revalidate { session, timeout_ms });
            }
            LearnerInput::Touched(sessions) => self.touched.extend(sessions),
            LearnerInput::Gone { why } => self.lost(why),
            LearnerInput::Tick => {
                if self.next_deadline_ms().is_some_and(|at| at <= now_ms) {
                    self.lost(format!("the leader has been silent for {} ms", now_ms - self.heard_ms));
                }
            }
        }
        while !self.has_own_turn()
            && let Some(packet) = self.held.pop_front()
        {
            self.packet(packet);
        }
        std::mem::take(&mut self.out)
    }

    /// When the next [`LearnerInput::Tick`] is wanted, ms.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        match self.stage {
            // The transport looks after a connection that is being made, and after a tree on its way.
            Stage::Connecting | Stage::Over => None,
            _ if self.has_own_turn() => None,
            Stage::Registering | Stage::Promised | Stage::Streaming { .. } => {
                Some(self.heard_ms + self.config.init_limit_ms)
            }
            _ => Some(self.heard_ms + self.config.sync_limit_ms),
        }
    }

    /// The leader's epoch, once it has said so.
    pub fn epoch(&self) -> Option<Epoch> {
        (self.epoch != Epoch(0)).then_some(self.epoch)
    }

    /// Whether it serves clients.
    pub fn is_serving(&self) -> bool {
        self.stage == Stage::Serving
    }

    /// Whether the leader waits for this member, which has something to do before it takes the next packet.
    fn has_own_turn(&self) -> bool {
        matches!(self.stage, Stage::Truncating(_) | Stage::Loading | Stage::Saving | Stage::Appending(_))
    }

    /// Does what `then` says; if this ends the member's own turn, the leader's silence counts from now on.
    fn after_own_turn(&mut self, now_ms: i64, then: impl FnOnce(&mut Self)) {
        let before = self.stage;
        then(self);
        if before != self.stage {
            self.heard_ms = now_ms;
        }
    }

    fn connected(&mut self, now_ms: i64) {
        if self.stage != Stage::Connecting {
            return;
        }
        (self.stage, self.heard_ms) = (Stage::Registering, now_ms);
        let info = super::LearnerInfo {
            server: self.config.me,
            protocol: PROTOCOL_VERSION,
            config_version: self.config.config_version,
        };
        self.send(&Packet::LearnerInfo {
            observer: self.config.observer,
            zxid: epoch_start(self.accepted),
            info: Some(info),
        });
    }

    fn packet(&mut self, packet: Packet) {
        match (self.stage, packet) {
            (Stage::Connecting | Stage::Over, _) => {}
            (Stage::Registering, Packet::LeaderInfo { zxid, .. }) => self.leader_info(zxid.epoch()),
            (Stage::Registering, Packet::NewLeader { .. }) => {
                self.lost("the leader is older than 3.4: upgrade it first".to_string());
            }
            (Stage::Promised, packet) => self.sync_begins(packet),
            (Stage::Serving, packet) => self.serving(packet),
            (Stage::Registering, packet) => self.unexpected(&packet),
            (_, packet) => self.syncing(packet),
        }
    }

    /// The leader names its epoch.
    fn leader_info(&mut self, epoch: Epoch) {
        // The promise of one without a vote was not counted and binds it to nothing.
        if epoch < self.accepted && !self.config.observer {
            let (epoch, accepted) = (epoch.0, self.accepted.0);
            self.lost(format!(
                "the leader begins epoch {epoch:#x}, and {accepted:#x} is promised to already"
            ));
            return;
        }
        // Who has promised to the same epoch before must not be counted for it again; who keeps nothing, never.
        let mut current_epoch = -1;
        if epoch > self.accepted {
            if self.config.logs {
                current_epoch = self.current.0 as i32;
            }
            self.accepted = epoch;
            self.out.push(LearnerOutput::StoreEpoch { kind: EpochKind::Accepted, epoch });
        }
        self.epoch = epoch;
        self.stage = Stage::Promised;
        let mut zxid = self.last;
        // With −1 as its epoch the zxid does not count for who may lead, only for what is sent: to whom has no data, a
        // tree. What this member has stays where it is until the tree is on disk.
        if self.tree_wanted_in == Some(epoch) && (current_epoch == -1 || self.config.observer) {
            (zxid, current_epoch) = (Zxid(-1), -1);
        }
        self.send(&Packet::AckEpoch { zxid, current_epoch });
    }

    fn if_serving(&mut self, packet: Packet) {
        if self.stage == Stage::Serving {
            self.send(&packet);
        }
    }

    fn unexpected(&mut self, packet: &Packet) {
        self.lost(format!(
            "the leader sent {}, which does not belong here ({:?})",
            packet.name(),
            self.stage
        ));
    }

    fn send(&mut self, packet: &Packet) {
        self.out.push(LearnerOutput::Send { bytes: packet.to_bytes() });
    }

    fn lost(&mut self, why: String) {
        self.stage = Stage::Over;
        self.out.push(LearnerOutput::Lost { why });
    }

    fn diverged(&mut self, what: String) {
        self.stage = Stage::Over;
        self.out.push(LearnerOutput::Diverged { what });
    }
}

/// The zxid in the header of a txn: after the client's session and cxid.
fn header_zxid(entry: &[u8]) -> Option<Zxid> {
    let bytes = entry.get(12..20)?;
    Some(Zxid(i64::from_be_bytes(bytes.try_into().ok()?)))
}

#[cfg(test)]
mod tests;
