//! The order of rows in a file, as bytes that compare: one definition for seals and compaction.
//!
//! Invariant: the same rows give the same order, whatever chunks or files they came in; a merge
//! of sorted files is what a sort of all their rows would have been.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use arrow::row::{RowConverter, Rows, SortField};

use crate::error::TableError;
use crate::rollup::{OFFSETS, RollupBy};
use crate::spec::{Granularity, OFFSET, PARTITION, TIME, TableSpec};

/// How a table's rows are ordered: by the bucket of their time (what the rollup rounds times to,
/// else the hour), the table's sort columns, all other dimensions of a rollup, the time, and where
/// they come from. Nulls come first. So what a rollup makes one row of lies together.
pub(crate) struct Order {
    converter: RowConverter,
    /// Of the schema; all but the bucket, which is computed.
    columns: Vec<usize>,
    bucket: RollupBy,
    interval: Granularity,
}

fn bucket(spec: &TableSpec) -> RollupBy {
    match spec.rollup.as_ref().map(|rollup| rollup.by) {
        None | Some(RollupBy::None) => RollupBy::Hour,
        Some(by) => by,
    }
}

/// The columns between the bucket and the time.
fn names(spec: &TableSpec) -> Vec<String> {
    match &spec.rollup {
        Some(rollup) => rollup.order(&spec.sort_by),
        None => spec.sort_by.clone(),
    }
}

/// The order as it stands in a file, and what its metrics are, so that a merge knows whether two
/// files agree.
pub(crate) fn label(spec: &TableSpec) -> String {
    let mut label = bucket(spec).to_string();
    for name in names(spec) {
        label.push('\u{1f}');
        label.push_str(&name);
    }
    for metric in spec.rollup.iter().flat_map(|rollup| &rollup.metrics) {
        label.push_str(&format!("\u{1e}{}={}", metric.name, metric.aggregate));
    }
    label
}

impl Order {
    /// `schema`: what is stored.
    pub(crate) fn new(schema: &SchemaRef, spec: &TableSpec) -> Result<Self, TableError> {
        Self::by(schema, spec, &[TIME, PARTITION, OFFSET, OFFSETS])
    }

    /// The order of groups of a rollup: equal keys are one row when they meet.
    pub(crate) fn of_groups(schema: &SchemaRef, spec: &TableSpec) -> Result<Self, TableError> {
        Self::by(schema, spec, &[TIME])
    }

    fn by(schema: &SchemaRef, spec: &TableSpec, last: &[&str]) -> Result<Self, TableError> {
        let names = names(spec);
        let names = names.iter().map(String::as_str).chain(last.iter().copied());
        let columns: Vec<usize> = names.filter_map(|name| schema.index_of(name).ok()).collect();
        let mut fields = vec![SortField::new(DataType::Int64)];
        fields.extend(columns.iter().filter_map(|at| {
            schema.fields().get(*at).map(|field| SortField::new(field.data_type().clone()))
        }));
        let converter = RowConverter::new(fields)?;
        Ok(Self { converter, columns, bucket: bucket(spec), interval: spec.granularity })
    }

    /// The rows' keys; they compare as the rows do.
    pub(crate) fn keys(&self, batch: &RecordBatch) -> Result<Rows, TableError> {
        let floor = |time: &i64| self.bucket.floor(*time, self.interval);
        let buckets: Int64Array = times(batch)?.iter().map(floor).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(buckets)];
        columns.extend(self.columns.iter().map(|at| Arc::clone(batch.column(*at))));
        Ok(self.converter.convert_columns(&columns)?)
    }

    pub(crate) fn sort(&self, batch: &RecordBatch) -> Result<RecordBatch, TableError> {
        let keys = self.keys(batch)?;
        let rows = u32::try_from(batch.num_rows())
            .map_err(|_| TableError::Corrupt("more rows at once than a sort can count".into()))?;
        let mut order: Vec<u32> = (0..rows).collect();
        order.sort_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
        Ok(take_record_batch(batch, &UInt32Array::from(order))?)
    }
}

pub(crate) fn times(batch: &RecordBatch) -> Result<&[i64], TableError> {
    batch
        .column_by_name(TIME)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        .map(|times| times.values().as_ref())
        .ok_or_else(|| TableError::Corrupt(format!("rows without column `{TIME}`")))
}
