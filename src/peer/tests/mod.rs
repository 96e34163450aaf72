//! Real sockets on the loopback.

mod election;
mod hostile_election;
mod leader;
mod links;
mod outbox;
mod reading;
mod recorded;

use super::{Event, Sink, threads::Threads};
use crate::{
    types::{ServerId, Zxid},
    zab::election::{Notification, PeerState, Proposal, Vote},
};
use parking_lot::{Condvar, Mutex};
use std::{
    io::{self, Read},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

/// No condition is waited for longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps events until a test looks for them.
#[derive(Default)]
struct Seen {
    events: Mutex<Vec<Event>>,
    changed: Condvar,
}

impl Sink for Seen {
    fn put(&self, events: &mut Vec<Event>) {
        self.events.lock().append(events);
        self.changed.notify_all();
    }
}

impl Seen {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Takes the first event that `look` finds something in, and leaves the others.
    fn wait<T>(&self, what: &str, mut look: impl FnMut(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut events = self.events.lock();
        loop {
            if let Some((at, found)) = events.iter().enumerate().find_map(|(at, e)| Some((at, look(e)?))) {
                events.remove(at);
                return found;
            }
            let late = self.changed.wait_until(&mut events, deadline).timed_out();
            assert!(!late, "no {what}; there is {events:#?}");
        }
    }

    /// Takes the first event, whatever it is.
    fn first(&self) -> Event {
        let deadline = Instant::now() + PATIENCE;
        let mut events = self.events.lock();
        while events.is_empty() {
            assert!(!self.changed.wait_until(&mut events, deadline).timed_out(), "no event");
        }
        events.remove(0)
    }

    fn heard(&self, from: i64) -> Notification {
        self.wait(&format!("message of {from}"), |e| match e {
            Event::Heard { from: f, notification } if f.0 == from => Some(notification.clone()),
            _ => None,
        })
    }

    fn election_up(&self, peer: i64) {
        self.wait(&format!("connection with {peer}"), |e| match e {
            Event::ElectionUp { peer: p } if p.0 == peer => Some(()),
            _ => None,
        });
    }

    fn election_down(&self, peer: i64) -> String {
        self.wait(&format!("end of the connection with {peer}"), |e| match e {
            Event::ElectionDown { peer: p, why } if p.0 == peer => Some(why.clone()),
            _ => None,
        })
    }
}

/// A message that says `round`.
fn message(round: i64) -> Notification {
    let proposal = Proposal { leader: ServerId(1), zxid: Zxid(5), peer_epoch: 2 };
    Notification::new(Vote { proposal, round, state: PeerState::Looking }, "version=0".into())
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn all_threads_end(threads: &Threads) {
    assert_eq!(threads.wait(PATIENCE), 0, "threads that do not end");
}

/// A stream whose reads do not last for ever.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn read_exact(mut stream: &TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Whether the other side closes without saying anything.
fn is_closed(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(n) => n == 0,
        Err(e) => matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
    }
}
