use super::*;
use crate::sim::disk::{FakeDisk, Unforced};
use crate::storage::snapshot::{SnapshotSink, read_snapshot};
use crate::storage::{LogWriter, VERSION_DIR, recover, write_epoch};
use crate::tree::Effects;
use crate::types::{AclList, OwnerRules, StatPersisted, SubTxn, Txn, TxnBody, TxnFormat, open_acl};

const TREE: TreeOptions = TreeOptions {
    hash_seed: 3,
    owner_rules: OwnerRules { extended_types: false, emulate_353: false },
    digest: true,
};

fn options() -> StorageOptions {
    StorageOptions { prealloc_size: 4096, ..StorageOptions::in_dir("/data") }
}

fn zxid(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

fn txn(zxid: Zxid, history: char) -> Txn {
    let body = TxnBody::One(SubTxn::Create {
        with_stat: false,
        path: format!("/{history}{:x}", zxid.0),
        data: Some(vec![7; 40].into()),
        acl: open_acl().clone(),
        ephemeral: false,
        parent_cversion: -1,
    });
    Txn { session: SessionId(1), cxid: 0, zxid, time_ms: 1, body, digest: None }
}

/// A member's data, written as a server writes it.
struct Member {
    disk: FakeDisk,
    tree: Tree,
    log: LogWriter,
}

impl Member {
    fn new() -> Self {
        let disk = FakeDisk::new();
        let tree = start(&disk).unwrap().tree;
        let log = LogWriter::open(Arc::new(disk.clone()), options().log(), Zxid::ZERO);
        Self { disk, tree, log }
    }

    fn log(&mut self, epoch: u32, counters: std::ops::RangeInclusive<u32>, history: char) -> &mut Self {
        for counter in counters {
            let txn = txn(zxid(epoch, counter), history);
            let mut entry = Vec::new();
            txn.write(TxnFormat::default(), &mut entry);
            self.log.append([&entry[..]], txn.zxid, txn.zxid).unwrap();
            self.tree.apply(&txn, &mut Effects::disabled());
        }
        self.log.force().unwrap();
        self
    }

    fn snapshot(&mut self) -> &mut Self {
        save_now(&self.arc(), &options(), &mut self.tree, &[]).unwrap();
        self.log.roll().unwrap();
        self
    }

    fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn probe(&self, peer: Zxid, through: Zxid) -> Option<Zxid> {
        probe_log(&self.disk, &options(), peer, through, 0.0).unwrap()
    }
}

fn start(disk: &FakeDisk) -> Result<Recovered, StorageError> {
    recover(&(Arc::new(disk.clone()) as Arc<dyn Disk>), &options(), TREE, &mut |_| {})
}

/// By zxid.
fn names(tree: &Tree) -> Vec<String> {
    let mut names: Vec<_> =
        tree.root().children().map(|n| n.name().to_owned()).filter(|n| n != "zookeeper").collect();
    names.sort_by(|a, b| a[1..].cmp(&b[1..]));
    names
}

/// Three files of log and two newer snapshots.
fn long_history() -> Member {
    let mut m = Member::new();
    m.log(1, 1..=4, 'a').snapshot().log(1, 5..=7, 'a').log(2, 1..=2, 'b').snapshot();
    m.log(2, 3..=4, 'b').snapshot().log(2, 5..=6, 'b');
    m
}

#[test]
fn after_truncation_the_log_the_snapshots_and_the_state_end_where_the_leader_said() {
    for (to, count) in [((1, 5), 5), ((1, 4), 4), ((2, 1), 8), ((2, 0), 7), ((2, 6), 13), ((0, 0), 0)] {
        let m = long_history();
        let to = zxid(to.0, to.1);
        let given = truncate_to(&m.arc(), &options(), TREE, to).unwrap();
        let found = start(&m.disk).unwrap();
        assert_eq!((names(&given.tree).len(), names(&found.tree).len()), (count, count), "{to}");
        assert_eq!(given.last_zxid, found.last_zxid);
        assert_eq!(given.tree.digest(), found.tree.digest());
        assert!(found.last_zxid == to || to.counter() == 0, "{to}: {}", found.last_zxid);
        assert!(list_snapshots(&m.disk, &options().snap_dir()).unwrap().iter().all(|s| s.zxid <= to));
    }
}

#[test]
fn what_cannot_be_truncated_to_is_refused_before_anything_is_removed() {
    let mut m = long_history();
    let files = m.disk.paths();
    for to in [zxid(1, 9), zxid(3, 1), zxid(2, 7)] {
        let error = truncate_to(&m.arc(), &options(), TREE, to).unwrap_err();
        assert!(matches!(error, StorageError::CannotTruncate { .. }), "{error}");
        assert_eq!(m.disk.paths(), files);
    }
    // The history before a received snapshot is not known any more.
    let arc = m.arc();
    install_snapshot(&arc, &options(), &mut m.tree, &[]).unwrap();
    m.disk.remove(&options().snap_dir().join("snapshot.0")).unwrap();
    let error = truncate_to(&arc, &options(), TREE, zxid(1, 2)).unwrap_err();
    assert!(error.to_string().contains("no usable snapshot is as old"), "{error}");
    assert_eq!(start(&m.disk).unwrap().last_zxid, zxid(2, 6));
}

#[test]
fn a_crash_at_any_call_of_a_truncation_leaves_a_state_that_was_and_a_second_one_finishes() {
    let whole = names(&long_history().tree);
    for to in [zxid(1, 5), zxid(2, 2), zxid(2, 5)] {
        'calls: for call in 0.. {
            for unforced in [Unforced::Kept, Unforced::Dropped, Unforced::Random(call)] {
                let m = long_history();
                m.disk.crash_at(m.disk.calls() + call);
                let done = truncate_to(&m.arc(), &options(), TREE, to).is_ok();
                m.disk.crash(unforced);
                let found = start(&m.disk).unwrap();
                assert!(whole.starts_with(&names(&found.tree)), "{to} {call} {unforced:?}");
                assert!(found.last_zxid >= to, "{to} {call} {unforced:?}: {}", found.last_zxid);
                truncate_to(&m.arc(), &options(), TREE, to).unwrap();
                assert_eq!(start(&m.disk).unwrap().last_zxid, to);
                if done {
                    assert!(call >= 2);
                    break 'calls;
                }
            }
        }
    }
}

/// The tree that a leader sends: another history from epoch 1 on.
fn leaders(epoch: u32, counter: u32) -> Tree {
    let mut tree = Tree::new(TREE);
    for c in 1..=8 {
        tree.apply(&txn(zxid(1, c), 'a'), &mut Effects::disabled());
    }
    for c in 1..=counter {
        tree.apply(&txn(zxid(epoch, c), 'x'), &mut Effects::disabled());
    }
    tree
}

#[test]
fn a_crash_at_any_call_while_a_received_tree_is_saved_leaves_the_old_history_or_the_new_state() {
    let sessions = [(SessionId(5), 4000)];
    let histories: [fn() -> Member; 3] = [
        long_history,
        || {
            let mut m = Member::new();
            m.log(1, 1..=3, 'a');
            m
        },
        // All of its history came as a snapshot before.
        || {
            let mut m = long_history();
            let arc = m.arc();
            install_snapshot(&arc, &options(), &mut m.tree, &[]).unwrap();
            m.log = LogWriter::open(arc, options().log(), m.tree.last_zxid());
            m.log(2, 7..=9, 'b');
            m
        },
    ];
    for (i, make) in histories.iter().enumerate() {
        let whole = names(&make().tree);
        for (epoch, counter) in [(1, 0), (3, 2)] {
            let new = leaders(epoch, counter);
            // What the member may have acknowledged and others rely on.
            let kept = new.last_zxid().min(make().tree.last_zxid());
            'calls: for call in 0.. {
                for unforced in [Unforced::Kept, Unforced::Dropped, Unforced::Random(call)] {
                    let place = format!("history {i}, {}, call {call}, {unforced:?}", new.last_zxid());
                    let m = make();
                    m.disk.crash_at(m.disk.calls() + call);
                    let mut tree = leaders(epoch, counter);
                    let done = install_snapshot(&m.arc(), &options(), &mut tree, &sessions).is_ok();
                    m.disk.crash(unforced);
                    let found = start(&m.disk).unwrap();
                    if names(&found.tree) == names(&new) {
                        assert_eq!((found.last_zxid, &found.sessions[..]), (new.last_zxid(), &sessions[..]));
                    } else {
                        assert!(!done, "{place}");
                        assert!(whole.starts_with(&names(&found.tree)), "{place}: {:?}", names(&found.tree));
                        let below = |n: &String| i64::from_str_radix(&n[1..], 16).unwrap() <= kept.0;
                        let lost = whole.iter().find(|n| below(n) && !names(&found.tree).contains(n));
                        assert_eq!(lost, None, "{place}");
                    }
                    let mut tree = leaders(epoch, counter);
                    install_snapshot(&m.arc(), &options(), &mut tree, &sessions).unwrap();
                    let found = start(&m.disk).unwrap();
                    assert_eq!(found.tree.digest(), new.digest(), "{place}");
                    assert!(list_logs(&m.disk, &options().log_dir()).unwrap().is_empty());
                    if done {
                        assert!(call > 5);
                        break 'calls;
                    }
                }
            }
        }
    }
}

#[test]
fn a_received_snapshot_that_is_damaged_later_is_not_passed_over() {
    let mut m = Member::new();
    m.log(1, 1..=3, 'a').snapshot();
    let arc = m.arc();
    let mut tree = leaders(3, 2);
    let name = install_snapshot(&arc, &options(), &mut tree, &[]).unwrap();
    m.log = LogWriter::open(arc, options().log(), tree.last_zxid());
    m.log(3, 3..=4, 'x');
    let path = Path::new("/data").join(VERSION_DIR).join(name);
    let mut bytes = m.disk.get(&path).unwrap();
    bytes[100] ^= 1;
    m.disk.put(&path, bytes);
    let error = start(&m.disk).unwrap_err();
    assert!(matches!(error, StorageError::LostBetween { .. }), "{error}");
}

/// The tree of a Java leader may hold some of what comes behind it. A server with digests on would compare the digest in
/// the file, and does not read a file that has the last zxid and no digest section at all.
#[test]
fn the_snapshot_of_a_fuzzy_tree_has_an_empty_digest_section() {
    struct Nothing;
    impl SnapshotSink for Nothing {
        fn session(&mut self, _: SessionId, _: i32) {}
        fn acl(&mut self, _: i64, _: AclList) {}
        fn node(&mut self, _: &str, _: Option<&[u8]>, _: i64, _: &StatPersisted) -> Result<(), String> {
            Ok(())
        }
        fn progress(&mut self, _: u64) {}
    }
    for (fuzzy, digest) in [(false, zxid(2, 9)), (true, Zxid::ZERO)] {
        let m = long_history();
        let mut tree = leaders(2, 9);
        if fuzzy {
            tree.set_fuzzy_until(Zxid::MAX);
        }
        install_snapshot(&m.arc(), &options(), &mut tree, &[]).unwrap();
        let file = &list_snapshots(&m.disk, &options().snap_dir()).unwrap()[0];
        let trailer = read_snapshot(&m.disk, file, &mut Nothing).unwrap();
        assert_eq!(trailer.digest.map(|d| d.zxid), Some(digest));
        assert_eq!(trailer.last_zxid, Some(zxid(2, 9)));
        let found = start(&m.disk).unwrap();
        assert_eq!((found.digest_mismatches, found.tree.digest()), (0, tree.digest()));
    }
}

#[test]
fn the_log_serves_a_learner_from_where_both_histories_meet() {
    let m = long_history();
    let through = zxid(2, 6);
    for (peer, at) in [
        ((1, 1), Some((1, 1))),
        ((1, 6), Some((1, 6))),
        ((2, 3), Some((2, 3))),
        // It has more of epoch 1 than was ever committed.
        ((1, 9), Some((1, 7))),
        // It has seen the epoch begin.
        ((2, 0), Some((2, 0))),
        ((1, 0), Some((1, 0))),
        // Where the log begins is not where all history begins.
        ((0, 0), None),
        ((0, 5), None),
    ] {
        let at: Option<(u32, u32)> = at;
        assert_eq!(m.probe(zxid(peer.0, peer.1), through), at.map(|a| zxid(a.0, a.1)), "{peer:?}");
    }
    assert_eq!(m.probe(zxid(1, 6), zxid(2, 7)), None, "the log does not reach that far");
    let probe = |factor| probe_log(&m.disk, &options(), zxid(1, 1), through, factor).unwrap();
    assert_eq!(probe(-1.0), None);
    assert_eq!(probe(0.01), None);
    assert_eq!(probe(100.0), Some(zxid(1, 1)));
}

#[test]
fn the_log_of_a_member_that_got_a_snapshot_serves_only_what_is_behind_it() {
    let mut m = Member::new();
    m.log(1, 1..=5, 'a');
    let arc = m.arc();
    let mut tree = leaders(1, 0);
    install_snapshot(&arc, &options(), &mut tree, &[]).unwrap();
    m.log = LogWriter::open(arc, options().log(), zxid(1, 8));
    m.log(1, 9..=10, 'a').log(2, 1..=2, 'a');
    assert_eq!(m.probe(zxid(1, 8), zxid(2, 2)), Some(zxid(1, 8)));
    assert_eq!(m.probe(zxid(1, 9), zxid(2, 2)), Some(zxid(1, 9)));
    assert_eq!(m.probe(zxid(1, 7), zxid(2, 2)), None);
}

#[test]
fn a_gap_that_another_server_left_behind_a_snapshot_is_seen() {
    let mut m = Member::new();
    m.log(1, 1..=5, 'a');
    // The Java server keeps its log when it gets a snapshot.
    save_now(&m.arc(), &options(), &mut leaders(1, 0), &[]).unwrap();
    m.log = LogWriter::open(m.arc(), options().log(), zxid(1, 8));
    m.log(2, 1..=2, 'a');
    assert_eq!(m.probe(zxid(1, 3), zxid(2, 2)), None);
    assert_eq!(m.probe(zxid(2, 1), zxid(2, 2)), Some(zxid(2, 1)));
}

#[test]
fn epochs_are_at_least_that_of_the_last_txn() {
    let m = long_history();
    let at = |last| epochs_at_start(&m.disk, &options(), last).unwrap();
    assert_eq!(at(zxid(2, 6)), (None, None));
    write_epoch(&m.disk, &options().snap_dir(), EpochKind::Current, Epoch(1)).unwrap();
    write_epoch(&m.disk, &options().snap_dir(), EpochKind::Accepted, Epoch(3)).unwrap();
    assert_eq!(at(zxid(2, 6)), (Some(Epoch(3)), Some(Epoch(2))));
    assert_eq!(at(zxid(1, 6)), (Some(Epoch(3)), Some(Epoch(1))));
    assert_eq!(at(Zxid(-1)), (Some(Epoch(3)), Some(Epoch(1))));
}
