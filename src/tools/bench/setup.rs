//! Making and removing the znodes a workload needs.

use super::connection::{self, Connection, Dial};
use super::error::Error;
use super::wire::{self, op};
use quoll_jute::client::{GetChildrenResponse, ReplyHeader};
use quoll_jute::{Reader, Record, Writer};
use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// Requests in flight at most.
const WINDOW: usize = 1000;
/// An answer may take this long before the server counts as gone.
const REPLY_WAIT: std::time::Duration = std::time::Duration::from_secs(120);

/// A blocking client with a pipeline, for what is not measured.
#[derive(Debug)]
pub(super) struct Client {
    connection: Connection,
    stream: io::BufReader<std::net::TcpStream>,
    pending: VecDeque<Pending>,
    /// Paths whose delete was refused because they have children.
    not_empty: Vec<String>,
}

#[derive(Debug)]
struct Pending {
    xid: i32,
    op: &'static str,
    path: String,
    /// Error code that is as good as success.
    accepted: i32,
}

impl Client {
    /// Opens a session.
    pub fn open(dial: &Dial) -> Result<Self, Error> {
        let connection = connection::open(dial, 0..1)?.remove(0);
        Self::from_connection(connection).map_err(Error::io("setting up a connection"))
    }

    fn from_connection(connection: Connection) -> io::Result<Self> {
        // The descriptor is shared: one side writes through the connection's own handle, this one reads.
        use std::os::fd::AsFd;
        let stream = std::net::TcpStream::from(connection.stream.as_fd().try_clone_to_owned()?);
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(REPLY_WAIT))?;
        Ok(Self {
            connection,
            stream: io::BufReader::with_capacity(1 << 16, stream),
            pending: VecDeque::new(),
            not_empty: Vec::new(),
        })
    }

    fn gone(&self) -> impl Fn(io::Error) -> Error + '_ {
        |e| self.connection.disconnected(self.pending.len(), e.to_string())
    }

    fn send(
        &mut self,
        op: (i32, &'static str),
        path: &str,
        accepted: i32,
        body: impl FnOnce(&mut Writer<'_>),
    ) -> Result<(), Error> {
        let xid = self.connection.take_xid();
        wire::request(self.connection.out(), xid, op.0, body);
        self.pending.push_back(Pending { xid, op: op.1, path: path.to_owned(), accepted });
        if self.pending.len() >= WINDOW {
            self.flush()?;
            while self.pending.len() > WINDOW / 2 {
                self.take_reply()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let bytes = std::mem::take(self.connection.out());
        self.stream.get_ref().write_all(&bytes).map_err(self.gone())
    }

    /// Waits for the oldest unanswered request; answers the body, empty after an accepted error.
    fn take_reply(&mut self) -> Result<Vec<u8>, Error> {
        loop {
            let mut prefix = [0; 4];
            self.stream.read_exact(&mut prefix).map_err(self.gone())?;
            let mut frame = vec![0; u32::from_be_bytes(prefix) as usize];
            self.stream.read_exact(&mut frame).map_err(self.gone())?;
            let wrong = |what| Error::Reply { client: 0, what };
            let header = ReplyHeader::read(&mut Reader::new(&frame)).map_err(|e| wrong(e.to_string()))?;
            if header.xid == wire::XID_NOTIFICATION {
                continue;
            }
            let Some(pending) = self.pending.pop_front() else {
                return Err(wrong(format!("xid {} while nothing was asked", header.xid)));
            };
            if header.xid != pending.xid {
                return Err(wrong(format!("expected xid {}, came {}", pending.xid, header.xid)));
            }
            if header.err == wire::NOT_EMPTY && pending.op == "delete" {
                self.not_empty.push(pending.path);
            } else if header.err != 0 && header.err != pending.accepted {
                return Err(Error::Setup { path: pending.path, op: pending.op, code: header.err });
            }
            return Ok(frame.split_off(wire::REPLY_HEADER_LEN.min(frame.len())));
        }
    }

    /// Waits until everything is answered.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.flush()?;
        while !self.pending.is_empty() {
            self.take_reply()?;
        }
        Ok(())
    }

    /// Makes a znode unless it is there.
    pub fn ensure(&mut self, path: &str, data: &[u8]) -> Result<(), Error> {
        self.send((op::CREATE, "create"), path, wire::NODE_EXISTS, wire::create(path, data, false))
    }

    /// Makes a znode and those above it unless they are there.
    pub fn ensure_all(&mut self, path: &str) -> Result<(), Error> {
        for (at, _) in path.match_indices('/').skip(1) {
            self.ensure(&path[..at], b"")?;
        }
        self.ensure(path, b"")
    }

    /// Names of the children; none if the znode is not there.
    fn children(&mut self, path: &str) -> Result<Vec<String>, Error> {
        self.finish()?;
        self.send((op::GET_CHILDREN, "getChildren"), path, wire::NO_NODE, wire::read(path, false))?;
        self.flush()?;
        let body = self.take_reply()?;
        if body.is_empty() {
            return Ok(Vec::new());
        }
        let limits = quoll_jute::Limits { length_max: body.len() };
        let response = GetChildrenResponse::read(&mut Reader::with_limits(&body, limits))
            .map_err(|e| Error::Reply { client: 0, what: e.to_string() })?;
        Ok(response
            .children
            .unwrap_or_default()
            .into_iter()
            .flatten()
            .map(|name| name.into_owned())
            .collect())
    }

    /// Removes a znode and all below it, if it is there.
    pub fn remove_all(&mut self, path: &str) -> Result<(), Error> {
        // Most children are leaves: try to delete them all, then descend into those that answered NOTEMPTY.
        for name in self.children(path)? {
            self.delete(&format!("{path}/{name}"))?;
        }
        self.finish()?;
        for child in std::mem::take(&mut self.not_empty) {
            self.remove_all(&child)?;
        }
        self.delete(path)?;
        self.finish()
    }

    fn delete(&mut self, path: &str) -> Result<(), Error> {
        self.send((op::DELETE, "delete"), path, wire::NO_NODE, wire::delete(path))
    }

    /// Ends the session.
    pub fn close(self) {
        connection::close(vec![self.connection]);
    }
}
