//! A leader: what its learners ask for on behalf of their clients.

use super::{
    Now, Origin, Pipeline, Reattach, Request, ToLearner, Waiting,
    accept::Asked,
    role::{Leading, Role},
};
use crate::{
    ops::{self, Prepared},
    session::{EndedSessions, Holder, SessionState},
    tree::Tree,
    types::{ErrorCode, LinkId, OpCode, ServerId, SessionId, Sizes, SubTxn, TxnBody, Zxid},
    zab,
};
use std::collections::VecDeque;

/// How many ended sessions a leader remembers. A learner that is as far behind as syncLimit lets it be is seconds behind;
/// this many do not end in that time.
const ENDED_SESSIONS_MAX: usize = 1 << 16;

/// Who is to hear that a sync is through.
///
/// That a session is over is only said behind a sync too: a leader that has been deposed, and does not know it yet, does
/// not know the sessions of its successor either, and what it has ended itself may never be committed. Upstream says so
/// at once, and its client gives up a session that lives.
#[derive(Debug)]
enum Syncing {
    /// A client of this server.
    Here(Request),
    /// A learner.
    At(LinkId),
    /// A client of this server whose session is over.
    Refused(Reattach),
    /// A learner, of a session that is over.
    RefusedAt(LinkId, SessionId),
}

/// A sync that is not through.
#[derive(Debug)]
struct Sync {
    who: Syncing,
    /// The last zxid proposed when it came.
    after: Zxid,
    /// The round that has to pass.
    round: u64,
}

/// What a leader has to remember of its learners.
#[derive(Debug)]
pub(super) struct Learners {
    /// This server is a quorum: nobody else can have become the leader.
    alone: bool,
    /// Up to where they were told to commit.
    told: Zxid,
    /// Oldest first, so zxids and rounds rise.
    syncs: VecDeque<Sync>,
    /// The last round that was begun; it is under way while it is larger than `round_passed`.
    round_begun: u64,
    round_passed: u64,
    /// Of what was proposed to them.
    pub(super) sizes: Sizes,
    /// Sessions that have ended since it leads, where learners may have sessions of their own.
    pub(super) ended: EndedSessions,
    out: Vec<ToLearner>,
}

impl Pipeline {
    /// Sizes of a leader's proposals, without the packets around them: of this leadership, or since
    /// [`Self::forget_proposal_sizes`]. `None` when it does not lead others.
    ///
    /// Upstream counterpart: `Leader.getProposalStats`.
    pub fn proposal_sizes(&self) -> Option<Sizes> {
        match &self.role {
            Role::Leading(Leading { learners: Some(learners), .. }) => Some(learners.sizes),
            _ => None,
        }
    }

    /// They are counted anew.
    pub fn forget_proposal_sizes(&mut self) {
        if let Role::Leading(Leading { learners: Some(learners), .. }) = &mut self.role {
            learners.sizes = Sizes::default();
        }
    }
}

impl Learners {
    /// They have everything up to `start`.
    pub(super) fn new(alone: bool, start: Zxid) -> Self {
        Self {
            alone,
            told: start,
            syncs: VecDeque::new(),
            round_begun: 0,
            round_passed: 0,
            sizes: Sizes::default(),
            ended: EndedSessions::new(ENDED_SESSIONS_MAX),
            out: Vec::new(),
        }
    }

    pub(super) fn take_out(&mut self) -> Vec<ToLearner> {
        std::mem::take(&mut self.out)
    }

    /// Who decides has changed, or changes.
    pub(super) fn decide_alone(&mut self, alone: bool) {
        self.alone = alone;
    }

    pub(super) fn tell(&mut self, message: ToLearner) {
        self.out.push(message);
    }

    fn tell_committed(&mut self, zxid: Zxid) {
        if zxid > self.told {
            self.told = zxid;
            self.out.push(ToLearner::Committed(zxid));
        }
    }

    /// A sync has come. A round that is under way says nothing about the time after it came, so it is for the next.
    fn begin_sync(&mut self, who: Syncing, after: Zxid) {
        let round = match self.round_begun > self.round_passed {
            true => self.round_begun + 1,
            false if self.alone => self.round_passed,
            false => self.begin_round(),
        };
        self.syncs.push_back(Sync { who, after, round });
    }

    fn begin_round(&mut self) -> u64 {
        self.round_begun += 1;
        self.out.push(ToLearner::Barrier(self.round_begun));
        self.round_begun
    }

    fn round_passed(&mut self, round: u64) {
        if round != self.round_begun || round <= self.round_passed {
            return;
        }
        self.round_passed = round;
        if self.syncs.back().is_some_and(|s| s.round > round) {
            self.begin_round();
        }
    }

    /// The next sync that is through when everything up to `committed` is. Behind a sync there may be a commit of what
    /// was proposed after it came: the quorum that has acknowledged that still followed this leader, which is as good
    /// as a round.
    fn next_through(&mut self, committed: Zxid) -> Option<Sync> {
        let sync = self.syncs.front()?;
        let through = sync.after < committed || (sync.after == committed && sync.round <= self.round_passed);
        if through { self.syncs.pop_front() } else { None }
    }
}

impl Pipeline {
    /// A member has acknowledged, or a round has passed: says in order what is committed and which syncs are through.
    pub(super) fn settle(&mut self, now: Now, tree: &Tree) {
        let mut here = Vec::new();
        {
            let Role::Leading(Leading { broadcast, learners: Some(learners), .. }) = &mut self.role else {
                return;
            };
            let committed = broadcast.committed();
            while let Some(sync) = learners.next_through(committed) {
                learners.tell_committed(sync.after);
                match sync.who {
                    Syncing::At(link) => learners.out.push(ToLearner::Synced { link }),
                    Syncing::Here(request) => here.push((request, sync.after)),
                    Syncing::Refused(Reattach { conn, has_read_only_byte, .. }) => {
                        self.ready.push_back(Waiting::Refuse { conn, has_read_only_byte });
                    }
                    Syncing::RefusedAt(link, session) => {
                        learners.out.push(ToLearner::Revalidated { link, session, valid: false });
                    }
                }
            }
            learners.tell_committed(committed);
        }
        for (request, after) in here {
            self.finish_sync(now, tree, request, after);
        }
    }

    /// A client of this server wants to be in step.
    pub(super) fn sync_here(&mut self, now: Now, tree: &Tree, request: Request) {
        self.sync_by(now, tree, Syncing::Here(request));
    }

    /// A client of this server has come with a session that is over.
    pub(super) fn refuse_here(&mut self, now: Now, tree: &Tree, reattach: Reattach) {
        self.sync_by(now, tree, Syncing::Refused(reattach));
    }

    fn sync_by(&mut self, now: Now, tree: &Tree, who: Syncing) {
        let Role::Leading(Leading { broadcast, learners: Some(learners), .. }) = &mut self.role else {
            return;
        };
        learners.begin_sync(who, broadcast.proposed());
        self.settle(now, tree);
    }

    pub(super) fn acked(&mut self, now: Now, tree: &Tree, member: ServerId, zxid: Zxid) {
        let Role::Leading(leading) = &mut self.role else { return };
        // Who acknowledges what was never proposed has another history; its voice does not count.
        if zxid <= leading.broadcast.proposed() && leading.broadcast.ack(member, zxid) {
            leading.activate(self.config.server);
            self.settle(now, tree);
        }
    }

    pub(super) fn joins(&mut self, member: ServerId) {
        if let Role::Leading(leading) = &mut self.role {
            leading.broadcast.joins_anew(member);
        }
    }

    pub(super) fn barrier_passed(&mut self, now: Now, tree: &Tree, round: u64) {
        let Role::Leading(Leading { learners: Some(learners), .. }) = &mut self.role else { return };
        learners.round_passed(round);
        self.settle(now, tree);
    }

    /// A learner is gone. Its clients take up their sessions elsewhere, or the sessions expire. Until then the link goes
    /// on holding them: what another learner still sends for such a session is older than the session's last move.
    pub(super) fn link_gone(&mut self, link: LinkId) {
        let Role::Leading(Leading { learners: Some(learners), .. }) = &mut self.role else { return };
        let its = |who: &Syncing| matches!(who, Syncing::At(at) | Syncing::RefusedAt(at, _) if *at == link);
        learners.syncs.retain(|s| !its(&s.who));
    }

    pub(super) fn revalidate(
        &mut self,
        now: Now,
        tree: &Tree,
        link: LinkId,
        session: SessionId,
        timeout_ms: i32,
    ) {
        self.counts.revalidations_asked += 1;
        if let Role::Learning(learning) = &mut self.role {
            learning.relay_revalidate(link, session, timeout_ms);
            // A connection of this server that has the session is silenced at once, as for one of its own.
            self.move_to(session, Holder::Link(link));
            return;
        }
        let Role::Leading(Leading { learners: Some(learners), .. }) = &mut self.role else { return };
        let open = matches!(self.sessions.state(session), SessionState::Open { .. });
        // One that only this server knows cannot move.
        if !open || self.sessions.is_local(session) {
            self.sync_by(now, tree, Syncing::RefusedAt(link, session));
            return;
        }
        learners.out.push(ToLearner::Revalidated { link, session, valid: true });
        self.sessions.add(session, timeout_ms, now.mono_ms);
        self.move_to(session, Holder::Link(link));
    }

    /// An observer behind this follower hands on a request. To the leader all that comes from here is of one server, so
    /// only this one can tell that the session has been taken up elsewhere behind it, or here, since the client asked. The
    /// observer would wait for an answer that only the leader can give, so it has to come anew.
    fn relay(&mut self, link: LinkId, request: zab::Request) {
        let Role::Learning(learning) = &mut self.role else { return };
        let (session, holder) = (request.session, Holder::Link(link));
        let asks_who_holds_it = OpCode::from_code(request.op).is_some_and(|op| {
            ops::is_write(op) && !matches!(op, OpCode::CreateSession | OpCode::CloseSession)
        });
        if asks_who_holds_it
            && let SessionState::Open { holder: Some(now), .. } = self.sessions.state(session)
            && now != holder
        {
            let why =
                format!("it hands on a request of session {session}, whose client has gone elsewhere since");
            learning.close(link, why);
            return;
        }
        learning.relay(link, request);
    }

    /// A request of a learner's client. Whatever it is, it is answered by a txn, or by SYNC: the learner waits for that.
    pub(super) fn forwarded(&mut self, now: Now, tree: &Tree, link: LinkId, request: zab::Request) {
        match &mut self.role {
            Role::Leading(_) => {}
            Role::Learning(_) => return self.relay(link, request),
            Role::Waiting { .. } => return,
        }
        let zab::Request { session, cxid, op, body, ids } = request;
        let asked = |check| {
            let (check_global, origin) = (check, Origin::Elsewhere);
            Asked { session, cxid, ids: &ids, check, check_global, origin }
        };
        match OpCode::from_code(op) {
            Some(OpCode::Sync) => {
                // Who holds the session does not matter to a sync, as upstream.
                self.sync_by(now, tree, Syncing::At(link));
            }
            Some(OpCode::CreateSession) => {
                let timeout_ms = body.first_chunk().map(|int| i32::from_be_bytes(*int));
                let known = self.sessions.state(session);
                let error = match timeout_ms {
                    None => Some(ErrorCode::MarshallingError),
                    Some(_) if session == SessionId::NONE => Some(ErrorCode::BadArguments),
                    Some(_) if known == SessionState::Closing => Some(ErrorCode::SessionExpired),
                    Some(_) => None,
                };
                if let (Some(timeout_ms), None) = (timeout_ms, error) {
                    self.sessions.add(session, timeout_ms, now.mono_ms);
                    self.move_to(session, Holder::Link(link));
                    self.propose(now, tree, asked(Ok(())), |cx| {
                        Some(ops::prepare_create_session(cx, timeout_ms))
                    });
                } else if let Some(error) = error {
                    self.propose(now, tree, asked(Ok(())), |_| Some(failure(error)));
                }
            }
            Some(OpCode::CloseSession) => {
                // Nobody asks who holds it, and there is always a txn: an upstream learner forgets the session when its
                // request comes back, whatever became of it.
                self.propose(now, tree, asked(Ok(())), |cx| Some(ops::prepare_close_session(cx)));
                self.sessions.set_closing(session);
            }
            Some(op) if ops::is_write(op) => {
                let global = self.sessions.hold(session, Holder::Link(link), now.mono_ms);
                // A session that nobody has heard of may be one that only the learner knows.
                let check = if self.may_be_local_elsewhere(session) { Ok(()) } else { global };
                let asked = Asked { check_global: global, ..asked(check) };
                self.propose(now, tree, asked, |cx| Some(ops::prepare(cx, op, &body)));
            }
            _ => self.propose(now, tree, asked(Ok(())), |_| Some(failure(ErrorCode::Unimplemented))),
        }
    }
}

/// The record of a request that was not even looked at.
fn failure(error: ErrorCode) -> Prepared {
    let body = TxnBody::One(SubTxn::error(error));
    Prepared { body, digest: None, error: Some(error), takes_zxid: true, note: None }
}
