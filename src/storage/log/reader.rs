use super::tail::{self, Verdict};
use super::{HEADER_LEN, LOG_MAGIC, RECORD_FRAME, RECORD_HEAD, entry_zxid, header};
use crate::storage::disk::read_full_at;
use crate::storage::names::parse_log_name;
use crate::storage::{Disk, DiskFile, OpenMode, StorageError};
use crate::types::Zxid;
use simd_adler32::adler32;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes asked from the file at once.
const READ_SIZE: usize = 256 << 10;

/// What ends a log file behind its last good record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// The end of the file, or zeros up to it.
    Clean,
    /// The leftovers of a write that was under way at a crash: never forced, so never acknowledged.
    Torn(TornTail),
    /// Anything else. What was acknowledged may lie there.
    Damaged {
        /// Where the bad record begins, bytes from the start of the file.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// The leftovers of a write that was under way at a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The log.
    pub path: PathBuf,
    /// Where it begins; 0 when not even the file's header was written.
    pub offset: u64,
    /// Bytes from there to the last that is not zero.
    pub len: u64,
    /// What is wrong with it.
    pub what: String,
}

/// The next thing in a log.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A good record.
    Record {
        /// Where it begins in the file.
        offset: u64,
        /// What it holds.
        entry: &'a [u8],
    },
    /// No more good records.
    End(Tail),
}

/// Reads one log file.
#[derive(Debug)]
pub struct LogReader {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    /// Length of the file.
    len: u64,
    /// Window on the file: `buf[begin..]` is what follows `offset`.
    buf: Vec<u8>,
    begin: usize,
    offset: u64,
    records: u64,
    last_entry: Range<usize>,
    last_zxid: Zxid,
    tail: Option<Tail>,
}

fn before_first(path: &Path) -> Zxid {
    let zxid = path.file_name().and_then(|n| n.to_str()).and_then(parse_log_name).unwrap_or_default();
    Zxid(zxid.0.saturating_sub(1).max(0))
}

impl LogReader {
    /// Opens a log. One without a header, because of a crash right after its creation, is one without records.
    ///
    /// # Errors
    /// When it cannot be opened or read, or begins with something else than a log does.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Self, StorageError> {
        let file = disk.open(path, OpenMode::Read).map_err(StorageError::io("open", path))?;
        let len = file.len().map_err(StorageError::io("inspect", path))?;
        let mut this = Self {
            file,
            path: path.to_owned(),
            len,
            buf: Vec::new(),
            begin: 0,
            offset: 0,
            records: 0,
            last_entry: 0..0,
            last_zxid: before_first(path),
            tail: None,
        };
        this.read_header()?;
        Ok(this)
    }

    /// Records read so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes consumed so far, from the start of the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Zxid of the last record read; before the first, the one before the zxid in the file's name.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Reads the next record. After the end it stays at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_record(&mut self) -> Result<Next<'_>, StorageError> {
        if let Some(tail) = &self.tail {
            return Ok(Next::End(tail.clone()));
        }
        let parsed = self.parse_or_judge()?;
        match parsed {
            Ok(len) => {
                let offset = self.offset;
                let at = self.begin + RECORD_HEAD;
                self.offset += (len + RECORD_FRAME) as u64;
                self.begin += len + RECORD_FRAME;
                self.records += 1;
                self.last_entry = at..at + len;
                let entry = &self.buf[at..at + len];
                if let Some(zxid) = entry_zxid(entry) {
                    self.last_zxid = zxid;
                }
                Ok(Next::Record { offset, entry })
            }
            Err(tail) => {
                self.buf = Vec::new();
                self.last_entry = 0..0;
                self.tail = Some(tail.clone());
                Ok(Next::End(tail))
            }
        }
    }

    /// Length of the entry at the cursor, or what the end is.
    fn parse_or_judge(&mut self) -> Result<Result<usize, Tail>, StorageError> {
        if let Ok(len) = self.parse()? {
            return Ok(Ok(len));
        }
        // The log may be growing while we read it: look again before saying anything, and once more if what we say
        // would be bad, since judging reads the file too.
        let mut last = Tail::Clean;
        for _ in 0..2 {
            self.forget_window()?;
            match self.parse()? {
                Ok(len) => return Ok(Ok(len)),
                Err((what, extent)) => last = self.judge(what, extent)?,
            }
            if !matches!(last, Tail::Damaged { .. }) {
                break;
            }
        }
        Ok(Err(last))
    }

    fn forget_window(&mut self) -> Result<(), StorageError> {
        self.buf.clear();
        self.begin = 0;
        self.len = self.file.len().map_err(StorageError::io("inspect", &self.path))?;
        Ok(())
    }

    /// The entry that [`Self::next_record`] returned last; empty before the first and after the end.
    pub fn last_entry(&self) -> &[u8] {
        self.buf.get(self.last_entry.clone()).unwrap_or_default()
    }

    /// Length of the file in bytes.
    pub fn file_len(&self) -> u64 {
        self.len
    }

    fn read_header(&mut self) -> Result<(), StorageError> {
        let have = self.fill(HEADER_LEN as usize)?;
        let bytes = &self.buf[..have.min(HEADER_LEN as usize)];
        if bytes.len() < HEADER_LEN as usize || bytes.iter().all(|&b| b == 0) {
            let only_zeros = tail::last_nonzero(&*self.file, &self.path, 0, self.len)?.is_none();
            if only_zeros || header().starts_with(bytes) {
                self.tail = Some(Tail::Torn(TornTail {
                    path: self.path.clone(),
                    offset: 0,
                    len: bytes.iter().filter(|&&b| b != 0).count() as u64,
                    what: "the file has no header yet".into(),
                }));
                return Ok(());
            }
        }
        if bytes.len() < 4 || bytes[..4] != LOG_MAGIC.to_be_bytes() {
            let what = format!("it begins with {:02x?} instead of \"ZKLG\"", &bytes[..bytes.len().min(4)]);
            return Err(StorageError::NotALog { path: self.path.clone(), what });
        }
        if bytes.len() < HEADER_LEN as usize {
            let what = format!("its header {bytes:02x?} is that of no log, and cut short");
            return Err(StorageError::NotALog { path: self.path.clone(), what });
        }
        // The version is written by every server and checked by none.
        self.begin = HEADER_LEN as usize;
        self.offset = HEADER_LEN;
        Ok(())
    }

    /// Length of the entry at the cursor, or what is wrong and how far the bad record claims to reach.
    fn parse(&mut self) -> Result<Result<usize, (String, u64)>, StorageError> {
        let left = self.len.saturating_sub(self.offset);
        let have = self.fill(RECORD_HEAD)?;
        if have < RECORD_HEAD {
            return Ok(Err(("the file ends in the head of a record".into(), self.len)));
        }
        let head = &self.buf[self.begin..self.begin + RECORD_HEAD];
        let crc = u64::from_be_bytes(head[..8].try_into().expect("8 bytes"));
        let len = i32::from_be_bytes(head[8..].try_into().expect("4 bytes"));
        if len == 0 {
            return Ok(Err(("a record has length 0".into(), self.offset + RECORD_HEAD as u64)));
        }
        let Ok(len) = usize::try_from(len) else {
            return Ok(Err((
                format!("a record has the unreasonable length {len}"),
                self.offset + RECORD_HEAD as u64,
            )));
        };
        let whole = len + RECORD_FRAME;
        if whole as u64 > left {
            return Ok(Err((
                format!("a record of {whole} bytes has only {left} left in the file"),
                self.len,
            )));
        }
        if self.fill(whole)? < whole {
            return Ok(Err(("the file became shorter while it was read".into(), self.len)));
        }
        let end = self.offset + whole as u64;
        let body = &self.buf[self.begin + RECORD_HEAD..self.begin + whole];
        let (entry, mark) = body.split_at(len);
        if u64::from(adler32(&entry)) != crc {
            return Ok(Err(("the checksum of a record is wrong".into(), end)));
        }
        if mark != b"B" {
            return Ok(Err(("the end mark of a record is missing".into(), end)));
        }
        Ok(Ok(len))
    }

    fn judge(&self, what: String, extent: u64) -> Result<Tail, StorageError> {
        let path = &self.path;
        let Some(last) = tail::last_nonzero(&*self.file, path, self.offset, self.len)? else {
            return Ok(Tail::Clean);
        };
        let offset = self.offset;
        let verdict = tail::judge(&*self.file, path, offset, extent, last, self.last_zxid)?;
        Ok(match verdict {
            Verdict::Torn => {
                Tail::Torn(TornTail { path: path.clone(), offset, len: last + 1 - offset, what })
            }
            Verdict::Damaged(why) => Tail::Damaged { offset, what: format!("{what}, and {why}") },
        })
    }

    /// Makes `need` bytes behind the cursor available, or all that are left. Returns how many are.
    fn fill(&mut self, need: usize) -> Result<usize, StorageError> {
        let have = self.buf.len() - self.begin;
        if have >= need {
            return Ok(have);
        }
        self.buf.drain(..self.begin);
        self.begin = 0;
        let from = self.offset + have as u64;
        let left = usize::try_from(self.len.saturating_sub(from)).unwrap_or(usize::MAX);
        // Never more than the file has: a damaged length cannot ask for memory.
        let want = (need - have).max(READ_SIZE).min(left);
        self.buf.resize(have + want, 0);
        let got = read_full_at(&*self.file, &mut self.buf[have..], from)
            .map_err(StorageError::io("read", &self.path))?;
        self.buf.truncate(have + got);
        Ok(have + got)
    }
}
