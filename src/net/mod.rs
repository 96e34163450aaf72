//! Sockets: accepting, reading, serving, writing.
//!
//! A few worker threads, each with its own runtime, share the connections; a connection stays where it was put. Its
//! task reads what is there, has all of it served as one batch and writes the answers at once. Reads are answered
//! by the worker from the shared tree; writes, and what comes behind them on the same connection, go to the core,
//! which puts the answers into the worker's mailbox.
//!
//! Invariants:
//! * Answers of a connection leave in the order of its requests: nothing is answered here while the core owes it
//!   an answer. What upstream answers at once (auth, sasl, unknown operations) is answered at once here too.
//! * A notification leaves before the answer to any read that sees the change: the mailbox is emptied after the
//!   tree has been taken and before it is read.
//! * No connection makes the server hold more than a bound: unread requests, unsent answers, requests under way.
//! * An answered read allocates nothing; an idle connection holds no buffers.
//!
//! Upstream counterpart: `NIOServerCnxnFactory`, `NIOServerCnxn`, `ServerCnxn`, `ZooKeeperServer.processPacket`.
//! Start reading at `serve.rs`, then `worker.rs`.

mod accept;
mod clock;
mod conn;
mod inbox;
mod limits;
mod mailbox;
mod serve;
mod shared;
mod stats;
mod task;
mod timers;
mod watches;
mod words;
mod worker;

pub use accept::{Acceptor, listen};
pub use clock::{Clock, wall_ms};
pub use inbox::Inbox;
pub use limits::{Bucket, Door, OncePerSecond, Refused};
pub use mailbox::Mailbox;
pub use shared::{CoreReport, LearnerCounts, NetSettings, Shared, ToCore, WorkerPort};
pub use stats::{Answered, ConnStats, Latency, UnderWay, WorkerStats};
pub use words::Host;
pub use worker::{Command, ConnReport, WorkerReport, spawn};
