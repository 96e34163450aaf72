//! Random walks: long seeded sequences of requests by two sessions, valid and invalid, with a killed server on
//! the way; every answer and notification and at last the whole tree are the same on both servers, zxids
//! included. The same at two followers of ensembles of each kind.
//!
//! A walk that differs says its seed and the command that repeats it. More walks than the usual few:
//! `WALKS=100 cargo test -p compat-tests --test random_walk`.

mod answers;
mod place;
mod requests;

use std::fmt::Write;

use compat_tests::arm::Arm::{self, Java, Quoll};
use compat_tests::diff::readable_difference;
use compat_tests::ensemble::{Ensemble, turn};
use compat_tests::raw::{Client, Dec, Enc, Event};
use compat_tests::{Transcript, compare_with};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use answers::Sessions;
use place::Place;

/// Steps of one walk.
const STEPS: usize = 1500;
/// Steps of one walk in an ensemble.
const ENSEMBLE_STEPS: usize = 600;
/// Walks of a run without `WALKS`.
const WALKS: u64 = 3;
/// Session timeout; long, so that no session expires on the way.
const TIMEOUT_MS: i32 = 40_000;
/// Of the first walk; further ones count up.
const FIRST_SEED: u64 = 1;

#[test]
fn random_requests_are_answered_alike_without_quotas_enforced() {
    walks("walk", false);
}

#[test]
fn random_requests_are_answered_alike_with_quotas_enforced() {
    walks("walk-quotas", true);
}

/// The reference first; the last member leads.
const KINDS: [[Arm; 3]; 4] = [[Java; 3], [Quoll; 3], [Java, Quoll, Java], [Quoll, Java, Quoll]];

#[test]
fn random_requests_to_followers_are_answered_alike() {
    for seed in seeds("random_requests_to_followers_are_answered_alike", 1) {
        let _turn = turn();
        let transcripts = KINDS.map(|kinds| {
            let mut ensemble = Ensemble::of(&kinds)
                .property("zookeeper.extendedTypesEnabled", true)
                .property("znode.container.checkIntervalMs", 3_600_000)
                .start();
            let mut notes = Walk::new(&mut ensemble, seed, ENSEMBLE_STEPS, false).run();
            for member in ensemble.members() {
                for port in [member.client_port, member.peer_ports.quorum, member.peer_ports.election] {
                    notes = notes.replace(&port.to_string(), "PORT");
                }
            }
            notes
        });
        for (kinds, transcript) in KINDS.iter().zip(&transcripts).skip(1) {
            if let Some(difference) = readable_difference(&transcripts[0], transcript) {
                panic!("followers of {kinds:?} (+) answer otherwise than those of Java (-):\n{difference}");
            }
        }
    }
}

/// The seeds of a run, each said before its turn.
fn seeds(test: &str, default_count: u64) -> impl Iterator<Item = u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let (first, count) = match number("WALK_SEED") {
        Some(seed) => (seed, 1),
        None => (FIRST_SEED, number("WALKS").unwrap_or(default_count)),
    };
    // Shown when the test fails.
    let say = move |seed: &u64| {
        println!("seed {seed}; again: WALK_SEED={seed} cargo test -p compat-tests --test random_walk {test}");
    };
    (first..first + count).inspect(say)
}

fn walks(name: &str, enforce_quotas: bool) {
    for seed in seeds(test_name(enforce_quotas), WALKS) {
        compare_with(
            name,
            |server| {
                server
                    .key("enforceQuota", enforce_quotas)
                    .property("zookeeper.extendedTypesEnabled", true)
                    // The reaper works by the clock; it stays out of this.
                    .property("znode.container.checkIntervalMs", 3_600_000)
            },
            |server| Walk::new(server, seed, STEPS, enforce_quotas).run(),
        );
    }
}

fn test_name(enforce_quotas: bool) -> &'static str {
    if enforce_quotas {
        "random_requests_are_answered_alike_with_quotas_enforced"
    } else {
        "random_requests_are_answered_alike_without_quotas_enforced"
    }
}

struct Walk<'a> {
    place: &'a mut dyn Place,
    steps: usize,
    random: StdRng,
    clients: [Client; 2],
    sessions: Sessions,
    /// About the newest zxid; the same on both servers as long as they agree.
    last_zxid: i64,
    enforce_quotas: bool,
    notes: String,
}

impl<'a> Walk<'a> {
    fn new(place: &'a mut dyn Place, seed: u64, steps: usize, enforce_quotas: bool) -> Walk<'a> {
        let clients = [0, 1].map(|who| connect(place, who));
        let mut sessions = Sessions::default();
        clients.iter().for_each(|client| _ = sessions.made(client.session_id));
        let random = StdRng::seed_from_u64(seed);
        let (last_zxid, notes) = (place.first_zxid() + 1, String::new());
        Walk { place, steps, random, clients, sessions, last_zxid, enforce_quotas, notes }
    }

    fn run(mut self) -> Transcript {
        for request in requests::quota() {
            let xid = self.clients[0].send(request.opcode, &request.body).expect("the server takes requests");
            self.answer(0, 0, &request, xid);
        }
        for step in 0..self.steps {
            let who = usize::from(self.random.random_ratio(1, 3));
            self.place.catch_up(&mut self.clients[who]);
            match self.random.random_range(0..STEPS) {
                0..2 => self.restart(),
                2..9 => self.close(who),
                // A quota is asked when a request comes in, about what has been applied by then.
                9..100 if !self.enforce_quotas => self.burst(step, who),
                _ => self.single(step, who),
            }
        }
        self.place.catch_up(&mut self.clients[1]);
        self.tree("/");
        self.notes
    }

    fn note(&mut self, text: std::fmt::Arguments<'_>) {
        self.notes.write_fmt(text).expect("a string can be written to");
        self.notes.push('\n');
    }

    fn any(&mut self) -> requests::Request {
        loop {
            let request = requests::any(&mut self.random, self.last_zxid);
            if !(self.place.is_ensemble() && request.is_noise_to_write()) {
                return request;
            }
        }
    }

    /// One request and its answer.
    fn single(&mut self, step: usize, who: usize) {
        let request = self.any();
        let xid = self.clients[who].send(request.opcode, &request.body).expect("the server takes requests");
        self.answer(step, who, &request, xid);
        self.notifications();
    }

    /// Many requests at once, then their answers.
    fn burst(&mut self, step: usize, who: usize) {
        let burst: Vec<_> = (0..self.random.random_range(2..20))
            .map(|_| self.any())
            // Authentication overtakes the requests that are under way, on both servers. A new ACL counts on
            // upstream only when it has been applied, so what is sent at once behind it may go either way.
            .filter(|request| !matches!(request.opcode, 7 | 100))
            .collect();
        let client = &mut self.clients[who];
        let send = |request: &requests::Request| client.send(request.opcode, &request.body);
        let xids: Vec<i32> =
            burst.iter().map(send).collect::<Result<_, _>>().expect("the server takes requests");
        for (request, xid) in burst.iter().zip(xids) {
            self.answer(step, who, request, xid);
        }
        self.notifications();
    }

    fn answer(&mut self, step: usize, who: usize, request: &requests::Request, xid: i32) {
        let reply = self.clients[who].recv().expect("the server answers");
        assert_eq!(reply.xid, xid, "answers come in the order of requests");
        self.last_zxid = self.last_zxid.max(reply.zxid);
        // Those that came before the answer belong before it.
        self.told(who);
        let text = answers::text(request.opcode, &reply, &self.sessions).expect("an answer is whole");
        self.note(format_args!("{step} {who} {}\n    {text}", request.text));
    }

    fn told(&mut self, who: usize) {
        let events = std::mem::take(&mut self.clients[who].events);
        self.note_events(who, events.into());
    }

    /// Notes events of a session's end. Its ephemerals go in the order of a hash table on upstream, so the
    /// events are sorted.
    fn told_of_end(&mut self, who: usize) {
        let mut events: Vec<Event> = std::mem::take(&mut self.clients[who].events).into();
        events.sort_by(|left, right| {
            (left.zxid, &left.path, left.kind).cmp(&(right.zxid, &right.path, right.kind))
        });
        self.note_events(who, events);
    }

    fn note_events(&mut self, who: usize, events: Vec<Event>) {
        for event in events {
            self.note(format_args!("  {who} told {}", answers::notification(&event)));
        }
    }

    /// Every notification that is on its way.
    fn notifications(&mut self) {
        for who in 0..2 {
            self.place.fetch_events(&mut self.clients[who]);
            self.told(who);
        }
    }

    /// The session ends, and another begins.
    fn close(&mut self, who: usize) {
        let reply = self.clients[who].call(-11, &[]).expect("the server answers");
        self.told_of_end(who);
        let text = answers::text(-11, &reply, &self.sessions).expect("an answer is whole");
        self.note(format_args!("{who} closes: {text}"));
        self.place.fetch_events(&mut self.clients[1 - who]);
        self.told_of_end(1 - who);
        self.clients[who] = connect(self.place, who);
        let number = self.sessions.made(self.clients[who].session_id);
        self.note(format_args!("{who} is session {number}"));
    }

    /// The server is killed; both sessions are taken up again, without their watches and credentials.
    fn restart(&mut self) {
        self.place.restart();
        self.note(format_args!("restart"));
        for who in 0..2 {
            let old = &self.clients[who];
            let again = Client::attach(self.place.address(who), TIMEOUT_MS, old.session_id, &old.passwd, 0)
                .expect("the server answers");
            assert_eq!(again.session_id, old.session_id, "a session outlives the server");
            self.clients[who] = again;
        }
    }

    /// All there is below a path, as the second session sees it.
    fn tree(&mut self, path: &str) {
        let mut names = Vec::new();
        for (opcode, watch) in [(4, true), (6, false), (12, true)] {
            let mut body = Enc::new().str(path);
            if watch {
                body = body.bool(false);
            }
            let reply = self.clients[1].call(opcode, &body.0).expect("the server answers");
            let text = answers::text(opcode, &reply, &self.sessions).expect("an answer is whole");
            self.note(format_args!("{path:?} {text}"));
            if opcode == 12 && reply.err == 0 {
                names = Dec(&reply.body).strings().expect("names are whole");
            }
        }
        names.sort();
        for name in names {
            self.tree(&format!("{}/{name}", path.trim_end_matches('/')));
        }
    }
}

fn connect(place: &dyn Place, who: usize) -> Client {
    Client::connect(place.address(who), TIMEOUT_MS).expect("the server can be connected to")
}
