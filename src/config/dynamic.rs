//! The files of a configuration that changes while the server runs.
//!
//! | file | content |
//! |---|---|
//! | `<cfg>` | the static one; from the first change on `dynamicConfigFile` names the next |
//! | `<cfg>.dynamic.<version>` | the active configuration: sorted lines, the version in hexadecimal in the name only |
//! | `<cfg>.dynamic.next` | one that is proposed, with a line for its version; gone when it is active |
//! | `<cfg>.bak` | the static one as it was at the first start |
//!
//! Invariants: a file is there as a whole or as it was before, also after a power failure: it is written beside its
//! place, forced, and renamed, and the directory is forced. The static file never names a file that is not there.
//!
//! Upstream counterpart: `QuorumPeerConfig.writeDynamicConfig`, `editStaticConfig` and `backupOldConfig`. Start reading
//! at [`ConfigFiles::activate`].

use super::members::{MemberError, Members};
use super::properties::{self, BadEscape};
use crate::types::ServerId;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a file of the configuration is not as it should be.
#[derive(Debug, Error)]
pub enum ConfigFileError {
    /// It cannot be read or written.
    #[error("{}: cannot {action} this configuration file: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What was to be done with it.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// It is not properties text.
    #[error("{}: {source}", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: BadEscape,
    },
    /// It has no configuration.
    #[error("{}: {source}", path.display())]
    Members {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: MemberError,
    },
}

/// The files beside a `zoo.cfg`.
#[derive(Clone, Debug)]
pub struct ConfigFiles {
    /// The static file, as it was named.
    path: PathBuf,
}

impl ConfigFiles {
    /// Those of this static file.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        // A link stays one: what it names is replaced.
        Self { path: fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()) }
    }

    /// Keeps the static file as it is now in `<cfg>.bak`.
    ///
    /// # Errors
    /// When it cannot be read, or the copy not be written.
    pub fn back_up(&self) -> Result<(), ConfigFileError> {
        let text = fs::read(&self.path).map_err(io_error(&self.path, "read"))?;
        replace(&self.with_suffix(".bak"), &text)
    }

    /// The configuration in `<cfg>.dynamic.next`, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read_next(&self, multi_address: bool) -> Result<Option<Members>, ConfigFileError> {
        let path = self.next();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ConfigFileError::Io { path, action: "read", source }),
        };
        match Members::read(&String::from_utf8_lossy(&text), multi_address) {
            Ok(members) => Ok(Some(members)),
            Err(source) => Err(ConfigFileError::Members { path, source }),
        }
    }

    /// Writes `<cfg>.dynamic.next`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_next(&self, members: &Members) -> Result<(), ConfigFileError> {
        replace(&self.next(), sorted(members, true).as_bytes())
    }

    /// Removes `<cfg>.dynamic.next`, if it is there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_next(&self) -> Result<(), ConfigFileError> {
        let path = self.next();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ConfigFileError::Io { path, action: "remove", source: error })
            }
            Err(_) => Ok(()),
            // It must not be there again after a power failure.
            Ok(()) => force_directory(&path),
        }
    }

    /// Makes this the configuration of the next start: writes its file, and lets the static file name that in place of
    /// the members it had. What the static file says of the port for clients goes when the line of this server says it.
    /// Comments in the static file are lost, as upstream.
    ///
    /// # Errors
    /// When one of the files cannot be read or written. The others are as good as before then.
    pub fn activate(&self, members: &Members, me: ServerId) -> Result<(), ConfigFileError> {
        let dynamic = self.with_suffix(&format!(".dynamic.{:x}", members.version));
        replace(&dynamic, sorted(members, false).as_bytes())?;
        let own_client = members.servers.get(&me).is_some_and(|member| member.client.is_some());
        let text = fs::read(&self.path).map_err(io_error(&self.path, "read"))?;
        let text = edit(&text, &dynamic, own_client)
            .map_err(|source| ConfigFileError::Syntax { path: self.path.clone(), source })?;
        replace(&self.path, text.as_bytes())
    }

    fn next(&self) -> PathBuf {
        self.with_suffix(".dynamic.next")
    }

    fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}

/// The lines of a configuration in order, with or without its version.
fn sorted(members: &Members, with_version: bool) -> String {
    let text = members.to_string();
    let mut lines: Vec<&str> = text.lines().filter(|l| with_version || !l.starts_with("version=")).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// The static file that names a dynamic one.
fn edit(text: &[u8], dynamic: &Path, drop_client_port: bool) -> Result<String, BadEscape> {
    let mut dropped = vec!["server.", "group", "weight", "dynamicConfigFile", "peerType"];
    if drop_client_port {
        dropped.push("clientPort");
    }
    // In the order in which they were written; of two equal ones the later counts.
    let mut places = BTreeMap::new();
    let mut kept: Vec<(String, String)> = Vec::new();
    for property in properties::parse(text)? {
        let blank = |c: char| c <= ' ';
        let (key, value) = (property.key.trim_matches(blank), property.value.trim_matches(blank));
        if dropped.iter().any(|start| key.starts_with(start)) {
            continue;
        }
        let place = *places.entry(key.to_owned()).or_insert(kept.len());
        if place == kept.len() {
            kept.push((key.to_owned(), value.to_owned()));
        } else {
            kept[place].1 = value.to_owned();
        }
    }
    let mut out = String::new();
    for (key, value) in &kept {
        escape(&mut out, key, true);
        out.push('=');
        escape(&mut out, value, false);
        out.push('\n');
    }
    out.push_str("dynamicConfigFile=");
    escape(&mut out, &dynamic.to_string_lossy(), false);
    out.push('\n');
    Ok(out)
}

/// Appends text so that it is read again as what it is.
fn escape(out: &mut String, text: &str, key: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '=' | ':' | ' ' | '#' | '!' if key => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
}

/// Puts a file in the place of what is there, for good.
fn replace(path: &Path, content: &[u8]) -> Result<(), ConfigFileError> {
    let mut beside = path.to_owned().into_os_string();
    beside.push(".tmp");
    let beside = PathBuf::from(beside);
    let mut file = File::create(&beside).map_err(io_error(&beside, "create"))?;
    if let Ok(old) = fs::metadata(path) {
        file.set_permissions(old.permissions()).map_err(io_error(&beside, "set the permissions of"))?;
    }
    file.write_all(content).and_then(|()| file.sync_all()).map_err(io_error(&beside, "write"))?;
    fs::rename(&beside, path).map_err(io_error(path, "replace"))?;
    force_directory(path)
}

fn force_directory(path: &Path) -> Result<(), ConfigFileError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error(dir, "force the directory of"))
}

fn io_error<'a>(path: &'a Path, action: &'static str) -> impl FnOnce(io::Error) -> ConfigFileError + 'a {
    move |source| ConfigFileError::Io { path: path.to_owned(), action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(version: u64) -> Members {
        let text = "server.10=h10:1:2;5\nserver.2=h2:1:2:observer;127.0.0.1:5\nserver.1=h1:1:2;5\n";
        Members { version, ..Members::read(text, false).unwrap() }
    }

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("quoll-config-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            Self(fs::canonicalize(dir).unwrap())
        }

        fn files(&self, text: &str) -> ConfigFiles {
            fs::write(self.0.join("zoo.cfg"), text).unwrap();
            ConfigFiles::of(&self.0.join("zoo.cfg"))
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.0.join(name)).unwrap()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const SORTED: &str = "server.10=h10:1:2:participant;0.0.0.0:5\nserver.1=h1:1:2:participant;0.0.0.0:5\n\
                          server.2=h2:1:2:observer;127.0.0.1:5";

    #[test]
    fn an_activated_configuration_is_what_the_static_file_names_from_then_on() {
        let dir = Dir::new("activate");
        let files = dir.files(
            "# comment\ntickTime=1000\nserver.1=h1:1:2\nclientPort=5\nclientPortAddress=a\npeerType=observer\n\
             dataDir=/d\\\\x y\ntickTime : 2000\nweight.1=1\ngroup.1=1\n",
        );
        files.write_next(&members(0x1_0000_0007)).unwrap();
        assert_eq!(dir.text("zoo.cfg.dynamic.next"), format!("{SORTED}\nversion=100000007"));
        files.activate(&members(0x1_0000_0007), ServerId(1)).unwrap();
        files.remove_next().unwrap();
        files.remove_next().unwrap();
        assert_eq!(dir.text("zoo.cfg.dynamic.100000007"), SORTED);
        let named = dir.0.join("zoo.cfg.dynamic.100000007");
        let text = format!("tickTime=2000\ndataDir=/d\\\\x y\ndynamicConfigFile={}\n", named.display());
        assert_eq!(dir.text("zoo.cfg"), text);
        // And the next one takes its place.
        files.activate(&members(0x2_0000_0001), ServerId(1)).unwrap();
        assert_eq!(dir.text("zoo.cfg"), text.replace("100000007", "200000001"));
        let mut left: Vec<_> = fs::read_dir(&dir.0).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["zoo.cfg", "zoo.cfg.dynamic.100000007", "zoo.cfg.dynamic.200000001"]);
    }

    #[test]
    fn the_port_for_clients_stays_in_the_static_file_when_no_line_says_it() {
        let dir = Dir::new("client");
        let files = dir.files("clientPort=5\n");
        files.activate(&members(1), ServerId(7)).unwrap();
        assert!(dir.text("zoo.cfg").starts_with("clientPort=5\n"));
    }

    #[test]
    fn a_configuration_that_is_to_come_is_read_back() {
        let dir = Dir::new("next");
        let files = dir.files("");
        assert_eq!(files.read_next(false).unwrap(), None);
        files.write_next(&members(0x20)).unwrap();
        assert_eq!(files.read_next(false).unwrap(), Some(members(0x20)));
        fs::write(dir.0.join("zoo.cfg.dynamic.next"), "server.1=nonsense").unwrap();
        let error = files.read_next(false).unwrap_err().to_string();
        assert!(error.contains("zoo.cfg.dynamic.next") && error.contains("quorumPort"), "{error}");
    }

    #[test]
    fn the_first_static_file_is_kept_byte_for_byte() {
        let dir = Dir::new("backup");
        let files = dir.files("# mine\nserver.1=a:1:2\n");
        files.back_up().unwrap();
        assert_eq!(dir.text("zoo.cfg.bak"), "# mine\nserver.1=a:1:2\n");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let dir = Dir::new("missing");
        let files = dir.files("");
        fs::remove_dir_all(&dir.0).unwrap();
        let error = files.write_next(&members(1)).unwrap_err().to_string();
        assert!(error.contains("zoo.cfg.dynamic.next"), "{error}");
    }
}
