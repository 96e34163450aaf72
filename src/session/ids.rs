use crate::types::{ServerId, SessionId, Zxid, rng::Rng};

/// Marks numbers that are reckoned from zxids; no time has this bit without the one above it for a long while.
const ZXIDS: i64 = 1 << 54;
/// Marks numbers that begin at a random place: both bits.
const RANDOM: i64 = 3 << 54;

/// Gives out session numbers: the server's number in the highest byte, then 40 bits of the start time in ms, then
/// a counter; or, in an ensemble, what follows from the zxid.
///
/// Upstream takes its monotonic clock; the wall clock is taken here so that numbers do not come again after the
/// machine has been restarted. Upstream counterpart: `SessionTrackerImpl.initializeNextSessionId`.
#[derive(Clone, Debug)]
pub struct SessionIds {
    next: i64,
    step: i64,
    server: ServerId,
}

impl SessionIds {
    /// Numbers of a server that starts at this wall clock time.
    pub fn new(server: ServerId, wall_ms: i64) -> Self {
        let time = (((wall_ms as u64) << 24) >> 8) as i64;
        let next = time | (server.0 << 56);
        Self { next: if next == i64::MIN { next + 1 } else { next }, step: 1, server }
    }

    /// Numbers of sessions that only this server knows, for one life of it: a counter that begins at a random place.
    ///
    /// Nothing of these sessions is in the files, so neither a clock, which may be set back, nor a zxid keeps their
    /// numbers from coming again; and with a number comes its password.
    pub fn of_one_life(server: ServerId, seed: u64) -> Self {
        let place = (Rng::new(seed).next_u64() >> 26 << 16) as i64;
        Self { next: server.0 << 56 | RANDOM | place, step: 1, server }
    }

    /// The server, a member of an ensemble, begins to serve clients at this wall clock time, when `proposed` is the last
    /// txn it knows of. Its numbers go on from there.
    ///
    /// A wall clock that is set back makes numbers of the first kind come again, and with a number comes its password:
    /// whoever held it before would take part in another client's session. The creation of a session is a txn, so the
    /// numbers given out fall behind the zxids, and the next life of this server begins beyond all of them. An observer
    /// may begin before it knows of the last ones it has asked for: then the time tells its lives apart.
    pub fn go_on_after(&mut self, proposed: Zxid, wall_ms: i64) {
        let epoch = i64::from(proposed.epoch().0 & 0xffff);
        let place = epoch << 38 | i64::from(proposed.counter()) << 6 | (wall_ms & 0x3f);
        let next = self.server.0 << 56 | ZXIDS | place;
        // Within one life they only rise.
        if self.step == 1 || next > self.next {
            (self.next, self.step) = (next, 1 << 6);
        }
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
        self.next += self.step;
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Epoch;

    /// Found by simulation: after a clock was set back, a number was given out that another client had had before, with
    /// the same password.
    #[test]
    fn numbers_of_sessions_that_no_file_knows_differ_from_life_to_life() {
        let life = |seed| SessionIds::of_one_life(ServerId(3), seed).next().unwrap().0;
        let firsts: std::collections::BTreeSet<_> = (0..1000).map(|seed| life(seed) >> 16).collect();
        assert_eq!(firsts.len(), 1000);
        assert!(firsts.iter().all(|first| first >> 38 == 3 << 2 | 3));
        assert_eq!(SessionIds::of_one_life(ServerId(-1), 5).next().unwrap().0 >> 56, -1);
    }

    #[test]
    fn a_number_begins_with_the_servers() {
        let mut ids = SessionIds::new(ServerId(1), 1_790_000_000_000);
        let first = ids.next().unwrap();
        assert_eq!(first.0 >> 56, 1);
        assert_eq!(ids.next().unwrap().0, first.0 + 1);
    }

    #[test]
    fn numbers_of_a_later_life_are_beyond_those_of_an_earlier_one() {
        let life = |epoch, counter, wall_ms| {
            let mut ids = SessionIds::new(ServerId(3), 1_790_000_000_000);
            ids.go_on_after(Zxid::new(Epoch(epoch), counter), wall_ms);
            ids
        };
        let first = life(7, 100, 5).nth(20).unwrap();
        let second = life(7, 121, 4).next().unwrap();
        let third = life(8, 0, 3).next().unwrap();
        assert!(first < second && second < third);
        assert_eq!(third.0 >> 56, 3);
        assert_ne!(life(7, 100, 5).next(), life(7, 100, 6).next());
        assert!(SessionIds::new(ServerId(3), 1_790_000_000_000).next().unwrap() > third);
    }

    /// Found by simulation: an observer is not told of proposals, so it may know of no more txns when it comes back to a
    /// leader that still has its requests in flight.
    #[test]
    fn within_one_life_no_number_comes_again() {
        let mut ids = SessionIds::new(ServerId(3), 1_790_000_000_000);
        ids.go_on_after(Zxid::new(Epoch(1), 55), 7);
        let given = ids.next().unwrap();
        ids.go_on_after(Zxid::new(Epoch(1), 55), 7);
        assert!(ids.next().unwrap() > given);
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
