//! Whole ensembles of [`Leader`] and [`Learner`]s, joined in memory: a world with one leader, whose learners come and
//! go. Everything goes through the bytes of the protocol.

mod broadcast;
mod liveness;
mod random;
mod sync;

use super::*;
use crate::types::{Epoch, ServerId, SessionId, Zxid};
use bytes::Bytes;
use quoll_jute::Limits;
use std::collections::{BTreeMap, VecDeque};

const TICK_MS: i64 = 1000;
const INIT_MS: i64 = 10_000;
const SYNC_MS: i64 = 5_000;

/// What a member has on its disk, and its tree: here the list of what was applied.
#[derive(Clone, Debug)]
struct Disk {
    accepted: Epoch,
    current: Epoch,
    snapshot: Vec<Zxid>,
    log: Vec<Logged>,
    /// In memory.
    history: History,
    tree: Vec<Zxid>,
}

impl Disk {
    /// A member that had these txns when it was started.
    fn with(current: u32, zxids: &[Zxid]) -> Self {
        let mut history = History::new(Zxid::ZERO, 8);
        history.force(Zxid(i64::MAX));
        let log: Vec<_> = zxids.iter().map(|z| txn(*z)).collect();
        log.iter().for_each(|t| history.propose(t.clone()));
        history.commit(Zxid(i64::MAX));
        let epoch = Epoch(current);
        Self { accepted: epoch, current: epoch, snapshot: vec![], log, history, tree: zxids.to_vec() }
    }

    fn last(&self) -> Zxid {
        self.zxids().last().copied().unwrap_or_default()
    }

    /// What it would have after a restart.
    fn zxids(&self) -> Vec<Zxid> {
        self.snapshot.iter().copied().chain(self.log.iter().map(|t| t.zxid)).collect()
    }

    /// It is started again: everything in its log is applied.
    fn restarted(mut self) -> Self {
        self.tree = self.zxids();
        self.history.reset(self.snapshot.last().copied().unwrap_or_default());
        self.log.iter().for_each(|t| self.history.propose(t.clone()));
        self.history.commit(self.last());
        self
    }

    fn store(&mut self, kind: EpochKind, epoch: Epoch) {
        match kind {
            EpochKind::Accepted => self.accepted = epoch,
            EpochKind::Current => self.current = epoch,
        }
    }

    /// Applies what the history says is committed.
    fn apply(&mut self) {
        let (last, until) = (self.tree.last().copied().unwrap_or_default(), self.history.last_committed());
        self.tree.extend(self.log.iter().map(|t| t.zxid).filter(|zxid| *zxid > last && *zxid <= until));
    }
}

/// A txn as the log keeps it: only the zxid of its header matters here.
fn txn(zxid: Zxid) -> Logged {
    let mut entry = vec![0; 12];
    entry.extend(zxid.0.to_be_bytes());
    entry.extend([7; 12]);
    Logged { zxid, entry: entry.into() }
}

fn z(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

fn zs(epoch: u32, counters: std::ops::RangeInclusive<u32>) -> Vec<Zxid> {
    counters.map(|c| z(epoch, c)).collect()
}

/// What is on its way to a learner.
#[derive(Debug)]
enum Item {
    Bytes(Bytes),
    Tree(Vec<Zxid>),
}

struct Peer {
    disk: Disk,
    learner: Learner,
    to_learner: VecDeque<Item>,
    to_leader: Vec<u8>,
    /// Whether what it appends becomes durable at once.
    forces: bool,
    /// What it was sent, and sent, in order, by name.
    seen: Vec<String>,
    said: Vec<String>,
    served: bool,
    lost: Option<String>,
    closed: Option<String>,
    synced: usize,
    revalidated: Vec<(SessionId, bool)>,
}

struct World {
    now_ms: i64,
    me: i64,
    disk: Disk,
    leader: Leader,
    quorums: Vec<Quorum>,
    broadcast: Option<Broadcast>,
    peers: BTreeMap<LinkId, Peer>,
    next_link: u64,
    resigned: Option<String>,
    /// What is for the pipeline.
    others: Vec<LeaderOutput>,
    /// The log files before this must not be used.
    log_begins: Zxid,
}

impl World {
    fn new(me: i64, voters: &[i64], disk: Disk) -> Self {
        Self::configured(me, vec![Quorum::majority(voters.iter().copied().map(ServerId))], disk, |_| {})
    }

    fn configured(me: i64, quorums: Vec<Quorum>, disk: Disk, with: impl FnOnce(&mut LeaderConfig)) -> Self {
        let mut config = LeaderConfig {
            me: ServerId(me),
            quorums: quorums.clone(),
            config_text: "version=0".to_string(),
            config_version: 0,
            begins_config: false,
            tick_ms: TICK_MS,
            init_limit_ms: INIT_MS,
            sync_limit_ms: SYNC_MS,
            force_snapshot: false,
            sync_from_log: true,
            snapshot_syncs_max: 10,
            diff_syncs_max: 100,
            epoch_wait_max_ms: -1,
        };
        with(&mut config);
        let leader = Leader::new(config, 0, disk.accepted, disk.current, disk.last());
        let mut world = Self {
            now_ms: 0,
            me,
            disk,
            leader,
            quorums,
            broadcast: None,
            peers: BTreeMap::new(),
            next_link: 0,
            resigned: None,
            others: Vec::new(),
            log_begins: Zxid::ZERO,
        };
        world.lead(LeaderInput::Tick);
        world
    }

    fn join(&mut self, id: i64, observer: bool, disk: Disk) -> LinkId {
        self.next_link += 1;
        let link = LinkId(self.next_link);
        let config = LearnerConfig {
            me: ServerId(id),
            observer,
            logs: true,
            config_version: 0,
            init_limit_ms: INIT_MS,
            sync_limit_ms: SYNC_MS,
        };
        let learner = Learner::new(config, self.now_ms, disk.accepted, disk.current, disk.last());
        let peer = Peer {
            disk,
            learner,
            to_learner: VecDeque::new(),
            to_leader: Vec::new(),
            forces: true,
            seen: Vec::new(),
            said: Vec::new(),
            served: false,
            lost: None,
            closed: None,
            synced: 0,
            revalidated: Vec::new(),
        };
        self.peers.insert(link, peer);
        self.lead(LeaderInput::Connected { link });
        self.learn(link, LearnerInput::Connected);
        link
    }

    fn peer(&mut self, link: LinkId) -> &mut Peer {
        self.peers.get_mut(&link).expect("a peer")
    }

    fn tree_of(&self, link: LinkId) -> Vec<Zxid> {
        self.peers[&link].disk.tree.clone()
    }

    /// Why the leader has closed the learner's connection, and why it has resigned.
    fn ends(&self, link: LinkId) -> (Option<&str>, Option<&str>) {
        (self.peers[&link].closed.as_deref(), self.resigned.as_deref())
    }

    /// Gives the leader an input and does what it wants.
    fn lead(&mut self, input: LeaderInput) {
        let outputs = self.leader.step(self.now_ms, &self.disk.history, input);
        let mut outputs: VecDeque<_> = outputs.into();
        while let Some(output) = outputs.pop_front() {
            match output {
                LeaderOutput::Send { link, bytes } => {
                    self.peer(link).to_learner.push_back(Item::Bytes(bytes))
                }
                LeaderOutput::SendLog { link, after, through } => {
                    let mut bytes = Vec::new();
                    for t in self.disk.log.iter().filter(|t| t.zxid > after && t.zxid <= through) {
                        write_proposal(&mut bytes, t.zxid, &t.entry);
                        Packet::Commit { zxid: t.zxid }.write(&mut bytes);
                    }
                    self.peer(link).to_learner.push_back(Item::Bytes(bytes.into()));
                }
                LeaderOutput::BeginSnapshot { link } => {
                    let tree = self.disk.tree.clone();
                    let zxid = tree.last().copied().unwrap_or_default();
                    let mut more = self.leader.step(
                        self.now_ms,
                        &self.disk.history,
                        LeaderInput::SnapshotBegun { link, zxid },
                    );
                    if let Some(LeaderOutput::Send { link: to, bytes }) = more.first().cloned()
                        && to == link
                    {
                        more.remove(0);
                        self.peer(link).to_learner.extend([Item::Bytes(bytes), Item::Tree(tree)]);
                    }
                    more.into_iter().rev().for_each(|o| outputs.push_front(o));
                }
                LeaderOutput::ProbeLog { link, peer } => {
                    let log = || self.disk.log.iter().filter(|t| t.zxid >= self.log_begins);
                    let at = if peer.counter() == 0 {
                        log().next().filter(|t| t.zxid < peer).map(|_| peer)
                    } else {
                        let before = log().rfind(|t| t.zxid <= peer).map(|t| t.zxid);
                        before.filter(|at| at.epoch() == peer.epoch())
                    };
                    let more = self.leader.step(
                        self.now_ms,
                        &self.disk.history,
                        LeaderInput::LogProbed { link, at },
                    );
                    more.into_iter().rev().for_each(|o| outputs.push_front(o));
                }
                LeaderOutput::Close { link, why } => {
                    let peer = self.peer(link);
                    peer.closed = Some(why);
                    peer.to_leader.clear();
                }
                LeaderOutput::StoreEpoch { kind, epoch } => self.disk.store(kind, epoch),
                LeaderOutput::Established { epoch } => {
                    let start = z(epoch.0, 0);
                    self.broadcast = Some(Broadcast::of(self.quorums.clone(), start));
                }
                LeaderOutput::Acked { member, zxid } => {
                    let more = self.ack(member, zxid);
                    more.into_iter().rev().for_each(|o| outputs.push_front(o));
                }
                LeaderOutput::Joins { member } => {
                    self.broadcast.iter_mut().for_each(|b| b.joins_anew(member));
                }
                LeaderOutput::Resign { why } => self.resigned = Some(why),
                other => self.others.push(other),
            }
        }
    }

    fn ack(&mut self, member: ServerId, zxid: Zxid) -> Vec<LeaderOutput> {
        let broadcast = self.broadcast.as_mut().expect("an established leader");
        if !broadcast.ack(member, zxid) {
            return Vec::new();
        }
        let committed = broadcast.committed();
        self.disk.history.commit(committed);
        self.disk.apply();
        self.leader.step(self.now_ms, &self.disk.history, LeaderInput::Committed(committed))
    }

    /// Proposes a txn.
    fn propose(&mut self) -> Zxid {
        let zxid = self.broadcast.as_mut().expect("an established leader").propose();
        self.disk.log.push(txn(zxid));
        self.disk.history.propose(txn(zxid));
        self.lead(LeaderInput::Proposed);
        for output in self.ack(ServerId(self.me), zxid) {
            let LeaderOutput::Send { link, bytes } = output else { panic!("{output:?}") };
            self.peer(link).to_learner.push_back(Item::Bytes(bytes));
        }
        zxid
    }

    /// Gives a learner an input and does what it wants.
    fn learn(&mut self, link: LinkId, input: LearnerInput) {
        let now_ms = self.now_ms;
        let p = self.peer(link);
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut appended = None;
            for output in p.learner.step(now_ms, input) {
                match output {
                    LearnerOutput::Send { bytes } => p.to_leader.extend(bytes),
                    LearnerOutput::StoreEpoch { kind, epoch } => p.disk.store(kind, epoch),
                    LearnerOutput::Continue => {}
                    LearnerOutput::Truncate { zxid } => {
                        p.disk.log.retain(|t| t.zxid <= zxid);
                        p.disk = p.disk.clone().restarted();
                        let last = p.disk.last();
                        inputs.push_back(LearnerInput::Truncated { last });
                    }
                    LearnerOutput::SaveSnapshot => {
                        p.disk.log.clear();
                        p.disk.snapshot = p.disk.tree.clone();
                        inputs.push_back(LearnerInput::SnapshotSaved);
                    }
                    LearnerOutput::Append { zxid, entry } => {
                        p.disk.log.push(Logged { zxid, entry: entry.clone() });
                        p.disk.history.propose(Logged { zxid, entry });
                        appended = Some(zxid);
                    }
                    LearnerOutput::Commit { zxid } => {
                        assert!(zxid <= p.disk.last(), "{zxid} is committed and not appended");
                        p.disk.history.commit(zxid);
                        p.disk.apply();
                    }
                    LearnerOutput::ConfigSeen { text } => assert_eq!(text, "version=0"),
                    LearnerOutput::Activate { .. } => {}
                    LearnerOutput::Serve { epoch } => {
                        assert_eq!(epoch, p.disk.current);
                        p.served = true;
                    }
                    LearnerOutput::Synced => p.synced += 1,
                    LearnerOutput::Revalidated { session, valid } => p.revalidated.push((session, valid)),
                    LearnerOutput::Lost { why } => p.lost = Some(why),
                    LearnerOutput::Diverged { what } => panic!("{what}"),
                }
            }
            if let Some(zxid) = appended.filter(|_| p.forces) {
                inputs.push_back(LearnerInput::Durable(zxid));
            }
        }
    }

    /// Moves everything that is on its way, until nothing is.
    fn run(&mut self) {
        loop {
            let links: Vec<_> = self.peers.keys().copied().collect();
            let mut moved = false;
            for link in links {
                moved |= self.deliver_to_learner(link);
                moved |= self.deliver_to_leader(link);
            }
            if !moved {
                return;
            }
        }
    }

    fn deliver_to_learner(&mut self, link: LinkId) -> bool {
        let p = self.peer(link);
        let Some(item) = p.to_learner.pop_front() else { return false };
        match item {
            Item::Tree(tree) => {
                p.seen.push("tree".to_string());
                let zxid = tree.last().copied().unwrap_or_default();
                p.disk.tree = tree;
                p.disk.history.reset(zxid);
                self.learn(link, LearnerInput::SnapshotLoaded { zxid });
            }
            Item::Bytes(bytes) => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (packet, len) = Packet::read(rest, Sender::Leader, Limits::DEFAULT).unwrap().unwrap();
                    rest = &rest[len..];
                    self.peer(link).seen.push(describe(&packet));
                    self.learn(link, LearnerInput::Packet(packet));
                }
            }
        }
        true
    }

    fn deliver_to_leader(&mut self, link: LinkId) -> bool {
        let bytes = std::mem::take(&mut self.peer(link).to_leader);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (packet, len) = Packet::read(rest, Sender::Learner, Limits::DEFAULT).unwrap().unwrap();
            rest = &rest[len..];
            self.peer(link).said.push(describe(&packet));
            self.lead(LeaderInput::Packet { link, packet });
        }
        !bytes.is_empty()
    }

    /// Lets time pass, from one deadline to the next.
    fn pass(&mut self, ms: i64) {
        let until_ms = self.now_ms + ms;
        while self.now_ms < until_ms {
            let learners = self.peers.values().filter_map(|p| p.learner.next_deadline_ms());
            let next_ms = learners.chain(self.leader.next_deadline_ms()).min().unwrap_or(until_ms);
            self.now_ms = next_ms.clamp(self.now_ms + 1, until_ms);
            self.lead(LeaderInput::Tick);
            for link in self.peers.keys().copied().collect::<Vec<_>>() {
                self.learn(link, LearnerInput::Tick);
            }
            self.run();
        }
    }
}

fn describe(packet: &Packet) -> String {
    match packet {
        Packet::Proposal { zxid, .. }
        | Packet::Commit { zxid }
        | Packet::Inform { zxid, .. }
        | Packet::Ack { zxid }
        | Packet::Diff { zxid }
        | Packet::Trunc { zxid }
        | Packet::Snap { zxid }
        | Packet::NewLeader { zxid, .. } => {
            format!("{} {}:{}", packet.name(), zxid.epoch().0, zxid.counter())
        }
        Packet::AckEpoch { zxid, current_epoch } => {
            format!("ACKEPOCH {current_epoch} {}:{}", zxid.epoch().0, zxid.counter())
        }
        packet => packet.name().to_string(),
    }
}

/// A leader 3 of 1, 2, 3 that has txns 1:1 to 1:5, with follower 2 in step.
fn established() -> (World, LinkId) {
    let mut w = World::new(3, &[1, 2, 3], Disk::with(1, &zs(1, 1..=5)));
    let link = w.join(2, false, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    assert!(w.leader.is_established() && w.peer(link).served, "{:?}", w.resigned);
    (w, link)
}
