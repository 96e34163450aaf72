//! The event loops that send a workload and take in the answers.
//!
//! Closed loop: every client keeps `depth` requests in flight; an answer lets the next request out, and the requests
//! that one read of answers lets out leave with one write. Open loop: request k leaves at its planned time whatever the
//! server does, and its latency counts from that time, so a stall is seen by every request that should have been sent
//! during it (no coordinated omission).
//!
//! Invariants: every answer carries the xid of the oldest unanswered request of its connection; an answer without error
//! has exactly the length that its kind has. Anything else ends the connection with an error.
//!
//! Start at [`run`].

use super::connection::{self, Connection, Dial};
use super::error::Error;
use super::measure::{Kind, Tally, Window};
use super::wire;
use super::workload::{Generator, Plan};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Bytes one read takes at most.
const READ_LEN: usize = 256 << 10;
/// How long the answers to the last requests may take.
const DRAIN_WAIT: Duration = Duration::from_secs(30);
/// How often a loop looks for connections that need a ping.
const PING_CHECK: Duration = Duration::from_secs(1);
const TIMER: Token = Token(usize::MAX);

/// How requests leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// This many requests in flight per client.
    Closed {
        /// Pipeline depth, at least 1.
        depth: usize,
    },
    /// This many requests per second over all clients.
    Open {
        /// Requests per second.
        rate_per_s: f64,
    },
}

/// One run of a workload.
pub(super) struct Drive<'a> {
    pub plan: &'a Arc<Plan>,
    pub dial: &'a Dial,
    pub pace: Pace,
    pub clients: usize,
    pub threads: usize,
    /// Answers to count before the run ends; `None` runs until the window is finished from outside.
    pub ops: Option<u64>,
    pub window: &'a Window,
}

/// Opens the sessions of a run, one list per thread.
pub(super) fn open(drive: &Drive<'_>) -> Result<Vec<Vec<Connection>>, Error> {
    let mut lists: Vec<Vec<Connection>> = (0..drive.threads).map(|_| Vec::new()).collect();
    for connection in connection::open(drive.dial, 0..drive.clients)? {
        lists[connection.client % drive.threads].push(connection);
    }
    Ok(lists)
}

/// Runs one thread per list of connections until the window is finished; calls `meanwhile` on this thread.
///
/// # Errors
/// When a thread cannot run at all, or from `meanwhile`. Broken connections are told in the tally.
pub(super) fn run(
    drive: &Drive<'_>,
    lists: Vec<Vec<Connection>>,
    meanwhile: impl FnOnce() -> Result<(), Error>,
) -> Result<Tally, Error> {
    let running = AtomicUsize::new(lists.len());
    let threads = lists.len();
    std::thread::scope(|scope| {
        let workers: Vec<_> = lists
            .into_iter()
            .enumerate()
            .map(|(number, connections)| {
                let running = &running;
                scope.spawn(move || {
                    let mut worker = Worker::new(drive, connections, number, threads)?;
                    worker.run(running)?;
                    let connections: Vec<_> =
                        worker.slots.into_iter().filter_map(|slot| slot.connection).collect();
                    Ok((worker.tally, connections))
                })
            })
            .collect();
        let observed = meanwhile();
        if observed.is_err() {
            drive.window.finish();
        }
        let mut tally = Tally::new();
        // Sessions, and the watches they hold, last until everything has been observed.
        for worker in workers {
            let (from_worker, connections) = worker.join().expect("a generator thread does not panic")?;
            tally.merge(from_worker);
            connection::close(connections);
        }
        observed.map(|()| tally)
    })
}

#[derive(Debug)]
struct Slot {
    /// `None` once it has broken.
    connection: Option<Connection>,
    generator: Generator,
    inflight: VecDeque<Pending>,
    last_sent_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    /// When it was sent or, in an open loop, should have been.
    at_ns: u64,
    xid: i32,
    kind: Kind,
}

struct Worker<'a> {
    window: &'a Window,
    plan: &'a Plan,
    pace: Pace,
    slots: Vec<Slot>,
    poll: Poll,
    tally: Tally,
    /// Requests without an answer, over all slots.
    outstanding: u64,
    /// Answers counted in the window.
    counted: u64,
    quota: Option<u64>,
    is_draining: bool,
    read_buffer: Vec<u8>,
    out: Vec<u8>,
    ticker: Option<Ticker>,
}

impl<'a> Worker<'a> {
    fn new(
        drive: &Drive<'a>,
        connections: Vec<Connection>,
        number: usize,
        threads: usize,
    ) -> Result<Self, Error> {
        let poll = Poll::new().map_err(Error::io("creating a selector"))?;
        let mut slots = Vec::with_capacity(connections.len());
        for (token, mut connection) in connections.into_iter().enumerate() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut connection.stream, Token(token), interest)
                .map_err(Error::io("registering a socket"))?;
            slots.push(Slot {
                generator: Generator::new(drive.plan, connection.client),
                connection: Some(connection),
                inflight: VecDeque::new(),
                last_sent_ns: drive.window.now_ns(),
            });
        }
        let ticker = match drive.pace {
            Pace::Closed { .. } => None,
            Pace::Open { rate_per_s } => {
                Some(Ticker::new(rate_per_s / threads as f64, number as f64 / rate_per_s, &poll)?)
            }
        };
        let share = |total: u64| (total / threads as u64).max(1);
        Ok(Self {
            window: drive.window,
            plan: drive.plan,
            pace: drive.pace,
            slots,
            poll,
            tally: Tally::new(),
            outstanding: 0,
            counted: 0,
            quota: drive.ops.map(share),
            is_draining: false,
            read_buffer: vec![0; READ_LEN],
            out: Vec::new(),
            ticker,
        })
    }

    fn run(&mut self, running: &AtomicUsize) -> Result<(), Error> {
        let mut events = Events::with_capacity(1024);
        if let Pace::Closed { depth } = self.pace {
            for slot in 0..self.slots.len() {
                self.refill(slot, depth, None);
            }
        }
        let start_ns = self.window.now_ns();
        let mut drain_from_ns = None;
        let mut ping_at_ns = start_ns;
        let mut has_told = false;
        loop {
            match self.poll.poll(&mut events, Some(Duration::from_millis(50))) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                polled => polled.map_err(Error::io("waiting for sockets"))?,
            }
            for event in &events {
                if event.token() == TIMER {
                    self.send_due(start_ns)?;
                    continue;
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.receive(event.token().0);
                }
                if event.is_writable() {
                    self.flush(event.token().0);
                }
            }
            let now_ns = self.window.now_ns();
            if now_ns >= ping_at_ns {
                self.ping_idle(now_ns);
                ping_at_ns = now_ns + PING_CHECK.as_nanos() as u64;
            }
            let is_finished = self.quota.is_some_and(|quota| self.counted >= quota)
                || (self.outstanding == 0 && self.ticker.is_none());
            if is_finished && !has_told {
                has_told = true;
                // The last thread that has nothing more to count ends the window.
                if running.fetch_sub(1, Relaxed) == 1 {
                    self.window.finish();
                }
            }
            if is_finished || self.window.is_stopped() {
                self.is_draining = true;
            }
            if self.is_draining {
                if self.outstanding == 0 {
                    return Ok(());
                }
                let from_ns = *drain_from_ns.get_or_insert(now_ns);
                if now_ns - from_ns > DRAIN_WAIT.as_nanos() as u64 {
                    let outstanding = self.outstanding;
                    self.tally.lose(Error::Unanswered { outstanding, seconds: DRAIN_WAIT.as_secs() });
                    return Ok(());
                }
            }
        }
    }

    /// Sends up to `count` further requests of one client with one write. Their time is now unless one was planned.
    #[inline]
    fn refill(&mut self, slot_number: usize, count: usize, planned_ns: Option<u64>) {
        let slot = &mut self.slots[slot_number];
        let Some(connection) = &mut slot.connection else { return };
        self.out.clear();
        let now_ns = self.window.now_ns();
        for _ in 0..count {
            let xid = connection.xid_next;
            let Some(kind) = slot.generator.next(&mut self.out, xid) else { break };
            let xid = if kind == Kind::Ping { wire::XID_PING } else { connection.take_xid() };
            slot.inflight.push_back(Pending { at_ns: planned_ns.unwrap_or(now_ns), xid, kind });
            self.outstanding += 1;
        }
        slot.last_sent_ns = now_ns;
        if let Err(e) = connection.send(&self.out) {
            let error = connection.disconnected(slot.inflight.len(), e.to_string());
            self.lose(slot_number, error);
        }
    }

    /// Takes in the answers that have come; in a closed loop sends as many new requests.
    #[inline]
    fn receive(&mut self, slot_number: usize) {
        let slot = &mut self.slots[slot_number];
        let Some(connection) = &mut slot.connection else { return };
        let client = connection.client;
        let (inflight, tally, plan, window) = (&mut slot.inflight, &mut self.tally, self.plan, self.window);
        let is_open = self.ticker.is_some();
        let mut answered = 0u64;
        let mut counted = 0u64;
        let mut now_ns = 0;
        let mut is_counting = false;
        // Answers of one kind to requests of one moment go into the histogram together.
        let mut run = (Kind::Ping, 0u64, 0u64);
        let outcome = connection.receive(&mut self.read_buffer, |frame| {
            if now_ns == 0 {
                now_ns = window.now_ns();
                is_counting = window.contains(now_ns);
            }
            let Some((xid, code)) = wire::reply_header(frame) else {
                return Err(Error::Reply { client, what: format!("a frame of {} bytes", frame.len()) });
            };
            if xid == wire::XID_NOTIFICATION {
                tally.notifications += 1;
                return Ok(());
            }
            let Some(pending) = inflight.front().copied() else {
                return unasked(client, xid);
            };
            if xid != pending.xid {
                // The answer to a ping that kept the session alive.
                return if xid == wire::XID_PING { Ok(()) } else { wrong_xid(client, pending.xid, xid) };
            }
            inflight.pop_front();
            answered += 1;
            if code != 0 {
                tally.error(code);
            } else if frame.len() != plan.reply_len(pending.kind) {
                return wrong_len(client, pending.kind, plan.reply_len(pending.kind), frame.len());
            }
            if if is_open { window.contains(pending.at_ns) } else { is_counting } {
                counted += 1;
                if (run.0, run.1) == (pending.kind, pending.at_ns) {
                    run.2 += 1;
                } else {
                    if run.2 > 0 {
                        tally.record(run.0, now_ns.saturating_sub(run.1), run.2);
                    }
                    run = (pending.kind, pending.at_ns, 1);
                }
            }
            Ok(())
        });
        if run.2 > 0 {
            tally.record(run.0, now_ns.saturating_sub(run.1), run.2);
        }
        self.outstanding -= answered;
        self.counted += counted;
        self.window.replies.fetch_add(answered, Relaxed);
        match outcome {
            Err(error) => {
                let error = match error {
                    Error::Disconnected { server, client, reason, .. } => {
                        let outstanding = self.slots[slot_number].inflight.len();
                        Error::Disconnected { server, client, outstanding, reason }
                    }
                    other => other,
                };
                self.lose(slot_number, error);
            }
            Ok(()) => {
                if answered > 0 && !is_open && !self.is_draining {
                    self.refill(slot_number, answered as usize, None);
                }
            }
        }
    }

    fn flush(&mut self, slot_number: usize) {
        let slot = &mut self.slots[slot_number];
        let Some(connection) = &mut slot.connection else { return };
        if connection.is_blocked()
            && let Err(e) = connection.flush()
        {
            let error = connection.disconnected(slot.inflight.len(), e.to_string());
            self.lose(slot_number, error);
        }
    }

    /// Sends every request whose time has come, to the clients in turn.
    fn send_due(&mut self, start_ns: u64) -> Result<(), Error> {
        let Some(mut ticker) = self.ticker.take() else { return Ok(()) };
        let clients = self.slots.len();
        while !self.is_draining && !self.window.is_stopped() {
            let at_ns = ticker.next_at_ns(start_ns);
            let now_ns = self.window.now_ns();
            if at_ns > now_ns {
                ticker.set(at_ns - now_ns)?;
                break;
            }
            let number = (ticker.sent % clients as u64) as usize;
            ticker.sent += 1;
            if self.window.contains(at_ns) {
                self.tally.late(now_ns - at_ns);
            }
            self.refill(number, 1, Some(at_ns));
        }
        self.ticker = Some(ticker);
        Ok(())
    }

    /// Pings on connections that have been silent for a third of their timeout, as a stock client does.
    fn ping_idle(&mut self, now_ns: u64) {
        if self.plan.workload == super::workload::Workload::Ping {
            return;
        }
        let mut ping = Vec::new();
        wire::request(&mut ping, wire::XID_PING, wire::op::PING, |_| ());
        for slot_number in 0..self.slots.len() {
            let slot = &mut self.slots[slot_number];
            let Some(connection) = &mut slot.connection else { continue };
            if now_ns.saturating_sub(slot.last_sent_ns) > connection.timeout.as_nanos() as u64 / 3 {
                slot.last_sent_ns = now_ns;
                if let Err(e) = connection.send(&ping) {
                    let error = connection.disconnected(slot.inflight.len(), e.to_string());
                    self.lose(slot_number, error);
                }
            }
        }
    }

    #[cold]
    fn lose(&mut self, slot_number: usize, error: Error) {
        let slot = &mut self.slots[slot_number];
        self.outstanding -= slot.inflight.len() as u64;
        slot.inflight.clear();
        slot.connection = None;
        self.tally.lose(error);
        if self.slots.iter().all(|slot| slot.connection.is_none()) {
            self.window.finish();
        }
    }
}

#[cold]
fn unasked(client: usize, xid: i32) -> Result<(), Error> {
    if xid == wire::XID_PING {
        return Ok(());
    }
    Err(Error::Reply { client, what: format!("an answer with xid {xid} while nothing was asked") })
}

#[cold]
fn wrong_xid(client: usize, expected: i32, xid: i32) -> Result<(), Error> {
    Err(Error::Reply { client, what: format!("expected xid {expected}, came {xid}") })
}

#[cold]
fn wrong_len(client: usize, kind: Kind, expected: usize, len: usize) -> Result<(), Error> {
    let what = format!("expected {expected} bytes in answer to {kind:?}, came {len}");
    Err(Error::Reply { client, what })
}

/// The plan of an open loop and the timer that wakes the selector for it.
struct Ticker {
    timer: OwnedFd,
    interval_ns: f64,
    offset_ns: f64,
    /// Requests sent so far.
    sent: u64,
}

impl Ticker {
    /// A plan of `rate_per_s`, whose first request is due `offset_s` after the start.
    fn new(rate_per_s: f64, offset_s: f64, poll: &Poll) -> Result<Self, Error> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).map_err(timer_failed)?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)
            .map_err(Error::io("registering a timer"))?;
        let ticker = Self { timer, interval_ns: 1e9 / rate_per_s, offset_ns: offset_s * 1e9, sent: 0 };
        ticker.set(0)?;
        Ok(ticker)
    }

    /// Asks to be woken `in_ns` from now.
    fn set(&self, in_ns: u64) -> Result<(), Error> {
        // Waking more often than this costs more than it tells: late requests count from their planned time anyway.
        const SHORTEST_NS: u64 = 20_000;
        let ns = in_ns.max(SHORTEST_NS);
        let once = Timespec { tv_sec: (ns / 1_000_000_000) as _, tv_nsec: (ns % 1_000_000_000) as _ };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: once };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)
            .map_err(timer_failed)?;
        Ok(())
    }

    fn next_at_ns(&self, start_ns: u64) -> u64 {
        start_ns + (self.offset_ns + self.sent as f64 * self.interval_ns) as u64
    }
}

fn timer_failed(errno: rustix::io::Errno) -> Error {
    Error::Io { what: "setting a timer", source: errno.into() }
}
