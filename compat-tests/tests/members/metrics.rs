//! What `mntr` counts of the ensemble's own work, at members of either kind.

use std::collections::BTreeMap;

use compat_tests::arm::Arm;
use compat_tests::ensemble::Ensemble;
use compat_tests::ensemble::proxy::Id;
use compat_tests::raw::{Acl, Client, Enc, op};

use crate::on_each::{client, on_each};

const LEADER: Id = 3;
const FOLLOWER: Id = 1;
const OBSERVER: Id = 4;

/// Some counts of these members.
struct Counts(BTreeMap<(Id, &'static str), u64>);

impl Counts {
    fn of(e: &Ensemble, keys: &[(Id, &'static str)]) -> Self {
        let number =
            |id, key| e.member(id).metric(key).unwrap_or_else(|| panic!("member {id} says no {key}"));
        let whole = |text: String| text.parse::<f64>().expect("a number") as u64;
        Self(keys.iter().map(|&(id, key)| ((id, key), whole(number(id, key)))).collect())
    }

    /// Waits until these have grown by so much.
    #[track_caller]
    fn wait_for_growth(&self, e: &mut Ensemble, by: &[((Id, &'static str), u64)]) {
        let mut grown = Vec::new();
        let keys: Vec<_> = by.iter().map(|(of, _)| *of).collect();
        e.wait_until(&format!("{by:?} have been counted"), |e| {
            let now = Counts::of(e, &keys);
            let latest: Vec<_> =
                by.iter().map(|(of, _)| (*of, now.0[of].saturating_sub(self.0[of]))).collect();
            if latest != grown {
                println!("{latest:?}");
                grown = latest;
            }
            grown == by
        });
    }
}

#[test]
fn members_count_proposals_commits_and_sessions_that_move() {
    on_each(
        |builder| builder.observer(Arm::Quoll),
        |e| {
            let growth = [
                // A session, a znode, its end.
                ((LEADER, "proposal_count"), 3),
                ((LEADER, "commit_count"), 3),
                ((LEADER, "learner_proposal_received_count"), 0),
                ((FOLLOWER, "proposal_count"), 0),
                ((FOLLOWER, "learner_proposal_received_count"), 3),
                ((FOLLOWER, "learner_commit_received_count"), 3),
                ((OBSERVER, "learner_proposal_received_count"), 0),
                ((OBSERVER, "learner_commit_received_count"), 3),
                // To another follower and to the observer.
                ((LEADER, "revalidate_count"), 2),
            ];
            let before = Counts::of(e, &growth.map(|(of, _)| of));
            let mut zk = client(e, FOLLOWER);
            zk.create("/m", None, &Acl::open(), 0, 0).unwrap().unwrap();
            for to in [2, OBSERVER] {
                let there = e.member(to).addr();
                zk = Client::attach(there, 30_000, zk.session_id, &zk.passwd, 0)
                    .expect("it takes the session");
                assert_ne!(zk.session_id, 0);
            }
            zk.delete("/m", -1).unwrap().unwrap();
            before.wait_for_growth(e, &growth);
        },
    );
}

#[test]
fn members_count_watches_that_fire_and_bytes_of_notifications() {
    on_each(
        |builder| builder,
        |e| {
            let mut growth = Vec::new();
            for name in ["created", "deleted", "changed", "children"] {
                for (id, fired) in [(FOLLOWER, 1), (LEADER, 0)] {
                    for of in ["cnt", "sum"] {
                        let key: &'static str = format!("{of}_node_{name}_watch_count").leak();
                        growth.push(((id, key), fired));
                    }
                }
            }
            // Three of /m and one of /: header, type, state, path.
            growth.push(((FOLLOWER, "watch_bytes"), 3 * (16 + 8 + 4 + 2) + (16 + 8 + 4 + 1)));
            growth.push(((LEADER, "watch_bytes"), 0));
            let before = Counts::of(e, &growth.iter().map(|(of, _)| *of).collect::<Vec<_>>());
            let mut zk = client(e, FOLLOWER);
            assert!(zk.exists("/m", true).unwrap().is_err());
            assert_eq!(zk.call(op::GET_CHILDREN, &Enc::new().str("/").bool(true).0).unwrap().err, 0);
            zk.create("/m", None, &Acl::open(), 0, 0).unwrap().unwrap();
            zk.get_data("/m", true).unwrap().unwrap();
            zk.set_data("/m", Some(b"m"), -1).unwrap().unwrap();
            zk.get_data("/m", true).unwrap().unwrap();
            zk.delete("/m", -1).unwrap().unwrap();
            before.wait_for_growth(e, &growth);
        },
    );
}

/// A follower that comes back misses some txns; by a setting of the leader it gets the tree all the same.
#[test]
fn leaders_count_how_they_bring_learners_up_to_date() {
    for force_snapshot in [false, true] {
        on_each(
            |builder| builder.property("zookeeper.forceSnapshotSync", force_snapshot),
            |e| {
                let growth = [
                    ((LEADER, "diff_count"), u64::from(!force_snapshot)),
                    ((LEADER, "snap_count"), u64::from(force_snapshot)),
                ];
                let before = Counts::of(e, &growth.map(|(of, _)| of));
                // Who has nothing at all gets the tree in any case.
                client(e, FOLLOWER).create("/had", None, &Acl::open(), 0, 0).unwrap().unwrap();
                e.stop(FOLLOWER);
                client(e, LEADER).create("/m", None, &Acl::open(), 0, 0).unwrap().unwrap();
                e.start(FOLLOWER);
                e.wait_until_all_serve();
                before.wait_for_growth(e, &growth);
            },
        );
    }
}

#[test]
fn members_say_how_long_elections_and_outages_took() {
    on_each(
        |builder| builder.observer(Arm::Quoll),
        |e| {
            let times = |id| {
                let mut keys = vec!["election_time", "follower_sync_time", "observer_sync_time"];
                keys.extend(["unavailable_time", "leader_unavailable_time"]);
                keys.retain(|key| e.member(id).metric(&format!("cnt_{key}")).is_some_and(|n| n != "0"));
                keys
            };
            assert_eq!(times(LEADER), ["election_time", "unavailable_time", "leader_unavailable_time"]);
            assert_eq!(times(FOLLOWER), ["election_time", "follower_sync_time", "unavailable_time"]);
            assert_eq!(times(OBSERVER), ["observer_sync_time", "unavailable_time"]);
            for id in e.ids() {
                assert!(Counts::of(e, &[(id, "looking_count")]).0[&(id, "looking_count")] >= 1);
            }
        },
    );
}
