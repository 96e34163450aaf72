//! What servers of upstream said to each other, said to ours.

use super::{Seen, election, message, patient, read_exact};
use crate::{
    peer::{Event, LeaderConn, LeaderSettings, LinkSettings, Links, Sink},
    storage::{
        SnapshotStream, read_tree,
        snapshot::{SnapshotSink, read_stream},
    },
    tree::{SnapshotNode, Tree, TreeOptions},
    types::{AclList, ServerId, SessionId, StatPersisted, Zxid, open_acl},
    zab::{Packet, election::Notification},
};
use std::{
    collections::HashMap,
    io::Write,
    net::{TcpListener, TcpStream},
};

const RECORDED: &str = include_str!("../../../tests/golden/quorum/peer-streams.txt");

struct Line {
    from: i64,
    what: &'static str,
    bytes: Vec<u8>,
}

fn lines(of_port: &str) -> Vec<Line> {
    let hex = |s: &str| -> Vec<u8> {
        (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).unwrap()).collect()
    };
    let mut found = Vec::new();
    for line in RECORDED.lines().filter(|l| !l.starts_with('#')) {
        let fields: Vec<_> = line.split(' ').collect();
        let &[port, from, _, what, bytes] = &fields[..] else { panic!("{line}") };
        if port == of_port {
            found.push(Line { from: from.parse().unwrap(), what, bytes: hex(bytes) });
        }
    }
    assert!(found.len() > 3);
    found
}

fn said_by(lines: &[Line], from: i64) -> Vec<u8> {
    lines.iter().filter(|l| l.from == from).flat_map(|l| l.bytes.clone()).collect()
}

fn tree_options() -> TreeOptions {
    TreeOptions { hash_seed: 1, digest: true, ..TreeOptions::default() }
}

#[test]
fn a_recorded_leader_is_understood_and_what_it_sent_is_written_alike() {
    let lines = lines("quorum");
    let all = said_by(&lines, 3);
    for piece in [all.len(), 1, 13, 1000] {
        let seen = Seen::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = election::host_port(listener.local_addr().unwrap());
        let settings = LeaderSettings::default();
        let _conn = LeaderConn::connect(1, vec![address], settings, tree_options(), seen.clone());
        let mut stream = patient(listener.accept().unwrap().0);
        stream.set_nodelay(true).unwrap();
        all.chunks(piece).for_each(|bytes| stream.write_all(bytes).unwrap());
        assert!(matches!(seen.first(), Event::LeaderUp { .. }));
        for line in lines.iter().filter(|l| l.from == 3) {
            match seen.first() {
                Event::LeaderPacket { packet, .. } => assert_eq!(packet.to_bytes(), line.bytes, "{packet:?}"),
                Event::Snapshot { tree, sessions, .. } => {
                    assert_eq!(line.what, "snapshot-stream");
                    assert_eq!(sessions, Collected::from_stream(&line.bytes).sessions);
                    assert_same_contents(*tree, &sessions, &line.bytes);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// What a stream holds, in its order.
#[derive(Default)]
struct Collected {
    sessions: Vec<(SessionId, i32)>,
    acls: Vec<(i64, AclList)>,
    nodes: Vec<(String, Option<Vec<u8>>, i64, StatPersisted)>,
}

impl SnapshotSink for Collected {
    fn session(&mut self, session: SessionId, timeout_ms: i32) {
        self.sessions.push((session, timeout_ms));
    }

    fn acl(&mut self, index: i64, list: AclList) {
        self.acls.push((index, list));
    }

    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> Result<(), String> {
        self.nodes.push((path.into(), data.map(Into::into), acl, stat.clone()));
        Ok(())
    }

    fn progress(&mut self, _: u64) {}
}

impl Collected {
    fn from_stream(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let rest = read_stream(bytes, Vec::new(), &mut found).unwrap();
        assert!(rest.is_empty());
        found
    }

    /// In one order, and with lists for their numbers.
    fn contents(mut self) -> Vec<(String, Option<Vec<u8>>, AclList, StatPersisted)> {
        self.nodes.sort_by(|a, b| a.0.cmp(&b.0));
        let acls: HashMap<_, _> = self.acls.into_iter().collect();
        let list = |index| if index == -1 { open_acl().clone() } else { acls[&index].clone() };
        self.nodes.into_iter().map(|(path, data, acl, stat)| (path, data, list(acl), stat)).collect()
    }
}

fn assert_same_contents(mut tree: Tree, sessions: &[(SessionId, i32)], recorded: &[u8]) {
    let mut out = Vec::new();
    let mut walk = tree.begin_snapshot().unwrap();
    let mut stream = SnapshotStream::for_walk(&mut out, &walk, sessions).unwrap();
    let mut add = |n: &SnapshotNode<'_>| stream.node(n.path, n.data, n.acl_index, &n.stat);
    while walk.next_chunk(&tree, 5, &mut add).unwrap() {}
    stream.finish().unwrap();
    let (ours, theirs) = (Collected::from_stream(&out), Collected::from_stream(recorded));
    assert_eq!(ours.sessions, theirs.sessions);
    let theirs = theirs.contents();
    assert!(theirs.len() > 8);
    assert_eq!(ours.contents(), theirs);
}

#[test]
fn what_was_read_from_a_recorded_tree_is_written_byte_for_byte() {
    let lines = lines("quorum");
    let recorded = &lines.iter().find(|l| l.what == "snapshot-stream").unwrap().bytes;
    let read = Collected::from_stream(recorded);
    let mut out = Vec::new();
    let acls = read.acls.iter().map(|(index, list)| (*index, list));
    let mut stream = SnapshotStream::create(&mut out, &read.sessions, acls).unwrap();
    for (path, data, acl, stat) in &read.nodes {
        stream.node(path, data.as_deref(), *acl, stat);
        stream.drain().unwrap();
    }
    stream.finish().unwrap();
    assert_eq!(&out, recorded);
}

#[test]
fn of_a_recorded_tree_nothing_beyond_it_is_taken() {
    let lines = lines("quorum");
    let recorded = &lines.iter().find(|l| l.what == "snapshot-stream").unwrap().bytes;
    for ahead in [0, 1, recorded.len() / 2, recorded.len()] {
        let (ahead, source) = recorded.split_at(ahead);
        let source = [source, b"and more"].concat();
        let ahead_whole = source.len() == 8;
        let found = read_tree(&source[..], ahead.to_vec(), Zxid(5), tree_options()).unwrap();
        // What was there ahead suffices: then the source is left alone.
        assert_eq!(found.rest, if ahead_whole { &b""[..] } else { b"and more" });
        assert_eq!(found.tree.last_zxid(), Zxid(5));
    }
}

#[test]
fn a_recorded_learner_is_understood_and_what_it_sent_is_written_alike() {
    let lines = lines("quorum");
    let all = said_by(&lines, 1);
    for piece in [all.len(), 1, 7] {
        let seen = Seen::new();
        let settings = LinkSettings { bind: vec![("127.0.0.1".into(), 0)], ..LinkSettings::default() };
        let links = Links::start(settings, seen.clone()).unwrap();
        let mut stream = patient(TcpStream::connect(links.addresses()[0]).unwrap());
        stream.set_nodelay(true).unwrap();
        all.chunks(piece).for_each(|bytes| stream.write_all(bytes).unwrap());
        let Event::LinkUp { link, address } = seen.first() else { panic!("no link") };
        assert_eq!(address, stream.local_addr().unwrap());
        for line in lines.iter().filter(|l| l.from == 1) {
            let Event::LinkPacket { link: of, packet } = seen.first() else { panic!("no packet") };
            assert_eq!((of, &packet.to_bytes()[..]), (link, &line.bytes[..]), "{packet:?}");
            assert!(!matches!(packet, Packet::Unknown { .. }));
        }
    }
}

#[test]
fn a_recorded_election_is_understood_and_answered_byte_for_byte() {
    let lines = lines("election");
    assert_eq!(lines[0].what, "initial");
    let seen = Seen::new();
    let ours = election::start(2, &seen);
    let mut stream = patient(TcpStream::connect(ours.addresses()[0]).unwrap());
    stream.write_all(&said_by(&lines, 3)).unwrap();
    let spoken = |line: &Line| Notification::read(&line.bytes[4..]).unwrap();
    for line in lines[1..].iter().filter(|l| l.from == 3) {
        assert_eq!(seen.heard(3), spoken(line));
    }
    for line in lines.iter().filter(|l| l.from == 2) {
        ours.send(ServerId(3), &spoken(line));
        assert_eq!(read_exact(&stream, line.bytes.len()), line.bytes);
    }
}

#[test]
fn a_message_to_oneself_is_heard() {
    let seen = Seen::new();
    let ours = election::start(2, &seen);
    ours.send(ServerId(2), &message(4));
    assert_eq!(seen.heard(2), message(4));
    seen.put(&mut Vec::new());
}
