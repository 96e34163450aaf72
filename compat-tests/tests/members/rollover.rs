//! The end of an epoch's numbers.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use compat_tests::ensemble::{Ensemble, PATIENCE};
use compat_tests::load::converge::converge;
use compat_tests::raw::{Acl, Client, code};

use crate::on_each::{client, on_each};

#[test]
fn when_the_numbers_of_an_epoch_are_used_up_another_one_begins_and_nothing_is_lost() {
    on_each(
        // Each epoch has fifty numbers.
        |builder| builder.property("zookeeper.testingonly.initialZxid", u32::MAX - 50),
        |e| {
            let epochs: BTreeSet<_> = (0..70).map(|n| create(e, &format!("/n-{n:03}")) >> 32).collect();
            assert!(epochs.len() > 1, "{epochs:?}");
            e.wait_until_all_serve();
            converge(&e.addrs(), true, false).unwrap_or_else(|what| panic!("{what}"));
            assert_eq!(client(e, 1).children("/").unwrap().unwrap().len(), 71);
        },
    );
}

/// Creates a znode, at whatever member answers; its zxid.
fn create(e: &Ensemble, path: &str) -> i64 {
    let deadline = Instant::now() + PATIENCE;
    for addr in e.addrs().into_iter().cycle() {
        let zxid = Client::connect(addr, 30_000).and_then(|mut zk| {
            let zxid = match zk.create(path, None, &Acl::open(), 0, 0)? {
                Ok((_, stat)) => Some(stat.czxid),
                // By the attempt before, which was not answered.
                Err(code::NODE_EXISTS) => zk.exists(path, false)?.ok().map(|stat| stat.czxid),
                Err(error) => panic!("{path}: error {error}"),
            };
            zk.close()?;
            Ok(zxid)
        });
        if let Ok(Some(zxid)) = zxid {
            return zxid;
        }
        assert!(Instant::now() < deadline, "{path} cannot be created. {}", e.standing());
        thread::sleep(Duration::from_millis(20));
    }
    unreachable!("an ensemble has members")
}
