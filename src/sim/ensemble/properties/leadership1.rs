use super::{Check, Ghost, Property, Seen};
use crate::types::Epoch;
use std::collections::BTreeMap;

/// At no time do two members lead in the same epoch.
#[derive(Default)]
pub(super) struct Leadership1 {
    leading: BTreeMap<usize, Epoch>,
}

impl Property for Leadership1 {
    fn name(&self) -> &'static str {
        "Leadership1"
    }

    fn see(&mut self, _: &Ghost, seen: Seen) -> Check {
        match seen {
            Seen::Leads { node, epoch, .. } => {
                if let Some((other, _)) = self.leading.iter().find(|(n, e)| **n != node && **e == epoch) {
                    return Err(format!("{node} and {other} lead in epoch {}", epoch.0));
                }
                self.leading.insert(node, epoch);
            }
            Seen::Stopped { node } => {
                self.leading.remove(&node);
            }
            _ => {}
        }
        Ok(())
    }
}
