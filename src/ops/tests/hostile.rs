//! Whatever the bytes are: an answer, never a panic, and the digest stays right.

use super::*;
use proptest::prelude::*;

const FROM_CLIENTS: std::ops::RangeInclusive<i32> = -12..=110;

/// Any operation a client may send, whatever its body is.
fn send(w: &mut World, op: OpCode, body: &Bytes) {
    if is_write(op) {
        let prepared = w.prepare(op, body);
        if !prepared.takes_zxid {
            assert_eq!(prepared.error, Some(ErrorCode::MarshallingError));
        }
        assert!(matches!(prepared.body, TxnBody::One(_) | TxnBody::Multi(_) | TxnBody::CloseSession { .. }));
        w.apply_all();
    } else if !matches!(op, OpCode::Auth | OpCode::Sasl) {
        let mut out = Vec::new();
        let _ = w.read_into(op, body, &mut out);
    }
}

/// Requests that are right or nearly so.
fn plausible() -> Vec<Bytes> {
    vec![
        create("/x", 0),
        create_ttl("/x", 5, 5),
        delete("/x", -1),
        set_data("/x", b"data", -1),
        set_acl("/x", &[entry(31, "digest", "a:b")], -1),
        at("/", true),
        super::multi::of(vec![(1, create("/m", 1)), super::multi::check("/m", 0), (2, delete("/m", -1))]),
        super::multi::of(vec![(4, at("/", true)), (8, at("/", true))]),
    ]
}

proptest! {
    #[test]
    fn random_bodies_are_answered(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..8)) {
        let mut w = World::new();
        for body in bodies {
            let body = Bytes::from(body);
            for op in FROM_CLIENTS.filter(|op| is_known_from_client(*op)) {
                send(&mut w, OpCode::from_code(op).unwrap(), &body);
            }
        }
    }

    #[test]
    fn damaged_requests_are_answered(which in 0..8usize, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut w = World::new();
        let mut body = plausible()[which].to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        let cut = cut.index(body.len() + 1);
        for body in [Bytes::from(body.clone()), Bytes::from(body).slice(..cut)] {
            for op in FROM_CLIENTS.filter(|op| is_known_from_client(*op)) {
                send(&mut w, OpCode::from_code(op).unwrap(), &body);
            }
        }
    }
}

#[test]
fn every_cut_of_a_write_is_one_failure_that_takes_no_zxid() {
    let mut w = World::new();
    for (op, body) in [
        (OpCode::Create, create("/x", 0)),
        (OpCode::CreateTtl, create_ttl("/x", 5, 5)),
        (OpCode::Delete, delete("/x", -1)),
        (OpCode::SetData, set_data("/x", b"data", -1)),
        (OpCode::SetAcl, set_acl("/x", &[entry(31, "world", "anyone")], -1)),
    ] {
        for cut in 0..body.len() {
            let zxid = w.zxid;
            let prepared = w.prepare(op, &body.slice(..cut));
            assert_eq!(prepared.error, Some(ErrorCode::MarshallingError), "{op:?} cut at {cut}");
            assert!(!prepared.takes_zxid && prepared.digest.is_none());
            assert_eq!(w.zxid, zxid);
            w.apply_all();
        }
    }
}

#[test]
fn clients_cannot_send_what_is_the_servers_own() {
    for op in
        [OpCode::Notification, OpCode::Check, OpCode::Error, OpCode::CreateSession, OpCode::DeleteContainer]
    {
        assert!(!is_known_from_client(op.code()), "{op:?}");
    }
    for op in [-12, 10, 23, 99, 108, 1000, i32::MIN, i32::MAX] {
        assert!(!is_known_from_client(op), "{op}");
    }
    let known = FROM_CLIENTS.filter(|op| is_known_from_client(*op)).count();
    assert_eq!(known, OpCode::ALL.len() - 5);
}

#[test]
fn bytes_behind_a_request_do_not_matter() {
    let mut w = World::new();
    let body = [&create("/x", 0)[..], b"trailing"].concat();
    assert_eq!(w.write(OpCode::Create, &body.into()).0, 0);
    let body = [&at("/x", false)[..], b"trailing"].concat();
    assert!(w.read(OpCode::GetData, &body.into()).is_ok());
}
