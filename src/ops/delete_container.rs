use super::delete::parent_of_deletable;
use super::prepare::PrepareCx;
use crate::types::{ErrorCode, Owner, SubTxn};

/// deleteContainer: path, znode, no children, a container or TTL znode.
///
/// Between the reaper's look at the tree and this check others may have written.
pub(super) fn prepare(cx: &mut PrepareCx<'_>, path: &str) -> Result<SubTxn, ErrorCode> {
    let parent_key = cx.outstanding.key(parent_of_deletable(path)?);
    let key = cx.outstanding.key(path);
    let seen = cx.outstanding.look(cx.tree, key).ok_or(ErrorCode::NoNode)?;
    if cx.outstanding.child_count(seen) > 0 {
        return Err(ErrorCode::NotEmpty);
    }
    match cx.outstanding.owner_of(seen) {
        Owner::Container | Owner::Ttl(_) => {}
        Owner::None | Owner::Session(_) => return Err(ErrorCode::BadVersion),
    }
    let parent = cx.outstanding.look(cx.tree, parent_key).ok_or(ErrorCode::NoNode)?;
    cx.outstanding.remove_child(cx.tree, cx.zxid, parent_key, parent);
    cx.outstanding.delete(cx.tree, cx.zxid, key, seen);
    Ok(SubTxn::Delete { container: true, path: path.to_string() })
}
