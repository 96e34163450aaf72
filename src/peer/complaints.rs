use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Lets one message a second through: whoever can connect could fill the disk with them otherwise.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<(Option<Instant>, u64)>);

impl Complaints {
    /// Whether to speak now; if so, how many were held back since the last time.
    pub fn pass(&self) -> Option<u64> {
        let (last, held_back) = &mut *self.0.lock();
        let now = Instant::now();
        if last.is_some_and(|last| now - last < Duration::from_secs(1)) {
            *held_back += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(held_back))
    }
}
