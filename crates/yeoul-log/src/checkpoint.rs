//! Checkpoints: sync the log segments that were written to, then write a snapshot. Only after it
//! are slots used again and files removed, and only those that neither of the two newest
//! snapshots needs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use yeoul_base::{Disk, PartId};

use crate::core::Core;
use crate::paths::{self, FileId};
use crate::planted::{self, Planted};
use crate::producers;
use crate::rebuild::JobError;
use crate::segment::LogSegment;
use crate::snapshot::{self, Kept, PartState, Snapshot};
use crate::splitter::{has_no_file_left, is_full};

/// Snapshots that stay.
const KEPT: usize = 2;

/// An immutable clone of what a checkpoint writes; runs without the writer.
#[derive(Debug)]
pub(crate) struct CheckpointJob {
    disk: Arc<dyn Disk>,
    snapshot: Snapshot,
    dirty: BTreeMap<FileId, Arc<LogSegment>>,
    dirty_dirs: Vec<PartId>,
    /// Bytes of commit log since the checkpoint before.
    since: u64,
    /// Closed log segments that have no checksum file yet, by their place in the snapshot.
    closing: Vec<(usize, usize, Arc<LogSegment>)>,
    /// Of files it is the first not to name.
    replaced_bytes: u64,
}

impl CheckpointJob {
    /// Syncs files, then folders, then writes the snapshot: it must not speak of bytes that a
    /// power cut could take.
    pub(crate) fn run(&mut self) -> Result<Kept, JobError> {
        for segment in self.dirty.values() {
            if planted::is(Planted::SnapshotBeforeSegments) {
                break;
            }
            let file = segment.file().map_err(JobError::Other)?;
            if planted::is(Planted::SegmentSyncAgain) && file.sync_data().is_err() {
                continue;
            }
            file.sync_data().map_err(|error| JobError::Sync(segment.id, error))?;
        }
        self.sum_up();
        let unnamed = planted::is(Planted::NoSegmentNames);
        for part in self.dirty_dirs.iter().filter(|_| !unnamed) {
            self.disk.sync_dir(&paths::part_dir(*part)).map_err(folder)?;
        }
        self.disk.sync_dir(Path::new(paths::PARTS_DIR)).map_err(folder)?;
        self.snapshot.write(&*self.disk).map_err(JobError::Other)
    }

    /// Writes the checksum files of what was closed. What cannot be summed up now (it was
    /// damaged already, or the disk is full) is tried again with the next checkpoint: until then
    /// only its batches' own checksums speak for it.
    fn sum_up(&mut self) {
        for (part, index, segment) in &self.closing {
            if let Err(error) = segment.sum_up() {
                tracing::warn!(%error, "no checksum file");
                continue;
            }
            let part = self.snapshot.parts.get_mut(*part);
            if let Some(known) = part.and_then(|part| part.segments.get_mut(*index)) {
                known.sum = segment.sum();
            }
        }
    }
}

/// A folder that could not be opened was not synced, so its sync has not failed.
fn folder(error: std::io::Error) -> JobError {
    if has_no_file_left(&error) { JobError::Other(error) } else { JobError::Folder(error) }
}

impl Core {
    pub(crate) fn checkpoint_due(&self) -> bool {
        let last = self.kept.last().map_or(0, |kept| kept.bytes);
        let due = self.options.checkpoint_bytes.max(last.saturating_mul(4));
        // Files that compaction replaced stay until a snapshot names what took their place.
        let replaced = self.replaced_bytes > due;
        // Two snapshots are kept: what they need must fit twice into the commit log, and there
        // must be room for what comes meanwhile.
        let due = self.since_checkpoint > due.min(self.options.wal_bytes_max / 4)
            || self.rolled_since_checkpoint > self.options.rolled_files_max;
        (due || replaced || self.checkpoint_wanted || self.space.wants_checkpoint())
            && !self.checkpoint_is_full()
    }

    /// The whole of it at once.
    pub(crate) fn checkpoint(&mut self) {
        if let Some(mut job) = self.begin_checkpoint() {
            let result = job.run();
            self.finish_checkpoint(job, result);
        }
    }

    /// Whether a checkpoint would make anything new.
    pub(crate) fn can_checkpoint(&self) -> bool {
        let name = paths::snapshot_name(self.shared.incarnation, self.state.sequence);
        let done =
            self.replaced_bytes == 0 && self.kept.last().is_some_and(|kept| kept.name == name);
        let can = !self.checkpointing && !done && !self.ring.is_stuck();
        can && self.shared.fatal().is_none()
    }

    /// `None` when there is nothing new, one is under way, or batches wait for their files.
    pub(crate) fn begin_checkpoint(&mut self) -> Option<CheckpointJob> {
        self.checkpoint_wanted = false;
        self.split();
        // A snapshot must not speak of more than the commit log has.
        if !self.settle() || !self.mend_pending() || !self.can_checkpoint() {
            return None;
        }
        let incarnation = self.shared.incarnation;
        self.checkpointing = true;
        let since = std::mem::take(&mut self.since_checkpoint);
        self.rolled_since_checkpoint = 0;
        let replaced_bytes = std::mem::take(&mut self.replaced_bytes);
        self.forget_producers(self.clock.now_ms());
        let mut parts: Vec<_> = self
            .state
            .lanes
            .values()
            .map(|lane| PartState {
                id: lane.part.id,
                start: lane.start,
                high: lane.next,
                compacted: lane.compaction.upto,
                segments: lane.part.segment_states(),
                producers: lane.producers.clone(),
            })
            .collect();
        parts.sort_by_key(|part| part.id);
        let closing = self.closing(&parts);
        let snapshot = Snapshot {
            incarnation,
            sequence: self.synced,
            chain: self.chain,
            salt: self.salt,
            parts,
            facts: self.state.facts.clone(),
            held: self.held_batches(),
        };
        Some(CheckpointJob {
            disk: Arc::clone(&self.disk),
            snapshot,
            dirty: std::mem::take(&mut self.dirty),
            dirty_dirs: std::mem::take(&mut self.dirty_dirs).into_iter().collect(),
            since,
            closing,
            replaced_bytes,
        })
    }

    fn closing(&mut self, parts: &[PartState]) -> Vec<(usize, usize, Arc<LogSegment>)> {
        let mut closing = Vec::new();
        for (place, part) in parts.iter().enumerate() {
            let Some(lane) = self.state.lanes.get(&part.id) else { continue };
            let segments = lane.part.segments();
            let newest = segments.len().saturating_sub(1);
            for (index, segment) in segments.into_iter().enumerate() {
                let closed = index < newest || segment.is_closed();
                let known = part.segments.iter().position(|known| known.base == segment.base);
                if let (true, None, Some(known)) = (closed, segment.sum(), known)
                    && !segment.has_gaps()
                {
                    self.dirty_dirs.insert(part.id);
                    closing.push((place, known, segment));
                }
            }
        }
        closing
    }

    /// Producers silent for a day are not kept, unless a transaction of theirs is open.
    pub(crate) fn forget_producers(&mut self, now_ms: i64) {
        let before = now_ms.saturating_sub(producers::EXPIRY_MS);
        for lane in self.state.lanes.values_mut() {
            lane.producers.retain(|_, producer| !producer.is_stale(before));
        }
    }

    pub(crate) fn finish_checkpoint(&mut self, job: CheckpointJob, result: Result<Kept, JobError>) {
        self.checkpointing = false;
        let full = matches!(&result, Err(JobError::Other(error)) if is_full(error));
        self.space.checkpointed(full.then(|| self.clock.monotonic()));
        match result {
            Ok(kept) => {
                let now_ms = self.clock.now_ms();
                self.shared.note(|stats| {
                    stats.checkpoint_sequence = kept.sequence;
                    stats.checkpoint_ms = now_ms;
                });
                self.checkpoint_done(&job.dirty, &kept);
                self.look_again = true;
                self.kept.retain(|old| old.name != kept.name);
                self.kept.push(kept);
                self.release(job);
                self.collect();
            }
            Err(error) => {
                let CheckpointJob { dirty, dirty_dirs, since, replaced_bytes, .. } = job;
                self.since_checkpoint += since;
                self.replaced_bytes += replaced_bytes;
                // Others may have taken their place meanwhile.
                let there = |(id, segment): &(FileId, Arc<LogSegment>)| {
                    let lane = self.state.lanes.get(&id.part);
                    lane.is_some_and(|lane| lane.part.has(segment))
                };
                let dirty: Vec<_> = dirty.into_iter().filter(there).collect();
                self.dirty.extend(dirty);
                self.dirty_dirs.extend(dirty_dirs);
                self.checkpoint_failed(error);
                // What was deleted meanwhile.
                self.free_gone();
            }
        }
    }

    /// Files that are synced and no longer written to need not stay open.
    fn release(&self, job: CheckpointJob) {
        for (id, segment) in job.dirty {
            let lane = self.state.lanes.get(&id.part);
            let active = lane.and_then(|lane| lane.part.active());
            let busy = active.is_some_and(|active| active.id == id);
            if !busy && !self.dirty.contains_key(&id) {
                segment.release();
            }
        }
    }

    /// Removes what only older snapshots needed. What cannot be removed now is found again by
    /// the next start.
    pub(crate) fn collect(&mut self) {
        while self.kept.len() > KEPT {
            let old = self.kept.remove(0);
            if let Err(error) = self.disk.remove_file(&snapshot::path(&old.name)) {
                tracing::warn!(%error, snapshot = %old.name, "cannot be removed");
            }
        }
        let newest = planted::is(Planted::ReuseSlotTooEarly);
        let oldest = if newest { self.kept.last() } else { self.kept.first() };
        let oldest = oldest.map_or(0, |kept| kept.sequence);
        for number in self.slots.reclaim(oldest + 1) {
            if let Err(error) = self.disk.remove_file(&paths::slot(number)) {
                tracing::warn!(%error, number, "a slot cannot be removed");
            }
        }
        self.remove_doomed(false);
        self.free_gone();
    }
}
