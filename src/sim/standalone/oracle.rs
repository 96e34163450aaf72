use super::server::Server;
use crate::{
    sim::write::Write,
    types::{ErrorCode, SessionId, Zxid},
};
use std::collections::{BTreeMap, BTreeSet};

/// A znode as the oracle knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    data: Vec<u8>,
    owner: Option<SessionId>,
    version: i32,
}

/// The znodes that clients made, without the server's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model(BTreeMap<String, Known>);

impl Model {
    /// What the server has to answer: 0 or the number of the error.
    fn apply(&mut self, write: &Write) -> Result<(), ErrorCode> {
        match write {
            Write::Create { path, data, owner } => {
                let (parent, _) = path.rsplit_once('/').expect("absolute");
                if !parent.is_empty() {
                    let parent = self.0.get(parent).ok_or(ErrorCode::NoNode)?;
                    if self.0.contains_key(path) {
                        return Err(ErrorCode::NodeExists);
                    }
                    if parent.owner.is_some() {
                        return Err(ErrorCode::NoChildrenForEphemerals);
                    }
                }
                if self.0.contains_key(path) {
                    return Err(ErrorCode::NodeExists);
                }
                self.0.insert(path.clone(), Known { data: data.clone(), owner: *owner, version: 0 });
            }
            Write::Set { path, data } => {
                let node = self.0.get_mut(path).ok_or(ErrorCode::NoNode)?;
                node.data.clone_from(data);
                node.version += 1;
            }
            Write::Delete { path } => {
                let (parent, _) = path.rsplit_once('/').expect("absolute");
                if !parent.is_empty() && !self.0.contains_key(parent) {
                    return Err(ErrorCode::NoNode);
                }
                self.0.get(path).ok_or(ErrorCode::NoNode)?;
                let below = format!("{path}/");
                if self.0.range(below.clone()..).next().is_some_and(|(p, _)| p.starts_with(&below)) {
                    return Err(ErrorCode::NotEmpty);
                }
                self.0.remove(path);
            }
            Write::Multi(writes) => {
                let before = self.0.clone();
                for write in writes {
                    if self.apply(write).is_err() {
                        self.0 = before;
                        break;
                    }
                }
            }
            Write::Close { session } => self.0.retain(|_, n| n.owner != Some(*session)),
            // A server that is alone has no members.
            Write::Reconfig { .. } => return Err(ErrorCode::ReconfigDisabled),
        }
        Ok(())
    }
}

struct Sent {
    write: Write,
    acknowledged: bool,
}

/// Knows what clients sent and were told.
#[derive(Default)]
pub(super) struct Oracle {
    /// The znodes after the last restart, or none.
    base: Model,
    /// The znodes after everything answered so far.
    answered: Model,
    /// Writes since the last restart, in the order in which the server got them.
    sent: Vec<Sent>,
    /// How many of them have been answered; answers to writes come in that order.
    answers: usize,
    /// The highest zxid that a client was told.
    told: Zxid,
    /// Sessions that clients hold.
    sessions: BTreeSet<SessionId>,
    writes: usize,
    acknowledged: usize,
}

impl Oracle {
    pub(super) fn sent(&mut self, write: Write) -> usize {
        self.writes += 1;
        self.sent.push(Sent { write, acknowledged: false });
        self.sent.len() - 1
    }

    /// A write was answered with this error number and zxid.
    pub(super) fn answer(&mut self, serial: usize, zxid: Zxid, err: i32) -> Result<(), String> {
        if serial != self.answers {
            return Err(format!("write {serial} was answered before write {}", self.answers));
        }
        let sent = &mut self.sent[serial];
        sent.acknowledged = true;
        self.answers += 1;
        self.acknowledged += 1;
        if zxid <= self.told {
            return Err(format!("the zxids told went from {} to {zxid}", self.told));
        }
        self.told = zxid;
        let expected = ErrorCode::of(&self.answered.apply(&sent.write));
        if err != expected {
            return Err(format!("{:?} was answered {err}, it should be {expected}", sent.write));
        }
        if let Write::Close { session } = sent.write {
            self.sessions.remove(&session);
        }
        Ok(())
    }

    pub(super) fn session(&mut self, session: SessionId, zxid: Zxid) {
        self.sessions.insert(session);
        self.told = self.told.max(zxid);
    }

    pub(super) fn waiting(&self) -> usize {
        self.sent.len() - self.answers
    }

    pub(super) fn writes(&self) -> usize {
        self.writes
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// Holds what a server has after a restart against what clients know; takes it as the new beginning.
    pub(super) fn check_recovered(&mut self, server: &Server) -> Result<(), String> {
        if server.recovered < self.told {
            return Err(format!("clients were told {}, recovered is {}", self.told, server.recovered));
        }
        let found = model_of(server);
        let mut model = self.base.clone();
        let mut matches = None;
        for end in 0..=self.sent.len() {
            if end >= self.answers && model == found {
                matches = Some(end);
                break;
            }
            if let Some(sent) = self.sent.get(end) {
                let _ = model.apply(&sent.write);
            }
        }
        let Some(end) = matches else {
            return Err(format!(
                "{} writes sent, {} acknowledged, and no prefix gives what was recovered: {found:?}",
                self.sent.len(),
                self.answers
            ));
        };
        // A close that was not acknowledged may have happened all the same.
        let closing: BTreeSet<_> = self.sent[self.answers..]
            .iter()
            .filter_map(|s| if let Write::Close { session } = s.write { Some(session) } else { None })
            .collect();
        let recovered: BTreeSet<_> = server.sessions.iter().map(|(id, _)| *id).collect();
        if let Some(lost) = self.sessions.iter().find(|s| !recovered.contains(s) && !closing.contains(s)) {
            return Err(format!("session {lost} is lost"));
        }
        self.sessions.retain(|s| recovered.contains(s));
        debug_assert!(self.sent[..self.answers].iter().all(|s| s.acknowledged) && end >= self.answers);
        self.base = found.clone();
        self.answered = found;
        self.sent.clear();
        self.answers = 0;
        self.told = self.told.max(server.recovered);
        Ok(())
    }
}

fn model_of(server: &Server) -> Model {
    let mut found = BTreeMap::new();
    let mut walk = vec![server.tree.root()];
    while let Some(node) = walk.pop() {
        walk.extend(node.children());
        let path = node.path();
        if path.len() > 1 && !path.starts_with("/zookeeper") {
            let owner = match node.owner() {
                crate::types::Owner::Session(s) => Some(s),
                _ => None,
            };
            let data = node.data().unwrap_or_default().to_vec();
            found.insert(path, Known { data, owner, version: node.stat().version });
        }
    }
    Model(found)
}
