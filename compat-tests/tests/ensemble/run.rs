//! What the tests share: one at a time, seed, length, kinds, and the rounds of load.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use compat_tests::arm::Arm;
use compat_tests::build_folder::Lock;
use compat_tests::ensemble::member::Mode;
use compat_tests::ensemble::{Ensemble, EnsembleBuilder, turn};
use compat_tests::load::{Load, LoadSettings, Report};
use compat_tests::raw::{Client, Enc, op};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Voters of both kinds; the last one, that leads at first, is Quoll.
pub const MIXED: [Arm; 3] = [Arm::Quoll, Arm::Java, Arm::Quoll];

/// Voters of the one kind.
pub const QUOLL: [Arm; 3] = [Arm::Quoll; 3];

/// What so many rounds made is there while the next one runs.
const ROUNDS_KEPT: u32 = 5;

/// One test's run.
pub struct Run {
    pub seed: u64,
    pub rng: StdRng,
    /// How long faults are to be injected, if the environment says so.
    seconds: Option<u64>,
    begun: Instant,
    /// Rounds so far.
    pub round: u32,
    _turn: Lock,
}

impl Run {
    /// Waits for its turn and says how the run is repeated.
    pub fn new(test: &str) -> Run {
        let turn = turn();
        let seed = number("QUOLL_FAULT_SEED").unwrap_or_else(|| rand::random::<u32>().into());
        let seconds = number("QUOLL_FAULT_SECONDS");
        let members = std::env::var("QUOLL_FAULT_MEMBERS").map(|m| format!("QUOLL_FAULT_MEMBERS={m} "));
        println!(
            "repeat: {}QUOLL_FAULT_SEED={seed} {}cargo test -p compat-tests --test ensemble {test}",
            members.unwrap_or_default(),
            seconds.map(|s| format!("QUOLL_FAULT_SECONDS={s} ")).unwrap_or_default(),
        );
        Run { seed, rng: StdRng::seed_from_u64(seed), seconds, begun: Instant::now(), round: 0, _turn: turn }
    }

    /// Rounds of load with faults: in each, `faults` runs beside the load, and then everything is verified.
    /// One round by default; as many as fit when the environment gives a time.
    pub fn rounds(&mut self, ensemble: &mut Ensemble, faults: impl FnMut(&mut Run, &mut Ensemble, &Load)) {
        self.some_rounds(ensemble, u32::MAX, faults);
    }

    /// As [`Self::rounds`], but at most so many on this ensemble.
    pub fn some_rounds(
        &mut self,
        ensemble: &mut Ensemble,
        rounds_max: u32,
        mut faults: impl FnMut(&mut Run, &mut Ensemble, &Load),
    ) {
        let first = self.round + 1;
        while self.goes_on(self.round, 1) && self.round + 1 - first < rounds_max {
            let report = self.round(ensemble, &mut faults);
            println!("round {} after {:?}: {report:?}", self.round, self.begun.elapsed());
            // A long run compares what the last rounds left again and again, but not all of it.
            if let Some(old) = self.round.checked_sub(ROUNDS_KEPT).filter(|old| *old >= first) {
                remove_tree(ensemble.addrs()[0], &format!("/r{old}"));
            }
        }
    }

    /// Whether another round is due after so many: `default` of them, or as many as fit when the environment gives a time.
    pub fn goes_on(&self, rounds: u32, default: u32) -> bool {
        rounds == 0
            || self.seconds.map_or(rounds < default, |s| self.begun.elapsed() < Duration::from_secs(s))
    }

    fn round(
        &mut self,
        ensemble: &mut Ensemble,
        faults: &mut impl FnMut(&mut Run, &mut Ensemble, &Load),
    ) -> Report {
        self.round += 1;
        let load = Load::start(&self.load_settings(ensemble));
        load.wait_for_writes(100, Duration::from_secs(60));
        faults(self, ensemble, &load);
        ensemble.wait_until_all_serve();
        // Everybody is connected again and goes on.
        load.wait_for_writes(100, Duration::from_secs(60));
        let report = load.finish();
        assert!(report.acknowledged > 200 && report.synced_reads > 0 && report.events > 0, "{report:?}");
        report
    }

    /// What the load is to be like on this ensemble.
    pub fn load_settings(&self, ensemble: &Ensemble) -> LoadSettings {
        let all_quoll = ensemble.members().all(|m| m.arm == Arm::Quoll);
        LoadSettings {
            addrs: ensemble.addrs(),
            seed: self.seed.wrapping_add(u64::from(self.round) << 32),
            root: format!("/r{}", self.round),
            // The upstream leader answers `sync` on its own word: one that is deposed without knowing lets stale
            // reads through. Quoll's asks a quorum.
            sync_sees_everything: all_quoll,
            strict_digests: all_quoll,
            empty_may_be_late: !all_quoll,
            same_config: !ensemble.is_proxied(),
            walkers: 3,
            pause: Duration::from_millis(3),
            patience: Duration::from_secs(90),
        }
    }
}

/// Voters of these kinds, or of those that the environment names.
pub fn voters(kinds: &[Arm]) -> EnsembleBuilder {
    match std::env::var("QUOLL_FAULT_MEMBERS") {
        Err(_) => Ensemble::of(kinds),
        Ok(names) => {
            let kinds: Vec<Arm> = names
                .split(',')
                .map(|name| match name {
                    "java" => Arm::Java,
                    "quoll" => Arm::Quoll,
                    other => panic!("QUOLL_FAULT_MEMBERS names {other}; java and quoll are allowed"),
                })
                .collect();
            Ensemble::of(&kinds)
        }
    }
}

/// Deletes a node and everything below it.
fn remove_tree(addr: SocketAddr, root: &str) {
    let mut zk = Client::connect(addr, 30_000).expect("the member serves");
    let mut paths = vec![root.to_owned()];
    let mut looked = 0;
    while looked < paths.len() {
        let parent = paths[looked].clone();
        let names = zk.children(&parent).expect("the member answers").expect("nobody else deletes it");
        paths.extend(names.iter().map(|name| format!("{parent}/{name}")));
        looked += 1;
    }
    paths.reverse();
    for some in paths.chunks(100) {
        for path in some {
            zk.send(op::DELETE, &Enc::new().str(path).int(-1).0).expect("the member reads");
        }
        for path in some {
            assert_eq!(zk.recv().expect("the member answers").err, 0, "delete of {path}");
        }
    }
    zk.close().expect("the member answers");
}

/// Three members of these kinds, all knowing each other, led by the last.
pub fn three(kinds: &[Arm; 3]) -> Ensemble {
    let mut e = Ensemble::of(kinds).build();
    for id in [1, 3] {
        e.start_knowing(id, &[1, 2, 3]);
    }
    e.wait_until("member 3 leads", |e| e.member(3).mode() == Some(Mode::Leader));
    e.start_knowing(2, &[1, 2, 3]);
    e.wait_until_all_serve();
    e
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{variable} is {text}: {e}")))
}
