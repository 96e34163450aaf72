//! The two servers a suite runs against, and the comparison of what they answered.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

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

/// The arms that this run compares: both, unless the environment variable `COMPAT_ARM` says otherwise, for
/// work on a suite: `java` or `quoll` alone, or `java-twice` to see whether a suite's transcripts are the
/// same every time. Under each of these a test still fails at its end, since Quoll was not compared.
///
/// # Panics
/// When the variable has another value.
pub fn arms_to_run() -> Vec<Arm> {
    match std::env::var("COMPAT_ARM").as_deref() {
        Err(_) => Arm::both().to_vec(),
        Ok("java") => vec![Arm::Java],
        Ok("quoll") => vec![Arm::Quoll],
        Ok("java-twice") => vec![Arm::Java, Arm::Java],
        Ok(other) => panic!("COMPAT_ARM is {other}; java, quoll and java-twice are allowed"),
    }
}

/// Runs `body` once per arm (see [`arms_to_run`]), for tests that start their own servers, and asserts that
/// both transcripts are equal.
///
/// # Panics
/// As [`compare`].
#[track_caller]
pub fn compare_arms(name: &str, body: impl Fn(Arm) -> Transcript) {
    let arms = arms_to_run();
    let transcripts: Vec<Transcript> = arms.iter().map(|&arm| body(arm)).collect();
    for (arm, transcript) in arms.iter().zip(&transcripts) {
        assert!(!transcript.trim().is_empty(), "{name}: the {arm} arm has an empty transcript");
        let path = transcript_path(name, *arm);
        std::fs::write(&path, transcript).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    }
    if let [reference, other] = &transcripts[..]
        && let Some(difference) = readable_difference(reference, other)
    {
        panic!(
            "{name}: {} (+) answers otherwise than {} (-)\n{difference}\nwhole transcripts: {} {}",
            arms[1],
            arms[0],
            transcript_path(name, arms[0]).display(),
            transcript_path(name, arms[1]).display()
        );
    }
    assert_eq!(arms, Arm::both(), "{name}: COMPAT_ARM is set, so Quoll was not compared with Java");
}

fn transcript_path(name: &str, arm: Arm) -> PathBuf {
    let dir = root().join("transcripts");
    std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot create {}: {e}", dir.display()));
    dir.join(format!("{name}.{arm}.txt"))
}
