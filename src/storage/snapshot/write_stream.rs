use super::STREAM_END;
use super::write::{CHUNK, NODES_END, encode_node, encode_start};
use crate::tree::SnapshotWalk;
use crate::types::{AclList, SessionId, StatPersisted};
use quoll_jute::Writer;
use std::io;

/// Writes the tree that follows a SNAP between servers: as [`super::SnapshotWriter`], but to anything that takes bytes,
/// and without what only a file has.
///
/// Upstream counterpart: `ZKDatabase.serializeSnapshot` and the signature that `LearnerHandler` puts behind it.
pub struct SnapshotStream<W> {
    out: W,
    buf: Vec<u8>,
}

impl<W: io::Write> SnapshotStream<W> {
    /// Begins the stream of a tree's walk.
    ///
    /// # Errors
    /// Any failure of `out`.
    pub fn for_walk(out: W, walk: &SnapshotWalk, sessions: &[(SessionId, i32)]) -> io::Result<Self> {
        let acls = walk.acl_table().iter().map(|(index, list)| (*index, list));
        Self::create(out, sessions, acls)
    }

    /// Begins the stream of these sessions and ACLs.
    ///
    /// # Errors
    /// Any failure of `out`.
    pub fn create<'a>(
        out: W,
        sessions: &[(SessionId, i32)],
        acls: impl ExactSizeIterator<Item = (i64, &'a AclList)>,
    ) -> io::Result<Self> {
        let mut this = Self { out, buf: Vec::with_capacity(CHUNK * 2) };
        encode_start(&mut Writer::new(&mut this.buf), sessions, acls);
        this.drain()?;
        Ok(this)
    }

    /// Adds a znode, in memory only: this may be called under a lock, and [`Self::drain`] outside of it. Parents come
    /// before their children; the path of the root is "".
    pub fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: &StatPersisted) {
        encode_node(&mut Writer::new(&mut self.buf), path, data, acl, stat);
    }

    /// Bytes added and not handed on yet.
    pub fn pending_bytes(&self) -> usize {
        self.buf.len()
    }

    /// Hands on what was added, if it is worth while.
    ///
    /// # Errors
    /// Any failure of `out`; the stream cannot be finished then.
    pub fn drain(&mut self) -> io::Result<()> {
        if self.buf.len() >= CHUNK { self.pass_on() } else { Ok(()) }
    }

    /// Completes the stream.
    ///
    /// # Errors
    /// Any failure of `out`.
    pub fn finish(mut self) -> io::Result<()> {
        let w = &mut Writer::new(&mut self.buf);
        w.text(Some(NODES_END));
        w.text(Some(STREAM_END));
        self.pass_on()?;
        self.out.flush()
    }

    fn pass_on(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buf)?;
        self.buf.clear();
        Ok(())
    }
}
