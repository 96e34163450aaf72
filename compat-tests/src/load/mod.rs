//! Load on an ensemble with an oracle: clients that go on under faults and know what must be true.
//!
//! - [`walker`]: answers, order per session, multis, ephemerals of living sessions, lost or doubled writes;
//! - [`queue`]: sequential nodes of several sessions below one parent;
//! - [`watcher`]: missed watches, reads that go back, stale reads after `sync`;
//! - [`mayfly`]: ephemerals of sessions that ended;
//! - [`converge`](mod@converge): all members serve the same at the end.
//!
//! Clients use [`session::Session`], which moves between servers as stock clients do. A write whose answer was
//! lost may be there or not; one that was answered must be there.
//!
//! Start reading at [`Load`].

pub mod converge;
mod mayfly;
mod queue;
pub mod session;
mod walker;
mod watcher;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::raw::{Acl, code, create_body, flag};
use queue::Made;
use session::{Servers, Session, TIMEOUT_MS, Trouble, violation};

/// What the clients share.
struct Shared {
    seed: u64,
    root: String,
    servers: Servers,
    sync_sees_everything: bool,
    empty_may_be_late: bool,
    pause_between: Duration,
    stop: AtomicBool,
    stop_mayflies: AtomicBool,
    acknowledged: AtomicU64,
    in_doubt: AtomicU64,
    in_doubt_applied: AtomicU64,
    moves: AtomicU64,
    events: AtomicU64,
    synced_reads: AtomicU64,
    stale_reads: AtomicU64,
    late_empties: AtomicU64,
    /// The last acknowledged value of each counter.
    counters: [AtomicU64; watcher::COUNTERS],
    failures: Mutex<Vec<String>>,
}

impl Shared {
    fn fail(&self, what: String) {
        self.failures.lock().expect("no client panics").push(what);
        self.stop.store(true, Ordering::SeqCst);
        self.stop_mayflies.store(true, Ordering::SeqCst);
    }

    /// Makes a persistent node, which may be there already from a try whose answer was lost.
    fn make_node(&self, session: &mut Session, rng: &mut StdRng, path: &str) -> Result<(), String> {
        let make = |session: &mut Session| {
            let (opcode, body) = create_body(path, Some(b""), &Acl::open(), flag::PERSISTENT, 0);
            match session.call(opcode, &body.0)?.err {
                0 | code::NODE_EXISTS => Ok(()),
                other => violation(format!("{}: {path} cannot be made: {other}", session.name)),
            }
        };
        match make(session) {
            Ok(()) => Ok(()),
            Err(Trouble::Violation(what)) => Err(what),
            Err(Trouble::Connection(_)) => session.come_back(rng, |session, _| make(session)),
        }
    }
}

/// Says what kind of load it is to be.
#[derive(Clone, Debug)]
pub struct LoadSettings {
    /// Where clients connect.
    pub addrs: Vec<SocketAddr>,
    /// Repeats what the clients do, as far as the servers answer the same.
    pub seed: u64,
    /// The node below which everything happens; it must not exist.
    pub root: String,
    /// Whether a read after `sync` must see all that was acknowledged before. The upstream server does not
    /// promise that of a leader that is deposed without knowing.
    pub sync_sees_everything: bool,
    /// Whether a delete may be refused although the node has just become empty. The upstream leader counts the
    /// ephemerals of a closed session as children of their parents until it has applied the close itself, even
    /// when the client, at a follower, has its answer already.
    pub empty_may_be_late: bool,
    /// Whether the members share one configuration.
    pub same_config: bool,
    /// Whether no member may ever have counted a wrong digest; see [`converge`](converge::converge).
    pub strict_digests: bool,
    /// How many clients write below a root of their own.
    pub walkers: u32,
    /// How long these rest after each burst of requests, so that a small machine has time for its servers.
    pub pause: Duration,
    /// How long a client looks for a server before the ensemble counts as dead.
    pub patience: Duration,
}

/// What a load that found no violation has seen.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Report {
    pub acknowledged: u64,
    /// Writes whose answer was lost, and how many of them were carried out.
    pub in_doubt: u64,
    pub in_doubt_applied: u64,
    /// How often a session moved to another connection.
    pub moves: u64,
    pub events: u64,
    pub mayflies: u64,
    pub synced_reads: u64,
    /// Reads after `sync` that missed something acknowledged; see [`LoadSettings::sync_sees_everything`].
    pub stale_reads: u64,
    /// Deletes that were refused for children just gone; see [`LoadSettings::empty_may_be_late`].
    pub late_empties: u64,
    /// Digests seen at more than one member.
    pub digests_compared: usize,
    /// Nodes on every member at the end.
    pub nodes: usize,
}

/// A running load. Dropped without [`finish`](Self::finish), its clients stop by themselves.
pub struct Load {
    shared: Arc<Shared>,
    same_config: bool,
    strict_digests: bool,
    /// Clients that only hand back their session.
    clients: Vec<JoinHandle<Option<Session>>>,
    producers: Vec<JoinHandle<Option<(Session, u32, Made)>>>,
    mayflies: Option<JoinHandle<Option<u64>>>,
}

impl Load {
    /// Starts the clients: walkers, two producers, a ticker with two watchers, and mayflies.
    ///
    /// # Panics
    /// When the ensemble does not serve.
    #[track_caller]
    pub fn start(settings: &LoadSettings) -> Load {
        let shared = Arc::new(Shared {
            seed: settings.seed,
            root: settings.root.clone(),
            servers: Servers { addrs: settings.addrs.clone(), patience: settings.patience },
            sync_sees_everything: settings.sync_sees_everything,
            empty_may_be_late: settings.empty_may_be_late,
            pause_between: settings.pause,
            stop: AtomicBool::new(false),
            stop_mayflies: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            in_doubt: AtomicU64::new(0),
            in_doubt_applied: AtomicU64::new(0),
            moves: AtomicU64::new(0),
            events: AtomicU64::new(0),
            synced_reads: AtomicU64::new(0),
            stale_reads: AtomicU64::new(0),
            late_empties: AtomicU64::new(0),
            counters: Default::default(),
            failures: Mutex::default(),
        });
        let mut rng = StdRng::seed_from_u64(settings.seed);
        let name = format!("{} setup", settings.root);
        let made = Session::open(&name, &shared.servers, TIMEOUT_MS, &mut rng).and_then(|mut session| {
            for part in ["", "/q", "/w", "/e"] {
                shared.make_node(&mut session, &mut rng, &format!("{}{part}", settings.root))?;
            }
            session.close();
            Ok(())
        });
        made.unwrap_or_else(|e| panic!("the load cannot begin: {e}"));

        let mut load = Load {
            shared,
            same_config: settings.same_config,
            strict_digests: settings.strict_digests,
            clients: Vec::new(),
            producers: Vec::new(),
            mayflies: None,
        };
        for i in 0..settings.walkers {
            load.spawn_client(move |shared| walker::Walker::new(i, shared)?.run(shared));
        }
        load.spawn_client(|shared| watcher::Ticker::new(shared)?.run(shared));
        // The counters must be there before somebody watches them.
        for i in 0..2 {
            load.spawn_client(move |shared| {
                let mut rng = StdRng::seed_from_u64(shared.seed);
                let mut session = Session::open("counters", &shared.servers, TIMEOUT_MS, &mut rng)?;
                for k in 0..watcher::COUNTERS {
                    shared.make_node(&mut session, &mut rng, &watcher::counter(&shared.root, k))?;
                }
                session.close();
                watcher::Watcher::new(i, shared)?.run(shared)
            });
        }
        for client in 0..2 {
            let producer = load.spawn(move |shared| queue::Producer::new(client, shared)?.run(shared));
            load.producers.push(producer);
        }
        load.mayflies = Some(load.spawn(mayfly::run));
        load
    }

    fn spawn<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Shared) -> Result<T, String> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let shared = self.shared.clone();
        thread::spawn(move || match run(&shared) {
            Ok(value) => Some(value),
            Err(what) => {
                shared.fail(what);
                None
            }
        })
    }

    fn spawn_client(&mut self, run: impl FnOnce(&Shared) -> Result<Session, String> + Send + 'static) {
        let client = self.spawn(run);
        self.clients.push(client);
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until that many more writes were acknowledged.
    ///
    /// # Panics
    /// When a client found a violation, or the writes are not acknowledged within `patience`.
    #[track_caller]
    pub fn wait_for_writes(&self, count: u64, patience: Duration) {
        let goal = self.acknowledged() + count;
        let deadline = Instant::now() + patience;
        while self.acknowledged() < goal {
            self.check();
            assert!(
                Instant::now() < deadline,
                "only {} of {count} writes were acknowledged in {patience:?}",
                count + self.acknowledged() - goal
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Lets the load run for a while.
    ///
    /// # Panics
    /// When a client found a violation.
    #[track_caller]
    pub fn run_for(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.check();
            thread::sleep(Duration::from_millis(10).min(end.saturating_duration_since(Instant::now())));
        }
    }

    /// Fails when a client found a violation.
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    pub fn check(&self) {
        let failures = self.shared.failures.lock().expect("no client panics").clone();
        assert!(failures.is_empty(), "violations (seed {}):\n{}", self.shared.seed, failures.join("\n"));
    }

    /// Ends the load, with all faults over, and looks whether everything is as it must be on all members.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn finish(mut self) -> Report {
        let shared = self.shared.clone();
        let mayflies = self.mayflies.take().and_then(|m| {
            shared.stop_mayflies.store(true, Ordering::SeqCst);
            m.join().expect("no client panics")
        });
        self.check();
        self.wait_until_the_dead_are_gone();
        shared.stop.store(true, Ordering::SeqCst);
        let mut sessions: Vec<Session> = Vec::new();
        let mut made: BTreeMap<u32, Made> = BTreeMap::new();
        for client in self.clients.drain(..) {
            sessions.extend(client.join().expect("no client panics"));
        }
        for producer in self.producers.drain(..) {
            if let Some((session, client, nodes)) = producer.join().expect("no client panics") {
                sessions.push(session);
                made.insert(client, nodes);
            }
        }
        self.check();
        let report = self.verify(&mut sessions, &made, mayflies.unwrap_or_default());
        sessions.into_iter().for_each(Session::close);
        report.unwrap_or_else(|what| panic!("violation (seed {}): {what}", shared.seed))
    }

    /// Waits until the ephemerals of ended sessions have gone.
    #[track_caller]
    fn wait_until_the_dead_are_gone(&self) {
        let mut rng = StdRng::seed_from_u64(1);
        let path = format!("{}/e", self.shared.root);
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut session = Session::open("dead", &self.shared.servers, TIMEOUT_MS, &mut rng)
            .unwrap_or_else(|e| panic!("{e}"));
        loop {
            let names = match session.zk().children(&path) {
                Ok(Ok(names)) => names,
                Ok(Err(code)) => panic!("{path}: getChildren answers {code}"),
                Err(_) => {
                    session.come_back(&mut rng, |_, _| Ok(())).unwrap_or_else(|e| panic!("{e}"));
                    continue;
                }
            };
            if names.is_empty() {
                session.close();
                return;
            }
            self.check();
            assert!(
                Instant::now() < deadline,
                "ephemerals of sessions that ended are still there: {names:?}"
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn verify(
        &self,
        sessions: &mut [Session],
        made: &BTreeMap<u32, Made>,
        mayflies: u64,
    ) -> Result<Report, String> {
        let shared = &self.shared;
        touch(sessions)?;
        // The larger the trees, the longer they take to be compared, and no session may expire meanwhile.
        let (converged, touched) = thread::scope(|scope| {
            let (compared, still_comparing) = mpsc::channel::<()>();
            let sessions = &mut *sessions;
            let keeper = scope.spawn(move || {
                while still_comparing.recv_timeout(TOUCH_EVERY) == Err(RecvTimeoutError::Timeout) {
                    touch(sessions)?;
                }
                Ok::<_, String>(())
            });
            let converged = converge::converge(&shared.servers.addrs, self.same_config, self.strict_digests);
            drop(compared);
            (converged, keeper.join().expect("nothing panics there"))
        });
        touched?;
        let (state, digests_compared) = converged?;
        let living: Vec<i64> = sessions.iter().map(Session::id).collect();
        for (owner, paths) in &state.ephemerals {
            let ours = paths.iter().any(|path| path.starts_with(&format!("{}/", shared.root)));
            if ours && !living.contains(owner) {
                return Err(format!("session {owner:#x} has ended, but these are there: {paths:?}"));
            }
        }
        queue::verify(&shared.root, made, &state)?;
        for (k, acknowledged) in shared.counters.iter().enumerate() {
            let path = watcher::counter(&shared.root, k);
            let data = state.nodes.get(&path).and_then(|node| node.data.clone()).unwrap_or_default();
            let value: u64 = String::from_utf8_lossy(&data).parse().unwrap_or(0);
            let acknowledged = acknowledged.load(Ordering::SeqCst);
            if value < acknowledged {
                return Err(format!("{path} is {value}, though {acknowledged} was acknowledged"));
            }
        }
        touch(sessions)?;
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Ok(Report {
            acknowledged: count(&shared.acknowledged),
            in_doubt: count(&shared.in_doubt),
            in_doubt_applied: count(&shared.in_doubt_applied),
            moves: count(&shared.moves),
            events: count(&shared.events),
            mayflies,
            synced_reads: count(&shared.synced_reads),
            stale_reads: count(&shared.stale_reads),
            late_empties: count(&shared.late_empties),
            digests_compared,
            nodes: state.nodes.len(),
        })
    }
}

/// Much less than the sessions' timeout.
const TOUCH_EVERY: Duration = Duration::from_secs(2);

/// Lets every session live on.
fn touch(sessions: &mut [Session]) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(2);
    for session in sessions {
        if session.ping().is_err() {
            session.come_back(&mut rng, |_, _| Ok(()))?;
        }
    }
    Ok(())
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.stop_mayflies.store(true, Ordering::SeqCst);
    }
}
