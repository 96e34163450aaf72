//! Several clients write at random while the server is killed with SIGKILL every few seconds and started
//! again: nothing that was answered may be missing, nothing may overtake, versions and zxids only grow.
//!
//! `QUOLL_SOAK_SECONDS` sets the length (default 40), `QUOLL_SOAK_SEED` repeats a workload (the kills fall
//! where the clock lets them), `COMPAT_ARM=java` soaks the upstream server, to prove the checks. For half an hour:
//!
//!     QUOLL_SOAK_SECONDS=1800 cargo test --release -p compat-tests --test soak -- --nocapture

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use compat_tests::arm::Arm;
use compat_tests::load::{Load, LoadSettings};
use compat_tests::state::SUPER_DIGEST;
use compat_tests::{Server, ServerBuilder};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

#[test]
fn nothing_answered_is_lost_when_the_server_is_killed_again_and_again() {
    let seconds = number("QUOLL_SOAK_SECONDS").unwrap_or(40);
    let seed = number("QUOLL_SOAK_SEED").unwrap_or_else(|| rand::random::<u32>().into());
    println!(
        "repeat: QUOLL_SOAK_SEED={seed} QUOLL_SOAK_SECONDS={seconds} cargo test -p compat-tests --test soak"
    );
    let arm = match std::env::var("COMPAT_ARM").as_deref() {
        Ok("java") => Arm::Java,
        _ => Arm::Quoll,
    };

    let dir = tempfile::tempdir().expect("a temporary folder can be created");
    let mut server = builder(arm).data_dir(dir.path()).start();
    let addr: SocketAddr = ([127, 0, 0, 1], server.port()).into();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        soak(arm, &mut server, addr, seed, seconds)
    }));
    if let Err(panic) = outcome {
        let kept = dir.keep();
        eprintln!(
            "seed {seed}, data directory kept in {}\n--- end of the server's log:\n{}",
            kept.display(),
            server.log_tail()
        );
        std::panic::resume_unwind(panic);
    }
}

fn soak(arm: Arm, server: &mut Server, addr: SocketAddr, seed: u64, seconds: u64) {
    let load = Load::start(&LoadSettings {
        addrs: vec![addr],
        seed,
        root: "/soak".into(),
        sync_sees_everything: true,
        empty_may_be_late: arm == Arm::Java,
        same_config: true,
        strict_digests: arm == Arm::Quoll,
        walkers: 6,
        pause: Duration::ZERO,
        patience: Duration::from_secs(90),
    });
    let mut rng = StdRng::seed_from_u64(seed);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut kills = 0;
    while Instant::now() < deadline {
        // Now and then soon after it serves, when clients are just coming back.
        let pause_ms =
            if rng.random_bool(0.25) { rng.random_range(0..100) } else { rng.random_range(500..4_000) };
        load.run_for(Duration::from_millis(pause_ms));
        server.kill();
        kills += 1;
        // And now and then before it serves, while it recovers.
        while rng.random_bool(0.25) {
            server.start_and_kill(Duration::from_millis(rng.random_range(1..80)));
            kills += 1;
        }
        server.start_again();
    }
    let report = load.finish();
    println!("{kills} kills, {report:?}");
    assert!(kills >= seconds / 8, "only {kills} kills in {seconds} s");
    let answered = report.acknowledged;
    assert!(answered > 100 * seconds, "only {answered} writes were answered in {seconds} s");
}

fn builder(arm: Arm) -> ServerBuilder {
    Server::builder(arm)
        // Old files go at each start: half an hour of them would not fit on a disk.
        .key("autopurge.purgeInterval", 1)
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER_DIGEST)
        // Snapshots and new logs every second or so: kills fall into them too.
        .property("zookeeper.snapCount", 3_000)
        .property("zookeeper.preAllocSize", 256)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{variable} is {text}: {e}")))
}
