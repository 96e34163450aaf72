use super::prepare::{Outcome, PrepareCx, next_version};
use crate::types::{ErrorCode, Perms, SubTxn, validate_path};
use quoll_jute::client::CheckVersionRequest;

/// check, inside a multi: session, path, znode, READ, version. It changes nothing.
pub(super) fn prepare(cx: &mut PrepareCx<'_>, request: &CheckVersionRequest<'_>) -> Outcome {
    cx.sessions.check(cx.session)?;
    let path = request.path.as_deref().ok_or(ErrorCode::BadArguments)?;
    validate_path(path).map_err(|_| ErrorCode::BadArguments)?;
    let seen = cx.outstanding.look(cx.tree, cx.outstanding.key(path)).ok_or(ErrorCode::NoNode)?;
    cx.check_acl(cx.outstanding.acl(seen), Perms::READ)?;
    // The txn carries the version after the one checked, as if something had changed.
    let version = next_version(cx.outstanding.version(seen), request.version)?;
    Ok((SubTxn::Check { path: path.to_string(), version }, None))
}
