//! Which failure wins. Each row of a table is a request with one more thing wrong than the row below it has, so that
//! the code expected is that of the earliest check.

use super::*;
use ErrorCode::*;
use quoll_jute::client::ReconfigRequest;

const BAD_ACL: &[(&str, &str)] = &[("nosuch", "x")];
const OPEN: &[(&str, &str)] = &[("world", "anyone")];

fn acl<'a>(entries: &[(&'a str, &'a str)]) -> Vec<data::Acl<'a>> {
    entries.iter().map(|(scheme, id)| entry(31, scheme, id)).collect()
}

/// A world with znodes for every failure.
fn world() -> World {
    let mut w = World::new();
    w.make("/open");
    w.make("/open/there");
    w.make("/open/there/below");
    w.make_with("/eph", 31, 1);
    w.make_with("/closed", 31, 0);
    w.make_with("/closed/there", 31, 0);
    w.make_with("/closed/there/below", 31, 0);
    w.make_with("/closedEph", 0, 1);
    assert_eq!(w.write(OpCode::SetAcl, &set_acl("/closed/there", &[entry(0, "world", "anyone")], -1)).0, 0);
    assert_eq!(w.write(OpCode::SetAcl, &set_acl("/closed", &[entry(0, "world", "anyone")], -1)).0, 0);
    w
}

/// Runs requests against a fresh world each, with or without a session.
fn expect(op: OpCode, rows: Vec<(&str, bool, Bytes, Option<ErrorCode>)>) {
    for (what, session, body, code) in rows {
        let mut w = world();
        if !session {
            w.sessions.0.insert(ME, SessionExpired);
        }
        let zxid = w.zxid;
        let digest = w.tree.digest();
        let (err, out) = w.write(op, &body);
        assert_eq!(ErrorCode::from_code(err), code, "{op:?}: {what}");
        assert_eq!(w.zxid, zxid.next(), "{op:?}: {what}: failures take a zxid too");
        if code.is_some() {
            assert_eq!((out, w.tree.digest()), (vec![], digest), "{op:?}: {what}: nothing changes");
        }
    }
}

#[test]
fn create_fails_by_the_first_check_that_fails() {
    let row = |path, entries, flags| create_with(path, None, &acl(entries), flags);
    for op in [OpCode::Create, OpCode::Create2, OpCode::CreateContainer] {
        let mut rows = vec![
            ("flag", false, row("bad", BAD_ACL, 7), Some(BadArguments)),
            ("flag below the known", false, row("bad", BAD_ACL, -1), Some(BadArguments)),
            ("TTL mode without the feature", false, row("bad", BAD_ACL, 5), Some(Unimplemented)),
            ("session", false, row("bad", BAD_ACL, 0), Some(SessionExpired)),
            ("session of an ephemeral", false, row("bad", BAD_ACL, 1), Some(SessionExpired)),
            ("path without a slash", true, row("bad", BAD_ACL, 0), Some(BadArguments)),
            ("path with NUL", true, row("/\0", BAD_ACL, 0), Some(BadArguments)),
            ("list", true, row("/none/x", BAD_ACL, 0), Some(InvalidAcl)),
            ("empty list", true, row("/none/x", &[], 0), Some(InvalidAcl)),
            ("parent", true, row("/none/..", OPEN, 0), Some(NoNode)),
            ("CREATE on the parent", true, row("/closed/..", OPEN, 0), Some(NoAuth)),
            ("path", true, row("/open/..", OPEN, 0), Some(BadArguments)),
            ("path with a slash behind", true, row("/open/", OPEN, 0), Some(BadArguments)),
            ("node is there", true, row("/open/there", OPEN, 0), Some(NodeExists)),
            ("node is there, and is the root", true, row("/", OPEN, 0), Some(NodeExists)),
            ("CREATE on an ephemeral parent", true, row("/closedEph/x", OPEN, 0), Some(NoAuth)),
            ("path below an ephemeral", true, row("/eph/..", OPEN, 0), Some(BadArguments)),
            ("ephemeral parent", true, row("/eph/x", OPEN, 0), Some(NoChildrenForEphemerals)),
            ("nothing", true, row("/open/new", OPEN, 0), None),
            ("a slash behind with a number behind that", true, row("/open/", OPEN, 2), None),
        ];
        if op == OpCode::CreateContainer {
            rows.push(("nothing, as a container", true, row("/open/new", OPEN, 4), None));
        }
        expect(op, rows);
    }
}

#[test]
fn create_with_ttl_checks_feature_and_ttl_before_the_session() {
    let rows = |extended: bool| {
        let ttl = |flags, ttl| create_ttl("/x", flags, ttl);
        let feature = |code| if extended { code } else { Some(Unimplemented) };
        vec![
            ("flag", false, ttl(7, 0), Some(BadArguments)),
            ("ttl of 0", false, ttl(5, 0), feature(Some(BadArguments))),
            ("negative ttl", false, ttl(6, -1), feature(Some(BadArguments))),
            ("ttl too long", false, ttl(5, 1 << 40), feature(Some(BadArguments))),
            ("ttl without a TTL mode", false, ttl(0, 5), Some(BadArguments)),
            ("no ttl and no TTL mode", false, ttl(0, -1), Some(BadArguments)),
            ("session", false, ttl(5, 5), feature(Some(SessionExpired))),
            ("nothing", true, ttl(5, 5), feature(None)),
            ("nothing, longest", true, ttl(6, (1 << 40) - 1), feature(None)),
        ]
    };
    for extended in [false, true] {
        for (what, session, body, code) in rows(extended) {
            let mut config = OpsConfig::default();
            config.owner_rules.extended_types = extended;
            let mut w = World::with_config(config);
            if !session {
                w.sessions.0.insert(ME, SessionExpired);
            }
            let (err, _) = w.write(OpCode::CreateTtl, &body);
            assert_eq!(ErrorCode::from_code(err), code, "{what}, extended types {extended}");
        }
    }
    let mut config = OpsConfig::default();
    config.owner_rules.extended_types = true;
    let mut w = World::with_config(config);
    for flags in [5, 6] {
        let (err, _) = w.write(OpCode::Create, &create("/x", flags));
        assert_eq!(ErrorCode::from_code(err), Some(BadArguments), "a TTL mode without a TTL");
    }
}

#[test]
fn delete_fails_by_the_first_check_that_fails() {
    expect(
        OpCode::Delete,
        vec![
            ("session", false, delete("bad", 9), Some(SessionExpired)),
            ("path without a slash", true, delete("bad", 9), Some(BadArguments)),
            ("path with NUL", true, delete("/none/\0", 9), Some(BadArguments)),
            ("root", true, delete("/", 9), Some(BadArguments)),
            ("protected", true, delete("/zookeeper", 9), Some(BadArguments)),
            ("protected", true, delete("/zookeeper/quota", 9), Some(BadArguments)),
            ("protected", true, delete("/zookeeper/config", 9), Some(BadArguments)),
            ("parent", true, delete("/none/x", 9), Some(NoNode)),
            ("DELETE on the parent", true, delete("/closed/none", 9), Some(NoAuth)),
            ("DELETE on the parent of one that is there", true, delete("/closed/there", 9), Some(NoAuth)),
            ("node", true, delete("/open/none", 9), Some(NoNode)),
            ("node by a path that is none", true, delete("/open/", 9), Some(NoNode)),
            ("version", true, delete("/open/there", 9), Some(BadVersion)),
            ("negative version", true, delete("/open/there", -2), Some(BadVersion)),
            ("children", true, delete("/open/there", 0), Some(NotEmpty)),
            ("nothing", true, delete("/open/there/below", 0), None),
            ("nothing, any version", true, delete("/eph", -1), None),
        ],
    );
}

#[test]
fn set_data_fails_by_the_first_check_that_fails() {
    expect(
        OpCode::SetData,
        vec![
            ("session", false, set_data("bad", b"", 9), Some(SessionExpired)),
            ("path", true, set_data("bad", b"", 9), Some(BadArguments)),
            ("empty path", true, set_data("", b"", 9), Some(BadArguments)),
            ("path with a slash behind", true, set_data("/open/", b"", 9), Some(BadArguments)),
            ("node", true, set_data("/none", b"", 9), Some(NoNode)),
            ("WRITE", true, set_data("/closed", b"", 9), Some(NoAuth)),
            ("version", true, set_data("/open", b"", 9), Some(BadVersion)),
            ("negative version", true, set_data("/open", b"", -2), Some(BadVersion)),
            ("nothing", true, set_data("/open", b"", 0), None),
            ("nothing, on the root", true, set_data("/", b"", -1), None),
        ],
    );
}

#[test]
fn set_acl_fails_by_the_first_check_that_fails() {
    let row = |path, entries, version| set_acl(path, &acl(entries), version);
    expect(
        OpCode::SetAcl,
        vec![
            ("session", false, row("bad", BAD_ACL, 9), Some(SessionExpired)),
            ("path", true, row("bad", BAD_ACL, 9), Some(BadArguments)),
            ("list", true, row("/none", BAD_ACL, 9), Some(InvalidAcl)),
            ("node", true, row("/none", OPEN, 9), Some(NoNode)),
            ("ADMIN", true, row("/closed", OPEN, 9), Some(NoAuth)),
            ("version", true, row("/open", OPEN, 9), Some(BadVersion)),
            ("data version", true, row("/closed/there", OPEN, 0), Some(NoAuth)),
            ("nothing", true, row("/open", OPEN, 0), None),
        ],
    );
}

#[test]
fn a_check_in_a_multi_fails_by_the_first_check_that_fails() {
    for (what, session, path, version, code) in [
        ("session", false, "bad", 9, Some(SessionExpired)),
        ("path", true, "bad", 9, Some(BadArguments)),
        ("node", true, "/none", 9, Some(NoNode)),
        ("READ", true, "/closed", 9, Some(NoAuth)),
        ("version", true, "/open", 9, Some(BadVersion)),
        ("nothing", true, "/open", 0, None),
    ] {
        let mut w = world();
        if !session {
            w.sessions.0.insert(ME, SessionExpired);
        }
        let (err, out) = w.write(OpCode::Multi, &super::multi::of(vec![super::multi::check(path, version)]));
        assert_eq!(err, 0, "{what}: the header of a multi has no error");
        let expected = match code {
            Some(code) => super::multi::errors(&[code.code()]),
            None => super::multi::results(vec![(OpCode::Check, vec![])]),
        };
        assert_eq!(out, expected, "{what}");
    }
}

#[test]
fn reconfig_of_a_server_that_is_alone_is_refused() {
    let body = bytes(&ReconfigRequest { leaving_servers: Some("1".into()), ..ReconfigRequest::default() });
    for (enabled, session, code) in
        [(false, false, ReconfigDisabled), (true, false, SessionExpired), (true, true, Unimplemented)]
    {
        let mut w = World::with_config(OpsConfig { reconfig_enabled: enabled, ..OpsConfig::default() });
        if !session {
            w.sessions.0.insert(ME, SessionExpired);
        }
        assert_eq!(w.write(OpCode::Reconfig, &body).0, code.code());
    }
}

#[test]
fn null_paths_are_marshalling_errors_except_where_paths_are_validated_whole() {
    let mut w = World::new();
    let zxid = w.zxid;
    let none = CreateRequest { acl: Some(acl(BAD_ACL)), ..CreateRequest::default() };
    assert_eq!(w.write(OpCode::Create, &bytes(&none)).0, MarshallingError.code());
    assert_eq!(w.write(OpCode::Delete, &bytes(&DeleteRequest::default())).0, MarshallingError.code());
    assert_eq!(w.write(OpCode::SetData, &bytes(&SetDataRequest::default())).0, BadArguments.code());
    assert_eq!(w.write(OpCode::SetAcl, &bytes(&SetAclRequest::default())).0, BadArguments.code());
    assert_eq!(w.zxid.0, zxid.0 + 4);
}

#[test]
fn reads_fail_by_the_first_check_that_fails() {
    let mut w = world();
    for op in [OpCode::GetData, OpCode::GetChildren, OpCode::GetChildren2] {
        for (path, code) in [
            ("/none", Some(NoNode)),
            ("bad", Some(NoNode)),
            ("/open/", Some(NoNode)),
            ("//", Some(NoNode)),
            ("/\0", Some(NoNode)),
            ("/closed", Some(NoAuth)),
            ("/open", None),
            ("", None),
            ("/", None),
        ] {
            let read = w.read(op, &at(path, true));
            assert_eq!(read.err(), code, "{op:?} {path:?}");
        }
        assert_eq!(w.watches.set.len(), 3, "only those that succeed set a watch");
        w.watches.set.clear();
    }
    for (path, code) in [("/\0", BadArguments), ("/none", NoNode), ("/closed", NoAuth)] {
        assert_eq!(w.read(OpCode::Exists, &at(path, true)), Err(code), "{path:?}");
    }
    assert_eq!(w.watches.set, [("/none".to_string(), WatchMode::Data)]);
    for op in [OpCode::GetAcl, OpCode::GetAllChildrenNumber] {
        for (path, code) in [("/none", Some(NoNode)), ("/closed", Some(NoAuth)), ("/open", None)] {
            assert_eq!(w.read(op, &at(path, false)).err(), code, "{op:?} {path}");
        }
    }
    let null = bytes(&GetDataRequest::default());
    for op in [
        OpCode::GetData,
        OpCode::Exists,
        OpCode::GetChildren,
        OpCode::GetChildren2,
        OpCode::GetAcl,
        OpCode::GetAllChildrenNumber,
    ] {
        assert_eq!(w.read(op, &null), Err(MarshallingError), "{op:?}");
    }
}
