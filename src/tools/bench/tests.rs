//! The generator against servers that do right and wrong.

use super::options::EchoArgs;
use super::*;
use clap::Parser;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

#[derive(Debug, Parser)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// Runs a benchmark with these words on its command line.
fn report(server: SocketAddr, words: &str) -> Result<Report, Error> {
    let server = server.to_string();
    let words =
        ["bench"].into_iter().chain(words.split(' ')).chain(["--quiet", "--keep", "--servers", &server]);
    match CommandLine::parse_from(words).command {
        Command::Get(args) => drive_for(Workload::Get, &args),
        Command::Mixed(args) => drive_for(Workload::Mixed, &args),
        Command::Load(args) => load(&args),
        other => unreachable!("no test runs {other:?}"),
    }
}

/// An echo server on a thread of its own, for the rest of the test process.
fn echo_server() -> SocketAddr {
    let listener = mio::net::TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let path_len = "/quoll-bench/made/0123456789ab-000000/0123456789".len();
    let args = EchoArgs { listen: address, value_size: 100, children: 100, path_len };
    std::thread::spawn(move || echo::serve(listener, &args));
    address
}

/// A server that opens sessions and answers the first `good` requests of each; to the next it answers what `bad` says of
/// the xid, or hangs up. Requests with which a run is set up are answered well.
fn flawed_server(
    good: usize,
    bad: impl Fn(i32) -> Option<Vec<u8>> + Send + Sync + Clone + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let bad = bad.clone();
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut frame = Vec::new();
                for request in 0.. {
                    let mut prefix = [0; 4];
                    stream.read_exact(&mut prefix)?;
                    frame.resize(u32::from_be_bytes(prefix) as usize, 0);
                    stream.read_exact(&mut frame)?;
                    let xid = i32::from_be_bytes(frame[..4].try_into().unwrap());
                    if request > 0 && frame[4..8] == wire::op::CLOSE_SESSION.to_be_bytes() {
                        return Ok(());
                    }
                    let mut out = Vec::new();
                    match request {
                        0 => wire::frame(&mut out, |w| {
                            w.raw(&[0, 0, 0, 0, 0, 0, 0x75, 0x30, 0, 0, 0, 0, 0, 0, 0, 1]);
                            w.buffer(Some(&[0; 16]));
                        }),
                        _ if number == 0 || request <= good => out.extend(reply(xid, 172)),
                        _ => match bad(xid) {
                            Some(bytes) => out.extend(bytes),
                            None => return Ok(()),
                        },
                    }
                    stream.write_all(&out)?;
                }
                Ok(())
            });
        }
    });
    address
}

/// A reply without error and a body of zeroes.
fn reply(xid: i32, body_len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    wire::frame(&mut out, |w| {
        w.int(xid);
        w.long(1);
        w.int(0);
        w.raw(&vec![0; body_len]);
    });
    out
}

#[test]
fn a_run_counts_the_requests_it_was_asked_for() {
    let report =
        report(echo_server(), "get --clients 3 --threads 2 --depth 4 --ops 1000 --warm-up 0").unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.ops >= 1000 && report.ops < 1100, "{report}");
    assert_eq!(report.latency.count, report.ops);
}

#[test]
fn a_mixed_run_gets_answers_of_the_right_length_for_every_kind() {
    let report = report(echo_server(), "mixed --clients 3 --depth 4 --ops 5000 --warm-up 0").unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.latency_by_kind.len(), 5);
}

#[test]
fn an_open_loop_sends_at_its_rate() {
    let report =
        report(echo_server(), "get --clients 3 --rate 2000 --duration 500ms --warm-up 100ms").unwrap();
    assert!(report.is_clean(), "{report}");
    // Every request planned in the window counts, however late the machine lets it leave.
    assert!((990..=1200).contains(&report.ops), "{report}");
    assert!(report.generator.lateness.is_some());
}

#[test]
fn an_answer_to_another_kind_of_request_is_told() {
    let server = flawed_server(usize::MAX, |_| None);
    let report = report(server, "load --clients 1 --znodes 10").unwrap();
    // That server answers as if to a getData.
    assert!(report.broken_reason.unwrap().contains("in answer to Create"));
}

#[test]
fn an_answer_with_another_xid_is_told() {
    let server = flawed_server(10, |xid| Some(reply(xid + 1, 172)));
    let report = report(server, "get --clients 2 --ops 1000 --warm-up 0").unwrap();
    assert!(!report.is_clean());
    assert_eq!(report.broken, 2);
    assert!(report.broken_reason.unwrap().contains("expected xid 11, came 12"));
}

#[test]
fn an_answer_of_another_length_is_told() {
    let server = flawed_server(10, |xid| Some(reply(xid, 171)));
    let report = report(server, "get --clients 1 --ops 1000 --warm-up 0").unwrap();
    assert!(report.broken_reason.unwrap().contains("expected 188 bytes in answer to Get, came 187"));
}

#[test]
fn a_server_that_hangs_up_is_told_with_what_was_unanswered() {
    let server = flawed_server(10, |_| None);
    let report = report(server, "get --clients 1 --depth 4 --ops 1000 --warm-up 0").unwrap();
    assert!(report.broken_reason.unwrap().contains("closed the connection of client 0 with"));
    assert!(report.ops < 1000);
}

#[test]
fn an_open_loop_charges_a_stall_to_every_request_planned_during_it() {
    // Every answer after the tenth comes 200 ms late; requests are planned every 10 ms.
    let server = flawed_server(10, |xid| {
        std::thread::sleep(Duration::from_millis(if xid == 11 { 200 } else { 0 }));
        Some(reply(xid, 172))
    });
    let report = report(server, "get --clients 1 --rate 100 --duration 1s --warm-up 0").unwrap();
    assert!(report.is_clean(), "{report}");
    // A closed loop would have seen one slow request; here the 20 that were due while nothing came back are slow,
    // on average by half the stall.
    assert!(report.latency.p90_us > 50_000.0, "{report}");
}
