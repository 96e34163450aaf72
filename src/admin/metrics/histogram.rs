//! A histogram of whole numbers with buckets of growing width: exact below 32, then 16 buckets per power of two.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Numbers below this have a bucket each.
const EXACT: u64 = 32;
/// Buckets per power of two above.
const STEPS: u64 = 16;
/// Numbers from 2 to this power are counted in the last bucket.
const POWER_MAX: u32 = 40;
const BUCKETS: usize = EXACT as usize + (POWER_MAX as usize - 5) * STEPS as usize;

/// Counts per bucket.
#[derive(Debug)]
pub(super) struct Histogram([AtomicU32; BUCKETS]);

impl Histogram {
    pub(super) const fn new() -> Self {
        Histogram([const { AtomicU32::new(0) }; BUCKETS])
    }

    pub(super) fn record(&self, value: u64, times: u32) {
        self.0[bucket(value)].fetch_add(times, Relaxed);
    }

    pub(super) fn reset(&self) {
        for bucket in &self.0 {
            bucket.store(0, Relaxed);
        }
    }

    /// For each share, the value that this share of all values does not exceed; 0 when there are none.
    pub(super) fn quantiles<'a, const N: usize>(
        histograms: impl Iterator<Item = &'a Histogram>,
        shares: [f64; N],
    ) -> [u64; N] {
        let mut counts = [0_u64; BUCKETS];
        for histogram in histograms {
            for (sum, count) in counts.iter_mut().zip(&histogram.0) {
                *sum += u64::from(count.load(Relaxed));
            }
        }
        let total: u64 = counts.iter().sum();
        shares.map(|share| {
            let rank = (share * total as f64).ceil() as u64;
            let mut seen = 0;
            let index = counts.iter().position(|count| {
                seen += count;
                seen > 0 && seen >= rank
            });
            index.map_or(0, middle)
        })
    }
}

fn bucket(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let power = value.ilog2();
    if power >= POWER_MAX {
        return BUCKETS - 1;
    }
    let step = (value >> (power - STEPS.ilog2())) - STEPS;
    (EXACT + u64::from(power - EXACT.ilog2()) * STEPS + step) as usize
}

/// The number in the middle of a bucket.
fn middle(index: usize) -> u64 {
    let index = index as u64;
    if index < EXACT {
        return index;
    }
    let power = (index - EXACT) / STEPS + u64::from(EXACT.ilog2());
    let width = (1 << power) / STEPS;
    (1 << power) + (index - EXACT) % STEPS * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        let mut last = 0;
        for value in 0..100_000 {
            let index = bucket(value);
            assert!(index == last || index == last + 1, "{value}");
            last = index;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket((1 << POWER_MAX) - 1), BUCKETS - 1);
    }

    #[test]
    fn small_quantiles_are_exact() {
        let histogram = Histogram::new();
        for value in 1..=20 {
            histogram.record(value, 1);
        }
        assert_eq!(Histogram::quantiles([&histogram].into_iter(), [0.5, 0.95, 1.0]), [10, 19, 20]);
        assert_eq!(Histogram::quantiles([&Histogram::new()].into_iter(), [0.5]), [0]);
    }

    proptest! {
        #[test]
        fn a_value_comes_back_within_six_percent(value in 0_u64..1 << 40) {
            let histogram = Histogram::new();
            histogram.record(value, 1);
            let [found] = Histogram::quantiles([&histogram].into_iter(), [0.5]);
            prop_assert!(found.abs_diff(value) * 16 <= value, "{} for {}", found, value);
        }
    }
}
