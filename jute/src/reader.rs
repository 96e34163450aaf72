use crate::{Error, Text};
use std::borrow::Cow;

/// Bounds on what a reader accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest length in bytes of one string or buffer. Upstream: `jute.maxbuffer` plus
    /// `zookeeper.jute.maxbuffer.extrasize`.
    pub length_max: usize,
}

impl Limits {
    /// Upstream's defaults: twice 0xfffff bytes.
    pub const DEFAULT: Limits = Limits { length_max: 2 * 0xf_ffff };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A checked cursor over bytes. Never panics, and allocates at most in proportion to the input.
///
/// Upstream counterpart: `org.apache.jute.BinaryInputArchive`.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    offset: usize,
    limits: Limits,
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `input` with upstream's default limits.
    pub fn new(input: &'a [u8]) -> Self {
        Self::with_limits(input, Limits::DEFAULT)
    }

    /// A cursor at the start of `input`.
    pub fn with_limits(input: &'a [u8], limits: Limits) -> Self {
        Self { input, offset: 0, limits }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> &'a [u8] {
        &self.input[self.offset..]
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.offset == self.input.len()
    }

    /// Takes `n` raw bytes.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let left = self.input.len() - self.offset;
        if n > left {
            return Err(Error::Eof { offset: self.offset, needed: n - left });
        }
        let bytes = &self.input[self.offset..self.offset + n];
        self.offset += n;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(bytes);
        Ok(array)
    }

    /// One byte; anything but 0 is true.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, Error> {
        Ok(self.take(1)?[0] != 0)
    }

    /// Four bytes.
    #[inline]
    pub fn int(&mut self) -> Result<i32, Error> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Eight bytes.
    #[inline]
    pub fn long(&mut self) -> Result<i64, Error> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// Length and bytes; `None` for null.
    #[inline]
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, Error> {
        let offset = self.offset;
        let length = self.int()?;
        if length == -1 {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(n) if n <= self.limits.length_max => self.take(n).map(Some),
            _ => Err(Error::UnreasonableLength { offset, length, limit: self.limits.length_max }),
        }
    }

    /// Length and UTF-8; bytes that are not UTF-8 become U+FFFD, in the places where upstream's decoder puts it.
    #[inline]
    pub fn text(&mut self) -> Result<Option<Text<'a>>, Error> {
        Ok(self.buffer()?.map(|bytes| match std::str::from_utf8(bytes) {
            Ok(s) => Cow::Borrowed(s),
            Err(_) => Cow::Owned(replace_malformed(bytes)),
        }))
    }

    /// Count and elements; `None` for a count of −1. Smaller counts are empty vectors, as to upstream's reader. What
    /// is reserved up front never exceeds what the input could hold.
    pub fn vector<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<Vec<T>>, Error> {
        let count = self.int()?;
        if count == -1 {
            return Ok(None);
        }
        let count_usize = usize::try_from(count).unwrap_or(0);
        // Every element takes at least four bytes in the ZooKeeper records; a growing vector doubles, so a small
        // first reservation costs nothing.
        let mut elements = Vec::with_capacity(count_usize.min(self.remaining().len() / 4).min(1024));
        for _ in 0..count_usize {
            if self.is_empty() {
                return Err(Error::Eof { offset: self.offset, needed: 1 });
            }
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }
}

/// Decodes UTF-8 with U+FFFD for what is none, as Java does: a surrogate in three bytes counts as one mistake, where
/// the usual count is three.
#[cold]
fn replace_malformed(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        let (valid, whole) = match std::str::from_utf8(rest) {
            Ok(valid) => (valid, true),
            Err(e) => {
                let (valid, bad) = rest.split_at(e.valid_up_to());
                let len = match bad {
                    [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3,
                    [0xed, 0xa0..=0xbf] => 2,
                    _ => e.error_len().unwrap_or(bad.len()),
                };
                rest = &bad[len..];
                (std::str::from_utf8(valid).unwrap_or_default(), false)
            }
        };
        text.push_str(valid);
        if whole {
            return text;
        }
        text.push(char::REPLACEMENT_CHARACTER);
    }
}
