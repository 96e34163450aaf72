//! The atomic broadcast, without I/O: what is proposed is committed in order once a quorum has it on stable storage.
//!
//! A standalone server is a quorum of one: it proposes to nobody, and its own forced log is the quorum.
//!
//! Invariants: commits come in zxid order and without gaps; nothing is committed that a quorum has not acknowledged.
//!
//! Upstream counterpart: `quorum.Leader` and `quorum.flexible`. Start reading at [`Broadcast`].

mod broadcast;
pub mod election;
mod history;
mod leader;
mod learner;
mod observer_master;
mod packet;

pub use crate::types::{EpochKind, Quorum};
pub use broadcast::Broadcast;
pub use history::{History, Logged};
pub use leader::{Brought, Leader, LeaderConfig, LeaderInput, LeaderOutput, LearnerView, LinkId};
pub use learner::{Learner, LearnerConfig, LearnerInput, LearnerOutput};
pub use observer_master::{ObserverMaster, ObserverMasterConfig};
pub use packet::{
    LearnerInfo, PROTOCOL_VERSION, Packet, PacketError, Request, Sender, epoch_start, write_proposal,
};

#[cfg(test)]
mod tests;
