//! `quoll bench compare`: the Java server and Quoll in turns on one machine, and the ratios between them.
//!
//! Both servers are started on fresh data directories with the same options (fsync on). For every cell the arms take
//! turns, A B A B …, so that whatever else the machine does meets both; what is reported are medians over the rounds.
//! Results are kept as JSON, from which the tables of `docs/benchmarks.md` can be made again.
//!
//! Start at [`run`]; what is measured is listed in [`cells`].

mod cells;
mod ensemble;
mod million;
mod results;
mod server;
mod table;
mod takeover;

use super::error::Error;
use super::options::{
    CommonArgs, FanoutArgs, IdleArgs, SizeArgs, StormArgs, WatchesArgs, duration, in_range,
};
use super::report::Report;
use super::workload::Shape;
use super::{Job, drive_job, fanout, idle, storm, watches};
use cells::{CELLS, Cell, Measure};
use clap::Args;
use results::Results;
use server::{Arm, Launch, Running};
use std::path::PathBuf;
use std::time::Duration;

/// Options of the comparison.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// Cells to measure, separated by commas; all of them if none is named. --list tells them
    #[arg(long, value_delimiter = ',')]
    pub cells: Vec<String>,
    /// Tell the cells and what they measure
    #[arg(long)]
    pub list: bool,
    /// Servers to measure, in this order
    #[arg(long, value_delimiter = ',', default_value = "java,quoll")]
    pub arms: Vec<Arm>,
    /// How often every cell is measured on every server
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Length of one measurement
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub duration: Duration,
    /// Time before each measurement
    #[arg(long, default_value = "3s", value_parser = duration)]
    pub warm_up: Duration,
    /// Znodes of the large tree
    #[arg(long, default_value_t = 1_000_000)]
    pub znodes: u64,
    /// Class path of the Java server; by default what the test suites have fetched beside this program
    #[arg(long)]
    pub java_classpath: Option<String>,
    /// Heap of the Java server; the default is that of its own start script
    #[arg(long, default_value = "1000m")]
    pub java_heap: String,
    /// Quoll's program; this one by default
    #[arg(long)]
    pub quoll: Option<PathBuf>,
    /// Where data directories and server output go; a new folder in the system's temporary one by default
    #[arg(long)]
    pub work_dir: Option<PathBuf>,
    /// File for the results; those of other cells that it holds are kept
    #[arg(long, default_value = "benchmarks.json")]
    pub out: PathBuf,
    /// Measure nothing, print the tables of the results file
    #[arg(long)]
    pub table: bool,
    /// No progress on standard error
    #[arg(long)]
    pub quiet: bool,
}

/// Sessions that the idle cell holds; the two ends of each need a file descriptor.
const IDLE_SESSIONS: usize = 5000;
/// Znodes that each of the 32 clients of the watch cell watches.
const WATCH_KEYS: u64 = 31_250;

/// Measures and prints the tables.
///
/// # Errors
/// When a server cannot be started or a run cannot be made.
pub(super) fn run(args: &CompareArgs) -> Result<bool, Error> {
    if args.list {
        for cell in CELLS {
            println!("{:<14} {}", cell.name, cell.what);
        }
        return Ok(true);
    }
    let mut results = Results::load(&args.out)?;
    if args.table {
        print!("{}", table::render(&results));
        return Ok(true);
    }
    in_range("--rounds", args.rounds as u64, 1, 1000)?;
    in_range("--znodes", args.znodes, 1, 100_000_000)?;
    let cells = chosen(&args.cells)?;
    let launch = Launch::new(args)?;
    for cell in &cells {
        results.forget(cell.name, &args.arms);
    }
    let shared: Vec<&Cell> = cells.iter().copied().filter(|cell| cell.measure.is_shared()).collect();
    if !shared.is_empty() {
        shared_cells(args, &launch, &shared, &mut results)?;
    }
    for cell in cells.iter().filter(|cell| matches!(cell.measure, Measure::Idle | Measure::Watches)) {
        for round in 0..args.rounds {
            for &arm in &args.arms {
                let server = launch.start(arm, cell.name, &[])?;
                let report = memory_cell(args, cell, &server)?;
                server.stop()?;
                results.add(cell.name, arm, round, report)?;
            }
        }
    }
    let ensembles: Vec<&Cell> =
        cells.iter().copied().filter(|cell| matches!(cell.measure, Measure::Ensemble { .. })).collect();
    if !ensembles.is_empty() {
        ensemble::run(args, &launch, &ensembles, &mut results)?;
    }
    for cell in &cells {
        if let Measure::Takeover { in_order } = cell.measure {
            for &arm in &args.arms {
                let report = takeover::run(args, &launch, arm, in_order)?;
                results.add(cell.name, arm, 0, report)?;
            }
        }
    }
    if cells.iter().any(|cell| matches!(cell.measure, Measure::Million)) {
        let wanted: Vec<&str> = cells
            .iter()
            .filter(|cell| matches!(cell.measure, Measure::Million))
            .map(|cell| cell.name)
            .collect();
        for round in 0..args.rounds {
            for &arm in &args.arms {
                for (cell, report) in million::run(args, &launch, arm, &wanted)? {
                    results.add(cell, arm, round, report)?;
                }
            }
        }
    }
    print!("{}", table::render(&results));
    launch.clean_up();
    Ok(results.is_clean())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Cell>, Error> {
    if names.is_empty() {
        return Ok(CELLS.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            CELLS.iter().find(|cell| cell.name == name).ok_or_else(|| {
                Error::Options(format!("--cells: {name} is unknown; --list tells the known ones"))
            })
        })
        .collect()
}

/// Cells that send requests for a while share one pair of servers; an idle one costs the other nothing.
fn shared_cells(
    args: &CompareArgs,
    launch: &Launch,
    cells: &[&Cell],
    results: &mut Results,
) -> Result<(), Error> {
    let servers: Vec<Running> =
        args.arms.iter().map(|&arm| launch.start(arm, "drive", &[])).collect::<Result<_, _>>()?;
    for cell in cells {
        for round in 0..args.rounds {
            for server in &servers {
                let report = shared_cell(args, cell, server)?;
                tell(args, cell, server.arm, round, &report);
                results.add(cell.name, server.arm, round, report)?;
            }
        }
    }
    for server in servers {
        server.stop()?;
    }
    Ok(())
}

fn shared_cell(args: &CompareArgs, cell: &Cell, server: &Running) -> Result<Report, Error> {
    let common = common(args, server);
    let (workload, clients, pace, ops) = match cell.measure {
        Measure::Drive { workload, clients, pace, ops } => (workload, clients, pace, ops),
        Measure::Fanout { watchers, rounds } => {
            return fanout::run(&FanoutArgs { common, watchers, value_size: cells::VALUE_LEN, rounds });
        }
        Measure::Storm { clients, sessions } => return storm::run(&StormArgs { common, clients, sessions }),
        _ => unreachable!("only cells that share servers come here"),
    };
    let size = SizeArgs { clients, threads: 1, value_size: cells::VALUE_LEN };
    drive_job(&Job {
        workload,
        shape: shape(&common),
        pace,
        common: &common,
        size: &size,
        warm_up: if ops.is_some() { args.warm_up.min(Duration::from_secs(1)) } else { args.warm_up },
        duration: ops.is_none().then_some(args.duration),
        ops,
    })
}

fn memory_cell(args: &CompareArgs, cell: &Cell, server: &Running) -> Result<Report, Error> {
    let common = CommonArgs { java_live: server.arm == Arm::Java, ..common(args, server) };
    match cell.measure {
        Measure::Idle => idle::run(&IdleArgs {
            common,
            sessions: IDLE_SESSIONS,
            hold: Duration::from_secs(10),
            source_addresses: 0,
        }),
        _ => watches(&WatchesArgs {
            common,
            size: SizeArgs { clients: 32, threads: 1, value_size: cells::VALUE_LEN },
            keys: WATCH_KEYS,
            depth: 64,
        }),
    }
}

/// What every cell works on.
fn shape(common: &CommonArgs) -> Shape {
    Shape {
        prefix: common.prefix.clone(),
        keys: 1000,
        value_len: cells::VALUE_LEN,
        children: 100,
        multi_len: 10,
        load_len: 0,
        seed: common.seed,
    }
}

/// Tells how one measurement came out.
fn tell(args: &CompareArgs, cell: &Cell, arm: Arm, round: usize, report: &Report) {
    if !args.quiet {
        let cost = report.server.as_ref().map_or(0.0, |server| server.cpu_us_per_op);
        eprintln!(
            "{} {arm} round {round}: {:.0} ops/s, {cost:.2} us CPU per op, p99.9 {:.0} us",
            cell.name, report.ops_per_s, report.latency.p999_us
        );
    }
}

/// Options of every benchmark, for one of the servers.
fn common(args: &CompareArgs, server: &Running) -> CommonArgs {
    CommonArgs {
        servers: server.address.to_string(),
        prefix: "/quoll-bench".to_owned(),
        keep: true,
        seed: 1,
        session_timeout: Duration::from_secs(30),
        pid: vec![server.pid()],
        java_live: false,
        json: false,
        quiet: args.quiet,
    }
}
