//! Rows in memory: the chunks of a table, and what waits for the next seal.
//!
//! Invariant: a chunk never changes; many small ones are replaced by one larger, with the same
//! rows in the same order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use yeoul_base::{Append, Fates, Offset, PartId};

use crate::error::TableError;
use crate::rollup::Rollup;
use crate::spec::TIME;

/// Chunks are joined up to this size: large enough to scan fast, small enough to copy.
const JOIN_ROWS: usize = 32_768;

/// What one read of the input made of the records `from..next`.
#[derive(Debug, Clone)]
pub struct Rows {
    pub part: PartId,
    /// Kafka's number of the same partition.
    pub partition: i32,
    /// The first offset this covers: the table's position of the partition, or beyond it when
    /// the log lost its head.
    pub from: Offset,
    /// The offset to read next.
    pub next: Offset,
    /// The spec's columns. `None`: no record became a row.
    pub rows: Option<RecordBatch>,
    /// The offset of each row's record.
    pub offsets: Vec<Offset>,
    /// What became of the records, as a difference.
    pub fates: Fates,
    /// Dead letters, appended in the commit of the seal.
    pub dead: Vec<Append>,
}

/// Rows in memory, with the columns of origin.
#[derive(Debug)]
pub struct Chunk {
    pub batch: RecordBatch,
    pub min_us: i64,
    pub max_us: i64,
    pub bytes: usize,
}

impl Chunk {
    pub(crate) fn new(batch: RecordBatch) -> Result<Self, TableError> {
        let times = batch
            .column_by_name(TIME)
            .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
            .filter(|times| times.null_count() == 0);
        let Some(times) = times else {
            return Err(TableError::Corrupt(format!("a chunk without whole column `{TIME}`")));
        };
        let min_us = times.values().iter().copied().min().unwrap_or(i64::MAX);
        let max_us = times.values().iter().copied().max().unwrap_or(i64::MIN);
        let bytes = batch.get_array_memory_size();
        Ok(Self { batch, min_us, max_us, bytes })
    }

    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }
}

/// Adds the columns of origin.
pub(crate) fn with_origin(
    schema: &SchemaRef,
    rows: &RecordBatch,
    partition: i32,
    offsets: Vec<Offset>,
) -> Result<RecordBatch, TableError> {
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(Int32Array::from(vec![partition; rows.num_rows()])));
    columns.push(Arc::new(Int64Array::from(offsets)));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// What is not sealed yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) chunks: Vec<Arc<Chunk>>,
    pub(crate) positions: BTreeMap<PartId, Offset>,
    pub(crate) fates: Fates,
    pub(crate) dead: Vec<Append>,
    /// Monotonic time of the oldest append.
    pub(crate) since: Option<Duration>,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) dead_bytes: usize,
}

impl Pending {
    /// Adds a chunk, joining small neighbours so that each row is copied O(log n) times. Of a
    /// rolled-up table equal rows become one where chunks are joined.
    pub(crate) fn push(
        &mut self,
        schema: &SchemaRef,
        rollup: Option<&Rollup>,
        chunk: Chunk,
    ) -> Result<(), TableError> {
        let mut last = chunk;
        while let Some(before) = self.chunks.last()
            && before.rows() < 2 * last.rows()
            && before.rows() + last.rows() <= JOIN_ROWS
        {
            let both = [&before.batch, &last.batch];
            last = Chunk::new(match rollup {
                Some(rollup) => rollup.merge(schema, &both)?,
                None => concat_batches(schema, both)?,
            })?;
            self.chunks.pop();
        }
        self.chunks.push(Arc::new(last));
        self.rows = self.chunks.iter().map(|chunk| chunk.rows()).sum();
        self.bytes = self.chunks.iter().map(|chunk| chunk.bytes).sum();
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Puts back, in front of what came since, what a failed seal had taken.
    pub(crate) fn put_back(&mut self, taken: &Self) {
        let mut chunks = taken.chunks.clone();
        chunks.append(&mut self.chunks);
        self.chunks = chunks;
        for (part, next) in &taken.positions {
            self.positions.entry(*part).or_insert(*next);
        }
        self.fates = sum(&self.fates, &taken.fates);
        let mut dead = taken.dead.clone();
        dead.append(&mut self.dead);
        self.dead = dead;
        self.since = taken.since.or(self.since);
        self.rows += taken.rows;
        self.bytes += taken.bytes;
        self.dead_bytes += taken.dead_bytes;
    }
}

pub(crate) fn sum(a: &Fates, b: &Fates) -> Fates {
    Fates {
        read: a.read + b.read,
        used: a.used + b.used,
        filtered: a.filtered + b.filtered,
        late: a.late + b.late,
        deduplicated: a.deduplicated + b.deduplicated,
        aborted: a.aborted + b.aborted,
        dead: a.dead + b.dead,
        out: a.out + b.out,
    }
}
