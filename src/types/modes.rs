use super::SessionId;

/// The largest TTL, in ms.
pub const TTL_MS_MAX: i64 = (1 << 40) - 1;

const CONTAINER: i64 = i64::MIN;
const TTL_MARK: i64 = 0xff << 56;
const TTL_353_MARK: i64 = i64::MIN;

/// What a create asks for.
///
/// Upstream counterpart: `CreateMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CreateMode {
    Persistent,
    Ephemeral,
    PersistentSequential,
    EphemeralSequential,
    Container,
    Ttl,
    TtlSequential,
}

impl CreateMode {
    /// The mode with this flag number, if there is one.
    pub fn from_flags(flags: i32) -> Option<Self> {
        Some(match flags {
            0 => Self::Persistent,
            1 => Self::Ephemeral,
            2 => Self::PersistentSequential,
            3 => Self::EphemeralSequential,
            4 => Self::Container,
            5 => Self::Ttl,
            6 => Self::TtlSequential,
            _ => return None,
        })
    }

    /// Whether the name gets a number.
    pub fn is_sequential(self) -> bool {
        matches!(self, Self::PersistentSequential | Self::EphemeralSequential | Self::TtlSequential)
    }

    /// Whether the znode goes with the session.
    pub fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// Whether the znode has a TTL.
    pub fn is_ttl(self) -> bool {
        matches!(self, Self::Ttl | Self::TtlSequential)
    }
}

/// Which special owners a server recognises in a stored `ephemeralOwner`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerRules {
    /// `zookeeper.extendedTypesEnabled`: TTL owners are TTL owners.
    pub extended_types: bool,
    /// `zookeeper.emulate353TTLNodes`: any negative owner other than the container mark is a TTL.
    pub emulate_353: bool,
}

/// What a stored `ephemeralOwner` means.
///
/// Upstream counterpart: `server.EphemeralType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// 0: a plain znode.
    None,
    /// A session: the znode is ephemeral.
    Session(SessionId),
    /// The container mark.
    Container,
    /// A TTL in ms.
    Ttl(i64),
}

impl Owner {
    /// The meaning of a stored owner. With the TTL mark but reserved bits set the low 40 bits count.
    pub fn from_stored(stored: i64, rules: OwnerRules) -> Self {
        if stored == 0 {
            Self::None
        } else if stored == CONTAINER {
            Self::Container
        } else if rules.emulate_353 && stored < 0 && stored & TTL_MARK != TTL_MARK {
            Self::Ttl(stored & !TTL_353_MARK)
        } else if rules.extended_types && stored & TTL_MARK == TTL_MARK {
            Self::Ttl(stored & TTL_MS_MAX)
        } else {
            Self::Session(SessionId(stored))
        }
    }

    /// The number stored for it.
    pub fn to_stored(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Session(s) => s.0,
            Self::Container => CONTAINER,
            Self::Ttl(ms) => TTL_MARK | ms,
        }
    }

    /// The number clients see: the session, or 0.
    pub fn to_client(self) -> i64 {
        match self {
            Self::Session(s) => s.0,
            _ => 0,
        }
    }
}
