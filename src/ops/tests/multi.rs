use super::*;
use crate::types::{Stat, SubTxn};
use quoll_jute::Writer;
use quoll_jute::client::{CheckVersionRequest, MultiHeader};

/// An operation of a multi: its type and body.
pub(in crate::ops) type Op = (i32, Bytes);

pub(in crate::ops) fn of(ops: Vec<Op>) -> Bytes {
    let mut out = Vec::new();
    for (type_, body) in ops {
        MultiHeader { type_, done: false, err: -1 }.write(&mut Writer::new(&mut out));
        out.extend_from_slice(&body);
    }
    MultiHeader { type_: -1, done: true, err: -1 }.write(&mut Writer::new(&mut out));
    out.into()
}

pub(in crate::ops) fn check(path: &str, version: i32) -> Op {
    (13, bytes(&CheckVersionRequest { path: Some(path.into()), version }))
}

/// The answer to a multi that failed.
pub(in crate::ops) fn errors(codes: &[i32]) -> Vec<u8> {
    let mut out = Vec::new();
    for code in codes {
        MultiHeader { type_: -1, done: false, err: *code }.write(&mut Writer::new(&mut out));
        Writer::new(&mut out).int(*code);
    }
    MultiHeader { type_: -1, done: true, err: -1 }.write(&mut Writer::new(&mut out));
    out
}

/// The answer to a multi that did not.
pub(in crate::ops) fn results(results: Vec<(OpCode, Vec<u8>)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (op, body) in results {
        MultiHeader { type_: op.code(), done: false, err: 0 }.write(&mut Writer::new(&mut out));
        out.extend_from_slice(&body);
    }
    MultiHeader { type_: -1, done: true, err: -1 }.write(&mut Writer::new(&mut out));
    out
}

fn stat_of(w: &World, path: &str) -> Stat {
    w.tree.lookup(path).expect(path).stat()
}

#[test]
fn an_empty_multi_takes_a_zxid_and_answers_with_the_end_only() {
    let mut w = World::new();
    let zxid = w.zxid;
    assert_eq!(w.write(OpCode::Multi, &of(vec![])), (0, results(vec![])));
    assert_eq!(w.zxid, zxid.next());
}

#[test]
fn every_kind_of_operation_is_answered_in_its_form() {
    let mut config = OpsConfig::default();
    config.owner_rules.extended_types = true;
    let mut w = World::with_config(config);
    w.make("/set");
    w.make("/gone");
    let (err, out) = w.write(
        OpCode::Multi,
        &of(vec![
            (1, create("/a", 0)),
            (15, create("/b", 0)),
            (19, create("/c", 4)),
            (21, create_ttl("/t", 5, 1000)),
            (5, set_data("/set", b"new", 0)),
            (2, delete("/gone", -1)),
            check("/set", 1),
            (1, create("/flagged", 4)),
            (21, create_ttl("/plain", 0, 1000)),
        ]),
    );
    assert_eq!(err, 0);
    let text = |path: &str| {
        let mut out = Vec::new();
        Writer::new(&mut out).text(Some(path));
        out
    };
    let with_stat = |path: &str| [text(path), to_vec(&stat_of(&w, path))].concat();
    assert_eq!(
        out,
        results(vec![
            (OpCode::Create, text("/a")),
            (OpCode::Create2, with_stat("/b")),
            (OpCode::Create2, with_stat("/c")),
            (OpCode::Create2, with_stat("/t")),
            (OpCode::SetData, to_vec(&stat_of(&w, "/set"))),
            (OpCode::Delete, vec![]),
            (OpCode::Check, vec![]),
            (OpCode::Create2, with_stat("/flagged")),
            (OpCode::Create, text("/plain")),
        ])
    );
    assert_eq!(w.tree.containers().count(), 2, "in a multi the flag makes a container");
    assert_eq!(w.tree.ttls().count(), 1, "without a TTL mode the TTL does not matter");
}

#[test]
fn a_failure_takes_everything_back_and_is_told_for_each_operation() {
    let mut w = World::new();
    w.make("/there");
    let (txns_before, digest) = (w.tree.node_count(), w.tree.digest());
    let prepared = w.prepare(
        OpCode::Multi,
        &of(vec![
            (1, create("/a", 0)),
            (5, set_data("/there", b"new", -1)),
            (1, create("/there", 0)),
            (2, delete("/none", -1)),
        ]),
    );
    assert_eq!(prepared.error, None);
    assert_eq!(prepared.digest, Some(digest), "a failed multi carries the digest");
    let TxnBody::Multi(txns) = &prepared.body else { panic!("{prepared:?}") };
    assert!(matches!(&txns[0], SubTxn::Create { path, .. } if path == "/a"), "the form it had stays");
    assert!(matches!(&txns[1], SubTxn::SetData { .. }));
    assert_eq!(txns[2..], [SubTxn::Error { code: -110 }, SubTxn::Error { code: -2 }]);
    assert!(w.outstanding.is_empty());
    let (txn, applied) = w.apply_one().unwrap();
    let mut out = Vec::new();
    assert_eq!(write_reply(&txn.body, &applied, &mut out), 0);
    assert_eq!(out, errors(&[0, 0, -110, -2]));
    assert_eq!((w.tree.node_count(), w.tree.digest()), (txns_before, digest));
}

#[test]
fn operations_see_those_before_them() {
    let mut w = World::new();
    let prepared = w.prepare(
        OpCode::Multi,
        &of(vec![
            (1, create("/x", 0)),
            (1, create("/x/y", 0)),
            (5, set_data("/x/y", b"1", 0)),
            (5, set_data("/x/y", b"2", 1)),
            check("/x/y", 2),
            (1, create("/x/s", 2)),
            (1, create("/x/s", 2)),
            (2, delete("/x/y", 2)),
            (1, create("/x/y", 0)),
        ]),
    );
    let TxnBody::Multi(txns) = &prepared.body else { panic!("{prepared:?}") };
    assert!(matches!(&txns[5], SubTxn::Create { path, .. } if path == "/x/s0000000001"), "{txns:?}");
    assert!(matches!(&txns[6], SubTxn::Create { path, .. } if path == "/x/s0000000002"));
    w.apply_all();
    assert_eq!(w.tree.lookup("/x").unwrap().child_count(), 3);

    let (err, out) = w.write(OpCode::Multi, &of(vec![(1, create("/e", 1)), (1, create("/e/kid", 0))]));
    assert_eq!((err, out), (0, errors(&[0, -108])));
}

#[test]
fn numbers_given_in_a_failed_multi_are_given_again() {
    let mut w = World::new();
    w.make("/q");
    let first = w.prepare(OpCode::Create, &create("/q/n", 2));
    assert_eq!(created_path(&first.body), "/q/n0000000000");
    w.prepare(
        OpCode::Multi,
        &of(vec![(1, create("/q/n", 2)), (1, create("/q/m", 2)), (2, delete("/none", -1))]),
    );
    let next = w.prepare(OpCode::Create, &create("/q/n", 2));
    assert_eq!(created_path(&next.body), "/q/n0000000001");
    w.apply_all();
}

#[test]
fn a_multi_that_makes_no_sense_is_one_failure() {
    let bad_flag = create("/x", 9);
    let ttl_flag = create("/x", 5);
    let mixed = of(vec![(1, create("/x", 0)), (4, at("/", false))]);
    let reads = of(vec![(4, at("/", false))]);
    let acl_of_null_id = [data::Acl { perms: 31, id: data::Id { scheme: Some("world".into()), id: None } }];
    let whole = of(vec![(1, create("/x", 0))]);
    let null_path = bytes(&SetDataRequest::default());
    for (what, body) in [
        ("nothing", Bytes::new()),
        ("no end", whole.slice(..whole.len() - 1)),
        ("flag", of(vec![(1, create("/y", 0)), (1, bad_flag)])),
        ("TTL flag without a TTL", of(vec![(1, ttl_flag)])),
        ("mixed", mixed),
        ("reads", reads),
        ("setACL", of(vec![(1, create("/x", 0)), (7, set_acl("/", &[], -1))])),
        ("multi in multi", of(vec![(14, of(vec![]))])),
        ("unknown operation", of(vec![(77, Bytes::new())])),
        ("deleteContainer", of(vec![(20, bytes(&DeleteRequest::default()))])),
        ("null path", of(vec![(1, create("/x", 0)), (5, null_path)])),
        ("null id", of(vec![(1, create("/x", 0)), (1, create_with("/y", None, &acl_of_null_id, 0))])),
    ] {
        let mut w = World::new();
        let zxid = w.zxid;
        let prepared = w.prepare(OpCode::Multi, &body);
        assert_eq!(prepared.error, Some(ErrorCode::MarshallingError), "{what}");
        assert_eq!(prepared.body, TxnBody::One(SubTxn::Error { code: -5 }), "{what}");
        assert!(prepared.takes_zxid && prepared.digest.is_none(), "{what}");
        assert_eq!(w.zxid, zxid.next());
        assert!(w.outstanding.is_empty(), "{what}");
        w.apply_all();
    }
    let no_acl = bytes(&CreateRequest { path: Some("/x".into()), ..CreateRequest::default() });
    let prepared = World::new().prepare(OpCode::Multi, &of(vec![(1, no_acl)]));
    assert_eq!((prepared.error, prepared.takes_zxid), (Some(ErrorCode::MarshallingError), false));
    // In a TTL create the null list is found later, by the operation.
    let no_acl = bytes(&CreateTtlRequest { path: Some("/x".into()), ..CreateTtlRequest::default() });
    assert_eq!(World::new().write(OpCode::Multi, &of(vec![(21, no_acl)])), (0, errors(&[-114])));
    let bad_flag = create_ttl("/x", 9, 5);
    assert_eq!(World::new().write(OpCode::Multi, &of(vec![(21, bad_flag)])), (0, errors(&[-8])));
}

#[test]
fn a_moved_session_in_a_multi_is_told_to_the_caller() {
    let mut w = World::new();
    w.sessions.0.insert(ME, ErrorCode::SessionMoved);
    let prepared = w.prepare(OpCode::Multi, &of(vec![(1, create("/x", 0))]));
    assert_eq!(prepared.error, Some(ErrorCode::SessionMoved));
    w.sessions.0.insert(ME, ErrorCode::SessionExpired);
    assert_eq!(w.write(OpCode::Multi, &of(vec![(1, create("/x", 0))])), (0, errors(&[-112])));
}

#[test]
fn an_empty_multi_of_a_moved_session_does_not_pass_behind_newer_requests() {
    let mut w = World::new();
    assert_eq!(w.prepare(OpCode::Multi, &of(vec![])).error, None);
    w.sessions.0.insert(ME, ErrorCode::SessionMoved);
    let prepared = w.prepare(OpCode::Multi, &of(vec![]));
    assert_eq!(prepared.error, Some(ErrorCode::SessionMoved));
    assert_eq!(prepared.body, TxnBody::One(SubTxn::Error { code: -118 }));
}
