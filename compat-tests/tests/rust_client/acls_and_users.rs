//! ACLs, credentials, and who the server thinks one is.

use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Permission};

use crate::notes::{Notes, OPEN, connect, scenario};

#[test]
fn acls_and_authentication_are_alike() {
    scenario("acls", async |server, notes| {
        let client = connect(server).await;
        let other = connect(server).await;

        notes.section("who am I");
        users(notes, &client).await;
        notes.say("auth", client.auth("digest", b"bob:builds").await);
        users(notes, &client).await;
        notes.say("auth", client.auth("digest", b"alice:finds").await);
        users(notes, &client).await;

        notes.section("schemes");
        for (path, permission, scheme, id) in [
            ("/world", Permission::READ, "world", "anyone"),
            ("/auth", Permission::ALL, "auth", ""),
            ("/ip", Permission::READ | Permission::WRITE, "ip", "127.0.0.1/16"),
            ("/ip-else", Permission::ALL, "ip", "192.168.0.0/16"),
            ("/bad-ip", Permission::ALL, "ip", "nowhere"),
            ("/bad-world", Permission::ALL, "world", "some"),
            ("/bad-scheme", Permission::ALL, "unheard", "of"),
            ("/bad-digest", Permission::ALL, "digest", "bob"),
        ] {
            let acl = [Acl::new(permission, AuthId::new(scheme, id))];
            notes.create(&client, path, &CreateMode::Persistent.with_acls(Acls::new(&acl))).await;
        }
        notes.create(&other, "/auth-nobody", &CreateMode::Persistent.with_acls(Acls::creator_all())).await;
        notes.create(&client, "/read", &CreateMode::Persistent.with_acls(Acls::anyone_read())).await;

        for (who, client) in [("bob and alice", &client), ("nobody", &other)] {
            notes.section(who);
            for path in ["/world", "/auth", "/ip", "/ip-else", "/read"] {
                attempt(notes, client, path).await;
            }
        }

        notes.section("set_acl");
        let mixed = [
            Acl::new(Permission::READ, AuthId::new("world", "anyone")),
            Acl::new(Permission::ALL, AuthId::new("auth", "")),
        ];
        for (who, client, version) in [
            ("nobody", &other, None),
            ("bob", &client, Some(4)),
            ("bob", &client, Some(0)),
            ("bob", &client, None),
        ] {
            let outcome = client.set_acl("/auth", &Acls::new(&mixed), version).await;
            if let Some(stat) = notes.outcome(&format!("{who} {version:?}"), outcome) {
                notes.stat(client, &stat);
            }
        }
        attempt(notes, &other, "/auth").await;
    });
}

async fn users(notes: &mut Notes, client: &Client) {
    if let Some(mut users) = notes.outcome("list_auth_users", client.list_auth_users().await) {
        users.sort_by_key(|user| (user.scheme().to_owned(), user.user().to_owned()));
        notes.say("  users", users);
    }
}

async fn attempt(notes: &mut Notes, client: &Client, path: &str) {
    notes.say(path, ());
    notes.outcome("  get_data", client.get_data(path).await);
    notes.outcome("  check_stat", client.check_stat(path).await);
    notes.outcome("  set_data", client.set_data(path, b"x", None).await);
    notes.outcome("  list_children", client.list_children(path).await);
    notes.say("  count", client.count_descendants_number(path).await);
    notes.outcome("  create", client.create(&format!("{path}/child"), b"", OPEN).await);
    notes.outcome("  delete", client.delete(&format!("{path}/child"), None).await);
    if let Some((acl, stat)) = notes.outcome("  get_acl", client.get_acl(path).await) {
        notes.say("  acl", acl);
        notes.stat(client, &stat);
    }
}
