//! Connections that their owner reads.

use super::{PATIENCE, Seen, all_threads_end, patient, wait_until};
use crate::{
    peer::{Event, LeaderConn, LeaderSettings, LinkSettings, Links, Poller},
    tree::TreeOptions,
    types::{ServerId, Zxid},
    zab::{LearnerInfo, LinkId, PROTOCOL_VERSION, Packet},
};
use bytes::Bytes;
use std::{io::Write, net::TcpStream, sync::Arc, time::Instant};

/// An owner that reads.
struct Owner {
    poller: Poller,
    seen: Arc<Seen>,
    events: Vec<Event>,
}

impl Owner {
    fn new() -> Self {
        Self { poller: Poller::new().unwrap(), seen: Seen::new(), events: Vec::new() }
    }

    fn links(&self) -> Links {
        let settings = LinkSettings {
            bind: vec![("127.0.0.1".into(), 0)],
            adopter: Some(self.poller.adopter()),
            ..LinkSettings::default()
        };
        Links::start(settings, self.seen.clone()).unwrap()
    }

    fn connect(&self, to: &Links) -> LeaderConn {
        let settings = LeaderSettings { adopter: Some(self.poller.adopter()), ..LeaderSettings::default() };
        let addresses = vec![super::election::host_port(to.addresses()[0])];
        LeaderConn::connect(1, addresses, settings, TreeOptions::default(), self.seen.clone())
    }

    /// The next event that it has read itself.
    fn next(&mut self) -> Event {
        let deadline = Instant::now() + PATIENCE;
        while self.events.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing comes");
            self.poller.adopt(&mut self.events);
            self.poller.poll(Some(left), &mut self.events);
        }
        self.events.remove(0)
    }

    fn packet(&mut self) -> Packet {
        match self.next() {
            Event::LinkPacket { packet, .. } | Event::LeaderPacket { packet, .. } => packet,
            other => panic!("{other:?}"),
        }
    }

    /// The link of which its thread has told before it handed it over.
    fn link_up(&self) -> LinkId {
        let link =
            self.seen.wait("link", |e| if let Event::LinkUp { link, .. } = e { Some(*link) } else { None });
        assert!(matches!(self.seen.first(), Event::LinkPacket { packet: Packet::LearnerInfo { .. }, .. }));
        link
    }
}

fn hello() -> Vec<u8> {
    let info = LearnerInfo { server: ServerId(2), protocol: PROTOCOL_VERSION, config_version: 0 };
    Packet::LearnerInfo { observer: false, zxid: Zxid(1), info: Some(info) }.to_bytes().to_vec()
}

fn raw(to: &Links) -> TcpStream {
    patient(TcpStream::connect(to.addresses()[0]).unwrap())
}

#[test]
fn a_packet_that_was_half_there_when_the_connection_changed_hands_is_read() {
    let mut owner = Owner::new();
    let links = owner.links();
    let mut learner = raw(&links);
    let ack = |n: i64| Packet::Ack { zxid: Zxid(n) };
    let (first, second) = (ack(7).to_bytes(), ack(8).to_bytes());
    learner.write_all(&[&hello()[..], &first[..5]].concat()).unwrap();
    owner.link_up();
    all_threads_end_but_accept(&links);
    learner.write_all(&first[5..]).unwrap();
    assert_eq!(owner.packet(), ack(7));
    for byte in &second[..] {
        learner.write_all(&[*byte]).unwrap();
    }
    assert_eq!(owner.packet(), ack(8));
}

#[test]
fn all_that_came_before_the_end_is_read_before_the_end_is_told() {
    let mut owner = Owner::new();
    let links = owner.links();
    let mut learner = raw(&links);
    learner.write_all(&hello()).unwrap();
    let link = owner.link_up();
    // More than is read at once.
    let packets: Vec<_> = (0..20_000).map(|n| Packet::Ack { zxid: Zxid(n) }).collect();
    let all: Vec<u8> = packets.iter().flat_map(|p| p.to_bytes().to_vec()).collect();
    let sender = std::thread::spawn(move || {
        learner.write_all(&all).unwrap();
    });
    for packet in packets {
        assert_eq!(owner.packet(), packet);
    }
    sender.join().unwrap();
    match owner.next() {
        Event::LinkDown { link: of, why } => {
            assert!(of == link && why.ends_with("the peer closed it"), "{why}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_that_sends_no_packet_ends_and_the_others_go_on() {
    let mut owner = Owner::new();
    let links = owner.links();
    let (mut bad, mut good) = (raw(&links), raw(&links));
    bad.write_all(&hello()).unwrap();
    let its = owner.link_up();
    good.write_all(&hello()).unwrap();
    owner.link_up();
    // Its data is announced to be longer than any may be.
    bad.write_all(&[&[0; 12][..], &i32::MAX.to_be_bytes(), &[0; 4]].concat()).unwrap();
    match owner.next() {
        Event::LinkDown { link, why } => assert!(link == its && why.contains("is no packet"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(super::is_closed(&bad));
    good.write_all(&Packet::Ack { zxid: Zxid(3) }.to_bytes()).unwrap();
    assert_eq!(owner.packet(), Packet::Ack { zxid: Zxid(3) });
}

#[test]
fn closing_a_connection_that_its_owner_reads_is_told_to_it() {
    let mut owner = Owner::new();
    let links = owner.links();
    let mut learner = raw(&links);
    learner.write_all(&hello()).unwrap();
    let link = owner.link_up();
    links.close(link);
    match owner.next() {
        Event::LinkDown { why, .. } => assert!(why.ends_with("closed by this server"), "{why}"),
        other => panic!("{other:?}"),
    }
    links.shutdown();
    all_threads_end(links.threads());
}

#[test]
fn the_leader_is_read_by_the_owner_from_uptodate_on_and_sends_no_tree_then() {
    let (mut owner, at_leader) = (Owner::new(), Seen::new());
    let settings = LinkSettings { bind: vec![("127.0.0.1".into(), 0)], ..LinkSettings::default() };
    let links = Links::start(settings, at_leader.clone()).unwrap();
    let conn = owner.connect(&links);
    assert!(matches!(owner.seen.first(), Event::LeaderUp { attempt: 1 }));
    conn.send(Bytes::from(hello()));
    let link =
        at_leader.wait("link", |e| if let Event::LinkUp { link, .. } = e { Some(*link) } else { None });
    links.send(link, Packet::UpToDate.to_bytes());
    assert!(matches!(owner.seen.first(), Event::LeaderPacket { packet: Packet::UpToDate, .. }));
    all_threads_end(&conn.threads());
    let entry = Bytes::from(vec![5; 300_000]);
    let proposal = Packet::Proposal { zxid: Zxid(9), entry };
    links.send(link, proposal.to_bytes());
    assert_eq!(owner.packet(), proposal);
    conn.send(Packet::Ack { zxid: Zxid(9) }.to_bytes());
    at_leader.wait("acknowledgement", |e| match e {
        Event::LinkPacket { packet: Packet::Ack { zxid: Zxid(9) }, .. } => Some(()),
        _ => None,
    });
    links.send(link, Packet::Snap { zxid: Zxid(9) }.to_bytes());
    match owner.next() {
        Event::LeaderDown { attempt: 1, why } => assert!(why.contains("behind its UPTODATE"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_owner_that_waits_is_woken() {
    let mut owner = Owner::new();
    let adopter = owner.poller.adopter();
    let waker = std::thread::spawn(move || adopter.wake());
    owner.poller.poll(None, &mut owner.events);
    waker.join().unwrap();
    assert!(owner.events.is_empty());
}

/// Only the thread that accepts is left.
fn all_threads_end_but_accept(links: &Links) {
    wait_until("the thread of the link ends", || links.threads().wait(std::time::Duration::ZERO) == 1);
}
