//! Elections of whole ensembles: a network of links that keep order, delay, lose and cut; members that start, die and
//! come back; time as a number. A run is its seed.

use super::*;
use crate::{
    types::{ServerId, Zxid, rng::Rng},
    zab::Quorum,
};
use std::collections::{BTreeMap, BTreeSet};

/// How long a member waits for the leader it chose to confirm it, ms; stands for `initLimit`.
const CONFIRM_MS: i64 = 2000;
const STEP_MS: i64 = 10;

struct Member {
    election: Election,
    last: Zxid,
    peer_epoch: i64,
    up: bool,
    /// What it plays and since when.
    role: Option<(Role, i64)>,
}

/// Messages under way on one link, with their time of arrival, in order.
type Link = Vec<(i64, Notification)>;

struct World {
    now_ms: i64,
    rng: Rng,
    members: BTreeMap<ServerId, Member>,
    links: BTreeMap<(ServerId, ServerId), Link>,
    cut: BTreeSet<(ServerId, ServerId)>,
    loss_percent: u64,
    trace: Vec<(i64, ServerId, Role)>,
}

impl World {
    fn new(seed: u64, voters: i64, observers: i64) -> Self {
        let mut rng = Rng::new(seed);
        let quorum = Quorum::majority((1..=voters).map(ServerId));
        let members = (1..=voters + observers).map(|id| {
            let config = ElectionConfig {
                me: ServerId(id),
                voter: id <= voters,
                observer: id > voters,
                quorums: vec![quorum.clone()],
                text: "version=0".into(),
                notification_interval_min_ms: 200,
                notification_interval_max_ms: 60_000,
            };
            let peer_epoch = rng.below(3) as i64;
            let member = Member {
                election: Election::new(config),
                last: Zxid::new(crate::types::Epoch(peer_epoch as u32), rng.below(4) as u32),
                peer_epoch,
                up: true,
                role: None,
            };
            (ServerId(id), member)
        });
        let members = members.collect();
        Self {
            now_ms: 0,
            rng,
            members,
            links: BTreeMap::new(),
            cut: BTreeSet::new(),
            loss_percent: 0,
            trace: Vec::new(),
        }
    }

    fn put(&mut self, id: ServerId, input: Input) {
        let outputs = self.members.get_mut(&id).expect("known").election.step(self.now_ms, input);
        for output in outputs {
            match output {
                Output::Send { to, notification } => {
                    let lost = self.rng.below(100) < self.loss_percent;
                    if !lost && !self.cut.contains(&(id, to)) {
                        let link = self.links.entry((id, to)).or_default();
                        let after = link.last().map_or(0, |(at, _)| *at);
                        let arrival = (self.now_ms + 1 + self.rng.below(60) as i64).max(after);
                        link.push((arrival, notification));
                    }
                }
                Output::Reconnect => {}
                Output::Decided(role) => {
                    self.trace.push((self.now_ms, id, role));
                    self.members.get_mut(&id).expect("known").role = Some((role, self.now_ms));
                }
            }
        }
    }

    fn look(&mut self, id: ServerId) {
        let member = self.members.get_mut(&id).expect("known");
        member.role = None;
        let (last, peer_epoch) = (member.last, member.peer_epoch);
        self.put(id, Input::Look { last, peer_epoch });
    }

    fn kill(&mut self, id: ServerId) {
        self.members.get_mut(&id).expect("known").up = false;
        self.links.retain(|(from, to), _| *from != id && *to != id);
    }

    fn start(&mut self, id: ServerId) {
        let member = self.members.get_mut(&id).expect("known");
        member.up = true;
        let config = member.election.clone();
        member.election = config.restarted();
        self.look(id);
    }

    /// Members whom a leader serves: up, reachable both ways, and of the opinion that it leads.
    fn followers(&self, leader: ServerId) -> BTreeSet<ServerId> {
        let linked = |id: ServerId| !self.cut.contains(&(id, leader)) && !self.cut.contains(&(leader, id));
        let follows =
            |m: &Member| matches!(m.role, Some((Role::Follower(l) | Role::Observer(l), _)) if l == leader);
        let mut all: BTreeSet<_> = self
            .members
            .iter()
            .filter(|(id, m)| m.up && linked(**id) && follows(m))
            .map(|(id, _)| *id)
            .collect();
        all.insert(leader);
        all
    }

    fn step(&mut self) {
        self.now_ms += STEP_MS;
        let now = self.now_ms;
        let due: Vec<_> = self.links.keys().copied().collect();
        for (from, to) in due {
            while let Some(link) = self.links.get_mut(&(from, to))
                && link.first().is_some_and(|(at, _)| *at <= now)
            {
                let (_, notification) = link.remove(0);
                if self.members[&to].up {
                    self.put(to, Input::Heard { from, notification });
                }
            }
        }
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            let member = &self.members[&id];
            if !member.up {
                continue;
            }
            if member.election.next_deadline_ms().is_some_and(|at| at <= now) {
                self.put(id, Input::Tick);
            }
            // What the rest of a server does: it goes back to looking when its choice does not come to life.
            let Some((role, since)) = self.members[&id].role else { continue };
            let lives = match role {
                Role::Leader => self.quorum().contains(self.followers(id)),
                Role::Follower(leader) | Role::Observer(leader) => {
                    let l = &self.members[&leader];
                    l.up && matches!(l.role, Some((Role::Leader, _))) && self.followers(leader).contains(&id)
                }
            };
            if !lives && now - since > CONFIRM_MS {
                self.look(id);
            }
        }
    }

    fn quorum(&self) -> Quorum {
        Quorum::majority(self.members.values().filter(|m| m.election.is_voting()).map(|m| m.election.me()))
    }

    fn run(&mut self, ms: i64) {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            self.step();
        }
    }

    /// The one leader whom everybody follows.
    fn settled(&self) -> Option<ServerId> {
        let leaders: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| matches!(m.role, Some((Role::Leader, _))))
            .map(|(id, _)| *id)
            .collect();
        match leaders[..] {
            [leader] if self.followers(leader).len() == self.members.len() => Some(leader),
            _ => None,
        }
    }
}

#[test]
fn the_best_vote_wins_when_all_are_there_from_the_start() {
    for seed in 0..200 {
        let mut world = World::new(seed, 3 + 2 * (seed as i64 % 3), seed as i64 % 3);
        for id in world.members.keys().copied().collect::<Vec<_>>() {
            world.look(id);
        }
        world.run(3000);
        let best = world
            .members
            .values()
            .filter(|m| m.election.is_voting())
            .map(|m| (m.peer_epoch, m.last, m.election.me()))
            .max()
            .map(|(_, _, id)| id);
        assert_eq!(world.settled(), best, "seed {seed}: {:?}", world.trace);
    }
}

#[test]
fn after_the_faults_end_everybody_follows_one_leader() {
    for seed in 0..300 {
        let mut world = World::new(seed, 3 + 2 * (seed as i64 % 3), seed as i64 % 2);
        let ids: Vec<_> = world.members.keys().copied().collect();
        ids.iter().for_each(|id| world.look(*id));
        world.loss_percent = 20;
        for _ in 0..15 {
            let some = ids[world.rng.below(ids.len() as u64) as usize];
            let other = ids[world.rng.below(ids.len() as u64) as usize];
            match world.rng.below(4) {
                0 if world.members[&some].up => world.kill(some),
                0 | 1 if !world.members[&some].up => world.start(some),
                2 => drop(world.cut.insert((some, other))),
                _ => world.cut.clear(),
            }
            let ms = 100 + world.rng.below(1500) as i64;
            world.run(ms);
        }
        (world.loss_percent, world.cut) = (0, BTreeSet::new());
        for id in &ids {
            if !world.members[id].up {
                world.start(*id);
            }
        }
        let end = world.now_ms + 200_000;
        while world.settled().is_none() && world.now_ms < end {
            world.step();
        }
        assert!(world.settled().is_some(), "seed {seed} does not settle: {:?}", world.trace);
        // And it stays so.
        let leader = world.settled();
        world.run(5000);
        assert_eq!(world.settled(), leader, "seed {seed}");
    }
}

#[test]
fn a_late_joiner_follows_the_leader_that_is_there_though_its_own_vote_is_better() {
    let mut world = World::new(7, 3, 0);
    world.kill(ServerId(3));
    world.members.get_mut(&ServerId(3)).unwrap().last = Zxid(i64::MAX);
    world.members.get_mut(&ServerId(3)).unwrap().peer_epoch = 99;
    world.look(ServerId(1));
    world.look(ServerId(2));
    world.run(1000);
    let leader =
        world.members.iter().find(|(_, m)| matches!(m.role, Some((Role::Leader, _)))).map(|(id, _)| *id);
    world.start(ServerId(3));
    world.run(2000);
    assert!(leader.is_some());
    assert_eq!(world.settled(), leader);
}

#[test]
fn a_single_voter_elects_itself() {
    let mut world = World::new(1, 1, 0);
    world.look(ServerId(1));
    world.run(300);
    assert_eq!(world.settled(), Some(ServerId(1)));
}

#[test]
fn an_empty_database_that_is_not_trusted_is_not_elected() {
    let mut world = World::new(3, 3, 0);
    world.members.get_mut(&ServerId(3)).unwrap().last = Zxid(-1);
    world.members.get_mut(&ServerId(3)).unwrap().peer_epoch = 50;
    for id in 1..=3 {
        world.look(ServerId(id));
    }
    world.run(3000);
    let leader = world.settled();
    assert!(leader.is_some() && leader != Some(ServerId(3)), "{leader:?}: {:?}", world.trace);
}

#[test]
fn a_looking_voter_and_an_observer_do_not_answer_each_other_for_ever() {
    // Found by the seeds above: each took the other's answer for a question, and the voter, hearing something all the
    // time, never asked those again whose answers had been lost.
    let mut world = World::new(5, 3, 1);
    (1..=4).for_each(|id| world.look(ServerId(id)));
    world.run(3000);
    world.start(ServerId(1));
    let observer = Notification::new(world.members[&ServerId(4)].election.vote(), "version=0".into());
    assert_eq!(observer.vote.state, PeerState::Observing);
    let answer = Input::Heard { from: ServerId(4), notification: observer };
    let outputs = world.members.get_mut(&ServerId(1)).unwrap().election.step(3001, answer);
    assert_eq!(outputs, []);
}

#[test]
fn two_runs_of_one_seed_are_the_same() {
    let run = || {
        let mut world = World::new(42, 5, 1);
        world.loss_percent = 30;
        (1..=6).for_each(|id| world.look(ServerId(id)));
        world.run(20_000);
        world.trace
    };
    assert_eq!(run(), run());
}

/// Three voters whose messages arrive at once.
fn decided_at_once(mut elections: Vec<Election>, absent: &[i64]) -> Vec<(i64, Role)> {
    let mut under_way = Vec::new();
    let mut decided = Vec::new();
    let take = |from: ServerId, outputs: Vec<Output>, under_way: &mut Vec<_>, decided: &mut Vec<_>| {
        for output in outputs {
            match output {
                Output::Send { to, notification } => under_way.push((from, to, notification)),
                Output::Decided(role) => decided.push((from.0, role)),
                Output::Reconnect => {}
            }
        }
    };
    for e in &mut elections {
        let me = e.me();
        for peer in absent {
            let outputs = e.step(0, Input::Reachable { peer: ServerId(*peer), up: false });
            take(me, outputs, &mut under_way, &mut decided);
        }
        let outputs = e.step(0, Input::Look { last: Zxid(me.0), peer_epoch: 1 });
        take(me, outputs, &mut under_way, &mut decided);
    }
    while !under_way.is_empty() {
        let (from, to, notification) = under_way.remove(0);
        if let Some(e) = elections.iter_mut().find(|e| e.me() == to) {
            let outputs = e.step(0, Input::Heard { from, notification });
            take(to, outputs, &mut under_way, &mut decided);
        }
    }
    decided.sort_by_key(|(id, _)| *id);
    decided
}

fn voters_of_three(members: &[i64]) -> Vec<Election> {
    let config = |id| ElectionConfig {
        me: ServerId(id),
        voter: true,
        observer: false,
        quorums: vec![Quorum::majority([1, 2, 3].map(ServerId))],
        text: "version=0".into(),
        notification_interval_min_ms: 200,
        notification_interval_max_ms: 60_000,
    };
    members.iter().map(|id| Election::new(config(*id))).collect()
}

#[test]
fn nobody_waits_for_a_better_vote_when_every_voter_has_spoken() {
    let follower = Role::Follower(ServerId(3));
    let roles = decided_at_once(voters_of_three(&[1, 2, 3]), &[]);
    assert_eq!(roles, [(1, follower), (2, follower), (3, Role::Leader)]);
}

#[test]
fn nobody_waits_for_a_voter_that_cannot_be_reached() {
    let roles = decided_at_once(voters_of_three(&[1, 2]), &[3]);
    assert_eq!(roles, [(1, Role::Follower(ServerId(2))), (2, Role::Leader)]);
    // Of whom nothing is known is waited for.
    assert_eq!(decided_at_once(voters_of_three(&[1, 2]), &[]), []);
}

#[test]
fn a_vote_that_came_before_a_voter_looked_is_told_again_when_it_does() {
    let mut elections = voters_of_three(&[1, 2]);
    for e in &mut elections {
        e.step(0, Input::Reachable { peer: ServerId(3), up: false });
    }
    let [one, two] = elections.as_mut_slice() else { unreachable!("two of them") };
    // The better one looks first; what it says is lost on the other, which looks a moment later.
    two.step(0, Input::Look { last: Zxid(2), peer_epoch: 1 });
    let late = one.step(0, Input::Look { last: Zxid(1), peer_epoch: 1 });
    let to_two = |outputs: Vec<Output>, to: ServerId| -> Vec<Notification> {
        let of = |o| match o {
            Output::Send { to: t, notification } if t == to => Some(notification),
            _ => None,
        };
        outputs.into_iter().filter_map(of).collect()
    };
    let mut answers = Vec::new();
    for notification in to_two(late, ServerId(2)) {
        answers.extend(to_two(two.step(1, Input::Heard { from: ServerId(1), notification }), ServerId(1)));
    }
    assert_eq!(answers.len(), 1, "it is answered, once");
    let decided = one.step(2, Input::Heard { from: ServerId(2), notification: answers.remove(0) });
    assert!(decided.contains(&Output::Decided(Role::Follower(ServerId(2)))), "{decided:?}");
}

/// A member between two configurations, and what it does when it hears something.
fn between(me: i64, active: &[i64], next: &[i64]) -> Election {
    let quorum = |ids: &[i64]| Quorum::majority(ids.iter().copied().map(ServerId));
    with(me, [active, next].into_iter().filter(|ids| !ids.is_empty()).map(quorum).collect())
}

fn with(me: i64, quorums: Vec<Quorum>) -> Election {
    Election::new(ElectionConfig {
        me: ServerId(me),
        voter: quorums[0].voters().contains(&ServerId(me)),
        observer: false,
        quorums,
        text: "version=0".into(),
        notification_interval_min_ms: 200,
        notification_interval_max_ms: 60_000,
    })
}

fn look(election: &mut Election, round: i64) {
    for _ in 0..round {
        election.step(0, Input::Look { last: Zxid(7), peer_epoch: 1 });
    }
}

fn heard(from: i64, vote: Vote) -> Input {
    Input::Heard { from: ServerId(from), notification: Notification::new(vote, "version=0".into()) }
}

/// Server 2 had seen a configuration of 1 and 2 when it was alone with it. Servers 1 and 3 went on without it, and never
/// heard of that: it could not follow them, as it waited for a quorum of 1 and 2.
#[test]
fn who_alone_has_seen_a_configuration_follows_the_leader_that_others_follow() {
    let mut mine = between(2, &[1, 2, 3], &[1, 2]);
    look(&mut mine, 1);
    let proposal = Proposal { leader: ServerId(3), zxid: Zxid(5), peer_epoch: 2 };
    let vote = |state| Vote { proposal, round: 9, state };
    assert_eq!(mine.step(1, heard(1, vote(PeerState::Following))), []);
    let outputs = mine.step(2, heard(3, vote(PeerState::Leading)));
    assert_eq!(outputs, [Output::Decided(Role::Follower(ServerId(3)))]);
}

/// Found by simulation: server 3 had seen a configuration of 1 and 2 that was proposed in vain. It waited for the votes of
/// both, while server 1, elected with its vote, waited for it to come; then server 2 was elected the same way, and so on.
#[test]
fn who_alone_has_seen_a_configuration_follows_the_leader_that_its_own_vote_has_made() {
    let mut mine = between(3, &[1, 2, 3], &[1, 2]);
    look(&mut mine, 1);
    let proposal = Proposal { leader: ServerId(1), zxid: Zxid(8), peer_epoch: 1 };
    let vote = |state| Vote { proposal, round: 1, state };
    mine.step(1, heard(1, vote(PeerState::Looking)));
    assert_eq!((mine.vote().proposal, mine.state()), (proposal, PeerState::Looking));
    let outputs = mine.step(2, heard(1, vote(PeerState::Leading)));
    assert_eq!(outputs, [Output::Decided(Role::Follower(ServerId(1)))]);
}

/// A member that hears of others before it has looked at its own data was for the first it heard of, although it had more.
#[test]
fn who_hears_of_others_before_it_knows_what_it_has_votes_when_it_does() {
    let mut mine = between(2, &[1, 2, 3], &[]);
    let of = |leader, zxid| Vote {
        proposal: Proposal { leader: ServerId(leader), zxid: Zxid(zxid), peer_epoch: 1 },
        round: 1,
        state: PeerState::Looking,
    };
    assert_eq!(mine.step(0, heard(1, of(1, 5))), []);
    assert_eq!(mine.step(0, heard(3, of(1, 5))), []);
    assert_eq!(mine.step(0, Input::Reachable { peer: ServerId(3), up: false }), []);
    // It has up to zxid 7.
    let outputs = mine.step(1, Input::Look { last: Zxid(7), peer_epoch: 1 });
    assert!(!outputs.iter().any(|output| matches!(output, Output::Decided(_))), "{outputs:?}");
    assert_eq!((mine.vote().proposal.leader, mine.vote().round), (ServerId(2), 1));
    // And it has not forgotten what it heard: member 3, that has more, is who it is for at once.
    let mut mine = between(2, &[1, 2, 3], &[]);
    mine.step(0, heard(3, of(3, 9)));
    mine.step(1, Input::Look { last: Zxid(7), peer_epoch: 1 });
    assert_eq!(mine.vote().proposal.leader, ServerId(3));
}

/// Found by simulation: a member that had lost its data led, as the configuration that it heard of first was an old one by
/// which it was the only one that counted.
#[test]
fn who_does_not_trust_its_empty_database_is_no_quorum_by_itself() {
    for (last, leads) in [(Zxid(-1), false), (Zxid::ZERO, true)] {
        let mut only = between(1, &[1], &[]);
        let mut outputs = only.step(0, Input::Look { last, peer_epoch: 0 });
        for now_ms in [200, 1000, 5000] {
            outputs.extend(only.step(now_ms, Input::Tick));
        }
        assert_eq!(outputs.contains(&Output::Decided(Role::Leader)), leads, "{outputs:?}");
    }
}

/// Found by simulation: of the voters 1, 4 and 5 only the first weighs anything, and a reconfiguration that makes voters
/// of 3 and 5 has begun. The fifth may not be elected, but it was for itself, as its id is the highest; and without it
/// there was no quorum of the new configuration.
#[test]
fn a_voter_without_weight_is_for_whoever_may_be_elected() {
    let places = [(1, 1, 1), (4, 0, 0), (5, 1, 0)].map(|(id, group, weight)| (ServerId(id), group, weight));
    let active = Quorum::hierarchical([1, 4, 5].map(ServerId), places);
    let mut mine = with(5, vec![active, Quorum::majority([3, 5].map(ServerId))]);
    look(&mut mine, 1);
    let own = mine.vote().proposal;
    assert_eq!(own.leader, ServerId(5));
    // Not for another one that may not be, be it ahead.
    let of = |proposal| Vote { proposal, round: 1, state: PeerState::Looking };
    mine.step(1, heard(4, of(Proposal { leader: ServerId(4), zxid: Zxid(99), peer_epoch: 1 })));
    assert_eq!(mine.vote().proposal, own);
    mine.step(2, heard(1, of(Proposal { leader: ServerId(1), ..own })));
    assert_eq!(mine.vote().proposal.leader, ServerId(1));
}

/// The other way round it takes a quorum of both: with its own voters alone it could not lead.
#[test]
fn who_has_seen_a_configuration_leads_only_with_a_quorum_of_it() {
    let mut mine = between(1, &[1, 2, 3], &[1, 2]);
    look(&mut mine, 1);
    let follows = |me: &Election| Vote { state: PeerState::Following, ..me.vote() };
    let vote = follows(&mine);
    assert_eq!(mine.step(1, heard(3, vote)), []);
    let outputs = mine.step(2, heard(2, vote));
    assert_eq!(outputs, [Output::Decided(Role::Leader)]);
}

/// Servers 3 and 4 have seen a configuration of 1 and 2, who have not and are some rounds ahead. The ones took the others
/// for late, the others the ones for nobody.
#[test]
fn a_voter_to_be_that_does_not_know_of_it_is_followed_into_its_round() {
    let mut knows = between(4, &[3, 4], &[1, 2]);
    let mut does_not = between(1, &[3, 4], &[]);
    look(&mut knows, 4);
    look(&mut does_not, 5);
    assert_eq!(does_not.vote().proposal, Proposal::NONE);
    knows.step(1, heard(1, does_not.vote()));
    assert_eq!(knows.vote().round, 5);
    does_not.step(1, heard(4, knows.vote()));
    assert_eq!(does_not.vote().proposal, knows.vote().proposal);
    knows.step(2, heard(1, does_not.vote()));
    assert_eq!(knows.state(), PeerState::Looking, "servers 2 and 3 have not spoken");
}

/// Found by simulation: of the voters 2 and 3 only the first weighs anything. It followed the other one, who did not know that it
/// was a voter and was some rounds ahead, into its round, and did not look at what it had there: nobody was ever elected.
#[test]
fn who_is_a_quorum_by_itself_decides_also_in_a_round_into_which_it_was_called() {
    let places = [(2, 1, 1), (3, 1, 0)].map(|(id, group, weight)| (ServerId(id), group, weight));
    let mut mine = with(2, vec![Quorum::hierarchical([2, 3].map(ServerId), places)]);
    look(&mut mine, 1);
    mine.step(1, heard(3, Vote { proposal: Proposal::NONE, round: 4, state: PeerState::Looking }));
    assert_eq!((mine.vote().round, mine.state()), (4, PeerState::Looking));
    let outputs = mine.step(1000, Input::Tick);
    assert_eq!(outputs, [Output::Decided(Role::Leader)]);
}

/// Server 1 takes server 7 for nobody with a vote, and 7 takes 1 for late: each answered the other's answers as fast as
/// the network carried them.
#[test]
fn two_that_do_not_know_of_the_same_configuration_do_not_answer_each_other_for_ever() {
    let mut seven = between(7, &[1, 2, 3], &[2, 7]);
    let mut one = between(1, &[1, 2, 3], &[]);
    look(&mut seven, 2);
    look(&mut one, 1);
    let answers = |outputs: Vec<Output>| outputs.iter().filter(|o| matches!(o, Output::Send { .. })).count();
    let (mut said, mut now_ms) = (0, 0);
    while said < 50 {
        let before = said;
        said += answers(one.step(now_ms, heard(7, seven.vote())));
        said += answers(seven.step(now_ms, heard(1, one.vote())));
        now_ms += 1;
        if said == before {
            break;
        }
    }
    assert!(said <= 4, "{said} answers");
    // What was lost on its way is answered when it is said again.
    assert_eq!(answers(one.step(now_ms + 200, heard(7, seven.vote()))), 1);
}

/// A voter that was started again says in the same round what it said before. It was not answered a second time, and
/// resending was put off then by what others had to say: it never heard of the better vote.
#[test]
fn a_voter_that_says_the_same_again_is_answered_again() {
    let mut mine = between(2, &[1, 2, 3], &[]);
    look(&mut mine, 1);
    let proposal = Proposal { leader: ServerId(3), zxid: Zxid(5), peer_epoch: 1 };
    let worse = Vote { proposal, round: 1, state: PeerState::Looking };
    for now_ms in [1, 1000, 2000] {
        let outputs = mine.step(now_ms, heard(3, worse));
        let answers = outputs.iter().filter(|o| matches!(o, Output::Send { to: ServerId(3), .. }));
        assert_eq!(answers.count(), 1, "at {now_ms}");
    }
}

/// Found by simulation with clocks that run fast and slow: a voter without data, which nobody can elect, told its vote again
/// a little more often than others did. Each time it was heard the others put off theirs, and never heard of each other.
#[test]
fn who_talks_much_does_not_silence_others() {
    let mut mine = between(1, &[1, 2, 3], &[]);
    look(&mut mine, 1);
    let nobody = Proposal { leader: ServerId(2), zxid: Zxid(-1), peer_epoch: 0 };
    let chatter = Vote { proposal: nobody, round: 1, state: PeerState::Looking };
    let (mut now_ms, mut told) = (0, Vec::new());
    while now_ms < 10_000 {
        now_ms += 50;
        let mut outputs = mine.step(now_ms, heard(2, chatter));
        if mine.next_deadline_ms().is_some_and(|at| at <= now_ms) {
            outputs.extend(mine.step(now_ms, Input::Tick));
        }
        if outputs.iter().any(|o| matches!(o, Output::Send { to: ServerId(3), .. })) {
            told.push(now_ms);
        }
    }
    assert_eq!(told, [200, 600, 1400, 3000, 6200]);
}

/// Found by members killed around reconfigurations: a stock member whom one gives its leader says that it follows since
/// round 0. A member that joined by its word was in round 0, took itself for one that had not looked for a leader yet, and
/// answered nobody: a voter that came back never had the quorum that it needs to follow.
#[test]
fn who_joins_by_the_word_of_round_0_answers_those_that_look() {
    let mut mine = between(1, &[1, 2, 3], &[]);
    look(&mut mine, 1);
    let proposal = Proposal { leader: ServerId(3), zxid: Zxid(7), peer_epoch: 1 };
    mine.step(1, heard(3, Vote { proposal, round: 8, state: PeerState::Leading }));
    let outputs = mine.step(2, heard(2, Vote { proposal, round: 0, state: PeerState::Following }));
    assert_eq!(outputs, [Output::Decided(Role::Follower(ServerId(3)))]);
    let own = Proposal { leader: ServerId(2), zxid: Zxid(7), peer_epoch: 1 };
    let outputs = mine.step(1000, heard(2, Vote { proposal: own, round: 1, state: PeerState::Looking }));
    assert_eq!(
        outputs,
        [Output::Send { to: ServerId(2), notification: Notification::new(mine.vote(), "version=0".into()) }]
    );
    assert_eq!(mine.vote(), Vote { proposal, round: 0, state: PeerState::Following });
}
