use super::names::{TORN_PREFIX, list_logs, list_snapshots, parse_log_name};
use super::snapshot::looks_valid;
use super::{Disk, StorageError};
use crate::types::Zxid;
use std::path::{Path, PathBuf};

/// No run keeps fewer snapshots than this.
pub const RETAIN_MIN: usize = 3;

/// Removes snapshots that are older than the `retain` newest usable ones, and the logs that none of these needs,
/// with what was kept of their torn ends.
/// Damaged snapshots do not count, and those newer than the oldest kept stay. Returns the files removed.
///
/// Upstream counterpart: `PurgeTxnLog`.
///
/// # Errors
/// Any failure of the disk; what was removed before stays removed.
pub fn purge(
    disk: &dyn Disk,
    snap_dir: &Path,
    log_dir: &Path,
    retain: usize,
) -> Result<Vec<PathBuf>, StorageError> {
    let snapshots = list_snapshots(disk, snap_dir)?;
    let mut oldest_kept = None;
    let mut kept = 0;
    for file in &snapshots {
        if kept < retain.max(RETAIN_MIN) && looks_valid(disk, file)? {
            kept += 1;
            oldest_kept = Some(file.zxid);
        }
    }
    let Some(oldest_kept) = oldest_kept else { return Ok(Vec::new()) };
    let logs = list_logs(disk, log_dir)?;
    // The newest log named at or before the snapshot may reach beyond it.
    let first_log = logs.iter().map(|f| f.zxid).filter(|&z| z <= oldest_kept).max();
    let old_torn = torn_copies(disk, log_dir)?.into_iter();
    let old_torn = old_torn.filter(|(zxid, _)| first_log.is_some_and(|first| *zxid < first));
    let old_logs = logs.into_iter().filter(|f| first_log.is_some_and(|first| f.zxid < first));
    let old_snapshots = snapshots.into_iter().filter(|f| f.zxid < oldest_kept);
    let mut removed = Vec::new();
    // Snapshots first: a snapshot without its logs would be worth nothing after a crash in between.
    for path in old_snapshots.map(|f| f.path).chain(old_logs.map(|f| f.path)).chain(old_torn.map(|t| t.1)) {
        disk.remove(&path).map_err(StorageError::io("remove", &path))?;
        removed.push(path);
    }
    Ok(removed)
}

/// What recovery kept of torn logs (`torn.<log>.<offset>`), with the zxid of the log.
fn torn_copies(disk: &dyn Disk, dir: &Path) -> Result<Vec<(Zxid, PathBuf)>, StorageError> {
    let entries = disk.list(dir).map_err(StorageError::io("list", dir))?;
    let zxid_of = |name: &str| parse_log_name(name.strip_prefix(TORN_PREFIX)?.rsplit_once('.')?.0);
    Ok(entries.into_iter().filter_map(|e| Some((zxid_of(&e.name)?, dir.join(&e.name)))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::disk::FakeDisk;

    const VALID: &[u8] = b"0123456789\0\0\0\x01/";

    fn names(disk: &FakeDisk) -> String {
        let names = disk.paths().into_iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_newest_usable_snapshots_and_the_logs_they_need_are_kept() {
        let disk = FakeDisk::new();
        for snapshot in ["0", "10", "20", "30", "50"] {
            disk.put(format!("/d/snapshot.{snapshot}"), VALID);
        }
        disk.put("/d/snapshot.40", "damaged");
        disk.put("/d/snapshot.15", "damaged");
        for log in ["1", "11", "1f", "22", "31", "51"] {
            disk.put(format!("/d/log.{log}"), "");
        }
        disk.put("/d/other", "");
        disk.put("/d/torn.log.11.77", "");
        disk.put("/d/torn.log.31.77", "");
        let d = Path::new("/d");
        // One is fewer than ever: three are kept.
        let removed = purge(&disk, d, d, 1).unwrap();
        assert_eq!(removed.len(), 6);
        assert_eq!(
            names(&disk),
            "log.1f log.22 log.31 log.51 other snapshot.20 snapshot.30 snapshot.40 snapshot.50 torn.log.31.77"
        );
        assert_eq!(purge(&disk, d, d, 3).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn nothing_is_removed_without_a_usable_snapshot() {
        let disk = FakeDisk::new();
        disk.put("/d/snapshot.40", "damaged");
        disk.put("/d/log.1", "");
        let d = Path::new("/d");
        assert_eq!(purge(&disk, d, d, 3).unwrap(), Vec::<PathBuf>::new());
    }
}
