//! A disk that can be full: a small file system in memory, seen by one member alone.
//!
//! It is mounted in a name space of its own, for which a user needs no privileges where the kernel allows user
//! name spaces. It is gone, with everything on it, when its [`SmallDisk`] is dropped or the test is killed.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The mounted file system, held by a process that does nothing else.
pub struct SmallDisk {
    holder: Child,
    at: PathBuf,
}

impl SmallDisk {
    /// A file system of `size_kib` mounted on the folder `at`.
    ///
    /// # Panics
    /// When it cannot be mounted: then this machine cannot run tests with full disks.
    pub fn mount(at: &Path, size_kib: u32) -> SmallDisk {
        let script = "mount -t tmpfs -o size=\"$1\"k none \"$2\" && echo mounted && read -r _";
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", &size_kib.to_string()])
            .arg(at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start unshare (package util-linux): {e}"));
        let mut line = String::new();
        let said = BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line);
        if said.is_err() || line != "mounted\n" {
            let _ = holder.kill();
            let _ = holder.wait();
            panic!(
                "no file system can be mounted in a user name space (see the message of unshare or mount above; \
                 in a container, allow user name spaces or run it privileged), so no disk can be made full"
            );
        }
        SmallDisk { holder, at: at.to_owned() }
    }

    /// `command`, to be run where the file system is seen.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.args([
            "--preserve-credentials",
            "--user",
            "--mount",
            "--target",
            &self.holder.id().to_string(),
        ]);
        inside.arg("--").arg(command.get_program()).args(command.get_args());
        inside
    }

    /// The path by which everybody else sees a file that lies below the mount.
    pub fn seen_from_outside(&self, path: &Path) -> PathBuf {
        assert!(path.starts_with(&self.at), "{} lies on another disk", path.display());
        let relative = path.strip_prefix("/").expect("an absolute path");
        Path::new(&format!("/proc/{}/root", self.holder.id())).join(relative)
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

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
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
