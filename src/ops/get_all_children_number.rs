use super::{ReadCx, decode};
use crate::types::{ErrorCode, Perms};
use quoll_jute::Writer;
use quoll_jute::client::GetAllChildrenNumberRequest;

/// getAllChildrenNumber: znode, READ. The number of all znodes below.
pub(super) fn serve(cx: &mut ReadCx<'_>, body: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let request: GetAllChildrenNumberRequest<'_> = decode(body, cx.config)?;
    let path = request.path.as_deref().ok_or(ErrorCode::MarshallingError)?;
    let node = cx.node(path, Perms::READ)?;
    // Below "" upstream finds `/` as well.
    let number = node.descendant_count() + usize::from(path.is_empty());
    Writer::new(out).int(i32::try_from(number).unwrap_or(i32::MAX));
    Ok(())
}
