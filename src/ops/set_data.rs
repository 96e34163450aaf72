use super::prepare::{Outcome, PrepareCx, next_version, slice};
use super::{Outstanding, quota};
use crate::types::{ErrorCode, Perms, SubTxn, validate_path};
use bytes::Bytes;
use quoll_jute::client::SetDataRequest;

/// setData: session, path, znode, WRITE, quota, version.
pub(super) fn prepare(cx: &mut PrepareCx<'_>, request: &SetDataRequest<'_>, body: &Bytes) -> Outcome {
    cx.sessions.check(cx.session)?;
    let path = request.path.as_deref().ok_or(ErrorCode::BadArguments)?;
    validate_path(path).map_err(|_| ErrorCode::BadArguments)?;
    let key = cx.outstanding.key(path);
    let seen = cx.outstanding.look(cx.tree, key).ok_or(ErrorCode::NoNode)?;
    cx.check_acl(cx.outstanding.acl(seen), Perms::WRITE)?;
    let note = quota::check(cx, path, |cx| {
        let (new, old) = (request.data.map_or(0, <[u8]>::len), cx.outstanding.data_len(seen));
        (new as i64 - old as i64, 0)
    })?;
    let version = next_version(cx.outstanding.version(seen), request.version)?;
    let (zxid, time_ms) = (cx.zxid, cx.time_ms);
    cx.outstanding.update(cx.tree, zxid, key, seen, |state| {
        state.stat.version = version;
        state.stat.mtime = time_ms;
        state.stat.mzxid = zxid.0;
        Outstanding::set_data(state, key, request.data);
    });
    Ok((SubTxn::SetData { path: path.to_string(), data: slice(body, request.data), version }, note))
}
