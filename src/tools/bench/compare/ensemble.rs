//! Three members on this machine.

use super::super::drive::Pace;
use super::super::error::Error;
use super::super::options::{CommonArgs, SizeArgs};
use super::super::{Job, drive_job};
use super::cells::{Cell, Measure, VALUE_LEN};
use super::results::Results;
use super::server::{Launch, Running};
use super::{CompareArgs, common, shape, tell};

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
                    shape: shape(&common),
                    pace: Pace::Closed { depth },
                    common: &common,
                    size: &size,
                    warm_up: args.warm_up,
                    duration: Some(args.duration),
                    ops: None,
                })?;
                tell(args, cell, members[0].arm, round, &report);
                results.add(cell.name, members[0].arm, round, report)?;
            }
        }
    }
    for member in ensembles.into_iter().flatten() {
        member.stop()?;
    }
    Ok(())
}
