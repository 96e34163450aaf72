//! multi and multiRead.

use zookeeper_client::{Client, Error, MultiReadResult, MultiWriteResult};

use crate::notes::{EPHEMERAL, Notes, OPEN, SEQUENTIAL, connect, scenario};

#[test]
fn transactions_succeed_and_fail_alike() {
    scenario("multi", async |server, notes| {
        let client = connect(server).await;

        notes.section("good");
        let mut multi = client.new_multi_writer();
        multi.add_create("/m", b"1", OPEN).unwrap();
        multi.add_create("/m/a", b"2", OPEN).unwrap();
        multi.add_set_data("/m/a", b"three", Some(0)).unwrap();
        multi.add_check_version("/m/a", 1).unwrap();
        multi.add_create("/m/s-", b"", SEQUENTIAL).unwrap();
        multi.add_create("/m/e", b"", EPHEMERAL).unwrap();
        multi.add_delete("/m/a", Some(1)).unwrap();
        if let Some(done) = notes.outcome("multi", multi.commit().await.map_err(Error::from)) {
            results(notes, &client, &done);
        }
        notes.children(&client, "/m").await;

        notes.section("bad");
        let mut multi = client.new_multi_writer();
        multi.add_create("/m/x", b"", OPEN).unwrap();
        multi.add_check_version("/m", 9).unwrap();
        multi.add_delete("/m", None).unwrap();
        notes.say("version", multi.commit().await.map(|_| ()));
        let mut multi = client.new_multi_writer();
        multi.add_delete("/nothing", None).unwrap();
        notes.say("no node", multi.commit().await.map(|_| ()));
        let mut multi = client.new_multi_writer();
        multi.add_create("/m/y", b"", OPEN).unwrap();
        multi.add_create("/m/y/e", b"", EPHEMERAL).unwrap();
        multi.add_create("/m/y/e/x", b"", OPEN).unwrap();
        notes.say("below an ephemeral of its own", multi.commit().await.map(|_| ()));
        let mut multi = client.new_multi_writer();
        multi.add_create("/m/y", b"", OPEN).unwrap();
        multi.add_delete("/m/y", None).unwrap();
        multi.add_delete("/m/y", None).unwrap();
        notes.say("deleted twice", multi.commit().await.map(|_| ()));
        notes.children(&client, "/m").await;

        notes.section("guarded by a check");
        let mut guarded = client.new_check_writer("/m", Some(0)).unwrap();
        guarded.add_create("/m/guarded", b"", OPEN).unwrap();
        guarded.add_set_data("/m", b"set", None).unwrap();
        if let Some(done) = notes.outcome("check holds", guarded.commit().await.map_err(Error::from)) {
            results(notes, &client, &done);
        }
        let mut guarded = client.new_check_writer("/m", Some(0)).unwrap();
        guarded.add_delete("/m/guarded", None).unwrap();
        notes.say("check fails", guarded.commit().await.map(|_| ()));
        notes.children(&client, "/m").await;
    });
}

#[test]
fn reads_in_one_request_answer_alike() {
    scenario("multi-read", async |server, notes| {
        let client = connect(server).await;
        notes.create(&client, "/r", OPEN).await;
        notes.create(&client, "/r/one", OPEN).await;
        notes.create(&client, "/r/two", OPEN).await;
        let mut reader = client.new_multi_reader();
        for path in ["/r", "/nothing", "/r/one", "/"] {
            reader.add_get_data(path).unwrap();
            reader.add_get_children(path).unwrap();
        }
        for answer in reader.commit().await.expect("a multiRead as a whole succeeds") {
            match answer {
                MultiReadResult::Data { data, stat } => {
                    notes.say("data", String::from_utf8_lossy(&data));
                    notes.stat(&client, &stat);
                }
                MultiReadResult::Children { children } => notes.names(children),
                MultiReadResult::Error { err } => notes.say("error", err),
                other => notes.say("unknown", other),
            }
        }
    });
}

pub fn results(notes: &mut Notes, client: &Client, results: &[MultiWriteResult]) {
    for result in results {
        match result {
            MultiWriteResult::Check => notes.say("  check", ()),
            MultiWriteResult::Delete => notes.say("  delete", ()),
            MultiWriteResult::Create { path, stat } => {
                notes.say("  create", path);
                notes.stat(client, stat);
            }
            MultiWriteResult::SetData { stat } => {
                notes.say("  set_data", ());
                notes.stat(client, stat);
            }
            other => notes.say("  unknown", other),
        }
    }
}
