//! Settings as text to a typed [`ServerConfig`].
//!
//! Role: merges the sources by upstream's rules of precedence, checks every value against the table, reports
//! what has no effect, and fills in the fields.
//!
//! Precedence, weakest first: default; `-D` in SERVER_JVMFLAGS; in JVMFLAGS; on the command line; `zoo.cfg`. Of
//! two equal keys in one source the later counts.
//!
//! Upstream counterpart: `QuorumPeerConfig.parse`, `ServerConfig.parse`.

mod ensemble;
mod fields;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::ServerConfig;
use super::dynamic::ConfigFiles;
use super::error::{ConfigError, Level, Notice, Origin};
use super::members::{Members, Role};
use super::properties::{self, Property};
use super::table::{self, Key, Place, State};
use crate::types::ServerId;

/// What the server was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing: a server on port 2181 with `./data`.
    Defaults,
    /// A `zoo.cfg`.
    File(PathBuf),
    /// `port dataDir [tickTime] [maxClientCnxns]`, already in this order.
    Arguments(Vec<String>),
}

/// A `-Dname=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// What stands before the `=`, with its prefix.
    pub name: String,
    /// What stands behind it.
    pub value: String,
    /// Where it was given.
    pub origin: Origin,
}

/// Everything read, whether or not this server can run it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The settings of the server itself.
    pub server: ServerConfig,
    /// The ensemble it is to be part of; `None` for a standalone server.
    pub ensemble: Option<EnsembleConfig>,
    /// What there is to say, in the order in which it was found.
    pub notices: Vec<Notice>,
}

/// What a member of an ensemble needs beyond a [`ServerConfig`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnsembleConfig {
    /// All members: the active configuration.
    pub members: Members,
    /// A newer one that was proposed before this server stopped, of `<cfg>.dynamic.next`.
    pub next: Option<Members>,
    /// Whether the members come from a `dynamicConfigFile`.
    pub dynamic: bool,
    /// `standaloneEnabled`: an ensemble has two voters at least.
    pub standalone_enabled: bool,
    /// Content of `myid`: which member this is.
    pub server_id: ServerId,
    /// Role of this server, by the member list.
    pub role: Role,
    /// `initLimit`; at least 1.
    pub init_limit_ticks: u32,
    /// `syncLimit`; at least 1.
    pub sync_limit_ticks: u32,
    /// `connectToLearnerMasterLimit`; `initLimit` when that is not set.
    pub connect_limit_ticks: u32,
    /// `multiAddress.enabled`.
    pub multi_address: bool,
    /// `quorumListenOnAllIPs`.
    pub listen_on_all: bool,
    /// `cnxTimeout`, ms.
    pub election_connect_ms: u32,
    /// `quorumCnxnTimeoutMs`, ms; `syncLimit` when that is not set.
    pub election_handshake_ms: u32,
    /// `electionPortBindRetry`; 0 is for ever.
    pub bind_tries: u32,
    /// `fastleader.minNotificationInterval`, ms.
    pub notification_interval_min_ms: u32,
    /// `fastleader.maxNotificationInterval`, ms.
    pub notification_interval_max_ms: u32,
    /// `leaderConnectDelayDuringRetryMs`.
    pub connect_retry_ms: u32,
    /// `leader.maxConcurrentSnapSyncs`; `None` is no limit.
    pub snapshot_syncs_max: Option<u32>,
    /// `localSessionsEnabled`: a new session is known only to the server that serves it.
    pub local_sessions: bool,
    /// `localSessionsUpgradingEnabled`: it becomes known to all with its first ephemeral; otherwise that is refused.
    pub local_session_upgrades: bool,
    /// `leader.maxConcurrentDiffSyncs`; `None` without a limit.
    pub diff_syncs_max: Option<u32>,
    /// `leader.maxTimeToWaitForEpoch`; `None` when it is off.
    pub epoch_wait_max_ms: Option<u32>,
    /// `syncEnabled`, or `observer.syncEnabled` where that is set: observers keep a log and snapshots.
    pub observer_logs: bool,
    /// `observer.election.DelayMs`.
    pub observer_election_delay_ms: u32,
    /// `observer.reconnectDelayMs`.
    pub observer_reconnect_delay_ms: u32,
    /// `observerMasterPort`: followers pass on to observers what the leader says; `None` when it is off.
    pub observer_master_port: Option<u16>,
    /// `observerMaster.sizeLimit`, bytes.
    pub observer_master_bytes_max: u32,
    /// `leaderServes`.
    pub leader_serves: bool,
    /// `tcpKeepAlive`.
    pub tcp_keep_alive: bool,
    /// `testingonly.initialZxid`: the counter of zxids with which an epoch begins.
    pub first_counter: u32,
    /// `forceSnapshotSync`.
    pub force_snapshot: bool,
    /// The key by which connections between servers are to be encrypted or authenticated, if any. Quoll can do neither
    /// yet and does not run such a member.
    pub protection: Option<&'static str>,
    /// The file that has the member lines.
    pub origin: Origin,
}

/// Reads everything.
///
/// # Errors
/// [`ConfigError`]; an ensemble is not an error here.
pub fn read(start: &Start, flags: &[Flag]) -> Result<Settings, ConfigError> {
    let mut values = Values::default();
    for flag in flags {
        values.add_flag(flag);
    }
    let mut config_file = None;
    let mut member_lines = Vec::new();
    match start {
        Start::Defaults => {
            values.put("dataDir", "./data", Origin::CommandLine);
            values.put("clientPort", "2181", Origin::CommandLine);
            values.put("tickTime", "2000", Origin::CommandLine);
        }
        Start::Arguments(arguments) => {
            // Without a file upstream's limit of connections per address is off.
            values.put("maxClientCnxns", "0", Origin::CommandLine);
            for (name, value) in ["clientPort", "dataDir", "tickTime", "maxClientCnxns"].iter().zip(arguments)
            {
                values.put(name, value, Origin::CommandLine);
            }
        }
        Start::File(path) => {
            let read = read_properties(path, &mut values.notices)?;
            let dynamic = read.iter().any(|p| p.key.trim() == "dynamicConfigFile");
            for property in read {
                values.add_property(path, &property, dynamic)?;
            }
            config_file = Some(path.clone());
            member_lines = std::mem::take(&mut values.member_lines);
        }
    }
    values.check()?;
    values.announce();

    let mut server = values.server_config(config_file)?;
    let mut ensemble = None;
    if let Start::File(path) = start {
        let (members, origin) = ensemble::read_members(path, &mut values, member_lines)?;
        ensemble = values.ensemble(&mut server, members, origin)?;
        if let Some(ensemble) = &mut ensemble
            && ensemble.dynamic
            && server.request.reconfig_enabled
        {
            let next = ConfigFiles::of(path).read_next(values.multi_address_property)?;
            ensemble.next =
                next.filter(|next| next.version > ensemble.members.version && next.voters().next().is_some());
        }
        if server.connection.client_address.is_none() {
            let text = format!("{}: clientPort is not set: no client can connect", path.display());
            values.notices.push(Notice { level: Level::Warn, text });
        }
    }
    Ok(Settings { server, ensemble, notices: values.notices })
}

fn read_properties(path: &Path, notices: &mut Vec<Notice>) -> Result<Vec<Property>, ConfigError> {
    let text = std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    if !text.is_ascii() {
        let text = format!(
            "{}: characters beyond ASCII are read as ISO-8859-1, as upstream; write \\uXXXX for others",
            path.display()
        );
        notices.push(Notice { level: Level::Warn, text });
    }
    properties::parse(&text).map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })
}

fn is_member_key(key: &str) -> bool {
    key.starts_with("server.") || key.starts_with("group") || key.starts_with("weight")
}

/// A setting that was made.
#[derive(Clone, Debug)]
struct Value {
    text: String,
    origin: Origin,
    key: &'static Key,
}

/// All settings that were made, as text, by the name they have in `zoo.cfg` (or as bare property).
#[derive(Default)]
struct Values {
    by_name: BTreeMap<String, Value>,
    /// `-Dname` of [`Place::BothAndBare`]: counts only where nothing else is said.
    bare: BTreeMap<String, Value>,
    member_lines: Vec<(Property, Origin)>,
    multi_address_property: bool,
    notices: Vec<Notice>,
    /// Names asked for, so that a test can tell which keys nobody reads.
    asked: RefCell<BTreeSet<&'static str>>,
}

impl Values {
    fn say(&mut self, level: Level, origin: &Origin, text: impl AsRef<str>) {
        self.notices.push(Notice { level, text: format!("{origin}: {}", text.as_ref()) });
    }

    fn put(&mut self, name: &str, text: &str, origin: Origin) {
        let key = table::find(name).expect("the caller looked the key up");
        let text = text.to_owned();
        if let Some(old) = self.by_name.insert(name.to_owned(), Value { text, origin: origin.clone(), key })
            && let (Origin::Line(_, line), Origin::Line(..)) = (&old.origin, &origin)
        {
            self.say(Level::Warn, &origin, format!("{name} was set on line {line} already; this one counts"));
        }
    }

    fn add_flag(&mut self, flag: &Flag) {
        let Flag { name, value, origin } = flag;
        // What concerns the Java platform is nobody's business here.
        let quiet = |values: &mut Values| {
            values.say(Level::Debug, origin, format!("-D{name} has no meaning for Quoll"));
        };
        if let Some(short) = name.strip_prefix("zookeeper.") {
            match table::find(short) {
                Some(_) if short == "multiAddress.enabled" => {
                    self.multi_address_property = value.eq_ignore_ascii_case("true");
                }
                Some(key) if matches!(key.place, Place::Both | Place::BothAndBare) => {
                    self.put(short, value.trim(), origin.clone());
                }
                Some(Key { place: Place::Bare, .. }) => {
                    self.say(Level::Warn, origin, format!("-D{name} has no effect; write -D{short}"));
                }
                Some(_) => {
                    let text =
                        format!("-D{name} has no effect: {short} is read from zoo.cfg only, as upstream");
                    self.say(Level::Warn, origin, text);
                }
                None => self.unknown(short, origin),
            }
            return;
        }
        match table::find(name) {
            Some(Key { place: Place::Bare, .. }) => self.put(name, value.trim(), origin.clone()),
            Some(key) if key.place == Place::BothAndBare => {
                let value = Value { text: value.trim().to_owned(), origin: origin.clone(), key };
                self.bare.insert(name.clone(), value);
            }
            Some(key) if key.place == Place::Both && !key.is_pattern() && key.state != State::Ignored => {
                self.say(Level::Warn, origin, format!("-D{name} has no effect; write -Dzookeeper.{name}"));
            }
            _ => quiet(self),
        }
    }

    fn add_property(&mut self, path: &Path, property: &Property, dynamic: bool) -> Result<(), ConfigError> {
        let origin = Origin::Line(path.to_owned(), property.line);
        // As Java's String.trim.
        let name = property.key.trim_matches(|c| c <= ' ');
        let text = property.value.trim_matches(|c| c <= ' ');
        if is_member_key(name) || name == "version" {
            if dynamic && name != "version" {
                let problem = format!(
                    "`{name}` must stand in the dynamicConfigFile, because one is given in this file"
                );
                return Err(ConfigError::Conflict { origin, problem });
            }
            // Later lines replace earlier ones, as for every key.
            self.member_lines.retain(|(earlier, _)| earlier.key != property.key);
            self.member_lines.push((property.clone(), origin));
            return Ok(());
        }
        match table::find(name) {
            Some(Key { place: Place::Bare, .. }) => {
                let text =
                    format!("{name} has no effect in a file, as upstream; write -D{name} as an argument");
                self.say(Level::Warn, &origin, text);
            }
            Some(_) => self.put(name, text, origin),
            None => match name.strip_prefix("zookeeper.").filter(|short| table::find(short).is_some()) {
                Some(short) => {
                    let text = format!("{name} has no effect in a file, as upstream; write {short}");
                    self.say(Level::Warn, &origin, text);
                }
                None => self.unknown(name, &origin),
            },
        }
        Ok(())
    }

    fn unknown(&mut self, name: &str, origin: &Origin) {
        match table::keys().find(|key| key.name.eq_ignore_ascii_case(name)) {
            Some(key) => {
                let text = format!("{name} is not a setting; did you mean {}?", key.name);
                self.say(Level::Warn, origin, text);
            }
            None => {
                let text = format!("{name} is not a setting; kept as property zookeeper.{name}, unread");
                self.say(Level::Info, origin, text);
            }
        }
    }

    /// Checks every value, in the order of the file.
    fn check(&mut self) -> Result<(), ConfigError> {
        for (name, value) in std::mem::take(&mut self.bare) {
            self.by_name.entry(name).or_insert(value);
        }
        let mut in_order: Vec<_> = self.by_name.iter().collect();
        in_order.sort_by_key(|(_, value)| match value.origin {
            Origin::Line(_, line) => line,
            _ => 0,
        });
        for (name, value) in in_order {
            if value.key.state == State::Ignored {
                continue;
            }
            if let Err(allowed) = value.key.check(&value.text) {
                return Err(ConfigError::Value {
                    key: name.clone(),
                    value: value.text.clone(),
                    origin: value.origin.clone(),
                    allowed,
                });
            }
        }
        Ok(())
    }

    /// Says which settings have no effect or another one than they seem to have.
    fn announce(&mut self) {
        let admin_off = self.by_name.get("admin.enableServer").is_some_and(|v| v.text == "false");
        for (name, value) in self.by_name.clone() {
            let origin = &value.origin;
            if let Some(surprise) = value.key.surprise(&value.text)
                && value.key.state != State::Ignored
            {
                self.say(Level::Warn, origin, format!("{name}={}: {surprise}", value.text));
            }
            match value.key.state {
                State::Later(_) if admin_off && name.starts_with("admin.") => {}
                State::Later(inert) if inert.iter().any(|text| text.eq_ignore_ascii_case(&value.text)) => {}
                State::Later(_) => {
                    let text = format!(
                        "{name} has no effect: Quoll has no such feature yet ({})",
                        value.key.meaning
                    );
                    self.say(Level::Warn, origin, text);
                }
                State::Ignored => {
                    let text = format!(
                        "{name} has no effect: it tunes a part of the Java server that Quoll has not"
                    );
                    self.say(Level::Debug, origin, text);
                }
                State::Ensemble => {
                    self.say(Level::Debug, origin, format!("{name} concerns ensembles only"));
                }
                State::Works => {}
            }
        }
    }

    /// The key with its text: as set, or its default; `None` when neither exists.
    fn raw(&self, name: &'static str) -> (&'static Key, Option<&str>) {
        self.asked.borrow_mut().insert(name);
        let key = table::find(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        let default = (!key.default.is_empty()).then_some(key.default);
        (key, self.by_name.get(name).map(|value| value.text.as_str()).or(default))
    }

    /// Where a key was set; the command line when it was not.
    fn origin(&self, name: &str) -> Origin {
        self.by_name.get(name).map_or(Origin::CommandLine, |value| value.origin.clone())
    }

    fn text(&self, name: &'static str) -> Option<&str> {
        self.raw(name).1
    }

    /// A text that is set and not empty.
    fn string(&self, name: &'static str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn list(&self, name: &'static str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn flag(&self, name: &'static str) -> bool {
        let (key, text) = self.raw(name);
        text.and_then(|text| key.flag(text)).unwrap_or_else(|| panic!("{name} is no flag or has no default"))
    }

    fn int_if_set(&self, name: &'static str) -> Option<i64> {
        let (key, text) = self.raw(name);
        text.map(|text| key.int(text).unwrap_or_else(|| panic!("{name} was checked and is a number")))
    }

    fn int(&self, name: &'static str) -> i64 {
        self.int_if_set(name).unwrap_or_else(|| panic!("{name} has no default"))
    }

    /// A number of which everything below 0 means the same as 0.
    fn count(&self, name: &'static str) -> u32 {
        u32::try_from(self.int(name).max(0)).unwrap_or(u32::MAX)
    }

    fn count_long(&self, name: &'static str) -> u64 {
        self.int(name).max(0).unsigned_abs()
    }

    /// KiB to bytes; `None` for 0 and less.
    fn kib_limit(&self, name: &'static str) -> Option<u64> {
        Some(self.count_long(name).saturating_mul(1024)).filter(|bytes| *bytes > 0)
    }

    fn float(&self, name: &'static str) -> f64 {
        let (key, text) = self.raw(name);
        text.and_then(|text| key.float(text)).unwrap_or_else(|| panic!("{name} has no usable default"))
    }

    /// A number that is raised to a minimum, which is said.
    fn at_least(&mut self, name: &'static str, min: u32) -> u32 {
        let number = self.int(name);
        if number < i64::from(min) {
            let text = format!("{name}={number} counts as {min}, the smallest possible");
            self.say(Level::Warn, &self.origin(name), text);
            return min;
        }
        u32::try_from(number).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
