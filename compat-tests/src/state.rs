//! All that a server serves, read by a super user, and how two such readings differ.
//!
//! Used where a data directory changes hands: what the one server served, the next one must serve.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;

use crate::raw::{Acl, Client, Dec, Enc, Stat, four_letter_word, op};

/// The property value that makes `super:golden` the super user.
pub const SUPER_DIGEST: &str = "super:c9T5yFYCHEoR/xZ3KuYTF5tNWis=";

/// What [`SUPER_DIGEST`] admits.
pub const SUPER_AUTH: &[u8] = b"super:golden";

/// The paths of ephemeral nodes by the session that owns them.
pub type Ephemerals = BTreeMap<i64, BTreeSet<String>>;

/// One znode as served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Node {
    pub data: Option<Vec<u8>>,
    pub stat: Stat,
    pub acls: Vec<Acl>,
}

/// All that a server serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The zxid of the last txn, before the reader came.
    pub last_zxid: i64,
    /// The node count of `srvr`, before the reader came.
    pub node_count: i64,
    /// Sessions alive before the reader came.
    pub sessions: BTreeSet<i64>,
    /// Ephemeral nodes by session, as `dump` has them.
    pub ephemerals: Ephemerals,
    /// Every node by its path.
    pub nodes: BTreeMap<String, Node>,
}

impl State {
    /// Reads a server that has [`SUPER_DIGEST`] and whose four-letter words are allowed.
    ///
    /// # Errors
    /// When the server cannot be reached or answers what cannot be understood.
    pub fn read(addr: SocketAddr) -> io::Result<State> {
        let mut state = State::default();
        state.read_words(addr)?;
        let mut zk = Client::connect(addr, 30_000)?;
        refused(zk.add_auth("digest", SUPER_AUTH)?, "the super user")?;
        let mut wanted = vec!["/".to_owned()];
        while !wanted.is_empty() {
            wanted = state.read_level(&mut zk, &wanted)?;
        }
        zk.close()?;
        Ok(state)
    }

    fn read_words(&mut self, addr: SocketAddr) -> io::Result<()> {
        let srvr = four_letter_word(addr, "srvr")?;
        let after = |key: &str| {
            let line = srvr.lines().find_map(|l| l.strip_prefix(key));
            line.ok_or_else(|| io::Error::other(format!("no {key} in {srvr}")))
        };
        self.last_zxid = hex(after("Zxid: ")?)?;
        self.node_count = after("Node count: ")?.parse().map_err(io::Error::other)?;
        let (sessions, ephemerals) = parse_dump(&four_letter_word(addr, "dump")?)?;
        self.sessions = sessions;
        self.ephemerals = ephemerals;
        Ok(())
    }

    /// Reads nodes with requests in flight for all of them; answers their children.
    fn read_level(&mut self, zk: &mut Client, paths: &[String]) -> io::Result<Vec<String>> {
        let mut children = Vec::new();
        for some in paths.chunks(100) {
            for path in some {
                zk.send(op::GET_DATA, &Enc::new().str(path).bool(false).0)?;
                zk.send(op::GET_ACL, &Enc::new().str(path).0)?;
                zk.send(op::GET_CHILDREN, &Enc::new().str(path).bool(false).0)?;
            }
            for path in some {
                let answers = [zk.recv()?, zk.recv()?, zk.recv()?];
                if let Some(failed) = answers.iter().find(|a| a.err != 0) {
                    return Err(io::Error::other(format!("{path}: error {}", failed.err)));
                }
                let mut d = Dec(&answers[0].body);
                let (data, stat) = (d.buf()?, d.stat()?);
                let acls = Dec(&answers[1].body).acls()?;
                for name in Dec(&answers[2].body).strings()? {
                    let parent = if path == "/" { "" } else { path.as_str() };
                    children.push(format!("{parent}/{name}"));
                }
                self.nodes.insert(path.clone(), Node { data, stat, acls });
            }
        }
        Ok(children)
    }

    /// What `other` has otherwise, one line each; `self` is what was expected.
    pub fn differences(&self, other: &State) -> Vec<String> {
        let mut out = Vec::new();
        if self.last_zxid != other.last_zxid {
            out.push(format!("last zxid {:#x} instead of {:#x}", other.last_zxid, self.last_zxid));
        }
        if self.node_count != other.node_count {
            out.push(format!("node count {} instead of {}", other.node_count, self.node_count));
        }
        if self.sessions != other.sessions {
            out.push(format!("sessions {:x?} instead of {:x?}", other.sessions, self.sessions));
        }
        out.extend(self.ephemeral_differences(other));
        for (path, node) in &self.nodes {
            match other.nodes.get(path) {
                None => out.push(format!("{path} is missing")),
                Some(found) if found != node => {
                    out.push(format!("{path}: {}", node.difference(found)));
                }
                Some(_) => {}
            }
        }
        for path in other.nodes.keys().filter(|p| !self.nodes.contains_key(*p)) {
            out.push(format!("{path} should not be there"));
        }
        out
    }

    fn ephemeral_differences(&self, other: &State) -> Vec<String> {
        let owners: BTreeSet<&i64> = self.ephemerals.keys().chain(other.ephemerals.keys()).collect();
        owners
            .into_iter()
            .filter(|o| self.ephemerals.get(o) != other.ephemerals.get(o))
            .map(|o| {
                format!(
                    "ephemerals of {o:#x}: {:?} instead of {:?}",
                    other.ephemerals.get(o),
                    self.ephemerals.get(o)
                )
            })
            .collect()
    }
}

impl Node {
    fn difference(&self, other: &Node) -> String {
        let mut out = Vec::new();
        if self.data != other.data {
            out.push(format!("data {} instead of {}", shown(&other.data), shown(&self.data)));
        }
        if self.stat != other.stat {
            out.push(format!("{:?} instead of {:?}", other.stat, self.stat));
        }
        if self.acls != other.acls {
            out.push(format!("{:?} instead of {:?}", other.acls, self.acls));
        }
        out.join("; ")
    }
}

fn shown(data: &Option<Vec<u8>>) -> String {
    match data {
        None => "null".into(),
        Some(d) if d.len() > 40 => format!("{} bytes", d.len()),
        Some(d) => format!("{:?}", String::from_utf8_lossy(d)),
    }
}

fn refused<T>(answer: Result<T, i32>, what: &str) -> io::Result<T> {
    answer.map_err(|code| io::Error::other(format!("{what} is refused: {code}")))
}

fn hex(text: &str) -> io::Result<i64> {
    let digits = text.trim().trim_start_matches("0x");
    u64::from_str_radix(digits, 16).map(|v| v as i64).map_err(|e| io::Error::other(format!("{text}: {e}")))
}

/// Sessions and ephemerals by session of a `dump` answer.
///
/// # Errors
/// When a line that should be a session id is none.
pub fn parse_dump(text: &str) -> io::Result<(BTreeSet<i64>, Ephemerals)> {
    let mut sessions = BTreeSet::new();
    let mut ephemerals = Ephemerals::new();
    let mut part = "";
    let mut owner = 0;
    for line in text.lines() {
        match line {
            "SessionTracker dump:" | "ephemeral nodes dump:" | "Connections dump:" => part = line,
            _ if part == "SessionTracker dump:" && line.starts_with("\t0x") => {
                sessions.insert(hex(line)?);
            }
            _ if part == "ephemeral nodes dump:" && line.starts_with("0x") => {
                owner = hex(line.trim_end_matches(':'))?;
                ephemerals.entry(owner).or_default();
            }
            _ if part == "ephemeral nodes dump:" && line.starts_with('\t') => {
                ephemerals.entry(owner).or_default().insert(line[1..].to_owned());
            }
            _ => {}
        }
    }
    // An owner without nodes is not listed by everyone: it says nothing.
    ephemerals.retain(|_, paths| !paths.is_empty());
    Ok((sessions, ephemerals))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_read_into_sessions_and_ephemerals() {
        let text = "SessionTracker dump:\nSession Sets (1)/(2):\n2 expire at Mon Nov 23 07:35:02 UTC 2026:\n\
                    \t0x100001f76970009\n\t0xa\nephemeral nodes dump:\nSessions with Ephemerals (1):\n0xa:\n\t/x\n\
                    Connections dump:\nConnections Sets (1)/(1):\n1 expire at Mon Nov 23 07:37:42 UTC 2026:\n\tip: /1";
        let (sessions, ephemerals) = parse_dump(text).unwrap();
        assert_eq!(sessions, [10, 0x100001f76970009].into());
        assert_eq!(ephemerals, [(10, ["/x".to_owned()].into())].into());
    }
}
