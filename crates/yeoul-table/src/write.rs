//! Turning chunks into files: sort, cut at intervals, write, sync, rename.
//!
//! Invariant: the same rows give the same order of rows, whatever chunks they came in.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::{
    SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch,
};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use yeoul_base::{Disk, DiskFile, Open};

use crate::chunk::Chunk;
use crate::error::TableError;
use crate::folder::{segment_file, temporary_file};
use crate::segment::{SegmentId, SegmentMeta, TAIL_BYTES};
use crate::spec::{Granularity, OFFSET, PARTITION, TIME};

const HOUR_US: i64 = 3_600_000_000;
/// A file is cut only where each side keeps this many rows: many small files cost more than one
/// that spans intervals.
const CUT_ROWS_MIN: usize = 65_536;
const ROW_GROUP_ROWS: usize = 131_072;
const PAGE_ROWS: usize = 8_192;
const WRITE_BUFFER_BYTES: usize = 256 << 10;

/// All rows of the chunks in the order they are stored.
pub(crate) fn sorted(
    schema: &SchemaRef,
    chunks: &[Arc<Chunk>],
    sort_by: &[String],
) -> Result<RecordBatch, TableError> {
    let all = concat_batches(schema, chunks.iter().map(|chunk| &chunk.batch))?;
    let hours: Int64Array = times(&all)?.iter().map(|time| time.div_euclid(HOUR_US)).collect();
    let mut keys = vec![sort_key(Arc::new(hours))];
    let names = sort_by.iter().map(String::as_str).chain([TIME, PARTITION, OFFSET]);
    for column in names.filter_map(|name| all.column_by_name(name)) {
        keys.push(sort_key(Arc::clone(column)));
    }
    let order = lexsort_to_indices(&keys, None)?;
    Ok(take_record_batch(&all, &order)?)
}

fn sort_key(values: ArrayRef) -> SortColumn {
    let options = SortOptions { descending: false, nulls_first: true };
    SortColumn { values, options: Some(options) }
}

fn times(batch: &RecordBatch) -> Result<&[i64], TableError> {
    batch
        .column_by_name(TIME)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        .map(|times| times.values().as_ref())
        .ok_or_else(|| TableError::Corrupt(format!("rows without column `{TIME}`")))
}

/// Cuts sorted rows into files.
pub(crate) fn cut(
    rows: &RecordBatch,
    granularity: Granularity,
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
            if index - start >= CUT_ROWS_MIN && total - index >= CUT_ROWS_MIN {
                files.push(rows.slice(start, index - start));
                start = index;
            }
        }
    }
    files.push(rows.slice(start, total - start));
    Ok(files)
}

/// Writes one file, durable when this returns except for its name: the caller syncs the folder.
pub(crate) fn write(
    disk: &dyn Disk,
    folder: &Path,
    table: &str,
    id: SegmentId,
    rows: &RecordBatch,
) -> Result<SegmentMeta, TableError> {
    let temporary = temporary_file(folder, id);
    let file = disk.open(&temporary, Open::CreateNew).map_err(TableError::disk(&temporary))?;
    let mut writer = ArrowWriter::try_new(
        FileWriter::new(Arc::clone(&file)),
        rows.schema(),
        properties(table)?,
    )?;
    writer.write(rows)?;
    let mut out = writer.into_inner()?;
    out.flush().map_err(TableError::disk(&temporary))?;
    file.sync_data().map_err(TableError::disk(&temporary))?;
    let bytes = out.at;
    let tail = bytes.min(TAIL_BYTES);
    let mut last = vec![0; usize::try_from(tail).unwrap_or(0)];
    file.read_exact_at(&mut last, bytes - tail).map_err(TableError::disk(&temporary))?;
    let path = segment_file(folder, id);
    disk.rename(&temporary, &path).map_err(TableError::disk(&path))?;
    let times = times(rows)?;
    Ok(SegmentMeta {
        id,
        rows: rows.num_rows() as u64,
        bytes,
        min_us: times.iter().copied().min().unwrap_or(i64::MAX),
        max_us: times.iter().copied().max().unwrap_or(i64::MIN),
        tail_crc: crc32c::crc32c(&Bytes::from(last)),
    })
}

fn properties(table: &str) -> Result<Option<WriterProperties>, TableError> {
    let metadata = vec![
        KeyValue::new("yeoul.format".to_owned(), "1".to_owned()),
        KeyValue::new("yeoul.table".to_owned(), table.to_owned()),
    ];
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        // Pages end only between write batches, so these must not be larger than a page.
        .set_write_batch_size(PAGE_ROWS)
        .set_created_by("yeoul".to_owned())
        .set_key_value_metadata(Some(metadata))
        .build();
    Ok(Some(properties))
}

/// Collects small writes; what is written lies at the end of what was written before.
struct FileWriter {
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    at: u64,
}

impl FileWriter {
    fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file, buffer: Vec::with_capacity(WRITE_BUFFER_BYTES), at: 0 }
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
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
