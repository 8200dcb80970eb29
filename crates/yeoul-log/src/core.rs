//! The writer: takes requests, makes frames of them, writes and syncs them as groups, and only
//! then shows and answers. Synchronous and without threads; `writer.rs` drives it in production,
//! tests drive it by hand.
//!
//! Invariants: nothing is published or answered before the sync that covers it, but commits that
//! only append to relaxed topics; a slot is synced before the next is written to; after a failed
//! write or sync nothing is written any more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use yeoul_base::{Clock, Disk, PartId, Rand, StoreError};

use crate::batch::{self, BatchHeader};
use crate::frame::{self, Frame, Seal};
use crate::group::{self, GroupHeader, padded};
use crate::holds;
use crate::options::LogOptions;
use crate::part::{News, TailBatch};
use crate::paths::FileId;
use crate::plan::{Answer, Plan, Planner, Request, Respond};
use crate::planted::{self, Planted};
use crate::rebuild::Broken;
use crate::reserve::{self, Reserve};
use crate::segment::LogSegment;
use crate::shared::{Shared, View};
use crate::slots::Slots;
use crate::snapshot::Kept;
use crate::space::Space;
use crate::splitter::Ring;
use crate::state::{Effects, State};

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rand: Arc<dyn Rand>,
    pub(crate) options: LogOptions,
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: State,
    pub(crate) slots: Slots,
    pub(crate) ring: Ring,
    pub(crate) salt: u64,
    /// Header checksum of the last group.
    pub(crate) chain: u32,
    /// The last sequence that is synced.
    pub(crate) synced: u64,
    /// Snapshots that are there, oldest first.
    pub(crate) kept: Vec<Kept>,
    /// Log segments nothing refers to any more but perhaps a snapshot.
    pub(crate) doomed: Vec<FileId>,
    /// Log segments with bytes that are not synced.
    pub(crate) dirty: BTreeMap<FileId, Arc<LogSegment>>,
    /// Log segments begun since the last checkpoint began: those before them stay open until
    /// they are synced.
    pub(crate) rolled_since_checkpoint: usize,
    /// Folders with entries that are not synced.
    pub(crate) dirty_dirs: BTreeSet<PartId>,
    pub(crate) since_checkpoint: u64,
    pub(crate) checkpointing: bool,
    pub(crate) broken: Broken,
    /// What the commit log does about its space.
    pub(crate) space: Space,
    pub(crate) reserve: Reserve,
    /// Since when, and how many bytes of groups, are written and not synced: commits to relaxed
    /// topics only.
    pub(crate) unsynced: Option<(Duration, u64)>,
    pub(crate) compacting: bool,
    pub(crate) scrubbing: bool,
    /// Bytes that compaction replaced since the last snapshot began.
    pub(crate) replaced_bytes: u64,
    /// Something waits for what only a checkpoint syncs.
    pub(crate) checkpoint_wanted: bool,
    /// It is time to look for what can be compacted or scrubbed.
    pub(crate) look_again: bool,
}

/// A frame in a group that is being built.
struct Framed {
    appends: Vec<(PartId, BatchHeader, Range<usize>)>,
    effects: Effects,
}

struct Group {
    buffer: Vec<u8>,
    /// The buffer may grow to this.
    limit: usize,
    first_sequence: u64,
    frames: Vec<Framed>,
    /// Every commit in it may be shown before it is synced.
    relaxed: bool,
    /// It lies in the slot kept for commits without records.
    reserved: bool,
}

/// Why no group can be begun.
pub(crate) enum NoGroup {
    /// Space is being made: what asked waits, and all that came after it.
    Wait,
    Refused(StoreError),
}

impl Core {
    /// Does all of it, in order. What must wait for space stays in `space.waiting`; every other
    /// request is answered.
    pub(crate) fn run(&mut self, requests: Vec<Request>) {
        let mut queue = std::mem::take(&mut self.space.waiting);
        queue.extend(requests);
        self.space.stalled = false;
        while !queue.is_empty() && !self.space.stalled {
            let mut answers: Vec<(Respond, Result<Answer, StoreError>)> = Vec::new();
            let group = self.fill(&mut queue, &mut answers);
            let written = match group {
                Some(group) => self.write(group),
                None => Ok(()),
            };
            if let Err(error) = written {
                self.shared.close(format!("writing the commit log failed: {error}"));
            }
            let closed = self.shared.closed();
            for (respond, answer) in answers {
                // An answer may tell of what was not written: then it is not given.
                respond(closed.clone().map_or(answer, Err));
            }
            self.split_if_due();
            self.sync_if_due();
        }
        self.split_if_due();
        self.space.waiting = queue;
        self.tend();
    }

    /// Takes requests into one group until it is full.
    fn fill(
        &mut self,
        queue: &mut VecDeque<Request>,
        answers: &mut Vec<(Respond, Result<Answer, StoreError>)>,
    ) -> Option<Group> {
        let mut group: Option<Group> = None;
        while let Some(request) = queue.pop_front() {
            if let Some(closed) = self.shared.closed() {
                answers.push((request.respond, Err(closed)));
                continue;
            }
            let planner = Planner { state: &self.state, clock: &*self.clock, rand: &*self.rand };
            let plan = match planner.plan(&request.work) {
                Ok(plan) if plan.is_empty() => {
                    answers.push((request.respond, Ok(plan.answer)));
                    continue;
                }
                Ok(plan) => plan,
                Err(error) => {
                    answers.push((request.respond, Err(error)));
                    continue;
                }
            };
            let need = frame::encoded_bytes(&plan.frame);
            let open = match group.take() {
                Some(open)
                    if open.buffer.len() + need > open.limit
                        || (open.reserved && plan.has_records()) =>
                {
                    queue.push_front(request);
                    return Some(open);
                }
                Some(open) => Ok(open),
                None => self.open_group(need, &plan, queue),
            };
            let mut open = match open {
                Ok(open) => open,
                Err(NoGroup::Wait) => {
                    queue.push_front(request);
                    self.space.stalled = true;
                    return None;
                }
                Err(NoGroup::Refused(error)) => {
                    answers.push((request.respond, Err(error)));
                    continue;
                }
            };
            match self.add(&mut open, plan) {
                Ok(answer) => answers.push((request.respond, Ok(answer))),
                Err(what) => {
                    self.shared.close(format!("the log contradicts itself: {what}"));
                    answers.push((request.respond, Err(StoreError::Closed(what.to_owned()))));
                }
            }
            group = Some(open);
        }
        group
    }

    /// Starts a group whose first frame takes `need` bytes: finds it a place, or says why not.
    fn open_group(
        &mut self,
        need: usize,
        plan: &Plan,
        queue: &VecDeque<Request>,
    ) -> Result<Group, NoGroup> {
        let least = padded((group::HEADER_BYTES + need) as u64);
        self.find_room(least, plan.has_records())?;
        let reserved = self.slots.in_reserve();
        let limit = usize::try_from(self.slots.left_bytes()).unwrap_or(usize::MAX);
        let limit = limit.min(self.options.group_bytes.max(group::HEADER_BYTES + need));
        let waiting: usize = queue.iter().map(|request| request.bytes).sum();
        let mut buffer = Vec::with_capacity(
            limit.min(group::HEADER_BYTES + need + waiting + group::ALIGN as usize),
        );
        buffer.resize(group::HEADER_BYTES, 0);
        let (first_sequence, frames) = (self.state.sequence + 1, Vec::new());
        Ok(Group { buffer, limit, first_sequence, frames, relaxed: true, reserved })
    }

    /// Whether nobody minds if a power cut takes the commit after it was answered.
    fn is_relaxed(&self, plan: &Plan) -> bool {
        let Frame { appends, facts, starts } = &plan.frame;
        let relaxed = |part| {
            let lane = self.state.lanes.get(part);
            lane.is_some_and(|lane| lane.part.config().relaxed)
        };
        facts.is_empty() && starts.is_empty() && appends.iter().all(|(part, _)| relaxed(part))
    }

    fn add(&mut self, group: &mut Group, plan: Plan) -> Result<Answer, &'static str> {
        group.relaxed &= self.is_relaxed(&plan);
        let Plan { frame, headers, mut answer } = plan;
        let epoch = self.leader_epoch();
        let seal = Seal {
            salt: self.salt,
            incarnation: self.shared.incarnation,
            sequence: self.state.sequence + 1,
        };
        let ranges = frame::encode(&frame, seal, &mut group.buffer, |index, copy| {
            if let Some(header) = headers.get(index) {
                batch::place(copy, header.base_offset, epoch);
            }
        });
        let now_ms = self.clock.now_ms();
        let effects = self.state.apply(&headers, &frame, now_ms, &self.options)?;
        let parts = frame.appends.iter().map(|(part, _)| *part);
        let appends = parts.zip(headers).zip(ranges);
        let appends = appends.map(|((part, header), range)| (part, header, range)).collect();
        group.frames.push(Framed { appends, effects });
        if let Answer::Committed(committed) = &mut answer {
            committed.sequence = self.state.sequence;
        }
        Ok(answer)
    }

    pub(crate) fn leader_epoch(&self) -> i32 {
        i32::try_from(self.shared.incarnation).unwrap_or(i32::MAX)
    }

    /// Writes, syncs (unless the group is relaxed), publishes.
    fn write(&mut self, group: Group) -> io::Result<()> {
        let Group { mut buffer, first_sequence, frames, relaxed, .. } = group;
        if let Some(reason) = self.shared.fatal() {
            return Err(io::Error::other(reason));
        }
        let body = buffer.len() - group::HEADER_BYTES;
        let total = padded(buffer.len() as u64);
        buffer.resize(usize::try_from(total).unwrap_or(usize::MAX), 0);
        let (slot, position) =
            self.slots.room(total).ok_or_else(|| io::Error::other("the group lost its slot"))?;
        let header = GroupHeader {
            incarnation: self.shared.incarnation,
            first_sequence,
            synced_upto: if planted::is(Planted::SyncedTooMuch) {
                self.state.sequence
            } else {
                self.synced
            },
            frame_count: u32::try_from(frames.len()).unwrap_or(u32::MAX),
            body_bytes: u32::try_from(body).unwrap_or(u32::MAX),
            slot: slot.number,
            position,
            slot_blocks: u32::try_from(slot.size_bytes / group::ALIGN).unwrap_or(u32::MAX),
            previous: self.chain,
            crc: 0,
        };
        let (head, crc) = header.encode(self.salt);
        if let Some(place) = buffer.get_mut(..group::HEADER_BYTES) {
            place.copy_from_slice(&head);
        }
        slot.file.write_all_at(&buffer, position)?;
        debug_assert!(first_sequence > self.synced, "what is synced is not written again");
        self.chain = crc;
        self.slots.advance(total, self.state.sequence);
        if relaxed || planted::is(Planted::AckBeforeSync) {
            let now = self.clock.monotonic();
            let (_, bytes) = self.unsynced.get_or_insert((now, 0));
            *bytes += total;
        } else {
            self.sync()?;
        }
        self.since_checkpoint += total;
        self.publish(Bytes::from(buffer), frames);
        Ok(())
    }

    /// Makes durable all that is written. All of it lies in the current slot.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = self.slots.file() {
            let before = self.clock.monotonic();
            if !planted::is(Planted::SkipSync) {
                let synced = file.sync_data();
                if planted::is(Planted::SyncAgain) && synced.is_err() {
                    file.sync_data()?;
                } else {
                    synced?;
                }
            }
            self.shared.note_sync(self.clock.monotonic().saturating_sub(before));
        }
        self.synced = self.state.sequence;
        self.unsynced = None;
        Ok(())
    }

    /// Syncs what relaxed commits have left unsynced, if there is any; false when that failed,
    /// which closes the log.
    pub(crate) fn settle(&mut self) -> bool {
        if self.unsynced.is_none() || self.shared.fatal().is_some() {
            return self.shared.fatal().is_none();
        }
        let synced = self.sync();
        if let Err(error) = &synced {
            self.shared.close(format!("syncing the commit log failed: {error}"));
        }
        synced.is_ok()
    }

    /// How long what is written may stay unsynced; `None`: all is synced.
    pub(crate) fn sync_in(&self) -> Option<Duration> {
        let (since, bytes) = self.unsynced?;
        if bytes >= self.options.relaxed_bytes {
            return Some(Duration::ZERO);
        }
        let waited = self.clock.monotonic().saturating_sub(since);
        Some(self.options.relaxed_every.saturating_sub(waited))
    }

    pub(crate) fn sync_if_due(&mut self) {
        if self.sync_in() == Some(Duration::ZERO) {
            self.settle();
        }
    }

    fn publish(&mut self, buffer: Bytes, frames: Vec<Framed>) {
        let commits = frames.len() as u64;
        let mut shown: BTreeMap<PartId, News> = BTreeMap::new();
        let mut changes = Effects::default();
        let written = buffer.len();
        let mut waiting = Vec::new();
        let mut removed = Vec::new();
        // New partitions must be found before their first batches are.
        self.shared.set_view(self.view());
        for framed in frames {
            for (id, header, range) in framed.appends {
                // A partition that was deleted later in the same group shows nothing any more.
                let Some(lane) = self.state.lanes.get(&id) else { continue };
                let bytes = buffer.slice(range);
                let batch =
                    TailBatch { base: header.base_offset, last: header.last_offset(), bytes };
                shown.entry(id).or_default().batches.push(batch.clone());
                waiting.push((Arc::clone(&lane.part), header.max_timestamp_ms, batch));
            }
            changes.join(framed.effects);
        }
        for (id, aborted) in changes.aborted {
            shown.entry(id).or_default().aborted.push(aborted);
        }
        let mut touched: BTreeSet<_> = shown.keys().copied().collect();
        for (id, news) in shown {
            let Some(lane) = self.state.lanes.get(&id) else { continue };
            lane.part.publish(news, lane.stable());
        }
        for (part, start) in changes.starts {
            touched.insert(part.id);
            removed.push((part.id, part.ends().start..start));
            let gone = part.set_start(start);
            self.doomed.extend(gone.iter().map(|segment| segment.id));
        }
        for part in changes.removed {
            touched.insert(part.id);
            removed.push((part.id, part.ends().start..part.ends().high));
            part.set_gone();
            let gone = part.segments();
            self.doomed.extend(gone.iter().map(|segment| segment.id));
        }
        let gather = (self.options.split_bytes, self.clock.monotonic());
        self.ring.push(written, waiting, gather);
        if !removed.is_empty() {
            self.drop_gone();
            self.free_gone();
        }
        let sequence = self.state.sequence;
        self.shared.note(|stats| {
            stats.sequence = sequence;
            stats.commits += commits;
            stats.groups += 1;
            stats.written_bytes += written as u64;
        });
        if !removed.is_empty()
            && let Some(holds) = self.shared.holds()
        {
            holds::tell(&*holds, &removed);
        }
        self.shared.wake(touched.into_iter(), changes.topics_changed);
    }

    pub(crate) fn view(&self) -> View {
        View {
            topics: Arc::clone(&self.state.topics),
            facts: self.state.facts.clone(),
            parts: self.state.parts.clone(),
        }
    }

    /// What is due after a group: a checkpoint, when nobody else makes it.
    fn tend(&mut self) {
        let (unsplit, wal) = (self.ring.unsplit_bytes(), self.slots.total_bytes());
        self.shared.note(|stats| {
            stats.unsplit_bytes = unsplit;
            stats.wal_bytes = wal;
        });
        if self.options.inline && self.checkpoint_due() {
            self.checkpoint();
        }
        if self.options.inline && self.reserve_due() {
            let made = reserve::make(&*self.disk, self.options.reserve_bytes);
            self.reserve_made(made);
        }
    }
}
