//! Clients that do anything at all to an ensemble whose links, logs and roles go their own way. A run is its seed.
//!
//! Checked: every connection gets its answers in order, each the right one; a session never goes back in time; what is
//! told is on the logs of a quorum; a sync sees what was acknowledged to anybody before it; nothing acknowledged is lost;
//! in the end all servers have the same log, tree and sessions.

use super::{
    ensemble::{Ensemble, sync},
    *,
};
use crate::types::{ErrorCode, rng::Rng};
use std::collections::{BTreeSet, VecDeque};

const SEEDS: u64 = 150;
const STEPS: usize = 1200;
const CLIENTS: usize = 5;
const SHARED: &str = "/shared";
/// A client that has had so many rests.
const SESSIONS_MAX: usize = 40;

/// Draws indexes.
struct Draw(Rng);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound as u64) as usize
    }
}

/// What a client has asked and what is right as an answer.
#[derive(Debug)]
enum Expect {
    /// The stat afterwards says how often the shared znode was written.
    SharedWritten,
    /// At least so often, by now.
    SharedRead {
        at_least: i32,
    },
    /// This own value is written.
    OwnWritten(i64),
    /// Exactly the last own value of this connection, or any that may be there when there is none.
    OwnRead {
        exactly: Option<i64>,
    },
    /// Success, whatever the body.
    Done,
    Error(ErrorCode),
    /// Success, and a body that says that all operations failed.
    FailedMulti,
    Closed,
}

#[derive(Default)]
struct Client {
    session: SessionId,
    /// How many sessions it has had.
    generation: usize,
    /// Where it is connected, if it is.
    at: Option<(usize, ConnId)>,
    established: bool,
    xid: i32,
    waiting: VecDeque<(i32, Expect)>,
    zxid_seen: i64,
    /// The last own value that was sent at all, on this connection, and that was acknowledged.
    own_sent: i64,
    own_sent_here: Option<i64>,
    own_acked: i64,
    own_seen: i64,
    shared_seen: i32,
}

struct World {
    seed: u64,
    rng: Draw,
    e: Ensemble,
    clients: Vec<Client>,
    conns: u32,
    /// The most writes of the shared znode that anybody was told of.
    shared_acked: i32,
    sessions: BTreeSet<SessionId>,
    answers: usize,
    roles: usize,
}

/// The znode that only this session of this client writes. A later session has another: what an earlier one sent may
/// still be under way.
fn own(n: usize, generation: usize) -> String {
    format!("/c{n}-{generation}")
}

impl World {
    fn new(seed: u64) -> Self {
        let mut e = Ensemble::with_observers(1);
        let admin = ConnId { worker: 0, serial: 1 };
        let session = e.open(0, admin);
        let all = (0..CLIENTS).flat_map(|n| (0..=SESSIONS_MAX).map(move |generation| own(n, generation)));
        let paths = all.chain([SHARED.to_owned()]);
        for (xid, path) in paths.enumerate() {
            e.ask(0, admin, session, xid as i32 + 1, OpCode::Create, create(&path, 0));
        }
        e.ask(0, admin, session, 9999, OpCode::CloseSession, vec![]);
        e.settle();
        e.told(0);
        Self {
            seed,
            rng: Draw(Rng::new(seed)),
            e,
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            conns: 1,
            shared_acked: 0,
            sessions: BTreeSet::new(),
            answers: 0,
            roles: 0,
        }
    }

    fn step(&mut self) {
        let i = self.rng.below(self.e.peers.len());
        match self.rng.below(100) {
            0..30 => {
                let n = self.rng.below(CLIENTS);
                self.act(n);
            }
            30..45 => _ = self.e.carry_up(i),
            45..65 => _ = self.e.carry_down(i),
            65..75 => _ = self.e.force(i),
            75..90 => _ = self.e.apply(i),
            90..95 => _ = self.e.pass_round(),
            95..98 => self.pass(300),
            98 if self.rng.below(6) == 0 => self.role_change(),
            98 if self.rng.below(4) == 0 => self.rejoin(i),
            _ => self.e.carry(),
        }
        self.hear();
    }

    fn pass(&mut self, ms: i64) {
        for n in 0..CLIENTS {
            let c = &self.clients[n];
            // The last client falls silent now and then.
            if let (Some((i, _)), true) = (c.at, c.established)
                && (n + 1 < CLIENTS || self.rng.below(3) == 0)
            {
                self.e.put(i, Input::Touch(vec![(c.session, self.e.now.mono_ms)]));
            }
        }
        self.e.pass(ms);
    }

    fn act(&mut self, n: usize) {
        let Some((i, conn)) = self.clients[n].at else { return self.connect(n) };
        if self.rng.below(25) == 0 {
            return self.lose(n);
        }
        let c = &mut self.clients[n];
        if !c.established || c.waiting.len() > 20 || c.generation == SESSIONS_MAX {
            return;
        }
        let own = own(n, c.generation);
        let closing = c.waiting.iter().any(|(_, e)| matches!(e, Expect::Closed));
        let shared_acked = self.shared_acked;
        let mut ask = |op: OpCode, body: Vec<u8>, expect: Expect| {
            c.xid += 1;
            // Nothing is done for a session whose end was asked for.
            let expect = if closing { Expect::Error(ErrorCode::SessionExpired) } else { expect };
            c.waiting.push_back((c.xid, expect));
            self.e.ask(i, conn, c.session, c.xid, op, body);
        };
        match self.rng.below(40) {
            0..8 => {
                if !closing {
                    c.own_sent += 1;
                    c.own_sent_here = Some(c.own_sent);
                }
                let value = c.own_sent;
                ask(OpCode::SetData, set(&own, &value.to_be_bytes()), Expect::OwnWritten(value));
            }
            8..16 => {
                let exactly = c.own_sent_here;
                ask(OpCode::GetData, get(&own, false), Expect::OwnRead { exactly });
            }
            16..20 => ask(OpCode::SetData, set(SHARED, b"s"), Expect::SharedWritten),
            20..24 => {
                let at_least = c.shared_seen;
                ask(OpCode::GetData, get(SHARED, false), Expect::SharedRead { at_least });
            }
            24..28 => {
                ask(OpCode::Sync, sync(SHARED), Expect::Done);
                ask(OpCode::GetData, get(SHARED, false), Expect::SharedRead { at_least: shared_acked });
            }
            28..30 => ask(OpCode::Create, create(&format!("/e{n}-"), 3), Expect::Done),
            30 => ask(OpCode::SetData, set("/none", b""), Expect::Error(ErrorCode::NoNode)),
            31 => ask(OpCode::Create, vec![0, 9], Expect::Error(ErrorCode::MarshallingError)),
            32 | 33 => {
                let header = |op: i32, done| to_vec(&rec::MultiHeader { type_: op, done, err: -1 });
                let delete = to_vec(&rec::DeleteRequest { path: Some("/none".into()), version: -1 });
                let set = set(&own, &(-1i64).to_be_bytes());
                let body = [header(5, false), set, header(2, false), delete, header(-1, true)].concat();
                ask(OpCode::Multi, body, Expect::FailedMulti);
            }
            34 if self.rng.below(4) == 0 => ask(OpCode::CloseSession, vec![], Expect::Closed),
            _ => {}
        }
    }

    fn connect(&mut self, n: usize) {
        let i = self.rng.below(self.e.peers.len());
        self.conns += 1;
        let conn = ConnId { worker: 0, serial: self.conns };
        let c = &mut self.clients[n];
        c.at = Some((i, conn));
        let (session, last_zxid_seen) = (c.session, Zxid(c.zxid_seen));
        let password = Bytes::copy_from_slice(&crate::session::password(session));
        let (read_only, has_read_only_byte) = (false, true);
        self.e.put(
            i,
            Input::Connect(Connect {
                conn,
                timeout_ms: 4000,
                session,
                password,
                last_zxid_seen,
                read_only,
                has_read_only_byte,
            }),
        );
    }

    /// The connection breaks. The server may hear of it late, or have things under way.
    fn lose(&mut self, n: usize) {
        let c = &mut self.clients[n];
        let Some((i, conn)) = c.at.take() else { return };
        let session = if c.established { c.session } else { SessionId::NONE };
        self.forget(n);
        if self.rng.below(2) == 0 {
            self.e.put(i, Input::Gone { conn, session });
        }
    }

    fn forget(&mut self, n: usize) {
        let c = &mut self.clients[n];
        // Whoever asked for the end of its session does not come back to it.
        if c.waiting.iter().any(|(_, e)| matches!(e, Expect::Closed)) {
            c.session = SessionId::NONE;
        }
        (c.at, c.established, c.own_sent_here) = (None, false, None);
        c.waiting.clear();
    }

    fn role_change(&mut self) {
        self.roles += 1;
        self.e.retire_all();
        for i in 0..self.e.peers.len() {
            self.e.told(i);
        }
        for n in 0..CLIENTS {
            self.forget(n);
        }
        // One voter does not take part in the election; of the others the one with the longest log leads.
        let absent = self.rng.below(self.e.voters());
        let quorum = (0..self.e.voters()).filter(|i| *i != absent);
        let leader = quorum.max_by_key(|i| self.e.peers[*i].last()).unwrap();
        self.e.begin(leader);
    }

    fn rejoin(&mut self, i: usize) {
        if i == self.e.leader {
            return;
        }
        self.e.rejoin(i);
        self.e.told(i);
        for n in 0..CLIENTS {
            if self.clients[n].at.is_some_and(|(at, _)| at == i) {
                self.forget(n);
            }
        }
    }

    /// Compares what clients were told with what is right.
    fn hear(&mut self) {
        for i in 0..self.e.peers.len() {
            for told in self.e.told(i) {
                let of = |c: &Client| c.at == Some((i, told.conn));
                let Some(n) = self.clients.iter().position(of) else { continue };
                self.hear_one(n, &told);
            }
        }
    }

    fn hear_one(&mut self, n: usize, told: &Told) {
        let seed = self.seed;
        let mut frames = told.frames.iter();
        match told.then {
            Then::Established { session, .. } => {
                let c = &mut self.clients[n];
                assert!(!c.established, "seed {seed}");
                assert_eq!(told.frames.len(), 1, "seed {seed}: nothing is asked before");
                if c.session == SessionId::NONE {
                    assert!(self.sessions.insert(session), "seed {seed}: {session} is given twice");
                    c.session = session;
                    c.generation += 1;
                    (c.own_sent, c.own_acked, c.own_seen) = (0, 0, 0);
                }
                assert_eq!(c.session, session, "seed {seed}");
                c.established = true;
                return;
            }
            Then::Close if !self.clients[n].established => {
                // Sent to another server without a word, or told that the session is over.
                if told.frames.len() == 1 {
                    self.clients[n].session = SessionId::NONE;
                }
                return self.forget(n);
            }
            Then::Close | Then::Nothing => {}
        }
        let mut answered = 0;
        for frame in frames.by_ref() {
            answered += 1;
            self.answer(n, frame);
        }
        assert_eq!(answered, told.answered, "seed {seed}");
        if told.then == Then::Close {
            self.forget(n);
        }
    }

    fn answer(&mut self, n: usize, frame: &[u8]) {
        let (xid, zxid, err) = head(frame);
        let body = &frame[16..];
        let seed = self.seed;
        let c = &mut self.clients[n];
        let (expected, expect) = c.waiting.pop_front().unwrap_or_else(|| panic!("seed {seed}: too much"));
        let what = format!("seed {seed}, client {n}, {xid}: {expect:?}");
        assert_eq!(xid, expected, "{what}");
        assert!(zxid >= c.zxid_seen, "{what}: {zxid:x} after {:x}", c.zxid_seen);
        c.zxid_seen = zxid;
        let voters = &self.e.peers[..self.e.voters()];
        let have = voters.iter().filter(|p| p.forced().0 >= zxid).count();
        assert!(have > voters.len() / 2, "{what}: only {have} have {zxid:x} on stable storage");
        self.answers += 1;
        if err == ErrorCode::SessionExpired.code() {
            // It fell silent, or asked for its end.
            let end_asked = matches!(expect, Expect::Error(ErrorCode::SessionExpired));
            assert!(end_asked || n + 1 == CLIENTS, "{what}");
            return;
        }
        let failed = match expect {
            Expect::Error(code) => code.code(),
            _ => 0,
        };
        assert_eq!(err, failed, "{what}");
        // The stat is at the end of every answer that has one; version is behind 4 longs.
        let version = || {
            let stat = &body[body.len() - 68..];
            i32::from_be_bytes(stat[32..36].try_into().unwrap())
        };
        match expect {
            Expect::SharedWritten => {
                assert!(version() > c.shared_seen, "{what}: {} after {}", version(), c.shared_seen);
                c.shared_seen = version();
                self.shared_acked = self.shared_acked.max(version());
            }
            Expect::SharedRead { at_least } => {
                assert!(version() >= at_least.max(c.shared_seen), "{what}: {}", version());
                c.shared_seen = version();
            }
            Expect::OwnWritten(value) => (c.own_acked, c.own_seen) = (value, value),
            Expect::OwnRead { exactly } => {
                let value = match body.get(4..12) {
                    Some(value) if body[..4] == [0, 0, 0, 8] => i64::from_be_bytes(value.try_into().unwrap()),
                    _ => 0,
                };
                match exactly {
                    Some(exactly) => assert_eq!(value, exactly, "{what}"),
                    None => assert!((c.own_seen..=c.own_sent).contains(&value), "{what}: {value}"),
                }
                c.own_seen = value;
            }
            Expect::FailedMulti => assert_eq!(&body[..4], (-1i32).to_be_bytes(), "{what}"),
            Expect::Done | Expect::Error(_) => {}
            Expect::Closed => c.session = SessionId::NONE,
        }
    }

    fn finish(mut self) -> (usize, usize) {
        self.e.settle();
        self.hear();
        let seed = self.seed;
        for (n, c) in self.clients.iter().enumerate() {
            assert!(c.waiting.is_empty(), "seed {seed}, client {n} waits for {:?}", c.waiting);
            let node = self.e.peers[0].tree.lookup(&own(n, c.generation)).unwrap();
            let value = node.data().and_then(|d| d.try_into().ok()).map_or(0, i64::from_be_bytes);
            let (acked, sent) = (c.own_acked, c.own_sent);
            assert!(
                (acked..=sent).contains(&value),
                "seed {seed}, client {n}: {value} not in {acked}..={sent}"
            );
        }
        let shared = self.e.peers[0].tree.lookup(SHARED).unwrap().stat().version;
        assert!(shared >= self.shared_acked, "seed {seed}");
        self.e.assert_equal();
        // What is left of the sessions ends by itself.
        for _ in 0..4 {
            self.e.pass(3000);
            self.e.settle();
        }
        for peer in &self.e.peers {
            assert!(peer.pipeline.global_sessions().is_empty(), "seed {seed}");
            assert_eq!(peer.tree.ephemerals_count(), 0, "seed {seed}");
            assert!(peer.pipeline.held.is_empty() && peer.pipeline.last_of_session.is_empty(), "seed {seed}");
        }
        self.e.assert_equal();
        (self.answers, self.roles)
    }
}

#[test]
fn clients_of_an_ensemble_get_right_answers_in_order_and_all_servers_end_equal() {
    let one = option_env!("QUOLL_PIPELINE_SEED").map(|s| s.parse().expect("a number"));
    let seeds = one.map_or(1..=SEEDS, |seed| seed..=seed);
    let (mut answers, mut roles) = (0, 0);
    for seed in seeds {
        // A panic names the seed.
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step();
            }
            world.finish()
        });
        let Ok((a, r)) = run else {
            panic!("to repeat: QUOLL_PIPELINE_SEED={seed} cargo test -p quoll --lib pipeline::tests::random");
        };
        (answers, roles) = (answers + a, roles + r);
    }
    if one.is_none() {
        assert!(
            answers > 10_000 && roles > 100,
            "too little happened: {answers} answers, {roles} new leaders"
        );
    }
}
