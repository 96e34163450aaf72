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

/// Ten, or several times ten, neighbouring free ports on 127.0.0.1, reserved until dropped.
pub struct Ports {
    first: u16,
    locks: Vec<Lock>,
}

impl Ports {
    /// Reserves ten ports.
    ///
    /// # Panics
    /// When no free block is found in a thousand tries.
    pub fn reserve() -> Ports {
        Ports::reserve_blocks(1)
    }

    /// Reserves ten times `blocks` ports.
    ///
    /// # Panics
    /// As [`reserve`](Self::reserve).
    pub fn reserve_blocks(blocks: u16) -> Ports {
        for _ in 0..1000 {
            let first = rand::random_range(LOWEST / BLOCK..HIGHEST / BLOCK - blocks) * BLOCK;
            let locks: Vec<Lock> =
                (0..blocks).map_while(|n| try_lock(&format!("port-{}", first + n * BLOCK))).collect();
            let all =
                (first..first + blocks * BLOCK).all(|port| TcpListener::bind(("0.0.0.0", port)).is_ok());
            if locks.len() == usize::from(blocks) && all {
                return Ports { first, locks };
            }
        }
        panic!("no {blocks} times ten neighbouring free ports between {LOWEST} and {HIGHEST}");
    }

    /// Port number `index`, from 0 on.
    pub fn port(&self, index: u16) -> u16 {
        assert!(usize::from(index / BLOCK) < self.locks.len(), "a block has {BLOCK} ports");
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
