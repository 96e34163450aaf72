//! The connection to a leader that is not there, or not as it should be.

use super::{Seen, all_threads_end, patient, wait_until};
use crate::{
    peer::{Event, LeaderConn, LeaderSettings},
    tree::TreeOptions,
    types::Zxid,
    zab::Packet,
};
use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

fn connect(addresses: &[SocketAddr], seen: &Arc<Seen>, change: impl Fn(&mut LeaderSettings)) -> LeaderConn {
    let mut settings = LeaderSettings::default();
    change(&mut settings);
    let addresses = addresses.iter().map(|a| super::election::host_port(*a)).collect();
    LeaderConn::connect(7, addresses, settings, TreeOptions::default(), seen.clone())
}

/// A leader that says this and goes on listening.
fn leader(bytes: &[u8], seen: &Arc<Seen>) -> (TcpStream, LeaderConn) {
    leader_with(bytes, seen, |_| {})
}

fn leader_with(
    bytes: &[u8],
    seen: &Arc<Seen>,
    change: impl Fn(&mut LeaderSettings),
) -> (TcpStream, LeaderConn) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let conn = connect(&[listener.local_addr().unwrap()], seen, change);
    let mut stream = patient(listener.accept().unwrap().0);
    stream.write_all(bytes).unwrap();
    assert!(matches!(seen.first(), Event::LeaderUp { attempt: 7 }));
    (stream, conn)
}

fn down(seen: &Seen) -> String {
    seen.wait("end", |e| match e {
        Event::LeaderDown { attempt: 7, why } => Some(why.clone()),
        _ => None,
    })
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn where_nobody_listens_it_is_tried_as_often_as_said_and_the_reason_is_told() {
    let seen = Seen::new();
    let address = free();
    let start = Instant::now();
    let conn = connect(&[address], &seen, |s| (s.tries, s.retry_delay_ms) = (5, 30));
    let why = down(&seen);
    assert!(start.elapsed() >= Duration::from_millis(4 * 30));
    assert!(why.contains(&address.to_string()) && why.contains("refused"), "{why}");
    all_threads_end(&conn.threads());
    // The last word has been said.
    drop(conn);
    assert!(seen.events.lock().is_empty());
}

#[test]
fn a_leader_that_begins_to_listen_meanwhile_is_found_and_so_is_one_of_several_addresses() {
    let seen = Seen::new();
    let address = free();
    let conn = connect(&[address, free()], &seen, |s| (s.tries, s.retry_delay_ms) = (500, 10));
    std::thread::sleep(Duration::from_millis(50));
    let listener = TcpListener::bind(address).unwrap();
    listener.accept().unwrap();
    assert!(matches!(seen.first(), Event::LeaderUp { .. }));
    drop(conn);
    down(&seen);
}

#[test]
fn the_time_to_connect_is_bounded_and_closing_ends_the_attempt() {
    let seen = Seen::new();
    let start = Instant::now();
    let conn =
        connect(&[free()], &seen, |s| (s.tries, s.retry_delay_ms, s.connect_ms) = (1_000_000, 50, 200));
    down(&seen);
    assert!(start.elapsed() < Duration::from_secs(10));
    all_threads_end(&conn.threads());

    let conn =
        connect(&[free()], &seen, |s| (s.tries, s.retry_delay_ms, s.connect_ms) = (1_000_000, 50, 600_000));
    let threads = conn.threads();
    drop(conn);
    assert!(down(&seen).contains("not wanted"));
    all_threads_end(&threads);
}

#[test]
fn a_name_that_has_no_address_is_told() {
    let seen = Seen::new();
    let settings = LeaderSettings { connect_ms: 1000, ..LeaderSettings::default() };
    let addresses = vec![("no-such-host.invalid".into(), 1)];
    let _conn = LeaderConn::connect(7, addresses, settings, TreeOptions::default(), seen.clone());
    let why = down(&seen);
    assert!(why.contains("no-such-host.invalid:1"), "{why}");
}

#[test]
fn silence_ends_the_connection() {
    let seen = Seen::new();
    let (_leader, _conn) = leader_with(b"", &seen, |s| s.read_timeout_ms = 50);
    assert!(down(&seen).contains("said nothing for 50 ms"));
}

#[test]
fn what_is_no_packet_ends_the_connection() {
    for bytes in [&b"HTTP/1.1 200 OK\r\n\r\nnonsense"[..], &[0xfe; 40]] {
        let seen = Seen::new();
        let (_leader, conn) = leader(bytes, &seen);
        let why = down(&seen);
        assert!(why.contains("no packet"), "{why}");
        all_threads_end(&conn.threads());
    }
}

#[test]
fn trees_that_are_none_end_the_connection() {
    let snap = Packet::Snap { zxid: Zxid(9) }.to_bytes();
    // No sessions, no ACLs.
    let empty = [0; 8];
    let root = [&[0; 4][..], &(-1i32).to_be_bytes(), &(-1i64).to_be_bytes(), &[0; 60]].concat();
    let end = b"\0\0\0\x01/\0\0\0\x0aBenWasHere";
    let cases: Vec<(Vec<u8>, &str)> = vec![
        ((-1i32).to_be_bytes().to_vec(), "-1 sessions"),
        ([&[0; 4][..], &(-7i32).to_be_bytes()].concat(), "-7 ACLs"),
        ([&empty[..], &i32::MAX.to_be_bytes()].concat(), "unreasonable length"),
        ([&empty[..], &root, &root, b"\0\0\0\x01/\0\0\0\x0aBenWasThere"].concat(), "BenWasHere"),
        ([&empty[..], &root, b"\0\0\0\x01/\0\0\0\x0bBenWasHere"].concat(), "BenWasHere"),
        ([&empty[..], &[0, 0, 0, 4], b"/a/b", &root[4..], end].concat(), "comes before its parent"),
        ([&[0; 4][..], &[0, 0, 0, 1], &(-4i64).to_be_bytes(), &[0; 4], end].concat(), "no number of an ACL"),
    ];
    for (bytes, expected) in cases {
        let seen = Seen::new();
        let (_leader, conn) = leader(&[&snap[..], &bytes].concat(), &seen);
        assert!(matches!(seen.first(), Event::LeaderPacket { packet: Packet::Snap { .. }, .. }));
        let why = down(&seen);
        assert!(why.contains(expected), "{expected}: {why}");
        assert!(seen.events.lock().is_empty());
        all_threads_end(&conn.threads());
    }
}

#[test]
fn a_tree_that_arrives_byte_by_byte_or_breaks_off_is_noticed() {
    let snap = Packet::Snap { zxid: Zxid(9) }.to_bytes();
    let root = [&[0; 4][..], &(-1i32).to_be_bytes(), &(-1i64).to_be_bytes(), &[0; 60]].concat();
    let whole = [&snap[..], &[0; 8], &root, b"\0\0\0\x01/\0\0\0\x0aBenWasHere", &Packet::UpToDate.to_bytes()]
        .concat();
    let seen = Seen::new();
    let (mut stream, _conn) = leader(b"", &seen);
    stream.set_nodelay(true).unwrap();
    whole.iter().for_each(|b| stream.write_all(&[*b]).unwrap());
    assert!(matches!(seen.first(), Event::LeaderPacket { packet: Packet::Snap { .. }, .. }));
    assert!(matches!(seen.first(), Event::Snapshot { attempt: 7, zxid: Zxid(9), .. }));
    assert!(matches!(seen.first(), Event::LeaderPacket { packet: Packet::UpToDate, .. }));

    for cut in [20, 24, 30, 60, whole.len() - 21] {
        let seen = Seen::new();
        let (stream, _conn) = leader(&whole[..cut], &seen);
        drop(stream);
        assert!(down(&seen).contains("SNAP"), "{cut}");
    }
}

#[test]
fn closing_while_a_tree_is_read_ends_the_thread() {
    let seen = Seen::new();
    let (_leader, conn) = leader(&[&Packet::Snap { zxid: Zxid(9) }.to_bytes()[..], &[0; 8]].concat(), &seen);
    seen.first();
    let threads = conn.threads();
    drop(conn);
    assert!(down(&seen).contains("closed by this server"));
    all_threads_end(&threads);
    wait_until("nothing more", || seen.events.lock().is_empty());
}
