//! What must hold after every step. Nine carry the names of upstream's TLA+ specification of Zab; the others say what
//! clients rely on.
//!
//! A property sees events, keeps what it needs, and answers with a sentence when it does not hold. Those about txns that
//! are not one of the nine (a log holds what its leader proposed, digests agree, what was forced is found again) are
//! checked where the facts are gathered, in [`super::ghost`]; what clients are told is checked in [`clients`].

mod acknowledged;
mod agreement;
pub(super) mod clients;
mod committed;
mod global_primary_order;
mod integrity;
mod leadership1;
mod leadership2;
mod local_primary_order;
mod prefix_consistency;
mod primary_integrity;
mod reconfiguration;
mod session_time;
mod total_order;

use super::ghost::{Check, Ghost};
use crate::types::{Epoch, SessionId, Zxid};

/// Something happened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen {
    /// A member leads and serves.
    Leads { node: usize, epoch: Epoch, at_ms: i64 },
    /// A member does not lead, follow or observe any more, or is down.
    Stopped { node: usize },
    /// The leader of an epoch has made a txn and logs it.
    Broadcast { node: usize, zxid: Zxid },
    /// A member that serves has applied a txn. Each member shows each txn once, in its order.
    Delivered { node: usize, zxid: Zxid },
    /// A member is the first of all to have applied a txn and to serve the tree.
    Committed { node: usize, zxid: Zxid },
    /// A client was told that its write is done.
    Acknowledged { zxid: Zxid },
    /// A leader heard that a session lives, at a time of its own clock (ms).
    Heard { node: usize, session: SessionId, at_ms: i64 },
    /// A leader ends a session on its own account.
    Expires { node: usize, session: SessionId, at_ms: i64 },
    /// A member goes by another configuration from now on, and has it on disk.
    Adopts { node: usize, version: u64 },
    /// A server that is no member was given a configuration to begin with.
    Provisioned { node: usize },
}

pub(super) trait Property {
    fn name(&self) -> &'static str;
    fn see(&mut self, ghost: &Ghost, seen: Seen) -> Check;
}

/// All of them, fresh.
pub(super) fn all() -> Vec<Box<dyn Property>> {
    vec![
        Box::new(leadership1::Leadership1::default()),
        Box::new(leadership2::Leadership2::default()),
        Box::new(prefix_consistency::PrefixConsistency::default()),
        Box::new(integrity::Integrity::default()),
        Box::new(agreement::Agreement::default()),
        Box::new(total_order::TotalOrder::default()),
        Box::new(local_primary_order::LocalPrimaryOrder::default()),
        Box::new(global_primary_order::GlobalPrimaryOrder::default()),
        Box::new(primary_integrity::PrimaryIntegrity::default()),
        Box::new(committed::Committed),
        Box::new(acknowledged::Acknowledged::default()),
        Box::new(session_time::SessionTime::default()),
        Box::new(reconfiguration::Reconfiguration::default()),
    ]
}
