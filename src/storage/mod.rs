//! Everything on disk: transaction log, snapshots, epochs, recovery, purging, over one door to the file system.
//!
//! ```text
//! <dataDir>/version-2/snapshot.<zxid>      the state after zxid; exact when we wrote it, "fuzzy" when upstream did
//!                     acceptedEpoch, currentEpoch
//! <dataLogDir>/version-2/log.<zxid>        txns from zxid on
//! ```
//!
//! Invariants:
//! * what [`LogWriter::force`] returned Ok for is found again by recovery, whatever happens to the process or the
//!   machine; what was never forced may be there or not, but never in part;
//! * after the first failure of the disk nothing more is written to the log: to stop beats to diverge;
//! * the torn end of a log is told from damage; over damage recovery stops with an error that names the place;
//! * files are those of Java servers, in both directions. Settings of the writer need not be those of the reader.
//!
//! Upstream counterpart: package `server.persistence`. Start reading at [`recover`] and [`LogWriter`], then
//! `log/tail.rs` for what a crash leaves behind.

pub mod disk;
mod epochs;
mod error;
pub mod log;
mod names;
mod options;
mod purge;
mod recovery;
pub mod resync;
pub mod snapshot;

pub use crate::types::EpochKind;
pub use disk::{DirEntry, Disk, DiskFile, OpenMode, RealDisk};
pub use epochs::{epoch_file_name, read_epoch, write_epoch};
pub use error::StorageError;
pub use log::{
    LogCursor, LogOptions, LogStats, LogWriter, Record, SnapshotPace, TornTail, encode_record, truncate,
};
pub use names::{
    Compression, LogFile, SnapshotFile, VERSION_DIR, list_logs, list_snapshots, log_name, parse_log_name,
    parse_snapshot_name, snapshot_name,
};
pub use options::StorageOptions;
pub use purge::{RETAIN_MIN, purge};
pub use recovery::{OnProgress, Phase, Progress, Recovered, StreamedTree, read_tree, recover, save_now};
pub use snapshot::{Digest, SnapshotOptions, SnapshotStream, SnapshotWriter, StreamError, digest_of};
