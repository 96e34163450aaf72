use super::{Acl, AclList, ErrorCode, OpCode, SessionId, Zxid};
use bytes::Bytes;
use quoll_jute::{Limits, Reader, Record, Writer, data, txn as rec};
use thiserror::Error;

/// A transaction: header, body and the tree digest expected after it.
///
/// Upstream counterpart: `server.Request` with `TxnHeader`, `Record` and `TxnDigest`, and the layout of
/// `server.util.SerializeUtils`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    /// Session that asked for it; 0 for the server's own.
    pub session: SessionId,
    /// The client's number of the request.
    pub cxid: i32,
    /// Number of the transaction.
    pub zxid: Zxid,
    /// Wall clock of the leader, ms since 1970.
    pub time_ms: i64,
    /// What changes.
    pub body: TxnBody,
    /// Digest of the whole tree after the transaction: version and value.
    pub digest: Option<(i32, i64)>,
}

/// What a transaction changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnBody {
    /// A session begins, with its timeout in ms.
    CreateSession {
        /// ms
        timeout_ms: i32,
    },
    /// A session ends. The paths of its ephemerals, unless the writer left them out.
    CloseSession {
        /// `None` in files of old or so configured writers.
        paths: Option<Vec<String>>,
    },
    /// A multi: all or nothing. An operation may be one that only records an error.
    Multi(Vec<SubTxn>),
    /// One operation.
    One(SubTxn),
}

/// One operation, alone or in a multi.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SubTxn {
    /// Types 1 and 15 (`with_stat`). `parent_cversion` is the parent's stored cversion afterwards, −1 for "one more".
    Create {
        with_stat: bool,
        path: String,
        data: Option<Bytes>,
        acl: AclList,
        ephemeral: bool,
        parent_cversion: i32,
    },
    CreateTtl {
        path: String,
        data: Option<Bytes>,
        acl: AclList,
        parent_cversion: i32,
        ttl_ms: i64,
    },
    CreateContainer {
        path: String,
        data: Option<Bytes>,
        acl: AclList,
        parent_cversion: i32,
    },
    /// Types 2 and 20 (`container`: the server's own removal).
    Delete {
        container: bool,
        path: String,
    },
    /// Type 5. `version` is the one afterwards.
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    /// Type 16: the configuration znode's data.
    Reconfig {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    /// `version` is the ACL version afterwards.
    SetAcl {
        path: String,
        acl: AclList,
        version: i32,
    },
    /// Only inside a multi; changes nothing.
    Check {
        path: String,
        version: i32,
    },
    /// Changes nothing. The number is kept as it came: readers meet numbers this server does not know.
    Error {
        code: i32,
    },
}

/// What a reader or writer of transactions has to know about the writer's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnFormat {
    /// `closeSessionTxn.enabled`: whether closeSession carries its paths when written.
    pub close_session_paths: bool,
    /// Bounds on lengths.
    pub limits: Limits,
}

impl Default for TxnFormat {
    fn default() -> Self {
        Self { close_session_paths: true, limits: Limits::DEFAULT }
    }
}

/// Why bytes are not a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TxnError {
    /// A field could not be read.
    #[error(transparent)]
    Jute(#[from] quoll_jute::Error),
    /// The type is none that a log can hold.
    #[error("transaction type {0} is unknown")]
    UnknownType(i32),
}

impl SubTxn {
    /// The type number.
    pub fn op(&self) -> OpCode {
        match self {
            SubTxn::Create { with_stat: false, .. } => OpCode::Create,
            SubTxn::Create { with_stat: true, .. } => OpCode::Create2,
            SubTxn::CreateTtl { .. } => OpCode::CreateTtl,
            SubTxn::CreateContainer { .. } => OpCode::CreateContainer,
            SubTxn::Delete { container: false, .. } => OpCode::Delete,
            SubTxn::Delete { container: true, .. } => OpCode::DeleteContainer,
            SubTxn::SetData { .. } => OpCode::SetData,
            SubTxn::Reconfig { .. } => OpCode::Reconfig,
            SubTxn::SetAcl { .. } => OpCode::SetAcl,
            SubTxn::Check { .. } => OpCode::Check,
            SubTxn::Error { .. } => OpCode::Error,
        }
    }

    /// A failure to be recorded.
    pub fn error(code: ErrorCode) -> Self {
        SubTxn::Error { code: code.code() }
    }

    fn write(&self, w: &mut Writer<'_>) {
        fn acls(w: &mut Writer<'_>, acl: &AclList) {
            w.vector(Some(acl), |w, a: &Acl| data::Acl::from(a).write(w));
        }
        match self {
            SubTxn::Create { path, data, acl, ephemeral, parent_cversion, .. } => {
                w.text(Some(path));
                w.buffer(data.as_deref());
                acls(w, acl);
                w.bool(*ephemeral);
                w.int(*parent_cversion);
            }
            SubTxn::CreateTtl { path, data, acl, parent_cversion, ttl_ms } => {
                w.text(Some(path));
                w.buffer(data.as_deref());
                acls(w, acl);
                w.int(*parent_cversion);
                w.long(*ttl_ms);
            }
            SubTxn::CreateContainer { path, data, acl, parent_cversion } => {
                w.text(Some(path));
                w.buffer(data.as_deref());
                acls(w, acl);
                w.int(*parent_cversion);
            }
            SubTxn::Delete { path, .. } => w.text(Some(path)),
            SubTxn::SetData { path, data, version } | SubTxn::Reconfig { path, data, version } => {
                w.text(Some(path));
                w.buffer(data.as_deref());
                w.int(*version);
            }
            SubTxn::SetAcl { path, acl, version } => {
                w.text(Some(path));
                acls(w, acl);
                w.int(*version);
            }
            SubTxn::Check { path, version } => {
                w.text(Some(path));
                w.int(*version);
            }
            SubTxn::Error { code } => w.int(*code),
        }
    }

    /// Reads a body of this type. `whole` says that nothing but a digest may follow, which is how a create of the
    /// first format is told from today's.
    fn read(op: OpCode, r: &mut Reader<'_>) -> Result<Self, TxnError> {
        fn acls(v: Option<Vec<data::Acl<'_>>>) -> AclList {
            v.unwrap_or_default().iter().map(Acl::from).collect()
        }
        fn text(v: Option<quoll_jute::Text<'_>>) -> String {
            v.unwrap_or_default().into_owned()
        }
        fn bytes(v: Option<&[u8]>) -> Option<Bytes> {
            v.map(Bytes::copy_from_slice)
        }
        Ok(match op {
            OpCode::Create | OpCode::Create2 => {
                let start = r.clone();
                let (t, parent_cversion) = match rec::CreateTxn::read(r) {
                    Ok(t) => {
                        let version = t.parent_c_version;
                        let rec::CreateTxn { path, data, acl, ephemeral, .. } = t;
                        (rec::CreateTxnV0 { path, data, acl, ephemeral }, version)
                    }
                    Err(quoll_jute::Error::Eof { .. }) if op == OpCode::Create => {
                        *r = start;
                        (rec::CreateTxnV0::read(r)?, -1)
                    }
                    Err(e) => return Err(e.into()),
                };
                SubTxn::Create {
                    with_stat: op == OpCode::Create2,
                    path: text(t.path),
                    data: bytes(t.data),
                    acl: acls(t.acl),
                    ephemeral: t.ephemeral,
                    parent_cversion,
                }
            }
            OpCode::CreateTtl => {
                let t = rec::CreateTtlTxn::read(r)?;
                SubTxn::CreateTtl {
                    path: text(t.path),
                    data: bytes(t.data),
                    acl: acls(t.acl),
                    parent_cversion: t.parent_c_version,
                    ttl_ms: t.ttl,
                }
            }
            OpCode::CreateContainer => {
                let t = rec::CreateContainerTxn::read(r)?;
                SubTxn::CreateContainer {
                    path: text(t.path),
                    data: bytes(t.data),
                    acl: acls(t.acl),
                    parent_cversion: t.parent_c_version,
                }
            }
            OpCode::Delete | OpCode::DeleteContainer => SubTxn::Delete {
                container: op == OpCode::DeleteContainer,
                path: text(rec::DeleteTxn::read(r)?.path),
            },
            OpCode::SetData => {
                let t = rec::SetDataTxn::read(r)?;
                SubTxn::SetData { path: text(t.path), data: bytes(t.data), version: t.version }
            }
            OpCode::Reconfig => {
                let t = rec::SetDataTxn::read(r)?;
                SubTxn::Reconfig { path: text(t.path), data: bytes(t.data), version: t.version }
            }
            OpCode::SetAcl => {
                let t = rec::SetAclTxn::read(r)?;
                SubTxn::SetAcl { path: text(t.path), acl: acls(t.acl), version: t.version }
            }
            OpCode::Check => {
                let t = rec::CheckVersionTxn::read(r)?;
                SubTxn::Check { path: text(t.path), version: t.version }
            }
            OpCode::Error => SubTxn::Error { code: rec::ErrorTxn::read(r)?.err },
            other => return Err(TxnError::UnknownType(other.code())),
        })
    }
}

impl Txn {
    /// The type number of the header.
    pub fn op(&self) -> OpCode {
        match &self.body {
            TxnBody::CreateSession { .. } => OpCode::CreateSession,
            TxnBody::CloseSession { .. } => OpCode::CloseSession,
            TxnBody::Multi(_) => OpCode::Multi,
            TxnBody::One(sub) => sub.op(),
        }
    }

    /// Appends header, body and digest: the entry of a log record and the data of a PROPOSAL.
    pub fn write(&self, format: TxnFormat, out: &mut Vec<u8>) {
        let w = &mut Writer::new(out);
        rec::TxnHeader {
            client_id: self.session.0,
            cxid: self.cxid,
            zxid: self.zxid.0,
            time: self.time_ms,
            type_: self.op().code(),
        }
        .write(w);
        match &self.body {
            TxnBody::CreateSession { timeout_ms } => w.int(*timeout_ms),
            TxnBody::CloseSession { paths } => {
                if format.close_session_paths
                    && let Some(paths) = paths
                {
                    w.vector(Some(paths), |w, p: &String| w.text(Some(p)));
                }
            }
            TxnBody::Multi(subs) => {
                let mut body = Vec::new();
                w.vector(Some(subs), |w, s: &SubTxn| {
                    body.clear();
                    s.write(&mut Writer::new(&mut body));
                    w.int(s.op().code());
                    w.buffer(Some(&body));
                });
            }
            TxnBody::One(sub) => sub.write(w),
        }
        if let Some((version, value)) = self.digest {
            w.int(version);
            w.long(value);
        }
    }

    /// Whether an entry is the record of a failed request, by its header alone.
    pub fn is_error(entry: &[u8]) -> bool {
        rec::TxnHeader::read(&mut Reader::new(entry))
            .is_ok_and(|h| OpCode::from_code(h.type_) == Some(OpCode::Error))
    }

    /// Reads an entry.
    ///
    /// An error operation in a multi is told by its type alone: members are known to send such operations with the
    /// body they had before they failed. A closeSession body that does not parse as paths is taken as absent, with
    /// or without a digest after it.
    ///
    /// # Errors
    /// When the header or body cannot be read. A digest that cannot be read is taken as absent.
    pub fn read(entry: &[u8], format: TxnFormat) -> Result<Self, TxnError> {
        let r = &mut Reader::with_limits(entry, format.limits);
        let header = rec::TxnHeader::read(r)?;
        let op = OpCode::from_code(header.type_).ok_or(TxnError::UnknownType(header.type_))?;
        let body = match op {
            OpCode::CreateSession => TxnBody::CreateSession { timeout_ms: r.int()? },
            OpCode::CloseSession => TxnBody::CloseSession { paths: close_session_paths(r) },
            OpCode::Multi => {
                let subs = rec::MultiTxn::read(r)?.txns.unwrap_or_default();
                TxnBody::Multi(subs.iter().map(|t| sub_of_multi(t, format.limits)).collect::<Result<_, _>>()?)
            }
            op => TxnBody::One(SubTxn::read(op, r)?),
        };
        let digest = rec::TxnDigest::read(r).ok().map(|d| (d.version, d.tree_digest));
        Ok(Self {
            session: SessionId(header.client_id),
            cxid: header.cxid,
            zxid: Zxid(header.zxid),
            time_ms: header.time,
            body,
            digest,
        })
    }
}

fn sub_of_multi(t: &rec::Txn<'_>, limits: Limits) -> Result<SubTxn, TxnError> {
    let op = OpCode::from_code(t.type_).ok_or(TxnError::UnknownType(t.type_))?;
    let body = t.data.unwrap_or_default();
    match op {
        OpCode::Error => {
            let code = match <[u8; 4]>::try_from(body) {
                Ok(code) => i32::from_be_bytes(code),
                Err(_) => 0,
            };
            Ok(SubTxn::Error { code })
        }
        op => SubTxn::read(op, &mut Reader::with_limits(body, limits)),
    }
}

/// The paths of a closeSession, if the rest of the entry is a vector of paths with nothing or a digest behind it.
fn close_session_paths(r: &mut Reader<'_>) -> Option<Vec<String>> {
    const DIGEST_LEN: usize = 12;
    let start = r.clone();
    if let Ok(Some(paths)) = r.vector(|r| Ok(r.text()?.unwrap_or_default().into_owned()))
        && (r.is_empty() || r.remaining().len() == DIGEST_LEN)
    {
        return Some(paths);
    }
    *r = start;
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(body: TxnBody, digest: Option<(i32, i64)>) {
        let txn =
            Txn { session: SessionId(7), cxid: 3, zxid: Zxid(0x1_0000_0002), time_ms: 99, body, digest };
        let mut bytes = Vec::new();
        txn.write(TxnFormat::default(), &mut bytes);
        assert_eq!(Txn::read(&bytes, TxnFormat::default()).unwrap(), txn);
    }

    #[test]
    fn every_kind_of_transaction_reads_back_as_written() {
        let acl = super::super::open_acl().clone();
        let data = Some(Bytes::from_static(b"x"));
        let subs = vec![
            SubTxn::Create {
                with_stat: false,
                path: "/a".into(),
                data: data.clone(),
                acl: acl.clone(),
                ephemeral: true,
                parent_cversion: 3,
            },
            SubTxn::Create {
                with_stat: true,
                path: "/a".into(),
                data: None,
                acl: acl.clone(),
                ephemeral: false,
                parent_cversion: 3,
            },
            SubTxn::CreateTtl {
                path: "/t".into(),
                data: data.clone(),
                acl: acl.clone(),
                parent_cversion: 1,
                ttl_ms: 5,
            },
            SubTxn::CreateContainer {
                path: "/c".into(),
                data: data.clone(),
                acl: acl.clone(),
                parent_cversion: 1,
            },
            SubTxn::Delete { container: false, path: "/a".into() },
            SubTxn::Delete { container: true, path: "/a".into() },
            SubTxn::SetData { path: "/a".into(), data: Some(Bytes::new()), version: 4 },
            SubTxn::Reconfig { path: "/zookeeper/config".into(), data, version: -1 },
            SubTxn::SetAcl { path: "/a".into(), acl, version: 1 },
            SubTxn::Check { path: "/a".into(), version: 1 },
            SubTxn::error(ErrorCode::NoNode),
        ];
        for digest in [None, Some((2, 0x51c6_d660))] {
            round_trip(TxnBody::CreateSession { timeout_ms: 10_000 }, digest);
            round_trip(TxnBody::CloseSession { paths: None }, digest);
            round_trip(TxnBody::CloseSession { paths: Some(vec!["/a".into(), "/b".into()]) }, digest);
            round_trip(TxnBody::Multi(subs.clone()), digest);
            round_trip(TxnBody::Multi(vec![]), digest);
            for sub in &subs {
                round_trip(TxnBody::One(sub.clone()), digest);
            }
        }
    }

    #[test]
    fn the_recorded_create_session_entry_is_written_byte_for_byte() {
        let txn = Txn {
            session: SessionId(0x200_0000_0000_0001),
            cxid: 0,
            zxid: Zxid(0x1_0000_0001),
            time_ms: 1,
            body: TxnBody::CreateSession { timeout_ms: 10_000 },
            digest: Some((2, 0x51c6_d660)),
        };
        let mut bytes = Vec::new();
        txn.write(TxnFormat::default(), &mut bytes);
        assert_eq!(bytes.len(), 0x30);
        assert_eq!(&bytes[32..], b"\x00\x00\x27\x10\x00\x00\x00\x02\x00\x00\x00\x00\x51\xc6\xd6\x60");
    }

    #[test]
    fn a_close_session_without_its_paths_is_nothing_but_header_and_digest() {
        let body = TxnBody::CloseSession { paths: Some(vec!["/a".into()]) };
        let txn =
            Txn { session: SessionId(7), cxid: 3, zxid: Zxid(9), time_ms: 99, body, digest: Some((2, 5)) };
        let mut bytes = Vec::new();
        txn.write(TxnFormat { close_session_paths: false, ..TxnFormat::default() }, &mut bytes);
        assert_eq!(bytes.len(), 32 + 12);
        let read = Txn::read(&bytes, TxnFormat::default()).unwrap();
        assert_eq!(read, Txn { body: TxnBody::CloseSession { paths: None }, ..txn });
    }

    #[test]
    fn a_create_of_the_first_format_means_one_more_child_change() {
        let mut bytes = Vec::new();
        let w = &mut Writer::new(&mut bytes);
        rec::TxnHeader { type_: 1, zxid: 1, ..Default::default() }.write(w);
        rec::CreateTxnV0 { path: Some("/a".into()), data: None, acl: Some(vec![]), ephemeral: false }
            .write(w);
        let txn = Txn::read(&bytes, TxnFormat::default()).unwrap();
        assert!(matches!(txn.body, TxnBody::One(SubTxn::Create { parent_cversion: -1, .. })));
    }
}
