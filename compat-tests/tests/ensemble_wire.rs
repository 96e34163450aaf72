//! Recorded conversations with ensembles, replayed byte for byte against ensembles of either kind, and what the members
//! of such ensembles say of themselves.
//!
//! Port 26201 of a recording is the first member here, and so on; as in the recordings the last voter leads.

use compat_tests::Arm;
use compat_tests::arm::Arm::{Java, Quoll};
use compat_tests::ensemble::Ensemble;
use compat_tests::ensemble::member::Mode;
use compat_tests::raw::{Acl, Client, Enc, flag, read_frame};
use compat_tests::wire::{Recording, Replay, shape};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// Recordings of an ensemble whose members all ran.
const OF_THREE: &[&str] = &[
    "ens-local-sessions",
    "ens-local-sessions-noupgrade",
    "ens-sessions",
    "ens-session-moved",
    "ens-sync-and-watches",
];

#[test]
fn java_answers_as_recorded() {
    replay_all(Java);
}

#[test]
fn quoll_answers_as_recorded() {
    replay_all(Quoll);
}

fn recording(name: &str) -> Recording {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/wire");
    Recording::read(&dir, name).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// An ensemble of three with the options of the recorded one, nobody started.
fn ensemble(arm: Arm, recording: &Recording) -> Ensemble {
    let (properties, keys) = recording.options();
    // The recorded ones had the default for a tick of a second.
    let mut builder = Ensemble::of(&[arm; 3]).key("maxSessionTimeout", 20_000);
    for (key, value) in &keys {
        builder = builder.key(key, value);
    }
    for (key, value) in &properties {
        builder = builder.property(key, value);
    }
    builder.build()
}

fn replay_all(arm: Arm) {
    let mut differences = Vec::new();
    let mut compared = 0;
    let mut replay = |ensemble: &Ensemble, recording: &Recording| {
        let mut replay = Replay::of_ensemble(&ensemble.addrs());
        differences.extend(replay.run(recording));
        assert!(replay.learned.zxid_jumps.is_empty(), "{}: {:?}", recording.name, replay.learned.zxid_jumps);
        compared += replay.compared;
    };
    for name in OF_THREE {
        let recording = recording(name);
        let mut ensemble = ensemble(arm, &recording);
        ensemble.start_led_by(3);
        replay(&ensemble, &recording);
    }
    let mut recording = recording("read-only-server");
    // The data of /zookeeper/config names the recorded ports.
    recording.lines.retain(|(_, v)| !(v["conn"] == 4 && v["decoded"]["xid"] == 2));
    let mut ensemble = ensemble(arm, &recording);
    ensemble.start(1);
    ensemble.wait_until("it serves readers", |e| e.member(1).mode() == Some(Mode::ReadOnly));
    replay(&ensemble, &recording);
    println!("{arm}: {compared} answers compared, {} differences", differences.len());
    assert!(differences.is_empty(), "{arm}: {} differences\n{}", differences.len(), differences.join("\n"));
}

/// A client that asks for a new session; `read_only` says whether it accepts a server without a leader.
fn greet(addr: SocketAddr, read_only: bool) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("the member listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let connect = Enc::new().int(0).long(0).int(10_000).long(0).buf(Some(&[0; 16])).bool(read_only).0;
    stream.write_all(&[&(connect.len() as u32).to_be_bytes()[..], &connect].concat()).expect("sent");
    stream
}

/// Whether the server has closed it without another byte.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(n) => n == 0,
        Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_member_that_is_alone_serves_readers_until_it_has_a_leader_again() {
    for arm in [Java, Quoll] {
        let mut ensemble = Ensemble::of(&[arm; 3])
            .key("localSessionsEnabled", true)
            .key("localSessionsUpgradingEnabled", true)
            .property("readonlymode.enabled", true)
            .build();
        ensemble.start_led_by(3);
        let mut zk = Client::connect(ensemble.member(1).addr(), 10_000).expect("a client");
        zk.create("/kept", Some(b"x"), &Acl::open(), flag::PERSISTENT, 0).expect("sent").expect("created");
        zk.close().expect("closed");
        ensemble.kill(2);
        ensemble.kill(3);
        ensemble.wait_until("it serves readers", |e| e.member(1).mode() == Some(Mode::ReadOnly));
        let addr = ensemble.member(1).addr();
        let mut reader = greet(addr, true);
        let answer = read_frame(&mut reader).expect("an answer");
        assert_eq!((answer.len(), answer.last()), (37, Some(&1)), "{arm}");
        let exists = Enc::new().int(7).int(3).str("/kept").bool(false).0;
        reader.write_all(&[&(exists.len() as u32).to_be_bytes()[..], &exists].concat()).expect("sent");
        let answer = read_frame(&mut reader).expect("an answer");
        assert_eq!((&answer[..4], &answer[12..16]), (&[0, 0, 0, 7][..], &[0; 4][..]), "{arm}");
        assert!(is_closed(&mut greet(addr, false)), "{arm}: it wants to write");
        assert_eq!(ensemble.member(1).word("isro").expect("an answer"), "ro");
        assert_eq!(ensemble.member(1).metric("local_sessions").as_deref(), Some("1"), "{arm}");
        ensemble.start(2);
        ensemble.wait_until("there is a leader", |e| {
            matches!(e.member(1).mode(), Some(Mode::Leader | Mode::Follower))
        });
        assert!(is_closed(&mut reader), "{arm}: who was served without a leader has to come again");
        let mut zk = Client::connect(addr, 10_000).expect("a client");
        zk.set_data("/kept", Some(b"y"), -1).expect("sent").expect("written");
        assert_eq!(ensemble.member(1).word("isro").expect("an answer"), "rw");
    }
}

/// Without local sessions there is nothing that such a client could have. Java leaves it with half an answer and reads
/// no more; Quoll closes it, so that it goes on to another server.
#[test]
fn a_read_only_client_without_local_sessions_is_sent_on() {
    let recording = recording("read-only-server-no-local-sessions");
    let mut ensemble = ensemble(Quoll, &recording);
    ensemble.start(1);
    ensemble.wait_until("it is read-only", |e| e.member(1).mode() == Some(Mode::ReadOnly));
    assert!(is_closed(&mut greet(ensemble.member(1).addr(), true)));
    assert!(is_closed(&mut greet(ensemble.member(1).addr(), false)));
}

#[test]
fn words_show_local_sessions() {
    let mut said = Vec::new();
    for arm in [Java, Quoll] {
        let ensemble = Ensemble::of(&[arm; 3])
            .key("localSessionsEnabled", true)
            .key("localSessionsUpgradingEnabled", true)
            .start();
        let mut lines = Vec::new();
        for id in [1, 3] {
            let addr = ensemble.member(id).addr();
            let stays = Client::connect(addr, 10_000).expect("a client");
            let mut rises = Client::connect(addr, 10_000).expect("a client");
            let path = format!("/e{id}");
            rises.create(&path, None, &Acl::open(), flag::EPHEMERAL, 0).expect("sent").expect("created");
            let dump = ensemble.member(id).word("dump").expect("an answer");
            let (sessions, _) = dump.split_once("ephemeral nodes").expect("upstream's headings");
            let numbers = |text: &str| {
                let heading = |l: &&str| l.contains("Sets (") || l.starts_with("Global Sessions(");
                text.lines().filter(heading).map(str::to_owned).collect::<Vec<_>>()
            };
            lines.push(format!("{:?}", shape(sessions)));
            // How many lists there are depends on the clock; how many sessions are in them does not.
            let counted = numbers(sessions)
                .iter()
                .map(|l| l.rsplit('(').next().unwrap_or("").to_owned())
                .collect::<Vec<_>>();
            lines.push(format!("{counted:?}"));
            for metric in ["local_sessions", "global_sessions"] {
                lines.push(format!("{metric} {:?}", ensemble.member(id).metric(metric)));
            }
            drop((stays, rises));
        }
        said.push(lines);
    }
    assert_eq!(said[0], said[1]);
}
