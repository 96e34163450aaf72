//! The disk of one member is full.

use std::time::{Duration, Instant};

use compat_tests::arm::Arm;
use compat_tests::ensemble::{Ensemble, PATIENCE};

use crate::run::{MIXED, QUOLL, Run, voters};

#[test]
fn nothing_is_lost_when_the_disk_of_a_follower_is_full() {
    let mut run = Run::new("nothing_is_lost_when_the_disk_of_a_follower_is_full");
    full_disk(&mut run, &MIXED, 1);
}

#[test]
fn nothing_is_lost_when_the_disk_of_the_leader_is_full() {
    let mut run = Run::new("nothing_is_lost_when_the_disk_of_the_leader_is_full");
    full_disk(&mut run, &QUOLL, 3);
}

/// The logs of more rounds would fill the disk by themselves.
const ROUNDS_MAX: u32 = 8;

fn full_disk(run: &mut Run, kinds: &[Arm], id: u64) {
    while run.goes_on(run.round, 1) {
        let mut ensemble = voters(kinds).small_disk(id, 64 * 1024).start();
        full_disk_rounds(run, &mut ensemble, id);
    }
}

fn full_disk_rounds(run: &mut Run, ensemble: &mut Ensemble, id: u64) {
    run.some_rounds(ensemble, ROUNDS_MAX, |_, ensemble, load| {
        load.wait_for_writes(200, Duration::from_secs(60));
        let taken = ensemble.disk(id).fill();
        println!("took the last {taken} bytes of member {id}");
        // It can promise nothing any more, so it has to leave; the others go on. Quoll ends, the upstream server
        // stops serving and tries again and again.
        let mut ended = None;
        let deadline = Instant::now() + PATIENCE;
        while ended.is_none()
            && (ensemble.member(id).arm == Arm::Quoll || ensemble.member(id).mode().is_some())
        {
            load.check();
            assert!(Instant::now() < deadline, "member {id} still serves with a full disk");
            std::thread::sleep(Duration::from_millis(20));
            ended = ensemble.process_ended(id);
        }
        assert!(ended.is_none_or(|status| !status.success()), "member {id} ended with {ended:?}");
        load.wait_for_writes(200, Duration::from_secs(60));
        if ensemble.member(id).runs() {
            ensemble.kill(id);
        }
        ensemble.disk(id).free();
        ensemble.start(id);
        ensemble.wait_until_all_serve();
    });
}
