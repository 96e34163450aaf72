//! Create modes, sequence numbers, containers and TTL nodes, on servers with extended types and a quick
//! reaper.

use std::time::Duration;

use zookeeper_client::{Acls, Client, CreateMode, CreateOptions};

use crate::notes::{EPHEMERAL, Notes, OPEN, SEQUENTIAL, connect, scenario, scenario_with};

const CONTAINER: &CreateOptions<'static> = &CreateMode::Container.with_acls(Acls::anyone_all());
const EPHEMERAL_SEQUENTIAL: &CreateOptions<'static> =
    &CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());

#[test]
fn create_modes_sequences_containers_and_ttl_nodes_are_alike() {
    let quick_reaper = |server: compat_tests::ServerBuilder| {
        server
            .property("zookeeper.extendedTypesEnabled", true)
            .property("znode.container.checkIntervalMs", 200)
    };
    scenario_with("modes", quick_reaper, async |server, notes| {
        let client = connect(server).await;
        notes.section("modes and numbers");
        notes.create(&client, "/p", OPEN).await;
        for (path, options) in [
            ("/p/s-", SEQUENTIAL),
            ("/p/es-", EPHEMERAL_SEQUENTIAL),
            ("/p/plain", OPEN),
            ("/p/", SEQUENTIAL),
            ("/p/e", EPHEMERAL),
            ("/p/s-", SEQUENTIAL),
        ] {
            notes.create(&client, path, options).await;
        }
        notes.outcome("delete", client.delete("/p/plain", None).await);
        notes.create(&client, "/p/s-", SEQUENTIAL).await;
        notes.children(&client, "/p").await;

        notes.section("containers");
        notes.create(&client, "/c", CONTAINER).await;
        notes.create(&client, "/empty", CONTAINER).await;
        notes.create(&client, "/c/child", OPEN).await;
        notes.create(&client, "/c/e", EPHEMERAL).await;
        notes.outcome("delete", client.delete("/c/child", None).await);
        notes.outcome("delete", client.delete("/c/e", None).await);
        wait_until_gone(notes, &client, "/c").await;
        notes.say(
            "a container never used stays",
            client.check_stat("/empty").await.map(|stat| stat.is_some()),
        );

        notes.section("TTL");
        let ttl = |ms: u64| {
            CreateMode::Persistent.with_acls(Acls::anyone_all()).with_ttl(Duration::from_millis(ms))
        };
        notes.create(&client, "/t", &ttl(1500)).await;
        notes.create(&client, "/t/child", OPEN).await;
        notes.create(&client, "/brief", &ttl(100)).await;
        wait_until_gone(notes, &client, "/brief").await;
        notes.say("a TTL node with a child stays", client.check_stat("/t").await.map(|stat| stat.is_some()));
        notes.outcome("delete", client.delete("/t/child", None).await);
        wait_until_gone(notes, &client, "/t").await;

        notes.section("in a transaction");
        let mut multi = client.new_multi_writer();
        multi.add_create("/m", b"", CONTAINER).unwrap();
        multi.add_create("/m/t", b"", &ttl(3_600_000)).unwrap();
        multi.add_create("/m/s-", b"", SEQUENTIAL).unwrap();
        multi.add_create("/m/es-", b"", EPHEMERAL_SEQUENTIAL).unwrap();
        if let Some(results) =
            notes.outcome("multi", multi.commit().await.map_err(zookeeper_client::Error::from))
        {
            crate::transactions::results(notes, &client, &results);
        }
        notes.children(&client, "/m").await;
    });
}

#[test]
fn ttl_nodes_are_refused_alike_without_extended_types() {
    scenario("no-extended-types", async |server, notes| {
        let client = connect(server).await;
        let ttl = CreateMode::Persistent.with_acls(Acls::anyone_all()).with_ttl(Duration::from_secs(3600));
        notes.create(&client, "/t", &ttl).await;
        notes.create(&client, "/c", CONTAINER).await;
        let mut multi = client.new_multi_writer();
        multi.add_create("/before", b"", OPEN).unwrap();
        multi.add_create("/t", b"", &ttl).unwrap();
        notes.say("multi", multi.commit().await.map(|_| ()));
        // What was refused has used up transaction numbers, or not.
        notes.create(&client, "/after", OPEN).await;
        notes.children(&client, "/").await;
    });
}

async fn wait_until_gone(notes: &mut Notes, client: &Client, path: &str) {
    while client.check_stat(path).await.expect("the server answers").is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    notes.say("gone", path);
}
