//! Quotas: who is charged, what is shown, what is refused.

use super::{audit::audit, *};
use crate::types::QuotaSums;

fn text(tree: &Tree, path: &str) -> String {
    let data = tree.lookup(path).unwrap_or_else(|| panic!("{path} is not there")).data();
    String::from_utf8(data.unwrap_or_default().to_vec()).unwrap()
}

/// A tree with `/app` (3 bytes), `/app/x` (2 bytes) and a quota on `/app`.
fn tree_with_quota(limits: &str) -> Tree {
    let mut tree = new_tree();
    let ops = [
        create("/app", "123", -1),
        create("/app/x", "12", -1),
        create("/zookeeper/quota/app", "", -1),
        create("/zookeeper/quota/app/zookeeper_limits", limits, -1),
        create("/zookeeper/quota/app/zookeeper_stats", "anything", -1),
    ];
    for (zxid, op) in ops.into_iter().enumerate() {
        assert!(matches!(apply_one(&mut tree, zxid as i64 + 1, op), OpResult::Ok(_)));
    }
    tree
}

const STATS: &str = "/zookeeper/quota/app/zookeeper_stats";

#[test]
fn usage_is_counted_when_the_stats_znode_is_made_and_follows_every_change() {
    let mut tree = tree_with_quota("count=10,bytes=100");
    assert_eq!(text(&tree, STATS), "count=2,bytes=5");
    let before = stat(&tree, STATS);
    apply_one(&mut tree, 10, create("/app/y", "1234", -1));
    assert_eq!(text(&tree, STATS), "count=3,bytes=9");
    apply_one(&mut tree, 11, set("/app/y", "1", 1));
    assert_eq!(text(&tree, STATS), "count=3,bytes=6");
    apply_one(&mut tree, 12, delete("/app/x"));
    assert_eq!(text(&tree, STATS), "count=2,bytes=4");
    apply_one(&mut tree, 13, create("/apple", "1234", -1));
    assert_eq!(text(&tree, STATS), "count=2,bytes=4", "a sibling with the same beginning is another znode");
    let after = stat(&tree, STATS);
    assert_eq!((after.version, after.mzxid), (before.version, before.mzxid), "no txn, no version");
    audit(&tree);
}

#[test]
fn the_answer_to_the_creation_of_a_stats_znode_tells_of_the_data_that_was_sent() {
    let mut tree = tree_with_quota("count=10,bytes=100");
    apply_one(&mut tree, 10, delete(STATS));
    let SubTxn::Create { path, data, acl, ephemeral, parent_cversion, .. } = create(STATS, "anything", -1)
    else {
        unreachable!()
    };
    let create2 = SubTxn::Create { with_stat: true, path, data, acl, ephemeral, parent_cversion };
    let OpResult::Ok(Some(made)) = apply_one(&mut tree, 11, create2) else { panic!("it can be made") };
    assert_eq!(made.data_length, 8);
    assert_eq!(text(&tree, STATS), "count=2,bytes=5");
    assert_eq!(stat(&tree, STATS).data_length, 15);
}

#[test]
fn sums_by_first_component_are_those_of_every_limit_and_usage_below() {
    let mut tree = tree_with_quota("count=10,bytes=100");
    let deep = "/zookeeper/quota/app/x";
    apply_one(&mut tree, 10, create(deep, "", -1));
    let limits = "count=4,bytes=5=;byteHardLimit=7;countHardLimit=2";
    apply_one(&mut tree, 11, create(&format!("{deep}/zookeeper_limits"), limits, -1));
    apply_one(&mut tree, 12, create(&format!("{deep}/zookeeper_stats"), "", -1));
    apply_one(&mut tree, 13, create("/zookeeper/quota/bare", "", -1));
    apply_one(&mut tree, 14, create("/zookeeper/quota/bare/zookeeper_limits", "count=3,bytes=-1", -1));
    let app = QuotaSums { limits: Some((12, 107)), usage: Some((3, 7)) };
    let bare = QuotaSums { limits: Some((3, -1)), usage: None };
    assert_eq!(tree.quota_sums(), [("app".to_owned(), app), ("bare".to_owned(), bare)].into());
}

#[test]
fn the_deepest_quota_is_charged() {
    let mut tree = tree_with_quota("count=10,bytes=100");
    let deep = "/zookeeper/quota/app/x";
    apply_one(&mut tree, 10, create(deep, "", -1));
    apply_one(&mut tree, 11, create(&format!("{deep}/zookeeper_limits"), "count=1,bytes=1", -1));
    apply_one(&mut tree, 12, create(&format!("{deep}/zookeeper_stats"), "", -1));
    apply_one(&mut tree, 13, create("/app/x/1", "abc", -1));
    assert_eq!(text(&tree, &format!("{deep}/zookeeper_stats")), "count=2,bytes=5");
    assert_eq!(text(&tree, STATS), "count=2,bytes=5");
    apply_one(&mut tree, 14, delete(&format!("{deep}/zookeeper_limits")));
    apply_one(&mut tree, 15, create("/app/x/2", "abc", -1));
    assert_eq!(text(&tree, STATS), "count=3,bytes=8", "without it, the next one up");
}

#[test]
fn a_quota_on_the_root_is_ignored() {
    let mut tree = new_tree();
    apply_one(&mut tree, 1, create("/zookeeper/quota/zookeeper_limits", "count=1,bytes=1", -1));
    apply_one(&mut tree, 2, create("/zookeeper/quota/zookeeper_stats", "s", -1));
    apply_one(&mut tree, 3, create("/a", "xxx", -1));
    assert_eq!(text(&tree, "/zookeeper/quota/zookeeper_stats"), "s");
    assert_eq!(tree.quota_check("/a/b", 100, 100), QuotaVerdict::Within);
}

#[test]
fn soft_limits_warn_and_hard_limits_refuse() {
    let soft = tree_with_quota("count=2,bytes=5");
    assert_eq!(soft.quota_check("/other", 100, 1), QuotaVerdict::Within);
    assert_eq!(soft.quota_check("/app/x", 0, 0), QuotaVerdict::Within);
    let count = QuotaExcess { path: "/app".into(), kind: QuotaKind::Count, usage: 3, limit: 2 };
    assert_eq!(soft.quota_check("/app/y", 0, 1), QuotaVerdict::Soft(count.clone()));
    assert_eq!(soft.quota_check("/app/x", -1, 0), QuotaVerdict::Within, "less is never too much");

    let hard = tree_with_quota("count=1,bytes=1=;byteHardLimit=6;countHardLimit=2");
    assert_eq!(hard.quota_check("/app/y", 0, 1), QuotaVerdict::Hard(count));
    assert_eq!(
        hard.quota_check("/app/x", 1, 0),
        QuotaVerdict::Within,
        "the soft limit of that kind is not asked"
    );
    let bytes = QuotaExcess { path: "/app".into(), kind: QuotaKind::Bytes, usage: 7, limit: 6 };
    assert_eq!(hard.quota_check("/app/x", 2, 0), QuotaVerdict::Hard(bytes));
}

#[test]
fn a_hard_limit_is_found_behind_an_exceeded_soft_one() {
    let tree = tree_with_quota("count=1,bytes=-1=;byteHardLimit=5");
    assert!(matches!(tree.quota_check("/app/y", 1, 1), QuotaVerdict::Hard(e) if e.kind == QuotaKind::Bytes));
}

#[test]
fn usage_is_counted_again_when_a_snapshot_is_loaded() {
    let mut tree = tree_with_quota("count=10,bytes=100");
    apply_one(&mut tree, 20, set(STATS, "count=77,bytes=77", 1));
    let mut walk = tree.begin_snapshot().unwrap();
    let mut loader = Tree::loader(options());
    for (index, list) in walk.acl_table() {
        loader.acl(*index, list).unwrap();
    }
    let mut sink = |n: &SnapshotNode<'_>| loader.node(n.path, n.data, n.acl_index, &n.stat).unwrap();
    while walk.next_chunk(&tree, 3, &mut sink).unwrap() {}
    let mut loaded = loader.finish(walk.zxid());
    assert_eq!(text(&loaded, STATS), "count=2,bytes=5");
    apply_one(&mut loaded, 21, create("/app/y", "12345", -1));
    assert_eq!(text(&loaded, STATS), "count=3,bytes=10");
    assert_eq!(loaded.quota_paths().collect::<Vec<_>>(), ["/app"]);
    audit(&loaded);
}

#[test]
fn usage_that_clients_spoilt_does_no_harm() {
    let mut tree = tree_with_quota("count=10,bytes=100");
    apply_one(&mut tree, 20, SubTxn::SetData { path: STATS.into(), data: None, version: 1 });
    apply_one(&mut tree, 21, create("/app/y", "1", -1));
    assert_eq!(text(&tree, STATS), "count=0,bytes=0", "what is missing is -1");
    apply_one(&mut tree, 22, set(STATS, "count=9223372036854775807,bytes=x", 2));
    apply_one(&mut tree, 23, create("/app/z", "1", -1));
    apply_one(&mut tree, 24, delete(STATS));
    apply_one(&mut tree, 25, create("/app/w", "1", -1));
    audit(&tree);
}

#[test]
fn a_snapshot_has_the_usage_of_its_zxid() {
    let mut tree = tree_with_quota("count=10,bytes=100");
    let mut walk = tree.begin_snapshot().unwrap();
    apply_one(&mut tree, 30, create("/app/y", "1", -1));
    let mut seen = None;
    let mut sink = |n: &SnapshotNode<'_>| {
        if n.path == STATS {
            seen = n.data.map(<[u8]>::to_vec);
        }
    };
    while walk.next_chunk(&tree, 2, &mut sink).unwrap() {}
    assert_eq!(seen.unwrap(), b"count=2,bytes=5");
}
