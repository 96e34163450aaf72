//! The connections on which members elect their leader: one for each pair of servers.
//!
//! Of two servers the one with the larger id connects. The other connects as well when it wants to talk, says who it is
//! and closes; then the larger one connects back. So both may begin, and one connection stays.
//!
//! To each peer at most one message waits, the newest; when a connection is made the last message is sent again, since
//! it may have got lost with the one before.
//!
//! Upstream counterpart: `QuorumCnxManager`.

mod channel;
mod door;
mod header;

pub use header::{Header, HeaderError};

use super::{
    Event, PeerError, Sink,
    complaints::Complaints,
    listen::{BindTries, Listeners},
    outbox::Outbox,
    threads::Threads,
};
use crate::{types::ServerId, zab::election::Notification};
use bytes::Bytes;
use door::Door;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tracing::{debug, warn};

/// Threads are waited for no longer than this at the end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// The name of the port in messages.
const PORT: &str = "election";

/// Where the members are, by their numbers.
pub type Addresses = BTreeMap<ServerId, Vec<(String, u16)>>;

/// How this server takes part in elections.
#[derive(Clone, Debug)]
pub struct ElectionSettings {
    /// Its own number.
    pub me: ServerId,
    /// Where to listen: host names or addresses, and ports. Port 0 is any that is free.
    pub bind: Vec<(String, u16)>,
    /// Tries to take a port, [`Self::bind_retry_ms`] apart: `electionPortBindRetry`; 0 is without end.
    pub bind_tries: u32,
    /// Pause between two of them, ms.
    pub bind_retry_ms: u64,
    /// What others are told to connect to: the own election addresses of the configuration. Port 0 stands for the
    /// one that was taken.
    pub advertised: Vec<(String, u16)>,
    /// `multiAddress.enabled`: tell all of them, and not only the first.
    pub multi_address: bool,
    /// Election addresses of the members.
    pub peers: Addresses,
    /// Time to connect to a peer, ms: `cnxTimeout`.
    pub connect_ms: u64,
    /// Time for whoever connects to say who it is, ms: `quorumCnxnTimeoutMs`, or `syncLimit` × `tickTime`.
    pub handshake_ms: u64,
    /// `tcpKeepAlive`
    pub keep_alive: bool,
    /// Connections that have not said who they are, at most. For one more, the oldest is closed.
    pub half_open_max: usize,
    /// The same for one address.
    pub half_open_per_address_max: usize,
    /// Connections of servers that are no members, at most. One more is refused.
    pub strangers_max: usize,
}

impl ElectionSettings {
    /// Upstream's defaults.
    pub fn new(me: ServerId) -> Self {
        Self {
            me,
            bind: Vec::new(),
            bind_tries: 3,
            bind_retry_ms: 1000,
            advertised: Vec::new(),
            multi_address: false,
            peers: Addresses::new(),
            connect_ms: 5000,
            handshake_ms: 10_000,
            keep_alive: false,
            half_open_max: 64,
            half_open_per_address_max: 32,
            strangers_max: 64,
        }
    }
}

/// The election port and the connections to the peers.
#[derive(Debug)]
pub struct Elections {
    inner: Arc<Inner>,
    addresses: Vec<SocketAddr>,
}

struct Inner {
    settings: ElectionSettings,
    /// What this server says when it connects.
    header: Vec<u8>,
    listeners: Listeners,
    sink: Arc<dyn Sink>,
    threads: Threads,
    door: Door,
    peers: Mutex<Peers>,
    closing: AtomicBool,
    complaints: Complaints,
}

struct Peers {
    members: Addresses,
    channels: HashMap<ServerId, Channel>,
    /// The next number for an observer without one.
    next_anonymous: i64,
}

/// What there is with one peer.
#[derive(Default)]
struct Channel {
    /// The last message to it, whether it was sent or not.
    last: Option<Bytes>,
    outbox: Option<Arc<Outbox>>,
    /// A thread tries to connect.
    connecting: bool,
}

impl Elections {
    /// Takes the ports and begins to accept. Connections to peers are made when there is something to send.
    ///
    /// # Errors
    /// When a port cannot be had, after all tries, or a thread not be started.
    pub fn start(mut settings: ElectionSettings, sink: Arc<dyn Sink>) -> Result<Self, PeerError> {
        let how =
            BindTries { tries: settings.bind_tries, delay: Duration::from_millis(settings.bind_retry_ms) };
        let listeners = Listeners::bind(PORT, &settings.bind, how)?;
        let addresses = listeners.addresses();
        let taken = addresses.first().map_or(0, SocketAddr::port);
        for (_, port) in settings.advertised.iter_mut().filter(|(_, port)| *port == 0) {
            *port = taken;
        }
        let header = Header { server: settings.me, addresses: settings.advertised.clone() };
        let peers = Peers {
            members: std::mem::take(&mut settings.peers),
            channels: HashMap::new(),
            next_anonymous: -1,
        };
        let inner = Arc::new(Inner {
            header: header.to_bytes(settings.multi_address),
            listeners,
            sink,
            threads: Threads::default(),
            door: Door::new(settings.half_open_max, settings.half_open_per_address_max),
            peers: Mutex::new(peers),
            closing: AtomicBool::new(false),
            complaints: Complaints::default(),
            settings,
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

    /// Sends a message, in place of one that still waits, and never waits. Without a connection one is tried for.
    pub fn send(&self, to: ServerId, notification: &Notification) {
        if to == self.inner.settings.me {
            let event = Event::Heard { from: to, notification: notification.clone() };
            return self.inner.sink.put(&mut vec![event]);
        }
        let payload = notification.to_bytes();
        let mut bytes = Vec::with_capacity(4 + payload.len());
        bytes.extend((payload.len() as i32).to_be_bytes());
        bytes.extend(payload);
        let bytes = Bytes::from(bytes);
        let mut peers = self.inner.peers.lock();
        let known = peers.members.contains_key(&to) || peers.channels.contains_key(&to);
        if !known {
            debug!("a message for server {} has nowhere to go: it is no member", to.0);
            return;
        }
        let channel = peers.channels.entry(to).or_default();
        channel.last = Some(bytes.clone());
        match &channel.outbox {
            Some(outbox) => outbox.send_newest(bytes),
            None => self.inner.connect_later(&mut peers, to),
        }
    }

    /// Tries to connect to every member without a connection.
    pub fn connect_all(&self) {
        let mut peers = self.inner.peers.lock();
        let members: Vec<ServerId> = peers.members.keys().copied().collect();
        for member in members {
            let there = peers.channels.get(&member).is_some_and(|c| c.outbox.is_some());
            if member != self.inner.settings.me && !there {
                self.inner.connect_later(&mut peers, member);
            }
        }
    }

    /// The members are these now. Connections stay.
    pub fn set_peers(&self, peers: Addresses) {
        self.inner.peers.lock().members = peers;
    }

    /// Gives the port up. Connections stay.
    pub fn stop_listening(&self) {
        self.inner.listeners.close();
    }

    /// Closes the port and all connections, and waits for their threads.
    pub fn shutdown(&self) {
        self.inner.closing.store(true, Ordering::SeqCst);
        self.inner.listeners.close();
        self.inner.door.close();
        for channel in self.inner.peers.lock().channels.values() {
            if let Some(outbox) = &channel.outbox {
                outbox.close("this server is shutting down");
            }
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

    #[cfg(test)]
    pub(super) fn is_connecting(&self, peer: ServerId) -> bool {
        self.inner.peers.lock().channels.get(&peer).is_some_and(|c| c.connecting)
    }
}

impl Drop for Elections {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("settings", &self.settings).finish_non_exhaustive()
    }
}
