use super::fatal;
use crate::{
    admin::metrics::Summary,
    net::Shared,
    storage::{Digest, Disk, SnapshotOptions, SnapshotWriter, StorageError},
    tree::{DIGEST_VERSION, SnapshotWalk},
    types::{SessionId, StatPersisted},
};
use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tracing::{error, info};

/// Znodes copied out of the tree under one shared section. A writer waits for at most so many.
const SECTION_NODES_MAX: usize = 256;

/// Bytes copied under one shared section at most, one large znode aside.
const SECTION_BYTES: usize = 256 * 1024;

/// Writes snapshots, one at a time, each on a thread of its own.
#[derive(Debug)]
pub(super) struct Snapshots {
    pub disk: Arc<dyn Disk>,
    pub options: SnapshotOptions,
    under_way: AtomicBool,
}

impl Snapshots {
    pub fn new(disk: Arc<dyn Disk>, options: SnapshotOptions) -> Self {
        Self { disk, options, under_way: AtomicBool::new(false) }
    }

    /// Whether a snapshot may begin now; then it has.
    pub fn try_begin(&self) -> bool {
        !self.under_way.swap(true, Ordering::AcqRel)
    }

    pub fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Acquire)
    }

    /// Writes a snapshot that has begun, on a thread of its own. A failure is logged: the logs hold everything, so
    /// nothing is lost, and the next snapshot is tried when it is due.
    pub fn write(self: &Arc<Self>, shared: Arc<Shared>, walk: SnapshotWalk, sessions: Vec<(SessionId, i32)>) {
        let me = self.clone();
        let run = move || {
            let start = Instant::now();
            let (zxid, nodes) = (walk.zxid(), walk.node_count());
            let result = me.write_walk(&shared, walk, &sessions);
            me.under_way.store(false, Ordering::Release);
            match result {
                Ok((path, bytes)) => {
                    let ms = start.elapsed().as_millis() as u64;
                    shared.metrics.shard(shared.workers.len() + 2).record(Summary::SnapshotTime, ms);
                    info!(path = %path.display(), %zxid, nodes, bytes, ms, "snapshot written");
                }
                Err(cause) => error!(
                    "a snapshot could not be written; the logs since the last one stay, and another is tried \
                     when it is due: {cause}"
                ),
            }
        };
        if let Err(cause) = std::thread::Builder::new().name("snapshot".into()).spawn(run) {
            fatal::stop(
                fatal::Exit::Unexpected,
                &format!("a thread for snapshots cannot be started: {cause}"),
            );
        }
    }

    fn write_walk(
        &self,
        shared: &Shared,
        mut walk: SnapshotWalk,
        sessions: &[(SessionId, i32)],
    ) -> Result<(PathBuf, u64), StorageError> {
        let result = self.copy(shared, &mut walk, sessions);
        let remains = shared.tree.write().end_snapshot(walk);
        drop(remains);
        result
    }

    fn copy(
        &self,
        shared: &Shared,
        walk: &mut SnapshotWalk,
        sessions: &[(SessionId, i32)],
    ) -> Result<(PathBuf, u64), StorageError> {
        let acls = walk.acl_table().iter().map(|(index, list)| (*index, list));
        let mut writer =
            SnapshotWriter::create(self.disk.clone(), &self.options, walk.zxid(), sessions, acls)?;
        let mut chunk = Chunk::default();
        let mut more = true;
        while more {
            chunk.clear();
            {
                let tree = shared.tree.read();
                let mut left = SECTION_NODES_MAX;
                while more && left > 0 && chunk.bytes.len() < SECTION_BYTES {
                    let step = left.min(16);
                    left -= step;
                    more = walk
                        .next_chunk(&tree, step, &mut |n| chunk.add(n.path, n.data, n.acl_index, &n.stat))
                        .expect("only this thread ends the snapshot");
                }
            }
            // The disk is waited for without the tree.
            for (path, data, acl, stat) in chunk.nodes() {
                writer.node(path, data, acl, stat)?;
            }
        }
        let digest = shared.config.storage.digest_enabled.then(|| Digest {
            zxid: walk.zxid(),
            version: DIGEST_VERSION,
            value: walk.digest(),
        });
        writer.finish(digest)
    }
}

/// Znodes on their way from the tree to the file.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    nodes: Vec<Copied>,
}

/// A znode whose path and data lie in the bytes of its chunk.
struct Copied {
    path: Range<usize>,
    data: Option<Range<usize>>,
    acl: i64,
    stat: StatPersisted,
}

impl Chunk {
    fn clear(&mut self) {
        self.bytes.clear();
        self.nodes.clear();
    }

    fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn add(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: &StatPersisted) {
        let path = self.put(path.as_bytes());
        let data = data.map(|d| self.put(d));
        self.nodes.push(Copied { path, data, acl, stat: stat.clone() });
    }

    fn nodes(&self) -> impl Iterator<Item = (&str, Option<&[u8]>, i64, &StatPersisted)> {
        self.nodes.iter().map(|n| {
            let path = std::str::from_utf8(&self.bytes[n.path.clone()]).expect("copied from text");
            (path, n.data.clone().map(|d| &self.bytes[d]), n.acl, &n.stat)
        })
    }
}
