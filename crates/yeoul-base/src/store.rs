//! The store as every component sees it: topics made of partitions, an ordered map of facts,
//! and one way to change both, the [`Commit`].
//!
//! A commit is wholly there or not at all, also after a crash, and nobody sees any of it before
//! it is durable. That is what makes "a source's records with its position" or "a stream's
//! output with its input offsets" happen exactly once.

mod layer;
mod mem;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use bytes::Bytes;
use thiserror::Error;

use crate::ids::{Offset, PartId, TopicId};

pub use layer::StoreLayer;
pub use mem::MemStore;

/// Who owns a fact and how its key reads. The number is written to disk: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum FactKind {
    /// yeoul-log: topic name → id, partitions, config.
    Topic = 1,
    /// yeoul-log: fixed names → the next partition id, the next producer id.
    Counter = 2,
    /// yeoul-log: component name → its generation.
    Generation = 3,
    /// yeoul-kafka: group, topic id, partition → committed offset.
    GroupOffset = 4,
    /// yeoul-connect: source name, what it reads → position.
    SourcePosition = 5,
    /// yeoul-stream: stream name, input partition → next offset and counts.
    StreamPosition = 6,
    /// yeoul-table: table name, input partition → next offset and counts.
    TablePosition = 7,
    /// yeoul-table: table name, table segment id → its file and extent.
    TableSegment = 8,
    /// The binary: topic name → schema, by version.
    Schema = 9,
    /// The binary: pipeline name → what was applied.
    Pipeline = 10,
    /// Components: name → counts of fates (used, filtered, late, dead …).
    Fates = 11,
    /// yeoul-connect: sink name → what is prepared or done.
    SinkPosition = 12,
    /// yeoul-kafka: transactional id → producer id, epoch, timeout and whether it is open.
    Transaction = 13,
    /// yeoul-kafka: producer id, partition → the open transaction this partition belongs to.
    /// A transactional batch is committed under a guard on it, so none can come after the end.
    TransactionPart = 14,
    /// yeoul-kafka: producer id, group, topic id, partition → an offset that the open
    /// transaction's end will commit.
    TransactionOffset = 15,
    /// yeoul-log: partition, first offset → the last of a range of offsets that was acknowledged
    /// and cannot be read any more.
    Quarantine = 16,
    /// yeoul-format: table name → the columns it was made with and the paths it has seen.
    TableColumns = 17,
    /// The binary: what a client posted to Druid's APIs and wants back as it was: `supervisor`,
    /// `lookup` or `rules`, 0x00, name → the text and its history.
    DruidPosted = 18,
    /// yeoul-table: table name → that it is being made again, from where, and whether it takes
    /// the old one's place by itself.
    TableRedo = 19,
}

impl FactKind {
    pub const ALL: [Self; 19] = [
        Self::Topic,
        Self::Counter,
        Self::Generation,
        Self::GroupOffset,
        Self::SourcePosition,
        Self::StreamPosition,
        Self::TablePosition,
        Self::TableSegment,
        Self::Schema,
        Self::Pipeline,
        Self::Fates,
        Self::SinkPosition,
        Self::Transaction,
        Self::TransactionPart,
        Self::TransactionOffset,
        Self::Quarantine,
        Self::TableColumns,
        Self::DruidPosted,
        Self::TableRedo,
    ];

    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// The name of one fact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactKey {
    pub kind: FactKind,
    pub key: Bytes,
}

impl FactKey {
    pub fn new(kind: FactKind, key: impl Into<Bytes>) -> Self {
        Self { kind, key: key.into() }
    }
}

/// One Kafka record batch (v2) for one partition, its base offset not yet known. The store puts
/// base offset and leader epoch into a copy; all else stays as it came.
#[derive(Debug, Clone)]
pub struct Append {
    pub part: PartId,
    pub batch: Bytes,
}

/// Proof of being the current holder of a component's name: a commit with an older generation
/// than the last [`Store::claim`] handed out is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    pub component: Arc<str>,
    pub generation: u64,
}

/// What a fact must be for the commit to happen: the expected position of a component.
#[derive(Debug, Clone)]
pub struct Guard {
    pub key: FactKey,
    /// `None`: the fact must not exist.
    pub expect: Option<Bytes>,
}

/// One atomic change. Applied in this order: fence, guards, appends, facts.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    pub fence: Option<Fence>,
    pub guards: Vec<Guard>,
    pub appends: Vec<Append>,
    /// `None` deletes.
    pub facts: Vec<(FactKey, Option<Bytes>)>,
}

/// Where one append of a commit went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub part: PartId,
    pub base_offset: Offset,
    /// The last offset of the batch.
    pub last_offset: Offset,
    /// The broker's time, when the topic stamps records itself; else −1.
    pub log_append_time_ms: i64,
    pub log_start: Offset,
    /// An idempotent producer sent this batch before: nothing was appended, these are the
    /// offsets of the first time.
    pub duplicate: bool,
}

/// A commit that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Place in the order of all commits of this data directory.
    pub sequence: u64,
    /// As many as the commit had appends, in their order.
    pub appends: Vec<Appended>,
}

/// How far a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the high watermark.
    Uncommitted,
    /// Up to the last stable offset; the aborted transactions are listed beside the batches.
    Committed,
}

/// The ends of a partition; `start ≤ stable ≤ high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartEnds {
    /// The first offset that can be read.
    pub start: Offset,
    /// Every record below it is durable and decided (in no open transaction).
    pub stable: Offset,
    /// Every record below it is durable.
    pub high: Offset,
    /// Bytes of log segments.
    pub bytes: u64,
}

/// A transaction whose records a committed reader leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTxn {
    pub producer_id: i64,
    pub first_offset: Offset,
}

/// What a partition knows of one idempotent or transactional producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerInfo {
    pub producer_id: i64,
    pub epoch: i16,
    /// Of the last record; −1 when only its transactions' ends are known.
    pub last_sequence: i32,
    /// Milliseconds since 1970 of its last append.
    pub last_ms: i64,
    /// Where its open transaction begins in this partition.
    pub open_since: Option<Offset>,
}

/// Batches as they lie in the log, whole, in order; the first holds the asked offset.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// Each element holds one or more whole batches.
    pub batches: Vec<Bytes>,
    pub ends: PartEnds,
    pub aborted: Vec<AbortedTxn>,
}

/// A topic as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    pub name: Arc<str>,
    pub id: TopicId,
    /// Indexed by Kafka's partition number.
    pub partitions: Arc<[PartId]>,
    /// Only what was set; Kafka's names.
    pub config: BTreeMap<String, String>,
    pub created_ms: i64,
}

impl TopicInfo {
    /// Hidden from people: state and internal topics start with two underscores.
    pub fn is_internal(&self) -> bool {
        self.name.starts_with("__")
    }

    pub fn config_u64(&self, key: &str) -> Option<u64> {
        self.config.get(key)?.parse().ok()
    }
}

/// All topics at one moment.
#[derive(Debug, Clone, Default)]
pub struct Topics {
    pub by_name: BTreeMap<Arc<str>, Arc<TopicInfo>>,
}

impl Topics {
    pub fn get(&self, name: &str) -> Option<&Arc<TopicInfo>> {
        self.by_name.get(name)
    }

    pub fn by_id(&self, id: TopicId) -> Option<&Arc<TopicInfo>> {
        self.by_name.values().find(|topic| topic.id == id)
    }

    /// The topic and Kafka's partition number of a partition.
    pub fn of_part(&self, part: PartId) -> Option<(&Arc<TopicInfo>, usize)> {
        self.by_name.values().find_map(|topic| {
            topic.partitions.iter().position(|id| *id == part).map(|index| (topic, index))
        })
    }
}

/// A topic to be made.
#[derive(Debug, Clone)]
pub struct NewTopic {
    pub name: String,
    pub partitions: u32,
    pub config: BTreeMap<String, String>,
}

/// Why the store refused. The text is for people; the variant says what a caller can do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("topic `{0}` does not exist")]
    UnknownTopic(String),
    #[error("topic `{0}` already exists")]
    TopicExists(String),
    #[error("partition {0} does not exist (its topic may have been deleted)")]
    UnknownPartition(PartId),
    #[error("offset {asked} is outside {start}..{high}")]
    OffsetOutOfRange { asked: Offset, start: Offset, high: Offset },
    /// Another holder claimed the component's name: stop, do not retry.
    #[error("component `{component}` runs as generation {current} now, this is generation {ours}")]
    Fenced { component: String, ours: u64, current: u64 },
    /// The component's position is not what it believed: reload it, do not retry blindly.
    #[error("position of `{0}` is not the expected one")]
    GuardMismatch(String),
    #[error("{what} has {bytes} bytes, at most {limit} are allowed")]
    TooLarge { what: &'static str, bytes: usize, limit: usize },
    /// The batch is malformed or fails its checksum.
    #[error("bad record batch: {0}")]
    BadBatch(String),
    /// A record that its topic does not take: without a key where records are compacted by key.
    #[error("{0}")]
    InvalidRecord(String),
    /// A record dated outside its topic's bounds.
    #[error("{0}")]
    InvalidTimestamp(String),
    #[error("producer {producer_id}: expected sequence {expected}, got {got}")]
    OutOfOrderSequence { producer_id: i64, expected: i32, got: i32 },
    #[error("producer {producer_id}: epoch {got} is older than {current}")]
    ProducerFenced { producer_id: i64, current: i16, got: i16 },
    /// A setting or name that cannot be; says which and why.
    #[error("{0}")]
    Invalid(String),
    /// Retry later: space must be made first.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// What is on disk is not what was written; says file and position.
    #[error("damaged data: {0}")]
    Corrupt(String),
    /// These records were acknowledged and cannot be read any more; what lies around them can.
    /// Passing over them is the reader's decision.
    #[error("partition {part}, offsets {first} to {last} are lost: {reason}")]
    Quarantined { part: PartId, first: Offset, last: Offset, reason: String },
    /// The partition's files cannot be written; what it holds can be read. Says why.
    #[error("partition {part} is read-only: {reason}")]
    ReadOnly { part: PartId, reason: String },
    #[error("disk: {0}")]
    Io(String),
    /// The store is shutting down or stopped after a failed write.
    #[error("the store is closed: {0}")]
    Closed(String),
}

/// Called once, from the store's writer thread, when the commit is durable or refused. Must not
/// block and must not call into the store's writing side.
pub type Done = Box<dyn FnOnce(Result<Committed, StoreError>) + Send>;

/// Called from the store's writer thread after something became visible. Must not block.
pub trait Wake: Send + Sync {
    fn wake(&self);
}

impl<F: Fn() + Send + Sync> Wake for F {
    fn wake(&self) {
        self();
    }
}

/// What a [`Store::watch`] listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Watched {
    /// The high watermark, stable offset or start of one partition moved.
    Part(PartId),
    /// A topic came, went or changed.
    Topics,
    /// Any of these, once per group of commits.
    Everything,
}

/// Ends its watch when dropped.
#[must_use = "the watch ends when this is dropped"]
pub struct WatchGuard(Option<Box<dyn FnOnce() + Send + Sync>>);

impl WatchGuard {
    pub fn new(end: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(end)))
    }
}

impl Debug for WatchGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WatchGuard")
    }
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

/// Topics, facts and commits. Everything read through it is durable.
pub trait Store: Debug + Send + Sync {
    fn topics(&self) -> Arc<Topics>;
    /// Waits until durable. Zero partitions or a bad name are [`StoreError::Invalid`].
    fn create_topic(&self, topic: NewTopic) -> Result<Arc<TopicInfo>, StoreError>;
    /// Waits until durable; the topic's records are gone for readers at once.
    fn delete_topic(&self, name: &str) -> Result<(), StoreError>;
    /// Sets (or with `None` unsets) config entries.
    fn alter_topic(
        &self,
        name: &str,
        changes: Vec<(String, Option<String>)>,
    ) -> Result<Arc<TopicInfo>, StoreError>;
    fn add_partitions(&self, name: &str, total: u32) -> Result<Arc<TopicInfo>, StoreError>;

    /// Moves a partition's first readable offset up to `before`, at most to its end, as Kafka's
    /// DeleteRecords does. Waits until durable; returns the ends after it.
    fn delete_records(&self, part: PartId, before: Offset) -> Result<PartEnds, StoreError>;

    /// Takes over a component's name: returns the fence that its commits must carry from now on.
    fn claim(&self, component: &str) -> Result<Fence, StoreError>;
    /// A producer id nobody has had.
    fn new_producer_id(&self) -> Result<i64, StoreError>;
    /// Queues a commit; `done` hears when it is durable. Commits of one caller keep their order.
    fn submit(&self, commit: Commit, done: Done);

    /// Like [`Store::submit`], waiting. Not for async code or the writer's callbacks.
    fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let (send, receive) = sync_channel(1);
        self.submit(
            commit,
            Box::new(move |result| {
                // The receiver waits below; it cannot have gone away.
                let _ = send.send(result);
            }),
        );
        receive
            .recv()
            .unwrap_or_else(|_| Err(StoreError::Closed("the commit was dropped unanswered".into())))
    }

    fn fact(&self, kind: FactKind, key: &[u8]) -> Option<Bytes>;
    /// Keys that start with `prefix`, in order, whole keys.
    fn facts(&self, kind: FactKind, prefix: &[u8]) -> Vec<(Bytes, Bytes)>;

    fn ends(&self, part: PartId) -> Option<PartEnds>;
    /// Reads from the batch that holds `from`, at least one batch when there is any. At the end
    /// the answer is empty; beyond it, or before the start, [`StoreError::OffsetOutOfRange`].
    fn read(
        &self,
        part: PartId,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Read, StoreError>;
    /// The first record whose timestamp is at or after `timestamp_ms`: its offset and timestamp.
    fn offset_at(
        &self,
        part: PartId,
        timestamp_ms: i64,
    ) -> Result<Option<(Offset, i64)>, StoreError>;

    /// Who has written to a partition lately, by producer id.
    fn producers(&self, part: PartId) -> Result<Vec<ProducerInfo>, StoreError>;

    fn watch(&self, what: Watched, wake: Arc<dyn Wake>) -> WatchGuard;

    /// The epoch of this incarnation of the store, as Kafka's leader epoch.
    fn leader_epoch(&self) -> i32;
}

/// Kafka's rule for topic names.
pub fn check_topic_name(name: &str) -> Result<(), StoreError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let problem = if name.is_empty() {
        "is empty"
    } else if name == "." || name == ".." {
        "is `.` or `..`"
    } else if name.len() > crate::limits::TOPIC_NAME_BYTES_MAX {
        "is longer than 249 bytes"
    } else if !name.bytes().all(legal) {
        "has a character other than ASCII letters, digits, `.`, `_` and `-`"
    } else {
        return Ok(());
    };
    Err(StoreError::Invalid(format!("topic name `{name}` {problem}")))
}
