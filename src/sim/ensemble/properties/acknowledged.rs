use super::{Check, Ghost, Property, Seen};
use crate::types::Zxid;

/// What a client was told is done is committed, and every leader from then on has it.
#[derive(Default)]
pub(super) struct Acknowledged {
    last: Zxid,
}

impl Property for Acknowledged {
    fn name(&self) -> &'static str {
        "Acknowledged"
    }

    fn see(&mut self, ghost: &Ghost, seen: Seen) -> Check {
        match seen {
            Seen::Acknowledged { zxid } => {
                if !ghost.position.contains_key(&zxid) {
                    return Err(format!("{zxid} was acknowledged and is not committed"));
                }
                if ghost.depth(zxid) > ghost.depth(self.last) {
                    self.last = zxid;
                }
            }
            // Somebody may lead for a while who does not know yet that another one does: of an older epoch.
            Seen::Leads { node, epoch, .. } if epoch > self.last.epoch() => {
                let logged = ghost.members[node].logged;
                if !ghost.contains(logged, self.last) {
                    return Err(format!(
                        "{node} leads with {logged}, without {}, acknowledged before",
                        self.last
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
