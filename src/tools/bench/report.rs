//! The result of one benchmark, as JSON and as text.

use super::measure::{Latency, Tally};
use super::process::ProcessSample;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

/// What one benchmark found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Name of the workload.
    pub workload: String,
    /// What it ran with.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Length of the measurement, seconds.
    pub elapsed_s: f64,
    /// Answers, error replies included.
    pub ops: u64,
    /// Answers per second.
    pub ops_per_s: f64,
    /// Error replies by code.
    pub errors: BTreeMap<String, u64>,
    /// Time from request to answer; in an open loop from the planned time of the request.
    pub latency: Latency,
    /// The same by kind of request.
    pub latency_by_kind: BTreeMap<String, Latency>,
    /// Watch notifications that came.
    pub notifications: u64,
    /// Connections that broke.
    pub broken: u64,
    /// Why the first of them did.
    pub broken_reason: Option<String>,
    /// What the server used, when its process id was given.
    pub server: Option<ServerCost>,
    /// What the generator used.
    pub generator: GeneratorCost,
    /// Results that only some benchmarks have.
    pub more: BTreeMap<String, f64>,
}

/// What the server process used in the measured window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ServerCost {
    /// Processor time, seconds.
    pub cpu_s: f64,
    /// Processor time per answer, microseconds.
    pub cpu_us_per_op: f64,
    /// Resident memory at the start of the window.
    pub rss_before_bytes: u64,
    /// Resident memory at the end of the window.
    pub rss_after_bytes: u64,
    /// Live bytes of a Java heap at the start where asked for, else as resident.
    pub used_before_bytes: u64,
    /// The same at the end of the window.
    pub used_after_bytes: u64,
}

/// What the generator itself used in the measured window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GeneratorCost {
    /// Processor time per answer, microseconds.
    pub cpu_us_per_op: f64,
    /// How late requests of an open loop left: part of the latencies above that is not the server's.
    pub lateness: Option<Latency>,
}

/// Readings at the two ends of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub server: Option<(ProcessSample, ProcessSample)>,
    pub generator: (ProcessSample, ProcessSample),
}

impl Report {
    /// Puts together what a run found.
    pub(super) fn new(workload: &str, elapsed: Duration, tally: &Tally, ends: &Ends) -> Self {
        let ops = tally.count();
        let per_op = |(before, after): (ProcessSample, ProcessSample)| {
            after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / ops.max(1) as f64
        };
        Self {
            workload: workload.to_owned(),
            elapsed_s: elapsed.as_secs_f64(),
            ops,
            ops_per_s: ops as f64 / elapsed.as_secs_f64().max(1e-9),
            errors: tally.errors(),
            latency: tally.latency(),
            latency_by_kind: tally.latency_by_kind(),
            notifications: tally.notifications,
            broken: tally.broken_count,
            broken_reason: tally.broken.as_ref().map(ToString::to_string),
            server: ends.server.map(|(before, after)| ServerCost {
                cpu_s: after.cpu.saturating_sub(before.cpu).as_secs_f64(),
                cpu_us_per_op: per_op((before, after)),
                rss_before_bytes: before.rss_bytes,
                rss_after_bytes: after.rss_bytes,
                used_before_bytes: before.used_bytes(),
                used_after_bytes: after.used_bytes(),
            }),
            generator: GeneratorCost { cpu_us_per_op: per_op(ends.generator), lateness: tally.lateness() },
            ..Self::default()
        }
    }

    /// Adds a parameter.
    pub(super) fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.parameters.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a result that only some benchmarks have.
    pub(super) fn with_more(mut self, name: &str, value: f64) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// Whether everything was answered, without errors, on connections that held.
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty() && self.broken == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters: Vec<String> =
            self.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
        writeln!(f, "{} ({})", self.workload, parameters.join(", "))?;
        writeln!(
            f,
            "  {} ops/s, {} ops in {:.2} s",
            thousands(self.ops_per_s),
            thousands(self.ops as f64),
            self.elapsed_s
        )?;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, l: &Latency| {
            let [p50, p90, p99, p999, max] =
                [l.p50_us, l.p90_us, l.p99_us, l.p999_us, l.max_us].map(decimals);
            writeln!(f, "  {name:<12} {p50:>10} {p90:>10} {p99:>10} {p999:>10} {max:>10}")
        };
        if self.ops > 0 {
            let [p50, p90, p99, p999, max] = ["p50", "p90", "p99", "p99.9", "max"];
            writeln!(f, "  {:<12} {p50:>10} {p90:>10} {p99:>10} {p999:>10} {max:>10}", "latency us")?;
            row(f, "all", &self.latency)?;
        }
        if self.latency_by_kind.len() > 1 {
            for (kind, latency) in &self.latency_by_kind {
                row(f, kind, latency)?;
            }
        }
        if let Some(lateness) = &self.generator.lateness {
            row(f, "own delay", lateness)?;
        }
        if let Some(server) = &self.server {
            writeln!(
                f,
                "  server: {:.3} us CPU per op, {:.2} s CPU, resident {} -> {}",
                server.cpu_us_per_op,
                server.cpu_s,
                mebibytes(server.rss_before_bytes),
                mebibytes(server.rss_after_bytes)
            )?;
        }
        if self.ops > 0 {
            writeln!(f, "  generator: {:.3} us CPU per op", self.generator.cpu_us_per_op)?;
        }
        for (name, value) in &self.more {
            writeln!(f, "  {name}: {}", decimals(*value))?;
        }
        if self.notifications > 0 {
            writeln!(f, "  notifications: {}", self.notifications)?;
        }
        for (code, count) in &self.errors {
            writeln!(f, "  ERROR {code}: {count} replies")?;
        }
        if let Some(reason) = &self.broken_reason {
            writeln!(f, "  BROKEN: {} connections, the first: {reason}", self.broken)?;
        }
        Ok(())
    }
}

/// A number with separators, no decimals.
pub(super) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Three significant digits or so.
pub(super) fn decimals(number: f64) -> String {
    match number.abs() {
        n if n >= 1000.0 => thousands(number),
        n if n >= 100.0 => format!("{number:.0}"),
        n if n >= 10.0 => format!("{number:.1}"),
        _ => {
            let mut text = String::new();
            let _ = write!(text, "{number:.3}");
            text
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(-123_456.0), "-123,456");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(decimals(0.1234), "0.123");
    }
}
