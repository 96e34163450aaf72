//! Connecting to whichever address of a server answers first.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

/// Addresses tried at once. A name of a server has one or two.
const ADDRESSES_MAX: usize = 32;

/// How often it is looked whether the attempt is still wanted.
const SLICE: Duration = Duration::from_millis(20);

/// How hard it is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    /// Time for all of it.
    pub budget: Duration,
    /// Tries for each address.
    pub tries: u32,
    /// Pause after a failed try.
    pub delay: Duration,
    pub keep_alive: bool,
}

/// One address under way.
struct Slot {
    address: SocketAddr,
    tries_left: u32,
    /// When the next try begins.
    at: Instant,
    socket: Option<Socket>,
    failure: Option<String>,
}

/// Looks the names up, connects to all their addresses at the same time and keeps the first connection that is made.
///
/// # Errors
/// A sentence that names the addresses and what became of each.
pub(super) fn dial(
    hosts: &[(String, u16)],
    how: Dial,
    wanted: &dyn Fn() -> bool,
) -> Result<TcpStream, String> {
    let start = Instant::now();
    let deadline = start + how.budget;
    let mut failures = Vec::new();
    let mut slots: Vec<Slot> = Vec::new();
    for (host, port) in hosts {
        match (host.as_str(), *port).to_socket_addrs() {
            Ok(found) => {
                for address in found {
                    if slots.len() < ADDRESSES_MAX && slots.iter().all(|s| s.address != address) {
                        let at = Instant::now();
                        slots.push(Slot { address, tries_left: how.tries, at, socket: None, failure: None });
                    }
                }
            }
            Err(e) => failures.push(format!("{host}: {e}")),
        }
    }
    loop {
        let now = Instant::now();
        if !wanted() {
            return Err("not wanted any more".into());
        }
        for slot in &mut slots {
            if slot.socket.is_none() && slot.tries_left > 0 && slot.at <= now && now < deadline {
                slot.tries_left -= 1;
                match begin(slot.address, how.keep_alive) {
                    Ok(socket) => slot.socket = Some(socket),
                    Err(e) => slot.fail(&e, how.delay),
                }
            }
        }
        if let Some(stream) = wait(&mut slots, deadline, how.delay) {
            return stream.map_err(|e| format!("cannot use a connection: {e}"));
        }
        let over = Instant::now() >= deadline;
        if over || slots.iter().all(|s| s.socket.is_none() && s.tries_left == 0) {
            for slot in slots {
                let failure = match slot.failure {
                    Some(failure) if slot.socket.is_none() => failure,
                    _ => format!("no answer within {} ms", how.budget.as_millis()),
                };
                failures.push(format!("{}: {failure}", slot.address));
            }
            if failures.is_empty() {
                failures.push("it has no address".into());
            }
            return Err(failures.join("; "));
        }
    }
}

impl Slot {
    fn fail(&mut self, e: &io::Error, delay: Duration) {
        self.socket = None;
        self.failure = Some(e.to_string());
        self.at = Instant::now() + delay;
    }
}

/// Begins to connect.
fn begin(address: SocketAddr, keep_alive: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    set_options(&socket, keep_alive)?;
    match socket.connect(&address.into()) {
        Ok(()) => Ok(socket),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => Ok(socket),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(socket),
        Err(e) => Err(e),
    }
}

/// The options that every connection between servers has.
pub(super) fn set_options(socket: &Socket, keep_alive: bool) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(keep_alive)
}

/// As [`set_options`], of an accepted connection.
pub(super) fn set_stream_options(stream: &TcpStream, keep_alive: bool) -> io::Result<()> {
    set_options(&SockRef::from(stream), keep_alive)
}

/// Waits a little for one of them to be connected.
fn wait(slots: &mut [Slot], deadline: Instant, delay: Duration) -> Option<io::Result<TcpStream>> {
    let now = Instant::now();
    let mut until = deadline.min(now + SLICE);
    for slot in slots.iter() {
        if slot.socket.is_none() && slot.tries_left > 0 {
            until = until.min(slot.at);
        }
    }
    let pause = until.saturating_duration_since(now);
    let timeout = Timespec { tv_sec: 0, tv_nsec: pause.as_nanos() as _ };
    let under_way = slots.iter().filter_map(|s| s.socket.as_ref());
    let mut fds: Vec<_> = under_way.map(|s| PollFd::new(s, PollFlags::OUT)).collect();
    if let Err(e) = poll(&mut fds, Some(&timeout))
        && e != rustix::io::Errno::INTR
    {
        return Some(Err(e.into()));
    }
    let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
    drop(fds);
    for (slot, _) in slots.iter_mut().filter(|s| s.socket.is_some()).zip(ready).filter(|(_, r)| *r) {
        let Some(socket) = slot.socket.take() else { continue };
        match finish(socket) {
            Ok(stream) => return Some(Ok(stream)),
            Err(e) => slot.fail(&e, delay),
        }
    }
    None
}

/// The connection, if there is one.
fn finish(socket: Socket) -> io::Result<TcpStream> {
    if let Some(e) = socket.take_error()? {
        return Err(e);
    }
    socket.set_nonblocking(false)?;
    let stream = TcpStream::from(socket);
    // Where nobody listens on a port that the kernel gives out, a socket can end up connected to itself.
    if stream.peer_addr()? == stream.local_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}
