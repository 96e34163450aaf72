//! A whole ensemble on this machine, for trying out: `quoll server --ensemble 3 --data DIR`.
//!
//! Every member is a process of its own with a `zoo.cfg` and a data directory below DIR, so any of them can be stopped
//! and started by hand.

use super::ports::free_ports;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

/// Members, at most: more is no trial any more.
pub const MEMBERS_MAX: u16 = 9;

/// How often is looked whether a member has ended.
const CHECK_EVERY: Duration = Duration::from_millis(200);

/// Why an ensemble does not start.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum EnsembleError {
    #[error("an ensemble of {0} members: give a number from 1 to {MEMBERS_MAX}")]
    Count(u16),
    #[error("cannot {what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("no free port was found: {0}")]
    Port(io::Error),
    #[error("signals cannot be listened for: {0}")]
    Signals(io::Error),
    #[error("member {member} cannot be started: {source}")]
    Start { member: u16, source: io::Error },
}

/// A member that runs.
#[derive(Debug)]
pub struct Running {
    /// Its number.
    pub member: u16,
    /// Its process.
    pub child: Child,
}

/// Writes what is missing below `dir` and starts every member with `program server …/zoo.cfg`. Answers the members and
/// the connection string for clients.
///
/// A directory that has been used before keeps its ports, so that the second start is the same ensemble.
///
/// # Errors
/// [`EnsembleError`]. Members already started are killed then.
pub fn start(program: &Path, dir: &Path, members: u16) -> Result<(Vec<Running>, String), EnsembleError> {
    if !(1..=MEMBERS_MAX).contains(&members) {
        return Err(EnsembleError::Count(members));
    }
    let ports = ports(dir, members)?;
    let lines: String = (1..=members)
        .zip(&ports)
        .map(|(id, [client, quorum, election])| {
            format!("server.{id}=127.0.0.1:{quorum}:{election}:participant;127.0.0.1:{client}\n")
        })
        .collect();
    let mut running: Vec<Running> = Vec::new();
    for member in 1..=members {
        let home = dir.join(member.to_string());
        let data = home.join("data");
        make_dir(&data)?;
        write(&data.join("myid"), &format!("{member}\n"))?;
        let config = home.join("zoo.cfg");
        let absolute = std::path::absolute(&data).unwrap_or(data);
        write(
            &config,
            &format!(
                "tickTime=2000\ninitLimit=10\nsyncLimit=5\nstandaloneEnabled=false\ndataDir={}\n{lines}",
                absolute.display()
            ),
        )?;
        let log = home.join("log");
        let output = fs::File::create(&log).map_err(file("create", &log))?;
        let error_output = output.try_clone().map_err(file("create", &log))?;
        let child = Command::new(program)
            .arg("server")
            .arg(&config)
            .stdout(output)
            .stderr(error_output)
            .spawn()
            .map_err(|source| EnsembleError::Start { member, source });
        match child {
            Ok(child) => running.push(Running { member, child }),
            Err(error) => {
                for mut other in running {
                    // It may have ended by itself.
                    let _ = other.child.kill();
                }
                return Err(error);
            }
        }
    }
    let connect: Vec<_> = ports.iter().map(|[client, ..]| format!("127.0.0.1:{client}")).collect();
    Ok((running, connect.join(",")))
}

/// Starts an ensemble, says where it is, and stops it on SIGTERM or SIGINT.
///
/// # Errors
/// [`EnsembleError`].
pub fn run(program: &Path, dir: &Path, members: u16) -> Result<(), EnsembleError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(EnsembleError::Signals)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(EnsembleError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(EnsembleError::Signals)?;
        let (mut running, connect) = start(program, dir, members)?;
        for Running { member, child } in &running {
            println!(
                "member {member}: process {}, files in {}",
                child.id(),
                dir.join(member.to_string()).display()
            );
        }
        println!("connect with: zkCli.sh -server {connect}");
        println!("stop all with Ctrl-C");
        let mut check = tokio::time::interval(CHECK_EVERY);
        while !running.is_empty() {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = check.tick() => running.retain_mut(|r| match r.child.try_wait() {
                    Ok(Some(status)) => {
                        println!("member {} has ended: {status}", r.member);
                        false
                    }
                    _ => true,
                }),
            }
        }
        for Running { child, .. } in &running {
            if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                // It may have ended by itself.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        for Running { child, .. } in &mut running {
            let _ = child.wait();
        }
        Ok(())
    })
}

/// Client, quorum and election port of every member, kept in the file `ports`.
fn ports(dir: &Path, members: u16) -> Result<Vec<[u16; 3]>, EnsembleError> {
    make_dir(dir)?;
    let path = dir.join("ports");
    let mut ports: Vec<[u16; 3]> = match fs::read_to_string(&path) {
        Ok(text) => text.lines().filter_map(line).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(EnsembleError::File { what: "read", path, source }),
    };
    let missing = usize::from(members).saturating_sub(ports.len());
    let fresh = free_ports(missing * 3).map_err(EnsembleError::Port)?;
    ports.extend(fresh.chunks_exact(3).map(|three| [three[0], three[1], three[2]]));
    let text: String = ports.iter().map(|[a, b, c]| format!("{a} {b} {c}\n")).collect();
    write(&path, &text)?;
    ports.truncate(usize::from(members));
    Ok(ports)
}

fn line(text: &str) -> Option<[u16; 3]> {
    let numbers: Vec<u16> = text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    numbers.try_into().ok()
}

fn make_dir(path: &Path) -> Result<(), EnsembleError> {
    fs::create_dir_all(path).map_err(file("create", path))
}

fn write(path: &Path, text: &str) -> Result<(), EnsembleError> {
    fs::write(path, text).map_err(file("write", path))
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EnsembleError {
    move |source| EnsembleError::File { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_ports_and_gets_more_for_more_members() {
        let dir = tempfile::tempdir().unwrap();
        let three = ports(dir.path(), 3).unwrap();
        assert_eq!(ports(dir.path(), 3).unwrap(), three);
        let five = ports(dir.path(), 5).unwrap();
        assert_eq!(five[..3], three);
        let mut all: Vec<u16> = five.into_iter().flatten().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 15);
    }

    #[test]
    fn an_ensemble_of_none_or_of_many_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for n in [0, MEMBERS_MAX + 1] {
            assert!(matches!(start(Path::new("quoll"), dir.path(), n), Err(EnsembleError::Count(_))));
        }
    }
}
