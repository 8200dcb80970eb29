//! Queries that run, wait or have ended: who may start, what can be cancelled, and a log.
//!
//! Invariant: no more than [`Admission::running`] queries run, no more than
//! [`Admission::waiting`] wait, and the log holds a bounded number of bounded entries.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use yeoul_base::Clock;

use crate::error::{ErrorKind, SqlError};
use crate::options::{Admission, Pressed, Pressure, QueryOptions};

/// Ended queries that are remembered.
const LOG_ENTRIES: usize = 1_000;
/// Of a query's text and of an error.
const LOG_TEXT_BYTES: usize = 4 << 10;
/// How often a query that waits for ingestion looks again.
const PRESSURE_LOOK: Duration = Duration::from_millis(50);

/// Where a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryState {
    Waiting,
    Running,
    Done,
    Failed,
    Cancelled,
}

impl QueryState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What is known of one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryEntry {
    /// Grows with each query.
    pub number: u64,
    pub id: String,
    /// Its first 4 KiB.
    pub text: String,
    pub who: String,
    pub started_ms: i64,
    /// Until now, or until it ended; waiting included.
    pub elapsed: Duration,
    pub state: QueryState,
    /// Rows and bytes of the answer.
    pub rows: u64,
    pub bytes: u64,
    /// Rows read from the inputs.
    pub rows_scanned: u64,
    /// Of all its threads together; known at its end.
    pub compute: Duration,
    pub error: Option<String>,
}

#[derive(Debug)]
struct Live {
    entry: QueryEntry,
    started: Duration,
    cancel: Arc<Notify>,
    /// Runs again and again: only its failures are worth a line.
    patient: bool,
}

#[derive(Debug, Default)]
struct Inner {
    live: BTreeMap<u64, Live>,
    ended: VecDeque<QueryEntry>,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Queries {
    inner: Mutex<Inner>,
    next: AtomicU64,
    waiting: AtomicUsize,
    turns: Arc<Semaphore>,
    admission: Admission,
    pressure: Option<Arc<dyn Pressure>>,
    clock: Arc<dyn Clock>,
}

impl Queries {
    pub(crate) fn new(
        admission: Admission,
        pressure: Option<Arc<dyn Pressure>>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let turns = Arc::new(Semaphore::new(admission.running.clamp(1, Semaphore::MAX_PERMITS)));
        let next = AtomicU64::new(1);
        let (inner, waiting) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { inner, next, waiting, turns, admission, pressure, clock })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a query that wants to start.
    pub(crate) fn begin(self: &Arc<Self>, text: &str, options: &QueryOptions) -> Noted {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = options.query_id.clone().unwrap_or_else(|| format!("query-{number}"));
        let cancel = Arc::new(Notify::new());
        let entry = QueryEntry {
            number,
            id: cut(&id),
            text: cut(text),
            who: cut(&options.who),
            started_ms: self.clock.now_ms(),
            elapsed: Duration::ZERO,
            state: QueryState::Waiting,
            rows: 0,
            bytes: 0,
            rows_scanned: 0,
            compute: Duration::ZERO,
            error: None,
        };
        let started = self.clock.monotonic();
        let live = Live { entry, started, cancel: Arc::clone(&cancel), patient: options.patient };
        self.inner().live.insert(number, live);
        Noted { queries: Arc::clone(self), number, cancel, id }
    }

    /// Waits for a turn.
    pub(crate) async fn turn(&self, patient: bool) -> Result<OwnedSemaphorePermit, SqlError> {
        if !patient && self.pressed() == Pressed::Refuse {
            return Err(refused("ingestion needs the machine"));
        }
        if self.pressed() == Pressed::No
            && let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned()
        {
            return Ok(turn);
        }
        if patient {
            return self.wait().await;
        }
        let waiting = Waiting::enter(&self.waiting);
        if waiting.before >= self.admission.waiting {
            return Err(refused(&format!("{} queries are waiting already", waiting.before)));
        }
        match tokio::time::timeout(self.admission.wait, self.wait()).await {
            Ok(turn) => turn,
            Err(_) => Err(refused(&format!(
                "no turn came within {} s",
                self.admission.wait.as_secs_f64()
            ))),
        }
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, SqlError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| SqlError::new(ErrorKind::Internal, "the engine has ended"))?;
        while self.pressed() != Pressed::No {
            tokio::time::sleep(PRESSURE_LOOK).await;
        }
        Ok(turn)
    }

    fn pressed(&self) -> Pressed {
        self.pressure.as_ref().map_or(Pressed::No, |pressure| pressure.pressed())
    }

    /// Stops all queries of that id; how many there were.
    pub(crate) fn cancel(&self, id: &str) -> usize {
        let inner = self.inner();
        let mut stopped = 0;
        for live in inner.live.values().filter(|live| live.entry.id == id) {
            live.cancel.notify_one();
            stopped += 1;
        }
        stopped
    }

    /// Running and waiting queries, then ended ones, newest first.
    pub(crate) fn entries(&self) -> Vec<QueryEntry> {
        let now = self.clock.monotonic();
        let inner = self.inner();
        // One that has answered may not have gone yet; whether it leaves a line is known already.
        let leaves_none = |live: &&Live| !(live.patient && live.entry.state == QueryState::Done);
        let live = inner.live.values().rev().filter(leaves_none).map(|live| {
            let elapsed = now.saturating_sub(live.started);
            QueryEntry { elapsed, ..live.entry.clone() }
        });
        live.chain(inner.ended.iter().rev().cloned()).collect()
    }
}

fn refused(why: &str) -> SqlError {
    SqlError::new(ErrorKind::Capacity, format!("too many queries: {why}"))
        .hint("ask again later, or ask less often")
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(LOG_TEXT_BYTES);
    text.get(..end).unwrap_or_default().to_owned()
}

/// Counts who waits, also when the waiting is given up.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::AcqRel) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A query in the list; goes to the log when it is dropped.
#[derive(Debug)]
pub(crate) struct Noted {
    queries: Arc<Queries>,
    number: u64,
    cancel: Arc<Notify>,
    pub(crate) id: String,
}

impl Noted {
    fn change(&self, change: impl FnOnce(&mut QueryEntry)) {
        if let Some(live) = self.queries.inner().live.get_mut(&self.number) {
            change(&mut live.entry);
        }
    }

    pub(crate) fn running(&self) {
        self.change(|entry| entry.state = QueryState::Running);
    }

    pub(crate) fn answered(&self, rows: usize, bytes: usize) {
        self.change(|entry| {
            entry.rows += rows as u64;
            entry.bytes += bytes as u64;
        });
    }

    pub(crate) fn worked(&self, rows_scanned: u64, compute: Duration) {
        self.change(|entry| (entry.rows_scanned, entry.compute) = (rows_scanned, compute));
    }

    pub(crate) fn ended(&self, result: &Result<(), SqlError>) {
        self.change(|entry| match result {
            Ok(()) => entry.state = QueryState::Done,
            Err(error) => {
                entry.state = match error.kind {
                    ErrorKind::Cancelled => QueryState::Cancelled,
                    _ => QueryState::Failed,
                };
                entry.error = Some(cut(&error.to_string()));
            }
        });
    }

    /// Returns when somebody cancels the query.
    pub(crate) async fn cancelled(&self) {
        self.cancel.notified().await;
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let now = self.queries.clock.monotonic();
        let mut inner = self.queries.inner();
        let Some(Live { mut entry, started, patient, .. }) = inner.live.remove(&self.number) else {
            return;
        };
        if patient && entry.state == QueryState::Done {
            return;
        }
        entry.elapsed = now.saturating_sub(started);
        if matches!(entry.state, QueryState::Waiting | QueryState::Running) {
            // Dropped with its listener.
            entry.state = QueryState::Cancelled;
        }
        if inner.ended.len() >= LOG_ENTRIES {
            inner.ended.pop_front();
        }
        inner.ended.push_back(entry);
    }
}
