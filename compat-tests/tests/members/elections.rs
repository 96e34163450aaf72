//! Who leads.

use std::fs;

use compat_tests::ensemble::Ensemble;
use compat_tests::ensemble::member::Mode;
use compat_tests::raw::Acl;

use crate::on_each::{client, on_each, on_each_unstarted};

#[test]
fn whoever_has_seen_the_newest_epoch_leads_whatever_its_id() {
    on_each(
        |builder| builder,
        |e| {
            client(e, 3).create("/before", None, &Acl::open(), 0, 0).unwrap().unwrap();
            for id in e.ids() {
                e.stop(id);
            }
            let files = e.member(1).data_dir().join("version-2");
            for name in ["currentEpoch", "acceptedEpoch"] {
                let epoch: i64 = fs::read_to_string(files.join(name)).unwrap().trim().parse().unwrap();
                fs::write(files.join(name), (epoch + 1).to_string()).unwrap();
            }
            e.start_led_by(1);
            client(e, 2).exists("/before", false).unwrap().unwrap();
        },
    );
}

/// One group: 1 and 2 decide together, 3 counts for nothing.
#[test]
fn a_member_without_weight_never_leads_and_is_not_needed() {
    on_each_unstarted(
        |builder| builder.key("group.1", "1:2:3").key("weight.3", 0),
        |e| {
            for id in e.ids() {
                e.start(id);
            }
            assert_eq!(e.wait_until_all_serve(), 2);
            client(e, 3).create("/one", None, &Acl::open(), 0, 0).unwrap().unwrap();
            e.kill(3);
            client(e, 1).create("/two", None, &Acl::open(), 0, 0).unwrap().unwrap();
            e.start(3);
            e.wait_until_all_serve();
            client(e, 3).exists("/two", false).unwrap().unwrap();
            // 2 and 3 are more than half of the members, and no quorum.
            e.kill(1);
            e.wait_until("nobody serves", |e| e.member(2).mode().is_none() && e.member(3).mode().is_none());
            e.start(1);
            assert_eq!(e.wait_until_all_serve(), 2);
        },
    );
}

#[test]
fn a_member_that_weighs_more_than_the_others_together_decides_alone() {
    on_each_unstarted(
        |builder| builder.key("group.1", "1:2:3").key("weight.1", 3),
        |e| {
            e.start(1);
            e.wait_until("it leads alone", |e| e.member(1).mode() == Some(Mode::Leader));
            client(e, 1).create("/alone", None, &Acl::open(), 0, 0).unwrap().unwrap();
            e.start(2);
            e.start(3);
            assert_eq!(e.wait_until_all_serve(), 1);
            client(e, 3).exists("/alone", false).unwrap().unwrap();
            e.kill(1);
            e.wait_until("nobody serves", |e| e.member(2).mode().is_none() && e.member(3).mode().is_none());
        },
    );
}

/// Members 1 and 2 may begin with nothing, since somebody put the file there; member 3 lost its data, for all it knows.
#[test]
fn a_member_that_may_not_begin_with_nothing_does_not_lead_and_takes_what_the_others_have() {
    on_each_unstarted(
        |builder| builder.property("zookeeper.db.autocreate", false),
        |e| {
            let marker = |e: &Ensemble, id| e.member(id).data_dir().join("initialize");
            for id in [1, 2] {
                fs::create_dir_all(e.member(id).data_dir()).unwrap();
                fs::write(marker(e, id), "").unwrap();
            }
            // With it alone there are two of three, and none that may be elected but the first, for whom it has no vote.
            e.start(3);
            e.start(1);
            e.wait_until("both answer", |e| [1, 3].iter().all(|id| e.member(*id).word("ruok").is_ok()));
            e.start(2);
            assert_eq!(e.wait_until_all_serve(), 2);
            client(e, 3).create("/all", None, &Acl::open(), 0, 0).unwrap().unwrap();
            for id in e.ids() {
                assert!(!marker(e, id).exists(), "it counts once: member {id}");
            }
        },
    );
}
