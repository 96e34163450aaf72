//! A small blocking client that speaks the protocol by itself.
//!
//! It shares no code with the server (not even the jute crate), so that a mistake there cannot hide
//! itself here, and it shows what stock clients hide: every header, the whole [`Stat`], null data.
//! Used by the ping-pong, the golden directories, the soak and the wire replay.
//!
//! Start reading at [`Client`]. Encoding: [`Enc`] and [`Dec`].

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Operation codes, named as upstream's `ZooDefs.OpCode`.
#[allow(missing_docs)]
pub mod op {
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const DELETE_CONTAINER: i32 = 20;
    pub const CREATE_TTL: i32 = 21;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const CREATE_SESSION: i32 = -10;
    pub const CLOSE_SESSION: i32 = -11;
}

/// Error codes the tests name, as upstream's `KeeperException.Code`.
#[allow(missing_docs)]
pub mod code {
    pub const OK: i32 = 0;
    pub const RUNTIME_INCONSISTENCY: i32 = -2;
    pub const UNIMPLEMENTED: i32 = -6;
    pub const BAD_ARGUMENTS: i32 = -8;
    pub const NO_NODE: i32 = -101;
    pub const NO_AUTH: i32 = -102;
    pub const BAD_VERSION: i32 = -103;
    pub const NO_CHILDREN_FOR_EPHEMERALS: i32 = -108;
    pub const NODE_EXISTS: i32 = -110;
    pub const NOT_EMPTY: i32 = -111;
    pub const SESSION_EXPIRED: i32 = -112;
    pub const INVALID_ACL: i32 = -114;
    pub const AUTH_FAILED: i32 = -115;
    pub const SESSION_MOVED: i32 = -118;
}

/// Create flags, as upstream's `CreateMode`.
#[allow(missing_docs)]
pub mod flag {
    pub const PERSISTENT: i32 = 0;
    pub const EPHEMERAL: i32 = 1;
    pub const PERSISTENT_SEQUENTIAL: i32 = 2;
    pub const EPHEMERAL_SEQUENTIAL: i32 = 3;
    pub const CONTAINER: i32 = 4;
    pub const TTL: i32 = 5;
    pub const TTL_SEQUENTIAL: i32 = 6;
}

/// Writes jute into a growing buffer.
#[derive(Default, Clone)]
pub struct Enc(pub Vec<u8>);

impl Enc {
    /// An empty body.
    pub fn new() -> Self {
        Self::default()
    }
    /// Appends a 4-byte integer.
    pub fn int(mut self, v: i32) -> Self {
        self.0.extend_from_slice(&v.to_be_bytes());
        self
    }
    /// Appends an 8-byte integer.
    pub fn long(mut self, v: i64) -> Self {
        self.0.extend_from_slice(&v.to_be_bytes());
        self
    }
    /// Appends a boolean byte.
    pub fn bool(mut self, v: bool) -> Self {
        self.0.push(u8::from(v));
        self
    }
    /// Appends a buffer; `None` is null.
    pub fn buf(mut self, v: Option<&[u8]>) -> Self {
        match v {
            None => self.int(-1),
            Some(v) => {
                self = self.int(v.len() as i32);
                self.0.extend_from_slice(v);
                self
            }
        }
    }
    /// Appends a string.
    pub fn str(self, v: &str) -> Self {
        self.buf(Some(v.as_bytes()))
    }
    /// Appends an ACL list.
    pub fn acls(mut self, acls: &[Acl]) -> Self {
        self = self.int(acls.len() as i32);
        for a in acls {
            self = self.int(a.perms).str(&a.scheme).str(&a.id);
        }
        self
    }
    /// Appends bytes as they are.
    pub fn raw(mut self, v: &[u8]) -> Self {
        self.0.extend_from_slice(v);
        self
    }
}

/// Reads jute from a slice; a short input is an `InvalidData` error.
pub struct Dec<'a>(pub &'a [u8]);

impl<'a> Dec<'a> {
    fn take(&mut self, n: usize) -> io::Result<&'a [u8]> {
        if self.0.len() < n {
            return Err(bad(format!("{n} bytes wanted, {} left", self.0.len())));
        }
        let (head, tail) = self.0.split_at(n);
        self.0 = tail;
        Ok(head)
    }
    /// Reads a 4-byte integer.
    pub fn int(&mut self) -> io::Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into().unwrap()))
    }
    /// Reads an 8-byte integer.
    pub fn long(&mut self) -> io::Result<i64> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into().unwrap()))
    }
    /// Reads a boolean byte.
    pub fn bool(&mut self) -> io::Result<bool> {
        Ok(self.take(1)?[0] != 0)
    }
    /// Reads a buffer; null is `None`.
    pub fn buf(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.int()? {
            -1 => Ok(None),
            n if n < 0 => Err(bad(format!("buffer length {n}"))),
            n => Ok(Some(self.take(n as usize)?.to_vec())),
        }
    }
    /// Reads a string; null reads as the empty string.
    pub fn str(&mut self) -> io::Result<String> {
        let bytes = self.buf()?.unwrap_or_default();
        String::from_utf8(bytes).map_err(|e| bad(e.to_string()))
    }
    /// Reads a list of strings.
    pub fn strings(&mut self) -> io::Result<Vec<String>> {
        (0..self.int()?.max(0)).map(|_| self.str()).collect()
    }
    /// Reads an ACL list.
    pub fn acls(&mut self) -> io::Result<Vec<Acl>> {
        (0..self.int()?.max(0))
            .map(|_| Ok(Acl { perms: self.int()?, scheme: self.str()?, id: self.str()? }))
            .collect()
    }
    /// Reads a Stat.
    pub fn stat(&mut self) -> io::Result<Stat> {
        Ok(Stat {
            czxid: self.long()?,
            mzxid: self.long()?,
            ctime: self.long()?,
            mtime: self.long()?,
            version: self.int()?,
            cversion: self.int()?,
            aversion: self.int()?,
            ephemeral_owner: self.long()?,
            data_length: self.int()?,
            num_children: self.int()?,
            pzxid: self.long()?,
        })
    }
}

fn bad(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// One entry of an access control list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// Permission bits: READ 1, WRITE 2, CREATE 4, DELETE 8, ADMIN 16.
    pub perms: i32,
    /// `world`, `digest`, `ip`, `auth` …
    pub scheme: String,
    /// What the scheme makes of it.
    pub id: String,
}

impl Acl {
    /// An entry from its parts.
    pub fn new(perms: i32, scheme: &str, id: &str) -> Self {
        Self { perms, scheme: scheme.into(), id: id.into() }
    }
    /// `world:anyone` with all permissions.
    pub fn open() -> Vec<Self> {
        vec![Self::new(31, "world", "anyone")]
    }
}

/// A znode's status as the server sends it (upstream `Stat`, 68 bytes). Times are ms since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stat {
    pub czxid: i64,
    pub mzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub ephemeral_owner: i64,
    pub data_length: i32,
    pub num_children: i32,
    pub pzxid: i64,
}

/// A watch notification.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Event {
    pub zxid: i64,
    pub kind: i32,
    pub state: i32,
    pub path: String,
}

/// The reply to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request's xid as the server echoed it.
    pub xid: i32,
    /// The server's last zxid when it answered.
    pub zxid: i64,
    /// 0 or an error code.
    pub err: i32,
    /// What follows the header.
    pub body: Vec<u8>,
}

/// What a call came to: the value, or the server's error code in the inner result.
pub type Answer<T> = io::Result<Result<T, i32>>;

/// One connection with its session.
pub struct Client {
    stream: TcpStream,
    xid: i32,
    /// The session id; 0 when the server refused to re-attach it.
    pub session_id: i64,
    /// The 16 bytes that re-attach the session.
    pub passwd: Vec<u8>,
    /// The negotiated session timeout in ms.
    pub timeout_ms: i32,
    /// The highest zxid seen in replies.
    pub last_zxid: i64,
    /// Notifications not yet taken.
    pub events: VecDeque<Event>,
}

impl Client {
    /// Opens a new session. `timeout_ms` is the session timeout asked for.
    pub fn connect(addr: SocketAddr, timeout_ms: i32) -> io::Result<Self> {
        Self::attach(addr, timeout_ms, 0, &[0; 16], 0)
    }

    /// Connects with a given session id and password (0 and zeros: a new session). When the server
    /// answers that the session is gone, the client is returned with `session_id` 0.
    pub fn attach(
        addr: SocketAddr,
        timeout_ms: i32,
        session_id: i64,
        passwd: &[u8],
        last_zxid: i64,
    ) -> io::Result<Self> {
        // A server that is just starting may accept a connection and never answer on it: not waited for long.
        Self::attach_within(addr, timeout_ms, session_id, passwd, last_zxid, Duration::from_secs(5))
    }

    /// As [`attach`](Self::attach), with as much patience for the connection and for the answer.
    pub fn attach_within(
        addr: SocketAddr,
        timeout_ms: i32,
        session_id: i64,
        passwd: &[u8],
        last_zxid: i64,
        patience: Duration,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        let mut c = Self {
            stream,
            xid: 0,
            session_id: 0,
            passwd: Vec::new(),
            timeout_ms: 0,
            last_zxid,
            events: VecDeque::new(),
        };
        let body = Enc::new().int(0).long(last_zxid).int(timeout_ms).long(session_id).buf(Some(passwd));
        c.send_frame(&body.bool(false).0)?;
        let frame = c.recv_frame()?;
        let mut d = Dec(&frame);
        d.int()?;
        c.timeout_ms = d.int()?;
        c.session_id = d.long()?;
        c.passwd = d.buf()?.unwrap_or_default();
        c.stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(c)
    }

    /// Sets how long a read waits before it fails.
    pub fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(timeout))
    }

    /// Sends one frame: the length is put in front of `payload`.
    pub fn send_frame(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(payload.len() + 4);
        out.extend_from_slice(&(payload.len() as i32).to_be_bytes());
        out.extend_from_slice(payload);
        self.stream.write_all(&out)
    }

    /// Reads one frame without its length.
    pub fn recv_frame(&mut self) -> io::Result<Vec<u8>> {
        read_frame(&mut self.stream)
    }

    /// Sends a request without waiting; answers its xid.
    pub fn send(&mut self, opcode: i32, body: &[u8]) -> io::Result<i32> {
        self.xid += 1;
        let xid = match opcode {
            op::PING => -2,
            op::AUTH => -4,
            _ => self.xid,
        };
        self.send_frame(&Enc::new().int(xid).int(opcode).raw(body).0)?;
        Ok(xid)
    }

    /// Waits for the next reply; notifications on the way are queued in `events`.
    pub fn recv(&mut self) -> io::Result<Reply> {
        loop {
            let frame = self.recv_frame()?;
            let mut d = Dec(&frame);
            let (xid, zxid, err) = (d.int()?, d.long()?, d.int()?);
            if xid == -1 {
                let (kind, state) = (d.int()?, d.int()?);
                // Upstream writes what is beyond the first 65536 characters as no UTF-8 says: shown as bytes.
                let path = String::from_utf8(d.buf()?.unwrap_or_default())
                    .unwrap_or_else(|e| format!("{:02x?}", e.as_bytes()));
                self.events.push_back(Event { zxid, kind, state, path });
                continue;
            }
            self.last_zxid = self.last_zxid.max(zxid);
            return Ok(Reply { xid, zxid, err, body: d.0.to_vec() });
        }
    }

    /// Sends a request and waits for its reply.
    pub fn call(&mut self, opcode: i32, body: &[u8]) -> io::Result<Reply> {
        let xid = self.send(opcode, body)?;
        let reply = self.recv()?;
        if reply.xid != xid {
            return Err(bad(format!("reply to xid {} instead of {xid}", reply.xid)));
        }
        Ok(reply)
    }

    fn decode<T>(
        &mut self,
        opcode: i32,
        body: Enc,
        read: impl FnOnce(&mut Dec<'_>) -> io::Result<T>,
    ) -> Answer<T> {
        let reply = self.call(opcode, &body.0)?;
        if reply.err != 0 {
            return Ok(Err(reply.err));
        }
        let mut d = Dec(&reply.body);
        let value = read(&mut d)?;
        if d.0.is_empty() { Ok(Ok(value)) } else { Err(bad(format!("{} bytes left", d.0.len()))) }
    }

    /// Adds an identity to this connection (`digest` with `user:password`).
    pub fn add_auth(&mut self, scheme: &str, auth: &[u8]) -> Answer<()> {
        self.decode(op::AUTH, Enc::new().int(0).str(scheme).buf(Some(auth)), |_| Ok(()))
    }

    /// Creates a node by create2 (createContainer, createTTL when the flag asks for it) and answers its
    /// path and Stat. `ttl_ms` counts for TTL flags only.
    pub fn create(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acls: &[Acl],
        flags: i32,
        ttl_ms: i64,
    ) -> Answer<(String, Stat)> {
        let (opcode, body) = create_body(path, data, acls, flags, ttl_ms);
        self.decode(opcode, body, |d| Ok((d.str()?, d.stat()?)))
    }

    /// Deletes a node; version -1 is any.
    pub fn delete(&mut self, path: &str, version: i32) -> Answer<()> {
        self.decode(op::DELETE, Enc::new().str(path).int(version), |_| Ok(()))
    }

    /// Asks for a node's Stat.
    pub fn exists(&mut self, path: &str, watch: bool) -> Answer<Stat> {
        self.decode(op::EXISTS, Enc::new().str(path).bool(watch), |d| d.stat())
    }

    /// Reads data and Stat; null data is `None`.
    pub fn get_data(&mut self, path: &str, watch: bool) -> Answer<(Option<Vec<u8>>, Stat)> {
        let body = Enc::new().str(path).bool(watch);
        self.decode(op::GET_DATA, body, |d| Ok((d.buf()?, d.stat()?)))
    }

    /// Replaces data; version -1 is any.
    pub fn set_data(&mut self, path: &str, data: Option<&[u8]>, version: i32) -> Answer<Stat> {
        self.decode(op::SET_DATA, Enc::new().str(path).buf(data).int(version), |d| d.stat())
    }

    /// Reads a node's ACL.
    pub fn get_acl(&mut self, path: &str) -> Answer<(Vec<Acl>, Stat)> {
        self.decode(op::GET_ACL, Enc::new().str(path), |d| Ok((d.acls()?, d.stat()?)))
    }

    /// Replaces a node's ACL; version -1 is any aversion.
    pub fn set_acl(&mut self, path: &str, acls: &[Acl], version: i32) -> Answer<Stat> {
        self.decode(op::SET_ACL, Enc::new().str(path).acls(acls).int(version), |d| d.stat())
    }

    /// Lists children, sorted by name.
    pub fn children(&mut self, path: &str) -> Answer<Vec<String>> {
        let listed = self.decode(op::GET_CHILDREN, Enc::new().str(path).bool(false), |d| d.strings());
        listed.map(|r| {
            r.map(|mut names| {
                names.sort();
                names
            })
        })
    }

    /// Waits until the server has applied everything before this.
    pub fn sync(&mut self, path: &str) -> Answer<String> {
        self.decode(op::SYNC, Enc::new().str(path), |d| d.str())
    }

    /// Runs all of `ops` or none; answers one result per operation.
    pub fn multi(&mut self, ops: &[MultiOp]) -> io::Result<Vec<MultiResult>> {
        let reply = self.call(op::MULTI, &multi_body(ops).0)?;
        if reply.err != 0 {
            return Err(bad(format!("multi refused as a whole: {}", reply.err)));
        }
        multi_results(&reply.body)
    }

    /// Sends a ping and waits for its answer.
    pub fn ping(&mut self) -> io::Result<()> {
        self.call(op::PING, &[]).map(|_| ())
    }

    /// Closes the session in good order.
    pub fn close(mut self) -> io::Result<()> {
        self.call(op::CLOSE_SESSION, &[]).map(|_| ())
    }
}

/// The opcode and body of a create by flag.
pub fn create_body(path: &str, data: Option<&[u8]>, acls: &[Acl], flags: i32, ttl_ms: i64) -> (i32, Enc) {
    let body = Enc::new().str(path).buf(data).acls(acls).int(flags);
    match flags {
        flag::CONTAINER => (op::CREATE_CONTAINER, body),
        flag::TTL | flag::TTL_SEQUENTIAL => (op::CREATE_TTL, body.long(ttl_ms)),
        _ => (op::CREATE2, body),
    }
}

/// One operation of a multi.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum MultiOp {
    Create { path: String, data: Option<Vec<u8>>, acls: Vec<Acl>, flags: i32, ttl_ms: i64 },
    Delete { path: String, version: i32 },
    SetData { path: String, data: Option<Vec<u8>>, version: i32 },
    Check { path: String, version: i32 },
}

/// What one operation of a multi came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MultiResult {
    Created { path: String, stat: Option<Stat> },
    Set { stat: Stat },
    Done,
    Failed { code: i32 },
}

/// The body of a multi request.
pub fn multi_body(ops: &[MultiOp]) -> Enc {
    let mut e = Enc::new();
    for o in ops {
        let (opcode, body) = match o {
            MultiOp::Create { path, data, acls, flags, ttl_ms } => {
                create_body(path, data.as_deref(), acls, *flags, *ttl_ms)
            }
            MultiOp::Delete { path, version } => (op::DELETE, Enc::new().str(path).int(*version)),
            MultiOp::SetData { path, data, version } => {
                (op::SET_DATA, Enc::new().str(path).buf(data.as_deref()).int(*version))
            }
            MultiOp::Check { path, version } => (op::CHECK, Enc::new().str(path).int(*version)),
        };
        e = e.int(opcode).bool(false).int(-1).raw(&body.0);
    }
    e.int(-1).bool(true).int(-1)
}

/// The results in a multi response.
pub fn multi_results(body: &[u8]) -> io::Result<Vec<MultiResult>> {
    let mut d = Dec(body);
    let mut out = Vec::new();
    loop {
        let (kind, done, _) = (d.int()?, d.bool()?, d.int()?);
        if done {
            return Ok(out);
        }
        out.push(match kind {
            op::CREATE => MultiResult::Created { path: d.str()?, stat: None },
            op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
                MultiResult::Created { path: d.str()?, stat: Some(d.stat()?) }
            }
            op::SET_DATA => MultiResult::Set { stat: d.stat()? },
            op::DELETE | op::CHECK => MultiResult::Done,
            -1 => MultiResult::Failed { code: d.int()? },
            other => return Err(bad(format!("multi result of type {other}"))),
        });
    }
}

/// Reads one frame from a stream, without its length.
pub fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut len = [0u8; 4];
    stream.read_exact(&mut len)?;
    let len = i32::from_be_bytes(len);
    if !(0..=64 << 20).contains(&len) {
        return Err(bad(format!("frame length {len} from the server")));
    }
    let mut frame = vec![0; len as usize];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

/// Sends a four-letter word and answers all that comes back.
pub fn four_letter_word(addr: SocketAddr, word: &str) -> io::Result<String> {
    let mut s = TcpStream::connect_timeout(&addr, Duration::from_secs(10))?;
    s.set_read_timeout(Some(Duration::from_secs(20)))?;
    s.write_all(word.as_bytes())?;
    let mut out = Vec::new();
    s.read_to_end(&mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// The password the server must hand out for a session id: bytes of the linear congruential
/// generator of the Java library, seeded with the id (upstream `ZooKeeperServer.generatePasswd`).
pub fn session_passwd(session_id: i64) -> [u8; 16] {
    const MASK: u64 = (1 << 48) - 1;
    let mut s = ((session_id as u64 ^ 0xB341_5C00) ^ 0x5_DEEC_E66D) & MASK;
    let mut out = [0; 16];
    for chunk in out.chunks_mut(4) {
        s = (s.wrapping_mul(0x5_DEEC_E66D) + 0xB) & MASK;
        chunk.copy_from_slice(&((s >> 16) as u32).to_le_bytes());
    }
    out
}

/// Makes a node and sets it, so that there are `count` writes by one session.
///
/// # Panics
/// When the server at `addr` does not do it.
pub fn write_many(addr: SocketAddr, path: &str, count: u32) {
    let mut zk = Client::connect(addr, 30_000).expect("the member serves");
    zk.create(path, Some(b"0"), &Acl::open(), 0, 0).expect("the member answers").expect("the node is new");
    for n in 1..count {
        let body = Enc::new().str(path).buf(Some(n.to_string().as_bytes())).int(-1);
        zk.send(op::SET_DATA, &body.0).expect("the member reads");
    }
    for _ in 1..count {
        assert_eq!(zk.recv().expect("the member answers").err, 0);
    }
    zk.close().expect("the member answers");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_a_recorded_session_is_derived_from_its_id() {
        let hex: String = session_passwd(0x0100_002e_a7b1_000f).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "07ac414afe652ea825db459daf1fabc3");
    }
}
