use super::prepare::{Outcome, PrepareCx, slice};
use super::quota;
use crate::auth::fix_acl;
use crate::types::{
    CreateMode, ErrorCode, OpCode, Owner, Perms, StatPersisted, SubTxn, TTL_MS_MAX, parent_and_name,
    validate_path,
};
use bytes::Bytes;
use quoll_jute::client::{CreateRequest, CreateTtlRequest};
use quoll_jute::{Text, data};
use std::fmt::Write as _;

/// A create of any kind.
pub(super) struct Request<'a> {
    /// The kind of the txn: what is stored depends on it more than on the flag.
    pub kind: OpCode,
    pub path: Option<Text<'a>>,
    pub data: Option<&'a [u8]>,
    pub acl: Option<Vec<data::Acl<'a>>>,
    pub flags: i32,
    /// −1 when the request has none.
    pub ttl_ms: i64,
}

impl<'a> Request<'a> {
    pub fn new(kind: OpCode, r: CreateRequest<'a>) -> Self {
        Self { kind, path: r.path, data: r.data, acl: r.acl, flags: r.flags, ttl_ms: -1 }
    }

    pub fn with_ttl(r: CreateTtlRequest<'a>) -> Self {
        let kind = OpCode::CreateTtl;
        Self { kind, path: r.path, data: r.data, acl: r.acl, flags: r.flags, ttl_ms: r.ttl }
    }
}

impl Request<'_> {
    /// Whether the znode is to end with its session.
    pub fn is_ephemeral(&self) -> bool {
        matches!(self.kind, OpCode::Create | OpCode::Create2)
            && CreateMode::from_flags(self.flags).is_some_and(CreateMode::is_ephemeral)
    }
}

/// Whether a TTL goes with a mode.
pub(super) fn ttl_fits(mode: CreateMode, ttl_ms: i64) -> bool {
    if mode.is_ttl() { (1..=TTL_MS_MAX).contains(&ttl_ms) } else { ttl_ms < 0 }
}

/// create: flag, TTL feature, TTL, session, path so far, list, parent, CREATE on the parent, path with its number, not
/// there yet, parent not ephemeral, quota.
pub(super) fn prepare(cx: &mut PrepareCx<'_>, request: Request<'_>, body: &Bytes) -> Outcome {
    let mode = CreateMode::from_flags(request.flags).ok_or(ErrorCode::BadArguments)?;
    if mode.is_ttl() && !cx.config.owner_rules.extended_types {
        return Err(ErrorCode::Unimplemented.into());
    }
    // A TTL request for a mode without one would be a txn that cannot be applied.
    if !ttl_fits(mode, request.ttl_ms) || request.kind == OpCode::CreateTtl && !mode.is_ttl() {
        return Err(ErrorCode::BadArguments.into());
    }
    if mode.is_ephemeral() {
        cx.sessions.check_global(cx.session)?;
    } else {
        cx.sessions.check(cx.session)?;
    }
    let wish = request.path.as_deref().ok_or(ErrorCode::MarshallingError)?;
    let (parent_path, _) = parent_and_name(wish).ok_or(ErrorCode::BadArguments)?;
    if wish.contains('\0') {
        return Err(ErrorCode::BadArguments.into());
    }
    let acl = fix_acl(request.acl.as_deref(), cx.ids, &cx.config.auth)?;
    let parent_key = cx.outstanding.key(parent_path);
    let parent = cx.outstanding.look(cx.tree, parent_key).ok_or(ErrorCode::NoNode)?;
    cx.check_acl(cx.outstanding.acl(parent), Perms::CREATE)?;
    let parent_cversion = cx.outstanding.cversion(parent);
    let mut path = String::with_capacity(wish.len() + if mode.is_sequential() { 11 } else { 0 });
    path.push_str(wish);
    if mode.is_sequential() {
        let _ = write!(path, "{parent_cversion:010}");
    }
    validate_path(&path).map_err(|_| ErrorCode::BadArguments)?;
    let key = cx.outstanding.key(&path);
    if cx.outstanding.look(cx.tree, key).is_some() {
        return Err(ErrorCode::NodeExists.into());
    }
    if matches!(cx.outstanding.owner_of(parent), Owner::Session(_)) {
        return Err(ErrorCode::NoChildrenForEphemerals.into());
    }
    let bytes = request.data.map_or(0, <[u8]>::len) as i64;
    let note = quota::check(cx, &path, |_| (bytes, 1))?;
    if !cx.tree.has_room(cx.outstanding.len() + 1) {
        return Err(ErrorCode::QuotaExceeded.into());
    }

    // The counter of creations stops at its largest value. From then on a sequential name is taken or not like any
    // other; it never becomes negative, which would put it before its elders.
    let parent_cversion = parent_cversion.saturating_add(1);
    let owner = match request.kind {
        OpCode::CreateContainer => Owner::Container,
        OpCode::CreateTtl => Owner::Ttl(request.ttl_ms),
        _ if mode.is_ephemeral() => Owner::Session(cx.session),
        _ => Owner::None,
    };
    let stat = StatPersisted {
        czxid: cx.zxid.0,
        mzxid: cx.zxid.0,
        pzxid: cx.zxid.0,
        ctime: cx.time_ms,
        mtime: cx.time_ms,
        version: 0,
        cversion: 0,
        aversion: 0,
        ephemeral_owner: owner.to_stored(),
    };
    cx.outstanding.add_child(cx.tree, cx.zxid, parent_key, parent, parent_cversion);
    cx.outstanding.create(cx.tree, cx.zxid, key, request.data, acl.clone(), stat);
    let data = slice(body, request.data);
    let txn = match request.kind {
        OpCode::CreateContainer => SubTxn::CreateContainer { path, data, acl, parent_cversion },
        OpCode::CreateTtl => SubTxn::CreateTtl { path, data, acl, parent_cversion, ttl_ms: request.ttl_ms },
        kind => SubTxn::Create {
            with_stat: kind == OpCode::Create2,
            path,
            data,
            acl,
            ephemeral: mode.is_ephemeral(),
            parent_cversion,
        },
    };
    Ok((txn, note))
}
