//! Replays recorded conversations against a running server and compares every byte.
//!
//! A recording (`golden/wire/NAME.jsonl.gz`) is a list of lines in the order in which a proxy between a
//! client and a real 3.9.5 server saw them. The replay opens the same connections, sends the same bytes
//! and waits for each recorded answer before it goes on, so that the order between connections holds
//! too. Whatever the client repeats of what a server had told it (session id, password, zxid) is
//! replaced by what this server said.
//!
//! Only four kinds of bytes may differ from the recording, and each is still checked:
//! * zxids: one recorded value always meets the same value here, and order is kept ([`Learned`]);
//! * times: zero stays zero, and all znodes made by one txn carry one time;
//! * session ids: as zxids; passwords: must be derived from the session id ([`session_passwd`]);
//! * lists of children, ephemerals and identities: the same set, since upstream's order is that of a
//!   hash table.
//!
//! Start reading at [`Replay::run`].

use crate::raw::{four_letter_word, read_frame, session_passwd};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a recorded answer or close is waited for. Covers a session expiry.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Keys and their values.
pub type Pairs = Vec<(String, String)>;

/// One recording, parsed.
pub struct Recording {
    /// Its file name without ending.
    pub name: String,
    /// Its first line: the server's options.
    pub meta: Value,
    /// The other lines, each with its number in the file (the first line is 1).
    pub lines: Vec<(usize, Value)>,
}

impl Recording {
    /// Reads `DIR/NAME.jsonl.gz`.
    pub fn read(dir: &Path, name: &str) -> io::Result<Self> {
        let path = dir.join(format!("{name}.jsonl.gz"));
        let file = std::fs::File::open(&path)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text)?;
        let mut lines = Vec::new();
        for (i, line) in text.lines().enumerate() {
            lines.push((i + 1, serde_json::from_str::<Value>(line)?));
        }
        let (_, meta) = lines.remove(0);
        bring_partial_frames_forward(&mut lines);
        assert_eq!(meta["t"], "meta", "{name}: the first line is no meta line");
        Ok(Self { name: name.into(), meta, lines })
    }

    /// The `-D` properties and zoo.cfg keys the recorded server ran with.
    pub fn options(&self) -> (Pairs, Pairs) {
        let pairs = |v: &Value| -> Pairs {
            let map = v.as_object().expect("options are an object");
            map.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().into())).collect()
        };
        let mut keys = pairs(&self.meta["config"]);
        keys.push(("tickTime".into(), self.meta["tickTime"].to_string()));
        if self.meta["whitelist4lw"] != "default" {
            let words = self.meta["whitelist4lw"].as_str().unwrap_or("*").to_owned();
            keys.push(("4lw.commands.whitelist".into(), words));
        }
        (pairs(&self.meta["options"]), keys)
    }
}

/// What this server's values are for the recorded ones; shared by all recordings of one server.
#[derive(Default)]
pub struct Learned {
    zxids: BTreeMap<i64, i64>,
    sessions: HashMap<i64, i64>,
    passwds: HashMap<Vec<u8>, Vec<u8>>,
    time_of_zxid: HashMap<i64, i64>,
    /// How often the distance between recorded and seen zxid changed: every txn that only one of the
    /// two runs had (an expiry of a session left by an earlier recording) shows here.
    pub zxid_jumps: Vec<String>,
}

impl Learned {
    fn zxid(&mut self, recorded: i64, seen: i64, at: &str) -> Result<(), String> {
        if recorded <= 0 {
            return if seen == recorded { Ok(()) } else { Err(format!("{recorded} became {seen}")) };
        }
        if let Some(&known) = self.zxids.get(&recorded) {
            return if known == seen {
                Ok(())
            } else {
                Err(format!("recorded {recorded:#x} was {known:#x} before and is {seen:#x} now"))
            };
        }
        if let Some((&r, &s)) = self.zxids.range(..recorded).next_back() {
            if s >= seen {
                return Err(format!(
                    "recorded {r:#x} < {recorded:#x} became {s:#x} and {seen:#x}: order lost"
                ));
            }
            if recorded - r != seen - s {
                self.zxid_jumps.push(format!("{at}: {} txns recorded, {} here", recorded - r, seen - s));
            }
        }
        if let Some((&r, &s)) = self.zxids.range(recorded..).next()
            && s <= seen
        {
            return Err(format!("recorded {recorded:#x} < {r:#x} became {seen:#x} and {s:#x}: order lost"));
        }
        self.zxids.insert(recorded, seen);
        Ok(())
    }

    /// The zxid here that a client would have seen where it had seen `recorded`.
    fn zxid_here(&self, recorded: i64) -> i64 {
        match self.zxids.range(..=recorded).next_back() {
            _ if recorded <= 0 => recorded,
            Some((&r, &s)) if r == recorded => s,
            // Further ahead than anything seen: a client that claims a future zxid. It stays one.
            Some((&r, _)) if recorded - r > 1_000_000 => recorded,
            Some((&r, &s)) => s + (recorded - r),
            None => recorded,
        }
    }

    fn time(&mut self, recorded: i64, seen: i64, zxid: i64) -> Result<(), String> {
        if (recorded == 0) != (seen == 0) {
            return Err(format!("time {recorded} became {seen}"));
        }
        if zxid > 0 && *self.time_of_zxid.entry(zxid).or_insert(seen) != seen {
            return Err(format!("two times for zxid {zxid:#x}"));
        }
        Ok(())
    }

    fn session(&mut self, recorded: i64, seen: i64) -> Result<(), String> {
        if (recorded == 0) != (seen == 0) {
            return Err(format!("session {recorded:#x} became {seen:#x}"));
        }
        if *self.sessions.entry(recorded).or_insert(seen) != seen {
            return Err(format!("session {recorded:#x} became another one, {seen:#x}"));
        }
        Ok(())
    }
}

struct Conn {
    stream: TcpStream,
    unsent: Vec<u8>,
    is_4lw: bool,
    closed_by_us: bool,
}

/// A replay against one server, over all recordings that were made on one server.
pub struct Replay {
    addr: SocketAddr,
    /// Where the recorded members of an ensemble are here, by the port that the recording names.
    members: HashMap<u16, SocketAddr>,
    /// The connection of the last line.
    turn: Option<u64>,
    /// Values learned so far.
    pub learned: Learned,
    /// Answers compared so far.
    pub compared: usize,
    /// Called after each answered setACL of a recording, with its name: there a second client, which
    /// the proxy did not see, acted between the recorded requests.
    pub after_set_acl: fn(SocketAddr, &str),
    /// Sends every byte in a write of its own, which a server must not notice.
    pub dribble: bool,
}

impl Replay {
    /// A replay against the server at `addr`, which must be fresh.
    pub fn new(addr: SocketAddr) -> Self {
        let (members, learned) = (HashMap::new(), Learned::default());
        Self { addr, members, turn: None, learned, compared: 0, after_set_acl: |_, _| {}, dribble: false }
    }

    /// A replay against an ensemble, whose members are in the order of those recorded: their ports were 26201, 26202…
    pub fn of_ensemble(members: &[SocketAddr]) -> Self {
        let members = (26201..).zip(members.iter().copied()).collect::<HashMap<_, _>>();
        Self { members: members.clone(), ..Self::new(members[&26201]) }
    }

    /// Replays one recording; answers every difference found, each with the line of the recording.
    pub fn run(&mut self, rec: &Recording) -> Vec<String> {
        let mut differences = Vec::new();
        let mut conns: HashMap<u64, Conn> = HashMap::new();
        for (line, value) in &rec.lines {
            let began = Instant::now();
            let outcome = self.step(value, &mut conns, &rec.name, *line, &mut differences);
            if began.elapsed() > Duration::from_secs(1) {
                println!("{}:{line}: waited {} ms", rec.name, began.elapsed().as_millis());
            }
            if let Err(what) = outcome {
                // The conversation is out of step from here on: what follows would be noise.
                differences.push(format!("{}:{line}: {what}; rest not replayed", rec.name));
                return differences;
            }
        }
        for (id, conn) in &mut conns {
            if let Some(more) = unexpected_bytes(conn) {
                differences.push(format!("{}: connection {id} got more: {more}", rec.name));
            }
        }
        differences
    }

    fn step(
        &mut self,
        v: &Value,
        conns: &mut HashMap<u64, Conn>,
        name: &str,
        line: usize,
        differences: &mut Vec<String>,
    ) -> Result<(), String> {
        let kind = v["t"].as_str().unwrap_or_default();
        if kind == "note" {
            return Ok(());
        }
        let id = v["conn"].as_u64().ok_or("no connection number")?;
        if kind == "open" {
            // Not connect_timeout: it reports a connection that the server closes at once as a failure.
            let recorded = v["to"].as_str().and_then(|to| to.rsplit(' ').next()?.parse::<u16>().ok());
            let addr = recorded.and_then(|port| self.members.get(&port)).unwrap_or(&self.addr);
            let stream = TcpStream::connect(addr).map_err(|e| format!("connect: {e}"))?;
            let _ = stream.set_nodelay(true);
            stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(|e| e.to_string())?;
            conns.insert(id, Conn { stream, unsent: Vec::new(), is_4lw: false, closed_by_us: false });
            return Ok(());
        }
        let to_server = v["dir"] == "c2s";
        // Requests the client sent in one go leave in one go: they are held until an answer is due.
        if !to_server {
            for conn in conns.values_mut() {
                conn.flush(self.dribble);
            }
        }
        // What one client was told the next one may not see yet, at another member. A refused request is a txn as well.
        let last = self.turn.replace(id);
        if to_server && last != Some(id) {
            self.await_same_zxid();
        }
        let conn = conns.get_mut(&id).ok_or("connection was never opened")?;
        match (kind, to_server) {
            ("frame" | "raw" | "partial" | "4lw", true) => {
                conn.is_4lw |= kind == "4lw";
                let bytes = unhex(v)?;
                let bytes = self.as_this_server_knows(bytes, v);
                conn.unsent.extend_from_slice(&bytes);
            }
            ("frame", false) => {
                let seen = match read_frame(&mut conn.stream) {
                    Ok(seen) => seen,
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && may_be_lost(name, v) => {
                        return Ok(());
                    }
                    Err(e) => return Err(format!("no answer ({e}); recorded: {}", v["decoded"])),
                };
                let mut frame = (seen.len() as i32).to_be_bytes().to_vec();
                frame.extend_from_slice(&seen);
                self.compared += 1;
                for d in self.compare(&unhex(v)?, &frame, v, name, line) {
                    differences.push(format!("{name}:{line}: {d}"));
                }
                if v["decoded"]["op"] == "setACL" {
                    (self.after_set_acl)(self.addr, name);
                }
            }
            ("4lw", false) => {
                let mut text = Vec::new();
                conn.stream.read_to_end(&mut text).map_err(|e| format!("no answer: {e}"))?;
                let seen = shape(&String::from_utf8_lossy(&text));
                let recorded = shape(v["text"].as_str().unwrap_or_default());
                self.compared += 1;
                if seen != recorded {
                    differences
                        .push(format!("{name}:{line}: word answered {seen:#?} instead of {recorded:#?}"));
                }
            }
            ("eof", _) if v["from"] == "server" => {
                if let Some(more) = await_close(conn)? {
                    differences.push(format!("{name}:{line}: before the close came {more}"));
                }
            }
            ("eof", _) => {
                if !conn.is_4lw && !conn.closed_by_us {
                    conn.closed_by_us = true;
                    let _ = conn.stream.shutdown(Shutdown::Write);
                }
            }
            _ => return Err(format!("a line of kind {kind} is not understood")),
        }
        Ok(())
    }

    /// Waits until the members of a fresh ensemble that run have applied the same txns. Only the counters are compared:
    /// until the first txn a Java leader already tells of its epoch, and its followers do not.
    fn await_same_zxid(&self) {
        let began = Instant::now();
        let differ = || {
            let said = self.members.values().filter_map(|addr| four_letter_word(*addr, "srvr").ok());
            let zxids = said.filter_map(|text| {
                let zxid = text.split_once("Zxid: 0x")?.1.lines().next()?;
                Some(u64::from_str_radix(zxid, 16).ok()? as u32)
            });
            zxids.collect::<BTreeSet<_>>().len() > 1
        };
        while differ() && began.elapsed() < ANSWER_WAIT {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Replaces what the recorded client had learned from the recorded server.
    fn as_this_server_knows(&self, mut bytes: Vec<u8>, v: &Value) -> Vec<u8> {
        for (field, off, len) in fields(v) {
            match (field, len) {
                ("sessionId", 8) => {
                    if let Some(here) = self.learned.sessions.get(&long(&bytes, off)) {
                        bytes[off..off + 8].copy_from_slice(&here.to_be_bytes());
                    }
                }
                ("passwd", 20) => {
                    if let Some(here) = self.learned.passwds.get(&bytes[off + 4..off + 20]) {
                        bytes[off + 4..off + 20].copy_from_slice(here);
                    }
                }
                ("lastZxidSeen" | "relativeZxid", 8) => {
                    let here = self.learned.zxid_here(long(&bytes, off));
                    bytes[off..off + 8].copy_from_slice(&here.to_be_bytes());
                }
                _ => {}
            }
        }
        bytes
    }

    /// Compares one frame from the server (length included) with the recorded one.
    fn compare(&mut self, recorded: &[u8], seen: &[u8], v: &Value, name: &str, line: usize) -> Vec<String> {
        if recorded.len() != seen.len() {
            return vec![format!(
                "{} bytes instead of {}: {} instead of {} ({})",
                seen.len(),
                recorded.len(),
                hex(seen),
                hex(recorded),
                v["decoded"]
            )];
        }
        let mut out = Vec::new();
        let mut expected = recorded.to_vec();
        let all = fields(v);
        let find = |wanted: &str| all.iter().find(|f| f.0 == wanted).map(|f| f.1);
        for &(field, off, len) in &all {
            let (prefix, leaf) = match field.rfind('.') {
                Some(dot) => field.split_at(dot + 1),
                None => ("", field),
            };
            let checked = match (leaf, len) {
                ("zxid" | "czxid" | "mzxid" | "pzxid", 8) => {
                    let at = format!("{name}:{line}");
                    self.learned.zxid(long(recorded, off), long(seen, off), &at)
                }
                ("ctime" | "mtime", 8) => {
                    let of = format!("{prefix}{}", if leaf == "ctime" { "czxid" } else { "mzxid" });
                    let zxid = find(&of).map_or(0, |o| long(seen, o));
                    self.learned.time(long(recorded, off), long(seen, off), zxid)
                }
                ("sessionId" | "ephemeralOwner", 8) => {
                    self.learned.session(long(recorded, off), long(seen, off))
                }
                ("passwd", 20) => {
                    let id = find("sessionId").map_or(0, |o| long(seen, o));
                    let want = if id == 0 { [0; 16] } else { session_passwd(id) };
                    self.learned
                        .passwds
                        .insert(recorded[off + 4..off + 20].to_vec(), seen[off + 4..off + 20].to_vec());
                    if seen[off..off + 4] == [0, 0, 0, 16] && seen[off + 4..off + 20] == want {
                        Ok(())
                    } else {
                        Err("is not derived from the session id".into())
                    }
                }
                ("count", 4) if field.ends_with("children.count") || is_hash_order(field) => {
                    let list = field.trim_end_matches(".count");
                    let end = all
                        .iter()
                        .filter(|f| f.0.starts_with(&format!("{list}[")))
                        .map(|f| f.1 + f.2)
                        .max()
                        .unwrap_or(off + 4);
                    // An identity is two strings, everything else one.
                    let width = if field == "clientInfo.count" { 2 } else { 1 };
                    let result = same_set(&recorded[off..end], &seen[off..end], width);
                    if result.is_ok() {
                        expected[off..end].copy_from_slice(&seen[off..end]);
                    }
                    result
                }
                _ => continue,
            };
            match checked {
                Ok(()) => expected[off..off + len].copy_from_slice(&seen[off..off + len]),
                Err(what) => out.push(format!("{field} {what} ({})", v["decoded"]["op"])),
            }
        }
        if expected != seen && out.is_empty() {
            let differing: Vec<String> = all
                .iter()
                .filter(|f| expected[f.1..f.1 + f.2] != seen[f.1..f.1 + f.2])
                .map(|f| {
                    let range = f.1..f.1 + f.2;
                    format!("{} {} -> {}", f.0, hex(&expected[range.clone()]), hex(&seen[range]))
                })
                .collect();
            out.push(format!(
                "differs in {}: {} instead of {} ({})",
                if differing.is_empty() { "no named field".into() } else { differing.join(", ") },
                hex(seen),
                hex(&expected),
                v["decoded"]
            ));
        }
        out
    }
}

impl Conn {
    fn flush(&mut self, dribble: bool) {
        let size = if dribble { 1 } else { self.unsent.len().max(1) };
        for piece in self.unsent.chunks(size) {
            // A server that closed already makes this fail; the recording says whether it should have.
            if self.stream.write_all(piece).is_err() {
                break;
            }
        }
        self.unsent.clear();
    }
}

/// The recorder wrote bytes that never made a whole frame when the connection ended, behind the close
/// that they brought about. They go before it.
fn bring_partial_frames_forward(lines: &mut Vec<(usize, Value)>) {
    for i in 0..lines.len() {
        if lines[i].1["t"] == "partial" {
            let conn = lines[i].1["conn"].clone();
            let close = lines[..i].iter().position(|(_, v)| v["t"] == "eof" && v["conn"] == conn);
            if let Some(close) = close {
                let line = lines.remove(i);
                lines.insert(close, line);
            }
        }
    }
}

/// The one recorded answer that upstream itself gives or not: whether a request that was sent together
/// with a closeSession before it is still answered depends on which of its threads is faster.
fn may_be_lost(name: &str, v: &Value) -> bool {
    name == "pipelining" && v["decoded"]["errName"] == "SESSIONEXPIRED"
}

/// Waits for the server's close; bytes that come before it are described.
fn await_close(conn: &mut Conn) -> Result<Option<String>, String> {
    let mut rest = Vec::new();
    match conn.stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {}
        Err(e) => return Err(format!("the server did not close the connection ({e})")),
    }
    Ok(if rest.is_empty() { None } else { Some(hex(&rest)) })
}

/// Bytes that arrived although the recording has no more of them.
fn unexpected_bytes(conn: &mut Conn) -> Option<String> {
    conn.stream.set_nonblocking(true).ok()?;
    let mut buf = [0; 4096];
    match conn.stream.read(&mut buf) {
        Ok(n) if n > 0 => Some(hex(&buf[..n])),
        _ => None,
    }
}

/// Lists whose order upstream takes from a hash table (besides children).
fn is_hash_order(field: &str) -> bool {
    field == "ephemerals.count" || field == "clientInfo.count"
}

fn same_set(recorded: &[u8], seen: &[u8], width: usize) -> Result<(), String> {
    let list = |b: &[u8]| -> io::Result<Vec<Vec<String>>> {
        let mut d = crate::raw::Dec(b);
        let mut items = Vec::new();
        for _ in 0..d.int()?.max(0) {
            items.push((0..width).map(|_| d.str()).collect::<io::Result<Vec<String>>>()?);
        }
        items.sort();
        Ok(items)
    };
    let recorded = list(recorded).map_err(|e| format!("recorded list: {e}"))?;
    match list(seen) {
        Ok(seen) if seen == recorded => Ok(()),
        Ok(seen) => Err(format!("is {seen:?} instead of {recorded:?}")),
        Err(e) => Err(format!("cannot be read: {e}")),
    }
}

/// The lines of a four-letter word's answer with everything that differs from run to run taken out,
/// each shape once.
pub fn shape(text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for line in text.split('\n') {
        if line.starts_with("Zookeeper version: ") {
            let ok = line.contains(", built on ");
            out.insert(format!("Zookeeper version: V, built on D{}", if ok { "" } else { " (no)" }));
            continue;
        }
        // A date as in `Mon Nov 23 07:52:04 UTC 2026`.
        let line = match line.split_once(" expire at ") {
            Some((_, date)) => format!(
                "# expire at {}",
                date.split(' ')
                    .map(|w| if w.starts_with(|c: char| c.is_ascii_digit()) { "#" } else { "W" })
                    .collect::<Vec<_>>()
                    .join(" ")
            ),
            None => line.to_owned(),
        };
        out.insert(mask_numbers(&line));
    }
    out
}

/// Replaces every run of digits, and of hex digits behind `0x`, by `#`.
pub fn mask_numbers(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let digits = match rest.strip_prefix("0x") {
            Some(hex) => 2 + hex.chars().take_while(char::is_ascii_hexdigit).count(),
            None => rest.chars().take_while(char::is_ascii_digit).count(),
        };
        if digits > 0 {
            out.push('#');
            rest = &rest[digits..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn fields(v: &Value) -> Vec<(&str, usize, usize)> {
    let list = v["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .filter_map(|f| Some((f[0].as_str()?, f[1].as_u64()? as usize, f[2].as_u64()? as usize)))
        .collect()
}

fn long(bytes: &[u8], off: usize) -> i64 {
    i64::from_be_bytes(bytes[off..off + 8].try_into().unwrap())
}

fn unhex(v: &Value) -> Result<Vec<u8>, String> {
    let text = v["hex"].as_str().ok_or("no bytes recorded")?;
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|e| e.to_string()))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for b in bytes.iter().take(200) {
        let _ = write!(out, "{b:02x}");
    }
    if bytes.len() > 200 {
        let _ = write!(out, "… ({} bytes)", bytes.len());
    }
    out
}
