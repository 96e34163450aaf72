//! Proposals, commits, and what else learners and leader say to each other once they serve.

use super::*;

#[test]
fn an_ensemble_is_established_and_commits_what_a_quorum_has() {
    let (mut w, link) = established();
    assert_eq!((w.disk.accepted, w.disk.current), (Epoch(2), Epoch(2)));
    assert_eq!(w.peer(link).seen, ["LEADERINFO", "DIFF 1:5", "NEWLEADER 2:0", "UPTODATE"]);
    assert_eq!(w.peer(link).said[..], ["FOLLOWERINFO", "ACKEPOCH 1 1:5", "ACK 2:0", "ACK 2:0"]);
    w.peer(link).forces = false;
    assert_eq!(w.propose(), z(2, 1));
    w.run();
    assert_eq!(w.disk.tree.last(), Some(&z(1, 5)), "the follower has not forced it");
    w.learn(link, LearnerInput::Durable(z(2, 1)));
    w.run();
    assert_eq!(w.disk.tree.last(), Some(&z(2, 1)));
    let p = w.peer(link);
    assert_eq!((p.disk.tree.last(), p.disk.last()), (Some(&z(2, 1)), z(2, 1)));
    assert_eq!(p.seen[4..], ["PROPOSAL 2:1", "COMMIT 2:1"]);
}

#[test]
fn commits_need_a_quorum_and_go_to_everybody_in_order() {
    let mut w = World::new(5, &[1, 2, 3, 4, 5], Disk::with(1, &zs(1, 1..=2)));
    let links: Vec<_> = (1..=4).map(|id| w.join(id, false, Disk::with(1, &zs(1, 1..=2)))).collect();
    w.run();
    links.iter().for_each(|link| w.peer(*link).forces = false);
    (0..3).for_each(|_| assert!(w.propose() > z(2, 0)));
    w.run();
    w.learn(links[0], LearnerInput::Durable(z(2, 3)));
    w.run();
    assert_eq!(w.disk.history.last_committed(), z(1, 2), "two of five");
    w.learn(links[1], LearnerInput::Durable(z(2, 2)));
    w.run();
    assert_eq!(w.disk.history.last_committed(), z(2, 2));
    for link in links {
        let p = w.peer(link);
        assert_eq!(p.seen[p.seen.len() - 2..], ["COMMIT 2:1", "COMMIT 2:2"]);
        assert_eq!(p.disk.tree.last(), Some(&z(2, 2)));
    }
}

#[test]
fn followers_get_the_same_bytes_and_one_packet_for_many_proposals_is_answered_one_by_one() {
    let (mut w, link) = established();
    let other = w.join(1, false, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    let broadcast = w.broadcast.as_mut().unwrap();
    for _ in 0..3 {
        let zxid = broadcast.propose();
        w.disk.history.propose(txn(zxid));
    }
    let outputs = w.leader.step(0, &w.disk.history, LeaderInput::Proposed);
    let [LeaderOutput::Send { link: a, bytes: first }, LeaderOutput::Send { link: b, bytes: second }] =
        &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(([*a, *b], first.as_ptr()), ([link, other], second.as_ptr()));
    w.peer(link).forces = false;
    w.peer(link).to_learner.push_back(Item::Bytes(first.clone()));
    w.deliver_to_learner(link);
    w.learn(link, LearnerInput::Durable(z(2, 3)));
    let said = w.peer(link).to_leader.clone();
    let acks = |counter| Packet::Ack { zxid: z(2, counter) }.to_bytes();
    assert_eq!(said, [acks(1), acks(2), acks(3)].concat());
}

#[test]
fn an_observer_is_informed_and_neither_acknowledges_nor_counts() {
    let mut w = World::new(3, &[1, 2, 3], Disk::with(1, &zs(1, 1..=5)));
    let observer = w.join(9, true, Disk::with(1, &zs(1, 1..=3)));
    w.run();
    assert_eq!(w.leader.epoch(), None, "an observer is no quorum");
    let follower = w.join(2, false, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    assert_eq!(
        w.peer(observer).seen,
        [
            "LEADERINFO",
            "DIFF 1:5",
            "PROPOSAL 1:4",
            "COMMIT 1:4",
            "PROPOSAL 1:5",
            "COMMIT 1:5",
            "NEWLEADER 2:0",
            "UPTODATE"
        ]
    );
    w.propose();
    w.run();
    assert_eq!(w.peer(observer).seen[8..], ["INFORM 2:1"]);
    assert_eq!(w.peer(follower).seen[4..], ["PROPOSAL 2:1", "COMMIT 2:1"]);
    assert_eq!(w.peer(observer).said, ["OBSERVERINFO", "ACKEPOCH 1 1:3", "ACK 2:0", "ACK 2:0"]);
    assert_eq!(w.tree_of(observer), w.disk.tree);
    let views: Vec<_> = w.leader.learners().collect();
    assert_eq!(
        views.iter().map(|v| (v.server.0, v.observer, v.synced)).collect::<Vec<_>>(),
        [(9, true, true), (2, false, true)]
    );
    assert_eq!((views[0].acked, views[1].acked), (Zxid::ZERO, z(2, 1)));
}

#[test]
fn who_is_no_voter_gets_everything_and_decides_nothing() {
    let (mut w, voter) = established();
    let joining = w.join(7, false, Disk::with(1, &[]));
    w.run();
    w.peer(voter).forces = false;
    w.propose();
    w.run();
    assert_eq!(w.peer(joining).said.last().unwrap(), "ACK 2:1");
    assert_eq!(w.disk.history.last_committed(), z(1, 5));
    w.learn(voter, LearnerInput::Durable(z(2, 1)));
    w.run();
    assert_eq!(w.tree_of(joining), w.disk.tree);
}

#[test]
fn requests_sessions_and_touches_reach_the_leader_and_answers_the_learner() {
    let (mut w, link) = established();
    let request =
        Request { session: SessionId(5), cxid: 6, op: 1, body: Bytes::from_static(b"b"), ids: vec![] };
    w.learn(link, LearnerInput::Forward(request.clone()));
    w.learn(link, LearnerInput::Revalidate { session: SessionId(5), timeout_ms: 4000 });
    w.learn(link, LearnerInput::Touched(vec![(SessionId(5), 4000), (SessionId(6), 9000)]));
    w.learn(link, LearnerInput::Touched(vec![(SessionId(5), 4000)]));
    w.run();
    assert_eq!(
        std::mem::take(&mut w.others),
        [
            LeaderOutput::Request { link, request },
            LeaderOutput::Revalidate { link, session: SessionId(5), timeout_ms: 4000 }
        ]
    );
    w.pass(TICK_MS / 2);
    let sessions = vec![(SessionId(5), 4000), (SessionId(6), 9000)];
    assert_eq!(std::mem::take(&mut w.others), [LeaderOutput::Touched { link, sessions }]);
    w.pass(TICK_MS / 2);
    assert_eq!(w.others, [], "each is told once");
    let answer = Packet::Revalidated { session: SessionId(5), valid: true };
    w.peer(link).to_learner.extend([answer, Packet::Sync].map(|p| Item::Bytes(p.to_bytes())));
    w.run();
    assert_eq!((w.peer(link).synced, w.peer(link).revalidated.clone()), (1, vec![(SessionId(5), true)]));
}

#[test]
fn many_touched_sessions_do_not_make_a_packet_that_stock_leaders_refuse() {
    let (mut w, link) = established();
    w.learn(link, LearnerInput::Touched((0..120_000).map(|s| (SessionId(s), 4000)).collect()));
    w.pass(2 * TICK_MS);
    let counts: Vec<_> = w
        .others
        .iter()
        .map(|o| match o {
            LeaderOutput::Touched { sessions, .. } => sessions.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts, [50_000, 50_000, 20_000]);
}

#[test]
fn a_barrier_passes_when_a_quorum_has_answered_a_ping_that_was_sent_after_it() {
    let (mut w, link) = established();
    // A PING is on its way already: its answer proves nothing about the time after the barrier.
    let pings = |w: &mut World| {
        let outputs = w.leader.step(w.now_ms, &w.disk.history, LeaderInput::Tick);
        assert_eq!(outputs.len(), 1, "{outputs:?}");
    };
    w.now_ms = w.leader.next_deadline_ms().unwrap();
    pings(&mut w);
    w.lead(LeaderInput::Barrier(7));
    assert_eq!(w.others, []);
    let pong = Packet::Pong { zxid: z(2, 0), touched: vec![] };
    w.lead(LeaderInput::Packet { link, packet: pong.clone() });
    assert_eq!(w.others, [], "the answer to the first PING");
    w.lead(LeaderInput::Packet { link, packet: pong });
    assert_eq!(std::mem::take(&mut w.others), [LeaderOutput::BarrierPassed(7)]);
    // Several wait in order; a follower that comes later counts, too.
    w.peer(link).to_learner.clear();
    w.lead(LeaderInput::Barrier(8));
    w.lead(LeaderInput::Gone { link });
    w.lead(LeaderInput::Barrier(9));
    w.join(1, false, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    assert_eq!(w.others, []);
    w.pass(TICK_MS / 2);
    assert_eq!(w.others, [LeaderOutput::BarrierPassed(8), LeaderOutput::BarrierPassed(9)]);
}

#[test]
fn a_single_voter_is_established_at_once_and_needs_nobody() {
    let mut w = World::new(1, &[1], Disk::with(4, &zs(4, 1..=2)));
    assert!(w.leader.is_established());
    assert_eq!((w.disk.accepted, w.disk.current), (Epoch(5), Epoch(5)));
    assert_eq!(w.propose(), z(5, 1));
    assert_eq!(w.disk.tree.last(), Some(&z(5, 1)));
    w.lead(LeaderInput::Barrier(3));
    assert_eq!(w.others, [LeaderOutput::BarrierPassed(3)]);
    let link = w.join(2, false, Disk::with(0, &[]));
    w.run();
    assert_eq!(w.tree_of(link), w.disk.tree);
    w.pass(20 * TICK_MS);
    assert_eq!(w.resigned, None);
}
