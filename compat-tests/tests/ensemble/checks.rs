//! The checks themselves: an ensemble that breaks its word is noticed.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use compat_tests::load::Load;
use compat_tests::raw::write_many;

use crate::run::{QUOLL, Run, voters};

#[test]
fn members_that_forget_what_was_acknowledged_are_noticed() {
    let run = Run::new("members_that_forget_what_was_acknowledged_are_noticed");
    let mut ensemble = voters(&QUOLL).start();
    let settings = run.load_settings(&ensemble);
    let load = Load::start(&settings);
    load.wait_for_writes(500, Duration::from_secs(60));
    let copies = tempfile::tempdir().expect("a temporary folder can be created");
    let kill_all = |ensemble: &mut compat_tests::ensemble::Ensemble| {
        ensemble.ids().into_iter().for_each(|id| ensemble.kill(id));
    };
    kill_all(&mut ensemble);
    for member in ensemble.members() {
        copy(&member.data_dir(), &copies.path().join(member.id.to_string()));
    }
    ensemble.ids().into_iter().for_each(|id| ensemble.start(id));
    load.wait_for_writes(500, Duration::from_secs(60));

    // All go back to what they had before.
    kill_all(&mut ensemble);
    for member in ensemble.members() {
        fs::remove_dir_all(member.data_dir()).expect("a data directory can be removed");
        copy(&copies.path().join(member.id.to_string()), &member.data_dir());
    }
    ensemble.ids().into_iter().for_each(|id| ensemble.start(id));
    let leader = ensemble.wait_until_all_serve();
    // New txns get the numbers of the forgotten ones and larger ones: then the clients are taken again.
    write_many(ensemble.member(leader).addr(), "/filler", 20_000);
    let found = catch_unwind(AssertUnwindSafe(|| load.run_for(Duration::from_secs(60))))
        .expect_err("a client notices that its acknowledged writes are gone");
    let message = found.downcast_ref::<String>().expect("a message");
    println!("noticed: {message}");
    assert!(message.contains("violations"), "{message}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a folder can be listed") {
        let entry = entry.expect("an entry can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a file can be copied");
        }
    }
}
