//! A leader that the test plays: what a follower does when its leader makes no sense.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use compat_tests::arm::compare_arms;
use compat_tests::ensemble::proxy::Id;
use compat_tests::ensemble::{Ensemble, turn};
use compat_tests::raw::Enc;

const PATIENCE: Duration = Duration::from_secs(60);

/// How long the played member waits before it says its vote again.
const TELLING: Duration = Duration::from_secs(1);

/// Who is played. Its number is the highest, so it calls the others, and wins where nobody knows anything.
const LEADER: Id = 3;

// Numbers of quorum packets.
const PROPOSAL: i32 = 2;
const ACK: i32 = 3;
const COMMIT: i32 = 4;
const NEWLEADER: i32 = 10;
const FOLLOWERINFO: i32 = 11;
const UPTODATE: i32 = 12;
const DIFF: i32 = 13;
const LEADERINFO: i32 = 17;
const ACKEPOCH: i32 = 18;

const EPOCH: i64 = 1 << 32;

/// The connection of a follower that serves.
struct Played {
    follower: TcpStream,
}

impl Played {
    /// Is elected by the follower, and brings it in step with an empty history.
    fn lead(e: &mut Ensemble, follower: Id) -> Played {
        let (mine, theirs) = (e.member(LEADER).peer_ports, e.member(follower).peer_ports);
        let port = TcpListener::bind(("127.0.0.1", mine.quorum)).unwrap();
        e.start(follower);
        let mut votes = None;
        e.wait_until("it listens for votes", |_| {
            votes = TcpStream::connect(("127.0.0.1", theirs.election)).ok();
            votes.is_some()
        });
        let mut votes = votes.unwrap();
        let me = format!("127.0.0.1:{}", mine.election);
        votes.write_all(&Enc::new().long(-65536).long(LEADER as i64).str(&me).0).unwrap();
        // Looking, in the first round, for itself, with nothing. Said again from time to time until it is followed, as any
        // member would, but not so often that a Java server waits for what else comes.
        let vote = Enc::new().int(0).long(LEADER as i64).long(0).long(1).long(0).int(1).0;
        port.set_nonblocking(true).unwrap();
        let (mut called, mut told) = (None, None::<Instant>);
        e.wait_until("it follows", |_| {
            if told.is_none_or(|at| at.elapsed() > TELLING) {
                votes.write_all(&Enc::new().buf(Some(&vote)).0).unwrap();
                told = Some(Instant::now());
            }
            called = port.accept().ok();
            called.is_some()
        });
        let (follower, _) = called.unwrap();
        follower.set_nonblocking(false).unwrap();
        follower.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut it = Played { follower };
        assert_eq!(it.hear().0, FOLLOWERINFO);
        it.say(LEADERINFO, EPOCH, Some(&0x10000_i32.to_be_bytes()));
        assert_eq!(it.hear().0, ACKEPOCH);
        it.say(DIFF, 0, None);
        it.say(NEWLEADER, EPOCH, None);
        assert_eq!(it.hear(), (ACK, EPOCH));
        it.say(UPTODATE, -1, None);
        // That it serves is acknowledged by its own last zxid or by the leader's: both kinds are seen.
        assert_eq!(it.hear().0, ACK);
        it
    }

    fn say(&mut self, kind: i32, zxid: i64, data: Option<&[u8]>) {
        let packet = Enc::new().int(kind).long(zxid).buf(data).int(-1).0;
        self.follower.write_all(&packet).unwrap();
    }

    /// A session begins, by this txn.
    fn propose(&mut self, zxid: i64) {
        let (session, timeout_ms, create_session) = (0x0300_0000_0000_0001, 5000, -10);
        let txn = Enc::new().long(session).int(0).long(zxid).long(1_700_000_000_000).int(create_session);
        self.say(PROPOSAL, zxid, Some(&txn.int(timeout_ms).0));
    }

    /// Kind and zxid of the next packet.
    fn hear(&mut self) -> (i32, i64) {
        let mut int = || {
            let mut bytes = [0; 4];
            self.follower.read_exact(&mut bytes).unwrap();
            i32::from_be_bytes(bytes)
        };
        let (kind, high, low, length) = (int(), int(), int(), int());
        let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
        self.follower.read_exact(&mut data).unwrap();
        let mut ids = [0; 4];
        self.follower.read_exact(&mut ids).unwrap();
        assert!(i32::from_be_bytes(ids) <= 0, "nobody is named");
        (kind, i64::from(high) << 32 | i64::from(low as u32))
    }
}

/// A history other than its leader's must never be served.
#[test]
fn a_follower_that_is_told_to_commit_something_else_than_was_proposed_ends_with_12() {
    let _turn = turn();
    compare_arms("members-unmatched-commit", |arm| {
        let mut e = Ensemble::of(&[arm; 3]).build();
        let mut leader = Played::lead(&mut e, 1);
        leader.propose(EPOCH + 1);
        assert_eq!(leader.hear(), (ACK, EPOCH + 1));
        leader.say(COMMIT, EPOCH + 2, None);
        let ended = e.wait_for_end(1);
        assert_eq!(ended.code(), Some(12));
        format!("{ended}\n")
    });
}

/// What was never proposed cannot be committed, and harms nobody.
#[test]
fn a_follower_passes_over_a_commit_of_nothing() {
    let _turn = turn();
    compare_arms("members-commit-of-nothing", |arm| {
        let mut e = Ensemble::of(&[arm; 3]).build();
        let mut leader = Played::lead(&mut e, 1);
        leader.say(COMMIT, EPOCH + 1, None);
        leader.propose(EPOCH + 1);
        assert_eq!(leader.hear(), (ACK, EPOCH + 1));
        leader.say(COMMIT, EPOCH + 1, None);
        let committed =
            |e: &Ensemble| e.member(1).word("srvr").is_ok_and(|srvr| srvr.contains("Zxid: 0x100000001\n"));
        e.wait_until("it has committed", committed);
        "it goes on\n".to_owned()
    });
}
