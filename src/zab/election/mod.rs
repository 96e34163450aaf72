//! Fast leader election, without I/O: who leads next.
//!
//! A member that looks for a leader proposes the best vote that it knows of and tells everybody; a vote is better by the
//! leader's epoch, then its last zxid, then its number. When a quorum proposes the same and nothing better comes for a
//! while, that is the leader. A member that has a leader answers those that look.
//!
//! [`Election`] takes notifications and the time and says what to send and when it has decided. Connections are
//! somebody else's matter: each peer has at most one message waiting, the newest.
//!
//! Invariants: in one round a member's proposal only gets better; it decides only on a proposal of its own that a
//! quorum shares, or on a leader that a quorum follows and that says itself that it leads.
//!
//! Upstream counterpart: `quorum.FastLeaderElection`, `quorum.Vote`. Start reading at [`Election::step`].

mod notification;
mod round;
mod vote;

#[cfg(test)]
mod tests;

pub use notification::{Notification, NotificationError, PeerState};
pub use round::{Election, ElectionConfig, Input, Output, Role};
pub use vote::{Proposal, Vote};
