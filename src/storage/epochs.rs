use super::{Disk, OpenMode, StorageError, disk::read_full_at};
use crate::types::guard::{self, Guard};
use crate::types::{Epoch, EpochKind};
use std::io;
use std::path::Path;

/// Name of an epoch's file in `<dataDir>/version-2`.
pub fn epoch_file_name(kind: EpochKind) -> &'static str {
    match kind {
        EpochKind::Accepted => "acceptedEpoch",
        EpochKind::Current => "currentEpoch",
    }
}

/// Reads an epoch; `None` when there is no file, as on a server that was never a member.
///
/// # Errors
/// When the file cannot be read or holds no decimal number of 32 bits.
pub fn read_epoch(disk: &dyn Disk, dir: &Path, kind: EpochKind) -> Result<Option<Epoch>, StorageError> {
    let path = dir.join(epoch_file_name(kind));
    let file = match disk.open(&path, OpenMode::Read) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(StorageError::io("open", &path))?,
    };
    let mut bytes = [0; 64];
    let n = read_full_at(&*file, &mut bytes, 0).map_err(StorageError::io("read", &path))?;
    let text = String::from_utf8_lossy(&bytes[..n]);
    match text.trim().parse() {
        Ok(epoch) => Ok(Some(Epoch(epoch))),
        Err(_) => Err(StorageError::BadEpochFile { found: text.into_owned(), path }),
    }
}

/// Makes an epoch durable.
///
/// # Errors
/// Any failure of the disk; the old value is still there then, or the new one.
pub fn write_epoch(disk: &dyn Disk, dir: &Path, kind: EpochKind, epoch: Epoch) -> Result<(), StorageError> {
    let path = dir.join(epoch_file_name(kind));
    let temporary = dir.join(format!("{}.tmp", epoch_file_name(kind)));
    let io = |what| StorageError::io(what, &temporary);
    let temporary = if guard::holds(Guard::EpochFileWhole) { &temporary } else { &path };
    let file = disk.open(temporary, OpenMode::Replace).map_err(io("create"))?;
    file.write_all_at(epoch.0.to_string().as_bytes(), 0).map_err(io("write"))?;
    file.sync_all().map_err(io("force"))?;
    if temporary == &path {
        return Ok(());
    }
    disk.rename(temporary, &path).map_err(StorageError::io("name", &path))?;
    disk.sync_dir(dir).map_err(StorageError::io("force", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::disk::{FakeDisk, Unforced};

    #[test]
    fn an_epoch_is_the_old_or_the_new_one_after_a_crash_at_any_call() {
        let dir = Path::new("/d");
        for call in 0.. {
            for unforced in [Unforced::Kept, Unforced::Dropped, Unforced::Random(call)] {
                let disk = FakeDisk::new();
                disk.create_dirs(dir).unwrap();
                write_epoch(&disk, dir, EpochKind::Current, Epoch(7)).unwrap();
                disk.crash_at(disk.calls() + call);
                let written = write_epoch(&disk, dir, EpochKind::Current, Epoch(8));
                let finished = written.is_ok();
                disk.crash(unforced);
                let found = read_epoch(&disk, dir, EpochKind::Current).unwrap().unwrap().0;
                assert!(found == 8 || (!finished && found == 7), "call {call} {unforced:?}: {found}");
                if finished {
                    assert_eq!(call, 5);
                    return;
                }
            }
        }
    }

    #[test]
    fn a_damaged_epoch_file_is_an_error_and_a_missing_one_is_none() {
        let disk = FakeDisk::new();
        disk.put("/d/acceptedEpoch", "12\n");
        assert_eq!(read_epoch(&disk, Path::new("/d"), EpochKind::Accepted).unwrap(), Some(Epoch(12)));
        assert_eq!(read_epoch(&disk, Path::new("/d"), EpochKind::Current).unwrap(), None);
        for bad in ["", "x", "-1", "4294967296"] {
            disk.put("/d/currentEpoch", bad);
            let error = read_epoch(&disk, Path::new("/d"), EpochKind::Current).unwrap_err();
            assert!(matches!(error, StorageError::BadEpochFile { .. }), "{error}");
        }
    }
}
