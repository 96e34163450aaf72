//! From DIFF, TRUNC or SNAP to UPTODATE.

use super::{
    super::{EpochKind, Packet, epoch_start},
    Learner, LearnerOutput, Stage, Txn, header_zxid,
};
use crate::types::{
    ServerId, Zxid,
    guard::{self, Guard},
};
use bytes::Bytes;

impl Learner {
    pub(super) fn sync_begins(&mut self, packet: Packet) {
        match packet {
            Packet::Diff { .. } => {
                self.stage = Stage::Streaming { save: false };
                self.out.push(LearnerOutput::Continue);
            }
            Packet::Trunc { zxid } => {
                self.stage = Stage::Truncating(zxid);
                self.out.push(LearnerOutput::Truncate { zxid });
            }
            Packet::Snap { .. } => self.stage = Stage::Loading,
            packet => self.unexpected(&packet),
        }
    }

    /// The log was cut.
    pub(super) fn truncated(&mut self, last: Zxid) {
        let Stage::Truncating(zxid) = self.stage else { return };
        // The beginning of an epoch is no txn, so the last one before it is as good.
        if last > zxid || (last < zxid && zxid.counter() != 0) {
            self.diverged(format!("the log was to be cut back to {zxid}, and now it ends with {last}"));
            return;
        }
        self.restart_from(last);
        self.stage = Stage::Streaming { save: false };
    }

    /// The log could not be cut: what is beyond the leader's history came as a tree. It asks for the leader's when it has
    /// connected again.
    pub(super) fn not_truncated(&mut self, why: &str) {
        if let Stage::Truncating(zxid) = self.stage {
            self.tree_wanted_in = Some(self.epoch);
            self.lost(format!("the log cannot be cut back to {zxid}, so it has to send its tree: {why}"));
        }
    }

    /// The tree is in place.
    pub(super) fn snapshot_loaded(&mut self, zxid: Zxid) {
        if self.stage == Stage::Loading {
            self.restart_from(zxid);
            self.stage = Stage::Streaming { save: true };
        }
    }

    fn restart_from(&mut self, last: Zxid) {
        (self.last, self.base, self.durable) = (last, last, last);
    }

    /// A packet between the beginning of the sync and UPTODATE.
    pub(super) fn syncing(&mut self, packet: Packet) {
        let observer = self.config.observer;
        match (self.stage, packet) {
            (_, Packet::Proposal { zxid, entry }) => self.stash(zxid, entry, false, None),
            (_, Packet::Inform { zxid, entry }) if observer => self.stash(zxid, entry, true, None),
            (_, Packet::InformAndActivate { zxid, designated, entry }) if observer => {
                self.stash(zxid, entry, true, Some(designated));
            }
            (_, Packet::Commit { zxid }) => self.commit_early(zxid, None),
            (_, Packet::CommitAndActivate { zxid, designated }) => self.commit_early(zxid, Some(designated)),
            (Stage::Streaming { save }, Packet::NewLeader { zxid, config }) => {
                self.new_leader(save, zxid, config);
            }
            (Stage::Acked, Packet::UpToDate) => self.up_to_date(),
            // A leader that is established may ping everybody; learners answer from UPTODATE on.
            (_, Packet::Ping { .. }) => {}
            (_, packet) => self.unexpected(&packet),
        }
    }

    /// Keeps a txn until it is its turn to be appended.
    fn stash(&mut self, zxid: Zxid, entry: Bytes, committed: bool, activate: Option<ServerId>) {
        if header_zxid(&entry) != Some(zxid) {
            self.lost(format!("the leader sent a txn as {zxid} whose header says otherwise"));
            return;
        }
        // A leader may take a tree for older than it is: then the first txns are in it already.
        let known = self.last == self.base && zxid <= self.base;
        // An old leader has proposed it to an observer before.
        let waits = committed && self.stash.iter().any(|t| t.zxid == zxid && !t.committed);
        if waits {
            self.commit_early(zxid, activate);
        } else if known || (zxid == self.last && zxid > self.base) {
            // Old leaders number the record of a failed request like the txn before it: it changes nothing.
        } else if self.last > self.base && zxid != self.last.next() && zxid.epoch() <= self.last.epoch() {
            let last = self.last;
            self.lost(format!("during the sync the leader sent {zxid} after {last}: something is missing"));
        } else {
            self.last = zxid;
            self.stash.push_back(Txn { zxid, entry, committed, activate });
        }
    }

    /// A commit before UPTODATE: of what is appended already, or of what waits.
    fn commit_early(&mut self, zxid: Zxid, activate: Option<ServerId>) {
        if !self.pending.is_empty() {
            if guard::holds(Guard::CommitWhileJoining) {
                self.commit(zxid, activate);
            }
            return;
        }
        match self.stash.iter_mut().find(|t| !t.committed) {
            Some(txn) if txn.zxid == zxid => (txn.committed, txn.activate) = (true, activate),
            // As upstream: after NEWLEADER such a commit means that the two histories differ, before it is passed over.
            Some(txn) if self.stage == Stage::Acked && zxid > self.base => {
                let next = txn.zxid;
                self.diverged(format!("the leader commits {zxid}, and {next} is the next to be committed"));
            }
            _ => {}
        }
    }

    fn new_leader(&mut self, save: bool, zxid: Zxid, config: Option<Bytes>) {
        if zxid != epoch_start(self.epoch) {
            self.lost(format!("the leader of epoch {:#x} sent a NEWLEADER of {zxid}", self.epoch.0));
            return;
        }
        // Old leaders do not tell their configuration.
        if let Some(text) = config.filter(|c| c.len() > 1) {
            self.out.push(LearnerOutput::ConfigSeen { text });
        }
        if save {
            self.stage = Stage::Saving;
            self.out.push(LearnerOutput::SaveSnapshot);
        } else {
            self.append_synced();
        }
    }

    /// The tree is on stable storage.
    pub(super) fn snapshot_saved(&mut self) {
        if self.stage == Stage::Saving {
            self.append_synced();
        }
    }

    /// Appends what came before NEWLEADER. An observer takes only what is committed.
    fn append_synced(&mut self) {
        if !guard::holds(Guard::AppendBeforeAck) {
            self.acknowledge();
            return;
        }
        let taken = match self.config.observer {
            true => self.stash.iter().take_while(|t| t.committed).count(),
            false => self.stash.len(),
        };
        let txns: Vec<Txn> = self.stash.drain(..taken).collect();
        let Some(last) = txns.last().map(|t| t.zxid) else {
            self.acknowledge();
            return;
        };
        // What is committed needs no acknowledgement, and gets none from upstream's learners.
        self.unacked.extend(txns.iter().filter(|t| !t.committed).map(|t| t.zxid));
        self.append(txns);
        if !guard::holds(Guard::ForceBeforeAck) {
            self.acknowledge();
            return;
        }
        self.stage = Stage::Appending(last);
    }

    /// Appends these, and commits those that are committed: they come first.
    fn append(&mut self, txns: Vec<Txn>) {
        let mut committed = None;
        for txn in txns {
            self.out.push(LearnerOutput::Append { zxid: txn.zxid, entry: txn.entry });
            if !txn.committed {
                self.pending.push_back(txn.zxid);
                continue;
            }
            committed = Some(txn.zxid);
            if let Some(designated) = txn.activate {
                self.out.push(LearnerOutput::Commit { zxid: txn.zxid });
                self.out.push(LearnerOutput::Activate { zxid: txn.zxid, designated });
                committed = None;
            }
        }
        self.out.extend(committed.map(|zxid| LearnerOutput::Commit { zxid }));
    }

    /// Everything that came before NEWLEADER is on stable storage.
    pub(super) fn acknowledge(&mut self) {
        self.out.push(LearnerOutput::StoreEpoch { kind: EpochKind::Current, epoch: self.epoch });
        self.send(&Packet::Ack { zxid: epoch_start(self.epoch) });
        self.stage = Stage::Acked;
    }

    /// The leader has a quorum: what came since NEWLEADER goes into the log as everything from now on.
    fn up_to_date(&mut self) {
        let mut txns: Vec<Txn> = self.stash.drain(..).collect();
        if self.config.observer {
            // Proposals of old leaders; those that are committed come again as INFORM.
            txns.retain(|t| t.committed);
        } else {
            self.unacked.extend(txns.iter().map(|t| t.zxid));
        }
        self.append(txns);
        self.stage = Stage::Serving;
        self.out.push(LearnerOutput::Serve { epoch: self.epoch });
        let mut bytes = Vec::new();
        Packet::Ack { zxid: epoch_start(self.epoch) }.write(&mut bytes);
        self.write_acks(&mut bytes);
        self.out.push(LearnerOutput::Send { bytes: bytes.into() });
    }
}
