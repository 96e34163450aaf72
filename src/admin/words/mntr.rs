//! `mntr`: all metrics, one a line: `zk_<name>`, a tab, the value.

use crate::admin::metrics::{Number, gauges};
use crate::admin::text::{double, push};
use crate::admin::version::full_version;
use crate::admin::view::{Mode, ServerView};

pub(super) fn text(view: &ServerView) -> String {
    let mut out = format!("zk_version\t{}\nzk_server_state\t{}\n", full_version(), view.mode.name());
    peer_state(&mut out, view);
    gauges::each(view, |name, value| line(&mut out, name, value));
    view.metrics.each(|name, value| line(&mut out, name, value));
    out
}

/// What a member of an ensemble is doing, and who leads an observer.
///
/// Upstream counterpart: `QuorumPeer.getDetailedPeerState`; a member that answers has always come to its last phase.
fn peer_state(out: &mut String, view: &ServerView) {
    let Some(standing) = &view.standing else { return };
    let state = match view.mode {
        Mode::Leader => "leading",
        Mode::Follower => "following",
        Mode::Observer => "observing",
        Mode::Standalone | Mode::ReadOnly => return,
    };
    push(out, format_args!("zk_peer_state\t{state} - broadcast\n"));
    if let (Mode::Observer, Some(master)) = (view.mode, standing.master) {
        push(out, format_args!("zk_observer_master_id\t{master}\n"));
    }
}

fn line(out: &mut String, name: &str, value: Number) {
    match value {
        Number::Whole(value) => push(out, format_args!("zk_{name}\t{value}\n")),
        Number::Decimal(value) => push(out, format_args!("zk_{name}\t{}\n", double(value))),
    }
}
