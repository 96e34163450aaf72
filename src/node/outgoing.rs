//! What one turn of the core has for other members: everything for one connection leaves in one piece.

use super::peers::Peers;
use crate::zab::LinkId;
use bytes::Bytes;

/// Bytes for connections, in the order in which each is to get them.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// There are few links, and most turns have something for all of them.
    links: Vec<(LinkId, Piece)>,
    leader: Option<(u64, Piece)>,
}

/// One packet or several. A single piece, which all followers share, is not copied.
#[derive(Debug)]
enum Piece {
    One(Bytes),
    Several(Vec<u8>),
}

impl Piece {
    fn add(&mut self, more: &Bytes) {
        match self {
            Piece::One(first) => {
                let mut all = Vec::with_capacity((first.len() + more.len()) * 2);
                all.extend_from_slice(first);
                all.extend_from_slice(more);
                *self = Piece::Several(all);
            }
            Piece::Several(all) => all.extend_from_slice(more),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Piece::One(bytes) => bytes,
            Piece::Several(bytes) => bytes.into(),
        }
    }
}

impl Outgoing {
    /// Adds something for a learner.
    pub fn for_link(&mut self, link: LinkId, bytes: Bytes) {
        match self.links.iter_mut().find(|(to, _)| *to == link) {
            Some((_, piece)) => piece.add(&bytes),
            None => self.links.push((link, Piece::One(bytes))),
        }
    }

    /// Adds something for the leader.
    pub fn for_leader(&mut self, attempt: u64, bytes: Bytes) {
        match &mut self.leader {
            Some((to, piece)) if *to == attempt => piece.add(&bytes),
            other => *other = Some((attempt, Piece::One(bytes))),
        }
    }

    /// Sends what there is for one learner: something else is to follow in its place.
    pub fn flush_link(&mut self, peers: &Peers, link: LinkId) {
        if let Some(at) = self.links.iter().position(|(to, _)| *to == link) {
            let (_, piece) = self.links.remove(at);
            peers.send(link, piece.into_bytes());
        }
    }

    /// Sends everything.
    pub fn flush(&mut self, peers: &Peers) {
        for (link, piece) in self.links.drain(..) {
            peers.send(link, piece.into_bytes());
        }
        if let Some((attempt, piece)) = self.leader.take() {
            peers.send_to_leader(attempt, piece.into_bytes());
        }
    }
}
