//! The ZooKeeper records: what clients, servers and files exchange, byte for byte.
//!
//! The records are described in the Jute interface language in `idl/*.jute`, parsed by [`idl`], turned into Rust
//! by [`codegen`] at build time, and read and written by [`Reader`] and [`Writer`]. This crate does no I/O.
//!
//! Invariants: reading never panics and never allocates more than the input justifies; null and empty differ;
//! what is written reads back equal.
//!
//! Start here: [`client::CreateRequest`] for a generated record, [`Record`] for what each of them can do.
//!
//! ```
//! use quoll_jute::{client::GetDataRequest, from_slice, to_vec};
//! let request = GetDataRequest { path: Some("/a".into()), watch: true };
//! let bytes = to_vec(&request);
//! assert_eq!(bytes, b"\x00\x00\x00\x02/a\x01");
//! assert_eq!(from_slice::<GetDataRequest>(&bytes).unwrap(), request);
//! ```

pub mod codegen;
mod error;
pub mod idl;
mod reader;
mod writer;

pub use error::Error;
pub use reader::{Limits, Reader};
pub use writer::Writer;

/// Text of a record: borrowed from the input where it was valid UTF-8.
pub type Text<'a> = std::borrow::Cow<'a, str>;

/// A record that can be read from and written to bytes.
///
/// Upstream counterpart: `org.apache.jute.Record`.
pub trait Record<'a>: Sized {
    /// The least number of bytes the record takes.
    const LEN_MIN: usize;

    /// Reads the fields in wire order.
    ///
    /// # Errors
    /// When the input ends early or a length is out of bounds.
    fn read(r: &mut Reader<'a>) -> Result<Self, Error>;

    /// Appends the fields in wire order.
    fn write(&self, w: &mut Writer<'_>);
}

/// Reads one record from the start of `bytes`; what follows it is ignored, as upstream does.
///
/// # Errors
/// When the input ends early or a length is out of bounds.
pub fn from_slice<'a, R: Record<'a>>(bytes: &'a [u8]) -> Result<R, Error> {
    R::read(&mut Reader::new(bytes))
}

/// The bytes of one record.
pub fn to_vec<'a, R: Record<'a>>(record: &R) -> Vec<u8> {
    let mut out = Vec::new();
    record.write(&mut Writer::new(&mut out));
    out
}

#[doc(hidden)]
pub type Recode = fn(&[u8]) -> Result<Vec<u8>, Error>;

include!(concat!(env!("OUT_DIR"), "/records.rs"));
