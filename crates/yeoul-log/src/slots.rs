//! Slots: the files the commit log is written to. Each is filled with zeros and synced before
//! its first use, so that a sync later writes data only, no metadata; when neither snapshot
//! needs a slot's groups it is written again from its start.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use yeoul_base::{Disk, DiskFile, Open};

use crate::group::{ALIGN, padded};
use crate::options::LogOptions;
use crate::paths;
use crate::planted::{self, Planted};

/// A file of the commit log.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) number: u64,
    pub(crate) size_bytes: u64,
    /// The last sequence written to it since it was last free.
    pub(crate) last_sequence: u64,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// A slot to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotOrder {
    pub(crate) number: u64,
    pub(crate) size_bytes: u64,
}

/// All slots: one that is written to, those that may be, those that recovery may need.
#[derive(Debug)]
pub(crate) struct Slots {
    sizes: [u64; 3],
    current: Option<(Slot, u64)>,
    /// The current slot was the last free one.
    reserve: bool,
    free: VecDeque<Slot>,
    used: Vec<Slot>,
    next_number: u64,
    made: usize,
}

/// Makes a slot and its directory entry durable.
pub(crate) fn make(disk: &dyn Disk, order: SlotOrder) -> io::Result<Slot> {
    const PIECE: usize = 64 << 10;
    let path = paths::slot(order.number);
    // An unfinished one of the same name is left from a full disk or a crash.
    let file = disk.open(&path, Open::Create)?;
    let zeros = vec![0; PIECE];
    let mut at = 0;
    while at < order.size_bytes {
        let piece = usize::try_from(order.size_bytes - at).unwrap_or(PIECE).min(PIECE);
        if let Err(error) = file.write_all_at(zeros.get(..piece).unwrap_or_default(), at) {
            // Not a slot: gives back the space it took.
            let _ = disk.remove_file(&path);
            return Err(error);
        }
        at += piece as u64;
    }
    file.sync_data()?;
    if !planted::is(Planted::NoSlotName) {
        disk.sync_dir(Path::new(paths::WAL_DIR))?;
    }
    Ok(Slot { number: order.number, size_bytes: order.size_bytes, last_sequence: 0, file })
}

impl Slots {
    /// From what recovery found. None is written to until it is free again.
    pub(crate) fn new(options: &LogOptions, used: Vec<Slot>) -> Self {
        let next_number = used.iter().map(|slot| slot.number + 1).max().unwrap_or(0);
        let made = used.len();
        let sizes = options.slot_bytes.map(|size| padded(size).max(ALIGN));
        Self {
            sizes,
            current: None,
            reserve: false,
            free: VecDeque::new(),
            used,
            next_number,
            made,
        }
    }

    /// Where a group of that many bytes can be written now: slot and position.
    pub(crate) fn room(&self, bytes: u64) -> Option<(&Slot, u64)> {
        let (slot, position) = self.current.as_ref()?;
        (*position + bytes <= slot.size_bytes).then_some((slot, *position))
    }

    /// The current slot's file.
    pub(crate) fn file(&self) -> Option<&Arc<dyn DiskFile>> {
        self.current.as_ref().map(|(slot, _)| &slot.file)
    }

    /// Bytes left in the current slot.
    pub(crate) fn left_bytes(&self) -> u64 {
        self.current.as_ref().map_or(0, |(slot, position)| slot.size_bytes - position)
    }

    /// Notes a group written at the current place.
    pub(crate) fn advance(&mut self, bytes: u64, last_sequence: u64) {
        if let Some((slot, position)) = &mut self.current {
            debug_assert!(*position + bytes <= slot.size_bytes, "a group does not leave its slot");
            *position += bytes;
            slot.last_sequence = last_sequence;
        }
    }

    /// Goes on to a free slot with room for `bytes`. Without `reserve` one free slot is left for
    /// those who may take it. False when there is none.
    pub(crate) fn switch(&mut self, bytes: u64, reserve: bool) -> bool {
        if !reserve && self.free.len() < 2 {
            return false;
        }
        let Some(at) = self.free.iter().position(|slot| slot.size_bytes >= bytes) else {
            return false;
        };
        let Some(next) = self.free.remove(at) else { return false };
        self.reserve = reserve;
        if let Some((old, position)) = self.current.replace((next, 0)) {
            if position == 0 { self.free.push_back(old) } else { self.used.push(old) }
        }
        true
    }

    /// Whether the current slot is the one kept for commits without records: it is while no other
    /// is free.
    pub(crate) fn in_reserve(&self) -> bool {
        self.reserve && self.free.is_empty()
    }

    /// Whether a slot with room for `bytes` is free beside the reserve.
    pub(crate) fn has_spare(&self, bytes: u64) -> bool {
        self.free.len() >= 2 && self.free.iter().any(|slot| slot.size_bytes >= bytes)
    }

    /// What to make next, for a group of at least `bytes`.
    pub(crate) fn order(&self, bytes: u64) -> SlotOrder {
        let size = self.sizes.get(self.made.saturating_sub(2).min(2)).copied().unwrap_or(ALIGN);
        SlotOrder { number: self.next_number, size_bytes: size.max(padded(bytes)) }
    }

    /// A small one, for a quick start, and where there is little space.
    pub(crate) fn order_small(&self, bytes: u64) -> SlotOrder {
        let size_bytes = self.sizes.first().copied().unwrap_or(ALIGN).max(padded(bytes));
        SlotOrder { number: self.next_number, size_bytes }
    }

    /// Whether another one should be made in the background: the current is half full and there
    /// is nothing beyond the reserve.
    pub(crate) fn wants_more(&self) -> bool {
        if self.in_reserve() {
            return true;
        }
        let half = self.current.as_ref().is_none_or(|(slot, at)| *at * 2 >= slot.size_bytes);
        self.free.len() < if half { 2 } else { 1 }
    }

    /// Reserves the number of an order, so that a failed one is not confused with the next.
    pub(crate) fn ordered(&mut self) {
        self.next_number += 1;
    }

    pub(crate) fn add_free(&mut self, slot: Slot) {
        self.made += 1;
        self.free.push_back(slot);
    }

    /// Frees slots whose groups no snapshot needs. At most four stay free; the numbers of those
    /// to be removed are returned.
    pub(crate) fn reclaim(&mut self, needed_from: u64) -> Vec<u64> {
        const FREE_MAX: usize = 4;
        let used = std::mem::take(&mut self.used);
        let (free, used): (Vec<_>, Vec<_>) =
            used.into_iter().partition(|slot| slot.last_sequence < needed_from);
        self.used = used;
        self.free.extend(free);
        // Small ones go first: they are from the time when the log was small.
        self.free.make_contiguous().sort_by_key(|slot| std::cmp::Reverse(slot.size_bytes));
        let mut extra = self.free.split_off(self.free.len().min(FREE_MAX));
        // One that a crash left unfinished is no reserve.
        let least = self.sizes.first().copied().unwrap_or(ALIGN);
        while self.free.back().is_some_and(|slot| slot.size_bytes < least) {
            extra.extend(self.free.pop_back());
        }
        self.made = self.made.saturating_sub(extra.len());
        extra.into_iter().map(|slot| slot.number).collect()
    }

    pub(crate) fn total_bytes(&self) -> u64 {
        let current = self.current.as_ref().map(|(slot, _)| slot);
        self.free.iter().chain(&self.used).chain(current).map(|slot| slot.size_bytes).sum()
    }
}
