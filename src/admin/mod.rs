//! What shows the server's inside: four-letter words and metrics.
//!
//! Role: texts. The node takes a [`ServerView`] of itself, with the parts a word asks for, and gets an answer; the
//! metrics are counters that the other modules add to.
//!
//! Invariants: an answer is a function of the view alone; adding to a metric is a few relaxed atomic operations
//! and never waits; words change nothing themselves but say what is to be changed ([`words::Effect`]).
//!
//! Upstream counterpart: `server.command.*`, `ServerStats`, `ServerMetrics`, `DefaultMetricsProvider`.
//!
//! Start reading at [`words::answer`] and [`metrics::Metrics`].

#[cfg(test)]
mod build_date;
mod calendar;
#[cfg(test)]
mod docs;
pub mod metrics;
mod text;
pub mod version;
mod view;
pub mod words;

pub use view::{
    ConnectionView, EnsembleView, ExpiryBucket, LatencyStats, LearnersView, Mode, QuotaView, ServerView,
    SessionsView, SettingsView, SizeStats, StandingView, WatchesSummary, last_op,
};
