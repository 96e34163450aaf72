//! What clients are told.
//!
//! * **WriteAnswers**: an answer is that of a committed txn that does what was asked, or fails as it has to.
//! * **ReadAnswers**: a read shows exactly the committed state at the zxid in its header.
//! * **NeverBack**: a session never sees an older state than before, whichever member it is at.
//! * **WatchesFirst**: a notification comes before any answer of a state that has the change, and for a reason.
//! * **SyncedReads**: a read behind a `sync` shows everything that anybody was told before the `sync` was sent.
//! * **ReadOnly**: a member without a leader acknowledges no write; what it shows is the history of its log.
//! * **SessionsLive**: a session that is refused was ended by a txn.

use crate::{
    sim::{
        ensemble::{
            client::{Client, Pending, Read},
            ghost::{Check, Ghost},
            model::Watched,
        },
        write::Write,
    },
    types::{ErrorCode, SessionId, TxnBody, Zxid, members::Members},
};
use quoll_jute::{Reader, Record, client as rec};

/// An answer with its header.
pub(in crate::sim::ensemble) struct Answer<'a> {
    pub zxid: Zxid,
    pub err: i32,
    pub body: &'a [u8],
}

/// NeverBack, and WatchesFirst: what was armed and changed up to this state must have fired.
pub(in crate::sim::ensemble) fn state_seen(ghost: &Ghost, client: &Client, zxid: Zxid) -> Check {
    if zxid < client.seen {
        return Err(format!("NeverBack: {} saw {} and now sees {zxid}", client.name(), client.seen));
    }
    for ((path, what), since) in &client.armed {
        if let Some(change) = ghost.model.changed(path, *what, *since, zxid) {
            return Err(format!(
                "WatchesFirst: {} sees {zxid}, but was not told of {change}, which changed {path} ({what:?}) after its \
                 watch of {since}",
                client.name()
            ));
        }
    }
    Ok(())
}

/// A notification: something armed must have a change that nobody was told of.
pub(in crate::sim::ensemble) fn notified(
    ghost: &Ghost,
    client: &mut Client,
    kind: i32,
    path: &str,
    may_repeat: bool,
) -> Check {
    let affected: &[Watched] = match kind {
        // Created, data changed.
        1 | 3 => &[Watched::Node],
        // Deleted.
        2 => &[Watched::Node, Watched::Children],
        // Children changed.
        4 => &[Watched::Children],
        other => return Err(format!("WatchesFirst: {} is told of event {other}", client.name())),
    };
    let tip = ghost.tip();
    let mut reason = false;
    for what in affected {
        if let Some(since) = client.armed.remove(&(path.to_owned(), *what)) {
            reason |= ghost.model.changed(path, *what, since, tip).is_some();
        }
    }
    if reason || may_repeat {
        return Ok(());
    }
    Err(format!("WatchesFirst: {} is told of event {kind} of {path} without a reason", client.name()))
}

/// WriteAnswers.
pub(in crate::sim::ensemble) fn write_answered(
    ghost: &Ghost,
    client: &Client,
    session: SessionId,
    xid: i32,
    write: &Write,
    answer: &Answer<'_>,
    local: bool,
) -> Result<bool, String> {
    // A session that only its member knows ends without a txn.
    if matches!(write, Write::Close { .. }) && local && !ghost.model.sessions.contains_key(&session) {
        return Ok(answer.err == 0 && ghost.position.contains_key(&answer.zxid));
    }
    if client.read_only {
        return match ErrorCode::NotReadOnly.code() == answer.err {
            true => Ok(false),
            false => {
                Err(format!("ReadOnly: {write:?} is answered {} by a member without a leader", answer.err))
            }
        };
    }
    // A session that is being closed, or is elsewhere, is told so without a txn.
    let refused = [ErrorCode::SessionExpired, ErrorCode::SessionMoved].map(ErrorCode::code);
    match ghost.ended.get(&(session, xid)) {
        Some(ended) if ended.zxid == answer.zxid && ended.err == answer.err => Ok(answer.err == 0),
        None if refused.contains(&answer.err) => Ok(false),
        ended => Err(format!(
            "WriteAnswers: request {xid} of {session}, {write:?}, is answered {} at {}; it ended as {ended:?}",
            answer.err, answer.zxid
        )),
    }
}

/// ReadAnswers and SyncedReads.
pub(in crate::sim::ensemble) fn read_answered(
    ghost: &Ghost,
    client: &Client,
    read: &Read,
    answer: &Answer<'_>,
) -> Check {
    let Answer { zxid, err, body } = *answer;
    if client.read_only && !ghost.position.contains_key(&zxid) {
        return match ghost.proposals.contains_key(&zxid) {
            true => Ok(()),
            false => Err(format!("ReadOnly: {} reads at {zxid}, which nobody has proposed", client.name())),
        };
    }
    if !ghost.position.contains_key(&zxid) {
        return Err(format!("ReadAnswers: {} reads at {zxid}, which is not committed", client.name()));
    }
    if ghost.depth(zxid) < ghost.depth(read.floor) && !client.read_only {
        let name = client.name();
        return Err(format!("SyncedReads: {name} reads at {zxid} after a sync that began at {}", read.floor));
    }
    let known = ghost.model.at(&read.path, zxid);
    let wrong = |found: String| {
        let name = client.name();
        Err(format!("ReadAnswers: {name} reads {} at {zxid} as {found}, it is {known:?}", read.path))
    };
    if err != 0 {
        let absent = err == ErrorCode::NoNode.code() && known.is_none();
        // It came when the end of its session was under way, and is answered behind that.
        let over = err == ErrorCode::SessionExpired.code()
            && client.session.is_some_and(|session| ghost.model.is_over(session, zxid));
        let right = absent || over;
        return if right { Ok(()) } else { wrong(format!("error {err}")) };
    }
    let Some(known) = known else { return wrong("there".into()) };
    let r = &mut Reader::new(body);
    let broken = |e: quoll_jute::Error| format!("ReadAnswers: an answer cannot be read: {e}");
    if read.children {
        let found = rec::GetChildrenResponse::read(r).map_err(broken)?;
        let mut found: Vec<_> =
            found.children.unwrap_or_default().into_iter().flatten().map(|c| c.into_owned()).collect();
        found.sort();
        if found != ghost.model.children_at(&read.path, zxid) {
            return wrong(format!("with children {found:?}"));
        }
        return Ok(());
    }
    let found = rec::GetDataResponse::read(r).map_err(broken)?;
    let owner = known.owner.map_or(0, |s| s.0);
    let stat = &found.stat;
    if found.data.unwrap_or_default() != known.data
        || (stat.version, stat.ephemeral_owner) != (known.version, owner)
    {
        return wrong(format!("version {} of {:x}", stat.version, stat.ephemeral_owner));
    }
    Ok(())
}

/// ReadAnswers, for the configuration: it is one that there is, and none that another one has replaced at that zxid.
pub(in crate::sim::ensemble) fn config_answered(
    ghost: &Ghost,
    client: &Client,
    answer: &Answer<'_>,
) -> Check {
    let Answer { zxid, err, body } = *answer;
    let found = match rec::GetDataResponse::read(&mut Reader::new(body)) {
        Ok(found) if err == 0 => found.data.unwrap_or_default(),
        other => return Err(format!("ReadAnswers: the configuration is read as {err}, {other:?}")),
    };
    let text = String::from_utf8_lossy(found).into_owned();
    let members =
        Members::read_active(&text).map_err(|e| format!("ReadAnswers: configuration {text}: {e}"))?;
    // Without a leader a member shows what its files say.
    if client.read_only {
        return Ok(());
    }
    let newest = ghost.model.reconfigured.iter().rfind(|z| **z <= zxid).map_or(0, |z| z.0 as u64);
    let known = ghost.configs.get(&members.version);
    if known != Some(&members) || members.version < newest {
        let name = client.name();
        return Err(format!(
            "ReadAnswers: {name} reads {text} at {zxid}, it is {known:?}; {newest:x} is committed"
        ));
    }
    Ok(())
}

/// SessionsLive, at a refusal.
pub(in crate::sim::ensemble) fn refused(ghost: &Ghost, session: SessionId, seen: Zxid, local: bool) -> Check {
    // One that was never upgraded is known to the member that began it, as long as that plays its part. If its client
    // goes elsewhere while the upgrade is under way, it may be early: nothing it was told rests on the upgrade.
    if local && ghost.model.sessions.get(&session).is_none_or(|life| life.created > seen) {
        return Ok(());
    }
    let ended = ghost.model.sessions.get(&session).is_some_and(|life| life.closed.is_some());
    let ends =
        |txn: &crate::types::Txn| txn.session == session && matches!(txn.body, TxnBody::CloseSession { .. });
    if ended || ghost.proposals.values().any(|p| ends(&p.txn)) {
        return Ok(());
    }
    Err(format!("SessionsLive: session {session} is refused, and nothing has ended it"))
}

/// SessionsLive, when a session is taken up again.
pub(in crate::sim::ensemble) fn taken_up(ghost: &Ghost, session: SessionId, local: bool) -> Check {
    match ghost.model.sessions.get(&session) {
        Some(_) => Ok(()),
        None if local => Ok(()),
        None => Err(format!("SessionsLive: session {session} is granted, and nothing has created it")),
    }
}

/// Whether a request may be left without an answer by a connection that goes on: none may.
pub(in crate::sim::ensemble) fn in_order(client: &Client, pending: &Pending, xid: i32) -> Check {
    if pending.xid == xid {
        return Ok(());
    }
    Err(format!("{} waits for the answer to {} and gets that to {xid}", client.name(), pending.xid))
}
