//! Upstream's own tools on our files: they print of ours what they print of the Java server's.

use std::fs;
use std::path::{Path, PathBuf};

use compat_tests::arm::{Arm, compare_arms};
use compat_tests::raw::{Acl, Client, MultiOp, flag};
use compat_tests::server::Server;
use compat_tests::upstream::tool;

#[test]
fn the_log_tool_reads_our_log() {
    compare_arms("java-tools-log", |arm| {
        let (server, session) = worked(arm);
        let log = newest(&server, "log.");
        // It checks every checksum, and ends with how many txns there are.
        let printed = tool("org.apache.zookeeper.server.persistence.TxnLogToolkit", &["-d", path(&log)]);
        assert!(printed.contains("createSession") && printed.contains("multi"), "{printed}");
        masked(&printed, session)
    });
}

#[test]
fn the_snapshot_tools_read_our_snapshot() {
    compare_arms("java-tools-snapshot", |arm| {
        let (server, session) = worked(arm);
        let snapshot = newest(&server, "snapshot.");
        let details = tool("org.apache.zookeeper.server.SnapshotFormatter", &["-d", path(&snapshot)]);
        assert!(details.contains("/a/child-1"), "{details}");
        let json = tool("org.apache.zookeeper.server.SnapshotFormatter", &["-json", path(&snapshot)]);
        let summary =
            tool("org.apache.zookeeper.server.SnapshotRecursiveSummary", &[path(&snapshot), "/", "2"]);
        assert!(summary.contains("/a"), "{summary}");
        [details, json, summary].map(|text| masked(&text, session)).join("\n")
    });
}

/// Of a Java server's snapshot and ours after the same writes.
#[test]
fn the_tool_that_compares_snapshots_finds_no_difference() {
    let servers = [worked(Arm::Java), worked(Arm::Quoll)];
    let [java, ours] = [&servers[0].0, &servers[1].0].map(|server| newest(server, "snapshot."));
    let compare = |left: &Path, right: &Path| {
        let args = ["-l", path(left), "-r", path(right), "-b", "0", "-n", "0"];
        tool("org.apache.zookeeper.server.SnapshotComparer", &args)
    };
    let both = compare(&java, &ours);
    // What it says of the sizes is the same for a snapshot and itself.
    let sizes = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.ends_with(" seconds"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(sizes(&both), sizes(&compare(&java, &java)), "{both}");
    assert!(both.contains("All layers compared"), "{both}");
}

#[test]
fn the_purge_tool_removes_the_same_files() {
    compare_arms("java-tools-purge", |arm| {
        let (mut server, _) = worked(arm);
        for n in 0..4 {
            server.start_again();
            let mut zk = connect(&server);
            zk.create(&format!("/more-{n}"), None, &Acl::open(), 0, 0).unwrap().unwrap();
            zk.close().unwrap();
            server.stop();
        }
        let before = files(&server);
        let dir = server.data_dir().to_owned();
        tool("org.apache.zookeeper.server.PurgeTxnLog", &[path(&dir), path(&dir), "-n", "3"]);
        let after = files(&server);
        let snapshots = |names: &[String]| names.iter().filter(|name| name.starts_with("snapshot.")).count();
        assert!(snapshots(&before) > 3 && snapshots(&after) == 3, "{before:?} {after:?}");
        server.start_again();
        let mut zk = connect(&server);
        let names = zk.children("/").unwrap().unwrap();
        format!("{after:?}\n{names:?}\n")
    });
}

/// A stopped server after some writes of every kind, with a snapshot of them all, and the session they were of.
fn worked(arm: Arm) -> (Server, i64) {
    let mut server = arm.server().property("zookeeper.extendedTypesEnabled", "true").start();
    let mut zk = connect(&server);
    let open = Acl::open();
    zk.create("/a", Some(b"data"), &open, flag::PERSISTENT, 0).unwrap().unwrap();
    for n in 0..3 {
        zk.create(&format!("/a/child-{n}"), None, &open, flag::PERSISTENT, 0).unwrap().unwrap();
    }
    let acl = [Acl::new(1, "world", "anyone"), Acl::new(31, "digest", "ann:hash")];
    zk.create("/b", Some(&[0, 255, 10]), &acl, flag::PERSISTENT, 0).unwrap().unwrap();
    zk.create("/c-", Some(b""), &open, flag::PERSISTENT_SEQUENTIAL, 0).unwrap().unwrap();
    zk.create("/ttl", None, &open, flag::TTL, 3_600_000).unwrap().unwrap();
    zk.create("/container", None, &open, flag::CONTAINER, 0).unwrap().unwrap();
    zk.create("/container/child", None, &open, flag::PERSISTENT, 0).unwrap().unwrap();
    zk.create("/ephemeral", None, &open, flag::EPHEMERAL, 0).unwrap().unwrap();
    zk.set_data("/a", Some(b"other"), 0).unwrap().unwrap();
    zk.set_acl("/a/child-0", &acl, 0).unwrap().unwrap();
    zk.delete("/a/child-2", -1).unwrap().unwrap();
    zk.delete("/nowhere", -1).unwrap().unwrap_err();
    let check = MultiOp::Check { path: "/a".into(), version: 1 };
    let set = |version| MultiOp::SetData { path: "/a/child-1".into(), data: Some(b"m".to_vec()), version };
    zk.multi(&[check.clone(), set(0)]).unwrap();
    zk.multi(&[check, set(9)]).unwrap();
    // Its session, and what is its own, stay.
    let session = zk.session_id;
    drop(zk);
    server.stop();
    // What was replayed is in a snapshot then.
    server.start_again();
    let has_snapshot = |server: &Server| files(server).iter().any(|name| name == "snapshot.11");
    while !has_snapshot(&server) {
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(server.pid().is_some());
    }
    server.stop();
    (server, session)
}

fn connect(server: &Server) -> Client {
    Client::connect(([127, 0, 0, 1], server.port()).into(), 40_000).expect("the server serves")
}

/// The names of logs and snapshots, in order.
fn files(server: &Server) -> Vec<String> {
    let entries = fs::read_dir(server.data_dir().join("version-2")).expect("the folder can be read");
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        names.filter(|name| name.starts_with("log.") || name.starts_with("snapshot.")).collect();
    names.sort_by_key(|name| {
        let (kind, zxid) = name.split_once('.').unwrap();
        (kind.to_owned(), i64::from_str_radix(zxid, 16).unwrap_or(i64::MAX))
    });
    names
}

fn newest(server: &Server, kind: &str) -> PathBuf {
    let of_kind: Vec<_> = files(server).into_iter().filter(|name| name.starts_with(kind)).collect();
    // The last log may be one without txns.
    let name = if kind == "log." { of_kind.first() } else { of_kind.last() };
    server.data_dir().join("version-2").join(name.expect("there is one"))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Without times, and with a name for the session.
fn masked(text: &str, session: i64) -> String {
    let line = |line: &str| {
        let line = line.replace(&format!("{session:x}"), "SESSION");
        // In the log, a time goes before the session.
        let line = line.find("session 0x").map_or(line.clone(), |at| line[at..].to_owned());
        match line.split_once("\"timestamp\":") {
            Some((before, after)) => {
                format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
            }
            None => line,
        }
    };
    let is_time = |line: &str| line.contains("ctime = ") || line.contains("mtime = ");
    text.lines().filter(|l| !is_time(l)).map(line).collect::<Vec<_>>().join("\n")
}

/// The four-letter-word client, by which `zkServer.sh status` asks.
#[test]
fn the_word_tool_is_answered_alike() {
    compare_arms("java-tools-words", |arm| {
        let server = arm.server().start();
        let port = server.port().to_string();
        let said = |word| tool("org.apache.zookeeper.client.FourLetterWordMain", &["127.0.0.1", &port, word]);
        let srvr = said("srvr");
        assert!(srvr.contains("Mode: standalone"), "{srvr}");
        let kept = |line: &&str| ["Mode: ", "Node count: ", "Zxid: "].iter().any(|key| line.starts_with(key));
        format!("{}\n{}", said("ruok"), srvr.lines().filter(kept).collect::<Vec<_>>().join("\n"))
    });
}
