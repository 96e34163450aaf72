//! Gauges: numbers that are read off the server when somebody asks.

use super::{Number, State};
use crate::{
    admin::view::{LearnersView, ServerView},
    types::QuotaSums,
};

/// One gauge.
pub struct Gauge {
    /// Upstream's name.
    pub name: &'static str,
    /// Whether there is something to read.
    pub state: State,
    /// What it shows, in a line.
    pub meaning: &'static str,
    /// `None` when it is not known, then it is left out.
    read: fn(&ServerView) -> Option<Number>,
}

/// A gauge per first path component that has a quota.
pub struct GaugeSet {
    /// Upstream's name, which follows the component.
    pub name: &'static str,
    /// What it shows, in a line.
    pub meaning: &'static str,
    read: fn(&QuotaSums) -> Option<i64>,
}

fn whole(value: u64) -> Option<Number> {
    Some(value.into())
}

fn size(value: Option<u32>) -> Option<Number> {
    Some(Number::Whole(value.map_or(-1, i64::from)))
}

const fn gauge(name: &'static str, meaning: &'static str, read: fn(&ServerView) -> Option<Number>) -> Gauge {
    Gauge { name, state: State::Counted, meaning, read }
}

/// A gauge of something that does not exist here.
const fn zero(name: &'static str, meaning: &'static str) -> Gauge {
    Gauge { name, state: State::Later, meaning, read: |_| whole(0) }
}

/// All gauges of a standalone server; members of an ensemble have them too.
pub static GAUGES: &[Gauge] = &[
    gauge("avg_latency", "average time from request to reply, milliseconds", |view| {
        Some(Number::Decimal(super::round4(view.latency.avg_ms)))
    }),
    gauge("max_latency", "longest time from request to reply", |view| whole(view.latency.max_ms)),
    gauge("min_latency", "shortest time from request to reply", |view| whole(view.latency.min_ms)),
    gauge("packets_received", "packets from clients", |view| whole(view.packets_received)),
    gauge("packets_sent", "packets to clients", |view| whole(view.packets_sent)),
    gauge("num_alive_connections", "open client connections", |view| whole(view.connections_alive)),
    gauge("outstanding_requests", "requests not yet answered", |view| whole(view.outstanding_requests)),
    gauge("uptime", "milliseconds since the server began to serve", |view| whole(view.uptime_ms)),
    gauge("znode_count", "nodes, the root counted twice", |view| whole(view.node_count)),
    gauge("watch_count", "watches of all kinds", |view| whole(view.watch_count)),
    gauge("ephemerals_count", "ephemeral nodes", |view| whole(view.ephemeral_count)),
    gauge("approximate_data_size", "bytes of all paths and data", |view| whole(view.data_bytes)),
    gauge("global_sessions", "sessions known to all servers", |view| whole(view.global_sessions)),
    gauge("local_sessions", "sessions known to this server only", |view| whole(view.local_sessions)),
    gauge("open_file_descriptor_count", "files and sockets open", |view| view.open_files.map(Into::into)),
    gauge("max_file_descriptor_count", "files and sockets that may be open", |view| {
        view.open_files_max.map(Into::into)
    }),
    gauge("connection_drop_probability", "share of connections the throttle drops at random", |view| {
        Some(Number::Decimal(view.connection_drop_probability))
    }),
    gauge("last_client_response_size", "bytes of the last reply; -1 before the first", |view| {
        size(view.response_sizes.last)
    }),
    gauge("max_client_response_size", "bytes of the largest reply", |view| size(view.response_sizes.max)),
    gauge("min_client_response_size", "bytes of the smallest reply", |view| size(view.response_sizes.min)),
    zero("outstanding_tls_handshake", "TLS handshakes under way"),
    gauge("auth_failed_count", "requests refused for want of authentication", |view| {
        whole(view.auth_failures)
    }),
    zero("non_mtls_remote_conn_count", "connections from other machines without a client certificate"),
    zero("non_mtls_local_conn_count", "connections from this machine without a client certificate"),
];

fn learners(view: &ServerView, read: fn(&LearnersView) -> u64) -> Option<Number> {
    view.learners.as_ref().and_then(|learners| whole(read(learners)))
}

/// Gauges of a member of an ensemble.
pub static MEMBER_GAUGES: &[Gauge] = &[gauge("quorum_size", "members with a vote", |view| {
    view.standing.as_ref().and_then(|standing| whole(standing.voters))
})];

/// A gauge that only a leader has.
fn if_leader(view: &ServerView, value: Option<Number>) -> Option<Number> {
    view.learners.as_ref().and(value)
}

/// Gauges of a leader, left out by everybody else.
pub static LEADER_GAUGES: &[Gauge] = &[
    gauge("leader_uptime", "milliseconds since it began to lead", |view| {
        view.standing.and_then(|standing| whole(standing.leads_for_ms?))
    }),
    gauge("last_proposal_size", "bytes of the last proposal; -1 before the first", |view| {
        if_leader(view, size(view.proposal_sizes.last))
    }),
    gauge("max_proposal_size", "bytes of the largest proposal", |view| {
        if_leader(view, size(view.proposal_sizes.max))
    }),
    gauge("min_proposal_size", "bytes of the smallest proposal", |view| {
        if_leader(view, size(view.proposal_sizes.min))
    }),
    gauge("learners", "learners that are connected", |view| learners(view, |l| l.connected)),
    gauge("synced_followers", "followers in step that vote", |view| learners(view, |l| l.synced_followers)),
    gauge("synced_non_voting_followers", "followers in step that do not vote", |view| {
        learners(view, |l| l.synced_non_voting)
    }),
    gauge("synced_observers", "observers in step", |view| learners(view, |l| l.synced_observers)),
    gauge("pending_syncs", "learners that are being brought up to date", |view| {
        learners(view, |l| l.pending)
    }),
];

/// Gauges by first path component.
pub static GAUGE_SETS: &[GaugeSet] = &[
    GaugeSet {
        name: "quota_count_limit_per_namespace",
        meaning: "nodes a quota allows",
        read: |sums| Some(sums.limits?.0),
    },
    GaugeSet {
        name: "quota_bytes_limit_per_namespace",
        meaning: "bytes a quota allows",
        read: |sums| Some(sums.limits?.1),
    },
    GaugeSet {
        name: "quota_count_usage_per_namespace",
        meaning: "nodes below a quota",
        read: |sums| Some(sums.usage?.0),
    },
    GaugeSet {
        name: "quota_bytes_usage_per_namespace",
        meaning: "bytes below a quota",
        read: |sums| Some(sums.usage?.1),
    },
];

/// Every gauge with its full name.
pub fn each(view: &ServerView, mut sink: impl FnMut(&str, Number)) {
    for gauge in GAUGES.iter().chain(MEMBER_GAUGES).chain(LEADER_GAUGES) {
        if let Some(value) = (gauge.read)(view) {
            sink(gauge.name, value);
        }
    }
    for set in GAUGE_SETS {
        for quota in &view.quotas {
            if let Some(value) = (set.read)(&quota.sums) {
                sink(&format!("{}_{}", quota.namespace, set.name), Number::Whole(value));
            }
        }
    }
}
