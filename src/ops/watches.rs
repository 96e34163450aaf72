use super::{ReadCx, decode};
use crate::types::ErrorCode;
use crate::watch::{WatchMode, WatcherType};
use quoll_jute::Writer;
use quoll_jute::client::{AddWatchRequest, CheckWatchesRequest};

/// addWatch: mode. Neither path nor znode nor ACL is checked.
pub(super) fn add(cx: &mut ReadCx<'_>, body: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let request: AddWatchRequest<'_> = decode(body, cx.config)?;
    let mode = WatchMode::from_add_watch(request.mode).ok_or(ErrorCode::MarshallingError)?;
    // A null path is accepted; no event has one.
    if let Some(path) = request.path.as_deref() {
        cx.watches.add(path, mode);
    }
    Writer::new(out).int(0);
    Ok(())
}

/// checkWatches: type, watch.
pub(super) fn check(cx: &mut ReadCx<'_>, body: &[u8]) -> Result<(), ErrorCode> {
    with_watches(cx, body, |cx, path, watcher_type| cx.watches.contains(path, watcher_type))
}

/// removeWatches: type, watch.
pub(super) fn remove(cx: &mut ReadCx<'_>, body: &[u8]) -> Result<(), ErrorCode> {
    with_watches(cx, body, |cx, path, watcher_type| cx.watches.remove(path, watcher_type))
}

fn with_watches(
    cx: &mut ReadCx<'_>,
    body: &[u8],
    found: impl FnOnce(&mut ReadCx<'_>, &str, WatcherType) -> bool,
) -> Result<(), ErrorCode> {
    let request: CheckWatchesRequest<'_> = decode(body, cx.config)?;
    let watcher_type = WatcherType::from_code(request.type_).ok_or(ErrorCode::MarshallingError)?;
    match request.path.as_deref() {
        Some(path) if found(cx, path, watcher_type) => Ok(()),
        _ => Err(ErrorCode::NoWatcher),
    }
}
