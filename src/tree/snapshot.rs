//! Point-in-time snapshots, while changes go on.
//!
//! ```text
//! begin: zxid S, digest, ACLs; ids from here on are new          (exclusive lock, short)
//! walk:  depth first over the old ids, a chunk at a time          (shared lock per chunk)
//! end:   the dead are given back, a few per txn                   (exclusive lock, short)
//! ```
//!
//! Invariants while a snapshot is taken:
//! * ids of new znodes are new, so an id tells whether a znode was there at S;
//! * new children are linked in front of the old ones, so the old part of every list stays as it was;
//! * an old znode that is deleted leaves the index but stays linked, a zombie;
//! * the first change of an old znode that the walk has not passed saves what it was: its pre-image.
//!
//! Upstream's snapshots are fuzzy: they hold changes that came while they were written, and rely on replay.

use super::{
    Tree,
    slab::{DOOMED, NONE, ROOT, ZOMBIE},
};
use crate::types::{AclList, StatPersisted, Zxid};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use thiserror::Error;

/// Zombies given back per txn after a snapshot, so that no single one pays for all.
const RECLAIM_PER_TXN: usize = 16;

/// A snapshot is being taken already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a snapshot is being taken already")]
pub struct SnapshotBusy;

/// The walk is not that of the snapshot being taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the snapshot was ended before its walk")]
pub struct StaleWalk;

/// Data, or null.
type OldData = Option<Box<[u8]>>;

/// What a znode was at the snapshot's zxid.
struct PreImage {
    stat: StatPersisted,
    acl_index: i64,
    first_child: u32,
    /// `None` while the data is still what it was.
    data: Option<OldData>,
}

pub(super) struct Active {
    serial: u64,
    /// Ids below this one were there.
    old_end: u32,
    /// One bit per old id: the walk has passed it. Shared with the walk, which may not write to the tree; the tree's
    /// lock orders the accesses.
    passed: Arc<Vec<AtomicU64>>,
    saved: HashMap<u32, PreImage, FixedState>,
    /// New ids that are free again.
    fresh: Vec<u32>,
    zombies: VecDeque<u32>,
}

impl Active {
    pub fn is_old(&self, id: u32) -> bool {
        id < self.old_end
    }

    fn is_passed(&self, id: u32) -> bool {
        self.passed[id as usize / 64].load(Relaxed) & (1 << (id % 64)) != 0
    }

    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    pub fn take_fresh(&mut self) -> Option<u32> {
        self.fresh.pop()
    }

    pub fn give_fresh(&mut self, id: u32) {
        self.fresh.push(id);
    }

    pub fn bury(&mut self, id: u32) {
        self.zombies.push_back(id);
    }
}

/// The snapshot being taken, if any, and what the last one left behind.
#[derive(Default)]
pub(super) struct Snapshots {
    serial: u64,
    active: Option<Box<Active>>,
    /// Zombies and free new ids, in the order of their end: children before parents. Waits while a snapshot is active.
    garbage: VecDeque<u32>,
}

impl Snapshots {
    pub fn active(&self) -> Option<&Active> {
        self.active.as_deref()
    }

    pub fn active_mut(&mut self) -> Option<&mut Active> {
        self.active.as_deref_mut()
    }

    /// Where to put the old data of a znode that is about to get new, if the walk still needs it.
    pub fn data_wanted(&mut self, id: u32) -> Option<&mut Option<OldData>> {
        let active = self.active.as_deref_mut()?;
        if !active.is_old(id) || active.is_passed(id) {
            return None;
        }
        let image = active.saved.get_mut(&id)?;
        image.data.is_none().then_some(&mut image.data)
    }

    /// Takes over znodes that are marked as gone.
    pub fn leave(&mut self, ids: Vec<u32>) {
        if self.garbage.is_empty() {
            self.garbage = ids.into();
        } else {
            self.garbage.extend(ids);
        }
    }

    /// Whether there is something to give back, and no snapshot needs it.
    pub fn has_remains(&self) -> bool {
        self.active.is_none() && !self.garbage.is_empty()
    }

    #[cfg(test)]
    pub fn garbage(&self) -> impl Iterator<Item = u32> {
        self.garbage.iter().copied()
    }

    fn wants(&self, id: u32) -> bool {
        self.active().is_some_and(|a| a.is_old(id) && !a.is_passed(id) && !a.saved.contains_key(&id))
    }
}

/// What a snapshot needed and nobody needs any more. Dropping it may take a while: do it outside the tree's lock.
pub struct SnapshotRemains {
    _saved: Option<Box<Active>>,
}

/// A znode as it was at the snapshot's zxid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotNode<'a> {
    /// "" for the root.
    pub path: &'a str,
    /// Null and empty differ.
    pub data: Option<&'a [u8]>,
    /// −1 or an index in the walk's ACL table.
    pub acl_index: i64,
    /// As files keep it.
    pub stat: StatPersisted,
}

/// The walk of one snapshot.
pub struct SnapshotWalk {
    serial: u64,
    zxid: Zxid,
    digest: i64,
    node_count: usize,
    acls: Vec<(i64, AclList)>,
    passed: Arc<Vec<AtomicU64>>,
    /// The znode to hand out next, and its path.
    at: u32,
    path: String,
}

impl SnapshotWalk {
    /// The zxid that the snapshot is exact at.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// Digest of the tree at that zxid.
    pub fn digest(&self) -> i64 {
        self.digest
    }

    /// Number of znodes at that zxid.
    pub fn node_count(&self) -> usize {
        self.node_count
    }

    /// Index and list of each ACL at that zxid.
    pub fn acl_table(&self) -> &[(i64, AclList)] {
        &self.acls
    }

    /// Hands out the next `nodes_max` znodes, parents before children. `Ok(false)` when these were the last.
    ///
    /// # Errors
    /// When the snapshot was ended, or is that of another tree.
    pub fn next_chunk(
        &mut self,
        tree: &Tree,
        nodes_max: usize,
        sink: &mut dyn FnMut(&SnapshotNode<'_>),
    ) -> Result<bool, StaleWalk> {
        let active = tree.snapshots.active().ok_or(StaleWalk)?;
        if active.serial != self.serial || !Arc::ptr_eq(&active.passed, &self.passed) {
            return Err(StaleWalk);
        }
        for _ in 0..nodes_max {
            if self.at == NONE {
                break;
            }
            let id = self.at;
            let slot = tree.slab.at(id);
            let first_child = match active.saved.get(&id) {
                Some(image) => {
                    let data = image.data.as_ref().map_or_else(|| tree.slab.data(slot), |old| old.as_deref());
                    let (acl_index, stat) = (image.acl_index, image.stat.clone());
                    sink(&SnapshotNode { path: &self.path, data, acl_index, stat });
                    image.first_child
                }
                None => {
                    let (acl_index, stat) = (tree.acls.index(slot.acl), tree.stat_persisted_of(id));
                    sink(&SnapshotNode { path: &self.path, data: tree.slab.data(slot), acl_index, stat });
                    slot.first_child
                }
            };
            active.passed[id as usize / 64].fetch_or(1 << (id % 64), Relaxed);
            self.step(tree, id, first_child);
        }
        Ok(self.at != NONE)
    }

    /// To the first child, or else to the next sibling of the nearest znode upwards that has one.
    fn step(&mut self, tree: &Tree, mut id: u32, first_child: u32) {
        let mut next = first_child;
        while next == NONE {
            if id == ROOT {
                self.at = NONE;
                return;
            }
            let slot = tree.slab.at(id);
            self.path.truncate(self.path.len() - slot.name_len() - 1);
            next = slot.next;
            id = slot.parent;
        }
        self.path.push('/');
        self.path.push_str(tree.slab.name(tree.slab.at(next)));
        self.at = next;
    }
}

impl Tree {
    /// Begins a snapshot of the tree as it is now.
    ///
    /// # Errors
    /// While another one is being taken.
    pub fn begin_snapshot(&mut self) -> Result<SnapshotWalk, SnapshotBusy> {
        if self.snapshots.active.is_some() {
            return Err(SnapshotBusy);
        }
        while self.reclaim_one() {}
        let old_end = self.slab.len();
        let words = old_end.div_ceil(64) as usize;
        let passed = Arc::new(std::iter::repeat_with(|| AtomicU64::new(0)).take(words).collect::<Vec<_>>());
        self.snapshots.serial += 1;
        let serial = self.snapshots.serial;
        self.snapshots.active = Some(Box::new(Active {
            serial,
            old_end,
            passed: passed.clone(),
            saved: HashMap::default(),
            fresh: Vec::new(),
            zombies: VecDeque::new(),
        }));
        Ok(SnapshotWalk {
            serial,
            zxid: self.last_zxid,
            digest: self.digest,
            node_count: self.node_count(),
            acls: self.acls.table().map(|(index, list)| (index, list.clone())).collect(),
            passed,
            at: ROOT,
            path: String::new(),
        })
    }

    /// Ends a snapshot, whether its walk is through or not. Does nothing if it was ended before.
    pub fn end_snapshot(&mut self, walk: SnapshotWalk) -> SnapshotRemains {
        if self.snapshots.active().is_some_and(|a| a.serial == walk.serial) {
            self.cancel_snapshot()
        } else {
            SnapshotRemains { _saved: None }
        }
    }

    /// Ends the snapshot whose walk was lost.
    pub fn cancel_snapshot(&mut self) -> SnapshotRemains {
        let mut active = self.snapshots.active.take();
        if let Some(active) = &mut active {
            // Behind those of sessions that were closed meanwhile: they may be the parents of those.
            self.snapshots.garbage.append(&mut active.zombies);
            self.snapshots.garbage.extend(active.fresh.drain(..));
        }
        SnapshotRemains { _saved: active }
    }

    /// Whether a snapshot is being taken.
    pub fn snapshot_active(&self) -> bool {
        self.snapshots.active.is_some()
    }

    /// Saves what a znode is before its first change, if the snapshot still needs it.
    pub(super) fn preserve(&mut self, id: u32) {
        if !self.snapshots.wants(id) {
            return;
        }
        let slot = self.slab.at(id);
        let image = PreImage {
            stat: self.stat_persisted_of(id),
            acl_index: self.acls.index(slot.acl),
            first_child: slot.first_child,
            data: None,
        };
        if let Some(active) = self.snapshots.active_mut() {
            active.saved.insert(id, image);
        }
    }

    /// Gives back a little of what the last snapshot left behind.
    pub(super) fn reclaim_some(&mut self) {
        for _ in 0..RECLAIM_PER_TXN {
            if !self.reclaim_one() {
                break;
            }
        }
    }

    pub(super) fn reclaim_one(&mut self) -> bool {
        if self.snapshots.active.is_some() {
            return false;
        }
        let Some(id) = self.snapshots.garbage.pop_front() else { return false };
        // A new znode that came and went meanwhile has left its place already.
        if self.slab.at(id).has(ZOMBIE) {
            if self.slab.at(id).has(DOOMED) {
                self.finish_doomed(id);
            }
            self.unlink(id);
            self.slab.vacate(id);
        }
        self.slab.release(id);
        true
    }
}
