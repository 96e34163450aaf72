//! Requests as large as they may be, at members that do not decide them.

use compat_tests::load::converge::converge;
use compat_tests::raw::{Acl, MultiOp, MultiResult};

use crate::on_each::{client, observed, on_each};

/// `jute.maxbuffer` is 0xfffff, for the whole packet.
const LARGEST: usize = 0xfffff - 200;

#[test]
fn the_largest_requests_go_through_every_member() {
    on_each(observed, |e| {
        for id in e.ids() {
            let mut zk = client(e, id);
            let data: Vec<u8> = (0..LARGEST).map(|n| (n % 251) as u8 ^ id as u8).collect();
            let path = format!("/large-{id}");
            zk.create(&path, Some(&data), &Acl::open(), 0, 0).unwrap().unwrap();
            zk.set_data(&path, Some(&data), -1).unwrap().unwrap();
            // As large together, and many.
            let ops: Vec<_> = (0..400)
                .map(|n| MultiOp::Create {
                    path: format!("{path}/{n}"),
                    data: Some(data[..LARGEST / 400 - 100].to_vec()),
                    acls: Acl::open(),
                    flags: 0,
                    ttl_ms: 0,
                })
                .collect();
            let results = zk.multi(&ops).unwrap();
            assert!(results.iter().all(|result| matches!(result, MultiResult::Created { .. })));
            // One that is too large ends the connection, and nothing else.
            let mut other = client(e, id);
            let too_large = vec![0; LARGEST + 400];
            assert!(other.set_data(&path, Some(&too_large), -1).is_err());
            let (read, _) = zk.get_data(&path, false).unwrap().unwrap();
            assert!(read.as_deref() == Some(&data[..]), "member {id} has other data");
        }
        // A Java observer that loses its leader while it writes such a record reads half of it then, and comes no more.
        converge(&e.addrs(), true, false).unwrap_or_else(|what| panic!("{what}"));
        // Also who was not there gets it.
        for id in [1, 2] {
            e.kill(id);
        }
        for id in [1, 2] {
            e.start(id);
        }
        e.wait_until_all_serve();
        converge(&e.addrs(), true, false).unwrap_or_else(|what| panic!("{what}"));
    });
}
