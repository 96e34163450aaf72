//! What a member's files go through when a leader brings it into step, and what a leader looks up in its own for that.
//!
//! | the leader says | here |
//! |---|---|
//! | TRUNC | [`truncate_to`]: cut the log, drop newer snapshots, give the state |
//! | SNAP | [`install_snapshot`]: the received tree takes the place of the whole history |
//! | (asks its own log) | [`probe_log`]: can a learner be brought up to date from log files? |
//!
//! Invariants: after a crash at any call of the disk, recovery finds either a state that this member had before, with
//! everything up to the leader's zxid that it ever acknowledged, or the new one; doing it again finishes it. Afterwards
//! the log is one history without gaps, of which nothing is beyond what the leader said.
//!
//! Upstream counterparts: `ZKDatabase.truncateLog`, `FileTxnSnapLog.truncateLog`, `Learner.syncWithLeader`,
//! `ZKDatabase.getProposalsFromTxnLog`.

use super::log::drop_after;
use super::recovery::load_until;
use super::{
    Disk, EpochKind, LogCursor, Recovered, StorageError, StorageOptions, list_logs, list_snapshots,
    read_epoch, save_now,
};
use crate::tree::{Tree, TreeOptions};
use crate::types::guard::{self, Guard};
use crate::types::{Epoch, SessionId, Zxid};
use std::path::Path;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Bytes that a txn takes on the wire besides its entry: a PROPOSAL's and a COMMIT's own.
const PACKETS_BYTES: u64 = 40;

/// Makes `zxid` the last transaction of the data directory, and gives the state after it. A writer of the log has to
/// be opened anew behind it.
///
/// The state is loaded before anything is removed, so a history that does not reach back to `zxid`, or does not know
/// it, is left as it is. When the counter of `zxid` is 0, which is that of no transaction, the last one before it is
/// what remains.
///
/// # Errors
/// [`StorageError::CannotTruncate`], and whatever the files have against it.
pub fn truncate_to(
    disk: &Arc<dyn Disk>,
    options: &StorageOptions,
    tree_options: TreeOptions,
    zxid: Zxid,
) -> Result<Recovered, StorageError> {
    let mut recovered = load_until(disk, options, tree_options, zxid, &mut |_| {})?;
    if !guard::holds(Guard::TreeOfCutLog) {
        recovered.tree = super::recover(disk, options, tree_options, &mut |_| {})?.tree;
        recovered.tree.set_last_zxid(recovered.last_zxid);
    }
    // The log first: a newer snapshot without a log behind it is a state that was; an older one with a log that has
    // lost its end, too.
    drop_after(&**disk, &options.log_dir(), zxid)?;
    drop_snapshots_after(&**disk, &options.snap_dir(), zxid)?;
    Ok(recovered)
}

/// Makes a tree that came from the leader the state of the data directory. A writer of the log has to be opened anew
/// behind its last zxid.
///
/// The log and newer snapshots are of another history, or of this one with a gap in it: they go. Older snapshots stay,
/// but recovery does not take one of them when this one is damaged, as the log does not reach back to them.
///
/// Upstream keeps the log files and marks nothing; after a restart a damaged snapshot would make it replay over the
/// gap.
///
/// # Errors
/// Any failure of the disk, and a log that is damaged.
pub fn install_snapshot(
    disk: &Arc<dyn Disk>,
    options: &StorageOptions,
    tree: &mut Tree,
    sessions: &[(SessionId, i32)],
) -> Result<String, StorageError> {
    let (zxid, log_dir) = (tree.last_zxid(), options.log_dir());
    if !guard::holds(Guard::TreeOnDisk) {
        return Ok(String::new());
    }
    // What is beyond it would be replayed over it. Nothing of that can be committed: the leader does not have it.
    drop_after(&**disk, &log_dir, zxid)?;
    // What is not beyond it may be committed, and stays until the snapshot is there.
    let name = save_now(disk, options, tree, sessions)?;
    drop_snapshots_after(&**disk, &options.snap_dir(), zxid)?;
    for file in list_logs(&**disk, &log_dir)? {
        disk.remove(&file.path).map_err(StorageError::io("remove", &file.path))?;
    }
    disk.sync_dir(&log_dir).map_err(StorageError::io("force", &log_dir))?;
    Ok(name)
}

/// Newest first: with the log's end gone each of them is a whole state, and the newest is recovered.
fn drop_snapshots_after(disk: &dyn Disk, dir: &Path, zxid: Zxid) -> Result<(), StorageError> {
    for file in list_snapshots(disk, dir)?.into_iter().take_while(|f| f.zxid > zxid) {
        disk.remove(&file.path).map_err(StorageError::io("remove", &file.path))?;
        disk.sync_dir(dir).map_err(StorageError::io("force", dir))?;
    }
    Ok(())
}

/// From where in the log files a learner whose last txn is `peer` can be brought up to date: `peer` itself, or the
/// greatest zxid before it in the same epoch, to which the learner has to cut back. `None` when the files do not hold
/// everything from there to `through`, or hold more than `size_factor` times the size of the newest snapshot, so that
/// a snapshot is less work. A negative factor is always `None`; when the product is 0 there is no limit.
///
/// What is counted is what would be sent. Upstream counts the lengths of the files, with the zeros behind the records.
///
/// # Errors
/// When the files cannot be read or are damaged.
pub fn probe_log(
    disk: &dyn Disk,
    options: &StorageOptions,
    peer: Zxid,
    through: Zxid,
    size_factor: f64,
) -> Result<Option<Zxid>, StorageError> {
    if size_factor.is_nan() || size_factor < 0.0 {
        return Ok(None);
    }
    let snapshots = list_snapshots(disk, &options.snap_dir())?;
    let bytes_max = (snapshots.first().map_or(0, |f| f.len) as f64 * size_factor) as u64;
    let files = list_logs(disk, &options.log_dir())?;
    let Some(first) = files.iter().rev().find(|f| f.zxid <= peer).or(files.first()) else { return Ok(None) };
    let mut cursor = LogCursor::open(disk, &options.log_dir(), first.zxid)?;
    let mut at = None;
    let mut last = Zxid::ZERO;
    let mut bytes = 0;
    while last < through {
        let Some(record) = cursor.next_record()? else { return Ok(None) };
        let zxid = record.zxid;
        if zxid <= peer {
            at = (zxid.epoch() == peer.epoch()).then_some(zxid);
            last = zxid;
            continue;
        }
        if zxid == peer.next() && zxid.epoch() == peer.epoch() {
            (at, last) = (Some(peer), peer);
        }
        // A snapshot of a state that the log never had came from a leader, and the log goes on behind a gap.
        let jumped = |s: Zxid| last < s && s < zxid && s.counter() != 0;
        if at.is_none() || !last.is_followed_by(zxid) || snapshots.iter().any(|s| jumped(s.zxid)) {
            return Ok(None);
        }
        bytes += record.entry.len() as u64 + PACKETS_BYTES;
        if bytes_max > 0 && bytes > bytes_max {
            return Ok(None);
        }
        last = zxid;
    }
    Ok(at)
}

/// The accepted and the current epoch of a member whose last transaction is `last`.
///
/// A crash between forcing the first txns of a new epoch, or its snapshot, and storing the epoch leaves transactions of
/// an epoch newer than the current one. A log that holds any of them holds everything before them, so the epoch is
/// taken from them. Upstream does so only when it finds a file `currentEpoch.tmp`, and else does not start.
///
/// # Errors
/// When a file cannot be read or holds no epoch.
pub fn epochs_at_start(
    disk: &dyn Disk,
    options: &StorageOptions,
    last: Zxid,
) -> Result<(Option<Epoch>, Option<Epoch>), StorageError> {
    // −1 stands for no data that can be trusted, and has no epoch.
    let last = last.max(Zxid::ZERO);
    let read = |kind| read_epoch(disk, &options.snap_dir(), kind);
    let current = read(EpochKind::Current)?.map(|e| e.max(last.epoch()));
    let accepted = read(EpochKind::Accepted)?.map(|e| e.max(last.epoch()));
    Ok((accepted, current))
}
