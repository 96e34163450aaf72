//! Sessions: negotiated timeouts, taking one over, expiry.

use std::time::Duration;

use zookeeper_client::{Client, SessionState};

use crate::notes::{EPHEMERAL, connect, scenario};

#[test]
fn sessions_are_negotiated_taken_over_and_closed_alike() {
    scenario("sessions", async |server, notes| {
        notes.section("timeouts are clamped");
        for seconds in [1, 4, 11, 40, 4000] {
            let client = Client::connector()
                .with_session_timeout(Duration::from_secs(seconds))
                .connect(&server.address())
                .await
                .unwrap();
            notes.say(&format!("{seconds} s"), client.session_timeout());
        }

        notes.section("a detached session is taken over");
        let observer = connect(server).await;
        let detached = Client::connector()
            .with_detached()
            .with_session_timeout(Duration::from_secs(20))
            .connect(&server.address())
            .await
            .unwrap();
        detached.create("/e", b"", EPHEMERAL).await.unwrap();
        let session = detached.into_session();
        let (stat, end) = observer.check_and_watch_stat("/e").await.unwrap();
        notes.say("it outlives its client", stat.is_some());
        let again =
            Client::connector().with_session(session.clone()).connect(&server.address()).await.unwrap();
        notes.say("the same", again.session_id() == session.id());
        let stat = again.check_stat("/e").await.unwrap().unwrap();
        notes.stat(&again, &stat);
        notes.stat(&observer, &stat);

        notes.section("closed for good");
        drop(again);
        notes.event("the ephemeral", &end.changed().await);
        let gone = Client::connector().with_session(session).connect(&server.address()).await;
        notes.say("taking it over now", gone.map(|_| ()));
    });
}

#[test]
fn an_abandoned_session_expires_alike() {
    scenario("expiry", async |server, notes| {
        let observer = connect(server).await;
        let detached = Client::connector()
            .with_detached()
            .with_session_timeout(Duration::from_secs(4))
            .connect(&server.address())
            .await
            .unwrap();
        detached.create("/e", b"", EPHEMERAL).await.unwrap();
        detached.create("/e2", b"", EPHEMERAL).await.unwrap();
        let (_, end) = observer.check_and_watch_stat("/e").await.unwrap();
        let (_, end2) = observer.check_and_watch_stat("/e2").await.unwrap();
        let (_, children) = observer.list_and_watch_children("/").await.unwrap();
        let session = detached.into_session();
        // Both go in one transaction.
        notes.event("first", &end.changed().await);
        notes.event("second", &end2.changed().await);
        notes.event("children", &children.changed().await);
        notes.children(&observer, "/").await;
        let late = Client::connector().with_session(session).connect(&server.address()).await;
        notes.say("too late", late.map(|_| ()));
        notes.say("the observer", observer.state() == SessionState::SyncConnected);
    });
}
