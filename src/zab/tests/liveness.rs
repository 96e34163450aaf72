//! Who comes too late, falls silent, or does not belong here.

use super::*;

fn info(server: i64) -> Packet {
    let info = LearnerInfo { server: ServerId(server), protocol: PROTOCOL_VERSION, config_version: 0 };
    Packet::LearnerInfo { observer: false, zxid: z(1, 0), info: Some(info) }
}

/// A leader 3 of 1, 2, 3 without learners.
fn alone() -> World {
    World::new(3, &[1, 2, 3], Disk::with(1, &zs(1, 1..=5)))
}

/// Lets somebody connect and say this, and answers how it was closed.
fn closed(w: &mut World, words: &[Packet]) -> Option<String> {
    let link = w.join(99, true, Disk::with(0, &[]));
    w.peer(link).to_leader.clear();
    words.iter().for_each(|packet| w.lead(LeaderInput::Packet { link, packet: packet.clone() }));
    w.peer(link).closed.clone()
}

fn assert_closed(w: &mut World, words: &[Packet], expected: &str) {
    let why = closed(w, words).unwrap_or_else(|| panic!("not closed after {words:?}"));
    assert!(why.contains(expected), "{why}");
}

#[test]
fn strangers_and_words_out_of_order_are_refused_with_a_reason() {
    let mut w = World::new(3, &[1, 2, 3, 4, 5], Disk::with(1, &zs(1, 1..=5)));
    let ack = |zxid| Packet::Ack { zxid };
    assert_closed(&mut w, &[ack(z(1, 0))], "FOLLOWERINFO or OBSERVERINFO was expected, and ACK came");
    assert_closed(&mut w, &[Packet::Unknown { number: 77 }], "a packet of unknown type came");
    assert_closed(&mut w, &[info(3)], "two servers have the same myid");
    assert_closed(&mut w, &[info(1), info(1)], "nothing was expected, and FOLLOWERINFO came");
    let with = |protocol, config_version| {
        let info = Some(LearnerInfo { server: ServerId(1), protocol, config_version });
        Packet::LearnerInfo { observer: false, zxid: z(1, 0), info }
    };
    assert_closed(&mut w, &[with(0, 0)], "older than 0x10000: upgrade it to 3.4 or later first");
    assert_closed(&mut w, &[with(PROTOCOL_VERSION, 0x1f)], "has configuration 1f, and this leader only 0");
    let nobody = Packet::LearnerInfo { observer: false, zxid: z(1, 0), info: None };
    assert_closed(&mut w, &[nobody], "does not say which server it is");
    let Packet::LearnerInfo { observer, info: i, .. } = info(1) else { unreachable!() };
    let last = Packet::LearnerInfo { observer, zxid: Zxid::new(Epoch(i32::MAX as u32), 0), info: i };
    assert_closed(&mut w, &[last], "after which there is none");
    assert_eq!(w.leader.epoch(), None);

    let (mut w, _) = established();
    let epoch_ack = Packet::AckEpoch { zxid: z(1, 5), current_epoch: 1 };
    assert_closed(&mut w, &[info(1), ack(z(1, 5))], "ACKEPOCH was expected, and ACK came");
    let to_sync = [info(1), epoch_ack];
    let after_sync = |last: Packet| [&to_sync[..], &[last]].concat();
    assert_closed(&mut w, &after_sync(ack(z(1, 0))), "instead of NEWLEADER, which is 0x200000000");
    assert_closed(&mut w, &after_sync(ack(z(2, 1))), "instead of NEWLEADER, which is 0x200000000");
    let pong = Packet::Pong { zxid: z(2, 0), touched: vec![] };
    assert_closed(&mut w, &after_sync(pong.clone()), "an ACK of NEWLEADER was expected, and PING came");
    let serving = |last: Packet| [&to_sync[..], &[ack(z(2, 0)), ack(z(2, 0)), last]].concat();
    assert_closed(
        &mut w,
        &serving(ack(z(2, 1))),
        "acknowledges 0x200000001, and only 0x200000000 was proposed",
    );
    assert_closed(&mut w, &serving(pong), "it answers 1 PINGs, and was sent 0");
    assert_closed(&mut w, &serving(info(1)), "a learner that serves does not send FOLLOWERINFO");
    assert_closed(&mut w, &serving(Packet::Unknown { number: 21 }), "does not send a packet of unknown type");
    assert_eq!(closed(&mut w, &serving(ack(z(1, 5)))), None, "old news are no offence");
    assert_eq!(w.resigned, None);
}

#[test]
fn a_server_that_connects_anew_replaces_its_old_connection() {
    let (mut w, old) = established();
    let new = w.join(2, false, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    assert_eq!(w.peer(old).closed.as_deref(), Some("server 2 has connected anew"));
    assert!(w.peer(new).served);
    assert_eq!(w.leader.learners().count(), 1);
    w.propose();
    w.run();
    assert_eq!(w.disk.history.last_committed(), z(2, 1));
}

/// Found beside Java: a member without data that may not begin with none has promised to epoch −1, and was refused as one
/// that had promised to the last epoch there is.
#[test]
fn who_has_no_data_has_promised_nothing() {
    let mut w = alone();
    let link = w.join(1, false, Disk::with(0, &[]));
    w.peer(link).to_leader.clear();
    let Packet::LearnerInfo { observer, info: i, .. } = info(1) else { unreachable!() };
    let nothing = Packet::LearnerInfo { observer, zxid: Zxid(-1 << 32), info: i };
    w.lead(LeaderInput::Packet { link, packet: nothing });
    w.lead(LeaderInput::Packet { link, packet: Packet::AckEpoch { zxid: Zxid(-1), current_epoch: -1 } });
    assert_eq!(
        (w.peer(link).closed.clone(), w.resigned.clone(), w.leader.epoch()),
        (None, None, Some(Epoch(2)))
    );
}

#[test]
fn a_follower_that_is_ahead_ends_the_leadership() {
    for (epoch, last, ahead) in
        [(1, z(1, 6), true), (2, z(1, 1), true), (1, z(1, 5), false), (-1, z(9, 9), false)]
    {
        let mut w = alone();
        let link = w.join(2, false, Disk::with(1, &[]));
        w.deliver_to_leader(link);
        w.lead(LeaderInput::Packet { link, packet: Packet::AckEpoch { zxid: last, current_epoch: epoch } });
        assert_eq!(w.resigned.is_some(), ahead, "{epoch} {last}: {:?}", w.resigned);
        if ahead {
            assert!(w.resigned.unwrap().contains("server 2 is ahead"));
            assert_eq!(w.leader.step(0, &w.disk.history, LeaderInput::Tick), [], "it says nothing more");
            assert_eq!(w.leader.next_deadline_ms(), None);
            assert_eq!(w.leader.links().collect::<Vec<_>>(), [link], "whoever resigns has links to close");
        }
    }
}

/// Found by simulation: a server that had been removed, with a txn that nobody else had, ended each leader that it came to.
#[test]
fn who_has_no_vote_may_be_ahead() {
    for observer in [true, false] {
        let mut w = alone();
        let link = w.join(9, observer, Disk::with(1, &[]));
        w.deliver_to_leader(link);
        let packet = Packet::AckEpoch { zxid: z(1, 6), current_epoch: 1 };
        w.lead(LeaderInput::Packet { link, packet });
        assert_eq!(w.resigned, None);
    }
}

/// Found by simulation: whoever has a vote only in the configuration to come, or one that weighs nothing, ended each leader
/// that it came to, although nobody could elect it. Its promise does not count for a leader that lacks what it has.
#[test]
fn who_may_not_be_elected_may_be_ahead_and_does_not_count() {
    let majority = |ids: &[i64]| Quorum::majority(ids.iter().copied().map(ServerId));
    let places = [(1, 1, 1), (2, 1, 1), (3, 1, 1), (9, 1, 0)].map(|(id, g, w)| (ServerId(id), g, w));
    let weightless = Quorum::hierarchical([1, 2, 3, 9].map(ServerId), places);
    let cases = [
        (vec![weightless], true),
        (vec![majority(&[1, 2, 3]), majority(&[2, 3, 9])], true),
        (vec![majority(&[1, 2, 3]), majority(&[3, 9])], false),
    ];
    for (quorums, is_enough_without) in cases {
        let mut w = World::configured(3, quorums, Disk::with(1, &zs(1, 1..=5)), |_| {});
        let ahead = w.join(9, false, Disk::with(1, &zs(1, 1..=6)));
        w.join(2, false, Disk::with(1, &zs(1, 1..=5)));
        w.run();
        assert_eq!(w.resigned, None);
        let peer = w.peer(ahead);
        assert_eq!(peer.served, is_enough_without, "{:?}", peer.seen);
        assert_eq!(
            peer.seen.iter().any(|packet| packet.starts_with("TRUNC")),
            is_enough_without,
            "{:?}",
            peer.seen
        );
    }
}

/// Found by simulation: a candidate that came to nothing had got one promise, and whoever had given it could not follow
/// the leader of an older epoch that had a quorum without it, for as long as that led.
#[test]
fn a_voter_that_has_promised_to_a_newer_epoch_makes_a_leader_give_way_to_one() {
    let promised = || Disk { accepted: Epoch(4), ..Disk::with(1, &zs(1, 1..=5)) };
    let (mut w, _) = established();
    let link = w.join(1, false, promised());
    w.run();
    let (_, resigned) = w.ends(link);
    assert!(resigned.is_some_and(|why| why.contains("server 1 has promised to epoch 0x4")), "{resigned:?}");
    // Who has no vote cannot stop a leader. An observer's promise binds it to nothing, a follower's does.
    for (observer, served) in [(true, true), (false, false)] {
        let (mut w, _) = established();
        let link = w.join(8, observer, promised());
        w.run();
        assert_eq!(w.resigned, None);
        let lost = w.peer(link).lost.clone();
        assert_eq!(w.peer(link).served, served, "{lost:?}");
        assert_eq!(w.peer(link).disk.accepted, Epoch(4));
    }
}

#[test]
fn a_promise_made_before_is_not_counted_again_but_the_learner_is_brought_up_to_date() {
    let mut w = alone();
    let link = w.join(2, false, Disk::with(1, &zs(1, 1..=5)));
    w.deliver_to_leader(link);
    assert_eq!(w.leader.epoch(), Some(Epoch(2)));
    w.lead(LeaderInput::Packet { link, packet: Packet::AckEpoch { zxid: z(1, 5), current_epoch: -1 } });
    assert_eq!(w.disk.current, Epoch(1), "no quorum has promised");
    w.peer(link).to_learner.clear();
    let other = w.join(1, false, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    assert_eq!(w.disk.current, Epoch(2));
    assert!(w.peer(other).served);
    assert!(w.peer(link).seen.contains(&"NEWLEADER 2:0".to_string()));
}

#[test]
fn the_new_epoch_is_greater_than_every_promise_and_on_disk_before_anybody_hears_of_it() {
    let mut w = alone();
    w.join(8, true, Disk { accepted: Epoch(7), ..Disk::with(1, &[]) });
    let link = w.join(2, false, Disk { accepted: Epoch(4), ..Disk::with(1, &zs(1, 1..=5)) });
    w.peer(link).to_leader.clear();
    let Packet::LearnerInfo { observer, info, .. } = info(2) else { unreachable!() };
    let packet = Packet::LearnerInfo { observer, zxid: z(4, 0), info };
    w.deliver_to_leader(LinkId(1));
    let outputs = w.leader.step(0, &w.disk.history, LeaderInput::Packet { link, packet });
    assert_eq!(outputs[0], LeaderOutput::StoreEpoch { kind: EpochKind::Accepted, epoch: Epoch(8) });
    let bytes = Packet::LeaderInfo { zxid: z(8, 0), protocol: PROTOCOL_VERSION }.to_bytes();
    let to = |link| LeaderOutput::Send { link, bytes: bytes.clone() };
    assert_eq!(outputs[1..], [to(LinkId(1)), to(link)]);
}

#[test]
fn every_wait_for_a_quorum_ends() {
    let resigned = |w: &mut World, expected: &str| {
        w.pass(INIT_MS + 1);
        let why = w.resigned.clone().expect("resigned");
        assert!(why.contains(expected), "{why}");
    };
    resigned(&mut alone(), "only servers 3 have come");
    let mut w = alone();
    let link = w.join(2, false, Disk::with(1, &zs(1, 1..=5)));
    w.deliver_to_leader(link);
    w.peer(link).to_learner.clear();
    resigned(&mut w, "only servers 3 have promised");
    let mut w = alone();
    let link = w.join(2, false, Disk::with(1, &zs(1, 1..=5)));
    w.deliver_to_leader(link);
    w.deliver_to_learner(link);
    w.deliver_to_leader(link);
    w.peer(link).to_learner.clear();
    assert_eq!(w.disk.current, Epoch(2));
    resigned(&mut w, "only servers 3 have caught up");
}

#[test]
fn a_leader_that_waits_for_its_quorum_gives_up_when_a_voter_of_its_own_looks_again() {
    let looks = LeaderInput::Disloyal { member: ServerId(2) };
    for (max_ms, waits_ms, gives_up) in [(-1, INIT_MS - 1, false), (500, 500, false), (500, 501, true)] {
        let quorums = vec![Quorum::majority([1, 2, 3].map(ServerId))];
        let mut w =
            World::configured(3, quorums, Disk::with(1, &zs(1, 1..=5)), |c| c.epoch_wait_max_ms = max_ms);
        w.now_ms += waits_ms;
        w.lead(looks.clone());
        assert_eq!(w.resigned.is_some(), gives_up, "{max_ms} {waits_ms}: {:?}", w.resigned);
    }
    // Once there is a quorum, who looks may look.
    let quorums = vec![Quorum::majority([1, 2, 3].map(ServerId))];
    let mut w = World::configured(3, quorums, Disk::with(1, &zs(1, 1..=5)), |c| c.epoch_wait_max_ms = 0);
    let link = w.join(1, false, Disk::with(1, &zs(1, 1..=5)));
    w.deliver_to_leader(link);
    w.now_ms += 1;
    w.lead(looks);
    assert_eq!(w.resigned, None);
}

#[test]
fn a_leader_without_its_quorum_resigns_and_a_silent_learner_is_given_up() {
    let (mut w, link) = established();
    w.pass(30 * TICK_MS);
    assert_eq!(w.ends(link), (None, None), "everybody answers");
    assert!(w.peer(link).said.len() > 50, "a PING every half tick");
    let silent = w.peer(link).learner.clone();
    w.peer(link).learner = Learner::new(config_of(1), w.now_ms, Epoch(0), Epoch(0), Zxid::ZERO);
    w.pass(SYNC_MS + TICK_MS);
    assert_eq!(w.peer(link).closed.as_deref(), Some("it has been silent for too long"));
    assert!(w.resigned.clone().unwrap().contains("only servers 3 are in step"), "{:?}", w.resigned);
    // The learner, for its part, gives up a leader that says nothing.
    let mut learner = silent;
    let at = learner.next_deadline_ms().unwrap();
    assert_eq!(learner.step(at - 1, LearnerInput::Tick), []);
    let outputs = learner.step(at, LearnerInput::Tick);
    assert!(
        matches!(&outputs[..], [LearnerOutput::Lost { why }] if why.contains("silent for 5000 ms")),
        "{outputs:?}"
    );
}

pub(super) fn config_of(me: i64) -> LearnerConfig {
    LearnerConfig {
        me: ServerId(me),
        observer: false,
        logs: true,
        config_version: 0,
        init_limit_ms: INIT_MS,
        sync_limit_ms: SYNC_MS,
    }
}

#[test]
fn a_follower_that_answers_pings_and_logs_nothing_is_given_up() {
    let (mut w, good) = established();
    let stuck = w.join(1, false, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    w.peer(stuck).forces = false;
    w.pass(2 * SYNC_MS);
    assert_eq!(w.peer(stuck).closed, None, "it owes nothing");
    w.propose();
    w.run();
    w.pass(SYNC_MS - TICK_MS);
    assert_eq!(w.peer(stuck).closed, None);
    w.pass(2 * TICK_MS);
    let why = w.peer(stuck).closed.clone().expect("given up");
    assert!(why.contains("has not acknowledged a proposal for 5000 ms"), "{why}");
    assert_eq!(w.ends(good), (None, None));
}

#[test]
fn a_leader_that_was_stopped_for_a_while_does_not_take_its_learners_for_silent() {
    let (mut w, link) = established();
    w.pass(2 * TICK_MS);
    w.now_ms += 3 * SYNC_MS;
    w.lead(LeaderInput::Tick);
    assert_eq!(w.ends(link), (None, None));
    w.learn(link, LearnerInput::Packet(Packet::Sync));
    w.run();
    w.pass(2 * TICK_MS);
    assert_eq!(w.ends(link), (None, None));
}

#[test]
fn a_learner_that_takes_a_long_tree_is_not_silent_until_it_is_sent() {
    let (mut w, voter) = established();
    w.log_begins = z(9, 0);
    let link = w.join(8, true, Disk::with(1, &[]));
    w.deliver_to_leader(link);
    w.deliver_to_learner(link);
    w.deliver_to_leader(link);
    w.peer(link).to_learner.clear();
    let quiet = Learner::new(config_of(8), 0, Epoch(0), Epoch(0), Zxid::ZERO);
    w.peer(link).learner = quiet;
    w.pass(5 * INIT_MS);
    assert_eq!(w.peer(link).closed, None);
    w.lead(LeaderInput::SnapshotSent { link });
    w.pass(INIT_MS - 1);
    assert_eq!(w.peer(link).closed, None);
    w.pass(2);
    assert_eq!(w.peer(link).closed.as_deref(), Some("it has been silent for too long"));
    assert_eq!(w.ends(voter), (None, None));
}

/// A voter of the configuration to come may observe by the one that it knows of. When others of the new configuration were
/// lost meanwhile, no leader could be established without it: elected again and again, and never enough followers.
#[test]
fn an_observer_that_is_to_vote_counts_until_the_leader_is_established() {
    let quorums = || vec![Quorum::majority([1, 2, 3].map(ServerId)), Quorum::majority([3, 4].map(ServerId))];
    let mut w = World::configured(3, quorums(), Disk::with(1, &zs(1, 1..=5)), |_| {});
    w.join(2, false, Disk::with(1, &zs(1, 1..=5)));
    let observer = w.join(4, true, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    assert!(w.leader.is_established() && w.peer(observer).served);
    // From then on it is told what is committed, and has no say in it.
    w.propose();
    w.run();
    assert_eq!(w.disk.history.last_committed(), z(1, 5));

    // One that has promised to a newer epoch goes along as observers do, and is not counted.
    let mut w = World::configured(3, quorums(), Disk::with(1, &zs(1, 1..=5)), |_| {});
    w.join(2, false, Disk::with(1, &zs(1, 1..=5)));
    let link = w.join(4, true, Disk::with(1, &zs(1, 1..=5)));
    w.deliver_to_leader(link);
    w.lead(LeaderInput::Packet { link, packet: Packet::AckEpoch { zxid: z(1, 5), current_epoch: -1 } });
    w.peer(link).to_learner.clear();
    w.run();
    assert_eq!(w.disk.current, Epoch(1));
}

#[test]
fn during_a_reconfiguration_every_step_needs_both_configurations() {
    let quorums = vec![Quorum::majority([1, 2, 3].map(ServerId)), Quorum::majority([3, 4, 5].map(ServerId))];
    let mut w = World::configured(3, quorums, Disk::with(1, &zs(1, 1..=5)), |_| {});
    let old = w.join(2, false, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    assert_eq!(w.leader.epoch(), None);
    let new = w.join(4, false, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    assert!(w.leader.is_established());
    w.peer(new).forces = false;
    w.propose();
    w.run();
    assert_eq!(w.disk.history.last_committed(), z(1, 5));
    w.learn(new, LearnerInput::Durable(z(2, 1)));
    w.run();
    assert_eq!(w.disk.history.last_committed(), z(2, 1));
    w.peers.remove(&old);
    w.lead(LeaderInput::Gone { link: old });
    w.pass(2 * TICK_MS);
    assert!(w.resigned.is_some(), "the old configuration has no quorum any more");
}
