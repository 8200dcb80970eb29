//! Writing one file: temporary name, rows, checksums, sync, real name.
//!
//! Invariant: a file that has its real name is whole and synced; that the name itself is durable
//! is the caller's care, once for all files of a commit.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use yeoul_base::{Disk, DiskFile, Open};

use crate::error::TableError;
use crate::folder::{segment_file, temporary_file};
use crate::segment::{BLOCK_BYTES, BLOCKS_KEY, SORT_KEY, SegmentId, SegmentMeta, blocks_text};
use crate::sort::{self, times};
use crate::spec::{Granularity, TableSpec};

const FORMAT: &str = "2";
const ROW_GROUP_ROWS: usize = 131_072;
const PAGE_ROWS: usize = 8_192;
const WRITE_BUFFER_BYTES: usize = 256 << 10;

/// How hard a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Rows wait for it, and it is folded away soon.
    Seal,
    Compaction,
}

/// Cuts sorted rows at intervals, where each side keeps `rows_min` rows: many small files cost
/// more than one that spans intervals.
pub(crate) fn cut(
    rows: &RecordBatch,
    granularity: Granularity,
    rows_min: usize,
) -> Result<Vec<RecordBatch>, TableError> {
    let times = times(rows)?;
    let total = times.len();
    let mut files = Vec::new();
    let mut start = 0;
    let mut before = times.first().map(|time| granularity.interval(*time));
    for (index, time) in times.iter().enumerate() {
        let interval = Some(granularity.interval(*time));
        if interval != before {
            before = interval;
            if index - start >= rows_min && total - index >= rows_min {
                files.push(rows.slice(start, index - start));
                start = index;
            }
        }
    }
    files.push(rows.slice(start, total - start));
    Ok(files)
}

/// Where files go.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) folder: &'a Path,
    pub(crate) spec: &'a TableSpec,
}

/// A file being written. Dropped before [`Output::finish`], it removes what it wrote.
pub(crate) struct Output {
    disk: Arc<dyn Disk>,
    id: SegmentId,
    temporary: PathBuf,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    sums: Arc<Mutex<Sums>>,
    /// `None` once finished.
    writer: Option<ArrowWriter<FileWriter>>,
    rows: u64,
    min_us: i64,
    max_us: i64,
}

impl Output {
    pub(crate) fn create(
        target: Target<'_>,
        id: SegmentId,
        schema: SchemaRef,
        effort: Effort,
    ) -> Result<Self, TableError> {
        let properties = properties(target.spec, effort)?;
        let temporary = temporary_file(target.folder, id);
        let disk = Arc::clone(target.disk);
        let file = disk.open(&temporary, Open::CreateNew).map_err(TableError::disk(&temporary))?;
        let sums = Arc::new(Mutex::new(Sums::default()));
        let inner = FileWriter::new(Arc::clone(&file), Arc::clone(&sums));
        let path = segment_file(target.folder, id);
        let writer = ArrowWriter::try_new(inner, schema, Some(properties));
        let mut output = Self {
            disk,
            id,
            temporary,
            path,
            file,
            sums,
            writer: None,
            rows: 0,
            min_us: i64::MAX,
            max_us: i64::MIN,
        };
        // Put in last, so that the file goes when the writer cannot be made.
        output.writer = Some(writer?);
        Ok(output)
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), TableError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let times = times(rows)?;
        writer.write(rows)?;
        self.rows += rows.num_rows() as u64;
        self.min_us = times.iter().copied().fold(self.min_us, i64::min);
        self.max_us = times.iter().copied().fold(self.max_us, i64::max);
        Ok(())
    }

    /// Ends the file and syncs it.
    pub(crate) fn finish(mut self) -> Result<SegmentMeta, TableError> {
        let Some(mut writer) = self.writer.take() else {
            return Err(TableError::Corrupt("a file was finished twice".into()));
        };
        let meta = self.close(&mut writer);
        drop(writer);
        if meta.is_err() {
            self.discard();
        }
        meta
    }

    fn close(&self, writer: &mut ArrowWriter<FileWriter>) -> Result<SegmentMeta, TableError> {
        writer.flush()?;
        // All whole blocks so far; what follows is the tail, footer included.
        let blocks = locked(&self.sums).end_of_blocks();
        let text = blocks_text(&blocks);
        writer.append_key_value_metadata(KeyValue::new(BLOCKS_KEY.to_owned(), text));
        writer.finish()?;
        writer.inner_mut().flush().map_err(TableError::disk(&self.temporary))?;
        let bytes = writer.inner().at;
        self.file.sync_data().map_err(TableError::disk(&self.temporary))?;
        self.disk.rename(&self.temporary, &self.path).map_err(TableError::disk(&self.path))?;
        Ok(SegmentMeta {
            id: self.id,
            rows: self.rows,
            bytes,
            min_us: self.min_us,
            max_us: self.max_us,
            tail_bytes: bytes - blocks.len() as u64 * BLOCK_BYTES,
            tail_crc: locked(&self.sums).tail_crc,
        })
    }

    fn discard(&self) {
        for path in [&self.temporary, &self.path] {
            // What stays is removed when the table is opened next.
            let _ = self.disk.remove_file(path);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            self.discard();
        }
    }
}

fn locked(sums: &Mutex<Sums>) -> std::sync::MutexGuard<'_, Sums> {
    sums.lock().unwrap_or_else(PoisonError::into_inner)
}

fn properties(spec: &TableSpec, effort: Effort) -> Result<WriterProperties, TableError> {
    let metadata = vec![
        KeyValue::new("yeoul.format".to_owned(), FORMAT.to_owned()),
        KeyValue::new("yeoul.table".to_owned(), spec.name.clone()),
        KeyValue::new(SORT_KEY.to_owned(), sort::label(spec)),
    ];
    let level = match effort {
        Effort::Seal => 1,
        Effort::Compaction => 3,
    };
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        // Pages end only between write batches, so these must not be larger than a page.
        .set_write_batch_size(PAGE_ROWS)
        .set_created_by("yeoul".to_owned())
        .set_key_value_metadata(Some(metadata))
        .build();
    Ok(properties)
}

/// Checksums of what passes: of each whole block until the tail begins, then of the tail.
#[derive(Debug, Default)]
struct Sums {
    blocks: Vec<u32>,
    /// Bytes of the block that is not whole yet, and their checksum.
    partial: u64,
    partial_crc: u32,
    in_tail: bool,
    tail_crc: u32,
}

impl Sums {
    fn add(&mut self, mut bytes: &[u8]) {
        if self.in_tail {
            self.tail_crc = crc32c::crc32c_append(self.tail_crc, bytes);
            return;
        }
        while !bytes.is_empty() {
            let room = usize::try_from(BLOCK_BYTES - self.partial).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.partial_crc = crc32c::crc32c_append(self.partial_crc, now);
            self.partial += now.len() as u64;
            if self.partial == BLOCK_BYTES {
                self.blocks.push(self.partial_crc);
                (self.partial, self.partial_crc) = (0, 0);
            }
            bytes = rest;
        }
    }

    /// From here on all bytes, those of the block that is not whole included, are the tail's.
    fn end_of_blocks(&mut self) -> Vec<u32> {
        self.in_tail = true;
        self.tail_crc = self.partial_crc;
        self.blocks.clone()
    }
}

/// Collects small writes; what is written lies at the end of what was written before.
struct FileWriter {
    file: Arc<dyn DiskFile>,
    sums: Arc<Mutex<Sums>>,
    buffer: Vec<u8>,
    at: u64,
}

impl FileWriter {
    fn new(file: Arc<dyn DiskFile>, sums: Arc<Mutex<Sums>>) -> Self {
        Self { file, sums, buffer: Vec::with_capacity(WRITE_BUFFER_BYTES), at: 0 }
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked(&self.sums).add(bytes);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BUFFER_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
