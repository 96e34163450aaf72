//! Watches: who is told of which change.
//!
//! Two tables in one: the data table (getData, exists, persistent, recursive) and the child table (getChildren,
//! persistent). A connection's modes on a path are bits of one word.
//!
//! ```text
//! paths:  path text once -> set of (connection, mode bits)
//! conns:  connection     -> list of paths, with some that it does not watch any more
//! ```
//!
//! Invariants: a path that a connection watches is in its list; a list is at most half stale; a connection hears of one event on one path once, however many of
//! its watches match; a one-shot watch is gone when its event is handed out, whether the connection may read it or not.
//!
//! Upstream counterparts: `server.watch.WatchManager` and the two of them in `DataTree`. Start reading at
//! [`WatchManager::trigger`].

mod chunks;
mod set;

use crate::{
    tree::{
        EffectKind, Effects,
        blobs::{Blob, Blobs},
        index::Index,
    },
    types::{AclList, ConnId, Id, Totals, Zxid, parent_and_name},
};
use chunks::Chunks;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use set::Set;
use std::{
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

const DATA: u32 = 1;
const CHILD: u32 = 2;
const PERSISTENT_DATA: u32 = 4;
const PERSISTENT_CHILD: u32 = 8;
const RECURSIVE: u32 = 16;
const MODE_BITS: u32 = 5;
const MODES: u32 = (1 << MODE_BITS) - 1;

const DATA_TABLE: u32 = DATA | PERSISTENT_DATA | RECURSIVE;
const CHILD_TABLE: u32 = CHILD | PERSISTENT_CHILD;
const ONE_SHOT: u32 = DATA | CHILD;

/// How a connection watches a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMode {
    /// By getData or exists: once.
    Data,
    /// By getChildren: once.
    Child,
    /// By addWatch: data and children of this path, until removed.
    Persistent,
    /// By addWatch: this path and everything below, until removed. Children of a znode are not reported as such.
    PersistentRecursive,
}

impl WatchMode {
    /// The mode of an addWatch request.
    pub fn from_add_watch(mode: i32) -> Option<Self> {
        match mode {
            0 => Some(Self::Persistent),
            1 => Some(Self::PersistentRecursive),
            _ => None,
        }
    }

    fn bits(self) -> u32 {
        match self {
            Self::Data => DATA,
            Self::Child => CHILD,
            Self::Persistent => PERSISTENT_DATA | PERSISTENT_CHILD,
            Self::PersistentRecursive => RECURSIVE,
        }
    }
}

/// Which watches a check or removal means.
///
/// Upstream counterpart: `Watcher.WatcherType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum WatcherType {
    Children = 1,
    Data = 2,
    Any = 3,
    Persistent = 4,
    PersistentRecursive = 5,
}

impl WatcherType {
    /// The type with this number on the wire.
    pub fn from_code(code: i32) -> Option<Self> {
        Some(match code {
            1 => Self::Children,
            2 => Self::Data,
            3 => Self::Any,
            4 => Self::Persistent,
            5 => Self::PersistentRecursive,
            _ => return None,
        })
    }

    fn bits(self) -> u32 {
        match self {
            Self::Children => CHILD,
            Self::Data => DATA,
            Self::Any => MODES,
            Self::Persistent => PERSISTENT_DATA | PERSISTENT_CHILD,
            Self::PersistentRecursive => RECURSIVE,
        }
    }
}

/// What an event says.
///
/// Upstream counterpart: `Watcher.Event.EventType`, of which a server sends only these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum EventKind {
    NodeCreated = 1,
    NodeDeleted = 2,
    NodeDataChanged = 3,
    NodeChildrenChanged = 4,
}

impl EventKind {
    /// The number on the wire.
    pub fn code(self) -> i32 {
        self as i32
    }
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchEvent<'a> {
    /// What happened.
    pub kind: EventKind,
    /// Where.
    pub path: &'a str,
    /// The txn that did it.
    pub zxid: Zxid,
}

/// Numbers of the data table, as `wchs` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchSummary {
    /// Connections that watch something.
    pub connections: usize,
    /// Paths that are watched.
    pub paths: usize,
    /// Pairs of connection and path.
    pub watches: usize,
}

type Watchers = Set<MODE_BITS>;

/// Twelve bytes: most paths have one watcher, and then nothing else.
#[derive(Clone, Copy, Default)]
struct Path {
    /// Handle of the text.
    text: u32,
    /// Length of the text, and flags.
    meta: u32,
    /// The one watcher (0 is none), or where the set of them is.
    watchers: u32,
}

const TEXT_LEN_MAX: u32 = (1 << 30) - 1;
const TEXT_BOXED: u32 = 1 << 30;
/// The watchers are a set.
const MANY: u32 = 1 << 31;

impl Path {
    fn text_len(self) -> usize {
        (self.meta & TEXT_LEN_MAX) as usize
    }

    fn blob(self) -> Blob {
        Blob { handle: self.text, boxed: self.meta & TEXT_BOXED != 0 }
    }

    fn is_many(self) -> bool {
        self.meta & MANY != 0
    }
}

struct Conn {
    id: ConnId,
    /// Paths it watches, and some that it did.
    paths: Vec<u32>,
    /// How many it watches.
    live: u32,
    /// The last event it was told of.
    heard: u64,
    ids: Arc<[Id]>,
}

/// Lists shorter than this are not worth cleaning.
const STALE_MIN: usize = 16;

/// All watches of a server.
pub struct WatchManager {
    paths: Chunks<Path>,
    texts: Blobs,
    by_text: Index,
    sets: Chunks<Watchers>,
    hasher: FixedState,
    conns: Vec<Conn>,
    conns_free: Vec<u32>,
    by_id: HashMap<ConnId, u32, FixedState>,
    data_count: usize,
    child_count: usize,
    recursive_count: usize,
    /// Number of the event being handed out.
    event: u64,
    /// How many connections events have found, by kind.
    fired: [Totals; 4],
    /// Kept to be used again.
    hits: Vec<u32>,
    lost: Vec<u32>,
    nobody: Arc<[Id]>,
}

impl WatchManager {
    /// None yet. The seed keeps clients from choosing paths that collide.
    pub fn new(hash_seed: u64) -> Self {
        Self {
            paths: Chunks::default(),
            texts: Blobs::default(),
            by_text: Index::new(),
            sets: Chunks::default(),
            hasher: FixedState::with_seed(hash_seed),
            conns: Vec::new(),
            conns_free: Vec::new(),
            by_id: HashMap::default(),
            data_count: 0,
            child_count: 0,
            recursive_count: 0,
            event: 0,
            fired: [Totals::NONE; 4],
            hits: Vec::new(),
            lost: Vec::new(),
            nobody: Arc::new([]),
        }
    }

    /// Whether nobody watches anything.
    pub fn is_empty(&self) -> bool {
        self.data_count == 0 && self.child_count == 0
    }

    /// Pairs of connection and path in the data table.
    pub fn data_watch_count(&self) -> usize {
        self.data_count
    }

    /// Pairs of connection and path in the child table.
    pub fn child_watch_count(&self) -> usize {
        self.child_count
    }

    /// Adds a watch. The path is taken as it is.
    pub fn add(&mut self, conn: ConnId, path: &str, mode: WatchMode) {
        if path.len() > TEXT_LEN_MAX as usize {
            // No txn can have such a path.
            return;
        }
        let bits = mode.bits();
        let conn = self.conn_slot(conn);
        let path = self.path_slot(path);
        let before = self.watcher(path, conn).unwrap_or(0) & MODES;
        self.put_watcher(path, conn, before | bits);
        if before == 0 {
            let conn = &mut self.conns[conn as usize];
            conn.paths.push(path);
            conn.live += 1;
        }
        self.count(before, before | bits);
    }

    /// Removes watches of a connection on a path. Whether there were any.
    pub fn remove(&mut self, conn: ConnId, path: &str, which: WatcherType) -> bool {
        let Some((conn, path)) = self.pair(conn, path) else { return false };
        let Some(word) = self.watcher(path, conn) else { return false };
        let before = word & MODES;
        let after = before & !which.bits();
        self.put_watcher(path, conn, after);
        if after == 0 {
            self.tidy_path(path);
            self.lost_one(conn);
        }
        self.count(before, after);
        before != after
    }

    /// Whether a connection has such a watch on a path.
    pub fn contains(&self, conn: ConnId, path: &str, which: WatcherType) -> bool {
        self.pair(conn, path)
            .and_then(|(conn, path)| self.watcher(path, conn))
            .is_some_and(|word| word & which.bits() != 0)
    }

    /// Removes all watches of a connection that is gone.
    pub fn drop_connection(&mut self, conn: ConnId) {
        let Some(conn) = self.by_id.remove(&conn) else { return };
        for path in std::mem::take(&mut self.conns[conn as usize].paths) {
            if let Some(word) = self.watcher(path, conn) {
                self.put_watcher(path, conn, 0);
                self.tidy_path(path);
                self.count(word & MODES, 0);
            }
        }
        self.conns[conn as usize].live = 0;
        self.conns_free.push(conn);
    }

    /// Says who the caller of a connection with watches is; asked for again when a watch fires, by
    /// [`trigger_as`](Self::trigger_as). To be called after the first watch is added and after each authentication.
    pub fn set_ids(&mut self, conn: ConnId, ids: &Arc<[Id]>) {
        if let Some(&slot) = self.by_id.get(&conn) {
            let known = &mut self.conns[slot as usize].ids;
            if !Arc::ptr_eq(known, ids) {
                known.clone_from(ids);
            }
        }
    }

    /// Tells of the changes of a txn, in order, and uses up the one-shot watches.
    ///
    /// `deliver` also gets the ACL that decides whether the connection may know.
    pub fn trigger(
        &mut self,
        effects: &Effects,
        zxid: Zxid,
        mut deliver: impl FnMut(ConnId, WatchEvent<'_>, &AclList),
    ) {
        self.trigger_as(effects, zxid, |conn, _, event, acl| deliver(conn, event, acl));
    }

    /// The same, and says who the caller of each connection is.
    pub fn trigger_as(
        &mut self,
        effects: &Effects,
        zxid: Zxid,
        mut deliver: impl FnMut(ConnId, &[Id], WatchEvent<'_>, &AclList),
    ) {
        for effect in effects.iter() {
            if self.is_empty() {
                return;
            }
            let (path, acl) = (effect.path, effect.acl);
            let mut fire = |table, kind, path: &str, acl: &AclList| {
                self.fire(table, WatchEvent { kind, path, zxid }, acl, &mut deliver);
            };
            match effect.kind {
                EffectKind::Created => fire(DATA_TABLE, EventKind::NodeCreated, path, acl),
                EffectKind::DataChanged => fire(DATA_TABLE, EventKind::NodeDataChanged, path, acl),
                EffectKind::Deleted => {
                    fire(DATA_TABLE, EventKind::NodeDeleted, path, acl);
                    fire(CHILD_TABLE, EventKind::NodeDeleted, path, acl);
                }
            }
            if let Some(parent_acl) = effect.parent_acl
                && let Some((parent, _)) = parent_and_name(path)
            {
                fire(CHILD_TABLE, EventKind::NodeChildrenChanged, parent, parent_acl);
            }
        }
    }

    fn fire(
        &mut self,
        table: u32,
        event: WatchEvent<'_>,
        acl: &AclList,
        deliver: &mut impl FnMut(ConnId, &[Id], WatchEvent<'_>, &AclList),
    ) {
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        if (table == DATA_TABLE && self.data_count > 0) || (table == CHILD_TABLE && self.child_count > 0) {
            self.collect(table, event.path, &mut hits);
        }
        if table == DATA_TABLE && self.recursive_count > 0 {
            self.collect_above(event.path, &mut hits);
        }
        // The child table's part of a deletion skips those that the data table's part has told.
        if !(table == CHILD_TABLE && event.kind == EventKind::NodeDeleted) {
            self.event += 1;
        }
        let mut told = 0;
        for &conn in &hits {
            let conn = &mut self.conns[conn as usize];
            if conn.heard != self.event {
                conn.heard = self.event;
                told += 1;
                deliver(conn.id, &conn.ids, event, acl);
            }
        }
        // Upstream counts those that it skips, too.
        let fired = if table == CHILD_TABLE { hits.len() } else { told };
        if fired > 0 {
            self.fired[event.kind as usize - 1].merge(Totals::one(fired as u64));
        }
        self.hits = hits;
    }

    /// How many connections' watches each event has fired since this was asked last, by kind of event. Events that fired
    /// none do not count.
    ///
    /// Upstream counterpart: the metrics `node_created_watch_count` and the like.
    pub fn take_fired(&mut self) -> [(EventKind, Totals); 4] {
        let [created, deleted, data, children] = std::mem::take(&mut self.fired);
        [
            (EventKind::NodeCreated, created),
            (EventKind::NodeDeleted, deleted),
            (EventKind::NodeDataChanged, data),
            (EventKind::NodeChildrenChanged, children),
        ]
    }

    /// Connections that watch this path in this table; their one-shot watches are used up.
    fn collect(&mut self, table: u32, path: &str, hits: &mut Vec<u32>) {
        let Some(path) = self.find_path(path) else { return };
        let (mut used_up, mut lost) = (0, std::mem::take(&mut self.lost));
        let mut visit = |word: &mut u32| {
            if *word & table == 0 {
                return true;
            }
            hits.push(*word >> MODE_BITS);
            *word &= !(table & ONE_SHOT);
            used_up += usize::from(*word & table == 0);
            if *word & MODES == 0 {
                lost.push(*word >> MODE_BITS);
                return false;
            }
            true
        };
        let entry = self.paths.at_mut(path);
        if entry.is_many() {
            self.sets.at_mut(entry.watchers).retain(visit);
        } else if !visit(&mut entry.watchers) {
            entry.watchers = 0;
        }
        match table {
            DATA_TABLE => self.data_count -= used_up,
            _ => self.child_count -= used_up,
        }
        self.tidy_path(path);
        for conn in lost.drain(..) {
            self.lost_one(conn);
        }
        self.lost = lost;
    }

    /// Connections that watch recursively above this path.
    fn collect_above(&self, mut path: &str, hits: &mut Vec<u32>) {
        while path.len() > 1 {
            let Some((parent, _)) = parent_and_name(path) else { return };
            if let Some(id) = self.find_path(parent) {
                let watchers = self.watchers(*self.paths.at(id));
                hits.extend(watchers.filter(|w| w & RECURSIVE != 0).map(|w| w >> MODE_BITS));
            }
            path = parent;
        }
    }

    /// Numbers of the data table.
    pub fn summary(&self) -> WatchSummary {
        let mut summary = WatchSummary { watches: self.data_count, ..WatchSummary::default() };
        let mut seen = vec![false; self.conns.len()];
        for &path in self.paths.iter() {
            let mut watched = false;
            for word in self.watchers(path).filter(|w| w & DATA_TABLE != 0) {
                watched = true;
                seen[(word >> MODE_BITS) as usize] = true;
            }
            summary.paths += usize::from(watched);
        }
        summary.connections = seen.iter().filter(|s| **s).count();
        summary
    }

    /// Paths of the data table with their connections, for `wchp`.
    pub fn by_path(&self) -> impl Iterator<Item = (&str, Vec<ConnId>)> {
        self.paths.iter().filter_map(|&path| {
            let words = self.watchers(path).filter(|w| w & DATA_TABLE != 0);
            let conns: Vec<ConnId> = words.map(|w| self.conns[(w >> MODE_BITS) as usize].id).collect();
            (!conns.is_empty()).then(|| (self.text(path), conns))
        })
    }

    /// Connections of the data table with their paths, for `wchc`.
    pub fn by_conn(&self) -> impl Iterator<Item = (ConnId, Vec<&str>)> {
        self.conns.iter().enumerate().filter_map(|(slot, conn)| {
            let mut paths = conn.paths.clone();
            paths.sort_unstable();
            paths.dedup();
            paths.retain(|&path| self.watcher(path, slot as u32).is_some_and(|w| w & DATA_TABLE != 0));
            let texts = paths.iter().map(|&path| self.text(*self.paths.at(path)));
            (!paths.is_empty()).then(|| (conn.id, texts.collect()))
        })
    }

    /// Bytes that the watches take, path texts included, by this manager's own account.
    pub fn memory_bytes(&self) -> usize {
        self.paths.allocated_bytes()
            + self.texts.allocated_bytes()
            + self.by_text.allocated_bytes()
            + self.sets.allocated_bytes()
            + self.sets.iter().map(Set::heap_bytes).sum::<usize>()
            + self.conns.capacity() * size_of::<Conn>()
            + self.conns.iter().map(|c| c.paths.capacity() * size_of::<u32>()).sum::<usize>()
            + self.by_id.allocation_size()
    }

    /// The watchers of a path.
    fn watchers(&self, path: Path) -> impl Iterator<Item = u32> {
        let (one, many) = if path.is_many() {
            (None, Some(self.sets.at(path.watchers).iter()))
        } else {
            ((path.watchers != 0).then_some(path.watchers), None)
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// The word of a connection on a path that may be none any more.
    fn watcher(&self, path: u32, conn: u32) -> Option<u32> {
        let path = self.paths.at(path);
        if path.is_many() {
            return self.sets.at(path.watchers).get(conn);
        }
        (path.watchers != 0 && path.watchers >> MODE_BITS == conn).then_some(path.watchers)
    }

    /// Sets the modes of a connection on a path; none takes it out.
    fn put_watcher(&mut self, path: u32, conn: u32, modes: u32) {
        let word = conn << MODE_BITS | modes;
        let path = self.paths.at_mut(path);
        if path.is_many() {
            let set = self.sets.at_mut(path.watchers);
            match set.get_mut(conn) {
                Some(_) if modes == 0 => {
                    set.remove(conn);
                }
                Some(place) => *place = word,
                None if modes == 0 => {}
                None => set.insert(word),
            }
        } else if path.watchers == 0 || path.watchers >> MODE_BITS == conn {
            path.watchers = if modes == 0 { 0 } else { word };
        } else if modes != 0 {
            let mut set = Watchers::default();
            set.insert(path.watchers);
            set.insert(word);
            path.watchers = self.sets.insert(set);
            path.meta |= MANY;
        }
    }

    /// A connection watches one path less. Cleans its list when half of it is stale.
    fn lost_one(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        conn.live -= 1;
        if conn.paths.len() < STALE_MIN || conn.paths.len() < 2 * conn.live as usize {
            return;
        }
        let mut paths = std::mem::take(&mut conn.paths);
        // A path may be there twice: watched, used up, watched again.
        paths.sort_unstable();
        paths.dedup();
        paths.retain(|&path| self.watcher(path, slot).is_some());
        paths.shrink_to(paths.len() * 2);
        self.conns[slot as usize].paths = paths;
    }

    fn pair(&self, conn: ConnId, path: &str) -> Option<(u32, u32)> {
        Some((*self.by_id.get(&conn)?, self.find_path(path)?))
    }

    fn count(&mut self, before: u32, after: u32) {
        for (table, count) in [
            (DATA_TABLE, &mut self.data_count),
            (CHILD_TABLE, &mut self.child_count),
            (RECURSIVE, &mut self.recursive_count),
        ] {
            match (before & table != 0, after & table != 0) {
                (false, true) => *count += 1,
                (true, false) => *count -= 1,
                _ => {}
            }
        }
    }

    fn text(&self, path: Path) -> &str {
        // Texts are made from strings and never changed.
        std::str::from_utf8(self.text_bytes(path)).unwrap_or_default()
    }

    fn text_bytes(&self, path: Path) -> &[u8] {
        self.texts.bytes(path.blob(), path.text_len())
    }

    fn find_path(&self, text: &str) -> Option<u32> {
        let hash = hash(&self.hasher, text.as_bytes());
        self.by_text.find(hash, |id| self.text_bytes(*self.paths.at(id)) == text.as_bytes())
    }

    fn path_slot(&mut self, text: &str) -> u32 {
        if let Some(id) = self.find_path(text) {
            return id;
        }
        let blob = self.texts.store(text.as_bytes(), &[]);
        let meta = text.len() as u32 | if blob.boxed { TEXT_BOXED } else { 0 };
        let id = self.paths.insert(Path { text: blob.handle, meta, watchers: 0 });
        let (paths, texts, hasher) = (&self.paths, &self.texts, &self.hasher);
        self.by_text.insert(hash(hasher, text.as_bytes()), id, |id| {
            let path = paths.at(id);
            hash(hasher, texts.bytes(path.blob(), path.text_len()))
        });
        id
    }

    /// Forgets a path that nobody watches, and a set that is none any more.
    fn tidy_path(&mut self, id: u32) {
        let mut path = *self.paths.at(id);
        if path.is_many() {
            let set = self.sets.at(path.watchers);
            if set.len() > 1 {
                return;
            }
            let one = set.iter().next().unwrap_or(0);
            self.sets.remove(path.watchers);
            path.watchers = one;
            path.meta &= !MANY;
            *self.paths.at_mut(id) = path;
        }
        if path.watchers == 0 {
            let hash = hash(&self.hasher, self.text_bytes(path));
            self.by_text.remove(hash, id);
            self.texts.free(path.blob());
            self.paths.remove(id);
        }
    }

    fn conn_slot(&mut self, id: ConnId) -> u32 {
        if let Some(&slot) = self.by_id.get(&id) {
            return slot;
        }
        let conn = Conn { id, paths: Vec::new(), live: 0, heard: 0, ids: self.nobody.clone() };
        let slot = match self.conns_free.pop() {
            Some(slot) => {
                self.conns[slot as usize] = conn;
                slot
            }
            None => {
                self.conns.push(conn);
                (self.conns.len() - 1) as u32
            }
        };
        assert!(slot <= u32::MAX >> MODE_BITS, "more than 134 million connections");
        self.by_id.insert(id, slot);
        slot
    }
}

fn hash(hasher: &FixedState, text: &[u8]) -> u32 {
    let mut hasher = hasher.build_hasher();
    hasher.write(text);
    let hash = hasher.finish();
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests;
