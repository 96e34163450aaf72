//! `hash`: digest of the tree at every 128th zxid, to compare servers with each other.

use crate::admin::text::push;
use crate::admin::view::ServerView;

pub(super) fn text(view: &ServerView) -> String {
    let mut out = String::new();
    for (zxid, digest) in &view.digests {
        // Java prints the digest as a signed number.
        push(&mut out, format_args!("{:x}: {}\n", zxid.0, *digest as i64));
    }
    out
}
