//! The log of the process.

use crate::config::{Level, Notice};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts the log on standard error.
///
/// What is shown is said by `QUOLL_LOG`, or else `RUST_LOG`, in the usual syntax (`debug`, `quoll::net=trace`, …);
/// without either it is `info`. `QUOLL_LOG_FORMAT=json` writes one JSON object a line.
pub fn start() {
    let filter = ["QUOLL_LOG", "RUST_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().map(|text| (name, text)))
        .map(|(name, text)| (name, EnvFilter::try_new(&text), text));
    let (filter, complaint) = match filter {
        None => (EnvFilter::new("info"), None),
        Some((_, Ok(filter), _)) => (filter, None),
        Some((name, Err(error), text)) => {
            (EnvFilter::new("info"), Some(format!("{name}={text} is no log filter ({error}); using info")))
        }
    };
    let json = std::env::var("QUOLL_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_thread_names(true)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        log.json().init()
    } else {
        log.init()
    }
    if let Some(complaint) = complaint {
        tracing::warn!("{complaint}");
    }
}

/// Logs what the configuration has to say.
pub fn show(notices: &[Notice]) {
    for Notice { level, text } in notices {
        match level {
            Level::Warn => tracing::warn!("{text}"),
            Level::Info => tracing::info!("{text}"),
            Level::Debug => tracing::debug!("{text}"),
        }
    }
}
