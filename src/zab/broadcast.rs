use super::Quorum;
use crate::types::{ServerId, Zxid};
use std::collections::BTreeMap;

/// What has been proposed, who has it on stable storage, and what is therefore committed.
///
/// An acknowledgement covers everything before it: members force their logs in order.
#[derive(Clone, Debug)]
pub struct Broadcast {
    quorums: Vec<Quorum>,
    acked: BTreeMap<ServerId, Zxid>,
    proposed: Zxid,
    committed: Zxid,
}

impl Broadcast {
    /// Begins after `last`, which is committed.
    pub fn new(quorum: Quorum, last: Zxid) -> Self {
        Self::of(vec![quorum], last)
    }

    /// Begins after `last`, which is committed; a commit needs every one of these.
    ///
    /// # Panics
    /// Without a quorum: everything would be committed at once.
    pub fn of(quorums: Vec<Quorum>, last: Zxid) -> Self {
        assert!(!quorums.is_empty(), "somebody has to decide");
        Self { quorums, acked: BTreeMap::new(), proposed: last, committed: last }
    }

    /// The last zxid proposed.
    pub fn proposed(&self) -> Zxid {
        self.proposed
    }

    /// The last zxid committed.
    pub fn committed(&self) -> Zxid {
        self.committed
    }

    /// Proposes the next txn and gives its zxid.
    pub fn propose(&mut self) -> Zxid {
        self.proposed = self.proposed.next();
        self.proposed
    }

    /// The member has everything up to `zxid` on stable storage. Answers whether more is committed now.
    ///
    /// # Panics
    /// When a member acknowledges what was never proposed: its log has diverged, and to stop beats to diverge.
    pub fn ack(&mut self, member: ServerId, zxid: Zxid) -> bool {
        assert!(
            zxid <= self.proposed,
            "server {} acknowledges {zxid} but only {} was proposed",
            member.0,
            self.proposed
        );
        let acked = self.acked.entry(member).or_default();
        *acked = (*acked).max(zxid);
        // Only this member has moved, so nothing beyond what it has is newly decided.
        let acked = &self.acked;
        let have = |mark: Zxid| move |m: ServerId| acked.get(&m).is_some_and(|has| *has >= mark);
        let decided = acked
            .values()
            .filter(|mark| **mark > self.committed && **mark <= zxid)
            .filter(|mark| self.quorums.iter().all(|q| q.agrees(have(**mark))))
            .max();
        match decided.copied() {
            Some(zxid) => {
                self.committed = zxid;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_of_one_commits_what_it_has_forced() {
        let mut b = Broadcast::new(Quorum::majority([ServerId(1)]), Zxid(7));
        assert_eq!(b.propose(), Zxid(8));
        assert_eq!(b.propose(), Zxid(9));
        assert_eq!(b.committed(), Zxid(7));
        assert!(b.ack(ServerId(1), Zxid(8)));
        assert_eq!(b.committed(), Zxid(8));
        assert!(!b.ack(ServerId(1), Zxid(8)));
    }

    #[test]
    fn three_members_commit_what_two_have() {
        let mut b = Broadcast::new(Quorum::majority([1, 2, 3].map(ServerId)), Zxid(0));
        for _ in 0..5 {
            b.propose();
        }
        assert!(!b.ack(ServerId(1), Zxid(5)));
        assert!(b.ack(ServerId(3), Zxid(2)));
        assert_eq!(b.committed(), Zxid(2));
        assert!(b.ack(ServerId(2), Zxid(4)));
        assert_eq!(b.committed(), Zxid(4));
        assert!(!b.ack(ServerId(9), Zxid(5)));
    }

    #[test]
    fn during_a_reconfiguration_both_configurations_have_to_agree() {
        let quorums =
            vec![Quorum::majority([1, 2, 3].map(ServerId)), Quorum::majority([1, 4, 5].map(ServerId))];
        let mut b = Broadcast::of(quorums, Zxid(0));
        b.propose();
        b.propose();
        assert!(!b.ack(ServerId(1), Zxid(2)));
        assert!(!b.ack(ServerId(2), Zxid(2)));
        assert!(b.ack(ServerId(4), Zxid(1)));
        assert_eq!(b.committed(), Zxid(1));
        assert!(b.ack(ServerId(5), Zxid(2)));
        assert_eq!(b.committed(), Zxid(2));
    }

    #[test]
    #[should_panic(expected = "only 0x0 was proposed")]
    fn an_acknowledgement_of_the_future_stops_the_leader() {
        Broadcast::new(Quorum::majority([ServerId(1)]), Zxid(0)).ack(ServerId(1), Zxid(1));
    }
}
