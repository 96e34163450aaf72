//! The leader goes: how long until somebody else has served a write?

use super::super::connection::connect_request;
use super::super::error::Error;
use super::super::report::Report;
use super::super::wire;
use super::CompareArgs;
use super::server::{Arm, Launch, Running};
use rustix::process::Signal;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How often the leader goes.
const TIMES: usize = 15;
/// Nobody waits longer for a new leader.
const PATIENCE: Duration = Duration::from_secs(120);
/// One attempt to write waits no longer for an answer.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Pause between two attempts of the client.
const PAUSE: Duration = Duration::from_millis(1);
/// The znode that is written.
const PATH: &str = "/takeover";
const OP_CREATE: i32 = 1;
const OP_SET: i32 = 5;
const NODE_EXISTS: i32 = -110;

/// Lets the leader go again and again. The client tries the survivors in turns, each time with a session of its own, so
/// what is measured is the time until a session is there and a write through it is answered.
pub(super) fn run(args: &CompareArgs, launch: &Launch, arm: Arm, in_order: bool) -> Result<Report, Error> {
    let mut members = launch.start_ensemble(arm, "takeover", 3)?;
    write(members[0].address, OP_CREATE).map_err(Error::io("creating the znode to be written"))?;
    let mut times_ms = Vec::new();
    for _ in 0..TIMES {
        let leader = leader(&members)?;
        let survivors: Vec<SocketAddr> =
            (0..members.len()).filter(|n| *n != leader).map(|n| members[n].address).collect();
        // The survivors are in step, and so is the machine's idea of them.
        for address in &survivors {
            write(*address, OP_SET).map_err(Error::io("writing before the leader goes"))?;
        }
        let start = Instant::now();
        members[leader].end(if in_order { Signal::TERM } else { Signal::KILL })?;
        let mut turn = 0;
        while write(survivors[turn % survivors.len()], OP_SET).is_err() {
            turn += 1;
            if start.elapsed() > PATIENCE {
                return Err(Error::Server { server: arm.to_string(), reason: "found no new leader".into() });
            }
            std::thread::sleep(PAUSE);
        }
        times_ms.push(start.elapsed().as_secs_f64() * 1000.0);
        members[leader].ended()?;
        launch.restart(&mut members[leader])?;
    }
    times_ms.sort_by(f64::total_cmp);
    if !args.quiet {
        eprintln!("{arm}: ms until the next write, sorted: {times_ms:.0?}");
    }
    for member in members {
        member.stop()?;
    }
    Ok(Report::default()
        .with_more("value", times_ms[TIMES / 2])
        .with_more("min_ms", times_ms[0])
        .with_more("p90_ms", times_ms[TIMES * 9 / 10])
        .with_more("max_ms", times_ms[TIMES - 1]))
}

/// Which member says that it leads.
fn leader(members: &[Running]) -> Result<usize, Error> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let leads = |m: &Running| srvr(m.address).is_ok_and(|text| text.contains("Mode: leader"));
        if let Some(leader) = members.iter().position(leads) {
            return Ok(leader);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(Error::Server { server: members[0].arm.to_string(), reason: "no member leads".into() })
}

fn srvr(address: SocketAddr) -> io::Result<String> {
    let mut stream = connect(address)?;
    stream.write_all(b"srvr")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ATTEMPT))?;
    Ok(stream)
}

/// A session and one write.
fn write(address: SocketAddr, op: i32) -> io::Result<()> {
    let mut stream = connect(address)?;
    stream.write_all(&connect_request(Duration::from_secs(10)))?;
    let answer = frame(&mut stream)?;
    if answer.get(4..8).is_none_or(|timeout| timeout == [0; 4]) {
        return Err(io::Error::other("the session was refused"));
    }
    let mut request = Vec::new();
    match op {
        OP_CREATE => wire::request(&mut request, 1, op, wire::create(PATH, b"x", false)),
        _ => wire::request(&mut request, 1, op, wire::set(PATH, b"y")),
    }
    stream.write_all(&request)?;
    let answer = frame(&mut stream)?;
    match wire::reply_header(&answer) {
        Some((1, 0 | NODE_EXISTS)) => Ok(()),
        other => Err(io::Error::other(format!("the answer is {other:?}"))),
    }
}

fn frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let mut bytes = vec![0; (u32::from_be_bytes(len) as usize).min(1 << 20)];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
