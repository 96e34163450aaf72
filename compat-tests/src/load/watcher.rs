//! A ticker that changes nodes all the time, and watchers of these nodes at whatever server.
//!
//! A watcher knows what it saw when it set its watch. A reply that shows something newer before the
//! notification has come is a missed watch; a value older than one seen before is a read that went back; after
//! `sync`, a value older than one that was acknowledged before is a stale read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::load::Shared;
use crate::load::session::{Back, Session, TIMEOUT_MS, Trouble, violation};
use crate::raw::{Acl, Dec, Enc, code, create_body, flag, op};

/// How many counters the ticker keeps.
pub(super) const COUNTERS: usize = 3;

pub(super) fn counter(root: &str, k: usize) -> String {
    format!("{root}/w/k{k}")
}

/// The ticker. Its counters only grow.
pub(super) struct Ticker {
    session: Session,
    rng: StdRng,
    next: u64,
}

impl Ticker {
    pub(super) fn new(shared: &Shared) -> Result<Ticker, String> {
        let mut rng = StdRng::seed_from_u64(shared.seed.wrapping_add(3000));
        let name = format!("{}/w ticker", shared.root);
        let mut session = Session::open(&name, &shared.servers, TIMEOUT_MS, &mut rng)?;
        for k in 0..COUNTERS {
            shared.make_node(&mut session, &mut rng, &counter(&shared.root, k))?;
        }
        Ok(Ticker { session, rng, next: 0 })
    }

    pub(super) fn run(mut self, shared: &Shared) -> Result<Session, String> {
        while !shared.stop.load(Ordering::SeqCst) {
            match self.tick(shared) {
                Ok(()) => std::thread::sleep(Duration::from_millis(self.rng.random_range(2..15))),
                Err(Trouble::Violation(what)) => return Err(what),
                Err(Trouble::Connection(_)) => {
                    self.session.come_back(&mut self.rng, |_, _| Ok(()))?;
                }
            }
        }
        shared.moves.fetch_add(self.session.moves, Ordering::Relaxed);
        Ok(self.session)
    }

    fn tick(&mut self, shared: &Shared) -> Result<(), Trouble> {
        self.next += 1;
        let k = self.rng.random_range(0..COUNTERS);
        let body =
            Enc::new().str(&counter(&shared.root, k)).buf(Some(self.next.to_string().as_bytes())).int(-1);
        let reply = self.session.call(op::SET_DATA, &body.0)?;
        if reply.err != 0 {
            return violation(format!("{}: setData answers {}", self.session.name, reply.err));
        }
        shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        shared.counters[k].store(self.next, Ordering::SeqCst);

        // A child that comes and goes, for child watches and for watches of what is not there.
        let path = format!("{}/w/child", shared.root);
        let (opcode, body) = create_body(&path, Some(b""), &Acl::open(), flag::PERSISTENT, 0);
        let made = self.session.call(opcode, &body.0)?;
        match made.err {
            0 => Ok(()),
            code::NODE_EXISTS => {
                let gone = self.session.call(op::DELETE, &Enc::new().str(&path).int(-1).0)?;
                // Not there: an unanswered delete from before came through after all.
                if gone.err == 0 || gone.err == code::NO_NODE {
                    Ok(())
                } else {
                    violation(format!("{}: delete answers {}", self.session.name, gone.err))
                }
            }
            other => violation(format!("{}: create answers {other}", self.session.name)),
        }
    }
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Data(usize),
    Children,
    Existence,
}

/// What was seen of it: the zxid that tells two states apart, if there is any node, and the counter's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    zxid: Option<i64>,
    value: u64,
}

/// A client with one watch at a time on each of the nodes.
pub(super) struct Watcher {
    session: Session,
    rng: StdRng,
    /// What was seen when the watch was set; `None` without a watch.
    watched: Vec<(What, Option<Seen>)>,
    /// The highest value seen of each counter.
    highest: [u64; COUNTERS],
}

impl Watcher {
    pub(super) fn new(i: u32, shared: &Shared) -> Result<Watcher, String> {
        let mut rng = StdRng::seed_from_u64(shared.seed.wrapping_add(4000 + u64::from(i)));
        let name = format!("{}/w watcher {i}", shared.root);
        let session = Session::open(&name, &shared.servers, TIMEOUT_MS, &mut rng)?;
        let mut watched: Vec<_> = (0..COUNTERS).map(|k| (What::Data(k), None)).collect();
        watched.extend([(What::Children, None), (What::Existence, None)]);
        Ok(Watcher { session, rng, watched, highest: [0; COUNTERS] })
    }

    pub(super) fn run(mut self, shared: &Shared) -> Result<Session, String> {
        while !shared.stop.load(Ordering::SeqCst) {
            match self.look(shared) {
                Ok(()) => std::thread::sleep(Duration::from_millis(self.rng.random_range(1..10))),
                Err(Trouble::Violation(what)) => return Err(what),
                Err(Trouble::Connection(_)) => {
                    let watched = &mut self.watched;
                    self.session.come_back(&mut self.rng, |session, back| {
                        match back {
                            // A new session has no watches.
                            Back::New => watched.iter_mut().for_each(|(_, seen)| *seen = None),
                            Back::Same => {
                                take_events(session, watched, shared);
                                set_watches_again(session, watched, &shared.root)?;
                            }
                        }
                        Ok(())
                    })?;
                }
            }
        }
        shared.moves.fetch_add(self.session.moves, Ordering::Relaxed);
        Ok(self.session)
    }

    fn look(&mut self, shared: &Shared) -> Result<(), Trouble> {
        let i = self.rng.random_range(0..self.watched.len());
        let (what, watched) = self.watched[i];
        if let What::Data(k) = what
            && self.rng.random_range(0..4) == 0
        {
            return self.read_after_sync(k, shared);
        }
        let watch = watched.is_none() && self.rng.random_bool(0.8);
        let seen = self.read(what, watch, &shared.root)?;
        take_events(&mut self.session, &mut self.watched, shared);
        self.check(i, seen)?;
        if watch {
            self.watched[i].1 = Some(seen);
        }
        Ok(())
    }

    /// With the notifications taken that came before a reply: is what it shows what the watch was set at?
    fn check(&mut self, i: usize, seen: Seen) -> Result<(), Trouble> {
        let (what, watched) = self.watched[i];
        if let Some(before) = watched
            && before.zxid != seen.zxid
        {
            return violation(format!(
                "{} at {}: missed the change of {what:?} from {before:x?} to {seen:x?}",
                self.session.name, self.session.at
            ));
        }
        self.went_back(what, seen)
    }

    fn went_back(&mut self, what: What, seen: Seen) -> Result<(), Trouble> {
        if let What::Data(k) = what {
            if seen.value < self.highest[k] {
                return violation(format!(
                    "{} at {}: counter {k} is {} after {}",
                    self.session.name, self.session.at, seen.value, self.highest[k]
                ));
            }
            self.highest[k] = seen.value;
        }
        Ok(())
    }

    fn read_after_sync(&mut self, k: usize, shared: &Shared) -> Result<(), Trouble> {
        let acknowledged = shared.counters[k].load(Ordering::SeqCst);
        self.session.call(op::SYNC, &Enc::new().str(&counter(&shared.root, k)).0)?;
        let seen = self.read(What::Data(k), false, &shared.root)?;
        take_events(&mut self.session, &mut self.watched, shared);
        self.check(k, seen)?;
        shared.synced_reads.fetch_add(1, Ordering::Relaxed);
        if seen.value < acknowledged {
            shared.stale_reads.fetch_add(1, Ordering::Relaxed);
            if shared.sync_sees_everything {
                return violation(format!(
                    "{} at {}: after sync counter {k} is {}, though {acknowledged} was acknowledged before",
                    self.session.name, self.session.at, seen.value
                ));
            }
        }
        Ok(())
    }

    fn read(&mut self, what: What, watch: bool, root: &str) -> Result<Seen, Trouble> {
        let (opcode, path) = what.request(root);
        let reply = self.session.call(opcode, &Enc::new().str(&path).bool(watch).0)?;
        let mut d = Dec(&reply.body);
        match (reply.err, what) {
            (0, What::Data(_)) => {
                let data = String::from_utf8(d.buf()?.unwrap_or_default()).unwrap_or_default();
                let value = if data.is_empty() { Some(0) } else { data.parse().ok() };
                let Some(value) = value else { return violation(format!("{path} holds {data:?}")) };
                Ok(Seen { zxid: Some(d.stat()?.mzxid), value })
            }
            (0, What::Children) => {
                d.strings()?;
                Ok(Seen { zxid: Some(d.stat()?.pzxid), value: 0 })
            }
            (0, What::Existence) => Ok(Seen { zxid: Some(d.stat()?.mzxid), value: 0 }),
            (code::NO_NODE, What::Existence) => Ok(Seen { zxid: None, value: 0 }),
            (other, _) => violation(format!("{}: {path}: error {other}", self.session.name)),
        }
    }
}

/// Takes the notifications that have come: their watches are used up.
fn take_events(session: &mut Session, watched: &mut [(What, Option<Seen>)], shared: &Shared) {
    while let Some(event) = session.zk().events.pop_front() {
        shared.events.fetch_add(1, Ordering::Relaxed);
        for (what, seen) in &mut *watched {
            if what.request(&shared.root).1 == event.path {
                *seen = None;
            }
        }
    }
}

impl What {
    fn request(self, root: &str) -> (i32, String) {
        match self {
            What::Data(k) => (op::GET_DATA, counter(root, k)),
            What::Children => (op::GET_CHILDREN2, format!("{root}/w")),
            What::Existence => (op::EXISTS, format!("{root}/w/child")),
        }
    }
}

/// As stock clients do after they have come back: what has changed meanwhile is notified now.
fn set_watches_again(
    session: &mut Session,
    watched: &[(What, Option<Seen>)],
    root: &str,
) -> Result<(), Trouble> {
    let paths = |wanted: &dyn Fn(What, Seen) -> bool| -> Vec<String> {
        let set = watched.iter().filter_map(|(what, seen)| Some((*what, (*seen)?)));
        set.filter(|(what, seen)| wanted(*what, *seen)).map(|(what, _)| what.request(root).1).collect()
    };
    let data = paths(&|what, seen| match what {
        What::Data(_) => true,
        // A watch by exists counts as one of data where there was a node.
        What::Existence => seen.zxid.is_some(),
        What::Children => false,
    });
    let existence = paths(&|what, seen| what == What::Existence && seen.zxid.is_none());
    let children = paths(&|what, _| what == What::Children);
    let mut body = Enc::new().long(session.last_zxid());
    for list in [data, existence, children] {
        body = body.int(list.len() as i32);
        for path in list {
            body = body.str(&path);
        }
    }
    let reply = session.call(op::SET_WATCHES, &body.0)?;
    if reply.err != 0 {
        return violation(format!("{}: setWatches answers {}", session.name, reply.err));
    }
    Ok(())
}
