use super::{Check, Ghost, Property, Seen};
use crate::types::Zxid;

/// Of the sequences of txns that two members have delivered, one is a prefix of the other.
#[derive(Default)]
pub(super) struct PrefixConsistency {
    delivered: Vec<Vec<Zxid>>,
}

impl Property for PrefixConsistency {
    fn name(&self) -> &'static str {
        "PrefixConsistency"
    }

    fn see(&mut self, ghost: &Ghost, seen: Seen) -> Check {
        let Seen::Delivered { node, zxid } = seen else { return Ok(()) };
        self.delivered.resize(ghost.members.len(), Vec::new());
        let at = self.delivered[node].len();
        for (other, theirs) in self.delivered.iter().enumerate() {
            if let Some(there) = theirs.get(at)
                && *there != zxid
            {
                return Err(format!("{node} delivers {zxid} as number {at}, {other} delivered {there}"));
            }
        }
        self.delivered[node].push(zxid);
        Ok(())
    }
}
