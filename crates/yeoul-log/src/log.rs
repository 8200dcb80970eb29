//! [`Log`]: the store on disk. Checks what callers bring on their own threads, hands it to the
//! writer, and answers reads from the published view without asking the writer.

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use yeoul_base::disk::DiskLock;
use yeoul_base::limits::{FACT_KEY_BYTES_MAX, FACT_VALUE_BYTES_MAX, FRAME_BYTES_MAX};
use yeoul_base::{
    Append, Clock, Commit, Committed, Disk, Done, FactKind, Fence, Isolation, NewTopic, Offset,
    PartEnds, PartId, ProducerInfo, Rand, Read, Store, StoreError, TopicInfo, Topics, Wake,
    WatchGuard, Watched,
};

use crate::batch::{self, BatchHeader};
use crate::core::Core;
use crate::error::LogError;
use crate::facts;
use crate::holds::Holds;
use crate::inspect;
use crate::locked;
use crate::options::LogOptions;
use crate::pace::Pace;
use crate::part::Part;
use crate::plan::{self, Answer, Request, Respond, Work};
use crate::quarantine::Lost;
use crate::recovery::{self, Recovered};
use crate::shared::{LogStats, Shared, View};
use crate::snapshot::Kept;
use crate::writer::Writer;

/// A transaction's end is taken however small the topic's largest message may be.
const MARKER_BYTES_MAX: usize = 128;
/// Log segments that wait for a checkpoint may have one in so many of the open files.
const FILES_SHARE: u64 = 8;

/// The store on disk. Clones are the same log; the last one to go stops its thread.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    mode: Mode,
    lock: Mutex<Option<Box<dyn DiskLock>>>,
    /// `None`: as fast as it goes.
    background_bytes_per_s: Option<u64>,
}

enum Mode {
    Threaded(Writer),
    /// `None` once closed.
    Inline(Box<Mutex<Option<Core>>>),
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("incarnation", &self.inner.shared.incarnation).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Mode::Threaded(writer) = &self.mode {
            writer.stop(false);
        }
    }
}

impl Log {
    /// Opens the log in the disk's root, making it when the root is empty and recovering what a
    /// crash left.
    ///
    /// # Errors
    /// [`LogError::Locked`] when another process has it open; [`LogError::Damaged`] when what was
    /// acknowledged cannot be read back (nothing is changed then).
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        rand: Arc<dyn Rand>,
        options: LogOptions,
    ) -> Result<(Self, Recovered), LogError> {
        Self::open_or_cut(disk, clock, rand, options, false)
    }

    /// With `cut`, acknowledged commits that cannot be read are given up; see [`crate::doctor`].
    pub(crate) fn open_or_cut(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        rand: Arc<dyn Rand>,
        mut options: LogOptions,
        cut: bool,
    ) -> Result<(Self, Recovered), LogError> {
        let inline = options.inline;
        if !inline {
            let share = usize::try_from(yeoul_base::files::raise_open_files() / FILES_SHARE);
            options.rolled_files_max = options.rolled_files_max.min(share.unwrap_or(usize::MAX));
        }
        let background_bytes_per_s = options.background_rate();
        let opened = recovery::open(disk, Arc::clone(&clock), rand, options, cut)?;
        let shared = Arc::clone(&opened.core.shared);
        let mode = if inline {
            Mode::Inline(Box::new(Mutex::new(Some(opened.core))))
        } else {
            let writer = Writer::start(opened.core);
            Mode::Threaded(
                writer
                    .map_err(|source| LogError::Io { file: "the log's thread".into(), source })?,
            )
        };
        let lock = Mutex::new(Some(opened.lock));
        Ok((
            Self { inner: Arc::new(Inner { shared, clock, mode, lock, background_bytes_per_s }) },
            opened.recovered,
        ))
    }

    /// Writes what is queued, makes a checkpoint, stops the thread and gives the directory free.
    /// Reads still work; commits are refused.
    pub fn close(&self) {
        match &self.inner.mode {
            Mode::Threaded(writer) => writer.stop(true),
            Mode::Inline(core) => {
                if let Some(mut core) = locked(core).take() {
                    core.checkpoint();
                }
            }
        }
        locked(&self.inner.lock).take();
    }

    /// The reason, when the log had to close itself after a failed write or sync. The process
    /// should end: only a restart reads the disk anew.
    pub fn fatal(&self) -> Option<String> {
        self.inner.shared.fatal()
    }

    pub fn stats(&self) -> LogStats {
        let parts = self.all_parts();
        let segments = parts.iter().flat_map(|part| part.segments());
        let bad_blocks = segments.map(|segment| segment.bad_blocks()).sum();
        LogStats { bad_blocks, ..self.inner.shared.stats() }
    }

    /// Syncs log segments and writes a snapshot now. Waits.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.with_core(Core::checkpoint)?;
        self.inner.shared.closed().map_or(Ok(()), Err)
    }

    /// Lets go of log segments beyond their topics' `retention.ms` and `retention.bytes`, as the
    /// writer does by itself every minute. Waits; returns how many partitions lost some.
    pub fn enforce_retention(&self, now_ms: i64) -> Result<usize, StoreError> {
        self.with_core(move |core| core.enforce_retention(Some(now_ms)))
    }

    /// Says who knows what this node's components still have to read; see [`Holds`].
    pub fn set_holds(&self, holds: Arc<dyn Holds>) {
        self.inner.shared.set_holds(holds);
    }

    /// Bytes of each partition that retention would have dropped at its last look, but for holds.
    pub fn held_bytes(&self) -> BTreeMap<PartId, u64> {
        self.inner.shared.held()
    }

    /// Compacts what is due, as the log does by itself every minute. Waits; returns how many log
    /// segments were replaced.
    ///
    /// # Errors
    /// Only that the log is closed: what cannot be compacted now is tried again later.
    pub fn compact(&self, now_ms: i64) -> Result<usize, StoreError> {
        // Only what is synced is compacted.
        self.checkpoint()?;
        let mut replaced = 0;
        while let Some(job) = self.with_core(move |core| core.begin_compaction(now_ms))? {
            let done = job.run();
            let (count, failed) = self.with_core(move |core| {
                let failed = done.is_err();
                (core.finish_compaction(&job, done), failed)
            })?;
            replaced += count;
            if failed {
                break;
            }
        }
        Ok(replaced)
    }

    pub(crate) fn all_parts(&self) -> Vec<Arc<Part>> {
        let mut parts: Vec<_> = self.inner.shared.view().parts.values().map(Arc::clone).collect();
        parts.sort_by_key(|part| part.id);
        parts
    }

    pub(crate) fn pace(&self) -> Pace {
        let rate = self.inner.background_bytes_per_s;
        Pace::new(&self.inner.shared, rate)
    }

    /// Several commits in one group, when the log runs without a thread; otherwise one after the
    /// other. Answers in their order.
    pub fn commit_all(&self, commits: Vec<Commit>) -> Vec<Result<Committed, StoreError>> {
        let Mode::Inline(core) = &self.inner.mode else {
            return commits.into_iter().map(|commit| self.commit(commit)).collect();
        };
        let answers = Arc::new(Mutex::new(vec![None; commits.len()]));
        let mut requests = Vec::new();
        for (index, commit) in commits.into_iter().enumerate() {
            let mine = Arc::clone(&answers);
            let done: Done = Box::new(move |result| {
                if let Some(place) = locked(&mine).get_mut(index) {
                    *place = Some(result);
                }
            });
            match self.prepare(commit) {
                Ok((work, bytes)) => {
                    requests.push(Request { work, bytes, respond: committed(done) });
                }
                Err(error) => done(Err(error)),
            }
        }
        match locked(core).as_mut() {
            Some(core) => core.run(requests),
            None => requests.into_iter().for_each(|request| (request.respond)(Err(shut()))),
        }
        let answers = std::mem::take(&mut *locked(&answers));
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(shut()))).collect()
    }

    /// Checks a commit on the caller's thread: sizes, checksums, and that it leaves the log's own
    /// facts alone.
    fn prepare(&self, mut commit: Commit) -> Result<(Work, usize), StoreError> {
        if let Some(closed) = self.inner.shared.closed() {
            return Err(closed);
        }
        let mut bytes = 0usize;
        for (key, value) in &commit.facts {
            let value = value.as_ref().map_or(0, Bytes::len);
            let too_large = |what, bytes, limit| Err(StoreError::TooLarge { what, bytes, limit });
            if key.key.len() > FACT_KEY_BYTES_MAX {
                return too_large("a fact's key", key.key.len(), FACT_KEY_BYTES_MAX);
            }
            if value > FACT_VALUE_BYTES_MAX {
                return too_large("a fact", value, FACT_VALUE_BYTES_MAX);
            }
            if plan::is_own(key.kind) {
                let what = format!("facts of kind {:?} are the log's own", key.kind);
                return Err(StoreError::Invalid(what));
            }
            bytes += key.key.len() + value + 16;
        }
        let parts = self.inner.shared.view().parts;
        let mut headers = Vec::with_capacity(commit.appends.len());
        for append in &mut commit.appends {
            let part = parts.get(&append.part);
            let config = part.ok_or(StoreError::UnknownPartition(append.part))?.config();
            let marks = BatchHeader::parse(&append.batch)?.is_control();
            let limit = if marks { MARKER_BYTES_MAX } else { config.max_message_bytes };
            let mut header = batch::verify(&append.batch, limit)?;
            inspect::check(&append.batch, &header, &config, self.inner.clock.now_ms())?;
            if marks {
                batch::commits(&append.batch)?;
            } else if config.log_append_time {
                header = self.stamp(append, &header)?;
            }
            headers.push(header);
            bytes += append.batch.len() + 16;
        }
        if bytes > FRAME_BYTES_MAX {
            let limit = FRAME_BYTES_MAX;
            return Err(StoreError::TooLarge { what: "a commit", bytes, limit });
        }
        Ok((Work::Commit(commit, headers), bytes))
    }

    fn stamp(&self, append: &mut Append, header: &BatchHeader) -> Result<BatchHeader, StoreError> {
        let mut copy = append.batch.to_vec();
        batch::stamp(&mut copy, header, self.inner.clock.now_ms());
        append.batch = Bytes::from(copy);
        Ok(BatchHeader::parse(&append.batch)?)
    }

    pub(crate) fn enqueue(&self, request: Request) {
        match &self.inner.mode {
            Mode::Threaded(writer) => writer.queue.push(request),
            Mode::Inline(core) => match locked(core).as_mut() {
                Some(core) => core.run(vec![request]),
                None => (request.respond)(Err(shut())),
            },
        }
    }

    /// Has work done and waits for the answer.
    fn ask(&self, work: Work) -> Result<Answer, StoreError> {
        if let Some(closed) = self.inner.shared.closed() {
            return Err(closed);
        }
        let (send, receive) = sync_channel(1);
        let respond: Respond = Box::new(move |answer| {
            // The receiver waits below.
            let _ = send.send(answer);
        });
        self.enqueue(Request { work, bytes: 0, respond });
        receive.recv().unwrap_or_else(|_| Err(shut()))
    }

    /// Runs something between two groups and waits for it.
    fn with_core<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.inner.mode {
            Mode::Inline(core) => locked(core).as_mut().map(work).ok_or_else(shut),
            Mode::Threaded(writer) => {
                let (send, receive) = sync_channel(1);
                writer.queue.control(Box::new(move |core| {
                    // The receiver waits below.
                    let _ = send.send(work(core));
                }));
                receive.recv().map_err(|_| shut())
            }
        }
    }

    /// A range that a read found damaged becomes a fact, so that it is known after a restart.
    fn remember_lost(&self, view: &View, part: &Part, first: Offset) {
        let Some(lost) = part.lost(first).filter(|lost| !view.facts.contains_key(&lost.key()))
        else {
            return;
        };
        let respond: Respond = Box::new(|result| {
            if let Err(error) = result {
                tracing::warn!(%error, "a lost range is not noted yet");
            }
        });
        let request = Request { work: Work::Quarantine(lost), bytes: 0, respond };
        match &self.inner.mode {
            // Readers do not wait for the writer: the next one says it again.
            Mode::Threaded(writer) => writer.queue.try_push(request),
            Mode::Inline(_) => self.enqueue(request),
        }
    }

    /// Whether a snapshot of this start, with its last commit, is on the disk.
    pub(crate) fn has_own_snapshot(&self) -> Result<bool, StoreError> {
        self.with_core(|core| {
            let (sequence, incarnation) = (core.state.sequence, core.shared.incarnation);
            let own = |kept: &Kept| (kept.sequence, kept.incarnation) == (sequence, incarnation);
            core.kept.last().is_some_and(own)
        })
    }

    /// Makes a lost range a fact, or changes what is known of it. Waits.
    pub(crate) fn note_lost(&self, lost: Lost) -> Result<(), StoreError> {
        self.ask(Work::Quarantine(lost)).map(drop)
    }

    /// What was acknowledged and cannot be read any more, as far as it was noticed.
    pub fn lost(&self) -> Vec<Lost> {
        facts::with_prefix(&self.inner.shared.view().facts, FactKind::Quarantine, b"")
            .iter()
            .filter_map(|(key, value)| Lost::decode(key, value).ok())
            .collect()
    }

    fn topic_of(&self, work: Work) -> Result<Arc<TopicInfo>, StoreError> {
        match self.ask(work)? {
            Answer::Topic(topic) => Ok(topic),
            other => Err(unexpected(&other)),
        }
    }
}

fn shut() -> StoreError {
    StoreError::Closed("it is shutting down".into())
}

fn unexpected(answer: &Answer) -> StoreError {
    StoreError::Closed(format!("the writer gave {answer:?} to another question"))
}

fn committed(done: Done) -> Respond {
    Box::new(move |answer| {
        done(match answer {
            Ok(Answer::Committed(committed)) => Ok(committed),
            Ok(other) => Err(unexpected(&other)),
            Err(error) => Err(error),
        });
    })
}

impl Store for Log {
    fn topics(&self) -> Arc<Topics> {
        self.inner.shared.view().topics
    }

    fn create_topic(&self, topic: NewTopic) -> Result<Arc<TopicInfo>, StoreError> {
        self.topic_of(Work::CreateTopic(topic))
    }

    fn delete_topic(&self, name: &str) -> Result<(), StoreError> {
        self.topic_of(Work::DeleteTopic(name.to_owned())).map(drop)
    }

    fn alter_topic(
        &self,
        name: &str,
        changes: Vec<(String, Option<String>)>,
    ) -> Result<Arc<TopicInfo>, StoreError> {
        self.topic_of(Work::AlterTopic(name.to_owned(), changes))
    }

    fn add_partitions(&self, name: &str, total: u32) -> Result<Arc<TopicInfo>, StoreError> {
        self.topic_of(Work::AddPartitions(name.to_owned(), total))
    }

    fn delete_records(&self, part: PartId, before: Offset) -> Result<PartEnds, StoreError> {
        self.ask(Work::MoveStarts(vec![(part, before)]))?;
        self.ends(part).ok_or(StoreError::UnknownPartition(part))
    }

    fn claim(&self, component: &str) -> Result<Fence, StoreError> {
        match self.ask(Work::Claim(component.to_owned()))? {
            Answer::Fence(fence) => Ok(fence),
            other => Err(unexpected(&other)),
        }
    }

    fn new_producer_id(&self) -> Result<i64, StoreError> {
        match self.ask(Work::ProducerId)? {
            Answer::ProducerId(id) => Ok(id),
            other => Err(unexpected(&other)),
        }
    }

    fn submit(&self, commit: Commit, done: Done) {
        match self.prepare(commit) {
            Ok((work, bytes)) => self.enqueue(Request { work, bytes, respond: committed(done) }),
            Err(error) => done(Err(error)),
        }
    }

    fn fact(&self, kind: FactKind, key: &[u8]) -> Option<Bytes> {
        let key = yeoul_base::FactKey::new(kind, key.to_vec());
        self.inner.shared.view().facts.get(&key).cloned()
    }

    fn facts(&self, kind: FactKind, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        facts::with_prefix(&self.inner.shared.view().facts, kind, prefix)
    }

    fn ends(&self, part: PartId) -> Option<PartEnds> {
        self.inner.shared.view().parts.get(&part).map(|part| part.ends())
    }

    fn read(
        &self,
        part: PartId,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Read, StoreError> {
        let view = self.inner.shared.view();
        let shown = view.parts.get(&part).ok_or(StoreError::UnknownPartition(part))?;
        let read = shown.read(from, max_bytes, isolation);
        if let Err(StoreError::Quarantined { first, .. }) = &read {
            self.remember_lost(&view, shown, *first);
        }
        read
    }

    fn offset_at(
        &self,
        part: PartId,
        timestamp_ms: i64,
    ) -> Result<Option<(Offset, i64)>, StoreError> {
        let parts = self.inner.shared.view().parts;
        parts.get(&part).ok_or(StoreError::UnknownPartition(part))?.offset_at(timestamp_ms)
    }

    fn producers(&self, part: PartId) -> Result<Vec<ProducerInfo>, StoreError> {
        // After a failed write the writer knows more than what is durable.
        if let Some(closed) = self.inner.shared.closed() {
            return Err(closed);
        }
        self.with_core(move |core| {
            let lane = core.state.lanes.get(&part).ok_or(StoreError::UnknownPartition(part))?;
            Ok(lane.producers.iter().map(|(id, producer)| producer.info(*id)).collect())
        })?
    }

    fn watch(&self, what: Watched, wake: Arc<dyn Wake>) -> WatchGuard {
        self.inner.shared.watch(what, wake)
    }

    fn leader_epoch(&self) -> i32 {
        i32::try_from(self.inner.shared.incarnation).unwrap_or(i32::MAX)
    }
}
