//! Rolling up: raw rows into stored ones, and stored ones into fewer.
//!
//! Invariant: what comes out has exactly the stored columns, one row per time and dimensions.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, RecordBatch, TimestampMicrosecondArray,
};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use yeoul_agg::{AggError, Input};
use yeoul_base::Offset;

use super::group::Groups;
use super::ranges::Ranges;
use super::{OFFSETS, Rollup};
use crate::error::TableError;
use crate::spec::{Granularity, TIME};

/// Rows of one append; their groups are numbered by 32 bits.
const ROWS_MAX: usize = u32::MAX as usize / 4;

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, TableError> {
    batch
        .column_by_name(name)
        .ok_or_else(|| TableError::Corrupt(format!("rows without the column `{name}`")))
}

fn times(batch: &RecordBatch) -> Result<&TimestampMicrosecondArray, TableError> {
    column(batch, TIME)?
        .as_primitive_opt::<TimestampMicrosecondType>()
        .filter(|times| times.null_count() == 0)
        .ok_or_else(|| TableError::Corrupt(format!("the column `{TIME}` is not whole")))
}

fn failed(metric: &str) -> impl Fn(AggError) -> TableError + '_ {
    move |error| TableError::Rollup { metric: metric.to_owned(), error }
}

impl Rollup {
    /// Raw rows of one partition as stored rows. `interval`: the table's granularity.
    pub(crate) fn roll(
        &self,
        stored: &SchemaRef,
        rows: &RecordBatch,
        partition: i32,
        offsets: &[Offset],
        interval: Granularity,
    ) -> Result<RecordBatch, TableError> {
        if rows.num_rows() > ROWS_MAX || rows.num_rows() != offsets.len() {
            let what = format!("{} rows with {} offsets", rows.num_rows(), offsets.len());
            return Err(TableError::Corrupt(what));
        }
        let times = times(rows)?;
        let floored: TimestampMicrosecondArray = times.unary(|us| self.by.floor(us, interval));
        let mut keys: Vec<ArrayRef> = vec![Arc::new(floored.with_timezone("UTC"))];
        for name in &self.dimensions {
            keys.push(Arc::clone(column(rows, name)?));
        }
        let groups = Groups::find(&keys)?;
        let mut columns = firsts(&keys, &groups)?;
        let partitions = vec![partition; offsets.len()];
        for metric in &self.metrics {
            let values = match &metric.input {
                Some(_) => Some(column(rows, &metric.name)?),
                None => None,
            };
            let input =
                Input { values, times: Some(times.values()), origin: Some((&partitions, offsets)) };
            let states = (|| {
                let of = values.map(|values| values.data_type());
                let mut accumulator = metric.aggregate.accumulator(of)?;
                accumulator.update(&groups.of_rows, groups.count(), input)?;
                accumulator.state()
            })();
            columns.push(states.map_err(failed(&metric.name))?);
        }
        let mut ranges = vec![Ranges::default(); groups.count()];
        for (group, offset) in groups.of_rows.iter().zip(offsets) {
            if let Some(ranges) = ranges.get_mut(*group) {
                ranges.add_row(partition, *offset);
            }
        }
        columns.push(encoded(ranges));
        Ok(RecordBatch::try_new(Arc::clone(stored), columns)?)
    }

    /// Stored rows as fewer stored rows: each time and dimensions once. Chunks of files of any
    /// age: what was merged before merges again.
    ///
    /// # Errors
    /// The rows do not have the stored columns, or a state is damaged.
    pub fn merge(
        &self,
        stored: &SchemaRef,
        batches: &[&RecordBatch],
    ) -> Result<RecordBatch, TableError> {
        let all = concat_batches(stored, batches.iter().copied())?;
        if all.num_rows() > ROWS_MAX {
            return Err(TableError::Corrupt(format!("{} rows to merge", all.num_rows())));
        }
        let mut keys = vec![Arc::clone(column(&all, TIME)?)];
        for name in &self.dimensions {
            keys.push(Arc::clone(column(&all, name)?));
        }
        let groups = Groups::find(&keys)?;
        if groups.count() == all.num_rows() {
            return Ok(all);
        }
        let mut columns = firsts(&keys, &groups)?;
        for metric in &self.metrics {
            let states = column(&all, &metric.name)?;
            let merged = (|| {
                let mut accumulator = metric.aggregate.merger(states.data_type())?;
                accumulator.merge(&groups.of_rows, groups.count(), states)?;
                accumulator.state()
            })();
            columns.push(merged.map_err(failed(&metric.name))?);
        }
        let mut ranges = vec![Ranges::default(); groups.count()];
        let offsets = column(&all, OFFSETS)?.as_binary_opt::<i32>();
        let offsets = offsets
            .ok_or_else(|| TableError::Corrupt(format!("the column `{OFFSETS}` is not binary")))?;
        for (group, bytes) in groups.of_rows.iter().zip(offsets) {
            if let (Some(ranges), Some(bytes)) = (ranges.get_mut(*group), bytes) {
                ranges.add_encoded(bytes)?;
            }
        }
        columns.push(encoded(ranges));
        Ok(RecordBatch::try_new(Arc::clone(stored), columns)?)
    }
}

/// The keys of the groups.
fn firsts(keys: &[ArrayRef], groups: &Groups) -> Result<Vec<ArrayRef>, TableError> {
    let mut columns = Vec::with_capacity(keys.len());
    for key in keys {
        columns.push(take(key, &groups.first_rows, None)?);
    }
    Ok(columns)
}

fn encoded(ranges: Vec<Ranges>) -> ArrayRef {
    let mut out = BinaryBuilder::new();
    for mut ranges in ranges {
        out.append_value(ranges.encode());
    }
    Arc::new(out.finish())
}
