use super::{Check, Ghost, Property, Seen};
use crate::types::{Quorum, ServerId};

/// Whoever is the first to deliver a txn does so when a quorum of the members has it on stable storage, so that nobody
/// can lead without it. Around a reconfiguration: a quorum of those that anybody goes by then.
#[derive(Default)]
pub(super) struct Committed;

impl Property for Committed {
    fn name(&self) -> &'static str {
        "Committed"
    }

    fn see(&mut self, ghost: &Ghost, seen: Seen) -> Check {
        let Seen::Committed { node, zxid } = seen else { return Ok(()) };
        let members = ghost.newest();
        let has = |id: ServerId| ghost.counts(id, zxid);
        if Quorum::of(members).agrees(has) {
            return Ok(());
        }
        let have: Vec<_> = members.voters().filter(|id| has(*id)).map(|id| id.0).collect();
        Err(format!("{node} delivers {zxid}, which only {have:?} have on stable storage"))
    }
}
