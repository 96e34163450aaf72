use super::{NodeError, options};
use crate::{
    config::ServerConfig,
    storage::{self, Disk, Phase, Progress, Recovered},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::IsTerminal,
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::info;

/// A load that takes longer tells how far it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two lines of progress.
const LINES_EVERY: Duration = Duration::from_secs(2);

/// Restores what the data directory holds, telling about it when it takes long.
pub(super) fn recover(disk: &Arc<dyn Disk>, config: &ServerConfig) -> Result<Recovered, NodeError> {
    let start = Instant::now();
    let mut report = Report::new(start);
    let recovered =
        storage::recover(disk, &options::storage(config), options::tree(config), &mut |p| report.see(p))?;
    report.finish();
    info!(
        nodes = recovered.tree.node_count(),
        sessions = recovered.sessions.len(),
        zxid = %recovered.last_zxid,
        replayed = recovered.replayed,
        ms = start.elapsed().as_millis() as u64,
        "data loaded"
    );
    Ok(recovered)
}

/// Tells how far a load is: nothing for a short one, then a bar on a terminal, else a line now and then.
struct Report {
    start: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
}

impl Report {
    fn new(start: Instant) -> Self {
        Self { start, told: start, bar: None }
    }

    fn see(&mut self, p: &Progress<'_>) {
        let now = Instant::now();
        if now - self.start < PATIENCE {
            return;
        }
        let line = line(p, now - self.start);
        if std::io::stderr().is_terminal() {
            let bar = self.bar.get_or_insert_with(|| {
                let style = ProgressStyle::with_template("{bar:40} {percent:>3}% {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
            });
            bar.set_length(p.bytes_total);
            bar.set_position(p.bytes_done);
            bar.set_message(line);
        } else if now - self.told >= LINES_EVERY {
            self.told = now;
            info!("{line}, {}%", percent(p));
        }
    }

    fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn percent(p: &Progress<'_>) -> u64 {
    p.bytes_done * 100 / p.bytes_total.max(1)
}

fn line(p: &Progress<'_>, passed: Duration) -> String {
    let per_second = |n: u64| (n as f64 / passed.as_secs_f64().max(0.001)) as u64;
    let path = p.path.display();
    match p.phase {
        Phase::Snapshot => format!("loading {path}: {} znodes, {}/s", p.nodes, per_second(p.nodes)),
        Phase::Replay => format!("replaying {path}: {} transactions, {}/s", p.txns, per_second(p.txns)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn progress_names_the_file_the_number_and_the_rate() {
        let p = Progress {
            phase: Phase::Snapshot,
            path: Path::new("data/version-2/snapshot.5"),
            nodes: 3000,
            txns: 0,
            bytes_done: 50,
            bytes_total: 200,
        };
        assert_eq!(
            line(&p, Duration::from_secs(3)),
            "loading data/version-2/snapshot.5: 3000 znodes, 1000/s"
        );
        assert_eq!(percent(&p), 25);
        assert_eq!(percent(&Progress { bytes_total: 0, ..p }), 5000);
    }
}
