//! Every golden data directory is opened by a running server, which must serve exactly what is expected.
//!
//! Where a real server refuses a directory that is damaged or incomplete, ours refuses it too and touches
//! nothing. Where a real server fails only because a setting differs from the writer's, ours serves the
//! true state ([`TRUE_STATE`]).

use std::net::SocketAddr;

use compat_tests::golden::{self, Golden};
use compat_tests::state::{SUPER_DIGEST, State};
use compat_tests::{Arm, Server, ServerBuilder};

/// Directories that a real server does not serve with the loader's options, or not as they were: what is in
/// them is told by a real server with the writer's options.
const TRUE_STATE: &[&str] =
    &["3.9.5-digest-loadedoff", "3.9.5-nodigest-loadeddefault", "3.9.5-ttl-loadeddefault"];

/// A directory whose newest snapshot a real server cannot load; what is in it is told by its logs alone.
const TRUE_STATE_BY_REPLAY: &str = "3.9.5-fuzzy-refused";

/// Directories that a real server refuses though all that was ever answered can be told from them, and the
/// directory whose expectation is that:
/// * a wrong checksum in the very last record, with nothing but zeros behind it, is a torn write like the one
///   of the other directory; both end before that record;
/// * where every snapshot is damaged but the log is complete from the first txn on, the log is the truth.
const TOLD_BY_ANOTHER: &[(&str, &str)] =
    &[("3.9.5-torn-crc", "3.9.5-torn-eor"), ("3.9.5-snap-allbad", "3.9.5-snap-half")];

/// Enough to prove that the reader and the comparison find what a real server serves.
const PROOF: &[&str] = &["3.8.4-ephemerals", "3.9.5-acls-snap", "3.9.5-splitlog", "3.9.5-ttl-emulate353"];

const CHECK_INTERVAL: &str = "znode.container.checkIntervalMs";

#[test]
fn java_serves_what_is_expected_of_it() {
    let differences: Vec<String> = PROOF.iter().flat_map(|name| check(Arm::Java, name)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn quoll_serves_every_golden_directory_as_expected() {
    let names = golden::names();
    assert!(names.len() >= 70, "only {} golden directories found", names.len());
    let differences: Vec<String> = names.iter().flat_map(|name| check(Arm::Quoll, name)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Differences of what is served from what is expected, each with the directory's name.
fn check(arm: Arm, name: &str) -> Vec<String> {
    let golden = Golden::unpack(name);
    let expected = golden.expected("expected.json");
    let options = golden::loader_options(&expected);
    let wanted = if name == TRUE_STATE_BY_REPLAY {
        golden::expected_state(&golden.expected("expected-by-full-replay.json"))
    } else if TRUE_STATE.contains(&name) {
        told_by_java(name, &golden::writer_options(&expected))
    } else if let Some((_, other)) = TOLD_BY_ANOTHER.iter().find(|(of, _)| *of == name) {
        golden::expected_state(&Golden::unpack(other).expected("expected.json"))
    } else if expected["start"] == "refused" {
        return refused(arm, &golden, &options);
    } else {
        golden::expected_state(&expected)
    };
    for _ in 0..5 {
        let fresh = Golden::unpack(name);
        let served = match builder(arm, &fresh, &options).try_start() {
            Ok(server) => State::read(address(&server)),
            Err(failure) => {
                return vec![format!("{name}: not served ({:?}): {}", failure.status, failure.log)];
            }
        };
        match served {
            // On a busy machine the start may outlast the shortest of the sessions: then once more.
            Ok(served) if a_session_expired(&wanted, &served) => {}
            Ok(served) => return capped(name, wanted.differences(&served)),
            Err(e) => return vec![format!("{name}: cannot be read: {e}")],
        }
    }
    vec![format!("{name}: sessions expired five times before the server could be read")]
}

fn a_session_expired(wanted: &State, served: &State) -> bool {
    served.last_zxid > wanted.last_zxid
        && served.sessions.len() < wanted.sessions.len()
        && served.sessions.is_subset(&wanted.sessions)
}

fn refused(arm: Arm, golden: &Golden, options: &[(String, String)]) -> Vec<String> {
    let before = golden.files();
    match builder(arm, golden, options).try_start() {
        Ok(_) => vec![format!("{}: served, though it must be refused", golden.name)],
        Err(failure) if failure.status.is_none_or(|s| s.success()) => {
            vec![format!("{}: no failing exit: {:?} {}", golden.name, failure.status, failure.log)]
        }
        Err(_) if golden.files() != before => vec![format!("{}: refused, but changed", golden.name)],
        Err(_) => Vec::new(),
    }
}

/// What a real server serves of a fresh copy with the options that fit the directory.
fn told_by_java(name: &str, options: &[(String, String)]) -> State {
    let golden = Golden::unpack(name);
    let server = builder(Arm::Java, &golden, options).start();
    State::read(address(&server)).unwrap_or_else(|e| panic!("{name}: Java cannot be read: {e}"))
}

fn builder(arm: Arm, golden: &Golden, options: &[(String, String)]) -> ServerBuilder {
    let mut builder = Server::builder(arm)
        .data_dir(golden.data_dir())
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER_DIGEST);
    if let Some(dir) = golden.data_log_dir() {
        builder = builder.key("dataLogDir", dir.display());
    }
    // No node is to expire while the directory is read, whatever the interval was.
    options
        .iter()
        .filter(|(key, _)| key != CHECK_INTERVAL)
        .fold(builder.property(CHECK_INTERVAL, 6_000_000), |builder, (key, value)| {
            builder.property(key, value)
        })
}

fn address(server: &Server) -> SocketAddr {
    ([127, 0, 0, 1], server.port()).into()
}

fn capped(name: &str, differences: Vec<String>) -> Vec<String> {
    let more = differences.len().saturating_sub(10);
    let mut out: Vec<String> = differences.into_iter().take(10).map(|d| format!("{name}: {d}")).collect();
    if more > 0 {
        out.push(format!("{name}: and {more} more"));
    }
    out
}
