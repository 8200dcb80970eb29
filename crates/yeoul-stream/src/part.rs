//! Reading input partitions ahead of the commits that pass them.
//!
//! Invariant: `next_offset` minus `at` is exactly the records taken, plus those nobody may read
//! (aborted, control, compacted away), plus those of a batch that does not decode: each offset
//! of a partition gets one fate.

use std::collections::VecDeque;
use std::sync::Arc;

use yeoul_base::{Isolation, Offset, PartId, Store, StoreError, TopicId, TopicInfo};
use yeoul_log::batch::Record;
use yeoul_log::reader::{BadBatch, PartitionReader};

/// One input partition.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) topic: Arc<str>,
    pub(crate) topic_id: TopicId,
    /// Kafka's number.
    pub(crate) number: u32,
    pub(crate) id: PartId,
    /// Every offset below it has its fate.
    pub(crate) at: Offset,
    /// Records that retention took before they were read.
    pub(crate) lost: u64,
    reader: PartitionReader,
    buffer: VecDeque<Record>,
    /// What follows the buffer and cannot be read.
    bad: Option<BadBatch>,
    /// Of the buffer, taken by the epoch under way.
    taken: usize,
}

/// What the taken records mean for the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) next: Offset,
    /// Records nobody may read.
    pub(crate) skipped: u64,
    /// Records of the batch that does not decode, when it is passed too.
    pub(crate) bad: u64,
}

impl Part {
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        topic: &TopicInfo,
        number: u32,
        id: PartId,
        at: Offset,
        lost: u64,
    ) -> Self {
        Self {
            topic: Arc::clone(&topic.name),
            topic_id: topic.id,
            number,
            id,
            at,
            lost,
            reader: PartitionReader::new(Arc::clone(store), id, at, Isolation::Committed),
            buffer: VecDeque::new(),
            bad: None,
            taken: 0,
        }
    }

    /// Reads more when nothing is left to take.
    pub(crate) fn fill(&mut self, bytes: usize) -> Result<(), StoreError> {
        if self.taken < self.buffer.len() || self.bad.is_some() {
            return Ok(());
        }
        match self.reader.next(bytes) {
            Ok(records) => self.buffer.extend(records),
            Err(StoreError::BadBatch(_)) => self.bad = self.reader.skip_bad(),
            Err(StoreError::OffsetOutOfRange { asked, start, .. })
                if asked < start && self.buffer.is_empty() =>
            {
                let lost = u64::try_from(start - asked).unwrap_or(0);
                tracing::warn!(
                    topic = &*self.topic,
                    partition = self.number,
                    lost,
                    "records removed before they were read"
                );
                self.lost += lost;
                self.at = start;
                self.reader.seek(start);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Hands out the next record; it stays in the buffer until [`Part::pass`].
    pub(crate) fn take(&mut self) -> Option<Record> {
        let record = self.buffer.get(self.taken)?.clone();
        self.taken += 1;
        Some(record)
    }

    /// Only the first `count` of the taken records are used; the others are taken again later.
    pub(crate) fn keep(&mut self, count: usize) {
        debug_assert!(count <= self.taken, "more records used than taken");
        self.taken = count;
    }

    /// What a commit that uses the taken records has to say.
    pub(crate) fn passed(&self) -> Passed {
        let all = self.taken == self.buffer.len();
        let (next, bad) = match (self.buffer.get(self.taken), &self.bad) {
            (Some(record), _) => (record.offset, 0),
            (None, Some(bad)) => {
                (bad.last_offset + 1, bad.last_offset + 1 - bad.first_offset.max(self.at))
            }
            (None, None) => (self.reader.position(), 0),
        };
        let bad = u64::try_from(bad).unwrap_or(0);
        debug_assert!(all || bad == 0, "a bad batch follows the buffer");
        let passed = u64::try_from(next - self.at).unwrap_or(0);
        Passed { next, skipped: passed.saturating_sub(self.taken as u64 + bad), bad }
    }

    /// The batch that [`Part::passed`] counts as bad.
    pub(crate) fn bad(&self) -> Option<&BadBatch> {
        if self.taken == self.buffer.len() { self.bad.as_ref() } else { None }
    }

    /// The commit is durable.
    pub(crate) fn pass(&mut self, passed: Passed) {
        if self.taken == self.buffer.len() {
            self.bad = None;
        }
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.at = passed.next;
    }

    /// Offsets of this partition that wait.
    pub(crate) fn lag(&self, store: &dyn Store) -> u64 {
        let stable = store.ends(self.id).map_or(0, |ends| ends.stable);
        u64::try_from(stable - self.at).unwrap_or(0)
    }
}
