//! The pipeline with a tree, watches and a log that is forced when the test says so.

use super::*;
use crate::types::ErrorCode;

const C1: ConnId = ConnId { worker: 0, serial: 1 };
const C2: ConnId = ConnId { worker: 0, serial: 2 };
const C3: ConnId = ConnId { worker: 0, serial: 3 };

struct Server {
    pipeline: Pipeline,
    tree: Tree,
    watches: WatchManager,
    now: Now,
    /// Last zxid handed to the log.
    logged: Zxid,
    /// Ends of sessions that were planned.
    plans: usize,
}

impl Server {
    fn new() -> Self {
        Self::with_reaper(ReaperConfig::default())
    }

    fn with_reaper(reaper: ReaperConfig) -> Self {
        let config = PipelineConfig { reaper, ..config(ServerId(1)) };
        let now = Now { mono_ms: 0, wall_ms: 1_700_000_000_000 };
        Self {
            pipeline: Pipeline::new(config, &[], Zxid::ZERO, now),
            tree: empty_tree(),
            watches: WatchManager::new(1),
            now,
            logged: Zxid::ZERO,
            plans: 0,
        }
    }

    fn put(&mut self, input: Input) {
        self.pipeline.accept(self.now, &self.tree, input);
        if let Some(batch) = self.pipeline.take_log() {
            self.logged = batch.last;
        }
    }

    fn pass(&mut self, ms: i64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
        self.put(Input::Tick);
    }

    fn told(&mut self) -> Vec<Told> {
        let mut out = Deliveries::new(1);
        while self.pipeline.has_ready() {
            if self.pipeline.wants_plan() {
                self.pipeline.plan(&self.tree);
                self.plans += usize::from(self.pipeline.plan.is_some());
            }
            self.pipeline.apply(&mut self.tree, &mut self.watches, &mut out, 8);
        }
        assert_eq!(self.pipeline.counts().digest_mismatches, 0);
        told_by(out)
    }

    fn force(&mut self) -> Vec<Told> {
        self.put(Input::Durable(self.logged));
        self.told()
    }

    fn connect(&mut self, conn: ConnId, session: SessionId, password: &[u8]) {
        self.put(Input::Connect(Connect {
            conn,
            timeout_ms: 5000,
            session,
            password: Bytes::copy_from_slice(password),
            last_zxid_seen: Zxid::ZERO,
            read_only: false,
            has_read_only_byte: true,
        }));
    }

    fn open(&mut self, conn: ConnId) -> SessionId {
        self.connect(conn, SessionId::NONE, &[0; 16]);
        match self.force().pop().unwrap().then {
            Then::Established { session, .. } => session,
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, conn: ConnId, session: SessionId, xid: i32, op: OpCode, body: Vec<u8>) {
        let ids: Arc<[Id]> = Arc::new([]);
        let received_ms = self.now.mono_ms;
        self.put(Input::Request(Request { conn, session, xid, op, body: body.into(), ids, received_ms }));
    }
}

#[test]
fn nothing_is_told_of_a_write_before_its_record_is_forced() {
    let mut s = Server::new();
    s.connect(C1, SessionId::NONE, &[]);
    assert!(s.told().is_empty());
    let Then::Established { session, timeout_ms: 5000 } = s.force()[0].then else { panic!("no session") };
    s.ask(C1, session, 1, OpCode::Create, create("/a", 0));
    s.ask(C1, session, 2, OpCode::GetData, get("/a", false));
    assert!(s.told().is_empty());
    let told = s.force();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].answered, 2);
    assert_eq!(head(&told[0].frames[0]), (1, 2, 0));
    assert_eq!(head(&told[0].frames[1]), (2, 2, 0));
}

#[test]
fn a_read_sees_its_own_earlier_writes_and_not_its_later_ones() {
    let mut s = Server::new();
    let session = s.open(C1);
    s.ask(C1, session, 1, OpCode::Create, create("/a", 0));
    s.ask(C1, session, 2, OpCode::SetData, set("/a", b"one"));
    s.ask(C1, session, 3, OpCode::GetData, get("/a", false));
    s.ask(C1, session, 4, OpCode::SetData, set("/a", b"two"));
    s.ask(C1, session, 5, OpCode::GetData, get("/a", false));
    let told = s.force();
    let frames: Vec<_> = told.iter().flat_map(|t| &t.frames).collect();
    assert_eq!(frames.iter().map(|f| head(f).0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(&frames[2][16..23], b"\0\0\0\x03one");
    assert_eq!(&frames[4][16..23], b"\0\0\0\x03two");
}

#[test]
fn a_read_does_not_wait_for_the_writes_of_others() {
    let mut s = Server::new();
    let (one, two) = (s.open(C1), s.open(C2));
    s.ask(C1, one, 1, OpCode::Create, create("/a", 0));
    s.ask(C2, two, 1, OpCode::GetData, get("/a", false));
    let told = s.told();
    assert_eq!((told.len(), told[0].conn, head(&told[0].frames[0]).2), (1, C2, -101));
}

#[test]
fn the_event_of_ones_own_write_leaves_before_its_reply() {
    let mut s = Server::new();
    let session = s.open(C1);
    s.ask(C1, session, 1, OpCode::Create, create("/a", 0));
    s.ask(C1, session, 2, OpCode::GetData, get("/a", true));
    s.ask(C1, session, 3, OpCode::SetData, set("/a", b"two"));
    let told = s.force();
    let heads: Vec<_> = told.iter().flat_map(|t| &t.frames).map(|f| head(f)).collect();
    assert_eq!(heads, [(1, 2, 0), (2, 2, 0), (-1, 3, 0), (3, 3, 0)]);
}

#[test]
fn a_wrong_password_harms_nobody_and_the_right_one_moves_the_session() {
    let mut s = Server::new();
    let session = s.open(C1);
    s.connect(C2, session, &[7; 16]);
    let told = s.told();
    assert_eq!((told.len(), told[0].conn, told[0].then), (1, C2, Then::Close));
    assert_eq!(&told[0].frames[0][..16], &[0; 16], "timeout and session are 0");
    s.connect(C3, session, &crate::session::password(session));
    let told = s.told();
    assert_eq!((told[0].conn, told[0].then, told[0].frames.len()), (C1, Then::Close, 0));
    assert_eq!((told[1].conn, told[1].then), (C3, Then::Established { session, timeout_ms: 5000 }));
    // What the old connection still sends is not done any more.
    s.ask(C1, session, 1, OpCode::Create, create("/late", 0));
    let told = s.force();
    assert_eq!((told[0].conn, told[0].then, told[0].frames.len()), (C1, Then::Close, 0));
    assert!(s.tree.lookup("/late").is_none());
}

#[test]
fn a_session_is_taken_up_again_only_after_its_writes_in_flight() {
    let mut s = Server::new();
    let session = s.open(C1);
    s.ask(C1, session, 1, OpCode::Create, create("/a", 0));
    s.connect(C2, session, &crate::session::password(session));
    let told = s.told();
    assert_eq!((told.len(), told[0].conn, told[0].then), (1, C1, Then::Close));
    let told = s.force();
    assert_eq!(told.last().unwrap().then, Then::Established { session, timeout_ms: 5000 });
}

#[test]
fn a_client_from_the_future_is_sent_away_without_a_word() {
    let mut s = Server::new();
    s.put(Input::Connect(Connect {
        conn: C1,
        timeout_ms: 5000,
        session: SessionId::NONE,
        password: Bytes::new(),
        last_zxid_seen: Zxid(99),
        read_only: false,
        has_read_only_byte: false,
    }));
    assert_eq!(s.told(), [Told { conn: C1, frames: vec![], then: Then::Close, answered: 0 }]);
    assert_eq!(s.logged, Zxid::ZERO);
}

#[test]
fn a_session_expires_once_and_takes_its_ephemerals_along() {
    let mut s = Server::new();
    let (one, two) = (s.open(C1), s.open(C2));
    s.ask(C1, one, 1, OpCode::Create, create("/e", 1));
    s.ask(C2, two, 1, OpCode::GetData, get("/e", true));
    s.force();
    s.ask(C2, two, 2, OpCode::GetData, get("/e", true));
    s.told();
    s.pass(4000);
    s.put(Input::Touch(vec![(two, s.now.mono_ms)]));
    assert!(s.force().is_empty());
    s.pass(3000);
    let told = s.force();
    assert_eq!((told[0].conn, head(&told[0].frames[0]).0), (C2, -1));
    assert_eq!((told[1].conn, told[1].then), (C1, Then::Close));
    assert!(s.tree.lookup("/e").is_none());
    assert_eq!(s.pipeline.global_sessions(), [(two, 5000)]);
    s.put(Input::Touch(vec![(two, s.now.mono_ms)]));
    s.pass(3000);
    assert!(s.force().is_empty());
    assert_eq!(s.pipeline.counts().sessions_expired, 1);
}

#[test]
fn the_end_of_a_session_with_many_ephemerals_is_planned_and_seen_at_once() {
    let mut s = Server::new();
    let (one, two) = (s.open(C1), s.open(C2));
    s.ask(C1, one, 1, OpCode::Create, create("/p", 0));
    for n in 0..PLANNED_PATHS_MIN as i32 {
        s.ask(C1, one, 2 + n, OpCode::Create, create(&format!("/p/{n}"), 1));
    }
    s.force();
    s.ask(C2, two, 1, OpCode::GetData, get("/p/0", true));
    s.ask(C2, two, 2, OpCode::GetData, get("/p/7", true));
    s.told();
    // A write before it, one behind it, and a read behind that: all in one batch.
    s.ask(C2, two, 3, OpCode::SetData, set("/p", b"before"));
    s.ask(C1, one, 9999, OpCode::CloseSession, vec![]);
    s.ask(C2, two, 4, OpCode::Create, create("/p/0", 0));
    s.ask(C2, two, 5, OpCode::GetData, get("/p/7", false));
    let told = s.force();
    assert_eq!(s.plans, 1);
    let of_two = told.iter().filter(|t| t.conn == C2).flat_map(|t| &t.frames);
    let heads: Vec<_> = of_two.map(|f| (head(f).0, head(f).2)).collect();
    // Both notifications before what sees the change; the znode is new, or not there.
    assert_eq!(heads, [(3, 0), (-1, 0), (-1, 0), (4, 0), (5, -101)]);
    assert_eq!(told.iter().find(|t| t.conn == C1).map(|t| t.then), Some(Then::Close));
    assert_eq!(s.tree.lookup("/p").unwrap().child_count(), 1);
    assert!(!s.pipeline.wants_plan());
    assert!(s.pipeline.spent.is_empty() && s.pipeline.effects.is_empty());
}

#[test]
fn closing_answers_refuses_what_came_after_and_then_closes() {
    let mut s = Server::new();
    let session = s.open(C1);
    s.ask(C1, session, 1, OpCode::CloseSession, vec![]);
    s.ask(C1, session, 2, OpCode::Create, create("/a", 0));
    let told = s.force();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].then, Then::Close);
    let heads: Vec<_> = told[0].frames.iter().map(|f| head(f)).collect();
    assert_eq!(heads, [(1, 2, 0), (2, 2, -112)]);
    assert!(s.pipeline.global_sessions().is_empty());
    s.connect(C2, session, &crate::session::password(session));
    assert_eq!(s.told()[0].then, Then::Close);
}

#[test]
fn a_request_that_waited_too_long_is_refused_in_its_place() {
    let mut s = Server::new();
    s.pipeline.config.throttled_op_wait_ms = 100;
    let session = s.open(C1);
    s.ask(C1, session, 1, OpCode::Create, create("/a", 0));
    let ids: Arc<[Id]> = Arc::new([]);
    for (xid, op, waited_ms) in [(2, OpCode::SetData, 101), (3, OpCode::SetData, 100), (4, OpCode::Ping, 500)]
    {
        let received_ms = s.now.mono_ms - waited_ms;
        let body = if op == OpCode::Ping { Vec::new() } else { set("/a", b"y") };
        let (conn, ids) = (C1, ids.clone());
        s.put(Input::Request(Request { conn, session, xid, op, body: body.into(), ids, received_ms }));
    }
    let told: Vec<_> = s.force().iter().flat_map(|t| &t.frames).map(|f| (head(f).0, head(f).2)).collect();
    assert_eq!(told, [(1, 0), (2, ErrorCode::ThrottledOp.code()), (3, 0), (-2, 0)]);
    assert_eq!(s.pipeline.counts().throttled, 1);
}

#[test]
fn a_body_that_cannot_be_read_gets_an_error_and_no_zxid_of_its_own() {
    let mut s = Server::new();
    let session = s.open(C1);
    s.ask(C1, session, 1, OpCode::Create, vec![0, 0]);
    s.ask(C1, session, 2, OpCode::Create, create("/a", 0));
    let told = s.force();
    let heads: Vec<_> = told.iter().flat_map(|t| &t.frames).map(|f| head(f)).collect();
    assert_eq!(heads, [(1, 1, -5), (2, 2, 0)]);
}

#[test]
fn ttl_znodes_go_when_their_time_is_over_and_not_faster_than_allowed() {
    let mut s = Server::new();
    let session = s.open(C1);
    for i in 0..500 {
        let body = create(&format!("/t{i:03}"), 5);
        let body = [&body[..], &1000i64.to_be_bytes()].concat();
        s.ask(C1, session, i, OpCode::CreateTtl, body);
    }
    s.force();
    for _ in 0..20 {
        s.put(Input::Touch(vec![(session, s.now.mono_ms)]));
        s.pass(3000);
        s.force();
    }
    let left = s.tree.ttls().count();
    assert!((1..500).contains(&left), "about 167 a second may go, {left} of 500 are left");
    for _ in 0..3 {
        s.pass(1000);
        s.force();
    }
    assert_eq!(s.tree.ttls().count(), 0);
}

#[test]
fn a_container_goes_once_it_is_empty_again_and_an_unused_one_only_by_its_own_time() {
    for (never_used_max_ms, unused_stays) in [(0, true), (70_000, false)] {
        let mut s = Server::with_reaper(ReaperConfig { never_used_max_ms, ..ReaperConfig::default() });
        let session = s.open(C1);
        for (xid, op, path) in [
            (1, OpCode::CreateContainer, "/used"),
            (2, OpCode::CreateContainer, "/unused"),
            (3, OpCode::CreateContainer, "/full"),
            (4, OpCode::Create, "/used/kid"),
            (5, OpCode::Create, "/full/kid"),
        ] {
            s.ask(C1, session, xid, op, create(path, if op == OpCode::Create { 0 } else { 4 }));
        }
        let delete = rec::DeleteRequest { path: Some("/used/kid".into()), version: -1 };
        s.ask(C1, session, 6, OpCode::Delete, to_vec(&delete));
        s.force();
        let pass_a_minute = |s: &mut Server| {
            for _ in 0..21 {
                s.put(Input::Touch(vec![(session, s.now.mono_ms)]));
                s.pass(3000);
                s.force();
            }
        };
        assert!(s.tree.lookup("/used").is_some());
        pass_a_minute(&mut s);
        assert!(s.tree.lookup("/used").is_none(), "looked after once a minute");
        assert!(s.tree.lookup("/unused").is_some(), "70 s are not over");
        pass_a_minute(&mut s);
        assert_eq!(s.tree.lookup("/unused").is_some(), unused_stays);
        assert!(s.tree.lookup("/full").is_some());
    }
}

#[test]
fn a_jump_of_the_wall_clock_expires_nobody() {
    const DAY_MS: i64 = 86_400_000;
    let mut s = Server::new();
    let session = s.open(C1);
    for jump_ms in [DAY_MS, -2 * DAY_MS] {
        s.now.wall_ms += jump_ms;
        s.put(Input::Touch(vec![(session, s.now.mono_ms)]));
        s.pass(4000);
        assert!(s.force().is_empty());
    }
    assert_eq!(s.pipeline.global_sessions(), [(session, 5000)]);
    s.pass(3000);
    assert_eq!(s.force()[0].then, Then::Close, "silence still ends it");
}

#[test]
fn a_watch_is_not_told_to_one_who_may_no_longer_read() {
    let mut s = Server::new();
    let (writer, watcher) = (s.open(C1), s.open(C2));
    s.ask(C1, writer, 1, OpCode::Create, create("/a", 0));
    s.force();
    let add = rec::AddWatchRequest { path: Some("/a".into()), mode: 0 };
    s.ask(C2, watcher, 1, OpCode::AddWatch, to_vec(&add));
    assert_eq!(head(&s.told()[0].frames[0]).2, 0);
    const READ: i32 = 1;
    for (xid, perms) in [(2, 31 & !READ), (4, 31)] {
        let id = data::Id { scheme: Some("world".into()), id: Some("anyone".into()) };
        let acl = Some(vec![data::Acl { perms, id }]);
        let set_acl = rec::SetAclRequest { path: Some("/a".into()), acl, version: -1 };
        s.ask(C1, writer, xid, OpCode::SetAcl, to_vec(&set_acl));
        s.ask(C1, writer, xid + 1, OpCode::SetData, set("/a", b"new"));
        let told = s.force();
        let to_watcher: Vec<_> = told.iter().filter(|t| t.conn == C2).flat_map(|t| &t.frames).collect();
        assert_eq!(to_watcher.len(), usize::from(perms & READ != 0), "{perms}");
    }
}

#[test]
fn what_is_written_and_read_behind_it_counts_under_the_first_component() {
    let mut s = Server::new();
    let session = s.open(C1);
    let multi = {
        let header = |op: OpCode| to_vec(&rec::MultiHeader { type_: op.code(), done: false, err: -1 });
        let end = to_vec(&rec::MultiHeader { type_: -1, done: true, err: -1 });
        [header(OpCode::SetData), set("/a", b"12345"), header(OpCode::SetData), set("/b", b""), end].concat()
    };
    let mut bytes_of = |op, body: Vec<u8>| {
        s.ask(C1, session, 1, op, body);
        s.force();
        let mut taken = std::collections::BTreeMap::new();
        s.pipeline
            .bytes_written()
            .take(|namespace, totals| _ = taken.insert(namespace.to_owned(), totals.sum));
        taken.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(bytes_of(OpCode::Create, create("/a", 0)), [("a".to_owned(), 3)]);
    assert_eq!(bytes_of(OpCode::Create, create("/b", 0)), [("b".to_owned(), 3)]);
    assert_eq!(bytes_of(OpCode::Create, create("/a", 0)), [], "it is there already");
    assert_eq!(bytes_of(OpCode::Create, create("/a/e", 1)), [("a".to_owned(), 5)]);
    assert_eq!(bytes_of(OpCode::SetData, set("/a", b"1234")), [("a".to_owned(), 6)]);
    assert_eq!(bytes_of(OpCode::Multi, multi), [("a".to_owned(), 7), ("b".to_owned(), 2)]);
    let delete = to_vec(&rec::DeleteRequest { path: Some("/b".into()), version: -1 });
    assert_eq!(bytes_of(OpCode::Delete, delete), [("b".to_owned(), 2)]);
    assert_eq!(bytes_of(OpCode::CloseSession, vec![]), [("a".to_owned(), 4)], "its ephemeral");
    // A read that waits for a write is counted here, too.
    let session = s.open(C2);
    s.ask(C2, session, 1, OpCode::SetData, set("/a", b""));
    s.ask(C2, session, 2, OpCode::GetData, get("/a", false));
    s.force();
    let mut taken = Vec::new();
    s.pipeline.bytes_read().take(|namespace, totals| taken.push((namespace.to_owned(), totals.sum)));
    assert_eq!(taken, [("a".to_owned(), 70)]);
}
