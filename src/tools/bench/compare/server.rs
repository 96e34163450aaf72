//! Starting and stopping the servers that are compared.

use super::super::super::ports::free_ports;
use super::super::connection::{self, Dial};
use super::super::error::Error;
use super::CompareArgs;
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to serve, and to stop.
const PATIENCE: Duration = Duration::from_secs(180);

/// A server that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// Apache ZooKeeper.
    Java,
    /// This project.
    Quoll,
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arm::Java => "java",
            Arm::Quoll => "quoll",
        })
    }
}

/// How servers are started.
#[derive(Debug)]
pub(super) struct Launch {
    classpath: Option<String>,
    heap: String,
    quoll: PathBuf,
    folder: PathBuf,
    /// Whether the folder is ours to remove.
    is_temporary: bool,
}

/// A server that serves. Killed when dropped.
#[derive(Debug)]
pub(super) struct Running {
    pub arm: Arm,
    pub address: SocketAddr,
    started: Instant,
    /// Time from the start of the process until a session was granted.
    pub ready_after: Duration,
    pub data_dir: PathBuf,
    child: Child,
    log: PathBuf,
    config: PathBuf,
}

impl Launch {
    /// Checks that what is needed is there.
    pub fn new(args: &CompareArgs) -> Result<Self, Error> {
        let here = std::env::current_exe().map_err(Error::io("finding this program"))?;
        let classpath = match &args.java_classpath {
            Some(classpath) => Some(classpath.clone()),
            None if args.arms.contains(&Arm::Java) => Some(fetched_classpath(&here)?),
            None => None,
        };
        let (folder, is_temporary) = match &args.work_dir {
            Some(folder) => (folder.clone(), false),
            None => (std::env::temp_dir().join(format!("quoll-compare-{}", std::process::id())), true),
        };
        std::fs::create_dir_all(&folder).map_err(Error::io("creating the folder for data directories"))?;
        let quoll = args.quoll.clone().unwrap_or(here);
        Ok(Self { classpath, heap: args.java_heap.clone(), quoll, folder, is_temporary })
    }

    /// Starts a server on a fresh data directory and waits until it serves.
    pub fn start(&self, arm: Arm, name: &str, settings: &[(&str, &str)]) -> Result<Running, Error> {
        let folder = self.folder.join(format!("{name}-{arm}"));
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(Error::io("removing an old data directory"))?;
        }
        std::fs::create_dir_all(folder.join("data")).map_err(Error::io("creating a data directory"))?;
        self.launch(arm, &folder, settings)
    }

    /// Starts a server again on the data directory of one that has been stopped.
    pub fn start_again(&self, stopped: &Stopped, settings: &[(&str, &str)]) -> Result<Running, Error> {
        self.launch(stopped.arm, &stopped.folder, settings)
    }

    fn launch(&self, arm: Arm, folder: &Path, settings: &[(&str, &str)]) -> Result<Running, Error> {
        let ports = free_ports(1).map_err(Error::io("finding a free port"))?;
        let address = (Ipv4Addr::LOCALHOST, ports[0]).into();
        let mut running = self.spawn(arm, folder, address, settings)?;
        running.wait_until_serving()?;
        Ok(running)
    }

    /// Starts the members of an ensemble on fresh data directories and waits until all of them serve.
    pub fn start_ensemble(&self, arm: Arm, name: &str, members: usize) -> Result<Vec<Running>, Error> {
        let ports = free_ports(members * 3).map_err(Error::io("finding free ports"))?;
        let mut settings = vec![("initLimit".to_owned(), "10".to_owned()), ("syncLimit".into(), "5".into())];
        for (member, ports) in (1..).zip(ports.chunks(3)) {
            let value = format!("127.0.0.1:{}:{}:participant", ports[1], ports[2]);
            settings.push((format!("server.{member}"), value));
        }
        let settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let mut running = Vec::new();
        for (member, ports) in (1..).zip(ports.chunks(3)) {
            let folder = self.folder.join(format!("{name}-{arm}-{member}"));
            if folder.exists() {
                std::fs::remove_dir_all(&folder).map_err(Error::io("removing an old data directory"))?;
            }
            let data = folder.join("data");
            std::fs::create_dir_all(&data).map_err(Error::io("creating a data directory"))?;
            std::fs::write(data.join("myid"), format!("{member}\n")).map_err(Error::io("writing myid"))?;
            let address = (Ipv4Addr::LOCALHOST, ports[0]).into();
            running.push(self.spawn(arm, &folder, address, &settings)?);
        }
        for member in &mut running {
            member.wait_until_serving()?;
        }
        Ok(running)
    }

    fn spawn(
        &self,
        arm: Arm,
        folder: &Path,
        address: SocketAddr,
        settings: &[(&str, &str)],
    ) -> Result<Running, Error> {
        let data_dir = folder.join("data");
        let mut text = format!(
            "dataDir={}\nclientPort={}\nclientPortAddress={}\nmaxClientCnxns=0\ntickTime=2000\nadmin.enableServer=false\n",
            data_dir.display(),
            address.port(),
            address.ip()
        );
        for (key, value) in settings {
            text += &format!("{key}={value}\n");
        }
        let config = folder.join("zoo.cfg");
        std::fs::write(&config, text).map_err(Error::io("writing zoo.cfg"))?;
        self.run(arm, config, address, data_dir)
    }

    /// Starts a process with a configuration that is there.
    fn run(
        &self,
        arm: Arm,
        config: PathBuf,
        address: SocketAddr,
        data_dir: PathBuf,
    ) -> Result<Running, Error> {
        let log = config.with_file_name("output.log");
        let output =
            File::options().create(true).append(true).open(&log).map_err(Error::io("creating a log"))?;
        let errors = output.try_clone().map_err(Error::io("creating a log"))?;
        let mut command = self.command(arm);
        command.arg(&config).stdin(Stdio::null()).stdout(output).stderr(errors);
        let started = Instant::now();
        let child = command.spawn().map_err(|e| Error::Server {
            server: arm.to_string(),
            reason: format!("cannot run {}: {e}", command.get_program().to_string_lossy()),
        })?;
        Ok(Running { arm, address, started, ready_after: Duration::ZERO, data_dir, child, log, config })
    }

    /// Starts a member again that has ended, on its own files.
    pub fn restart(&self, member: &mut Running) -> Result<(), Error> {
        let (config, data_dir) = (member.config.clone(), member.data_dir.clone());
        *member = self.run(member.arm, config, member.address, data_dir)?;
        member.wait_until_serving()
    }

    fn command(&self, arm: Arm) -> Command {
        match arm {
            Arm::Java => {
                let mut java = Command::new("java");
                java.arg(format!("-Xmx{}", self.heap))
                    .arg("-cp")
                    .arg(self.classpath.as_deref().unwrap_or(""));
                java.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
                java
            }
            Arm::Quoll => {
                let mut quoll = Command::new(&self.quoll);
                quoll.arg("server");
                quoll
            }
        }
    }

    /// Removes the data directories, if they lie in a folder of their own.
    pub fn clean_up(&self) {
        if self.is_temporary {
            // What stays behind is in the system's temporary folder.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A server that has been stopped, to be started again.
#[derive(Debug)]
pub(super) struct Stopped {
    arm: Arm,
    folder: PathBuf,
}

impl Running {
    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn failed(&self, reason: String) -> Error {
        Error::Server {
            server: self.arm.to_string(),
            reason: format!("{reason}; see {}", self.log.display()),
        }
    }

    fn wait_until_serving(&mut self) -> Result<(), Error> {
        let started = self.started;
        let dial = Dial { servers: vec![self.address], timeout: Duration::from_secs(30), sources: 0 };
        loop {
            if let Ok(connections) = connection::open(&dial, 0..1) {
                self.ready_after = started.elapsed();
                connection::close(connections);
                return Ok(());
            }
            if let Some(status) = self.child.try_wait().map_err(Error::io("watching a server"))? {
                return Err(self.failed(format!("ended before it served: {status}")));
            }
            if started.elapsed() > PATIENCE {
                return Err(self.failed(format!("did not serve within {} s", PATIENCE.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends a signal that ends the process.
    pub fn end(&mut self, signal: Signal) -> Result<(), Error> {
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(|e| self.failed(format!("cannot signal it: {e}")))
    }

    /// Waits for the end of a process that was told to end.
    pub fn ended(&mut self) -> Result<(), Error> {
        self.child.wait().map_err(Error::io("waiting for a server"))?;
        Ok(())
    }

    /// Stops the server in order.
    pub fn stop(mut self) -> Result<Stopped, Error> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).map_err(|e| self.failed(format!("cannot stop it: {e}")))?;
        let asked = Instant::now();
        while self.child.try_wait().map_err(Error::io("watching a server"))?.is_none() {
            if asked.elapsed() > PATIENCE {
                return Err(self.failed(format!("did not stop within {} s", PATIENCE.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let folder = self.data_dir.parent().expect("the data directory lies in a folder").to_owned();
        Ok(Stopped { arm: self.arm, folder })
    }

    /// Snapshots in the data directory.
    pub fn snapshot_count(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(self.data_dir.join("version-2")) else { return 0 };
        entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("snapshot.")).count()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already when it was stopped in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The class path that the test suites have fetched into cargo's target folder.
fn fetched_classpath(program: &Path) -> Result<String, Error> {
    let folder =
        program.ancestors().map(|folder| folder.join("compat/java-server")).find(|folder| folder.is_dir());
    match folder {
        Some(folder) => Ok(format!("{}/*", folder.display())),
        None => Err(Error::Options(format!(
            "no compat/java-server above {}: run the tests once, which fetch the Java server there, or name its class \
             path with --java-classpath 'FOLDER/*'",
            program.display()
        ))),
    }
}
