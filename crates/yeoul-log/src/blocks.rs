//! A closed log segment's blocks against its checksum file: each is checked when it is first read
//! since the start, and again by the scrub.
//!
//! A block that differs does not make its good batches unreadable where they can be told by
//! themselves: batch checksums and offsets without a gap see every change that matters in a file
//! as it was appended. In a compacted file an offset could have changed unseen, so there nothing
//! of such a block is served.

use std::sync::Arc;

use yeoul_base::{DiskFile, StoreError};

use crate::locked;
use crate::segment::LogSegment;
use crate::sums::{BLOCK_BYTES, FILE_BYTES_MAX, Summer, Sums};
use crate::walk::Walk;

/// What is known of a log segment's blocks.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    sums: Option<Arc<Sums>>,
    /// By block.
    found: Vec<Found>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Found {
    #[default]
    Unread,
    Good,
    Bad,
}

impl LogSegment {
    /// Sums up a closed log segment from its own bytes, each batch checked, and writes the
    /// checksum file.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a batch does not hold; nothing is written then.
    pub(crate) fn sum_up(&self) -> Result<(), StoreError> {
        let mut walk = Walk::new(self)?;
        let mut summer = Summer::default();
        while let Some((_, batch)) = walk.next()? {
            summer.add(&batch);
        }
        let sums = summer.finish();
        let pinned = sums.write(&**self.disk(), self.id).map_err(|error| self.io(&error))?;
        self.pin(sums, pinned);
        Ok(())
    }

    /// The checksum file is written and says what was read or written just now.
    pub(crate) fn pin(&self, sums: Sums, pinned: u32) {
        let found = vec![Found::Good; sums.blocks.len()];
        *locked(&self.blocks) = Blocks { sums: Some(Arc::new(sums)), found };
        self.set_sum(Some(pinned));
    }

    /// Blocks that were read since the start and are not what was written.
    pub(crate) fn bad_blocks(&self) -> u64 {
        let blocks = locked(&self.blocks);
        blocks.found.iter().filter(|found| **found == Found::Bad).count() as u64
    }

    /// Checks what was not yet read of the blocks from `position` on; returns how many of the
    /// bytes may be believed if their batches hold.
    pub(crate) fn check_blocks(
        &self,
        file: &Arc<dyn DiskFile>,
        position: u64,
        len: usize,
    ) -> Result<usize, StoreError> {
        let Some(sums) = self.sums(file)? else { return Ok(len) };
        let end = position + len as u64;
        for block in position / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES) {
            if self.check_block(file, &sums, block, false)? == Found::Bad && self.has_gaps() {
                let good = (block * BLOCK_BYTES).saturating_sub(position);
                return Ok(usize::try_from(good).unwrap_or(len).min(len));
            }
        }
        Ok(len)
    }

    /// Whether some of these bytes lie in a block that is not what was written, in a file where
    /// batches alone do not tell.
    pub(crate) fn distrusts(&self, position: u64, len: usize) -> bool {
        let blocks = position / BLOCK_BYTES..(position + len as u64).div_ceil(BLOCK_BYTES);
        let known = locked(&self.blocks);
        let bad = |block| {
            let index = usize::try_from(block).unwrap_or(usize::MAX);
            known.found.get(index) == Some(&Found::Bad)
        };
        self.has_gaps() && blocks.into_iter().any(bad)
    }

    /// Reads and checks every block as long as it may go on; returns those that are not what was
    /// written. `None`: there is no checksum file yet.
    pub(crate) fn check_all_blocks(
        &self,
        mut go_on: impl FnMut(u64) -> bool,
    ) -> Result<Option<Vec<u64>>, StoreError> {
        let file = self.file().map_err(|error| self.io(&error))?;
        let Some(sums) = self.sums(&file)? else { return Ok(None) };
        let mut bad = Vec::new();
        for block in 0..sums.blocks.len() as u64 {
            if self.check_block(&file, &sums, block, true)? == Found::Bad {
                bad.push(block);
            }
            if !go_on(BLOCK_BYTES) {
                break;
            }
        }
        Ok(Some(bad))
    }

    fn check_block(
        &self,
        file: &Arc<dyn DiskFile>,
        sums: &Sums,
        block: u64,
        again: bool,
    ) -> Result<Found, StoreError> {
        let index = usize::try_from(block).unwrap_or(usize::MAX);
        // Not a block of this file: there is nothing to compare with.
        let Some(expected) = sums.blocks.get(index) else { return Ok(Found::Unread) };
        let known = locked(&self.blocks).found.get(index).copied().unwrap_or_default();
        if known == Found::Bad || (known == Found::Good && !again) {
            return Ok(known);
        }
        let from = block * BLOCK_BYTES;
        let size = BLOCK_BYTES.min(sums.len_bytes - from);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, from).map_err(|error| self.io(&error))?;
        let found = if crc32c::crc32c(&bytes) == *expected { Found::Good } else { Found::Bad };
        if found == Found::Bad {
            let file = self.id.log();
            tracing::error!(file = %file.display(), block, "a block fails its checksum");
        }
        if let Some(place) = locked(&self.blocks).found.get_mut(index) {
            *place = found;
        }
        Ok(found)
    }

    /// The checksums, read on first use. A file that is missing or damaged is made again if the
    /// log segment's bytes give what the snapshot pinned.
    fn sums(&self, file: &Arc<dyn DiskFile>) -> Result<Option<Arc<Sums>>, StoreError> {
        let Some(pinned) = self.sum() else { return Ok(None) };
        if let Some(sums) = &locked(&self.blocks).sums {
            return Ok(Some(Arc::clone(sums)));
        }
        let path = self.id.sum();
        let stored = self.disk().read_all(&path, FILE_BYTES_MAX);
        let stored = stored.ok().and_then(|bytes| Sums::decode(&bytes, self.id, pinned));
        let sums = match stored {
            Some(sums) => sums,
            None => {
                let made = self.sums_of_bytes(file)?;
                let path = path.display();
                if made.encode(self.id).1 != pinned {
                    tracing::error!(%path, "no checksum file, and the log segment changed");
                    return Ok(self.without_sums(made));
                }
                tracing::warn!(%path, "a checksum file was missing; made again, as it was");
                // If it cannot be written now, the next start makes it again.
                if let Err(error) = made.write(&**self.disk(), self.id) {
                    tracing::warn!(%path, %error, "the checksum file cannot be written");
                }
                made
            }
        };
        let sums = Arc::new(sums);
        let found = vec![Found::Unread; sums.blocks.len()];
        *locked(&self.blocks) = Blocks { sums: Some(Arc::clone(&sums)), found };
        Ok(Some(sums))
    }

    /// Some of it rotted and nobody can say where. As appended, each batch speaks for itself;
    /// compacted, nothing is believed.
    fn without_sums(&self, made: Sums) -> Option<Arc<Sums>> {
        if !self.has_gaps() {
            self.set_sum(None);
            return None;
        }
        let (found, sums) = (vec![Found::Bad; made.blocks.len()], Arc::new(made));
        *locked(&self.blocks) = Blocks { sums: Some(Arc::clone(&sums)), found };
        Some(sums)
    }

    fn sums_of_bytes(&self, file: &Arc<dyn DiskFile>) -> Result<Sums, StoreError> {
        let len = self.len_bytes();
        let (mut summer, mut at) = (Summer::default(), 0);
        while at < len {
            let size = BLOCK_BYTES.min(len - at);
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut bytes, at).map_err(|error| self.io(&error))?;
            summer.add(&bytes);
            at += size;
        }
        Ok(summer.finish())
    }
}
