//! Configuration: from `zoo.cfg`, `-D` properties and arguments to one typed value.
//!
//! Role: everything the operator can say is read here, once, at start. The rest of the server receives a
//! [`ServerConfig`] and never looks at a file, an argument or an environment variable itself.
//!
//! Invariants:
//! * One table ([`table`]) names every key with its type, default, meaning and state; the parser, the default
//!   values, the warnings and `docs/configuration.md` all come from it.
//! * A value that cannot be used stops the start and says which key, which value, where it was written and
//!   what is allowed. Nothing is silently replaced by a default.
//! * No environment variable is read here; the caller passes the two that count.
//!
//! Upstream counterpart: `QuorumPeerConfig`, `ServerConfig`, the `main` of `QuorumPeerMain` and
//! `ZooKeeperServerMain`, and the `System.getProperty` calls spread over the server's classes.
//!
//! Start reading at [`ServerConfig`], then `cli.rs` (who calls), `resolve.rs` (values to fields), `table/`.

pub mod cli;
pub mod docs;
pub mod dynamic;
mod error;
pub mod resolve;
pub mod table;

use std::path::PathBuf;

pub use crate::types::{HostPort, members, properties};
pub use error::{ConfigError, EXIT_INVALID_INVOCATION, Level, Notice, Origin, USAGE};
pub use resolve::EnsembleConfig;

/// Everything a server needs to know, parsed once.
///
/// [`ServerConfig::default`] is a server started without any configuration: port 2181 on all IPv4 addresses,
/// data in `./data`, a tick of 2 s.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// The file the settings came from; `None` when started from arguments or from nothing at all.
    pub config_file: Option<PathBuf>,
    /// Data and log directories, log and snapshot policy.
    pub storage: StorageConfig,
    /// The tick and the limits of session timeouts.
    pub session: SessionConfig,
    /// Where clients connect, and how many may.
    pub connection: ConnectionConfig,
    /// Limits and switches of request processing.
    pub request: RequestConfig,
    /// Who may do what.
    pub auth: AuthConfig,
    /// Four-letter words and what else shows the server's inside.
    pub admin: AdminConfig,
}

impl ServerConfig {
    /// True when connections should be refused until they authenticated with one of
    /// [`AuthConfig::enforced_schemes`].
    #[must_use]
    pub fn enforces_auth(&self) -> bool {
        !self.auth.enforced_schemes.is_empty()
    }
}

/// Where the data lies and how it is written. Upstream: `FileTxnSnapLog`, `FileTxnLog`, `FileSnap`,
/// `SyncRequestProcessor`, `DatadirCleanupManager`.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageConfig {
    /// `dataDir`: holds `myid` and `version-2/` with the snapshots.
    pub data_dir: PathBuf,
    /// `dataLogDir`: holds `version-2/` with the logs. Equal to `data_dir` unless set.
    pub data_log_dir: PathBuf,
    /// `datadir.autocreate`: create missing directories at start; otherwise a missing one stops the start.
    pub create_missing_dirs: bool,
    /// `db.autocreate`: start with an empty tree when there is neither snapshot nor log.
    pub create_empty_db: bool,
    /// `snapshot.trust.empty`: accept logs without any snapshot (directories of 3.4).
    pub trust_empty_snapshot: bool,
    /// `snapCount`: a snapshot is made after this many txns at the latest; at least 2. The real distance is
    /// drawn between half of it and all of it, so that servers of an ensemble do not do it at once.
    pub snap_count: u32,
    /// `snapSizeLimitInKb`, in bytes: the same by log size; `None` when switched off.
    pub snap_size_limit: Option<u64>,
    /// `txnLogSizeLimitInKb`, in bytes: start another log file beyond this size; `None` when off.
    pub txn_log_size_limit: Option<u64>,
    /// `preAllocSize`, in bytes: log files grow in steps of this size; 0 switches preallocation off.
    pub prealloc_size: u64,
    /// `forceSync`: replies wait until the disk has the log record. `false` risks acknowledged writes.
    pub force_sync: bool,
    /// `fsync.warningthresholdms`: a force slower than this is logged.
    pub fsync_warning_threshold_ms: u64,
    /// `flushDelay`: how long the log may wait for more records before it forces; 0 is at once.
    pub flush_delay_ms: u64,
    /// `maxBatchSize`: records in one force at most; 0 is no limit.
    pub flush_batch_max: u32,
    /// `snapshot.compression.method`.
    pub snapshot_compression: SnapshotCompression,
    /// `digest.enabled`: keep, write and check the digest of the tree.
    pub digest_enabled: bool,
    /// `serializeLastProcessedZxid.enabled`: write the last zxid behind the tree in snapshots.
    pub serialize_last_zxid: bool,
    /// `closeSessionTxn.enabled`: closeSession txns carry the paths they delete.
    pub close_session_txn_paths: bool,
    /// `autopurge.*`.
    pub purge: PurgeConfig,
    /// `commitLogCount`: committed txns kept in memory for learners; at least 500.
    pub commit_log_count: u32,
    /// `snapshotSizeFactor`: a learner is brought up to date from log files while these are smaller than this
    /// share of the snapshot; negative switches that off.
    pub snapshot_size_factor: f64,
}

/// `autopurge.*`: removal of old snapshots and logs. Upstream: `DatadirCleanupManager`, `PurgeTxnLog`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeConfig {
    /// Snapshots (with the logs they need) that stay; at least 3.
    pub retain_count: u32,
    /// Hours between two runs; 0 switches purging off.
    pub interval_hours: u32,
}

/// How snapshots are written. Any of them is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotCompression {
    /// `snapshot.<zxid>`
    None,
    /// `snapshot.<zxid>.gz`
    Gzip,
    /// `snapshot.<zxid>.snappy`
    Snappy,
}

/// Ticks and session timeouts. Upstream: `ZooKeeperServer`, `SessionTrackerImpl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// `tickTime`, the unit of all session times; at least 1.
    pub tick_time_ms: u32,
    /// `minSessionTimeout`: smaller wishes are raised to this. Two ticks unless set.
    pub timeout_min_ms: u32,
    /// `maxSessionTimeout`: larger wishes are cut to this. Twenty ticks unless set. Never below the minimum.
    pub timeout_max_ms: u32,
}

/// The clients' side of the network. Upstream: `NIOServerCnxnFactory`, `ServerCnxnFactory`, `BlueThrottle`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionConfig {
    /// `clientPort` and `clientPortAddress`; `None` when there is no plain port.
    pub client_address: Option<HostPort>,
    /// `clientPortListenBacklog`: length of the queue of the listening socket; `None` leaves it to the server.
    pub listen_backlog: Option<u32>,
    /// `maxClientCnxns`: connections from one address; 0 is no limit.
    pub per_ip_max: u32,
    /// `maxCnxns`: connections in all; 0 is no limit.
    pub total_max: u32,
    /// `nio.sessionlessCnxnTimeout`: a connection without a session is closed after this.
    pub sessionless_timeout_ms: u32,
    /// `nio.numWorkerThreads`: I/O workers; `None` lets the server choose by the number of cores.
    pub worker_threads: Option<u32>,
    /// `clientTcpKeepAlive`: SO_KEEPALIVE on accepted sockets.
    pub tcp_keep_alive: bool,
    /// `connection_throttle_*`.
    pub throttle: ConnectionThrottleConfig,
}

/// `connection_throttle_*`: a token bucket for new connections, with random early drops (BLUE).
/// Upstream: `BlueThrottle`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConnectionThrottleConfig {
    /// Size of the bucket, weight included; 0 switches the throttle off.
    pub tokens: u32,
    /// Milliseconds between two refills.
    pub fill_time_ms: u32,
    /// Tokens per refill, weight included.
    pub fill_count: u32,
    /// Milliseconds between two changes of the drop probability; `None` switches random drops off.
    pub freeze_time_ms: Option<u32>,
    /// Added to the drop probability when the bucket is empty.
    pub drop_increase: f64,
    /// Taken from it when the bucket is full enough.
    pub drop_decrease: f64,
    /// Share of the bucket that must be full for that.
    pub decrease_ratio: f64,
    /// Weigh connections by what they ask for. Otherwise each costs 1.
    pub weight_enabled: bool,
    /// Cost of a new global session.
    pub global_session_weight: u32,
    /// Cost of a new local session.
    pub local_session_weight: u32,
    /// Cost of a reconnect.
    pub renew_session_weight: u32,
}

/// Limits and switches of request processing. Upstream: `ZooKeeperServer`, `RequestThrottler`, `Request`,
/// `ContainerManager`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestConfig {
    /// `jute.maxbuffer`, bytes: a longer packet closes its connection.
    pub packet_size_max: u32,
    /// `jute.maxbuffer.extrasize`, bytes: strings and buffers *inside* records (logs, snapshots, peers) may be
    /// `packet_size_max` plus this long.
    pub record_extra_size: u32,
    /// `globalOutstandingLimit`: unanswered requests in all, beyond which connections are read no more.
    pub outstanding_max: u32,
    /// `largeRequestThreshold`, bytes: longer requests count as large; `None` when off.
    pub large_request_threshold: Option<u32>,
    /// `largeRequestMaxBytes`: sum of the sizes of large requests under way.
    pub large_requests_bytes_max: u32,
    /// `request_throttle_*`, `request_throttler.*`.
    pub throttle: RequestThrottleConfig,
    /// `throttled_op_wait_time`: a request that waited longer is answered THROTTLEDOP (-127); 0 is off.
    pub throttled_op_wait_time_ms: u32,
    /// `maxResponseCacheSize`: encoded getData replies kept; 0 is off.
    pub response_cache_entries: u32,
    /// `maxGetChildrenResponseCacheSize`: encoded getChildren replies kept; 0 is off.
    pub children_cache_entries: u32,
    /// `enforceQuota`: hard quotas reject instead of only logging.
    pub enforce_quota: bool,
    /// `extendedTypesEnabled`: TTL nodes may be created.
    pub extended_types_enabled: bool,
    /// `emulate353TTLNodes`: read TTL nodes as 3.5.3 wrote them.
    pub emulate_353_ttl_nodes: bool,
    /// `znode.container.*`: the reaper of containers and TTL nodes.
    pub container: ContainerConfig,
    /// `reconfigEnabled`: the reconfig request is understood.
    pub reconfig_enabled: bool,
    /// `readonlymode.enabled`: serve reads without a quorum. Without meaning for a standalone server, except
    /// that it enables the word `isro`.
    pub read_only_mode_enabled: bool,
}

/// `request_throttle_*`. Upstream: `RequestThrottler`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestThrottleConfig {
    /// Requests under way at most; 0 switches the throttle off.
    pub requests_max: u32,
    /// How long a request over the limit waits before it looks again.
    pub stall_time_ms: u32,
    /// Drop a waiting request whose connection closed or whose session ran out meanwhile.
    pub drop_stale: bool,
    /// A request of a closed connection is stale.
    pub stale_connection_check: bool,
    /// A request older than its session's timeout is stale.
    pub stale_latency_check: bool,
    /// How long a stopping server waits for requests under way.
    pub shutdown_timeout_ms: u32,
}

/// `znode.container.*`: the reaper. Upstream: `ContainerManager`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerConfig {
    /// Milliseconds between two looks.
    pub check_interval_ms: u32,
    /// Deletions per minute at most.
    pub per_minute_max: u32,
    /// A container that never had a child is deleted after this; 0 is never.
    pub never_used_max_ms: u64,
}

/// Authentication and authorisation. Upstream: `server.auth.*`, `AuthenticationHelper`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    /// `skipACL`: no ACL is checked at all.
    pub skip_acl: bool,
    /// `enableEagerACLCheck`: a member of an ensemble checks its clients' writes before they go to the leader.
    pub eager_acl_check: bool,
    /// `DigestAuthenticationProvider.enabled`.
    pub digest_enabled: bool,
    /// `DigestAuthenticationProvider.superDigest`: `user:base64(hash)` of the super user.
    pub super_digest: Option<String>,
    /// `DigestAuthenticationProvider.digestAlg`.
    pub digest_algorithm: DigestAlgorithm,
    /// `enforce.auth.enabled` with `enforce.auth.schemes`, or `sasl` from `sessionRequireClientSASLAuth`: a
    /// client must have authenticated with one of these. Empty when nothing is enforced.
    pub enforced_schemes: Vec<String>,
    /// `allowSaslFailedClients`: a client whose SASL exchange failed may stay, unauthenticated.
    pub allow_sasl_failed_clients: bool,
    /// `superUser` and every `superUser.*`: SASL ids that are super users.
    pub sasl_super_users: Vec<String>,
    /// `ensembleAuthName`: names of the ensemble a client may demand, any if empty. `None` without the provider of the
    /// scheme `ensemble`.
    pub ensemble_names: Option<Vec<String>>,
}

/// Hash of the `digest` scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// `MD5`
    Md5,
    /// `SHA1` or `SHA-1`
    Sha1,
    /// `SHA-224`
    Sha224,
    /// `SHA-256`
    Sha256,
    /// `SHA-384`
    Sha384,
    /// `SHA-512`
    Sha512,
}

/// What shows the server's inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// `4lw.commands.whitelist` as written; `None` when unset. Rule: `admin::words::Whitelist`.
    pub words_whitelist: Option<String>,
}

/// A server started without any configuration.
impl Default for ServerConfig {
    fn default() -> Self {
        let settings = resolve::read(&resolve::Start::Defaults, &[]);
        settings.expect("the defaults of the table are usable, which a test proves").server
    }
}
