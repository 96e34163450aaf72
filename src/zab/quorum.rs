use crate::types::ServerId;
use std::collections::BTreeSet;

/// Which sets of members decide.
///
/// Upstream counterpart: `quorum.flexible.QuorumMaj`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    voters: BTreeSet<ServerId>,
}

impl Quorum {
    /// More than half of these.
    ///
    /// # Panics
    /// Without a voter.
    pub fn majority(voters: impl IntoIterator<Item = ServerId>) -> Self {
        let voters: BTreeSet<_> = voters.into_iter().collect();
        assert!(!voters.is_empty(), "somebody has to vote");
        Self { voters }
    }

    /// The members that vote.
    pub fn voters(&self) -> &BTreeSet<ServerId> {
        &self.voters
    }

    /// Whether these, as far as they vote, decide.
    pub fn contains(&self, members: impl IntoIterator<Item = ServerId>) -> bool {
        let agreeing: BTreeSet<_> = members.into_iter().filter(|m| self.voters.contains(m)).collect();
        agreeing.len() > self.voters.len() / 2
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
    }
}
