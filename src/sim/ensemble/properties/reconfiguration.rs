use super::{Check, Ghost, Property, Seen};
use crate::types::{Quorum, ServerId, Zxid};
use std::collections::BTreeMap;

/// What makes a change of the members safe:
///
/// * a member never goes back to an older configuration;
/// * before anybody goes by a new one, a quorum of the one before it and a quorum of its own have it on stable storage,
///   and its txn too, if it has come to the one who adopts it: so no quorum of either can decide without knowing of it;
/// * whoever leads in a later epoch goes by it or by a newer one.
#[derive(Default)]
pub(super) struct Reconfiguration {
    active: BTreeMap<usize, u64>,
}

impl Property for Reconfiguration {
    fn name(&self) -> &'static str {
        "Reconfiguration"
    }

    fn see(&mut self, ghost: &Ghost, seen: Seen) -> Check {
        match seen {
            Seen::Provisioned { node } => {
                self.active.remove(&node);
            }
            Seen::Adopts { node, version } => {
                if let Some(before) = self.active.insert(node, version)
                    && before >= version
                {
                    return Err(format!("{node} goes from configuration {before:x} to {version:x}"));
                }
                if version > ghost.adopted {
                    begins(ghost, node, version)?;
                }
            }
            Seen::Leads { node, epoch, .. } => {
                let (mine, newest) = (ghost.members[node].config.0, ghost.adopted);
                if mine < newest && epoch > Zxid(newest as i64).epoch() {
                    let epoch = epoch.0;
                    return Err(format!(
                        "{node} leads epoch {epoch} by configuration {mine:x}, after {newest:x}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Somebody is the first to go by a configuration.
fn begins(ghost: &Ghost, node: usize, version: u64) -> Check {
    let zxid = Zxid(version as i64);
    let knows = |id: ServerId| {
        let (active, next) = ghost.members[id.0 as usize - 1].config;
        active == version || next == version
    };
    let in_history = ghost.contains(ghost.members[node].logged, zxid);
    let has = |id: ServerId| knows(id) && (!in_history || ghost.counts(id, zxid));
    for members in [Some(ghost.newest()), ghost.configs.get(&version)].into_iter().flatten() {
        if !Quorum::of(members).agrees(has) {
            let have: Vec<_> = members.voters().filter(|id| has(*id)).map(|id| id.0).collect();
            return Err(format!(
                "{node} goes by configuration {version:x}, which of {members} only {have:?} have"
            ));
        }
    }
    Ok(())
}
