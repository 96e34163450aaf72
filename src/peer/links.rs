use super::{
    Event, PeerError, SendLimits, Sink, Source,
    complaints::Complaints,
    dial::set_stream_options,
    inbound::Inbound,
    listen::{BindTries, Listeners},
    outbox::Outbox,
    reading::{self, Adopter, Reader},
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
    /// Who reads a connection that has sent its first packet; without one it keeps its thread.
    pub adopter: Option<Adopter>,
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
            adopter: None,
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
        let inbound = Inbound::new(Sender::Learner, self.settings.limits);
        let (links, since, known) = (self.clone(), Instant::now(), false);
        let reader = LinkReader { links, link, address, outbox, inbound, since, known };
        let its = self.clone();
        let run = move || reading::run(Box::new(reader), its.settings.adopter.as_ref(), &*its.sink);
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

/// Reads what a learner sends: on a thread of its own until it has said that it is one, then where the owner wants it.
struct LinkReader {
    links: Arc<Inner>,
    link: LinkId,
    address: SocketAddr,
    outbox: Arc<Outbox>,
    inbound: Inbound,
    since: Instant,
    /// It has sent its first packet.
    known: bool,
}

impl Reader for LinkReader {
    fn parts(&mut self) -> (&TcpStream, &mut Inbound) {
        (self.outbox.stream(), &mut self.inbound)
    }

    fn is_settled(&self) -> bool {
        self.known
    }

    fn wait(&mut self) -> Result<(), String> {
        let first = Duration::from_millis(self.links.settings.first_packet_ms.max(1));
        let stream = self.outbox.stream();
        if !self.known {
            // Of the whole packet, so that byte after byte does not keep the connection.
            let left = (self.since + first).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("no whole packet within {} ms", first.as_millis()));
            }
            stream.set_read_timeout(Some(left)).map_err(|e| format!("cannot wait for it: {e}"))?;
        }
        reading::waited(self.inbound.read_from(&mut &*stream), || {
            format!("no packet within {} ms", first.as_millis())
        })
    }

    fn take(&mut self, events: &mut Vec<Event>) -> Result<(), String> {
        while let Some(packet) = self.inbound.next().map_err(|e| format!("what it sent is no packet: {e}"))? {
            if !self.known {
                if !matches!(packet, Packet::LearnerInfo { .. }) {
                    // Whoever it is, it is not worth the owner's time.
                    return Err("what it said first is not what a learner says first".into());
                }
                self.links.identify(self.link, &self.outbox)?;
                self.known = true;
                events.push(Event::LinkUp { link: self.link, address: self.address });
            }
            events.push(Event::LinkPacket { link: self.link, packet });
        }
        Ok(())
    }

    fn end(&mut self, why: String, events: &mut Vec<Event>) {
        self.outbox.close(why.clone());
        self.links.links.lock().remove(&self.link);
        let why = self.outbox.closed().unwrap_or(why);
        if self.known {
            let why = format!("connection of the learner at {}: {why}", self.address);
            events.push(Event::LinkDown { link: self.link, why });
        } else {
            self.links.complain(self.address, &why);
        }
    }
}
