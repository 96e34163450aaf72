//! What settings do to a running server, and what its words tell.

#[allow(dead_code)]
mod server_support;

use server_support::*;
use std::{
    io::Write,
    net::{Shutdown, TcpStream},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

const SET_WATCHES: i32 = 101;
const WHO_AM_I: i32 = 107;
const AUTH: i32 = 100;

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A number that `mntr` shows.
fn metric(server: &Server, name: &str) -> i64 {
    let text = server.word(b"mntr");
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('\t'));
    line.unwrap_or_else(|| panic!("mntr has no {name}:\n{text}")).parse().unwrap()
}

fn snapshots(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("data/version-2")).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|n| n.starts_with("snapshot.")).collect()
}

#[test]
fn any_request_keeps_a_session_alive() {
    let dir = dir();
    let server = Server::start(dir.path(), "tickTime=100\nminSessionTimeout=400");
    let mut reader = server.connect_for(400);
    let mut writer = server.connect_for(400);
    writer.create("/n", b"", 0);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2_000) {
        assert!(reader.exists("/n"));
        assert_eq!(writer.ask(SET_DATA, &set_body("/n", b"x")).err, 0);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn connections_beyond_the_limit_of_all_are_closed_at_once() {
    let dir = dir();
    let server = Server::start(dir.path(), "maxCnxns=2");
    let _open = [server.connect(), server.connect()];
    assert!(server.dial().is_closed());
}

#[test]
fn the_client_port_is_open_on_its_address_alone() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    assert!(TcpStream::connect(("127.0.0.1", server.address.port())).is_ok());
    assert!(TcpStream::connect(("127.0.0.2", server.address.port())).is_err());
}

#[test]
fn a_client_comes_by_ipv6_and_is_known_by_that_address() {
    let dir = dir();
    let server = Server::start(dir.path(), "clientPortAddress=::1");
    assert!(server.address.is_ipv6());
    let reply = server.connect().ask(WHO_AM_I, &[]);
    let expected = [&buffer(b"ip")[..], &buffer(b"0:0:0:0:0:0:0:1")].concat();
    assert_eq!((reply.err, &reply.body[4..]), (0, &expected[..]));
}

#[test]
fn connections_beyond_the_tokens_are_closed_without_an_answer() {
    let dir = dir();
    let server =
        Server::start(dir.path(), "connection_throttle_tokens=2\nconnection_throttle_fill_time=3600000");
    let _open = [server.connect(), server.connect()];
    assert_eq!(server.dial().handshake(30_000, 0, &[0; 16]), None);
    assert_eq!(metric(&server, "zk_connection_rejected"), 1);
}

#[test]
fn memory_comes_in_small_pages_so_that_idle_sessions_take_no_more_than_they_need() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    assert_eq!(server.status("THP_enabled"), "0", "Linux 5.0 or later tells it");
}

#[test]
fn a_thousand_idle_sessions_take_less_than_four_megabytes() {
    let dir = dir();
    let server = Server::start(dir.path(), "maxClientCnxns=0");
    drop(server.connect());
    let before = server.resident_kb();
    let idle: Vec<_> = (0..800).map(|_| server.connect()).collect();
    let grown = server.resident_kb().saturating_sub(before);
    assert!(grown < 3_200, "{} sessions take {grown} kB", idle.len());
}

/// Writes sent without waiting are all answered, in order.
fn pipelined_writes_are_answered(server: &Server, n: i32) {
    let mut client = server.connect();
    client.create("/p", b"", 0);
    for i in 0..n {
        client.send(SET_DATA, &set_body("/p", i.to_string().as_bytes()));
    }
    let first = client.reply();
    assert_eq!(first.err, 0);
    for i in 1..n {
        let reply = client.reply();
        assert_eq!((reply.xid, reply.err), (first.xid + i, 0));
    }
    assert_eq!(client.data("/p"), Some((n - 1).to_string().into_bytes()));
}

#[test]
fn requests_beyond_request_throttle_max_requests_wait_for_their_turn() {
    let dir = dir();
    let server = Server::start(dir.path(), "request_throttle_max_requests=1\nrequest_throttle_stall_time=1");
    pipelined_writes_are_answered(&server, 50);
    assert!(metric(&server, "zk_request_throttle_wait_count") > 0);
}

/// A request has to wait while another is under way, and looks again after half a second. Its client sends both in one
/// piece, and may have closed its end by then.
fn two_creates_of_which_one_waits(server: &Server, client: &mut Client, hang_up: bool) {
    let [first, second] =
        ["/first", "/second"].map(|path| framed(&request(1, CREATE, &create_body(path, b"", 0))));
    client.stream.write_all(&[first, second].concat()).unwrap();
    if hang_up {
        client.stream.shutdown(Shutdown::Write).unwrap();
    }
    assert_eq!(client.reply().err, 0);
    assert!(metric(server, "zk_request_throttle_wait_count") > 0);
}

const ONE_AT_A_TIME: &str = "request_throttle_max_requests=1\nrequest_throttle_stall_time=500\n";

#[test]
fn a_request_that_waits_is_dropped_when_its_client_has_gone() {
    let dir = dir();
    let server = Server::start(dir.path(), ONE_AT_A_TIME);
    let mut client = server.connect();
    two_creates_of_which_one_waits(&server, &mut client, true);
    assert!(client.is_closed(), "without an answer");
    assert!(!server.connect().exists("/second"));
    assert_eq!(metric(&server, "zk_stale_requests_dropped"), 1);
    assert_eq!(metric(&server, "zk_stale_requests"), 0);
}

#[test]
fn a_request_of_a_client_that_has_gone_is_executed_where_stale_ones_are_not_dropped() {
    let dir = dir();
    let server = Server::start(dir.path(), &format!("{ONE_AT_A_TIME}request_throttle_drop_stale=false"));
    let mut client = server.connect();
    two_creates_of_which_one_waits(&server, &mut client, true);
    let mut other = server.connect();
    wait_until("the request to be executed", || other.exists("/second"));
    assert_eq!(metric(&server, "zk_stale_requests_dropped"), 0);
    assert_eq!(metric(&server, "zk_stale_requests"), 1);
}

#[test]
fn a_client_that_has_gone_does_not_make_a_request_stale_without_the_check() {
    let dir = dir();
    let server = Server::start(dir.path(), &format!("{ONE_AT_A_TIME}request_stale_connection_check=false"));
    let mut client = server.connect();
    two_creates_of_which_one_waits(&server, &mut client, true);
    let mut other = server.connect();
    wait_until("the request to be executed", || other.exists("/second"));
    assert_eq!(metric(&server, "zk_stale_requests"), 0);
}

#[test]
fn a_request_that_waits_longer_than_its_session_may_be_silent_is_dropped_if_latency_counts() {
    let dir = dir();
    let settings =
        format!("{ONE_AT_A_TIME}tickTime=5000\nminSessionTimeout=100\nrequest_stale_latency_check=true");
    let server = Server::start(dir.path(), &settings);
    // It expires with the tick in which its timeout ends; in the worst case of all that is before the request is due.
    let mut client = server.connect_for(300);
    two_creates_of_which_one_waits(&server, &mut client, false);
    assert!(client.is_closed(), "without an answer");
    assert!(!server.connect().exists("/second"));
    // One with time enough is not stale.
    let mut patient = server.connect();
    let third = framed(&request(1, CREATE, &create_body("/third", b"", 0)));
    patient
        .stream
        .write_all(&[third, framed(&request(2, CREATE, &create_body("/fourth", b"", 0)))].concat())
        .unwrap();
    assert_eq!((patient.reply().err, patient.reply().err), (0, 0));
}

#[test]
fn a_client_that_names_another_ensemble_is_sent_away_without_an_answer() {
    let dir = dir();
    let provider = "authProvider.1=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider";
    let server = Server::start(dir.path(), &format!("{provider}\nensembleAuthName=east, west"));
    assert!(!server.log().contains("ensembleAuthName"), "nothing to warn of:\n{}", server.log());
    let ask = |name: &[u8]| {
        let mut client = server.connect();
        let body = [&0i32.to_be_bytes()[..], &buffer(b"ensemble"), &buffer(name)].concat();
        client.send_frame(&request(-4, AUTH, &body));
        let err = client.try_reply().map(|reply| reply.err);
        (err, err.is_some() && client.create("/x", b"", 0).err != -4)
    };
    assert_eq!(ask(b"west"), (Some(0), true));
    assert_eq!(ask(b""), (Some(0), true));
    assert_eq!(ask(b"north"), (None, false));
    let counted =
        ["success", "skip", "fail"].map(|what| metric(&server, &format!("zk_ensemble_auth_{what}")));
    assert_eq!(counted, [1, 1, 1]);
}

#[test]
fn without_its_provider_the_scheme_ensemble_is_refused_whatever_the_name() {
    let dir = dir();
    let server = Server::start(dir.path(), "ensembleAuthName=east");
    let mut client = server.connect();
    let body = [&0i32.to_be_bytes()[..], &buffer(b"ensemble"), &buffer(b"east")].concat();
    client.send_frame(&request(-4, AUTH, &body));
    assert_eq!(client.reply().err, -115);
    assert!(client.is_closed());
}

#[test]
fn mntr_shows_limits_and_usage_of_quotas_by_first_component() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut client = server.connect();
    for (path, data) in [
        ("/app", &b"123"[..]),
        ("/zookeeper/quota/app", b""),
        ("/zookeeper/quota/app/zookeeper_limits", b"count=5,bytes=-1=;byteHardLimit=100;countHardLimit=-1"),
        ("/zookeeper/quota/app/zookeeper_stats", b""),
    ] {
        assert_eq!(client.create(path, data, 0).err, 0, "{path}");
    }
    let of = |what: &str| metric(&server, &format!("zk_app_quota_{what}_per_namespace"));
    assert_eq!(["count_limit", "bytes_limit", "count_usage", "bytes_usage"].map(of), [5, 100, 1, 3]);
}

#[test]
fn what_recovery_finds_odd_is_said_once() {
    let dir = dir();
    Server::start(dir.path(), "").terminate();
    let leftover = dir.path().join("data/version-2/tmp.snapshot.7");
    std::fs::write(&leftover, b"torn").unwrap();
    let server = Server::start(dir.path(), "");
    wait_until("the note", || server.log().contains("tmp.snapshot.7"));
    assert_eq!(server.log().matches("tmp.snapshot.7").count(), 1, "{}", server.log());
    assert!(!leftover.exists());
}

#[test]
fn a_limit_of_one_outstanding_request_holds_clients_back_but_answers_them() {
    let dir = dir();
    let server = Server::start(dir.path(), "globalOutstandingLimit=1");
    pipelined_writes_are_answered(&server, 200);
}

#[test]
fn large_requests_beyond_their_limit_close_the_connection() {
    let dir = dir();
    let server = Server::start(dir.path(), "largeRequestThreshold=1000\nlargeRequestMaxBytes=3000");
    let mut client = server.connect();
    assert_eq!(client.create("/small", &[1; 500], 0).err, 0);
    assert_eq!(client.create("/large", &[1; 2000], 0).err, 0);
    client.send(CREATE, &create_body("/too-large", &[1; 5000], 0));
    assert!(client.is_closed());
    let mut other = server.connect();
    assert!(other.exists("/large") && !other.exists("/too-large"));
}

#[test]
fn twenty_thousand_watches_are_set_again_in_batches() {
    const BATCH: usize = 2_000;
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut watcher = server.connect();
    let empty = 0i32.to_be_bytes();
    for batch in 0..10 {
        let paths = (0..BATCH).flat_map(|n| buffer(format!("/watched-{}", batch * BATCH + n).as_bytes()));
        let exists = [&(BATCH as i32).to_be_bytes()[..], &paths.collect::<Vec<_>>()].concat();
        let body = [&0i64.to_be_bytes()[..], &empty, &exists, &empty].concat();
        assert!(body.len() < 128 << 10, "clients keep their requests below this");
        watcher.send_frame(&request(-8, SET_WATCHES, &body));
        let reply = watcher.reply();
        assert_eq!((reply.xid, reply.err), (-8, 0));
    }
    assert_eq!(server.word(b"wchs"), "1 connections watching 20000 paths\nTotal watches:20000\n");
    let mut writer = server.connect();
    for path in ["/watched-0", "/watched-9999", "/watched-19999"] {
        assert_eq!(writer.create(path, b"", 0).err, 0);
        assert_eq!(event(&watcher.reply()), (1, path.to_owned()));
    }
}

#[test]
fn lists_of_children_come_from_the_cache_until_they_change() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut client = server.connect();
    client.create("/p", b"", 0);
    for n in 0..50 {
        client.create(&format!("/p/{n}"), b"", 0);
    }
    let hits = "zk_response_packet_get_children_cache_hits";
    let mut lists = Vec::new();
    for _ in 0..10 {
        lists.push(client.ask(GET_CHILDREN, &path_and_watch("/p", false)).body);
    }
    assert!(lists.iter().all(|l| *l == lists[0]));
    assert!(metric(&server, hits) > 0);
    client.create("/p/new", b"", 0);
    assert_ne!(client.ask(GET_CHILDREN, &path_and_watch("/p", false)).body, lists[0]);
}

#[test]
fn autopurge_removes_old_snapshots_and_nothing_that_is_needed() {
    let dir = dir();
    let server = Server::start(dir.path(), "snapCount=10");
    let mut client = server.connect();
    let mut n = 0;
    wait_until("six snapshots", || {
        assert_eq!(client.create(&format!("/s{n}"), b"x", 0).err, 0);
        n += 1;
        snapshots(dir.path()).len() >= 6
    });
    server.kill();
    let purging = "snapCount=10\nautopurge.purgeInterval=1\nautopurge.snapRetainCount=3";
    let server = Server::start(dir.path(), purging);
    wait_until("the oldest snapshot to go", || !snapshots(dir.path()).contains(&"snapshot.0".to_owned()));
    assert!(snapshots(dir.path()).len() >= 3);
    server.kill();
    let server = Server::start(dir.path(), "");
    let mut client = server.connect();
    assert!((0..n).all(|i| client.exists(&format!("/s{i}"))));
}

#[test]
fn flush_delay_lets_a_lone_write_wait_for_company() {
    let dir = dir();
    let server = Server::start(dir.path(), "flushDelay=60\nmaxBatchSize=1000");
    let mut client = server.connect();
    let start = Instant::now();
    assert_eq!(client.create("/alone", b"", 0).err, 0);
    assert!(start.elapsed() >= Duration::from_millis(55));
    pipelined_writes_are_answered(&server, 100);
    server.kill();
    assert!(Server::start(dir.path(), "").connect().exists("/alone"));
}

#[test]
fn a_server_that_cannot_start_ends_with_upstreams_numbers() {
    let dir = dir();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let missing = dir.path().join("missing");
    let port = "clientPort=0\nclientPortAddress=127.0.0.1\n";
    for (lines, code, said) in [
        (format!("{port}dataDir={}\ntickTime=abc\n", missing.display()), 2, "tickTime=abc"),
        (format!("{port}dataDir={}\n", file.display()), 3, file.to_str().unwrap()),
        (
            format!("{port}dataDir={}\ndatadir.autocreate=false\n", missing.display()),
            3,
            missing.to_str().unwrap(),
        ),
    ] {
        let config = dir.path().join("zoo.cfg");
        std::fs::write(&config, &lines).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_quoll")).arg("server").arg(&config).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{lines}{stderr}");
        assert!(stderr.contains(said), "{lines}{stderr}");
    }
    assert!(!missing.exists());
}

#[test]
fn every_word_is_answered_from_the_running_server() {
    let dir = dir();
    let server = Server::start(dir.path(), "tickTime=2500");
    let mut client = server.connect();
    client.create("/e", b"data", 1);
    assert_eq!(client.ask(GET_DATA, &path_and_watch("/e", true)).err, 0);
    let sid = format!("0x{:x}", client.session);
    let sid = sid.as_str();
    for (word, parts) in [
        (b"ruok", vec!["imok"]),
        (b"isro", vec!["rw"]),
        (
            b"srvr",
            vec!["Zookeeper version: ", "Mode: standalone", "Node count: 6", "Zxid: 0x2", "Connections: 2"],
        ),
        (b"stat", vec!["Clients:", "Mode: standalone", "127.0.0.1:"]),
        (
            b"conf",
            vec!["tickTime=2500", "dataDir=", "maxClientCnxns=60", "minSessionTimeout=5000", "serverId=0"],
        ),
        (b"cons", vec![sid, "lop=GETD", "to=30000"]),
        (b"dump", vec![sid, "/e", "Sessions with Ephemerals (1)"]),
        (b"wchs", vec!["1 connections watching 1 paths", "Total watches:1"]),
        (b"wchc", vec![sid, "\t/e"]),
        (b"wchp", vec!["/e\n", sid]),
        (
            b"mntr",
            vec![
                "zk_server_state\tstandalone",
                "zk_ephemerals_count\t1",
                "zk_watch_count\t1",
                "zk_znode_count\t6",
            ],
        ),
        (b"dirs", vec!["datadir_size: ", "logdir_size: "]),
        (b"envi", vec!["Environment:", "zookeeper.version=", "os.name=Linux"]),
        (b"gtmk", vec!["306"]),
        (b"crst", vec!["Connection stats reset."]),
        (b"srst", vec!["Server stats reset."]),
    ] {
        let answer = server.word(word);
        for part in parts {
            assert!(answer.contains(part), "{} lacks {part:?}:\n{answer}", word.escape_ascii());
        }
    }
    assert_eq!(server.word(b"hash"), "", "the first digest comes with the 128th txn");
    let mut stmk = server.dial();
    stmk.stream.write_all(b"stmk\0\0\0\0\0\0\0\x05").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stmk.stream, &mut answer).unwrap();
    assert_eq!((answer.as_str(), server.word(b"gtmk").as_str()), ("5", "5"));
    for n in 0..130 {
        client.create(&format!("/n{n}"), b"", 0);
    }
    assert_eq!(server.word(b"hash").lines().filter(|l| l.starts_with("80: ")).count(), 1);
    let replies = server.word(b"cons");
    assert!(replies.contains("lop=CREA"), "{replies}");
}

#[test]
fn a_force_that_takes_longer_than_the_limit_is_warned_of_once() {
    // Everything takes longer than nothing, and nothing longer than an hour.
    for (limit_ms, warns) in [(0, true), (3_600_000, false)] {
        let dir = dir();
        let server = Server::start(dir.path(), &format!("fsync.warningthresholdms={limit_ms}"));
        let mut client = server.connect();
        for n in 0..5 {
            assert_eq!(client.create(&format!("/n{n}"), b"", 0).err, 0);
        }
        let forces = metric(&server, "zk_cnt_fsynctime");
        let warned = || server.log().matches("fsync.warningthresholdms").count() as i64;
        if warns {
            wait_until("it has warned", || warned() > 0);
            assert!(
                warned() <= forces && server.log().contains("log.1"),
                "{forces} forces: {}",
                server.log()
            );
        } else {
            assert_eq!(warned(), 0, "{}", server.log());
        }
    }
}
