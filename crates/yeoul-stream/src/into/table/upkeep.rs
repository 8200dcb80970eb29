//! A table's compaction beside its ingestion: a thread for as long as there is something to fold.
//!
//! Invariant: the feeding thread never waits for it, except at the end, and then only for the
//! batch under way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::warn;
use yeoul_table::Table;

/// One table of the process at a time: compaction takes what others leave.
static TURN: Mutex<()> = Mutex::new(());

/// After a failure, before it is tried again.
const PAUSE: Duration = Duration::from_secs(60);

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<bool>>,
    /// Monotonic time before which nothing is begun, after a failure.
    not_before: Duration,
}

impl Upkeep {
    /// Begins a compaction when one is due and none runs.
    pub(super) fn tend(&mut self, table: &Arc<Table>, now: Duration) {
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished())
            && !thread.join().unwrap_or(false)
        {
            self.not_before = now + PAUSE;
        }
        if self.thread.is_some() || now < self.not_before || !table.compaction_due() {
            return;
        }
        let (table, stop) = (Arc::clone(table), Arc::clone(&self.stop));
        let name = format!("compact {}", table.spec().name);
        let thread = std::thread::Builder::new().name(name).spawn(move || fold(&table, &stop));
        match thread {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => {
                warn!(%error, "no thread for a compaction");
                self.not_before = now + PAUSE;
            }
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic in there was logged; what it wrote, no commit names.
            let _ = thread.join();
        }
    }
}

/// Folds until nothing is left; false when it failed.
fn fold(table: &Table, stop: &AtomicBool) -> bool {
    let _turn = match TURN.try_lock() {
        Ok(turn) => turn,
        Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
        // The next look tries again.
        Err(TryLockError::WouldBlock) => return true,
    };
    loop {
        match table.compact(&|| stop.load(Ordering::Acquire)) {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(error) => {
                warn!(table = table.spec().name, %error, "cannot compact");
                return false;
            }
        }
    }
}
