//! Whatever happens to the disk, what was forced is found again, and nothing is found in part.
//!
//! A random workload (batches of txns, forces, rolled logs, snapshots, purges) runs on a disk in memory that stops the
//! world, fills up or fails at the n-th call that changes something, for every n. Afterwards the machine comes back
//! with all, none or some of what was not forced, sector by sector, and recovery must give the state after the last
//! forced txn, or after one that was appended behind it. Then the workload goes on and the machine dies again, also in
//! the middle of recovery.
//!
//! A failure prints the seed, and `QUOLL_CRASH_SEED=<seed> cargo test --test crash_points` runs that one alone.

use bytes::Bytes;
use quoll::sim::disk::{Failure, FakeDisk, Unforced};
use quoll::sim::rng::Rng;
use quoll::storage::{
    Compression, Disk, LogWriter, Recovered, StorageError, StorageOptions, purge, recover, save_now,
};
use quoll::tree::{Effects, Tree, TreeOptions};
use quoll::types::{Acl, Id, Perms, SessionId, SubTxn, Txn, TxnBody, TxnFormat, Zxid, open_acl};
use std::collections::BTreeMap;
use std::sync::Arc;

const OPTIONS: TreeOptions = TreeOptions {
    hash_seed: 1,
    owner_rules: quoll::types::OwnerRules { extended_types: true, emulate_353: false },
    digest: true,
};

/// What recovery has to find after a txn.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    digest: i64,
    nodes: usize,
    sessions: Vec<(SessionId, i32)>,
}

fn state_of(tree: &Tree, sessions: &BTreeMap<SessionId, i32>) -> State {
    State {
        digest: tree.digest(),
        nodes: tree.node_count(),
        sessions: sessions.iter().map(|(s, t)| (*s, *t)).collect(),
    }
}

/// A server reduced to its storage.
struct World {
    rng: Rng,
    disk: FakeDisk,
    options: StorageOptions,
    tree: Tree,
    sessions: BTreeMap<SessionId, i32>,
    next_session: i64,
    /// Everything that was ever appended and could be found.
    states: BTreeMap<Zxid, State>,
    forced: Zxid,
    appended: Zxid,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut options = StorageOptions::in_dir("/data");
        if rng.chance(30) {
            options.data_log_dir = "/log".into();
        }
        options.prealloc_size = [0, 1 << 10, 4 << 10, 16 << 10][rng.below(4) as usize];
        options.log_file_size_max = rng.chance(30).then_some(3000);
        options.compression =
            [Compression::None, Compression::Gzip, Compression::Snappy][rng.below(3) as usize];
        options.last_zxid_in_snapshots = rng.chance(50);
        Self {
            rng,
            disk: FakeDisk::new(),
            options,
            tree: Tree::new(OPTIONS),
            sessions: BTreeMap::new(),
            next_session: 1,
            states: BTreeMap::new(),
            forced: Zxid::ZERO,
            appended: Zxid::ZERO,
        }
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn recover(&self) -> Result<Recovered, StorageError> {
        recover(&self.disk(), &self.options, OPTIONS, &mut |_| {})
    }

    /// Starts the server and takes over what it found, which must be right.
    fn start(&mut self) -> Result<LogWriter, StorageError> {
        let found = self.recover()?;
        let zxid = found.last_zxid;
        assert!(zxid >= self.forced, "{zxid} was found, {} was forced: {:?}", self.forced, found.notes);
        assert!(zxid <= self.appended, "{zxid} was found, {} was appended", self.appended);
        assert_eq!(found.digest_mismatches, 0, "{:?}", found.notes);
        assert_eq!(found.tree.last_zxid(), zxid);
        self.sessions = found.sessions.iter().copied().collect();
        self.tree = found.tree;
        if zxid > Zxid::ZERO {
            assert_eq!(state_of(&self.tree, &self.sessions), self.states[&zxid], "state after {zxid}");
        }
        self.states.split_off(&zxid.next());
        (self.forced, self.appended) = (zxid, zxid);
        Ok(LogWriter::open(self.disk(), self.options.log(), zxid))
    }

    /// Works until done or until the disk fails.
    fn run(&mut self, steps: u32) -> Result<(), StorageError> {
        let mut log = self.start()?;
        for _ in 0..steps {
            let result = self.step(&mut log);
            if let Err(e) = result {
                self.assert_poisoned_if_the_log_failed(&mut log);
                return Err(e);
            }
        }
        Ok(())
    }

    fn step(&mut self, log: &mut LogWriter) -> Result<(), StorageError> {
        // As the server does: several batches may be appended before one force.
        let batches = 1 + self.rng.below(2);
        for _ in 0..batches {
            let count = 1 + self.rng.below(6);
            let mut entries = Vec::new();
            let first = self.appended.next();
            for _ in 0..count {
                let txn = self.next_txn();
                let mut entry = Vec::new();
                txn.write(TxnFormat::default(), &mut entry);
                entries.push(entry);
            }
            log.append(entries.iter().map(Vec::as_slice), first, self.appended)?;
        }
        log.force()?;
        self.forced = self.appended;
        match self.rng.below(10) {
            0 | 1 => {
                log.roll()?;
                let sessions: Vec<_> = self.sessions.iter().map(|(s, t)| (*s, *t)).collect();
                save_now(&self.disk(), &self.options, &mut self.tree, &sessions)?;
            }
            2 => log.roll()?,
            3 => {
                purge(&self.disk, &self.options.snap_dir(), &self.options.log_dir(), 3)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// After a failure of the log nothing may be written any more, even if the disk is well again.
    fn assert_poisoned_if_the_log_failed(&mut self, log: &mut LogWriter) {
        self.disk.make_room();
        if log.poisoned().is_none() {
            return;
        }
        let calls = self.disk.calls();
        for _ in 0..2 {
            let again = log.append([&b"x"[..]], self.appended.next(), self.appended.next());
            assert!(matches!(again, Err(StorageError::Poisoned { .. })), "{again:?}");
            assert!(matches!(log.force(), Err(StorageError::Poisoned { .. })));
            assert!(matches!(log.roll(), Err(StorageError::Poisoned { .. })));
        }
        assert_eq!(self.disk.calls(), calls, "a poisoned log touched the disk");
    }

    fn next_txn(&mut self) -> Txn {
        let zxid = self.appended.next();
        let session = match self.sessions.keys().nth(self.rng.below(3) as usize) {
            Some(s) if !self.rng.chance(15) => *s,
            _ => SessionId::NONE,
        };
        let body = match self.rng.below(12) {
            0 | 1 => {
                let session = SessionId(self.next_session);
                self.next_session += 1;
                return self.applied(session, zxid, TxnBody::CreateSession { timeout_ms: 4000 });
            }
            2 if session != SessionId::NONE => {
                let paths = self.tree.ephemerals(session).collect();
                TxnBody::CloseSession { paths: Some(paths) }
            }
            3 => {
                let ops = (0..self.rng.below(5)).map(|_| self.next_op(session)).collect();
                TxnBody::Multi(ops)
            }
            _ => TxnBody::One(self.next_op(session)),
        };
        self.applied(session, zxid, body)
    }

    fn applied(&mut self, session: SessionId, zxid: Zxid, body: TxnBody) -> Txn {
        match body {
            TxnBody::CreateSession { timeout_ms } => {
                self.sessions.insert(session, timeout_ms);
            }
            TxnBody::CloseSession { .. } => {
                self.sessions.remove(&session);
            }
            _ => {}
        }
        let mut txn = Txn { session, cxid: 1, zxid, time_ms: 1000 + zxid.0, body, digest: None };
        self.tree.apply(&txn, &mut Effects::disabled());
        txn.digest = Some((2, self.tree.digest()));
        self.states.insert(zxid, state_of(&self.tree, &self.sessions));
        self.appended = zxid;
        txn
    }

    fn next_op(&mut self, session: SessionId) -> SubTxn {
        let path = format!("/{}", self.rng.below(8));
        let path = if self.rng.chance(50) { format!("{path}/{}", self.rng.below(4)) } else { path };
        // Data longer than a sector and of zeros looks like sectors that were lost.
        let len = [0, 1, 20, 100, 700, 2000][self.rng.below(6) as usize];
        let byte = if self.rng.chance(30) { 0 } else { self.rng.next_u64() as u8 };
        let data = (!self.rng.chance(10)).then(|| Bytes::from(vec![byte; len]));
        let private = Acl { perms: Perms(self.rng.below(32) as i32), id: Id::new("digest", "a:b") };
        let acl = if self.rng.chance(70) { open_acl().clone() } else { [private].into() };
        match self.rng.below(10) {
            0..=3 => SubTxn::Create {
                with_stat: self.rng.chance(50),
                path,
                data,
                acl,
                ephemeral: session != SessionId::NONE && self.rng.chance(50),
                parent_cversion: -1,
            },
            4 => SubTxn::CreateContainer { path, data, acl, parent_cversion: -1 },
            5 => SubTxn::SetAcl { path, acl, version: self.rng.below(9) as i32 },
            6 => SubTxn::Delete { container: false, path },
            7 => SubTxn::Error { code: -110 },
            _ => SubTxn::SetData { path, data, version: self.rng.below(9) as i32 },
        }
    }
}

fn unforced(rng: &mut Rng) -> Unforced {
    match rng.below(4) {
        0 => Unforced::Kept,
        1 => Unforced::Dropped,
        _ => Unforced::Random(rng.next_u64()),
    }
}

/// Calls of a run of this seed without any failure.
fn calls_of(seed: u64, steps: u32) -> u64 {
    let mut world = World::new(seed);
    world.run(steps).expect("nothing fails");
    world.disk.calls()
}

fn seeds(all: std::ops::Range<u64>) -> Vec<u64> {
    match std::env::var("QUOLL_CRASH_SEED") {
        Ok(seed) => vec![seed.parse().expect("QUOLL_CRASH_SEED is a number")],
        Err(_) => all.collect(),
    }
}

/// Says which case it was when the test fails.
struct Case(String);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed at {}", self.0);
        }
    }
}

/// One life that ends at the given call, then more lives of random length.
fn crash_at(seed: u64, call: u64) {
    let _case = Case(format!("seed {seed}, call {call}: QUOLL_CRASH_SEED={seed} repeats it"));
    let mut world = World::new(seed);
    let mut fate = Rng::new(seed ^ call << 32 ^ 0xfa7e);
    world.disk.crash_at(call);
    let ended = world.run(12);
    assert!(ended.is_err(), "the world did not stop");
    for _ in 0..3 {
        world.disk.crash(unforced(&mut fate));
        // Often in the middle of recovery.
        let within = if fate.chance(40) { 8 } else { 60 };
        world.disk.crash_at(world.disk.calls() + fate.below(within));
        if world.run(4).is_ok() {
            world.disk.crash_at(world.disk.calls());
        }
    }
    world.disk.crash(unforced(&mut fate));
    world.start().expect("recovery after the last crash");
}

/// Every call of the first seeds, every seventh of the others.
fn calls(seed: u64) -> impl Iterator<Item = u64> {
    let step = if seed < 60 || std::env::var_os("QUOLL_CRASH_SEED").is_some() { 1 } else { 7 };
    (if step == 1 { 0 } else { seed % step }..calls_of(seed, 12)).step_by(step as usize)
}

fn every_crash_point(all: std::ops::Range<u64>) {
    for seed in seeds(all) {
        for call in calls(seed) {
            crash_at(seed, call);
        }
    }
}

fn fail_at(seed: u64, call: u64, failure: Failure) {
    let _case = Case(format!("seed {seed}, call {call}, {failure:?}: QUOLL_CRASH_SEED={seed} repeats it"));
    let mut world = World::new(seed);
    let mut fate = Rng::new(seed ^ call << 32 ^ 0xbad);
    world.disk.fail_at(call, failure);
    // A failure may be of no consequence, as that of a copy kept for inspection; then the run ends well.
    let _ = world.run(12);
    world.disk.make_room();
    let mode = unforced(&mut fate);
    world.disk.crash(mode);
    world.run(6).unwrap_or_else(|e| panic!("the disk is well again, but: {e}"));
}

fn every_failure(all: std::ops::Range<u64>) {
    for seed in seeds(all) {
        for call in calls(seed) {
            for failure in [Failure::Full, Failure::Io] {
                fail_at(seed, call, failure);
            }
        }
    }
}

macro_rules! in_parts {
    ($($name:ident: $run:ident $range:expr;)*) => { $(#[test] fn $name() { $run($range); })* };
}

in_parts! {
    what_was_forced_survives_a_crash_at_any_call_1: every_crash_point 0..30;
    what_was_forced_survives_a_crash_at_any_call_2: every_crash_point 30..300;
    what_was_forced_survives_a_crash_at_any_call_3: every_crash_point 300..650;
    what_was_forced_survives_a_crash_at_any_call_4: every_crash_point 650..1000;
    a_full_or_failing_disk_at_any_call_loses_nothing_1: every_failure 0..30;
    a_full_or_failing_disk_at_any_call_loses_nothing_2: every_failure 30..300;
    a_full_or_failing_disk_at_any_call_loses_nothing_3: every_failure 300..650;
    a_full_or_failing_disk_at_any_call_loses_nothing_4: every_failure 650..1000;
}
