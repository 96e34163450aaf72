//! The digest of the tree: a number that is the same on every server with the same znodes.
//!
//! ```text
//! znode  CRC32(path ++ data ++ czxid mzxid pzxid ctime mtime version cversion aversion ephemeralOwner)
//! tree   wrapping 64-bit sum over the znodes; nothing below /zookeeper counts, /zookeeper itself does
//! ```
//!
//! Upstream counterpart: `server.DigestCalculator` (version 2), `AdHash`.

use crate::types::{StatPersisted, Zxid};
use std::collections::VecDeque;

/// The version of the calculation that logs and snapshots name.
pub const DIGEST_VERSION: i32 = 2;

/// An entry in the log of digests is made for each zxid that this divides.
const LOG_INTERVAL: i64 = 128;
const LOG_LEN_MAX: usize = 1024;

const STAT_LEN: usize = 60;
/// Inputs up to this long are put together first: one pass over one buffer is faster than three short ones.
const JOINED_LEN_MAX: usize = 1024;

/// The digest of one znode; 0 below `/zookeeper`. `/` is the same as "".
pub fn node_digest(path: &str, data: Option<&[u8]>, stat: &StatPersisted) -> u32 {
    if path.starts_with("/zookeeper/") {
        return 0;
    }
    let path = if path == "/" { "" } else { path };
    let data = data.unwrap_or_default();
    let stat = stat_bytes(stat);
    let parts = [path.as_bytes(), data, &stat];
    let len = path.len() + data.len() + STAT_LEN;
    if len <= JOINED_LEN_MAX {
        let mut joined = [0; JOINED_LEN_MAX];
        let mut at = 0;
        for part in parts {
            joined[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        crc32fast::hash(&joined[..len])
    } else {
        let mut crc = crc32fast::Hasher::new();
        for part in parts {
            crc.update(part);
        }
        crc.finalize()
    }
}

/// The order is not that of files: pzxid comes third.
fn stat_bytes(stat: &StatPersisted) -> [u8; STAT_LEN] {
    let mut out = [0; STAT_LEN];
    let longs = [stat.czxid, stat.mzxid, stat.pzxid, stat.ctime, stat.mtime];
    for (at, long) in longs.into_iter().enumerate() {
        out[at * 8..at * 8 + 8].copy_from_slice(&long.to_be_bytes());
    }
    for (at, int) in [stat.version, stat.cversion, stat.aversion].into_iter().enumerate() {
        out[40 + at * 4..44 + at * 4].copy_from_slice(&int.to_be_bytes());
    }
    out[52..].copy_from_slice(&stat.ephemeral_owner.to_be_bytes());
    out
}

/// The digests after every 128th zxid, the latest 1,024 of them.
#[derive(Default)]
pub(super) struct DigestLog {
    entries: VecDeque<(Zxid, i64)>,
}

impl DigestLog {
    pub fn record(&mut self, zxid: Zxid, digest: i64) {
        if zxid.0 % LOG_INTERVAL != 0 {
            return;
        }
        if self.entries.len() == LOG_LEN_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back((zxid, digest));
    }

    pub fn iter(&self) -> impl Iterator<Item = (Zxid, i64)> {
        self.entries.iter().copied()
    }
}
