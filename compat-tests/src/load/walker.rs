//! One session that writes at random below a root of its own, with the model of what must be there.
//!
//! Since nobody else writes there, every answer can be told in advance. After a lost connection the subtree
//! must be what some prefix of the unanswered operations made of the answered ones: nothing answered is
//! missing, nothing has overtaken, a multi is there whole or not at all, ephemerals live as long as the session.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

use crate::load::Shared;
use crate::load::session::{Back, Session, TIMEOUT_MS, Trouble, violation};
use crate::model::{Model, Op, Outcome};
use crate::raw::{Acl, Dec, Enc, MultiResult, Reply, Stat, code, create_body, multi_body, multi_results, op};

/// Requests a client has unanswered at most.
const DEPTH_MAX: usize = 12;

/// Nodes a client keeps at most, roughly.
const NODES_MAX: usize = 120;

/// A client with its model. An error of its methods is a violation; the loss of a connection is none.
pub(super) struct Walker {
    session: Session,
    rng: StdRng,
    model: Model,
    /// Operations sent and not answered, oldest first.
    unanswered: VecDeque<Op>,
    made: u64,
    /// Set while a closeSession is under way.
    closing: bool,
    /// How often the barrier node was written.
    barriers: u64,
}

impl Walker {
    pub(super) fn new(i: u32, shared: &Shared) -> Result<Walker, String> {
        let root = format!("{}/c{i}", shared.root);
        let mut rng = StdRng::seed_from_u64(shared.seed.wrapping_add(1000 + u64::from(i)));
        let mut session = Session::open(&root, &shared.servers, TIMEOUT_MS, &mut rng)?;
        // These have no model yet: whether a lost answer had made them does not matter.
        for path in [root.clone(), format!("{root}-barrier")] {
            shared.make_node(&mut session, &mut rng, &path)?;
        }
        Ok(Walker {
            session,
            rng,
            model: Model::new(&root),
            unanswered: VecDeque::new(),
            made: 0,
            closing: false,
            barriers: 0,
        })
    }

    /// Works until the end of the load; the subtree is compared once more then.
    pub(super) fn run(mut self, shared: &Shared) -> Result<Session, String> {
        while !shared.stop.load(Ordering::SeqCst) {
            match self.burst(shared) {
                Ok(()) => std::thread::sleep(shared.pause_between),
                Err(Trouble::Violation(what)) => return Err(what),
                Err(Trouble::Connection(_)) => self.recover(shared)?,
            }
        }
        self.recover(shared)?;
        shared.moves.fetch_add(self.session.moves, Ordering::Relaxed);
        Ok(self.session)
    }

    fn burst(&mut self, shared: &Shared) -> Result<(), Trouble> {
        if self.rng.random_range(0..300) == 0 {
            return self.change_session();
        }
        let depth = self.rng.random_range(1..=DEPTH_MAX);
        let mut ahead = self.model.clone();
        for _ in 0..depth {
            let next = self.some_op(&ahead);
            ahead.apply(&next);
            let (opcode, body) = request(&next);
            // Once sent it may be applied, whatever the send says.
            self.unanswered.push_back(next);
            self.session.send(opcode, &body.0)?;
        }
        while !self.unanswered.is_empty() {
            let reply = self.session.recv()?;
            let done = self.unanswered.pop_front().expect("not empty");
            self.answered(&done, &reply, shared)?;
            if done.writes() {
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Compares an answer with the model's and takes the zxids it tells.
    fn answered(&mut self, done: &Op, reply: &Reply, shared: &Shared) -> Result<(), Trouble> {
        let mut after = self.model.clone();
        let expected = after.apply(done);
        let (seen, told) = outcome(done, reply)?;
        if seen == expected {
            self.model = after;
        } else if shared.empty_may_be_late && is_not_empty(&seen) {
            shared.late_empties.fetch_add(1, Ordering::Relaxed);
        } else {
            return violation(format!(
                "{}: {done:?} answered {seen:?} at {} instead of {expected:?}",
                self.session.name, self.session.at
            ));
        }
        for (path, czxid, mzxid) in told {
            if let Some(node) = self.model.nodes.get_mut(&path) {
                node.zxids = Some((czxid, mzxid));
            }
        }
        Ok(())
    }

    fn change_session(&mut self) -> Result<(), Trouble> {
        self.closing = true;
        self.session.may_be_gone = true;
        self.session.call(op::CLOSE_SESSION, &[])?;
        // The connection ends now. To come back finds the session gone, or else takes care of it.
        Err(Trouble::Connection("closed by itself".into()))
    }

    /// Comes back after a lost connection: the session must be known, and the subtree one that can be.
    fn recover(&mut self, shared: &Shared) -> Result<(), String> {
        let (root, closing) = (self.model.root.clone(), &mut self.closing);
        let barriers = &mut self.barriers;
        let (back, found) = self.session.come_back(&mut self.rng, |session, back| {
            if *closing && back == Back::Same {
                session.may_be_gone = true;
                session.call(op::CLOSE_SESSION, &[])?;
                return Err(Trouble::Connection("closed by itself, again".into()));
            }
            *closing = false;
            // A write is answered by a quorum, so everything that this session sent before is decided now: it
            // is in the tree that a read sees next, or the leader will refuse it (it comes from where the
            // session is no more).
            *barriers += 1;
            let path = format!("{root}-barrier");
            let text = barriers.to_string();
            let body = Enc::new().str(&path).buf(Some(text.as_bytes())).int(-1);
            let reply = session.call(op::SET_DATA, &body.0)?;
            if reply.err != 0 {
                return violation(format!("{}: {path} cannot be set: {}", session.name, reply.err));
            }
            Ok((back, read_subtree(session, &root)?))
        })?;
        self.compare(back, &found, shared)
    }

    fn compare(&mut self, back: Back, found: &[Found], shared: &Shared) -> Result<(), String> {
        let mut answered = self.model.clone();
        let mut why = Vec::new();
        for applied in 0..=self.unanswered.len() {
            let mut candidate = answered.clone();
            if back == Back::New {
                candidate.drop_ephemerals();
            }
            match difference(&candidate, found, self.session.id()) {
                None => {
                    shared.in_doubt.fetch_add(self.unanswered.len() as u64, Ordering::Relaxed);
                    shared.in_doubt_applied.fetch_add(applied as u64, Ordering::Relaxed);
                    self.model = found_as_model(&candidate, found);
                    self.unanswered.clear();
                    return Ok(());
                }
                Some(what) => why.push(format!("with {applied} unanswered applied: {what}")),
            }
            if let Some(next) = self.unanswered.get(applied) {
                answered.apply(next);
            }
        }
        Err(format!(
            "{} (session {:#x}, {back:?}) at {}: the subtree is none that can be; unanswered: {:?}\n  {}",
            self.session.name,
            self.session.id(),
            self.session.at,
            self.unanswered,
            why.join("\n  ")
        ))
    }

    fn some_op(&mut self, ahead: &Model) -> Op {
        match self.rng.random_range(0..40) {
            0..5 => {
                let mut after = ahead.clone();
                let count = self.rng.random_range(1..5);
                let mut ops = Vec::new();
                while ops.len() < count {
                    let next = match self.single_op(&after) {
                        Op::Multi(mut checks) => checks.remove(0),
                        single => single,
                    };
                    after.apply(&next);
                    ops.push(next);
                }
                Op::Multi(ops)
            }
            5..9 => {
                let path = ahead.nodes.keys().choose(&mut self.rng).expect("the root is there").clone();
                let path = if self.rng.random_bool(0.1) { format!("{path}/none") } else { path };
                Op::Read { path }
            }
            9 => Op::Sync,
            _ => self.single_op(ahead),
        }
    }

    fn single_op(&mut self, ahead: &Model) -> Op {
        let path = ahead.nodes.keys().choose(&mut self.rng).expect("the root is there").clone();
        let version = match self.rng.random_range(0..4) {
            0 => ahead.nodes[&path].version,
            1 => self.rng.random_range(0..3),
            _ => -1,
        };
        let full = ahead.nodes.len() > NODES_MAX;
        match self.rng.random_range(0..10) {
            0..5 if !full => self.create_below(&path),
            0..3 if path != ahead.root => Op::Delete { path, version },
            3 => Op::Multi(vec![Op::Check { path, version }]),
            4 | 5 if path != ahead.root => Op::Delete { path, version },
            _ => Op::Set { path, data: self.data(), version },
        }
    }

    fn create_below(&mut self, path: &str) -> Op {
        self.made += 1;
        // Not too deep: a path grows by a name at each level.
        let parent = if path.matches('/').count() > 5 { &self.model.root } else { path };
        let name = if self.rng.random_bool(0.8) { self.made } else { self.made / 2 };
        let path = format!("{parent}/n{name}-");
        let flags = self.rng.random_range(0..4);
        Op::Create { path, data: self.data(), flags }
    }

    fn data(&mut self) -> Vec<u8> {
        let len = if self.rng.random_range(0..60) == 0 { 8_000 } else { self.rng.random_range(0..200) };
        (0..len).map(|_| self.rng.random()).collect()
    }
}

/// Whether a delete was refused because of children.
fn is_not_empty(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Failed(code) => *code == code::NOT_EMPTY,
        Outcome::Multi(parts) => parts.iter().any(is_not_empty),
        _ => false,
    }
}

/// A node as read back.
struct Found {
    path: String,
    data: Vec<u8>,
    stat: Stat,
}

fn read_subtree(session: &mut Session, root: &str) -> Result<Vec<Found>, Trouble> {
    let mut found = Vec::new();
    let mut wanted = vec![root.to_owned()];
    while let Some(path) = wanted.pop() {
        let zk = session.zk();
        let Ok((data, stat)) = zk.get_data(&path, false)? else { continue };
        let names = zk.children(&path)?.unwrap_or_default();
        wanted.extend(names.iter().map(|name| format!("{path}/{name}")));
        found.push(Found { path, data: data.unwrap_or_default(), stat });
    }
    Ok(found)
}

/// Why what was found is not the model, if it is not.
fn difference(model: &Model, found: &[Found], session_id: i64) -> Option<String> {
    for f in found {
        let Some(node) = model.nodes.get(&f.path) else { return Some(format!("{} is too much", f.path)) };
        let s = &f.stat;
        let children = model.children(&f.path) as i32;
        let owner = if node.ephemeral { session_id } else { 0 };
        let same = f.data == node.data
            && s.version == node.version
            && s.num_children == children
            && s.cversion == 2 * node.creates - children
            && s.ephemeral_owner == owner
            && node.zxids.is_none_or(|z| z == (s.czxid, s.mzxid));
        if !same {
            let wanted = format!("{} bytes, {children} children, {node:?}", node.data.len());
            return Some(format!("{} is {s:?} instead of {wanted}", f.path));
        }
    }
    let lost = model.nodes.keys().find(|path| found.iter().all(|f| f.path != **path))?;
    Some(format!("{lost} is missing"))
}

/// The model with the zxids that were read.
fn found_as_model(model: &Model, found: &[Found]) -> Model {
    let mut model = model.clone();
    for f in found {
        if let Some(node) = model.nodes.get_mut(&f.path) {
            node.zxids = Some((f.stat.czxid, f.stat.mzxid));
        }
    }
    model
}

fn request(next: &Op) -> (i32, Enc) {
    match next {
        Op::Create { path, data, flags } => create_body(path, Some(data), &Acl::open(), *flags, 0),
        Op::Set { path, data, version } => (op::SET_DATA, Enc::new().str(path).buf(Some(data)).int(*version)),
        Op::Delete { path, version } => (op::DELETE, Enc::new().str(path).int(*version)),
        Op::Check { .. } => unreachable!("a check stands in a multi only"),
        Op::Multi(ops) => {
            let ops: Vec<_> = ops.iter().map(Op::in_multi).collect();
            (op::MULTI, multi_body(&ops))
        }
        Op::Read { path } => (op::GET_DATA, Enc::new().str(path).bool(false)),
        Op::Sync => (op::SYNC, Enc::new().str("/")),
    }
}

/// The zxids that a reply tells: path, czxid, mzxid.
type Told = (String, i64, i64);

/// What a reply says, and the zxids it tells.
fn outcome(done: &Op, reply: &Reply) -> Result<(Outcome, Vec<Told>), Trouble> {
    if reply.err != 0 {
        return Ok((Outcome::Failed(reply.err), Vec::new()));
    }
    let mut d = Dec(&reply.body);
    Ok(match done {
        Op::Create { .. } => {
            let (path, stat) = (d.str()?, d.stat()?);
            (Outcome::Created(path.clone()), vec![(path, stat.czxid, stat.mzxid)])
        }
        Op::Set { path, .. } => {
            let stat = d.stat()?;
            (Outcome::Set { version: stat.version }, vec![(path.clone(), stat.czxid, stat.mzxid)])
        }
        Op::Delete { .. } | Op::Check { .. } | Op::Sync => (Outcome::Done, Vec::new()),
        Op::Read { path } => {
            let (data, stat) = (d.buf()?.unwrap_or_default(), d.stat()?);
            (Outcome::Read { data, version: stat.version }, vec![(path.clone(), stat.czxid, stat.mzxid)])
        }
        Op::Multi(_) => {
            let results = multi_results(&reply.body)?;
            // Zxids inside a multi are not taken: a later operation of it may have changed the node again.
            let outcomes = results.into_iter().map(|r| match r {
                MultiResult::Created { path, .. } => Outcome::Created(path),
                MultiResult::Set { stat } => Outcome::Set { version: stat.version },
                MultiResult::Done => Outcome::Done,
                MultiResult::Failed { code } => Outcome::Failed(code),
            });
            (Outcome::Multi(outcomes.collect()), Vec::new())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comparison_notices_a_lost_a_changed_and_an_unexpected_node() {
        let stat = |version| Stat { version, ..Default::default() };
        let found = |path: &str, version| Found { path: path.into(), data: Vec::new(), stat: stat(version) };
        let root = || {
            let mut root = found("/c", 0);
            root.stat.num_children = 1;
            root.stat.cversion = 1;
            root
        };
        let mut model = Model::new("/c");
        model.apply(&Op::Create { path: "/c/a".into(), data: Vec::new(), flags: 0 });
        assert_eq!(difference(&model, &[root(), found("/c/a", 0)], 7), None);
        assert!(difference(&model, &[root()], 7).unwrap().contains("/c/a is missing"));
        assert!(difference(&model, &[root(), found("/c/a", 1)], 7).unwrap().contains("/c/a is"));
        let more = [root(), found("/c/a", 0), found("/c/b", 0)];
        assert!(difference(&model, &more, 7).unwrap().contains("/c/b is too much"));
    }
}
