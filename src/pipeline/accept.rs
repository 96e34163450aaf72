//! What comes in: checks, zxids, log entries.

use super::{
    Connect, InFlight, Input, Now, Origin, Pipeline, QUOTA_NOTES_MAX, Reattach, Request, TOUCH_FLUSH_MS,
    Waiting, local::is_refused_read_only, role::Role,
};
use crate::{
    ops::{self, PrepareCx, Prepared, SessionView},
    session::{Holder, SessionState, check_password},
    tree::{DIGEST_VERSION, Tree},
    types::{ConnId, ErrorCode, Id, OpCode, SessionId, SubTxn, Txn, TxnBody, Zxid},
};

/// Whether the session of the request may write, found out beforehand: the checks of an operation ask for it in their
/// own order, and for each operation of a multi.
struct Checked {
    check: Result<(), ErrorCode>,
    check_global: Result<(), ErrorCode>,
}

impl SessionView for Checked {
    fn check(&self, _session: SessionId) -> Result<(), ErrorCode> {
        self.check
    }

    fn check_global(&self, _session: SessionId) -> Result<(), ErrorCode> {
        self.check_global
    }
}

/// Whose txn it is to be and who hears of it.
pub(super) struct Asked<'a> {
    pub(super) session: SessionId,
    pub(super) cxid: i32,
    pub(super) ids: &'a [Id],
    /// Whether the session may write.
    pub(super) check: Result<(), ErrorCode>,
    /// Whether it may have ephemerals.
    pub(super) check_global: Result<(), ErrorCode>,
    pub(super) origin: Origin,
}

impl Asked<'_> {
    pub(super) fn by_server(session: SessionId, origin: Origin) -> Self {
        Self { session, cxid: 0, ids: &[], check: Ok(()), check_global: Ok(()), origin }
    }
}

impl Pipeline {
    /// Takes something in. What follows from it waits for [`take_log`](Self::take_log),
    /// [`take_to_leader`](Self::take_to_leader) or [`take_to_learners`](Self::take_to_learners), and
    /// [`apply`](Self::apply).
    pub fn accept(&mut self, now: Now, tree: &Tree, input: Input) {
        match input {
            Input::Request(request) => self.request(now, tree, request),
            Input::Durable(zxid) => self.durable(now, tree, zxid),
            Input::Connect(connect) => self.connect(now, tree, connect),
            Input::Touch(heard) => {
                for (session, heard_ms) in heard {
                    self.touch(session, heard_ms);
                }
            }
            Input::Gone { conn, session } => self.gone(conn, session),
            Input::Tick => self.tick(now, tree),
            Input::Proposed { zxid, entry } => self.proposed_by_leader(zxid, &entry),
            Input::Committed(zxid) => self.committed_by_leader(zxid),
            Input::Synced => {
                if let Some((request, after)) = self.synced_by_leader() {
                    self.finish_sync(now, tree, request, after);
                }
            }
            Input::Revalidated { session, valid } => self.revalidated_by_leader(now, session, valid),
            Input::Acked { member, zxid } => self.acked(now, tree, member, zxid),
            Input::Joins { member } => self.joins(member),
            Input::Forwarded { link, request } => self.forwarded(now, tree, link, request),
            Input::Revalidate { link, session, timeout_ms } => {
                self.revalidate(now, tree, link, session, timeout_ms);
            }
            Input::TouchedAt { sessions, .. } => {
                for (session, timeout_ms) in sessions {
                    if let Role::Learning(learning) = &mut self.role {
                        learning.touch(session, timeout_ms);
                    } else {
                        self.sessions.touch_for(session, now.mono_ms, timeout_ms);
                    }
                }
            }
            Input::BarrierPassed(round) => self.barrier_passed(now, tree, round),
            Input::LinkGone { link } => self.link_gone(link),
        }
    }

    fn durable(&mut self, now: Now, tree: &Tree, zxid: Zxid) {
        self.durable = self.durable.max(zxid);
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.broadcast.ack(self.config.server, zxid) && leading.learners.is_some() {
            leading.activate(self.config.server);
            self.settle(now, tree);
        }
    }

    fn gone(&mut self, conn: ConnId, session: SessionId) {
        // Whoever has learners leaves the session with the connection: what a learner still sends for it, without having
        // taken it up anew, is older than the move to this connection.
        if !self.has_peers() {
            self.sessions.drop_holder(session, Holder::Conn(conn));
        }
    }

    /// A client of this server was heard from. A learner tells its leader.
    fn touch(&mut self, session: SessionId, heard_ms: i64) {
        if self.sessions.is_local(session) {
            self.sessions.touch(session, heard_ms);
            return;
        }
        match &mut self.role {
            Role::Leading(_) => {
                self.sessions.touch(session, heard_ms);
            }
            Role::Learning(learning) => {
                if let Some(timeout_ms) = self.sessions.timeout_ms(session) {
                    learning.touch(session, timeout_ms);
                }
            }
            Role::Waiting { .. } => {}
        }
    }

    fn connect(&mut self, now: Now, tree: &Tree, c: Connect) {
        let Connect { conn, has_read_only_byte, .. } = c;
        if !self.serves()
            || c.last_zxid_seen > tree.last_zxid()
            || self.is_read_only() && !self.accepts_read_only(&c)
        {
            self.ready.push_back(Waiting::Close { conn });
            return;
        }
        let timeout_ms =
            c.timeout_ms.clamp(self.config.session_timeout_min_ms, self.config.session_timeout_max_ms);
        if c.session == SessionId::NONE && self.has_local_sessions() {
            self.begin_local(now, conn, timeout_ms, has_read_only_byte);
            return;
        }
        if c.session == SessionId::NONE {
            // A number that is in use came from a server of another kind, or by another reckoning.
            let free = |id: &SessionId| self.sessions.state(*id) == SessionState::Unknown;
            let Some(session) = self.ids.find(free) else { return };
            self.sessions.add(session, timeout_ms, now.mono_ms);
            self.sessions.set_holder(session, Holder::Conn(conn));
            let origin = Origin::Connect { conn, timeout_ms, has_read_only_byte };
            if let Role::Learning(learning) = &mut self.role {
                learning.create_session(session, timeout_ms, origin);
                return;
            }
            self.propose(now, tree, Asked::by_server(session, origin), |cx| {
                Some(ops::prepare_create_session(cx, timeout_ms))
            });
            return;
        }
        // The password is compared before anything else, so that a guess does no harm to the session.
        if !check_password(c.session, &c.password) {
            self.ready.push_back(Waiting::Refuse { conn, has_read_only_byte });
            return;
        }
        let reattach = Reattach { conn, session: c.session, timeout_ms, has_read_only_byte };
        let open = matches!(self.sessions.state(c.session), SessionState::Open { .. });
        if let Role::Learning(learning) = &mut self.role
            && !(open && self.sessions.is_local(c.session))
        {
            learning.revalidate(reattach);
            // What the old connection sends from now on would come to the leader behind the question.
            self.move_to(c.session, Holder::Conn(conn));
        } else if open {
            self.take_up(now, reattach);
        } else if self.is_read_only() {
            self.ready.push_back(Waiting::Refuse { conn, has_read_only_byte });
        } else if self.has_peers() {
            self.refuse_here(now, tree, reattach);
        } else {
            self.ready.push_back(Waiting::Refuse { conn, has_read_only_byte });
        }
    }

    /// A session that lives goes on with another connection of this server.
    pub(super) fn take_up(&mut self, now: Now, reattach: Reattach) {
        let Reattach { conn, session, timeout_ms, .. } = reattach;
        self.counts.sessions_revalidated += 1;
        self.sessions.add(session, timeout_ms, now.mono_ms);
        self.move_to(session, Holder::Conn(conn));
        self.wait(session, Waiting::Reattach(reattach));
    }

    /// From now on the session is held there. A connection of this server that held it is closed.
    pub(super) fn move_to(&mut self, session: SessionId, holder: Holder) {
        if let Some(Holder::Conn(old)) = self.sessions.set_holder(session, holder) {
            self.ready.push_back(Waiting::Close { conn: old });
        }
    }

    pub(super) fn request(&mut self, now: Now, tree: &Tree, request: Request) {
        let closing = match self.sessions.state(request.session) {
            SessionState::Open { holder, .. } if holder == Some(Holder::Conn(request.conn)) => false,
            SessionState::Closing => true,
            SessionState::Open { .. } | SessionState::Unknown => {
                // Moved to another connection, or gone: never an answer, always a close.
                self.ready.push_back(Waiting::Close { conn: request.conn });
                return;
            }
        };
        if !closing {
            self.touch(request.session, request.received_ms);
        }
        if !self.held.is_empty()
            && let Some(held) = self.held.get_mut(&request.session)
        {
            held.push_back(request);
            return;
        }
        if closing {
            let Request { conn, session, xid, .. } = request;
            self.wait(session, Waiting::Refused { conn, xid, error: ErrorCode::SessionExpired });
            return;
        }
        if self.waited_too_long(now, &request) {
            self.counts.throttled += 1;
            let Request { conn, session, xid, .. } = request;
            self.wait(session, Waiting::Refused { conn, xid, error: ErrorCode::ThrottledOp });
            return;
        }
        if self.is_read_only() && is_refused_read_only(request.op) {
            let Request { conn, session, xid, .. } = request;
            self.wait(session, Waiting::Refused { conn, xid, error: ErrorCode::NotReadOnly });
            return;
        }
        if request.op == OpCode::Sync && self.has_peers() {
            self.begin_sync(now, tree, request);
            return;
        }
        if !ops::is_write(request.op) {
            self.wait(request.session, Waiting::Read(request));
            return;
        }
        if matches!(self.role, Role::Learning(_))
            && !ops::is_readable(request.op, &request.body, &self.config.ops)
        {
            let Request { conn, session, xid, .. } = request;
            self.wait(session, Waiting::Refused { conn, xid, error: ErrorCode::MarshallingError });
            return;
        }
        if self.config.eager_acl_check
            && self.has_peers()
            && let Some(error) =
                ops::refused_early(tree, request.op, &request.body, &request.ids, &self.config.ops)
        {
            let Request { conn, session, xid, .. } = request;
            self.wait(session, Waiting::RefusedEarly { conn, xid, error });
            return;
        }
        if let Role::Leading(leading) = &self.role
            && leading.is_over()
        {
            // It will never be answered, so nothing that comes later may be.
            self.wait(request.session, Waiting::Close { conn: request.conn });
            return;
        }
        let (session, closes) = (request.session, request.op == OpCode::CloseSession);
        let (conn, xid) = (request.conn, request.xid);
        if closes && self.sessions.is_local(session) {
            self.sessions.set_closing(session);
            self.wait(session, Waiting::EndLocal { conn, xid, session });
            return;
        }
        let upgraded = self.upgrade_for(now, tree, &request);
        if let Role::Learning(learning) = &mut self.role {
            let origin = match upgraded {
                Ok(()) => Origin::Client { conn, xid },
                Err(_) => Origin::NotUpgraded { conn, xid },
            };
            learning.forward(request, origin);
        } else {
            let Request { op, body, ids, .. } = request;
            let (check, check_global) = (Ok(()), upgraded);
            let origin = Origin::Client { conn, xid };
            let asked = Asked { session, cxid: xid, ids: &ids, check, check_global, origin };
            self.propose(now, tree, asked, |cx| Some(ops::prepare(cx, op, &body)));
        }
        if closes {
            self.sessions.set_closing(session);
        }
    }

    /// Upstream counterpart: `RequestThrottler` with `throttledOpWaitTime`, which leaves the same two out.
    fn waited_too_long(&self, now: Now, request: &Request) -> bool {
        let limit_ms = self.config.throttled_op_wait_ms;
        limit_ms > 0
            && now.mono_ms - request.received_ms > limit_ms
            && !matches!(request.op, OpCode::Ping | OpCode::CloseSession)
    }

    /// Whoever proposes ends what has had its time. A learner leaves that to its leader, except for the sessions that
    /// only it knows.
    fn tick(&mut self, now: Now, tree: &Tree) {
        for session in self.sessions.expire(now.mono_ms - TOUCH_FLUSH_MS) {
            self.counts.sessions_expired += 1;
            if self.sessions.is_local(session) {
                self.end_local(session);
                continue;
            }
            self.propose(now, tree, Asked::by_server(session, Origin::Elsewhere), |cx| {
                Some(ops::prepare_close_session(cx))
            });
        }
        if !matches!(self.role, Role::Leading(_)) {
            return;
        }
        for path in self.reaper.due(now, tree) {
            // What has children or is gone by now is left alone.
            self.propose(now, tree, Asked::by_server(SessionId::NONE, Origin::Elsewhere), |cx| {
                ops::prepare_delete_container(cx, &path).ok()
            });
        }
    }

    /// Puts something behind what the session has asked for before.
    pub(super) fn wait(&mut self, session: SessionId, waiting: Waiting) {
        if let Role::Learning(learning) = &mut self.role
            && let Some(asked) = learning.last_asked(session)
        {
            asked.behind.push(waiting);
            return;
        }
        if let Some(serial) = self.last_of_session.get(&session)
            && let Ok(at) = usize::try_from(serial - self.first_serial)
            && let Some(in_flight) = self.in_flight.get_mut(at)
        {
            in_flight.behind.push(waiting);
        } else {
            self.ready.push_back(waiting);
        }
    }

    /// Checks a write against everything before it, gives it its zxid and its place in the log.
    pub(super) fn propose(
        &mut self,
        now: Now,
        tree: &Tree,
        asked: Asked<'_>,
        prepare: impl FnOnce(&mut PrepareCx<'_>) -> Option<Prepared>,
    ) {
        let Asked { session, cxid, ids, check, check_global, origin } = asked;
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.is_over() {
            return;
        }
        let broadcast = &mut leading.broadcast;
        let prepared = prepare(&mut PrepareCx {
            tree,
            outstanding: &mut self.outstanding,
            session,
            ids,
            zxid: broadcast.proposed().next(),
            time_ms: now.wall_ms,
            config: &self.config.ops,
            sessions: &Checked { check, check_global },
            membership: leading.membership.as_ref(),
        });
        let Some(prepared) = prepared else { return };
        if let Some(note) = prepared.note
            && self.quota_notes.len() < QUOTA_NOTES_MAX
        {
            self.quota_notes.push(*note);
        }
        // In an ensemble every txn has a number of its own: others tell by it what they have.
        let takes_zxid = prepared.takes_zxid || leading.learners.is_some();
        let zxid = if takes_zxid { broadcast.propose() } else { broadcast.proposed() };
        let digest = prepared.digest.map(|value| (DIGEST_VERSION, value));
        let txn = Txn { session, cxid, zxid, time_ms: now.wall_ms, body: prepared.body, digest };
        let format = self.config.txn_format;
        let size = self.log.push(zxid, |out| txn.write(format, out));
        if let Some(learners) = &mut leading.learners {
            learners.sizes.add(size);
            self.counts.proposed += 1;
        }
        if let TxnBody::One(SubTxn::Reconfig { data, .. }) = &txn.body {
            leading.reconfigure(self.config.server, data.as_deref());
        }
        if session != SessionId::NONE {
            let serial = self.first_serial + self.in_flight.len() as u64;
            self.last_of_session.insert(session, serial);
        }
        self.in_flight.push_back(InFlight { txn, origin, behind: Vec::new() });
    }
}
