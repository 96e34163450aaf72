use super::*;
use crate::{
    ops::OpsConfig,
    tree::{Tree, TreeOptions},
    types::{Id, OpCode, OwnerRules, ServerId, TxnFormat},
    watch::WatchManager,
};
use bytes::Bytes;
use quoll_jute::{client as rec, data, to_vec};
use std::sync::Arc;

mod ensemble;
mod leading;
mod learning;
mod local;
mod moving;
mod random;
mod standalone;

const TICK_MS: i64 = 1000;
const RULES: OwnerRules = OwnerRules { extended_types: true, emulate_353: false };

/// A frame for a connection, without its length.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    conn: ConnId,
    frames: Vec<Vec<u8>>,
    then: Then,
    answered: u32,
}

/// Everything in the list of the only worker.
fn told_by(mut out: Deliveries) -> Vec<Told> {
    let worker = out.workers.remove(0);
    let mut at = 0;
    let mut told = Vec::new();
    for d in worker.items {
        let mut frames = Vec::new();
        let end = at + d.len;
        while at < end {
            let len = u32::from_be_bytes(worker.bytes[at..at + 4].try_into().unwrap()) as usize;
            frames.push(worker.bytes[at + 4..at + 4 + len].to_vec());
            at += 4 + len;
        }
        told.push(Told { conn: d.conn, frames, then: d.then, answered: d.answered });
    }
    told
}

fn config(server: ServerId) -> PipelineConfig {
    PipelineConfig {
        server,
        tick_ms: TICK_MS,
        session_timeout_min_ms: 2000,
        session_timeout_max_ms: 20_000,
        reaper: ReaperConfig::default(),
        ops: OpsConfig { owner_rules: RULES, ..OpsConfig::default() },
        txn_format: TxnFormat::default(),
        local_sessions: LocalSessions::Off,
        seed: 0,
        first_counter: 0,
        eager_acl_check: false,
        throttled_op_wait_ms: 0,
    }
}

fn empty_tree() -> Tree {
    Tree::new(TreeOptions { hash_seed: 1, owner_rules: RULES, digest: true })
}

fn create(path: &str, flags: i32) -> Vec<u8> {
    let id = data::Id { scheme: Some("world".into()), id: Some("anyone".into()) };
    let acl = Some(vec![data::Acl { perms: 31, id }]);
    to_vec(&rec::CreateRequest { path: Some(path.into()), data: Some(b"x"), acl, flags })
}

fn get(path: &str, watch: bool) -> Vec<u8> {
    to_vec(&rec::GetDataRequest { path: Some(path.into()), watch })
}

fn set(path: &str, data: &[u8]) -> Vec<u8> {
    to_vec(&rec::SetDataRequest { path: Some(path.into()), data: Some(data), version: -1 })
}

fn head(frame: &[u8]) -> (i32, i64, i32) {
    (
        i32::from_be_bytes(frame[..4].try_into().unwrap()),
        i64::from_be_bytes(frame[4..12].try_into().unwrap()),
        i32::from_be_bytes(frame[12..16].try_into().unwrap()),
    )
}
