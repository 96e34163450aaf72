//! The Java arm: Apache ZooKeeper from Maven, launched by its stock main class.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::build_folder::{crate_dir, entry, sources_key};
use crate::tools::{Tool, run};

/// The upstream version that is the reference.
pub const VERSION: &str = "3.9.5";

/// The folder with the server's jars, fetched by Maven when not there yet.
pub fn lib_dir() -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| copy_dependencies("java-server", "java/server/pom.xml")).clone()
}

/// The server's class path.
pub fn classpath() -> String {
    format!("{}/*", lib_dir().display())
}

/// Fetches the runtime dependencies of a Maven project of this crate into the build folder's entry `name`
/// and returns that folder.
///
/// # Panics
/// When Maven is missing or fails.
pub fn copy_dependencies(name: &str, pom: &str) -> PathBuf {
    entry(name, &sources_key(&[pom]), |dir| {
        // Maven refuses no read-only checkout, but a plugin may write beside the project file: give it a copy.
        let project = dir.join("pom.xml");
        std::fs::copy(crate_dir().join(pom), &project).unwrap_or_else(|e| panic!("cannot copy {pom}: {e}"));
        run(Tool::Maven
            .command()
            .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", dir.display()))
            .arg("-f")
            .arg(&project));
    })
}

/// What one of upstream's programs prints on its standard output, with times in UTC.
///
/// # Panics
/// When it cannot be run, or fails.
pub fn tool(class: &str, args: &[&str]) -> String {
    let output = Tool::Java
        .command()
        .args(["-Xmx64m", "-XX:TieredStopAtLevel=1", "-Duser.timezone=UTC", "-cp", &classpath()])
        .arg(class)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("cannot run {class}: {e}"));
    let (printed, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{class} {args:?}: {}\n{printed}\n{errors}", output.status);
    printed.into_owned()
}

/// The command that starts a server on `config`, with the given JVM properties.
pub fn command(config: &Path, properties: &[(String, String)]) -> Command {
    command_with_heap("-Xmx512m", config, properties)
}

/// As [`command`], for a server that is one of many on this machine and holds little.
pub fn small_command(config: &Path, properties: &[(String, String)]) -> Command {
    command_with_heap("-Xmx128m", config, properties)
}

fn command_with_heap(heap: &str, config: &Path, properties: &[(String, String)]) -> Command {
    let mut java = Tool::Java.command();
    // A small machine runs several of these at once: a small heap, one collector thread, quick compiler.
    java.args([heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8"]);
    java.args(properties.iter().map(|(key, value)| format!("-D{key}={value}")));
    java.arg("-cp").arg(classpath()).arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(config);
    java
}
