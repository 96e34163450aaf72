//! Settings of standalone servers, by their effect on both arms.

use std::net::SocketAddr;

use compat_tests::raw::{Acl, Client, Dec, Enc, flag, op};
use compat_tests::{Server, Transcript, compare, compare_with};

fn client(server: &Server) -> Client {
    Client::connect(SocketAddr::from(([127, 0, 0, 1], server.port())), 10_000).unwrap()
}

/// The lines of `mntr` that have this in their name, in order.
fn metrics(server: &Server, part: &str) -> Vec<String> {
    let text = server.four_letter_word("mntr").unwrap();
    let mut lines: Vec<String> = text.lines().filter(|l| l.contains(part)).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The scheme `ensemble`, tried with several names.
fn names(server: &mut Server) -> Transcript {
    let mut notes = Transcript::new();
    for name in ["east", "west", "", "north", " west"] {
        let mut zk = client(server);
        let body = Enc::new().int(0).str("ensemble").buf(Some(name.as_bytes()));
        match zk.call(op::AUTH, &body.0) {
            Ok(reply) => notes += &(format!("{name:?} is answered with {}", reply.err) + "\n"),
            Err(_) => notes += &(format!("{name:?} ends the connection") + "\n"),
        }
        let alive = zk.exists("/", false).is_ok();
        notes += &(format!("  it lives on: {alive}") + "\n");
    }
    for line in metrics(server, "ensemble_auth") {
        notes += &(line + "\n");
    }
    notes
}

const PROVIDER: &str = "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider";

#[test]
fn names_of_the_ensemble_are_told_apart_alike() {
    compare_with(
        "ensemble-auth",
        |server| {
            server
                .property("zookeeper.authProvider.1", PROVIDER)
                .property("zookeeper.ensembleAuthName", "east, west")
        },
        names,
    );
}

#[test]
fn an_ensemble_without_a_name_takes_every_name_alike() {
    compare_with(
        "ensemble-auth-unnamed",
        |server| server.property("zookeeper.authProvider.1", PROVIDER),
        names,
    );
}

#[test]
fn names_of_the_ensemble_mean_nothing_without_their_provider_alike() {
    compare_with(
        "ensemble-auth-without-provider",
        |server| server.property("zookeeper.ensembleAuthName", "east"),
        names,
    );
}

#[test]
fn mntr_shows_quotas_alike() {
    compare("quota-gauges", |server| {
        let mut notes = Transcript::new();
        let mut zk = client(server);
        for (path, data) in [
            ("/app", "123"),
            ("/app/x", "12"),
            ("/zookeeper/quota/app", ""),
            ("/zookeeper/quota/app/zookeeper_limits", "count=10,bytes=-1"),
            ("/zookeeper/quota/app/zookeeper_stats", "anything"),
            ("/zookeeper/quota/app/x", ""),
            ("/zookeeper/quota/app/x/zookeeper_limits", "count=4,bytes=5=;byteHardLimit=7;countHardLimit=2"),
            ("/zookeeper/quota/app/x/zookeeper_stats", ""),
            ("/zookeeper/quota/bare", ""),
            ("/zookeeper/quota/bare/zookeeper_limits", "count=3,bytes=9"),
            ("/zookeeper/quota/other", "count=3,bytes=9"),
        ] {
            // The answer to the creation of a znode of usage is of interest itself.
            let made = zk.create(path, Some(data.as_bytes()), &Acl::open(), flag::PERSISTENT, 0).unwrap();
            notes += &(format!("{path}: {}", made.is_ok()) + "\n");
            for line in metrics(server, "quota_") {
                notes += &(format!("  {line}") + "\n");
            }
        }
        let stats = "/zookeeper/quota/bare/zookeeper_stats";
        let body = Enc::new().str(stats).buf(Some(b"sent")).acls(&Acl::open()).int(flag::PERSISTENT);
        let reply = zk.call(op::CREATE2, &body.0).unwrap();
        let mut made = Dec(&reply.body);
        made.str().unwrap();
        let stat = made.stat().unwrap();
        notes += &(format!("create2 answers {} with {} bytes", reply.err, stat.data_length) + "\n");
        let (data, stat) = zk.get_data(stats, false).unwrap().unwrap();
        notes += &(format!(
            "it holds {:?}, {} bytes",
            data.map(|d| String::from_utf8(d).unwrap()),
            stat.data_length
        ) + "\n");
        notes
    });
}
