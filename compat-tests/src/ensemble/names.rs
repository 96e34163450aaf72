//! Names of members, which stand for another address when a member moves.
//!
//! The processes see a hosts file of their own in the place of `/etc/hosts`, in a name space as that of
//! [`super::disk`]. What is written to the file counts at the next lookup.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::name_space::NameSpace;
use super::proxy::Id;

/// The names of all members.
pub struct Names {
    space: NameSpace,
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
        let space =
            NameSpace::with("mount --bind \"$1\" /etc/hosts", [&file], "no name can change its address");
        Names { space, file, addresses: Mutex::new(addresses) }
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
        self.space.inside(command)
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
