//! Connect storm: clients connect, open a session, close it, and start over.
//!
//! The latency of a session counts from the start of the TCP connection until the session is granted.

use super::connection::{Connection, connect_request, connect_response};
use super::error::Error;
use super::measure::{Kind, Tally, Window};
use super::options::{StormArgs, in_range};
use super::progress::Progress;
use super::report::{Ends, Report};
use super::wire;
use super::{observe, raise_file_limit};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::time::{Duration, Instant};

/// A storm in which nothing happens for this long is over.
const STALL: Duration = Duration::from_secs(30);

struct Attempt {
    connection: Connection,
    started_ns: u64,
    is_established: bool,
}

/// Opens the sessions.
pub(super) fn run(args: &StormArgs) -> Result<Report, Error> {
    in_range("--clients", args.clients as u64, 1, 100_000)?;
    in_range("--sessions", args.sessions, 1, 1_000_000_000)?;
    raise_file_limit();
    let dial = args.common.dial(0)?;
    let hello = connect_request(dial.timeout);
    let mut goodbye = Vec::new();
    wire::request(&mut goodbye, 1, wire::op::CLOSE_SESSION, |_| ());
    let mut poll = Poll::new().map_err(Error::io("creating a selector"))?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 4096];
    let window = Window::new();
    let mut progress = Progress::new("storm", args.common.quiet);
    let mut tally = Tally::new();
    let before = observe(&args.common)?;
    window.begin();

    let mut attempts: Vec<Option<Attempt>> = Vec::new();
    let mut begun = 0u64;
    let mut ended = 0u64;
    let begin = |slot: usize, begun: &mut u64, poll: &Poll| -> Result<Option<Attempt>, Error> {
        if *begun == args.sessions {
            return Ok(None);
        }
        let server = dial.servers[*begun as usize % dial.servers.len()];
        *begun += 1;
        let started_ns = window.now_ns();
        let mut stream = TcpStream::connect(server).map_err(|source| Error::Connect { server, source })?;
        poll.registry()
            .register(&mut stream, Token(slot), Interest::READABLE | Interest::WRITABLE)
            .map_err(Error::io("registering a socket"))?;
        let mut connection = Connection::opening(stream, server, slot);
        connection.out().extend_from_slice(&hello);
        Ok(Some(Attempt { connection, started_ns, is_established: false }))
    };
    for slot in 0..args.clients {
        attempts.push(begin(slot, &mut begun, &poll)?);
    }
    let mut last_event = Instant::now();
    while ended < args.sessions {
        match poll.poll(&mut events, Some(Duration::from_millis(500))) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            polled => polled.map_err(Error::io("waiting for sockets"))?,
        }
        if !events.is_empty() {
            last_event = Instant::now();
        } else if last_event.elapsed() > STALL {
            let outstanding = args.sessions - ended;
            tally.lose(Error::Unanswered { outstanding, seconds: STALL.as_secs() });
            break;
        }
        for event in &events {
            let slot = event.token().0;
            let Some(attempt) = &mut attempts[slot] else { continue };
            let is_over = match attempt.step(event, &mut buffer, &goodbye, &window, &mut tally) {
                Ok(is_over) => is_over,
                Err(error) => {
                    tally.lose(error);
                    true
                }
            };
            if is_over {
                ended += 1;
                attempts[slot] = begin(slot, &mut begun, &poll)?;
            }
        }
        window.replies.store(ended, std::sync::atomic::Ordering::Relaxed);
        progress.update(&window, ended as f64 / args.sessions as f64);
    }
    window.finish();
    let after = observe(&args.common)?;
    let ends = Ends { server: before.0.zip(after.0), generator: (before.1, after.1) };
    Ok(Report::new("storm", window.elapsed(), &tally, &ends)
        .with("clients", args.clients)
        .with("sessions", args.sessions))
}

impl Attempt {
    /// Goes on with what has become possible; answers whether the session has been opened and closed.
    fn step(
        &mut self,
        event: &mio::event::Event,
        buffer: &mut Vec<u8>,
        goodbye: &[u8],
        window: &Window,
        tally: &mut Tally,
    ) -> Result<bool, Error> {
        let server = self.connection.server;
        if let Ok(Some(source)) = self.connection.stream.take_error() {
            return Err(Error::Connect { server, source });
        }
        if event.is_writable() && self.connection.is_blocked() {
            match self.connection.flush() {
                // The connection is still being made.
                Err(e) if e.kind() == std::io::ErrorKind::NotConnected => {}
                flushed => flushed.map_err(|e| self.connection.disconnected(1, e.to_string()))?,
            }
        }
        if !event.is_readable() {
            return Ok(false);
        }
        let was_established = self.is_established;
        let mut is_over = false;
        let is_established = &mut self.is_established;
        let started_ns = self.started_ns;
        self.connection.receive(buffer, |frame| {
            if *is_established {
                is_over = true;
                return Ok(());
            }
            connect_response(server, frame)?;
            *is_established = true;
            tally.record(Kind::Connect, window.now_ns() - started_ns, 1);
            Ok(())
        })?;
        if self.is_established && !was_established {
            self.connection.send(goodbye).map_err(|e| self.connection.disconnected(1, e.to_string()))?;
        }
        Ok(is_over)
    }
}
