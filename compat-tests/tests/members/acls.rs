//! Who a client is, when the member that it is connected to is not the one that decides.

use compat_tests::ensemble::Ensemble;
use compat_tests::ensemble::proxy::Id;
use compat_tests::raw::{Acl, Client, code};

use crate::on_each::{KINDS, client, observed, on, on_each};

#[test]
fn a_learner_forwards_who_the_client_is() {
    on_each(observed, |e| {
        for id in e.ids() {
            let path = format!("/of-ann-{id}");
            let mut ann = client(e, id);
            ann.add_auth("digest", b"ann:secret").unwrap().unwrap();
            // Who has been authenticated may do everything: the leader writes down who that is.
            let auth = [Acl::new(31, "auth", "")];
            ann.create(&path, Some(b"1"), &auth, 0, 0).unwrap().unwrap();
            for other in e.ids() {
                let mut zk = client(e, other);
                zk.sync("/").unwrap().unwrap();
                assert_eq!(zk.set_data(&path, Some(b"2"), -1).unwrap(), Err(code::NO_AUTH));
                zk.add_auth("digest", b"bob:secret").unwrap().unwrap();
                assert_eq!(zk.set_data(&path, Some(b"2"), -1).unwrap(), Err(code::NO_AUTH));
                zk.add_auth("digest", b"ann:secret").unwrap().unwrap();
                zk.set_data(&path, Some(b"3"), -1).unwrap().unwrap();
                let (acls, _) = zk.get_acl(&path).unwrap().unwrap();
                assert!(matches!(&acls[..], [acl] if acl.scheme == "digest" && acl.id.starts_with("ann:")));
            }
        }
    });
}

#[test]
fn with_eager_checks_a_member_refuses_what_it_would_otherwise_have_the_leader_refuse() {
    // Without them it is the same for all kinds, as it always was: one of each is enough.
    for (eager, refusals_are_txns, kinds) in [("true", false, &KINDS[..]), ("false", true, &KINDS[..2])] {
        on(
            kinds,
            |builder| observed(builder).property("zookeeper.enableEagerACLCheck", eager),
            |e| {
                let mut ann = client(e, 1);
                ann.add_auth("digest", b"ann:secret").unwrap().unwrap();
                let auth = [Acl::new(31, "auth", "")];
                ann.create("/of-ann", None, &auth, 0, 0).unwrap().unwrap();
                ann.create("/of-ann/child", None, &auth, 0, 0).unwrap().unwrap();
                ann.create("/open", None, &Acl::open(), 0, 0).unwrap().unwrap();
                for id in e.ids() {
                    client(e, id).sync("/").unwrap().unwrap();
                    for (what, refused) in REFUSED {
                        assert_eq!(
                            refusal_is_a_txn(e, id, *refused),
                            refusals_are_txns,
                            "{what} at member {id}, eager {eager}"
                        );
                    }
                }
            },
        );
    }
}

type Refused = fn(&mut Client) -> (Option<i32>, i32);

/// What a stranger is refused: the error, and the one that is due.
const REFUSED: &[(&str, Refused)] = &[
    ("create", |zk| (zk.create("/of-ann/x", None, &Acl::open(), 0, 0).unwrap().err(), code::NO_AUTH)),
    ("delete", |zk| (zk.delete("/of-ann/child", -1).unwrap().err(), code::NO_AUTH)),
    ("setData", |zk| (zk.set_data("/of-ann", Some(b"x"), -1).unwrap().err(), code::NO_AUTH)),
    ("setACL", |zk| (zk.set_acl("/of-ann", &Acl::open(), -1).unwrap().err(), code::NO_AUTH)),
    ("a list that is none", |zk| (zk.set_acl("/open", &[], -1).unwrap().err(), code::INVALID_ACL)),
];

/// Whether what a member refuses takes a zxid.
fn refusal_is_a_txn(e: &Ensemble, member: Id, refused: Refused) -> bool {
    let mut zk = client(e, member);
    let mut stranger = client(e, member);
    let mut write = || zk.set_data("/open", None, -1).unwrap().unwrap().mzxid;
    let before = write();
    let (error, due) = refused(&mut stranger);
    assert_eq!(error, Some(due));
    let txns = write() - before - 1;
    assert!((0..=1).contains(&txns), "{txns} txns for one refusal");
    txns == 1
}
