use parking_lot::Mutex;
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// A queue into one thread. The thread takes everything at once and sleeps only when there is nothing; whoever
/// puts something in wakes it only when it sleeps, so that a busy thread costs no system call.
///
/// Whoever takes may also be another thread than the one that sleeps, see [`Inbox::put_quietly`].
#[derive(Debug)]
pub struct Inbox<T> {
    queue: Mutex<Vec<T>>,
    asleep: AtomicBool,
    nudged: AtomicBool,
    owner: OnceLock<Thread>,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self {
            queue: Mutex::new(Vec::new()),
            asleep: AtomicBool::new(false),
            nudged: AtomicBool::new(false),
            owner: OnceLock::new(),
        }
    }
}

impl<T> Inbox<T> {
    /// Puts one in.
    pub fn put(&self, item: T) {
        self.queue.lock().push(item);
        self.wake();
    }

    /// Puts all in, in order; `items` is empty afterwards and keeps its memory.
    pub fn put_all(&self, items: &mut Vec<T>) {
        if items.is_empty() {
            return;
        }
        self.queue.lock().append(items);
        self.wake();
    }

    /// Puts all in without waking the owner: the caller sees to it that somebody takes them.
    pub fn put_quietly(&self, items: &mut Vec<T>) {
        self.queue.lock().append(items);
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }

    /// Ends a [`rest`](Self::rest) of the owner, this one or the next, even if there is nothing.
    pub fn nudge(&self) {
        self.nudged.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Lets the owner look again.
    pub fn wake(&self) {
        // The owner says that it sleeps before it looks into the queue for the last time, under the same lock under
        // which the item was put in: either it saw the item or we see that it sleeps.
        if self.asleep.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(owner) = self.owner.get()
        {
            owner.unpark();
        }
    }

    /// Exchanges the queue with `items`, which must be empty. Does not wait.
    pub fn take(&self, items: &mut Vec<T>) {
        debug_assert!(items.is_empty());
        std::mem::swap(&mut *self.queue.lock(), items);
    }

    /// Waits until there is something, until [nudged](Self::nudge), or until `deadline`. Takes nothing. Only the thread
    /// that first called this may call it.
    pub fn rest(&self, deadline: Instant) {
        let owner = self.owner.get_or_init(thread::current);
        debug_assert_eq!(owner.id(), thread::current().id());
        loop {
            self.asleep.store(true, Ordering::SeqCst);
            let left = deadline.saturating_duration_since(Instant::now());
            if self.nudged.swap(false, Ordering::SeqCst) || left.is_zero() || !self.is_empty() {
                self.asleep.store(false, Ordering::SeqCst);
                return;
            }
            thread::park_timeout(left);
        }
    }

    /// Like [`take`](Self::take), but waits for something to be there, until `deadline` at the latest. Only the
    /// thread that first called this may call it.
    pub fn wait(&self, items: &mut Vec<T>, deadline: Option<Instant>) {
        let owner = self.owner.get_or_init(thread::current);
        debug_assert_eq!(owner.id(), thread::current().id());
        loop {
            self.take(items);
            if !items.is_empty() {
                return;
            }
            self.asleep.store(true, Ordering::SeqCst);
            if self.queue.lock().is_empty() {
                match deadline.map(|d| d.saturating_duration_since(Instant::now())) {
                    None => thread::park(),
                    Some(Duration::ZERO) => {
                        self.asleep.store(false, Ordering::SeqCst);
                        return;
                    }
                    Some(left) => thread::park_timeout(left),
                }
            }
            self.asleep.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn everything_put_in_by_several_threads_arrives_once_and_in_order() {
        const EACH: u32 = 20_000;
        let inbox = Arc::new(Inbox::<(usize, u32)>::default());
        let senders: Vec<_> = (0..3)
            .map(|t| {
                let inbox = inbox.clone();
                thread::spawn(move || {
                    for n in 0..EACH {
                        inbox.put((t, n));
                        if n % 1000 == 0 {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut next = [0; 3];
        let mut items = Vec::new();
        while next.iter().sum::<u32>() < 3 * EACH {
            inbox.wait(&mut items, None);
            for (t, n) in items.drain(..) {
                assert_eq!(n, next[t]);
                next[t] += 1;
            }
        }
        senders.into_iter().for_each(|s| s.join().unwrap());
    }

    #[test]
    fn a_rest_ends_with_something_with_a_nudge_or_at_its_deadline() {
        let inbox = Arc::new(Inbox::<u8>::default());
        let far = || Instant::now() + Duration::from_secs(600);
        inbox.put(1);
        inbox.rest(far());
        inbox.take(&mut Vec::new());
        inbox.nudge();
        inbox.rest(far());
        let other = inbox.clone();
        let nudger = thread::spawn(move || other.nudge());
        inbox.rest(far());
        nudger.join().unwrap();
        let deadline = Instant::now() + Duration::from_millis(5);
        inbox.rest(deadline);
        assert!(Instant::now() >= deadline);
    }

    #[test]
    fn waiting_ends_at_the_deadline_with_nothing() {
        let inbox = Inbox::<u8>::default();
        let mut items = Vec::new();
        let deadline = Instant::now() + Duration::from_millis(5);
        inbox.wait(&mut items, Some(deadline));
        assert!(items.is_empty() && Instant::now() >= deadline);
    }
}
