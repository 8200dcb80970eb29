//! Compaction: of each key only the newest record stays (docs/adr/0008). A job reads closed log
//! segments beside the writer and puts what is left into new files of the next generation; the
//! writer swaps them in between two groups, and the next snapshot names them. A crash before that
//! loses the work and nothing else.
//!
//! What holds: offsets never change; the newest record of a key below the cleaned end stays; a
//! deletion stays `delete.retention.ms` from when it first had an effect, and so does a marker
//! from when its transaction has nothing left; nothing at or above the last stable offset, the
//! slowest hold, or in the log segment that is appended to is touched.

mod keys;
mod output;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use yeoul_base::{Disk, Offset, StoreError};

use crate::batch::{self, BatchHeader};
use crate::core::Core;
use crate::holds;
use crate::pace::Pace;
use crate::part::Part;
use crate::segment::LogSegment;
use crate::state::Lane;
use crate::topics::PartConfig;
use crate::txn::Aborted;
use crate::walk::Walk;

use keys::Keys;
use output::Output;

/// What a partition's compaction remembers between jobs. Only `upto` outlives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// No key has two records below it.
    pub(crate) upto: Offset,
    /// The keys did not fit into memory: go on at once.
    more: bool,
    /// When the next deletion or marker may go.
    horizon_ms: Option<i64>,
    /// A log segment that cannot be read begins there.
    blocked: Option<Offset>,
}

/// One partition's work; runs without the writer.
#[derive(Debug)]
pub(crate) struct CompactJob {
    disk: Arc<dyn Disk>,
    part: Arc<Part>,
    /// All of the partition below `limit`, whole.
    segments: Vec<Arc<LogSegment>>,
    /// Records below are gone already.
    start: Offset,
    /// From here on keys may have two records.
    dirty: Offset,
    limit: Offset,
    /// The last of `segments` is the partition's newest: its last batch stays, so that a reader
    /// always finds the end.
    to_the_end: bool,
    aborted: BTreeMap<i64, Vec<(Offset, Offset)>>,
    config: PartConfig,
    now_ms: i64,
    keys_max: usize,
    salt: [u64; 2],
    pace: Pace,
    /// Base offset of the log segment it is at.
    at: AtomicI64,
}

/// Files that take the place of others.
#[derive(Debug)]
pub(crate) struct Swap {
    pub(crate) old: Vec<Arc<LogSegment>>,
    /// Of the old ones when they were read.
    pub(crate) old_bytes: u64,
    /// `None`: nothing is left.
    pub(crate) new: Option<Arc<LogSegment>>,
    /// Markers of aborted transactions that went.
    pub(crate) markers: Vec<Offset>,
}

/// What a job did.
#[derive(Debug, Default)]
pub(crate) struct Compacted {
    pub(crate) swaps: Vec<Swap>,
    upto: Offset,
    more: bool,
    horizon_ms: Option<i64>,
}

/// What becomes of a batch.
enum Fate {
    Stays,
    Becomes(Bytes),
    Goes,
}

impl Progress {
    /// As a snapshot keeps it.
    pub(crate) fn restored(upto: Offset) -> Self {
        Self { upto, ..Self::default() }
    }
}

impl Core {
    /// The next job, if one is due; `None` also while another runs.
    pub(crate) fn begin_compaction(&mut self, now_ms: i64) -> Option<CompactJob> {
        if self.compacting || self.shared.fatal().is_some() {
            return None;
        }
        let holds = self.shared.holds_now(self.options.holds_expected)?;
        let lowest = holds::lowest(&holds);
        let mut best: Option<(f64, CompactJob)> = None;
        let mut unsynced = false;
        for lane in self.state.lanes.values().filter(|lane| lane.part.config().compact) {
            let hold = lowest.get(&lane.part.id).copied();
            let Some((ratio, job)) = self.consider(lane, hold, now_ms) else { continue };
            // A failed sync may still take its bytes away and have them written anew.
            if job.segments.iter().any(|segment| segment.synced().1 < segment.end()) {
                unsynced = true;
                continue;
            }
            if best.as_ref().is_none_or(|(most, _)| ratio > *most) {
                best = Some((ratio, job));
            }
        }
        self.checkpoint_wanted |= unsynced && best.is_none() && !self.checkpointing;
        let (_, job) = best?;
        self.compacting = true;
        Some(job)
    }

    /// A partition's job and how much it needs it.
    fn consider(
        &self,
        lane: &Lane,
        hold: Option<Offset>,
        now_ms: i64,
    ) -> Option<(f64, CompactJob)> {
        let (config, ends) = (lane.part.config(), lane.part.ends());
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let mut segments = lane.part.segments();
        let all = segments.len();
        if segments.last().is_some_and(|newest| !newest.is_closed()) {
            segments.pop();
        }
        let below = ends.stable.min(hold.unwrap_or(Offset::MAX));
        let young = now_ms.saturating_sub(ms(config.min_compaction_lag_ms));
        let blocked = lane.compaction.blocked.unwrap_or(Offset::MAX);
        let fits = |segment: &&Arc<LogSegment>| {
            let old = config.min_compaction_lag_ms == 0 || segment.max_timestamp_ms() <= young;
            old && segment.end() <= below && segment.base < blocked
        };
        let count = segments.iter().take_while(fits).count();
        let to_the_end = count == all;
        segments.truncate(count);
        let limit = segments.last()?.end();
        let Progress { upto, more, horizon_ms, .. } = lane.compaction;
        let dirty: Vec<_> = segments.iter().filter(|segment| segment.end() > upto).collect();
        let bytes = |segment: &Arc<LogSegment>| segment.len_bytes() as f64;
        let total: f64 = segments.iter().map(bytes).sum();
        let ratio = dirty.iter().map(|segment| bytes(segment)).sum::<f64>() / total.max(1.0);
        let overdue = dirty.first().is_some_and(|oldest| {
            now_ms.saturating_sub(oldest.created_ms) >= ms(config.max_compaction_lag_ms)
        });
        let expired = horizon_ms.is_some_and(|horizon| horizon <= now_ms);
        let wanted = !dirty.is_empty() && ratio >= config.min_cleanable_dirty_ratio;
        if !(wanted || overdue || expired || (more && !dirty.is_empty())) {
            return None;
        }
        let mut aborted = BTreeMap::<_, Vec<_>>::new();
        for Aborted { producer_id, first, last, .. } in lane.part.aborted_before(limit) {
            aborted.entry(producer_id).or_default().push((first, last));
        }
        let job = CompactJob {
            disk: Arc::clone(&self.disk),
            part: Arc::clone(&lane.part),
            segments,
            start: ends.start,
            dirty: upto.min(limit),
            limit,
            to_the_end,
            aborted,
            config,
            now_ms,
            keys_max: (self.options.compaction_keys_bytes / keys::ENTRY_BYTES).max(1),
            salt: [self.rand.next_u64(), self.rand.next_u64()],
            pace: Pace::new(&self.shared, self.options.background_rate()),
            at: AtomicI64::new(Offset::MAX),
        };
        Some((if overdue || expired || more { ratio + 1.0 } else { ratio }, job))
    }

    /// Takes over what a job made; returns how many files were replaced.
    pub(crate) fn finish_compaction(
        &mut self,
        job: &CompactJob,
        done: Result<Compacted, StoreError>,
    ) -> usize {
        self.compacting = false;
        let id = job.part.id;
        let done = match done {
            Ok(done) => done,
            Err(StoreError::Closed(_)) => return 0,
            Err(error) => {
                tracing::warn!(part = %id, %error, "not compacted");
                // What is damaged is kept as it is, and so is all behind it.
                if let (StoreError::Corrupt(_), Some(lane)) =
                    (&error, self.state.lanes.get_mut(&id))
                {
                    lane.compaction.blocked = Some(job.at.load(Ordering::Relaxed));
                }
                return 0;
            }
        };
        self.look_again = true;
        let (mut replaced, mut all) = (0, true);
        for swap in &done.swaps {
            let made = swap.new.iter().map(|segment| segment.id);
            if self.state.lanes.contains_key(&id) && job.part.swap(swap) {
                replaced += swap.old.len();
                let bytes = |old: &Arc<LogSegment>| old.len_bytes();
                self.replaced_bytes += swap.old.iter().map(bytes).sum::<u64>();
                self.doomed.extend(swap.old.iter().map(|segment| segment.id));
                self.dirty_dirs.insert(id);
            } else {
                // Deleted, or its start moved past some of them.
                self.doomed.extend(made);
                all = false;
            }
        }
        if let Some(lane) = self.state.lanes.get_mut(&id) {
            let Progress { upto, blocked, .. } = lane.compaction;
            // What was not put in place is as dirty as before.
            let upto = if all { done.upto.max(upto) } else { upto };
            let Compacted { more, horizon_ms, .. } = done;
            lane.compaction = Progress { upto, more, horizon_ms, blocked };
        }
        replaced
    }
}

impl CompactJob {
    fn walk<'a>(&self, segment: &'a LogSegment) -> Result<Walk<'a>, StoreError> {
        self.at.store(segment.base, Ordering::Relaxed);
        Walk::new(segment)
    }

    /// # Errors
    /// What cannot be read or written. Files made so far stay behind and are removed with the
    /// next start's or tried over.
    pub(crate) fn run(&self) -> Result<Compacted, StoreError> {
        let mut keys = Keys::new(self.keys_max, self.salt);
        let upto = self.gather(&mut keys)?;
        let mut done = Compacted { upto, more: upto < self.limit, ..Compacted::default() };
        let mut cleaner = Cleaner { job: self, keys, upto, left: BTreeSet::new(), done: &mut done };
        let mut rest = self.segments.as_slice();
        while let Some(first) = rest.first()
            && first.base < upto.max(self.start)
        {
            let (group, later) = rest.split_at(self.group_len(rest));
            cleaner.clean(group, later.is_empty())?;
            rest = later;
        }
        Ok(done)
    }

    /// How many log segments from the first one on fit into one file.
    fn group_len(&self, segments: &[Arc<LogSegment>]) -> usize {
        let mut total = 0u64;
        let fits = segments.iter().take_while(|segment| {
            total += segment.len_bytes();
            total <= self.config.segment_bytes
        });
        fits.count().max(1)
    }

    /// Notes the newest offset of each key from the dirty end on; returns up to where.
    fn gather(&self, keys: &mut Keys) -> Result<Offset, StoreError> {
        for segment in self.segments.iter().filter(|segment| segment.end() > self.dirty) {
            let mut walk = self.walk(segment)?;
            while let Some((header, batch)) = walk.next()? {
                self.pace.spend(batch.len())?;
                if header.last_offset() < self.dirty || header.is_control() || self.aborts(&header)
                {
                    continue;
                }
                // Records that do not decode have no keys.
                let Ok(records) = batch::records(&batch) else { continue };
                for record in records.map_while(Result::ok) {
                    let Some(key) = &record.key else { continue };
                    if record.offset >= self.dirty.max(self.start) && !keys.put(key, record.offset)
                    {
                        return Ok(record.offset);
                    }
                }
            }
        }
        Ok(self.limit)
    }

    /// Whether the batch belongs to an aborted transaction.
    fn aborts(&self, header: &BatchHeader) -> bool {
        let offset = header.base_offset;
        header.is_transactional()
            && self.aborted.get(&header.producer_id).is_some_and(|txns| {
                txns.iter().any(|(first, last)| (first..=last).contains(&&offset))
            })
    }
}

/// The second half of a job: decides batch by batch and writes what is left.
struct Cleaner<'a> {
    job: &'a CompactJob,
    keys: Keys,
    /// Records from here on stay as they are.
    upto: Offset,
    /// Producers with records left since their last marker.
    left: BTreeSet<i64>,
    done: &'a mut Compacted,
}

impl Cleaner<'_> {
    fn clean(&mut self, group: &[Arc<LogSegment>], last_group: bool) -> Result<(), StoreError> {
        let Some(first) = group.first() else { return Ok(()) };
        let newest = group.iter().map(|segment| segment.id.generation).max().unwrap_or(0);
        let mut output = Output::new(&self.job.disk, first, newest.saturating_add(1));
        let mut markers = Vec::new();
        for (index, segment) in group.iter().enumerate() {
            let keeps_end = self.job.to_the_end && last_group && index + 1 == group.len();
            let mut walk = self.job.walk(segment)?;
            while let Some((header, batch)) = walk.next()? {
                self.job.pace.spend(batch.len())?;
                let compacted = segment.has_gaps();
                let is_last = keeps_end && header.last_offset() + 1 == segment.end();
                match self.judge(&header, &batch, compacted) {
                    Fate::Stays => output.same(&batch)?,
                    Fate::Becomes(bytes) => output.other(&bytes)?,
                    // A marker cannot be left without its record.
                    Fate::Goes if is_last && header.is_control() => output.same(&batch)?,
                    Fate::Goes if is_last => {
                        output.other(&batch::rewrite(&header, &[], None))?;
                    }
                    Fate::Goes => {
                        output.gone()?;
                        if header.is_control() {
                            markers.push(header.base_offset);
                        }
                    }
                }
            }
        }
        if let Some(new) = output.finish(group)? {
            let old_bytes = group.iter().map(|segment| segment.len_bytes()).sum();
            self.done.swaps.push(Swap { old: group.to_vec(), old_bytes, new, markers });
        }
        Ok(())
    }

    fn judge(&mut self, header: &BatchHeader, batch: &Bytes, compacted: bool) -> Fate {
        if header.base_offset >= self.upto && header.base_offset >= self.job.start {
            return Fate::Stays;
        }
        let horizon_ms = header.delete_horizon_ms().filter(|_| compacted);
        if header.is_control() {
            return self.judge_marker(header, batch, horizon_ms);
        }
        if self.job.aborts(header) {
            return Fate::Goes;
        }
        let fate = self.judge_records(header, batch, horizon_ms);
        if header.is_transactional() && !matches!(fate, Fate::Goes) {
            self.left.insert(header.producer_id);
        }
        fate
    }

    fn judge_marker(
        &mut self,
        header: &BatchHeader,
        batch: &Bytes,
        horizon_ms: Option<i64>,
    ) -> Fate {
        if self.left.remove(&header.producer_id) {
            return Fate::Stays;
        }
        match horizon_ms {
            Some(horizon) if horizon <= self.job.now_ms => Fate::Goes,
            Some(horizon) => {
                self.expect(horizon);
                Fate::Stays
            }
            None => {
                let horizon = self.new_horizon();
                match batch::decode(batch) {
                    Ok(records) => Fate::Becomes(batch::rewrite(header, &records, Some(horizon))),
                    Err(_) => Fate::Stays,
                }
            }
        }
    }

    fn judge_records(
        &mut self,
        header: &BatchHeader,
        batch: &Bytes,
        horizon_ms: Option<i64>,
    ) -> Fate {
        // Checked when it was appended, or from before the topic was compacted: without keys to
        // be seen it stays.
        let Ok(records) = batch::decode(batch) else { return Fate::Stays };
        let all = records.len();
        let expired = horizon_ms.is_some_and(|horizon| horizon <= self.job.now_ms);
        let whole = header.last_offset() < self.upto;
        let mut deletions = false;
        let mut kept = records;
        kept.retain(|record| {
            if record.offset < self.job.start {
                return false;
            }
            let Some(key) = &record.key else { return true };
            if record.offset >= self.upto {
                return true;
            }
            if self.keys.newest(key).is_some_and(|newest| newest > record.offset) {
                return false;
            }
            let deletion = record.value.is_none() && whole;
            let stays = !(deletion && expired);
            deletions |= deletion && stays;
            stays
        });
        let horizon = match horizon_ms {
            _ if !deletions => None,
            Some(horizon) => {
                self.expect(horizon);
                Some(horizon)
            }
            None => Some(self.new_horizon()),
        };
        if kept.is_empty() {
            Fate::Goes
        } else if kept.len() == all && horizon == horizon_ms {
            Fate::Stays
        } else {
            Fate::Becomes(batch::rewrite(header, &kept, horizon))
        }
    }

    /// When a deletion that has its effect now may go.
    fn new_horizon(&mut self) -> i64 {
        let keep = i64::try_from(self.job.config.delete_retention_ms).unwrap_or(i64::MAX);
        let horizon = self.job.now_ms.saturating_add(keep);
        self.expect(horizon);
        horizon
    }

    fn expect(&mut self, horizon_ms: i64) {
        let next = self.done.horizon_ms.get_or_insert(horizon_ms);
        *next = horizon_ms.min(*next);
    }
}
