//! `cons`: all connections with their numbers.

use crate::admin::text::{push, socket_address};
use crate::admin::view::{ConnectionView, ServerView};
use crate::types::SessionId;

pub(super) fn text(view: &ServerView) -> String {
    let mut out = String::new();
    for connection in &view.connections {
        line(&mut out, connection, false);
    }
    out + "\n"
}

/// One connection. Upstream: `ServerCnxn.dumpConnectionInfo`.
pub(super) fn line(out: &mut String, connection: &ConnectionView, brief: bool) {
    push(
        out,
        format_args!(
            " {}[{:x}](queued={},recved={},sent={}",
            socket_address(connection.remote),
            connection.interest_ops,
            connection.queued,
            connection.received,
            connection.sent
        ),
    );
    if !brief && connection.session != SessionId::NONE {
        push(
            out,
            format_args!(
                ",sid={},lop={},est={},to={}",
                connection.session, connection.last_op, connection.established_ms, connection.timeout_ms
            ),
        );
        if connection.last_cxid >= 0 {
            push(out, format_args!(",lcxid=0x{:x}", connection.last_cxid));
        }
        push(
            out,
            format_args!(
                ",lzxid={},lresp={},llat={},minlat={},avglat={},maxlat={}",
                connection.last_zxid,
                connection.last_response_ms,
                connection.last_latency_ms,
                connection.min_latency_ms,
                connection.avg_latency_ms,
                connection.max_latency_ms
            ),
        );
    }
    out.push_str(")\n");
}
