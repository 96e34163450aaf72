//! Four-letter words of members that do not serve.

use std::collections::BTreeSet;

use compat_tests::arm::{Arm, compare_arms};
use compat_tests::ensemble::proxy::Id;
use compat_tests::ensemble::{Ensemble, turn};
use compat_tests::raw::Acl;

use crate::on_each::{client, on_each};

#[test]
fn a_member_without_a_leader_says_that_it_does_not_serve() {
    let _turn = turn();
    compare_arms("members-words-without-a-leader", |arm| {
        let mut e = Ensemble::of(&[arm; 3]).build();
        e.start(1);
        e.wait_until("it answers", |e| e.member(1).word("ruok").is_ok_and(|answer| answer == "imok"));
        let words = [
            "ruok", "srvr", "stat", "mntr", "cons", "crst", "dump", "isro", "wchs", "wchc", "wchp", "srst",
            "dirs",
        ];
        words.map(|word| format!("{word}: {}\n", e.member(1).word(word).unwrap().trim())).concat()
    });
}

/// The names of what `mntr` and `conf` say, and the lines of `srvr`, at a leader, a follower and an observer.
#[test]
fn members_that_serve_say_the_same_things_of_themselves() {
    let _turn = turn();
    compare_arms("members-words", |arm| {
        let e = Ensemble::of(&[arm; 3]).observer(arm).start();
        let mut seen = String::new();
        for (what, id) in [("leader", 3), ("follower", 1), ("observer", 4)] {
            // Something of each kind has happened everywhere.
            let mut zk = client(&e, id);
            zk.create(&format!("/n-{id}"), None, &Acl::open(), 0, 0).unwrap().unwrap();
            zk.sync("/").unwrap().unwrap();
            zk.get_data("/", true).unwrap().unwrap();
            for (word, separator) in [("mntr", '\t'), ("conf", '='), ("srvr", ':')] {
                let text = e.member(id).word(word).unwrap();
                let names = text.lines().map(|line| line.split(separator).next().unwrap_or(line).trim());
                let names: BTreeSet<_> = names.filter(|name| !is_java_or_missing(name)).collect();
                seen += &format!("{what} {word}: {names:#?}\n");
            }
        }
        seen
    });
}

/// What only a Java program has, and what is not counted by learner yet.
fn is_java_or_missing(name: &str) -> bool {
    let missing = ["learner_handler_qp_size", "learner_handler_qp_time_ms"];
    ["zk_jvm_", "zk_process_"].iter().any(|start| name.starts_with(start))
        || missing.iter().any(|end| name.ends_with(end))
}

/// What is said of the ensemble and of its proposals.
#[test]
fn members_say_how_they_stand_in_their_ensemble() {
    on_each(
        |builder| builder.observer(Arm::Quoll),
        |e| {
            client(e, 1).create("/small", None, &Acl::open(), 0, 0).unwrap().unwrap();
            client(e, 1).create("/large", Some(&[7; 5000]), &Acl::open(), 0, 0).unwrap().unwrap();
            client(e, 4).sync("/").unwrap().unwrap();
            let says = |id: Id, key: &str| e.member(id).metric(key);
            let number = |key: &str| says(3, key).unwrap().parse::<f64>().unwrap();
            for (id, state) in [(1, "following"), (3, "leading"), (4, "observing")] {
                assert_eq!(says(id, "peer_state"), Some(format!("{state} - broadcast")));
                assert!(says(id, "quorum_size").is_some_and(|n| n.trim_end_matches(".0") == "3"));
            }
            assert_eq!(says(4, "observer_master_id"), Some("3".to_owned()));
            assert_eq!(says(3, "observer_master_id"), None);
            assert!(number("leader_uptime") > 0.0 && says(1, "leader_uptime").is_none());
            let sizes = ["min", "max", "last"].map(|which| number(&format!("{which}_proposal_size")));
            let [min, max, last] = sizes;
            assert!((40.0..100.0).contains(&min) && (5000.0..5200.0).contains(&max), "{sizes:?}");
            let srvr = e.member(3).word("srvr").unwrap();
            assert!(srvr.contains(&format!("Proposal sizes last/min/max: {last}/{min}/{max}")), "{srvr}");
            e.member(3).word("srst").unwrap();
            assert!(e.member(3).word("srvr").unwrap().contains("Proposal sizes last/min/max: -1/-1/-1"));
        },
    );
}

/// Bytes by the first component of the path, wherever they were read or written.
#[test]
fn members_count_bytes_by_namespace() {
    on_each(
        |builder| builder.observer(Arm::Quoll),
        |e| {
            let mut zk = client(e, 1);
            zk.create("/app", Some(&[7; 100]), &Acl::open(), 0, 0).unwrap().unwrap();
            zk.create("/app/x", None, &Acl::open(), 0, 0).unwrap().unwrap();
            zk.create("/app/session", Some(b"e"), &Acl::open(), 1, 0).unwrap().unwrap();
            zk.set_data("/app/x", Some(b"12345"), -1).unwrap().unwrap();
            zk.delete("/app/x", -1).unwrap().unwrap();
            zk.create("/app/x", Some(b"123"), &Acl::open(), 0, 0).unwrap().unwrap();
            assert!(zk.create("/app", None, &Acl::open(), 0, 0).unwrap().is_err());
            for path in ["/", "/app", "/app/x"] {
                zk.get_data(path, false).unwrap().unwrap();
                zk.children(path).unwrap().unwrap();
                zk.exists(path, false).unwrap().unwrap();
            }
            assert!(zk.get_data("/app/none", false).unwrap().is_err());
            zk.close().unwrap();
            client(e, 4).sync("/").unwrap().unwrap();
            for id in [1, 3, 4] {
                let numbers = |e: &Ensemble, kind: &str| {
                    ["cnt", "sum", "min", "max"].map(|of| {
                        let value = e.member(id).metric(&format!("{of}_app_{kind}_per_namespace"));
                        value.map(|value| value.parse::<f64>().unwrap() as u64)
                    })
                };
                // /app, /app/x twice, its data and its end, and the ephemeral and its end.
                let written = [7, 104 + 6 + 13 + 11 + 6 + 9 + 12, 6, 104].map(Some);
                e.wait_until("it has them", |e| numbers(e, "write") == written);
                let read = [6, 6 * 68 + 3 * (4 + 6) + 100 + 8 + 3, 72, 172].map(Some);
                assert_eq!(numbers(e, "read"), if id == 1 { read } else { [None; 4] });
            }
        },
    );
}
