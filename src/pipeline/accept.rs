//! What comes in: checks, zxids, log entries.

use super::{
    Connect, InFlight, Input, Now, Origin, Pipeline, QUOTA_NOTES_MAX, Request, TOUCH_FLUSH_MS, Waiting,
};
use crate::{
    ops::{self, PrepareCx, Prepared, SessionView},
    session::{SessionState, SessionTracker, check_password},
    tree::{DIGEST_VERSION, Tree},
    types::{ErrorCode, Id, OpCode, SessionId, Txn},
};

/// The sessions, for checks: one that is closing accepts nothing more.
struct OpenSessions<'a>(&'a SessionTracker);

impl SessionView for OpenSessions<'_> {
    fn check(&self, session: SessionId) -> Result<(), ErrorCode> {
        match self.0.state(session) {
            SessionState::Open { .. } => Ok(()),
            SessionState::Closing | SessionState::Unknown => Err(ErrorCode::SessionExpired),
        }
    }
}

/// Whose txn it is to be and who hears of it.
struct Asked<'a> {
    session: SessionId,
    cxid: i32,
    ids: &'a [Id],
    origin: Origin,
}

impl Asked<'_> {
    fn by_server(session: SessionId, origin: Origin) -> Self {
        Self { session, cxid: 0, ids: &[], origin }
    }
}

impl Pipeline {
    /// Takes something in. What follows from it waits for [`take_log`](Self::take_log) and
    /// [`apply`](Self::apply).
    pub fn accept(&mut self, now: Now, tree: &Tree, input: Input) {
        match input {
            Input::Request(request) => self.request(now, tree, request),
            Input::Durable(zxid) => {
                self.broadcast.ack(self.config.server, zxid);
            }
            Input::Connect(connect) => self.connect(now, tree, connect),
            Input::Touch(heard) => {
                for (session, heard_ms) in heard {
                    self.sessions.touch(session, heard_ms);
                }
            }
            Input::Gone { conn, session } => self.sessions.drop_owner(session, conn),
            Input::Tick => self.tick(now, tree),
        }
    }

    fn connect(&mut self, now: Now, tree: &Tree, c: Connect) {
        let Connect { conn, has_read_only_byte, .. } = c;
        if c.last_zxid_seen > tree.last_zxid() {
            self.ready.push_back(Waiting::Close { conn });
            return;
        }
        let timeout_ms =
            c.timeout_ms.clamp(self.config.session_timeout_min_ms, self.config.session_timeout_max_ms);
        if c.session == SessionId::NONE {
            let Some(session) = self.ids.next() else { return };
            self.sessions.add(session, timeout_ms, now.mono_ms);
            self.sessions.set_owner(session, conn);
            let origin = Origin::Connect { conn, timeout_ms, has_read_only_byte };
            self.propose(now, tree, Asked::by_server(session, origin), |cx| {
                Some(ops::prepare_create_session(cx, timeout_ms))
            });
            return;
        }
        // The password is compared before anything else, so that a guess does no harm to the session.
        let open = matches!(self.sessions.state(c.session), SessionState::Open { .. });
        if !open || !check_password(c.session, &c.password) {
            self.ready.push_back(Waiting::Refuse { conn, has_read_only_byte });
            return;
        }
        self.counts.sessions_revalidated += 1;
        self.sessions.add(c.session, timeout_ms, now.mono_ms);
        if let Some(old) = self.sessions.set_owner(c.session, conn) {
            self.ready.push_back(Waiting::Close { conn: old });
        }
        self.wait(c.session, Waiting::Reattach { conn, session: c.session, timeout_ms, has_read_only_byte });
    }

    fn request(&mut self, now: Now, tree: &Tree, request: Request) {
        let owned = match self.sessions.state(request.session) {
            SessionState::Open { owner, .. } => owner == Some(request.conn),
            SessionState::Closing => {
                let Request { conn, session, xid, .. } = request;
                let error = ErrorCode::SessionExpired;
                self.wait(session, Waiting::Refused { conn, xid, error });
                return;
            }
            SessionState::Unknown => false,
        };
        if !owned {
            // Moved to another connection, or gone: never an answer, always a close.
            self.ready.push_back(Waiting::Close { conn: request.conn });
            return;
        }
        self.sessions.touch(request.session, request.received_ms);
        if self.waited_too_long(now, &request) {
            self.counts.throttled += 1;
            let Request { conn, session, xid, .. } = request;
            self.wait(session, Waiting::Refused { conn, xid, error: ErrorCode::ThrottledOp });
            return;
        }
        if !ops::is_write(request.op) {
            self.wait(request.session, Waiting::Read(request));
            return;
        }
        let Request { conn, session, xid, op, body, ids, .. } = request;
        let asked = Asked { session, cxid: xid, ids: &ids, origin: Origin::Client { conn, xid } };
        self.propose(now, tree, asked, |cx| Some(ops::prepare(cx, op, &body)));
        if op == OpCode::CloseSession {
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

    fn tick(&mut self, now: Now, tree: &Tree) {
        for session in self.sessions.expire(now.mono_ms - TOUCH_FLUSH_MS) {
            self.counts.sessions_expired += 1;
            self.propose(now, tree, Asked::by_server(session, Origin::Server), |cx| {
                Some(ops::prepare_close_session(cx))
            });
        }
        for path in self.reaper.due(now, tree) {
            // What has children or is gone by now is left alone.
            self.propose(now, tree, Asked::by_server(SessionId::NONE, Origin::Server), |cx| {
                ops::prepare_delete_container(cx, &path).ok()
            });
        }
    }

    /// Puts something behind the session's last txn in flight.
    fn wait(&mut self, session: SessionId, waiting: Waiting) {
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
    fn propose(
        &mut self,
        now: Now,
        tree: &Tree,
        asked: Asked<'_>,
        prepare: impl FnOnce(&mut PrepareCx<'_>) -> Option<Prepared>,
    ) {
        let Asked { session, cxid, ids, origin } = asked;
        let prepared = prepare(&mut PrepareCx {
            tree,
            outstanding: &mut self.outstanding,
            session,
            ids,
            zxid: self.broadcast.proposed().next(),
            time_ms: now.wall_ms,
            config: &self.config.ops,
            sessions: &OpenSessions(&self.sessions),
        });
        let Some(prepared) = prepared else { return };
        if let Some(note) = prepared.note
            && self.quota_notes.len() < QUOTA_NOTES_MAX
        {
            self.quota_notes.push(*note);
        }
        let zxid = if prepared.takes_zxid { self.broadcast.propose() } else { self.broadcast.proposed() };
        let digest = prepared.digest.map(|value| (DIGEST_VERSION, value));
        let txn = Txn { session, cxid, zxid, time_ms: now.wall_ms, body: prepared.body, digest };
        if self.log.ends.is_empty() {
            self.log.first = zxid;
        }
        self.log.last = zxid;
        txn.write(self.config.txn_format, &mut self.log.bytes);
        self.log.ends.push(self.log.bytes.len());
        if session != SessionId::NONE {
            let serial = self.first_serial + self.in_flight.len() as u64;
            self.last_of_session.insert(session, serial);
        }
        self.in_flight.push_back(InFlight { txn, origin, behind: Vec::new() });
    }
}
