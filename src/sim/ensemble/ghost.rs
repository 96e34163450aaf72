//! What an observer who sees all members at once knows: every txn ever proposed, what is committed, who led when.
//!
//! A txn is what its first leader made it: its zxid tells its content and the txn before it. So the history of a member
//! is told by its last zxid, which makes every check cheap enough for every step.

use super::{
    model::{self, Model},
    properties::{Property, Seen},
};
use crate::{
    sim::write::Write,
    types::{Epoch, ErrorCode, ServerId, SessionId, SubTxn, Txn, TxnBody, TxnFormat, Zxid, members::Members},
    zab::Packet,
};
use std::collections::BTreeMap;

pub(super) type Check = Result<(), String>;

/// A txn as its leader proposed it.
pub(super) struct Proposal {
    pub entry_hash: u64,
    /// The txn before it in its leader's history.
    pub before: Zxid,
    /// How many are before it.
    pub depth: usize,
    pub txn: Txn,
    /// The digest of the tree of whoever applied it first.
    pub digest: Option<i64>,
}

/// What is known of one member.
#[derive(Clone, Debug, Default)]
pub(super) struct Witnessed {
    /// Its last logged txn.
    pub logged: Zxid,
    /// It has said, or may have, that it has everything up to this on stable storage.
    pub promised: Zxid,
    /// What it had when it started last: what a disk still has then is not lost any more.
    pub found: Zxid,
    /// The newest epoch that it has promised to, and the newest whose history it has acknowledged.
    pub accepted: Epoch,
    pub current: Epoch,
    /// Its disk holds what it once said it holds.
    pub has_data: bool,
    /// Its log may not reach back beyond this: the last tree that it got from a leader, or the state that it had when it
    /// died cutting its log back.
    pub base: Zxid,
    /// How many of the committed txns it has delivered.
    pub delivered: usize,
    /// It has begun to observe behind a follower, which may have less than this member had.
    pub may_go_back: bool,
    /// The epoch in which it leads and serves.
    pub leading: Option<Epoch>,
    /// The versions of the configurations in its files: the active one, and a newer one that is proposed or 0.
    pub config: (u64, u64),
}

/// How a client's write ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub zxid: Zxid,
    pub err: i32,
}

pub(super) struct Ghost {
    pub proposals: BTreeMap<Zxid, Proposal>,
    /// The committed txns in order; the first is the empty beginning.
    pub committed: Vec<Zxid>,
    pub position: BTreeMap<Zxid, usize>,
    pub leaders: BTreeMap<Epoch, usize>,
    pub members: Vec<Witnessed>,
    pub model: Model,
    /// What clients asked for.
    pub asked: BTreeMap<(SessionId, i32), Write>,
    pub ended: BTreeMap<(SessionId, i32), Ended>,
    /// The last of each session's writes that took effect.
    effective: BTreeMap<SessionId, i32>,
    /// All configurations with a version that there ever were, and the newest that anybody has adopted.
    pub configs: BTreeMap<u64, Members>,
    /// The one that the ensemble began with, which has no version.
    pub founders: Members,
    pub adopted: u64,
    properties: Vec<Box<dyn Property>>,
    pub checks: u64,
}

impl Ghost {
    pub fn new(members: usize, properties: Vec<Box<dyn Property>>) -> Self {
        Self {
            proposals: BTreeMap::new(),
            committed: vec![Zxid::ZERO],
            position: [(Zxid::ZERO, 0)].into(),
            leaders: BTreeMap::new(),
            members: vec![Witnessed { has_data: true, ..Witnessed::default() }; members],
            model: Model::default(),
            asked: BTreeMap::new(),
            ended: BTreeMap::new(),
            effective: BTreeMap::new(),
            configs: BTreeMap::new(),
            founders: Members::default(),
            adopted: 0,
            properties,
            checks: 0,
        }
    }

    /// Shows something to every property.
    pub fn show(&mut self, seen: Seen) -> Check {
        let mut properties = std::mem::take(&mut self.properties);
        let mut result = Ok(());
        for property in &mut properties {
            self.checks += 1;
            if let Err(what) = property.see(self, seen) {
                result = Err(format!("{}: {what}", property.name()));
                break;
            }
        }
        self.properties = properties;
        result
    }

    /// The last txn that is committed for certain: somebody delivered it.
    pub fn tip(&self) -> Zxid {
        *self.committed.last().expect("never empty")
    }

    pub fn depth(&self, zxid: Zxid) -> usize {
        self.proposals.get(&zxid).map_or(0, |p| p.depth)
    }

    /// Whether a history that ends with `last` contains `zxid`.
    pub fn contains(&self, last: Zxid, zxid: Zxid) -> bool {
        let mut at = last;
        while self.depth(at) > self.depth(zxid) {
            at = self.proposals[&at].before;
        }
        at == zxid
    }

    /// A member appends a txn to its log. Whether it is a new one, that this member has just made.
    pub fn logs(&mut self, node: usize, leads: bool, zxid: Zxid, entry: &[u8]) -> Result<bool, String> {
        let entry_hash = hash(entry);
        let before = self.members[node].logged;
        if let Some(known) = self.proposals.get(&zxid) {
            if known.entry_hash != entry_hash {
                return Err(format!("LogMatching: node {node} logs {zxid} with a content of its own"));
            }
            if known.before != before {
                let right = known.before;
                return Err(format!(
                    "LogMatching: node {node} logs {zxid} after {before}, not after {right}"
                ));
            }
            self.members[node].logged = zxid;
            return Ok(false);
        }
        if !leads && self.leaders.get(&zxid.epoch()) != Some(&node) {
            return Err(format!("Integrity: node {node} logs {zxid}, which nobody has proposed"));
        }
        let txn = Txn::read(entry, TxnFormat::default()).map_err(|e| format!("{zxid} is no txn: {e}"))?;
        let depth = self.depth(before) + 1;
        self.proposals.insert(zxid, Proposal { entry_hash, before, depth, txn, digest: None });
        self.members[node].logged = zxid;
        self.show(Seen::Broadcast { node, zxid })?;
        Ok(true)
    }

    /// A few words about a txn.
    pub fn describe(&self, zxid: Zxid) -> String {
        let Some(p) = self.proposals.get(&zxid) else { return format!("{zxid}") };
        let (session, cxid) = (p.txn.session, p.txn.cxid);
        let what = match &p.txn.body {
            TxnBody::CreateSession { .. } => "createSession".to_owned(),
            TxnBody::CloseSession { .. } => "closeSession".to_owned(),
            TxnBody::Multi(ops) => format!("multi of {}", ops.len()),
            TxnBody::One(SubTxn::Error { code }) => format!("error {code}"),
            TxnBody::One(op) => format!("{:?}", op.op()),
        };
        format!("{zxid}, {what} of {session}, {cxid}")
    }

    /// A member's tree is that after `zxid`, and is served.
    pub fn serves(&mut self, node: usize, zxid: Zxid) -> Check {
        let mut path = Vec::new();
        let mut at = zxid;
        while !self.position.contains_key(&at) {
            path.push(at);
            let proposal = self.proposals.get(&at).ok_or(format!("Integrity: {node} serves unknown {at}"))?;
            at = proposal.before;
        }
        if !path.is_empty() && at != self.tip() {
            let tip = self.tip();
            return Err(format!(
                "PrefixConsistency: node {node} delivers {zxid}, whose history parts from what is committed at {at}; \
                 committed is {tip}"
            ));
        }
        for zxid in path.into_iter().rev() {
            self.commit(zxid)?;
            self.show(Seen::Committed { node, zxid })?;
        }
        self.members[node].has_data = true;
        let now = self.position[&zxid];
        for position in self.members[node].delivered + 1..=now {
            self.members[node].delivered = position;
            self.show(Seen::Delivered { node, zxid: self.committed[position] })?;
        }
        if now >= self.members[node].delivered {
            self.members[node].may_go_back = false;
        } else if !self.members[node].may_go_back {
            let before = self.committed[self.members[node].delivered];
            return Err(format!("Delivered: node {node} serves {zxid} but had delivered {before}"));
        }
        Ok(())
    }

    fn commit(&mut self, zxid: Zxid) -> Check {
        let proposal = &self.proposals[&zxid];
        let txn = &proposal.txn;
        let key = (txn.session, txn.cxid);
        if txn.cxid != 0
            && let Some(write) = self.asked.get(&key)
        {
            let failed = failure(&txn.body);
            let moved = [ErrorCode::SessionMoved, ErrorCode::SessionExpired].map(ErrorCode::code);
            let reconfigures = matches!(write, Write::Reconfig { .. });
            match (self.model.expected(write), failed) {
                // Whether there is a quorum for it, or another one under way, the leader knows.
                (_, Some(code)) if reconfigures && REFUSED_RECONFIG.contains(&code) => {}
                (_, Some(code)) if moved.contains(&code) => {}
                (Ok(()), None) if model::does(txn, write) => {}
                (Err(expected), Some(code)) if expected.code() == code => {}
                (expected, _) => {
                    return Err(format!("{zxid} is {:?} for {write:?}, it should be {expected:?}", txn.body));
                }
            }
            if failed.is_none() {
                if let Some(before) = self.ended.get(&key).filter(|e| e.err == 0) {
                    return Err(format!("{zxid} does again what {} did: {write:?}", before.zxid));
                }
                let last = self.effective.entry(key.0).or_insert(0);
                if txn.cxid < *last {
                    return Err(format!("{zxid}: request {} of {} after {last}", txn.cxid, key.0));
                }
                *last = txn.cxid;
            }
            // A multi fails as a whole and says so in its body.
            let err = if matches!(txn.body, TxnBody::Multi(_)) { 0 } else { failed.unwrap_or(0) };
            // Whoever tries again where the session is not held any more changes nothing.
            if failed.is_none() || !self.ended.contains_key(&key) {
                self.ended.insert(key, Ended { zxid, err });
            }
        } else if txn.cxid != 0 && !matches!(txn.body, TxnBody::CreateSession { .. }) {
            return Err(format!("{zxid} is request {} of {}, which nobody sent", key.1, key.0));
        }
        self.model.apply(txn)?;
        self.position.insert(zxid, self.committed.len());
        self.committed.push(zxid);
        Ok(())
    }

    /// The digest of a member's tree after `zxid`.
    pub fn digest(&mut self, node: usize, zxid: Zxid, digest: i64) -> Check {
        match self.proposals.get_mut(&zxid) {
            Some(p) => match p.digest {
                None => p.digest = Some(digest),
                Some(known) if known != digest => {
                    return Err(format!(
                        "DigestsAgree: node {node} has {digest:x} after {zxid}, others {known:x}"
                    ));
                }
                Some(_) => {}
            },
            None if zxid == Zxid::ZERO => {}
            None => {
                return Err(format!("Integrity: node {node} has applied {zxid}, which nobody has proposed"));
            }
        }
        Ok(())
    }

    /// A member hears of a configuration: a version means one configuration.
    pub fn hears_of(&mut self, members: &Members) -> Check {
        match self.configs.get(&members.version) {
            Some(known) if known != members => {
                Err(format!("Reconfiguration: version {:x} is {known} and {members}", members.version))
            }
            Some(_) => Ok(()),
            None => {
                self.configs.insert(members.version, members.clone());
                Ok(())
            }
        }
    }

    /// A member has started again with a history that ends with `last`.
    pub fn restarts(
        &mut self,
        node: usize,
        last: Zxid,
        accepted: Option<Epoch>,
        current: Option<Epoch>,
    ) -> Check {
        let Witnessed { promised, logged, accepted: newest, current: followed, .. } = self.members[node];
        if accepted.unwrap_or_default() < newest || current.unwrap_or_default() < followed {
            return Err(format!(
                "Durability: node {node} starts with epochs {accepted:?} and {current:?}, it had promised {newest:?} and \
                 acknowledged {followed:?}"
            ));
        }
        if last != Zxid::ZERO && !self.proposals.contains_key(&last) {
            return Err(format!("Durability: node {node} starts with {last}, which nobody has proposed"));
        }
        if !self.contains(last, promised) {
            return Err(format!(
                "Durability: node {node} starts with {last}, it had promised {promised} (and logged {logged})"
            ));
        }
        let member = &mut self.members[node];
        (member.logged, member.found, member.leading) = (last, last, None);
        self.show(Seen::Stopped { node })
    }

    /// A member's history is cut, or replaced by a leader's, from now on or at the latest after a restart: until then a
    /// restart may show the old one.
    pub fn resyncs(&mut self, node: usize, to: Zxid) {
        let mut promised = self.members[node].promised;
        while !self.contains(to, promised) {
            promised = self.proposals[&promised].before;
        }
        self.members[node].promised = promised;
        self.members[node].found = promised;
    }

    /// The newest configuration that anybody has adopted.
    pub fn newest(&self) -> &Members {
        self.configs.get(&self.adopted).unwrap_or(&self.founders)
    }

    /// Whether a server may be counted on for a txn: it has it on stable storage, or had before it lost its data.
    pub fn counts(&self, server: ServerId, zxid: Zxid) -> bool {
        let node = server.0 as usize - 1;
        self.keeps(node, zxid) || !self.members[node].has_data
    }

    /// Whether a member has a txn on stable storage.
    pub fn keeps(&self, node: usize, zxid: Zxid) -> bool {
        let member = &self.members[node];
        self.contains(member.promised, zxid) || self.contains(member.found, zxid)
    }

    /// It is done.
    pub fn resynced(&mut self, node: usize, last: Zxid) {
        let member = &mut self.members[node];
        (member.logged, member.promised) = (last, last);
    }

    /// A member's disk is empty from now on.
    pub fn loses_data(&mut self, node: usize) {
        let Witnessed { delivered, config, .. } = self.members[node];
        self.members[node] = Witnessed { delivered, config, ..Witnessed::default() };
    }

    /// A member says something that rests on its epochs.
    pub fn says(&mut self, node: usize, packet: &Packet, (accepted, current): (Epoch, Epoch)) {
        let member = &mut self.members[node];
        match packet {
            Packet::AckEpoch { .. } | Packet::LeaderInfo { .. } => member.accepted = accepted,
            Packet::Ack { zxid } if zxid.counter() == 0 => member.current = current,
            Packet::NewLeader { .. } => member.current = current,
            _ => {}
        }
    }

    pub fn durable(&mut self, node: usize, zxid: Zxid) {
        self.members[node].promised = zxid;
    }

    pub fn leads(&mut self, node: usize, epoch: Epoch, at_ms: i64) -> Check {
        self.members[node].leading = Some(epoch);
        self.leaders.entry(epoch).or_insert(node);
        self.show(Seen::Leads { node, epoch, at_ms })
    }

    pub fn stops(&mut self, node: usize) -> Check {
        self.members[node].leading = None;
        self.show(Seen::Stopped { node })
    }
}

/// How a reconfiguration may be refused: badly asked for, no quorum in step, another one under way, another version.
const REFUSED_RECONFIG: [i32; 4] = [-8, -13, -14, -103];

/// The error that a txn records.
fn failure(body: &TxnBody) -> Option<i32> {
    let code = |op: &SubTxn| if let SubTxn::Error { code } = op { Some(*code) } else { None };
    match body {
        TxnBody::One(op) => code(op),
        // The operations before and behind the one that failed have errors of their own.
        TxnBody::Multi(ops) => ops.iter().filter_map(code).find(|c| *c != 0 && *c != -2),
        _ => None,
    }
}

/// FNV-1a.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
