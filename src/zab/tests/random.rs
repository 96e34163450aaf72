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
