use super::*;
use crate::types::{Acl, Owner, Perms, Stat, SubTxn};
use quoll_jute::client::{Create2Response, CreateResponse};
use quoll_jute::from_slice;

fn stat_of(w: &World, path: &str) -> Stat {
    w.tree.lookup(path).expect(path).stat()
}

#[test]
fn replies_carry_what_each_operation_promises() {
    let mut w = World::new();
    let (_, out) = w.write(OpCode::Create, &create("/a", 0));
    assert_eq!(from_slice::<CreateResponse<'_>>(&out).unwrap().path.as_deref(), Some("/a"));
    for (op, path) in [(OpCode::Create2, "/b"), (OpCode::CreateContainer, "/c")] {
        let (_, out) = w.write(op, &create(path, 0));
        let reply: Create2Response<'_> = from_slice(&out).unwrap();
        assert_eq!((reply.path.as_deref(), reply.stat), (Some(path), stat_of(&w, path)));
    }
    let (_, out) = w.write(OpCode::SetData, &set_data("/a", b"new", 0));
    assert_eq!(out, to_vec(&stat_of(&w, "/a")));
    let (_, out) = w.write(OpCode::SetAcl, &set_acl("/a", &[entry(31, "world", "anyone")], 0));
    assert_eq!(out, to_vec(&stat_of(&w, "/a")));
    assert_eq!(w.write(OpCode::Delete, &delete("/a", 1)), (0, vec![]));
    assert_eq!(w.write(OpCode::CloseSession, &Bytes::from_static(b"x")), (0, vec![]));
}

#[test]
fn what_is_stored_depends_on_the_operation_more_than_on_the_flag() {
    let mut config = OpsConfig::default();
    config.owner_rules.extended_types = true;
    let mut w = World::with_config(config);
    for (op, flags, owner) in [
        (OpCode::Create, 0, Owner::None),
        (OpCode::Create, 1, Owner::Session(ME)),
        (OpCode::Create, 4, Owner::None),
        (OpCode::Create2, 4, Owner::None),
        (OpCode::CreateContainer, 0, Owner::Container),
        (OpCode::CreateContainer, 1, Owner::Container),
        (OpCode::CreateContainer, 4, Owner::Container),
    ] {
        let path = format!("/{op:?}{flags}");
        assert_eq!(w.write(op, &create(&path, flags)).0, 0);
        assert_eq!(w.tree.lookup(&path).unwrap().owner(), owner, "{path}");
    }
    assert_eq!(w.write(OpCode::CreateTtl, &create_ttl("/ttl", 5, 77)).0, 0);
    assert_eq!(w.tree.lookup("/ttl").unwrap().owner(), Owner::Ttl(77));
}

#[test]
fn numbers_come_from_the_count_of_creations() {
    let mut w = World::new();
    w.make("/q");
    let mut path = |flags| match w.write(OpCode::Create, &create("/q/n", flags)) {
        (0, out) => from_slice::<CreateResponse<'_>>(&out).unwrap().path.unwrap().into_owned(),
        (err, _) => panic!("{err}"),
    };
    assert_eq!(path(2), "/q/n0000000000");
    assert_eq!(path(3), "/q/n0000000001");
    assert_eq!(path(0), "/q/n");
    assert_eq!(path(2), "/q/n0000000003");
    assert_eq!(w.write(OpCode::Delete, &delete("/q/n0000000003", -1)).0, 0);
    let (_, out) = w.write(OpCode::Create, &create("/q/", 2));
    assert_eq!(from_slice::<CreateResponse<'_>>(&out).unwrap().path.as_deref(), Some("/q/0000000004"));
}

/// A tree in which `/q` has seen almost as many creations as can be counted.
fn worn_out(created: i32) -> World {
    let mut w = World::new();
    w.make("/q");
    w.apply_all();
    w.zxid = w.zxid.next();
    let txn = Txn {
        session: ME,
        cxid: 1,
        zxid: w.zxid,
        time_ms: 1,
        body: TxnBody::One(SubTxn::Create {
            with_stat: false,
            path: "/q/first".into(),
            data: None,
            acl: crate::types::open_acl().clone(),
            ephemeral: false,
            parent_cversion: created,
        }),
        digest: None,
    };
    w.tree.apply(&txn, &mut Effects::disabled());
    w
}

#[test]
fn a_used_up_counter_never_gives_a_negative_number() {
    let mut w = worn_out(i32::MAX - 1);
    let mut results = Vec::new();
    for _ in 0..3 {
        let prepared = w.prepare(OpCode::Create, &create("/q/n", 2));
        results.push(
            prepared.error.map_or_else(|| created_path(&prepared.body).to_string(), |e| format!("{e:?}")),
        );
    }
    assert_eq!(results, ["/q/n2147483646", "/q/n2147483647", "NodeExists"]);
    let plain = w.prepare(OpCode::Create, &create("/q/plain", 0));
    assert_eq!(plain.error, None);
    w.apply_all();
    assert_eq!(w.tree.lookup("/q").unwrap().stat_persisted().cversion, i32::MAX);
    assert_eq!(w.tree.lookup("/q").unwrap().child_count(), 4);
}

#[test]
fn versions_wrap_around() {
    let mut w = World::new();
    w.make("/a");
    w.zxid = w.zxid.next();
    let body = TxnBody::One(SubTxn::SetData { path: "/a".into(), data: None, version: i32::MAX });
    let txn = Txn { session: ME, cxid: 1, zxid: w.zxid, time_ms: 1, body, digest: None };
    w.tree.apply(&txn, &mut Effects::disabled());
    assert_eq!(w.write(OpCode::SetData, &set_data("/a", b"", i32::MAX)).0, 0);
    assert_eq!(stat_of(&w, "/a").version, i32::MIN);
    assert_eq!(w.write(OpCode::SetData, &set_data("/a", b"", i32::MIN)).0, 0);
    assert_eq!(stat_of(&w, "/a").version, i32::MIN + 1);
}

#[test]
fn lists_are_stored_as_fixed() {
    let mut w = World::new();
    w.ids.push(Id::new("digest", "a:b"));
    let acl = [entry(31, "auth", ""), entry(1, "world", "anyone"), entry(1, "world", "anyone")];
    assert_eq!(w.write(OpCode::Create, &create_with("/a", None, &acl, 0)).0, 0);
    let stored = w.tree.lookup("/a").unwrap().acl().clone();
    let read = Acl { perms: Perms::READ, id: Id::new("world", "anyone") };
    assert_eq!(&*stored, [Acl { perms: Perms::ALL, id: Id::new("digest", "a:b") }, read]);
}

#[test]
fn what_goes_with_a_session_is_listed_applied_or_not() {
    let mut w = World::new();
    w.make("/p");
    w.make_with("/p/applied", 31, 1);
    w.make_with("/p/deleted", 31, 1);
    w.make_with("/p/touched", 31, 1);
    assert_eq!(w.write_as(OTHER, OpCode::Create, &create("/p/theirs", 1)).0, 0);
    w.prepare(OpCode::Create, &create("/p/pending", 1));
    w.prepare(OpCode::Delete, &delete("/p/deleted", -1));
    w.prepare(OpCode::SetData, &set_data("/p/touched", b"y", -1));
    let closed = w.prepare(OpCode::CloseSession, &Bytes::new());
    let TxnBody::CloseSession { paths: Some(mut paths) } = closed.body else { panic!("{closed:?}") };
    paths.sort();
    assert_eq!(paths, ["/p/applied", "/p/pending", "/p/touched"]);
    // What goes is as good as gone.
    let gone = w.prepare_as(OTHER, OpCode::SetData, &set_data("/p/applied", b"", -1));
    assert_eq!(gone.error, Some(ErrorCode::NoNode));
    let again = w.prepare_as(OTHER, OpCode::Create, &create("/p/pending", 0));
    assert_eq!(again.error, None);
    let again = w.prepare_as(OTHER, OpCode::Create, &create("/p/applied", 1));
    assert_eq!(again.error, None);
    assert_eq!(w.prepare_as(OTHER, OpCode::Delete, &delete("/p", -1)).error, Some(ErrorCode::NotEmpty));
    for name in ["theirs", "pending", "applied"] {
        let body = delete(&format!("/p/{name}"), -1);
        assert_eq!(w.prepare_as(OTHER, OpCode::Delete, &body).error, None, "{name}");
    }
    assert_eq!(w.prepare_as(OTHER, OpCode::Delete, &delete("/p", -1)).error, None);
    w.apply_all();
    assert!(w.tree.lookup("/p").is_none());
}

#[test]
fn a_session_that_is_closed_twice_loses_its_ephemerals_once() {
    let mut w = World::new();
    w.make_with("/e", 31, 1);
    assert!(matches!(w.prepare(OpCode::CloseSession, &Bytes::new()).body,
        TxnBody::CloseSession { paths: Some(p) } if p == ["/e"]));
    assert!(matches!(w.prepare(OpCode::CloseSession, &Bytes::new()).body,
        TxnBody::CloseSession { paths: Some(p) } if p.is_empty()));
    w.apply_all();
}

#[test]
fn the_server_removes_only_what_is_its_own_to_remove() {
    let mut config = OpsConfig::default();
    config.owner_rules.extended_types = true;
    let mut w = World::with_config(config);
    assert_eq!(w.write(OpCode::CreateContainer, &create("/c", 4)).0, 0);
    assert_eq!(w.write(OpCode::CreateContainer, &create("/full", 4)).0, 0);
    assert_eq!(w.write(OpCode::CreateTtl, &create_ttl("/t", 5, 5)).0, 0);
    w.make("/full/kid");
    w.make("/plain");
    w.make_with("/eph", 31, 1);
    for (path, code) in [
        ("/zookeeper", Some(ErrorCode::BadArguments)),
        ("/none", Some(ErrorCode::NoNode)),
        ("/full", Some(ErrorCode::NotEmpty)),
        ("/plain", Some(ErrorCode::BadVersion)),
        ("/eph", Some(ErrorCode::BadVersion)),
        ("/c", None),
        ("/t", None),
        ("/c", Some(ErrorCode::NoNode)),
    ] {
        let mut cx = PrepareCx {
            tree: &w.tree,
            outstanding: &mut w.outstanding,
            session: SessionId::NONE,
            ids: &[],
            zxid: w.zxid.next(),
            time_ms: 5,
            config: &w.config,
            sessions: &w.sessions,
            membership: None,
        };
        match prepare_delete_container(&mut cx, path) {
            Err(e) => assert_eq!(Some(e), code, "{path}"),
            Ok(prepared) => {
                assert_eq!(code, None, "{path}");
                w.enqueue(SessionId::NONE, &prepared);
            }
        }
    }
    w.apply_all();
    assert!(w.tree.lookup("/c").is_none() && w.tree.lookup("/t").is_none());
}

#[test]
fn hard_quotas_refuse_only_when_they_are_enforced() {
    for enforced in [false, true] {
        let mut w = World::with_config(OpsConfig { enforce_quota: enforced, ..OpsConfig::default() });
        w.make("/q");
        let open = [entry(31, "world", "anyone")];
        let limits = b"count=-1,bytes=3=;byteHardLimit=-1;countHardLimit=2";
        for path in ["/zookeeper/quota/q", "/zookeeper/quota/q/zookeeper_stats"] {
            w.make(path);
        }
        let body = create_with("/zookeeper/quota/q/zookeeper_limits", Some(limits), &open, 0);
        assert_eq!(w.write(OpCode::Create, &body).0, 0);
        w.make("/q/one");
        let second = w.prepare(OpCode::Create, &create("/q/two", 0));
        assert_eq!(second.error, enforced.then_some(ErrorCode::QuotaExceeded));
        let note = second.note.expect("the operator is told");
        assert!(note.hard && note.refused == enforced, "{note:?}");
        let soft = w.prepare(OpCode::SetData, &set_data("/q/one", b"longer", -1));
        assert_eq!(soft.error, None);
        assert!(!soft.note.expect("the operator is told").hard);
        // The version comes after the quota.
        w.apply_all();
        let (err, _) = w.write(OpCode::SetData, &set_data("/q/one", b"x", 77));
        assert_eq!(err, -103);
    }
}

#[test]
fn digests_that_are_switched_off_are_left_out() {
    let mut w = World::new();
    w.tree = Tree::new(TreeOptions { hash_seed: 1, ..TreeOptions::default() });
    for (op, body) in [
        (OpCode::Create, create("/a", 1)),
        (OpCode::SetData, set_data("/a", b"y", 0)),
        (OpCode::Multi, super::multi::of(vec![(1, create("/b", 0)), (2, delete("/none", -1))])),
        (OpCode::CloseSession, Bytes::new()),
    ] {
        let prepared = w.prepare(op, &body);
        assert_eq!((prepared.error, prepared.digest), (None, None), "{op:?}");
    }
    w.apply_all();
    assert!(w.tree.lookup("/a").is_none() && w.tree.lookup("/b").is_none());
}
