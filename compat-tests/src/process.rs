//! A child process that does not outlive the test.
//!
//! The child leads a process group of its own. A guard, a shell that waits for the end of a pipe held by the
//! test process, kills that group when the test process is gone, however it went.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt;

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

/// The child and its guard. Dropped, the child and all that it started are killed.
pub struct Process {
    child: Child,
    guard: Child,
    ended: bool,
}

impl Process {
    /// Starts `command` in `dir`, with nothing on standard input and both outputs appended to `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(mut command: Command, log: File, dir: &Path) -> Process {
        let stderr = log.try_clone().expect("a file handle can be cloned");
        command.current_dir(dir).stdin(Stdio::null()).stdout(log).stderr(stderr).process_group(0);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let guard = Command::new("sh")
            .args(["-c", "read -r _; kill -s KILL -- \"-$1\" 2>/dev/null", "guard", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start a shell: {e}"));
        Process { child, guard, ended: false }
    }

    /// The child's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How the child ended, if it has.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child's state can be asked for")
    }

    /// Waits until the child ends; `None` when it still runs after `patience`.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.try_wait() {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Signals the child alone. A child that is suspended stands still when this returns, with all its threads.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|e| panic!("cannot signal a child: {e}"));
        if signal == Signal::STOP {
            // The child's end is left for who waits for that.
            let news = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            retry_on_intr(|| waitid(WaitId::Pid(pid), news))
                .unwrap_or_else(|e| panic!("cannot wait for a child to stand still: {e}"));
        }
    }

    /// Signals the child and waits for its end; `None` when it still ran after `patience` and was killed.
    pub fn end(mut self, signal: Signal, patience: Duration) -> Option<ExitStatus> {
        // An error means that it has ended already; the wait says how.
        let _ = kill_process(Pid::from_child(&self.child), signal);
        let status = self.wait(patience);
        self.clear_away();
        status
    }

    fn clear_away(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // The guard goes first: later, another process could get the child's number.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.clear_away();
    }
}
