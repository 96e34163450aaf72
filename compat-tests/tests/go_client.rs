//! go-zookeeper, driven through every call by the program in `go/`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use compat_tests::build_folder::{crate_dir, entry, sources_key};
use compat_tests::client::converse;
use compat_tests::tools::{Tool, run};
use compat_tests::{ServerBuilder, compare_with};

#[test]
fn every_call_answers_alike() {
    scenario("calls", |server| server);
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
fn watches_fire_alike() {
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
fn lost_connections_keep_or_lose_their_session_alike() {
    scenario("sessions", |server| server);
}

#[test]
fn a_client_survives_restarts_of_the_server_alike() {
    scenario("reconnect", |server| server);
}

#[test]
fn the_lock_recipe_excludes_alike() {
    scenario("lock", |server| server);
}

#[test]
fn four_letter_words_are_parsed_alike() {
    scenario("words", |server| server);
}

fn scenario(name: &str, configure: impl Fn(ServerBuilder) -> ServerBuilder) {
    let program = program();
    compare_with(&format!("go-client-{name}"), configure, |server| {
        converse(Command::new(&program).arg(name).arg(server.address()), server)
    });
}

/// The program, built when its sources have changed.
fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM
        .get_or_init(|| {
            entry("go-client", &sources_key(&["go"]), |dir| {
                run(Tool::Go
                    .command()
                    .args(["build", "-mod=readonly", "-buildvcs=false", "-o"])
                    .arg(dir.join("go_client"))
                    .arg(".")
                    .current_dir(crate_dir().join("go")));
            })
            .join("go_client")
        })
        .clone()
}
