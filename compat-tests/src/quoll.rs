//! Quoll's arm: the `quoll` program of this checkout, built when stale.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::build_folder::{lock, target_dir, workspace_dir};
use crate::tools::{Tool, run};

/// The `quoll` program, up to date with the sources.
///
/// Cargo decides whether it is stale, once per test process; it is built in the profile of the running
/// test. `QUOLL_BIN` names another program to test instead.
///
/// # Panics
/// When it does not build.
pub fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| std::env::var_os("QUOLL_BIN").map(PathBuf::from).unwrap_or_else(build)).clone()
}

fn build() -> PathBuf {
    let exe = std::env::current_exe().expect("the running test has a path");
    let profile_dir = exe
        .ancestors()
        .find(|dir| dir.join("deps").is_dir() && dir.join(".fingerprint").is_dir())
        .unwrap_or_else(|| panic!("{} does not lie in a cargo profile's folder", exe.display()));
    let profile_folder =
        profile_dir.file_name().and_then(|name| name.to_str()).expect("a profile has a name");
    let profile = if profile_folder == "debug" { "dev" } else { profile_folder };

    // The features of a dependency are those that all that is built asks for. Asked for like this, and with some test,
    // they are those of the whole workspace's tests, for which it is built already.
    let what = ["--workspace", "--bin", "quoll", "--test", "tidy"];
    let _lock = lock("build-quoll");
    run(Tool::Cargo
        .command()
        .args(["build", "--quiet"])
        .args(what)
        .args(["--profile", profile])
        .arg("--manifest-path")
        .arg(workspace_dir().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target_dir()));
    let program = target_dir().join(profile_folder).join("quoll");
    assert!(program.is_file(), "cargo built no {}", program.display());
    program
}

/// The command that starts a server on `config`, with the given upstream-style properties.
pub fn command(config: &Path, properties: &[(String, String)]) -> Command {
    let mut quoll = Command::new(program());
    quoll.arg("server");
    quoll.args(properties.iter().map(|(key, value)| format!("-D{key}={value}")));
    quoll.arg(config);
    quoll
}
