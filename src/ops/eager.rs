use super::{OpsConfig, decode, delete};
use crate::auth::{check_acl, fix_acl};
use crate::tree::Tree;
use crate::types::{ErrorCode, Id, OpCode, Perms, parent_and_name};
use bytes::Bytes;
use quoll_jute::client as rec;

/// Why a write would be refused for its ACL by the tree as it is, so that it need not go to the leader:
/// [`ErrorCode::NoAuth`] or [`ErrorCode::InvalidAcl`]. `None` for all else, which is for the leader to say.
///
/// What was asked before and is not applied yet does not count: a client that has just been given a right may be refused.
///
/// Upstream counterpart: `ZooKeeperServer.authWriteRequest`, which looks at these five operations, too.
pub fn refused_early(
    tree: &Tree,
    op: OpCode,
    body: &Bytes,
    ids: &[Id],
    config: &OpsConfig,
) -> Option<ErrorCode> {
    let allowed = |path: &str, perms| match tree.lookup(path) {
        Some(node) if !check_acl(node.acl(), perms, ids, &config.auth) => Some(ErrorCode::NoAuth),
        _ => None,
    };
    let bad_list = |acl: Option<&[_]>| fix_acl(acl, ids, &config.auth).err();
    match op {
        OpCode::Create | OpCode::Create2 => {
            let request: rec::CreateRequest<'_> = decode(body, config).ok()?;
            let (parent, _) = parent_and_name(request.path.as_deref()?)?;
            bad_list(request.acl.as_deref()).or_else(|| allowed(parent, Perms::CREATE))
        }
        OpCode::Delete => {
            let request: rec::DeleteRequest<'_> = decode(body, config).ok()?;
            allowed(delete::parent_of_deletable(request.path.as_deref()?).ok()?, Perms::DELETE)
        }
        OpCode::SetData => {
            let request: rec::SetDataRequest<'_> = decode(body, config).ok()?;
            allowed(request.path.as_deref()?, Perms::WRITE)
        }
        OpCode::SetAcl => {
            let request: rec::SetAclRequest<'_> = decode(body, config).ok()?;
            bad_list(request.acl.as_deref()).or_else(|| allowed(request.path.as_deref()?, Perms::ADMIN))
        }
        _ => None,
    }
}
