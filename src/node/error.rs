use super::Exit;
use crate::{config::dynamic::ConfigFileError, peer::PeerError, storage::StorageError};
use std::io;
use thiserror::Error;

/// Why a server does not start.
#[derive(Debug, Error)]
pub enum NodeError {
    /// Nothing to listen on.
    #[error("there is no port for clients: set clientPort in the configuration")]
    NoClientPort,
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}{}", advice(source))]
    Listen {
        /// As configured.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A port for peers cannot be had.
    #[error(transparent)]
    Peers(PeerError),
    /// The member list does not name this server.
    #[error(
        "this server's myid is {me}, but no server.{me} line tells its addresses: add the line, or correct myid"
    )]
    NotAMember {
        /// `myid`.
        me: i64,
    },
    /// A file of the configuration cannot be written.
    #[error(transparent)]
    Config(#[from] ConfigFileError),
    /// The data cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A thread or what it runs on cannot be made.
    #[error("a thread cannot be started: {0}")]
    Thread(#[source] io::Error),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ". Another server uses the port: stop it, or set another clientPort",
        io::ErrorKind::PermissionDenied => ". Ports below 1024 need a privilege: set another clientPort",
        io::ErrorKind::AddrNotAvailable => {
            ". This machine does not have that address: check clientPortAddress"
        }
        _ => "",
    }
}

impl NodeError {
    /// The number that the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            NodeError::NoClientPort | NodeError::NotAMember { .. } => Exit::Invocation,
            NodeError::Peers(_) => Exit::Bind,
            NodeError::Storage(_) => Exit::DataDir,
            NodeError::Config(_) | NodeError::Listen { .. } | NodeError::Thread(_) => Exit::Unexpected,
        }
    }
}
