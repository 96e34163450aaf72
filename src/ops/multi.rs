use super::prepare::{Outcome, PrepareCx, Prepared};
use super::{check, create, delete, set_data};
use crate::types::{CreateMode, ErrorCode, OpCode, SubTxn, TxnBody};
use bytes::Bytes;
use quoll_jute::client::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, GetChildrenRequest, GetDataRequest,
    MultiHeader, SetDataRequest,
};
use quoll_jute::{Limits, Reader, Record, Text};

/// One operation of a multi or multiRead.
pub(super) enum SubRequest<'a> {
    Create(create::Request<'a>),
    Delete(DeleteRequest<'a>),
    SetData(SetDataRequest<'a>),
    Check(CheckVersionRequest<'a>),
    GetData(Option<Text<'a>>),
    GetChildren(Option<Text<'a>>),
}

/// Why a multi cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// In most ways: the failure takes a zxid.
    Plain,
    /// By an access control list that is null: upstream stumbles before it takes a zxid.
    NullAcl,
}

impl From<quoll_jute::Error> for Malformed {
    fn from(_: quoll_jute::Error) -> Self {
        Malformed::Plain
    }
}

/// Reads all operations. Writes and reads must not be mixed.
///
/// Upstream counterpart: `MultiOperationRecord.deserialize`.
pub(super) fn decode(body: &[u8], limits: Limits) -> Result<Vec<SubRequest<'_>>, Malformed> {
    let r = &mut Reader::with_limits(body, limits);
    let mut subs: Vec<SubRequest<'_>> = Vec::new();
    loop {
        let header = MultiHeader::read(r)?;
        if header.done {
            return Ok(subs);
        }
        let sub = match OpCode::from_code(header.type_).ok_or(Malformed::Plain)? {
            kind @ (OpCode::Create | OpCode::Create2 | OpCode::CreateContainer) => {
                create_of(kind, CreateRequest::read(r)?)?
            }
            OpCode::CreateTtl => create_with_ttl(CreateTtlRequest::read(r)?),
            OpCode::Delete => SubRequest::Delete(DeleteRequest::read(r)?),
            OpCode::SetData => SubRequest::SetData(SetDataRequest::read(r)?),
            OpCode::Check => SubRequest::Check(CheckVersionRequest::read(r)?),
            OpCode::GetData => SubRequest::GetData(GetDataRequest::read(r)?.path),
            OpCode::GetChildren => SubRequest::GetChildren(GetChildrenRequest::read(r)?.path),
            _ => return Err(Malformed::Plain),
        };
        if subs.first().is_some_and(|first| first.is_read() != sub.is_read()) {
            return Err(Malformed::Plain);
        }
        subs.push(sub);
    }
}

/// A create in a multi. Unlike a single one, a container flag makes it a container.
fn create_of<'a>(kind: OpCode, request: CreateRequest<'a>) -> Result<SubRequest<'a>, Malformed> {
    let mode = CreateMode::from_flags(request.flags).ok_or(Malformed::Plain)?;
    if request.acl.is_none() {
        return Err(Malformed::NullAcl);
    }
    if !create::ttl_fits(mode, -1) {
        return Err(Malformed::Plain);
    }
    let kind = if mode == CreateMode::Container { OpCode::CreateContainer } else { kind };
    Ok(SubRequest::Create(create::Request::new(kind, request)))
}

/// A createTTL in a multi. Without a TTL mode it is a plain create whose TTL does not matter.
fn create_with_ttl(request: CreateTtlRequest<'_>) -> SubRequest<'_> {
    let request = create::Request::with_ttl(request);
    let kind = match CreateMode::from_flags(request.flags) {
        Some(mode) if mode.is_ttl() => return SubRequest::Create(request),
        Some(CreateMode::Container) => OpCode::CreateContainer,
        _ => OpCode::Create,
    };
    SubRequest::Create(create::Request { kind, ttl_ms: -1, ..request })
}

impl SubRequest<'_> {
    pub fn is_read(&self) -> bool {
        matches!(self, SubRequest::GetData(_) | SubRequest::GetChildren(_))
    }

    pub fn is_ephemeral_create(&self) -> bool {
        matches!(self, SubRequest::Create(request) if request.is_ephemeral())
    }

    fn has_path(&self) -> bool {
        match self {
            SubRequest::Create(r) => r.path.is_some(),
            SubRequest::Delete(r) => r.path.is_some(),
            SubRequest::SetData(r) => r.path.is_some(),
            SubRequest::Check(r) => r.path.is_some(),
            SubRequest::GetData(path) | SubRequest::GetChildren(path) => path.is_some(),
        }
    }

    fn prepare(self, cx: &mut PrepareCx<'_>, body: &Bytes) -> Outcome {
        match self {
            SubRequest::Create(r) => create::prepare(cx, r, body),
            SubRequest::Delete(r) => delete::prepare(cx, &r),
            SubRequest::SetData(r) => set_data::prepare(cx, &r, body),
            SubRequest::Check(r) => check::prepare(cx, &r),
            SubRequest::GetData(_) | SubRequest::GetChildren(_) => Err(ErrorCode::MarshallingError.into()),
        }
    }
}

/// multi: all or nothing, in one txn. Each operation sees those before it.
///
/// When one fails, the txn keeps those before it as they were; the failing one and those after it become error
/// operations, and a txn with an error operation changes nothing.
pub(super) fn prepare(cx: &mut PrepareCx<'_>, body: &Bytes) -> Prepared {
    let subs = match decode(body, cx.config.limits) {
        Ok(subs) if subs.iter().all(SubRequest::has_path) => subs,
        Ok(_) | Err(Malformed::Plain) => return Prepared::failed(ErrorCode::MarshallingError, true),
        Err(Malformed::NullAcl) => return Prepared::failed(ErrorCode::MarshallingError, false),
    };
    // Operations ask for the session themselves; without any, a late request of a session that has moved would pass
    // behind newer ones.
    if subs.is_empty()
        && let Err(error) = cx.sessions.check(cx.session)
    {
        return Prepared::failed(error, true);
    }
    let mut txns = Vec::with_capacity(subs.len());
    let mut failed = None;
    let mut note = None;
    cx.outstanding.begin_multi(cx.tree);
    for sub in subs {
        if failed.is_some() {
            txns.push(SubTxn::error(ErrorCode::RuntimeInconsistency));
            continue;
        }
        match sub.prepare(cx, body) {
            Ok((txn, n)) => {
                txns.push(txn);
                note = note.or(n);
            }
            Err(refused) => {
                cx.outstanding.roll_back_multi(cx.zxid);
                if refused.error == ErrorCode::MarshallingError {
                    return Prepared::failed(ErrorCode::MarshallingError, true);
                }
                txns.push(SubTxn::error(refused.error));
                failed = Some(refused.error);
                note = refused.note.or(note);
            }
        }
    }
    cx.outstanding.end_multi();
    let prepared = Prepared::ok(cx, TxnBody::Multi(txns), note);
    Prepared { error: failed.filter(|e| *e == ErrorCode::SessionMoved), ..prepared }
}
