use super::{LogReader, Next, Tail};
use crate::storage::names::list_logs;
use crate::storage::{Disk, OpenMode, StorageError};
use crate::types::Zxid;
use crate::types::guard::{self, Guard};
use std::path::Path;

/// Cuts the log of `dir` back so that `zxid` is the last transaction in it: newer files are removed, the one that
/// holds `zxid` is cut behind it. Snapshots are the caller's business: one that is newer than `zxid` has to go too.
///
/// A crash in the middle leaves a log that ends at some later transaction; doing it again finishes it.
///
/// Upstream counterpart: `FileTxnLog.truncate`, which leaves one transaction too many when `zxid` itself is absent.
///
/// # Errors
/// When the log does not reach back to `zxid`, is damaged before it, or the disk fails.
pub fn truncate(disk: &dyn Disk, dir: &Path, zxid: Zxid) -> Result<(), StorageError> {
    let files = list_logs(disk, dir)?;
    if files.first().is_none_or(|f| f.zxid > zxid.next()) {
        let what = "no log file reaches back to it".into();
        return Err(StorageError::CannotTruncate { dir: dir.to_owned(), zxid, what });
    }
    drop_after(disk, dir, zxid)
}

/// Removes every record after `zxid`, wherever the log begins. As crash-safe as [`truncate`].
pub(crate) fn drop_after(disk: &dyn Disk, dir: &Path, zxid: Zxid) -> Result<(), StorageError> {
    let cannot = |what: String| StorageError::CannotTruncate { dir: dir.to_owned(), zxid, what };
    let mut files = list_logs(disk, dir)?;
    // Newest first, so that a crash never leaves a gap.
    while let Some(last) = files.pop_if(|f| f.zxid > zxid) {
        disk.remove(&last.path).map_err(StorageError::io("remove", &last.path))?;
        disk.sync_dir(dir).map_err(StorageError::io("force", dir))?;
    }
    let Some(file) = files.last() else { return Ok(()) };
    let mut reader = LogReader::open(disk, &file.path)?;
    let cut_at = loop {
        match reader.next_record()? {
            Next::Record { offset, .. } => {
                let last = reader.last_zxid();
                if last > zxid || last == zxid && !guard::holds(Guard::CutBehindLast) {
                    break offset;
                }
            }
            Next::End(Tail::Clean) => return Ok(()),
            Next::End(Tail::Torn(torn)) => break torn.offset,
            Next::End(Tail::Damaged { offset, what }) => {
                return Err(cannot(format!("{} is damaged at byte {offset}: {what}", file.path.display())));
            }
        }
    };
    let io = |what| StorageError::io(what, &file.path);
    let handle = disk.open(&file.path, OpenMode::ReadWrite).map_err(io("open"))?;
    handle.set_len(cut_at).map_err(io("cut"))?;
    handle.sync_all().map_err(io("force"))
}
