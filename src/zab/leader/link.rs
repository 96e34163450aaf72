use super::LinkId;
use crate::types::{ServerId, Zxid};
use std::collections::VecDeque;

/// A learner's connection, as far as it has come.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) stage: Stage,
    /// Who it is; known from its first packet on.
    pub(super) server: Option<ServerId>,
    pub(super) observer: bool,
    /// It has promised to the leader's epoch, and not before.
    pub(super) promised: bool,
    /// When it is given up unless it says something; `None` while it is the leader's turn, or while a tree is on its
    /// way, whose length nobody knows.
    pub(super) deadline_ms: Option<i64>,
    /// Until when it counts as one that supports the leader.
    ///
    /// Upstream counterpart: `LearnerHandler.tickOfNextAckDeadline`.
    pub(super) supports_until_ms: i64,
    /// The greatest zxid it has acknowledged.
    pub(super) acked: Zxid,
    /// What it was sent and has not acknowledged: the last zxid of a batch, and when it was sent.
    pub(super) unacked: VecDeque<(Zxid, i64)>,
    /// PINGs sent to it.
    pub(super) pings: u64,
    /// Its answers to them, which come in order.
    pub(super) pongs: u64,
}

/// How far a learner has come, in this order; in brackets whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Connected [learner: FOLLOWERINFO or OBSERVERINFO].
    Silent,
    /// It waits for the epoch [leader: LEADERINFO once a quorum is there].
    Known,
    /// It was told the epoch [learner: ACKEPOCH].
    Told,
    /// It has promised, and has everything up to this [leader: sync once a quorum has promised].
    Promised(Zxid),
    /// The log files are being looked at, for a learner that has everything up to this [leader].
    Probing(Zxid),
    /// A tree is being seized for it [leader].
    Seizing,
    /// It was sent everything, and NEWLEADER, and is part of the broadcast [learner: ACK]. True when a tree was sent.
    Syncing(bool),
    /// It has acknowledged NEWLEADER [leader: UPTODATE once a quorum has].
    Acked,
    /// It serves clients.
    Serving,
}

impl Link {
    pub(super) fn new(deadline_ms: i64, supports_until_ms: i64) -> Self {
        Self {
            stage: Stage::Silent,
            server: None,
            observer: false,
            promised: false,
            deadline_ms: Some(deadline_ms),
            supports_until_ms,
            acked: Zxid::ZERO,
            unacked: VecDeque::new(),
            pings: 0,
            pongs: 0,
        }
    }

    /// Whether it gets what is proposed and committed.
    pub(super) fn joined(&self) -> bool {
        matches!(self.stage, Stage::Syncing(_) | Stage::Acked | Stage::Serving)
    }

    /// Whether a snapshot for it is being made, or sent, or not acknowledged yet.
    pub(super) fn takes_snapshot(&self) -> bool {
        matches!(self.stage, Stage::Seizing | Stage::Syncing(true))
    }

    /// Its number, if its acknowledgements count.
    pub(super) fn follower(&self) -> Option<ServerId> {
        if self.observer { None } else { self.server }
    }

    /// Its number, if it counts for a leader that is not established yet: an observer that has bound itself may have a
    /// vote by the configuration that is to come, or by one that it does not know of.
    ///
    /// Upstream counterpart: `Leader.waitForNewLeaderAck`, which does not ask what a learner says it is.
    pub(super) fn supporter(&self) -> Option<ServerId> {
        if self.observer && !self.promised { None } else { self.server }
    }

    /// Notes that proposals up to `zxid` were sent.
    pub(super) fn owes(&mut self, zxid: Zxid, now_ms: i64) {
        match self.unacked.back_mut() {
            Some((last, at_ms)) if *at_ms == now_ms => *last = zxid,
            _ => self.unacked.push_back((zxid, now_ms)),
        }
    }

    /// Notes that everything up to `zxid` is acknowledged.
    pub(super) fn has(&mut self, zxid: Zxid) {
        self.acked = self.acked.max(zxid);
        while self.unacked.front().is_some_and(|(owed, _)| *owed <= zxid) {
            self.unacked.pop_front();
        }
    }
}

/// A learner as administrative commands show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnerView {
    /// Its connection.
    pub link: LinkId,
    /// Its number.
    pub server: ServerId,
    /// Whether it observes.
    pub observer: bool,
    /// The last zxid it has acknowledged; 0 when none since it connected. Observers acknowledge nothing.
    pub acked: Zxid,
    /// Whether it has the state of the leader's epoch on stable storage.
    pub synced: bool,
}
