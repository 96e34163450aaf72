//! The Java programs under `java/drivers` that drive the stock Java clients, built by Maven.
//!
//! One JVM drives both arms, since starting one costs more than most suites.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::arm::{Transcript, arms_to_run, compare_arms};
use crate::build_folder::{crate_dir, entry, root, sources_key};
use crate::server::{Server, ServerBuilder};
use crate::tools::{Tool, run};

/// The class path of the drivers and their clients, built when stale.
pub fn classpath() -> String {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let key = sources_key(&["java/drivers/pom.xml", "java/drivers/src"]);
        entry("java-drivers", &key, |dir| {
            run(Tool::Maven
                .command()
                .args(["-q", "-B", "package", "-f"])
                .arg(crate_dir().join("java/drivers/pom.xml"))
                .arg(format!("-Dbuild.dir={}", dir.display())));
        })
    });
    format!("{}/compat-drivers.jar:{}/lib/*", dir.display(), dir.display())
}

/// Starts a server of each arm, lets one JVM run `suite` against both and asserts that their transcripts
/// are equal. `name` is as in [`compare_arms`].
///
/// # Panics
/// When a server does not start, the suite ends early at the Java arm, or the transcripts differ.
#[track_caller]
pub fn compare_suite(name: &str, suite: &str, configure: impl Fn(ServerBuilder) -> ServerBuilder) {
    let arms = arms_to_run();
    let servers: Vec<Server> = arms.iter().map(|arm| configure(arm.server()).start()).collect();
    let outcome = run_suite(suite, servers.iter().map(Server::address));

    let dir = root().join("transcripts");
    std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot create {}: {e}", dir.display()));
    let logs = dir.join(format!("{name}.servers.txt"));
    let text: String = servers.iter().map(|s| format!("== {}\n{}\n", s.arm(), s.log())).collect();
    std::fs::write(&logs, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", logs.display()));
    let next = Cell::new(0);
    compare_arms(name, |_| outcome.transcripts[next.replace(next.get() + 1)].clone());
    assert!(outcome.success, "{suite} failed at both servers:\n{}", outcome.printed);
}

/// What came of a suite.
pub struct SuiteOutcome {
    /// One for each server or ensemble, in their order.
    pub transcripts: Vec<Transcript>,
    /// Whether it came to its end at all of them.
    pub success: bool,
    /// What the program printed on standard error.
    pub printed: String,
}

/// Lets one JVM run `suite` against servers or ensembles, each given by its connect string.
///
/// # Panics
/// When Java cannot be started or leaves out a transcript.
#[track_caller]
pub fn run_suite(suite: &str, servers: impl IntoIterator<Item = String>) -> SuiteOutcome {
    let classpath = classpath();
    let servers: Vec<String> = servers.into_iter().collect();
    let out_dir = tempfile::tempdir().expect("a temporary folder can be created");
    let file = |i: usize| out_dir.path().join(i.to_string());

    let mut java = Tool::Java.command();
    java.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8"]);
    java.args(["-cp", &classpath, "quoll.compat.Main", suite]);
    java.args(servers.iter().enumerate().map(|(i, server)| format!("{server}={}", file(i).display())));
    let output = java.output().unwrap_or_else(|e| panic!("cannot start Java: {e}"));
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    let transcripts = (0..servers.len())
        .map(|i| {
            std::fs::read_to_string(file(i)).unwrap_or_else(|e| {
                panic!("{suite} wrote no transcript for {} ({e}); it printed:\n{printed}", servers[i])
            })
        })
        .collect();
    SuiteOutcome { transcripts, success: output.status.success(), printed }
}
