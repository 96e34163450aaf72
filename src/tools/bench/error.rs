use std::io;
use std::net::SocketAddr;

/// What can stop a benchmark.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to a server.
    #[error("cannot connect to {server}: {source}; is a server listening there?")]
    Connect {
        /// Address that was tried.
        server: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server did not open a session.
    #[error("{server} opened no session: {reason}")]
    Handshake {
        /// Address of the server.
        server: SocketAddr,
        /// What came instead.
        reason: String,
    },
    /// The server closed a connection during the run.
    #[error(
        "{server} closed the connection of client {client} with {outstanding} requests unanswered: {reason}"
    )]
    Disconnected {
        /// Address of the server.
        server: SocketAddr,
        /// Number of the client, from 0.
        client: usize,
        /// Requests sent and not answered.
        outstanding: usize,
        /// End of stream or the system's error.
        reason: String,
    },
    /// A reply that does not belong to the request it answers.
    #[error("wrong reply to client {client}: {what}")]
    Reply {
        /// Number of the client, from 0.
        client: usize,
        /// Expected and seen.
        what: String,
    },
    /// A znode the workload needs could not be made or removed.
    #[error("setting up {path}: {op} answered error {code}")]
    Setup {
        /// Path of the znode.
        path: String,
        /// Operation that failed.
        op: &'static str,
        /// The server's error code.
        code: i32,
    },
    /// The server stopped answering.
    #[error("{outstanding} requests were still unanswered {seconds} s after the end of the run")]
    Unanswered {
        /// Requests sent and not answered.
        outstanding: u64,
        /// How long the run waited.
        seconds: u64,
    },
    /// The server process could not be observed.
    #[error("cannot read {path}: {source}; --pid must name a running process")]
    Process {
        /// File under /proc.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// An option out of range.
    #[error("{0}")]
    Options(String),
    /// A server that the comparison started did not do as expected.
    #[error("{server}: {reason}")]
    Server {
        /// Which server, and where its output is.
        server: String,
        /// What happened.
        reason: String,
    },
}

impl Error {
    /// For `map_err` on a system call.
    pub(super) fn io(what: &'static str) -> impl Fn(io::Error) -> Error {
        move |source| Error::Io { what, source }
    }
}
