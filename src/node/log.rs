use super::fatal;
use crate::{
    admin::metrics::{Shard, Summary},
    net::{Inbox, Shared, ToCore},
    pipeline::{Input, LogBatch},
    storage::{Disk, LogOptions, LogWriter, SnapshotPace, StorageError},
    types::Zxid,
};
use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

/// How often others go first. Of 0 to 3, 2 made three members on two cores write most at depth 1: 15 % more than 0.
const YIELDS: usize = 2;

/// What reaches the log.
#[derive(Debug)]
pub(super) enum ToLog {
    /// Append and force.
    Append(LogBatch),
    /// Let go of the files: they are about to be changed. Answered when it is done.
    Detach(mpsc::SyncSender<()>),
    /// Go on behind this txn.
    Attach(Zxid),
    /// There is nothing more.
    Stop,
}

/// The log thread: appends everything there is, forces once, tells the core. While it forces, the next batch fills.
pub(super) struct Log {
    pub shared: Arc<Shared>,
    pub inbox: Arc<Inbox<ToLog>>,
    pub disk: Arc<dyn Disk>,
    pub options: LogOptions,
    pub writer: LogWriter,
    pub pace: SnapshotPace,
    pub metrics: Arc<Shard>,
}

impl Log {
    /// Runs until it is told to stop. A failure of the disk ends the process: what cannot be kept is not
    /// acknowledged, and nobody may believe that this server still works.
    pub fn run(mut self) {
        if let Err(error) = self.work() {
            fatal::stop(
                fatal::Exit::Unexpected,
                &format!("the transaction log cannot be written, so the server stops: {error}"),
            );
        }
    }

    fn work(&mut self) -> Result<(), StorageError> {
        let storage = &self.shared.config.storage;
        let batch_max = match storage.flush_batch_max {
            0 => usize::MAX,
            n => n as usize,
        };
        let delay = Duration::from_millis(storage.flush_delay_ms);
        let (mut items, mut batches, mut txns) = (Vec::new(), Vec::new(), 0);
        let mut stop = false;
        while !stop {
            self.inbox.wait(&mut items, None);
            if !delay.is_zero() {
                self.gather(&mut items, batch_max, Instant::now() + delay);
            } else if items.len() == 1 {
                self.let_others_add(&mut items);
            }
            for item in items.drain(..) {
                match item {
                    ToLog::Append(batch) => {
                        txns += batch.ends.len();
                        batches.push(batch);
                        if txns >= batch_max {
                            self.write(&mut batches)?;
                            txns = 0;
                        }
                    }
                    ToLog::Detach(done) => {
                        self.write(&mut batches)?;
                        txns = 0;
                        self.writer.roll()?;
                        // The core waits for it.
                        let _ = done.send(());
                    }
                    ToLog::Attach(last) => {
                        self.writer = LogWriter::open(self.disk.clone(), self.options.clone(), last);
                    }
                    ToLog::Stop => stop = true,
                }
            }
            self.write(&mut batches)?;
            txns = 0;
        }
        Ok(())
    }

    /// One write and one force for all of them.
    fn write(&mut self, batches: &mut Vec<LogBatch>) -> Result<(), StorageError> {
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Ok(()) };
        let last_zxid = last.last;
        self.writer.append(batches.iter().flat_map(LogBatch::entries), first.first, last_zxid)?;
        let txns = batches.iter().map(|b| b.ends.len()).sum();
        let bytes = batches.iter().map(|b| b.bytes.len()).sum();
        batches.clear();
        self.force(txns, bytes, last_zxid)
    }

    /// `flushDelay`: waits for more, until there is enough or the time is over.
    fn gather(&self, items: &mut Vec<ToLog>, batch_max: usize, until: Instant) {
        let count = |items: &[ToLog]| -> usize {
            items.iter().map(|i| if let ToLog::Append(b) = i { b.ends.len() } else { batch_max }).sum()
        };
        let mut more = Vec::new();
        while count(items) < batch_max && Instant::now() < until {
            self.inbox.wait(&mut more, Some(until));
            items.append(&mut more);
        }
    }

    /// Lets whoever waits for a processor go first before a force for little: on a busy machine that is the core, or
    /// another member's, about to hand on more. Where nobody waits it costs well under a microsecond.
    fn let_others_add(&self, items: &mut Vec<ToLog>) {
        for _ in 0..YIELDS {
            thread::yield_now();
            self.inbox.take_more(items);
        }
    }

    fn force(&mut self, txns: usize, bytes: usize, last: Zxid) -> Result<(), StorageError> {
        let start = Instant::now();
        self.writer.force()?;
        self.metrics.record(Summary::FsyncTime, start.elapsed().as_millis() as u64);
        self.metrics.record(Summary::SyncProcessorBatchSize, txns as u64);
        self.shared.core.put(ToCore::Input(Input::Durable(last)));
        if self.pace.add(txns as u64, bytes as u64) {
            // The txns after the snapshot are in a file of their own, so that purging can drop those before it.
            self.writer.roll()?;
            self.shared.core.put(ToCore::SnapshotDue);
        }
        Ok(())
    }
}
