use crate::types::{TxnError, Zxid};
use thiserror::Error;

/// Why the words of a leader are of no use. Nothing more is taken from it; the member has to leave it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum PipelineFault {
    #[error("the leader's proposal {zxid} cannot be read: {source}")]
    Unreadable { zxid: Zxid, source: TxnError },
    #[error("the leader's proposal {zxid} holds a transaction that calls itself {inside}")]
    Misnumbered { zxid: Zxid, inside: Zxid },
    #[error("the leader proposed {zxid} after {last}")]
    OutOfOrder { zxid: Zxid, last: Zxid },
    #[error("the leader committed {zxid}, but {last} is the last that was proposed")]
    NotProposed { zxid: Zxid, last: Zxid },
    #[error("the leader proposed {zxid}, a reconfiguration whose text is none")]
    Config { zxid: Zxid },
}
