//! A follower towards observers that get from it what they would get from the leader.
//!
//! Nothing waits for a quorum here: the follower has a leader whose epoch is established, and passes on what that has
//! committed. What observers ask for goes up through the follower, and the answers come back through it.
//!
//! Invariants: an observer that has joined has been sent every txn up to [`ObserverMaster::sent`], each once and in
//! order, as INFORM; nothing is said of a txn before it is committed.
//!
//! Upstream counterpart: `ObserverMaster`, with `LearnerHandler` for each observer. Start reading at
//! [`ObserverMaster::step`].

mod link;

#[cfg(test)]
mod tests;

use self::link::{Link, Stage};
use super::{
    History, LeaderInput, LeaderOutput, LinkId, Logged, PROTOCOL_VERSION, Packet, epoch_start,
    leader::{
        Brought,
        plan::{Files, Plan, not_kept, plan},
    },
    write_proposal,
};
use crate::types::{Epoch, ServerId, Zxid};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// What a follower has to know to serve observers.
#[derive(Clone, Debug)]
pub struct ObserverMasterConfig {
    /// Its own number.
    pub me: ServerId,
    /// The epoch of its leader.
    pub epoch: Epoch,
    /// Text of the last seen configuration, for NEWLEADER.
    pub config_text: String,
    /// Its version. An observer with a newer one is refused.
    pub config_version: i64,
    /// `tickTime`, ms. PINGs leave every half tick.
    pub tick_ms: i64,
    /// `initLimit` × `tickTime`, ms: the longest silence of an observer that does not serve yet.
    pub init_limit_ms: i64,
    /// `syncLimit` × `tickTime`, ms: the longest silence afterwards.
    pub sync_limit_ms: i64,
    /// `observerMaster.sizeLimit`: bytes of committed txns that are kept, besides the [`History`], for observers that
    /// take a tree.
    pub kept_bytes_max: usize,
    /// `zookeeper.forceSnapshotSync`.
    pub force_snapshot: bool,
    /// Whether observers may be brought up to date from log files.
    pub sync_from_log: bool,
}

/// A follower towards its observers. Inputs and outputs are those of a leader towards learners; those that have to do
/// with quorums are neither taken nor given.
#[derive(Clone, Debug)]
pub struct ObserverMaster {
    config: ObserverMasterConfig,
    links: BTreeMap<LinkId, Link>,
    /// What is proposed and not committed. The history may have dropped it by the time its commit is seen here.
    outstanding: VecDeque<Logged>,
    /// The last proposal in it, or before it.
    proposed: Zxid,
    /// The last reconfiguration that is committed or about to be, and who is to lead by it.
    activation: Option<(Zxid, ServerId)>,
    /// Up to where joined observers have been informed.
    sent: Zxid,
    /// The newest committed txns.
    kept: VecDeque<Logged>,
    kept_bytes: usize,
    next_ping_ms: i64,
    brought: Brought,
    now_ms: i64,
    out: Vec<LeaderOutput>,
}

impl ObserverMaster {
    /// A follower that serves since now. `history` is the member's.
    pub fn new(config: ObserverMasterConfig, now_ms: i64, history: &History) -> Self {
        Self {
            next_ping_ms: now_ms + (config.tick_ms / 2).max(1),
            config,
            links: BTreeMap::new(),
            outstanding: history.outstanding().cloned().collect(),
            proposed: history.last(),
            activation: None,
            sent: history.last_committed(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            brought: Brought::default(),
            now_ms,
            out: Vec::new(),
        }
    }

    /// The observers that were brought up to date, or are being so, since this was asked last.
    pub fn take_brought(&mut self) -> Brought {
        std::mem::take(&mut self.brought)
    }

    /// Takes an input at a time (ms, monotonic) and gives what is to be done, in order. `history` is that of the
    /// member, with everything it was told to propose and commit.
    pub fn step(&mut self, now_ms: i64, history: &History, input: LeaderInput) -> Vec<LeaderOutput> {
        self.now_ms = now_ms;
        // The packet that announces a tree is the first output of its step.
        let seized = match input {
            LeaderInput::SnapshotBegun { link, zxid } => self.announce_snapshot(link, zxid, history),
            _ => false,
        };
        self.flush(history);
        match input {
            LeaderInput::Connected { link } => {
                self.links.insert(link, Link::new(now_ms + self.config.init_limit_ms));
            }
            LeaderInput::Packet { link, packet } => self.packet(link, packet, history),
            LeaderInput::Gone { link } => {
                self.links.remove(&link);
            }
            LeaderInput::Tick => self.tick(),
            LeaderInput::LogProbed { link, at } => {
                if let Some(Stage::Probing(peer)) = self.links.get(&link).map(|l| l.stage) {
                    self.sync(link, peer, Files::Reach(at), history);
                }
            }
            LeaderInput::SnapshotBegun { link, zxid } => {
                if seized {
                    self.join(link, Vec::new(), zxid, true, history);
                }
            }
            LeaderInput::SnapshotSent { link } => self.allow(link, self.config.init_limit_ms),
            LeaderInput::Activated { zxid, designated } => self.activation = Some((zxid, designated)),
            LeaderInput::Configured { config_text, config_version, .. } => {
                (self.config.config_text, self.config.config_version) = (config_text, config_version);
            }
            LeaderInput::Proposed
            | LeaderInput::HandOver { .. }
            | LeaderInput::Committed(_)
            | LeaderInput::Disloyal { .. }
            | LeaderInput::Barrier(_) => {}
        }
        std::mem::take(&mut self.out)
    }

    /// When the next [`LeaderInput::Tick`] is wanted, ms; `None` while nobody is connected.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        if self.links.is_empty() {
            return None;
        }
        self.links.values().filter_map(|l| l.deadline_ms).chain([self.next_ping_ms]).min()
    }

    /// All connections of observers.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        self.links.keys().copied()
    }

    /// Observers that serve clients.
    pub fn observers(&self) -> impl Iterator<Item = ServerId> {
        self.links.values().filter(|l| l.stage == Stage::Serving).filter_map(|l| l.server)
    }

    /// Informs those who have joined of what is committed, and keeps it for those who are about to.
    fn flush(&mut self, history: &History) {
        let mut new = VecDeque::new();
        history
            .outstanding()
            .rev()
            .chain(history.committed().rev())
            .take_while(|t| t.zxid > self.proposed)
            .for_each(|t| new.push_front(t.clone()));
        self.proposed = new.back().map_or(self.proposed, |t| t.zxid);
        self.outstanding.extend(new);
        let count = self.outstanding.partition_point(|t| t.zxid <= history.last_committed());
        let mut bytes = Vec::new();
        for txn in self.outstanding.drain(..count) {
            let (zxid, entry) = (txn.zxid, txn.entry.clone());
            match self.activation.filter(|(at, _)| *at == zxid) {
                Some((_, designated)) => {
                    Packet::InformAndActivate { zxid, designated, entry }.write(&mut bytes);
                }
                None => Packet::Inform { zxid, entry }.write(&mut bytes),
            }
            self.sent = txn.zxid;
            self.kept_bytes += txn.entry.len();
            self.kept.push_back(txn);
        }
        while self.kept_bytes > self.config.kept_bytes_max
            && let Some(oldest) = self.kept.pop_front()
        {
            self.kept_bytes -= oldest.entry.len();
        }
        let bytes = Bytes::from(bytes);
        if !bytes.is_empty() {
            for (link, _) in self.links.iter().filter(|(_, l)| l.joined()) {
                self.out.push(LeaderOutput::Send { link: *link, bytes: bytes.clone() });
            }
        }
    }

    fn packet(&mut self, link: LinkId, packet: Packet, history: &History) {
        let Some(stage) = self.links.get(&link).map(|l| l.stage) else { return };
        match (stage, packet) {
            (Stage::Silent, Packet::LearnerInfo { observer: true, info: Some(info), .. }) => {
                self.learner_info(link, info.server, info.protocol, info.config_version);
            }
            (Stage::Silent, Packet::LearnerInfo { observer: false, .. }) => {
                self.close(link, "only observers are served on this port".to_owned());
            }
            (Stage::Told, Packet::AckEpoch { zxid, .. }) => {
                let files = if self.config.sync_from_log { Files::Unasked } else { Files::Off };
                self.sync(link, zxid, files, history);
            }
            (Stage::Syncing, Packet::Ack { zxid }) if zxid == epoch_start(self.config.epoch) => {
                if let Some(l) = self.links.get_mut(&link) {
                    l.stage = Stage::Serving;
                }
                self.allow(link, self.config.sync_limit_ms);
                self.send(link, &Packet::UpToDate);
            }
            (Stage::Serving, packet) => self.serving(link, packet),
            (stage, packet) => {
                self.close(link, format!("{} does not belong here ({stage:?})", packet.name()));
            }
        }
    }

    fn learner_info(&mut self, link: LinkId, server: ServerId, protocol: i32, config_version: i64) {
        if protocol < PROTOCOL_VERSION
            || config_version > self.config.config_version
            || server == self.config.me
        {
            let why = format!(
                "server {} speaks protocol {protocol:#x} and has configuration {config_version:x}, against \
                 {PROTOCOL_VERSION:#x} and {:x} of server {}",
                server.0, self.config.config_version, self.config.me.0
            );
            self.close(link, why);
            return;
        }
        let before = self.links.iter().find(|(_, l)| l.server == Some(server)).map(|(id, _)| *id);
        if let Some(old) = before {
            self.close(old, format!("server {} has connected anew", server.0));
        }
        let Some(l) = self.links.get_mut(&link) else { return };
        (l.server, l.stage) = (Some(server), Stage::Told);
        self.allow(link, self.config.init_limit_ms);
        let zxid = epoch_start(self.config.epoch);
        self.send(link, &Packet::LeaderInfo { zxid, protocol: PROTOCOL_VERSION });
    }

    fn sync(&mut self, link: LinkId, peer: Zxid, files: Files, history: &History) {
        let plan = plan(history, peer, self.config.force_snapshot, files);
        let Some(l) = self.links.get_mut(&link) else { return };
        l.deadline_ms = None;
        match plan {
            Plan::AskLog => {
                l.stage = Stage::Probing(peer);
                self.out.push(LeaderOutput::ProbeLog { link, peer });
            }
            Plan::Snap => {
                l.stage = Stage::Seizing;
                self.out.push(LeaderOutput::BeginSnapshot { link });
            }
            Plan::Stream { first, log, after } => {
                let bytes = first.open(link, log, &mut self.out);
                self.join(link, bytes, after, false, history);
            }
        }
    }

    /// The tree is seized for an observer. Answers whether it can join behind it.
    fn announce_snapshot(&mut self, link: LinkId, zxid: Zxid, history: &History) -> bool {
        if self.links.get(&link).is_none_or(|l| l.stage != Stage::Seizing) {
            return false;
        }
        if self.committed_after(zxid, history).is_none() {
            self.close(link, not_kept(zxid, history));
            return false;
        }
        self.send(link, &Packet::Snap { zxid });
        true
    }

    /// The committed txns after `zxid`, from wherever they are kept; `None` when some are not.
    fn committed_after<'a>(&'a self, zxid: Zxid, history: &'a History) -> Option<Vec<&'a Logged>> {
        let complete = |all: Vec<&'a Logged>| match all.first() {
            Some(first) if zxid.is_followed_by(first.zxid) => Some(all),
            Some(_) => None,
            None => (zxid >= history.last_committed()).then_some(all),
        };
        let kept = self.kept.iter().skip(self.kept.partition_point(|t| t.zxid <= zxid)).collect();
        complete(history.committed_after(zxid).collect()).or_else(|| complete(kept))
    }

    /// Sends, behind `bytes`, what the observer lacks after `after`, and NEWLEADER. From now on it gets what the others
    /// get.
    fn join(&mut self, link: LinkId, mut bytes: Vec<u8>, after: Zxid, snapshot: bool, history: &History) {
        let Some(missing) = self.committed_after(after, history).or_else(|| {
            // A gap behind what a learner has is the leader's; the plan has looked at it.
            (!snapshot).then(|| history.committed_after(after).collect())
        }) else {
            return;
        };
        for txn in missing {
            write_proposal(&mut bytes, txn.zxid, &txn.entry);
            Packet::Commit { zxid: txn.zxid }.write(&mut bytes);
        }
        let config = Bytes::copy_from_slice(self.config.config_text.as_bytes());
        Packet::NewLeader { zxid: epoch_start(self.config.epoch), config: Some(config) }.write(&mut bytes);
        if let Some(l) = self.links.get_mut(&link) {
            l.stage = Stage::Syncing;
            self.brought.add(snapshot);
        }
        // How long a tree takes to get through, nobody knows; the clock runs from its end.
        if !snapshot {
            self.allow(link, self.config.init_limit_ms);
        }
        self.out.push(LeaderOutput::Send { link, bytes: bytes.into() });
    }

    /// A packet of an observer that serves.
    fn serving(&mut self, link: LinkId, packet: Packet) {
        self.allow(link, self.config.sync_limit_ms);
        match packet {
            // That of UPTODATE.
            Packet::Ack { zxid } if zxid.counter() == 0 => {}
            Packet::Pong { touched, .. } => {
                if !touched.is_empty() {
                    self.out.push(LeaderOutput::Touched { link, sessions: touched });
                }
            }
            Packet::Request(request) => self.out.push(LeaderOutput::Request { link, request }),
            Packet::Revalidate { session, timeout_ms } => {
                self.out.push(LeaderOutput::Revalidate { link, session, timeout_ms });
            }
            packet => self.close(link, format!("an observer that serves does not send {}", packet.name())),
        }
    }

    fn tick(&mut self) {
        let now_ms = self.now_ms;
        let late_ms = now_ms - self.next_ping_ms;
        if late_ms > self.config.tick_ms {
            // This process was stopped: what observers said in that time waits to be read.
            self.links.values_mut().for_each(|l| l.deadline_ms = l.deadline_ms.map(|at| at + late_ms));
        }
        let silent = self.links.iter().filter(|(_, l)| l.deadline_ms.is_some_and(|at| at <= now_ms));
        for link in silent.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.close(link, "it has been silent for too long".to_owned());
        }
        if now_ms >= self.next_ping_ms {
            self.next_ping_ms = now_ms + (self.config.tick_ms / 2).max(1);
            let bytes = Packet::Ping { zxid: self.sent.max(epoch_start(self.config.epoch)) }.to_bytes();
            for (link, _) in self.links.iter().filter(|(_, l)| l.stage == Stage::Serving) {
                self.out.push(LeaderOutput::Send { link: *link, bytes: bytes.clone() });
            }
        }
    }

    /// The observer has so many ms from now on to say something.
    fn allow(&mut self, link: LinkId, ms: i64) {
        let at_ms = self.now_ms + ms;
        if let Some(l) = self.links.get_mut(&link) {
            l.deadline_ms = Some(at_ms);
        }
    }

    fn send(&mut self, link: LinkId, packet: &Packet) {
        self.out.push(LeaderOutput::Send { link, bytes: packet.to_bytes() });
    }

    fn close(&mut self, link: LinkId, why: String) {
        if self.links.remove(&link).is_some() {
            self.out.push(LeaderOutput::Close { link, why });
        }
    }
}
