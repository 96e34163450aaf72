//! Do all members serve the same? Every node with data, Stat and ACL, ephemerals by owner, digests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::raw::{Client, four_letter_word};
use crate::state::State;

/// Compares all of `addrs` with the first. Nobody may write meanwhile, sessions may not expire.
///
/// `same_config`: whether the members have the same configuration, so that `/zookeeper/config` is the same.
/// `strict_digests`: whether digests must never have differed, not only not now.
/// Answers the state, and how many digests were seen at more than one member.
///
/// # Errors
/// When two members differ, or one does not answer.
pub fn converge(
    addrs: &[SocketAddr],
    same_config: bool,
    strict_digests: bool,
) -> Result<(State, usize), String> {
    for &addr in addrs {
        sync(addr)?;
    }
    let mut states = Vec::new();
    for &addr in addrs {
        let mut state = State::read(addr).map_err(|e| format!("{addr} cannot be read: {e}"))?;
        // These are about the reading itself, or about whom a member knows.
        state.last_zxid = 0;
        state.node_count = 0;
        state.sessions.clear();
        if let Some(config) = state.nodes.get_mut("/zookeeper/config") {
            // Not written by a txn: each member sets the times by its own clock.
            config.stat = Default::default();
            if !same_config {
                config.data = None;
            }
        }
        states.push(state);
    }
    let mut differences = Vec::new();
    for (addr, state) in addrs.iter().zip(&states).skip(1) {
        let found = states[0].differences(state);
        differences.extend(found.iter().take(10).map(|d| format!("{addr}, compared with {}: {d}", addrs[0])));
    }
    if !differences.is_empty() {
        return Err(format!("the members differ:\n  {}", differences.join("\n  ")));
    }
    let met_again = digests(addrs, strict_digests)?;
    Ok((states.swap_remove(0), met_again))
}

/// Lets a server catch up with everything that is committed.
fn sync(addr: SocketAddr) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let done = Client::connect(addr, 10_000).and_then(|mut zk| {
            let answer = zk.sync("/")?;
            zk.close()?;
            answer.map_err(|code| std::io::Error::other(format!("sync answers {code}")))
        });
        match done {
            Ok(_) => return Ok(()),
            Err(e) if Instant::now() > deadline => return Err(format!("{addr} cannot be read: {e}")),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Compares tree digests at the same zxid, and counts of mismatches.
///
/// A snapshot that an upstream leader sends to a learner is of no single moment, and the learner's digests are
/// others until it has caught up. With such members (`strict` is false) only the newest digests are compared.
fn digests(addrs: &[SocketAddr], strict: bool) -> Result<usize, String> {
    let mut known: BTreeMap<i64, (String, SocketAddr)> = BTreeMap::new();
    let mut different = BTreeMap::new();
    let mut met_again = 0;
    let mut newest_met_again = 0;
    for &addr in addrs {
        let word = |name| four_letter_word(addr, name).map_err(|e| format!("{addr}: {name}: {e}"));
        for line in word("hash")?.lines() {
            let (zxid, digest) = line
                .split_once(": ")
                .and_then(|(zxid, digest)| Some((i64::from_str_radix(zxid, 16).ok()?, digest)))
                .ok_or_else(|| format!("{addr}: hash answers {line}"))?;
            match known.get(&zxid) {
                Some((other, at)) => {
                    met_again += 1;
                    newest_met_again = newest_met_again.max(zxid);
                    if other != digest {
                        let what =
                            format!("the tree digest at {zxid:#x} is {digest} at {addr} and {other} at {at}");
                        different.insert(zxid, what);
                    }
                }
                None => drop(known.insert(zxid, (digest.into(), addr))),
            }
        }
        let mntr = word("mntr")?;
        match mntr.lines().find_map(|l| l.strip_prefix("zk_digest_mismatches_count\t")) {
            Some("0") => {}
            Some(_) if !strict => {}
            other => return Err(format!("{addr} counted digest mismatches: {other:?}")),
        }
    }
    match different.last_key_value() {
        Some((zxid, what)) if strict || *zxid == newest_met_again => Err(what.clone()),
        _ => Ok(met_again),
    }
}
