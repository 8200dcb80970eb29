//! The file a group of log segments becomes. As long as nothing differs from a single source
//! nothing is written: then the source stays.

use std::io;
use std::sync::Arc;

use yeoul_base::{Disk, DiskFile, Offset, Open, StoreError};

use crate::paths::FileId;
use crate::segment::LogSegment;
use crate::snapshot::SegmentState;
use crate::sums::Summer;

const BUFFER_BYTES: usize = 256 << 10;

pub(super) struct Output {
    disk: Arc<dyn Disk>,
    id: FileId,
    first: Arc<LogSegment>,
    /// Bytes from the source's start that are the same so far.
    same: u64,
    file: Option<Arc<dyn DiskFile>>,
    buffer: Vec<u8>,
    written: u64,
    summer: Summer,
}

impl Output {
    pub(super) fn new(disk: &Arc<dyn Disk>, first: &Arc<LogSegment>, generation: u32) -> Self {
        Self {
            disk: Arc::clone(disk),
            id: FileId { generation, ..first.id },
            first: Arc::clone(first),
            same: 0,
            file: None,
            buffer: Vec::new(),
            written: 0,
            summer: Summer::default(),
        }
    }

    fn io(&self, error: &io::Error) -> StoreError {
        StoreError::Io(format!("{}: {error}", self.id.log().display()))
    }

    /// A batch that stays as it is.
    pub(super) fn same(&mut self, batch: &[u8]) -> Result<(), StoreError> {
        let more = self.same + batch.len() as u64;
        if self.file.is_none() && more <= self.first.len_bytes() {
            self.same = more;
            return Ok(());
        }
        self.start()?;
        self.put(batch)
    }

    /// A batch in the place of another.
    pub(super) fn other(&mut self, batch: &[u8]) -> Result<(), StoreError> {
        self.start()?;
        self.put(batch)
    }

    /// A batch that is left out.
    pub(super) fn gone(&mut self) -> Result<(), StoreError> {
        self.start()
    }

    /// Opens the file and copies what was the same before.
    fn start(&mut self) -> Result<(), StoreError> {
        if self.file.is_some() {
            return Ok(());
        }
        let path = self.id.log();
        let open = || {
            let file = self.disk.open(&path, Open::Create)?;
            // Left by a job that did not end.
            file.set_len(0)?;
            Ok(file)
        };
        self.file = Some(open().map_err(|error: io::Error| self.io(&error))?);
        let source = self.first.file().map_err(|error| self.io(&error))?;
        let mut at = 0;
        while at < self.same {
            let size = (self.same - at).min(BUFFER_BYTES as u64);
            let mut piece = vec![0; usize::try_from(size).unwrap_or(BUFFER_BYTES)];
            source.read_exact_at(&mut piece, at).map_err(|error| self.io(&error))?;
            self.put(&piece)?;
            at += size;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.summer.add(bytes);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        let written = file.write_all_at(&self.buffer, self.written);
        written.map_err(|error| self.io(&error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Syncs the file and its checksums. `None`: the only source stays as it is; `Some(None)`:
    /// nothing is left of the sources.
    pub(super) fn finish(
        mut self,
        group: &[Arc<LogSegment>],
    ) -> Result<Option<Option<Arc<LogSegment>>>, StoreError> {
        if self.file.is_none() && group.len() == 1 {
            return Ok(None);
        }
        self.start()?;
        self.flush()?;
        let Some(file) = self.file.take() else { return Ok(None) };
        if self.written == 0 {
            // Not there at the next start either way.
            let _ = self.disk.remove_file(&self.id.log());
            return Ok(Some(None));
        }
        file.sync_data().map_err(|error| self.io(&error))?;
        let sums = std::mem::take(&mut self.summer).finish();
        let pinned = sums.write(&*self.disk, self.id).map_err(|error| self.io(&error))?;
        let newest = |of: fn(&LogSegment) -> i64| group.iter().map(|segment| of(segment)).max();
        let end: Offset = group.last().map_or(self.id.base, |last| last.end());
        let known = SegmentState {
            base: self.id.base,
            end,
            generation: self.id.generation,
            len_bytes: self.written,
            max_timestamp_ms: newest(LogSegment::max_timestamp_ms).unwrap_or(i64::MIN),
            created_ms: self.first.created_ms,
            checked_ms: newest(LogSegment::checked_ms).unwrap_or(0),
            sum: Some(pinned),
            aborted: Vec::new(),
        };
        let segment = LogSegment::load(Arc::clone(&self.disk), self.id.part, &known);
        segment.pin(sums, pinned);
        Ok(Some(Some(Arc::new(segment))))
    }
}
