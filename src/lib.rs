//! Quoll: Apache ZooKeeper, written again in Rust.
