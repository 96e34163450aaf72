//! sync in an ensemble: the answer says that this server has everything that was committed before the question.
//!
//! A session that waits for one is held: what it asks for afterwards is looked at when the sync has its place. So
//! answers stay in order, and others need not wait.

use super::{Now, Pipeline, Request, Waiting, role::Role};
use crate::{tree::Tree, types::Zxid};
use std::collections::VecDeque;

impl Pipeline {
    /// A client of this server, which is a member of an ensemble, wants to be in step.
    pub(super) fn begin_sync(&mut self, now: Now, tree: &Tree, request: Request) {
        self.held.insert(request.session, VecDeque::new());
        match &mut self.role {
            Role::Learning(learning) => learning.sync(request),
            Role::Leading(_) => self.sync_here(now, tree, request),
            Role::Waiting { .. } => {}
        }
    }

    /// A sync is through: it is answered when everything up to `after` is applied. What its session asked for since
    /// then gets its turn.
    pub(super) fn finish_sync(&mut self, now: Now, tree: &Tree, request: Request, after: Zxid) {
        let session = request.session;
        self.place_sync(request, after);
        let mut held = self.held.remove(&session).unwrap_or_default();
        while let Some(request) = held.pop_front() {
            self.request(now, tree, request);
            if let Some(again) = self.held.get_mut(&session) {
                // Another sync: the rest waits for that.
                again.append(&mut held);
            }
        }
    }

    fn place_sync(&mut self, request: Request, after: Zxid) {
        let session = request.session;
        if let Role::Learning(learning) = &mut self.role
            && let Some(asked) = learning.last_asked(session)
        {
            // The leader answers in order, so this should have come back before.
            asked.behind.push(Waiting::Sync(request));
            return;
        }
        let behind = self.in_flight.partition_point(|f| f.txn.zxid <= after) as u64;
        let own = self.last_of_session.get(&session).map(|serial| serial + 1 - self.first_serial);
        let behind = behind.max(own.unwrap_or(0));
        let Some(at) = behind.checked_sub(1) else {
            self.ready.push_back(Waiting::Sync(request));
            return;
        };
        if let Some(in_flight) = usize::try_from(at).ok().and_then(|at| self.in_flight.get_mut(at)) {
            in_flight.behind.push(Waiting::Sync(request));
            // What the session asks for next waits there too.
            self.last_of_session.insert(session, self.first_serial + at);
        }
    }
}
