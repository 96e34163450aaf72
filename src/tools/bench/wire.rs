//! Requests as bytes, encoded once before the run.
//!
//! Start at [`request`]; [`Template`] is how a run sends the same request again with another xid, another znode of a
//! family of equal-length names, or both.

use quoll_jute::data::{Acl, Id};
use quoll_jute::{Record, Writer};

/// Opcodes the generator sends. Upstream: `ZooDefs.OpCode`.
pub(super) mod op {
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_CHILDREN: i32 = 8;
    pub const PING: i32 = 11;
    pub const MULTI: i32 = 14;
    pub const CLOSE_SESSION: i32 = -11;
}

/// Xid of a ping, both ways.
pub(super) const XID_PING: i32 = -2;
/// Xid of a watch notification.
pub(super) const XID_NOTIFICATION: i32 = -1;
/// Error code of a create whose znode is there already.
pub(super) const NODE_EXISTS: i32 = -110;
/// Error code of an operation on a znode that is not there.
pub(super) const NO_NODE: i32 = -101;
/// Error code of a delete whose znode has children.
pub(super) const NOT_EMPTY: i32 = -111;
/// Bytes of a reply header: xid, zxid, error.
pub(super) const REPLY_HEADER_LEN: usize = 16;
/// Bytes of a Stat.
pub(super) const STAT_LEN: usize = 68;

/// Appends one framed request.
pub(super) fn request(out: &mut Vec<u8>, xid: i32, op: i32, body: impl FnOnce(&mut Writer<'_>)) {
    frame(out, |w| {
        w.int(xid);
        w.int(op);
        body(w);
    });
}

/// Appends one frame: length and whatever `body` writes.
pub(super) fn frame(out: &mut Vec<u8>, body: impl FnOnce(&mut Writer<'_>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(&mut Writer::new(out));
    let length = u32::try_from(out.len() - at - 4).expect("a request is shorter than 4 GiB");
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Xid and error code of a reply.
#[inline]
pub(super) fn reply_header(frame: &[u8]) -> Option<(i32, i32)> {
    let head: &[u8; REPLY_HEADER_LEN] = frame.first_chunk()?;
    let int = |at: usize| i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    Some((int(0), int(12)))
}

/// The list that lets everybody do everything.
pub(super) fn acl_open() -> Vec<Acl<'static>> {
    vec![Acl { perms: 31, id: Id { scheme: Some("world".into()), id: Some("anyone".into()) } }]
}

/// Body of a create.
pub(super) fn create<'a>(path: &'a str, data: &'a [u8], ephemeral: bool) -> impl Fn(&mut Writer<'_>) + 'a {
    move |w| {
        quoll_jute::client::CreateRequest {
            path: Some(path.into()),
            data: Some(data),
            acl: Some(acl_open()),
            flags: i32::from(ephemeral),
        }
        .write(w);
    }
}

/// Body of a setData or, without data, a delete; any version.
pub(super) fn set<'a>(path: &'a str, data: &'a [u8]) -> impl Fn(&mut Writer<'_>) + 'a {
    move |w| {
        quoll_jute::client::SetDataRequest { path: Some(path.into()), data: Some(data), version: -1 }
            .write(w);
    }
}

/// Body of a delete, any version.
pub(super) fn delete(path: &str) -> impl Fn(&mut Writer<'_>) + '_ {
    move |w| quoll_jute::client::DeleteRequest { path: Some(path.into()), version: -1 }.write(w)
}

/// Body of a read: getData, exists and getChildren look the same.
pub(super) fn read(path: &str, watch: bool) -> impl Fn(&mut Writer<'_>) + '_ {
    move |w| quoll_jute::client::GetDataRequest { path: Some(path.into()), watch }.write(w)
}

/// Body of a multi: each element is an opcode and what that operation's body is.
pub(super) fn multi<F: Fn(&mut Writer<'_>)>(w: &mut Writer<'_>, operations: impl Iterator<Item = (i32, F)>) {
    let header = |w: &mut Writer<'_>, type_, done| {
        quoll_jute::client::MultiHeader { type_, done, err: -1 }.write(w);
    };
    for (op, body) in operations {
        header(w, op, false);
        body(w);
    }
    header(w, -1, true);
}

/// One encoded request in which the xid and the numbers inside paths are filled in as it is sent.
///
/// A run of `#` in a path is a number: `/a/####` is the family `/a/0000`, `/a/0001`, …
#[derive(Clone, Debug)]
pub(super) struct Template {
    bytes: Vec<u8>,
    /// Where the numbers stand.
    numbers: Vec<std::ops::Range<usize>>,
}

impl Template {
    /// Encodes a request whose `body` names `path`, once or several times.
    pub fn new(op: i32, path: &str, body: impl FnOnce(&mut Writer<'_>)) -> Self {
        let mut bytes = Vec::new();
        request(&mut bytes, 0, op, body);
        let marks = runs_of_marks(path);
        let mut numbers = Vec::new();
        if !marks.is_empty() {
            for at in (0..bytes.len()).filter(|&at| bytes[at..].starts_with(path.as_bytes())) {
                numbers.extend(marks.iter().map(|run| at + run.start..at + run.end));
            }
        }
        Self { bytes, numbers }
    }

    /// Appends the request with these numbers in its paths.
    #[inline]
    pub fn append(&self, out: &mut Vec<u8>, xid: i32, numbers: &[u64]) {
        let at = out.len();
        out.extend_from_slice(&self.bytes);
        out[at + 4..at + 8].copy_from_slice(&xid.to_be_bytes());
        for (place, &number) in self.numbers.iter().zip(numbers) {
            write_digits(&mut out[at + place.start..at + place.end], number);
        }
    }
}

fn runs_of_marks(path: &str) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, _) in path.match_indices('#') {
        match runs.last_mut() {
            Some(run) if run.end == at => run.end += 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

/// Fills `digits` with the decimal number `n`, zeroes in front.
#[inline]
pub(super) fn write_digits(digits: &mut [u8], mut n: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (n % 10) as u8;
        n /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_differs_from_a_fresh_encoding_only_in_the_numbers_and_the_xid() {
        let template = Template::new(op::CREATE, "/a/##/####", create("/a/##/####", b"x#y", true));
        let mut sent = Vec::new();
        template.append(&mut sent, 7, &[5, 123]);
        let mut fresh = Vec::new();
        request(&mut fresh, 7, op::CREATE, create("/a/05/0123", b"x#y", true));
        assert_eq!(sent, fresh);
    }

    #[test]
    fn a_template_fills_in_every_operation_of_a_multi() {
        let body = |path: &'static str| {
            move |w: &mut Writer<'_>| multi(w, (0..2).map(|_| (op::DELETE, delete(path))))
        };
        let template = Template::new(op::MULTI, "/##/b", body("/##/b"));
        let mut sent = Vec::new();
        template.append(&mut sent, 1, &[7, 7]);
        let mut fresh = Vec::new();
        request(&mut fresh, 1, op::MULTI, body("/07/b"));
        assert_eq!(sent, fresh);
    }

    #[test]
    fn a_multi_ends_with_a_done_header() {
        let mut out = Vec::new();
        request(&mut out, 1, op::MULTI, |w| multi(w, [(op::DELETE, delete("/a"))].into_iter()));
        assert_eq!(&out[out.len() - 9..], b"\xff\xff\xff\xff\x01\xff\xff\xff\xff");
        assert_eq!(u32::from_be_bytes(out[..4].try_into().unwrap()) as usize, out.len() - 4);
    }
}
