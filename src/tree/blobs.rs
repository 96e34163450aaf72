//! Names and data (and, in `watch`, paths): blocks of nearly their own size in pages, so that a million of them cost little more than their
//! bytes.
//!
//! ```text
//! page   64 KiB, blocks of one size         size classes: steps of 8 B up to 1 KiB, then an eighth of the power of two
//! handle page number << 12 | block number   larger blocks, and all once there are 2^20 pages, are boxed by themselves
//! ```
//!
//! An empty page goes back to the allocator: what was full of small blocks can hold large ones next.

/// What the allocator cuts memory into: a page costs nothing on top.
const PAGE_LEN: usize = 64 << 10;
const BLOCK_MIN: usize = 16;
const GRAIN: usize = 8;
const FINE_MAX: usize = 1 << 10;
const PAGED_MAX: usize = 8 << 10;
const BLOCK_BITS: u32 = 12;
const PAGES_MAX: usize = 1 << (32 - BLOCK_BITS);
const CLASSES: usize = FINE_MAX / GRAIN + 3 * 8 + 1;

const NONE: u32 = u32::MAX;

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub handle: u32,
    pub boxed: bool,
}

struct Page {
    bytes: Box<[u8]>,
    class: u16,
    /// Blocks in use.
    live: u16,
    /// Blocks ever handed out; those behind were never touched.
    fresh: u16,
    /// First free block, plus one. A free block begins with the next one.
    free: u16,
    /// Neighbours in the list of pages of this class that have room.
    prev: u32,
    next: u32,
}

impl Page {
    fn is_full(&self) -> bool {
        usize::from(self.live) == PAGE_LEN / size_of_class(self.class)
    }

    fn block(&mut self, number: u16) -> &mut [u8] {
        let size = size_of_class(self.class);
        &mut self.bytes[usize::from(number) * size..][..size]
    }
}

/// The pages.
pub(crate) struct Blobs {
    pages: Vec<Page>,
    /// Per class, the first page that has room.
    roomy: [u32; CLASSES],
    /// Pages without bytes.
    empty: Vec<u32>,
    boxes: Vec<Box<[u8]>>,
    boxes_free: Vec<u32>,
}

impl Default for Blobs {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            roomy: [NONE; CLASSES],
            empty: Vec::new(),
            boxes: Vec::new(),
            boxes_free: Vec::new(),
        }
    }
}

impl Blobs {
    /// A new block with these bytes, one part behind the other.
    pub fn store(&mut self, first: &[u8], second: &[u8]) -> Blob {
        let len = first.len() + second.len();
        if let Some(class) = class_of(len)
            && let Some(page) = self.roomy_page(class)
        {
            let number = self.take_block(page);
            let block = self.pages[page as usize].block(number);
            block[..first.len()].copy_from_slice(first);
            block[first.len()..len].copy_from_slice(second);
            return Blob { handle: page << BLOCK_BITS | u32::from(number), boxed: false };
        }
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(second);
        let bytes = bytes.into_boxed_slice();
        let handle = match self.boxes_free.pop() {
            Some(handle) => {
                self.boxes[handle as usize] = bytes;
                handle
            }
            None => {
                self.boxes.push(bytes);
                (self.boxes.len() - 1) as u32
            }
        };
        Blob { handle, boxed: true }
    }

    /// The bytes of a block that was stored with this length.
    pub fn bytes(&self, blob: Blob, len: usize) -> &[u8] {
        if blob.boxed {
            return &self.boxes[blob.handle as usize];
        }
        let page = &self.pages[(blob.handle >> BLOCK_BITS) as usize];
        &page.bytes[start_in(page.class, blob.handle)..][..len]
    }

    /// Overwrites the end of a block, if a block for the new length would be of the same size.
    #[must_use]
    pub fn replace_end(&mut self, blob: Blob, len: usize, keep: usize, end: &[u8]) -> bool {
        if blob.boxed {
            let bytes = &mut self.boxes[blob.handle as usize];
            let fits = keep + end.len() == len;
            if fits {
                bytes[keep..].copy_from_slice(end);
            }
            return fits;
        }
        let page = &mut self.pages[(blob.handle >> BLOCK_BITS) as usize];
        let fits = class_of(keep + end.len()) == Some(page.class);
        if fits {
            let start = start_in(page.class, blob.handle) + keep;
            page.bytes[start..][..end.len()].copy_from_slice(end);
        }
        fits
    }

    /// Gives a block back.
    pub fn free(&mut self, blob: Blob) {
        if blob.boxed {
            self.boxes[blob.handle as usize] = Box::default();
            self.boxes_free.push(blob.handle);
            return;
        }
        let id = blob.handle >> BLOCK_BITS;
        let number = (blob.handle & ((1 << BLOCK_BITS) - 1)) as u16;
        let page = &mut self.pages[id as usize];
        let was_full = page.is_full();
        let next = page.free;
        page.block(number)[..2].copy_from_slice(&next.to_le_bytes());
        page.free = number + 1;
        page.live -= 1;
        if was_full {
            self.link(id);
        }
        let page = &self.pages[id as usize];
        // The last roomy page of a class stays: it would be wanted again at once.
        if page.live == 0 && (page.prev != NONE || page.next != NONE) {
            self.unlink(id);
            self.pages[id as usize].bytes = Box::default();
            self.empty.push(id);
        }
    }

    fn roomy_page(&mut self, class: u16) -> Option<u32> {
        let page = self.roomy[usize::from(class)];
        if page != NONE {
            return Some(page);
        }
        let page = Page {
            bytes: vec![0; PAGE_LEN].into_boxed_slice(),
            class,
            live: 0,
            fresh: 0,
            free: 0,
            prev: NONE,
            next: NONE,
        };
        let id = match self.empty.pop() {
            Some(id) => {
                self.pages[id as usize] = page;
                id
            }
            None if self.pages.len() < PAGES_MAX => {
                self.pages.push(page);
                (self.pages.len() - 1) as u32
            }
            None => return None,
        };
        self.link(id);
        Some(id)
    }

    fn take_block(&mut self, id: u32) -> u16 {
        let page = &mut self.pages[id as usize];
        page.live += 1;
        let number = if page.free == 0 {
            page.fresh += 1;
            page.fresh - 1
        } else {
            let number = page.free - 1;
            let block = page.block(number);
            page.free = u16::from_le_bytes([block[0], block[1]]);
            number
        };
        if page.is_full() {
            self.unlink(id);
        }
        number
    }

    fn link(&mut self, id: u32) {
        let head = &mut self.roomy[usize::from(self.pages[id as usize].class)];
        let next = std::mem::replace(head, id);
        self.pages[id as usize].prev = NONE;
        self.pages[id as usize].next = next;
        if next != NONE {
            self.pages[next as usize].prev = id;
        }
    }

    fn unlink(&mut self, id: u32) {
        let Page { class, prev, next, .. } = self.pages[id as usize];
        if prev == NONE {
            self.roomy[usize::from(class)] = next;
        } else {
            self.pages[prev as usize].next = next;
        }
        if next != NONE {
            self.pages[next as usize].prev = prev;
        }
    }

    /// Bytes of pages and boxes.
    pub fn allocated_bytes(&self) -> usize {
        self.pages.iter().map(|p| p.bytes.len() + size_of::<Page>()).sum::<usize>()
            + self.boxes.iter().map(|b| b.len() + size_of::<Box<[u8]>>()).sum::<usize>()
    }
}

fn start_in(class: u16, handle: u32) -> usize {
    (handle & ((1 << BLOCK_BITS) - 1)) as usize * size_of_class(class)
}

/// The class of blocks for so many bytes; `None` when they are too many.
fn class_of(len: usize) -> Option<u16> {
    let class = if len <= BLOCK_MIN {
        BLOCK_MIN / GRAIN
    } else if len <= FINE_MAX {
        len.div_ceil(GRAIN)
    } else if len <= PAGED_MAX {
        // The power of two below, and in how many eighths of it the rest fits.
        let power = (len - 1).ilog2();
        let eighth = (1 << power) / 8;
        128 + (power as usize - 10) * 8 + (len - (1 << power)).div_ceil(eighth)
    } else {
        return None;
    };
    Some(class as u16)
}

fn size_of_class(class: u16) -> usize {
    let class = usize::from(class);
    if class <= FINE_MAX / GRAIN {
        return class * GRAIN;
    }
    let (power, eighths) = ((class - 129) / 8 + 10, (class - 129) % 8 + 1);
    (1 << power) + eighths * ((1 << power) / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_fit_and_waste_at_most_an_eighth() {
        for len in 0..=PAGED_MAX {
            let class = class_of(len).unwrap();
            let size = size_of_class(class);
            assert!(usize::from(class) < CLASSES && size >= len, "{len}: class {class} of {size}");
            assert!(
                size - len <= if len <= FINE_MAX { BLOCK_MIN.max(GRAIN) } else { len / 8 },
                "{len}: {size}"
            );
            assert_eq!(class_of(size), Some(class), "{len}: a block's own size is of its class");
            assert!(PAGE_LEN / size <= 1 << BLOCK_BITS);
        }
        assert_eq!(class_of(PAGED_MAX + 1), None);
    }

    #[test]
    fn blocks_keep_their_bytes_through_random_use_and_empty_pages_go_back() {
        let mut blobs = Blobs::default();
        let mut held: Vec<(Blob, Vec<u8>)> = Vec::new();
        let mut random = 1_u64;
        let mut below = |n: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % n
        };
        for step in 0..60_000 {
            // Mostly growing, then mostly shrinking.
            let growing = (step / 6_000) % 2 == 0;
            let len = if below(50) == 0 { below(12_000) } else { below(300) };
            match below(4) {
                0 if !held.is_empty() => {
                    let at = below(held.len());
                    let (blob, bytes) = &mut held[at];
                    let keep = bytes.len().min(3);
                    let end = vec![step as u8; below(40)];
                    if blobs.replace_end(*blob, bytes.len(), keep, &end) {
                        bytes.truncate(keep);
                        bytes.extend(end);
                    }
                }
                1 | 2 if growing => {
                    let bytes = vec![step as u8; len];
                    let at = len / 3;
                    held.push((blobs.store(&bytes[..at], &bytes[at..]), bytes));
                }
                _ if !growing && !held.is_empty() => {
                    let (blob, bytes) = held.swap_remove(below(held.len()));
                    assert_eq!(blobs.bytes(blob, bytes.len()), bytes);
                    blobs.free(blob);
                }
                _ => {}
            }
            if step % 500 == 0 {
                for (blob, bytes) in &held {
                    assert_eq!(blobs.bytes(*blob, bytes.len()), bytes, "step {step}");
                }
            }
        }
        let full = blobs.allocated_bytes();
        for (blob, bytes) in held.drain(..) {
            assert_eq!(blobs.bytes(blob, bytes.len()), bytes);
            blobs.free(blob);
        }
        // One page per class may stay.
        let with_bytes = blobs.pages.iter().filter(|p| !p.bytes.is_empty()).count();
        assert!(with_bytes <= CLASSES, "{with_bytes} pages left of {full} bytes");
        assert!(blobs.pages.iter().all(|p| p.live == 0));
    }
}
