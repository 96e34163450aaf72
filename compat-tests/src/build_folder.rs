//! The folder where everything fetched or built by the suites lands: `<cargo target>/compat`.
//!
//! Invariants: an entry is either complete, with a stamp naming the versions it was made from, or it is
//! made again; two test processes never make the same entry at once (a file lock guards each entry).
//! Nothing is fetched again while the stamp matches, so a second run needs no network.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// The workspace of this checkout.
pub fn workspace_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("compat-tests lies inside the workspace").to_owned()
}

/// This crate's own folder, where the sources of the foreign clients lie.
pub fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Cargo's target directory, found from the running test's own path (so any `CARGO_TARGET_DIR` or
/// `--target-dir` is honoured): the nearest folder above it that carries cargo's cache tag.
pub fn target_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("the running test has a path");
    exe.ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").is_file())
        .unwrap_or_else(|| panic!("no cargo target directory above {}", exe.display()))
        .to_owned()
}

/// The build folder itself, created when missing.
pub fn root() -> PathBuf {
    let dir = target_dir().join("compat");
    fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot create {}: {e}", dir.display()));
    dir
}

/// An exclusive lock between test processes and threads, released on drop.
pub struct Lock {
    _file: File,
}

/// Waits for the lock called `name`.
pub fn lock(name: &str) -> Lock {
    let file = open_lock_file(name);
    flock(&file, FlockOperation::LockExclusive).unwrap_or_else(|e| panic!("cannot lock {name}: {e}"));
    Lock { _file: file }
}

/// The lock called `name` if nobody holds it now.
pub fn try_lock(name: &str) -> Option<Lock> {
    let file = open_lock_file(name);
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok().map(|()| Lock { _file: file })
}

/// Waits for one of the `places` called `name`: so many may be held at once.
pub fn place(name: &str, places: usize) -> Lock {
    loop {
        if let Some(free) = (0..places).find_map(|n| try_lock(&format!("{name}-{n}"))) {
            return free;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn open_lock_file(name: &str) -> File {
    let dir = root().join("locks");
    fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot create {}: {e}", dir.display()));
    let path = dir.join(name);
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .unwrap_or_else(|e| panic!("cannot open lock file {}: {e}", path.display()))
}

/// The folder of entry `name`, made by `make` unless an earlier run left it complete with the same `key`.
///
/// `key` names everything the entry depends on (versions, the text of its sources): when it changes, the
/// entry is emptied and made again. `make` gets the empty folder; if it panics, no stamp is written and
/// the next run starts over.
pub fn entry(name: &str, key: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let dir = root().join(name);
    let stamp = root().join(format!("{name}.stamp"));
    let _lock = lock(&format!("entry-{name}"));
    if dir.is_dir() && fs::read_to_string(&stamp).is_ok_and(|found| found == key) {
        return dir;
    }
    // The stamp goes first: an interrupted making must never leave an old stamp on new content.
    remove_if_present(&stamp, fs::remove_file(&stamp));
    remove_if_present(&dir, fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot create {}: {e}", dir.display()));
    make(&dir);
    fs::write(&stamp, key).unwrap_or_else(|e| panic!("cannot write {}: {e}", stamp.display()));
    dir
}

fn remove_if_present(path: &Path, outcome: std::io::Result<()>) {
    match outcome {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => panic!("cannot remove {}: {e}", path.display()),
    }
}

/// The text of every file under the given paths (relative to this crate), for use as part of a `key`.
pub fn sources_key(paths: &[&str]) -> String {
    let mut key = String::new();
    for path in paths {
        append_sources(&crate_dir().join(path), &mut key);
    }
    key
}

fn append_sources(path: &Path, key: &mut String) {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path)
            .unwrap_or_else(|e| panic!("cannot list {}: {e}", path.display()))
            .map(|entry| entry.expect("a directory entry can be read").path())
            .collect();
        entries.sort();
        entries.iter().for_each(|entry| append_sources(entry, key));
    } else {
        let text = fs::read(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
        key.push_str(&format!("== {}\n", path.display()));
        key.push_str(&String::from_utf8_lossy(&text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_made_once_and_again_when_its_key_changes() {
        let mut made = 0;
        let name = format!("entry-test-{}", std::process::id());
        for key in ["one", "one", "two"] {
            let dir = entry(&name, key, |dir| {
                made += 1;
                assert_eq!(fs::read_dir(dir).unwrap().count(), 0, "the folder is handed over empty");
                fs::write(dir.join("file"), key).unwrap();
            });
            assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), key);
        }
        assert_eq!(made, 2);
        fs::remove_dir_all(root().join(&name)).unwrap();
        fs::remove_file(root().join(format!("{name}.stamp"))).unwrap();
    }

    #[test]
    fn a_held_lock_is_refused_to_others_until_released() {
        let name = format!("lock-test-{}", std::process::id());
        let held = lock(&name);
        assert!(try_lock(&name).is_none());
        drop(held);
        assert!(try_lock(&name).is_some());
    }

    #[test]
    fn as_many_places_are_held_at_once_as_there_are() {
        let name = format!("place-test-{}", std::process::id());
        let held = [place(&name, 2), place(&name, 2)];
        let waiting = thread::spawn({
            let name = name.clone();
            move || drop(place(&name, 2))
        });
        assert!((0..2).all(|n| try_lock(&format!("{name}-{n}")).is_none()));
        assert!(!waiting.is_finished());
        drop(held);
        waiting.join().expect("a place is free");
    }
}
