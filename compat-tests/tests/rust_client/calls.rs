//! Reads and writes, with their ordinary and their refused answers.

use zookeeper_client::{Client, EnsembleUpdate};

use crate::notes::{EPHEMERAL, Notes, OPEN, connect, scenario};

#[test]
fn every_call_answers_alike() {
    scenario("calls", async |server, notes| {
        let client = connect(server).await;

        notes.section("a fresh tree");
        for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
            read(notes, &client, path).await;
        }
        notes.outcome("get_config", client.get_config().await);

        notes.section("create");
        notes.create(&client, "/a", OPEN).await;
        notes.create(&client, "/a", OPEN).await;
        notes.create(&client, "/a/b", OPEN).await;
        notes.create(&client, "/a/ünï", OPEN).await;
        notes.create(&client, "/a/e", EPHEMERAL).await;
        notes.create(&client, "/a/e/child", OPEN).await;
        notes.create(&client, "/no/parent", OPEN).await;
        notes.outcome("mkdir", client.mkdir("/deep/er/still", OPEN).await);
        notes.outcome("mkdir again", client.mkdir("/deep/er/still", OPEN).await);

        notes.section("read");
        for path in ["/a", "/a/b", "/a/ünï", "/a/e", "/nothing"] {
            read(notes, &client, path).await;
        }

        notes.section("set");
        for (path, version) in [
            ("/a", Some(0)),
            ("/a", Some(0)),
            ("/a", None),
            ("/nothing", None),
            ("/", None),
            ("/a", Some(-2)),
        ] {
            let outcome = client.set_data(path, b"changed", version).await;
            if let Some(stat) = notes.outcome(&format!("set_data {path} {version:?}"), outcome) {
                notes.stat(&client, &stat);
            }
        }

        notes.section("counts and ephemerals");
        for path in ["/", "/a", "/deep", "/nothing", "/zookeeper"] {
            notes.say(path, client.count_descendants_number(path).await);
        }
        notes.create(&client, "/deep/e", EPHEMERAL).await;
        for path in ["/", "/a", "/deep", "/nothing", "/zookeeper"] {
            if let Some(paths) = notes.outcome(path, client.list_ephemerals(path).await) {
                notes.names(paths);
            }
        }

        notes.section("sync and reconfig");
        notes.outcome("sync", client.sync("/a").await);
        notes.outcome("sync of nothing", client.sync("/nothing").await);
        let joining =
            EnsembleUpdate::New { ensemble: std::iter::once("server.1=127.0.0.1:1:2:participant;3") };
        notes.say("update_ensemble", client.update_ensemble(joining, None).await.map(|_| ()));

        notes.section("many in flight, answered in order");
        let paths: Vec<String> = (0..200).map(|n| format!("/a/n{n:03}")).collect();
        let writes: Vec<_> =
            paths.iter().map(|path| (client.create(path, b"", OPEN), client.get_data(path))).collect();
        for (write, read) in writes {
            let (stat, _) = write.await.expect("the node is made");
            let (_, seen) = read.await.expect("a read sees the write sent before it");
            assert_eq!(stat, seen);
        }
        notes.children(&client, "/a").await;

        notes.section("delete");
        for (path, version) in [
            ("/a", None),
            ("/a/b", Some(7)),
            ("/a/b", Some(0)),
            ("/a/b", None),
            ("/zookeeper", None),
            ("/zookeeper/quota", None),
        ] {
            notes.outcome(&format!("delete {path} {version:?}"), client.delete(path, version).await);
        }
        notes.children(&client, "/deep").await;

        notes.section("chroot");
        let deep = client.clone().chroot("/deep").expect("the path is absolute");
        read(notes, &deep, "/").await;
        notes.create(&deep, "/made", OPEN).await;
        read(notes, &client, "/deep/made").await;
    });
}

async fn read(notes: &mut Notes, client: &Client, path: &str) {
    if let Some((data, stat)) = notes.outcome(&format!("get_data {path}"), client.get_data(path).await) {
        notes.say("  data", String::from_utf8_lossy(&data));
        notes.stat(client, &stat);
    }
    if let Some(found) = notes.outcome(&format!("check_stat {path}"), client.check_stat(path).await) {
        notes.say("  found", found.is_some());
    }
    if let Some(names) = notes.outcome(&format!("list_children {path}"), client.list_children(path).await) {
        notes.names(names);
    }
    notes.children(client, path).await;
    if let Some((acl, stat)) = notes.outcome(&format!("get_acl {path}"), client.get_acl(path).await) {
        notes.say("  acl", acl);
        notes.stat(client, &stat);
    }
}
