//! Curator's recipes (5.9) with two clients, on both servers, with the same outcome.
//!
//! The driver is `java/drivers/src/main/java/quoll/compat/Curator*.java`.

use compat_tests::arm::Arm::{Java, Quoll};
use compat_tests::build_folder::root;
use compat_tests::diff::readable_difference;
use compat_tests::drivers::{compare_suite, run_suite};
use compat_tests::ensemble::Ensemble;

#[test]
fn curator_recipes_come_to_the_same_outcome() {
    compare_suite("curator", "curator", |server| {
        server
            .property("zookeeper.extendedTypesEnabled", "true")
            // The TTL node of the last recipe is to go soon after nobody touches it.
            .property("znode.container.checkIntervalMs", 500)
    });
}

#[test]
fn curator_recipes_come_to_the_same_outcome_on_ensembles() {
    // In the mixed one a Quoll server leads: the last voter.
    let setups = [("java", [Java; 3]), ("quoll", [Quoll; 3]), ("mixed", [Quoll, Java, Quoll])];
    let ensembles = setups.map(|(name, voters)| {
        let ensemble = Ensemble::of(&voters)
            .property("zookeeper.extendedTypesEnabled", "true")
            .property("znode.container.checkIntervalMs", 500)
            .start();
        (name, ensemble)
    });
    let mut outcome = run_suite("curator", ensembles.iter().map(|(_, e)| e.connect_string()));
    for transcript in &mut outcome.transcripts {
        // The members' ports are in the configuration: as many digits everywhere, but others.
        let lines = transcript.lines().map(|line| match line.strip_prefix("config: ") {
            Some(config) => format!("config: {}\n", config.split(',').next().unwrap_or_default()),
            None => format!("{line}\n"),
        });
        *transcript = lines.collect();
    }
    let dir = root().join("transcripts");
    std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot create {}: {e}", dir.display()));
    for ((name, _), transcript) in ensembles.iter().zip(&outcome.transcripts) {
        let path = dir.join(format!("curator-ensembles.{name}.txt"));
        std::fs::write(&path, transcript).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    }
    for ((name, _), transcript) in ensembles.iter().zip(&outcome.transcripts).skip(1) {
        if let Some(difference) = readable_difference(&outcome.transcripts[0], transcript) {
            panic!(
                "on the {name} ensemble (+) it goes otherwise than on Java's (-)\n{difference}\ntranscripts: {}",
                dir.display()
            );
        }
    }
    assert!(outcome.success, "the suite failed on all of them:\n{}", outcome.printed);
}
