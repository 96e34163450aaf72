//! Members join, leave, and change what they are, while clients write.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use compat_tests::arm::Arm::{self, Java, Quoll};
use compat_tests::ensemble::member::Mode;
use compat_tests::ensemble::proxy::PeerPorts;
use compat_tests::ensemble::{Ensemble, PATIENCE};
use compat_tests::ports::Ports;
use compat_tests::raw::{Acl, Client, Enc};

use crate::run::{MIXED, QUOLL, Run, three};

pub const RECONFIG: i32 = 16;
const DATA_CHANGED: i32 = 3;
const NEW_CONFIG_NO_QUORUM: i32 = -13;
const BAD_VERSION: i32 = -103;

#[test]
fn a_quoll_ensemble_grows_from_one_to_five_and_shrinks_again_under_load() {
    let _run = Run::new("a_quoll_ensemble_grows_from_one_to_five_and_shrinks_again_under_load");
    grow_and_shrink(&[Quoll; 5]);
}

#[test]
fn a_quoll_leader_takes_java_members_in_and_lets_them_go_under_load() {
    let _run = Run::new("a_quoll_leader_takes_java_members_in_and_lets_them_go_under_load");
    grow_and_shrink(&[Quoll, Java, Quoll, Java, Java]);
}

#[test]
fn quoll_members_join_a_java_leader_and_leave_it_under_load() {
    let _run = Run::new("quoll_members_join_a_java_leader_and_leave_it_under_load");
    grow_and_shrink(&[Java, Quoll, Java, Quoll, Quoll]);
}

#[test]
fn a_quoll_leader_that_is_removed_or_made_an_observer_hands_over_under_load() {
    let _run = Run::new("a_quoll_leader_that_is_removed_or_made_an_observer_hands_over_under_load");
    hand_over(&QUOLL);
}

#[test]
fn leaders_of_both_kinds_hand_over_to_the_other_kind_under_load() {
    let _run = Run::new("leaders_of_both_kinds_hand_over_to_the_other_kind_under_load");
    hand_over(&MIXED);
}

#[test]
fn clients_connect_where_a_reconfiguration_says_and_old_connections_stay() {
    let _run = Run::new("clients_connect_where_a_reconfiguration_says_and_old_connections_stay");
    let mut e = Ensemble::of(&MIXED).build();
    for id in 1..=3 {
        e.start_knowing(id, &[1, 2, 3]);
    }
    e.wait_until_all_serve();
    let (quoll, old) = (1, e.member(1).addr());
    assert_eq!(e.member(quoll).arm, Quoll);
    let mut zk = Client::connect(old, 30_000).expect("the member serves");
    zk.get_data("/zookeeper/config", true).expect("the member answers").expect("a node");
    let new = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let line = e.server_line(quoll, "participant").replace(&format!(";{old}"), &format!(";{new}"));
    assert_eq!(change(e.member(2).addr(), &line, "", -1), Some(0));
    // The watch comes on the connection that there was, and this goes on.
    zk.sync("/").expect("the member answers").expect("a sync");
    let events: Vec<_> = zk.events.drain(..).map(|event| (event.kind, event.path)).collect();
    assert_eq!(events, [(DATA_CHANGED, "/zookeeper/config".to_owned())]);
    let (data, stat) = zk.get_data("/zookeeper/config", false).expect("the member answers").expect("a node");
    assert!(String::from_utf8_lossy(&data.unwrap_or_default()).contains(&format!(";{new}")));
    assert_eq!((stat.version, stat.czxid), (-1, 0));
    // New ones are taken at the new port only.
    let deadline = Instant::now() + PATIENCE;
    let mut fresh = loop {
        match Client::connect(new, 30_000) {
            Ok(zk) => break zk,
            Err(error) => assert!(Instant::now() < deadline, "nobody at {new}: {error}"),
        }
        thread::sleep(Duration::from_millis(10));
    };
    fresh.sync("/").expect("the member answers").expect("a sync");
    while TcpStream::connect(old).is_ok() {
        assert!(Instant::now() < deadline, "{old} is still open");
        thread::sleep(Duration::from_millis(10));
    }
    zk.sync("/").expect("the member answers").expect("a sync");
}

#[test]
fn members_and_the_leader_of_a_quoll_ensemble_move_to_other_ports_under_load() {
    let _run = Run::new("members_and_the_leader_of_a_quoll_ensemble_move_to_other_ports_under_load");
    move_ports(&QUOLL);
}

#[test]
fn members_of_both_kinds_and_a_quoll_leader_move_to_other_ports_under_load() {
    let _run = Run::new("members_of_both_kinds_and_a_quoll_leader_move_to_other_ports_under_load");
    move_ports(&MIXED);
}

#[test]
fn members_of_both_kinds_and_a_java_leader_move_to_other_ports_under_load() {
    let _run = Run::new("members_of_both_kinds_and_a_java_leader_move_to_other_ports_under_load");
    move_ports(&[Java, Quoll, Java]);
}

/// The new port could not be taken while the other part of the server still had it.
#[test]
fn the_two_ports_of_a_member_may_change_places() {
    let _run = Run::new("the_two_ports_of_a_member_may_change_places");
    let mut e = Ensemble::of(&QUOLL).build();
    for id in 1..=3 {
        e.start_knowing(id, &[1, 2, 3]);
    }
    let leader = e.wait_until_all_serve();
    let id = if leader == 1 { 2 } else { 1 };
    let PeerPorts { quorum, election } = e.member(id).peer_ports;
    e.move_peer_ports(id, PeerPorts { quorum: election, election: quorum });
    assert_eq!(change(e.member(leader).addr(), &e.server_line(id, "participant"), "", -1), Some(0));
    e.wait_until("both ports are taken anew", |e| {
        let log = e.member(id).log();
        log.contains(&format!("elections take place at [127.0.0.1:{quorum}] now"))
            && log.contains(&format!("learners are listened to at [127.0.0.1:{election}] now"))
    });
    e.kill(leader);
    e.wait_until("the other two go on", |e| e.leader().is_some());
    e.start_as_it_is(leader);
    e.wait_until_all_serve();
}

#[test]
fn a_port_that_somebody_else_has_is_taken_as_soon_as_it_is_free() {
    let _run = Run::new("a_port_that_somebody_else_has_is_taken_as_soon_as_it_is_free");
    let ports = Ports::reserve();
    let mut e = Ensemble::of(&QUOLL).build();
    for id in 1..=3 {
        e.start_knowing(id, &[1, 2, 3]);
    }
    let leader = e.wait_until_all_serve();
    let id = if leader == 1 { 2 } else { 1 };
    let old = move_one(&mut e, id, &ports);
    let new = e.member(id).peer_ports;
    let busy =
        [new.quorum, new.election].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a free port"));
    assert_eq!(change(e.member(leader).addr(), &e.server_line(id, "participant"), "", -1), Some(0));
    e.wait_until("it is tried for", |e| e.member(id).log().matches("is tried for again").count() > 2);
    assert_eq!(e.member(id).mode(), Some(Mode::Follower), "it goes on");
    drop(busy);
    wait_for_ports(&mut e, id, old);
    e.kill(leader);
    e.wait_until("the other two go on", |e| e.leader().is_some());
}

/// Member 1 leads from the beginning to the end.
fn grow_and_shrink(kinds: &[Arm; 5]) {
    let mut e = Ensemble::of(kinds).build();
    e.start_knowing(1, &[1]);
    e.wait_until("member 1 leads", |e| e.member(1).mode() == Some(Mode::Leader));
    let at = e.member(1).addr();
    let load = Writes::begin(vec![at]);
    let mut known = vec![1];
    for id in 2..=5 {
        known.push(id);
        e.start_knowing(id, &known);
        e.wait_until("the new member follows", |e| e.member(id).mode() == Some(Mode::Follower));
        assert_eq!(change(at, &e.server_line(id, "participant"), "", -1), Some(0));
        load.wait_for(50);
    }
    // What cannot be is refused and changes nothing.
    let nowhere = "server.8=127.0.0.1:1:2;3,server.9=127.0.0.1:4:5;6";
    assert_eq!(change(at, nowhere, "2,3,4,5", -1), Some(NEW_CONFIG_NO_QUORUM));
    assert_eq!(change(at, "", "5", 7), Some(BAD_VERSION));
    load.verify(&e, &known);
    // One changes its part and back, on the connection of nobody else.
    assert_eq!(change(at, &e.server_line(4, "observer"), "", -1), Some(0));
    e.wait_until("member 4 observes", |e| e.member(4).mode() == Some(Mode::Observer));
    load.wait_for(50);
    assert_eq!(change(at, &e.server_line(4, "participant"), "", -1), Some(0));
    e.wait_until("member 4 follows", |e| e.member(4).mode() == Some(Mode::Follower));
    // The files are those of the new configuration.
    e.kill(5);
    let text = std::fs::read_to_string(e.member(5).config_path()).expect("a readable file");
    assert!(text.contains("dynamicConfigFile=") && !text.contains("server."), "{text}");
    load.wait_for(50);
    e.start_as_it_is(5);
    e.wait_until("member 5 follows again", |e| e.member(5).mode() == Some(Mode::Follower));
    load.verify(&e, &known);
    for id in [5, 3, 4, 2] {
        assert_eq!(change(at, "", &id.to_string(), -1), Some(0));
        // Who was removed goes on without a vote, until somebody ends it.
        assert_eq!(e.member(id).mode(), Some(Mode::Follower));
        e.kill(id);
        load.wait_for(50);
    }
    assert_eq!(e.member(1).mode(), Some(Mode::Leader));
    assert_eq!(load.verify(&e, &[1]).matches("server.").count(), 1);
    assert_eq!(load.end(), 0, "no write was refused and no connection lost");
}

fn hand_over(kinds: &[Arm; 3]) {
    let mut e = Ensemble::of(kinds).build();
    for id in 1..=3 {
        e.start_knowing(id, &[1, 2, 3]);
    }
    let first = e.wait_until_all_serve();
    let load = Writes::begin(e.addrs());
    load.wait_for(50);
    // Its client may hear nothing of it: the connection ends with the leader.
    let _ = change(e.member(first).addr(), "", &first.to_string(), -1);
    let mut second = 0;
    e.wait_until("another one leads and the old leader follows", |e| {
        second = e.leader().unwrap_or(first);
        second != first && e.member(first).mode() == Some(Mode::Follower)
    });
    load.wait_for(50);
    assert_eq!(change(e.member(second).addr(), &e.server_line(first, "participant"), "", -1), Some(0));
    load.wait_for(50);
    let _ = change(e.member(second).addr(), &e.server_line(second, "observer"), "", -1);
    e.wait_until("the leader observes and another one leads", |e| {
        e.member(second).mode() == Some(Mode::Observer) && e.leader().is_some()
    });
    load.wait_for(50);
    let config = load.verify(&e, &[1, 2, 3]);
    assert_eq!((config.matches("participant").count(), config.matches("observer").count()), (2, 1));
    load.end();
    for id in 1..=3 {
        e.kill(id);
    }
    for id in 1..=3 {
        e.start_as_it_is(id);
    }
    e.wait_until_all_serve();
    assert_eq!(e.member(second).mode(), Some(Mode::Observer), "the files say so");
}

/// First the followers get other ports for their peers, then the leader.
fn move_ports(kinds: &[Arm; 3]) {
    let ports = Ports::reserve();
    let mut e = three(kinds);
    let load = Writes::begin(e.addrs());
    load.wait_for(50);
    for id in [1, 2] {
        let old = move_one(&mut e, id, &ports);
        assert_eq!(change(e.member(3).addr(), &e.server_line(id, "participant"), "", -1), Some(0));
        load.wait_for(50);
        wait_for_ports(&mut e, id, old);
        assert_eq!((e.leader(), e.member(id).mode()), (Some(3), Some(Mode::Follower)));
        // What it starts with next is in its files.
        e.kill(id);
        load.wait_for(50);
        e.start_as_it_is(id);
        e.wait_until("it follows again", |e| e.member(id).mode() == Some(Mode::Follower));
    }
    load.verify(&e, &[1, 2, 3]);
    // Its followers are told before they lose it: the client of one has its answer.
    let old = move_one(&mut e, 3, &ports);
    let at = [1, 2].into_iter().find(|id| e.member(*id).arm == Quoll).expect("one follower is Quoll");
    assert_eq!(change(e.member(at).addr(), &e.server_line(3, "participant"), "", -1), Some(0));
    if e.member(3).arm == Quoll {
        e.wait_until("another one leads and the old leader follows", |e| {
            [1, 2].contains(&e.leader().unwrap_or(3)) && e.member(3).mode() == Some(Mode::Follower)
        });
    } else {
        // Under load an upstream leader may give way to one that lacks what came after the reconfiguration. It refuses
        // those that have that, and as a voter of the new configuration the old leader may win the next election.
        e.wait_until_all_serve();
    }
    load.wait_for(50);
    wait_for_ports(&mut e, 3, old);
    let config = load.verify(&e, &[1, 2, 3]);
    for id in 1..=3 {
        assert!(config.contains(&e.server_line(id, "participant")), "{config}");
    }
    load.end();
    // Nobody has anything that the others lack, so the greatest number is elected, by way of ports that are all new.
    let second = e.wait_until_all_serve();
    if second != 3 {
        e.kill(second);
        e.wait_until("member 3 leads at its new port", |e| e.leader() == Some(3));
        e.start_as_it_is(second);
        e.wait_until_all_serve();
    }
    for id in 1..=3 {
        e.kill(id);
    }
    for id in 1..=3 {
        e.start_as_it_is(id);
    }
    e.wait_until_all_serve();
    let texts: Vec<_> = [1, 2, 3].map(|id| config_of(e.member(id).addr())).into();
    assert!(texts.iter().all(|text| *text == config), "{texts:?}");
}

/// Gives the member the next two of these ports. Answers which it had.
pub fn move_one(e: &mut Ensemble, id: u64, ports: &Ports) -> PeerPorts {
    let old = e.member(id).peer_ports;
    let at = (id - 1) as u16 * 2;
    e.move_peer_ports(id, PeerPorts { quorum: ports.port(at), election: ports.port(at + 1) });
    old
}

/// Waits until the member listens where it has to, and no longer where it did.
pub fn wait_for_ports(e: &mut Ensemble, id: u64, old: PeerPorts) {
    let listens = |port: u16| TcpStream::connect(("127.0.0.1", port)).is_ok();
    e.wait_until("it listens at the new ports only", |e| {
        let new = e.member(id).peer_ports;
        // A Java server has its quorum port only while it leads.
        let quorum = e.member(id).arm == Java || listens(new.quorum);
        quorum && listens(new.election) && !listens(old.quorum) && !listens(old.election)
    });
}

pub fn config_of(at: SocketAddr) -> String {
    config_if_served(at).unwrap_or_else(|| panic!("{at} does not serve"))
}

/// The configuration, by the word of a member; `None` when it does not serve, or stops while it is asked.
pub fn config_if_served(at: SocketAddr) -> Option<String> {
    let mut zk = Client::connect(at, 30_000).ok()?;
    let (data, _) = zk.get_data("/zookeeper/config", false).ok()?.ok()?;
    zk.close().ok()?;
    String::from_utf8(data?).ok()
}

/// Asks for another configuration; the error of the answer, if there is one.
pub fn change(at: SocketAddr, joining: &str, leaving: &str, from: i64) -> Option<i32> {
    let mut zk = Client::connect(at, 30_000).expect("the member serves");
    zk.add_auth("digest", b"super:golden").expect("the member answers").expect("the password is right");
    let body = Enc::new().str(joining).str(leaving).int(-1).long(from);
    zk.call(RECONFIG, &body.0).ok().map(|reply| reply.err)
}

/// A client that creates one node after the other and remembers which were acknowledged.
pub struct Writes {
    stop: Arc<AtomicBool>,
    done: Arc<std::sync::Mutex<Vec<String>>>,
    thread: thread::JoinHandle<usize>,
}

impl Writes {
    pub fn begin(at: Vec<SocketAddr>) -> Writes {
        // Names that are there already cost a session each: rounds later there are thousands of them.
        static BEGUN: AtomicU32 = AtomicU32::new(0);
        let begun = BEGUN.fetch_add(1, Ordering::Relaxed);
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (its_stop, its_done) = (stop.clone(), done.clone());
        let thread = thread::spawn(move || {
            let (mut zk, mut lost) = (None::<Client>, 0);
            for n in 0.. {
                if its_stop.load(Ordering::Relaxed) {
                    break;
                }
                let path = format!("/w{begun}-{n:07}");
                let mut servers = at.iter().cycle().skip(lost % at.len()).take(at.len());
                let Some(mut client) =
                    zk.take().or_else(|| servers.find_map(|at| Client::connect(*at, 30_000).ok()))
                else {
                    thread::sleep(Duration::from_millis(10));
                    continue;
                };
                match client.create(&path, Some(b"x"), &Acl::open(), 0, 0) {
                    Ok(Ok(_)) => {
                        its_done.lock().expect("nobody panics").push(path);
                        zk = Some(client);
                    }
                    _ => lost += 1,
                }
            }
            lost
        });
        Writes { stop, done, thread }
    }

    fn count(&self) -> usize {
        self.done.lock().expect("nobody panics").len()
    }

    /// Waits until so many more writes are acknowledged.
    #[track_caller]
    pub fn wait_for(&self, more: usize) {
        let (until, deadline) = (self.count() + more, Instant::now() + PATIENCE);
        while self.count() < until {
            assert!(Instant::now() < deadline, "no {more} writes within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Every one of these members has every acknowledged write, and all of them have one configuration, which is
    /// answered.
    #[track_caller]
    pub fn verify(&self, e: &Ensemble, members: &[u64]) -> String {
        let mut configs = Vec::new();
        for id in members {
            let done = self.done.lock().expect("nobody panics").clone();
            let mut zk = Client::connect(e.member(*id).addr(), 30_000).expect("the member serves");
            zk.sync("/").expect("the member answers").expect("a sync");
            let there = zk.children("/").expect("the member answers").expect("the root");
            let there: std::collections::HashSet<_> = there.into_iter().collect();
            let missing: Vec<_> = done.iter().filter(|path| !there.contains(&path[1..])).collect();
            assert!(missing.is_empty(), "member {id} lacks {missing:?}");
            let (data, _) =
                zk.get_data("/zookeeper/config", false).expect("the member answers").expect("a node");
            configs.push(String::from_utf8(data.unwrap_or_default()).expect("text"));
        }
        assert!(configs.iter().all(|c| *c == configs[0]), "{configs:?}");
        configs.swap_remove(0)
    }

    /// Ends it; how many requests had no answer or a bad one.
    pub fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}
