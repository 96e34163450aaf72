//! A server that answers every request at once and keeps nothing: what this machine and the generator can do at most.
//!
//! One thread, one selector, one read and one write per batch. Answers have the length that a real server's have, so the
//! generator takes them for real; it is no ZooKeeper server in any other respect. Sets, creates and deletes are forgotten.

use super::error::Error;
use super::options::EchoArgs;
use super::wire::{self, STAT_LEN, op};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use quoll_jute::Writer;
use std::io::{ErrorKind, Read, Write};

const LISTENER: Token = Token(usize::MAX);
const READ_LEN: usize = 64 << 10;

/// Says where it listens and serves until the process is ended.
pub(super) fn run(args: &EchoArgs) -> Result<(), Error> {
    let listener = TcpListener::bind(args.listen).map_err(Error::io("listening"))?;
    println!("{}", listener.local_addr().map_err(Error::io("listening"))?);
    serve(listener, args)
}

/// Serves for ever.
pub(super) fn serve(mut listener: TcpListener, args: &EchoArgs) -> Result<(), Error> {
    let mut poll = Poll::new().map_err(Error::io("creating a selector"))?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)
        .map_err(Error::io("registering a socket"))?;
    let answers = Answers::new(args);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ_LEN];
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            polled => polled.map_err(Error::io("waiting for sockets"))?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    // As without this option a small answer could wait for the acknowledgement of the last one.
                    let _ = stream.set_nodelay(true);
                    let token = Token(connections.len());
                    poll.registry()
                        .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)
                        .map_err(Error::io("registering a socket"))?;
                    connections.push(Some(Connection::new(stream)));
                }
                continue;
            }
            let slot = &mut connections[event.token().0];
            if let Some(connection) = slot
                && connection.serve(&answers, &mut buffer).is_none()
            {
                *slot = None;
            }
        }
    }
}

/// Bodies by opcode, encoded once.
struct Answers {
    get: Vec<u8>,
    list: Vec<u8>,
    create: Vec<u8>,
    stat: Vec<u8>,
}

impl Answers {
    fn new(args: &EchoArgs) -> Self {
        let with = |body: &dyn Fn(&mut Writer<'_>)| {
            let mut bytes = Vec::new();
            body(&mut Writer::new(&mut bytes));
            bytes
        };
        let stat = vec![0; STAT_LEN];
        Self {
            get: with(&|w| {
                w.buffer(Some(&vec![b'x'; args.value_size]));
                w.raw(&stat);
            }),
            list: with(&|w| {
                let names: Vec<String> = (0..args.children).map(|n| format!("{n:06}")).collect();
                w.vector(Some(&names), |w, name| w.text(Some(name)));
            }),
            create: with(&|w| w.text(Some(&"x".repeat(args.path_len)))),
            stat,
        }
    }

    fn body(&self, op: i32) -> &[u8] {
        match op {
            op::GET_DATA => &self.get,
            op::GET_CHILDREN => &self.list,
            op::CREATE => &self.create,
            op::SET_DATA | op::EXISTS => &self.stat,
            _ => &[],
        }
    }
}

struct Connection {
    stream: TcpStream,
    is_open: bool,
    partial: Vec<u8>,
    out: Vec<u8>,
    written: usize,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, is_open: false, partial: Vec::new(), out: Vec::new(), written: 0 }
    }

    /// Reads, answers, writes. `None` when the connection is over.
    fn serve(&mut self, answers: &Answers, buffer: &mut [u8]) -> Option<()> {
        loop {
            self.write()?;
            // A client that does not take its answers gets no more of them.
            if !self.out.is_empty() {
                return Some(());
            }
            let filled = self.partial.len();
            buffer[..filled].copy_from_slice(&self.partial);
            let read = match self.stream.read(&mut buffer[filled..]) {
                Ok(0) => return None,
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Some(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return None,
            };
            let bytes = &buffer[..filled + read];
            let mut at = 0;
            while let Some(prefix) = bytes[at..].first_chunk::<4>() {
                let len = u32::from_be_bytes(*prefix) as usize;
                if len > buffer.len() - 4 {
                    return None;
                }
                let Some(frame) = bytes.get(at + 4..at + 4 + len) else { break };
                self.answer(frame, answers)?;
                at += 4 + len;
            }
            self.partial.clear();
            self.partial.extend_from_slice(&bytes[at..]);
            if filled + read < buffer.len() {
                return self.write();
            }
        }
    }

    fn answer(&mut self, frame: &[u8], answers: &Answers) -> Option<()> {
        if !self.is_open {
            self.is_open = true;
            wire::frame(&mut self.out, |w| {
                w.int(0);
                w.int(30_000);
                w.long(1);
                w.buffer(Some(&[0; 16]));
                w.bool(false);
            });
            return Some(());
        }
        let head: &[u8; 8] = frame.first_chunk()?;
        let (xid, op) = head.split_at(4);
        let op = i32::from_be_bytes(op.try_into().ok()?);
        let body = answers.body(op);
        let xid = if op == op::PING { wire::XID_PING.to_be_bytes() } else { xid.try_into().ok()? };
        let len = (wire::REPLY_HEADER_LEN + body.len()) as u32;
        let mut header = [0; 4 + wire::REPLY_HEADER_LEN];
        header[..4].copy_from_slice(&len.to_be_bytes());
        header[4..8].copy_from_slice(&xid);
        self.out.extend_from_slice(&header);
        self.out.extend_from_slice(body);
        (op != op::CLOSE_SESSION).then_some(())
    }

    fn write(&mut self) -> Option<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(n) => self.written += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Some(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        self.out.clear();
        self.written = 0;
        Some(())
    }
}
