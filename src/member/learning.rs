//! Between the learner's protocol and the pipeline.

use super::{LearnerPort, Output, Part, State, Turn, reconfig};
use crate::{
    config::members::Role,
    pipeline::{self, ToLeader},
    types::{Epoch, ServerId, SessionId, Zxid},
    zab::{
        LeaderInput, Learner, LearnerConfig, LearnerInput, LearnerOutput, ObserverMaster,
        ObserverMasterConfig, election,
    },
};

impl Turn<'_> {
    pub(super) fn begin_to_learn(&mut self, leader: ServerId) {
        self.close_early("this member follows another one");
        let config = &self.me.config;
        let mut learner = Learner::new(
            LearnerConfig {
                me: config.me,
                observer: config.role() == Role::Observer,
                logs: config.logs(),
                config_version: reconfig::version(&config.members),
                init_limit_ms: config.init_limit_ms(),
                sync_limit_ms: config.sync_limit_ms(),
            },
            self.now.mono_ms,
            self.me.accepted,
            self.me.current,
            // Who has lost its data must not be counted for what it once had.
            if self.me.untrusted { Zxid(-1) } else { self.me.history.last() },
        );
        learner.want_tree_in(self.me.tree_wanted_in);
        self.me.attempts += 1;
        let attempt = self.me.attempts;
        let (target, waits) = match self.me.next_master(leader, self.now.mono_ms) {
            // Once it has tried all of them.
            Some((master, again)) => ((master, LearnerPort::ObserverMaster), again),
            None => ((leader, LearnerPort::Quorum), !self.me.config.votes()),
        };
        let max_ms = if waits { self.me.config.roles.connect_delay_max_ms } else { 0 };
        let wait_ms = self.me.draw_ms(max_ms);
        let connect_at_ms = self.now.mono_ms + wait_ms;
        self.me.state = State::Learning {
            leader,
            attempt,
            learner: Box::new(learner),
            truncating: false,
            connect_at_ms: Some(connect_at_ms),
            target,
            master: None,
        };
        self.set_part(Part::Joining { leader });
        self.connect_in_time();
    }

    /// Connects to the leader when the pause before that is over.
    pub(super) fn connect_in_time(&mut self) {
        if let State::Learning { target, attempt, connect_at_ms, .. } = &mut self.me.state
            && connect_at_ms.take_if(|at| *at <= self.now.mono_ms).is_some()
        {
            let (attempt, (leader, port)) = (*attempt, *target);
            self.out.push(Output::ConnectLeader { attempt, leader, port });
        }
    }

    /// Lets the learner's protocol go a step, if it is still this attempt.
    pub(super) fn learn(&mut self, attempt: u64, input: LearnerInput) {
        if matches!(self.me.state, State::Learning { attempt: now, .. } if now == attempt) {
            self.learn_any(input);
        }
    }

    pub(super) fn learn_any(&mut self, input: LearnerInput) {
        let State::Learning { learner, leader, .. } = &mut self.me.state else { return };
        let outputs = learner.step(self.now.mono_ms, input);
        let wanted_in = learner.tree_wanted_in();
        if wanted_in.is_some() && wanted_in != self.me.tree_wanted_in {
            // To the same leader, at once: it may need this member, and the others do not wait for it for long.
            self.me.appointed = Some(*leader);
        }
        self.me.tree_wanted_in = wanted_in;
        for output in outputs {
            self.learn_output(output);
        }
    }

    fn learn_output(&mut self, output: LearnerOutput) {
        let State::Learning { leader, attempt, truncating, .. } = &mut self.me.state else { return };
        let (leader, attempt) = (*leader, *attempt);
        match output {
            LearnerOutput::Send { bytes } => self.out.push(Output::SendToLeader { attempt, bytes }),
            LearnerOutput::StoreEpoch { kind, epoch } => self.store_epoch(kind, epoch),
            LearnerOutput::Continue => self.pipeline.learn(),
            LearnerOutput::Truncate { .. } if !self.me.config.logs() => {
                let why = "what it has is on no disk".to_owned();
                self.learn_any(LearnerInput::NotTruncated { why });
            }
            LearnerOutput::Truncate { zxid } => {
                *truncating = true;
                self.out.push(Output::Truncate { zxid });
            }
            // A tree of the leader is on stable storage before it takes the place of the old one.
            LearnerOutput::SaveSnapshot => self.learn_any(LearnerInput::SnapshotSaved),
            LearnerOutput::Append { zxid, entry } => {
                self.me.counts.proposals_heard += u64::from(matches!(self.me.part, Part::Following { .. }));
                self.pipe(pipeline::Input::Proposed { zxid, entry });
                // In what it has missed may be older ones than the leader has spoken of.
                if let Some(members) = self.pipeline.take_config_seen()
                    && members.version > self.me.config.last_seen().version
                {
                    self.see_config(members);
                }
            }
            LearnerOutput::Commit { zxid } => {
                self.me.counts.commits_heard += u64::from(self.me.part.learns());
                self.pipe(pipeline::Input::Committed(zxid));
            }
            LearnerOutput::ConfigSeen { text } => self.see_leaders_config(&text),
            LearnerOutput::Activate { zxid, designated } => {
                self.pass_on(LeaderInput::Activated { zxid, designated });
                self.activated(leader, zxid, designated);
                let config = &self.me.config;
                let (quorums, config_text) = (config.quorums(), config.members.to_string());
                let config_version = i64::try_from(config.members.version).unwrap_or(i64::MAX);
                self.pass_on(LeaderInput::Configured { quorums, config_text, config_version });
            }
            LearnerOutput::Serve { epoch } => {
                if !self.adopt_leaders_config(leader, epoch) {
                    return;
                }
                self.pipeline.serve(self.now);
                self.me.untrusted = false;
                self.me.config_node_due = Some(self.now.wall_ms);
                self.elect(election::Input::Established { epoch: i64::from(epoch.0) });
                let role = self.me.config.role();
                if role == Role::Participant && self.me.config.roles.observer_masters {
                    self.begin_to_pass_on(epoch);
                }
                self.set_part(match role {
                    Role::Participant => Part::Following { leader },
                    Role::Observer => Part::Observing { leader },
                });
            }
            LearnerOutput::Synced => self.pipe(pipeline::Input::Synced),
            LearnerOutput::Revalidated { session, valid } => {
                self.pipe(pipeline::Input::Revalidated { session, valid });
            }
            LearnerOutput::Lost { why } => self.retire(&format!("leader {} is lost: {why}", leader.0)),
            LearnerOutput::Diverged { what } => self.out.push(Output::Diverged { what }),
        }
    }

    /// From now on observers may come for what the leader says.
    fn begin_to_pass_on(&mut self, epoch: Epoch) {
        let config = &self.me.config;
        let new = ObserverMaster::new(
            ObserverMasterConfig {
                me: config.me,
                epoch,
                config_text: config.members.to_string(),
                config_version: i64::try_from(config.members.version).unwrap_or(i64::MAX),
                tick_ms: config.tick_ms,
                init_limit_ms: config.init_limit_ms(),
                sync_limit_ms: config.sync_limit_ms(),
                kept_bytes_max: config.roles.observer_master_bytes_max,
                force_snapshot: config.force_snapshot,
                sync_from_log: config.sync_from_log,
            },
            self.now.mono_ms,
            &self.me.history,
        );
        if let State::Learning { master, .. } = &mut self.me.state {
            *master = Some(Box::new(new));
        }
    }

    /// What this server's clients want of the leader.
    pub(super) fn hand_up(&mut self, message: ToLeader) {
        self.learn_any(match message {
            ToLeader::Forward(request) => LearnerInput::Forward(request),
            ToLeader::Revalidate { session, timeout_ms } => LearnerInput::Revalidate { session, timeout_ms },
            ToLeader::Touched(sessions) => LearnerInput::Touched(sessions),
        });
    }

    pub(super) fn tree_loaded(&mut self, attempt: u64, zxid: Zxid, sessions: &[(SessionId, i32)]) {
        self.replaced(zxid, sessions);
        if matches!(self.me.state, State::Learning { attempt: now, .. } if now == attempt) {
            self.pipeline.learn();
            self.learn_any(LearnerInput::SnapshotLoaded { zxid });
        }
    }

    pub(super) fn not_truncated(&mut self, why: String) {
        if let State::Learning { truncating, .. } = &mut self.me.state
            && std::mem::take(truncating)
        {
            self.learn_any(LearnerInput::NotTruncated { why });
        }
    }

    pub(super) fn truncated(&mut self, last: Zxid, sessions: &[(SessionId, i32)]) {
        self.replaced(last, sessions);
        if let State::Learning { truncating, .. } = &mut self.me.state
            && std::mem::take(truncating)
        {
            self.pipeline.learn();
            self.learn_any(LearnerInput::Truncated { last });
        }
    }

    /// Another state has taken the place of the tree.
    fn replaced(&mut self, last: Zxid, sessions: &[(SessionId, i32)]) {
        self.pipeline.replace_state(last, sessions, self.now);
        self.me.history.reset(last);
        self.me.durable = last;
        self.me.config_node_due = Some(self.now.wall_ms);
    }
}
