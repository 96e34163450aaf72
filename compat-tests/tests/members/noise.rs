//! Requests that nobody can read.

use compat_tests::arm::Arm::{Java, Quoll};
use compat_tests::ensemble::Ensemble;
use compat_tests::load::converge::converge;
use compat_tests::raw::{Acl, op};

use crate::on_each::{client, on};

const NOISE: [i32; 4] = [op::DELETE, op::SET_DATA, op::CREATE, op::MULTI];

#[test]
fn a_write_that_cannot_be_read_is_answered_and_the_members_go_on() {
    on(
        &[[Quoll; 3]],
        |builder| builder,
        |e| {
            for id in e.ids() {
                let mut zk = client(e, id);
                zk.create(&format!("/before-{id}"), None, &Acl::open(), 0, 0).unwrap().unwrap();
                for opcode in NOISE {
                    assert_eq!(zk.call(opcode, &[0x7f, 0, 1, 2]).unwrap().err, -5, "{opcode} at {id}");
                }
                zk.create(&format!("/after-{id}"), None, &Acl::open(), 0, 0).unwrap().unwrap();
            }
            converge(&e.addrs(), true, true).unwrap_or_else(|what| panic!("{what}"));
        },
    );
}

/// The record of a request that a leader could not read has the number of the txn before it.
#[test]
fn followers_go_on_when_a_number_comes_twice() {
    on(
        &[[Quoll, Quoll, Java]],
        |builder| builder,
        |e| {
            client(e, 1).create("/before", None, &Acl::open(), 0, 0).unwrap().unwrap();
            let mut zk = client(e, 3);
            for opcode in NOISE {
                zk.send(opcode, &[0x7f, 0, 1, 2]).unwrap();
            }
            let logged = |e: &Ensemble| e.member(3).log().contains("Dumping request buffer");
            e.wait_until("the leader has seen them", logged);
            e.kill(3);
            e.wait_until("a follower leads", |e| e.leader().is_some_and(|id| id != 3));
            client(e, 1).create("/after", None, &Acl::open(), 0, 0).unwrap().unwrap();
            e.start(3);
            e.wait_until_all_serve();
            converge(&e.addrs(), true, false).unwrap_or_else(|what| panic!("{what}"));
        },
    );
}
