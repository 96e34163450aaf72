//! A name space of its own, in which something is mounted that only some processes see.
//!
//! A user needs no privileges for it where the kernel allows user name spaces.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The name space, held by a process that does nothing else. What is mounted in it goes with it, also when the test is
/// killed.
pub(super) struct NameSpace {
    holder: Child,
}

impl NameSpace {
    /// Runs `mount`, a command of the shell with these `args`, in a new one.
    ///
    /// # Panics
    /// When it fails: then this machine cannot run the test, and `so` says what cannot be done.
    pub fn with<A: AsRef<OsStr>>(mount: &str, args: impl IntoIterator<Item = A>, so: &str) -> NameSpace {
        let script = format!("{mount} && echo mounted && read -r _");
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start unshare (package util-linux): {e}"));
        let mut line = String::new();
        let said = BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line);
        if said.is_err() || line != "mounted\n" {
            let _ = holder.kill();
            let _ = holder.wait();
            panic!(
                "nothing can be mounted in a user name space (see the message of unshare or mount above; in a \
                 container, allow user name spaces or run it privileged), so {so}"
            );
        }
        NameSpace { holder }
    }

    /// The number of a process that is in it.
    pub fn process(&self) -> u32 {
        self.holder.id()
    }

    /// `command`, to be run in it.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        let target = self.process().to_string();
        inside.args(["--preserve-credentials", "--user", "--mount", "--target", &target, "--"]);
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }
}

impl Drop for NameSpace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
