//! Data directories that real servers left behind, and what they hold.
//!
//! Every archive in `tests/golden/datadirs` is a directory of a real server (versions 3.4.14 to 3.9.5, `kill -9` as a
//! rule) with what a 3.9.5 server served from it in `expected.json`. Ours has to hold exactly that: znodes with data,
//! stat and ACL, sessions, ephemerals, containers, TTLs, digest. Where the Java server refuses to start or destroys
//! data, the case says what the truth is and why.

mod recovery_support;

use quoll::storage::StorageError;
use quoll::types::{SessionId, Zxid};
use recovery_support::{Golden, NodeView, nodes_of};

/// Loaded by settings other than those recorded, or refused by the Java server: each has its own test below.
const SPECIAL: &[&str] = &[
    "3.4.14-logonly",
    "3.5.10-logonly",
    "3.9.5-digest-loadedoff",
    "3.9.5-fuzzy-refused",
    "3.9.5-log-only",
    "3.9.5-nodigest-loadeddefault",
    "3.9.5-snap-allbad",
    "3.9.5-torn-crc",
    "3.9.5-torn-crc-middle",
    "3.9.5-ttl-loadeddefault",
];

#[test]
fn every_directory_that_the_java_server_serves_holds_exactly_what_it_served() {
    let mut seen = 0;
    for name in Golden::names() {
        let golden = Golden::open(&name);
        if SPECIAL.contains(&name.as_str()) {
            assert!(
                !golden.served_by_java() || name == "3.9.5-ttl-loadeddefault",
                "{name} needs no special case"
            );
            continue;
        }
        let recovered = golden.recover().unwrap_or_else(|e| panic!("{name}: {e}"));
        golden.assert_holds(&recovered, &golden.expected);
        assert_eq!(recovered.orphans, [], "{name}");
        seen += 1;
    }
    assert!(seen >= 60, "only {seen} directories: archives are missing");
}

#[test]
fn no_digest_differs_wherever_a_writer_left_digests() {
    for name in Golden::names() {
        let golden = Golden::open(&name);
        if let Ok(recovered) = golden.recover() {
            assert_eq!(recovered.digest_mismatches, 0, "{name}: {:?}", recovered.notes);
        }
    }
}

#[test]
fn healthy_directories_give_no_notes() {
    for name in ["3.9.5-plain", "3.9.5-ephemerals", "3.8.4-mixed", "3.9.5-ensemble-leader3", "3.9.5-fuzzy"] {
        let recovered = Golden::open(name).recover().unwrap();
        assert_eq!(recovered.notes, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_second_recovery_of_a_mended_directory_gives_the_same_without_notes() {
    for name in ["3.9.5-torn-crc", "3.9.5-torn-emptylog", "3.9.5-torn-eor", "3.9.5-torn-zeropad"] {
        let golden = Golden::open(name);
        let first = golden.recover().unwrap();
        assert!(!first.notes.is_empty(), "{name}");
        let second = golden.recover().unwrap();
        assert_eq!(second.notes, Vec::<String>::new(), "{name}");
        assert_eq!(nodes_of(&second.tree), nodes_of(&first.tree), "{name}");
        assert_eq!(second.last_zxid, first.last_zxid, "{name}");
    }
}

/// The Java server refuses to start over a wrong checksum in the very last record. Zeros follow, so it is a torn
/// write like any other: its pages reached the disk in another order.
#[test]
fn a_wrong_checksum_at_the_very_end_is_a_torn_write() {
    let recovered = Golden::open("3.9.5-torn-crc").recover().unwrap();
    let same_without_it = Golden::open("3.9.5-torn-eor");
    same_without_it.assert_holds(&recovered, &same_without_it.expected);
    assert!(recovered.notes.iter().any(|n| n.contains("log.e7 at byte 17846")), "{:?}", recovered.notes);
}

#[test]
fn a_wrong_checksum_with_good_records_behind_it_stops_the_start() {
    let error = Golden::open("3.9.5-torn-crc-middle").recover().unwrap_err();
    let StorageError::LogDamaged { offset, good, last_zxid, .. } = &error else { panic!("{error}") };
    assert_eq!((*offset, *last_zxid), (17699, Zxid(0x121)));
    assert_eq!(*good, 59);
    let text = error.to_string();
    for part in ["log.e7", "byte 17699", "checksum", "restore"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn logs_without_a_usable_snapshot_stop_the_start_unless_allowed() {
    for name in ["3.4.14-logonly", "3.5.10-logonly", "3.9.5-log-only"] {
        let mut golden = Golden::open(name);
        let error = golden.recover().unwrap_err();
        assert!(matches!(error, StorageError::NoSnapshot { .. }), "{name}: {error}");
        assert!(error.to_string().contains("snapshot.trust.empty"), "{error}");
        golden.options.trust_empty_snapshot = true;
        let recovered = golden.recover().unwrap();
        let truth = Golden::open(&format!("{name}-trustempty"));
        truth.assert_holds(&recovered, &truth.expected);
    }
}

/// The Java server refuses to start without a usable snapshot. Here the first one, of the empty tree, is there though
/// damaged, and the log is complete from the first txn on.
#[test]
fn a_log_that_is_complete_from_the_first_txn_needs_no_usable_snapshot() {
    let golden = Golden::open("3.9.5-snap-allbad");
    let recovered = golden.recover().unwrap();
    let truth = Golden::open("3.9.5-snap-half");
    truth.assert_holds(&recovered, &truth.expected);
    assert_eq!(recovered.digest_mismatches, 0);

    let golden = Golden::open("3.9.5-snap-allbad");
    std::fs::remove_file(golden.options.log_dir().join("log.3e")).unwrap();
    let error = golden.recover().unwrap_err();
    assert!(matches!(error, StorageError::NoSnapshot { .. }), "{error}");
    assert!(error.to_string().contains("snapshot.e5"), "{error}");
}

/// The Java server cannot read snapshots with a digest section when it has digests off. Ours can, and with digests on
/// every digest in the log confirms the state.
#[test]
fn snapshots_are_read_whatever_the_digest_setting() {
    for name in ["3.9.5-digest-loadedoff", "3.9.5-nodigest-loadeddefault", "3.9.5-nodigest", "3.9.5-digest"] {
        let mut golden = Golden::open(name);
        for digest in [false, true] {
            golden.tree_options.digest = digest;
            let recovered = golden.recover().unwrap();
            assert_eq!(recovered.digest_mismatches, 0, "{name}");
            assert_eq!(recovered.notes, Vec::<String>::new(), "{name}");
            golden.keep_only_first_snapshot();
            let replayed = golden.recover().unwrap();
            assert_eq!(replayed.snapshot, Some(Zxid(0)), "{name}");
            assert_eq!(replayed.digest_mismatches, 0, "{name}");
            assert_eq!(nodes_of(&recovered.tree), nodes_of(&replayed.tree), "{name}");
            assert_eq!(recovered.sessions, replayed.sessions, "{name}");
            golden = Golden::open(name);
        }
    }
}

/// The Java server cannot load a snapshot that it wrote while ACLs changed. The log knows the lists.
#[test]
fn a_fuzzy_snapshot_with_missing_acls_gives_the_true_state() {
    for name in ["3.9.5-fuzzy-refused", "3.9.5-fuzzy-acl"] {
        let golden = Golden::open(name);
        let truth = golden.expected_by_full_replay.clone().expect("the archive has it");
        let recovered = golden.recover().unwrap();
        golden.assert_holds(&recovered, &truth);
        assert_ne!(recovered.snapshot, Some(Zxid(0)), "{name}: a snapshot saves most of the replay");
    }
}

/// The Java server, when started without extendedTypesEnabled, takes TTL znodes for ephemerals of sessions that are
/// gone, and deletes them.
#[test]
fn ttl_znodes_survive_a_start_without_extended_types() {
    let golden = Golden::open("3.9.5-ttl-loadeddefault");
    assert!(!golden.tree_options.owner_rules.extended_types);
    let recovered = golden.recover().unwrap();
    assert!(recovered.notes.iter().any(|n| n.contains("extendedTypesEnabled")), "{:?}", recovered.notes);
    assert_eq!(recovered.orphans, [] as [SessionId; 0]);
    assert!(recovered.tree.owner_rules().extended_types);
    let engine = &golden.expected["engine"];
    assert_eq!(format!("{:x}", recovered.tree.digest()), engine["treeDigest"].as_str().unwrap());
    assert_eq!(recovered.tree.node_count() as u64 + 1, engine["nodeCount"].as_u64().unwrap());
    // What the Java server deleted is there, and has the time to live that its owner field says.
    let ours = nodes_of(&recovered.tree);
    let mut ttls = 0;
    for (owner, paths) in engine["ephemerals"].as_object().unwrap() {
        for path in paths.as_array().unwrap() {
            let path = path.as_str().unwrap();
            let node = recovered.tree.lookup(path).unwrap_or_else(|| panic!("{path} is gone"));
            assert_eq!(format!("{:#x}", node.stored_owner()), *owner);
            assert!(matches!(node.owner(), quoll::types::Owner::Ttl(_)), "{path}");
            ttls += 1;
        }
    }
    assert!(ttls > 20);
    assert_eq!(recovered.tree.ttls().count(), ttls);
    for node in golden.expected["nodes"].as_array().unwrap() {
        let expected = NodeView::from_json(node);
        // Parents of deleted children changed on the Java server.
        if !["/", "/ttl"].iter().any(|p| expected.path.starts_with(p) && expected.path != "/zookeeper") {
            assert_eq!(ours.get(&expected.path), Some(&expected));
        }
    }
}

#[test]
fn damaged_snapshots_are_named_and_the_one_before_is_used() {
    for name in ["3.9.5-snap-zero", "3.9.5-snap-half", "3.9.5-snap-badbyte"] {
        let golden = Golden::open(name);
        let recovered = golden.recover().unwrap();
        assert_eq!(recovered.snapshot, Some(Zxid(0xa0)), "{name}");
        assert!(recovered.notes.iter().any(|n| n.contains("snapshot.e5")), "{:?}", recovered.notes);
    }
}

#[test]
fn a_damaged_snapshot_whose_logs_are_gone_stops_the_start() {
    let golden = Golden::open("3.9.5-snap-half");
    let dir = golden.options.log_dir();
    // As if purged: what lies between snapshot.a0 and log.e7 is only in the damaged snapshot.e5.
    for log in ["log.1", "log.3e", "log.a2"] {
        std::fs::remove_file(dir.join(log)).unwrap();
    }
    let error = golden.recover().unwrap_err();
    assert!(matches!(error, StorageError::LostBetween { .. }), "{error}");
    assert!(error.to_string().contains("snapshot.e5"), "{error}");
}

#[test]
fn a_missing_log_in_the_middle_is_noted() {
    let golden = Golden::open("3.9.5-plain");
    golden.keep_only_first_snapshot();
    std::fs::remove_file(golden.options.log_dir().join("log.b5")).unwrap();
    let recovered = golden.recover().unwrap();
    assert!(recovered.notes.iter().any(|n| n.contains("0xe1 follows 0xb4")), "{:?}", recovered.notes);
    assert!(recovered.digest_mismatches > 0);
}

#[test]
fn ensemble_members_have_their_epochs() {
    use quoll::storage::{EpochKind, RealDisk, read_epoch};
    for (name, epoch) in [("3.9.5-epochs-leader3", 3), ("3.9.5-ensemble-follower1", 1)] {
        let golden = Golden::open(name);
        for kind in [EpochKind::Accepted, EpochKind::Current] {
            let found = read_epoch(&RealDisk, &golden.options.snap_dir(), kind).unwrap().unwrap();
            assert_eq!(found.0, epoch, "{name} {kind:?}");
        }
    }
}
