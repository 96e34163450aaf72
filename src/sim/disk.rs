//! A disk in memory that forgets, tears, fills up and fails where a test wants it to.
//!
//! Invariants: only what was forced survives [`FakeDisk::crash`] for certain; what was not forced survives whole, in
//! part or not at all, drawn from the seed; names are durable only after their directory was forced. A force that
//! failed loses the dirty bytes for good: forcing again answers Ok and makes nothing durable, as Linux does.
//!
//! Every call that changes something has a number, so that a test can stop the world or fail at each of them:
//! [`FakeDisk::calls`], [`FakeDisk::crash_at`], [`FakeDisk::fail_at`].

use super::rng::Rng;
use crate::storage::{DirEntry, Disk, DiskFile, OpenMode};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// What a crash leaves of everything that was not forced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unforced {
    /// All of it: the process died, the machine did not.
    Kept,
    /// Nothing.
    Dropped,
    /// Any sectors, each as it was after any number of the writes to it, any names, the last write cut at any byte.
    Random(u64),
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No room. A write got half-way. Calls that need no room succeed; those that do go on failing until
    /// [`FakeDisk::make_room`].
    Full,
    /// The device failed, this once.
    Io,
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    SetLen(u64),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    data: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last force that succeeded.
    pending: Vec<Change>,
    /// A force failed: what is pending can become durable only by luck, and by no later force.
    lost: bool,
}

#[derive(Clone, Debug)]
enum Naming {
    Create { path: PathBuf, inode: usize },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
}

impl Naming {
    fn dir(&self) -> &Path {
        let (Naming::Create { path, .. } | Naming::Rename { to: path, .. } | Naming::Remove { path }) = self;
        path.parent().unwrap_or(Path::new(""))
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Naming::Create { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            Naming::Rename { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Naming::Remove { path } => {
                names.remove(path);
            }
        }
    }
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<Naming>,
    dirs: BTreeSet<PathBuf>,
    read_only_dirs: BTreeSet<PathBuf>,
    /// Counts restarts: handles from before a crash are dead.
    life: u64,
    calls: u64,
    crash_at: Option<u64>,
    fail_at: Option<(u64, Failure)>,
    full: bool,
    down: bool,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FakeDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct FakeFile {
    disk: FakeDisk,
    inode: usize,
    life: u64,
    writable: bool,
}

impl FakeDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls so far that changed something, failed ones included.
    pub fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// Stops the world at the call with this number: a write gets half-way, and every call fails from then on
    /// until [`Self::crash`].
    pub fn crash_at(&self, call: u64) {
        self.0.lock().crash_at = Some(call);
    }

    /// Lets the call with this number fail.
    pub fn fail_at(&self, call: u64, failure: Failure) {
        self.0.lock().fail_at = Some((call, failure));
    }

    /// Ends [`Failure::Full`].
    pub fn make_room(&self) {
        self.0.lock().full = false;
    }

    /// Takes back what is planned by [`Self::crash_at`] and [`Self::fail_at`] and did not happen yet; there is room.
    pub fn forget_plans(&self) {
        let mut state = self.0.lock();
        (state.crash_at, state.fail_at, state.full) = (None, None, false);
    }

    /// Whether [`Self::crash_at`] has been reached.
    pub fn is_down(&self) -> bool {
        self.0.lock().down
    }

    /// Lets the machine or the process die and come back. Open files are dead afterwards, planned failures gone.
    pub fn crash(&self, unforced: Unforced) {
        let mut state = self.0.lock();
        let state = &mut *state;
        let mut rng = Rng::new(match unforced {
            Unforced::Random(seed) => seed,
            _ => 0,
        });
        for naming in std::mem::take(&mut state.pending_names) {
            let kept = match unforced {
                Unforced::Kept => true,
                Unforced::Dropped => false,
                Unforced::Random(_) => rng.chance(50),
            };
            if kept {
                naming.apply(&mut state.durable_names);
            }
        }
        state.names = state.durable_names.clone();
        for inode in &mut state.inodes {
            inode.crash(unforced, &mut rng);
        }
        state.life += 1;
        (state.crash_at, state.fail_at, state.full, state.down) = (None, None, false, false);
    }

    /// Puts a file there, forced, with its directory.
    pub fn put(&self, path: impl AsRef<Path>, data: impl Into<Vec<u8>>) {
        let path = path.as_ref();
        let mut state = self.0.lock();
        let data = data.into();
        state.inodes.push(Inode { durable: data.clone(), data, ..Inode::default() });
        let inode = state.inodes.len() - 1;
        state.names.insert(path.to_owned(), inode);
        state.durable_names.insert(path.to_owned(), inode);
        for dir in path.ancestors().skip(1) {
            state.dirs.insert(dir.to_owned());
        }
    }

    /// The present content of a file.
    pub fn get(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.0.lock();
        state.names.get(path.as_ref()).map(|&i| state.inodes[i].data.clone())
    }

    /// Lets [`Disk::check_writable`] refuse a directory.
    pub fn make_read_only(&self, dir: impl AsRef<Path>) {
        self.0.lock().read_only_dirs.insert(dir.as_ref().to_owned());
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }
}

/// What a numbered call may do.
enum Turn {
    Go,
    /// Half of it, then this error.
    Half(io::Error),
    No(io::Error),
}

impl State {
    fn alive(&self, life: u64) -> io::Result<()> {
        if self.down || life != self.life {
            return Err(io::Error::other("the machine is down"));
        }
        Ok(())
    }

    /// Numbers a call that changes something. `needs_room` for those that a full disk refuses.
    fn turn(&mut self, needs_room: bool) -> Turn {
        if self.down {
            return Turn::No(io::Error::other("the machine is down"));
        }
        let call = self.calls;
        self.calls += 1;
        if self.crash_at == Some(call) {
            self.down = true;
            return Turn::Half(io::Error::other("the machine went down"));
        }
        match self.fail_at {
            Some((at, Failure::Io)) if at == call => {
                return Turn::Half(io::Error::from_raw_os_error(libc::EIO));
            }
            Some((at, Failure::Full)) if at == call => self.full = true,
            _ => {}
        }
        if self.full && needs_room {
            return Turn::Half(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        Turn::Go
    }

    fn turn_whole(&mut self, needs_room: bool) -> io::Result<()> {
        match self.turn(needs_room) {
            Turn::Go => Ok(()),
            Turn::Half(e) | Turn::No(e) => Err(e),
        }
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.pending_names.push(naming);
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        apply(&mut self.data, &change);
        self.pending.push(change);
    }

    fn crash(&mut self, unforced: Unforced, rng: &mut Rng) {
        let mut pending = std::mem::take(&mut self.pending);
        self.lost = false;
        match unforced {
            Unforced::Kept => pending.iter().for_each(|c| apply(&mut self.durable, c)),
            Unforced::Dropped => {}
            Unforced::Random(_) => {
                if rng.chance(30)
                    && let Some(Change::Write { bytes, .. }) = pending.last_mut()
                {
                    bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
                }
                apply_part(&mut self.durable, &pending, rng);
            }
        }
        self.data = self.durable.clone();
    }
}

fn apply(data: &mut Vec<u8>, change: &Change) {
    match change {
        Change::SetLen(len) => data.resize(*len as usize, 0),
        Change::Write { at, bytes } => {
            let end = *at as usize + bytes.len();
            if data.len() < end {
                data.resize(end, 0);
            }
            data[*at as usize..end].copy_from_slice(bytes);
        }
    }
}

/// Each sector, and the length, shows what it was after some number of the changes: the system wrote it back then,
/// and not again.
fn apply_part(data: &mut Vec<u8>, pending: &[Change], rng: &mut Rng) {
    let all = pending.len();
    let seen = |rng: &mut Rng| match rng.below(3) {
        0 => 0,
        1 => all,
        _ => rng.below(all as u64 + 1) as usize,
    };
    let cuts_seen = seen(rng);
    let mut sectors: BTreeMap<usize, usize> = BTreeMap::new();
    // Half of the time everything is written back in order, up to a point.
    let in_order = rng.chance(50).then(|| seen(rng));
    for (i, change) in pending.iter().enumerate() {
        let Change::Write { at, bytes } = change else {
            if i < in_order.unwrap_or(cuts_seen) {
                apply(data, change);
            }
            continue;
        };
        let mut from = 0;
        while from < bytes.len() {
            let here = *at as usize + from;
            let to = (from + SECTOR - here % SECTOR).min(bytes.len());
            let changes =
                in_order.unwrap_or_else(|| *sectors.entry(here / SECTOR).or_insert_with(|| seen(rng)));
            if i < changes {
                apply(data, &Change::Write { at: here as u64, bytes: bytes[from..to].to_vec() });
            }
            from = to;
        }
    }
}

impl DiskFile for FakeFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.disk.0.lock();
        state.alive(self.life)?;
        Ok(state.inodes[self.inode].data.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.0.lock();
        state.alive(self.life)?;
        let data = &state.inodes[self.inode].data;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
        let n = buf.len().min(data.len() - from);
        buf[..n].copy_from_slice(&data[from..from + n]);
        Ok(n)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        assert!(self.writable, "written through a handle opened for reading");
        let mut state = self.disk.0.lock();
        state.alive(self.life)?;
        let turn = state.turn(true);
        let inode = &mut state.inodes[self.inode];
        match turn {
            Turn::Go => {
                inode.change(Change::Write { at: offset, bytes: bytes.to_vec() });
                Ok(())
            }
            Turn::Half(e) => {
                inode.change(Change::Write { at: offset, bytes: bytes[..bytes.len() / 2].to_vec() });
                Err(e)
            }
            Turn::No(e) => Err(e),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        assert!(self.writable, "cut through a handle opened for reading");
        let mut state = self.disk.0.lock();
        state.alive(self.life)?;
        state.turn_whole(false)?;
        state.inodes[self.inode].change(Change::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.alive(self.life)?;
        let turn = state.turn_whole(false);
        let inode = &mut state.inodes[self.inode];
        if turn.is_err() {
            inode.lost = true;
        } else if !inode.lost {
            for change in std::mem::take(&mut inode.pending) {
                apply(&mut inode.durable, &change);
            }
        }
        turn
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        let len = self.len()?;
        Ok((offset < len).then_some(offset))
    }
}

impl Disk for FakeDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock();
        let life = state.life;
        state.alive(life)?;
        let found = state.inode(path);
        let inode = match (mode, found) {
            (OpenMode::Read | OpenMode::ReadWrite, found) => found?,
            (OpenMode::CreateNew, Ok(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::Replace, Ok(inode)) => {
                state.turn_whole(false)?;
                state.inodes[inode].change(Change::SetLen(0));
                inode
            }
            (_, Err(_)) => {
                if !state.dirs.contains(path.parent().unwrap_or(Path::new(""))) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                state.turn_whole(true)?;
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.name(Naming::Create { path: path.to_owned(), inode });
                inode
            }
        };
        Ok(Box::new(FakeFile { disk: self.clone(), inode, life, writable: mode != OpenMode::Read }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.0.lock();
        state.alive(state.life)?;
        if !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name = |p: &Path| p.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        let files = state.names.iter().filter(|(p, _)| p.parent() == Some(dir)).map(|(p, &i)| DirEntry {
            name: name(p),
            len: state.inodes[i].data.len() as u64,
            is_dir: false,
        });
        let dirs = state.dirs.iter().filter(|p| p.parent() == Some(dir));
        let dirs = dirs.map(|p| DirEntry { name: name(p), len: 0, is_dir: true });
        let mut all: Vec<_> = files.chain(dirs).collect();
        all.sort();
        Ok(all)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.0.lock();
        state.alive(state.life)?;
        Ok(state.names.contains_key(path) || state.dirs.contains(path))
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.dirs.contains(dir) {
            return state.alive(state.life);
        }
        state.turn_whole(true)?;
        for dir in dir.ancestors() {
            state.dirs.insert(dir.to_owned());
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        assert_eq!(from.parent(), to.parent(), "a rename stays in its directory");
        let mut state = self.0.lock();
        state.alive(state.life)?;
        state.inode(from)?;
        state.turn_whole(true)?;
        state.name(Naming::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.alive(state.life)?;
        state.inode(path)?;
        state.turn_whole(false)?;
        state.name(Naming::Remove { path: path.to_owned() });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.alive(state.life)?;
        state.turn_whole(false)?;
        let state = &mut *state;
        let pending = std::mem::take(&mut state.pending_names);
        let (here, elsewhere): (Vec<_>, Vec<_>) = pending.into_iter().partition(|n| n.dir() == dir);
        for naming in here {
            naming.apply(&mut state.durable_names);
        }
        state.pending_names = elsewhere;
        Ok(())
    }

    fn check_writable(&self, dir: &Path) -> io::Result<()> {
        let state = self.0.lock();
        state.alive(state.life)?;
        if state.read_only_dirs.contains(dir) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if state.dirs.contains(dir) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}
