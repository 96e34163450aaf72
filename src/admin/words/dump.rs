//! `dump`: sessions by the time they expire, ephemeral nodes by session, connections by the time they are closed
//! for silence. Upstream's texts: `SessionTrackerImpl`, `LearnerSessionTracker`, `DataTree.dumpEphemerals`,
//! `ExpiryQueue.dump`.

use crate::admin::text::{date, push, socket_address};
use crate::admin::view::{ExpiryBucket, ServerView, SessionsView};
use crate::types::SessionId;

pub(super) fn text(view: &ServerView) -> String {
    let mut out = "SessionTracker dump:\n".to_owned();
    let session = |session: &SessionId| session.to_string();
    match &view.sessions {
        SessionsView::Owner { global, local: None } => buckets(&mut out, "Session", global, session),
        SessionsView::Owner { global, local: Some(local) } => {
            buckets(&mut out, "Local Session", local, session);
            buckets(&mut out, "Global Session", global, session);
        }
        SessionsView::Learner { global, local } => {
            if let Some(local) = local {
                buckets(&mut out, "Local Session", local, session);
            }
            push(&mut out, format_args!("Global Sessions({}):\n", global.len()));
            for (session, timeout_ms) in global {
                push(&mut out, format_args!("{session}\t{timeout_ms}ms\n"));
            }
        }
    }
    push(
        &mut out,
        format_args!("ephemeral nodes dump:\nSessions with Ephemerals ({}):\n", view.ephemerals.len()),
    );
    for (session, paths) in &view.ephemerals {
        push(&mut out, format_args!("{session}:\n"));
        for path in paths {
            push(&mut out, format_args!("\t{path}\n"));
        }
    }
    out.push_str("Connections dump:\n");
    buckets(&mut out, "Connections", &view.connection_expiry, |(remote, session)| {
        format!("ip: {} sessionId: {session}", socket_address(*remote))
    });
    out
}

fn buckets<T>(out: &mut String, what: &str, buckets: &[ExpiryBucket<T>], name: impl Fn(&T) -> String) {
    let members: usize = buckets.iter().map(|bucket| bucket.members.len()).sum();
    push(out, format_args!("{what} Sets ({})/({members}):\n", buckets.len()));
    for bucket in buckets {
        push(out, format_args!("{} expire at {}:\n", bucket.members.len(), date(bucket.expires_ms)));
        for member in &bucket.members {
            push(out, format_args!("\t{}\n", name(member)));
        }
    }
}
