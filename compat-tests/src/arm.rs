//! The two servers a suite runs against, and the comparison of what they answered.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::build_folder::root;
use crate::diff::readable_difference;
use crate::server::{Server, ServerBuilder};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arm {
    /// Apache ZooKeeper, the reference.
    Java,
    /// The server under test.
    Quoll,
}

impl Arm {
    /// Both arms, the reference first.
    pub fn both() -> [Arm; 2] {
        [Arm::Java, Arm::Quoll]
    }

    /// A server of this arm, to be configured and started.
    pub fn server(self) -> ServerBuilder {
        ServerBuilder::new(self)
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arm::Java => "java",
            Arm::Quoll => "quoll",
        })
    }
}

/// What a client saw, one line per observation, with everything masked that may differ between two runs.
pub type Transcript = String;

/// Runs `body` against a fresh server of each arm and asserts that both transcripts are equal.
///
/// `name` names the transcript's files, `<build folder>/transcripts/<name>.<arm>.txt`.
///
/// # Panics
/// When a server does not start, `body` panics, a transcript is empty or the transcripts differ.
#[track_caller]
pub fn compare(name: &str, body: impl Fn(&mut Server) -> Transcript) {
    compare_with(name, |builder| builder, body);
}

/// As [`compare`], with servers configured by `configure`.
#[track_caller]
pub fn compare_with(
    name: &str,
    configure: impl Fn(ServerBuilder) -> ServerBuilder,
    body: impl Fn(&mut Server) -> Transcript,
) {
    compare_arms(name, |arm| {
        let mut server = configure(arm.server()).start();
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&mut server)));
        outcome.unwrap_or_else(|panic| {
            eprintln!("--- end of the {arm} server's log in test {name}:\n{}", server.log_tail());
            resume_unwind(panic)
        })
    });
}

/// Runs `body` once per arm, for tests that start their own servers, and asserts that both transcripts are
/// equal.
///
/// The environment variable `COMPAT_ARM` set to `java` or `quoll` runs that arm alone, to look at its
/// transcript while working on a suite; the test then still fails, since nothing was compared.
///
/// # Panics
/// As [`compare`].
#[track_caller]
pub fn compare_arms(name: &str, body: impl Fn(Arm) -> Transcript) {
    let only = std::env::var("COMPAT_ARM").ok();
    let mut transcripts = Vec::new();
    for arm in Arm::both() {
        if only.as_ref().is_some_and(|only| *only != arm.to_string()) {
            continue;
        }
        let transcript = body(arm);
        assert!(!transcript.trim().is_empty(), "{name}: the {arm} arm has an empty transcript");
        let dir = root().join("transcripts");
        std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot create {}: {e}", dir.display()));
        let path = dir.join(format!("{name}.{arm}.txt"));
        std::fs::write(&path, &transcript).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        transcripts.push((transcript, path));
    }
    match &transcripts[..] {
        [(java, java_path), (quoll, quoll_path)] => {
            if let Some(difference) = readable_difference(java, quoll) {
                panic!(
                    "{name}: Quoll (+) answers otherwise than Java (-)\n{difference}\nwhole transcripts: {} {}",
                    java_path.display(),
                    quoll_path.display()
                );
            }
        }
        _ => panic!("{name}: one arm alone ran as COMPAT_ARM asked, so nothing was compared"),
    }
}
