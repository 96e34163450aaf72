//! Every point at which a disk can die or fail, for many seeds of a random workload.
//!
//! The server that ships runs on a fake disk; see `quoll::sim::standalone` for what is checked. `QUOLL_CRASH_SEEDS` sets
//! how many seeds (1,000 by default), `QUOLL_CRASH_SEED` repeats one.

use quoll::sim::{
    disk::{Failure, Unforced},
    rng::Rng,
    standalone::{Fault, Outcome, run},
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// The one that ships; with it these runs take an eighth less time than with the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn check(seed: u64, fault: Fault) -> Outcome {
    match run(seed, fault) {
        Ok(outcome) => outcome,
        Err(wrong) => panic!(
            "seed {seed}, {fault:?}: {wrong}\n\
             to repeat: QUOLL_CRASH_SEED={seed} cargo test --test crash_server"
        ),
    }
}

fn seeds() -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok().map(|v| v.parse().expect("a number"));
    match number("QUOLL_CRASH_SEED") {
        Some(seed) => (seed, seed + 1),
        None => (0, number("QUOLL_CRASH_SEEDS").unwrap_or(1000)),
    }
}

/// Runs `one` for every seed on all cores.
fn for_all_seeds(one: impl Fn(u64) + Sync) {
    let (first, end) = seeds();
    let next = AtomicU64::new(first);
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    one(seed);
                }
            });
        }
    });
}

#[test]
fn a_run_is_its_seed() {
    for seed in 0..20 {
        assert_eq!(check(seed, Fault::None), check(seed, Fault::None));
    }
}

#[test]
fn nothing_acknowledged_is_lost_whichever_call_of_the_disk_is_the_last() {
    let (crashes, acknowledged, snapshots) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    for_all_seeds(|seed| {
        let calm = check(seed, Fault::None);
        acknowledged.fetch_add(calm.acknowledged as u64, Ordering::Relaxed);
        snapshots.fetch_add(calm.snapshots, Ordering::Relaxed);
        let mut rng = Rng::new(seed);
        for at_call in 1..=calm.disk_calls {
            // Each point with one of the three fates of what was not forced; over the seeds each point meets all.
            let unforced = match rng.below(4) {
                0 => Unforced::Dropped,
                1 => Unforced::Kept,
                _ => Unforced::Random(rng.next_u64()),
            };
            check(seed, Fault::Crash { at_call, unforced });
            crashes.fetch_add(1, Ordering::Relaxed);
        }
    });
    println!(
        "{crashes:?} crashes, {acknowledged:?} writes acknowledged and {snapshots:?} snapshots in the calm runs"
    );
    assert!(
        seeds().1 - seeds().0 < 100 || snapshots.into_inner() > 10,
        "the workload takes too few snapshots"
    );
}

#[test]
fn a_disk_that_fails_stops_the_server_and_a_restart_has_everything() {
    for_all_seeds(|seed| {
        let calm = check(seed, Fault::None);
        for at_call in 1..=calm.disk_calls {
            let failure = if (seed + at_call) % 2 == 0 { Failure::Full } else { Failure::Io };
            check(seed, Fault::Fail { at_call, failure });
        }
    });
}
