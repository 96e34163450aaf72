//! The world: members, clients, the network between them, and what happens when.

use super::{
    client::{Ask, Client, Errand, Tell},
    clock::Monotonic,
    configs::Configs,
    faults::{Faults, Settings},
    ghost::Ghost,
    net::{End, Net, Process},
    node::Node,
    properties,
    serving::Wire,
};
use crate::{
    member::{Input, LearnerPort, Output, Part},
    sim::{disk::FakeDisk, rng::Rng},
    storage::StorageOptions,
    types::{LinkId, ServerId, Zxid},
    zab::election::Notification,
};
use std::{cmp::Reverse, collections::BTreeMap};

/// Virtual time, µs since the world began.
pub(super) type Us = i64;

/// Why a member, or the whole run, cannot go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// The member's disk failed: a real server ends its process.
    Disk(String),
    /// Something is wrong with what is tested.
    Violation(String),
}

impl From<String> for Stop {
    fn from(what: String) -> Self {
        Self::Violation(what)
    }
}

#[derive(Debug)]
pub(super) enum Event {
    Boot { node: usize },
    Wake { process: Process },
    GoOn { process: Process },
    Forced { process: Process },
    Walk { process: Process },
    Touches { process: Process },
    Probed { process: Process, link: LinkId, at: Option<Zxid> },
    LinkUp { process: Process, link: LinkId },
    TreeLeft { process: Process, link: LinkId },
    Reachable { process: Process, peer: usize, up: bool },
    LeaderUp { process: Process, attempt: u64 },
    LeaderDown { process: Process, attempt: u64, why: &'static str },
    ConnectPeer { from: usize, to: usize },
    Notification { from: usize, to: Process, notification: Notification },
    Dial { learner: Process, attempt: u64, leader: usize, port: LearnerPort, tries: u32 },
    Item { stream: u64, to: End },
    Broken { stream: u64, to: End, why: &'static str },
    Client { index: usize },
    Asked { conn: u32, ask: Ask },
    Told { client: usize, conn: u32, tell: Tell },
    HungUp { conn: u32 },
    Fault,
    Resume { node: usize },
    Unblock { serial: u64 },
    Heal,
    Look,
}

/// Ordered by time, and by the order in which they were put.
struct Due {
    at_us: Us,
    serial: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at_us, self.serial) == (other.at_us, other.serial)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.serial).cmp(&(other.at_us, other.serial))
    }
}

pub(super) struct World {
    pub seed: u64,
    pub settings: Settings,
    pub now_us: Us,
    queue: std::collections::BinaryHeap<Reverse<Due>>,
    serial: u64,
    pub rng: Rng,
    /// For what came later to the simulation: what the other one draws does not change by it.
    pub extra: Rng,
    pub nodes: Vec<Node>,
    pub net: Net,
    pub clients: Vec<Client>,
    pub wires: BTreeMap<u32, Wire>,
    pub last_conn: u32,
    pub ghost: Ghost,
    pub faults: Faults,
    hash: u64,
    pub told: Option<Vec<String>>,
    pub size_factor: f64,
    pub snapshots: u64,
    pub elections: u64,
    pub truncations: u64,
    pub trees_sent: u64,
    pub log_probes: u64,
    pub expiries: u64,
    pub refusals: u64,
    pub reconfigurations: u64,
    /// The ensemble has been given members without data that it cannot do without.
    pub hopeless: bool,
    pub reads: u64,
    pub events: u64,
}

impl World {
    pub(super) fn new(seed: u64, settings: Settings, tells: bool) -> Self {
        let mut rng = Rng::new(seed);
        let count = settings.voters + settings.observers + settings.spares;
        let nodes = (0..count)
            .map(|n| {
                let mut options = StorageOptions::in_dir("/data");
                options.prealloc_size = [0, 4096][rng.below(2) as usize];
                options.log_file_size_max = rng.chance(20).then_some(8192);
                Node {
                    id: ServerId(n as i64 + 1),
                    observer: n >= settings.voters,
                    configs: Configs::default(),
                    disk: FakeDisk::new(),
                    options,
                    life: 0,
                    run: None,
                    paused: false,
                    held: Vec::new(),
                    force_us: settings.force_us,
                    mono: Monotonic::of(seed, n, settings.clock_skew_ppm),
                    wall_offset_ms: 1_700_000_000_000 + rng.below(5_000) as i64,
                    snap_count: 20 + rng.below(60) as u32,
                }
            })
            .collect();
        let clients = (0..settings.clients)
            .map(|i| Client::new(i, settings.session_ms.0 + (i as i32 * 700) % settings.session_ms.1))
            .collect();
        let mut world = Self {
            seed,
            now_us: 0,
            queue: Default::default(),
            serial: 0,
            nodes,
            net: Net::new(count),
            clients,
            wires: BTreeMap::new(),
            last_conn: 0,
            ghost: Ghost::new(count, properties::all()),
            faults: Faults::new(seed, &settings),
            hash: 0xcbf2_9ce4_8422_2325,
            told: tells.then(Vec::new),
            size_factor: [-1.0, 0.0, 0.33, 10.0][rng.below(4) as usize],
            snapshots: 0,
            elections: 0,
            truncations: 0,
            trees_sent: 0,
            log_probes: 0,
            expiries: 0,
            refusals: 0,
            reconfigurations: 0,
            hopeless: false,
            reads: 0,
            events: 0,
            rng,
            extra: Rng::new(seed ^ 0x7ec0_4f16),
            settings,
        };
        world.ghost.founders = world.founders();
        world.net.delay_max_us = world.settings.delay_max_us;
        for node in 0..count {
            let at = world.rng.below(300_000) as Us;
            world.at(at, Event::Boot { node });
        }
        for index in 0..world.clients.len() {
            world.at(100_000, Event::Client { index });
        }
        world
    }

    /// What the present life of a member draws from: no other one's is the same.
    pub(super) fn seed_of(&self, n: usize) -> u64 {
        self.seed ^ self.nodes[n].life << 8 ^ n as u64
    }

    pub(super) fn index_of(&self, id: ServerId) -> Option<usize> {
        self.nodes.iter().position(|n| n.id == id)
    }

    pub(super) fn at(&mut self, at_us: Us, event: Event) {
        self.serial += 1;
        self.queue.push(Reverse(Due { at_us: at_us.max(self.now_us), serial: self.serial, event }));
    }

    pub(super) fn trace(&mut self, words: &[u64]) {
        for word in words {
            self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
    }

    pub(super) fn trace_output(&mut self, n: usize, output: &Output) {
        let (kind, detail) = match output {
            Output::Notify { to, notification } => (1, to.0 ^ notification.vote.round << 8),
            Output::SendToLeader { bytes, .. } => (2, super::ghost::hash(bytes) as i64),
            Output::Send { link, bytes } => (3, link.0 as i64 ^ super::ghost::hash(bytes) as i64),
            Output::Truncate { zxid } => (4, zxid.0),
            Output::StoreEpoch { epoch, .. } => (5, i64::from(epoch.0)),
            _ => (6, 0),
        };
        self.trace(&[7, n as u64, kind, detail as u64, self.now_us as u64]);
    }

    pub(super) fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told {
            told.push(format!("{:>10.3} ms  {}", self.now_us as f64 / 1000.0, what()));
        }
    }

    pub(super) fn trace_hash(&self) -> u64 {
        self.hash
    }

    /// Goes on until `done`, or until the time is over. Whether it is done.
    pub(super) fn run_until(
        &mut self,
        end_us: Us,
        mut done: impl FnMut(&mut Self) -> Result<bool, Stop>,
    ) -> Result<bool, Stop> {
        self.at(self.now_us, Event::Look);
        while let Some(Reverse(due)) = self.queue.pop() {
            if due.at_us > end_us {
                self.queue.push(Reverse(due));
                self.now_us = end_us;
                return done(self);
            }
            self.now_us = due.at_us;
            if matches!(due.event, Event::Look) {
                if done(self)? {
                    return Ok(true);
                }
                self.at(self.now_us + 20_000, Event::Look);
                continue;
            }
            if let Some(node) = self.node_of(&due.event)
                && self.nodes[node].paused
            {
                self.nodes[node].held.push(due.event);
                continue;
            }
            self.events += 1;
            self.happen(due.event)?;
        }
        Ok(false)
    }

    /// Whose turn an event is.
    fn node_of(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Boot { node } => Some(*node),
            Event::Wake { process }
            | Event::GoOn { process }
            | Event::Forced { process }
            | Event::Walk { process }
            | Event::Touches { process }
            | Event::Probed { process, .. }
            | Event::LinkUp { process, .. }
            | Event::TreeLeft { process, .. }
            | Event::Reachable { process, .. }
            | Event::LeaderUp { process, .. }
            | Event::LeaderDown { process, .. } => Some(process.node),
            Event::Notification { to, .. } => Some(to.node),
            Event::Item { stream, to } | Event::Broken { stream, to, .. } => {
                let s = self.net.streams.get(stream)?;
                Some(if *to == End::Leader { s.leader.node } else { s.learner.node })
            }
            Event::Asked { conn, .. } | Event::HungUp { conn } => Some(self.wires.get(conn)?.process.node),
            _ => None,
        }
    }

    fn alive(&self, process: Process) -> bool {
        self.nodes[process.node].is_life(process.life)
    }

    fn happen(&mut self, event: Event) -> Result<(), Stop> {
        match event {
            Event::Boot { node } => self.boot(node)?,
            Event::Wake { process } if self.alive(process) => self.wake(process.node)?,
            Event::GoOn { process } if self.alive(process) => self.go_on(process.node)?,
            Event::Forced { process } if self.alive(process) => self.forced(process.node)?,
            Event::Walk { process } if self.alive(process) => self.walk(process.node)?,
            Event::Touches { process } if self.alive(process) => self.touches(process.node)?,
            Event::Probed { process, link, at } if self.alive(process) => {
                self.turn(process.node, Input::LogProbed { link, at })?;
            }
            Event::LinkUp { process, link } if self.alive(process) => {
                self.turn(process.node, Input::LinkUp { link })?;
            }
            Event::TreeLeft { process, link } if self.alive(process) => {
                self.turn(process.node, Input::SnapshotSent { link })?;
            }
            Event::Reachable { process, peer, up } if self.alive(process) => {
                let peer = self.nodes[peer].id;
                self.turn(process.node, Input::Reachable { peer, up })?;
            }
            Event::LeaderUp { process, attempt } if self.alive(process) => {
                self.turn(process.node, Input::LeaderUp { attempt })?;
            }
            Event::LeaderDown { process, attempt, why } if self.alive(process) => {
                self.turn(process.node, Input::LeaderDown { attempt, why: why.into() })?;
            }
            Event::Notification { from, to, notification } => {
                if self.notification_arrives(from, to) {
                    let from = self.nodes[from].id;
                    self.turn(to.node, Input::Heard { from, notification })?;
                }
            }
            Event::ConnectPeer { from, to } => self.connect_peer(from, to),
            Event::Dial { learner, attempt, leader, port, tries } => {
                self.dial(learner, attempt, leader, port, tries)
            }
            Event::Item { stream, to } => self.item(stream, to)?,
            Event::Broken { stream, to, why } => self.broken(stream, to, why)?,
            Event::Client { index } => self.client_turn(index),
            Event::Asked { conn, ask } => self.asked(conn, ask)?,
            Event::Told { client, conn, tell } => self.told(client, conn, tell)?,
            Event::HungUp { conn } => self.hung_up(conn)?,
            Event::Fault => self.fault()?,
            Event::Resume { node } => {
                self.nodes[node].paused = false;
                // What came meanwhile waits in the order in which it came.
                for event in std::mem::take(&mut self.nodes[node].held) {
                    self.happen(event)?;
                }
            }
            Event::Unblock { serial } => self.unblock(serial),
            Event::Heal => self.heal(),
            Event::Wake { .. }
            | Event::GoOn { .. }
            | Event::Forced { .. }
            | Event::Walk { .. }
            | Event::Touches { .. }
            | Event::Probed { .. }
            | Event::LinkUp { .. }
            | Event::TreeLeft { .. }
            | Event::Reachable { .. }
            | Event::LeaderUp { .. }
            | Event::LeaderDown { .. }
            | Event::Look => {}
        }
        Ok(())
    }

    /// A member's process has ended. It starts again some time later.
    pub(super) fn died(&mut self, n: usize, why: String, ran: bool) -> Result<(), Stop> {
        self.say(|| format!("node {n}: dies: {why}"));
        let process = Process { node: n, life: self.nodes[n].life };
        let unforced = self.faults.unforced(&mut self.rng);
        let silent = self.rng.chance(25);
        self.nodes[n].run = None;
        self.nodes[n].disk.crash(unforced);
        self.lose_peers(n, silent);
        if ran {
            self.ghost.stops(n)?;
        }
        if !silent {
            for stream in self.streams_of(process) {
                self.break_stream(stream, "the process at the other end has died");
            }
        }
        let gone: Vec<u32> =
            self.wires.iter().filter(|(_, w)| w.process == process).map(|(c, _)| *c).collect();
        for conn in gone {
            if !silent {
                self.tell(conn, Tell::Closed);
            }
            self.wires.remove(&conn);
        }
        self.sweep_streams();
        let pause_us = if self.faults.over { 100_000 } else { 50_000 + self.rng.below(2_000_000) as Us };
        let at = self.now_us + pause_us;
        self.at(at, Event::Boot { node: n });
        Ok(())
    }

    /// Sends a client to every member with something to get done there; the others do nothing any more.
    pub(super) fn send_errands(&mut self) {
        for client in &mut self.clients {
            client.calm = true;
        }
        for node in 0..self.nodes.len() {
            let index = self.clients.len();
            let mut client = Client::new(index, self.settings.session_ms.0 + self.settings.session_ms.1);
            client.calm = true;
            client.errand = Some(Errand { node, done: false });
            self.clients.push(client);
            self.at(self.now_us, Event::Client { index });
        }
    }

    /// Whether everything is as it should be once faults are over; if not, why.
    pub(super) fn is_live(&self) -> Result<(), String> {
        let mut leaders = Vec::new();
        for (n, node) in self.nodes.iter().enumerate().filter(|(n, _)| self.has_to_serve(*n)) {
            match node.part() {
                Some(part) if part.serves() && part != Part::ReadOnly => {
                    if part == Part::Leading {
                        leaders.push(n);
                    }
                }
                other => return Err(format!("node {n} does not serve: {other:?}")),
            }
        }
        if leaders.len() != 1 {
            return Err(format!("leaders are {leaders:?}"));
        }
        let undone = |e: &Errand| !e.done && self.has_to_serve(e.node);
        let undone = self.clients.iter().find(|c| c.errand.as_ref().is_some_and(undone));
        match undone {
            Some(client) => Err(format!(
                "{} has not got a write done at node {}",
                client.name(),
                client.errand.as_ref().map_or(0, |e| e.node)
            )),
            None => Ok(()),
        }
    }

    /// Whether all members have the same, right state.
    pub(super) fn is_converged(&self) -> Result<(), String> {
        let tip = self.ghost.tip();
        let served = |c: &&Client| c.errand.as_ref().is_none_or(|e| self.has_to_serve(e.node));
        let mut alive = self.clients.iter().filter(|c| !c.dead).filter(served);
        let busy = alive.find(|c| !c.is_established() || !c.is_idle());
        if let Some(client) = busy {
            return Err(format!("{} waits", client.name()));
        }
        for (session, _) in self.ghost.model.living() {
            if !self.clients.iter().any(|c| !c.dead && c.session == Some(session)) {
                return Err(format!("session {session} lives on without a client"));
            }
        }
        self.agree_on_config()?;
        for (n, node) in self.nodes.iter().enumerate().filter(|(n, _)| self.has_to_serve(*n)) {
            let Some(run) = &node.run else { return Err(format!("node {n} is down")) };
            if run.tree.last_zxid() != tip || self.ghost.members[n].logged != tip {
                let (last, logged) = (run.tree.last_zxid(), self.ghost.members[n].logged);
                return Err(format!("node {n} is at {last} and has logged {logged}, committed is {tip}"));
            }
        }
        Ok(())
    }
}
