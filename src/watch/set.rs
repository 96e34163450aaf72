//! A set of words, compact whether they are a few or many.

use hashbrown::HashTable;

/// Up to here a scan is as fast as a hash.
const FEW_MAX: usize = 8;
/// A table that has shrunk to this goes back to a list. Well below [`FEW_MAX`], so that it does not go to and fro.
const FEW_AGAIN: usize = 4;

/// Words whose high bits are the key; the lowest `SHIFT` bits are the caller's.
pub(super) enum Set<const SHIFT: u32> {
    Few(Vec<u32>),
    Many(Box<HashTable<u32>>),
}

impl<const SHIFT: u32> Default for Set<SHIFT> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<const SHIFT: u32> Set<SHIFT> {
    pub fn len(&self) -> usize {
        match self {
            Self::Few(few) => few.len(),
            Self::Many(many) => many.len(),
        }
    }

    pub fn get(&self, key: u32) -> Option<u32> {
        match self {
            Self::Few(few) => few.iter().copied().find(|w| w >> SHIFT == key),
            Self::Many(many) => many.find(hash(key), |w| w >> SHIFT == key).copied(),
        }
    }

    pub fn get_mut(&mut self, key: u32) -> Option<&mut u32> {
        match self {
            Self::Few(few) => few.iter_mut().find(|w| **w >> SHIFT == key),
            Self::Many(many) => many.find_mut(hash(key), |w| w >> SHIFT == key),
        }
    }

    /// Adds a word whose key is not there.
    pub fn insert(&mut self, word: u32) {
        match self {
            Self::Few(few) if few.len() < FEW_MAX => few.push(word),
            Self::Few(few) => {
                let mut many = HashTable::with_capacity(FEW_MAX * 2);
                for &w in few.iter().chain([&word]) {
                    many.insert_unique(hash(w >> SHIFT), w, |w| hash(w >> SHIFT));
                }
                *self = Self::Many(Box::new(many));
            }
            Self::Many(many) => {
                many.insert_unique(hash(word >> SHIFT), word, |w| hash(w >> SHIFT));
            }
        }
    }

    pub fn remove(&mut self, key: u32) -> Option<u32> {
        let found = self.get(key)?;
        match self {
            Self::Few(few) => few.retain(|w| w >> SHIFT != key),
            Self::Many(many) => {
                if let Ok(entry) = many.find_entry(hash(key), |w| w >> SHIFT == key) {
                    entry.remove();
                }
            }
        }
        self.compact();
        Some(found)
    }

    /// Lets `keep` change each word's low bits and say whether it stays.
    pub fn retain(&mut self, keep: impl FnMut(&mut u32) -> bool) {
        match self {
            Self::Few(few) => few.retain_mut(keep),
            Self::Many(many) => many.retain(keep),
        }
        self.compact();
    }

    fn compact(&mut self) {
        match self {
            Self::Many(many) if many.len() <= FEW_AGAIN => {
                *self = Self::Few(many.iter().copied().collect());
            }
            Self::Many(many) if many.len() * 8 < many.num_buckets() => {
                many.shrink_to(many.len() * 2, |w| hash(w >> SHIFT));
            }
            _ => {}
        }
    }

    pub fn iter(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            Self::Few(few) => Box::new(few.iter().copied()),
            Self::Many(many) => Box::new(many.iter().copied()),
        }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Few(few) => few.capacity() * size_of::<u32>(),
            Self::Many(many) => many.allocation_size() + size_of::<HashTable<u32>>(),
        }
    }
}

fn hash(key: u32) -> u64 {
    let product = u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_set_behaves_like_a_map_through_all_its_sizes() {
        let mut set: Set<5> = Set::default();
        let mut model = BTreeMap::new();
        let mut random = 12_345_u32;
        for step in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Grows for a while, then shrinks, and so on.
            let adding = (step / 300) % 2 == 0;
            let key = (random >> 16) % if adding { 200 } else { 40 };
            if adding && !model.contains_key(&key) {
                set.insert(key << 5 | 3);
                model.insert(key, key << 5 | 3);
            } else if !adding {
                assert_eq!(set.remove(key), model.remove(&key));
                if step % 7 == 0 {
                    set.retain(|w| (*w >> 5) % 3 != 0);
                    model.retain(|k, _| k % 3 != 0);
                }
            }
            assert_eq!(set.len(), model.len());
            assert_eq!(set.get(key), model.get(&key).copied());
            let mut all: Vec<u32> = set.iter().collect();
            all.sort_unstable();
            assert_eq!(all, model.values().copied().collect::<Vec<_>>());
        }
    }
}
