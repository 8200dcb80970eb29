//! Log segments whose bytes could not be written or synced. What is not synced is all in the
//! commit log still: it is read from there and written anew, once, to another file. When that
//! fails too, the partition takes no more records: its batches stay in memory and ride in the
//! snapshots, so that everything else goes on; the next start tries again.
//!
//! Invariant: a sync that failed is never called again for the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::{Offset, PartId, StoreError};

use crate::batch::BatchHeader;
use crate::core::Core;
use crate::part::{Part, TailBatch};
use crate::paths::{self, FileId};
use crate::segment::LogSegment;
use crate::snapshot::Kept;
use crate::splitter::is_full;
use crate::wal;

/// Why a checkpoint could not be made.
#[derive(Debug)]
pub(crate) enum JobError {
    /// That log segment's sync failed: its unsynced bytes cannot be trusted any more.
    Sync(FileId, io::Error),
    /// A folder's sync failed: which files are there cannot be known.
    Folder(io::Error),
    /// The snapshot could not be written, or a file not be opened.
    Other(io::Error),
}

/// Partitions with trouble.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    /// Written anew since the last checkpoint.
    rebuilt: BTreeSet<PartId>,
    /// To be written anew when there is space.
    pending: BTreeSet<PartId>,
    /// Read-only: their batches that no file has.
    pub(crate) held: BTreeMap<PartId, Vec<TailBatch>>,
    snapshots_failed: u32,
}

impl Core {
    /// Files could not be written. True: they can now, try again.
    pub(crate) fn part_failed(&mut self, part: PartId, error: &io::Error) -> bool {
        let Some(lane) = self.state.lanes.get(&part) else { return true };
        let shown = Arc::clone(&lane.part);
        if self.checkpointing {
            // Its snapshot names the files as they are.
            self.broken.pending.insert(part);
            return false;
        }
        let first_time = self.broken.rebuilt.insert(part);
        tracing::error!(%part, %error, first_time, "a log segment cannot be written");
        let batches = match self.unsynced_batches(&shown) {
            Ok(batches) => batches,
            Err(why) => {
                // Neither file nor commit log: only a start may judge that.
                self.shared.close(format!("partition {part} cannot be written ({error}): {why}"));
                return false;
            }
        };
        if first_time {
            match self.write_anew(&shown, &batches) {
                Ok(()) => return true,
                Err(why) if is_full(&why) => {
                    self.broken.rebuilt.remove(&part);
                    self.broken.pending.insert(part);
                    return false;
                }
                Err(why) => tracing::error!(%part, error = %why, "nor anew"),
            }
        }
        self.make_read_only(&shown, batches, &error.to_string());
        true
    }

    /// Tries what waited for space; false when it still does.
    pub(crate) fn mend_pending(&mut self) -> bool {
        for part in std::mem::take(&mut self.broken.pending) {
            let error = io::Error::other("its files waited for space");
            self.part_failed(part, &error);
        }
        self.broken.pending.is_empty()
    }

    /// What the partition's files should have beyond what the last checkpoint synced, from the
    /// commit log.
    fn unsynced_batches(&self, part: &Part) -> io::Result<Vec<TailBatch>> {
        let Some(kept) = self.kept.last() else { return Ok(Vec::new()) };
        let from = self.rebuild_from(part);
        let to = part.ends().high;
        let all = wal::appends(&*self.disk, kept, self.salt, part.id)?;
        let batches: Vec<_> = all.into_iter().filter(|batch| batch.base >= from).collect();
        let mut next = from;
        for batch in &batches {
            if batch.base != next {
                return Err(io::Error::other(format!("offset {next} is not in the commit log")));
            }
            next = batch.last + 1;
        }
        if next < to {
            return Err(io::Error::other(format!("offset {next} is not in the commit log")));
        }
        Ok(batches)
    }

    fn rebuild_from(&self, part: &Part) -> Offset {
        let unsplit = || self.ring.first_unsplit(part.id);
        part.synced_end().or_else(unsplit).unwrap_or_else(|| part.ends().high)
    }

    /// Puts the batches that were in files into a new one, synced.
    fn write_anew(&mut self, part: &Arc<Part>, batches: &[TailBatch]) -> io::Result<()> {
        let from = self.rebuild_from(part);
        self.disk.create_dir_all(&paths::part_dir(part.id))?;
        let split_to = part.active().map_or(from, |active| active.end());
        let id = FileId::appended(part.id, from);
        // Another file, even by the same name: the old one may lie on bad ground.
        match self.disk.remove_file(&id.log()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let now_ms = self.clock.now_ms();
        let segment = Arc::new(LogSegment::new(Arc::clone(&self.disk), id, now_ms));
        for batch in batches.iter().take_while(|batch| batch.last < split_to) {
            let header = BatchHeader::parse(&batch.bytes).map_err(io::Error::other)?;
            let timestamp = header.max_timestamp_ms;
            let newest_ms = if timestamp > 0 { timestamp } else { now_ms };
            segment.append(&batch.bytes, batch.last, newest_ms)?;
        }
        if segment.len_bytes() > 0 {
            segment.sync()?;
        }
        let replaced = part.cut_unsynced(Some(Arc::clone(&segment)));
        self.forget_files(part.id, replaced, Some(id));
        self.dirty_dirs.insert(part.id);
        if segment.len_bytes() > 0 {
            self.dirty.insert(id, segment);
        }
        Ok(())
    }

    /// No snapshot names them. They go at once, for their names may be given again.
    fn forget_files(&mut self, part: PartId, gone: Vec<FileId>, now: Option<FileId>) {
        self.dirty.retain(|id, _| id.part != part);
        for id in gone.into_iter().filter(|id| Some(*id) != now) {
            // What stays is overwritten, or removed by the next start.
            let _ = self.disk.remove_file(&id.log());
        }
    }

    fn make_read_only(&mut self, part: &Arc<Part>, batches: Vec<TailBatch>, why: &str) {
        tracing::error!(part = %part.id, %why, "the partition is read-only from now on");
        let gone = part.cut_unsynced(None);
        part.hold(&batches, why);
        self.forget_files(part.id, gone, None);
        self.broken.held.insert(part.id, batches);
        self.shared.note(|stats| stats.read_only_parts += 1);
    }

    /// A read-only partition's batch (the end of a transaction) stays with the others; true when
    /// that was its place.
    pub(crate) fn hold_batch(&mut self, part: PartId, batch: &TailBatch) -> bool {
        let Some(held) = self.broken.held.get_mut(&part) else { return false };
        if held.last().is_none_or(|last| last.last < batch.base) {
            held.push(batch.clone());
        }
        true
    }

    pub(crate) fn held_batches(&mut self) -> Vec<(PartId, Bytes)> {
        let lanes = &self.state.lanes;
        self.broken.held.retain(|part, _| lanes.contains_key(part));
        let batches = |(part, held): (&PartId, &Vec<TailBatch>)| {
            let part = *part;
            held.iter().map(move |batch| (part, batch.bytes.clone())).collect::<Vec<_>>()
        };
        self.broken.held.iter().flat_map(batches).collect()
    }

    /// A checkpoint was made: what its files hold is synced.
    pub(crate) fn checkpoint_done(
        &mut self,
        dirty: &BTreeMap<FileId, Arc<LogSegment>>,
        kept: &Kept,
    ) {
        self.broken.rebuilt.clear();
        self.broken.snapshots_failed = 0;
        for (id, segment) in dirty {
            if let Some((len_bytes, end)) = kept.synced.get(id) {
                segment.set_synced(*len_bytes, *end);
            }
        }
    }

    pub(crate) fn checkpoint_failed(&mut self, error: JobError) {
        match error {
            JobError::Sync(id, error) => {
                self.part_failed(id.part, &error);
            }
            JobError::Other(error) if is_full(&error) => {
                tracing::warn!(%error, "no checkpoint: the disk is full");
            }
            // Everything a snapshot says is in the commit log: it may be written anew, once.
            JobError::Other(error) if self.broken.snapshots_failed == 0 => {
                self.broken.snapshots_failed += 1;
                tracing::error!(%error, "a checkpoint failed and will be tried once more");
            }
            JobError::Folder(error) | JobError::Other(error) => {
                self.shared.close(format!("a checkpoint failed: {error}"));
            }
        }
    }
}

/// A read-only partition takes ends of transactions only: without them those would stay open.
pub(crate) fn may_append(part: &Part, header: &BatchHeader) -> Result<(), StoreError> {
    match part.read_only() {
        Some(reason) if !header.is_control() => Err(StoreError::ReadOnly { part: part.id, reason }),
        _ => Ok(()),
    }
}

/// Where the synced part of some log segments ends.
pub(crate) type Synced = BTreeMap<FileId, (u64, Offset)>;
