//! Connections that are read by their owner.
//!
//! A connection begins on a thread of its own: names are looked up, the first packet is waited for, a tree is read. Once
//! only packets come, it is handed to the thread that deals with them. That saves a change of threads for every message,
//! and a peer that sends more than its owner can take is slowed down by its own socket.

use super::{Event, PeerError, Sink, inbound::Inbound};
use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};
use parking_lot::Mutex;
use rustix::net::{RecvFlags, recv};
use std::{
    collections::HashMap,
    fmt,
    io::{self, Read},
    net::TcpStream,
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tracing::error;

/// What is said of a connection that the peer has closed.
const END: &str = "the peer closed it";

/// The token of the waker; connections have those from 0 on.
const WAKER: Token = Token(usize::MAX);

/// Connections looked after in one turn; the others come in the next one.
const READY_MAX: usize = 256;

/// A connection that somebody reads.
pub(super) trait Reader: Send {
    /// Where it reads, and what has come in.
    fn parts(&mut self) -> (&TcpStream, &mut Inbound);

    /// Whether only packets come any more, so that its owner can read it.
    fn is_settled(&self) -> bool;

    /// Waits for more to come in.
    ///
    /// # Errors
    /// Why there will be none.
    fn wait(&mut self) -> Result<(), String>;

    /// Makes events of all whole packets that came in.
    ///
    /// # Errors
    /// Why the connection has to end. The events before it are made.
    fn take(&mut self, events: &mut Vec<Event>) -> Result<(), String>;

    /// Closes it and tells so. The last call.
    fn end(&mut self, why: String, events: &mut Vec<Event>);
}

/// The thread of a connection: reads it until its owner can, if there is one that does, or until its end.
pub(super) fn run(mut reader: Box<dyn Reader>, adopter: Option<&Adopter>, sink: &dyn Sink) {
    let mut events = Vec::new();
    let why = loop {
        if reader.is_settled()
            && let Some(adopter) = adopter
        {
            return adopter.adopt(reader);
        }
        let taken = reader.wait().and_then(|()| reader.take(&mut events));
        sink.put(&mut events);
        if let Err(why) = taken {
            break why;
        }
    };
    reader.end(why, &mut events);
    sink.put(&mut events);
}

/// What became of a read that could wait, but not for ever; `late` says for how long.
pub(super) fn waited(read: io::Result<usize>, late: impl FnOnce() -> String) -> Result<(), String> {
    match read {
        Ok(0) => Err(END.into()),
        Ok(_) => Ok(()),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Err(late()),
        Err(e) => Err(cannot_read(&e)),
    }
}

fn cannot_read(error: &io::Error) -> String {
    format!("cannot read: {error}")
}

/// Reads the connections that are handed to its [`Adopter`], on the thread that calls [`Poller::poll`].
pub struct Poller {
    poll: Poll,
    ready: Events,
    shared: Arc<Incoming>,
    connections: HashMap<Token, Connection>,
    next: usize,
    /// They have more than was read of them.
    unfinished: Vec<Token>,
}

struct Connection {
    reader: Box<dyn Reader>,
    /// The end has been told of, but not been read: it is not told twice.
    ends: bool,
}

/// Hands connections to a [`Poller`], and wakes it.
#[derive(Clone)]
pub struct Adopter(Arc<Incoming>);

struct Incoming {
    readers: Mutex<Vec<Box<dyn Reader>>>,
    any: AtomicBool,
    waker: Waker,
}

impl Poller {
    /// One that reads nothing yet.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn new() -> Result<Self, PeerError> {
        let poll = Poll::new().map_err(PeerError::Poll)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(PeerError::Poll)?;
        let shared = Arc::new(Incoming { readers: Mutex::default(), any: AtomicBool::new(false), waker });
        Ok(Self {
            poll,
            ready: Events::with_capacity(READY_MAX),
            shared,
            connections: HashMap::new(),
            next: 0,
            unfinished: Vec::new(),
        })
    }

    /// Who takes connections for it.
    pub fn adopter(&self) -> Adopter {
        Adopter(self.shared.clone())
    }

    /// Takes over what was handed to it. What those connections told before went to their sink, so that has to be
    /// looked at after this and before the next [`Self::poll`].
    pub fn adopt(&mut self, events: &mut Vec<Event>) {
        if !self.shared.any.swap(false, Ordering::AcqRel) {
            return;
        }
        let new = std::mem::take(&mut *self.shared.readers.lock());
        for mut reader in new {
            let token = Token(self.next);
            let fd = reader.parts().0.as_raw_fd();
            match self.poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE) {
                Ok(()) => {
                    self.next += 1;
                    self.connections.insert(token, Connection { reader, ends: false });
                    // What had come in before is told of, too, but whoever gave it may have read half of it.
                    self.unfinished.push(token);
                }
                Err(e) => reader.end(format!("cannot wait for it: {e}"), events),
            }
        }
    }

    /// Waits until a connection has something, somebody wakes it, or the time is over, and reads once from each that
    /// has something. `None` is without end.
    pub fn poll(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) {
        let timeout = if self.unfinished.is_empty() { timeout } else { Some(Duration::ZERO) };
        if let Err(e) = self.poll.poll(&mut self.ready, timeout)
            && e.kind() != io::ErrorKind::Interrupted
        {
            // Nothing of what can fail here is in anybody's hands. The owner goes on with what it has otherwise.
            error!("connections to other members cannot be waited for: {e}");
        }
        let mut due = std::mem::take(&mut self.unfinished);
        for event in &self.ready {
            if let Some(connection) = self.connections.get_mut(&event.token()) {
                connection.ends |= event.is_read_closed();
                if !due.contains(&event.token()) {
                    due.push(event.token());
                }
            }
        }
        for token in due {
            let Some(Connection { reader, ends }) = self.connections.get_mut(&token) else { continue };
            let (stream, inbound) = reader.parts();
            let read = match inbound.read_from(&mut AtOnce(stream)) {
                Ok(0) => Err(END.into()),
                Ok(_) => {
                    // What has come is told once: it is all of it only if it was less than there was room for.
                    if *ends || inbound.may_have_more() {
                        self.unfinished.push(token);
                    }
                    Ok(())
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
                Err(e) => Err(cannot_read(&e)),
            };
            if let Err(why) = read.and_then(|()| reader.take(events)) {
                let fd = reader.parts().0.as_raw_fd();
                // It is closed anyway.
                let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
                reader.end(why, events);
                self.connections.remove(&token);
            }
        }
    }
}

impl Adopter {
    /// Hands over a connection whose packets so far have gone to its sink.
    pub(super) fn adopt(&self, reader: Box<dyn Reader>) {
        self.0.readers.lock().push(reader);
        self.0.any.store(true, Ordering::Release);
        self.wake();
    }

    /// Lets [`Poller::poll`] return.
    pub fn wake(&self) {
        if let Err(e) = self.0.waker.wake() {
            error!("a thread cannot be woken: {e}");
        }
    }
}

/// Reads what is there and does not wait, whatever the mode of the socket: its writer may wait.
struct AtOnce<'a>(&'a TcpStream);

impl Read for AtOnce<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0, buf, RecvFlags::DONTWAIT)?.0)
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("connections", &self.connections.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Adopter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopter").finish_non_exhaustive()
    }
}
