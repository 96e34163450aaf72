use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Shutdown, TcpStream},
    sync::Arc,
};

/// Connections that have not said who they are. There is always room for a new one: the oldest makes it, for a server
/// speaks at once and who is silent is none.
pub(super) struct Door {
    max: usize,
    per_address_max: usize,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    next: u64,
    /// By time of arrival.
    waiting: BTreeMap<u64, (IpAddr, Arc<TcpStream>)>,
    closed: bool,
}

impl Door {
    pub fn new(max: usize, per_address_max: usize) -> Self {
        Self { max: max.max(1), per_address_max: per_address_max.max(1), inside: Mutex::default() }
    }

    /// Lets a connection in. The number is for [`Self::leave`]. `None` when the door is closed.
    pub fn enter(&self, address: IpAddr, stream: Arc<TcpStream>) -> Option<u64> {
        let inside = &mut *self.inside.lock();
        if inside.closed {
            return None;
        }
        let same: Vec<u64> =
            inside.waiting.iter().filter(|(_, (a, _))| *a == address).map(|(n, _)| *n).collect();
        if same.len() >= self.per_address_max {
            inside.dismiss(same[0]);
        }
        if inside.waiting.len() >= self.max
            && let Some(&oldest) = inside.waiting.keys().next()
        {
            inside.dismiss(oldest);
        }
        inside.next += 1;
        inside.waiting.insert(inside.next, (address, stream));
        Some(inside.next)
    }

    /// It has said who it is, or is gone. False when it was dismissed before.
    pub fn leave(&self, number: u64) -> bool {
        self.inside.lock().waiting.remove(&number).is_some()
    }

    /// Dismisses all, now and later.
    pub fn close(&self) {
        let inside = &mut *self.inside.lock();
        inside.closed = true;
        while let Some(&first) = inside.waiting.keys().next() {
            inside.dismiss(first);
        }
    }
}

impl Inside {
    fn dismiss(&mut self, number: u64) {
        if let Some((_, stream)) = self.waiting.remove(&number) {
            // Wakes its thread.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
