//! Members stand still for a while (SIGSTOP) and go on.

use std::time::Duration;

use compat_tests::arm::Arm;
use compat_tests::ensemble::Ensemble;
use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::run::{MIXED, QUOLL, Run, voters};

#[test]
fn nothing_is_lost_when_the_leader_stands_still_and_goes_on_as_a_deposed_one() {
    let mut run = Run::new("nothing_is_lost_when_the_leader_stands_still_and_goes_on_as_a_deposed_one");
    pauses(&mut run, &QUOLL, |_, ensemble| ensemble.wait_for_leader());
}

#[test]
fn nothing_is_lost_when_a_follower_stands_still_and_goes_on() {
    let mut run = Run::new("nothing_is_lost_when_a_follower_stands_still_and_goes_on");
    pauses(&mut run, &MIXED, |run, ensemble| {
        let leader = ensemble.wait_for_leader();
        let others: Vec<u64> = ensemble.voters().into_iter().filter(|id| *id != leader).collect();
        *others.choose(&mut run.rng).expect("there are followers")
    });
}

fn pauses(run: &mut Run, kinds: &[Arm], mut who: impl FnMut(&mut Run, &mut Ensemble) -> u64) {
    let mut ensemble = voters(kinds).start();
    run.rounds(&mut ensemble, |run, ensemble, load| {
        for long in [false, true] {
            load.run_for(Duration::from_millis(run.rng.random_range(100..1500)));
            let id = who(run, ensemble);
            ensemble.suspend(id);
            if long {
                // Until the others have given it up and go on without it.
                load.wait_for_writes(300, Duration::from_secs(60));
            } else {
                load.run_for(Duration::from_millis(run.rng.random_range(100..1500)));
            }
            ensemble.resume(id);
            ensemble.wait_until_all_serve();
        }
    });
}
