//! Observers behind followers: each kind of observer behind each kind of follower.
//!
//! All members share one address here, so two voters are what goes: the one that follows has the port, and the observer,
//! which knows the ports of both, finds it there.

use compat_tests::arm::Arm::{self, Java, Quoll};
use compat_tests::ensemble::Ensemble;
use compat_tests::ensemble::member::Mode;
use compat_tests::ports::Ports;
use compat_tests::raw::{Acl, Client, flag, session_passwd};

#[test]
fn a_java_observer_behind_a_quoll_follower() {
    observe(Quoll, Java);
}

#[test]
fn a_quoll_observer_behind_a_java_follower() {
    observe(Java, Quoll);
}

#[test]
fn a_quoll_observer_behind_a_quoll_follower() {
    observe(Quoll, Quoll);
}

fn observe(voters: Arm, observer: Arm) {
    let ports = Ports::reserve();
    let mut ensemble =
        Ensemble::of(&[voters; 2]).observer(observer).key("observerMasterPort", ports.port(0)).build();
    ensemble.start(1);
    ensemble.start(2);
    ensemble.wait_until("the second one leads", |e| {
        (e.member(1).mode(), e.member(2).mode()) == (Some(Mode::Follower), Some(Mode::Leader))
    });
    let open = |e: &Ensemble, id| Client::connect(e.member(id).addr(), 10_000).expect("a client");
    let create = |zk: &mut Client, path: &str, flags| {
        zk.create(path, Some(b"x"), &Acl::open(), flags, 0).expect("sent").expect("created")
    };
    let mut early = open(&ensemble, 2);
    for n in 0..50 {
        create(&mut early, &format!("/early{n}"), flag::PERSISTENT);
    }
    ensemble.start(3);
    ensemble.wait_until("the observer serves", |e| e.member(3).mode() == Some(Mode::Observer));
    assert_eq!(ensemble.member(2).metric("synced_observers").as_deref(), Some("0"), "not behind the leader");

    let mut zk = open(&ensemble, 3);
    assert_eq!(zk.children("/").expect("sent").expect("a list").len(), 51);
    create(&mut zk, "/here", flag::PERSISTENT);
    create(&mut zk, "/ephemeral", flag::EPHEMERAL);
    create(&mut early, "/there", flag::PERSISTENT);
    zk.sync("/").expect("sent").expect("in step");
    zk.get_data("/there", false).expect("sent").expect("seen behind a sync");
    // The session goes on at the follower, and comes back.
    let session = zk.session_id;
    for id in [1, 3] {
        let addr = ensemble.member(id).addr();
        zk = Client::attach(addr, 10_000, session, &session_passwd(session), 0).expect("a client");
        assert_eq!(zk.session_id, session, "at member {id}");
        zk.set_data("/here", Some(b"y"), -1).expect("sent").expect("written");
        zk.sync("/").expect("sent").expect("in step");
    }
    // It lives by what the observer hears, longer than its timeout.
    for _ in 0..30 {
        std::thread::sleep(std::time::Duration::from_millis(500));
        zk.ping().expect("an answer");
    }
    zk.exists("/ephemeral", false).expect("sent").expect("it lives");

    // What it missed it gets when it comes back.
    ensemble.kill(3);
    for n in 0..50 {
        create(early_again(&ensemble, &mut early), &format!("/late{n}"), flag::PERSISTENT);
    }
    ensemble.start(3);
    ensemble.wait_until("the observer serves again", |e| e.member(3).mode() == Some(Mode::Observer));
    let mut again = open(&ensemble, 3);
    again.sync("/").expect("sent").expect("in step");
    assert!(again.children("/").expect("sent").expect("a list").len() >= 103);
    let digests = |e: &Ensemble| [1, 2, 3].map(|id| e.member(id).metric("approximate_data_size"));
    ensemble.wait_until("all hold the same", |e| digests(e).iter().all(|d| *d == digests(e)[0]));
}

/// The same client, or a new one when its session did not last as long.
fn early_again<'a>(ensemble: &Ensemble, client: &'a mut Client) -> &'a mut Client {
    if client.ping().is_err() {
        *client = Client::connect(ensemble.member(2).addr(), 10_000).expect("a client");
    }
    client
}
