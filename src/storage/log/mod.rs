//! The transaction log: reading, writing, cutting back.
//!
//! ```text
//! 0   magic "ZKLG"  u32 │ version 2  u32 │ dbid 0  u64                      16 bytes
//! 16  crc u64 (Adler-32 of the entry) │ len u32 │ entry, len bytes │ 'B'    record, repeated
//!     zeros up to the preallocated size
//! ```
//!
//! Invariants: a file is named by the zxid of its first record; a file of an earlier process is never appended to;
//! what follows the last good record is zeros, or the part of one write that a crash left behind.
//!
//! Upstream counterpart: `FileTxnLog`, `FilePadding`, `Util`. Start reading at [`LogWriter`] and [`LogCursor`].

mod cursor;
mod reader;
mod tail;
mod truncate;
mod writer;

pub use cursor::{LogCursor, Record};
pub use reader::{LogReader, Next, Tail, TornTail};
pub(crate) use truncate::drop_after;
pub use truncate::truncate;
pub use writer::{LogOptions, LogStats, LogWriter, SnapshotPace};

#[cfg(test)]
mod tests;

use super::names::parse_log_name;
use super::{Disk, StorageError};
use simd_adler32::adler32;
use std::path::Path;

/// Names of files under way begin with this.
const TEMPORARY: &str = "tmp.";

/// First four bytes of a log: "ZKLG".
pub(crate) const LOG_MAGIC: u32 = 0x5a4b_4c47;
/// Length of the file header in bytes.
pub(crate) const HEADER_LEN: u64 = 16;
/// Bytes of a record before the entry.
pub(crate) const RECORD_HEAD: usize = 12;
/// Bytes of a record around the entry.
pub(crate) const RECORD_FRAME: usize = RECORD_HEAD + 1;
/// Length of the header in every entry.
const TXN_HEADER_LEN: usize = 32;

pub(crate) fn header() -> [u8; HEADER_LEN as usize] {
    let mut bytes = [0; HEADER_LEN as usize];
    bytes[..4].copy_from_slice(&LOG_MAGIC.to_be_bytes());
    bytes[7] = 2;
    bytes
}

/// Appends the record that holds `entry`.
///
/// # Panics
/// When the entry is empty or of 2 GiB and more: a reader would take the one for the end of the log, and the format
/// has no room for the other.
pub fn encode_record(entry: &[u8], out: &mut Vec<u8>) {
    assert!(!entry.is_empty(), "an empty entry would end the log");
    let len = i32::try_from(entry.len()).expect("an entry of 2 GiB has no place in the format");
    out.reserve(entry.len() + RECORD_FRAME);
    out.extend_from_slice(&u64::from(adler32(&entry)).to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(entry);
    out.push(b'B');
}

/// The time in an entry's header, ms since 1970, if it is long enough to have one.
fn entry_time_ms(entry: &[u8]) -> Option<i64> {
    let bytes = entry.get(..TXN_HEADER_LEN)?.get(20..28)?;
    Some(i64::from_be_bytes(bytes.try_into().ok()?))
}

/// Removes what a crash left of files under way. Returns the names.
///
/// # Errors
/// When the directory cannot be listed or a file not removed.
pub(crate) fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, StorageError> {
    let mut names = Vec::new();
    for entry in disk.list(dir).map_err(StorageError::io("list", dir))? {
        if !entry.is_dir && entry.name.strip_prefix(TEMPORARY).is_some_and(|n| parse_log_name(n).is_some()) {
            let path = dir.join(&entry.name);
            disk.remove(&path).map_err(StorageError::io("remove", &path))?;
            names.push(entry.name);
        }
    }
    // Before a new file gets such a name, or the next rename could give an old one the name of a log.
    if !names.is_empty() {
        disk.sync_dir(dir).map_err(StorageError::io("force", dir))?;
    }
    Ok(names)
}

/// The zxid in an entry's header, if it is long enough to have one.
pub(crate) fn entry_zxid(entry: &[u8]) -> Option<crate::types::Zxid> {
    let bytes = entry.get(..TXN_HEADER_LEN)?.get(12..20)?;
    Some(crate::types::Zxid(i64::from_be_bytes(bytes.try_into().ok()?)))
}
