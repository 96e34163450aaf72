use super::ensemble::version_of_file_name;
use super::*;
use crate::config::{DigestAlgorithm, HostPort};

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("zoo.cfg");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn flag(name: &str, value: &str) -> Flag {
    Flag { name: name.to_owned(), value: value.to_owned(), origin: Origin::CommandLine }
}

/// Reads a file that says where data and clients are, and these lines (from line 3 on).
fn with_flags(lines: &str, flags: &[Flag]) -> Result<Settings, ConfigError> {
    let (_dir, path) = file(&format!("dataDir=/nowhere/data\nclientPort=2181\n{lines}"));
    read(&Start::File(path), flags)
}

fn with(lines: &str) -> Result<Settings, ConfigError> {
    with_flags(lines, &[])
}

fn error(lines: &str) -> String {
    let text = with(lines).unwrap_err().to_string();
    // Without the temporary directory.
    text.split_once("zoo.cfg").map_or(text.clone(), |(_, rest)| format!("zoo.cfg{rest}"))
}

fn warnings(settings: &Settings) -> Vec<&str> {
    let loud = settings.notices.iter().filter(|notice| notice.level == Level::Warn);
    loud.map(|notice| notice.text.rsplit_once("zoo.cfg").map_or(notice.text.as_str(), |(_, rest)| rest))
        .collect()
}

#[test]
fn every_working_key_has_a_reader_and_every_reader_a_key() {
    let mut values = Values::default();
    values.put("dataDir", "/nowhere/data", Origin::CommandLine);
    values.put("clientPort", "2181", Origin::CommandLine);
    let mut server = values.server_config(None).unwrap();
    values.ensemble(&mut server, Members::default(), Origin::CommandLine).unwrap();
    let asked = values.asked.borrow();
    let unread: Vec<_> =
        table::keys().filter(|key| key.state == State::Works && !asked.contains(key.name)).collect();
    assert!(unread.is_empty(), "{unread:?}");
}

#[test]
fn defaults_are_upstreams() {
    let config = ServerConfig::default();
    assert_eq!(config.connection.client_address, Some(HostPort::any(2181)));
    assert_eq!(config.storage.data_dir, Path::new("./data"));
    assert_eq!(config.storage.data_log_dir, Path::new("./data"));
    assert_eq!(config.session.tick_time_ms, 2000);
    assert_eq!((config.session.timeout_min_ms, config.session.timeout_max_ms), (4000, 40_000));
    assert_eq!(config.connection.per_ip_max, 60);
    assert_eq!(config.storage.snap_count, 100_000);
    assert_eq!(config.storage.snap_size_limit, Some(4 << 30));
    assert_eq!(config.storage.txn_log_size_limit, None);
    assert_eq!(config.storage.prealloc_size, 64 << 20);
    assert!(config.storage.force_sync);
    assert_eq!(config.request.packet_size_max, 0xfffff);
    assert_eq!(config.request.record_extra_size, 0xfffff);
    assert_eq!(config.request.large_request_threshold, None);
    assert_eq!(config.connection.throttle.freeze_time_ms, None);
    assert_eq!(config.auth.digest_algorithm, DigestAlgorithm::Sha1);
    assert_eq!(config.admin.words_whitelist, None);
    // In a file the tick of upstream's code, not that of its sample file, is the default.
    assert_eq!(with("").unwrap().server.session.tick_time_ms, 3000);
}

#[test]
fn the_file_beats_a_property_of_the_same_name() {
    let flags = [flag("zookeeper.snapCount", "7"), flag("zookeeper.maxCnxns", "8")];
    let config = with_flags("snapCount=9\n", &flags).unwrap().server;
    assert_eq!(config.storage.snap_count, 9);
    assert_eq!(config.connection.total_max, 8);
}

#[test]
fn the_last_of_two_equal_keys_counts_and_both_lines_are_named() {
    let settings = with("snapCount=5\nsnapCount=6\n").unwrap();
    assert_eq!(settings.server.storage.snap_count, 6);
    assert_eq!(warnings(&settings), [":4: snapCount was set on line 3 already; this one counts"]);
}

#[test]
fn a_property_without_prefix_counts_where_upstream_has_both_and_loses() {
    let ms = |flags: &[Flag]| with_flags("", flags).unwrap().server.storage.fsync_warning_threshold_ms;
    assert_eq!(ms(&[flag("fsync.warningthresholdms", "5")]), 5);
    let both = [flag("zookeeper.fsync.warningthresholdms", "6"), flag("fsync.warningthresholdms", "5")];
    assert_eq!(ms(&both), 6);
}

#[test]
fn settings_in_the_wrong_place_have_no_effect_and_are_told_the_right_one() {
    let settings = with_flags(
        "jute.maxbuffer=5\nzookeeper.snapCount=5\nsnapcount=5\n",
        &[
            flag("zookeeper.tickTime", "5"),
            flag("zookeeper.jute.maxbuffer", "5"),
            flag("snapCount", "5"),
            flag("jute.maxbuffer", "6"),
        ],
    )
    .unwrap();
    assert_eq!(settings.server.request.packet_size_max, 6);
    assert_eq!(settings.server.storage.snap_count, 100_000);
    assert_eq!(settings.server.session.tick_time_ms, 3000);
    assert_eq!(
        warnings(&settings),
        [
            "command line: -Dzookeeper.tickTime has no effect: tickTime is read from zoo.cfg only, as upstream"
                .rsplit_once("zoo.cfg")
                .unwrap()
                .1,
            "command line: -Dzookeeper.jute.maxbuffer has no effect; write -Djute.maxbuffer",
            "command line: -DsnapCount has no effect; write -Dzookeeper.snapCount",
            ":3: jute.maxbuffer has no effect in a file, as upstream; write -Djute.maxbuffer as an argument",
            ":4: zookeeper.snapCount has no effect in a file, as upstream; write snapCount",
            ":5: snapcount is not a setting; did you mean snapCount?",
        ]
    );
}

#[test]
fn unknown_keys_are_mentioned_and_nothing_more() {
    let settings = with("something.unknown=secret\n").unwrap();
    assert_eq!(warnings(&settings), Vec::<&str>::new());
    let info: Vec<_> = settings.notices.iter().filter(|notice| notice.level == Level::Info).collect();
    assert_eq!(info.len(), 1);
    assert!(info[0].text.ends_with("kept as property zookeeper.something.unknown, unread"));
}

#[test]
fn a_bad_value_says_where_what_and_what_is_allowed() {
    for (lines, text) in [
        (
            "tickTime=0",
            "zoo.cfg:3: `tickTime=0` is not usable: expected a whole number, at least 1, in milliseconds",
        ),
        (
            "\nclientPort=65536",
            "zoo.cfg:4: `clientPort=65536` is not usable: expected a whole number from 0 to 65535",
        ),
        ("syncEnabled=1", "zoo.cfg:3: `syncEnabled=1` is not usable: expected true or false"),
        ("snapCount=1e5", "zoo.cfg:3: `snapCount=1e5` is not usable: expected a whole number"),
        ("maxClientCnxns=", "zoo.cfg:3: `maxClientCnxns=` is not usable: expected a whole number"),
        ("electionAlg=1", "zoo.cfg:3: `electionAlg=1` is not usable: expected only 3"),
        (
            "snapshot.compression.method=zip",
            "zoo.cfg:3: `snapshot.compression.method=zip` is not usable: expected one of: nothing, gz, snappy",
        ),
        (
            "connection_throttle_drop_increase=2",
            "zoo.cfg:3: `connection_throttle_drop_increase=2` is not usable: expected a number from 0 to 1",
        ),
        (
            "tickTime=1000\nmaxSessionTimeout=1500",
            "zoo.cfg:4: minSessionTimeout (2000 ms) must not be larger than maxSessionTimeout (1500 ms); unset they \
             are 2 and 20 times tickTime (1000 ms)",
        ),
        ("dataDir=", "zoo.cfg:3: `dataDir=` is not usable: expected a path"),
        (
            "secureClientPortAddress=::1",
            "zoo.cfg:3: `secureClientPort` is not set: secureClientPortAddress=::1 is, and an address needs its port",
        ),
        ("a=\\u12", "zoo.cfg: line 3: `\\u` must be followed by four hexadecimal digits"),
        (
            "quorum.auth.learnerRequireSasl=true",
            "zoo.cfg:3: quorum.auth.learnerRequireSasl=true needs quorum.auth.enableSasl=true",
        ),
        (
            "enforce.auth.enabled=true",
            "zoo.cfg:3: `enforce.auth.schemes` is not set: enforce.auth.enabled=true needs to know which schemes count",
        ),
    ] {
        assert_eq!(error(lines), text, "{lines}");
    }
}

#[test]
fn a_client_address_without_a_port_is_refused() {
    let (_dir, path) = file("dataDir=d\nclientPortAddress=::1\n");
    let error = read(&Start::File(path), &[]).unwrap_err().to_string();
    assert!(error.ends_with(
        "zoo.cfg:2: `clientPort` is not set: clientPortAddress=::1 is, and an address needs its port"
    ));
}

#[test]
fn ipv6_addresses_are_understood_with_and_without_brackets() {
    for text in ["::1", "[::1]"] {
        let address =
            with(&format!("clientPortAddress={text}\n")).unwrap().server.connection.client_address.unwrap();
        assert_eq!(address.to_string(), "[::1]:2181");
        assert_eq!(address.socket_addr(), Some("[::1]:2181".parse().unwrap()));
    }
    let named = with("clientPortAddress=localhost\n").unwrap().server.connection.client_address.unwrap();
    assert_eq!((named.to_string().as_str(), named.socket_addr()), ("localhost:2181", None));
}

#[test]
fn flags_of_properties_are_lenient_as_upstream_but_surprises_are_mentioned() {
    let settings = with("enforceQuota=yes\nforceSync=false\nskipACL=true\ndb.autocreate=TRUE\n").unwrap();
    assert!(!settings.server.request.enforce_quota);
    assert!(settings.server.storage.force_sync);
    assert!(!settings.server.auth.skip_acl);
    assert!(settings.server.storage.create_empty_db);
    assert_eq!(
        warnings(&settings),
        [
            ":3: enforceQuota=yes: expected true or false; anything else counts as false",
            ":4: forceSync=false: expected yes or no; anything else counts as yes",
            ":5: skipACL=true: expected yes or no; anything else counts as no",
        ]
    );
}

#[test]
fn numbers_out_of_reach_are_moved_as_upstream_and_it_is_said() {
    let settings =
        with("snapCount=1\ncommitLogCount=1\nsnapshotSizeFactor=2\nautopurge.snapRetainCount=1\n").unwrap();
    assert_eq!(settings.server.storage.snap_count, 2);
    assert_eq!(settings.server.storage.commit_log_count, 500);
    assert_eq!(settings.server.storage.snapshot_size_factor, 0.33);
    assert_eq!(settings.server.storage.purge.retain_count, 3);
    assert_eq!(warnings(&settings).len(), 4);
}

#[test]
fn zero_and_less_switch_limits_off() {
    let config = with(
        "snapSizeLimitInKb=0\ntxnLogSizeLimitInKb=-1\npreAllocSize=-5\nmaxClientCnxns=-1\nmaxCnxns=-1\n\
         maxResponseCacheSize=-1\nlargeRequestThreshold=0\nautopurge.purgeInterval=-1\n",
    )
    .unwrap()
    .server;
    assert_eq!(config.storage.snap_size_limit, None);
    assert_eq!(config.storage.txn_log_size_limit, None);
    assert_eq!(config.storage.prealloc_size, 0);
    assert_eq!((config.connection.per_ip_max, config.connection.total_max), (0, 0));
    assert_eq!(config.request.response_cache_entries, 0);
    assert_eq!(config.request.large_request_threshold, None);
    assert_eq!(config.storage.purge.interval_hours, 0);
}

#[test]
fn huge_numbers_do_not_overflow() {
    let config = with("tickTime=2147483647\nsnapSizeLimitInKb=9223372036854775807\n").unwrap().server;
    assert_eq!(config.session.timeout_max_ms, i32::MAX as u32);
    assert_eq!(config.storage.snap_size_limit, Some(u64::MAX));
}

#[test]
fn connection_tokens_are_meant_for_new_sessions_when_weighed() {
    let lines = "connection_throttle_tokens=10\nconnection_throttle_fill_count=2\nconnection_throttle_weight_enabled=";
    let plain = with(&format!("{lines}false")).unwrap().server.connection.throttle;
    assert_eq!((plain.tokens, plain.fill_count), (10, 2));
    let weighed = with(&format!("{lines}true")).unwrap().server.connection.throttle;
    assert_eq!((weighed.tokens, weighed.fill_count), (30, 6));
    let odd =
        with("connection_throttle_local_session_weight=5\nconnection_throttle_renew_session_weight=0\n")
            .unwrap();
    let throttle = odd.server.connection.throttle;
    assert_eq!(
        (throttle.global_session_weight, throttle.local_session_weight, throttle.renew_session_weight),
        (5, 5, 5)
    );
}

#[test]
fn enforced_authentication_knows_its_schemes() {
    let schemes = |lines: &str| with(lines).map(|settings| settings.server.auth.enforced_schemes);
    assert_eq!(schemes("enforce.auth.schemes=digest").unwrap(), Vec::<String>::new());
    assert_eq!(
        schemes("enforce.auth.enabled=true\nenforce.auth.schemes=digest, ip").unwrap(),
        ["digest", "ip"]
    );
    assert!(
        error("enforce.auth.enabled=true\nenforce.auth.schemes=kerberos")
            .contains("demands the scheme `kerberos`")
    );
    assert!(error("sessionRequireClientSASLAuth=true").contains("demands the scheme `sasl`"));
    let provider = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n";
    let settings = with(&format!("{provider}sessionRequireClientSASLAuth=true")).unwrap();
    assert_eq!(settings.server.auth.enforced_schemes, ["sasl"]);
    assert!(settings.server.enforces_auth());
    assert!(warnings(&settings).iter().any(|text| text.contains("no client will be able to do anything")));
    assert!(
        error("DigestAuthenticationProvider.enabled=false\nenforce.auth.enabled=true\nenforce.auth.schemes=digest")
            .contains("demands the scheme `digest`")
    );
}

#[test]
fn an_admin_server_that_is_switched_off_is_not_missed() {
    let settings = with("admin.enableServer=false\nadmin.serverPort=1\n").unwrap();
    assert_eq!(warnings(&settings), Vec::<&str>::new());
    let settings = with("audit.enable=false\nmetricsProvider.httpPort=7000\n").unwrap();
    assert_eq!(warnings(&settings), Vec::<&str>::new());
}

/// A directory with `myid` 1 and a `zoo.cfg` of these lines.
fn member(lines: &str) -> Result<Settings, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("myid"), "1\n").unwrap();
    let path = dir.path().join("zoo.cfg");
    std::fs::write(&path, format!("dataDir={}\n{lines}", dir.path().display())).unwrap();
    read(&Start::File(path), &[])
}

#[test]
fn the_client_port_may_come_from_the_single_server_line() {
    // The official container image writes its standalone configuration so.
    let settings = member("standaloneEnabled=true\nserver.1=localhost:2888:3888;2181\n").unwrap();
    assert_eq!(settings.server.connection.client_address, Some(HostPort::any(2181)));
    assert!(settings.ensemble.is_none());
    let error = member("clientPort=2182\nserver.1=a:1:2;2181\n").unwrap_err().to_string();
    assert!(
        error.contains("0.0.0.0:2182 by clientPort and to 0.0.0.0:2181 by this server's own line"),
        "{error}"
    );
    assert!(member("clientPort=2181\nserver.1=a:1:2;127.0.0.1:2181\n").is_ok());
    assert!(member("clientPort=2181\nclientPortAddress=10.0.0.1\nserver.1=a:1:2;127.0.0.1:2181\n").is_err());
}

#[test]
fn an_ensemble_of_one_is_an_ensemble_when_asked_for() {
    let lines = "initLimit=5\nsyncLimit=2\nserver.1=a:1:2\nclientPort=1\n";
    assert!(member(lines).unwrap().ensemble.is_none());
    assert!(member(&format!("{lines}standaloneEnabled=false\n")).unwrap().ensemble.is_some());
}

#[test]
fn observers_without_enough_voters_are_refused() {
    assert!(member("server.2=a:1:2:observer").unwrap_err().to_string().contains("no server that votes"));
    let error = member("server.1=a:1:2\nserver.2=b:1:2:observer").unwrap_err().to_string();
    assert!(error.contains("a standalone server cannot have observers"), "{error}");
}

#[test]
fn member_lines_beside_a_dynamic_file_are_refused() {
    let error = member("dynamicConfigFile=/nowhere/x\nserver.1=a:1:2").unwrap_err().to_string();
    assert!(error.contains("`server.1` must stand in the dynamicConfigFile"), "{error}");
    let error = member("dynamicConfigFile=/nowhere/x\n").unwrap_err().to_string();
    assert!(error.contains("/nowhere/x: cannot read this configuration file"), "{error}");
}

#[test]
fn the_version_of_a_dynamic_file_is_in_its_name() {
    for (name, version) in
        [("zoo.cfg.dynamic", 0), ("zoo.cfg.dynamic.1001", 0x1001), ("zoo", 0), ("x.y.zz", 0)]
    {
        assert_eq!(version_of_file_name(Path::new(name)), version, "{name}");
    }
}

#[test]
fn several_addresses_need_the_property_not_the_key() {
    let lines = "initLimit=5\nsyncLimit=2\nserver.1=a:1:2|b:1:2\nserver.2=c:1:2\nclientPort=1\nmultiAddress.enabled=true\n";
    assert!(member(lines).unwrap_err().to_string().contains("-Dzookeeper.multiAddress.enabled=true"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("myid"), "2").unwrap();
    let path = dir.path().join("zoo.cfg");
    std::fs::write(&path, format!("dataDir={}\n{lines}", dir.path().display())).unwrap();
    let settings = read(&Start::File(path), &[flag("zookeeper.multiAddress.enabled", "true")]).unwrap();
    assert_eq!(settings.ensemble.unwrap().members.servers[&ServerId(1)].addresses.len(), 2);
}

#[test]
fn a_myid_that_is_no_number_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("myid"), "one\n").unwrap();
    let path = dir.path().join("zoo.cfg");
    std::fs::write(&path, format!("dataDir={}\nclientPort=1\n", dir.path().display())).unwrap();
    let error = read(&Start::File(path), &[]).unwrap_err().to_string();
    assert!(error.ends_with("myid: the first line is `one`, expected the number of this server"), "{error}");
}

#[test]
fn hostile_files_never_panic() {
    use proptest::prelude::*;
    let (_dir, path) = file("");
    let names: Vec<_> = table::keys().map(|key| key.name.replace('*', "1")).collect();
    let line =
        (prop::sample::select(names), "[-0-9a-z.:;|,= \\\\]{0,24}|-?[0-9]{1,22}|true|false|yes|\\PC{0,8}");
    proptest!(ProptestConfig::with_cases(400), |(lines in prop::collection::vec(line, 0..8))| {
        let text: String = lines.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        std::fs::write(&path, format!("dataDir=/nowhere/data\n{text}")).unwrap();
        if let Err(error) = read(&Start::File(path.clone()), &[]) {
            prop_assert!(!error.to_string().is_empty());
        }
    });
}

/// A server whose dynamic file has version 0x100000005 and which has this in `.dynamic.next`, as it understands that.
fn to_come(next: &str, reconfig_enabled: bool, dynamic: bool) -> Result<Option<Members>, ConfigError> {
    const MEMBERS: &str = "server.1=a:1:2;3\nserver.2=b:1:2;3\nserver.3=c:1:2;3\n";
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("myid"), "1\n").unwrap();
    std::fs::write(at("zoo.cfg.dynamic.100000005"), MEMBERS).unwrap();
    let members = match dynamic {
        true => format!("dynamicConfigFile={}\n", at("zoo.cfg.dynamic.100000005").display()),
        false => MEMBERS.to_owned(),
    };
    let text = format!(
        "dataDir={}\ninitLimit=5\nsyncLimit=2\nreconfigEnabled={reconfig_enabled}\n{members}",
        dir.path().display()
    );
    std::fs::write(at("zoo.cfg"), text).unwrap();
    std::fs::write(at("zoo.cfg.dynamic.next"), next).unwrap();
    Ok(read(&Start::File(at("zoo.cfg")), &[])?.ensemble.expect("an ensemble").next)
}

#[test]
fn a_configuration_that_was_proposed_before_the_end_counts_if_it_is_newer_than_the_active_one() {
    let two = "server.1=a:1:2;3\nserver.2=b:1:2;3\n";
    let next = to_come(&format!("{two}version=100000009"), true, true).unwrap().unwrap();
    assert_eq!((next.version, next.voters().count()), (0x1_0000_0009, 2));
    // That of an older epoch with a greater counter is older.
    for version in ["100000005", "100000004", "f0000000", "0"] {
        assert_eq!(to_come(&format!("{two}version={version}"), true, true).unwrap(), None, "{version}");
    }
    // Without a version it is version 0, as upstream.
    assert_eq!(to_come(two, true, true).unwrap(), None);
    // Nothing was ever proposed to who has its members in the static file, or must not be reconfigured.
    for (reconfig_enabled, dynamic) in [(false, true), (true, false)] {
        assert_eq!(to_come(&format!("{two}version=100000009"), reconfig_enabled, dynamic).unwrap(), None);
    }
    let error = to_come("server.1=nonsense", true, true).unwrap_err().to_string();
    assert!(error.contains("zoo.cfg.dynamic.next"), "{error}");
}
