use crate::tree::ChildrenKey;
use hashbrown::HashMap;

/// Encoded lists of children, kept by one worker.
///
/// A list is found by its znode and the marks that change whenever the list does, so nothing has to be told when a
/// list changes: the old one is no longer asked for and makes room in its turn. The bounds are on the number of lists
/// and on their bytes.
///
/// Upstream counterpart: `ResponseCache` (`maxGetChildrenResponseCacheSize`), which is asked by path and zxid.
#[derive(Debug)]
pub struct ResponseCache {
    entries_max: usize,
    bytes_max: usize,
    bytes: usize,
    /// Where a key's list is in the ring.
    index: HashMap<ChildrenKey, u32>,
    ring: Vec<Entry>,
    /// The entry that goes next, unless it was asked for since the hand last passed it.
    hand: usize,
    stats: CacheStats,
}

#[derive(Debug)]
struct Entry {
    key: ChildrenKey,
    list: Vec<u8>,
    asked_for: bool,
}

/// How well a cache did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Lists found.
    pub hits: u64,
    /// Lists not found.
    pub misses: u64,
}

impl ResponseCache {
    /// An empty cache for at most so many lists of at most so many bytes in all. With either 0 it keeps nothing.
    pub fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self {
            entries_max,
            bytes_max,
            bytes: 0,
            index: HashMap::new(),
            ring: Vec::new(),
            hand: 0,
            stats: CacheStats::default(),
        }
    }

    /// How well it did so far.
    pub fn stats(&self) -> CacheStats {
        self.stats
    }

    /// Number of lists.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether there are no lists.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Bytes of all lists.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The list with this key.
    pub(super) fn list(&mut self, key: &ChildrenKey) -> Option<&[u8]> {
        match self.index.get(key) {
            Some(&at) => {
                self.stats.hits += 1;
                let entry = &mut self.ring[at as usize];
                entry.asked_for = true;
                Some(&entry.list)
            }
            None => {
                self.stats.misses += 1;
                None
            }
        }
    }

    /// Keeps a list that was not found.
    pub(super) fn keep(&mut self, key: ChildrenKey, list: &[u8]) {
        if self.entries_max == 0 || list.len() > self.bytes_max {
            return;
        }
        while self.bytes + list.len() > self.bytes_max {
            let at = self.victim();
            self.remove(at);
        }
        let at = if self.ring.len() < self.entries_max {
            self.ring.push(Entry { key, list: list.to_vec(), asked_for: false });
            self.ring.len() - 1
        } else {
            let at = self.victim();
            let entry = &mut self.ring[at];
            self.index.remove(&entry.key);
            self.bytes -= entry.list.len();
            entry.key = key;
            entry.asked_for = false;
            entry.list.clear();
            entry.list.extend_from_slice(list);
            // A buffer that once held a much longer list would count for less than it takes.
            entry.list.shrink_to(list.len() * 2);
            self.hand = at + 1;
            at
        };
        self.bytes += list.len();
        self.index.insert(key, at as u32);
    }

    /// The entry that goes next. There is one.
    fn victim(&mut self) -> usize {
        loop {
            if self.hand >= self.ring.len() {
                self.hand = 0;
            }
            let entry = &mut self.ring[self.hand];
            if !entry.asked_for {
                return self.hand;
            }
            entry.asked_for = false;
            self.hand += 1;
        }
    }

    fn remove(&mut self, at: usize) {
        let gone = self.ring.swap_remove(at);
        self.index.remove(&gone.key);
        self.bytes -= gone.list.len();
        if let Some(moved) = self.ring.get(at) {
            self.index.insert(moved.key, at as u32);
        }
    }
}
