use crate::{
    ops::OpsConfig,
    pipeline::{Deliveries, Input, LocalSessions, Now, Pipeline, PipelineConfig, ReaperConfig},
    sim::disk::FakeDisk,
    storage::{Digest, Disk, LogWriter, SnapshotPace, SnapshotWriter, StorageOptions, recover},
    tree::{DIGEST_VERSION, SnapshotWalk, Tree, TreeOptions},
    types::{OwnerRules, ServerId, SessionId, TxnFormat, Zxid},
    watch::WatchManager,
};
use std::sync::Arc;

/// Snapshots come often, so that crashes meet them.
const SNAP_COUNT: u32 = 30;

/// What threads do in a real server, one after another.
pub(super) struct Server {
    pipeline: Pipeline,
    pub(super) tree: Tree,
    watches: WatchManager,
    log: LogWriter,
    pace: SnapshotPace,
    snapshot: Option<(SnapshotWalk, SnapshotWriter)>,
    snapshots_finished: u64,
    snapshot_due: bool,
    disk: Arc<dyn Disk>,
    options: StorageOptions,
    now: Now,
    /// The sessions as recovered.
    pub(super) sessions: Vec<(SessionId, i32)>,
    /// The zxid as recovered.
    pub(super) recovered: Zxid,
}

impl Server {
    pub(super) fn start(disk: &FakeDisk, seed: u64) -> Result<Self, String> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut options = StorageOptions::in_dir("/data");
        options.prealloc_size = [0, 4096, 16_384][(seed % 3) as usize];
        options.log_file_size_max = seed.is_multiple_of(5).then_some(8192);
        let rules = OwnerRules { extended_types: true, emulate_353: false };
        let tree_options = TreeOptions { hash_seed: seed, owner_rules: rules, digest: true };
        let recovered =
            recover(&disk, &options, tree_options, &mut |_| {}).map_err(|e| format!("recovery: {e}"))?;
        if recovered.digest_mismatches > 0 {
            return Err(format!("{} digests do not match after replay", recovered.digest_mismatches));
        }
        if !recovered.orphans.is_empty() {
            return Err(format!("ephemerals without a session: {:?}", recovered.orphans));
        }
        let config = PipelineConfig {
            server: ServerId(1),
            tick_ms: 1000,
            session_timeout_min_ms: 2000,
            session_timeout_max_ms: 40_000,
            reaper: ReaperConfig::default(),
            ops: OpsConfig { owner_rules: rules, ..OpsConfig::default() },
            txn_format: TxnFormat::default(),
            local_sessions: LocalSessions::default(),
            seed,
            first_counter: 0,
            eager_acl_check: false,
            throttled_op_wait_ms: 0,
        };
        let now = Now { mono_ms: 0, wall_ms: 1_700_000_000_000 + (seed & 0xffff) as i64 };
        let last = recovered.last_zxid;
        Ok(Self {
            pipeline: Pipeline::new(config, &recovered.sessions, last, now),
            tree: recovered.tree,
            watches: WatchManager::new(seed),
            log: LogWriter::open(disk.clone(), options.log(), last),
            pace: SnapshotPace::new(SNAP_COUNT, None, seed),
            snapshot: None,
            snapshots_finished: 0,
            snapshot_due: false,
            disk,
            options,
            now,
            sessions: recovered.sessions,
            recovered: last,
        })
    }

    pub(super) fn now(&self) -> Now {
        self.now
    }

    pub(super) fn snapshots_finished(&self) -> u64 {
        self.snapshots_finished
    }

    pub(super) fn pass(&mut self, ms: i64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
        self.put(Input::Tick);
    }

    pub(super) fn put(&mut self, input: Input) {
        self.pipeline.accept(self.now, &self.tree, input);
    }

    /// Appends and forces what is checked. False when the disk failed: then the server stops.
    pub(super) fn force(&mut self) -> bool {
        let Some(batch) = self.pipeline.take_log() else { return true };
        let before = self.log.stats();
        let done = self.log.append(batch.entries(), batch.first, batch.last).and_then(|()| self.log.force());
        if done.is_err() {
            assert!(self.log.force().is_err(), "a log that failed once must not go on");
            return false;
        }
        let after = self.log.stats();
        if self.pace.add(after.records - before.records, after.bytes - before.bytes)
            && self.snapshot.is_none()
        {
            if self.log.roll().is_err() {
                return false;
            }
            self.snapshot_due = true;
        }
        self.put(Input::Durable(batch.last));
        true
    }

    /// Applies what is committed, as in the exclusive section of a real server; gives what clients are told.
    pub(super) fn answers(&mut self) -> Deliveries {
        let mut out = Deliveries::new(1);
        while self.pipeline.has_ready() {
            self.pipeline.apply(&mut self.tree, &mut self.watches, &mut out, 3);
        }
        assert_eq!(self.pipeline.counts().digest_mismatches, 0, "the digest promised is not the tree's");
        if std::mem::take(&mut self.snapshot_due) {
            let walk = self.tree.begin_snapshot().expect("one at a time");
            let sessions = self.pipeline.global_sessions();
            let acls = walk.acl_table().iter().map(|(index, list)| (*index, list));
            match SnapshotWriter::create(
                self.disk.clone(),
                &self.options.snapshot(),
                walk.zxid(),
                &sessions,
                acls,
            ) {
                Ok(writer) => self.snapshot = Some((walk, writer)),
                Err(_) => drop(self.tree.end_snapshot(walk)),
            }
        }
        out
    }

    /// Goes on with the snapshot, if one is being taken.
    pub(super) fn walk(&mut self, nodes: usize) {
        let Some((mut walk, mut writer)) = self.snapshot.take() else { return };
        let more = walk.next_chunk(&self.tree, nodes, &mut |n| {
            writer.node(n.path, n.data, n.acl_index, &n.stat);
        });
        let failed = writer.drain().is_err();
        match more {
            Ok(true) if !failed => self.snapshot = Some((walk, writer)),
            _ => {
                let digest = Digest { zxid: walk.zxid(), version: DIGEST_VERSION, value: walk.digest() };
                drop(self.tree.end_snapshot(walk));
                if !failed && writer.finish(Some(digest)).is_ok() {
                    self.snapshots_finished += 1;
                }
            }
        }
    }
}
