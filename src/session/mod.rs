//! Sessions: their numbers, passwords, time and end.
//!
//! Invariants: a session number is given once; a session expires once, never before its timeout has passed since it
//! was last heard from, and at most two ticks after that; the order in which sessions expire is a function of what
//! was put in.
//!
//! Upstream counterpart: `SessionTrackerImpl`, `ExpiryQueue`, `ZooKeeperServer.generatePasswd`. Start reading at
//! [`SessionTracker`].

mod ended;
mod ids;
mod password;
mod tracker;

pub use ended::EndedSessions;
pub use ids::SessionIds;
pub use password::{PASSWORD_LEN, check_password, password};
pub use tracker::{Holder, SessionState, SessionTracker};
