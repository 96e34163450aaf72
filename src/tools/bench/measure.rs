//! What a run adds up: latencies, errors, and the window of time in which they count.

use super::error::Error;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Kinds of request that are told apart in the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
pub(super) enum Kind {
    Create,
    Delete,
    Set,
    Get,
    Exists,
    GetChildren,
    Multi,
    Ping,
    Connect,
    Notification,
}

impl Kind {
    pub const ALL: [Kind; 10] = [
        Kind::Create,
        Kind::Delete,
        Kind::Set,
        Kind::Get,
        Kind::Exists,
        Kind::GetChildren,
        Kind::Multi,
        Kind::Ping,
        Kind::Connect,
        Kind::Notification,
    ];

    fn name(self) -> &'static str {
        match self {
            Kind::Create => "create",
            Kind::Delete => "delete",
            Kind::Set => "set",
            Kind::Get => "get",
            Kind::Exists => "exists",
            Kind::GetChildren => "getChildren",
            Kind::Multi => "multi",
            Kind::Ping => "ping",
            Kind::Connect => "connect",
            Kind::Notification => "notification",
        }
    }
}

/// The clock and the measured window all threads of a run share. Times are nanoseconds since the start of the run.
#[derive(Debug)]
pub(super) struct Window {
    origin: Instant,
    start_ns: AtomicU64,
    end_ns: AtomicU64,
    /// Set when nothing more is to be sent.
    stop: AtomicBool,
    /// Replies so far, warm-up included; for the progress line.
    pub replies: AtomicU64,
}

impl Window {
    /// A window that has not begun.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            start_ns: AtomicU64::new(u64::MAX),
            end_ns: AtomicU64::new(u64::MAX),
            stop: AtomicBool::new(false),
            replies: AtomicU64::new(0),
        }
    }

    /// Nanoseconds since the start of the run.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        // 584 years fit.
        self.origin.elapsed().as_nanos() as u64
    }

    pub fn begin(&self) {
        self.start_ns.store(self.now_ns(), Relaxed);
    }

    /// Ends the window now and tells everybody to stop.
    pub fn finish(&self) {
        self.end_ns.store(self.now_ns(), Relaxed);
        self.stop.store(true, Relaxed);
    }

    #[inline]
    pub fn contains(&self, at_ns: u64) -> bool {
        at_ns >= self.start_ns.load(Relaxed) && at_ns < self.end_ns.load(Relaxed)
    }

    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Length of the window, once it is over.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.end_ns.load(Relaxed).saturating_sub(self.start_ns.load(Relaxed)))
    }
}

/// What one thread saw.
#[derive(Debug)]
pub(super) struct Tally {
    latencies: Vec<Option<Histogram<u64>>>,
    /// Error replies by code.
    errors: BTreeMap<i32, u64>,
    /// Watch notifications.
    pub notifications: u64,
    /// How late requests left that had a planned time.
    lateness: Option<Histogram<u64>>,
    /// The first connection that broke, and how many did.
    pub broken: Option<Error>,
    pub broken_count: u64,
}

/// An empty distribution of nanoseconds.
pub(super) fn histogram() -> Histogram<u64> {
    // 1 ns to 10 minutes at three digits.
    Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("constant bounds are valid")
}

impl Tally {
    pub fn new() -> Self {
        Self {
            latencies: Kind::ALL.map(|_| None).into(),
            errors: BTreeMap::new(),
            notifications: 0,
            lateness: None,
            broken: None,
            broken_count: 0,
        }
    }

    /// Counts `count` answers that took `ns` each.
    #[inline]
    pub fn record(&mut self, kind: Kind, ns: u64, count: u64) {
        let slot = self.latencies[kind as usize].get_or_insert_with(histogram);
        slot.saturating_record_n(ns.max(1), count);
    }

    #[cold]
    pub fn error(&mut self, code: i32) {
        *self.errors.entry(code).or_default() += 1;
    }

    pub fn late(&mut self, ns: u64) {
        self.lateness.get_or_insert_with(histogram).saturating_record(ns.max(1));
    }

    pub fn lose(&mut self, error: Error) {
        self.broken_count += 1;
        self.broken.get_or_insert(error);
    }

    /// Adds what another thread saw.
    pub fn merge(&mut self, other: Tally) {
        let add = |into: &mut Option<Histogram<u64>>, from: Option<Histogram<u64>>| match (into, from) {
            (_, None) => {}
            (Some(into), Some(from)) => into.add(from).expect("histograms of equal bounds add up"),
            (into, from) => *into = from,
        };
        for (into, from) in self.latencies.iter_mut().zip(other.latencies) {
            add(into, from);
        }
        add(&mut self.lateness, other.lateness);
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        self.notifications += other.notifications;
        self.broken_count += other.broken_count;
        if let Some(error) = other.broken {
            self.broken.get_or_insert(error);
        }
    }

    /// Answers in the window, errors included.
    pub fn count(&self) -> u64 {
        self.latencies.iter().flatten().map(Histogram::len).sum()
    }

    /// Latencies over all kinds.
    pub fn latency(&self) -> Latency {
        let mut all = histogram();
        for one in self.latencies.iter().flatten() {
            all.add(one).expect("histograms of equal bounds add up");
        }
        Latency::of(&all)
    }

    /// Latencies of each kind that occurred, by name.
    pub fn latency_by_kind(&self) -> BTreeMap<String, Latency> {
        Kind::ALL
            .iter()
            .filter_map(|&kind| {
                let histogram = self.latencies[kind as usize].as_ref()?;
                Some((kind.name().to_owned(), Latency::of(histogram)))
            })
            .collect()
    }

    /// Error replies by code.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.iter().map(|(code, count)| (code.to_string(), *count)).collect()
    }

    /// How late the generator itself was, in an open loop.
    pub fn lateness(&self) -> Option<Latency> {
        self.lateness.as_ref().map(Latency::of)
    }
}

/// Percentiles of one distribution, microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Number of values.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_us: f64,
    /// Half of the values are not above this.
    pub p50_us: f64,
    /// 90 %.
    pub p90_us: f64,
    /// 99 %.
    pub p99_us: f64,
    /// 99.9 %.
    pub p999_us: f64,
    /// The largest.
    pub max_us: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let us = |ns: u64| ns as f64 / 1000.0;
        let quantile = |q| us(histogram.value_at_quantile(q));
        Self {
            count: histogram.len(),
            mean_us: histogram.mean() / 1000.0,
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: us(histogram.max()),
        }
    }
}
