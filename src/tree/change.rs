//! The primitives of every change. Each keeps the counts, the digest, the side tables and a running snapshot right.

use super::{
    Tree,
    digest::node_digest,
    slab::{NAME_LEN_MAX, NONE, OWNED, ROOT, Slot, ZOMBIE},
};
use crate::types::StatPersisted;

/// Why a path names no place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misplaced {
    /// No slash, no name behind the last one, or a name longer than a slot can say.
    BadPath,
    NoParent,
}

impl Tree {
    /// The parent's id and the name of the znode with this path, whether it is there or not.
    pub(super) fn place_of<'p>(&self, path: &'p str) -> Result<(u32, &'p str), Misplaced> {
        let at = path.rfind('/').ok_or(Misplaced::BadPath)?;
        let name = &path[at + 1..];
        if name.is_empty() || name.len() > NAME_LEN_MAX {
            return Err(Misplaced::BadPath);
        }
        match &path[..at] {
            "" => Ok((ROOT, name)),
            // `//x` would have the root's other name for a parent and be found under `/x`.
            "/" => Err(Misplaced::NoParent),
            parent => Ok((self.find(parent).ok_or(Misplaced::NoParent)?, name)),
        }
    }

    /// Whether [`Tree::add_node`] will find a place.
    pub(super) fn has_place(&self) -> bool {
        self.has_room(1)
            && match self.snapshots.active() {
                Some(active) => active.has_fresh() || self.slab.len() < NONE,
                None => self.slab.has_room(),
            }
    }

    /// Adds a znode that is not there, below a parent that is. Takes over one use of the ACL slot.
    pub(super) fn add_node(
        &mut self,
        parent: u32,
        path: &str,
        name: &str,
        data: Option<&[u8]>,
        acl: u32,
        stat: &StatPersisted,
    ) -> u32 {
        self.preserve(parent);
        let first = self.slab.at(parent).first_child;
        let hash = self.hash(path);
        let mut slot = self.slab.make(name, data);
        slot.hash = hash;
        slot.acl = acl;
        slot.parent = parent;
        slot.next = first;
        copy_stat(&mut slot, stat);
        let id = match self.snapshots.active_mut() {
            None => self.slab.insert(slot),
            Some(active) => match active.take_fresh() {
                Some(id) => {
                    self.slab.overwrite(id, slot);
                    id
                }
                None => self.slab.append(slot),
            },
        };
        if first != NONE {
            self.slab.at_mut(first).prev = id;
        }
        let above = self.slab.at_mut(parent);
        above.first_child = id;
        above.child_count += 1;
        let slab = &self.slab;
        self.index.insert(hash, id, |id| slab.at(id).hash);
        self.node_count += 1;
        self.data_size_bytes += path_units(path) + data.map_or(0, <[u8]>::len) as i64;
        if stat.ephemeral_owner != 0 {
            self.slab.at_mut(id).set(OWNED);
            self.owners.add(id, stat.ephemeral_owner, self.options.owner_rules);
        }
        self.refresh_digest(id, path);
        id
    }

    /// Takes a znode out, with everything below it. Below a znode that is deleted there is nothing, except in the
    /// replay over a fuzzy snapshot, which may have children from later than the deletion: the log will bring them back.
    pub(super) fn remove_tree(&mut self, id: u32, path: &str) {
        if self.slab.at(id).child_count > 0 {
            let mut below = Vec::new();
            let mut at = id;
            while let Some(next) = self.next_below(id, at) {
                below.push(next);
                at = next;
            }
            // Children are found behind their parents, and have to go before them.
            for id in below.into_iter().rev() {
                let path = self.path_of(id);
                self.remove_node(id, &path);
            }
        }
        self.remove_node(id, path);
    }

    fn remove_node(&mut self, id: u32, path: &str) {
        self.preserve(id);
        let slot = self.slab.at(id);
        let (hash, parent, acl, owned) = (slot.hash, slot.parent, slot.acl, slot.has(OWNED));
        self.digest = self.digest.wrapping_sub(i64::from(slot.digest));
        self.data_size_bytes -= path_units(path) + slot.data_len() as i64;
        self.node_count -= 1;
        self.index.remove(hash, id);
        if owned {
            self.owners.remove(id, self.options.owner_rules);
        }
        self.acls.release(acl);
        self.slab.at_mut(parent).child_count -= 1;
        // Children that are gone may be linked here still; they have to be given back before.
        let has_remains_below = self.slab.at(id).first_child != NONE;
        match self.snapshots.active_mut() {
            Some(active) if active.is_old(id) => {
                active.bury(id);
                self.slab.at_mut(id).set(ZOMBIE);
            }
            _ if has_remains_below => {
                self.slab.at_mut(id).set(ZOMBIE);
                self.snapshots.leave(vec![id]);
            }
            Some(_) => {
                self.unlink(id);
                self.slab.vacate(id);
                if let Some(active) = self.snapshots.active_mut() {
                    active.give_fresh(id);
                }
            }
            None => {
                self.unlink(id);
                self.slab.vacate(id);
                self.slab.release(id);
            }
        }
    }

    /// Takes a znode out of its parent's list.
    pub(super) fn unlink(&mut self, id: u32) {
        let slot = self.slab.at(id);
        let (parent, prev, next) = (slot.parent, slot.prev, slot.next);
        if prev == NONE {
            self.slab.at_mut(parent).first_child = next;
        } else {
            self.slab.at_mut(prev).next = next;
        }
        if next != NONE {
            self.slab.at_mut(next).prev = prev;
        }
    }

    /// Replaces the data. The caller refreshes the digest.
    pub(super) fn put_data(&mut self, id: u32, data: Option<&[u8]>) {
        self.preserve(id);
        let slot = self.slab.at(id);
        let len = data.map_or(0, <[u8]>::len) as i64;
        let diff = len - slot.data_len() as i64;
        // `/` counts twice.
        self.data_size_bytes += if id == ROOT { diff * 2 } else { diff };
        if let Some(place) = self.snapshots.data_wanted(id) {
            *place = Some(self.slab.data(slot).map(Box::from));
        }
        self.slab.set_data(id, data);
    }

    /// Replaces the ACL, giving up the use of the old one and taking over one of the new one.
    pub(super) fn put_acl(&mut self, id: u32, acl: u32) {
        self.preserve(id);
        let old = std::mem::replace(&mut self.slab.at_mut(id).acl, acl);
        self.acls.release(old);
    }

    /// Brings the digest of a znode and of the tree up to date.
    pub(super) fn refresh_digest(&mut self, id: u32, path: &str) {
        if !self.options.digest {
            return;
        }
        let stat = self.stat_persisted_of(id);
        let new = node_digest(path, self.slab.data(self.slab.at(id)), &stat);
        let old = std::mem::replace(&mut self.slab.at_mut(id).digest, new);
        self.digest = self.digest.wrapping_add(i64::from(new)).wrapping_sub(i64::from(old));
    }
}

/// Everything but the owner.
pub(super) fn copy_stat(slot: &mut Slot, stat: &StatPersisted) {
    slot.czxid = stat.czxid;
    slot.mzxid = stat.mzxid;
    slot.pzxid = stat.pzxid;
    slot.ctime = stat.ctime;
    slot.mtime = stat.mtime;
    slot.version = stat.version;
    slot.cversion = stat.cversion;
    slot.aversion = stat.aversion;
}

/// Length as upstream counts it.
pub(super) fn path_units(path: &str) -> i64 {
    let units = if path.is_ascii() { path.len() } else { path.encode_utf16().count() };
    units as i64
}
