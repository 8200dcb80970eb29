//! A partition as its readers see it: only what is durable. The writer publishes into it after
//! the sync; readers take a short lock for the ends and shared handles, then read without it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use yeoul_base::store::{PartEnds, Read};
use yeoul_base::{Offset, PartId, StoreError};

use crate::batch::{self, BatchHeader};
use crate::damage::Damage;
use crate::locked;
use crate::quarantine::{self, Lost, Ranges};
use crate::segment::LogSegment;
use crate::topics::PartConfig;

/// A batch in memory; its bytes are a slice of the group it was committed with.
#[derive(Debug, Clone)]
pub(crate) struct TailBatch {
    pub(crate) base: Offset,
    pub(crate) last: Offset,
    pub(crate) bytes: Bytes,
}

#[derive(Debug)]
struct Inner {
    ends: PartEnds,
    config: PartConfig,
    /// By base offset; the last one is appended to.
    segments: Vec<Arc<LogSegment>>,
    /// The newest batches, without gaps up to `ends.high`; older ones are in `segments`.
    tail: VecDeque<TailBatch>,
    /// What was acknowledged and cannot be read any more.
    lost: Ranges,
    /// The topic was deleted while somebody held this.
    gone: bool,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) id: PartId,
    inner: Mutex<Inner>,
}

impl Part {
    pub(crate) fn new(
        id: PartId,
        config: PartConfig,
        start: Offset,
        high: Offset,
        segments: Vec<Arc<LogSegment>>,
    ) -> Self {
        let bytes = segments.iter().map(|segment| segment.len_bytes()).sum();
        let ends = PartEnds { start, stable: high, high, bytes };
        let tail = VecDeque::new();
        let lost = Ranges::default();
        Self { id, inner: Mutex::new(Inner { ends, config, segments, tail, lost, gone: false }) }
    }

    pub(crate) fn ends(&self) -> PartEnds {
        locked(&self.inner).ends
    }

    pub(crate) fn config(&self) -> PartConfig {
        locked(&self.inner).config
    }

    pub(crate) fn set_config(&self, config: PartConfig) {
        locked(&self.inner).config = config;
    }

    pub(crate) fn set_gone(&self) {
        locked(&self.inner).gone = true;
    }

    /// Shows batches that are durable now.
    pub(crate) fn publish(&self, batches: impl Iterator<Item = TailBatch>) {
        let mut inner = locked(&self.inner);
        for batch in batches {
            debug_assert_eq!(batch.base, inner.ends.high, "offsets have no gaps");
            inner.ends.high = batch.last + 1;
            // No transactions yet: what is durable is decided.
            inner.ends.stable = inner.ends.high;
            inner.ends.bytes += batch.bytes.len() as u64;
            inner.tail.push_back(batch);
        }
    }

    /// Recovery's way: the batches are in the segments already.
    pub(crate) fn set_high(&self, high: Offset) {
        let mut inner = locked(&self.inner);
        inner.ends.high = high;
        inner.ends.stable = high;
    }

    /// Sums up the segments' bytes once recovery has written them.
    pub(crate) fn recount(&self) {
        let mut inner = locked(&self.inner);
        inner.ends.bytes = inner.segments.iter().map(|segment| segment.len_bytes()).sum();
    }

    pub(crate) fn add_segment(&self, segment: Arc<LogSegment>) {
        locked(&self.inner).segments.push(segment);
    }

    /// By base offset.
    pub(crate) fn segments(&self) -> Vec<Arc<LogSegment>> {
        locked(&self.inner).segments.clone()
    }

    /// The segment that is appended to.
    pub(crate) fn active(&self) -> Option<Arc<LogSegment>> {
        locked(&self.inner).segments.last().map(Arc::clone)
    }

    /// Moves the start up; returns segments that hold nothing readable any more.
    pub(crate) fn set_start(&self, start: Offset) -> Vec<Arc<LogSegment>> {
        let mut inner = locked(&self.inner);
        inner.ends.start = inner.ends.start.max(start).min(inner.ends.high);
        let (start, high) = (inner.ends.start, inner.ends.high);
        let mut gone = Vec::new();
        while !inner.segments.is_empty()
            && inner.segments.get(1).map_or(high, |next| next.base) <= start
        {
            let segment = inner.segments.remove(0);
            inner.ends.bytes = inner.ends.bytes.saturating_sub(segment.len_bytes());
            gone.push(segment);
        }
        gone
    }

    /// Forgets batches up to `last` that are in the segments.
    pub(crate) fn trim_tail(&self, last: Offset) {
        let mut inner = locked(&self.inner);
        while inner.tail.front().is_some_and(|batch| batch.last <= last) {
            inner.tail.pop_front();
        }
    }

    /// From the batch that holds `from`; where that was compacted away, from the next one.
    pub(crate) fn read(&self, from: Offset, max_bytes: usize) -> Result<Read, StoreError> {
        let mut at = from;
        loop {
            let (ends, place) = self.place(from, at, max_bytes)?;
            let (segment, end) = match place {
                Place::Nothing => return Ok(Read { ends, ..Read::default() }),
                Place::Memory(batches) => return Ok(Read { batches, ends, ..Read::default() }),
                Place::File(place, segment, end) => {
                    at = place;
                    (segment, end)
                }
            };
            match segment.read(at, end, max_bytes) {
                Ok(Some(bytes)) => {
                    return Ok(Read { batches: vec![bytes], ends, aborted: Vec::new() });
                }
                // All from here on was compacted away: what comes next lies behind it.
                Ok(None) => at = segment.end(),
                // It was dropped or compacted meanwhile: what holds the offset now?
                Err(_) if !self.has(&segment) => {}
                Err(StoreError::Corrupt(what)) => return Err(self.examine(&segment, at, what)),
                Err(error) => return Err(error),
            }
        }
    }

    /// A read met damage: finds out which offsets it took, keeps the bytes and hides the range.
    fn examine(&self, segment: &LogSegment, at: Offset, what: String) -> StoreError {
        let damage = match segment.find_damage(at) {
            Ok(Some(damage)) => damage,
            // It reads well now, or cannot be read at all: nothing is known to be lost.
            Ok(None) => return StoreError::Io(format!("{what}; it read differently after that")),
            Err(error) => return StoreError::Io(format!("{what}; then {error}")),
        };
        let Damage { mut lost, bytes } = damage;
        match quarantine::keep(&**segment.disk(), self.id, (lost.first, lost.last), &bytes) {
            Ok(kept) => lost.reason.push_str(&format!("; the bytes are in {}", kept.display())),
            Err(error) => tracing::warn!(%error, "damaged bytes could not be kept aside"),
        }
        tracing::error!(part = %self.id, lost.first, lost.last, reason = %lost.reason, "lost records");
        let error = lost.error();
        self.lose(lost);
        error
    }

    /// Hides a range from readers; they are told.
    pub(crate) fn lose(&self, lost: Lost) {
        let mut inner = locked(&self.inner);
        if let Some((file, hole)) = &lost.hole
            && let Some(segment) = inner.segments.iter().find(|segment| segment.id == *file)
        {
            segment.add_hole(*hole);
        }
        inner.lost.put(lost);
    }

    /// The range that was found damaged and begins at `first`.
    pub(crate) fn lost(&self, first: Offset) -> Option<Lost> {
        locked(&self.inner).lost.holding(first).cloned()
    }

    fn has(&self, segment: &Arc<LogSegment>) -> bool {
        locked(&self.inner).segments.iter().any(|own| Arc::ptr_eq(own, segment))
    }

    /// Where the first batch from `at` on is, for a reader that asked for `from`.
    fn place(
        &self,
        from: Offset,
        at: Offset,
        max_bytes: usize,
    ) -> Result<(PartEnds, Place), StoreError> {
        let inner = locked(&self.inner);
        if inner.gone {
            return Err(StoreError::UnknownPartition(self.id));
        }
        let ends = inner.ends;
        if from < ends.start || from > ends.high {
            let (start, high) = (ends.start, ends.high);
            return Err(StoreError::OffsetOutOfRange { asked: from, start, high });
        }
        let mut at = at;
        while let Some(lost) = inner.lost.holding(at) {
            if !lost.accepted {
                return Err(lost.error());
            }
            at = lost.last + 1;
        }
        if at >= ends.high {
            return Ok((ends, Place::Nothing));
        }
        let end = inner.lost.next_after(at).map_or(ends.high, |lost| ends.high.min(lost.first));
        if inner.tail.front().is_some_and(|batch| batch.base <= at) {
            return Ok((ends, Place::Memory(tail_from(&inner.tail, at, max_bytes))));
        }
        let after = inner.segments.partition_point(|segment| segment.base <= at);
        let before = after.checked_sub(1).and_then(|index| inner.segments.get(index));
        // Between two log segments there is what compaction left nothing of.
        let holds = before.filter(|segment| at < segment.end());
        let segment = holds.or_else(|| inner.segments.get(after));
        if let Some(segment) = segment {
            return Ok((ends, Place::File(at, Arc::clone(segment), end)));
        }
        match inner.tail.front() {
            Some(first) => Ok((ends, Place::Memory(tail_from(&inner.tail, first.base, max_bytes)))),
            None => {
                let what = format!("partition {}: no log segment has {at}", self.id);
                Err(StoreError::Corrupt(what))
            }
        }
    }

    /// The first record at or after the time.
    pub(crate) fn offset_at(&self, timestamp_ms: i64) -> Result<Option<(Offset, i64)>, StoreError> {
        const STEP_BYTES: usize = 1 << 20;
        let (start, segment, tail) = {
            let inner = locked(&self.inner);
            let reaches = |segment: &&Arc<LogSegment>| {
                segment.max_timestamp_ms() >= timestamp_ms && segment.len_bytes() > 0
            };
            let segment = inner.segments.iter().find(reaches).map(Arc::clone);
            let tail = inner.tail.front().map_or(inner.ends.high, |batch| batch.base);
            (inner.ends.start, segment, tail)
        };
        let candidate = match segment {
            // Where its headers are damaged, the read below finds out.
            Some(segment) => match segment.seek_time(timestamp_ms) {
                Err(StoreError::Corrupt(_)) => segment.base,
                sought => sought?,
            },
            // Only what no file has yet can be as new.
            None => tail,
        };
        let mut from = candidate.max(start);
        loop {
            let read = match self.read(from, STEP_BYTES) {
                Ok(read) => read,
                // Retention was faster: what is left is newer.
                Err(StoreError::OffsetOutOfRange { start, .. }) if from < start => {
                    from = start;
                    continue;
                }
                Err(StoreError::Quarantined { last, .. }) => {
                    from = last + 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let before = from;
            for bytes in read.batches {
                for batch in batch::split(bytes) {
                    let batch = batch?;
                    let header = BatchHeader::parse(&batch)?;
                    if header.max_timestamp_ms >= timestamp_ms && !header.is_control() {
                        let found = first_at(&batch, from, timestamp_ms);
                        if found.is_some() {
                            return Ok(found);
                        }
                    }
                    from = header.last_offset() + 1;
                }
            }
            if from == before {
                return Ok(None);
            }
        }
    }
}

/// Where a read finds its first batch.
enum Place {
    Nothing,
    Memory(Vec<Bytes>),
    /// From the first offset on, below the second.
    File(Offset, Arc<LogSegment>, Offset),
}

/// A batch that does not decode has no records to be found.
fn first_at(batch: &Bytes, from: Offset, timestamp_ms: i64) -> Option<(Offset, i64)> {
    batch::records(batch)
        .ok()?
        .map_while(Result::ok)
        .find(|record| record.offset >= from && record.timestamp_ms >= timestamp_ms)
        .map(|record| (record.offset, record.timestamp_ms))
}

fn tail_from(tail: &VecDeque<TailBatch>, from: Offset, max_bytes: usize) -> Vec<Bytes> {
    let first = tail.partition_point(|batch| batch.last < from);
    let mut size = 0usize;
    tail.range(first..)
        .take_while(|batch| {
            let fits = size == 0 || size + batch.bytes.len() <= max_bytes;
            size += batch.bytes.len();
            fits
        })
        .map(|batch| batch.bytes.clone())
        .collect()
}
