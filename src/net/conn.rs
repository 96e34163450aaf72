use super::{
    shared::Shared,
    stats::{Answered, ConnStats},
};
use crate::{
    ops,
    types::{ConnId, Id, OpCode, SessionId, Zxid},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    time::Timespec,
};
use std::{
    cell::{Cell, Ref, RefCell},
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    task::Waker,
};
use tokio::net::{TcpStream, tcp::OwnedWriteHalf};

/// Unsent bytes beyond which a connection is not read any more: the client does not take its replies.
const UNSENT_PAUSE: usize = 256 * 1024;

/// Unsent bytes beyond which nothing is added for a client that does not read; it is closed instead. Watches and
/// answers of the pipeline come without being asked for again, so not reading the client does not bound them. One
/// answer of any size fits, since the limit is looked at before.
const UNSENT_CLOSE: usize = 64 * 1024 * 1024;

/// Requests of one connection in the pipeline beyond which it is not read.
const IN_FLIGHT_MAX: usize = 4096;

/// Reads among them beyond which it is not read: each of them may be answered with a megabyte that nobody has made
/// room for.
const READS_IN_FLIGHT_MAX: u32 = 64;

/// Before any time.
const NOT_HELD: i64 = i64::MIN;

/// How far a connection has come, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Phase {
    /// Nothing whole has been read.
    Fresh,
    /// The connect packet is with the core.
    Connecting,
    /// It carries a session.
    Established,
    /// It asked a four-letter word, which is being answered.
    Word,
    /// What is unsent is sent, then it is closed. Nothing is read.
    Closing,
    /// Nothing is sent any more either.
    Broken,
}

/// Why a connection ended; upstream calls it `DisconnectReason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    ClosedByClient,
    ReadError,
    WriteError,
    BadFrame,
    UnknownOperation,
    AuthFailed,
    AuthRequired,
    ConnectRateLimit,
    LargeRequest,
    SlowReader,
    Stale,
    NoSession,
    WordAnswered,
    ByServer,
    Shutdown,
}

/// A request in the pipeline.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub xid: i32,
    pub op: OpCode,
    pub received_ms: i64,
    /// Its size if it counts as a large one, else 0.
    pub large: u32,
}

/// Bytes to be sent.
#[derive(Debug, Default)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    fn unsent(&self) -> usize {
        self.bytes.len() - self.sent
    }
}

/// One connection, as its worker sees it. Its task reads; the worker's pump writes too.
///
/// An idle connection holds no buffers.
#[derive(Debug)]
pub(super) struct Conn {
    pub id: ConnId,
    pub peer: SocketAddr,
    pub since_ms: i64,
    stream: OwnedWriteHalf,
    phase: Cell<Phase>,
    reason: Cell<Option<Reason>>,
    session: Cell<SessionId>,
    timeout_ms: Cell<i32>,
    ids: RefCell<Arc<[Id]>>,
    in_flight: RefCell<VecDeque<InFlight>>,
    reads_in_flight: Cell<u32>,
    out: RefCell<Outgoing>,
    /// The socket took less than it was given; the task waits for it to become writable.
    blocked: Cell<bool>,
    /// The task does not read although it could; whoever removes the cause wakes it.
    paused: Cell<bool>,
    /// It waits for `request_throttle_max_requests`.
    stalled: Cell<bool>,
    /// Since when what was read waits for that, monotonic ms; [`NOT_HELD`] while nothing does.
    held_since_ms: Cell<i64>,
    /// It is in the worker's list of connections with something to send.
    pub dirty: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    pub stats: RefCell<ConnStats>,
    /// When a new session was asked for, while it is not there yet.
    asked_ms: Cell<Option<i64>>,
    /// Round and place of its entry in the worker's list of touches.
    pub touch: Cell<(u32, u32)>,
}

impl Conn {
    pub fn new(id: ConnId, peer: SocketAddr, since_ms: i64, ids: Arc<[Id]>, stream: OwnedWriteHalf) -> Self {
        Self {
            id,
            peer,
            since_ms,
            stream,
            phase: Cell::new(Phase::Fresh),
            reason: Cell::new(None),
            session: Cell::new(SessionId::NONE),
            timeout_ms: Cell::new(0),
            ids: RefCell::new(ids),
            in_flight: RefCell::default(),
            reads_in_flight: Cell::new(0),
            out: RefCell::default(),
            blocked: Cell::new(false),
            paused: Cell::new(false),
            stalled: Cell::new(false),
            held_since_ms: Cell::new(NOT_HELD),
            dirty: Cell::new(false),
            waker: RefCell::new(None),
            stats: RefCell::default(),
            asked_ms: Cell::new(None),
            touch: Cell::new((0, 0)),
        }
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
    }

    pub fn session(&self) -> SessionId {
        self.session.get()
    }

    pub fn timeout_ms(&self) -> i32 {
        self.timeout_ms.get()
    }

    pub fn establish(&self, session: SessionId, timeout_ms: i32) {
        self.session.set(session);
        self.timeout_ms.set(timeout_ms);
        if self.phase() == Phase::Connecting {
            self.set_phase(Phase::Established);
        }
    }

    pub fn ids(&self) -> Ref<'_, Arc<[Id]>> {
        self.ids.borrow()
    }

    pub fn set_ids(&self, ids: Arc<[Id]>) {
        self.ids.replace(ids);
    }

    /// Ends the connection once everything unsent has been sent.
    pub fn close(&self, reason: Reason) {
        if self.phase() < Phase::Closing {
            self.set_phase(Phase::Closing);
            self.reason.set(Some(reason));
        }
    }

    /// Ends the connection now.
    pub fn abandon(&self, reason: Reason) {
        if self.phase() != Phase::Broken {
            self.set_phase(Phase::Broken);
            self.reason.set(self.reason.get().or(Some(reason)));
            self.out.take();
        }
    }

    /// Whether there is nothing left to do but to close the socket.
    pub fn is_over(&self) -> bool {
        match self.phase() {
            Phase::Broken => true,
            Phase::Closing => self.out.borrow().unsent() == 0,
            _ => false,
        }
    }

    pub fn reason(&self) -> Option<Reason> {
        self.reason.get()
    }

    /// Whether another request may be taken from this connection now.
    pub fn may_take(&self, shared: &Shared) -> bool {
        match self.phase() {
            Phase::Fresh => return true,
            Phase::Established => {}
            _ => return false,
        }
        if self.stalled.get() || self.out.borrow().unsent() > UNSENT_PAUSE {
            return false;
        }
        let in_flight = self.in_flight.borrow().len();
        in_flight == 0
            || in_flight < IN_FLIGHT_MAX
                && self.reads_in_flight.get() < READS_IN_FLIGHT_MAX
                && shared.under_way.requests.load(Ordering::Relaxed) <= shared.settings.outstanding_max
    }

    pub fn set_stalled(&self, stalled: bool) {
        self.stalled.set(stalled);
    }

    /// Since when requests of it wait for `request_throttle_max_requests`, monotonic ms.
    pub fn held_since(&self) -> Option<i64> {
        Some(self.held_since_ms.get()).filter(|ms| *ms != NOT_HELD)
    }

    pub fn set_held_since(&self, since_ms: Option<i64>) {
        self.held_since_ms.set(since_ms.unwrap_or(NOT_HELD));
    }

    /// Whether the client has closed its end, whatever it has sent before.
    pub fn is_hung_up(&self) -> bool {
        let mut polled = [PollFd::new(self.stream(), PollFlags::RDHUP)];
        let now = Timespec::default();
        poll(&mut polled, Some(&now)).is_ok_and(|n| n > 0)
    }

    pub fn set_paused(&self, paused: bool) {
        self.paused.set(paused);
    }

    pub fn is_paused(&self) -> bool {
        self.paused.get()
    }

    pub fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    pub fn attach(&self, waker: &Waker) {
        let mut mine = self.waker.borrow_mut();
        if !mine.as_ref().is_some_and(|w| w.will_wake(waker)) {
            *mine = Some(waker.clone());
        }
    }

    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub fn has_in_flight(&self) -> bool {
        !self.in_flight.borrow().is_empty()
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.borrow().len()
    }

    pub fn push_in_flight(&self, request: InFlight, shared: &Shared) {
        shared.under_way.requests.fetch_add(1, Ordering::Relaxed);
        if request.large > 0 {
            shared.under_way.large_bytes.fetch_add(i64::from(request.large), Ordering::Relaxed);
        }
        if !ops::is_write(request.op) {
            self.reads_in_flight.set(self.reads_in_flight.get() + 1);
        }
        self.in_flight.borrow_mut().push_back(request);
    }

    /// Takes `count` answered requests off the list, oldest first.
    pub fn pop_in_flight(&self, count: u32, shared: &Shared, mut each: impl FnMut(InFlight)) {
        let mut in_flight = self.in_flight.borrow_mut();
        let (mut requests, mut large) = (0, 0);
        for _ in 0..count {
            let Some(request) = in_flight.pop_front() else {
                debug_assert!(false, "more answers than requests");
                break;
            };
            if !ops::is_write(request.op) {
                self.reads_in_flight.set(self.reads_in_flight.get() - 1);
            }
            requests += 1;
            large += i64::from(request.large);
            each(request);
        }
        if in_flight.is_empty() && in_flight.capacity() > 4 {
            *in_flight = VecDeque::new();
        }
        shared.under_way.requests.fetch_sub(requests, Ordering::Relaxed);
        if large > 0 {
            shared.under_way.large_bytes.fetch_sub(large, Ordering::Relaxed);
        }
    }

    pub fn forget_in_flight(&self, shared: &Shared) {
        let count = self.in_flight.borrow().len() as u32;
        self.pop_in_flight(count, shared, |_| ());
    }

    pub fn note_answered(&self, last: Answered, latency_ms: i64, now_ms: i64, count: u64) {
        self.stats.borrow_mut().answered(last, latency_ms, now_ms, count);
    }

    /// Notes that a session was asked for; new ones count among the answered requests.
    pub fn note_connect(&self, new: bool, now_ms: i64) {
        self.asked_ms.set(new.then_some(now_ms));
    }

    /// How long the new session took; `None` for one that was taken up again.
    pub fn note_established(&self, now_ms: i64) -> Option<i64> {
        self.asked_ms.take().map(|asked_ms| (now_ms - asked_ms).max(0))
    }

    pub fn unsent(&self) -> usize {
        self.out.borrow().unsent()
    }

    /// Lets `write` append to what is to be sent; false, and nothing written, when the client does not read.
    pub fn write<T>(&self, spare: &Spare, write: impl FnOnce(&mut Vec<u8>) -> T) -> Option<T> {
        if self.phase() == Phase::Broken {
            return None;
        }
        let mut out = self.out.borrow_mut();
        if out.unsent() > UNSENT_CLOSE {
            drop(out);
            self.abandon(Reason::SlowReader);
            return None;
        }
        if out.bytes.capacity() == 0 {
            out.bytes = spare.take();
        }
        Some(write(&mut out.bytes))
    }

    /// Sends as much as the socket takes.
    pub fn flush(&self, spare: &Spare) {
        let mut out = self.out.borrow_mut();
        let out = &mut *out;
        while out.sent < out.bytes.len() {
            match self.stream.try_write(&out.bytes[out.sent..]) {
                Ok(n) => out.sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked.set(true);
                    if out.sent > out.bytes.len() / 2 {
                        out.bytes.drain(..out.sent);
                        out.sent = 0;
                    }
                    return;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.set_phase(Phase::Broken);
                    self.reason.set(self.reason.get().or(Some(Reason::WriteError)));
                    break;
                }
            }
        }
        self.blocked.set(false);
        out.sent = 0;
        spare.give(std::mem::take(&mut out.bytes));
    }

    pub fn stream(&self) -> &TcpStream {
        self.stream.as_ref()
    }
}

/// Buffers that wait for their next use, so that answering allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Spare(RefCell<Vec<Vec<u8>>>);

impl Spare {
    const BUFFERS_MAX: usize = 64;
    const CAPACITY_MAX: usize = 256 * 1024;

    pub fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(512))
    }

    pub fn give(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.0.borrow_mut();
        if buffer.capacity() > 0
            && buffer.capacity() <= Self::CAPACITY_MAX
            && buffers.len() < Self::BUFFERS_MAX
        {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}

/// The zxid of an answer that the tree has no part in.
pub(super) const NO_ZXID: Zxid = Zxid(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Conn>() <= 352, "{}", size_of::<Conn>());
        assert!(size_of::<super::super::task::ConnTask>() <= 64);
    }
}
