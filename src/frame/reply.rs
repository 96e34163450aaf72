use super::LENGTH_LEN;
use crate::types::Zxid;

/// A frame under construction at the end of a buffer.
#[must_use = "a frame has to be finished"]
#[derive(Debug)]
pub struct OpenFrame {
    at: usize,
}

/// Begins a frame; its length is filled in by [`OpenFrame::finish`].
#[inline]
pub fn open_frame(out: &mut Vec<u8>) -> OpenFrame {
    let at = out.len();
    out.extend_from_slice(&[0; LENGTH_LEN]);
    OpenFrame { at }
}

impl OpenFrame {
    /// Writes the length of everything that was appended since.
    ///
    /// # Panics
    /// When that is more than an int can say, which the limits on requests and znodes exclude.
    #[inline]
    pub fn finish(self, out: &mut [u8]) {
        let length = i32::try_from(out.len() - self.at - LENGTH_LEN).expect("a frame fits an int length");
        out[self.at..self.at + LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
    }

    /// Takes back what was appended, the length included.
    pub fn discard(self, out: &mut Vec<u8>) {
        out.truncate(self.at);
    }
}

/// Appends a reply header.
///
/// Upstream counterpart: `proto.ReplyHeader`.
#[inline]
pub fn reply_head(out: &mut Vec<u8>, xid: i32, zxid: Zxid, err: i32) {
    let mut head = [0; 16];
    head[..4].copy_from_slice(&xid.to_be_bytes());
    head[4..12].copy_from_slice(&zxid.0.to_be_bytes());
    head[12..].copy_from_slice(&err.to_be_bytes());
    out.extend_from_slice(&head);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_carries_the_length_of_what_follows() {
        let mut out = vec![1];
        let frame = open_frame(&mut out);
        reply_head(&mut out, -2, Zxid(0x0102), -101);
        frame.finish(&mut out);
        assert_eq!(out[1..5], [0, 0, 0, 16]);
        assert_eq!(out[5..], *b"\xff\xff\xff\xfe\x00\x00\x00\x00\x00\x00\x01\x02\xff\xff\xff\x9b");
        open_frame(&mut out).discard(&mut out);
        assert_eq!(out.len(), 21);
    }
}
