use super::{ReadCx, decode};
use crate::types::{ErrorCode, Perms};
use crate::watch::WatchMode;
use quoll_jute::client::GetDataRequest;
use quoll_jute::{Record, Writer};

/// getData: znode, READ, watch.
pub(super) fn serve(cx: &mut ReadCx<'_>, body: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let request: GetDataRequest<'_> = decode(body, cx.config)?;
    let path = request.path.as_deref().ok_or(ErrorCode::MarshallingError)?;
    write(cx, path, out)?;
    if request.watch {
        cx.watches.add(path, WatchMode::Data);
    }
    Ok(())
}

/// Appends data and stat.
pub(super) fn write(cx: &mut ReadCx<'_>, path: &str, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let node = cx.node(path, Perms::READ)?;
    let w = &mut Writer::new(out);
    w.buffer(node.data());
    node.stat().write(w);
    cx.count_read(path, node.data().map_or(0, <[u8]>::len));
    Ok(())
}
