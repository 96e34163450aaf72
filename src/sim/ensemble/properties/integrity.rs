use super::{Check, Ghost, Property, Seen};
use crate::types::Zxid;
use std::collections::BTreeSet;

/// What a member delivers was broadcast by some primary.
#[derive(Default)]
pub(super) struct Integrity {
    broadcast: BTreeSet<Zxid>,
}

impl Property for Integrity {
    fn name(&self) -> &'static str {
        "Integrity"
    }

    fn see(&mut self, ghost: &Ghost, seen: Seen) -> Check {
        match seen {
            Seen::Broadcast { node, zxid } => {
                if ghost.leaders.get(&zxid.epoch()) != Some(&node) {
                    return Err(format!("{node} broadcasts {zxid} without having led in its epoch"));
                }
                if !self.broadcast.insert(zxid) {
                    return Err(format!("{zxid} is broadcast twice"));
                }
            }
            Seen::Delivered { node, zxid } if !self.broadcast.contains(&zxid) => {
                return Err(format!("{node} delivers {zxid}, which nobody has broadcast"));
            }
            _ => {}
        }
        Ok(())
    }
}
