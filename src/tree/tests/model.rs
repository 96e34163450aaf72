//! The rules of txns once more, as plainly as they can be written: a sorted map of paths.

use super::*;
use crate::types::{TTL_MS_MAX, parent_and_name};

#[derive(Clone)]
pub struct Model {
    pub nodes: Dump,
    pub last_zxid: i64,
}

impl Model {
    pub fn new() -> Self {
        Self { nodes: dump(&new_tree()), last_zxid: 0 }
    }

    pub fn apply(&mut self, txn: &Txn) {
        match &txn.body {
            TxnBody::CreateSession { .. } => {}
            TxnBody::CloseSession { paths } => {
                for path in paths.iter().flatten() {
                    self.delete(txn, path);
                }
                for path in self.ephemerals(txn.session.0) {
                    self.delete(txn, &path);
                }
            }
            TxnBody::One(op) => self.op(txn, op),
            TxnBody::Multi(ops) => {
                if !ops.iter().any(|op| matches!(op, SubTxn::Error { .. })) {
                    ops.iter().for_each(|op| self.op(txn, op));
                }
            }
        }
        self.last_zxid = self.last_zxid.max(txn.zxid.0);
    }

    pub fn ephemerals(&self, session: i64) -> Vec<String> {
        let owned = |n: &StatPersisted| n.ephemeral_owner == session;
        self.nodes.iter().filter(|(_, n)| owned(&n.1)).map(|(p, _)| p.clone()).collect()
    }

    pub fn child_count(&self, path: &str) -> usize {
        self.nodes.keys().filter(|p| *p != "/" && parent_of(p) == Some(path)).count()
    }

    fn op(&mut self, txn: &Txn, op: &SubTxn) {
        match op {
            SubTxn::Create { path, data, acl, ephemeral, parent_cversion, .. } => {
                let owner = if *ephemeral { txn.session.0 } else { 0 };
                self.create(txn, path, data.as_deref(), acl, owner, *parent_cversion);
            }
            SubTxn::CreateTtl { path, data, acl, parent_cversion, ttl_ms } => {
                if (1..=TTL_MS_MAX).contains(ttl_ms) {
                    let owner = (0xff << 56) | ttl_ms;
                    self.create(txn, path, data.as_deref(), acl, owner, *parent_cversion);
                }
            }
            SubTxn::CreateContainer { path, data, acl, parent_cversion } => {
                self.create(txn, path, data.as_deref(), acl, i64::MIN, *parent_cversion);
            }
            SubTxn::Delete { path, .. } => self.delete(txn, path),
            SubTxn::SetData { path, data, version } | SubTxn::Reconfig { path, data, version } => {
                if let Some((d, s, _)) = self.nodes.get_mut(alias(path)) {
                    *d = data.as_deref().map(<[u8]>::to_vec);
                    (s.mzxid, s.mtime, s.version) = (txn.zxid.0, txn.time_ms, *version);
                }
            }
            SubTxn::SetAcl { path, acl, version } => {
                if let Some((_, s, a)) = self.nodes.get_mut(alias(path)) {
                    s.aversion = *version;
                    *a = acl.clone();
                }
            }
            SubTxn::Check { .. } | SubTxn::Error { .. } => {}
        }
    }

    fn create(
        &mut self,
        txn: &Txn,
        path: &str,
        data: Option<&[u8]>,
        acl: &AclList,
        owner: i64,
        parent_cversion: i32,
    ) {
        let Some(parent) = parent_of(path) else { return };
        let Some((_, parent, _)) = self.nodes.get_mut(parent) else { return };
        let cversion = if parent_cversion == -1 { parent.cversion + 1 } else { parent_cversion };
        if cversion > parent.cversion {
            parent.cversion = cversion;
            parent.pzxid = txn.zxid.0;
        }
        let (zxid, time) = (txn.zxid.0, txn.time_ms);
        let stat = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ephemeral_owner: owner,
            ..StatPersisted::default()
        };
        self.nodes
            .entry(path.into())
            .and_modify(|n| n.2 = acl.clone())
            .or_insert_with(|| (data.map(<[u8]>::to_vec), stat, acl.clone()));
    }

    fn delete(&mut self, txn: &Txn, path: &str) {
        let Some(parent) = parent_of(path) else { return };
        let Some((_, parent, _)) = self.nodes.get_mut(parent) else { return };
        parent.pzxid = parent.pzxid.max(txn.zxid.0);
        let below = format!("{path}/");
        self.nodes.retain(|p, _| p != path && !p.starts_with(&below));
    }
}

fn alias(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// The parent of something that can be a child.
fn parent_of(path: &str) -> Option<&str> {
    let (parent, name) = parent_and_name(path)?;
    (!name.is_empty() && !path.starts_with("//")).then_some(parent)
}
