//! Names of members, which stand for another address when a member moves.
//!
//! The processes see a hosts file of their own in the place of `/etc/hosts`, in a name space as that of
//! [`super::disk`]. What is written to the file counts at the next lookup.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use super::proxy::Id;

/// The names of all members, held by a process that does nothing else.
pub struct Names {
    holder: Child,
    file: PathBuf,
    addresses: Mutex<BTreeMap<Id, String>>,
}

impl Names {
    /// A name for each of these, with its file in this folder. Each stands for 127.0.0.N at first.
    ///
    /// # Panics
    /// When the file cannot be put in the place of `/etc/hosts`: then this machine cannot run tests with names.
    pub fn new(dir: &Path, members: impl Iterator<Item = Id>) -> Names {
        let file = dir.join("hosts");
        let addresses: BTreeMap<Id, String> = members.map(|id| (id, format!("127.0.0.{id}"))).collect();
        write_hosts(&file, &addresses);
        let script = "mount --bind \"$1\" /etc/hosts && echo mounted && read -r _";
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
            .arg(&file)
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
                 container, allow user name spaces or run it privileged), so no name can change its address"
            );
        }
        Names { holder, file, addresses: Mutex::new(addresses) }
    }

    /// The name of a member.
    pub fn of(id: Id) -> String {
        format!("member-{id}.quoll.test")
    }

    /// From now on the member's name stands for this address.
    pub fn move_to(&self, id: Id, address: &str) {
        let mut addresses = self.addresses.lock().expect("nobody panics");
        addresses.insert(id, address.to_owned());
        write_hosts(&self.file, &addresses);
    }

    /// `command`, to be run where the names are known.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        let target = self.holder.id().to_string();
        inside.args(["--preserve-credentials", "--user", "--mount", "--target", &target, "--"]);
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }
}

/// In its place: a new file would not be seen.
fn write_hosts(file: &Path, addresses: &BTreeMap<Id, String>) {
    let mut text = String::from("127.0.0.1 localhost\n");
    for (id, address) in addresses {
        writeln!(text, "{address} {}", Names::of(*id)).expect("a String takes it");
    }
    fs::write(file, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", file.display()));
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
