//! Sessions that go from server to server, and servers that go from role to role.

use super::{
    ensemble::{Ensemble, conn, sync},
    *,
};
use crate::types::{ErrorCode, LinkId, SubTxn, TxnBody};

fn established(session: SessionId) -> Then {
    Then::Established { session, timeout_ms: 5000 }
}

#[test]
fn a_session_moves_between_all_servers_and_only_the_last_holder_writes() {
    let mut e = Ensemble::new();
    let mut at = vec![(1, conn(1, 1))];
    let session = e.open(1, conn(1, 1));
    e.ask(1, conn(1, 1), session, 1, OpCode::Create, create("/a", 0));
    e.settle();
    e.told(1);
    let mut xid = 1;
    for (n, to) in [(2, 2), (3, 0), (4, 1), (5, 0), (6, 2)] {
        let new = conn(to, n);
        e.take_up(to, new, session);
        e.settle();
        let told = e.told(to);
        assert_eq!(told.last().map(|t| (t.conn, t.then)), Some((new, established(session))), "{to}");
        for i in 0..3 {
            e.told(i);
        }
        for (from, old) in at.drain(..) {
            for op in [OpCode::SetData, OpCode::Multi] {
                xid += 1;
                let body = if op == OpCode::Multi { multi_set("/a") } else { set("/a", b"late") };
                e.ask(from, old, session, xid, op, body);
                e.settle();
                let told = e.told(from);
                assert_eq!((told.len(), told[0].conn, told[0].then), (1, old, Then::Close), "{op:?}");
                assert!(told[0].frames.is_empty(), "no answer");
            }
        }
        assert_ne!(e.peers[0].tree.lookup("/a").unwrap().data(), Some(&b"late"[..]));
        xid += 1;
        e.ask(to, new, session, xid, OpCode::SetData, set("/a", b"new"));
        e.settle();
        assert_eq!(e.heads(to, new).iter().map(|h| (h.0, h.2)).collect::<Vec<_>>(), [(xid, 0)]);
        at.push((to, new));
    }
    e.assert_equal();
}

fn multi_set(path: &str) -> Vec<u8> {
    let header = |op: i32, done| to_vec(&rec::MultiHeader { type_: op, done, err: -1 });
    [header(5, false), set(path, b"late"), header(-1, true)].concat()
}

#[test]
fn a_write_that_was_under_way_when_the_session_moved_answers_nobody_at_the_new_server() {
    let mut e = Ensemble::new();
    let (c1, c2) = (conn(1, 1), conn(2, 1));
    let session = e.open(1, c1);
    e.ask(1, c1, session, 1, OpCode::Create, create("/a", 0));
    while e.carry_up(1) {}
    e.take_up(2, c2, session);
    e.settle();
    let told = e.told(2);
    assert_eq!(told.iter().map(|t| (t.conn, t.then)).collect::<Vec<_>>(), [(c2, established(session))]);
    assert_eq!(e.heads(1, c1).len(), 1);
    assert!(e.peers[2].tree.lookup("/a").is_some());
}

#[test]
fn a_learner_closes_the_connection_that_loses_the_session_to_another_of_its_own() {
    let mut e = Ensemble::new();
    let (c1, c2) = (conn(1, 1), conn(1, 2));
    let session = e.open(1, c1);
    e.ask(1, c1, session, 1, OpCode::Create, create("/a", 0));
    e.take_up(1, c2, session);
    e.settle();
    let told = e.told(1);
    // The write that was under way answers the old connection if it is still there; the new one begins behind it.
    let ends: Vec<_> = told.iter().map(|t| (t.conn, t.then)).collect();
    assert!(ends.contains(&(c1, Then::Close)), "{ends:?}");
    assert_eq!(ends.last(), Some(&(c2, established(session))));
    e.ask(1, c2, session, 1, OpCode::SetData, set("/a", b"new"));
    e.settle();
    assert_eq!(e.heads(1, c2).len(), 1);
}

#[test]
fn nothing_of_an_old_connection_is_handed_up_behind_the_question_of_a_new_one() {
    let mut e = Ensemble::new();
    let (c1, c2) = (conn(1, 1), conn(1, 2));
    let session = e.open(1, c1);
    e.ask(1, c1, session, 1, OpCode::Sync, sync("/"));
    e.ask(1, c1, session, 2, OpCode::Create, create("/held", 0));
    // The client goes elsewhere, and comes back before the sync is through.
    e.take_up(0, conn(0, 1), session);
    e.carry();
    e.told(0);
    e.take_up(1, c2, session);
    e.apply(1);
    let told = e.told(1);
    assert_eq!((told.len(), told[0].conn, told[0].then), (1, c1, Then::Close));
    e.ask(1, c1, session, 3, OpCode::Create, create("/late", 0));
    assert!(e.pass_round());
    while e.carry_down(1) {}
    e.settle();
    let last = e.told(1).pop().map(|t| (t.conn, t.then));
    assert_eq!(last, Some((c2, established(session))));
    assert!(e.peers[0].tree.lookup("/held").is_none() && e.peers[0].tree.lookup("/late").is_none());
}

#[test]
fn a_learner_compares_the_password_itself_and_asks_the_leader_for_the_rest() {
    let mut e = Ensemble::new();
    let c1 = conn(1, 1);
    let session = e.open(1, c1);
    e.connect(2, conn(2, 1), session, &[7; 16]);
    assert!(!e.carry_up(2), "a guess is nothing to ask the leader about");
    e.apply(2);
    let told = e.told(2);
    assert_eq!((told.len(), told[0].conn, told[0].then), (1, conn(2, 1), Then::Close));
    assert_eq!(&told[0].frames[0][..16], &[0; 16]);
    e.ask(1, c1, session, 1, OpCode::Create, create("/a", 0));
    e.settle();
    assert_eq!(e.heads(1, c1).len(), 1, "the guess did no harm");
    let unknown = SessionId(session.0 + 77);
    e.take_up(2, conn(2, 2), unknown);
    e.settle();
    let told = e.told(2);
    assert_eq!((told.len(), told[0].conn, told[0].then), (1, conn(2, 2), Then::Close));
    assert_eq!(&told[0].frames[0][..16], &[0; 16]);
    assert_eq!(e.peers[2].pipeline.counts().sessions_revalidated, 0);
}

#[test]
fn a_session_can_be_taken_up_where_its_beginning_has_not_been_applied_yet() {
    let mut e = Ensemble::new();
    e.connect(0, conn(0, 1), SessionId::NONE, &[]);
    e.force(0);
    while e.carry_down(1) {}
    e.force(1);
    while e.carry_up(1) {}
    e.apply(0);
    let Then::Established { session, .. } = e.told(0)[0].then else { panic!("no session") };
    assert!(e.peers[2].pipeline.global_sessions().is_empty());
    e.take_up(2, conn(2, 1), session);
    while e.carry_up(2) {}
    e.settle();
    let told = e.told(2);
    assert_eq!((told[0].conn, told[0].then), (conn(2, 1), established(session)));
    e.assert_equal();
    e.ask(2, conn(2, 1), session, 1, OpCode::Create, create("/a", 1));
    e.settle();
    assert_eq!(e.heads(2, conn(2, 1)).len(), 1);
}

#[test]
fn what_an_old_server_still_sends_does_not_count_when_the_new_one_is_gone() {
    for new in [0, 2] {
        let mut e = Ensemble::new();
        let session = e.open(1, conn(1, 1));
        e.take_up(new, conn(new, 2), session);
        e.settle();
        e.put(new, Input::Gone { conn: conn(new, 2), session });
        let link = e.link(2);
        e.put(0, Input::LinkGone { link });
        e.settle();
        e.told(1);
        e.ask(1, conn(1, 1), session, 5, OpCode::Create, create("/late", 0));
        e.settle();
        let told = e.told(1);
        assert_eq!((told.len(), told[0].then, told[0].answered), (1, Then::Close, 0));
        assert!(e.peers[0].tree.lookup("/late").is_none());
        e.take_up(1, conn(1, 3), session);
        e.settle();
        e.told(1);
        e.ask(1, conn(1, 3), session, 6, OpCode::Create, create("/now", 0));
        e.settle();
        assert_eq!(e.heads(1, conn(1, 3)).len(), 1);
    }
}

#[test]
fn a_session_closed_at_one_server_closes_the_connection_that_holds_it_at_another() {
    let mut e = Ensemble::new();
    let session = e.open(1, conn(1, 1));
    e.ask(1, conn(1, 1), session, 1, OpCode::CloseSession, vec![]);
    // It has moved when the request arrives; an end is an end.
    e.take_up(0, conn(0, 1), session);
    e.settle();
    assert_eq!(e.told(0).last().map(|t| (t.conn, t.then)), Some((conn(0, 1), Then::Close)));
    let told = e.told(1);
    assert_eq!((told[0].frames.len(), told[0].then), (1, Then::Close));
    assert!(e.peers[2].pipeline.global_sessions().is_empty());
}

#[test]
fn after_a_new_leader_sessions_live_on_and_have_their_time_anew() {
    let mut e = Ensemble::new();
    let session = e.open(1, conn(1, 1));
    e.ask(1, conn(1, 1), session, 1, OpCode::Create, create("/e", 1));
    e.settle();
    e.pass(4000);
    e.retire_all();
    e.begin(2);
    e.told(1);
    e.pass(4000);
    e.settle();
    assert_eq!(e.peers[2].pipeline.counts().sessions_expired, 0);
    e.take_up(0, conn(0, 1), session);
    e.settle();
    assert_eq!(e.told(0)[0].then, established(session));
    e.ask(0, conn(0, 1), session, 2, OpCode::SetData, set("/e", b"new"));
    e.settle();
    assert_eq!(e.heads(0, conn(0, 1)).len(), 1);
    assert_eq!(e.peers[0].last().epoch(), crate::types::Epoch(2));
    e.assert_equal();
    e.pass(9000);
    e.settle();
    assert!(e.peers[1].tree.lookup("/e").is_none());
    e.assert_equal();
}

#[test]
fn what_is_in_flight_when_a_role_ends_is_applied_once_forced_and_nobody_is_told() {
    for i in 0..3 {
        let mut e = Ensemble::new();
        let (c, watcher) = (conn(i, 1), conn(i, 2));
        let (session, other) = (e.open(i, c), e.open(i, watcher));
        e.ask(i, watcher, other, 1, OpCode::Exists, get("/a", true));
        e.apply(i);
        e.told(i);
        e.ask(i, c, session, 1, OpCode::Create, create("/a", 0));
        e.ask(i, c, session, 2, OpCode::GetData, get("/a", false));
        e.ask(i, watcher, other, 2, OpCode::Sync, sync("/"));
        e.ask(i, watcher, other, 3, OpCode::GetData, get("/a", false));
        e.connect(i, conn(i, 3), SessionId::NONE, &[]);
        e.take_up(i, conn(i, 4), session);
        while e.carry_up(i) {}
        while e.carry_down(i) {}
        let peer = &mut e.peers[i];
        peer.pipeline.retire();
        assert!(!peer.pipeline.has_ready(), "not forced yet");
        assert_eq!(peer.pipeline.in_flight(), 2);
        assert_eq!((peer.pipeline.take_to_leader(), peer.pipeline.take_to_learners()), (vec![], vec![]));
        e.ask(i, c, session, 3, OpCode::SetData, set("/a", b"late"));
        e.put(i, Input::Committed(e.peers[i].last()));
        e.force(i);
        let peer = &mut e.peers[i];
        let mut out = Deliveries::new(1);
        while peer.pipeline.apply(&mut peer.tree, &mut peer.watches, &mut out, 1) {}
        let told = told_by(out);
        assert!(told.iter().all(|t| t.frames.is_empty() && t.then == Then::Close), "{told:?}");
        assert_eq!(peer.tree.lookup("/a").unwrap().data(), Some(&b"x"[..]));
        assert_eq!(peer.tree.last_zxid(), peer.last());
        assert_eq!(peer.pipeline.global_sessions().len(), 3);
        // And a new role begins with a clean slate.
        e.retire_all();
        e.begin(i);
        e.settle();
        e.assert_equal();
        for j in 0..3 {
            e.told(j);
        }
        e.take_up(i, conn(i, 5), session);
        e.settle();
        assert_eq!(e.told(i).last().map(|t| t.then), Some(established(session)));
    }
}

#[test]
fn a_tail_that_was_never_committed_goes_with_the_tree_that_has_it() {
    let mut e = Ensemble::new();
    let (c0, c1) = (conn(0, 1), conn(1, 1));
    let (zero, one) = (e.open(0, c0), e.open(1, c1));
    e.ask(0, c0, zero, 1, OpCode::Create, create("/lost", 0));
    e.connect(0, conn(0, 2), SessionId::NONE, &[]);
    e.ask(0, c0, zero, 2, OpCode::CloseSession, vec![]);
    e.retire_all();
    assert!(e.peers[0].tree.lookup("/lost").is_some(), "the log has it");
    e.begin(1);
    assert!(e.peers[0].tree.lookup("/lost").is_none());
    e.assert_equal();
    e.take_up(1, conn(1, 2), one);
    e.take_up(0, conn(0, 3), zero);
    e.settle();
    assert_eq!(e.told(0).last().map(|t| t.then), Some(established(zero)), "its end was not committed");
    e.ask(0, conn(0, 3), zero, 5, OpCode::Create, create("/kept", 0));
    e.settle();
    assert_eq!(e.heads(0, conn(0, 3)).iter().map(|h| h.2).collect::<Vec<_>>(), [0]);
    let answers: Vec<_> = e.told(1).iter().map(|t| t.then).collect();
    assert_eq!(answers, [established(one)]);
    e.assert_equal();
}

#[test]
fn a_request_of_a_session_that_nobody_holds_makes_its_server_the_holder() {
    let mut e = Ensemble::new();
    let session = e.open(1, conn(1, 1));
    e.retire_all();
    e.begin(0);
    let forward = |e: &mut Ensemble, i: usize, path: &str| {
        let (op, body) = (OpCode::Create.code(), create(path, 0).into());
        let request = crate::zab::Request { session, cxid: 9, op, body, ids: vec![] };
        let link = e.link(i);
        e.put(0, Input::Forwarded { link, request });
        e.settle();
        let txn = crate::types::Txn::read(&e.peers[0].log.last().unwrap().entry, TxnFormat::default());
        txn.unwrap().body
    };
    assert!(!matches!(forward(&mut e, 2, "/a"), TxnBody::One(SubTxn::Error { .. })));
    let moved = TxnBody::One(SubTxn::error(ErrorCode::SessionMoved));
    assert_eq!(forward(&mut e, 1, "/b"), moved);
}

/// Found by the simulator (seed 14092998): to its leader a follower and the observers behind it are one server, so a
/// write that an observer had handed on late was executed after those of the session's new connection.
#[test]
fn an_observer_that_hands_on_a_request_of_a_session_that_has_moved_behind_its_follower_is_cut_off() {
    let (there, elsewhere) = (LinkId(70), LinkId(71));
    for to_follower in [true, false] {
        let mut e = Ensemble::new();
        let session = e.open(2, conn(2, 1));
        let say = |e: &mut Ensemble, input| {
            let peer = &mut e.peers[1];
            peer.pipeline.accept(e.now, &peer.tree, input);
            (peer.pipeline.take_to_leader().len(), peer.pipeline.take_to_learners())
        };
        let forward = |link, op: OpCode| {
            let body = set("/zookeeper", b"x").into();
            let request = crate::zab::Request { session, cxid: 9, op: op.code(), body, ids: vec![] };
            Input::Forwarded { link, request }
        };
        let timeout_ms = 5000;
        say(&mut e, Input::Revalidate { link: there, session, timeout_ms });
        assert_eq!(say(&mut e, forward(there, OpCode::SetData)), (1, vec![]));
        if to_follower {
            e.take_up(1, conn(1, 1), session);
            e.settle();
            // Also when the new connection has ended since.
            e.put(1, Input::Gone { conn: conn(1, 1), session });
        } else {
            say(&mut e, Input::Revalidate { link: elsewhere, session, timeout_ms });
        }
        let (up, down) = say(&mut e, forward(there, OpCode::SetData));
        assert_eq!(up, 0);
        assert!(matches!(&down[..], [ToLearner::Close { link, .. }] if *link == there), "{down:?}");
        // As at the leader, nobody asks who ends a session, or wants to be in step.
        for op in [OpCode::CloseSession, OpCode::Sync] {
            assert_eq!(say(&mut e, forward(there, op)), (1, vec![]), "{op:?}");
        }
        // Its client comes back.
        say(&mut e, Input::Revalidate { link: there, session, timeout_ms });
        assert_eq!(say(&mut e, forward(there, OpCode::SetData)), (1, vec![]));
    }
}
