//! Goes through a closed log segment batch by batch and checks everything on the way: each
//! batch's checksum, and that its offsets follow the one before. For compaction and checks, which
//! read whole files.

use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::{DiskFile, Offset, StoreError};

use crate::batch::{self, BatchHeader, HEADER_BYTES};
use crate::segment::LogSegment;
use crate::snapshot::SegmentState;

/// Read at once, unless a batch is larger.
const PIECE_BYTES: u64 = 1 << 20;

/// See the module's head.
pub(crate) struct Walk<'a> {
    segment: &'a LogSegment,
    file: Arc<dyn DiskFile>,
    len: u64,
    end: Offset,
    /// Where the next batch begins, and the offset it has at least.
    at: u64,
    expected: Offset,
    piece: Bytes,
    piece_at: u64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(segment: &'a LogSegment) -> Result<Self, StoreError> {
        let file = segment.file().map_err(|error| segment.io(&error))?;
        // Both at one moment: it may be appended to.
        let SegmentState { len_bytes: len, end, .. } = segment.known();
        let expected = segment.base;
        Ok(Self { segment, file, len, end, at: 0, expected, piece: Bytes::new(), piece_at: 0 })
    }

    /// The next batch; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(BatchHeader, Bytes)>, StoreError> {
        let at = self.at;
        if at >= self.len {
            let whole = self.segment.has_gaps() || self.expected == self.end;
            let what = "offsets are missing at the end";
            return if whole { Ok(None) } else { Err(self.segment.corrupt(at, what)) };
        }
        let bad = |error: batch::BatchError| self.segment.corrupt(at, &error.to_string());
        let header = BatchHeader::parse(&self.bytes(HEADER_BYTES)?).map_err(bad)?;
        let batch = self.bytes(header.size_bytes())?;
        let bad = |error: batch::BatchError| self.segment.corrupt(at, &error.to_string());
        batch::check_stored(&batch).map_err(bad)?;
        if !self.segment.follows(&header, self.expected) {
            let what = "a batch's offsets do not follow the one before";
            return Err(self.segment.corrupt(at, what));
        }
        self.at += batch.len() as u64;
        self.expected = header.last_offset() + 1;
        Ok(Some((header, batch)))
    }

    /// The next `count` bytes.
    fn bytes(&mut self, count: usize) -> Result<Bytes, StoreError> {
        let need = count as u64;
        if self.at + need > self.len {
            return Err(self.segment.corrupt(self.at, "a batch ends beyond the file"));
        }
        if self.at + need > self.piece_at + self.piece.len() as u64 {
            let size = need.max(PIECE_BYTES).min(self.len - self.at);
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let trusted = self.segment.check_blocks(&self.file, self.at, size)?;
            if trusted < count {
                return Err(self.segment.corrupt(self.at, "a block fails its checksum"));
            }
            let mut piece = vec![0; trusted];
            let read = self.file.read_exact_at(&mut piece, self.at);
            read.map_err(|error| self.segment.io(&error))?;
            (self.piece, self.piece_at) = (Bytes::from(piece), self.at);
        }
        let skip = usize::try_from(self.at - self.piece_at).unwrap_or(usize::MAX);
        Ok(self.piece.slice(skip..skip + count))
    }
}
