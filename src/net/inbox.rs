use parking_lot::Mutex;
use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// A queue into one thread. The thread takes everything at once and sleeps only when there is nothing; whoever
/// puts something in wakes it only when it sleeps, so that a busy thread costs no system call.
#[derive(Debug)]
pub struct Inbox<T> {
    queue: Mutex<Vec<T>>,
    asleep: AtomicBool,
    owner: OnceLock<Owner>,
}

/// Who is to be woken.
enum Owner {
    /// A thread that waits in [`Inbox::wait`].
    Thread(Thread),
    /// One that waits for other things as well, in [`Inbox::wait_by`].
    Other(Box<dyn Fn() + Send + Sync>),
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thread(thread) => f.debug_tuple("Thread").field(&thread.id()).finish(),
            Self::Other(_) => f.write_str("Other"),
        }
    }
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self { queue: Mutex::new(Vec::new()), asleep: AtomicBool::new(false), owner: OnceLock::new() }
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

    /// Lets the owner look again.
    pub fn wake(&self) {
        // The owner says that it sleeps before it looks into the queue for the last time, under the same lock under
        // which the item was put in: either it saw the item or we see that it sleeps.
        if self.asleep.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(owner) = self.owner.get()
        {
            match owner {
                Owner::Thread(thread) => thread.unpark(),
                Owner::Other(wake) => wake(),
            }
        }
    }

    /// Exchanges the queue with `items`, which must be empty. Does not wait.
    pub fn take(&self, items: &mut Vec<T>) {
        debug_assert!(items.is_empty());
        std::mem::swap(&mut *self.queue.lock(), items);
    }

    /// Like [`take`](Self::take), but puts what is there behind what `items` holds; both keep their memory.
    pub fn take_more(&self, items: &mut Vec<T>) {
        items.append(&mut self.queue.lock());
    }

    /// Like [`take`](Self::take), but waits for something to be there, until `deadline` at the latest. Only the
    /// thread that first called this may call it.
    pub fn wait(&self, items: &mut Vec<T>, deadline: Option<Instant>) {
        let owner = self.owner.get_or_init(|| Owner::Thread(thread::current()));
        debug_assert!(matches!(owner, Owner::Thread(owner) if owner.id() == thread::current().id()));
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

    /// For an owner that waits for other things as well and therefore calls [`wait_by`](Self::wait_by) instead of
    /// [`wait`](Self::wait): `wake` ends its sleep. To be called before anything is put in.
    pub fn set_waker(&self, wake: impl Fn() + Send + Sync + 'static) {
        let set = self.owner.set(Owner::Other(Box::new(wake)));
        debug_assert!(set.is_ok(), "one owner");
    }

    /// Like [`take`](Self::take); in between `sleep` is called with whether there is nothing yet, so that it may wait
    /// until it is woken. It has to return then, and soon if it may not wait.
    pub fn wait_by(&self, items: &mut Vec<T>, sleep: impl FnOnce(bool)) {
        self.take(items);
        let nothing = items.is_empty() && {
            self.asleep.store(true, Ordering::SeqCst);
            self.queue.lock().is_empty()
        };
        sleep(nothing);
        if items.is_empty() {
            self.asleep.store(false, Ordering::SeqCst);
            self.take(items);
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
    fn waiting_ends_at_the_deadline_with_nothing() {
        let inbox = Inbox::<u8>::default();
        let mut items = Vec::new();
        let deadline = Instant::now() + Duration::from_millis(5);
        inbox.wait(&mut items, Some(deadline));
        assert!(items.is_empty() && Instant::now() >= deadline);
    }

    #[test]
    fn an_owner_that_sleeps_in_its_own_way_misses_nothing() {
        const COUNT: u32 = 20_000;
        let inbox = Arc::new(Inbox::<u32>::default());
        let (wake, woken) = std::sync::mpsc::channel();
        inbox.set_waker(move || wake.send(()).unwrap());
        let its = inbox.clone();
        let sender = thread::spawn(move || (0..COUNT).for_each(|n| its.put(n)));
        let mut items = Vec::new();
        let mut next = 0;
        while next < COUNT {
            inbox.wait_by(&mut items, |may_sleep| {
                if may_sleep {
                    woken.recv_timeout(Duration::from_secs(30)).expect("it is woken");
                }
            });
            for n in items.drain(..) {
                assert_eq!(n, next);
                next += 1;
            }
        }
        sender.join().unwrap();
    }
}
