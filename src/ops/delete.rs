use super::prepare::{Outcome, PrepareCx, next_version};
use crate::types::{ErrorCode, Perms, SubTxn, parent_and_name};
use quoll_jute::client::DeleteRequest;

/// Znodes that nobody deletes.
const PROTECTED: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// The parent of a path that may be deleted, if its form allows that.
pub(super) fn parent_of_deletable(path: &str) -> Result<&str, ErrorCode> {
    match parent_and_name(path) {
        Some((parent, _)) if !path.contains('\0') && !PROTECTED.contains(&path) => Ok(parent),
        _ => Err(ErrorCode::BadArguments),
    }
}

/// delete: session, path, parent, DELETE on the parent, znode, version, no children.
pub(super) fn prepare(cx: &mut PrepareCx<'_>, request: &DeleteRequest<'_>) -> Outcome {
    cx.sessions.check(cx.session)?;
    let path = request.path.as_deref().ok_or(ErrorCode::MarshallingError)?;
    let parent_key = cx.outstanding.key(parent_of_deletable(path)?);
    let parent = cx.outstanding.look(cx.tree, parent_key).ok_or(ErrorCode::NoNode)?;
    cx.check_acl(cx.outstanding.acl(parent), Perms::DELETE)?;
    let key = cx.outstanding.key(path);
    let seen = cx.outstanding.look(cx.tree, key).ok_or(ErrorCode::NoNode)?;
    next_version(cx.outstanding.version(seen), request.version)?;
    if cx.outstanding.child_count(seen) > 0 {
        return Err(ErrorCode::NotEmpty.into());
    }
    cx.outstanding.remove_child(cx.tree, cx.zxid, parent_key, parent);
    cx.outstanding.delete(cx.tree, cx.zxid, key, seen);
    Ok((SubTxn::Delete { container: false, path: path.to_string() }, None))
}
