//! The end of a session that was planned beforehand.

use super::{audit::audit, *};

fn close(zxid: i64, session: i64, paths: &[&str]) -> Txn {
    let paths = Some(paths.iter().map(|p| (*p).to_owned()).collect());
    txn(zxid, session, TxnBody::CloseSession { paths })
}

/// Two znodes of session 7 below `/a`, one of session 8 beside them.
fn tree_with_ephemerals() -> Tree {
    let mut tree = new_tree();
    apply_one(&mut tree, 1, create("/a", "", -1));
    for (zxid, session, path) in [(2, 7, "/a/x"), (3, 7, "/a/y"), (4, 8, "/a/z")] {
        apply(&mut tree, &txn(zxid, session, TxnBody::One(ephemeral(path))));
    }
    tree
}

fn told(effects: &Effects) -> Vec<(EffectKind, String)> {
    effects.iter().map(|e| (e.kind, e.path.to_owned())).collect()
}

#[test]
fn a_planned_end_is_the_same_as_one_at_a_time() {
    let txn = close(5, 7, &["/a/y", "/a/x"]);
    let (mut planned, mut plain) = (tree_with_ephemerals(), tree_with_ephemerals());
    let (mut planned_effects, mut plain_effects) = (Effects::new(), Effects::new());
    let plan = planned.plan_close(&txn, &mut planned_effects).unwrap();
    let applied = planned.apply_close(&txn, plan).expect("a fresh plan fits");
    assert_eq!(applied, plain.apply(&txn, &mut plain_effects));
    assert_eq!(told(&planned_effects), told(&plain_effects));
    loop {
        audit(&planned);
        same(&dump(&planned), &dump(&plain), "planned");
        assert_eq!(stat(&planned, "/a"), stat(&plain, "/a"));
        assert_eq!(planned.digest(), plain.digest());
        assert_eq!(planned.data_size_bytes(), plain.data_size_bytes());
        assert_eq!(planned.last_zxid(), plain.last_zxid());
        assert!(planned.ephemeral_sessions().eq(plain.ephemeral_sessions()));
        assert!(planned.digest_log().eq(plain.digest_log()));
        if !planned.can_reclaim() {
            break;
        }
        planned.reclaim(1);
    }
}

#[test]
fn a_path_can_be_used_again_before_the_old_znode_is_given_back() {
    let mut tree = tree_with_ephemerals();
    let txn = close(5, 7, &["/a/x", "/a/y"]);
    let plan = tree.plan_close(&txn, &mut Effects::disabled()).unwrap();
    assert!(tree.apply_close(&txn, plan).is_some());
    assert!(tree.can_reclaim());
    assert!(matches!(apply_one(&mut tree, 7, create("/a/x", "new", -1)), OpResult::Ok(_)));
    audit(&tree);
    while tree.reclaim(1) {
        audit(&tree);
    }
    assert_eq!(tree.lookup("/a/x").unwrap().data(), Some(&b"new"[..]));
    assert!(tree.lookup("/a/y").is_none());
    audit(&tree);
}

#[test]
fn a_plan_is_for_one_state_and_for_what_a_leader_writes() {
    let mut tree = tree_with_ephemerals();
    let refuses = |paths: &[&str]| tree.plan_close(&close(5, 7, paths), &mut Effects::disabled()).is_none();
    assert!(refuses(&["/a/x"]), "one is missing");
    assert!(refuses(&["/a/x", "/a/x"]), "one is named twice");
    assert!(refuses(&["/a/x", "/a/z"]), "one is another's");
    assert!(refuses(&["/a/x", "/a"]), "one is nobody's");
    assert!(refuses(&["/a/x", "/gone"]), "one is not there");
    let txn = close(6, 7, &["/a/x", "/a/y"]);
    let plan = tree.plan_close(&txn, &mut Effects::disabled()).unwrap();
    apply_one(&mut tree, 5, set("/a/x", "changed", 1));
    assert!(tree.apply_close(&txn, plan).is_none());
    assert!(tree.lookup("/a/x").is_some());
}

#[test]
fn quotas_are_told_of_all_that_went() {
    let usage = |tree: &Tree| {
        let stats = tree.lookup("/zookeeper/quota/a/zookeeper_stats").unwrap();
        String::from_utf8(stats.data().unwrap().to_vec()).unwrap()
    };
    let mut tree = tree_with_ephemerals();
    for (zxid, path) in ["/a", "/a/zookeeper_limits", "/a/zookeeper_stats"].into_iter().enumerate() {
        apply_one(
            &mut tree,
            10 + zxid as i64,
            create(&format!("/zookeeper/quota{path}"), "count=9,bytes=9", -1),
        );
    }
    assert_eq!(usage(&tree), "count=4,bytes=0");
    let txn = close(20, 7, &["/a/x", "/a/y"]);
    let plan = tree.plan_close(&txn, &mut Effects::disabled()).unwrap();
    assert!(tree.apply_close(&txn, plan).is_some());
    assert_eq!(usage(&tree), "count=2,bytes=0");
    audit(&tree);
}

#[test]
fn a_snapshot_that_is_under_way_still_has_what_went_with_a_session() {
    let mut tree = tree_with_ephemerals();
    let mut walk = tree.begin_snapshot().unwrap();
    apply(&mut tree, &txn(5, 7, TxnBody::One(ephemeral("/a/late"))));
    let txn = close(6, 7, &["/a/late", "/a/y", "/a/x"]);
    let plan = tree.plan_close(&txn, &mut Effects::disabled()).unwrap();
    assert!(tree.apply_close(&txn, plan).is_some());
    assert!(!tree.can_reclaim(), "the walk still needs them");
    let mut seen = Vec::new();
    walk.next_chunk(&tree, 100, &mut |n| seen.push((n.path.to_owned(), n.stat.ephemeral_owner))).unwrap();
    seen.retain(|(path, _)| path.starts_with("/a/"));
    seen.sort();
    assert_eq!(seen, [("/a/x".to_owned(), 7), ("/a/y".to_owned(), 7), ("/a/z".to_owned(), 8)]);
    drop(tree.end_snapshot(walk));
    while tree.reclaim(1) {
        audit(&tree);
    }
    audit(&tree);
}

/// A bug that was: the parent's place was given back before its children, and the znode that came to be there lost its
/// own children when those were.
#[test]
fn a_parent_that_goes_before_its_former_children_are_given_back_waits_for_them() {
    let mut tree = new_tree();
    let children: Vec<String> = (0..100).map(|n| format!("/a/{n}")).collect();
    apply_one(&mut tree, 1, create("/a", "", -1));
    for (zxid, path) in children.iter().enumerate() {
        apply_one(&mut tree, 2 + zxid as i64, create(path, "", -1));
    }
    let walk = tree.begin_snapshot().unwrap();
    for (zxid, path) in children.iter().enumerate() {
        apply_one(&mut tree, 200 + zxid as i64, delete(path));
    }
    drop(tree.end_snapshot(walk));
    assert_eq!(apply_one(&mut tree, 301, delete("/a")), OpResult::Ok(None));
    for (zxid, path) in ["/b", "/b/c", "/b/d"].into_iter().enumerate() {
        apply_one(&mut tree, 302 + zxid as i64, create(path, "", -1));
    }
    while tree.reclaim(1) {
        audit(&tree);
    }
    let mut names: Vec<_> = tree.lookup("/b").unwrap().children().map(|n| n.name().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["c", "d"]);
    audit(&tree);
}
