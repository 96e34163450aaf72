//! `wchc`: watches by session.

use crate::admin::text::push;
use crate::admin::view::ServerView;

pub(super) fn text(view: &ServerView) -> String {
    let mut out = String::new();
    for (session, paths) in &view.watches_by_session {
        push(&mut out, format_args!("{session}\n"));
        for path in paths {
            push(&mut out, format_args!("\t{path}\n"));
        }
    }
    out + "\n"
}
