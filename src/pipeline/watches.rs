use super::write_notification_frame;
use crate::{
    frame::LENGTH_LEN,
    ops::WatchSink,
    types::{ConnId, Id, Zxid},
    watch::{EventKind, WatchManager, WatchMode, WatcherType},
};
use std::sync::Arc;

/// A way to the watches of a server.
pub trait Watches {
    /// Does something with them.
    fn with<R>(&mut self, act: impl FnOnce(&mut WatchManager) -> R) -> R;
}

impl Watches for &mut WatchManager {
    fn with<R>(&mut self, act: impl FnOnce(&mut WatchManager) -> R) -> R {
        act(self)
    }
}

/// The watches of one connection while one of its requests is served.
pub struct ConnWatches<'a, W> {
    watches: W,
    conn: ConnId,
    ids: &'a Arc<[Id]>,
    events: &'a mut Vec<u8>,
    count: u64,
}

impl<'a, W: Watches> ConnWatches<'a, W> {
    /// Those of the connection `conn`, whose caller has these `ids`: what they may read is checked again when a watch
    /// fires. Frames that are to leave before the reply are put into `events`, which is empty.
    pub fn new(watches: W, conn: ConnId, ids: &'a Arc<[Id]>, events: &'a mut Vec<u8>) -> Self {
        Self { watches, conn, ids, events, count: 0 }
    }

    /// How many frames were appended.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their bytes without those of their lengths.
    pub fn bytes(&self) -> u64 {
        self.events.len() as u64 - self.count * LENGTH_LEN as u64
    }
}

impl<W: Watches> WatchSink for ConnWatches<'_, W> {
    fn add(&mut self, path: &str, mode: WatchMode) {
        let (conn, ids) = (self.conn, self.ids);
        self.watches.with(|watches| {
            watches.add(conn, path, mode);
            watches.set_ids(conn, ids);
        });
    }

    fn remove(&mut self, path: &str, watcher_type: WatcherType) -> bool {
        let conn = self.conn;
        self.watches.with(|watches| watches.remove(conn, path, watcher_type))
    }

    fn contains(&mut self, path: &str, watcher_type: WatcherType) -> bool {
        let conn = self.conn;
        self.watches.with(|watches| watches.contains(conn, path, watcher_type))
    }

    fn notify(&mut self, kind: EventKind, path: &str) {
        write_notification_frame(self.events, Zxid(-1), kind.code(), path);
        self.count += 1;
    }
}
