//! Where znodes live: fixed-size slots in chunks, named by 32-bit ids.
//!
//! Chunks never move, so the tree grows without copying. Links (parent, first child, siblings) are ids. A slot's name
//! and data are one allocation: the name first, the data behind it.

/// "No slot" in a link.
pub(super) const NONE: u32 = u32::MAX;
/// The slot of `/`.
pub(super) const ROOT: u32 = 0;
/// The longest name in bytes: its length shares a word with the flags.
pub(super) const NAME_LEN_MAX: usize = (1 << 27) - 1;

const CHUNK_BITS: u32 = 13;
const CHUNK_LEN: usize = 1 << CHUNK_BITS;

/// The data is null, which is not the same as empty.
pub(super) const NULL_DATA: u32 = 1 << 27;
/// The znode has an owner in the side table.
pub(super) const OWNED: u32 = 1 << 28;
/// Deleted while a snapshot is taken: out of the index, but still linked.
pub(super) const ZOMBIE: u32 = 1 << 29;

/// A znode.
pub(super) struct Slot {
    pub czxid: i64,
    pub mzxid: i64,
    pub pzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    /// The name, then the data.
    bytes: Box<[u8]>,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub parent: u32,
    pub first_child: u32,
    /// Next sibling; of a free slot, the next free one.
    pub next: u32,
    pub prev: u32,
    pub child_count: u32,
    /// Slot of the ACL table.
    pub acl: u32,
    /// Digest of this znode, 0 when excluded or when digests are off.
    pub digest: u32,
    /// Hash of the path, so that the index can grow without looking at paths.
    pub hash: u32,
    /// Length of the name, and flags.
    meta: u32,
}

impl Slot {
    /// A slot that is linked nowhere. `name` must not be longer than [`NAME_LEN_MAX`].
    pub fn new(name: &str, data: Option<&[u8]>) -> Self {
        debug_assert!(name.len() <= NAME_LEN_MAX);
        Self {
            czxid: 0,
            mzxid: 0,
            pzxid: 0,
            ctime: 0,
            mtime: 0,
            bytes: pack(name.as_bytes(), data),
            version: 0,
            cversion: 0,
            aversion: 0,
            parent: NONE,
            first_child: NONE,
            next: NONE,
            prev: NONE,
            child_count: 0,
            acl: 0,
            digest: 0,
            hash: 0,
            meta: name.len() as u32 | if data.is_none() { NULL_DATA } else { 0 },
        }
    }

    fn name_len(&self) -> usize {
        self.meta as usize & NAME_LEN_MAX
    }

    pub fn name_bytes(&self) -> &[u8] {
        &self.bytes[..self.name_len()]
    }

    pub fn name(&self) -> &str {
        // Names are made from strings and never changed.
        std::str::from_utf8(self.name_bytes()).unwrap_or_default()
    }

    pub fn data(&self) -> Option<&[u8]> {
        (self.meta & NULL_DATA == 0).then(|| &self.bytes[self.name_len()..])
    }

    pub fn data_len(&self) -> usize {
        self.bytes.len() - self.name_len()
    }

    pub fn has(&self, flag: u32) -> bool {
        self.meta & flag != 0
    }

    pub fn set(&mut self, flag: u32) {
        self.meta |= flag;
    }

    /// Replaces the data, in place when the length is the same.
    pub fn set_data(&mut self, data: Option<&[u8]>) {
        let at = self.name_len();
        let new = data.unwrap_or_default();
        if new.len() == self.bytes.len() - at {
            self.bytes[at..].copy_from_slice(new);
        } else {
            self.bytes = pack(&self.bytes[..at], data);
        }
        self.mark_null(data.is_none());
    }

    /// Replaces the data and hands out what was there, name and data in one, with whether the data was null.
    pub fn swap_data(&mut self, data: Option<&[u8]>) -> OldBytes {
        let new = pack(self.name_bytes(), data);
        let old = OldBytes {
            name_len: self.name_len(),
            null: self.has(NULL_DATA),
            bytes: std::mem::replace(&mut self.bytes, new),
        };
        self.mark_null(data.is_none());
        old
    }

    fn mark_null(&mut self, null: bool) {
        self.meta = self.meta & !NULL_DATA | if null { NULL_DATA } else { 0 };
    }

    /// Bytes allocated for name and data.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }
}

fn pack(name: &[u8], data: Option<&[u8]>) -> Box<[u8]> {
    let data = data.unwrap_or_default();
    let mut bytes = Vec::with_capacity(name.len() + data.len());
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(data);
    bytes.into_boxed_slice()
}

/// The former name and data of a slot.
pub(super) struct OldBytes {
    name_len: usize,
    null: bool,
    bytes: Box<[u8]>,
}

impl OldBytes {
    pub fn data(&self) -> Option<&[u8]> {
        (!self.null).then(|| &self.bytes[self.name_len..])
    }
}

/// The slots.
#[derive(Default)]
pub(super) struct Slab {
    chunks: Vec<Vec<Slot>>,
    /// Slots ever handed out. Ids from here on are new.
    len: u32,
    /// Head of the list of free slots.
    free: Option<u32>,
}

impl Slab {
    /// Slots ever handed out.
    pub fn len(&self) -> u32 {
        self.len
    }

    pub fn at(&self, id: u32) -> &Slot {
        &self.chunks[(id >> CHUNK_BITS) as usize][id as usize & (CHUNK_LEN - 1)]
    }

    pub fn at_mut(&mut self, id: u32) -> &mut Slot {
        &mut self.chunks[(id >> CHUNK_BITS) as usize][id as usize & (CHUNK_LEN - 1)]
    }

    /// Whether [`Slab::insert`] will find a place.
    pub fn has_room(&self) -> bool {
        self.free.is_some() || self.len < NONE
    }

    /// Puts a slot into a free place.
    pub fn insert(&mut self, slot: Slot) -> u32 {
        match self.free {
            Some(id) => {
                self.put(id, slot);
                id
            }
            None => self.append(slot),
        }
    }

    fn put(&mut self, id: u32, slot: Slot) {
        let place = self.at_mut(id);
        let next = place.next;
        *place = slot;
        self.free = (next != NONE).then_some(next);
    }

    /// Puts a slot into a place that was never used.
    pub fn append(&mut self, slot: Slot) -> u32 {
        let id = self.len;
        if id as usize & (CHUNK_LEN - 1) == 0 {
            self.chunks.push(Vec::with_capacity(CHUNK_LEN));
        }
        self.chunks[(id >> CHUNK_BITS) as usize].push(slot);
        self.len += 1;
        id
    }

    /// Gives a place back. Its name and data are freed.
    pub fn remove(&mut self, id: u32) {
        let next = self.free.unwrap_or(NONE);
        let place = self.at_mut(id);
        *place = Slot::new("", None);
        place.next = next;
        self.free = Some(id);
    }

    /// Overwrites a place that the caller holds outside the free list.
    pub fn overwrite(&mut self, id: u32, slot: Slot) {
        *self.at_mut(id) = slot;
    }

    /// Bytes of the chunks.
    pub fn allocated_bytes(&self) -> usize {
        self.chunks.len() * CHUNK_LEN * size_of::<Slot>()
    }
}
