//! What a plan runs per epoch: operators over Arrow batches whose rows remember which input
//! record they came from.
//!
//! Invariant: an operator keeps the order of its rows and never invents one without an origin.

pub(crate) mod lookup;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{CastOptions, cast_with_options, filter, filter_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;

use crate::lookup::LookupSet;
use crate::plan::message_of;

/// One topic's way through the query.
#[derive(Debug)]
pub(crate) struct Branch {
    /// Index among the plan's sources.
    pub(crate) source: usize,
    /// The source's columns that the operators start with.
    pub(crate) columns: Vec<usize>,
    pub(crate) operators: Vec<Operator>,
}

/// See the module's head.
#[derive(Debug, Clone)]
pub(crate) enum Operator {
    Project {
        exprs: Arc<[Arc<dyn PhysicalExpr>]>,
        schema: SchemaRef,
    },
    Filter(Arc<dyn PhysicalExpr>),
    /// Other names for the same columns.
    Rename(SchemaRef),
    Lookup(Arc<lookup::LookupJoin>),
    /// To the types a topic holds.
    Store(Arc<Stored>),
}

/// Rows on their way.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    pub(crate) batch: RecordBatch,
    /// Of each row the input record's place in the epoch.
    pub(crate) origins: UInt32Array,
}

/// Why a batch could not be computed.
#[derive(Debug)]
pub(crate) enum EvalError {
    /// At least one row is at fault: fewer rows at a time find it.
    Row(String),
    /// So many rows would come out that fewer must go in.
    TooMany(usize),
    /// Not a row's fault.
    Wait(String),
}

impl From<DataFusionError> for EvalError {
    fn from(error: DataFusionError) -> Self {
        Self::Row(message_of(&error))
    }
}

impl From<ArrowError> for EvalError {
    fn from(error: ArrowError) -> Self {
        Self::from(DataFusionError::from(error))
    }
}

/// Runs a line of operators over one batch.
pub(crate) fn run(
    operators: &[Operator],
    flow: Flow,
    lookups: &LookupSet,
) -> Result<Flow, EvalError> {
    operators.iter().try_fold(flow, |flow, operator| operator.run(flow, lookups))
}

impl Operator {
    fn run(&self, flow: Flow, lookups: &LookupSet) -> Result<Flow, EvalError> {
        let rows = flow.batch.num_rows();
        match self {
            Self::Project { exprs, schema } => {
                let columns = exprs
                    .iter()
                    .map(|expr| expr.evaluate(&flow.batch)?.into_array(rows))
                    .collect::<Result<Vec<_>, _>>()?;
                let batch = batch_of(schema, columns, rows)?;
                Ok(Flow { batch, origins: flow.origins })
            }
            Self::Filter(predicate) => {
                let keep = predicate.evaluate(&flow.batch)?.into_array(rows)?;
                let keep = keep.as_boolean_opt().ok_or_else(|| {
                    EvalError::Row("the condition is neither true nor false".into())
                })?;
                if keep.null_count() == 0 && keep.true_count() == rows {
                    return Ok(flow);
                }
                let origins = filter(&flow.origins, keep)?;
                let batch = filter_record_batch(&flow.batch, keep)?;
                Ok(Flow { batch, origins: origins.as_primitive().clone() })
            }
            Self::Rename(schema) => {
                let batch = batch_of(schema, flow.batch.columns().to_vec(), rows)?;
                Ok(Flow { batch, origins: flow.origins })
            }
            Self::Lookup(join) => join.run(flow, lookups),
            Self::Store(stored) => {
                let batch = stored.run(&flow.batch)?;
                Ok(Flow { batch, origins: flow.origins })
            }
        }
    }
}

/// A batch of these columns; without any it still has its rows. Nullability is not enforced:
/// the planner's word on it does not bind records.
pub(crate) fn batch_of(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    match RecordBatch::try_new_with_options(Arc::clone(schema), columns.clone(), &options) {
        Ok(batch) => Ok(batch),
        Err(_) => {
            // The planner may call a column other than what a function gives (nullability,
            // metadata of nested fields): the arrays know better.
            let fields = schema.fields().iter().zip(&columns).map(|(field, column)| {
                field
                    .as_ref()
                    .clone()
                    .with_data_type(column.data_type().clone())
                    .with_nullable(true)
            });
            let schema = arrow::datatypes::Schema::new(fields.collect::<Vec<_>>());
            RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)
        }
    }
}

/// Casts the query's columns to what a topic holds.
#[derive(Debug)]
pub(crate) struct Stored {
    schema: SchemaRef,
    local: DataType,
}

impl Stored {
    /// `local` is the type that gives a time without zone the pipeline's zone.
    pub(crate) fn new(schema: &SchemaRef, local: DataType) -> Self {
        Self { schema: Arc::clone(schema), local }
    }

    fn run(&self, batch: &RecordBatch) -> Result<RecordBatch, EvalError> {
        let options = CastOptions { safe: false, format_options: FormatOptions::default() };
        let columns = self.schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
            if column.data_type() == field.data_type() {
                return Ok(Arc::clone(column));
            }
            match column.data_type() {
                DataType::Timestamp(_, None) => {
                    let local = cast_with_options(column, &self.local, &options)?;
                    cast_with_options(&local, field.data_type(), &options)
                }
                _ => cast_with_options(column, field.data_type(), &options),
            }
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        Ok(batch_of(&self.schema, columns, batch.num_rows())?)
    }
}
