//! A learner: a follower or an observer of a leader.
//!
//! Upstream counterpart: `Learner`, `Follower`, `Observer`. Start reading at [`LearnerInput`].

mod io;

pub use io::{LearnerConfig, LearnerInput, LearnerOutput};
