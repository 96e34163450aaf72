use super::{Check, Ghost, Property, Seen};
use crate::types::Zxid;
use std::collections::BTreeMap;

/// When some member delivers a before b, then whoever delivers b delivers a, and before it.
#[derive(Default)]
pub(super) struct TotalOrder {
    /// By whom each txn was delivered, as its how many-eth.
    places: BTreeMap<Zxid, BTreeMap<usize, usize>>,
    last: Vec<(usize, Zxid)>,
}

impl Property for TotalOrder {
    fn name(&self) -> &'static str {
        "TotalOrder"
    }

    fn see(&mut self, ghost: &Ghost, seen: Seen) -> Check {
        let Seen::Delivered { node, zxid: b } = seen else { return Ok(()) };
        self.last.resize(ghost.members.len(), (0, Zxid::ZERO));
        let (count, a) = self.last[node];
        self.last[node] = (count + 1, b);
        // What was delivered before a was compared when a was.
        let places_a = self.places.get(&a);
        for (other, at_b) in self.places.get(&b).into_iter().flatten() {
            let at_a = places_a.and_then(|p| p.get(other));
            if a != Zxid::ZERO && at_a.is_none_or(|at_a| at_a >= at_b) {
                return Err(format!("{node} delivers {a} before {b}, {other} does not"));
            }
        }
        if self.places.entry(b).or_default().insert(node, count).is_some() {
            return Err(format!("{node} delivers {b} twice"));
        }
        Ok(())
    }
}
