use super::{HEADER_LEN, LogReader, Next, TEMPORARY, encode_record, entry_time_ms, header};
use crate::storage::names::log_name;
use crate::storage::{Disk, DiskFile, OpenMode, StorageError};
use crate::types::Zxid;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Zeros are written ahead of the records in steps of this size.
///
/// A hole, or a block allocated but never written, costs the forced write that first touches it a commit of the
/// file system's journal. Measured on ext4, forced batches of 5 kB: 9,500 a second into zeros written before, against
/// 5,300 into a hole and 5,200 into allocated blocks; with 256 KiB the write that carries the zeros takes some
/// 0.3 ms longer, with 1 MiB a whole one.
const ZEROS_AHEAD: u64 = 256 << 10;
/// Upstream's distance to the end of the file at which it grows.
const GROW_DISTANCE: u64 = 4096;
/// A framing buffer larger than this is given back after use.
const BUFFER_KEPT_MAX: usize = 4 << 20;

/// A batch whose txns are further apart in time is written as a file of its own. What is found torn at the end of a log
/// is taken for one batch only within `tail::BATCH_TIME_MAX_MS`, and what a member gets from its leader when it joins may
/// be of days.
const BATCH_TIME_MAX_MS: i64 = super::tail::BATCH_TIME_MAX_MS - 1_000;

/// Settings of a [`LogWriter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// `<dataLogDir>/version-2`
    pub dir: PathBuf,
    /// `preAllocSize`, bytes: the file grows in such steps; 0 switches preallocation off.
    pub prealloc_size: u64,
    /// `txnLogSizeLimitInKb`, bytes: a new file is begun when one is longer than this.
    pub file_size_max: Option<u64>,
    /// `forceSync`: `false` leaves forcing to the operating system and risks acknowledged writes.
    pub force_sync: bool,
    /// `fsync.warningthresholdms`: a force that takes longer is logged.
    pub slow_force_ms: u64,
}

/// Counts of a [`LogWriter`] since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Records appended.
    pub records: u64,
    /// Bytes appended, frames included.
    pub bytes: u64,
    /// Forces that reached the disk.
    pub forces: u64,
    /// Files begun.
    pub files: u64,
}

/// Appends batches of records to the newest log and forces them.
///
/// Nothing may be acknowledged before [`Self::force`] returned Ok. After the first error every call fails: whether
/// what was written is on disk cannot be known any more, so the server has to stop rather than go on.
///
/// Upstream counterpart: the writing half of `FileTxnLog`, and `FilePadding`.
#[derive(Debug)]
pub struct LogWriter {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    file: Option<Current>,
    /// Framing buffer, kept between batches.
    buf: Vec<u8>,
    last_zxid: Zxid,
    poisoned: Option<String>,
    stats: LogStats,
}

#[derive(Debug)]
struct Current {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    /// Where the next record goes.
    end: u64,
    /// Length of the file.
    len: u64,
    /// Zeros are written up to here.
    zeroed: u64,
    /// Whether something was written since the last force.
    dirty: bool,
}

impl LogWriter {
    /// A writer that begins a new file with its first batch: files of an earlier process are never appended to.
    /// `last_zxid` is the last one recovered.
    pub fn open(disk: Arc<dyn Disk>, options: LogOptions, last_zxid: Zxid) -> Self {
        Self {
            disk,
            options,
            file: None,
            buf: Vec::new(),
            last_zxid,
            poisoned: None,
            stats: LogStats::default(),
        }
    }

    /// Writes a batch of entries with one write. `first` is the zxid of the first entry, `last` of the last one.
    ///
    /// # Errors
    /// Any failure of the disk, and every call after one; [`StorageError::LogExists`].
    ///
    /// # Panics
    /// When an entry is empty or of 2 GiB and more.
    pub fn append<'e>(
        &mut self,
        entries: impl IntoIterator<Item = &'e [u8]>,
        first: Zxid,
        last: Zxid,
    ) -> Result<(), StorageError> {
        self.check()?;
        self.buf.clear();
        let mut records = 0;
        let (mut earliest, mut latest) = (i64::MAX, i64::MIN);
        for entry in entries {
            encode_record(entry, &mut self.buf);
            records += 1;
            if let Some(time_ms) = entry_time_ms(entry) {
                (earliest, latest) = (earliest.min(time_ms), latest.max(time_ms));
            }
        }
        if records == 0 {
            return Ok(());
        }
        let bytes = self.buf.len() as u64;
        let done = match latest.saturating_sub(earliest) > BATCH_TIME_MAX_MS && records > 1 {
            true => self.write_whole_file(first),
            false => self.write_buf(first),
        };
        self.or_poison(done)?;
        // A zxid may repeat: a write that could not be decoded leaves an error with its predecessor's number.
        self.last_zxid = self.last_zxid.max(last);
        self.stats.records += records;
        self.stats.bytes += bytes;
        if self.buf.capacity() > BUFFER_KEPT_MAX {
            self.buf = Vec::new();
        }
        Ok(())
    }

    /// Makes everything appended so far durable. Begins a new file afterwards when this one is full.
    ///
    /// # Errors
    /// Any failure of the disk, and every call after one.
    pub fn force(&mut self) -> Result<(), StorageError> {
        self.check()?;
        let done = self.force_file();
        self.or_poison(done)?;
        if let (Some(current), Some(max)) = (&self.file, self.options.file_size_max)
            && current.len > max
        {
            self.roll()?;
        }
        Ok(())
    }

    /// Makes the next batch begin a new file. Called when a snapshot begins.
    ///
    /// # Errors
    /// As [`Self::force`], which it implies.
    pub fn roll(&mut self) -> Result<(), StorageError> {
        self.check()?;
        let done = self.force_file();
        self.or_poison(done)?;
        self.file = None;
        Ok(())
    }

    /// Zxid of the last record appended, or the one recovered.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Why nothing can be written any more, if so.
    pub fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    /// What happened so far.
    pub fn stats(&self) -> LogStats {
        self.stats
    }

    /// Length of the current file in bytes, preallocation included; 0 between files. Upstream's
    /// `getCurrentLogSize`.
    pub fn file_len(&self) -> u64 {
        self.file.as_ref().map_or(0, |f| f.len)
    }

    fn check(&self) -> Result<(), StorageError> {
        match &self.poisoned {
            Some(reason) => Err(StorageError::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn or_poison<T>(&mut self, done: Result<T, StorageError>) -> Result<T, StorageError> {
        if let Err(e) = &done {
            self.poisoned = Some(e.to_string());
            // The handle is of no use; closing it makes that plain.
            self.file = None;
        }
        done
    }

    fn write_buf(&mut self, first: Zxid) -> Result<(), StorageError> {
        if self.file.is_none() {
            self.file = Some(self.create(first)?);
        }
        let prealloc = self.options.prealloc_size;
        let current = self.file.as_mut().expect("created above");
        let records = self.buf.len() as u64;
        let end = current.end + records;
        let len = grown(current.end, current.len, prealloc);
        if len > current.len {
            // A hole costs no room; a disk too full for the records themselves says so below.
            current.file.set_len(len).map_err(StorageError::io("extend", &current.path))?;
            current.len = len;
        }
        if prealloc > 0 && end > current.zeroed {
            let zeroed = (end.next_multiple_of(ZEROS_AHEAD)).min(current.len).max(end);
            self.buf.resize((zeroed - current.end) as usize, 0);
            current.zeroed = zeroed;
        }
        current.dirty = true;
        let mut written = current.file.write_all_at(&self.buf, current.end);
        if self.buf.len() as u64 > records && written.as_ref().is_err_and(is_full) {
            // Room for the records may be left without the zeros.
            self.buf.truncate(records as usize);
            current.zeroed = end;
            written = current.file.write_all_at(&self.buf, current.end);
        }
        written.map_err(StorageError::io("write", &current.path))?;
        current.end = end;
        current.len = current.len.max(end);
        Ok(())
    }

    /// Writes the batch as a file of its own, which gets its name when all of it is durable: a crash leaves all or
    /// nothing. The next batch begins another file.
    fn write_whole_file(&mut self, first: Zxid) -> Result<(), StorageError> {
        self.force_file()?;
        self.file = None;
        let path = self.options.dir.join(log_name(first));
        let temporary = self.options.dir.join(format!("{TEMPORARY}{}", log_name(first)));
        let io = |what| StorageError::io(what, &temporary);
        self.refuse_to_replace(&path, first)?;
        let file = self.disk.open(&temporary, OpenMode::Replace).map_err(io("create"))?;
        file.write_all_at(&header(), 0).map_err(io("write"))?;
        file.write_all_at(&self.buf, HEADER_LEN).map_err(io("write"))?;
        if self.options.force_sync {
            file.sync_all().map_err(io("force"))?;
            self.stats.forces += 1;
        }
        self.disk.rename(&temporary, &path).map_err(StorageError::io("name", &path))?;
        if self.options.force_sync {
            self.disk.sync_dir(&self.options.dir).map_err(StorageError::io("force", &self.options.dir))?;
        }
        self.stats.files += 1;
        Ok(())
    }

    /// A crash between creating a file and forcing its first batch leaves one of the same name, without records.
    fn refuse_to_replace(&self, path: &Path, first: Zxid) -> Result<(), StorageError> {
        if self.disk.exists(path).map_err(StorageError::io("inspect", path))?
            && matches!(LogReader::open(&*self.disk, path)?.next_record()?, Next::Record { .. })
        {
            return Err(StorageError::LogExists { path: path.to_owned(), zxid: first });
        }
        Ok(())
    }

    /// Begins the file whose first record will have the zxid `first`. Header and name are durable before any record
    /// is written, so a log without a header holds nothing.
    fn create(&mut self, first: Zxid) -> Result<Current, StorageError> {
        let path = self.options.dir.join(log_name(first));
        let io = |what| StorageError::io(what, &path);
        let file = match self.disk.open(&path, OpenMode::CreateNew) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                self.refuse_to_replace(&path, first)?;
                self.disk.open(&path, OpenMode::Replace).map_err(io("replace"))?
            }
            other => other.map_err(io("create"))?,
        };
        file.write_all_at(&header(), 0).map_err(io("write"))?;
        let len = grown(HEADER_LEN, HEADER_LEN, self.options.prealloc_size);
        if len > HEADER_LEN {
            file.set_len(len).map_err(io("extend"))?;
        }
        if self.options.force_sync {
            file.sync_all().map_err(io("force"))?;
            self.disk.sync_dir(&self.options.dir).map_err(StorageError::io("force", &self.options.dir))?;
        }
        self.stats.files += 1;
        Ok(Current { file, path, end: HEADER_LEN, len, zeroed: HEADER_LEN, dirty: false })
    }

    fn force_file(&mut self) -> Result<(), StorageError> {
        let Some(current) = self.file.as_mut().filter(|f| f.dirty) else { return Ok(()) };
        if self.options.force_sync {
            let start = Instant::now();
            current.file.sync_data().map_err(StorageError::io("force", &current.path))?;
            let took = start.elapsed();
            self.stats.forces += 1;
            if took > Duration::from_millis(self.options.slow_force_ms) {
                tracing::warn!(
                    log = %current.path.display(), took_ms = took.as_millis() as u64, file_bytes = current.len,
                    "forcing the transaction log took longer than fsync.warningthresholdms; every write waited: give \
                     the log its own fast disk (dataLogDir)"
                );
            }
        }
        current.dirty = false;
        Ok(())
    }
}

fn is_full(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::StorageFull
}

/// Length of the file when the next record goes to `position`. Upstream's rule, `FilePadding`.
fn grown(position: u64, len: u64, prealloc: u64) -> u64 {
    if prealloc == 0 || position + GROW_DISTANCE < len {
        return len;
    }
    if position > len {
        let grown = position + prealloc;
        return grown - grown % prealloc;
    }
    len + prealloc
}

/// Decides when a snapshot is due: after between half and all of `snapCount` transactions or `snapSizeLimitInKb`
/// bytes, drawn anew each time, so that the members of an ensemble do not do it at once.
///
/// Upstream counterpart: `SyncRequestProcessor.shouldSnapshot`.
#[derive(Debug)]
pub struct SnapshotPace {
    count_max: u64,
    bytes_max: Option<u64>,
    state: u64,
    count: u64,
    bytes: u64,
    count_due: u64,
    bytes_due: u64,
}

impl SnapshotPace {
    /// A pace by `snapCount` and `snapSizeLimitInKb` (in bytes; `None` is off). `seed` feeds the random part.
    pub fn new(snap_count: u32, bytes_max: Option<u64>, seed: u64) -> Self {
        let mut pace = Self {
            count_max: u64::from(snap_count.max(2)),
            bytes_max,
            state: seed,
            count: 0,
            bytes: 0,
            count_due: 0,
            bytes_due: 0,
        };
        pace.reset();
        pace
    }

    /// Counts a batch. True when a snapshot is due; the next distance is drawn then.
    pub fn add(&mut self, txns: u64, bytes: u64) -> bool {
        self.count += txns;
        self.bytes += bytes;
        let due = self.count > self.count_due || (self.bytes_max.is_some() && self.bytes > self.bytes_due);
        if due {
            self.reset();
        }
        due
    }

    /// Starts counting from zero, as when a snapshot is taken for another reason.
    pub fn reset(&mut self) {
        (self.count, self.bytes) = (0, 0);
        self.count_due = self.draw(self.count_max);
        self.bytes_due = self.draw(self.bytes_max.unwrap_or(2));
    }

    fn draw(&mut self, max: u64) -> u64 {
        // SplitMix64: even enough, and the same on every machine.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let half = (max / 2).max(1);
        half + z % half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_grows_by_the_rule_of_upstream() {
        let k = 1024;
        assert_eq!(grown(16, 16, 16 * k), 16 + 16 * k);
        assert_eq!(grown(12 * k, 16 + 16 * k, 16 * k), 16 + 16 * k);
        assert_eq!(grown(12 * k + 16, 16 + 16 * k, 16 * k), 16 + 32 * k);
        assert_eq!(grown(16 * k + 17, 16 + 16 * k, 16 * k), 32 * k);
        assert_eq!(grown(16, 16, 0), 16);
    }

    #[test]
    fn snapshots_are_due_between_half_and_all_of_the_limits() {
        for seed in 0..200 {
            let mut pace = SnapshotPace::new(100, None, seed);
            for _ in 0..5 {
                let n = (1..).find(|_| pace.add(1, 1 << 40)).unwrap();
                assert!((51..=100).contains(&n), "seed {seed}: {n}");
            }
            let mut pace = SnapshotPace::new(u32::MAX, Some(1000), seed);
            let n = (1..).find(|_| pace.add(1, 10)).unwrap();
            assert!((51..=100).contains(&n), "seed {seed}: {n}");
        }
    }
}
