//! Sockets between servers: the election port, the quorum port, the connection to the leader.
//!
//! ```text
//! election port   header │ (int length │ notification)*      one connection per pair; the larger id connects
//! quorum port     (packet │ the tree behind a SNAP)*         a learner connects to its leader
//! ```
//! Blocking sockets on threads of their own: an ensemble has few of them and they live long. Each connection has one
//! thread that reads, until its owner can do that itself ([`Poller`]); what is sent goes out at once from the thread that
//! sends it, and only what the kernel does not take is left to a second thread.
//!
//! Invariants:
//! * whoever sends never waits;
//! * what a peer makes us hold is bounded, and grows with what has arrived, never with what was announced;
//! * bytes that mean nothing close their connection and nothing else;
//! * a thread ends with its connection, and closing wakes it.
//!
//! Nothing here knows what packets mean. [`Event`]s go to the owner's [`Sink`].
//!
//! Upstream counterparts: `QuorumCnxManager`, the sockets of `Leader`, `LearnerHandler` and `Learner`. Start reading at
//! [`Event`], then [`Elections`], [`Links`], [`LeaderConn`] and [`Poller`].

mod complaints;
mod dial;
mod election;
mod inbound;
mod leader;
mod links;
mod listen;
mod outbox;
mod reading;
mod threads;

#[cfg(test)]
mod tests;

pub use election::{Addresses, ElectionSettings, Elections, Header, HeaderError};
pub use leader::{LeaderConn, LeaderSettings};
pub use links::{LinkSettings, Links};
pub use outbox::SendLimits;
pub use reading::{Adopter, Poller};

use crate::{
    tree::Tree,
    types::{ServerId, SessionId, Zxid},
    zab::{LinkId, Packet, election::Notification},
};
use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
};
use thiserror::Error;

/// Takes what happens on the connections.
///
/// Called by the connections' threads, with all that one `read` brought. It may make them wait: then their peers wait
/// too, which is how an owner that cannot keep up bounds what it holds. It must not wait any more once the owner has
/// begun to shut down.
pub trait Sink: Send + Sync {
    /// Takes all of `events`, in order; they are gone from it afterwards, its memory stays.
    fn put(&self, events: &mut Vec<Event>);
}

/// Content too long to be held in memory: written in its place among the bytes that are sent.
///
/// The thread that writes drops it, sent or not; if the connection is gone already, whoever wanted to send it does.
pub trait Source: Send {
    /// Writes it. Called once, by a thread that may wait.
    ///
    /// # Errors
    /// Closes the connection.
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> io::Result<()>;
}

/// What happened.
pub enum Event {
    /// A peer's message on its election connection.
    Heard {
        /// Who sent it. Observers without a number of their own have −1, −2, … here.
        from: ServerId,
        /// What it says.
        notification: Notification,
    },
    /// There is an election connection to this peer now; if there was one before, it is replaced.
    ElectionUp {
        /// Who.
        peer: ServerId,
    },
    /// There is none any more.
    ElectionDown {
        /// Who.
        peer: ServerId,
        /// Why, for the operator.
        why: String,
    },
    /// A learner has connected and sent its first packet, which follows.
    LinkUp {
        /// Its connection.
        link: LinkId,
        /// From where.
        address: SocketAddr,
    },
    /// A packet of a learner.
    LinkPacket {
        /// Its connection.
        link: LinkId,
        /// What it sent.
        packet: Packet,
    },
    /// A learner's connection is gone: the last event of a link, and there is one whoever closed it.
    LinkDown {
        /// Which.
        link: LinkId,
        /// Why, for the operator.
        why: String,
    },
    /// The connection to the leader is there; what is sent before is lost.
    LeaderUp {
        /// Number of the attempt.
        attempt: u64,
    },
    /// A packet of the leader.
    LeaderPacket {
        /// Number of the attempt.
        attempt: u64,
        /// What it sent.
        packet: Packet,
    },
    /// The tree that followed a SNAP, which was the packet before.
    Snapshot {
        /// Number of the attempt.
        attempt: u64,
        /// Of the SNAP.
        zxid: Zxid,
        /// The tree.
        tree: Box<Tree>,
        /// Its sessions and their timeouts in ms.
        sessions: Vec<(SessionId, i32)>,
    },
    /// The connection to the leader is gone, or could not be made: the last event of an attempt, and there is one
    /// whoever closed it.
    LeaderDown {
        /// Number of the attempt.
        attempt: u64,
        /// Why, for the operator.
        why: String,
    },
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heard { from, notification } => {
                f.debug_struct("Heard").field("from", from).field("notification", notification).finish()
            }
            Self::ElectionUp { peer } => f.debug_struct("ElectionUp").field("peer", peer).finish(),
            Self::ElectionDown { peer, why } => {
                f.debug_struct("ElectionDown").field("peer", peer).field("why", why).finish()
            }
            Self::LinkUp { link, address } => {
                f.debug_struct("LinkUp").field("link", link).field("address", address).finish()
            }
            Self::LinkPacket { link, packet } => {
                f.debug_struct("LinkPacket").field("link", link).field("packet", packet).finish()
            }
            Self::LinkDown { link, why } => {
                f.debug_struct("LinkDown").field("link", link).field("why", why).finish()
            }
            Self::LeaderUp { attempt } => f.debug_struct("LeaderUp").field("attempt", attempt).finish(),
            Self::LeaderPacket { attempt, packet } => {
                f.debug_struct("LeaderPacket").field("attempt", attempt).field("packet", packet).finish()
            }
            Self::Snapshot { attempt, zxid, tree, sessions } => f
                .debug_struct("Snapshot")
                .field("attempt", attempt)
                .field("zxid", zxid)
                .field("nodes", &tree.node_count())
                .field("sessions", &sessions.len())
                .finish(),
            Self::LeaderDown { attempt, why } => {
                f.debug_struct("LeaderDown").field("attempt", attempt).field("why", why).finish()
            }
        }
    }
}

/// Why the sockets between servers cannot be had.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum PeerError {
    #[error("no address to listen on for {port}")]
    NoAddress { port: &'static str },
    #[error("cannot listen on {address} for {port}: {source}; tried {tries} times")]
    Bind { port: &'static str, address: String, tries: u32, source: io::Error },
    #[error("cannot start the thread {name}: {source}")]
    Thread { name: String, source: io::Error },
    #[error("connections to other members cannot be waited for: {0}; are there enough file descriptors?")]
    Poll(io::Error),
}
