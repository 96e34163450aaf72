//! A transaction log file, as a crash, a bad disk or another server left it.
//!
//! The first byte chooses settings, the rest is the file. When its lowest bit is set, the records get right
//! checksums and end marks first, so that the fuzzer reaches what is behind them.
//!
//! Holds: reading ends; recovery gives a state or an error that names the place; a second recovery of what the first
//! left gives the same state; what is appended and forced behind it is found again after the power is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoll::sim::disk::{FakeDisk, Unforced};
use quoll::storage::log::{LogReader, Next};
use quoll::storage::{Disk, LogWriter, Recovered, StorageError, StorageOptions, encode_record, recover};
use quoll::tree::TreeOptions;
use quoll::types::{SessionId, Txn, TxnBody, TxnFormat, Zxid};
use std::path::Path;
use std::sync::Arc;

const LOG: &str = "/data/version-2/log.1";
const HEADER_LEN: usize = 16;

fuzz_target!(|input: &[u8]| {
    let Some((settings, file)) = input.split_first() else { return };
    let bit = |n: u8| settings >> n & 1 == 1;
    let file = if bit(0) { with_checksums(file) } else { file.to_vec() };
    let mut options = StorageOptions::in_dir("/data");
    options.prealloc_size = 256;
    options.trust_empty_snapshot = !bit(1);
    let mut tree_options = TreeOptions { hash_seed: 1, digest: !bit(2), ..TreeOptions::default() };
    tree_options.owner_rules.extended_types = bit(3);
    tree_options.owner_rules.emulate_353 = bit(4);

    let disk = FakeDisk::new();
    disk.put(LOG, file.as_slice());
    read_to_the_end(&disk, file.len() as u64);
    let recover = |disk: &FakeDisk| -> Result<Recovered, StorageError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        recover(&disk, &options, tree_options, &mut |p| assert!(p.bytes_done <= p.bytes_total))
    };
    let first = match recover(&disk) {
        Ok(first) => first,
        Err(e) => {
            assert!(e.to_string().contains("/data"), "{e}");
            return;
        }
    };
    let second = recover(&disk).expect("what was recovered once is recovered again");
    assert_same(&first, &second);
    assert!(first.last_zxid >= Zxid::ZERO);
    if first.last_zxid.0 == i64::MAX {
        return;
    }

    let session = SessionId(0x7e57);
    let zxid = first.last_zxid.next();
    let body = TxnBody::CreateSession { timeout_ms: 4_000 };
    let mut entry = Vec::new();
    Txn { session, cxid: 1, zxid, time_ms: 1, body, digest: None }.write(TxnFormat::default(), &mut entry);
    let mut writer = LogWriter::open(Arc::new(disk.clone()), options.log(), first.last_zxid);
    match writer.append([&entry[..]], zxid, zxid).and_then(|()| writer.force()) {
        Ok(()) => {}
        // The only log there is claims to begin with this very transaction.
        Err(StorageError::LogExists { .. }) => return,
        Err(e) => panic!("{e}"),
    }
    disk.crash(Unforced::Dropped);
    let third = recover(&disk).expect("what was written is recovered");
    assert_eq!(third.last_zxid, zxid);
    assert!(third.sessions.contains(&(session, 4_000)));
    assert_eq!(third.tree.digest(), first.tree.digest());
});

fn assert_same(a: &Recovered, b: &Recovered) {
    assert_eq!(a.last_zxid, b.last_zxid);
    assert_eq!(a.tree.digest(), b.tree.digest());
    assert_eq!(a.tree.node_count(), b.tree.node_count());
    assert_eq!(a.tree.data_size_bytes(), b.tree.data_size_bytes());
    assert_eq!(a.sessions, b.sessions);
    assert_eq!(a.orphans, b.orphans);
}

fn read_to_the_end(disk: &FakeDisk, len: u64) {
    let Ok(mut reader) = LogReader::open(disk, Path::new(LOG)) else { return };
    let mut records = 0;
    let tail = loop {
        match reader.next_record().expect("the disk is sound") {
            Next::Record { offset, entry } => {
                assert!(!entry.is_empty() && offset + (entry.len() as u64) < len);
                let _ = Txn::read(entry, TxnFormat::default());
            }
            Next::End(tail) => break tail,
        }
        records += 1;
        assert_eq!(reader.records(), records);
    };
    assert!(reader.offset() <= len);
    assert_eq!(reader.next_record().expect("the disk is sound"), Next::End(tail));
}

/// The same file with a header, and around every record that its length allows the right checksum and end mark.
fn with_checksums(file: &[u8]) -> Vec<u8> {
    let mut out = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
    let mut rest = file.get(HEADER_LEN..).unwrap_or_default();
    while let Some(head) = rest.get(..12) {
        let len = i32::from_be_bytes(head[8..].try_into().expect("4 bytes"));
        let Some(entry) = usize::try_from(len).ok().and_then(|len| rest.get(12..12 + len)) else { break };
        if entry.is_empty() || rest.len() == 12 + entry.len() {
            break;
        }
        encode_record(entry, &mut out);
        rest = &rest[12 + entry.len() + 1..];
    }
    out.extend_from_slice(rest);
    out
}
