use crate::{types::Zxid, zab::Logged};
use bytes::Bytes;

/// Where the zxid is in an entry: behind session and cxid.
const ZXID_AT: usize = 8 + 4;

/// Txn entries that are to be appended to the log and forced as one. An entry is what a PROPOSAL carries too; the
/// log puts its own frame (checksum, length, end mark) around each.
#[derive(Clone, Debug, Default)]
pub struct LogBatch {
    /// The entries, one after another.
    pub bytes: Bytes,
    /// Where each ends in `bytes`.
    pub ends: Vec<usize>,
    /// Zxid of the first.
    pub first: Zxid,
    /// Zxid of the last.
    pub last: Zxid,
}

impl LogBatch {
    /// The entries in order.
    pub fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.ranges().map(|range| &self.bytes[range])
    }

    /// The entries in order with their numbers, as parts of the one buffer.
    pub fn logged(&self) -> impl Iterator<Item = Logged> {
        self.ranges().map(|range| {
            let entry = self.bytes.slice(range);
            let zxid = entry[ZXID_AT..ZXID_AT + 8].try_into().map_or(0, i64::from_be_bytes);
            Logged { zxid: Zxid(zxid), entry }
        })
    }

    fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.ends.iter().scan(0, |start, &end| {
            let range = *start..end;
            *start = end;
            Some(range)
        })
    }
}

/// A [`LogBatch`] that grows.
#[derive(Debug, Default)]
pub(super) struct LogBuffer {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    first: Zxid,
    last: Zxid,
}

impl LogBuffer {
    /// Adds an entry that `write` appends, at least a txn's header; its size in bytes.
    pub(super) fn push(&mut self, zxid: Zxid, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        if self.ends.is_empty() {
            self.first = zxid;
        }
        self.last = zxid;
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
        self.bytes.len() - start
    }

    /// What was added since the last call.
    pub(super) fn take(&mut self) -> Option<LogBatch> {
        if self.ends.is_empty() {
            return None;
        }
        let Self { bytes, ends, first, last } = std::mem::take(self);
        Some(LogBatch { bytes: bytes.into(), ends, first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{SessionId, Txn, TxnBody, TxnFormat};

    #[test]
    fn entries_come_with_their_numbers_and_without_a_copy() {
        let mut buffer = LogBuffer::default();
        assert!(buffer.take().is_none());
        for zxid in [Zxid(0x1_0000_0007), Zxid(0x1_0000_0008)] {
            let body = TxnBody::CreateSession { timeout_ms: 5 };
            let txn = Txn { session: SessionId(1), cxid: 2, zxid, time_ms: 3, body, digest: None };
            buffer.push(zxid, |out| txn.write(TxnFormat::default(), out));
        }
        let batch = buffer.take().unwrap();
        let logged: Vec<_> = batch.logged().collect();
        assert_eq!((batch.first, batch.last), (logged[0].zxid, logged[1].zxid));
        assert_eq!((logged[0].zxid, logged[1].zxid), (Zxid(0x1_0000_0007), Zxid(0x1_0000_0008)));
        assert_eq!(logged[1].entry.as_ptr(), batch.entries().nth(1).unwrap().as_ptr());
        assert!(buffer.take().is_none());
    }
}
