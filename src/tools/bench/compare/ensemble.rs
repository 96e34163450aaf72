//! Three members on this machine.

use super::super::drive::Pace;
use super::super::error::Error;
use super::super::options::{CommonArgs, SizeArgs};
use super::super::workload::Shape;
use super::super::{Job, drive_job};
use super::cells::{Cell, Measure, VALUE_LEN};
use super::results::Results;
use super::server::{Launch, Running};
use super::{CompareArgs, common};

/// Members of the ensembles.
const MEMBERS: usize = 3;

/// Measures the cells of ensembles: one of every kind is there all the time, and the kinds take turns.
pub(super) fn run(
    args: &CompareArgs,
    launch: &Launch,
    cells: &[&Cell],
    results: &mut Results,
) -> Result<(), Error> {
    let ensembles: Vec<Vec<Running>> = args
        .arms
        .iter()
        .map(|&arm| launch.start_ensemble(arm, "ensemble", MEMBERS))
        .collect::<Result<_, _>>()?;
    for cell in cells {
        let Measure::Ensemble { workload, clients, depth, at_follower } = cell.measure else { continue };
        for round in 0..args.rounds {
            for members in &ensembles {
                // The member with the largest number leads a fresh ensemble.
                let used = if at_follower { &members[..1] } else { &members[..] };
                let servers: Vec<_> = used.iter().map(|m| m.address.to_string()).collect();
                let common = CommonArgs {
                    servers: servers.join(","),
                    pid: used.iter().map(Running::pid).collect(),
                    ..common(args, &members[0])
                };
                let size = SizeArgs { clients, threads: 1, value_size: VALUE_LEN };
                let report = drive_job(&Job {
                    workload,
                    shape: Shape {
                        prefix: common.prefix.clone(),
                        keys: 1000,
                        value_len: size.value_size,
                        children: 0,
                        multi_len: 1,
                        load_len: 0,
                        seed: common.seed,
                    },
                    pace: Pace::Closed { depth },
                    common: &common,
                    size: &size,
                    warm_up: args.warm_up,
                    duration: Some(args.duration),
                    ops: None,
                })?;
                if !args.quiet {
                    let cost = report.server.as_ref().map_or(0.0, |server| server.cpu_us_per_op);
                    eprintln!(
                        "{} {} round {round}: {:.0} ops/s, {cost:.2} us CPU per op, p99.9 {:.0} us",
                        cell.name, members[0].arm, report.ops_per_s, report.latency.p999_us
                    );
                }
                results.add(cell.name, members[0].arm, round, report)?;
            }
        }
    }
    for member in ensembles.into_iter().flatten() {
        member.stop()?;
    }
    Ok(())
}
