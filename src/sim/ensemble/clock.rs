use super::world::Us;
use crate::sim::rng::Rng;

/// A clock that begins anew with each start of a member, and may run fast or slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Monotonic {
    began_us: Us,
    /// Its microseconds in a second of the world's.
    rate: i64,
}

impl Monotonic {
    /// What it shows at the beginning.
    const FIRST_MS: i64 = 1_000;

    /// One that runs up to `skew_ppm` millionths fast or slow. Drawn apart from all else, as it came later.
    pub fn of(seed: u64, n: usize, skew_ppm: u32) -> Self {
        let mut rng = Rng::new(seed ^ 0xc10c_5e3d ^ (n as u64) << 32);
        let rate = 1_000_000 - i64::from(skew_ppm) + rng.below(2 * u64::from(skew_ppm) + 1) as i64;
        Self { began_us: 0, rate }
    }

    /// The member starts.
    pub fn begin(&mut self, now_us: Us) {
        self.began_us = now_us;
    }

    /// What it shows.
    pub fn ms(self, now_us: Us) -> i64 {
        Self::FIRST_MS + (now_us - self.began_us) * self.rate / 1_000_000_000
    }

    /// The first moment at which it shows that time.
    pub fn when(self, ms: i64) -> Us {
        let passed = i128::from(ms - Self::FIRST_MS) * 1_000_000_000;
        // Whoever waits without end waits long enough.
        self.began_us.saturating_add(i64::try_from(passed / i128::from(self.rate) + 1).unwrap_or(Us::MAX))
    }
}
