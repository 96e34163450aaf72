use super::{ReadCx, decode};
use crate::auth::mask_digest;
use crate::types::{Acl, ErrorCode, Perms};
use quoll_jute::client::GetAclRequest;
use quoll_jute::{Record, Writer};

/// getACL: znode, READ or ADMIN. Without ADMIN the digests are masked.
pub(super) fn serve(cx: &mut ReadCx<'_>, body: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let request: GetAclRequest<'_> = decode(body, cx.config)?;
    let path = request.path.as_deref().ok_or(ErrorCode::MarshallingError)?;
    let node = cx.node(path, Perms::READ | Perms::ADMIN)?;
    let masked = cx.allow(node, Perms::ADMIN).is_err();
    let w = &mut Writer::new(out);
    w.vector(Some(node.acl()), |w, a: &Acl| {
        w.int(a.perms.0);
        w.text(Some(&a.id.scheme));
        if masked && &*a.id.scheme == "digest" {
            w.text(Some(&mask_digest(&a.id.id)));
        } else {
            w.text(Some(&a.id.id));
        }
    });
    node.stat().write(w);
    Ok(())
}
