macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])* $variant:ident = $value:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum $name { $($(#[doc = $doc])* $variant = $value,)* }

        impl $name {
            /// Every value.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The number on the wire.
            pub fn code(self) -> i32 {
                self as i32
            }

            /// The value with this number, if there is one.
            pub fn from_code(code: i32) -> Option<Self> {
                match code {
                    $($value => Some($name::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// What went wrong with a request, as the client is told.
    ///
    /// Upstream counterpart: `KeeperException.Code`. Success is the absence of one of these; its number is 0.
    ErrorCode {
        /// In a failed multi: an operation after the one that failed.
        RuntimeInconsistency = -2,
        /// The body could not be decoded, or makes no sense.
        MarshallingError = -5,
        /// The operation is unknown or not available.
        Unimplemented = -6,
        /// A path, flag, TTL or configuration is not acceptable.
        BadArguments = -8,
        /// The session is not known.
        UnknownSession = -12,
        /// The new configuration has no connected quorum.
        NewConfigNoQuorum = -13,
        /// Another reconfiguration is under way.
        ReconfigInProgress = -14,
        /// The znode does not exist.
        NoNode = -101,
        /// The ACL does not allow it.
        NoAuth = -102,
        /// The version is another.
        BadVersion = -103,
        /// Ephemeral znodes have no children.
        NoChildrenForEphemerals = -108,
        /// The znode exists.
        NodeExists = -110,
        /// The znode has children.
        NotEmpty = -111,
        /// The session is over.
        SessionExpired = -112,
        /// The ACL is not acceptable.
        InvalidAcl = -114,
        /// Authentication failed.
        AuthFailed = -115,
        /// The session belongs to another connection. Never sent: the connection is closed instead.
        SessionMoved = -118,
        /// A write on a read-only server.
        NotReadOnly = -119,
        /// An ephemeral znode needs a global session.
        EphemeralOnLocalSession = -120,
        /// No such watch.
        NoWatcher = -121,
        /// Reconfiguration is switched off.
        ReconfigDisabled = -123,
        /// The server wants an authentication first.
        SessionClosedRequireSaslAuth = -124,
        /// A hard quota would be exceeded.
        QuotaExceeded = -125,
        /// The operation waited too long.
        ThrottledOp = -127,
    }
}

codes! {
    /// A request's or transaction's kind.
    ///
    /// Upstream counterpart: `ZooDefs.OpCode`.
    OpCode {
        /// Server to client only.
        Notification = 0,
        /// create
        Create = 1,
        /// delete
        Delete = 2,
        /// exists
        Exists = 3,
        /// getData
        GetData = 4,
        /// setData
        SetData = 5,
        /// getACL
        GetAcl = 6,
        /// setACL
        SetAcl = 7,
        /// getChildren
        GetChildren = 8,
        /// sync
        Sync = 9,
        /// ping
        Ping = 11,
        /// getChildren with Stat
        GetChildren2 = 12,
        /// version check, only inside a multi
        Check = 13,
        /// multi of writes
        Multi = 14,
        /// create with Stat
        Create2 = 15,
        /// reconfig
        Reconfig = 16,
        /// checkWatches
        CheckWatches = 17,
        /// removeWatches
        RemoveWatches = 18,
        /// create a container
        CreateContainer = 19,
        /// the server's own removal of a container or TTL znode
        DeleteContainer = 20,
        /// create a TTL znode
        CreateTtl = 21,
        /// multi of reads
        MultiRead = 22,
        /// auth
        Auth = 100,
        /// setWatches
        SetWatches = 101,
        /// sasl
        Sasl = 102,
        /// getEphemerals
        GetEphemerals = 103,
        /// getAllChildrenNumber
        GetAllChildrenNumber = 104,
        /// setWatches with persistent ones
        SetWatches2 = 105,
        /// addWatch
        AddWatch = 106,
        /// whoAmI
        WhoAmI = 107,
        /// the server's own start of a session
        CreateSession = -10,
        /// end of a session
        CloseSession = -11,
        /// a transaction that only records a failure
        Error = -1,
    }
}

impl ErrorCode {
    /// The number a reply header carries for a result.
    pub fn of<T>(result: &Result<T, ErrorCode>) -> i32 {
        result.as_ref().err().map_or(0, |e| e.code())
    }
}
