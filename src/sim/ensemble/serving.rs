//! Clients' connections as a member's worker keeps them, and the way between.

use super::{
    client::{Ask, Tell, XID_PING},
    net::Process,
    node::{Conn, Running},
    properties::Seen,
    world::{Event, Stop, Us, World},
};
use crate::{
    member::{Input, Part},
    ops::{self, OpsConfig, ReadCx},
    pipeline::{
        self, ConnWatches, Connect, Deliveries, Now, Request, Then, write_reply_frame, write_result_frame,
    },
    session::password,
    types::{ConnId, ErrorCode, Id, NamespaceTotals, OpCode, SessionId, TxnBody, Zxid},
    zab::Packet,
};
use bytes::Bytes;
use std::sync::Arc;

/// How long a worker keeps a session's sign of life to itself at most.
const TOUCH_FLUSH_US: Us = 50_000;

/// The connection of a client to a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    pub client: usize,
    pub process: Process,
    up_free_us: Us,
    down_free_us: Us,
}

fn conn_id(conn: u32) -> ConnId {
    ConnId { worker: 0, serial: conn }
}

impl World {
    /// A client connects; `None` when nobody is there.
    pub(super) fn open_conn(&mut self, client: usize, node: usize) -> Option<u32> {
        if !self.nodes[node].is_up() {
            return None;
        }
        self.last_conn += 1;
        let process = Process { node, life: self.nodes[node].life };
        let wire = Wire { client, process, up_free_us: 0, down_free_us: 0 };
        self.wires.insert(self.last_conn, wire);
        Some(self.last_conn)
    }

    /// A client sends something.
    pub(super) fn ask(&mut self, conn: u32, ask: Ask) {
        let at = self.now_us + self.delay_us();
        if let Some(wire) = self.wires.get_mut(&conn) {
            let at = at.max(wire.up_free_us + 1);
            wire.up_free_us = at;
            self.at(at, Event::Asked { conn, ask });
        }
    }

    /// A member sends something to a client.
    pub(super) fn tell(&mut self, conn: u32, tell: Tell) {
        let at = self.now_us + self.delay_us();
        if let Some(wire) = self.wires.get_mut(&conn) {
            let at = at.max(wire.down_free_us + 1);
            wire.down_free_us = at;
            let client = wire.client;
            self.at(at, Event::Told { client, conn, tell });
        }
    }

    /// A client closes its connection.
    pub(super) fn hang_up(&mut self, conn: u32) {
        let at = self.now_us + self.delay_us();
        self.at(at, Event::HungUp { conn });
    }

    /// The member notices.
    pub(super) fn hung_up(&mut self, conn: u32) -> Result<(), Stop> {
        let Some(wire) = self.wires.remove(&conn) else { return Ok(()) };
        let node = &mut self.nodes[wire.process.node];
        if !node.is_life(wire.process.life) {
            return Ok(());
        }
        let Some(run) = &mut node.run else { return Ok(()) };
        let Some(gone) = run.conns.remove(&conn_id(conn)) else { return Ok(()) };
        run.watches.drop_connection(conn_id(conn));
        let input = pipeline::Input::Gone { conn: conn_id(conn), session: gone.session };
        self.turn(wire.process.node, Input::Pipeline(input))
    }

    /// Something of a client arrives at its member.
    pub(super) fn asked(&mut self, conn: u32, ask: Ask) -> Result<(), Stop> {
        let Some(wire) = self.wires.get(&conn) else { return Ok(()) };
        let n = wire.process.node;
        if !self.nodes[n].is_life(wire.process.life) {
            return Ok(());
        }
        let now = self.nodes[n].now(self.now_us);
        self.say(|| format!("conn {conn} at node {n}: {}", ask.name()));
        let Some(run) = &mut self.nodes[n].run else { return Ok(()) };
        let id = conn_id(conn);
        match ask {
            Ask::Connect { session, timeout_ms, last_seen, read_only } => {
                if !run.member.part().serves() {
                    self.tell(conn, Tell::Closed);
                    self.wires.remove(&conn);
                    return Ok(());
                }
                run.conns.insert(id, Conn { session: SessionId::NONE, waiting: 0 });
                let secret = if session == SessionId::NONE { [0; 16] } else { password(session) };
                let connect = Connect {
                    conn: id,
                    timeout_ms,
                    session,
                    password: Bytes::copy_from_slice(&secret),
                    last_zxid_seen: last_seen,
                    read_only,
                    has_read_only_byte: true,
                };
                self.turn(n, Input::Pipeline(pipeline::Input::Connect(connect)))
            }
            Ask::Request { xid, op, body } => {
                let Some(kept) = run.conns.get_mut(&id) else { return Ok(()) };
                let session = kept.session;
                // Only the super user may change the members.
                let ids: Arc<[Id]> =
                    if op == OpCode::Reconfig { [Id::new("super", "")].into() } else { [].into() };
                if !ops::is_write(op) && op != OpCode::Sync && kept.waiting == 0 {
                    let mut frames = Vec::new();
                    serve_now(run, id, session, xid, op, &body, &ids, &mut frames);
                    if run.touch(session, now) {
                        let life = self.nodes[n].life;
                        let at = self.now_us + TOUCH_FLUSH_US;
                        self.at(at, Event::Touches { process: Process { node: n, life } });
                    }
                    self.tell(conn, Tell::Frames(frames));
                    return Ok(());
                }
                kept.waiting += 1;
                let received_ms = now.mono_ms;
                let request = Request { conn: id, session, xid, op, body, ids, received_ms };
                self.turn(n, Input::Pipeline(pipeline::Input::Request(request)))
            }
        }
    }

    pub(super) fn touches(&mut self, n: usize) -> Result<(), Stop> {
        let Some(run) = &mut self.nodes[n].run else { return Ok(()) };
        let touched = std::mem::take(&mut run.touched);
        self.turn(n, Input::Pipeline(pipeline::Input::Touch(touched)))
    }

    /// Takes out what a member's clients are told.
    pub(super) fn deliver(&mut self, n: usize, run: &mut Running, told: Deliveries) {
        for worker in told.workers {
            let mut bytes = &worker.bytes[..];
            for d in &worker.items {
                let (mine, rest) = bytes.split_at(d.len);
                bytes = rest;
                let conn = d.conn.serial;
                self.say(|| {
                    format!("conn {conn} at node {n}: {} answered, at {}, {:?}", d.answered, d.zxid, d.then)
                });
                let Some(kept) = run.conns.get_mut(&d.conn) else { continue };
                kept.waiting -= d.answered.min(kept.waiting);
                if let Then::Established { session, .. } = d.then {
                    kept.session = session;
                }
                if !mine.is_empty() {
                    self.tell(conn, Tell::Frames(mine.to_vec()));
                }
                if d.then == Then::Close {
                    self.close_conn(run, d.conn);
                }
            }
        }
    }

    fn close_conn(&mut self, run: &mut Running, conn: ConnId) {
        let Some(gone) = run.conns.remove(&conn) else { return };
        run.watches.drop_connection(conn);
        run.gone(conn, gone.session);
        self.tell(conn.serial, Tell::Closed);
        self.wires.remove(&conn.serial);
    }

    pub(super) fn close_clients(&mut self, run: &mut Running) {
        for conn in run.conns.keys().copied().collect::<Vec<_>>() {
            self.close_conn(run, conn);
        }
    }

    /// Signs of life that a leader is told of.
    pub(super) fn note_heard(
        &mut self,
        n: usize,
        run: &Running,
        now: Now,
        input: &Input,
    ) -> Result<(), Stop> {
        if run.member.part() != Part::Leading {
            return Ok(());
        }
        match input {
            Input::Pipeline(pipeline::Input::Touch(heard)) => {
                for (session, at_ms) in heard {
                    self.ghost.show(Seen::Heard { node: n, session: *session, at_ms: *at_ms })?;
                }
            }
            Input::LinkPacket { packet: Packet::Pong { touched, .. }, .. } => {
                for (session, _) in touched {
                    self.ghost.show(Seen::Heard { node: n, session: *session, at_ms: now.mono_ms })?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A leader has made a txn: of interest is when it begins or ends a session.
    pub(super) fn note_expiry(&mut self, n: usize, now: Now, zxid: Zxid) -> Result<(), Stop> {
        let Some(proposal) = self.ghost.proposals.get(&zxid) else { return Ok(()) };
        let (session, at_ms) = (proposal.txn.session, now.mono_ms);
        match proposal.txn.body {
            TxnBody::CreateSession { .. } => {
                // A slow disk may have kept the txn from the log for a while. A clock set back meanwhile hides how long.
                let waited_ms = now.wall_ms - proposal.txn.time_ms;
                if waited_ms >= 0 {
                    self.ghost.show(Seen::Heard { node: n, session, at_ms: at_ms - waited_ms })?;
                }
            }
            TxnBody::CloseSession { .. } if proposal.txn.cxid == 0 => {
                self.expiries += 1;
                self.ghost.show(Seen::Expires { node: n, session, at_ms })?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// A read of a connection that waits for nothing, as its worker serves it.
#[allow(clippy::too_many_arguments)]
fn serve_now(
    run: &mut Running,
    conn: ConnId,
    session: SessionId,
    xid: i32,
    op: OpCode,
    body: &[u8],
    ids: &Arc<[Id]>,
    out: &mut Vec<u8>,
) {
    let zxid = run.tree.last_zxid();
    if op == OpCode::Ping {
        write_reply_frame(out, XID_PING, zxid, 0, |_| {});
        return;
    }
    let config = OpsConfig::default();
    let (mut answer, mut events) = (Vec::new(), Vec::new());
    let mut cx = ReadCx {
        tree: &run.tree,
        watches: &mut ConnWatches::new(&mut run.watches, conn, ids, &mut events),
        session,
        ids,
        config: &config,
        cache: &mut run.cache,
        bytes_read: &mut NamespaceTotals::default(),
    };
    let err = ErrorCode::of(&ops::serve(&mut cx, op, body, &mut answer));
    out.extend_from_slice(&events);
    write_result_frame(out, xid, zxid, |out| {
        out.extend_from_slice(&answer);
        err
    });
}
