//! Snapshots are exact at their zxid, whatever happens while they are walked.

use super::{
    audit::audit,
    history::{Live, anything},
    *,
};

/// Loads what the walk hands out, with `between` after each chunk.
fn walk_and_load(
    tree: &mut Tree,
    random: &mut Random,
    mut between: impl FnMut(&mut Tree, &mut Random),
) -> Tree {
    let mut walk = tree.begin_snapshot().unwrap();
    assert!(matches!(tree.begin_snapshot(), Err(SnapshotBusy)));
    let (expected, digest, count) = (dump(tree), tree.digest(), tree.node_count());
    let mut loader = Tree::loader(options());
    for (index, list) in walk.acl_table() {
        loader.acl(*index, list).unwrap();
    }
    loop {
        between(tree, random);
        audit(tree);
        let max = 1 + random.below(4);
        let mut handed = 0;
        let more = walk
            .next_chunk(tree, max, &mut |n| {
                handed += 1;
                loader.node(n.path, n.data, n.acl_index, &n.stat).unwrap();
            })
            .unwrap();
        assert!(handed <= max);
        if !more {
            break;
        }
    }
    assert_eq!((walk.digest(), walk.node_count()), (digest, count));
    let loaded = loader.finish(walk.zxid());
    drop(tree.end_snapshot(walk));
    assert!(loaded.unknown_acls().is_empty());
    same(&dump(&loaded), &expected, "loaded");
    assert_eq!(loaded.digest(), digest);
    assert_eq!(loaded.node_count(), count);
    audit(&loaded);
    loaded
}

#[test]
fn a_snapshot_is_the_tree_at_its_zxid_whatever_is_applied_meanwhile() {
    for seed in 0..80 {
        let (mut live, mut tree, mut random) = (Live::new(seed), new_tree(), Random(!seed));
        // Several on one tree: what one leaves behind must not hurt the next.
        for _ in 0..4 {
            for _ in 0..random.below(40) {
                apply(&mut tree, &live.next());
                audit(&tree);
            }
            walk_and_load(&mut tree, &mut random, |tree, random| {
                for _ in 0..random.below(5) {
                    apply(tree, &live.next());
                }
            });
            audit(&tree);
            same(&dump(&tree), &live.model.nodes, &format!("seed {seed}"));
        }
    }
}

#[test]
fn a_snapshot_is_exact_under_txns_that_fit_nothing() {
    for seed in 0..80 {
        let (mut tree, mut random, mut zxid) = (new_tree(), Random(seed), 0);
        for _ in 0..4 {
            for _ in 0..60 {
                zxid += 1;
                apply(&mut tree, &anything(&mut random, zxid));
            }
            walk_and_load(&mut tree, &mut random, |tree, random| {
                for _ in 0..random.below(8) {
                    zxid += 1;
                    apply(tree, &anything(random, zxid));
                }
            });
        }
    }
}

#[test]
fn a_snapshot_of_a_deleted_subtree_still_has_it() {
    let mut tree = new_tree();
    for (zxid, path) in ["/a", "/a/b", "/a/b/c", "/a/b/d"].into_iter().enumerate() {
        apply_one(&mut tree, zxid as i64 + 1, create(path, "x", -1));
    }
    let mut first = true;
    let loaded = walk_and_load(&mut tree, &mut Random(1), |tree, _| {
        if std::mem::take(&mut first) {
            for (zxid, path) in ["/a/b/d", "/a/b/c", "/a/b", "/a"].into_iter().enumerate() {
                assert_eq!(apply_one(tree, zxid as i64 + 10, delete(path)), OpResult::Ok(None));
            }
            assert!(matches!(apply_one(tree, 20, create("/a", "new", -1)), OpResult::Ok(_)));
        }
    });
    assert_eq!(loaded.lookup("/a/b/c").unwrap().data(), Some(&b"x"[..]));
    assert_eq!(tree.lookup("/a").unwrap().data(), Some(&b"new"[..]));
    assert!(tree.lookup("/a/b").is_none());
}

#[test]
fn places_of_deleted_znodes_are_used_again_after_the_snapshot() {
    let mut tree = new_tree();
    let mut zxid = 0;
    let mut churn = |tree: &mut Tree, times: usize| {
        for _ in 0..times {
            zxid += 1;
            apply_one(tree, zxid, create("/a", "x", -1));
            zxid += 1;
            apply_one(tree, zxid, delete("/a"));
        }
    };
    churn(&mut tree, 10);
    let walk = tree.begin_snapshot().unwrap();
    churn(&mut tree, 1000);
    assert!(tree.slab.len() < 10, "new places are used again during a snapshot: {}", tree.slab.len());
    drop(tree.end_snapshot(walk));
    churn(&mut tree, 1000);
    assert!(tree.slab.len() < 10, "{}", tree.slab.len());
    audit(&tree);
}

#[test]
fn a_walk_outlives_its_snapshot_only_as_an_error() {
    let mut tree = new_tree();
    let mut walk = tree.begin_snapshot().unwrap();
    drop(tree.cancel_snapshot());
    assert_eq!(walk.next_chunk(&tree, 10, &mut |_| {}), Err(StaleWalk));
    let mut second = tree.begin_snapshot().unwrap();
    assert_eq!(walk.next_chunk(&tree, 10, &mut |_| {}), Err(StaleWalk));
    // Ending the first again does not end the second.
    drop(tree.end_snapshot(walk));
    assert!(tree.snapshot_active());
    assert_eq!(second.next_chunk(&tree, 100, &mut |_| {}), Ok(false));
    drop(tree.end_snapshot(second));
    assert!(!tree.snapshot_active());
}

#[test]
fn equal_acls_are_one_in_a_snapshot() {
    let mut tree = new_tree();
    for n in 0..1000 {
        let mut op = create(&format!("/n{n}"), "", -1);
        if let SubTxn::Create { acl: list, .. } = &mut op {
            // Equal, not the same in memory.
            *list = acl(if n % 2 == 0 { "even" } else { "odd" });
        }
        apply_one(&mut tree, n + 1, op);
    }
    let walk = tree.begin_snapshot().unwrap();
    // Those two, and that of the configuration; the open list has a number of its own and no place in the table.
    assert_eq!(walk.acl_table().len(), 3);
}
