use super::{
    conn::{Conn, Phase, Reason},
    serve,
    worker::Worker,
};
use std::{
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::tcp::OwnedReadHalf,
};

/// Reads of a connection that is about to be closed; what a client still sends then is not waited for.
const DRAIN_READS_MAX: usize = 16;

/// The task of one connection: reads, has what it read served, and waits for the socket when that takes no more.
///
/// Written as a future by hand: it is all that an idle connection costs besides its [`Conn`], and it reads into a
/// buffer that all connections of the worker share.
pub(super) struct ConnTask {
    worker: Rc<Worker>,
    conn: Rc<Conn>,
    read: OwnedReadHalf,
    /// What has been read but not served: part of a frame, or frames that were held back.
    rest: Vec<u8>,
    /// `rest` begins with something that can be served as soon as the connection may go on.
    held: bool,
}

impl ConnTask {
    pub fn new(worker: Rc<Worker>, conn: Rc<Conn>, read: OwnedReadHalf) -> Self {
        Self { worker, conn, read, rest: Vec::new(), held: false }
    }

    /// Serves what is in `rest`.
    fn serve_rest(&mut self) {
        let mut rest = std::mem::take(&mut self.rest);
        let served = serve::serve(&self.worker, &self.conn, &rest);
        self.held = served.held;
        if served.consumed == rest.len() {
            return;
        }
        rest.drain(..served.consumed);
        self.rest = rest;
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut buffer = self.worker.take_read_buffer();
        let mut into = ReadBuf::new(&mut buffer);
        let result = Pin::new(&mut self.read).poll_read(cx, &mut into);
        let n = into.filled().len();
        let poll = match result {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if n == 0 => {
                self.conn.abandon(Reason::ClosedByClient);
                Poll::Ready(())
            }
            Poll::Ready(Ok(())) => {
                self.worker.note_read(n);
                if self.rest.is_empty() {
                    let served = serve::serve(&self.worker, &self.conn, &buffer[..n]);
                    self.held = served.held;
                    self.rest.extend_from_slice(&buffer[served.consumed..n]);
                } else {
                    self.rest.extend_from_slice(&buffer[..n]);
                    self.serve_rest();
                }
                Poll::Ready(())
            }
            Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::Interrupted => Poll::Ready(()),
            Poll::Ready(Err(_)) => {
                self.conn.abandon(Reason::ReadError);
                Poll::Ready(())
            }
        };
        self.worker.give_read_buffer(buffer);
        poll
    }
}

impl Future for ConnTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        me.conn.attach(cx.waker());
        me.conn.set_paused(false);
        loop {
            if me.conn.is_over() {
                if me.conn.phase() == Phase::Closing {
                    // A socket that is closed with unread bytes resets the connection, and the client may lose the
                    // last answer.
                    let mut buffer = me.worker.take_read_buffer();
                    for _ in 0..DRAIN_READS_MAX {
                        if !me.conn.stream().try_read(&mut buffer).is_ok_and(|n| n > 0) {
                            break;
                        }
                    }
                    me.worker.give_read_buffer(buffer);
                }
                return Poll::Ready(());
            }
            if me.conn.is_blocked() {
                match me.conn.stream().poll_write_ready(cx) {
                    Poll::Pending => {}
                    Poll::Ready(_) => {
                        me.conn.flush(&me.worker.spare);
                        continue;
                    }
                }
            }
            if !me.worker.may_take(&me.conn) {
                me.conn.set_paused(true);
                return Poll::Pending;
            }
            if me.held {
                me.serve_rest();
                continue;
            }
            if me.read(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for ConnTask {
    fn drop(&mut self) {
        self.worker.forget(&self.conn);
    }
}
