//! Whole ensembles of members in one thread: what is sent arrives at once and in order, what is logged is forced at
//! once. Faults are the business of the simulator.

mod reconfig;

use super::*;
use crate::{
    ops::OpsConfig,
    pipeline::{Connect, LocalSessions, PipelineConfig, ReaperConfig, Request},
    tree::TreeOptions,
    types::{ConnId, OpCode, TxnFormat, members},
    zab::Sender,
};
use bytes::Bytes;
use quoll_jute::{Limits, Record, Writer, client};

struct Node {
    member: Member,
    tree: Tree,
    watches: WatchManager,
    deliveries: Deliveries,
    /// Bytes for clients: how much each connection has got.
    answered: BTreeMap<ConnId, u32>,
    /// Attempt and link of its connection to a leader.
    leader: Option<(u64, ServerId, LinkId)>,
    /// How many txns it has logged.
    logged: usize,
    up: bool,
    /// What its driver keeps.
    active: Option<members::Members>,
    next: Option<members::Members>,
}

struct Cluster {
    now: Now,
    nodes: BTreeMap<ServerId, Node>,
    queue: VecDeque<(ServerId, Input)>,
    links: BTreeMap<LinkId, (ServerId, u64)>,
    next_link: u64,
    /// Who has closed the connections of its clients.
    closed: Vec<ServerId>,
    /// Every txn that was logged anywhere.
    txns: BTreeMap<Zxid, Bytes>,
    /// Hears nothing of its learners.
    deaf: Option<ServerId>,
}

fn config(me: ServerId, voters: i64) -> MemberConfig {
    let mut all = members::Members::default();
    for id in 1..=voters.max(me.0) {
        let role = if id > voters { ":observer" } else { "" };
        let line = format!("h{id}:{}:{}{role}", 2000 + id, 3000 + id);
        let member = members::Member::parse(&line, false).unwrap();
        all.servers.insert(ServerId(id), member);
    }
    MemberConfig {
        me,
        members: all,
        next: None,
        reconfig_enabled: false,
        standalone_enabled: true,
        multi_address: false,
        tick_ms: 1000,
        init_limit_ticks: 10,
        sync_limit_ticks: 5,
        notification_interval_min_ms: 200,
        notification_interval_max_ms: 60_000,
        commit_log_count: 500,
        force_snapshot: false,
        sync_from_log: false,
        snapshot_syncs_max: 0,
        roles: RoleOptions::default(),
    }
}

fn pipeline_config(server: ServerId, reconfig_enabled: bool) -> PipelineConfig {
    let mut ops = OpsConfig { reconfig_enabled, ..OpsConfig::default() };
    ops.auth.skip_acl = true;
    PipelineConfig {
        server,
        tick_ms: 1000,
        session_timeout_min_ms: 2000,
        session_timeout_max_ms: 40_000,
        reaper: ReaperConfig::default(),
        ops,
        txn_format: TxnFormat::default(),
        local_sessions: LocalSessions::default(),
        seed: 0,
        first_counter: 0,
        eager_acl_check: false,
        throttled_op_wait_ms: 0,
    }
}

impl Cluster {
    fn new(voters: i64) -> Self {
        let mut cluster = Self {
            now: Now { mono_ms: 0, wall_ms: 1_700_000_000_000 },
            nodes: BTreeMap::new(),
            queue: VecDeque::new(),
            links: BTreeMap::new(),
            next_link: 1,
            closed: Vec::new(),
            txns: BTreeMap::new(),
            deaf: None,
        };
        (1..=voters).for_each(|id| cluster.start(config(ServerId(id), voters)));
        cluster
    }

    fn start(&mut self, config: MemberConfig) {
        let (id, reconfig, next) = (config.me, config.reconfig_enabled, config.next.clone());
        let pipeline = pipeline_config(id, reconfig);
        let member = Member::new(config, pipeline, &[], Zxid::ZERO, None, None, self.now);
        let node = Node {
            member,
            tree: Tree::new(TreeOptions { digest: true, ..TreeOptions::default() }),
            watches: WatchManager::new(1),
            deliveries: Deliveries::new(1),
            answered: BTreeMap::new(),
            leader: None,
            logged: 0,
            up: true,
            active: None,
            next,
        };
        self.nodes.insert(id, node);
    }

    /// A member with a setting of its own in the place of one that has not begun; one with a greater number than the
    /// voters observes.
    fn set(&mut self, id: i64, voters: i64, with: impl FnOnce(&mut MemberConfig)) {
        let mut config = config(ServerId(id), voters);
        with(&mut config);
        self.start(config);
    }

    fn put(&mut self, to: i64, input: Input) {
        self.queue.push_back((ServerId(to), input));
        self.run();
    }

    /// Until nobody has anything to say.
    fn run(&mut self) {
        loop {
            if let Some((id, input)) = self.queue.pop_front() {
                self.turn(id, Some(input));
            } else if let Some(id) =
                self.nodes.iter().find(|(_, n)| n.up && n.member.has_ready()).map(|(id, _)| *id)
            {
                self.turn(id, None);
            } else {
                return;
            }
        }
    }

    fn turn(&mut self, id: ServerId, input: Option<Input>) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("known");
        if !node.up {
            return;
        }
        if let Some(Input::TreeLoaded { zxid, .. }) = &input {
            node.tree = tree_of(self.txns.range(..=zxid).map(|(_, entry)| entry));
        }
        let mut outputs = Vec::new();
        let unheard = matches!(input, Some(Input::LinkPacket { .. })) && self.deaf == Some(id);
        if let Some(input) = input.filter(|_| !unheard) {
            node.member.accept(now, &node.tree, input, &mut outputs);
        }
        node.member.settle(now, &node.tree, &mut outputs);
        while let Some(batch) = node.member.take_log() {
            node.logged += batch.logged().count();
            self.txns.extend(batch.logged().map(|txn| (txn.zxid, txn.entry)));
            self.queue.push_back((id, Input::Pipeline(pipeline::Input::Durable(batch.last))));
        }
        if node.member.has_ready() {
            node.member.apply(&mut node.tree, &mut node.watches, &mut node.deliveries, 100);
            for delivery in std::mem::take(&mut node.deliveries.workers[0]).items {
                let established = u32::from(matches!(delivery.then, pipeline::Then::Established { .. }));
                *node.answered.entry(delivery.conn).or_default() += delivery.answered + established;
            }
        }
        for output in outputs {
            self.execute(id, output);
        }
    }

    fn execute(&mut self, id: ServerId, output: Output) {
        match output {
            Output::Notify { to, notification } => {
                self.queue.push_back((to, Input::Heard { from: id, notification }));
            }
            Output::ConnectLeader { attempt, leader, port } => {
                if !self.nodes[&leader].up {
                    self.queue.push_back((id, Input::LeaderDown { attempt, why: "it is dead".into() }));
                    return;
                }
                let base = if port == LearnerPort::ObserverMaster { LinkId::MASTER.0 } else { 0 };
                let link = LinkId(base + self.next_link);
                self.next_link += 1;
                self.links.insert(link, (id, attempt));
                self.nodes.get_mut(&id).expect("known").leader = Some((attempt, leader, link));
                self.queue.push_back((leader, Input::LinkUp { link }));
                self.queue.push_back((id, Input::LeaderUp { attempt }));
            }
            Output::SendToLeader { attempt, bytes } => {
                let Some((current, leader, link)) = self.nodes[&id].leader else { return };
                if current == attempt {
                    for packet in packets(&bytes, Sender::Learner) {
                        self.queue.push_back((leader, Input::LinkPacket { link, packet }));
                    }
                }
            }
            Output::DisconnectLeader { attempt } => {
                if let Some((_, leader, link)) =
                    self.nodes.get_mut(&id).expect("known").leader.take_if(|l| l.0 == attempt)
                {
                    self.queue.push_back((leader, Input::LinkDown { link, why: "closed".into() }));
                }
            }
            Output::Send { link, bytes } => {
                let (learner, attempt) = self.links[&link];
                for packet in packets(&bytes, Sender::Leader) {
                    let tree = if let Packet::Snap { zxid } = packet { Some(zxid) } else { None };
                    self.queue.push_back((learner, Input::LeaderPacket { attempt, packet }));
                    if let Some(zxid) = tree {
                        let sessions = self.nodes[&id].member.pipeline().global_sessions();
                        self.queue.push_back((learner, Input::TreeLoaded { attempt, zxid, sessions }));
                        self.queue.push_back((id, Input::SnapshotSent { link }));
                    }
                }
            }
            Output::Close { link, why } => {
                let (learner, attempt) = self.links[&link];
                self.queue.push_back((learner, Input::LeaderDown { attempt, why }));
            }
            Output::CloseClients => self.closed.push(id),
            Output::ConnectPeers | Output::StoreEpoch { .. } | Output::Part(_) | Output::Note { .. } => {}
            Output::BeginSnapshot { link } => {
                let zxid = self.nodes[&id].tree.last_zxid();
                self.queue.push_back((id, Input::SnapshotBegun { link, zxid }));
            }
            Output::SeeConfig { next } => {
                self.nodes.get_mut(&id).expect("known").next = next.map(|next| *next);
            }
            Output::AdoptConfig { active } => {
                let node = self.nodes.get_mut(&id).expect("known");
                node.next.take_if(|next| next.version <= active.version);
                node.active = Some(*active);
            }
            Output::SendLog { .. }
            | Output::ProbeLog { .. }
            | Output::Truncate { .. }
            | Output::Diverged { .. } => panic!("not in these tests: {output:?}"),
        }
    }

    fn pass(&mut self, ms: i64) {
        let until = self.now.mono_ms + ms;
        while self.now.mono_ms < until {
            self.now.mono_ms += 50;
            self.now.wall_ms += 50;
            let due: Vec<_> = self
                .nodes
                .iter()
                .filter(|(_, n)| n.member.next_deadline_ms().is_some_and(|at| at <= self.now.mono_ms))
                .map(|(id, _)| *id)
                .collect();
            for id in due {
                self.put(id.0, Input::Tick);
            }
        }
    }

    fn kill(&mut self, id: i64) {
        let id = ServerId(id);
        self.nodes.get_mut(&id).expect("known").up = false;
        let learners: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|(n, node)| node.leader.filter(|l| l.1 == id).map(|l| (*n, l.0)))
            .collect();
        for (learner, attempt) in learners {
            self.put(learner.0, Input::LeaderDown { attempt, why: "killed".into() });
        }
    }

    fn part(&self, id: i64) -> Part {
        self.nodes[&ServerId(id)].member.part()
    }

    fn leader(&self) -> i64 {
        (1..=9)
            .find(|id| self.nodes.contains_key(&ServerId(*id)) && self.part(*id) == Part::Leading)
            .expect("somebody leads")
    }

    fn connect(&mut self, id: i64, conn: ConnId) -> SessionId {
        let connect = Connect {
            conn,
            timeout_ms: 10_000,
            session: SessionId::NONE,
            password: Bytes::from_static(&[0; 16]),
            last_zxid_seen: Zxid::ZERO,
            read_only: false,
            has_read_only_byte: true,
        };
        let before = self.sessions(id);
        self.put(id, Input::Pipeline(pipeline::Input::Connect(connect)));
        *self.sessions(id).iter().find(|s| !before.contains(s)).expect("a session was created")
    }

    fn sessions(&self, id: i64) -> Vec<SessionId> {
        self.nodes[&ServerId(id)].member.pipeline().global_sessions().into_iter().map(|s| s.0).collect()
    }

    fn create(&mut self, id: i64, conn: ConnId, session: SessionId, xid: i32, path: &str) {
        let mut body = Vec::new();
        let record = client::CreateRequest {
            path: Some(path.into()),
            data: Some(b"x"),
            acl: Some(vec![quoll_jute::data::Acl {
                perms: 31,
                id: quoll_jute::data::Id { scheme: Some("world".into()), id: Some("anyone".into()) },
            }]),
            flags: 0,
        };
        record.write(&mut Writer::new(&mut body));
        self.request(id, conn, session, xid, OpCode::Create, body);
    }

    fn request(&mut self, id: i64, conn: ConnId, session: SessionId, xid: i32, op: OpCode, body: Vec<u8>) {
        let request = Request {
            conn,
            session,
            xid,
            op,
            body: body.into(),
            ids: std::sync::Arc::from([]),
            received_ms: self.now.mono_ms,
        };
        self.put(id, Input::Pipeline(pipeline::Input::Request(request)));
    }
}

fn tree_of<'a>(txns: impl Iterator<Item = &'a Bytes>) -> Tree {
    let mut tree = Tree::new(TreeOptions { digest: true, ..TreeOptions::default() });
    for entry in txns {
        let txn = crate::types::Txn::read(entry, TxnFormat::default()).expect("readable txns");
        tree.apply(&txn, &mut crate::tree::Effects::disabled());
    }
    tree
}

fn packets(mut bytes: &[u8], sender: Sender) -> Vec<Packet> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (packet, len) = Packet::read(bytes, sender, Limits::DEFAULT).unwrap().expect("whole packets");
        all.push(packet);
        bytes = &bytes[len..];
    }
    all
}

fn conn(serial: u32) -> ConnId {
    ConnId { worker: 0, serial }
}

#[test]
fn three_members_elect_one_and_serve_writes_from_everywhere() {
    let mut c = Cluster::new(3);
    c.pass(3000);
    assert_eq!([1, 2, 3].map(|id| c.part(id).serves()), [true; 3], "{:?}", [1, 2, 3].map(|id| c.part(id)));
    for id in 1..=3 {
        let session = c.connect(id, conn(id as u32));
        for n in 0..3 {
            c.create(id, conn(id as u32), session, n, &format!("/n{id}{n}"));
        }
        assert_eq!(c.nodes[&ServerId(id)].answered[&conn(id as u32)], 4);
    }
    let trees = c.nodes.values().map(|n| (n.tree.last_zxid(), n.tree.digest(), n.tree.node_count()));
    let trees: Vec<_> = trees.collect();
    assert!(trees.iter().all(|t| *t == trees[0]), "{trees:?}");
    assert_eq!(trees[0].0.counter(), 12);
    // Time passes: nobody loses anybody.
    let parts = [1, 2, 3].map(|id| c.part(id));
    c.pass(20_000);
    assert_eq!(parts, [1, 2, 3].map(|id| c.part(id)));
}

#[test]
fn when_the_leader_dies_another_one_goes_on_with_its_sessions_and_writes() {
    let mut c = Cluster::new(3);
    c.pass(3000);
    let leader = (1..=3).find(|id| c.part(*id) == Part::Leading).expect("somebody leads");
    let other = if leader == 1 { 2 } else { 1 };
    let session = c.connect(other, conn(1));
    c.create(other, conn(1), session, 1, "/before");
    c.kill(leader);
    c.pass(3000);
    assert!(c.part(other).serves(), "{:?}", c.part(other));
    assert_eq!(c.sessions(other), [session]);
    let new = c.connect(other, conn(2));
    c.create(other, conn(2), new, 1, "/after");
    assert_eq!(c.nodes[&ServerId(other)].answered[&conn(2)], 2);
    assert!(c.nodes[&ServerId(other)].tree.lookup("/before").is_some());
    assert_eq!(c.nodes[&ServerId(other)].tree.last_zxid().epoch(), Epoch(2));
}

/// Found by simulation: a driver that took log entries between two inputs took them past the history, and the leader's
/// learners never saw them.
#[test]
fn log_entries_are_handed_out_only_once_they_are_in_the_history_that_learners_are_served_from() {
    let mut c = Cluster::new(3);
    c.pass(3000);
    let leader = (1..=3).find(|id| c.part(*id) == Part::Leading).expect("somebody leads");
    c.connect(leader, conn(1));
    let now = c.now;
    let node = c.nodes.get_mut(&ServerId(leader)).expect("it is there");
    let connect = Connect {
        conn: conn(2),
        timeout_ms: 10_000,
        session: SessionId::NONE,
        password: Bytes::from_static(&[0; 16]),
        last_zxid_seen: Zxid::ZERO,
        read_only: false,
        has_read_only_byte: true,
    };
    let mut out = Vec::new();
    node.member.accept(now, &node.tree, Input::Pipeline(pipeline::Input::Connect(connect)), &mut out);
    assert!(node.member.take_log().is_none());
    node.member.settle(now, &node.tree, &mut out);
    let batch = node.member.take_log().expect("a session is being created");
    assert_eq!(node.member.history().map(History::last), Some(batch.last));
}

#[test]
fn a_member_without_a_quorum_serves_readers_until_somebody_leads_and_closes_them_then() {
    let mut c = Cluster::new(3);
    for (id, node) in &mut c.nodes {
        let mut config = config(*id, 3);
        config.roles.read_only_after_ms = Some(2000);
        let pipeline = PipelineConfig { local_sessions: LocalSessions::Stay, ..pipeline_config(*id, false) };
        node.member = Member::new(config, pipeline, &[], Zxid::ZERO, None, None, c.now);
        node.up = *id == ServerId(1);
    }
    c.pass(1000);
    assert_eq!(c.part(1), Part::Looking);
    c.pass(2000);
    assert_eq!(c.part(1), Part::ReadOnly);
    c.put(
        1,
        Input::Pipeline(pipeline::Input::Connect(Connect {
            conn: conn(1),
            timeout_ms: 10_000,
            session: SessionId::NONE,
            password: Bytes::from_static(&[0; 16]),
            last_zxid_seen: Zxid::ZERO,
            read_only: true,
            has_read_only_byte: true,
        })),
    );
    assert_eq!(c.nodes[&ServerId(1)].answered[&conn(1)], 1);
    assert_eq!(c.nodes[&ServerId(1)].member.pipeline().sessions().local_len(), 1);
    assert!(c.nodes[&ServerId(1)].tree.lookup("/zookeeper/config").is_some_and(|n| n.data().is_some()));
    c.nodes.get_mut(&ServerId(2)).expect("known").up = true;
    c.closed.clear();
    c.pass(3000);
    assert!(c.part(1).serves() && c.part(1) != Part::ReadOnly, "{:?}", c.part(1));
    assert_eq!(c.closed, [ServerId(1)], "its clients had to come again, once");
    assert_eq!(c.nodes[&ServerId(1)].member.pipeline().sessions().len(), 0);
    // And back.
    let leader = if c.part(1) == Part::Leading { 1 } else { 2 };
    let other = 3 - leader;
    c.kill(leader);
    c.pass(1000);
    assert_eq!(c.part(other), Part::Looking);
    c.pass(2500);
    assert_eq!(c.part(other), Part::ReadOnly);
}

#[test]
fn a_leader_may_leave_clients_to_the_others() {
    let mut c = Cluster::new(3);
    for id in 1..=3 {
        c.set(id, 3, |config| config.roles.leads_without_clients = true);
    }
    c.pass(3000);
    let leader = (1..=3).find(|id| c.part(*id) == Part::LeadingOnly).expect("somebody leads");
    assert!(!c.part(leader).serves());
    c.put(
        leader,
        Input::Pipeline(pipeline::Input::Connect(Connect {
            conn: conn(1),
            timeout_ms: 10_000,
            session: SessionId::NONE,
            password: Bytes::from_static(&[0; 16]),
            last_zxid_seen: Zxid::ZERO,
            read_only: false,
            has_read_only_byte: true,
        })),
    );
    assert_eq!(c.nodes[&ServerId(leader)].answered[&conn(1)], 0, "closed without a word");
    let other = if leader == 1 { 2 } else { 1 };
    let session = c.connect(other, conn(2));
    c.create(other, conn(2), session, 1, "/a");
    assert_eq!(c.nodes[&ServerId(other)].answered[&conn(2)], 2);
}

#[test]
fn an_observer_may_keep_nothing_on_disk() {
    let mut c = Cluster::new(3);
    c.set(4, 3, |config| config.roles.observes_without_log = true);
    c.set(5, 3, |_| {});
    c.pass(3000);
    assert!(matches!(c.part(4), Part::Observing { .. }), "{:?}", c.part(4));
    let session = c.connect(4, conn(4));
    c.create(4, conn(4), session, 1, "/a");
    assert_eq!(c.nodes[&ServerId(4)].answered[&conn(4)], 2);
    let logged = [1, 4, 5].map(|id| c.nodes[&ServerId(id)].logged);
    assert_eq!(logged, [2, 0, 2]);
    let digests = [1, 4, 5].map(|id| c.nodes[&ServerId(id)].tree.digest());
    assert_eq!(digests, [digests[0]; 3]);
}

#[test]
fn an_observer_waits_for_a_random_time_before_it_looks_and_before_it_connects() {
    let mut times = Vec::new();
    for seed in 0..8 {
        let mut c = Cluster::new(3);
        c.set(4, 3, |config| {
            config.roles.seed = seed;
            (config.roles.election_delay_max_ms, config.roles.connect_delay_max_ms) = (3000, 3000);
        });
        // Connects after a pause of up to three seconds.
        let mut first = 0;
        while !c.part(4).serves() {
            c.pass(50);
            first += 50;
        }
        let Part::Observing { leader } = c.part(4) else { panic!("{:?}", c.part(4)) };
        c.kill(leader.0);
        assert_eq!(c.part(4), Part::Looking);
        let mut again = 0;
        while !c.part(4).serves() {
            c.pass(50);
            again += 50;
        }
        assert!(first < 7000 && again < 10_000, "{first} {again}");
        times.push((first, again));
    }
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 4, "they do not come all at once: {times:?}");
}

#[test]
fn an_observer_gets_from_a_follower_what_the_leader_says_and_asks_through_it() {
    let mut c = Cluster::new(3);
    for id in 1..=4 {
        c.set(id, 3, |config| {
            (config.roles.observer_masters, config.roles.observer_master_bytes_max) = (true, 1 << 20);
        });
    }
    c.pass(8000);
    let Part::Observing { leader } = c.part(4) else { panic!("{:?}", c.part(4)) };
    let (_, master, link) = c.nodes[&ServerId(4)].leader.expect("it is connected");
    assert!(master != leader && link.is_at_master(), "{master:?} of {leader:?}");
    assert_eq!(
        c.nodes[&leader].member.leader().expect("it leads").learners().filter(|l| l.observer).count(),
        0
    );

    let session = c.connect(4, conn(4));
    c.create(4, conn(4), session, 1, "/a");
    let ask = |c: &mut Cluster, xid, op| {
        let (ids, received_ms) = (std::sync::Arc::from([]), c.now.mono_ms);
        let body = Bytes::from_static(b"\0\0\0\x01/");
        let request = Request { conn: conn(4), session, xid, op, body, ids, received_ms };
        c.put(4, Input::Pipeline(pipeline::Input::Request(request)));
    };
    ask(&mut c, 2, OpCode::Sync);
    c.create(4, conn(4), session, 3, "/b");
    ask(&mut c, 4, OpCode::Sync);
    assert_eq!(c.nodes[&ServerId(4)].answered[&conn(4)], 5, "each once, whatever stands between");
    // What others write comes too, and a sync of the follower's own client finds its answer.
    let own = c.connect(master.0, conn(5));
    c.create(master.0, conn(5), own, 1, "/c");
    let digests = [1, 2, 3, 4].map(|id| c.nodes[&ServerId(id)].tree.digest());
    assert_eq!(digests, [digests[0]; 4]);

    // Its clients are heard from at the leader, and nobody else's live as long.
    for _ in 0..10 {
        c.pass(3000);
        let now_ms = c.now.mono_ms;
        c.put(4, Input::Pipeline(pipeline::Input::Touch(vec![(session, now_ms)])));
    }
    assert_eq!(c.sessions(4), [session]);
    // A session moves to it.
    let moving = c.connect(leader.0, conn(6));
    c.put(
        4,
        Input::Pipeline(pipeline::Input::Connect(Connect {
            conn: conn(7),
            timeout_ms: 10_000,
            session: moving,
            password: Bytes::copy_from_slice(&crate::session::password(moving)),
            last_zxid_seen: Zxid::ZERO,
            read_only: false,
            has_read_only_byte: true,
        })),
    );
    assert_eq!(c.nodes[&ServerId(4)].answered[&conn(7)], 1);

    // Without the follower it goes to the other one.
    c.kill(master.0);
    c.pass(10_000);
    assert!(matches!(c.part(4), Part::Observing { .. }), "{:?}", c.part(4));
    let (_, next, link) = c.nodes[&ServerId(4)].leader.expect("it is connected");
    assert!(next != master && next != leader && link.is_at_master());
    c.create(leader.0, conn(6), moving, 9, "/not");
    assert_eq!(c.nodes[&leader].tree.last_zxid(), c.nodes[&ServerId(4)].tree.last_zxid());
}

/// Found while the simulation learned of observer masters: a server that was no member yet went from voter to voter, each
/// of which took it in and sent it away, until it came to the leader by chance.
#[test]
fn a_server_that_is_no_member_yet_goes_to_the_leader_though_followers_serve_observers() {
    let mut c = Cluster::new(3);
    for id in 1..=3 {
        c.set(id, 3, |config| config.roles.observer_masters = true);
    }
    c.set(4, 3, |config| {
        config.members.servers.remove(&ServerId(4));
        config.roles.observer_masters = true;
    });
    c.pass(8000);
    let Part::Following { leader } = c.part(4) else { panic!("{:?}", c.part(4)) };
    let (attempt, reached, _) = c.nodes[&ServerId(4)].leader.expect("it is connected");
    assert_eq!((attempt, reached), (1, leader));
}

/// Found by simulation: a reconfiguration under way made a voter of an observer that did not know of it. The leader could not
/// be established without it, no follower serves before that, and the observer asked only followers.
#[test]
fn an_observer_that_no_follower_has_served_for_init_limit_goes_to_the_leader() {
    let mut c = Cluster::new(3);
    c.set(4, 3, |config| config.roles.observer_masters = true);
    c.pass(9_000);
    assert!(!matches!(c.part(4), Part::Observing { .. }), "initLimit is 10 s: {:?}", c.part(4));
    c.pass(30_000);
    let Part::Observing { leader } = c.part(4) else { panic!("{:?}", c.part(4)) };
    let (_, reached, link) = c.nodes[&ServerId(4)].leader.expect("it is connected");
    assert!(reached == leader && !link.is_at_master());
}

/// A leader that is the only voter has no follower to send it to.
#[test]
fn an_observer_of_the_only_voter_goes_to_it_though_followers_would_serve_observers() {
    let mut c = Cluster::new(1);
    c.set(1, 1, |config| config.roles.observer_masters = true);
    c.set(2, 1, |config| config.roles.observer_masters = true);
    c.pass(8000);
    assert!(matches!(c.part(2), Part::Observing { .. }), "{:?}", c.part(2));
    let (_, reached, link) = c.nodes[&ServerId(2)].leader.expect("it is connected");
    assert!(reached == ServerId(1) && !link.is_at_master());
}
