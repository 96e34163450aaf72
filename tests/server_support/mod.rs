//! A real server process and a client that speaks raw frames to it.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Nothing here takes longer on the slowest machine; a test that waits for this has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `done` until it is true.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited too long for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A server process; killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts one on a free port with its data in `dir`, with further lines of configuration.
    pub fn start(dir: &Path, settings: &str) -> Self {
        Self::start_at(dir, Some("127.0.0.1"), settings)
    }

    /// The same at an address, or at all of them.
    pub fn start_at(dir: &Path, address: Option<&str>, settings: &str) -> Self {
        let settings = match address {
            Some(address) => format!("clientPortAddress={address}\n{settings}"),
            None => settings.to_string(),
        };
        let config = dir.join("zoo.cfg");
        let data = dir.join("data");
        let text =
            format!("dataDir={}\nclientPort=0\n4lw.commands.whitelist=*\n{settings}\n", data.display());
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_quoll"))
            .arg("server")
            .arg(&config)
            .env_remove("QUOLL_LOG")
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let its_log = log.clone();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut log = its_log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut address = None;
        wait_until("the server to say where it listens", || {
            let log = log.lock().unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the server ended with {status}:\n{log}");
            }
            address =
                log.split("clients on ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
            address.is_some()
        });
        Self { child, address: address.unwrap(), log }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// A connection with nothing sent yet.
    pub fn dial(&self) -> Client {
        Client::dial(self.address)
    }

    /// A connection with a new session.
    pub fn connect(&self) -> Client {
        self.connect_for(30_000)
    }

    pub fn connect_for(&self, timeout_ms: i32) -> Client {
        let mut client = self.dial();
        client.handshake(timeout_ms, 0, &[0; 16]).expect("a session");
        client
    }

    /// The answer to a four-letter word.
    pub fn word(&self, word: &[u8]) -> String {
        let mut client = self.dial();
        client.stream.write_all(word).unwrap();
        let mut answer = String::new();
        client.stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Kills it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for it to end by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the server to end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Asks it to stop; how it ended and how long that took.
    pub fn terminate(self) -> (ExitStatus, Duration) {
        self.signal(Signal::TERM)
    }

    /// Sends a signal that stops it.
    pub fn signal(mut self, signal: Signal) -> (ExitStatus, Duration) {
        let start = Instant::now();
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let mut status = None;
        wait_until("the server to stop", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        (status.unwrap(), start.elapsed())
    }

    /// Resident memory in kB.
    pub fn resident_kb(&self) -> u64 {
        self.status("VmRSS").split_whitespace().next().unwrap().parse().unwrap()
    }

    /// What the system says of the process by this name.
    pub fn status(&self, name: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("the system does not tell {name}")).trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", self.log());
        }
    }
}

/// A frame from the server after its connect answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub xid: i32,
    pub zxid: i64,
    pub err: i32,
    pub body: Vec<u8>,
}

/// One connection.
pub struct Client {
    pub stream: TcpStream,
    pub session: i64,
    pub password: Vec<u8>,
    xid: i32,
}

impl Client {
    pub fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream, session: 0, password: Vec::new(), xid: 0 }
    }

    /// Sends a request to a server that may be gone.
    pub fn send_lossy(&mut self, op: i32, body: &[u8]) {
        self.xid += 1;
        let _ = self.stream.write_all(&framed(&request(self.xid, op, body)));
    }

    /// Sends a connect packet and takes the answer; `None` when the connection was closed instead.
    pub fn handshake(&mut self, timeout_ms: i32, session: i64, password: &[u8]) -> Option<i32> {
        self.send_frame(&connect_packet(timeout_ms, session, password));
        let answer = self.frame()?;
        let timeout_ms = int(&answer[4..]);
        self.session = long(&answer[8..]);
        self.password = answer[20..36].to_vec();
        Some(timeout_ms)
    }

    pub fn send_frame(&mut self, payload: &[u8]) {
        self.stream.write_all(&framed(payload)).unwrap();
    }

    /// The next frame; `None` when the connection was closed.
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        match self.stream.read_exact(&mut length) {
            Ok(()) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                return None;
            }
            Err(e) => panic!("nothing came from the server: {e}"),
        }
        let mut payload = vec![0; int(&length) as usize];
        self.stream.read_exact(&mut payload).unwrap();
        Some(payload)
    }

    pub fn try_reply(&mut self) -> Option<Reply> {
        let payload = self.frame()?;
        Some(Reply {
            xid: int(&payload),
            zxid: long(&payload[4..]),
            err: int(&payload[12..]),
            body: payload[16..].to_vec(),
        })
    }

    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("an open connection")
    }

    /// Sends a request without waiting; its xid.
    pub fn send(&mut self, op: i32, body: &[u8]) -> i32 {
        self.xid += 1;
        self.send_frame(&request(self.xid, op, body));
        self.xid
    }

    /// Sends a request and takes its reply, which must be the next frame.
    pub fn ask(&mut self, op: i32, body: &[u8]) -> Reply {
        let xid = self.send(op, body);
        let reply = self.reply();
        assert_eq!(reply.xid, xid, "{reply:?}");
        reply
    }

    pub fn ask_ping(&mut self) -> Reply {
        self.send_frame(&request(-2, PING, &[]));
        self.reply()
    }

    pub fn create(&mut self, path: &str, data: &[u8], flags: i32) -> Reply {
        self.ask(CREATE, &create_body(path, data, flags))
    }

    pub fn data(&mut self, path: &str) -> Option<Vec<u8>> {
        let reply = self.ask(GET_DATA, &path_and_watch(path, false));
        (reply.err == 0).then(|| reply.body[4..4 + int(&reply.body) as usize].to_vec())
    }

    pub fn exists(&mut self, path: &str) -> bool {
        self.ask(EXISTS, &path_and_watch(path, false)).err == 0
    }

    /// Whether the server has closed the connection, with nothing more sent before.
    pub fn is_closed(&mut self) -> bool {
        self.frame().is_none()
    }
}

pub const CREATE: i32 = 1;
pub const DELETE: i32 = 2;
pub const EXISTS: i32 = 3;
pub const GET_DATA: i32 = 4;
pub const SET_DATA: i32 = 5;
pub const GET_CHILDREN: i32 = 8;
pub const PING: i32 = 11;
pub const CLOSE: i32 = -11;

pub fn int(bytes: &[u8]) -> i32 {
    i32::from_be_bytes(bytes[..4].try_into().unwrap())
}

pub fn long(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(bytes[..8].try_into().unwrap())
}

pub fn framed(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes(), payload].concat()
}

pub fn request(xid: i32, op: i32, body: &[u8]) -> Vec<u8> {
    [&xid.to_be_bytes(), &op.to_be_bytes(), body].concat()
}

pub fn connect_packet(timeout_ms: i32, session: i64, password: &[u8]) -> Vec<u8> {
    [
        &0i32.to_be_bytes()[..],
        &0i64.to_be_bytes(),
        &timeout_ms.to_be_bytes(),
        &session.to_be_bytes(),
        &buffer(password),
        &[0],
    ]
    .concat()
}

pub fn buffer(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

pub fn path_and_watch(path: &str, watch: bool) -> Vec<u8> {
    [&buffer(path.as_bytes())[..], &[u8::from(watch)]].concat()
}

pub fn create_body(path: &str, data: &[u8], flags: i32) -> Vec<u8> {
    [
        &buffer(path.as_bytes())[..],
        &buffer(data),
        &1i32.to_be_bytes(),
        &31i32.to_be_bytes(),
        &buffer(b"world"),
        &buffer(b"anyone"),
        &flags.to_be_bytes(),
    ]
    .concat()
}

pub fn set_body(path: &str, data: &[u8]) -> Vec<u8> {
    [&buffer(path.as_bytes())[..], &buffer(data), &(-1i32).to_be_bytes()].concat()
}

/// Type and path of a notification.
pub fn event(reply: &Reply) -> (i32, String) {
    assert_eq!(reply.xid, -1, "{reply:?}");
    (int(&reply.body), String::from_utf8(reply.body[12..].to_vec()).unwrap())
}
