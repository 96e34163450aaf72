//! A leader, its own clients and what learners send it.

use super::{
    ensemble::{Ensemble, conn, sync},
    *,
};
use crate::{
    types::{Epoch, LinkId},
    zab::{self, Quorum},
};

const LINK: LinkId = LinkId(7);

fn first() -> Zxid {
    Zxid::new(Epoch(1), 1)
}

/// A leader whose learners are the test.
struct Leader {
    pipeline: Pipeline,
    tree: Tree,
    watches: WatchManager,
    now: Now,
    last: Zxid,
}

impl Leader {
    fn new(voters: &[i64]) -> Self {
        let now = Now { mono_ms: 0, wall_ms: 1_700_000_000_000 };
        let mut pipeline = Pipeline::waiting(config(ServerId(1)), &[], Zxid::ZERO, now);
        pipeline.lead(vec![Quorum::majority(voters.iter().map(|v| ServerId(*v)))], Epoch(1), now);
        let last = pipeline.proposed();
        Self { pipeline, tree: empty_tree(), watches: WatchManager::new(1), now, last }
    }

    fn put(&mut self, input: Input) -> Vec<ToLearner> {
        self.pipeline.accept(self.now, &self.tree, input);
        if let Some(batch) = self.pipeline.take_log() {
            self.last = batch.last;
        }
        self.pipeline.take_to_learners()
    }

    fn told(&mut self) -> Vec<Told> {
        let mut out = Deliveries::new(1);
        while self.pipeline.apply(&mut self.tree, &mut self.watches, &mut out, 1) {}
        told_by(out)
    }

    fn forward(&mut self, session: SessionId, cxid: i32, op: i32, body: Vec<u8>) -> Vec<ToLearner> {
        let request = zab::Request { session, cxid, op, body: body.into(), ids: vec![] };
        self.put(Input::Forwarded { link: LINK, request })
    }

    fn sync(&mut self, link: LinkId) -> Vec<ToLearner> {
        let op = OpCode::Sync.code();
        let request =
            zab::Request { session: SessionId(5), cxid: 1, op, body: sync("/").into(), ids: vec![] };
        self.put(Input::Forwarded { link, request })
    }

    fn ack(&mut self, zxid: Zxid) -> Vec<ToLearner> {
        let mut out = self.put(Input::Durable(zxid));
        out.extend(self.put(Input::Acked { member: ServerId(2), zxid }));
        out
    }
}

#[test]
fn a_leader_begins_its_epoch_with_the_first_number_and_commits_with_a_quorum() {
    let mut l = Leader::new(&[1, 2, 3]);
    assert_eq!((l.pipeline.proposed(), l.pipeline.committed()), (Zxid(1 << 32), Zxid(1 << 32)));
    assert_eq!(l.forward(SessionId(5), 0, -10, 4000i32.to_be_bytes().into()), []);
    assert_eq!(l.last, first());
    assert_eq!(l.put(Input::Durable(first())), []);
    assert!(!l.pipeline.has_ready());
    assert_eq!(l.put(Input::Acked { member: ServerId(9), zxid: first() }), [], "it has no vote");
    assert_eq!(
        l.put(Input::Acked { member: ServerId(3), zxid: Zxid(i64::MAX) }),
        [],
        "nor has one of the future"
    );
    let out = l.put(Input::Acked { member: ServerId(3), zxid: first() });
    assert_eq!(out, [ToLearner::Committed(first())]);
    assert!(l.told().is_empty(), "the learner answers its client");
    assert_eq!(l.pipeline.global_sessions(), [(SessionId(5), 4000)]);
}

#[test]
fn a_sync_needs_its_proposals_committed_and_a_round_that_began_after_it() {
    let mut l = Leader::new(&[1, 2, 3]);
    l.forward(SessionId(5), 0, -10, 4000i32.to_be_bytes().into());
    assert_eq!(l.sync(LINK), [ToLearner::Barrier(1)]);
    // One that comes during a round waits for the next; all that come until then share it.
    assert_eq!(l.sync(LinkId(8)), []);
    assert_eq!(l.sync(LinkId(9)), []);
    assert_eq!(l.put(Input::BarrierPassed(1)), [ToLearner::Barrier(2)]);
    assert_eq!(l.ack(first()), [ToLearner::Committed(first()), ToLearner::Synced { link: LINK },]);
    assert_eq!(l.put(Input::BarrierPassed(1)), [], "that one is over");
    assert_eq!(
        l.put(Input::BarrierPassed(2)),
        [ToLearner::Synced { link: LinkId(8) }, ToLearner::Synced { link: LinkId(9) },]
    );
    assert_eq!(l.put(Input::BarrierPassed(3)), [], "that one was never asked for");
    assert_eq!(l.sync(LINK), [ToLearner::Barrier(3)]);
}

#[test]
fn the_sync_comes_between_the_commits_before_it_and_those_after_it() {
    let mut l = Leader::new(&[1, 2, 3]);
    let create_session = || 4000i32.to_be_bytes().to_vec();
    l.forward(SessionId(5), 0, -10, create_session());
    assert_eq!(l.sync(LINK), [ToLearner::Barrier(1)]);
    l.forward(SessionId(5), 2, OpCode::Create.code(), create("/a", 0));
    assert_eq!(l.sync(LINK), []);
    l.forward(SessionId(5), 4, OpCode::Create.code(), create("/b", 0));
    // Whoever acknowledges what was proposed after the sync still followed then: as good as a round.
    let third = first().next().next();
    assert_eq!(
        l.ack(third),
        [
            ToLearner::Committed(first()),
            ToLearner::Synced { link: LINK },
            ToLearner::Committed(first().next()),
            ToLearner::Synced { link: LINK },
            ToLearner::Committed(third),
        ]
    );
    assert_eq!(l.put(Input::BarrierPassed(1)), [], "nobody waits for another round");
}

#[test]
fn a_leader_that_is_a_quorum_by_itself_needs_no_round() {
    let mut l = Leader::new(&[1]);
    assert_eq!(l.sync(LINK), [ToLearner::Synced { link: LINK }]);
    l.forward(SessionId(5), 0, -10, 4000i32.to_be_bytes().into());
    assert_eq!(l.sync(LINK), []);
    assert_eq!(
        l.put(Input::Durable(first())),
        [ToLearner::Committed(first()), ToLearner::Synced { link: LINK },]
    );
}

#[test]
fn a_sync_of_a_leaders_own_client_waits_for_the_round_and_holds_its_session() {
    let mut e = Ensemble::new();
    let (c0, c1) = (conn(0, 1), conn(0, 2));
    let (zero, one) = (e.open(0, c0), e.open(0, c1));
    e.ask(0, c0, zero, 1, OpCode::Create, create("/a", 0));
    e.ask(0, c0, zero, 2, OpCode::Sync, sync("/a"));
    e.ask(0, c0, zero, 3, OpCode::SetData, set("/a", b"new"));
    e.ask(0, c0, zero, 4, OpCode::Sync, sync("/a"));
    e.ask(0, c0, zero, 5, OpCode::GetData, get("/a", false));
    e.carry();
    assert_eq!(e.heads(0, c0).iter().map(|h| h.0).collect::<Vec<_>>(), [1]);
    e.ask(0, c1, one, 1, OpCode::GetData, get("/a", false));
    e.apply(0);
    assert_eq!(e.heads(0, c1).len(), 1, "another session is not held");
    assert!(e.pass_round());
    e.carry();
    assert_eq!(e.heads(0, c0).iter().map(|h| (h.0, h.2)).collect::<Vec<_>>(), [(2, 0), (3, 0)]);
    e.settle();
    assert_eq!(e.heads(0, c0).iter().map(|h| (h.0, h.2)).collect::<Vec<_>>(), [(4, 0), (5, 0)]);
    assert!(e.rounds.is_empty());
}

#[test]
fn a_sync_of_a_link_that_is_gone_is_forgotten() {
    let mut l = Leader::new(&[1, 2, 3]);
    l.sync(LINK);
    l.sync(LinkId(8));
    assert_eq!(l.put(Input::LinkGone { link: LINK }), []);
    l.put(Input::BarrierPassed(1));
    assert_eq!(l.put(Input::BarrierPassed(2)), [ToLearner::Synced { link: LinkId(8) }]);
}

#[test]
fn whatever_a_learner_sends_becomes_a_txn_and_never_a_panic() {
    let mut l = Leader::new(&[1]);
    let session = SessionId(0x0200_0000_0000_0001);
    l.forward(session, 0, -10, 4000i32.to_be_bytes().into());
    let numbers = [-12, -11, -10, -1, 0, 3, 4, 8, 11, 12, 13, 20, 22, 100, 101, 107, 999, i32::MIN, i32::MAX];
    let bodies = [vec![], vec![0xff; 3], vec![0xff; 64], create("/a", 0), 5i32.to_be_bytes().to_vec()];
    let sessions = [SessionId::NONE, session, SessionId(-1), SessionId(i64::MIN)];
    let mut count = 1;
    for (op, body, session) in numbers
        .iter()
        .flat_map(|op| bodies.iter().map(move |body| (op, body)))
        .flat_map(|(op, body)| sessions.iter().map(move |session| (op, body, session)))
    {
        l.forward(*session, 3, *op, body.clone());
        count += 1;
        assert_eq!(l.last.counter(), count, "{op} is answered by one txn");
        l.put(Input::Durable(l.last));
        assert!(l.told().is_empty());
    }
    for op in [1, 2, 5, 7, 14, 15, 16, 19, 21] {
        l.forward(session, 3, op, vec![0xff; 9]);
        count += 1;
        assert_eq!(l.last.counter(), count, "{op} is answered by one txn");
    }
    l.put(Input::TouchedAt { link: LINK, sessions: vec![(SessionId(-1), i32::MIN), (session, i32::MAX)] });
    l.put(Input::Durable(l.last));
    let out = l.put(Input::Revalidate { link: LINK, session: SessionId(99), timeout_ms: i32::MIN });
    let answer = |valid| ToLearner::Revalidated { link: LINK, session: SessionId(99), valid };
    assert!(out.contains(&answer(false)) && !out.contains(&answer(true)), "{out:?}");
}

/// Found by simulation: a leader that was paused, and had been deposed meanwhile, told a client that its session was over.
/// The session was its successor's, and lived.
#[test]
fn a_session_is_called_over_only_by_who_is_still_the_leader() {
    let mut l = Leader::new(&[1, 2, 3]);
    let unknown = SessionId(99);
    let out = l.put(Input::Revalidate { link: LINK, session: unknown, timeout_ms: 4000 });
    assert_eq!(out, [ToLearner::Barrier(1)]);
    let answer = ToLearner::Revalidated { link: LINK, session: unknown, valid: false };
    assert_eq!(l.put(Input::BarrierPassed(1)), [answer]);
    let connect = Connect {
        conn: conn(0, 1),
        timeout_ms: 4000,
        session: unknown,
        password: Bytes::copy_from_slice(&crate::session::password(unknown)),
        last_zxid_seen: Zxid::ZERO,
        read_only: false,
        has_read_only_byte: true,
    };
    assert_eq!(l.put(Input::Connect(connect)), [ToLearner::Barrier(2)]);
    assert!(l.told().is_empty());
    l.put(Input::BarrierPassed(2));
    let told = l.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].then, Then::Close);
}

/// A leader whose last number is so many before the last one of its epoch, and a session of a client of its.
fn near_the_end(numbers_left: u32) -> (Ensemble, ConnId, SessionId) {
    let mut e = Ensemble::new();
    let c0 = conn(0, 1);
    let zero = e.open(0, c0);
    e.retire_all();
    e.begin(0);
    e.take_up(0, c0, zero);
    e.apply(0);
    e.told(0);
    let Role::Leading(leading) = &mut e.peers[0].pipeline.role else { panic!("it leads") };
    let last = Zxid::new(Epoch(2), u32::MAX - numbers_left);
    leading.broadcast = zab::Broadcast::new(Quorum::majority([1, 2, 3].map(ServerId)), last);
    (e, c0, zero)
}

#[test]
fn an_epoch_without_numbers_left_proposes_nothing_more() {
    let (mut e, c0, zero) = near_the_end(2);
    e.ask(0, c0, zero, 1, OpCode::Create, create("/a", 0));
    assert!(e.peers[0].pipeline.counter_exhausted());
    let last = Zxid::new(Epoch(2), u32::MAX - 1);
    assert_eq!(e.peers[0].last(), last);
    e.ask(0, c0, zero, 2, OpCode::Create, create("/b", 0));
    e.pass(100_000);
    assert_eq!((e.peers[0].last(), e.peers[0].pipeline.proposed()), (last, last));
}

/// A leader that proposes nothing more, at the end of an epoch or because it has handed over, dropped a write and answered
/// the read behind it: the client took that for the answer to the write.
#[test]
fn a_leader_that_proposes_nothing_more_answers_nothing_behind_a_write() {
    let (mut e, c0, zero) = near_the_end(1);
    e.ask(0, c0, zero, 1, OpCode::Create, create("/a", 0));
    let read = rec::ExistsRequest { path: Some("/".into()), watch: false };
    e.ask(0, c0, zero, 2, OpCode::Exists, to_vec(&read));
    e.apply(0);
    let told = e.told(0);
    assert_eq!(told[0].then, Then::Close, "{told:?}");
    assert_eq!(told[0].answered, 0, "{told:?}");
}

#[test]
fn only_a_leader_looks_after_containers() {
    let mut e = Ensemble::new();
    let c1 = conn(1, 1);
    let one = e.open(1, c1);
    e.ask(1, c1, one, 1, OpCode::CreateContainer, create("/c", 4));
    e.ask(1, c1, one, 2, OpCode::Create, create("/c/a", 0));
    let delete = rec::DeleteRequest { path: Some("/c/a".into()), version: -1 };
    e.ask(1, c1, one, 3, OpCode::Delete, to_vec(&delete));
    e.settle();
    for _ in 0..100 {
        e.put(1, Input::Touch(vec![(one, e.now.mono_ms)]));
        e.settle();
        e.pass(1000);
        e.settle();
    }
    assert!(e.peers[2].tree.lookup("/c").is_none());
    e.assert_equal();
}

/// Found by the simulator (seeds 15072451, 15305434): a request that came with the acknowledgement which committed a
/// reconfiguration became a proposal that reached the followers before that commit. They forgot the first
/// configuration, which counted by then, for the second one, and could elect a leader without a quorum of the first.
#[test]
fn a_reconfiguration_waits_until_learners_have_been_told_of_the_one_before() {
    let mut l = Leader::new(&[1, 2, 3]);
    l.pipeline.config.ops.reconfig_enabled = true;
    l.pipeline.config.ops.auth.skip_acl = true;
    let lines =
        "server.1=h1:1:2;5\nserver.2=h2:1:2;5\nserver.3=h3:1:2;5\nserver.4=h4:1:2;5\nversion=100000000";
    let members = crate::types::members::Members::read(lines, false).unwrap();
    l.tree.set_config(members.to_string().as_bytes(), 1 << 32, 0);
    l.pipeline.set_membership(crate::ops::Membership {
        active: members.clone(),
        last_seen: members,
        untold: false,
        in_step: [1, 2, 3, 4].map(ServerId).into(),
        standalone_enabled: true,
        multi_address: false,
    });
    l.forward(SessionId(5), 0, -10, 4000i32.to_be_bytes().into());
    l.ack(first());
    let leave = |id: &str| {
        to_vec(&rec::ReconfigRequest {
            joining_servers: None,
            leaving_servers: Some(id.to_owned().into()),
            new_members: None,
            cur_config_id: -1,
        })
    };
    let op = OpCode::Reconfig.code();
    let out = l.forward(SessionId(5), 1, op, leave("4"));
    assert!(matches!(out[..], [ToLearner::Reconfiguring(_)]), "{out:?}");
    // All of this before anybody is told.
    let (zxid, member) = (l.last, ServerId(2));
    l.pipeline.accept(l.now, &l.tree, Input::Durable(zxid));
    l.pipeline.accept(l.now, &l.tree, Input::Acked { member, zxid });
    l.pipeline.accept(l.now, &l.tree, Input::Acked { member: ServerId(3), zxid });
    assert_eq!(l.pipeline.committed(), zxid);
    let out = l.forward(SessionId(5), 2, op, leave("3"));
    assert!(matches!(out[..], [ToLearner::Activated { .. }, ToLearner::Committed(_)]), "{out:?}");
    // From now on there may be another one.
    while l.pipeline.has_ready() {
        l.told();
    }
    let out = l.forward(SessionId(5), 3, op, leave("3"));
    assert!(matches!(out[..], [ToLearner::Reconfiguring(_)]), "{out:?}");
}
