//! The command line of `quoll bench`.

use super::compare::CompareArgs;
use super::connection::Dial;
use super::drive::Pace;
use super::error::Error;
use super::workload::Shape;
use clap::{Args, Subcommand};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Measure a server that speaks the ZooKeeper client protocol.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub command: Command,
}

/// One benchmark.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create persistent znodes
    Create(DriveArgs),
    /// Set the data of random znodes
    Set(DriveArgs),
    /// Get the data of random znodes
    Get(DriveArgs),
    /// Ask whether random znodes exist
    Exists(DriveArgs),
    /// List the children of random directories
    Children(DriveArgs),
    /// 1 % create, 8 % set, 45 % get, 45 % list, 1 % delete
    Mixed(DriveArgs),
    /// Transactions of several sets
    Multi(DriveArgs),
    /// Create and delete ephemeral znodes
    Ephemeral(DriveArgs),
    /// Pings
    Ping(DriveArgs),
    /// Create a fixed number of znodes as fast as possible
    Load(LoadArgs),
    /// Set watches: every client reads every key once with a watch
    Watches(WatchesArgs),
    /// Change one znode that many clients watch; time until all of them know
    Fanout(FanoutArgs),
    /// Open and close sessions
    Storm(StormArgs),
    /// Open sessions and hold them
    Idle(IdleArgs),
    /// Run the Java server and Quoll in turns and print the ratios
    Compare(CompareArgs),
    /// Answer requests without doing anything: the limit of the machine and of the generator
    #[command(hide = true)]
    EchoServer(EchoArgs),
}

/// Options of every benchmark.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    /// Servers, host:port separated by commas; clients take them in turn
    #[arg(long, default_value = "127.0.0.1:2181")]
    pub servers: String,
    /// Znode under which everything is made; removed afterwards
    #[arg(long, default_value = "/quoll-bench")]
    pub prefix: String,
    /// Leave the znodes there
    #[arg(long)]
    pub keep: bool,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Wished session timeout
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub session_timeout: Duration,
    /// Process id of the server: report its processor time and resident memory too
    #[arg(long, value_delimiter = ',')]
    pub pid: Vec<u32>,
    /// With --pid of a Java server: count live bytes after a collection (by jcmd) instead of resident memory
    #[arg(long, requires = "pid")]
    pub java_live: bool,
    /// Write the result as JSON to standard output
    #[arg(long)]
    pub json: bool,
    /// No progress on standard error
    #[arg(long)]
    pub quiet: bool,
}

/// Sizes that most benchmarks share.
#[derive(Clone, Debug, Args)]
pub struct SizeArgs {
    /// Sessions
    #[arg(long, default_value_t = 32)]
    pub clients: usize,
    /// Threads of the generator
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Bytes of a value
    #[arg(long, default_value_t = 100)]
    pub value_size: usize,
}

/// Options of the benchmarks that send requests for a while.
#[derive(Clone, Debug, Args)]
pub struct DriveArgs {
    /// Options of every benchmark.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Sizes.
    #[command(flatten)]
    pub size: SizeArgs,
    /// Requests in flight per client
    #[arg(long, default_value_t = 1, conflicts_with = "rate")]
    pub depth: usize,
    /// Open loop: requests per second over all clients, latency counted from the planned time
    #[arg(long)]
    pub rate: Option<f64>,
    /// Length of the measurement
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// Measure this many requests instead
    #[arg(long)]
    pub ops: Option<u64>,
    /// Time before the measurement
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub warm_up: Duration,
    /// Znodes in the key space
    #[arg(long, default_value_t = 1000)]
    pub keys: u64,
    /// Children of a listed directory
    #[arg(long, default_value_t = 100)]
    pub children: u64,
    /// Operations in one multi
    #[arg(long, default_value_t = 10)]
    pub multi_ops: u64,
}

/// Options of the bulk load.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Options of every benchmark.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Sizes.
    #[command(flatten)]
    pub size: SizeArgs,
    /// Znodes to create
    #[arg(long, default_value_t = 100_000)]
    pub znodes: u64,
    /// Requests in flight per client
    #[arg(long, default_value_t = 64)]
    pub depth: usize,
    /// Creates in one request: 1 sends plain creates, more send multis
    #[arg(long, default_value_t = 1)]
    pub multi_ops: u64,
}

/// Options of the watch benchmark.
#[derive(Clone, Debug, Args)]
pub struct WatchesArgs {
    /// Options of every benchmark.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Sizes.
    #[command(flatten)]
    pub size: SizeArgs,
    /// Znodes that every client watches
    #[arg(long, default_value_t = 10_000)]
    pub keys: u64,
    /// Requests in flight per client
    #[arg(long, default_value_t = 64)]
    pub depth: usize,
}

/// Options of the fan-out.
#[derive(Clone, Debug, Args)]
pub struct FanoutArgs {
    /// Options of every benchmark.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Clients that watch the znode
    #[arg(long, default_value_t = 1000)]
    pub watchers: usize,
    /// Bytes of the value
    #[arg(long, default_value_t = 100)]
    pub value_size: usize,
    /// Changes to measure
    #[arg(long, default_value_t = 200)]
    pub rounds: u64,
}

/// Options of the connect storm.
#[derive(Clone, Debug, Args)]
pub struct StormArgs {
    /// Options of every benchmark.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Connections being opened or closed at a time
    #[arg(long, default_value_t = 100)]
    pub clients: usize,
    /// Sessions to open in all
    #[arg(long, default_value_t = 10_000)]
    pub sessions: u64,
}

/// Options of the idle sessions.
#[derive(Clone, Debug, Args)]
pub struct IdleArgs {
    /// Options of every benchmark.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Sessions to hold
    #[arg(long, default_value_t = 5000)]
    pub sessions: usize,
    /// How long to hold them
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub hold: Duration,
    /// Connect from this many loopback addresses, 127.0.0.1 onwards: one has about 28,000 ports
    #[arg(long, default_value_t = 0)]
    pub source_addresses: u8,
}

/// Options of the echo server.
#[derive(Clone, Debug, Args)]
pub struct EchoArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Bytes of the value a getData answers
    #[arg(long, default_value_t = 100)]
    pub value_size: usize,
    /// Children a getChildren answers
    #[arg(long, default_value_t = 100)]
    pub children: u64,
    /// Length of the path a create answers
    #[arg(long, default_value_t = 64)]
    pub path_len: usize,
}

/// Options of one invocation, checked.
impl CommonArgs {
    /// Where and how sessions are opened.
    pub(super) fn dial(&self, sources: u8) -> Result<Dial, Error> {
        let mut servers = Vec::new();
        for name in self.servers.split(',').map(str::trim) {
            let bad =
                |what: &str| Error::Options(format!("--servers: {name}: {what}; write host:port,host:port"));
            let mut found = name.to_socket_addrs().map_err(|e| bad(&e.to_string()))?;
            servers.push(found.next().ok_or_else(|| bad("no address"))?);
        }
        Ok(Dial { servers, timeout: self.session_timeout, sources })
    }

    /// The prefix, with the form of a path.
    pub(super) fn checked_prefix(&self) -> Result<String, Error> {
        let is_path = self.prefix.len() > 1 && self.prefix.starts_with('/') && !self.prefix.ends_with('/');
        if is_path && !self.prefix.contains('#') {
            return Ok(self.prefix.clone());
        }
        Err(Error::Options(format!("--prefix: {} is not a path below the root without '#'", self.prefix)))
    }
}

impl SizeArgs {
    pub(super) fn check(&self) -> Result<(), Error> {
        in_range("--clients", self.clients as u64, 1, 1_000_000)?;
        in_range("--threads", self.threads as u64, 1, 256)?;
        in_range("--value-size", self.value_size as u64, 0, 64 << 20)
    }
}

impl DriveArgs {
    /// Sizes of the workload.
    pub(super) fn shape(&self) -> Result<Shape, Error> {
        self.size.check()?;
        in_range("--keys", self.keys, 1, 99_999_999)?;
        in_range("--children", self.children, 0, 999_999)?;
        in_range("--multi-ops", self.multi_ops, 1, 10_000)?;
        Ok(Shape {
            prefix: self.common.checked_prefix()?,
            keys: self.keys,
            value_len: self.size.value_size,
            children: self.children,
            multi_len: self.multi_ops,
            load_len: 0,
            seed: self.common.seed,
        })
    }

    /// How requests leave.
    pub(super) fn pace(&self) -> Result<Pace, Error> {
        match self.rate {
            Some(rate) if rate.is_finite() && rate > 0.0 => Ok(Pace::Open { rate_per_s: rate }),
            Some(rate) => Err(Error::Options(format!("--rate: {rate} is not a number of requests above 0"))),
            None => {
                in_range("--depth", self.depth as u64, 1, 100_000)?;
                Ok(Pace::Closed { depth: self.depth })
            }
        }
    }
}

/// Fails unless the value is in a range.
pub(super) fn in_range(option: &str, value: u64, min: u64, max: u64) -> Result<(), Error> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::Options(format!("{option}: {value} is out of range, allowed are {min} to {max}")))
}

/// Reads a duration: `500ms`, `10s`, `2m`, or seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text} is not a duration; write 500ms, 10s, 2m or a number of seconds");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        _ => return Err(bad()),
    };
    let number: f64 = digits.parse().map_err(|_| bad())?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "-1s", "1h", "1 0"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
