use super::Quorum;
use crate::types::{
    ServerId, Zxid,
    guard::{self, Guard},
};
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
    /// A reconfiguration that is proposed, until it is activated. Nothing behind it is committed before.
    next: Option<Next>,
    /// Another one is to commit what comes next.
    over: bool,
}

#[derive(Clone, Debug)]
struct Next {
    zxid: Zxid,
    quorum: Quorum,
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
        Self { quorums, acked: BTreeMap::new(), proposed: last, committed: last, next: None, over: false }
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
        self.decide(zxid)
    }

    /// The member joins anew: of what is not committed it has only what it acknowledges from now on. Its log may be cut
    /// back to what is committed, or be lost and replaced by a tree.
    pub fn joins_anew(&mut self, member: ServerId) {
        if guard::holds(Guard::AcksEndWithConnection) {
            self.acked.remove(&member);
        }
    }

    /// Commits what is decided, up to `limit`. Answers whether that is more than before.
    fn decide(&mut self, limit: Zxid) -> bool {
        if self.over {
            return false;
        }
        let acked = &self.acked;
        let agree = |mark: Zxid, q: &Quorum| q.agrees(|m| acked.get(&m).is_some_and(|has| *has >= mark));
        // What somebody has last; around a reconfiguration also what lies on its two sides.
        let edges = self.next.iter().flat_map(|next| [Zxid(next.zxid.0 - 1), next.zxid]);
        let end = self.next.as_ref().map_or(Zxid(i64::MAX), |next| next.zxid);
        let decided = acked
            .values()
            .copied()
            .chain(edges)
            .filter(|mark| *mark > self.committed && *mark <= limit && *mark <= end)
            .filter(|mark| {
                let joint = |next: &&Next| next.zxid <= *mark && guard::holds(Guard::JointQuorum);
                let next = self.next.iter().filter(joint).map(|next| &next.quorum);
                self.quorums.iter().chain(next).all(|q| agree(*mark, q))
            })
            .max();
        match decided {
            Some(zxid) => {
                self.committed = zxid;
                true
            }
            None => false,
        }
    }

    /// The txn proposed last is a reconfiguration: it, and what comes behind it, needs this quorum, too.
    ///
    /// # Panics
    /// While another one is under way.
    pub fn reconfigure(&mut self, quorum: Quorum) {
        assert!(self.next.is_none(), "one reconfiguration at a time");
        self.next = Some(Next { zxid: self.proposed, quorum });
    }

    /// If a reconfiguration is committed, from now on its quorum alone decides. Answers its zxid and who is to lead:
    /// this member if it `stays`, and otherwise the member that has most. This member commits nothing more then.
    ///
    /// Upstream counterpart: `Leader.getDesignatedLeader` and `allowedToCommit`.
    pub fn activate(&mut self, me: ServerId, stays: bool) -> Option<(Zxid, ServerId)> {
        let Next { zxid, quorum } = self.next.take_if(|next| next.zxid <= self.committed)?;
        let others = self.acked.iter().filter(|(m, has)| {
            **m != me && **has >= zxid && quorum.voters().contains(*m) && quorum.may_lead(**m)
        });
        // The one with the smallest number of those that have most.
        let best = others.max_by_key(|(m, has)| (**has, std::cmp::Reverse(**m))).map(|(m, _)| *m);
        let designated = best.filter(|_| !stays).unwrap_or(me);
        self.quorums = vec![quorum];
        self.over = designated != me;
        self.decide(self.proposed);
        Some((zxid, designated))
    }

    /// Whether this member has handed over to another one.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the member alone decides, now and when a reconfiguration that is under way is committed.
    pub fn decides_alone(&self, member: ServerId) -> bool {
        let next = self.next.iter().map(|next| &next.quorum);
        self.quorums.iter().chain(next).all(|q| q.agrees(|m| m == member))
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

    /// Found by simulation: a follower that had acknowledged proposals came back, was cut back to what was committed, and
    /// still counted for them while it had them no more.
    #[test]
    fn who_joins_anew_counts_for_what_it_acknowledges_anew() {
        let mut b = Broadcast::new(Quorum::majority([1, 2, 3].map(ServerId)), Zxid(0));
        b.propose();
        b.propose();
        b.ack(ServerId(2), Zxid(2));
        b.joins_anew(ServerId(2));
        assert!(!b.ack(ServerId(1), Zxid(2)));
        assert!(b.ack(ServerId(2), Zxid(1)));
        assert_eq!(b.committed(), Zxid(1));
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

    /// Servers 1, 2, 3; the second of three proposals makes it 1, 4, 5 or what is given.
    fn reconfigured(to: &[i64]) -> Broadcast {
        let mut b = Broadcast::new(Quorum::majority([1, 2, 3].map(ServerId)), Zxid(0));
        b.propose();
        b.propose();
        b.reconfigure(Quorum::majority(to.iter().copied().map(ServerId)));
        b.propose();
        b
    }

    #[test]
    fn a_reconfiguration_and_what_is_behind_it_need_both_quorums_and_then_the_new_one_alone() {
        let mut b = reconfigured(&[1, 4, 5]);
        b.ack(ServerId(1), Zxid(3));
        // The old quorum has everything; the new one does not count for what is before.
        assert!(b.ack(ServerId(2), Zxid(3)));
        assert_eq!(b.committed(), Zxid(1));
        assert_eq!(b.activate(ServerId(1), true), None);
        assert!(b.ack(ServerId(4), Zxid(2)));
        assert_eq!(b.committed(), Zxid(2));
        assert_eq!(b.activate(ServerId(1), true), Some((Zxid(2), ServerId(1))));
        assert_eq!(b.committed(), Zxid(2));
        assert!(!b.ack(ServerId(3), Zxid(3)));
        assert!(b.ack(ServerId(5), Zxid(3)));
        assert_eq!(b.activate(ServerId(1), true), None);
    }

    #[test]
    fn what_the_new_quorum_has_already_is_committed_with_the_activation_and_not_before() {
        let mut b = reconfigured(&[1, 4]);
        for id in [1, 4, 2] {
            b.ack(ServerId(id), Zxid(3));
        }
        assert_eq!(b.committed(), Zxid(2));
        assert_eq!(b.activate(ServerId(1), true), Some((Zxid(2), ServerId(1))));
        assert_eq!(b.committed(), Zxid(3));
    }

    #[test]
    fn a_leader_that_is_no_member_any_more_designates_who_has_most_and_commits_nothing_more() {
        let mut b = reconfigured(&[2, 3]);
        b.ack(ServerId(1), Zxid(3));
        b.ack(ServerId(2), Zxid(2));
        assert!(b.ack(ServerId(3), Zxid(3)));
        assert_eq!(b.activate(ServerId(1), false), Some((Zxid(2), ServerId(3))));
        assert!(b.is_over());
        assert!(!b.ack(ServerId(2), Zxid(3)));
        assert_eq!(b.committed(), Zxid(2));
    }

    #[test]
    #[should_panic(expected = "only 0x0 was proposed")]
    fn an_acknowledgement_of_the_future_stops_the_leader() {
        Broadcast::new(Quorum::majority([ServerId(1)]), Zxid(0)).ack(ServerId(1), Zxid(1));
    }
}
