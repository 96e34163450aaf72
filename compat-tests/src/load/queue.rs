//! Sessions that make sequential nodes below one parent, with unique data, many at a time.
//!
//! At the end: every answered node is there under the name that was answered; no data is there twice (nothing
//! was carried out twice); the nodes of one session have numbers in the order of its requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::load::Shared;
use crate::load::session::{Session, TIMEOUT_MS, Trouble, violation};
use crate::raw::{Acl, Dec, create_body, flag};
use crate::state::State;

/// Requests a client has unanswered at most.
const DEPTH_MAX: usize = 8;

/// How long a client rests after each burst: all that it makes is read again at the end.
const PAUSE: Duration = Duration::from_millis(20);

/// What one client has made: its number of the request -> the path that was answered.
pub(super) type Made = BTreeMap<u64, String>;

/// A client that adds to the queue.
pub(super) struct Producer {
    client: u32,
    session: Session,
    rng: StdRng,
    unanswered: VecDeque<u64>,
    next: u64,
    made: Made,
}

impl Producer {
    pub(super) fn new(client: u32, shared: &Shared) -> Result<Producer, String> {
        let mut rng = StdRng::seed_from_u64(shared.seed.wrapping_add(2000 + u64::from(client)));
        let name = format!("{}/q producer {client}", shared.root);
        let session = Session::open(&name, &shared.servers, TIMEOUT_MS, &mut rng)?;
        Ok(Producer { client, session, rng, unanswered: VecDeque::new(), next: 0, made: Made::new() })
    }

    pub(super) fn run(mut self, shared: &Shared) -> Result<(Session, u32, Made), String> {
        while !shared.stop.load(Ordering::SeqCst) {
            match self.burst(shared) {
                Ok(()) => std::thread::sleep(PAUSE),
                Err(Trouble::Violation(what)) => return Err(what),
                Err(Trouble::Connection(_)) => {
                    self.unanswered.clear();
                    self.session.come_back(&mut self.rng, |_, _| Ok(()))?;
                }
            }
        }
        shared.moves.fetch_add(self.session.moves, Ordering::Relaxed);
        Ok((self.session, self.client, self.made))
    }

    fn burst(&mut self, shared: &Shared) -> Result<(), Trouble> {
        for _ in 0..self.rng.random_range(1..=DEPTH_MAX) {
            let data = format!("{}:{}", self.client, self.next);
            let path = format!("{}/q/s-", shared.root);
            let (opcode, body) =
                create_body(&path, Some(data.as_bytes()), &Acl::open(), flag::PERSISTENT_SEQUENTIAL, 0);
            self.unanswered.push_back(self.next);
            self.next += 1;
            self.session.send(opcode, &body.0)?;
        }
        while let Some(&number) = self.unanswered.front() {
            let reply = self.session.recv()?;
            self.unanswered.pop_front();
            if reply.err != 0 {
                return violation(format!("{}: create answered with {}", self.session.name, reply.err));
            }
            self.made.insert(number, Dec(&reply.body).str()?);
            shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Compares what is there with what was answered.
pub(super) fn verify(root: &str, made: &BTreeMap<u32, Made>, state: &State) -> Result<(), String> {
    let parent = format!("{root}/q/");
    // client -> number of its request -> path
    let mut found: BTreeMap<u32, Made> = BTreeMap::new();
    let mut twice = Vec::new();
    for (path, node) in state.nodes.range(parent.clone()..).take_while(|(path, _)| path.starts_with(&parent))
    {
        let data = String::from_utf8_lossy(node.data.as_deref().unwrap_or_default());
        let (client, number) = data
            .split_once(':')
            .and_then(|(c, n)| Some((c.parse().ok()?, n.parse().ok()?)))
            .ok_or_else(|| format!("{path} holds {data:?}, which nobody wrote"))?;
        if let Some(before) = found.entry(client).or_default().insert(number, path.clone()) {
            twice.push(format!("{before} and {path} both hold {data}"));
        }
    }
    if !twice.is_empty() {
        return Err(format!("carried out twice: {twice:?}"));
    }
    for (client, found) in &found {
        // Numbers have ten digits, so names sort as they do.
        for ((earlier, a), (later, b)) in found.iter().zip(found.iter().skip(1)) {
            if a >= b {
                return Err(format!(
                    "client {client}: request {earlier} made {a}, the later {later} made {b}"
                ));
            }
        }
    }
    for (client, answered) in made {
        for (number, path) in answered {
            let there = found.get(client).and_then(|f| f.get(number));
            if there != Some(path) {
                return Err(format!(
                    "client {client}: request {number} was answered with {path}; found: {there:?}"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Node;

    #[test]
    fn lost_doubled_and_overtaken_requests_are_noticed() {
        let state = |nodes: &[(&str, &str)]| {
            let nodes = nodes.iter().map(|(path, data)| {
                let node = Node {
                    data: Some(data.as_bytes().to_vec()),
                    stat: Default::default(),
                    acls: Acl::open(),
                };
                (format!("/r/q/s-{path}"), node)
            });
            State { nodes: nodes.collect(), ..State::default() }
        };
        let made: BTreeMap<u32, Made> = [(0, [(0, "/r/q/s-0".into()), (1, "/r/q/s-1".into())].into())].into();
        let verdict = |nodes: &[(&str, &str)]| verify("/r", &made, &state(nodes));
        verdict(&[("0", "0:0"), ("1", "0:1")]).unwrap();
        // The last one's answer was lost.
        verdict(&[("0", "0:0"), ("1", "0:1"), ("2", "0:2")]).unwrap();
        assert!(verdict(&[("0", "0:0")]).unwrap_err().contains("request 1 was answered"));
        assert!(verdict(&[("0", "0:0"), ("1", "0:1"), ("2", "0:1")]).unwrap_err().contains("twice"));
        assert!(verdict(&[("0", "0:1"), ("1", "0:0")]).unwrap_err().contains("the later"));
    }
}
