//! Java and Quoll take turns on one data directory, with random writes in between; whatever the one served
//! last, the other serves: every node with data, Stat and ACL, sessions, ephemerals, tree digests.
//!
//! Each test prints its seed. `QUOLL_PING_PONG_SEED=N` repeats it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use compat_tests::arm::{Arm, arms_to_run};
use compat_tests::raw::four_letter_word;
use compat_tests::state::{SUPER_DIGEST, State};
use compat_tests::workload::Workload;
use compat_tests::{Server, ServerBuilder};

/// Writes at each turn: enough for several snapshots and logs.
const WRITES_PER_TURN: u32 = 500;

#[test]
fn java_and_quoll_serve_each_others_plain_snapshots() {
    take_turns("");
}

#[test]
fn java_and_quoll_serve_each_others_gz_snapshots() {
    take_turns("gz");
}

#[test]
fn java_and_quoll_serve_each_others_snappy_snapshots() {
    take_turns("snappy");
}

fn take_turns(compression: &str) {
    let turns = match &arms_to_run()[..] {
        [Arm::Java, Arm::Quoll] => vec![Arm::Java, Arm::Quoll, Arm::Java, Arm::Quoll, Arm::Java],
        [one, ..] => vec![*one; 3],
        [] => unreachable!("some arm always runs"),
    };
    let seed = match std::env::var("QUOLL_PING_PONG_SEED") {
        Ok(seed) => seed.parse().expect("QUOLL_PING_PONG_SEED is a number"),
        Err(_) => rand::random::<u32>().into(),
    };
    println!("repeat: QUOLL_PING_PONG_SEED={seed} cargo test -p compat-tests --test ping_pong");

    let dir = tempfile::tempdir().expect("a temporary folder can be created");
    let mut workload = Workload::new(seed);
    let mut digests = Digests::default();
    let mut left: Option<(Arm, State)> = None;
    let last = turns.len() - 1;
    for (turn, arm) in turns.iter().copied().enumerate() {
        let mut server = builder(arm, dir.path(), compression).start();
        let addr: SocketAddr = ([127, 0, 0, 1], server.port()).into();
        let label = format!("seed {seed}, turn {turn} ({arm})");
        let fail = |what: String, server: &Server| -> ! {
            panic!("{label}: {what}\n--- end of its log:\n{}", server.log_tail())
        };

        let found = State::read(addr).unwrap_or_else(|e| fail(format!("cannot be read: {e}"), &server));
        if let Some((before, mut expected)) = left.take() {
            // The reading itself was a session, begun and closed.
            expected.last_zxid += 2;
            let mut differences = expected.differences(&found);
            differences.truncate(20);
            if !differences.is_empty() {
                fail(format!("serves otherwise than {before} left it:\n{}", differences.join("\n")), &server);
            }
        }
        digests.check(addr).unwrap_or_else(|e| fail(e, &server));
        if turn == last {
            break;
        }
        workload.spare_root = arm == Arm::Java;
        if let Err(e) = workload.run(addr, WRITES_PER_TURN) {
            fail(format!("workload: {e}"), &server);
        }
        digests.check(addr).unwrap_or_else(|e| fail(e, &server));
        let state = State::read(addr).unwrap_or_else(|e| fail(format!("cannot be read: {e}"), &server));
        left = Some((arm, state));
        // Killed or stopped, the next one must find the same.
        if turn % 2 == 0 {
            server.kill();
        } else {
            server.stop();
        }
    }
    println!("{:?}; {} tree digests met again", workload.tally, digests.met_again);
    assert!(digests.met_again > 0, "no tree digest was ever seen by two servers");
    let snapshots = std::fs::read_dir(dir.path().join("version-2"))
        .expect("the data directory can be listed")
        .filter(|e| {
            let name = e.as_ref().expect("an entry can be read").file_name().into_string().unwrap();
            name.starts_with("snapshot.") && (compression.is_empty() || name.ends_with(compression))
        })
        .count();
    assert!(snapshots >= turns.len(), "only {snapshots} snapshots were written");
    assert_eq!(arms_to_run(), Arm::both(), "COMPAT_ARM left one server out, so nothing was compared");
}

fn builder(arm: Arm, dir: &Path, compression: &str) -> ServerBuilder {
    let mut builder = Server::builder(arm)
        .data_dir(dir)
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER_DIGEST)
        .property("zookeeper.extendedTypesEnabled", "true")
        .property("zookeeper.snapCount", 150)
        .property("zookeeper.preAllocSize", 64)
        // Containers and TTL nodes stay while the turns are compared.
        .property("znode.container.checkIntervalMs", 6_000_000);
    if !compression.is_empty() {
        builder = builder.property("zookeeper.snapshot.compression.method", compression);
    }
    builder
}

/// Tree digests by zxid, as `hash` shows them, over all turns.
#[derive(Default)]
struct Digests {
    known: BTreeMap<String, String>,
    met_again: u32,
}

impl Digests {
    fn check(&mut self, addr: SocketAddr) -> Result<(), String> {
        let word = |name| four_letter_word(addr, name).map_err(|e| format!("{name}: {e}"));
        for line in word("hash")?.lines() {
            let (zxid, digest) = line.split_once(": ").ok_or_else(|| format!("hash answers {line}"))?;
            match self.known.insert(zxid.into(), digest.into()) {
                Some(known) if known != digest => {
                    return Err(format!("tree digest at {zxid} is {digest}, it was {known}"));
                }
                Some(_) => self.met_again += 1,
                None => {}
            }
        }
        let mntr = word("mntr")?;
        let mismatches = mntr.lines().find_map(|l| l.strip_prefix("zk_digest_mismatches_count\t"));
        match mismatches {
            Some("0") => Ok(()),
            other => Err(format!("digest mismatches counted: {other:?}")),
        }
    }
}
