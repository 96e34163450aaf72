use crate::{
    ops::WatchSink,
    pipeline::write_notification_frame,
    types::{ConnId, Id, Zxid},
    watch::{EventKind, WatchManager, WatchMode, WatcherType},
};
use parking_lot::Mutex;
use std::sync::Arc;

/// The watches of one connection while its requests are served: locked only when something is done with them, and
/// only for that.
///
/// The tree is held shared meanwhile, so no change can come between what a reply says and its watch.
pub(super) struct ConnWatches<'a> {
    watches: &'a Mutex<WatchManager>,
    conn: ConnId,
    ids: &'a Arc<[Id]>,
    notifications: &'a mut Vec<u8>,
    count: u64,
}

impl<'a> ConnWatches<'a> {
    /// Notifications that have to leave before the reply are appended to `notifications`.
    pub fn new(
        watches: &'a Mutex<WatchManager>,
        conn: ConnId,
        ids: &'a Arc<[Id]>,
        notifications: &'a mut Vec<u8>,
    ) -> Self {
        Self { watches, conn, ids, notifications, count: 0 }
    }

    /// How many were appended.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl WatchSink for ConnWatches<'_> {
    fn add(&mut self, path: &str, mode: WatchMode) {
        let mut watches = self.watches.lock();
        watches.add(self.conn, path, mode);
        // What the caller may read is checked again when the watch fires.
        watches.set_ids(self.conn, self.ids);
    }

    fn remove(&mut self, path: &str, watcher_type: WatcherType) -> bool {
        self.watches.lock().remove(self.conn, path, watcher_type)
    }

    fn contains(&mut self, path: &str, watcher_type: WatcherType) -> bool {
        self.watches.lock().contains(self.conn, path, watcher_type)
    }

    fn notify(&mut self, kind: EventKind, path: &str) {
        write_notification_frame(self.notifications, Zxid(-1), kind.code(), path);
        self.count += 1;
    }
}
