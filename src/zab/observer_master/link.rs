use crate::types::{ServerId, Zxid};

/// An observer's connection, as far as it has come.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) stage: Stage,
    /// Who it is; known from its first packet on.
    pub(super) server: Option<ServerId>,
    /// When it is given up unless it says something; `None` while it is not its turn.
    pub(super) deadline_ms: Option<i64>,
}

/// How far an observer has come; in brackets whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Connected [observer: OBSERVERINFO].
    Silent,
    /// It was told the epoch [observer: ACKEPOCH].
    Told,
    /// The log files are being looked at, for one that has everything up to this [follower].
    Probing(Zxid),
    /// A tree is being seized for it [follower].
    Seizing,
    /// It was sent everything, and NEWLEADER [observer: ACK].
    Syncing,
    /// It serves clients.
    Serving,
}

impl Link {
    pub(super) fn new(deadline_ms: i64) -> Self {
        Self { stage: Stage::Silent, server: None, deadline_ms: Some(deadline_ms) }
    }

    /// Whether it gets what is committed.
    pub(super) fn joined(&self) -> bool {
        matches!(self.stage, Stage::Syncing | Stage::Serving)
    }
}
