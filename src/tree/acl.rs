//! The ACL table: each distinct list once, counted.
//!
//! Files name a list by an index; −1 is `world:anyone:cdrwa`, which is never in the table. New indices continue after
//! the largest ever seen.
//!
//! Upstream counterpart: `server.ReferenceCountedACLCache`. It interns the open list under an index of its own when a
//! txn carries it; here that list is always −1, which reads back the same.

use crate::types::{Acl, AclList, Id, Perms, open_acl};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// The slot of the open list.
pub(super) const OPEN: u32 = 0;
/// The index of the open list in files.
pub(super) const OPEN_INDEX: i64 = -1;

struct Entry {
    list: AclList,
    /// Number in files.
    index: i64,
    refs: u64,
    /// Whether the slot is taken.
    used: bool,
    /// Whether the list is what the file said, or a stand-in for a number that no list had.
    known: bool,
}

/// The table.
pub(super) struct AclTable {
    entries: Vec<Entry>,
    free: Vec<u32>,
    by_list: HashTable<u32>,
    hasher: FixedState,
    index_last: i64,
    /// The slot found last. Most creates in a row use one list.
    recent: u32,
}

impl AclTable {
    pub fn new(seed: u64) -> Self {
        let open = Entry { list: open_acl().clone(), index: OPEN_INDEX, refs: 0, used: true, known: true };
        Self {
            entries: vec![open],
            free: Vec::new(),
            by_list: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            index_last: 0,
            recent: OPEN,
        }
    }

    pub fn list(&self, slot: u32) -> &AclList {
        &self.entries[slot as usize].list
    }

    pub fn index(&self, slot: u32) -> i64 {
        self.entries[slot as usize].index
    }

    /// The slot of a list, with one more use.
    pub fn acquire(&mut self, list: &AclList) -> u32 {
        let slot = self.intern(list, None);
        self.add_use(slot);
        slot
    }

    /// One more use of a slot.
    pub fn add_use(&mut self, slot: u32) {
        self.entries[slot as usize].refs += 1;
    }

    /// One use less. The last one frees the slot.
    pub fn release(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        entry.refs = entry.refs.saturating_sub(1);
        if entry.refs == 0 {
            self.purge(slot);
        }
    }

    /// The slot of a list, without counting a use. A new list takes `index`, or the next one.
    fn intern(&mut self, list: &AclList, index: Option<i64>) -> u32 {
        if is_open(list) {
            return OPEN;
        }
        let recent = &self.entries[self.recent as usize];
        if self.recent != OPEN && recent.known && recent.list == *list {
            return self.recent;
        }
        let hash = self.hasher.hash_one(list);
        if let Some(&slot) = self.by_list.find(hash, |&s| self.entries[s as usize].list == *list) {
            self.recent = slot;
            return slot;
        }
        let index = index.unwrap_or_else(|| self.index_last.saturating_add(1));
        let slot = self.add(Entry { list: list.clone(), index, refs: 0, used: true, known: true });
        self.by_list.insert_unique(hash, slot, |&s| self.hasher.hash_one(&self.entries[s as usize].list));
        self.recent = slot;
        slot
    }

    fn add(&mut self, entry: Entry) -> u32 {
        self.index_last = self.index_last.max(entry.index);
        match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                slot
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        }
    }

    fn purge(&mut self, slot: u32) {
        if slot == OPEN {
            return;
        }
        let entry = &mut self.entries[slot as usize];
        if !entry.used {
            return;
        }
        if entry.known {
            let hash = self.hasher.hash_one(&entry.list);
            if let Ok(found) = self.by_list.find_entry(hash, |&s| s == slot) {
                found.remove();
            }
        }
        *entry = Entry { list: open_acl().clone(), index: 0, refs: 0, used: false, known: true };
        self.free.push(slot);
        if self.recent == slot {
            self.recent = OPEN;
        }
    }

    /// A list of a file under its index, not used yet.
    pub fn load(&mut self, index: i64, list: &AclList) -> u32 {
        self.index_last = self.index_last.max(index);
        self.intern(list, Some(index))
    }

    /// A stand-in for an index that no list of the file has. It allows nothing to anybody.
    pub fn load_unknown(&mut self, index: i64) -> u32 {
        let nothing: AclList = [Acl { perms: Perms(0), id: Id::new("world", "anyone") }].into();
        self.add(Entry { list: nothing, index, refs: 0, used: true, known: false })
    }

    /// Frees what is not used.
    pub fn purge_unused(&mut self) {
        for slot in 1..self.entries.len() {
            if self.entries[slot].refs == 0 {
                self.purge(slot as u32);
            }
        }
    }

    /// Index and list of each entry in use, without the open one.
    pub fn table(&self) -> impl Iterator<Item = (i64, &AclList)> {
        self.entries[1..].iter().filter(|e| e.used).map(|e| (e.index, &e.list))
    }

    /// Indices in use that no list was known for.
    pub fn unknown(&self) -> impl Iterator<Item = i64> {
        self.entries.iter().filter(|e| !e.known).map(|e| e.index)
    }

    /// Uses of a slot.
    #[cfg(test)]
    pub fn uses(&self, slot: u32) -> u64 {
        self.entries[slot as usize].refs
    }
}

fn is_open(list: &AclList) -> bool {
    let open = open_acl();
    AclList::ptr_eq(list, open) || list == open
}
