use quoll_jute::data;
use std::sync::{Arc, LazyLock};

/// Permission bits. Unknown bits are kept as they came.
///
/// Upstream counterpart: `ZooDefs.Perms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Perms(pub i32);

#[allow(missing_docs)]
impl Perms {
    pub const READ: Perms = Perms(1);
    pub const WRITE: Perms = Perms(2);
    pub const CREATE: Perms = Perms(4);
    pub const DELETE: Perms = Perms(8);
    pub const ADMIN: Perms = Perms(16);
    pub const ALL: Perms = Perms(31);

    /// Whether any of `other`'s bits is set.
    pub fn any_of(self, other: Perms) -> bool {
        self.0 & other.0 != 0
    }
}

impl std::ops::BitOr for Perms {
    type Output = Perms;
    fn bitor(self, other: Perms) -> Perms {
        Perms(self.0 | other.0)
    }
}

/// An identity of a caller or in an ACL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Id {
    /// `world`, `auth`, `digest`, `ip`, `x509`, `sasl`, `super`, …
    pub scheme: Box<str>,
    /// What the scheme says.
    pub id: Box<str>,
}

impl Id {
    /// An identity.
    pub fn new(scheme: &str, id: &str) -> Self {
        Self { scheme: scheme.into(), id: id.into() }
    }
}

/// One entry of an access control list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acl {
    /// What is allowed.
    pub perms: Perms,
    /// To whom.
    pub id: Id,
}

/// A list of entries, shared.
pub type AclList = Arc<[Acl]>;

/// `world:anyone:cdrwa`, which files store as index −1.
pub fn open_acl() -> &'static AclList {
    static OPEN: LazyLock<AclList> =
        LazyLock::new(|| Arc::new([Acl { perms: Perms::ALL, id: Id::new("world", "anyone") }]));
    &OPEN
}

impl<'a> From<&data::Acl<'a>> for Acl {
    fn from(a: &data::Acl<'a>) -> Self {
        Self {
            perms: Perms(a.perms),
            id: Id::new(a.id.scheme.as_deref().unwrap_or(""), a.id.id.as_deref().unwrap_or("")),
        }
    }
}

impl<'a> From<&'a Acl> for data::Acl<'a> {
    fn from(a: &'a Acl) -> Self {
        Self {
            perms: a.perms.0,
            id: data::Id { scheme: Some((*a.id.scheme).into()), id: Some((*a.id.id).into()) },
        }
    }
}
