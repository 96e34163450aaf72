//! The crate's lock recipe in its three layouts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use zookeeper_client::{Acls, CreateMode, LockOptions, LockPrefix};

use crate::notes::{connect, scenario};

#[test]
fn the_lock_recipe_excludes_alike() {
    scenario("locks", async |server, notes| {
        for layout in ["curator", "shared", "custom"] {
            notes.section(layout);
            let inside = Arc::new(AtomicUsize::new(0));
            let mut tasks = Vec::new();
            for _ in 0..4 {
                let client = connect(server).await;
                let inside = inside.clone();
                tasks.push(tokio::spawn(async move {
                    for _ in 0..3 {
                        let prefix = match layout {
                            "curator" => LockPrefix::new_curator("/locks/curator", "lock-"),
                            "shared" => LockPrefix::new_shared("/locks/shared/n-"),
                            _ => LockPrefix::new_custom("/locks/custom/x-n-".to_owned(), "n-"),
                        };
                        let ancestors = CreateMode::Persistent.with_acls(Acls::anyone_all());
                        let options =
                            LockOptions::new(Acls::anyone_all()).with_ancestor_options(ancestors).unwrap();
                        let lock = client.lock(prefix.unwrap(), b"", options).await.unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
                        tokio::task::yield_now().await;
                        lock.set_data("/locks", b"mine", None).await.unwrap();
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        drop(lock);
                    }
                    client
                }));
            }
            for task in tasks {
                drop(task.await.expect("no holder fails"));
            }
            let client = connect(server).await;
            let (data, stat) = client.get_data("/locks").await.unwrap();
            notes.say("data", (String::from_utf8_lossy(&data), stat.version));
            let path = format!("/locks/{layout}");
            while !client.list_children(&path).await.unwrap().is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            let (_, stat) = client.get_children(&path).await.unwrap();
            notes.say("children ever made and gone", stat.cversion);
        }
    });
}
