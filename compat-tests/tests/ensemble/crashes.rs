//! Members are killed and restarted under load.

use std::time::Duration;

use compat_tests::arm::Arm;
use compat_tests::ensemble::Ensemble;
use compat_tests::load::Load;
use rand::RngExt;

use crate::run::{MIXED, QUOLL, Run, voters};

#[test]
fn nothing_is_lost_when_the_leader_is_killed_again_and_again() {
    let mut run = Run::new("nothing_is_lost_when_the_leader_is_killed_again_and_again");
    kill_leaders(&mut run, &QUOLL);
}

#[test]
fn nothing_is_lost_when_the_leader_of_a_mixed_ensemble_is_killed_again_and_again() {
    let mut run = Run::new("nothing_is_lost_when_the_leader_of_a_mixed_ensemble_is_killed_again_and_again");
    kill_leaders(&mut run, &MIXED);
}

fn kill_leaders(run: &mut Run, kinds: &[Arm]) {
    let mut ensemble = voters(kinds).start();
    run.rounds(&mut ensemble, |run, ensemble, load| {
        for _ in 0..4 {
            load.run_for(Duration::from_millis(run.rng.random_range(200..2500)));
            let leader = ensemble.wait_for_leader();
            ensemble.kill(leader);
            // Either it is back before anybody noticed, or the others have gone on without it.
            if run.rng.random_bool(0.7) {
                load.wait_for_writes(50, Duration::from_secs(60));
            }
            ensemble.start(leader);
            ensemble.wait_until_all_serve();
        }
    });
}

#[test]
fn nothing_is_lost_in_a_rolling_restart() {
    let mut run = Run::new("nothing_is_lost_in_a_rolling_restart");
    let mut ensemble = voters(&QUOLL).start();
    run.rounds(&mut ensemble, |_, ensemble, load| rolling_restart(ensemble, load));
}

fn rolling_restart(ensemble: &mut Ensemble, load: &Load) {
    for id in ensemble.ids() {
        ensemble.stop(id);
        load.wait_for_writes(30, Duration::from_secs(60));
        ensemble.start(id);
        ensemble.wait_until_all_serve();
        load.wait_for_writes(30, Duration::from_secs(60));
    }
}

#[test]
fn nothing_is_lost_when_all_members_are_killed_at_once() {
    let mut run = Run::new("nothing_is_lost_when_all_members_are_killed_at_once");
    let mut ensemble = voters(&MIXED).start();
    run.rounds(&mut ensemble, |run, ensemble, load| {
        for _ in 0..2 {
            load.run_for(Duration::from_millis(run.rng.random_range(200..2500)));
            for id in ensemble.ids() {
                ensemble.kill(id);
            }
            for id in ensemble.ids() {
                ensemble.start(id);
            }
            ensemble.wait_until_all_serve();
        }
    });
}
