//! A client with a session, credentials and one-shot watches, while the server is killed and stopped.
//!
//! Persistent watches are left to other clients: this crate (0.11.2) does not set them again.

use std::time::Duration;

use compat_tests::Server;
use zookeeper_client::{Client, SessionState};

use crate::notes::{EPHEMERAL, OPEN, connect, scenario};

#[test]
fn a_client_survives_restarts_of_the_server_alike() {
    scenario("restarts", async |server, notes| {
        let client = connect(server).await;
        client.auth("digest", b"bob:builds").await.unwrap();
        notes.create(&client, "/r", OPEN).await;
        notes.create(&client, "/r/e", EPHEMERAL).await;
        for stop in [Server::kill as fn(&mut Server), |server: &mut Server| _ = server.stop(), Server::kill] {
            notes.section("again");
            let (_, _, data) = client.get_and_watch_data("/r").await.unwrap();
            let (_, soon) = client.check_and_watch_stat("/r/soon").await.unwrap();
            let (_, children) = client.list_and_watch_children("/r").await.unwrap();
            restart(server, &client, stop).await;
            let stat = client.check_stat("/r/e").await.unwrap().unwrap();
            notes.stat(&client, &stat);
            client.set_data("/r", b"changed", None).await.unwrap();
            client.create("/r/soon", b"", OPEN).await.unwrap();
            notes.event("data", &data.changed().await);
            notes.event("soon", &soon.changed().await);
            notes.event("children", &children.changed().await);
            client.delete("/r/soon", None).await.unwrap();
            notes.children(&client, "/r").await;
        }
    });
}

async fn restart(server: &mut Server, client: &Client, stop: fn(&mut Server)) {
    let mut states = client.state_watcher();
    stop(server);
    while states.state() != SessionState::Disconnected {
        states.changed().await;
    }
    server.start_again();
    while states.state() != SessionState::SyncConnected {
        tokio::time::timeout(Duration::from_secs(30), states.changed()).await.expect("it connects again");
    }
}
