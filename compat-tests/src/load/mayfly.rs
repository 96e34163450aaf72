//! Sessions that live short, with an ephemeral node each, and end in every way.
//!
//! At the end all their nodes must be gone, on every member.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::load::Shared;
use crate::load::session::{Session, Trouble, violation};
use crate::raw::{Acl, create_body, flag, op};

/// The session timeout that is asked for.
const TIMEOUT_MS: i32 = 3_000;

/// Begins and ends sessions until told to stop; answers how many there were.
pub(super) fn run(shared: &Shared) -> Result<u64, String> {
    let mut rng = StdRng::seed_from_u64(shared.seed.wrapping_add(5000));
    let mut count = 0;
    while !shared.stop_mayflies.load(Ordering::SeqCst) {
        count += 1;
        let name = format!("{}/e mayfly {count}", shared.root);
        let mut session = Session::open(&name, &shared.servers, TIMEOUT_MS, &mut rng)?;
        match live(&mut session, shared, count, &mut rng) {
            Ok(()) | Err(Trouble::Connection(_)) => {}
            Err(Trouble::Violation(what)) => return Err(what),
        }
        std::thread::sleep(Duration::from_millis(rng.random_range(10..300)));
    }
    Ok(count)
}

fn live(session: &mut Session, shared: &Shared, count: u64, rng: &mut StdRng) -> Result<(), Trouble> {
    let path = format!("{}/e/m{count}", shared.root);
    let (opcode, body) = create_body(&path, Some(b""), &Acl::open(), flag::EPHEMERAL, 0);
    let reply = session.call(opcode, &body.0)?;
    if reply.err != 0 {
        return violation(format!("{}: create answers {}", session.name, reply.err));
    }
    shared.acknowledged.fetch_add(1, Ordering::Relaxed);
    match rng.random_range(0..3) {
        // Left behind: it has to expire.
        0 => Ok(()),
        // Closed in good order.
        1 => session.call(op::CLOSE_SESSION, &[]).map(|_| ()),
        // Closed without waiting for the answer.
        _ => session.send(op::CLOSE_SESSION, &[]).map(|_| ()),
    }
}
