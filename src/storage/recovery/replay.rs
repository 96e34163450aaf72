use super::{Base, OnProgress, Phase, Progress, Sessions};
use crate::storage::{Disk, LogCursor, StorageError, TornTail};
use crate::tree::{Effects, OpResult, Tree};
use crate::types::{SubTxn, Txn, TxnBody, TxnFormat, Zxid};
use quoll_jute::Limits;
use std::path::Path;

/// Progress is told every so many transactions.
const PROGRESS_EVERY: u64 = 1024;

pub(super) struct Replayed {
    pub tree: Tree,
    pub sessions: Sessions,
    pub last_zxid: Zxid,
    pub replayed: u64,
    /// Zxid of the first of them.
    pub first_zxid: Option<Zxid>,
    /// Places where transactions are missing or out of order.
    pub gaps: u64,
    pub digest_mismatches: u64,
    pub torn: Vec<TornTail>,
    pub notes: Vec<String>,
}

/// Applies every transaction behind the base, up to and including `until` if it is given.
///
/// Upstream counterpart: `FileTxnSnapLog.fastForwardFromEdits`, `processTransaction`.
pub(super) fn replay(
    disk: &dyn Disk,
    log_dir: &Path,
    base: Base,
    until: Option<Zxid>,
    on_progress: &mut OnProgress<'_>,
) -> Result<Replayed, StorageError> {
    let Base { mut tree, mut sessions, digest: mut check, .. } = base;
    // The writer's jute.maxbuffer may have been larger than ours; an entry is bounded by its file.
    let format = TxnFormat { limits: Limits { length_max: i32::MAX as usize }, ..TxnFormat::default() };
    let mut effects = Effects::disabled();
    let mut last = tree.last_zxid();
    let mut notes = Vec::new();
    let mut gaps = 0;
    let mut replayed = 0u64;
    let mut first_zxid = None;
    let mut cursor = LogCursor::open(disk, log_dir, last.next())?;
    loop {
        if replayed.is_multiple_of(PROGRESS_EVERY) {
            let (bytes_done, bytes_total) = cursor.progress_bytes();
            on_progress(&Progress {
                phase: Phase::Replay,
                path: log_dir,
                nodes: tree.node_count() as u64,
                txns: replayed,
                bytes_done,
                bytes_total,
            });
        }
        let Some(record) = cursor.next_record()? else { break };
        let (zxid, offset) = (record.zxid, record.offset);
        if until.is_some_and(|until| zxid > until) {
            break;
        }
        let txn = match Txn::read(record.entry, format) {
            Ok(txn) => txn,
            Err(source) => {
                return Err(StorageError::BadTxn { path: cursor.path().to_owned(), offset, source });
            }
        };
        if let Some(gap) = gap(last, zxid) {
            gaps += 1;
            if gaps == 1 {
                notes.push(format!("{gap} in {}", cursor.path().display()));
            }
        }
        first_zxid.get_or_insert(zxid);
        last = last.max(zxid);
        match txn.body {
            TxnBody::CreateSession { timeout_ms } => {
                sessions.insert(txn.session, timeout_ms);
            }
            TxnBody::CloseSession { .. } => {
                sessions.remove(&txn.session);
            }
            _ => {}
        }
        let applied = tree.apply(&txn, &mut effects);
        if !records_a_failure(&txn.body) && applied.results.contains(&OpResult::Err(OpResult::SYSTEM_ERROR)) {
            return Err(StorageError::TooManyNodes { zxid, nodes: tree.node_count() });
        }
        check.after(&tree, &txn);
        replayed += 1;
    }
    if gaps > 1 {
        notes.push(format!("there are {gaps} such irregularities in the log"));
    }
    notes.extend(check.finish(&mut tree));
    Ok(Replayed {
        last_zxid: last,
        replayed,
        first_zxid,
        gaps,
        digest_mismatches: check.mismatches,
        torn: cursor.torn().to_vec(),
        tree,
        sessions,
        notes,
    })
}

/// Whether the transaction only says that a request failed: with any code, that of a full tree included.
fn records_a_failure(body: &TxnBody) -> bool {
    let is_error = |op: &SubTxn| matches!(op, SubTxn::Error { .. });
    match body {
        TxnBody::One(op) => is_error(op),
        TxnBody::Multi(ops) => ops.iter().any(is_error),
        TxnBody::CreateSession { .. } | TxnBody::CloseSession { .. } => false,
    }
}

/// What is odd about `next` coming after `last`. A number may repeat: a write that could not be decoded leaves an
/// error with the number before it. A new epoch starts anywhere.
fn gap(last: Zxid, next: Zxid) -> Option<String> {
    if next < last {
        return Some(format!("transaction {next} comes after {last}"));
    }
    if next.epoch() == last.epoch() && next > last.next() {
        return Some(format!("transaction {next} follows {last}: those between are missing"));
    }
    None
}
