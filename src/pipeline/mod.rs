//! The write path of the server, without I/O: check, propose, commit, apply, reply.
//!
//! The same pipeline is that of a standalone server, of a leader and of a learner; which of them it is changes with
//! [`lead`](Pipeline::lead), [`learn`](Pipeline::learn) and [`retire`](Pipeline::retire). A leader proposes what its own
//! clients and those of its learners ask for. A learner hands up what only the leader can do, and answers its client
//! when the txn of that request comes back to it.
//!
//! One thread owns a [`Pipeline`]. It hands in [`Input`]s, sends what [`Pipeline::take_log`] gives to the log,
//! tells it when that is on stable storage, and lets it [apply](Pipeline::apply) what has been committed while it
//! holds the tree exclusively. What clients are to be told comes out as [`Deliveries`].
//!
//! Invariants: a reply of a write leaves only after its log record is forced; txns are applied in zxid order, each
//! once; answers of one connection leave in the order of its requests; a read is answered after its own session's
//! earlier writes and before its later ones. What comes out of a role that is over is applied, but nobody is told.
//!
//! Upstream counterpart: `PrepRequestProcessor`, `SyncRequestProcessor`, `CommitProcessor`,
//! `FinalRequestProcessor`; of an ensemble `ProposalRequestProcessor`, `FollowerRequestProcessor` and
//! `ObserverRequestProcessor`. Start reading at [`Pipeline::accept`].

mod accept;
mod apply;
mod config;
mod fault;
mod io;
mod learner;
mod local;
mod log;
mod reaper;
mod remote;
mod reply;
mod role;
mod sync;
mod watches;

#[cfg(test)]
mod tests;

pub use crate::ops::Membership;
pub use config::{LocalSessions, PipelineConfig, ReaperConfig};
pub use fault::PipelineFault;
pub use io::{
    Connect, Deliveries, Delivery, Input, Now, Request, Then, ToLeader, ToLearner, WorkerDeliveries,
};
pub use log::LogBatch;
pub use reply::{write_connect_frame, write_notification_frame, write_reply_frame, write_result_frame};
pub use watches::{ConnWatches, Watches};

use crate::{
    ops::{Outstanding, QuotaNote, ResponseCache},
    session::{SessionIds, SessionTracker},
    tree::{ClosePlan, Effects},
    types::{ConnId, ErrorCode, KEYS_MAX, NamespaceTotals, SessionId, Txn, TxnBody, Zxid},
};
use hashbrown::HashMap;
use log::LogBuffer;
use reaper::Reaper;
use role::Role;
use std::collections::VecDeque;

/// The longest time for which a worker may keep a session's sign of life to itself, ms.
pub const TOUCH_FLUSH_MS: i64 = 100;

/// How many notes of exceeded quotas wait to be taken; more are dropped.
pub const QUOTA_NOTES_MAX: usize = 100;

/// Bounds of the pipeline's own cache of children lists: it serves only reads behind writes.
const CACHE_LISTS_MAX: usize = 64;
const CACHE_BYTES_MAX: usize = 4 << 20;

/// The end of a session with so many ephemerals is worth a plan, and an exclusive section of its own.
const PLANNED_PATHS_MIN: usize = 500;

/// A txn between its check and its application.
#[derive(Debug)]
struct InFlight {
    txn: Txn,
    origin: Origin,
    /// What waits for this txn, because it belongs to the same session and came later.
    behind: Vec<Waiting>,
}

/// Who is to be told of a txn.
#[derive(Debug)]
enum Origin {
    /// A client that asked for a session.
    Connect { conn: ConnId, timeout_ms: i32, has_read_only_byte: bool },
    /// A client's request.
    Client { conn: ConnId, xid: i32 },
    /// A client's request that a session known only here may not make. The leader does not know the session and says
    /// that it has expired; the client is told the true reason.
    NotUpgraded { conn: ConnId, xid: i32 },
    /// A session of this server that becomes one of the whole ensemble.
    Upgrade,
    /// The server itself, or a client of another server, which answers it.
    Elsewhere,
}

/// What needs no txn but has its place in the order.
#[derive(Debug)]
enum Waiting {
    /// A read.
    Read(Request),
    /// A sync that is through, in an ensemble.
    Sync(Request),
    /// A request that is not executed: its session's end had begun, or it waited too long.
    Refused { conn: ConnId, xid: i32, error: ErrorCode },
    /// A write that did not go to the leader. Its answer bears no zxid, as upstream.
    RefusedEarly { conn: ConnId, xid: i32, error: ErrorCode },
    /// A session taken up by a new connection, or a local one that begins.
    Reattach(Reattach),
    /// The end of a local session, by wish.
    EndLocal { conn: ConnId, xid: i32, session: SessionId },
    /// A session that cannot be taken up.
    Refuse { conn: ConnId, has_read_only_byte: bool },
    /// A connection that is to be closed without a word.
    Close { conn: ConnId },
}

/// A connection that takes up a session.
#[derive(Debug)]
struct Reattach {
    conn: ConnId,
    session: SessionId,
    timeout_ms: i32,
    has_read_only_byte: bool,
}

/// Counts of what the pipeline has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipelineCounts {
    /// Txns applied.
    pub commits: u64,
    /// Txns after which the tree's digest was not the expected one.
    pub digest_mismatches: u64,
    /// Sessions that expired.
    pub sessions_expired: u64,
    /// Sessions that were taken up again.
    pub sessions_revalidated: u64,
    /// Bytes of notifications sent, without the lengths of their frames.
    pub notification_bytes: u64,
    /// Requests that waited too long.
    pub throttled: u64,
    /// Txns proposed to learners, as a leader.
    pub proposed: u64,
    /// Those of them that were committed.
    pub proposals_committed: u64,
    /// Learners' questions whether a session lives.
    pub revalidations_asked: u64,
}

/// The write path. See the module.
pub struct Pipeline {
    config: PipelineConfig,
    ids: SessionIds,
    /// Numbers of sessions without a txn.
    local_ids: SessionIds,
    sessions: SessionTracker,
    role: Role,
    /// The last zxid known to be on stable storage.
    durable: Zxid,
    /// A tree that the leader sent is exact once this one is applied; to be told to the tree.
    exact_after: Option<Zxid>,
    outstanding: Outstanding,
    in_flight: VecDeque<InFlight>,
    /// Serial number of the first of `in_flight`.
    first_serial: u64,
    /// Serial number of each session's last txn in flight.
    last_of_session: HashMap<SessionId, u64>,
    /// Sessions with a sync that is not through, and what they asked for since. Always empty when standalone.
    held: HashMap<SessionId, VecDeque<Request>>,
    /// What waits for nothing.
    ready: VecDeque<Waiting>,
    log: LogBuffer,
    reaper: Reaper,
    cache: ResponseCache,
    effects: Effects,
    /// What the next txn will do, if that takes long enough.
    plan: Option<ClosePlan>,
    /// Paths that were applied. Giving their memory back takes a while, which nobody has to wait for.
    spent: Vec<TxnBody>,
    quota_notes: Vec<QuotaNote>,
    counts: PipelineCounts,
    bytes_read: NamespaceTotals,
    bytes_written: NamespaceTotals,
}

impl Pipeline {
    /// A standalone server that continues after `last`, with the sessions that the files know; their time begins anew.
    pub fn new(config: PipelineConfig, sessions: &[(SessionId, i32)], last: Zxid, now: Now) -> Self {
        let role = Role::alone(config.server, last);
        let mut pipeline = Self::with_role(config, role, last, now);
        pipeline.sessions = role::tracker(pipeline.config.tick_ms, sessions, Some(now));
        pipeline.avoid(sessions);
        pipeline
    }

    fn with_role(config: PipelineConfig, role: Role, last: Zxid, now: Now) -> Self {
        Self {
            ids: SessionIds::new(config.server, now.wall_ms),
            local_ids: SessionIds::of_one_life(config.server, config.seed),
            sessions: SessionTracker::without_time(config.tick_ms),
            role,
            durable: last,
            exact_after: None,
            outstanding: Outstanding::new(config.ops.owner_rules),
            in_flight: VecDeque::new(),
            first_serial: 0,
            last_of_session: HashMap::new(),
            held: HashMap::new(),
            ready: VecDeque::new(),
            log: LogBuffer::default(),
            reaper: Reaper::new(config.reaper, now),
            cache: ResponseCache::new(CACHE_LISTS_MAX, CACHE_BYTES_MAX),
            effects: Effects::default(),
            plan: None,
            spent: Vec::new(),
            quota_notes: Vec::new(),
            counts: PipelineCounts::default(),
            bytes_read: NamespaceTotals::new(KEYS_MAX),
            bytes_written: NamespaceTotals::new(KEYS_MAX),
            config,
        }
    }

    /// Makes sure that none of these numbers is given to a new session.
    fn avoid(&mut self, sessions: &[(SessionId, i32)]) {
        for (session, _) in sessions {
            self.ids.avoid(*session);
        }
    }

    /// Log entries since the last call. They are to be appended in order and forced; then comes
    /// [`Input::Durable`] with the last zxid.
    pub fn take_log(&mut self) -> Option<LogBatch> {
        self.log.take()
    }

    /// Whether [`apply`](Self::apply) has something to do.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty() || self.in_flight.front().is_some_and(|f| f.txn.zxid <= self.committed())
    }

    /// Txns checked but not applied yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The sessions that a snapshot of the tree as it is now has to name.
    pub fn global_sessions(&self) -> Vec<(SessionId, i32)> {
        self.sessions.confirmed()
    }

    /// The sessions.
    pub fn sessions(&self) -> &SessionTracker {
        &self.sessions
    }

    /// Quotas that were exceeded since the last call, for the operator's log. At most
    /// [`QUOTA_NOTES_MAX`] are kept.
    pub fn take_quota_notes(&mut self) -> Vec<QuotaNote> {
        std::mem::take(&mut self.quota_notes)
    }

    /// Bytes of paths and data that were read behind writes, by the first component of the path, since it was emptied.
    pub fn bytes_read(&mut self) -> &mut NamespaceTotals {
        &mut self.bytes_read
    }

    /// Bytes of paths and data that were written, by the first component of the path, since it was emptied.
    ///
    /// Upstream counterpart: `DataTree.updateWriteStat`. There the replay of the log at a start counts, too.
    pub fn bytes_written(&mut self) -> &mut NamespaceTotals {
        &mut self.bytes_written
    }

    /// Counts since the start.
    pub fn counts(&self) -> PipelineCounts {
        self.counts
    }
}
