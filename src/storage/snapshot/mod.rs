//! Snapshots: the whole tree and the sessions in one file.
//!
//! ```text
//! header     magic "ZKSN" u32 │ version 2 u32 │ dbid −1 i64
//! sessions   count i32 │ (session i64 │ timeout in ms i32)*
//! ACLs       count i32 │ (number i64 │ list)*
//! znodes     (path │ data │ ACL number i64 │ stat 60 bytes)*  parent before child, "" is the root │ path "/"
//! seal       Adler-32 of everything before it u64 │ "/"
//! digest     zxid i64 │ version i32 │ digest i64 │ seal            as the writer was set
//! last zxid  zxid i64 │ seal                                       as the writer was set
//! ```
//! The file may be compressed as a whole: `.gz`, or `.snappy` in the framing of xerial's snappy-java.
//!
//! Between servers, behind a SNAP, the same without header, seals and what follows them; it ends in "BenWasHere".
//!
//! Invariants: a file of ours is complete and forced before it gets its name, and is the exact state after the zxid
//! in its name. A file of upstream may hold more than that ("fuzzy"), never less.
//!
//! Upstream counterparts: `FileSnap`, `SnapStream`, `DataTree.serialize`. Start reading at [`read_snapshot`] and
//! [`SnapshotWriter`].

mod read;
mod stream;
mod write;
mod write_stream;
mod xerial;

use crate::tree::{DIGEST_VERSION, SnapshotWalk, Tree};
use crate::types::Zxid;
pub use read::{Digest, SnapshotSink, SnapshotTrailer, StreamError, looks_valid, read_snapshot, read_stream};

pub use write::{SnapshotOptions, SnapshotWriter, remove_leftovers};
pub use write_stream::SnapshotStream;

/// The digest section of the snapshot of a walk; `None` with digests off. Before the first transaction it is empty, as
/// upstream's, and so is that of a fuzzy tree: a file without the section is not read where digests are on.
pub fn digest_of(tree: &Tree, walk: &SnapshotWalk) -> Option<Digest> {
    let (zxid, value) = match walk.zxid() {
        zxid if zxid != Zxid::ZERO && tree.is_exact() => (zxid, walk.digest()),
        _ => (Zxid::ZERO, 0),
    };
    tree.digest_enabled().then_some(Digest { zxid, version: DIGEST_VERSION, value })
}

/// First four bytes of a snapshot: "ZKSN".
const SNAPSHOT_MAGIC: u32 = 0x5a4b_534e;
/// What follows the tree between servers.
const STREAM_END: &str = "BenWasHere";
/// What snapshots have where logs have 0.
const DB_ID: i64 = -1;
