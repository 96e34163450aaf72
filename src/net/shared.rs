use super::{
    clock::Clock,
    inbox::Inbox,
    limits::{Bucket, Door},
    mailbox::Mailbox,
    stats::UnderWay,
    words::Host,
    worker::Command,
};
use crate::{
    admin::{metrics::Metrics, words::Whitelist},
    auth::AuthConfig,
    config::{RequestThrottleConfig, ServerConfig},
    member::{self, Part, Standing},
    ops::OpsConfig,
    pipeline::{Input, PipelineCounts},
    tree::Tree,
    types::{SessionId, Sizes, Zxid},
    watch::WatchManager,
};
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize};
use tokio::sync::{mpsc, oneshot};

/// What everybody on this server works with.
pub struct Shared {
    /// The znodes. Workers read a batch of requests under one shared section; the core alone changes it.
    pub tree: RwLock<Tree>,
    /// The watches. Taken after the tree, never before it.
    pub watches: Mutex<WatchManager>,
    /// Into the core.
    pub core: Inbox<ToCore>,
    /// One for each worker, by index.
    pub workers: Vec<WorkerPort>,
    /// The time.
    pub clock: Clock,
    /// What the network has to know of the configuration.
    pub settings: NetSettings,
    /// What the operations have to know of it.
    pub ops: OpsConfig,
    /// All of it, for those who show it.
    pub config: ServerConfig,
    /// Connections in all and by address.
    pub door: Door,
    /// The rate of new sessions.
    pub bucket: Mutex<Bucket>,
    /// Requests in the pipeline.
    pub under_way: UnderWay,
    /// Whether the tree may be read for clients. It is set and unset by the core, which changes the tree afterwards
    /// only: a reader that holds the tree and sees it set reads what may be read.
    pub serving: AtomicBool,
    /// What this server is doing in its ensemble.
    pub part: Mutex<Part>,
    /// What is counted. Each worker has the shard of its index, the acceptor the one behind them, then the core, then
    /// the log.
    pub metrics: Metrics,
    /// Auth packets refused, and requests refused for want of one.
    pub auth_failures: AtomicU64,
    /// Which four-letter words are answered.
    pub whitelist: Whitelist,
    /// What `gtmk` shows.
    pub trace_mask: AtomicI64,
    /// What only the surroundings know.
    pub host: Box<dyn Host>,
}

/// How a worker is reached from other threads.
#[derive(Debug)]
pub struct WorkerPort {
    /// What the core has for its connections.
    pub mailbox: Mailbox,
    /// Everything else.
    pub commands: mpsc::UnboundedSender<Command>,
    /// Its connections.
    pub connections: AtomicUsize,
}

/// What reaches the core.
pub enum ToCore {
    /// For the pipeline.
    Input(Input),
    /// For the member of an ensemble, from its peers.
    Member(member::Input),
    /// The leader has sent its tree.
    Tree {
        /// Number of the attempt to follow it.
        attempt: u64,
        /// The tree's last txn.
        zxid: Zxid,
        /// The tree.
        tree: Box<Tree>,
        /// The sessions with it, and their timeouts in ms.
        sessions: Vec<(SessionId, i32)>,
    },
    /// The log has rolled: begin a snapshot.
    SnapshotDue,
    /// A snapshot has ended, for a file or for a learner: the next may begin.
    SnapshotFree,
    /// Somebody wants to see the sessions.
    Report(oneshot::Sender<CoreReport>),
    /// What is shown since the last reset is counted anew.
    ResetStats,
    /// Nothing more will come from clients: finish what there is.
    Stop,
}

/// What the core knows and others show.
#[derive(Clone, Debug, Default)]
pub struct CoreReport {
    /// Sessions that all servers know.
    pub sessions: usize,
    /// Those that only this server knows.
    pub local_sessions: usize,
    /// When the former expire, monotonic ms, in order.
    pub deadlines: Vec<(i64, Vec<SessionId>)>,
    /// When the latter do; `None` when there can be none.
    pub local_deadlines: Option<Vec<(i64, Vec<SessionId>)>>,
    /// What the pipeline has counted.
    pub counts: PipelineCounts,
    /// All sessions and their timeouts in ms, when the server does not expire them.
    pub learned: Option<Vec<(SessionId, i32)>>,
    /// Learners of a leader: with a vote, without, and how many of either are in step.
    pub learners: Option<LearnerCounts>,
    /// How a member of an ensemble stands.
    pub standing: Option<Standing>,
    /// What a leader has proposed.
    pub proposal_sizes: Sizes,
}

/// A leader's learners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LearnerCounts {
    /// All of them.
    pub all: u64,
    /// In step, with a vote.
    pub synced_followers: u64,
    /// In step, with a vote or following without one yet.
    pub synced_non_voting: u64,
    /// In step, observing.
    pub synced_observers: u64,
    /// Being brought up to date.
    pub pending: u64,
}

/// What the network has to know of the configuration, in the types it needs.
#[derive(Clone, Debug)]
pub struct NetSettings {
    /// `jute.maxbuffer`.
    pub packet_size_max: usize,
    /// `globalOutstandingLimit`.
    pub outstanding_max: i64,
    /// `largeRequestThreshold`.
    pub large_request_threshold: Option<u32>,
    /// `largeRequestMaxBytes`.
    pub large_requests_bytes_max: i64,
    /// `request_throttle_*`.
    pub throttle: RequestThrottleConfig,
    /// `nio.sessionlessCnxnTimeout`.
    pub sessionless_timeout_ms: i64,
    /// `clientTcpKeepAlive`.
    pub tcp_keep_alive: bool,
}

impl NetSettings {
    /// Taken from the configuration.
    pub fn new(config: &ServerConfig) -> Self {
        let request = &config.request;
        Self {
            packet_size_max: request.packet_size_max as usize,
            outstanding_max: i64::from(request.outstanding_max),
            large_request_threshold: request.large_request_threshold,
            large_requests_bytes_max: i64::from(request.large_requests_bytes_max),
            throttle: request.throttle,
            sessionless_timeout_ms: i64::from(config.connection.sessionless_timeout_ms),
            tcp_keep_alive: config.connection.tcp_keep_alive,
        }
    }
}

impl Shared {
    /// Who is who.
    pub fn auth(&self) -> &AuthConfig {
        &self.ops.auth
    }
}
