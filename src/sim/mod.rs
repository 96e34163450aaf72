//! A seeded world for tests: the code that ships runs in it unchanged, and a run is its seed.
//!
//! Start reading at [`disk::FakeDisk`].

pub mod disk;
pub mod ensemble;
pub mod standalone;
mod write;

pub use crate::types::rng;
