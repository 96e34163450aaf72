//! Random writes of every kind against a server, from a seed.
//!
//! The workload does not judge answers: it is there to leave behind a data directory with everything in it.
//! What it counts ([`Tally`]) shows that it did.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::raw::{Acl, Client, MultiOp, MultiResult, code, flag};

/// How often each kind of answer came, by its name.
pub type Tally = BTreeMap<String, u32>;

/// Sessions and the paths they have made, going on from server to server.
pub struct Workload {
    rng: StdRng,
    /// Sessions to be alive on the next server: id and password.
    pub sessions: Vec<(i64, Vec<u8>)>,
    paths: Vec<String>,
    made: u32,
    /// Keeps data and ACL of the root as they are. The upstream server's own digest of a txn that changes
    /// them differs from its tree's: it counts a mismatch without anybody else's doing.
    pub spare_root: bool,
    /// What came of the writes.
    pub tally: Tally,
}

/// The digest of `ann:secret`, by which [`Workload`] makes nodes that only she may touch.
const ANN: &str = "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=";

impl Workload {
    /// A workload that is the same for the same seed (as far as the server answers the same).
    pub fn new(seed: u64) -> Workload {
        Workload {
            rng: StdRng::seed_from_u64(seed),
            sessions: Vec::new(),
            paths: vec!["/".into()],
            made: 0,
            spare_root: false,
            tally: Tally::new(),
        }
    }

    /// Runs `writes` writes: re-attaches the sessions that are left, opens new ones, closes some, and
    /// leaves the others open, for the caller to kill the server under them.
    ///
    /// # Errors
    /// When the server fails to answer or has forgotten a session.
    pub fn run(&mut self, addr: SocketAddr, writes: u32) -> io::Result<()> {
        let mut clients = Vec::new();
        for (id, passwd) in std::mem::take(&mut self.sessions) {
            let client = Client::attach(addr, 40_000, id, &passwd, 0)?;
            if client.session_id != id {
                return Err(io::Error::other(format!("session {id:#x} is not known any more")));
            }
            clients.push(client);
        }
        while clients.len() < 4 {
            let timeout_ms = self.rng.random_range(20_000..=40_000);
            clients.push(Client::connect(addr, timeout_ms)?);
        }
        for client in &mut clients {
            client.add_auth("digest", b"ann:secret")?.map_err(refused)?;
        }
        for _ in 0..writes {
            let i = self.rng.random_range(0..clients.len());
            self.write(&mut clients[i])?;
        }
        // Two leave in good order, the others are still there when the server dies.
        for _ in 0..2 {
            let i = self.rng.random_range(0..clients.len());
            clients.remove(i).close()?;
        }
        self.sessions = clients.iter().map(|c| (c.session_id, c.passwd.clone())).collect();
        Ok(())
    }

    fn write(&mut self, zk: &mut Client) -> io::Result<()> {
        let path = self.some_path_to_change();
        let kind = self.rng.random_range(0..100);
        let outcome = match kind {
            0..40 => {
                let (path, data, acls, flags, ttl_ms) = self.create();
                let made = zk.create(&path, data.as_deref(), &acls, flags, ttl_ms)?;
                if let Ok((path, _)) = &made {
                    self.paths.push(path.clone());
                }
                made.map(|_| format!("create {flags}"))
            }
            40..60 => {
                let data = self.data();
                let version = self.version();
                zk.set_data(&path, data.as_deref(), version)?.map(|_| "set".into())
            }
            60..70 => {
                let version = self.version();
                zk.delete(&path, version)?.map(|()| "delete".into())
            }
            70..78 => {
                let acls = self.acls();
                let version = self.version();
                zk.set_acl(&path, &acls, version)?.map(|_| "set acl".into())
            }
            78..80 => self.quota(zk)?,
            _ => self.multi(zk)?,
        };
        let name = outcome.unwrap_or_else(|code| format!("error {code}"));
        *self.tally.entry(name).or_default() += 1;
        Ok(())
    }

    fn multi(&mut self, zk: &mut Client) -> io::Result<Result<String, i32>> {
        let count = self.rng.random_range(0..8);
        let mut ops = Vec::new();
        for _ in 0..count {
            let path = self.some_path_to_change();
            ops.push(match self.rng.random_range(0..6) {
                0..3 => {
                    let (path, data, acls, flags, ttl_ms) = self.create();
                    MultiOp::Create { path, data, acls, flags, ttl_ms }
                }
                3 => MultiOp::SetData { path, data: self.data(), version: -1 },
                4 => MultiOp::Check { path, version: -1 },
                _ => MultiOp::Delete { path, version: self.version() },
            });
        }
        let results = zk.multi(&ops)?;
        for result in &results {
            if let MultiResult::Created { path, .. } = result {
                self.paths.push(path.clone());
            }
        }
        let failed = results.iter().any(|r| matches!(r, MultiResult::Failed { .. }));
        Ok(Ok(if failed { "failed multi" } else { "multi" }.into()))
    }

    /// Puts a quota on a node right below the root.
    fn quota(&mut self, zk: &mut Client) -> io::Result<Result<String, i32>> {
        let tops: Vec<&String> =
            self.paths.iter().filter(|p| p.len() > 1 && p.matches('/').count() == 1).collect();
        let Some(top) = tops.choose(&mut self.rng) else { return Ok(Err(code::NO_NODE)) };
        let node = format!("/zookeeper/quota{top}");
        let open = Acl::open();
        if let Err(code) = zk.create(&node, None, &open, flag::PERSISTENT, 0)? {
            return Ok(Err(code));
        }
        let limits = b"count=1000,bytes=-1=;byteHardLimit=-1;countHardLimit=5000";
        let made = zk.create(&format!("{node}/zookeeper_limits"), Some(limits), &open, 0, 0)?;
        if let Err(code) = made {
            return Ok(Err(code));
        }
        let stats = Some(&b"count=0,bytes=0"[..]);
        Ok(zk.create(&format!("{node}/zookeeper_stats"), stats, &open, 0, 0)?.map(|_| "quota".into()))
    }

    fn create(&mut self) -> (String, Option<Vec<u8>>, Vec<Acl>, i32, i64) {
        self.made += 1;
        let flags = *[0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6].choose(&mut self.rng).expect("not empty");
        let parent = match self.rng.random_range(0..20) {
            0 => "/never/made".into(),
            _ => self.some_path(),
        };
        let parent = if parent == "/" { String::new() } else { parent };
        let name = match self.rng.random_range(0..10) {
            0 => format!("ünï-{}", self.made),
            1 => format!("seq-{}-", self.made % 3),
            _ => format!("n{}", self.made),
        };
        let ttl_ms = self.rng.random_range(3_600_000..1_000_000_000);
        (format!("{parent}/{name}"), self.data(), self.acls(), flags, ttl_ms)
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        match self.rng.random_range(0..10) {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some(vec![b'L'; self.rng.random_range(1000..20_000)]),
            _ => Some((0..self.rng.random_range(1..100)).map(|_| self.rng.random()).collect()),
        }
    }

    fn acls(&mut self) -> Vec<Acl> {
        match self.rng.random_range(0..8) {
            0 => vec![Acl::new(31, "auth", "")],
            1 => vec![Acl::new(31, "digest", ANN), Acl::new(1, "world", "anyone")],
            2 => vec![Acl::new(self.rng.random_range(0..64), "ip", "127.0.0.1"), Acl::new(31, "digest", ANN)],
            3 => vec![
                Acl::new(31, "world", "anyone"),
                Acl::new(
                    self.rng.random_range(0..32),
                    "ip",
                    &format!("10.0.{}.0/24", self.rng.random_range(0..100)),
                ),
            ],
            _ => Acl::open(),
        }
    }

    fn version(&mut self) -> i32 {
        if self.rng.random_bool(0.7) { -1 } else { self.rng.random_range(0..3) }
    }

    fn some_path_to_change(&mut self) -> String {
        loop {
            let path = self.some_path();
            if path != "/" || !self.spare_root {
                return path;
            }
            if self.paths.len() == 1 {
                return "/none".into();
            }
        }
    }

    /// A path made before: recent ones more often, so that there is depth and deletes hit leaves.
    fn some_path(&mut self) -> String {
        let n = self.paths.len();
        let reach = if self.rng.random_bool(0.5) { 20 } else { n };
        let back = self.rng.random_range(0..n.min(reach));
        self.paths[n - 1 - back].clone()
    }
}

fn refused(code: i32) -> io::Error {
    io::Error::other(format!("refused with {code}"))
}
