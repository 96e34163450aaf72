//! Whoever connects to an election port and is no member, or a broken one.

use super::{
    Seen, all_threads_end,
    election::{start, start_with},
    is_closed, message, patient, wait_until,
};
use crate::{
    peer::{Elections, Header, HeaderError},
    types::ServerId,
};
use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

fn header(server: i64) -> Vec<u8> {
    Header { server: ServerId(server), addresses: vec![("127.0.0.1".into(), 1)] }.to_bytes(false)
}

fn say(to: &Elections, bytes: &[u8]) -> TcpStream {
    let mut stream = patient(TcpStream::connect(to.addresses()[0]).unwrap());
    // The other side may have closed already.
    let _ = stream.write_all(bytes);
    stream
}

fn header_with(version: i64, length: i32, text: &[u8]) -> Vec<u8> {
    [&version.to_be_bytes()[..], &7i64.to_be_bytes(), &length.to_be_bytes(), text].concat()
}

#[test]
fn headers_that_are_none_are_refused() {
    let read = |bytes: &[u8]| Header::read(bytes).unwrap_err();
    for version in [-1, -65_537, -65_534, i64::MIN] {
        assert_eq!(read(&version.to_be_bytes()), HeaderError::Version(version));
    }
    for length in [0, -1, 2049, i32::MAX, i32::MIN] {
        assert_eq!(read(&header_with(-65_536, length, b"")), HeaderError::Length(length));
    }
    for text in ["host", "host:", ":1", "host:x", "host:65536", "host:-1", "[::1]", "[::1:5", "a:1|", "::1:5"]
    {
        let bytes = header_with(-65_535, text.len() as i32, text.as_bytes());
        assert!(matches!(read(&bytes), HeaderError::Address(_)), "{text}");
    }
    assert_eq!(read(&header_with(-65_536, 2, &[0xff, 0xfe])), HeaderError::Text);
}

#[test]
fn a_header_is_read_when_it_is_whole_and_without_addresses_that_mean_any() {
    let text = "0.0.0.0:1|[::]:2|host:3|[fe80::1]:65535|10.0.0.1:0";
    let bytes = [header_with(-65_535, text.len() as i32, text.as_bytes()), b"more".to_vec()].concat();
    let len = bytes.len() - 4;
    for n in 0..len {
        assert_eq!(Header::read(&bytes[..n]), Ok(None));
    }
    let (header, read) = Header::read(&bytes).unwrap().unwrap();
    assert_eq!((header.server, read), (ServerId(7), len));
    let expected = [("host", 3), ("fe80::1", 65_535), ("10.0.0.1", 0)];
    assert_eq!(header.addresses, expected.map(|(h, p)| (h.to_string(), p)));
    let again = Header::read(&header.to_bytes(true)).unwrap().unwrap();
    assert_eq!(again.0, header);
}

#[test]
fn what_is_no_header_closes_the_connection() {
    let seen = Seen::new();
    let ours = start(2, &seen);
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 100],
        header_with(-65_536, i32::MAX, b""),
        header_with(-65_536, -5, b""),
        header_with(-65_536, 4, b"host"),
        // This server itself.
        header(2),
    ] {
        assert!(is_closed(&say(&ours, &bytes)), "{bytes:?}");
    }
    assert!(
        seen.events
            .lock()
            .iter()
            .all(|e| !matches!(e, crate::peer::Event::ElectionUp { peer } if peer.0 == 2))
    );
    ours.shutdown();
    all_threads_end(ours.threads());
}

#[test]
fn who_is_silent_or_slow_is_dropped_and_holds_nobody_up() {
    let seen = Seen::new();
    let ours = start_with(2, &seen, |s| s.handshake_ms = 300);
    let silent = say(&ours, b"");
    let mut slow = say(&ours, &header(3)[..5]);
    let start = Instant::now();
    let _member = say(&ours, &header(4));
    seen.election_up(4);
    assert!(is_closed(&silent));
    for byte in &header(3)[5..] {
        if slow.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    assert!(is_closed(&slow));
    assert!(start.elapsed() >= Duration::from_millis(250));
}

#[test]
fn of_those_that_say_nothing_the_oldest_makes_room() {
    let seen = Seen::new();
    let ours = start_with(2, &seen, |s| (s.half_open_max, s.half_open_per_address_max) = (8, 4));
    let silent: Vec<_> = (0..20).map(|_| say(&ours, b"")).collect();
    for stream in &silent[..16] {
        assert!(is_closed(stream));
    }
    let _member = say(&ours, &header(4));
    seen.election_up(4);
    // Of those that are left some still wait.
    let mut late = &silent[19];
    late.write_all(&header(5)).unwrap();
    seen.election_up(5);
    ours.shutdown();
    assert!(is_closed(&silent[18]));
    all_threads_end(ours.threads());
}

#[test]
fn messages_of_impossible_length_close_the_connection_and_garbage_is_passed_over() {
    let seen = Seen::new();
    let ours = start(2, &seen);
    for length in [0, -1, i32::MIN, i32::MAX, 524_289] {
        let stream = say(&ours, &[header(3), length.to_be_bytes().to_vec()].concat());
        assert!(is_closed(&stream));
        let why = seen.election_down(3);
        assert!(why.contains(&length.to_string()) && why.contains("server 3"), "{why}");
    }
    // Its length may be, its content is none; what follows is heard.
    let large = [&524_288i32.to_be_bytes()[..], &vec![0xee; 524_288]].concat();
    let payload = message(8).to_bytes();
    let good = [&(payload.len() as i32).to_be_bytes()[..], &payload].concat();
    let _stream = say(&ours, &[header(3), vec![0, 0, 0, 1, 9], large, good].concat());
    assert_eq!(seen.heard(3), message(8));
}

#[test]
fn servers_that_are_no_members_are_let_in_up_to_a_number_and_forgotten() {
    let seen = Seen::new();
    let ours = start_with(2, &seen, |s| {
        s.strangers_max = 3;
        s.peers = [(ServerId(99), vec![("127.0.0.1".into(), 1)])].into();
    });
    let mut strangers: Vec<_> = (10..13).map(|id| (id, say(&ours, &header(id)))).collect();
    for (id, _) in &strangers {
        seen.election_up(*id);
    }
    assert!(is_closed(&say(&ours, &header(20))));
    let _member = say(&ours, &header(99));
    seen.election_up(99);
    strangers.remove(0);
    seen.election_down(10);
    wait_until("room for another", || {
        let another = say(&ours, &header(21));
        another.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        !is_closed(&another)
    });
    // Nothing is kept for a server that is neither member nor here.
    ours.send(ServerId(10), &message(1));
}

#[test]
fn who_is_no_member_has_to_say_something_and_a_member_may_be_silent() {
    let seen = Seen::new();
    let ours = start_with(2, &seen, |s| {
        s.handshake_ms = 200;
        s.peers = [(ServerId(3), vec![("127.0.0.1".into(), 1)])].into();
    });
    let mut member = say(&ours, &header(3));
    let silent = say(&ours, &header(4));
    // Taken for the number of a server of before the versions of the protocol.
    let scanner = say(&ours, b"GET / HT");
    let meaningless = say(&ours, &[header(5), vec![0, 0, 0, 1, 9]].concat());
    for stream in [&silent, &scanner, &meaningless] {
        assert!(is_closed(stream));
    }
    let why = seen.election_down(4);
    assert!(why.contains("no member and said nothing within 200 ms"), "{why}");
    let payload = message(8).to_bytes();
    member.write_all(&[&(payload.len() as i32).to_be_bytes()[..], &payload].concat()).unwrap();
    assert_eq!(seen.heard(3), message(8));
}

#[test]
fn one_that_takes_the_place_of_another_ends_it() {
    let seen = Seen::new();
    let ours = start(2, &seen);
    let first = say(&ours, &header(3));
    seen.election_up(3);
    let second = say(&ours, &header(3));
    seen.election_up(3);
    assert!(is_closed(&first));
    drop(second);
    let why = seen.election_down(3);
    assert!(why.contains("closed it"), "{why}");
    assert!(seen.events.lock().is_empty());
}

#[test]
fn shutting_down_ends_connections_and_attempts() {
    let seen = Seen::new();
    let ours = start_with(2, &seen, |s| {
        s.connect_ms = 60_000;
        // Nobody answers there (documentation addresses), or it is refused at once.
        s.peers = [(ServerId(1), vec![("192.0.2.1".into(), 9)])].into();
    });
    ours.connect_all();
    let member = say(&ours, &header(3));
    seen.election_up(3);
    let silent = say(&ours, b"");
    let start = Instant::now();
    ours.shutdown();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(is_closed(&member));
    assert!(is_closed(&silent));
    assert!(TcpStream::connect(ours.addresses()[0]).is_err());
    all_threads_end(ours.threads());
}
