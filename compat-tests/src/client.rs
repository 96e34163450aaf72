//! Running a foreign client program against a server.
//!
//! The program prints its transcript on standard output. A line starting with `!` is no part of it but an
//! order to the test: it is carried out on the server, then the program reads one line (`done`) from its
//! standard input. Orders: `!kill` (SIGKILL), `!stop` (SIGTERM), `!start`, `!suspend`, `!resume`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::arm::Transcript;
use crate::server::{Server, last_lines};

/// The longest silence of a client program before it is taken for stuck.
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs `command` to its end, carrying out its orders on `server`, and returns its transcript.
///
/// # Panics
/// When the program cannot be started, fails, gives an unknown order or is silent for 90 seconds; the message
/// carries the transcript so far and the end of what it printed on standard error.
#[track_caller]
pub fn converse(command: &mut Command, server: &mut Server) -> Transcript {
    let errors = tempfile::NamedTempFile::new().expect("a temporary file can be created");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(errors.reopen().expect("a temporary file can be opened again"))
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let stdout = BufReader::new(child.stdout.take().expect("standard output is piped"));
    let (sender, lines) = channel();
    let reader = std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });

    let mut transcript = String::new();
    let stuck = loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => match line.strip_prefix('!') {
                Some(order) => {
                    carry_out(order, server);
                    // A program that has ended meanwhile is reported by its status below.
                    let _ = stdin.write_all(b"done\n");
                }
                None => {
                    transcript.push_str(&line);
                    transcript.push('\n');
                }
            },
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
    };
    if stuck {
        let _ = child.kill();
    }
    drop(stdin);
    let status = child.wait().expect("a child can be waited for");
    let _ = reader.join();
    let printed = std::fs::read(errors.path()).unwrap_or_default();
    assert!(
        !stuck && status.success(),
        "{command:?} against {} {}\n--- transcript\n{transcript}\n--- standard error\n{}",
        server.arm(),
        if stuck {
            format!("was silent for {PATIENCE:?} and killed")
        } else {
            format!("ended with {status}")
        },
        last_lines(&String::from_utf8_lossy(&printed), 60)
    );
    transcript
}

#[track_caller]
fn carry_out(order: &str, server: &mut Server) {
    match order {
        "kill" => server.kill(),
        "stop" => drop(server.stop()),
        "start" => server.start_again(),
        "suspend" => server.suspend(),
        "resume" => server.resume(),
        _ => panic!("the client program gives an order that nobody knows: !{order}"),
    }
}
