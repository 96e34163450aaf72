use super::{Check, Ghost, Property, Seen};
use crate::types::Zxid;
use std::collections::BTreeSet;

/// When one member delivers a, and another one b, then the first delivers b or the second a.
#[derive(Default)]
pub(super) struct Agreement {
    delivered: Vec<(BTreeSet<Zxid>, Zxid)>,
}

impl Property for Agreement {
    fn name(&self) -> &'static str {
        "Agreement"
    }

    fn see(&mut self, ghost: &Ghost, seen: Seen) -> Check {
        let Seen::Delivered { node, zxid } = seen else { return Ok(()) };
        self.delivered.resize(ghost.members.len(), Default::default());
        self.delivered[node].0.insert(zxid);
        self.delivered[node].1 = zxid;
        let mine = &self.delivered[node].0;
        for (other, (theirs, last)) in self.delivered.iter().enumerate() {
            // What it delivered before its last one was compared before.
            if *last != Zxid::ZERO && !theirs.contains(&zxid) && !mine.contains(last) {
                return Err(format!(
                    "{node} delivers {zxid}, {other} {last}, and neither what the other did"
                ));
            }
        }
        Ok(())
    }
}
