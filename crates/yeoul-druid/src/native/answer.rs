//! Answers of native queries, written while their rows come.
//!
//! Invariant: what is written is Druid's shape and order; where rows are missing from the middle
//! of a timeseries or topN, their buckets stand empty.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, TimestampMicrosecondType};
use arrow::error::ArrowError;
use serde_json::json;
use yeoul_sql::encode::{Rows, Style, quoted};
use yeoul_sql::{ErrorKind, SqlError};

use super::plan::Planned;
use super::time::{Granularity, Interval};
use crate::text::Ty;

/// As for SQL, but arrays are arrays.
const STYLE: Style =
    Style { plain_backslash_never: true, dates_as_instants: true, nested_as_json: true };

/// What Druid writes for a query over all of time.
const ETERNITY_START: &str = "-146136543-09-08T08:23:32.096Z";

/// Buckets of one answer that may stand empty.
const BUCKETS_MAX: usize = 200_000;

/// The shape of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Timeseries,
    TopN {
        threshold: u64,
    },
    GroupBy,
    /// The rows as arrays instead of as objects.
    Scan {
        compact: bool,
    },
}

/// Writes one answer.
#[derive(Debug)]
pub(crate) struct Writer {
    shape: Shape,
    granularity: Granularity,
    /// The time of the only bucket.
    all: String,
    names: Vec<String>,
    bucketed: bool,
    /// The buckets that must be there and are not written yet, in the answer's order.
    due: VecDeque<i64>,
    /// The result of a bucket without rows.
    empty: Option<String>,
    /// The bucket of a topN whose rows are being written, and how many there are.
    open: Option<(i64, u64)>,
    /// Something stands before the next element.
    any: bool,
    /// Elements that may still be written.
    left: u64,
    scan: Scan,
}

/// What each piece of a scan repeats.
#[derive(Debug, Default)]
struct Scan {
    head: String,
    tail: String,
}

impl Writer {
    pub(crate) fn new(shape: Shape, planned: &Planned) -> Self {
        let names: Vec<String> = planned.outputs.iter().map(|output| output.name.clone()).collect();
        let scan = match shape {
            Shape::Scan { .. } => Scan::new(planned, &names),
            _ => Scan::default(),
        };
        Self {
            shape,
            all: all(shape, planned),
            granularity: planned.granularity.clone(),
            bucketed: planned.bucket.is_some(),
            names,
            due: VecDeque::new(),
            empty: None,
            open: None,
            any: false,
            left: u64::MAX,
            scan,
        }
    }

    /// Buckets that must be there, and what stands in one without rows.
    pub(crate) fn fill(&mut self, buckets: Vec<i64>, empty: String) {
        self.due = buckets.into();
        self.empty = Some(empty);
    }

    pub(crate) fn limit(&mut self, elements: u64) {
        self.left = elements;
    }

    pub(crate) fn start(&self, out: &mut String) {
        out.push('[');
    }

    /// # Errors
    /// When a column has a type that cannot be written.
    pub(crate) fn rows(&mut self, batch: &RecordBatch, out: &mut String) -> Result<(), ArrowError> {
        let buckets = if self.bucketed { Some(times(batch)) } else { None };
        let first = usize::from(self.bucketed);
        let values = renamed(batch, first, self.names.iter().map(String::as_str))?;
        let rows = Rows::new(&values, STYLE)?;
        if let Shape::Scan { compact } = self.shape {
            self.scanned(&rows, compact, out);
            return Ok(());
        }
        for row in 0..rows.len() {
            let bucket = buckets.as_ref().and_then(|buckets| buckets.get(row).copied());
            self.row(&rows, row, bucket.unwrap_or(0), out);
        }
        Ok(())
    }

    fn row(&mut self, rows: &Rows, row: usize, bucket: i64, out: &mut String) {
        match self.shape {
            Shape::Timeseries => {
                self.until(bucket, out);
                let time = self.time(bucket);
                if self.element(out) {
                    out.push_str(&format!("{{\"timestamp\":{time},\"result\":"));
                    rows.object(row, out);
                    out.push('}');
                }
            }
            Shape::TopN { threshold } => {
                match &mut self.open {
                    Some((open, count)) if *open == bucket => {
                        if *count == threshold {
                            return;
                        }
                        *count += 1;
                        out.push(',');
                    }
                    _ => {
                        self.close(out);
                        self.until(bucket, out);
                        let time = self.time(bucket);
                        self.element(out);
                        out.push_str(&format!("{{\"timestamp\":{time},\"result\":["));
                        self.open = Some((bucket, 1));
                    }
                }
                rows.object(row, out);
            }
            Shape::GroupBy => {
                let time = self.time(bucket);
                self.element(out);
                out.push_str(&format!("{{\"version\":\"v1\",\"timestamp\":{time},\"event\":"));
                rows.object(row, out);
                out.push('}');
            }
            Shape::Scan { .. } => {}
        }
    }

    fn scanned(&mut self, rows: &Rows, compact: bool, out: &mut String) {
        if rows.is_empty() {
            return;
        }
        self.element(out);
        out.push_str(&self.scan.head);
        for row in 0..rows.len() {
            if row > 0 {
                out.push(',');
            }
            if compact {
                rows.array(row, out);
            } else {
                rows.object(row, out);
            }
        }
        out.push_str(&self.scan.tail);
    }

    /// Ends a topN's bucket.
    fn close(&mut self, out: &mut String) {
        if self.open.take().is_some() {
            out.push_str("]}");
        }
    }

    /// Writes the buckets without rows that come before `bucket`, which itself is not due then.
    fn until(&mut self, bucket: i64, out: &mut String) {
        let down = self.due.front() > self.due.back();
        let before = |due: i64| if down { due > bucket } else { due < bucket };
        while let Some(due) = self.due.front().copied().filter(|due| before(*due)) {
            self.due.pop_front();
            self.missing(due, out);
        }
        if self.due.front() == Some(&bucket) {
            self.due.pop_front();
        }
    }

    fn missing(&mut self, bucket: i64, out: &mut String) {
        let time = self.time(bucket);
        let Some(empty) = self.empty.clone() else { return };
        if self.element(out) {
            out.push_str(&format!("{{\"timestamp\":{time},\"result\":{empty}}}"));
        }
    }

    /// Begins an element, unless there are enough.
    fn element(&mut self, out: &mut String) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        if self.any {
            out.push(',');
        }
        self.any = true;
        true
    }

    /// A quoted time.
    fn time(&self, bucket: i64) -> String {
        let time = if self.bucketed { self.granularity.written(bucket) } else { self.all.clone() };
        let mut out = String::new();
        quoted(&time, STYLE, &mut out);
        out
    }

    /// After the last row; what comes behind it, such as a grand total, is an element too.
    pub(crate) fn end(&mut self, more: Option<&str>, out: &mut String) {
        self.close(out);
        while let Some(due) = self.due.pop_front() {
            self.missing(due, out);
        }
        if let Some(more) = more {
            self.left = self.left.max(1);
            self.element(out);
            out.push_str(more);
        }
        out.push(']');
    }
}

/// The first row as an object with these names.
///
/// # Errors
/// When a column has a type that cannot be written.
pub(crate) fn first_object<'a>(
    batches: &[RecordBatch],
    names: impl Iterator<Item = &'a str>,
) -> Result<Option<String>, ArrowError> {
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    let rows = Rows::new(&renamed(batch, 0, names)?, STYLE)?;
    let mut out = String::new();
    rows.object(0, &mut out);
    Ok(Some(out))
}

/// The columns from `first` on, under the client's names. A query without outputs has one column
/// more than it has names.
fn renamed<'a>(
    batch: &RecordBatch,
    first: usize,
    names: impl Iterator<Item = &'a str>,
) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().get(first..).unwrap_or_default();
    let (fields, columns): (Vec<Field>, Vec<_>) = names
        .zip(columns)
        .map(|(name, column)| {
            (Field::new(name, column.data_type().clone(), true), Arc::clone(column))
        })
        .unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

impl Scan {
    fn new(planned: &Planned, names: &[String]) -> Self {
        let table = planned.tables.first().map_or("query", String::as_str);
        let signature: Vec<_> = planned
            .outputs
            .iter()
            .map(
                |output| json!({ "name": output.name, "type": signature(&output.name, output.ty) }),
            )
            .collect();
        let escape = |text: String| text.replace("\\\\", "\\u005c");
        Self {
            head: escape(format!(
                "{{\"segmentId\":{},\"columns\":{},\"events\":[",
                json!(table),
                json!(names)
            )),
            tail: escape(format!("],\"rowSignature\":{}}}", json!(signature))),
        }
    }
}

/// Druid's name of a type.
pub(crate) fn signature(name: &str, ty: Ty) -> &'static str {
    use crate::text::Sketch;
    match ty {
        _ if name == yeoul_sql::table::TIME => "LONG",
        Ty::Long | Ty::Bool | Ty::Time => "LONG",
        Ty::Double => "DOUBLE",
        Ty::Numbers => "ARRAY<DOUBLE>",
        Ty::State(Sketch::Hll) => "COMPLEX<HLLSketch>",
        Ty::State(Sketch::Theta) => "COMPLEX<thetaSketch>",
        Ty::State(Sketch::Quantiles) => "COMPLEX<quantilesDoublesSketch>",
        Ty::Other => "COMPLEX<json>",
        Ty::String | Ty::Flag | Ty::Null | Ty::Strings => "STRING",
    }
}

/// Milliseconds of the first column.
fn times(batch: &RecordBatch) -> Vec<i64> {
    let column = batch.columns().first();
    let times = column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    times.map_or_else(Vec::new, |times| {
        times.iter().map(|us| us.unwrap_or(0).div_euclid(1_000)).collect()
    })
}

/// The time of an answer of one bucket. Timeseries and topN begin with the data, groupBy with the
/// interval.
fn all(shape: Shape, planned: &Planned) -> String {
    let written = |ms| planned.granularity.written(ms);
    let first = planned.intervals.iter().filter_map(|interval| interval.start).min();
    match (shape, planned.times, overlapping(planned)) {
        (Shape::Timeseries | Shape::TopN { .. }, Some((from, _)), true) => {
            written(first.map_or(from, |first| first.max(from)))
        }
        _ => planned.first.map_or_else(|| ETERNITY_START.to_owned(), written),
    }
}

/// Whether the data and the intervals have some time in common.
pub(crate) fn overlapping(planned: &Planned) -> bool {
    let Some((from, to)) = planned.times else { return false };
    planned.intervals.iter().any(|interval| {
        interval.start.is_none_or(|start| start <= to) && interval.end.is_none_or(|end| end > from)
    })
}

/// The starts of all buckets of the intervals within the time of the data.
///
/// # Errors
/// When there are too many.
pub(crate) fn buckets(planned: &Planned) -> Result<Vec<i64>, SqlError> {
    let mut found = Vec::new();
    let Some((from, to)) = planned.times else { return Ok(found) };
    for Interval { start, end } in &planned.intervals {
        let start = start.map_or(from, |start| start.max(from));
        let end = end.map_or(to, |end| end.saturating_sub(1).min(to));
        if start > end {
            continue;
        }
        let mut next = planned.granularity.floor(start);
        while let Some(at) = next.filter(|at| *at <= end) {
            if found.last() != Some(&at) {
                found.push(at);
            }
            if found.len() > BUCKETS_MAX {
                let text = format!("the answer has more than {BUCKETS_MAX} buckets");
                return Err(SqlError::new(ErrorKind::TooLarge, text)
                    .hint("use a coarser granularity, a shorter interval or skipEmptyBuckets"));
            }
            next = planned.granularity.next(at);
        }
    }
    Ok(found)
}
