//! What a server is to its ensemble, and how that changes.

use super::{
    Now, Origin, Pipeline, PipelineConfig, PipelineFault, Reaper, ToLeader, ToLearner, learner::Learning,
    remote::Learners,
};
use crate::{
    ops::{Membership, Outstanding},
    session::SessionTracker,
    types::{
        Epoch, ServerId, SessionId, Zxid,
        guard::{self, Guard},
        members::Members,
    },
    zab::{Broadcast, Quorum},
};
use std::collections::BTreeSet;

/// The largest counter that is given out: the one after it would end the epoch.
///
/// Upstream counterpart: `Leader.propose` and its `XidRolloverException`.
const COUNTER_MAX: u32 = u32::MAX - 1;

/// What a server is to its ensemble.
#[derive(Debug)]
pub(super) enum Role {
    /// It has no leader. What the role before this one left behind is applied as it becomes durable.
    Waiting {
        /// The last txn in the log or on its way there.
        last: Zxid,
        /// Clients that accept it are served from the tree as it is.
        read_only: bool,
    },
    /// It proposes.
    Leading(Leading),
    /// It does what its leader says.
    Learning(Learning),
}

/// One that proposes: a standalone server, or the leader of an ensemble.
#[derive(Debug)]
pub(super) struct Leading {
    pub(super) broadcast: Broadcast,
    /// What it needs to know of its learners; `None` when it is standalone.
    pub(super) learners: Option<Box<Learners>>,
    /// It takes clients of its own.
    serving: bool,
    /// The ensemble, if it may be reconfigured.
    pub(super) membership: Option<Membership>,
}

impl Role {
    /// That of a standalone server.
    pub(super) fn alone(server: ServerId, last: Zxid) -> Self {
        let broadcast = Broadcast::new(Quorum::majority([server]), last);
        Role::Leading(Leading { broadcast, learners: None, serving: true, membership: None })
    }

    /// Whether this server leads an ensemble.
    pub(super) fn has_learners(&self) -> bool {
        matches!(self, Role::Leading(Leading { learners: Some(_), .. }))
    }
}

impl Leading {
    /// Whether the epoch has no number left for another txn. A standalone server goes on into the next one.
    pub(super) fn exhausted(&self) -> bool {
        self.learners.is_some()
            && self.broadcast.proposed().counter() >= COUNTER_MAX
            && guard::holds(Guard::EpochEnds)
    }

    /// Whether nothing more is proposed.
    pub(super) fn is_over(&self) -> bool {
        self.exhausted() || self.broadcast.is_over()
    }

    /// The txn proposed last is a reconfiguration, checked against the membership.
    pub(super) fn reconfigure(&mut self, me: ServerId, data: Option<&[u8]>) {
        let (Some(membership), Some(learners)) = (&mut self.membership, &mut self.learners) else { return };
        let Some(members) = read_config(data) else { return };
        self.broadcast.reconfigure(Quorum::of(&members));
        learners.decide_alone(self.broadcast.decides_alone(me));
        learners.tell(ToLearner::Reconfiguring(Box::new(members.clone())));
        membership.last_seen = members;
    }

    /// More is committed. If a reconfiguration is among it, the new configuration counts from now on.
    pub(super) fn activate(&mut self, me: ServerId) {
        let (Some(membership), Some(learners)) = (&mut self.membership, &mut self.learners) else { return };
        let Membership { active, last_seen, untold, .. } = membership;
        let stays = last_seen.votes(me)
            && match (active.servers.get(&me), last_seen.servers.get(&me)) {
                (Some(before), Some(after)) => before.same_quorum_addresses(after),
                _ => false,
            };
        let Some((zxid, designated)) = self.broadcast.activate(me, stays) else { return };
        *active = last_seen.clone();
        *untold = true;
        learners.decide_alone(self.broadcast.decides_alone(me));
        learners.tell(ToLearner::Activated { zxid, designated, members: Box::new(active.clone()) });
    }
}

/// The configuration in the txn of a reconfiguration.
pub(super) fn read_config(data: Option<&[u8]>) -> Option<Members> {
    let text = std::str::from_utf8(data?).ok()?;
    Members::read_active(text).ok()
}

/// These sessions, applied and without a holder. They expire if a time is given from which to reckon.
pub(super) fn tracker(tick_ms: i64, sessions: &[(SessionId, i32)], now: Option<Now>) -> SessionTracker {
    let (mut tracker, now_ms) = match now {
        Some(now) => (SessionTracker::new(tick_ms), now.mono_ms),
        None => (SessionTracker::without_time(tick_ms), 0),
    };
    for (session, timeout_ms) in sessions {
        tracker.add(*session, *timeout_ms, now_ms);
        tracker.confirm(*session, *timeout_ms);
    }
    tracker
}

impl Pipeline {
    /// A member of an ensemble that has no leader yet. Its tree is that after `last`, with these sessions.
    pub fn waiting(config: PipelineConfig, sessions: &[(SessionId, i32)], last: Zxid, now: Now) -> Self {
        let mut pipeline = Self::with_role(config, Role::Waiting { last, read_only: false }, last, now);
        pipeline.sessions = tracker(pipeline.config.tick_ms, sessions, None);
        pipeline.avoid(sessions);
        pipeline
    }

    /// From now on it leads: proposals begin with the epoch's first number and need each of these quorums. The time of
    /// all sessions begins anew, and nobody holds them.
    ///
    /// # Panics
    /// When something is in flight, or without a quorum.
    pub fn lead(&mut self, quorums: Vec<Quorum>, epoch: Epoch, now: Now) {
        assert!(self.in_flight.is_empty(), "a role begins when the one before is over");
        let alone = quorums.iter().all(|q| q.contains([self.config.server]));
        let start = Zxid::new(epoch, self.config.first_counter);
        self.sessions = tracker(self.config.tick_ms, &self.sessions.confirmed(), Some(now));
        self.outstanding = Outstanding::new(self.config.ops.owner_rules);
        self.reaper = Reaper::new(self.config.reaper, now);
        self.ids.go_on_after(start, now.wall_ms);
        self.exact_after = Some(Zxid::ZERO);
        let broadcast = Broadcast::of(quorums, start);
        let learners = Some(Box::new(Learners::new(alone, start)));
        self.role = Role::Leading(Leading { broadcast, learners, serving: true, membership: None });
    }

    /// A leader leaves clients to the other members.
    pub fn turn_clients_away(&mut self) {
        if let Role::Leading(leading) = &mut self.role {
            leading.serving = false;
        }
    }

    /// To a leader that has just begun: its ensemble may be reconfigured, and is this one. A leader that is not told
    /// refuses.
    pub fn set_membership(&mut self, of: Membership) {
        if let Role::Leading(leading) = &mut self.role {
            leading.membership = Some(of);
        }
    }

    /// To a leader: these members are in step with it, itself among them.
    pub fn set_in_step(&mut self, members: BTreeSet<ServerId>) {
        if let Role::Leading(Leading { membership: Some(membership), .. }) = &mut self.role {
            membership.in_step = members;
        }
    }

    /// The configuration that the leader has proposed last, if there is one since the last call.
    pub fn take_config_seen(&mut self) -> Option<Members> {
        match &mut self.role {
            Role::Learning(learning) => learning.config_seen.take(),
            _ => None,
        }
    }

    /// From now on it takes proposals and commits from a leader. Clients are not served yet.
    ///
    /// # Panics
    /// When something is in flight.
    pub fn learn(&mut self) {
        assert!(self.in_flight.is_empty(), "a role begins when the one before is over");
        self.role = Role::Learning(Learning::new(self.proposed()));
    }

    /// A learner that is in step with its leader: from now on clients are served.
    pub fn serve(&mut self, now: Now) {
        if let Role::Learning(learning) = &mut self.role {
            learning.serving = true;
            self.exact_after = Some(learning.appended);
            self.ids.go_on_after(learning.appended, now.wall_ms);
        }
    }

    /// Without a leader: from now on clients are served that accept a server which takes no writes, from the tree as it
    /// is. That may hold what is never committed, and lack what is; it is what such a client accepts. Their sessions
    /// are known only here. It ends with [`retire`](Self::retire); their connections are to be closed then.
    ///
    /// Upstream counterpart: `ReadOnlyZooKeeperServer`.
    ///
    /// # Panics
    /// When something is in flight.
    pub fn serve_read_only(&mut self) {
        assert!(self.in_flight.is_empty(), "the tree does not change under these clients");
        if let Role::Waiting { read_only, .. } = &mut self.role {
            *read_only = true;
        }
    }

    /// The role is over. What is in flight is applied once it is on stable storage, committed or not: the log has it,
    /// and the next leader decides what becomes of it. Nobody is told, neither answers nor watches, and what clients
    /// still send is dropped: their connections are being closed.
    ///
    /// Until the tree is that of a leader again it may hold what is never committed, so nobody may read it.
    pub fn retire(&mut self) {
        self.role = Role::Waiting { last: self.proposed(), read_only: false };
        if !guard::holds(Guard::ApplyInFlight) {
            self.in_flight.clear();
        }
        for in_flight in &mut self.in_flight {
            in_flight.origin = Origin::Elsewhere;
            in_flight.behind.clear();
        }
        self.last_of_session.clear();
        self.held.clear();
        self.ready.clear();
        self.quota_notes.clear();
        // Sessions whose createSession is in flight are added again when that is applied.
        self.sessions = tracker(self.config.tick_ms, &self.sessions.confirmed(), None);
    }

    /// The tree has been replaced by that after `last`, with these sessions. Nothing is in flight, and no clients are
    /// served.
    ///
    /// # Panics
    /// When something is in flight, or on a leader.
    pub fn replace_state(&mut self, last: Zxid, sessions: &[(SessionId, i32)], _now: Now) {
        assert!(self.in_flight.is_empty(), "a tree is replaced when nothing is in flight");
        assert!(!matches!(self.role, Role::Leading(_)), "a leader's tree is the one that counts");
        self.durable = last;
        self.sessions = tracker(self.config.tick_ms, sessions, None);
        self.avoid(sessions);
        self.outstanding = Outstanding::new(self.config.ops.owner_rules);
        match &mut self.role {
            Role::Waiting { last: at, .. } => *at = last,
            Role::Learning(learning) => *learning = Learning::new(last),
            Role::Leading(_) => {}
        }
    }

    /// The last zxid that may be applied, and will be by [`apply`](Self::apply): committed by a quorum, or, without a
    /// leader, on stable storage.
    pub fn committed(&self) -> Zxid {
        match &self.role {
            Role::Waiting { .. } => self.durable,
            Role::Leading(leading) => leading.broadcast.committed(),
            Role::Learning(learning) => learning.committed,
        }
    }

    /// The last zxid proposed, by this server or by its leader. That of a new leader is its epoch with counter 0.
    pub fn proposed(&self) -> Zxid {
        match &self.role {
            Role::Waiting { last, .. } => *last,
            Role::Leading(leading) => leading.broadcast.proposed(),
            Role::Learning(learning) => learning.appended,
        }
    }

    /// Whether a leader has run out of numbers in its epoch: it proposes nothing more and has to give up.
    pub fn counter_exhausted(&self) -> bool {
        matches!(&self.role, Role::Leading(leading) if leading.exhausted())
    }

    /// Why a learner has to leave its leader, if it has to.
    pub fn fault(&self) -> Option<&PipelineFault> {
        match &self.role {
            Role::Learning(learning) => learning.fault.as_ref(),
            _ => None,
        }
    }

    /// What a learner has to tell its leader since the last call. To be drained after every
    /// [`accept`](Self::accept).
    pub fn take_to_leader(&mut self) -> Vec<ToLeader> {
        match &mut self.role {
            Role::Learning(learning) => learning.take_out(),
            _ => Vec::new(),
        }
    }

    /// What a leader has to tell its learners, or a follower its observers, since the last call. To be drained after every
    /// [`accept`](Self::accept), behind the proposals of [`take_log`](Self::take_log).
    pub fn take_to_learners(&mut self) -> Vec<ToLearner> {
        match &mut self.role {
            Role::Leading(Leading { learners: Some(learners), membership, .. }) => {
                if let Some(membership) = membership {
                    membership.untold = false;
                }
                learners.take_out()
            }
            Role::Learning(learning) => learning.take_to_observers(),
            _ => Vec::new(),
        }
    }

    /// Whether it serves clients.
    pub(super) fn serves(&self) -> bool {
        match &self.role {
            Role::Waiting { read_only, .. } => *read_only,
            Role::Leading(leading) => leading.serving,
            Role::Learning(learning) => learning.serving,
        }
    }

    /// Whether it serves clients without a leader.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self.role, Role::Waiting { read_only: true, .. })
    }

    /// Whether it is a member of an ensemble.
    pub(super) fn has_peers(&self) -> bool {
        !matches!(&self.role, Role::Leading(Leading { learners: None, .. }))
    }
}
