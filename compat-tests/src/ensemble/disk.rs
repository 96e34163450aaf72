//! A disk that can be full: a small file system in memory, seen by one member alone.
//!
//! It is mounted in a name space of its own. It is gone, with everything on it, when its [`SmallDisk`] is dropped or the
//! test is killed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::name_space::NameSpace;

/// The mounted file system.
pub struct SmallDisk {
    space: NameSpace,
    at: PathBuf,
}

impl SmallDisk {
    /// A file system of `size_kib` mounted on the folder `at`.
    ///
    /// # Panics
    /// When it cannot be mounted: then this machine cannot run tests with full disks.
    pub fn mount(at: &Path, size_kib: u32) -> SmallDisk {
        let size = size_kib.to_string();
        let args = [size.as_ref(), at.as_os_str()];
        let space =
            NameSpace::with("mount -t tmpfs -o size=\"$1\"k none \"$2\"", args, "no disk can be made full");
        SmallDisk { space, at: at.to_owned() }
    }

    /// `command`, to be run where the file system is seen.
    pub fn inside(&self, command: &Command) -> Command {
        self.space.inside(command)
    }

    /// The path by which everybody else sees a file that lies below the mount.
    pub fn seen_from_outside(&self, path: &Path) -> PathBuf {
        assert!(path.starts_with(&self.at), "{} lies on another disk", path.display());
        let relative = path.strip_prefix("/").expect("an absolute path");
        Path::new(&format!("/proc/{}/root", self.space.process())).join(relative)
    }

    /// Takes all the room that is left; answers how many bytes that was.
    ///
    /// # Panics
    /// When there was none, or for another error than a full disk.
    pub fn fill(&self) -> u64 {
        let path = self.filler();
        let mut file =
            File::create(&path).unwrap_or_else(|e| panic!("cannot create {}: {e}", path.display()));
        let mut taken = 0;
        for size in [64 * 1024, 4096] {
            loop {
                match file.write(&vec![b'F'; size]) {
                    Ok(n) => taken += n as u64,
                    Err(e) if e.kind() == io::ErrorKind::StorageFull => break,
                    Err(e) => panic!("cannot write {}: {e}", path.display()),
                }
            }
        }
        assert!(taken > 0, "the disk was full already");
        taken
    }

    /// Gives back what [`fill`](Self::fill) took.
    pub fn free(&self) {
        let path = self.filler();
        fs::remove_file(&path).unwrap_or_else(|e| panic!("cannot remove {}: {e}", path.display()));
    }

    fn filler(&self) -> PathBuf {
        self.seen_from_outside(&self.at.join("filler"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_disk_refuses_bytes_until_it_is_freed() {
        let dir = tempfile::tempdir().unwrap();
        let disk = SmallDisk::mount(dir.path(), 256);
        let file = disk.seen_from_outside(&dir.path().join("file"));
        fs::write(&file, "x").unwrap();
        assert!(!dir.path().join("file").exists(), "nobody else sees it");
        let script = format!("cat {}", dir.path().join("file").display());
        let seen = disk.inside(Command::new("sh").args(["-c", &script])).output().unwrap();
        assert_eq!(seen.stdout, b"x");
        assert!(disk.fill() > 100_000);
        assert_eq!(fs::write(&file, vec![0; 8192]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.free();
        fs::write(&file, vec![0; 8192]).unwrap();
    }
}
