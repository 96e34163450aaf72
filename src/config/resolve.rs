//! Settings as text to a typed [`ServerConfig`].
//!
//! Role: merges the sources by upstream's rules of precedence, checks every value against the table, reports
//! what has no effect, and fills in the fields.
//!
//! Precedence, weakest first: default; `-D` in SERVER_JVMFLAGS; in JVMFLAGS; on the command line; `zoo.cfg`. Of
//! two equal keys in one source the later counts.
//!
//! Upstream counterpart: `QuorumPeerConfig.parse`, `ServerConfig.parse`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Level, Notice, Origin};
use super::members::{Members, Role};
use super::properties::{self, Property};
use super::table::{self, Key, Place, State};
use super::{
    AdminConfig, AuthConfig, ConnectionConfig, ConnectionThrottleConfig, ContainerConfig, DigestAlgorithm,
    HostPort, PurgeConfig, RequestConfig, RequestThrottleConfig, ServerConfig, SessionConfig,
    SnapshotCompression, StorageConfig,
};

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
    /// All members.
    pub members: Members,
    /// Content of `myid`: which member this is.
    pub server_id: i64,
    /// Role of this server, by the member list.
    pub role: Role,
    /// `initLimit`; at least 1.
    pub init_limit_ticks: u32,
    /// `syncLimit`; at least 1.
    pub sync_limit_ticks: u32,
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
        let (members, origin) = read_members(path, &mut values, member_lines)?;
        ensemble = values.ensemble(&mut server, members, origin)?;
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

/// The members, from the file itself or from its `dynamicConfigFile`.
fn read_members(
    path: &Path,
    values: &mut Values,
    mut lines: Vec<(Property, Origin)>,
) -> Result<(Members, Origin), ConfigError> {
    let mut members = Members::default();
    let mut origin = Origin::File(path.to_owned());
    if let Some(dynamic) = values.text("dynamicConfigFile") {
        let dynamic = PathBuf::from(dynamic);
        lines = read_properties(&dynamic, &mut values.notices)?
            .into_iter()
            .map(|property| {
                let origin = Origin::Line(dynamic.clone(), property.line);
                (property, origin)
            })
            .collect();
        for (property, origin) in &lines {
            if !is_member_key(&property.key) {
                return Err(member_error(property, origin, super::members::MemberError::Key));
            }
        }
        members.version = version_of_file_name(&dynamic);
        origin = Origin::File(dynamic);
    }
    // The parser of member lines looks at the property alone, as upstream.
    let multi_address = values.multi_address_property;
    for (property, origin) in &lines {
        members
            .add(&property.key, &property.value, multi_address)
            .map_err(|source| member_error(property, origin, source))?;
    }
    members.finish().map_err(|source| ConfigError::Members { origin: origin.clone(), source })?;
    Ok((members, origin))
}

fn member_error(property: &Property, origin: &Origin, source: super::members::MemberError) -> ConfigError {
    ConfigError::Member {
        key: property.key.clone(),
        value: property.value.clone(),
        origin: origin.clone(),
        source,
    }
}

/// `zoo.cfg.dynamic.100000000` is version 0x100000000; any other ending is version 0.
fn version_of_file_name(path: &Path) -> u64 {
    let name = path.to_string_lossy();
    name.rsplit_once('.').and_then(|(_, version)| u64::from_str_radix(version, 16).ok()).unwrap_or(0)
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

    fn server_config(&mut self, config_file: Option<PathBuf>) -> Result<ServerConfig, ConfigError> {
        Ok(ServerConfig {
            storage: self.storage(config_file.as_deref())?,
            session: self.session()?,
            connection: self.connection()?,
            request: self.request(),
            auth: self.auth()?,
            admin: AdminConfig { words_whitelist: self.text("4lw.commands.whitelist").map(str::to_owned) },
            config_file,
        })
    }

    fn storage(&mut self, config_file: Option<&Path>) -> Result<StorageConfig, ConfigError> {
        let data_dir = self.string("dataDir").map(PathBuf::from).ok_or_else(|| ConfigError::Missing {
            key: "dataDir",
            origin: config_file.map_or(Origin::CommandLine, |path| Origin::File(path.to_owned())),
            reason: "a configuration file must say where the data lies".to_owned(),
        })?;
        let data_log_dir = self.string("dataLogDir").map_or_else(|| data_dir.clone(), PathBuf::from);
        for (name, path) in [("dataDir", &data_dir), ("dataLogDir", &data_log_dir)] {
            if let Some(Value { text, origin: origin @ Origin::Line(..), .. }) = self.by_name.get(name)
                && path.is_relative()
                && !text.starts_with("./")
            {
                let text = format!("{name}={text} is relative to the directory the server is started in");
                self.say(Level::Warn, &origin.clone(), text);
            }
        }
        let compression = self.text("snapshot.compression.method").unwrap_or_default().to_ascii_lowercase();
        let mut factor = self.float("snapshotSizeFactor");
        if factor > 1.0 {
            let text = format!("snapshotSizeFactor={factor} counts as 0.33: it must not be above 1");
            self.say(Level::Warn, &self.origin("snapshotSizeFactor"), text);
            factor = 0.33;
        }
        Ok(StorageConfig {
            data_dir,
            data_log_dir,
            create_missing_dirs: self.flag("datadir.autocreate"),
            create_empty_db: self.flag("db.autocreate"),
            trust_empty_snapshot: self.flag("snapshot.trust.empty"),
            snap_count: self.at_least("snapCount", 2),
            snap_size_limit: self.kib_limit("snapSizeLimitInKb"),
            txn_log_size_limit: self.kib_limit("txnLogSizeLimitInKb"),
            prealloc_size: self.kib_limit("preAllocSize").unwrap_or(0),
            force_sync: self.flag("forceSync"),
            fsync_warning_threshold_ms: self.count_long("fsync.warningthresholdms"),
            flush_delay_ms: self.count_long("flushDelay"),
            flush_batch_max: self.count("maxBatchSize"),
            snapshot_compression: match compression.as_str() {
                "gz" => SnapshotCompression::Gzip,
                "snappy" => SnapshotCompression::Snappy,
                _ => SnapshotCompression::None,
            },
            digest_enabled: self.flag("digest.enabled"),
            serialize_last_zxid: self.flag("serializeLastProcessedZxid.enabled"),
            close_session_txn_paths: self.flag("closeSessionTxn.enabled"),
            purge: PurgeConfig {
                retain_count: self.at_least("autopurge.snapRetainCount", 3),
                interval_hours: self.count("autopurge.purgeInterval"),
            },
            commit_log_count: self.at_least("commitLogCount", 500),
            snapshot_size_factor: factor,
        })
    }

    fn session(&self) -> Result<SessionConfig, ConfigError> {
        let tick_time_ms = self.count("tickTime");
        let or_ticks = |name, ticks: u32| {
            let wanted = self.int(name);
            u32::try_from(wanted).unwrap_or_else(|_| tick_time_ms.saturating_mul(ticks).min(i32::MAX as u32))
        };
        let timeout_min_ms = or_ticks("minSessionTimeout", 2);
        let timeout_max_ms = or_ticks("maxSessionTimeout", 20);
        if timeout_min_ms > timeout_max_ms {
            let culprit = ["minSessionTimeout", "maxSessionTimeout"]
                .into_iter()
                .find(|name| self.by_name.contains_key(*name))
                .unwrap_or("tickTime");
            let problem = format!(
                "minSessionTimeout ({timeout_min_ms} ms) must not be larger than maxSessionTimeout \
                 ({timeout_max_ms} ms); unset they are 2 and 20 times tickTime ({tick_time_ms} ms)"
            );
            return Err(ConfigError::Conflict { origin: self.origin(culprit), problem });
        }
        Ok(SessionConfig { tick_time_ms, timeout_min_ms, timeout_max_ms })
    }

    fn connection(&mut self) -> Result<ConnectionConfig, ConfigError> {
        let client_address = self.address("clientPort", "clientPortAddress")?;
        // Only checked: there is no TLS yet, which was said already.
        self.address("secureClientPort", "secureClientPortAddress")?;
        Ok(ConnectionConfig {
            client_address,
            listen_backlog: Some(self.count("clientPortListenBacklog")).filter(|backlog| *backlog > 0),
            per_ip_max: self.count("maxClientCnxns"),
            total_max: self.count("maxCnxns"),
            sessionless_timeout_ms: self.count("nio.sessionlessCnxnTimeout"),
            worker_threads: self
                .int_if_set("nio.numWorkerThreads")
                .map(|threads| u32::try_from(threads).unwrap_or(1).max(1)),
            tcp_keep_alive: self.flag("clientTcpKeepAlive"),
            throttle: self.connection_throttle(),
        })
    }

    /// A port with the address that goes with it.
    fn address(&self, port: &'static str, host: &'static str) -> Result<Option<HostPort>, ConfigError> {
        let set_host = self.by_name.get(host);
        let Some(number) = self.int_if_set(port) else {
            return match set_host {
                Some(value) => Err(ConfigError::Missing {
                    key: port,
                    origin: value.origin.clone(),
                    reason: format!("{host}={} is, and an address needs its port", value.text),
                }),
                None => Ok(None),
            };
        };
        let host = self.string(host).unwrap_or_else(|| "0.0.0.0".to_owned());
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&host).to_owned();
        Ok(Some(HostPort { host, port: u16::try_from(number).expect("the table limits ports") }))
    }

    fn connection_throttle(&mut self) -> ConnectionThrottleConfig {
        let weight_enabled = self.flag("connection_throttle_weight_enabled");
        let mut weight = |name: &'static str, default: u32| {
            let number = self.int(name);
            if number >= 1 {
                return u32::try_from(number).unwrap_or(u32::MAX);
            }
            let text = format!("{name}={number} counts as {default}: it must be at least 1");
            self.say(Level::Warn, &self.origin(name), text);
            default
        };
        let local = weight("connection_throttle_local_session_weight", 1);
        let global = weight("connection_throttle_global_session_weight", 3).max(local);
        let renew = weight("connection_throttle_renew_session_weight", 2).max(local);
        // Tokens are meant for new global sessions.
        let factor = if weight_enabled { global } else { 1 };
        ConnectionThrottleConfig {
            tokens: self.count("connection_throttle_tokens").saturating_mul(factor),
            fill_time_ms: self.count("connection_throttle_fill_time"),
            fill_count: self.count("connection_throttle_fill_count").saturating_mul(factor),
            freeze_time_ms: u32::try_from(self.int("connection_throttle_freeze_time")).ok(),
            drop_increase: self.float("connection_throttle_drop_increase"),
            drop_decrease: self.float("connection_throttle_drop_decrease"),
            decrease_ratio: self.float("connection_throttle_decrease_ratio"),
            weight_enabled,
            global_session_weight: global,
            local_session_weight: local,
            renew_session_weight: renew,
        }
    }

    fn request(&self) -> RequestConfig {
        let packet_size_max = self.count("jute.maxbuffer");
        RequestConfig {
            packet_size_max,
            record_extra_size: match self.int_if_set("jute.maxbuffer.extrasize") {
                Some(_) => self.count("jute.maxbuffer.extrasize"),
                None => packet_size_max,
            }
            .max(1024),
            outstanding_max: self.count("globalOutstandingLimit"),
            large_request_threshold: Some(self.count("largeRequestThreshold")).filter(|bytes| *bytes > 0),
            large_requests_bytes_max: self.count("largeRequestMaxBytes"),
            throttle: RequestThrottleConfig {
                requests_max: self.count("request_throttle_max_requests"),
                stall_time_ms: self.count("request_throttle_stall_time"),
                drop_stale: self.flag("request_throttle_drop_stale"),
                stale_connection_check: self.flag("request_stale_connection_check"),
                stale_latency_check: self.flag("request_stale_latency_check"),
                shutdown_timeout_ms: self.count("request_throttler.shutdownTimeout"),
            },
            throttled_op_wait_time_ms: self.count("throttled_op_wait_time"),
            response_cache_entries: self.count("maxResponseCacheSize"),
            children_cache_entries: self.count("maxGetChildrenResponseCacheSize"),
            enforce_quota: self.flag("enforceQuota"),
            extended_types_enabled: self.flag("extendedTypesEnabled"),
            emulate_353_ttl_nodes: self.flag("emulate353TTLNodes"),
            container: ContainerConfig {
                check_interval_ms: self.count("znode.container.checkIntervalMs"),
                per_minute_max: self.count("znode.container.maxPerMinute"),
                never_used_max_ms: self.count_long("znode.container.maxNeverUsedIntervalMs"),
            },
            reconfig_enabled: self.flag("reconfigEnabled"),
            read_only_mode_enabled: self.flag("readonlymode.enabled"),
        }
    }

    fn auth(&mut self) -> Result<AuthConfig, ConfigError> {
        let digest_enabled = self.flag("DigestAuthenticationProvider.enabled");
        let algorithm = self.text("DigestAuthenticationProvider.digestAlg").unwrap_or_default();
        let algorithm = algorithm.to_ascii_uppercase();
        Ok(AuthConfig {
            skip_acl: self.flag("skipACL"),
            eager_acl_check: self.flag("enableEagerACLCheck"),
            digest_enabled,
            super_digest: self.string("DigestAuthenticationProvider.superDigest"),
            digest_algorithm: match algorithm.as_str() {
                "MD5" => DigestAlgorithm::Md5,
                "SHA-224" => DigestAlgorithm::Sha224,
                "SHA-256" => DigestAlgorithm::Sha256,
                "SHA-384" => DigestAlgorithm::Sha384,
                "SHA-512" => DigestAlgorithm::Sha512,
                _ => DigestAlgorithm::Sha1,
            },
            enforced_schemes: self.enforced_schemes(digest_enabled)?,
            allow_sasl_failed_clients: self.flag("allowSaslFailedClients"),
            sasl_super_users: self
                .by_name
                .iter()
                .filter(|(name, _)| *name == "superUser" || name.starts_with("superUser."))
                .map(|(_, value)| value.text.clone())
                .collect(),
            ensemble_names: self.list("ensembleAuthName"),
        })
    }

    /// Schemes a client must authenticate with, none when authentication is not enforced.
    fn enforced_schemes(&mut self, digest_enabled: bool) -> Result<Vec<String>, ConfigError> {
        let (name, schemes) = if self.flag("sessionRequireClientSASLAuth") {
            // The other two keys do not count then.
            ("sessionRequireClientSASLAuth", vec!["sasl".to_owned()])
        } else if self.flag("enforce.auth.enabled") {
            ("enforce.auth.schemes", self.list("enforce.auth.schemes"))
        } else {
            self.list("enforce.auth.schemes");
            return Ok(Vec::new());
        };
        if schemes.is_empty() {
            return Err(ConfigError::Missing {
                key: "enforce.auth.schemes",
                origin: self.origin("enforce.auth.enabled"),
                reason: "enforce.auth.enabled=true needs to know which schemes count".to_owned(),
            });
        }
        for scheme in &schemes {
            let configured = |class: &str| {
                self.by_name
                    .iter()
                    .any(|(name, value)| name.starts_with("authProvider.") && value.text.ends_with(class))
            };
            let known = match scheme.as_str() {
                "ip" => true,
                "digest" => digest_enabled,
                "sasl" => configured(".SASLAuthenticationProvider"),
                "x509" => configured(".X509AuthenticationProvider"),
                _ => false,
            };
            if !known {
                return Err(ConfigError::Conflict {
                    origin: self.origin(name),
                    problem: format!(
                        "{name} demands the scheme `{scheme}`, which no provider serves: possible are ip, digest \
                         (unless switched off), and sasl and x509 with their authProvider.N"
                    ),
                });
            }
        }
        if !schemes.iter().any(|scheme| scheme == "ip" || scheme == "digest") {
            let text = format!(
                "{name} demands the scheme {}, which Quoll has not yet: no client will be able to do anything",
                schemes.join(" or ")
            );
            self.say(Level::Warn, &self.origin(name), text);
        }
        Ok(schemes)
    }

    /// What the member lines make of this server.
    fn ensemble(
        &mut self,
        server: &mut ServerConfig,
        members: Members,
        origin: Origin,
    ) -> Result<Option<EnsembleConfig>, ConfigError> {
        self.check_peer_sasl()?;
        let standalone_enabled = self.flag("standaloneEnabled");
        let (voters, observers) = (members.voters().count(), members.observers().count());
        let conflict = |problem: &str| {
            Err(ConfigError::Conflict { origin: origin.clone(), problem: problem.to_owned() })
        };
        match voters {
            0 if !standalone_enabled => {
                return conflict("standaloneEnabled=false needs at least one server.N line that votes");
            }
            0 if observers > 0 => return conflict("there are observers but no server that votes"),
            1 if standalone_enabled && observers > 0 => {
                return conflict(
                    "a standalone server cannot have observers: set standaloneEnabled=false or give more voters",
                );
            }
            1 if standalone_enabled => {
                let text = "there is a single server.N line: running as a standalone server";
                self.say(Level::Info, &origin, text);
            }
            _ => {}
        }
        let server_id = read_my_id(&server.storage.data_dir)?;
        let member = server_id.and_then(|id| members.servers.get(&id));
        if let Some(client) = member.and_then(|member| member.client.clone()) {
            if let Some(fixed) = &server.connection.client_address
                && !same_client_address(fixed, &client)
            {
                let problem = format!(
                    "clients connect to {fixed} by clientPort and to {client} by this server's own line (myid is \
                     {}): leave one of them out",
                    server_id.unwrap_or_default()
                );
                return Err(ConfigError::Conflict { origin: self.origin("clientPort"), problem });
            }
            server.connection.client_address = Some(client);
        }
        if voters == 0 || (voters == 1 && standalone_enabled) {
            return Ok(None);
        }
        let limit = |name: &'static str| match self.count(name) {
            0 => Err(ConfigError::Missing {
                key: name,
                origin: origin.clone(),
                reason: "an ensemble needs it, at least 1 tick".to_owned(),
            }),
            ticks => Ok(ticks),
        };
        let init_limit_ticks = limit("initLimit")?;
        let sync_limit_ticks = limit("syncLimit")?;
        let server_id = server_id.ok_or_else(|| ConfigError::Missing {
            key: "myid",
            origin: origin.clone(),
            reason: format!(
                "an ensemble needs the file {} with the number of this server",
                server.storage.data_dir.join("myid").display()
            ),
        })?;
        let role = members.servers.get(&server_id).map_or(Role::Participant, |member| member.role);
        if self.text("peerType").and_then(Role::parse) != Some(role) && self.by_name.contains_key("peerType")
        {
            let text = "peerType differs from this server's own line; the line counts";
            self.say(Level::Warn, &self.origin("peerType"), text);
        }
        Ok(Some(EnsembleConfig { members, server_id, role, init_limit_ticks, sync_limit_ticks, origin }))
    }

    /// Two of the switches of SASL between servers need others.
    fn check_peer_sasl(&self) -> Result<(), ConfigError> {
        let (enable, learner, leader) =
            ("quorum.auth.enableSasl", "quorum.auth.learnerRequireSasl", "quorum.auth.serverRequireSasl");
        for (needing, needed) in [(leader, enable), (learner, enable), (leader, learner)] {
            if self.flag(needing) && !self.flag(needed) {
                let problem = format!("{needing}=true needs {needed}=true");
                return Err(ConfigError::Conflict { origin: self.origin(needing), problem });
            }
        }
        Ok(())
    }
}

/// Whether an address from `clientPort` is the same as that of a member line; a wildcard goes with any host.
fn same_client_address(fixed: &HostPort, line: &HostPort) -> bool {
    let any = fixed.socket_addr().is_some_and(|address| address.ip().is_unspecified());
    // Names may stand for the same address; only addresses can be told apart here.
    let both_literal = fixed.socket_addr().is_some() && line.socket_addr().is_some();
    fixed.port == line.port && (any || fixed.host == line.host || !both_literal)
}

/// The number in `<dataDir>/myid`; `None` when there is no such file.
fn read_my_id(data_dir: &Path) -> Result<Option<i64>, ConfigError> {
    let path = data_dir.join("myid");
    if !path.is_file() {
        return Ok(None);
    }
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(ConfigError::Read { path, source }),
    };
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    match line.parse() {
        Ok(id) => Ok(Some(id)),
        Err(_) => Err(ConfigError::MyId { path, text: line.chars().take(40).collect() }),
    }
}

#[cfg(test)]
mod tests;
