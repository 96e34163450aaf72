//! Sessions that only one server knows, and clients served without a leader.

use super::{
    ensemble::{Ensemble, conn, sync},
    *,
};
use crate::{
    session::password,
    types::{ErrorCode, Txn, TxnBody},
};

const EPHEMERAL: i32 = 1;

fn ensemble(local_sessions: LocalSessions) -> Ensemble {
    let mut e = Ensemble::new();
    for peer in &mut e.peers {
        peer.pipeline.config.local_sessions = local_sessions;
    }
    e
}

/// What the txns of a log are, sessions left out where they do not matter.
fn kinds(e: &Ensemble) -> Vec<&'static str> {
    let kind =
        |logged: &crate::zab::Logged| match Txn::read(&logged.entry, TxnFormat::default()).unwrap().body {
            TxnBody::CreateSession { .. } => "createSession",
            TxnBody::CloseSession { .. } => "closeSession",
            TxnBody::Multi(_) => "multi",
            TxnBody::One(crate::types::SubTxn::Error { .. }) => "error",
            TxnBody::One(_) => "one",
        };
    e.peers[0].log.iter().map(kind).collect()
}

fn multi_of_ephemeral(path: &str) -> Vec<u8> {
    let mut body = to_vec(&rec::MultiHeader { type_: OpCode::Create.code(), done: false, err: -1 });
    body.extend(create(path, EPHEMERAL));
    body.extend(to_vec(&rec::MultiHeader { type_: -1, done: true, err: -1 }));
    body
}

#[test]
fn a_local_session_begins_writes_and_ends_without_a_txn_of_its_own() {
    let mut e = ensemble(LocalSessions::Upgrade);
    for i in 0..3 {
        let c = conn(i, 1);
        let session = e.open(i, c);
        assert_eq!(session.0 >> 56, i as i64 + 1);
        e.ask(i, c, session, 1, OpCode::Create, create(&format!("/n{i}"), 0));
        e.ask(i, c, session, 2, OpCode::GetData, get(&format!("/n{i}"), false));
        e.ask(i, c, session, 3, OpCode::CloseSession, vec![]);
        e.ask(i, c, session, 4, OpCode::Ping, vec![]);
        e.settle();
        let zxid = e.peers[0].last().0;
        let told = e.told(i);
        let heads: Vec<_> = told.iter().flat_map(|t| &t.frames).map(|f| head(f)).collect();
        let expired = ErrorCode::SessionExpired.code();
        assert_eq!(heads, [(1, zxid, 0), (2, zxid, 0), (3, zxid, 0), (4, zxid, expired)]);
        assert!(told.iter().any(|t| t.then == Then::Close), "{told:?}");
        assert_eq!(e.peers[i].pipeline.sessions().len(), 0);
    }
    assert_eq!(kinds(&e), ["one"; 3]);
    e.assert_equal();
}

#[test]
fn the_first_ephemeral_makes_a_session_known_everywhere_before_it_is_created() {
    for i in 0..3 {
        let mut e = ensemble(LocalSessions::Upgrade);
        let c = conn(i, 1);
        let session = e.open(i, c);
        e.ask(i, c, session, 1, OpCode::Create, create("/plain", 0));
        e.ask(i, c, session, 2, OpCode::Create2, create("/e", EPHEMERAL));
        e.ask(i, c, session, 3, OpCode::GetData, get("/e", false));
        e.ask(i, c, session, 4, OpCode::Multi, multi_of_ephemeral("/m"));
        e.settle();
        let heads = e.heads(i, c);
        assert_eq!(heads.iter().map(|h| (h.0, h.2)).collect::<Vec<_>>(), [(1, 0), (2, 0), (3, 0), (4, 0)]);
        assert_eq!(kinds(&e), ["one", "createSession", "one", "multi"], "once");
        e.assert_equal();
        assert_eq!(e.peers[2].pipeline.global_sessions(), [(session, 5000)]);
        assert_eq!(e.peers[i].pipeline.sessions().local_len(), 0);
        // Now it moves like any other.
        let (there, c2) = ((i + 1) % 3, conn((i + 1) % 3, 1));
        e.take_up(there, c2, session);
        e.settle();
        assert!(matches!(e.told(there)[..], [Told { then: Then::Established { .. }, .. }]));
        e.told(i);
        // And ends with its ephemerals.
        e.ask(there, c2, session, 1, OpCode::CloseSession, vec![]);
        e.settle();
        assert_eq!(kinds(&e).last(), Some(&"closeSession"));
        assert!(e.peers[i].tree.lookup("/e").is_none() && e.peers[i].tree.lookup("/m").is_none());
        assert!(e.peers[i].tree.lookup("/plain").is_some());
        e.assert_equal();
    }
}

#[test]
fn a_multi_makes_a_session_known_too() {
    let mut e = ensemble(LocalSessions::Upgrade);
    let c = conn(1, 1);
    let session = e.open(1, c);
    e.ask(1, c, session, 1, OpCode::Multi, multi_of_ephemeral("/m"));
    e.settle();
    assert_eq!(e.heads(1, c).iter().map(|h| h.2).collect::<Vec<_>>(), [0]);
    assert_eq!(kinds(&e), ["createSession", "multi"]);
    e.assert_equal();
}

#[test]
fn without_upgrades_ephemerals_are_refused_with_a_txn_as_upstream() {
    let refused = ErrorCode::EphemeralOnLocalSession.code();
    for i in 0..2 {
        let mut e = ensemble(LocalSessions::Stay);
        let c = conn(i, 1);
        let session = e.open(i, c);
        e.ask(i, c, session, 1, OpCode::Create, create("/e", EPHEMERAL));
        e.ask(i, c, session, 2, OpCode::Multi, multi_of_ephemeral("/m"));
        e.ask(i, c, session, 3, OpCode::Create, create("/plain", 0));
        e.settle();
        let at = Zxid::new(crate::types::Epoch(1), 0).0;
        let told = e.told(i);
        let frames: Vec<_> = told.iter().flat_map(|t| &t.frames).collect();
        let heads: Vec<_> = frames.iter().map(|f| head(f)).collect();
        assert_eq!(heads, [(1, at + 1, refused), (2, at + 2, 0), (3, at + 3, 0)]);
        // The leader does not know the session, and says in a multi what it thinks of that.
        let in_multi = if i == 0 { refused } else { ErrorCode::SessionExpired.code() };
        assert_eq!(frames[1][25..29], in_multi.to_be_bytes());
        assert_eq!(kinds(&e), ["error", "multi", "one"]);
        e.assert_equal();
    }
}

#[test]
fn a_leader_without_local_sessions_refuses_what_comes_from_unknown_ones() {
    let mut e = ensemble(LocalSessions::Upgrade);
    e.peers[0].pipeline.config.local_sessions = LocalSessions::Off;
    let c = conn(1, 1);
    let session = e.open(1, c);
    e.ask(1, c, session, 1, OpCode::Create, create("/a", 0));
    e.settle();
    assert_eq!(e.heads(1, c).iter().map(|h| h.2).collect::<Vec<_>>(), [ErrorCode::SessionExpired.code()]);
}

/// Found by the simulator (seed 12043567): the leader took the session that it had just seen end for a local one of the
/// server where its client had been before.
#[test]
fn a_write_that_comes_after_the_end_of_its_session_is_not_one_of_a_local_session() {
    let mut e = ensemble(LocalSessions::Upgrade);
    let (old, new) = (conn(1, 1), conn(2, 1));
    let session = e.open(1, old);
    e.ask(1, old, session, 1, OpCode::Create, create("/e", EPHEMERAL));
    e.settle();
    e.take_up(2, new, session);
    e.settle();
    e.ask(2, new, session, 1, OpCode::CloseSession, vec![]);
    e.settle();
    // The server of the old connection had handed this on before it heard of the move.
    let body = create("/late", 0).into();
    let request = crate::zab::Request { session, cxid: 2, op: OpCode::Create.code(), body, ids: vec![] };
    e.put(0, Input::Forwarded { link: e.link(1), request });
    e.settle();
    assert_eq!(kinds(&e), ["createSession", "one", "closeSession", "error"]);
    assert!(e.peers[0].tree.lookup("/late").is_none());
    e.assert_equal();
}

#[test]
fn the_server_that_serves_it_ends_a_silent_local_session_and_lets_one_that_is_heard_from_live() {
    for i in 0..2 {
        let mut e = ensemble(LocalSessions::Upgrade);
        let (silent, lively) = (conn(i, 1), conn(i, 2));
        let (one, two) = (e.open(i, silent), e.open(i, lively));
        for _ in 0..6 {
            e.pass(1500);
            let now_ms = e.now.mono_ms;
            e.put(i, Input::Touch(vec![(two, now_ms)]));
            e.settle();
        }
        let told = e.told(i);
        assert!(matches!(told[..], [Told { conn, then: Then::Close, .. }] if conn == silent), "{told:?}");
        assert_eq!(e.peers[i].pipeline.counts().sessions_expired, 1);
        e.take_up(i, conn(i, 3), one);
        e.settle();
        assert_eq!(e.told(i)[0].frames[0][8..16], [0; 8], "it is over");
        e.ask(i, lively, two, 1, OpCode::Create, create("/e", EPHEMERAL));
        e.settle();
        e.told(i);
        e.peers[i].log.clear();
        // From now on it is the leader who ends it.
        for _ in 0..6 {
            e.pass(1500);
            e.settle();
        }
        assert!(e.peers[0].tree.lookup("/e").is_none());
        assert_eq!(e.peers[0].pipeline.global_sessions(), []);
    }
}

#[test]
fn a_local_session_goes_on_with_another_connection_of_its_server_and_nowhere_else() {
    for (home, away) in [(1, 2), (1, 0), (0, 1)] {
        let mut e = ensemble(LocalSessions::Upgrade);
        let first = conn(home, 1);
        let session = e.open(home, first);
        e.take_up(home, conn(home, 2), session);
        e.settle();
        let told = e.told(home);
        assert!(told.iter().any(|t| t.conn == first && t.then == Then::Close), "{told:?}");
        assert!(told.iter().any(|t| matches!(t.then, Then::Established { session: s, .. } if s == session)));
        e.take_up(away, conn(away, 1), session);
        e.settle();
        let told = e.told(away);
        assert_eq!(
            (&told[0].then, &told[0].frames[0][8..16]),
            (&Then::Close, &[0; 8][..]),
            "from {home} to {away}"
        );
        assert_eq!(e.told(home), [], "nobody takes it from its connection");
        assert_eq!(kinds(&e), [""; 0]);
    }
}

#[test]
fn local_sessions_end_with_the_role_and_their_numbers_do_not_come_again() {
    let mut e = ensemble(LocalSessions::Upgrade);
    let session = e.open(1, conn(1, 1));
    e.retire_all();
    e.begin(2);
    e.told(1);
    e.take_up(1, conn(1, 2), session);
    e.settle();
    assert_eq!(e.told(1)[0].then, Then::Close);
    assert!(e.open(1, conn(1, 3)).0 > session.0);
}

#[test]
fn a_session_that_stands_alone_is_an_ordinary_one() {
    let now = Now { mono_ms: 0, wall_ms: 1_700_000_000_000 };
    let config = PipelineConfig { local_sessions: LocalSessions::Upgrade, ..config(ServerId(1)) };
    let pipeline = Pipeline::new(config, &[], Zxid::ZERO, now);
    assert!(!pipeline.has_local_sessions());
}

/// A member that has lost its leader with one session known to all.
struct Lonely {
    pipeline: Pipeline,
    tree: Tree,
    watches: WatchManager,
    now: Now,
}

const KNOWN: SessionId = SessionId(0x0200_0000_0000_0007);

impl Lonely {
    fn new(local_sessions: LocalSessions) -> Self {
        let now = Now { mono_ms: 0, wall_ms: 1_700_000_000_000 };
        let config = PipelineConfig { local_sessions, ..config(ServerId(1)) };
        let mut pipeline = Pipeline::waiting(config, &[(KNOWN, 5000)], Zxid::ZERO, now);
        pipeline.serve_read_only();
        Self { pipeline, tree: empty_tree(), watches: WatchManager::new(1), now }
    }

    fn put(&mut self, input: Input) -> Vec<Told> {
        self.pipeline.accept(self.now, &self.tree, input);
        let mut out = Deliveries::new(1);
        self.pipeline.apply(&mut self.tree, &mut self.watches, &mut out, 10);
        assert!(self.pipeline.take_log().is_none(), "nothing is written");
        told_by(out)
    }

    fn connect(&mut self, n: u32, session: SessionId, read_only: bool) -> Told {
        let password = if session == SessionId::NONE { [0; 16] } else { password(session) };
        let mut told = self.put(Input::Connect(Connect {
            conn: conn(0, n),
            timeout_ms: 5000,
            session,
            password: Bytes::copy_from_slice(&password),
            last_zxid_seen: Zxid::ZERO,
            read_only,
            has_read_only_byte: true,
        }));
        told.pop().expect("an answer")
    }

    fn ask(&mut self, n: u32, session: SessionId, xid: i32, op: OpCode, body: Vec<u8>) -> Vec<Told> {
        let (ids, received_ms) = (Arc::from([]), self.now.mono_ms);
        self.put(Input::Request(Request {
            conn: conn(0, n),
            session,
            xid,
            op,
            body: body.into(),
            ids,
            received_ms,
        }))
    }
}

#[test]
fn without_a_leader_reads_are_served_to_who_accepts_it_and_writes_refused() {
    let mut lonely = Lonely::new(LocalSessions::Stay);
    let told = lonely.connect(1, SessionId::NONE, true);
    let Then::Established { session, timeout_ms: 5000 } = told.then else { panic!("{told:?}") };
    assert_eq!(told.frames[0].last(), Some(&1), "the answer says that it is read-only");
    use OpCode::*;
    for op in [Create, Create2, CreateContainer, CreateTtl, Delete, SetData, SetAcl, Reconfig, Multi, Sync] {
        let told = lonely.ask(1, session, 3, op, sync("/"));
        assert_eq!(head(&told[0].frames[0]), (3, 0, ErrorCode::NotReadOnly.code()), "{op:?}");
        assert_eq!((told.len(), told[0].answered, &told[0].then), (1, 1, &Then::Nothing));
    }
    assert_eq!(head(&lonely.ask(1, session, 4, GetData, get("/", false))[0].frames[0]), (4, 0, 0));
    // Again, as after a break of the network, and its end.
    let told = lonely.connect(2, session, true);
    assert!(matches!(told.then, Then::Established { .. }), "{told:?}");
    let told = lonely.ask(2, session, 1, CloseSession, vec![]);
    assert_eq!((head(&told[0].frames[0]), &told[0].then), ((1, 0, 0), &Then::Close));
    assert_eq!(lonely.connect(3, session, true).frames[0].len(), 37, "it is over");
    // A silent one ends too.
    lonely.connect(4, SessionId::NONE, true);
    lonely.now.mono_ms += 10_000;
    let told = lonely.put(Input::Tick);
    assert!(matches!(told[..], [Told { conn: c, then: Then::Close, .. }] if c == conn(0, 4)), "{told:?}");
}

#[test]
fn without_a_leader_others_are_closed_without_a_word() {
    let closed = |told: Told| told.then == Then::Close && told.frames.is_empty();
    let mut lonely = Lonely::new(LocalSessions::Stay);
    assert!(closed(lonely.connect(1, SessionId::NONE, false)), "it wants to write");
    assert!(closed(lonely.connect(2, KNOWN, true)), "its session is to be taken elsewhere");
    let unknown = lonely.connect(3, SessionId(0x0300_0000_0000_0001), true);
    assert_eq!(
        (unknown.then, unknown.frames[0].len(), unknown.frames[0].last()),
        (Then::Close, 37, Some(&1))
    );
    let mut without = Lonely::new(LocalSessions::Off);
    assert!(closed(without.connect(1, SessionId::NONE, true)));
    assert!(closed(without.connect(2, SessionId(0x0300_0000_0000_0001), true)));
}

#[test]
fn when_a_leader_is_found_read_only_sessions_are_over() {
    let mut lonely = Lonely::new(LocalSessions::Stay);
    let told = lonely.connect(1, SessionId::NONE, true);
    let Then::Established { session, .. } = told.then else { panic!("{told:?}") };
    lonely.pipeline.retire();
    assert_eq!(lonely.pipeline.sessions().len(), 1, "that of the ensemble stays");
    assert_eq!(lonely.connect(2, session, true).frames.len(), 0, "nobody is served");
    lonely.pipeline.learn();
    lonely.pipeline.serve(lonely.now);
    assert_eq!(lonely.pipeline.global_sessions(), [(KNOWN, 5000)]);
}
