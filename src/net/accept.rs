use super::{limits::OncePerSecond, shared::Shared, worker::Command};
use crate::admin::metrics::Counter;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tracing::{debug, warn};

/// Length of the queue of connections that wait to be accepted, unless configured.
const BACKLOG: u32 = 1024;

/// Pause after an accept that failed for want of something, such as file descriptors.
const PAUSE: Duration = Duration::from_millis(10);

/// A socket that listens at this address. The address 0.0.0.0 means all addresses of this machine of either family,
/// as it does for Java, where the machine has IPv6.
///
/// # Errors
/// When the address cannot be had.
pub fn listen(address: SocketAddr, backlog: Option<u32>) -> io::Result<TcpListener> {
    if address.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
        let both = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
        match listen_at(both, backlog) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {}
            done => return done,
        }
    }
    listen_at(address, backlog)
}

fn listen_at(address: SocketAddr, backlog: Option<u32>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog.unwrap_or(BACKLOG)).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// The thread that accepts connections and hands them to the workers.
///
/// It waits in `accept` itself: a connection costs one system call here and no registration with a runtime that
/// would have to be undone when the worker takes over.
#[derive(Debug)]
pub struct Acceptor {
    listener: Arc<TcpListener>,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Acceptor {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(shared: Arc<Shared>, listener: TcpListener) -> io::Result<Self> {
        let listener = Arc::new(listener);
        let stopping = Arc::new(AtomicBool::new(false));
        let (its_listener, its_stopping) = (listener.clone(), stopping.clone());
        let thread = thread::Builder::new()
            .name("accept".into())
            .spawn(move || accept(&shared, &its_listener, &its_stopping))?;
        Ok(Self { listener, stopping, thread })
    }

    /// Ends the thread and closes the socket. Clients that wait to be accepted are reset.
    ///
    /// # Errors
    /// When the socket cannot be shut down; the thread goes on then.
    pub fn stop(self) -> io::Result<()> {
        self.stopping.store(true, Ordering::Release);
        // Wakes the thread from its accept.
        SockRef::from(&*self.listener).shutdown(Shutdown::Both)?;
        // A panic has ended the process already.
        let _ = self.thread.join();
        Ok(())
    }
}

fn accept(shared: &Shared, listener: &TcpListener, stopping: &AtomicBool) {
    let metrics = shared.metrics.shard(shared.workers.len());
    let mut next = 0;
    let mut complaints = OncePerSecond::default();
    loop {
        let accepted = listener.accept();
        if stopping.load(Ordering::Acquire) {
            return;
        }
        match accepted {
            Ok((stream, peer)) => {
                // On a socket of both families IPv4 comes mapped into IPv6.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                if let Err(error) = welcome(shared, stream, peer, &mut next) {
                    metrics.inc(Counter::ConnectionRejected);
                    if let Some(more) = complaints.pass(shared.clock.mono_ms()) {
                        warn!(%peer, more, "connection closed at once: {error}");
                    }
                }
            }
            // The client left before it was accepted.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => {
                metrics.inc(Counter::ConnectionRejected);
                if let Some(more) = complaints.pass(shared.clock.mono_ms()) {
                    warn!(more, "cannot accept connections: {error}; trying again");
                }
                thread::sleep(PAUSE);
            }
        }
    }
}

fn welcome(
    shared: &Shared,
    stream: TcpStream,
    peer: SocketAddr,
    next: &mut usize,
) -> Result<(), Box<dyn std::error::Error>> {
    shared.door.enter(peer.ip())?;
    let result = hand_over(shared, stream, peer, next);
    if result.is_err() {
        shared.door.leave(peer.ip());
    }
    result
}

fn hand_over(
    shared: &Shared,
    stream: TcpStream,
    peer: SocketAddr,
    next: &mut usize,
) -> Result<(), Box<dyn std::error::Error>> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    if shared.settings.tcp_keep_alive {
        SockRef::from(&stream).set_keepalive(true)?;
    }
    // The worker with the fewest connections; among equals the next in turn.
    let workers = shared.workers.len();
    let chosen = (0..workers)
        .map(|i| (*next + i) % workers)
        .min_by_key(|&i| shared.workers[i].connections.load(Ordering::Relaxed))
        .unwrap_or(0);
    *next = (chosen + 1) % workers;
    let port = &shared.workers[chosen];
    port.connections.fetch_add(1, Ordering::Relaxed);
    debug!(%peer, worker = chosen, "connection accepted");
    port.commands.send(Command::Adopt(stream, peer)).map_err(|_| {
        port.connections.fetch_sub(1, Ordering::Relaxed);
        "the server is stopping".into()
    })
}
