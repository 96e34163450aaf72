//! `stat`: as `srvr`, with a line per connection.

use super::{cons, srvr};
use crate::admin::view::ServerView;

pub(super) fn text(view: &ServerView) -> String {
    let mut out = srvr::head(view) + "Clients:\n";
    for connection in &view.connections {
        cons::line(&mut out, connection, true);
    }
    out.push('\n');
    srvr::tail(&mut out, view);
    out
}
