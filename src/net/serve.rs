//! What the bytes of a connection mean and who answers them.
//!
//! Everything that has been read is served as one batch: all its reads under one shared section of the tree, all
//! its answers in one buffer, sent with one write. A request goes to the core when it is a write, or when the
//! connection still has requests there, so that answers come in order.

use super::{
    conn::{Conn, InFlight, NO_ZXID, Phase, Reason},
    shared::ToCore,
    stats::Answered,
    watches::Locked,
    worker::Worker,
};
use crate::{
    admin::{
        metrics::{Counter, Summary},
        words::Command as Word,
    },
    auth::{self, AuthFailed},
    frame::{self, RequestHead, Split},
    ops::{self, ReadCx},
    pipeline::{ConnWatches, Connect, Input, Request},
    tree::Tree,
    types::{ErrorCode, OpCode, Zxid},
};
use bytes::Bytes;
use parking_lot::RwLockReadGuard;
use quoll_jute::client::AuthPacket;
use std::{rc::Rc, sync::atomic::Ordering};
use tracing::{debug, info};

/// xid of every answer to a ping.
const XID_PING: i32 = -2;

/// Requests served under one shared section of the tree, so that a writer does not wait for a long batch.
const SECTION_REQUESTS_MAX: u32 = 256;

/// Identities of one connection; more can only be meant badly.
const IDS_MAX: usize = 1000;

/// What became of a batch.
pub(super) struct Served {
    /// Bytes that are done with.
    pub consumed: usize,
    /// What follows could be served, but has to wait.
    pub held: bool,
}

/// Serves what `input` holds.
pub(super) fn serve(worker: &Rc<Worker>, conn: &Rc<Conn>, input: &[u8]) -> Served {
    let received_ms = worker.shared.clock.mono_ms();
    let mut batch = Batch {
        worker,
        conn,
        received_ms,
        tree: None,
        in_section: 0,
        reads: 0,
        received: 0,
        local: 0,
        last: None,
        heard: false,
    };
    let mut at = 0;
    let mut held = false;
    loop {
        if !worker.may_take(conn) {
            held = conn.phase() < Phase::Closing && at < input.len();
            if conn.phase() >= Phase::Closing {
                at = input.len();
            }
            break;
        }
        match batch.step(&input[at..]) {
            Step::Took(n) => at += n,
            Step::Wait => {
                held = true;
                break;
            }
            Step::NeedMore => break,
            Step::End(reason) => conn.close(reason),
        }
    }
    batch.finish();
    if !held {
        conn.set_held_since(None);
    }
    Served { consumed: at, held }
}

enum Step {
    /// So many bytes are done with.
    Took(usize),
    /// Whole, but not now.
    Wait,
    /// Not whole.
    NeedMore,
    /// The connection ends.
    End(Reason),
}

struct Batch<'w> {
    worker: &'w Rc<Worker>,
    conn: &'w Rc<Conn>,
    received_ms: i64,
    /// The shared section, once a read needs it.
    tree: Option<RwLockReadGuard<'w, Tree>>,
    in_section: u32,
    /// Requests answered from the tree.
    reads: u64,
    /// Packets received.
    received: u64,
    /// Packets sent from here.
    local: u64,
    last: Option<Answered>,
    /// The session gave a sign of life that the core does not see.
    heard: bool,
}

impl<'w> Batch<'w> {
    fn step(&mut self, input: &[u8]) -> Step {
        let shared = &self.worker.shared;
        if self.conn.phase() == Phase::Fresh
            && let Some(first) = input.first_chunk::<4>()
            && let Some(word) = Word::from_bytes(*first)
        {
            return self.word(word, &input[4..]);
        }
        let (payload, len) = match frame::split(input, shared.settings.packet_size_max) {
            Ok(Split::Frame { payload, len }) => (payload, len),
            Ok(Split::Partial { announced }) => {
                return match announced {
                    Some(n) if self.is_too_large(n) => {
                        self.worker.metrics.inc(Counter::LargeRequestsRejected);
                        self.complain("its request would exceed largeRequestMaxBytes");
                        Step::End(Reason::LargeRequest)
                    }
                    _ => Step::NeedMore,
                };
            }
            Err(error) => {
                debug!(peer = %self.conn.peer, session = %self.conn.session(), %error, "connection closed");
                return Step::End(Reason::BadFrame);
            }
        };
        let step = match self.conn.phase() {
            Phase::Fresh => self.connect(payload),
            _ => self.request(payload),
        };
        match step {
            // A request that is held back is counted when it is taken.
            Step::Wait => return Step::Wait,
            Step::Took(_) => self.received += 1,
            _ => {
                self.received += 1;
                return step;
            }
        }
        Step::Took(len)
    }

    fn word(&mut self, word: Word, rest: &[u8]) -> Step {
        // The trace mask of `stmk` follows as eight bytes.
        let (argument, taken) = match (word, rest.first_chunk::<8>()) {
            (Word::Stmk, None) => return Step::NeedMore,
            (Word::Stmk, Some(mask)) => (Some(i64::from_be_bytes(*mask)), 12),
            _ => (None, 4),
        };
        self.received += 1;
        self.conn.set_phase(Phase::Word);
        self.worker.answer_word(self.conn, word, argument);
        Step::Took(taken)
    }

    fn connect(&mut self, payload: &[u8]) -> Step {
        let shared = &self.worker.shared;
        let packet = match frame::decode_connect(payload) {
            Ok(packet) => packet,
            Err(error) => {
                debug!(peer = %self.conn.peer, %error, "connection closed");
                return Step::End(Reason::BadFrame);
            }
        };
        let new = packet.session.0 == 0;
        let mut bucket = shared.bucket.lock();
        let admitted = bucket.admit(new, self.received_ms, rand::random);
        let deficit = bucket.deficit();
        drop(bucket);
        if !admitted {
            self.worker.metrics.inc(Counter::ConnectionRejected);
            self.complain("connection_throttle_tokens are used up");
            return Step::End(Reason::ConnectRateLimit);
        }
        self.worker.metrics.inc(Counter::ConnectionRequestCount);
        self.worker.metrics.record(Summary::ConnectionTokenDeficit, deficit.max(0) as u64);
        if !new {
            self.worker.metrics.inc(Counter::ConnectionRevalidateCount);
        }
        self.conn.set_phase(Phase::Connecting);
        self.conn.note_connect(new, self.received_ms);
        self.worker.send(ToCore::Input(Input::Connect(Connect {
            conn: self.conn.id,
            timeout_ms: packet.timeout_ms,
            session: packet.session,
            password: Bytes::copy_from_slice(packet.password),
            last_zxid_seen: packet.last_zxid_seen,
            read_only: packet.read_only,
            has_read_only_byte: packet.has_read_only_byte,
        })));
        Step::Took(0)
    }

    fn request(&mut self, payload: &[u8]) -> Step {
        let shared = &self.worker.shared;
        let head = match frame::decode_request(payload) {
            Ok(head) => head,
            Err(error) => {
                debug!(peer = %self.conn.peer, session = %self.conn.session(), %error, "connection closed");
                return Step::End(Reason::BadFrame);
            }
        };
        let enforced = !shared.auth().enforced_schemes.is_empty();
        if enforced && !auth::allowed_before_auth(head.op, &self.conn.ids(), shared.auth()) {
            self.complain("a client has to authenticate first (enforce.auth.schemes)");
            shared.auth_failures.fetch_add(1, Ordering::Relaxed);
            self.reply(head.xid, NO_ZXID, ErrorCode::SessionClosedRequireSaslAuth.code());
            return Step::End(Reason::AuthRequired);
        }
        let op = match OpCode::from_code(head.op) {
            Some(op) if ops::is_known_from_client(head.op) => op,
            _ => {
                self.complain(format_args!("operation {} is unknown", head.op));
                self.heard = true;
                self.reply(head.xid, Zxid(-1), ErrorCode::Unimplemented.code());
                return Step::End(Reason::UnknownOperation);
            }
        };
        match op {
            OpCode::Auth => return self.auth(head),
            OpCode::Sasl => return self.sasl(head),
            _ => {}
        }
        if self.is_too_large(payload.len()) {
            self.worker.metrics.inc(Counter::LargeRequestsRejected);
            self.complain("its request would exceed largeRequestMaxBytes");
            return Step::End(Reason::LargeRequest);
        }
        // A sync waits for what the core has under way; everything else that is no write is answered here, unless
        // it has to wait for its own connection's writes.
        if ops::is_write(op) || op == OpCode::Sync || self.is_behind_own_requests() {
            return self.send_to_core(op, head, payload.len());
        }
        self.read(op, head);
        Step::Took(0)
    }

    /// Whether the connection has requests in the pipeline, as far as is known here.
    fn is_behind_own_requests(&self) -> bool {
        if self.conn.has_in_flight() {
            self.worker.take_mail();
        }
        self.conn.has_in_flight()
    }

    fn send_to_core(&mut self, op: OpCode, head: RequestHead<'_>, size: usize) -> Step {
        let shared = &self.worker.shared;
        let throttle = &shared.settings.throttle;
        // One that did not have to wait is of a connection that was open a moment ago.
        if self.conn.held_since().is_some() && op != OpCode::CloseSession && self.is_stale() {
            if throttle.drop_stale {
                self.worker.metrics.inc(Counter::StaleRequestsDropped);
                self.complain("a request waited until it was stale (request_throttle_drop_stale)");
                self.conn.abandon(Reason::Stale);
                return Step::End(Reason::Stale);
            }
            self.worker.metrics.inc(Counter::StaleRequests);
        }
        if throttle.requests_max > 0
            && shared.under_way.requests.load(Ordering::Relaxed) >= i64::from(throttle.requests_max)
        {
            self.worker.metrics.inc(Counter::RequestThrottleWaitCount);
            self.worker.stall(self.conn, self.received_ms);
            if self.conn.held_since().is_none() {
                self.conn.set_held_since(Some(self.received_ms));
            }
            return Step::Wait;
        }
        let large = if self.is_large(size) { u32::try_from(size).unwrap_or(u32::MAX) } else { 0 };
        let (xid, received_ms) = (head.xid, self.received_ms);
        self.conn.push_in_flight(InFlight { xid, op, received_ms, large }, shared);
        self.worker.send(ToCore::Input(Input::Request(Request {
            conn: self.conn.id,
            session: self.conn.session(),
            xid,
            op,
            body: Bytes::copy_from_slice(head.body),
            ids: self.conn.ids().clone(),
            received_ms,
        })));
        Step::Took(0)
    }

    /// Whether nobody is likely to want the answer any more.
    ///
    /// Upstream counterpart: `Request.isStale`.
    fn is_stale(&self) -> bool {
        let throttle = &self.worker.shared.settings.throttle;
        let waited_ms = self.received_ms - self.conn.held_since().unwrap_or(self.received_ms);
        throttle.stale_connection_check && self.conn.is_hung_up()
            || throttle.stale_latency_check && waited_ms > i64::from(self.conn.timeout_ms())
    }

    /// Answers from the tree.
    fn read(&mut self, op: OpCode, head: RequestHead<'_>) {
        self.heard = true;
        self.enter_section();
        let Some(tree) = &self.tree else { return };
        if self.conn.phase() != Phase::Established {
            // The mail that has just been taken says that the session has moved.
            return;
        }
        if !self.worker.shared.serving.load(Ordering::Acquire) {
            // The tree may hold by now what is never committed.
            self.conn.close(Reason::ByServer);
            return;
        }
        let zxid = tree.last_zxid();
        let worker = self.worker;
        let xid = if op == OpCode::Ping { XID_PING } else { head.xid };
        let mut notifications = worker.notifications.borrow_mut();
        notifications.clear();
        let notified = self.conn.write(&worker.spare, |out| {
            let start = out.len();
            let reply = frame::open_frame(out);
            frame::reply_head(out, xid, zxid, 0);
            let head_end = out.len();
            let ids = self.conn.ids();
            let mut watches =
                ConnWatches::new(Locked(&worker.shared.watches), self.conn.id, &ids, &mut notifications);
            let mut cx = ReadCx {
                tree,
                watches: &mut watches,
                session: self.conn.session(),
                ids: &ids,
                config: &worker.shared.ops,
                cache: &mut worker.cache.borrow_mut(),
                bytes_read: &mut worker.bytes_read.borrow_mut(),
            };
            if let Err(error) = ops::serve(&mut cx, op, head.body, out) {
                // What a failed request leaves as its body is part of its answer.
                out[head_end - 4..head_end].copy_from_slice(&error.code().to_be_bytes());
            }
            reply.finish(out);
            worker.stats.borrow_mut().sizes.add(out.len() - start);
            let count = watches.count();
            if count > 0 {
                worker.metrics.add(Counter::WatchBytes, watches.bytes());
                // What setWatches found goes out before its answer.
                let answer = out.split_off(start);
                out.extend_from_slice(&notifications);
                out.extend_from_slice(&answer);
            }
            count
        });
        self.local += 1 + notified.unwrap_or(0);
        self.reads += 1;
        self.last = Some(Answered { xid, op, zxid });
    }

    /// Takes the tree shared, and then the mail: what the core has changed until now has been told before it is
    /// seen.
    fn enter_section(&mut self) {
        if self.in_section == SECTION_REQUESTS_MAX {
            self.tree = None;
            self.in_section = 0;
        }
        if self.tree.is_none() {
            self.tree = Some(self.worker.shared.tree.read());
            self.worker.take_mail();
        }
        self.in_section += 1;
    }

    /// Executed at once, not behind earlier requests, as upstream does.
    fn auth(&mut self, head: RequestHead<'_>) -> Step {
        let shared = &self.worker.shared;
        let Ok(packet) = quoll_jute::from_slice::<AuthPacket<'_>>(head.body) else {
            return Step::End(Reason::BadFrame);
        };
        let peer = auth::peer_id(self.conn.peer.ip());
        let mut ids = self.conn.ids().to_vec();
        let scheme = packet.scheme.as_deref();
        match auth::authenticate(scheme, packet.auth, &peer, shared.auth()) {
            Ok(_) if ids.len() >= IDS_MAX => {
                self.complain(format_args!("it has {} identities already", ids.len()));
            }
            Ok(more) => {
                if scheme == Some("ensemble") {
                    let skipped = auth::names_no_ensemble(packet.auth.unwrap_or_default(), shared.auth());
                    self.worker.metrics.inc(if skipped {
                        Counter::EnsembleAuthSkip
                    } else {
                        Counter::EnsembleAuthSuccess
                    });
                }
                debug!(peer = %self.conn.peer, scheme, "authenticated");
                for id in more {
                    auth::add_id(&mut ids, id);
                }
                self.conn.set_ids(ids.into());
                shared.watches.lock().set_ids(self.conn.id, &self.conn.ids());
                self.reply(head.xid, NO_ZXID, 0);
                return Step::Took(0);
            }
            Err(AuthFailed::WrongEnsemble) => {
                self.worker.metrics.inc(Counter::EnsembleAuthFail);
                self.complain("the client asked for another ensemble");
                return Step::End(Reason::AuthFailed);
            }
            Err(AuthFailed::Refused) => {
                self.complain(format_args!("authentication failed, scheme {}", scheme.unwrap_or("null")));
            }
        }
        shared.auth_failures.fetch_add(1, Ordering::Relaxed);
        self.reply(head.xid, NO_ZXID, ErrorCode::AuthFailed.code());
        Step::End(Reason::AuthFailed)
    }

    fn sasl(&mut self, head: RequestHead<'_>) -> Step {
        let worker = self.worker;
        let answered = self.conn.write(&worker.spare, |out| {
            let reply = frame::open_frame(out);
            frame::reply_head(out, head.xid, NO_ZXID, 0);
            match auth::answer_sasl(head.body, out) {
                Ok(()) => {
                    reply.finish(out);
                    true
                }
                Err(_) => {
                    reply.discard(out);
                    false
                }
            }
        });
        if answered != Some(true) {
            return Step::End(Reason::BadFrame);
        }
        self.local += 1;
        Step::Took(0)
    }

    /// An answer without body.
    fn reply(&mut self, xid: i32, zxid: Zxid, err: i32) {
        self.conn.write(&self.worker.spare, |out| {
            let reply = frame::open_frame(out);
            frame::reply_head(out, xid, zxid, err);
            reply.finish(out);
        });
        self.local += 1;
    }

    /// Says why the connection is closed, once a second at most.
    fn complain(&self, why: impl std::fmt::Display) {
        if let Some(more) = self.worker.lines.borrow_mut().pass(self.received_ms) {
            info!(peer = %self.conn.peer, session = %self.conn.session(), more, "connection closed: {why}");
        }
    }

    fn is_large(&self, size: usize) -> bool {
        self.worker.shared.settings.large_request_threshold.is_some_and(|t| size > t as usize)
    }

    /// Whether a request of this size would exceed `largeRequestMaxBytes`.
    fn is_too_large(&self, size: usize) -> bool {
        let shared = &self.worker.shared;
        self.is_large(size)
            && shared.under_way.large_bytes.load(Ordering::Relaxed) + size as i64
                > shared.settings.large_requests_bytes_max
    }

    fn finish(self) {
        let Batch { worker, conn, received_ms, tree, reads, received, local, last, heard, .. } = self;
        drop(tree);
        let sent_bytes = conn.unsent() as u64;
        conn.flush(&worker.spare);
        worker.flush_dirty();
        if heard {
            worker.touch(conn, received_ms);
        }
        let now_ms = worker.shared.clock.mono_ms();
        if let Some(last) = last {
            conn.note_answered(last, now_ms - received_ms, now_ms, reads);
        }
        let mut stats = conn.stats.borrow_mut();
        stats.received += received;
        stats.sent += local;
        let mut totals = worker.stats.borrow_mut();
        totals.received += received;
        totals.sent += local;
        worker.metrics.add(Counter::ResponseBytes, sent_bytes);
        if reads > 0 {
            let latency_ms = now_ms - received_ms;
            totals.reads.add(latency_ms, reads);
            worker.read_latency.borrow_mut().add(&worker.metrics, latency_ms, reads as u32);
        }
    }
}
