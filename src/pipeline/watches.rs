use super::write_notification_frame;
use crate::{
    ops::WatchSink,
    types::{ConnId, Id, Zxid},
    watch::{EventKind, WatchManager, WatchMode, WatcherType},
};
use std::sync::Arc;

/// The watches of one connection while one of its requests is served.
pub struct ConnWatches<'a> {
    /// All watches.
    pub manager: &'a mut WatchManager,
    /// Whose request it is.
    pub conn: ConnId,
    /// Who the caller is: what they may read is checked again when a watch fires.
    pub ids: &'a Arc<[Id]>,
    /// Frames that are to leave before the reply.
    pub events: &'a mut Vec<u8>,
}

impl WatchSink for ConnWatches<'_> {
    fn add(&mut self, path: &str, mode: WatchMode) {
        self.manager.add(self.conn, path, mode);
        self.manager.set_ids(self.conn, self.ids);
    }

    fn remove(&mut self, path: &str, watcher_type: WatcherType) -> bool {
        self.manager.remove(self.conn, path, watcher_type)
    }

    fn contains(&mut self, path: &str, watcher_type: WatcherType) -> bool {
        self.manager.contains(self.conn, path, watcher_type)
    }

    fn notify(&mut self, kind: EventKind, path: &str) {
        write_notification_frame(self.events, Zxid(-1), kind.code(), path);
    }
}
