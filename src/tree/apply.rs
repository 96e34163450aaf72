//! From txn to changed znodes.
//!
//! One code path for live txns and for replay. Live, every txn was checked before it was logged. In replay the state may
//! already have what the txn does, or what came later, when it was loaded from a snapshot that was written while txns
//! were applied: what no longer fits is left alone, and the rest of the log makes it right.
//!
//! Upstream counterpart: `DataTree.processTxn`. Three differences, none visible to a client of a healthy server: the
//! parent's cversion is mended for every kind of create whose znode is there already, not for type 1 alone; a delete of
//! a znode that has children takes them with it; a TTL that none can be fails its txn and not the server.

use super::{EffectKind, Effects, Tree, change::Misplaced};
use crate::types::guard::{self, Guard};
use crate::types::{
    AclList, ErrorCode, Owner, SessionId, Stat, StatPersisted, SubTxn, TTL_MS_MAX, Txn, TxnBody,
};
use smallvec::SmallVec;

/// What came of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// It was done. The stat afterwards, for operations that have one: creates, setData, setACL. (The path of a create
    /// is in the txn.)
    Ok(Option<Stat>),
    /// It was not done; the number of an [`ErrorCode`], or one that a log or peer brought. 0 for operations of a failed
    /// multi before the one that failed.
    Err(i32),
}

impl OpResult {
    /// Upstream's SYSTEMERROR: there was no place for another znode. Never sent to clients; the tree is not what the
    /// log says, so a server must stop.
    pub const SYSTEM_ERROR: i32 = -1;

    fn err(code: ErrorCode) -> Self {
        Self::Err(code.code())
    }
}

/// What came of a txn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// One per operation; none for the start or end of a session.
    pub results: SmallVec<[OpResult; 1]>,
    /// How many ephemerals went with a session.
    pub deleted: usize,
}

/// The part of the header that operations need.
#[derive(Clone, Copy)]
struct At {
    session: SessionId,
    zxid: i64,
    time_ms: i64,
}

struct NewNode<'a> {
    path: &'a str,
    data: Option<&'a [u8]>,
    acl: &'a AclList,
    /// As stored.
    owner: i64,
    parent_cversion: i32,
}

impl Tree {
    /// Applies a txn, and says to `effects` what changed.
    ///
    /// Txns whose effects are there already do no harm. The last zxid rises to the txn's and never falls.
    pub fn apply(&mut self, txn: &Txn, effects: &mut Effects) -> Applied {
        self.reclaim_some();
        self.changes += 1;
        let at = At { session: txn.session, zxid: txn.zxid.0, time_ms: txn.time_ms };
        let mut applied = Applied::default();
        match &txn.body {
            TxnBody::CreateSession { .. } => {}
            TxnBody::CloseSession { paths } => {
                applied.deleted = self.close_session(at, paths.as_deref().unwrap_or_default(), effects);
            }
            TxnBody::One(op) => applied.results.push(self.apply_op(at, op, effects)),
            TxnBody::Multi(ops) => self.apply_multi(at, ops, effects, &mut applied.results),
        }
        self.last_zxid = self.last_zxid.max(txn.zxid);
        self.log_digest(txn.zxid);
        applied
    }

    fn apply_multi(
        &mut self,
        at: At,
        ops: &[SubTxn],
        effects: &mut Effects,
        results: &mut SmallVec<[OpResult; 1]>,
    ) {
        if ops.iter().any(|op| matches!(op, SubTxn::Error { .. })) {
            let mut behind = false;
            results.extend(ops.iter().map(|op| match op {
                SubTxn::Error { code } => {
                    behind = true;
                    OpResult::Err(*code)
                }
                _ if behind => OpResult::err(ErrorCode::RuntimeInconsistency),
                _ => OpResult::Err(0),
            }));
            return;
        }
        let creates = ops.iter().filter(|op| is_create(op)).count();
        if !self.has_room(creates) {
            results.extend(ops.iter().map(|_| OpResult::Err(OpResult::SYSTEM_ERROR)));
            return;
        }
        for op in ops {
            results.push(self.apply_op(at, op, effects));
        }
    }

    fn apply_op(&mut self, at: At, op: &SubTxn, effects: &mut Effects) -> OpResult {
        match op {
            SubTxn::Create { path, data, acl, ephemeral, parent_cversion, .. } => {
                let owner = if *ephemeral { at.session.0 } else { 0 };
                let data = data.as_deref();
                let new = NewNode { path, data, acl, owner, parent_cversion: *parent_cversion };
                self.create(at, &new, effects)
            }
            SubTxn::CreateTtl { path, data, acl, parent_cversion, ttl_ms } => {
                if !(1..=TTL_MS_MAX).contains(ttl_ms) {
                    return OpResult::err(ErrorCode::BadArguments);
                }
                let owner = Owner::Ttl(*ttl_ms).to_stored();
                let data = data.as_deref();
                let new = NewNode { path, data, acl, owner, parent_cversion: *parent_cversion };
                self.create(at, &new, effects)
            }
            SubTxn::CreateContainer { path, data, acl, parent_cversion } => {
                let owner = Owner::Container.to_stored();
                let data = data.as_deref();
                let new = NewNode { path, data, acl, owner, parent_cversion: *parent_cversion };
                self.create(at, &new, effects)
            }
            SubTxn::Delete { path, .. } => self.delete(at, path, effects),
            SubTxn::SetData { path, data, version } | SubTxn::Reconfig { path, data, version } => {
                self.set_data(at, path, data.as_deref(), *version, effects)
            }
            SubTxn::SetAcl { path, acl, version } => self.set_acl(path, acl, *version),
            SubTxn::Check { .. } => OpResult::Ok(None),
            SubTxn::Error { code } => OpResult::Err(*code),
        }
    }

    fn create(&mut self, at: At, new: &NewNode<'_>, effects: &mut Effects) -> OpResult {
        let (parent, name) = match self.place_of(new.path) {
            Ok(place) => place,
            Err(why) => return misplaced(why),
        };
        let parent_path = &new.path[..new.path.len() - name.len() - 1];
        if let Some(id) = self.find(new.path) {
            if guard::holds(Guard::AclOfReplayed) {
                let acl = self.acls.acquire(new.acl);
                self.put_acl(id, acl);
            }
            self.raise_cversion(parent, parent_path, new.parent_cversion, at.zxid);
            return OpResult::err(ErrorCode::NodeExists);
        }
        if !self.has_place() {
            return OpResult::Err(OpResult::SYSTEM_ERROR);
        }
        self.raise_cversion(parent, parent_path, new.parent_cversion, at.zxid);
        let stat = StatPersisted {
            czxid: at.zxid,
            mzxid: at.zxid,
            pzxid: at.zxid,
            ctime: at.time_ms,
            mtime: at.time_ms,
            ephemeral_owner: new.owner,
            ..StatPersisted::default()
        };
        let acl = self.acls.acquire(new.acl);
        let id = self.add_node(parent, new.path, name, new.data, acl, &stat);
        // As made: a quota's node of usage is overwritten right after, which the answer does not show.
        let made = self.stat_of(id);
        self.quota_after_create(new.path, new.data.map_or(0, <[u8]>::len));
        if effects.enabled() {
            let parent_acl = self.acls.list(self.slab.at(parent).acl);
            effects.push(EffectKind::Created, new.path, self.acls.list(acl), Some(parent_acl));
        }
        OpResult::Ok(Some(made))
    }

    /// Raises the parent's count of creations, and its pzxid with it. −1 is one more.
    fn raise_cversion(&mut self, parent: u32, parent_path: &str, cversion: i32, zxid: i64) {
        let now = self.slab.at(parent).cversion;
        let cversion = if cversion == -1 { now.wrapping_add(1) } else { cversion };
        if cversion > now {
            self.preserve(parent);
            let slot = self.slab.at_mut(parent);
            slot.cversion = cversion;
            slot.pzxid = zxid;
            self.refresh_digest(parent, parent_path);
        }
    }

    fn delete(&mut self, at: At, path: &str, effects: &mut Effects) -> OpResult {
        let (parent, name) = match self.place_of(path) {
            Ok(place) => place,
            Err(why) => return misplaced(why),
        };
        // Even when the znode is gone already: the parent may be from before.
        if at.zxid > self.slab.at(parent).pzxid {
            self.preserve(parent);
            self.slab.at_mut(parent).pzxid = at.zxid;
            self.refresh_digest(parent, &path[..path.len() - name.len() - 1]);
        }
        let Some(id) = self.find(path) else { return OpResult::err(ErrorCode::NoNode) };
        if effects.enabled() {
            let acl = self.acls.list(self.slab.at(id).acl);
            let parent_acl = self.acls.list(self.slab.at(parent).acl);
            effects.push(EffectKind::Deleted, path, acl, Some(parent_acl));
        }
        let data_len = self.slab.at(id).data_len();
        self.remove_tree(id, path);
        self.quota_after_delete(path, data_len);
        OpResult::Ok(None)
    }

    fn set_data(
        &mut self,
        at: At,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        effects: &mut Effects,
    ) -> OpResult {
        let Some(id) = self.find(path) else { return OpResult::err(ErrorCode::NoNode) };
        let len_before = self.slab.at(id).data_len();
        self.put_data(id, data);
        let slot = self.slab.at_mut(id);
        slot.mtime = at.time_ms;
        slot.mzxid = at.zxid;
        slot.version = version;
        let diff = slot.data_len() as i64 - len_before as i64;
        self.refresh_digest(id, path);
        let stat = self.stat_of(id);
        self.quota_charge(path, diff, 0);
        if effects.enabled() {
            let acl = self.acls.list(self.slab.at(id).acl);
            effects.push(EffectKind::DataChanged, path, acl, None);
        }
        OpResult::Ok(Some(stat))
    }

    fn set_acl(&mut self, path: &str, acl: &AclList, version: i32) -> OpResult {
        let Some(id) = self.find(path) else { return OpResult::err(ErrorCode::NoNode) };
        let acl = self.acls.acquire(acl);
        self.put_acl(id, acl);
        self.slab.at_mut(id).aversion = version;
        self.refresh_digest(id, path);
        OpResult::Ok(Some(self.stat_of(id)))
    }

    /// Deletes the paths of the txn, then what else the session owns.
    fn close_session(&mut self, at: At, paths: &[String], effects: &mut Effects) -> usize {
        let mut deleted = 0;
        for path in paths {
            deleted += usize::from(matches!(self.delete(at, path, effects), OpResult::Ok(_)));
        }
        while let Some(&id) = self.owners.session(at.session).last() {
            let path = self.path_of(id);
            if !matches!(self.delete(at, &path, effects), OpResult::Ok(_)) {
                // Cannot be: what a session owns is in the tree.
                debug_assert!(false, "{path} is owned and not there");
                break;
            }
            deleted += 1;
        }
        self.owners.forget(at.session);
        deleted
    }

    /// Sets the data of `/zookeeper/config` outside of any txn, as a member of an ensemble does with its
    /// configuration, and creates it where it is missing. Version −1, mzxid the configuration's version. Not part of
    /// the digest.
    pub fn set_config(&mut self, data: &[u8], config_version: i64, time_ms: i64) {
        let at = At { session: SessionId::NONE, zxid: config_version, time_ms };
        self.changes += 1;
        self.add_config_node();
        self.set_data(at, super::CONFIG_PATH, Some(data), -1, &mut Effects::disabled());
    }
}

fn is_create(op: &SubTxn) -> bool {
    matches!(op, SubTxn::Create { .. } | SubTxn::CreateTtl { .. } | SubTxn::CreateContainer { .. })
}

fn misplaced(why: Misplaced) -> OpResult {
    OpResult::err(match why {
        Misplaced::BadPath => ErrorCode::BadArguments,
        Misplaced::NoParent => ErrorCode::NoNode,
    })
}
