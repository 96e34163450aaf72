use super::{Base, DigestCheck, OnProgress, Phase, Progress, Sessions};
use crate::storage::snapshot::{SnapshotSink, read_snapshot};
use crate::storage::{Disk, SnapshotFile, StorageError};
use crate::tree::{LoadError, Tree, TreeLoader, TreeOptions};
use crate::types::{AclList, SessionId, StatPersisted};

/// Fills tree and sessions.
struct Sink<'a, 'p> {
    file: &'a SnapshotFile,
    loader: TreeLoader,
    sessions: Sessions,
    bad_acl: Option<LoadError>,
    on_progress: &'a mut OnProgress<'p>,
}

impl SnapshotSink for Sink<'_, '_> {
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
        (self.on_progress)(&Progress {
            phase: Phase::Snapshot,
            path: &self.file.path,
            nodes: self.loader.node_count() as u64,
            txns: 0,
            bytes_done: bytes,
            bytes_total: self.file.len,
        });
    }
}

/// Loads a snapshot. Also returns what is worth a note.
pub(super) fn load(
    disk: &dyn Disk,
    file: &SnapshotFile,
    tree_options: TreeOptions,
    on_progress: &mut OnProgress<'_>,
) -> Result<(Base, Vec<String>), StorageError> {
    let mut sink = Sink {
        file,
        loader: Tree::loader(tree_options),
        sessions: Sessions::new(),
        bad_acl: None,
        on_progress,
    };
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
    let tree = sink.loader.finish(file.zxid);
    let digest = DigestCheck::after_snapshot(&tree, file.zxid, trailer.digest);
    Ok((Base { tree, sessions: sink.sessions, snapshot: Some(file.zxid), digest }, notes))
}
