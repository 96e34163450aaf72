//! Watches: who is told of which change.
//!
//! Two tables in one: the data table (getData, exists, persistent, recursive) and the child table (getChildren,
//! persistent). A connection's modes on a path are bits of one word.
//!
//! ```text
//! paths:  path text once -> set of (connection, mode bits)
//! conns:  connection     -> set of paths
//! ```
//!
//! Invariants: a pair is in both sets or in neither; a connection hears of one event on one path once, however many of
//! its watches match; a one-shot watch is gone when its event is handed out, whether the connection may read it or not.
//!
//! Upstream counterparts: `server.watch.WatchManager` and the two of them in `DataTree`. Start reading at
//! [`WatchManager::trigger`].

mod set;

use crate::{
    tree::{EffectKind, Effects, index::Index},
    types::{AclList, ConnId, Id, Zxid, parent_and_name},
};
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

struct Path {
    text: Box<str>,
    watchers: Set<MODE_BITS>,
}

struct Conn {
    id: ConnId,
    paths: Set<0>,
    /// The last event it was told of.
    heard: u64,
    ids: Arc<[Id]>,
}

/// All watches of a server.
pub struct WatchManager {
    paths: Chunks<Path>,
    by_text: Index,
    hasher: FixedState,
    conns: Vec<Conn>,
    conns_free: Vec<u32>,
    by_id: HashMap<ConnId, u32, FixedState>,
    data_count: usize,
    child_count: usize,
    recursive_count: usize,
    /// Number of the event being handed out.
    event: u64,
    /// Kept to be used again.
    hits: Vec<u32>,
    nobody: Arc<[Id]>,
}

impl WatchManager {
    /// None yet. The seed keeps clients from choosing paths that collide.
    pub fn new(hash_seed: u64) -> Self {
        Self {
            paths: Chunks::default(),
            by_text: Index::new(),
            hasher: FixedState::with_seed(hash_seed),
            conns: Vec::new(),
            conns_free: Vec::new(),
            by_id: HashMap::default(),
            data_count: 0,
            child_count: 0,
            recursive_count: 0,
            event: 0,
            hits: Vec::new(),
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
        let bits = mode.bits();
        let conn = self.conn_slot(conn);
        let path = self.path_slot(path);
        let watchers = &mut self.paths.at_mut(path).watchers;
        let before = match watchers.get_mut(conn) {
            Some(word) => {
                let before = *word & MODES;
                *word |= bits;
                before
            }
            None => {
                watchers.insert(conn << MODE_BITS | bits);
                self.conns[conn as usize].paths.insert(path);
                0
            }
        };
        self.count(before, before | bits);
    }

    /// Removes watches of a connection on a path. Whether there were any.
    pub fn remove(&mut self, conn: ConnId, path: &str, which: WatcherType) -> bool {
        let Some((conn, path)) = self.pair(conn, path) else { return false };
        let watchers = &mut self.paths.at_mut(path).watchers;
        let Some(word) = watchers.get_mut(conn) else { return false };
        let before = *word & MODES;
        let after = before & !which.bits();
        *word = conn << MODE_BITS | after;
        if after == 0 {
            watchers.remove(conn);
            self.conns[conn as usize].paths.remove(path);
            self.tidy_path(path);
        }
        self.count(before, after);
        before != after
    }

    /// Whether a connection has such a watch on a path.
    pub fn contains(&self, conn: ConnId, path: &str, which: WatcherType) -> bool {
        self.pair(conn, path)
            .and_then(|(conn, path)| self.paths.at(path).watchers.get(conn))
            .is_some_and(|word| word & which.bits() != 0)
    }

    /// Removes all watches of a connection that is gone.
    pub fn drop_connection(&mut self, conn: ConnId) {
        let Some(conn) = self.by_id.remove(&conn) else { return };
        let paths = std::mem::take(&mut self.conns[conn as usize].paths);
        for path in paths.iter() {
            if let Some(word) = self.paths.at_mut(path).watchers.remove(conn) {
                self.count(word & MODES, 0);
            }
            self.tidy_path(path);
        }
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
        for &conn in &hits {
            let conn = &mut self.conns[conn as usize];
            if conn.heard != self.event {
                conn.heard = self.event;
                deliver(conn.id, &conn.ids, event, acl);
            }
        }
        self.hits = hits;
    }

    /// Connections that watch this path in this table; their one-shot watches are used up.
    fn collect(&mut self, table: u32, path: &str, hits: &mut Vec<u32>) {
        let Some(path) = self.find_path(path) else { return };
        let (mut data, mut child) = (0, 0);
        let conns = &mut self.conns;
        let watchers = &mut self.paths.at_mut(path).watchers;
        watchers.retain(|word| {
            let before = *word & table;
            if before == 0 {
                return true;
            }
            let conn = *word >> MODE_BITS;
            hits.push(conn);
            *word &= !(table & ONE_SHOT);
            if *word & table == 0 {
                data += usize::from(table == DATA_TABLE);
                child += usize::from(table == CHILD_TABLE);
            }
            let keep = *word & MODES != 0;
            if !keep {
                conns[conn as usize].paths.remove(path);
            }
            keep
        });
        self.data_count -= data;
        self.child_count -= child;
        self.tidy_path(path);
    }

    /// Connections that watch recursively above this path.
    fn collect_above(&self, mut path: &str, hits: &mut Vec<u32>) {
        while path.len() > 1 {
            let Some((parent, _)) = parent_and_name(path) else { return };
            if let Some(id) = self.find_path(parent) {
                let watchers = self.paths.at(id).watchers.iter();
                hits.extend(watchers.filter(|w| w & RECURSIVE != 0).map(|w| w >> MODE_BITS));
            }
            path = parent;
        }
    }

    /// Numbers of the data table.
    pub fn summary(&self) -> WatchSummary {
        let mut summary = WatchSummary { watches: self.data_count, ..WatchSummary::default() };
        let mut seen = vec![false; self.conns.len()];
        for path in self.paths.iter() {
            let mut watched = false;
            for word in path.watchers.iter().filter(|w| w & DATA_TABLE != 0) {
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
        self.paths.iter().filter_map(|path| {
            let words = path.watchers.iter().filter(|w| w & DATA_TABLE != 0);
            let conns: Vec<ConnId> = words.map(|w| self.conns[(w >> MODE_BITS) as usize].id).collect();
            (!conns.is_empty()).then_some((&*path.text, conns))
        })
    }

    /// Connections of the data table with their paths, for `wchc`.
    pub fn by_conn(&self) -> impl Iterator<Item = (ConnId, Vec<&str>)> {
        self.conns.iter().enumerate().filter_map(|(slot, conn)| {
            let in_table = |path: &u32| {
                let word = self.paths.at(*path).watchers.get(slot as u32);
                word.is_some_and(|w| w & DATA_TABLE != 0)
            };
            let paths: Vec<&str> =
                conn.paths.iter().filter(in_table).map(|p| &*self.paths.at(p).text).collect();
            (!paths.is_empty()).then_some((conn.id, paths))
        })
    }

    /// Bytes that the watches take, path texts included, by this manager's own account.
    pub fn memory_bytes(&self) -> usize {
        self.paths.allocated_bytes()
            + self.by_text.allocated_bytes()
            + self.paths.iter().map(|p| p.text.len() + p.watchers.heap_bytes()).sum::<usize>()
            + self.conns.capacity() * size_of::<Conn>()
            + self.conns.iter().map(|c| c.paths.heap_bytes()).sum::<usize>()
            + self.by_id.allocation_size()
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

    fn hash(&self, text: &str) -> u32 {
        hash(&self.hasher, text)
    }

    fn find_path(&self, text: &str) -> Option<u32> {
        self.by_text.find(self.hash(text), |id| &*self.paths.at(id).text == text)
    }

    fn path_slot(&mut self, text: &str) -> u32 {
        let hash_of_text = self.hash(text);
        if let Some(id) = self.by_text.find(hash_of_text, |id| &*self.paths.at(id).text == text) {
            return id;
        }
        let id = self.paths.insert(Path { text: text.into(), watchers: Set::default() });
        let (paths, hasher) = (&self.paths, &self.hasher);
        self.by_text.insert(hash_of_text, id, |id| hash(hasher, &paths.at(id).text));
        id
    }

    /// Forgets a path that nobody watches.
    fn tidy_path(&mut self, id: u32) {
        let path = self.paths.at(id);
        if path.watchers.is_empty() {
            self.by_text.remove(self.hash(&path.text), id);
            self.paths.remove(id);
        }
    }

    fn conn_slot(&mut self, id: ConnId) -> u32 {
        if let Some(&slot) = self.by_id.get(&id) {
            return slot;
        }
        let conn = Conn { id, paths: Set::default(), heard: 0, ids: self.nobody.clone() };
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

fn hash(hasher: &FixedState, text: &str) -> u32 {
    let mut hasher = hasher.build_hasher();
    hasher.write(text.as_bytes());
    let hash = hasher.finish();
    (hash ^ (hash >> 32)) as u32
}

const CHUNK_LEN: usize = 1024;

/// Places that never move, so that growing costs no copy.
struct Chunks<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }
}

impl<T> Chunks<T> {
    fn insert(&mut self, value: T) -> u32 {
        if let Some(id) = self.free.pop() {
            self.chunks[id as usize / CHUNK_LEN][id as usize % CHUNK_LEN] = Some(value);
            return id;
        }
        if self.chunks.last().is_none_or(|c| c.len() == CHUNK_LEN) {
            self.chunks.push(Vec::with_capacity(CHUNK_LEN));
        }
        let before = (self.chunks.len() - 1) * CHUNK_LEN;
        let last = self.chunks.last_mut().expect("just made");
        last.push(Some(value));
        (before + last.len() - 1) as u32
    }

    fn at(&self, id: u32) -> &T {
        self.chunks[id as usize / CHUNK_LEN][id as usize % CHUNK_LEN].as_ref().expect("an id in use")
    }

    fn at_mut(&mut self, id: u32) -> &mut T {
        self.chunks[id as usize / CHUNK_LEN][id as usize % CHUNK_LEN].as_mut().expect("an id in use")
    }

    fn remove(&mut self, id: u32) {
        self.chunks[id as usize / CHUNK_LEN][id as usize % CHUNK_LEN] = None;
        self.free.push(id);
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten().flatten()
    }

    fn allocated_bytes(&self) -> usize {
        self.chunks.len() * CHUNK_LEN * size_of::<Option<T>>() + self.free.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests;
