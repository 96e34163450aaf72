//! What each operation does: decode, check, answer.
//!
//! Role: pure functions between bytes and the tree. Reads are served with [`serve`] by whoever holds the tree
//! shared. Writes are turned into txns with [`prepare`] by the one who assigns zxids, and answered with
//! [`write_reply`] once they are applied. One file per operation.
//!
//! Invariants:
//! * The first failing check decides, and the order of checks is upstream's: clients see it.
//! * A write is checked against the state after all writes before it, applied or not: [`Outstanding`].
//! * Nothing that a client sends makes these functions panic or keep more memory than the request is long.
//! * The answers to get, exists and cached lists of children are written without allocating.
//!
//! | | operations |
//! |---|---|
//! | read | exists, getData, getACL, getChildren, getChildren2, getAllChildrenNumber, getEphemerals, multiRead, sync, whoAmI |
//! | watches | addWatch, checkWatches, removeWatches, setWatches, setWatches2 |
//! | write | create and its kin, delete, setData, setACL, multi with check, reconfig, createSession, closeSession, deleteContainer |
//!
//! Upstream counterpart: `PrepRequestProcessor.pRequest2Txn`, `FinalRequestProcessor.processRequest`. Start
//! reading at [`serve`] and [`prepare`].

mod cache;
mod check;
mod create;
mod delete;
mod delete_container;
mod eager;
mod exists;
mod get_acl;
mod get_all_children_number;
mod get_children;
mod get_data;
mod get_ephemerals;
mod multi;
mod multi_read;
mod outstanding;
mod prepare;
mod quota;
mod reconfig;
mod reply;
mod serve;
mod session;
mod set_acl;
mod set_data;
mod set_watches;
mod sync;
mod watches;
mod who_am_i;

#[cfg(test)]
mod tests;

pub use cache::{CacheStats, ResponseCache};
pub use eager::refused_early;
pub use outstanding::Outstanding;
pub use prepare::{
    PrepareCx, Prepared, SessionView, creates_ephemeral, is_readable, prepare, prepare_close_session,
    prepare_create_session, prepare_delete_container,
};
pub use quota::QuotaNote;
pub use reconfig::Membership;
pub use reply::write_reply;
pub use serve::{ReadCx, WatchSink, serve};

use crate::auth::AuthConfig;
use crate::types::{ErrorCode, OpCode, OwnerRules};
use quoll_jute::{Limits, Reader, Record};

/// The settings that decide what operations do.
#[derive(Clone, Debug, Default)]
pub struct OpsConfig {
    /// Who is who, and whether lists are checked.
    pub auth: AuthConfig,
    /// `extendedTypesEnabled` and `emulate353TTLNodes`. TTL znodes are created only with the former.
    pub owner_rules: OwnerRules,
    /// `enforceQuota`: hard quotas refuse.
    pub enforce_quota: bool,
    /// `reconfigEnabled`: without it reconfig is refused for being switched off.
    pub reconfig_enabled: bool,
    /// Bounds on the strings and buffers of requests: `jute.maxbuffer` and its extra size.
    pub limits: Limits,
}

/// Whether a client may send an operation of this number. Others are answered
/// [`Unimplemented`](ErrorCode::Unimplemented) with zxid −1 and the connection is closed.
///
/// Upstream counterpart: `Request.isValid`; auth and sasl are taken out before it there.
pub fn is_known_from_client(op: i32) -> bool {
    match OpCode::from_code(op) {
        None
        | Some(
            OpCode::Notification
            | OpCode::Check
            | OpCode::Error
            // The server's own: a client that could send them would remove znodes past their ACL or start
            // sessions that nobody holds.
            | OpCode::CreateSession
            | OpCode::DeleteContainer,
        ) => false,
        Some(_) => true,
    }
}

/// Whether an operation becomes a txn.
pub fn is_write(op: OpCode) -> bool {
    use OpCode::*;
    matches!(
        op,
        Create
            | Create2
            | CreateContainer
            | CreateTtl
            | Delete
            | DeleteContainer
            | SetData
            | SetAcl
            | Check
            | Multi
            | Reconfig
            | CreateSession
            | CloseSession
    )
}

/// Reads a request body. What follows the record is ignored, as upstream does.
fn decode<'a, R: Record<'a>>(body: &'a [u8], config: &OpsConfig) -> Result<R, ErrorCode> {
    R::read(&mut Reader::with_limits(body, config.limits)).map_err(|_| ErrorCode::MarshallingError)
}
