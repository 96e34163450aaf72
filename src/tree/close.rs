//! The end of a session that owns many znodes, in three parts, of which only the second keeps readers out, and that not
//! for long.
//!
//! ```text
//! plan:    ids, parents, digest, quotas, effects          (shared lock)
//! apply:   marks the znodes and sets the sums: they are gone    (exclusive lock)
//! reclaim: index, owners, ACLs, links, names and data, a few at a time    (exclusive lock, again and again)
//! ```
//!
//! Invariants: a plan is used on the very state that it was made of, or not at all; a marked znode is nowhere to be found
//! and keeps its place, its links and its entries in the side tables until it is reclaimed.
//!
//! Upstream counterpart: `DataTree.killSession`, which deletes one znode after the other under the eyes of readers.

use super::{
    Applied, EffectKind, Effects, Tree,
    change::path_units,
    quota,
    slab::{DOOMED, OWNED, ZOMBIE},
};
use crate::types::{SessionId, Txn, TxnBody, Zxid};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// What the end of a session will do to the tree, found out beforehand.
pub struct ClosePlan {
    session: SessionId,
    zxid: Zxid,
    /// The state that it is good for.
    changes: u64,
    ids: Vec<u32>,
    /// Parents, and how many children each loses.
    parents: HashMap<u32, u32, FixedState>,
    digest: i64,
    data_size_bytes: i64,
    /// A path under each quota, bytes and znodes.
    quotas: HashMap<String, (i64, i64), FixedState>,
}

impl Tree {
    /// Prepares the application of a closeSession that names exactly the znodes that its session owns, none with
    /// children: as every leader writes it. `None` for any other txn; [`Tree::apply`] does those.
    ///
    /// `effects` gets what the txn changes, as from `apply`.
    pub fn plan_close(&self, txn: &Txn, effects: &mut Effects) -> Option<ClosePlan> {
        let TxnBody::CloseSession { paths: Some(paths) } = &txn.body else { return None };
        let owned = self.owners.session(txn.session);
        if paths.len() != owned.len() {
            return None;
        }
        let mut seen = vec![false; owned.len()];
        let mut plan = ClosePlan {
            session: txn.session,
            zxid: txn.zxid,
            changes: self.changes,
            ids: Vec::with_capacity(paths.len()),
            parents: HashMap::default(),
            digest: 0,
            data_size_bytes: 0,
            quotas: HashMap::default(),
        };
        for (at, path) in paths.iter().enumerate() {
            // They come in the order of the list, unless that has changed since.
            let (id, place) = if self.is_at(owned[at], path.as_bytes()) {
                (owned[at], at)
            } else {
                let id = self.find(path)?;
                (id, self.owners.place(id).filter(|_| self.slab.at(id).has(OWNED))?)
            };
            // One that is named twice, or another's: as many are left unnamed.
            if owned.get(place) != Some(&id) || std::mem::replace(&mut seen[place], true) {
                return None;
            }
            let slot = self.slab.at(id);
            // What is below the quota tree may be a limit itself.
            if slot.child_count > 0 || quota::is_about_quotas(path) {
                return None;
            }
            plan.ids.push(id);
            *plan.parents.entry(slot.parent).or_default() += 1;
            plan.digest = plan.digest.wrapping_add(i64::from(slot.digest));
            let len = slot.data_len() as i64;
            plan.data_size_bytes += path_units(path) + len;
            if let Some(prefix) = self.quotas.deepest(path) {
                let (bytes, count) = plan.quotas.entry_ref(prefix).or_default();
                (*bytes, *count) = (*bytes + len, *count + 1);
            }
            if effects.enabled() {
                let parent_acl = self.acls.list(self.slab.at(slot.parent).acl);
                effects.push(EffectKind::Deleted, path, self.acls.list(slot.acl), Some(parent_acl));
            }
        }
        Some(plan)
    }

    /// Applies the closeSession that was planned, with the outcome that [`Tree::apply`] would have. `None`, and
    /// nothing done, when the tree has changed since or when the plan is not about this txn.
    pub fn apply_close(&mut self, txn: &Txn, plan: ClosePlan) -> Option<Applied> {
        if (plan.changes, plan.session, plan.zxid) != (self.changes, txn.session, txn.zxid) {
            return None;
        }
        self.changes += 1;
        for (&parent, &count) in &plan.parents {
            if txn.zxid.0 > self.slab.at(parent).pzxid {
                self.preserve(parent);
                self.slab.at_mut(parent).pzxid = txn.zxid.0;
                let path = self.path_of(parent);
                self.refresh_digest(parent, &path);
            }
            self.slab.at_mut(parent).child_count -= count;
        }
        for &id in &plan.ids {
            self.slab.at_mut(id).set(ZOMBIE | DOOMED);
        }
        let deleted = plan.ids.len();
        self.digest = self.digest.wrapping_sub(plan.digest);
        self.data_size_bytes -= plan.data_size_bytes;
        self.node_count -= deleted as u32;
        self.owners.doom(plan.session);
        for (path, (bytes, count)) in &plan.quotas {
            self.quota_charge(path, -bytes, -count);
        }
        self.snapshots.leave(plan.ids);
        self.last_zxid = self.last_zxid.max(txn.zxid);
        self.log_digest(txn.zxid);
        Some(Applied { deleted, ..Applied::default() })
    }

    /// Gives back at most so many places of znodes that are gone; answers whether there are more that can be.
    pub fn reclaim(&mut self, places_max: usize) -> bool {
        (0..places_max).all(|_| self.reclaim_one()) && self.can_reclaim()
    }

    /// Whether there are places to give back and nothing is in the way of it.
    pub fn can_reclaim(&self) -> bool {
        self.snapshots.has_remains()
    }

    /// Takes a marked znode out of everything that it is still in, but for the links.
    pub(super) fn finish_doomed(&mut self, id: u32) {
        let slot = self.slab.at(id);
        let (hash, acl) = (slot.hash, slot.acl);
        self.index.remove(hash, id);
        self.owners.remove_doomed(id);
        self.acls.release(acl);
    }
}
