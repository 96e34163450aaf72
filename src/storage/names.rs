use super::{Disk, StorageError};
use crate::types::Zxid;
use std::io;
use std::path::{Path, PathBuf};

/// The directory below dataDir and dataLogDir that holds everything.
pub const VERSION_DIR: &str = "version-2";

/// Bytes that recovery cut off a torn log are kept in `torn.<log>.<offset>`; upstream takes no such name for a log.
pub(super) const TORN_PREFIX: &str = "torn.";

/// How a snapshot file is compressed; its extension says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `snapshot.<zxid>`
    None,
    /// `snapshot.<zxid>.gz`
    Gzip,
    /// `snapshot.<zxid>.snappy`
    Snappy,
}

impl Compression {
    fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Snappy => ".snappy",
        }
    }
}

/// A log file of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The zxid in its name: that of its first transaction.
    pub zxid: Zxid,
    /// Length in bytes.
    pub len: u64,
}

/// A snapshot file of a directory, valid or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The zxid in its name: everything up to it is in the file.
    pub zxid: Zxid,
    /// Length in bytes.
    pub len: u64,
    /// By its extension.
    pub compression: Compression,
}

/// Name of the log whose first transaction is `zxid`.
pub fn log_name(zxid: Zxid) -> String {
    format!("log.{:x}", zxid.0)
}

/// Name of the snapshot that holds everything up to `zxid`.
pub fn snapshot_name(zxid: Zxid, compression: Compression) -> String {
    format!("snapshot.{:x}{}", zxid.0, compression.extension())
}

fn parse_zxid(hex: &str) -> Option<Zxid> {
    // A sign would be accepted by from_str_radix, and by upstream; no server writes one.
    hex.bytes().all(|b| b.is_ascii_hexdigit()).then(|| i64::from_str_radix(hex, 16).ok().map(Zxid))?
}

/// The zxid in the name of a log, if it is one's. Names with more parts (`log.5.bak`) are no logs: upstream would
/// replay such a copy beside the original.
pub fn parse_log_name(name: &str) -> Option<Zxid> {
    parse_zxid(name.strip_prefix("log.")?)
}

/// Zxid and compression in the name of a snapshot, if it is one's. Names with another third part, as the temporary
/// files of upstream (`snapshot.5.tmp`), are no snapshots.
pub fn parse_snapshot_name(name: &str) -> Option<(Zxid, Compression)> {
    let rest = name.strip_prefix("snapshot.")?;
    let (hex, compression) = match rest.split_once('.') {
        None => (rest, Compression::None),
        Some((hex, ext)) if ext.eq_ignore_ascii_case("gz") => (hex, Compression::Gzip),
        Some((hex, ext)) if ext.eq_ignore_ascii_case("snappy") => (hex, Compression::Snappy),
        Some(_) => return None,
    };
    Some((parse_zxid(hex)?, compression))
}

/// The logs of a directory in the order of their zxids. A directory that does not exist has none.
///
/// # Errors
/// When the directory cannot be listed.
pub fn list_logs(disk: &dyn Disk, dir: &Path) -> Result<Vec<LogFile>, StorageError> {
    let mut files: Vec<_> = entries(disk, dir)?
        .into_iter()
        .filter_map(|e| {
            let zxid = parse_log_name(&e.name)?;
            Some(LogFile { path: dir.join(e.name), zxid, len: e.len })
        })
        .collect();
    files.sort_by(|a, b| (a.zxid, &a.path).cmp(&(b.zxid, &b.path)));
    Ok(files)
}

/// The snapshots of a directory, newest first. A directory that does not exist has none.
///
/// # Errors
/// When the directory cannot be listed.
pub fn list_snapshots(disk: &dyn Disk, dir: &Path) -> Result<Vec<SnapshotFile>, StorageError> {
    let mut files: Vec<_> = entries(disk, dir)?
        .into_iter()
        .filter_map(|e| {
            let (zxid, compression) = parse_snapshot_name(&e.name)?;
            Some(SnapshotFile { path: dir.join(e.name), zxid, len: e.len, compression })
        })
        .collect();
    files.sort_by(|a, b| (b.zxid, &a.path).cmp(&(a.zxid, &b.path)));
    Ok(files)
}

fn entries(disk: &dyn Disk, dir: &Path) -> Result<Vec<super::DirEntry>, StorageError> {
    match disk.list(dir) {
        Ok(all) => Ok(all.into_iter().filter(|e| !e.is_dir).collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(StorageError::io("list", dir)(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_and_parsed_as_upstream_does() {
        assert_eq!(log_name(Zxid(0x1_0000_00ab)), "log.1000000ab");
        assert_eq!(parse_log_name("log.1000000ab"), Some(Zxid(0x1_0000_00ab)));
        assert_eq!(parse_log_name("log.AB"), Some(Zxid(0xab)));
        for c in [Compression::None, Compression::Gzip, Compression::Snappy] {
            assert_eq!(parse_snapshot_name(&snapshot_name(Zxid(0x2f), c)), Some((Zxid(0x2f), c)));
        }
        for bad in
            ["log.", "log.x", "log.-1", "log.+1", "log.1.bak", "log", "logs.1", "log.10000000000000000"]
        {
            assert_eq!(parse_log_name(bad), None, "{bad}");
        }
        for bad in ["snapshot.", "snapshot.5.tmp", "snapshot.5.gz.tmp", "tmp.snapshot.5", "snapshot.g"] {
            assert_eq!(parse_snapshot_name(bad), None, "{bad}");
        }
    }
}
