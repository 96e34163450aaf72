//! `wchs`: numbers of watches. Upstream counts data and existence watches only, not those on children.

use crate::admin::view::ServerView;

pub(super) fn text(view: &ServerView) -> String {
    let summary = &view.watches_summary;
    format!(
        "{} connections watching {} paths\nTotal watches:{}\n",
        summary.connections, summary.paths, summary.total
    )
}
