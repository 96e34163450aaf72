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
    Some(ProcessSample { cpu, rss_bytes: pages * page_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 1 1 1";
        let sample = parse(stat, "100 7 3 1 0 9 0", 100, 4096).unwrap();
        assert_eq!(sample, ProcessSample { cpu: Duration::from_secs(2), rss_bytes: 7 * 4096 });
    }

    #[test]
    fn this_process_can_be_observed() {
        assert!(sample_self().unwrap().rss_bytes > 0);
    }
}
