//! A server process of either arm: configured, started, waited for, stopped, killed, started again.
//!
//! Invariants: a server listens on 127.0.0.1 only; it dies with the [`Server`] that holds it, and also when
//! the test process is killed (a guard process waits for the end of a pipe); its log is kept for messages.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::arm::Arm;
use crate::ports::Ports;
use crate::process::Process;
use crate::{quoll, upstream};

/// How long a server may take until it serves, and how long until it has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says how a server is to be started. Without further words: a fresh data directory, a free port,
/// `tickTime` 2000, every four-letter word allowed, no admin server, no limit of connections per address.
pub struct ServerBuilder {
    arm: Arm,
    data_dir: Option<PathBuf>,
    port: Option<u16>,
    keys: Vec<(String, String)>,
    properties: Vec<(String, String)>,
    patience: Duration,
}

/// Why a server did not come to serve.
#[derive(Debug)]
pub struct StartFailure {
    /// How the process ended, if it did.
    pub status: Option<ExitStatus>,
    /// All it printed.
    pub log: String,
}

impl ServerBuilder {
    /// A server of `arm`; see also [`Arm::server`].
    pub fn new(arm: Arm) -> ServerBuilder {
        let keys = [
            ("tickTime", "2000"),
            ("clientPortAddress", "127.0.0.1"),
            ("maxClientCnxns", "0"),
            ("4lw.commands.whitelist", "*"),
            ("admin.enableServer", "false"),
        ];
        ServerBuilder {
            arm,
            data_dir: None,
            port: None,
            keys: keys.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
            properties: Vec::new(),
            patience: PATIENCE,
        }
    }

    /// The `dataDir` to use instead of a fresh temporary one; it is left in place afterwards.
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> ServerBuilder {
        self.data_dir = Some(dir.into());
        self
    }

    /// The client port to use instead of a free one.
    pub fn port(mut self, port: u16) -> ServerBuilder {
        self.port = Some(port);
        self
    }

    /// A line of zoo.cfg; a second value for a key replaces the first.
    pub fn key(mut self, key: &str, value: impl ToString) -> ServerBuilder {
        self.keys.retain(|(k, _)| k != key);
        self.keys.push((key.to_owned(), value.to_string()));
        self
    }

    /// A property of the command line, `-Dkey=value`; `key` with its `zookeeper.` if it has one.
    pub fn property(mut self, key: &str, value: impl ToString) -> ServerBuilder {
        self.properties.push((key.to_owned(), value.to_string()));
        self
    }

    /// How long the server may take to serve, instead of a minute.
    pub fn patience(mut self, patience: Duration) -> ServerBuilder {
        self.patience = patience;
        self
    }

    /// Starts the server and waits until it serves.
    ///
    /// # Panics
    /// When it ends or does not serve in time; the message carries its log.
    #[track_caller]
    pub fn start(self) -> Server {
        let arm = self.arm;
        self.try_start().unwrap_or_else(|failure| {
            panic!("the {arm} server does not serve ({:?}); its log:\n{}", failure.status, failure.log)
        })
    }

    /// As [`start`](Self::start), for tests of servers that must refuse to start.
    ///
    /// # Errors
    /// When the process ends or does not serve in time.
    pub fn try_start(self) -> Result<Server, StartFailure> {
        let scratch = tempfile::Builder::new()
            .prefix(&format!("quoll-compat-{}-", self.arm))
            .tempdir()
            .unwrap_or_else(|e| panic!("cannot create a temporary folder: {e}"));
        let (port, ports) = match self.port {
            Some(port) => (port, None),
            None => {
                let ports = Ports::reserve();
                (ports.port(0), Some(ports))
            }
        };
        let data_dir = self.data_dir.clone().unwrap_or_else(|| scratch.path().join("data"));
        let mut server = Server {
            arm: self.arm,
            port,
            data_dir,
            keys: self.keys,
            properties: self.properties,
            patience: self.patience,
            process: None,
            scratch,
            _ports: ports,
        };
        server.launch()?;
        Ok(server)
    }
}

/// A server process. Dropped, it is killed and its temporary folder removed.
pub struct Server {
    arm: Arm,
    port: u16,
    data_dir: PathBuf,
    keys: Vec<(String, String)>,
    properties: Vec<(String, String)>,
    patience: Duration,
    process: Option<Process>,
    scratch: TempDir,
    _ports: Option<Ports>,
}

impl Server {
    /// A builder for a server of `arm`.
    pub fn builder(arm: Arm) -> ServerBuilder {
        ServerBuilder::new(arm)
    }

    /// Which server this is.
    pub fn arm(&self) -> Arm {
        self.arm
    }

    /// The client port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:port`, as clients take it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The `dataDir`; files lie in its folder `version-2`.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The process's id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.id())
    }

    /// All that the process printed, over all its starts.
    pub fn log(&self) -> String {
        fs::read(self.log_path()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// The last lines of [`log`](Self::log), for messages.
    pub fn log_tail(&self) -> String {
        last_lines(&self.log(), 60)
    }

    /// The answer to a four-letter word.
    ///
    /// # Errors
    /// When the server cannot be reached or does not answer within ten seconds.
    pub fn four_letter_word(&self, word: &str) -> std::io::Result<String> {
        four_letter_word(self.port, word)
    }

    /// Stops the server by SIGTERM and waits for its end.
    ///
    /// # Panics
    /// When it does not run or does not end within a minute.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        let process = self.process.take().expect("the server runs");
        process
            .end(Signal::TERM, PATIENCE)
            .unwrap_or_else(|| panic!("the {} server ignores SIGTERM", self.arm))
    }

    /// Kills the server by SIGKILL.
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn kill(&mut self) {
        let process = self.process.take().expect("the server runs");
        process.end(Signal::KILL, PATIENCE).expect("no process survives SIGKILL");
    }

    /// Suspends the server's process (SIGSTOP) until [`resume`](Self::resume).
    pub fn suspend(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a suspended server go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("the server runs").signal(signal);
    }

    /// Starts a stopped or killed server again, on the same port and data directory.
    ///
    /// # Panics
    /// When it already runs or does not come to serve.
    #[track_caller]
    pub fn start_again(&mut self) {
        if let Err(failure) = self.launch() {
            panic!(
                "the {} server does not serve again ({:?}); its log:\n{}",
                self.arm, failure.status, failure.log
            );
        }
    }

    /// As [`start_again`](Self::start_again), with a zoo.cfg key added or changed for this and later starts.
    #[track_caller]
    pub fn start_again_with(&mut self, keys: &[(&str, &str)]) {
        for (key, value) in keys {
            self.keys.retain(|(k, _)| k != key);
            self.keys.push(((*key).to_owned(), (*value).to_owned()));
        }
        self.start_again();
    }

    fn log_path(&self) -> PathBuf {
        self.scratch.path().join("log.txt")
    }

    /// Starts a stopped or killed server again and kills it after `pause`, whether it serves by then or not.
    ///
    /// # Panics
    /// When it already runs.
    pub fn start_and_kill(&mut self, pause: Duration) {
        let process = self.spawn();
        std::thread::sleep(pause);
        process.end(Signal::KILL, PATIENCE).expect("no process survives SIGKILL");
    }

    fn spawn(&self) -> Process {
        assert!(self.process.is_none(), "the server already runs");
        fs::create_dir_all(&self.data_dir)
            .unwrap_or_else(|e| panic!("cannot create {}: {e}", self.data_dir.display()));
        let config = self.scratch.path().join("zoo.cfg");
        let mut text = format!("dataDir={}\nclientPort={}\n", self.data_dir.display(), self.port);
        for (key, value) in &self.keys {
            text.push_str(&format!("{key}={value}\n"));
        }
        fs::write(&config, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", config.display()));

        let command = match self.arm {
            Arm::Java => upstream::command(&config, &self.properties),
            Arm::Quoll => quoll::command(&config, &self.properties),
        };
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .unwrap_or_else(|e| panic!("cannot open {}: {e}", self.log_path().display()));
        Process::spawn(command, log, self.scratch.path())
    }

    fn launch(&mut self) -> Result<(), StartFailure> {
        let mut process = self.spawn();

        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(status) = process.try_wait() {
                return Err(StartFailure { status: Some(status), log: self.log() });
            }
            if four_letter_word(self.port, "srvr").is_ok_and(|answer| answer.contains("Mode: ")) {
                self.process = Some(process);
                return Ok(());
            }
            if Instant::now() > deadline {
                process.end(Signal::KILL, PATIENCE);
                return Err(StartFailure { status: None, log: self.log() });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end(Signal::KILL, PATIENCE);
        }
    }
}

/// Sends a four-letter word to a server on 127.0.0.1 and reads the whole answer.
///
/// # Errors
/// When the server cannot be reached or does not answer within ten seconds.
pub fn four_letter_word(port: u16, word: &str) -> std::io::Result<String> {
    four_letter_word_within(port, word, Duration::from_secs(10))
}

/// As [`four_letter_word`], with another patience than ten seconds.
///
/// # Errors
/// When the server cannot be reached or does not answer in time.
pub fn four_letter_word_within(port: u16, word: &str, patience: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(word.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The last `count` lines of a text.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
