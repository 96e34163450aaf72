//! Sessions that only this server knows, and clients that are served without a leader.
//!
//! A local session begins and ends without a txn, expires here, and is over when the role is over or when its client
//! goes to another server. It may write: the leader lets pass what comes from sessions that it does not know, except
//! for ephemerals. Before the first of those it becomes a session like any other, by a createSession of its own.
//!
//! Upstream counterpart: `UpgradeableSessionTracker`, `QuorumZooKeeperServer.checkUpgradeSession`,
//! `ReadOnlyRequestProcessor`.

use super::{
    Connect, LocalSessions, Now, Origin, Pipeline, Reattach, Request, Waiting,
    accept::Asked,
    role::{Leading, Role},
};
use crate::{
    ops,
    session::{Holder, SessionState},
    tree::Tree,
    types::{ConnId, ErrorCode, OpCode, SessionId},
};

/// Whether a server without a leader refuses this. The end of a session is not among it: those it has are its own.
pub(super) fn is_refused_read_only(op: OpCode) -> bool {
    op == OpCode::Sync || ops::is_write(op) && op != OpCode::CloseSession
}

impl Pipeline {
    /// Whether new sessions are known only to this server.
    pub fn has_local_sessions(&self) -> bool {
        self.config.local_sessions != LocalSessions::Off && self.has_peers()
    }

    /// Whether a client may come to a server that has no leader: it has to accept that, and its session must be new or
    /// one that only this server knows. A session of the ensemble is to be taken elsewhere, where somebody can say
    /// whether it lives.
    pub(super) fn accepts_read_only(&self, connect: &Connect) -> bool {
        connect.read_only
            && self.has_local_sessions()
            && (self.sessions.is_local(connect.session)
                || self.sessions.state(connect.session) == SessionState::Unknown)
    }

    /// A client gets a session that only this server knows.
    pub(super) fn begin_local(&mut self, now: Now, conn: ConnId, timeout_ms: i32, has_read_only_byte: bool) {
        let free = |id: &SessionId| self.sessions.state(*id) == SessionState::Unknown;
        let Some(session) = self.local_ids.find(free) else { return };
        self.sessions.add_local(session, timeout_ms, now.mono_ms);
        self.sessions.set_holder(session, Holder::Conn(conn));
        self.ready.push_back(Waiting::Reattach(Reattach { conn, session, timeout_ms, has_read_only_byte }));
    }

    /// A local session has expired.
    pub(super) fn end_local(&mut self, session: SessionId) {
        if let Some(Holder::Conn(conn)) = self.sessions.remove(session) {
            self.ready.push_back(Waiting::Close { conn });
        }
    }

    /// Before a request that makes an ephemeral, its session becomes one of the ensemble, if it is a local one.
    ///
    /// # Errors
    /// [`ErrorCode::EphemeralOnLocalSession`] when it stays local.
    pub(super) fn upgrade_for(&mut self, now: Now, tree: &Tree, request: &Request) -> Result<(), ErrorCode> {
        let session = request.session;
        if !self.sessions.is_local(session)
            || !ops::creates_ephemeral(request.op, &request.body, &self.config.ops)
        {
            return Ok(());
        }
        if self.config.local_sessions != LocalSessions::Upgrade {
            return Err(ErrorCode::EphemeralOnLocalSession);
        }
        let Some(timeout_ms) = self.sessions.upgrade(session) else { return Ok(()) };
        if let Role::Learning(learning) = &mut self.role {
            learning.create_session(session, timeout_ms, Origin::Upgrade);
        } else {
            // As for any createSession, its time begins anew: the request may have waited behind a sync.
            self.sessions.touch(session, now.mono_ms);
            self.propose(now, tree, Asked::by_server(session, Origin::Upgrade), |cx| {
                Some(ops::prepare_create_session(cx, timeout_ms))
            });
        }
        Ok(())
    }

    /// Whether a session may be one that only some learner knows: nobody here has heard of it, it did not begin here,
    /// and it has not ended here.
    ///
    /// Upstream counterpart: `LeaderSessionTracker.checkSession`, which does not ask for the last.
    pub(super) fn may_be_local_elsewhere(&self, session: SessionId) -> bool {
        let Role::Leading(Leading { learners: Some(learners), .. }) = &self.role else { return false };
        self.has_local_sessions()
            && session != SessionId::NONE
            && self.sessions.state(session) == SessionState::Unknown
            && session.0 >> 56 != i64::from(self.config.server.0 as i8)
            && !learners.ended.contains(session)
    }

    /// A session of all has ended: what still comes for it is not from a session that only a learner knows.
    pub(super) fn remember_end(&mut self, session: SessionId) {
        if self.has_local_sessions()
            && let Role::Leading(Leading { learners: Some(learners), .. }) = &mut self.role
        {
            learners.ended.add(session);
        }
    }
}
