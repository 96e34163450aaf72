use super::{ServerId, members::Members};
use std::collections::{BTreeMap, BTreeSet};

/// Which sets of members decide.
///
/// Upstream counterpart: `quorum.flexible.QuorumMaj` and `QuorumHierarchical`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    voters: BTreeSet<ServerId>,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// More than half of the voters.
    Majority,
    /// More than half of the weight in more than half of the groups that weigh anything.
    Hierarchical {
        /// Group and weight of a member.
        place_of: BTreeMap<ServerId, (i64, i64)>,
        /// Weight of a group.
        weight_of_group: BTreeMap<i64, i64>,
    },
}

impl Quorum {
    /// More than half of these.
    ///
    /// # Panics
    /// Without a voter.
    pub fn majority(voters: impl IntoIterator<Item = ServerId>) -> Self {
        let voters: BTreeSet<_> = voters.into_iter().collect();
        assert!(!voters.is_empty(), "somebody has to vote");
        Self { voters, rule: Rule::Majority }
    }

    /// Groups of members with weights, each member as (member, group, weight): a group agrees when more than half of
    /// its weight does, and a quorum are more than half of the groups. Groups without any weight do not count.
    ///
    /// A member that is in a group and does not vote adds to what the group weighs, as upstream, and never agrees.
    ///
    /// # Panics
    /// Without a voter.
    pub fn hierarchical(
        voters: impl IntoIterator<Item = ServerId>,
        places: impl IntoIterator<Item = (ServerId, i64, i64)>,
    ) -> Self {
        let place_of: BTreeMap<_, _> =
            places.into_iter().map(|(m, group, weight)| (m, (group, weight))).collect();
        let mut weight_of_group = BTreeMap::<i64, i64>::new();
        for (group, weight) in place_of.values() {
            let sum = weight_of_group.entry(*group).or_default();
            *sum = sum.saturating_add(*weight);
        }
        Self { rule: Rule::Hierarchical { place_of, weight_of_group }, ..Self::majority(voters) }
    }

    /// That of a configuration.
    ///
    /// # Panics
    /// Without a voter.
    pub fn of(members: &Members) -> Self {
        let Some(hierarchy) = &members.hierarchy else { return Self::majority(members.voters()) };
        let weight_of = |id: &ServerId| hierarchy.weight_of.get(id).copied().unwrap_or(1);
        let places = hierarchy.group_of.iter().map(|(id, group)| (*id, *group, weight_of(id)));
        Self::hierarchical(members.voters(), places)
    }

    /// The members that vote.
    pub fn voters(&self) -> &BTreeSet<ServerId> {
        &self.voters
    }

    /// Whether the member may be elected: it votes, and its vote weighs something.
    ///
    /// Upstream counterpart: `QuorumVerifier.getWeight`, as the election asks it.
    pub fn may_lead(&self, member: ServerId) -> bool {
        self.voters.contains(&member)
            && match &self.rule {
                Rule::Majority => true,
                Rule::Hierarchical { place_of, .. } => place_of.get(&member).is_some_and(|(_, w)| *w != 0),
            }
    }

    /// Whether these, as far as they vote, decide.
    pub fn contains(&self, members: impl IntoIterator<Item = ServerId>) -> bool {
        let members: BTreeSet<_> = members.into_iter().collect();
        self.agrees(|m| members.contains(&m))
    }

    /// Whether the voters for which `does` decide.
    pub fn agrees(&self, does: impl Fn(ServerId) -> bool) -> bool {
        match &self.rule {
            Rule::Majority => self.voters.iter().filter(|m| does(**m)).count() > self.voters.len() / 2,
            Rule::Hierarchical { place_of, weight_of_group } => {
                let weighs = |group: i64| {
                    let agreeing = place_of
                        .iter()
                        .filter(|(m, (g, _))| *g == group && self.voters.contains(m) && does(**m));
                    agreeing.fold(0i64, |sum, (_, (_, weight))| sum.saturating_add(*weight))
                };
                let groups = weight_of_group.values().filter(|w| **w != 0).count();
                let agree = weight_of_group.iter().filter(|(group, w)| weighs(**group) > **w / 2).count();
                agree > groups / 2
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_is_more_than_half_of_the_voters() {
        let q = Quorum::majority([1, 2, 3, 4].map(ServerId));
        assert!(!q.contains([1, 2].map(ServerId)));
        assert!(!q.contains([1, 2, 9].map(ServerId)));
        assert!(q.contains([1, 2, 4].map(ServerId)));
        assert!(Quorum::majority([ServerId(1)]).contains([ServerId(1)]));
        assert!(q.may_lead(ServerId(4)) && !q.may_lead(ServerId(5)));
    }

    /// Server `10 * group + n`, for each the weight.
    fn groups(weights: &[&[i64]]) -> Quorum {
        let places: Vec<_> = (1..)
            .zip(weights)
            .flat_map(|(g, ws)| (1..).zip(*ws).map(move |(n, w)| (ServerId(10 * g + n), g, *w)))
            .collect();
        let voters: Vec<_> = places.iter().map(|p| p.0).collect();
        Quorum::hierarchical(voters, places)
    }

    #[test]
    fn groups_decide_by_majorities_of_weight_in_a_majority_of_groups() {
        let q = groups(&[&[1, 1, 1], &[1, 1, 1], &[1, 1, 1]]);
        assert!(q.contains([11, 12, 21, 22].map(ServerId)));
        assert!(!q.contains([11, 12, 13, 21, 31].map(ServerId)));
        assert!(!q.contains([11, 12, 13].map(ServerId)));
        assert!(!q.contains([]));
        // By weight, not by number; half of it is not enough.
        let q = groups(&[&[3, 1, 1], &[2, 1, 1]]);
        assert!(!q.contains([11, 21].map(ServerId)));
        assert!(q.contains([11, 21, 22].map(ServerId)));
        assert!(!q.contains([12, 13, 21, 22, 23].map(ServerId)));
    }

    #[test]
    fn groups_and_servers_without_weight_have_no_say() {
        let q = groups(&[&[1, 1, 1], &[0, 0], &[0]]);
        assert!(q.contains([11, 12].map(ServerId)));
        assert!(!q.contains([11, 21, 22, 31].map(ServerId)));
        assert!(q.may_lead(ServerId(11)) && !q.may_lead(ServerId(21)) && !q.may_lead(ServerId(41)));
        assert!(!groups(&[&[0, 0]]).contains([11, 12].map(ServerId)));
    }
}
