use super::{Compression, LogOptions, SnapshotOptions, VERSION_DIR};
use std::path::PathBuf;

/// Settings of storage, with upstream's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageOptions {
    /// `dataDir`; the snapshots are in `version-2` below it.
    pub data_dir: PathBuf,
    /// `dataLogDir`; the logs are in `version-2` below it.
    pub data_log_dir: PathBuf,
    /// `datadir.autocreate`: missing directories are created.
    pub create_missing_dirs: bool,
    /// `db.autocreate`: a server without data starts with an empty tree.
    pub create_empty_db: bool,
    /// `snapshot.trust.empty`: logs without any snapshot are replayed from the first.
    pub trust_empty_snapshot: bool,
    /// `preAllocSize` in bytes; 0 is off.
    pub prealloc_size: u64,
    /// `txnLogSizeLimitInKb` in bytes.
    pub log_file_size_max: Option<u64>,
    /// `forceSync`
    pub force_sync: bool,
    /// `fsync.warningthresholdms`
    pub slow_force_ms: u64,
    /// `snapshot.compression.method`
    pub compression: Compression,
    /// `serializeLastProcessedZxid.enabled`
    pub last_zxid_in_snapshots: bool,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            data_dir: "data".into(),
            data_log_dir: "data".into(),
            create_missing_dirs: true,
            create_empty_db: true,
            trust_empty_snapshot: false,
            prealloc_size: 65_536 << 10,
            log_file_size_max: None,
            force_sync: true,
            slow_force_ms: 1_000,
            compression: Compression::None,
            last_zxid_in_snapshots: true,
        }
    }
}

impl StorageOptions {
    /// Everything in one directory.
    pub fn in_dir(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self { data_log_dir: data_dir.clone(), data_dir, ..Self::default() }
    }

    /// Where the snapshots and epochs lie.
    pub fn snap_dir(&self) -> PathBuf {
        self.data_dir.join(VERSION_DIR)
    }

    /// Where the logs lie.
    pub fn log_dir(&self) -> PathBuf {
        self.data_log_dir.join(VERSION_DIR)
    }

    /// Settings of the log's writer.
    pub fn log(&self) -> LogOptions {
        LogOptions {
            dir: self.log_dir(),
            prealloc_size: self.prealloc_size,
            file_size_max: self.log_file_size_max,
            force_sync: self.force_sync,
            slow_force_ms: self.slow_force_ms,
        }
    }

    /// Settings of snapshots.
    pub fn snapshot(&self) -> SnapshotOptions {
        SnapshotOptions {
            dir: self.snap_dir(),
            compression: self.compression,
            last_zxid: self.last_zxid_in_snapshots,
        }
    }
}
