//! One member: the code that ships, and the driver around it that a real server has in threads.
//!
//! The driver appends what is proposed at once and forces it later, as a log thread does: what happens in between meets
//! a log that is written and not forced.

use super::{
    clock::Monotonic,
    configs::Configs,
    ghost::hash,
    net::{End, Item, Process},
    world::{Event, Stop, Us, World},
};
use crate::{
    member::{Input, Member, Output, Part, take_before_log},
    ops::ResponseCache,
    pipeline::{self, Deliveries, LogBatch, Now},
    sim::disk::FakeDisk,
    storage::{
        self, Disk, LogCursor, LogWriter, SnapshotPace, SnapshotStream, SnapshotWriter, StorageError,
        StorageOptions, digest_of, recover, resync,
    },
    tree::{SnapshotWalk, Tree, TreeOptions},
    types::{ConnId, LinkId, OwnerRules, ServerId, SessionId, Zxid},
    watch::WatchManager,
    zab::{Packet, Sender, write_proposal},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

pub(super) struct Node {
    pub id: ServerId,
    pub observer: bool,
    /// What it goes by, in an ensemble that is reconfigured.
    pub configs: Configs,
    pub disk: FakeDisk,
    pub options: StorageOptions,
    pub life: u64,
    pub run: Option<Box<Running>>,
    pub paused: bool,
    /// What happens to it while it is paused.
    pub held: Vec<Event>,
    /// How long a force takes: from and to.
    pub force_us: (Us, Us),
    pub mono: Monotonic,
    /// Offset of its wall clock to the world's time.
    pub wall_offset_ms: i64,
    pub snap_count: u32,
}

/// A client's connection as the member's worker keeps it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conn {
    pub session: SessionId,
    /// Requests that the pipeline has not answered.
    pub waiting: u32,
}

pub(super) struct Running {
    pub member: Member,
    pub tree: Tree,
    pub watches: WatchManager,
    pub cache: ResponseCache,
    log: LogWriter,
    queued: VecDeque<LogBatch>,
    /// What is appended and not forced yet.
    forcing: Option<Zxid>,
    pace: SnapshotPace,
    walk: Option<(SnapshotWalk, SnapshotWriter)>,
    snapshot_due: bool,
    own: VecDeque<Input>,
    trees_wanted: VecDeque<LinkId>,
    /// The attempt to reach a leader, and its connection.
    leader: Option<(u64, Option<u64>)>,
    links: BTreeMap<LinkId, u64>,
    pub conns: BTreeMap<ConnId, Conn>,
    pub touched: Vec<(SessionId, i64)>,
    wake_us: Us,
    part: Part,
    /// What the tree holds as far as was told.
    applied: Zxid,
}

impl Node {
    pub fn is_up(&self) -> bool {
        self.run.is_some()
    }

    pub fn is_life(&self, life: u64) -> bool {
        self.run.is_some() && self.life == life
    }

    pub fn is_dialing(&self, life: u64, attempt: u64) -> bool {
        self.is_life(life)
            && self.run.as_ref().is_some_and(|r| r.leader.is_some_and(|l| l == (attempt, None)))
    }

    pub fn part(&self) -> Option<Part> {
        self.run.as_ref().map(|r| r.member.part())
    }

    pub fn now(&self, now_us: Us) -> Now {
        Now { mono_ms: self.mono.ms(now_us), wall_ms: now_us / 1000 + self.wall_offset_ms }
    }

    fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }
}

impl Running {
    /// A client's connection is gone.
    pub fn gone(&mut self, conn: ConnId, session: SessionId) {
        self.own.push_back(Input::Pipeline(pipeline::Input::Gone { conn, session }));
    }

    pub fn touch(&mut self, session: SessionId, now: Now) -> bool {
        let first = self.touched.is_empty();
        self.touched.push((session, now.mono_ms));
        first
    }
}

pub(super) fn tree_options(seed: u64) -> TreeOptions {
    let rules = OwnerRules { extended_types: true, emulate_353: false };
    TreeOptions { hash_seed: seed, owner_rules: rules, digest: true }
}

impl World {
    /// Starts a member on what its disk holds.
    pub(super) fn boot(&mut self, n: usize) -> Result<(), Stop> {
        if self.nodes[n].is_up() {
            return Ok(());
        }
        let now_us = self.now_us;
        let options = tree_options(self.seed ^ n as u64);
        let node = &mut self.nodes[n];
        node.life += 1;
        // The monotonic clock begins anew; the other one goes on.
        node.mono.begin(now_us);
        let now = node.now(now_us);
        let disk = node.arc();
        let started = (|| {
            let recovered = recover(&disk, &node.options, options, &mut |_| {})?;
            let epochs = resync::epochs_at_start(&*disk, &node.options, recovered.last_zxid)?;
            Ok::<_, StorageError>((recovered, epochs))
        })();
        let (recovered, (accepted, current)) = match started {
            Ok(started) => started,
            // A disk that fails, or dies, while the member starts: it starts again later.
            Err(StorageError::Io { source, .. }) => {
                return self.died(n, format!("start: {source}"), false);
            }
            Err(e) => return Err(Stop::Violation(format!("Durability: node {n} cannot start: {e}"))),
        };
        // −1 is that of an empty disk that is not trusted.
        let (told, last) = (recovered.last_zxid, recovered.last_zxid.max(Zxid::ZERO));
        if recovered.digest_mismatches > 0 {
            return Err(Stop::Violation(format!("DigestsAgree: node {n} replays to other digests")));
        }
        self.ghost.restarts(n, last, accepted, current)?;
        self.ghost.digest(n, last, recovered.tree.digest())?;
        self.load_configs(n)?;
        let seed = self.seed_of(n);
        let (config, pipeline) = self.configs(n);
        let member = Member::new(config, pipeline, &recovered.sessions, told, accepted, current, now);
        let node = &mut self.nodes[n];
        node.run = Some(Box::new(Running {
            member,
            tree: recovered.tree,
            watches: WatchManager::new(seed),
            cache: ResponseCache::new(16, 1 << 16),
            log: LogWriter::open(disk, node.options.log(), last),
            queued: VecDeque::new(),
            forcing: None,
            pace: SnapshotPace::new(node.snap_count, None, seed),
            walk: None,
            snapshot_due: false,
            own: VecDeque::new(),
            trees_wanted: VecDeque::new(),
            leader: None,
            links: BTreeMap::new(),
            conns: BTreeMap::new(),
            touched: Vec::new(),
            wake_us: Us::MAX,
            part: Part::Looking,
            applied: recovered.last_zxid,
        }));
        self.trace(&[1, n as u64, last.0 as u64]);
        self.turn(n, Input::Tick)
    }

    /// Lets a member take something in and do what follows.
    pub(super) fn turn(&mut self, n: usize, input: Input) -> Result<(), Stop> {
        let Some(mut run) = self.nodes[n].run.take() else { return Ok(()) };
        run.own.push_back(input);
        self.finish_turn(n, run)
    }

    /// Goes on with what a member has ready.
    pub(super) fn go_on(&mut self, n: usize) -> Result<(), Stop> {
        match self.nodes[n].run.take() {
            Some(run) => self.finish_turn(n, run),
            None => Ok(()),
        }
    }

    fn finish_turn(&mut self, n: usize, mut run: Box<Running>) -> Result<(), Stop> {
        let result = self.drive(n, &mut run);
        self.nodes[n].run = Some(run);
        match result {
            Ok(()) => Ok(()),
            Err(Stop::Disk(e)) => self.died(n, e, true),
            Err(stop) => Err(stop),
        }
    }

    fn drive(&mut self, n: usize, run: &mut Running) -> Result<(), Stop> {
        let now = self.nodes[n].now(self.now_us);
        let mut outputs = Vec::new();
        let mut rounds = 0;
        loop {
            while let Some(input) = run.own.pop_front() {
                self.note_heard(n, run, now, &input)?;
                run.member.accept(now, &run.tree, input, &mut outputs);
                self.hand_on(n, run, now, &mut outputs)?;
            }
            run.member.settle(now, &run.tree, &mut outputs);
            self.hand_on(n, run, now, &mut outputs)?;
            if !run.member.has_ready() {
                if run.own.is_empty() {
                    break;
                }
                continue;
            }
            // A real core takes in what has come meanwhile now and then.
            rounds += 1;
            if rounds > 1 && self.rng.chance(20) {
                let life = self.nodes[n].life;
                self.at(self.now_us + 30, Event::GoOn { process: Process { node: n, life } });
                break;
            }
            let most = 1 + self.rng.below(6) as usize;
            let mut told = Deliveries::new(1);
            run.member.apply(&mut run.tree, &mut run.watches, &mut told, most);
            self.applied(n, run)?;
            self.deliver(n, run, told);
        }
        self.begin_snapshot(n, run)?;
        let deadline_us = match run.member.next_deadline_ms() {
            Some(ms) => self.nodes[n].mono.when(ms),
            None => self.now_us + 1_000_000,
        };
        let wake_us = deadline_us.max(self.now_us + 200);
        if wake_us < run.wake_us {
            run.wake_us = wake_us;
            let life = self.nodes[n].life;
            self.at(wake_us, Event::Wake { process: Process { node: n, life } });
        }
        Ok(())
    }

    pub(super) fn wake(&mut self, n: usize) -> Result<(), Stop> {
        if let Some(run) = &mut self.nodes[n].run {
            run.wake_us = Us::MAX;
        }
        self.turn(n, Input::Tick)
    }

    /// What the tree holds now: shown to the observer.
    fn applied(&mut self, n: usize, run: &mut Running) -> Result<(), Stop> {
        let zxid = run.tree.last_zxid();
        if zxid != run.applied {
            run.applied = zxid;
            self.ghost.digest(n, zxid, run.tree.digest())?;
        }
        if run.member.pipeline().counts().digest_mismatches > 0 {
            return Err(Stop::Violation(format!(
                "DigestsAgree: node {n} sees a digest that was not promised"
            )));
        }
        // Without a leader it serves what may never be committed.
        if run.member.part().serves() && run.member.part() != Part::ReadOnly {
            self.ghost.serves(n, zxid)?;
        }
        Ok(())
    }

    /// Log entries to the log, outputs to the world.
    fn hand_on(
        &mut self,
        n: usize,
        run: &mut Running,
        now: Now,
        outputs: &mut Vec<Output>,
    ) -> Result<(), Stop> {
        loop {
            let mut proposed = Vec::new();
            while let Some(batch) = run.member.take_log() {
                let leads = run.member.part() == Part::Leading;
                for txn in batch.logged() {
                    self.trace(&[2, n as u64, txn.zxid.0 as u64, hash(&txn.entry)]);
                    let made = self.ghost.logs(n, leads, txn.zxid, &txn.entry)?;
                    if self.told.is_some() {
                        let what = self.ghost.describe(txn.zxid);
                        self.say(|| format!("node {n}: logs {what}"));
                    }
                    if made {
                        proposed.push(txn.zxid);
                        self.note_expiry(n, now, txn.zxid)?;
                    }
                }
                run.queued.push_back(batch);
            }
            for output in take_before_log(outputs) {
                self.execute(n, run, output)?;
            }
            for zxid in proposed {
                self.check_change(n, zxid)?;
            }
            self.append(n, run)?;
            if outputs.is_empty() && !self.begin_tree(n, run, now)? {
                return Ok(());
            }
            for output in std::mem::take(outputs) {
                self.execute(n, run, output)?;
            }
        }
    }

    /// Appends what waits, if nothing is being forced, and begins to force it.
    fn append(&mut self, n: usize, run: &mut Running) -> Result<(), Stop> {
        if run.forcing.is_some() || run.queued.is_empty() {
            return Ok(());
        }
        let (first, last) = (run.queued[0].first, run.queued[run.queued.len() - 1].last);
        let before = run.log.stats();
        run.log.append(run.queued.iter().flat_map(LogBatch::entries), first, last).map_err(disk)?;
        run.queued.clear();
        let after = run.log.stats();
        if run.pace.add(after.records - before.records, after.bytes - before.bytes) {
            run.snapshot_due = true;
        }
        run.forcing = Some(last);
        let (from, to) = self.nodes[n].force_us;
        let us = from + self.rng.below((to - from) as u64 + 1) as Us;
        let life = self.nodes[n].life;
        self.at(self.now_us + us, Event::Forced { process: Process { node: n, life } });
        Ok(())
    }

    pub(super) fn forced(&mut self, n: usize) -> Result<(), Stop> {
        let Some(mut run) = self.nodes[n].run.take() else { return Ok(()) };
        let result = self.force(n, &mut run);
        match result {
            Ok(()) => self.finish_turn(n, run),
            Err(e) => {
                self.nodes[n].run = Some(run);
                self.died(n, e.to_string(), true)
            }
        }
    }

    fn force(&mut self, n: usize, run: &mut Running) -> Result<(), StorageError> {
        let Some(last) = run.forcing.take() else { return Ok(()) };
        run.log.force()?;
        if run.snapshot_due {
            run.log.roll()?;
        }
        self.ghost.durable(n, last);
        run.own.push_back(Input::Pipeline(pipeline::Input::Durable(last)));
        Ok(())
    }

    /// Everything written is forced, and nothing is being written: the files are about to change.
    fn detach(&mut self, n: usize, run: &mut Running) -> Result<(), Stop> {
        while run.forcing.is_some() || !run.queued.is_empty() {
            self.append(n, run)?;
            self.force(n, run).map_err(disk)?;
        }
        run.log.roll().map_err(disk)?;
        if let Some((walk, writer)) = run.walk.take() {
            drop(writer);
            drop(run.tree.end_snapshot(walk));
        }
        Ok(())
    }

    fn begin_snapshot(&mut self, n: usize, run: &mut Running) -> Result<(), Stop> {
        if !run.snapshot_due || run.walk.is_some() || run.forcing.is_some() {
            return Ok(());
        }
        run.snapshot_due = false;
        let walk = run.tree.begin_snapshot().map_err(|e| Stop::Violation(e.to_string()))?;
        let sessions = run.member.pipeline().global_sessions();
        let options = self.nodes[n].options.snapshot();
        match SnapshotWriter::for_walk(self.nodes[n].arc(), &options, &walk, &sessions) {
            Ok(writer) => run.walk = Some((walk, writer)),
            Err(_) => drop(run.tree.end_snapshot(walk)),
        }
        let life = self.nodes[n].life;
        self.at(self.now_us + 500, Event::Walk { process: Process { node: n, life } });
        Ok(())
    }

    /// Goes on with the snapshot that is being taken.
    pub(super) fn walk(&mut self, n: usize) -> Result<(), Stop> {
        let nodes = 1 + self.rng.below(8) as usize;
        let Some(run) = &mut self.nodes[n].run else { return Ok(()) };
        let Some((mut walk, mut writer)) = run.walk.take() else { return Ok(()) };
        let more = walk.next_chunk(&run.tree, nodes, &mut |z| {
            writer.node(z.path, z.data, z.acl_index, &z.stat);
        });
        let failed = writer.drain().is_err();
        if more == Ok(true) && !failed {
            run.walk = Some((walk, writer));
            let life = self.nodes[n].life;
            self.at(self.now_us + 1_000, Event::Walk { process: Process { node: n, life } });
            return Ok(());
        }
        let digest = digest_of(&run.tree, &walk);
        drop(run.tree.end_snapshot(walk));
        if !failed && writer.finish(digest).is_ok() {
            self.snapshots += 1;
        }
        if self.nodes[n].disk.is_down() {
            return self.died(n, "the machine went down under a snapshot".into(), true);
        }
        // A learner may wait for its turn.
        self.go_on(n)
    }

    fn execute(&mut self, n: usize, run: &mut Running, output: Output) -> Result<(), Stop> {
        let me = Process { node: n, life: self.nodes[n].life };
        self.trace_output(n, &output);
        match output {
            Output::Notify { to, notification } => {
                let vote = notification.vote;
                self.say(|| format!("node {n}: votes, to {}: {vote:?}", to.0));
                if let Some(to) = self.index_of(to) {
                    self.notify(n, to, notification);
                }
            }
            Output::ConnectPeers => self.connect_peers(n),
            Output::ConnectLeader { attempt, leader, port } => {
                self.disconnect_leader(run, "another attempt");
                run.leader = Some((attempt, None));
                let Some(leader) = self.index_of(leader) else { return Ok(()) };
                if self.knows(n, leader) {
                    let at = self.now_us + self.delay_us();
                    self.at(at, Event::Dial { learner: me, attempt, leader, port, tries: 1 });
                } else {
                    self.feed_leader_down(me, attempt, "its address is unknown");
                }
            }
            Output::DisconnectLeader { attempt } => {
                if run.leader.is_some_and(|l| l.0 == attempt) {
                    self.disconnect_leader(run, "the learner has closed it");
                }
            }
            Output::SendToLeader { attempt, bytes } => {
                if let Some((now, Some(stream))) = run.leader
                    && now == attempt
                {
                    self.note_promises(n, run, &bytes, Sender::Learner)?;
                    self.send(stream, End::Leader, Item::Packets(bytes));
                }
            }
            Output::Send { link, bytes } => {
                self.note_promises(n, run, &bytes, Sender::Leader)?;
                self.send_to(run, link, Item::Packets(bytes));
            }
            Output::SendLog { link, after, through } => {
                let bytes = self.read_log(n, after, through)?;
                self.send_to(run, link, Item::Packets(bytes.into()));
            }
            Output::BeginSnapshot { link } => run.trees_wanted.push_back(link),
            Output::ProbeLog { link, peer } => {
                let through = run.member.history().map_or(Zxid::ZERO, |h| h.min());
                let node = &self.nodes[n];
                let at = resync::probe_log(&node.disk, &node.options, peer, through, self.size_factor);
                let at = at.unwrap_or(None);
                self.log_probes += u64::from(at.is_some());
                let later = self.now_us + self.delay_us();
                self.at(later, Event::Probed { process: me, link, at });
            }
            Output::Close { link, why: _ } => {
                if let Some(stream) = run.links.remove(&link) {
                    if let Some(s) = self.net.streams.get_mut(&stream) {
                        s.closed_at_leader = true;
                    }
                    self.send(stream, End::Learner, Item::End("the leader has closed it"));
                }
            }
            Output::StoreEpoch { kind, epoch } => {
                let node = &self.nodes[n];
                storage::write_epoch(&node.disk, &node.options.snap_dir(), kind, epoch).map_err(disk)?;
            }
            Output::Truncate { zxid } => self.truncate(n, run, zxid)?,
            Output::CloseClients => self.close_clients(run),
            Output::Part(part) => self.has_part(n, run, part)?,
            Output::Diverged { what } => {
                return Err(Stop::Violation(format!("node {n} says that it has diverged: {what}")));
            }
            Output::SeeConfig { next } => self.see_config(n, run, next.map(|next| *next))?,
            Output::AdoptConfig { active } => self.adopt_config(n, *active)?,
            Output::Note { text } => self.say(|| format!("node {n}: {text}")),
        }
        Ok(())
    }

    /// Before a member serves, its words may be promises.
    fn note_promises(&mut self, n: usize, run: &Running, bytes: &[u8], sender: Sender) -> Result<(), Stop> {
        if !run.part.serves() {
            let epochs = run.member.epochs().unwrap_or_default();
            packets(bytes, sender)?.iter().for_each(|packet| self.ghost.says(n, packet, epochs));
        }
        Ok(())
    }

    fn has_part(&mut self, n: usize, run: &mut Running, part: Part) -> Result<(), Stop> {
        self.say(|| format!("node {n}: {part:?}"));
        let before = std::mem::replace(&mut run.part, part);
        if before.serves() {
            self.ghost.stops(n)?;
        }
        if matches!(part, Part::Observing { .. }) {
            self.ghost.members[n].may_go_back = self.settings.observer_masters;
        }
        if part == Part::Leading {
            let epoch = run.member.epochs().map(|e| e.1).unwrap_or_default();
            let at_ms = self.nodes[n].now(self.now_us).mono_ms;
            self.ghost.leads(n, epoch, at_ms)?;
            self.elections += 1;
        }
        Ok(())
    }

    fn send_to(&mut self, run: &Running, link: LinkId, item: Item) {
        if let Some(stream) = run.links.get(&link) {
            self.send(*stream, End::Learner, item);
        }
    }

    fn disconnect_leader(&mut self, run: &mut Running, why: &'static str) {
        let Some((_, stream)) = run.leader.take() else { return };
        if let Some(stream) = stream {
            if let Some(s) = self.net.streams.get_mut(&stream) {
                s.closed_at_learner = true;
            }
            self.send(stream, End::Leader, Item::End(why));
        }
    }

    fn read_log(&self, n: usize, after: Zxid, through: Zxid) -> Result<Vec<u8>, Stop> {
        let node = &self.nodes[n];
        let mut bytes = Vec::new();
        let mut last = after;
        let mut cursor = LogCursor::open(&node.disk, &node.options.log_dir(), after.next()).map_err(disk)?;
        while let Some(record) = cursor.next_record().map_err(disk)? {
            if record.zxid > through {
                break;
            }
            last = record.zxid;
            write_proposal(&mut bytes, record.zxid, record.entry);
            Packet::Commit { zxid: record.zxid }.write(&mut bytes);
        }
        if last != through {
            return Err(Stop::Violation(format!(
                "node {n} has to send {through} and its log ends at {last}"
            )));
        }
        Ok(bytes)
    }

    /// Sends the tree to the learner that waits longest, if nobody else walks it. Whether it has.
    fn begin_tree(&mut self, n: usize, run: &mut Running, now: Now) -> Result<bool, Stop> {
        if run.walk.is_some() {
            return Ok(false);
        }
        let Some(link) = run.trees_wanted.pop_front() else { return Ok(false) };
        let sessions = run.member.pipeline().global_sessions();
        let mut walk = run.tree.begin_snapshot().map_err(|e| Stop::Violation(e.to_string()))?;
        let zxid = walk.zxid();
        let mut bytes = Vec::new();
        let mut stream = SnapshotStream::for_walk(&mut bytes, &walk, &sessions).expect("memory takes it");
        while walk
            .next_chunk(&run.tree, 64, &mut |z| stream.node(z.path, z.data, z.acl_index, &z.stat))
            .expect("the walk is this tree's")
        {}
        stream.finish().expect("memory takes it");
        drop(run.tree.end_snapshot(walk));
        let mut outputs = Vec::new();
        run.member.accept(now, &run.tree, Input::SnapshotBegun { link, zxid }, &mut outputs);
        let mut tree = Some(bytes);
        for output in outputs {
            let announces = matches!(output, Output::Send { link: to, .. } if to == link);
            self.execute(n, run, output)?;
            if announces && let Some(bytes) = tree.take() {
                self.trees_sent += 1;
                self.send_to(run, link, Item::Tree(bytes.into()));
                let process = Process { node: n, life: self.nodes[n].life };
                let at = self.now_us + self.delay_us();
                self.at(at, Event::TreeLeft { process, link });
            }
        }
        Ok(true)
    }

    fn truncate(&mut self, n: usize, run: &mut Running, zxid: Zxid) -> Result<(), Stop> {
        self.say(|| format!("node {n}: cuts its log back to {zxid}"));
        self.detach(n, run)?;
        let before = self.ghost.members[n].clone();
        self.ghost.resyncs(n, zxid);
        let options = tree_options(self.seed ^ n as u64);
        let disk_of = self.nodes[n].arc();
        let storage = self.nodes[n].options.clone();
        let recovered = match resync::truncate_to(&disk_of, &storage, options, zxid) {
            Ok(recovered) => recovered,
            Err(e @ StorageError::CannotTruncate { .. }) => {
                let last = run.tree.last_zxid();
                // Only a tree that came from a leader that was never established, or one whose log a crash has left
                // half cut, can hold more than a log can cut.
                if zxid >= self.ghost.members[n].base {
                    return Err(Stop::Violation(format!("node {n} cannot cut back: {e}")));
                }
                // Its disk is as it was.
                self.ghost.members[n] = before;
                run.log = LogWriter::open(disk_of, storage.log(), last);
                run.own.push_back(Input::NotTruncated { why: e.to_string() });
                return Ok(());
            }
            Err(e @ StorageError::Io { .. }) => {
                // A snapshot may be left whose log is cut already.
                self.ghost.members[n].base = run.tree.last_zxid();
                return Err(disk(e));
            }
            Err(e) => return Err(Stop::Violation(format!("node {n} cannot cut back: {e}"))),
        };
        self.truncations += 1;
        let last = recovered.tree.last_zxid();
        self.replace(n, run, recovered.tree)?;
        run.own.push_back(Input::Truncated { last, sessions: recovered.sessions });
        Ok(())
    }

    /// The tree that a leader has sent takes the place of this member's, on disk first.
    fn take_tree(&mut self, n: usize, attempt: u64, zxid: Zxid, bytes: &[u8]) -> Result<(), Stop> {
        let Some(mut run) = self.nodes[n].run.take() else { return Ok(()) };
        let result = self.install(n, &mut run, attempt, zxid, bytes);
        self.nodes[n].run = Some(run);
        match result {
            Ok(()) => self.go_on(n),
            Err(Stop::Disk(e)) => self.died(n, e, true),
            Err(stop) => Err(stop),
        }
    }

    fn install(
        &mut self,
        n: usize,
        run: &mut Running,
        attempt: u64,
        zxid: Zxid,
        bytes: &[u8],
    ) -> Result<(), Stop> {
        let options = tree_options(self.seed ^ n as u64);
        let read = storage::read_tree(bytes, Vec::new(), zxid, options)
            .map_err(|e| Stop::Violation(format!("node {n} cannot read the leader's tree: {e}")))?;
        self.say(|| format!("node {n}: takes the leader's tree of {zxid}"));
        let (mut tree, sessions) = (read.tree, read.sessions);
        self.detach(n, run)?;
        self.ghost.resyncs(n, zxid);
        let base = std::mem::replace(&mut self.ghost.members[n].base, zxid);
        let disk_of = self.nodes[n].arc();
        let storage = self.nodes[n].options.clone();
        if let Err(e) = resync::install_snapshot(&disk_of, &storage, &mut tree, &sessions) {
            // What was there before may be there still.
            self.ghost.members[n].base = base.max(zxid);
            return Err(disk(e));
        }
        self.replace(n, run, tree)?;
        run.own.push_back(Input::TreeLoaded { attempt, zxid, sessions });
        Ok(())
    }

    fn replace(&mut self, n: usize, run: &mut Running, tree: Tree) -> Result<(), Stop> {
        let last = tree.last_zxid();
        run.tree = tree;
        run.log = LogWriter::open(self.nodes[n].arc(), self.nodes[n].options.log(), last);
        run.applied = last;
        self.ghost.resynced(n, last);
        self.ghost.digest(n, last, run.tree.digest())?;
        Ok(())
    }

    /// A learner has reached its leader's port.
    pub(super) fn connected(&mut self, stream: u64) {
        let s = &self.net.streams[&stream];
        let (learner, leader, attempt, link) = (s.learner, s.leader, s.attempt, s.link);
        if let Some(run) = &mut self.nodes[leader.node].run {
            run.links.insert(link, stream);
        }
        if let Some(run) = &mut self.nodes[learner.node].run {
            run.leader = Some((attempt, Some(stream)));
        }
        let (early, late) = (self.now_us + self.delay_us(), self.now_us + self.delay_us());
        self.at(early, Event::LinkUp { process: leader, link });
        self.at(late, Event::LeaderUp { process: learner, attempt });
        // Nothing may get there before the connection itself.
        if let Some(s) = self.net.streams.get_mut(&stream) {
            s.not_before(early, late);
        }
    }

    pub(super) fn feed_leader_down(&mut self, learner: Process, attempt: u64, why: &'static str) {
        self.at(self.now_us, Event::LeaderDown { process: learner, attempt, why });
    }

    /// Something has come over a learner's connection.
    pub(super) fn arrived(&mut self, stream: u64, to: End, item: Item) -> Result<(), Stop> {
        let s = &self.net.streams[&stream];
        let (link, attempt) = (s.link, s.attempt);
        match (to, item) {
            (End::Leader, Item::End(why)) => {
                let n = s.leader.node;
                if let Some(run) = &mut self.nodes[n].run {
                    run.links.remove(&link);
                }
                self.turn(n, Input::LinkDown { link, why: why.into() })
            }
            (End::Learner, Item::End(why)) => {
                let n = s.learner.node;
                self.turn(n, Input::LeaderDown { attempt, why: why.into() })
            }
            (End::Leader, Item::Packets(bytes)) => {
                let process = s.leader;
                for packet in packets(&bytes, Sender::Learner)? {
                    if !self.nodes[process.node].is_life(process.life) {
                        break;
                    }
                    self.turn(process.node, Input::LinkPacket { link, packet })?;
                }
                Ok(())
            }
            (End::Learner, Item::Packets(bytes)) => {
                let process = s.learner;
                for packet in packets(&bytes, Sender::Leader)? {
                    if !self.nodes[process.node].is_life(process.life) {
                        break;
                    }
                    if let Packet::Snap { zxid } = packet
                        && let Some(s) = self.net.streams.get_mut(&stream)
                    {
                        s.snap = Some(zxid);
                    }
                    self.turn(process.node, Input::LeaderPacket { attempt, packet })?;
                }
                Ok(())
            }
            (End::Learner, Item::Tree(bytes)) => {
                let n = s.learner.node;
                let zxid = s.snap.ok_or(Stop::Violation("a tree comes without SNAP".into()))?;
                let current =
                    self.nodes[n].run.as_ref().is_some_and(|r| r.leader == Some((attempt, Some(stream))));
                if current { self.take_tree(n, attempt, zxid, &bytes) } else { Ok(()) }
            }
            (End::Leader, Item::Tree(_)) => Err(Stop::Violation("a learner sends a tree".into())),
        }
    }
}

fn packets(bytes: &[u8], sender: Sender) -> Result<Vec<Packet>, Stop> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match Packet::read(&bytes[at..], sender, quoll_jute::Limits::DEFAULT) {
            Ok(Some((packet, len))) => {
                all.push(packet);
                at += len;
            }
            other => return Err(Stop::Violation(format!("no packet: {other:?}"))),
        }
    }
    Ok(all)
}

fn disk(error: StorageError) -> Stop {
    match error {
        StorageError::Io { .. } | StorageError::Poisoned { .. } => Stop::Disk(error.to_string()),
        other => Stop::Violation(format!("Durability: {other}")),
    }
}
