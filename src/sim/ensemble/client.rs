//! Clients: a session each, one connection at a time, to whichever member answers.

use super::{
    ghost::{Check, Ghost},
    model::Watched,
    properties::{
        Seen,
        clients::{self as rules, Answer},
    },
    world::{Event, Us, World},
};
use crate::{
    sim::write::{Write, encode, simple},
    tree::CONFIG_PATH,
    types::{OpCode, SessionId, Zxid},
};
use bytes::Bytes;
use quoll_jute::{Reader, Record, client as rec, to_vec};
use std::collections::{BTreeMap, VecDeque};

const XID_NOTIFICATION: i32 = -1;
pub(super) const XID_PING: i32 = -2;
const XID_SET_WATCHES: i32 = -8;
/// Requests that a client has under way, at most.
const PENDING_MAX: usize = 5;

/// A read that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub path: String,
    pub children: bool,
    pub watch: bool,
    /// What it has to show at least.
    pub floor: Zxid,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Ping,
    Write(Write),
    Read(Read),
    Sync,
    SetWatches,
    /// What are the members?
    Config,
}

#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub xid: i32,
    pub what: What,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Connect { session: SessionId, timeout_ms: i32, last_seen: Zxid, read_only: bool },
    Request { xid: i32, op: OpCode, body: Bytes },
}

impl Ask {
    pub fn name(&self) -> String {
        match self {
            Ask::Connect { session, .. } => format!("connects for session {session}"),
            Ask::Request { xid, op, .. } => format!("asks {xid}, {op:?}"),
        }
    }
}

/// What a member tells a client.
#[derive(Clone, Debug)]
pub(super) enum Tell {
    Frames(Vec<u8>),
    Closed,
}

pub(super) struct Client {
    index: usize,
    timeout_ms: i32,
    pub session: Option<SessionId>,
    /// Number of its connection, which is the serial of the member's too.
    pub conn: Option<u32>,
    established: bool,
    /// Its member has no leader, and takes no writes.
    pub read_only: bool,
    xid: i32,
    pending: VecDeque<Pending>,
    /// The newest state it has seen.
    pub seen: Zxid,
    heard_us: Us,
    said_us: Us,
    /// Watches that are set, by path, with the state that they were set in.
    pub armed: BTreeMap<(String, Watched), Zxid>,
    closing: bool,
    /// It has stopped for good, and its session has to end.
    pub dead: bool,
    /// It sends no writes any more, only signs of life.
    pub calm: bool,
    /// The member it prefers, and the write it wants done there at the end of a run.
    pub errand: Option<Errand>,
    value: u64,
    pub acknowledged: u64,
}

/// A write that one certain member has to get done.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    pub node: usize,
    pub done: bool,
}

impl Client {
    pub fn new(index: usize, timeout_ms: i32) -> Self {
        Self {
            index,
            timeout_ms,
            session: None,
            conn: None,
            established: false,
            read_only: false,
            xid: 0,
            pending: VecDeque::new(),
            seen: Zxid::ZERO,
            heard_us: 0,
            said_us: 0,
            armed: BTreeMap::new(),
            closing: false,
            dead: false,
            calm: false,
            errand: None,
            value: (index as u64 + 1) << 32,
            acknowledged: 0,
        }
    }

    pub fn name(&self) -> String {
        match self.session {
            Some(session) => format!("client {} (session {session})", self.index),
            None => format!("client {}", self.index),
        }
    }

    pub fn is_established(&self) -> bool {
        self.established
    }

    pub fn is_idle(&self) -> bool {
        self.pending.iter().all(|p| matches!(p.what, What::Ping))
    }

    /// The connection is gone. What was under way may or may not happen.
    fn disconnected(&mut self) {
        self.conn = None;
        self.established = false;
        self.pending.clear();
        if self.closing {
            self.forget_session();
        }
    }

    fn forget_session(&mut self) {
        self.session = None;
        self.closing = false;
        self.armed.clear();
        self.xid += 1000;
        // A new session may begin anywhere.
        self.seen = Zxid::ZERO;
    }
}

impl World {
    /// A client's turn to do something.
    pub(super) fn client_turn(&mut self, index: usize) {
        let now_us = self.now_us;
        let client = &self.clients[index];
        if client.dead {
            return;
        }
        let pause_us = if client.calm { 60_000 } else { 20_000 + self.rng.below(100_000) as Us };
        self.at(now_us + pause_us, Event::Client { index });
        let client = &mut self.clients[index];
        let timeout_us = Us::from(client.timeout_ms) * 1000;
        match client.conn {
            None => self.client_connects(index),
            Some(conn) if now_us - client.heard_us > timeout_us * 2 / 3 => {
                // Nothing heard for long: try another member.
                self.client_hangs_up(index, conn);
            }
            Some(_) if !client.established => {}
            Some(_) => self.client_asks(index),
        }
    }

    fn client_connects(&mut self, index: usize) {
        let node = match &self.clients[index].errand {
            Some(errand) => errand.node,
            None => self.rng.below(self.nodes.len() as u64) as usize,
        };
        let now_us = self.now_us;
        let client = &mut self.clients[index];
        let session = client.session.unwrap_or(SessionId::NONE);
        // Every other client is content with a member that takes no writes.
        let read_only = index % 2 == 1 && !client.calm;
        let ask = Ask::Connect { session, timeout_ms: client.timeout_ms, last_seen: client.seen, read_only };
        client.heard_us = now_us;
        let Some(conn) = self.open_conn(index, node) else { return };
        self.clients[index].conn = Some(conn);
        self.ask(conn, ask);
    }

    fn client_hangs_up(&mut self, index: usize, conn: u32) {
        self.clients[index].disconnected();
        self.hang_up(conn);
    }

    fn client_asks(&mut self, index: usize) {
        let (draw, second) = (self.rng.below(100), self.rng.below(100));
        let now_us = self.now_us;
        let client = &self.clients[index];
        let Some(session) = client.session else { return };
        if client.pending.len() >= PENDING_MAX || client.closing {
            return;
        }
        if client.calm {
            let wants = client.errand.as_ref().is_some_and(|e| !e.done);
            if wants && client.is_idle() {
                self.client_writes(index, session);
            } else if now_us - client.said_us > Us::from(client.timeout_ms) * 1000 / 4 {
                self.client_request(index, What::Ping);
            }
            return;
        }
        if self.settings.reconfig && self.client_asks_about_members(index) {
            return;
        }
        let client = &self.clients[index];
        match draw {
            0..50 => self.client_writes(index, session),
            50..80 => self.client_reads(index, second < 40, Zxid::ZERO),
            80..90 => {
                let floor = self.ghost.tip();
                self.client_request(index, What::Sync);
                self.client_reads(index, false, floor);
            }
            _ if now_us - client.said_us > Us::from(client.timeout_ms) * 1000 / 4 => {
                self.client_request(index, What::Ping);
            }
            _ => {}
        }
    }

    /// Now and then a client changes the members, or asks who they are. Whether it has.
    fn client_asks_about_members(&mut self, index: usize) -> bool {
        match self.extra.below(100) {
            0..4 => {
                let write = self.some_change();
                self.say(|| format!("client {index} asks for {write:?}"));
                self.client_request(index, What::Write(write));
            }
            4..8 => self.client_request(index, What::Config),
            _ => return false,
        }
        true
    }

    fn client_writes(&mut self, index: usize, session: SessionId) {
        let client = &mut self.clients[index];
        client.value += 1;
        let (value, calm) = (client.value, client.calm);
        let write = match self.rng.below(100) {
            0..1 if !calm => Write::Close { session },
            1..10 => {
                let count = self.rng.below(4);
                Write::Multi((0..count).map(|i| simple(&mut self.rng, session, value * 10 + i)).collect())
            }
            _ => simple(&mut self.rng, session, value * 10),
        };
        self.client_request(index, What::Write(write));
    }

    fn client_reads(&mut self, index: usize, watch: bool, floor: Zxid) {
        let mut path = format!("/k{}", self.rng.below(5));
        let children = self.rng.chance(30);
        if !children && self.rng.chance(50) {
            path.push_str(&format!("/c{}", self.rng.below(4)));
        }
        self.client_request(index, What::Read(Read { path, children, watch, floor }));
    }

    fn client_request(&mut self, index: usize, what: What) {
        let now_us = self.now_us;
        let client = &mut self.clients[index];
        let (Some(conn), Some(session)) = (client.conn, client.session) else { return };
        let (op, body) = match &what {
            What::Ping => (OpCode::Ping, Vec::new()),
            What::Write(write) => encode(write),
            What::Sync => (OpCode::Sync, to_vec(&rec::SyncRequest { path: Some("/".into()) })),
            What::Config => {
                let request = rec::GetDataRequest { path: Some(CONFIG_PATH.into()), watch: false };
                (OpCode::GetData, to_vec(&request))
            }
            What::Read(Read { path, children: true, watch, .. }) => {
                let request = rec::GetChildrenRequest { path: Some(path.as_str().into()), watch: *watch };
                (OpCode::GetChildren, to_vec(&request))
            }
            What::Read(Read { path, watch, .. }) => {
                let request = rec::GetDataRequest { path: Some(path.as_str().into()), watch: *watch };
                (OpCode::GetData, to_vec(&request))
            }
            What::SetWatches => {
                let of = |wanted: Watched| {
                    let paths = client.armed.keys().filter(move |(_, what)| *what == wanted);
                    Some(paths.map(|(path, _)| Some(path.as_str().into())).collect::<Vec<_>>())
                };
                let request = rec::SetWatches {
                    relative_zxid: client.seen.0,
                    data_watches: of(Watched::Node),
                    exist_watches: Some(Vec::new()),
                    child_watches: of(Watched::Children),
                };
                (OpCode::SetWatches, to_vec(&request))
            }
        };
        let xid = match what {
            What::Ping => XID_PING,
            What::SetWatches => XID_SET_WATCHES,
            _ => {
                client.xid += 1;
                client.xid
            }
        };
        if let What::Write(write) = &what {
            client.closing = matches!(write, Write::Close { .. });
            self.ghost.asked.insert((session, xid), write.clone());
        }
        client.pending.push_back(Pending { xid, what });
        client.said_us = now_us;
        self.ask(conn, Ask::Request { xid, op, body: body.into() });
    }

    /// A client hears something on a connection.
    pub(super) fn told(&mut self, index: usize, conn: u32, tell: Tell) -> Check {
        let now_us = self.now_us;
        let client = &mut self.clients[index];
        if client.conn != Some(conn) {
            return Ok(());
        }
        let bytes = match tell {
            Tell::Closed => {
                client.disconnected();
                return Ok(());
            }
            Tell::Frames(bytes) => bytes,
        };
        client.heard_us = now_us;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let len = i32::from_be_bytes(rest[..4].try_into().expect("4 bytes")) as usize;
            let frame;
            (frame, rest) = rest[4..].split_at(len);
            if self.clients[index].established {
                self.client_hears(index, frame)?;
            } else {
                self.client_connected(index, conn, frame)?;
            }
        }
        Ok(())
    }

    fn client_connected(&mut self, index: usize, conn: u32, frame: &[u8]) -> Check {
        let client = &mut self.clients[index];
        let r = &mut Reader::new(frame);
        let found =
            rec::ConnectResponse::read(r).map_err(|e| format!("a connect answer cannot be read: {e}"))?;
        if found.session_id == 0 {
            let session = client.session.ok_or("a session is refused to a client that has none")?;
            rules::refused(&self.ghost, session, client.seen, self.settings.local_sessions)?;
            self.refusals += 1;
            client.disconnected();
            client.forget_session();
            self.hang_up(conn);
            return Ok(());
        }
        client.established = true;
        client.read_only = r.remaining() == [1];
        let session = SessionId(found.session_id);
        if client.session.is_some_and(|mine| mine != session) {
            return Err(format!("{} is given session {session}", client.name()));
        }
        client.session = Some(session);
        rules::taken_up(&self.ghost, session, self.settings.local_sessions)?;
        if !client.armed.is_empty() {
            self.client_request(index, What::SetWatches);
        }
        Ok(())
    }

    fn client_hears(&mut self, index: usize, frame: &[u8]) -> Check {
        let r = &mut Reader::new(frame);
        let head = rec::ReplyHeader::read(r).map_err(|e| format!("an answer has no header: {e}"))?;
        let client = &mut self.clients[index];
        if head.xid == XID_NOTIFICATION {
            let event = rec::WatcherEvent::read(r).map_err(|e| format!("no notification: {e}"))?;
            let path = event.path.unwrap_or_default().into_owned();
            // A member that is asked to set the watches of a session may tell of one change for each kind of them.
            let asks = client.pending.front().is_some_and(|p| matches!(p.what, What::SetWatches));
            return rules::notified(&self.ghost, client, event.type_, &path, asks && head.zxid == -1);
        }
        let pending =
            client.pending.pop_front().ok_or(format!("{} gets an answer too many", client.name()))?;
        rules::in_order(client, &pending, head.xid)?;
        let answer = Answer { zxid: Zxid(head.zxid), err: head.err, body: r.remaining() };
        let zxid = answer.zxid;
        if matches!(pending.what, What::SetWatches) {
            rearmed(&self.ghost, client, zxid);
        }
        rules::state_seen(&self.ghost, client, zxid)?;
        client.seen = zxid;
        match &pending.what {
            What::Ping | What::Sync | What::SetWatches => {}
            What::Config => rules::config_answered(&self.ghost, client, &answer)?,
            What::Read(read) => {
                rules::read_answered(&self.ghost, client, read, &answer)?;
                self.reads += 1;
                if read.watch && answer.err == 0 {
                    let what = if read.children { Watched::Children } else { Watched::Node };
                    client.armed.entry((read.path.clone(), what)).or_insert(zxid);
                }
            }
            What::Write(write) => {
                let session = client.session.ok_or("an answer without a session")?;
                let local = self.settings.local_sessions;
                let done =
                    rules::write_answered(&self.ghost, client, session, pending.xid, write, &answer, local)?;
                if let Some(errand) = &mut client.errand
                    && self.ghost.ended.contains_key(&(session, pending.xid))
                {
                    errand.done = true;
                }
                if done {
                    client.acknowledged += 1;
                    if matches!(write, Write::Close { .. }) {
                        let conn = client.conn;
                        client.disconnected();
                        conn.into_iter().for_each(|conn| self.hang_up(conn));
                    }
                    self.ghost.show(Seen::Acknowledged { zxid })?;
                }
            }
        }
        Ok(())
    }
}

/// The member has looked at all watches at this state: what had changed was told, what has not is set.
fn rearmed(ghost: &Ghost, client: &mut Client, zxid: Zxid) {
    // A client asks relative to the newest state it saw; changes up to that one were told on the old connection, or the
    // watch would not be armed any more.
    let seen = client.seen;
    for ((path, what), since) in &mut client.armed {
        if ghost.model.changed(path, *what, seen, zxid).is_none() {
            *since = zxid;
        }
    }
}
