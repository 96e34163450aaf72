use super::{
    Membership, OpsConfig, Outstanding, QuotaNote, create, decode, delete, delete_container, multi, reconfig,
    session,
};
use super::{set_acl, set_data};
use crate::auth::check_acl;
use crate::tree::Tree;
use crate::types::{AclList, ErrorCode, Id, OpCode, Perms, SessionId, SubTxn, TxnBody, Zxid};
use bytes::Bytes;

/// Whether sessions may write.
///
/// Upstream counterpart: `SessionTracker.checkSession` and `checkGlobalSession`.
pub trait SessionView {
    /// Whether the session is open and held by the connection the request came from.
    ///
    /// # Errors
    /// [`ErrorCode::SessionExpired`] or [`ErrorCode::SessionMoved`].
    fn check(&self, session: SessionId) -> Result<(), ErrorCode>;

    /// The same for an operation that needs a session known to the whole ensemble.
    ///
    /// # Errors
    /// As [`Self::check`], or [`ErrorCode::EphemeralOnLocalSession`].
    fn check_global(&self, session: SessionId) -> Result<(), ErrorCode> {
        self.check(session)
    }
}

/// What a write is checked against.
pub struct PrepareCx<'a> {
    /// The tree, with every committed txn applied that `outstanding` was told of.
    pub tree: &'a Tree,
    /// What the txns before this one change.
    pub outstanding: &'a mut Outstanding,
    /// Whose request it is.
    pub session: SessionId,
    /// Who the caller is.
    pub ids: &'a [Id],
    /// The zxid of the txn, if it takes one: see [`Prepared::takes_zxid`].
    pub zxid: Zxid,
    /// Wall clock, ms since 1970.
    pub time_ms: i64,
    /// Settings.
    pub config: &'a OpsConfig,
    /// The sessions.
    pub sessions: &'a dyn SessionView,
    /// The ensemble; `None` for a server that is alone.
    pub membership: Option<&'a Membership>,
}

/// A txn that is ready to be proposed. A request that failed is one too: it records the failure.
#[derive(Debug)]
pub struct Prepared {
    /// What changes.
    pub body: TxnBody,
    /// Digest of the tree after the txn, if the txn is to carry one.
    pub digest: Option<i64>,
    /// Why the request failed, for the reply's header. `None` for a multi that failed by one of its operations: that
    /// is told in the body. A caller who gets [`ErrorCode::SessionMoved`] closes the connection without an answer.
    pub error: Option<ErrorCode>,
    /// Whether the txn gets the zxid that was offered. If not, its record carries the zxid of the txn before it, and
    /// the next request is offered the same one again.
    pub takes_zxid: bool,
    /// A quota that was exceeded, for the operator.
    pub note: Option<Box<QuotaNote>>,
}

impl Prepared {
    /// The record of a failure.
    pub(super) fn failed(error: ErrorCode, takes_zxid: bool) -> Self {
        Self {
            body: TxnBody::One(SubTxn::error(error)),
            digest: None,
            error: Some(error),
            takes_zxid,
            note: None,
        }
    }

    pub(super) fn ok(cx: &PrepareCx<'_>, body: TxnBody, note: Option<Box<QuotaNote>>) -> Self {
        Self { body, digest: cx.outstanding.digest(cx.tree), error: None, takes_zxid: true, note }
    }
}

/// How a request that could be decoded fails.
pub(super) struct Refused {
    pub error: ErrorCode,
    pub note: Option<Box<QuotaNote>>,
}

impl From<ErrorCode> for Refused {
    fn from(error: ErrorCode) -> Self {
        Self { error, note: None }
    }
}

/// What a request that passed becomes.
pub(super) type Outcome = Result<(SubTxn, Option<Box<QuotaNote>>), Refused>;

/// Checks a write and makes its txn. What the txn changes is visible to the next call.
///
/// `op` is one for which [`is_write`](super::is_write) holds; [`OpCode::CloseSession`] needs no body. Others are
/// refused as unimplemented.
pub fn prepare(cx: &mut PrepareCx<'_>, op: OpCode, body: &Bytes) -> Prepared {
    let outcome = match op {
        OpCode::SetData => match decode(body, cx.config) {
            Ok(request) => set_data::prepare(cx, &request, body),
            Err(error) => return Prepared::failed(error, false),
        },
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => match decode(body, cx.config) {
            Ok(request) => create::prepare(cx, create::Request::new(op, request), body),
            Err(error) => return Prepared::failed(error, false),
        },
        OpCode::CreateTtl => match decode(body, cx.config) {
            Ok(request) => create::prepare(cx, create::Request::with_ttl(request), body),
            Err(error) => return Prepared::failed(error, false),
        },
        OpCode::Delete => match decode(body, cx.config) {
            Ok(request) => delete::prepare(cx, &request),
            Err(error) => return Prepared::failed(error, false),
        },
        OpCode::SetAcl => match decode(body, cx.config) {
            Ok(request) => set_acl::prepare(cx, &request),
            Err(error) => return Prepared::failed(error, false),
        },
        OpCode::Reconfig => match decode(body, cx.config) {
            Ok(request) => reconfig::prepare(cx, &request),
            Err(error) => return Prepared::failed(error, false),
        },
        OpCode::Multi => return multi::prepare(cx, body),
        OpCode::CloseSession => return prepare_close_session(cx),
        _ => Err(ErrorCode::Unimplemented.into()),
    };
    match outcome {
        Ok((txn, note)) => Prepared::ok(cx, TxnBody::One(txn), note),
        Err(refused) => Prepared { note: refused.note, ..Prepared::failed(refused.error, true) },
    }
}

/// Whether the body of a write can be decoded. What cannot need not go to the leader: it is refused whatever the state
/// is, and a leader of upstream's has no number for the record of it.
pub fn is_readable(op: OpCode, body: &Bytes, config: &OpsConfig) -> bool {
    use quoll_jute::client as rec;
    match op {
        OpCode::SetData => decode::<rec::SetDataRequest<'_>>(body, config).is_ok(),
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
            decode::<rec::CreateRequest<'_>>(body, config).is_ok()
        }
        OpCode::CreateTtl => decode::<rec::CreateTtlRequest<'_>>(body, config).is_ok(),
        OpCode::Delete => decode::<rec::DeleteRequest<'_>>(body, config).is_ok(),
        OpCode::SetAcl => decode::<rec::SetAclRequest<'_>>(body, config).is_ok(),
        OpCode::Reconfig => decode::<rec::ReconfigRequest<'_>>(body, config).is_ok(),
        OpCode::Multi => multi::decode(body, config.limits).is_ok(),
        _ => true,
    }
}

/// Whether a write makes a znode that ends with its session. `false` for what cannot be decoded.
///
/// Upstream counterpart: `QuorumZooKeeperServer.checkUpgradeSession`.
pub fn creates_ephemeral(op: OpCode, body: &Bytes, config: &OpsConfig) -> bool {
    match op {
        OpCode::Create | OpCode::Create2 => decode::<quoll_jute::client::CreateRequest<'_>>(body, config)
            .is_ok_and(|request| create::Request::new(op, request).is_ephemeral()),
        OpCode::Multi => multi::decode(body, config.limits)
            .is_ok_and(|subs| subs.iter().any(multi::SubRequest::is_ephemeral_create)),
        _ => false,
    }
}

/// The txn that begins the session `cx.session`.
pub fn prepare_create_session(cx: &mut PrepareCx<'_>, timeout_ms: i32) -> Prepared {
    let body = TxnBody::CreateSession { timeout_ms };
    Prepared::ok(cx, body, None)
}

/// The txn that ends the session `cx.session`, by wish or because it expired. It always succeeds and lists the paths
/// of the session's ephemerals, also of those that outstanding txns create.
pub fn prepare_close_session(cx: &mut PrepareCx<'_>) -> Prepared {
    let body = session::close(cx);
    Prepared::ok(cx, body, None)
}

/// The txn by which the server itself removes a container or TTL znode. Proposed with session 0 and cxid 0.
///
/// # Errors
/// When the znode is gone, has children or is neither; nothing is to be proposed then.
pub fn prepare_delete_container(cx: &mut PrepareCx<'_>, path: &str) -> Result<Prepared, ErrorCode> {
    let txn = delete_container::prepare(cx, path)?;
    Ok(Prepared::ok(cx, TxnBody::One(txn), None))
}

impl PrepareCx<'_> {
    pub(super) fn check_acl(&self, acl: &AclList, perms: Perms) -> Result<(), ErrorCode> {
        if check_acl(acl, perms, self.ids, &self.config.auth) { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }
}

/// The version after a change, if the one expected is there. −1 expects nothing. Versions wrap around.
pub(super) fn next_version(current: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected == -1 || expected == current {
        Ok(current.wrapping_add(1))
    } else {
        Err(ErrorCode::BadVersion)
    }
}

/// The buffer of a request without copying it.
pub(super) fn slice(body: &Bytes, part: Option<&[u8]>) -> Option<Bytes> {
    part.map(|part| if part.is_empty() { Bytes::new() } else { body.slice_ref(part) })
}
