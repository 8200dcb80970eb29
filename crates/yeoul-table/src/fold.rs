//! What a merge of sorted files goes through before it is written: of a rolled-up table, rows of
//! the same time and dimensions become one.
//!
//! Invariant: what is handed on holds whole groups; only the last group of what came so far is
//! held back, and when it grows it is merged where it is.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::error::TableError;
use crate::rollup::Rollup;
use crate::sort::Order;

/// Rows of one group that are held before they are merged.
const HELD_ROWS: usize = 16_384;

/// See the module's head.
pub(crate) struct Folded<'a> {
    schema: &'a SchemaRef,
    rollup: Option<(&'a Rollup, Order)>,
    held: Option<RecordBatch>,
}

impl<'a> Folded<'a> {
    /// `groups`: the order without what tells rows of one group apart.
    pub(crate) fn new(schema: &'a SchemaRef, rollup: Option<(&'a Rollup, Order)>) -> Self {
        Self { schema, rollup, held: None }
    }

    /// What can be written now that `batch` came, which follows all before it.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>, TableError> {
        let Some((rollup, groups)) = &self.rollup else { return Ok(Some(batch)) };
        let all = match self.held.take() {
            Some(held) => concat_batches(self.schema, [&held, &batch])?,
            None => batch,
        };
        let keys = groups.keys(&all)?;
        let rows = all.num_rows();
        let last = rows.checked_sub(1).map(|last| keys.row(last));
        let same = (0..rows).rev().take_while(|row| Some(keys.row(*row)) == last).count();
        let whole = rows - same;
        let mut held = all.slice(whole, same);
        if same > HELD_ROWS {
            held = rollup.merge(self.schema, &[&held])?;
        }
        self.held = Some(held);
        if whole == 0 {
            return Ok(None);
        }
        rollup.merge(self.schema, &[&all.slice(0, whole)]).map(Some)
    }

    /// What was held back; nothing comes after it.
    pub(crate) fn finish(&mut self) -> Result<Option<RecordBatch>, TableError> {
        match (&self.rollup, self.held.take()) {
            (Some((rollup, _)), Some(held)) => rollup.merge(self.schema, &[&held]).map(Some),
            (_, held) => Ok(held),
        }
    }
}

/// The rows of chunks as one batch, rolled up as far as they go.
pub(crate) fn joined(
    schema: &SchemaRef,
    rollup: Option<&Rollup>,
    chunks: &[Arc<crate::chunk::Chunk>],
) -> Result<RecordBatch, TableError> {
    let batches: Vec<_> = chunks.iter().map(|chunk| &chunk.batch).collect();
    match rollup {
        Some(rollup) => rollup.merge(schema, &batches),
        None => Ok(concat_batches(schema, batches)?),
    }
}
