//! Ports that concurrent test processes do not fight over.
//!
//! A port is taken from below the range that the kernel hands to outgoing connections, is bindable when
//! chosen, and is guarded by a file lock for as long as the [`Ports`] lives.

use std::net::TcpListener;

use crate::build_folder::{Lock, try_lock};

const LOWEST: u16 = 11_000;
const HIGHEST: u16 = 31_000;
/// Ports are reserved in blocks of this many, so that one lock covers a block.
const BLOCK: u16 = 10;

/// A block of ten neighbouring free ports on 127.0.0.1, reserved until dropped.
pub struct Ports {
    first: u16,
    _lock: Lock,
}

impl Ports {
    /// Reserves a block.
    ///
    /// # Panics
    /// When no free block is found in a thousand tries.
    pub fn reserve() -> Ports {
        for _ in 0..1000 {
            let block: u16 = rand::random_range(LOWEST / BLOCK..HIGHEST / BLOCK);
            let first = block * BLOCK;
            let Some(lock) = try_lock(&format!("port-{first}")) else { continue };
            let bindable = (first..first + BLOCK).all(|port| TcpListener::bind(("0.0.0.0", port)).is_ok());
            if bindable {
                return Ports { first, _lock: lock };
            }
        }
        panic!("no ten neighbouring free ports between {LOWEST} and {HIGHEST}");
    }

    /// The block's port number `index`, 0 to 9.
    pub fn port(&self, index: u16) -> u16 {
        assert!(index < BLOCK, "a block has {BLOCK} ports");
        self.first + index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_reserved_at_the_same_time_differ() {
        let blocks: Vec<Ports> = (0..20).map(|_| Ports::reserve()).collect();
        let mut firsts: Vec<u16> = blocks.iter().map(|block| block.port(0)).collect();
        firsts.sort();
        firsts.dedup();
        assert_eq!(firsts.len(), 20);
    }
}
