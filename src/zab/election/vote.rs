use super::PeerState;
use crate::types::{ServerId, Zxid};

/// Who should lead, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Proposal {
    /// The leader proposed.
    pub leader: ServerId,
    /// Its last zxid.
    pub zxid: Zxid,
    /// Its current epoch.
    pub peer_epoch: i64,
}

impl Proposal {
    /// What a member proposes that has no vote.
    pub const NONE: Proposal =
        Proposal { leader: ServerId(i64::MIN), zxid: Zxid(i64::MIN), peer_epoch: i64::MIN };

    /// Whether this one is better: by epoch, then zxid, then number.
    pub fn beats(&self, other: &Proposal) -> bool {
        (self.peer_epoch, self.zxid, self.leader) > (other.peer_epoch, other.zxid, other.leader)
    }
}

/// A proposal as a member has told it: in which round and in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// What it proposes.
    pub proposal: Proposal,
    /// Its round.
    pub round: i64,
    /// What it was doing.
    pub state: PeerState,
}

impl Vote {
    /// Whether both speak for the same leader. While one of them looks, everything has to agree; between members
    /// that have a leader, the leader and its epoch.
    ///
    /// Upstream counterpart: `Vote.equals`.
    pub fn agrees(&self, other: &Vote) -> bool {
        let same_leader = self.proposal.leader == other.proposal.leader
            && self.proposal.peer_epoch == other.proposal.peer_epoch;
        if self.state == PeerState::Looking || other.state == PeerState::Looking {
            same_leader && self.proposal.zxid == other.proposal.zxid && self.round == other.round
        } else {
            same_leader
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(peer_epoch: i64, zxid: i64, leader: i64) -> Proposal {
        Proposal { leader: ServerId(leader), zxid: Zxid(zxid), peer_epoch }
    }

    #[test]
    fn epoch_goes_before_zxid_and_zxid_before_number() {
        let ascending = [proposal(0, 9, 9), proposal(1, 1, 2), proposal(1, 1, 3), proposal(1, 2, 1)];
        for pair in ascending.windows(2) {
            assert!(pair[1].beats(&pair[0]) && !pair[0].beats(&pair[1]) && !pair[0].beats(&pair[0]));
        }
        assert!(ascending[0].beats(&Proposal::NONE));
    }

    #[test]
    fn a_settled_vote_agrees_by_leader_and_epoch_alone() {
        let settled = Vote { proposal: proposal(1, 5, 3), round: 4, state: PeerState::Following };
        let other = Vote { proposal: proposal(1, 6, 3), round: 9, state: PeerState::Leading };
        assert!(settled.agrees(&other));
        assert!(!settled.agrees(&Vote { state: PeerState::Looking, ..other }));
        assert!(!settled.agrees(&Vote { proposal: proposal(2, 5, 3), ..settled }));
    }
}
