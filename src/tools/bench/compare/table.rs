//! The tables of a comparison, in Markdown.

use super::super::report::{Report, decimals, thousands};
use super::cells::{CELLS, Cell, Target};
use super::results::Results;
use super::server::Arm;
use std::fmt::Write;

/// Both tables; cells that were not measured are left out.
pub(super) fn render(results: &Results) -> String {
    let measured = |cell: &&Cell| results.measurements.iter().any(|one| one.cell == cell.name);
    let (drives, values): (Vec<&Cell>, Vec<&Cell>) =
        CELLS.iter().filter(measured).partition(|cell| cell.measure.is_rate());
    let mut out = String::new();
    let _ = writeln!(
        out,
        "Machine: {}. Every figure is a pair Java / Quoll, medians over the rounds.\n",
        results.machine
    );
    if !drives.is_empty() {
        out += "| what | ops/s | ratio | server CPU us/op | ratio | p50 us | p99 us | p99.9 us | resident MiB | targets |\n";
        out += "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n";
        for cell in drives {
            drive_row(&mut out, results, cell);
        }
        out.push('\n');
    }
    if !values.is_empty() {
        out += "| what | Java | Quoll | ratio | targets |\n|---|--:|--:|--:|---|\n";
        for cell in values {
            let pair = Pair::of(results, cell, value);
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} |",
                cell.what,
                told(pair.java, decimals),
                told(pair.quoll, decimals),
                told(pair.java_over_quoll(), ratio),
                targets(results, cell)
            );
        }
        out.push('\n');
    }
    out
}

fn value(report: &Report) -> Option<f64> {
    let keys = ["value", "bytes_per_session", "bytes_per_watch"];
    keys.iter().find_map(|key| report.more.get(*key)).copied()
}

fn cpu(report: &Report) -> Option<f64> {
    report.server.as_ref().map(|server| server.cpu_us_per_op)
}

fn drive_row(out: &mut String, results: &Results, cell: &Cell) {
    let pair = |value: fn(&Report) -> Option<f64>| Pair::of(results, cell, value);
    let rate = pair(|report| Some(report.ops_per_s));
    let cost = pair(cpu);
    let rss = pair(|report| {
        report.server.as_ref().map(|server| server.rss_after_bytes as f64 / f64::from(1 << 20))
    });
    let _ = writeln!(
        out,
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        cell.what,
        rate.told(thousands),
        told(rate.quoll_over_java(), ratio),
        cost.told(decimals),
        told(cost.java_over_quoll(), |n| format!("1/{n:.1}")),
        pair(|report| Some(report.latency.p50_us)).told(decimals),
        pair(|report| Some(report.latency.p99_us)).told(decimals),
        pair(|report| Some(report.latency.p999_us)).told(decimals),
        rss.told(|n| format!("{n:.0}")),
        targets(results, cell)
    );
}

/// Each target and whether it is met.
fn targets(results: &Results, cell: &Cell) -> String {
    let texts: Vec<String> = cell
        .targets
        .iter()
        .map(|&target| {
            let (text, is_met) = match target {
                Target::Throughput(least) => {
                    let reached = Pair::of(results, cell, |report| Some(report.ops_per_s)).quoll_over_java();
                    (format!("{least}x ops/s"), reached.map(|reached| reached >= least))
                }
                Target::Cpu(divisor) => {
                    let reached = Pair::of(results, cell, cpu).java_over_quoll();
                    (format!("CPU 1/{divisor}"), reached.map(|reached| reached >= divisor))
                }
                Target::P999(divisor) => {
                    let reached =
                        Pair::of(results, cell, |report| Some(report.latency.p999_us)).java_over_quoll();
                    (format!("p99.9 1/{divisor}"), reached.map(|reached| reached >= divisor))
                }
                Target::Value(most) => {
                    let reached = Pair::of(results, cell, value).quoll;
                    (format!("at most {}", decimals(most)), reached.map(|reached| reached <= most))
                }
            };
            match is_met {
                Some(true) => format!("{text}: met"),
                Some(false) => format!("{text}: **missed**"),
                None => format!("{text}: not measured"),
            }
        })
        .collect();
    texts.join("; ")
}

/// One figure of both servers.
struct Pair {
    java: Option<f64>,
    quoll: Option<f64>,
}

impl Pair {
    fn of(results: &Results, cell: &Cell, value: impl Fn(&Report) -> Option<f64>) -> Self {
        Self {
            java: results.median(cell.name, Arm::Java, &value),
            quoll: results.median(cell.name, Arm::Quoll, &value),
        }
    }

    fn quoll_over_java(&self) -> Option<f64> {
        Some(self.quoll? / self.java?).filter(|ratio| ratio.is_finite())
    }

    fn java_over_quoll(&self) -> Option<f64> {
        Some(self.java? / self.quoll?).filter(|ratio| ratio.is_finite())
    }

    fn told(&self, form: impl Fn(f64) -> String) -> String {
        format!("{} / {}", told(self.java, &form), told(self.quoll, &form))
    }
}

fn told(number: Option<f64>, form: impl Fn(f64) -> String) -> String {
    number.map_or_else(|| "–".to_owned(), form)
}

fn ratio(number: f64) -> String {
    format!("{number:.1}x")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::bench::report::ServerCost;

    fn results(java: &[f64], quoll: &[f64]) -> Results {
        let mut results = Results::default();
        for (arm, rates) in [(Arm::Java, java), (Arm::Quoll, quoll)] {
            for &ops_per_s in rates {
                let server = ServerCost { cpu_us_per_op: 1e6 / ops_per_s, ..ServerCost::default() };
                let report = Report { ops_per_s, server: Some(server), ..Report::default() };
                results.measurements.push(super::super::results::Measurement {
                    cell: "get16".into(),
                    arm,
                    round: 0,
                    report,
                });
            }
        }
        results
    }

    #[test]
    fn a_row_tells_medians_ratios_and_which_targets_are_met() {
        let text = render(&results(&[100.0, 50.0, 1e6], &[900.0]));
        assert!(text.contains("| 100 / 900 | 9.0x | 10,000 / 1,111 | 1/9.0 |"), "{text}");
        assert!(text.contains("8x ops/s: met; CPU 1/15: **missed**"), "{text}");
    }

    #[test]
    fn a_server_that_was_not_measured_leaves_a_dash_and_no_verdict() {
        let text = render(&results(&[100.0], &[]));
        assert!(text.contains("| 100 / – | – |"), "{text}");
        assert!(text.contains("8x ops/s: not measured"), "{text}");
    }
}
