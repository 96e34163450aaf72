//! The view of one znode that readers get.

use super::{
    Tree,
    acl::OPEN,
    slab::{NONE, OWNED, ROOT, Slot, ZOMBIE},
};
use crate::types::{AclList, Owner, Stat, StatPersisted};

/// A znode's identity, different for every znode that ever lived in this tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId {
    slot: u32,
    czxid: i64,
}

/// Changes whenever the children of a znode change: the key of a cached children list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChildrenKey {
    // Another tree may take this one's place, and its znodes have the numbers of others.
    tree: u32,
    node: NodeId,
    pzxid: i64,
    cversion: i32,
    // A create whose cversion cannot rise leaves pzxid alone, and only the count tells.
    child_count: u32,
}

/// A znode.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    pub(super) tree: &'a Tree,
    pub(super) slot: &'a Slot,
    pub(super) id: u32,
}

impl<'a> Node<'a> {
    /// Its identity.
    pub fn id(&self) -> NodeId {
        NodeId { slot: self.id, czxid: self.slot.czxid }
    }

    /// Key of its children list.
    pub fn children_key(&self) -> ChildrenKey {
        ChildrenKey {
            tree: self.tree.number,
            node: self.id(),
            pzxid: self.slot.pzxid,
            cversion: self.slot.cversion,
            child_count: self.slot.child_count,
        }
    }

    /// The last component of its path; empty for `/`.
    pub fn name(&self) -> &'a str {
        self.tree.slab.name(self.slot)
    }

    /// The name's bytes, for those who only copy or compare.
    pub fn name_bytes(&self) -> &'a [u8] {
        self.tree.slab.name_bytes(self.slot)
    }

    /// Its path; `/` for the root.
    pub fn path(&self) -> String {
        if self.id == ROOT { "/".into() } else { self.tree.path_of(self.id) }
    }

    /// Its data. Null and empty differ.
    pub fn data(&self) -> Option<&'a [u8]> {
        self.tree.slab.data(self.slot)
    }

    /// What clients see.
    pub fn stat(&self) -> Stat {
        self.tree.stat_of(self.id)
    }

    /// What files keep.
    pub fn stat_persisted(&self) -> StatPersisted {
        self.tree.stat_persisted_of(self.id)
    }

    /// Its ACL.
    pub fn acl(&self) -> &'a AclList {
        self.tree.acls.list(self.slot.acl)
    }

    /// Whether the ACL is `world:anyone:cdrwa`.
    pub fn is_open_acl(&self) -> bool {
        self.slot.acl == OPEN
    }

    /// Number of the ACL in files; −1 for the open one.
    pub fn acl_index(&self) -> i64 {
        self.tree.acls.index(self.slot.acl)
    }

    /// Number of children.
    pub fn child_count(&self) -> usize {
        self.slot.child_count as usize
    }

    /// The children, in no particular order.
    pub fn children(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let tree = self.tree;
        let mut at = self.slot.first_child;
        std::iter::from_fn(move || {
            while at != NONE {
                let node = tree.node(at);
                at = node.slot.next;
                if !node.slot.has(ZOMBIE) {
                    return Some(node);
                }
            }
            None
        })
    }

    /// Number of all znodes below it.
    pub fn descendant_count(&self) -> usize {
        if self.id == ROOT {
            return self.tree.node_count() - 1;
        }
        let mut count = 0;
        let mut at = self.id;
        while let Some(next) = self.tree.next_below(self.id, at) {
            count += 1;
            at = next;
        }
        count
    }

    /// Whom it belongs to.
    pub fn owner(&self) -> Owner {
        Owner::from_stored(self.stored_owner(), self.tree.options.owner_rules)
    }

    /// The owner as files keep it.
    pub fn stored_owner(&self) -> i64 {
        if self.slot.has(OWNED) { self.tree.owners.stored(self.id) } else { 0 }
    }

    /// The znode above; `None` for `/`.
    pub fn parent(&self) -> Option<Node<'a>> {
        (self.id != ROOT).then(|| self.tree.node(self.slot.parent))
    }

    /// Its part of the tree's digest; 0 below `/zookeeper` or with digests off.
    pub fn digest(&self) -> u32 {
        self.slot.digest
    }
}
