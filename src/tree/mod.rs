//! The znodes in memory.
//!
//! Invariants: the same txns in the same order give the same znodes, stats, ACLs and digest, whether they arrive live
//! or are replayed over a state that already has some of them; the digest is always the sum over the znodes; nothing
//! here recurses, and no content of a txn or file makes it panic.
//!
//! ```text
//! index: path hash -> id          slab: id -> Slot { stat, links, acl slot, digest, name+data }
//! owners: id -> stored owner      acls: slot -> list, index in files, uses
//! quotas: watched prefixes        snapshot: pre-images of what changed since it began
//! ```
//!
//! Upstream counterparts: `server.DataTree`, `DataNode`, `NodeHashMap`. Start reading at [`Tree::apply`] for changes,
//! [`Node`] for reads, [`TreeLoader`] and [`SnapshotWalk`] for files.

mod acl;
mod apply;
pub(crate) mod blobs;
mod change;
mod close;
mod digest;
mod effects;
pub(crate) mod index;
mod load;
mod node;
mod owners;
mod quota;
mod slab;
mod snapshot;

#[cfg(test)]
mod tests;

pub use apply::{Applied, OpResult};
pub use close::ClosePlan;
pub use digest::{DIGEST_VERSION, node_digest};
pub use effects::{Effect, EffectKind, Effects};
pub use load::{LoadError, TreeLoader};
pub use node::{ChildrenKey, Node, NodeId};
pub use quota::{QuotaExcess, QuotaKind, QuotaVerdict};
pub use snapshot::{SnapshotBusy, SnapshotNode, SnapshotRemains, SnapshotWalk, StaleWalk};

use crate::types::{Acl, AclList, Id, Owner, OwnerRules, Perms, SessionId, Stat, StatPersisted, Zxid};
use foldhash::quality::FixedState;
use slab::{NONE, OWNED, ROOT, Slab, ZOMBIE};
use std::{
    hash::{BuildHasher, Hasher},
    sync::atomic::{AtomicU32, Ordering},
};

/// `/zookeeper/config`.
pub const CONFIG_PATH: &str = "/zookeeper/config";

/// Trees made so far in this process.
static TREES: AtomicU32 = AtomicU32::new(0);

/// How a tree is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct TreeOptions {
    /// Seed of the hash of paths. A random one keeps clients from choosing names that collide.
    pub hash_seed: u64,
    /// Which stored owners are TTLs.
    pub owner_rules: OwnerRules,
    /// `zookeeper.digest.enabled`.
    pub digest: bool,
}

/// The tree.
pub struct Tree {
    /// Which of the trees of this process it is: the numbers of its znodes mean nothing in another one.
    number: u32,
    options: TreeOptions,
    hasher: FixedState,
    slab: Slab,
    index: index::Index,
    /// Real znodes, `/` included.
    node_count: u32,
    node_count_max: u32,
    acls: acl::AclTable,
    owners: owners::Owners,
    quotas: quota::Quotas,
    digest: i64,
    digest_log: digest::DigestLog,
    /// Until this txn is applied the tree may hold some of what comes after `last_zxid`; zero when it does not.
    fuzzy_until: Zxid,
    last_zxid: Zxid,
    data_size_bytes: i64,
    snapshots: snapshot::Snapshots,
    /// Counts changes, so that a plan knows whether it is too old.
    changes: u64,
}

impl Tree {
    /// The tree of a new server: `/`, `/zookeeper`, `/zookeeper/quota` and `/zookeeper/config`.
    pub fn new(options: TreeOptions) -> Self {
        let mut tree = Self::bare(options);
        let empty = StatPersisted::default();
        for path in ["/zookeeper", "/zookeeper/quota"] {
            if let Ok((parent, name)) = tree.place_of(path) {
                tree.add_node(parent, path, name, Some(&[]), acl::OPEN, &empty);
            }
        }
        tree.add_config_node();
        tree
    }

    /// Only `/`.
    fn bare(options: TreeOptions) -> Self {
        let mut tree = Self {
            number: TREES.fetch_add(1, Ordering::Relaxed),
            options,
            hasher: FixedState::with_seed(options.hash_seed),
            slab: Slab::default(),
            index: index::Index::new(),
            node_count: 1,
            node_count_max: NONE - 1,
            acls: acl::AclTable::new(options.hash_seed),
            owners: owners::Owners::default(),
            quotas: quota::Quotas::default(),
            digest: 0,
            digest_log: digest::DigestLog::default(),
            fuzzy_until: Zxid::ZERO,
            last_zxid: Zxid::ZERO,
            // Upstream has `/` twice, as "" and as "/".
            data_size_bytes: 1,
            snapshots: snapshot::Snapshots::default(),
            changes: 0,
        };
        let root = tree.slab.make("", Some(&[]));
        tree.slab.append(root);
        tree.refresh_digest(ROOT, "");
        tree
    }

    /// `/zookeeper/config`, unless it is there or there is no `/zookeeper`.
    fn add_config_node(&mut self) {
        if self.find(CONFIG_PATH).is_some() {
            return;
        }
        if let Ok((parent, name)) = self.place_of(CONFIG_PATH) {
            let readable: AclList = [Acl { perms: Perms::READ, id: Id::new("world", "anyone") }].into();
            let acl = self.acls.acquire(&readable);
            let stat = StatPersisted { aversion: -1, ..StatPersisted::default() };
            self.add_node(parent, CONFIG_PATH, name, Some(&[]), acl, &stat);
        }
    }

    /// The znode at a path. "" is the same as `/`; what is no path is not there.
    pub fn lookup(&self, path: &str) -> Option<Node<'_>> {
        self.find(path).map(|id| self.node(id))
    }

    /// `/`.
    pub fn root(&self) -> Node<'_> {
        self.node(ROOT)
    }

    /// Zxid of the last txn applied.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Sets the zxid of the last txn applied, as a new epoch or a snapshot's name does.
    pub fn set_last_zxid(&mut self, zxid: Zxid) {
        self.last_zxid = zxid;
    }

    /// Number of znodes. Upstream shows one more, because it has `/` twice.
    pub fn node_count(&self) -> usize {
        self.node_count as usize
    }

    /// Whether that many more znodes can be created.
    pub fn has_room(&self, more: usize) -> bool {
        more <= (self.node_count_max - self.node_count) as usize
    }

    /// Sets how many znodes there can be; at most 2^32 − 2, which is the default.
    pub fn set_node_count_max(&mut self, max: u32) {
        self.node_count_max = max.clamp(self.node_count, NONE - 1);
    }

    /// Digest of the whole tree; 0 with digests off.
    pub fn digest(&self) -> i64 {
        self.digest
    }

    /// Whether digests are on.
    pub fn digest_enabled(&self) -> bool {
        self.options.digest
    }

    /// The digest after every 128th zxid, oldest first, at most 1,024.
    pub fn digest_log(&self) -> impl Iterator<Item = (Zxid, i64)> {
        self.digest_log.iter()
    }

    /// The tree was written down while txns up to this one were applied to it, so it may hold some of what they do
    /// already. Until it has been applied digests are those of no state that ever was, and are not logged.
    ///
    /// Upstream counterpart: `DataTree.digestFromLoadedSnapshot`.
    pub fn set_fuzzy_until(&mut self, zxid: Zxid) {
        self.fuzzy_until = if zxid > self.last_zxid { zxid } else { Zxid::ZERO };
    }

    /// Whether the tree is the state after [`last_zxid`](Self::last_zxid), so that its digest means something.
    pub fn is_exact(&self) -> bool {
        self.fuzzy_until == Zxid::ZERO
    }

    /// To be called when a txn has been applied.
    fn log_digest(&mut self, zxid: Zxid) {
        if self.is_exact() {
            self.digest_log.record(zxid, self.digest);
        } else if zxid >= self.fuzzy_until {
            self.fuzzy_until = Zxid::ZERO;
        }
    }

    /// Sum of the lengths of paths (in UTF-16 units) and data.
    ///
    /// Upstream counterpart: `DataTree.approximateDataSize`.
    pub fn data_size_bytes(&self) -> i64 {
        self.data_size_bytes
    }

    /// Number of ephemeral znodes.
    pub fn ephemerals_count(&self) -> usize {
        self.owners.ephemerals_count()
    }

    /// Paths of a session's ephemerals.
    pub fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = String> {
        self.owners.session(session).iter().map(|&id| self.node(id).path())
    }

    /// A session's ephemerals.
    pub fn ephemeral_nodes(&self, session: SessionId) -> impl Iterator<Item = Node<'_>> {
        self.owners.session(session).iter().map(|&id| self.node(id))
    }

    /// Sessions that have or had ephemerals and are not closed, by number.
    pub fn ephemeral_sessions(&self) -> impl Iterator<Item = SessionId> {
        self.owners.sessions()
    }

    /// Containers.
    pub fn containers(&self) -> impl Iterator<Item = Node<'_>> {
        self.owners.containers().iter().map(|&id| self.node(id))
    }

    /// TTL znodes.
    pub fn ttls(&self) -> impl Iterator<Item = Node<'_>> {
        self.owners.ttls().iter().map(|&id| self.node(id))
    }

    /// The rules by which stored owners are read.
    pub fn owner_rules(&self) -> OwnerRules {
        self.options.owner_rules
    }

    /// Reads all stored owners by other rules. For a directory whose TTL znodes were written under a setting that this
    /// server does not have: by its own rules they would be ephemerals of sessions that never were.
    pub fn set_owner_rules(&mut self, rules: OwnerRules) {
        self.options.owner_rules = rules;
        self.owners.regroup(rules);
    }

    /// ACL numbers of a loaded file that no list was known for and that no txn has replaced since. The znodes that use
    /// them are closed to everybody. With such a number left after replay the state is not the true one.
    pub fn unknown_acls(&self) -> Vec<i64> {
        self.acls.unknown().collect()
    }

    /// Number of distinct ACLs, the open one not counted.
    pub fn acl_count(&self) -> usize {
        self.acls.table().count()
    }

    /// Bytes allocated for znodes by this tree's own account: slots, index, names and data. Side tables and the
    /// allocator's rounding are not in it.
    pub fn memory_bytes(&self) -> usize {
        self.slab.allocated_bytes() + self.index.allocated_bytes()
    }

    fn node(&self, id: u32) -> Node<'_> {
        Node { tree: self, slot: self.slab.at(id), id }
    }

    fn hash(&self, path: &str) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(path.as_bytes());
        hasher.finish() as u32
    }

    fn find(&self, path: &str) -> Option<u32> {
        if path.is_empty() || path == "/" {
            return Some(ROOT);
        }
        let hash = self.hash(path);
        self.index.find(hash, |id| {
            let slot = self.slab.at(id);
            slot.hash == hash && !slot.has(ZOMBIE) && self.is_at(id, path.as_bytes())
        })
    }

    /// Whether the znode's path is this one: compared from the end upwards.
    fn is_at(&self, mut id: u32, mut path: &[u8]) -> bool {
        while id != ROOT {
            let slot = self.slab.at(id);
            let Some(rest) = path.strip_suffix(self.slab.name_bytes(slot)) else { return false };
            let Some((b'/', rest)) = rest.split_last() else { return false };
            path = rest;
            id = slot.parent;
        }
        path.is_empty()
    }

    /// The path of a znode; "" for `/`.
    fn path_of(&self, id: u32) -> String {
        let mut len = 0;
        let mut at = id;
        while at != ROOT {
            let slot = self.slab.at(at);
            len += slot.name_len() + 1;
            at = slot.parent;
        }
        let mut path = vec![b'/'; len];
        at = id;
        while at != ROOT {
            let slot = self.slab.at(at);
            let name = self.slab.name_bytes(slot);
            path[len - name.len()..len].copy_from_slice(name);
            len -= name.len() + 1;
            at = slot.parent;
        }
        String::from_utf8(path).unwrap_or_default()
    }

    /// The next znode in a walk through everything below `top`, parents first.
    fn next_below(&self, top: u32, mut at: u32) -> Option<u32> {
        let mut next = self.slab.at(at).first_child;
        loop {
            while next != NONE {
                let slot = self.slab.at(next);
                if !slot.has(ZOMBIE) {
                    return Some(next);
                }
                next = slot.next;
            }
            if at == top {
                return None;
            }
            let slot = self.slab.at(at);
            next = slot.next;
            at = slot.parent;
        }
    }

    fn stored_owner(&self, id: u32) -> i64 {
        if self.slab.at(id).has(OWNED) { self.owners.stored(id) } else { 0 }
    }

    fn stat_of(&self, id: u32) -> Stat {
        let slot = self.slab.at(id);
        let owner = Owner::from_stored(self.stored_owner(id), self.options.owner_rules);
        let num_children = slot.child_count as i32;
        Stat {
            czxid: slot.czxid,
            mzxid: slot.mzxid,
            ctime: slot.ctime,
            mtime: slot.mtime,
            version: slot.version,
            // Creations are stored; each had its deletion, except those of the children that are there.
            cversion: slot.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: slot.aversion,
            ephemeral_owner: owner.to_client(),
            data_length: slot.data_len() as i32,
            num_children,
            pzxid: slot.pzxid,
        }
    }

    fn stat_persisted_of(&self, id: u32) -> StatPersisted {
        let slot = self.slab.at(id);
        StatPersisted {
            czxid: slot.czxid,
            mzxid: slot.mzxid,
            ctime: slot.ctime,
            mtime: slot.mtime,
            version: slot.version,
            cversion: slot.cversion,
            aversion: slot.aversion,
            ephemeral_owner: self.stored_owner(id),
            pzxid: slot.pzxid,
        }
    }
}
