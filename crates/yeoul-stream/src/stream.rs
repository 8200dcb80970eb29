//! A running stream: one thread that steps while there is work and sleeps while there is none.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use yeoul_base::{StoreError, Watched};

use crate::epoch::{Runner, Step, StreamContext};
use crate::spec::{StreamSpec, Trigger};
use crate::status::{Bell, State, Status, locked, waker};

/// A wake that got lost, a lookup's reload, a schema being inferred: looked at this often.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A failed stream tries again after this long.
const RETRY: Duration = Duration::from_secs(5);
/// Planning a hostile query goes deep.
const STACK_BYTES: usize = 8 << 20;

/// A stream that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct StreamHandle {
    name: String,
    bell: Arc<Bell>,
    status: Arc<Mutex<Status>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a stream. It takes over from an older one of its name and plans in its own thread, so
/// that a topic or lookup may come later; the status says what it waits for.
///
/// # Errors
/// The store refuses, or no thread can be made.
pub fn start(spec: StreamSpec, context: StreamContext) -> Result<StreamHandle, StoreError> {
    let bell = Arc::new(Bell::default());
    let status = Arc::new(Mutex::new(Status::default()));
    let name = spec.name.clone();
    let trigger = spec.trigger;
    let runner = Runner::new(spec, context.clone(), Arc::clone(&bell))?;
    let thread =
        Thread { runner, trigger, context, bell: Arc::clone(&bell), status: Arc::clone(&status) };
    let thread = std::thread::Builder::new()
        .name(format!("stream {name}"))
        .stack_size(STACK_BYTES)
        .spawn(move || thread.run())
        .map_err(|error| StoreError::Io(format!("no thread for stream `{name}`: {error}")))?;
    Ok(StreamHandle { name, bell, status, thread: Some(thread) })
}

impl StreamHandle {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn status(&self) -> Status {
        locked(&self.status).clone()
    }

    /// Ends after the epoch under way, and waits for that.
    pub fn stop(mut self) -> Status {
        self.end();
        self.status()
    }

    /// Waits until it has stopped by itself (triggers `once` and `available_now`).
    pub fn wait(mut self) -> Status {
        self.join();
        self.status()
    }

    fn end(&mut self) {
        self.bell.stop();
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            let mut status = locked(&self.status);
            status.state = State::Failed;
            status.message = Some("its thread panicked: this is a mistake in Yeoul".into());
        }
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        self.end();
    }
}

struct Thread {
    runner: Runner,
    trigger: Trigger,
    context: StreamContext,
    bell: Arc<Bell>,
    status: Arc<Mutex<Status>>,
}

impl Thread {
    fn run(mut self) {
        let _topics = self.context.store.watch(Watched::Topics, waker(&self.bell));
        while !self.bell.stopping() {
            let began = self.context.clock.monotonic();
            let step = self.runner.step();
            self.tell(&step);
            match (&step, self.trigger) {
                (Step::Over(_), _) => break,
                (Step::Worked, Trigger::Once) if self.runner.progress.is_some() => break,
                (Step::Idle, Trigger::Once | Trigger::AvailableNow) => break,
                (Step::Worked, Trigger::Every(every)) if self.runner.progress.is_some() => {
                    let took = self.context.clock.monotonic().saturating_sub(began);
                    self.bell.pause(every.saturating_sub(took));
                }
                (Step::Worked, _) => {}
                (Step::Idle | Step::Waiting(_), _) => self.bell.wait(LOOK_AGAIN),
                (Step::Failed(_), _) => self.bell.pause(RETRY),
            }
        }
        locked(&self.status).state = State::Stopped;
    }

    fn tell(&self, step: &Step) {
        let (state, message) = match step {
            Step::Worked | Step::Idle => (State::Running, self.runner.note.clone()),
            Step::Waiting(what) => (State::Waiting, Some(what.clone())),
            Step::Failed(why) => (State::Failed, Some(why.clone())),
            Step::Over(why) => (State::Stopped, Some(why.clone())),
        };
        let mut status = locked(&self.status);
        if status.message != message
            && let Some(message) = &message
        {
            tracing::info!(stream = self.runner.name(), ?state, message, "stream");
        }
        status.state = state;
        status.message = message;
        status.fates = self.runner.fates;
        status.lag = self.runner.lag();
        status.lost = self.runner.lost();
        if matches!(step, Step::Worked) {
            let now_ms = self.context.clock.now_ms();
            let before = status.last_ms.replace(now_ms);
            status.progress.clone_from(&self.runner.progress);
            if let (Some(before), Some(progress)) = (before, &mut status.progress) {
                let seconds = (now_ms - before).max(1) as f64 / 1_000.0;
                progress.input_rows_per_second = progress.num_input_rows as f64 / seconds;
            }
        }
    }
}
