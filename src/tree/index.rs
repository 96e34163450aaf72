//! Path hash → ids, without the paths. Used by the tree and by the watches.
//!
//! Many small tables instead of a large one: each grows by itself, so no single create pays for moving everything.

use hashbrown::HashTable;

const SHARDS: usize = 256;

/// The index.
pub(crate) struct Index {
    shards: Vec<HashTable<u32>>,
}

impl Index {
    pub fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| HashTable::new()).collect() }
    }

    /// The id with this hash that `eq` accepts.
    pub fn find(&self, hash: u32, mut eq: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards[shard(hash)].find(spread(hash), |&id| eq(id)).copied()
    }

    /// Adds an id that is not there yet. `hash_of` gives the hash of the ids that are.
    pub fn insert(&mut self, hash: u32, id: u32, hash_of: impl Fn(u32) -> u32) {
        self.shards[shard(hash)].insert_unique(spread(hash), id, |&id| spread(hash_of(id)));
    }

    pub fn remove(&mut self, hash: u32, id: u32) {
        if let Ok(entry) = self.shards[shard(hash)].find_entry(spread(hash), |&i| i == id) {
            entry.remove();
        }
    }

    /// Bytes of the tables.
    pub fn allocated_bytes(&self) -> usize {
        self.shards.iter().map(HashTable::allocation_size).sum::<usize>()
            + self.shards.len() * size_of::<HashTable<u32>>()
    }
}

fn shard(hash: u32) -> usize {
    hash as usize & (SHARDS - 1)
}

/// The table looks at the low bits for the place and at the top seven for the tag; the shard has used up the lowest
/// eight.
fn spread(hash: u32) -> u64 {
    let rest = u64::from(hash >> 8);
    rest | rest << 40
}
