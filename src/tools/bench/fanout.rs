//! Watch fan-out: one znode changes, many clients watch it; how long until all of them know.
//!
//! One round: every watcher reads the znode with a watch; when all have their answers one more client sets the data; the
//! round ends when every watcher has its notification. The latency of a notification counts from the sending of the set.

use super::connection::{self, Connection};
use super::error::Error;
use super::measure::{Kind, Tally, Window, histogram};
use super::options::{FanoutArgs, in_range};
use super::progress::Progress;
use super::report::{Ends, Report};
use super::setup::Client;
use super::wire::{self, op};
use super::{observe, raise_file_limit, workload};
use mio::{Events, Interest, Poll, Token};
use std::time::Duration;

/// A round that takes longer has lost a notification.
const ROUND_WAIT: Duration = Duration::from_secs(60);

/// Runs the rounds.
pub(super) fn run(args: &FanoutArgs) -> Result<Report, Error> {
    in_range("--watchers", args.watchers as u64, 1, 1_000_000)?;
    in_range("--rounds", args.rounds, 1, 1_000_000_000)?;
    in_range("--value-size", args.value_size as u64, 0, 64 << 20)?;
    raise_file_limit();
    let dial = args.common.dial(0)?;
    let prefix = args.common.checked_prefix()?;
    let path = format!("{prefix}/watched");
    let value = workload::value(args.common.seed, args.value_size);
    let mut client = Client::open(&dial)?;
    client.ensure_all(&prefix)?;
    client.ensure(&path, &value)?;
    client.finish()?;

    let mut fan = Fan::open(connection::open(&dial, 0..args.watchers + 1)?, &path, &value)?;
    let window = Window::new();
    let mut progress = Progress::new("fanout", args.common.quiet);
    let mut tally = Tally::new();
    // The first round fills caches and is not counted.
    fan.round(&window, &mut Tally::new())?;
    let before = observe(&args.common)?;
    window.begin();
    let mut all_ns = histogram();
    for round in 0..args.rounds {
        all_ns.saturating_record(fan.round(&window, &mut tally)?);
        progress.update(&window, round as f64 / args.rounds as f64);
    }
    window.finish();
    let after = observe(&args.common)?;
    drop(progress);
    connection::close(fan.connections);
    if !args.common.keep {
        client.remove_all(&prefix)?;
    }
    client.close();

    let ends = Ends { server: before.0.zip(after.0), generator: (before.1, after.1) };
    let us = |q| all_ns.value_at_quantile(q) as f64 / 1000.0;
    Ok(Report::new("fanout", window.elapsed(), &tally, &ends)
        .with("watchers", args.watchers)
        .with("value_size", args.value_size)
        .with("rounds", args.rounds)
        .with_more("all_notified_p50_us", us(0.5))
        .with_more("all_notified_p99_us", us(0.99))
        .with_more("all_notified_max_us", all_ns.max() as f64 / 1000.0))
}

/// The watchers and, last, the client that changes the znode.
struct Fan {
    connections: Vec<Connection>,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    watch: wire::Template,
    change: wire::Template,
}

impl Fan {
    fn open(mut connections: Vec<Connection>, path: &str, value: &[u8]) -> Result<Self, Error> {
        let poll = Poll::new().map_err(Error::io("creating a selector"))?;
        for (token, connection) in connections.iter_mut().enumerate() {
            poll.registry()
                .register(&mut connection.stream, Token(token), Interest::READABLE)
                .map_err(Error::io("registering a socket"))?;
        }
        Ok(Self {
            connections,
            poll,
            events: Events::with_capacity(1024),
            buffer: vec![0; 64 << 10],
            watch: wire::Template::new(op::GET_DATA, path, wire::read(path, true)),
            change: wire::Template::new(op::SET_DATA, path, wire::set(path, value)),
        })
    }

    /// One round; answers the time in nanoseconds from the set until the last notification.
    fn round(&mut self, window: &Window, tally: &mut Tally) -> Result<u64, Error> {
        let watchers = self.connections.len() - 1;
        for client in 0..watchers {
            self.send(client, |fan| &fan.watch)?;
        }
        self.take_in(watchers, window, |_, xid, _| usize::from(xid > 0))?;
        let sent_ns = window.now_ns();
        self.send(watchers, |fan| &fan.change)?;
        let mut last_ns = sent_ns;
        // Every notification and the answer to the set itself.
        self.take_in(watchers + 1, window, |client, xid, now_ns| {
            if client == watchers {
                tally.record(Kind::Set, now_ns - sent_ns, 1);
                return 1;
            }
            if xid != wire::XID_NOTIFICATION {
                return 0;
            }
            tally.record(Kind::Notification, now_ns - sent_ns, 1);
            tally.notifications += 1;
            last_ns = last_ns.max(now_ns);
            1
        })?;
        Ok(last_ns - sent_ns)
    }

    fn send(&mut self, client: usize, which: impl Fn(&Self) -> &wire::Template) -> Result<(), Error> {
        let xid = self.connections[client].take_xid();
        let mut bytes = Vec::new();
        which(self).append(&mut bytes, xid, &[]);
        let connection = &mut self.connections[client];
        connection.send(&bytes).map_err(|e| connection.disconnected(1, e.to_string()))
    }

    /// Takes in frames until `each`, given client, xid and time, has counted to `needed`.
    fn take_in(
        &mut self,
        needed: usize,
        window: &Window,
        mut each: impl FnMut(usize, i32, u64) -> usize,
    ) -> Result<(), Error> {
        let mut seen = 0;
        let started_ns = window.now_ns();
        while seen < needed {
            match self.poll.poll(&mut self.events, Some(Duration::from_secs(1))) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                polled => polled.map_err(Error::io("waiting for sockets"))?,
            }
            let now_ns = window.now_ns();
            if now_ns - started_ns > ROUND_WAIT.as_nanos() as u64 {
                let outstanding = (needed - seen) as u64;
                return Err(Error::Unanswered { outstanding, seconds: ROUND_WAIT.as_secs() });
            }
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                let client = connection.client;
                connection.receive(&mut self.buffer, |frame| {
                    let wrong = |what| Error::Reply { client, what };
                    let (xid, code) =
                        wire::reply_header(frame).ok_or_else(|| wrong(format!("{} bytes", frame.len())))?;
                    if code != 0 {
                        return Err(wrong(format!("error {code} for xid {xid}")));
                    }
                    seen += each(client, xid, now_ns);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}
