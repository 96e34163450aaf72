//! What is counted. Connections and workers count in plain numbers of their own thread; who wants to see them asks
//! the worker. Only what is rare, or what several threads decide by, is shared.

use crate::{
    admin::{
        last_op,
        metrics::{Distribution, Shard},
    },
    types::{OpCode, Sizes, Zxid},
};
use std::sync::atomic::AtomicI64;

/// Latencies in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// `i64::MAX` when there is none.
    pub min_ms: i64,
    /// Largest.
    pub max_ms: i64,
    /// Sum.
    pub total_ms: i64,
    /// Number.
    pub count: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { min_ms: i64::MAX, max_ms: 0, total_ms: 0, count: 0 }
    }
}

impl Latency {
    /// Adds `count` of the same.
    #[inline]
    pub fn add(&mut self, ms: i64, count: u64) {
        self.min_ms = self.min_ms.min(ms);
        self.max_ms = self.max_ms.max(ms);
        self.total_ms += ms * count as i64;
        self.count += count;
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Latency) {
        self.min_ms = self.min_ms.min(other.min_ms);
        self.max_ms = self.max_ms.max(other.max_ms);
        self.total_ms += other.total_ms;
        self.count += other.count;
    }
}

/// One connection.
///
/// Upstream counterpart: the statistics of `ServerCnxn`.
#[derive(Clone, Copy, Debug)]
pub struct ConnStats {
    /// Packets.
    pub received: u64,
    /// Packets.
    pub sent: u64,
    /// The last operation answered.
    pub last_op: &'static str,
    /// The last xid answered, special ones aside; −1 before.
    pub last_cxid: i64,
    /// Zxid of the last answer; −1 before.
    pub last_zxid: Zxid,
    /// When that was, monotonic ms.
    pub last_response_ms: i64,
    /// How long it took.
    pub last_latency_ms: i64,
    /// All answers.
    pub latency: Latency,
}

impl Default for ConnStats {
    fn default() -> Self {
        Self {
            received: 0,
            sent: 0,
            last_op: "NA",
            last_cxid: -1,
            last_zxid: Zxid(-1),
            last_response_ms: 0,
            last_latency_ms: 0,
            latency: Latency::default(),
        }
    }
}

impl ConnStats {
    /// Counts `count` answers of which the last one was this.
    pub fn answered(&mut self, last: Answered, latency_ms: i64, now_ms: i64, count: u64) {
        if last.xid >= 0 {
            self.last_cxid = i64::from(last.xid);
        }
        self.last_zxid = last.zxid;
        self.last_op = last_op(last.op);
        self.last_response_ms = now_ms;
        self.last_latency_ms = latency_ms;
        self.latency.add(latency_ms, count);
    }
}

/// An answer, as far as statistics care.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Of the request.
    pub xid: i32,
    /// What it was.
    pub op: OpCode,
    /// The server's at the time.
    pub zxid: Zxid,
}

/// Latencies below this many ms are counted here and handed to the metrics when somebody looks.
const SHORT_MS: usize = 32;

/// Latencies on their way to a distribution of the metrics.
///
/// Nearly all are a few ms, so counting them in plain numbers of the worker saves some shared additions per request.
#[derive(Debug)]
pub(super) struct Pending {
    distribution: Distribution,
    short: [u32; SHORT_MS],
}

impl Pending {
    pub fn new(distribution: Distribution) -> Self {
        Self { distribution, short: [0; SHORT_MS] }
    }

    /// Adds `count` of the same.
    #[inline]
    pub fn add(&mut self, metrics: &Shard, ms: i64, count: u32) {
        match self.short.get_mut(ms.max(0) as usize) {
            Some(short) => {
                // Enough to be worth the way.
                if *short > u32::MAX / 2 {
                    metrics.distribute_many(self.distribution, ms.max(0) as u64, std::mem::take(short));
                }
                *short += count;
            }
            None => metrics.distribute_many(self.distribution, ms as u64, count),
        }
    }

    /// Hands everything over.
    pub fn settle(&mut self, metrics: &Shard) {
        for (ms, short) in self.short.iter_mut().enumerate() {
            if *short > 0 {
                metrics.distribute_many(self.distribution, ms as u64, std::mem::take(short));
            }
        }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.short = [0; SHORT_MS];
    }
}

/// One worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerStats {
    /// Packets.
    pub received: u64,
    /// Packets.
    pub sent: u64,
    /// Requests answered here from the tree.
    pub reads: Latency,
    /// Requests that passed the pipeline.
    pub updates: Latency,
    /// Bytes of answers.
    pub sizes: Sizes,
}

impl WorkerStats {
    /// Adds those of another.
    pub fn merge(&mut self, other: &WorkerStats) {
        self.received += other.received;
        self.sent += other.sent;
        self.reads.merge(&other.reads);
        self.updates.merge(&other.updates);
        self.sizes.merge(&other.sizes);
    }
}

/// Requests in the pipeline, of all workers.
#[derive(Debug, Default)]
pub struct UnderWay {
    /// How many.
    pub requests: AtomicI64,
    /// Bytes of the large ones.
    pub large_bytes: AtomicI64,
}
