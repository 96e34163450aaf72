use thiserror::Error;

/// Why bytes are not the record that was asked for.
///
/// Upstream counterpart: the `IOException`s of `org.apache.jute.BinaryInputArchive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The input ends inside a field.
    #[error("input ends at byte {offset}: {needed} more bytes needed")]
    Eof {
        /// Offset of the field that could not be read, from the start of the input.
        offset: usize,
        /// Bytes missing.
        needed: usize,
    },
    /// A string or buffer length is negative (other than −1) or above the limit.
    #[error("unreasonable length {length} at byte {offset} (limit {limit})")]
    UnreasonableLength {
        /// Offset of the length field.
        offset: usize,
        /// The length found.
        length: i32,
        /// The largest length allowed.
        limit: usize,
    },
}
