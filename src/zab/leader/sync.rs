//! What a learner is sent so that it has the leader's history, up to its acknowledgement of NEWLEADER.

use super::{
    super::{History, Packet, epoch_start, write_proposal},
    Leader, LeaderOutput, LinkId, Phase,
    link::Stage,
    plan::{Files, Plan, not_kept, plan},
};
use crate::types::{
    Zxid,
    guard::{self, Guard},
};
use bytes::Bytes;

impl Leader {
    /// Decides how a learner gets the leader's history, and begins with it.
    pub(super) fn begin_sync(&mut self, link: LinkId, peer: Zxid, history: &History) {
        let files = if self.config.sync_from_log { Files::Unasked } else { Files::Off };
        self.sync(link, peer, files, history);
    }

    /// The log files were looked at.
    pub(super) fn log_probed(&mut self, link: LinkId, at: Option<Zxid>, history: &History) {
        if let Some(Stage::Probing(peer)) = self.links.get(&link).map(|l| l.stage) {
            self.sync(link, peer, Files::Reach(at), history);
        }
    }

    fn sync(&mut self, link: LinkId, peer: Zxid, files: Files, history: &History) {
        let plan = plan(history, peer, self.config.force_snapshot, files);
        let Some(l) = self.links.get_mut(&link) else { return };
        match plan {
            Plan::AskLog => {
                l.stage = Stage::Probing(peer);
                self.out.push(LeaderOutput::ProbeLog { link, peer });
            }
            Plan::Snap => {
                let observer = l.observer;
                let max = self.config.snapshot_syncs_max;
                let running = self.links.values().filter(|l| l.takes_snapshot()).count();
                // A voter is never sent away: the quorum may depend on it.
                if observer && max > 0 && running >= max as usize {
                    self.close(
                        link,
                        format!("{running} learners take a snapshot already, and at most {max} may"),
                    );
                } else if let Some(l) = self.links.get_mut(&link) {
                    l.stage = Stage::Seizing;
                    self.out.push(LeaderOutput::BeginSnapshot { link });
                }
            }
            Plan::Stream { .. } if self.too_many_streams(link) => {
                let max = self.config.diff_syncs_max;
                self.close(link, format!("{max} learners are being brought up to date already"));
            }
            Plan::Stream { first, log, after } => {
                let bytes = first.open(link, log, &mut self.out);
                self.join(link, bytes, after, false, history);
            }
        }
    }

    /// Whether an observer has to come again, as others get txns already. A voter is never sent away.
    fn too_many_streams(&self, link: LinkId) -> bool {
        let max = self.config.diff_syncs_max;
        let running = self.links.values().filter(|l| l.stage == Stage::Syncing(false)).count();
        max > 0 && running >= max as usize && self.links.get(&link).is_some_and(|l| l.observer)
    }

    /// The tree is seized for a learner. Answers whether it is still wanted.
    pub(super) fn announce_snapshot(&mut self, link: LinkId, zxid: Zxid, history: &History) -> Option<()> {
        self.links.get(&link).filter(|l| l.stage == Stage::Seizing)?;
        let next = history.committed_after(zxid).next().map(|t| t.zxid);
        let follows = match next {
            Some(next) => zxid.is_followed_by(next),
            None => zxid >= history.last_committed(),
        };
        if !follows {
            self.close(link, not_kept(zxid, history));
            return None;
        }
        self.send(link, &Packet::Snap { zxid });
        Some(())
    }

    /// The last byte of the tree has left: from now on the learner has to answer in time.
    pub(super) fn snapshot_sent(&mut self, link: LinkId) {
        let deadline_ms = self.now_ms + self.config.init_limit_ms;
        if let Some(l) = self.links.get_mut(&link).filter(|l| l.stage == Stage::Syncing(true)) {
            l.deadline_ms = Some(deadline_ms);
            l.supports_until_ms = l.supports_until_ms.max(deadline_ms + self.config.sync_limit_ms);
        }
    }

    /// Sends, behind `bytes`, what the learner lacks after `after`, and NEWLEADER. From now on it gets what the
    /// others get.
    pub(super) fn join(
        &mut self,
        link: LinkId,
        mut bytes: Vec<u8>,
        after: Zxid,
        snapshot: bool,
        history: &History,
    ) {
        let Some(l) = self.links.get_mut(&link) else { return };
        let config = Bytes::copy_from_slice(self.config.config_text.as_bytes());
        let new_leader = Packet::NewLeader { zxid: epoch_start(self.epoch), config: Some(config) };
        if !guard::holds(Guard::HistoryFirst) {
            new_leader.write(&mut bytes);
        }
        for txn in history.committed_after(after) {
            write_proposal(&mut bytes, txn.zxid, &txn.entry);
            Packet::Commit { zxid: txn.zxid }.write(&mut bytes);
        }
        // An observer is told when they are committed.
        if !l.observer && guard::holds(Guard::SendOutstanding) {
            for txn in self.outstanding.iter().filter(|txn| txn.zxid > after) {
                write_proposal(&mut bytes, txn.zxid, &txn.entry);
                l.owes(txn.zxid, self.now_ms);
            }
        }
        if guard::holds(Guard::HistoryFirst) {
            new_leader.write(&mut bytes);
        }
        // Also one that comes as an observer now: it may have followed before, and have acknowledged what it is cut back by.
        if let Some(member) = l.server {
            self.out.push(LeaderOutput::Joins { member });
        }
        l.stage = Stage::Syncing(snapshot);
        self.brought.add(snapshot);
        // How long a tree takes to get through, nobody knows; the clock runs from its end.
        l.deadline_ms = (!snapshot).then_some(self.now_ms + self.config.init_limit_ms);
        self.out.push(LeaderOutput::Send { link, bytes: bytes.into() });
    }

    /// The learner has the history on stable storage.
    pub(super) fn new_leader_ack(&mut self, link: LinkId, zxid: Zxid) {
        let expected = epoch_start(self.epoch);
        if zxid != expected {
            self.close(link, format!("it acknowledges {zxid} instead of NEWLEADER, which is {expected}"));
            return;
        }
        let Some(l) = self.links.get_mut(&link) else { return };
        (l.stage, l.deadline_ms) = (Stage::Acked, None);
        if self.phase == Phase::Broadcast {
            self.up_to_date(link);
        }
    }

    /// The learner may serve clients.
    pub(super) fn up_to_date(&mut self, link: LinkId) {
        let until_ms = self.now_ms + self.config.sync_limit_ms;
        let Some(l) = self.links.get_mut(&link) else { return };
        (l.stage, l.deadline_ms) = (Stage::Serving, Some(until_ms));
        l.supports_until_ms = l.supports_until_ms.max(until_ms);
        // What it was sent before it could answer is due from now on.
        if let Some((last, _)) = l.unacked.back().copied() {
            l.unacked = [(last, self.now_ms)].into();
        }
        self.send(link, &Packet::UpToDate);
    }
}
