//! Our writers give the bytes that the Java server gave, and our readers survive whatever a file holds.

#[allow(dead_code)]
mod recovery_support;

use quoll::sim::disk::FakeDisk;
use quoll::sim::rng::Rng;
use quoll::storage::snapshot::{SnapshotSink, SnapshotTrailer, read_snapshot};
use quoll::storage::{
    Compression, Disk, LogCursor, LogOptions, LogWriter, RealDisk, SnapshotFile, SnapshotOptions,
    SnapshotWriter, StorageError, StorageOptions, list_logs, list_snapshots, recover, save_now,
};
use quoll::tree::{Tree, TreeOptions};
use quoll::types::{AclList, SessionId, StatPersisted, Txn, TxnFormat, Zxid};
use recovery_support::{Golden, nodes_of};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

type Znode = (String, Option<Vec<u8>>, i64, StatPersisted);

/// What a snapshot file holds, in its order.
#[derive(Default)]
struct Contents {
    sessions: Vec<(SessionId, i32)>,
    acls: Vec<(i64, AclList)>,
    nodes: Vec<Znode>,
}

impl SnapshotSink for Contents {
    fn session(&mut self, session: SessionId, timeout_ms: i32) {
        self.sessions.push((session, timeout_ms));
    }

    fn acl(&mut self, index: i64, list: AclList) {
        self.acls.push((index, list));
    }

    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> Result<(), String> {
        self.nodes.push((path.into(), data.map(<[u8]>::to_vec), acl, stat.clone()));
        Ok(())
    }

    fn progress(&mut self, _: u64) {}
}

fn contents(disk: &dyn Disk, file: &SnapshotFile) -> Result<(Contents, SnapshotTrailer), StorageError> {
    let mut contents = Contents::default();
    let trailer = read_snapshot(disk, file, &mut contents)?;
    Ok((contents, trailer))
}

fn write(disk: &FakeDisk, file: &SnapshotFile, contents: &Contents, trailer: &SnapshotTrailer) -> Vec<u8> {
    disk.create_dirs(Path::new("/out")).unwrap();
    let options = SnapshotOptions {
        dir: "/out".into(),
        compression: file.compression,
        last_zxid: trailer.last_zxid.is_some(),
    };
    let acls = contents.acls.iter().map(|(index, list)| (*index, list));
    let mut writer =
        SnapshotWriter::create(Arc::new(disk.clone()), &options, file.zxid, &contents.sessions, acls)
            .unwrap();
    for (path, data, acl, stat) in &contents.nodes {
        writer.node(path, data.as_deref(), *acl, stat);
        writer.drain().unwrap();
    }
    let (path, len) = writer.finish(trailer.digest).unwrap();
    let bytes = disk.get(path).unwrap();
    assert_eq!(bytes.len() as u64, len);
    bytes
}

#[test]
fn snapshots_of_the_java_server_are_written_again_byte_for_byte() {
    let mut seen = BTreeMap::new();
    for name in Golden::names() {
        let golden = Golden::open(&name);
        for file in list_snapshots(&RealDisk, &golden.options.snap_dir()).unwrap() {
            let Ok((contents, trailer)) = contents(&RealDisk, &file) else {
                assert!(name.contains("snap-"), "{name}: {} is whole", file.path.display());
                continue;
            };
            assert_eq!(trailer.unknown_len, 0, "{name}: {}", file.path.display());
            if trailer.last_zxid.is_some_and(|z| z != file.zxid) {
                // A fuzzy one: ours never writes another zxid than the file's.
                continue;
            }
            let theirs = std::fs::read(&file.path).unwrap();
            let ours = write(&FakeDisk::new(), &file, &contents, &trailer);
            match file.compression {
                Compression::None => assert_eq!(ours, theirs, "{name}: {}", file.path.display()),
                Compression::Gzip => {
                    let plain = |bytes: &[u8]| {
                        let mut plain = Vec::new();
                        flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
                        plain
                    };
                    assert_eq!(plain(&ours), plain(&theirs), "{name}: {}", file.path.display());
                }
                Compression::Snappy => {
                    assert_eq!(ours[..16], theirs[..16], "{name}: {}", file.path.display());
                    let (again, _) = self::contents(&disk_with(&file, &ours), &file).unwrap();
                    assert_eq!(again.nodes, contents.nodes);
                }
            }
            *seen.entry(format!("{:?}", file.compression)).or_insert(0) += 1;
        }
    }
    assert!(seen["None"] > 100 && seen["Gzip"] > 2 && seen["Snappy"] > 2, "{seen:?}");
}

fn disk_with(file: &SnapshotFile, bytes: &[u8]) -> FakeDisk {
    let disk = FakeDisk::new();
    disk.put(&file.path, bytes);
    disk
}

#[test]
fn logs_of_the_java_server_are_written_again_byte_for_byte() {
    let mut files = 0;
    for name in ["3.9.5-plain", "3.9.5-ephemerals", "3.9.5-multi", "3.9.5-acls", "3.8.4-mixed", "3.9.5-ttl"] {
        let golden = Golden::open(name);
        let dir = golden.options.log_dir();
        let logs = list_logs(&RealDisk, &dir).unwrap();
        for (i, file) in logs.iter().enumerate() {
            let disk = FakeDisk::new();
            disk.create_dirs(Path::new("/out")).unwrap();
            let options = LogOptions {
                dir: "/out".into(),
                prealloc_size: 16 << 10,
                file_size_max: None,
                force_sync: true,
                slow_force_ms: 1000,
            };
            let mut writer = LogWriter::open(Arc::new(disk.clone()), options, Zxid::ZERO);
            let mut cursor = LogCursor::open(&RealDisk, &dir, file.zxid).unwrap();
            while let Some(record) = cursor.next_record().unwrap() {
                if logs.get(i + 1).is_some_and(|next| record.zxid >= next.zxid) {
                    break;
                }
                // What we understand of it is all there is to it.
                let txn = Txn::read(record.entry, TxnFormat::default()).unwrap();
                let mut again = Vec::new();
                txn.write(TxnFormat::default(), &mut again);
                assert_eq!(again, record.entry, "{name}: {txn:?}");
                writer.append([record.entry], record.zxid, record.zxid).unwrap();
                writer.force().unwrap();
            }
            let ours = disk.get(format!("/out/log.{:x}", file.zxid.0)).unwrap();
            let theirs = std::fs::read(&file.path).unwrap();
            let used = |bytes: &[u8]| bytes.iter().rposition(|&b| b != 0).unwrap() + 1;
            assert_eq!(ours[..used(&ours)], theirs[..used(&theirs)], "{name}: {}", file.path.display());
            files += 1;
        }
    }
    assert!(files > 12, "{files}");
}

#[test]
fn a_tree_reads_back_as_it_was_written_with_every_option() {
    for name in ["3.9.5-mixed", "3.9.5-acls-snap", "3.9.5-ephemerals", "3.9.5-fuzzy-acl"] {
        let golden = Golden::open(name);
        for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
            for last_zxid_in_snapshots in [false, true] {
                for digest in [false, true] {
                    let tree_options = TreeOptions { digest, ..golden.tree_options };
                    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
                    let mut first = recover(&disk, &golden.options, tree_options, &mut |_| {}).unwrap();
                    let fake = FakeDisk::new();
                    let disk: Arc<dyn Disk> = Arc::new(fake.clone());
                    let options = StorageOptions {
                        compression,
                        last_zxid_in_snapshots,
                        ..StorageOptions::in_dir("/data")
                    };
                    disk.create_dirs(&options.snap_dir()).unwrap();
                    save_now(&disk, &options, &mut first.tree, &first.sessions).unwrap();
                    let second = recover(&disk, &options, tree_options, &mut |_| {}).unwrap();
                    let case = format!("{name} {compression:?} {last_zxid_in_snapshots} {digest}");
                    assert_eq!(second.notes, Vec::<String>::new(), "{case}");
                    assert_eq!(second.snapshot, Some(first.last_zxid), "{case}");
                    assert_eq!(second.sessions, first.sessions, "{case}");
                    assert_eq!(second.tree.digest(), first.tree.digest(), "{case}");
                    assert_eq!(nodes_of(&second.tree), nodes_of(&first.tree), "{case}");
                }
            }
        }
    }
}

/// Every way in which the bytes of a file may be wrong that a few lines can think of.
fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..1 + rng.below(4) {
        let len = bytes.len() as u64;
        if len == 0 {
            return;
        }
        let at = rng.below(len) as usize;
        match rng.below(7) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes.truncate(at),
            2 => {
                let to = (at + rng.below(600) as usize).min(bytes.len());
                bytes[at..to].fill(0);
            }
            3 => {
                let n = rng.below(40) as usize;
                let junk: Vec<u8> = (0..n).map(|_| rng.next_u64() as u8).collect();
                bytes.splice(at..at, junk);
            }
            4 => {
                let to = (at + rng.below(200) as usize).min(bytes.len());
                bytes.drain(at..to);
            }
            // A length or count that means much.
            5 if at + 4 <= bytes.len() => {
                let huge = [0x7fff_ffff, -1, i32::MIN, 0x0fff_ffff, 1 << 20][rng.below(5) as usize];
                bytes[at..at + 4].copy_from_slice(&i32::to_be_bytes(huge));
            }
            _ => {
                let from = rng.below(len) as usize;
                let to = (from + rng.below(300) as usize).min(bytes.len());
                let copy = bytes[from..to].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
}

struct Files {
    options: StorageOptions,
    tree_options: TreeOptions,
    all: Vec<(String, Vec<u8>)>,
}

fn files_of(name: &str) -> Files {
    let golden = Golden::open(name);
    let dir = golden.options.snap_dir();
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        all.push((entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()));
    }
    all.sort();
    Files { options: StorageOptions::in_dir("/data"), tree_options: golden.tree_options, all }
}

/// Peak of resident memory of this process so far, in kB.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn no_change_of_a_file_makes_recovery_panic_or_ask_for_memory() {
    let before = peak_kb();
    let mut served = 0u32;
    let mut refused = 0u32;
    for name in ["3.9.5-mixed", "3.9.5-snap-gz", "3.9.5-snap-snappy", "3.4.14-mixed", "3.9.5-multi"] {
        let files = files_of(name);
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let disk = FakeDisk::new();
            let victim = rng.below(files.all.len() as u64) as usize;
            for (i, (file, bytes)) in files.all.iter().enumerate() {
                let mut bytes = bytes.clone();
                if i == victim || rng.chance(10) {
                    mutate(&mut bytes, &mut rng);
                }
                disk.put(format!("/data/version-2/{file}"), bytes);
            }
            let disk: Arc<dyn Disk> = Arc::new(disk);
            match recover(&disk, &files.options, files.tree_options, &mut |_| {}) {
                Ok(found) => {
                    served += 1;
                    // What is served is a tree in order.
                    assert_eq!(nodes_of(&found.tree).len(), found.tree.node_count(), "{name} seed {seed}");
                    let again = recover(&disk, &files.options, files.tree_options, &mut |_| {})
                        .unwrap_or_else(|e| panic!("{name} seed {seed}: served once, then {e}"));
                    assert_eq!(again.last_zxid, found.last_zxid, "{name} seed {seed}");
                    assert_eq!(again.tree.digest(), found.tree.digest(), "{name} seed {seed}");
                }
                Err(e) => {
                    refused += 1;
                    assert!(e.to_string().contains("/data"), "{name} seed {seed}: {e}");
                }
            }
        }
    }
    assert!(served > 100 && refused > 100, "{served} served, {refused} refused");
    let grown = peak_kb() - before;
    assert!(grown < 200 << 10, "{grown} kB for files of some 100 kB");
}

/// A txn that is lost without a word is worse than a server that does not start.
#[test]
fn a_changed_bit_in_the_log_is_never_served_as_another_state() {
    let files = files_of("3.9.5-plain");
    let whole: Arc<dyn Disk> = Arc::new(load(&files, |_, _| {}));
    let truth = recover(&whole, &files.options, files.tree_options, &mut |_| {}).unwrap();
    let truth_nodes = nodes_of(&truth.tree);
    let newest_log = "log.194";
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let disk = load(&files, |name, bytes| {
            let used = bytes.iter().rposition(|&b| b != 0).unwrap() as u64;
            if name == newest_log {
                bytes[rng.below(used) as usize] ^= 1 << rng.below(8);
            }
        });
        let disk: Arc<dyn Disk> = Arc::new(disk);
        // Damage is told from a torn write except in the very last record of all.
        if let Ok(found) = recover(&disk, &files.options, files.tree_options, &mut |_| {}) {
            let torn = found.last_zxid < truth.last_zxid;
            assert!(!torn || found.last_zxid.next() == truth.last_zxid, "seed {seed}: {:?}", found.notes);
            assert!(!torn || !found.notes.is_empty(), "seed {seed}");
            assert!(torn || nodes_of(&found.tree) == truth_nodes, "seed {seed}");
        }
    }
}

fn load(files: &Files, mut change: impl FnMut(&str, &mut Vec<u8>)) -> FakeDisk {
    let disk = FakeDisk::new();
    for (name, bytes) in &files.all {
        let mut bytes = bytes.clone();
        change(name, &mut bytes);
        disk.put(format!("/data/version-2/{name}"), bytes);
    }
    disk
}

#[test]
fn an_empty_start_makes_the_snapshot_that_the_java_server_makes() {
    let golden = Golden::open("3.9.5-plain");
    let theirs = std::fs::read(golden.options.snap_dir().join("snapshot.0")).unwrap();
    let disk = FakeDisk::new();
    let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = StorageOptions::in_dir("/data");
    let tree_options = TreeOptions { digest: true, ..TreeOptions::default() };
    let first = recover(&dynamic, &options, tree_options, &mut |_| {}).unwrap();
    assert_eq!((first.last_zxid, first.snapshot, first.replayed), (Zxid(0), None, 0));
    let file = SnapshotFile {
        path: "/data/version-2/snapshot.0".into(),
        zxid: Zxid(0),
        len: 0,
        compression: Compression::None,
    };
    let ours = contents(&disk, &file).unwrap();
    let java = contents(&disk_with(&file, &theirs), &file).unwrap();
    let sorted = |mut nodes: Vec<Znode>| {
        nodes.sort_by(|a, b| a.0.cmp(&b.0));
        nodes
    };
    assert_eq!(sorted(ours.0.nodes), sorted(java.0.nodes));
    assert_eq!(ours.0.acls, java.0.acls);
    assert_eq!(ours.1, java.1);
    assert_eq!(disk.get("/data/version-2/snapshot.0").unwrap().len(), theirs.len());
    let second = recover(&dynamic, &options, tree_options, &mut |_| {}).unwrap();
    assert_eq!((second.last_zxid, second.snapshot), (Zxid(0), Some(Zxid(0))));
    assert_eq!(nodes_of(&second.tree), nodes_of(&Tree::new(tree_options)));
}
