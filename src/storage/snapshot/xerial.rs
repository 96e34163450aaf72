//! The framing of xerial's snappy-java (`SnappyOutputStream`), which is not the framing format of Snappy itself.
//!
//! ```text
//! 0   82 'S' 'N' 'A' 'P' 'P' 'Y' 00 │ version 1 i32 │ compatible 1 i32
//! 16  (length i32 │ raw Snappy block of that many bytes)*
//! ```
//! A header in place of a block begins another stream that is read on.

use std::io::{self, Read, Write};

/// First eight bytes.
pub(super) const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Bytes compressed into one block; snappy-java's default.
const BLOCK: usize = 32 << 10;
/// Blocks larger than this are nothing that snappy-java writes.
const BLOCK_MAX: usize = 64 << 20;

fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Decompresses.
#[derive(Debug)]
pub(super) struct XerialReader<R> {
    inner: R,
    started: bool,
    packed: Vec<u8>,
    block: Vec<u8>,
    at: usize,
}

impl<R: Read> XerialReader<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, started: false, packed: Vec::new(), block: Vec::new(), at: 0 }
    }

    /// Reads exactly `buf`, or nothing at the end of the input.
    fn read_or_end(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        let mut done = 0;
        while done < buf.len() {
            match self.inner.read(&mut buf[done..])? {
                0 if done == 0 => return Ok(false),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => done += n,
            }
        }
        Ok(true)
    }

    fn next_block(&mut self) -> io::Result<bool> {
        let mut four = [0; 4];
        loop {
            if !self.read_or_end(&mut four)? {
                if self.started {
                    return Ok(false);
                }
                return Err(bad("the snappy stream is empty"));
            }
            if four != MAGIC[..4] {
                break;
            }
            let mut rest = [0; 12];
            if !self.read_or_end(&mut rest)? || rest[..4] != MAGIC[4..] {
                return Err(bad("the header of the snappy stream is damaged"));
            }
            self.started = true;
        }
        if !self.started {
            return Err(bad("the snappy stream has no header"));
        }
        let len = usize::try_from(i32::from_be_bytes(four))
            .ok()
            .filter(|&len| len <= BLOCK_MAX)
            .ok_or_else(|| bad(format!("a snappy block has the unreasonable length {four:02x?}")))?;
        // Grows with what is there: a damaged length cannot ask for memory.
        self.packed.clear();
        let got = (&mut self.inner).take(len as u64).read_to_end(&mut self.packed)?;
        if got < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let plain = snap::raw::decompress_len(&self.packed).map_err(|e| bad(e.to_string()))?;
        if plain > BLOCK_MAX {
            return Err(bad(format!("a snappy block of {plain} bytes is unreasonable")));
        }
        self.block.resize(plain, 0);
        let plain = snap::raw::Decoder::new()
            .decompress(&self.packed, &mut self.block)
            .map_err(|e| bad(e.to_string()))?;
        self.block.truncate(plain);
        self.at = 0;
        Ok(true)
    }
}

impl<R: Read> Read for XerialReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let n = buf.len().min(self.block.len() - self.at);
        buf[..n].copy_from_slice(&self.block[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// Compresses.
pub(super) struct XerialWriter<W> {
    inner: W,
    encoder: snap::raw::Encoder,
    plain: Vec<u8>,
    packed: Vec<u8>,
}

impl<W: Write> XerialWriter<W> {
    pub fn new(mut inner: W) -> io::Result<Self> {
        inner.write_all(&MAGIC)?;
        inner.write_all(&1i32.to_be_bytes())?;
        inner.write_all(&1i32.to_be_bytes())?;
        Ok(Self {
            inner,
            encoder: snap::raw::Encoder::new(),
            plain: Vec::with_capacity(BLOCK),
            packed: vec![0; snap::raw::max_compress_len(BLOCK)],
        })
    }

    fn block(&mut self) -> io::Result<()> {
        if self.plain.is_empty() {
            return Ok(());
        }
        let n = self
            .encoder
            .compress(&self.plain, &mut self.packed)
            .map_err(|e| io::Error::other(e.to_string()))?;
        self.inner.write_all(&(n as i32).to_be_bytes())?;
        self.inner.write_all(&self.packed[..n])?;
        self.plain.clear();
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.block()?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for XerialWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = buf.len().min(BLOCK - self.plain.len());
        self.plain.extend_from_slice(&buf[..n]);
        if self.plain.len() == BLOCK {
            self.block()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_across_block_borders() {
        for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 77] {
            let plain: Vec<u8> = (0..len).map(|i| ((i * i) >> 7) as u8).collect();
            let mut writer = XerialWriter::new(Vec::new()).unwrap();
            writer.write_all(&plain).unwrap();
            let packed = writer.finish().unwrap();
            assert_eq!(&packed[..8], &MAGIC);
            let mut back = Vec::new();
            XerialReader::new(&packed[..]).read_to_end(&mut back).unwrap();
            assert_eq!(back, plain, "{len} bytes");
            for cut in 0..packed.len().min(40) {
                let read = XerialReader::new(&packed[..cut]).read_to_end(&mut Vec::new());
                assert!(read.is_err() || cut == 16, "cut at {cut}");
            }
        }
    }
}
