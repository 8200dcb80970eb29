//! A table's snapshot as an input of DataFusion: files are pruned by time before they are opened,
//! Parquet is read through the snapshot's own files, rows in memory are scanned as they are.
//!
//! Invariant: the snapshot lives as long as the plan, so no file goes away under a query.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, col, lit};
use datafusion::object_store::path::Path;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::union::UnionExec;
use futures::FutureExt;
use futures::future::BoxFuture;
use yeoul_table::{
    OFFSET, OFFSETS, PARTITION, Segment, SegmentFile, SegmentMeta, Snapshot, TIME, Table,
};

use crate::answers::TableState;

/// The only address the engine's store registry knows; nothing is stored behind it.
pub(crate) const SEGMENTS_URL: &str = "yeoul://segments";

/// One state of a table.
#[derive(Debug)]
pub(crate) struct SnapshotProvider {
    snapshot: Snapshot,
    schema: SchemaRef,
    memory_rows: Arc<AtomicU64>,
}

impl SnapshotProvider {
    /// Pins the table's state of now. `origin`: with the columns of origin.
    pub(crate) fn new(table: &Table, origin: bool, memory_rows: Arc<AtomicU64>) -> Self {
        let snapshot = table.snapshot();
        let schema = if origin {
            Arc::clone(&snapshot.schema)
        } else {
            let fields: Vec<_> = snapshot
                .schema
                .fields()
                .iter()
                .filter(|field| ![OFFSET, OFFSETS, PARTITION].contains(&field.name().as_str()))
                .cloned()
                .collect();
            Arc::new(Schema::new(fields))
        };
        Self { snapshot, schema, memory_rows }
    }

    /// The same state with the columns of origin, where rows have them.
    pub(crate) fn with_origin(&self) -> Option<Self> {
        let all = &self.snapshot.schema;
        let known = [PARTITION, OFFSET].iter().all(|name| all.index_of(name).is_ok());
        known.then(|| Self {
            snapshot: self.snapshot.clone(),
            schema: Arc::clone(all),
            memory_rows: Arc::clone(&self.memory_rows),
        })
    }

    /// What answers over it depend on; `None`: they change with the clock, because rows pass
    /// their retention.
    pub(crate) fn state(&self) -> Option<TableState> {
        if self.snapshot.from_us.is_some_and(|from_us| self.must_mask(from_us)) {
            return None;
        }
        let (serial, generation) = (self.snapshot.serial, self.snapshot.generation);
        Some(TableState { serial, generation })
    }

    fn memory(
        &self,
        wanted: Wanted,
        projection: Option<&Vec<usize>>,
        partitions: usize,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let mut shares = vec![Vec::new(); partitions];
        let chunks = self.snapshot.chunks.iter();
        let kept = chunks.filter(|chunk| wanted.overlaps(chunk.min_us, chunk.max_us));
        let width: Vec<usize> = (0..self.schema.fields().len()).collect();
        for (index, chunk) in kept.enumerate() {
            if let Some(share) = shares.get_mut(index % partitions) {
                self.memory_rows.fetch_add(chunk.rows() as u64, Ordering::Relaxed);
                share.push(chunk.batch.project(&width)?);
            }
        }
        shares.retain(|share| !share.is_empty());
        if shares.is_empty() {
            return Ok(None);
        }
        let plan = MemorySourceConfig::try_new_exec(
            &shares,
            Arc::clone(&self.schema),
            projection.cloned(),
        )?;
        Ok(Some(plan))
    }

    fn files(
        &self,
        state: &dyn Session,
        wanted: Wanted,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let mut files = HashMap::new();
        let mut groups = vec![(0, Vec::new()); state.config().target_partitions().max(1)];
        let mut wanted: Vec<_> =
            self.snapshot.segments.overlapping(wanted.min_us, wanted.max_us).collect();
        // Most that ask for few rows ask for the latest: found first, they spare the older files.
        wanted.sort_by_key(|segment| Reverse(segment.meta.max_us));
        for segment in wanted {
            let meta = segment.meta;
            let file = PartitionedFile::new(meta.id.to_string(), meta.bytes)
                .with_statistics(Arc::new(self.times_of(&meta)));
            files.insert(file.object_meta.location.clone(), Arc::clone(segment));
            // To the group with the least bytes.
            if let Some((bytes, group)) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
                *bytes += meta.bytes;
                group.push(file);
            }
        }
        if files.is_empty() {
            return Ok(None);
        }
        let groups = groups.into_iter().map(|(_, group)| FileGroup::new(group));
        let groups = groups.filter(|group| !group.is_empty()).collect();
        let mut source = ParquetSource::new(Arc::clone(&self.schema))
            .with_parquet_file_reader_factory(Arc::new(Segments { files }));
        // Rows are picked while they are decoded, so that what is not picked is hardly read: not
        // worth it for a span of time, whose rows lie together.
        let while_decoding = filters.is_empty() || filters.iter().any(beyond_time);
        source = source.with_pushdown_filters(while_decoding).with_reorder_filters(while_decoding);
        if let Some(filter) = conjunction(filters.to_vec()) {
            let columns = DFSchema::try_from(Arc::clone(&self.schema))?;
            source = source.with_predicate(state.create_physical_expr(filter, &columns)?);
        }
        let config =
            FileScanConfigBuilder::new(ObjectStoreUrl::parse(SEGMENTS_URL)?, Arc::new(source))
                .with_file_groups(groups)
                .with_projection_indices(projection.cloned())?
                .with_limit(limit)
                .build();
        Ok(Some(DataSourceExec::from_data_source(config)))
    }

    /// What is known of a file without opening it, so that a query for the latest rows opens few.
    fn times_of(&self, meta: &SegmentMeta) -> Statistics {
        let mut known = Statistics::new_unknown(&self.schema);
        let time = |us| {
            let time = ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into()));
            Precision::Exact(time)
        };
        if let Some(column) = known.column_statistics.first_mut() {
            column.min_value = time(meta.min_us);
            column.max_value = time(meta.max_us);
            column.null_count = Precision::Exact(0);
        }
        known
    }

    /// Whether some row is past its retention and must be hidden.
    fn must_mask(&self, from_us: i64) -> bool {
        self.snapshot.chunks.iter().any(|chunk| chunk.min_us < from_us)
            || self.snapshot.segments.iter().any(|segment| segment.meta.min_us < from_us)
    }
}

#[async_trait]
impl TableProvider for SnapshotProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut wanted = Wanted::from_filters(filters);
        let mask_us = self.snapshot.from_us.filter(|from_us| self.must_mask(*from_us));
        // A masked scan reads all columns and projects after the filter: it is the rare case.
        let (inner_projection, inner_limit) = match mask_us {
            Some(from_us) => {
                wanted.min_us = wanted.min_us.max(from_us);
                (None, None)
            }
            None => (projection, limit),
        };
        let partitions = state.config().target_partitions().max(1);
        let mut inputs = Vec::new();
        inputs.extend(self.files(state, wanted, inner_projection, filters, inner_limit)?);
        inputs.extend(self.memory(wanted, inner_projection, partitions)?);
        let plan: Arc<dyn ExecutionPlan> = match inputs.len() {
            0 => {
                let schema = match inner_projection {
                    Some(columns) => Arc::new(self.schema.project(columns)?),
                    None => Arc::clone(&self.schema),
                };
                Arc::new(EmptyExec::new(schema))
            }
            1 => inputs.swap_remove(0),
            _ => UnionExec::try_new(inputs)?,
        };
        let Some(from_us) = mask_us else { return Ok(plan) };
        let start = ScalarValue::TimestampMicrosecond(Some(from_us), Some("UTC".into()));
        let columns = DFSchema::try_from(Arc::clone(&self.schema))?;
        let recent = state.create_physical_expr(col(TIME).gt_eq(lit(start)), &columns)?;
        let masked =
            FilterExecBuilder::new(recent, plan).apply_projection(projection.cloned())?.build()?;
        Ok(Arc::new(masked))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // Pruning only: the filter itself stays in the plan.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

/// Whether a condition is about more than the time.
fn beyond_time(filter: &Expr) -> bool {
    filter.column_refs().iter().any(|column| column.name != TIME)
}

/// The times that can matter, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    min_us: i64,
    max_us: i64,
}

impl Wanted {
    /// From conditions that all hold. What is not understood narrows nothing.
    fn from_filters(filters: &[Expr]) -> Self {
        let mut wanted = Self { min_us: i64::MIN, max_us: i64::MAX };
        for filter in filters {
            wanted.narrow(filter);
        }
        wanted
    }

    fn narrow(&mut self, filter: &Expr) {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return };
        if *op == Operator::And {
            self.narrow(left);
            self.narrow(right);
            return;
        }
        let (op, us) = match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Literal(value, _)) if column.name == TIME => {
                (Some(*op), micros(value))
            }
            (Expr::Literal(value, _), Expr::Column(column)) if column.name == TIME => {
                (op.swap(), micros(value))
            }
            _ => return,
        };
        let (Some(op), Some(us)) = (op, us) else { return };
        match op {
            Operator::Eq => {
                self.min_us = self.min_us.max(us);
                self.max_us = self.max_us.min(us);
            }
            Operator::Gt | Operator::GtEq => self.min_us = self.min_us.max(us),
            Operator::Lt | Operator::LtEq => self.max_us = self.max_us.min(us),
            _ => {}
        }
    }

    fn overlaps(self, min_us: i64, max_us: i64) -> bool {
        min_us <= self.max_us && max_us >= self.min_us
    }
}

/// The planner has brought literals to the column's type: µs, UTC.
fn micros(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampMicrosecond(us, _) => *us,
        _ => None,
    }
}

/// Opens the files of one scan.
#[derive(Debug)]
struct Segments {
    files: HashMap<Path, Arc<Segment>>,
}

impl ParquetFileReaderFactory for Segments {
    fn create_reader(
        &self,
        _: usize,
        file: PartitionedFile,
        _: Option<usize>,
        _: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let location = &file.object_meta.location;
        let Some(segment) = self.files.get(location) else {
            return Err(DataFusionError::Internal(format!("{location} is not of this scan")));
        };
        let file = segment.open().map_err(|error| DataFusionError::External(error.into()))?;
        Ok(Box::new(SegmentReader { segment: Arc::clone(segment), file }))
    }
}

/// Reads where the executor runs: files are local and mostly cached, and decoding what was read
/// takes far longer than reading it.
struct SegmentReader {
    segment: Arc<Segment>,
    file: SegmentFile,
}

impl AsyncFileReader for SegmentReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        let read = self.file.read(range).map_err(|error| ParquetError::External(error.into()));
        async move { read }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let footer = self.segment.footer().map_err(|error| ParquetError::External(error.into()));
        async move { footer }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_on_time_narrow_and_others_do_not() {
        let at = |us| lit(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())));
        let filters = [
            col(TIME).gt_eq(at(100)).and(at(900).gt(col(TIME))),
            col("n").eq(lit(3)),
            col(TIME).lt(at(500)).or(col("n").eq(lit(1))),
        ];
        let wanted = Wanted::from_filters(&filters);
        assert_eq!(wanted, Wanted { min_us: 100, max_us: 900 });
        assert!(wanted.overlaps(900, 1000) && wanted.overlaps(0, 100));
        assert!(!wanted.overlaps(901, 1000) && !wanted.overlaps(0, 99));
    }
}
