use super::{Check, Ghost, Property, Seen};
use crate::types::SessionId;
use std::collections::BTreeMap;

/// A leader ends a session only when its timeout has passed, by the leader's clock, since the leader heard that it lives,
/// at its creation, or since it leads.
#[derive(Default)]
pub(super) struct SessionTime {
    heard: BTreeMap<(usize, SessionId), i64>,
    since: BTreeMap<usize, i64>,
}

impl Property for SessionTime {
    fn name(&self) -> &'static str {
        "SessionTime"
    }

    fn see(&mut self, ghost: &Ghost, seen: Seen) -> Check {
        match seen {
            Seen::Leads { node, at_ms, .. } => {
                self.since.insert(node, at_ms);
            }
            Seen::Stopped { node } => {
                self.since.remove(&node);
                self.heard.retain(|(n, _), _| *n != node);
            }
            Seen::Heard { node, session, at_ms } => {
                let heard = self.heard.entry((node, session)).or_insert(at_ms);
                *heard = (*heard).max(at_ms);
            }
            Seen::Expires { node, session, at_ms } => {
                let Some(life) = ghost.model.sessions.get(&session) else { return Ok(()) };
                let heard = self.heard.get(&(node, session)).max(self.since.get(&node));
                match heard {
                    None => Err(format!("{node} ends session {session} and does not lead")),
                    Some(heard) if at_ms - heard < i64::from(life.timeout_ms) => {
                        let (ms, timeout_ms) = (at_ms - heard, life.timeout_ms);
                        Err(format!(
                            "{node} ends session {session} of {timeout_ms} ms, heard from {ms} ms ago"
                        ))
                    }
                    Some(_) => Ok(()),
                }?;
            }
            _ => {}
        }
        Ok(())
    }
}
