//! Frames of the client protocol, without I/O: where one ends, what the first one is, how a request begins and
//! how a reply is put together.
//!
//! Every packet is an int length and as many bytes. The first four bytes of a connection may be a four-letter word
//! instead; the first frame is the connect packet; every later one is a request: xid, type, body.
//!
//! Invariants: nothing here allocates by what a length announces, nothing panics on hostile bytes, and a length
//! below zero or above the limit ends the connection.
//!
//! Upstream counterpart: the reading half of `NIOServerCnxn`, `compat.ProtocolManager`. Start reading at [`split`].

mod connect;
mod reply;
mod request;

pub use connect::{ConnectPacket, PASSWORD_LEN_MAX, decode_connect};
pub use reply::{OpenFrame, open_frame, reply_head};
pub use request::{RequestHead, decode_request};

use thiserror::Error;

/// Bytes of a frame's length.
pub const LENGTH_LEN: usize = 4;

/// Why bytes end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A length that is none, or too large.
    #[error("a packet announces {length} bytes, allowed are 0 to {max} (jute.maxbuffer)")]
    Length {
        /// As announced.
        length: i32,
        /// The limit.
        max: usize,
    },
    /// A request without xid and type.
    #[error("a request of {0} bytes has no header, which takes 8")]
    Header(usize),
    /// The connect packet cannot be read.
    #[error("the connect packet of {len} bytes cannot be read: {error}")]
    Connect {
        /// Length of the packet.
        len: usize,
        /// What is wrong with it.
        error: quoll_jute::Error,
    },
    /// A connect packet with an absurd password.
    #[error("the connect packet has a password of {0} bytes; sessions have {PASSWORD_LEN_MAX} at most")]
    Password(usize),
}

/// What the start of a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// A whole frame.
    Frame {
        /// What follows the length.
        payload: &'a [u8],
        /// Bytes of the buffer it takes, length included.
        len: usize,
    },
    /// Not a whole frame yet.
    Partial {
        /// Bytes of the payload, once the length is known.
        announced: Option<usize>,
    },
}

/// Looks at the start of `input` for a frame of at most `max` payload bytes.
///
/// # Errors
/// When the length is negative or above `max`; found as soon as the length is there.
#[inline]
pub fn split(input: &[u8], max: usize) -> Result<Split<'_>, FrameError> {
    let Some((head, rest)) = input.split_first_chunk::<LENGTH_LEN>() else {
        return Ok(Split::Partial { announced: None });
    };
    let length = i32::from_be_bytes(*head);
    let n = match usize::try_from(length) {
        Ok(n) if n <= max => n,
        _ => return Err(FrameError::Length { length, max }),
    };
    match rest.get(..n) {
        Some(payload) => Ok(Split::Frame { payload, len: LENGTH_LEN + n }),
        None => Ok(Split::Partial { announced: Some(n) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_is_found_as_soon_as_its_last_byte_is_there() {
        let bytes = b"\x00\x00\x00\x03abcrest";
        for n in 0..4 {
            assert_eq!(split(&bytes[..n], 10), Ok(Split::Partial { announced: None }));
        }
        for n in 4..7 {
            assert_eq!(split(&bytes[..n], 10), Ok(Split::Partial { announced: Some(3) }));
        }
        assert_eq!(split(bytes, 10), Ok(Split::Frame { payload: b"abc", len: 7 }));
    }

    #[test]
    fn a_length_of_exactly_the_limit_passes_and_one_more_does_not() {
        let max = 1_048_575;
        assert_eq!(split(&[0, 0x0f, 0xff, 0xff], max), Ok(Split::Partial { announced: Some(max) }));
        assert_eq!(split(&[0, 0x10, 0, 0], max), Err(FrameError::Length { length: 0x10_0000, max }));
        assert_eq!(split(&[0xff; 4], max), Err(FrameError::Length { length: -1, max }));
        assert_eq!(split(&[0; 4], max), Ok(Split::Frame { payload: b"", len: 4 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_without_panic_and_cover_the_input(bytes: Vec<u8>, max in 0usize..64) {
            let mut rest = &bytes[..];
            while let Ok(Split::Frame { payload, len }) = split(rest, max) {
                prop_assert_eq!(payload.len() + LENGTH_LEN, len);
                prop_assert!(payload.len() <= max);
                rest = &rest[len..];
            }
        }
    }
}
