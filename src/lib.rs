//! Quoll: Apache ZooKeeper, written again in Rust.

pub mod config;
