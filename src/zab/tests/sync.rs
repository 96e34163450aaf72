//! How learners get the leader's history.

use super::*;

/// A leader with 1:1 to 1:5 and then 2:1 to 2:10, of which its ring holds the last 8, and a follower.
fn with_history() -> (World, LinkId) {
    let (mut w, link) = established();
    (0..10).for_each(|_| assert!(w.propose() > z(2, 0)));
    w.run();
    assert_eq!((w.disk.history.min(), w.disk.history.last_committed()), (z(2, 3), z(2, 10)));
    (w, link)
}

/// Lets a learner with this come, and answers how it was brought up to date: the first packet, and how many txns.
fn synced(w: &mut World, observer: bool, disk: Disk) -> (String, usize) {
    let link = w.join(1, observer, disk);
    w.run();
    let tree = w.disk.tree.clone();
    let p = w.peer(link);
    assert_eq!((&p.lost, &p.closed, p.served), (&None, &None, true), "{:?}", p.seen);
    assert_eq!(p.disk.tree, tree);
    assert_eq!(p.disk.zxids(), tree);
    assert_eq!((p.disk.accepted, p.disk.current), (Epoch(2), Epoch(2)));
    let txns = p.seen.iter().filter(|s| s.starts_with("PROPOSAL")).count();
    let first = p.seen[1].clone();
    w.propose();
    w.run();
    let tree = w.disk.tree.clone();
    assert_eq!(w.peer(link).disk.tree, tree, "the broadcast goes on where the sync ended");
    (first, txns)
}

fn both(counter: u32) -> Vec<Zxid> {
    [zs(1, 1..=5), zs(2, 1..=counter)].concat()
}

#[test]
fn learners_in_every_state_get_the_leaders_and_stay_in_step() {
    let snap = ("SNAP 2:10".to_string(), 0);
    let table = [
        ("up to date", both(10), 2, ("DIFF 2:10".to_string(), 0)),
        ("a little behind", both(7), 2, ("DIFF 2:10".to_string(), 3)),
        ("the oldest of the ring", both(3), 2, ("DIFF 2:10".to_string(), 7)),
        ("further behind", both(1), 2, ("DIFF 2:10".to_string(), 9)),
        ("at the end of the epoch before", zs(1, 1..=5), 1, ("DIFF 2:10".to_string(), 10)),
        ("long ago", zs(1, 1..=2), 1, ("DIFF 2:10".to_string(), 13)),
        ("with txns of the epoch before that nobody has", zs(1, 1..=9), 1, ("TRUNC 1:5".to_string(), 10)),
        ("ahead in the same epoch", both(13), 2, ("TRUNC 2:10".to_string(), 0)),
        ("empty", vec![], 0, snap),
    ];
    for (what, has, epoch, expected) in table {
        for observer in [false, true] {
            let (mut w, _) = with_history();
            assert_eq!(synced(&mut w, observer, Disk::with(epoch, &has)), expected, "{what}");
        }
    }
}

#[test]
fn a_tree_is_sent_when_files_do_not_reach_back_or_must_not_be_used_or_one_is_asked_for() {
    let snap = ("SNAP 2:10".to_string(), 0);
    let (mut w, _) = with_history();
    w.log_begins = z(2, 3);
    assert_eq!(synced(&mut w, false, Disk::with(2, &both(1))), snap);
    let forced = |c: &mut LeaderConfig| c.force_snapshot = true;
    let no_files = |c: &mut LeaderConfig| c.sync_from_log = false;
    let with: [&dyn Fn(&mut LeaderConfig); 2] = [&forced, &no_files];
    for with in with {
        let quorums = vec![Quorum::majority([1, 2, 3].map(ServerId))];
        let mut w = World::configured(3, quorums, Disk::with(1, &zs(1, 1..=5)), with);
        w.join(2, false, Disk::with(1, &zs(1, 1..=5)));
        w.run();
        (0..10).for_each(|_| assert!(w.propose() > z(2, 0)));
        w.run();
        assert_eq!(synced(&mut w, false, Disk::with(2, &both(1))), snap);
    }
}

#[test]
fn what_a_learner_had_beyond_a_tree_is_gone_when_it_has_taken_it() {
    let (mut w, _) = with_history();
    // Epoch 1 went on for it, and epoch 2 began without it: no cut would do.
    w.log_begins = z(2, 1);
    assert_eq!(synced(&mut w, false, Disk::with(1, &zs(1, 1..=9))).0, "SNAP 2:10");
}

#[test]
fn a_follower_that_comes_amid_proposals_acknowledges_them_once_it_serves() {
    let mut w = World::new(5, &[1, 2, 3, 4, 5], Disk::with(1, &zs(1, 1..=5)));
    let links: Vec<_> = [1, 2].map(|id| w.join(id, false, Disk::with(1, &zs(1, 1..=5)))).into();
    w.run();
    links.iter().for_each(|link| w.peer(*link).forces = false);
    w.propose();
    w.propose();
    w.run();
    w.learn(links[0], LearnerInput::Durable(z(2, 1)));
    w.run();
    assert_eq!(w.disk.history.last_committed(), z(1, 5), "two of five");
    let late = w.join(3, false, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    let p = w.peer(late);
    assert_eq!(p.seen[1..=4], ["DIFF 1:5", "PROPOSAL 2:1", "PROPOSAL 2:2", "NEWLEADER 2:0"]);
    assert_eq!(p.said[2..], ["ACK 2:0", "ACK 2:0", "ACK 2:1", "ACK 2:2"]);
    assert_eq!(w.disk.history.last_committed(), z(2, 1));
    // An observer gets none of what is not committed yet.
    let observer = w.join(8, true, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    assert_eq!(w.peer(observer).seen[1..=4], ["DIFF 2:1", "PROPOSAL 2:1", "COMMIT 2:1", "NEWLEADER 2:0"]);
    w.learn(links[1], LearnerInput::Durable(z(2, 2)));
    w.run();
    assert_eq!(w.peer(observer).seen[6..], ["INFORM 2:2"]);
    assert_eq!(w.tree_of(observer), w.disk.tree);
}

#[test]
fn what_is_committed_while_a_tree_is_seized_follows_behind_it() {
    let (mut w, link) = with_history();
    w.log_begins = z(2, 9);
    // By hand, because in this world a tree is seized at once.
    let learner = LinkId(77);
    let step = |w: &mut World, input| w.leader.step(w.now_ms, &w.disk.history, input);
    let info = LearnerInfo { server: ServerId(1), protocol: PROTOCOL_VERSION, config_version: 0 };
    let packet = Packet::LearnerInfo { observer: false, zxid: z(1, 0), info: Some(info) };
    step(&mut w, LeaderInput::Connected { link: learner });
    step(&mut w, LeaderInput::Packet { link: learner, packet });
    let packet = Packet::AckEpoch { zxid: z(1, 2), current_epoch: 1 };
    let outputs = step(&mut w, LeaderInput::Packet { link: learner, packet });
    assert_eq!(outputs, [LeaderOutput::ProbeLog { link: learner, peer: z(1, 2) }]);
    let outputs = step(&mut w, LeaderInput::LogProbed { link: learner, at: None });
    assert_eq!(outputs, [LeaderOutput::BeginSnapshot { link: learner }]);
    w.propose();
    w.run();
    // This one is neither committed nor told to anybody when the answer comes.
    let outstanding = w.broadcast.as_mut().unwrap().propose();
    w.disk.history.propose(txn(outstanding));
    let outputs = step(&mut w, LeaderInput::SnapshotBegun { link: learner, zxid: z(2, 10) });
    let packets = |bytes: &Bytes| {
        let mut rest = &bytes[..];
        std::iter::from_fn(|| {
            let (packet, len) = Packet::read(rest, Sender::Leader, Limits::DEFAULT).unwrap()?;
            rest = &rest[len..];
            Some(describe(&packet))
        })
        .collect::<Vec<_>>()
    };
    let sent: Vec<_> = outputs
        .iter()
        .filter_map(|o| match o {
            LeaderOutput::Send { link, bytes } => Some((*link, packets(bytes))),
            LeaderOutput::Joins { .. } => None,
            other => panic!("{other:?}"),
        })
        .collect();
    let words = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
    assert_eq!(
        sent,
        [
            (learner, words(&["SNAP 2:10"])),
            (link, words(&["PROPOSAL 2:12"])),
            (learner, words(&["PROPOSAL 2:11", "COMMIT 2:11", "PROPOSAL 2:12", "NEWLEADER 2:0"])),
        ]
    );
}

#[test]
fn a_tree_older_than_what_is_kept_is_not_sent() {
    let (mut w, _) = with_history();
    let info = LearnerInfo { server: ServerId(1), protocol: PROTOCOL_VERSION, config_version: 0 };
    let packet = Packet::LearnerInfo { observer: true, zxid: z(1, 0), info: Some(info) };
    let link = LinkId(77);
    let step = |w: &mut World, input| w.leader.step(w.now_ms, &w.disk.history, input);
    step(&mut w, LeaderInput::Connected { link });
    step(&mut w, LeaderInput::Packet { link, packet });
    step(&mut w, LeaderInput::Packet { link, packet: Packet::AckEpoch { zxid: z(0, 0), current_epoch: 0 } });
    step(&mut w, LeaderInput::LogProbed { link, at: None });
    let outputs = step(&mut w, LeaderInput::SnapshotBegun { link, zxid: z(2, 1) });
    let [LeaderOutput::Close { why, .. }] = &outputs[..] else { panic!("{outputs:?}") };
    assert!(why.contains("between the snapshot at 0x200000001 and 0x20000000a"), "{why}");
}

#[test]
fn observers_wait_for_their_turn_to_take_a_tree_and_voters_do_not() {
    let quorums = vec![Quorum::majority([1, 2, 3].map(ServerId))];
    let mut w = World::configured(3, quorums, Disk::with(1, &zs(1, 1..=5)), |c| {
        (c.snapshot_syncs_max, c.force_snapshot) = (1, true);
    });
    w.join(2, false, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    let first = w.join(8, true, Disk::with(1, &zs(1, 1..=2)));
    w.deliver_to_leader(first);
    w.deliver_to_learner(first);
    w.deliver_to_leader(first);
    let second = w.join(9, true, Disk::with(1, &zs(1, 1..=2)));
    let voter = w.join(1, false, Disk::with(1, &zs(1, 1..=2)));
    for link in [second, voter] {
        w.deliver_to_leader(link);
        w.deliver_to_learner(link);
        w.deliver_to_leader(link);
    }
    let why = w.peer(second).closed.clone().expect("sent away");
    assert!(why.contains("1 learners take a snapshot already, and at most 1 may"), "{why}");
    w.run();
    assert!(w.peer(voter).served && w.peer(first).served);
    let again = w.join(9, true, Disk::with(1, &zs(1, 1..=2)));
    w.run();
    assert!(w.peer(again).served, "the turn is free again");
}

#[test]
fn observers_wait_for_their_turn_to_get_txns_and_voters_do_not() {
    let quorums = vec![Quorum::majority([1, 2, 3].map(ServerId))];
    let mut w = World::configured(3, quorums, Disk::with(1, &zs(1, 1..=5)), |c| c.diff_syncs_max = 1);
    w.join(2, false, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    let [first, second, voter] = [(8, true), (9, true), (1, false)].map(|(id, observer)| {
        let link = w.join(id, observer, Disk::with(1, &zs(1, 1..=5)));
        w.deliver_to_leader(link);
        w.deliver_to_learner(link);
        w.deliver_to_leader(link);
        link
    });
    let why = w.peer(second).closed.clone().expect("sent away");
    assert!(why.contains("1 learners are being brought up to date already"), "{why}");
    w.run();
    assert!(w.peer(voter).served && w.peer(first).served);
    let again = w.join(9, true, Disk::with(1, &zs(1, 1..=5)));
    w.run();
    assert!(w.peer(again).served, "the turn is free again");
}

#[test]
fn a_new_ensemble_begins_with_epoch_one() {
    let mut w = World::new(3, &[1, 2, 3], Disk::with(0, &[]));
    let links = [1, 2].map(|id| w.join(id, false, Disk::with(0, &[])));
    w.run();
    for link in links {
        assert_eq!(w.peer(link).seen, ["LEADERINFO", "DIFF 0:0", "NEWLEADER 1:0", "UPTODATE"]);
    }
    assert_eq!(w.propose(), z(1, 1));
}

#[test]
fn a_learner_that_comes_back_in_the_same_epoch_is_not_counted_twice() {
    let (mut w, link) = with_history();
    let disk = w.peers.remove(&link).unwrap().disk.restarted();
    w.lead(LeaderInput::Gone { link });
    let again = w.join(2, false, disk);
    w.run();
    assert_eq!(w.peer(again).said[..2], ["FOLLOWERINFO", "ACKEPOCH -1 2:10"]);
    assert!(w.peer(again).served);
}

/// Found by simulation: a follower had taken the tree of a leader that was never established. The next leader did not have
/// the end of it, told the follower to cut its log there, and there was no log to cut.
#[test]
fn who_cannot_cut_its_log_asks_the_same_leader_for_its_tree() {
    let mut learner = Learner::new(super::liveness::config_of(2), 0, Epoch(2), Epoch(1), z(1, 9));
    learner.step(0, LearnerInput::Connected);
    let info = || Packet::LeaderInfo { zxid: z(3, 0), protocol: PROTOCOL_VERSION };
    let said = |outputs: Vec<LearnerOutput>| {
        outputs.into_iter().find_map(|o| match o {
            LearnerOutput::Send { bytes } => Packet::read(&bytes, Sender::Learner, Limits::DEFAULT).ok()?,
            _ => None,
        })
    };
    let ack = said(learner.step(0, LearnerInput::Packet(info())));
    assert_eq!(ack.map(|a| a.0), Some(Packet::AckEpoch { zxid: z(1, 9), current_epoch: 1 }));
    learner.step(0, LearnerInput::Packet(Packet::Trunc { zxid: z(1, 5) }));
    let outputs = learner.step(0, LearnerInput::NotTruncated { why: "there is no log".into() });
    assert!(matches!(&outputs[..], [LearnerOutput::Lost { .. }]), "{outputs:?}");
    assert_eq!(learner.tree_wanted_in(), Some(Epoch(3)));
    for (wanted, accepted, expected) in [
        // The promise is given already, so the zxid decides about nothing but what is sent.
        (Some(Epoch(3)), Epoch(3), Packet::AckEpoch { zxid: Zxid(-1), current_epoch: -1 }),
        // Another leader has to know what this member has.
        (Some(Epoch(3)), Epoch(2), Packet::AckEpoch { zxid: z(1, 9), current_epoch: 1 }),
        (None, Epoch(3), Packet::AckEpoch { zxid: z(1, 9), current_epoch: -1 }),
    ] {
        let mut learner = Learner::new(super::liveness::config_of(2), 0, accepted, Epoch(1), z(1, 9));
        learner.want_tree_in(wanted);
        learner.step(0, LearnerInput::Connected);
        let ack = said(learner.step(0, LearnerInput::Packet(info())));
        assert_eq!(ack.map(|a| a.0), Some(expected));
    }
    // And the leader sends it.
    let (mut w, _) = with_history();
    let link = w.join(1, false, Disk { accepted: Epoch(2), ..Disk::with(1, &zs(1, 1..=1)) });
    w.peer(link).to_leader.clear();
    w.lead(LeaderInput::Packet {
        link,
        packet: Packet::LearnerInfo {
            observer: false,
            zxid: z(2, 0),
            info: Some(LearnerInfo { server: ServerId(1), protocol: PROTOCOL_VERSION, config_version: 0 }),
        },
    });
    w.lead(LeaderInput::Packet { link, packet: Packet::AckEpoch { zxid: Zxid(-1), current_epoch: -1 } });
    assert!(w.peer(link).to_learner.iter().any(|item| matches!(item, Item::Tree(_))), "{:?}", w.ends(link));
}
