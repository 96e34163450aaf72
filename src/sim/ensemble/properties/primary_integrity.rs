use super::{Check, Ghost, Property, Seen};
use crate::types::{Epoch, Zxid};
use std::collections::BTreeMap;

/// When a primary broadcasts in an epoch, and anybody ever delivers a txn of an older one, then the primary had that txn
/// before it broadcast anything.
#[derive(Default)]
pub(super) struct PrimaryIntegrity {
    /// What each primary had when it broadcast for the first time.
    had: BTreeMap<Epoch, Zxid>,
    /// The last txn that was delivered by anybody.
    delivered: Zxid,
}

impl Property for PrimaryIntegrity {
    fn name(&self) -> &'static str {
        "PrimaryIntegrity"
    }

    fn see(&mut self, ghost: &Ghost, seen: Seen) -> Check {
        match seen {
            Seen::Broadcast { node, zxid } if !self.had.contains_key(&zxid.epoch()) => {
                let had = ghost.proposals[&zxid].before;
                self.had.insert(zxid.epoch(), had);
                if self.delivered.epoch() < zxid.epoch() && !ghost.contains(had, self.delivered) {
                    let epoch = zxid.epoch().0;
                    return Err(format!(
                        "{node} begins epoch {epoch} after {had}, without {}",
                        self.delivered
                    ));
                }
            }
            Seen::Delivered { node, zxid } => {
                for (epoch, had) in self.had.range(Epoch(zxid.epoch().0 + 1)..) {
                    if !ghost.contains(*had, zxid) {
                        let epoch = epoch.0;
                        return Err(format!("{node} delivers {zxid}, without which epoch {epoch} began"));
                    }
                }
                if ghost.depth(zxid) > ghost.depth(self.delivered) {
                    self.delivered = zxid;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
