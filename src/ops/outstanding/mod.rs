//! What znodes will look like once the txns that are prepared but not yet applied are applied.
//!
//! Checks of a write must see the writes before it. Those are not in the tree yet, so every prepared txn leaves
//! records here: for each znode that it touches, the state after it. A record is dropped when its txn has been
//! applied and no later one touched the znode.
//!
//! Invariants: a path without a record is in the tree as it will be, unless it is an ephemeral of a session that
//! is being closed; a failed multi leaves nothing behind; the expected digest is that of the tree after the last
//! prepared txn.
//!
//! Upstream counterpart: `ZooKeeperServer.outstandingChanges` and `ChangeRecord`, `PrepRequestProcessor`'s
//! `getRecordForPath`, `rollbackPendingChanges` and `precalculateDigest`.

mod digest;

use crate::tree::{Node, NodeId, Tree};
use crate::types::{AclList, Owner, OwnerRules, SessionId, StatPersisted, Zxid};
use digest::NodeDigest;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable, hash_table};
use std::collections::VecDeque;
use std::hash::BuildHasher;

/// Records of the txns that are prepared and not yet applied.
#[derive(Debug, Default)]
pub struct Outstanding {
    /// Where the record of a path is, by the path's hash.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Which txn touched which record, in zxid order.
    order: VecDeque<(Zxid, u32)>,
    /// How many records are of ephemerals, by owner.
    ephemerals: HashMap<SessionId, u32>,
    /// Sessions that end with an outstanding txn: their ephemerals in the tree are as good as deleted.
    closing: HashMap<SessionId, Zxid>,
    closing_order: VecDeque<(Zxid, SessionId)>,
    /// Digest of the tree after the last prepared txn; only meaningful while anything is outstanding.
    digest: i64,
    /// What to restore when the multi under way fails.
    undo: Option<Undo>,
    owner_rules: OwnerRules,
}

#[derive(Debug)]
struct Slot {
    hash: u64,
    path: String,
    /// The last txn that touched it.
    zxid: Zxid,
    /// `None`: deleted.
    state: Option<Pending>,
}

/// A znode as it will be.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub stat: StatPersisted,
    pub child_count: u32,
    pub acl: AclList,
    /// Bytes of data.
    pub data_len: usize,
    digest: NodeDigest,
}

#[derive(Debug)]
struct Undo {
    digest: i64,
    /// Records that the multi touched, oldest first.
    records: Vec<(u32, Before)>,
}

/// What a record was before a multi touched it.
#[derive(Debug)]
enum Before {
    Absent,
    Present { zxid: Zxid, state: Option<Pending> },
}

/// A path and its hash.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    path: &'a str,
    hash: u64,
}

/// A znode that exists as far as a new txn is concerned.
#[derive(Clone, Copy)]
pub(super) enum Seen<'t> {
    Tree(Node<'t>),
    Record(u32),
}

impl Outstanding {
    /// Nothing is outstanding. The rules are the tree's.
    pub fn new(owner_rules: OwnerRules) -> Self {
        Self { owner_rules, ..Self::default() }
    }

    /// Whether every prepared txn has been applied.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty() && self.closing.is_empty()
    }

    /// Number of znodes with a record.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Tells that the txns up to and including this one have been applied to the tree.
    pub fn applied(&mut self, zxid: Zxid) {
        debug_assert!(self.undo.is_none(), "no multi is half prepared");
        while let Some(&(at, slot)) = self.order.front()
            && at <= zxid
        {
            self.order.pop_front();
            if self.slots[slot as usize].zxid == at {
                self.free(slot);
            }
        }
        while let Some(&(at, session)) = self.closing_order.front()
            && at <= zxid
        {
            self.closing_order.pop_front();
            if self.closing.get(&session) == Some(&at) {
                self.closing.remove(&session);
            }
        }
    }

    /// Forgets everything: what was prepared will not be applied.
    pub fn clear(&mut self) {
        *self = Self::new(self.owner_rules);
    }

    /// Digest that the tree will have after the last prepared txn; `None` when digests are switched off.
    pub fn digest(&self, tree: &Tree) -> Option<i64> {
        tree.digest_enabled().then(|| self.tree_digest(tree))
    }

    fn tree_digest(&self, tree: &Tree) -> i64 {
        if self.is_empty() { tree.digest() } else { self.digest }
    }

    /// The key of a path. The empty path is the root, as everywhere.
    pub(super) fn key<'a>(&self, path: &'a str) -> Key<'a> {
        let path = if path.is_empty() { "/" } else { path };
        Key { path, hash: self.hasher.hash_one(path) }
    }

    fn find(&self, key: Key<'_>) -> Option<u32> {
        self.index.find(key.hash, |slot| self.slots[*slot as usize].path == key.path).copied()
    }

    /// The znode as the next txn finds it.
    pub(super) fn look<'t>(&self, tree: &'t Tree, key: Key<'_>) -> Option<Seen<'t>> {
        if !self.index.is_empty()
            && let Some(slot) = self.find(key)
        {
            return self.slots[slot as usize].state.is_some().then_some(Seen::Record(slot));
        }
        let node = tree.lookup(key.path)?;
        if !self.closing.is_empty()
            && let Owner::Session(owner) = node.owner()
            && self.closing.contains_key(&owner)
        {
            return None;
        }
        Some(Seen::Tree(node))
    }

    fn pending(&self, slot: u32) -> &Pending {
        self.slots[slot as usize].state.as_ref().expect("only znodes that exist are seen")
    }

    /// Runs `f` on the stat without copying a record's.
    fn stat<T>(&self, seen: Seen<'_>, f: impl FnOnce(&StatPersisted) -> T) -> T {
        match seen {
            Seen::Tree(node) => f(&node.stat_persisted()),
            Seen::Record(slot) => f(&self.pending(slot).stat),
        }
    }

    pub(super) fn version(&self, seen: Seen<'_>) -> i32 {
        self.stat(seen, |s| s.version)
    }

    /// The stored one: number of creations.
    pub(super) fn cversion(&self, seen: Seen<'_>) -> i32 {
        self.stat(seen, |s| s.cversion)
    }

    pub(super) fn aversion(&self, seen: Seen<'_>) -> i32 {
        self.stat(seen, |s| s.aversion)
    }

    pub(super) fn owner_of(&self, seen: Seen<'_>) -> Owner {
        self.stat(seen, |s| Owner::from_stored(s.ephemeral_owner, self.owner_rules))
    }

    pub(super) fn acl<'a>(&'a self, seen: Seen<'a>) -> &'a AclList {
        match seen {
            Seen::Tree(node) => node.acl(),
            Seen::Record(slot) => &self.pending(slot).acl,
        }
    }

    pub(super) fn child_count(&self, seen: Seen<'_>) -> usize {
        match seen {
            Seen::Tree(node) => node.child_count(),
            Seen::Record(slot) => self.pending(slot).child_count as usize,
        }
    }

    pub(super) fn data_len(&self, seen: Seen<'_>) -> usize {
        match seen {
            Seen::Tree(node) => node.data().map_or(0, <[u8]>::len),
            Seen::Record(slot) => self.pending(slot).data_len,
        }
    }

    /// Records that the txn changes a znode that exists.
    pub(super) fn update(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        key: Key<'_>,
        seen: Seen<'_>,
        change: impl FnOnce(&mut Pending),
    ) {
        let slot = match seen {
            Seen::Record(slot) => {
                self.touch(zxid, slot);
                slot
            }
            Seen::Tree(node) => {
                let before = self.tree_digest(tree);
                let state = Pending::of_node(node, key.path, tree.digest_enabled());
                let slot = self.insert(zxid, key, Some(state));
                self.note_owner(slot);
                self.digest = before;
                slot
            }
        };
        let state = self.slots[slot as usize].state.as_mut().expect("the znode exists");
        let before = state.digest.value();
        change(state);
        state.digest.seal(&state.stat);
        self.digest = self.digest.wrapping_add(i64::from(state.digest.value()) - i64::from(before));
    }

    /// Records that the txn replaces a znode's data. Call inside [`Self::update`].
    pub(super) fn set_data(state: &mut Pending, key: Key<'_>, data: Option<&[u8]>) {
        state.data_len = data.map_or(0, <[u8]>::len);
        state.digest.set_data(key.path, data);
    }

    /// Records that the txn creates a child. The tree takes the new cversion, and the zxid with it, only when that is
    /// larger than the one it has.
    pub(super) fn add_child(&mut self, tree: &Tree, zxid: Zxid, key: Key<'_>, seen: Seen<'_>, cversion: i32) {
        self.update(tree, zxid, key, seen, |parent| {
            parent.child_count += 1;
            if cversion > parent.stat.cversion {
                parent.stat.cversion = cversion;
                parent.stat.pzxid = zxid.0;
            }
        });
    }

    /// Records that the txn deletes a child.
    pub(super) fn remove_child(&mut self, tree: &Tree, zxid: Zxid, key: Key<'_>, seen: Seen<'_>) {
        self.remove_children(tree, zxid, key, seen, 1);
    }

    fn remove_children(&mut self, tree: &Tree, zxid: Zxid, key: Key<'_>, seen: Seen<'_>, count: u32) {
        self.update(tree, zxid, key, seen, |parent| {
            parent.child_count = parent.child_count.saturating_sub(count);
            parent.stat.pzxid = parent.stat.pzxid.max(zxid.0);
        });
    }

    /// Records that the txn creates a znode.
    pub(super) fn create(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        key: Key<'_>,
        data: Option<&[u8]>,
        acl: AclList,
        stat: StatPersisted,
    ) {
        let before = self.tree_digest(tree);
        let mut digest = NodeDigest::new(key.path, data, tree.digest_enabled());
        digest.seal(&stat);
        let state = Pending { stat, child_count: 0, acl, data_len: data.map_or(0, <[u8]>::len), digest };
        self.digest = before.wrapping_add(i64::from(state.digest.value()));
        let slot = match self.find(key) {
            Some(slot) => {
                self.touch(zxid, slot);
                self.slots[slot as usize].state = Some(state);
                slot
            }
            None => self.insert(zxid, key, Some(state)),
        };
        self.note_owner(slot);
    }

    /// Records that the txn deletes a znode.
    pub(super) fn delete(&mut self, tree: &Tree, zxid: Zxid, key: Key<'_>, seen: Seen<'_>) {
        let before = self.tree_digest(tree);
        let gone = match seen {
            Seen::Tree(node) => {
                self.insert(zxid, key, None);
                node.digest()
            }
            Seen::Record(slot) => {
                self.touch(zxid, slot);
                self.forget_owner(slot);
                let state = self.slots[slot as usize].state.take();
                state.map_or(0, |s| s.digest.value())
            }
        };
        self.digest = before.wrapping_sub(i64::from(gone));
    }

    /// Records that the txn ends a session, and gives the paths of its ephemerals, those included that outstanding
    /// txns create.
    pub(super) fn close_session(&mut self, tree: &Tree, zxid: Zxid, session: SessionId) -> Vec<String> {
        let mut paths = Vec::new();
        // One record for each parent, not one look-up for each child: a place in `paths` to tell it by, and a count.
        let mut parents = HashMap::<NodeId, (usize, u32)>::new();
        let mut digest = self.tree_digest(tree);
        if !self.closing.contains_key(&session) {
            for node in tree.ephemeral_nodes(session) {
                let path = node.path();
                if self.index.is_empty() || self.find(self.key(&path)).is_none() {
                    digest = digest.wrapping_sub(i64::from(node.digest()));
                    if let Some(parent) = node.parent() {
                        parents.entry(parent.id()).or_insert((paths.len(), 0)).1 += 1;
                    }
                    paths.push(path);
                }
            }
        }
        let of_tree = paths.len();
        self.closing.insert(session, zxid);
        self.closing_order.push_back((zxid, session));
        self.digest = digest;
        if self.ephemerals.contains_key(&session) {
            for at in 0..self.order.len() {
                let slot = self.order[at].1;
                if self.owner(slot) == Some(session) {
                    let path = self.slots[slot as usize].path.clone();
                    let key = self.key(&path);
                    self.delete(tree, zxid, key, Seen::Record(slot));
                    paths.push(path);
                }
            }
        }
        let mut parents: Vec<_> = parents.into_values().collect();
        parents.sort_unstable();
        parents.extend((of_tree..paths.len()).map(|at| (at, 1)));
        for (at, children) in parents {
            let key = self.key(parent_of(&paths[at]));
            if let Some(seen) = self.look(tree, key) {
                self.remove_children(tree, zxid, key, seen, children);
            }
        }
        paths
    }

    /// A multi begins: what it records can be taken back.
    pub(super) fn begin_multi(&mut self, tree: &Tree) {
        self.undo = Some(Undo { digest: self.tree_digest(tree), records: Vec::new() });
    }

    /// The multi is complete.
    pub(super) fn end_multi(&mut self) {
        self.undo = None;
    }

    /// The multi failed: takes back what it recorded.
    pub(super) fn roll_back_multi(&mut self, zxid: Zxid) {
        let Some(undo) = self.undo.take() else { return };
        for (slot, before) in undo.records.into_iter().rev() {
            match before {
                Before::Absent => self.free(slot),
                Before::Present { zxid, state } => {
                    self.forget_owner(slot);
                    let s = &mut self.slots[slot as usize];
                    s.zxid = zxid;
                    s.state = state;
                    self.note_owner(slot);
                }
            }
        }
        while self.order.back().is_some_and(|(at, _)| *at == zxid) {
            self.order.pop_back();
        }
        self.digest = undo.digest;
    }

    /// A record changes for the first or another time.
    fn touch(&mut self, zxid: Zxid, slot: u32) {
        let s = &mut self.slots[slot as usize];
        if s.zxid != zxid {
            if let Some(undo) = &mut self.undo {
                undo.records.push((slot, Before::Present { zxid: s.zxid, state: s.state.clone() }));
            }
            s.zxid = zxid;
            self.order.push_back((zxid, slot));
        }
    }

    fn insert(&mut self, zxid: Zxid, key: Key<'_>, state: Option<Pending>) -> u32 {
        let slot = match self.free.pop() {
            Some(slot) => {
                let s = &mut self.slots[slot as usize];
                s.path.push_str(key.path);
                (s.hash, s.zxid, s.state) = (key.hash, zxid, state);
                slot
            }
            None => {
                self.slots.push(Slot { hash: key.hash, path: key.path.to_string(), zxid, state });
                self.slots.len() as u32 - 1
            }
        };
        let slots = &self.slots;
        self.index.insert_unique(key.hash, slot, |slot| slots[*slot as usize].hash);
        self.order.push_back((zxid, slot));
        if let Some(undo) = &mut self.undo {
            undo.records.push((slot, Before::Absent));
        }
        slot
    }

    fn free(&mut self, slot: u32) {
        self.forget_owner(slot);
        let s = &mut self.slots[slot as usize];
        let hash = s.hash;
        s.state = None;
        s.path.clear();
        // Paths of ordinary length keep their buffer for the next record.
        s.path.shrink_to(256);
        if let Ok(entry) = self.index.find_entry(hash, |at| *at == slot) {
            let _: (u32, hash_table::VacantEntry<'_, u32>) = entry.remove();
        }
        self.free.push(slot);
    }

    fn owner(&self, slot: u32) -> Option<SessionId> {
        let state = self.slots[slot as usize].state.as_ref()?;
        match Owner::from_stored(state.stat.ephemeral_owner, self.owner_rules) {
            Owner::Session(session) => Some(session),
            _ => None,
        }
    }

    /// Counts an ephemeral that a record has come to hold.
    fn note_owner(&mut self, slot: u32) {
        if let Some(owner) = self.owner(slot) {
            *self.ephemerals.entry(owner).or_default() += 1;
        }
    }

    /// Takes back [`Self::note_owner`], before the record's state is dropped.
    fn forget_owner(&mut self, slot: u32) {
        if let Some(owner) = self.owner(slot)
            && let Some(count) = self.ephemerals.get_mut(&owner)
        {
            *count -= 1;
            if *count == 0 {
                self.ephemerals.remove(&owner);
            }
        }
    }
}

impl Pending {
    fn of_node(node: Node<'_>, path: &str, digest_enabled: bool) -> Self {
        let data = node.data();
        let stat = node.stat_persisted();
        let mut digest = NodeDigest::new(path, data, digest_enabled);
        digest.seal(&stat);
        Self {
            stat,
            child_count: node.child_count() as u32,
            acl: node.acl().clone(),
            data_len: data.map_or(0, <[u8]>::len),
            digest,
        }
    }
}

fn parent_of(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..at])
}
