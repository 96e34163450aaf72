//! One client connection: handshake, bytes out, frames in.
//!
//! A connection holds no buffers while nothing is in flight, so that many thousands of them stay cheap; the loop that
//! drives it lends it one buffer to read into.

use super::error::Error;
use super::wire;
use mio::net::TcpStream;
use quoll_jute::client::{ConnectRequest, ConnectResponse};
use quoll_jute::{Record, from_slice};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A frame longer than this is taken for garbage: no reply of a benchmark comes near it.
const FRAME_LEN_MAX: usize = 256 << 20;
/// How long a server may take to answer a handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(30);

/// An established session on a socket that does not block.
#[derive(Debug)]
pub(super) struct Connection {
    pub stream: TcpStream,
    pub server: SocketAddr,
    /// Number of the client, from 0.
    pub client: usize,
    /// Granted session timeout.
    pub timeout: Duration,
    /// Xid of the next request.
    pub xid_next: i32,
    /// Bytes the kernel has not taken yet.
    unsent: Vec<u8>,
    /// Start of a frame whose end has not come yet.
    partial: Vec<u8>,
}

impl Connection {
    /// A connection whose session is yet to be opened.
    pub fn opening(stream: TcpStream, server: SocketAddr, client: usize) -> Self {
        Self {
            stream,
            server,
            client,
            timeout: Duration::MAX,
            xid_next: 1,
            unsent: Vec::new(),
            partial: Vec::new(),
        }
    }

    /// Appends requests to what goes out with the next [`flush`](Self::flush).
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.unsent
    }

    /// Whether bytes wait for the socket to become writable.
    pub fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Writes what the kernel takes of `bytes`, behind anything that waits already, and keeps the rest.
    #[inline]
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.unsent.is_empty() {
            let written = write_some(&mut self.stream, bytes)?;
            self.unsent.extend_from_slice(&bytes[written..]);
            Ok(())
        } else {
            self.unsent.extend_from_slice(bytes);
            self.flush()
        }
    }

    /// Writes what the kernel takes.
    pub fn flush(&mut self) -> io::Result<()> {
        let written = write_some(&mut self.stream, &self.unsent)?;
        if written == self.unsent.len() {
            // Given back rather than kept: a thousand idle connections hold nothing.
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..written);
        }
        Ok(())
    }

    /// Reads what is there and hands every complete frame, without its length, to `each`.
    ///
    /// `buffer` is scratch space shared by all connections of a thread. `each` answers `false` to refuse a frame, which
    /// ends the reading with [`ErrorKind::InvalidData`].
    #[inline]
    pub fn receive(
        &mut self,
        buffer: &mut Vec<u8>,
        mut each: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            let mut filled = self.partial.len();
            if filled > 0 {
                let needed = frame_len(&self.partial).map_or(0, |n| n + 4);
                if needed > FRAME_LEN_MAX {
                    return Err(self.disconnected(0, format!("a frame of {needed} bytes")));
                }
                if buffer.len() < needed.max(filled + 4096) {
                    buffer.resize(needed.max(filled + 4096), 0);
                }
                buffer[..filled].copy_from_slice(&self.partial);
                self.partial.clear();
            }
            let read = match self.stream.read(&mut buffer[filled..]) {
                Ok(0) => return Err(self.disconnected(0, "end of stream".into())),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.partial.extend_from_slice(&buffer[..filled]);
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => 0,
                Err(e) => return Err(self.disconnected(0, e.to_string())),
            };
            let is_full = filled + read == buffer.len();
            filled += read;
            let mut at = 0;
            while let Some(len) = frame_len(&buffer[at..filled]) {
                if at + 4 + len > filled {
                    break;
                }
                each(&buffer[at + 4..at + 4 + len])?;
                at += 4 + len;
            }
            self.partial.extend_from_slice(&buffer[at..filled]);
            if self.partial.is_empty() && self.partial.capacity() > 4096 {
                self.partial = Vec::new();
            }
            // A short read has emptied the socket; the edge-triggered selector tells of whatever comes later.
            if !is_full && read > 0 {
                return Ok(());
            }
        }
    }

    /// The error for a connection that is gone.
    #[cold]
    pub fn disconnected(&self, outstanding: usize, reason: String) -> Error {
        Error::Disconnected { server: self.server, client: self.client, outstanding, reason }
    }

    /// Takes the next xid. Xids stay positive: the others have meanings of their own.
    #[inline]
    pub fn take_xid(&mut self) -> i32 {
        let xid = self.xid_next;
        self.xid_next = xid.checked_add(1).unwrap_or(1);
        xid
    }
}

#[inline]
fn frame_len(bytes: &[u8]) -> Option<usize> {
    let prefix = bytes.get(..4)?;
    Some(u32::from_be_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize)
}

fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(n) => written += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(written)
}

/// How sessions are opened.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    /// Servers, taken in turn.
    pub servers: Vec<SocketAddr>,
    /// Wished session timeout.
    pub timeout: Duration,
    /// Loopback addresses to connect from, 127.0.0.1 onwards; one has about 28,000 ports. 0 leaves it to the system.
    pub sources: u8,
}

/// The handshake of a new session.
pub(super) fn connect_request(timeout: Duration) -> Vec<u8> {
    let mut out = Vec::new();
    wire::frame(&mut out, |w| {
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            time_out: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            session_id: 0,
            passwd: Some(&[0; 16]),
        }
        .write(w);
        // Not a client that would be content with a read-only server.
        w.bool(false);
    });
    out
}

/// Reads the answer to a handshake: the granted timeout.
pub(super) fn connect_response(server: SocketAddr, frame: &[u8]) -> Result<Duration, Error> {
    let refused = |reason: String| Error::Handshake { server, reason };
    let response: ConnectResponse<'_> = from_slice(frame).map_err(|e| refused(e.to_string()))?;
    match u64::try_from(response.time_out) {
        Ok(ms) if ms > 0 && response.session_id != 0 => Ok(Duration::from_millis(ms)),
        _ => Err(refused(format!("session {:#x}, timeout {}", response.session_id, response.time_out))),
    }
}

/// Opens sessions for the clients numbered `clients`, many handshakes at a time.
///
/// # Errors
/// At the first connection or session that is refused.
pub(super) fn open(dial: &Dial, clients: std::ops::Range<usize>) -> Result<Vec<Connection>, Error> {
    // Below the shortest listen backlog in use (50 in a Java server), so that no SYN is dropped.
    const AT_ONCE: usize = 40;
    let hello = connect_request(dial.timeout);
    let mut connections = Vec::with_capacity(clients.len());
    let clients: Vec<usize> = clients.collect();
    for chunk in clients.chunks(AT_ONCE) {
        let mut opening = Vec::with_capacity(chunk.len());
        for &client in chunk {
            let server = dial.servers[client % dial.servers.len()];
            let source = (dial.sources > 0).then(|| {
                IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1 + (client % usize::from(dial.sources)) as u8))
            });
            let stream = connect(server, source).map_err(|source| Error::Connect { server, source })?;
            (&stream).write_all(&hello).map_err(|source| Error::Connect { server, source })?;
            opening.push((client, server, stream));
        }
        for (client, server, stream) in opening {
            let broken = |e: io::Error| Error::Handshake { server, reason: e.to_string() };
            let mut prefix = [0; 4];
            (&stream).read_exact(&mut prefix).map_err(broken)?;
            let len = u32::from_be_bytes(prefix) as usize;
            if len > 1024 {
                return Err(Error::Handshake { server, reason: format!("an answer of {len} bytes") });
            }
            let mut frame = vec![0; len];
            (&stream).read_exact(&mut frame).map_err(broken)?;
            let timeout = connect_response(server, &frame)?;
            stream.set_nonblocking(true).map_err(broken)?;
            let stream = TcpStream::from_std(stream);
            connections.push(Connection { timeout, ..Connection::opening(stream, server, client) });
        }
    }
    Ok(connections)
}

fn connect(server: SocketAddr, source: Option<IpAddr>) -> io::Result<std::net::TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(server), socket2::Type::STREAM, None)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.connect(&server.into())?;
    let stream: std::net::TcpStream = socket.into();
    stream.set_read_timeout(Some(HANDSHAKE_WAIT))?;
    Ok(stream)
}

/// Ends sessions in order, so that the server need not expire them: sends closeSession and waits for the server to hang up.
pub(super) fn close(connections: Vec<Connection>) {
    let mut goodbye = Vec::new();
    wire::request(&mut goodbye, 0, wire::op::CLOSE_SESSION, |_| ());
    let mut streams = Vec::new();
    for mut connection in connections {
        connection.out().extend_from_slice(&goodbye);
        if connection.flush().is_ok() {
            streams.push(std::net::TcpStream::from(connection.stream));
        }
    }
    for mut stream in streams {
        // Best effort: a server that does not answer expires the session by itself.
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let mut sink = [0; 4096];
        while matches!(stream.read(&mut sink), Ok(n) if n > 0) {}
    }
}
