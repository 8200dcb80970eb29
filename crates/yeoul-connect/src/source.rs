//! Starting, watching and stopping a source. Each runs on a thread of its own and commits
//! through the store.
//!
//! Invariant: a source that was told to stop, or lost its name to another, commits nothing more.
//! Trouble with files or the disk is a state to look at and is tried again, never a crash.

mod commit;
mod generate;
mod tail;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use yeoul_base::{Clock, Fates, Fence, Store, StoreError};
use yeoul_format::{Decode, LineDecoder};

use crate::config::SourceConfig;

/// How long after trouble the source tries again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a source needs of the node.
#[derive(Debug, Clone)]
pub struct SourceContext {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    /// Where relative paths start: the folder of the pipeline file.
    pub base_dir: PathBuf,
    /// The topic it fills; made with one partition when it is missing.
    pub topic: String,
    /// How lines become records; `None`: the source's own way.
    pub decode: Option<Decode>,
}

/// Why a source could not start.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The options cannot work: what `check` would have said.
    #[error("{0}")]
    Options(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no thread for the source: {0}")]
    Thread(#[from] std::io::Error),
}

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceState {
    /// For a file, or for the disk: the message says what.
    #[default]
    Waiting,
    /// There is more to read than it has read.
    CatchingUp,
    Running,
    /// Ended by an error that trying again will not help.
    Failed,
    Stopped,
}

impl SourceState {
    /// As the status page writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::CatchingUp => "catching_up",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// A followed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    pub path: String,
    /// Bytes that are read and committed, or on their way.
    pub offset: u64,
    pub size: u64,
}

/// A source at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceStatus {
    pub state: SourceState,
    /// What it waits for or what went wrong, for people.
    pub message: Option<String>,
    pub files: Vec<FileStatus>,
    /// Committed counts since the source was made.
    pub fates: Fates,
    /// Bytes of files not read yet.
    pub lag_bytes: u64,
}

/// What the thread and its handle share.
#[derive(Debug, Default)]
struct Shared {
    stop: Mutex<bool>,
    wake: Condvar,
    status: Mutex<SourceStatus>,
}

impl Shared {
    fn stopped(&self) -> bool {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long or until told to stop; says whether it was.
    fn wait(&self, time: Duration) -> bool {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(stop, time, |stop| !*stop);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn status(&self) -> MutexGuard<'_, SourceStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, state: SourceState, message: Option<String>) {
        let mut status = self.status();
        status.state = state;
        status.message = message;
    }
}

/// What the kinds of sources work with.
struct Env {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    base_dir: PathBuf,
    topic: String,
    name: String,
    fence: Fence,
    /// `None`: the source's own way.
    decoder: Option<LineDecoder>,
}

/// A running source; dropping it stops it.
#[derive(Debug)]
pub struct SourceHandle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl SourceHandle {
    pub fn status(&self) -> SourceStatus {
        self.shared.status().clone()
    }

    /// Ends the source after its commits in flight; waits for it.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        *self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.shared.say(SourceState::Failed, Some("the source's thread panicked".into()));
        }
    }
}

impl Drop for SourceHandle {
    fn drop(&mut self) {
        self.end();
    }
}

/// Takes over the name `source/<name>` and starts to work. Missing files are waited for.
pub fn start(
    name: &str,
    config: &SourceConfig,
    context: SourceContext,
) -> Result<SourceHandle, SourceError> {
    let decoder = context.decode.as_ref().map(LineDecoder::new).transpose();
    let decoder = decoder.map_err(|error| SourceError::Options(error.to_string()))?;
    yeoul_base::store::check_topic_name(&context.topic)?;
    let fence = context.store.claim(&format!("source/{name}"))?;
    let shared = Arc::new(Shared::default());
    let env = Env {
        shared: Arc::clone(&shared),
        store: context.store,
        clock: context.clock,
        base_dir: context.base_dir,
        topic: context.topic,
        name: name.to_owned(),
        fence,
        decoder,
    };
    let config = config.clone();
    let thread = std::thread::Builder::new()
        .name(format!("source/{name}"))
        .spawn(move || run(&env, &config))?;
    Ok(SourceHandle { shared, thread: Some(thread) })
}

fn run(env: &Env, config: &SourceConfig) {
    loop {
        let result = match config {
            SourceConfig::Tail(tail) => tail::run(env, tail),
            SourceConfig::Generate(generate) => generate::run(env, generate),
        };
        match result {
            Ok(()) => return env.shared.say(SourceState::Stopped, None),
            Err(error @ (StoreError::Fenced { .. } | StoreError::Closed(_))) => {
                tracing::warn!(source = env.name, %error, "source ends");
                return env.shared.say(SourceState::Failed, Some(error.to_string()));
            }
            // All state is read back from the store before the next try, so what was in flight
            // is neither lost nor done twice.
            Err(error) => {
                tracing::warn!(source = env.name, %error, "source tries again");
                env.shared.say(SourceState::Waiting, Some(format!("{error}; trying again")));
            }
        }
        if env.shared.wait(RETRY_AFTER) {
            return env.shared.say(SourceState::Stopped, None);
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the tests play the program that writes, cuts and renames the files, in real time"
)]
mod tests;
