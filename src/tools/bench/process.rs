//! What the system says about a process: processor time and resident memory.

use super::error::Error;
use std::time::Duration;

/// One reading of `/proc/PID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessSample {
    /// User and system time of all threads, dead ones included.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Bytes of live objects in a Java heap, where they were asked for.
    pub live_bytes: Option<u64>,
}

impl ProcessSample {
    /// The sum of two processes.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            rss_bytes: self.rss_bytes + other.rss_bytes,
            live_bytes: match (self.live_bytes, other.live_bytes) {
                (Some(a), Some(b)) => Some(a + b),
                _ => None,
            },
        }
    }

    /// Memory in use: live bytes where they are known, else what is resident.
    pub fn used_bytes(&self) -> u64 {
        self.live_bytes.unwrap_or(self.rss_bytes)
    }
}

/// Reads the counters of the Java process `pid`, after a full collection that `jcmd` makes it do.
///
/// # Errors
/// When there is no such process, or no `jcmd` (part of every JDK).
pub fn sample_java(pid: u32) -> Result<ProcessSample, Error> {
    let failed = |reason: String| Error::Server { server: format!("java process {pid}"), reason };
    let output = std::process::Command::new("jcmd")
        .args([&pid.to_string(), "GC.class_histogram"])
        .output()
        .map_err(|e| failed(format!("cannot run jcmd: {e}; install a JDK")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let live_bytes = parse_histogram(&text)
        .ok_or_else(|| failed(format!("jcmd GC.class_histogram told no total: {text:.200}")))?;
    Ok(ProcessSample { live_bytes: Some(live_bytes), ..sample(pid)? })
}

/// Reads the counters of the process `pid`.
///
/// # Errors
/// When there is no such process.
pub fn sample(pid: u32) -> Result<ProcessSample, Error> {
    let stat = read(format!("/proc/{pid}/stat"))?;
    let statm = read(format!("/proc/{pid}/statm"))?;
    parse(&stat, &statm, rustix::param::clock_ticks_per_second(), rustix::param::page_size() as u64)
        .ok_or_else(|| Error::Process {
            path: format!("/proc/{pid}/stat"),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, format!("unknown form: {stat:?}")),
        })
}

/// Reads the counters of this process.
pub(super) fn sample_self() -> Result<ProcessSample, Error> {
    sample(std::process::id())
}

fn read(path: String) -> Result<String, Error> {
    std::fs::read_to_string(&path).map_err(|source| Error::Process { path, source })
}

fn parse(stat: &str, statm: &str, ticks_per_s: u64, page_bytes: u64) -> Option<ProcessSample> {
    // The command name in parentheses may hold anything, so count fields behind its end: utime is the 12th, stime the 13th.
    let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    let cpu = Duration::from_nanos((user + system) * (1_000_000_000 / ticks_per_s));
    Some(ProcessSample { cpu, rss_bytes: pages * page_bytes, live_bytes: None })
}

/// The bytes in the last line of a class histogram: `Total  instances  bytes`.
fn parse_histogram(text: &str) -> Option<u64> {
    text.lines().rev().find_map(|line| line.strip_prefix("Total")?.split_whitespace().nth(1)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 1 1 1";
        let sample = parse(stat, "100 7 3 1 0 9 0", 100, 4096).unwrap();
        assert_eq!(
            sample,
            ProcessSample { cpu: Duration::from_secs(2), rss_bytes: 7 * 4096, live_bytes: None }
        );
    }

    #[test]
    fn the_total_of_a_class_histogram_is_found() {
        let text = "4711:\n num     #instances         #bytes  class name\n   1:   5  400  [B\nTotal        105432       8123456\n";
        assert_eq!(parse_histogram(text), Some(8_123_456));
        assert_eq!(parse_histogram("no such process"), None);
    }

    #[test]
    fn this_process_can_be_observed() {
        assert!(sample_self().unwrap().rss_bytes > 0);
    }
}
