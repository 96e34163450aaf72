//! One I/O worker: a thread with its own runtime, its connections, and a pump between them and the core.

use super::{
    conn::{Conn, InFlight, Phase, Reason, Spare},
    limits::OncePerSecond,
    shared::{Shared, ToCore},
    stats::{Answered, ConnStats, Pending, WorkerStats},
    task::ConnTask,
    timers::{Timer, Timers},
    words,
};
use crate::{
    admin::{
        metrics::{Counter, Distribution, KeyedSummary, Shard},
        words::Command as Word,
    },
    auth,
    frame::{self, LENGTH_LEN, Split},
    ops::{CacheStats, ResponseCache},
    pipeline::{Delivery, Input, Then, WorkerDeliveries},
    types::{ConnId, Id, KEYS_MAX, NamespaceTotals, OpCode, SessionId, Sizes},
};
use hashbrown::HashMap;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::{Poll, Waker},
    thread::JoinHandle,
};
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

/// The buffer that all connections of a worker read into.
const READ_BUFFER_LEN: usize = 64 * 1024;

/// How long a sign of life stays here, ms; half of what the core reckons with.
const TOUCH_HOLD_MS: i64 = crate::pipeline::TOUCH_FLUSH_MS / 2;

/// How long a connection that is to be closed may take to read its last bytes.
const CLOSING_MS_MAX: i64 = 10_000;

/// Bytes of encoded lists of children that a worker keeps, on top of the number that is configured.
const CHILDREN_CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest capacity that is kept between two deliveries.
const SPARE_MAIL_MAX: usize = 1024 * 1024;

/// What other threads ask of a worker.
#[derive(Debug)]
pub enum Command {
    /// Take this connection over.
    Adopt(TcpStream, SocketAddr),
    /// Say what there is.
    Report {
        /// With every connection.
        connections: bool,
        /// To whom.
        to: oneshot::Sender<WorkerReport>,
    },
    /// Forget what was counted, for connections or for the server.
    Reset {
        /// `crst`
        connections: bool,
        /// `srst`
        server: bool,
    },
    /// Close every connection of a client: this server does not serve any more.
    CloseClients,
    /// Read no more requests.
    StopReading(oneshot::Sender<()>),
    /// Send what is to be sent, close everything, end.
    Stop,
}

/// What a worker knows and others show.
#[derive(Clone, Debug, Default)]
pub struct WorkerReport {
    /// Sums.
    pub stats: WorkerStats,
    /// Each connection.
    pub connections: Vec<ConnReport>,
}

/// What is shown of a connection.
#[derive(Clone, Debug)]
pub struct ConnReport {
    /// Which.
    pub conn: ConnId,
    /// Where from.
    pub peer: SocketAddr,
    /// None before it is established.
    pub session: SessionId,
    /// Of the session.
    pub timeout_ms: i32,
    /// Requests in the pipeline.
    pub queued: usize,
    /// Whether it is being read.
    pub reading: bool,
    /// Whether it has bytes that the socket did not take.
    pub writing: bool,
    /// Since when, wall clock ms.
    pub since_ms: i64,
    /// What was counted.
    pub stats: ConnStats,
}

/// One I/O worker, as its own thread sees it.
pub(super) struct Worker {
    pub shared: Arc<Shared>,
    pub index: u16,
    pub metrics: Arc<Shard>,
    conns: RefCell<HashMap<u32, Rc<Conn>>>,
    next_serial: Cell<u32>,
    last_ids: RefCell<Option<(IpAddr, Arc<[Id]>)>>,
    reading: Cell<bool>,
    read_buffer: Cell<Vec<u8>>,
    spare_mail: RefCell<WorkerDeliveries>,
    outbox: RefCell<Vec<ToCore>>,
    dirty: RefCell<Vec<Rc<Conn>>>,
    pump: RefCell<Option<Waker>>,
    /// Signs of life that the core has not been told of, and the number of this round.
    touches: RefCell<(u32, Vec<(SessionId, i64)>)>,
    timers: Timers,
    pub spare: Spare,
    pub cache: RefCell<ResponseCache>,
    /// Bytes that were read here, by the first component of the path.
    pub bytes_read: RefCell<NamespaceTotals>,
    /// Scratch space for notifications that leave before a reply.
    pub notifications: RefCell<Vec<u8>>,
    pub stats: RefCell<WorkerStats>,
    pub read_latency: RefCell<Pending>,
    update_latency: RefCell<Pending>,
    /// Lines about connections that are closed.
    pub lines: RefCell<OncePerSecond>,
    /// What the metrics know of the cache.
    cache_seen: Cell<CacheStats>,
}

/// Starts the thread of a worker.
///
/// # Errors
/// When the thread or its runtime cannot be made.
pub fn spawn(
    shared: Arc<Shared>,
    index: u16,
    commands: mpsc::UnboundedReceiver<Command>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("io-{index}")).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(Default::default())
            .expect("a runtime for an I/O worker");
        let worker = Rc::new(Worker::new(shared, index));
        runtime.block_on(worker.run(commands));
    })
}

impl Worker {
    fn new(shared: Arc<Shared>, index: u16) -> Self {
        let cache = ResponseCache::new(
            shared.config.request.children_cache_entries as usize,
            CHILDREN_CACHE_BYTES_MAX,
        );
        let metrics = shared.metrics.shard(usize::from(index));
        Self {
            shared,
            index,
            metrics,
            conns: RefCell::default(),
            next_serial: Cell::new(1),
            last_ids: RefCell::default(),
            reading: Cell::new(true),
            read_buffer: Cell::new(vec![0; READ_BUFFER_LEN]),
            spare_mail: RefCell::default(),
            outbox: RefCell::default(),
            dirty: RefCell::default(),
            pump: RefCell::new(None),
            touches: RefCell::new((1, Vec::new())),
            timers: Timers::default(),
            spare: Spare::default(),
            cache: RefCell::new(cache),
            bytes_read: RefCell::new(NamespaceTotals::new(KEYS_MAX)),
            notifications: RefCell::default(),
            stats: RefCell::default(),
            read_latency: RefCell::new(Pending::new(Distribution::ReadLatency)),
            update_latency: RefCell::new(Pending::new(Distribution::UpdateLatency)),
            lines: RefCell::default(),
            cache_seen: Cell::default(),
        }
    }

    async fn run(self: Rc<Self>, mut commands: mpsc::UnboundedReceiver<Command>) {
        tokio::task::spawn_local(self.clone().pump());
        tokio::task::spawn_local(self.clone().watch_timers());
        while let Some(command) = commands.recv().await {
            match command {
                Command::Adopt(stream, peer) => self.adopt(stream, peer),
                Command::Report { connections, to } => {
                    // Whoever asked may have gone.
                    let _ = to.send(self.report(connections));
                }
                Command::Reset { connections, server } => self.reset(connections, server),
                Command::CloseClients => self.close_clients(),
                Command::StopReading(done) => {
                    self.reading.set(false);
                    self.send_outbox();
                    let _ = done.send(());
                }
                Command::Stop => break,
            }
        }
        self.stop().await;
    }

    /// Closes the connections that carry a session or ask for one. What was answered before leaves first.
    fn close_clients(&self) {
        self.take_mail();
        self.flush_dirty();
        let conns: Vec<_> = self.conns.borrow().values().cloned().collect();
        for conn in conns.iter().filter(|conn| conn.phase() >= Phase::Connecting) {
            conn.close(Reason::ByServer);
            self.flush(conn);
            conn.wake();
        }
    }

    /// Sends what the core has for the connections and closes them.
    async fn stop(&self) {
        self.take_mail();
        self.flush_dirty();
        let conns: Vec<_> = self.conns.borrow().values().cloned().collect();
        for conn in &conns {
            conn.close(Reason::Shutdown);
            conn.flush(&self.spare);
            conn.wake();
        }
        drop(conns);
        // Clients that read get their last bytes; the others do not hold up the end.
        for _ in 0..20 {
            if self.conns.borrow().is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Carries requests to the core and deliveries to the connections. It runs after all connection tasks that were
    /// ready together, so that what they have goes in one piece.
    async fn pump(self: Rc<Self>) {
        poll_fn(|cx| {
            let mut pump = self.pump.borrow_mut();
            if pump.is_none() {
                *pump = Some(cx.waker().clone());
                self.shared.workers[usize::from(self.index)].mailbox.attach(cx.waker().clone());
            }
            drop(pump);
            self.take_mail();
            self.flush_dirty();
            self.send_outbox();
            Poll::<()>::Pending
        })
        .await;
    }

    fn wake_pump(&self) {
        if let Some(pump) = &*self.pump.borrow() {
            pump.wake_by_ref();
        }
    }

    async fn watch_timers(self: Rc<Self>) {
        loop {
            self.timers.wait(&self.shared.clock).await;
            let now_ms = self.shared.clock.mono_ms();
            for timer in self.timers.due(now_ms) {
                match timer {
                    Timer::Touches => self.send_touches(),
                    Timer::Sessionless(serial) => {
                        let Some(conn) = self.conn(serial) else { continue };
                        if conn.phase() <= Phase::Connecting {
                            self.metrics.inc(Counter::SessionlessConnectionsExpired);
                            conn.abandon(Reason::NoSession);
                            conn.wake();
                        }
                    }
                    Timer::Closing(serial) => {
                        let Some(conn) = self.conn(serial) else { continue };
                        conn.abandon(Reason::SlowReader);
                        conn.wake();
                    }
                    Timer::Stalled(serial) => {
                        let Some(conn) = self.conn(serial) else { continue };
                        conn.set_stalled(false);
                        conn.wake();
                    }
                }
            }
        }
    }

    fn conn(&self, serial: u32) -> Option<Rc<Conn>> {
        self.conns.borrow().get(&serial).cloned()
    }

    fn adopt(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr) {
        let serial = self.next_serial.get();
        let port = &self.shared.workers[usize::from(self.index)];
        let stream = match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                debug!(%peer, %error, "connection closed: it cannot be watched");
                port.connections.fetch_sub(1, Ordering::Relaxed);
                self.shared.door.leave(peer.ip());
                return;
            }
        };
        self.next_serial.set(serial.wrapping_add(1));
        let id = ConnId { worker: self.index, serial };
        let (read, write) = stream.into_split();
        let ids = self.ids_of(peer.ip());
        let conn = Rc::new(Conn::new(id, peer, super::clock::wall_ms(), ids, write));
        self.conns.borrow_mut().insert(serial, conn.clone());
        let now_ms = self.shared.clock.mono_ms();
        self.timers.add(Timer::Sessionless(serial), now_ms + self.shared.settings.sessionless_timeout_ms);
        tokio::task::spawn_local(ConnTask::new(self.clone(), conn, read));
    }

    /// Who a client from this address is before it says more. Connections often come from one host in a row, and share
    /// it then.
    fn ids_of(&self, address: IpAddr) -> Arc<[Id]> {
        let mut last = self.last_ids.borrow_mut();
        match &*last {
            Some((known, ids)) if *known == address => ids.clone(),
            _ => {
                let ids: Arc<[Id]> = Arc::from([auth::peer_id(address)]);
                *last = Some((address, ids.clone()));
                ids
            }
        }
    }

    /// Clears up after a connection.
    pub fn forget(&self, conn: &Rc<Conn>) {
        conn.abandon(Reason::Shutdown);
        debug!(
            peer = %conn.peer,
            session = %conn.session(),
            reason = ?conn.reason(),
            "connection closed"
        );
        if matches!(conn.reason(), Some(Reason::ClosedByClient | Reason::ReadError)) {
            self.metrics.inc(Counter::ConnectionDropCount);
        }
        conn.forget_in_flight(&self.shared);
        self.conns.borrow_mut().remove(&conn.id.serial);
        self.shared.watches.lock().drop_connection(conn.id);
        self.send(ToCore::Input(Input::Gone { conn: conn.id, session: conn.session() }));
        self.shared.workers[usize::from(self.index)].connections.fetch_sub(1, Ordering::Relaxed);
        self.shared.door.leave(conn.peer.ip());
    }

    /// Whether another request may be taken from the connection now.
    #[inline]
    pub fn may_take(&self, conn: &Conn) -> bool {
        conn.may_take(&self.shared) && self.reading.get()
    }

    pub fn take_read_buffer(&self) -> Vec<u8> {
        let buffer = self.read_buffer.take();
        debug_assert_eq!(buffer.len(), READ_BUFFER_LEN);
        buffer
    }

    pub fn give_read_buffer(&self, buffer: Vec<u8>) {
        self.read_buffer.set(buffer);
    }

    pub fn note_read(&self, bytes: usize) {
        self.metrics.add(Counter::BytesReceivedCount, bytes as u64);
    }

    /// Sends something to the core, with everything else that this round has for it.
    pub fn send(&self, message: ToCore) {
        let mut outbox = self.outbox.borrow_mut();
        outbox.push(message);
        if outbox.len() == 1 {
            self.wake_pump();
        }
    }

    fn send_outbox(&self) {
        self.shared.core.put_all(&mut self.outbox.borrow_mut());
    }

    /// Notes that a session was heard from.
    pub fn touch(&self, conn: &Conn, now_ms: i64) {
        let mut touches = self.touches.borrow_mut();
        let (round, list) = &mut *touches;
        let (mine, place) = conn.touch.get();
        if mine == *round {
            list[place as usize].1 = now_ms;
            return;
        }
        conn.touch.set((*round, list.len() as u32));
        list.push((conn.session(), now_ms));
        if list.len() == 1 {
            self.timers.add(Timer::Touches, now_ms + TOUCH_HOLD_MS);
        }
    }

    fn send_touches(&self) {
        let mut touches = self.touches.borrow_mut();
        let list = std::mem::take(&mut touches.1);
        touches.0 = touches.0.wrapping_add(1).max(1);
        if !list.is_empty() {
            self.send(ToCore::Input(Input::Touch(list)));
        }
    }

    /// Holds a connection back until there may be room again.
    pub fn stall(&self, conn: &Conn, now_ms: i64) {
        conn.set_stalled(true);
        let stall_ms = i64::from(self.shared.settings.throttle.stall_time_ms.max(1));
        self.timers.add(Timer::Stalled(conn.id.serial), now_ms + stall_ms);
    }

    /// Hands what the core has for the connections to them. Nothing is sent yet.
    pub fn take_mail(&self) {
        let mailbox = &self.shared.workers[usize::from(self.index)].mailbox;
        if !mailbox.is_full() {
            return;
        }
        let mut mail = self.spare_mail.take();
        mailbox.take(&mut mail);
        let now_ms = self.shared.clock.mono_ms();
        let mut at = 0;
        for delivery in &mail.items {
            let end = at + delivery.len;
            self.deliver(delivery, &mail.bytes[at..end], now_ms);
            at = end;
        }
        if mail.bytes.capacity() > SPARE_MAIL_MAX {
            mail = WorkerDeliveries::default();
        }
        mail.bytes.clear();
        mail.items.clear();
        self.spare_mail.replace(mail);
    }

    fn deliver(&self, delivery: &Delivery, bytes: &[u8], now_ms: i64) {
        let conns = self.conns.borrow();
        let Some(conn) = conns.get(&delivery.conn.serial) else { return };
        if !bytes.is_empty() {
            conn.write(&self.spare, |out| out.extend_from_slice(bytes));
        }
        let mut stats = self.stats.borrow_mut();
        let packets = count_frames(bytes, &mut stats.sizes);
        stats.sent += packets;
        self.metrics.add(Counter::ResponseBytes, bytes.len() as u64);
        conn.stats.borrow_mut().sent += packets;
        conn.pop_in_flight(delivery.answered, &self.shared, |r: InFlight| {
            let latency_ms = (now_ms - r.received_ms).max(0);
            stats.updates.add(latency_ms, 1);
            self.update_latency.borrow_mut().add(&self.metrics, latency_ms, 1);
            let zxid = delivery.zxid;
            conn.note_answered(Answered { xid: r.xid, op: r.op, zxid }, latency_ms, now_ms, 1);
        });
        match delivery.then {
            Then::Nothing => {}
            Then::Close => conn.close(Reason::ByServer),
            Then::Established { session, timeout_ms } => {
                conn.establish(session, timeout_ms);
                if let Some(latency_ms) = conn.note_established(now_ms) {
                    stats.updates.add(latency_ms, 1);
                    self.update_latency.borrow_mut().add(&self.metrics, latency_ms, 1);
                    let answered = Answered { xid: 0, op: OpCode::CreateSession, zxid: delivery.zxid };
                    conn.note_answered(answered, latency_ms, now_ms, 1);
                }
            }
        }
        if !conn.dirty.replace(true) {
            self.dirty.borrow_mut().push(conn.clone());
        }
    }

    /// Sends what has been handed to connections, and wakes those that may go on.
    pub fn flush_dirty(&self) {
        if self.dirty.borrow().is_empty() {
            return;
        }
        let mut dirty = self.dirty.take();
        for conn in dirty.drain(..) {
            conn.dirty.set(false);
            self.flush(&conn);
        }
        // Nothing became dirty meanwhile: sending delivers nothing.
        self.dirty.replace(dirty);
    }

    fn flush(&self, conn: &Conn) {
        conn.flush(&self.spare);
        if conn.phase() >= Phase::Closing {
            if !conn.is_over() {
                self.timers.add(Timer::Closing(conn.id.serial), self.shared.clock.mono_ms() + CLOSING_MS_MAX);
            }
            conn.wake();
        } else if conn.is_blocked() || conn.is_paused() && self.may_take(conn) {
            conn.wake();
        }
    }

    /// Has a four-letter word answered and the connection closed.
    pub fn answer_word(self: &Rc<Self>, conn: &Rc<Conn>, word: Word, argument: Option<i64>) {
        let (worker, conn) = (self.clone(), conn.clone());
        tokio::task::spawn_local(async move {
            let answer = words::answer(&worker.shared, &conn, word, argument).await;
            if conn.write(&worker.spare, |out| out.extend_from_slice(&answer)).is_some() {
                conn.stats.borrow_mut().sent += 1;
                worker.stats.borrow_mut().sent += 1;
            }
            conn.close(Reason::WordAnswered);
            worker.flush(&conn);
        });
    }

    fn report(&self, connections: bool) -> WorkerReport {
        self.settle();
        let conns = self.conns.borrow();
        let connections = conns
            .values()
            .filter(|_| connections)
            .map(|conn| ConnReport {
                conn: conn.id,
                peer: conn.peer,
                session: conn.session(),
                timeout_ms: conn.timeout_ms(),
                queued: conn.in_flight(),
                reading: self.may_take(conn),
                writing: conn.is_blocked(),
                since_ms: conn.since_ms,
                stats: *conn.stats.borrow(),
            })
            .collect();
        WorkerReport { stats: *self.stats.borrow(), connections }
    }

    /// Hands to the metrics what is counted here first.
    fn settle(&self) {
        self.read_latency.borrow_mut().settle(&self.metrics);
        self.update_latency.borrow_mut().settle(&self.metrics);
        self.metrics.record_namespaces(KeyedSummary::ReadPerNamespace, &mut self.bytes_read.borrow_mut());
        let cache = self.cache.borrow().stats();
        let seen = self.cache_seen.replace(cache);
        self.metrics.add(Counter::ResponsePacketGetChildrenCacheHits, cache.hits - seen.hits);
        self.metrics.add(Counter::ResponsePacketGetChildrenCacheMisses, cache.misses - seen.misses);
    }

    fn reset(&self, connections: bool, server: bool) {
        if connections {
            self.conns.borrow().values().for_each(|c| *c.stats.borrow_mut() = ConnStats::default());
        }
        if server {
            *self.stats.borrow_mut() = WorkerStats::default();
            self.read_latency.borrow_mut().reset();
            self.update_latency.borrow_mut().reset();
            self.cache_seen.set(self.cache.borrow().stats());
            self.bytes_read.borrow_mut().take(|_, _| {});
        }
    }
}

/// Number of whole frames, whose sizes are added.
fn count_frames(mut bytes: &[u8], sizes: &mut Sizes) -> u64 {
    let mut count = 0;
    while let Ok(Split::Frame { len, .. }) = frame::split(bytes, usize::MAX - LENGTH_LEN) {
        count += 1;
        sizes.add(len);
        bytes = &bytes[len..];
    }
    count
}
