//! `srvr`: the server in brief. Start scripts look for the line `Mode:`.

use crate::admin::text::{double, push, round4};
use crate::admin::version::full_version;
use crate::admin::view::{Mode, ServerView};

pub(super) fn text(view: &ServerView) -> String {
    let mut out = head(view);
    tail(&mut out, view);
    out
}

/// Version and mode of service.
pub(super) fn head(view: &ServerView) -> String {
    let mut out = format!("Zookeeper version: {}\n", full_version());
    if view.mode == Mode::ReadOnly {
        out.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
    out
}

/// The numbers.
pub(super) fn tail(out: &mut String, view: &ServerView) {
    push(
        out,
        format_args!(
            "Latency min/avg/max: {}/{}/{}\nReceived: {}\nSent: {}\nConnections: {}\nOutstanding: {}\nZxid: {}\n\
             Mode: {}\nNode count: {}\n",
            view.latency.min_ms,
            double(round4(view.latency.avg_ms)),
            view.latency.max_ms,
            view.packets_received,
            view.packets_sent,
            view.connections_alive,
            view.outstanding_requests,
            view.last_zxid,
            view.mode.name(),
            view.node_count,
        ),
    );
    if view.mode == Mode::Leader {
        let sizes = &view.proposal_sizes;
        let or_none = |size: Option<u32>| size.map_or(-1, i64::from);
        push(
            out,
            format_args!(
                "Proposal sizes last/min/max: {}/{}/{}\n",
                or_none(sizes.last),
                or_none(sizes.min),
                or_none(sizes.max)
            ),
        );
    }
}
