use super::{Check, Ghost, Property, Seen};
use crate::types::{Epoch, Zxid};
use std::collections::{BTreeMap, BTreeSet};

/// When a primary broadcasts a before b, then whoever delivers b has delivered a before.
#[derive(Default)]
pub(super) struct LocalPrimaryOrder {
    last: BTreeMap<Epoch, Zxid>,
    /// What the same primary broadcast right before.
    before: BTreeMap<Zxid, Zxid>,
    delivered: Vec<BTreeSet<Zxid>>,
}

impl Property for LocalPrimaryOrder {
    fn name(&self) -> &'static str {
        "LocalPrimaryOrder"
    }

    fn see(&mut self, ghost: &Ghost, seen: Seen) -> Check {
        match seen {
            Seen::Broadcast { node, zxid } => {
                if let Some(before) = self.last.insert(zxid.epoch(), zxid) {
                    if before >= zxid {
                        return Err(format!("{node} broadcasts {zxid} after {before}"));
                    }
                    self.before.insert(zxid, before);
                }
            }
            Seen::Delivered { node, zxid } => {
                self.delivered.resize(ghost.members.len(), BTreeSet::new());
                if let Some(before) = self.before.get(&zxid)
                    && !self.delivered[node].contains(before)
                {
                    return Err(format!("{node} delivers {zxid} without {before}"));
                }
                self.delivered[node].insert(zxid);
            }
            _ => {}
        }
        Ok(())
    }
}
