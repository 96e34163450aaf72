//! What Quoll refuses to a client, by its own rules; there is no other arm to compare with.

use std::net::SocketAddr;

use compat_tests::raw::{Acl, Client, Enc, code, flag, op};
use compat_tests::state::SUPER_DIGEST;
use compat_tests::{Arm, Server};

fn start() -> (Server, SocketAddr) {
    let server = Server::builder(Arm::Quoll)
        .property("zookeeper.extendedTypesEnabled", "true")
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER_DIGEST)
        .start();
    let addr = ([127, 0, 0, 1], server.port()).into();
    (server, addr)
}

#[test]
fn requests_that_only_servers_make_are_refused_to_clients() {
    let (_server, addr) = start();
    let mut other = Client::connect(addr, 10_000).unwrap();
    for (path, flags) in [("/plain", flag::PERSISTENT), ("/container", flag::CONTAINER)] {
        other.create(path, None, &Acl::open(), flags, 0).unwrap().unwrap();
        let mut zk = Client::connect(addr, 10_000).unwrap();
        let reply = zk.call(op::DELETE_CONTAINER, &Enc::new().str(path).0).unwrap();
        assert_eq!(reply.err, code::UNIMPLEMENTED, "deleteContainer of {path}");
        other.exists(path, false).unwrap().expect("the node is still there");
    }
    let mut zk = Client::connect(addr, 10_000).unwrap();
    // Answered with an error or by a close, never by a session.
    if let Ok(reply) = zk.call(op::CREATE_SESSION, &Enc::new().int(5_000).0) {
        assert_eq!(reply.err, code::UNIMPLEMENTED, "createSession on an established connection");
    }
}

#[test]
fn a_ttl_create_whose_flag_has_no_ttl_is_refused_before_it_is_logged() {
    let (_server, addr) = start();
    let mut zk = Client::connect(addr, 10_000).unwrap();
    for (flags, ttl_ms) in [(flag::PERSISTENT, -1), (flag::EPHEMERAL, -1), (flag::CONTAINER, i64::MIN)] {
        let body = Enc::new().str("/t").buf(None).acls(&Acl::open()).int(flags).long(ttl_ms);
        let reply = zk.call(op::CREATE_TTL, &body.0).unwrap();
        assert_eq!(reply.err, code::BAD_ARGUMENTS, "flag {flags}, ttl {ttl_ms}");
        assert_eq!(zk.exists("/t", false).unwrap(), Err(code::NO_NODE));
    }
}

#[test]
fn a_wrong_password_does_not_disturb_the_session_it_names() {
    let (_server, addr) = start();
    let mut zk = Client::connect(addr, 10_000).unwrap();
    zk.create("/e", None, &Acl::open(), flag::EPHEMERAL, 0).unwrap().unwrap();
    let wrong = Client::attach(addr, 10_000, zk.session_id, &[7; 16], 0).unwrap();
    assert_eq!((wrong.session_id, wrong.timeout_ms), (0, 0));
    assert_eq!(wrong.passwd, [0; 16]);
    let stat = zk.exists("/e", false).expect("the connection still works").unwrap();
    assert_eq!(stat.ephemeral_owner, zk.session_id);
}
