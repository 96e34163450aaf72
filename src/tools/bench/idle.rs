//! Idle sessions: what it costs a server to hold them.

use super::connection;
use super::error::Error;
use super::measure::{Tally, Window};
use super::options::{IdleArgs, in_range};
use super::progress::Progress;
use super::report::{Ends, Report};
use super::wire;
use super::{observe, raise_file_limit, wait};
use std::time::{Duration, Instant};

/// Opens the sessions, keeps them alive with pings, and closes them.
pub(super) fn run(args: &IdleArgs) -> Result<Report, Error> {
    in_range("--sessions", args.sessions as u64, 1, 10_000_000)?;
    raise_file_limit();
    let dial = args.common.dial(args.source_addresses)?;
    let window = Window::new();
    let before_open = observe(&args.common)?;
    let started = Instant::now();
    let mut connections = connection::open(&dial, 0..args.sessions)?;
    let opened = started.elapsed();
    let before = observe(&args.common)?;
    window.begin();

    let mut progress = Progress::new("idle", args.common.quiet);
    let mut tally = Tally::new();
    let mut ping = Vec::new();
    wire::request(&mut ping, wire::XID_PING, wire::op::PING, |_| ());
    let mut buffer = vec![0; 4096];
    let third = connections.iter().map(|c| c.timeout).min().unwrap_or(Duration::MAX) / 3;
    let mut ping_at = Instant::now() + third;
    let until = Instant::now() + args.hold;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        wait(left.min(Duration::from_millis(500)), &window, |_| ());
        progress.update(&window, 1.0 - left.as_secs_f64() / args.hold.as_secs_f64());
        if Instant::now() >= ping_at {
            ping_at += third;
            for connection in &mut connections {
                // What came back since the last ping: its answer.
                let outcome = connection.receive(&mut buffer, |_| Ok(())).and_then(|()| {
                    connection.send(&ping).map_err(|e| connection.disconnected(1, e.to_string()))
                });
                if let Err(error) = outcome {
                    tally.lose(error);
                }
            }
        }
    }
    window.finish();
    let after = observe(&args.common)?;
    drop(progress);
    for connection in &mut connections {
        if let Err(error) = connection.receive(&mut buffer, |_| Ok(())) {
            tally.lose(error);
        }
    }
    connection::close(connections);

    let ends = Ends { server: before.0.zip(after.0), generator: (before.1, after.1) };
    let mut report = Report::new("idle", window.elapsed(), &tally, &ends)
        .with("sessions", args.sessions)
        .with_more("sessions_opened_per_s", args.sessions as f64 / opened.as_secs_f64());
    if let (Some(first), Some(last)) = (before_open.0, after.0) {
        let grown = last.used_bytes() as f64 - first.used_bytes() as f64;
        report = report.with_more("bytes_per_session", grown / args.sessions as f64);
    }
    if let Some(server) = &report.server {
        let percent = 100.0 * server.cpu_s / report.elapsed_s;
        report = report.with_more("server_cpu_percent_while_idle", percent);
    }
    Ok(report)
}
