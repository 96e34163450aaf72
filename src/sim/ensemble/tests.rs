//! Seeds, and what a failing one prints.

use super::{Outcome, Settings, run};
use std::{
    env,
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Runs a seed and panics with what it takes to see it again.
fn check(seed: u64) -> Outcome {
    match run(seed, Settings::of(seed), false) {
        Ok(outcome) => outcome,
        Err(failed) => {
            let mut told = String::new();
            if env::var_os("QUOLL_SIM_TRACE").is_some() {
                let again = run(seed, Settings::of(seed), true).expect_err("a run is its seed");
                for line in again.told {
                    let _ = writeln!(told, "{line}");
                }
            }
            panic!(
                "{told}seed {seed}: {}\nsettings: {:?}\nrepeat with what led to it:\n    QUOLL_SIM_SEED={seed} \
                 QUOLL_SIM_TRACE=1 cargo test -p quoll --lib sim::ensemble::tests::an_ensemble",
                failed.what,
                Settings::of(seed)
            );
        }
    }
}

#[test]
fn two_runs_of_a_seed_are_the_same() {
    for seed in 0..5 {
        assert_eq!(check(seed), check(seed), "seed {seed}");
    }
}

/// Seeds that once found something; the tests beside the code that was mended tell what.
const FOUND: &[u64] = &[
    10000260, 10002591, 11005728, 11014804, 11092894, 11513674, 11792900, 11847756, 12027482, 12043567,
    14092998, 15022960, 15054744, 15072451, 15305434, 15354779, 16298157, 20005050, 20902872,
];

#[test]
fn what_was_found_does_not_come_back() {
    for seed in FOUND {
        check(*seed);
    }
}

#[test]
fn an_ensemble_without_faults_elects_once_and_serves() {
    let outcome =
        run(1, Settings::calm(), true).unwrap_or_else(|f| panic!("{}\n{}", f.told.join("\n"), f.what));
    assert_eq!((outcome.elections, outcome.expiries, outcome.refusals), (1, 0, 0));
    assert!(outcome.acknowledged > 30, "{outcome:?}");
}

#[test]
fn an_ensemble_keeps_its_promises_whatever_goes_wrong() {
    if let Some(seed) = number("QUOLL_SIM_SEED") {
        println!("{:#?}", check(seed));
        return;
    }
    let count = number("QUOLL_SIM_SEEDS").unwrap_or(10_000);
    let first = number("QUOLL_SIM_FIRST").unwrap_or(0);
    let next = AtomicU64::new(first);
    let start = Instant::now();
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get());
    let totals: Vec<Outcome> = std::thread::scope(|scope| {
        let work = || {
            let mut total = Outcome::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    return total;
                }
                let one = check(seed);
                total.virtual_us += one.virtual_us;
                total.events += one.events;
                total.committed += one.committed;
                total.acknowledged += one.acknowledged;
                total.reads += one.reads;
                total.elections += one.elections;
                total.snapshots += one.snapshots;
                total.truncations += one.truncations;
                total.trees_sent += one.trees_sent;
                total.log_probes += one.log_probes;
                total.expiries += one.expiries;
                total.refusals += one.refusals;
                total.reconfigurations += one.reconfigurations;
            }
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    });
    let wall_s = start.elapsed().as_secs_f64();
    let virtual_h = totals.iter().map(|o| o.virtual_us).sum::<i64>() as f64 / 3.6e9;
    println!(
        "{count} seeds in {wall_s:.1} s on {workers} threads: {virtual_h:.1} simulated hours, {:.2} a wall second",
        virtual_h / wall_s
    );
    println!("{totals:#?}");
}
