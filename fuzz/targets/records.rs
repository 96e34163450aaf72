//! Requests of two clients, as frames behind the handshake: every record, every operation, any order.
//!
//! The first byte chooses settings. Each frame is taken for a request; an odd xid is the second client's, and writes
//! are applied at once or left outstanding by the next bit of the xid, so that checks see changes to come.
//!
//! Holds: an answer to everything, and nothing left in `out` by a read that failed; the digest promised with a txn is
//! the tree's after it; the log's records of all txns read back and give the same tree; every record that can be
//! read is written in a way that reads the same, but for characters outside the basic plane: as surrogates, which is how
//! upstream writes them, they are read as mistakes.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use quoll::auth::{add_id, answer_sasl, authenticate, peer_id};
use quoll::frame::{Split, decode_request, split};
use quoll::ops::{
    OpsConfig, Outstanding, PrepareCx, ReadCx, ResponseCache, SessionView, WatchSink, is_known_from_client,
    is_write, prepare, prepare_delete_container, serve, write_reply,
};
use quoll::tree::{DIGEST_VERSION, Effects, Tree, TreeOptions};
use quoll::types::{
    ConnId, ErrorCode, Id, NamespaceTotals, OpCode, OwnerRules, SessionId, Txn, TxnBody, TxnFormat, Zxid,
};
use quoll::watch::{EventKind, WatchManager, WatchMode, WatcherType};
use quoll_jute::RECORDS;
use quoll_jute::client::AuthPacket;
use std::collections::VecDeque;

const FRAME_LEN_MAX: usize = 0xf_ffff;
/// Only the first requests of an input are also read as every record there is: that takes most of the time.
const READ_AS_EVERYTHING: usize = 2;

fuzz_target!(|input: &[u8]| {
    let Some((settings, mut rest)) = input.split_first() else { return };
    let mut world = World::new(*settings);
    let mut requests = 0;
    while let Ok(Split::Frame { payload, len }) = split(rest, FRAME_LEN_MAX) {
        if let Ok(head) = decode_request(payload) {
            requests += 1;
            if requests <= READ_AS_EVERYTHING {
                every_record(head.body);
            }
            world.request(head.xid, head.op, &Bytes::copy_from_slice(head.body));
        }
        rest = &rest[len..];
    }
    world.replays();
});

fn every_record(body: &[u8]) {
    for (name, recode) in RECORDS {
        if let Ok(once) = recode(body) {
            let twice = recode(&once).unwrap_or_else(|error| panic!("{name} does not read back: {error}"));
            let has_surrogates = once.windows(2).any(|bytes| bytes[0] == 0xed && bytes[1] >= 0xa0);
            assert!(has_surrogates || once == twice, "{name} reads back as another: {once:?}, {twice:?}");
            assert_eq!(recode(&twice).as_ref(), Ok(&twice), "{name}");
        }
    }
}

struct Sessions;

impl SessionView for Sessions {
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

struct World {
    options: TreeOptions,
    config: OpsConfig,
    tree: Tree,
    outstanding: Outstanding,
    watches: WatchManager,
    cache: ResponseCache,
    ids: [Vec<Id>; 2],
    zxid: Zxid,
    queue: VecDeque<Txn>,
    log: Vec<Txn>,
}

impl World {
    fn new(settings: u8) -> Self {
        let bit = |n: u8| settings >> n & 1 == 1;
        let owner_rules = OwnerRules { extended_types: bit(0), emulate_353: bit(1) };
        let mut config = OpsConfig { owner_rules, ..OpsConfig::default() };
        config.enforce_quota = bit(2);
        config.reconfig_enabled = bit(3);
        config.auth.skip_acl = bit(4);
        let options = TreeOptions { hash_seed: 1, owner_rules, digest: !bit(5) };
        let peer = peer_id([127, 0, 0, 1].into());
        Self {
            options,
            config,
            tree: Tree::new(options),
            outstanding: Outstanding::new(owner_rules),
            watches: WatchManager::new(1),
            cache: ResponseCache::new(4, 10_000),
            ids: [vec![peer.clone()], vec![peer]],
            zxid: Zxid(0x1_0000_0000),
            queue: VecDeque::new(),
            log: Vec::new(),
        }
    }

    fn request(&mut self, xid: i32, op: i32, body: &Bytes) {
        let who = (xid & 1) as usize;
        let session = SessionId(0x100_0000_0000_0000 + who as i64);
        if op == OpCode::Auth.code() {
            self.auth(who, body);
        } else if op == OpCode::Sasl.code() {
            let _ = answer_sasl(body, &mut Vec::new());
        } else if is_known_from_client(op) {
            let op = OpCode::from_code(op).expect("known");
            if is_write(op) {
                self.write(who, session, op, body);
                if xid & 2 == 0 {
                    self.apply_all();
                }
            } else {
                self.apply_all();
                self.read(who, session, op, body);
            }
        }
    }

    fn auth(&mut self, who: usize, body: &[u8]) {
        let Ok(packet) = quoll_jute::from_slice::<AuthPacket<'_>>(body) else { return };
        let peer = peer_id([127, 0, 0, 1].into());
        if let Ok(ids) = authenticate(packet.scheme.as_deref(), packet.auth, &peer, &self.config.auth) {
            ids.into_iter().for_each(|id| add_id(&mut self.ids[who], id));
        }
    }

    fn write(&mut self, who: usize, session: SessionId, op: OpCode, body: &Bytes) {
        let mut cx = PrepareCx {
            tree: &self.tree,
            outstanding: &mut self.outstanding,
            session,
            ids: &self.ids[who],
            zxid: self.zxid.next(),
            time_ms: 1_000 + (self.zxid.0 & 0xffff),
            config: &self.config,
            sessions: &Sessions,
            membership: None,
        };
        let prepared = prepare(&mut cx, op, body);
        assert!(!matches!(prepared.body, TxnBody::CreateSession { .. }));
        self.propose(session, prepared);
    }

    fn propose(&mut self, session: SessionId, prepared: quoll::ops::Prepared) {
        let time_ms = 1_000 + (self.zxid.0 & 0xffff);
        if prepared.takes_zxid {
            self.zxid = self.zxid.next();
        }
        let digest = prepared.digest.map(|d| (DIGEST_VERSION, d));
        self.queue.push_back(Txn { session, cxid: 1, zxid: self.zxid, time_ms, body: prepared.body, digest });
    }

    fn apply_all(&mut self) {
        while let Some(txn) = self.queue.pop_front() {
            let mut effects = Effects::new();
            let applied = self.tree.apply(&txn, &mut effects);
            self.outstanding.applied(txn.zxid);
            self.watches.trigger(&effects, txn.zxid, |_, event, _| assert!(!event.path.is_empty()));
            if let Some((_, digest)) = txn.digest {
                assert_eq!(self.tree.digest(), digest, "after {txn:?}");
            }
            let _ = write_reply(&txn.body, &applied, &mut Vec::new());
            self.log.push(txn);
        }
        assert!(self.outstanding.is_empty());
    }

    fn read(&mut self, who: usize, session: SessionId, op: OpCode, body: &Bytes) {
        let mut out = b"before".to_vec();
        let mut cx = ReadCx {
            tree: &self.tree,
            watches: &mut Sink { manager: &mut self.watches, conn: ConnId { worker: 0, serial: who as u32 } },
            session,
            ids: &self.ids[who],
            config: &self.config,
            cache: &mut self.cache,
            bytes_read: &mut NamespaceTotals::default(),
        };
        let result = serve(&mut cx, op, body, &mut out);
        assert!(out.starts_with(b"before"));
        assert!(result.is_ok() || op == OpCode::MultiRead || out.len() == 6);
    }

    /// What a restart would make of the log is what was served; the reaper may come at any time.
    fn replays(mut self) {
        self.apply_all();
        let format = TxnFormat::default();
        let mut again = Tree::new(self.options);
        for txn in &self.log {
            let mut record = Vec::new();
            txn.write(format, &mut record);
            let read = Txn::read(&record, format).expect("what was written reads back");
            again.apply(&read, &mut Effects::disabled());
        }
        assert_eq!(again.node_count(), self.tree.node_count());
        assert_eq!(again.digest(), self.tree.digest());
        assert_eq!(again.data_size_bytes(), self.tree.data_size_bytes());
        assert_eq!(again.ephemerals_count(), self.tree.ephemerals_count());
        let doomed: Vec<String> = self.tree.containers().chain(self.tree.ttls()).map(|n| n.path()).collect();
        for path in doomed {
            let mut cx = PrepareCx {
                tree: &self.tree,
                outstanding: &mut self.outstanding,
                session: SessionId(0),
                ids: &[],
                zxid: self.zxid.next(),
                time_ms: i64::MAX,
                config: &self.config,
                sessions: &Sessions,
                membership: None,
            };
            if let Ok(prepared) = prepare_delete_container(&mut cx, &path) {
                self.propose(SessionId(0), prepared);
                self.apply_all();
                assert!(self.tree.lookup(&path).is_none());
            }
        }
    }
}
