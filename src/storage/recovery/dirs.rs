use crate::storage::{Disk, StorageError, StorageOptions};
use std::path::Path;

/// Name of the file that allows a member to begin with an empty tree. `zkServer-initialize.sh` makes it.
const MARKER: &str = "initialize";

/// Creates the directories or demands them, and looks whether they were exchanged.
///
/// Upstream counterpart: the constructor of `FileTxnSnapLog`.
pub(super) fn check(disk: &dyn Disk, options: &StorageOptions) -> Result<(), StorageError> {
    let (log_dir, snap_dir) = (options.log_dir(), options.snap_dir());
    for dir in [&log_dir, &snap_dir] {
        if !disk.exists(dir).map_err(StorageError::io("inspect", dir))? {
            if !options.create_missing_dirs {
                return Err(StorageError::MissingDir { path: dir.clone() });
            }
            disk.create_dirs(dir).map_err(StorageError::io("create directory", dir))?;
        }
        disk.check_writable(dir).map_err(StorageError::io("write into directory", dir))?;
    }
    if log_dir != snap_dir {
        refuse(disk, &log_dir, "snapshot", "snapshot.")?;
        refuse(disk, &snap_dir, "log", "log.")?;
    }
    Ok(())
}

fn refuse(disk: &dyn Disk, dir: &Path, what: &'static str, prefix: &str) -> Result<(), StorageError> {
    let entries = disk.list(dir).map_err(StorageError::io("list", dir))?;
    match entries.into_iter().find(|e| e.name.starts_with(prefix)) {
        Some(found) => Err(StorageError::WrongDir { dir: dir.to_owned(), what, example: found.name }),
        None => Ok(()),
    }
}

/// Whether the marker was there; it is gone afterwards. Upstream's script puts it into dataDir and upstream's server
/// looks for it in dataLogDir: either counts.
pub(super) fn take_initialize_marker(
    disk: &dyn Disk,
    options: &StorageOptions,
) -> Result<bool, StorageError> {
    let mut found = false;
    for dir in [&options.data_log_dir, &options.data_dir] {
        let marker = dir.join(MARKER);
        if disk.exists(&marker).map_err(StorageError::io("inspect", &marker))? {
            disk.remove(&marker).map_err(StorageError::io("remove", &marker))?;
            disk.sync_dir(dir).map_err(StorageError::io("force", dir))?;
            found = true;
        }
    }
    Ok(found)
}
