//! An operator replaces the members of an ensemble one by one, with clients connected, and goes back the same way.

use std::time::Duration;

use compat_tests::arm::Arm::{self, Java, Quoll};
use compat_tests::ensemble::Ensemble;
use compat_tests::load::Load;

use crate::run::Run;

#[test]
fn members_are_replaced_one_by_one_and_back_with_clients_connected() {
    let mut run = Run::new("members_are_replaced_one_by_one_and_back_with_clients_connected");
    let mut ensemble = Ensemble::of(&[Java; 3]).start();
    run.rounds(&mut ensemble, |_, ensemble, load| {
        replace_all(ensemble, load, Quoll);
        replace_all(ensemble, load, Java);
    });
}

/// The steps of docs/operating/migrate.md: followers first, the leader last, each only when all are in sync.
fn replace_all(ensemble: &mut Ensemble, load: &Load, arm: Arm) {
    let mut left = ensemble.ids();
    while !left.is_empty() {
        let leader = ensemble.wait_until_all_serve();
        // Who leads now may already have been replaced.
        let next = left.iter().copied().find(|id| *id != leader).unwrap_or(left[0]);
        left.retain(|id| *id != next);
        ensemble.turn_into(next, arm);
        ensemble.wait_until_all_serve();
        load.wait_for_writes(100, Duration::from_secs(60));
    }
}
