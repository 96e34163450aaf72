//! Where znodes live: fixed-size slots in chunks, named by 32-bit ids.
//!
//! Chunks never move, so the tree grows without copying. Links (parent, first child, siblings) are ids. A slot's name
//! and data are one block elsewhere: the name first, the data behind it.

use super::blobs::{Blob, Blobs};

/// "No slot" in a link.
pub(super) const NONE: u32 = u32::MAX;
/// The slot of `/`.
pub(super) const ROOT: u32 = 0;
/// The longest name in bytes: its length shares a word with the flags.
pub(super) const NAME_LEN_MAX: usize = (1 << 27) - 1;

/// Large: 6 MiB, of which only what was used is resident, and whole 64 KiB slices of the allocator.
const CHUNK_BITS: u32 = 16;
const CHUNK_LEN: usize = 1 << CHUNK_BITS;

/// The data is null, which is not the same as empty.
const NULL_DATA: u32 = 1 << 27;
/// The znode has an owner in the side table.
pub(super) const OWNED: u32 = 1 << 28;
/// Deleted, but still linked: while a snapshot is taken, or with its session.
pub(super) const ZOMBIE: u32 = 1 << 29;
/// Deleted with its session, and still in the index and the side tables.
pub(super) const DOOMED: u32 = 1 << 31;
/// The block of name and data is boxed.
const BOXED: u32 = 1 << 30;

/// A znode. What a lookup needs comes first, and never straddles two lines of the cache.
#[repr(C, align(32))]
pub(super) struct Slot {
    /// Hash of the path, so that the index can grow without looking at paths.
    pub hash: u32,
    /// Length of the name, and flags.
    meta: u32,
    pub parent: u32,
    /// Handle of the block of name and data.
    blob: u32,
    data_len: u32,
    /// Slot of the ACL table.
    pub acl: u32,
    /// Digest of this znode, 0 when excluded or when digests are off.
    pub digest: u32,
    pub version: i32,
    pub czxid: i64,
    pub mzxid: i64,
    pub pzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub cversion: i32,
    pub aversion: i32,
    pub child_count: u32,
    pub first_child: u32,
    /// Next sibling; of a free slot, the next free one.
    pub next: u32,
    pub prev: u32,
}

const _: () = assert!(size_of::<Slot>() == 96, "the memory budget is made with this size");

impl Slot {
    /// Bytes of the name.
    pub fn name_len(&self) -> usize {
        self.meta as usize & NAME_LEN_MAX
    }

    pub fn data_len(&self) -> usize {
        self.data_len as usize
    }

    /// Bytes of name and data.
    fn bytes_len(&self) -> usize {
        self.name_len() + self.data_len()
    }

    pub fn has(&self, flag: u32) -> bool {
        self.meta & flag != 0
    }

    pub fn set(&mut self, flag: u32) {
        self.meta |= flag;
    }

    fn put(&mut self, flag: u32, on: bool) {
        self.meta = self.meta & !flag | if on { flag } else { 0 };
    }

    fn blob(&self) -> Blob {
        Blob { handle: self.blob, boxed: self.has(BOXED) }
    }

    fn set_blob(&mut self, blob: Blob) {
        self.blob = blob.handle;
        self.put(BOXED, blob.boxed);
    }
}

/// The slots, and the blocks of their names and data.
#[derive(Default)]
pub(super) struct Slab {
    chunks: Vec<Vec<Slot>>,
    blobs: Blobs,
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

    /// A slot that is nowhere yet. `name` must not be longer than [`NAME_LEN_MAX`].
    pub fn make(&mut self, name: &str, data: Option<&[u8]>) -> Slot {
        debug_assert!(name.len() <= NAME_LEN_MAX);
        let bytes = data.unwrap_or_default();
        let mut slot = Slot { meta: name.len() as u32, data_len: bytes.len() as u32, ..BLANK };
        slot.put(NULL_DATA, data.is_none());
        slot.set_blob(self.blobs.store(name.as_bytes(), bytes));
        slot
    }

    /// Puts a slot into a free place.
    pub fn insert(&mut self, slot: Slot) -> u32 {
        let Some(id) = self.free else { return self.append(slot) };
        let place = self.at_mut(id);
        let next = place.next;
        *place = slot;
        self.free = (next != NONE).then_some(next);
        id
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

    /// Puts a slot into a place that the caller has from [`Slab::vacate`].
    pub fn overwrite(&mut self, id: u32, slot: Slot) {
        *self.at_mut(id) = slot;
    }

    /// Frees name and data. The place is the caller's, for [`Slab::overwrite`] or [`Slab::release`].
    pub fn vacate(&mut self, id: u32) {
        let slot = std::mem::replace(self.at_mut(id), BLANK);
        self.blobs.free(slot.blob());
    }

    /// Gives back a place that was vacated.
    pub fn release(&mut self, id: u32) {
        self.at_mut(id).next = self.free.unwrap_or(NONE);
        self.free = Some(id);
    }

    pub fn name_bytes(&self, slot: &Slot) -> &[u8] {
        &self.blobs.bytes(slot.blob(), slot.bytes_len())[..slot.name_len()]
    }

    pub fn name(&self, slot: &Slot) -> &str {
        // Names are made from strings and never changed.
        std::str::from_utf8(self.name_bytes(slot)).unwrap_or_default()
    }

    pub fn data(&self, slot: &Slot) -> Option<&[u8]> {
        (!slot.has(NULL_DATA)).then(|| &self.blobs.bytes(slot.blob(), slot.bytes_len())[slot.name_len()..])
    }

    /// Replaces the data, in place when the block has the right size.
    pub fn set_data(&mut self, id: u32, data: Option<&[u8]>) {
        let slot = &mut self.chunks[(id >> CHUNK_BITS) as usize][id as usize & (CHUNK_LEN - 1)];
        let (blob, len, name_len) = (slot.blob(), slot.bytes_len(), slot.name_len());
        let bytes = data.unwrap_or_default();
        if !self.blobs.replace_end(blob, len, name_len, bytes) {
            let name = smallvec::SmallVec::<[u8; 256]>::from_slice(&self.blobs.bytes(blob, len)[..name_len]);
            let new = self.blobs.store(&name, bytes);
            self.blobs.free(blob);
            slot.set_blob(new);
        }
        slot.data_len = bytes.len() as u32;
        slot.put(NULL_DATA, data.is_none());
    }

    /// Bytes of the chunks, pages and boxes.
    pub fn allocated_bytes(&self) -> usize {
        self.chunks.len() * CHUNK_LEN * size_of::<Slot>() + self.blobs.allocated_bytes()
    }
}

/// A place without name and data.
const BLANK: Slot = Slot {
    hash: 0,
    meta: 0,
    parent: NONE,
    blob: 0,
    data_len: 0,
    acl: 0,
    digest: 0,
    version: 0,
    czxid: 0,
    mzxid: 0,
    pzxid: 0,
    ctime: 0,
    mtime: 0,
    cversion: 0,
    aversion: 0,
    child_count: 0,
    first_child: NONE,
    next: NONE,
    prev: NONE,
};
