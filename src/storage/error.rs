use crate::types::Zxid;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why storage cannot do what it was asked to. Every message names the file, what was found and what to do.
///
/// Upstream counterpart: the `IOException`s of `server.persistence` and `DatadirException`,
/// `LogDirContentCheckException`, `SnapDirContentCheckException`.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The system refused a call.
    #[error("cannot {what} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// Verb: "write", "force", …
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A log writer after an earlier failure.
    #[error(
        "the transaction log takes no more writes after an earlier failure ({reason}); the server must stop and may \
         start again when the cause is removed"
    )]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// A directory is missing and may not be created.
    #[error(
        "directory {} is missing and zookeeper.datadir.autocreate is false: create it, or correct dataDir/dataLogDir",
        path.display()
    )]
    MissingDir {
        /// The directory.
        path: PathBuf,
    },
    /// Snapshots in the log directory or logs in the snapshot directory.
    #[error(
        "{} holds {what} files ({}) although dataDir and dataLogDir differ: check that the two settings are not \
         exchanged, or move the files to the other directory", dir.display(), example
    )]
    WrongDir {
        /// The directory looked into.
        dir: PathBuf,
        /// "snapshot" or "log".
        what: &'static str,
        /// One such file.
        example: String,
    },
    /// There are transactions but no snapshot to apply them to.
    #[error(
        "{} holds transactions up to {last} but {} holds no usable snapshot{}: restore a snapshot; or, if the logs \
         are complete from the first transaction on (as a server before 3.5 leaves them), start once with \
         -Dzookeeper.snapshot.trust.empty=true", log_dir.display(), snap_dir.display(), damaged_list(damaged)
    )]
    NoSnapshot {
        /// Where the logs lie.
        log_dir: PathBuf,
        /// Where snapshots should lie.
        snap_dir: PathBuf,
        /// Last transaction in the logs.
        last: Zxid,
        /// Snapshots that could not be read, with the reasons.
        damaged: Vec<String>,
    },
    /// Snapshots exist, none can be read and no log either.
    #[error(
        "no snapshot in {} can be used{}: restore one from a backup or another server", snap_dir.display(),
        damaged_list(damaged)
    )]
    NoValidSnapshot {
        /// Where the snapshots lie.
        snap_dir: PathBuf,
        /// The files with the reasons.
        damaged: Vec<String>,
    },
    /// A damaged snapshot was passed over, but the logs do not reach back to the one before.
    #[error(
        "the newest usable snapshot is of {snapshot}, but the transactions between {snapshot} and {first} are in no \
         log; they were only in damaged snapshots{}: restore such a file from a backup or another server, or move \
         the damaged files away to accept the loss",
        damaged_list(damaged)
    )]
    LostBetween {
        /// Zxid of the snapshot that can be read.
        snapshot: Zxid,
        /// First transaction after the gap.
        first: Zxid,
        /// The files with the reasons.
        damaged: Vec<String>,
    },
    /// A log is damaged where it should not be.
    #[error(
        "transaction log {} is damaged at byte {offset}: {what}. {good} good records ending at {last_zxid} precede it. \
         This is not the torn end of the newest log, so transactions that were acknowledged may lie behind it: \
         restore the file from a backup or empty this data directory and let the server copy an ensemble's data; \
         to accept the loss cut the file at byte {offset}{}", path.display(), later(later_files)
    )]
    LogDamaged {
        /// The file.
        path: PathBuf,
        /// Where the bad record begins, bytes from the start.
        offset: u64,
        /// What is wrong.
        what: String,
        /// Records read before it in this file.
        good: u64,
        /// Zxid of the last of these, or the one before the file.
        last_zxid: Zxid,
        /// Logs that follow.
        later_files: usize,
    },
    /// A log that is not a log.
    #[error("{} is not a transaction log: {what}; move it away if it is something else", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A whole record that cannot be understood.
    #[error(
        "transaction log {} holds a transaction at byte {offset} that this version cannot apply: {source}; it was \
         written by another or newer server version, or by a server with a larger jute.maxbuffer", path.display()
    )]
    BadTxn {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// What is wrong with it.
        source: crate::types::TxnError,
    },
    /// The log creates more znodes than this server can hold.
    #[error(
        "the tree is full at {nodes} znodes when transaction {zxid} is replayed; no server of this kind can hold more"
    )]
    TooManyNodes {
        /// The transaction that creates one too many.
        zxid: Zxid,
        /// Znodes so far.
        nodes: usize,
    },
    /// A new log file may not replace an old one.
    #[error(
        "transaction log {} exists and holds transactions, so a new log beginning at {zxid} cannot be made: two \
         servers may share this directory, or files were copied into it while the server ran", path.display()
    )]
    LogExists {
        /// The file.
        path: PathBuf,
        /// First transaction of the new one.
        zxid: Zxid,
    },
    /// A snapshot cannot be read.
    #[error("snapshot {} cannot be used: {what}", path.display())]
    SnapshotDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// An epoch file holds something else than a number.
    #[error(
        "{} should hold a decimal epoch but holds {found:?}: restore the file, or remove it if this server is to \
         take its epoch from its last transaction", path.display()
    )]
    BadEpochFile {
        /// The file.
        path: PathBuf,
        /// Its content, shortened.
        found: String,
    },
    /// The log cannot be cut back.
    #[error("the transaction log in {} cannot be cut back to {zxid}: {what}", dir.display())]
    CannotTruncate {
        /// Where the logs lie.
        dir: PathBuf,
        /// Last transaction that should stay.
        zxid: Zxid,
        /// Why not.
        what: String,
    },
}

impl StorageError {
    /// An I/O failure of `what` on `path`.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| StorageError::Io { what, path: path.to_owned(), source }
    }
}

fn advice(e: &io::Error) -> &'static str {
    match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room and start the server again",
        io::ErrorKind::PermissionDenied => "; give the server's user read and write access",
        io::ErrorKind::ReadOnlyFilesystem => "; the file system is mounted read-only",
        _ if e.raw_os_error() == Some(libc::EIO) => "; the device failed: look into the system's log",
        _ if e.raw_os_error() == Some(libc::EMFILE) => "; raise the limit on open files (ulimit -n)",
        _ => "",
    }
}

pub(super) fn damaged_list(damaged: &[String]) -> String {
    match damaged {
        [] => String::new(),
        some => format!(" ({})", some.join("; ")),
    }
}

fn later(files: &usize) -> String {
    match files {
        0 => String::new(),
        n => format!(" and move away the {n} log file(s) after it"),
    }
}
