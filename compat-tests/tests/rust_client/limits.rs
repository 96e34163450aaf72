//! Quotas, packets that are too large, connections that are too many.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use compat_tests::compare_with;
use rustix::io::Errno;
use zookeeper_client::{Client, Error, SessionState};

use crate::notes::{Notes, OPEN, SEQUENTIAL, connect, scenario, scenario_with};

#[test]
fn enforced_quotas_refuse_alike() {
    scenario_with(
        "quotas-enforced",
        |server| server.key("enforceQuota", true),
        async |server, notes| {
            let client = connect(server).await;
            quotas(notes, &client).await;
        },
    );
}

#[test]
fn quotas_not_enforced_count_alike() {
    scenario("quotas", async |server, notes| {
        let client = connect(server).await;
        quotas(notes, &client).await;
    });
}

async fn quotas(notes: &mut Notes, client: &Client) {
    notes.section("a tree that is there before its quota");
    client.mkdir("/q/a/b", OPEN).await.unwrap();
    client.set_data("/q/a", b"12345", None).await.unwrap();
    limit(notes, client, "/q", "count=2,bytes=4=;byteHardLimit=40;countHardLimit=6").await;

    notes.section("more nodes");
    for name in ["/q/1", "/q/2", "/q/3", "/q/4", "/q/a/b/5"] {
        notes.create(client, name, OPEN).await;
        usage(notes, client, "/q").await;
    }
    notes.create(client, "/q/s-", SEQUENTIAL).await;
    notes.outcome("delete", client.delete("/q/1", None).await);
    usage(notes, client, "/q").await;

    notes.section("more bytes");
    for length in [10, 30, 33, 34, 60, 0] {
        let outcome = client.set_data("/q/a", &vec![b'x'; length], None).await;
        notes.outcome(&format!("{length} bytes"), outcome);
        usage(notes, client, "/q").await;
    }
    notes.outcome("in an unlimited place", client.create("/free", &[b'x'; 1000], OPEN).await);

    notes.section("in a transaction");
    let mut multi = client.new_multi_writer();
    for n in 0..3 {
        multi.add_create(&format!("/q/m{n}"), b"1234567890", OPEN).unwrap();
    }
    notes.say("multi", multi.commit().await.map(|_| ()));
    usage(notes, client, "/q").await;

    notes.section("the deepest quota counts");
    limit(notes, client, "/q/a", "count=1,bytes=-1=;byteHardLimit=-1;countHardLimit=-1").await;
    notes.create(client, "/q/a/c", OPEN).await;
    usage(notes, client, "/q").await;
    usage(notes, client, "/q/a").await;

    notes.section("limits of an odd shape");
    client.mkdir("/odd", OPEN).await.unwrap();
    limit(notes, client, "/odd", "count=1").await;
    notes.create(client, "/odd/1", OPEN).await;
    notes.create(client, "/odd/2", OPEN).await;
    usage(notes, client, "/odd").await;

    notes.section("without its quota");
    for node in ["zookeeper_stats", "zookeeper_limits"] {
        notes.outcome(node, client.delete(&format!("/zookeeper/quota/odd/{node}"), None).await);
    }
    notes.create(client, "/odd/3", OPEN).await;
    notes.children(client, "/zookeeper/quota/odd").await;
}

/// Sets a quota as a client does: by two nodes.
async fn limit(notes: &mut Notes, client: &Client, path: &str, limits: &str) {
    let quota = format!("/zookeeper/quota{path}");
    client.mkdir(&quota, OPEN).await.unwrap();
    for (node, data) in [("zookeeper_limits", limits), ("zookeeper_stats", "count=0,bytes=0")] {
        let outcome = client.create(&format!("{quota}/{node}"), data.as_bytes(), OPEN).await;
        notes.outcome(&format!("quota of {path}, {node}"), outcome);
    }
    usage(notes, client, path).await;
}

async fn usage(notes: &mut Notes, client: &Client, path: &str) {
    let (data, stat) = client.get_data(&format!("/zookeeper/quota{path}/zookeeper_stats")).await.unwrap();
    notes.say(&format!("  usage of {path}"), String::from_utf8_lossy(&data));
    notes.stat(client, &stat);
}

#[test]
fn packets_that_are_too_large_end_the_connection_alike() {
    scenario_with(
        "large-packets",
        |server| server.property("jute.maxbuffer", 20_000),
        async |server, notes| {
            let client = connect(server).await;
            let session = client.session_id();
            for length in [1_000, 19_000, 19_900, 20_000, 50_000, 2_000_000] {
                let path = format!("/{length}");
                let outcome = client.create(&path, &vec![b'x'; length], OPEN).await;
                notes.say(&path, outcome.map(|(stat, _)| stat.data_length).map_err(as_loss));
                let mut states = client.state_watcher();
                while states.state() != SessionState::SyncConnected {
                    states.changed().await;
                }
                // The loss may become known only with the next request.
                let found = loop {
                    match client.check_stat(&path).await.map_err(as_loss) {
                        Err(Error::ConnectionLoss) => tokio::time::sleep(Duration::from_millis(20)).await,
                        outcome => break outcome,
                    }
                };
                notes.say("  made", found.map(|stat| stat.is_some()));
            }
            notes.say("the session lives on", client.session_id() == session);
            notes.children(&client, "/").await;

            notes.section("answers may be larger than packets");
            for n in 0..300 {
                let path = format!("/1000/{n:0>100}");
                client.create(&path, b"", OPEN).await.unwrap();
            }
            notes.say("children", client.list_children("/1000").await.map(|names| names.len()));
        },
    );
}

/// A connection that the other end closes while a large packet is still on its way out may also be told of by the
/// system's own error, whichever server closed it: which of them depends on how far the client had come.
fn as_loss(error: Error) -> Error {
    let text = error.to_string();
    let system = [Errno::PIPE, Errno::CONNRESET].map(|errno| io::Error::from(errno).to_string());
    if system.contains(&text) { Error::ConnectionLoss } else { error }
}

#[test]
fn connections_that_are_too_many_are_closed_alike() {
    compare_with(
        "too-many-connections",
        |server| server.key("maxClientCnxns", 3),
        |server| {
            let mut transcript = String::new();
            let mut open = Vec::new();
            for number in 1..=5 {
                // A refused connection may be reset while the request is under way.
                let answer = connect_raw(server.port()).unwrap_or_default();
                transcript.push_str(&format!("connection {number}: answer of {} bytes\n", answer.1));
                open.push(answer.0);
            }
            drop(open.remove(0));
            // The place becomes free when the server has noticed.
            let deadline = std::time::Instant::now() + Duration::from_secs(30);
            while connect_raw(server.port()).unwrap_or_default().1 == 0 {
                assert!(std::time::Instant::now() < deadline, "the place does not become free");
                std::thread::sleep(Duration::from_millis(20));
            }
            transcript.push_str("after one was closed: an answer\n");
            transcript
        },
    );
}

/// Opens a session by hand; answers the connection and how many bytes came back, 0 when it was closed.
fn connect_raw(port: u16) -> std::io::Result<(Option<TcpStream>, usize)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // Length, protocol version, last zxid, timeout of 10 s, session, password of 16 bytes, not read-only.
    let mut request = vec![0, 0, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 39, 16];
    request.extend([0; 8]);
    request.extend([0, 0, 0, 16]);
    request.extend([0; 17]);
    stream.write_all(&request)?;
    let mut answer = [0; 100];
    let length = stream.read(&mut answer)?;
    Ok((Some(stream), length))
}
