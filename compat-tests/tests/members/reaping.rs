//! Znodes that go by themselves: containers, and those with a time to live.

use std::thread;
use std::time::Duration;

use compat_tests::ensemble::{Ensemble, PATIENCE};
use compat_tests::load::converge::converge;
use compat_tests::raw::{Acl, code, flag};

use crate::on_each::{client, on_each};

#[test]
fn the_leader_and_whoever_leads_next_remove_what_has_had_its_time() {
    on_each(
        |builder| {
            builder
                .property("zookeeper.extendedTypesEnabled", true)
                .property("znode.container.checkIntervalMs", 300)
                .property("znode.container.maxPerMinute", 60_000)
        },
        |e| {
            make(e, "first");
            gone(e, "first");
            // What was made under one leader is removed by the next.
            make(e, "second");
            let leader = e.wait_for_leader();
            e.kill(leader);
            e.wait_for_leader();
            e.start(leader);
            e.wait_until_all_serve();
            gone(e, "second");
            converge(&e.addrs(), true, false).unwrap_or_else(|what| panic!("{what}"));
        },
    );
}

/// At each member: a container whose last child is deleted, one with a child, one that had none yet, and two with times.
fn make(e: &Ensemble, name: &str) {
    for id in e.ids() {
        let mut zk = client(e, id);
        let mut create = |what: &str, flags, ttl_ms| {
            zk.create(&format!("/{name}-{what}-{id}"), None, &Acl::open(), flags, ttl_ms).unwrap().unwrap();
        };
        create("empty", flag::CONTAINER, 0);
        create("full", flag::CONTAINER, 0);
        create("new", flag::CONTAINER, 0);
        create("short", flag::TTL, 1);
        create("long", flag::TTL, 3_600_000);
        for what in ["empty", "full"] {
            let child = format!("/{name}-{what}-{id}/child");
            zk.create(&child, None, &Acl::open(), flag::PERSISTENT, 0).unwrap().unwrap();
        }
        zk.delete(&format!("/{name}-empty-{id}/child"), -1).unwrap().unwrap();
    }
}

/// Waits until what should go is gone everywhere; the rest is there.
fn gone(e: &Ensemble, name: &str) {
    let deadline = std::time::Instant::now() + PATIENCE;
    for id in e.ids() {
        let mut zk = client(e, id);
        for (what, of) in e.ids().into_iter().flat_map(|of| ["empty", "short"].map(|what| (what, of))) {
            let path = format!("/{name}-{what}-{of}");
            while zk.exists(&path, false).unwrap() != Err(code::NO_NODE) {
                assert!(std::time::Instant::now() < deadline, "{path} is still there, at member {id}");
                thread::sleep(Duration::from_millis(50));
            }
        }
        for (what, of) in e.ids().into_iter().flat_map(|of| ["full", "new", "long"].map(|what| (what, of))) {
            zk.exists(&format!("/{name}-{what}-{of}"), false).unwrap().unwrap();
        }
    }
}
