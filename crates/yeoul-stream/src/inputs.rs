//! The input partitions of a component, and one epoch's share of their records.

use std::sync::Arc;

use yeoul_base::limits::{EPOCH_BYTES_MAX, EPOCH_RECORDS_MAX};
use yeoul_base::{Store, StoreError, TopicInfo, WatchGuard, Watched};

use crate::input::Taken;
use crate::part::Part;
use crate::status::{Bell, waker};

/// Least bytes asked of a partition, so that many partitions do not read crumbs.
const READ_BYTES_MIN: usize = 64 << 10;

/// How much one epoch takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { records: EPOCH_RECORDS_MAX, bytes: EPOCH_BYTES_MAX }
    }
}

/// All partitions of one topic.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) topic: Arc<TopicInfo>,
    pub(crate) parts: Vec<Part>,
    watches: Vec<WatchGuard>,
}

/// Records of one input in one epoch.
#[derive(Debug, Default)]
pub(crate) struct Share {
    pub(crate) records: Vec<Taken>,
    /// Of each record its place in [`Input::parts`].
    pub(crate) parts: Vec<usize>,
    pub(crate) bytes: usize,
}

impl Input {
    /// Of the topic as it is now; `at` says where each partition goes on: offset and what was
    /// lost so far, `None` for the start of the log.
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        topic: Arc<TopicInfo>,
        bell: &Arc<Bell>,
        at: impl Fn(u32) -> Option<(i64, u64)>,
    ) -> Self {
        let mut parts = Vec::new();
        let mut watches = Vec::new();
        for (number, id) in (0u32..).zip(topic.partitions.iter().copied()) {
            let start = store.ends(id).map_or(0, |ends| ends.start);
            let (offset, lost) = at(number).unwrap_or((start, 0));
            parts.push(Part::new(store, &topic, number, id, offset, lost));
            watches.push(store.watch(Watched::Part(id), waker(bell)));
        }
        Self { topic, parts, watches }
    }

    /// Whether the topic is still this one, with these partitions.
    pub(crate) fn is_current(&self, store: &dyn Store) -> bool {
        debug_assert_eq!(self.watches.len(), self.parts.len());
        store.topics().get(&self.topic.name).is_some_and(|topic| {
            topic.id == self.topic.id && topic.partitions == self.topic.partitions
        })
    }

    /// Takes records in turn from each partition, the one after `first` first, until the limits.
    pub(crate) fn take(&mut self, limits: Limits, first: usize) -> Result<Share, StoreError> {
        let mut share = Share::default();
        let count = self.parts.len().max(1);
        for turn in 0..count {
            let index = (first + turn) % count;
            let Some(part) = self.parts.get_mut(index) else { continue };
            part.keep(0);
            let left = limits.bytes.saturating_sub(share.bytes);
            part.fill(left.max(READ_BYTES_MIN))?;
            while share.records.len() < limits.records
                && (share.bytes < limits.bytes || share.records.is_empty())
                && let Some(record) = part.take()
            {
                share.bytes += record.value.as_ref().map_or(0, bytes::Bytes::len)
                    + record.key.as_ref().map_or(0, bytes::Bytes::len);
                share.records.push(Taken { partition: part.number, record });
                share.parts.push(index);
            }
        }
        Ok(share)
    }

    /// Only the first records of the share are used.
    pub(crate) fn keep(&mut self, share: &Share, records: usize) {
        for (index, part) in self.parts.iter_mut().enumerate() {
            let used = share.parts.iter().take(records).filter(|at| **at == index).count();
            part.keep(used);
        }
    }

    pub(crate) fn lag(&self, store: &dyn Store) -> u64 {
        self.parts.iter().map(|part| part.lag(store)).sum()
    }
}
