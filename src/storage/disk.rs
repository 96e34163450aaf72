//! The only door to the file system for server data.
//!
//! Everything that storage does to files goes through the object-safe trait [`Disk`], so that the code that ships is
//! the code that [`crate::sim::disk::FakeDisk`] crashes at every call. [`RealDisk`] is the file system.
//!
//! Invariants the callers rest on, and nothing else:
//! * bytes written are durable after [`DiskFile::sync_data`] or [`DiskFile::sync_all`] of the handle returned Ok;
//! * a created, renamed or removed name is durable after [`Disk::sync_dir`] of its directory returned Ok;
//! * after an error nothing is known about the bytes and names not yet forced.
//!
//! Upstream counterpart: `java.io` and `java.nio` used directly by `FileTxnLog`, `FileSnap`, `AtomicFileOutputStream`.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// Last part of the path. Names that are not UTF-8 are left out of listings: none of ours is such a name.
    pub name: String,
    /// Length in bytes; 0 for a directory.
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// What to do about a file that is there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; read only.
    Read,
    /// Must exist; read and write.
    ReadWrite,
    /// Must not exist; created, read and write.
    CreateNew,
    /// Created, or emptied when it exists; read and write.
    Replace,
}

/// An open file. Positions are given with every call; there is no cursor.
pub trait DiskFile: Send + fmt::Debug {
    /// Length in bytes.
    ///
    /// # Errors
    /// The system's.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// The system's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `offset`, or less at the end of the file. Returns how much.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, beyond the end if need be. After an error any part may have been written.
    ///
    /// # Errors
    /// The system's; a full disk is [`io::ErrorKind::StorageFull`].
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or extends it by a hole of zeros that takes no room.
    ///
    /// # Errors
    /// The system's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Forces the bytes and the length (`fdatasync`).
    ///
    /// # Errors
    /// The system's. The bytes may or may not be durable and a second call proves nothing: the kernel reports a
    /// failed write-back once.
    fn sync_data(&self) -> io::Result<()>;

    /// Forces bytes and all metadata (`fsync`).
    ///
    /// # Errors
    /// As [`Self::sync_data`].
    fn sync_all(&self) -> io::Result<()>;

    /// The first offset ≥ `offset` that may hold something else than zeros, or `None` when only a hole follows.
    /// Answering `offset` itself is always right; it saves reading the preallocated part of logs.
    ///
    /// # Errors
    /// The system's.
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>>;
}

/// A file system, or something that behaves like one.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::NotFound`] and [`io::ErrorKind::AlreadyExists`] by `mode`.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>>;

    /// What a directory holds, sorted by name.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Whether something has this name.
    ///
    /// # Errors
    /// The system's, except "not found".
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Creates a directory and its parents, and forces every name it created into its parent. Nothing happens when
    /// it exists.
    ///
    /// # Errors
    /// The system's.
    fn create_dirs(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file another name in the same directory, replacing what had it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Forces the names in a directory.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Fails unless this process may create files in `dir`.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::PermissionDenied`] or [`io::ErrorKind::ReadOnlyFilesystem`].
    fn check_writable(&self, dir: &Path) -> io::Result<()>;
}

/// Fills `buf` from `offset` to its end or the file's. Returns how much.
///
/// # Errors
/// The system's.
pub fn read_full_at(file: &dyn DiskFile, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(&mut buf[done..], offset + done as u64)? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match FileExt::read_at(&self.0, buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(&self.0, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        match rustix::fs::seek(&self.0, rustix::fs::SeekFrom::Data(offset)) {
            Ok(at) => Ok(Some(at)),
            Err(rustix::io::Errno::NXIO) => Ok(None),
            // A file system without the call.
            Err(_) => Ok(Some(offset)),
        }
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read);
        match mode {
            OpenMode::Read | OpenMode::ReadWrite => {}
            OpenMode::CreateNew => {
                options.create_new(true);
            }
            OpenMode::Replace => {
                options.create(true).truncate(true);
            }
        }
        let file = options.open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Box::new(RealFile(file)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Follows links: operators link logs to other volumes. A dangling one is nothing we can read.
            let Ok(meta) = fs::metadata(entry.path()) else { continue };
            let is_dir = meta.is_dir();
            entries.push(DirEntry { name, len: if is_dir { 0 } else { meta.len() }, is_dir });
        }
        entries.sort();
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
            self.create_dirs(parent)?;
        }
        match fs::create_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            other => other?,
        }
        self.sync_dir(dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match File::open(dir)?.sync_all() {
            // Some network file systems do not know the call for directories; there is nothing more to do there.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOTSUP)) => Ok(()),
            other => other,
        }
    }

    fn check_writable(&self, dir: &Path) -> io::Result<()> {
        use rustix::fs::{Access, access};
        Ok(access(dir, Access::WRITE_OK | Access::EXEC_OK)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_file_is_written_read_and_cut_at_given_offsets() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        RealDisk.create_dirs(&deep).unwrap();
        RealDisk.create_dirs(&deep).unwrap();
        let path = deep.join("f");
        let file = RealDisk.open(&path, OpenMode::CreateNew).unwrap();
        assert_eq!(
            RealDisk.open(&path, OpenMode::CreateNew).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        file.write_all_at(b"abc", 5).unwrap();
        file.set_len(1 << 20).unwrap();
        file.sync_data().unwrap();
        let mut buf = [9; 10];
        assert_eq!(read_full_at(&*file, &mut buf, 0).unwrap(), 10);
        assert_eq!(&buf, b"\0\0\0\0\0abc\0\0");
        let next = file.next_data(512 << 10).unwrap();
        assert!(next.is_none() || next == Some(512 << 10), "{next:?}");
        file.set_len(6).unwrap();
        assert_eq!(read_full_at(&*file, &mut buf, 4).unwrap(), 2);
        RealDisk.rename(&path, &deep.join("g")).unwrap();
        RealDisk.sync_dir(&deep).unwrap();
        RealDisk.check_writable(&deep).unwrap();
        let listed = RealDisk.list(&deep).unwrap();
        assert_eq!(listed, [DirEntry { name: "g".into(), len: 6, is_dir: false }]);
        RealDisk.remove(&deep.join("g")).unwrap();
        assert!(!RealDisk.exists(&deep.join("g")).unwrap());
    }
}
