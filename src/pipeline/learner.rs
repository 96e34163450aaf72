//! A learner: what only the leader can do is asked of it, and what it says is done.

use super::{
    InFlight, Now, Origin, Pipeline, PipelineFault, Reattach, Request, ToLeader, ToLearner, Waiting,
    role::{Role, read_config},
};
use crate::{
    types::{Id, LinkId, OpCode, SessionId, SubTxn, Txn, TxnBody, Zxid, members::Members},
    zab,
};
use bytes::Bytes;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// A request that was handed to the leader and whose txn has not come yet.
#[derive(Debug)]
pub(super) struct Asked {
    cxid: i32,
    op: OpCode,
    origin: Origin,
    /// What came later from the same session.
    pub(super) behind: Vec<Waiting>,
}

impl Asked {
    /// Whether this txn of the session is what became of the request. The number alone does not say so: the end of a
    /// session that expired has number 0, and so may have a client's request.
    fn became(&self, txn: &Txn) -> bool {
        self.cxid == txn.cxid
            && match &txn.body {
                TxnBody::CreateSession { .. } => self.op == OpCode::CreateSession,
                TxnBody::CloseSession { .. } => self.op == OpCode::CloseSession,
                TxnBody::One(SubTxn::Error { .. }) => true,
                TxnBody::One(_) | TxnBody::Multi(_) => {
                    !matches!(self.op, OpCode::CreateSession | OpCode::CloseSession)
                }
            }
    }
}

/// Who waits for a word of the leader.
#[derive(Debug)]
enum Asking<T> {
    /// A client of this server.
    Here(T),
    /// An observer behind it.
    At(LinkId),
}

/// What a learner has to remember.
#[derive(Debug)]
pub(super) struct Learning {
    /// The last proposal in the log or on its way there.
    pub(super) appended: Zxid,
    /// The last zxid that the leader committed.
    pub(super) committed: Zxid,
    /// Whether clients are served.
    pub(super) serving: bool,
    /// Why the leader is of no use any more.
    pub(super) fault: Option<PipelineFault>,
    /// The configuration proposed last, until somebody has asked for it.
    pub(super) config_seen: Option<Members>,
    /// What each session has asked for, oldest first. No session has an empty list.
    asked: HashMap<SessionId, VecDeque<Asked>>,
    /// Syncs that are not through, oldest first: the leader's answers have no names.
    syncs: VecDeque<Asking<Request>>,
    /// Connections that wait for the leader's word about their session, oldest first.
    revalidating: HashMap<SessionId, VecDeque<Asking<Reattach>>>,
    out: Vec<ToLeader>,
    /// What is for observers that get from this server what its leader says.
    to_observers: Vec<ToLearner>,
    touched: Vec<(SessionId, i32)>,
}

impl Learning {
    /// Everything up to `last` is there.
    pub(super) fn new(last: Zxid) -> Self {
        Self {
            appended: last,
            committed: last,
            serving: false,
            fault: None,
            config_seen: None,
            asked: HashMap::new(),
            syncs: VecDeque::new(),
            revalidating: HashMap::new(),
            out: Vec::new(),
            to_observers: Vec::new(),
            touched: Vec::new(),
        }
    }

    pub(super) fn take_out(&mut self) -> Vec<ToLeader> {
        if !self.touched.is_empty() {
            let mut touched = std::mem::take(&mut self.touched);
            touched.sort_unstable();
            touched.dedup_by_key(|(session, _)| *session);
            self.out.push(ToLeader::Touched(touched));
        }
        std::mem::take(&mut self.out)
    }

    /// Asks for the session of a new client, or for one that was known only here.
    pub(super) fn create_session(&mut self, session: SessionId, timeout_ms: i32, origin: Origin) {
        let op = OpCode::CreateSession;
        let body = Bytes::copy_from_slice(&timeout_ms.to_be_bytes());
        self.hand_up(session, 0, op, body, &[]);
        self.expect(session, Asked { cxid: 0, op, origin, behind: Vec::new() });
    }

    /// Hands a client's write to the leader.
    pub(super) fn forward(&mut self, request: Request, origin: Origin) {
        let Request { session, xid, op, body, ids, .. } = request;
        self.hand_up(session, xid, op, body, &ids);
        self.expect(session, Asked { cxid: xid, op, origin, behind: Vec::new() });
    }

    /// Asks whether a session lives that a client brings along.
    pub(super) fn revalidate(&mut self, reattach: Reattach) {
        let Reattach { session, timeout_ms, .. } = reattach;
        self.out.push(ToLeader::Revalidate { session, timeout_ms });
        self.revalidating.entry(session).or_default().push_back(Asking::Here(reattach));
    }

    /// Hands a client's sync to the leader.
    pub(super) fn sync(&mut self, request: Request) {
        self.hand_up(request.session, request.xid, request.op, request.body.clone(), &request.ids);
        self.syncs.push_back(Asking::Here(request));
    }

    pub(super) fn take_to_observers(&mut self) -> Vec<ToLearner> {
        std::mem::take(&mut self.to_observers)
    }

    /// An observer's client asks for something: the leader gets it in its place among those of this server.
    pub(super) fn relay(&mut self, link: LinkId, request: zab::Request) {
        if request.op == OpCode::Sync.code() {
            self.syncs.push_back(Asking::At(link));
        }
        self.out.push(ToLeader::Forward(request));
    }

    /// An observer is of no use any more.
    pub(super) fn close(&mut self, link: LinkId, why: String) {
        self.to_observers.push(ToLearner::Close { link, why });
    }

    /// A client has come to an observer with its session.
    pub(super) fn relay_revalidate(&mut self, link: LinkId, session: SessionId, timeout_ms: i32) {
        self.out.push(ToLeader::Revalidate { session, timeout_ms });
        self.revalidating.entry(session).or_default().push_back(Asking::At(link));
    }

    pub(super) fn touch(&mut self, session: SessionId, timeout_ms: i32) {
        self.touched.push((session, timeout_ms));
    }

    /// The session's last request without a txn.
    pub(super) fn last_asked(&mut self, session: SessionId) -> Option<&mut Asked> {
        self.asked.get_mut(&session).and_then(VecDeque::back_mut)
    }

    fn hand_up(&mut self, session: SessionId, cxid: i32, op: OpCode, body: Bytes, ids: &[Id]) {
        let request = zab::Request { session, cxid, op: op.code(), body, ids: ids.to_vec() };
        self.out.push(ToLeader::Forward(request));
    }

    fn expect(&mut self, session: SessionId, asked: Asked) {
        self.asked.entry(session).or_default().push_back(asked);
    }

    /// The request that became this txn. It is always the oldest of its session, or one of another server.
    fn answered_by(&mut self, txn: &Txn) -> Option<Asked> {
        let of_session = self.asked.get_mut(&txn.session)?;
        if !of_session.front()?.became(txn) {
            return None;
        }
        let asked = of_session.pop_front();
        if of_session.is_empty() {
            self.asked.remove(&txn.session);
        }
        asked
    }
}

impl Pipeline {
    pub(super) fn proposed_by_leader(&mut self, zxid: Zxid, entry: &Bytes) {
        let Role::Learning(learning) = &mut self.role else { return };
        if learning.fault.is_some() {
            return;
        }
        let last = learning.appended;
        // A stock leader numbers the record of a request that it could not read like the txn before it.
        let repeats = zxid == last && Txn::is_error(entry);
        if zxid <= last && !repeats {
            learning.fault = Some(PipelineFault::OutOfOrder { zxid, last });
            return;
        }
        let txn = match Txn::read(entry, self.config.txn_format) {
            Ok(txn) if txn.zxid == zxid => txn,
            Ok(txn) => {
                learning.fault = Some(PipelineFault::Misnumbered { zxid, inside: txn.zxid });
                return;
            }
            Err(source) => {
                learning.fault = Some(PipelineFault::Unreadable { zxid, source });
                return;
            }
        };
        if self.config.ops.reconfig_enabled
            && let TxnBody::One(SubTxn::Reconfig { data, .. }) = &txn.body
        {
            let Some(members) = read_config(data.as_deref()) else {
                learning.fault = Some(PipelineFault::Config { zxid });
                return;
            };
            learning.config_seen = Some(members);
        }
        learning.appended = zxid;
        self.log.push(zxid, |out| out.extend_from_slice(entry));
        let (origin, behind) = match learning.answered_by(&txn) {
            Some(asked) => {
                let serial = self.first_serial + self.in_flight.len() as u64;
                self.last_of_session.insert(txn.session, serial);
                (asked.origin, asked.behind)
            }
            None => (Origin::Elsewhere, Vec::new()),
        };
        self.in_flight.push_back(InFlight { txn, origin, behind });
    }

    pub(super) fn committed_by_leader(&mut self, zxid: Zxid) {
        let Role::Learning(learning) = &mut self.role else { return };
        if learning.fault.is_some() {
            return;
        }
        if zxid > learning.appended {
            learning.fault = Some(PipelineFault::NotProposed { zxid, last: learning.appended });
            return;
        }
        learning.committed = learning.committed.max(zxid);
    }

    /// The oldest sync is through: it is answered behind everything that is committed by now.
    pub(super) fn synced_by_leader(&mut self) -> Option<(Request, Zxid)> {
        let Role::Learning(learning) = &mut self.role else { return None };
        match learning.syncs.pop_front()? {
            Asking::Here(request) => Some((request, learning.committed)),
            Asking::At(link) => {
                // It must not see a later commit first: see [`ToLearner::Committed`].
                let committed = ToLearner::Committed(learning.committed);
                learning.to_observers.extend([committed, ToLearner::Synced { link }]);
                None
            }
        }
    }

    pub(super) fn revalidated_by_leader(&mut self, now: Now, session: SessionId, valid: bool) {
        let Role::Learning(learning) = &mut self.role else { return };
        let Some(waiting) = learning.revalidating.get_mut(&session) else { return };
        let reattach = waiting.pop_front();
        if waiting.is_empty() {
            learning.revalidating.remove(&session);
        }
        let reattach = match reattach {
            None => return,
            Some(Asking::Here(reattach)) => reattach,
            Some(Asking::At(link)) => {
                learning.to_observers.push(ToLearner::Revalidated { link, session, valid });
                return;
            }
        };
        if valid {
            self.take_up(now, reattach);
        } else {
            let Reattach { conn, has_read_only_byte, .. } = reattach;
            self.ready.push_back(Waiting::Refuse { conn, has_read_only_byte });
        }
    }
}
