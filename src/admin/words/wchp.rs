//! `wchp`: watches by path.

use crate::admin::text::push;
use crate::admin::view::ServerView;

pub(super) fn text(view: &ServerView) -> String {
    let mut out = String::new();
    for (path, sessions) in &view.watches_by_path {
        push(&mut out, format_args!("{path}\n"));
        for session in sessions {
            push(&mut out, format_args!("\t{session}\n"));
        }
    }
    out + "\n"
}
