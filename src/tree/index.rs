//! Path hash → ids, without the paths. Used by the tree and by the watches.
//!
//! Many small tables instead of a large one: each grows by itself, so no single create pays for moving everything. Their
//! shares of the hashes differ, from one to two, so that at any size some are about to grow, some half-way and some have
//! just grown: the memory per id is always about the mean.

use hashbrown::HashTable;
use std::sync::LazyLock;

const SHARDS: usize = 256;
const SHARE_BITS: u32 = 12;

/// The index.
pub(crate) struct Index {
    shards: Vec<HashTable<u32>>,
}

/// The low bits of a hash → its shard.
static SHARD_OF: LazyLock<Box<[u8]>> = LazyLock::new(shares);

impl Index {
    pub fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| HashTable::new()).collect() }
    }

    /// The id with this hash that `eq` accepts.
    pub fn find(&self, hash: u32, mut eq: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards[self.shard(hash)].find(spread(hash), |&id| eq(id)).copied()
    }

    /// Adds an id that is not there yet. `hash_of` gives the hash of the ids that are.
    pub fn insert(&mut self, hash: u32, id: u32, hash_of: impl Fn(u32) -> u32) {
        let shard = self.shard(hash);
        self.shards[shard].insert_unique(spread(hash), id, |&id| spread(hash_of(id)));
    }

    pub fn remove(&mut self, hash: u32, id: u32) {
        let shard = self.shard(hash);
        if let Ok(entry) = self.shards[shard].find_entry(spread(hash), |&i| i == id) {
            entry.remove();
        }
    }

    /// Bytes of the tables.
    pub fn allocated_bytes(&self) -> usize {
        self.shards.iter().map(HashTable::allocation_size).sum::<usize>()
            + self.shards.len() * size_of::<HashTable<u32>>()
    }

    fn shard(&self, hash: u32) -> usize {
        usize::from(SHARD_OF[hash as usize & ((1 << SHARE_BITS) - 1)])
    }
}

/// Shares that rise evenly in the logarithm from one to two.
fn shares() -> Box<[u8]> {
    let len = 1 << SHARE_BITS;
    // The sum of 2^(i/n) up to x is (2^(x/n) - 1) times a constant; this is its inverse.
    let shard_at = |place: usize| (1.0 + (place as f64 + 0.5) / f64::from(len)).log2() * SHARDS as f64;
    (0..len as usize).map(|place| shard_at(place) as u8).collect()
}

/// The table looks at the low bits for the place and at the top seven for the tag; within a shard the lowest bits of
/// the hash hardly differ.
fn spread(hash: u32) -> u64 {
    let product = u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_rise_from_one_to_two() {
        let mut count = [0; SHARDS];
        for shard in shares() {
            count[usize::from(shard)] += 1;
        }
        assert_eq!(count.iter().sum::<i32>(), 1 << SHARE_BITS);
        assert!((10..=13).contains(&count[0]), "{}", count[0]);
        assert!((21..=24).contains(&count[SHARDS - 1]), "{}", count[SHARDS - 1]);
    }

    #[test]
    fn the_memory_per_id_hardly_depends_on_their_number() {
        for count in [300_000, 400_000, 500_000, 600_000_u32] {
            let mut index = Index::new();
            let hash_of = |id: u32| id.wrapping_mul(0x85eb_ca6b) ^ (id >> 7);
            for id in 0..count {
                index.insert(hash_of(id), id, hash_of);
            }
            for id in (0..count).step_by(101) {
                assert_eq!(index.find(hash_of(id), |i| i == id), Some(id));
            }
            let each = index.allocated_bytes() as f64 / f64::from(count);
            assert!((7.0..9.5).contains(&each), "{each} B at {count}");
        }
    }
}
