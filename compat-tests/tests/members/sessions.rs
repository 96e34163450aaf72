//! Sessions: where they are, and what keeps them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use compat_tests::ensemble::Ensemble;
use compat_tests::ensemble::proxy::Id;
use compat_tests::raw::{Acl, Client, code, flag};

use crate::on_each::{client, on_each};

#[test]
fn a_session_that_has_moved_is_closed_where_it_was() {
    on_each(
        |builder| builder,
        |e| {
            for (from, to) in [(1, 2), (1, 3), (3, 2)] {
                let path = format!("/moved-{from}-{to}");
                let mut old = client(e, from);
                old.create(&path, Some(b"1"), &Acl::open(), flag::EPHEMERAL, 0).unwrap().unwrap();
                // A member that is behind what a client has seen refuses it.
                client(e, to).sync("/").unwrap().unwrap();
                let mut new =
                    Client::attach(e.member(to).addr(), 30_000, old.session_id, &old.passwd, old.last_zxid)
                        .unwrap();
                assert_eq!(new.session_id, old.session_id);
                new.set_data(&path, Some(b"2"), -1).unwrap().unwrap();
                let refused = old.set_data(&path, Some(b"3"), -1);
                assert!(refused.is_err(), "from {from} to {to}: {refused:?}");
                let (data, stat) = new.get_data(&path, false).unwrap().unwrap();
                assert_eq!(data.as_deref(), Some(&b"2"[..]));
                assert_eq!(stat.ephemeral_owner, new.session_id);
                new.close().unwrap();
            }
        },
    );
}

#[test]
fn a_session_at_any_member_lives_by_its_pings_and_ends_without_them() {
    on_each(
        |builder| builder,
        |e| {
            for id in e.ids() {
                // The shortest that is granted.
                let addr = e.member(id).addr();
                let mut lives = Client::connect(addr, 1).unwrap();
                ephemeral(&mut lives, &format!("/lives-{id}"));
                // Beside the test, which may wait for a slow disk for longer than the session has.
                let over = AtomicBool::new(false);
                thread::scope(|scope| {
                    scope.spawn(|| {
                        while !over.load(Ordering::Relaxed) {
                            lives.ping().unwrap();
                            thread::sleep(Duration::from_millis(50));
                        }
                    });
                    let _over = AtItsEnd(&over);
                    // Twice as long as it takes: the second one begins after the first has ended.
                    for turn in 0..2 {
                        let mut ends = Client::connect(addr, 1).unwrap();
                        let path = format!("/ends-{id}-{turn}");
                        ephemeral(&mut ends, &path);
                        // Without a word.
                        drop(ends);
                        let mut seen = client(e, leader(e));
                        while seen.exists(&path, false).unwrap().is_ok() {
                            thread::sleep(Duration::from_millis(50));
                        }
                        seen.exists(&format!("/lives-{id}"), false).unwrap().unwrap();
                    }
                });
            }
            // Once, by the leader, for everybody.
            for id in e.ids() {
                let mut zk = client(e, id);
                zk.sync("/").unwrap().unwrap();
                for path in e.ids().iter().flat_map(|id| [0, 1].map(|turn| format!("/ends-{id}-{turn}"))) {
                    assert_eq!(zk.exists(&path, false).unwrap(), Err(code::NO_NODE), "{path} at {id}");
                }
            }
        },
    );
}

/// Says that something is over, also when it fails.
struct AtItsEnd<'a>(&'a AtomicBool);

impl Drop for AtItsEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn ephemeral(zk: &mut Client, path: &str) {
    zk.create(path, None, &Acl::open(), flag::EPHEMERAL, 0).unwrap().unwrap();
}

fn leader(e: &Ensemble) -> Id {
    e.leader().expect("one member leads")
}
