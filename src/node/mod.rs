//! The life of a server: start, threads, stop.
//!
//! ```text
//!  main: accept, signals, purging            io-N: connections        core: decisions
//!       |  connection                          |  inputs  -->  inbox    |  entries --> inbox --> log: append, force
//!       '--------------------------------->    |  <-- mailbox  answers  |  <-- "durable" -------------------'
//!                                                                       |  walk --> snapshot: a file now and then
//! ```
//!
//! Invariants: clients are served only from a tree that was recovered as a whole; a thread that fails takes the
//! process with it; a stop answers what is durable and closes, in that order.
//!
//! Upstream counterpart: `ZooKeeperServerMain`, `ZooKeeperServer`, `ServerCnxnFactory`. Start reading at [`run`].

mod core;
mod ensemble;
mod error;
mod fatal;
mod host;
mod limits;
mod log;
pub mod logging;
mod membership;
mod options;
mod outgoing;
mod parts;
mod peers;
mod recovery;
mod snapshot;
mod streams;

pub use error::NodeError;
pub use fatal::Exit;

use self::{
    core::Core, host::ThisHost, log::Log, membership::Reconfiguration, parts::PartTimes, peers::Peers,
    snapshot::Snapshots,
};
use crate::{
    admin::{
        metrics::{Metrics, Summary},
        version::full_version,
        words::{Whitelist, gtmk::TraceMask},
    },
    config::{EnsembleConfig, HostPort, ServerConfig, dynamic::ConfigFiles},
    member::{Member, MemberCounts, Part},
    net::{
        self, Acceptor, Bucket, Clock, Command, Door, Inbox, Mailbox, NetSettings, OncePerSecond, Shared,
        ToCore, UnderWay, WorkerPort,
    },
    peer::Poller,
    pipeline::{Pipeline, PipelineCounts},
    storage::{self, Disk, LogWriter, RealDisk, Recovered, SnapshotPace},
    watch::WatchManager,
};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::VecDeque,
    net::{TcpListener, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};
use tracing::{error, info, warn};

/// Runs a server until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start. Once it serves, failures that end it end the process, with a message.
pub fn run(mut config: ServerConfig, ensemble: Option<EnsembleConfig>) -> Result<(), NodeError> {
    fatal::abort_on_panic();
    limits::take_small_pages();
    limits::raise_open_files(config.connection.total_max);
    let address = config.connection.client_address.clone().ok_or(NodeError::NoClientPort)?;
    if let (Some(ensemble), Some(file)) = (&ensemble, &config.config_file)
        && config.request.reconfig_enabled
    {
        let files = ConfigFiles::of(file);
        if !ensemble.dynamic {
            files.back_up()?;
        } else if ensemble.next.is_none()
            && let Err(error) = files.remove_next()
        {
            // It is older than what is active: the server ended right before it would have removed it.
            warn!("a configuration that is of no account stays: {error}");
        }
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let clock = Clock::start();
    let start = Instant::now();
    let recovered = recovery::recover(&disk, &config)?;
    let load_ms = start.elapsed().as_millis() as u64;
    let listener = listen(&address, config.connection.listen_backlog)?;
    // Port 0 has become a real one.
    if let (Some(address), Ok(at)) = (&mut config.connection.client_address, listener.local_addr()) {
        address.port = at.port();
    }
    let (rebind, rebound) = mpsc::unbounded_channel();
    let server = Server::start(config, ensemble, disk, clock, recovered, load_ms, rebind)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(NodeError::Thread)?;
    runtime.block_on(server.serve(listener, rebound))
}

/// A socket at the first of the addresses of the name that can be had.
fn listen(at: &HostPort, backlog: Option<u32>) -> Result<TcpListener, NodeError> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    match (at.host.as_str(), at.port).to_socket_addrs() {
        Ok(addresses) => {
            for address in addresses {
                match net::listen(address, backlog) {
                    Ok(listener) => return Ok(listener),
                    Err(error) => last = error,
                }
            }
        }
        Err(error) => last = error,
    }
    Err(NodeError::Listen { address: at.to_string(), source: last })
}

struct Server {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    workers: Vec<JoinHandle<()>>,
    core: JoinHandle<()>,
    log: JoinHandle<()>,
    snapshots: Arc<Snapshots>,
}

impl Server {
    fn start(
        config: ServerConfig,
        ensemble: Option<EnsembleConfig>,
        disk: Arc<dyn Disk>,
        clock: Clock,
        recovered: Recovered,
        load_ms: u64,
        rebind: mpsc::UnboundedSender<HostPort>,
    ) -> Result<Self, NodeError> {
        let Recovered { tree, mut sessions, orphans, replayed, last_zxid: trusted_zxid, .. } = recovered;
        let last_zxid = tree.last_zxid();
        // Their ephemerals go as those of other sessions do: by a transaction, at the end of the first tick.
        let tick_ms = i32::try_from(config.session.tick_time_ms).unwrap_or(i32::MAX);
        sessions.extend(orphans.into_iter().map(|session| (session, tick_ms)));
        let storage_options = options::storage(&config);
        let metrics = Metrics::new(options::workers(&config) + 3);
        let log_shard = metrics.shard(options::workers(&config) + 2);
        log_shard.record(Summary::DbInitTime, load_ms);
        log_shard.record(Summary::StartupTxnsLoaded, replayed);
        let pipeline_config = options::pipeline(&config, ensemble.as_ref());
        let (mut ports, mut commands) = (Vec::new(), Vec::new());
        for _ in 0..options::workers(&config) {
            let (to, from) = mpsc::unbounded_channel();
            ports.push(WorkerPort {
                mailbox: Mailbox::default(),
                commands: to,
                connections: AtomicUsize::new(0),
            });
            commands.push(from);
        }
        let connection = &config.connection;
        let host = ThisHost::new(&config, ensemble.as_ref(), disk.clone());
        let reconfiguration = Reconfiguration {
            me: pipeline_config.server,
            files: config.config_file.as_deref().map(ConfigFiles::of),
            client: connection.client_address.clone(),
            rebind,
            live: host.live(),
        };
        let shared = Arc::new(Shared {
            tree: RwLock::new(tree),
            watches: Mutex::new(WatchManager::new(rand::random())),
            core: Inbox::default(),
            workers: ports,
            clock,
            settings: NetSettings::new(&config),
            ops: pipeline_config.ops.clone(),
            door: Door::new(connection.per_ip_max, connection.total_max),
            bucket: Mutex::new(Bucket::new(options::throttle(&config, ensemble.as_ref()), clock.mono_ms())),
            under_way: UnderWay::default(),
            metrics,
            auth_failures: AtomicU64::new(0),
            whitelist: Whitelist::new(
                config.admin.words_whitelist.as_deref(),
                config.request.read_only_mode_enabled,
            ),
            trace_mask: AtomicI64::new(TraceMask::default().0),
            host: Box::new(host),
            serving: AtomicBool::new(ensemble.is_none()),
            part: Mutex::new(if ensemble.is_some() { Part::Looking } else { Part::Standalone }),
            config,
        });
        let snapshots = Arc::new(Snapshots::new(disk.clone(), storage_options.snapshot()));
        let member = match &ensemble {
            None => Member::standalone(Pipeline::new(pipeline_config, &sessions, last_zxid, clock.now())),
            Some(ensemble) => {
                let (accepted, current) =
                    storage::resync::epochs_at_start(&*disk, &storage_options, last_zxid)?;
                let config = options::member(&shared.config, ensemble);
                let now = clock.now();
                Member::new(config, pipeline_config, &sessions, trusted_zxid, accepted, current, now)
            }
        };
        let (peers, poller) = match &ensemble {
            None => (None, None),
            Some(ensemble) => {
                let poller = Poller::new().map_err(NodeError::Peers)?;
                let adopter = poller.adopter();
                let waker = adopter.clone();
                shared.core.set_waker(move || waker.wake());
                (Some(Peers::start(&shared, &shared.config, ensemble, adopter)?), Some(poller))
            }
        };
        let storage = &shared.config.storage;
        let log_inbox = Arc::new(Inbox::default());
        let log = Log {
            shared: shared.clone(),
            inbox: log_inbox.clone(),
            disk: disk.clone(),
            options: storage_options.log(),
            writer: LogWriter::open(disk.clone(), storage_options.log(), last_zxid),
            pace: SnapshotPace::new(storage.snap_count, storage.snap_size_limit, rand::random()),
            metrics: shared.metrics.shard(shared.workers.len() + 2),
        };
        let core = Core {
            shared: shared.clone(),
            member,
            peers,
            poller,
            events: Vec::new(),
            reconfiguration,
            disk: disk.clone(),
            storage: storage_options.clone(),
            log: log_inbox,
            snapshots: snapshots.clone(),
            tick_ms: i64::from(shared.config.session.tick_time_ms),
            metrics: shared.metrics.shard(shared.workers.len() + 1),
            seen: PipelineCounts::default(),
            seen_of_member: MemberCounts::default(),
            part_times: PartTimes::default(),
            quota_lines: OncePerSecond::default(),
            next_tick_ms: 0,
            outputs: Vec::new(),
            outgoing: outgoing::Outgoing::default(),
            own: VecDeque::new(),
            trees_wanted: VecDeque::new(),
            snapshot_due: false,
        };
        if replayed > 0 {
            // The next start need not replay them again.
            shared.core.put(ToCore::SnapshotDue);
        }
        let log = spawn("log", move || log.run())?;
        let core = spawn("core", move || core.run())?;
        let mut workers = Vec::new();
        for (index, commands) in (0..).zip(commands) {
            workers.push(net::spawn(shared.clone(), index, commands).map_err(NodeError::Thread)?);
        }
        Ok(Self { shared, disk, workers, core, log, snapshots })
    }

    /// Says in a few lines where everything is.
    fn greet(&self) {
        let config = &self.shared.config;
        let Some(at) = &config.connection.client_address else { return };
        let reach = match at.socket_addr() {
            Some(address) if address.ip().is_unspecified() => format!("127.0.0.1:{}", at.port),
            _ => at.to_string(),
        };
        info!("quoll {} serves ZooKeeper clients on {at}", full_version());
        let (data, logs) = (&config.storage.data_dir, &config.storage.data_log_dir);
        if data == logs {
            info!("its data lies in {}", data.display());
        } else {
            info!("its snapshots lie in {}, its logs in {}", data.display(), logs.display());
        }
        info!("connect with: zkCli.sh -server {reach}");
    }

    async fn serve(
        self,
        listener: TcpListener,
        mut rebound: mpsc::UnboundedReceiver<HostPort>,
    ) -> Result<(), NodeError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(NodeError::Thread)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(NodeError::Thread)?;
        // Only now: whoever reads the greeting may send a signal, which is to stop the server in order.
        let mut acceptor = Acceptor::spawn(self.shared.clone(), listener).map_err(NodeError::Thread)?;
        self.greet();
        {
            let mut at = self.shared.config.connection.client_address.clone();
            let purge = self.purge();
            tokio::pin!(purge);
            loop {
                tokio::select! {
                    _ = terminate.recv() => break info!("stopping, as SIGTERM asks"),
                    _ = interrupt.recv() => break info!("stopping, as SIGINT asks"),
                    () = &mut purge => {}
                    Some(address) = rebound.recv() => {
                        acceptor = self.accept_at(acceptor, at.as_ref(), &address)?;
                        at = Some(address);
                    }
                }
            }
        }
        self.stop(acceptor).await;
        Ok(())
    }

    /// Accepts clients at another address from now on; connections that there are stay. If that address cannot be had,
    /// the old one is kept.
    ///
    /// Upstream counterpart: `ServerCnxnFactory.reconfigure`.
    fn accept_at(
        &self,
        old: Acceptor,
        at: Option<&HostPort>,
        address: &HostPort,
    ) -> Result<Acceptor, NodeError> {
        let backlog = self.shared.config.connection.listen_backlog;
        let spawn = |listener| Acceptor::spawn(self.shared.clone(), listener).map_err(NodeError::Thread);
        let stop = |old: Acceptor| {
            if let Err(error) = old.stop() {
                warn!("clients are still accepted at the old address: {error}");
            }
        };
        if let Ok(listener) = listen(address, backlog) {
            let new = spawn(listener)?;
            stop(old);
            info!("clients connect to {address} from now on");
            return Ok(new);
        }
        // The old socket may be in the way: one address may include the other.
        stop(old);
        match (listen(address, backlog), at) {
            (Ok(listener), _) => {
                info!("clients connect to {address} from now on");
                spawn(listener)
            }
            (Err(error), Some(at)) => {
                error!("clients cannot connect to the new address, so they go on at {at}: {error}");
                spawn(listen(at, backlog)?)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Removes old snapshots and logs every `autopurge.purgeInterval` hours, beginning at once. Never ends.
    async fn purge(&self) {
        let storage = &self.shared.config.storage;
        let hours = u64::from(storage.purge.interval_hours);
        if hours == 0 {
            return std::future::pending().await;
        }
        let options = options::storage(&self.shared.config);
        let (snapshots, logs) = (options.snap_dir(), options.log_dir());
        let retain = (storage.purge.retain_count as usize).max(storage::RETAIN_MIN);
        loop {
            let (disk, snapshots, logs) = (self.disk.clone(), snapshots.clone(), logs.clone());
            let purged =
                tokio::task::spawn_blocking(move || storage::purge(&*disk, &snapshots, &logs, retain)).await;
            match purged {
                Ok(Ok(files)) if files.is_empty() => {}
                Ok(Ok(files)) => info!(files = files.len(), "old snapshots and logs removed"),
                Ok(Err(error)) => error!("old snapshots and logs could not be removed: {error}"),
                Err(error) => error!("old snapshots and logs could not be removed: {error}"),
            }
            tokio::time::sleep(Duration::from_secs(hours * 3600)).await;
        }
    }

    /// Ends everything in the order in which data flows, so that what has been taken in is finished.
    async fn stop(self, acceptor: Acceptor) {
        let start = Instant::now();
        if let Err(error) = acceptor.stop() {
            warn!("connections are still being accepted: {error}");
        }
        let Server { shared, workers, core, log, snapshots, .. } = self;
        for port in &shared.workers {
            let (done, stopped) = oneshot::channel();
            let _ = port.commands.send(Command::StopReading(done));
            let _ = stopped.await;
        }
        shared.core.put(ToCore::Stop);
        // What takes longer is given up: nobody has been told of it.
        let patience_ms = shared.config.request.throttle.shutdown_timeout_ms;
        let until = start + Duration::from_millis(patience_ms.into());
        if !joined(core, until).await || !joined(log, until).await {
            warn!(
                "the disk did not answer for {patience_ms} ms (request_throttler.shutdownTimeout); what was not forced was \
                 acknowledged to nobody"
            );
        }
        for port in &shared.workers {
            let _ = port.commands.send(Command::Stop);
        }
        for worker in workers {
            joined(worker, Instant::now() + WORKER_PATIENCE).await;
        }
        if snapshots.is_under_way() {
            info!("the snapshot under way is left unfinished; the logs hold everything");
        }
        info!(ms = start.elapsed().as_millis() as u64, "stopped");
    }
}

/// How long a stopping server waits for a worker to send what it has.
const WORKER_PATIENCE: Duration = Duration::from_secs(1);

/// Waits for a thread until then; whether it has ended.
async fn joined(thread: JoinHandle<()>, until: Instant) -> bool {
    while !thread.is_finished() {
        if Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // A panic has ended the process already.
    thread.join().is_ok()
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, NodeError> {
    thread::Builder::new().name(name.into()).spawn(run).map_err(NodeError::Thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_does_not_end_is_waited_for_until_the_time_is_over() {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let stuck = thread::spawn(move || {
            let _ = wait.recv();
        });
        let start = Instant::now();
        assert!(!joined(stuck, start + Duration::from_millis(20)).await);
        assert!(start.elapsed() >= Duration::from_millis(20));
        drop(go);
        assert!(joined(thread::spawn(|| ()), Instant::now() + Duration::from_secs(60)).await);
    }
}
