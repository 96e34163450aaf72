//! The progress line: a bar on a terminal, a line now and then elsewhere.

use super::measure::Window;
use super::report::thousands;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How often a line comes when there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    is_quiet: bool,
    name: String,
    started: Instant,
    last: (Instant, u64),
    line_at: Instant,
}

impl Progress {
    /// A line for a run called `name`.
    pub fn new(name: &str, is_quiet: bool) -> Self {
        let now = Instant::now();
        let bar = (!is_quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}");
            ProgressBar::new(1000)
                .with_style(style.expect("the template is a constant"))
                .with_prefix(name.to_owned())
        });
        Self { bar, is_quiet, name: name.to_owned(), started: now, last: (now, 0), line_at: now + LINE_EVERY }
    }

    /// Shows where the run is, `done` from 0 to 1.
    pub fn update(&mut self, window: &Window, done: f64) {
        let now = Instant::now();
        let replies = window.replies.load(Relaxed);
        let is_line_due = self.bar.is_none() && !self.is_quiet && now >= self.line_at;
        if self.bar.is_none() && !is_line_due {
            return;
        }
        let rate = (replies - self.last.1) as f64 / (now - self.last.0).as_secs_f64().max(1e-9);
        self.last = (now, replies);
        let percent = (done * 100.0).clamp(0.0, 100.0);
        let message = format!("{percent:.0} %  {} ops/s  {} ops", thousands(rate), thousands(replies as f64));
        if let Some(bar) = &self.bar {
            bar.set_position((percent * 10.0) as u64);
            bar.set_message(message);
        } else {
            eprintln!("{} {:.0} s  {message}", self.name, (now - self.started).as_secs_f64());
            self.line_at = now + LINE_EVERY;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
