//! What goes out, to peers that read and such that do not.

use super::{PATIENCE, all_threads_end, patient, wait_until};
use crate::peer::{SendLimits, Source, outbox::Outbox, threads::Threads};
use bytes::Bytes;
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

fn pair(limits: SendLimits) -> (Arc<Outbox>, TcpStream, Threads) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ours.set_write_timeout(Some(PATIENCE)).unwrap();
    let theirs = patient(listener.accept().unwrap().0);
    let threads = Threads::default();
    (Outbox::new(ours, limits, threads.clone()), theirs, threads)
}

/// Writes numbers.
struct Numbers(std::ops::Range<u32>);

impl Source for Numbers {
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> io::Result<()> {
        self.0.into_iter().try_for_each(|n| out.write_all(&n.to_be_bytes()))
    }
}

struct Fails;

impl Source for Fails {
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"half")?;
        Err(io::Error::other("the log file is gone"))
    }
}

fn numbers(range: std::ops::Range<u32>) -> Bytes {
    range.flat_map(u32::to_be_bytes).collect::<Vec<u8>>().into()
}

#[test]
fn bytes_and_sources_go_out_in_the_order_in_which_they_were_sent() {
    let (outbox, mut theirs, threads) = pair(SendLimits::default());
    let mut next = 0u32;
    // Small and large, with and without somebody reading meanwhile.
    for round in 0..40 {
        let len = if round % 3 == 0 { 300_000 } else { 7 };
        if round % 5 == 4 {
            outbox.send_source(Box::new(Numbers(next..next + len)));
        } else {
            outbox.send(numbers(next..next + len));
        }
        next += len;
    }
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).unwrap();
        all
    });
    wait_until("all is out", || outbox.is_idle());
    outbox.close("done");
    let all = reader.join().unwrap();
    assert_eq!(all.len(), 4 * next as usize);
    for (n, bytes) in all.chunks(4).enumerate() {
        assert_eq!(bytes, (n as u32).to_be_bytes());
    }
    all_threads_end(&threads);
}

#[test]
fn a_peer_that_reads_needs_no_thread() {
    let (outbox, theirs, threads) = pair(SendLimits::default());
    for n in 0..1000 {
        outbox.send(numbers(n..n + 1));
        assert_eq!(super::read_exact(&theirs, 4), n.to_be_bytes());
    }
    assert_eq!(threads.wait(Duration::ZERO), 0);
}

#[test]
fn sending_does_not_wait_and_what_may_wait_is_bounded() {
    let limits = SendLimits { queued_max: 1 << 20, behind_source_max: 8 << 20 };
    let (outbox, theirs, threads) = pair(limits);
    let piece = Bytes::from(vec![7; 64 << 10]);
    let start = Instant::now();
    let mut sent = 0;
    while outbox.closed().is_none() {
        outbox.send(piece.clone());
        sent += piece.len();
        assert!(sent < 64 << 20, "nothing bounds it");
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    let why = outbox.closed().unwrap();
    assert!(why.contains("does not keep up") && why.contains("1048576"), "{why}");
    drop(theirs);
    all_threads_end(&threads);
}

#[test]
fn behind_a_source_more_may_wait_until_it_has_drained() {
    let limits = SendLimits { queued_max: 100_000, behind_source_max: 40 << 20 };
    let (outbox, mut theirs, threads) = pair(limits);
    let long = 5_000_000;
    outbox.send_source(Box::new(Numbers(0..long)));
    for _ in 0..1000 {
        outbox.send(Bytes::from(vec![1; 10_000]));
    }
    assert_eq!(outbox.closed(), None);
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; 4 * long as usize + 10_000_000 + 3];
        theirs.read_exact(&mut bytes).unwrap();
        bytes
    });
    // The source is through at some time, what came in behind it is not.
    outbox.send(Bytes::from_static(b"end"));
    let bytes = reader.join().unwrap();
    assert_eq!(bytes[bytes.len() - 4..], *b"\x01end");
    wait_until("the queue is empty", || outbox.is_idle());
    assert_eq!(outbox.closed(), None);
    outbox.close("done");
    all_threads_end(&threads);
}

#[test]
fn a_source_that_fails_closes_the_connection_and_says_why() {
    let (outbox, mut theirs, threads) = pair(SendLimits::default());
    outbox.send_source(Box::new(Fails));
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).unwrap();
    assert!(outbox.closed().unwrap().contains("the log file is gone"));
    all_threads_end(&threads);
}

/// Says which thread dropped it.
struct Droppable(std::sync::mpsc::Sender<Option<String>>);

impl Source for Droppable {
    fn write_to(self: Box<Self>, _: &mut dyn Write) -> io::Result<()> {
        panic!("it comes behind what is never read")
    }
}

impl Drop for Droppable {
    fn drop(&mut self) {
        let _ = self.0.send(std::thread::current().name().map(Into::into));
    }
}

/// A tree that is being sent ends its walk when it is dropped, which takes the tree's lock: not for the thread that
/// closes a link, which may hold it.
#[test]
fn a_source_is_dropped_by_the_thread_that_writes() {
    let (outbox, _theirs, threads) = pair(SendLimits::default());
    let (dropped, drops) = std::sync::mpsc::channel();
    outbox.send(Bytes::from(vec![0; 30 << 20]));
    outbox.send_source(Box::new(Droppable(dropped)));
    outbox.close("closed by this test");
    assert_eq!(drops.recv_timeout(PATIENCE).unwrap().as_deref(), Some("peer-write"));
    all_threads_end(&threads);
}

#[test]
fn a_peer_that_takes_nothing_is_given_up_and_closing_wakes_the_thread() {
    let (outbox, theirs, threads) = pair(SendLimits::default());
    outbox.stream().set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    outbox.send(Bytes::from(vec![0; 30 << 20]));
    wait_until("it is given up", || outbox.closed().is_some());
    assert!(outbox.closed().unwrap().contains("the peer took nothing for 5"));
    all_threads_end(&threads);
    drop(theirs);

    let (outbox, _theirs, threads) = pair(SendLimits::default());
    outbox.send(Bytes::from(vec![0; 30 << 20]));
    outbox.send_source(Box::new(Numbers(0..10)));
    outbox.close("closed by this test");
    outbox.close("something later");
    all_threads_end(&threads);
    assert_eq!(outbox.closed().unwrap(), "closed by this test");
}
