//! A leader: discovery, synchronisation and broadcast towards its learners.
//!
//! Upstream counterpart: `Leader`, `LearnerHandler`. Start reading at [`LeaderInput`].

mod io;

pub use io::{LeaderConfig, LeaderInput, LeaderOutput, LinkId};
