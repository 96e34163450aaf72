use super::{ReadCx, decode};
use crate::types::{ErrorCode, Perms};
use crate::watch::WatchMode;
use quoll_jute::client::ExistsRequest;
use quoll_jute::{Record, Writer};

/// exists: no NUL in the path, READ if the znode is there, watch, znode.
pub(super) fn serve(cx: &mut ReadCx<'_>, body: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let request: ExistsRequest<'_> = decode(body, cx.config)?;
    let path = request.path.as_deref().ok_or(ErrorCode::MarshallingError)?;
    if path.contains('\0') {
        return Err(ErrorCode::BadArguments);
    }
    let node = cx.tree.lookup(path);
    if let Some(node) = node {
        cx.allow(node, Perms::READ)?;
    }
    if request.watch {
        cx.watches.add(path, WatchMode::Data);
    }
    node.ok_or(ErrorCode::NoNode)?.stat().write(&mut Writer::new(out));
    cx.count_read(path, 0);
    Ok(())
}
