//! What goes out: applied txns, fired watches, answers.

use super::{
    ConnWatches, Deliveries, InFlight, Origin, PLANNED_PATHS_MIN, Pipeline, Reattach, Request, Then, Waiting,
    role::Role,
};
use super::{write_connect_frame, write_notification_frame, write_reply_frame, write_result_frame};
use crate::{
    auth,
    frame::LENGTH_LEN,
    ops::{self, ReadCx},
    session::{Holder, PASSWORD_LEN, password},
    tree::{DIGEST_VERSION, OpResult, Tree},
    types::{
        ConnId, ErrorCode, OpCode, Perms, SessionId, SubTxn, TxnBody, Zxid,
        guard::{self, Guard},
    },
    watch::WatchManager,
};

/// xid of every answer to a ping.
const XID_PING: i32 = -2;

impl Pipeline {
    /// Whether the next call of [`apply`](Self::apply) would keep readers out for long without a [`plan`](Self::plan).
    /// Also gives back what the last one of that kind left.
    pub fn wants_plan(&mut self) -> bool {
        if !self.spent.is_empty() {
            self.spent = Vec::new();
            self.effects.clear();
        }
        let committed = self.committed();
        self.in_flight.front().is_some_and(|f| f.txn.zxid <= committed && is_long(&f.txn.body))
    }

    /// Finds out what the next txn will do, which [`wants_plan`](Self::wants_plan) has said to take long. Needs the tree
    /// as `apply` will find it. What is not planned is applied all the same.
    pub fn plan(&mut self, tree: &Tree) {
        self.effects.clear();
        self.plan = self.in_flight.front().and_then(|f| tree.plan_close(&f.txn, &mut self.effects));
    }

    /// Applies at most `txns_max` committed txns and answers everything that has its turn. Answers whether there is
    /// more. To be called, and `out` to be handed over, while nobody reads the tree: then a notification always
    /// precedes a read that sees the change.
    pub fn apply(
        &mut self,
        tree: &mut Tree,
        watches: &mut WatchManager,
        out: &mut Deliveries,
        txns_max: usize,
    ) -> bool {
        while let Some(waiting) = self.ready.pop_front() {
            self.answer(waiting, tree, watches, out);
        }
        if let Some(zxid) = self.exact_after.take()
            && !tree.is_exact()
        {
            tree.set_fuzzy_until(zxid);
        }
        let committed = self.committed();
        for n in 0..txns_max {
            if self.in_flight.front().is_none_or(|f| f.txn.zxid > committed) {
                break;
            }
            // One that takes long comes first in its section, planned.
            if n > 0 && self.in_flight.front().is_some_and(|f| is_long(&f.txn.body)) {
                break;
            }
            let Some(in_flight) = self.in_flight.pop_front() else { break };
            let serial = self.first_serial;
            self.first_serial += 1;
            self.apply_one(serial, in_flight, tree, watches, out);
        }
        self.has_ready()
    }

    fn apply_one(
        &mut self,
        serial: u64,
        in_flight: InFlight,
        tree: &mut Tree,
        watches: &mut WatchManager,
        out: &mut Deliveries,
    ) {
        let InFlight { txn, origin, behind } = in_flight;
        let (session, zxid) = (txn.session, txn.zxid);
        let was_exact = tree.is_exact();
        let planned = self.plan.take().and_then(|plan| tree.apply_close(&txn, plan));
        let applied = planned.unwrap_or_else(|| {
            self.effects.clear();
            tree.apply(&txn, &mut self.effects)
        });
        // The log says that this happened. A tree that has no place for it is not what the log says: stop.
        assert!(
            !applied.results.contains(&OpResult::Err(OpResult::SYSTEM_ERROR)),
            "the tree cannot hold what txn {zxid} creates: it has {} znodes",
            tree.node_count()
        );
        self.outstanding.applied(zxid);
        self.counts.commits += 1;
        self.counts.proposals_committed += u64::from(self.role.has_learners());
        self.count_written(&txn.body, &applied.results);
        if let Some((DIGEST_VERSION, expected)) = txn.digest
            && tree.digest_enabled()
            && was_exact
            && expected != tree.digest()
        {
            self.counts.digest_mismatches += 1;
        }
        if !matches!(self.role, Role::Waiting { .. }) {
            let config = &self.config.ops.auth;
            let sent = &mut self.counts.notification_bytes;
            watches.trigger_as(&self.effects, zxid, |conn, ids, event, acl| {
                if auth::check_acl(acl, Perms::READ, ids, config) {
                    out.push(conn, 0, zxid, Then::Nothing, |bytes| {
                        let before = bytes.len();
                        write_notification_frame(bytes, zxid, event.kind.code(), event.path);
                        *sent += (bytes.len() - before - LENGTH_LEN) as u64;
                    });
                }
            });
        }
        let mut closed = None;
        match &txn.body {
            TxnBody::CreateSession { .. }
                if !matches!(self.role, Role::Leading(_)) && !guard::holds(Guard::LearnSessions) => {}
            TxnBody::CreateSession { timeout_ms } => self.sessions.confirm(session, *timeout_ms),
            TxnBody::CloseSession { .. } => {
                closed = self.sessions.remove(session);
                self.remember_end(session);
            }
            _ => {}
        }
        if self.last_of_session.get(&session) == Some(&serial) {
            self.last_of_session.remove(&session);
        }
        match origin {
            Origin::Elsewhere => {}
            Origin::Upgrade => {
                if !matches!(txn.body, TxnBody::CreateSession { .. }) {
                    closed = self.sessions.remove(session);
                }
            }
            Origin::Connect { conn, timeout_ms, has_read_only_byte } => {
                if matches!(txn.body, TxnBody::CreateSession { .. }) {
                    let read_only = has_read_only_byte.then_some(false);
                    established(out, conn, session, timeout_ms, read_only, zxid);
                } else {
                    self.sessions.remove(session);
                    refused(out, conn, has_read_only_byte.then_some(false), zxid);
                }
            }
            Origin::Client { conn, .. } | Origin::NotUpgraded { conn, .. } if is_moved(&txn.body) => {
                out.push(conn, 0, zxid, Then::Close, |_| {});
            }
            Origin::NotUpgraded { conn, xid } if matches!(txn.body, TxnBody::One(SubTxn::Error { .. })) => {
                let err = ErrorCode::EphemeralOnLocalSession.code();
                out.push(conn, 1, zxid, Then::Nothing, |bytes| {
                    write_reply_frame(bytes, xid, zxid, err, |_| {})
                });
            }
            Origin::Client { conn, xid } | Origin::NotUpgraded { conn, xid } => {
                out.push(conn, 1, zxid, Then::Nothing, |bytes| {
                    write_result_frame(bytes, xid, zxid, |body| ops::write_reply(&txn.body, &applied, body));
                });
            }
        }
        for waiting in behind {
            if let Waiting::Sync(request) = &waiting
                && self.last_of_session.get(&request.session) == Some(&serial)
            {
                self.last_of_session.remove(&request.session);
            }
            self.answer(waiting, tree, watches, out);
        }
        if let Some(Holder::Conn(conn)) = closed {
            out.push(conn, 0, zxid, Then::Close, |_| {});
        }
        if is_long(&txn.body) {
            self.spent.push(txn.body);
        }
    }

    fn answer(&mut self, waiting: Waiting, tree: &Tree, watches: &mut WatchManager, out: &mut Deliveries) {
        match waiting {
            Waiting::Read(request) | Waiting::Sync(request) => self.read(&request, tree, watches, out),
            Waiting::Reattach(Reattach { conn, session, timeout_ms, has_read_only_byte }) => {
                let read_only = has_read_only_byte.then_some(self.is_read_only());
                established(out, conn, session, timeout_ms, read_only, tree.last_zxid());
            }
            Waiting::Refuse { conn, has_read_only_byte } => {
                refused(out, conn, has_read_only_byte.then_some(self.is_read_only()), tree.last_zxid());
            }
            Waiting::EndLocal { conn, xid, session } => {
                self.sessions.remove(session);
                let zxid = tree.last_zxid();
                out.push(conn, 1, zxid, Then::Close, |bytes| write_reply_frame(bytes, xid, zxid, 0, |_| {}));
            }
            Waiting::Refused { conn, xid, error } => {
                let zxid = tree.last_zxid();
                out.push(conn, 1, zxid, Then::Nothing, |bytes| {
                    write_reply_frame(bytes, xid, zxid, error.code(), |_| {})
                });
            }
            Waiting::RefusedEarly { conn, xid, error } => {
                out.push(conn, 1, tree.last_zxid(), Then::Nothing, |bytes| {
                    write_reply_frame(bytes, xid, Zxid::ZERO, error.code(), |_| {})
                });
            }
            Waiting::Close { conn } => out.push(conn, 0, tree.last_zxid(), Then::Close, |_| {}),
        }
    }

    fn read(&mut self, request: &Request, tree: &Tree, watches: &mut WatchManager, out: &mut Deliveries) {
        let Request { conn, session, xid, op, .. } = *request;
        let zxid = tree.last_zxid();
        if op == OpCode::Ping {
            out.push(conn, 1, zxid, Then::Nothing, |bytes| {
                write_reply_frame(bytes, XID_PING, zxid, 0, |_| {})
            });
            return;
        }
        let mut body = Vec::new();
        let mut events = Vec::new();
        let mut sink = ConnWatches::new(watches, conn, &request.ids, &mut events);
        let mut cx = ReadCx {
            tree,
            watches: &mut sink,
            session,
            ids: &request.ids,
            config: &self.config.ops,
            cache: &mut self.cache,
            bytes_read: &mut self.bytes_read,
        };
        let err = ErrorCode::of(&ops::serve(&mut cx, op, &request.body, &mut body));
        self.counts.notification_bytes += sink.bytes();
        out.push(conn, 1, zxid, Then::Nothing, |bytes| {
            bytes.extend_from_slice(&events);
            write_result_frame(bytes, xid, zxid, |out| {
                out.extend_from_slice(&body);
                err
            });
        });
    }
}

impl Pipeline {
    fn count_written(&mut self, body: &TxnBody, results: &[OpResult]) {
        let ops = match body {
            TxnBody::One(op) => std::slice::from_ref(op),
            TxnBody::Multi(ops) => ops,
            TxnBody::CloseSession { .. } => {
                // All that it does is to delete.
                for effect in self.effects.iter() {
                    self.bytes_written.add(effect.path, effect.path.len() as u64);
                }
                return;
            }
            TxnBody::CreateSession { .. } => return,
        };
        for (op, _) in ops.iter().zip(results).filter(|(_, result)| matches!(result, OpResult::Ok(_))) {
            let (path, data) = match op {
                SubTxn::Create { path, data, .. }
                | SubTxn::CreateTtl { path, data, .. }
                | SubTxn::CreateContainer { path, data, .. }
                | SubTxn::SetData { path, data, .. }
                | SubTxn::Reconfig { path, data, .. } => (path, data.as_ref().map_or(0, |data| data.len())),
                SubTxn::Delete { path, .. } => (path, 0),
                SubTxn::SetAcl { .. } | SubTxn::Check { .. } | SubTxn::Error { .. } => continue,
            };
            self.bytes_written.add(path, (path.len() + data) as u64);
        }
    }
}

fn established(
    out: &mut Deliveries,
    conn: ConnId,
    session: SessionId,
    timeout_ms: i32,
    read_only: Option<bool>,
    zxid: Zxid,
) {
    out.push(conn, 0, zxid, Then::Established { session, timeout_ms }, |bytes| {
        write_connect_frame(bytes, timeout_ms, session, &password(session), read_only);
    });
}

fn refused(out: &mut Deliveries, conn: ConnId, read_only: Option<bool>, zxid: Zxid) {
    out.push(conn, 0, zxid, Then::Close, |bytes| {
        write_connect_frame(bytes, 0, SessionId::NONE, &[0; PASSWORD_LEN], read_only);
    });
}

/// Whether the txn ends a session with many ephemerals.
fn is_long(body: &TxnBody) -> bool {
    matches!(body, TxnBody::CloseSession { paths: Some(paths) } if paths.len() >= PLANNED_PATHS_MIN)
}

/// Whether the leader says that the session of the request is held by another server.
fn is_moved(body: &TxnBody) -> bool {
    const MOVED: SubTxn = SubTxn::Error { code: ErrorCode::SessionMoved as i32 };
    match body {
        TxnBody::One(sub) => *sub == MOVED,
        TxnBody::Multi(subs) => subs.contains(&MOVED),
        TxnBody::CreateSession { .. } | TxnBody::CloseSession { .. } => false,
    }
}
