//! The network between the members of an ensemble, as TCP proxies that can cut any direction.
//!
//! Every member has its own view of its peers: in the zoo.cfg of member `i`, the quorum and election port of
//! member `j` are those of a proxy for `i`→`j`. No privileges are needed, and nothing else on the machine is
//! touched.
//!
//! A cut behaves as lost packets do: bytes, ends of streams and new connections wait, and come through when
//! the cut ends, if the connection still lives then. Only a connection's begin differs from a real network:
//! whoever connects is told at once that it is connected, since the kernel answers for the proxy.
//!
//! The election handshake carries the sender's own address, and a peer with a larger id connects back to it.
//! The proxy puts the address there by which the receiver may reach the sender, or the cut would be walked
//! around.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A member's number, as in `server.N`.
pub type Id = u64;

/// How often a waiting pump looks whether its proxies are gone.
const LOOK: Duration = Duration::from_millis(100);

/// The two ports that servers use among themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPorts {
    /// Where learners connect.
    pub quorum: u16,
    /// Where votes go.
    pub election: u16,
}

/// How a leader brought a learner up to date, as seen on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Sync {
    pub leader: Id,
    pub learner: Id,
    pub kind: SyncKind,
}

/// The packet that begins a synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SyncKind {
    Diff,
    Trunc,
    Snap,
}

/// The proxies of all ordered pairs of members. Dropped, all their connections are closed.
pub struct Network {
    ports: BTreeMap<(Id, Id), PeerPorts>,
    /// Of [`Network::front_of_masters`].
    fronts: Mutex<Vec<u16>>,
    wires: Arc<Wires>,
}

struct Wires {
    /// Directions through which nothing comes.
    cut: Mutex<Vec<(Id, Id)>>,
    changed: Condvar,
    over: AtomicBool,
    /// Synchronisations so far, oldest first.
    syncs: Mutex<Vec<Sync>>,
}

impl Network {
    /// Proxies between all pairs of members, whose own ports are given.
    ///
    /// # Panics
    /// When no port can be bound.
    pub fn new(members: &BTreeMap<Id, PeerPorts>) -> Network {
        let wires = Arc::new(Wires {
            cut: Mutex::default(),
            changed: Condvar::new(),
            over: AtomicBool::new(false),
            syncs: Mutex::default(),
        });
        let mut ports = BTreeMap::new();
        let mut listeners = Vec::new();
        for &from in members.keys() {
            for (&to, target) in members.iter().filter(|(to, _)| **to != from) {
                // These ports are held from now on, so the kernel may choose them.
                let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("some port is free");
                let (quorum, election) = (bind(), bind());
                let port = |l: &TcpListener| l.local_addr().expect("a bound listener has an address").port();
                ports.insert((from, to), PeerPorts { quorum: port(&quorum), election: port(&election) });
                listeners.push((from, to, quorum, target.quorum, false));
                listeners.push((from, to, election, target.election, true));
            }
        }
        for (from, to, listener, target, election) in listeners {
            let back = ports[&(to, from)].election;
            let wire = Wire { from, to, wires: wires.clone(), target, back: election.then_some(back) };
            thread::spawn(move || wire.accept(&listener));
        }
        Network { ports, fronts: Mutex::default(), wires }
    }

    /// The ports by which `from` reaches `to`.
    pub fn ports(&self, from: Id, to: Id) -> PeerPorts {
        self.ports[&(from, to)]
    }

    /// A port by which an observer reaches whichever member has `port`, its `observerMasterPort`, open. In what
    /// [`take_syncs`](Self::take_syncs) answers, that one is 0.
    ///
    /// # Panics
    /// When no port can be bound.
    pub fn front_of_masters(&self, observer: Id, port: u16) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("some port is free");
        let front = listener.local_addr().expect("a bound listener has an address").port();
        let wire = Wire { from: observer, to: 0, wires: self.wires.clone(), target: port, back: None };
        thread::spawn(move || wire.accept(&listener));
        self.fronts.lock().expect("nobody panics").push(front);
        front
    }

    /// Cuts one direction.
    pub fn cut(&self, from: Id, to: Id) {
        self.wires.cut.lock().expect("no pump panics").push((from, to));
    }

    /// Cuts `some` off from everybody else, in both directions.
    pub fn isolate(&self, some: &[Id]) {
        for &(from, to) in self.ports.keys() {
            if some.contains(&from) != some.contains(&to) {
                self.cut(from, to);
            }
        }
    }

    /// How learners were brought up to date since this was asked last, oldest first.
    pub fn take_syncs(&self) -> Vec<Sync> {
        std::mem::take(&mut self.wires.syncs.lock().expect("no pump panics"))
    }

    /// Ends all cuts.
    pub fn heal(&self) {
        self.wires.cut.lock().expect("no pump panics").clear();
        self.wires.changed.notify_all();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.wires.over.store(true, Ordering::SeqCst);
        self.wires.changed.notify_all();
        // Wakes the accepting threads.
        let fronts = self.fronts.lock().map(|fronts| fronts.clone()).unwrap_or_default();
        for port in self.ports.values().flat_map(|ports| [ports.quorum, ports.election]).chain(fronts) {
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        }
    }
}

impl Wires {
    fn over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Waits until `open` holds of the cut directions; false when the network is gone.
    fn wait_until(&self, open: impl Fn(&[(Id, Id)]) -> bool) -> bool {
        let mut cut = self.cut.lock().expect("no pump panics");
        while !self.over() {
            if open(&cut) {
                return true;
            }
            cut = self.changed.wait_timeout(cut, LOOK).expect("no pump panics").0;
        }
        false
    }
}

/// One listening port.
#[derive(Clone)]
struct Wire {
    from: Id,
    to: Id,
    wires: Arc<Wires>,
    target: u16,
    /// For election ports: by which port `to` reaches `from`.
    back: Option<u16>,
}

impl Wire {
    fn accept(&self, listener: &TcpListener) {
        for incoming in listener.incoming() {
            if self.wires.over() {
                return;
            }
            let Ok(incoming) = incoming else { continue };
            let wire = self.clone();
            thread::spawn(move || {
                // The error of one connection ends that connection, as on any network.
                let _ = wire.carry(incoming);
            });
        }
    }

    fn carry(&self, mut incoming: TcpStream) -> io::Result<()> {
        let (there, back) = ((self.from, self.to), (self.to, self.from));
        let passes = |cut: &[(Id, Id)]| !cut.contains(&there) && !cut.contains(&back);
        let at_once = passes(&self.wires.cut.lock().expect("no pump panics"));
        if !self.wires.wait_until(passes) {
            return Ok(());
        }
        if !at_once && gone(&incoming) {
            // Nobody waits for it any more: the packet that begins a connection never came through.
            return Ok(());
        }
        let Some(mut outgoing) = self.connect(&incoming) else { return Ok(()) };
        incoming.set_nodelay(true)?;
        outgoing.set_nodelay(true)?;
        let (answers_from, answers_to) = (outgoing.try_clone()?, incoming.try_clone()?);
        let wires = self.wires.clone();
        // On the quorum port the one who is connected to is the leader.
        let mut spy = self.back.is_none().then(Spy::default);
        thread::spawn(move || {
            pump(answers_from, answers_to, back, &wires, |bytes| {
                if let Some(kind) = spy.as_mut().and_then(|spy| spy.see(bytes)) {
                    let sync = Sync { leader: back.0, learner: back.1, kind };
                    wires.syncs.lock().expect("no pump panics").push(sync);
                    spy = None;
                }
            });
        });
        if let Some(port) = self.back {
            rewrite_handshake(&mut incoming, &mut outgoing, port)?;
        }
        pump(incoming, outgoing, there, &self.wires, |_| {});
        Ok(())
    }
}

impl Wire {
    /// Connects with the server behind the wire. A leader's port is not open yet when its first learner comes; without
    /// a proxy that one would be refused and try again, here it must not be told that it is connected and then
    /// that it is not: it would take that for the end of the leader.
    fn connect(&self, incoming: &TcpStream) -> Option<TcpStream> {
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, self.target));
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            if let Ok(outgoing) = TcpStream::connect_timeout(&target, Duration::from_secs(5)) {
                return Some(outgoing);
            }
            if self.wires.over() || gone(incoming) || Instant::now() > deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether the one who connected has closed meanwhile.
fn gone(stream: &TcpStream) -> bool {
    let mut buf = [0; 65536];
    stream.set_nonblocking(true).is_err()
        || match stream.peek(&mut buf) {
            Ok(0) => true,
            // What it sent and then closed: its end cannot be seen before the bytes are taken, but the
            // kernel knows.
            Ok(_) => peer_has_closed(stream),
            Err(e) => e.kind() != io::ErrorKind::WouldBlock,
        }
        || stream.set_nonblocking(false).is_err()
}

fn peer_has_closed(stream: &TcpStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(stream, PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().contains(PollFlags::RDHUP)
}

/// Passes the election handshake on, with `127.0.0.1:port` as the sender's address.
fn rewrite_handshake(from: &mut TcpStream, to: &mut TcpStream, port: u16) -> io::Result<()> {
    let mut head = [0; 20];
    from.read_exact(&mut head)?;
    let length = u32::from_be_bytes(head[16..].try_into().expect("four bytes"));
    let mut address = vec![0; length.min(4096) as usize];
    from.read_exact(&mut address)?;
    let address = format!("127.0.0.1:{port}");
    let mut out = head[..16].to_vec();
    out.extend_from_slice(&(address.len() as u32).to_be_bytes());
    out.extend_from_slice(address.as_bytes());
    // In one piece: the upstream server reads the address with a single call.
    to.write_all(&out)
}

/// Carries bytes one way until an end; nothing is taken from the sender while the way is cut.
fn pump(mut from: TcpStream, mut to: TcpStream, way: (Id, Id), wires: &Wires, mut see: impl FnMut(&[u8])) {
    let mut buf = vec![0; 64 * 1024];
    let _ = from.set_read_timeout(Some(LOOK));
    loop {
        if !wires.wait_until(|cut| !cut.contains(&way)) {
            break;
        }
        match from.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => {
                see(&buf[..n]);
                // What was read just before the cut waits too.
                if !wires.wait_until(|cut| !cut.contains(&way)) || to.write_all(&buf[..n]).is_err() {
                    break;
                }
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    // An end waits as bytes do. Nothing of a half-open connection is used between servers.
    wires.wait_until(|cut| !cut.contains(&way));
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Reads along what a leader says until it says how the learner is brought up to date.
#[derive(Default)]
struct Spy {
    seen: Vec<u8>,
}

impl Spy {
    fn see(&mut self, bytes: &[u8]) -> Option<SyncKind> {
        self.seen.extend_from_slice(bytes);
        loop {
            // int type, long zxid, buffer data, vector of identities (none of a leader's packets has any).
            let int = |at: usize| Some(i32::from_be_bytes(self.seen.get(at..at + 4)?.try_into().ok()?));
            let (kind, data) = (int(0)?, int(12)?.max(0) as usize);
            match kind {
                13 => return Some(SyncKind::Diff),
                14 => return Some(SyncKind::Trunc),
                15 => return Some(SyncKind::Snap),
                _ => {}
            }
            let end = 16 + data + 4;
            if self.seen.len() < end {
                return None;
            }
            self.seen.drain(..end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_direction_holds_bytes_back_until_it_is_healed() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ports = PeerPorts { quorum: server.local_addr().unwrap().port(), election: 1 };
        let network = Network::new(&[(1, PeerPorts { quorum: 1, election: 1 }), (2, ports)].into());
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, network.ports(1, 2).quorum)).unwrap();
        let (mut served, _) = server.accept().unwrap();
        let mut byte = [0];

        network.cut(1, 2);
        client.write_all(b"x").unwrap();
        served.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(served.read(&mut byte).is_err(), "nothing comes through a cut");
        served.write_all(b"y").unwrap();
        client.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"y", "the other direction is open");

        network.heal();
        served.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        served.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn the_election_handshake_gets_the_address_that_leads_back_through_the_proxy() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ports = PeerPorts { quorum: 1, election: server.local_addr().unwrap().port() };
        let network = Network::new(&[(1, PeerPorts { quorum: 1, election: 1 }), (2, ports)].into());
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, network.ports(1, 2).election)).unwrap();
        let mut sent = [(-65536i64).to_be_bytes(), 1i64.to_be_bytes()].concat();
        sent.extend_from_slice(&5u32.to_be_bytes());
        sent.extend_from_slice(b"a:123more");
        client.write_all(&sent).unwrap();
        let (mut served, _) = server.accept().unwrap();
        let address = format!("127.0.0.1:{}", network.ports(2, 1).election);
        let mut seen = vec![0; 20 + address.len() + 4];
        served.read_exact(&mut seen).unwrap();
        assert_eq!(&seen[..16], &sent[..16]);
        assert_eq!(&seen[20..], format!("{address}more").as_bytes());
    }
}
