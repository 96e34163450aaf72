//! A learner's connection, both ends ours, and strangers at the quorum port.

use super::{Seen, all_threads_end, is_closed, patient, wait_until};
use crate::{
    peer::{Event, LeaderConn, LeaderSettings, LinkSettings, Links, Source},
    storage::SnapshotStream,
    tree::{Tree, TreeOptions},
    types::{ServerId, SessionId, StatPersisted, Zxid},
    zab::{LearnerInfo, LinkId, PROTOCOL_VERSION, Packet},
};
use bytes::Bytes;
use std::{
    io::{self, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

fn start(seen: &Arc<Seen>, change: impl Fn(&mut LinkSettings)) -> Links {
    let mut settings = LinkSettings { bind: vec![("127.0.0.1".into(), 0)], ..LinkSettings::default() };
    change(&mut settings);
    Links::start(settings, seen.clone()).unwrap()
}

fn connect(to: &Links, seen: &Arc<Seen>) -> LeaderConn {
    let addresses = vec![super::election::host_port(to.addresses()[0])];
    LeaderConn::connect(1, addresses, LeaderSettings::default(), options(), seen.clone())
}

fn options() -> TreeOptions {
    TreeOptions { hash_seed: 1, digest: true, ..TreeOptions::default() }
}

fn hello() -> Packet {
    let info = LearnerInfo { server: ServerId(2), protocol: PROTOCOL_VERSION, config_version: 0 };
    Packet::LearnerInfo { observer: false, zxid: Zxid(0x1_0000_0000), info: Some(info) }
}

fn raw(to: &Links, bytes: &[u8]) -> TcpStream {
    let mut stream = patient(TcpStream::connect(to.addresses()[0]).unwrap());
    let _ = stream.write_all(bytes);
    stream
}

fn link_up(seen: &Seen) -> LinkId {
    seen.wait("link", |e| match e {
        Event::LinkUp { link, .. } => Some(*link),
        _ => None,
    })
}

fn link_packet(seen: &Seen, of: LinkId) -> Packet {
    seen.wait("packet of a learner", |e| match e {
        Event::LinkPacket { link, packet } if *link == of => Some(packet.clone()),
        _ => None,
    })
}

fn link_down(seen: &Seen, of: LinkId) -> String {
    seen.wait("end of a link", |e| match e {
        Event::LinkDown { link, why } if *link == of => Some(why.clone()),
        _ => None,
    })
}

fn leader_packet(seen: &Seen) -> Packet {
    match seen.first() {
        Event::LeaderPacket { attempt: 1, packet } => packet,
        other => panic!("{other:?}"),
    }
}

#[test]
fn packets_go_both_ways_in_order() {
    let (at_leader, at_learner) = (Seen::new(), Seen::new());
    let links = start(&at_leader, |_| {});
    let conn = connect(&links, &at_learner);
    assert!(matches!(at_learner.first(), Event::LeaderUp { attempt: 1 }));
    conn.send(hello().to_bytes());
    let link = link_up(&at_leader);
    assert_eq!(link_packet(&at_leader, link), hello());
    let entry = |n: i64| Bytes::from(vec![n as u8; (n as usize * 7919) % 300_000]);
    for n in 0..200 {
        links.send(link, Packet::Proposal { zxid: Zxid(n), entry: entry(n) }.to_bytes());
        conn.send(Packet::Ack { zxid: Zxid(n) }.to_bytes());
    }
    for n in 0..200 {
        assert_eq!(leader_packet(&at_learner), Packet::Proposal { zxid: Zxid(n), entry: entry(n) });
        assert_eq!(link_packet(&at_leader, link), Packet::Ack { zxid: Zxid(n) });
    }
    let threads = conn.threads();
    conn.close();
    assert!(
        matches!(at_learner.first(), Event::LeaderDown { attempt: 1, why } if why.contains("closed by this server"))
    );
    let why = link_down(&at_leader, link);
    assert!(why.contains("learner at 127.0.0.1:") && why.contains("the peer closed it"), "{why}");
    all_threads_end(&threads);
    links.shutdown();
    all_threads_end(links.threads());
}

#[test]
fn the_leader_closes_a_link() {
    let (at_leader, at_learner) = (Seen::new(), Seen::new());
    let links = start(&at_leader, |_| {});
    let conn = connect(&links, &at_learner);
    at_learner.first();
    conn.send(hello().to_bytes());
    let link = link_up(&at_leader);
    links.close(link);
    assert!(link_down(&at_leader, link).contains("closed by this server"));
    assert!(
        matches!(at_learner.first(), Event::LeaderDown { why, .. } if why.contains("the peer closed it"))
    );
    // Nothing happens to what is sent to a link that is gone.
    links.send(link, hello().to_bytes());
    links.close(link);
}

/// Writes a whole tree, as a leader does behind a SNAP.
struct TreeSource {
    tree: Tree,
    sessions: Vec<(SessionId, i32)>,
}

impl Source for TreeSource {
    fn write_to(mut self: Box<Self>, out: &mut dyn Write) -> io::Result<()> {
        let mut walk = self.tree.begin_snapshot().unwrap();
        let mut stream = SnapshotStream::for_walk(out, &walk, &self.sessions)?;
        let mut more = true;
        while more {
            more = walk
                .next_chunk(&self.tree, 100, &mut |n| stream.node(n.path, n.data, n.acl_index, &n.stat))
                .unwrap();
            stream.drain()?;
        }
        self.tree.end_snapshot(walk);
        stream.finish()
    }
}

fn large_tree(count: u32) -> Tree {
    let mut loader = Tree::loader(options());
    let stat = StatPersisted { czxid: 5, mzxid: 6, ..StatPersisted::default() };
    loader.node("", None, -1, &stat).unwrap();
    for n in 0..count {
        let path = match n % 100 {
            0 => format!("/{n:06}"),
            k => format!("/{:06}/{k}", n - k),
        };
        let data = vec![n as u8; n as usize % 500];
        loader.node(&path, (n % 7 > 0).then_some(&data[..]), -1, &stat).unwrap();
    }
    loader.finish(Zxid(0x2_0000_0099))
}

#[test]
fn a_tree_of_20_000_znodes_is_sent_in_its_place_and_is_equal() {
    let (at_leader, at_learner) = (Seen::new(), Seen::new());
    let links = start(&at_leader, |_| {});
    let conn = connect(&links, &at_learner);
    at_learner.first();
    conn.send(hello().to_bytes());
    let link = link_up(&at_leader);
    let tree = large_tree(20_000);
    let (digest, nodes, size) = (tree.digest(), tree.node_count(), tree.data_size_bytes());
    assert!(nodes > 20_000 && size > 4_000_000);
    let zxid = Zxid(0x2_0000_0099);
    let sessions: Vec<_> = (1..500).map(|n| (SessionId(n), n as i32 * 100)).collect();
    links.send(link, Packet::Snap { zxid }.to_bytes());
    links.send_source(link, Box::new(TreeSource { tree, sessions: sessions.clone() }));
    for n in 0..1000 {
        links.send(link, Packet::Commit { zxid: Zxid(n) }.to_bytes());
    }
    assert_eq!(leader_packet(&at_learner), Packet::Snap { zxid });
    let Event::Snapshot { attempt: 1, zxid: of, tree, sessions: got } = at_learner.first() else {
        panic!("no tree")
    };
    assert_eq!((of, got), (zxid, sessions));
    assert_eq!((tree.digest(), tree.node_count(), tree.data_size_bytes()), (digest, nodes, size));
    for n in 0..1000 {
        assert_eq!(leader_packet(&at_learner), Packet::Commit { zxid: Zxid(n) });
    }
}

#[test]
fn a_learner_that_does_not_read_keeps_nobody_and_is_closed() {
    let seen = Seen::new();
    let links = start(&seen, |s| s.send.queued_max = 1 << 20);
    let stream = raw(&links, &hello().to_bytes());
    let link = link_up(&seen);
    let packet = Packet::Proposal { zxid: Zxid(1), entry: vec![0; 100_000].into() }.to_bytes();
    let start = Instant::now();
    for _ in 0..600 {
        links.send(link, packet.clone());
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    let why = link_down(&seen, link);
    assert!(why.contains("does not keep up"), "{why}");
    drop(stream);
    links.shutdown();
    all_threads_end(links.threads());
}

#[test]
fn packets_that_are_none_close_their_link() {
    let seen = Seen::new();
    let links = start(&seen, |_| {});
    let packet = |length: i32| {
        let mut bytes = 2i32.to_be_bytes().to_vec();
        bytes.extend(7i64.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend([0; 4]);
        bytes
    };
    for bad in [packet(i32::MAX), packet(-2), packet(3_000_000)] {
        let stream = raw(&links, &[&hello().to_bytes()[..], &bad].concat());
        let link = link_up(&seen);
        assert_eq!(link_packet(&seen, link), hello());
        let why = link_down(&seen, link);
        assert!(why.contains("no packet"), "{why}");
        assert!(is_closed(&stream));
        // Of a stranger the owner does not even hear.
        assert!(is_closed(&raw(&links, &bad)));
    }
    // Packets, but not what a learner says first.
    assert!(is_closed(&raw(&links, &[0xff; 64])));
    assert!(is_closed(&raw(&links, &Packet::Ack { zxid: Zxid(1) }.to_bytes())));
    assert!(is_closed(&raw(&links, b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")));
    assert!(seen.events.lock().is_empty(), "{:?}", seen.events.lock());
}

#[test]
fn identities_without_end_are_not_collected() {
    let seen = Seen::new();
    let links = start(&seen, |_| {});
    let mut bytes = 1i32.to_be_bytes().to_vec();
    bytes.extend((-1i64).to_be_bytes());
    bytes.extend(0i32.to_be_bytes());
    bytes.extend(4096i32.to_be_bytes());
    // Each may be as long as data; all of them may not.
    bytes.extend((2_000_000i32).to_be_bytes());
    bytes.extend(vec![b'x'; 2_000_000]);
    bytes.extend((2_000_000i32).to_be_bytes());
    let mut stream = raw(&links, &[&hello().to_bytes()[..], &bytes].concat());
    let link = link_up(&seen);
    while stream.write_all(&[b'x'; 100_000]).is_ok() {}
    let why = link_down(&seen, link);
    assert!(why.contains("more than"), "{why}");
}

#[test]
fn a_stranger_that_says_nothing_or_too_slowly_is_dropped() {
    let seen = Seen::new();
    let links = start(&seen, |s| s.first_packet_ms = 200);
    let silent = raw(&links, b"");
    let mut slow = raw(&links, b"");
    for byte in &hello().to_bytes()[..39] {
        if slow.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(is_closed(&silent));
    assert!(is_closed(&slow));
    // Who has said something may be silent afterwards.
    let stream = raw(&links, &hello().to_bytes());
    let link = link_up(&seen);
    std::thread::sleep(Duration::from_millis(400));
    links.send(link, Packet::UpToDate.to_bytes());
    assert_eq!(super::read_exact(&stream, 20), Packet::UpToDate.to_bytes());
}

#[test]
fn of_strangers_the_oldest_makes_room_and_links_have_a_bound() {
    let seen = Seen::new();
    let links = start(&seen, |s| (s.strangers_max, s.links_max) = (4, 6));
    let silent: Vec<_> = (0..10).map(|_| raw(&links, b"")).collect();
    for stream in &silent[..6] {
        assert!(is_closed(stream));
    }
    let mut known = Vec::new();
    for mut stream in &silent[6..] {
        stream.write_all(&hello().to_bytes()).unwrap();
        known.push(link_up(&seen));
    }
    let more = [raw(&links, &hello().to_bytes()), raw(&links, &hello().to_bytes())];
    known.extend([link_up(&seen), link_up(&seen)]);
    assert!(is_closed(&raw(&links, &hello().to_bytes())));
    drop(more);
    link_down(&seen, known[4]);
    link_down(&seen, known[5]);
    wait_until("there is room", || {
        let stream = raw(&links, &hello().to_bytes());
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        !is_closed(&stream)
    });
}

#[test]
fn shutting_down_closes_all_and_a_port_that_is_taken_is_named() {
    let seen = Seen::new();
    let links = start(&seen, |_| {});
    let known = raw(&links, &hello().to_bytes());
    let link = link_up(&seen);
    let silent = raw(&links, b"");
    let (host, port) = super::election::host_port(links.addresses()[0]);
    let settings =
        LinkSettings { bind: vec![(host, port)], bind_tries: 2, bind_retry_ms: 1, ..LinkSettings::default() };
    let e = Links::start(settings, seen.clone()).unwrap_err().to_string();
    assert!(e.contains(&format!("127.0.0.1:{port}")) && e.contains("2 times"), "{e}");
    links.shutdown();
    assert!(link_down(&seen, link).contains("shutting down"));
    assert!(is_closed(&known));
    assert!(is_closed(&silent));
    all_threads_end(links.threads());
}
