//! Learners of every kind come, go and come back while txns are proposed, in an order that a seed decides.

use super::*;

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

const VOTERS: [i64; 5] = [1, 2, 3, 4, 5];

struct Run {
    w: World,
    rng: Rng,
    /// Where each member is: connected, or only its disk.
    links: BTreeMap<i64, LinkId>,
    down: BTreeMap<i64, Disk>,
    committed: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let leader = zs(1, 1..=20);
        let mut w = World::new(5, &VOTERS, Disk::with(1, &leader));
        w.log_begins = z(1, rng.below(20) as u32);
        let mut run = Self { w, rng, links: BTreeMap::new(), down: BTreeMap::new(), committed: 0 };
        // 6 and 7 observe. Two followers have everything, so that the leader is established.
        for id in [1, 2, 3, 4, 6, 7] {
            let count = if id <= 2 { 20 } else { run.rng.below(21) as u32 };
            run.down.insert(id, Disk::with(1, &zs(1, 1..=count)));
        }
        run.up(1);
        run.up(2);
        run.w.run();
        assert!(run.w.leader.is_established());
        // What a member may have that the others have not: txns of an epoch that ended without a quorum for them.
        let extra = run.rng.below(4) as u32;
        run.down.insert(4, Disk::with(1, &zs(1, 1..=20 + extra)));
        run
    }

    fn up(&mut self, id: i64) {
        if let Some(disk) = self.down.remove(&id) {
            let link = self.w.join(id, id > 5, disk.restarted());
            self.links.insert(id, link);
        }
    }

    fn down(&mut self, id: i64) {
        if let Some(link) = self.links.remove(&id) {
            let peer = self.w.peers.remove(&link).expect("a peer");
            self.down.insert(id, peer.disk);
            self.w.lead(LeaderInput::Gone { link });
        }
    }

    fn act(&mut self) {
        match self.rng.below(12) {
            0 => {
                let id = self.any();
                self.up(id);
            }
            // 1 and 2 stay, or the leader could not go on.
            1 => {
                let id = self.any();
                if id > 2 {
                    self.down(id);
                }
            }
            2 | 3 => assert!(self.w.propose() > z(2, 0)),
            _ => {
                let links: Vec<_> = self.links.values().copied().collect();
                let link = links[self.rng.below(links.len() as u64) as usize];
                if self.rng.below(2) == 0 {
                    self.w.deliver_to_learner(link);
                } else {
                    self.w.deliver_to_leader(link);
                }
            }
        }
        self.check();
    }

    fn any(&mut self) -> i64 {
        [1, 2, 3, 4, 6, 7][self.rng.below(6) as usize]
    }

    /// What is committed is on the disks of a quorum, and every tree that is served is a part of the leader's.
    fn check(&mut self) {
        let tree = self.w.disk.tree.clone();
        for zxid in &tree[self.committed..] {
            let up = self.links.iter().map(|(id, link)| (*id, &self.w.peers[link].disk));
            let down = self.down.iter().map(|(id, disk)| (*id, disk));
            let have =
                up.chain(down).filter(|(_, disk)| disk.zxids().contains(zxid)).map(|(id, _)| ServerId(id));
            assert!(self.w.quorums[0].contains(have.chain([ServerId(5)])), "{zxid} is not on a quorum");
        }
        self.committed = tree.len();
        for p in self.links.values().map(|link| &self.w.peers[link]) {
            assert_eq!((&p.lost, &p.closed), (&None, &None), "{:?}", p.seen);
            assert!(!p.served || tree.starts_with(&p.disk.tree), "{:?} is not of {tree:?}", p.disk.tree);
        }
        assert_eq!(self.w.resigned, None);
    }

    fn finish(&mut self) {
        for id in [1, 2, 3, 4, 6, 7] {
            self.up(id);
        }
        self.w.run();
        self.w.propose();
        self.w.run();
        self.check();
        let tree = self.w.disk.tree.clone();
        assert_eq!(tree.last(), Some(&self.w.disk.last()), "everything is committed");
        for (id, link) in &self.links {
            let p = &self.w.peers[link];
            assert_eq!(p.disk.tree, tree, "{id}");
            assert_eq!(p.disk.zxids(), tree, "{id}");
            assert_eq!((p.disk.accepted, p.disk.current, p.served), (Epoch(2), Epoch(2), true), "{id}");
        }
    }
}

#[test]
fn whoever_comes_and_goes_everybody_ends_with_the_same_history() {
    let seeds = match option_env!("QUOLL_ZAB_SEED") {
        Some(seed) => {
            let seed = seed.parse().expect("QUOLL_ZAB_SEED is a number");
            seed..seed + 1
        }
        None => 0..300,
    };
    for seed in seeds {
        let result = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            (0..400).for_each(|_| run.act());
            run.finish();
        });
        if let Err(panic) = result {
            eprintln!("again: QUOLL_ZAB_SEED={seed} cargo test -p quoll --lib zab::tests::random");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Any packet, with numbers that are likely to mean something.
fn any_packet(rng: &mut Rng) -> Packet {
    let zxid = match rng.below(6) {
        0 => Zxid(-1),
        1 => Zxid(i64::MAX),
        2 => z(2, 0),
        _ => z(rng.below(4) as u32, rng.below(5) as u32),
    };
    let entry = if rng.below(8) == 0 { Bytes::new() } else { txn(zxid).entry };
    let server = ServerId(rng.below(6) as i64);
    let session = SessionId(rng.below(3) as i64);
    match rng.below(21) {
        0 => Packet::Request(Request { session, cxid: 1, op: 1, body: Bytes::new(), ids: vec![] }),
        1 | 2 => Packet::Proposal { zxid, entry },
        3 | 4 => Packet::Ack { zxid },
        5 => Packet::Commit { zxid },
        6 => Packet::Ping { zxid },
        7 => Packet::Pong { zxid, touched: vec![(session, 4000)] },
        8 => Packet::Revalidate { session, timeout_ms: -1 },
        9 => Packet::Revalidated { session, valid: true },
        10 => Packet::Sync,
        11 => Packet::Inform { zxid, entry },
        12 => Packet::CommitAndActivate { zxid, designated: server },
        13 => Packet::InformAndActivate { zxid, designated: server, entry },
        14 => Packet::NewLeader { zxid, config: None },
        15 => {
            let info = LearnerInfo { server, protocol: PROTOCOL_VERSION, config_version: 0 };
            Packet::LearnerInfo { observer: rng.below(3) == 0, zxid, info: Some(info) }
        }
        16 => Packet::UpToDate,
        17 => match rng.below(3) {
            0 => Packet::Diff { zxid },
            1 => Packet::Trunc { zxid },
            _ => Packet::Snap { zxid },
        },
        18 => Packet::LeaderInfo { zxid, protocol: PROTOCOL_VERSION },
        19 => Packet::AckEpoch { zxid, current_epoch: rng.below(4) as i32 - 1 },
        _ => Packet::Unknown { number: 40 },
    }
}

#[test]
fn whatever_peers_say_nothing_breaks_and_closed_connections_get_no_word_more() {
    for seed in 0..2000 {
        let rng = &mut Rng(seed);
        let mut w = World::new(3, &[1, 2, 3], Disk::with(1, &zs(1, 1..=4)));
        let mut closed = std::collections::BTreeSet::new();
        let mut learner = Learner::new(liveness::config_of(2), 0, Epoch(1), Epoch(1), z(1, 4));
        learner.step(0, LearnerInput::Connected);
        let mut last = z(1, 4);
        for now_ms in 0..60 {
            let link = LinkId(rng.below(4));
            let input = match rng.below(12) {
                0 => LeaderInput::Connected { link: LinkId(now_ms as u64) },
                1 => LeaderInput::LogProbed { link, at: Some(z(1, 2)) },
                2 => LeaderInput::SnapshotBegun { link, zxid: z(1, 4) },
                3 => LeaderInput::Barrier(1),
                _ => LeaderInput::Packet { link, packet: any_packet(rng) },
            };
            for output in w.leader.step(now_ms, &w.disk.history, input) {
                match output {
                    LeaderOutput::Send { link, .. } => assert!(!closed.contains(&link), "seed {seed}"),
                    LeaderOutput::Close { link, .. } => assert!(closed.insert(link), "seed {seed}"),
                    _ => {}
                }
            }
            let input = match rng.below(12) {
                0 => LearnerInput::Durable(last),
                1 => LearnerInput::SnapshotSaved,
                2 => LearnerInput::SnapshotLoaded { zxid: z(2, 1) },
                3 => LearnerInput::Truncated { last: z(1, 2) },
                4 => LearnerInput::Packet(Packet::NewLeader { zxid: z(2, 0), config: None }),
                5 => LearnerInput::Packet(Packet::LeaderInfo { zxid: z(2, 0), protocol: PROTOCOL_VERSION }),
                _ => LearnerInput::Packet(any_packet(rng)),
            };
            for output in learner.step(now_ms, input) {
                if let LearnerOutput::Append { zxid, .. } = output {
                    last = zxid;
                }
            }
        }
    }
}
