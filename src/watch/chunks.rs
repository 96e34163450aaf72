//! Places for values, named by 32-bit ids, that never move: growing costs no copy.

const CHUNK_BYTES: usize = 64 << 10;

/// The places. A free one holds the default value.
pub(super) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }
}

impl<T: Default> Chunks<T> {
    const LEN: usize = CHUNK_BYTES / size_of::<T>();

    pub fn insert(&mut self, value: T) -> u32 {
        if let Some(id) = self.free.pop() {
            *self.at_mut(id) = value;
            return id;
        }
        if self.chunks.last().is_none_or(|c| c.len() == Self::LEN) {
            self.chunks.push(Vec::with_capacity(Self::LEN));
        }
        let last = self.chunks.len() - 1;
        self.chunks[last].push(value);
        (last * Self::LEN + self.chunks[last].len() - 1) as u32
    }

    pub fn at(&self, id: u32) -> &T {
        &self.chunks[id as usize / Self::LEN][id as usize % Self::LEN]
    }

    pub fn at_mut(&mut self, id: u32) -> &mut T {
        &mut self.chunks[id as usize / Self::LEN][id as usize % Self::LEN]
    }

    pub fn remove(&mut self, id: u32) {
        *self.at_mut(id) = T::default();
        self.free.push(id);
    }

    /// All values, default ones included.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    pub fn allocated_bytes(&self) -> usize {
        self.chunks.len() * Self::LEN * size_of::<T>() + self.free.capacity() * size_of::<u32>()
    }
}
