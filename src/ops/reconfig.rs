use super::prepare::{Outcome, PrepareCx};
use crate::tree::CONFIG_PATH;
use crate::types::members::{Member, MemberError, Members};
use crate::types::{ErrorCode, HostPort, Perms, Quorum, ServerId, SubTxn, Zxid};
use quoll_jute::client::ReconfigRequest;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What a leader knows of its ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The configuration that counts.
    pub active: Members,
    /// The one that is proposed and not committed; without one, the active one.
    pub last_seen: Members,
    /// The active one is committed, and the learners are still to be told. A proposal that overtakes this would make them
    /// forget it, and elect a leader that needs no quorum of it.
    pub untold: bool,
    /// The leader, and the followers that are in step with it, voters or not.
    pub in_step: BTreeSet<ServerId>,
    /// `standaloneEnabled`: a configuration needs two voters.
    pub standalone_enabled: bool,
    /// `multiAddress.enabled`: a server may have several addresses.
    pub multi_address: bool,
}

/// reconfig: enabled, session, part of an ensemble, none under way, version, the new members, enough voters, a quorum
/// of them in step, WRITE.
pub(super) fn prepare(cx: &mut PrepareCx<'_>, request: &ReconfigRequest<'_>) -> Outcome {
    if !cx.config.reconfig_enabled {
        return Err(ErrorCode::ReconfigDisabled.into());
    }
    cx.sessions.check(cx.session)?;
    let ensemble = cx.membership.ok_or(ErrorCode::Unimplemented)?;
    if ensemble.last_seen.version != ensemble.active.version || ensemble.untold {
        return Err(ErrorCode::ReconfigInProgress.into());
    }
    let from = request.cur_config_id;
    if from != -1 && u64::try_from(from) != Ok(ensemble.last_seen.version) {
        return Err(ErrorCode::BadVersion.into());
    }
    let mut members = match request.new_members.as_deref() {
        Some(text) => whole(ensemble, text)?,
        None => {
            let joining = request.joining_servers.as_deref().unwrap_or_default();
            changed(ensemble, joining, request.leaving_servers.as_deref().unwrap_or_default())?
        }
    };
    members.version = version_of(cx.zxid);
    let voters = members.voters().count();
    if voters < if ensemble.standalone_enabled { 2 } else { 1 } {
        return Err(ErrorCode::BadArguments.into());
    }
    if !Quorum::of(&members).agrees(|id| ensemble.in_step.contains(&id)) {
        return Err(ErrorCode::NewConfigNoQuorum.into());
    }
    let key = cx.outstanding.key(CONFIG_PATH);
    let seen = cx.outstanding.look(cx.tree, key).ok_or(ErrorCode::NoNode)?;
    cx.check_acl(cx.outstanding.acl(seen), Perms::WRITE)?;
    // Everybody goes by the text: a host name that means something else there, or nothing, is no host name.
    let data = members.to_string();
    if Members::read_active(&data) != Ok(members) {
        return Err(ErrorCode::BadArguments.into());
    }
    let (zxid, time_ms) = (cx.zxid, cx.time_ms);
    cx.outstanding.update(cx.tree, zxid, key, seen, |state| {
        state.stat.version = -1;
        state.stat.mtime = time_ms;
        state.stat.mzxid = zxid.0;
        super::Outstanding::set_data(state, key, Some(data.as_bytes()));
    });
    Ok((SubTxn::Reconfig { path: CONFIG_PATH.to_owned(), data: Some(data.into()), version: -1 }, None))
}

/// A configuration's version is the zxid of its txn.
fn version_of(zxid: Zxid) -> u64 {
    u64::try_from(zxid.0).unwrap_or_default()
}

/// All members anew: lines, or what would be lines separated by commas.
fn whole(ensemble: &Membership, text: &str) -> Result<Members, ErrorCode> {
    let members = Members::read(&text.replace(',', "\n"), ensemble.multi_address).map_err(refused)?;
    let (voters, observers) = (members.voters().count(), members.observers().count());
    let pointless = match voters {
        0 => !ensemble.standalone_enabled || observers > 0,
        1 => ensemble.standalone_enabled && observers > 0,
        _ => false,
    };
    // Upstream stumbles over these before it has an answer for them.
    if pointless { Err(ErrorCode::MarshallingError) } else { Ok(members) }
}

/// Some leave, then some join, who may be members already: then they change.
fn changed(ensemble: &Membership, joining: &str, leaving: &str) -> Result<Members, ErrorCode> {
    if ensemble.last_seen.hierarchy.is_some() {
        return Err(ErrorCode::BadArguments);
    }
    let mut members = ensemble.last_seen.clone();
    for id in pieces(leaving, ',') {
        members.servers.remove(&server_id(id)?);
    }
    for joiner in pieces(joining, ',') {
        let parts: Vec<&str> = pieces(joiner, '=').collect();
        let [key, line] = parts[..] else { return Err(ErrorCode::BadArguments) };
        let id = server_id(key.rsplit('.').next().unwrap_or_default())?;
        let member = Member::parse(line, ensemble.multi_address).map_err(refused)?;
        if member.client.is_none() {
            return Err(ErrorCode::BadArguments);
        }
        let own = addresses(&member);
        let taken = members.servers.iter().filter(|(other, _)| **other != id);
        if taken.flat_map(|(_, other)| addresses(other)).any(|address| own.contains(&address)) {
            return Err(ErrorCode::BadArguments);
        }
        members.servers.insert(id, member);
    }
    Ok(members)
}

/// The pieces between separators, without blanks around them and without empty ones.
///
/// Upstream counterpart: `StringUtils.split`.
fn pieces(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator).map(|piece| piece.trim_matches(|c| c <= ' ')).filter(|piece| !piece.is_empty())
}

fn server_id(text: &str) -> Result<ServerId, ErrorCode> {
    text.parse().map(ServerId).map_err(|_| ErrorCode::MarshallingError)
}

/// Upstream has an answer for a line that it cannot understand, and none for what should be a number and is not.
fn refused(error: MemberError) -> ErrorCode {
    match error {
        MemberError::Id(_) | MemberError::Number(_) | MemberError::Syntax(_) => ErrorCode::MarshallingError,
        _ => ErrorCode::BadArguments,
    }
}

/// What no other server may have: its addresses, those aside that stand for every machine or for this one.
fn addresses(member: &Member) -> BTreeSet<(String, u16)> {
    let peers = member
        .addresses
        .iter()
        .flat_map(|a| [(a.host.clone(), a.quorum_port), (a.host.clone(), a.election_port)]);
    let client = member.client.iter().map(|HostPort { host, port }| (host.clone(), *port));
    let special = |host: &str| match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_unspecified() || ip.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    };
    peers.chain(client).filter(|(host, _)| !special(host)).collect()
}
