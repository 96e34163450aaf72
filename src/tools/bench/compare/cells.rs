//! What is compared, and how good Quoll means to be at it.

use super::super::drive::Pace;
use super::super::workload::Workload;

/// Bytes of a value in every cell.
pub(super) const VALUE_LEN: usize = 100;

/// One thing to measure.
#[derive(Debug)]
pub(super) struct Cell {
    /// Name on the command line and in the results.
    pub name: &'static str,
    /// What it is, for the tables.
    pub what: &'static str,
    pub measure: Measure,
    pub targets: &'static [Target],
}

/// How a cell is measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Measure {
    /// Requests for a while, or a fixed number of them.
    Drive { workload: Workload, clients: usize, pace: Pace, ops: Option<u64> },
    /// Changes of one znode that all clients watch.
    Fanout { watchers: usize, rounds: u64 },
    /// Sessions opened and closed.
    Storm { clients: usize, sessions: u64 },
    /// Requests for a while to the members of an ensemble of three.
    Ensemble {
        workload: Workload,
        clients: usize,
        depth: usize,
        /// All clients at the first member, which follows, and only its processor time; else at all members, and the
        /// sum of theirs.
        at_follower: bool,
    },
    /// The leader of three goes: time until a survivor has served a write.
    Takeover {
        /// By SIGTERM; else by SIGKILL.
        in_order: bool,
    },
    /// Sessions held.
    Idle,
    /// Watches held.
    Watches,
    /// Part of the story of one large tree: load, restart, snapshot under load.
    Million,
}

impl Measure {
    /// Whether one pair of servers does for all such cells.
    pub fn is_shared(self) -> bool {
        matches!(self, Measure::Drive { .. } | Measure::Fanout { .. } | Measure::Storm { .. })
    }

    /// Whether its result is a row of throughput and latency.
    pub fn is_rate(self) -> bool {
        self.is_shared() || matches!(self, Measure::Ensemble { .. })
    }
}

/// What is meant to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// Throughput at least this many times Java's.
    Throughput(f64),
    /// Processor time per operation at most Java's divided by this.
    Cpu(f64),
    /// p99.9 at most Java's divided by this.
    P999(f64),
    /// The cell's own value at most this, whatever Java's is.
    Value(f64),
}

const fn closed(workload: Workload, clients: usize, depth: usize) -> Measure {
    Measure::Drive { workload, clients, pace: Pace::Closed { depth }, ops: None }
}

const fn open(workload: Workload, rate_per_s: f64) -> Measure {
    Measure::Drive { workload, clients: 32, pace: Pace::Open { rate_per_s }, ops: None }
}

const fn three(workload: Workload, clients: usize, depth: usize) -> Measure {
    Measure::Ensemble { workload, clients, depth, at_follower: false }
}

const fn cell(name: &'static str, what: &'static str, measure: Measure, targets: &'static [Target]) -> Cell {
    Cell { name, what, measure, targets }
}

use Target::{Cpu, P999, Throughput, Value};
use Workload::{Children, Create, Ephemeral, Get, Mixed, Multi, Ping, Set};

/// All cells, in the order in which they are measured: what leaves znodes behind comes last.
pub(super) const CELLS: &[Cell] = &[
    cell("get16", "get, depth 16", closed(Get, 32, 16), &[Throughput(8.0), Cpu(15.0)]),
    cell("get1", "get, depth 1", closed(Get, 32, 1), &[Throughput(2.5), Cpu(5.0)]),
    cell(
        "children16",
        "getChildren of 100, depth 16",
        closed(Children, 32, 16),
        &[Throughput(6.0), Cpu(10.0)],
    ),
    cell("set16", "set, depth 16", closed(Set, 32, 16), &[Throughput(4.0), Cpu(6.0)]),
    cell("set1", "set, depth 1", closed(Set, 32, 1), &[Throughput(1.4), Cpu(3.0)]),
    cell("mixed16", "mixed, depth 16", closed(Mixed, 32, 16), &[Throughput(4.0), Cpu(8.0)]),
    cell("ping16", "ping, depth 16", closed(Ping, 32, 16), &[Cpu(10.0)]),
    cell("get-c1", "get, depth 1, 1 client", closed(Get, 1, 1), &[Throughput(1.0)]),
    cell("get-c8", "get, depth 1, 8 clients", closed(Get, 8, 1), &[Throughput(1.0)]),
    cell("get-c100", "get, depth 1, 100 clients", closed(Get, 100, 1), &[Throughput(1.0)]),
    cell("get-c1000", "get, depth 1, 1000 clients", closed(Get, 1000, 1), &[Throughput(1.0)]),
    cell("set-c1", "set, depth 1, 1 client", closed(Set, 1, 1), &[Throughput(1.0)]),
    cell("set-c8", "set, depth 1, 8 clients", closed(Set, 8, 1), &[Throughput(1.0)]),
    cell("set-c100", "set, depth 1, 100 clients", closed(Set, 100, 1), &[Throughput(1.0)]),
    cell("set-c1000", "set, depth 1, 1000 clients", closed(Set, 1000, 1), &[Throughput(1.0)]),
    cell("mixed-c1", "mixed, depth 1, 1 client", closed(Mixed, 1, 1), &[Throughput(1.0)]),
    cell("mixed-c1000", "mixed, depth 1, 1000 clients", closed(Mixed, 1000, 1), &[Throughput(1.0)]),
    cell("mixed-open", "mixed, open loop at 4,000/s", open(Mixed, 4000.0), &[P999(20.0)]),
    cell("set-open", "set, open loop at 1,000/s", open(Set, 1000.0), &[P999(20.0)]),
    cell("multi16", "multi of 10 sets, depth 16", closed(Multi, 32, 16), &[Throughput(1.0)]),
    cell("ephemeral16", "ephemeral made or deleted, depth 16", closed(Ephemeral, 32, 16), &[Throughput(1.0)]),
    cell(
        "fanout",
        "notification of one of 1,000 watchers",
        Measure::Fanout { watchers: 1000, rounds: 200 },
        &[Throughput(1.0)],
    ),
    cell(
        "storm",
        "session opened and closed, 100 at a time",
        Measure::Storm { clients: 100, sessions: 10_000 },
        &[Throughput(1.0)],
    ),
    // A fixed number, so that both servers hold equally many znodes afterwards.
    cell(
        "create16",
        "create, depth 16",
        Measure::Drive {
            workload: Create,
            clients: 32,
            pace: Pace::Closed { depth: 16 },
            ops: Some(200_000),
        },
        &[Throughput(4.0), Cpu(8.0)],
    ),
    cell(
        "ens-set16",
        "3 members: set, depth 16",
        three(Set, 32, 16),
        &[Throughput(4.0), Cpu(5.0), P999(10.0)],
    ),
    cell("ens-set1", "3 members: set, depth 1", three(Set, 32, 1), &[Throughput(2.5), Cpu(3.0)]),
    cell("ens-set-c1", "3 members: set, depth 1, 1 client", three(Set, 1, 1), &[Throughput(1.0)]),
    cell("ens-set-c8", "3 members: set, depth 1, 8 clients", three(Set, 8, 1), &[Throughput(1.0)]),
    cell("ens-set-c100", "3 members: set, depth 1, 100 clients", three(Set, 100, 1), &[Throughput(1.0)]),
    cell("ens-set-c1000", "3 members: set, depth 1, 1000 clients", three(Set, 1000, 1), &[Throughput(1.0)]),
    cell(
        "ens-get16",
        "follower of 3: get, depth 16",
        Measure::Ensemble { workload: Get, clients: 32, depth: 16, at_follower: true },
        &[Throughput(8.0), Cpu(15.0)],
    ),
    cell(
        "takeover",
        "3 members: leader killed, ms until the next write",
        Measure::Takeover { in_order: false },
        &[Value(300.0)],
    ),
    cell(
        "handover",
        "3 members: leader stopped, ms until the next write",
        Measure::Takeover { in_order: true },
        &[Value(300.0)],
    ),
    cell("session", "idle session, bytes", Measure::Idle, &[Value(1500.0)]),
    cell("watch", "watch, bytes", Measure::Watches, &[Value(32.0)]),
    cell("znode", "znode beyond name and data, bytes", Measure::Million, &[Value(128.0)]),
    cell("restart", "restart with the large tree, s", Measure::Million, &[Value(1.5)]),
    cell("snapshot", "worst set with a snapshot running, over without", Measure::Million, &[Value(2.0)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_a_name_of_its_own() {
        let mut names: Vec<&str> = CELLS.iter().map(|cell| cell.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CELLS.len());
    }
}
