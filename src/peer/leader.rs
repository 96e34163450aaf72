use super::{
    Event, SendLimits, Sink,
    dial::{Dial, dial},
    inbound::Inbound,
    outbox::Outbox,
    reading::{self, Adopter, Reader},
    threads::Threads,
};
use crate::{
    storage,
    tree::TreeOptions,
    types::Zxid,
    zab::{Packet, Sender},
};
use bytes::Bytes;
use quoll_jute::Limits;
use std::{
    io,
    net::TcpStream,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How the leader is connected to.
#[derive(Clone, Debug)]
pub struct LeaderSettings {
    /// Time to connect, all tries together, ms: `connectToLearnerMasterLimit` or `initLimit`, × `tickTime`.
    pub connect_ms: u64,
    /// Tries for each address.
    pub tries: u32,
    /// Pause after a failed try, ms: `leaderConnectDelayDuringRetryMs`.
    pub retry_delay_ms: u64,
    /// Closed after this much silence, ms, also within a SNAP: `initLimit` × `tickTime`. Not 0. Shorter patience is
    /// the owner's business.
    pub read_timeout_ms: u64,
    /// Closed when the leader takes none of what waits for it for this time, ms. Not 0.
    pub send_stall_ms: u64,
    /// Bytes of data that a packet may have: `jute.maxbuffer` and `jute.maxbuffer.extrasize`.
    pub limits: Limits,
    /// How much may wait to be sent.
    pub send: SendLimits,
    /// `tcpKeepAlive`
    pub keep_alive: bool,
    /// Who reads the connection once the leader has said UPTODATE; without one it keeps its thread.
    pub adopter: Option<Adopter>,
}

impl Default for LeaderSettings {
    fn default() -> Self {
        Self {
            connect_ms: 20_000,
            tries: 5,
            retry_delay_ms: 100,
            read_timeout_ms: 20_000,
            send_stall_ms: 20_000,
            limits: Limits::DEFAULT,
            send: SendLimits::default(),
            keep_alive: false,
            adopter: None,
        }
    }
}

/// The connection to the leader, or the attempt to make one. Dropping it closes it.
///
/// Upstream counterpart: `Learner.connectToLeader` and `Learner.readPacket`.
#[derive(Debug)]
pub struct LeaderConn {
    inner: Arc<Inner>,
}

struct Inner {
    attempt: u64,
    addresses: Vec<(String, u16)>,
    settings: LeaderSettings,
    tree_options: TreeOptions,
    sink: Arc<dyn Sink>,
    threads: Threads,
    outbox: OnceLock<Arc<Outbox>>,
    closed: AtomicBool,
}

impl LeaderConn {
    /// Begins to connect, to all addresses at the same time, and returns at once. [`Event::LeaderUp`] or
    /// [`Event::LeaderDown`] follows.
    pub fn connect(
        attempt: u64,
        addresses: Vec<(String, u16)>,
        settings: LeaderSettings,
        tree_options: TreeOptions,
        sink: Arc<dyn Sink>,
    ) -> Self {
        let inner = Arc::new(Inner {
            attempt,
            addresses,
            settings,
            tree_options,
            sink,
            threads: Threads::default(),
            outbox: OnceLock::new(),
            closed: AtomicBool::new(false),
        });
        let its = inner.clone();
        if let Err(e) = inner.threads.spawn(format!("leader-{attempt}"), move || its.run()) {
            inner.sink.put(&mut vec![inner.down(e.to_string())]);
        }
        Self { inner }
    }

    /// Sends whole packets, now or later, and never waits. Before [`Event::LeaderUp`] nothing is sent.
    pub fn send(&self, bytes: Bytes) {
        if let Some(outbox) = self.inner.outbox.get() {
            outbox.send(bytes);
        }
    }

    /// Closes the connection or gives up the attempt. [`Event::LeaderDown`] follows.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        if let Some(outbox) = self.inner.outbox.get() {
            outbox.close("closed by this server");
        }
    }

    #[cfg(test)]
    pub(super) fn threads(&self) -> Threads {
        self.inner.threads.clone()
    }
}

impl Drop for LeaderConn {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    fn down(&self, why: String) -> Event {
        let names: Vec<_> = self.addresses.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let why = format!("connection to the leader at {}: {why}", names.join("|"));
        Event::LeaderDown { attempt: self.attempt, why }
    }

    /// The thread.
    fn run(self: Arc<Self>) {
        match self.connect() {
            Ok(outbox) => {
                self.sink.put(&mut vec![Event::LeaderUp { attempt: self.attempt }]);
                let inbound = Inbound::new(Sender::Leader, self.settings.limits);
                let reader = LeaderReader { conn: self.clone(), outbox, inbound, up_to_date: false };
                reading::run(Box::new(reader), self.settings.adopter.as_ref(), &*self.sink);
            }
            Err(why) => {
                if let Some(outbox) = self.outbox.get() {
                    outbox.close(why.clone());
                }
                self.sink.put(&mut vec![self.down(format!("cannot connect: {why}"))]);
            }
        }
    }

    fn connect(&self) -> Result<Arc<Outbox>, String> {
        let s = &self.settings;
        let how = Dial {
            budget: Duration::from_millis(s.connect_ms),
            tries: s.tries,
            delay: Duration::from_millis(s.retry_delay_ms),
            keep_alive: s.keep_alive,
        };
        let stream = dial(&self.addresses, how, &|| !self.closed.load(Ordering::SeqCst))?;
        let ms = |ms: u64| Some(Duration::from_millis(ms.max(1)));
        let set_up = || {
            stream.set_read_timeout(ms(s.read_timeout_ms))?;
            stream.set_write_timeout(ms(s.send_stall_ms))
        };
        set_up().map_err(|e: io::Error| e.to_string())?;
        let outbox = Outbox::new(stream, s.send, self.threads.clone());
        let outbox = self.outbox.get_or_init(|| outbox).clone();
        // Either this sees that it was closed, or whoever closes it sees the connection.
        if self.closed.load(Ordering::SeqCst) {
            return Err("closed by this server".into());
        }
        Ok(outbox)
    }
}

/// Reads what the leader sends: on a thread of its own until UPTODATE, since a tree may come, then where the owner
/// wants it.
struct LeaderReader {
    conn: Arc<Inner>,
    outbox: Arc<Outbox>,
    inbound: Inbound,
    up_to_date: bool,
}

impl LeaderReader {
    /// The tree behind a SNAP, which comes in another format and may be large.
    fn take_tree(&mut self, zxid: Zxid, events: &mut Vec<Event>) -> Result<(), String> {
        // It may take long, and the owner should know.
        self.conn.sink.put(events);
        let ahead = self.inbound.take_rest();
        let found = storage::read_tree(self.outbox.stream(), ahead, zxid, self.conn.tree_options)
            .map_err(|e| format!("the tree behind its SNAP of {zxid}: {e}"))?;
        self.inbound.put_back(found.rest);
        let (tree, sessions) = (Box::new(found.tree), found.sessions);
        events.push(Event::Snapshot { attempt: self.conn.attempt, zxid, tree, sessions });
        Ok(())
    }
}

impl Reader for LeaderReader {
    fn parts(&mut self) -> (&TcpStream, &mut Inbound) {
        (self.outbox.stream(), &mut self.inbound)
    }

    fn is_settled(&self) -> bool {
        self.up_to_date
    }

    fn wait(&mut self) -> Result<(), String> {
        reading::waited(self.inbound.read_from(&mut self.outbox.stream()), || {
            format!("the leader said nothing for {} ms", self.conn.settings.read_timeout_ms)
        })
    }

    fn take(&mut self, events: &mut Vec<Event>) -> Result<(), String> {
        let attempt = self.conn.attempt;
        while let Some(packet) =
            self.inbound.next().map_err(|e| format!("what the leader sent is no packet: {e}"))?
        {
            let snap = if let Packet::Snap { zxid } = packet { Some(zxid) } else { None };
            if snap.is_some() && self.up_to_date {
                // Whoever reads now must not wait for a tree.
                return Err("the leader sends a tree behind its UPTODATE".into());
            }
            self.up_to_date |= matches!(packet, Packet::UpToDate);
            events.push(Event::LeaderPacket { attempt, packet });
            if let Some(zxid) = snap {
                self.take_tree(zxid, events)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, why: String, events: &mut Vec<Event>) {
        self.outbox.close(why.clone());
        events.push(self.conn.down(self.outbox.closed().unwrap_or(why)));
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("attempt", &self.attempt)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
