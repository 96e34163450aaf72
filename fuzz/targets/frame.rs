//! The bytes of a connection: where frames end, the connect packet, the heads of requests and replies.
//!
//! Holds: however the bytes arrive, the same frames come out; what is decoded says all that was in the packet.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoll::frame::{
    LENGTH_LEN, PASSWORD_LEN_MAX, Split, decode_connect, decode_request, open_frame, reply_head, split,
};
use quoll::types::Zxid;
use quoll_jute::client::ConnectRequest;

/// Small, so that lengths on both sides of it are found.
const PAYLOAD_LEN_MAX: usize = 2000;

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    let mut first = true;
    loop {
        let whole = split(rest, PAYLOAD_LEN_MAX);
        arrives_in_pieces(rest, &whole);
        let Ok(Split::Frame { payload, len }) = whole else { break };
        assert_eq!(payload.len() + LENGTH_LEN, len);
        if first {
            connect(payload);
        }
        request(payload);
        reply(payload);
        first = false;
        rest = &rest[len..];
    }
});

/// A shorter start of the same bytes never says anything else.
fn arrives_in_pieces(bytes: &[u8], whole: &Result<Split<'_>, quoll::frame::FrameError>) {
    let end = match whole {
        Ok(Split::Frame { len, .. }) => *len,
        _ => bytes.len(),
    };
    let wholly_known = |n: usize| match whole {
        Ok(Split::Frame { payload, .. }) if n >= LENGTH_LEN => Some(payload.len()),
        Ok(Split::Partial { announced }) if n >= LENGTH_LEN => *announced,
        _ => None,
    };
    for n in (0..end).step_by(1 + end / 64) {
        match split(&bytes[..n], PAYLOAD_LEN_MAX) {
            Ok(Split::Partial { announced }) => assert_eq!(announced, wholly_known(n)),
            Ok(Split::Frame { .. }) => panic!("a frame ends before its end"),
            Err(e) => assert_eq!(Err(e), *whole),
        }
    }
}

fn connect(payload: &[u8]) {
    let Ok(packet) = decode_connect(payload) else { return };
    assert!(packet.password.len() <= PASSWORD_LEN_MAX);
    assert!(packet.has_read_only_byte || !packet.read_only);
    let mut again = quoll_jute::to_vec(&ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: packet.last_zxid_seen.0,
        time_out: packet.timeout_ms,
        session_id: packet.session.0,
        passwd: Some(packet.password),
    });
    if packet.has_read_only_byte {
        again.push(u8::from(packet.read_only));
    }
    assert_eq!(decode_connect(&again), Ok(packet));
}

fn request(payload: &[u8]) {
    match decode_request(payload) {
        Ok(head) => {
            let again = [&head.xid.to_be_bytes()[..], &head.op.to_be_bytes(), head.body].concat();
            assert_eq!(again, payload);
        }
        Err(_) => assert!(payload.len() < 8),
    }
}

fn reply(payload: &[u8]) {
    let mut out = vec![7];
    let frame = open_frame(&mut out);
    reply_head(&mut out, 1, Zxid(2), -3);
    out.extend_from_slice(payload);
    frame.finish(&mut out);
    let Ok(Split::Frame { payload: back, len }) = split(&out[1..], usize::MAX) else { panic!("a frame") };
    assert_eq!((len + 1, back.len()), (out.len(), 16 + payload.len()));
    assert_eq!(&back[16..], payload);
}
