//! A file of zeros that gives its space away once nothing else is left: commits that hold no
//! records may make space, and must find a place on a full disk even when the slot kept for them
//! is used up or a start found none free.

use std::io;
use std::path::Path;
use std::time::Duration;

use yeoul_base::{Disk, Open};

use crate::core::Core;
use crate::group::padded;
use crate::paths;
use crate::slots::{self, SlotOrder};

/// It is made again when so many times its size are free.
const FREE_TIMES: u64 = 8;
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whether it is there.
#[derive(Debug, Default)]
pub(crate) struct Reserve {
    there: bool,
    making: bool,
    looked: Option<Duration>,
}

/// Writes it anew; what a full disk left of it is removed.
pub(crate) fn make(disk: &dyn Disk, bytes: u64) -> io::Result<()> {
    const PIECE: usize = 64 << 10;
    let path = Path::new(paths::RESERVE);
    let write = || {
        let file = disk.open(path, Open::Create)?;
        let zeros = vec![0; PIECE];
        let mut at = 0;
        while at < bytes {
            let piece = usize::try_from(bytes - at).unwrap_or(PIECE).min(PIECE);
            file.write_all_at(zeros.get(..piece).unwrap_or_default(), at)?;
            at += piece as u64;
        }
        file.set_len(bytes)?;
        file.sync_data()
    };
    write().inspect_err(|_| {
        let _ = disk.remove_file(path);
    })
}

impl Core {
    /// Whether it should be made now; then [`Core::reserve_made`] must follow.
    pub(crate) fn reserve_due(&mut self) -> bool {
        let size = self.options.reserve_bytes;
        let now = self.clock.monotonic();
        let looked = self.reserve.looked.is_some_and(|at| now.saturating_sub(at) < LOOK_EVERY);
        if size == 0 || self.reserve.there || self.reserve.making || looked {
            return false;
        }
        self.reserve.looked = Some(now);
        let free = self.disk.free_bytes().unwrap_or(0);
        self.reserve.making = free >= size.saturating_mul(FREE_TIMES);
        self.reserve.making
    }

    pub(crate) fn reserve_made(&mut self, made: io::Result<()>) {
        self.reserve.making = false;
        self.reserve.there = made.is_ok();
        if let Err(error) = made {
            tracing::warn!(%error, "no space for the reserve");
        }
    }

    /// A start: the file of the last one is as good.
    pub(crate) fn find_reserve(&mut self) {
        let size = self.options.reserve_bytes;
        let found = self.disk.open(Path::new(paths::RESERVE), Open::Read);
        self.reserve.there =
            size > 0 && found.and_then(|file| file.len_bytes()).is_ok_and(|len| len >= size);
        if self.reserve_due() {
            let made = make(&*self.disk, size);
            self.reserve_made(made);
        }
    }

    /// Makes a small slot of it; false when there is none, or others were faster to take the
    /// space.
    pub(crate) fn spend_reserve(&mut self, least: u64) -> bool {
        if !std::mem::take(&mut self.reserve.there) {
            return false;
        }
        if let Err(error) = self.disk.remove_file(Path::new(paths::RESERVE)) {
            tracing::warn!(%error, "the reserve cannot be removed");
            return false;
        }
        self.reserve.looked = Some(self.clock.monotonic());
        // Nearly all of it, so that nothing is left for records to take.
        let bytes = self.options.reserve_bytes;
        let size_bytes = padded((bytes - bytes / 8).max(least));
        let order = SlotOrder { size_bytes, ..self.order_slot(least) };
        tracing::warn!(size_bytes, "the reserve becomes a slot for commits without records");
        match slots::make(&*self.disk, order) {
            Ok(slot) => {
                self.slots.add_free(slot);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the reserve's space was taken by others");
                false
            }
        }
    }

    /// The first use of space that was given back on a full disk: the next one must find it, too.
    pub(crate) fn renew_reserve(&mut self) {
        let size = self.options.reserve_bytes;
        if size > 0 && !self.reserve.there && !self.reserve.making {
            let made = make(&*self.disk, size);
            self.reserve_made(made);
        }
    }
}
