//! A follower and what observers see of it.

use super::*;
use crate::{
    types::SessionId,
    zab::{LearnerInfo, Request, Sender},
};
use quoll_jute::Limits;

const LINK: LinkId = LinkId(1);

fn z(counter: i64) -> Zxid {
    Zxid(2 << 32 | counter)
}

fn txn(zxid: Zxid) -> Logged {
    let mut entry = vec![0; 64];
    entry[12..20].copy_from_slice(&zxid.0.to_be_bytes());
    Logged { zxid, entry: entry.into() }
}

struct World {
    master: ObserverMaster,
    history: History,
    now_ms: i64,
}

impl World {
    /// With txns 2:1 to 2:5, of which the history keeps three.
    fn new(with: impl FnOnce(&mut ObserverMasterConfig)) -> Self {
        let mut history = History::new(Zxid(1 << 32 | 9), 3);
        history.force(Zxid(i64::MAX));
        (1..=5).for_each(|n| history.propose(txn(z(n))));
        history.commit(z(5));
        let mut config = ObserverMasterConfig {
            me: ServerId(1),
            epoch: Epoch(2),
            config_text: "version=7".to_owned(),
            config_version: 7,
            tick_ms: 1000,
            init_limit_ms: 10_000,
            sync_limit_ms: 5000,
            kept_bytes_max: 64 * 10,
            force_snapshot: false,
            sync_from_log: false,
        };
        with(&mut config);
        Self { master: ObserverMaster::new(config, 0, &history), history, now_ms: 0 }
    }

    fn step(&mut self, input: LeaderInput) -> Vec<String> {
        let outputs = self.master.step(self.now_ms, &self.history, input);
        outputs.into_iter().flat_map(describe).collect()
    }

    fn say(&mut self, link: LinkId, packet: Packet) -> Vec<String> {
        self.step(LeaderInput::Packet { link, packet })
    }

    fn commit(&mut self, counter: i64) -> Vec<String> {
        self.history.propose(txn(z(counter)));
        assert_eq!(self.step(LeaderInput::Proposed), [""; 0], "nothing before it is committed");
        self.history.commit(z(counter));
        self.step(LeaderInput::Committed(z(counter)))
    }

    /// An observer comes with this as its last txn; answers what it is sent up to its turn.
    fn join(&mut self, link: LinkId, server: i64, last: Zxid) -> Vec<String> {
        self.step(LeaderInput::Connected { link });
        let info = LearnerInfo { server: ServerId(server), protocol: PROTOCOL_VERSION, config_version: 7 };
        let said = self.say(link, Packet::LearnerInfo { observer: true, zxid: Zxid::ZERO, info: Some(info) });
        assert_eq!(said, ["LEADERINFO"]);
        self.say(link, Packet::AckEpoch { zxid: last, current_epoch: 1 })
    }
}

fn describe(output: LeaderOutput) -> Vec<String> {
    let LeaderOutput::Send { bytes, .. } = output else { return vec![format!("{output:?}")] };
    let (mut rest, mut all) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let (packet, len) =
            Packet::read(rest, Sender::Leader, Limits::DEFAULT).unwrap().expect("whole packets");
        all.push(match &packet {
            Packet::Diff { zxid } | Packet::Snap { zxid } | Packet::Trunc { zxid } => {
                format!("{} {}", packet.name(), zxid.counter())
            }
            Packet::Proposal { zxid, .. } | Packet::Commit { zxid } | Packet::Inform { zxid, .. } => {
                format!("{} {}", packet.name(), zxid.counter())
            }
            _ => packet.name().to_owned(),
        });
        rest = &rest[len..];
    }
    all
}

#[test]
fn an_observer_is_brought_up_to_date_and_informed_of_what_is_committed() {
    let mut w = World::new(|_| {});
    let said = w.join(LINK, 9, z(4));
    assert_eq!(said, ["DIFF 5", "PROPOSAL 5", "COMMIT 5", "NEWLEADER"]);
    assert_eq!(w.commit(6), ["INFORM 6"], "it has joined");
    assert_eq!(
        w.say(LINK, Packet::Ack { zxid: epoch_start(Epoch(2)) }),
        ["UPTODATE"],
        "nobody waits for a quorum"
    );
    assert_eq!(w.say(LINK, Packet::Ack { zxid: epoch_start(Epoch(2)) }), [""; 0]);
    assert_eq!(w.commit(7), ["INFORM 7"]);
    assert_eq!(w.master.observers().collect::<Vec<_>>(), [ServerId(9)]);
    // More at once than the history keeps.
    (8..=20).for_each(|n| w.history.propose(txn(z(n))));
    w.step(LeaderInput::Proposed);
    w.history.commit(z(20));
    let informed: Vec<_> = (8..=20).map(|n| format!("INFORM {n}")).collect();
    assert_eq!(w.step(LeaderInput::Committed(z(20))), informed);
}

#[test]
fn one_that_is_far_behind_gets_the_tree_and_what_was_committed_meanwhile() {
    let mut w = World::new(|_| {});
    assert_eq!(w.join(LINK, 9, Zxid(1 << 32 | 3)), [format!("BeginSnapshot {{ link: {LINK:?} }}")]);
    // Behind the tree lie more txns than the history keeps, but not more than are kept here.
    (6..=12).for_each(|n| assert_eq!(w.commit(n), [""; 0]));
    let said = w.step(LeaderInput::SnapshotBegun { link: LINK, zxid: z(6) });
    let mut expected = vec!["SNAP 6".to_owned()];
    (7..=12).for_each(|n| expected.extend([format!("PROPOSAL {n}"), format!("COMMIT {n}")]));
    expected.push("NEWLEADER".to_owned());
    assert_eq!(said, expected);
    let mut w = World::new(|c| c.kept_bytes_max = 64 * 2);
    w.join(LINK, 9, Zxid(1 << 32 | 3));
    (6..=12).for_each(|n| _ = w.commit(n));
    let said = w.step(LeaderInput::SnapshotBegun { link: LINK, zxid: z(6) });
    assert!(said.len() == 1 && said[0].contains("no longer kept"), "{said:?}");
    assert_eq!(w.master.links().count(), 0);
}

#[test]
fn what_an_observer_asks_goes_up_and_what_it_must_not_say_ends_it() {
    let serving = |w: &mut World, link| {
        w.join(link, 9, z(5));
        w.say(link, Packet::Ack { zxid: epoch_start(Epoch(2)) });
    };
    let mut w = World::new(|_| {});
    serving(&mut w, LINK);
    let request = Request { session: SessionId(7), cxid: 1, op: 1, body: Bytes::new(), ids: vec![] };
    for (packet, up) in [
        (Packet::Request(request), "Request"),
        (Packet::Revalidate { session: SessionId(7), timeout_ms: 5000 }, "Revalidate"),
        (Packet::Pong { zxid: z(0), touched: vec![(SessionId(7), 5000)] }, "Touched"),
    ] {
        let said = w.say(LINK, packet);
        assert!(said.len() == 1 && said[0].starts_with(up), "{said:?}");
    }
    for bad in [Packet::Ack { zxid: z(5) }, Packet::Sync] {
        let mut w = World::new(|_| {});
        serving(&mut w, LINK);
        let said = w.say(LINK, bad);
        assert!(said[0].starts_with("Close"), "{said:?}");
    }
    let mut w = World::new(|_| {});
    w.step(LeaderInput::Connected { link: LINK });
    let info = LearnerInfo { server: ServerId(9), protocol: PROTOCOL_VERSION, config_version: 7 };
    let said = w.say(LINK, Packet::LearnerInfo { observer: false, zxid: z(0), info: Some(info) });
    assert!(said[0].contains("only observers"), "{said:?}");
    w.step(LeaderInput::Connected { link: LINK });
    let info = LearnerInfo { server: ServerId(9), protocol: PROTOCOL_VERSION, config_version: 8 };
    let said = w.say(LINK, Packet::LearnerInfo { observer: true, zxid: z(0), info: Some(info) });
    assert!(said[0].contains("configuration 8"), "{said:?}");
}

#[test]
fn observers_are_pinged_and_given_up_when_they_are_silent() {
    let mut w = World::new(|_| {});
    assert_eq!(w.master.next_deadline_ms(), None);
    w.step(LeaderInput::Connected { link: LinkId(2) });
    w.join(LINK, 9, z(5));
    w.say(LINK, Packet::Ack { zxid: epoch_start(Epoch(2)) });
    w.now_ms = w.master.next_deadline_ms().expect("a PING is due");
    assert_eq!((w.now_ms, w.step(LeaderInput::Tick)), (500, vec!["PING".to_owned()]));
    let mut closed = Vec::new();
    while w.now_ms < 10_000 {
        w.now_ms = w.master.next_deadline_ms().expect("somebody is there");
        closed.extend(
            w.step(LeaderInput::Tick).into_iter().filter(|o| o.starts_with("Close")).map(|_| w.now_ms),
        );
    }
    assert_eq!(closed, [5000, 10_000]);
    // The same server again takes the place of its old connection.
    w.join(LINK, 9, z(5));
    w.step(LeaderInput::Connected { link: LinkId(3) });
    let info = LearnerInfo { server: ServerId(9), protocol: PROTOCOL_VERSION, config_version: 7 };
    let said = w.say(LinkId(3), Packet::LearnerInfo { observer: true, zxid: z(0), info: Some(info) });
    assert!(said[0].contains("connected anew") && said[1] == "LEADERINFO", "{said:?}");
}
