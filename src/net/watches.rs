use crate::{pipeline::Watches, watch::WatchManager};
use parking_lot::Mutex;

/// The watches while requests of a connection are served by its worker: locked only when something is done with them,
/// and only for that.
///
/// The tree is held shared meanwhile, so no change can come between what a reply says and its watch.
pub(super) struct Locked<'a>(pub &'a Mutex<WatchManager>);

impl Watches for Locked<'_> {
    fn with<R>(&mut self, act: impl FnOnce(&mut WatchManager) -> R) -> R {
        act(&mut self.0.lock())
    }
}
