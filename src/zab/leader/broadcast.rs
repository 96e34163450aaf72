//! Towards learners that have joined: proposals, commits, PINGs, and what they say.

use super::{
    super::{History, Logged, Packet, epoch_start, write_proposal},
    Leader, LeaderOutput, LinkId, Phase,
    link::{Link, Stage},
};
use crate::types::{ServerId, Zxid};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// A question whether this is still the leader.
#[derive(Clone, Debug)]
pub(super) struct Barrier {
    id: u64,
    /// By link, which of its PINGs was the first to be sent afterwards. Of links that came later, the first.
    pings: BTreeMap<LinkId, u64>,
}

impl Leader {
    /// Sends what the history has and joined learners do not: the same bytes to all followers, and the same to all
    /// observers.
    pub(super) fn flush(&mut self, history: &History) {
        let last_committed = history.last_committed();
        let (proposed, committed) = *self.sent.get_or_insert((last_committed, last_committed));
        if history.last() <= proposed && last_committed <= committed {
            return;
        }
        let mut new = VecDeque::new();
        let newest_first = history.outstanding().rev().chain(history.committed().rev());
        newest_first.take_while(|t| t.zxid > proposed).for_each(|t| new.push_front(t.clone()));
        if let Some(first) = new.front().map(|t| t.zxid)
            && first != proposed.next()
            && first.epoch() <= proposed.epoch()
        {
            self.resign(format!(
                "the txns between {proposed} and {first} were lost on their way to learners"
            ));
            return;
        }
        let mut to_followers = Vec::new();
        new.iter().for_each(|t| write_proposal(&mut to_followers, t.zxid, &t.entry));
        let proposed = new.back().map_or(proposed, |t| t.zxid);
        let proposes = !new.is_empty();
        self.outstanding.extend(new);
        let count = self.outstanding.partition_point(|t| t.zxid <= last_committed);
        let mut to_observers = Vec::new();
        let observed = self.links.values().any(|l| l.observer && l.joined());
        for txn in self.outstanding.drain(..count) {
            let Logged { zxid, entry } = txn;
            match self.activation.filter(|(at, _)| *at == zxid) {
                Some((_, designated)) => {
                    Packet::CommitAndActivate { zxid, designated }.write(&mut to_followers);
                    Packet::InformAndActivate { zxid, designated, entry }.write(&mut to_observers);
                }
                None => {
                    Packet::Commit { zxid }.write(&mut to_followers);
                    if observed {
                        Packet::Inform { zxid, entry }.write(&mut to_observers);
                    }
                }
            }
        }
        self.sent = Some((proposed, committed.max(last_committed)));
        let (to_followers, to_observers) = (Bytes::from(to_followers), Bytes::from(to_observers));
        for (link, l) in self.links.iter_mut().filter(|(_, l)| l.joined()) {
            let bytes = if l.observer { &to_observers } else { &to_followers };
            if !bytes.is_empty() {
                self.out.push(LeaderOutput::Send { link: *link, bytes: bytes.clone() });
            }
            if proposes && !l.observer {
                l.owes(proposed, self.now_ms);
            }
        }
    }

    /// The last zxid proposed; the beginning of the epoch before there is one.
    fn proposed(&self) -> Zxid {
        let (proposed, _) = self.sent.unwrap_or_default();
        proposed.max(epoch_start(self.epoch))
    }

    /// A packet of a learner that serves.
    pub(super) fn serving(&mut self, link: LinkId, packet: Packet) {
        let until_ms = self.now_ms + self.config.sync_limit_ms;
        let proposed = self.proposed();
        let Some(l) = self.links.get_mut(&link) else { return };
        (l.deadline_ms, l.supports_until_ms) = (Some(until_ms), l.supports_until_ms.max(until_ms));
        match packet {
            // That of UPTODATE.
            Packet::Ack { zxid } if zxid.counter() == 0 => {}
            Packet::Ack { zxid } if zxid > proposed => {
                self.close(link, format!("it acknowledges {zxid}, and only {proposed} was proposed"));
            }
            Packet::Ack { zxid } => {
                let news = zxid > l.acked;
                l.has(zxid);
                if let Some(member) = l.follower().filter(|_| news) {
                    self.out.push(LeaderOutput::Acked { member, zxid });
                }
            }
            Packet::Pong { touched, .. } => {
                l.pongs += 1;
                if l.pongs > l.pings {
                    let why = format!("it answers {} PINGs, and was sent {}", l.pongs, l.pings);
                    self.close(link, why);
                    return;
                }
                if !touched.is_empty() {
                    self.out.push(LeaderOutput::Touched { link, sessions: touched });
                }
                self.pass_barriers();
            }
            Packet::Request(request) => self.out.push(LeaderOutput::Request { link, request }),
            Packet::Revalidate { session, timeout_ms } => {
                self.out.push(LeaderOutput::Revalidate { link, session, timeout_ms });
            }
            packet => self.close(link, format!("a learner that serves does not send {}", packet.name())),
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self) {
        let now_ms = self.now_ms;
        if self.phase < Phase::Broadcast {
            if now_ms >= self.phase_until_ms {
                self.resign(self.what_is_missing());
                return;
            }
        } else {
            self.make_up_for_pause();
        }
        let silent = self.links.iter().filter(|(_, l)| l.deadline_ms.is_some_and(|at| at <= now_ms));
        for link in silent.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.close(link, "it has been silent for too long".to_string());
        }
        if self.phase != Phase::Broadcast {
            return;
        }
        if now_ms >= self.next_check_ms {
            self.next_check_ms = now_ms + self.config.tick_ms.max(1);
            if !self.quorum(|l| l.supports_until_ms >= now_ms) {
                let with = self.supporters(|l| l.supports_until_ms >= now_ms);
                self.resign(format!("only servers {with} are in step, which is no quorum"));
                return;
            }
        }
        if now_ms >= self.next_ping_ms {
            self.next_ping_ms = now_ms + (self.config.tick_ms / 2).max(1);
            self.close_laggards();
            self.ping(|_| true);
        }
    }

    /// When this process was stopped for a while, the learners' words of that time wait to be read: they are not
    /// silent.
    fn make_up_for_pause(&mut self) {
        let late_ms = self.now_ms - self.next_ping_ms;
        if late_ms <= self.config.tick_ms / 2 {
            return;
        }
        for l in self.links.values_mut() {
            l.deadline_ms = l.deadline_ms.map(|at| at + late_ms);
            l.supports_until_ms += late_ms;
            l.unacked.iter_mut().for_each(|(_, at)| *at += late_ms);
        }
    }

    fn close_laggards(&mut self) {
        let oldest_ms = self.now_ms - self.config.sync_limit_ms;
        let late =
            |l: &Link| l.stage == Stage::Serving && l.unacked.front().is_some_and(|(_, at)| *at <= oldest_ms);
        for link in self.links.iter().filter(|(_, l)| late(l)).map(|(id, _)| *id).collect::<Vec<_>>() {
            let limit_ms = self.config.sync_limit_ms;
            self.close(link, format!("it has not acknowledged a proposal for {limit_ms} ms"));
        }
    }

    /// Only learners that serve answer a PING, so nobody else gets one.
    fn ping(&mut self, wanted: impl Fn(&Link) -> bool) {
        let bytes = Packet::Ping { zxid: self.proposed() }.to_bytes();
        for (link, l) in self.links.iter_mut().filter(|(_, l)| l.stage == Stage::Serving && wanted(l)) {
            l.pings += 1;
            self.out.push(LeaderOutput::Send { link: *link, bytes: bytes.clone() });
        }
    }

    /// Is this still the leader? The answers to the PINGs of this moment say so.
    pub(super) fn barrier(&mut self, id: u64) {
        if self.phase != Phase::Broadcast || self.hand_over.is_some() {
            return;
        }
        if self.quorum(|_| false) {
            self.out.push(LeaderOutput::BarrierPassed(id));
            return;
        }
        self.ping(|l| !l.observer);
        let pings =
            self.links.iter().filter(|(_, l)| l.pings > 0).map(|(link, l)| (*link, l.pings)).collect();
        self.barriers.push_back(Barrier { id, pings });
    }

    fn pass_barriers(&mut self) {
        while let Some(barrier) = self.barriers.front() {
            let answered = |link: &LinkId, l: &Link| l.pongs >= barrier.pings.get(link).copied().unwrap_or(1);
            let with =
                self.links.iter().filter(|(link, l)| answered(link, l)).filter_map(|(_, l)| l.follower());
            if !self.decides(with.chain([self.config.me]).collect()) {
                break;
            }
            self.out.push(LeaderOutput::BarrierPassed(barrier.id));
            self.barriers.pop_front();
        }
    }

    fn what_is_missing(&self) -> String {
        let limit_ms = self.config.init_limit_ms;
        match self.phase {
            Phase::Discovery => {
                let with = list(self.begins_with(|l| l.stage >= Stage::Known).into_iter());
                format!("within {limit_ms} ms only servers {with} have come, which is no quorum")
            }
            Phase::Promise => {
                let with = list(self.promised.iter().copied());
                format!("within {limit_ms} ms only servers {with} have promised, which is no quorum")
            }
            _ => {
                let with = list(self.synced().into_iter());
                format!("within {limit_ms} ms only servers {with} have caught up, which is no quorum")
            }
        }
    }

    fn supporters(&self, holds: impl Fn(&Link) -> bool) -> String {
        let followers = self.links.values().filter(|l| holds(l)).filter_map(Link::follower);
        list([self.config.me].into_iter().chain(followers))
    }
}

fn list(servers: impl Iterator<Item = ServerId>) -> String {
    servers.map(|s| s.0.to_string()).collect::<Vec<_>>().join(", ")
}
