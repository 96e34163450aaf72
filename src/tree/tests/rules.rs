//! The rules one by one.

use super::{audit::audit, *};

#[test]
fn a_fresh_tree_has_the_recorded_digest() {
    let tree = new_tree();
    assert_eq!(tree.digest(), 0x51c6_d660);
    assert_eq!(tree.node_count(), 4);
    let config = tree.lookup("/zookeeper/config").unwrap();
    assert_eq!((config.acl_index(), config.stat().aversion), (1, -1));
    assert_eq!(config.acl()[0].perms, Perms::READ);
    assert_eq!(tree.root().stat(), Stat { num_children: 1, cversion: -1, ..Stat::default() });
}

#[test]
fn creating_a_znode_gives_the_recorded_digest() {
    let mut tree = new_tree();
    let mut txn = one(0x1_0000_0002, create("/a", "x", 1));
    txn.time_ms = 0x1a2_074c_4330;
    apply(&mut tree, &txn);
    assert_eq!(tree.digest(), 0x1_3a24_fdf5);
}

#[test]
fn the_root_has_two_names() {
    let mut tree = new_tree();
    apply_one(&mut tree, 1, set("/", "r", 1));
    assert_eq!(tree.lookup("").unwrap().data(), Some(&b"r"[..]));
    assert_eq!(tree.lookup("/").unwrap().path(), "/");
    audit(&tree);
}

#[test]
fn what_is_no_path_is_not_there() {
    let mut tree = new_tree();
    apply_one(&mut tree, 1, create("/a", "x", 1));
    for path in ["a", "//", "//a", "/a/", "/a//", "/zookeeper/", "/b", "/\u{e9}", "/a\0"] {
        assert!(tree.lookup(path).is_none(), "{path:?}");
    }
}

#[test]
fn operations_on_what_is_no_path_fail() {
    let mut tree = new_tree();
    for path in ["", "/", "a", "/a/"] {
        assert_eq!(
            apply_one(&mut tree, 1, create(path, "x", 1)),
            failed(ErrorCode::BadArguments),
            "{path:?}"
        );
        assert_eq!(apply_one(&mut tree, 1, delete(path)), failed(ErrorCode::BadArguments), "{path:?}");
    }
    for path in ["//a", "x/y", "/no/such"] {
        assert_eq!(apply_one(&mut tree, 1, create(path, "x", 1)), failed(ErrorCode::NoNode), "{path:?}");
        assert_eq!(apply_one(&mut tree, 1, delete(path)), failed(ErrorCode::NoNode), "{path:?}");
        assert_eq!(apply_one(&mut tree, 1, set(path, "x", 1)), failed(ErrorCode::NoNode), "{path:?}");
    }
    assert_eq!(tree.node_count(), 4);
    audit(&tree);
}

#[test]
fn a_create_sets_the_stats_of_the_znode_and_its_parent() {
    let mut tree = new_tree();
    let OpResult::Ok(Some(created)) = apply_one(&mut tree, 5, create("/a", "xyz", 1)) else {
        panic!("not created")
    };
    let expected = Stat {
        czxid: 5,
        mzxid: 5,
        pzxid: 5,
        ctime: 1_000_005,
        mtime: 1_000_005,
        data_length: 3,
        ..Stat::default()
    };
    assert_eq!(created, expected);
    let root = stat(&tree, "/");
    assert_eq!((root.cversion, root.num_children, root.pzxid), (0, 2, 5));
    apply_one(&mut tree, 6, delete("/a"));
    let root = stat(&tree, "/");
    assert_eq!((root.cversion, root.num_children, root.pzxid), (1, 1, 6), "a deletion counts for clients");
    assert_eq!(tree.root().stat_persisted().cversion, 1, "but is not stored");
}

#[test]
fn set_data_and_set_acl_touch_only_their_own_fields() {
    let mut tree = new_tree();
    apply_one(&mut tree, 1, create("/a", "x", 1));
    apply_one(&mut tree, 2, set("/a", "longer", 1));
    let after = stat(&tree, "/a");
    assert_eq!((after.mzxid, after.mtime, after.version, after.data_length), (2, 1_000_002, 1, 6));
    assert_eq!((after.czxid, after.pzxid, after.aversion), (1, 1, 0));
    let op = SubTxn::SetAcl { path: "/a".into(), acl: acl("u"), version: 1 };
    apply_one(&mut tree, 3, op);
    assert_eq!(stat(&tree, "/a"), Stat { aversion: 1, ..after });
    assert_eq!(tree.lookup("/a").unwrap().acl_index(), 2);
    assert_eq!(stat(&tree, "/").pzxid, 1, "nor does the parent change");
}

#[test]
fn the_parents_cversion_is_the_one_in_the_txn_if_larger() {
    let mut tree = new_tree();
    apply_one(&mut tree, 1, create("/a", "", 10));
    assert_eq!(tree.root().stat_persisted().cversion, 10);
    apply_one(&mut tree, 2, create("/b", "", 9));
    let root = tree.root().stat_persisted();
    assert_eq!((root.cversion, root.pzxid), (10, 1), "neither falls nor moves pzxid");
    apply_one(&mut tree, 3, create("/c", "", -1));
    let root = tree.root().stat_persisted();
    assert_eq!((root.cversion, root.pzxid), (11, 3), "-1 is one more");
    apply_one(&mut tree, 4, create("/d", "", i32::MAX));
    apply_one(&mut tree, 5, create("/e", "", i32::MIN));
    apply_one(&mut tree, 6, create("/f", "", -1));
    assert_eq!(tree.root().stat_persisted().cversion, i32::MAX, "the counter stays at its end");
    audit(&tree);
}

#[test]
fn children_lists_have_a_new_key_after_every_change() {
    let mut tree = new_tree();
    let mut keys = vec![tree.root().children_key()];
    let mut zxid = 0;
    // The counter at its end: creates move neither cversion nor pzxid.
    for op in
        [create("/a", "", i32::MAX), create("/b", "", -1), create("/c", "", -1), delete("/a"), delete("/b")]
    {
        zxid += 1;
        apply_one(&mut tree, zxid, op);
        keys.push(tree.root().children_key());
    }
    let distinct: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
}

#[test]
fn a_create_of_what_is_there_takes_over_the_acl_and_mends_the_parent() {
    let mut tree = new_tree();
    apply_one(&mut tree, 1, create("/a", "old", 1));
    let op = SubTxn::Create {
        with_stat: false,
        path: "/a".into(),
        data: Some(Bytes::from_static(b"new")),
        acl: acl("u"),
        ephemeral: false,
        parent_cversion: 7,
    };
    assert_eq!(apply_one(&mut tree, 9, op), failed(ErrorCode::NodeExists));
    let node = tree.lookup("/a").unwrap();
    assert_eq!(node.data(), Some(&b"old"[..]));
    assert_eq!(node.acl(), &acl("u"));
    let root = tree.root().stat_persisted();
    assert_eq!((root.cversion, root.pzxid), (7, 9));
    audit(&tree);
}

#[test]
fn a_delete_of_what_is_gone_still_moves_the_parents_pzxid() {
    let mut tree = new_tree();
    assert_eq!(apply_one(&mut tree, 9, delete("/a")), failed(ErrorCode::NoNode));
    assert_eq!(stat(&tree, "/").pzxid, 9);
    apply_one(&mut tree, 5, delete("/a"));
    assert_eq!(stat(&tree, "/").pzxid, 9, "but never back");
    audit(&tree);
}

#[test]
fn a_multi_with_an_error_changes_nothing_and_answers_each_operation() {
    let mut tree = new_tree();
    let before = dump(&tree);
    let ops = vec![
        create("/a", "", 1),
        SubTxn::error(ErrorCode::NoNode),
        set("/a", "", 1),
        SubTxn::Error { code: -2 },
    ];
    let applied = apply(&mut tree, &txn(3, 1, TxnBody::Multi(ops)));
    let codes: Vec<_> = applied.results.into_iter().collect();
    assert_eq!(codes, [OpResult::Err(0), OpResult::Err(-101), OpResult::Err(-2), OpResult::Err(-2)]);
    assert_eq!(dump(&tree), before);
    assert_eq!(tree.last_zxid(), Zxid(3));
}

#[test]
fn the_operations_of_a_multi_see_each_other() {
    let mut tree = new_tree();
    let ops = vec![
        create("/a", "1", 1),
        create("/a/b", "2", 1),
        set("/a/b", "3", 1),
        delete("/a/b"),
        SubTxn::Check { path: "/a".into(), version: 1 },
    ];
    let applied = apply(&mut tree, &txn(3, 1, TxnBody::Multi(ops)));
    assert!(applied.results.iter().all(|r| matches!(r, OpResult::Ok(_))), "{applied:?}");
    assert_eq!(stat(&tree, "/a").cversion, 2);
    audit(&tree);
}

#[test]
fn the_end_of_a_session_takes_the_listed_paths_and_what_else_it_owns() {
    let mut tree = new_tree();
    for (zxid, path) in ["/e1", "/e2", "/e3"].into_iter().enumerate() {
        let create = TxnBody::One(ephemeral(path));
        apply(&mut tree, &txn(zxid as i64 + 1, 7, create));
    }
    apply(&mut tree, &txn(4, 8, TxnBody::One(ephemeral("/other"))));
    assert_eq!(stat(&tree, "/e1").ephemeral_owner, 7);
    assert_eq!(tree.ephemerals_count(), 4);
    let paths = Some(vec!["/e2".into(), "/gone".into()]);
    let applied = apply(&mut tree, &txn(5, 7, TxnBody::CloseSession { paths }));
    assert_eq!(applied.deleted, 3);
    assert_eq!(tree.ephemeral_sessions().collect::<Vec<_>>(), [SessionId(8)]);
    assert_eq!(stat(&tree, "/").pzxid, 5);
    apply(&mut tree, &txn(6, 8, TxnBody::CloseSession { paths: None }));
    assert_eq!((tree.ephemerals_count(), tree.node_count()), (0, 4));
    audit(&tree);
}

#[test]
fn the_end_of_a_session_with_100_000_ephemerals_is_one_txn() {
    let mut tree = new_tree();
    let paths: Vec<String> = (0..100_000).map(|n| format!("/e{n}")).collect();
    for (zxid, path) in paths.iter().enumerate() {
        apply(&mut tree, &txn(zxid as i64 + 1, 7, TxnBody::One(ephemeral(path))));
    }
    let half = paths[..50_000].to_vec();
    let applied = apply(&mut tree, &txn(200_000, 7, TxnBody::CloseSession { paths: Some(half) }));
    assert_eq!(applied.deleted, 100_000);
    assert_eq!(tree.node_count(), 4);
    audit(&tree);
}

#[test]
fn owners_show_as_their_rules_say() {
    let mut tree = new_tree();
    let acl = open_acl().clone();
    let ttl = SubTxn::CreateTtl {
        path: "/t".into(),
        data: None,
        acl: acl.clone(),
        parent_cversion: -1,
        ttl_ms: 300,
    };
    apply_one(&mut tree, 1, ttl);
    apply_one(
        &mut tree,
        2,
        SubTxn::CreateContainer { path: "/c".into(), data: None, acl, parent_cversion: -1 },
    );
    assert_eq!(tree.ttls().map(|n| n.path()).collect::<Vec<_>>(), ["/t"]);
    assert_eq!(tree.containers().map(|n| n.path()).collect::<Vec<_>>(), ["/c"]);
    assert_eq!((stat(&tree, "/t").ephemeral_owner, stat(&tree, "/c").ephemeral_owner), (0, 0));
    assert_eq!(tree.lookup("/t").unwrap().owner(), Owner::Ttl(300));
    let digest = tree.digest();
    tree.set_owner_rules(OwnerRules::default());
    assert_eq!(stat(&tree, "/t").ephemeral_owner as u64, 0xff00_0000_0000_012c);
    assert_eq!(tree.ephemerals_count(), 1);
    assert_eq!(tree.digest(), digest);
    audit(&tree);
    tree.set_owner_rules(options().owner_rules);
    assert_eq!(tree.ephemerals_count(), 0);
    audit(&tree);
}

#[test]
fn a_ttl_that_none_can_be_fails_its_txn() {
    let mut tree = new_tree();
    for ttl_ms in [i64::MIN, -1, 0, 1 << 40] {
        let acl = open_acl().clone();
        let op = SubTxn::CreateTtl { path: "/t".into(), data: None, acl, parent_cversion: -1, ttl_ms };
        assert_eq!(apply_one(&mut tree, 1, op), failed(ErrorCode::BadArguments));
    }
    assert_eq!(tree.node_count(), 4);
}

#[test]
fn null_and_empty_data_differ() {
    let mut tree = new_tree();
    apply_one(&mut tree, 1, ephemeral("/null"));
    apply_one(&mut tree, 2, create("/empty", "", -1));
    assert_eq!(tree.lookup("/null").unwrap().data(), None);
    assert_eq!(tree.lookup("/empty").unwrap().data(), Some(&[][..]));
    apply_one(&mut tree, 3, SubTxn::SetData { path: "/empty".into(), data: None, version: 1 });
    assert_eq!(tree.lookup("/empty").unwrap().data(), None);
    assert_eq!(stat(&tree, "/empty").data_length, 0);
    audit(&tree);
}

#[test]
fn the_digest_is_logged_at_every_128th_zxid_and_1024_are_kept() {
    let mut tree = new_tree();
    for zxid in 1..=128 * 1030 {
        apply(&mut tree, &txn(zxid, 1, TxnBody::CreateSession { timeout_ms: 1 }));
    }
    let log: Vec<_> = tree.digest_log().collect();
    assert_eq!(log.len(), 1024);
    assert_eq!(log[0], (Zxid(128 * 7), 0x51c6_d660));
    assert_eq!(log[1023].0, Zxid(128 * 1030));
}

#[test]
fn a_fuzzy_tree_logs_no_digests_until_it_is_exact() {
    let mut tree = new_tree();
    let mut pass = |until: i64| {
        for zxid in tree.last_zxid().0 + 1..=until {
            apply(&mut tree, &txn(zxid, 1, TxnBody::CreateSession { timeout_ms: 1 }));
        }
        if until == 130 {
            tree.set_fuzzy_until(Zxid(512));
        }
        (tree.is_exact(), tree.digest_log().last().map(|(zxid, _)| zxid.0))
    };
    assert_eq!(pass(130), (false, Some(128)));
    assert_eq!(pass(511), (false, Some(128)));
    assert_eq!(pass(512), (true, Some(128)));
    assert_eq!(pass(640), (true, Some(640)));
    tree.set_fuzzy_until(Zxid(640));
    assert!(tree.is_exact());
}

#[test]
fn without_digests_there_are_none() {
    let mut tree = Tree::new(TreeOptions { digest: false, ..options() });
    apply_one(&mut tree, 1, create("/a", "x", 1));
    assert_eq!((tree.digest(), tree.lookup("/a").unwrap().digest()), (0, 0));
    audit(&tree);
}

#[test]
fn what_is_below_zookeeper_is_not_in_the_digest() {
    let mut tree = new_tree();
    let before = tree.digest();
    apply_one(&mut tree, 1, set("/zookeeper/quota", "x", 1));
    assert_eq!(tree.digest(), before);
    apply_one(&mut tree, 2, set("/zookeeper", "x", 1));
    assert_ne!(tree.digest(), before, "but /zookeeper itself is");
    audit(&tree);
}

#[test]
fn a_full_tree_refuses_and_says_so() {
    let mut tree = new_tree();
    tree.set_node_count_max(5);
    assert!(matches!(apply_one(&mut tree, 1, create("/a", "", -1)), OpResult::Ok(_)));
    assert!(!tree.has_room(1));
    let full = OpResult::Err(OpResult::SYSTEM_ERROR);
    assert_eq!(apply_one(&mut tree, 2, create("/b", "", -1)), full);
    let multi = vec![set("/a", "x", 1), create("/b", "", -1)];
    let applied = apply(&mut tree, &txn(3, 1, TxnBody::Multi(multi)));
    assert_eq!(applied.results[..], [full.clone(), full], "all or nothing");
    assert_eq!(stat(&tree, "/a").version, 0);
    audit(&tree);
}

#[test]
fn a_path_may_be_as_deep_as_it_is_long() {
    let mut tree = new_tree();
    let mut path = String::new();
    for zxid in 1..3000 {
        path.push_str("/d");
        apply_one(&mut tree, zxid, create(&path, "", -1));
    }
    assert_eq!(tree.lookup(&path).unwrap().path(), path);
    assert_eq!(tree.lookup("/d").unwrap().descendant_count(), 2998);
    assert_eq!(tree.root().descendant_count(), tree.node_count() - 1);
    // A replayed deletion takes all of it.
    apply_one(&mut tree, 5000, delete("/d"));
    assert_eq!(tree.node_count(), 4);
    audit(&tree);
}

#[test]
fn identities_are_never_used_twice() {
    let mut tree = new_tree();
    apply_one(&mut tree, 1, create("/a", "", -1));
    let first = tree.lookup("/a").unwrap().id();
    apply_one(&mut tree, 2, delete("/a"));
    apply_one(&mut tree, 3, create("/a", "", -1));
    assert_ne!(tree.lookup("/a").unwrap().id(), first);
}

#[test]
fn effects_come_in_order_with_the_acls_that_decide() {
    let mut tree = new_tree();
    let mut effects = Effects::new();
    let create_a = SubTxn::Create {
        with_stat: false,
        path: "/a".into(),
        data: None,
        acl: acl("u"),
        ephemeral: false,
        parent_cversion: -1,
    };
    let ops = vec![create_a, create("/a/b", "", -1), set("/a/b", "x", 1), delete("/a/b")];
    tree.apply(&txn(1, 1, TxnBody::Multi(ops)), &mut effects);
    tree.apply(&one(2, set("/gone", "", 1)), &mut effects);
    tree.apply(&one(3, SubTxn::SetAcl { path: "/a".into(), acl: acl("v"), version: 1 }), &mut effects);
    let seen: Vec<_> =
        effects.iter().map(|e| (e.kind, e.path, e.acl.clone(), e.parent_acl.cloned())).collect();
    let open = open_acl().clone();
    assert_eq!(
        seen,
        [
            (EffectKind::Created, "/a", acl("u"), Some(open.clone())),
            (EffectKind::Created, "/a/b", open.clone(), Some(acl("u"))),
            (EffectKind::DataChanged, "/a/b", open.clone(), None),
            (EffectKind::Deleted, "/a/b", open, Some(acl("u"))),
        ]
    );
    effects.clear();
    effects.set_enabled(false);
    tree.apply(&one(4, set("/a", "", 1)), &mut effects);
    assert!(effects.is_empty());
}

#[test]
fn the_configuration_is_set_outside_of_txns_and_of_the_digest() {
    let mut tree = new_tree();
    let before = tree.digest();
    tree.set_config(b"server.1=...", 0x1_0000_0000, 5);
    let node = tree.lookup(CONFIG_PATH).unwrap();
    assert_eq!((node.stat().version, node.stat().mzxid, node.stat().mtime), (-1, 0x1_0000_0000, 5));
    assert_eq!(tree.digest(), before);
    audit(&tree);
}
