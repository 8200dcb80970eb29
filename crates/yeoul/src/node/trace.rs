//! From a row of a table back to the records of the table's topic.
//!
//! A row knows its partition and offset, a rolled-up one the ranges of offsets it came from. What
//! retention has taken since is told as expired.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use serde_json::Value;
use yeoul_sql::QueryOptions;
use yeoul_table::{OFFSET, OFFSETS, OffsetRange, PARTITION, Table};
use yeoul_web::ApiError;
use yeoul_web::dto::{RecordDto, Trace, TraceRange, TraceRequest};

use super::{Node, face, records};

/// Rows that are led back, and records that are shown.
const ROWS_MAX: usize = 1_000;
const RECORDS_MAX: usize = 100;

/// Answers `POST /api/v1/trace`.
pub(super) async fn trace(node: Arc<Node>, request: TraceRequest) -> Result<Trace, ApiError> {
    let name = &request.table;
    let table = node.engine.catalog().table(name);
    let table = table.ok_or_else(|| ApiError::not_found(format!("there is no table `{name}`")))?;
    let query = query(&table, &request)?;
    let options = QueryOptions { max_rows: ROWS_MAX, ..QueryOptions::default() };
    let answer = node.engine.query(&query, &options).await.map_err(face::refused)?;
    let mut ranges: Vec<OffsetRange> = Vec::new();
    let mut rows = 0;
    for batch in &answer.batches {
        rows += batch.num_rows() as u64;
        if table.spec().rollup.is_some() {
            for bytes in batch.column(0).as_binary::<i32>().iter().flatten() {
                let decoded = yeoul_table::decode_offsets(bytes);
                ranges.extend(decoded.map_err(|error| ApiError::internal(error.to_string()))?);
            }
            continue;
        }
        let partitions = batch.column(0).as_primitive::<Int32Type>();
        let offsets = batch.column(1).as_primitive::<Int64Type>();
        let one = |(partition, offset): (&i32, &i64)| OffsetRange {
            partition: *partition,
            first: *offset,
            last: *offset,
            rows: 1,
        };
        ranges.extend(partitions.values().iter().zip(offsets.values()).map(one));
    }
    ranges.sort_unstable();
    let topic = table.spec().topic.clone();
    let truncated = answer.truncated;
    let read = tokio::task::spawn_blocking(move || read(&node, &topic, &ranges)).await;
    let mut found = read.map_err(|error| ApiError::internal(error.to_string()))??;
    found.rows = rows;
    found.truncated |= truncated;
    Ok(found)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Rows that are like the one given; what is a partial state is no mark of a row.
fn query(table: &Table, request: &TraceRequest) -> Result<String, ApiError> {
    let rollup = table.spec().rollup.as_ref();
    let is_metric = |name: &str| {
        rollup.is_some_and(|rollup| rollup.metrics.iter().any(|metric| metric.name == name))
    };
    let mut conditions = Vec::new();
    for (name, value) in &request.row {
        let column = quoted(name);
        if is_metric(name) {
            continue;
        }
        conditions.push(match value {
            Value::Null => format!("{column} IS NULL"),
            Value::Bool(flag) => format!("{column} = {flag}"),
            Value::Number(number) => format!("{column} = {number}"),
            Value::String(text) => format!("{column} = '{}'", text.replace('\'', "''")),
            Value::Array(_) | Value::Object(_) => {
                let text = format!("`{name}` is a list or an object: leave it out");
                return Err(ApiError::bad_request(text));
            }
        });
    }
    if conditions.is_empty() {
        return Err(ApiError::bad_request("`row` names no column of the row")
            .with_hint("send the row's columns with their values, or `_partition` and `_offset`"));
    }
    let asked = match rollup {
        Some(_) => OFFSETS.to_owned(),
        None => format!("{PARTITION}, {OFFSET}"),
    };
    let (table, conditions) = (quoted(&request.table), conditions.join(" AND "));
    Ok(format!("SELECT {asked} FROM {table} WHERE {conditions}"))
}

fn read(node: &Node, topic: &str, ranges: &[OffsetRange]) -> Result<Trace, ApiError> {
    let found = node.store.topics().get(topic).cloned();
    let mut trace = Trace { topic: topic.to_owned(), ..Trace::default() };
    for range in ranges {
        let number = u32::try_from(range.partition).unwrap_or(u32::MAX);
        let part = found.as_ref().and_then(|topic| topic.partitions.get(number as usize));
        let ends = part.and_then(|part| node.store.ends(*part));
        let start = ends.map_or(i64::MAX, |ends| ends.start);
        trace.ranges.push(TraceRange {
            partition: number,
            first: range.first,
            last: range.last,
            count: range.rows,
            expired: range.first < start,
        });
        let from = range.first.max(start);
        let Some(part) = part.filter(|_| from <= range.last) else { continue };
        let room = RECORDS_MAX.saturating_sub(trace.records.len());
        let wanted = usize::try_from(range.last - from + 1).unwrap_or(usize::MAX);
        trace.truncated |= wanted > room;
        if room == 0 {
            continue;
        }
        let read = records::read_from(&node.store, *part, from, wanted.min(room));
        let read = read.map_err(|error| ApiError::internal(error.to_string()))?;
        let within = read.into_iter().filter(|record| record.offset <= range.last);
        let shown: Vec<RecordDto> = within.map(|record| records::show(number, record)).collect();
        trace.records.extend(shown);
    }
    Ok(trace)
}
