//! What a running stream or table tells about itself: Spark's `lastProgress`, the fates of its
//! records, its lag, and one sentence when it does not run as it should.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use yeoul_base::{Fates, Offset, Wake};

/// What a component is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    #[default]
    Starting,
    Running,
    /// For something outside itself; the message says what.
    Waiting,
    /// Reads again what was not sealed before the last stop.
    CatchingUp,
    /// Tries again now and then; the message says why.
    Failed,
    Stopped,
}

/// One input partition of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceProgress {
    pub topic: String,
    pub partition: u32,
    pub start_offset: Offset,
    pub end_offset: Offset,
    pub latest_offset: Offset,
}

/// The last epoch, with the names of Spark's `lastProgress`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    pub batch_id: u64,
    pub num_input_rows: u64,
    pub input_rows_per_second: f64,
    pub processed_rows_per_second: f64,
    pub duration_ms: f64,
    pub sources: Vec<SourceProgress>,
    /// `sink.numOutputRows`
    pub num_output_rows: u64,
}

/// A stream or table ingest as it is now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    pub state: State,
    /// Why it does not run, or what deserves to be known.
    pub message: Option<String>,
    pub progress: Option<Progress>,
    /// Counts since the component was made.
    pub fates: Fates,
    /// Records that wait in the input.
    pub lag: u64,
    /// Records that retention removed before they were read.
    pub lost: u64,
    /// Wall clock of the last commit.
    pub last_ms: Option<i64>,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes the component's thread: input came, a topic changed, or it shall stop.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Bell {
    pub(crate) fn stop(&self) {
        locked(&self.rung).1 = true;
        self.changed.notify_all();
    }

    pub(crate) fn stopping(&self) -> bool {
        locked(&self.rung).1
    }

    /// Until rung, stopped or the time is over.
    pub(crate) fn wait(&self, most: Duration) {
        let rung = locked(&self.rung);
        let waited = self.changed.wait_timeout_while(rung, most, |(rung, stop)| !*rung && !*stop);
        waited.unwrap_or_else(PoisonError::into_inner).0.0 = false;
    }

    /// Until stopped or the time is over: for triggers, which input does not shorten.
    pub(crate) fn pause(&self, most: Duration) {
        let rung = locked(&self.rung);
        drop(self.changed.wait_timeout_while(rung, most, |(_, stop)| !*stop));
    }
}

impl Wake for Bell {
    fn wake(&self) {
        locked(&self.rung).0 = true;
        self.changed.notify_all();
    }
}

/// A bell as the store wants it.
pub(crate) fn waker(bell: &Arc<Bell>) -> Arc<dyn Wake> {
    Arc::clone(bell) as Arc<dyn Wake>
}
