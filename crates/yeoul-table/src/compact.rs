//! Compaction: small files become few, sorted as one, in one commit.
//!
//! Invariant: a commit removes exactly the files it read, guarded by their facts, and names the
//! ones that hold their rows; so a crash, a retention or a drop meanwhile leaves the old files or
//! the new ones, never both and never neither.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;
use tracing::{debug, info};
use yeoul_base::{Commit, Guard, StoreError};

use crate::choose::{choose, piece_rows_min};
use crate::error::TableError;
use crate::fold::Folded;
use crate::merge::{Merge, Run};
use crate::segment::{SORT_KEY, Segment, SegmentId, SegmentMeta};
use crate::sort::{self, Order, times};
use crate::spec::CompactLimits;
use crate::table::{Table, locked};
use crate::write::{Effort, Output};

/// Rows read at once of each input.
const READ_ROWS: usize = 2_048;
/// The same, where the rows are wide.
const READ_ROWS_MIN: usize = 64;

/// What one compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactReport {
    pub files_in: u64,
    pub files_out: u64,
    pub rows_in: u64,
    pub rows_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Table {
    /// Whether [`Table::compact`] would find work.
    pub fn compaction_due(&self) -> bool {
        match self.compactor.try_lock() {
            Ok(unfit) => self.chosen(&unfit).is_some(),
            // One is under way.
            Err(_) => false,
        }
    }

    /// Folds the files that are most worth it. Blocks, but nobody else: rows are appended, sealed
    /// and queried meanwhile. `None`: nothing to do, or another compaction of this table runs, or `stop` said
    /// so. What is not committed leaves no file.
    pub fn compact(&self, stop: &dyn Fn() -> bool) -> Result<Option<CompactReport>, TableError> {
        let Ok(mut unfit) = self.compactor.try_lock() else { return Ok(None) };
        while let Some(chosen) = self.chosen(&unfit) {
            if stop() {
                return Ok(None);
            }
            let chosen: HashSet<_> = chosen.into_iter().collect();
            let inputs = locked(&self.state).segments.of(&chosen);
            let inputs = self.fitting(inputs, &mut unfit)?;
            if inputs.len() < 2 {
                continue;
            }
            let ControlFlow::Continue(metas) = self.fold(&inputs, stop)? else {
                return Ok(None);
            };
            return self.commit_fold(&inputs, metas);
        }
        Ok(None)
    }

    fn chosen(&self, unfit: &HashSet<SegmentId>) -> Option<Vec<SegmentId>> {
        let segments = Arc::clone(&locked(&self.state).segments);
        let metas = segments.iter().map(|segment| segment.meta);
        choose(metas, unfit, self.retention_start_us(), &self.compact_limits())
    }

    /// A file that is larger than a share of what may be kept could only be dropped with most of
    /// the table.
    fn compact_limits(&self) -> CompactLimits {
        const SHARE: u64 = 8;
        let limits = self.spec.compact;
        let share = self.spec.retention_bytes.map_or(u64::MAX, |bytes| bytes / SHARE);
        CompactLimits { bytes: limits.bytes.min(share), ..limits }
    }

    /// Those that can be merged with each other within the memory that is allowed. The others
    /// are remembered when they can never be.
    fn fitting(
        &self,
        inputs: Vec<Arc<Segment>>,
        unfit: &mut HashSet<SegmentId>,
    ) -> Result<Vec<Arc<Segment>>, TableError> {
        let mut fitting = Vec::with_capacity(inputs.len());
        let mut memory = 0;
        for input in inputs {
            let footer = match input.footer() {
                Ok(footer) => footer,
                Err(error) if error.is_damage() => {
                    unfit.insert(input.meta.id);
                    tracing::error!(%error, "left out of compaction");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !self.follows(&footer)? {
                unfit.insert(input.meta.id);
                debug!(file = %input.path().display(), "keeps its own order or types");
                continue;
            }
            memory += reading_bytes(&footer);
            if fitting.len() >= 2 && memory > self.spec.compact.memory_bytes {
                break;
            }
            fitting.push(input);
        }
        Ok(fitting)
    }

    /// Whether a file is sorted as this table sorts now, and has no column of another type or
    /// that the table does not know any more: such a file is kept as it is, whole.
    fn follows(&self, footer: &Arc<ParquetMetaData>) -> Result<bool, TableError> {
        let metadata = footer.file_metadata().key_value_metadata().into_iter().flatten();
        let sorted = metadata
            .filter(|entry| entry.key == SORT_KEY)
            .any(|entry| entry.value.as_deref() == Some(&sort::label(&self.spec)));
        let arrow = ArrowReaderMetadata::try_new(Arc::clone(footer), ArrowReaderOptions::new())?;
        let same = arrow.schema().fields().iter().all(|field| {
            let ours = self.schema.field_with_name(field.name());
            ours.is_ok_and(|ours| ours.data_type() == field.data_type())
        });
        Ok(sorted && same)
    }

    /// Writes the inputs' rows to new files. `Break`: it was stopped, and nothing is left.
    fn fold(
        &self,
        inputs: &[Arc<Segment>],
        stop: &dyn Fn() -> bool,
    ) -> Result<ControlFlow<(), Vec<SegmentMeta>>, TableError> {
        let order = Order::new(&self.schema, &self.spec)?;
        let runs = inputs.iter().map(|input| run(input, &self.schema));
        let mut merge = Merge::new(&order, runs.collect::<Result<_, _>>()?)?;
        let rows = inputs.iter().map(|input| input.meta.rows).sum();
        let rollup = match &self.spec.rollup {
            Some(rollup) => Some((rollup, Order::of_groups(&self.schema, &self.spec)?)),
            None => None,
        };
        let mut folded = Folded::new(&self.schema, rollup);
        let mut pieces = Pieces::new(self, inputs.len(), rows);
        loop {
            let done = match stop() {
                true => Ok(None),
                false => pieces.step(&mut merge, &mut folded).map(Some),
            };
            match done {
                Ok(Some(true)) => {}
                Ok(Some(false)) => break,
                Ok(None) => {
                    pieces.discard();
                    return Ok(ControlFlow::Break(()));
                }
                Err(error) => {
                    pieces.discard();
                    return Err(error);
                }
            }
        }
        let metas = pieces.finish()?;
        self.disk.sync_dir(&self.folder).map_err(TableError::disk(&self.folder))?;
        Ok(ControlFlow::Continue(metas))
    }

    fn commit_fold(
        &self,
        inputs: &[Arc<Segment>],
        metas: Vec<SegmentMeta>,
    ) -> Result<Option<CompactReport>, TableError> {
        let _order = locked(&self.manifest);
        let mut commit = Commit { fence: Some(self.fence.clone()), ..Commit::default() };
        for input in inputs {
            let key = self.naming.segment(input.meta.id);
            commit.guards.push(Guard { key: key.clone(), expect: Some(input.meta.encode()) });
            commit.facts.push((key, None));
        }
        for meta in &metas {
            commit.facts.push((self.naming.segment(meta.id), Some(meta.encode())));
        }
        let mut report = report(inputs, &metas);
        match self.store.commit(commit) {
            Ok(_) => {}
            Err(StoreError::GuardMismatch(_)) => {
                // Retention or a drop was faster: what was written is of no use.
                metas.into_iter().for_each(|meta| self.segment(meta).doom());
                return Ok(None);
            }
            // Whether it is durable may be unknown: the next opening sees which files count.
            Err(error) => return Err(error.into()),
        }
        let gone: HashSet<_> = inputs.iter().map(|input| input.meta.id).collect();
        let mut state = locked(&self.state);
        let new = metas.into_iter().map(|meta| self.segment(meta));
        state.segments = Arc::new(state.segments.changed(&gone, new));
        drop(state);
        inputs.iter().for_each(|input| input.doom());
        if report.rows_in != report.rows_out {
            // Rolled up further: a count of stored rows is another one.
            self.changed();
        }
        info!(table = self.spec.name, ?report, "compacted");
        report.files_in = inputs.len() as u64;
        Ok(Some(report))
    }
}

fn report(inputs: &[Arc<Segment>], metas: &[SegmentMeta]) -> CompactReport {
    CompactReport {
        files_in: inputs.len() as u64,
        files_out: metas.len() as u64,
        rows_in: inputs.iter().map(|input| input.meta.rows).sum(),
        rows_out: metas.iter().map(|meta| meta.rows).sum(),
        bytes_in: inputs.iter().map(|input| input.meta.bytes).sum(),
        bytes_out: metas.iter().map(|meta| meta.bytes).sum(),
    }
}

/// What reading a file row by row keeps in memory: a decoded page per column, about.
fn reading_bytes(footer: &ParquetMetaData) -> u64 {
    const PAGES: f64 = 2.0;
    const PAGE_ROWS: f64 = 8_192.0;
    let groups = footer.row_groups().iter().map(|group| {
        let rows = group.num_rows().max(1) as f64;
        let share = (PAGES * PAGE_ROWS / rows).min(1.0);
        (group.total_byte_size().max(0) as f64 * share) as u64
    });
    groups.max().unwrap_or(0)
}

/// The rows of a file as the table's columns.
fn run(input: &Arc<Segment>, schema: &SchemaRef) -> Result<Run, TableError> {
    let file = input.open()?;
    let metadata =
        ArrowReaderMetadata::try_new(Arc::clone(file.footer()), ArrowReaderOptions::new())?;
    let row_bytes = (reading_bytes(file.footer()) / (2 * 8_192)).max(1);
    // A batch of wide rows is kept small, whatever the page is.
    let rows = usize::try_from((1 << 20) / row_bytes).unwrap_or(READ_ROWS);
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
        .with_batch_size(rows.clamp(READ_ROWS_MIN, READ_ROWS))
        .build()?;
    let (input, schema) = (Arc::clone(input), Arc::clone(schema));
    Ok(Box::new(reader.map(move |batch| match batch {
        Ok(batch) => as_schema(&batch, &schema),
        // The library keeps only the text of our error.
        Err(error) => Err(input.damage_error().unwrap_or_else(|| error.into())),
    })))
}

/// Columns in the table's order, those the file lacks as nulls.
fn as_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, TableError> {
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => Arc::clone(column),
        None => new_null_array(field.data_type(), batch.num_rows()),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = columns.collect();
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// The files a merge writes: cut at intervals, where each side is large.
struct Pieces<'a> {
    table: &'a Table,
    rows_min: u64,
    rows_left: u64,
    interval: Option<i64>,
    output: Option<Output>,
    done: Vec<SegmentMeta>,
}

impl<'a> Pieces<'a> {
    fn new(table: &'a Table, inputs: usize, rows: u64) -> Self {
        let rows_min = piece_rows_min(inputs, rows, &table.spec.compact);
        Self { table, rows_min, rows_left: rows, interval: None, output: None, done: Vec::new() }
    }

    /// Writes the next rows; false after the last.
    fn step(&mut self, merge: &mut Merge<'_>, folded: &mut Folded<'_>) -> Result<bool, TableError> {
        let (rows, more) = match merge.next()? {
            Some(batch) => (folded.push(batch)?, true),
            None => (folded.finish()?, false),
        };
        if let Some(rows) = rows {
            self.write(&rows)?;
        }
        Ok(more)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        let mut start = 0;
        let mut written = self.output.as_ref().map_or(0, Output::rows);
        for (row, time) in times(batch)?.iter().enumerate() {
            let interval = Some(self.table.spec.granularity.interval(*time));
            if interval != self.interval {
                self.interval = interval;
                if written >= self.rows_min && self.rows_left >= self.rows_min {
                    self.append(&batch.slice(start, row - start))?;
                    self.end_file()?;
                    (start, written) = (row, 0);
                }
            }
            written += 1;
            self.rows_left = self.rows_left.saturating_sub(1);
        }
        self.append(&batch.slice(start, batch.num_rows() - start))
    }

    fn append(&mut self, rows: &RecordBatch) -> Result<(), TableError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let output = match &mut self.output {
            Some(output) => output,
            None => {
                let (table, schema) = (self.table, Arc::clone(&self.table.schema));
                let effort = Effort::Compaction;
                let output = Output::create(table.target(), table.new_id(), schema, effort)?;
                self.output.insert(output)
            }
        };
        output.write(rows)
    }

    fn end_file(&mut self) -> Result<(), TableError> {
        if let Some(output) = self.output.take() {
            self.done.push(output.finish()?);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<SegmentMeta>, TableError> {
        match self.end_file() {
            Ok(()) => Ok(self.done),
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    /// Removes the files that are written already; the one under way removes itself.
    fn discard(self) {
        for meta in self.done {
            self.table.segment(meta).doom();
        }
    }
}
