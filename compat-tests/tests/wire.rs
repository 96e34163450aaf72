//! The recorded conversations of `golden/wire`, replayed byte for byte against both servers.
//!
//! The Java arm proves the replayer: it must reproduce its own recordings. See [`compat_tests::wire`] for
//! what may differ. Recordings that share a server stay together and in their order, since zxids, session
//! ids and the root's statistics go on from one to the next.

use compat_tests::raw::{Acl, Client, flag};
use compat_tests::wire::{Recording, Replay};
use compat_tests::{Arm, Server};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The recordings made on one server each, in the order of the recording.
const REPLAYED: &[&[&str]] = &[
    &[
        "connect-basic",
        "connect-reconnect",
        "connect-expired",
        "connect-malformed",
        "create-delete",
        "read-ops",
        "bad-paths",
        "acl-denied",
        "acl-invalid",
        "auth-schemes",
        "watches-oneshot",
        "watches-persistent",
        "watches-remove",
        "set-watches",
        "multi-ops",
        "multi-read",
        "malformed-requests",
        "pipelining",
        "ping-and-4lw",
        "ephemerals-cmd",
        "reconfig-disabled",
        "realclient-zkcli",
        "realclient-kazoo",
    ],
    &["set-ops"],
    &["max-buffer"],
    &["quota-exceeded"],
    &["too-many-connections"],
    &["admin-words-not-whitelisted", "ttl-unsupported"],
];

/// The recordings that a standalone server without later features cannot answer, and why.
const NOT_REPLAYED: &[(&str, &str)] = &[
    ("ens-config-reconfig", "needs an ensemble of three"),
    ("ens-local-sessions", "needs an ensemble of three: ensemble_wire.rs replays it"),
    ("ens-local-sessions-noupgrade", "needs an ensemble of three: ensemble_wire.rs replays it"),
    ("ens-reconfig-leader-leaves", "needs an ensemble of three"),
    ("ens-session-moved", "needs an ensemble of three: ensemble_wire.rs replays it"),
    ("ens-sessions", "needs an ensemble of three: ensemble_wire.rs replays it"),
    ("ens-sync-and-watches", "needs an ensemble of three: ensemble_wire.rs replays it"),
    ("read-only-server", "needs a member of an ensemble without quorum: ensemble_wire.rs replays it"),
    ("read-only-server-no-local-sessions", "of an ensemble without quorum; Quoll differs: ensemble_wire.rs"),
    ("sasl-digest-md5", "needs a SASL mechanism, which the server does not offer yet"),
    ("sasl-required", "needs a SASL mechanism, which the server does not offer yet"),
    ("sasl-required-ok", "needs a SASL mechanism, which the server does not offer yet"),
];

/// Sessions that recorded clients left behind expired during later recordings, and one exchange is left
/// out: so often may the distance between recorded and seen zxids change.
const ZXID_JUMPS_MAX: usize = 8;

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/wire")
}

#[test]
fn every_recording_is_replayed_or_named_with_the_reason_why_not() {
    let mut found: Vec<String> = std::fs::read_dir(golden())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .map(|name| name.strip_suffix(".jsonl.gz").expect("only recordings lie here").to_owned())
        .collect();
    found.sort();
    let mut listed: Vec<String> = REPLAYED.concat().iter().map(|n| n.to_string()).collect();
    listed.extend(NOT_REPLAYED.iter().map(|(name, _)| name.to_string()));
    listed.sort();
    assert_eq!(listed, found);
    for (name, reason) in NOT_REPLAYED {
        let mode = Recording::read(&golden(), name).unwrap().meta["mode"].as_str().unwrap().to_owned();
        assert_eq!(reason.contains("ensemble"), mode.contains("ensemble"), "{name}: {reason}, but {mode}");
    }
}

#[test]
fn java_answers_as_recorded() {
    replay_all(Arm::Java, false);
}

#[test]
fn quoll_answers_as_recorded() {
    replay_all(Arm::Quoll, false);
}

#[test]
fn quoll_answers_as_recorded_when_every_byte_comes_alone() {
    replay_all(Arm::Quoll, true);
}

fn replay_all(arm: Arm, dribble: bool) {
    let mut differences = Vec::new();
    let mut compared = 0;
    let mut jumps = Vec::new();
    for group in REPLAYED {
        let recordings: Vec<Recording> =
            group.iter().map(|name| Recording::read(&golden(), name).unwrap()).collect();
        let mut attempts = 0;
        let (found, replay) = loop {
            attempts += 1;
            let (found, replay) = replay_group(arm, dribble, &recordings);
            // A Java server that refuses a session may close before its refusal is on its way.
            let is_cut_off = found.iter().any(|difference| difference.contains(": no answer ("));
            if arm != Arm::Java || attempts == ATTEMPTS_MAX || !is_cut_off {
                break (found, replay);
            }
            println!("{arm}: again, after {found:#?}");
        };
        differences.extend(found);
        // Only an expiry that fell elsewhere may shift zxids: no server uses up more of them, or fewer.
        jumps.extend(replay.learned.zxid_jumps);
        compared += replay.compared;
    }
    assert!(jumps.len() <= ZXID_JUMPS_MAX, "{arm}: zxids run away from the recorded ones: {jumps:#?}");
    println!("{arm}: {compared} answers compared, {} differences", differences.len());
    assert!(differences.is_empty(), "{arm}: {} differences\n{}", differences.len(), differences.join("\n"));
}

/// How often a group may be replayed to the Java server.
const ATTEMPTS_MAX: u32 = 3;

/// Replays recordings of one server to a fresh one; what differs.
fn replay_group(arm: Arm, dribble: bool, recordings: &[Recording]) -> (Vec<String>, Replay) {
    let server = start(arm, &recordings[0]);
    let mut replay = Replay::new(([127, 0, 0, 1], server.port()).into());
    replay.after_set_acl = open_the_acl_again;
    replay.dribble = dribble;
    let mut differences = Vec::new();
    for recording in recordings {
        assert_eq!(recording.options().0, recordings[0].options().0, "{}", recording.name);
        if recording.name == AFTER_A_LOST_RECORDING {
            stand_in_for_the_lost_recording(server.port());
        }
        differences.extend(replay.run(recording));
    }
    (differences, replay)
}

/// Before this one the recorded server had another conversation, of which no recording is left.
const AFTER_A_LOST_RECORDING: &str = "bad-paths";

/// Takes as many txns as the lost one and leaves what later recordings show of it.
fn stand_in_for_the_lost_recording(port: u16) {
    let mut zk = Client::connect(([127, 0, 0, 1], port).into(), 10_000).unwrap();
    zk.create("/svc810", None, &Acl::open(), flag::PERSISTENT, 0).unwrap().unwrap();
    for _ in 0..10 {
        zk.set_data("/svc810", None, 77).unwrap().unwrap_err();
    }
    zk.set_data("/", Some(b"r"), -1).unwrap().unwrap();
    zk.set_data("/svc810", None, 77).unwrap().unwrap_err();
    zk.close().unwrap();
}

/// In this one a second client, past the proxy, opened the node's ACL again after each change of it.
fn open_the_acl_again(addr: SocketAddr, recording: &str) {
    if recording == "acl-invalid" {
        let mut zk = Client::connect(addr, 10_000).unwrap();
        zk.add_auth("digest", b"super:golden").unwrap().unwrap();
        zk.set_acl("/svc578", &Acl::open(), -1).unwrap().unwrap();
        zk.close().unwrap();
    }
}

/// A server with the options of the recorded one.
fn start(arm: Arm, recording: &Recording) -> Server {
    let mut builder = Server::builder(arm)
        .key("4lw.commands.whitelist", "srvr")
        .key("maxClientCnxns", 60)
        // A connection that never sends its connect request is closed after this; recorded with 10,000.
        .key("nio.sessionlessCnxnTimeout", 2_000)
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER_GOLDEN);
    let (properties, keys) = recording.options();
    for (key, value) in &keys {
        builder = builder.key(key, value);
    }
    for (key, value) in &properties {
        builder = builder.property(key, value);
    }
    builder.start()
}

/// `super:` and the digest of `super:golden`.
const SUPER_GOLDEN: &str = "super:c9T5yFYCHEoR/xZ3KuYTF5tNWis=";
