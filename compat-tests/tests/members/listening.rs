//! Where members listen for their peers.

use std::net::TcpStream;

use compat_tests::arm::compare_arms;
use compat_tests::ensemble::{Ensemble, turn};

#[test]
fn members_listen_for_peers_at_their_own_address_or_at_all() {
    let _turn = turn();
    compare_arms("members-listening", |arm| {
        let mut seen = String::new();
        for everywhere in [false, true] {
            let e = Ensemble::of(&[arm; 3]).key("quorumListenOnAllIPs", everywhere).start();
            let ports = e.member(3).peer_ports;
            for (what, port) in [("election", ports.election), ("quorum", ports.quorum)] {
                for host in ["127.0.0.1", "127.0.0.9"] {
                    let connects = TcpStream::connect((host, port)).is_ok();
                    seen += &format!("all {everywhere}, {what} port of the leader at {host}: {connects}\n");
                }
            }
        }
        seen
    });
}
