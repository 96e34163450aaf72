use super::tracker::Spread;
use crate::types::SessionId;
use hashbrown::HashSet;
use std::{collections::VecDeque, hash::BuildHasherDefault};

/// The sessions that have ended last, up to a number of them.
///
/// A leader with local sessions takes a session that it has never heard of for one that the server which hands on its
/// request has for itself. That must not be said of one that it has seen end: a request which was under way when its
/// client went elsewhere and closed the session there would be executed after the close.
///
/// Upstream has no counterpart: `LeaderSessionTracker.checkSession` asks only whether the session is known now.
#[derive(Debug)]
pub struct EndedSessions {
    ids: HashSet<SessionId, BuildHasherDefault<Spread>>,
    /// Oldest first.
    order: VecDeque<SessionId>,
    max: usize,
}

impl EndedSessions {
    /// None yet. Of more than `max` the oldest are forgotten.
    pub fn new(max: usize) -> Self {
        Self { ids: HashSet::default(), order: VecDeque::new(), max }
    }

    /// This session has ended.
    pub fn add(&mut self, id: SessionId) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    /// Whether this session is one of them.
    pub fn contains(&self, id: SessionId) -> bool {
        self.ids.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_first_and_one_counts_once() {
        let mut ended = EndedSessions::new(2);
        for id in [1, 2, 2, 3] {
            ended.add(SessionId(id));
        }
        assert_eq!([1, 2, 3].map(|id| ended.contains(SessionId(id))), [false, true, true]);
        assert_eq!((ended.ids.len(), ended.order.len()), (2, 2));
    }
}
