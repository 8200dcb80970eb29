//! Where the next group goes, and what happens when there is no place: commits wait while a
//! checkpoint frees slots or a new one is made, so that a burst slows its producers down and
//! fails nobody. Only a disk that is really full refuses records; the last free slot is left to
//! commits of facts, which may make space.
//!
//! Invariant: what waits keeps its order; nothing overtakes it.

use std::collections::VecDeque;
use std::time::Duration;

use yeoul_base::StoreError;

use crate::core::{Core, NoGroup};
use crate::plan::Request;
use crate::planted::{self, Planted};
use crate::slots::{self, Slot, SlotOrder};

/// What found no space is not tried again for this long; records are refused meanwhile.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// See the module's head.
#[derive(Default)]
pub(crate) struct Space {
    /// Commits that wait for a place, in their order.
    pub(crate) waiting: VecDeque<Request>,
    /// The first of them has found none.
    pub(crate) stalled: bool,
    /// The log is closing: nothing waits any more.
    pub(crate) draining: bool,
    making: bool,
    /// A slot of at least that size is needed.
    wanted: Option<u64>,
    wants_checkpoint: bool,
    /// When the last checkpoint found no space for itself, if it did not.
    checkpoint_full: Option<Duration>,
    /// Why the last slot could not be made, and when.
    failed: Option<(String, Duration)>,
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Space {
    pub(crate) fn wants_checkpoint(&self) -> bool {
        self.wants_checkpoint
    }

    pub(crate) fn checkpointed(&mut self, full_at: Option<Duration>) {
        self.wants_checkpoint = false;
        self.checkpoint_full = full_at;
    }
}

impl Core {
    /// Makes sure that the current slot has room for `least` bytes, which append records or not.
    pub(crate) fn find_room(&mut self, least: u64, appends: bool) -> Result<(), NoGroup> {
        if appends && self.ring.unsplit_bytes() > self.options.unsplit_bytes {
            self.split();
            if self.ring.unsplit_bytes() > self.options.unsplit_bytes {
                return Err(self.full("log segments cannot grow"));
            }
        }
        if self.has_place(least, appends) {
            return Ok(());
        }
        // A slot is synced before the next is written to.
        if !planted::is(Planted::SwitchUnsynced) && !self.settle() {
            let closed = self.shared.closed();
            let closed = closed.unwrap_or_else(|| StoreError::Closed("it is closed".into()));
            return Err(NoGroup::Refused(closed));
        }
        if self.slots.switch(least, false) {
            return Ok(());
        }
        if self.options.inline || self.space.draining {
            self.make_room_now(least);
        } else if self.make_room_beside(least) {
            return Err(NoGroup::Wait);
        }
        let found = self.has_place(least, appends) || self.slots.switch(least, false);
        if found || (!appends && self.find_reserved(least)) {
            return Ok(());
        }
        let why = self.space.failed.as_ref().map_or("no slot is free", |(why, _)| why);
        Err(self.full(&format!("the commit log cannot grow ({why})")))
    }

    /// Whether the current slot has room that such a commit may take.
    fn has_place(&self, least: u64, appends: bool) -> bool {
        self.slots.room(least).is_some() && !(appends && self.slots.in_reserve())
    }

    /// The last free slot, or what the reserve gives.
    fn find_reserved(&mut self, least: u64) -> bool {
        self.slots.switch(least, true)
            || (self.spend_reserve(least) && self.slots.switch(least, true))
    }

    /// Whether something has just found the disk full.
    pub(crate) fn is_short_of_space(&self) -> bool {
        self.ring.is_stuck() || self.space.failed.is_some() || self.space.checkpoint_full.is_some()
    }

    fn full(&self, why: &str) -> NoGroup {
        tracing::warn!(%why, "records are refused");
        NoGroup::Refused(StoreError::DiskFull(format!("{why}; make space")))
    }

    fn at_limit(&self) -> bool {
        self.slots.total_bytes() >= self.options.wal_bytes_max
    }

    fn is_recent(&self, at: Option<Duration>) -> bool {
        at.is_some_and(|at| self.clock.monotonic().saturating_sub(at) < TRY_AGAIN)
    }

    /// The last checkpoint has just failed for want of space.
    pub(crate) fn checkpoint_is_full(&self) -> bool {
        self.is_recent(self.space.checkpoint_full)
    }

    /// Nothing that a checkpoint could do would free a slot: then the limit gives way, for it is
    /// there to bound what piles up, not to stop the log for ever.
    fn limit_gives_way(&self) -> bool {
        self.space.checkpoint_full.is_none() && !self.ring.is_stuck()
    }

    /// Checkpoint and new slots on this thread.
    fn make_room_now(&mut self, least: u64) {
        if self.at_limit() {
            self.checkpoint();
            if self.slots.has_spare(least) || !self.limit_gives_way() {
                return;
            }
        }
        // Two, when the first becomes the reserve; and again when a failure has freed something.
        for _ in 0..3 {
            let order = self.order_slot(least);
            let made = slots::make(&*self.disk, order);
            let freed = self.slot_made(made);
            if self.slots.has_spare(least) || (self.space.failed.is_some() && !freed) {
                break;
            }
        }
        if !self.slots.has_spare(least) {
            // A checkpoint may free some.
            self.checkpoint();
        }
    }

    /// Asks for a checkpoint or a slot; false when neither can help now.
    fn make_room_beside(&mut self, least: u64) -> bool {
        if self.space.making || self.checkpointing {
            return true;
        }
        let can_checkpoint = self.can_checkpoint() && !self.checkpoint_is_full();
        if self.at_limit() && can_checkpoint {
            self.space.wants_checkpoint = true;
            return true;
        }
        let failed = self.is_recent(self.space.failed.as_ref().map(|(_, at)| *at));
        if !failed && (!self.at_limit() || self.limit_gives_way()) {
            self.space.wanted = Some(least);
            return true;
        }
        self.space.wants_checkpoint = can_checkpoint;
        can_checkpoint
    }

    pub(crate) fn order_slot(&mut self, least: u64) -> SlotOrder {
        // Where a large one finds no space a small one may.
        let order = match self.space.failed {
            Some(_) => self.slots.order_small(least),
            None => self.slots.order(least),
        };
        self.slots.ordered();
        order
    }

    /// The slot to be made in the background now, if one is.
    pub(crate) fn slot_due(&mut self) -> Option<SlotOrder> {
        if self.space.making || self.shared.fatal().is_some() {
            return None;
        }
        let early = !self.at_limit() && self.slots.wants_more() && self.space.failed.is_none();
        let least = self.space.wanted.take().or(early.then_some(0))?;
        self.space.making = true;
        Some(self.order_slot(least))
    }

    /// A slot was made, or not. True when that gave back the space of what is gone.
    pub(crate) fn slot_made(&mut self, made: std::io::Result<Slot>) -> bool {
        self.space.making = false;
        match made {
            Ok(slot) => {
                self.space.failed = None;
                self.slots.add_free(slot);
                false
            }
            Err(error) => {
                tracing::warn!(%error, "no new slot for the commit log");
                self.space.failed = Some((error.to_string(), self.clock.monotonic()));
                self.free_gone()
            }
        }
    }

    pub(crate) fn make_slot(&mut self, order: SlotOrder) -> std::io::Result<()> {
        let slot = slots::make(&*self.disk, order)?;
        self.slots.ordered();
        self.slots.add_free(slot);
        Ok(())
    }
}
