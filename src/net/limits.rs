//! Who may come in: connections per address and in all, and the rate of new ones.

use crate::config::ConnectionThrottleConfig;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::net::IpAddr;
use thiserror::Error;

/// Why a connection was closed at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// `maxClientCnxns`
    #[error("too many connections from {address}: the limit is {max} (maxClientCnxns)")]
    PerAddress {
        /// Of the client.
        address: IpAddr,
        /// The limit.
        max: u32,
    },
    /// `maxCnxns`
    #[error("too many connections: the limit is {max} (maxCnxns)")]
    Total {
        /// The limit.
        max: u32,
    },
}

/// The number of connections, in all and by address.
#[derive(Debug)]
pub struct Door {
    per_address_max: u32,
    total_max: u32,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    total: u32,
    by_address: HashMap<IpAddr, u32>,
}

impl Door {
    /// Limits of 0 are no limits.
    pub fn new(per_address_max: u32, total_max: u32) -> Self {
        Self { per_address_max, total_max, inside: Mutex::default() }
    }

    /// Counts a connection in.
    ///
    /// # Errors
    /// When that would exceed a limit; it is not counted then.
    pub fn enter(&self, address: IpAddr) -> Result<(), Refused> {
        let address = address.to_canonical();
        let mut inside = self.inside.lock();
        if self.total_max > 0 && inside.total >= self.total_max {
            return Err(Refused::Total { max: self.total_max });
        }
        let count = inside.by_address.entry(address).or_default();
        if self.per_address_max > 0 && *count >= self.per_address_max {
            return Err(Refused::PerAddress { address, max: self.per_address_max });
        }
        *count += 1;
        inside.total += 1;
        Ok(())
    }

    /// Counts it out.
    pub fn leave(&self, address: IpAddr) {
        let address = address.to_canonical();
        let mut inside = self.inside.lock();
        inside.total -= 1;
        if let Some(count) = inside.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                inside.by_address.remove(&address);
            }
        }
    }

    /// Connections in all.
    pub fn total(&self) -> u32 {
        self.inside.lock().total
    }
}

/// A token bucket for new connections, with random early drops.
///
/// Upstream counterpart: `BlueThrottle`.
#[derive(Debug)]
pub struct Bucket {
    config: ConnectionThrottleConfig,
    tokens: i64,
    filled_ms: i64,
    frozen_ms: i64,
    drop: f64,
}

impl Bucket {
    /// A full bucket. Weights are already in `config`.
    pub fn new(config: ConnectionThrottleConfig, now_ms: i64) -> Self {
        Self { config, tokens: i64::from(config.tokens), filled_ms: now_ms, frozen_ms: now_ms, drop: 0.0 }
    }

    /// Whether a connection that asks for this may go on. `chance` is a random number in [0, 1).
    pub fn admit(&mut self, new_session: bool, now_ms: i64, chance: impl FnOnce() -> f64) -> bool {
        let c = self.config;
        if c.tokens == 0 {
            return true;
        }
        let cost = match (c.weight_enabled, new_session) {
            (false, _) => 1,
            (true, true) => i64::from(c.global_session_weight),
            (true, false) => i64::from(c.renew_session_weight),
        };
        let size = i64::from(c.tokens);
        let passed = now_ms - self.filled_ms;
        if passed > i64::from(c.fill_time_ms) {
            let more = passed.saturating_mul(i64::from(c.fill_count)) / i64::from(c.fill_time_ms.max(1));
            self.tokens = self.tokens.saturating_add(more).min(size);
            self.filled_ms = now_ms;
        }
        if let Some(freeze_ms) = c.freeze_time_ms {
            let missing = size - self.tokens;
            if now_ms - self.frozen_ms > i64::from(freeze_ms) {
                if missing == size {
                    self.drop = (self.drop + c.drop_increase).min(1.0);
                } else if missing <= (size as f64 * c.decrease_ratio).round() as i64 {
                    self.drop = (self.drop - c.drop_decrease).max(0.0);
                }
                self.frozen_ms = now_ms;
            }
            if chance() < self.drop {
                return false;
            }
        }
        if self.tokens < cost {
            return false;
        }
        self.tokens -= cost;
        true
    }

    /// Tokens that are missing.
    pub fn deficit(&self) -> i64 {
        i64::from(self.config.tokens) - self.tokens
    }

    /// The present probability of a random drop.
    pub fn drop_probability(&self) -> f64 {
        self.drop
    }
}

/// Lets through one message a second, so that a flood of refused connections does not become a flood of lines.
#[derive(Debug, Default)]
pub struct OncePerSecond {
    last_ms: Option<i64>,
    held_back: u64,
}

impl OncePerSecond {
    /// Whether to speak now; if so, how many were held back since the last time.
    pub fn pass(&mut self, now_ms: i64) -> Option<u64> {
        if self.last_ms.is_some_and(|last| now_ms - last < 1000) {
            self.held_back += 1;
            return None;
        }
        self.last_ms = Some(now_ms);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServerConfig;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn connections_are_limited_by_address_and_in_all() {
        let door = Door::new(2, 3);
        let [a, b] = [1, 2].map(|n| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)));
        let a_mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert_eq!(door.enter(a), Ok(()));
        assert_eq!(door.enter(a_mapped), Ok(()));
        assert_eq!(door.enter(a), Err(Refused::PerAddress { address: a, max: 2 }));
        assert_eq!(door.enter(b), Ok(()));
        assert_eq!(door.enter(b), Err(Refused::Total { max: 3 }));
        door.leave(a);
        assert_eq!(door.total(), 2);
        assert_eq!(door.enter(a), Ok(()));
        let open = Door::new(0, 0);
        (0..1000).for_each(|_| open.enter(IpAddr::V6(Ipv6Addr::LOCALHOST)).unwrap());
    }

    fn throttle() -> ConnectionThrottleConfig {
        ConnectionThrottleConfig {
            tokens: 3,
            fill_time_ms: 10,
            fill_count: 1,
            ..ServerConfig::default().connection.throttle
        }
    }

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_the_rate() {
        let mut bucket = Bucket::new(throttle(), 0);
        let admit = |b: &mut Bucket, now| b.admit(true, now, || unreachable!());
        assert!((0..3).all(|_| admit(&mut bucket, 0)));
        assert!(!admit(&mut bucket, 10));
        assert_eq!(bucket.deficit(), 3);
        assert!(admit(&mut bucket, 11));
        assert!(!admit(&mut bucket, 11));
        assert!((0..3).all(|_| admit(&mut bucket, 100_000)) && !admit(&mut bucket, 100_000));
        let mut off = Bucket::new(ConnectionThrottleConfig { tokens: 0, ..throttle() }, 0);
        assert!((0..100).all(|_| admit(&mut off, 0)));
    }

    #[test]
    fn weights_make_new_sessions_dearer_than_renewed_ones() {
        let weighed = ConnectionThrottleConfig { weight_enabled: true, tokens: 9, ..throttle() };
        let mut bucket = Bucket::new(weighed, 0);
        assert!(bucket.admit(true, 0, || 0.0) && bucket.admit(true, 0, || 0.0));
        assert!(bucket.admit(false, 0, || 0.0) && !bucket.admit(false, 0, || 0.0));
    }

    #[test]
    fn an_empty_bucket_raises_the_drop_probability_and_a_full_one_lowers_it() {
        let blue = ConnectionThrottleConfig { freeze_time_ms: Some(0), drop_increase: 0.5, ..throttle() };
        let mut bucket = Bucket::new(blue, 0);
        (0..3).for_each(|_| assert!(bucket.admit(true, 0, || 0.0)));
        assert!(!bucket.admit(true, 1, || 0.4));
        assert_eq!(bucket.drop_probability(), 0.5);
        assert!(bucket.admit(true, 1000, || 0.6));
        assert!((bucket.drop_probability() - 0.498).abs() < 1e-9);
    }

    #[test]
    fn one_message_a_second_passes() {
        let mut limit = OncePerSecond::default();
        assert_eq!(limit.pass(0), Some(0));
        assert_eq!(limit.pass(10), None);
        assert_eq!(limit.pass(999), None);
        assert_eq!(limit.pass(1000), Some(2));
    }
}
