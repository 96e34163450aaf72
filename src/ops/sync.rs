use super::{ReadCx, decode};
use crate::types::ErrorCode;
use quoll_jute::Writer;
use quoll_jute::client::SyncRequest;

/// sync: the path comes back, whatever it is. That the answer comes in its turn is what it is for.
pub(super) fn serve(cx: &mut ReadCx<'_>, body: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let request: SyncRequest<'_> = decode(body, cx.config)?;
    Writer::new(out).text(request.path.as_deref());
    Ok(())
}
