//! Members are killed while a configuration is proposed and right after it is active: what is on disk then must lead
//! all of them to one configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use compat_tests::arm::Arm::{self, Java, Quoll};
use compat_tests::ensemble::Ensemble;
use compat_tests::ensemble::member::Mode;
use compat_tests::ports::Ports;
use compat_tests::raw::{Client, Enc, MultiOp, MultiResult, write_many};
use rand::RngExt;

use crate::reconfig::{RECONFIG, Writes, change, config_if_served, config_of, move_one, wait_for_ports};
use crate::run::{MIXED, QUOLL, Run, three};

#[test]
fn a_configuration_that_was_only_proposed_when_all_quoll_members_died_is_completed() {
    let _run = Run::new("a_configuration_that_was_only_proposed_when_all_quoll_members_died_is_completed");
    complete_after_the_end_of_all(&QUOLL, &QUOLL);
}

#[test]
fn a_configuration_that_was_only_proposed_is_completed_by_the_other_kind_from_its_files() {
    let _run =
        Run::new("a_configuration_that_was_only_proposed_is_completed_by_the_other_kind_from_its_files");
    complete_after_the_end_of_all(&MIXED, &[Java, Quoll, Java]);
    complete_after_the_end_of_all(&[Java; 3], &QUOLL);
}

#[test]
fn a_leader_that_completes_a_configuration_by_which_it_moves_goes_to_its_new_ports() {
    let _run = Run::new("a_leader_that_completes_a_configuration_by_which_it_moves_goes_to_its_new_ports");
    let ports = Ports::reserve();
    let mut e = three(&QUOLL);
    let mut admin = admin(&e, 3);
    e.suspend(1);
    e.suspend(2);
    let old = move_one(&mut e, 3, &ports);
    ask(&mut admin, &e.server_line(3, "participant"), "");
    e.wait_until("the leader has logged it", |e| {
        next_file(e, 3).exists() && logs_say(e, 3, &e.server_line(3, "participant"))
    });
    for id in [1, 2, 3] {
        e.kill(id);
    }
    // It has what the other one lacks, and leads where both can find it.
    for id in [1, 3] {
        e.start_as_it_is(id);
    }
    e.wait_until("the two serve", |e| e.leader().is_some());
    e.start_as_it_is(2);
    e.wait_until_all_serve();
    let text = all_go_by_one(&mut e);
    assert!(text.contains(&e.server_line(3, "participant")), "{text}");
    wait_for_ports(&mut e, 3, old);
    write_many(e.member(3).addr(), "/after", 10);
}

/// It asked for a quorum of the configuration that only it had seen, too, and stayed outside for ever.
#[test]
fn a_configuration_that_only_a_killed_leader_had_seen_does_not_keep_it_outside() {
    let _run = Run::new("a_configuration_that_only_a_killed_leader_had_seen_does_not_keep_it_outside");
    forget_what_nobody_else_knows(&QUOLL);
    forget_what_nobody_else_knows(&[Java, Java, Quoll]);
}

/// A leader had the txn in its log before it knew of the configuration for good. Killed between the two, it was elected
/// again and went by the old configuration, and the others forgot the new one for its sake.
#[test]
fn a_configuration_that_cannot_be_kept_is_in_no_log() {
    let _run = Run::new("a_configuration_that_cannot_be_kept_is_in_no_log");
    for who in [1, 3] {
        let mut e = three(&QUOLL);
        let mut admin = admin(&e, 2);
        let mut beside = next_file(&e, who).into_os_string();
        beside.push(".tmp");
        std::fs::create_dir(&beside).expect("the name is free");
        ask(&mut admin, &e.server_line(1, "observer"), "");
        e.wait_for_end(who);
        assert!(!logs_say(&e, who, "observer"), "member {who} has logged it");
        assert!(e.member(who).log().contains("a reconfiguration cannot be kept"));
        if who == 1 {
            e.wait_until("the others have it", |e| [2, 3].iter().all(|id| logs_say(e, *id, "observer")));
        }
        std::fs::remove_dir(&beside).expect("an empty folder");
        e.start_as_it_is(who);
        e.wait_until_all_serve();
        all_go_by_one(&mut e);
    }
}

/// Removes what a load has left: after hundreds of rounds it would not fit the memory of a Java member.
fn clear_away(at: SocketAddr) {
    let mut zk = Client::connect(at, 30_000).expect("the member serves");
    zk.sync("/").expect("the member answers").expect("a sync");
    let names = zk.children("/").expect("the member answers").expect("the root");
    let paths: Vec<_> = names.iter().filter(|n| n.starts_with('w')).map(|n| format!("/{n}")).collect();
    for some in paths.chunks(500) {
        let ops: Vec<_> =
            some.iter().map(|path| MultiOp::Delete { path: path.clone(), version: -1 }).collect();
        let results = zk.multi(&ops).expect("the member answers");
        assert!(results.iter().all(|result| matches!(result, MultiResult::Done)), "{results:?}");
    }
}

/// Whether the text is in a log of the member.
fn logs_say(e: &Ensemble, id: u64, text: &str) -> bool {
    let dir = e.member(id).data_dir().join("version-2");
    let files = std::fs::read_dir(&dir).expect("a readable folder").map(|file| file.expect("a file").path());
    let mut logs =
        files.filter(|file| file.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"log.")));
    logs.any(|log| {
        let bytes = std::fs::read(&log).expect("a readable log");
        bytes.windows(text.len()).any(|found| found == text.as_bytes())
    })
}

#[test]
fn quoll_members_killed_around_a_reconfiguration_come_to_one_configuration() {
    let run = Run::new("quoll_members_killed_around_a_reconfiguration_come_to_one_configuration");
    kill_around(run, &QUOLL);
}

#[test]
fn members_of_both_kinds_killed_around_a_reconfiguration_come_to_one_configuration() {
    let run = Run::new("members_of_both_kinds_killed_around_a_reconfiguration_come_to_one_configuration");
    kill_around(run, &MIXED);
}

/// A client that may change the configuration.
fn admin(e: &Ensemble, at: u64) -> Client {
    let mut zk = Client::connect(e.member(at).addr(), 30_000).expect("the member serves");
    zk.add_auth("digest", b"super:golden").expect("the member answers").expect("the password is right");
    zk
}

/// Asks for another configuration and waits for nothing.
fn ask(zk: &mut Client, joining: &str, leaving: &str) {
    zk.send(RECONFIG, &Enc::new().str(joining).str(leaving).int(-1).long(-1).0).expect("the member reads");
}

fn next_file(e: &Ensemble, id: u64) -> PathBuf {
    let mut name = e.member(id).config_path().into_os_string();
    name.push(".dynamic.next");
    name.into()
}

/// Nobody has a configuration to come, and the files of all name the active one, which all answer.
fn all_go_by_one(e: &mut Ensemble) -> String {
    let mut text = String::new();
    e.wait_until("all go by one configuration", |e| {
        let Some(one) = config_if_served(e.member(1).addr()) else { return false };
        text = one;
        let version = text.lines().find_map(|line| line.strip_prefix("version=")).expect("a version");
        e.ids().into_iter().all(|id| {
            let named = std::fs::read_to_string(e.member(id).config_path()).expect("a readable file");
            // An upstream member may keep what is of no account.
            let nothing_to_come = e.member(id).arm == Java || !next_file(e, id).exists();
            config_if_served(e.member(id).addr()).as_ref() == Some(&text)
                && named.trim_end().ends_with(&format!(".dynamic.{version}"))
                && nothing_to_come
        })
    });
    text
}

fn complete_after_the_end_of_all(before: &[Arm; 3], after: &[Arm; 3]) {
    let mut e = three(before);
    write_many(e.member(3).addr(), "/before", 10);
    // Of the new configuration's two voters one does not hear of it.
    let mut admin = admin(&e, 3);
    e.suspend(1);
    ask(&mut admin, &e.server_line(3, "observer"), "");
    e.wait_until("two have seen the configuration", |e| [2, 3].iter().all(|id| next_file(e, *id).exists()));
    for id in [3, 2, 1] {
        e.kill(id);
    }
    assert!([2, 3].iter().all(|id| next_file(&e, *id).exists()), "it was not committed");
    for (id, arm) in (1..).zip(after) {
        e.set_arm(id, *arm);
        e.start_as_it_is(id);
    }
    e.wait_until_all_serve();
    assert_eq!(e.member(3).mode(), Some(Mode::Observer));
    let text = all_go_by_one(&mut e);
    assert_eq!((text.matches("participant").count(), text.matches("observer").count()), (2, 1), "{text}");
    write_many(e.member(3).addr(), "/after", 10);
}

fn forget_what_nobody_else_knows(kinds: &[Arm; 3]) {
    let mut e = three(kinds);
    let before = config_of(e.member(3).addr());
    let mut admin = admin(&e, 3);
    e.suspend(1);
    e.suspend(2);
    ask(&mut admin, "", "1");
    e.wait_until("the leader has seen the configuration", |e| next_file(e, 3).exists());
    // What waits for them to read goes with them.
    for id in [1, 2, 3] {
        e.kill(id);
    }
    assert!(!next_file(&e, 1).exists() && !next_file(&e, 2).exists());
    for id in [1, 2] {
        e.start_as_it_is(id);
    }
    let second = e.wait_until_all_serve();
    write_many(e.member(second).addr(), "/without-3", 10);
    assert!(next_file(&e, 3).exists());
    e.start_as_it_is(3);
    e.wait_until("member 3 follows", |e| e.member(3).mode() == Some(Mode::Follower));
    assert_eq!(e.leader(), Some(second));
    assert_eq!(all_go_by_one(&mut e), before);
    write_many(e.member(3).addr(), "/with-3", 10);
}

/// One after the other becomes an observer and a voter again, and somebody dies at some moment of that.
fn kill_around(mut run: Run, kinds: &[Arm; 3]) {
    let mut e = three(kinds);
    let mut rounds = 0;
    while run.goes_on(rounds, 6) {
        rounds += 1;
        let load = Writes::begin(e.addrs());
        load.wait_for(20);
        let text = config_of(e.member(1).addr());
        let observer = e.ids().into_iter().find(|id| text.contains(&e.server_line(*id, "observer")));
        let who = observer.unwrap_or_else(|| run.rng.random_range(1..=3));
        let role = if observer.is_some() { "participant" } else { "observer" };
        let at = run.rng.random_range(1..=3);
        let victims: Vec<u64> = match run.rng.random_range(1..=4) {
            4 => vec![1, 2, 3],
            one => vec![one],
        };
        let pause = Duration::from_micros(run.rng.random_range(0..25_000));
        println!(
            "round {rounds}: member {who} becomes {role}, asked at {at}; {victims:?} die after {pause:?}"
        );
        let mut admin = admin(&e, at);
        ask(&mut admin, &e.server_line(who, role), "");
        thread::sleep(pause);
        victims.iter().for_each(|id| e.kill(*id));
        victims.iter().for_each(|id| e.start_as_it_is(*id));
        // It is answered, or its connection is lost: nothing of it comes later.
        let _ = admin.recv();
        e.wait_until_all_serve();
        load.wait_for(20);
        all_go_by_one(&mut e);
        load.verify(&e, &[1, 2, 3]);
        load.end();
        clear_away(e.addrs()[0]);
    }
    // Nothing stands in the way of the next one.
    let leader = e.leader().expect("one leads");
    let other = if leader == 1 { 2 } else { 1 };
    assert_eq!(change(e.member(leader).addr(), &e.server_line(other, "observer"), "", -1), Some(0));
}
