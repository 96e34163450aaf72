//! Metrics: what the server counts while it works.
//!
//! Role: a fixed set of counters and summaries, declared once in `table.rs`, with upstream's names.
//!
//! Invariants: adding is a few relaxed atomic operations on memory of the caller's own [`Shard`], takes no lock
//! (except for metrics by key, whose lock no other thread wants while the server works) and allocates nothing
//! (except for a new key, of which there are at most [`KEYS_MAX`]). Readers add the shards up; what they see may
//! be a few additions behind and not from one instant.
//!
//! Upstream counterpart: `ServerMetrics`, `DefaultMetricsProvider`, `AvgMinMaxCounter`,
//! `AvgMinMaxPercentileCounter`. Percentiles are taken from all values by means of a histogram (exact below 32,
//! then within 6 %), where upstream takes them from a random sample of 4096.

pub mod gauges;
mod histogram;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hashbrown::HashMap;
use parking_lot::Mutex;

use histogram::Histogram;
pub use table::{Counter, Distribution, KeyedCounter, KeyedSummary, State, Summary};

use super::text::round4;
use crate::types::{KEYS_MAX, NamespaceTotals, Totals};

/// Stands for the further keys of a metric by key of which a shard keeps [`KEYS_MAX`] already.
pub const OTHER_KEY: &str = "_other";

/// All metrics of a server.
#[derive(Debug)]
pub struct Metrics {
    shards: Box<[Arc<Shard>]>,
}

/// The part of the metrics that one thread adds to.
// Aligned so that two shards never share a line of the cache, nor a pair that is fetched together.
#[derive(Debug)]
#[repr(align(128))]
pub struct Shard {
    counters: [AtomicU64; Counter::ALL.len()],
    summaries: [Cell; Summary::ALL.len()],
    distributions: [(Cell, Histogram); Distribution::ALL.len()],
    keyed_counters: [Mutex<HashMap<String, u64>>; KeyedCounter::ALL.len()],
    keyed_summaries: [Mutex<HashMap<String, Totals>>; KeyedSummary::ALL.len()],
}

/// Count, sum, smallest and largest, shared.
#[derive(Debug)]
struct Cell {
    count: AtomicU64,
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

/// A value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Printed without decimals.
    Whole(i64),
    /// Printed with at least one.
    Decimal(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Number::Whole(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

/// All metrics but gauges, at one moment. Empty until taken from [`Metrics::view`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricsView {
    counters: Vec<(&'static str, u64)>,
    keyed_counters: Vec<(String, u64)>,
    summaries: Vec<(&'static str, Totals)>,
    distributions: Vec<(&'static str, Totals, [u64; 4])>,
    keyed_summaries: Vec<(String, Totals)>,
}

/// What is printed of a distribution besides its totals: prefix of the name and share of the values below.
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)];

impl Metrics {
    /// Metrics with this many shards, at least one. Give every thread that adds often a shard of its own.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Metrics { shards: (0..shards.max(1)).map(|_| Arc::new(Shard::new())).collect() }
    }

    /// A shard; indices beyond the last start over.
    #[must_use]
    pub fn shard(&self, index: usize) -> Arc<Shard> {
        Arc::clone(&self.shards[index % self.shards.len()])
    }

    /// Starts everything anew, as `srst` does. What is added meanwhile may be lost in part.
    pub fn reset(&self) {
        for shard in &self.shards {
            shard.reset();
        }
    }

    /// The sum of a counter.
    #[must_use]
    pub fn count(&self, counter: Counter) -> u64 {
        self.shards.iter().map(|shard| shard.counters[counter as usize].load(Relaxed)).sum()
    }

    /// All values, in the order of the table.
    #[must_use]
    pub fn view(&self) -> MetricsView {
        let sum = |cells: &dyn Fn(&Shard) -> Totals| {
            let mut totals = Totals::NONE;
            self.shards.iter().for_each(|shard| totals.merge(cells(shard)));
            totals
        };
        let mut keyed_counters = Vec::new();
        for counter in KeyedCounter::ALL {
            let mut by_key: BTreeMap<String, u64> = BTreeMap::new();
            for shard in &self.shards {
                for (key, value) in shard.keyed_counters[counter as usize].lock().iter() {
                    *by_key.entry(key.clone()).or_default() += value;
                }
            }
            keyed_counters
                .extend(by_key.into_iter().map(|(key, value)| (format!("{key}_{}", counter.name()), value)));
        }
        let mut keyed_summaries = Vec::new();
        for summary in KeyedSummary::ALL {
            let mut by_key: BTreeMap<String, Totals> = BTreeMap::new();
            for shard in &self.shards {
                for (key, totals) in shard.keyed_summaries[summary as usize].lock().iter() {
                    by_key.entry(key.clone()).or_default().merge(*totals);
                }
            }
            keyed_summaries.extend(
                by_key.into_iter().map(|(key, totals)| (format!("{key}_{}", summary.name()), totals)),
            );
        }
        MetricsView {
            counters: Counter::ALL.map(|counter| (counter.name(), self.count(counter))).to_vec(),
            keyed_counters,
            summaries: Summary::ALL
                .map(|summary| (summary.name(), sum(&|shard| shard.summaries[summary as usize].totals())))
                .to_vec(),
            distributions: Distribution::ALL
                .map(|distribution| {
                    let index = distribution as usize;
                    let totals = sum(&|shard| shard.distributions[index].0.totals());
                    let histograms = self.shards.iter().map(|shard| &shard.distributions[index].1);
                    let values = Histogram::quantiles(histograms, PERCENTILES.map(|(_, share)| share));
                    (distribution.name(), totals, values.map(|value| value.clamp(min(&totals), totals.max)))
                })
                .to_vec(),
            keyed_summaries,
        }
    }
}

impl Shard {
    fn new() -> Self {
        Shard {
            counters: [const { AtomicU64::new(0) }; Counter::ALL.len()],
            summaries: [const { Cell::new() }; Summary::ALL.len()],
            distributions: [const { (Cell::new(), Histogram::new()) }; Distribution::ALL.len()],
            keyed_counters: KeyedCounter::ALL.map(|_| Mutex::default()),
            keyed_summaries: KeyedSummary::ALL.map(|_| Mutex::default()),
        }
    }

    /// Adds one to a counter.
    pub fn inc(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Adds to a counter.
    pub fn add(&self, counter: Counter, amount: u64) {
        self.counters[counter as usize].fetch_add(amount, Relaxed);
    }

    /// Adds a value to a summary.
    pub fn record(&self, summary: Summary, value: u64) {
        self.summaries[summary as usize].record(value, 1);
    }

    /// Adds values to a summary.
    pub fn record_all(&self, summary: Summary, values: Totals) {
        self.summaries[summary as usize].merge(values);
    }

    /// Adds a value to a distribution.
    pub fn distribute(&self, distribution: Distribution, value: u64) {
        self.distribute_many(distribution, value, 1);
    }

    /// Adds the same value so many times.
    pub fn distribute_many(&self, distribution: Distribution, value: u64, times: u32) {
        let (cell, histogram) = &self.distributions[distribution as usize];
        cell.record(value, times);
        histogram.record(value, times);
    }

    /// Adds one to a counter of a key.
    pub fn inc_keyed(&self, counter: KeyedCounter, key: &str) {
        let mut by_key = self.keyed_counters[counter as usize].lock();
        *entry(&mut by_key, key) += 1;
    }

    /// Adds values to a summary of a key.
    pub fn record_keyed(&self, summary: KeyedSummary, key: &str, values: Totals) {
        let mut by_key = self.keyed_summaries[summary as usize].lock();
        entry(&mut by_key, key).merge(values);
    }

    /// Adds what was counted by the first component of a path.
    pub fn record_namespaces(&self, summary: KeyedSummary, namespaces: &mut NamespaceTotals) {
        namespaces.take(|namespace, values| {
            let key = if namespace.is_empty() { OTHER_KEY } else { namespace };
            self.record_keyed(summary, key, values);
        });
    }

    fn reset(&self) {
        for counter in &self.counters {
            counter.store(0, Relaxed);
        }
        for cell in self.summaries.iter().chain(self.distributions.iter().map(|(cell, _)| cell)) {
            cell.reset();
        }
        for (_, histogram) in &self.distributions {
            histogram.reset();
        }
        // Keys stay, with nothing counted, as upstream.
        for by_key in &self.keyed_counters {
            by_key.lock().values_mut().for_each(|value| *value = 0);
        }
        for by_key in &self.keyed_summaries {
            by_key.lock().values_mut().for_each(|totals| *totals = Totals::NONE);
        }
    }
}

/// The value of a key, or of [`OTHER_KEY`] when there are too many.
fn entry<'a, V: Default>(by_key: &'a mut HashMap<String, V>, key: &str) -> &'a mut V {
    let key = if by_key.len() < KEYS_MAX || by_key.contains_key(key) { key } else { OTHER_KEY };
    by_key.entry_ref(key).or_default()
}

impl Cell {
    const fn new() -> Self {
        Cell {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }

    fn record(&self, value: u64, times: u32) {
        let times = u64::from(times);
        self.merge(Totals { count: times, sum: value * times, min: value, max: value });
    }

    fn merge(&self, values: Totals) {
        self.count.fetch_add(values.count, Relaxed);
        self.sum.fetch_add(values.sum, Relaxed);
        // Nearly always a look is enough.
        if values.min < self.min.load(Relaxed) {
            self.min.fetch_min(values.min, Relaxed);
        }
        if values.max > self.max.load(Relaxed) {
            self.max.fetch_max(values.max, Relaxed);
        }
    }

    fn totals(&self) -> Totals {
        Totals {
            count: self.count.load(Relaxed),
            sum: self.sum.load(Relaxed),
            min: self.min.load(Relaxed),
            max: self.max.load(Relaxed),
        }
    }

    fn reset(&self) {
        self.count.store(0, Relaxed);
        self.sum.store(0, Relaxed);
        self.min.store(u64::MAX, Relaxed);
        self.max.store(0, Relaxed);
    }
}

/// The smallest; 0 while there is none.
fn min(totals: &Totals) -> u64 {
    // Read together with the largest at different moments, it may be behind.
    if totals.count == 0 { 0 } else { totals.min.min(totals.max) }
}

/// The average with four decimals; 0 while there is none.
fn average(totals: &Totals) -> f64 {
    if totals.count == 0 { 0.0 } else { round4(totals.sum as f64 / totals.count as f64) }
}

fn each(totals: &Totals, name: &str, mut sink: impl FnMut(&str, Number)) {
    sink(&format!("avg_{name}"), Number::Decimal(average(totals)));
    sink(&format!("min_{name}"), min(totals).into());
    sink(&format!("max_{name}"), totals.max.into());
    sink(&format!("cnt_{name}"), totals.count.into());
    sink(&format!("sum_{name}"), totals.sum.into());
}

impl MetricsView {
    /// Every value with its full name, in upstream's order of kinds.
    pub fn each(&self, mut sink: impl FnMut(&str, Number)) {
        for (name, value) in &self.counters {
            sink(name, (*value).into());
        }
        for (name, value) in &self.keyed_counters {
            sink(name, (*value).into());
        }
        for (name, totals) in &self.summaries {
            each(totals, name, &mut sink);
        }
        for (name, totals, values) in &self.distributions {
            each(totals, name, &mut sink);
            for ((prefix, _), value) in PERCENTILES.iter().zip(values) {
                sink(&format!("{prefix}_{name}"), (*value).into());
            }
        }
        for (name, totals) in &self.keyed_summaries {
            each(totals, name, &mut sink);
        }
    }
}

#[cfg(test)]
mod tests;
