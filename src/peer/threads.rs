use super::PeerError;
use parking_lot::{Condvar, Mutex};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// The threads of one owner, counted, so that it can wait for their end.
#[derive(Clone, Debug, Default)]
pub(super) struct Threads(Arc<(Mutex<usize>, Condvar)>);

/// Counts one thread for as long as it lives, however it ends.
struct Alive(Threads);

impl Drop for Alive {
    fn drop(&mut self) {
        let (count, changed) = &*self.0.0;
        *count.lock() -= 1;
        changed.notify_all();
    }
}

impl Threads {
    pub fn spawn(&self, name: String, run: impl FnOnce() + Send + 'static) -> Result<(), PeerError> {
        *self.0.0.lock() += 1;
        let alive = Alive(self.clone());
        let run = move || {
            let _alive = alive;
            run();
        };
        match thread::Builder::new().name(name.clone()).spawn(run) {
            Ok(_) => Ok(()),
            Err(source) => Err(PeerError::Thread { name, source }),
        }
    }

    /// Waits until all have ended, but not longer than this. Returns how many have not.
    pub fn wait(&self, time_max: Duration) -> usize {
        let (count, changed) = &*self.0;
        let deadline = Instant::now() + time_max;
        let mut count = count.lock();
        while *count > 0 && !changed.wait_until(&mut count, deadline).timed_out() {}
        *count
    }
}
