//! An ensemble in one thread, in virtual time: the member, pipeline, tree and storage that ship, on fake disks and a
//! network that loses, delays and cuts, with clients and an observer that sees everything.
//!
//! A run is its seed. For a while things go wrong; after every step the [properties](properties) must hold. Then faults
//! end, and within a bounded time every member has to serve, one of them lead, a write succeed at each, and all trees be
//! the same.
//!
//! | file | what |
//! |---|---|
//! | `world`, `clock` | time, events, what happens next |
//! | `node` | a member and its driver: log, snapshots, connections |
//! | `net` | who reaches whom; streams that keep their order, stall and break |
//! | `serving`, `client` | clients and their connections |
//! | `faults` | what goes wrong |
//! | `configs` | members that come and go, and the files that say so |
//! | `ghost`, `model`, `properties` | what is known, what should be, what must hold |
//!
//! Start reading at [`run`].

mod client;
mod clock;
mod compare;
mod configs;
mod faults;
mod ghost;
mod model;
mod net;
mod node;
mod properties;
mod serving;
mod world;

#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tests;

pub use faults::Settings;

use world::{Stop, World};

/// Virtual time in which an ensemble has to be live again, µs.
const LIVE_WITHIN_US: i64 = 20_000_000;

/// Virtual time in which members have to be the same once clients are calm, and sessions without a client to end, µs.
const CONVERGED_WITHIN_US: i64 = 25_000_000;

/// Figures of a run that went well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Outcome {
    /// Virtual time that passed, µs.
    pub virtual_us: i64,
    pub events: u64,
    pub committed: u64,
    pub acknowledged: u64,
    pub reads: u64,
    pub elections: u64,
    pub snapshots: u64,
    pub truncations: u64,
    pub trees_sent: u64,
    pub log_probes: u64,
    pub expiries: u64,
    pub refusals: u64,
    pub reconfigurations: u64,
    /// A digest of everything that happened.
    pub trace_hash: u64,
}

/// A run that did not go well.
#[derive(Clone, Debug)]
pub struct Failed {
    /// What is wrong, in a sentence that begins with the name of what does not hold.
    pub what: String,
    /// What happened before, if it was recorded.
    pub told: Vec<String>,
}

/// One seeded run.
///
/// # Errors
/// What did not hold.
pub fn run(seed: u64, settings: Settings, records: bool) -> Result<Outcome, Failed> {
    let mut world = World::new(seed, settings, records);
    match live(&mut world) {
        Ok(()) => Ok(outcome(&world)),
        Err(stop) => {
            let what = match stop {
                Stop::Violation(what) | Stop::Disk(what) => what,
            };
            Err(Failed { what, told: world.told.take().unwrap_or_default() })
        }
    }
}

fn live(world: &mut World) -> Result<(), Stop> {
    world.begin_faults();
    let end_us = world.settings.faulty_us;
    world.run_until(end_us, |_| Ok(false))?;
    // Clients go on for a while, and then leave one to each member.
    world.run_until(end_us + 500_000, |_| Ok(false))?;
    world.send_errands();
    if !world.run_until(end_us + LIVE_WITHIN_US, |w| Ok(w.is_live().is_ok()))? {
        if world.hopeless || world.needs_who_may_not_lead() {
            return Ok(());
        }
        let why = world.is_live().err().unwrap_or_default();
        return Err(Stop::Violation(format!("Liveness: {why}")));
    }
    let until_us = world.now_us + CONVERGED_WITHIN_US;
    if !world.run_until(until_us, |w| Ok(w.is_converged().is_ok()))? {
        let why = world.is_converged().err().unwrap_or_default();
        return Err(Stop::Violation(format!("Convergence: {why}")));
    }
    world.compare_members()
}

fn outcome(world: &World) -> Outcome {
    Outcome {
        virtual_us: world.now_us,
        events: world.events,
        committed: world.ghost.committed.len() as u64 - 1,
        acknowledged: world.clients.iter().map(|c| c.acknowledged).sum(),
        reads: world.reads,
        elections: world.elections,
        snapshots: world.snapshots,
        truncations: world.truncations,
        trees_sent: world.trees_sent,
        log_probes: world.log_probes,
        expiries: world.expiries,
        refusals: world.refusals,
        reconfigurations: world.reconfigurations,
        trace_hash: world.trace_hash(),
    }
}
