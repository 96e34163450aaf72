use super::*;
use crate::sim::disk::{Failure, FakeDisk, Unforced};
use crate::sim::rng::Rng;
use crate::storage::{Disk, OpenMode, StorageError};
use crate::types::{SessionId, Txn, TxnBody, TxnFormat, Zxid};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "/log";

fn entry(zxid: i64, data_len: usize) -> Vec<u8> {
    let data = (0..data_len).map(|i| (i as i64 * 31 + zxid) as u8 | 1).collect::<Vec<_>>();
    let body = TxnBody::One(crate::types::SubTxn::SetData {
        path: format!("/n{zxid}"),
        data: Some(Bytes::from(data)),
        version: 1,
    });
    let txn = Txn {
        session: SessionId(5),
        cxid: 1,
        zxid: Zxid(zxid),
        time_ms: 1000 + zxid,
        body,
        digest: Some((2, zxid)),
    };
    let mut bytes = Vec::new();
    txn.write(TxnFormat::default(), &mut bytes);
    bytes
}

/// A log file of these entries, and where each record begins, and the end.
fn file(entries: &[Vec<u8>], padding: usize) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = header().to_vec();
    let mut starts = Vec::new();
    for e in entries {
        starts.push(bytes.len());
        encode_record(e, &mut bytes);
    }
    starts.push(bytes.len());
    bytes.resize(bytes.len() + padding, 0);
    (bytes, starts)
}

fn read(bytes: &[u8]) -> (Vec<i64>, Tail) {
    let disk = FakeDisk::new();
    disk.put("/log/log.1", bytes);
    let mut reader = LogReader::open(&disk, Path::new("/log/log.1")).unwrap();
    let mut zxids = Vec::new();
    loop {
        match reader.next_record().unwrap() {
            Next::Record { entry, .. } => zxids.push(entry_zxid(entry).unwrap().0),
            Next::End(tail) => return (zxids, tail),
        }
    }
}

fn cursor(disk: &FakeDisk, from: i64) -> Result<Vec<i64>, StorageError> {
    let mut cursor = LogCursor::open(disk, Path::new(DIR), Zxid(from))?;
    let mut zxids = Vec::new();
    while let Some(record) = cursor.next_record()? {
        zxids.push(record.zxid.0);
    }
    Ok(zxids)
}

fn options(prealloc_size: u64) -> LogOptions {
    LogOptions { dir: DIR.into(), prealloc_size, file_size_max: None, force_sync: true, slow_force_ms: 1000 }
}

fn disk_with_dir() -> FakeDisk {
    let disk = FakeDisk::new();
    disk.create_dirs(Path::new(DIR)).unwrap();
    disk
}

fn writer(disk: &FakeDisk, prealloc: u64) -> LogWriter {
    LogWriter::open(Arc::new(disk.clone()), options(prealloc), Zxid::ZERO)
}

fn append(writer: &mut LogWriter, zxids: std::ops::RangeInclusive<i64>) -> Result<(), StorageError> {
    let entries: Vec<_> = zxids.clone().map(|z| entry(z, 40)).collect();
    writer.append(entries.iter().map(Vec::as_slice), Zxid(*zxids.start()), Zxid(*zxids.end()))
}

#[test]
fn a_file_cut_or_zeroed_at_any_byte_of_its_last_record_keeps_the_others() {
    for data_len in [0, 100, 1500] {
        let entries = [entry(1, 30), entry(2, 700), entry(3, data_len)];
        for padding in [0, 5000] {
            let (whole, starts) = file(&entries, padding);
            assert_eq!(read(&whole), (vec![1, 2, 3], Tail::Clean));
            for cut in starts[2]..starts[3] {
                let mut zeroed = whole.clone();
                zeroed[cut..].fill(0);
                for bytes in [&whole[..cut], &zeroed] {
                    let (zxids, tail) = read(bytes);
                    assert_eq!(zxids, [1, 2], "cut at {cut}");
                    match tail {
                        // The first four bytes of a record are zeros in any case.
                        Tail::Clean => assert!(bytes[starts[2]..].iter().all(|&b| b == 0), "cut at {cut}"),
                        Tail::Torn(t) => assert_eq!(t.offset as usize, starts[2], "cut at {cut}"),
                        Tail::Damaged { what, .. } => panic!("cut at {cut}: {what}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_changed_bit_is_damage_in_the_middle_and_a_torn_write_at_the_end() {
    let entries = [entry(1, 10), entry(2, 60), entry(3, 60)];
    let (whole, starts) = file(&entries, 3000);
    for at in starts[1]..starts[3] {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let (zxids, tail) = read(&bytes);
            if at < starts[2] {
                assert_eq!(zxids, [1], "byte {at} bit {bit}");
                let Tail::Damaged { offset, .. } = tail else { panic!("byte {at} bit {bit}: {tail:?}") };
                assert_eq!(offset as usize, starts[1]);
                continue;
            }
            assert_eq!(zxids, [1, 2], "byte {at} bit {bit}");
            // A length that reaches into nowhere leaves it open what was meant; the start is refused rather.
            let in_length = (starts[2] + 8..starts[2] + 12).contains(&at);
            assert!(matches!(tail, Tail::Torn(_)) || in_length, "byte {at} bit {bit}: {tail:?}");
        }
    }
}

#[test]
fn a_batch_whose_sectors_reached_the_disk_in_any_order_is_torn() {
    let entries: Vec<_> = (1..=40).map(|z| entry(z, 100)).collect();
    let (whole, starts) = file(&entries, 9000);
    // Records 1 to 10 were forced, the others were one batch.
    let forced = starts[10];
    for seed in 0..500 {
        let mut rng = Rng::new(seed);
        let mut bytes = whole.clone();
        let mut lost = false;
        for sector in forced / 512..bytes.len() / 512 {
            if rng.chance(40) {
                let from = (sector * 512).max(forced);
                bytes[from..(sector + 1) * 512].fill(0);
                lost |= from < starts[40];
            }
        }
        let (zxids, tail) = read(&bytes);
        assert!(zxids.len() >= 10 && zxids.iter().copied().eq(1..=zxids.len() as i64), "seed {seed}");
        assert!(!matches!(tail, Tail::Damaged { .. }), "seed {seed}: {tail:?}");
        assert!(lost || zxids.len() == 40, "seed {seed}");
    }
}

#[test]
fn a_hole_with_much_more_than_a_batch_behind_it_is_damage() {
    // Minutes of txns: nothing that was forced at once.
    let mut entries: Vec<_> = (1..=40).map(|z| entry(z, 100)).collect();
    let (bytes, starts) = file(&entries, 0);
    let hole = (starts[10] / 512 + 1) * 512;
    let mut torn = bytes.clone();
    torn[hole..hole + 512].fill(0);
    assert!(matches!(read(&torn).1, Tail::Torn(_)));
    let late = entry(39_000_000, 100);
    entries[38] = late;
    // Zxids far from the last good one are no continuation; time counts.
    let mut body = entry(39, 100);
    body[20..28].copy_from_slice(&60_000i64.to_be_bytes());
    entries[38] = body;
    let (mut bytes, _) = file(&entries, 0);
    bytes[hole..hole + 512].fill(0);
    let tail = read(&bytes).1;
    assert!(matches!(&tail, Tail::Damaged { what, .. } if what.contains("ms of transactions")), "{tail:?}");
}

#[test]
fn zeros_in_data_do_not_pass_for_the_end() {
    let mut zeros = entry(2, 3000);
    let at = zeros.len() - 3000 - 16;
    zeros[at..at + 3000].fill(0);
    let (bytes, _) = file(&[entry(1, 10), zeros, entry(3, 10)], 100);
    assert_eq!(read(&bytes), (vec![1, 2, 3], Tail::Clean));
}

#[test]
fn a_file_without_a_header_holds_nothing_and_another_file_is_no_log() {
    for len in [0, 1, 8, 15] {
        let (zxids, tail) = read(&header()[..len]);
        assert!(
            zxids.is_empty() && matches!(tail, Tail::Torn(TornTail { offset: 0, .. })),
            "{len}: {tail:?}"
        );
    }
    assert!(matches!(read(&[0; 4096]).1, Tail::Torn(TornTail { offset: 0, .. })));
    assert_eq!(read(&header()), (vec![], Tail::Clean));
    // The last one is a fuzzer's finding: the reader went on behind the end of the file.
    for bad in [
        &b"ZKSN\0\0\0\x02\0\0\0\0\0\0\0\0"[..],
        b"hello",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0ZK",
        b"ZKLG\x09\0Z",
    ] {
        let disk = FakeDisk::new();
        disk.put("/log/log.1", bad);
        let error = LogReader::open(&disk, Path::new("/log/log.1")).unwrap_err();
        assert!(matches!(error, StorageError::NotALog { .. }), "{error}");
    }
}

#[test]
fn a_torn_end_of_an_older_file_is_passed_over_only_when_nothing_is_missing() {
    let (bytes, starts) = file(&[entry(1, 10), entry(2, 10)], 100);
    let torn = &bytes[..starts[1] + 20];
    for (next, good) in [(2, true), (3, false), (0x1_0000_0001, true)] {
        let disk = FakeDisk::new();
        disk.put("/log/log.1", torn);
        disk.put(format!("/log/log.{next:x}"), file(&[entry(next, 10)], 0).0);
        match cursor(&disk, 1) {
            Ok(zxids) => assert!(good && zxids == [1, next], "{next}: {zxids:?}"),
            Err(e) => assert!(!good && e.to_string().contains("missing"), "{next}: {e}"),
        }
        // Who needs only what the next file has does not read the torn one.
        assert_eq!(cursor(&disk, next).unwrap(), [next]);
    }
}

#[test]
fn a_cursor_begins_where_it_was_told_and_crosses_files() {
    let disk = disk_with_dir();
    let mut log = writer(&disk, 0);
    for batch in [1..=3, 4..=4, 5..=9] {
        append(&mut log, batch).unwrap();
        log.roll().unwrap();
    }
    for from in 0..=10 {
        let expected: Vec<_> = (from.max(1)..=9).collect();
        assert_eq!(cursor(&disk, from).unwrap(), expected, "from {from}");
    }
}

#[test]
fn files_grow_and_end_as_upstreams_do() {
    let disk = disk_with_dir();
    let mut log = writer(&disk, 16 << 10);
    append(&mut log, 1..=1).unwrap();
    log.force().unwrap();
    assert_eq!(disk.get("/log/log.1").unwrap().len(), 16 + (16 << 10));
    append(&mut log, 2..=200).unwrap();
    log.force().unwrap();
    let overrun = disk.get("/log/log.1").unwrap().len();
    append(&mut log, 201..=201).unwrap();
    let bytes = disk.get("/log/log.1").unwrap();
    assert_eq!(bytes.len(), overrun + (16 << 10));
    assert_eq!(read(&bytes), ((1..=201).collect(), Tail::Clean));
    let stats = log.stats();
    assert_eq!((stats.records, stats.forces, stats.files), (201, 2, 1));
}

#[test]
fn a_file_beyond_its_limit_is_followed_by_another() {
    let disk = disk_with_dir();
    let limit = LogOptions { file_size_max: Some(300), ..options(0) };
    let mut log = LogWriter::open(Arc::new(disk.clone()), limit, Zxid::ZERO);
    for zxid in 1..=7 {
        append(&mut log, zxid..=zxid).unwrap();
        log.force().unwrap();
    }
    assert!(disk.paths().len() > 2, "{:?}", disk.paths());
    assert_eq!(cursor(&disk, 1).unwrap(), (1..=7).collect::<Vec<_>>());
}

#[test]
fn an_old_file_with_txns_is_never_overwritten_and_one_without_is() {
    let disk = disk_with_dir();
    let mut log = writer(&disk, 0);
    append(&mut log, 5..=5).unwrap();
    log.force().unwrap();
    let before = disk.get("/log/log.5").unwrap();
    let mut second = writer(&disk, 0);
    let error = append(&mut second, 5..=6).unwrap_err();
    assert!(matches!(error, StorageError::LogExists { .. }), "{error}");
    assert!(second.poisoned().is_some());
    assert_eq!(disk.get("/log/log.5").unwrap(), before);
    for empty in [vec![], header().to_vec(), vec![0; 5000], file(&[entry(9, 9)], 0).0[..60].to_vec()] {
        disk.put("/log/log.9", empty);
        let mut log = writer(&disk, 0);
        append(&mut log, 9..=9).unwrap();
        log.force().unwrap();
        assert_eq!(read(&disk.get("/log/log.9").unwrap()), (vec![9], Tail::Clean));
    }
}

#[test]
fn without_force_sync_nothing_is_forced() {
    let disk = disk_with_dir();
    let mut log =
        LogWriter::open(Arc::new(disk.clone()), LogOptions { force_sync: false, ..options(0) }, Zxid::ZERO);
    append(&mut log, 1..=1).unwrap();
    log.force().unwrap();
    assert_eq!(log.stats().forces, 0);
    disk.crash(crate::sim::disk::Unforced::Dropped);
    assert_eq!(disk.paths().len(), 0);
}

#[test]
fn messages_of_a_full_disk_say_which_file_and_what_to_do() {
    let disk = disk_with_dir();
    let mut log = writer(&disk, 0);
    append(&mut log, 1..=1).unwrap();
    disk.fail_at(disk.calls(), Failure::Full);
    let text = append(&mut log, 2..=2).unwrap_err().to_string();
    for part in ["/log/log.1", "write", "space", "make room and start the server again"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = log.force().unwrap_err().to_string();
    for part in ["takes no more writes", "/log/log.1", "must stop"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_log_cut_back_ends_at_the_given_txn() {
    for upto in 0..=9 {
        let disk = disk_with_dir();
        let mut log = writer(&disk, 4096);
        for batch in [1..=3, 4..=4, 5..=9] {
            append(&mut log, batch).unwrap();
            log.roll().unwrap();
        }
        truncate(&disk, Path::new(DIR), Zxid(upto)).unwrap();
        assert_eq!(cursor(&disk, 1).unwrap(), (1..=upto).collect::<Vec<_>>(), "cut to {upto}");
        let mut log = LogWriter::open(Arc::new(disk.clone()), options(0), Zxid(upto));
        append(&mut log, upto + 1..=upto + 2).unwrap();
        log.force().unwrap();
        assert_eq!(cursor(&disk, 1).unwrap(), (1..=upto + 2).collect::<Vec<_>>(), "cut to {upto}");
    }
}

#[test]
fn a_log_cut_back_to_an_absent_txn_keeps_nothing_beyond_it() {
    let disk = FakeDisk::new();
    disk.put("/log/log.5", file(&[entry(5, 5), entry(6, 6), entry(9, 9)], 100).0);
    truncate(&disk, Path::new(DIR), Zxid(7)).unwrap();
    assert_eq!(cursor(&disk, 1).unwrap(), [5, 6]);
    let error = truncate(&disk, Path::new(DIR), Zxid(3)).unwrap_err();
    assert!(matches!(error, StorageError::CannotTruncate { .. }), "{error}");
    truncate(&disk, Path::new(DIR), Zxid(4)).unwrap();
    assert!(disk.paths().is_empty());
}

#[test]
fn a_crash_while_a_log_is_cut_back_leaves_a_prefix_of_it() {
    for call in 0.. {
        let disk = disk_with_dir();
        let mut log = writer(&disk, 0);
        for batch in [1..=3, 4..=4, 5..=9] {
            append(&mut log, batch).unwrap();
            log.roll().unwrap();
        }
        disk.crash_at(disk.calls() + call);
        let done = truncate(&disk, Path::new(DIR), Zxid(2)).is_ok();
        disk.crash(crate::sim::disk::Unforced::Random(call));
        let found = cursor(&disk, 1).unwrap();
        assert!(found.iter().copied().eq(1..=found.len() as i64) && found.len() >= 2, "{found:?}");
        truncate(&disk, Path::new(DIR), Zxid(2)).unwrap();
        assert_eq!(cursor(&disk, 1).unwrap(), [1, 2]);
        if done {
            return;
        }
    }
}

#[test]
fn a_log_may_grow_while_it_is_read() {
    let disk = disk_with_dir();
    let mut log = writer(&disk, 4096);
    append(&mut log, 1..=2).unwrap();
    let file = disk.open(Path::new("/log/log.1"), OpenMode::Read).unwrap();
    assert!(file.len().unwrap() > 4000);
    let mut cursor = LogCursor::open(&disk, Path::new(DIR), Zxid(1)).unwrap();
    assert_eq!(cursor.next_record().unwrap().unwrap().zxid, Zxid(1));
    append(&mut log, 3..=40).unwrap();
    assert_eq!(cursor.next_record().unwrap().unwrap().zxid, Zxid(2));
    let mut last = 2;
    while let Some(record) = cursor.next_record().unwrap() {
        last += 1;
        assert_eq!(record.zxid, Zxid(last));
    }
    assert_eq!(last, 40);
}

/// Found by simulation: what a member gets from its leader when it joins is appended as one batch and may be of days. A
/// machine that died while it was written left what passes for damage, and the member did not start again.
#[test]
fn a_batch_of_txns_far_apart_in_time_is_there_as_a_whole_or_not_at_all() {
    let far: Vec<i64> = (1..=12).map(|i| i * 60_000).collect();
    let all: Vec<i64> = (1..=5).chain(far.iter().copied()).collect();
    for call in 0.. {
        let mut finished = false;
        for seed in 0..20 {
            let disk = disk_with_dir();
            let mut log = writer(&disk, 4096);
            append(&mut log, 1..=5).unwrap();
            log.force().unwrap();
            disk.crash_at(disk.calls() + call);
            let entries: Vec<_> = far.iter().map(|z| entry(*z, 900)).collect();
            let (first, last) = (Zxid(far[0]), Zxid(far[11]));
            let done = log.append(entries.iter().map(Vec::as_slice), first, last).and_then(|()| log.force());
            finished = done.is_ok();
            disk.crash(Unforced::Random(seed));
            remove_leftovers(&disk, Path::new(DIR)).unwrap();
            let found = cursor(&disk, 1).unwrap();
            assert!(found == all || !finished && found == all[..5], "call {call}, seed {seed}: {found:?}");
        }
        if finished {
            assert!(call >= 5, "{call}");
            break;
        }
    }
    let disk = disk_with_dir();
    let mut log = writer(&disk, 4096);
    append(&mut log, 1..=5).unwrap();
    log.append([&entry(60_000, 9)[..], &entry(120_000, 9)], Zxid(60_000), Zxid(120_000)).unwrap();
    append(&mut log, 120_001..=120_002).unwrap();
    log.force().unwrap();
    assert_eq!(cursor(&disk, 1).unwrap(), [1, 2, 3, 4, 5, 60_000, 120_000, 120_001, 120_002]);
}
