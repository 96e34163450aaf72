//! Observers behind followers: each kind of observer behind each kind of follower.
//!
//! Where all members share one address, two voters are what goes: the one that follows has the port, and the observer,
//! which knows the ports of both, finds it there.

use compat_tests::arm::Arm::{self, Java, Quoll};
use compat_tests::ensemble::member::Mode;
use compat_tests::ensemble::proxy::SyncKind;
use compat_tests::ensemble::{Ensemble, turn};
use compat_tests::load::converge::converge;
use compat_tests::ports::Ports;
use compat_tests::raw::{Acl, Client, Enc, flag, session_passwd, write_many};

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

/// Each kind of follower with each kind of observer behind it. Upstream with itself is upstream's business.
const PAIRS: [(Arm, Arm); 3] = [(Java, Quoll), (Quoll, Java), (Quoll, Quoll)];

#[test]
fn an_observer_behind_a_follower_gets_the_difference_or_a_snapshot() {
    for (voters, observer) in PAIRS {
        // -1: log files are not used.
        comes_back(voters, observer, "-1", &[(50, SyncKind::Diff), (800, SyncKind::Snap)]);
    }
}

#[test]
fn an_observer_behind_a_follower_gets_the_difference_from_files_when_that_is_allowed() {
    for (voters, observer) in PAIRS {
        // However large the files are.
        comes_back(voters, observer, if voters == Java { "1000" } else { "0" }, &[(800, SyncKind::Diff)]);
    }
}

#[test]
fn a_java_observer_behind_quoll_followers_hears_of_reconfigurations_and_becomes_a_voter() {
    is_reconfigured(Quoll, Java);
}

#[test]
fn a_quoll_observer_behind_java_followers_hears_of_reconfigurations_and_becomes_a_voter() {
    is_reconfigured(Java, Quoll);
}

#[test]
fn a_quoll_observer_behind_quoll_followers_hears_of_reconfigurations_and_becomes_a_voter() {
    is_reconfigured(Quoll, Quoll);
}

/// Three voters and an observer behind one of them, which is told of other configurations and in the end votes.
fn is_reconfigured(voters: Arm, observer: Arm) {
    let _turn = turn();
    let ports = Ports::reserve();
    let mut e = Ensemble::of(&[voters; 3]).observer(observer).own_hosts().master_port(ports.port(0)).build();
    for id in [1, 3] {
        e.start_knowing(id, &[1, 2, 3, 4]);
    }
    e.wait_until("member 3 leads", |e| e.member(3).mode() == Some(Mode::Leader));
    for id in [2, 4] {
        e.start_knowing(id, &[1, 2, 3, 4]);
    }
    let serve = |e: &Ensemble, observers: &str, followers: &str| {
        let leader = e.member(3);
        let synced =
            |of: &str| leader.metric(&format!("synced_{of}")).map(|n| n.trim_end_matches(".0").to_owned());
        synced("observers").as_deref() == Some(observers) && synced("followers").as_deref() == Some(followers)
    };
    e.wait_until("the observer serves, and not behind the leader", |e| {
        e.member(4).mode() == Some(Mode::Observer) && serve(e, "0", "2")
    });
    let mut zk = Client::connect(e.member(4).addr(), 30_000).expect("the observer serves");
    zk.get_data(CONFIG, true).expect("an answer").expect("a node");

    // Another one that never comes: the observer hears of it where it is.
    let nobody = format!("server.9=127.0.0.9:1:2:observer;127.0.0.1:{}", ports.port(1));
    assert_eq!(change(&e, &nobody, ""), Some(0));
    // A write that is behind it.
    zk.create("/behind", Some(b"x"), &Acl::open(), 0, 0).expect("an answer").expect("created");
    let events: Vec<_> = zk.events.drain(..).map(|event| event.path).collect();
    assert_eq!(events, [CONFIG], "the connection of the client, and of the observer, goes on");
    all_say(&mut e, |text| text.contains(&nobody));
    assert!(serve(&e, "0", "2"));

    // It votes. As upstream, it begins anew for that.
    assert_eq!(change(&e, &e.server_line(4, "participant"), "9"), Some(0));
    e.wait_until("the observer follows", |e| {
        e.member(4).mode() == Some(Mode::Follower) && serve(e, "0", "3")
    });
    all_say(&mut e, |text| !text.contains(&nobody) && text.matches("participant").count() == 4);
    let mut zk = Client::connect(e.member(4).addr(), 30_000).expect("the member serves");
    zk.create("/voter", Some(b"x"), &Acl::open(), 0, 0).expect("an answer").expect("created");

    // And back, behind a follower again.
    assert_eq!(change(&e, &e.server_line(4, "observer"), ""), Some(0));
    e.wait_until("the voter observes", |e| e.member(4).mode() == Some(Mode::Observer) && serve(e, "0", "2"));
    let mut zk = Client::connect(e.member(4).addr(), 30_000).expect("the member serves");
    zk.create("/observer", Some(b"x"), &Acl::open(), 0, 0).expect("an answer").expect("created");
    all_say(&mut e, |text| text.matches("participant").count() == 3);

    // Its files say so, too.
    e.kill(4);
    e.start_as_it_is(4);
    e.wait_until("it observes again", |e| e.member(4).mode() == Some(Mode::Observer) && serve(e, "0", "2"));
    converge(&e.addrs(), true, false).unwrap_or_else(|what| panic!("{what}"));

    // The leader leaves, and the follower that passes that on may be the next: the observer goes where a follower is.
    let _ = change(&e, "", "3");
    e.wait_until("another one leads", |e| [1, 2].contains(&e.leader().unwrap_or(3)));
    e.wait_until("the observer serves behind the other one", |e| {
        let leader = e.member(e.leader().unwrap_or(3));
        e.member(4).mode() == Some(Mode::Observer)
            && leader.metric("synced_observers").is_some_and(|n| n.trim_end_matches(".0") == "0")
    });
    all_say(&mut e, |text| text.matches("participant").count() == 2);
    let mut zk = Client::connect(e.member(4).addr(), 30_000).expect("the member serves");
    zk.create("/last", Some(b"x"), &Acl::open(), 0, 0).expect("an answer").expect("created");
}

const CONFIG: &str = "/zookeeper/config";

/// Asks the leader for another configuration; the error of the answer.
fn change(e: &Ensemble, joining: &str, leaving: &str) -> Option<i32> {
    const RECONFIG: i32 = 16;
    let mut zk = Client::connect(e.member(3).addr(), 30_000).expect("the leader serves");
    zk.add_auth("digest", b"super:golden").expect("the leader answers").expect("the password is right");
    let body = Enc::new().str(joining).str(leaving).int(-1).long(-1);
    zk.call(RECONFIG, &body.0).ok().map(|reply| reply.err)
}

/// Waits until all members have one configuration, of which this holds.
fn all_say(e: &mut Ensemble, holds: impl Fn(&str) -> bool) {
    e.wait_until("all go by one configuration", |e| {
        let texts = e.addrs().into_iter().map(|at| {
            let mut zk = Client::connect(at, 30_000).ok()?;
            let (data, _) = zk.get_data(CONFIG, false).ok()?.ok()?;
            zk.close().ok()?;
            String::from_utf8(data?).ok()
        });
        let texts: Vec<_> = texts.collect();
        texts.iter().all(|text| *text == texts[0] && text.as_deref().is_some_and(&holds))
    });
}

/// An observer is away for some writes and comes back to a follower, several times.
fn comes_back(voters: Arm, observer: Arm, size_factor: &str, absences: &[(u32, SyncKind)]) {
    let _turn = turn();
    let ports = Ports::reserve();
    let mut e = Ensemble::of(&[voters; 2])
        .observer(observer)
        .proxied()
        .master_port(ports.port(0))
        // This many are kept in memory; upstream takes no fewer.
        .property("zookeeper.commitLogCount", 500)
        .property("zookeeper.snapshotSizeFactor", size_factor)
        .build();
    for id in [1, 2] {
        e.start(id);
    }
    e.wait_until("the second one leads", |e| {
        (e.member(1).mode(), e.member(2).mode()) == (Some(Mode::Follower), Some(Mode::Leader))
    });
    write_many(e.member(2).addr(), "/before", 10);
    e.start(3);
    e.wait_until("the observer serves", |e| e.member(3).mode() == Some(Mode::Observer));
    for (n, &(writes, expected)) in absences.iter().enumerate() {
        if n % 2 == 0 {
            e.stop(3);
        } else {
            e.kill(3);
        }
        write_many(e.member(2).addr(), &format!("/absence-{n}"), writes);
        e.network().take_syncs();
        e.start(3);
        e.wait_until("the observer serves again", |e| e.member(3).mode() == Some(Mode::Observer));
        let syncs = e.network().take_syncs();
        let [sync] = syncs[..] else { panic!("{syncs:?}") };
        // 0 stands for whoever has the port for observers.
        assert_eq!(
            (sync.leader, sync.learner, sync.kind),
            (0, 3, expected),
            "{writes} missed, {observer} behind {voters}"
        );
        same_everywhere(&e);
    }
    // What it learned is on its disk: alone it would serve nobody, so all begin anew.
    for id in e.ids() {
        e.kill(id);
    }
    for id in e.ids() {
        e.start(id);
    }
    e.wait_until("the observer serves at last", |e| e.member(3).mode() == Some(Mode::Observer));
    same_everywhere(&e);
}

fn same_everywhere(e: &Ensemble) {
    converge(&e.addrs(), false, false).unwrap_or_else(|what| panic!("{what}"));
}

fn observe(voters: Arm, observer: Arm) {
    let _turn = turn();
    let ports = Ports::reserve();
    let mut ensemble = Ensemble::of(&[voters; 2]).observer(observer).master_port(ports.port(0)).build();
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
