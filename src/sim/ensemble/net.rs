//! The network between members: who reaches whom, election connections, and the connections of learners.

use super::world::{Event, Stop, Us, World};
use crate::{
    member::{LearnerPort, Part},
    types::{LinkId, Zxid},
    zab::election::Notification,
};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// What goes over the connection of a learner.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// Whole packets.
    Packets(Bytes),
    /// The tree that follows a SNAP.
    Tree(Bytes),
    /// The other side has closed.
    End(&'static str),
}

/// Which end of a learner's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Learner,
    Leader,
}

/// A process: which node, and which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub node: usize,
    pub life: u64,
}

/// The connection of a learner to a leader: two streams of bytes that keep their order.
#[derive(Debug)]
pub(super) struct Stream {
    pub learner: Process,
    pub attempt: u64,
    pub leader: Process,
    pub link: LinkId,
    /// Towards the leader and towards the learner.
    up: VecDeque<Item>,
    down: VecDeque<Item>,
    up_free_us: Us,
    down_free_us: Us,
    /// Nothing more is delivered to these ends.
    pub closed_at_learner: bool,
    pub closed_at_leader: bool,
    /// Of the last SNAP that arrived.
    pub snap: Option<Zxid>,
}

impl Stream {
    /// Nothing gets to the leader and to the learner before these times.
    pub fn not_before(&mut self, leader_us: Us, learner_us: Us) {
        (self.up_free_us, self.down_free_us) = (leader_us, learner_us);
    }

    fn end(&self, end: End) -> Process {
        match end {
            End::Learner => self.learner,
            End::Leader => self.leader,
        }
    }

    fn closed(&mut self, end: End) -> &mut bool {
        match end {
            End::Learner => &mut self.closed_at_learner,
            End::Leader => &mut self.closed_at_leader,
        }
    }

    fn queue(&mut self, to: End) -> (&mut VecDeque<Item>, &mut Us) {
        match to {
            End::Leader => (&mut self.up, &mut self.up_free_us),
            End::Learner => (&mut self.down, &mut self.down_free_us),
        }
    }
}

/// The election connection of two nodes, and the last word of each direction.
#[derive(Clone, Debug, Default)]
struct Pair {
    connected: bool,
    last: [Option<Notification>; 2],
    free_us: [Us; 2],
}

pub(super) struct Net {
    nodes: usize,
    /// `blocked[from][to]`
    pub blocked: Vec<Vec<bool>>,
    /// Longest delay of a message.
    pub delay_max_us: Us,
    /// How many in a hundred election messages get lost with their connection.
    pub election_loss_percent: u64,
    pairs: BTreeMap<(usize, usize), Pair>,
    pub streams: BTreeMap<u64, Stream>,
    next_stream: u64,
}

impl Net {
    pub fn new(nodes: usize) -> Self {
        Self {
            nodes,
            blocked: vec![vec![false; nodes]; nodes],
            delay_max_us: 2_000,
            election_loss_percent: 0,
            pairs: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_stream: 1,
        }
    }

    pub fn heal(&mut self) {
        self.blocked = vec![vec![false; self.nodes]; self.nodes];
        self.election_loss_percent = 0;
    }

    /// Whether a connection can be made: packets have to get both ways.
    fn reaches(&self, a: usize, b: usize) -> bool {
        !self.blocked[a][b] && !self.blocked[b][a]
    }

    fn pair(&mut self, a: usize, b: usize) -> (&mut Pair, usize) {
        let key = (a.min(b), a.max(b));
        (self.pairs.entry(key).or_default(), usize::from(a > b))
    }
}

impl World {
    pub(super) fn delay_us(&mut self) -> Us {
        let max = self.net.delay_max_us as u64;
        // Mostly short, sometimes long.
        let bound = if self.rng.chance(90) { max / 4 + 1 } else { max + 1 };
        50 + self.rng.below(bound) as Us
    }

    pub(super) fn notify(&mut self, from: usize, to: usize, notification: Notification) {
        let (pair, side) = self.net.pair(from, to);
        pair.last[side] = Some(notification);
        if pair.connected {
            self.put_notification(from, to);
        } else if self.knows(from, to) {
            let at = self.now_us + self.delay_us();
            self.at(at, Event::ConnectPeer { from, to });
        }
    }

    /// Whether a node has the address of another.
    pub(super) fn knows(&self, node: usize, other: usize) -> bool {
        self.nodes[node].configs.knows(self.nodes[other].id)
    }

    pub(super) fn connect_peers(&mut self, from: usize) {
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            if !self.knows(from, to) {
                continue;
            }
            let at = self.now_us + self.delay_us();
            self.at(at, Event::ConnectPeer { from, to });
        }
    }

    /// The newest word of a node to another goes on the wire.
    fn put_notification(&mut self, from: usize, to: usize) {
        let delay_us = self.delay_us();
        let now_us = self.now_us;
        let life = self.nodes[to].life;
        let (pair, side) = self.net.pair(from, to);
        let Some(notification) = pair.last[side].clone() else { return };
        let at = (now_us + delay_us).max(pair.free_us[side] + 1);
        pair.free_us[side] = at;
        self.at(at, Event::Notification { from, to: Process { node: to, life }, notification });
    }

    pub(super) fn connect_peer(&mut self, from: usize, to: usize) {
        let up = self.nodes[from].is_up() && self.nodes[to].is_up() && self.net.reaches(from, to);
        let (pair, _) = self.net.pair(from, to);
        if !up || pair.connected {
            return;
        }
        pair.connected = true;
        self.reachable(from, to, true);
        self.reachable(to, from, true);
        // A sender without a newer message begins with its last one.
        self.put_notification(from, to);
        self.put_notification(to, from);
    }

    /// A node hears, some time later, of the connection to a peer.
    fn reachable(&mut self, node: usize, peer: usize, up: bool) {
        let process = Process { node, life: self.nodes[node].life };
        let at = self.now_us + self.delay_us();
        self.at(at, Event::Reachable { process, peer, up });
    }

    /// A node has died: its election connections are gone, and its peers have nothing to hear from it.
    pub(super) fn lose_peers(&mut self, node: usize, silent: bool) {
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            let (pair, side) = self.net.pair(node, peer);
            pair.last[side] = None;
            if std::mem::replace(&mut pair.connected, false) && !silent {
                self.reachable(peer, node, false);
            }
        }
    }

    /// Whether a notification that is to arrive now does.
    pub(super) fn notification_arrives(&mut self, from: usize, to: Process) -> bool {
        let lost = self.net.blocked[from][to.node] || self.rng.chance(self.net.election_loss_percent);
        let there = self.nodes[to.node].is_life(to.life);
        if lost || !there {
            let (pair, _) = self.net.pair(from, to.node);
            if std::mem::replace(&mut pair.connected, false) {
                self.reachable(from, to.node, false);
                self.reachable(to.node, from, false);
            }
            if there && self.nodes[from].is_up() && !self.net.blocked[from][to.node] {
                // The break is noticed, and one of the two connects anew.
                let at = self.now_us + 1_000 + self.delay_us();
                self.at(at, Event::ConnectPeer { from, to: to.node });
            }
        }
        there && !lost
    }

    /// A learner tries to reach its leader's port, or an observer that of the follower that serves it.
    pub(super) fn dial(
        &mut self,
        learner: Process,
        attempt: u64,
        leader: usize,
        port: LearnerPort,
        tries: u32,
    ) {
        if !self.nodes[learner.node].is_dialing(learner.life, attempt) {
            return;
        }
        let listens = match port {
            LearnerPort::Quorum => self.nodes[leader].is_up(),
            LearnerPort::ObserverMaster => {
                matches!(self.nodes[leader].part(), Some(Part::Following { .. }))
            }
        };
        if !listens || !self.net.reaches(learner.node, leader) {
            if tries >= 5 {
                self.feed_leader_down(learner, attempt, "cannot connect");
            } else {
                let at = self.now_us + 100_000;
                self.at(at, Event::Dial { learner, attempt, leader, port, tries: tries + 1 });
            }
            return;
        }
        let id = self.net.next_stream;
        self.net.next_stream += 1;
        let link = match port {
            LearnerPort::Quorum => LinkId(id),
            LearnerPort::ObserverMaster => LinkId(LinkId::MASTER.0 + id),
        };
        let leader = Process { node: leader, life: self.nodes[leader].life };
        self.net.streams.insert(
            id,
            Stream {
                learner,
                attempt,
                leader,
                link,
                up: VecDeque::new(),
                down: VecDeque::new(),
                up_free_us: self.now_us,
                down_free_us: self.now_us,
                closed_at_learner: false,
                closed_at_leader: false,
                snap: None,
            },
        );
        self.connected(id);
    }

    pub(super) fn send(&mut self, stream: u64, to: End, item: Item) {
        let delay_us = self.delay_us();
        let now_us = self.now_us;
        let Some(s) = self.net.streams.get_mut(&stream) else { return };
        let (queue, free_us) = s.queue(to);
        queue.push_back(item);
        let at = (now_us + delay_us).max(*free_us + 1);
        *free_us = at;
        self.at(at, Event::Item { stream, to });
    }

    /// The oldest item on its way to an end gets there, unless the way is blocked: then it is sent again later.
    pub(super) fn item(&mut self, stream: u64, to: End) -> Result<(), Stop> {
        let now_us = self.now_us;
        let Some(s) = self.net.streams.get_mut(&stream) else { return Ok(()) };
        let (target, source) = match to {
            End::Learner => (s.learner, s.leader),
            End::Leader => (s.leader, s.learner),
        };
        if *s.closed(to) {
            return Ok(());
        }
        if self.net.blocked[source.node][target.node] {
            let (_, free_us) = s.queue(to);
            let at = (now_us + 50_000).max(*free_us + 1);
            *free_us = at;
            self.at(at, Event::Item { stream, to });
            return Ok(());
        }
        let Some(item) = s.queue(to).0.pop_front() else { return Ok(()) };
        if !self.nodes[target.node].is_life(target.life) {
            return Ok(());
        }
        if let Item::End(_) = item {
            *s.closed(to) = true;
        }
        self.arrived(stream, to, item)
    }

    /// The connection breaks: each end hears of it some time later, and of nothing that was on its way.
    pub(super) fn break_stream(&mut self, stream: u64, why: &'static str) {
        for to in [End::Learner, End::Leader] {
            let at = self.now_us + self.delay_us();
            self.at(at, Event::Broken { stream, to, why });
        }
    }

    pub(super) fn broken(&mut self, stream: u64, to: End, why: &'static str) -> Result<(), Stop> {
        let Some(s) = self.net.streams.get_mut(&stream) else { return Ok(()) };
        if std::mem::replace(s.closed(to), true) {
            return Ok(());
        }
        let target = s.end(to);
        if self.nodes[target.node].is_life(target.life) {
            self.arrived(stream, to, Item::End(why))?;
        }
        Ok(())
    }

    /// Streams with an end at this process.
    pub(super) fn streams_of(&self, process: Process) -> Vec<u64> {
        let mine = self.net.streams.iter().filter(|(_, s)| s.learner == process || s.leader == process);
        mine.map(|(id, _)| *id).collect()
    }

    /// Forgets connections that nobody holds any more.
    pub(super) fn sweep_streams(&mut self) {
        let nodes = &self.nodes;
        let gone = |p: Process| !nodes[p.node].is_life(p.life);
        self.net.streams.retain(|_, s| {
            !((s.closed_at_learner || gone(s.learner)) && (s.closed_at_leader || gone(s.leader)))
        });
    }
}
