//! A partition as its readers see it: only what is durable. The writer publishes into it after
//! the sync; readers take a short lock for the ends and shared handles, then read without it.
//!
//! Invariant: `start ≤ stable ≤ high`, and no abort is missing below `stable`: batches, aborted
//! ranges and ends move under one lock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use yeoul_base::store::{AbortedTxn, PartEnds, Read};
use yeoul_base::{Isolation, Offset, PartId, StoreError};

use crate::batch::{self, BatchHeader};
use crate::compact::Swap;
use crate::damage::Damage;
use crate::locked;
use crate::paths::FileId;
use crate::quarantine::{self, Lost, Ranges};
use crate::segment::LogSegment;
use crate::snapshot::SegmentState;
use crate::topics::PartConfig;
use crate::txn::{Aborted, AbortedList};

/// A batch in memory; its bytes are a slice of the group it was committed with.
#[derive(Debug, Clone)]
pub(crate) struct TailBatch {
    pub(crate) base: Offset,
    pub(crate) last: Offset,
    pub(crate) bytes: Bytes,
}

/// What a group of commits brought for one partition.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Without gaps from the high watermark on.
    pub(crate) batches: Vec<TailBatch>,
    /// By marker.
    pub(crate) aborted: Vec<Aborted>,
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
    aborted: AbortedList,
    /// Why its files cannot be written, if they cannot.
    read_only: Option<String>,
    /// The topic was deleted while somebody held this.
    gone: bool,
}

impl Inner {
    /// Retention may go beyond what is decided: then nothing is left to be seen of it.
    fn set_stable(&mut self, stable: Offset) {
        self.ends.stable = stable.max(self.ends.start).min(self.ends.high);
    }

    /// What was read from a file up to `next`, and what follows it in memory, if some of it fits.
    fn go_on(
        &self,
        (bytes, next): (Bytes, Offset),
        end: Offset,
        max_bytes: usize,
    ) -> (Vec<Bytes>, Offset) {
        let left = max_bytes.saturating_sub(bytes.len());
        let at = self.tail.partition_point(|batch| batch.last < next);
        let follows = self.tail.get(at).is_some_and(|batch| {
            batch.base == next && batch.base < end && batch.bytes.len() <= left
        });
        let mut batches = vec![bytes];
        if !follows {
            return (batches, next);
        }
        let (more, next) = tail_from(&self.tail, next, end, left);
        batches.extend(more);
        (batches, next)
    }

    fn has(&self, segment: &Arc<LogSegment>) -> bool {
        self.segments.iter().any(|own| Arc::ptr_eq(own, segment))
    }

    fn aborted_for(&self, isolation: Isolation, from: Offset, next: Offset) -> Vec<AbortedTxn> {
        match isolation {
            Isolation::Uncommitted => Vec::new(),
            Isolation::Committed => self.aborted.overlapping(from, next),
        }
    }
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
        ends: PartEnds,
        segments: Vec<Arc<LogSegment>>,
    ) -> Self {
        let bytes = segments.iter().map(|segment| segment.len_bytes()).sum();
        let ends = PartEnds { bytes, ..ends };
        let (tail, lost, aborted, read_only) = Default::default();
        let inner = Inner { ends, config, segments, tail, lost, aborted, read_only, gone: false };
        Self { id, inner: Mutex::new(inner) }
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

    /// Shows batches that are durable now, and up to where everything is decided.
    pub(crate) fn publish(&self, news: News, stable: Offset) {
        let mut inner = locked(&self.inner);
        for batch in news.batches {
            debug_assert_eq!(batch.base, inner.ends.high, "offsets have no gaps");
            inner.ends.high = batch.last + 1;
            inner.ends.bytes += batch.bytes.len() as u64;
            inner.tail.push_back(batch);
        }
        news.aborted.into_iter().for_each(|txn| inner.aborted.push(txn));
        inner.set_stable(stable);
    }

    /// Recovery's way: the batches are in the segments already.
    pub(crate) fn restore(
        &self,
        high: Offset,
        stable: Offset,
        aborted: impl Iterator<Item = Aborted>,
    ) {
        let mut inner = locked(&self.inner);
        inner.ends.high = high;
        aborted.for_each(|txn| inner.aborted.push(txn));
        inner.set_stable(stable);
    }

    /// Sums up what recovery has written, and what waits in memory for space.
    pub(crate) fn recount(&self) {
        let mut inner = locked(&self.inner);
        let files: u64 = inner.segments.iter().map(|segment| segment.len_bytes()).sum();
        let waiting: usize = inner.tail.iter().map(|batch| batch.bytes.len()).sum();
        inner.ends.bytes = files + waiting as u64;
    }

    pub(crate) fn add_segment(&self, segment: Arc<LogSegment>) {
        locked(&self.inner).segments.push(segment);
    }

    /// By base offset.
    pub(crate) fn segments(&self) -> Vec<Arc<LogSegment>> {
        locked(&self.inner).segments.clone()
    }

    /// What a snapshot says of the segments: those with anything in them.
    pub(crate) fn segment_states(&self) -> Vec<SegmentState> {
        let inner = locked(&self.inner);
        let mut from = Offset::MIN;
        let mut states = Vec::with_capacity(inner.segments.len());
        for (index, segment) in inner.segments.iter().enumerate() {
            let len_bytes = segment.len_bytes();
            let to = inner.segments.get(index + 1).map_or(Offset::MAX, |next| next.base);
            if len_bytes > 0 {
                let aborted = inner.aborted.ended_in(from, to).to_vec();
                states.push(SegmentState { aborted, ..segment.known() });
                from = to;
            }
        }
        states
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
        let stable = inner.ends.stable;
        inner.set_stable(stable);
        inner.aborted.drop_before(start);
        let mut gone = Vec::new();
        // The newest ends where its batches do: what waits in memory begins another one, whose
        // base, and so its name, lies behind. An empty one's name could be given again.
        let newest = |segment: &LogSegment| match segment.len_bytes() {
            0 => high,
            _ => segment.end(),
        };
        while let Some(first) = inner.segments.first()
            && inner.segments.get(1).map_or_else(|| newest(first), |next| next.base) <= start
        {
            let segment = inner.segments.remove(0);
            inner.ends.bytes = inner.ends.bytes.saturating_sub(segment.len_bytes());
            gone.push(segment);
        }
        gone
    }

    /// Batches up to `last`, of so many bytes, fell below the start before any file had them. An
    /// empty log segment that was begun for them is returned: the next begins at another offset.
    pub(crate) fn skip(&self, last: Offset, bytes: u64) -> Option<Arc<LogSegment>> {
        self.trim_tail(last);
        let mut inner = locked(&self.inner);
        inner.ends.bytes = inner.ends.bytes.saturating_sub(bytes);
        let empty = inner.segments.last().is_some_and(|newest| newest.len_bytes() == 0);
        if empty { inner.segments.pop() } else { None }
    }

    /// Recovery's way for a batch that finds no space in a file.
    pub(crate) fn wait_in_memory(&self, batch: TailBatch) {
        locked(&self.inner).tail.push_back(batch);
    }

    /// The offset up to which its files were synced by the last checkpoint; `None` without files.
    pub(crate) fn synced_end(&self) -> Option<Offset> {
        let inner = locked(&self.inner);
        let unsynced = |segment: &&Arc<LogSegment>| segment.synced().1 < segment.end();
        let first = inner.segments.iter().find(unsynced).or(inner.segments.last());
        first.map(|segment| segment.synced().1)
    }

    /// Takes what is not synced out of its files, and puts `instead` in its place; returns files
    /// that are not its own any more.
    pub(crate) fn cut_unsynced(&self, instead: Option<Arc<LogSegment>>) -> Vec<FileId> {
        let mut inner = locked(&self.inner);
        let mut gone = Vec::new();
        inner.segments.retain(|segment| {
            let (synced_bytes, synced_end) = segment.synced();
            if synced_end < segment.end() && synced_bytes > 0 {
                segment.cut_unsynced();
            }
            let stays = segment.len_bytes() > 0 && synced_bytes > 0;
            if !stays {
                gone.push(segment.id);
            }
            stays
        });
        inner.segments.extend(instead);
        gone
    }

    /// Keeps batches in memory that no file can have.
    pub(crate) fn hold(&self, batches: &[TailBatch], why: &str) {
        let mut inner = locked(&self.inner);
        inner.tail = batches.to_vec().into();
        inner.read_only = Some(why.to_owned());
    }

    pub(crate) fn read_only(&self) -> Option<String> {
        locked(&self.inner).read_only.clone()
    }

    /// Forgets batches up to `last` that are in the segments.
    pub(crate) fn trim_tail(&self, last: Offset) {
        let mut inner = locked(&self.inner);
        if inner.read_only.is_some() {
            return;
        }
        while inner.tail.front().is_some_and(|batch| batch.last <= last) {
            inner.tail.pop_front();
        }
    }

    /// From the batch that holds `from`; where that was compacted away, from the next one.
    pub(crate) fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Read, StoreError> {
        let mut at = from;
        let mut passed = None;
        loop {
            let (ends, place) = self.place(from, at, max_bytes, isolation)?;
            let (segment, end) = match place {
                Place::Nothing => return Ok(Read { ends, ..Read::default() }),
                Place::Memory(batches, aborted) => return Ok(Read { batches, ends, aborted }),
                Place::File(place, segment, end) => {
                    at = place;
                    (segment, end)
                }
            };
            match segment.read(at, end, max_bytes) {
                Ok(Some((bytes, next))) => {
                    let inner = locked(&self.inner);
                    // Compacted meanwhile: the aborted ranges are those of the new file.
                    if !inner.has(&segment) {
                        continue;
                    }
                    // What fell below the start meanwhile has taken its aborted ranges along.
                    check_range(from, &inner.ends)?;
                    let (batches, next) = inner.go_on((bytes, next), end, max_bytes);
                    let aborted = inner.aborted_for(isolation, from, next);
                    return Ok(Read { batches, ends, aborted });
                }
                // All from here on was compacted away: what comes next lies behind it.
                Ok(None) => {
                    let next = segment.end().min(end);
                    // A file that is not what its name says leads nowhere, again and again.
                    if next <= at || passed == Some(at) {
                        return Err(segment.corrupt(0, &format!("nothing from offset {at} on")));
                    }
                    passed = Some(at);
                    at = next;
                }
                // It was dropped or compacted meanwhile: what holds the offset now?
                Err(_) if !self.has(&segment) => {}
                // Damage further on in the file can keep an index from being built: around it
                // the offset may be read.
                Err(StoreError::Corrupt(what)) => self.examine(&segment, at, what)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// A read met damage: finds out which offsets it took, keeps the bytes and hides the range.
    fn examine(&self, segment: &LogSegment, at: Offset, what: String) -> Result<(), StoreError> {
        let damage = match segment.find_damage(at) {
            Ok(Some(damage)) if self.lost(damage.lost.first).is_none() => damage,
            // It reads well now, or cannot be read at all: nothing is known to be lost.
            Ok(_) => {
                return Err(StoreError::Io(format!("{what}; it read differently after that")));
            }
            Err(error) => return Err(StoreError::Io(format!("{what}; then {error}"))),
        };
        let Damage { mut lost, bytes, .. } = damage;
        match quarantine::keep(&**segment.disk(), self.id, (lost.first, lost.last), &bytes) {
            Ok(kept) => lost.reason.push_str(&format!("; the bytes are in {}", kept.display())),
            Err(error) => tracing::warn!(%error, "damaged bytes could not be kept aside"),
        }
        tracing::error!(part = %self.id, lost.first, lost.last, reason = %lost.reason, "lost records");
        let found = (lost.first <= at).then(|| lost.error());
        self.lose(lost);
        found.map_or(Ok(()), Err)
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

    /// Puts what compaction made in the place of its sources; false when they are not all there
    /// any more.
    pub(crate) fn swap(&self, swap: &Swap) -> bool {
        let mut inner = locked(&self.inner);
        let Some(first) = swap.old.first() else { return false };
        let at = inner.segments.iter().position(|segment| Arc::ptr_eq(segment, first));
        let Some(at) = at.filter(|_| !inner.gone) else { return false };
        let end = at + swap.old.len();
        let same = inner.segments.get(at..end).is_some_and(|there| {
            there.iter().zip(&swap.old).all(|(there, old)| Arc::ptr_eq(there, old))
        });
        let bytes = |segments: &[Arc<LogSegment>]| -> u64 {
            segments.iter().map(|segment| segment.len_bytes()).sum()
        };
        // Also what was cut meanwhile, to be written anew, is another file.
        if !same || bytes(&swap.old) != swap.old_bytes {
            return false;
        }
        inner.ends.bytes =
            inner.ends.bytes.saturating_sub(swap.old_bytes) + bytes(swap.new.as_slice());
        inner.segments.splice(at..end, swap.new.clone());
        // Without its marker a range would swallow what the producer does later.
        inner.aborted.forget(&swap.markers);
        // What is in memory still has the records that went.
        let end = swap.old.last().map_or(first.base, |last| last.end());
        while inner.tail.front().is_some_and(|batch| batch.base < end) {
            inner.tail.pop_front();
        }
        true
    }

    /// Aborted transactions that begin below `end`.
    pub(crate) fn aborted_before(&self, end: Offset) -> Vec<Aborted> {
        locked(&self.inner).aborted.beginning_before(end)
    }

    pub(crate) fn has(&self, segment: &Arc<LogSegment>) -> bool {
        locked(&self.inner).has(segment)
    }

    /// Where the first batch from `at` on is, for a reader that asked for `from`.
    fn place(
        &self,
        from: Offset,
        at: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<(PartEnds, Place), StoreError> {
        let inner = locked(&self.inner);
        if inner.gone {
            return Err(StoreError::UnknownPartition(self.id));
        }
        let ends = inner.ends;
        check_range(from, &ends)?;
        let mut at = at;
        while let Some(lost) = inner.lost.holding(at) {
            if !lost.accepted {
                return Err(lost.error());
            }
            at = lost.last + 1;
        }
        let seen = match isolation {
            Isolation::Uncommitted => ends.high,
            Isolation::Committed => ends.stable,
        };
        if at >= seen {
            return Ok((ends, Place::Nothing));
        }
        let end = inner.lost.next_after(at).map_or(seen, |lost| seen.min(lost.first));
        let memory = |at| {
            let (batches, next) = tail_from(&inner.tail, at, end, max_bytes);
            Place::Memory(batches, inner.aborted_for(isolation, from, next))
        };
        if inner.tail.front().is_some_and(|batch| batch.base <= at) {
            return Ok((ends, memory(at)));
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
            Some(first) => Ok((ends, memory(first.base))),
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
            let read = match self.read(from, STEP_BYTES, Isolation::Uncommitted) {
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
    Memory(Vec<Bytes>, Vec<AbortedTxn>),
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

fn check_range(from: Offset, ends: &PartEnds) -> Result<(), StoreError> {
    let PartEnds { start, high, .. } = *ends;
    if from < start || from > high {
        return Err(StoreError::OffsetOutOfRange { asked: from, start, high });
    }
    Ok(())
}

/// Batches from the one that holds `from`, none beginning at or after `end`, and the offset after
/// the last of them.
fn tail_from(
    tail: &VecDeque<TailBatch>,
    from: Offset,
    end: Offset,
    max_bytes: usize,
) -> (Vec<Bytes>, Offset) {
    let first = tail.partition_point(|batch| batch.last < from);
    let (mut size, mut next) = (0usize, from);
    let mut batches = Vec::new();
    for batch in tail.range(first..) {
        let fits = batches.is_empty() || size + batch.bytes.len() <= max_bytes;
        if !fits || batch.base >= end {
            break;
        }
        size += batch.bytes.len();
        next = batch.last + 1;
        batches.push(batch.bytes.clone());
    }
    (batches, next)
}
