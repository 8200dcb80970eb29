//! The writer's thread: hands what has arrived to the [`Core`] as one group after the other. There
//! is no timer: while one group is being synced the next one gathers. Making slots and writing
//! snapshots happen on short-lived threads beside it, which answer through the same queue.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use yeoul_base::StoreError;

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
}

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
            waiting = self.taken.wait(waiting).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        if waiting.stop.is_some() {
            drop(waiting);
            (request.respond)(Err(StoreError::Closed("it is shutting down".into())));
            return;
        }
        waiting.bytes += request.bytes;
        waiting.requests.push_back(request);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Does not wait; what finds no room is dropped unanswered.
    pub(crate) fn try_push(&self, request: Request) {
        const REQUESTS_MAX: usize = 1024;
        let mut waiting = locked(&self.waiting);
        if waiting.requests.len() < REQUESTS_MAX && waiting.stop.is_none() {
            waiting.requests.push_back(request);
            drop(waiting);
            self.arrived.notify_one();
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
    fn take(&self, timeout: Duration, also: bool) -> (Vec<Request>, Vec<Control>, Option<Stop>) {
        let mut waiting = locked(&self.waiting);
        let nothing = waiting.controls.is_empty() && (!also || waiting.requests.is_empty());
        // Once it is to stop there is nothing to wait for, but for what makes space.
        if nothing && (waiting.stop.is_none() || !also) {
            let (woken, _) = self
                .arrived
                .wait_timeout(waiting, timeout)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            waiting = woken;
        }
        let mut requests = Vec::new();
        if also {
            waiting.bytes = 0;
            requests = std::mem::take(&mut waiting.requests).into();
        }
        let controls = std::mem::take(&mut waiting.controls);
        let stop = waiting.stop;
        drop(waiting);
        self.taken.notify_all();
        (requests, controls, stop)
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
    loop {
        let also = core.space.waiting.is_empty();
        let (requests, controls, stop) = queue.take(patience(&core), also);
        controls.into_iter().for_each(|control| control(&mut core));
        if stop.is_some() {
            let now = core.clock.monotonic();
            core.space.draining |= now >= *drain_at.get_or_insert(now + DRAIN);
        }
        let idle = requests.is_empty() && core.space.waiting.is_empty();
        core.run(requests);
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
    let (_, controls, stop) = queue.take(Duration::ZERO, false);
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
    let waits = !core.space.waiting.is_empty() || core.ring.unsplit_bytes() > 0;
    let again = if waits { AGAIN } else { core.options.retention_every };
    core.sync_in().map_or(again, |sync| sync.min(again))
}

/// Starts what is due beside the writer.
fn tend(core: &mut Core, queue: &Arc<Queue>, helpers: &mut Vec<JoinHandle<()>>) {
    core.sync_if_due();
    if core.ring.unsplit_bytes() > 0 {
        core.split();
    }
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
