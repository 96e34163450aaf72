//! Recorded reconfigurations, with a whole member in the place of every server: each gets what the recorded others
//! said, in the order of the recording, and has to say what the recorded one said and to go by the configurations that
//! the recorded one went by.
//!
//! What clients asked of a recorded leader is not in a recording of the ports between servers: it is made of the txn
//! that came of it, and comes by way of server 2, which follows all the time.

use super::*;
use quoll::member::{Input, Member, MemberConfig, Output, Part, RoleOptions};
use quoll::ops::OpsConfig;
use quoll::pipeline::{self, Deliveries, LocalSessions, Now, PipelineConfig, ReaperConfig};
use quoll::storage::read_tree;
use quoll::tree::{Tree, TreeOptions};
use quoll::types::{Id, OpCode, SubTxn, Txn, TxnBody, TxnFormat, members::Members};
use quoll::watch::WatchManager;
use quoll::zab::Request;
use quoll_jute::{Record, Writer, client, data};

/// What is not compared: PINGs and their answers, whose time is nobody's decision.
fn is_compared(packet: &Packet) -> bool {
    !matches!(packet, Packet::Ping { .. } | Packet::Pong { .. })
}

/// A member in the place of a recorded server.
struct Seat {
    me: ServerId,
    member: Member,
    tree: Tree,
    watches: WatchManager,
    deliveries: Deliveries,
    now: Now,
    /// The leader it wants to be connected to.
    wants: Option<(u64, ServerId)>,
    /// The attempt that is connected, and where.
    connected: Option<(u64, LinkId)>,
    /// By connection.
    said: BTreeMap<LinkId, Vec<Packet>>,
    proposed: Zxid,
    parts: Vec<Part>,
    /// The configurations it has gone by, and the one that is to come.
    adopted: Vec<Members>,
    next: Option<Members>,
}

impl Seat {
    fn new(me: ServerId, members: &Members) -> Self {
        let config = MemberConfig {
            me,
            members: members.clone(),
            next: None,
            reconfig_enabled: true,
            standalone_enabled: true,
            multi_address: false,
            tick_ms: 1000,
            init_limit_ticks: 10,
            sync_limit_ticks: 5,
            notification_interval_min_ms: 200,
            notification_interval_max_ms: 60_000,
            commit_log_count: COMMIT_LOG_COUNT,
            force_snapshot: false,
            sync_from_log: false,
            snapshot_syncs_max: 10,
            roles: RoleOptions::default(),
        };
        let pipeline = PipelineConfig {
            server: me,
            tick_ms: 1000,
            session_timeout_min_ms: 2000,
            session_timeout_max_ms: 20_000,
            reaper: ReaperConfig::default(),
            ops: OpsConfig { reconfig_enabled: true, ..OpsConfig::default() },
            txn_format: TxnFormat::default(),
            local_sessions: LocalSessions::default(),
            seed: 0,
            first_counter: 0,
            eager_acl_check: false,
            throttled_op_wait_ms: 0,
        };
        let now = Now { mono_ms: 0, wall_ms: 0 };
        Self {
            me,
            member: Member::new(config, pipeline, &[], Zxid::ZERO, None, None, now),
            tree: Tree::new(tree_options()),
            watches: WatchManager::new(1),
            deliveries: Deliveries::new(1),
            now,
            wants: None,
            connected: None,
            said: BTreeMap::new(),
            proposed: Zxid::ZERO,
            parts: Vec::new(),
            adopted: Vec::new(),
            next: None,
        }
    }

    /// Takes an input and does everything that follows; what is logged is forced at once.
    fn put(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while !inputs.is_empty() || self.member.has_ready() {
            let mut outputs = Vec::new();
            if let Some(input) = inputs.pop_front() {
                self.member.accept(self.now, &self.tree, input, &mut outputs);
            }
            self.member.settle(self.now, &self.tree, &mut outputs);
            while let Some(batch) = self.member.take_log() {
                inputs.push_back(Input::Pipeline(pipeline::Input::Durable(batch.last)));
            }
            if self.member.has_ready() {
                self.member.apply(&mut self.tree, &mut self.watches, &mut self.deliveries, 100);
                self.deliveries.workers[0].items.clear();
            }
            outputs.into_iter().for_each(|output| self.execute(output, &mut inputs));
        }
    }

    fn execute(&mut self, output: Output, inputs: &mut VecDeque<Input>) {
        match output {
            Output::ConnectLeader { attempt, leader, .. } => self.wants = Some((attempt, leader)),
            Output::DisconnectLeader { attempt } => {
                self.wants.take_if(|(of, _)| *of == attempt);
                self.connected.take_if(|(of, _)| *of == attempt);
            }
            Output::SendToLeader { attempt, bytes } => {
                let (of, link) = self.connected.expect("it is connected");
                assert_eq!(of, attempt);
                self.said.entry(link).or_default().extend(read_all(&bytes, Sender::Learner));
            }
            Output::Send { link, bytes } => {
                let packets = read_all(&bytes, Sender::Leader);
                for packet in &packets {
                    if let Packet::Proposal { zxid, .. } = packet {
                        self.proposed = self.proposed.max(*zxid);
                    }
                }
                self.said.entry(link).or_default().extend(packets);
            }
            Output::BeginSnapshot { link } => {
                inputs.push_back(Input::SnapshotBegun { link, zxid: self.tree.last_zxid() });
                inputs.push_back(Input::SnapshotSent { link });
            }
            Output::Part(part) => self.parts.push(part),
            Output::SeeConfig { next } => self.next = next.map(|next| *next),
            Output::AdoptConfig { active } => {
                self.next.take_if(|next| next.version <= active.version);
                self.adopted.push(*active);
            }
            Output::Diverged { .. } | Output::Truncate { .. } | Output::SendLog { .. } => {
                panic!("server {}: {output:?}", self.me.0)
            }
            _ => {}
        }
    }

    /// Its election comes to its end.
    fn decide(&mut self) {
        for _ in 0..10 {
            self.now.mono_ms += 100;
            self.put(Input::Tick);
        }
    }
}

fn tree_options() -> TreeOptions {
    TreeOptions { digest: true, ..TreeOptions::default() }
}

/// The members that the recording says the ensemble began with.
fn first_members(r: &Recording) -> Members {
    let text = r.events.iter().find_map(|event| match event {
        Event::Heard { notification, .. } => notification.config.as_deref(),
        _ => None,
    });
    let text = text.expect("a notification");
    assert_eq!(Members::version_of_text(text), Some(0));
    Members::read(text, false).expect("a configuration")
}

/// The txns of the recording, as they were proposed or informed of.
fn txns(r: &Recording) -> BTreeMap<Zxid, Txn> {
    let entries = r.events.iter().filter_map(|event| match event {
        Event::FromLeader { packet: Packet::Proposal { zxid, entry }, .. } => Some((*zxid, entry)),
        _ => None,
    });
    entries.map(|(zxid, entry)| (zxid, Txn::read(entry, TxnFormat::default()).expect("a txn"))).collect()
}

/// What a client has asked for, so that this txn came of it.
fn asked(txn: &Txn, active: &Members) -> Request {
    let mut body = Vec::new();
    let mut w = Writer::new(&mut body);
    let mut ids = vec![Id::new("ip", "127.0.0.1")];
    let op = match &txn.body {
        TxnBody::CreateSession { timeout_ms } => {
            w.int(*timeout_ms);
            OpCode::CreateSession
        }
        TxnBody::One(SubTxn::Create { path, data: content, ephemeral, .. }) => {
            let numbered = path.len() > 10 && path[path.len() - 10..].bytes().all(|b| b.is_ascii_digit());
            let path = if numbered { &path[..path.len() - 10] } else { path };
            let anyone = data::Id { scheme: Some("world".into()), id: Some("anyone".into()) };
            let record = client::CreateRequest {
                path: Some(path.into()),
                data: content.as_deref(),
                acl: Some(vec![data::Acl { perms: 31, id: anyone }]),
                flags: i32::from(*ephemeral) + 2 * i32::from(numbered),
            };
            record.write(&mut w);
            OpCode::Create
        }
        TxnBody::One(SubTxn::Reconfig { data: content, .. }) => {
            let text = std::str::from_utf8(content.as_deref().expect("a configuration")).expect("text");
            let old = active.to_string();
            let new_lines =
                text.lines().filter(|l| l.starts_with("server.") && !old.lines().any(|o| o == *l));
            let joining = new_lines.collect::<Vec<_>>().join(",");
            let left = active.servers.keys().filter(|id| !text.contains(&format!("server.{}=", id.0)));
            let leaving = left.map(|id| id.0.to_string()).collect::<Vec<_>>().join(",");
            let record = client::ReconfigRequest {
                joining_servers: Some((&*joining).into()).filter(|_| !joining.is_empty()),
                leaving_servers: Some((&*leaving).into()).filter(|_| !leaving.is_empty()),
                new_members: None,
                cur_config_id: -1,
            };
            record.write(&mut w);
            ids.push(Id::new("super", ""));
            OpCode::Reconfig
        }
        body => panic!("not in these recordings: {body:?}"),
    };
    Request { session: txn.session, cxid: txn.cxid, op: op.code(), body: body.into(), ids }
}

/// Plays a recording with members of this server, compares what each of them says, and gives how many packets that
/// were, and the members.
fn play(r: &Recording) -> (usize, BTreeMap<ServerId, Seat>) {
    let members = first_members(r);
    let mut seats: BTreeMap<ServerId, Seat> =
        members.servers.keys().map(|id| (*id, Seat::new(*id, &members))).collect();
    seats.values_mut().for_each(|seat| seat.put(Input::Tick));
    let txns = txns(r);
    let times: HashMap<_, _> = txns.values().map(|t| ((t.session, t.cxid), t.time_ms)).collect();
    let learners: HashMap<LinkId, ServerId> = r
        .events
        .iter()
        .filter_map(|event| match event {
            Event::FromLearner { link, packet: Packet::LearnerInfo { info: Some(info), .. } } => {
                Some((*link, info.server))
            }
            _ => None,
        })
        .collect();
    let mut leaders = HashMap::new();
    let mut expected: BTreeMap<(ServerId, LinkId), Vec<Packet>> = BTreeMap::new();
    for event in &r.events {
        match event {
            Event::Heard { from, to, notification } => {
                let (from, notification) = (*from, notification.clone());
                seats.get_mut(to).expect("a server").put(Input::Heard { from, notification });
            }
            Event::Open { link, leader } => {
                let learner = learners[link];
                leaders.insert(*link, *leader);
                for id in [leader, &learner] {
                    let seat = seats.get_mut(id).expect("a server");
                    let settled = if id == leader {
                        seat.member.part() == Part::Leading
                            || seat.member.part() == (Part::Joining { leader: *leader })
                    } else {
                        seat.wants.is_some()
                    };
                    if !settled {
                        seat.decide();
                    }
                }
                seats.get_mut(leader).expect("a server").put(Input::LinkUp { link: *link });
                let seat = seats.get_mut(&learner).expect("a server");
                let wants = seat.wants.take();
                let (attempt, to) = wants.unwrap_or_else(|| {
                    panic!("{}: {link:?}: server {} connects to nobody", r.name, learner.0)
                });
                assert_eq!(to, *leader, "{}: {link:?}: whom server {} goes to", r.name, learner.0);
                seat.connected = Some((attempt, *link));
                seat.put(Input::LeaderUp { attempt });
            }
            Event::Closed { link } => {
                let leader = seats.get_mut(&leaders[link]).expect("a server");
                leader.put(Input::LinkDown { link: *link, why: "closed".into() });
                let learner = seats.get_mut(&learners[link]).expect("a server");
                if let Some((attempt, _)) = learner.connected.take_if(|(_, at)| at == link) {
                    learner.put(Input::LeaderDown { attempt, why: "closed".into() });
                }
            }
            Event::FromLearner { packet: Packet::Pong { .. }, .. } => {}
            Event::FromLearner { link, packet } => {
                let leader = seats.get_mut(&leaders[link]).expect("a server");
                if let Packet::Request(request) = packet {
                    leader.now.wall_ms = times[&(request.session, request.cxid)];
                } else {
                    expected.entry((learners[link], *link)).or_default().push(packet.clone());
                }
                leader.put(Input::LinkPacket { link: *link, packet: packet.clone() });
            }
            Event::Tree { link, bytes } => {
                let learner = seats.get_mut(&learners[link]).expect("a server");
                let zxid = match expected[&(leaders[link], *link)].last() {
                    Some(Packet::Snap { zxid }) => *zxid,
                    // See below.
                    Some(Packet::Diff { .. }) => Zxid::new(Epoch(1), 0),
                    other => panic!("{}: {link:?}: a tree behind {other:?}", r.name),
                };
                let found = read_tree(&bytes[..], Vec::new(), zxid, tree_options()).expect("a tree");
                let (attempt, _) = learner.connected.expect("it is connected");
                learner.tree = found.tree;
                learner.put(Input::TreeLoaded { attempt, zxid, sessions: found.sessions });
            }
            Event::FromLeader { packet: Packet::Ping { .. }, .. } => {}
            Event::FromLeader { link, packet } => {
                let leader = seats.get_mut(&leaders[link]).expect("a server");
                if let Packet::Proposal { zxid, .. } = packet
                    && *zxid > leader.proposed
                {
                    // Nobody has passed it on to the leader: it came from a client of its own.
                    let txn = &txns[zxid];
                    let active = leader.adopted.last().expect("a configuration");
                    let request = Packet::Request(asked(txn, active));
                    let (through, _) = learners
                        .iter()
                        .filter(|(l, id)| **id == ServerId(2) && leaders.get(l) == Some(&leader.me))
                        .max()
                        .expect("server 2 follows");
                    leader.now.wall_ms = txn.time_ms;
                    leader.put(Input::LinkPacket { link: *through, packet: request });
                    assert_eq!(leader.proposed, *zxid, "{}: {txn:?}", r.name);
                }
                let learner = seats.get_mut(&learners[link]).expect("a server");
                if let Some((attempt, at)) = learner.connected
                    && at == *link
                {
                    learner.put(Input::LeaderPacket { attempt, packet: packet.clone() });
                }
                let packet = match packet {
                    // As in `compare_leaders`: nothing has happened yet, and there is nothing to send.
                    Packet::Snap { zxid } if zxid.counter() == 0 => Packet::Diff { zxid: Zxid::ZERO },
                    packet => packet.clone(),
                };
                expected.entry((leaders[link], *link)).or_default().push(packet);
            }
        }
    }
    let mut compared = 0;
    for ((server, link), expected) in &expected {
        let at = format!("{}: server {} on {link:?}", r.name, server.0);
        let said: Vec<_> = seats[server].said[link].iter().filter(|p| is_compared(p)).collect();
        for (i, packet) in expected.iter().enumerate() {
            let Some(own) = said.get(i) else { panic!("{at}: not said: {packet:?}") };
            assert_eq!(packet, *own, "{at}: packet {i}");
            compared += 1;
        }
        assert!(said.len() - expected.len() <= 3, "{at}: {:?}", &said[expected.len()..]);
    }
    (compared, seats)
}

/// All went by these configurations, one after the other, and by what the txns of them say.
fn went_by(r: &Recording, seats: &BTreeMap<ServerId, Seat>, versions: &[u64]) {
    let txns = txns(r);
    for (id, seat) in seats {
        let adopted: Vec<u64> = seat.adopted.iter().map(|members| members.version).collect();
        assert_eq!(adopted, versions, "{}: server {}", r.name, id.0);
        for members in &seat.adopted[1..] {
            let txn = &txns[&Zxid(members.version as i64)];
            let TxnBody::One(SubTxn::Reconfig { data: Some(data), .. }) = &txn.body else {
                panic!("{}: {txn:?}", r.name)
            };
            assert_eq!(members.to_string().as_bytes(), data, "{}: server {}", r.name, id.0);
        }
        assert_eq!(seat.next, None, "{}: server {}: nothing is to come", r.name, id.0);
    }
}

/// Which parts a member has had while it served.
fn served_as(seat: &Seat) -> Vec<Part> {
    seat.parts.iter().copied().filter(|part| part.serves()).collect()
}

#[test]
fn a_follower_that_leaves_and_joins_as_an_observer_and_votes_again_says_what_the_recorded_one_said() {
    let r = recording("reconfig-leave-join");
    let (compared, seats) = play(&r);
    assert_eq!(compared, 102);
    went_by(&r, &seats, &[0x1_0000_0000, 0x1_0000_0007, 0x1_0000_0009, 0x1_0000_000b]);
    let leader = ServerId(3);
    let follows = Part::Following { leader };
    assert_eq!(served_as(&seats[&ServerId(1)]), [follows, Part::Observing { leader }, follows]);
    assert_eq!(served_as(&seats[&ServerId(2)]), [follows]);
    assert_eq!(served_as(&seats[&leader]), [Part::Leading]);
}

#[test]
fn a_leader_that_leaves_hands_over_to_whom_the_recorded_one_handed_over() {
    let r = recording("reconfig-leader-leaves");
    let (compared, seats) = play(&r);
    assert_eq!(compared, 104);
    went_by(&r, &seats, &[0x1_0000_0000, 0x1_0000_0007]);
    let [first, second] = [3, 1].map(|id| Part::Following { leader: ServerId(id) });
    assert_eq!(served_as(&seats[&ServerId(1)]), [first, Part::Leading]);
    assert_eq!(served_as(&seats[&ServerId(2)]), [first, second]);
    assert_eq!(served_as(&seats[&ServerId(3)]), [Part::Leading, second]);
}
