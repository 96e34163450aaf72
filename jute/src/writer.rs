/// Appends fields to a byte vector. Writing cannot fail.
///
/// Upstream counterpart: `org.apache.jute.BinaryOutputArchive`.
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut Vec<u8>,
}

impl<'b> Writer<'b> {
    /// A writer that appends to `out`.
    pub fn new(out: &'b mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Bytes in the vector, those that stood there before included.
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Raw bytes, no length before them.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// One byte.
    #[inline]
    pub fn bool(&mut self, v: bool) {
        self.out.push(u8::from(v));
    }

    /// Four bytes.
    #[inline]
    pub fn int(&mut self, v: i32) {
        self.raw(&v.to_be_bytes());
    }

    /// Eight bytes.
    #[inline]
    pub fn long(&mut self, v: i64) {
        self.raw(&v.to_be_bytes());
    }

    /// Length and bytes; −1 for `None`. A length above `i32::MAX` cannot be written and is a programming error.
    #[inline]
    pub fn buffer(&mut self, v: Option<&[u8]>) {
        match v {
            None => self.int(-1),
            Some(bytes) => {
                self.length(bytes.len());
                self.raw(bytes);
            }
        }
    }

    /// Length and text; −1 for `None`. Characters outside the basic plane go out as two three-byte surrogates,
    /// which is what upstream's writer does.
    #[inline]
    pub fn text(&mut self, v: Option<&str>) {
        match v {
            None => self.int(-1),
            Some(s) if !s.bytes().any(|b| b >= 0xf0) => self.buffer(Some(s.as_bytes())),
            Some(s) => self.surrogates(s),
        }
    }

    #[cold]
    fn surrogates(&mut self, s: &str) {
        let at = self.out.len();
        self.int(0);
        for c in s.chars() {
            if (c as u32) < 0x1_0000 {
                self.raw(c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let u = u32::from(*unit);
                    self.raw(&[
                        0xe0 | (u >> 12) as u8,
                        0x80 | (u >> 6 & 0x3f) as u8,
                        0x80 | (u & 0x3f) as u8,
                    ]);
                }
            }
        }
        let length = self.out.len() - at - 4;
        let length = i32::try_from(length).expect("a string fits an int length");
        self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Count and elements; −1 for `None`.
    pub fn vector<T>(&mut self, v: Option<&[T]>, mut element: impl FnMut(&mut Self, &T)) {
        match v {
            None => self.int(-1),
            Some(elements) => {
                self.length(elements.len());
                for e in elements {
                    element(self, e);
                }
            }
        }
    }

    /// A length or count of something that is about to be written.
    #[inline]
    pub fn length(&mut self, n: usize) {
        self.int(i32::try_from(n).expect("a length fits an int"));
    }
}
