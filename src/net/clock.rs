use crate::pipeline::Now;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The one place that reads the clocks; everything below gets the time as a value.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Monotonic ms since the start.
    #[inline]
    pub fn mono_ms(&self) -> i64 {
        self.start.elapsed().as_millis() as i64
    }

    /// The instant at this monotonic time.
    pub fn instant(&self, mono_ms: i64) -> Instant {
        self.start + Duration::from_millis(mono_ms.max(0) as u64)
    }

    /// The wall clock at this monotonic time, as far as it runs evenly.
    pub fn to_wall_ms(&self, mono_ms: i64) -> i64 {
        wall_ms() + mono_ms - self.mono_ms()
    }

    /// Both times.
    pub fn now(&self) -> Now {
        Now { mono_ms: self.mono_ms(), wall_ms: wall_ms() }
    }
}

/// The wall clock, ms since 1970; 0 if it stands before that.
pub fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}
