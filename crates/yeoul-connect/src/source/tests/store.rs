//! A store in trouble: slow, full, or dead after some commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use yeoul_base::{
    Commit, Done, FactKind, Fence, Isolation, MemStore, NewTopic, Offset, PartEnds, PartId, Read,
    Store, StoreError, TopicInfo, Topics, Wake, WatchGuard, Watched,
};

#[derive(Debug)]
pub(super) struct Trouble {
    inner: MemStore,
    delay: Duration,
    /// Commits that still go well.
    left: AtomicU64,
    /// The commit that fails is applied all the same: only its answer is lost.
    applied: bool,
    failed: Arc<AtomicBool>,
    full: AtomicBool,
}

impl Trouble {
    pub(super) fn slow(inner: MemStore, delay: Duration) -> Self {
        Self { delay, ..Self::after(inner, u64::MAX, false) }
    }

    pub(super) fn full(inner: MemStore) -> Self {
        Self { full: AtomicBool::new(true), ..Self::after(inner, u64::MAX, false) }
    }

    /// Dead after so many commits.
    pub(super) fn after(inner: MemStore, commits: u64, applied: bool) -> Self {
        Self {
            inner,
            delay: Duration::ZERO,
            left: AtomicU64::new(commits),
            applied,
            failed: Arc::default(),
            full: AtomicBool::new(false),
        }
    }

    pub(super) fn failed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.failed)
    }

    pub(super) fn relieve(&self) {
        self.full.store(false, Ordering::Relaxed);
    }
}

impl Store for Trouble {
    fn submit(&self, commit: Commit, done: Done) {
        std::thread::sleep(self.delay);
        if self.full.load(Ordering::Relaxed) {
            return done(Err(StoreError::DiskFull("by the test".into())));
        }
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() {
            return self.inner.submit(commit, done);
        }
        let first = !self.failed.swap(true, Ordering::Relaxed);
        if first && self.applied {
            self.inner.submit(commit, Box::new(|_| {}));
        }
        done(Err(StoreError::Closed("by the test".into())));
    }

    fn topics(&self) -> Arc<Topics> {
        self.inner.topics()
    }

    fn create_topic(&self, topic: NewTopic) -> Result<Arc<TopicInfo>, StoreError> {
        self.inner.create_topic(topic)
    }

    fn delete_topic(&self, name: &str) -> Result<(), StoreError> {
        self.inner.delete_topic(name)
    }

    fn alter_topic(
        &self,
        name: &str,
        changes: Vec<(String, Option<String>)>,
    ) -> Result<Arc<TopicInfo>, StoreError> {
        self.inner.alter_topic(name, changes)
    }

    fn add_partitions(&self, name: &str, total: u32) -> Result<Arc<TopicInfo>, StoreError> {
        self.inner.add_partitions(name, total)
    }

    fn claim(&self, component: &str) -> Result<Fence, StoreError> {
        self.inner.claim(component)
    }

    fn new_producer_id(&self) -> Result<i64, StoreError> {
        self.inner.new_producer_id()
    }

    fn fact(&self, kind: FactKind, key: &[u8]) -> Option<Bytes> {
        self.inner.fact(kind, key)
    }

    fn facts(&self, kind: FactKind, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        self.inner.facts(kind, prefix)
    }

    fn ends(&self, part: PartId) -> Option<PartEnds> {
        self.inner.ends(part)
    }

    fn read(
        &self,
        part: PartId,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Read, StoreError> {
        self.inner.read(part, from, max_bytes, isolation)
    }

    fn offset_at(
        &self,
        part: PartId,
        timestamp_ms: i64,
    ) -> Result<Option<(Offset, i64)>, StoreError> {
        self.inner.offset_at(part, timestamp_ms)
    }

    fn watch(&self, what: Watched, wake: Arc<dyn Wake>) -> WatchGuard {
        self.inner.watch(what, wake)
    }

    fn leader_epoch(&self) -> i32 {
        self.inner.leader_epoch()
    }
}
