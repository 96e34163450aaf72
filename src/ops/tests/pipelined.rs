//! Requests that are prepared before those ahead of them are applied come out as if they had not been: the same txns,
//! the same failures, the same digests.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Request {
    Create { path: usize, flags: i32, acl: usize, kind: usize },
    CreateTtl { path: usize, ttl: i64 },
    Delete { path: usize, version: i32 },
    SetData { path: usize, len: usize, version: i32 },
    SetAcl { path: usize, acl: usize, version: i32 },
    Check { path: usize, version: i32 },
}

#[derive(Clone, Debug)]
enum Step {
    One(u8, Request),
    Multi(u8, Vec<Request>),
    Close(u8),
    Undecodable,
    DeleteContainer(usize),
}

const PATHS: &[&str] = &[
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/b/d",
    "/a/e",
    "/f",
    "/f/g",
    "/f/",
    "/zookeeper/x",
    "/zookeeper/quota",
    "/",
    "/a/n",
    "/none/x",
];
const ACLS: &[(i32, &str, &str)] = &[
    (31, "world", "anyone"),
    (31, "world", "anyone"),
    (31, "world", "anyone"),
    (15, "world", "anyone"),
    (31, "digest", "me:x"),
    (31, "auth", ""),
];

fn request() -> impl Strategy<Value = Request> {
    let path = 0..PATHS.len();
    let version = prop_oneof![4 => Just(-1), 1 => 0..3];
    prop_oneof![
        4 => (path.clone(), 0..5i32, 0..ACLS.len(), 0..3usize)
            .prop_map(|(path, flags, acl, kind)| Request::Create { path, flags, acl, kind }),
        1 => (path.clone(), 1..4i64).prop_map(|(path, ttl)| Request::CreateTtl { path, ttl }),
        3 => (path.clone(), version.clone()).prop_map(|(path, version)| Request::Delete { path, version }),
        3 => (path.clone(), 0..9usize, version.clone())
            .prop_map(|(path, len, version)| Request::SetData { path, len, version }),
        1 => (path.clone(), 0..ACLS.len(), version.clone())
            .prop_map(|(path, acl, version)| Request::SetAcl { path, acl, version }),
        1 => (path, version).prop_map(|(path, version)| Request::Check { path, version }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..3u8, request()).prop_map(|(s, r)| Step::One(s, r)),
        5 => (0..3u8, prop::collection::vec(request(), 0..5)).prop_map(|(s, r)| Step::Multi(s, r)),
        1 => (0..3u8).prop_map(Step::Close),
        1 => Just(Step::Undecodable),
        1 => (0..PATHS.len()).prop_map(Step::DeleteContainer),
    ]
}

fn encode(r: &Request) -> (OpCode, Bytes) {
    let acl = |i: usize| [entry(ACLS[i].0, ACLS[i].1, ACLS[i].2)];
    match *r {
        Request::Create { path, flags, acl: a, kind } => {
            let op = [OpCode::Create, OpCode::Create2, OpCode::CreateContainer][kind];
            (op, create_with(PATHS[path], Some(b"12"), &acl(a), flags))
        }
        Request::CreateTtl { path, ttl } => (OpCode::CreateTtl, create_ttl(PATHS[path], 5, ttl)),
        Request::Delete { path, version } => (OpCode::Delete, delete(PATHS[path], version)),
        Request::SetData { path, len, version } => {
            (OpCode::SetData, set_data(PATHS[path], &b"12345678"[..len.min(8)], version))
        }
        Request::SetAcl { path, acl: a, version } => (OpCode::SetAcl, set_acl(PATHS[path], &acl(a), version)),
        Request::Check { path, version } => {
            let (op, body) = super::multi::check(PATHS[path], version);
            (OpCode::from_code(op).unwrap(), body)
        }
    }
}

fn take(w: &mut World, step: &Step) {
    let session = |s: u8| SessionId(ME.0 + i64::from(s));
    match step {
        Step::One(s, r) => {
            let (op, body) = encode(r);
            w.prepare_as(session(*s), op, &body);
        }
        Step::Multi(s, rs) => {
            let subs = rs.iter().map(encode).map(|(op, body)| (op.code(), body)).collect();
            w.prepare_as(session(*s), OpCode::Multi, &super::multi::of(subs));
        }
        Step::Close(s) => {
            w.prepare_as(session(*s), OpCode::CloseSession, &Bytes::new());
        }
        Step::Undecodable => {
            w.prepare(OpCode::Create, &Bytes::from_static(b"\0"));
        }
        Step::DeleteContainer(path) => {
            let mut cx = PrepareCx {
                tree: &w.tree,
                outstanding: &mut w.outstanding,
                session: SessionId::NONE,
                ids: &[],
                zxid: w.zxid.next(),
                time_ms: 1_000 + (w.zxid.0 & 0xffff),
                config: &w.config,
                sessions: &w.sessions,
                membership: None,
            };
            if let Ok(prepared) = prepare_delete_container(&mut cx, PATHS[*path]) {
                w.enqueue(SessionId::NONE, &prepared);
            }
        }
    }
}

fn new_world() -> World {
    let mut config = OpsConfig::default();
    config.owner_rules.extended_types = true;
    let mut w = World::with_config(config);
    w.ids.push(Id::new("digest", "me:x"));
    w
}

/// Sorts what has no order.
fn normal(txn: &Txn) -> Txn {
    let mut txn = txn.clone();
    if let TxnBody::CloseSession { paths: Some(paths) } = &mut txn.body {
        paths.sort();
    }
    txn
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn preparing_ahead_changes_nothing(
        steps in prop::collection::vec((step(), 0..4u8), 1..60),
        ahead_max in 1..20usize,
    ) {
        let mut ahead = new_world();
        let mut at_once = new_world();
        let mut applied_ahead = Vec::new();
        let mut applied_at_once = Vec::new();
        for (step, applies) in &steps {
            take(&mut at_once, step);
            while let Some((txn, _)) = at_once.apply_one() {
                applied_at_once.push(normal(&txn));
            }
            prop_assert!(at_once.outstanding.is_empty());

            take(&mut ahead, step);
            for _ in 0..*applies {
                applied_ahead.extend(ahead.apply_one().map(|(txn, _)| normal(&txn)));
            }
            while ahead.queue.len() > ahead_max {
                applied_ahead.extend(ahead.apply_one().map(|(txn, _)| normal(&txn)));
            }
        }
        while let Some((txn, _)) = ahead.apply_one() {
            applied_ahead.push(normal(&txn));
        }
        prop_assert!(ahead.outstanding.is_empty());
        prop_assert_eq!(ahead.outstanding.len(), 0);
        prop_assert_eq!(applied_ahead, applied_at_once);
        prop_assert_eq!(ahead.tree.digest(), at_once.tree.digest());
    }
}
