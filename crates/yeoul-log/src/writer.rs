//! The writer's thread: hands what has arrived to the [`Core`] as one group after the other. While
//! one group is being synced the next one gathers; right behind a group the next one also waits
//! for those who were just answered (see [`Gather`]). Making slots and writing snapshots happen on
//! short-lived threads beside it, which answer through the same queue.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use yeoul_base::{Clock, StoreError};

use crate::core::Core;
use crate::locked;
use crate::pace::Pace;
use crate::plan::Request;
use crate::reserve;
use crate::scrub;
use crate::shared::Shared;
use crate::slots;

/// Something done with the core between two groups.
type Control = Box<dyn FnOnce(&mut Core) + Send>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Writes what is queued and ends.
    Now,
    /// The same, and a checkpoint.
    Clean,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    bytes: usize,
    controls: Vec<Control>,
    stop: Option<Stop>,
    /// The writer sleeps until so many bytes wait; `None`: it is awake, or does not want any.
    wake_at: Option<usize>,
    /// How many callers wait for room.
    blocked: usize,
}

/// What the next group waits for. Producers keep a few batches under way, and send the next one
/// when one is answered. Begun at once, a group would hold what came during the last sync only,
/// and the other half the next time: twice the syncs and wake-ups for the same batches.
///
/// It waits no longer than the last group took to write and sync, from its end on, and never
/// longer than [`GATHER_MAX`]: whoever sends rarely does not wait, and who waits is done before
/// the group after the next would have been.
#[derive(Debug, Clone, Copy, Default)]
struct Gather {
    /// What the last group had and what waited at its end: about all that is under way.
    bytes: usize,
    /// By the clock's monotonic time.
    until: Duration,
}

/// The longest that a group may wait for others.
const GATHER_MAX: Duration = Duration::from_micros(500);
/// So long it may wait however fast the last one was: sleeping and waking take as much.
const GATHER_MIN: Duration = Duration::from_micros(50);
/// A group need not wait for more.
const GATHER_BYTES_MAX: usize = 1 << 20;

/// What waits for the writer. Callers wait when it is full.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    taken: Condvar,
    bytes_max: usize,
}

impl Queue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let (arrived, taken) = (Condvar::new(), Condvar::new());
        Self { waiting: Mutex::default(), arrived, taken, bytes_max }
    }

    /// Waits for room; answers at once when the log is being closed.
    pub(crate) fn push(&self, request: Request) {
        let mut waiting = locked(&self.waiting);
        while waiting.bytes > self.bytes_max && waiting.stop.is_none() {
            waiting.blocked += 1;
            waiting = self.taken.wait(waiting).unwrap_or_else(std::sync::PoisonError::into_inner);
            waiting.blocked -= 1;
        }
        if waiting.stop.is_some() {
            drop(waiting);
            (request.respond)(Err(StoreError::Closed("it is shutting down".into())));
            return;
        }
        self.put(waiting, request);
    }

    /// Wakes the writer only if it sleeps and has what it waits for: a call to the system each
    /// time would cost more than the append.
    fn put(&self, mut waiting: MutexGuard<'_, Waiting>, request: Request) {
        // Not a batch: somebody waits for it alone.
        let urgent = request.bytes == 0;
        waiting.bytes += request.bytes;
        waiting.requests.push_back(request);
        let wake = waiting.wake_at.is_some_and(|at| urgent || waiting.bytes >= at);
        if wake {
            waiting.wake_at = None;
        }
        drop(waiting);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Does not wait; what finds no room is dropped unanswered.
    pub(crate) fn try_push(&self, request: Request) {
        const REQUESTS_MAX: usize = 1024;
        let waiting = locked(&self.waiting);
        if waiting.requests.len() < REQUESTS_MAX && waiting.stop.is_none() {
            self.put(waiting, request);
        }
    }

    /// Controls are few: one per helper thread, and what callers ask for.
    pub(crate) fn control(&self, control: Control) {
        locked(&self.waiting).controls.push(control);
        self.arrived.notify_one();
    }

    fn stop(&self, stop: Stop) {
        locked(&self.waiting).stop.get_or_insert(stop);
        self.arrived.notify_all();
        self.taken.notify_all();
    }

    /// Controls and, if `also` says so, requests: all that wait, after at most `timeout`.
    fn take(
        &self,
        timeout: Duration,
        also: bool,
        gather: Option<(Gather, &dyn Clock)>,
    ) -> (Vec<Request>, Vec<Control>, Option<Stop>) {
        let mut waiting = locked(&self.waiting);
        let nothing = waiting.controls.is_empty() && (!also || waiting.requests.is_empty());
        // At the end what found no space has nobody to wait for but a control that makes space.
        if nothing && (waiting.stop.is_none() || !also) {
            waiting.wake_at = also.then_some(0);
            (waiting, _) = self.sleep(waiting, timeout);
        }
        if let Some((Gather { bytes, until }, clock)) = gather.filter(|_| also) {
            while !waiting.requests.is_empty()
                && waiting.bytes < bytes
                && waiting.controls.is_empty()
                && waiting.stop.is_none()
                && let Some(left) = until.checked_sub(clock.monotonic())
                && !left.is_zero()
            {
                waiting.wake_at = Some(bytes);
                let over;
                (waiting, over) = self.sleep(waiting, left);
                // Not asked of the clock again: a test's clock may stand still.
                if over {
                    break;
                }
            }
        }
        let mut requests = Vec::new();
        if also {
            waiting.bytes = 0;
            requests = std::mem::take(&mut waiting.requests).into();
        }
        let controls = std::mem::take(&mut waiting.controls);
        let (stop, blocked) = (waiting.stop, waiting.blocked);
        drop(waiting);
        if blocked > 0 {
            self.taken.notify_all();
        }
        (requests, controls, stop)
    }

    /// True: the time was over before anything came.
    fn sleep<'a>(
        &self,
        waiting: MutexGuard<'a, Waiting>,
        timeout: Duration,
    ) -> (MutexGuard<'a, Waiting>, bool) {
        let woken = self.arrived.wait_timeout(waiting, timeout);
        let (mut woken, over) = woken.unwrap_or_else(std::sync::PoisonError::into_inner);
        woken.wake_at = None;
        (woken, over.timed_out())
    }

    /// After a group of so many bytes that was begun `since`.
    fn next(&self, bytes: usize, since: Duration, clock: &dyn Clock) -> Option<Gather> {
        if bytes == 0 {
            return None;
        }
        let bytes = (bytes + locked(&self.waiting).bytes).min(GATHER_BYTES_MAX);
        let now = clock.monotonic();
        let patience = now.saturating_sub(since).clamp(GATHER_MIN, GATHER_MAX);
        Some(Gather { bytes: bytes.min(self.bytes_max / 2), until: now + patience })
    }
}

/// The thread and its queue.
pub(crate) struct Writer {
    pub(crate) queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

impl Writer {
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(core: Core) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(core.options.queue_bytes));
        let (its, shared) = (Arc::clone(&queue), Arc::clone(&core.shared));
        let thread = thread::Builder::new().name("log".into()).spawn(move || run(core, &its))?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)), shared })
    }

    /// Ends the thread and waits for it, unless called from it.
    pub(crate) fn stop(&self, clean: bool) {
        self.shared.stop();
        self.queue.stop(if clean { Stop::Clean } else { Stop::Now });
        let Some(thread) = locked(&self.thread).take() else { return };
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the log's thread panicked");
        }
    }
}

fn run(mut core: Core, queue: &Arc<Queue>) {
    /// What waits for space at the end waits no longer than this.
    const DRAIN: Duration = Duration::from_secs(5);
    let every = core.options.retention_every;
    let mut helpers: Vec<JoinHandle<()>> = Vec::new();
    let mut retention_at = core.clock.monotonic() + every;
    let mut drain_at = None;
    let mut gather = None;
    let clock = Arc::clone(&core.clock);
    loop {
        let also = core.space.waiting.is_empty();
        let behind = gather.take().map(|gather| (gather, &*clock));
        let (requests, controls, stop) = queue.take(patience(&core), also, behind);
        controls.into_iter().for_each(|control| control(&mut core));
        if stop.is_some() {
            let now = core.clock.monotonic();
            core.space.draining |= now >= *drain_at.get_or_insert(now + DRAIN);
        }
        let idle = requests.is_empty() && core.space.waiting.is_empty();
        if idle && core.split_in().is_some() {
            core.split();
        }
        let bytes = requests.iter().map(|request| request.bytes).sum();
        let (since, synced) = (clock.monotonic(), core.synced);
        core.run(requests);
        // A relaxed group costs little more than its bytes: nothing is saved by waiting.
        gather = queue.next(bytes, since, &*clock).filter(|_| core.synced > synced);
        if stop.is_some() && idle {
            break;
        }
        helpers.retain(|helper| !helper.is_finished());
        tend(&mut core, queue, &mut helpers);
        tend_files(&mut core, queue, &mut helpers);
        if core.clock.monotonic() >= retention_at {
            retention_at = core.clock.monotonic() + every;
            core.enforce_retention(None);
            core.look_again = true;
        }
    }
    for helper in helpers {
        // It has logged what went wrong; its answer waits in the queue.
        let _ = helper.join();
    }
    let (_, controls, stop) = queue.take(Duration::ZERO, false, None);
    controls.into_iter().for_each(|control| control(&mut core));
    core.settle();
    if stop == Some(Stop::Clean) {
        core.checkpoint();
    }
}

/// How long the writer may sleep when nobody asks for anything.
fn patience(core: &Core) -> Duration {
    /// Files that could not grow, and commits without a place, are looked at again.
    const AGAIN: Duration = Duration::from_millis(100);
    // What the last round found is done now, also where nobody writes.
    let checkpoint = core.checkpoint_wanted && !core.checkpointing && core.checkpoint_due();
    if core.look_again || checkpoint {
        return Duration::ZERO;
    }
    let waits = !core.space.waiting.is_empty() || core.ring.is_stuck();
    let again = if waits { AGAIN } else { core.options.retention_every };
    [core.sync_in(), core.split_in()].into_iter().flatten().fold(again, Duration::min)
}

/// Starts what is due beside the writer.
fn tend(core: &mut Core, queue: &Arc<Queue>, helpers: &mut Vec<JoinHandle<()>>) {
    core.sync_if_due();
    if core.checkpoint_due()
        && let Some(mut job) = core.begin_checkpoint()
    {
        let answers = Arc::clone(queue);
        let work = move || {
            let result = job.run();
            answers.control(Box::new(move |core| core.finish_checkpoint(job, result)));
        };
        helpers.extend(helper("log-snapshot", work, core));
    }
    if core.reserve_due() {
        let (disk, answers) = (Arc::clone(&core.disk), Arc::clone(queue));
        let bytes = core.options.reserve_bytes;
        let work = move || {
            let made = reserve::make(&*disk, bytes);
            answers.control(Box::new(move |core| core.reserve_made(made)));
        };
        helpers.extend(helper("log-reserve", work, core));
    }
    if let Some(order) = core.slot_due() {
        let (disk, answers) = (Arc::clone(&core.disk), Arc::clone(queue));
        let work = move || {
            let slot = slots::make(&*disk, order);
            answers.control(Box::new(move |core| {
                core.slot_made(slot);
            }));
        };
        helpers.extend(helper("log-slot", work, core));
    }
}

/// Starts what goes on slowly beside everything else, one of each at a time.
fn tend_files(core: &mut Core, queue: &Arc<Queue>, helpers: &mut Vec<JoinHandle<()>>) {
    if !std::mem::take(&mut core.look_again) || core.shared.fatal().is_some() {
        return;
    }
    if let Some(job) = core.begin_compaction(core.clock.now_ms()) {
        let answers = Arc::clone(queue);
        let work = move || {
            let done = job.run();
            answers.control(Box::new(move |core| {
                core.finish_compaction(&job, done);
            }));
        };
        helpers.extend(helper("log-compact", work, core));
    }
    if !core.scrubbing
        && let Some((part, segment)) = core.next_scrub()
    {
        core.scrubbing = true;
        let answers = Arc::clone(queue);
        let pace = Pace::new(&core.shared, core.options.background_rate());
        let work = move || {
            let found = scrub::inspect(&part, &segment, &pace);
            answers.control(Box::new(move |core| {
                core.scrubbing = false;
                core.look_again = true;
                core.finish_scrub(&segment, found);
            }));
        };
        helpers.extend(helper("log-scrub", work, core));
    }
}

fn helper(name: &str, work: impl FnOnce() + Send + 'static, core: &Core) -> Option<JoinHandle<()>> {
    match thread::Builder::new().name(name.into()).spawn(work) {
        Ok(helper) => Some(helper),
        Err(error) => {
            core.shared.close(format!("no thread for {name}: {error}"));
            None
        }
    }
}
