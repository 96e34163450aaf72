//! What goes out on one connection.
//!
//! While the kernel takes everything there is neither queue nor thread. What it does not take waits in a queue for a
//! thread that is started then.

use super::{Source, threads::Threads};
use bytes::{Buf, Bytes};
use parking_lot::{Condvar, Mutex};
use rustix::net::SendFlags;
use std::{
    collections::VecDeque,
    fmt,
    io::{self, BufWriter, IoSlice, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
};

/// Pieces handed to the kernel at once.
const BATCH_MAX: usize = 64;

/// Bytes of a [`Source`] collected before they are handed to the kernel.
const SOURCE_BUFFER: usize = 128 << 10;

/// How much may wait on a connection. Over it the connection is closed: its peer does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendLimits {
    /// Bytes, 64 MiB unless set.
    pub queued_max: usize,
    /// Bytes while long content is being sent before them, 1 GiB unless set.
    pub behind_source_max: usize,
}

impl Default for SendLimits {
    fn default() -> Self {
        Self { queued_max: 64 << 20, behind_source_max: 1 << 30 }
    }
}

pub(super) struct Outbox {
    stream: TcpStream,
    limits: SendLimits,
    threads: Threads,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Item>,
    /// Bytes in the queue and in the hands of the thread.
    bytes: usize,
    /// The first of the queue has gone out in part already.
    begun: bool,
    /// Sources in the queue and in the hands of the thread.
    sources: usize,
    /// The larger limit holds: a source is under way, or what came in meanwhile has not drained below the smaller one.
    roomy: bool,
    /// The thread has something in its hands.
    writing: bool,
    /// The thread exists.
    writer: bool,
    closed: Option<String>,
}

enum Item {
    Bytes(Bytes),
    Source(Box<dyn Source>),
}

impl Outbox {
    pub fn new(stream: TcpStream, limits: SendLimits, threads: Threads) -> Arc<Self> {
        Arc::new(Self { stream, limits, threads, state: Mutex::default(), changed: Condvar::new() })
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends, now or later. Never waits for the peer.
    pub fn send(self: &Arc<Self>, bytes: Bytes) {
        self.send_in(&mut self.state.lock(), bytes);
    }

    /// As [`Self::send`], but what still waits and has not gone out in part is dropped.
    pub fn send_newest(self: &Arc<Self>, bytes: Bytes) {
        let state = &mut *self.state.lock();
        let keep = usize::from(state.begun);
        for item in state.queue.drain(keep..) {
            if let Item::Bytes(bytes) = item {
                state.bytes -= bytes.len();
            }
        }
        self.send_in(state, bytes);
    }

    fn send_in(self: &Arc<Self>, state: &mut State, mut bytes: Bytes) {
        if state.closed.is_some() {
            return;
        }
        if state.queue.is_empty() && !state.writing {
            match self.try_send(&bytes) {
                Ok(n) => bytes.advance(n),
                Err(e) => return self.close_in(state, format!("cannot send: {e}")),
            }
            if bytes.is_empty() {
                return;
            }
            state.begun = true;
        }
        state.bytes += bytes.len();
        state.queue.push_back(Item::Bytes(bytes));
        let max = if state.roomy { self.limits.behind_source_max } else { self.limits.queued_max };
        if state.bytes > max {
            let why =
                format!("the peer does not keep up: {} bytes wait for it, {max} are allowed", state.bytes);
            return self.close_in(state, why);
        }
        self.wake_writer(state);
    }

    /// Sends long content behind what was sent before, on the thread.
    pub fn send_source(self: &Arc<Self>, source: Box<dyn Source>) {
        let state = &mut *self.state.lock();
        // `source` outlives the lock: what it does when it is dropped is its own affair.
        if state.closed.is_some() {
            return;
        }
        state.sources += 1;
        state.roomy = true;
        state.queue.push_back(Item::Source(source));
        self.wake_writer(state);
    }

    /// Closes the connection and wakes its threads. The first reason stays.
    pub fn close(&self, why: impl Into<String>) {
        self.close_in(&mut self.state.lock(), why.into());
    }

    /// Why it was closed.
    pub fn closed(&self) -> Option<String> {
        self.state.lock().closed.clone()
    }

    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.queue.is_empty() && !state.writing
    }

    fn close_in(&self, state: &mut State, why: String) {
        if state.closed.is_none() {
            state.closed = Some(why);
            // What waits is dropped by the thread: a source may have a lot to do then, and wait for locks.
            state.queue.retain(|item| matches!(item, Item::Source(_)));
            // Fails when the peer was faster.
            let _ = self.stream.shutdown(Shutdown::Both);
            self.changed.notify_all();
        }
    }

    /// How many bytes the kernel takes at once; 0 when it would have to wait.
    fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::net::send(&self.stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(n) => return Ok(n),
                Err(rustix::io::Errno::INTR) => {}
                // On some systems AGAIN and WOULDBLOCK differ.
                Err(e) if io::Error::from(e).kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn wake_writer(self: &Arc<Self>, state: &mut State) {
        if state.writer {
            self.changed.notify_all();
            return;
        }
        let me = self.clone();
        match self.threads.spawn("peer-write".into(), move || me.write_all()) {
            Ok(()) => state.writer = true,
            Err(e) => self.close_in(state, e.to_string()),
        }
    }

    /// The thread: writes what is queued until the connection is closed.
    fn write_all(self: Arc<Self>) {
        let mut batch = Vec::new();
        let mut state = self.state.lock();
        loop {
            while state.queue.is_empty() && state.closed.is_none() {
                self.changed.wait(&mut state);
            }
            if state.closed.is_some() {
                let queue = std::mem::take(&mut state.queue);
                drop(state);
                return drop(queue);
            }
            let mut source = None;
            while batch.len() < BATCH_MAX
                && let Some(Item::Bytes(_)) = state.queue.front()
                && let Some(Item::Bytes(bytes)) = state.queue.pop_front()
            {
                batch.push(bytes);
            }
            if batch.is_empty()
                && let Some(Item::Source(first)) = state.queue.pop_front()
            {
                source = Some(first);
            }
            (state.writing, state.begun) = (true, false);
            let written = parking_lot::MutexGuard::unlocked(&mut state, || match source.take() {
                Some(source) => self.write_source(source).map(|()| None),
                None => {
                    let len: usize = batch.iter().map(Bytes::len).sum();
                    let written = self.write_batch(&mut batch);
                    batch.clear();
                    written.map(|()| Some(len))
                }
            });
            state.writing = false;
            match written {
                Ok(done) => {
                    match done {
                        Some(len) => state.bytes -= len,
                        None => state.sources -= 1,
                    }
                    state.roomy &= state.sources > 0 || state.bytes > self.limits.queued_max;
                }
                Err(e) => {
                    let stalled = matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                    let why = match (stalled, self.stream.write_timeout()) {
                        (true, Ok(Some(t))) => format!("the peer took nothing for {} ms", t.as_millis()),
                        _ => format!("cannot send: {e}"),
                    };
                    self.close_in(&mut state, why);
                }
            }
        }
    }

    fn write_batch(&self, batch: &mut [Bytes]) -> io::Result<()> {
        let mut first = 0;
        while first < batch.len() {
            let slices: Vec<_> = batch[first..].iter().map(|b| IoSlice::new(b)).collect();
            let mut n = match (&self.stream).write_vectored(&slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            while first < batch.len() && n >= batch[first].len() {
                n -= batch[first].len();
                first += 1;
            }
            if n > 0 {
                batch[first].advance(n);
            }
        }
        Ok(())
    }

    fn write_source(&self, source: Box<dyn Source>) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(SOURCE_BUFFER, &self.stream);
        let written = source.write_to(&mut out);
        match written {
            Ok(()) => out.flush(),
            Err(e) => {
                // Half of it is of no use; dropping the buffer would send more.
                let _ = out.into_parts();
                Err(e)
            }
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Outbox").field("bytes", &state.bytes).field("closed", &state.closed).finish()
    }
}
