//! Several clients write at random while the server is killed with SIGKILL every few seconds and started
//! again: nothing that was answered may be missing, nothing may overtake, versions and zxids only grow.
//!
//! `QUOLL_SOAK_SECONDS` sets the length (default 40), `QUOLL_SOAK_SEED` repeats a workload (the kills fall
//! where the clock lets them), `COMPAT_ARM=java` soaks the upstream server, to prove the checks. For half an hour:
//!
//!     QUOLL_SOAK_SECONDS=1800 cargo test --release -p compat-tests --test soak -- --nocapture

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use compat_tests::arm::Arm;
use compat_tests::model::{Model, Op, Outcome};
use compat_tests::raw::{Acl, Client, Dec, Enc, MultiResult, Reply, create_body, flag, multi_body};
use compat_tests::raw::{multi_results, op};
use compat_tests::state::{SUPER_DIGEST, State};
use compat_tests::{Server, ServerBuilder};
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

const CLIENTS: u64 = 6;

/// Requests a client has unanswered at most.
const DEPTH_MAX: usize = 12;

/// Nodes a client keeps at most, roughly.
const NODES_MAX: usize = 150;

#[test]
fn nothing_answered_is_lost_when_the_server_is_killed_again_and_again() {
    let seconds = number("QUOLL_SOAK_SECONDS").unwrap_or(40);
    let seed = number("QUOLL_SOAK_SEED").unwrap_or_else(|| rand::random::<u32>().into());
    println!(
        "repeat: QUOLL_SOAK_SEED={seed} QUOLL_SOAK_SECONDS={seconds} cargo test -p compat-tests --test soak"
    );
    let arm = match std::env::var("COMPAT_ARM").as_deref() {
        Ok("java") => Arm::Java,
        _ => Arm::Quoll,
    };

    let dir = tempfile::tempdir().expect("a temporary folder can be created");
    let mut server = builder(arm).data_dir(dir.path()).start();
    let addr: SocketAddr = ([127, 0, 0, 1], server.port()).into();
    let shared = Arc::new(Shared::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|i| {
            let shared = shared.clone();
            std::thread::spawn(move || {
                let outcome = Soaker::new(i, seed, addr).and_then(|mut s| s.run(&shared).map(|()| s));
                if outcome.is_err() {
                    shared.stop.store(true, Ordering::SeqCst);
                }
                outcome
            })
        })
        .collect();

    let mut rng = StdRng::seed_from_u64(seed);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut kills = 0;
    while Instant::now() < deadline && !shared.stop.load(Ordering::SeqCst) {
        // Now and then soon after it serves, when clients are just coming back.
        let pause_ms =
            if rng.random_bool(0.25) { rng.random_range(0..100) } else { rng.random_range(500..4_000) };
        std::thread::sleep(Duration::from_millis(pause_ms));
        server.kill();
        kills += 1;
        // And now and then before it serves, while it recovers.
        while rng.random_bool(0.25) {
            server.start_and_kill(Duration::from_millis(rng.random_range(1..80)));
            kills += 1;
        }
        server.start_again();
    }
    shared.stop.store(true, Ordering::SeqCst);
    let outcomes: Vec<_> = clients.into_iter().map(|c| c.join().expect("a client does not panic")).collect();
    let answered = shared.answered.load(Ordering::SeqCst);
    let unsure = shared.unanswered_applied.load(Ordering::SeqCst);
    println!("{kills} kills, {answered} answered writes, {unsure} unanswered ones found applied");

    let failures: Vec<String> = outcomes.iter().filter_map(|o| o.as_ref().err().cloned()).collect();
    if !failures.is_empty() {
        let kept = dir.keep();
        panic!(
            "seed {seed}, data directory kept in {}:\n{}\n--- end of the server's log:\n{}",
            kept.display(),
            failures.join("\n"),
            server.log_tail()
        );
    }
    let expected: usize = outcomes.iter().flatten().map(|s| s.model.nodes.len()).sum();
    let state = State::read(addr).expect("the server can be read");
    let found = state.nodes.keys().filter(|path| path.starts_with("/c")).count();
    assert_eq!(found, expected, "nodes below the clients' roots");
    assert!(kills >= seconds / 8, "only {kills} kills in {seconds} s");
    assert!(answered > 100 * seconds, "only {answered} writes were answered in {seconds} s");
}

fn builder(arm: Arm) -> ServerBuilder {
    Server::builder(arm)
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER_DIGEST)
        // Snapshots and new logs every second or so: kills fall into them too.
        .property("zookeeper.snapCount", 3_000)
        .property("zookeeper.preAllocSize", 256)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{variable} is {text}: {e}")))
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicU64,
    unanswered_applied: AtomicU64,
}

/// One client with its model. An error of its methods is a violation; the loss of a connection is none.
struct Soaker {
    addr: SocketAddr,
    rng: StdRng,
    /// What the answered operations made.
    model: Model,
    /// Operations sent and not answered, oldest first.
    unanswered: VecDeque<Op>,
    zk: Client,
    made: u64,
    /// Set while a closeSession is under way.
    closing: bool,
}

impl Soaker {
    fn new(i: u64, seed: u64, addr: SocketAddr) -> Result<Soaker, String> {
        let root = format!("/c{i}");
        let deadline = Instant::now() + Duration::from_secs(60);
        // The first node has no model yet: whether a lost answer had made it does not matter.
        loop {
            let begun = Client::connect(addr, 30_000).and_then(|mut zk| {
                // Refused means that it is there already, from a try whose answer was lost.
                let _ = zk.create(&root, Some(b""), &Acl::open(), flag::PERSISTENT, 0)?;
                Ok(zk)
            });
            match begun {
                Ok(zk) => {
                    return Ok(Soaker {
                        addr,
                        rng: StdRng::seed_from_u64(seed.wrapping_add(1 + i)),
                        model: Model::new(&root),
                        unanswered: VecDeque::new(),
                        zk,
                        made: 0,
                        closing: false,
                    });
                }
                Err(e) if Instant::now() > deadline => return Err(format!("{root}: {e}")),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn run(&mut self, shared: &Shared) -> Result<(), String> {
        while !shared.stop.load(Ordering::SeqCst) {
            // Any error of the connection leads to a new one, and there everything is looked at.
            match self.burst(shared) {
                Ok(()) => {}
                Err(Trouble::Violation(what)) => return Err(what),
                Err(Trouble::Connection(_)) => self.recover(shared)?,
            }
        }
        self.recover(shared)
    }

    fn burst(&mut self, shared: &Shared) -> Result<(), Trouble> {
        if self.rng.random_range(0..300) == 0 {
            return self.change_session();
        }
        let depth = self.rng.random_range(1..=DEPTH_MAX);
        let mut ahead = self.model.clone();
        for _ in 0..depth {
            let next = self.some_op(&ahead);
            ahead.apply(&next);
            let (opcode, body) = request(&next);
            // Once sent it may be applied, whatever the send says.
            self.unanswered.push_back(next);
            self.zk.send(opcode, &body.0)?;
        }
        while !self.unanswered.is_empty() {
            let zxid_before = self.zk.last_zxid;
            let reply = self.zk.recv()?;
            if reply.zxid < zxid_before {
                return violation(format!("zxid {:#x} answered after {zxid_before:#x}", reply.zxid));
            }
            let done = self.unanswered.pop_front().expect("not empty");
            self.answered(&done, &reply)?;
            shared.answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Compares an answer with the model's and takes the zxids it tells.
    fn answered(&mut self, done: &Op, reply: &Reply) -> Result<(), Trouble> {
        let expected = self.model.apply(done);
        let (seen, told) = outcome(done, reply)?;
        if seen != expected {
            return violation(format!("{done:?} answered {seen:?} instead of {expected:?}"));
        }
        for (path, czxid, mzxid) in told {
            if let Some(node) = self.model.nodes.get_mut(&path) {
                node.zxids = Some((czxid, mzxid));
            }
        }
        Ok(())
    }

    fn change_session(&mut self) -> Result<(), Trouble> {
        self.closing = true;
        self.zk.call(op::CLOSE_SESSION, &[])?;
        self.closing = false;
        self.model.drop_ephemerals();
        // Should the connection fail now, there is no session to come back to.
        self.zk.session_id = 0;
        self.zk = Client::attach(self.addr, 30_000, 0, &[0; 16], self.zk.last_zxid)?;
        Ok(())
    }

    /// Comes back after a crash: the session must be known, and the subtree must be what a prefix of the
    /// unanswered operations made of the answered ones.
    fn recover(&mut self, shared: &Shared) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut last = String::new();
        while Instant::now() < deadline {
            match self.try_recover(shared) {
                Ok(()) => return Ok(()),
                Err(Trouble::Violation(what)) => return Err(format!("{}: {what}", self.model.root)),
                Err(Trouble::Connection(why)) => last = why,
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // A server that has lost what this client saw refuses it for ever (its zxid is ahead).
        Err(format!(
            "{}: no connection in 60 s with last zxid {:#x}: {last}",
            self.model.root, self.zk.last_zxid
        ))
    }

    fn try_recover(&mut self, shared: &Shared) -> Result<(), Trouble> {
        let (id, passwd) = (self.zk.session_id, self.zk.passwd.clone());
        let mut zk = Client::attach(self.addr, 30_000, id, &passwd, self.zk.last_zxid)?;
        if zk.session_id == 0 {
            if !self.closing && id != 0 {
                return violation(format!("session {id:#x} is lost"));
            }
            self.model.drop_ephemerals();
            zk = Client::attach(self.addr, 30_000, 0, &[0; 16], self.zk.last_zxid)?;
        }
        self.closing = false;
        zk.last_zxid = zk.last_zxid.max(self.zk.last_zxid);
        self.zk = zk;
        let found = self.read_subtree()?;
        let mut candidate = self.model.clone();
        let mut why = Vec::new();
        for applied in 0..=self.unanswered.len() {
            match difference(&candidate, &found, self.zk.session_id) {
                None => {
                    shared.unanswered_applied.fetch_add(applied as u64, Ordering::Relaxed);
                    self.model = found_as_model(&candidate, &found);
                    self.unanswered.clear();
                    return Ok(());
                }
                Some(what) => why.push(format!("with {applied} unanswered applied: {what}")),
            }
            if let Some(next) = self.unanswered.get(applied) {
                candidate.apply(next);
            }
        }
        violation(format!(
            "the subtree is none that could be; unanswered: {:?}\n  {}",
            self.unanswered,
            why.join("\n  ")
        ))
    }

    fn read_subtree(&mut self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        let mut wanted = vec![self.model.root.clone()];
        while let Some(path) = wanted.pop() {
            let Ok((data, stat)) = self.zk.get_data(&path, false)? else { continue };
            let names = self.zk.children(&path)?.unwrap_or_default();
            wanted.extend(names.iter().map(|name| format!("{path}/{name}")));
            found.push(Found { path, data: data.unwrap_or_default(), stat });
        }
        Ok(found)
    }

    fn some_op(&mut self, ahead: &Model) -> Op {
        if self.rng.random_range(0..8) == 0 {
            let mut after = ahead.clone();
            let count = self.rng.random_range(1..5);
            let mut ops = Vec::new();
            while ops.len() < count {
                let next = match self.single_op(&after) {
                    Op::Multi(mut checks) => checks.remove(0),
                    single => single,
                };
                after.apply(&next);
                ops.push(next);
            }
            return Op::Multi(ops);
        }
        self.single_op(ahead)
    }

    fn single_op(&mut self, ahead: &Model) -> Op {
        let path = ahead.nodes.keys().choose(&mut self.rng).expect("the root is there").clone();
        let version = match self.rng.random_range(0..4) {
            0 => ahead.nodes[&path].version,
            1 => self.rng.random_range(0..3),
            _ => -1,
        };
        let full = ahead.nodes.len() > NODES_MAX;
        match self.rng.random_range(0..10) {
            0..5 if !full => self.create_below(&path),
            0..3 if path != ahead.root => Op::Delete { path, version },
            3 => Op::Multi(vec![Op::Check { path, version }]),
            4 | 5 if path != ahead.root => Op::Delete { path, version },
            _ => Op::Set { path, data: self.data(), version },
        }
    }

    fn create_below(&mut self, path: &str) -> Op {
        self.made += 1;
        // Not too deep: a path grows by a name at each level.
        let parent = if path.matches('/').count() > 4 { &self.model.root } else { path };
        let name = if self.rng.random_bool(0.8) { self.made } else { self.made / 2 };
        let path = format!("{parent}/n{name}-");
        let flags = self.rng.random_range(0..4);
        Op::Create { path, data: self.data(), flags }
    }

    fn data(&mut self) -> Vec<u8> {
        let len = if self.rng.random_range(0..50) == 0 { 20_000 } else { self.rng.random_range(0..200) };
        (0..len).map(|_| self.rng.random()).collect()
    }
}

enum Trouble {
    /// The connection is gone: the server was killed.
    Connection(String),
    /// The server broke its word.
    Violation(String),
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Trouble {
        match e.kind() {
            io::ErrorKind::InvalidData => Trouble::Violation(e.to_string()),
            _ => Trouble::Connection(e.to_string()),
        }
    }
}

fn violation<T>(what: String) -> Result<T, Trouble> {
    Err(Trouble::Violation(what))
}

/// A node as read back.
struct Found {
    path: String,
    data: Vec<u8>,
    stat: compat_tests::raw::Stat,
}

/// Why what was found is not the model, if it is not.
fn difference(model: &Model, found: &[Found], session_id: i64) -> Option<String> {
    for f in found {
        let Some(node) = model.nodes.get(&f.path) else { return Some(format!("{} is too much", f.path)) };
        let s = &f.stat;
        let children = model.children(&f.path) as i32;
        let owner = if node.ephemeral { session_id } else { 0 };
        let same = f.data == node.data
            && s.version == node.version
            && s.num_children == children
            && s.cversion == 2 * node.creates - children
            && s.ephemeral_owner == owner
            && node.zxids.is_none_or(|z| z == (s.czxid, s.mzxid));
        if !same {
            let wanted = format!("{} bytes, {children} children, {node:?}", node.data.len());
            return Some(format!("{} is {s:?} instead of {wanted}", f.path));
        }
    }
    let lost = model.nodes.keys().find(|path| found.iter().all(|f| f.path != **path))?;
    Some(format!("{lost} is missing"))
}

/// The model with the zxids that were read.
fn found_as_model(model: &Model, found: &[Found]) -> Model {
    let mut model = model.clone();
    for f in found {
        if let Some(node) = model.nodes.get_mut(&f.path) {
            node.zxids = Some((f.stat.czxid, f.stat.mzxid));
        }
    }
    model
}

fn request(next: &Op) -> (i32, Enc) {
    match next {
        Op::Create { path, data, flags } => create_body(path, Some(data), &Acl::open(), *flags, 0),
        Op::Set { path, data, version } => (op::SET_DATA, Enc::new().str(path).buf(Some(data)).int(*version)),
        Op::Delete { path, version } => (op::DELETE, Enc::new().str(path).int(*version)),
        Op::Check { .. } => unreachable!("a check stands in a multi only"),
        Op::Multi(ops) => {
            let ops: Vec<_> = ops.iter().map(Op::in_multi).collect();
            (op::MULTI, multi_body(&ops))
        }
    }
}

/// The zxids that a reply tells: path, czxid, mzxid.
type Told = (String, i64, i64);

/// What a reply says, and the zxids it tells.
fn outcome(done: &Op, reply: &Reply) -> io::Result<(Outcome, Vec<Told>)> {
    if reply.err != 0 {
        return Ok((Outcome::Failed(reply.err), Vec::new()));
    }
    let mut d = Dec(&reply.body);
    Ok(match done {
        Op::Create { .. } => {
            let (path, stat) = (d.str()?, d.stat()?);
            (Outcome::Created(path.clone()), vec![(path, stat.czxid, stat.mzxid)])
        }
        Op::Set { path, .. } => {
            let stat = d.stat()?;
            (Outcome::Set { version: stat.version }, vec![(path.clone(), stat.czxid, stat.mzxid)])
        }
        Op::Delete { .. } | Op::Check { .. } => (Outcome::Done, Vec::new()),
        Op::Multi(_) => {
            let results = multi_results(&reply.body)?;
            // Zxids inside a multi are not taken: a later operation of it may have changed the node again.
            let outcomes = results.into_iter().map(|r| match r {
                MultiResult::Created { path, .. } => Outcome::Created(path),
                MultiResult::Set { stat } => Outcome::Set { version: stat.version },
                MultiResult::Done => Outcome::Done,
                MultiResult::Failed { code } => Outcome::Failed(code),
            });
            (Outcome::Multi(outcomes.collect()), Vec::new())
        }
    })
}

#[test]
fn the_comparison_notices_a_lost_a_changed_and_an_unexpected_node() {
    let stat = |version| compat_tests::raw::Stat { version, ..Default::default() };
    let found = |path: &str, version| Found { path: path.into(), data: Vec::new(), stat: stat(version) };
    let root = || {
        let mut root = found("/c", 0);
        root.stat.num_children = 1;
        root.stat.cversion = 1;
        root
    };
    let mut model = Model::new("/c");
    model.apply(&Op::Create { path: "/c/a".into(), data: Vec::new(), flags: 0 });
    assert_eq!(difference(&model, &[root(), found("/c/a", 0)], 7), None);
    assert!(difference(&model, &[root()], 7).unwrap().contains("/c/a is missing"));
    assert!(difference(&model, &[root(), found("/c/a", 1)], 7).unwrap().contains("/c/a is"));
    let more = [root(), found("/c/a", 0), found("/c/b", 0)];
    assert!(difference(&model, &more, 7).unwrap().contains("/c/b is too much"));
}
