//! Once it serves: proposals, commits, PINGs, and answers of the leader.

use super::{super::Packet, Learner, LearnerOutput, Stage, header_zxid};
use crate::types::{ServerId, Zxid};
use bytes::Bytes;

/// Sessions in one answer to a PING, at most: stock leaders read no packet of 1 MiB. The others wait for the next one.
const TOUCHED_MAX: usize = 50_000;

impl Learner {
    /// A packet for a learner that serves.
    pub(super) fn serving(&mut self, packet: Packet) {
        let observer = self.config.observer;
        match packet {
            Packet::Proposal { zxid, entry } if !observer => {
                let again = zxid == self.last && zxid > self.base;
                if self.receive(zxid, entry) {
                    self.pending.push_back(zxid);
                    self.unacked.push_back(zxid);
                } else if again && self.stage == Stage::Serving {
                    // It counts for the record what it would have counted for the txn.
                    self.unacked.push_back(zxid);
                    self.durable(self.durable);
                }
            }
            Packet::Commit { zxid } if !observer => self.commit(zxid, None),
            Packet::CommitAndActivate { zxid, designated } if !observer => {
                self.commit(zxid, Some(designated))
            }
            Packet::Inform { zxid, entry } if observer => self.inform(zxid, entry, None),
            Packet::InformAndActivate { zxid, designated, entry } if observer => {
                self.inform(zxid, entry, Some(designated));
            }
            Packet::Ping { zxid } => {
                let mut touched = std::mem::take(&mut self.touched);
                if touched.len() > TOUCHED_MAX
                    && let Some(first) = touched.keys().nth(TOUCHED_MAX).copied()
                {
                    self.touched = touched.split_off(&first);
                }
                self.send(&Packet::Pong { zxid, touched: touched.into_iter().collect() });
            }
            Packet::Sync => self.out.push(LearnerOutput::Synced),
            Packet::Revalidated { session, valid } => {
                self.out.push(LearnerOutput::Revalidated { session, valid });
            }
            // An observer gets INFORM for these; and UPTODATE says nothing new.
            Packet::Proposal { .. } | Packet::Commit { .. } | Packet::UpToDate => {}
            packet => self.unexpected(&packet),
        }
    }

    /// Appends a txn. Answers whether there was something to append.
    fn receive(&mut self, zxid: Zxid, entry: Bytes) -> bool {
        if header_zxid(&entry) != Some(zxid) {
            self.lost(format!("the leader sent a txn as {zxid} whose header says otherwise"));
            return false;
        }
        if self.last == self.base && zxid <= self.base {
            return false;
        }
        // The record of a request that a leader could not read has the number of the txn before it. It changes nothing,
        // and is not committed by itself.
        if zxid == self.last && zxid > self.base {
            return false;
        }
        // Greater steps are upstream's to answer for: its followers take them, too.
        if zxid < self.last {
            let last = self.last;
            self.lost(format!("the leader sent {zxid} after {last}"));
            return false;
        }
        self.last = zxid;
        self.out.push(LearnerOutput::Append { zxid, entry });
        true
    }

    fn inform(&mut self, zxid: Zxid, entry: Bytes, activate: Option<ServerId>) {
        if self.receive(zxid, entry) {
            self.committed(zxid, activate);
        }
    }

    /// The oldest of what is appended is committed.
    pub(super) fn commit(&mut self, zxid: Zxid, activate: Option<ServerId>) {
        match self.pending.front().copied() {
            Some(next) if next == zxid => {
                self.pending.pop_front();
                self.committed(zxid, activate);
            }
            Some(next) if zxid > self.base && zxid != self.committed => {
                self.diverged(format!("the leader commits {zxid}, and {next} is the next to be committed"));
            }
            _ => {}
        }
    }

    fn committed(&mut self, zxid: Zxid, activate: Option<ServerId>) {
        self.committed = zxid;
        self.out.push(LearnerOutput::Commit { zxid });
        self.out.extend(activate.map(|designated| LearnerOutput::Activate { zxid, designated }));
    }

    /// The log is on stable storage up to this.
    pub(super) fn durable(&mut self, zxid: Zxid) {
        self.durable = self.durable.max(zxid);
        match self.stage {
            Stage::Appending(last) if self.durable >= last => self.acknowledge(),
            Stage::Serving => {
                let mut bytes = Vec::new();
                self.write_acks(&mut bytes);
                if !bytes.is_empty() {
                    self.out.push(LearnerOutput::Send { bytes: bytes.into() });
                }
            }
            _ => {}
        }
    }

    /// Acknowledges what is durable, each by its own packet: upstream's leaders count them one by one.
    pub(super) fn write_acks(&mut self, bytes: &mut Vec<u8>) {
        while let Some(zxid) = self.unacked.front().copied().filter(|zxid| *zxid <= self.durable) {
            self.unacked.pop_front();
            Packet::Ack { zxid }.write(bytes);
        }
    }
}
