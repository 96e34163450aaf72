//! What is seen after what.

use compat_tests::arm::Arm;
use compat_tests::load::converge::converge;
use compat_tests::raw::{Acl, Dec, Enc, create_body, op};

use crate::on_each::{client, observed, on_each};

#[test]
fn a_read_behind_a_sync_sees_what_was_acknowledged_anywhere_before() {
    on_each(observed, |e| {
        client(e, 1).create("/place", Some(b""), &Acl::open(), 0, 0).unwrap().unwrap();
        for (writes, reads) in e.ids().into_iter().flat_map(|w| e.ids().into_iter().map(move |r| (w, r))) {
            // A Java leader has told the followers of a commit a moment before it applies it itself.
            if reads == 3 && e.member(reads).arm == Arm::Java {
                continue;
            }
            let (mut writer, mut reader) = (client(e, writes), client(e, reads));
            for n in 0..50 {
                let value = format!("{writes} {reads} {n}");
                writer.set_data("/place", Some(value.as_bytes()), -1).unwrap().unwrap();
                reader.sync("/place").unwrap().unwrap();
                let (data, _) = reader.get_data("/place", false).unwrap().unwrap();
                assert_eq!(data.as_deref(), Some(value.as_bytes()), "{writes} writes, {reads} reads");
            }
        }
    });
}

#[test]
fn pipelined_requests_are_answered_in_their_order_and_see_those_before_them() {
    on_each(observed, |e| {
        client(e, 1).create("/queue", Some(b""), &Acl::open(), 0, 0).unwrap().unwrap();
        for id in e.ids() {
            let mut zk = client(e, id);
            let mut asked = Vec::new();
            for n in 0..200 {
                let value = n.to_string();
                let set = Enc::new().str("/queue").buf(Some(value.as_bytes())).int(-1);
                let (create, node) = create_body("/queue/n-", Some(value.as_bytes()), &Acl::open(), 2, 0);
                asked.push(zk.send(op::SET_DATA, &set.0).unwrap());
                asked.push(zk.send(op::GET_DATA, &Enc::new().str("/queue").bool(false).0).unwrap());
                asked.push(zk.send(create, &node.0).unwrap());
                asked.push(zk.send(op::SYNC, &Enc::new().str("/queue").0).unwrap());
                // Refused, by who applies it.
                asked.push(zk.send(op::DELETE, &Enc::new().str("/queue").int(-1).0).unwrap());
            }
            let mut zxid = 0;
            for (n, turn) in asked.chunks(5).enumerate() {
                for (&xid, expected) in turn.iter().zip([0, 0, 0, 0, -111]) {
                    let reply = zk.recv().unwrap();
                    assert_eq!((reply.xid, reply.err), (xid, expected), "member {id}, turn {n}");
                    assert!(reply.zxid >= zxid, "member {id}, turn {n}: the zxid goes back");
                    zxid = reply.zxid;
                    if xid == turn[1] {
                        let read = Dec(&reply.body).buf().unwrap();
                        assert_eq!(read.as_deref(), Some(n.to_string().as_bytes()), "member {id}");
                    }
                }
            }
        }
        let mut names = client(e, 3).children("/queue").unwrap().unwrap();
        names.dedup();
        assert_eq!(names.len(), 200 * e.ids().len());
        converge(&e.addrs(), true, true).unwrap_or_else(|what| panic!("{what}"));
    });
}
