//! Every role beside every other, of the same and of the other kind.

use std::time::Duration;

use compat_tests::arm::Arm::{self, Java, Quoll};

use crate::run::{Run, voters};

#[test]
fn quoll_follows_and_observes_a_java_leader() {
    let mut run = Run::new("quoll_follows_and_observes_a_java_leader");
    roles(&mut run, &[Quoll, Java, Java], &[Quoll, Java]);
}

#[test]
fn java_follows_and_observes_a_quoll_leader() {
    let mut run = Run::new("java_follows_and_observes_a_quoll_leader");
    roles(&mut run, &[Java, Quoll, Quoll], &[Java, Quoll]);
}

/// The last voter leads; clients are at all members.
fn roles(run: &mut Run, kinds: &[Arm], observers: &[Arm]) {
    let mut builder = voters(kinds);
    for &observer in observers {
        builder = builder.observer(observer);
    }
    let mut ensemble = builder.start();
    run.rounds(&mut ensemble, |_, ensemble, load| {
        let leader = ensemble.wait_for_leader();
        load.wait_for_writes(500, Duration::from_secs(60));
        // Each learner leaves and comes back once, and catches up with what it missed.
        for id in ensemble.ids().into_iter().filter(|id| *id != leader) {
            ensemble.kill(id);
            load.wait_for_writes(100, Duration::from_secs(60));
            ensemble.start(id);
            ensemble.wait_until_all_serve();
            load.wait_for_writes(100, Duration::from_secs(60));
        }
        assert_eq!(ensemble.leader(), Some(leader), "the leader has led all the time");
    });
}
