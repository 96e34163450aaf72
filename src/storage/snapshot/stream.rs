use super::xerial::{XerialReader, XerialWriter};
use crate::storage::{Compression, DiskFile};
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::{self, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Compressed files are read in pieces of this size.
const READ_SIZE: usize = 256 << 10;
/// A file is written in pieces of this size.
const WRITE_SIZE: usize = 1 << 20;
/// A snapshot is forced after this many bytes, again and again, so that the disk is not busy with all of it at once
/// when a log record has to get through.
const FORCE_EVERY: u64 = 8 << 20;

/// Reads a file from the start, counting.
#[derive(Debug)]
struct FileRead {
    file: Box<dyn DiskFile>,
    at: u64,
    count: Arc<AtomicU64>,
}

impl Read for FileRead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buf, self.at)?;
        self.at += n as u64;
        self.count.store(self.at, Ordering::Relaxed);
        Ok(n)
    }
}

/// The plain bytes of a snapshot file. `count` is kept at the bytes taken from the file.
pub(super) fn reader(
    file: Box<dyn DiskFile>,
    compression: Compression,
    count: Arc<AtomicU64>,
) -> Box<dyn Read + Send> {
    let file = FileRead { file, at: 0, count };
    match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(READ_SIZE, file))),
        Compression::Snappy => Box::new(XerialReader::new(BufReader::with_capacity(READ_SIZE, file))),
    }
}

/// Writes a file from the start in large pieces.
#[derive(Debug)]
pub(super) struct FileWrite {
    file: Box<dyn DiskFile>,
    at: u64,
    forced: u64,
    buf: Vec<u8>,
}

impl FileWrite {
    fn piece(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buf, self.at)?;
        self.at += self.buf.len() as u64;
        self.buf.clear();
        if self.at - self.forced >= FORCE_EVERY {
            self.file.sync_data()?;
            self.forced = self.at;
        }
        Ok(())
    }

    /// Writes and forces what is left. Returns the length of the file.
    fn finish(mut self) -> io::Result<u64> {
        if !self.buf.is_empty() {
            self.piece()?;
        }
        self.file.sync_all()?;
        Ok(self.at)
    }
}

impl Write for FileWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(WRITE_SIZE - self.buf.len());
        self.buf.extend_from_slice(&bytes[..n]);
        if self.buf.len() == WRITE_SIZE {
            self.piece()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses, or not, into a file.
pub(super) enum StreamWriter {
    Plain(FileWrite),
    Gzip(Box<GzEncoder<FileWrite>>),
    Snappy(Box<XerialWriter<FileWrite>>),
}

impl StreamWriter {
    pub fn new(file: Box<dyn DiskFile>, compression: Compression) -> io::Result<Self> {
        let file = FileWrite { file, at: 0, forced: 0, buf: Vec::new() };
        Ok(match compression {
            Compression::None => Self::Plain(file),
            Compression::Gzip => Self::Gzip(Box::new(GzEncoder::new(file, flate2::Compression::default()))),
            Compression::Snappy => Self::Snappy(Box::new(XerialWriter::new(file)?)),
        })
    }

    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(w) => w.write_all(bytes),
            Self::Gzip(w) => w.write_all(bytes),
            Self::Snappy(w) => w.write_all(bytes),
        }
    }

    /// Writes what is left and forces it. Returns the length of the file.
    pub fn finish(self) -> io::Result<u64> {
        match self {
            Self::Plain(w) => w.finish(),
            Self::Gzip(w) => w.finish()?.finish(),
            Self::Snappy(w) => w.finish()?.finish(),
        }
    }
}
