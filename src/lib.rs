//! Quoll: Apache ZooKeeper, written again in Rust.
//!
//! The modules in the order in which bytes flow through them; each imports only modules above it and the shared
//! vocabulary ([`types`] and the `quoll_jute` crate). `docs/ARCHITECTURE.md` is the map in prose.
//!
//! | module | what | invariant |
//! |---|---|---|
//! | [`types`] | zxids, sessions, paths, ACLs, error codes, txns | parsed once, cannot be wrong afterwards |
//! | [`pipeline`] | check, propose, commit, apply, reply | nothing is acknowledged before it is forced |

pub mod pipeline;
pub mod types;
