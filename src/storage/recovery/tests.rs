use super::*;
use crate::sim::disk::FakeDisk;
use crate::storage::{LogWriter, OpenMode, list_snapshots};
use crate::types::{SubTxn, Txn, TxnBody, TxnFormat, open_acl};

const OPTIONS: TreeOptions = TreeOptions {
    hash_seed: 3,
    owner_rules: OwnerRules { extended_types: false, emulate_353: false },
    digest: true,
};

fn run(disk: &FakeDisk, options: &StorageOptions) -> Result<Recovered, StorageError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    recover(&disk, options, OPTIONS, &mut |_| {})
}

fn split() -> StorageOptions {
    StorageOptions { data_log_dir: "/logs".into(), ..StorageOptions::in_dir("/data") }
}

/// Appends creates of `/n<zxid>` and forces them.
fn log(disk: &FakeDisk, options: &StorageOptions, zxids: std::ops::RangeInclusive<i64>) {
    let mut writer = LogWriter::open(Arc::new(disk.clone()), options.log(), Zxid::ZERO);
    for zxid in zxids {
        let body = TxnBody::One(SubTxn::Create {
            with_stat: false,
            path: format!("/n{zxid}"),
            data: None,
            acl: open_acl().clone(),
            ephemeral: false,
            parent_cversion: zxid as i32,
        });
        let txn = Txn { session: SessionId(1), cxid: 0, zxid: Zxid(zxid), time_ms: 1, body, digest: None };
        let mut entry = Vec::new();
        txn.write(TxnFormat::default(), &mut entry);
        writer.append([&entry[..]], Zxid(zxid), Zxid(zxid)).unwrap();
    }
    writer.force().unwrap();
}

fn small() -> StorageOptions {
    StorageOptions { prealloc_size: 4096, ..StorageOptions::in_dir("/data") }
}

#[test]
fn an_empty_directory_becomes_one_with_an_empty_snapshot() {
    let disk = FakeDisk::new();
    let found = run(&disk, &split()).unwrap();
    assert_eq!((found.last_zxid, found.tree.node_count()), (Zxid(0), 4));
    assert_eq!(found.notes, Vec::<String>::new());
    assert!(disk.get("/data/version-2/snapshot.0").is_some());
    assert!(disk.list(Path::new("/logs/version-2")).unwrap().is_empty());
}

#[test]
fn missing_directories_are_an_error_when_they_may_not_be_created() {
    let disk = FakeDisk::new();
    let error = run(&disk, &StorageOptions { create_missing_dirs: false, ..split() }).unwrap_err();
    assert!(matches!(error, StorageError::MissingDir { .. }), "{error}");
    assert!(!disk.exists(Path::new("/data")).unwrap());
}

#[test]
fn a_directory_without_write_permission_is_an_error() {
    let disk = FakeDisk::new();
    run(&disk, &split()).unwrap();
    disk.make_read_only("/logs/version-2");
    let error = run(&disk, &split()).unwrap_err().to_string();
    assert!(error.contains("/logs/version-2") && error.contains("read and write access"), "{error}");
}

#[test]
fn exchanged_directories_are_an_error() {
    let disk = FakeDisk::new();
    run(&disk, &split()).unwrap();
    let exchanged = StorageOptions {
        data_dir: "/logs".into(),
        data_log_dir: "/data".into(),
        ..StorageOptions::default()
    };
    let error = run(&disk, &exchanged).unwrap_err();
    assert!(matches!(&error, StorageError::WrongDir { what: "snapshot", .. }), "{error}");
    let disk = FakeDisk::new();
    run(&disk, &split()).unwrap();
    log(&disk, &split(), 1..=1);
    disk.remove(Path::new("/data/version-2/snapshot.0")).unwrap();
    let error = run(&disk, &exchanged).unwrap_err();
    assert!(matches!(&error, StorageError::WrongDir { what: "log", .. }), "{error}");
}

#[test]
fn without_autocreate_an_empty_server_has_no_data_until_the_marker_allows_it() {
    let options = StorageOptions { create_empty_db: false, ..split() };
    for marker in ["/data/initialize", "/logs/initialize"] {
        let disk = FakeDisk::new();
        let found = run(&disk, &options).unwrap();
        assert_eq!((found.last_zxid, found.tree.last_zxid()), (Zxid(-1), Zxid(-1)));
        assert!(list_snapshots(&disk, &options.snap_dir()).unwrap().is_empty());
        assert!(found.notes.iter().any(|n| n.contains("db.autocreate")), "{:?}", found.notes);
        disk.put(marker, "");
        assert_eq!(run(&disk, &options).unwrap().last_zxid, Zxid(0));
        assert!(disk.get(marker).is_none(), "it works once");
        assert_eq!(list_snapshots(&disk, &options.snap_dir()).unwrap().len(), 1);
    }
}

#[test]
fn only_damaged_snapshots_and_no_log_stop_the_start() {
    let disk = FakeDisk::new();
    disk.put("/data/version-2/snapshot.5", "half a snapsh");
    let error = run(&disk, &small()).unwrap_err();
    assert!(matches!(error, StorageError::NoValidSnapshot { .. }), "{error}");
    assert!(error.to_string().contains("snapshot.5"), "{error}");
    // That of the empty tree is no loss.
    let disk = FakeDisk::new();
    disk.put("/data/version-2/snapshot.0", "");
    assert_eq!(run(&disk, &small()).unwrap().last_zxid, Zxid(0));
}

#[test]
fn a_damaged_snapshot_beyond_the_end_of_the_log_stops_the_start() {
    let disk = FakeDisk::new();
    run(&disk, &small()).unwrap();
    log(&disk, &small(), 1..=3);
    disk.put("/data/version-2/snapshot.3", "damaged");
    assert_eq!(run(&disk, &small()).unwrap().last_zxid, Zxid(3));
    disk.put("/data/version-2/snapshot.9", "damaged");
    let error = run(&disk, &small()).unwrap_err();
    assert!(matches!(error, StorageError::LostBetween { .. }), "{error}");
}

#[test]
fn leftovers_of_a_snapshot_under_way_are_removed() {
    let disk = FakeDisk::new();
    disk.put("/data/version-2/tmp.snapshot.7", "x");
    disk.put("/data/version-2/snapshot.7.tmp", "not ours");
    let found = run(&disk, &small()).unwrap();
    assert!(found.notes[0].contains("tmp.snapshot.7"), "{:?}", found.notes);
    assert!(disk.get("/data/version-2/tmp.snapshot.7").is_none());
    assert!(disk.get("/data/version-2/snapshot.7.tmp").is_some());
}

#[test]
fn the_bytes_cut_from_a_torn_log_are_kept_beside_it() {
    let disk = FakeDisk::new();
    run(&disk, &small()).unwrap();
    log(&disk, &small(), 1..=3);
    let path = Path::new("/data/version-2/log.1");
    let used = disk.get(path).unwrap().iter().rposition(|&b| b != 0).unwrap() + 1;
    let file = disk.open(path, OpenMode::ReadWrite).unwrap();
    file.set_len(used as u64 - 10).unwrap();
    file.sync_all().unwrap();
    let found = run(&disk, &small()).unwrap();
    assert_eq!(found.last_zxid, Zxid(2));
    let [note] = &found.notes[..] else { panic!("{:?}", found.notes) };
    assert!(note.contains("cut /data/version-2/log.1 at byte"), "{note}");
    let copy = disk.paths().into_iter().find(|p| p.to_str().unwrap().contains("torn.log.1.")).unwrap();
    let cut = disk.get(path).unwrap().len();
    assert_eq!(copy.to_str().unwrap(), format!("/data/version-2/torn.log.1.{cut}"));
    assert_eq!(cut + disk.get(copy).unwrap().len(), used - 10);
}

#[test]
fn progress_is_told_with_bytes_and_counts() {
    let disk = FakeDisk::new();
    run(&disk, &small()).unwrap();
    log(&disk, &small(), 1..=3000);
    let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut seen = Vec::new();
    recover(&dynamic, &small(), OPTIONS, &mut |p| {
        assert!(p.bytes_done <= p.bytes_total, "{p:?}");
        seen.push((p.phase, p.txns, p.nodes));
    })
    .unwrap();
    assert_eq!(seen, [(Phase::Replay, 0, 4), (Phase::Replay, 1024, 1028), (Phase::Replay, 2048, 2052)]);
}

#[test]
fn sessions_that_own_ephemerals_but_are_not_open_are_named() {
    let disk = FakeDisk::new();
    run(&disk, &small()).unwrap();
    let mut writer = LogWriter::open(Arc::new(disk.clone()), small().log(), Zxid::ZERO);
    let bodies = [
        (7, TxnBody::CreateSession { timeout_ms: 4000 }),
        (7, ephemeral("/a")),
        (8, ephemeral("/b")),
        (9, TxnBody::CreateSession { timeout_ms: 5000 }),
        (9, ephemeral("/c")),
        (9, TxnBody::CloseSession { paths: Some(vec!["/c".into()]) }),
    ];
    for (i, (session, body)) in bodies.into_iter().enumerate() {
        let zxid = Zxid(i as i64 + 1);
        let txn = Txn { session: SessionId(session), cxid: 0, zxid, time_ms: 1, body, digest: None };
        let mut entry = Vec::new();
        txn.write(TxnFormat::default(), &mut entry);
        writer.append([&entry[..]], zxid, zxid).unwrap();
    }
    writer.force().unwrap();
    let found = run(&disk, &small()).unwrap();
    assert_eq!(found.sessions, [(SessionId(7), 4000)]);
    assert_eq!(found.orphans, [SessionId(8)]);
}

/// A fuzzer's finding: the code of a full tree in the record of some old failure was taken for a full tree.
#[test]
fn a_recorded_failure_of_any_code_is_replayed() {
    let disk = FakeDisk::new();
    run(&disk, &small()).unwrap();
    let error = || SubTxn::Error { code: crate::tree::OpResult::SYSTEM_ERROR };
    let mut writer = LogWriter::open(Arc::new(disk.clone()), small().log(), Zxid::ZERO);
    for (zxid, body) in [(1, TxnBody::One(error())), (i64::MAX, TxnBody::Multi(vec![error(), error()]))] {
        let txn = Txn { session: SessionId(7), cxid: 0, zxid: Zxid(zxid), time_ms: 1, body, digest: None };
        let mut entry = Vec::new();
        txn.write(TxnFormat::default(), &mut entry);
        writer.append([&entry[..]], Zxid(zxid), Zxid(zxid)).unwrap();
    }
    writer.force().unwrap();
    let found = run(&disk, &small()).unwrap();
    assert_eq!((found.last_zxid, found.replayed), (Zxid(i64::MAX), 2));
}

fn ephemeral(path: &str) -> TxnBody {
    TxnBody::One(SubTxn::Create {
        with_stat: true,
        path: path.into(),
        data: None,
        acl: open_acl().clone(),
        ephemeral: true,
        parent_cversion: -1,
    })
}

/// A server that had written its snapshot while txns went on told of other digests after a restart than before it: those
/// on the way through the range of the snapshot, which are the digests of no state that ever was.
#[test]
fn digests_within_the_range_of_a_fuzzy_snapshot_are_not_told() {
    let disk = FakeDisk::new();
    let arc: Arc<dyn Disk> = Arc::new(disk.clone());
    run(&disk, &small()).unwrap();
    log(&disk, &small(), 1..=300);
    let truth: Vec<_> = run(&disk, &small()).unwrap().tree.digest_log().collect();
    assert_eq!(truth.iter().map(|(zxid, _)| zxid.0).collect::<Vec<_>>(), [128, 256]);

    // The tree after 150, said to be that after 100.
    let mut tree = load_until(&arc, &small(), OPTIONS, Zxid(150), &mut |_| {}).unwrap().tree;
    let whole = tree.begin_snapshot().unwrap();
    let digest = digest_of(&tree, &whole);
    tree.end_snapshot(whole);
    tree.set_last_zxid(Zxid(100));
    let mut walk = tree.begin_snapshot().unwrap();
    let mut writer = SnapshotWriter::for_walk(arc, &small().snapshot(), &walk, &[]).unwrap();
    let mut add = |n: &SnapshotNode<'_>| writer.node(n.path, n.data, n.acl_index, &n.stat);
    while walk.next_chunk(&tree, 4096, &mut add).unwrap() {}
    writer.finish(digest).unwrap();

    let found = run(&disk, &small()).unwrap();
    assert_eq!((found.snapshot, found.digest_mismatches), (Some(Zxid(100)), 0));
    assert_eq!(found.tree.digest_log().collect::<Vec<_>>(), truth[1..]);
    assert!(found.tree.is_exact());
}
