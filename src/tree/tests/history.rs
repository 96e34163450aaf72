//! Random histories: such as a leader writes, and such as nobody should.

use super::{model::Model, *};

const PATHS: &[&str] = &[
    "/a",
    "/b",
    "/c",
    "/a/a",
    "/a/b",
    "/b/a",
    "/b/b",
    "/a/a/a",
    "/a/a/b",
    "/a/b/a",
    "/b/a/\u{e9}\u{4e2d}",
    "/zookeeper/x",
    "/a/a/a/long-name-that-is-longer",
];
const BAD_PATHS: &[&str] =
    &["", "/", "a", "//", "//a", "/a/", "/a//b", "x/y", "/zookeeper", "/zookeeper/config", "/a/\0", "/\n"];
pub const SESSIONS: &[i64] = &[0x100, 0x200, 0x300];

/// A history that a leader could have written: every operation fits the state before it.
pub struct Live {
    pub random: Random,
    pub model: Model,
    pub zxid: i64,
    /// Whether the end of a session lists all its paths, as today's writers always do. Replay needs that: of a
    /// path that is not listed and belongs to a later session by now, it cannot tell that it went.
    pub full_lists: bool,
}

impl Live {
    pub fn new(seed: u64) -> Self {
        Self { random: Random(seed), model: Model::new(), zxid: 0, full_lists: false }
    }

    /// The next txn, already applied to the model.
    pub fn next(&mut self) -> Txn {
        self.zxid += 1 + self.random.below(3) as i64;
        let session = *self.random.pick(SESSIONS);
        let body = match self.random.below(20) {
            0 => {
                // Sometimes without the paths, sometimes without all of them.
                let mut paths = Some(self.model.ephemerals(session));
                if !self.full_lists {
                    match self.random.below(4) {
                        0 => paths = None,
                        1 => drop(paths.as_mut().and_then(Vec::pop)),
                        _ => {}
                    }
                }
                TxnBody::CloseSession { paths }
            }
            1 => TxnBody::CreateSession { timeout_ms: 10_000 },
            2..=4 => TxnBody::Multi(self.multi(session)),
            _ => TxnBody::One(self.op(&self.model.clone())),
        };
        let txn = txn(self.zxid, session, body);
        self.model.apply(&txn);
        txn
    }

    fn multi(&mut self, session: i64) -> Vec<SubTxn> {
        let mut ops = Vec::new();
        let mut scratch = self.model.clone();
        for _ in 0..self.random.below(6) {
            let op = self.op(&scratch);
            scratch.apply(&txn(self.zxid, session, TxnBody::One(op.clone())));
            ops.push(op);
        }
        if self.random.one_in(5) {
            ops = ops.iter().map(|_| SubTxn::error(ErrorCode::RuntimeInconsistency)).collect();
        }
        ops
    }

    fn op(&mut self, model: &Model) -> SubTxn {
        for _ in 0..50 {
            let path = (*self.random.pick(PATHS)).to_string();
            match model.nodes.get(&path) {
                None => {
                    if let Some(op) = self.create(&path, model) {
                        return op;
                    }
                }
                Some((_, stat, _)) => match self.random.below(5) {
                    0 | 1 if model.child_count(&path) == 0 => {
                        return SubTxn::Delete { container: self.random.one_in(9), path };
                    }
                    2 => {
                        let version = stat.aversion + 1;
                        return SubTxn::SetAcl { path, acl: self.acl(), version };
                    }
                    3 => return SubTxn::Check { path, version: stat.version + 1 },
                    _ => {
                        let version = stat.version + 1;
                        return SubTxn::SetData { path, data: self.data(), version };
                    }
                },
            }
        }
        SubTxn::error(ErrorCode::NoNode)
    }

    fn create(&mut self, path: &str, model: &Model) -> Option<SubTxn> {
        let (parent, _) = crate::types::parent_and_name(path)?;
        let (_, parent, _) = model.nodes.get(parent)?;
        if parent.ephemeral_owner > 0 {
            return None;
        }
        let parent_cversion = parent.cversion + 1;
        let (path, data, acl) = (path.to_string(), self.data(), self.acl());
        Some(match self.random.below(8) {
            0 => SubTxn::CreateContainer { path, data, acl, parent_cversion },
            1 => SubTxn::CreateTtl { path, data, acl, parent_cversion, ttl_ms: 1 + self.zxid },
            n => {
                let ephemeral = n < 5;
                SubTxn::Create { with_stat: n % 2 == 0, path, data, acl, ephemeral, parent_cversion }
            }
        })
    }

    fn data(&mut self) -> Option<Bytes> {
        random_data(&mut self.random)
    }

    fn acl(&mut self) -> AclList {
        random_acl(&mut self.random)
    }
}

fn random_data(random: &mut Random) -> Option<Bytes> {
    match random.below(6) {
        0 => None,
        1 => Some(Bytes::new()),
        2 => Some(Bytes::from(vec![b'x'; 2_000])),
        n => Some(Bytes::from(random.next().to_be_bytes()[..n].to_vec())),
    }
}

fn random_acl(random: &mut Random) -> AclList {
    match random.below(6) {
        0..=2 => open_acl().clone(),
        n => acl(["u", "v", "w"][n - 3]),
    }
}

/// A txn that fits nothing in particular.
pub fn anything(random: &mut Random, zxid: i64) -> Txn {
    let session = *random.pick(SESSIONS);
    let body = match random.below(12) {
        0 => TxnBody::CloseSession {
            paths: random.one_in(2).then(|| vec![deletable_path(random), deletable_path(random)]),
        },
        1 | 2 => TxnBody::Multi((0..random.below(5)).map(|_| any_op(random)).collect()),
        _ => TxnBody::One(any_op(random)),
    };
    txn(zxid, session, body)
}

fn any_path(random: &mut Random) -> String {
    let from = if random.one_in(8) { BAD_PATHS } else { PATHS };
    (*random.pick(from)).to_string()
}

/// Not one of the znodes that everything stands on.
fn deletable_path(random: &mut Random) -> String {
    let path = any_path(random);
    if path.starts_with("/zookeeper") { "/a".into() } else { path }
}

fn any_op(random: &mut Random) -> SubTxn {
    let (path, data, acl) = (any_path(random), random_data(random), random_acl(random));
    let parent_cversion = random.below(12) as i32 - 1;
    match random.below(16) {
        0..=4 => {
            let (with_stat, ephemeral) = (random.one_in(2), random.one_in(3));
            SubTxn::Create { with_stat, path, data, acl, ephemeral, parent_cversion }
        }
        5 => SubTxn::CreateContainer { path, data, acl, parent_cversion },
        6 => {
            let ttl_ms = *random.pick(&[-1, 0, 1, 300, (1 << 40) - 1, 1 << 40, i64::MAX]);
            SubTxn::CreateTtl { path, data, acl, parent_cversion, ttl_ms }
        }
        7 => SubTxn::SetAcl { path, acl, version: random.next() as i32 },
        8..=10 => SubTxn::Delete { container: false, path: deletable_path(random) },
        11 => SubTxn::Check { path, version: 0 },
        12 if random.one_in(3) => SubTxn::Error { code: -12_345 },
        _ => SubTxn::SetData { path, data, version: random.next() as i32 },
    }
}
