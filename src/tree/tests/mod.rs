//! Tests of the tree: rules one by one, and random histories against a model.
//!
//! Random tests run over fixed seeds: the same command fails the same way again, and the message names the seed.

mod audit;
mod close;
mod history;
mod load;
mod model;
mod properties;
mod quota;
mod rules;
mod snapshot;

use super::*;
use crate::types::{ErrorCode, SubTxn, Txn, TxnBody, open_acl};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What can be seen of a tree: path → data, stored stat, ACL.
type Dump = BTreeMap<String, (Option<Vec<u8>>, StatPersisted, AclList)>;

fn dump(tree: &Tree) -> Dump {
    let mut all = Dump::new();
    let mut queue = vec![tree.root()];
    while let Some(node) = queue.pop() {
        let seen = (node.data().map(<[u8]>::to_vec), node.stat_persisted(), node.acl().clone());
        all.insert(node.path(), seen);
        queue.extend(node.children());
    }
    all
}

/// Panics at the first path that differs.
fn same(found: &Dump, expected: &Dump, what: &str) {
    for (path, node) in expected {
        let found = found.get(path);
        assert!(
            found == Some(node),
            "{what}: {path}\n found {:?}\n expected {:?}",
            found.map(|n| &n.1),
            node.1
        );
    }
    let more: Vec<_> = found.keys().filter(|p| !expected.contains_key(*p)).collect();
    assert!(more.is_empty(), "{what}: {more:?} should not be there");
}

fn options() -> TreeOptions {
    let owner_rules = OwnerRules { extended_types: true, emulate_353: false };
    TreeOptions { hash_seed: 7, owner_rules, digest: true }
}

fn new_tree() -> Tree {
    Tree::new(options())
}

fn txn(zxid: i64, session: i64, body: TxnBody) -> Txn {
    let time_ms = 1_000_000 + zxid;
    Txn { session: SessionId(session), cxid: 1, zxid: Zxid(zxid), time_ms, body, digest: None }
}

fn one(zxid: i64, op: SubTxn) -> Txn {
    txn(zxid, 0x55, TxnBody::One(op))
}

fn create(path: &str, data: &str, parent_cversion: i32) -> SubTxn {
    SubTxn::Create {
        with_stat: false,
        path: path.into(),
        data: Some(Bytes::copy_from_slice(data.as_bytes())),
        acl: open_acl().clone(),
        ephemeral: false,
        parent_cversion,
    }
}

fn ephemeral(path: &str) -> SubTxn {
    SubTxn::Create {
        with_stat: true,
        path: path.into(),
        data: None,
        acl: open_acl().clone(),
        ephemeral: true,
        parent_cversion: -1,
    }
}

fn delete(path: &str) -> SubTxn {
    SubTxn::Delete { container: false, path: path.into() }
}

fn set(path: &str, data: &str, version: i32) -> SubTxn {
    SubTxn::SetData { path: path.into(), data: Some(Bytes::copy_from_slice(data.as_bytes())), version }
}

fn acl(name: &str) -> AclList {
    [Acl { perms: Perms(15), id: Id::new("digest", name) }].into()
}

/// Applies a txn that nobody watches. Ends of sessions are planned, every other time.
fn apply(tree: &mut Tree, txn: &Txn) -> Applied {
    if txn.zxid.0 % 2 == 0
        && let Some(plan) = tree.plan_close(txn, &mut Effects::disabled())
    {
        return tree.apply_close(txn, plan).expect("a fresh plan fits");
    }
    tree.apply(txn, &mut Effects::disabled())
}

/// Applies one operation and returns what came of it.
fn apply_one(tree: &mut Tree, zxid: i64, op: SubTxn) -> OpResult {
    apply(tree, &one(zxid, op)).results[0].clone()
}

fn failed(code: ErrorCode) -> OpResult {
    OpResult::Err(code.code())
}

fn stat(tree: &Tree, path: &str) -> Stat {
    tree.lookup(path).unwrap_or_else(|| panic!("{path} is not there")).stat()
}

/// A small deterministic source of numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
