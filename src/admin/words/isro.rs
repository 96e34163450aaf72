//! `isro`: may clients write here? Clients that accept a read-only server ask this to find a better one.

use crate::admin::view::{Mode, ServerView};

pub(super) fn text(view: &ServerView) -> &'static str {
    match view.mode {
        _ if !view.running => "null",
        Mode::ReadOnly => "ro",
        _ => "rw",
    }
}
