use super::{SNAPSHOT_MAGIC, STREAM_END, stream, xerial};
use crate::storage::disk::read_full_at;
use crate::storage::names::SnapshotFile;
use crate::storage::{Compression, Disk, OpenMode, StorageError};
use crate::tree::DIGEST_VERSION;
use crate::types::{Acl, AclList, SessionId, StatPersisted, Zxid};
use quoll_jute::{Limits, Reader, Record, data};
use simd_adler32::Adler32;
use std::borrow::Cow;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// Bytes asked from the stream at once.
const READ_SIZE: usize = 256 << 10;
/// No path, data or ACL is larger than this, whatever `jute.maxbuffer` the writer had.
const FIELD_MAX: usize = 256 << 20;
/// Of what follows the first seal no more than this is looked at.
const TRAILER_MAX: usize = 4096;
/// Bytes of a znode besides path and data: ACL number and stat.
const NODE_FIXED: usize = 8 + 60;

/// The digest section of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The transaction after which the digest was taken. In a fuzzy snapshot it may be later than the file's.
    pub zxid: Zxid,
    /// Upstream's `DIGEST_VERSION` of the writer.
    pub version: i32,
    /// Of the whole tree.
    pub value: i64,
}

/// What follows the tree in a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotTrailer {
    /// The digest section, if there is one. Of zxid 0 it says nothing.
    pub digest: Option<Digest>,
    /// The last-zxid section, if there is one. Startup goes by the name of the file.
    pub last_zxid: Option<Zxid>,
    /// Bytes that are neither; the tree before them is sealed and whole.
    pub unknown_len: usize,
}

/// Takes what a snapshot holds, in the order of the file.
pub trait SnapshotSink {
    /// A session and its timeout in ms.
    fn session(&mut self, session: SessionId, timeout_ms: i32);

    /// An ACL and its number.
    fn acl(&mut self, index: i64, list: AclList);

    /// A znode.
    ///
    /// # Errors
    /// Why it cannot be: no parent, a second of the same path, …
    fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: &StatPersisted)
    -> Result<(), String>;

    /// Called now and then with the bytes of the file read so far.
    fn progress(&mut self, bytes: u64);
}

/// Upstream's test whether a file is worth loading, without loading it: a plain file ends in the "/" of a seal, a
/// compressed one begins as such a file does.
///
/// # Errors
/// When it cannot be read.
pub fn looks_valid(disk: &dyn Disk, file: &SnapshotFile) -> Result<bool, StorageError> {
    let io = |what| StorageError::io(what, &file.path);
    let handle = disk.open(&file.path, OpenMode::Read).map_err(io("open"))?;
    let len = handle.len().map_err(io("inspect"))?;
    let mut bytes = [0; 8];
    let mut read = |n: usize, at| read_full_at(&*handle, &mut bytes[..n], at).map(|got| got == n);
    Ok(match file.compression {
        Compression::None => {
            len >= 10 && read(5, len - 5).map_err(io("read"))? && bytes[..5] == *b"\0\0\0\x01/"
        }
        Compression::Gzip => read(2, 0).map_err(io("read"))? && bytes[..2] == [0x1f, 0x8b],
        Compression::Snappy => read(8, 0).map_err(io("read"))? && bytes == xerial::MAGIC,
    })
}

/// Reads a snapshot and verifies its seals. What `sink` got before an error is worth nothing.
///
/// The sections behind the tree are recognised by what is there, not by settings: upstream refuses files of a server
/// whose `digest.enabled` or `serializeLastProcessedZxid.enabled` differs from its own.
///
/// # Errors
/// [`StorageError::SnapshotDamaged`] when the file is not a whole snapshot, [`StorageError::Io`] when it cannot be
/// read.
pub fn read_snapshot(
    disk: &dyn Disk,
    file: &SnapshotFile,
    sink: &mut impl SnapshotSink,
) -> Result<SnapshotTrailer, StorageError> {
    let handle = disk.open(&file.path, OpenMode::Read).map_err(StorageError::io("open", &file.path))?;
    let count = Arc::new(AtomicU64::new(0));
    let source = stream::reader(handle, file.compression, count.clone());
    let parser = Parser { window: Window::new(source, Vec::new(), Some(Adler32::new())), count, sink };
    parser.parse_file().map_err(|e| match e {
        Bad::Io(source) if is_disk_failure(&source) => {
            StorageError::Io { what: "read", path: file.path.clone(), source }
        }
        Bad::Io(source) => {
            StorageError::SnapshotDamaged { path: file.path.clone(), what: source.to_string() }
        }
        Bad::Format(what) => StorageError::SnapshotDamaged { path: file.path.clone(), what },
    })
}

/// Why a tree that another server sends cannot be read.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum StreamError {
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// Reads the tree that follows a SNAP between servers. `ahead` was read from the source already. What `sink` got before
/// an error is worth nothing. Returns what was read and is not the tree's any more.
///
/// Upstream counterpart: `ZKDatabase.deserializeSnapshot` and the signature that `Learner` checks.
///
/// # Errors
/// When it is no tree, or its source fails or ends.
pub fn read_stream(
    source: impl Read,
    ahead: Vec<u8>,
    sink: &mut impl SnapshotSink,
) -> Result<Vec<u8>, StreamError> {
    let window = Window::new(source, ahead, None);
    Parser { window, count: Arc::default(), sink }.parse_stream().map_err(|e| match e {
        Bad::Io(source) => StreamError::Io(source),
        Bad::Format(what) => StreamError::Damaged(what),
    })
}

/// Whether the error is the disk's, rather than the decompressor's about its input.
fn is_disk_failure(e: &io::Error) -> bool {
    e.raw_os_error().is_some()
}

enum Bad {
    Io(io::Error),
    Format(String),
}

impl From<io::Error> for Bad {
    fn from(e: io::Error) -> Self {
        Bad::Io(e)
    }
}

impl From<quoll_jute::Error> for Bad {
    fn from(e: quoll_jute::Error) -> Self {
        Bad::Format(e.to_string())
    }
}

fn bad<T>(what: impl Into<String>) -> Result<T, Bad> {
    Err(Bad::Format(what.into()))
}

/// A piece of the stream in memory.
struct Window<R> {
    source: R,
    buf: Vec<u8>,
    /// Bytes of `buf` that were consumed,
    at: usize,
    /// and of these, how many are in `hash`.
    hashed: usize,
    /// A stream between servers has no sum.
    hash: Option<Adler32>,
    /// Position of `buf[0]` in the stream.
    position: u64,
}

impl<R: Read> Window<R> {
    /// `ahead` was read from the source already.
    fn new(source: R, ahead: Vec<u8>, hash: Option<Adler32>) -> Self {
        Self { source, buf: ahead, at: 0, hashed: 0, hash, position: 0 }
    }

    /// Makes `need` bytes behind the cursor available, or all there are. Returns how many are.
    fn fill(&mut self, need: usize) -> Result<usize, Bad> {
        while self.buf.len() - self.at < need {
            self.catch_up();
            self.buf.drain(..self.at);
            self.position += self.at as u64;
            (self.at, self.hashed) = (0, 0);
            let have = self.buf.len();
            // Grows with what has arrived, so a damaged length cannot ask for memory.
            let want = READ_SIZE.max(have);
            self.buf.resize(have + want, 0);
            let got = loop {
                match self.source.read(&mut self.buf[have..]) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    done => break done,
                }
            };
            self.buf.truncate(have + *got.as_ref().unwrap_or(&0));
            if got? == 0 {
                break;
            }
        }
        Ok(self.buf.len() - self.at)
    }

    /// Consumes `n` bytes.
    #[inline]
    fn take(&mut self, n: usize) -> Result<&[u8], Bad> {
        if self.buf.len() - self.at < n && self.fill(n)? < n {
            return bad(format!("it ends at byte {}", self.position + self.buf.len() as u64));
        }
        self.at += n;
        Ok(&self.buf[self.at - n..self.at])
    }

    /// Makes `n` bytes available without consuming them.
    #[inline]
    fn need(&mut self, n: usize) -> Result<&[u8], Bad> {
        if self.buf.len() - self.at < n && self.fill(n)? < n {
            return bad(format!("it ends at byte {}", self.position + self.buf.len() as u64));
        }
        Ok(&self.buf[self.at..])
    }

    fn int(&mut self) -> Result<i32, Bad> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into().expect("4 bytes")))
    }

    fn long(&mut self) -> Result<i64, Bad> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into().expect("8 bytes")))
    }

    fn position(&self) -> u64 {
        self.position + self.at as u64
    }

    fn catch_up(&mut self) {
        if let Some(hash) = &mut self.hash {
            hash.write(&self.buf[self.hashed..self.at]);
        }
        self.hashed = self.at;
    }

    /// Adler-32 of everything consumed, and of `n` bytes more.
    fn sum(&mut self, n: usize) -> u32 {
        self.catch_up();
        let mut hash = self.hash.clone().unwrap_or_default();
        hash.write(&self.buf[self.at..self.at + n]);
        hash.finish()
    }
}

struct Parser<'s, R, S> {
    window: Window<R>,
    /// Bytes taken from the file, for progress.
    count: Arc<AtomicU64>,
    sink: &'s mut S,
}

impl<R: Read, S: SnapshotSink> Parser<'_, R, S> {
    fn parse_file(mut self) -> Result<SnapshotTrailer, Bad> {
        let magic = self.window.int()?;
        if magic != SNAPSHOT_MAGIC as i32 {
            return bad(format!("it begins with {magic:#010x} instead of \"ZKSN\""));
        }
        // Version and dbid are written by every server and checked by none.
        self.window.take(12)?;
        self.tree()?;
        let sum = self.window.sum(0);
        if !is_seal(self.window.take(SEAL_LEN)?, sum) {
            return bad("the checksum of the tree is wrong");
        }
        self.trailer()
    }

    /// The tree as it is sent between servers. Returns what was read beyond it.
    fn parse_stream(mut self) -> Result<Vec<u8>, Bad> {
        self.tree()?;
        let at = self.window.position();
        let len = self.window.int()?;
        if len != STREAM_END.len() as i32 || self.window.take(STREAM_END.len())? != STREAM_END.as_bytes() {
            return bad(format!("{STREAM_END:?} is missing at byte {at}, behind the last znode"));
        }
        Ok(self.window.buf.split_off(self.window.at))
    }

    /// Sessions, ACLs and znodes, with the mark that ends them.
    fn tree(&mut self) -> Result<(), Bad> {
        for _ in 0..self.count("sessions")? {
            let session = SessionId(self.window.long()?);
            let timeout_ms = self.window.int()?;
            self.sink.session(session, timeout_ms);
        }
        for _ in 0..self.count("ACLs")? {
            self.acl()?;
        }
        let mut until_progress = 0u32;
        while self.node()? {
            until_progress += 1;
            if until_progress.is_multiple_of(4096) {
                self.sink.progress(self.count.load(Ordering::Relaxed));
            }
        }
        Ok(())
    }

    fn count(&mut self, of: &str) -> Result<i32, Bad> {
        let at = self.window.position();
        match self.window.int()? {
            n if n >= 0 => Ok(n),
            n => bad(format!("it has {n} {of} at byte {at}")),
        }
    }

    fn acl(&mut self) -> Result<(), Bad> {
        let index = self.window.long()?;
        let entries = self.count("ACL entries")?;
        let mut list = Vec::new();
        for _ in 0..entries {
            let perms = self.window.int()?;
            let scheme = self.text()?;
            let id = self.text()?;
            let id = data::Id { scheme: Some(scheme.into()), id: Some(id.into()) };
            list.push(Acl::from(&data::Acl { perms, id }));
        }
        self.sink.acl(index, list.into());
        Ok(())
    }

    fn text(&mut self) -> Result<String, Bad> {
        let n = self.window.int()?;
        if n < 0 {
            return Ok(String::new());
        }
        let n = self.length(n)?;
        Ok(String::from_utf8_lossy(self.window.take(n)?).into_owned())
    }

    fn length(&self, n: i32) -> Result<usize, Bad> {
        match usize::try_from(n) {
            Ok(n) if n <= FIELD_MAX => Ok(n),
            _ => bad(format!("it has the unreasonable length {n} before byte {}", self.window.position())),
        }
    }

    /// Hands one znode to the sink. False at the mark that ends them.
    fn node(&mut self) -> Result<bool, Bad> {
        // Path and its length, data and its length and the rest are taken in three steps of what must be there.
        let w = &mut self.window;
        let path_len = int_at(w.need(4)?, 0);
        let path_len = self.length(path_len)?;
        if path_len == 1 && self.window.need(5)?[4] == b'/' {
            self.window.take(5)?;
            return Ok(false);
        }
        let data_at = 4 + path_len;
        let data_len = int_at(self.window.need(data_at + 4)?, data_at);
        let data_size = if data_len == -1 { 0 } else { self.length(data_len)? };
        let whole = data_at + 4 + data_size + NODE_FIXED;
        let position = self.window.position();
        let bytes = &self.window.need(whole)?[..whole];
        let path = match std::str::from_utf8(&bytes[4..data_at]) {
            Ok(path) => Cow::Borrowed(path),
            Err(_) => String::from_utf8_lossy(&bytes[4..data_at]),
        };
        let (data, fixed) = bytes[data_at + 4..].split_at(data_size);
        let mut fixed = Reader::with_limits(fixed, Limits::DEFAULT);
        let acl = fixed.long()?;
        let stat = StatPersisted::read(&mut fixed)?;
        let data = (data_len != -1).then_some(data);
        self.sink
            .node(&path, data, acl, &stat)
            .map_err(|why| Bad::Format(format!("the znode {path:?} at byte {position} cannot be: {why}")))?;
        self.window.at += whole;
        Ok(true)
    }

    fn trailer(&mut self) -> Result<SnapshotTrailer, Bad> {
        let have = self.window.fill(TRAILER_MAX)?;
        let bytes = self.window.buf[self.window.at..].to_vec();
        let mut trailer = SnapshotTrailer::default();
        let mut at = 0;
        if let Some((digest, len)) = parse_digest(&bytes)
            && bytes.get(len..).is_some_and(|rest| is_seal(rest, self.window.sum(len)))
        {
            at = len + SEAL_LEN;
            trailer.digest = digest;
        }
        if let Some(rest) = bytes.get(at + 8..)
            && is_seal(rest, self.window.sum(at + 8))
        {
            trailer.last_zxid =
                Some(Zxid(i64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))));
            at += 8 + SEAL_LEN;
        }
        trailer.unknown_len = have - at;
        Ok(trailer)
    }
}

#[inline]
fn int_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

const SEAL_LEN: usize = 8 + 5;

fn is_seal(bytes: &[u8], sum: u32) -> bool {
    bytes.len() >= SEAL_LEN
        && bytes[..8] == u64::from(sum).to_be_bytes()
        && bytes[8..SEAL_LEN] == *b"\0\0\0\x01/"
}

/// A digest section at the start of `bytes` and its length without the seal. The digest is `None` where it is of a
/// version whose calculation we do not know.
fn parse_digest(bytes: &[u8]) -> Option<(Option<Digest>, usize)> {
    let mut r = Reader::new(bytes);
    let zxid = Zxid(r.long().ok()?);
    let version = r.int().ok()?;
    if version < DIGEST_VERSION {
        // Then it was written as text.
        r.text().ok()?;
        return Some((None, r.offset()));
    }
    let value = r.long().ok()?;
    let digest = (version == DIGEST_VERSION).then_some(Digest { zxid, version, value });
    Some((digest, r.offset()))
}
