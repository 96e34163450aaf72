use super::{PeerError, threads::Threads};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tracing::warn;

/// Connections that wait to be accepted. Upstream has 50; a cluster that starts at once is larger than that nowhere.
const BACKLOG: i32 = 128;

/// Pause after an accept that failed for want of something, such as file descriptors.
const PAUSE: Duration = Duration::from_millis(10);

/// How a port is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct BindTries {
    /// At least 1; 0 is without end.
    pub tries: u32,
    pub delay: Duration,
}

/// Sockets that listen, and a thread for each.
pub(super) struct Listeners {
    listeners: Vec<Arc<TcpListener>>,
    closing: Arc<AtomicBool>,
}

impl Listeners {
    /// Takes the ports. Names are looked up at each try. Nothing is accepted before [`Self::accept`].
    pub fn bind(
        port_name: &'static str,
        addresses: &[(String, u16)],
        how: BindTries,
    ) -> Result<Self, PeerError> {
        if addresses.is_empty() {
            return Err(PeerError::NoAddress { port: port_name });
        }
        let mut listeners = Vec::new();
        for (host, port) in addresses {
            listeners.push(Arc::new(bind_with_tries(port_name, host, *port, how)?));
        }
        Ok(Self { listeners, closing: Arc::default() })
    }

    /// Where they listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|l| l.local_addr().ok()).collect()
    }

    /// Hands every connection to `welcome`, from now on, on threads of their own.
    pub fn accept(
        &self,
        port_name: &'static str,
        threads: &Threads,
        welcome: impl Fn(TcpStream, SocketAddr) + Clone + Send + 'static,
    ) -> Result<(), PeerError> {
        for listener in &self.listeners {
            let (listener, closing, welcome) = (listener.clone(), self.closing.clone(), welcome.clone());
            threads.spawn(format!("{port_name}-accept"), move || {
                accept(port_name, &listener, &closing, &welcome);
            })?;
        }
        Ok(())
    }

    /// Closes the ports and ends their threads.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        for listener in &self.listeners {
            // Wakes the thread from its accept.
            let _ = SockRef::from(&**listener).shutdown(Shutdown::Both);
        }
    }
}

fn accept(
    port_name: &str,
    listener: &TcpListener,
    closing: &AtomicBool,
    welcome: &impl Fn(TcpStream, SocketAddr),
) {
    let mut failing = false;
    loop {
        let accepted = listener.accept();
        if closing.load(Ordering::Acquire) {
            return;
        }
        match accepted {
            Ok((stream, peer)) => {
                failing = false;
                // On a socket of both families IPv4 comes mapped into IPv6.
                welcome(stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()));
            }
            // The peer left before it was accepted.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::Interrupted
                ) => {}
            Err(e) => {
                if !failing {
                    warn!("cannot accept connections of other servers ({port_name} port): {e}; trying again");
                }
                failing = true;
                thread::sleep(PAUSE);
            }
        }
    }
}

fn bind_with_tries(
    port_name: &'static str,
    host: &str,
    port: u16,
    how: BindTries,
) -> Result<TcpListener, PeerError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match bind(host, port) {
            Ok(listener) => return Ok(listener),
            Err(source) if how.tries != 0 && tries >= how.tries => {
                let address = format!("{host}:{port}");
                return Err(PeerError::Bind { port: port_name, address, tries, source });
            }
            Err(e) => {
                warn!("cannot listen on {host}:{port} for {port_name} yet: {e}; trying again");
                thread::sleep(how.delay);
            }
        }
    }
}

/// Binds the first address of a name, IPv4 before IPv6, as Java does.
fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let Some(&address) = addresses.first() else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    };
    // For Java, 0.0.0.0 is every address of either family.
    if address.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
        match bind_at(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
            Err(e) if e.kind() != io::ErrorKind::AddrInUse => {}
            done => return done,
        }
    }
    bind_at(address)
}

fn bind_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
