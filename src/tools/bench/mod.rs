//! `quoll bench`: drives any server that speaks the ZooKeeper client protocol and measures it.
//!
//! The generator shares the machine with the server, so it is as lean as it can be: one thread (or a few) with an event
//! loop of its own, requests encoded before the run, one write per batch of requests and one read per batch of answers.
//! It checks every answer: xid, length, error code.
//!
//! Invariants: a latency counts from the time a request was, or in an open loop should have been, sent; processor time,
//! memory and answers are taken over the same window.
//!
//! No upstream counterpart (its own benchmarks are external tools). Start at [`run`], then [`drive`].

mod compare;
mod connection;
mod drive;
mod echo;
mod error;
mod fanout;
mod idle;
mod measure;
mod options;
mod process;
mod progress;
mod report;
mod setup;
mod storm;
#[cfg(test)]
mod tests;
mod wire;
mod workload;

pub use compare::CompareArgs;
pub use drive::Pace;
pub use error::Error;
pub use measure::Latency;
pub use options::{BenchArgs, Command};
pub use process::{ProcessSample, sample, sample_java};
pub use report::{GeneratorCost, Report, ServerCost};
pub use workload::{Shape, Workload};

use connection::Dial;
use drive::Drive;
use measure::Window;
use options::{CommonArgs, DriveArgs, LoadArgs, SizeArgs, WatchesArgs, in_range};
use progress::Progress;
use report::Ends;
use std::sync::Arc;
use std::time::{Duration, Instant};
use workload::Plan;

/// Runs the benchmark and prints its result. Answers whether everything was answered without errors.
///
/// # Errors
/// When the run could not be made: a bad option, no server, znodes that cannot be set up.
pub fn run(args: &BenchArgs) -> Result<bool, Error> {
    let (common, report) = match &args.command {
        Command::Create(args) => (&args.common, drive_for(Workload::Create, args)?),
        Command::Set(args) => (&args.common, drive_for(Workload::Set, args)?),
        Command::Get(args) => (&args.common, drive_for(Workload::Get, args)?),
        Command::Exists(args) => (&args.common, drive_for(Workload::Exists, args)?),
        Command::Children(args) => (&args.common, drive_for(Workload::Children, args)?),
        Command::Mixed(args) => (&args.common, drive_for(Workload::Mixed, args)?),
        Command::Multi(args) => (&args.common, drive_for(Workload::Multi, args)?),
        Command::Ephemeral(args) => (&args.common, drive_for(Workload::Ephemeral, args)?),
        Command::Ping(args) => (&args.common, drive_for(Workload::Ping, args)?),
        Command::Load(args) => (&args.common, load(args)?),
        Command::Watches(args) => (&args.common, watches(args)?),
        Command::Fanout(args) => (&args.common, fanout::run(args)?),
        Command::Storm(args) => (&args.common, storm::run(args)?),
        Command::Idle(args) => (&args.common, idle::run(args)?),
        Command::Compare(args) => return compare::run(args),
        Command::EchoServer(args) => return echo::run(args).map(|()| true),
    };
    if common.json {
        println!("{}", serde_json::to_string_pretty(&report).expect("a report has only string keys"));
    } else {
        print!("{report}");
    }
    Ok(report.is_clean())
}

/// Everything one driven run needs.
struct Job<'a> {
    workload: Workload,
    shape: Shape,
    pace: Pace,
    common: &'a CommonArgs,
    size: &'a SizeArgs,
    warm_up: Duration,
    /// Length of the window; without one the run ends by itself or after `ops`.
    duration: Option<Duration>,
    ops: Option<u64>,
}

fn drive_for(workload: Workload, args: &DriveArgs) -> Result<Report, Error> {
    let report = drive_job(&Job {
        workload,
        shape: args.shape()?,
        pace: args.pace()?,
        common: &args.common,
        size: &args.size,
        warm_up: args.warm_up,
        duration: args.ops.is_none().then_some(args.duration),
        ops: args.ops,
    })?;
    let report = match args.pace()? {
        Pace::Closed { depth } => report.with("depth", depth),
        Pace::Open { rate_per_s } => report.with("rate", rate_per_s),
    };
    Ok(match workload {
        Workload::Children => report.with("children", args.children),
        Workload::Mixed => report.with("children", args.children).with("keys", args.keys),
        Workload::Multi => report.with("multi_ops", args.multi_ops).with("keys", args.keys),
        Workload::Set | Workload::Get | Workload::Exists => report.with("keys", args.keys),
        _ => report,
    })
}

fn load(args: &LoadArgs) -> Result<Report, Error> {
    args.size.check()?;
    in_range("--znodes", args.znodes, 1, 500_000_000)?;
    in_range("--multi-ops", args.multi_ops, 1, 10_000)?;
    in_range("--depth", args.depth as u64, 1, 100_000)?;
    let shape = Shape {
        prefix: args.common.checked_prefix()?,
        keys: 1,
        value_len: args.size.value_size,
        children: 0,
        multi_len: args.multi_ops,
        load_len: args.znodes,
        seed: args.common.seed,
    };
    let report = finite(Workload::Load, shape, args.depth, &args.common, &args.size)?;
    let per_s = args.znodes as f64 / report.elapsed_s;
    let report = per_item(report, "bytes_per_znode", args.znodes);
    Ok(report.with("znodes", args.znodes).with("multi_ops", args.multi_ops).with_more("znodes_per_s", per_s))
}

fn watches(args: &WatchesArgs) -> Result<Report, Error> {
    args.size.check()?;
    in_range("--keys", args.keys, 1, 99_999_999)?;
    in_range("--depth", args.depth as u64, 1, 100_000)?;
    let shape = Shape {
        prefix: args.common.checked_prefix()?,
        keys: args.keys,
        value_len: args.size.value_size,
        children: 0,
        multi_len: 1,
        load_len: 0,
        seed: args.common.seed,
    };
    let report = finite(Workload::Watch, shape, args.depth, &args.common, &args.size)?;
    let watches = args.keys * args.size.clients as u64;
    Ok(per_item(report, "bytes_per_watch", watches).with("keys", args.keys).with("watches", watches))
}

fn finite(
    workload: Workload,
    shape: Shape,
    depth: usize,
    common: &CommonArgs,
    size: &SizeArgs,
) -> Result<Report, Error> {
    let pace = Pace::Closed { depth };
    let job = Job { workload, shape, pace, common, size, warm_up: Duration::ZERO, duration: None, ops: None };
    Ok(drive_job(&job)?.with("depth", depth))
}

/// Growth of the server's memory over `count` things.
fn per_item(report: Report, name: &str, count: u64) -> Report {
    let Some(server) = &report.server else { return report };
    let grown = server.used_after_bytes as f64 - server.used_before_bytes as f64;
    report.with_more(name, grown / count as f64)
}

fn drive_job(job: &Job<'_>) -> Result<Report, Error> {
    raise_file_limit();
    let dial = job.common.dial(0)?;
    let plan = Arc::new(Plan::new(job.workload, job.shape.clone(), run_name()));
    plan.set_up(&dial, job.size.clients)?;
    let outcome = measured(job, &dial, &plan);
    if !job.common.keep {
        plan.clean_up(&dial)?;
    }
    outcome
}

fn measured(job: &Job<'_>, dial: &Dial, plan: &Arc<Plan>) -> Result<Report, Error> {
    let window = Window::new();
    let drive = Drive {
        plan,
        dial,
        pace: job.pace,
        clients: job.size.clients,
        threads: job.size.threads.min(job.size.clients),
        ops: job.ops,
        window: &window,
    };
    let total = job.ops.or(plan.request_count(job.size.clients));
    let lists = drive::open(&drive)?;
    let mut before = None;
    if job.warm_up.is_zero() {
        before = Some(observe(job.common)?);
        window.begin();
    }
    let mut after = None;
    let tally = drive::run(&drive, lists, || {
        let mut progress = Progress::new(job.workload.name(), job.common.quiet);
        if before.is_none() {
            wait(job.warm_up, &window, |_| progress.update(&window, 0.0));
            before = Some(observe(job.common)?);
            window.begin();
        }
        let replies_before = window.replies.load(std::sync::atomic::Ordering::Relaxed);
        wait(job.duration.unwrap_or(Duration::MAX), &window, |done| {
            let replies = window.replies.load(std::sync::atomic::Ordering::Relaxed) - replies_before;
            progress.update(&window, total.map_or(done, |total| replies as f64 / total as f64));
        });
        if !window.is_stopped() {
            window.finish();
        }
        after = Some(observe(job.common)?);
        Ok(())
    })?;
    let (before, after) = before.zip(after).expect("both ends were read");
    let ends = Ends { server: before.0.zip(after.0), generator: (before.1, after.1) };
    Ok(Report::new(job.workload.name(), window.elapsed(), &tally, &ends)
        .with("clients", job.size.clients)
        .with("value_size", job.size.value_size)
        .with("seed", job.common.seed))
}

/// Counters of the server, if its process is known, and of this process.
fn observe(common: &CommonArgs) -> Result<(Option<ProcessSample>, ProcessSample), Error> {
    let mut server: Option<ProcessSample> = None;
    for &pid in &common.pid {
        let one = if common.java_live { sample_java(pid) } else { sample(pid) }?;
        server = Some(server.map_or(one, |sum| sum.plus(one)));
    }
    Ok((server, process::sample_self()?))
}

/// Waits until the time is over or the window is finished; tells how much of the time is over meanwhile.
fn wait(time: Duration, window: &Window, mut tell: impl FnMut(f64)) {
    const STEP: Duration = Duration::from_millis(5);
    const TELL_EVERY: Duration = Duration::from_millis(500);
    let start = Instant::now();
    let mut told = start;
    while !window.is_stopped() {
        let Some(left) = time.checked_sub(start.elapsed()) else { return };
        std::thread::sleep(left.min(STEP));
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tell(start.elapsed().as_secs_f64() / time.as_secs_f64());
        }
    }
}

/// A name that differs from run to run, always equally long.
fn run_name() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{:012x}", since.as_millis() & 0xffff_ffff_ffff)
}

/// Allows as many open files as the system lets this process have.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Best effort: if more are needed, opening a socket says so.
    let _ = setrlimit(Resource::Nofile, limit);
}
