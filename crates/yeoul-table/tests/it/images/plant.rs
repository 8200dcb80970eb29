//! Mistakes a table could make, made by the disk and the store beneath it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use yeoul_base::disk::{DiskLock, Entry};
use yeoul_base::{
    Commit, Disk, DiskFile, Done, FactKey, FactKind, Open, SimDisk, Store, StoreLayer,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plant {
    /// The fact is committed while the file's bytes are not on disk.
    NoSync,
    /// … while its name is not.
    NoDirSync,
    /// Files go before the commit that no longer names them.
    DeleteBeforeCommit,
    /// The position is in a commit of its own.
    PositionAlone,
    /// New files are named first, old ones removed after.
    AddedThenRemoved,
    /// Old files are removed first.
    RemovedThenAdded,
}

impl Plant {
    pub(super) const ALL: [Self; 6] = [
        Self::NoSync,
        Self::NoDirSync,
        Self::DeleteBeforeCommit,
        Self::PositionAlone,
        Self::AddedThenRemoved,
        Self::RemovedThenAdded,
    ];
}

#[derive(Debug)]
pub(super) struct PlantedStore {
    inner: Arc<dyn Store>,
    disk: SimDisk,
    plant: Plant,
}

impl PlantedStore {
    pub(super) fn new(inner: Arc<dyn Store>, disk: SimDisk, plant: Plant) -> Self {
        Self { inner, disk, plant }
    }

    /// Some of the facts in a commit before or after the others.
    fn split(&self, mut commit: Commit, first: impl Fn(&(FactKey, bool)) -> bool, done: Done) {
        let facts = std::mem::take(&mut commit.facts);
        let (before, after): (Vec<_>, Vec<_>) =
            facts.into_iter().partition(|(key, value)| first(&(key.clone(), value.is_some())));
        if !before.is_empty() && !after.is_empty() {
            let early = Commit { facts: before, ..Commit::default() };
            self.inner.commit(early).unwrap();
            // What is guarded may have changed with the first half.
            commit.guards.clear();
            commit.facts = after;
        } else {
            commit.facts = before.into_iter().chain(after).collect();
        }
        self.inner.submit(commit, done);
    }
}

impl StoreLayer for PlantedStore {
    fn beneath(&self) -> &dyn Store {
        self.inner.as_ref()
    }

    fn on_submit(&self, commit: Commit, done: Done) {
        let segment = |key: &FactKey| key.kind == FactKind::TableSegment;
        match self.plant {
            Plant::DeleteBeforeCommit => {
                for (key, value) in &commit.facts {
                    if segment(key)
                        && value.is_none()
                        && let Some(id) = key.key.last_chunk::<8>()
                    {
                        let name = format!("{:016x}.parquet", u64::from_be_bytes(*id));
                        let path = Path::new("tables/films").join(name);
                        let _ = self.disk.remove_file(&path);
                    }
                }
                // So that the removal may be durable before the commit.
                let _ = self.disk.sync_dir(Path::new("tables/films"));
                self.inner.submit(commit, done);
            }
            Plant::PositionAlone => {
                self.split(commit, |(key, _)| key.kind == FactKind::TablePosition, done);
            }
            Plant::AddedThenRemoved => {
                self.split(commit, |(key, put)| segment(key) && *put, done);
            }
            Plant::RemovedThenAdded => {
                self.split(commit, |(key, put)| segment(key) && !*put, done);
            }
            Plant::NoSync | Plant::NoDirSync => self.inner.submit(commit, done),
        }
    }
}

/// A disk whose syncs may do nothing.
#[derive(Debug)]
pub(super) struct PlantedDisk {
    inner: SimDisk,
    plant: Plant,
}

impl PlantedDisk {
    pub(super) fn new(inner: SimDisk, plant: Plant) -> Self {
        Self { inner, plant }
    }
}

impl Disk for PlantedDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.inner.open(path, how)?;
        Ok(if self.plant == Plant::NoSync { Arc::new(NeverSynced(file)) } else { file })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.plant == Plant::NoDirSync && dir == Path::new("tables/films") {
            return Ok(());
        }
        self.inner.sync_dir(dir)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.inner.free_bytes()
    }

    fn total_bytes(&self) -> io::Result<u64> {
        self.inner.total_bytes()
    }

    fn lock(&self, path: &Path, note: &str) -> io::Result<Box<dyn DiskLock>> {
        self.inner.lock(path, note)
    }
}

#[derive(Debug)]
struct NeverSynced(Arc<dyn DiskFile>);

impl DiskFile for NeverSynced {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(out, at)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.0.len_bytes()
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len(len_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
