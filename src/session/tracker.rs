use crate::types::{ConnId, ErrorCode, LinkId, SessionId};
use hashbrown::HashMap;
use std::{
    collections::BTreeMap,
    hash::{BuildHasherDefault, Hasher},
};

/// Session numbers come from servers and are spread well by one multiplication; a fixed hash keeps runs repeatable.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.write_u64(u64::from(*b));
        }
    }
    fn write_i64(&mut self, n: i64) {
        self.write_u64(n as u64);
    }
    fn write_u64(&mut self, n: u64) {
        let x = (self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = x ^ (x >> 32);
    }
}

#[derive(Debug)]
struct Session {
    /// What signs of life are reckoned with: as granted to the connection that carries the session.
    timeout_ms: i32,
    /// What the createSession txn said, which is what files keep.
    created_timeout_ms: i32,
    /// The end of the tick in which it expires unless heard from.
    deadline_ms: i64,
    /// The deadline under which `buckets` lists it; never later than `deadline_ms`.
    listed_ms: i64,
    holder: Option<Holder>,
    closing: bool,
    /// Its createSession has been applied.
    confirmed: bool,
    /// Only this server knows it.
    local: bool,
}

/// Where the client of a session is connected.
///
/// Upstream counterpart: the owner in `SessionTrackerImpl`, where all connections of a leader are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// To this server.
    Conn(ConnId),
    /// To the learner at the other end of this link.
    Link(LinkId),
}

/// What is known of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It lives.
    Open {
        /// Its timeout in ms.
        timeout_ms: i32,
        /// Where its client is.
        holder: Option<Holder>,
    },
    /// Its end is under way.
    Closing,
    /// There is none.
    Unknown,
}

/// All sessions that the server knows, those that only it knows included, and when each expires.
///
/// Time is cut into ticks; a session expires at the end of the tick in which its timeout ends, as upstream's does.
/// Being heard from only notes the new deadline; the list of the old one moves it on when its turn comes, so that a
/// sign of life costs one hash look-up.
#[derive(Debug)]
pub struct SessionTracker {
    tick_ms: i64,
    /// Whether sessions expire here. A learner leaves that to its leader.
    expires: bool,
    sessions: HashMap<SessionId, Session, BuildHasherDefault<Spread>>,
    /// How many of them are local.
    local_count: usize,
    buckets: BTreeMap<i64, Vec<SessionId>>,
}

impl SessionTracker {
    /// No sessions.
    ///
    /// # Panics
    /// When the tick is not positive.
    pub fn new(tick_ms: i64) -> Self {
        assert!(tick_ms > 0, "a tick takes time");
        let sessions = HashMap::default();
        Self { tick_ms, expires: true, sessions, local_count: 0, buckets: BTreeMap::new() }
    }

    /// No sessions, and none will expire: what a learner knows of the sessions of an ensemble.
    ///
    /// Upstream counterpart: `LearnerSessionTracker`.
    ///
    /// # Panics
    /// When the tick is not positive.
    pub fn without_time(tick_ms: i64) -> Self {
        Self { expires: false, ..Self::new(tick_ms) }
    }

    /// Number of sessions, local ones and those being closed included.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// How many of them only this server knows.
    pub fn local_len(&self) -> usize {
        self.local_count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Adds a session, or restarts the time of one that is there.
    pub fn add(&mut self, id: SessionId, timeout_ms: i32, now_ms: i64) {
        let deadline_ms = self.deadline(now_ms, timeout_ms);
        if let Some(s) = self.sessions.get_mut(&id) {
            s.timeout_ms = timeout_ms;
            s.deadline_ms = s.deadline_ms.max(deadline_ms);
            return;
        }
        self.insert(id, timeout_ms, deadline_ms, false);
    }

    /// Adds a session that only this server knows. It expires here, whoever expires the others.
    ///
    /// Upstream counterpart: `LocalSessionTracker`.
    pub fn add_local(&mut self, id: SessionId, timeout_ms: i32, now_ms: i64) {
        if !self.sessions.contains_key(&id) {
            self.insert(id, timeout_ms, self.deadline(now_ms, timeout_ms), true);
            self.local_count += 1;
        }
    }

    fn insert(&mut self, id: SessionId, timeout_ms: i32, deadline_ms: i64, local: bool) {
        self.sessions.insert(
            id,
            Session {
                timeout_ms,
                created_timeout_ms: timeout_ms,
                deadline_ms,
                listed_ms: deadline_ms,
                holder: None,
                closing: false,
                confirmed: false,
                local,
            },
        );
        if self.expires || local {
            self.buckets.entry(deadline_ms).or_default().push(id);
        }
    }

    /// Whether only this server knows the session.
    pub fn is_local(&self, id: SessionId) -> bool {
        self.local_count > 0 && self.sessions.get(&id).is_some_and(|s| s.local)
    }

    /// A local session becomes one of the whole ensemble; its createSession has to follow. Answers its timeout in ms,
    /// `None` if there is no such local session that lives.
    ///
    /// Upstream counterpart: `UpgradeableSessionTracker.upgradeSession`.
    pub fn upgrade(&mut self, id: SessionId) -> Option<i32> {
        let s = self.sessions.get_mut(&id).filter(|s| s.local && !s.closing)?;
        s.local = false;
        self.local_count -= 1;
        Some(s.timeout_ms)
    }

    /// The session's createSession, with this timeout, has been applied: from now on it belongs into snapshots. One
    /// that was not known is from now on.
    pub fn confirm(&mut self, id: SessionId, timeout_ms: i32) {
        if let Some(s) = self.sessions.get_mut(&id) {
            s.confirmed = true;
            s.created_timeout_ms = timeout_ms;
            self.local_count -= usize::from(std::mem::take(&mut s.local));
        } else {
            self.add(id, timeout_ms, 0);
            self.confirm(id, timeout_ms);
        }
    }

    /// Forgets a session and answers where its client was. Its place in the expiry lists is dropped when their turn
    /// comes.
    pub fn remove(&mut self, id: SessionId) -> Option<Holder> {
        let removed = self.sessions.remove(&id)?;
        self.local_count -= usize::from(removed.local);
        removed.holder
    }

    /// What is known of a session.
    pub fn state(&self, id: SessionId) -> SessionState {
        match self.sessions.get(&id) {
            None => SessionState::Unknown,
            Some(s) if s.closing => SessionState::Closing,
            Some(s) => SessionState::Open { timeout_ms: s.timeout_ms, holder: s.holder },
        }
    }

    /// The session was heard from at this time. Answers whether it lives.
    pub fn touch(&mut self, id: SessionId, heard_ms: i64) -> bool {
        let tick_ms = self.tick_ms;
        match self.sessions.get_mut(&id) {
            Some(s) if !s.closing => {
                s.deadline_ms = s.deadline_ms.max(deadline(tick_ms, heard_ms, s.timeout_ms));
                true
            }
            _ => false,
        }
    }

    /// The session was heard from at this time by somebody who reckons with this timeout. Answers whether it lives.
    pub fn touch_for(&mut self, id: SessionId, heard_ms: i64, timeout_ms: i32) -> bool {
        let tick_ms = self.tick_ms;
        match self.sessions.get_mut(&id) {
            Some(s) if !s.closing => {
                s.deadline_ms = s.deadline_ms.max(deadline(tick_ms, heard_ms, timeout_ms));
                true
            }
            _ => false,
        }
    }

    /// The timeout of a session that lives, ms.
    pub fn timeout_ms(&self, id: SessionId) -> Option<i32> {
        self.sessions.get(&id).filter(|s| !s.closing).map(|s| s.timeout_ms)
    }

    /// From now on the session is held here; answers where it was before.
    pub fn set_holder(&mut self, id: SessionId, holder: Holder) -> Option<Holder> {
        self.sessions.get_mut(&id).and_then(|s| s.holder.replace(holder)).filter(|old| *old != holder)
    }

    /// A write of the session comes from here, at this time. A session without a holder is held here from now on.
    ///
    /// Upstream counterpart: `SessionTrackerImpl.checkSession`.
    ///
    /// # Errors
    /// [`ErrorCode::SessionExpired`] when it does not live, [`ErrorCode::SessionMoved`] when it is held elsewhere.
    pub fn hold(&mut self, id: SessionId, holder: Holder, now_ms: i64) -> Result<(), ErrorCode> {
        let tick_ms = self.tick_ms;
        let s = self.sessions.get_mut(&id).filter(|s| !s.closing).ok_or(ErrorCode::SessionExpired)?;
        if *s.holder.get_or_insert(holder) != holder {
            return Err(ErrorCode::SessionMoved);
        }
        s.deadline_ms = s.deadline_ms.max(deadline(tick_ms, now_ms, s.timeout_ms));
        Ok(())
    }

    /// The client is not there any more; the session lives on without a holder unless another has taken it up.
    pub fn drop_holder(&mut self, id: SessionId, holder: Holder) {
        if let Some(s) = self.sessions.get_mut(&id)
            && s.holder == Some(holder)
        {
            s.holder = None;
        }
    }

    /// The end of the session has begun: it no longer accepts requests and does not expire any more.
    pub fn set_closing(&mut self, id: SessionId) {
        if let Some(s) = self.sessions.get_mut(&id) {
            s.closing = true;
        }
    }

    /// When the next list of sessions comes up.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.buckets.keys().next().copied()
    }

    /// Sessions whose deadline is at or before `until_ms`, oldest first. They are marked as closing, so each comes
    /// once.
    pub fn expire(&mut self, until_ms: i64) -> Vec<SessionId> {
        let mut expired = Vec::new();
        while let Some(entry) = self.buckets.first_entry() {
            if *entry.key() > until_ms {
                break;
            }
            let (listed_ms, ids) = entry.remove_entry();
            for id in ids {
                let Some(s) = self.sessions.get_mut(&id) else { continue };
                // One that was local may be somebody else's to expire by now.
                if s.closing || s.listed_ms != listed_ms || !(self.expires || s.local) {
                    continue;
                }
                if s.deadline_ms > listed_ms {
                    s.listed_ms = s.deadline_ms;
                    self.buckets.entry(s.deadline_ms).or_default().push(id);
                } else {
                    s.closing = true;
                    expired.push(id);
                }
            }
        }
        expired
    }

    /// Every confirmed session with the timeout in ms that it began with, by number: what a snapshot keeps. Those
    /// being closed are still sessions until their end is applied.
    pub fn confirmed(&self) -> Vec<(SessionId, i32)> {
        let confirmed = self.sessions.iter().filter(|(_, s)| s.confirmed);
        let mut all: Vec<_> = confirmed.map(|(id, s)| (*id, s.created_timeout_ms)).collect();
        all.sort_unstable();
        all
    }

    /// Sessions by the time at which they expire, local ones left out, for the `dump` word. Nothing where none expire.
    pub fn by_deadline(&self) -> BTreeMap<i64, Vec<SessionId>> {
        self.open_by_deadline(|s| self.expires && !s.local)
    }

    /// The same of the local ones.
    pub fn local_by_deadline(&self) -> BTreeMap<i64, Vec<SessionId>> {
        self.open_by_deadline(|s| s.local)
    }

    fn open_by_deadline(&self, wanted: impl Fn(&Session) -> bool) -> BTreeMap<i64, Vec<SessionId>> {
        let mut map: BTreeMap<i64, Vec<SessionId>> = BTreeMap::new();
        for (id, s) in self.sessions.iter().filter(|(_, s)| !s.closing && wanted(s)) {
            map.entry(s.deadline_ms).or_default().push(*id);
        }
        map.values_mut().for_each(|ids| ids.sort_unstable());
        map
    }

    fn deadline(&self, now_ms: i64, timeout_ms: i32) -> i64 {
        deadline(self.tick_ms, now_ms, timeout_ms)
    }
}

fn deadline(tick_ms: i64, now_ms: i64, timeout_ms: i32) -> i64 {
    ((now_ms + i64::from(timeout_ms)) / tick_ms + 1) * tick_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_session_expires_at_the_end_of_its_tick_and_once() {
        let mut t = SessionTracker::new(1000);
        t.add(SessionId(1), 2500, 0);
        assert!(t.expire(2999).is_empty());
        assert_eq!(t.expire(3000), [SessionId(1)]);
        assert_eq!(t.state(SessionId(1)), SessionState::Closing);
        assert!(t.expire(1_000_000).is_empty());
        assert!(!t.touch(SessionId(1), 5000));
    }

    #[test]
    fn a_connection_that_lost_its_session_does_not_take_it_from_the_new_owner() {
        let mut t = SessionTracker::new(1000);
        let (old, new) = (ConnId { worker: 0, serial: 1 }, ConnId { worker: 1, serial: 1 });
        let (old, new) = (Holder::Conn(old), Holder::Conn(new));
        t.add(SessionId(1), 2500, 0);
        assert_eq!(t.set_holder(SessionId(1), old), None);
        assert_eq!(t.set_holder(SessionId(1), new), Some(old));
        t.drop_holder(SessionId(1), old);
        assert_eq!(t.state(SessionId(1)), SessionState::Open { timeout_ms: 2500, holder: Some(new) });
    }

    #[test]
    fn a_session_without_a_holder_is_held_by_the_first_that_writes_for_it() {
        let mut t = SessionTracker::new(1000);
        let (one, two) = (Holder::Link(LinkId(1)), Holder::Link(LinkId(2)));
        assert_eq!(t.hold(SessionId(1), one, 0), Err(ErrorCode::SessionExpired));
        t.add(SessionId(1), 2500, 0);
        assert_eq!(t.hold(SessionId(1), one, 0), Ok(()));
        assert_eq!(t.hold(SessionId(1), two, 0), Err(ErrorCode::SessionMoved));
        assert_eq!(t.set_holder(SessionId(1), two), Some(one));
        assert_eq!(t.hold(SessionId(1), two, 5000), Ok(()));
        assert!(t.expire(7999).is_empty(), "a write is a sign of life");
        t.set_closing(SessionId(1));
        assert_eq!(t.hold(SessionId(1), two, 0), Err(ErrorCode::SessionExpired));
    }

    #[test]
    fn nothing_expires_where_there_is_no_time_and_nothing_is_kept_of_what_ended() {
        let mut t = SessionTracker::without_time(1000);
        t.confirm(SessionId(1), 2500);
        t.confirm(SessionId(2), 3500);
        assert!(t.expire(i64::MAX).is_empty());
        assert_eq!(t.remove(SessionId(1)), None);
        assert_eq!((t.confirmed(), t.next_deadline_ms()), (vec![(SessionId(2), 3500)], None));
        assert!(t.by_deadline().is_empty());
    }

    #[test]
    fn a_local_session_expires_even_where_others_do_not_until_it_has_become_one_of_all() {
        let mut t = SessionTracker::without_time(1000);
        let (stays, rises, known) = (SessionId(1), SessionId(2), SessionId(3));
        t.confirm(known, 2500);
        t.add_local(stays, 2500, 0);
        t.add_local(rises, 2500, 0);
        assert_eq!((t.len(), t.local_len(), t.is_local(known)), (3, 2, false));
        assert_eq!(t.local_by_deadline()[&3000], [stays, rises]);
        assert_eq!((t.upgrade(rises), t.upgrade(rises), t.upgrade(known)), (Some(2500), None, None));
        assert_eq!(t.expire(i64::MAX), [stays]);
        assert_eq!(t.upgrade(stays), None, "its end has begun");
        assert_eq!(t.confirmed(), [(known, 2500)]);
        t.confirm(rises, 2500);
        assert_eq!(t.confirmed(), [(rises, 2500), (known, 2500)]);
        t.remove(stays);
        assert_eq!((t.len(), t.local_len()), (2, 0));
        // Where all expire, it goes on expiring.
        let mut t = SessionTracker::new(1000);
        t.add_local(rises, 2500, 0);
        t.upgrade(rises);
        assert_eq!(t.by_deadline()[&3000], [rises]);
        assert_eq!(t.expire(3000), [rises]);
    }

    #[test]
    fn a_number_that_comes_again_while_its_old_list_is_pending_expires_by_its_new_deadline() {
        let mut t = SessionTracker::new(1000);
        t.add(SessionId(1), 2500, 0);
        t.remove(SessionId(1));
        t.add(SessionId(1), 9500, 0);
        assert!(t.expire(9999).is_empty());
        assert_eq!(t.expire(10_000), [SessionId(1)]);
    }

    proptest! {
        #[test]
        fn a_session_lives_as_long_as_it_is_heard_from_in_time(
            timeout in 1i32..10_000, tick in 1i64..3000, gaps in prop::collection::vec(0i64..10_000, 1..30),
        ) {
            let mut t = SessionTracker::new(tick);
            t.add(SessionId(1), timeout, 0);
            let (mut now, mut heard) = (0, 0);
            for gap in gaps {
                now += gap;
                let expired = !t.expire(now).is_empty();
                let latest = heard + i64::from(timeout) + tick;
                prop_assert!(!(expired && now < heard + i64::from(timeout)), "expired early");
                prop_assert!(expired || now < latest, "lives too long: heard {heard}, now {now}");
                if expired {
                    break;
                }
                t.touch(SessionId(1), now);
                heard = now;
            }
        }
    }
}
