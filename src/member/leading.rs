//! Between the leader's protocol and the pipeline.

use super::{EARLY_HELD_MS, EARLY_LINKS_MAX, EARLY_PACKETS_MAX, Output, Part, State, Turn, reconfig};
use crate::{
    pipeline::{self, ToLearner},
    zab::{Leader, LeaderConfig, LeaderInput, LeaderOutput, LinkId, Packet, election},
};

impl Turn<'_> {
    pub(super) fn begin_to_lead(&mut self) {
        let config = &self.me.config;
        let leader = Leader::new(
            LeaderConfig {
                me: config.me,
                quorums: config.quorums(),
                config_text: config.last_seen().to_string(),
                config_version: reconfig::version(config.last_seen()),
                begins_config: config.reconfig_enabled && config.last_seen().version == 0,
                tick_ms: config.tick_ms,
                init_limit_ms: config.init_limit_ms(),
                sync_limit_ms: config.sync_limit_ms(),
                force_snapshot: config.force_snapshot,
                sync_from_log: config.sync_from_log,
                snapshot_syncs_max: config.snapshot_syncs_max,
                diff_syncs_max: config.roles.diff_syncs_max,
                epoch_wait_max_ms: config.roles.epoch_wait_max_ms.unwrap_or(-1),
            },
            self.now.mono_ms,
            self.me.accepted,
            self.me.current,
            self.me.history.last(),
        );
        self.me.state = State::Leading(Box::new(leader));
        self.set_part(Part::Joining { leader: self.me.config.me });
        // A leader that is its own quorum goes on at once.
        self.lead(LeaderInput::Tick);
        for (link, packets) in std::mem::take(&mut self.me.early) {
            self.lead(LeaderInput::Connected { link });
            for packet in packets {
                self.lead(LeaderInput::Packet { link, packet });
            }
        }
    }

    /// Lets the leader's protocol go a step, if this member leads.
    pub(super) fn lead(&mut self, input: LeaderInput) {
        let State::Leading(leader) = &mut self.me.state else { return };
        let outputs = leader.step(self.now.mono_ms, &self.me.history, input);
        self.me.counts.brought += leader.take_brought();
        for output in outputs {
            // What a leader that has resigned had to say before is of no use to anybody.
            if !matches!(self.me.state, State::Leading(_)) {
                break;
            }
            self.lead_output(output);
        }
    }

    /// Lets the protocol towards observers go a step, if this member follows and has any.
    pub(super) fn pass_on(&mut self, input: LeaderInput) {
        let State::Learning { master: Some(master), .. } = &mut self.me.state else { return };
        let outputs = master.step(self.now.mono_ms, &self.me.history, input);
        self.me.counts.brought += master.take_brought();
        for output in outputs {
            self.lead_output(output);
        }
    }

    /// The same for whoever has learners, be it as a leader or as a follower.
    pub(super) fn bring(&mut self, input: LeaderInput) {
        match self.me.state {
            State::Leading(_) => self.lead(input),
            _ => self.pass_on(input),
        }
    }

    fn lead_output(&mut self, output: LeaderOutput) {
        match output {
            LeaderOutput::Send { link, bytes } => self.out.push(Output::Send { link, bytes }),
            LeaderOutput::SendLog { link, after, through } => {
                self.out.push(Output::SendLog { link, after, through });
            }
            LeaderOutput::BeginSnapshot { link } => self.out.push(Output::BeginSnapshot { link }),
            LeaderOutput::ProbeLog { link, peer } => self.out.push(Output::ProbeLog { link, peer }),
            LeaderOutput::Close { link, why } => {
                self.out.push(Output::Close { link, why });
                self.pipe(pipeline::Input::LinkGone { link });
            }
            LeaderOutput::StoreEpoch { kind, epoch } => self.store_epoch(kind, epoch),
            LeaderOutput::ConfigBegun { version } => {
                let mut members = self.me.config.members.clone();
                members.version = u64::try_from(version.0).unwrap_or_default();
                self.see_config(members);
            }
            LeaderOutput::Established { epoch } => {
                if !self.complete_config() {
                    return;
                }
                self.pipeline.lead(self.me.config.quorums(), epoch, self.now);
                if let Some(membership) = self.membership() {
                    self.pipeline.set_membership(membership);
                }
                self.me.untrusted = false;
                self.me.config_node_due = Some(self.now.wall_ms);
                self.elect(election::Input::Established { epoch: i64::from(epoch.0) });
                if self.me.config.roles.leads_without_clients {
                    self.pipeline.turn_clients_away();
                    self.set_part(Part::LeadingOnly);
                } else {
                    self.set_part(Part::Leading);
                }
            }
            LeaderOutput::Acked { member, zxid } => {
                self.pipe(pipeline::Input::Acked { member, zxid });
            }
            LeaderOutput::Joins { member } => self.pipe(pipeline::Input::Joins { member }),
            LeaderOutput::Request { link, request } => {
                self.pipe(pipeline::Input::Forwarded { link, request });
            }
            LeaderOutput::Revalidate { link, session, timeout_ms } => {
                self.pipe(pipeline::Input::Revalidate { link, session, timeout_ms });
            }
            LeaderOutput::Touched { link, sessions } => {
                self.pipe(pipeline::Input::TouchedAt { link, sessions });
            }
            LeaderOutput::BarrierPassed(n) => self.pipe(pipeline::Input::BarrierPassed(n)),
            LeaderOutput::Resign { why } => self.retire(&why),
        }
    }

    /// What the pipeline has for learners and for the leader.
    pub(super) fn hand_on_messages(&mut self) {
        let mut over = None;
        let mut messages = self.pipeline.take_to_learners().into_iter().peekable();
        while let Some(message) = messages.next() {
            match message {
                // The next one says it, too.
                ToLearner::Committed(_) if matches!(messages.peek(), Some(ToLearner::Committed(_))) => {}
                ToLearner::Committed(zxid) => {
                    self.me.history.commit(zxid);
                    self.bring(LeaderInput::Committed(zxid));
                }
                ToLearner::Revalidated { link, session, valid } => {
                    let bytes = Packet::Revalidated { session, valid }.to_bytes();
                    self.out.push(Output::Send { link, bytes });
                }
                ToLearner::Synced { link } => {
                    self.out.push(Output::Send { link, bytes: Packet::Sync.to_bytes() });
                }
                ToLearner::Close { link, why } => {
                    self.out.push(Output::Close { link, why });
                    self.bring(LeaderInput::Gone { link });
                    self.pipe(pipeline::Input::LinkGone { link });
                }
                ToLearner::Reconfiguring(members) => self.reconfiguring(*members),
                ToLearner::Activated { zxid, designated, members } => {
                    self.reconfigured(zxid, designated, *members);
                    over = Some(designated).filter(|to| *to != self.me.config.me);
                }
                ToLearner::Barrier(n) => self.lead(LeaderInput::Barrier(n)),
            }
        }
        // Behind the commit that says so.
        if over.is_some() {
            self.lead(LeaderInput::HandOver { to: over });
        }
        for message in self.pipeline.take_to_leader() {
            self.hand_up(message);
        }
    }

    pub(super) fn link_up(&mut self, link: LinkId) {
        if link.is_at_master() {
            match self.me.state {
                State::Learning { master: Some(_), .. } => self.pass_on(LeaderInput::Connected { link }),
                _ => {
                    let why = "this member does not follow".into();
                    self.out.push(Output::Close { link, why });
                }
            }
            return;
        }
        match self.me.state {
            State::Leading(_) => self.lead(LeaderInput::Connected { link }),
            _ if self.me.early.len() >= EARLY_LINKS_MAX => self.refuse(link),
            // It may have heard of the election's end, or of a reconfiguration, before this member does.
            State::Retiring | State::Pausing { .. } | State::Looking { .. } | State::Learning { .. } => {
                if self.me.early.is_empty() {
                    self.me.early_until_ms = self.now.mono_ms + EARLY_HELD_MS;
                }
                self.me.early.insert(link, Vec::new());
            }
        }
    }

    pub(super) fn link_packet(&mut self, link: LinkId, packet: Packet) {
        if link.is_at_master() {
            self.pass_on(LeaderInput::Packet { link, packet });
        } else if let State::Leading(_) = self.me.state {
            self.lead(LeaderInput::Packet { link, packet });
        } else if let Some(packets) = self.me.early.get_mut(&link) {
            if packets.len() < EARLY_PACKETS_MAX {
                packets.push(packet);
            } else {
                self.me.early.remove(&link);
                let why = "it talks on before the leader has said a word".into();
                self.out.push(Output::Close { link, why });
            }
        }
    }

    pub(super) fn link_down(&mut self, link: LinkId, why: &str) {
        if link.is_at_master() {
            self.pass_on(LeaderInput::Gone { link });
            return;
        }
        self.me.early.remove(&link);
        if let State::Leading(leader) = &self.me.state {
            if let Some(member) = leader.member_of(link) {
                self.out.push(Output::Note { text: format!("learner {} is gone: {why}", member.0) });
            }
            self.lead(LeaderInput::Gone { link });
            self.pipe(pipeline::Input::LinkGone { link });
        }
    }

    fn refuse(&mut self, link: LinkId) {
        self.out.push(Output::Close { link, why: "this member does not lead".into() });
    }
}
