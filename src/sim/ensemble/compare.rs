//! The end of a run: every member's tree and sessions against each other and against the oracle's.

use super::{
    model::Known,
    world::{Stop, World},
};
use crate::{tree::Tree, types::Owner};
use std::collections::BTreeMap;

impl World {
    pub(super) fn compare_members(&self) -> Result<(), Stop> {
        let sessions: Vec<_> = self.ghost.model.living().collect();
        let mut digest = None;
        for (n, node) in self.nodes.iter().enumerate().filter(|(n, _)| self.has_to_serve(*n)) {
            let Some(run) = &node.run else { continue };
            let found = znodes(&run.tree);
            if found != *self.ghost.model.now() {
                return Err(Stop::Violation(format!(
                    "Convergence: node {n} has {found:?}, it should have {:?}",
                    self.ghost.model.now()
                )));
            }
            if *digest.get_or_insert(run.tree.digest()) != run.tree.digest() {
                return Err(Stop::Violation(format!("DigestsAgree: node {n} ends with a digest of its own")));
            }
            let mine = run.member.pipeline().global_sessions();
            if mine != sessions {
                return Err(Stop::Violation(format!(
                    "SessionsLive: node {n} knows sessions {mine:?}, there are {sessions:?}"
                )));
            }
            if let Some(owner) = run.tree.ephemeral_sessions().find(|s| !sessions.iter().any(|x| x.0 == *s)) {
                return Err(Stop::Violation(format!(
                    "Ephemerals: node {n} has some of {owner}, which is over"
                )));
            }
        }
        Ok(())
    }
}

fn znodes(tree: &Tree) -> BTreeMap<String, Known> {
    let mut found = BTreeMap::new();
    let mut walk = vec![tree.root()];
    while let Some(node) = walk.pop() {
        walk.extend(node.children());
        let path = node.path();
        if path.len() > 1 && !path.starts_with("/zookeeper") {
            let owner = match node.owner() {
                Owner::Session(session) => Some(session),
                _ => None,
            };
            let data = node.data().unwrap_or_default().to_vec();
            found.insert(path, Known { data, owner, version: node.stat().version });
        }
    }
    found
}
