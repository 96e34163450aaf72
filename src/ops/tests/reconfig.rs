//! What a leader makes of a wish for another configuration.

use super::*;
use crate::types::{ServerId, SubTxn, members::Members};
use quoll_jute::client::ReconfigRequest;

/// Servers 1, 2 and 3 at version 0x100000000; they, 4 and 5 are in step.
fn ensemble() -> World {
    let mut w = World::with_config(OpsConfig {
        reconfig_enabled: true,
        auth: AuthConfig { skip_acl: true, ..AuthConfig::default() },
        ..OpsConfig::default()
    });
    let text = "server.1=h1:1:2;5\nserver.2=h2:1:2;5\nserver.3=h3:1:2;5\nversion=100000000";
    let members = Members::read(text, false).unwrap();
    w.tree.set_config(members.to_string().as_bytes(), 0x1_0000_0000, 0);
    w.membership = Some(Membership {
        active: members.clone(),
        last_seen: members,
        untold: false,
        in_step: [1, 2, 3, 4, 5].map(ServerId).into(),
        standalone_enabled: true,
        multi_address: false,
    });
    w
}

fn body(joining: Option<&str>, leaving: Option<&str>, all: Option<&str>, from: i64) -> Bytes {
    to_vec(&ReconfigRequest {
        joining_servers: joining.map(Into::into),
        leaving_servers: leaving.map(Into::into),
        new_members: all.map(Into::into),
        cur_config_id: from,
    })
    .into()
}

/// The new configuration, or why there is none.
fn asked(w: &mut World, body: &Bytes) -> Result<Members, ErrorCode> {
    let prepared = w.prepare(OpCode::Reconfig, body);
    assert!(prepared.takes_zxid);
    match (prepared.error, prepared.body) {
        (Some(error), _) => Err(error),
        (None, TxnBody::One(SubTxn::Reconfig { path, data, version: -1 })) => {
            assert_eq!(path, "/zookeeper/config");
            let text = String::from_utf8(data.unwrap().to_vec()).unwrap();
            let members = Members::read_active(&text).unwrap();
            assert_eq!(members.to_string(), text);
            Ok(members)
        }
        (None, other) => panic!("{other:?}"),
    }
}

fn change(joining: &str, leaving: &str) -> Result<Members, ErrorCode> {
    asked(&mut ensemble(), &body(Some(joining), Some(leaving), None, -1))
}

fn whole(text: &str) -> Result<Members, ErrorCode> {
    asked(&mut ensemble(), &body(None, None, Some(text), -1))
}

fn ids(members: Members) -> Vec<i64> {
    members.servers.keys().map(|id| id.0).collect()
}

#[test]
fn servers_leave_and_join_and_the_version_is_the_zxid() {
    let changed = change(" server.4 = h4:1:2:observer;5 ,5=h5:1:2;h5:6", "1,,3").unwrap();
    assert_eq!(
        changed.to_string(),
        "server.2=h2:1:2:participant;0.0.0.0:5\nserver.4=h4:1:2:observer;0.0.0.0:5\n\
         server.5=h5:1:2:participant;h5:6\nversion=100000001"
    );
    // Who is a member already changes; who leaves and is none does no harm.
    let changed = change("server.3=h3:1:2:observer;7", "9").unwrap();
    assert_eq!(changed.role_of(ServerId(3)), crate::types::members::Role::Observer);
    assert_eq!(ids(changed), [1, 2, 3]);
    assert_eq!(ids(change("", "3").unwrap()), [1, 2]);
}

#[test]
fn all_members_may_be_given_anew_in_lines_or_separated_by_commas() {
    for text in ["server.1=h1:1:2;5\nserver.4=h4:1:2;5", "server.1=h1:1:2;5,server.4=h4:1:2;5,version=7"] {
        let members = whole(text).unwrap();
        assert_eq!((members.version, ids(members)), (0x1_0000_0001, vec![1, 4]));
    }
    // Groups come only this way, and go only this way.
    let grouped = whole("server.1=h1:1:2,server.2=h2:1:2,group.1=1:2,weight.1=1,weight.2=1").unwrap();
    let mut w = ensemble();
    let membership = w.membership.as_mut().unwrap();
    (membership.active, membership.last_seen) = (grouped.clone(), grouped);
    assert_eq!(asked(&mut w, &body(None, Some("2"), None, -1)), Err(ErrorCode::BadArguments));
}

#[test]
fn a_wish_that_makes_no_sense_is_refused_as_upstream_refuses_it() {
    use ErrorCode::{BadArguments, MarshallingError, NewConfigNoQuorum};
    for (joining, leaving, error) in [
        ("", "x", MarshallingError),
        ("server.x=h:1:2;3", "", MarshallingError),
        ("server.5", "", BadArguments),
        ("server.5=h5:1:2=3;4", "", BadArguments),
        ("server.5=h5:1:2", "", BadArguments),
        ("server.5=h5:1;5", "", BadArguments),
        ("server.5=h5:1:x;5", "", BadArguments),
        ("server.5=h5:1:1;5", "", BadArguments),
        ("server.5=a\\u00:1:2;5", "", BadArguments),
        ("server.5=a\\b:1:2;5", "", BadArguments),
        // The address of another one.
        ("server.5=h1:7:2;5", "", BadArguments),
        ("server.5=h5:1:2;h1:1", "", BadArguments),
        // Too few voters.
        ("", "2,3", BadArguments),
        ("server.2=h2:1:2:observer;5", "3", BadArguments),
        ("", "1,2,3", BadArguments),
        // Only one of them is in step.
        ("server.8=h8:1:2;5,server.9=h9:1:2;5", "2,3", NewConfigNoQuorum),
    ] {
        assert_eq!(change(joining, leaving), Err(error), "{joining} {leaving}");
    }
    for (text, error) in [
        ("", BadArguments),
        ("server.1=h1:1:2:observer", MarshallingError),
        ("server.1=h1:1:2,server.2=h2:1:2:observer", MarshallingError),
        ("server.1=h1:1:2", BadArguments),
        ("server.1=h1:1:2,server.2=h2:1:2,clientPort=3", BadArguments),
        ("server.1=h1:1:2,server.2=h2:1:2,group.1=1", BadArguments),
        ("server.1=h1:1:2,server.2=h2:1:x", BadArguments),
        ("server.1=h1:1:2,server.z=h2:1:2", MarshallingError),
        ("server.8=h8:1:2,server.9=h9:1:2", NewConfigNoQuorum),
    ] {
        assert_eq!(whole(text), Err(error), "{text}");
    }
}

#[test]
fn addresses_that_stand_for_every_machine_or_this_one_may_be_the_same() {
    assert!(change("server.4=127.0.0.1:1:2;5,server.5=127.0.0.1:1:2;5", "").is_ok());
    assert!(change("server.4=localhost:1:2;0.0.0.0:5,server.5=localhost:1:2;0.0.0.0:5", "").is_ok());
}

#[test]
fn one_voter_is_enough_without_the_standalone_mode() {
    let mut w = ensemble();
    w.membership.as_mut().unwrap().standalone_enabled = false;
    assert_eq!(ids(asked(&mut w, &body(None, Some("2,3"), None, -1)).unwrap()), [1]);
}

#[test]
fn the_version_asked_from_is_the_one_that_was_seen_last() {
    let mut w = ensemble();
    assert_eq!(asked(&mut w, &body(None, Some("3"), None, 0x1_0000_0001)), Err(ErrorCode::BadVersion));
    assert_eq!(asked(&mut w, &body(None, Some("3"), None, -2)), Err(ErrorCode::BadVersion));
    assert!(asked(&mut w, &body(None, Some("3"), None, 0x1_0000_0000)).is_ok());
}

#[test]
fn one_reconfiguration_at_a_time_and_before_anything_is_looked_at() {
    let mut w = ensemble();
    w.membership.as_mut().unwrap().last_seen.version += 1;
    assert_eq!(asked(&mut w, &body(None, Some("x"), None, 7)), Err(ErrorCode::ReconfigInProgress));
    let mut w = ensemble();
    w.membership.as_mut().unwrap().untold = true;
    assert_eq!(asked(&mut w, &body(None, Some("3"), None, -1)), Err(ErrorCode::ReconfigInProgress));
}

#[test]
fn the_configuration_may_be_written_by_who_may_write_its_znode() {
    let mut w = ensemble();
    w.config.auth.skip_acl = false;
    // What is wrong with the wish comes first.
    assert_eq!(asked(&mut w, &body(None, Some("2,3"), None, -1)), Err(ErrorCode::BadArguments));
    assert_eq!(asked(&mut w, &body(None, Some("3"), None, -1)), Err(ErrorCode::NoAuth));
    w.ids = vec![Id::new("super", "")];
    assert!(asked(&mut w, &body(None, Some("3"), None, -1)).is_ok());
}

#[test]
fn the_reply_is_the_configuration_and_its_stat() {
    let mut w = ensemble();
    let members = asked(&mut w, &body(None, Some("3"), None, -1)).unwrap();
    let (txn, applied) = w.apply_one().unwrap();
    let mut reply = Vec::new();
    assert_eq!(write_reply(&txn.body, &applied, &mut reply), 0);
    let r = &mut quoll_jute::Reader::new(&reply);
    assert_eq!(r.buffer().unwrap(), Some(members.to_string().as_bytes()));
    let stat = data::Stat::read(r).unwrap();
    assert_eq!((stat.czxid, stat.mzxid, stat.version, stat.aversion), (0, 0x1_0000_0001, -1, -1));
}
