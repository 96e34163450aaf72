//! Long content for learners: the tree, and txns of the log files. Both run on the writer of the learner's link.

use super::snapshot::{Snapshots, copy_section};
use crate::{
    member::Input,
    net::{Shared, ToCore},
    peer::Source,
    storage::{Disk, LogCursor, SnapshotStream},
    tree::SnapshotWalk,
    types::{SessionId, Zxid},
    zab::{LinkId, Packet, write_proposal},
};
use std::{
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
};

/// Bytes of log files that are gathered before they are given to the socket.
const PIECE: usize = 256 << 10;

/// The tree as it was when the walk began. The walk ends with this, sent or not.
pub(super) struct TreeSource {
    pub shared: Arc<Shared>,
    pub snapshots: Arc<Snapshots>,
    pub walk: Option<SnapshotWalk>,
    pub sessions: Vec<(SessionId, i32)>,
    pub link: LinkId,
}

impl Source for TreeSource {
    fn write_to(mut self: Box<Self>, out: &mut dyn Write) -> io::Result<()> {
        let Some(walk) = &mut self.walk else { return Ok(()) };
        let mut stream = SnapshotStream::for_walk(out, walk, &self.sessions)?;
        // The socket is waited for without the tree.
        while copy_section(&self.shared, walk, &mut stream) {
            stream.drain()?;
        }
        stream.finish()?;
        self.shared.core.put(ToCore::Member(Input::SnapshotSent { link: self.link }));
        Ok(())
    }
}

impl Drop for TreeSource {
    fn drop(&mut self) {
        if let Some(walk) = self.walk.take() {
            let remains = self.shared.tree.write().end_snapshot(walk);
            drop(remains);
        }
        self.snapshots.end();
        self.shared.core.put(ToCore::SnapshotFree);
    }
}

/// PROPOSAL and COMMIT of the txns in the log files after one and up to another.
pub(super) struct LogSource {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub after: Zxid,
    pub through: Zxid,
}

impl Source for LogSource {
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> io::Result<()> {
        let mut cursor =
            LogCursor::open(&*self.disk, &self.dir, self.after.next()).map_err(io::Error::other)?;
        let mut buf = Vec::new();
        let mut last = self.after;
        while let Some(record) = cursor.next_record().map_err(io::Error::other)? {
            if record.zxid > self.through {
                break;
            }
            if record.zxid > last.next() && record.zxid.epoch() == last.epoch() {
                let what = format!("the logs have nothing between {last} and {}", record.zxid);
                return Err(io::Error::other(what));
            }
            last = record.zxid;
            write_proposal(&mut buf, record.zxid, record.entry);
            Packet::Commit { zxid: record.zxid }.write(&mut buf);
            if buf.len() >= PIECE {
                out.write_all(&buf)?;
                buf.clear();
            }
        }
        if last != self.through {
            return Err(io::Error::other(format!("the logs end at {last}, before {}", self.through)));
        }
        out.write_all(&buf)
    }
}
