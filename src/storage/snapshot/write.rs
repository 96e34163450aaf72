use super::stream::StreamWriter;
use super::{DB_ID, Digest, SNAPSHOT_MAGIC};
use crate::storage::names::snapshot_name;
use crate::storage::{Compression, Disk, OpenMode, StorageError};
use crate::tree::SnapshotWalk;
use crate::types::{Acl, AclList, SessionId, StatPersisted, Zxid};
use quoll_jute::{Record, Writer, data, persistence};
use simd_adler32::Adler32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names of files under way begin with this. Upstream takes no such name for a snapshot, whatever the file holds.
const TEMPORARY: &str = "tmp.";
/// Encoded bytes collected before they are hashed and handed on.
pub(super) const CHUNK: usize = 128 << 10;
/// A path that no znode has, behind the last one.
pub(super) const NODES_END: &str = "/";

/// How snapshots are written. All of it is upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// `<dataDir>/version-2`
    pub dir: PathBuf,
    /// `snapshot.compression.method`
    pub compression: Compression,
    /// `serializeLastProcessedZxid.enabled`
    pub last_zxid: bool,
}

/// Writes one snapshot: sessions and ACLs at the start, znodes with [`Self::drain`] now and then, [`Self::finish`]. The file gets its name when it is
/// complete and forced; until then, and when the writer is dropped, only a temporary file exists.
///
/// Upstream counterpart: `FileSnap.serialize` with `AtomicFileOutputStream`.
pub struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    options: SnapshotOptions,
    zxid: Zxid,
    temporary: PathBuf,
    out: Option<StreamWriter>,
    hash: Adler32,
    buf: Vec<u8>,
}

impl SnapshotWriter {
    /// Begins the snapshot of a tree's walk.
    ///
    /// # Errors
    /// Any failure of the disk.
    pub fn for_walk(
        disk: Arc<dyn Disk>,
        options: &SnapshotOptions,
        walk: &SnapshotWalk,
        sessions: &[(SessionId, i32)],
    ) -> Result<Self, StorageError> {
        let acls = walk.acl_table().iter().map(|(index, list)| (*index, list));
        Self::create(disk, options, walk.zxid(), sessions, acls)
    }

    /// Begins the snapshot of the state after `zxid`.
    ///
    /// # Errors
    /// Any failure of the disk.
    pub fn create<'a>(
        disk: Arc<dyn Disk>,
        options: &SnapshotOptions,
        zxid: Zxid,
        sessions: &[(SessionId, i32)],
        acls: impl ExactSizeIterator<Item = (i64, &'a AclList)>,
    ) -> Result<Self, StorageError> {
        let temporary = options.dir.join(format!("{TEMPORARY}{}", snapshot_name(zxid, options.compression)));
        let file =
            disk.open(&temporary, OpenMode::Replace).map_err(StorageError::io("create", &temporary))?;
        let mut this = Self {
            disk,
            options: options.clone(),
            zxid,
            temporary,
            out: None,
            hash: Adler32::new(),
            buf: Vec::with_capacity(CHUNK * 2),
        };
        this.out = Some(
            StreamWriter::new(file, options.compression)
                .map_err(StorageError::io("write", &this.temporary))?,
        );
        let w = &mut Writer::new(&mut this.buf);
        persistence::FileHeader { magic: SNAPSHOT_MAGIC as i32, version: 2, dbid: DB_ID }.write(w);
        encode_start(w, sessions, acls);
        this.pass_on()?;
        Ok(this)
    }

    /// Adds a znode, in memory only: this may be called under a lock, and [`Self::drain`] outside of it. Parents come
    /// before their children; the path of the root is "".
    pub fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: &StatPersisted) {
        encode_node(&mut Writer::new(&mut self.buf), path, data, acl, stat);
    }

    /// Bytes added and not handed on yet.
    pub fn pending_bytes(&self) -> usize {
        self.buf.len()
    }

    /// Hands on what was added, if it is worth while.
    ///
    /// # Errors
    /// Any failure of the disk; the snapshot cannot be finished then.
    pub fn drain(&mut self) -> Result<(), StorageError> {
        if self.buf.len() >= CHUNK { self.pass_on() } else { Ok(()) }
    }

    /// Zxid of the snapshot.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// Completes, forces and names the file. `digest` is the tree's, when digests are enabled. Returns the path and
    /// the length in bytes.
    ///
    /// # Errors
    /// Any failure of the disk. A file of this name that was there before is unharmed then.
    pub fn finish(mut self, digest: Option<Digest>) -> Result<(PathBuf, u64), StorageError> {
        Writer::new(&mut self.buf).text(Some(NODES_END));
        self.seal()?;
        if let Some(Digest { zxid, version, value }) = digest {
            let w = &mut Writer::new(&mut self.buf);
            w.long(zxid.0);
            w.int(version);
            w.long(value);
            self.seal()?;
        }
        if self.options.last_zxid {
            Writer::new(&mut self.buf).long(self.zxid.0);
            self.seal()?;
        }
        let out = self.out.take().expect("taken only here");
        let len = out.finish().map_err(StorageError::io("write", &self.temporary))?;
        let dir = &self.options.dir;
        let path = dir.join(snapshot_name(self.zxid, self.options.compression));
        // The new name could become durable before the removal of an older file of the temporary one, and stand for that.
        self.disk.sync_dir(dir).map_err(StorageError::io("force", dir))?;
        self.disk.rename(&self.temporary, &path).map_err(StorageError::io("name", &path))?;
        self.disk.sync_dir(dir).map_err(StorageError::io("force", dir))?;
        Ok((path, len))
    }

    fn seal(&mut self) -> Result<(), StorageError> {
        self.pass_on()?;
        let sum = self.hash.finish();
        let w = &mut Writer::new(&mut self.buf);
        w.long(i64::from(sum));
        w.text(Some("/"));
        self.pass_on()
    }

    fn pass_on(&mut self) -> Result<(), StorageError> {
        self.hash.write(&self.buf);
        let out = self.out.as_mut().expect("there until finished");
        out.write_all(&self.buf).map_err(StorageError::io("write", &self.temporary))?;
        self.buf.clear();
        Ok(())
    }
}

/// Sessions and ACLs.
pub(super) fn encode_start<'a>(
    w: &mut Writer<'_>,
    sessions: &[(SessionId, i32)],
    acls: impl ExactSizeIterator<Item = (i64, &'a AclList)>,
) {
    w.length(sessions.len());
    for (session, timeout_ms) in sessions {
        w.long(session.0);
        w.int(*timeout_ms);
    }
    w.length(acls.len());
    for (index, list) in acls {
        w.long(index);
        w.vector(Some(list), |w, a: &Acl| data::Acl::from(a).write(w));
    }
}

/// A znode.
pub(super) fn encode_node(
    w: &mut Writer<'_>,
    path: &str,
    data: Option<&[u8]>,
    acl: i64,
    stat: &StatPersisted,
) {
    w.text(Some(path));
    w.buffer(data);
    w.long(acl);
    stat.write(w);
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        if self.out.take().is_some() {
            let _ = self.disk.remove(&self.temporary);
        }
    }
}

/// Removes what a crash left of snapshots under way. Returns the names.
///
/// # Errors
/// When the directory cannot be listed or a file not removed.
pub fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, StorageError> {
    let prefix = format!("{TEMPORARY}snapshot.");
    let mut names = Vec::new();
    for entry in disk.list(dir).map_err(StorageError::io("list", dir))? {
        if !entry.is_dir && entry.name.starts_with(&prefix) {
            let path = dir.join(&entry.name);
            disk.remove(&path).map_err(StorageError::io("remove", &path))?;
            names.push(entry.name);
        }
    }
    // Before anything else gets such a name: see [`SnapshotWriter::finish`].
    if !names.is_empty() {
        disk.sync_dir(dir).map_err(StorageError::io("force", dir))?;
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::disk::{FakeDisk, Unforced};
    use std::path::Path;

    const DIR: &str = "/data";

    fn write(disk: &FakeDisk, finish: bool) -> Result<(), StorageError> {
        let options = SnapshotOptions { dir: DIR.into(), compression: Compression::None, last_zxid: true };
        let acls = std::iter::empty::<(i64, &AclList)>();
        let mut writer = SnapshotWriter::create(Arc::new(disk.clone()), &options, Zxid(7), &[], acls)?;
        writer.node("", Some(&[7; 2000]), -1, &StatPersisted::default());
        if finish { writer.finish(None).map(drop) } else { Ok(()) }
    }

    /// Found by simulation: an attempt was given up, the next one got as far as its name, and the machine went down. On
    /// the disk the name stood for the first attempt, whose removal had not come so far.
    #[test]
    fn a_snapshot_has_its_name_only_when_it_is_whole_whatever_had_the_temporary_one_before() {
        let fresh = || {
            let disk = FakeDisk::new();
            disk.create_dirs(Path::new(DIR)).unwrap();
            disk
        };
        let disk = fresh();
        write(&disk, true).unwrap();
        let whole = disk.get("/data/snapshot.7").unwrap();
        let (mut seen, mut seed) = (0, 0);
        for (first, second) in (0..12).flat_map(|first| (0..12).map(move |second| (first, second))) {
            for _ in 0..20 {
                seed += 1;
                let disk = fresh();
                write(&disk, false).unwrap();
                for call in [first, second] {
                    disk.crash_at(disk.calls() + call);
                    let _ = write(&disk, true);
                    disk.crash(Unforced::Random(seed));
                    remove_leftovers(&disk, Path::new(DIR)).unwrap();
                    if let Some(found) = disk.get("/data/snapshot.7") {
                        seen += 1;
                        assert!(found == whole, "seed {seed}, calls {first} and {second}");
                    }
                }
            }
        }
        assert!(seen > 500, "{seen}");
    }
}
