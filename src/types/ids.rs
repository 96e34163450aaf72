use std::fmt;

/// A transaction's number: epoch in the high 32 bits, counter in the low. Totally ordered.
///
/// Upstream counterpart: `server.util.ZxidUtils`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zxid(pub i64);

impl Zxid {
    /// Before any transaction.
    pub const ZERO: Zxid = Zxid(0);
    /// After every transaction.
    pub const MAX: Zxid = Zxid(i64::MAX);

    /// The zxid with this epoch and counter.
    pub fn new(epoch: Epoch, counter: u32) -> Self {
        Self((i64::from(epoch.0) << 32) | i64::from(counter))
    }

    /// The high half.
    pub fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }

    /// The low half.
    pub fn counter(self) -> u32 {
        self.0 as u32
    }

    /// Whether no transaction can have been between this one and `next`: it is the next of the epoch, or the first of a
    /// later one.
    pub fn is_followed_by(self, next: Self) -> bool {
        if next.epoch() == self.epoch() {
            Some(next.counter()) == self.counter().checked_add(1)
        } else {
            next > self && next.counter() == 1
        }
    }

    /// The zxid after this one in the same epoch. There is none after the largest number, which only a damaged file
    /// can hold: that stays what it is.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// A leader's term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

/// A session's number. 0 asks for a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

impl SessionId {
    /// No session.
    pub const NONE: SessionId = SessionId(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// A member's number (`myid`). A standalone server is 1 where sessions are numbered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub i64);

/// A client connection of this server, for as long as the process lives: which worker holds it and which one of
/// that worker's it is. Numbers are never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    /// Index of the I/O worker.
    pub worker: u16,
    /// Serial number of the connection on that worker.
    pub serial: u32,
}

/// Which of the two epochs that a member of an ensemble keeps on disk.
///
/// Upstream counterpart: `QuorumPeer.getAcceptedEpoch` and `getCurrentEpoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochKind {
    /// The newest epoch promised to. Durable before ACKEPOCH is sent.
    Accepted,
    /// The epoch whose leader's state this member has. Durable before NEWLEADER is acknowledged.
    Current,
}

/// A connection from a learner to this server as its leader. Numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl LinkId {
    /// The first number of connections from observers to this server as their observer master.
    pub const MASTER: LinkId = LinkId(1 << 62);

    /// Whether an observer has come for what a follower passes on.
    #[must_use]
    pub fn is_at_master(self) -> bool {
        self >= Self::MASTER
    }
}
