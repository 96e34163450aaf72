//! Quoll: Apache ZooKeeper, written again in Rust.
//!
//! The modules in the order in which bytes flow through them; each imports only modules above it and the shared
//! vocabulary ([`types`] and the `quoll_jute` crate). `docs/ARCHITECTURE.md` is the map in prose.
//!
//! | module | what | invariant |
//! |---|---|---|
//! | [`types`] | zxids, sessions, paths, ACLs, error codes, txns | parsed once, cannot be wrong afterwards |
//! | [`config`] | zoo.cfg, properties, arguments | one table; a bad value stops the start |
//! | [`frame`] | where packets begin and end | a length never makes us allocate |
//! | [`auth`] | who a caller is, what a list allows | what cannot be parsed matches nobody |
//! | [`session`] | session numbers, passwords, expiry | a session expires once and never early |
//! | [`tree`] | the znodes in memory | the same txns give the same tree and digest, replayed or live |
//! | [`watch`] | who is told of which change | a watch is told before a read can see the change |
//! | [`ops`] | what each operation does | the first failing check decides, in upstream's order |
//! | [`pipeline`] | check, propose, commit, apply, reply | nothing is acknowledged before it is forced |
//! | [`zab`] | the atomic broadcast | commits come in order, from a quorum |
//! | [`member`] | a member of an ensemble: election, leading, following | what it promises rests on what is forced |
//! | [`storage`] | log, snapshots, recovery | what was forced is found again |
//! | [`peer`] | sockets between servers | who sends never waits; what a peer makes us hold is bounded |
//! | [`admin`] | four-letter words, metrics | an answer is a function of a view; counting never waits |
//! | [`net`] | sockets and their workers | answers leave in order; nobody makes us hold without bound |
//! | [`node`] | the life of a server | what fails takes the process with it |
//! | [`tools`] | subcommands that are not the server | not imported by the server |
//! | [`sim`] | disks that forget and fail, for tests | a run is its seed |

pub mod admin;
pub mod auth;
pub mod config;
pub mod frame;
pub mod member;
pub mod net;
pub mod node;
pub mod ops;
pub mod peer;
pub mod pipeline;
pub mod session;
pub mod sim;
pub mod storage;
pub mod tools;
pub mod tree;
pub mod types;
pub mod watch;
pub mod zab;
