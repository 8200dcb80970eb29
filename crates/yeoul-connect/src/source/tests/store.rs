//! A store in trouble: slow, full, or dead after some commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use yeoul_base::{Commit, Done, MemStore, Store, StoreError, StoreLayer};

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

impl StoreLayer for Trouble {
    fn beneath(&self) -> &dyn Store {
        &self.inner
    }

    fn on_submit(&self, commit: Commit, done: Done) {
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
}
