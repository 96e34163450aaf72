use super::{Base, DigestCheck, OnProgress, Phase, Progress, Sessions};
use crate::storage::snapshot::{SnapshotSink, StreamError, read_snapshot, read_stream};
use crate::storage::{Disk, SnapshotFile, StorageError};
use crate::tree::{LoadError, Tree, TreeLoader, TreeOptions};
use crate::types::{AclList, SessionId, StatPersisted, Zxid};
use std::io::Read;

/// Fills tree and sessions. Told of progress: znodes and bytes so far.
struct Sink<P> {
    loader: TreeLoader,
    sessions: Sessions,
    bad_acl: Option<LoadError>,
    on_progress: P,
}

impl<P: FnMut(u64, u64)> Sink<P> {
    fn new(tree_options: TreeOptions, on_progress: P) -> Self {
        let loader = Tree::loader(tree_options);
        Self { loader, sessions: Sessions::new(), bad_acl: None, on_progress }
    }
}

impl<P: FnMut(u64, u64)> SnapshotSink for Sink<P> {
    fn session(&mut self, session: SessionId, timeout_ms: i32) {
        self.sessions.insert(session, timeout_ms);
    }

    fn acl(&mut self, index: i64, list: AclList) {
        if let Err(e) = self.loader.acl(index, &list) {
            self.bad_acl.get_or_insert(e);
        }
    }

    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> Result<(), String> {
        self.loader.node(path, data, acl, stat).map_err(|e| e.to_string())
    }

    fn progress(&mut self, bytes: u64) {
        (self.on_progress)(self.loader.node_count() as u64, bytes);
    }
}

/// A tree that another server sent.
pub struct StreamedTree {
    /// The tree, as of the zxid that was announced. Where the sender changed it meanwhile, what follows repairs it:
    /// whoever knows up to which txn says so by [`Tree::set_fuzzy_until`].
    pub tree: Tree,
    /// The sessions and their timeouts in ms.
    pub sessions: Vec<(SessionId, i32)>,
    /// What was read from the source and is not the tree's any more.
    pub rest: Vec<u8>,
}

/// Reads the tree that follows a SNAP between servers, of this zxid. `ahead` was read from the source already.
///
/// # Errors
/// When it is no tree, or its source fails or ends.
pub fn read_tree(
    source: impl Read,
    ahead: Vec<u8>,
    zxid: Zxid,
    tree_options: TreeOptions,
) -> Result<StreamedTree, StreamError> {
    let mut sink = Sink::new(tree_options, |_, _| {});
    let rest = read_stream(source, ahead, &mut sink)?;
    if let Some(e) = sink.bad_acl {
        return Err(StreamError::Damaged(e.to_string()));
    }
    let sessions = sink.sessions.into_iter().collect();
    let mut tree = sink.loader.finish(zxid);
    // Up to which txn the stream does not say.
    tree.set_fuzzy_until(Zxid::MAX);
    Ok(StreamedTree { tree, sessions, rest })
}

/// Loads a snapshot. Also returns what is worth a note.
pub(super) fn load(
    disk: &dyn Disk,
    file: &SnapshotFile,
    tree_options: TreeOptions,
    on_progress: &mut OnProgress<'_>,
) -> Result<(Base, Vec<String>), StorageError> {
    let mut sink = Sink::new(tree_options, |nodes, bytes| {
        on_progress(&Progress {
            phase: Phase::Snapshot,
            path: &file.path,
            nodes,
            txns: 0,
            bytes_done: bytes,
            bytes_total: file.len,
        });
    });
    let trailer = read_snapshot(disk, file, &mut sink)?;
    if let Some(e) = sink.bad_acl {
        return Err(StorageError::SnapshotDamaged { path: file.path.clone(), what: e.to_string() });
    }
    let mut notes = Vec::new();
    if trailer.unknown_len > 0 {
        notes.push(format!(
            "{} bytes behind the tree of {} are neither digest nor last zxid and were left alone; the tree itself is \
             sealed and whole",
            trailer.unknown_len,
            file.path.display()
        ));
    }
    let mut tree = sink.loader.finish(file.zxid);
    let digest = DigestCheck::after_snapshot(&mut tree, file.zxid, trailer.digest);
    Ok((Base { tree, sessions: sink.sessions, snapshot: Some(file.zxid), digest }, notes))
}
