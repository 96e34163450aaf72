use super::prepare::{Outcome, PrepareCx, next_version};
use crate::auth::fix_acl;
use crate::types::{ErrorCode, Perms, SubTxn, validate_path};
use quoll_jute::client::SetAclRequest;

/// setACL: session, path, list, znode, ADMIN, ACL version.
pub(super) fn prepare(cx: &mut PrepareCx<'_>, request: &SetAclRequest<'_>) -> Outcome {
    cx.sessions.check(cx.session)?;
    let path = request.path.as_deref().ok_or(ErrorCode::BadArguments)?;
    validate_path(path).map_err(|_| ErrorCode::BadArguments)?;
    let acl = fix_acl(request.acl.as_deref(), cx.ids, &cx.config.auth)?;
    let key = cx.outstanding.key(path);
    let seen = cx.outstanding.look(cx.tree, key).ok_or(ErrorCode::NoNode)?;
    cx.check_acl(cx.outstanding.acl(seen), Perms::ADMIN)?;
    let version = next_version(cx.outstanding.aversion(seen), request.version)?;
    cx.outstanding.update(cx.tree, cx.zxid, key, seen, |state| {
        state.stat.aversion = version;
        state.acl = acl.clone();
    });
    Ok((SubTxn::SetAcl { path: path.to_string(), acl, version }, None))
}
