//! A leader: discovery, synchronisation and broadcast towards its learners.
//!
//! The phases come in this order, and each of the first three has to end within `initLimit`:
//!
//! ```text
//! Discovery   learners say which epoch they have promised to       until a quorum is there: a new, greater epoch
//! Promise     learners promise to follow no older one              until a quorum has: the leader's history is it
//! Sync        learners get that history, and acknowledge it        until a quorum has: the leader is established
//! Broadcast   proposals and commits go out, acknowledgements come in
//! ```
//!
//! A learner goes its own way through the same steps ([`link::Stage`]), whenever it comes.
//!
//! Invariants: an epoch is on disk before anybody hears of it; a link that has joined has been sent everything up to
//! [`Leader::proposed`] and [`Leader::committed`], so that all of them can be sent the same bytes; after a resignation
//! nothing is said any more.
//!
//! Upstream counterpart: `Leader`, `LearnerHandler`. Start reading at [`Leader::step`].

mod broadcast;
mod io;
mod link;
pub(super) mod plan;
mod sync;

pub use io::{LeaderConfig, LeaderInput, LeaderOutput, LinkId};
pub use link::LearnerView;

use super::{EpochKind, History, LearnerInfo, Logged, PROTOCOL_VERSION, Packet, epoch_start};
use crate::types::{Epoch, ServerId, Zxid};
use broadcast::Barrier;
use link::{Link, Stage};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A member that was elected, towards its learners.
#[derive(Clone, Debug)]
pub struct Leader {
    config: LeaderConfig,
    /// Its own epochs and last zxid when it was elected.
    accepted: Epoch,
    current: Epoch,
    last: Zxid,
    phase: Phase,
    /// When the phase has to be over.
    phase_until_ms: i64,
    /// The greatest epoch that anybody has promised to.
    accepted_max: Epoch,
    /// The epoch it begins; decided with the end of discovery.
    epoch: Epoch,
    /// Who has promised to it. A promise outlives its connection.
    promised: BTreeSet<ServerId>,
    links: BTreeMap<LinkId, Link>,
    /// Up to where joined links have been sent proposals, and commits; `None` before the first step.
    sent: Option<(Zxid, Zxid)>,
    /// What lies between the two. The history may have dropped it by the time it is committed here.
    outstanding: VecDeque<Logged>,
    next_ping_ms: i64,
    next_check_ms: i64,
    barriers: VecDeque<Barrier>,
    /// The last reconfiguration and who is to lead after it.
    activation: Option<(Zxid, ServerId)>,
    /// Another one is to lead: who, and until when it has to have left.
    hand_over: Option<(Option<ServerId>, i64)>,
    brought: Brought,
    now_ms: i64,
    out: Vec<LeaderOutput>,
}

/// How many learners were brought up to date by whom, and how.
///
/// Upstream counterpart: the metrics `diff_count` and `snap_count` of `LearnerHandler`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Those that were sent the txns that they miss, or told to cut off those that they have too many.
    pub by_txns: u64,
    /// Those that were sent the tree.
    pub by_tree: u64,
}

impl Brought {
    pub(super) fn add(&mut self, by_tree: bool) {
        *if by_tree { &mut self.by_tree } else { &mut self.by_txns } += 1;
    }
}

impl std::ops::AddAssign for Brought {
    fn add_assign(&mut self, other: Self) {
        self.by_txns += other.by_txns;
        self.by_tree += other.by_tree;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Discovery,
    Promise,
    Sync,
    Broadcast,
    Resigned,
}

impl Leader {
    /// A member with these epochs and this last txn was elected. It is alone until learners connect; the first step
    /// should come at once, because a single voter is a quorum.
    pub fn new(config: LeaderConfig, now_ms: i64, accepted: Epoch, current: Epoch, last: Zxid) -> Self {
        Self {
            phase_until_ms: now_ms + config.init_limit_ms,
            config,
            accepted,
            current,
            last,
            phase: Phase::Discovery,
            accepted_max: accepted,
            epoch: Epoch(0),
            promised: BTreeSet::new(),
            links: BTreeMap::new(),
            sent: None,
            outstanding: VecDeque::new(),
            next_ping_ms: 0,
            next_check_ms: 0,
            barriers: VecDeque::new(),
            activation: None,
            hand_over: None,
            brought: Brought::default(),
            now_ms,
            out: Vec::new(),
        }
    }

    /// Takes an input at a time (ms, monotonic) and gives what is to be done, in order. `history` is that of the
    /// member, with everything it has proposed and committed.
    pub fn step(&mut self, now_ms: i64, history: &History, input: LeaderInput) -> Vec<LeaderOutput> {
        if self.phase == Phase::Resigned {
            return Vec::new();
        }
        self.now_ms = now_ms;
        // The packet that announces a tree is the first output of its step, whatever else there is to say.
        let seized = match input {
            LeaderInput::SnapshotBegun { link, zxid } => self.announce_snapshot(link, zxid, history),
            _ => None,
        };
        self.flush(history);
        if self.phase == Phase::Resigned {
            return std::mem::take(&mut self.out);
        }
        match input {
            LeaderInput::Connected { link } => {
                let limits = self.config.init_limit_ms + self.config.sync_limit_ms;
                self.links.insert(link, Link::new(now_ms + self.config.init_limit_ms, now_ms + limits));
            }
            LeaderInput::Packet { link, packet } => self.packet(link, packet, history),
            LeaderInput::Gone { link } => {
                self.links.remove(&link);
            }
            LeaderInput::Tick => self.tick(),
            LeaderInput::Proposed | LeaderInput::Committed(_) => {}
            LeaderInput::Configured { quorums, config_text, config_version } => {
                let config = &mut self.config;
                (config.quorums, config.config_text) = (quorums, config_text);
                config.config_version = config_version;
            }
            LeaderInput::Activated { zxid, designated } => self.activation = Some((zxid, designated)),
            LeaderInput::HandOver { to } => {
                self.barriers.clear();
                self.hand_over = Some((to, now_ms + self.config.sync_limit_ms));
            }
            LeaderInput::LogProbed { link, at } => self.log_probed(link, at, history),
            LeaderInput::SnapshotBegun { link, zxid } => {
                if seized.is_some() {
                    self.join(link, Vec::new(), zxid, true, history);
                }
            }
            LeaderInput::SnapshotSent { link } => self.snapshot_sent(link),
            LeaderInput::Disloyal { member } => self.disloyal(member),
            LeaderInput::Barrier(id) => self.barrier(id),
        }
        self.advance(history);
        std::mem::take(&mut self.out)
    }

    /// When the next [`LeaderInput::Tick`] is wanted, ms.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        let links = self.links.values().filter_map(|l| l.deadline_ms).min();
        let own = match self.phase {
            Phase::Resigned => return None,
            // Nobody has asked it anything yet: it may be a quorum by itself.
            _ if self.sent.is_none() => self.now_ms,
            Phase::Broadcast => self.next_ping_ms.min(self.next_check_ms),
            _ => self.phase_until_ms,
        };
        let over = self.hand_over.map_or(i64::MAX, |(_, until_ms)| until_ms);
        Some(links.map_or(own, |at| at.min(own)).min(over))
    }

    /// The epoch it begins, once it is decided.
    pub fn epoch(&self) -> Option<Epoch> {
        (self.epoch != Epoch(0)).then_some(self.epoch)
    }

    /// Whether a quorum has its history, so that it proposes.
    pub fn is_established(&self) -> bool {
        self.phase == Phase::Broadcast
    }

    /// All connections of learners, those too that have not said who they are.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        self.links.keys().copied()
    }

    /// Whose connection it is, if it has said so.
    pub fn member_of(&self, link: LinkId) -> Option<ServerId> {
        self.links.get(&link)?.server
    }

    /// The learners that have said who they are.
    pub fn learners(&self) -> impl Iterator<Item = LearnerView> {
        self.links.iter().filter_map(|(link, l)| {
            let synced = matches!(l.stage, Stage::Acked | Stage::Serving);
            Some(LearnerView { link: *link, server: l.server?, observer: l.observer, acked: l.acked, synced })
        })
    }

    /// The learners that were brought up to date, or are being so, since this was asked last.
    pub fn take_brought(&mut self) -> Brought {
        std::mem::take(&mut self.brought)
    }

    /// Itself, and the followers that are in step with it at this time, voters or not.
    ///
    /// Upstream counterpart: `Leader.isQuorumSynced`.
    pub fn in_step(&self, now_ms: i64) -> BTreeSet<ServerId> {
        let followers = self.links.values().filter(|l| l.joined() && l.supports_until_ms >= now_ms);
        followers.filter_map(Link::follower).chain([self.config.me]).collect()
    }

    fn packet(&mut self, link: LinkId, packet: Packet, history: &History) {
        let Some(stage) = self.links.get(&link).map(|l| l.stage) else { return };
        match (stage, packet) {
            (Stage::Silent, Packet::LearnerInfo { observer, zxid, info }) => {
                // Who has no data and may not begin with none has promised nothing: upstream writes −1 then.
                let accepted = if zxid.0 >> 32 == -1 { Epoch(0) } else { zxid.epoch() };
                self.learner_info(link, observer, accepted, info);
            }
            (Stage::Told, Packet::AckEpoch { zxid, current_epoch }) => {
                self.epoch_ack(link, current_epoch, zxid, history);
            }
            (Stage::Syncing(_), Packet::Ack { zxid }) => self.new_leader_ack(link, zxid),
            (Stage::Serving, packet) => self.serving(link, packet),
            (stage, packet) => {
                let what = match stage {
                    Stage::Silent => "FOLLOWERINFO or OBSERVERINFO",
                    Stage::Told => "ACKEPOCH",
                    Stage::Syncing(_) => "an ACK of NEWLEADER",
                    _ => "nothing",
                };
                self.close(link, format!("{what} was expected, and {} came", packet.name()));
            }
        }
    }

    /// Who has voted for it looks again. While that may be because its connection to this leader came too early, it comes
    /// back; later it is a sign that the votes were counted wrong.
    ///
    /// Upstream counterpart: `Leader.reportLookingSid`.
    fn disloyal(&mut self, member: ServerId) {
        let max_ms = self.config.epoch_wait_max_ms;
        let waited_ms = self.now_ms - (self.phase_until_ms - self.config.init_limit_ms);
        if self.phase == Phase::Discovery && max_ms >= 0 && waited_ms > max_ms {
            self.resign(format!("server {} looks for another leader, and there is no quorum yet", member.0));
        }
    }

    /// The learner's first word.
    fn learner_info(&mut self, link: LinkId, observer: bool, accepted: Epoch, info: Option<LearnerInfo>) {
        let why = match info {
            None => "it does not say which server it is".to_string(),
            Some(i) if i.protocol < PROTOCOL_VERSION => format!(
                "server {} speaks protocol {:#x}, older than {PROTOCOL_VERSION:#x}: upgrade it to 3.4 or later first",
                i.server.0, i.protocol
            ),
            Some(i) if i.config_version > self.config.config_version => format!(
                "server {} has configuration {:x}, and this leader only {:x}",
                i.server.0, i.config_version, self.config.config_version
            ),
            Some(i) if i.server == self.config.me => {
                format!(
                    "it says that it is server {}, which is this one: two servers have the same myid",
                    i.server.0
                )
            }
            // A zxid has no room for a greater one.
            Some(i) if accepted.0 >= i32::MAX as u32 => {
                format!(
                    "server {} has promised to epoch {:#x}, after which there is none",
                    i.server.0, accepted.0
                )
            }
            Some(i) => {
                self.known(link, observer, accepted, i.server);
                return;
            }
        };
        self.close(link, why);
    }

    fn known(&mut self, link: LinkId, observer: bool, accepted: Epoch, server: ServerId) {
        let before = self.links.iter().find(|(_, l)| l.server == Some(server)).map(|(id, _)| *id);
        if let Some(old) = before {
            self.close(old, format!("server {} has connected anew", server.0));
        }
        let Some(l) = self.links.get_mut(&link) else { return };
        (l.server, l.observer) = (Some(server), observer);
        (l.stage, l.deadline_ms) = (Stage::Known, None);
        self.accepted_max = self.accepted_max.max(accepted);
        if self.phase > Phase::Discovery {
            // A candidate that came to nothing has got a promise to a newer epoch. Who has given it cannot follow an
            // older one, so it would stay outside for as long as this leader leads.
            if accepted > self.epoch && !observer && self.has_vote(server) {
                self.resign(format!(
                    "server {} has promised to epoch {:#x}, newer than {:#x}: a new one has to begin",
                    server.0, accepted.0, self.epoch.0
                ));
                return;
            }
            self.tell_epoch(link);
        }
    }

    fn tell_epoch(&mut self, link: LinkId) {
        let Some(l) = self.links.get_mut(&link) else { return };
        (l.stage, l.deadline_ms) = (Stage::Told, Some(self.now_ms + self.config.init_limit_ms));
        let packet = Packet::LeaderInfo { zxid: epoch_start(self.epoch), protocol: PROTOCOL_VERSION };
        self.send(link, &packet);
    }

    fn epoch_ack(&mut self, link: LinkId, current_epoch: i32, last: Zxid, history: &History) {
        let Some(l) = self.links.get_mut(&link) else { return };
        (l.stage, l.deadline_ms) = (Stage::Promised(last), None);
        let server = l.server.unwrap_or_default();
        l.promised = current_epoch != -1;
        let supporter = l.supporter();
        // −1: it had promised to this epoch before and must not be counted twice.
        if self.phase == Phase::Promise && current_epoch != -1 {
            let is_ahead = (i64::from(current_epoch), last) > (i64::from(self.current.0), self.last);
            if supporter.is_some_and(|s| is_ahead && self.may_lead(s)) {
                self.resign(format!(
                    "server {} is ahead: epoch {current_epoch} and zxid {last}, against {} and {}",
                    server.0, self.current.0, self.last
                ));
                return;
            }
            // Nobody can elect another one that is ahead. It is cut back, if there is a quorum without it.
            if last != Zxid(-1) && !is_ahead {
                self.promised.extend(supporter);
            }
        }
        if self.phase > Phase::Promise {
            self.begin_sync(link, last, history);
        }
    }

    /// Goes on to the next phase for as long as there is a quorum for it.
    fn advance(&mut self, history: &History) {
        let me = self.config.me;
        if self.phase == Phase::Discovery && self.decides(self.begins_with(|l| l.stage >= Stage::Known)) {
            self.epoch = Epoch(self.accepted_max.0.saturating_add(1));
            if self.epoch.0 > i32::MAX as u32 {
                self.resign(format!("there is no epoch after {:#x}", self.accepted_max.0));
                return;
            }
            debug_assert!(self.epoch > self.accepted);
            self.out.push(LeaderOutput::StoreEpoch { kind: EpochKind::Accepted, epoch: self.epoch });
            self.begin_config();
            self.enter(Phase::Promise);
            self.promised.insert(me);
            self.links_at(|s| s == Stage::Known).into_iter().for_each(|link| self.tell_epoch(link));
        }
        if self.phase == Phase::Promise && self.decides(self.promised.clone()) {
            self.out.push(LeaderOutput::StoreEpoch { kind: EpochKind::Current, epoch: self.epoch });
            self.enter(Phase::Sync);
            for link in self.links_at(|s| matches!(s, Stage::Promised(_))) {
                if let Some(Stage::Promised(last)) = self.links.get(&link).map(|l| l.stage) {
                    self.begin_sync(link, last, history);
                }
            }
        }
        if self.phase == Phase::Sync && self.decides(self.synced()) {
            self.out.push(LeaderOutput::Established { epoch: self.epoch });
            self.enter(Phase::Broadcast);
            self.next_ping_ms = self.now_ms + (self.config.tick_ms / 2).max(1);
            self.next_check_ms = self.now_ms + self.config.tick_ms.max(1);
            self.links_at(|s| s == Stage::Acked).into_iter().for_each(|link| self.up_to_date(link));
        }
        self.finish_hand_over();
    }

    /// A configuration without a version takes that of the epoch, so that it goes before those of members to come,
    /// which may know of a part of the ensemble only.
    fn begin_config(&mut self) {
        if !std::mem::take(&mut self.config.begins_config) {
            return;
        }
        let version = epoch_start(self.epoch);
        let servers = self.config.config_text.rsplit_once("version=").map_or("", |(servers, _)| servers);
        self.config.config_text = format!("{servers}version={:x}", version.0);
        self.config.config_version = version.0;
        self.out.push(LeaderOutput::ConfigBegun { version });
    }

    /// Ends a leadership that was handed over, when the others know.
    fn finish_hand_over(&mut self) {
        let Some((to, until_ms)) = self.hand_over else { return };
        let connected = match to {
            Some(to) => self.links.values().any(|l| l.server == Some(to)),
            None => self.quorum(|l| l.stage == Stage::Serving),
        };
        if !connected || self.now_ms >= until_ms {
            self.resign(match to {
                Some(to) => format!("server {} leads from now on, as the new configuration wants it", to.0),
                None => "the new configuration has another leader, who is to be elected".to_string(),
            });
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_until_ms = self.now_ms + self.config.init_limit_ms;
    }

    fn links_at(&self, wanted: impl Fn(Stage) -> bool) -> Vec<LinkId> {
        self.links.iter().filter(|(_, l)| wanted(l.stage)).map(|(id, _)| *id).collect()
    }

    /// Whether this member and the followers for which `holds` are a quorum of every configuration.
    fn quorum(&self, holds: impl Fn(&Link) -> bool) -> bool {
        let followers = self.links.values().filter(|l| holds(l)).filter_map(Link::follower);
        self.decides(followers.chain([self.config.me]).collect())
    }

    /// This member and the learners that have come this far, whatever they say they are.
    fn begins_with(&self, holds: impl Fn(&Link) -> bool) -> BTreeSet<ServerId> {
        self.links.values().filter(|l| holds(l)).filter_map(|l| l.server).chain([self.config.me]).collect()
    }

    /// Those that have its history on stable storage.
    fn synced(&self) -> BTreeSet<ServerId> {
        let learners = self.links.values().filter(|l| l.stage >= Stage::Acked);
        learners.filter_map(Link::supporter).chain([self.config.me]).collect()
    }

    /// Whether it may be elected: by the configuration that is active, not by one to come.
    fn may_lead(&self, server: ServerId) -> bool {
        self.config.quorums.first().is_some_and(|q| q.may_lead(server))
    }

    /// Whether it has a vote in any of the configurations.
    fn has_vote(&self, server: ServerId) -> bool {
        self.config.quorums.iter().any(|q| q.voters().contains(&server))
    }

    fn decides(&self, members: BTreeSet<ServerId>) -> bool {
        self.config.quorums.iter().all(|q| q.contains(members.iter().copied()))
    }

    fn send(&mut self, link: LinkId, packet: &Packet) {
        self.out.push(LeaderOutput::Send { link, bytes: packet.to_bytes() });
    }

    fn close(&mut self, link: LinkId, why: String) {
        if self.links.remove(&link).is_some() {
            self.out.push(LeaderOutput::Close { link, why });
        }
    }

    fn resign(&mut self, why: String) {
        if self.phase != Phase::Resigned {
            self.phase = Phase::Resigned;
            self.out.push(LeaderOutput::Resign { why });
        }
    }
}
