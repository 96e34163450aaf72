use super::fatal;
use crate::{
    admin::metrics::Summary,
    net::{Shared, ToCore},
    storage::{Disk, SnapshotOptions, SnapshotStream, SnapshotWriter, StorageError, digest_of},
    tree::{SnapshotNode, SnapshotWalk},
    types::SessionId,
};
use parking_lot::Mutex;
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tracing::{error, info};

/// Znodes copied out of the tree under one shared section. A writer waits for at most so many.
const SECTION_NODES_MAX: usize = 256;

/// Bytes copied under one shared section at most, one large znode aside.
const SECTION_BYTES: usize = 256 * 1024;

/// From so many znodes on the next snapshot keeps away for a while when one is done.
const RESTS_FROM_NODES: usize = 100_000;

/// For so many times as long as that one took.
const REST: u32 = 3;

/// How long no snapshot begins after one. Under many writes a large tree would be written without end, at the cost of the
/// writes. The log that a start replays is longer by what is written meanwhile. Upstream begins the next one at once.
fn rest_after(nodes: usize, took: Duration) -> Duration {
    if nodes < RESTS_FROM_NODES { Duration::ZERO } else { took * REST }
}

/// Takes znodes in memory, to be written when nobody holds the tree.
pub(super) trait Gather {
    fn node(&mut self, node: &SnapshotNode<'_>);
    fn pending_bytes(&self) -> usize;
}

impl Gather for SnapshotWriter {
    fn node(&mut self, n: &SnapshotNode<'_>) {
        self.node(n.path, n.data, n.acl_index, &n.stat);
    }

    fn pending_bytes(&self) -> usize {
        self.pending_bytes()
    }
}

impl<W: io::Write> Gather for SnapshotStream<W> {
    fn node(&mut self, n: &SnapshotNode<'_>) {
        self.node(n.path, n.data, n.acl_index, &n.stat);
    }

    fn pending_bytes(&self) -> usize {
        self.pending_bytes()
    }
}

/// Copies some znodes out of the tree under one shared section. Whether there are more.
pub(super) fn copy_section(shared: &Shared, walk: &mut SnapshotWalk, to: &mut impl Gather) -> bool {
    let tree = shared.tree.read();
    let bytes_max = to.pending_bytes() + SECTION_BYTES;
    let (mut left, mut more) = (SECTION_NODES_MAX, true);
    while more && left > 0 && to.pending_bytes() < bytes_max {
        let step = left.min(16);
        left -= step;
        more = walk.next_chunk(&tree, step, &mut |n| to.node(n)).expect("only its owner ends the walk");
    }
    more
}

/// Writes snapshots, one at a time, each on a thread of its own.
#[derive(Debug)]
pub(super) struct Snapshots {
    pub disk: Arc<dyn Disk>,
    pub options: SnapshotOptions,
    under_way: AtomicBool,
    /// Until when none is to begin because it is due.
    rests_until: Mutex<Option<Instant>>,
}

impl Snapshots {
    pub fn new(disk: Arc<dyn Disk>, options: SnapshotOptions) -> Self {
        Self { disk, options, under_way: AtomicBool::new(false), rests_until: Mutex::new(None) }
    }

    /// Whether a snapshot may begin now; then it has.
    pub fn try_begin(&self) -> bool {
        !self.under_way.swap(true, Ordering::AcqRel)
    }

    /// As [`Self::try_begin`], for one that is due only because of the txns since the last.
    pub fn try_begin_due(&self) -> bool {
        let rests = self.rests_until.lock().is_some_and(|until| Instant::now() < until);
        !rests && self.try_begin()
    }

    /// The snapshot that had begun is over. Whoever wants to begin the next one is told by its own ways.
    pub fn end(&self) {
        self.under_way.store(false, Ordering::Release);
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
            if result.is_ok() {
                *me.rests_until.lock() = Some(Instant::now() + rest_after(nodes, start.elapsed()));
            }
            me.end();
            shared.core.put(ToCore::SnapshotFree);
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
        let mut writer = SnapshotWriter::for_walk(self.disk.clone(), &self.options, walk, sessions)?;
        // The disk is waited for without the tree.
        while copy_section(shared, walk, &mut writer) {
            writer.drain()?;
        }
        writer.drain()?;
        let digest = digest_of(&shared.tree.read(), walk);
        writer.finish(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_trees_rest_between_snapshots() {
        let took = Duration::from_millis(400);
        assert_eq!(rest_after(99_999, took), Duration::ZERO);
        assert_eq!(rest_after(100_000, took), Duration::from_millis(1_200));
    }
}
