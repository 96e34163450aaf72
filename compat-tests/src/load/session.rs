//! A session that moves from server to server, as those of stock clients do.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::raw::{Client, Reply, code, op};

/// The session timeout that is asked for.
pub const TIMEOUT_MS: i32 = 20_000;

/// How long a server may take to answer a connect request, and then any other request.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
const REPLY_PATIENCE: Duration = Duration::from_secs(6);

/// Who may take a session, and how long a client looks for one before the ensemble counts as dead.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Servers {
    pub addrs: Vec<SocketAddr>,
    pub patience: Duration,
}

/// What can go wrong.
#[derive(Debug)]
pub enum Trouble {
    /// The connection is gone, which happens under faults.
    Connection(String),
    /// A server broke its word.
    Violation(String),
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Trouble {
        match e.kind() {
            io::ErrorKind::InvalidData => Trouble::Violation(e.to_string()),
            _ => Trouble::Connection(e.to_string()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Connection(why) => write!(f, "no connection: {why}"),
            Trouble::Violation(what) => f.write_str(what),
        }
    }
}

/// Shorthand for a found violation.
pub fn violation<T>(what: String) -> Result<T, Trouble> {
    Err(Trouble::Violation(what))
}

/// Which session a client has after it has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// The one it had.
    Same,
    /// A new one; the old one has expired or was closed.
    New,
}

/// A session and the connection it is at.
pub struct Session {
    /// Who this is, for messages.
    pub name: String,
    servers: Servers,
    /// Where the current connection leads.
    pub at: SocketAddr,
    timeout_ms: i32,
    zk: Client,
    last_answer: Instant,
    /// Set when the client itself has asked for the session's end: then it may be gone.
    pub may_be_gone: bool,
    /// How often the session was taken to another connection.
    pub moves: u64,
}

impl Session {
    /// A new session at one of `servers`, each tried until one answers.
    ///
    /// # Errors
    /// When none does in time.
    pub fn open(name: &str, servers: &Servers, timeout_ms: i32, rng: &mut StdRng) -> Result<Self, String> {
        let Servers { addrs, patience } = servers;
        let deadline = Instant::now() + *patience;
        loop {
            let at = addrs[rng.random_range(0..addrs.len())];
            match attach(at, timeout_ms, 0, &[0; 16], 0) {
                Ok(zk) if zk.session_id != 0 => {
                    return Ok(Session {
                        name: name.into(),
                        servers: servers.clone(),
                        at,
                        timeout_ms,
                        zk,
                        last_answer: Instant::now(),
                        may_be_gone: false,
                        moves: 0,
                    });
                }
                Ok(_) => return Err(format!("{name}: {at} answers a new session's request with session 0")),
                Err(e) if Instant::now() > deadline => {
                    return Err(format!("{name}: no new session in {patience:?}; last at {at}: {e}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// The session's id.
    pub fn id(&self) -> i64 {
        self.zk.session_id
    }

    /// The highest zxid seen in replies.
    pub fn last_zxid(&self) -> i64 {
        self.zk.last_zxid
    }

    /// The connection, for calls with decoded answers. The time of the last answer is not noted.
    pub fn zk(&mut self) -> &mut Client {
        &mut self.zk
    }

    /// Sends a request without waiting.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, opcode: i32, body: &[u8]) -> Result<i32, Trouble> {
        Ok(self.zk.send(opcode, body)?)
    }

    /// Waits for the next reply. Zxids must not go back.
    ///
    /// # Errors
    /// When the connection is gone or the zxid is older than one seen before.
    pub fn recv(&mut self) -> Result<Reply, Trouble> {
        let before = self.zk.last_zxid;
        let reply = self.zk.recv()?;
        if [code::SESSION_EXPIRED, code::SESSION_MOVED].contains(&reply.err) {
            // Whether that can be shows when the session comes back.
            return Err(Trouble::Connection(format!("error {}", reply.err)));
        }
        self.last_answer = Instant::now();
        if reply.zxid < before && reply.xid != -2 {
            return violation(format!(
                "{}: {} answers with zxid {:#x} after {before:#x}",
                self.name, self.at, reply.zxid
            ));
        }
        Ok(reply)
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and when another request is answered.
    pub fn call(&mut self, opcode: i32, body: &[u8]) -> Result<Reply, Trouble> {
        let xid = self.send(opcode, body)?;
        let reply = self.recv()?;
        if reply.xid != xid {
            return violation(format!("{}: reply to xid {} instead of {xid}", self.name, reply.xid));
        }
        Ok(reply)
    }

    /// One ping: shows that the server is there, and lets notifications come in.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn ping(&mut self) -> Result<(), Trouble> {
        self.call(op::PING, &[]).map(|_| ())
    }

    /// Takes the session to some server, once.
    ///
    /// # Errors
    /// When that server does not take it; a violation when it says that the session is gone and it should not
    /// be.
    pub fn try_come_back(&mut self, rng: &mut StdRng) -> Result<Back, Trouble> {
        self.at = self.servers.addrs[rng.random_range(0..self.servers.addrs.len())];
        let (id, passwd, zxid) = (self.zk.session_id, self.zk.passwd.clone(), self.zk.last_zxid);
        if id != 0 {
            let zk = attach(self.at, self.timeout_ms, id, &passwd, zxid)?;
            if zk.session_id == id {
                // What came in before the connection was lost has come in.
                let events = std::mem::take(&mut self.zk.events);
                self.zk = zk;
                self.zk.events = events;
                self.last_answer = Instant::now();
                self.moves += 1;
                return Ok(Back::Same);
            }
            let silent = self.last_answer.elapsed();
            // A new leader gives every session its whole time again, so nobody may be quicker than that.
            if !self.may_be_gone && silent < Duration::from_millis(self.timeout_ms as u64 * 2 / 3) {
                return violation(format!(
                    "{}: session {id:#x} is lost at {} after {silent:?} of silence with a timeout of {} ms",
                    self.name, self.at, self.timeout_ms
                ));
            }
            self.zk.session_id = 0;
        }
        let zk = attach(self.at, self.timeout_ms, 0, &[0; 16], zxid)?;
        if zk.session_id == 0 {
            return violation(format!("{}: {} makes a new session with id 0", self.name, self.at));
        }
        self.zk = zk;
        self.last_answer = Instant::now();
        self.may_be_gone = false;
        Ok(Back::New)
    }

    /// Takes the session to some server, trying until one takes it, and then does `then` there.
    ///
    /// # Errors
    /// A violation, or nobody takes it in time.
    pub fn come_back<T>(
        &mut self,
        rng: &mut StdRng,
        mut then: impl FnMut(&mut Session, Back) -> Result<T, Trouble>,
    ) -> Result<T, String> {
        let patience = self.servers.patience;
        let deadline = Instant::now() + patience;
        let mut was_new = false;
        loop {
            let outcome = self.try_come_back(rng).and_then(|back| {
                // What a session lost stays lost when the first try with the new one fails too.
                was_new |= back == Back::New;
                then(self, if was_new { Back::New } else { Back::Same })
            });
            match outcome {
                Ok(value) => return Ok(value),
                Err(Trouble::Violation(what)) => return Err(what),
                // A server that has lost what this client saw refuses it for ever: its zxid is ahead.
                Err(Trouble::Connection(why)) if Instant::now() > deadline => {
                    return Err(format!(
                        "{}: session {:#x} finds no server in {patience:?} with last zxid {:#x}; {}: {why}",
                        self.name, self.zk.session_id, self.zk.last_zxid, self.at
                    ));
                }
                Err(Trouble::Connection(_)) => std::thread::sleep(Duration::from_millis(30)),
            }
        }
    }

    /// Closes the session; an error only means that it will expire.
    pub fn close(self) {
        let _ = self.zk.close();
    }
}

fn attach(at: SocketAddr, timeout_ms: i32, id: i64, passwd: &[u8], zxid: i64) -> io::Result<Client> {
    let mut zk = Client::attach_within(at, timeout_ms, id, passwd, zxid, CONNECT_PATIENCE)?;
    zk.set_read_timeout(REPLY_PATIENCE)?;
    zk.last_zxid = zk.last_zxid.max(zxid);
    Ok(zk)
}
