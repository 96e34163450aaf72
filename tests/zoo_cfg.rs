//! Sample configurations in the styles found in the wild, read by Quoll and by Apache ZooKeeper 3.9.5.
//!
//! `tests/golden/zoo-cfg/expected.json` is what the parser of 3.9.5 made of each file: its fields, or its error.
//! `@DATADIR@` stands for a directory with a `myid` of 1, `@DYN@` for the `.dynamic` file beside the sample.

use std::fs;
use std::path::{Path, PathBuf};

use quoll::config::cli::{self, Invocation};
use quoll::config::members::Role;
use quoll::config::resolve::{self, Settings, Start};
use quoll::config::{ConfigError, Level};
use serde_json::Value;

/// Standalone servers: every field counts.
const STANDALONE: [&str; 6] = [
    "continuation-escapes.cfg",
    "dup-keys.cfg",
    "one-server.cfg",
    "ops-extras.cfg",
    "sample-dist.cfg",
    "standalone-min.cfg",
];

/// Ensembles only: their member lines must be understood, and starting one is refused as not there yet.
const ENSEMBLE: [&str; 8] = [
    "docker-style.cfg",
    "dynamic.cfg",
    "groups-weights.cfg",
    "observers.cfg",
    "sasl.cfg",
    "static-ensemble.cfg",
    "tls.cfg",
    "two-servers.cfg",
];

/// Refused by upstream, with what our message must say. All but the first six concern ensembles.
const REFUSED: [(&str, &str); 13] = [
    ("bools.cfg", "bools.cfg:7: `quorumListenOnAllIPs=yes` is not usable: expected true or false"),
    (
        "env-literal.cfg",
        "env-literal.cfg:2: `clientPort=${ZK_CLIENT_PORT}` is not usable: expected a whole number",
    ),
    ("err-empty.cfg", "err-empty.cfg: `dataDir` is not set"),
    ("err-no-datadir.cfg", "err-no-datadir.cfg: `dataDir` is not set"),
    (
        "err-ticktime.cfg",
        "err-ticktime.cfg:3: `tickTime=abc` is not usable: expected a whole number, at least 1",
    ),
    ("err-timeouts.cfg", "minSessionTimeout (9000 ms) must not be larger than maxSessionTimeout (8000 ms)"),
    (
        "err-group-member.cfg",
        "err-group-member.cfg:9: `group.2=2:3` is not usable: server 2 is in more than one group",
    ),
    ("err-no-initlimit.cfg", "err-no-initlimit.cfg: `initLimit` is not set"),
    (
        "err-peertype.cfg",
        "err-peertype.cfg:3: `peerType=voter` is not usable: expected one of: participant, observer",
    ),
    (
        "err-server-spec.cfg",
        "err-server-spec.cfg:5: `server.1=a` is not usable: expected host:quorumPort:electionPort",
    ),
    ("err-standalone-disabled.cfg", "standaloneEnabled=false needs at least one server.N line"),
    (
        "ipv6-multi.cfg",
        "ipv6-multi.cfg:7: `server.1=[::1]:2888:3888|127.0.0.1:2889:3889` is not usable: several addresses",
    ),
    (
        "odd-spacing-crlf.cfg",
        "odd-spacing-crlf.cfg:8: `server.1=127.0.0.1:2888:3888 ` is not usable: `3888 ` is not a port",
    ),
];

/// A sample in a directory of its own.
struct Sample {
    expected: Value,
    path: PathBuf,
    data_dir: PathBuf,
    _dir: tempfile::TempDir,
}

impl Sample {
    fn read(&self) -> Result<Settings, ConfigError> {
        resolve::read(&Start::File(self.path.clone()), &[])
    }

    fn load(&self) -> Result<cli::Loaded, ConfigError> {
        let args = vec![self.path.to_str().unwrap().to_owned()];
        cli::load(&Invocation { args, ..Invocation::default() })
    }

    fn text(&self, field: &str) -> String {
        let text = self.expected[field].as_str().unwrap_or_else(|| panic!("{field} in {}", self.expected));
        text.replace("@DATADIR@", self.data_dir.to_str().unwrap())
    }

    fn number(&self, field: &str) -> i64 {
        self.expected[field].as_i64().unwrap_or_else(|| panic!("{field} in {}", self.expected))
    }
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/zoo-cfg")
}

fn samples() -> Vec<Sample> {
    let expected: Vec<Value> =
        serde_json::from_slice(&fs::read(golden().join("expected.json")).unwrap()).unwrap();
    expected.into_iter().map(sample).collect()
}

fn sample(expected: Value) -> Sample {
    let name = expected["file"].as_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    fs::create_dir(&data_dir).unwrap();
    fs::write(data_dir.join("myid"), "1\n").unwrap();
    let dynamic = dir.path().join(format!("{name}.dynamic"));
    for (name, path) in
        [(name.to_owned(), dir.path().join(name)), (format!("{name}.dynamic"), dynamic.clone())]
    {
        if let Ok(text) = fs::read_to_string(golden().join(name)) {
            let text = text.replace("@DATADIR@", data_dir.to_str().unwrap());
            fs::write(path, text.replace("@DYN@", dynamic.to_str().unwrap())).unwrap();
        }
    }
    Sample { path: dir.path().join(name), expected, data_dir, _dir: dir }
}

fn named(name: &str) -> Sample {
    samples().into_iter().find(|sample| sample.expected["file"] == name).unwrap()
}

#[test]
fn every_recorded_sample_is_in_exactly_one_list() {
    let mut listed: Vec<_> = STANDALONE.iter().chain(&ENSEMBLE).copied().collect();
    listed.extend(REFUSED.map(|(name, _)| name));
    listed.sort_unstable();
    let samples = samples();
    let recorded: Vec<_> = samples.iter().map(|sample| sample.expected["file"].as_str().unwrap()).collect();
    assert_eq!(listed, recorded);
}

#[test]
fn a_sample_of_a_standalone_server_means_what_it_means_to_upstream() {
    for name in STANDALONE {
        let sample = named(name);
        assert_eq!(sample.expected["distributed"], false, "{name}");
        let config = sample.load().unwrap_or_else(|error| panic!("{name}: {error}")).config;
        assert_settings(&sample, &sample.read().unwrap());
        assert_eq!(config, sample.read().unwrap().server, "{name}");
    }
}

#[test]
fn a_sample_of_an_ensemble_means_what_it_means_to_upstream() {
    for name in ENSEMBLE {
        let sample = named(name);
        assert_eq!(sample.expected["distributed"], true, "{name}");
        let settings = sample.read().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_settings(&sample, &settings);
        let ensemble = settings.ensemble.unwrap();
        assert_eq!(ensemble.server_id.0, sample.number("serverId"), "{name}");
        assert_eq!(i64::from(ensemble.init_limit_ticks), sample.number("initLimit"), "{name}");
        assert_eq!(i64::from(ensemble.sync_limit_ticks), sample.number("syncLimit"), "{name}");
        let role = match ensemble.role {
            Role::Participant => "PARTICIPANT",
            Role::Observer => "OBSERVER",
        };
        assert_eq!(role, sample.text("peerType"), "{name}");
        assert_eq!(ensemble.members.to_string(), sample.text("config"), "{name}");
        assert_eq!(ensemble.members.hierarchy.is_some(), sample.text("verifier") == "QuorumHierarchical");
        let voters: Vec<_> = ensemble.members.voters().map(|id| id.0).collect();
        let observers: Vec<_> = ensemble.members.observers().map(|id| id.0).collect();
        assert_eq!(format!("{voters:?}"), sample.text("voters"), "{name}");
        assert_eq!(format!("{observers:?}"), sample.text("observers"), "{name}");

        match (sample.load(), ensemble.protection) {
            (Ok(loaded), None) => assert_eq!(loaded.ensemble, Some(ensemble), "{name}"),
            (Err(ConfigError::Conflict { problem, .. }), Some(key)) => {
                assert!(problem.contains("does not run such a member without it"), "{name} {key}: {problem}");
            }
            (other, protection) => panic!("{name}: {other:?} with {protection:?}"),
        }
    }
}

#[test]
fn a_sample_that_upstream_refuses_is_refused_with_place_and_reason() {
    for (name, part) in REFUSED {
        let sample = named(name);
        assert_eq!(sample.expected["result"], "error", "{name}");
        let error = sample.load().unwrap_err();
        assert!(error.to_string().contains(part), "{name}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
}

/// Compares what upstream records of a file with what we read.
fn assert_settings(sample: &Sample, settings: &Settings) {
    let (name, config) = (sample.text("file"), &settings.server);
    let address = sample.expected["clientPortAddress"].as_str().unwrap();
    // Java prints `name/address:port`.
    let address = address.split_once('/').map(|(_, address)| address.to_owned());
    assert_eq!(config.connection.client_address.as_ref().map(ToString::to_string), address, "{name}");
    assert_eq!(config.storage.data_dir.to_str().unwrap(), sample.text("dataDir"), "{name}");
    assert_eq!(config.storage.data_log_dir.to_str().unwrap(), sample.text("dataLogDir"), "{name}");
    let backlog = config.connection.listen_backlog.map_or(-1, i64::from);
    for (field, ours) in [
        ("tickTime", config.session.tick_time_ms.into()),
        ("minSessionTimeout", config.session.timeout_min_ms.into()),
        ("maxSessionTimeout", config.session.timeout_max_ms.into()),
        ("maxClientCnxns", config.connection.per_ip_max.into()),
        ("clientPortListenBacklog", backlog),
        ("snapRetainCount", config.storage.purge.retain_count.into()),
        ("purgeInterval", config.storage.purge.interval_hours.into()),
    ] {
        assert_eq!(ours, sample.number(field), "{field} of {name}");
    }
    assert_eq!(config.request.reconfig_enabled, sample.expected["reconfigEnabled"], "{name}");
    assert_eq!(config.config_file.as_deref(), Some(sample.path.as_path()));

    // `{zookeeper.a=x, zookeeper.b=y}`; a comma within a value is followed by no `zookeeper.`.
    let properties = sample.text("systemPropertiesSet");
    let properties = properties.trim_matches(['{', '}']).split(", zookeeper.");
    for property in properties {
        let Some((name, value)) = property.trim_start_matches("zookeeper.").split_once('=') else { continue };
        match name {
            "4lw.commands.whitelist" => assert_eq!(config.admin.words_whitelist.as_deref(), Some(value)),
            "snapCount" => assert_eq!(config.storage.snap_count.to_string(), value),
            "preAllocSize" => assert_eq!((config.storage.prealloc_size / 1024).to_string(), value),
            "forceSync" => assert_eq!(config.storage.force_sync, value != "no"),
            "extendedTypesEnabled" => assert_eq!(config.request.extended_types_enabled.to_string(), value),
            "globalOutstandingLimit" => assert_eq!(config.request.outstanding_max.to_string(), value),
            "snapshot.trust.empty" => assert_eq!(config.storage.trust_empty_snapshot.to_string(), value),
            _ => {}
        }
    }
}

#[test]
fn what_has_no_effect_yet_is_said_once_by_name_and_without_its_value() {
    let warnings = |name: &str| -> Vec<String> {
        let notices = named(name).read().unwrap().notices;
        notices.into_iter().filter(|n| n.level == Level::Warn).map(|n| n.text).collect()
    };
    let ops_extras = warnings("ops-extras.cfg");
    for key in ["admin.enableServer", "admin.serverPort", "audit.enable"] {
        let hits = ops_extras.iter().filter(|text| text.contains(&format!(": {key} has no effect"))).count();
        assert_eq!(hits, 1, "{key} in {ops_extras:?}");
    }
    assert!(ops_extras.iter().any(|text| text.contains("autopurge.snapRetainCount=2 counts as 3")));
    assert_eq!(ops_extras.len(), 4, "{ops_extras:?}");

    let tls = warnings("tls.cfg");
    assert!(tls.iter().any(|text| text.contains("ssl.keyStore.password has no effect")), "{tls:?}");
    assert!(!tls.iter().any(|text| text.contains("changeit")), "{tls:?}");
    assert_eq!(warnings("sample-dist.cfg"), Vec::<String>::new());
}
