use super::{ReadCx, decode};
use crate::tree::Node;
use crate::types::ErrorCode;
use crate::watch::{EventKind, WatchMode};
use quoll_jute::Text;
use quoll_jute::client::{SetWatches, SetWatches2};

/// Paths as they come: null lists and null paths are possible.
type Paths<'r, 'a> = Option<&'r [Option<Text<'a>>]>;

/// setWatches: sets the watches of a client that was connected before, and tells it at once of those that fired
/// while it was away, that is after `relative_zxid`.
pub(super) fn serve(cx: &mut ReadCx<'_>, body: &[u8]) -> Result<(), ErrorCode> {
    let r: SetWatches<'_> = decode(body, cx.config)?;
    one_shot(
        cx,
        r.relative_zxid,
        r.data_watches.as_deref(),
        r.exist_watches.as_deref(),
        r.child_watches.as_deref(),
    )
}

/// setWatches2: the same with persistent watches, which are only set again.
pub(super) fn serve_with_persistent(cx: &mut ReadCx<'_>, body: &[u8]) -> Result<(), ErrorCode> {
    let r: SetWatches2<'_> = decode(body, cx.config)?;
    one_shot(
        cx,
        r.relative_zxid,
        r.data_watches.as_deref(),
        r.exist_watches.as_deref(),
        r.child_watches.as_deref(),
    )?;
    set(cx, r.persistent_watches.as_deref(), WatchMode::Persistent)?;
    set(cx, r.persistent_recursive_watches.as_deref(), WatchMode::PersistentRecursive)
}

/// Sets watches. Null paths are passed over, as addWatch does.
fn set(cx: &mut ReadCx<'_>, list: Paths<'_, '_>, mode: WatchMode) -> Result<(), ErrorCode> {
    for path in list.ok_or(ErrorCode::MarshallingError)?.iter().flatten() {
        cx.watches.add(path, mode);
    }
    Ok(())
}

fn one_shot(
    cx: &mut ReadCx<'_>,
    relative_zxid: i64,
    data: Paths<'_, '_>,
    exist: Paths<'_, '_>,
    child: Paths<'_, '_>,
) -> Result<(), ErrorCode> {
    each(cx, data, WatchMode::Data, |node| match node {
        None => Some(EventKind::NodeDeleted),
        Some(node) => (node.stat().mzxid > relative_zxid).then_some(EventKind::NodeDataChanged),
    })?;
    each(cx, exist, WatchMode::Data, |node| node.map(|_| EventKind::NodeCreated))?;
    each(cx, child, WatchMode::Child, |node| match node {
        None => Some(EventKind::NodeDeleted),
        Some(node) => (node.stat().pzxid > relative_zxid).then_some(EventKind::NodeChildrenChanged),
    })
}

/// Notifies of what `fired` finds, or sets the watch. A null list or path fails the request, after those before it
/// have been dealt with.
fn each(
    cx: &mut ReadCx<'_>,
    list: Paths<'_, '_>,
    mode: WatchMode,
    fired: impl Fn(Option<Node<'_>>) -> Option<EventKind>,
) -> Result<(), ErrorCode> {
    for path in list.ok_or(ErrorCode::MarshallingError)? {
        let path = path.as_deref().ok_or(ErrorCode::MarshallingError)?;
        match fired(cx.tree.lookup(path)) {
            Some(kind) => cx.watches.notify(kind, path),
            None => cx.watches.add(path, mode),
        }
    }
    Ok(())
}
