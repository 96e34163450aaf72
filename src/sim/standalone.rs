//! A standalone server on a fake disk, one thread, no clock: the pipeline, tree, watches and storage that ship, a few
//! clients, and an oracle that knows only what the clients sent and were told.
//!
//! A run is its seed. The disk dies or fails at a chosen call; then the server is started again on what is left, and
//! the oracle checks:
//!
//! * **Nothing acknowledged is lost**: the recovered zxid is not below any that a client was told, and every session
//!   that a client was given and did not close is there.
//! * **The state is one that the clients' writes can have made**: applying some prefix of the writes sent, no shorter
//!   than what was acknowledged, to what was there before gives exactly the znodes recovered.
//! * **Answers are right**: every answer is the one that the oracle's own simple tree gives.
//! * **Replay is exact**: no txn leaves the tree with a digest other than the one written with it.
//!
//! Start reading at [`run`].

mod client;
mod oracle;
mod server;

use super::{
    disk::{Failure, FakeDisk, Unforced},
    rng::Rng,
};
use client::Clients;
use oracle::Oracle;
use server::Server;

/// What happens to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The machine or process dies at this call of the disk.
    Crash {
        /// Number of the call, counted from the start of the run.
        at_call: u64,
        /// What becomes of what was not forced.
        unforced: Unforced,
    },
    /// This call of the disk fails; the server has to stop, and is started again when there is room.
    Fail {
        /// Number of the call, counted from the start of the run.
        at_call: u64,
        /// How.
        failure: Failure,
    },
}

/// Figures of a run that went well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Calls of the disk during the first life.
    pub disk_calls: u64,
    /// Writes that clients sent.
    pub writes: usize,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Snapshots finished.
    pub snapshots: u64,
}

/// Steps of one life of the server.
const STEPS: u32 = 40;

/// One seeded run: a life with the fault in it, and two more after restarts.
///
/// # Errors
/// What the oracle found wrong, in a sentence.
pub fn run(seed: u64, fault: Fault) -> Result<Outcome, String> {
    let disk = FakeDisk::new();
    let mut rng = Rng::new(seed);
    let mut oracle = Oracle::default();
    let mut clients = Clients::default();
    let mut outcome = Outcome::default();
    match fault {
        Fault::None => {}
        Fault::Crash { at_call, .. } => disk.crash_at(at_call),
        Fault::Fail { at_call, failure } => disk.fail_at(at_call, failure),
    }
    for life in 0..3 {
        // In the first life anything may fail, the start included; afterwards nothing may.
        let faulty = life == 0 && fault != Fault::None;
        match Server::start(&disk, seed ^ life) {
            Ok(mut server) => {
                oracle.check_recovered(&server)?;
                clients.reconnect(&mut server, &mut oracle)?;
                let stopped = live(&mut server, &mut clients, &mut oracle, &mut rng)?;
                outcome.snapshots += server.snapshots_finished();
                if stopped && !faulty {
                    return Err("the server stopped without a reason".into());
                }
            }
            Err(_) if faulty => {}
            Err(e) => return Err(e),
        }
        if life == 0 {
            outcome.disk_calls = disk.calls();
        }
        disk.crash(match fault {
            Fault::Crash { unforced, .. } if life == 0 => unforced,
            _ => Unforced::Kept,
        });
        clients.disconnect();
    }
    outcome.writes = oracle.writes();
    outcome.acknowledged = oracle.acknowledged();
    Ok(outcome)
}

/// Lets clients and server work. Answers whether the server had to stop.
fn live(
    server: &mut Server,
    clients: &mut Clients,
    oracle: &mut Oracle,
    rng: &mut Rng,
) -> Result<bool, String> {
    for _ in 0..STEPS {
        for _ in 0..rng.below(5) {
            clients.send(server, oracle, rng);
        }
        server.pass(rng.below(40) as i64);
        if rng.chance(70) && !server.force() {
            return Ok(true);
        }
        clients.receive(server.answers(), oracle)?;
        server.walk(1 + rng.below(4) as usize);
    }
    if !server.force() {
        return Ok(true);
    }
    clients.receive(server.answers(), oracle)?;
    if oracle.waiting() > 0 {
        return Err(format!("{} writes were never answered", oracle.waiting()));
    }
    Ok(false)
}
