//! The story of one large tree: how much memory it takes, how long a restart with it lasts, and what a snapshot of it
//! does to the writes that go on meanwhile.

use super::super::drive::Pace;
use super::super::error::Error;
use super::super::options::{CommonArgs, LoadArgs, SizeArgs};
use super::super::report::Report;
use super::super::workload::Workload;
use super::super::{Job, drive_job, load};
use super::server::{Arm, Launch, Running};
use super::{CompareArgs, cells, common, shape};
use std::time::Duration;

/// Name of a loaded znode.
const NAME_LEN: f64 = 9.0;
/// Writes that go on while a snapshot is made.
const RATE_PER_S: f64 = 2000.0;
/// So many txns, or half as many, between snapshots: two or more in the measured time.
const SNAP_COUNT: &str = "15000";
/// Length of the measurement with and without snapshots.
const SNAPSHOT_TIME: Duration = Duration::from_secs(25);

/// Runs the story on one server; answers the results of the cells that are wanted.
pub(super) fn run(
    args: &CompareArgs,
    launch: &Launch,
    arm: Arm,
    wanted: &[&str],
) -> Result<Vec<(&'static str, Report)>, Error> {
    let wants = |name: &str| wanted.contains(&name);
    let mut found = Vec::new();
    let tell = |text: String| {
        if !args.quiet {
            eprintln!("{arm}: {text}");
        }
    };
    let server = launch.start(arm, "large", &[])?;
    let loaded = load(&LoadArgs {
        common: CommonArgs { java_live: arm == Arm::Java, ..common(args, &server) },
        size: SizeArgs { clients: 32, threads: 1, value_size: cells::VALUE_LEN },
        znodes: args.znodes,
        depth: 64,
        multi_ops: 1,
    })?;
    if let Some(bytes) = loaded.more.get("bytes_per_znode").copied() {
        let beyond = bytes - NAME_LEN - cells::VALUE_LEN as f64;
        tell(format!("{} znodes/s, {beyond:.0} bytes beyond name and data", loaded.ops_per_s));
        if wants("znode") {
            found.push(("znode", loaded.with_more("value", beyond)));
        }
    }
    let mut stopped = server.stop()?;
    if wants("restart") {
        let again = launch.start_again(&stopped, &[])?;
        let seconds = again.ready_after.as_secs_f64();
        tell(format!("restart {seconds:.3} s"));
        found.push(("restart", Report::default().with_more("value", seconds)));
        stopped = again.stop()?;
    }
    if wants("snapshot") {
        let without = launch.start_again(&stopped, &[("snapCount", "100000000")])?;
        let calm = sets(args, &without)?;
        let stopped = without.stop()?;
        let with = launch.start_again(&stopped, &[("snapCount", SNAP_COUNT)])?;
        let before = with.snapshot_count();
        let busy = sets(args, &with)?;
        let snapshots = with.snapshot_count() - before;
        if snapshots == 0 {
            return Err(Error::Server {
                server: arm.to_string(),
                reason: format!("made no snapshot within {SNAP_COUNT} txns"),
            });
        }
        let (calm_us, busy_us) = (calm.latency.max_us, busy.latency.max_us);
        tell(format!("worst set {calm_us:.0} us without, {busy_us:.0} us with {snapshots} snapshots"));
        let report = busy
            .with_more("value", busy_us / calm_us)
            .with_more("snapshots", snapshots as f64)
            .with_more("worst_without_us", calm_us)
            .with_more("worst_with_us", busy_us)
            .with_more("p999_without_us", calm.latency.p999_us);
        found.push(("snapshot", report));
        with.stop()?;
    }
    Ok(found)
}

fn sets(args: &CompareArgs, server: &Running) -> Result<Report, Error> {
    let common = common(args, server);
    let size = SizeArgs { clients: 32, threads: 1, value_size: cells::VALUE_LEN };
    drive_job(&Job {
        workload: Workload::Set,
        shape: shape(&common),
        pace: Pace::Open { rate_per_s: RATE_PER_S },
        common: &common,
        size: &size,
        warm_up: args.warm_up,
        duration: Some(SNAPSHOT_TIME),
        ops: None,
    })
}
