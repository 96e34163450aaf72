//! The network between members is cut, in every shape, and healed.

use std::time::Duration;

use compat_tests::arm::Arm;
use compat_tests::ensemble::Ensemble;
use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::run::{MIXED, QUOLL, Run, voters};

#[test]
fn nothing_is_lost_when_the_leader_is_cut_off() {
    let mut run = Run::new("nothing_is_lost_when_the_leader_is_cut_off");
    cut(&mut run, &QUOLL, |_, ensemble| {
        let leader = ensemble.wait_for_leader();
        ensemble.network().isolate(&[leader]);
    });
}

#[test]
fn nothing_is_lost_when_a_follower_is_cut_off() {
    let mut run = Run::new("nothing_is_lost_when_a_follower_is_cut_off");
    cut(&mut run, &MIXED, |run, ensemble| {
        let leader = ensemble.wait_for_leader();
        let others: Vec<u64> = ensemble.voters().into_iter().filter(|id| *id != leader).collect();
        ensemble.network().isolate(&[*others.choose(&mut run.rng).expect("there are followers")]);
    });
}

#[test]
fn nothing_is_lost_when_single_directions_are_cut() {
    let mut run = Run::new("nothing_is_lost_when_single_directions_are_cut");
    cut(&mut run, &MIXED, |run, ensemble| {
        // One member hears another no more, while it is heard, and everybody is heard by somebody.
        let ids = ensemble.voters();
        let from = *ids.choose(&mut run.rng).expect("there are voters");
        let others: Vec<u64> = ids.into_iter().filter(|id| *id != from).collect();
        ensemble.network().cut(from, *others.choose(&mut run.rng).expect("there are others"));
    });
}

/// Cuts, twice per round: once until the others have noticed, once for a shorter time.
fn cut(run: &mut Run, kinds: &[Arm], mut cut: impl FnMut(&mut Run, &mut Ensemble)) {
    let mut ensemble = voters(kinds).proxied().start();
    run.rounds(&mut ensemble, |run, ensemble, load| {
        for long in [true, false] {
            load.run_for(Duration::from_millis(run.rng.random_range(100..1500)));
            cut(run, ensemble);
            if long {
                // A majority goes on.
                load.run_for(Duration::from_secs(4));
                load.wait_for_writes(100, Duration::from_secs(60));
            } else {
                load.run_for(Duration::from_millis(run.rng.random_range(100..2500)));
            }
            ensemble.network().heal();
            ensemble.wait_until_all_serve();
        }
    });
}
