//! What one client's own subtree must look like after a sequence of operations.
//!
//! The soak keeps one [`Model`] per client. Since nobody else writes below the client's root, every answer
//! can be told in advance, and after a crash the subtree must be what some prefix of the unanswered
//! operations made of the last answered state: no answered one may be missing, and none may have overtaken
//! another.

use std::collections::BTreeMap;

use crate::raw::{Acl, MultiOp, code, flag};

/// One operation of the soak.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Op {
    Create { path: String, data: Vec<u8>, flags: i32 },
    Set { path: String, data: Vec<u8>, version: i32 },
    Delete { path: String, version: i32 },
    Check { path: String, version: i32 },
    Multi(Vec<Op>),
    Read { path: String },
    Sync,
}

/// What an operation must answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Outcome {
    Created(String),
    Set { version: i32 },
    Done,
    Failed(i32),
    Multi(Vec<Outcome>),
    Read { data: Vec<u8>, version: i32 },
}

/// One node as the client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelNode {
    /// Its data.
    pub data: Vec<u8>,
    /// Its data version.
    pub version: i32,
    /// How many children were ever created below it: the stored cversion.
    pub creates: i32,
    /// Whether it belongs to the client's session.
    pub ephemeral: bool,
    /// The zxids of creation and last change, where an answer told them.
    pub zxids: Option<(i64, i64)>,
}

/// A client's subtree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The client's root, which is never deleted.
    pub root: String,
    /// Every node by its path, the root included.
    pub nodes: BTreeMap<String, ModelNode>,
}

impl Model {
    /// A subtree that holds only its root, freshly made.
    pub fn new(root: &str) -> Model {
        let node = ModelNode { data: Vec::new(), version: 0, creates: 0, ephemeral: false, zxids: None };
        Model { root: root.into(), nodes: [(root.to_owned(), node)].into() }
    }

    /// How many children a node has.
    pub fn children(&self, path: &str) -> usize {
        let prefix = format!("{path}/");
        let below = self.nodes.range(prefix.clone()..);
        below
            .take_while(|(p, _)| p.starts_with(&prefix))
            .filter(|(p, _)| !p[prefix.len()..].contains('/'))
            .count()
    }

    /// Applies an operation and tells its answer.
    pub fn apply(&mut self, op: &Op) -> Outcome {
        match self.try_apply(op) {
            Ok(outcome) => outcome,
            Err(code) => Outcome::Failed(code),
        }
    }

    fn try_apply(&mut self, op: &Op) -> Result<Outcome, i32> {
        match op {
            Op::Create { path, data, flags } => self.create(path, data, *flags),
            Op::Set { path, data, version } => {
                let node = self.nodes.get_mut(path).ok_or(code::NO_NODE)?;
                node.check(*version)?;
                node.version += 1;
                node.data.clone_from(data);
                node.zxids = None;
                Ok(Outcome::Set { version: node.version })
            }
            Op::Delete { path, version } => {
                self.nodes.get(path).ok_or(code::NO_NODE)?.check(*version)?;
                if self.children(path) > 0 {
                    return Err(code::NOT_EMPTY);
                }
                self.nodes.remove(path);
                Ok(Outcome::Done)
            }
            Op::Check { path, version } => {
                self.nodes.get(path).ok_or(code::NO_NODE)?.check(*version)?;
                Ok(Outcome::Done)
            }
            Op::Multi(ops) => Ok(Outcome::Multi(self.multi(ops))),
            Op::Read { path } => {
                let node = self.nodes.get(path).ok_or(code::NO_NODE)?;
                Ok(Outcome::Read { data: node.data.clone(), version: node.version })
            }
            Op::Sync => Ok(Outcome::Done),
        }
    }

    fn create(&mut self, path: &str, data: &[u8], flags: i32) -> Result<Outcome, i32> {
        let (parent_path, _) = path.rsplit_once('/').expect("a path has a slash");
        let parent = self.nodes.get_mut(parent_path).ok_or(code::NO_NODE)?;
        let sequential = [flag::PERSISTENT_SEQUENTIAL, flag::EPHEMERAL_SEQUENTIAL].contains(&flags);
        let path = if sequential { format!("{path}{:010}", parent.creates) } else { path.to_owned() };
        if self.nodes.contains_key(&path) {
            return Err(code::NODE_EXISTS);
        }
        let parent = self.nodes.get_mut(parent_path).ok_or(code::NO_NODE)?;
        if parent.ephemeral {
            return Err(code::NO_CHILDREN_FOR_EPHEMERALS);
        }
        parent.creates += 1;
        let ephemeral = [flag::EPHEMERAL, flag::EPHEMERAL_SEQUENTIAL].contains(&flags);
        let node = ModelNode { data: data.to_vec(), version: 0, creates: 0, ephemeral, zxids: None };
        self.nodes.insert(path.clone(), node);
        Ok(Outcome::Created(path))
    }

    fn multi(&mut self, ops: &[Op]) -> Vec<Outcome> {
        let before = self.nodes.clone();
        let mut outcomes: Vec<Outcome> = Vec::new();
        for op in ops {
            match self.try_apply(op) {
                Ok(outcome) => outcomes.push(outcome),
                Err(code) => {
                    self.nodes = before;
                    let failed = outcomes.len();
                    return (0..ops.len())
                        .map(|i| match i.cmp(&failed) {
                            std::cmp::Ordering::Less => Outcome::Failed(0),
                            std::cmp::Ordering::Equal => Outcome::Failed(code),
                            std::cmp::Ordering::Greater => Outcome::Failed(code::RUNTIME_INCONSISTENCY),
                        })
                        .collect();
                }
            }
        }
        outcomes
    }

    /// What closing the session does.
    pub fn drop_ephemerals(&mut self) {
        self.nodes.retain(|_, node| !node.ephemeral);
    }
}

impl ModelNode {
    fn check(&self, version: i32) -> Result<(), i32> {
        if version == -1 || version == self.version { Ok(()) } else { Err(code::BAD_VERSION) }
    }
}

impl Op {
    /// Whether it makes a txn when it succeeds.
    pub fn writes(&self) -> bool {
        !matches!(self, Op::Read { .. } | Op::Sync)
    }

    /// The operation as part of a multi.
    pub fn in_multi(&self) -> MultiOp {
        match self.clone() {
            Op::Create { path, data, flags } => {
                MultiOp::Create { path, data: Some(data), acls: Acl::open(), flags, ttl_ms: 0 }
            }
            Op::Set { path, data, version } => MultiOp::SetData { path, data: Some(data), version },
            Op::Delete { path, version } => MultiOp::Delete { path, version },
            Op::Check { path, version } => MultiOp::Check { path, version },
            Op::Multi(_) | Op::Read { .. } | Op::Sync => panic!("no part of a multi of writes: {self:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(path: &str, flags: i32) -> Op {
        Op::Create { path: path.into(), data: Vec::new(), flags }
    }

    #[test]
    fn sequence_numbers_count_creates_and_not_children() {
        let mut m = Model::new("/c");
        m.apply(&create("/c/a", 0));
        m.apply(&Op::Delete { path: "/c/a".into(), version: -1 });
        assert_eq!(m.apply(&create("/c/s-", 2)), Outcome::Created("/c/s-0000000001".into()));
    }

    #[test]
    fn a_failing_multi_leaves_everything_as_it_was() {
        let mut m = Model::new("/c");
        let before = m.clone();
        let failing = Op::Multi(vec![
            create("/c/a", 0),
            Op::Check { path: "/c/a".into(), version: 5 },
            create("/c/b", 0),
        ]);
        let expected = Outcome::Multi(vec![
            Outcome::Failed(0),
            Outcome::Failed(code::BAD_VERSION),
            Outcome::Failed(code::RUNTIME_INCONSISTENCY),
        ]);
        assert_eq!(m.apply(&failing), expected);
        assert_eq!(m, before);
    }
}
