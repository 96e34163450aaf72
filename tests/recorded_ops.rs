//! Recorded conversations with the real server, answered by the operations alone: no sockets, no sessions, no log.
//!
//! Every request of a conversation is prepared or served in the order of its arrival, and the answer compared byte
//! for byte with the recorded one, zxids included. Left out: times, session numbers, the order of children.

use bytes::Bytes;
use quoll::auth::{AuthConfig, DigestAlgorithm, add_id, answer_sasl, authenticate, digest, peer_id};
use quoll::ops::{
    OpsConfig, Outstanding, PrepareCx, ReadCx, ResponseCache, SessionView, WatchSink, is_known_from_client,
    is_write, prepare, prepare_create_session, serve, write_reply,
};
use quoll::tree::{Effects, Tree, TreeOptions};
use quoll::types::{ConnId, ErrorCode, Id, NamespaceTotals, OpCode, SessionId, Txn, Zxid};
use quoll::watch::{EventKind, WatchManager, WatchMode, WatcherType};
use quoll_jute::client::AuthPacket;
use quoll_jute::{Reader, Writer};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::io::Read;

/// The conversations, and how many of their answers are compared. Not here: those about connections and sessions,
/// and `acl-invalid`, in which somebody who was not recorded mends a list between the requests.
const CONVERSATIONS: &[(&str, usize)] = &[
    ("acl-denied", 156),
    ("auth-schemes", 41),
    ("bad-paths", 217),
    ("create-delete", 69),
    ("ephemerals-cmd", 22),
    ("malformed-requests", 23),
    ("multi-ops", 44),
    ("multi-read", 16),
    ("pipelining", 48),
    ("quota-exceeded", 17),
    ("read-ops", 58),
    ("reconfig-disabled", 4),
    ("set-ops", 20),
    ("set-watches", 26),
    ("ttl-unsupported", 6),
    ("watches-oneshot", 33),
    ("watches-persistent", 29),
    ("watches-remove", 87),
];

/// Znodes that were there before the recording began, and have a history that is not in it.
const OLDER: [&str; 3] = ["", "/", "/zookeeper"];

fn lines(name: &str) -> Vec<Value> {
    let path = format!("{}/compat-tests/golden/wire/{name}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

struct AllOpen;

impl SessionView for AllOpen {
    fn check(&self, _: SessionId) -> Result<(), ErrorCode> {
        Ok(())
    }
}

struct Sink<'a> {
    manager: &'a mut WatchManager,
    conn: ConnId,
}

impl WatchSink for Sink<'_> {
    fn add(&mut self, path: &str, mode: WatchMode) {
        self.manager.add(self.conn, path, mode);
    }
    fn remove(&mut self, path: &str, which: WatcherType) -> bool {
        self.manager.remove(self.conn, path, which)
    }
    fn contains(&mut self, path: &str, which: WatcherType) -> bool {
        self.manager.contains(self.conn, path, which)
    }
    fn notify(&mut self, _: EventKind, _: &str) {}
}

struct Conn {
    session: SessionId,
    ids: Vec<Id>,
    /// Answers that are still to be compared.
    answers: VecDeque<Answer>,
    /// Zxids of the recorded answers to come.
    recorded: VecDeque<i64>,
}

struct Answer {
    request: Value,
    zxid: i64,
    err: i32,
    /// `None` when it is for others to answer.
    body: Option<Vec<u8>>,
}

struct Server {
    tree: Tree,
    outstanding: Outstanding,
    config: OpsConfig,
    watches: WatchManager,
    cache: ResponseCache,
    zxid: Zxid,
}

impl Server {
    fn write(&mut self, conn: &Conn, op: OpCode, body: &Bytes) -> (i32, Vec<u8>) {
        let mut cx = PrepareCx {
            tree: &self.tree,
            outstanding: &mut self.outstanding,
            session: conn.session,
            ids: &conn.ids,
            zxid: self.zxid.next(),
            time_ms: 1,
            config: &self.config,
            sessions: &AllOpen,
            membership: None,
        };
        let prepared = match op {
            OpCode::CreateSession => prepare_create_session(&mut cx, 1),
            _ => prepare(&mut cx, op, body),
        };
        if prepared.takes_zxid {
            self.zxid = self.zxid.next();
        }
        let digest = prepared.digest.map(|d| (2, d));
        let txn =
            Txn { session: conn.session, cxid: 0, zxid: self.zxid, time_ms: 1, body: prepared.body, digest };
        let mut effects = Effects::new();
        let applied = self.tree.apply(&txn, &mut effects);
        self.watches.trigger(&effects, txn.zxid, |_, _, _| {});
        self.outstanding.applied(txn.zxid);
        if let Some((_, digest)) = txn.digest {
            assert_eq!(self.tree.digest(), digest);
        }
        let mut out = Vec::new();
        let err = write_reply(&txn.body, &applied, &mut out);
        (err, out)
    }
}

#[test]
fn recorded_conversations_are_answered_byte_for_byte() {
    let mut failures = Vec::new();
    for (name, expected) in CONVERSATIONS {
        let compared = replay(name, &mut failures);
        if compared != *expected {
            failures.push(format!("{name}: {compared} answers compared, not {expected}"));
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

fn replay(name: &str, failures: &mut Vec<String>) -> usize {
    let lines = lines(name);
    let mut config = OpsConfig {
        auth: AuthConfig {
            super_digest: Some(digest::generate(DigestAlgorithm::Sha1, "super:golden")),
            ..AuthConfig::default()
        },
        ..OpsConfig::default()
    };
    let options = &lines[0]["options"];
    config.owner_rules.extended_types = options["zookeeper.extendedTypesEnabled"] == "true";
    config.enforce_quota = options["zookeeper.enforceQuota"] == "true";
    let mut server = Server {
        tree: Tree::new(TreeOptions { hash_seed: 1, owner_rules: config.owner_rules, digest: true }),
        outstanding: Outstanding::new(config.owner_rules),
        config,
        watches: WatchManager::new(1),
        cache: ResponseCache::new(10, 10_000),
        zxid: Zxid::ZERO,
    };
    let frames: Vec<_> = lines.iter().filter(|l| l["t"] == "frame").map(Frame::new).collect();
    let mut conns: HashMap<u64, Conn> = HashMap::new();
    let mut compared = 0;
    for (i, frame) in frames.iter().enumerate() {
        match frame.kind {
            Kind::Connect => {
                let ids = vec![peer_id("127.0.0.1".parse().expect("address"))];
                let recorded = frames[i..]
                    .iter()
                    .filter(|f| f.conn == frame.conn && f.kind == Kind::Reply)
                    .map(|f| i64::from_be_bytes(f.bytes[8..16].try_into().expect("eight bytes")))
                    .collect();
                let conn =
                    Conn { session: SessionId(frame.conn as i64), ids, answers: VecDeque::new(), recorded };
                server.write(&conn, OpCode::CreateSession, &Bytes::new());
                conns.insert(frame.conn, conn);
            }
            Kind::Request => {
                if let Some(conn) = conns.get_mut(&frame.conn) {
                    answer(&mut server, conn, frame);
                }
            }
            Kind::Reply => {
                let Some(answer) = conns.get_mut(&frame.conn).and_then(|c| c.answers.pop_front()) else {
                    continue;
                };
                if let Some(difference) = compare(&answer, frame, &mut compared) {
                    failures.push(format!("{name}: {difference}"));
                }
            }
            Kind::Other => {}
        }
    }
    compared
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Connect,
    Request,
    Reply,
    /// Answers to connects, notifications, packets that are none.
    Other,
}

struct Frame<'a> {
    conn: u64,
    kind: Kind,
    bytes: Vec<u8>,
    line: &'a Value,
}

impl<'a> Frame<'a> {
    fn new(line: &'a Value) -> Self {
        let op = line["decoded"]["op"].as_str().unwrap_or_default();
        let bytes = hex(line["hex"].as_str().expect("hex"));
        let kind = match (line["dir"].as_str(), op) {
            (_, "connectResponse") => Kind::Other,
            (Some("c2s"), "connect") => Kind::Connect,
            (Some("c2s"), _) if bytes.len() >= 12 => Kind::Request,
            // A notification, and not an answer to a request that had its xid.
            (Some("s2c"), "notification") if line["decoded"]["state"] == 3 => Kind::Other,
            (Some("s2c"), _) if bytes.len() >= 20 => Kind::Reply,
            _ => Kind::Other,
        };
        Self { conn: line["conn"].as_u64().expect("conn"), kind, bytes, line }
    }
}

fn answer(server: &mut Server, conn: &mut Conn, frame: &Frame<'_>) {
    let op = i32::from_be_bytes(frame.bytes[8..12].try_into().expect("four bytes"));
    let body = Bytes::copy_from_slice(&frame.bytes[12..]);
    let mut out = Vec::new();
    let recorded = conn.recorded.pop_front().unwrap_or(0);
    let (zxid, err, body) = if op == OpCode::Auth.code() {
        let Ok(packet) = quoll_jute::from_slice::<AuthPacket<'_>>(&body) else { return };
        let peer = peer_id("127.0.0.1".parse().expect("address"));
        match authenticate(packet.scheme.as_deref(), packet.auth, &peer, &server.config.auth) {
            Ok(ids) => {
                ids.into_iter().for_each(|id| add_id(&mut conn.ids, id));
                (0, 0, Some(out))
            }
            Err(_) => (0, ErrorCode::AuthFailed.code(), Some(out)),
        }
    } else if op == OpCode::Sasl.code() {
        match answer_sasl(&body, &mut out) {
            Ok(()) => (0, 0, Some(out)),
            Err(_) => return,
        }
    } else if !is_known_from_client(op) {
        (-1, ErrorCode::Unimplemented.code(), None)
    } else {
        let op = OpCode::from_code(op).expect("known");
        if is_write(op) {
            // Sessions that nobody recorded take zxids, too.
            server.zxid = Zxid(server.zxid.0.max(recorded - 1));
            let before = server.zxid;
            let (err, out) = server.write(conn, op, &body);
            if server.zxid == before {
                server.zxid = Zxid(recorded);
            }
            (server.zxid.0, err, Some(out))
        } else {
            let conn_id = ConnId { worker: 0, serial: frame.conn as u32 };
            let mut cx = ReadCx {
                tree: &server.tree,
                watches: &mut Sink { manager: &mut server.watches, conn: conn_id },
                session: conn.session,
                ids: &conn.ids,
                config: &server.config,
                cache: &mut server.cache,
                bytes_read: &mut NamespaceTotals::default(),
            };
            let result = serve(&mut cx, op, &body, &mut out);
            (recorded, ErrorCode::of(&result), Some(out))
        }
    };
    conn.answers.push_back(Answer { request: frame.line["decoded"].clone(), zxid, err, body });
}

fn compare(ours: &Answer, frame: &Frame<'_>, compared: &mut usize) -> Option<String> {
    let theirs = &frame.bytes;
    let expired = theirs[16..20] == ErrorCode::SessionExpired.code().to_be_bytes();
    let older = ours.request["path"].as_str().is_some_and(|path| OLDER.contains(&path));
    let (Some(body), false) = (&ours.body, expired || older) else { return None };
    *compared += 1;
    let mut mine = theirs[..8].to_vec();
    mine.extend(ours.zxid.to_be_bytes());
    mine.extend(ours.err.to_be_bytes());
    mine.extend(body);
    // The length in front is that of what follows.
    let len = (mine.len() as u32 - 4).to_be_bytes();
    mine[..4].copy_from_slice(&len);
    let (mine, theirs) = (mask(mine, frame.line), mask(theirs.clone(), frame.line));
    (mine != theirs).then(|| {
        let decoded = &frame.line["decoded"];
        format!("{}\n  theirs {decoded}\n  theirs {theirs:02x?}\n  ours   {mine:02x?}", ours.request)
    })
}

/// Takes out times and owners, and puts in order what has none.
fn mask(mut frame: Vec<u8>, line: &Value) -> Vec<u8> {
    for field in line["fields"].as_array().into_iter().flatten() {
        let name = field[0].as_str().unwrap_or_default();
        let (at, len) = (field[1].as_u64().unwrap_or(0) as usize, field[2].as_u64().unwrap_or(0) as usize);
        let last = name.rsplit('.').next().unwrap_or_default();
        if ["ctime", "mtime", "ephemeralOwner"].contains(&last) && at + len <= frame.len() {
            frame[at..at + len].fill(0);
        }
    }
    let decoded = &line["decoded"];
    if decoded["children"].is_array() || decoded["ephemerals"].is_array() {
        let r = &mut Reader::new(&frame[20..]);
        if let Ok(Some(mut names)) = r.vector(|r| Ok(r.text()?.unwrap_or_default().into_owned())) {
            names.sort();
            let rest = r.remaining().to_vec();
            frame.truncate(20);
            Writer::new(&mut frame).vector(Some(&names), |w, name: &String| w.text(Some(name)));
            frame.extend(rest);
        }
    }
    frame
}
