//! Configurations of the ensemble: what is proposed is seen, what is committed is adopted.
//!
//! While a configuration is seen and not adopted, everything needs a quorum of both. The driver keeps both on stable
//! storage: one that is seen before anybody is told so, one that is adopted before anything that rests on it is done.
//!
//! A member that is to have another leader or role goes to it without an election, as soon as what it knows to be
//! committed is applied and its clients have their answers.
//!
//! Upstream counterpart: `QuorumPeer.processReconfig`, `setLastSeenQuorumVerifier` and `updateServerState`.

use super::{MemberConfig, Output, State, Turn};
use crate::{
    config::members::{Members, Role},
    pipeline::{self, Membership},
    tree::CONFIG_PATH,
    types::{OpCode, ServerId, Zxid},
    zab::{
        LeaderInput,
        election::{self, Notification},
    },
};
use bytes::Bytes;

/// A member that is about to leave its leader.
pub(super) struct Leaving {
    /// To whom; `None` to look for one.
    pub(super) to: Option<ServerId>,
    pub(super) why: &'static str,
}

impl Turn<'_> {
    /// A leader, or the one to whom this member listens, has proposed a configuration, or says that it is its last.
    pub(super) fn see_config(&mut self, members: Members) {
        let config = &mut self.me.config;
        if !config.reconfig_enabled || members.version == config.last_seen().version {
            return;
        }
        // An older one: what this member had seen was never committed, and the leader does not know it.
        config.next = (members.version > config.members.version).then_some(members);
        self.out.push(Output::SeeConfig { next: config.next.clone().map(Box::new) });
        self.tell_election();
    }

    /// What this member has in its log it has seen, whether it could say so in its files or not: before it looks for a
    /// leader, or leads, it goes by the configuration too that its last reconfiguration proposes.
    pub(super) fn see_config_of_log(&mut self) {
        let Some(data) = self.tree.lookup(CONFIG_PATH).and_then(|node| node.data()) else { return };
        if version_of(data) <= self.me.config.last_seen().version {
            return;
        }
        match std::str::from_utf8(data).ok().and_then(|text| Members::read_active(text).ok()) {
            Some(members) => self.see_config(members),
            None => {
                let text = format!("the configuration in {CONFIG_PATH} cannot be read");
                self.out.push(Output::Note { text });
            }
        }
    }

    /// A configuration is committed. Answers whether this member has another role by it.
    fn adopt_config(&mut self, members: Members) -> bool {
        let config = &mut self.me.config;
        if !config.reconfig_enabled || members.version <= config.members.version {
            return false;
        }
        let before = config.role();
        config.next.take_if(|next| next.version <= members.version);
        config.members = members;
        let changed = config.role() != before;
        self.out.push(Output::AdoptConfig { active: Box::new(config.members.clone()) });
        self.tell_election();
        changed
    }

    fn tell_election(&mut self) {
        let config = &self.me.config;
        let (voter, observer) = (config.votes(), config.role() == Role::Observer);
        let quorums = config.quorums();
        let text = config.members.to_string();
        self.elect(election::Input::Configured { voter, observer, quorums, text });
    }

    /// A member that looks adopts what is newer than its own: it may have been away when that was committed.
    pub(super) fn hear_config(&mut self, notification: &Notification) {
        let config = &self.me.config;
        if !config.reconfig_enabled || !matches!(self.me.state, State::Looking { .. }) {
            return;
        }
        if let Some(text) = &notification.config
            && Members::version_of_text(text).is_some_and(|version| version > config.members.version)
        {
            match Members::read_active(text) {
                Ok(members) => {
                    self.adopt_config(members);
                }
                Err(error) => {
                    let text = format!("a peer goes by a configuration that cannot be read: {error}");
                    self.out.push(Output::Note { text });
                }
            }
        }
    }

    /// The leader's configuration, of NEWLEADER.
    pub(super) fn see_leaders_config(&mut self, text: &Bytes) {
        if !self.me.config.reconfig_enabled {
            return;
        }
        let Some(members) = std::str::from_utf8(text).ok().and_then(|t| Members::read_active(t).ok()) else {
            self.out.push(Output::Note { text: "the leader's configuration cannot be read".into() });
            return;
        };
        self.see_config(members.clone());
        self.me.leaders_config = Some(members);
    }

    /// The leader is established: its configuration is the active one. Answers whether this member goes on with it.
    pub(super) fn adopt_leaders_config(&mut self, leader: ServerId, epoch: crate::types::Epoch) -> bool {
        let Some(members) = self.me.leaders_config.take() else { return true };
        let active = &self.me.config.members;
        let version = Zxid(i64::try_from(members.version).unwrap_or_default());
        // A reconfiguration of this epoch is told when it is committed. Upstream's learners do not wait for that.
        let under_way =
            version.epoch() == epoch && version.counter() != 0 && version > self.pipeline.committed();
        if under_way || members.version <= active.version {
            return true;
        }
        let voter =
            |members: &Members| members.servers.get(&leader).filter(|_| members.votes(leader)).cloned();
        let leads_on = match (voter(active), voter(&members)) {
            (Some(before), Some(after)) => before.same_quorum_addresses(&after),
            _ => false,
        };
        let differs = !active.same_servers(&members);
        let role_changed = self.adopt_config(members);
        let leaves = differs && (role_changed || !leads_on);
        if leaves {
            self.me.leaving =
                Some(Leaving { to: None, why: "by the leader's configuration this member has another part" });
        }
        !leaves
    }

    /// A learner is told that a reconfiguration is committed.
    pub(super) fn activated(&mut self, leader: ServerId, zxid: Zxid, designated: ServerId) {
        if !self.me.config.reconfig_enabled {
            return;
        }
        let seen = self.me.config.next.clone();
        let Some(members) = seen.filter(|next| i64::try_from(next.version) == Ok(zxid.0)) else {
            let text = format!("the leader activates {zxid}, which is no configuration that is to come");
            self.out.push(Output::Note { text });
            return;
        };
        let role_changed = self.adopt_config(members);
        if role_changed || designated != leader {
            let why = "a reconfiguration gives this member another leader or another part";
            self.me.leaving = Some(Leaving { to: Some(designated), why });
        }
    }

    /// A leader is established. Answers whether it goes on leading.
    pub(super) fn complete_config(&mut self) -> bool {
        let config = &self.me.config;
        if !config.reconfig_enabled {
            return true;
        }
        let (me, last_seen) = (config.me, config.last_seen().clone());
        let own = |members: &Members| members.servers.get(&me).filter(|_| members.votes(me)).cloned();
        let stays = match (own(&config.members), own(&last_seen)) {
            (Some(before), Some(after)) => before.same_quorum_addresses(&after),
            _ => false,
        };
        self.adopt_config(last_seen);
        self.tell_leader();
        if !stays {
            self.lead(LeaderInput::HandOver { to: None });
        }
        stays
    }

    fn tell_leader(&mut self) {
        let config = &self.me.config;
        let last_seen = config.last_seen();
        let (config_text, config_version) = (last_seen.to_string(), version(last_seen));
        let quorums = config.quorums();
        self.lead(LeaderInput::Configured { quorums, config_text, config_version });
    }

    /// What the pipeline of a leader has to know.
    pub(super) fn membership(&self) -> Option<Membership> {
        let config = &self.me.config;
        config.reconfig_enabled.then(|| Membership {
            active: config.members.clone(),
            last_seen: config.last_seen().clone(),
            untold: false,
            in_step: [config.me].into(),
            standalone_enabled: config.standalone_enabled,
            multi_address: config.multi_address,
        })
    }

    /// This leader has proposed a configuration.
    pub(super) fn reconfiguring(&mut self, members: Members) {
        self.see_config(members);
        self.tell_leader();
    }

    /// What this leader has proposed is committed.
    pub(super) fn reconfigured(&mut self, zxid: Zxid, designated: ServerId, members: Members) {
        self.adopt_config(members);
        self.lead(LeaderInput::Activated { zxid, designated });
        self.tell_leader();
        if designated != self.me.config.me {
            self.me.appointed = Some(designated);
        }
    }

    /// A new configuration needs a quorum that is in step: who is, is found out when it is asked for.
    pub(super) fn note_in_step(&mut self) {
        if let State::Leading(leader) = &self.me.state
            && self.me.config.reconfig_enabled
        {
            self.pipeline.set_in_step(leader.in_step(self.now.mono_ms));
        }
    }

    /// The member goes to a leader, or to lead, without an election.
    pub(super) fn appoint(&mut self, leader: ServerId) {
        let last = self.me.history.last();
        let peer_epoch = i64::from(self.me.current.0);
        self.elect(election::Input::Appointed { leader, last, peer_epoch });
    }
}

/// The version of the configuration that the znode shows; 0 when it shows none.
pub(super) fn version_of(data: &[u8]) -> u64 {
    std::str::from_utf8(data).ok().and_then(Members::version_of_text).unwrap_or(0)
}

/// The version of a configuration as it is told.
pub(super) fn version(members: &Members) -> i64 {
    i64::try_from(members.version).unwrap_or(i64::MAX)
}

/// Whether it asks for a reconfiguration.
pub(super) fn is_reconfig(input: &pipeline::Input) -> bool {
    match input {
        pipeline::Input::Request(request) => request.op == OpCode::Reconfig,
        pipeline::Input::Forwarded { request, .. } => request.op == OpCode::Reconfig.code(),
        _ => false,
    }
}

impl MemberConfig {
    /// The configuration that was proposed last, committed or not.
    pub fn last_seen(&self) -> &Members {
        self.next.as_ref().unwrap_or(&self.members)
    }
}
