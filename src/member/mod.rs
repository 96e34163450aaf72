//! A server as a whole, without I/O: the pipeline and, in an ensemble, election, leading and learning around it.
//!
//! ```text
//!                  election                       leader: learners' links
//!   Looking ------------------> Joining ------------------------------------> Leading
//!      ^                           | learner: connection to the leader            |
//!      |                           '--------------> Following, Observing          |
//!      |  everything in flight durable and applied          |                     |
//!      '---------------------- Retiring <-------------------'---------------------'
//! ```
//!
//! Invariants: a member looks for a leader only when its tree holds its whole log and the log is on stable storage;
//! learners' packets reach the pipeline in the order of the link; what is committed is told to learners in the same
//! turn in which it becomes known.
//!
//! Upstream counterpart: `QuorumPeer`. Start reading at [`Member::accept`].

mod config;
mod io;
mod leading;
mod learning;
mod reconfig;
#[cfg(test)]
mod tests;

pub use config::{MemberConfig, RoleOptions};
pub use io::{Input, LearnerPort, MemberCounts, Output, Part, Standing, take_before_log};

use crate::{
    pipeline::{self, Deliveries, LogBatch, Now, Pipeline, PipelineConfig},
    tree::{CONFIG_PATH, Tree},
    types::{
        Epoch, ServerId, SessionId, Zxid,
        guard::{self, Guard},
        members::{Members, Role as MemberRole},
        rng::Rng,
    },
    watch::WatchManager,
    zab::{
        EpochKind, History, Leader, LeaderInput, Learner, LearnerInput, LinkId, Logged, ObserverMaster,
        Packet,
        election::{self, Election, ElectionConfig, Role},
    },
};
use reconfig::Leaving;
use std::collections::{BTreeMap, VecDeque};

/// The longest pause between two elections that came to nothing, ms, and a quarter of it more.
const BACK_OFF_MAX_MS: i64 = 1000;

/// Learners that may wait at a member which does not lead yet.
const EARLY_LINKS_MAX: usize = 1024;

/// How long they may wait at a learner, ms: it may be about to lead.
const EARLY_HELD_MS: i64 = 200;

/// Packets of each. A learner says who it is and then waits for the leader's word.
const EARLY_PACKETS_MAX: usize = 2;

/// A server. See the module.
pub struct Member {
    pipeline: Pipeline,
    log: VecDeque<LogBatch>,
    ensemble: Option<Box<Ensemble>>,
}

/// What a member of an ensemble has besides.
struct Ensemble {
    config: MemberConfig,
    election: Election,
    state: State,
    part: Part,
    /// Since when it is that, monotonic ms.
    part_since_ms: i64,
    counts: MemberCounts,
    history: History,
    accepted: Epoch,
    current: Epoch,
    /// The log is on stable storage up to this.
    durable: Zxid,
    /// The database is empty and not trusted: this member neither votes nor is elected until a leader has filled it.
    untrusted: bool,
    attempts: u64,
    /// How often it was elected, or found who was, and that came to nothing, since it last served.
    failed_joins: u32,
    /// Followers that an observer goes to, in its own order, and how many of them it has tried.
    masters: Vec<ServerId>,
    masters_tried: usize,
    /// Since when it looks for one that serves it, monotonic ms.
    masterless_since_ms: Option<i64>,
    /// What random times are drawn from.
    random: Rng,
    /// The tree holds txns that the log does not.
    unlogged: bool,
    /// The epoch whose leader has to send a whole tree; see [`Learner::want_tree_in`].
    tree_wanted_in: Option<Epoch>,
    /// Learners that came before this member leads.
    early: BTreeMap<LinkId, Vec<Packet>>,
    /// Until when those that came to a learner are kept: it may be about to lead.
    early_until_ms: i64,
    /// The configuration that the leader sent with NEWLEADER, until it is established.
    leaders_config: Option<Members>,
    /// This member is about to leave its leader.
    leaving: Option<Leaving>,
    /// Who leads when this role is over.
    appointed: Option<ServerId>,
    next_tick_ms: i64,
    /// The data of the configuration znode has to be set anew, at this time of the wall clock, ms.
    config_node_due: Option<i64>,
}

/// Which part of the protocol is running.
enum State {
    /// A role is over; what is in flight has to come to rest.
    Retiring,
    /// It lets some time pass before it looks for a leader.
    Pausing {
        until_ms: i64,
    },
    /// The election runs.
    Looking {
        /// When it begins to serve clients that need no leader, monotonic ms.
        read_only_at_ms: Option<i64>,
    },
    Leading(Box<Leader>),
    Learning {
        leader: ServerId,
        attempt: u64,
        learner: Box<Learner>,
        truncating: bool,
        /// When the connection to the leader is to be made, if it is not yet.
        connect_at_ms: Option<i64>,
        /// To whom: the leader, or a follower that passes on what the leader says.
        target: (ServerId, LearnerPort),
        /// What this member passes on to observers.
        master: Option<Box<ObserverMaster>>,
    },
}

impl Member {
    /// A server that is alone.
    pub fn standalone(pipeline: Pipeline) -> Self {
        Self { pipeline, log: VecDeque::new(), ensemble: None }
    }

    /// A member of an ensemble, after a start: it begins to look for a leader with its first tick.
    ///
    /// `last` is the last txn in its log and tree, −1 when its database is empty and not to be trusted; the epochs are
    /// those of its files, which default to the epoch of the last txn.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        config: MemberConfig,
        pipeline: PipelineConfig,
        sessions: &[(SessionId, i32)],
        last: Zxid,
        accepted: Option<Epoch>,
        current: Option<Epoch>,
        now: Now,
    ) -> Self {
        let untrusted = last == Zxid(-1);
        let last = last.max(Zxid::ZERO);
        let election = Election::new(election_config(&config));
        let history = History::new(last, config.commit_log_count);
        let current = current.unwrap_or(last.epoch());
        let ensemble = Ensemble {
            election,
            state: State::Retiring,
            part: Part::Looking,
            part_since_ms: now.mono_ms,
            counts: MemberCounts::default(),
            history,
            accepted: accepted.unwrap_or(last.epoch()).max(current),
            current,
            durable: last,
            untrusted,
            attempts: 0,
            failed_joins: 0,
            masters: Vec::new(),
            masters_tried: 0,
            masterless_since_ms: None,
            random: Rng::new(config.roles.seed),
            unlogged: false,
            tree_wanted_in: None,
            early: BTreeMap::new(),
            early_until_ms: 0,
            leaders_config: None,
            leaving: None,
            appointed: None,
            next_tick_ms: now.mono_ms,
            config_node_due: Some(now.wall_ms),
            config,
        };
        Self {
            pipeline: Pipeline::waiting(pipeline, sessions, last, now),
            log: VecDeque::new(),
            ensemble: Some(Box::new(ensemble)),
        }
    }

    /// Takes something in. What is to be done for it is appended to `out`.
    pub fn accept(&mut self, now: Now, tree: &Tree, input: Input, out: &mut Vec<Output>) {
        let Some(ensemble) = &mut self.ensemble else {
            // A standalone server has no peers; its driver sends nothing else.
            match input {
                Input::Pipeline(input) => self.pipeline.accept(now, tree, input),
                Input::Tick => self.pipeline.accept(now, tree, pipeline::Input::Tick),
                _ => {}
            }
            return;
        };
        let mut turn =
            Turn { me: ensemble, pipeline: &mut self.pipeline, log: &mut self.log, now, tree, out };
        turn.accept(input);
    }

    /// Moves on what follows from what was taken in: to the log, to learners, to the leader. To be called once a turn,
    /// after the last [`accept`](Self::accept) and after an [`apply`](Self::apply) that leaves
    /// [`has_ready`](Self::has_ready) true.
    pub fn settle(&mut self, now: Now, tree: &Tree, out: &mut Vec<Output>) {
        let Some(ensemble) = &mut self.ensemble else { return };
        Turn { me: ensemble, pipeline: &mut self.pipeline, log: &mut self.log, now, tree, out }.settle();
    }

    /// Applies committed txns; see [`Pipeline::apply`].
    pub fn apply(
        &mut self,
        tree: &mut Tree,
        watches: &mut WatchManager,
        deliveries: &mut Deliveries,
        txns_max: usize,
    ) -> bool {
        if let Some(ensemble) = &mut self.ensemble
            && let Some(time_ms) = ensemble.config_node_due.take()
        {
            let bytes = ensemble.set_config_node(tree, time_ms);
            self.pipeline.bytes_written().add(CONFIG_PATH, bytes as u64);
        }
        self.pipeline.apply(tree, watches, deliveries, txns_max);
        self.has_ready()
    }

    /// Log entries to be appended and forced, in order.
    pub fn take_log(&mut self) -> Option<LogBatch> {
        match self.ensemble {
            None => self.pipeline.take_log(),
            // Only by way of the history: what is not in it is not sent to learners.
            Some(_) => self.log.pop_front(),
        }
    }

    /// Whether [`apply`](Self::apply) and then [`settle`](Self::settle) have something to do without a new input.
    pub fn has_ready(&self) -> bool {
        self.pipeline.has_ready()
            || self.ensemble.as_ref().is_some_and(|e| {
                e.config_node_due.is_some()
                    || e.leaving.is_some()
                    || (matches!(e.state, State::Retiring) && e.at_rest(&self.pipeline))
            })
    }

    /// When the next [`Input::Tick`] is wanted at the latest, monotonic ms. `None` for a server that is alone: once a
    /// `tickTime`.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        let e = self.ensemble.as_ref()?;
        let role = match &e.state {
            State::Retiring => None,
            State::Pausing { until_ms } => Some(*until_ms),
            State::Looking { read_only_at_ms } => {
                let election = e.election.next_deadline_ms();
                let read_only = read_only_at_ms.filter(|_| e.part == Part::Looking);
                election.into_iter().chain(read_only).min()
            }
            State::Leading(leader) => leader.next_deadline_ms(),
            State::Learning { learner, connect_at_ms, master, .. } => {
                let held = Some(e.early_until_ms).filter(|_| !e.early.is_empty());
                let master = master.as_ref().and_then(|m| m.next_deadline_ms());
                let own = learner.next_deadline_ms().into_iter();
                own.chain(*connect_at_ms).chain(held).chain(master).min()
            }
        };
        Some(role.unwrap_or(i64::MAX).min(e.next_tick_ms))
    }

    /// What the server is doing.
    pub fn part(&self) -> Part {
        self.ensemble.as_ref().map_or(Part::Standalone, |e| e.part)
    }

    /// The pipeline.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The pipeline, for its notes.
    pub fn pipeline_mut(&mut self) -> &mut Pipeline {
        &mut self.pipeline
    }

    /// The leader's state, when this member leads.
    pub fn leader(&self) -> Option<&Leader> {
        match self.ensemble.as_ref().map(|e| &e.state) {
            Some(State::Leading(leader)) => Some(leader),
            _ => None,
        }
    }

    /// How it stands in its ensemble. `None` for a server that is alone.
    pub fn standing(&self) -> Option<Standing> {
        let me = self.ensemble.as_ref()?;
        let leads = matches!(me.part, Part::Leading | Part::LeadingOnly);
        Some(Standing {
            voters: me.config.members.voters().count(),
            leads_since_ms: leads.then_some(me.part_since_ms),
            master: match &me.state {
                State::Learning { target: (master, _), .. } => Some(*master),
                _ => None,
            },
        })
    }

    /// What it has heard from leaders and given to learners since its start; nothing of a server that is alone.
    pub fn counts(&self) -> MemberCounts {
        self.ensemble.as_ref().map(|e| e.counts).unwrap_or_default()
    }

    /// Its epochs: accepted and current. `None` for a server that is alone.
    pub fn epochs(&self) -> Option<(Epoch, Epoch)> {
        self.ensemble.as_ref().map(|e| (e.accepted, e.current))
    }

    /// The newest txns. `None` for a server that is alone.
    pub fn history(&self) -> Option<&History> {
        self.ensemble.as_ref().map(|e| &e.history)
    }

    /// Its vote in the running or last election.
    pub fn vote(&self) -> Option<election::Vote> {
        self.ensemble.as_ref().map(|e| e.election.vote())
    }
}

impl Ensemble {
    /// How long it waits before it looks for a leader again, ms: a leader that fails at once must not make elections
    /// without end. The first time may be chance. Later the times are: two that look in turns, each while the other one
    /// waits for followers, would never meet.
    fn back_off_ms(&mut self) -> i64 {
        match self.failed_joins {
            0 | 1 => 0,
            n => {
                let most = BACK_OFF_MAX_MS.min(5 << n.min(16));
                most / 4 + self.draw_ms(most)
            }
        }
    }

    /// Whether nothing is in flight: the log is on stable storage and the tree holds all of it.
    fn at_rest(&self, pipeline: &Pipeline) -> bool {
        pipeline.in_flight() == 0 && !pipeline.has_ready() && self.durable >= self.history.last()
    }

    /// The follower to which an observer goes next instead of to its leader, and whether it begins its list anew. `None`: to
    /// the leader, as everybody else does, a server that is no member yet too. An observer goes there when no follower has
    /// served it for `initLimit`: a leader that is not established may need it for a reconfiguration under way, and no
    /// follower serves before that.
    ///
    /// Upstream counterpart: `QuorumPeer.findLearnerMaster`, which never gives the leader.
    fn next_master(&mut self, leader: ServerId, now_ms: i64) -> Option<(ServerId, bool)> {
        if self.config.role() != MemberRole::Observer || !self.config.roles.observer_masters {
            return None;
        }
        let voters: Vec<_> = self.config.members.voters().collect();
        let mut known = self.masters.clone();
        known.sort_unstable();
        if known != voters {
            (self.masters, self.masters_tried) = (voters, 0);
            for n in (1..self.masters.len()).rev() {
                let other = self.draw_ms(n as i64 + 1) as usize;
                self.masters.swap(n, other);
            }
        }
        let since_ms = *self.masterless_since_ms.get_or_insert(now_ms);
        let mut again = false;
        loop {
            while let Some(&master) = self.masters.get(self.masters_tried) {
                self.masters_tried += 1;
                if master != leader {
                    return Some((master, again));
                }
            }
            self.masters_tried = 0;
            if again || now_ms.saturating_sub(since_ms) >= self.config.init_limit_ms() {
                return None;
            }
            again = true;
        }
    }

    /// A random time below `max_ms`; 0 when that is 0 or less.
    fn draw_ms(&mut self, max_ms: i64) -> i64 {
        // Upstream counterpart: `ThreadLocalRandom`.
        self.random.below(u64::try_from(max_ms).unwrap_or(0)) as i64
    }

    /// The configuration znode says what the active configuration is: that of a file was never in a txn, and one may
    /// be adopted without its txn. The time is each member's own, as upstream. Answers the bytes of its path and data.
    fn set_config_node(&self, tree: &mut Tree, time_ms: i64) -> usize {
        let text = self.config.members.to_string();
        let there = tree.lookup(CONFIG_PATH).and_then(|node| node.data());
        // A newer one came with its txn, and is to come.
        let newer = there.is_some_and(|data| reconfig::version_of(data) > self.config.members.version);
        if there != Some(text.as_bytes()) && !newer {
            tree.set_config(text.as_bytes(), reconfig::version(&self.config.members), time_ms);
        }
        CONFIG_PATH.len() + text.len()
    }
}

/// One input and everything at hand to deal with it.
struct Turn<'a> {
    me: &'a mut Ensemble,
    pipeline: &'a mut Pipeline,
    log: &'a mut VecDeque<LogBatch>,
    now: Now,
    tree: &'a Tree,
    out: &'a mut Vec<Output>,
}

impl Turn<'_> {
    fn accept(&mut self, input: Input) {
        match input {
            Input::Pipeline(pipeline::Input::Durable(zxid)) => self.durable(zxid),
            Input::Pipeline(input) => self.pipe(input),
            Input::Heard { from, notification } => {
                let looks = notification.vote.state == election::PeerState::Looking;
                if looks && matches!(self.me.state, State::Leading(_)) && self.me.election.was_for_it(from) {
                    self.lead(LeaderInput::Disloyal { member: from });
                }
                self.hear_config(&notification);
                self.elect(election::Input::Heard { from, notification });
            }
            Input::Reachable { peer, up } => self.elect(election::Input::Reachable { peer, up }),
            Input::LinkUp { link } => self.link_up(link),
            Input::LinkPacket { link, packet } => self.link_packet(link, packet),
            Input::LinkDown { link, why } => self.link_down(link, &why),
            Input::LogProbed { link, at } => self.bring(LeaderInput::LogProbed { link, at }),
            Input::SnapshotBegun { link, zxid } => {
                self.bring(LeaderInput::SnapshotBegun { link, zxid });
            }
            Input::SnapshotSent { link } => self.bring(LeaderInput::SnapshotSent { link }),
            Input::LeaderUp { attempt } => self.learn(attempt, LearnerInput::Connected),
            Input::LeaderPacket { attempt, packet } => {
                self.learn(attempt, LearnerInput::Packet(packet));
            }
            Input::LeaderDown { attempt, why } => {
                self.learn(attempt, LearnerInput::Gone { why });
            }
            Input::TreeLoaded { attempt, zxid, sessions } => self.tree_loaded(attempt, zxid, &sessions),
            Input::Truncated { last, sessions } => self.truncated(last, &sessions),
            Input::NotTruncated { why } => self.not_truncated(why),
            Input::Tick => self.tick(),
        }
    }

    fn pipe(&mut self, input: pipeline::Input) {
        if reconfig::is_reconfig(&input) {
            self.note_in_step();
        }
        self.pipeline.accept(self.now, self.tree, input);
    }

    fn durable(&mut self, zxid: Zxid) {
        self.me.durable = self.me.durable.max(zxid);
        self.me.history.force(zxid);
        self.pipe(pipeline::Input::Durable(zxid));
        self.learn_any(LearnerInput::Durable(zxid));
    }

    fn tick(&mut self) {
        let now_ms = self.now.mono_ms;
        match &self.me.state {
            State::Retiring => {}
            State::Pausing { until_ms } if now_ms < *until_ms => {}
            State::Pausing { .. } => self.look(),
            State::Looking { read_only_at_ms } => {
                if read_only_at_ms.is_some_and(|at_ms| now_ms >= at_ms) {
                    self.begin_read_only();
                }
                self.elect(election::Input::Tick);
            }
            State::Leading(_) => {
                self.lead(LeaderInput::Tick);
                self.note_in_step();
            }
            State::Learning { .. } => {
                if now_ms >= self.me.early_until_ms {
                    self.close_early("this member follows another one");
                }
                self.connect_in_time();
                self.learn_any(LearnerInput::Tick);
                self.pass_on(LeaderInput::Tick);
            }
        }
        if now_ms >= self.me.next_tick_ms {
            self.me.next_tick_ms = now_ms + self.me.config.tick_ms;
            self.pipe(pipeline::Input::Tick);
        }
    }

    /// Everything that follows from what the pipeline has taken in.
    fn settle(&mut self) {
        self.hand_on_log();
        self.hand_on_messages();
        if let State::Learning { .. } = self.me.state {
            self.me.history.commit(self.pipeline.committed());
            self.pass_on(LeaderInput::Committed(self.pipeline.committed()));
            if let Some(fault) = self.pipeline.fault() {
                let why = fault.to_string();
                self.retire(&why);
            } else if !self.pipeline.has_ready()
                && let Some(Leaving { to, why }) = self.me.leaving.take()
            {
                self.me.appointed = to;
                self.retire(why);
            }
        }
        if self.pipeline.counter_exhausted() && matches!(self.me.state, State::Leading(_)) {
            self.retire(
                "the counter of the epoch's transactions has come to its end: a new epoch has to begin",
            );
        }
        if matches!(self.me.state, State::Retiring) {
            self.hand_on_log();
            if self.me.at_rest(self.pipeline) {
                self.pause();
            }
        }
    }

    /// New entries go into the history and to the log; a leader's also to its learners.
    fn hand_on_log(&mut self) {
        let mut any = false;
        while let Some(batch) = self.pipeline.take_log() {
            if self.me.part.serves() || guard::holds(Guard::HistoryWhole) {
                batch.logged().for_each(|txn: Logged| self.me.history.propose(txn));
                if !self.me.config.logs() {
                    // It is as good as on disk: nobody counts on what an observer has.
                    self.me.unlogged = true;
                    self.durable(batch.last);
                    continue;
                }
            }
            self.log.push_back(batch);
            any = true;
        }
        if any {
            self.bring(LeaderInput::Proposed);
        }
    }

    /// The end of a role: clients and peers go, and what is in flight comes to rest.
    fn retire(&mut self, why: &str) {
        self.out.push(Output::Note { text: why.to_owned() });
        match std::mem::replace(&mut self.me.state, State::Retiring) {
            State::Leading(leader) => {
                for link in leader.links() {
                    self.out.push(Output::Close { link, why: "this member does not lead any more".into() });
                }
            }
            State::Learning { attempt, master, .. } => {
                self.out.push(Output::DisconnectLeader { attempt });
                for link in master.iter().flat_map(|m| m.links()) {
                    self.out.push(Output::Close { link, why: "this member does not follow any more".into() });
                }
            }
            State::Retiring | State::Pausing { .. } | State::Looking { .. } => {}
        }
        // The old leader may be gone before this member has left it.
        if let Some(Leaving { to: Some(leader), .. }) = self.me.leaving.take() {
            self.me.appointed = Some(leader);
        }
        // Its learners may know earlier than this member that it is to lead.
        if self.me.appointed != Some(self.me.config.me) {
            self.close_early("this member does not lead");
        }
        self.me.leaders_config = None;
        if self.me.part.serves() {
            self.out.push(Output::CloseClients);
        }
        if let Part::Joining { .. } = self.me.part {
            self.me.failed_joins = self.me.failed_joins.saturating_add(1);
        }
        self.set_part(Part::Looking);
        self.pipeline.retire();
    }

    /// Before it looks for the next leader, an observer that has lost one leaves the voters a moment to themselves, and
    /// whoever has failed to join one backs off.
    ///
    /// Upstream counterpart: `Observer.waitForObserverElectionDelay`.
    fn pause(&mut self) {
        let observed = !self.me.config.votes() && self.me.attempts > 0 && self.me.appointed.is_none();
        let max_ms = if observed { self.me.config.roles.election_delay_max_ms } else { 0 };
        let observed_ms = self.me.draw_ms(max_ms);
        let back_off_ms = if self.me.appointed.is_some() { 0 } else { self.me.back_off_ms() };
        match observed_ms.saturating_add(back_off_ms) {
            0 => self.look(),
            ms => self.me.state = State::Pausing { until_ms: self.now.mono_ms + ms },
        }
    }

    /// Nothing is in flight any more: the member looks for a leader, or goes to the one it knows of.
    fn look(&mut self) {
        if self.me.unlogged && self.me.config.logs() {
            let what =
                "as an observer without a log it has not kept what it was told, and now it has to".into();
            self.out.push(Output::Diverged { what });
            return;
        }
        // The tree holds all of it, so for a leader to come it is as good as committed: what is not will be cut off.
        let last = self.me.history.last();
        self.me.history.commit(last);
        let grace_ms = self.me.config.roles.read_only_after_ms;
        let read_only_at_ms = grace_ms.map(|ms| self.now.mono_ms.saturating_add(ms));
        self.me.state = State::Looking { read_only_at_ms };
        self.set_part(Part::Looking);
        self.see_config_of_log();
        if let Some(leader) = self.me.appointed.take() {
            self.appoint(leader);
            return;
        }
        let last = if self.me.untrusted { Zxid(-1) } else { last };
        let peer_epoch = i64::from(self.me.current.0);
        self.elect(election::Input::Look { last, peer_epoch });
    }

    /// Nobody leads for a while: clients that accept it are served from the tree as it is.
    fn begin_read_only(&mut self) {
        if self.me.part == Part::Looking {
            self.pipeline.serve_read_only();
            self.set_part(Part::ReadOnly);
        }
    }

    /// Somebody leads: who was served without a leader has to come again.
    fn end_read_only(&mut self) {
        if self.me.part == Part::ReadOnly {
            self.out.push(Output::CloseClients);
            self.pipeline.retire();
            self.set_part(Part::Looking);
        }
    }

    fn elect(&mut self, input: election::Input) {
        let outputs = self.me.election.step(self.now.mono_ms, input);
        for output in outputs {
            match output {
                election::Output::Send { to, notification } => {
                    self.out.push(Output::Notify { to, notification });
                }
                election::Output::Reconnect => self.out.push(Output::ConnectPeers),
                election::Output::Decided(Role::Leader) => {
                    self.end_read_only();
                    self.begin_to_lead();
                }
                election::Output::Decided(Role::Follower(leader) | Role::Observer(leader)) => {
                    self.end_read_only();
                    self.begin_to_learn(leader);
                }
            }
        }
    }

    fn store_epoch(&mut self, kind: EpochKind, epoch: Epoch) {
        match kind {
            EpochKind::Accepted => self.me.accepted = epoch,
            EpochKind::Current => self.me.current = epoch,
        }
        if kind == EpochKind::Accepted && !guard::holds(Guard::StoreAccepted) {
            return;
        }
        self.out.push(Output::StoreEpoch { kind, epoch });
    }

    fn set_part(&mut self, part: Part) {
        if self.me.part != part {
            if part.serves() {
                self.me.failed_joins = 0;
            }
            if matches!(part, Part::Observing { .. }) {
                self.me.masterless_since_ms = None;
            }
            (self.me.part, self.me.part_since_ms) = (part, self.now.mono_ms);
            self.out.push(Output::Part(part));
        }
    }

    fn close_early(&mut self, why: &str) {
        for link in std::mem::take(&mut self.me.early).into_keys() {
            self.out.push(Output::Close { link, why: why.to_owned() });
        }
    }
}

fn election_config(config: &MemberConfig) -> ElectionConfig {
    ElectionConfig {
        me: config.me,
        voter: config.votes(),
        observer: config.role() == MemberRole::Observer,
        quorums: config.quorums(),
        text: config.members.to_string(),
        notification_interval_min_ms: config.notification_interval_min_ms,
        notification_interval_max_ms: config.notification_interval_max_ms,
    }
}
