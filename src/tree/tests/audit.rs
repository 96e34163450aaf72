//! Everything that must hold of a tree at any time, recomputed from scratch.

use super::*;
use crate::tree::{acl::OPEN, slab::DOOMED};
use std::collections::HashMap;

/// Panics if anything that is kept up to date differs from what it is about.
pub fn audit(tree: &Tree) {
    let mut ids = vec![ROOT];
    let mut at = ROOT;
    while let Some(next) = tree.next_below(ROOT, at) {
        ids.push(next);
        at = next;
    }
    assert_eq!(ids.len(), tree.node_count(), "node count");

    let (mut digest, mut size, mut acl_uses) = (0_i64, 1_i64, HashMap::<u32, u64>::new());
    let (mut owned, mut ephemerals) = (0, 0);
    for &id in &ids {
        let node = tree.node(id);
        let path = node.path();
        assert_eq!(tree.find(&path), Some(id), "{path} is found at its place");
        check_links(tree, id);

        let stat = node.stat_persisted();
        let data_len = node.data().map_or(0, <[u8]>::len) as i64;
        let expected = if tree.digest_enabled() { node_digest(&path, node.data(), &stat) } else { 0 };
        assert_eq!(node.digest(), expected, "digest of {path}");
        digest = digest.wrapping_add(i64::from(expected));
        size += data_len + if id == ROOT { data_len } else { path.encode_utf16().count() as i64 };
        *acl_uses.entry(node.slot.acl).or_default() += 1;
        match node.owner() {
            Owner::None => continue,
            Owner::Session(s) => {
                ephemerals += 1;
                assert!(tree.owners.session(s).contains(&id), "{path} is in its session's list");
            }
            Owner::Container => assert!(tree.owners.containers().contains(&id), "{path}"),
            Owner::Ttl(_) => assert!(tree.owners.ttls().contains(&id), "{path}"),
        }
        owned += 1;
    }
    assert_eq!(tree.digest(), digest, "digest of the tree");
    assert_eq!(tree.data_size_bytes(), size, "data size");
    assert_eq!(tree.ephemerals_count(), ephemerals, "ephemerals");
    let in_groups = tree.ephemeral_sessions().map(|s| tree.owners.session(s).len()).sum::<usize>()
        + tree.containers().count()
        + tree.ttls().count();
    assert_eq!(in_groups, owned, "znodes in the owners' lists");
    for id in tree.snapshots.garbage().filter(|&id| tree.slab.at(id).has(DOOMED)) {
        *acl_uses.entry(tree.slab.at(id).acl).or_default() += 1;
    }
    acl_uses.remove(&OPEN);
    assert_eq!(tree.acl_count(), acl_uses.len(), "ACLs in use");
    for (slot, uses) in acl_uses {
        assert_eq!(tree.acls.uses(slot), uses, "uses of ACL {}", tree.acls.index(slot));
    }
}

fn check_links(tree: &Tree, id: u32) {
    let slot = tree.slab.at(id);
    let (mut live, mut before, mut at) = (0, NONE, slot.first_child);
    while at != NONE {
        let child = tree.slab.at(at);
        assert_eq!(child.parent, id);
        assert_eq!(child.prev, before);
        live += u32::from(!child.has(ZOMBIE));
        before = at;
        at = child.next;
    }
    assert_eq!(live, slot.child_count, "children of {}", tree.node(id).path());
}
