//! Tells the torn end of a log from damage.
//!
//! A batch of records is one write and is forced before anything of it is acknowledged. So a crash can leave any
//! part of the last batch on disk: a prefix of it, or, since pages reach the disk in any order, later sectors without
//! earlier ones. A sector that did not get there shows what was there before, and behind the last forced record
//! that is zeros. Everything else is damage to what may have been acknowledged.
//!
//! A bad record is the torn end of the log when
//! * it reaches to the last byte of the file that is not zero, and no good record begins inside it; or
//! * a sector that it touches is all zeros from the start of the record on, and what follows can be one batch by
//!   size and time.

use super::{RECORD_FRAME, RECORD_HEAD, entry_zxid};
use crate::storage::disk::read_full_at;
use crate::storage::{DiskFile, StorageError};
use crate::types::Zxid;
use simd_adler32::adler32;
use std::path::Path;

/// More than this in one batch is not taken for one batch.
const BATCH_BYTES_MAX: u64 = 64 << 20;
/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;
/// The upper half of a record's checksum field is always zero; a fifth zero byte is one too many.
const ZERO_RUN_MIN: u64 = 5;
/// A record that is found by searching counts when its zxid is at most this far from the last good one's.
const ZXID_DISTANCE_MAX: i64 = 1 << 24;
/// Bytes hashed in search of a good record before the search gives up and calls it damage.
const HASHED_MAX: usize = 1 << 30;
/// Transactions of one batch are at most this far apart: they were collected while the batch before was forced.
pub(super) const BATCH_TIME_MAX_MS: i64 = 5_000;

pub(super) enum Verdict {
    Torn,
    /// Why it is not torn: a clause.
    Damaged(String),
}

/// The last byte in `from..len` that is not zero.
pub(super) fn last_nonzero(
    file: &dyn DiskFile,
    path: &Path,
    from: u64,
    len: u64,
) -> Result<Option<u64>, StorageError> {
    let mut buf = vec![0; 64 << 10];
    let mut at = from;
    let mut last = None;
    while at < len {
        match file.next_data(at).map_err(StorageError::io("inspect", path))? {
            Some(next) => at = next.max(at),
            None => break,
        }
        let want = buf.len().min(usize::try_from(len.saturating_sub(at)).unwrap_or(usize::MAX));
        let got = read_full_at(file, &mut buf[..want], at).map_err(StorageError::io("read", path))?;
        if got == 0 {
            break;
        }
        if let Some(i) = rposition_nonzero(&buf[..got]) {
            last = Some(at + i as u64);
        }
        at += got as u64;
    }
    Ok(last)
}

fn rposition_nonzero(bytes: &[u8]) -> Option<usize> {
    // In words first: padding is long and nearly always all zeros.
    if bytes.chunks(512).all(|c| c.iter().fold(0, |a, b| a | b) == 0) {
        return None;
    }
    bytes.iter().rposition(|&b| b != 0)
}

/// Judges the bad record at `offset` that claims to reach to `extent` in a file whose last byte that is not zero is
/// `last`.
pub(super) fn judge(
    file: &dyn DiskFile,
    path: &Path,
    offset: u64,
    extent: u64,
    last: u64,
    last_zxid: Zxid,
) -> Result<Verdict, StorageError> {
    let len = last + 1 - offset;
    if len > BATCH_BYTES_MAX {
        return Ok(Verdict::Damaged(format!("{len} bytes of data follow")));
    }
    let mut bytes = vec![0; usize::try_from(len).expect("bounded above")];
    let got = read_full_at(file, &mut bytes, offset).map_err(StorageError::io("read", path))?;
    bytes.truncate(got);
    let first_good = Search::new(&bytes, last_zxid).next();
    if last < extent && first_good.is_none() {
        return Ok(Verdict::Torn);
    }
    let what_follows = match first_good {
        Some(good) => format!("a good record follows at byte {}", offset + good.at as u64),
        None => format!("{len} bytes follow that are not zero"),
    };
    if !lost_sector(&bytes, offset, extent) {
        return Ok(Verdict::Damaged(what_follows));
    }
    // Data of zeros looks like a lost sector. What is one batch was made within a short time.
    let (mut earliest, mut latest) = (i64::MAX, i64::MIN);
    for good in Search::new(&bytes, last_zxid) {
        (earliest, latest) = (earliest.min(good.time_ms), latest.max(good.time_ms));
    }
    let spread_ms = latest.saturating_sub(earliest);
    if spread_ms > BATCH_TIME_MAX_MS {
        return Ok(Verdict::Damaged(format!("{what_follows}, with {spread_ms} ms of transactions")));
    }
    Ok(Verdict::Torn)
}

/// Finds whole good records that continue the log, anywhere behind the first byte.
struct Search<'a> {
    bytes: &'a [u8],
    at: usize,
    hashed: usize,
    last_zxid: Zxid,
}

struct Good {
    at: usize,
    time_ms: i64,
}

impl<'a> Search<'a> {
    fn new(bytes: &'a [u8], last_zxid: Zxid) -> Self {
        Self { bytes, at: 1, hashed: 0, last_zxid }
    }

    /// Length and time of the record that begins at the cursor. Cheapest tests first.
    fn good_here(&mut self) -> Option<(usize, i64)> {
        let b = self.bytes.get(self.at..)?;
        if b.get(..4)? != [0; 4] {
            return None;
        }
        let crc = u32::from_be_bytes(b.get(4..8)?.try_into().ok()?);
        let len = u32::from_be_bytes(b.get(8..12)?.try_into().ok()?) as usize;
        let entry = b.get(RECORD_HEAD..RECORD_HEAD.checked_add(len)?)?;
        if b.get(RECORD_HEAD + len) != Some(&b'B') {
            return None;
        }
        // A znode may hold a copy of some log. Only a record that continues this one counts.
        let zxid = entry_zxid(entry)?;
        let distance = zxid.0.wrapping_sub(self.last_zxid.0);
        let next_epoch = zxid.epoch() > self.last_zxid.epoch() && zxid.counter() < 1 << 24;
        if !(0..=ZXID_DISTANCE_MAX).contains(&distance) && !next_epoch {
            return None;
        }
        self.hashed += len;
        // Too much to look at can only be meant to be: call it good, which is the safe side.
        if self.hashed <= HASHED_MAX && adler32(&entry) != crc {
            return None;
        }
        Some((len + RECORD_FRAME, i64::from_be_bytes(entry[20..28].try_into().ok()?)))
    }
}

impl Iterator for Search<'_> {
    type Item = Good;

    fn next(&mut self) -> Option<Good> {
        while self.at + RECORD_FRAME < self.bytes.len() {
            let at = self.at;
            if let Some((len, time_ms)) = self.good_here() {
                self.at += len;
                return Some(Good { at, time_ms });
            }
            self.at += 1;
        }
        None
    }
}

/// Whether a sector that the bad record at the start of `bytes` touches seems never to have reached the disk.
fn lost_sector(bytes: &[u8], offset: u64, extent: u64) -> bool {
    let reach = extent.max(offset + RECORD_FRAME as u64).min(offset + bytes.len() as u64);
    let mut at = offset;
    while at < reach {
        let next = (at / SECTOR + 1) * SECTOR;
        let part = &bytes[(at - offset) as usize..((next - offset) as usize).min(bytes.len())];
        if part.len() as u64 >= ZERO_RUN_MIN && part.iter().all(|&b| b == 0) {
            return true;
        }
        at = next;
    }
    false
}
