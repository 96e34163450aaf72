use crate::{
    config::members::{Members, Role},
    types::ServerId,
    zab::Quorum,
};

/// What a member of an ensemble has to know of the configuration.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// `myid`.
    pub me: ServerId,
    /// The active configuration.
    pub members: Members,
    /// One that was proposed and of which this member does not know whether it is committed; its version is greater.
    pub next: Option<Members>,
    /// `reconfigEnabled`: configurations are taken over.
    pub reconfig_enabled: bool,
    /// `standaloneEnabled`: a configuration needs two voters.
    pub standalone_enabled: bool,
    /// `multiAddress.enabled`.
    pub multi_address: bool,
    /// `tickTime`, ms.
    pub tick_ms: i64,
    /// `initLimit`, ticks.
    pub init_limit_ticks: i64,
    /// `syncLimit`, ticks.
    pub sync_limit_ticks: i64,
    /// `fastleader.minNotificationInterval`, ms.
    pub notification_interval_min_ms: i64,
    /// `fastleader.maxNotificationInterval`, ms.
    pub notification_interval_max_ms: i64,
    /// `commitLogCount`: committed txns kept in memory for learners that come back.
    pub commit_log_count: usize,
    /// `zookeeper.forceSnapshotSync`.
    pub force_snapshot: bool,
    /// `snapshotSizeFactor` is not negative.
    pub sync_from_log: bool,
    /// `leader.maxConcurrentSnapSyncs`; 0 or less is no limit.
    pub snapshot_syncs_max: i32,
    /// What is different from other members in the role it gets.
    pub roles: RoleOptions,
}

/// Settings of single roles. By default each role is as usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleOptions {
    /// `readonlymode.enabled`: after so many ms without a leader it serves clients that accept a server which takes no
    /// writes. `None`: it never does.
    pub read_only_after_ms: Option<i64>,
    /// `leaderServes=no`: while it leads it leaves clients to the others.
    pub leads_without_clients: bool,
    /// `syncEnabled=false`: as an observer it keeps nothing of what it is told on disk, and begins after a restart
    /// where it was before.
    pub observes_without_log: bool,
    /// `observer.election.DelayMs`: an observer that lost its leader waits for a random time up to this, ms.
    pub election_delay_max_ms: i64,
    /// `observer.reconnectDelayMs`: and so before it connects to the next one.
    pub connect_delay_max_ms: i64,
    /// `leader.maxConcurrentDiffSyncs`; 0 or less is no limit.
    pub diff_syncs_max: i32,
    /// `leader.maxTimeToWaitForEpoch`, ms; `None` when it is off.
    pub epoch_wait_max_ms: Option<i64>,
    /// `observerMasterPort` is set: a follower passes on to observers what its leader says, and an observer goes to a
    /// follower.
    pub observer_masters: bool,
    /// `observerMaster.sizeLimit`, bytes.
    pub observer_master_bytes_max: usize,
    /// What random times are drawn from; it should differ from member to member and from start to start.
    pub seed: u64,
}

impl MemberConfig {
    /// `initLimit` × `tickTime`, ms.
    pub fn init_limit_ms(&self) -> i64 {
        self.init_limit_ticks.saturating_mul(self.tick_ms)
    }

    /// `syncLimit` × `tickTime`, ms.
    pub fn sync_limit_ms(&self) -> i64 {
        self.sync_limit_ticks.saturating_mul(self.tick_ms)
    }

    /// Whether this member votes in the active configuration.
    pub fn votes(&self) -> bool {
        self.members.votes(self.me)
    }

    /// Its role in the active configuration. One that is no member follows without a vote.
    pub fn role(&self) -> Role {
        self.members.role_of(self.me)
    }

    /// Whether what it is told goes to its log.
    pub fn logs(&self) -> bool {
        self.role() == Role::Participant || !self.roles.observes_without_log
    }

    /// The configurations that have to agree.
    pub fn quorums(&self) -> Vec<Quorum> {
        let next = self.next.iter().filter(|next| next.version > self.members.version);
        [&self.members].into_iter().chain(next).map(Quorum::of).collect()
    }
}
