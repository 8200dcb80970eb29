//! One log segment: a file of whole batches of one partition, in order, and the sparse index
//! over it.
//!
//! The index is a cache in memory, built by reading batch headers as far as a lookup needs it:
//! appends do nothing for it, and a crash cannot make it wrong.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use yeoul_base::{Disk, DiskFile, Offset, Open, PartId, StoreError};

use crate::batch::{self, BatchHeader, HEADER_BYTES};
use crate::blocks::Blocks;
use crate::locked;
use crate::paths::FileId;
use crate::planted::{self, Planted};
use crate::quarantine::Hole;
use crate::snapshot::SegmentState;

/// Bytes of log between two entries of the index.
const INDEX_EVERY_BYTES: u64 = 4096;
/// Headers are read in pieces of this size.
const SCAN_BYTES: usize = 64 << 10;
/// Growing a file by more than this at once is slower per byte.
pub(crate) const WRITE_BYTES: usize = 64 << 10;
/// No read takes more, unless a single batch does.
const READ_BYTES_MAX: usize = 8 << 20;

#[derive(Debug, Clone, Copy)]
struct Entry {
    base: Offset,
    position: u64,
    /// Largest timestamp of all batches before this one.
    max_before_ms: i64,
}

#[derive(Debug, Default)]
struct Index {
    entries: Vec<Entry>,
    built_to: u64,
    /// Base offset of the batch at `built_to`; `None` at the start.
    next: Option<Offset>,
    max_ms: Option<i64>,
}

#[derive(Debug)]
struct State {
    file: Option<Arc<dyn DiskFile>>,
    len_bytes: u64,
    max_timestamp_ms: i64,
    /// Behind the last offset it covers, whether that is still there or compacted away.
    end: Offset,
    /// Nothing is appended any more, although it is the newest.
    closed: bool,
    /// Damaged bytes that are passed over.
    holes: Vec<Hole>,
    /// Bytes, and the offset after them, that the last checkpoint synced.
    synced: (u64, Offset),
    /// When all of it was last found to be what was written.
    checked_ms: i64,
    /// Checksum of its checksum file, once there is one.
    sum: Option<u32>,
}

/// A file `parts/<partition>/<base offset>[-<generation>].log`.
#[derive(Debug)]
pub(crate) struct LogSegment {
    disk: Arc<dyn Disk>,
    pub(crate) id: FileId,
    pub(crate) base: Offset,
    /// When the node began it, in milliseconds since 1970.
    pub(crate) created_ms: i64,
    state: Mutex<State>,
    index: Mutex<Index>,
    pub(crate) blocks: Mutex<Blocks>,
}

impl LogSegment {
    /// One that is made by the first append.
    pub(crate) fn new(disk: Arc<dyn Disk>, id: FileId, created_ms: i64) -> Self {
        let state = State {
            file: None,
            len_bytes: 0,
            max_timestamp_ms: i64::MIN,
            end: id.base,
            closed: false,
            holes: Vec::new(),
            synced: (0, id.base),
            checked_ms: created_ms,
            sum: None,
        };
        let (state, index, blocks) = (Mutex::new(state), Mutex::default(), Mutex::default());
        Self { disk, id, base: id.base, created_ms, state, index, blocks }
    }

    /// One whose file is as a snapshot says.
    pub(crate) fn load(disk: Arc<dyn Disk>, part: PartId, known: &SegmentState) -> Self {
        let segment = Self::new(disk, known.file(part), known.created_ms);
        {
            let mut state = locked(&segment.state);
            state.len_bytes = known.len_bytes;
            state.max_timestamp_ms = known.max_timestamp_ms;
            state.end = known.end;
            state.synced = (known.len_bytes, known.end);
            state.checked_ms = known.checked_ms;
            state.sum = known.sum;
            // Its checksums cover what is there, or it is not as it was appended.
            state.closed = known.sum.is_some() || known.generation > 0;
        }
        segment
    }

    /// As a snapshot keeps it, without what was aborted in it.
    pub(crate) fn known(&self) -> SegmentState {
        let state = locked(&self.state);
        SegmentState {
            base: self.base,
            end: state.end,
            generation: self.id.generation,
            len_bytes: state.len_bytes,
            max_timestamp_ms: state.max_timestamp_ms,
            created_ms: self.created_ms,
            checked_ms: state.checked_ms,
            sum: state.sum,
            aborted: Vec::new(),
        }
    }

    pub(crate) fn sum(&self) -> Option<u32> {
        locked(&self.state).sum
    }

    pub(crate) fn set_sum(&self, sum: Option<u32>) {
        locked(&self.state).sum = sum;
    }

    pub(crate) fn checked_ms(&self) -> i64 {
        locked(&self.state).checked_ms
    }

    pub(crate) fn set_checked_ms(&self, now_ms: i64) {
        locked(&self.state).checked_ms = now_ms;
    }

    pub(crate) fn end(&self) -> Offset {
        locked(&self.state).end
    }

    pub(crate) fn is_closed(&self) -> bool {
        locked(&self.state).closed
    }

    /// The next batch begins another log segment.
    pub(crate) fn close(&self) {
        locked(&self.state).closed = true;
    }

    /// Whether offsets may be missing in it.
    pub(crate) fn has_gaps(&self) -> bool {
        self.id.generation > 0
    }

    pub(crate) fn len_bytes(&self) -> u64 {
        locked(&self.state).len_bytes
    }

    pub(crate) fn max_timestamp_ms(&self) -> i64 {
        locked(&self.state).max_timestamp_ms
    }

    pub(crate) fn synced(&self) -> (u64, Offset) {
        locked(&self.state).synced
    }

    pub(crate) fn set_synced(&self, len_bytes: u64, end: Offset) {
        let mut state = locked(&self.state);
        // It may have been cut meanwhile.
        if len_bytes <= state.len_bytes {
            state.synced = (len_bytes, end);
        }
    }

    /// Forgets what is not synced; what lies there on disk is no longer this segment's.
    pub(crate) fn cut_unsynced(&self) {
        let mut state = locked(&self.state);
        (state.len_bytes, state.end) = state.synced;
        state.closed = true;
        state.file = None;
        drop(state);
        *locked(&self.index) = Index::default();
    }

    /// From now on these bytes are passed over.
    pub(crate) fn add_hole(&self, hole: Hole) {
        let mut state = locked(&self.state);
        if !state.holes.contains(&hole) {
            state.holes.push(hole);
            drop(state);
            // It may have been built from the damaged bytes.
            *locked(&self.index) = Index::default();
        }
    }

    pub(crate) fn hole_at(&self, position: u64) -> Option<Hole> {
        locked(&self.state).holes.iter().find(|hole| hole.from == position).copied()
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(crate) fn file(&self) -> io::Result<Arc<dyn DiskFile>> {
        match &locked(&self.state).file {
            Some(file) => Ok(Arc::clone(file)),
            None => self.disk.open(&self.id.log(), Open::Read),
        }
    }

    /// Adds one batch behind the others. Only the writer appends, so the length cannot move
    /// between being read and being set. A failed append leaves the length as it was.
    pub(crate) fn append(
        &self,
        bytes: &[u8],
        last: Offset,
        max_timestamp_ms: i64,
    ) -> io::Result<()> {
        let (file, len) = {
            let mut state = locked(&self.state);
            let file = match &state.file {
                Some(file) => Arc::clone(file),
                None => {
                    let file = self.disk.open(&self.id.log(), Open::Create)?;
                    // Bytes of an earlier, crashed life of this file are not this segment's.
                    if file.len_bytes()? != state.len_bytes {
                        file.set_len(state.len_bytes)?;
                    }
                    state.file = Some(Arc::clone(&file));
                    file
                }
            };
            (file, state.len_bytes)
        };
        let mut at = len;
        for piece in bytes.chunks(WRITE_BYTES) {
            file.write_all_at(piece, at)?;
            at += piece.len() as u64;
        }
        let mut state = locked(&self.state);
        state.len_bytes = at;
        state.end = last + 1;
        state.max_timestamp_ms = state.max_timestamp_ms.max(max_timestamp_ms);
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file()?.sync_data()
    }

    /// Lets go of the open file; reads open it again.
    pub(crate) fn release(&self) {
        locked(&self.state).file = None;
    }

    /// Whole batches from the one that holds `from`, in one piece, checked: each batch's checksum
    /// holds and its offsets follow the one before. Where `from` was compacted away, from the
    /// next batch; none begins at or after `end`. With the offset after the last of them; `None`
    /// when there is none.
    pub(crate) fn read(
        &self,
        from: Offset,
        end: Offset,
        max_bytes: usize,
    ) -> Result<Option<(Bytes, Offset)>, StoreError> {
        let len = self.len_bytes();
        let file = self.file().map_err(|e| self.io(&e))?;
        let located = self.locate(Scan::new(Arc::clone(&file), len), from)?;
        let Some((position, header)) = located else { return Ok(None) };
        if header.base_offset >= end {
            return Ok(None);
        }
        let first = header.size_bytes();
        let left = usize::try_from(len - position).unwrap_or(usize::MAX);
        let want = max_bytes.min(READ_BYTES_MAX).max(first).min(left);
        let trusted = self.check_blocks(&file, position, want)?;
        if trusted < first {
            return Err(self.corrupt(position, "a block fails its checksum"));
        }
        let want = want.min(trusted);
        let mut bytes = vec![0; want];
        file.read_exact_at(&mut bytes, position).map_err(|e| self.io(&e))?;
        let (whole, next) = self.check(&bytes, (header.base_offset, end), position)?;
        bytes.truncate(whole);
        Ok(Some((Bytes::from(bytes), next)))
    }

    /// Whether a batch may come where `expected` is the next offset.
    pub(crate) fn follows(&self, header: &BatchHeader, expected: Offset) -> bool {
        let gap = self.has_gaps() && header.base_offset > expected;
        (header.base_offset == expected || gap) && header.last_offset() < self.end()
    }

    /// How many bytes are whole, good batches that begin before `end`, and the offset after them;
    /// an error when not even the first is good.
    fn check(
        &self,
        bytes: &[u8],
        (base, end): (Offset, Offset),
        position: u64,
    ) -> Result<(usize, Offset), StoreError> {
        let mut done = 0;
        let mut expected = base;
        while (done == 0 || expected < end)
            && let Some(rest) = bytes.get(done..)
            && let Ok(header) = BatchHeader::parse(rest)
            && let Some(batch) = rest.get(..header.size_bytes())
        {
            let sound = self.follows(&header, expected)
                && (batch::check_stored(batch).is_ok() || planted::is(Planted::TrustSegments));
            if !sound || header.base_offset >= end {
                break;
            }
            expected = header.last_offset() + 1;
            done += batch.len();
        }
        if done == 0 {
            return Err(self.corrupt(position, "a batch fails its checksum"));
        }
        Ok((done, expected))
    }

    /// Position and header of the batch that holds `offset`, or of the first one behind it.
    fn locate(
        &self,
        mut scan: Scan,
        offset: Offset,
    ) -> Result<Option<(u64, BatchHeader)>, StoreError> {
        let (mut position, mut base) = {
            let mut index = locked(&self.index);
            self.extend(&mut index, &mut scan, |entry| entry.base > offset)?;
            let after = index.entries.partition_point(|entry| entry.base <= offset);
            let entry = after.checked_sub(1).and_then(|at| index.entries.get(at));
            entry.map_or((0, self.base), |entry| (entry.position, entry.base))
        };
        while position < scan.len {
            if let Some(hole) = self.hole_at(position) {
                (position, base) = (hole.to, hole.next);
                continue;
            }
            let header = self.header_at(&mut scan, position, base)?;
            if header.last_offset() >= offset {
                return Ok(Some((position, header)));
            }
            position += header.size_bytes() as u64;
            base = header.last_offset() + 1;
        }
        if self.has_gaps() || offset >= self.end() {
            return Ok(None);
        }
        Err(self.corrupt(position, &format!("offset {offset} is missing")))
    }

    /// Base offset of a batch at or before the first one that reaches `timestamp_ms`.
    pub(crate) fn seek_time(&self, timestamp_ms: i64) -> Result<Offset, StoreError> {
        let mut scan = Scan::new(self.file().map_err(|e| self.io(&e))?, self.len_bytes());
        let mut index = locked(&self.index);
        self.extend(&mut index, &mut scan, |entry| entry.max_before_ms >= timestamp_ms)?;
        let after = index.entries.partition_point(|entry| entry.max_before_ms < timestamp_ms);
        let entry = after.checked_sub(1).and_then(|at| index.entries.get(at));
        Ok(entry.map_or(self.base, |entry| entry.base))
    }

    /// Builds the index until an entry is enough, or to the end.
    fn extend(
        &self,
        index: &mut Index,
        scan: &mut Scan,
        enough: impl Fn(&Entry) -> bool,
    ) -> Result<(), StoreError> {
        while index.built_to < scan.len && !index.entries.last().is_some_and(&enough) {
            let position = index.built_to;
            if let Some(hole) = self.hole_at(position) {
                (index.built_to, index.next) = (hole.to, Some(hole.next));
                continue;
            }
            let header = self.header_at(scan, position, index.next.unwrap_or(self.base))?;
            let due = index
                .entries
                .last()
                .is_none_or(|last| position - last.position >= INDEX_EVERY_BYTES);
            if due {
                index.entries.push(Entry {
                    base: header.base_offset,
                    position,
                    max_before_ms: index.max_ms.unwrap_or(i64::MIN),
                });
            }
            index.max_ms = index.max_ms.max(Some(header.max_timestamp_ms));
            index.built_to = position + header.size_bytes() as u64;
            index.next = Some(header.last_offset() + 1);
        }
        Ok(())
    }

    /// The header there. Offsets lie outside the batch's checksum: they are right when they go on
    /// from the batch before.
    fn header_at(
        &self,
        scan: &mut Scan,
        position: u64,
        base: Offset,
    ) -> Result<BatchHeader, StoreError> {
        // Where offsets may be missing, a header is only as good as its block.
        if self.has_gaps() && self.check_blocks(&scan.file, position, HEADER_BYTES)? == 0 {
            return Err(self.corrupt(position, "a block fails its checksum"));
        }
        let bytes = scan.bytes_at(position).map_err(|e| self.io(&e))?;
        let header = BatchHeader::parse(bytes)
            .map_err(|error| self.corrupt(position, &error.to_string()))?;
        if position + header.size_bytes() as u64 > scan.len {
            return Err(self.corrupt(position, "a batch ends beyond the file"));
        }
        if !self.follows(&header, base) {
            return Err(self.corrupt(position, "a batch's offsets do not follow the one before"));
        }
        Ok(header)
    }

    pub(crate) fn corrupt(&self, position: u64, what: &str) -> StoreError {
        let path = self.id.log();
        StoreError::Corrupt(format!("{} at byte {position}: {what}", path.display()))
    }

    pub(crate) fn io(&self, error: &io::Error) -> StoreError {
        let path = self.id.log();
        StoreError::Io(format!("{}: {error}", path.display()))
    }
}

/// Reads headers here and there with few calls to the disk.
struct Scan {
    file: Arc<dyn DiskFile>,
    len: u64,
    piece: Vec<u8>,
    piece_at: u64,
}

impl Scan {
    fn new(file: Arc<dyn DiskFile>, len: u64) -> Self {
        Self { file, len, piece: Vec::new(), piece_at: 0 }
    }

    /// The bytes from `position`: a header's worth, or less at the end.
    fn bytes_at(&mut self, position: u64) -> io::Result<&[u8]> {
        let need = (HEADER_BYTES as u64).min(self.len.saturating_sub(position));
        let held_to = self.piece_at + self.piece.len() as u64;
        if position < self.piece_at || position + need > held_to {
            let size = (SCAN_BYTES as u64).min(self.len.saturating_sub(position));
            self.piece.resize(usize::try_from(size).unwrap_or(SCAN_BYTES), 0);
            self.file.read_exact_at(&mut self.piece, position)?;
            self.piece_at = position;
        }
        let skip = usize::try_from(position - self.piece_at).unwrap_or(usize::MAX);
        Ok(self.piece.get(skip..).unwrap_or_default())
    }
}
