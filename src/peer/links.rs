use super::{
    Event, PeerError, SendLimits, Sink, Source,
    complaints::Complaints,
    dial::set_stream_options,
    inbound::Inbound,
    listen::{BindTries, Listeners},
    outbox::Outbox,
    threads::Threads,
};
use crate::zab::{LinkId, Packet, Sender};
use bytes::Bytes;
use parking_lot::Mutex;
use quoll_jute::Limits;
use std::{
    collections::HashMap,
    fmt::{self, Display},
    io,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tracing::warn;

/// Threads are waited for no longer than this at the end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// The name of the port in messages.
const PORT: &str = "quorum";

/// How learners are listened to.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// Where to listen: host names or addresses, and ports. Port 0 is any that is free.
    pub bind: Vec<(String, u16)>,
    /// The number of the first link.
    pub first: LinkId,
    /// Tries to take a port, [`Self::bind_retry_ms`] apart; 0 is without end.
    pub bind_tries: u32,
    /// Pause between two of them, ms.
    pub bind_retry_ms: u64,
    /// A connection without a packet is closed after this, ms: `initLimit` × `tickTime`.
    pub first_packet_ms: u64,
    /// A connection that takes none of what waits for it is closed after this, ms. Not 0.
    pub send_stall_ms: u64,
    /// Bytes of data that a packet may have: `jute.maxbuffer` and `jute.maxbuffer.extrasize`.
    pub limits: Limits,
    /// How much may wait to be sent.
    pub send: SendLimits,
    /// Connections without a packet, at most. For one more, the oldest is closed.
    pub strangers_max: usize,
    /// Connections, at most. For one more, the oldest without a packet is closed; if all have sent one, it is refused.
    pub links_max: usize,
    /// `tcpKeepAlive`
    pub keep_alive: bool,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            bind: Vec::new(),
            first: LinkId(1),
            bind_tries: 3,
            bind_retry_ms: 1000,
            first_packet_ms: 20_000,
            send_stall_ms: 20_000,
            limits: Limits::DEFAULT,
            send: SendLimits::default(),
            strangers_max: 256,
            links_max: 4096,
            keep_alive: false,
        }
    }
}

/// The quorum port: learners connect to it, whether this server leads or not. Who does not lead closes their links.
///
/// Upstream counterpart: `Leader.LearnerCnxAcceptor` and the sockets of `LearnerHandler`.
#[derive(Debug)]
pub struct Links {
    inner: Arc<Inner>,
    addresses: Vec<SocketAddr>,
}

struct Inner {
    settings: LinkSettings,
    listeners: Listeners,
    sink: Arc<dyn Sink>,
    threads: Threads,
    links: Mutex<HashMap<LinkId, Link>>,
    next: AtomicU64,
    closing: AtomicBool,
    complaints: Complaints,
}

struct Link {
    outbox: Arc<Outbox>,
    /// It has not sent a packet yet.
    stranger: bool,
}

impl Links {
    /// Takes the ports and begins to accept.
    ///
    /// # Errors
    /// When a port cannot be had, after all tries, or a thread not be started.
    pub fn start(settings: LinkSettings, sink: Arc<dyn Sink>) -> Result<Self, PeerError> {
        let how =
            BindTries { tries: settings.bind_tries, delay: Duration::from_millis(settings.bind_retry_ms) };
        let first = settings.first.0;
        let listeners = Listeners::bind(PORT, &settings.bind, how)?;
        let addresses = listeners.addresses();
        let inner = Arc::new(Inner {
            settings,
            listeners,
            sink,
            threads: Threads::default(),
            links: Mutex::default(),
            next: AtomicU64::new(first),
            closing: AtomicBool::new(false),
            complaints: Complaints::default(),
        });
        let this = Self { inner: inner.clone(), addresses };
        let its = inner.clone();
        inner.listeners.accept(PORT, &inner.threads, move |stream, peer| its.welcome(stream, peer))?;
        Ok(this)
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The number of the first link.
    pub fn first(&self) -> LinkId {
        self.inner.settings.first
    }

    /// Gives the port up. Links stay.
    pub fn stop_listening(&self) {
        self.inner.listeners.close();
    }

    /// Sends whole packets to a learner, now or later, and never waits. A link that is gone is passed over.
    pub fn send(&self, link: LinkId, bytes: Bytes) {
        if let Some(outbox) = self.inner.outbox(link) {
            outbox.send(bytes);
        }
    }

    /// Sends long content in its place, on the link's own thread.
    pub fn send_source(&self, link: LinkId, source: Box<dyn Source>) {
        if let Some(outbox) = self.inner.outbox(link) {
            outbox.send_source(source);
        }
    }

    /// Closes a link. What waits to be sent is lost. [`Event::LinkDown`] follows.
    pub fn close(&self, link: LinkId) {
        if let Some(outbox) = self.inner.outbox(link) {
            outbox.close("closed by this server");
        }
    }

    /// Closes the port and all links, and waits for their threads.
    pub fn shutdown(&self) {
        self.inner.closing.store(true, Ordering::Release);
        self.inner.listeners.close();
        for link in self.inner.links.lock().values() {
            link.outbox.close("this server is shutting down");
        }
        let left = self.inner.threads.wait(SHUTDOWN_MAX);
        if left > 0 {
            warn!("{left} threads of the {PORT} port do not end");
        }
    }

    #[cfg(test)]
    pub(super) fn threads(&self) -> &Threads {
        &self.inner.threads
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Inner {
    fn outbox(&self, link: LinkId) -> Option<Arc<Outbox>> {
        self.links.lock().get(&link).map(|l| l.outbox.clone())
    }

    /// A connection was accepted.
    fn welcome(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        let link = LinkId(self.next.fetch_add(1, Ordering::Relaxed));
        if let Err(e) = self.set_up(&stream) {
            return self.complain(address, &e);
        }
        let outbox = Outbox::new(stream, self.settings.send, self.threads.clone());
        {
            let mut links = self.links.lock();
            // Looked at under the lock under which shutdown closes those that are there.
            if self.closing.load(Ordering::Acquire) {
                return;
            }
            let strangers = links.iter().filter(|(_, l)| l.stranger).map(|(id, _)| *id);
            if strangers.clone().count() >= self.settings.strangers_max
                || links.len() >= self.settings.links_max
            {
                let oldest = strangers.min();
                if let Some(oldest) = oldest.and_then(|id| links.remove(&id)) {
                    oldest.outbox.close("it was silent, and newer ones came");
                }
            }
            if links.len() >= self.settings.links_max {
                let max = self.settings.links_max;
                return self.complain(address, &format!("there are {max} already"));
            }
            links.insert(link, Link { outbox: outbox.clone(), stranger: true });
        }
        let me = self.clone();
        let run = move || me.serve(link, address, &outbox);
        if let Err(e) = self.threads.spawn(format!("link-{}", link.0), run) {
            self.links.lock().remove(&link);
            self.complain(address, &e);
        }
    }

    fn complain(&self, address: SocketAddr, why: &dyn Display) {
        if let Some(more) = self.complaints.pass() {
            warn!(more, "connection of {address} to the {PORT} port closed: {why}");
        }
    }

    fn set_up(&self, stream: &TcpStream) -> io::Result<()> {
        set_stream_options(stream, self.settings.keep_alive)?;
        let ms = |ms: u64| Some(Duration::from_millis(ms.max(1)));
        stream.set_write_timeout(ms(self.settings.send_stall_ms))
    }

    /// The thread of a link.
    fn serve(&self, link: LinkId, address: SocketAddr, outbox: &Outbox) {
        let mut known = false;
        let why = self.read(link, address, outbox, &mut known);
        outbox.close(why.clone());
        self.links.lock().remove(&link);
        let why = outbox.closed().unwrap_or(why);
        if known {
            let why = format!("connection of the learner at {address}: {why}");
            self.sink.put(&mut vec![Event::LinkDown { link, why }]);
        } else {
            self.complain(address, &why);
        }
    }

    /// Reads until the end. Returns why that is.
    fn read(&self, link: LinkId, address: SocketAddr, outbox: &Outbox, known: &mut bool) -> String {
        let mut inbound = Inbound::new(Sender::Learner, self.settings.limits);
        let mut events = Vec::new();
        let first = Duration::from_millis(self.settings.first_packet_ms.max(1));
        let deadline = Instant::now() + first;
        loop {
            if !*known {
                // Of the whole packet, so that byte after byte does not keep the connection.
                let left = deadline.saturating_duration_since(Instant::now());
                let left = left.max(Duration::from_millis(1));
                if let Err(e) = outbox.stream().set_read_timeout(Some(left)) {
                    return format!("cannot wait for it: {e}");
                }
            }
            let end = match inbound.read_from(&mut outbox.stream()) {
                Ok(0) => Some("the peer closed it".to_string()),
                Ok(_) if !*known && Instant::now() >= deadline => {
                    Some(format!("no whole packet within {} ms", first.as_millis()))
                }
                Ok(_) => None,
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    Some(format!("no packet within {} ms", first.as_millis()))
                }
                Err(e) => Some(format!("cannot read: {e}")),
            };
            if let Some(why) = end {
                return why;
            }
            let mut bad = None;
            loop {
                match inbound.next() {
                    Ok(Some(packet)) => {
                        if !*known {
                            if !matches!(packet, Packet::LearnerInfo { .. }) {
                                // Whoever it is, it is not worth the owner's time.
                                return "what it said first is not what a learner says first".into();
                            }
                            if let Err(why) = self.identify(link, outbox) {
                                return why;
                            }
                            *known = true;
                            events.push(Event::LinkUp { link, address });
                        }
                        events.push(Event::LinkPacket { link, packet });
                    }
                    Ok(None) => break,
                    Err(e) => {
                        bad = Some(format!("what it sent is no packet: {e}"));
                        break;
                    }
                }
            }
            if !events.is_empty() {
                self.sink.put(&mut events);
            }
            if let Some(why) = bad {
                return why;
            }
        }
    }

    /// The link has sent a packet: from now on its owner judges its silence.
    fn identify(&self, link: LinkId, outbox: &Outbox) -> Result<(), String> {
        match self.links.lock().get_mut(&link) {
            Some(l) => l.stranger = false,
            // It had to make room; why is known to the outbox.
            None => return Err("closed by this server".into()),
        }
        outbox.stream().set_read_timeout(None).map_err(|e| format!("cannot wait for it: {e}"))
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("settings", &self.settings)
            .field("links", &self.links.lock().len())
            .finish_non_exhaustive()
    }
}
