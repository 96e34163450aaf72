use super::{oracle::Oracle, server::Server};
use crate::{
    pipeline::{Connect, Deliveries, Input, Request, Then},
    session::password,
    sim::{
        rng::Rng,
        write::{Write, encode, simple},
    },
    types::{ConnId, SessionId, Zxid},
};
use bytes::Bytes;
use quoll_jute::client as rec;
use std::collections::{BTreeMap, VecDeque};

const CLIENTS_MAX: usize = 3;
const TIMEOUT_MS: i32 = 40_000;

#[derive(Default)]
struct Client {
    session: Option<SessionId>,
    xid: i32,
    /// xid and the oracle's number of every write that waits for its answer.
    waiting: VecDeque<(i32, usize)>,
    closing: bool,
}

/// A few clients, each with one connection.
#[derive(Default)]
pub(super) struct Clients {
    by_conn: BTreeMap<ConnId, Client>,
    serial: u32,
    /// Sessions to take up again.
    orphaned: Vec<SessionId>,
    value: u64,
}

impl Clients {
    /// One client does something.
    pub(super) fn send(&mut self, server: &mut Server, oracle: &mut Oracle, rng: &mut Rng) {
        if self.by_conn.len() < CLIENTS_MAX {
            self.connect(server, None);
            return;
        }
        let at = rng.below(self.by_conn.len() as u64) as usize;
        let Some((&conn, client)) = self.by_conn.iter_mut().nth(at) else { return };
        let Some(session) = client.session.filter(|_| !client.closing) else { return };
        self.value += 1;
        let write = match rng.below(100) {
            0..2 => Write::Close { session },
            2..15 => {
                Write::Multi((0..rng.below(4)).map(|i| simple(rng, session, self.value * 10 + i)).collect())
            }
            _ => simple(rng, session, self.value * 10),
        };
        client.closing = matches!(write, Write::Close { .. });
        client.xid += 1;
        let (op, body) = encode(&write);
        let serial = oracle.sent(write);
        client.waiting.push_back((client.xid, serial));
        let received_ms = server.now().mono_ms;
        let xid = client.xid;
        let ids = [].into();
        server.put(Input::Request(Request { conn, session, xid, op, body: body.into(), ids, received_ms }));
    }

    fn connect(&mut self, server: &mut Server, session: Option<SessionId>) {
        self.serial += 1;
        let conn = ConnId { worker: 0, serial: self.serial };
        self.by_conn.insert(conn, Client::default());
        let secret = session.map(password).unwrap_or_default();
        server.put(Input::Connect(Connect {
            conn,
            timeout_ms: TIMEOUT_MS,
            session: session.unwrap_or(SessionId::NONE),
            password: Bytes::copy_from_slice(&secret),
            last_zxid_seen: Zxid::ZERO,
            read_only: false,
            has_read_only_byte: true,
        }));
    }

    /// The server is gone.
    pub(super) fn disconnect(&mut self) {
        let gone = std::mem::take(&mut self.by_conn);
        self.orphaned.extend(gone.into_values().filter(|c| !c.closing).filter_map(|c| c.session));
    }

    /// Every session that was open must be taken up again.
    pub(super) fn reconnect(&mut self, server: &mut Server, oracle: &mut Oracle) -> Result<(), String> {
        for session in std::mem::take(&mut self.orphaned) {
            self.connect(server, Some(session));
        }
        self.receive(server.answers(), oracle)?;
        match self.by_conn.values().find(|c| c.session.is_none()) {
            Some(_) => Err("a session could not be taken up again".into()),
            None => Ok(()),
        }
    }

    /// Clients are told something.
    pub(super) fn receive(&mut self, told: Deliveries, oracle: &mut Oracle) -> Result<(), String> {
        let Some(worker) = told.workers.first() else { return Ok(()) };
        let mut bytes = &worker.bytes[..];
        for d in &worker.items {
            let (mut mine, rest) = bytes.split_at(d.len);
            bytes = rest;
            if let Then::Established { session, .. } = d.then {
                let client = self.by_conn.get_mut(&d.conn).ok_or("a session for nobody")?;
                client.session = Some(session);
                oracle.session(session, d.zxid);
                continue;
            }
            while !mine.is_empty() {
                let len = i32::from_be_bytes(mine[..4].try_into().expect("4 bytes")) as usize;
                let (frame, rest) = mine[4..].split_at(len);
                mine = rest;
                let client = self.by_conn.get_mut(&d.conn).ok_or("an answer for nobody")?;
                let head: rec::ReplyHeader =
                    quoll_jute::from_slice(frame).map_err(|e| format!("an answer without a head: {e}"))?;
                let (xid, serial) = client.waiting.pop_front().ok_or("an answer to nothing")?;
                if xid != head.xid {
                    return Err(format!("request {xid} was answered as {}", head.xid));
                }
                oracle.answer(serial, Zxid(head.zxid), head.err)?;
            }
            if d.then == Then::Close {
                self.by_conn.remove(&d.conn);
            }
        }
        Ok(())
    }
}
