//! How a learner is brought up to date: by what it missed, by a snapshot, by taking back what was never committed.
//! The kind of synchronisation is seen on the wire.

use std::fs;

use compat_tests::arm::Arm::{self, Java, Quoll};
use compat_tests::ensemble::Ensemble;
use compat_tests::ensemble::proxy::SyncKind;
use compat_tests::load::converge::converge;
use compat_tests::raw::{Client, Enc, op, write_many};

use crate::run::Run;

/// Leader and learner.
const PAIRS: [(Arm, Arm); 3] = [(Java, Quoll), (Quoll, Java), (Quoll, Quoll)];

#[test]
fn a_learner_that_missed_little_gets_the_difference_and_one_that_missed_much_a_snapshot() {
    let _run =
        Run::new("a_learner_that_missed_little_gets_the_difference_and_one_that_missed_much_a_snapshot");
    for (leader, learner) in PAIRS {
        learner_comes_back(leader, learner, &[FROM_MEMORY], &[(50, SyncKind::Diff), (800, SyncKind::Snap)]);
    }
}

#[test]
fn a_learner_that_missed_much_gets_the_difference_from_files_when_that_is_allowed() {
    let _run = Run::new("a_learner_that_missed_much_gets_the_difference_from_files_when_that_is_allowed");
    for (leader, learner) in [(Quoll, Java), (Quoll, Quoll)] {
        learner_comes_back(leader, learner, &[FROM_FILES], &[(800, SyncKind::Diff)]);
    }
}

#[test]
fn a_learner_gets_a_snapshot_whatever_it_missed_when_that_is_asked_for() {
    let _run = Run::new("a_learner_gets_a_snapshot_whatever_it_missed_when_that_is_asked_for");
    for (leader, learner) in PAIRS {
        let properties = [FROM_MEMORY, ("zookeeper.forceSnapshotSync", "true")];
        learner_comes_back(leader, learner, &properties, &[(50, SyncKind::Snap)]);
    }
}

/// Log files are not used.
const FROM_MEMORY: (&str, &str) = ("zookeeper.snapshotSizeFactor", "-1");
/// They are, however large they are.
const FROM_FILES: (&str, &str) = ("zookeeper.snapshotSizeFactor", "0");

/// A follower of one kind is away for some writes and comes back to a leader of another, several times.
fn learner_comes_back(leader: Arm, learner: Arm, properties: &[(&str, &str)], absences: &[(u32, SyncKind)]) {
    // This many are kept in memory; upstream takes no fewer.
    let builder =
        Ensemble::of(&[learner, leader, leader]).proxied().property("zookeeper.commitLogCount", 500);
    let builder = properties.iter().fold(builder, |builder, (key, value)| builder.property(key, value));
    let mut ensemble = builder.start();
    let leads = ensemble.wait_for_leader();
    assert_eq!(leads, 3);
    let addr = ensemble.member(leads).addr();
    write_many(addr, "/before", 10);
    for (n, &(writes, expected)) in absences.iter().enumerate() {
        if n % 2 == 0 {
            ensemble.stop(1);
        } else {
            ensemble.kill(1);
        }
        write_many(addr, &format!("/absence-{n}"), writes);
        ensemble.network().take_syncs();
        ensemble.start(1);
        ensemble.wait_until_all_serve();
        let kinds: Vec<SyncKind> = ensemble.network().take_syncs().iter().map(|sync| sync.kind).collect();
        assert_eq!(kinds, [expected], "{writes} missed, {learner} learning from {leader}");
        same_everywhere(&ensemble);
    }
    // What it learned is on its disk.
    restart_all(&mut ensemble);
    same_everywhere(&ensemble);
}

#[test]
fn a_deposed_leader_takes_back_what_was_never_committed() {
    let _run = Run::new("a_deposed_leader_takes_back_what_was_never_committed");
    for (new, old) in PAIRS {
        deposed_leader_comes_back(old, new, 0, SyncKind::Trunc);
    }
}

#[test]
fn a_deposed_leader_loses_what_was_never_committed_to_the_snapshot_of_a_newer_epoch() {
    let _run = Run::new("a_deposed_leader_loses_what_was_never_committed_to_the_snapshot_of_a_newer_epoch");
    for (new, old) in PAIRS {
        deposed_leader_comes_back(old, new, 20, SyncKind::Snap);
    }
}

/// A leader of kind `old` logs a write that nobody else hears of and dies; the others, of kind `new`, go on with
/// `writes` writes; it comes back. Logs are cut back only within the newest epoch that a leader has txns of.
fn deposed_leader_comes_back(old: Arm, new: Arm, writes: u32, expected: SyncKind) {
    let mut ensemble = Ensemble::of(&[new, new, old]).proxied().start();
    let leads = ensemble.wait_for_leader();
    assert_eq!(leads, 3);
    let addr = ensemble.member(leads).addr();
    write_many(addr, "/before", 10);

    let mut zk = Client::connect(addr, 30_000).expect("the leader serves");
    ensemble.network().isolate(&[leads]);
    let marker = b"never committed, only logged";
    let body = Enc::new().str("/before").buf(Some(marker)).int(-1);
    zk.send(op::SET_DATA, &body.0).expect("the leader reads");
    let data_dir = ensemble.member(leads).data_dir();
    ensemble.wait_until("the leader has logged the write", |_| {
        let entries = fs::read_dir(data_dir.join("version-2")).expect("the data directory can be listed");
        let logs = entries.map(|e| e.expect("an entry can be read").path());
        logs.filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("log."))).any(|log| {
            let bytes = fs::read(&log).expect("a log can be read");
            bytes.windows(marker.len()).any(|w| w == marker)
        })
    });
    ensemble.kill(leads);
    let next = ensemble.wait_until_all_serve();
    assert_ne!(next, leads);
    if writes > 0 {
        write_many(ensemble.member(next).addr(), "/after", writes);
    }
    ensemble.network().heal();
    ensemble.network().take_syncs();
    ensemble.start(leads);
    ensemble.wait_until_all_serve();
    let kinds: Vec<SyncKind> = ensemble.network().take_syncs().iter().map(|sync| sync.kind).collect();
    assert_eq!(kinds, [expected], "{old} coming back to {new}");

    same_everywhere(&ensemble);
    restart_all(&mut ensemble);
    same_everywhere(&ensemble);
    let mut zk = Client::connect(ensemble.member(leads).addr(), 30_000).expect("the member serves");
    let (data, _) = zk.get_data("/before", false).expect("the member answers").expect("the node is there");
    assert_eq!(data.as_deref(), Some(&b"9"[..]), "what was never committed is not there");
}

fn same_everywhere(ensemble: &Ensemble) {
    converge(&ensemble.addrs(), false, false).unwrap_or_else(|what| panic!("{what}"));
}

fn restart_all(ensemble: &mut Ensemble) {
    for id in ensemble.ids() {
        ensemble.kill(id);
    }
    for id in ensemble.ids() {
        ensemble.start(id);
    }
    ensemble.wait_until_all_serve();
}
