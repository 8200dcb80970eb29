//! Gathers what one commit of a source holds: records, dead letters, positions, counts.
//!
//! Invariant: every line counted as read is, in the same commit, a record, a dead letter or
//! filtered. At most two commits are under way; the next waits for the older one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;
use yeoul_base::limits::{EPOCH_RECORDS_MAX, MESSAGE_BYTES_DEFAULT};
use yeoul_base::{
    Append, Commit, Committed, FactKey, FactKind, Fates, Guard, NewTopic, Store, StoreError,
    TopicInfo,
};
use yeoul_log::batch::{BatchBuilder, Codec};
use yeoul_log::dead::{self, DeadLetter};

use super::Env;

const IN_FLIGHT_MAX: usize = 2;
/// One batch is cut here even where the topic would allow more.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// What a record's frame, and a dead letter's headers, may take beside the value.
const RECORD_OVERHEAD: usize = 4 << 10;

type Answer = Receiver<Result<Committed, StoreError>>;

pub(super) struct Commits<'a> {
    env: &'a Env,
    component: String,
    topic: Arc<TopicInfo>,
    fates: Fates,
    records: BatchBuilder,
    dead: BatchBuilder,
    guards: Vec<Guard>,
    facts: Vec<(FactKey, Option<Bytes>)>,
    /// The counts as they are once each of these is durable.
    in_flight: VecDeque<(Answer, Fates)>,
    turn: usize,
    batch_bytes_max: usize,
}

impl<'a> Commits<'a> {
    /// Makes the topic when it is missing.
    pub(super) fn open(env: &'a Env) -> Result<Self, StoreError> {
        let topic = topic(env.store.as_ref(), &env.topic)?;
        let component = env.fence.component.to_string();
        let fates = match env.store.fact(FactKind::Fates, component.as_bytes()) {
            None => Fates::default(),
            Some(bytes) => Fates::decode(&bytes)
                .map_err(|error| StoreError::Corrupt(format!("counts of {component}: {error}")))?,
        };
        env.shared.status().fates = fates;
        let mut commits = Self {
            env,
            component,
            batch_bytes_max: 0,
            topic,
            fates,
            records: BatchBuilder::new(Codec::None),
            dead: BatchBuilder::new(Codec::None),
            guards: Vec::new(),
            facts: Vec::new(),
            in_flight: VecDeque::new(),
            turn: 0,
        };
        commits.set_limit();
        Ok(commits)
    }

    fn set_limit(&mut self) {
        let limit = self.topic.config_u64("max.message.bytes");
        let limit = limit.and_then(|bytes| usize::try_from(bytes).ok());
        let limit = limit.unwrap_or(MESSAGE_BYTES_DEFAULT).min(MESSAGE_BYTES_DEFAULT);
        self.batch_bytes_max = limit.min(BATCH_BYTES_MAX);
    }

    /// The largest value that a record can have.
    pub(super) fn value_bytes_max(&self) -> usize {
        self.batch_bytes_max.saturating_sub(RECORD_OVERHEAD)
    }

    /// Whether a value of this size still fits into the commit, as record or as dead letter.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let fits = |batch: &BatchBuilder| {
            batch.is_empty() || batch.len_bytes() + bytes + RECORD_OVERHEAD <= self.batch_bytes_max
        };
        self.records.count() + self.dead.count() < EPOCH_RECORDS_MAX
            && fits(&self.records)
            && fits(&self.dead)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.records.is_empty() && self.dead.is_empty()
    }

    pub(super) fn record(&mut self, timestamp_ms: i64, value: &[u8]) {
        self.fates.read += 1;
        self.fates.used += 1;
        self.fates.out += 1;
        self.records.push(timestamp_ms, None, Some(value), &[]);
    }

    /// Counts a line that is no record: blank, or a header.
    pub(super) fn filtered(&mut self) {
        self.fates.read += 1;
        self.fates.filtered += 1;
    }

    /// Keeps a line that cannot be a record. `place` says where it stands, `offset` its byte.
    pub(super) fn dead(
        &mut self,
        timestamp_ms: i64,
        reason: &str,
        place: &str,
        offset: u64,
        value: &[u8],
    ) {
        self.fates.read += 1;
        self.fates.dead += 1;
        let letter = DeadLetter {
            component: &self.component,
            stage: "decode",
            reason: &format!("{reason} ({place}, byte {offset})"),
            topic: None,
            partition: None,
            offset: i64::try_from(offset).ok(),
            key: None,
            value: Some(value),
        };
        letter.push(&mut self.dead, timestamp_ms);
    }

    /// Moves a position in this commit, which is refused when it is not what is expected.
    pub(super) fn position(&mut self, key: FactKey, expect: Option<Bytes>, next: Option<Bytes>) {
        self.guards.push(Guard { key: key.clone(), expect });
        self.facts.push((key, next));
    }

    /// Sends what was gathered on its way. An error is of this commit or of one before.
    pub(super) fn submit(&mut self) -> Result<(), StoreError> {
        if self.is_empty() {
            return Ok(());
        }
        while self.in_flight.len() >= IN_FLIGHT_MAX {
            self.wait_one()?;
        }
        let mut appends = Vec::new();
        if let Some(batch) = self.records.finish() {
            // Looked up anew: partitions may have been added, or the topic made again.
            self.topic = topic(self.env.store.as_ref(), &self.env.topic)?;
            self.set_limit();
            let count = self.topic.partitions.len().max(1);
            self.turn = (self.turn + 1) % count;
            let part = self.topic.partitions.get(self.turn).copied().ok_or_else(|| {
                StoreError::Invalid(format!("topic `{}` has no partitions", self.topic.name))
            })?;
            appends.push(Append { part, batch });
        }
        if let Some(batch) = self.dead.finish() {
            let part = dead::partition(self.env.store.as_ref(), &self.component)?;
            appends.push(Append { part, batch });
        }
        let mut facts = std::mem::take(&mut self.facts);
        facts.push((Fates::key(&self.component), Some(self.fates.encode())));
        let commit = Commit {
            fence: Some(self.env.fence.clone()),
            guards: std::mem::take(&mut self.guards),
            appends,
            facts,
        };
        let (send, receive) = sync_channel(1);
        let done = Box::new(move |result| {
            // Nobody listens any more when the source gave up on an earlier commit.
            let _ = send.send(result);
        });
        self.env.store.submit(commit, done);
        self.in_flight.push_back((receive, self.fates));
        Ok(())
    }

    /// Waits until everything submitted is durable.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        while !self.in_flight.is_empty() {
            self.wait_one()?;
        }
        Ok(())
    }

    fn wait_one(&mut self) -> Result<(), StoreError> {
        if let Some((answer, fates)) = self.in_flight.pop_front() {
            let closed = || Err(StoreError::Closed("a commit was dropped unanswered".into()));
            answer.recv().unwrap_or_else(|_| closed())?;
            self.env.shared.status().fates = fates;
        }
        Ok(())
    }
}

fn topic(store: &dyn Store, name: &str) -> Result<Arc<TopicInfo>, StoreError> {
    if let Some(topic) = store.topics().get(name) {
        return Ok(Arc::clone(topic));
    }
    let new = NewTopic { name: name.to_owned(), partitions: 1, config: Default::default() };
    match store.create_topic(new) {
        // Somebody else made it in between.
        Err(StoreError::TopicExists(_)) => store
            .topics()
            .get(name)
            .map(Arc::clone)
            .ok_or_else(|| StoreError::UnknownTopic(name.to_owned())),
        made => made,
    }
}
