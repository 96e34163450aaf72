use crate::{
    frame::{LENGTH_LEN, open_frame, reply_head},
    types::{SessionId, Zxid},
};
use quoll_jute::{Record, Writer, client};

/// xid of a notification.
const XID_NOTIFICATION: i32 = -1;
/// Keeper state "connected", the only one a server sends.
const STATE_CONNECTED: i32 = 3;

/// Appends one frame: length, header, and what `body` writes.
pub fn write_reply_frame(out: &mut Vec<u8>, xid: i32, zxid: Zxid, err: i32, body: impl FnOnce(&mut Vec<u8>)) {
    let frame = open_frame(out);
    reply_head(out, xid, zxid, err);
    body(out);
    frame.finish(out);
}

/// Appends a frame whose body says which error number the header gets; 0 is success.
pub fn write_result_frame(out: &mut Vec<u8>, xid: i32, zxid: Zxid, body: impl FnOnce(&mut Vec<u8>) -> i32) {
    const ERR_AT: usize = LENGTH_LEN + 4 + 8;
    let start = out.len();
    let frame = open_frame(out);
    reply_head(out, xid, zxid, 0);
    let err = body(out);
    out[start + ERR_AT..start + ERR_AT + 4].copy_from_slice(&err.to_be_bytes());
    frame.finish(out);
}

/// Appends the frame of a watch that fired. `zxid` is that of the txn, or −1 for events that setWatches made.
pub fn write_notification_frame(out: &mut Vec<u8>, zxid: Zxid, kind: i32, path: &str) {
    write_reply_frame(out, XID_NOTIFICATION, zxid, 0, |out| {
        let w = &mut Writer::new(out);
        w.int(kind);
        w.int(STATE_CONNECTED);
        w.text(Some(path));
    });
}

/// Appends the answer to a first packet. Session 0 with timeout 0 says that the session is over.
pub fn write_connect_frame(
    out: &mut Vec<u8>,
    timeout_ms: i32,
    session: SessionId,
    password: &[u8],
    read_only_byte: Option<bool>,
) {
    let frame = open_frame(out);
    let w = &mut Writer::new(out);
    client::ConnectResponse {
        protocol_version: 0,
        time_out: timeout_ms,
        session_id: session.0,
        passwd: Some(password),
    }
    .write(w);
    if let Some(read_only) = read_only_byte {
        w.bool(read_only);
    }
    frame.finish(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::password;

    #[test]
    fn a_new_sessions_frame_is_the_one_that_the_upstream_server_sent() {
        let session = SessionId(0x0100_002e_a7b1_0000);
        let mut out = Vec::new();
        write_connect_frame(&mut out, 12_000, session, &password(session), Some(false));
        let seen = b"\0\0\0\x25\0\0\0\0\0\0\x2e\xe0\x01\0\0\x2e\xa7\xb1\0\0\0\0\0\x10\
                     \x35\x40\x82\x4a\x1e\x26\x96\xb2\x9b\xfa\xd5\xbf\x97\x3e\xc9\xf3\0";
        assert_eq!(out, seen);
        out.clear();
        write_connect_frame(&mut out, 0, SessionId::NONE, &[0; 16], None);
        assert_eq!(out.len(), 4 + 36);
    }

    #[test]
    fn the_body_decides_the_error_of_the_header() {
        let mut out = vec![7];
        write_result_frame(&mut out, 5, Zxid(9), |_| -101);
        assert_eq!(&out[1..], b"\0\0\0\x10\0\0\0\x05\0\0\0\0\0\0\0\x09\xff\xff\xff\x9b");
    }
}
