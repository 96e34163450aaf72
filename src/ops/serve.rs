use super::cache::ResponseCache;
use super::{
    OpsConfig, exists, get_acl, get_all_children_number, get_children, get_data, get_ephemerals, multi_read,
    set_watches, sync, watches, who_am_i,
};
use crate::auth::check_acl;
use crate::tree::{Node, Tree};
use crate::types::{ErrorCode, Id, NamespaceTotals, OpCode, Perms, SessionId};
use crate::watch::{EventKind, WatchMode, WatcherType};

/// The watches of the connection that a request came from.
pub trait WatchSink {
    /// Sets a watch.
    fn add(&mut self, path: &str, mode: WatchMode);
    /// Removes watches of a type; whether there were any.
    fn remove(&mut self, path: &str, watcher_type: WatcherType) -> bool;
    /// Whether there are watches of a type.
    fn contains(&mut self, path: &str, watcher_type: WatcherType) -> bool;
    /// Sends a notification with zxid −1 that leaves before the reply: a watch that setWatches would have set had
    /// already fired.
    fn notify(&mut self, kind: EventKind, path: &str);
}

/// What a read is served from.
pub struct ReadCx<'a> {
    /// The tree.
    pub tree: &'a Tree,
    /// The connection's watches.
    pub watches: &'a mut dyn WatchSink,
    /// The connection's session.
    pub session: SessionId,
    /// Who the caller is.
    pub ids: &'a [Id],
    /// Settings.
    pub config: &'a OpsConfig,
    /// The worker's cache.
    pub cache: &'a mut ResponseCache,
    /// Bytes read, for the metrics.
    pub bytes_read: &'a mut NamespaceTotals,
}

/// Serves a request that is no write and appends the body of the reply.
///
/// # Errors
/// The code for the reply's header. Then nothing was appended, except by a multiRead of writes: what it appended is
/// part of its answer.
pub fn serve(cx: &mut ReadCx<'_>, op: OpCode, body: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    match op {
        OpCode::GetData => get_data::serve(cx, body, out),
        OpCode::Exists => exists::serve(cx, body, out),
        OpCode::GetChildren => get_children::serve(cx, body, out),
        OpCode::GetChildren2 => get_children::serve_with_stat(cx, body, out),
        OpCode::GetAcl => get_acl::serve(cx, body, out),
        OpCode::GetAllChildrenNumber => get_all_children_number::serve(cx, body, out),
        OpCode::GetEphemerals => get_ephemerals::serve(cx, body, out),
        OpCode::WhoAmI => who_am_i::serve(cx, out),
        OpCode::MultiRead => multi_read::serve(cx, body, out),
        OpCode::Sync => sync::serve(cx, body, out),
        OpCode::Ping => Ok(()),
        OpCode::AddWatch => watches::add(cx, body, out),
        OpCode::CheckWatches => watches::check(cx, body),
        OpCode::RemoveWatches => watches::remove(cx, body),
        OpCode::SetWatches => set_watches::serve(cx, body),
        OpCode::SetWatches2 => set_watches::serve_with_persistent(cx, body),
        _ => Err(ErrorCode::Unimplemented),
    }
}

/// What upstream counts for a Stat.
const STAT_BYTES: usize = 68;

impl<'a> ReadCx<'a> {
    /// So many bytes of names or data were read from the znode at this path.
    ///
    /// Upstream counterpart: `DataTree.updateReadStat`.
    #[inline]
    pub(super) fn count_read(&mut self, path: &str, bytes: usize) {
        self.bytes_read.add(path, (path.len() + bytes + STAT_BYTES) as u64);
    }

    /// The znode at a path, if the caller has any of `perms` on it.
    #[inline]
    pub(super) fn node(&self, path: &str, perms: Perms) -> Result<Node<'a>, ErrorCode> {
        let node = self.tree.lookup(path).ok_or(ErrorCode::NoNode)?;
        self.allow(node, perms)?;
        Ok(node)
    }

    #[inline]
    pub(super) fn allow(&self, node: Node<'_>, perms: Perms) -> Result<(), ErrorCode> {
        if node.is_open_acl() || check_acl(node.acl(), perms, self.ids, &self.config.auth) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
    }
}
