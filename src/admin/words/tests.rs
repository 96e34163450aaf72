//! Answers compared with those recorded from 3.9.5 servers (`tests/golden/4lw/<role>/<word>.txt`). Only what must
//! differ is masked: the version, and the values of `envi`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::gtmk::TraceMask;
use super::*;
use crate::admin::metrics::{Counter, Distribution, KeyedCounter, KeyedSummary, Metrics, Summary, gauges};
use crate::admin::version::full_version;
use crate::admin::view::{
    ConnectionView, EnsembleView, ExpiryBucket, LatencyStats, Mode, SessionsView, SettingsView,
    WatchesSummary,
};
use crate::types::{SessionId, Zxid};

/// The version of the recorded servers.
const RECORDED_VERSION: &str =
    "3.9.5-293c895a8d966a3ecb92872be4a1daf87d725da2, built on 2026-02-11 20:18 UTC";

fn golden(role: &str, word: &str) -> String {
    let path = format!("{}/tests/golden/4lw/{role}/{word}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.replace(RECORDED_VERSION, &full_version())
}

fn text(command: Command, view: &ServerView) -> String {
    answer(command, view, None).unwrap().text
}

fn assert_recorded(role: &str, command: Command, view: &ServerView) {
    assert_eq!(text(command, view), golden(role, command.name()), "{} of {role}", command.name());
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A connection that only asked a word.
fn asking(port: u16) -> ConnectionView {
    ConnectionView {
        remote: local(port),
        interest_ops: 0,
        queued: 0,
        received: 1,
        sent: 0,
        session: SessionId::NONE,
        last_op: "NA",
        established_ms: 0,
        timeout_ms: 0,
        last_cxid: -1,
        last_zxid: Zxid(0),
        last_response_ms: 0,
        last_latency_ms: 0,
        min_latency_ms: 0,
        avg_latency_ms: 0,
        max_latency_ms: 0,
    }
}

const SESSIONS: [SessionId; 4] = [
    SessionId(0x100003949ff0000),
    SessionId(0x100003949ff0001),
    SessionId(0x100003949ff0002),
    SessionId(0x100003949ff0003),
];

/// Buckets at these seconds behind a time.
fn buckets<T: Clone>(start_s: i64, members: &[(i64, &[T])]) -> Vec<ExpiryBucket<T>> {
    members
        .iter()
        .map(|(seconds, members)| ExpiryBucket {
            expires_ms: (start_s + seconds) * 1000,
            members: members.to_vec(),
        })
        .collect()
}

fn paths(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// The recorded standalone server.
fn standalone() -> ServerView {
    let [a, b, c, d] = SESSIONS;
    // Mon Nov 23 08:03:22 UTC 2026
    let start_s = 1_795_421_002;
    ServerView {
        running: true,
        packets_received: 1,
        packets_sent: 1,
        connections_alive: 4,
        last_zxid: Zxid(0x66),
        node_count: 47,
        data_dir_bytes: 33262,
        log_dir_bytes: 33262,
        settings: SettingsView {
            client_port: 26500,
            secure_client_port: -1,
            data_dir: "@DIR@/adm/data/version-2".to_owned(),
            data_log_dir: "@DIR@/adm/data/version-2".to_owned(),
            tick_time_ms: 2000,
            max_client_connections: 60,
            timeout_min_ms: 4000,
            timeout_max_ms: 40_000,
            listen_backlog: -1,
            server_id: 0,
            ensemble: None,
        },
        sessions: SessionsView::Owner {
            global: buckets(
                start_s,
                &[(0, &[]), (2, &[]), (4, &[c]), (8, &[d]), (10, &[]), (12, &[a]), (18, &[]), (22, &[b])],
            ),
            local: None,
        },
        ephemerals: vec![
            (c, paths(&["/adm/e2"])),
            (
                d,
                paths(&[
                    "/eph92/members/s0-0",
                    "/eph92/members/s0-1",
                    "/eph92/locks/lock-0000000000",
                    "/eph92/locks/lock-0000000001",
                    "/eph92/locks/lock-0000000002",
                    "/eph92/members/s0-2",
                ]),
            ),
            (a, paths(&["/adm/e0"])),
            (b, paths(&["/adm/e1"])),
        ],
        connection_expiry: buckets(
            start_s,
            &[
                (0, &[]),
                (10, &[(local(38922), c), (local(48096), SessionId::NONE)]),
                (20, &[(local(38904), a)]),
                (30, &[(local(38914), b)]),
            ],
        ),
        watches_summary: WatchesSummary { connections: 3, paths: 4, total: 6 },
        watches_by_session: vec![
            (c, paths(&["/adm/none2", "/adm"])),
            (b, paths(&["/adm/none1", "/adm"])),
            (a, paths(&["/adm/none0", "/adm"])),
        ],
        watches_by_path: vec![
            ("/adm/none0".to_owned(), vec![a]),
            ("/adm/none1".to_owned(), vec![b]),
            ("/adm/none2".to_owned(), vec![c]),
            ("/adm".to_owned(), vec![a, b, c]),
        ],
        ..ServerView::default()
    }
}

#[test]
fn a_standalone_server_answers_as_recorded() {
    let view = standalone();
    for command in [
        Command::Conf,
        Command::Crst,
        Command::Dirs,
        Command::Dump,
        Command::Gtmk,
        Command::Hash,
        Command::Isro,
        Command::Ruok,
        Command::Srst,
        Command::Srvr,
        Command::Wchc,
        Command::Wchp,
        Command::Wchs,
    ] {
        assert_recorded("standalone", command, &view);
    }
}

#[test]
fn cons_shows_every_number_of_a_connection_as_recorded() {
    let session = |port, session, last_op, numbers: [u64; 6], last_zxid, latencies: [u64; 4]| {
        let [packets, established, timeout_ms, cxid, last_response_ms, last_latency_ms] = numbers;
        let [min_latency_ms, avg_latency_ms, max_latency_ms, _] = latencies;
        ConnectionView {
            remote: local(port),
            interest_ops: 1,
            queued: 0,
            received: packets,
            sent: packets,
            session,
            last_op,
            established_ms: established as i64,
            timeout_ms: timeout_ms as u32,
            last_cxid: cxid as i64,
            last_zxid: Zxid(last_zxid),
            last_response_ms,
            last_latency_ms,
            min_latency_ms,
            avg_latency_ms,
            max_latency_ms,
        }
    };
    let connections = vec![
        session(38922, SESSIONS[2], "ADDW", [6, 1795420989720, 12000, 4, 3761971, 2], 0x4a, [0, 30, 147, 0]),
        session(38914, SESSIONS[1], "GETC", [5, 1795420989531, 30000, 4, 3761969, 2], 0x4a, [0, 7, 35, 0]),
        session(
            38904,
            SESSIONS[0],
            "EXIS",
            [72, 1795420989230, 20000, 0x47, 3761959, 0],
            0x48,
            [0, 38, 985, 0],
        ),
        asking(48082),
    ];
    assert_recorded("standalone", Command::Cons, &ServerView { connections, ..standalone() });
}

#[test]
fn stat_shows_connections_in_brief_as_recorded() {
    let brief = |port, session| ConnectionView { interest_ops: 1, received: 0, session, ..asking(port) };
    let connections =
        vec![brief(38922, SESSIONS[2]), asking(48178), brief(38914, SESSIONS[1]), brief(38904, SESSIONS[0])];
    let view = ServerView { connections, packets_received: 2, packets_sent: 2, ..standalone() };
    assert_recorded("standalone", Command::Stat, &view);
}

#[test]
fn a_connection_without_an_answered_request_shows_no_cxid() {
    let view = ServerView {
        connections: vec![ConnectionView { session: SessionId(-1), ..asking(1) }],
        ..standalone()
    };
    let text = text(Command::Cons, &view);
    assert!(text.contains(",sid=0xffffffffffffffff,lop=NA,est=0,to=0,lzxid=0x0,"), "{text}");
}

#[test]
fn envi_has_the_recorded_keys_in_the_recorded_order() {
    let machine = envi::Machine { os_arch: "x86_64".to_owned(), memory_free: 5 << 20, ..Default::default() };
    let view = ServerView { environment: machine.environment(), ..standalone() };
    let ours = text(Command::Envi, &view);
    let keys = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split('=').next().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&ours), keys(&golden("standalone", "envi")));
    assert!(ours.contains("\nos.arch=amd64\n") && ours.contains("\nos.memory.free=5MB\n"), "{ours}");
    assert!(ours.contains("\njava.version=<NA>\n"), "{ours}");
    assert!(ours.contains(&format!("\nzookeeper.version={}\n", full_version())), "{ours}");
}

#[test]
fn stmk_repeats_its_argument_and_is_nothing_without_one() {
    let view = standalone();
    let done = answer(Command::Stmk, &view, Some(306)).unwrap();
    assert_eq!(done.text, golden("standalone", "stmk"));
    assert_eq!(done.effect, Effect::SetTraceMask(306));
    assert_eq!(answer(Command::Stmk, &view, None), None);
    let view = ServerView { trace_mask: TraceMask(-7), ..view };
    assert_eq!(text(Command::Gtmk, &view), "-7");
}

#[test]
fn resets_say_what_is_to_be_reset() {
    let view = standalone();
    let effect = |command| answer(command, &view, None).unwrap().effect;
    assert_eq!(effect(Command::Srst), Effect::ResetServer);
    assert_eq!(effect(Command::Crst), Effect::ResetConnections);
    assert_eq!(effect(Command::Srvr), Effect::None);
}

/// Members of the recorded ensemble.
fn member(id: u16, observer: bool) -> SettingsView {
    let membership = "server.1=127.0.0.1:26511:26521:participant;127.0.0.1:26501\n\
                      server.2=127.0.0.1:26512:26522:participant;127.0.0.1:26502\n\
                      server.3=127.0.0.1:26513:26523:observer;127.0.0.1:26503\nversion=0";
    SettingsView {
        client_port: 26500 + i32::from(id),
        secure_client_port: -1,
        data_dir: format!("@DIR@/admens/data{id}/version-2"),
        data_log_dir: format!("@DIR@/admens/data{id}/version-2"),
        tick_time_ms: 1000,
        max_client_connections: 60,
        timeout_min_ms: 2000,
        timeout_max_ms: 20_000,
        listen_backlog: -1,
        server_id: id.into(),
        ensemble: Some(EnsembleView {
            init_limit: 10,
            sync_limit: 5,
            election_port: 26520 + id,
            quorum_port: 26510 + id,
            observer,
            membership: Some(membership.to_owned()),
        }),
    }
}

#[test]
fn members_of_an_ensemble_answer_as_recorded() {
    let own = |low: i64| SessionId(0x100002c42010000 + low);
    let other = |low: i64| SessionId(0x300002c43090000 + low);
    let learner = SessionsView::Learner {
        global: vec![
            (own(0), 20_000),
            (own(1), 20_000),
            (own(2), 12_000),
            (other(0), 20_000),
            (other(1), 20_000),
            (other(2), 12_000),
        ],
        local: None,
    };
    // Mon Nov 23 07:49:02 UTC 2026
    let start_s = 1_795_420_142;
    let leader = SessionsView::Owner {
        global: buckets(
            start_s,
            &[
                (4, &[own(2)]),
                (5, &[other(2)]),
                (11, &[]),
                (12, &[own(1), own(0)]),
                (13, &[other(1), other(0)]),
            ],
        ),
        local: None,
    };
    let none = SessionId::NONE;
    for (role, id, mode, sessions, expiry) in [
        ("ensemble-leader", 2, Mode::Leader, leader, buckets(start_s, &[(10, &[(local(48788), none)])])),
        (
            "ensemble-follower",
            1,
            Mode::Follower,
            learner.clone(),
            buckets(start_s, &[(0, &[]), (10, &[(local(53256), none)]), (20, &[])]),
        ),
        (
            "ensemble-observer",
            3,
            Mode::Observer,
            learner,
            buckets(start_s, &[(10, &[(local(46158), none)]), (20, &[])]),
        ),
    ] {
        let view = ServerView {
            running: true,
            mode,
            packets_received: 1,
            packets_sent: 1,
            connections_alive: 1,
            last_zxid: Zxid(0x1_0000_0094),
            node_count: 66,
            data_dir_bytes: 49831,
            log_dir_bytes: 49831,
            settings: member(id, mode == Mode::Observer),
            sessions,
            connection_expiry: expiry,
            ephemerals: vec![
                (own(1), paths(&["/adm/e1"])),
                (own(0), paths(&["/adm/e0"])),
                (own(2), paths(&["/adm/e2"])),
            ],
            digests: vec![(Zxid(0x1_0000_0080), 128_595_625_179)],
            ..ServerView::default()
        };
        for command in
            [Command::Conf, Command::Dump, Command::Hash, Command::Isro, Command::Srvr, Command::Wchs]
        {
            assert_recorded(role, command, &view);
        }
    }
}

/// The recorded read-only server.
fn read_only() -> ServerView {
    let session = SessionId(0x100002c6a450000);
    // Mon Nov 23 07:49:12 UTC 2026
    let start_s = 1_795_420_152;
    ServerView {
        running: true,
        mode: Mode::ReadOnly,
        packets_received: 1,
        packets_sent: 1,
        connections_alive: 2,
        node_count: 5,
        data_dir_bytes: 666,
        log_dir_bytes: 666,
        settings: SettingsView {
            client_port: 26501,
            data_dir: "@DIR@/admro/data/version-2".to_owned(),
            data_log_dir: "@DIR@/admro/data/version-2".to_owned(),
            ensemble: Some(EnsembleView {
                init_limit: 5,
                sync_limit: 2,
                election_port: 26536,
                quorum_port: 26531,
                observer: false,
                membership: None,
            }),
            ..member(1, false)
        },
        sessions: SessionsView::Learner {
            global: vec![],
            local: Some(buckets(start_s, &[(11, &[session])])),
        },
        connection_expiry: buckets(
            start_s,
            &[(0, &[]), (10, &[(local(53976), SessionId::NONE)]), (20, &[(local(53944), session)])],
        ),
        ..ServerView::default()
    }
}

#[test]
fn a_read_only_server_answers_as_recorded() {
    let view = read_only();
    for command in [
        Command::Conf,
        Command::Crst,
        Command::Dirs,
        Command::Dump,
        Command::Gtmk,
        Command::Hash,
        Command::Isro,
        Command::Ruok,
        Command::Srst,
        Command::Srvr,
        Command::Wchc,
        Command::Wchp,
        Command::Wchs,
    ] {
        assert_recorded("readonly", command, &view);
    }
}

#[test]
fn a_server_that_serves_nobody_answers_as_recorded() {
    let machine = envi::Machine::default();
    let view = ServerView { running: false, environment: machine.environment(), ..standalone() };
    for command in [
        Command::Conf,
        Command::Cons,
        Command::Crst,
        Command::Dump,
        Command::Isro,
        Command::Mntr,
        Command::Ruok,
        Command::Srvr,
        Command::Stat,
        Command::Wchs,
    ] {
        assert_recorded("looking", command, &view);
    }
    for command in [Command::Isro, Command::Mntr, Command::Ruok, Command::Srvr, Command::Stat] {
        assert_recorded("not-serving", command, &view);
    }
    assert!(text(Command::Envi, &view).starts_with("Environment:\nzookeeper.version=3.9.5-"));
    assert_eq!(text(Command::Gtmk, &view), "306");
    assert_eq!(text(Command::Hash, &view), NOT_SERVING, "upstream forgets the end of this line");
    assert_eq!(answer(Command::Srst, &view, None).unwrap().effect, Effect::None, "nothing is reset then");
}

#[test]
fn words_that_are_not_allowed_are_refused_as_recorded() {
    let whitelist = Whitelist::new(None, false);
    let mut refused = 0;
    for command in Command::ALL.into_iter().filter(|command| !whitelist.allows(*command)) {
        if command != Command::TelnetClose {
            assert_eq!(Whitelist::refusal(command), golden("restricted-whitelist", command.name()));
            refused += 1;
        }
    }
    assert_eq!(refused, 17);
}

#[test]
fn only_words_are_words() {
    for command in Command::ALL {
        if command != Command::TelnetClose {
            let bytes = command.name().as_bytes().try_into().unwrap();
            assert_eq!(Command::from_bytes(bytes), Some(command));
        }
    }
    assert_eq!(Command::from_bytes([0xff, 0xf4, 0xff, 0xfd]), Some(Command::TelnetClose));
    assert_eq!(answer(Command::TelnetClose, &standalone(), None), None);
    // Recorded: these are no words, the connection is closed without an answer.
    for word in ["nope", "lsnp", "lead", "obsr"] {
        assert_eq!(Command::from_bytes(word.as_bytes().try_into().unwrap()), None);
        assert_eq!(golden("standalone", word), "");
    }
}

/// Names and kinds of values (a number with decimals or without).
fn shape(mntr: &str) -> BTreeMap<&str, bool> {
    let shape: BTreeMap<_, _> = mntr
        .lines()
        .map(|line| line.split_once('\t').unwrap_or_else(|| panic!("{line}")))
        .map(|(name, value)| (name, value.contains('.')))
        .collect();
    assert_eq!(shape.len(), mntr.lines().count(), "a name is printed twice");
    shape
}

#[test]
fn mntr_has_exactly_the_recorded_names_and_kinds_of_numbers() {
    let metrics = Metrics::new(1);
    metrics.shard(0).record_keyed(
        KeyedSummary::WritePerNamespace,
        "zookeeper",
        crate::types::Totals::one(203),
    );
    let view = ServerView {
        open_files: Some(55),
        open_files_max: Some(20_000),
        latency: LatencyStats { min_ms: 5, avg_ms: 5.0, max_ms: 5 },
        metrics: metrics.view(),
        ..read_only()
    };
    let ours = text(Command::Mntr, &view);
    let recorded = golden("readonly", "mntr");
    assert_eq!(shape(&ours), shape(&recorded));
    let line = |name: &str, text: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    for name in [
        "zk_version\t",
        "zk_server_state\t",
        "zk_avg_latency\t",
        "zk_last_client_response_size\t",
        "zk_max_file_descriptor_count\t",
        "zk_znode_count\t",
        "zk_connection_drop_probability\t",
        "zk_avg_zookeeper_write_per_namespace\t",
        "zk_sum_zookeeper_write_per_namespace\t",
    ] {
        assert_eq!(line(name, &ours), line(name, &recorded));
    }
}

/// The recorded standalone server used upstream's other provider, whose names tell counters, summaries and
/// summaries with percentiles apart, and which adds numbers of the Java platform.
#[test]
fn every_metric_of_a_recorded_standalone_server_is_in_the_table_with_its_kind() {
    let recorded = golden("standalone", "mntr");
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    for line in recorded.lines().skip(2) {
        let name = line.strip_prefix("zk_").unwrap().split('\t').next().unwrap();
        if name.starts_with("jvm_") && name != "jvm_pause_time_ms" && !name.starts_with("jvm_pause_time_ms{")
            || name.starts_with("process_")
            || name.ends_with("_count}")
            || name.contains("_per_namespace_")
        {
            continue;
        }
        match name.split_once("{quantile=") {
            Some((base, "\"0.99\"}")) => kinds.insert(base, "distribution"),
            Some((base, _)) => Some(*kinds.entry(base).or_insert("summary")),
            None if name.contains("{key=") => kinds.insert(name.split_once('{').unwrap().0, "keyed summary"),
            None => Some(*kinds.entry(name).or_insert("number")),
        };
    }
    // Count and sum of a summary.
    let bases: BTreeSet<_> =
        kinds.iter().filter(|(_, kind)| **kind != "number").map(|(name, _)| *name).collect();
    kinds.retain(|name, kind| {
        let base = name.strip_suffix("_count").or_else(|| name.strip_suffix("_sum"));
        *kind != "number" || base.is_none_or(|base| !bases.contains(base))
    });
    let mut ours: BTreeMap<&str, &str> = BTreeMap::new();
    ours.extend(gauges::GAUGES.iter().map(|gauge| (gauge.name, "number")));
    ours.extend(Counter::ALL.iter().map(|metric| (metric.name(), "number")));
    ours.extend(Summary::ALL.iter().map(|metric| (metric.name(), "summary")));
    ours.extend(Distribution::ALL.iter().map(|metric| (metric.name(), "distribution")));
    ours.extend(KeyedSummary::ALL.iter().map(|metric| (metric.name(), "keyed summary")));
    // Of an ensemble only.
    assert_eq!(ours.remove("learner_handler_qp_size"), Some("keyed summary"));
    assert_eq!(ours, kinds);
    assert_eq!(KeyedCounter::ALL.len(), 1, "recorded nowhere: no quota was exceeded");
}

#[test]
fn a_leader_tells_how_many_learners_are_in_step() {
    let learners = crate::admin::LearnersView {
        connected: 4,
        synced_followers: 2,
        synced_non_voting: 0,
        synced_observers: 1,
        pending: 1,
    };
    let leader = text(Command::Mntr, &ServerView { learners: Some(learners), ..standalone() });
    for line in [
        "zk_learners\t4\n",
        "zk_synced_followers\t2\n",
        "zk_synced_non_voting_followers\t0\n",
        "zk_synced_observers\t1\n",
        "zk_pending_syncs\t1\n",
    ] {
        assert!(leader.contains(line), "{line}");
    }
    assert!(!text(Command::Mntr, &standalone()).contains("zk_synced"), "nobody else does");
}

#[test]
fn gauges_of_quotas_carry_their_namespace_in_front() {
    let quota = crate::admin::view::QuotaView {
        namespace: "app".to_owned(),
        sums: crate::types::QuotaSums { limits: Some((10, -1)), usage: Some((3, 99)) },
    };
    let text = text(Command::Mntr, &ServerView { quotas: vec![quota], ..standalone() });
    for line in [
        "zk_app_quota_count_limit_per_namespace\t10\n",
        "zk_app_quota_bytes_limit_per_namespace\t-1\n",
        "zk_app_quota_count_usage_per_namespace\t3\n",
        "zk_app_quota_bytes_usage_per_namespace\t99\n",
    ] {
        assert!(text.contains(line), "{line}");
    }
    assert!(!text.contains("file_descriptor"), "what the system does not tell is left out");
}
