//! The server as a process: what a client sees over the wire through starts, stops, crashes, limits and garbage.

mod server_support;

use rustix::process::Signal;
use server_support::*;
use std::{
    io::Write,
    net::Shutdown,
    time::{Duration, Instant},
};

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_znode_is_created_read_changed_and_deleted() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut client = server.connect();
    assert_eq!(client.create("/a", b"one", 0).err, 0);
    assert_eq!(client.data("/a"), Some(b"one".to_vec()));
    assert_eq!(client.ask(SET_DATA, &set_body("/a", b"two")).err, 0);
    assert_eq!(client.data("/a"), Some(b"two".to_vec()));
    let delete = [&buffer(b"/a")[..], &(-1i32).to_be_bytes()].concat();
    assert_eq!(client.ask(DELETE, &delete).err, 0);
    assert_eq!(client.data("/a"), None);
    let ping = client.ask_ping();
    assert_eq!((ping.xid, ping.err), (-2, 0));
    assert_eq!(client.ask(CLOSE, &[]).err, 0);
    assert!(client.is_closed());
}

#[test]
fn pipelined_requests_are_answered_in_their_order_with_the_state_of_their_place() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut client = server.connect();
    client.create("/n", b"", 0);
    // Reads before, between and behind writes, all in one packet.
    let mut bytes = Vec::new();
    const N: i32 = 500;
    for n in 0..N {
        let data = n.to_string();
        bytes.extend(framed(&request(3 * n, GET_DATA, &path_and_watch("/n", false))));
        bytes.extend(framed(&request(3 * n + 1, SET_DATA, &set_body("/n", data.as_bytes()))));
        bytes.extend(framed(&request(3 * n + 2, GET_DATA, &path_and_watch("/n", false))));
    }
    client.stream.write_all(&bytes).unwrap();
    let mut before = String::new();
    let mut zxid = 0;
    for n in 0..N {
        for (k, expected) in [(0, Some(before.clone())), (1, None), (2, Some(n.to_string()))] {
            let reply = client.reply();
            assert_eq!((reply.xid, reply.err), (3 * n + k, 0));
            assert!(reply.zxid >= zxid);
            zxid = reply.zxid;
            if let Some(expected) = expected {
                let data = &reply.body[4..4 + int(&reply.body) as usize];
                assert_eq!(data, expected.as_bytes(), "request {}", 3 * n + k);
            }
        }
        before = n.to_string();
    }
}

#[test]
fn a_watch_is_told_before_the_reply_of_the_write_and_before_a_read_that_sees_it() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut writer = server.connect();
    let mut watcher = server.connect();
    writer.create("/w", b"0", 0);
    for n in 1..200 {
        let data = n.to_string();
        // The writer watches too: its own notification precedes its own reply.
        for client in [&mut writer, &mut watcher] {
            assert_eq!(client.ask(GET_DATA, &path_and_watch("/w", true)).err, 0);
        }
        writer.send(SET_DATA, &set_body("/w", data.as_bytes()));
        // Meanwhile the watcher reads until it sees the change; it must have been told before.
        let mut told = false;
        loop {
            watcher.send(GET_DATA, &path_and_watch("/w", false));
            let mut reply = watcher.reply();
            if reply.xid == -1 {
                assert_eq!(event(&reply).0, 3);
                told = true;
                reply = watcher.reply();
            }
            let seen = &reply.body[4..4 + int(&reply.body) as usize];
            if seen == data.as_bytes() {
                assert!(told, "the change {n} was seen before it was told");
                break;
            }
            assert!(!told || seen == data.as_bytes(), "told of change {n}, but the old data was read");
        }
        let notification = writer.reply();
        let reply = writer.reply();
        assert_eq!((notification.xid, reply.err), (-1, 0));
        assert_eq!(notification.zxid, reply.zxid);
    }
}

#[test]
fn a_session_is_taken_up_by_another_connection_and_the_old_one_is_closed() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut old = server.connect();
    old.create("/e", b"", 1);
    let mut new = server.dial();
    assert_eq!(new.handshake(30_000, old.session, &old.password), Some(30_000));
    assert_eq!((new.session, &new.password), (old.session, &old.password));
    assert!(old.is_closed());
    assert!(new.exists("/e"));
    // A wrong password gets nothing and harms nobody.
    let mut thief = server.dial();
    assert_eq!(thief.handshake(30_000, new.session, &[1; 16]), Some(0));
    assert_eq!(thief.session, 0);
    assert!(thief.is_closed());
    assert!(new.exists("/e"));
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut client = server.connect();
    for n in 0..100 {
        assert_eq!(client.create(&format!("/k{n}"), b"x", 0).err, 0);
    }
    client.create("/e", b"", 1);
    let (session, password) = (client.session, client.password.clone());
    server.kill();
    let server = Server::start(dir.path(), "");
    let mut again = server.dial();
    assert_eq!(again.handshake(30_000, session, &password), Some(30_000));
    assert!((0..100).all(|n| again.exists(&format!("/k{n}"))));
    assert!(again.exists("/e"));
}

#[test]
fn sigterm_answers_what_is_under_way_and_stops_in_a_second_losing_nothing() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut client = server.connect();
    client.create("/t", b"", 0);
    for n in 0..200 {
        client.send(SET_DATA, &set_body("/t", n.to_string().as_bytes()));
    }
    let first = client.reply();
    assert_eq!(first.err, 0);
    let (status, took) = server.terminate();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(1), "took {took:?}");
    let mut last = 0;
    while let Some(reply) = client.try_reply() {
        assert_eq!(reply.err, 0);
        last += 1;
    }
    let server = Server::start(dir.path(), "");
    let kept: i32 = String::from_utf8(server.connect().data("/t").unwrap()).unwrap().parse().unwrap_or(-1);
    assert!(kept >= last, "{last} more were acknowledged, but the data is that of number {kept}");
}

#[test]
fn an_expired_session_is_over_and_its_ephemerals_are_gone() {
    let dir = dir();
    let server = Server::start(dir.path(), "tickTime=100\nminSessionTimeout=200");
    let mut owner = server.connect_for(200);
    owner.create("/e", b"", 1);
    let (session, password) = (owner.session, owner.password.clone());
    let mut other = server.connect_for(20_000);
    // Pings keep it alive well beyond its timeout.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(600) {
        owner.ask_ping();
        assert!(other.exists("/e"));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(owner.is_closed(), "a silent session is closed");
    wait_until("the ephemeral to go", || !other.exists("/e"));
    assert_eq!(server.dial().handshake(200, session, &password), Some(0));
}

#[test]
fn connections_beyond_the_limit_of_an_address_are_closed_at_once() {
    let dir = dir();
    let server = Server::start(dir.path(), "maxClientCnxns=3");
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    assert!(server.dial().is_closed());
    let mut first = clients.remove(0);
    assert_eq!(first.ask(CLOSE, &[]).err, 0);
    assert!(first.is_closed());
    wait_until("room for another", || {
        let mut next = server.dial();
        let _ = next.stream.write_all(&framed(&connect_packet(30_000, 0, &[0; 16])));
        next.frame().is_some()
    });
}

#[test]
fn a_packet_of_jute_maxbuffer_passes_and_a_longer_one_closes_the_connection() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut client = server.connect();
    let overhead = request(0, CREATE, &create_body("/big", b"", 0)).len();
    let data = vec![7; 1_048_575 - overhead];
    assert_eq!(client.create("/big", &data, 0).err, 0);
    assert_eq!(client.data("/big"), Some(data));
    client.stream.write_all(&1_048_576u32.to_be_bytes()).unwrap();
    assert!(client.is_closed());
}

#[test]
fn garbage_closes_its_own_connection_and_nothing_else() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut good = server.connect();
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x04\x00\x00\x00\x00",
        b"nope",
    ] {
        let mut bad = server.dial();
        bad.stream.write_all(garbage).unwrap();
        assert!(bad.is_closed(), "{garbage:?}");
    }
    // A request without a whole header.
    let mut bad = server.connect();
    bad.send_frame(&[0; 7]);
    assert!(bad.is_closed());
    assert_eq!(good.create("/still", b"", 0).err, 0);
}

#[test]
fn an_unknown_operation_is_answered_and_closed_and_a_broken_body_only_answered() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    // The server's own operations and what only makes sense in a multi are unknown from a client.
    for op in [0, -1, -10, 13, 20, 10, 999, i32::MIN] {
        let mut client = server.connect();
        let reply = client.ask(op, &[]);
        assert_eq!((reply.err, reply.zxid, reply.body.len()), (-6, -1, 0), "operation {op}");
        assert!(client.is_closed());
    }
    let mut client = server.connect();
    for op in [CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_CHILDREN, 14] {
        assert_eq!(client.ask(op, b"\x7f\xff\xff\xff").err, -5, "operation {op}");
    }
    assert!(client.exists("/"));
}

#[test]
fn auth_is_answered_with_zxid_0_and_a_wrong_scheme_closes() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut client = server.connect();
    client.create("/x", b"", 0);
    let body = |scheme: &[u8]| [&0i32.to_be_bytes()[..], &buffer(scheme), &buffer(b"amy:pw")].concat();
    let reply = client.ask(100, &body(b"digest"));
    assert_eq!((reply.err, reply.zxid), (0, 0));
    let reply = client.ask(100, &body(b"nonsense"));
    assert_eq!((reply.err, reply.zxid), (-115, 0));
    assert!(client.is_closed());
}

#[test]
fn a_client_that_does_not_authenticate_as_demanded_is_told_and_closed() {
    let dir = dir();
    let server = Server::start(dir.path(), "enforce.auth.enabled=true\nenforce.auth.schemes=digest");
    let mut stranger = server.connect();
    let reply = stranger.ask(GET_DATA, &path_and_watch("/", false));
    assert_eq!((reply.err, reply.zxid), (-124, 0));
    assert!(stranger.is_closed());
    let mut friend = server.connect();
    let body = [&0i32.to_be_bytes()[..], &buffer(b"digest"), &buffer(b"amy:pw")].concat();
    assert_eq!(friend.ask(100, &body).err, 0);
    assert_eq!(friend.ask(GET_DATA, &path_and_watch("/", false)).err, 0);
}

#[test]
fn a_connection_without_a_session_is_closed_in_time_and_one_that_closes_its_half_at_once() {
    let dir = dir();
    let server = Server::start(dir.path(), "nio.sessionlessCnxnTimeout=100");
    let start = Instant::now();
    assert!(server.dial().is_closed());
    assert!(start.elapsed() >= Duration::from_millis(95));
    let mut half = server.connect();
    half.stream.shutdown(Shutdown::Write).unwrap();
    assert!(half.is_closed());
    // The session itself goes on: another connection takes it up.
    let mut whole = server.dial();
    assert_eq!(whole.handshake(30_000, half.session, &half.password.clone()), Some(30_000));
}

#[test]
fn a_word_is_answered_even_when_the_client_has_closed_its_half() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut client = server.dial();
    client.stream.write_all(b"ruok").unwrap();
    client.stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = [0; 4];
    std::io::Read::read_exact(&mut client.stream, &mut answer).unwrap();
    assert_eq!(&answer, b"imok");
    assert!(client.is_closed());
    assert!(server.word(b"srvr").contains("Mode: standalone"));
}

#[test]
fn a_client_that_does_not_read_is_held_back_and_does_not_fill_the_memory() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut client = server.connect();
    client.create("/big", &vec![1; 1_000_000], 0);
    let before = server.resident_kb();
    let mut idle = server.connect();
    let frame = framed(&request(1, GET_DATA, &path_and_watch("/big", false)));
    idle.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // A thousand answers are a gigabyte; the requests stop being taken long before.
    let mut sent = 0;
    while sent < 1_000_000 && idle.stream.write_all(&frame.repeat(1000)).is_ok() {
        sent += 1000;
    }
    assert!(client.exists("/big"), "others are served meanwhile");
    let grown = server.resident_kb().saturating_sub(before);
    assert!(grown < 64 * 1024, "the server grew by {grown} kB");
    // Once the client reads, the answers come.
    for _ in 0..200 {
        assert_eq!(idle.reply().body.len(), 1_000_000 + 4 + 68);
    }
}

#[test]
fn snapshots_are_written_while_writes_go_on_and_the_next_start_uses_them() {
    let dir = dir();
    let server = Server::start(dir.path(), "snapCount=50");
    let mut client = server.connect();
    let is_snapshot = |name: &str| name.starts_with("snapshot.") && name != "snapshot.0";
    let snapshots = || {
        std::fs::read_dir(dir.path().join("data/version-2"))
            .unwrap()
            .filter(|e| is_snapshot(&e.as_ref().unwrap().file_name().to_string_lossy()))
            .count()
    };
    let mut n = 0;
    wait_until("a third snapshot", || {
        assert_eq!(client.create(&format!("/s{n}"), b"x", 0).err, 0);
        n += 1;
        snapshots() >= 3
    });
    server.kill();
    let server = Server::start(dir.path(), "snapCount=50");
    let mut client = server.connect();
    assert!((0..n).all(|i| client.exists(&format!("/s{i}"))));
    let log = server.log();
    let replayed = log.split("replayed=").nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(replayed.parse::<i32>().unwrap() <= 110, "{log}");
}

#[test]
fn a_second_server_on_the_same_port_is_refused_with_advice() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let second = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_quoll"))
        .args(["server", &server.address.port().to_string()])
        .arg(second.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("set another clientPort"), "{said}");
}

#[test]
fn a_log_that_cannot_be_written_ends_the_server_with_a_message_and_without_an_acknowledgement() {
    let dir = dir();
    let mut server = Server::start(dir.path(), "snapCount=4");
    let mut client = server.connect();
    assert_eq!(client.create("/a", b"", 0).err, 0);
    // The next log file cannot be made.
    std::fs::remove_dir_all(dir.path().join("data/version-2")).unwrap();
    let mut acknowledged = 0;
    for n in 0..100 {
        client.send_lossy(CREATE, &create_body(&format!("/b{n}"), b"", 0));
        match client.try_reply() {
            Some(reply) => acknowledged += i32::from(reply.err == 0),
            None => break,
        }
    }
    assert!(acknowledged < 100);
    assert_eq!(server.ended().code(), Some(1));
    let log = server.log();
    assert!(log.contains("the transaction log cannot be written, so the server stops"), "{log}");
}

#[test]
fn requests_wait_while_too_many_are_under_way_and_all_are_answered() {
    let dir = dir();
    let throttle = "request_throttle_max_requests=2\nrequest_throttle_stall_time=1\nglobalOutstandingLimit=1";
    let server = Server::start(dir.path(), throttle);
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for (c, client) in clients.iter_mut().enumerate() {
        for n in 0..50 {
            client.send(CREATE, &create_body(&format!("/t{c}-{n}"), b"", 0));
            client.send(GET_DATA, &path_and_watch(&format!("/t{c}-{n}"), false));
        }
    }
    for client in &mut clients {
        for xid in 1..=100 {
            let reply = client.reply();
            assert_eq!((reply.xid, reply.err), (xid, 0));
        }
    }
}

#[test]
fn a_large_request_beyond_the_sum_of_them_closes_its_connection() {
    let dir = dir();
    let server = Server::start(dir.path(), "largeRequestThreshold=1000\nlargeRequestMaxBytes=5000");
    let mut client = server.connect();
    assert_eq!(client.create("/a", &[0; 4000], 0).err, 0);
    assert_eq!(client.create("/b", &[0; 4000], 0).err, 0);
    client.send(CREATE, &create_body("/c", &[0; 6000], 0));
    assert!(client.is_closed());
    assert!(!server.connect().exists("/c"));
}

#[test]
fn clients_of_both_families_are_served_when_no_address_is_configured() {
    let dir = dir();
    let server = Server::start_at(dir.path(), None, "");
    let port = server.address.port();
    let mut addresses = vec![format!("127.0.0.1:{port}")];
    // A machine without IPv6 is served on what it has.
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        addresses.push(format!("[::1]:{port}"));
    }
    for address in addresses {
        let mut client = Client::dial(address.parse().unwrap());
        assert!(client.handshake(30_000, 0, &[0; 16]).is_some());
        let who = client.ask(107, &[]);
        let text = String::from_utf8_lossy(&who.body).into_owned();
        let id = if address.starts_with('[') { "0:0:0:0:0:0:0:1" } else { "127.0.0.1" };
        assert!(text.ends_with(id), "{text:?}");
    }
}

#[test]
fn many_reads_behind_a_write_do_not_fill_the_memory() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    let mut client = server.connect();
    client.create("/big", &vec![1; 1_000_000], 0);
    let before = server.resident_kb();
    let mut bytes = Vec::new();
    for round in 0..6 {
        bytes.extend(framed(&request(round * 101, SET_DATA, &set_body("/", b""))));
        for n in 1..=100 {
            let body = path_and_watch("/big", false);
            bytes.extend(framed(&request(round * 101 + n, GET_DATA, &body)));
        }
    }
    client.stream.write_all(&bytes).unwrap();
    for xid in 0..6 * 101 {
        assert_eq!(client.reply().xid, xid);
    }
    let grown = server.resident_kb().saturating_sub(before);
    assert!(grown < 300 * 1024, "the server grew by {grown} kB");
}

#[test]
fn a_storm_of_connections_leaves_nothing_behind() {
    let dir = dir();
    let server = Server::start(dir.path(), "maxClientCnxns=0");
    for round in 0..10 {
        let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
        for (n, client) in clients.iter_mut().enumerate() {
            client.send(GET_DATA, &path_and_watch("/", true));
            if n % 3 == round % 3 {
                client.send(CLOSE, &[]);
            }
        }
    }
    wait_until("every connection to be forgotten", || {
        let text = server.word(b"srvr");
        text.contains("Connections: 1\n") && text.contains("Outstanding: 0\n")
    });
    assert!(server.word(b"wchs").starts_with("0 connections watching 0 paths"));
}

#[test]
fn sigint_stops_as_sigterm_does() {
    let dir = dir();
    let server = Server::start(dir.path(), "");
    // The greeting came before the signals were taken care of once, and such a signal killed the server.
    let (status, _) = server.signal(Signal::INT);
    assert!(status.success(), "{status}");
}
