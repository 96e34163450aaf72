//! Members that speak the protocol.

use super::{PATIENCE, Seen, all_threads_end, message, patient, read_exact};
use crate::{
    peer::{Addresses, ElectionSettings, Elections, Header},
    types::ServerId,
    zab::election::Notification,
};
use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
};

pub(super) fn start(me: i64, seen: &Arc<Seen>) -> Elections {
    start_with(me, seen, |_| {})
}

pub(super) fn start_with(me: i64, seen: &Arc<Seen>, change: impl Fn(&mut ElectionSettings)) -> Elections {
    let mut settings = ElectionSettings::new(ServerId(me));
    settings.bind = vec![("127.0.0.1".into(), 0)];
    settings.advertised = settings.bind.clone();
    change(&mut settings);
    Elections::start(settings, seen.clone()).unwrap()
}

pub(super) fn host_port(address: SocketAddr) -> (String, u16) {
    (address.ip().to_string(), address.port())
}

fn at(elections: &Elections) -> (String, u16) {
    host_port(elections.addresses()[0])
}

/// The message of this round, with its length.
fn framed(round: i64) -> Vec<u8> {
    let payload = message(round).to_bytes();
    [&(payload.len() as i32).to_be_bytes()[..], &payload].concat()
}

fn read_message(stream: &TcpStream) -> Notification {
    let len = i32::from_be_bytes(read_exact(stream, 4).try_into().unwrap());
    Notification::read(&read_exact(stream, len as usize)).unwrap()
}

/// Servers 1 and 2 that know each other, and the first word of the given one.
fn pair(first: i64) -> ([Arc<Seen>; 2], [Elections; 2]) {
    let seen = [Seen::new(), Seen::new()];
    let both = [start(1, &seen[0]), start(2, &seen[1])];
    let peers: Addresses = (1..).map(ServerId).zip(both.iter().map(|e| vec![at(e)])).collect();
    both.iter().for_each(|e| e.set_peers(peers.clone()));
    both[first as usize - 1].send(ServerId(3 - first), &message(first));
    (seen, both)
}

#[test]
fn whoever_speaks_first_one_connection_carries_both_ways() {
    for first in [1, 2] {
        let (seen, both) = pair(first);
        let [me, other] = [first as usize - 1, 2 - first as usize];
        assert_eq!(seen[other].heard(first), message(first));
        both[other].send(ServerId(first), &message(77));
        assert_eq!(seen[me].heard(3 - first), message(77));
        for round in 100..120 {
            both[me].send(ServerId(3 - first), &message(round));
            assert_eq!(seen[other].heard(first), message(round));
        }
        seen[0].election_up(2);
        seen[1].election_up(1);
        for elections in both {
            elections.shutdown();
            all_threads_end(elections.threads());
        }
    }
}

#[test]
fn both_speaking_at_once_hear_each_other() {
    for _ in 0..20 {
        let (seen, both) = pair(1);
        both[1].send(ServerId(1), &message(2));
        assert_eq!(seen[0].heard(2), message(2));
        assert_eq!(seen[1].heard(1), message(1));
    }
}

#[test]
fn a_member_that_starts_anew_is_told_the_last_message_again() {
    for restarted in [1i64, 2] {
        let (seen, both) = pair(1);
        let [gone, stays] = [restarted as usize - 1, 2 - restarted as usize];
        let id_of_stays = 3 - restarted;
        assert_eq!(seen[1].heard(1), message(1));
        both[stays].send(ServerId(restarted), &message(5));
        assert_eq!(seen[gone].heard(id_of_stays), message(5));

        let mut both: Vec<Option<Elections>> = both.into_iter().map(Some).collect();
        drop(both[gone].take());
        let why = seen[stays].election_down(restarted);
        assert!(why.contains(&format!("server {restarted} at 127.0.0.1:")), "{why}");
        let stays_at = at(both[stays].as_ref().unwrap());
        let seen_anew = Seen::new();
        let anew = start_with(restarted, &seen_anew, |s| {
            s.peers = [(ServerId(id_of_stays), vec![stays_at.clone()])].into();
        });
        let peers = [(ServerId(restarted), vec![at(&anew)])].into();
        both[stays].as_ref().unwrap().set_peers(peers);
        anew.connect_all();
        assert_eq!(seen_anew.heard(id_of_stays), message(5));
        anew.send(ServerId(id_of_stays), &message(6));
        assert_eq!(seen[stays].heard(restarted), message(6));
    }
}

#[test]
fn a_member_that_cannot_be_reached_is_tried_again_with_the_next_message() {
    let seen = Seen::new();
    let ours = start(2, &seen);
    // Taken, and free again: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    ours.set_peers([(ServerId(1), vec![host_port(free)])].into());
    ours.send(ServerId(1), &message(1));
    super::wait_until("the attempt is over", || !ours.is_connecting(ServerId(1)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // One of its addresses suffices, and names are looked up.
    let port = listener.local_addr().unwrap().port();
    ours.set_peers([(ServerId(1), vec![host_port(free), ("localhost".into(), port)])].into());
    ours.send(ServerId(1), &message(2));
    let stream = patient(listener.accept().unwrap().0);
    read_exact(&stream, 20 + format!("127.0.0.1:{}", at(&ours).1).len());
    assert_eq!(read_message(&stream), message(2));
}

#[test]
fn a_larger_server_that_connects_in_either_version_and_byte_by_byte_is_heard() {
    let seen = Seen::new();
    let ours = start_with(2, &seen, |s| s.peers = [(ServerId(3), vec![("127.0.0.1".into(), 1)])].into());
    for (round, several) in [(10, false), (20, true)] {
        let header =
            Header { server: ServerId(3), addresses: vec![("127.0.0.1".into(), 1), ("::1".into(), 2)] };
        let bytes = header.to_bytes(several);
        let text: &[u8] = if several { b"127.0.0.1:1|[::1]:2" } else { b"127.0.0.1:1" };
        assert_eq!(bytes[20..], *text);
        let mut stream = patient(TcpStream::connect(ours.addresses()[0]).unwrap());
        stream.set_nodelay(true).unwrap();
        for byte in [bytes, framed(round), framed(round + 1)].concat() {
            stream.write_all(&[byte]).unwrap();
        }
        assert_eq!(seen.heard(3), message(round));
        assert_eq!(seen.heard(3), message(round + 1));
        seen.election_up(3);
        ours.send(ServerId(3), &message(round + 2));
        if several {
            // What was last said to the connection before.
            assert_eq!(read_message(&stream), message(12));
        }
        assert_eq!(read_message(&stream), message(round + 2));
    }
}

#[test]
fn a_smaller_server_that_connects_is_turned_away_and_connected_to() {
    for several in [false, true] {
        let seen = Seen::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = listener.local_addr().unwrap();
        // It is no member: where it is, is known from what it says.
        let ours = start_with(2, &seen, |s| s.multi_address = several);
        let header = Header { server: ServerId(1), addresses: vec![host_port(theirs)] };
        let mut stream = patient(TcpStream::connect(ours.addresses()[0]).unwrap());
        stream.write_all(&header.to_bytes(several)).unwrap();
        assert!(super::is_closed(&stream));
        let (back, _) = listener.accept().unwrap();
        let mut back = patient(back);
        let text = format!("127.0.0.1:{}", at(&ours).1);
        let mut expected = (-65_536i64 + i64::from(several)).to_be_bytes().to_vec();
        expected.extend(2i64.to_be_bytes());
        expected.extend((text.len() as i32).to_be_bytes());
        expected.extend(text.as_bytes());
        assert_eq!(read_exact(&back, expected.len()), expected);
        seen.election_up(1);
        back.write_all(&framed(9)).unwrap();
        assert_eq!(seen.heard(1), message(9));
        ours.send(ServerId(1), &message(10));
        assert_eq!(read_message(&back), message(10));
    }
}

#[test]
fn a_member_is_connected_to_where_the_configuration_says_before_where_it_says() {
    let seen = Seen::new();
    let configured = TcpListener::bind("127.0.0.1:0").unwrap();
    let claimed = TcpListener::bind("127.0.0.1:0").unwrap();
    claimed.set_nonblocking(true).unwrap();
    let ours = start(2, &seen);
    let peers =
        |listener: &TcpListener| [(ServerId(1), vec![host_port(listener.local_addr().unwrap())])].into();
    ours.set_peers(peers(&configured));
    let header = Header { server: ServerId(1), addresses: vec![host_port(claimed.local_addr().unwrap())] };
    let say = || {
        let mut stream = patient(TcpStream::connect(ours.addresses()[0]).unwrap());
        stream.write_all(&header.to_bytes(false)).unwrap();
        assert!(super::is_closed(&stream));
    };
    say();
    let (back, _) = configured.accept().unwrap();
    seen.election_up(1);
    assert!(claimed.accept().is_err());
    // Where nobody is there any more, it may have moved.
    drop((back, configured));
    seen.election_down(1);
    say();
    super::wait_until("connected where it says", || claimed.accept().is_ok());
}

#[test]
fn a_message_for_a_larger_server_makes_it_connect() {
    let seen = Seen::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = listener.local_addr().unwrap();
    let ours = start_with(2, &seen, |s| s.peers = [(ServerId(3), vec![host_port(theirs)])].into());
    ours.send(ServerId(3), &message(1));
    let stream = patient(listener.accept().unwrap().0);
    let header = Header { server: ServerId(2), addresses: vec![at(&ours)] }.to_bytes(false);
    assert_eq!(read_exact(&stream, header.len()), header);
    assert!(super::is_closed(&stream));
    let mut mine = patient(TcpStream::connect(ours.addresses()[0]).unwrap());
    let me = Header { server: ServerId(3), addresses: vec![host_port(theirs)] };
    mine.write_all(&me.to_bytes(false)).unwrap();
    assert_eq!(read_message(&mine), message(1));
}

#[test]
fn observers_without_a_number_get_one_each_and_are_answered() {
    let seen = Seen::new();
    let ours = start(2, &seen);
    let header = Header { server: ServerId(i64::MAX), addresses: vec![("127.0.0.1".into(), 1)] };
    let mut streams = Vec::new();
    for name in [-1, -2] {
        let mut stream = patient(TcpStream::connect(ours.addresses()[0]).unwrap());
        stream.write_all(&[header.to_bytes(false), framed(-name)].concat()).unwrap();
        assert_eq!(seen.heard(name), message(-name));
        streams.push(stream);
    }
    for (name, stream) in [-1, -2].into_iter().zip(streams) {
        ours.send(ServerId(name), &message(50 - name));
        assert_eq!(read_message(&stream), message(50 - name));
    }
}

#[test]
fn a_server_of_before_the_versions_is_understood() {
    let seen = Seen::new();
    let ours = start(2, &seen);
    let mut stream = patient(TcpStream::connect(ours.addresses()[0]).unwrap());
    stream.write_all(&[&5i64.to_be_bytes()[..], &framed(3)].concat()).unwrap();
    assert_eq!(seen.heard(5), message(3));
}

#[test]
fn of_what_waits_for_a_peer_that_does_not_read_the_newest_is_sent() {
    let seen = Seen::new();
    let ours = start(2, &seen);
    let mut stream = patient(TcpStream::connect(ours.addresses()[0]).unwrap());
    let header = Header { server: ServerId(3), addresses: vec![("127.0.0.1".into(), 1)] };
    stream.write_all(&header.to_bytes(false)).unwrap();
    seen.election_up(3);
    let mut large = message(0);
    large.config = Some("x".repeat(200_000));
    let start = std::time::Instant::now();
    for round in 1..=1000 {
        large.vote.round = round;
        ours.send(ServerId(3), &large);
    }
    assert!(start.elapsed() < PATIENCE);
    // 200 MB were sent; what is read ends in the last of them and jumps over most.
    let (mut count, mut last) = (0, 0);
    while last < 1000 {
        let round = read_message(&stream).vote.round;
        assert!(round > last);
        (count, last) = (count + 1, round);
    }
    assert!(count < 500, "{count} messages waited");
}
