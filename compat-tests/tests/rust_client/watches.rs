//! One-shot, persistent and recursive watches, their events with the zxids of what caused them, and removal.

// The crate would rather have a watcher dropped than removed, but a drop does not wait for the answer.
#![allow(deprecated)]

use zookeeper_client::{AddWatchMode, Client, Error, EventType, PersistentWatcher};

use crate::notes::{EPHEMERAL, Notes, OPEN, connect, scenario};

#[test]
fn one_shot_watches_fire_alike() {
    scenario("watches", async |server, notes| {
        let client = connect(server).await;
        let other = connect(server).await;
        notes.section("creation, change, children, end");
        let (_, created) = client.check_and_watch_stat("/w").await.unwrap();
        notes.create(&other, "/w", OPEN).await;
        notes.event("created", &created.changed().await);
        let (_, _, data) = client.get_and_watch_data("/w").await.unwrap();
        let (_, stat) = client.check_and_watch_stat("/w").await.unwrap();
        let (_, children) = client.list_and_watch_children("/w").await.unwrap();
        other.set_data("/w", b"changed", None).await.unwrap();
        notes.event("data", &data.changed().await);
        notes.event("stat", &stat.changed().await);
        notes.create(&other, "/w/a", OPEN).await;
        notes.event("children", &children.changed().await);
        let (_, _, data) = client.get_and_watch_data("/w/a").await.unwrap();
        let (_, _, its_children) = client.get_and_watch_children("/w/a").await.unwrap();
        let (_, children) = client.list_and_watch_children("/w").await.unwrap();
        other.delete("/w/a", None).await.unwrap();
        notes.event("data", &data.changed().await);
        notes.event("its children", &its_children.changed().await);
        notes.event("children", &children.changed().await);
        notes.say("nothing to watch", client.get_and_watch_data("/nothing").await.map(|_| ()));
        notes.say("nothing to watch", client.list_and_watch_children("/nothing").await.map(|_| ()));

        notes.section("a transaction fires with one zxid");
        let (_, data) = client.check_and_watch_stat("/w").await.unwrap();
        let (_, soon) = client.check_and_watch_stat("/w/soon").await.unwrap();
        let (_, children) = client.list_and_watch_children("/w").await.unwrap();
        let mut multi = other.new_multi_writer();
        multi.add_create("/w/soon", b"", OPEN).unwrap();
        multi.add_set_data("/w", b"", None).unwrap();
        notes.outcome("multi", multi.commit().await.map_err(Error::from));
        notes.event("data", &data.changed().await);
        notes.event("soon", &soon.changed().await);
        notes.event("children", &children.changed().await);

        notes.section("an ephemeral's end");
        notes.create(&other, "/w/e", EPHEMERAL).await;
        let (_, end) = client.check_and_watch_stat("/w/e").await.unwrap();
        drop(other);
        notes.event("end", &end.changed().await);

        notes.section("removal");
        let (_, _, data) = client.get_and_watch_data("/w").await.unwrap();
        notes.say("removed", data.remove().await);
        let (_, config) = client.check_and_watch_stat("/zookeeper/config").await.unwrap();
        notes.say("removed", config.remove().await);
    });
}

#[test]
fn persistent_and_recursive_watches_fire_alike() {
    scenario("persistent-watches", async |server, notes| {
        let client = connect(server).await;
        let other = connect(server).await;
        let mut node = client.watch("/w", AddWatchMode::Persistent).await.unwrap();
        let mut tree = client.watch("/w", AddWatchMode::PersistentRecursive).await.unwrap();
        let mut root = client.watch("/", AddWatchMode::PersistentRecursive).await.unwrap();
        let mut root_node = client.watch("/", AddWatchMode::Persistent).await.unwrap();
        // A one-shot watch beside them is used up alone.
        let (_, once) = client.check_and_watch_stat("/w").await.unwrap();

        change(notes, &other).await;
        notes.event("once", &once.changed().await);
        for (name, watcher) in
            [("node", &mut node), ("tree", &mut tree), ("root", &mut root), ("root node", &mut root_node)]
        {
            until_end(notes, name, watcher).await;
        }

        notes.section("after removal of the tree's");
        notes.say("removed", tree.remove().await);
        change(notes, &other).await;
        for (name, watcher) in [("node", &mut node), ("root", &mut root), ("root node", &mut root_node)] {
            until_end(notes, name, watcher).await;
        }

        notes.section("after removal of the node's");
        notes.say("removed", node.remove().await);
        change(notes, &other).await;
        for (name, watcher) in [("root", &mut root), ("root node", &mut root_node)] {
            until_end(notes, name, watcher).await;
        }

        notes.section("events need the right to read");
        other.auth("digest", b"bob:builds").await.unwrap();
        let closed =
            zookeeper_client::CreateMode::Persistent.with_acls(zookeeper_client::Acls::creator_all());
        notes.create(&other, "/closed", &closed).await;
        notes.create(&other, "/closed/open", OPEN).await;
        other.set_data("/closed", b"secret", None).await.unwrap();
        other.set_data("/closed/open", b"public", None).await.unwrap();
        mark_end(&other).await;
        until_end(notes, "root", &mut root).await;
    });
}

/// Every kind of change, on the watched node, below it and beside it.
async fn change(notes: &mut Notes, client: &Client) {
    notes.create(client, "/w", OPEN).await;
    notes.create(client, "/w/a", OPEN).await;
    notes.create(client, "/w/a/deep", EPHEMERAL).await;
    notes.create(client, "/wider", OPEN).await;
    client.set_data("/w", b"1", None).await.unwrap();
    client.set_data("/w/a", b"2", None).await.unwrap();
    client.set_acl("/w", &zookeeper_client::Acls::anyone_all(), None).await.unwrap();
    notes.say("refused", client.delete("/w", None).await);
    let mut multi = client.new_multi_writer();
    multi.add_create("/w/m", b"", OPEN).unwrap();
    multi.add_set_data("/w/m", b"x", None).unwrap();
    multi.add_delete("/w/m", None).unwrap();
    notes.outcome("multi", multi.commit().await.map_err(Error::from));
    for path in ["/w/a/deep", "/w/a", "/w", "/wider"] {
        client.delete(path, None).await.unwrap();
    }
    mark_end(client).await;
}

/// Changes that end what the watchers note: the root's data for those of the root; for those of /w, that it
/// goes a second time.
async fn mark_end(client: &Client) {
    client.create("/w", b"end", OPEN).await.unwrap();
    client.set_data("/w", b"end", None).await.unwrap();
    client.delete("/w", None).await.unwrap();
    client.set_data("/", b"end", None).await.unwrap();
}

async fn until_end(notes: &mut Notes, name: &str, watcher: &mut PersistentWatcher) {
    let mut deletions = 0;
    loop {
        let event = watcher.changed().await;
        notes.event(name, &event);
        let of_root = name.starts_with("root");
        match (event.event_type, event.path.as_str()) {
            (EventType::NodeDataChanged, "/") if of_root => return,
            (EventType::NodeDeleted, "/w") if !of_root => deletions += 1,
            _ => {}
        }
        if deletions == 2 {
            return;
        }
    }
}
