//! Tests that need a tree: a small world in which requests are prepared, applied and answered.

mod check_order;
mod hostile;
mod multi;
mod pipelined;
mod reads;
mod reconfig;
mod watches;
mod writes;

use super::*;
use crate::tree::{Applied, Effects, Tree, TreeOptions};
use crate::types::{Id, NamespaceTotals, SessionId, Txn, TxnBody, Zxid};
use crate::watch::{EventKind, WatchMode, WatcherType};
use bytes::Bytes;
use quoll_jute::client::{
    CreateRequest, CreateTtlRequest, DeleteRequest, GetDataRequest, SetAclRequest, SetDataRequest,
};
use quoll_jute::{Record, data, to_vec};
use std::collections::{HashMap, VecDeque};

pub(super) const ME: SessionId = SessionId(0x100_0000_0000_0001);
pub(super) const OTHER: SessionId = SessionId(0x100_0000_0000_0002);

/// Sessions and what is wrong with them.
#[derive(Default)]
pub(super) struct Sessions(pub HashMap<SessionId, ErrorCode>);

impl SessionView for Sessions {
    fn check(&self, session: SessionId) -> Result<(), ErrorCode> {
        self.0.get(&session).map_or(Ok(()), |e| Err(*e))
    }
}

/// Watches as they were set and events as they were sent.
#[derive(Default)]
pub(super) struct Watches {
    pub set: Vec<(String, WatchMode)>,
    pub sent: Vec<(EventKind, String)>,
}

impl WatchSink for Watches {
    fn add(&mut self, path: &str, mode: WatchMode) {
        self.set.push((path.into(), mode));
    }
    fn remove(&mut self, path: &str, watcher_type: WatcherType) -> bool {
        let found = self.contains(path, watcher_type);
        self.set.retain(|(p, _)| p != path);
        found
    }
    fn contains(&mut self, path: &str, _: WatcherType) -> bool {
        self.set.iter().any(|(p, _)| p == path)
    }
    fn notify(&mut self, kind: EventKind, path: &str) {
        self.sent.push((kind, path.into()));
    }
}

pub(super) struct World {
    pub tree: Tree,
    pub outstanding: Outstanding,
    pub config: OpsConfig,
    pub ids: Vec<Id>,
    pub sessions: Sessions,
    pub watches: Watches,
    pub membership: Option<Membership>,
    pub cache: ResponseCache,
    pub bytes_read: NamespaceTotals,
    pub zxid: Zxid,
    /// Prepared and not yet applied.
    pub queue: VecDeque<Txn>,
}

impl World {
    pub fn new() -> Self {
        Self::with_config(OpsConfig::default())
    }

    pub fn with_config(config: OpsConfig) -> Self {
        let options = TreeOptions { hash_seed: 1, owner_rules: config.owner_rules, digest: true };
        Self {
            tree: Tree::new(options),
            outstanding: Outstanding::new(config.owner_rules),
            config,
            ids: vec![Id::new("ip", "127.0.0.1")],
            sessions: Sessions::default(),
            watches: Watches::default(),
            membership: None,
            cache: ResponseCache::new(16, 1 << 20),
            bytes_read: NamespaceTotals::new(16),
            zxid: Zxid(0x1_0000_0000),
            queue: VecDeque::new(),
        }
    }

    /// Prepares a request, without applying it.
    pub fn prepare_as(&mut self, session: SessionId, op: OpCode, body: &Bytes) -> Prepared {
        let mut cx = PrepareCx {
            tree: &self.tree,
            outstanding: &mut self.outstanding,
            session,
            ids: &self.ids,
            zxid: self.zxid.next(),
            time_ms: 1_000 + (self.zxid.0 & 0xffff),
            config: &self.config,
            sessions: &self.sessions,
            membership: self.membership.as_ref(),
        };
        let prepared = match op {
            OpCode::CreateSession => prepare_create_session(&mut cx, 10_000),
            _ => prepare(&mut cx, op, body),
        };
        self.enqueue(session, &prepared);
        prepared
    }

    pub fn enqueue(&mut self, session: SessionId, prepared: &Prepared) {
        let time_ms = 1_000 + (self.zxid.0 & 0xffff);
        if prepared.takes_zxid {
            self.zxid = self.zxid.next();
        }
        self.queue.push_back(Txn {
            session,
            cxid: 1,
            zxid: self.zxid,
            time_ms,
            body: prepared.body.clone(),
            digest: prepared.digest.map(|d| (2, d)),
        });
    }

    pub fn prepare(&mut self, op: OpCode, body: &Bytes) -> Prepared {
        self.prepare_as(ME, op, body)
    }

    /// Applies the oldest txn in the queue.
    pub fn apply_one(&mut self) -> Option<(Txn, Applied)> {
        let txn = self.queue.pop_front()?;
        let applied = self.tree.apply(&txn, &mut Effects::disabled());
        self.outstanding.applied(txn.zxid);
        if let Some((_, digest)) = txn.digest {
            assert_eq!(self.tree.digest(), digest, "digest after {txn:?}");
        }
        Some((txn, applied))
    }

    pub fn apply_all(&mut self) {
        while self.apply_one().is_some() {}
        assert!(self.outstanding.is_empty());
        assert_eq!(self.outstanding.len(), 0);
    }

    /// Prepares, applies and answers a request: the error of the header and the body of the reply.
    pub fn write_as(&mut self, session: SessionId, op: OpCode, body: &Bytes) -> (i32, Vec<u8>) {
        self.apply_all();
        let prepared = self.prepare_as(session, op, body);
        let (txn, applied) = self.apply_one().expect("one txn was prepared");
        assert!(self.outstanding.is_empty());
        let mut out = Vec::new();
        let err = write_reply(&txn.body, &applied, &mut out);
        assert_eq!(prepared.error.map_or(0, ErrorCode::code), err);
        (err, out)
    }

    pub fn write(&mut self, op: OpCode, body: &Bytes) -> (i32, Vec<u8>) {
        self.write_as(ME, op, body)
    }

    /// Serves a read: the body of the reply.
    pub fn read(&mut self, op: OpCode, body: &Bytes) -> Result<Vec<u8>, ErrorCode> {
        let mut out = b"before".to_vec();
        let result = self.read_into(op, body, &mut out);
        assert!(out.starts_with(b"before"));
        if result.is_err() && op != OpCode::MultiRead {
            assert_eq!(out, b"before");
        }
        result.map(|()| out.split_off(6))
    }

    pub fn read_into(&mut self, op: OpCode, body: &Bytes, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let mut cx = ReadCx {
            tree: &self.tree,
            watches: &mut self.watches,
            session: ME,
            ids: &self.ids,
            config: &self.config,
            cache: &mut self.cache,
            bytes_read: &mut self.bytes_read,
        };
        serve(&mut cx, op, body, out)
    }

    /// Creates a znode that anybody may use.
    pub fn make(&mut self, path: &str) {
        assert_eq!(self.write(OpCode::Create, &create(path, 0)).0, 0, "{path}");
    }

    pub fn make_with(&mut self, path: &str, perms: i32, flags: i32) {
        let acl = [entry(perms, "world", "anyone")];
        assert_eq!(self.write(OpCode::Create, &create_with(path, Some(b"x"), &acl, flags)).0, 0, "{path}");
    }
}

pub(super) fn bytes<'a, R: Record<'a>>(record: &R) -> Bytes {
    to_vec(record).into()
}

pub(super) fn entry<'a>(perms: i32, scheme: &'a str, id: &'a str) -> data::Acl<'a> {
    data::Acl { perms, id: data::Id { scheme: Some(scheme.into()), id: Some(id.into()) } }
}

pub(super) fn create(path: &str, flags: i32) -> Bytes {
    create_with(path, Some(b"x"), &[entry(31, "world", "anyone")], flags)
}

pub(super) fn create_with(path: &str, data: Option<&[u8]>, acl: &[data::Acl<'_>], flags: i32) -> Bytes {
    bytes(&CreateRequest { path: Some(path.into()), data, acl: Some(acl.to_vec()), flags })
}

pub(super) fn create_ttl(path: &str, flags: i32, ttl: i64) -> Bytes {
    let acl = Some(vec![entry(31, "world", "anyone")]);
    bytes(&CreateTtlRequest { path: Some(path.into()), data: Some(b"x"), acl, flags, ttl })
}

pub(super) fn delete(path: &str, version: i32) -> Bytes {
    bytes(&DeleteRequest { path: Some(path.into()), version })
}

pub(super) fn set_data(path: &str, data: &[u8], version: i32) -> Bytes {
    bytes(&SetDataRequest { path: Some(path.into()), data: Some(data), version })
}

pub(super) fn set_acl(path: &str, acl: &[data::Acl<'_>], version: i32) -> Bytes {
    bytes(&SetAclRequest { path: Some(path.into()), acl: Some(acl.to_vec()), version })
}

/// getData, exists, getChildren and getChildren2 all look like this.
pub(super) fn at(path: &str, watch: bool) -> Bytes {
    bytes(&GetDataRequest { path: Some(path.into()), watch })
}

/// The stored path of a create's txn.
pub(super) fn created_path(body: &TxnBody) -> &str {
    match body {
        TxnBody::One(
            crate::types::SubTxn::Create { path, .. }
            | crate::types::SubTxn::CreateTtl { path, .. }
            | crate::types::SubTxn::CreateContainer { path, .. },
        ) => path,
        other => panic!("not a create: {other:?}"),
    }
}
