//! A snapshot file, plain or compressed.
//!
//! The first byte chooses settings, the rest is the file. In the one form the file is plain and taken for everything
//! before the first seal; the seals, right ones, and the sections behind the tree are put behind it, so that the fuzzer
//! reaches what they guard. In the others it is taken as it is: plain, gz or snappy.
//!
//! Holds: recovery gives a state or an error that names the file; what is given is written to a snapshot that gives
//! the same again, in every compression; a snapshot does not take memory out of proportion.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoll::sim::disk::FakeDisk;
use quoll::storage::{
    Compression, Disk, Recovered, StorageError, StorageOptions, recover, save_now, snapshot_name,
};
use quoll::tree::TreeOptions;
use quoll::types::Zxid;
use std::path::Path;
use std::sync::Arc;

const ZXID: Zxid = Zxid(0x64);

fuzz_target!(|input: &[u8]| {
    let Some((settings, file)) = input.split_first() else { return };
    let bit = |n: u8| settings >> n & 1 == 1;
    let (compression, file) = match settings & 3 {
        0 => (Compression::None, sealed(file, bit(2), bit(3))),
        1 => (Compression::None, file.to_vec()),
        2 => (Compression::Gzip, file.to_vec()),
        _ => (Compression::Snappy, file.to_vec()),
    };
    let mut tree_options = TreeOptions { hash_seed: 1, digest: !bit(4), ..TreeOptions::default() };
    tree_options.owner_rules.extended_types = bit(5);
    tree_options.owner_rules.emulate_353 = bit(6);
    let options = StorageOptions::in_dir("/data");
    let recover = |disk: &FakeDisk, options: &StorageOptions| -> Result<Recovered, StorageError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        recover(&disk, options, tree_options, &mut |_| {})
    };

    let disk = FakeDisk::new();
    disk.put(options.snap_dir().join(snapshot_name(ZXID, compression)), file);
    let mut first = match recover(&disk, &options) {
        Ok(first) => first,
        Err(e) => {
            assert!(e.to_string().contains("/data"), "{e}");
            return;
        }
    };
    assert_eq!(first.snapshot, Some(ZXID));
    assert_eq!(first.last_zxid, ZXID);
    // Written as upstream writes them, characters beyond the first plane do not come back.
    if nodes(&first).iter().any(|path| path.chars().any(|c| c > '\u{ffff}')) {
        return;
    }

    let copy = FakeDisk::new();
    copy.create_dirs(Path::new("/data/version-2")).expect("a sound disk");
    let compression = match first.tree.node_count() % 3 {
        0 => Compression::None,
        1 => Compression::Gzip,
        _ => Compression::Snappy,
    };
    let options = StorageOptions { compression, ..options };
    let shared: Arc<dyn Disk> = Arc::new(copy.clone());
    save_now(&shared, &options, &mut first.tree, &first.sessions).expect("a sound disk");
    let second = recover(&copy, &options).expect("what was written is recovered");
    assert_eq!(nodes(&first), nodes(&second));
    assert_eq!(first.tree.digest(), second.tree.digest());
    assert_eq!(first.tree.data_size_bytes(), second.tree.data_size_bytes());
    assert_eq!(first.tree.ephemerals_count(), second.tree.ephemerals_count());
    assert_eq!(first.sessions, second.sessions);
    assert_eq!(first.orphans, second.orphans);
});

fn nodes(recovered: &Recovered) -> Vec<String> {
    let mut paths = Vec::new();
    let mut todo = vec![recovered.tree.root()];
    while let Some(node) = todo.pop() {
        paths.push(node.path());
        todo.extend(node.children());
    }
    assert_eq!(paths.len(), recovered.tree.node_count());
    paths.sort();
    paths
}

/// `body` with a seal, and the sections that the newest servers write, each with its own.
fn sealed(body: &[u8], digest: bool, last_zxid: bool) -> Vec<u8> {
    let mut file = body.to_vec();
    seal(&mut file);
    if digest {
        file.extend_from_slice(&ZXID.0.to_be_bytes());
        file.extend_from_slice(&2i32.to_be_bytes());
        file.extend_from_slice(&1234i64.to_be_bytes());
        seal(&mut file);
    }
    if last_zxid {
        file.extend_from_slice(&ZXID.0.to_be_bytes());
        seal(&mut file);
    }
    file
}

fn seal(file: &mut Vec<u8>) {
    // Adler-32, the plain way.
    let (mut a, mut b) = (1u32, 0u32);
    for &byte in file.iter() {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    file.extend_from_slice(&u64::from(b << 16 | a).to_be_bytes());
    file.extend_from_slice(b"\0\0\0\x01/");
}
