//! Finds out how far damage in a log segment reaches: from the first batch that does not hold to
//! the next one that does. Slow and careful, for it runs only after a read has failed.
//!
//! Where the batches' headers do not lead on, the next batch is searched byte by byte. Bytes that
//! somebody sent as a record's value may look like a batch: one is believed only when its
//! checksum holds and others follow it, with the offsets they must have, to the end.

use std::io;
use std::sync::Arc;

use yeoul_base::{DiskFile, Offset};

use crate::batch::{self, BatchHeader, HEADER_BYTES};
use crate::quarantine::{Hole, Lost};
use crate::segment::LogSegment;
use crate::snapshot::SegmentState;

/// Batches that must follow one that was found by search, unless the file ends before.
const CHAIN: usize = 16;
/// The file is searched in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;
/// No more damaged bytes than this are kept aside.
const KEPT_BYTES_MAX: u64 = 64 << 20;

/// What was found.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) lost: Lost,
    /// Where in the file it begins.
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
}

struct Search<'a> {
    segment: &'a LogSegment,
    file: Arc<dyn DiskFile>,
    /// Length and end of one moment: the file may be appended to, and what came since must not
    /// look like offsets that are missing.
    len: u64,
    end: Offset,
}

impl LogSegment {
    /// The damage that a reader of `from` meets first; `None` when all reads well this time.
    pub(crate) fn find_damage(&self, from: Offset) -> io::Result<Option<Damage>> {
        let SegmentState { len_bytes: len, end, .. } = self.known();
        let search = Search { segment: self, file: self.file()?, len, end };
        let (mut at, mut base) = (0, self.base);
        while at < search.len {
            if let Some(hole) = self.hole_at(at) {
                (at, base) = (hole.to, hole.next);
                continue;
            }
            let header = search.header(at)?.filter(|header| self.follows(header, base));
            let Some(header) = header else { return search.up_to_next(at, base).map(Some) };
            if self.distrusts(at, header.size_bytes()) {
                return search.up_to_next(at, base).map(Some);
            }
            let next = at + header.size_bytes() as u64;
            let after = header.last_offset() + 1;
            if after > from && !search.holds(at, &header)? {
                let leads_on = if next == search.len {
                    after == search.end || self.has_gaps()
                } else {
                    let follower = search.header(next)?;
                    self.hole_at(next).is_some()
                        || follower.is_some_and(|header| self.follows(&header, after))
                };
                if !leads_on {
                    return search.up_to_next(at, base).map(Some);
                }
                let reason = format!("{} at byte {at}: bad checksum", self.id.log().display());
                let range = (header.base_offset, header.last_offset());
                let lost = Lost::of_records(self.id.part, range, reason);
                return Ok(Some(Damage { lost, at, bytes: search.bytes(at, next)? }));
            }
            (at, base) = (next, after);
        }
        Ok(None)
    }
}

impl Search<'_> {
    fn bytes(&self, from: u64, to: u64) -> io::Result<Vec<u8>> {
        let len = (to.min(self.len) - from).min(KEPT_BYTES_MAX);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }

    /// A header with room for its batch.
    fn header(&self, at: u64) -> io::Result<Option<BatchHeader>> {
        if at + HEADER_BYTES as u64 > self.len {
            return Ok(None);
        }
        let header = BatchHeader::parse(&self.bytes(at, at + HEADER_BYTES as u64)?).ok();
        Ok(header.filter(|header| at + header.size_bytes() as u64 <= self.len))
    }

    fn holds(&self, at: u64, header: &BatchHeader) -> io::Result<bool> {
        let batch = self.bytes(at, at + header.size_bytes() as u64)?;
        Ok(batch::check_stored(&batch).is_ok() && !self.segment.distrusts(at, batch.len()))
    }

    /// All from `at`, where the offset should be `base`, to the next batch that can be believed.
    fn up_to_next(&self, at: u64, base: Offset) -> io::Result<Damage> {
        let (to, next) = self.next_batch(at, base)?.unwrap_or((self.len, self.end));
        let reason = format!("{} at byte {at}: no batch here", self.segment.id.log().display());
        let mut lost = Lost::of_records(self.segment.id.part, (base, next - 1), reason);
        lost.hole = Some((self.segment.id, Hole { from: at, to, next }));
        Ok(Damage { lost, at, bytes: self.bytes(at, to)? })
    }

    fn next_batch(&self, after: u64, base: Offset) -> io::Result<Option<(u64, Offset)>> {
        let mut piece_at = after + 1;
        while piece_at + HEADER_BYTES as u64 <= self.len {
            let piece = self.bytes(piece_at, piece_at + PIECE_BYTES as u64)?;
            for (index, head) in piece.windows(HEADER_BYTES).enumerate() {
                // The version first: it is nearly always wrong.
                let plausible = head.get(16) == Some(&2)
                    && BatchHeader::parse(head).is_ok_and(|header| {
                        header.base_offset > base && header.last_offset() < self.end
                    });
                let at = piece_at + index as u64;
                if plausible && self.believed(at)? {
                    return Ok(self.header(at)?.map(|header| (at, header.base_offset)));
                }
            }
            let searched = piece.len() - (HEADER_BYTES - 1).min(piece.len() - 1);
            piece_at += searched as u64;
        }
        Ok(None)
    }

    fn believed(&self, found: u64) -> io::Result<bool> {
        let mut at = found;
        let mut expected = None;
        for _ in 0..CHAIN {
            let Some(header) = self.header(at)? else { return Ok(false) };
            let follows = expected.is_none_or(|base| self.segment.follows(&header, base));
            if !follows || (at == found && !self.holds(at, &header)?) {
                return Ok(false);
            }
            at += header.size_bytes() as u64;
            let after = header.last_offset() + 1;
            if at == self.len {
                return Ok(after == self.end || self.segment.has_gaps());
            }
            expected = Some(after);
        }
        Ok(true)
    }
}
