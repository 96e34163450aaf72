use super::{
    Event, SendLimits, Sink,
    dial::{Dial, dial},
    inbound::Inbound,
    outbox::Outbox,
    threads::Threads,
};
use crate::{
    storage,
    tree::TreeOptions,
    zab::{Packet, Sender},
};
use bytes::Bytes;
use quoll_jute::Limits;
use std::{
    io,
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
            inner.down(e.to_string());
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
    fn down(&self, why: String) {
        let names: Vec<_> = self.addresses.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let why = format!("connection to the leader at {}: {why}", names.join("|"));
        self.sink.put(&mut vec![Event::LeaderDown { attempt: self.attempt, why }]);
    }

    /// The thread.
    fn run(&self) {
        let why = match self.connect() {
            Ok(outbox) => {
                let why = self.read(&outbox);
                outbox.close(why.clone());
                outbox.closed().unwrap_or(why)
            }
            Err(why) => {
                if let Some(outbox) = self.outbox.get() {
                    outbox.close(why.clone());
                }
                format!("cannot connect: {why}")
            }
        };
        self.down(why);
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

    /// Reads until the end. Returns why that is.
    fn read(&self, outbox: &Outbox) -> String {
        let attempt = self.attempt;
        let mut events = vec![Event::LeaderUp { attempt }];
        self.sink.put(&mut events);
        let mut inbound = Inbound::new(Sender::Leader, self.settings.limits);
        loop {
            match inbound.read_from(&mut outbox.stream()) {
                Ok(0) => return "the leader closed it".into(),
                Ok(_) => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return format!("the leader said nothing for {} ms", self.settings.read_timeout_ms);
                }
                Err(e) => return format!("cannot read: {e}"),
            }
            let bad = loop {
                match inbound.next() {
                    Ok(Some(packet)) => {
                        let snap = match packet {
                            Packet::Snap { zxid } => Some(zxid),
                            _ => None,
                        };
                        events.push(Event::LeaderPacket { attempt, packet });
                        let Some(zxid) = snap else { continue };
                        // It may take long, and the owner should know.
                        self.sink.put(&mut events);
                        let ahead = inbound.take_rest();
                        match storage::read_tree(outbox.stream(), ahead, zxid, self.tree_options) {
                            Ok(found) => {
                                inbound.put_back(found.rest);
                                let (tree, sessions) = (Box::new(found.tree), found.sessions);
                                events.push(Event::Snapshot { attempt, zxid, tree, sessions });
                            }
                            Err(e) => break Some(format!("the tree behind its SNAP of {zxid}: {e}")),
                        }
                    }
                    Ok(None) => break None,
                    Err(e) => break Some(format!("what the leader sent is no packet: {e}")),
                }
            };
            if !events.is_empty() {
                self.sink.put(&mut events);
            }
            if let Some(why) = bad {
                return why;
            }
        }
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
