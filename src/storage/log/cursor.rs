use super::{LogReader, Next, Tail, TornTail, entry_zxid};
use crate::storage::names::{LogFile, list_logs};
use crate::storage::{Disk, StorageError};
use crate::types::Zxid;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// A record of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Zxid in its header.
    pub zxid: Zxid,
    /// Where it begins in the cursor's current file.
    pub offset: u64,
    /// Header, body and digest: what [`crate::types::Txn::read`] takes and what a PROPOSAL carries.
    pub entry: &'a [u8],
}

/// Goes through the records of a directory's logs in order, from a given zxid on.
///
/// A torn end is accepted in the newest file, and in an older one when the next file begins with the very
/// transaction that was torn, or in a later epoch: then a server crashed, started again and went on. Anything else
/// is an error.
///
/// Upstream counterpart: `FileTxnLog.FileTxnIterator`.
#[derive(Debug)]
pub struct LogCursor<'d> {
    disk: &'d dyn Disk,
    dir: PathBuf,
    from: Zxid,
    files: VecDeque<LogFile>,
    reader: Option<LogReader>,
    path: PathBuf,
    last_zxid: Zxid,
    torn: Vec<TornTail>,
    bytes_before: u64,
    bytes_total: u64,
}

impl<'d> LogCursor<'d> {
    /// A cursor before the first record with a zxid of at least `from`.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn open(disk: &'d dyn Disk, dir: &Path, from: Zxid) -> Result<Self, StorageError> {
        let mut files: VecDeque<_> = list_logs(disk, dir)?.into();
        // The newest file named before `from` may reach beyond it; the one named `from` begins with it.
        while files.get(1).is_some_and(|next| next.zxid <= from) {
            files.pop_front();
        }
        let bytes_total = files.iter().map(|f| f.len).sum();
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            from,
            files,
            reader: None,
            path: PathBuf::new(),
            last_zxid: Zxid::ZERO,
            torn: Vec::new(),
            bytes_before: 0,
            bytes_total,
        })
    }

    /// The next record, or `None` behind the last one.
    ///
    /// # Errors
    /// When a file cannot be read, is no log or is damaged. The cursor is not to be used afterwards.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, StorageError> {
        loop {
            if self.reader.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let reader = self.reader.as_mut().expect("opened above");
            let (offset, zxid) = match reader.next_record()? {
                Next::Record { offset, entry } => match entry_zxid(entry) {
                    Some(zxid) => (offset, zxid),
                    None => {
                        let source = crate::types::Txn::read(entry, Default::default())
                            .err()
                            .unwrap_or(crate::types::TxnError::UnknownType(0));
                        return Err(StorageError::BadTxn { path: self.path.clone(), offset, source });
                    }
                },
                Next::End(tail) => {
                    self.end_of_file(tail)?;
                    continue;
                }
            };
            self.last_zxid = zxid;
            if zxid >= self.from {
                let entry = self.reader.as_ref().expect("still open").last_entry();
                return Ok(Some(Record { zxid, offset, entry }));
            }
        }
    }

    /// The file of the record last returned.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Directory of the logs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Ends of files that were taken for torn, so far.
    pub fn torn(&self) -> &[TornTail] {
        &self.torn
    }

    /// Bytes passed, and bytes of all files that will be read, the zeros behind the records included.
    pub fn progress_bytes(&self) -> (u64, u64) {
        let here = self.reader.as_ref().map_or(0, LogReader::offset);
        (self.bytes_before + here, self.bytes_total)
    }

    fn open_next(&mut self) -> Result<bool, StorageError> {
        let Some(file) = self.files.pop_front() else { return Ok(false) };
        let reader = LogReader::open(self.disk, &file.path)?;
        if self.last_zxid == Zxid::ZERO {
            self.last_zxid = reader.last_zxid();
        }
        self.path = file.path;
        self.reader = Some(reader);
        Ok(true)
    }

    fn end_of_file(&mut self, tail: Tail) -> Result<(), StorageError> {
        let reader = self.reader.take().expect("it just ended");
        self.bytes_before += reader.file_len();
        let damaged = |offset, what| StorageError::LogDamaged {
            path: self.path.clone(),
            offset,
            what,
            good: reader.records(),
            last_zxid: self.last_zxid,
            later_files: self.files.len(),
        };
        match tail {
            Tail::Clean => {}
            Tail::Damaged { offset, what } => return Err(damaged(offset, what)),
            Tail::Torn(torn) => {
                if let Some(next) = self.files.front()
                    && !self.goes_on_at(next.zxid)
                {
                    let what = format!(
                        "{}, and the next log begins at {}, so transactions are missing between the two",
                        torn.what, next.zxid
                    );
                    return Err(damaged(torn.offset, what));
                }
                self.torn.push(torn);
            }
        }
        Ok(())
    }

    fn goes_on_at(&self, next: Zxid) -> bool {
        next <= self.last_zxid.next() || next.epoch() > self.last_zxid.epoch() || next <= self.from
    }
}
