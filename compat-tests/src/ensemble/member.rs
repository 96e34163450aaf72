//! One member of an ensemble: its files, its process, what it says of itself.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use crate::arm::Arm;
use crate::ensemble::disk::SmallDisk;
use crate::ensemble::names::Names;
use crate::ensemble::proxy::{Id, PeerPorts};
use crate::process::Process;
use crate::server::{four_letter_word_within, last_lines};
use crate::{quoll, upstream};

/// How long a process may take to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a member may take to answer a four-letter word before it counts as not answering.
const WORD_PATIENCE: Duration = Duration::from_secs(2);

/// Why a Java follower ends by itself, with status 0, now and then when its leader goes: it brings its tree up to its log
/// (`ZooKeeperServer.shutdown`) while its `CommitProcessor`, which nobody waits for, still applies the last commit.
const ENDED_WHILE_COMMITTING: &str = "IllegalStateException: Committed proposal cached out of order";

/// What a member is at the moment, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Mode {
    Leader,
    Follower,
    Observer,
    ReadOnly,
}

/// A member. It keeps ports, folder and log when its process or its kind changes.
pub struct Member {
    /// Its number, as in `server.N`.
    pub id: Id,
    /// Which server it is.
    pub arm: Arm,
    /// Whether it has no vote.
    pub observer: bool,
    /// Where clients connect.
    pub client_port: u16,
    /// Its address for the other members.
    pub host: String,
    /// Its own ports for the other members.
    pub peer_ports: PeerPorts,
    pub(super) dir: PathBuf,
    pub(super) process: Option<Process>,
    /// Where its data lies when its disk is small.
    pub(super) disk: Option<SmallDisk>,
    /// What the members' names stand for, if they have any.
    pub(super) names: Option<Arc<Names>>,
    pub(super) suspended: bool,
    /// How long its log was when it was last started, in bytes.
    pub(super) log_before: usize,
}

impl Member {
    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.client_port).into()
    }

    /// Its `dataDir`; files lie in its folder `version-2`.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Its `zoo.cfg`; the files of reconfigurations lie beside it.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("zoo.cfg")
    }

    /// Where all that it prints goes, over all its starts.
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("log.txt")
    }

    /// All that it printed.
    pub fn log(&self) -> String {
        fs::read(self.log_path()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// The last lines that it printed.
    pub fn log_tail(&self) -> String {
        last_lines(&self.log(), 25)
    }

    /// Whether it has a process, suspended or not.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Whether its process is suspended.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// The answer to a four-letter word.
    ///
    /// # Errors
    /// When it does not answer within two seconds.
    pub fn word(&self, word: &str) -> io::Result<String> {
        four_letter_word_within(self.client_port, word, WORD_PATIENCE)
    }

    /// What it says that it is; `None` when it does not serve or does not answer.
    pub fn mode(&self) -> Option<Mode> {
        if self.suspended || self.process.is_none() {
            return None;
        }
        let srvr = self.word("srvr").ok()?;
        match srvr.lines().find_map(|line| line.strip_prefix("Mode: "))?.trim() {
            "leader" => Some(Mode::Leader),
            "follower" => Some(Mode::Follower),
            "observer" => Some(Mode::Observer),
            "read-only" => Some(Mode::ReadOnly),
            other => panic!("member {} says that it is {other}", self.id),
        }
    }

    /// A value of `mntr`, whose key is given without `zk_`.
    pub fn metric(&self, key: &str) -> Option<String> {
        let mntr = self.word("mntr").ok()?;
        let line =
            mntr.lines().find_map(|line| line.strip_prefix("zk_")?.strip_prefix(key)?.strip_prefix('\t'));
        line.map(|value| value.trim().to_owned())
    }

    /// Writes the files and starts the process; see [`Member::process_ended`] for what becomes of it.
    ///
    /// Without `config` it keeps the file that it has.
    pub(super) fn launch(&mut self, config: Option<&str>, properties: &[(String, String)]) {
        assert!(self.process.is_none(), "member {} runs already", self.id);
        let data_dir = self.data_dir();
        create_dir(&data_dir);
        write(&self.real_path(&data_dir.join("myid")), &format!("{}\n", self.id));
        let path = self.dir.join("zoo.cfg");
        if let Some(config) = config {
            write(&path, config);
        }
        let command = match self.arm {
            Arm::Java => upstream::small_command(&path, properties),
            Arm::Quoll => quoll::command(&path, properties),
        };
        let command = match (&self.disk, &self.names) {
            (Some(_), Some(_)) => panic!("a member has a small disk or a name"),
            (Some(disk), None) => disk.inside(&command),
            (None, Some(names)) => names.inside(&command),
            (None, None) => command,
        };
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .unwrap_or_else(|e| panic!("cannot open {}: {e}", self.log_path().display()));
        self.log_before = log.metadata().map_or(0, |meta| meta.len() as usize);
        self.process = Some(Process::spawn(command, log, &self.dir));
        self.suspended = false;
    }

    /// Where a file of the member's lies for this process.
    pub(super) fn real_path(&self, path: &Path) -> PathBuf {
        match &self.disk {
            Some(disk) => disk.seen_from_outside(path),
            None => path.to_owned(),
        }
    }

    /// How the process ended by itself, if it did.
    pub fn process_ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.try_wait()?;
        self.process = None;
        Some(status)
    }

    /// Whether its process, which has ended, is one of upstream's that lost a race with itself: whoever runs such a server
    /// starts it again.
    pub(super) fn ended_while_committing(&self) -> bool {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let last = String::from_utf8_lossy(log.get(self.log_before..).unwrap_or_default());
        self.arm == Arm::Java && last.contains(ENDED_WHILE_COMMITTING)
    }

    pub(super) fn end(&mut self, signal: Signal) -> ExitStatus {
        let process = self.process.take().unwrap_or_else(|| panic!("member {} does not run", self.id));
        self.suspended = false;
        process.end(signal, PATIENCE).unwrap_or_else(|| {
            panic!("member {} ({}) does not end on {signal:?}:\n{}", self.id, self.arm, self.log_tail())
        })
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        self.process.as_ref().unwrap_or_else(|| panic!("member {} does not run", self.id)).signal(signal);
        self.suspended = signal == Signal::STOP;
    }
}

pub(super) fn create_dir(path: &Path) {
    fs::create_dir_all(path).unwrap_or_else(|e| panic!("cannot create {}: {e}", path.display()));
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
}
