//! Debian's C client library (`libzookeeper-mt`), driven through every call by the program in `c/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use compat_tests::build_folder::{crate_dir, entry, sources_key};
use compat_tests::client::converse;
use compat_tests::tools::{Tool, run, unpack_debian_packages};
use compat_tests::{ServerBuilder, compare_with};

#[test]
fn every_synchronous_call_answers_alike() {
    scenario("sync_calls", |server| server);
}

#[test]
fn every_asynchronous_call_answers_alike_and_in_order() {
    scenario("async_calls", |server| server.property("zookeeper.extendedTypesEnabled", true));
}

#[test]
fn create_modes_sequences_containers_and_ttl_nodes_are_alike() {
    scenario("create_modes", |server| {
        server
            .property("zookeeper.extendedTypesEnabled", true)
            .property("znode.container.checkIntervalMs", 200)
    });
}

#[test]
fn transactions_succeed_and_fail_alike() {
    scenario("multi", |server| server);
}

#[test]
fn watches_fire_alike_and_in_order() {
    scenario("watches", |server| server);
}

#[test]
fn acls_and_authentication_are_alike() {
    // The digest of super:secret.
    scenario("acl_and_auth", |server| {
        server.property(
            "zookeeper.DigestAuthenticationProvider.superDigest",
            "super:lK75jTNcA+U9vtVEw5vB51mj/w4=",
        )
    });
}

#[test]
fn sessions_are_negotiated_resumed_and_expired_alike() {
    scenario("sessions", |server| server);
}

#[test]
fn a_client_survives_restarts_of_the_server_alike() {
    scenario("reconnect", |server| server);
}

fn scenario(name: &str, configure: impl Fn(ServerBuilder) -> ServerBuilder) {
    let program = program();
    compare_with(&format!("c-client-{name}"), configure, |server| {
        converse(Command::new(&program).arg(name).arg(server.address()), server)
    });
}

/// Debian's packages of the library, unpacked.
fn library() -> PathBuf {
    const PACKAGES: [&str; 2] = ["libzookeeper-mt-dev", "libzookeeper-mt2"];
    entry("c-library", &PACKAGES.join(" "), |dir| unpack_debian_packages(&PACKAGES, dir))
}

/// The folder that is named for the machine's architecture.
fn only_folder_in(dir: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    entries.next().expect("the package has a library").expect("a directory entry can be read").path()
}

/// The program, compiled when its sources have changed.
fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM
        .get_or_init(|| {
            let library = library();
            let include = library.join("usr/include");
            let lib = only_folder_in(&library.join("usr/lib"));
            entry("c-client", &sources_key(&["c"]), |dir| {
                let mut sources: Vec<PathBuf> = std::fs::read_dir(crate_dir().join("c"))
                    .expect("the folder c is there")
                    .map(|file| file.expect("a directory entry can be read").path())
                    .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
                    .collect();
                sources.sort();
                run(Tool::Cc
                    .command()
                    .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-DTHREADED", "-o"])
                    .arg(dir.join("c_client"))
                    .args(sources)
                    .arg("-I")
                    .arg(include)
                    .arg("-L")
                    .arg(&lib)
                    .arg(format!("-Wl,-rpath,{}", lib.display()))
                    .args(["-lzookeeper_mt", "-lpthread"]));
            })
            .join("c_client")
        })
        .clone()
}
