//! From a data directory to the state it holds.
//!
//! ```text
//! check directories → newest usable snapshot S → replay txns > S → check digests → mend torn end of the log
//!                     └ none: empty start, or full replay if allowed
//! ```
//!
//! Invariants: what comes out is the state after the last forced transaction, or an error that says what is in the
//! way; nothing is dropped silently, every oddity met is a note; nothing is changed on disk before the state is
//! known, and then only what holds no transaction.
//!
//! Upstream counterparts: `FileTxnSnapLog.restore`, `ZKDatabase.loadDataBase`. Deviations, each on the side of what
//! was acknowledged: snapshots are read whatever the digest and last-zxid settings; a snapshot with missing ACL numbers
//! is used when the log tells the lists, else an older one; TTL znodes survive a start without
//! `extendedTypesEnabled`; a wrong checksum at the very end of the log is a torn write; damage that upstream passes
//! over silently (a bad end mark or length with good records behind it, lost transactions behind a damaged snapshot)
//! stops the start.
//!
//! Start reading at [`recover`].

mod digests;
mod dirs;
mod load;
mod replay;
#[cfg(test)]
mod tests;

use super::error::damaged_list;
use super::names::{TORN_PREFIX, list_logs, list_snapshots, snapshot_name};
use super::snapshot::{digest_of, looks_valid, remove_leftovers};
use super::{Disk, OpenMode, SnapshotFile, SnapshotWriter, StorageError, StorageOptions, TornTail, log};
use crate::tree::{SnapshotNode, Tree, TreeOptions};
use crate::types::{OwnerRules, SessionId, Zxid};
use digests::DigestCheck;
pub use load::{StreamedTree, read_tree};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Sessions and their timeouts in ms.
type Sessions = BTreeMap<SessionId, i32>;

/// The state of a data directory.
pub struct Recovered {
    /// The znodes, after [`Self::last_zxid`]. Its owner rules may be wider than asked for, see the notes.
    pub tree: Tree,
    /// The sessions that were open, by number, with their timeouts in ms.
    pub sessions: Vec<(SessionId, i32)>,
    /// Sessions that own ephemerals but are not open: upstream ends them right after a start.
    pub orphans: Vec<SessionId>,
    /// The last transaction. −1 when there is no data and the server may not take that for the truth
    /// (`db.autocreate=false`): such a member must not vote with it.
    pub last_zxid: Zxid,
    /// The snapshot that was loaded; `None` after an empty start or a replay from nothing.
    pub snapshot: Option<Zxid>,
    /// Transactions replayed behind it. When there are any, a new snapshot makes the next start faster; upstream takes
    /// it before it serves, this server beside serving.
    pub replayed: u64,
    /// Transactions after which the digest of the tree was not the one written with them.
    pub digest_mismatches: u64,
    /// What was seen and may interest the operator: sentences.
    pub notes: Vec<String>,
}

impl std::fmt::Debug for Recovered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recovered")
            .field("last_zxid", &self.last_zxid)
            .field("nodes", &self.tree.node_count())
            .field("sessions", &self.sessions.len())
            .field("snapshot", &self.snapshot)
            .field("replayed", &self.replayed)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

/// What recovery is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading a snapshot.
    Snapshot,
    /// Replaying transactions.
    Replay,
}

/// How far recovery is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// What it is doing.
    pub phase: Phase,
    /// The file or, in a replay, the directory.
    pub path: &'a Path,
    /// Znodes in the tree.
    pub nodes: u64,
    /// Transactions replayed.
    pub txns: u64,
    /// Bytes read in this phase,
    pub bytes_done: u64,
    /// of so many. Preallocated zeros at the end of logs count, so a replay may end early.
    pub bytes_total: u64,
}

/// Receives progress, several hundred times a second at most.
pub type OnProgress<'a> = dyn FnMut(&Progress<'_>) + 'a;

/// Where a replay begins.
struct Base {
    tree: Tree,
    sessions: Sessions,
    /// `None` for an empty tree.
    snapshot: Option<Zxid>,
    digest: DigestCheck,
}

/// Restores the state that the data directory holds, and leaves the directory ready for a [`super::LogWriter`].
///
/// An empty directory becomes one with an empty snapshot, as upstream's. A torn end of the log is cut off; the bytes
/// are kept in a file `torn.<log>.<offset>` beside it where there is room.
///
/// # Errors
/// Whatever stands between the files and a state that can be trusted. Every message says what to do.
pub fn recover(
    disk: &Arc<dyn Disk>,
    options: &StorageOptions,
    tree_options: TreeOptions,
    on_progress: &mut OnProgress<'_>,
) -> Result<Recovered, StorageError> {
    Recovery { disk, options, tree_options, on_progress, notes: Vec::new(), damaged: Vec::new() }.run()
}

/// The state that the data directory had after `until`, which must be in it. Nothing is changed on disk.
///
/// # Errors
/// As [`recover`], and when the files do not reach back to `until` or know no such transaction.
pub(super) fn load_until(
    disk: &Arc<dyn Disk>,
    options: &StorageOptions,
    tree_options: TreeOptions,
    until: Zxid,
    on_progress: &mut OnProgress<'_>,
) -> Result<Recovered, StorageError> {
    Recovery { disk, options, tree_options, on_progress, notes: Vec::new(), damaged: Vec::new() }.until(until)
}

/// What came of a replay.
struct Outcome {
    recovered: Recovered,
    torn: Vec<TornTail>,
    /// Every transaction from the very first on was in the log.
    from_the_first: bool,
    /// Places where transactions are missing or out of order.
    gaps: u64,
}

struct Recovery<'a, 'p> {
    disk: &'a Arc<dyn Disk>,
    options: &'a StorageOptions,
    tree_options: TreeOptions,
    on_progress: &'a mut OnProgress<'p>,
    notes: Vec<String>,
    /// Snapshots that cannot be used, with the reasons.
    damaged: Vec<(Zxid, String)>,
}

impl Recovery<'_, '_> {
    fn run(mut self) -> Result<Recovered, StorageError> {
        dirs::check(&**self.disk, self.options)?;
        let mut leftovers = remove_leftovers(&**self.disk, &self.options.snap_dir())?;
        leftovers.extend(log::remove_leftovers(&**self.disk, &self.options.log_dir())?);
        if !leftovers.is_empty() {
            self.note(format!("removed {}: left by a crash while it was written", leftovers.join(", ")));
        }
        let marked = dirs::take_initialize_marker(&**self.disk, self.options)?;
        for file in list_snapshots(&**self.disk, &self.options.snap_dir())? {
            let Some(base) = self.try_snapshot(&file)? else { continue };
            self.check_coverage(file.zxid)?;
            let Outcome { recovered, torn, .. } = self.replay(base, None)?;
            let unknown = recovered.tree.unknown_acls();
            if unknown.is_empty() {
                self.check_reach(recovered.last_zxid)?;
                return self.finish(recovered, &torn);
            }
            self.unusable(&file, format!("it misses the ACLs of numbers {unknown:?} and the log has none"));
        }
        self.without_snapshot(marked)
    }

    fn until(mut self, until: Zxid) -> Result<Recovered, StorageError> {
        let cannot =
            |what: String| StorageError::CannotTruncate { dir: self.options.log_dir(), zxid: until, what };
        for file in list_snapshots(&**self.disk, &self.options.snap_dir())? {
            if file.zxid > until {
                continue;
            }
            let Some(base) = self.try_snapshot(&file)? else { continue };
            self.check_coverage(file.zxid)?;
            let Outcome { mut recovered, gaps, .. } = self.replay(base, Some(until))?;
            if !recovered.tree.unknown_acls().is_empty() {
                self.unusable(&file, "it misses ACLs and the log has none".into());
                continue;
            }
            self.check_reach(recovered.last_zxid)?;
            if gaps > 0 {
                return Err(cannot(format!("transactions between {} and it are missing", file.zxid)));
            }
            // A new epoch's number is that of no transaction.
            if recovered.last_zxid != until && until.counter() != 0 {
                let last = recovered.last_zxid;
                return Err(cannot(format!("there is no such transaction; the one before is {last}")));
            }
            self.settle(&mut recovered);
            recovered.notes = self.notes;
            return Ok(recovered);
        }
        Err(cannot(format!("no usable snapshot is as old{}", damaged_list(&self.damaged_texts()))))
    }

    fn note(&mut self, note: String) {
        tracing::warn!("{note}");
        self.notes.push(note);
    }

    fn unusable(&mut self, file: &SnapshotFile, what: String) {
        let what = format!("{}: {what}", file.path.display());
        self.note(format!("passed over a snapshot: {what}"));
        self.damaged.push((file.zxid, what));
    }

    /// Loads a snapshot, or notes why not.
    fn try_snapshot(&mut self, file: &SnapshotFile) -> Result<Option<Base>, StorageError> {
        if !looks_valid(&**self.disk, file)? {
            self.unusable(file, "it is cut short or no snapshot".into());
            return Ok(None);
        }
        match load::load(&**self.disk, file, self.tree_options, self.on_progress) {
            Ok((base, notes)) => {
                for note in notes {
                    self.note(note);
                }
                Ok(Some(base))
            }
            Err(StorageError::SnapshotDamaged { what, .. }) => {
                self.unusable(file, what);
                Ok(None)
            }
            // A sector that cannot be read is damage; a lack of rights or files is the operator's to mend.
            Err(StorageError::Io { source, .. }) if source.raw_os_error() == Some(libc::EIO) => {
                self.unusable(file, source.to_string());
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// When newer snapshots were passed over, the log must reach back to this one.
    fn check_coverage(&self, snapshot: Zxid) -> Result<(), StorageError> {
        if self.damaged.is_empty() {
            return Ok(());
        }
        let logs = list_logs(&**self.disk, &self.options.log_dir())?;
        match logs.first() {
            Some(first) if first.zxid <= snapshot.next() => Ok(()),
            first => Err(self.lost(snapshot, first.map(|f| f.zxid))),
        }
    }

    /// The log must also reach up to the newest of them.
    fn check_reach(&self, last: Zxid) -> Result<(), StorageError> {
        match self.damaged.iter().map(|d| d.0).max() {
            Some(newest) if newest > last => Err(self.lost(last, Some(newest))),
            _ => Ok(()),
        }
    }

    fn lost(&self, snapshot: Zxid, first: Option<Zxid>) -> StorageError {
        let newest = self.damaged.iter().map(|d| d.0).max().unwrap_or_default();
        StorageError::LostBetween { snapshot, first: first.unwrap_or(newest), damaged: self.damaged_texts() }
    }

    fn damaged_texts(&self) -> Vec<String> {
        self.damaged.iter().map(|d| d.1.clone()).collect()
    }

    fn replay(&mut self, base: Base, until: Option<Zxid>) -> Result<Outcome, StorageError> {
        let snapshot = base.snapshot;
        let done = replay::replay(&**self.disk, &self.options.log_dir(), base, until, self.on_progress)?;
        for note in done.notes {
            self.note(note);
        }
        let recovered = Recovered {
            tree: done.tree,
            sessions: done.sessions.into_iter().collect(),
            orphans: Vec::new(),
            last_zxid: done.last_zxid,
            snapshot,
            replayed: done.replayed,
            digest_mismatches: done.digest_mismatches,
            notes: Vec::new(),
        };
        let from_the_first = done.first_zxid == Some(Zxid(1)) && done.gaps == 0;
        Ok(Outcome { recovered, torn: done.torn, from_the_first, gaps: done.gaps })
    }

    fn without_snapshot(mut self, marked: bool) -> Result<Recovered, StorageError> {
        let base = Base {
            tree: Tree::new(self.tree_options),
            sessions: Sessions::new(),
            snapshot: None,
            digest: DigestCheck::exact_from_start(),
        };
        let Outcome { mut recovered, torn, from_the_first, .. } = self.replay(base, None)?;
        let snap_dir = self.options.snap_dir();
        if recovered.replayed > 0 {
            // The snapshot of zxid 0 is of an empty tree. The Java server does not force it, so a power failure soon
            // after its first start leaves it damaged; the log alone is then the whole truth.
            let began_here = from_the_first && self.damaged.iter().any(|d| d.0 == Zxid::ZERO);
            if !began_here && !self.options.trust_empty_snapshot {
                return Err(StorageError::NoSnapshot {
                    log_dir: self.options.log_dir(),
                    snap_dir,
                    last: recovered.last_zxid,
                    damaged: self.damaged_texts(),
                });
            }
            self.check_reach(recovered.last_zxid)?;
            let count = recovered.replayed;
            self.note(if began_here {
                format!("no snapshot is usable; the {count} transactions in the log are complete from the first on")
            } else {
                format!(
                    "replayed {count} transactions without a snapshot, as snapshot.trust.empty allows: switch it off \
                     once a snapshot has been taken"
                )
            });
            return self.finish(recovered, &torn);
        }
        // The very first snapshot is of an empty tree: its loss is none.
        if self.damaged.iter().any(|d| d.0 > Zxid::ZERO) {
            return Err(StorageError::NoValidSnapshot { snap_dir, damaged: self.damaged_texts() });
        }
        if !marked && !self.options.create_empty_db {
            recovered.last_zxid = Zxid(-1);
            recovered.tree.set_last_zxid(Zxid(-1));
            self.note(
                "there is no data and db.autocreate is false: this server waits for a leader's data; a file named \
                 \"initialize\" in the data directory allows it to begin empty"
                    .into(),
            );
            return self.finish(recovered, &torn);
        }
        save_now(self.disk, self.options, &mut recovered.tree, &[])?;
        self.finish(recovered, &torn)
    }

    fn finish(mut self, mut recovered: Recovered, torn: &[TornTail]) -> Result<Recovered, StorageError> {
        self.settle(&mut recovered);
        for tail in torn.iter().filter(|t| t.offset == 0) {
            self.mend(tail)?;
        }
        // An older file's torn end was passed over when its successor was begun, and is so again.
        let newest = list_logs(&**self.disk, &self.options.log_dir())?.pop();
        for tail in torn.iter().filter(|t| t.offset > 0) {
            if newest.as_ref().is_some_and(|f| f.path == tail.path) {
                self.mend(tail)?;
            }
        }
        recovered.notes = self.notes;
        Ok(recovered)
    }

    /// What can be told of owners once everything is replayed.
    fn settle(&mut self, recovered: &mut Recovered) {
        self.read_owners_as_written(recovered);
        let open = |s: &SessionId| recovered.sessions.binary_search_by_key(s, |e| e.0).is_ok();
        recovered.orphans = recovered.tree.ephemeral_sessions().filter(|s| !open(s)).collect();
        if !recovered.tree.owner_rules().extended_types {
            recovered.orphans.retain(|s| !looks_like_ttl(*s));
        }
    }

    /// TTL znodes of a server with `extendedTypesEnabled` would be ephemerals of sessions that never were, and die,
    /// on one without it.
    fn read_owners_as_written(&mut self, recovered: &mut Recovered) {
        let rules = recovered.tree.owner_rules();
        if rules.extended_types {
            return;
        }
        let sessions = &recovered.sessions;
        let open = |s: &SessionId| sessions.binary_search_by_key(s, |e| e.0).is_ok();
        let ttls = recovered.tree.ephemeral_sessions().filter(|s| looks_like_ttl(*s) && !open(s)).count();
        if ttls == 0 {
            return;
        }
        if sessions.iter().any(|s| looks_like_ttl(s.0)) {
            self.note(
                "some znodes are TTL znodes or ephemerals of sessions that are gone, which cannot be told apart on \
                 a server with the number 255: they stay"
                    .into(),
            );
            return;
        }
        recovered.tree.set_owner_rules(OwnerRules { extended_types: true, ..rules });
        self.note(
            "the data holds TTL znodes although extendedTypesEnabled is false: they are served as TTL znodes (the Java \
             server would delete them); set extendedTypesEnabled=true"
                .into(),
        );
    }

    /// Cuts the torn end off a log, durably, before anything is written behind it.
    fn mend(&mut self, tail: &TornTail) -> Result<(), StorageError> {
        let (disk, path) = (&**self.disk, &tail.path);
        let dir = path.parent().unwrap_or(Path::new(""));
        let io = |what| StorageError::io(what, path);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if tail.offset == 0 {
            // Nothing was ever in it, and the Java server does not start over a log without a header.
            disk.remove(path).map_err(io("remove"))?;
            disk.sync_dir(dir).map_err(StorageError::io("force", dir))?;
            self.note(format!("removed {}: {}", path.display(), tail.what));
            return Ok(());
        }
        let copy = dir.join(format!("{TORN_PREFIX}{name}.{}", tail.offset));
        let kept = match copy_tail(disk, tail, &copy) {
            Ok(()) => format!("; the cut bytes are kept in {}", copy.display()),
            Err(_) => {
                let _ = disk.remove(&copy);
                String::new()
            }
        };
        let file = disk.open(path, OpenMode::ReadWrite).map_err(io("open"))?;
        file.set_len(tail.offset).map_err(io("cut"))?;
        file.sync_all().map_err(io("force"))?;
        self.note(format!(
            "cut {} at byte {}, where a write of {} bytes was torn by a crash ({}){kept}",
            path.display(),
            tail.offset,
            tail.len,
            tail.what
        ));
        Ok(())
    }
}

fn copy_tail(disk: &dyn Disk, tail: &TornTail, to: &Path) -> std::io::Result<()> {
    let from = disk.open(&tail.path, OpenMode::Read)?;
    let copy = disk.open(to, OpenMode::Replace)?;
    let mut bytes = vec![0; 64 << 10];
    let mut done = 0;
    while done < tail.len {
        let want = bytes.len().min(usize::try_from(tail.len - done).unwrap_or(usize::MAX));
        match from.read_at(&mut bytes[..want], tail.offset + done)? {
            0 => break,
            n => {
                copy.write_all_at(&bytes[..n], done)?;
                done += n as u64;
            }
        }
    }
    copy.sync_all()
}

fn looks_like_ttl(session: SessionId) -> bool {
    session.0 as u64 >> 56 == 0xff
}

/// Takes a snapshot of a tree that nobody else uses, at once. Returns its name.
///
/// # Errors
/// Any failure of the disk.
pub fn save_now(
    disk: &Arc<dyn Disk>,
    options: &StorageOptions,
    tree: &mut Tree,
    sessions: &[(SessionId, i32)],
) -> Result<String, StorageError> {
    tree.cancel_snapshot();
    let mut walk = tree.begin_snapshot().expect("the one before was just cancelled");
    let name = snapshot_name(walk.zxid(), options.compression);
    let digest = digest_of(tree, &walk);
    let written = (|| {
        let mut writer = SnapshotWriter::for_walk(disk.clone(), &options.snapshot(), &walk, sessions)?;
        let mut more = true;
        while more {
            let mut add = |n: &SnapshotNode<'_>| writer.node(n.path, n.data, n.acl_index, &n.stat);
            more = walk.next_chunk(tree, 4096, &mut add).expect("the walk is this tree's");
            writer.drain()?;
        }
        writer.finish(digest)
    })();
    tree.end_snapshot(walk);
    written.map(|_| name)
}
