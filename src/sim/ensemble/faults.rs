//! What goes wrong, when, and the settings that a seed draws.

use super::world::{Event, Stop, Us, World};
use crate::{
    sim::{
        disk::{Failure, FakeDisk, Unforced},
        rng::Rng,
    },
    types::Zxid,
};

/// The size and the temper of a world.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Members with a vote.
    pub voters: usize,
    /// Members without.
    pub observers: usize,
    /// Voters are in three groups, and a quorum is a majority of most groups.
    pub groups: bool,
    /// Every fourth of these voters weighs nothing.
    pub weightless: bool,
    /// With which counter epochs begin.
    pub first_counter: u32,
    /// Servers that are no members at first.
    pub spares: usize,
    /// Clients change the members again and again.
    pub reconfig: bool,
    /// Sessions begin as local ones, and are upgraded by their first ephemeral.
    pub local_sessions: bool,
    /// After so many ms without a leader a member serves clients that do not write.
    pub read_only_after_ms: Option<i64>,
    /// Observers get from followers what they would get from the leader.
    pub observer_masters: bool,
    /// By how much the members' clocks run fast or slow at most, in millionths.
    pub clock_skew_ppm: u32,
    /// Clients.
    pub clients: usize,
    /// `tickTime`, ms.
    pub tick_ms: i64,
    /// `initLimit`, ticks.
    pub init_limit_ticks: i64,
    /// `syncLimit`, ticks.
    pub sync_limit_ticks: i64,
    /// `commitLogCount`.
    pub commit_log_count: usize,
    /// `forceSnapshotSync`.
    pub force_snapshot: bool,
    /// Shortest session timeout, and by how much others are longer, ms.
    pub session_ms: (i32, i32),
    /// Longest delay of a message, µs.
    pub delay_max_us: i64,
    /// Shortest and longest time of a force, µs.
    pub force_us: (i64, i64),
    /// How long things go wrong, µs.
    pub faulty_us: i64,
    /// Mean time between faults, µs; 0 for none.
    pub fault_every_us: i64,
    /// Which kinds of faults there are: one bit each, in the order of `KINDS`.
    pub kinds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Crash,
    CrashAtCall,
    FailAtCall,
    SlowDisk,
    Partition,
    OneWay,
    Pause,
    ClockJump,
    BreakStream,
    BreakClient,
    LoseElections,
    ClientDies,
    LoseData,
}

const KINDS: [Kind; 13] = [
    Kind::Crash,
    Kind::CrashAtCall,
    Kind::FailAtCall,
    Kind::SlowDisk,
    Kind::Partition,
    Kind::OneWay,
    Kind::Pause,
    Kind::ClockJump,
    Kind::BreakStream,
    Kind::BreakClient,
    Kind::LoseElections,
    Kind::ClientDies,
    Kind::LoseData,
];

impl Settings {
    /// A world without faults.
    pub fn calm() -> Self {
        Self {
            voters: 3,
            observers: 0,
            groups: false,
            weightless: false,
            first_counter: 0,
            spares: 0,
            reconfig: false,
            local_sessions: false,
            read_only_after_ms: None,
            observer_masters: false,
            clock_skew_ppm: 0,
            clients: 3,
            tick_ms: 200,
            init_limit_ticks: 10,
            sync_limit_ticks: 5,
            commit_log_count: 500,
            force_snapshot: false,
            session_ms: (2000, 2000),
            delay_max_us: 2_000,
            force_us: (200, 2_000),
            faulty_us: 4_000_000,
            fault_every_us: 0,
            kinds: 0,
        }
    }

    /// These kinds of faults, this often on average.
    #[cfg(test)]
    pub(super) fn faulty(kinds: &[Kind], every_us: i64) -> Self {
        let bit = |kind| 1 << KINDS.iter().position(|k| k == kind).unwrap_or_default();
        let kinds = kinds.iter().map(bit).fold(0, |all: u32, bit: u32| all | bit);
        Self { kinds, fault_every_us: every_us, ..Self::calm() }
    }

    /// What a seed draws.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5e77_1235);
        let mut pick = |from: &[i64]| from[rng.below(from.len() as u64) as usize];
        let mut settings = Self::calm();
        settings.voters = pick(&[3, 3, 3, 4, 5, 5, 7]) as usize;
        settings.observers = if settings.voters < 7 { pick(&[0, 0, 1, 2]) as usize } else { 0 };
        settings.groups = settings.voters >= 5 && pick(&[0, 0, 1]) == 1;
        settings.clients = pick(&[2, 3, 4]) as usize;
        settings.commit_log_count = pick(&[0, 5, 30, 500]) as usize;
        settings.force_snapshot = pick(&[0, 0, 0, 0, 0, 1]) == 1;
        settings.init_limit_ticks = pick(&[5, 10]);
        settings.sync_limit_ticks = pick(&[2, 5]);
        settings.delay_max_us = pick(&[500, 2_000, 2_000, 20_000]);
        settings.force_us = (100, pick(&[300, 2_000, 10_000, 30_000]));
        settings.faulty_us = pick(&[4_000_000, 8_000_000, 12_000_000]);
        settings.fault_every_us = pick(&[150_000, 400_000, 1_000_000]);
        // Few kinds at a time meet more often than all of them.
        settings.kinds = match pick(&[0, 1, 2]) {
            0 => u32::MAX,
            _ => (rng.next_u64() & rng.next_u64() | 1 << rng.below(KINDS.len() as u64)) as u32,
        };
        // Drawn apart, so that seeds from before these mean what they meant.
        let mut extra = Rng::new(seed ^ 0x0c0f_16e5);
        settings.reconfig = extra.chance(25);
        if settings.reconfig && settings.voters < 7 {
            settings.spares = 1 + extra.below(2) as usize;
        }
        settings.local_sessions = extra.chance(LOCAL_SESSIONS_PERCENT);
        if settings.local_sessions && extra.chance(50) {
            settings.read_only_after_ms = Some(300);
        }
        settings.observer_masters = extra.chance(OBSERVER_MASTERS_PERCENT);
        if extra.chance(CLOCK_SKEW_PERCENT) {
            settings.clock_skew_ppm = CLOCK_SKEW_MAX_PPM;
        }
        settings.weightless = settings.groups && extra.chance(WEIGHTLESS_PERCENT);
        settings
    }
}

/// How many of a hundred seeds have local sessions.
const LOCAL_SESSIONS_PERCENT: u64 = 20;
/// How many have observer masters; of these those with observers have a use for them.
const OBSERVER_MASTERS_PERCENT: u64 = 40;
/// How many have clocks that run fast or slow, and by how much at most: far more than any real one.
const CLOCK_SKEW_PERCENT: u64 = 30;
const CLOCK_SKEW_MAX_PPM: u32 = 100_000;
/// How many of those with groups have voters that weigh nothing.
const WEIGHTLESS_PERCENT: u64 = 40;

pub(super) struct Faults {
    /// No more faults.
    pub over: bool,
    kinds: Vec<Kind>,
    every_us: Us,
    /// Blocked links and until when, in the order of their serial numbers.
    blocks: Vec<(u64, Vec<(usize, usize)>)>,
    last_block: u64,
    power_fails: bool,
}

impl Faults {
    pub fn new(_seed: u64, settings: &Settings) -> Self {
        let kinds = KINDS.iter().enumerate().filter(|(i, _)| settings.kinds & 1 << i != 0);
        Self {
            over: settings.fault_every_us == 0,
            kinds: kinds.map(|(_, kind)| *kind).collect(),
            every_us: settings.fault_every_us,
            blocks: Vec::new(),
            last_block: 0,
            power_fails: true,
        }
    }

    /// What a death leaves of what was not forced.
    pub fn unforced(&self, rng: &mut Rng) -> Unforced {
        match rng.below(4) {
            0 | 1 => Unforced::Kept,
            2 if self.power_fails => Unforced::Dropped,
            _ => Unforced::Random(rng.next_u64()),
        }
    }
}

impl World {
    pub(super) fn begin_faults(&mut self) {
        if !self.faults.over {
            let at = self.now_us + 500_000;
            self.at(at, Event::Fault);
        }
        self.at(self.settings.faulty_us, Event::Heal);
    }

    fn some_node(&mut self) -> usize {
        self.rng.below(self.nodes.len() as u64) as usize
    }

    pub(super) fn fault(&mut self) -> Result<(), Stop> {
        if self.faults.over || self.faults.kinds.is_empty() {
            return Ok(());
        }
        let pause = 1 + self.rng.below(2 * self.faults.every_us as u64) as Us;
        self.at(self.now_us + pause, Event::Fault);
        let kind = self.faults.kinds[self.rng.below(self.faults.kinds.len() as u64) as usize];
        let n = self.some_node();
        // A leader is the more interesting victim.
        let n = match self.nodes.iter().position(|node| node.part() == Some(crate::member::Part::Leading)) {
            Some(leader) if self.rng.chance(40) => leader,
            _ => n,
        };
        self.say(|| format!("fault: {kind:?} at {n}"));
        match kind {
            Kind::Crash if self.nodes[n].is_up() => self.died(n, "killed".into(), true)?,
            Kind::Crash => {}
            Kind::CrashAtCall => {
                let disk = &self.nodes[n].disk;
                disk.crash_at(disk.calls() + self.rng.below(40));
            }
            Kind::FailAtCall => {
                let failure = if self.rng.chance(50) { Failure::Full } else { Failure::Io };
                let disk = &self.nodes[n].disk;
                disk.fail_at(disk.calls() + self.rng.below(40), failure);
            }
            Kind::SlowDisk => {
                let slow = 50_000 + self.rng.below(1_000_000) as Us;
                let fast = self.settings.force_us;
                self.nodes[n].force_us = if self.rng.chance(50) { (slow / 2, slow) } else { fast };
            }
            Kind::Partition => self.partition(n),
            Kind::OneWay => self.one_way(n),
            Kind::Pause => {
                let us = 20_000 + self.rng.below(2_500_000) as Us;
                if !std::mem::replace(&mut self.nodes[n].paused, true) {
                    self.at(self.now_us + us, Event::Resume { node: n });
                }
            }
            Kind::ClockJump => {
                let by = self.rng.below(7_200_000) as i64 - 3_600_000;
                self.nodes[n].wall_offset_ms += by;
            }
            Kind::BreakStream => {
                let count = self.net.streams.len() as u64;
                let at = self.rng.below(count) as usize;
                if let Some(stream) = self.net.streams.keys().nth(at).copied() {
                    self.break_stream(stream, "connection reset");
                }
            }
            Kind::BreakClient => {
                let at = self.rng.below(self.wires.len() as u64) as usize;
                if let Some(conn) = self.wires.keys().nth(at).copied() {
                    self.tell(conn, super::client::Tell::Closed);
                    self.hang_up(conn);
                }
            }
            Kind::LoseElections => {
                self.net.election_loss_percent = if self.rng.chance(50) { 0 } else { self.rng.below(40) };
            }
            Kind::ClientDies => self.client_dies(),
            Kind::LoseData => self.lose_data(n)?,
        }
        Ok(())
    }

    /// A member comes back with an empty disk. It knows that it was not always empty, so it does not vote until a leader
    /// has filled it; still no more than one may be so at a time.
    fn lose_data(&mut self, n: usize) -> Result<(), Stop> {
        let whole = |i: usize| i == n || self.ghost.members[i].has_data;
        if !(0..self.nodes.len()).all(whole) || self.ghost.tip() == Zxid::ZERO || !self.can_do_without(n) {
            return Ok(());
        }
        if self.nodes[n].is_up() {
            self.died(n, "its disk is replaced".into(), true)?;
        }
        let disk = FakeDisk::new();
        self.keep_configs(&self.nodes[n].disk, &disk);
        self.nodes[n].disk = disk;
        self.nodes[n].options.create_empty_db = false;
        self.ghost.loses_data(n);
        Ok(())
    }

    fn client_dies(&mut self) {
        let index = self.rng.below(self.clients.len() as u64) as usize;
        if self.clients[index].dead || self.clients.len() > 12 {
            return;
        }
        let client = &mut self.clients[index];
        client.dead = true;
        if let Some(conn) = client.conn.take() {
            self.hang_up(conn);
        }
        let index = self.clients.len();
        let (from, more) = self.settings.session_ms;
        self.clients.push(super::client::Client::new(index, from + (index as i32 * 700) % more));
        self.at(self.now_us + 50_000, Event::Client { index });
    }

    fn partition(&mut self, n: usize) {
        let count = self.nodes.len();
        let side: Vec<u64> = match self.rng.below(3) {
            // One alone.
            0 => (0..count).map(|i| u64::from(i == n)).collect(),
            // Two halves.
            1 => (0..count).map(|_| self.rng.below(2)).collect(),
            // Two halves that one member reaches both of.
            _ => (0..count).map(|i| if i == n { 2 } else { self.rng.below(2) }).collect(),
        };
        let mut links = Vec::new();
        for a in 0..count {
            for b in 0..count {
                if side[a] != side[b] && side[a] != 2 && side[b] != 2 {
                    links.push((a, b));
                }
            }
        }
        self.block(links);
    }

    fn one_way(&mut self, n: usize) {
        let other = self.some_node();
        let links = match self.rng.below(3) {
            0 => vec![(n, other)],
            1 => (0..self.nodes.len()).map(|i| (n, i)).collect(),
            _ => (0..self.nodes.len()).map(|i| (i, n)).collect(),
        };
        self.block(links);
    }

    fn block(&mut self, links: Vec<(usize, usize)>) {
        self.faults.last_block += 1;
        let serial = self.faults.last_block;
        self.faults.blocks.push((serial, links));
        self.reckon_blocks();
        let us = 50_000 + self.rng.below(4_000_000) as Us;
        self.at(self.now_us + us, Event::Unblock { serial });
    }

    pub(super) fn unblock(&mut self, serial: u64) {
        self.faults.blocks.retain(|b| b.0 != serial);
        self.reckon_blocks();
    }

    fn reckon_blocks(&mut self) {
        let count = self.nodes.len();
        self.net.blocked = vec![vec![false; count]; count];
        for (a, b) in self.faults.blocks.iter().flat_map(|b| &b.1).filter(|(a, b)| a != b) {
            self.net.blocked[*a][*b] = true;
        }
    }

    /// Nothing goes wrong from now on.
    pub(super) fn heal(&mut self) {
        self.say(|| "faults are over".into());
        self.faults.over = true;
        self.faults.blocks.clear();
        self.net.heal();
        for n in 0..self.nodes.len() {
            let force_us = self.settings.force_us;
            let node = &mut self.nodes[n];
            node.force_us = force_us;
            node.disk.forget_plans();
            if !node.is_up() {
                self.at(self.now_us, Event::Boot { node: n });
            }
        }
    }
}
