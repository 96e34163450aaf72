use super::{Notification, PeerState, Proposal, Vote};
use crate::{
    types::{ServerId, Zxid},
    zab::Quorum,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How long a decision waits for a better vote, ms. Upstream: `FastLeaderElection.finalizeWait`.
const FINALIZE_WAIT_MS: i64 = 200;
/// Notifications that wait while one is looked at; the oldest is dropped beyond that, as upstream's queue does.
const PENDING_MAX: usize = 100;

/// What a member has to know for an election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionConfig {
    /// This member.
    pub me: ServerId,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it observes. Who does neither follows without a vote: a server that is no member yet.
    pub observer: bool,
    /// Every configuration that has to agree: the active one and, during a reconfiguration, the next one.
    pub quorums: Vec<Quorum>,
    /// Text of the configuration, which notifications carry.
    pub text: String,
    /// `fastleader.minNotificationInterval`, ms.
    pub notification_interval_min_ms: i64,
    /// `fastleader.maxNotificationInterval`, ms.
    pub notification_interval_max_ms: i64,
}

/// What reaches an election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The member has no leader: a new round begins.
    Look {
        /// Its last logged zxid; −1 when its database is empty and not trusted.
        last: Zxid,
        /// Its current epoch.
        peer_epoch: i64,
    },
    /// A message of a peer.
    Heard {
        /// Who sent it.
        from: ServerId,
        /// What it says.
        notification: Notification,
    },
    /// A peer can be reached from now on, or cannot any more. Peers of whom nothing was said may be reachable.
    Reachable {
        /// Who.
        peer: ServerId,
        /// Whether it can.
        up: bool,
    },
    /// Time has passed.
    Tick,
    /// The configuration is another one. A member that looks begins a new round.
    Configured {
        /// As [`ElectionConfig::voter`].
        voter: bool,
        /// As [`ElectionConfig::observer`].
        observer: bool,
        /// As [`ElectionConfig::quorums`].
        quorums: Vec<Quorum>,
        /// As [`ElectionConfig::text`].
        text: String,
    },
    /// A reconfiguration says who leads: nobody is asked.
    Appointed {
        /// Who.
        leader: ServerId,
        /// This member's last logged zxid.
        last: Zxid,
        /// Its current epoch.
        peer_epoch: i64,
    },
    /// The leader is established with this epoch: later answers carry it, so that late joiners can compare.
    Established {
        /// The new epoch.
        epoch: i64,
    },
}

/// The part that the member plays after an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It follows.
    Follower(ServerId),
    /// It observes.
    Observer(ServerId),
}

/// What an election wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this, in place of anything that still waits for the peer.
    Send {
        /// To whom.
        to: ServerId,
        /// What.
        notification: Notification,
    },
    /// Nothing was heard for a while: see to it that there are connections to all peers.
    Reconnect,
    /// The election is over.
    Decided(Role),
}

/// The election as one member sees it.
#[derive(Clone, Debug)]
pub struct Election {
    config: ElectionConfig,
    state: PeerState,
    /// Whether it has begun to look for a leader since its start. The round does not say so: that of a stock member that a
    /// reconfiguration has given its leader is 0, and whoever joins it there takes it over.
    has_looked: bool,
    round: i64,
    /// This member's last logged zxid and current epoch.
    own: (Zxid, i64),
    initial: Proposal,
    proposal: Proposal,
    /// Votes of this round, by voter.
    votes: BTreeMap<ServerId, Vote>,
    /// Votes of members that have a leader, in whatever round they chose it.
    settled: BTreeMap<ServerId, (i32, Vote)>,
    pending: VecDeque<(ServerId, Notification)>,
    /// When each peer was answered last: to what, and what.
    answered: BTreeMap<ServerId, (i64, (Vote, Vote))>,
    /// Peers that cannot be reached: nobody waits for their votes.
    down: BTreeSet<ServerId>,
    interval_ms: i64,
    /// When the vote is told again, whatever is heard meanwhile. Upstream waits for so long a silence: members whose clocks
    /// run faster can keep it from talking for ever.
    resend_at_ms: i64,
    /// When the proposal becomes the decision unless a better one comes.
    decide_at_ms: Option<i64>,
    outputs: Vec<Output>,
}

impl Election {
    /// A member that has not looked for a leader yet.
    pub fn new(config: ElectionConfig) -> Self {
        Self {
            interval_ms: config.notification_interval_min_ms,
            config,
            state: PeerState::Looking,
            has_looked: false,
            round: 0,
            own: (Zxid::ZERO, 0),
            initial: Proposal::NONE,
            proposal: Proposal::NONE,
            votes: BTreeMap::new(),
            settled: BTreeMap::new(),
            pending: VecDeque::new(),
            answered: BTreeMap::new(),
            down: BTreeSet::new(),
            resend_at_ms: i64::MAX,
            decide_at_ms: None,
            outputs: Vec::new(),
        }
    }

    /// Takes an input at a time (ms, monotonic) and gives what is to be done, in order.
    pub fn step(&mut self, now_ms: i64, input: Input) -> Vec<Output> {
        match input {
            Input::Look { last, peer_epoch } => self.look(now_ms, last, peer_epoch),
            Input::Heard { from, notification } => {
                if self.has_looked {
                    self.answer(now_ms, from, &notification);
                }
                // Who has no vote is answered and does not count, not even as a sign that there is news.
                if self.state == PeerState::Looking && self.is_voter(from) {
                    if self.pending.len() == PENDING_MAX {
                        self.pending.pop_front();
                    }
                    self.pending.push_back((from, notification));
                    // What comes before this member knows what it has itself waits: it must not vote yet.
                    if self.looks() {
                        self.digest(now_ms);
                    }
                }
            }
            Input::Reachable { peer, up: true } => {
                self.down.remove(&peer);
            }
            Input::Reachable { peer, up: false } => {
                self.down.insert(peer);
                if self.looks() {
                    self.consider(now_ms);
                }
            }
            Input::Tick => self.tick(now_ms),
            Input::Established { epoch } => self.proposal.peer_epoch = epoch,
            Input::Configured { voter, observer, quorums, text } => {
                let restart = self.config.voter != voter || self.config.quorums != quorums;
                (self.config.voter, self.config.observer) = (voter, observer);
                (self.config.quorums, self.config.text) = (quorums, text);
                if restart && self.looks() {
                    let (last, peer_epoch) = self.own;
                    self.look(now_ms, last, peer_epoch);
                }
            }
            Input::Appointed { leader, last, peer_epoch } => {
                self.own = (last, peer_epoch);
                self.proposal = Proposal { leader, zxid: last, peer_epoch };
                self.settle(leader);
            }
        }
        std::mem::take(&mut self.outputs)
    }

    /// When the next [`Input::Tick`] is wanted, ms.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        match (self.state, self.decide_at_ms) {
            (PeerState::Looking, Some(at)) => Some(at.min(self.resend_at_ms)),
            (PeerState::Looking, None) => Some(self.resend_at_ms),
            _ => None,
        }
    }

    /// What the member is doing.
    pub fn state(&self) -> PeerState {
        self.state
    }

    /// Its number.
    pub fn me(&self) -> ServerId {
        self.config.me
    }

    /// Whether it votes.
    pub fn is_voting(&self) -> bool {
        self.config.voter
    }

    /// The same member after a restart: rounds begin anew.
    pub fn restarted(self) -> Self {
        Self::new(self.config)
    }

    /// Its current vote.
    pub fn vote(&self) -> Vote {
        Vote { proposal: self.proposal, round: self.round, state: self.state }
    }

    /// Whether this voter shared the proposal that has been decided on, as far as is known.
    pub fn was_for_it(&self, voter: ServerId) -> bool {
        self.votes.get(&voter).is_some_and(|vote| vote.agrees(&self.vote()))
    }

    /// Whether it looks for a leader. At its start it is a looking member for others, and is not in a round yet.
    fn looks(&self) -> bool {
        self.state == PeerState::Looking && self.has_looked
    }

    fn look(&mut self, now_ms: i64, last: Zxid, peer_epoch: i64) {
        self.state = PeerState::Looking;
        self.has_looked = true;
        self.own = (last, peer_epoch);
        self.round += 1;
        self.initial = if self.config.voter {
            Proposal { leader: self.config.me, zxid: last, peer_epoch }
        } else {
            Proposal::NONE
        };
        self.proposal = self.initial;
        self.votes.clear();
        self.settled.clear();
        self.answered.clear();
        self.decide_at_ms = None;
        self.interval_ms = self.config.notification_interval_min_ms;
        self.resend_at_ms = now_ms + self.interval_ms;
        self.tell_everybody();
        self.consider(now_ms);
        self.digest(now_ms);
    }

    fn tick(&mut self, now_ms: i64) {
        if !self.looks() {
            return;
        }
        if self.decide_at_ms.is_some_and(|at| at <= now_ms) {
            self.settle(self.proposal.leader);
            return;
        }
        if self.resend_at_ms <= now_ms {
            self.interval_ms = (self.interval_ms * 2).min(self.config.notification_interval_max_ms);
            self.resend_at_ms = now_ms + self.interval_ms;
            self.outputs.push(Output::Reconnect);
            self.tell_everybody();
        }
    }

    /// Looks at what waits, until there is nothing more or it has decided.
    fn digest(&mut self, now_ms: i64) {
        while self.state == PeerState::Looking {
            let Some((from, notification)) = self.pending.pop_front() else { break };
            self.hear(now_ms, from, &notification);
        }
    }

    fn hear(&mut self, now_ms: i64, from: ServerId, notification: &Notification) {
        let vote = notification.vote;
        if !self.is_voter(from) {
            return;
        }
        // A voter of the configuration to come that does not know of it is for nobody, but may be rounds ahead. This member
        // may be a quorum by itself, and then nothing else will make it look at what it has in the new round.
        if vote.state == PeerState::Looking && vote.proposal.leader == Proposal::NONE.leader {
            if vote.round > self.round {
                self.enter(vote.round, self.initial);
                self.consider(now_ms);
            }
            return;
        }
        if !self.is_voter(vote.proposal.leader) {
            return;
        }
        match vote.state {
            PeerState::Looking => self.hear_looking(now_ms, from, vote),
            PeerState::Following | PeerState::Leading => self.hear_settled(from, notification),
            PeerState::Observing => {}
        }
    }

    fn hear_looking(&mut self, now_ms: i64, from: ServerId, vote: Vote) {
        // An empty database that is not trusted neither votes nor is voted for.
        if self.initial.zxid == Zxid(-1) || vote.proposal.zxid == Zxid(-1) || vote.round < self.round {
            return;
        }
        if vote.round > self.round {
            let better = self.better(&vote.proposal, &self.initial);
            self.enter(vote.round, if better { vote.proposal } else { self.initial });
        } else if self.better(&vote.proposal, &self.proposal) {
            self.proposal = vote.proposal;
            self.decide_at_ms = None;
            self.tell_everybody();
        }
        self.votes.insert(from, vote);
        self.consider(now_ms);
    }

    /// Others are in a later round.
    fn enter(&mut self, round: i64, proposal: Proposal) {
        (self.round, self.proposal) = (round, proposal);
        self.votes.clear();
        self.decide_at_ms = None;
        self.tell_everybody();
    }

    fn hear_settled(&mut self, from: ServerId, notification: &Notification) {
        let vote = notification.vote;
        let leader = vote.proposal.leader;
        if vote.round == self.round {
            self.votes.insert(from, vote);
            let agreeing: BTreeSet<_> =
                self.votes.iter().filter(|(_, v)| v.agrees(&vote)).map(|(id, _)| *id).collect();
            let says_so = self.votes.get(&leader).map(|v| v.state);
            // This member's own vote is among them: the leader may have counted it, and waits for it to come.
            let enough = if leader == self.config.me {
                self.is_quorum(agreeing)
            } else {
                self.is_enough_to_join(&agreeing)
            };
            if enough && self.leads(leader, says_so, vote.round) {
                self.adopt(vote);
                return;
            }
        }
        self.settled.insert(from, (notification.version, vote));
        let agreeing: BTreeSet<_> = self
            .settled
            .iter()
            .filter(|(_, (version, v))| {
                let comparable = (*version > 0) == (notification.version > 0);
                v.proposal.leader == leader
                    && (!comparable || v.proposal.peer_epoch == vote.proposal.peer_epoch)
            })
            .map(|(id, _)| *id)
            .collect();
        let says_so = self.settled.get(&leader).map(|(_, v)| v.state);
        if self.is_enough_to_join(&agreeing) && self.leads(leader, says_so, vote.round) {
            self.round = vote.round;
            self.adopt(vote);
        }
    }

    /// Whether the leader that others follow says so itself: by a message that it leads, or, if it is this member,
    /// because the others chose it in the round that this member is in.
    fn leads(&self, leader: ServerId, says: Option<PeerState>, round: i64) -> bool {
        if leader == self.config.me { round == self.round } else { says == Some(PeerState::Leading) }
    }

    fn adopt(&mut self, vote: Vote) {
        self.proposal = vote.proposal;
        self.settle(vote.proposal.leader);
    }

    fn settle(&mut self, leader: ServerId) {
        let role = if leader == self.config.me {
            Role::Leader
        } else if self.config.observer {
            Role::Observer(leader)
        } else {
            Role::Follower(leader)
        };
        self.state = match role {
            Role::Leader => PeerState::Leading,
            Role::Follower(_) => PeerState::Following,
            Role::Observer(_) => PeerState::Observing,
        };
        self.decide_at_ms = None;
        self.pending.clear();
        self.outputs.push(Output::Decided(role));
    }

    /// What a message is answered with at once, whatever the member is doing.
    fn answer(&mut self, now_ms: i64, from: ServerId, heard: &Notification) {
        let looking = self.state == PeerState::Looking;
        let sender_looks = heard.vote.state == PeerState::Looking;
        // Only those that look are answered, voters or not: two that answer each other's answers never end.
        let behind = !looking || !self.is_voter(from) || heard.vote.round < self.round;
        if sender_looks
            && (behind || self.has_missed_mine(&heard.vote))
            && !self.has_just_answered(now_ms, from, heard.vote)
        {
            self.send(from);
        }
    }

    /// Whether the same was answered to the same a moment ago. Two that look, of which one takes the other for nobody with
    /// a vote and the other that one for late, would answer each other's answers as fast as they can.
    fn has_just_answered(&mut self, now_ms: i64, from: ServerId, heard: Vote) -> bool {
        let answer = (heard, self.vote());
        let pause_ms = self.config.notification_interval_min_ms / 2;
        match self.answered.get(&from) {
            Some((at_ms, before)) if *before == answer && now_ms - at_ms < pause_ms => true,
            _ => {
                // Observers may come under ever new numbers.
                self.answered.retain(|_, (at_ms, _)| now_ms - *at_ms < pause_ms);
                self.answered.insert(from, (now_ms, answer));
                false
            }
        }
    }

    /// Whether a voter of this round proposes something worse than this member does. This member's vote may have reached it
    /// before it began to look, and was lost on it then. Upstream leaves it to the next resending.
    fn has_missed_mine(&self, vote: &Vote) -> bool {
        vote.round == self.round && self.proposal.beats(&vote.proposal)
    }

    /// Sends the vote to every voter; a voter counts its own at once.
    fn tell_everybody(&mut self) {
        let me = self.config.me;
        let voters: BTreeSet<_> =
            self.config.quorums.iter().flat_map(|q| q.voters().iter().copied()).collect();
        for voter in voters {
            if voter == me {
                self.votes.insert(me, self.vote());
            } else {
                self.send(voter);
            }
        }
    }

    /// Whether a quorum shares the proposal: then it becomes the decision unless something better comes. Nothing can
    /// when every voter has spoken in this round or cannot be reached, and nothing is waited for. Upstream waits
    /// always; which leader is elected makes no difference to what is safe.
    fn consider(&mut self, now_ms: i64) {
        // Who does not trust its empty database is no quorum, be its vote the only one that there is.
        if self.own.0 == Zxid(-1) {
            return;
        }
        let mine = self.vote();
        let agreeing = self.votes.iter().filter(|(_, v)| v.agrees(&mine)).map(|(id, _)| *id);
        if !self.is_quorum(agreeing.collect()) {
            return;
        }
        let mut voters = self.config.quorums.iter().flat_map(|q| q.voters());
        if voters.all(|v| self.votes.contains_key(v) || self.down.contains(v)) {
            self.settle(self.proposal.leader);
        } else {
            self.decide_at_ms.get_or_insert(now_ms + FINALIZE_WAIT_MS);
        }
    }

    fn send(&mut self, to: ServerId) {
        let notification = Notification::new(self.vote(), self.config.text.clone());
        self.outputs.push(Output::Send { to, notification });
    }

    /// Only whose vote weighs something in the active configuration may be elected. A voter without weight is for itself
    /// at first, which is worse than anybody who may: upstream compares ids there, and such a voter with a high one
    /// stays for itself, also when a configuration to come needs its vote.
    fn better(&self, new: &Proposal, than: &Proposal) -> bool {
        let may_lead = |id| self.config.quorums.first().is_some_and(|q| q.may_lead(id));
        may_lead(new.leader) && (!may_lead(than.leader) || new.beats(than))
    }

    fn is_voter(&self, id: ServerId) -> bool {
        self.config.quorums.iter().any(|q| q.voters().contains(&id))
    }

    /// Whether so many follow a leader already that this member goes there, too. A quorum of one configuration is enough:
    /// one that only this member has seen, since it was proposed in vain, must not keep it outside. Whether the leader is
    /// one is found out there. Upstream asks for a quorum of each, and stays outside.
    fn is_enough_to_join(&self, members: &BTreeSet<ServerId>) -> bool {
        self.config.quorums.iter().any(|q| q.contains(members.iter().copied()))
    }

    fn is_quorum(&self, members: BTreeSet<ServerId>) -> bool {
        self.config.quorums.iter().all(|q| q.contains(members.iter().copied()))
    }
}
