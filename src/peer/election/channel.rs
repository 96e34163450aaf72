//! The threads of the election connections: who connects, who accepts, who reads.

use super::{HashMap, Header, Inner, PORT, Peers, header::HEADER_LEN_MAX};
use crate::{
    peer::{
        Event, SendLimits,
        dial::{Dial, dial, set_stream_options},
        outbox::Outbox,
    },
    types::ServerId,
    zab::election::Notification,
};
use std::{
    fmt::Display,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tracing::{debug, info, warn};

/// Bytes of a message, at most.
const MESSAGE_LEN_MAX: i32 = 512 << 10;

/// Bytes read at once.
const READ_SIZE: usize = 8 << 10;

/// To each peer at most two messages wait: one that has begun to go out and the newest.
const SEND: SendLimits = SendLimits { queued_max: 4 << 20, behind_source_max: 4 << 20 };

impl Inner {
    /// A connection was accepted.
    pub(super) fn welcome(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        let stream = Arc::new(stream);
        let Some(number) = self.door.enter(address.ip(), stream.clone()) else { return };
        let me = self.clone();
        let run = move || me.greet(number, stream, address);
        if let Err(e) = self.threads.spawn("election-in".into(), run) {
            self.door.leave(number);
            self.complain(address, &e);
        }
    }

    fn complain(&self, address: SocketAddr, why: &dyn Display) {
        if let Some(more) = self.complaints.pass() {
            warn!(more, "connection of {address} to the {PORT} port closed: {why}");
        }
    }

    /// The thread of a connection that was accepted.
    fn greet(self: Arc<Self>, number: u64, stream: Arc<TcpStream>, address: SocketAddr) {
        let header = self.read_header(&stream);
        let stayed = self.door.leave(number);
        let (header, ahead) = match header {
            _ if !stayed => return self.complain(address, &"it was silent, and newer ones came"),
            Ok(found) => found,
            Err(why) => return self.complain(address, &why),
        };
        // The door has let go of it.
        let Some(stream) = Arc::into_inner(stream) else { return };
        let me = self.settings.me;
        if header.is_anonymous() {
            // Its number is the largest: it keeps the connection that it made.
            let peer = self.name_anonymous();
            info!("the observer at {address} has no number of its own and is server {} here", peer.0);
            self.keep(peer, stream, address, ahead, false);
        } else if header.server == me {
            let why = format!(
                "it says that it is server {}, as this one is; look for two servers with the same myid",
                me.0
            );
            self.complain(address, &why);
        } else if header.server < me {
            drop(stream);
            self.connect_back(header);
        } else {
            self.keep(header.server, stream, address, ahead, false);
        }
    }

    /// The header, and what was read behind it.
    fn read_header(&self, stream: &TcpStream) -> Result<(Header, Vec<u8>), String> {
        let time = Duration::from_millis(self.settings.handshake_ms.max(1));
        let deadline = Instant::now() + time;
        let mut input = Vec::new();
        let mut chunk = [0; HEADER_LEN_MAX];
        set_stream_options(stream, self.settings.keep_alive).map_err(|e| e.to_string())?;
        loop {
            // For the whole header, so that byte after byte does not keep the connection.
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("it did not say who it is within {} ms", time.as_millis()));
            }
            stream.set_read_timeout(Some(left.max(Duration::from_millis(1)))).map_err(|e| e.to_string())?;
            match (&mut &*stream).read(&mut chunk) {
                Ok(0) => return Err(format!("it ended after {} bytes of its header", input.len())),
                Ok(n) => input.extend_from_slice(&chunk[..n]),
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                    ) => {}
                Err(e) => return Err(format!("cannot read: {e}")),
            }
            if let Some((header, len)) =
                Header::read(&input).map_err(|e| format!("its header is none: {e}"))?
            {
                return Ok((header, input.split_off(len)));
            }
        }
    }

    fn name_anonymous(&self) -> ServerId {
        let peers = &mut *self.peers.lock();
        let name = ServerId(peers.next_anonymous);
        peers.next_anonymous -= 1;
        name
    }

    /// A server with a smaller number has connected and was turned away: it waits for this one to connect.
    fn connect_back(self: &Arc<Self>, header: Header) {
        let peer = header.server;
        {
            let peers = &mut *self.peers.lock();
            if !peers.admit(peer, self.settings.strangers_max) {
                let max = self.settings.strangers_max;
                return debug!("server {} is no member, and there are {max} such already", peer.0);
            }
            let channel = peers.channels.entry(peer).or_default();
            // It would not have connected if it thought that there is a connection.
            if let Some(old) = channel.outbox.take() {
                old.close("the peer has begun anew");
            }
            if channel.connecting {
                return;
            }
            channel.connecting = true;
        }
        self.connect(peer, &header.addresses);
    }

    /// Begins to connect, on a thread of its own, unless that is being done.
    pub(super) fn connect_later(self: &Arc<Self>, peers: &mut Peers, peer: ServerId) {
        let channel = peers.channels.entry(peer).or_default();
        if channel.connecting || self.closing.load(Ordering::SeqCst) {
            return;
        }
        channel.connecting = true;
        let me = self.clone();
        if let Err(e) = self.threads.spawn(format!("election-{}", peer.0), move || me.connect(peer, &[])) {
            channel.connecting = false;
            warn!("cannot connect to server {} for the election: {e}", peer.0);
        }
    }

    /// Connects, says who this is, and reads for as long as there is something to read. `also` is where the peer says
    /// it is, which is tried after what the configuration says.
    fn connect(self: &Arc<Self>, peer: ServerId, also: &[(String, u16)]) {
        let hosts = self.peers.lock().members.get(&peer).cloned().unwrap_or_default();
        let also: Vec<_> = also.iter().filter(|a| !hosts.contains(a)).cloned().collect();
        let mut failures = Vec::new();
        for hosts in [hosts, also].iter().filter(|h| !h.is_empty()) {
            match self.connect_to(hosts) {
                Ok((stream, address)) if peer < self.settings.me => {
                    return self.keep(peer, stream, address, Vec::new(), true);
                }
                Ok(_) => {
                    // It has read who this is and connects back.
                    debug!("server {} was told to connect for the election", peer.0);
                    return self.not_connecting(peer);
                }
                Err(why) => failures.push(why),
            }
        }
        self.not_connecting(peer);
        if failures.is_empty() {
            failures.push("its address is unknown".into());
        }
        if !self.closing.load(Ordering::SeqCst) {
            warn!("cannot connect to server {} for the election: {}", peer.0, failures.join("; "));
        }
    }

    fn connect_to(&self, hosts: &[(String, u16)]) -> Result<(TcpStream, SocketAddr), String> {
        let budget = Duration::from_millis(self.settings.connect_ms.max(1));
        let keep_alive = self.settings.keep_alive;
        let how = Dial { budget, tries: 1, delay: Duration::ZERO, keep_alive };
        let stream = dial(hosts, how, &|| !self.closing.load(Ordering::SeqCst))?;
        let address = stream.peer_addr().map_err(|e| e.to_string())?;
        let say = || {
            stream.set_write_timeout(Some(budget))?;
            // In one piece: Java reads it with a single read.
            (&stream).write_all(&self.header)
        };
        say().map_err(|e| format!("{address}: cannot send the header: {e}"))?;
        Ok((stream, address))
    }

    fn not_connecting(&self, peer: ServerId) {
        let peers = &mut *self.peers.lock();
        if let Some(channel) = peers.channels.get_mut(&peer) {
            channel.connecting = false;
        }
        peers.forget_stranger(peer);
    }

    /// The connection with this peer is this one: makes it so, and reads it until its end.
    fn keep(
        self: &Arc<Self>,
        peer: ServerId,
        stream: TcpStream,
        address: SocketAddr,
        ahead: Vec<u8>,
        dialled: bool,
    ) {
        if let Err(e) = self.set_up(&stream) {
            if dialled {
                self.not_connecting(peer);
            }
            return warn!("connection with server {} at {address} closed at once: {e}", peer.0);
        }
        let outbox = Outbox::new(stream, SEND, self.threads.clone());
        let member = {
            let peers = &mut *self.peers.lock();
            if !peers.admit(peer, self.settings.strangers_max) {
                let max = self.settings.strangers_max;
                let why = format!("server {} is no member, and there are {max} such already", peer.0);
                return self.complain(address, &why);
            }
            let channel = peers.channels.entry(peer).or_default();
            // An accepted connection leaves the attempt of another thread alone.
            channel.connecting &= !dialled;
            // Looked at under the lock under which shutdown closes those that are there.
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
            if let Some(old) = channel.outbox.replace(outbox.clone()) {
                old.close("a newer connection has taken its place");
            }
            if let Some(last) = &channel.last {
                outbox.send_newest(last.clone());
            }
            peers.members.contains_key(&peer)
        };
        info!("connected with server {} at {address} for the election", peer.0);
        self.sink.put(&mut vec![Event::ElectionUp { peer }]);
        let why = self.read(peer, &outbox, ahead, member);
        outbox.close(why.clone());
        let why = outbox.closed().unwrap_or(why);
        let current = {
            let peers = &mut *self.peers.lock();
            let channel = peers.channels.get_mut(&peer);
            let current = channel.filter(|c| c.outbox.as_ref().is_some_and(|o| Arc::ptr_eq(o, &outbox)));
            let current = current.map(|c| c.outbox = None).is_some();
            peers.forget_stranger(peer);
            current
        };
        if current {
            let why = format!("election connection with server {} at {address}: {why}", peer.0);
            self.sink.put(&mut vec![Event::ElectionDown { peer, why }]);
        } else {
            debug!("election connection with server {} at {address}: {why}", peer.0);
        }
    }

    fn set_up(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_write_timeout(None)?;
        // A path that is dead is noticed when something is sent, and not after a quarter of an hour.
        #[cfg(target_os = "linux")]
        rustix::net::sockopt::set_tcp_user_timeout(
            stream,
            u32::try_from(self.settings.connect_ms.max(1000)).unwrap_or(u32::MAX),
        )?;
        Ok(())
    }

    /// Reads until the end. Returns why that is. A member may be silent; anybody else has to say something that has a
    /// meaning first, for what a scanner of ports says can be taken for a number of a server.
    fn read(&self, peer: ServerId, outbox: &Outbox, mut input: Vec<u8>, mut trusted: bool) -> String {
        let mut chunk = vec![0; READ_SIZE];
        let mut events = Vec::new();
        let time = Duration::from_millis(self.settings.handshake_ms.max(1));
        let deadline = Instant::now() + time;
        loop {
            let mut at = 0;
            let bad = loop {
                match split(&input[at..]) {
                    Ok(Some(message)) => {
                        at += 4 + message.len();
                        match Notification::read(message) {
                            Ok(notification) => events.push(Event::Heard { from: peer, notification }),
                            // As upstream: another version may mean something by it.
                            Err(e) => {
                                debug!("a message of server {} is passed over: {e}", peer.0);
                            }
                        }
                    }
                    Ok(None) => break None,
                    Err(length) => {
                        break Some(format!(
                            "it announces a message of {length} bytes; 1 to {MESSAGE_LEN_MAX} are possible"
                        ));
                    }
                }
            };
            input.drain(..at);
            trusted |= !events.is_empty();
            if !events.is_empty() {
                self.sink.put(&mut events);
            }
            if let Some(why) = bad {
                return why;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !trusted && left.is_zero() {
                return format!("it is no member and said nothing within {} ms", time.as_millis());
            }
            let patience = (!trusted).then_some(left.max(Duration::from_millis(1)));
            if let Err(e) = outbox.stream().set_read_timeout(patience) {
                return format!("cannot wait for it: {e}");
            }
            match outbox.stream().read(&mut chunk) {
                Ok(0) => return "the peer closed it".into(),
                Ok(n) => input.extend_from_slice(&chunk[..n]),
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                    ) => {}
                Err(e) => return format!("cannot read: {e}"),
            }
        }
    }
}

/// The first message in `input`, if it is there as a whole; or the length that it cannot have.
fn split(input: &[u8]) -> Result<Option<&[u8]>, i32> {
    let Some((length, rest)) = input.split_first_chunk() else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    if !(1..=MESSAGE_LEN_MAX).contains(&length) {
        return Err(length);
    }
    Ok(rest.get(..length as usize))
}

impl Peers {
    /// Whether there is room for this peer: for members always.
    fn admit(&self, peer: ServerId, strangers_max: usize) -> bool {
        let strangers = self.channels.keys().filter(|id| !self.members.contains_key(id));
        self.members.contains_key(&peer)
            || self.channels.contains_key(&peer)
            || strangers.count() < strangers_max
    }

    /// Keeps nothing of a peer that is no member and not here any more.
    fn forget_stranger(&mut self, peer: ServerId) {
        let channels: &mut HashMap<_, _> = &mut self.channels;
        if !self.members.contains_key(&peer)
            && channels.get(&peer).is_some_and(|c| c.outbox.is_none() && !c.connecting)
        {
            channels.remove(&peer);
        }
    }
}
