//! Multis that fail, and members that come later.

use compat_tests::load::converge::converge;
use compat_tests::raw::{Acl, MultiOp, MultiResult, code};

use crate::on_each::{client, on_each};

#[test]
fn a_failed_multi_that_a_member_missed_leaves_it_as_the_others_are() {
    on_each(
        |builder| builder,
        |e| {
            let leader = e.wait_for_leader();
            let mut zk = client(e, leader);
            for id in [1, 2] {
                e.kill(id);
                let path = |name: &str| format!("/{name}-{id}");
                let create = |name: &str| MultiOp::Create {
                    path: path(name),
                    data: Some(b"x".to_vec()),
                    acls: Acl::open(),
                    flags: 0,
                    ttl_ms: 0,
                };
                let fails = [create("a"), MultiOp::Check { path: path("none"), version: 1 }, create("b")];
                let results = zk.multi(&fails).unwrap();
                assert_eq!(results[1], MultiResult::Failed { code: code::NO_NODE });
                assert_eq!(zk.exists(&path("a"), false).unwrap(), Err(code::NO_NODE));
                zk.multi(&[create("c"), create("d")]).unwrap();
                e.start(id);
                e.wait_until_all_serve();
                converge(&e.addrs(), true, true).unwrap_or_else(|what| panic!("{what}"));
            }
            // From their files.
            for id in [1, 2] {
                e.kill(id);
                e.start(id);
                e.wait_until_all_serve();
                let mut zk = client(e, id);
                zk.sync("/").unwrap().unwrap();
                let names: Vec<_> = zk.children("/").unwrap().unwrap();
                assert_eq!(names, ["c-1", "c-2", "d-1", "d-2", "zookeeper"]);
            }
            converge(&e.addrs(), true, true).unwrap_or_else(|what| panic!("{what}"));
        },
    );
}
