//! `gtmk`: the trace mask. It only shows what `stmk` set; Quoll's logging is set by the environment.

use crate::admin::view::ServerView;

/// The mask; that of a server that has just started is 306. Upstream: `ZooTrace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceMask(pub i64);

impl Default for TraceMask {
    fn default() -> Self {
        TraceMask(306)
    }
}

pub(super) fn text(view: &ServerView) -> String {
    view.trace_mask.0.to_string()
}
