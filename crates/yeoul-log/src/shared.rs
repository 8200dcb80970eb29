//! What readers and the writer share: the published view, who watches it, and how it goes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use yeoul_base::{PartId, StoreError, Topics, Wake, WatchGuard, Watched};

use crate::facts::Facts;
use crate::holds::{Hold, Holds};
use crate::locked;
use crate::options::OnFatal;
use crate::state::PartMap;

/// Everything durable at one moment; clones cost nothing.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) topics: Arc<Topics>,
    pub(crate) facts: Facts,
    pub(crate) parts: PartMap,
}

/// How the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStats {
    /// Sequence of the last durable commit.
    pub sequence: u64,
    /// Commits since the start.
    pub commits: u64,
    /// Groups since the start: each was one sync.
    pub groups: u64,
    /// Over the last 1,024 syncs, in microseconds.
    pub sync_p50_us: u64,
    pub sync_p99_us: u64,
    /// Bytes of all slots.
    pub wal_bytes: u64,
    /// Bytes written to the commit log since the start.
    pub written_bytes: u64,
    /// Bytes in memory that wait for their partition's file.
    pub unsplit_bytes: usize,
    /// Bytes of log segments that retention would drop but for a component that has to read them.
    pub held_bytes: u64,
    /// Partitions whose files could not be written: they take no records until the next start.
    pub read_only_parts: u64,
    /// Blocks of log segments (1 MiB each) that are known not to be what was written.
    pub bad_blocks: u64,
    /// Sequence and time (milliseconds since 1970) of the last checkpoint.
    pub checkpoint_sequence: u64,
    pub checkpoint_ms: i64,
    pub incarnation: u64,
}

#[derive(Debug, Default)]
struct Syncs {
    recent: VecDeque<Duration>,
}

type Wakes = BTreeMap<u64, Arc<dyn Wake>>;

#[derive(Default)]
struct Watches {
    next: u64,
    by_what: HashMap<Watched, Wakes>,
}

pub(crate) struct Shared {
    view: RwLock<View>,
    watches: Mutex<Watches>,
    stats: Mutex<LogStats>,
    syncs: Mutex<Syncs>,
    fatal: Mutex<Option<String>>,
    on_fatal: Option<OnFatal>,
    holds: RwLock<Option<Arc<dyn Holds>>>,
    held: Mutex<BTreeMap<PartId, u64>>,
    stopping: AtomicBool,
    pub(crate) incarnation: u64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("incarnation", &self.incarnation).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(view: View, incarnation: u64, on_fatal: Option<OnFatal>) -> Self {
        let stats = LogStats { incarnation, ..LogStats::default() };
        Self {
            view: RwLock::new(view),
            watches: Mutex::default(),
            stats: Mutex::new(stats),
            syncs: Mutex::default(),
            fatal: Mutex::default(),
            on_fatal,
            holds: RwLock::default(),
            held: Mutex::default(),
            stopping: AtomicBool::new(false),
            incarnation,
        }
    }

    pub(crate) fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_view(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// Background work ends soon.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn set_holds(&self, holds: Arc<dyn Holds>) {
        *self.holds.write().unwrap_or_else(PoisonError::into_inner) = Some(holds);
    }

    pub(crate) fn holds(&self) -> Option<Arc<dyn Holds>> {
        self.holds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What components hold; `None` when nobody can tell yet.
    pub(crate) fn holds_now(&self, expected: bool) -> Option<Vec<Hold>> {
        match self.holds() {
            Some(holds) => Some(holds.holds()),
            None => (!expected).then(Vec::new),
        }
    }

    /// Bytes kept for holds only, by partition.
    pub(crate) fn held(&self) -> BTreeMap<PartId, u64> {
        locked(&self.held).clone()
    }

    pub(crate) fn set_held(&self, held: BTreeMap<PartId, u64>) {
        self.note(|stats| stats.held_bytes = held.values().sum());
        *locked(&self.held) = held;
    }

    pub(crate) fn fatal(&self) -> Option<String> {
        locked(&self.fatal).clone()
    }

    /// The error everybody gets from now on, if the log closed itself.
    pub(crate) fn closed(&self) -> Option<StoreError> {
        self.fatal().map(StoreError::Closed)
    }

    /// Closes the log for good. The first reason stays.
    pub(crate) fn close(&self, reason: String) {
        {
            let mut fatal = locked(&self.fatal);
            if fatal.is_some() {
                return;
            }
            *fatal = Some(reason.clone());
        }
        tracing::error!(%reason, "the log closed itself");
        if let Some(on_fatal) = &self.on_fatal {
            on_fatal(&reason);
        }
    }

    pub(crate) fn watch(self: &Arc<Self>, what: Watched, wake: Arc<dyn Wake>) -> WatchGuard {
        let id = {
            let mut watches = locked(&self.watches);
            let id = watches.next;
            watches.next += 1;
            watches.by_what.entry(what).or_default().insert(id, wake);
            id
        };
        let held = Arc::downgrade(self);
        WatchGuard::new(move || {
            let Some(shared) = held.upgrade() else { return };
            let mut watches = locked(&shared.watches);
            if let Some(wakes) = watches.by_what.get_mut(&what) {
                wakes.remove(&id);
                if wakes.is_empty() {
                    watches.by_what.remove(&what);
                }
            }
        })
    }

    /// Wakes outside the lock, so that a wake may watch or unwatch.
    pub(crate) fn wake(&self, parts: impl Iterator<Item = PartId>, topics: bool) {
        let wakes: Vec<_> = {
            let watches = locked(&self.watches);
            let whats = parts.map(Watched::Part).chain(topics.then_some(Watched::Topics));
            whats
                .chain([Watched::Everything])
                .filter_map(|what| watches.by_what.get(&what))
                .flat_map(|wakes| wakes.values().map(Arc::clone))
                .collect()
        };
        wakes.iter().for_each(|wake| wake.wake());
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut LogStats)) {
        change(&mut locked(&self.stats));
    }

    pub(crate) fn note_sync(&self, took: Duration) {
        const KEPT: usize = 1024;
        let recent = &mut locked(&self.syncs).recent;
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(took);
    }

    pub(crate) fn stats(&self) -> LogStats {
        let mut sorted: Vec<_> = locked(&self.syncs).recent.iter().copied().collect();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let index = (sorted.len().saturating_sub(1)) * percent / 100;
            sorted.get(index).map_or(0, |took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
        };
        LogStats { sync_p50_us: at(50), sync_p99_us: at(99), ..*locked(&self.stats) }
    }
}
