use crate::types::{ServerId, SessionId, Zxid};

/// Marks numbers that are reckoned from zxids; no time has this bit without the one above it for a long while.
const ZXIDS: i64 = 1 << 54;

/// Gives out session numbers: the server's number in the highest byte, then 40 bits of the start time in ms, then
/// a counter.
///
/// Upstream takes its monotonic clock; the wall clock is taken here so that numbers do not come again after the
/// machine has been restarted. Upstream counterpart: `SessionTrackerImpl.initializeNextSessionId`.
#[derive(Clone, Debug)]
pub struct SessionIds {
    next: i64,
    server: ServerId,
}

impl SessionIds {
    /// Numbers of a server that starts at this wall clock time.
    pub fn new(server: ServerId, wall_ms: i64) -> Self {
        let time = (((wall_ms as u64) << 24) >> 8) as i64;
        let next = time | (server.0 << 56);
        Self { next: if next == i64::MIN { next + 1 } else { next }, server }
    }

    /// Numbers of a member of an ensemble that begins to serve clients when `proposed` is the last txn it knows of.
    ///
    /// A wall clock that is set back makes numbers of the old kind come again, and with a number comes its password:
    /// whoever held it before would take part in another client's session. The creation of a session is a txn, so the
    /// numbers given out fall behind the zxids, and the next life or role of this server begins beyond all of them.
    pub fn after(server: ServerId, proposed: Zxid) -> Self {
        let place = ZXIDS | (proposed.0 & (ZXIDS - 1));
        Self { next: place | (server.0 << 56), server }
    }

    /// Makes sure that this number, known from the files, is not given out again.
    pub fn avoid(&mut self, seen: SessionId) {
        if seen.0 >> 56 == self.server.0 as i8 as i64 && seen.0 >= self.next {
            self.next = seen.0 + 1;
        }
    }
}

impl Iterator for SessionIds {
    type Item = SessionId;

    /// The next number; never ends.
    fn next(&mut self) -> Option<SessionId> {
        let id = SessionId(self.next);
        self.next += 1;
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Epoch;

    #[test]
    fn a_number_begins_with_the_servers() {
        let mut ids = SessionIds::new(ServerId(1), 1_790_000_000_000);
        let first = ids.next().unwrap();
        assert_eq!(first.0 >> 56, 1);
        assert_eq!(ids.next().unwrap().0, first.0 + 1);
    }

    #[test]
    fn numbers_of_a_later_life_are_beyond_those_of_an_earlier_one() {
        let zxid = |epoch, counter| Zxid::new(Epoch(epoch), counter);
        let first = SessionIds::after(ServerId(3), zxid(7, 100)).nth(20).unwrap();
        let second = SessionIds::after(ServerId(3), zxid(7, 121)).next().unwrap();
        let third = SessionIds::after(ServerId(3), zxid(8, 0)).next().unwrap();
        assert!(first < second && second < third);
        assert_eq!(third.0 >> 56, 3);
        assert!(SessionIds::new(ServerId(3), 1_790_000_000_000).next().unwrap() > third);
    }

    #[test]
    fn numbers_known_from_the_files_are_not_given_again() {
        let mut ids = SessionIds::new(ServerId(1), 5);
        let later = SessionId(ids.clone().next().unwrap().0 + 100);
        ids.avoid(later);
        ids.avoid(SessionId(2 << 56));
        assert_eq!(ids.next().unwrap().0, later.0 + 1);
    }
}
