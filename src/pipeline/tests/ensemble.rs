//! A leader and its learners, joined by queues that a test empties when it likes. There is no zab: what would be sent is
//! carried by hand, in order on each link.

use super::*;
use crate::{
    types::{Epoch, LinkId, Txn, TxnBody},
    zab::{Logged, Quorum},
};
use std::collections::VecDeque;

/// From a learner to its leader.
#[derive(Debug)]
enum Up {
    Ack(Zxid),
    Say(ToLeader),
}

/// From a leader to a learner.
#[derive(Clone, Debug)]
enum Down {
    Proposal(Logged),
    Commit(Zxid),
    Synced,
    Revalidated { session: SessionId, valid: bool },
}

/// One server.
pub(super) struct Peer {
    pub(super) pipeline: Pipeline,
    pub(super) tree: Tree,
    pub(super) watches: WatchManager,
    /// Everything handed to the log.
    pub(super) log: Vec<Logged>,
    forced: Zxid,
    /// Proposals that an observer gets only when they are committed.
    withheld: VecDeque<Logged>,
    up: VecDeque<Up>,
    down: VecDeque<Down>,
    told: Vec<Told>,
}

impl Peer {
    fn new(server: i64, now: Now) -> Self {
        Self {
            pipeline: Pipeline::waiting(config(ServerId(server)), &[], Zxid::ZERO, now),
            tree: empty_tree(),
            watches: WatchManager::new(1),
            log: Vec::new(),
            forced: Zxid::ZERO,
            withheld: VecDeque::new(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            told: Vec::new(),
        }
    }

    pub(super) fn forced(&self) -> Zxid {
        self.forced
    }

    pub(super) fn last(&self) -> Zxid {
        self.log.last().map_or(Zxid::ZERO, |l| l.zxid)
    }
}

/// Servers 1, 2, … as peers 0, 1, …
pub(super) struct Ensemble {
    pub(super) peers: Vec<Peer>,
    pub(super) leader: usize,
    pub(super) now: Now,
    pub(super) epoch: u32,
    /// Rounds that the leader wants.
    pub(super) rounds: VecDeque<u64>,
    /// The number of each server's link to the leader, and the last one that was given.
    links: Vec<u64>,
    last_link: u64,
    voters: usize,
}

impl Ensemble {
    /// Three voters of which the first leads, and all serve.
    pub(super) fn new() -> Self {
        Self::with_observers(0)
    }

    pub(super) fn with_observers(observers: usize) -> Self {
        let now = Now { mono_ms: 0, wall_ms: 1_700_000_000_000 };
        let voters = 3;
        let peers: Vec<_> = (1..=voters + observers).map(|n| Peer::new(n as i64, now)).collect();
        let links = vec![0; peers.len()];
        let mut e =
            Self { peers, leader: 0, now, epoch: 0, rounds: VecDeque::new(), links, last_link: 0, voters };
        e.begin(0);
        e
    }

    /// A new epoch: this one leads, and everybody has its log and serves. Nothing may be in flight.
    pub(super) fn begin(&mut self, leader: usize) {
        self.epoch += 1;
        self.leader = leader;
        self.rounds.clear();
        let quorum = Quorum::majority((1..=self.voters as i64).map(ServerId));
        self.peers[leader].pipeline.lead(vec![quorum], Epoch(self.epoch), self.now);
        for i in self.learners() {
            self.join(i);
        }
    }

    /// A learner loses its leader, comes back to it, and serves again.
    pub(super) fn rejoin(&mut self, i: usize) {
        let link = self.link(i);
        self.retire(i);
        self.put(self.leader, Input::LinkGone { link });
        self.join(i);
    }

    fn join(&mut self, i: usize) {
        self.last_link += 1;
        self.links[i] = self.last_link;
        self.catch_up(i);
        self.peers[i].pipeline.serve(self.now);
    }

    /// Brings a log and a tree in line with the leader's, as the synchronisation of a learner does.
    fn catch_up(&mut self, i: usize) {
        let theirs = self.peers[self.leader].log.clone();
        // Behind what is committed everything is sent again, so that it is acknowledged again.
        let committed = self.peers[self.leader].pipeline.committed();
        let both = theirs.iter().zip(&self.peers[i].log);
        let common = both.take_while(|(a, b)| a == b && a.zxid <= committed).count();
        if common < self.peers[i].log.len() {
            self.peers[i].log.truncate(common);
            self.reload(i);
        }
        self.peers[i].pipeline.learn();
        for logged in theirs.into_iter().skip(common) {
            let Logged { zxid, entry } = logged.clone();
            if zxid > committed && self.is_observer(i) {
                self.peers[i].withheld.push_back(logged);
                continue;
            }
            self.put(i, Input::Proposed { zxid, entry });
            if zxid <= committed {
                self.put(i, Input::Committed(zxid));
            }
        }
        self.force(i);
        self.apply(i);
    }

    /// Makes tree and sessions anew from the log.
    pub(super) fn reload(&mut self, i: usize) {
        let peer = &mut self.peers[i];
        peer.tree = empty_tree();
        let mut sessions = std::collections::BTreeMap::new();
        for logged in &peer.log {
            let txn = Txn::read(&logged.entry, TxnFormat::default()).unwrap();
            peer.tree.apply(&txn, &mut Effects::disabled());
            match txn.body {
                TxnBody::CreateSession { timeout_ms } => _ = sessions.insert(txn.session, timeout_ms),
                TxnBody::CloseSession { .. } => _ = sessions.remove(&txn.session),
                _ => {}
            }
        }
        let sessions: Vec<_> = sessions.into_iter().collect();
        let last = peer.last();
        peer.forced = last;
        peer.pipeline.replace_state(last, &sessions, self.now);
    }

    /// Everybody's role is over; what is on its way is lost, what is in flight is applied.
    pub(super) fn retire_all(&mut self) {
        for i in 0..self.peers.len() {
            self.retire(i);
        }
    }

    pub(super) fn retire(&mut self, i: usize) {
        self.peers[i].pipeline.retire();
        self.pump(i);
        self.force(i);
        self.apply(i);
        let peer = &mut self.peers[i];
        assert_eq!(peer.pipeline.in_flight(), 0);
        assert_eq!(peer.tree.last_zxid(), peer.last());
        peer.up.clear();
        peer.down.clear();
        peer.withheld.clear();
        peer.watches = WatchManager::new(1);
    }

    pub(super) fn voters(&self) -> usize {
        self.voters
    }

    /// Who learns.
    pub(super) fn learners(&self) -> Vec<usize> {
        (0..self.peers.len()).filter(|i| *i != self.leader).collect()
    }

    pub(super) fn is_observer(&self, i: usize) -> bool {
        i >= self.voters
    }

    pub(super) fn link(&self, i: usize) -> LinkId {
        LinkId(self.links[i])
    }

    pub(super) fn put(&mut self, i: usize, input: Input) {
        let peer = &mut self.peers[i];
        peer.pipeline.accept(self.now, &peer.tree, input);
        self.pump(i);
    }

    /// Puts what a pipeline gives out on its way.
    fn pump(&mut self, i: usize) {
        if let Some(batch) = self.peers[i].pipeline.take_log() {
            for logged in batch.logged() {
                self.peers[i].log.push(logged.clone());
                if i == self.leader {
                    for to in self.learners() {
                        let observes = self.is_observer(to);
                        let peer = &mut self.peers[to];
                        if observes {
                            peer.withheld.push_back(logged.clone());
                        } else {
                            peer.down.push_back(Down::Proposal(logged.clone()));
                        }
                    }
                }
            }
        }
        for what in self.peers[i].pipeline.take_to_leader() {
            self.peers[i].up.push_back(Up::Say(what));
        }
        for what in self.peers[i].pipeline.take_to_learners() {
            match what {
                ToLearner::Committed(zxid) => {
                    for to in self.learners() {
                        let peer = &mut self.peers[to];
                        while let Some(logged) = peer.withheld.pop_front_if(|l| l.zxid <= zxid) {
                            peer.down.push_back(Down::Proposal(logged));
                        }
                        peer.down.push_back(Down::Commit(zxid));
                    }
                }
                ToLearner::Synced { link } => {
                    if let Some(to) = self.at(link) {
                        self.peers[to].down.push_back(Down::Synced);
                    }
                }
                ToLearner::Revalidated { link, session, valid } => {
                    if let Some(to) = self.at(link) {
                        self.peers[to].down.push_back(Down::Revalidated { session, valid });
                    }
                }
                ToLearner::Barrier(round) => self.rounds.push_back(round),
                ToLearner::Reconfiguring(_) | ToLearner::Activated { .. } | ToLearner::Close { .. } => {
                    panic!("not in these tests")
                }
            }
        }
    }

    /// Whose link it is, if it is not gone.
    fn at(&self, link: LinkId) -> Option<usize> {
        self.links.iter().position(|l| *l == link.0)
    }

    /// The log of this server is on stable storage. Answers whether there was anything new.
    pub(super) fn force(&mut self, i: usize) -> bool {
        let (last, observes) = (self.peers[i].last(), self.is_observer(i));
        let peer = &mut self.peers[i];
        if last <= peer.forced {
            return false;
        }
        peer.forced = last;
        if i != self.leader && !observes {
            peer.up.push_back(Up::Ack(last));
        }
        self.put(i, Input::Durable(last));
        true
    }

    /// Carries the oldest message of a learner to the leader.
    pub(super) fn carry_up(&mut self, i: usize) -> bool {
        let Some(up) = self.peers[i].up.pop_front() else { return false };
        let link = self.link(i);
        let input = match up {
            Up::Ack(zxid) => Input::Acked { member: ServerId(i as i64 + 1), zxid },
            Up::Say(ToLeader::Forward(request)) => Input::Forwarded { link, request },
            Up::Say(ToLeader::Revalidate { session, timeout_ms }) => {
                Input::Revalidate { link, session, timeout_ms }
            }
            Up::Say(ToLeader::Touched(sessions)) => Input::TouchedAt { link, sessions },
        };
        self.put(self.leader, input);
        true
    }

    /// Carries the oldest message for a learner to it.
    pub(super) fn carry_down(&mut self, i: usize) -> bool {
        let Some(down) = self.peers[i].down.pop_front() else { return false };
        let input = match down {
            Down::Proposal(Logged { zxid, entry }) => Input::Proposed { zxid, entry },
            Down::Commit(zxid) => Input::Committed(zxid),
            Down::Synced => Input::Synced,
            Down::Revalidated { session, valid } => Input::Revalidated { session, valid },
        };
        self.put(i, input);
        assert_eq!(self.peers[i].pipeline.fault(), None);
        true
    }

    pub(super) fn pass_round(&mut self) -> bool {
        let Some(round) = self.rounds.pop_front() else { return false };
        self.put(self.leader, Input::BarrierPassed(round));
        true
    }

    /// Applies what is committed at this server.
    pub(super) fn apply(&mut self, i: usize) -> bool {
        let peer = &mut self.peers[i];
        if !peer.pipeline.has_ready() {
            return false;
        }
        let mut out = Deliveries::new(1);
        while peer.pipeline.apply(&mut peer.tree, &mut peer.watches, &mut out, 1) {}
        assert_eq!(peer.pipeline.counts().digest_mismatches, 0);
        peer.told.extend(told_by(out));
        self.pump(i);
        true
    }

    /// Carries everything, except what rounds bring.
    pub(super) fn carry(&mut self) {
        loop {
            let mut more = false;
            for i in 0..self.peers.len() {
                while self.carry_up(i) || self.carry_down(i) {
                    more = true;
                }
                more |= self.force(i) | self.apply(i);
            }
            if !more {
                return;
            }
        }
    }

    /// Carries everything.
    pub(super) fn settle(&mut self) {
        self.carry();
        while self.pass_round() {
            self.carry();
        }
    }

    /// Time passes everywhere.
    pub(super) fn pass(&mut self, ms: i64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
        for i in 0..self.peers.len() {
            self.put(i, Input::Tick);
        }
    }

    /// What the clients of this server were told since the last call.
    pub(super) fn told(&mut self, i: usize) -> Vec<Told> {
        std::mem::take(&mut self.peers[i].told)
    }

    /// xid, zxid and error of everything that this connection was told since the last call, if nobody else was told
    /// anything.
    pub(super) fn heads(&mut self, i: usize, conn: ConnId) -> Vec<(i32, i64, i32)> {
        let told = self.told(i);
        assert!(told.iter().all(|t| t.conn == conn && t.then == Then::Nothing), "{told:?}");
        told.iter().flat_map(|t| &t.frames).map(|f| head(f)).collect()
    }

    pub(super) fn connect(&mut self, i: usize, conn: ConnId, session: SessionId, password: &[u8]) {
        self.put(
            i,
            Input::Connect(Connect {
                conn,
                timeout_ms: 5000,
                session,
                password: Bytes::copy_from_slice(password),
                last_zxid_seen: Zxid::ZERO,
                read_only: false,
                has_read_only_byte: true,
            }),
        );
    }

    /// A new session, known everywhere.
    pub(super) fn open(&mut self, i: usize, conn: ConnId) -> SessionId {
        self.connect(i, conn, SessionId::NONE, &[0; 16]);
        self.settle();
        match self.told(i).pop().map(|t| (t.conn, t.then)) {
            Some((to, Then::Established { session, .. })) if to == conn => session,
            other => panic!("{other:?}"),
        }
    }

    /// A connection takes up a session.
    pub(super) fn take_up(&mut self, i: usize, conn: ConnId, session: SessionId) {
        self.connect(i, conn, session, &crate::session::password(session));
    }

    pub(super) fn ask(
        &mut self,
        i: usize,
        conn: ConnId,
        session: SessionId,
        xid: i32,
        op: OpCode,
        body: Vec<u8>,
    ) {
        let ids: Arc<[Id]> = Arc::new([]);
        let received_ms = self.now.mono_ms;
        self.put(i, Input::Request(Request { conn, session, xid, op, body: body.into(), ids, received_ms }));
    }

    /// All have the same log, tree and sessions.
    pub(super) fn assert_equal(&self) {
        let first = &self.peers[0];
        for (i, peer) in self.peers.iter().enumerate().skip(1) {
            let zxids = |peer: &Peer| peer.log.iter().map(|l| l.zxid).collect::<Vec<_>>();
            assert_eq!(zxids(peer), zxids(first), "numbers in the log of peer {i}");
            assert!(peer.log == first.log, "log of peer {i}");
            assert_eq!(peer.tree.digest(), first.tree.digest(), "digest of peer {i}");
            assert_eq!(contents(&peer.tree), contents(&first.tree), "tree of peer {i}");
            let sessions = peer.pipeline.global_sessions();
            assert_eq!(sessions, first.pipeline.global_sessions(), "sessions of peer {i}");
        }
    }
}

/// Everything in a tree.
pub(super) fn contents(tree: &Tree) -> Vec<(String, Option<Vec<u8>>, crate::types::Stat)> {
    let mut all = Vec::new();
    let mut open = vec![tree.root()];
    while let Some(node) = open.pop() {
        all.push((node.path(), node.data().map(<[u8]>::to_vec), node.stat()));
        open.extend(node.children());
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

pub(super) fn sync(path: &str) -> Vec<u8> {
    to_vec(&rec::SyncRequest { path: Some(path.into()) })
}

/// A connection of this peer; their numbers differ everywhere, so that a mistaken one is found.
pub(super) fn conn(i: usize, n: u32) -> ConnId {
    ConnId { worker: 0, serial: i as u32 * 1000 + n }
}
