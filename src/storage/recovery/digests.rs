use crate::storage::Digest;
use crate::tree::{DIGEST_VERSION, Tree};
use crate::types::{Txn, Zxid};

/// Compares the tree's digest with what the files say it should be.
///
/// A fuzzy snapshot is no state that ever was, so digests on the way mean nothing until replay has passed the zxid
/// of the snapshot's own digest. Without one only the digest after the last transaction counts.
///
/// Upstream counterpart: `DataTree.compareDigest`, `compareSnapshotDigests`.
#[derive(Debug)]
pub(super) struct DigestCheck {
    state: State,
    /// Expected and actual after the last transaction that had a digest.
    last: Option<(Zxid, i64, i64)>,
    pub mismatches: u64,
    first_mismatch: Option<(Zxid, i64, i64)>,
}

#[derive(Debug)]
enum State {
    /// Compare after every transaction.
    Exact,
    /// Compare at this one, and every one after it.
    Await(Digest),
    /// Compare at the end.
    LastOnly,
}

impl DigestCheck {
    pub fn exact_from_start() -> Self {
        Self::new(State::Exact)
    }

    /// For a tree just loaded from the snapshot of `zxid` with this digest section.
    pub fn after_snapshot(tree: &mut Tree, zxid: Zxid, digest: Option<Digest>) -> Self {
        match digest {
            // Taken before the first transaction: no state is more exact.
            _ if zxid == Zxid::ZERO => Self::new(State::Exact),
            Some(d) if d.zxid > zxid => {
                tree.set_fuzzy_until(d.zxid);
                Self::new(State::Await(d))
            }
            Some(d) if d.zxid == zxid => {
                let mut this = Self::new(State::Exact);
                this.compare(tree, zxid, d.value);
                this
            }
            _ => {
                tree.set_fuzzy_until(Zxid::MAX);
                Self::new(State::LastOnly)
            }
        }
    }

    fn new(state: State) -> Self {
        Self { state, last: None, mismatches: 0, first_mismatch: None }
    }

    pub fn after(&mut self, tree: &Tree, txn: &Txn) {
        if !tree.digest_enabled() {
            return;
        }
        if let State::Await(d) = self.state
            && txn.zxid >= d.zxid
        {
            self.state = State::Exact;
            if txn.zxid == d.zxid {
                self.compare(tree, d.zxid, d.value);
                return;
            }
        }
        let Some((DIGEST_VERSION, expected)) = txn.digest else { return };
        match self.state {
            State::Exact => self.compare(tree, txn.zxid, expected),
            State::Await(_) | State::LastOnly => self.last = Some((txn.zxid, expected, tree.digest())),
        }
    }

    fn compare(&mut self, tree: &Tree, zxid: Zxid, expected: i64) {
        if tree.digest_enabled() && tree.digest() != expected {
            self.mismatches += 1;
            self.first_mismatch.get_or_insert((zxid, expected, tree.digest()));
        }
    }

    /// After the last transaction: what there is to say, if anything. The log has nothing more to repair the tree with.
    pub fn finish(&mut self, tree: &mut Tree) -> Option<String> {
        tree.set_fuzzy_until(Zxid::ZERO);
        if !matches!(self.state, State::Exact)
            && let Some((zxid, expected, actual)) = self.last
            && expected != actual
        {
            self.mismatches += 1;
            self.first_mismatch = Some((zxid, expected, actual));
        }
        if let State::Await(d) = self.state {
            return Some(format!(
                "the snapshot was finished after {}, but the log ends before it: transactions may be missing",
                d.zxid
            ));
        }
        let (zxid, expected, actual) = self.first_mismatch?;
        Some(format!(
            "after {} transactions the digest of the tree is not the one written with them, first after {zxid}: \
             {actual:x} instead of {expected:x}; this server's data may differ from what the writer had",
            self.mismatches
        ))
    }
}
