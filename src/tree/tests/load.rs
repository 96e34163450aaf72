//! Loading what snapshot files hold.

use super::{audit::audit, *};

fn loader() -> TreeLoader {
    let mut loader = Tree::loader(options());
    loader.node("", Some(b""), -1, &StatPersisted::default()).unwrap();
    loader
}

#[test]
fn a_missing_configuration_znode_is_added_when_it_is_set() {
    let mut loader = loader();
    loader.acl(5, &acl("u")).unwrap();
    loader.node("/zookeeper", Some(b""), -1, &StatPersisted::default()).unwrap();
    loader.node("/zookeeper/quota", Some(b""), 5, &StatPersisted::default()).unwrap();
    let mut tree = loader.finish(Zxid(9));
    assert!(tree.lookup(CONFIG_PATH).is_none(), "a server before 3.5 had none");
    tree.set_config(b"c", 3, 4);
    let config = tree.lookup(CONFIG_PATH).unwrap();
    assert_eq!((config.acl_index(), config.stat().aversion), (6, -1), "numbers go on after the largest");
    assert_eq!((config.data(), config.stat().version), (Some(&b"c"[..]), -1));
    assert_eq!((tree.last_zxid(), tree.digest()), (Zxid(9), 0x51c6_d660));
    audit(&tree);
}

#[test]
fn unused_acls_are_dropped_and_their_numbers_not_used_again() {
    let mut loader = loader();
    loader.acl(3, &acl("u")).unwrap();
    loader.acl(9, &acl("v")).unwrap();
    loader.node("/a", None, 3, &StatPersisted::default()).unwrap();
    let mut tree = loader.finish(Zxid(1));
    assert_eq!(tree.acl_count(), 1);
    apply_one(&mut tree, 2, SubTxn::SetAcl { path: "/a".into(), acl: acl("w"), version: 1 });
    assert_eq!(tree.lookup("/a").unwrap().acl_index(), 10);
    audit(&tree);
}

#[test]
fn an_open_list_in_the_table_is_the_open_list() {
    let mut loader = loader();
    loader.acl(2, open_acl()).unwrap();
    loader.node("/a", None, 2, &StatPersisted::default()).unwrap();
    let tree = loader.finish(Zxid(1));
    assert_eq!((tree.lookup("/a").unwrap().acl_index(), tree.acl_count()), (-1, 0));
}

#[test]
fn an_unknown_acl_is_closed_to_all_until_a_txn_says_what_it_is() {
    let mut loader = loader();
    loader.acl(88, &acl("v")).unwrap();
    loader.node("/a", None, 89, &StatPersisted::default()).unwrap();
    loader.node("/b", None, 89, &StatPersisted::default()).unwrap();
    let mut tree = loader.finish(Zxid(1));
    assert_eq!(tree.unknown_acls(), [89]);
    assert!(tree.lookup("/a").unwrap().acl().iter().all(|a| a.perms == Perms(0)));
    apply_one(&mut tree, 2, SubTxn::SetAcl { path: "/a".into(), acl: acl("u"), version: 1 });
    assert_eq!(tree.unknown_acls(), [89]);
    assert_eq!(tree.lookup("/a").unwrap().acl_index(), 90, "not the number that may mean another list");
    apply_one(&mut tree, 3, create("/b", "", -1));
    assert!(tree.unknown_acls().is_empty());
    audit(&tree);
}

#[test]
fn damage_is_an_error_that_says_where() {
    let none = StatPersisted::default();
    let bad = |path: &str| loader().node(path, None, -1, &none).unwrap_err();
    assert_eq!(bad("/a/b"), LoadError::NoParent { path: "/a/b".into() });
    assert_eq!(bad("//a"), LoadError::NoParent { path: "//a".into() });
    for path in ["a", "/", "/a/"] {
        let mut loader = loader();
        loader.node("/a", None, -1, &none).unwrap();
        assert_eq!(loader.node(path, None, -1, &none), Err(LoadError::BadPath { path: path.into() }));
    }
    let mut twice = loader();
    twice.node("/a", None, -1, &none).unwrap();
    assert_eq!(twice.node("/a", None, -1, &none), Err(LoadError::Duplicate { path: "/a".into() }));
    let owned = StatPersisted { ephemeral_owner: 7, ..StatPersisted::default() };
    assert_eq!(loader().node("", None, -1, &owned), Err(LoadError::RootOwned { owner: 7 }));
    assert_eq!(loader().acl(0, &acl("u")), Err(LoadError::BadAclIndex { index: 0 }));
    assert!(loader().node("/a", None, i64::MAX, &none).is_err());
}

#[test]
fn znodes_may_come_in_any_order_that_has_parents_first() {
    let mut loader = loader();
    for path in ["/b", "/a", "/a/x", "/b/y", "/a/x/z", "/ab", "/a/xx", "/b/y/z", "/c"] {
        loader.node(path, Some(path.as_bytes()), -1, &StatPersisted::default()).unwrap();
    }
    let tree = loader.finish(Zxid(1));
    for (path, (data, ..)) in dump(&tree).into_iter().skip(1) {
        assert_eq!(data.unwrap(), path.as_bytes());
    }
    assert_eq!(tree.node_count(), 10);
    audit(&tree);
}
