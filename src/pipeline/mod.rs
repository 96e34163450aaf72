//! The write path of the server, without I/O: check, propose, commit, apply, reply.
//!
//! One thread owns a [`Pipeline`]. It hands in [`Input`]s, sends what [`Pipeline::take_log`] gives to the log,
//! tells it when that is on stable storage, and lets it [apply](Pipeline::apply) what has been committed while it
//! holds the tree exclusively. What clients are to be told comes out as [`Deliveries`].
//!
//! Invariants: a reply of a write leaves only after its log record is forced; txns are applied in zxid order, each
//! once; answers of one connection leave in the order of its requests; a read is answered after its own
//! connection's earlier writes and before its later ones.
//!
//! Upstream counterpart: `PrepRequestProcessor`, `SyncRequestProcessor`, `CommitProcessor`,
//! `FinalRequestProcessor`. Start reading at [`Pipeline::accept`].

mod io;

pub use io::{Connect, Deliveries, Delivery, Input, LogBatch, Now, Request, Then, WorkerDeliveries};

/// The longest time for which a worker may keep a session's sign of life to itself, ms.
pub const TOUCH_FLUSH_MS: i64 = 100;
