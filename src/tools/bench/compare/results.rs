//! The results file.

use super::super::error::Error;
use super::super::report::Report;
use super::server::Arm;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// All measurements so far; written after each one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Results {
    /// What they were made on.
    pub machine: String,
    pub measurements: Vec<Measurement>,
    #[serde(skip)]
    path: PathBuf,
}

/// One cell on one server once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measurement {
    pub cell: String,
    pub arm: Arm,
    pub round: usize,
    pub report: Report,
}

impl Results {
    /// Reads the file, or begins a new one.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mut results = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| Error::Options(format!("--out: {} holds no results: {e}", path.display())))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Results::default(),
            Err(source) => return Err(Error::Io { what: "reading the results file", source }),
        };
        results.path = path.to_owned();
        Ok(results)
    }

    /// Drops what is known of a cell on these servers.
    pub fn forget(&mut self, cell: &str, arms: &[Arm]) {
        self.measurements.retain(|one| one.cell != cell || !arms.contains(&one.arm));
    }

    /// Adds a measurement and writes the file.
    pub fn add(&mut self, cell: &str, arm: Arm, round: usize, report: Report) -> Result<(), Error> {
        self.machine = machine();
        self.measurements.push(Measurement { cell: cell.to_owned(), arm, round, report });
        let text = serde_json::to_string_pretty(self).expect("results have only string keys");
        std::fs::write(&self.path, text + "\n").map_err(Error::io("writing the results file"))
    }

    /// Whether no measurement saw an error.
    pub fn is_clean(&self) -> bool {
        self.measurements.iter().all(|one| one.report.is_clean())
    }

    /// The median over the rounds of what `value` takes from a report.
    pub fn median(&self, cell: &str, arm: Arm, value: impl Fn(&Report) -> Option<f64>) -> Option<f64> {
        let of_cell = self.measurements.iter().filter(|one| one.cell == cell && one.arm == arm);
        let mut values: Vec<f64> = of_cell.filter_map(|one| value(&one.report)).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            n if n % 2 == 1 => Some(values[middle]),
            _ => Some((values[middle - 1] + values[middle]) / 2.0),
        }
    }
}

/// Processor and cores.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores, Linux", model.unwrap_or("unknown processor"))
}
