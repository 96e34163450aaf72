use super::{Check, Ghost, Property, Seen};
use crate::types::Epoch;
use std::collections::BTreeMap;

/// An epoch has at most one leader, ever, and no leader leads in an epoch twice.
#[derive(Default)]
pub(super) struct Leadership2 {
    leaders: BTreeMap<Epoch, usize>,
}

impl Property for Leadership2 {
    fn name(&self) -> &'static str {
        "Leadership2"
    }

    fn see(&mut self, _: &Ghost, seen: Seen) -> Check {
        let Seen::Leads { node, epoch, .. } = seen else { return Ok(()) };
        match self.leaders.insert(epoch, node) {
            Some(before) => Err(format!("{node} leads in epoch {}, in which {before} led before", epoch.0)),
            None => Ok(()),
        }
    }
}
