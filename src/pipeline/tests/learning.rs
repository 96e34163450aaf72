//! A learner and its clients.

use super::{
    ensemble::{Ensemble, conn, sync},
    *,
};
use crate::types::{ErrorCode, SubTxn, TxnBody};

const CONN_LOST: ConnId = ConnId { worker: 0, serial: 9999 };

#[test]
fn sessions_of_all_servers_are_known_everywhere_and_begin_with_their_servers_number() {
    let mut e = Ensemble::new();
    let sessions: Vec<_> = (0..3).map(|i| e.open(i, conn(i, 1))).collect();
    assert_eq!(sessions.iter().map(|s| s.0 >> 56).collect::<Vec<_>>(), [1, 2, 3]);
    e.assert_equal();
    assert_eq!(e.peers[1].pipeline.global_sessions().len(), 3);
    let first = Zxid::new(crate::types::Epoch(1), 1);
    assert_eq!(e.peers[1].log[0].zxid, first, "an epoch begins with 1");
}

#[test]
fn a_learners_write_is_answered_where_it_was_asked_when_it_is_committed() {
    let mut e = Ensemble::new();
    let (c1, c2) = (conn(1, 1), conn(2, 1));
    let (one, two) = (e.open(1, c1), e.open(2, c2));
    e.ask(1, c1, one, 7, OpCode::Create, create("/a", 0));
    while e.carry_up(1) {}
    e.force(0);
    while e.carry_down(1) {}
    e.apply(1);
    assert!(e.told(1).is_empty(), "proposed, but not committed");
    e.settle();
    let zxid = Zxid::new(crate::types::Epoch(1), 3).0;
    assert_eq!(e.heads(1, c1), [(7, zxid, 0)]);
    assert!(e.told(0).is_empty() && e.told(2).is_empty());
    e.ask(2, c2, two, 7, OpCode::SetData, set("/a", b"new"));
    e.settle();
    assert_eq!(e.heads(2, c2), [(7, zxid + 1, 0)]);
    assert!(e.told(0).is_empty() && e.told(1).is_empty(), "the number is the same, the session is not");
    e.assert_equal();
}

#[test]
fn reads_behind_a_learners_writes_are_answered_in_order_and_see_the_right_state() {
    let mut e = Ensemble::new();
    let (c1, c2) = (conn(1, 1), conn(1, 2));
    let (one, two) = (e.open(1, c1), e.open(1, c2));
    e.ask(1, c1, one, 1, OpCode::Create, create("/a", 0));
    e.ask(1, c1, one, 2, OpCode::GetData, get("/a", false));
    e.ask(1, c1, one, 3, OpCode::SetData, set("/a", b"two"));
    e.ask(1, c1, one, 4, OpCode::Ping, vec![]);
    // It is not the writes of others that a read waits for.
    e.ask(1, c2, two, 1, OpCode::GetData, get("/a", false));
    e.apply(1);
    assert_eq!(e.heads(1, c2), [(1, e.peers[1].tree.last_zxid().0, ErrorCode::NoNode.code())]);
    // Some come when the proposals are there already, some when the first is applied.
    while e.carry_up(1) {}
    while e.carry_down(1) {}
    e.ask(1, c1, one, 5, OpCode::GetData, get("/a", false));
    e.settle();
    e.ask(1, c1, one, 6, OpCode::GetData, get("/a", false));
    e.apply(1);
    let told = e.told(1);
    assert_eq!(told.iter().map(|t| t.answered).sum::<u32>(), 6);
    let frames: Vec<_> = told.iter().flat_map(|t| &t.frames).collect();
    assert_eq!(frames.iter().map(|f| head(f).0).collect::<Vec<_>>(), [1, 2, 3, -2, 5, 6]);
    assert_eq!(&frames[1][16..21], b"\0\0\0\x01x");
    assert_eq!(&frames[4][16..23], b"\0\0\0\x03two");
    assert_eq!(&frames[5][16..23], b"\0\0\0\x03two");
}

#[test]
fn a_failure_is_a_txn_with_a_number_of_its_own_and_comes_back_as_the_failure() {
    let mut e = Ensemble::new();
    let (c0, c1) = (conn(0, 1), conn(1, 1));
    let (zero, one) = (e.open(0, c0), e.open(1, c1));
    e.ask(1, c1, one, 1, OpCode::SetData, set("/none", b""));
    e.ask(1, c1, one, 2, OpCode::Create, create("/a", 0));
    e.ask(0, c0, zero, 1, OpCode::Create, vec![0, 0]);
    e.ask(0, c0, zero, 2, OpCode::Create, create("/b", 0));
    e.settle();
    // The leader's own client was first: its requests were there at once.
    let at = Zxid::new(crate::types::Epoch(1), 2).0;
    let (bad, none) = (ErrorCode::MarshallingError.code(), ErrorCode::NoNode.code());
    assert_eq!(e.heads(0, c0), [(1, at + 1, bad), (2, at + 2, 0)]);
    assert_eq!(e.heads(1, c1), [(1, at + 3, none), (2, at + 4, 0)]);
    e.assert_equal();
}

#[test]
fn what_cannot_be_read_is_refused_by_the_learner_in_its_place() {
    let mut e = Ensemble::new();
    let c1 = conn(1, 1);
    let one = e.open(1, c1);
    let last = e.peers[0].last();
    e.ask(1, c1, one, 1, OpCode::Create, create("/a", 0));
    e.ask(1, c1, one, 2, OpCode::Create, vec![0, 0]);
    e.ask(1, c1, one, 3, OpCode::Multi, vec![1]);
    e.apply(1);
    assert!(e.told(1).is_empty(), "not before its turn");
    e.settle();
    let bad = ErrorCode::MarshallingError.code();
    let heads = e.heads(1, c1);
    assert_eq!(heads.iter().map(|h| (h.0, h.2)).collect::<Vec<_>>(), [(1, 0), (2, bad), (3, bad)]);
    assert_eq!(e.peers[0].last(), last.next(), "the leader did not hear of them");
}

#[test]
fn a_request_that_waited_too_long_is_refused_by_the_learner() {
    let mut e = Ensemble::new();
    let c1 = conn(1, 1);
    let one = e.open(1, c1);
    e.peers[1].pipeline.config.throttled_op_wait_ms = 100;
    e.ask(1, c1, one, 1, OpCode::Create, create("/a", 0));
    let received_ms = e.now.mono_ms - 101;
    let (op, body) = (OpCode::SetData, set("/a", b"y").into());
    let request = Request { conn: c1, session: one, xid: 2, op, body, ids: Arc::new([]), received_ms };
    e.put(1, Input::Request(request));
    e.settle();
    let heads: Vec<_> = e.heads(1, c1).iter().map(|h| (h.0, h.2)).collect();
    assert_eq!(heads, [(1, 0), (2, ErrorCode::ThrottledOp.code())]);
    assert_eq!(e.peers[1].pipeline.counts().throttled, 1);
}

#[test]
fn the_leader_checks_with_the_identities_that_the_learner_names() {
    let mut e = Ensemble::new();
    let c1 = conn(1, 1);
    let one = e.open(1, c1);
    let id = data::Id { scheme: Some("digest".into()), id: Some("me:hash".into()) };
    let acl = Some(vec![data::Acl { perms: 31, id }]);
    let body = to_vec(&rec::CreateRequest { path: Some("/mine".into()), data: None, acl, flags: 0 });
    let ask = |e: &mut Ensemble, xid, op, body: Vec<u8>, ids: &[Id]| {
        let (body, ids) = (body.into(), ids.into());
        let request = Request { conn: c1, session: one, xid, op, body, ids, received_ms: 0 };
        e.put(1, Input::Request(request));
    };
    let me = [Id::new("digest", "me:hash")];
    ask(&mut e, 1, OpCode::Create, body, &me);
    ask(&mut e, 2, OpCode::SetData, set("/mine", b"a"), &[]);
    ask(&mut e, 3, OpCode::SetData, set("/mine", b"a"), &me);
    e.settle();
    let heads: Vec<_> = e.heads(1, c1).iter().map(|h| (h.0, h.2)).collect();
    assert_eq!(heads, [(1, 0), (2, ErrorCode::NoAuth.code()), (3, 0)]);
}

#[test]
fn closing_at_a_learner_answers_first_refuses_what_came_after_and_then_closes() {
    let mut e = Ensemble::new();
    let (c1, c2) = (conn(1, 1), conn(2, 1));
    let (one, two) = (e.open(1, c1), e.open(2, c2));
    e.ask(1, c1, one, 1, OpCode::Create, create("/e", 1));
    e.ask(1, c1, one, 2, OpCode::CloseSession, vec![]);
    e.ask(1, c1, one, 3, OpCode::Create, create("/late", 0));
    e.settle();
    let told = e.told(1);
    assert_eq!((told.len(), told[0].conn, told[0].then), (1, c1, Then::Close));
    let heads: Vec<_> = told[0].frames.iter().map(|f| (head(f).0, head(f).2)).collect();
    assert_eq!(heads, [(1, 0), (2, 0), (3, ErrorCode::SessionExpired.code())]);
    for peer in &e.peers {
        assert!(peer.tree.lookup("/e").is_none() && peer.tree.lookup("/late").is_none());
        assert_eq!(peer.pipeline.global_sessions(), [(two, 5000)]);
    }
    e.take_up(1, conn(1, 2), one);
    e.settle();
    assert_eq!(e.told(1)[0].then, Then::Close);
}

#[test]
fn a_session_of_a_learner_expires_only_at_the_leader_and_only_in_silence() {
    let mut e = Ensemble::new();
    let (c1, c2) = (conn(1, 1), conn(2, 1));
    let (one, two) = (e.open(1, c1), e.open(2, c2));
    e.ask(1, c1, one, 1, OpCode::Create, create("/e", 1));
    e.settle();
    e.told(1);
    e.ask(2, c2, two, 1, OpCode::GetData, get("/e", true));
    e.apply(2);
    e.told(2);
    for _ in 0..5 {
        e.put(1, Input::Touch(vec![(one, e.now.mono_ms)]));
        e.put(2, Input::Touch(vec![(two, e.now.mono_ms)]));
        e.settle();
        e.pass(2000);
        e.settle();
    }
    assert!((0..3).all(|i| e.told(i).is_empty()), "both are heard from");
    for _ in 0..4 {
        e.put(2, Input::Touch(vec![(two, e.now.mono_ms)]));
        e.settle();
        e.pass(2000);
        e.settle();
    }
    let told = e.told(1);
    assert_eq!((told.len(), told[0].conn, told[0].then), (1, c1, Then::Close));
    assert!(told[0].frames.is_empty());
    assert_eq!(e.heads(2, c2)[0].0, -1, "the ephemeral is gone");
    assert_eq!(e.peers[0].pipeline.counts().sessions_expired, 1);
    assert_eq!(e.peers[1].pipeline.counts().sessions_expired, 0);
    e.ask(1, c1, one, 2, OpCode::Create, create("/late", 0));
    e.settle();
    assert_eq!(e.told(1)[0].then, Then::Close, "the session is not there any more");
    e.assert_equal();
}

#[test]
fn the_end_of_an_expired_session_is_not_taken_for_the_answer_to_a_request_with_its_number() {
    let mut e = Ensemble::new();
    let c1 = conn(1, 1);
    let one = e.open(1, c1);
    // The number of a closeSession by the server is 0, and nothing keeps a client from using it.
    e.ask(1, c1, one, 0, OpCode::Create, create("/a", 0));
    e.pass(10_000);
    e.settle();
    let told = e.told(1);
    assert_eq!((told[0].then, told[0].answered), (Then::Close, 0), "{told:?}");
    let expired = ErrorCode::SessionExpired.code();
    assert_eq!(told[1].frames.iter().map(|f| head(f).2).collect::<Vec<_>>(), [expired]);
    e.assert_equal();
}

#[test]
fn a_touch_is_handed_up_once_with_the_timeout_that_the_connection_got() {
    let mut e = Ensemble::new();
    let c1 = conn(1, 1);
    let one = e.open(1, c1);
    let mut touch = |sessions: &[SessionId]| {
        let heard = sessions.iter().map(|s| (*s, 5)).collect();
        let peer = &mut e.peers[1];
        peer.pipeline.accept(e.now, &peer.tree, Input::Touch(heard));
        peer.pipeline.take_to_leader()
    };
    assert_eq!(touch(&[one, SessionId(77), one]), [ToLeader::Touched(vec![(one, 5000)])]);
    assert_eq!(touch(&[SessionId(77)]), []);
}

#[test]
fn a_sync_is_answered_behind_what_was_committed_before_it_and_holds_only_its_session() {
    let mut e = Ensemble::new();
    let (c1, c2) = (conn(1, 1), conn(1, 2));
    let (one, two) = (e.open(1, c1), e.open(1, c2));
    // Something that the learner does not have yet.
    let c0 = conn(0, 1);
    let zero = e.open(0, c0);
    e.ask(0, c0, zero, 1, OpCode::Create, create("/a", 0));
    e.ask(1, c1, one, 1, OpCode::Sync, sync("/a"));
    e.ask(1, c1, one, 2, OpCode::GetData, get("/a", false));
    e.ask(1, c1, one, 3, OpCode::SetData, set("/a", b"new"));
    e.ask(1, c1, one, 4, OpCode::GetData, get("/a", false));
    e.ask(1, c2, two, 1, OpCode::GetData, get("/a", false));
    e.apply(1);
    assert_eq!(e.heads(1, c2)[0].2, ErrorCode::NoNode.code(), "another session is not held");
    e.carry();
    e.told(0);
    assert!(e.told(1).is_empty(), "the round has not passed");
    e.settle();
    let told = e.told(1);
    assert_eq!(told.iter().map(|t| t.answered).sum::<u32>(), 4);
    let frames: Vec<_> = told.iter().flat_map(|t| &t.frames).collect();
    assert_eq!(
        frames.iter().map(|f| (head(f).0, head(f).2)).collect::<Vec<_>>(),
        [(1, 0), (2, 0), (3, 0), (4, 0)]
    );
    assert_eq!(&frames[0][16..], b"\0\0\0\x02/a");
    assert_eq!(&frames[1][16..21], b"\0\0\0\x01x", "not the later write");
    assert_eq!(&frames[3][16..23], b"\0\0\0\x03new");
    e.assert_equal();
}

#[test]
fn what_follows_a_sync_waits_behind_its_place_also_when_that_is_not_applied_yet() {
    let mut e = Ensemble::new();
    let (c0, c1) = (conn(0, 1), conn(1, 1));
    let (zero, one) = (e.open(0, c0), e.open(1, c1));
    e.ask(1, c1, one, 1, OpCode::Sync, sync("/"));
    e.ask(0, c0, zero, 1, OpCode::Create, create("/a", 0));
    while e.carry_up(1) {}
    e.force(0);
    for i in 1..3 {
        while e.carry_down(i) {}
        e.force(i);
        while e.carry_up(i) {}
    }
    // Commit and SYNC are there, nothing is applied.
    while e.carry_down(1) {}
    e.ask(1, c1, one, 2, OpCode::GetData, get("/a", false));
    e.ask(1, c1, one, 3, OpCode::Sync, sync("/"));
    e.ask(1, c1, one, 4, OpCode::GetData, get("/a", false));
    e.settle();
    e.told(0);
    let heads = e.heads(1, c1);
    assert_eq!(heads.iter().map(|h| h.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(heads[3].2, 0);
    e.ask(1, c1, one, 5, OpCode::GetData, get("/a", false));
    e.apply(1);
    assert_eq!(e.heads(1, c1).len(), 1, "nothing of the sync is left behind");
}

#[test]
fn a_learner_that_is_not_in_step_sends_clients_away() {
    let mut e = Ensemble::new();
    let one = e.open(1, conn(1, 1));
    e.retire_all();
    e.take_up(1, conn(1, 2), one);
    e.apply(1);
    assert_eq!(e.told(1), [Told { conn: conn(1, 2), frames: vec![], then: Then::Close, answered: 0 }]);
    e.peers[1].pipeline.learn();
    e.connect(1, conn(1, 3), SessionId::NONE, &[]);
    e.ask(1, conn(1, 1), one, 1, OpCode::Create, create("/a", 0));
    e.apply(1);
    assert!(e.told(1).iter().all(|t| t.then == Then::Close && t.frames.is_empty()));
    assert_eq!(e.peers[1].pipeline.take_to_leader(), []);
}

#[test]
fn words_of_a_leader_that_make_no_sense_are_a_fault_and_nothing_more_is_taken_from_it() {
    let entry = |zxid| {
        let body = TxnBody::One(SubTxn::error(ErrorCode::NoNode));
        let txn = crate::types::Txn { session: SessionId(1), cxid: 1, zxid, time_ms: 0, body, digest: None };
        let mut bytes = Vec::new();
        txn.write(TxnFormat::default(), &mut bytes);
        Bytes::from(bytes)
    };
    let (one, two, nine) = (Zxid(1 << 32 | 1), Zxid(1 << 32 | 2), Zxid(1 << 32 | 9));
    // The number itself may come again, for the record of a failed request.
    let before = Zxid(1 << 32);
    let good = || Input::Proposed { zxid: one, entry: entry(one) };
    let cases = [
        (Input::Committed(two), PipelineFault::NotProposed { zxid: two, last: one }),
        (
            Input::Proposed { zxid: before, entry: entry(before) },
            PipelineFault::OutOfOrder { zxid: before, last: one },
        ),
        (
            Input::Proposed { zxid: two, entry: entry(nine) },
            PipelineFault::Misnumbered { zxid: two, inside: nine },
        ),
    ];
    let faulty = |input: Input| {
        let mut e = Ensemble::new();
        e.put(1, good());
        e.put(1, input);
        let fault = e.peers[1].pipeline.fault().cloned();
        e.put(1, Input::Proposed { zxid: two, entry: entry(two) });
        e.put(1, Input::Committed(one));
        assert_eq!(e.peers[1].pipeline.proposed(), one);
        assert!(!e.peers[1].pipeline.has_ready());
        // It is over with the role; what came before is kept.
        e.retire(1);
        assert_eq!(e.peers[1].pipeline.fault(), None);
        assert_eq!(e.peers[1].tree.last_zxid(), one);
        fault
    };
    for (input, fault) in cases {
        assert_eq!(faulty(input), Some(fault));
    }
    let fault = faulty(Input::Proposed { zxid: two, entry: Bytes::from_static(b"short") });
    assert!(matches!(fault, Some(PipelineFault::Unreadable { .. })), "{fault:?}");
}

#[test]
fn answers_that_nobody_waits_for_do_no_harm() {
    let mut e = Ensemble::new();
    let one = e.open(1, conn(1, 1));
    e.put(1, Input::Synced);
    e.put(1, Input::Revalidated { session: one, valid: false });
    e.put(1, Input::Gone { conn: CONN_LOST, session: one });
    e.settle();
    assert!(e.told(1).is_empty());
}
