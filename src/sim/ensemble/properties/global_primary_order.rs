use super::{Check, Ghost, Property, Seen};
use crate::types::Zxid;

/// What a member delivers of an older epoch it delivers before anything of a newer one.
#[derive(Default)]
pub(super) struct GlobalPrimaryOrder {
    last: Vec<Zxid>,
}

impl Property for GlobalPrimaryOrder {
    fn name(&self) -> &'static str {
        "GlobalPrimaryOrder"
    }

    fn see(&mut self, ghost: &Ghost, seen: Seen) -> Check {
        let Seen::Delivered { node, zxid } = seen else { return Ok(()) };
        self.last.resize(ghost.members.len(), Zxid::ZERO);
        let before = std::mem::replace(&mut self.last[node], zxid);
        if before.epoch() > zxid.epoch() {
            return Err(format!("{node} delivers {zxid} after {before}"));
        }
        Ok(())
    }
}
