use super::SessionId;

/// The largest TTL, in ms.
pub const TTL_MS_MAX: i64 = (1 << 40) - 1;

const CONTAINER: i64 = i64::MIN;
const TTL_MARK: i64 = 0xff << 56;

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
    /// `zookeeper.emulate353TTLNodes`: with extended types, any negative owner other than the container mark is a
    /// TTL. Upstream takes its low 40 bits then too, although 3.5.3 wrote up to 60.
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
    /// The meaning of a stored owner.
    ///
    /// A TTL mark with reserved bits set is not a TTL: only session numbers of a server with number 255 look like
    /// that, so it is taken as one. (Upstream fails on it.)
    pub fn from_stored(stored: i64, rules: OwnerRules) -> Self {
        if stored == 0 {
            Self::None
        } else if stored == CONTAINER {
            Self::Container
        } else if rules.extended_types && (Self::looks_like_ttl(stored) || rules.emulate_353 && stored < 0) {
            Self::Ttl(stored & TTL_MS_MAX)
        } else {
            Self::Session(SessionId(stored))
        }
    }

    /// Whether a stored owner has the form of a TTL, whatever the rules say. A server without extended types takes it
    /// for the number of a session, which then is most likely unknown.
    pub fn looks_like_ttl(stored: i64) -> bool {
        stored & !TTL_MS_MAX == TTL_MARK && stored != TTL_MARK
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

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: OwnerRules = OwnerRules { extended_types: false, emulate_353: false };
    const EXTENDED: OwnerRules = OwnerRules { extended_types: true, emulate_353: false };
    const EMULATE: OwnerRules = OwnerRules { extended_types: true, emulate_353: true };

    #[test]
    fn containers_are_known_under_all_rules() {
        for rules in [PLAIN, EXTENDED, EMULATE] {
            assert_eq!(Owner::from_stored(0, rules), Owner::None);
            assert_eq!(Owner::from_stored(i64::MIN, rules), Owner::Container);
            assert_eq!(Owner::from_stored(7, rules), Owner::Session(SessionId(7)));
        }
    }

    #[test]
    fn a_ttl_is_one_only_with_extended_types() {
        let stored = Owner::Ttl(300).to_stored();
        assert_eq!(stored as u64, 0xff00_0000_0000_012c);
        assert_eq!(Owner::from_stored(stored, PLAIN), Owner::Session(SessionId(stored)));
        assert_eq!(Owner::from_stored(stored, EXTENDED), Owner::Ttl(300));
        assert_eq!(Owner::from_stored(stored, EMULATE), Owner::Ttl(300));
        assert_eq!(Owner::from_stored(Owner::Ttl(TTL_MS_MAX).to_stored(), EXTENDED), Owner::Ttl(TTL_MS_MAX));
    }

    #[test]
    fn the_encoding_of_3_5_3_is_known_only_when_asked_for_with_extended_types() {
        let stored = i64::MIN | 10_000;
        let alone = OwnerRules { extended_types: false, emulate_353: true };
        assert_eq!(Owner::from_stored(stored, alone), Owner::Session(SessionId(stored)));
        assert_eq!(Owner::from_stored(stored, EXTENDED), Owner::Session(SessionId(stored)));
        assert_eq!(Owner::from_stored(stored, EMULATE), Owner::Ttl(10_000));
    }

    #[test]
    fn the_ttl_mark_with_reserved_bits_is_a_session_of_server_255() {
        let stored = 0xff12_3400_0000_0001_u64 as i64;
        assert_eq!(Owner::from_stored(stored, EXTENDED), Owner::Session(SessionId(stored)));
    }
}
