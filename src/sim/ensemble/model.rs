//! What the znodes and sessions have to be after each committed txn, by the oracle's own simple rules.

use crate::{
    sim::write::Write,
    types::{ErrorCode, SessionId, SubTxn, Txn, TxnBody, Zxid},
};
use std::collections::{BTreeMap, BTreeSet};

/// A znode as the oracle knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub data: Vec<u8>,
    pub owner: Option<SessionId>,
    pub version: i32,
}

/// A session's life.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub timeout_ms: i32,
    pub created: Zxid,
    pub closed: Option<Zxid>,
}

/// The znodes that clients made, without the server's own, at every zxid there was.
#[derive(Default)]
pub(super) struct Model {
    now: BTreeMap<String, Known>,
    versions: BTreeMap<String, Vec<(Zxid, Option<Known>)>>,
    /// Changes to the list of children, by parent; the parent's own end is one.
    children: BTreeMap<String, Vec<Zxid>>,
    pub sessions: BTreeMap<SessionId, Life>,
    /// The reconfigurations.
    pub reconfigured: Vec<Zxid>,
}

/// Which changes a watch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Watched {
    Node,
    Children,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Model {
    /// How a write has to end in the present state.
    pub fn expected(&self, write: &Write) -> Result<(), ErrorCode> {
        expected(&self.now, write)
    }

    /// Takes the next txn. An error says what is impossible about it.
    pub fn apply(&mut self, txn: &Txn) -> Result<(), String> {
        let zxid = txn.zxid;
        match &txn.body {
            TxnBody::CreateSession { timeout_ms } => {
                let life = Life { timeout_ms: *timeout_ms, created: zxid, closed: None };
                if self.sessions.insert(txn.session, life).is_some() {
                    return Err(format!("session {} is created a second time by {zxid}", txn.session));
                }
            }
            TxnBody::CloseSession { paths } => self.close(txn.session, zxid, paths.as_deref())?,
            TxnBody::One(op) => self.one(txn, op)?,
            TxnBody::Multi(ops) if ops.iter().any(|op| matches!(op, SubTxn::Error { .. })) => {}
            TxnBody::Multi(ops) => {
                for op in ops {
                    self.one(txn, op)?;
                }
            }
        }
        Ok(())
    }

    fn close(&mut self, session: SessionId, zxid: Zxid, paths: Option<&[String]>) -> Result<(), String> {
        let life = self.sessions.get_mut(&session).ok_or(format!("{zxid} closes unknown {session}"))?;
        // A client may close what is being ended already; that changes nothing.
        life.closed.get_or_insert(zxid);
        let owned: BTreeSet<String> =
            self.now.iter().filter(|(_, n)| n.owner == Some(session)).map(|(p, _)| p.clone()).collect();
        if let Some(paths) = paths {
            let named: BTreeSet<String> = paths.iter().cloned().collect();
            if named != owned {
                return Err(format!("{zxid} closes {session} with {named:?}, it owns {owned:?}"));
            }
        }
        owned.iter().for_each(|path| self.put(path, zxid, None));
        Ok(())
    }

    fn one(&mut self, txn: &Txn, op: &SubTxn) -> Result<(), String> {
        let zxid = txn.zxid;
        match op {
            SubTxn::Create { path, data, ephemeral, .. } => {
                let owner = ephemeral.then_some(txn.session);
                if let Some(owner) = owner
                    && self.sessions.get(&owner).is_none_or(|life| life.closed.is_some())
                {
                    return Err(format!("{zxid} creates {path} for session {owner}, which does not live"));
                }
                let up = parent(path);
                if self.now.contains_key(path) || !up.is_empty() && !self.now.contains_key(up) {
                    return Err(format!("{zxid} creates {path}, which cannot be created"));
                }
                let data = data.as_deref().unwrap_or_default().to_vec();
                self.put(path, zxid, Some(Known { data, owner, version: 0 }));
            }
            SubTxn::SetData { path, data, version } => {
                let known = self.now.get(path).ok_or(format!("{zxid} sets {path}, which is not there"))?;
                if *version != known.version + 1 {
                    return Err(format!("{zxid} makes {path} version {version} after {}", known.version));
                }
                let data = data.as_deref().unwrap_or_default().to_vec();
                let owner = known.owner;
                self.put(path, zxid, Some(Known { data, owner, version: *version }));
            }
            SubTxn::Delete { path, .. } => {
                if !self.now.contains_key(path) {
                    return Err(format!("{zxid} deletes {path}, which is not there"));
                }
                self.put(path, zxid, None);
            }
            SubTxn::Error { .. } => {}
            SubTxn::Reconfig { .. } => self.reconfigured.push(zxid),
            other => return Err(format!("{zxid} is {other:?}, which nobody asked for")),
        }
        Ok(())
    }

    fn put(&mut self, path: &str, zxid: Zxid, known: Option<Known>) {
        if self.now.contains_key(path) != known.is_some() {
            self.children.entry(parent(path).to_owned()).or_default().push(zxid);
            if known.is_none() {
                self.children.entry(path.to_owned()).or_default().push(zxid);
            }
        }
        match &known {
            Some(known) => self.now.insert(path.to_owned(), known.clone()),
            None => self.now.remove(path),
        };
        self.versions.entry(path.to_owned()).or_default().push((zxid, known));
    }

    /// A znode after `zxid`.
    pub fn at(&self, path: &str, zxid: Zxid) -> Option<&Known> {
        let versions = self.versions.get(path)?;
        let end = versions.partition_point(|(z, _)| *z <= zxid);
        versions[..end].last().and_then(|(_, known)| known.as_ref())
    }

    /// The names below a znode after `zxid`, in order.
    pub fn children_at(&self, path: &str, zxid: Zxid) -> Vec<&str> {
        let below = format!("{path}/");
        let range = self.versions.range(below.clone()..).take_while(|(p, _)| p.starts_with(&below));
        let names = range.map(|(p, _)| &p[below.len()..]).filter(|name| !name.contains('/'));
        names.filter(|name| self.at(&format!("{below}{name}"), zxid).is_some()).collect()
    }

    /// The first change that a watch set after `after` had to tell of, up to `until`.
    pub fn changed(&self, path: &str, what: Watched, after: Zxid, until: Zxid) -> Option<Zxid> {
        let told = |zxid: &Zxid| *zxid > after && *zxid <= until;
        match what {
            Watched::Node => self.versions.get(path)?.iter().map(|(z, _)| *z).find(told),
            Watched::Children => self.children.get(path)?.iter().copied().find(told),
        }
    }

    /// Everything there is now.
    pub fn now(&self) -> &BTreeMap<String, Known> {
        &self.now
    }

    /// Whether the session has ended, or was never one of the ensemble, after this txn.
    pub fn is_over(&self, session: SessionId, zxid: Zxid) -> bool {
        self.sessions.get(&session).is_none_or(|life| life.closed.is_some_and(|closed| closed <= zxid))
    }

    /// The sessions that live now, with their timeouts in ms.
    pub fn living(&self) -> impl Iterator<Item = (SessionId, i32)> + '_ {
        self.sessions.iter().filter(|(_, l)| l.closed.is_none()).map(|(id, l)| (*id, l.timeout_ms))
    }
}

fn expected(nodes: &BTreeMap<String, Known>, write: &Write) -> Result<(), ErrorCode> {
    match write {
        Write::Create { path, .. } => {
            let up = parent(path);
            if !up.is_empty() {
                let parent = nodes.get(up).ok_or(ErrorCode::NoNode)?;
                if nodes.contains_key(path) {
                    return Err(ErrorCode::NodeExists);
                }
                if parent.owner.is_some() {
                    return Err(ErrorCode::NoChildrenForEphemerals);
                }
            }
            if nodes.contains_key(path) { Err(ErrorCode::NodeExists) } else { Ok(()) }
        }
        Write::Set { path, .. } => nodes.get(path).map(|_| ()).ok_or(ErrorCode::NoNode),
        Write::Delete { path } => {
            let up = parent(path);
            if !up.is_empty() && !nodes.contains_key(up) || !nodes.contains_key(path) {
                return Err(ErrorCode::NoNode);
            }
            let below = format!("{path}/");
            match nodes.range(below.clone()..).next() {
                Some((p, _)) if p.starts_with(&below) => Err(ErrorCode::NotEmpty),
                _ => Ok(()),
            }
        }
        Write::Multi(writes) => {
            let mut nodes = nodes.clone();
            for write in writes {
                expected(&nodes, write)?;
                match write {
                    Write::Create { path, data, owner } => {
                        let known = Known { data: data.clone(), owner: *owner, version: 0 };
                        nodes.insert(path.clone(), known);
                    }
                    Write::Delete { path } => {
                        nodes.remove(path);
                    }
                    _ => {}
                }
            }
            Ok(())
        }
        Write::Close { .. } | Write::Reconfig { .. } => Ok(()),
    }
}

/// Whether a txn does what a write asked for.
pub(super) fn does(txn: &Txn, write: &Write) -> bool {
    match (&txn.body, write) {
        (TxnBody::One(op), _) => op_does(op, write),
        (TxnBody::Multi(ops), Write::Multi(writes)) => {
            ops.len() == writes.len() && ops.iter().zip(writes).all(|(op, write)| op_does(op, write))
        }
        (TxnBody::CloseSession { .. }, Write::Close { session }) => txn.session == *session,
        _ => false,
    }
}

fn op_does(op: &SubTxn, write: &Write) -> bool {
    match (op, write) {
        (SubTxn::Create { path, data, ephemeral, .. }, Write::Create { path: p, data: d, owner }) => {
            path == p && data.as_deref() == Some(&d[..]) && *ephemeral == owner.is_some()
        }
        (SubTxn::SetData { path, data, .. }, Write::Set { path: p, data: d }) => {
            path == p && data.as_deref() == Some(&d[..])
        }
        (SubTxn::Delete { path, .. }, Write::Delete { path: p }) => path == p,
        // What it makes of the members was looked at when it was proposed.
        (SubTxn::Reconfig { .. }, Write::Reconfig { .. }) => true,
        _ => false,
    }
}
