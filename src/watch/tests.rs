//! Tests of the watches: the rules one by one, then random use against a plain model.

use super::*;
use crate::{
    tree::{Tree, TreeOptions},
    types::{Acl, ErrorCode, Id, Perms, SessionId, SubTxn, Txn, TxnBody, open_acl},
};
use EventKind::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
use std::collections::{BTreeMap, BTreeSet};

type Event = (u32, EventKind, String);

fn conn(serial: u32) -> ConnId {
    ConnId { worker: 0, serial }
}

/// A tree with its watches.
struct World {
    tree: Tree,
    watches: WatchManager,
    zxid: i64,
}

impl World {
    fn new() -> Self {
        Self { tree: Tree::new(TreeOptions::default()), watches: WatchManager::new(3), zxid: 0 }
    }

    fn watch(&mut self, serial: u32, path: &str, mode: WatchMode) {
        self.watches.add(conn(serial), path, mode);
    }

    fn apply_as(&mut self, session: i64, body: TxnBody) -> Vec<Event> {
        self.zxid += 1;
        let zxid = Zxid(self.zxid);
        let txn = Txn { session: SessionId(session), cxid: 0, zxid, time_ms: 0, body, digest: None };
        let mut effects = Effects::new();
        self.tree.apply(&txn, &mut effects);
        let mut events = Vec::new();
        self.watches.trigger(&effects, zxid, |c, e, _| {
            assert_eq!(e.zxid, zxid);
            events.push((c.serial, e.kind, e.path.to_string()));
        });
        events
    }

    fn apply(&mut self, op: SubTxn) -> Vec<Event> {
        self.apply_as(1, TxnBody::One(op))
    }

    fn create(&mut self, path: &str) -> Vec<Event> {
        self.apply(create(path))
    }

    fn delete(&mut self, path: &str) -> Vec<Event> {
        self.apply(SubTxn::Delete { container: false, path: path.into() })
    }

    fn set(&mut self, path: &str) -> Vec<Event> {
        self.apply(SubTxn::SetData { path: path.into(), data: None, version: 1 })
    }
}

fn create(path: &str) -> SubTxn {
    SubTxn::Create {
        with_stat: false,
        path: path.into(),
        data: None,
        acl: open_acl().clone(),
        ephemeral: path.contains("eph"),
        parent_cversion: -1,
    }
}

fn event(serial: u32, kind: EventKind, path: &str) -> Event {
    (serial, kind, path.into())
}

#[test]
fn a_one_shot_watch_fires_once() {
    let mut w = World::new();
    w.create("/a");
    w.watch(1, "/a", WatchMode::Data);
    assert!(w.watches.contains(conn(1), "/a", WatcherType::Data));
    assert_eq!(w.set("/a"), [event(1, NodeDataChanged, "/a")]);
    assert_eq!(w.set("/a"), []);
    assert!(w.watches.is_empty());
    assert!(!w.watches.contains(conn(1), "/a", WatcherType::Any));
}

#[test]
fn an_exists_watch_tells_of_the_creation() {
    let mut w = World::new();
    w.watch(1, "/a", WatchMode::Data);
    assert_eq!(w.create("/a"), [event(1, NodeCreated, "/a")]);
    assert_eq!(w.delete("/a"), []);
}

#[test]
fn a_child_watch_tells_of_children_and_of_its_own_end_only() {
    let mut w = World::new();
    w.create("/a");
    w.watch(1, "/a", WatchMode::Child);
    assert_eq!(w.set("/a"), []);
    assert_eq!(w.create("/a/b"), [event(1, NodeChildrenChanged, "/a")]);
    w.watch(1, "/a", WatchMode::Child);
    assert_eq!(w.set("/a/b"), []);
    assert_eq!(w.create("/a/b/c"), [], "not of grandchildren");
    w.delete("/a/b/c");
    assert_eq!(w.delete("/a/b"), [event(1, NodeChildrenChanged, "/a")]);
    w.watch(1, "/a", WatchMode::Child);
    assert_eq!(w.delete("/a"), [event(1, NodeDeleted, "/a")]);
}

#[test]
fn the_parent_of_a_top_level_znode_is_the_root() {
    let mut w = World::new();
    w.watch(1, "/", WatchMode::Child);
    assert_eq!(w.create("/a"), [event(1, NodeChildrenChanged, "/")]);
}

#[test]
fn a_deletion_goes_to_the_data_table_then_the_child_table_then_the_parent() {
    let mut w = World::new();
    w.create("/a");
    w.create("/a/b");
    w.watch(4, "/a", WatchMode::Child);
    w.watch(2, "/a/b", WatchMode::Child);
    w.watch(1, "/a/b", WatchMode::Data);
    w.watch(3, "/a/b", WatchMode::Child);
    w.watch(3, "/a/b", WatchMode::Data);
    let events = w.delete("/a/b");
    assert_eq!(events.len(), 4, "connection 3 hears once: {events:?}");
    let data: BTreeSet<_> = events[..2].iter().map(|e| e.0).collect();
    assert_eq!(data, [1, 3].into());
    assert_eq!(events[2..], [event(2, NodeDeleted, "/a/b"), event(4, NodeChildrenChanged, "/a")]);
    assert!(w.watches.is_empty(), "the child watch of connection 3 is used up too");
}

#[test]
fn set_acl_and_failed_txns_fire_nothing() {
    let mut w = World::new();
    w.create("/a");
    for mode in [WatchMode::Data, WatchMode::Child, WatchMode::Persistent] {
        w.watch(1, "/a", mode);
    }
    let op = SubTxn::SetAcl { path: "/a".into(), acl: open_acl().clone(), version: 1 };
    assert_eq!(w.apply(op), []);
    assert_eq!(w.apply(SubTxn::error(ErrorCode::NoNode)), []);
    assert_eq!(w.create("/a"), [], "it is there already");
    let failed = vec![create("/a/b"), SubTxn::error(ErrorCode::NoNode)];
    assert_eq!(w.apply_as(1, TxnBody::Multi(failed)), []);
}

#[test]
fn a_persistent_watch_stays_and_tells_of_data_and_children() {
    let mut w = World::new();
    w.watch(1, "/a", WatchMode::Persistent);
    for _ in 0..2 {
        assert_eq!(w.create("/a"), [event(1, NodeCreated, "/a")]);
        assert_eq!(w.set("/a"), [event(1, NodeDataChanged, "/a")]);
        assert_eq!(w.create("/a/b"), [event(1, NodeChildrenChanged, "/a")]);
        assert_eq!(w.set("/a/b"), []);
        assert_eq!(w.delete("/a/b"), [event(1, NodeChildrenChanged, "/a")]);
        assert_eq!(w.delete("/a"), [event(1, NodeDeleted, "/a")], "once, though it is in both tables");
    }
    assert_eq!((w.watches.data_watch_count(), w.watches.child_watch_count()), (1, 1));
}

#[test]
fn a_recursive_watch_tells_of_everything_below_but_not_of_children_as_such() {
    let mut w = World::new();
    w.watch(1, "/a", WatchMode::PersistentRecursive);
    assert_eq!(w.create("/a"), [event(1, NodeCreated, "/a")]);
    assert_eq!(w.create("/a/b"), [event(1, NodeCreated, "/a/b")]);
    assert_eq!(w.create("/a/b/c"), [event(1, NodeCreated, "/a/b/c")]);
    assert_eq!(w.set("/a/b/c"), [event(1, NodeDataChanged, "/a/b/c")]);
    assert_eq!(w.create("/ab"), []);
    assert_eq!(w.delete("/a/b/c"), [event(1, NodeDeleted, "/a/b/c")]);
    assert_eq!((w.watches.data_watch_count(), w.watches.child_watch_count()), (1, 0));
}

#[test]
fn a_recursive_watch_on_the_root_tells_of_everything() {
    let mut w = World::new();
    w.watch(1, "/", WatchMode::PersistentRecursive);
    assert_eq!(w.create("/a"), [event(1, NodeCreated, "/a")]);
    assert_eq!(w.set("/"), [event(1, NodeDataChanged, "/")]);
}

#[test]
fn with_persistent_and_recursive_watches_both_kinds_are_told() {
    let mut w = World::new();
    w.create("/a");
    w.watch(1, "/a", WatchMode::Persistent);
    w.watch(1, "/a", WatchMode::PersistentRecursive);
    assert_eq!(w.create("/a/b"), [event(1, NodeCreated, "/a/b"), event(1, NodeChildrenChanged, "/a")]);
}

#[test]
fn a_connection_hears_of_an_event_once_however_many_of_its_watches_match() {
    let mut w = World::new();
    w.create("/a");
    w.create("/a/b");
    w.watch(1, "/", WatchMode::PersistentRecursive);
    w.watch(1, "/a", WatchMode::PersistentRecursive);
    w.watch(1, "/a/b", WatchMode::PersistentRecursive);
    w.watch(1, "/a/b", WatchMode::Persistent);
    w.watch(1, "/a/b", WatchMode::Data);
    w.watch(1, "/a/b", WatchMode::Child);
    assert_eq!(w.set("/a/b"), [event(1, NodeDataChanged, "/a/b")]);
    assert!(!w.watches.contains(conn(1), "/a/b", WatcherType::Data), "the one-shot one is used up");
    assert!(w.watches.contains(conn(1), "/a/b", WatcherType::Persistent));
    assert_eq!(w.delete("/a/b"), [event(1, NodeDeleted, "/a/b")]);
    assert!(!w.watches.contains(conn(1), "/a/b", WatcherType::Children));
}

#[test]
fn deliveries_carry_the_acl_that_decides_and_the_watch_is_used_up_in_any_case() {
    let mut w = World::new();
    let secret: AclList = [Acl { perms: Perms::ALL, id: Id::new("digest", "u") }].into();
    w.create("/a");
    let op = SubTxn::SetAcl { path: "/a".into(), acl: secret.clone(), version: 1 };
    w.apply(op);
    w.watch(1, "/a", WatchMode::Data);
    w.watch(1, "/", WatchMode::Child);
    let mut effects = Effects::new();
    let body = TxnBody::One(SubTxn::Delete { container: false, path: "/a".into() });
    let txn = Txn { session: SessionId(1), cxid: 0, zxid: Zxid(99), time_ms: 0, body, digest: None };
    w.tree.apply(&txn, &mut effects);
    let mut acls = Vec::new();
    w.watches.trigger(&effects, Zxid(99), |_, e, acl| acls.push((e.kind, acl.clone())));
    assert_eq!(acls, [(NodeDeleted, secret), (NodeChildrenChanged, open_acl().clone())]);
    assert!(w.watches.is_empty());
}

#[test]
fn the_operations_of_a_multi_and_the_end_of_a_session_fire_one_by_one() {
    let mut w = World::new();
    w.watch(1, "/a", WatchMode::Persistent);
    let ops = vec![create("/a"), create("/a/eph1"), create("/a/eph2")];
    let events = w.apply_as(5, TxnBody::Multi(ops));
    let children = event(1, NodeChildrenChanged, "/a");
    assert_eq!(events, [event(1, NodeCreated, "/a"), children.clone(), children.clone()]);
    w.watch(2, "/a/eph2", WatchMode::Data);
    let paths = Some(vec!["/a/eph1".into(), "/a/eph2".into()]);
    let events = w.apply_as(5, TxnBody::CloseSession { paths });
    assert_eq!(events, [children.clone(), event(2, NodeDeleted, "/a/eph2"), children]);
}

#[test]
fn removal_takes_what_its_type_says() {
    let modes = [
        (WatchMode::Child, WatcherType::Children),
        (WatchMode::Data, WatcherType::Data),
        (WatchMode::Persistent, WatcherType::Persistent),
        (WatchMode::PersistentRecursive, WatcherType::PersistentRecursive),
    ];
    for (mode, its) in modes {
        for (_, other) in modes {
            let mut w = World::new();
            w.watch(1, "/a", mode);
            w.watch(2, "/a", mode);
            assert_eq!(w.watches.contains(conn(1), "/a", other), its == other, "{mode:?} {other:?}");
            assert!(w.watches.contains(conn(1), "/a", WatcherType::Any));
            assert_eq!(w.watches.remove(conn(1), "/a", other), its == other, "{mode:?} {other:?}");
            assert_eq!(w.watches.remove(conn(1), "/a", WatcherType::Any), its != other);
            assert!(!w.watches.remove(conn(1), "/a", WatcherType::Any), "nothing is left");
            assert!(w.watches.contains(conn(2), "/a", its), "of another connection it is");
        }
    }
    let mut w = World::new();
    modes.iter().for_each(|(m, _)| w.watch(1, "/a", *m));
    assert!(w.watches.remove(conn(1), "/a", WatcherType::Any));
    assert!(w.watches.is_empty());
    assert!(!w.watches.remove(conn(9), "/a", WatcherType::Any));
    assert!(!w.watches.remove(conn(1), "/b", WatcherType::Any));
}

#[test]
fn the_numbers_on_the_wire_are_upstreams() {
    assert_eq!(WatcherType::from_code(0), None);
    assert_eq!(WatcherType::from_code(6), None);
    for code in 1..=5 {
        assert_eq!(WatcherType::from_code(code).unwrap() as i32, code);
    }
    assert_eq!(WatchMode::from_add_watch(0), Some(WatchMode::Persistent));
    assert_eq!(WatchMode::from_add_watch(1), Some(WatchMode::PersistentRecursive));
    assert_eq!(WatchMode::from_add_watch(2), None);
    let codes = [NodeCreated, NodeDeleted, NodeDataChanged, NodeChildrenChanged].map(EventKind::code);
    assert_eq!(codes, [1, 2, 3, 4]);
}

#[test]
fn a_connection_that_is_gone_watches_nothing() {
    let mut w = World::new();
    for n in 0..1000 {
        w.watch(1, &format!("/{n}"), WatchMode::Data);
        w.watch(2, &format!("/{n}"), WatchMode::Persistent);
    }
    w.watches.drop_connection(conn(1));
    w.watches.drop_connection(conn(1));
    assert_eq!((w.watches.data_watch_count(), w.watches.child_watch_count()), (1000, 1000));
    assert_eq!(w.create("/7"), [event(2, NodeCreated, "/7")]);
    w.watches.drop_connection(conn(2));
    assert!(w.watches.is_empty());
    assert_eq!(w.watches.summary(), WatchSummary::default());
}

#[test]
fn the_summaries_are_of_the_data_table() {
    let mut w = World::new();
    w.watch(1, "/a", WatchMode::Data);
    w.watch(1, "/b", WatchMode::PersistentRecursive);
    w.watch(2, "/b", WatchMode::Persistent);
    w.watch(3, "/c", WatchMode::Child);
    assert_eq!(w.watches.summary(), WatchSummary { connections: 2, paths: 2, watches: 3 });
    let by_path: BTreeMap<_, _> = w.watches.by_path().collect();
    assert_eq!(by_path, [("/a", vec![conn(1)]), ("/b", vec![conn(1), conn(2)])].into());
    let by_conn: BTreeMap<_, BTreeSet<_>> =
        w.watches.by_conn().map(|(c, paths)| (c, paths.into_iter().collect())).collect();
    assert_eq!(by_conn, [(conn(1), ["/a", "/b"].into()), (conn(2), ["/b"].into())].into());
}

#[test]
fn any_text_can_be_watched() {
    let mut w = World::new();
    for path in ["", "a", "//", "/a/", "/\0", "\u{1f600}"] {
        w.watch(1, path, WatchMode::PersistentRecursive);
        assert!(w.watches.contains(conn(1), path, WatcherType::PersistentRecursive));
    }
    w.create("/x");
    w.watches.drop_connection(conn(1));
    assert!(w.watches.is_empty());
}

/// Two sorted maps and the rules of one page.
#[derive(Default)]
struct Plain {
    data: BTreeMap<(String, u32), BTreeSet<u8>>,
    child: BTreeMap<(String, u32), BTreeSet<u8>>,
}

const ONCE: u8 = 0;
const STAYS: u8 = 1;
const BELOW: u8 = 2;

impl Plain {
    fn add(&mut self, serial: u32, path: &str, mode: WatchMode) {
        let key = (path.to_string(), serial);
        let mut put = |data: bool, m| {
            let table = if data { &mut self.data } else { &mut self.child };
            table.entry(key.clone()).or_default().insert(m)
        };
        match mode {
            WatchMode::Data => put(true, ONCE),
            WatchMode::Child => put(false, ONCE),
            WatchMode::PersistentRecursive => put(true, BELOW),
            WatchMode::Persistent => put(true, STAYS) | put(false, STAYS),
        };
    }

    fn fire(&mut self, data: bool, path: &str) -> BTreeSet<u32> {
        let table = if data { &mut self.data } else { &mut self.child };
        let mut told = BTreeSet::new();
        table.retain(|(p, serial), modes| {
            let above = *p == "/" || path.starts_with(&format!("{p}/"));
            if p == path {
                told.insert(*serial);
                modes.remove(&ONCE);
            } else if above && modes.contains(&BELOW) {
                told.insert(*serial);
            }
            !modes.is_empty()
        });
        told
    }
}

#[test]
fn random_use_is_as_the_plain_model_has_it() {
    const PATHS: &[&str] = &["/", "/a", "/b", "/a/a", "/a/b", "/a/a/a"];
    for seed in 0..40_u64 {
        let mut random = seed;
        let mut below = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % n
        };
        let (mut w, mut plain) = (World::new(), Plain::default());
        for step in 0..1500 {
            let path = PATHS[below(6) as usize];
            let serial = below(30) as u32;
            let there = w.tree.lookup(path).is_some();
            match below(8) {
                0..=3 => {
                    let mode = [
                        WatchMode::Data,
                        WatchMode::Child,
                        WatchMode::Persistent,
                        WatchMode::PersistentRecursive,
                    ][below(4) as usize];
                    w.watch(serial, path, mode);
                    plain.add(serial, path, mode);
                }
                4 if below(4) == 0 => {
                    w.watches.drop_connection(conn(serial));
                    plain.data.retain(|k, _| k.1 != serial);
                    plain.child.retain(|k, _| k.1 != serial);
                }
                5 => {
                    let removed = w.watches.remove(conn(serial), path, WatcherType::Any);
                    let key = (path.to_string(), serial);
                    let expected = plain.data.remove(&key).is_some() | plain.child.remove(&key).is_some();
                    assert_eq!(removed, expected, "seed {seed} step {step}");
                }
                6 if there => {
                    let heard: BTreeSet<Event> = w.set(path).into_iter().collect();
                    let told = plain.fire(true, path);
                    assert_eq!(heard, told.into_iter().map(|s| event(s, NodeDataChanged, path)).collect());
                }
                _ if path != "/" => {
                    let (parent, _) = parent_and_name(path).unwrap();
                    let leaf = w.tree.lookup(path).is_some_and(|n| n.child_count() == 0);
                    let (events, kind) = if there && leaf {
                        (w.delete(path), NodeDeleted)
                    } else if !there && w.tree.lookup(parent).is_some() {
                        (w.create(path), NodeCreated)
                    } else {
                        continue;
                    };
                    let mut told = plain.fire(true, path);
                    if kind == NodeDeleted {
                        told.append(&mut plain.fire(false, path));
                    }
                    let mut expected: BTreeSet<Event> =
                        told.into_iter().map(|s| event(s, kind, path)).collect();
                    let above = plain.fire(false, parent);
                    expected.extend(above.into_iter().map(|s| event(s, NodeChildrenChanged, parent)));
                    let heard: BTreeSet<Event> = events.iter().cloned().collect();
                    assert_eq!(heard.len(), events.len(), "nobody hears twice: seed {seed} step {step}");
                    assert_eq!(heard, expected, "seed {seed} step {step}");
                }
                _ => {}
            }
            assert_eq!(w.watches.data_watch_count(), plain.data.len(), "seed {seed} step {step}");
            assert_eq!(w.watches.child_watch_count(), plain.child.len(), "seed {seed} step {step}");
            let recursive = plain.data.values().filter(|m| m.contains(&BELOW)).count();
            assert_eq!(w.watches.recursive_count, recursive, "seed {seed} step {step}");
        }
    }
}

#[test]
fn what_each_event_fires_is_counted_as_upstream_counts_it() {
    let mut w = World::new();
    w.create("/a");
    for serial in 1..=3 {
        w.watch(serial, "/a", WatchMode::Data);
    }
    w.watch(1, "/a", WatchMode::Child);
    w.watch(4, "/", WatchMode::PersistentRecursive);
    w.set("/a");
    w.create("/b");
    // One by one, and once more as a child watch, which tells nobody: connection 1 has heard of it.
    w.watch(1, "/a", WatchMode::Data);
    w.delete("/a");
    let totals = |values: &[u64]| {
        let mut totals = Totals::NONE;
        values.iter().for_each(|value| totals.merge(Totals::one(*value)));
        totals
    };
    let expected = [
        (NodeCreated, totals(&[1])),
        (NodeDeleted, totals(&[2, 1])),
        (NodeDataChanged, totals(&[4])),
        (NodeChildrenChanged, Totals::NONE),
    ];
    assert_eq!(w.watches.take_fired(), expected);
    assert!(w.watches.take_fired().iter().all(|(_, totals)| *totals == Totals::NONE));
}
