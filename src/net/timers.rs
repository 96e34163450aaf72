use super::clock::Clock;
use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::BinaryHeap,
    future::poll_fn,
    pin::pin,
    task::{Poll, Waker},
};
use tokio::time::{Instant, sleep_until};

/// What a worker has to do at some time. The numbers are serials of connections, which may be gone by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Tell the core who was heard from.
    Touches,
    /// Close a connection that has no session yet.
    Sessionless(u32),
    /// Close a connection that does not take its last bytes.
    Closing(u32),
    /// Look again at a connection that was held back.
    Stalled(u32),
}

/// The timers of a worker: one sleep for all, none when there are none.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: RefCell<BinaryHeap<Reverse<(i64, Timer)>>>,
    /// What is slept for, while somebody sleeps.
    sleeping_for: Cell<i64>,
    waker: RefCell<Option<Waker>>,
}

impl Timers {
    /// Adds one, due at this monotonic time.
    pub fn add(&self, timer: Timer, at_ms: i64) {
        self.heap.borrow_mut().push(Reverse((at_ms, timer)));
        if at_ms < self.sleeping_for.get()
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Waits until one is due.
    pub async fn wait(&self, clock: &Clock) {
        loop {
            let next = self.heap.borrow().peek().map(|Reverse((at_ms, _))| *at_ms);
            self.sleeping_for.set(next.unwrap_or(i64::MAX));
            let mut sleep = pin!(next.map(|at_ms| sleep_until(Instant::from_std(clock.instant(at_ms)))));
            let mut polled = false;
            let due = poll_fn(|cx| {
                self.waker.replace(Some(cx.waker().clone()));
                if let Some(sleep) = sleep.as_mut().as_pin_mut()
                    && sleep.poll(cx).is_ready()
                {
                    return Poll::Ready(true);
                }
                // Woken before the time: there is an earlier one.
                if std::mem::replace(&mut polled, true) { Poll::Ready(false) } else { Poll::Pending }
            })
            .await;
            if due {
                return;
            }
        }
    }

    /// Takes those that are due.
    pub fn due(&self, now_ms: i64) -> Vec<Timer> {
        let mut heap = self.heap.borrow_mut();
        let mut due = Vec::new();
        while let Some(Reverse((at_ms, _))) = heap.peek()
            && *at_ms <= now_ms
        {
            due.extend(heap.pop().map(|Reverse((_, timer))| timer));
        }
        due
    }
}
