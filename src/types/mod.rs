//! The shared vocabulary: small values that are parsed once at the border and cannot be wrong afterwards.
//!
//! Upstream counterparts are named at each type. Start reading at [`Zxid`] and [`Txn`].

mod acl;
mod codes;
pub mod guard;
mod host_port;
mod ids;
pub mod members;
mod modes;
mod path;
pub mod properties;
mod quorum;
mod quota;
pub mod rng;
mod sizes;
mod totals;
mod txn;

pub use acl::{Acl, AclList, Id, Perms, open_acl};
pub use codes::{ErrorCode, OpCode};
pub use host_port::HostPort;
pub use ids::{ConnId, Epoch, EpochKind, LinkId, ServerId, SessionId, Zxid};
pub use modes::{CreateMode, Owner, OwnerRules, TTL_MS_MAX};
pub use path::{PathError, first_component, parent_and_name, validate_path};
pub use quoll_jute::data::{Stat, StatPersisted};
pub use quorum::Quorum;
pub use quota::QuotaSums;
pub use sizes::Sizes;
pub use totals::{KEYS_MAX, NamespaceTotals, Totals};
pub use txn::{SubTxn, Txn, TxnBody, TxnError, TxnFormat};
