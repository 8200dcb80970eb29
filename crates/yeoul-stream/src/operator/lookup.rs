//! Joins rows to a lookup by equal keys. The lookup's rows are hashed once per version of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, AsArray, RecordBatch, UInt32Array, UInt32Builder,
};
use arrow::compute::{cast, take};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use datafusion::physical_expr::PhysicalExpr;

use super::{EvalError, Flow, Operator, batch_of, run};
use crate::lookup::LookupSet;

/// Rows that one step of a join may make; beyond it fewer records go in at a time.
const PAIRS_MAX: usize = 1 << 20;

/// Which rows of the stream come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Those with a match, once per match.
    Inner,
    /// All; without a match the lookup's columns are null.
    Outer,
    /// Those with a match, once.
    Semi,
    /// Those without.
    Anti,
}

/// The lookup as the query sees it.
#[derive(Debug)]
pub(crate) struct LookupSide {
    pub(crate) name: String,
    pub(crate) columns: Vec<usize>,
    pub(crate) operators: Vec<Operator>,
    pub(crate) keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) schema: SchemaRef,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct LookupJoin {
    side: LookupSide,
    stream_keys: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    kind: Kind,
    /// Whether the stream's columns come first.
    stream_first: bool,
    /// Of both sides' columns.
    schema: SchemaRef,
    table: Mutex<Option<(u64, Arc<Table>)>>,
}

/// A lookup's rows by key.
#[derive(Debug)]
struct Table {
    rows: RecordBatch,
    by_key: HashMap<Box<[u8]>, Vec<u32>>,
    converter: RowConverter,
    key_types: Vec<arrow::datatypes::DataType>,
}

impl LookupJoin {
    pub(crate) fn new(
        side: LookupSide,
        stream_keys: Vec<Arc<dyn PhysicalExpr>>,
        filter: Option<Arc<dyn PhysicalExpr>>,
        kind: Kind,
        stream_first: bool,
        schema: SchemaRef,
    ) -> Self {
        let table = Mutex::new(None);
        Self { side, stream_keys, filter, kind, stream_first, schema, table }
    }

    pub(super) fn run(&self, flow: Flow, lookups: &LookupSet) -> Result<Flow, EvalError> {
        let table = self.table(lookups)?;
        let (mut left, mut right) = self.pairs(&flow.batch, &table)?;
        if let Some(filter) = &self.filter {
            let candidates = self.joined(&flow.batch, &table.rows, &left, &right)?;
            let keep = filter.evaluate(&candidates)?.into_array(candidates.num_rows())?;
            let keep = keep.as_boolean_opt().ok_or_else(|| {
                EvalError::Row("the join's condition is neither true nor false".into())
            })?;
            left = arrow::compute::filter(&left, keep)?.as_primitive().clone();
            right = arrow::compute::filter(&right, keep)?.as_primitive().clone();
        }
        match self.kind {
            Kind::Inner => {}
            Kind::Outer => (left, right) = with_unmatched(flow.batch.num_rows(), &left, &right),
            Kind::Semi | Kind::Anti => {
                let mut matched = vec![false; flow.batch.num_rows()];
                for row in left.values() {
                    if let Some(slot) = matched.get_mut(*row as usize) {
                        *slot = true;
                    }
                }
                let wanted = self.kind == Kind::Semi;
                let rows = (0u32..).zip(&matched).filter(|(_, is)| **is == wanted);
                let rows = rows.map(|(row, _)| row).collect::<UInt32Array>();
                let origins = take(&flow.origins, &rows, None)?.as_primitive().clone();
                let columns = taken(&flow.batch, &rows)?;
                let batch = batch_of(&flow.batch.schema(), columns, rows.len())?;
                return Ok(Flow { batch, origins });
            }
        }
        let batch = self.joined(&flow.batch, &table.rows, &left, &right)?;
        let origins = take(&flow.origins, &left, None)?.as_primitive().clone();
        Ok(Flow { batch, origins })
    }

    /// Rows of both sides with equal keys, in the stream's order, then the lookup's.
    fn pairs(
        &self,
        batch: &RecordBatch,
        table: &Table,
    ) -> Result<(UInt32Array, UInt32Array), EvalError> {
        let keys = evaluated(&self.stream_keys, batch)?
            .into_iter()
            .zip(&table.key_types)
            .map(
                |(key, wanted)| {
                    if key.data_type() == wanted { Ok(key) } else { cast(&key, wanted) }
                },
            )
            .collect::<Result<Vec<_>, _>>()?;
        let rows = table.converter.convert_columns(&keys)?;
        let (mut left, mut right) = (UInt32Builder::new(), UInt32Builder::new());
        for (row, key) in (0u32..).zip(rows.iter()) {
            if keys.iter().any(|column| column.is_null(row as usize)) {
                continue;
            }
            let Some(matches) = table.by_key.get(key.as_ref()) else { continue };
            if left.len() + matches.len() > PAIRS_MAX {
                return Err(EvalError::TooMany(PAIRS_MAX));
            }
            left.append_value_n(row, matches.len());
            right.append_slice(matches);
        }
        Ok((left.finish(), right.finish()))
    }

    fn joined(
        &self,
        stream: &RecordBatch,
        lookup: &RecordBatch,
        left: &UInt32Array,
        right: &UInt32Array,
    ) -> Result<RecordBatch, EvalError> {
        let (stream, lookup) = (taken(stream, left)?, taken(lookup, right)?);
        let columns = if self.stream_first {
            stream.into_iter().chain(lookup).collect()
        } else {
            lookup.into_iter().chain(stream).collect()
        };
        Ok(batch_of(&self.schema, columns, left.len())?)
    }

    fn table(&self, lookups: &LookupSet) -> Result<Arc<Table>, EvalError> {
        let Some(data) = lookups.get(&self.side.name) else {
            return Err(EvalError::Wait(format!("lookup `{}` is not loaded", self.side.name)));
        };
        let mut held = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((version, table)) = held.as_ref()
            && *version == data.version
        {
            return Ok(Arc::clone(table));
        }
        let fault = |problem: EvalError| match problem {
            EvalError::Row(problem) => {
                EvalError::Wait(format!("lookup `{}`: {problem}", self.side.name))
            }
            other => other,
        };
        let table = Arc::new(self.hashed(&data.rows, lookups).map_err(fault)?);
        *held = Some((data.version, Arc::clone(&table)));
        Ok(table)
    }

    fn hashed(&self, rows: &RecordBatch, lookups: &LookupSet) -> Result<Table, EvalError> {
        let batch = rows.project(&self.side.columns)?;
        let origins = UInt32Array::from(vec![0; batch.num_rows()]);
        let rows = run(&self.side.operators, Flow { batch, origins }, lookups)?.batch;
        let rows = batch_of(&self.side.schema, rows.columns().to_vec(), rows.num_rows())?;
        let keys = evaluated(&self.side.keys, &rows)?;
        let key_types: Vec<_> = keys.iter().map(|key| key.data_type().clone()).collect();
        let converter = RowConverter::new(key_types.iter().cloned().map(SortField::new).collect())?;
        let mut by_key: HashMap<Box<[u8]>, Vec<u32>> = HashMap::new();
        for (row, key) in (0u32..).zip(converter.convert_columns(&keys)?.iter()) {
            if !keys.iter().any(|column| column.is_null(row as usize)) {
                by_key.entry(key.as_ref().into()).or_default().push(row);
            }
        }
        Ok(Table { rows, by_key, converter, key_types })
    }
}

fn evaluated(
    exprs: &[Arc<dyn PhysicalExpr>],
    batch: &RecordBatch,
) -> Result<Vec<ArrayRef>, EvalError> {
    let evaluate =
        |expr: &Arc<dyn PhysicalExpr>| Ok(expr.evaluate(batch)?.into_array(batch.num_rows())?);
    exprs.iter().map(evaluate).collect()
}

fn taken(batch: &RecordBatch, rows: &UInt32Array) -> Result<Vec<ArrayRef>, EvalError> {
    batch.columns().iter().map(|column| Ok(take(column, rows, None)?)).collect()
}

/// Adds to the pairs each of `rows` that has none, in its place, beside a null.
fn with_unmatched(
    rows: usize,
    left: &UInt32Array,
    right: &UInt32Array,
) -> (UInt32Array, UInt32Array) {
    let mut out_left = UInt32Builder::with_capacity(rows.max(left.len()));
    let mut out_right = UInt32Builder::with_capacity(rows.max(left.len()));
    let mut pairs = left.values().iter().zip(right.values()).peekable();
    for row in (0u32..).take(rows) {
        let mut matched = false;
        while let Some((_, lookup)) = pairs.next_if(|(stream, _)| **stream == row) {
            out_left.append_value(row);
            out_right.append_value(*lookup);
            matched = true;
        }
        if !matched {
            out_left.append_value(row);
            out_right.append_null();
        }
    }
    (out_left.finish(), out_right.finish())
}
