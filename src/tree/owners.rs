//! Who owns which znode: sessions their ephemerals, the reaper containers and TTL znodes.
//!
//! Side tables, since most znodes have no owner. Each group is a list of ids; a znode knows its place in it, so that
//! one of 100,000 ephemerals goes as fast as one of two.

use crate::types::{Owner, OwnerRules, SessionId};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::BTreeMap;

struct Owned {
    stored: i64,
    /// Place in the group's list.
    at: u32,
}

/// The side tables.
#[derive(Default)]
pub(super) struct Owners {
    of: HashMap<u32, Owned, FixedState>,
    /// A session stays, with nothing, until it is closed: `dump` shows it.
    sessions: BTreeMap<SessionId, Vec<u32>>,
    containers: Vec<u32>,
    ttls: Vec<u32>,
    /// How many of `of` are of sessions that are closed.
    doomed: usize,
}

impl Owners {
    /// The stored owner of a znode.
    pub fn stored(&self, id: u32) -> i64 {
        self.of.get(&id).map_or(0, |o| o.stored)
    }

    /// Gives a znode its owner, which is not 0.
    pub fn add(&mut self, id: u32, stored: i64, rules: OwnerRules) {
        if let Some(group) = self.group(stored, rules) {
            let at = group.len() as u32;
            group.push(id);
            self.of.insert(id, Owned { stored, at });
        }
    }

    /// Where a znode stands in the list of its owner.
    pub fn place(&self, id: u32) -> Option<usize> {
        self.of.get(&id).map(|owned| owned.at as usize)
    }

    /// Drops the list of a session. Each of its znodes follows by [`Owners::remove_doomed`].
    pub fn doom(&mut self, session: SessionId) {
        self.doomed += self.sessions.remove(&session).map_or(0, |ids| ids.len());
    }

    pub fn remove_doomed(&mut self, id: u32) {
        self.doomed -= usize::from(self.of.remove(&id).is_some());
    }

    pub fn remove(&mut self, id: u32, rules: OwnerRules) {
        let Some(Owned { stored, at }) = self.of.remove(&id) else { return };
        let Some(group) = self.group(stored, rules) else { return };
        group.swap_remove(at as usize);
        if let Some(&moved) = group.get(at as usize)
            && let Some(owned) = self.of.get_mut(&moved)
        {
            owned.at = at;
        }
    }

    fn group(&mut self, stored: i64, rules: OwnerRules) -> Option<&mut Vec<u32>> {
        match Owner::from_stored(stored, rules) {
            Owner::None => None,
            Owner::Session(s) => Some(self.sessions.entry(s).or_default()),
            Owner::Container => Some(&mut self.containers),
            Owner::Ttl(_) => Some(&mut self.ttls),
        }
    }

    /// Sorts every znode into its group again, by other rules.
    pub fn regroup(&mut self, rules: OwnerRules) {
        let mut all: Vec<(u32, i64)> = self.of.iter().map(|(&id, o)| (id, o.stored)).collect();
        all.sort_unstable();
        *self = Self::default();
        for (id, stored) in all {
            self.add(id, stored, rules);
        }
    }

    /// The znodes of a session.
    pub fn session(&self, session: SessionId) -> &[u32] {
        self.sessions.get(&session).map_or(&[], Vec::as_slice)
    }

    /// Forgets a session that has no znodes left.
    pub fn forget(&mut self, session: SessionId) {
        if self.session(session).is_empty() {
            self.sessions.remove(&session);
        }
    }

    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.keys().copied()
    }

    pub fn ephemerals_count(&self) -> usize {
        self.of.len() - self.doomed - self.containers.len() - self.ttls.len()
    }

    pub fn containers(&self) -> &[u32] {
        &self.containers
    }

    pub fn ttls(&self) -> &[u32] {
        &self.ttls
    }
}
