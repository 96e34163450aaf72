//! What a member of an ensemble wants done, done.

use super::{
    core::Core,
    fatal,
    log::ToLog,
    streams::{LogSource, TreeSource},
};
use crate::{
    member::{Input, Output, Part},
    net::{Command, LearnerCounts, ToCore},
    pipeline::Now,
    storage::{self, StorageError, resync},
    tree::Tree,
    types::{SessionId, Zxid},
    zab::{Leader, LinkId},
};
use std::{
    sync::{atomic::Ordering, mpsc},
    thread,
    time::Duration,
};
use tracing::{debug, info, warn};

impl Core {
    pub(super) fn execute(&mut self, output: Output) {
        let Some(peers) = &mut self.peers else { return };
        match output {
            Output::Notify { to, notification } => peers.elections.send(to, &notification),
            Output::ConnectPeers => peers.elections.connect_all(),
            Output::ConnectLeader { attempt, leader, port } => peers.connect_leader(attempt, leader, port),
            Output::DisconnectLeader { attempt } => {
                self.outgoing.flush(peers);
                peers.disconnect_leader(attempt);
            }
            Output::SendToLeader { attempt, bytes } => self.outgoing.for_leader(attempt, bytes),
            Output::Send { link, bytes } => self.outgoing.for_link(link, bytes),
            Output::SendLog { link, after, through } => {
                let (disk, dir) = (self.disk.clone(), self.storage.log_dir());
                self.outgoing.flush_link(peers, link);
                if let Some(links) = peers.links_of(link) {
                    links.send_source(link, Box::new(LogSource { disk, dir, after, through }));
                }
            }
            Output::BeginSnapshot { link } => self.trees_wanted.push_back(link),
            Output::ProbeLog { link, peer } => self.probe_log(link, peer),
            Output::Close { link, why } => {
                debug!(link = link.0, "connection of a learner closed: {why}");
                self.outgoing.flush_link(peers, link);
                if let Some(links) = peers.links_of(link) {
                    links.close(link);
                }
            }
            Output::StoreEpoch { kind, epoch } => {
                let dir = self.storage.snap_dir();
                if let Err(error) = storage::write_epoch(&*self.disk, &dir, kind, epoch) {
                    disk_failed("an epoch", &error);
                }
            }
            Output::SeeConfig { next } => self.see_config(next.map(|next| *next)),
            Output::AdoptConfig { active } => self.adopt_config(*active),
            Output::Truncate { zxid } => self.truncate(zxid),
            Output::CloseClients => {
                self.shared.serving.store(false, Ordering::Release);
                for port in &self.shared.workers {
                    // A worker that has ended has no clients.
                    let _ = port.commands.send(Command::CloseClients);
                }
            }
            Output::Part(part) => {
                *self.shared.part.lock() = part;
                self.part_times.begin(part, self.shared.clock.mono_ms(), &self.metrics);
                peers.set_part(part);
                self.shared.serving.store(part.serves(), Ordering::Release);
                match part {
                    Part::Standalone => {}
                    Part::Looking => info!("looking for a leader"),
                    Part::ReadOnly if self.member.pipeline().has_local_sessions() => {
                        info!("without a leader for a while: serving clients that accept a read-only server");
                    }
                    Part::ReadOnly => info!(
                        "without a leader for a while, but read-only clients cannot be served: their sessions need \
                         localSessionsEnabled=true"
                    ),
                    Part::Joining { leader } => info!(leader = leader.0, "elected"),
                    Part::Leading => info!(epoch = self.epoch(), "leading, and serving clients"),
                    Part::LeadingOnly => {
                        info!(epoch = self.epoch(), "leading, and leaving clients to the others")
                    }
                    Part::Following { leader } => {
                        info!(leader = leader.0, epoch = self.epoch(), "following, and serving clients");
                    }
                    Part::Observing { leader } => {
                        info!(leader = leader.0, epoch = self.epoch(), "observing, and serving clients");
                    }
                }
            }
            Output::Diverged { what } => fatal::stop(
                fatal::Exit::Diverged,
                &format!(
                    "the leader's words do not go with this member's log, so it stops: {what}. Started again it \
                     is brought up to date; if that fails too, move its data away and let it begin empty"
                ),
            ),
            Output::Note { text } => info!("{text}"),
        }
    }

    fn epoch(&self) -> u32 {
        self.member.epochs().map_or(0, |(_, current)| current.0)
    }

    /// How far back the log files go is looked up beside the core: it reads files.
    fn probe_log(&self, link: LinkId, peer: Zxid) {
        let (shared, disk, storage) = (self.shared.clone(), self.disk.clone(), self.storage.clone());
        let through = self.member.history().map_or(Zxid::ZERO, |h| h.min());
        let run = move || {
            let factor = shared.config.storage.snapshot_size_factor;
            let at = resync::probe_log(&*disk, &storage, peer, through, factor).unwrap_or_else(|error| {
                warn!("a learner gets a snapshot, as the logs cannot be read: {error}");
                None
            });
            shared.core.put(ToCore::Member(Input::LogProbed { link, at }));
        };
        if thread::Builder::new().name("probe".into()).spawn(run).is_err() {
            self.shared.core.put(ToCore::Member(Input::LogProbed { link, at: None }));
        }
    }

    /// Begins to send the tree to the learner that waits longest, if nobody else walks it. Whether it has.
    pub(super) fn begin_tree(&mut self, now: Now) -> bool {
        if self.trees_wanted.is_empty() || !self.snapshots.try_begin() {
            return false;
        }
        let Some(link) = self.trees_wanted.pop_front() else { return false };
        let walk = match self.shared.tree.write().begin_snapshot() {
            Ok(walk) => walk,
            Err(error) => fatal::stop(fatal::Exit::Unexpected, &format!("a snapshot cannot begin: {error}")),
        };
        let zxid = walk.zxid();
        let source = TreeSource {
            shared: self.shared.clone(),
            snapshots: self.snapshots.clone(),
            walk: Some(walk),
            sessions: self.member.pipeline().global_sessions(),
            link,
        };
        let mut outputs = Vec::new();
        self.member.accept(now, &self.shared.tree.read(), Input::SnapshotBegun { link, zxid }, &mut outputs);
        let mut source = Some(source);
        for output in outputs {
            // The tree belongs right behind the word that announces it.
            let announces = matches!(output, Output::Send { link: to, .. } if to == link);
            self.execute(output);
            if announces
                && let Some(source) = source.take()
                && let Some(peers) = &self.peers
            {
                info!(link = link.0, %zxid, "sending the tree to a learner");
                self.outgoing.flush_link(peers, link);
                if let Some(links) = peers.links_of(link) {
                    links.send_source(link, Box::new(source));
                }
            }
        }
        true
    }

    /// Cuts the log back and loads the state again.
    fn truncate(&mut self, zxid: Zxid) {
        info!(%zxid, "cutting the log back: the leader does not know what is behind it");
        self.detach();
        let options = super::options::tree(&self.shared.config);
        match resync::truncate_to(&self.disk, &self.storage, options, zxid) {
            Ok(recovered) => {
                let last = recovered.tree.last_zxid();
                self.replace(recovered.tree);
                self.log.put(ToLog::Attach(last));
                self.own.push_back(Input::Truncated { last, sessions: recovered.sessions });
            }
            // Nothing was changed.
            Err(error @ StorageError::CannotTruncate { .. }) => {
                self.log.put(ToLog::Attach(self.shared.tree.read().last_zxid()));
                self.own.push_back(Input::NotTruncated { why: error.to_string() });
            }
            Err(error) => fatal::stop(
                fatal::Exit::Diverged,
                &format!(
                    "the log cannot be cut back to {zxid}, where the leader's history and this member's part: \
                     {error}. Move this member's data away and start it empty: its peers have everything"
                ),
            ),
        }
    }

    /// Puts the leader's tree in the place of this member's, on disk first.
    pub(super) fn take_tree(
        &mut self,
        attempt: u64,
        zxid: Zxid,
        mut tree: Tree,
        sessions: Vec<(SessionId, i32)>,
    ) {
        if self.peers.as_ref().is_none_or(|peers| !peers.is_current(attempt)) {
            return;
        }
        self.detach();
        if let Err(error) = resync::install_snapshot(&self.disk, &self.storage, &mut tree, &sessions) {
            disk_failed("the leader's snapshot", &error);
        }
        info!(%zxid, nodes = tree.node_count(), "the leader's tree is in place");
        self.replace(tree);
        self.log.put(ToLog::Attach(zxid));
        self.own.push_back(Input::TreeLoaded { attempt, zxid, sessions });
    }

    /// Waits until nobody touches the files or walks the tree.
    fn detach(&self) {
        let (done, detached) = mpsc::sync_channel(1);
        self.log.put(ToLog::Detach(done));
        // The log ends the process when it fails.
        let _ = detached.recv();
        while self.snapshots.is_under_way() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn replace(&self, tree: Tree) {
        let old = std::mem::replace(&mut *self.shared.tree.write(), tree);
        drop(old);
    }
}

fn disk_failed(what: &str, error: &StorageError) -> ! {
    fatal::stop(
        fatal::Exit::Unexpected,
        &format!("{what} cannot be written, so the server stops before it promises anything: {error}"),
    )
}

/// What words show of a leader's learners.
pub(super) fn learner_counts(leader: &Leader) -> LearnerCounts {
    let mut counts = LearnerCounts::default();
    for learner in leader.learners() {
        counts.all += 1;
        match (learner.synced, learner.observer) {
            (false, _) => counts.pending += 1,
            (true, true) => counts.synced_observers += 1,
            (true, false) => counts.synced_followers += 1,
        }
    }
    counts
}
