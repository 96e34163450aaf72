use crate::pipeline::WorkerDeliveries;
use parking_lot::Mutex;
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

/// What the core has for the connections of one worker.
///
/// It is filled while the core holds the tree exclusively and emptied by the worker after it has taken the tree
/// shared, so whoever sees a change in the tree has seen the notification of it before.
#[derive(Debug, Default)]
pub struct Mailbox {
    mail: Mutex<WorkerDeliveries>,
    full: AtomicBool,
    waker: OnceLock<Waker>,
}

impl Mailbox {
    /// Adds deliveries; `more` is empty afterwards. True when the worker has to be [woken](Self::wake), which the
    /// core does after it has given the tree free.
    #[must_use]
    pub fn put(&self, more: &mut WorkerDeliveries) -> bool {
        self.mail.lock().append(more);
        !self.full.swap(true, Ordering::AcqRel)
    }

    /// Whether there is something.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Exchanges what is there with `empty`.
    pub fn take(&self, empty: &mut WorkerDeliveries) {
        debug_assert!(empty.is_empty());
        let mut mail = self.mail.lock();
        self.full.store(false, Ordering::Release);
        std::mem::swap(&mut *mail, empty);
    }

    /// Says how the worker is woken. Once, before the first connection.
    pub fn attach(&self, waker: Waker) {
        self.waker.set(waker).expect("a mailbox has one worker");
    }

    /// Wakes the worker.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}
