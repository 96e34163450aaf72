//! From the configuration to what each part needs of it.

use crate::{
    auth,
    config::{ConnectionThrottleConfig, DigestAlgorithm, EnsembleConfig, ServerConfig, SnapshotCompression},
    member::{MemberConfig, RoleOptions},
    ops::OpsConfig,
    pipeline::{LocalSessions, PipelineConfig, ReaperConfig},
    storage::{Compression, StorageOptions},
    tree::TreeOptions,
    types::{OwnerRules, ServerId, TxnFormat},
};
use quoll_jute::Limits;
use std::thread;

/// The number of a server that has none: the highest byte of its sessions.
const STANDALONE: ServerId = ServerId(1);

/// The shortest time without a leader after which a read-only server begins, ms. Upstream's.
const READ_ONLY_AFTER_MS: i64 = 2000;

/// More workers than this have not been seen to help.
const WORKERS_MAX: usize = 64;

/// By default one worker for two cores: the others are for the core, the log, snapshots and the kernel's part of the
/// network. Measured on two cores, a second worker halves the requests that one wake-up finds and costs a fifth more
/// processor time per request of 32 clients that send one at a time.
pub(super) fn workers(config: &ServerConfig) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    config.connection.worker_threads.map_or(cores.div_ceil(2), |n| n as usize).clamp(1, WORKERS_MAX)
}

pub(super) fn limits(config: &ServerConfig) -> Limits {
    let sum = u64::from(config.request.packet_size_max) + u64::from(config.request.record_extra_size);
    Limits { length_max: sum.min(i32::MAX as u64) as usize }
}

pub(super) fn owner_rules(config: &ServerConfig) -> OwnerRules {
    OwnerRules {
        extended_types: config.request.extended_types_enabled,
        emulate_353: config.request.emulate_353_ttl_nodes,
    }
}

pub(super) fn tree(config: &ServerConfig) -> TreeOptions {
    TreeOptions {
        hash_seed: rand::random(),
        owner_rules: owner_rules(config),
        digest: config.storage.digest_enabled,
    }
}

pub(super) fn txn_format(config: &ServerConfig) -> TxnFormat {
    TxnFormat { close_session_paths: config.storage.close_session_txn_paths, limits: limits(config) }
}

pub(super) fn storage(config: &ServerConfig) -> StorageOptions {
    let storage = &config.storage;
    StorageOptions {
        data_dir: storage.data_dir.clone(),
        data_log_dir: storage.data_log_dir.clone(),
        create_missing_dirs: storage.create_missing_dirs,
        create_empty_db: storage.create_empty_db,
        trust_empty_snapshot: storage.trust_empty_snapshot,
        prealloc_size: storage.prealloc_size,
        log_file_size_max: storage.txn_log_size_limit,
        force_sync: storage.force_sync,
        slow_force_ms: storage.fsync_warning_threshold_ms,
        compression: match storage.snapshot_compression {
            SnapshotCompression::None => Compression::None,
            SnapshotCompression::Gzip => Compression::Gzip,
            SnapshotCompression::Snappy => Compression::Snappy,
        },
        last_zxid_in_snapshots: storage.serialize_last_zxid,
    }
}

/// The rate of new sessions. Those that are known only here have their own weight.
pub(super) fn throttle(config: &ServerConfig, ensemble: Option<&EnsembleConfig>) -> ConnectionThrottleConfig {
    let throttle = config.connection.throttle;
    let local = ensemble.is_some_and(|e| e.local_sessions);
    let weight = if local { throttle.local_session_weight } else { throttle.global_session_weight };
    ConnectionThrottleConfig { global_session_weight: weight, ..throttle }
}

/// What the member of an ensemble has to know.
pub(super) fn member(config: &ServerConfig, ensemble: &EnsembleConfig) -> MemberConfig {
    MemberConfig {
        me: ensemble.server_id,
        members: ensemble.members.clone(),
        next: ensemble.next.clone(),
        reconfig_enabled: config.request.reconfig_enabled,
        standalone_enabled: ensemble.standalone_enabled,
        multi_address: ensemble.multi_address,
        tick_ms: i64::from(config.session.tick_time_ms),
        init_limit_ticks: i64::from(ensemble.init_limit_ticks),
        sync_limit_ticks: i64::from(ensemble.sync_limit_ticks),
        notification_interval_min_ms: i64::from(ensemble.notification_interval_min_ms),
        notification_interval_max_ms: i64::from(ensemble.notification_interval_max_ms),
        commit_log_count: config.storage.commit_log_count as usize,
        force_snapshot: ensemble.force_snapshot,
        sync_from_log: config.storage.snapshot_size_factor >= 0.0,
        snapshot_syncs_max: ensemble.snapshot_syncs_max.map_or(0, saturating),
        roles: RoleOptions {
            read_only_after_ms: config
                .request
                .read_only_mode_enabled
                .then(|| i64::from(config.session.tick_time_ms).max(READ_ONLY_AFTER_MS)),
            leads_without_clients: !ensemble.leader_serves,
            observes_without_log: !ensemble.observer_logs,
            election_delay_max_ms: i64::from(ensemble.observer_election_delay_ms),
            connect_delay_max_ms: i64::from(ensemble.observer_reconnect_delay_ms),
            diff_syncs_max: ensemble.diff_syncs_max.map_or(0, saturating),
            epoch_wait_max_ms: ensemble.epoch_wait_max_ms.map(i64::from),
            observer_masters: ensemble.observer_master_port.is_some(),
            observer_master_bytes_max: ensemble.observer_master_bytes_max as usize,
            seed: rand::random(),
        },
    }
}

pub(super) fn pipeline(config: &ServerConfig, ensemble: Option<&EnsembleConfig>) -> PipelineConfig {
    let container = &config.request.container;
    PipelineConfig {
        server: ensemble.map_or(STANDALONE, |e| e.server_id),
        tick_ms: i64::from(config.session.tick_time_ms),
        session_timeout_min_ms: saturating(config.session.timeout_min_ms),
        session_timeout_max_ms: saturating(config.session.timeout_max_ms),
        reaper: ReaperConfig {
            check_interval_ms: i64::from(container.check_interval_ms),
            per_minute_max: i64::from(container.per_minute_max),
            never_used_max_ms: i64::try_from(container.never_used_max_ms).unwrap_or(i64::MAX),
        },
        ops: ops(config),
        txn_format: txn_format(config),
        local_sessions: match ensemble {
            Some(e) if e.local_sessions && e.local_session_upgrades => LocalSessions::Upgrade,
            Some(e) if e.local_sessions => LocalSessions::Stay,
            _ => LocalSessions::Off,
        },
        seed: rand::random(),
        first_counter: ensemble.map_or(0, |e| e.first_counter),
        eager_acl_check: config.auth.eager_acl_check,
        throttled_op_wait_ms: i64::from(config.request.throttled_op_wait_time_ms),
    }
}

fn ops(config: &ServerConfig) -> OpsConfig {
    OpsConfig {
        auth: auth(config),
        owner_rules: owner_rules(config),
        enforce_quota: config.request.enforce_quota,
        reconfig_enabled: config.request.reconfig_enabled,
        limits: limits(config),
    }
}

fn auth(config: &ServerConfig) -> auth::AuthConfig {
    let a = &config.auth;
    auth::AuthConfig {
        skip_acl: a.skip_acl,
        digest_disabled: !a.digest_enabled,
        digest_algorithm: match a.digest_algorithm {
            DigestAlgorithm::Md5 => auth::DigestAlgorithm::Md5,
            DigestAlgorithm::Sha1 => auth::DigestAlgorithm::Sha1,
            DigestAlgorithm::Sha224 => auth::DigestAlgorithm::Sha224,
            DigestAlgorithm::Sha256 => auth::DigestAlgorithm::Sha256,
            DigestAlgorithm::Sha384 => auth::DigestAlgorithm::Sha384,
            DigestAlgorithm::Sha512 => auth::DigestAlgorithm::Sha512,
        },
        super_digest: a.super_digest.clone(),
        // Certificates come with TLS.
        x509: None,
        ensemble_names: a.ensemble_names.clone(),
        enforced_schemes: a.enforced_schemes.clone(),
    }
}

fn saturating(ms: u32) -> i32 {
    i32::try_from(ms).unwrap_or(i32::MAX)
}
