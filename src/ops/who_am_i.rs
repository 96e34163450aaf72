use super::ReadCx;
use crate::auth::user_name;
use crate::types::{ErrorCode, Id};
use quoll_jute::Writer;

/// whoAmI: the caller's ids. The body of the request does not matter.
pub(super) fn serve(cx: &mut ReadCx<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    Writer::new(out).vector(Some(cx.ids), |w, id: &Id| {
        w.text(Some(&id.scheme));
        w.text(Some(user_name(id, &cx.config.auth)));
    });
    Ok(())
}
