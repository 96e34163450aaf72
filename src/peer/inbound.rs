use crate::zab::{Packet, PacketError, Sender};
use quoll_jute::Limits;
use std::io::{self, Read};
use thiserror::Error;

/// Bytes of the buffer at first: what a stranger costs.
const BUFFER_MIN: usize = 4 << 10;
/// Bytes read at once, when there are so many.
const READ_MAX: usize = 64 << 10;
/// Bytes that a packet may have besides its data: head and identities.
const EXTRA_MAX: usize = 1 << 20;
/// A buffer larger than this is given back when a packet that needed it is through.
const KEEP_MAX: usize = 4 * READ_MAX;

/// Why what came in is no packet.
#[derive(Debug, Error)]
pub(super) enum InboundError {
    #[error(transparent)]
    Packet(#[from] PacketError),
    #[error("a quorum packet of more than {0} bytes")]
    TooLong(usize),
}

/// Cuts what comes in into packets.
#[derive(Debug)]
pub(super) struct Inbound {
    buf: Vec<u8>,
    /// What came in and is no packet yet.
    start: usize,
    end: usize,
    /// The last read took all it had room for.
    filled: bool,
    sender: Sender,
    limits: Limits,
}

impl Inbound {
    /// `limits` are those of one packet's data; upstream's `jute.maxbuffer` and `jute.maxbuffer.extrasize`.
    pub fn new(sender: Sender, limits: Limits) -> Self {
        Self { buf: Vec::new(), start: 0, end: 0, filled: false, sender, limits }
    }

    /// Reads once. 0 is the end.
    pub fn read_from(&mut self, source: &mut impl Read) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buf.len() > KEEP_MAX {
                self.buf = vec![0; READ_MAX];
            }
        }
        if self.end == self.buf.len() {
            if self.start > 0 {
                self.buf.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            // Twice what has arrived, whatever length was announced.
            if self.buf.len() - self.end <= self.buf.len() / 2 {
                self.buf.resize((self.buf.len() * 2).max(BUFFER_MIN), 0);
            }
        }
        let room = (self.buf.len() - self.end).min(READ_MAX);
        let n = loop {
            match source.read(&mut self.buf[self.end..self.end + room]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => break done?,
            }
        };
        self.end += n;
        self.filled = n == room;
        // One full read: there may be more of the kind.
        if self.filled && self.buf.len() < READ_MAX {
            self.buf.resize(self.buf.len() * 2, 0);
        }
        Ok(n)
    }

    /// Whether the last read left something where it read.
    pub fn may_have_more(&self) -> bool {
        self.filled
    }

    /// The next packet, if it is there as a whole.
    pub fn next(&mut self) -> Result<Option<Packet>, InboundError> {
        let input = &self.buf[self.start..self.end];
        let Some((packet, len)) = Packet::read(input, self.sender, self.limits)? else {
            let max = self.limits.length_max.saturating_add(EXTRA_MAX);
            return if input.len() > max { Err(InboundError::TooLong(max)) } else { Ok(None) };
        };
        self.start += len;
        Ok(Some(packet))
    }

    /// What came in and is no packet yet, to be read otherwise.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.buf[self.start..self.end].to_vec();
        (self.start, self.end) = (0, 0);
        rest
    }

    /// Opposite of [`Self::take_rest`].
    pub fn put_back(&mut self, rest: Vec<u8>) {
        debug_assert_eq!(self.start, self.end);
        (self.start, self.end) = (0, rest.len());
        self.buf = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte behind a tree left no room to read into, and what was read then, nothing, was taken for the end of the
    /// connection.
    #[test]
    fn however_little_is_put_back_there_is_room_for_more() {
        let ack = Packet::Ack { zxid: crate::types::Zxid(7) };
        let bytes = ack.to_bytes();
        for ahead in 0..bytes.len() {
            let mut inbound = Inbound::new(Sender::Learner, Limits::DEFAULT);
            inbound.put_back(bytes[..ahead].to_vec());
            let mut rest = &bytes[ahead..];
            while !rest.is_empty() {
                assert_ne!(inbound.read_from(&mut rest).unwrap(), 0, "{ahead} bytes were put back");
            }
            assert_eq!(inbound.next().unwrap(), Some(ack.clone()));
        }
    }
}
