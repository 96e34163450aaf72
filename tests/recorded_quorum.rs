//! Recorded conversations of real ensembles on the quorum port: every packet is read and written byte for byte, and
//! a leader and a learner of this server, each put in the place of the recorded one, say what that one said.
//!
//! Left out where a leader is compared: PINGs, whose time is nobody's decision, and answers to `sync` and about
//! sessions, which are not the leader's but the pipeline's.
//!
//! Reconfigurations are more than what a leader and a learner say: [`recorded_members`] has whole members for them.

mod recorded_members;

use quoll::types::{Epoch, ServerId, Zxid};
use quoll::zab::{
    EpochKind, History, Leader, LeaderConfig, LeaderInput, LeaderOutput, Learner, LearnerConfig,
    LearnerInput, LearnerOutput, LinkId, Logged, Packet, Quorum, Sender, election::Notification,
    write_proposal,
};
use quoll_jute::Limits;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io::Read;

/// The recordings, and how many packets each has on the quorum port.
const RECORDINGS: &[(&str, usize)] = &[
    ("failover", 139),
    ("late-joiner", 121),
    ("local-session-upgrade", 60),
    ("multi-address", 65),
    ("nodigest", 81),
    ("observer", 172),
    ("reconfig-leader-leaves", 151),
    ("reconfig-leave-join", 163),
    ("startup-and-writes", 282),
    ("sync-diff", 196),
    ("sync-diverged", 120),
    ("sync-snap-behind", 1967),
    ("sync-snap-forced", 246),
    ("sync-trunc", 93),
    ("sync-txnlog", 2721),
];

/// Upstream's default of `commitLogCount`.
const COMMIT_LOG_COUNT: usize = 500;

#[derive(Debug)]
enum Event {
    Open {
        link: LinkId,
        leader: ServerId,
    },
    FromLeader {
        link: LinkId,
        packet: Packet,
    },
    FromLearner {
        link: LinkId,
        packet: Packet,
    },
    Tree {
        link: LinkId,
        bytes: Vec<u8>,
    },
    Closed {
        link: LinkId,
    },
    /// On an election connection.
    Heard {
        from: ServerId,
        to: ServerId,
        notification: Notification,
    },
}

struct Recording {
    name: &'static str,
    options: Value,
    events: Vec<Event>,
    /// The bytes of every packet, with who sent it.
    packets: Vec<(Sender, Vec<u8>)>,
}

fn recording(name: &'static str) -> Recording {
    let path = format!("{}/tests/golden/quorum/{name}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    let mut r = Recording { name, options: Value::Null, events: Vec::new(), packets: Vec::new() };
    let mut leaders = HashMap::new();
    for line in text.lines().map(|l| serde_json::from_str::<Value>(l).expect("JSON")) {
        let link = LinkId(line["conn"].as_u64().unwrap_or_default());
        match line["t"].as_str().expect("a type") {
            "meta" => r.options = line["options"].clone(),
            "open" if line["port"] == "quorum" => {
                let leader = server(&line["acceptor"]);
                leaders.insert(link, leader);
                r.events.push(Event::Open { link, leader });
            }
            "fin" | "rst" if leaders.contains_key(&link) => r.events.push(Event::Closed { link }),
            "msg" if line["port"] == "quorum" => {
                if line["decoded"]["type"] == "snapshot stream" {
                    let bytes = hex(line["hex"].as_str().expect("bytes"));
                    r.events.push(Event::Tree { link, bytes });
                    continue;
                }
                let bytes = hex(line["hex"].as_str().expect("bytes"));
                let sender =
                    if server(&line["from"]) == leaders[&link] { Sender::Leader } else { Sender::Learner };
                let read = Packet::read(&bytes, sender, Limits::DEFAULT).expect("a packet");
                let (packet, len) = read.expect("a whole packet");
                assert_eq!(len, bytes.len(), "{line}");
                r.packets.push((sender, bytes));
                r.events.push(match sender {
                    Sender::Leader => Event::FromLeader { link, packet },
                    Sender::Learner => Event::FromLearner { link, packet },
                });
            }
            "msg" if line["decoded"]["type"] == "notification" => {
                let bytes = hex(line["hex"].as_str().expect("bytes"));
                let notification = Notification::read(&bytes[4..]).expect("a notification");
                r.events.push(Event::Heard {
                    from: server(&line["from"]),
                    to: server(&line["to"]),
                    notification,
                });
            }
            _ => {}
        }
    }
    r
}

fn server(name: &Value) -> ServerId {
    let name = name.as_str().expect("a server");
    ServerId(name.strip_prefix("server.").expect("server.N").parse().expect("a number"))
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

fn read_all(mut bytes: &[u8], sender: Sender) -> Vec<Packet> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let (packet, len) =
            Packet::read(bytes, sender, Limits::DEFAULT).expect("a packet").expect("a whole one");
        packets.push(packet);
        bytes = &bytes[len..];
    }
    packets
}

#[test]
fn every_recorded_packet_is_written_as_it_was_read() {
    for (name, count) in RECORDINGS {
        let r = recording(name);
        for (sender, bytes) in &r.packets {
            let (packet, _) = Packet::read(bytes, *sender, Limits::DEFAULT).unwrap().unwrap();
            assert!(!matches!(packet, Packet::Unknown { .. }), "{name}: {bytes:02x?}");
            assert_eq!(packet.to_bytes(), bytes, "{name}: {packet:?}");
        }
        assert_eq!(r.packets.len(), *count, "{name}: number of packets");
    }
}

/// The log of a member, as far as the recording shows it.
#[derive(Clone, Default)]
struct Disk {
    accepted: Epoch,
    current: Epoch,
    /// Where its log begins.
    base: Zxid,
    log: Vec<Logged>,
}

impl Disk {
    fn last(&self) -> Zxid {
        self.log.last().map_or(self.base, |t| t.zxid)
    }

    /// A packet of its leader reaches it.
    fn take(&mut self, packet: &Packet) {
        match packet {
            Packet::LeaderInfo { zxid, .. } => self.accepted = zxid.epoch(),
            Packet::Snap { zxid } => *self = Self { base: *zxid, log: Vec::new(), ..*self },
            Packet::Trunc { zxid } => self.log.retain(|t| t.zxid <= *zxid),
            Packet::NewLeader { zxid, .. } => self.current = zxid.epoch(),
            Packet::Proposal { zxid, entry } | Packet::Inform { zxid, entry } if *zxid > self.last() => {
                self.log.push(Logged { zxid: *zxid, entry: entry.clone() });
            }
            _ => {}
        }
    }
}

/// A leader in the place of the recorded one.
struct Reign<'r> {
    recording: &'r Recording,
    leader: Leader,
    history: History,
    disk: Disk,
    sent: BTreeMap<LinkId, Vec<Packet>>,
}

impl<'r> Reign<'r> {
    fn new(recording: &'r Recording, me: ServerId, disk: Disk, voters: &[ServerId]) -> Self {
        let option = |name: &str| recording.options[name].as_str().unwrap_or_default().to_string();
        let text = recording.events.iter().find_map(|e| match e {
            Event::FromLeader { packet: Packet::NewLeader { config: Some(text), .. }, .. } => Some(text),
            _ => None,
        });
        let config = LeaderConfig {
            me,
            quorums: vec![Quorum::majority(voters.iter().copied())],
            config_text: String::from_utf8(text.expect("a NEWLEADER").to_vec()).expect("text"),
            config_version: 0,
            begins_config: false,
            tick_ms: 1000,
            init_limit_ms: 10_000,
            sync_limit_ms: 5_000,
            force_snapshot: option("zookeeper.forceSnapshotSync") == "true",
            sync_from_log: option("zookeeper.snapshotSizeFactor") != "-1",
            snapshot_syncs_max: 10,
            diff_syncs_max: 100,
            epoch_wait_max_ms: -1,
        };
        let mut history = History::new(disk.base, COMMIT_LOG_COUNT);
        disk.log.iter().for_each(|t| history.propose(t.clone()));
        history.commit(disk.last());
        history.force(disk.last());
        let leader = Leader::new(config, 0, disk.accepted, disk.current, disk.last());
        Self { recording, leader, history, disk, sent: BTreeMap::new() }
    }

    fn step(&mut self, at: usize, input: LeaderInput) {
        let mut outputs: VecDeque<_> = self.leader.step(0, &self.history, input).into();
        while let Some(output) = outputs.pop_front() {
            match output {
                LeaderOutput::Send { link, bytes } => {
                    self.sent.entry(link).or_default().extend(read_all(&bytes, Sender::Leader));
                }
                LeaderOutput::SendLog { link, after, through } => {
                    let mut bytes = Vec::new();
                    for t in self.disk.log.iter().filter(|t| t.zxid > after && t.zxid <= through) {
                        write_proposal(&mut bytes, t.zxid, &t.entry);
                        Packet::Commit { zxid: t.zxid }.write(&mut bytes);
                    }
                    self.sent.entry(link).or_default().extend(read_all(&bytes, Sender::Leader));
                }
                // How far the files reach, and which txn the tree has, only the recorded leader knows.
                LeaderOutput::ProbeLog { link, peer } => {
                    let at_zxid = match self.recorded_sync(at, link) {
                        Packet::Snap { .. } => None,
                        Packet::Trunc { zxid } => Some(*zxid),
                        _ => Some(peer),
                    };
                    let input = LeaderInput::LogProbed { link, at: at_zxid };
                    outputs.extend(self.leader.step(0, &self.history, input));
                }
                LeaderOutput::BeginSnapshot { link } => {
                    let Packet::Snap { zxid } = *self.recorded_sync(at, link) else {
                        panic!("{}: no SNAP was sent on {link:?}", self.recording.name)
                    };
                    let input = LeaderInput::SnapshotBegun { link, zxid };
                    outputs.extend(self.leader.step(0, &self.history, input));
                }
                LeaderOutput::StoreEpoch { kind: EpochKind::Accepted, epoch } => self.disk.accepted = epoch,
                LeaderOutput::StoreEpoch { kind: EpochKind::Current, epoch } => self.disk.current = epoch,
                LeaderOutput::Close { .. } | LeaderOutput::Resign { .. } => {
                    panic!("{}: {output:?} at {:?}", self.recording.name, self.recording.events[at])
                }
                _ => {}
            }
        }
    }

    /// The packet with which the recorded leader began to bring the learner up to date.
    fn recorded_sync(&self, at: usize, link: LinkId) -> &'r Packet {
        let later = self.recording.events[at..].iter().find_map(|e| match e {
            Event::FromLeader { link: l, packet } if *l == link => {
                matches!(packet, Packet::Diff { .. } | Packet::Trunc { .. } | Packet::Snap { .. })
                    .then_some(packet)
            }
            _ => None,
        });
        later.unwrap_or_else(|| panic!("{}: no sync on {link:?}", self.recording.name))
    }
}

/// What is compared of a leader's words.
fn is_the_leaders_own(packet: &Packet) -> bool {
    !matches!(packet, Packet::Ping { .. } | Packet::Sync | Packet::Revalidated { .. })
}

/// Upstream changes the record of a failed multi while it applies it, so that the same txn looks otherwise when it is
/// sent again: only the header stays.
fn same(recorded: &Packet, said: &Packet) -> bool {
    const MULTI: [u8; 4] = 14i32.to_be_bytes();
    match (recorded, said) {
        (Packet::Proposal { zxid: a, entry: x }, Packet::Proposal { zxid: b, entry: y }) => {
            a == b && (x == y || (x[28..32] == MULTI && x[..32] == y[..32] && x.len() == y.len()))
        }
        _ => recorded == said,
    }
}

/// Replays the recording with leaders of this server, and gives how many packets they were compared by.
fn compare_leaders(r: &Recording) -> usize {
    let servers = [1, 2, 3].map(ServerId);
    let observer = |s: ServerId| r.name == "observer" && s == ServerId(3);
    let voters: Vec<_> = servers.iter().copied().filter(|s| !observer(*s)).collect();
    let mut disks: HashMap<ServerId, Disk> = servers.iter().map(|s| (*s, Disk::default())).collect();
    let mut learners = HashMap::new();
    let mut expected: BTreeMap<LinkId, Vec<Packet>> = BTreeMap::new();
    let mut said: BTreeMap<LinkId, Vec<Packet>> = BTreeMap::new();
    let mut closed = HashSet::new();
    let mut reign: Option<(ServerId, Reign)> = None;
    for (at, event) in r.events.iter().enumerate() {
        if let Event::Heard { .. } = event {
            continue;
        }
        if let Event::Open { leader, .. } = event
            && reign.as_ref().is_none_or(|(l, _)| l != leader)
        {
            if let Some((old, reign)) = reign.take() {
                said.extend(reign.sent);
                disks.insert(old, reign.disk);
            }
            let mut new = Reign::new(r, *leader, disks[leader].clone(), &voters);
            new.step(at, LeaderInput::Tick);
            reign = Some((*leader, new));
        }
        let Some((_, reign)) = &mut reign else { panic!("{}: {event:?} without a leader", r.name) };
        match event {
            Event::Open { link, .. } => reign.step(at, LeaderInput::Connected { link: *link }),
            Event::Closed { link } => {
                closed.insert(*link);
                reign.step(at, LeaderInput::Gone { link: *link });
            }
            Event::Heard { .. }
            | Event::Tree { .. }
            | Event::FromLearner { packet: Packet::Pong { .. }, .. } => {}
            Event::FromLearner { link, packet } => {
                if let Packet::LearnerInfo { info: Some(info), .. } = packet {
                    learners.insert(*link, info.server);
                }
                let input = LeaderInput::Packet { link: *link, packet: packet.clone() };
                reign.step(at, input);
            }
            Event::FromLeader { link, packet } => {
                // The recorded leader may have learned of a killed learner later.
                let arrives = !closed.contains(link);
                if arrives {
                    disks.entry(learners[link]).or_default().take(packet);
                }
                match packet {
                    Packet::Proposal { zxid, entry } if *zxid > reign.history.last() => {
                        assert!(reign.leader.is_established(), "{}: {zxid} came too early", r.name);
                        let txn = Logged { zxid: *zxid, entry: entry.clone() };
                        reign.disk.log.push(txn.clone());
                        reign.history.propose(txn);
                        // It is on stable storage at once.
                        reign.history.force(*zxid);
                        reign.step(at, LeaderInput::Proposed);
                    }
                    Packet::Commit { zxid } | Packet::Inform { zxid, .. }
                        if *zxid > reign.history.last_committed() =>
                    {
                        reign.history.commit(*zxid);
                        reign.step(at, LeaderInput::Committed(*zxid));
                    }
                    _ => {}
                }
                let packet = match packet {
                    // Upstream's tree counts the beginning of the epoch as its last txn; here nothing has happened
                    // yet, and there is nothing to send.
                    Packet::Snap { zxid } if zxid.counter() == 0 && reign.history.last() == Zxid::ZERO => {
                        let forced = r.name == "sync-snap-forced";
                        if forced { packet.clone() } else { Packet::Diff { zxid: Zxid::ZERO } }
                    }
                    packet => packet.clone(),
                };
                if is_the_leaders_own(&packet) && arrives {
                    expected.entry(*link).or_default().push(packet);
                }
            }
        }
    }
    said.extend(reign.expect("a leader").1.sent);
    let mut compared = 0;
    for (link, expected) in &expected {
        let said = &said[link];
        for (i, packet) in expected.iter().enumerate() {
            let Some(own) = said.get(i) else { panic!("{}: {link:?} {i}: not said: {packet:?}", r.name) };
            assert!(same(packet, own), "{}: {link:?} {i}: recorded {packet:?}, said {own:?}", r.name);
            compared += 1;
        }
        // A connection that was cut while something was on its way.
        assert!(said.len() - expected.len() <= 3, "{}: {link:?}: {:?}", r.name, &said[expected.len()..]);
    }
    compared
}

#[test]
fn a_leader_says_what_the_recorded_one_said() {
    let mut compared = 0;
    for (name, _) in RECORDINGS.iter().filter(|(name, _)| !name.starts_with("reconfig")) {
        compared += compare_leaders(&recording(name));
    }
    assert_eq!(compared, 4082);
}

/// A learner in the place of a recorded one.
struct Place {
    learner: Learner,
    said: Vec<Packet>,
    /// What its log and tree got.
    appended: Vec<Zxid>,
    committed: Vec<Zxid>,
}

impl Place {
    fn step(&mut self, at: &str, input: LearnerInput) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut durable = None;
            for output in self.learner.step(0, input) {
                match output {
                    LearnerOutput::Send { bytes } => self.said.extend(read_all(&bytes, Sender::Learner)),
                    LearnerOutput::Truncate { zxid } => {
                        inputs.push_back(LearnerInput::Truncated { last: zxid });
                    }
                    LearnerOutput::SaveSnapshot => inputs.push_back(LearnerInput::SnapshotSaved),
                    LearnerOutput::Append { zxid, .. } => {
                        self.appended.push(zxid);
                        durable = Some(zxid);
                    }
                    LearnerOutput::Commit { zxid } => self.committed.push(zxid),
                    LearnerOutput::Lost { why: what } | LearnerOutput::Diverged { what } => {
                        panic!("{at}: {what}");
                    }
                    _ => {}
                }
            }
            inputs.extend(durable.map(LearnerInput::Durable));
        }
    }
}

#[test]
fn a_learner_says_what_the_recorded_one_said() {
    let (mut acks_compared, mut pongs_compared) = (0, 0);
    for (name, _) in RECORDINGS {
        let r = recording(name);
        let links: Vec<LinkId> = r
            .events
            .iter()
            .filter_map(|e| match e {
                Event::Open { link, .. } => Some(*link),
                _ => None,
            })
            .collect();
        for link in links {
            let at = format!("{name}: {link:?}");
            let theirs: Vec<&Packet> = r
                .events
                .iter()
                .filter_map(|e| match e {
                    Event::FromLearner { link: l, packet } if *l == link => Some(packet),
                    _ => None,
                })
                .collect();
            let Packet::LearnerInfo { observer, zxid, info: Some(info) } = theirs[0] else {
                panic!("{at}: {:?}", theirs[0])
            };
            let Packet::AckEpoch { zxid: last, current_epoch } = theirs[1] else {
                panic!("{at}: {:?}", theirs[1])
            };
            let accepted = zxid.epoch();
            let current = u32::try_from(*current_epoch).map_or(accepted, Epoch);
            let config = LearnerConfig {
                me: info.server,
                observer: *observer,
                logs: true,
                config_version: info.config_version,
                init_limit_ms: 10_000,
                sync_limit_ms: 5_000,
            };
            let learner = Learner::new(config, 0, accepted, current, *last);
            let mut place = Place { learner, said: vec![], appended: vec![], committed: vec![] };
            place.step(&at, LearnerInput::Connected);
            let mut snapshot = Zxid::ZERO;
            for event in &r.events {
                match event {
                    Event::FromLeader { link: l, packet } if *l == link => {
                        if let Packet::Snap { zxid } = packet {
                            snapshot = *zxid;
                        }
                        place.step(&at, LearnerInput::Packet(packet.clone()));
                    }
                    Event::Tree { link: l, .. } if *l == link => {
                        place.step(&at, LearnerInput::SnapshotLoaded { zxid: snapshot });
                    }
                    _ => {}
                }
            }
            assert_eq!(place.said[..2], [theirs[0].clone(), theirs[1].clone()], "{at}");
            // Acknowledgements and answers to PINGs: each in order, and whatever the recorded learner had no time for
            // any more comes on top.
            let acks = |p: &&Packet| matches!(p, Packet::Ack { .. });
            let (own, their): (Vec<_>, Vec<_>) =
                (place.said.iter().filter(acks).collect(), theirs.iter().copied().filter(acks).collect());
            assert_eq!(own[..their.len()], their, "{at}");
            assert!(own.len() - their.len() <= 3, "{at}: {own:?} {their:?}");
            acks_compared += their.len();
            let pongs = |p: &&Packet| matches!(p, Packet::Pong { .. });
            let zxids = |p: &Packet| match p {
                Packet::Pong { zxid, .. } => *zxid,
                _ => Zxid::ZERO,
            };
            let own: Vec<_> = place.said.iter().filter(pongs).map(zxids).collect();
            let their: Vec<_> = theirs.iter().copied().filter(pongs).map(zxids).collect();
            assert_eq!(own[..their.len()], their, "{at}");
            pongs_compared += their.len();
            assert!(place.appended.is_sorted() && place.committed.is_sorted(), "{at}");
        }
    }
    assert_eq!((acks_compared, pongs_compared), (1559, 304));
}
