//! The server as plain values, at one moment.

use std::net::SocketAddr;

use super::metrics::MetricsView;
use super::words::gtmk::TraceMask;
use crate::types::{OpCode, QuotaSums, SessionId, Zxid};

/// What words are answered from.
///
/// The vectors can be long; which of them a word needs says [`super::words::Command::parts`], and the others may
/// stay empty. All numbers are those of this server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerView {
    /// Clients are served. False while an ensemble has no leader and while the server stops.
    pub running: bool,
    /// Role.
    pub mode: Mode,
    /// Requests answered since the start or the last `srst`.
    pub latency: LatencyStats,
    /// Packets from clients since then; a four-letter word counts as one.
    pub packets_received: u64,
    /// Packets to clients since then; an answer to a word counts as one.
    pub packets_sent: u64,
    /// Open client connections, that of the word included.
    pub connections_alive: u64,
    /// Requests received and not yet answered.
    pub outstanding_requests: u64,
    /// Last txn applied.
    pub last_zxid: Zxid,
    /// Nodes; the root counts twice, as upstream: an empty tree has 5.
    pub node_count: u64,
    /// Milliseconds since the server began to serve.
    pub uptime_ms: u64,
    /// Sizes of replies to clients.
    pub response_sizes: SizeStats,
    /// Sizes of proposals; only a leader has them.
    pub proposal_sizes: SizeStats,
    /// Watches of all kinds.
    pub watch_count: u64,
    /// Ephemeral nodes.
    pub ephemeral_count: u64,
    /// Bytes of all paths and data.
    pub data_bytes: u64,
    /// Sessions that all servers know.
    pub global_sessions: u64,
    /// Sessions that only this server knows.
    pub local_sessions: u64,
    /// Files and sockets this process has open; `None` when the system does not tell.
    pub open_files: Option<u64>,
    /// How many it may have.
    pub open_files_max: Option<u64>,
    /// Probability that the connection throttle drops a connection at random, 0 to 1.
    pub connection_drop_probability: f64,
    /// Requests refused because a client did not authenticate as demanded.
    pub auth_failures: u64,
    /// Quotas by first path component.
    pub quotas: Vec<QuotaView>,
    /// The leader's learners; `None` for everybody else.
    pub learners: Option<LearnersView>,
    /// How a member stands in its ensemble; `None` for a server that is alone.
    pub standing: Option<StandingView>,
    /// Settings that `conf` shows.
    pub settings: SettingsView,
    /// [`super::words::Part::Sizes`]: bytes of the snapshots.
    pub data_dir_bytes: u64,
    /// [`super::words::Part::Sizes`]: bytes of the logs.
    pub log_dir_bytes: u64,
    /// [`super::words::Part::Connections`], that of the word included.
    pub connections: Vec<ConnectionView>,
    /// [`super::words::Part::Sessions`].
    pub sessions: SessionsView,
    /// [`super::words::Part::Ephemerals`]: paths by owner.
    pub ephemerals: Vec<(SessionId, Vec<String>)>,
    /// [`super::words::Part::ConnectionExpiry`]: when connections are closed for silence.
    pub connection_expiry: Vec<ExpiryBucket<(SocketAddr, SessionId)>>,
    /// [`super::words::Part::WatchesSummary`].
    pub watches_summary: WatchesSummary,
    /// [`super::words::Part::WatchesBySession`]: paths by watcher, data and existence watches.
    pub watches_by_session: Vec<(SessionId, Vec<String>)>,
    /// [`super::words::Part::WatchesByPath`]: watchers by path, data and existence watches.
    pub watches_by_path: Vec<(String, Vec<SessionId>)>,
    /// [`super::words::Part::Digests`]: digest of the tree at every 128th zxid, oldest first.
    pub digests: Vec<(Zxid, u64)>,
    /// [`super::words::Part::Environment`], after `zookeeper.version`.
    pub environment: Vec<(String, String)>,
    /// [`super::words::Part::Metrics`].
    pub metrics: MetricsView,
    /// What `gtmk` shows.
    pub trace_mask: TraceMask,
}

/// Role of a server, by the names words use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// No ensemble.
    #[default]
    Standalone,
    /// Leads an ensemble.
    Leader,
    /// Votes and follows.
    Follower,
    /// Follows without a vote.
    Observer,
    /// Serves reads without a quorum.
    ReadOnly,
}

impl Mode {
    /// The name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::Standalone => "standalone",
            Mode::Leader => "leader",
            Mode::Follower => "follower",
            Mode::Observer => "observer",
            Mode::ReadOnly => "read-only",
        }
    }
}

/// Smallest, average and largest latency in milliseconds; all 0 before the first request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyStats {
    /// Smallest.
    pub min_ms: u64,
    /// Average; printed with at most four decimals.
    pub avg_ms: f64,
    /// Largest.
    pub max_ms: u64,
}

/// Last, smallest and largest size in bytes; `None` before the first. Upstream: `BufferStats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeStats {
    /// Last.
    pub last: Option<u32>,
    /// Smallest.
    pub min: Option<u32>,
    /// Largest.
    pub max: Option<u32>,
}

/// The quota on one first path component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaView {
    /// Without slashes.
    pub namespace: String,
    /// Limits and usage.
    pub sums: QuotaSums,
}

/// What `conf` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsView {
    /// Port clients connect to; -1 for none.
    pub client_port: i32,
    /// Port clients connect to with TLS; -1 for none.
    pub secure_client_port: i32,
    /// `<dataDir>/version-2`, absolute.
    pub data_dir: String,
    /// `<dataLogDir>/version-2`, absolute.
    pub data_log_dir: String,
    /// `tickTime`.
    pub tick_time_ms: u32,
    /// `maxClientCnxns`; 0 for no limit.
    pub max_client_connections: u32,
    /// `minSessionTimeout`.
    pub timeout_min_ms: u32,
    /// `maxSessionTimeout`.
    pub timeout_max_ms: u32,
    /// `clientPortListenBacklog`; -1 when unset.
    pub listen_backlog: i64,
    /// `myid`; 0 for a standalone server.
    pub server_id: i64,
    /// `None` for a standalone server.
    pub ensemble: Option<EnsembleView>,
}

/// What a leader knows of its learners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LearnersView {
    /// All that are connected.
    pub connected: u64,
    /// In step, with a vote.
    pub synced_followers: u64,
    /// In step, following without a vote.
    pub synced_non_voting: u64,
    /// In step, observing.
    pub synced_observers: u64,
    /// Being brought up to date.
    pub pending: u64,
}

/// How a member stands in its ensemble.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StandingView {
    /// Members with a vote.
    pub voters: u64,
    /// Milliseconds since it leads; `None` when it does not.
    pub leads_for_ms: Option<u64>,
    /// Number of the member that tells it what is committed; `None` for a leader.
    pub master: Option<i64>,
}

/// What `conf` shows of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnsembleView {
    /// `initLimit`, ticks.
    pub init_limit: u32,
    /// `syncLimit`, ticks.
    pub sync_limit: u32,
    /// Own port of leader election.
    pub election_port: u16,
    /// Own port for learners.
    pub quorum_port: u16,
    /// This server does not vote.
    pub observer: bool,
    /// Canonical text of all members, without a newline at the end. `None` when it is not shown (read-only).
    pub membership: Option<String>,
}

/// One client connection.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionView {
    /// The client's end.
    pub remote: SocketAddr,
    /// What the server waits for: 1 to read, 4 to write, their sum; 0 for a connection that asks a word.
    pub interest_ops: u8,
    /// Requests received and not answered.
    pub queued: u64,
    /// Packets received since the connection opened or `crst`.
    pub received: u64,
    /// Packets sent since then.
    pub sent: u64,
    /// [`SessionId::NONE`] before a session is established; then nothing below is shown.
    pub session: SessionId,
    /// [`last_op`] of the last request answered; `NA` before the first.
    pub last_op: &'static str,
    /// When the connection opened, milliseconds since 1970.
    pub established_ms: i64,
    /// Negotiated session timeout.
    pub timeout_ms: u32,
    /// xid of the last request answered; negative values are not shown.
    pub last_cxid: i64,
    /// zxid of the last reply.
    pub last_zxid: Zxid,
    /// When it was sent, in milliseconds of the server's monotonic clock.
    pub last_response_ms: u64,
    /// Latency of the last request.
    pub last_latency_ms: u64,
    /// Smallest latency.
    pub min_latency_ms: u64,
    /// Average latency, rounded down.
    pub avg_latency_ms: u64,
    /// Largest latency.
    pub max_latency_ms: u64,
}

/// Sessions (or connections) that end at the same tick unless they are heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiryBucket<T> {
    /// When, milliseconds since 1970.
    pub expires_ms: i64,
    /// Which.
    pub members: Vec<T>,
}

/// What a server knows about sessions, by its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionsView {
    /// Standalone servers and leaders expire sessions. Buckets in order of time, empty ones included. `local` is there
    /// when local sessions are on.
    Owner {
        /// Sessions of everybody.
        global: Vec<ExpiryBucket<SessionId>>,
        /// Those that only this server knows.
        local: Option<Vec<ExpiryBucket<SessionId>>>,
    },
    /// Learners know timeouts only. `local` is there when local sessions are on, with their buckets.
    Learner {
        /// Session and timeout in milliseconds.
        global: Vec<(SessionId, u32)>,
        /// Sessions this server expires itself.
        local: Option<Vec<ExpiryBucket<SessionId>>>,
    },
}

impl Default for SessionsView {
    fn default() -> Self {
        SessionsView::Owner { global: Vec::new(), local: None }
    }
}

/// Numbers about data and existence watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchesSummary {
    /// Connections that watch anything.
    pub connections: u64,
    /// Paths that are watched.
    pub paths: u64,
    /// Pairs of the two.
    pub total: u64,
}

/// The short name by which `cons` shows a request. Upstream: `lastOp` in `FinalRequestProcessor`.
#[must_use]
pub fn last_op(op: OpCode) -> &'static str {
    match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => "CREA",
        OpCode::Delete | OpCode::DeleteContainer => "DELE",
        OpCode::Exists => "EXIS",
        OpCode::GetData => "GETD",
        OpCode::SetData => "SETD",
        OpCode::GetAcl => "GETA",
        OpCode::SetAcl => "SETA",
        OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
        OpCode::GetAllChildrenNumber => "GETACN",
        OpCode::Sync => "SYNC",
        OpCode::Ping => "PING",
        OpCode::Check => "CHEC",
        OpCode::Multi => "MULT",
        OpCode::MultiRead => "MLTR",
        OpCode::Reconfig => "RECO",
        OpCode::CheckWatches => "CHKW",
        OpCode::RemoveWatches => "REMW",
        OpCode::SetWatches => "SETW",
        OpCode::SetWatches2 => "STW2",
        OpCode::AddWatch => "ADDW",
        OpCode::GetEphemerals => "GETE",
        OpCode::WhoAmI => "HOMI",
        OpCode::CreateSession => "SESS",
        OpCode::CloseSession => "CLOS",
        OpCode::Notification | OpCode::Auth | OpCode::Sasl | OpCode::Error => "NA",
    }
}
