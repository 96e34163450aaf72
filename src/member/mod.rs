//! A member of an ensemble as a whole, without I/O: election, leader or learner, and the pipeline.
//!
//! Upstream counterpart: `QuorumPeer`. Start reading at [`Input`].

mod io;

pub use io::{Input, Output, Part};
