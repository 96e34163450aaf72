//! Members that are known by names move to other addresses, while the others go on.

use std::net::TcpStream;

use compat_tests::arm::Arm;
use compat_tests::ensemble::Ensemble;
use compat_tests::raw::write_many;

use crate::run::{MIXED, QUOLL, Run};

#[test]
fn a_quoll_member_that_moves_to_another_address_is_found_by_its_name() {
    let _run = Run::new("a_quoll_member_that_moves_to_another_address_is_found_by_its_name");
    move_hosts(&QUOLL);
}

#[test]
fn members_of_both_kinds_find_who_moves_to_another_address_by_its_name() {
    let _run = Run::new("members_of_both_kinds_find_who_moves_to_another_address_by_its_name");
    move_hosts(&MIXED);
}

/// First the leader moves, which the others have to find to learn from it; then a member with a smaller number, to
/// which the leader has to connect back for elections.
fn move_hosts(kinds: &[Arm; 3]) {
    // Java remembers an address for half a minute otherwise.
    let mut e = Ensemble::of(kinds).named().property("sun.net.inetaddr.ttl", 0).start();
    for id in [3, 1] {
        write_many(e.member(2).addr(), &format!("/before-{id}"), 10);
        e.kill(id);
        let address = format!("127.0.1.{id}");
        e.move_host(id, &address);
        e.start(id);
        e.wait_until_all_serve();
        let election = e.member(id).peer_ports.election;
        assert!(TcpStream::connect((&*address, election)).is_ok(), "it is there");
        assert!(TcpStream::connect((&*format!("127.0.0.{id}"), election)).is_err(), "it is not where it was");
        // Nobody has anything that the others lack, so of the other two the greater number is elected.
        e.kill(2);
        e.wait_until("member 3 leads", |e| e.leader() == Some(3));
        e.start(2);
        assert_eq!(e.wait_until_all_serve(), 3);
        write_many(e.member(1).addr(), &format!("/after-{id}"), 10);
    }
}
