//! Keeps background work from taking the disk away from the writer, and ends it with the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use yeoul_base::StoreError;

use crate::shared::Shared;

/// A rest is due after this many bytes.
const STEP_BYTES: usize = 1 << 20;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Pace {
    shared: Arc<Shared>,
    /// After each step; none where a test chooses the order of everything.
    rest: Option<Duration>,
    spent: AtomicUsize,
}

impl Pace {
    /// `None`: as fast as it goes.
    pub(crate) fn new(shared: &Arc<Shared>, bytes_per_s: Option<u64>) -> Self {
        let rest = |rate: u64| Duration::from_secs_f64(STEP_BYTES as f64 / rate.max(1) as f64);
        let rest = bytes_per_s.map(rest);
        Self { shared: Arc::clone(shared), rest, spent: AtomicUsize::new(0) }
    }

    /// Rests when it is time to.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when the log is being closed.
    pub(crate) fn spend(&self, bytes: usize) -> Result<(), StoreError> {
        if self.shared.is_stopping() {
            return Err(StoreError::Closed("it is shutting down".into()));
        }
        let mut spent = self.spent.fetch_add(bytes, Ordering::Relaxed) + bytes;
        while spent >= STEP_BYTES && !self.shared.is_stopping() {
            spent = self.spent.fetch_sub(STEP_BYTES, Ordering::Relaxed) - STEP_BYTES;
            if let Some(rest) = self.rest {
                std::thread::sleep(rest);
            }
        }
        Ok(())
    }
}
