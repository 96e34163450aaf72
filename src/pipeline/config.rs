use crate::{
    ops::OpsConfig,
    types::{ServerId, TxnFormat},
};

/// What the pipeline has to know of the configuration.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// This server's number: the highest byte of its sessions, its voice in the quorum. 1 when standalone.
    pub server: ServerId,
    /// `tickTime`, ms: sessions expire at the end of a tick.
    pub tick_ms: i64,
    /// `minSessionTimeout`, ms.
    pub session_timeout_min_ms: i32,
    /// `maxSessionTimeout`, ms.
    pub session_timeout_max_ms: i32,
    /// When containers and TTL znodes are looked after.
    pub reaper: ReaperConfig,
    /// Settings of single operations.
    pub ops: OpsConfig,
    /// How txns are written.
    pub txn_format: TxnFormat,
    /// Sessions that only the server knows which serves them. A server that is alone has none.
    pub local_sessions: LocalSessions,
    /// What the numbers of such sessions follow from: it has to differ from start to start.
    pub seed: u64,
    /// `testingonly.initialZxid`: the counter of zxids with which each epoch of this leader begins. 0, except to see an
    /// epoch end.
    pub first_counter: u32,
    /// `enableEagerACLCheck`: members of an ensemble refuse what their own tree does not allow their clients to write.
    pub eager_acl_check: bool,
    /// `throttled_op_wait_time`, ms: what waited longer for its turn is not executed; 0 is off.
    pub throttled_op_wait_ms: i64,
}

/// `localSessionsEnabled` and `localSessionsUpgradingEnabled`: whether a new session begins without a txn, known only
/// to the server that serves it, and what becomes of it when it creates an ephemeral znode.
///
/// Upstream counterpart: `UpgradeableSessionTracker`, `QuorumZooKeeperServer.checkUpgradeSession`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalSessions {
    /// Every session is known everywhere.
    #[default]
    Off,
    /// They begin as local ones and stay so: they cannot have ephemerals.
    Stay,
    /// They begin as local ones; the first ephemeral makes them known everywhere.
    Upgrade,
}

/// When containers and TTL znodes are looked after. Upstream counterpart: `ContainerManager`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaperConfig {
    /// `znode.container.checkIntervalMs`.
    pub check_interval_ms: i64,
    /// `znode.container.maxPerMinute`.
    pub per_minute_max: i64,
    /// `znode.container.maxNeverUsedIntervalMs`; 0 keeps containers that never had a child.
    pub never_used_max_ms: i64,
}

impl Default for ReaperConfig {
    fn default() -> Self {
        Self { check_interval_ms: 60_000, per_minute_max: 10_000, never_used_max_ms: 0 }
    }
}
