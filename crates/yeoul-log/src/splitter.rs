//! The splitter: puts the batches of the commit log into their partitions' files, unsynced, and
//! keeps the newest of them in memory for readers that follow closely.
//!
//! It lets some gather first, so that a file grows by a few large writes and not by one for each
//! group. Nothing depends on when: readers find in memory what no file has, and a checkpoint
//! splits all there is before it begins.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use yeoul_base::{Disk, Offset, PartId};

use crate::core::Core;
use crate::part::{Part, TailBatch};
use crate::paths::{self, FileId};
use crate::planted::{self, Planted};
use crate::segment::{LogSegment, WRITE_BYTES};

/// What waits for its file waits no longer than this, if the file can grow.
const SPLIT_AFTER: Duration = Duration::from_millis(20);

type Waiting = (Arc<Part>, i64, TailBatch);

/// Some groups of the commit log that are split together.
#[derive(Debug)]
struct RingGroup {
    bytes: usize,
    batches: Vec<Waiting>,
    /// How many of the batches are in their files. They are in the files' order from the first
    /// one on.
    split: usize,
    /// When the first of them came.
    since: Duration,
}

/// Groups in memory: those not wholly in files, and behind them the newest that are.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    unsplit: VecDeque<RingGroup>,
    hot: VecDeque<RingGroup>,
    unsplit_bytes: usize,
    hot_bytes: usize,
    /// The last attempt left some behind: their files cannot grow.
    stuck: bool,
    /// Batches on their way into one write; empty between writes.
    together: Vec<u8>,
}

impl Ring {
    /// With others that wait, up to `together` bytes.
    pub(crate) fn push(
        &mut self,
        bytes: usize,
        mut batches: Vec<Waiting>,
        (together, now): (usize, Duration),
    ) {
        if batches.is_empty() {
            return;
        }
        self.unsplit_bytes += bytes;
        match self.unsplit.back_mut() {
            Some(last) if last.split == 0 && last.bytes + bytes <= together => {
                last.bytes += bytes;
                last.batches.append(&mut batches);
            }
            _ => self.unsplit.push_back(RingGroup { bytes, batches, split: 0, since: now }),
        }
    }

    /// Whether something waits because its file cannot grow.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck
    }

    pub(crate) fn unsplit_bytes(&self) -> usize {
        self.unsplit_bytes
    }

    /// The first batch of a partition that no file has.
    pub(crate) fn first_unsplit(&self, id: PartId) -> Option<Offset> {
        let left = self.unsplit.iter().flat_map(|group| group.batches.iter().skip(group.split));
        left.filter(|(part, ..)| part.id == id).map(|(_, _, batch)| batch.base).next()
    }

    /// Takes out what no file has and nobody can read any more.
    fn drop_unsplit(&mut self, is_gone: impl Fn(&Part, &TailBatch) -> bool) -> Vec<Waiting> {
        let mut dropped = Vec::new();
        for group in &mut self.unsplit {
            let waiting = group.batches.split_off(group.split.min(group.batches.len()));
            let (gone, left): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|(part, _, batch)| is_gone(part, batch));
            group.batches.extend(left);
            dropped.extend(gone);
        }
        let bytes = &mut self.unsplit_bytes;
        self.unsplit.retain(|group| {
            let keep = !group.batches.is_empty();
            *bytes -= if keep { 0 } else { group.bytes };
            keep
        });
        self.stuck &= self.unsplit_bytes > 0;
        dropped
    }

    fn trim(&mut self, hot_bytes: usize) {
        while self.hot_bytes > hot_bytes
            && let Some(group) = self.hot.pop_front()
        {
            self.hot_bytes -= group.bytes;
            for (part, _, batch) in group.batches {
                part.trim_tail(batch.last);
            }
        }
    }
}

impl Core {
    /// Batches below their partition's start, or of deleted partitions, need no file any more.
    pub(crate) fn drop_gone(&mut self) {
        let lanes = &self.state.lanes;
        let dropped = self.ring.drop_unsplit(|part, batch| {
            !lanes.contains_key(&part.id) || batch.last < part.ends().start
        });
        for (part, _, batch) in dropped {
            let begun = part.skip(batch.last, batch.bytes.len() as u64);
            self.doomed.extend(begun.map(|segment| segment.id));
        }
    }

    /// Splits what has gathered, or waited, long enough; and tries again what could not be.
    pub(crate) fn split_if_due(&mut self) {
        if self.ring.stuck || self.split_in() == Some(Duration::ZERO) {
            self.split();
        }
        while self.ring.unsplit_bytes > self.options.split_bytes && !self.ring.stuck {
            self.split_first();
        }
        self.ring.trim(self.options.hot_bytes);
    }

    /// How long what waits may go on waiting; `None`: nothing waits, or not for that.
    pub(crate) fn split_in(&self) -> Option<Duration> {
        let first = self.ring.unsplit.front().filter(|_| !self.ring.stuck)?;
        let waited = self.clock.monotonic().saturating_sub(first.since);
        Some(SPLIT_AFTER.saturating_sub(waited))
    }

    /// Puts all that waits into files. What cannot be written now (a full disk) stays in memory
    /// and is tried again with the next group.
    pub(crate) fn split(&mut self) {
        self.ring.stuck = false;
        while self.ring.unsplit_bytes > 0 && !self.ring.stuck {
            self.split_first();
        }
        self.ring.trim(self.options.hot_bytes);
    }

    fn split_first(&mut self) {
        if let Some(mut group) = self.ring.unsplit.pop_front() {
            if group.split == 0 {
                // Each partition's batches beside each other and in their order: one write takes
                // several of them.
                group.batches.sort_by_key(|(part, ..)| part.id);
            }
            while let Some(left @ [(part, ..), ..]) = group.batches.get(group.split..) {
                let part = Arc::clone(part);
                match self.split_some(left) {
                    Ok(count) => group.split += count,
                    Err(error) => {
                        self.ring.unsplit.push_front(group);
                        self.ring.stuck = true;
                        if is_full(&error) {
                            tracing::warn!(%error, "log segments cannot grow, batches wait");
                            self.free_gone();
                        } else if self.part_failed(part.id, &error) {
                            // The same batch again, to another file or to none.
                            self.split();
                        }
                        return;
                    }
                }
            }
            self.ring.unsplit_bytes -= group.bytes;
            self.ring.hot_bytes += group.bytes;
            self.ring.hot.push_back(group);
        }
    }

    /// Adds the first batch to its partition's newest file, or to a new one when that is full,
    /// and with the same write those behind it that fit. Returns how many it took.
    pub(crate) fn split_some(&mut self, waiting: &[Waiting]) -> io::Result<usize> {
        let Some((part, _, batch)) = waiting.first() else { return Ok(0) };
        if !self.state.lanes.contains_key(&part.id) {
            // Deleted meanwhile.
            return Ok(1);
        }
        if self.hold_batch(part.id, batch) {
            return Ok(1);
        }
        let size = batch.bytes.len() as u64;
        let limit = part.config().segment_bytes;
        let active = part.active().filter(|active| {
            let len = active.len_bytes();
            len == 0 || (!active.is_closed() && len + size <= limit)
        });
        let segment = match active {
            Some(active) => active,
            None => self.roll(part, batch.base)?,
        };
        let room = limit.saturating_sub(segment.len_bytes()).min(WRITE_BYTES as u64);
        let mut bytes = 0;
        let fits = |(other, _, batch): &&Waiting| {
            bytes += batch.bytes.len() as u64;
            other.id == part.id && bytes <= room
        };
        let count = waiting.iter().take_while(fits).count().max(1);
        let taken = waiting.get(..count).unwrap_or_default();
        // Records without a time are as old as their append.
        let now_ms = self.clock.now_ms();
        let time = |(_, time_ms, _): &Waiting| if *time_ms > 0 { *time_ms } else { now_ms };
        let newest_ms = taken.iter().map(time).max().unwrap_or(now_ms);
        if let [.., (_, _, last)] = taken
            && count > 1
        {
            let together = &mut self.ring.together;
            taken.iter().for_each(|(_, _, batch)| together.extend_from_slice(&batch.bytes));
            let appended = segment.append(together, last.last, newest_ms);
            together.clear();
            appended?;
        } else {
            segment.append(&batch.bytes, batch.last, newest_ms)?;
        }
        self.dirty.insert(segment.id, segment);
        Ok(count)
    }

    fn roll(&mut self, part: &Arc<Part>, base: i64) -> io::Result<Arc<LogSegment>> {
        if !self.dirty_dirs.contains(&part.id) {
            self.disk.create_dir_all(&paths::part_dir(part.id))?;
            self.dirty_dirs.insert(part.id);
        }
        let disk: Arc<dyn Disk> = Arc::clone(&self.disk);
        if planted::is(Planted::LoseTailOnRoll)
            && let Some(full) = part.active()
        {
            self.dirty.remove(&full.id);
        }
        let id = FileId::appended(part.id, base);
        let segment = Arc::new(LogSegment::new(disk, id, self.clock.now_ms()));
        part.add_segment(Arc::clone(&segment));
        self.rolled_since_checkpoint += 1;
        Ok(segment)
    }
}

/// Whether an error goes away when somebody makes space, or closes files.
pub(crate) fn is_full(error: &io::Error) -> bool {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    full || has_no_file_left(error)
}

/// Whether something was not even opened, because too much is open.
pub(crate) fn has_no_file_left(error: &io::Error) -> bool {
    const NO_MORE_FILES: [i32; 2] = [23, 24];
    error.raw_os_error().is_some_and(|number| NO_MORE_FILES.contains(&number))
}
