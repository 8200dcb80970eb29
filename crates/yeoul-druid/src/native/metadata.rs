//! Queries about a data source: its columns, its times, and where a text occurs.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use serde_json::{Map, Value, json};
use yeoul_agg::Aggregate;
use yeoul_sql::table::{TIME, Table};
use yeoul_sql::{Engine, QueryOptions};

use super::answer::signature;
use super::extract::dimension;
use super::filter::search as searched;
use super::model::{Dimension, Query};
use super::plan::{self, Base};
use super::scope::{Result, invalid, needed, unsupported};
use super::time::written;
use crate::text::{Sql, Ty, name, quoted};

/// Answers a query without rows of its own.
pub(crate) async fn answer(
    engine: &Arc<Engine>,
    query: &Query,
    options: &QueryOptions,
) -> Result<Value> {
    let kind = query.query_type.as_str();
    if !["timeBoundary", "dataSourceMetadata", "search", "segmentMetadata"].contains(&kind) {
        return Err(unsupported(format!("queries of type `{kind}`")));
    }
    let Some(base) = plan::base(query, engine.catalog(), 0)? else { return Ok(json!([])) };
    match kind {
        "timeBoundary" => boundary(engine, query, &base, options).await,
        "dataSourceMetadata" => {
            let times = times(engine, &base, options).await?;
            Ok(times.map_or(json!([]), |(_, max)| {
                let max = utc(max);
                json!([{ "timestamp": max, "result": { "maxIngestedEventTime": max } }])
            }))
        }
        "search" => search(engine, query, &base, options).await,
        _ => columns(engine, query, &base, options).await,
    }
}

fn utc(ms: i64) -> String {
    written(ms, chrono_tz::UTC)
}

async fn run(engine: &Arc<Engine>, sql: &str, options: &QueryOptions) -> Result<Vec<RecordBatch>> {
    Ok(engine.query(sql, options).await?.batches)
}

/// Milliseconds of the first and the last row.
async fn times(
    engine: &Arc<Engine>,
    base: &Base,
    options: &QueryOptions,
) -> Result<Option<(i64, i64)>> {
    let time = name(TIME);
    let (from, filter) = (&base.source.from, plan::where_clause(&base.wheres));
    let sql = format!("SELECT MIN({time}) AS a, MAX({time}) AS b FROM {from}{filter}");
    let batches = run(engine, &sql, options).await?;
    let instant = |column: usize| -> Option<i64> {
        let batch = batches.iter().find(|batch| batch.num_rows() > 0)?;
        let times = batch.columns().get(column)?.as_primitive_opt::<TimestampMicrosecondType>()?;
        (!times.is_null(0)).then(|| times.value(0).div_euclid(1_000))
    };
    Ok(instant(0).zip(instant(1)))
}

async fn boundary(
    engine: &Arc<Engine>,
    query: &Query,
    base: &Base,
    options: &QueryOptions,
) -> Result<Value> {
    let Some((min, max)) = times(engine, base, options).await? else { return Ok(json!([])) };
    let (min, max) = (utc(min), utc(max));
    match query.bound.as_deref() {
        None | Some("") => {
            Ok(json!([{ "timestamp": min, "result": { "minTime": min, "maxTime": max } }]))
        }
        Some("minTime") => Ok(json!([{ "timestamp": min, "result": { "minTime": min } }])),
        Some("maxTime") => Ok(json!([{ "timestamp": max, "result": { "maxTime": max } }])),
        Some(other) => Err(invalid(format!("`bound` is minTime or maxTime, not `{other}`"))),
    }
}

/// Values of one search, unless it says otherwise.
const SEARCH_LIMIT: u64 = 1_000;
/// Dimensions of one search.
const SEARCH_DIMENSIONS_MAX: usize = 40;

async fn search(
    engine: &Arc<Engine>,
    query: &Query,
    base: &Base,
    options: &QueryOptions,
) -> Result<Value> {
    let wanted = needed(query.query.as_ref(), "search", "query")?;
    let dims: Vec<Dimension> = match query.search_dimensions.as_deref() {
        None | Some([]) => {
            let texts = base.source.columns.iter().filter(|(_, ty)| *ty == Ty::String);
            texts.map(|(name, _)| Dimension::Name(name.clone())).collect()
        }
        Some(dims) => dims.to_vec(),
    };
    if dims.len() > SEARCH_DIMENSIONS_MAX {
        let text = format!("a search has at most {SEARCH_DIMENSIONS_MAX} dimensions");
        return Err(invalid(text).hint("name them in `searchDimensions`"));
    }
    let bucket = base.granularity.bucket(&name(TIME)).map_or("NULL".to_owned(), |sql| sql.text);
    let mut parts = Vec::new();
    for spec in &dims {
        let dim = dimension(spec, 0, &base.scope)?;
        if dim.apart.is_some() {
            return Err(unsupported("a search in multi-value columns"));
        }
        let value = dim.sql.as_string();
        let mut wheres = base.wheres.clone();
        wheres.push(searched(&value, wanted)?);
        parts.push(format!(
            "SELECT CAST({bucket} AS TIMESTAMP) AS b, {} AS d, {value} AS v, COUNT(*) AS c \
             FROM {}{} GROUP BY 1, 3",
            quoted(&dim.output),
            base.source.from,
            plan::where_clause(&wheres)
        ));
    }
    if parts.is_empty() {
        return Ok(json!([]));
    }
    let order = match query.sort.as_ref().map_or("lexicographic", |sort| sort.name()) {
        "lexicographic" => "v, d",
        "strlen" => "CHAR_LENGTH(v), v, d",
        "numeric" => "TRY_CAST(v AS DOUBLE) NULLS FIRST, v, d",
        other => return Err(unsupported(format!("a search sorted by `{other}`"))),
    };
    let limit = query.limit.unwrap_or(SEARCH_LIMIT);
    let sql = format!(
        "SELECT CAST(TIMESTAMP_TO_MILLIS(b) AS BIGINT) AS b, d, v, c FROM ({}) AS s \
         ORDER BY b, {order} LIMIT {limit}",
        parts.join(" UNION ALL ")
    );
    let batches = run(engine, &sql, options).await?;
    let first = base.intervals.first().and_then(|interval| interval.start);
    let first = first.or(base.source.times.map(|(from, _)| from)).unwrap_or(0);
    Ok(found(&batches, first, base))
}

/// The rows of a search by bucket.
fn found(batches: &[RecordBatch], first: i64, base: &Base) -> Value {
    let mut buckets: Vec<(i64, Vec<Value>)> = Vec::new();
    for batch in batches {
        let [at, dims, values, counts] = batch.columns() else { continue };
        let (at, counts) = (at.as_primitive::<Int64Type>(), counts.as_primitive::<Int64Type>());
        let (dims, values) = (texts(dims), texts(values));
        for row in 0..batch.num_rows() {
            let bucket = if at.is_null(row) { first } else { at.value(row) };
            let hit = json!({
                "dimension": dims.get(row),
                "value": values.get(row),
                "count": counts.value(row),
            });
            match buckets.last_mut() {
                Some((open, hits)) if *open == bucket => hits.push(hit),
                _ => buckets.push((bucket, vec![hit])),
            }
        }
    }
    let each = buckets.into_iter().map(
        |(bucket, hits)| json!({ "timestamp": base.granularity.written(bucket), "result": hits }),
    );
    Value::Array(each.collect())
}

fn texts(column: &arrow::array::ArrayRef) -> Vec<Option<String>> {
    match arrow::compute::cast(column, &DataType::Utf8) {
        Ok(texts) => texts.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect(),
        Err(_) => vec![None; column.len()],
    }
}

/// What a segmentMetadata query asks for.
struct Asked<'a> {
    query: &'a Query,
}

impl Asked<'_> {
    fn wants(&self, what: &str) -> bool {
        match &self.query.analysis_types {
            Some(types) => types.iter().any(|ty| ty.eq_ignore_ascii_case(what)),
            None => ["cardinality", "interval", "minmax"].contains(&what),
        }
    }

    fn includes(&self, column: &str) -> bool {
        match &self.query.to_include {
            Some(include) => match (include.kind.as_str(), &include.columns) {
                ("none", _) => false,
                ("list", Some(columns)) => columns.iter().any(|name| name == column),
                _ => true,
            },
            None => true,
        }
    }
}

async fn columns(
    engine: &Arc<Engine>,
    query: &Query,
    base: &Base,
    options: &QueryOptions,
) -> Result<Value> {
    let asked = Asked { query };
    let shown: Vec<&(String, Ty)> =
        base.source.columns.iter().filter(|(name, _)| asked.includes(name)).collect();
    let measured = if asked.wants("cardinality") || asked.wants("minmax") {
        measure(engine, base, &shown, options).await?
    } else {
        Vec::new()
    };
    let mut described = Map::new();
    for (index, (column, ty)) in shown.iter().enumerate() {
        let of_one = measured.get(index).filter(|_| *ty == Ty::String);
        let multi = matches!(ty, Ty::Strings);
        let bound = |pick: fn(&Measured) -> &Value| {
            of_one.filter(|_| asked.wants("minmax")).map_or(Value::Null, |one| pick(one).clone())
        };
        let cardinality = of_one
            .filter(|_| asked.wants("cardinality"))
            .map_or(Value::Null, |one| one.cardinality.clone());
        let full = signature(column, *ty);
        let short = full.strip_prefix("COMPLEX<").map_or(full, |rest| rest.trim_end_matches('>'));
        described.insert(
            column.clone(),
            json!({
                "typeSignature": full,
                "type": if matches!(ty, Ty::State(_)) { short } else { full },
                "hasMultipleValues": multi,
                "hasNulls": measured.get(index).is_some_and(|one| one.nulls),
                "size": 0,
                "cardinality": cardinality,
                "minValue": bound(|one| &one.min),
                "maxValue": bound(|one| &one.max),
                "errorMessage": null,
            }),
        );
    }
    let tables: Vec<Arc<Table>> =
        base.source.tables.iter().filter_map(|name| engine.catalog().table(name)).collect();
    let merged = query.merge.unwrap_or(false);
    let first = base.source.tables.first().map_or("", String::as_str);
    let rows: u64 = tables.iter().map(|table| table.snapshot().rows()).sum();
    let bytes: u64 = tables.iter().map(|table| table.stats().bytes).sum();
    let interval = base
        .source
        .times
        .map(|(from, to)| json!([format!("{}/{}", utc(from), utc(to.saturating_add(1)))]));
    let rollups: Vec<_> = tables.iter().map(|table| table.spec().rollup.as_ref()).collect();
    let by = rollups.first().copied().flatten().map(|rollup| rollup.by.to_string());
    Ok(json!([{
        "id": if merged { "merged" } else { first },
        "intervals": interval.filter(|_| asked.wants("interval")),
        "columns": described,
        "size": if asked.wants("size") { bytes } else { 0 },
        "numRows": rows,
        "aggregators": if asked.wants("aggregators") { aggregators(&tables) } else { Value::Null },
        "timestampSpec": null,
        "queryGranularity": by.filter(|_| asked.wants("queryGranularity")),
        "rollup": asked.wants("rollup").then(|| rollups.iter().all(Option::is_some)),
    }]))
}

/// What was counted of one column.
struct Measured {
    nulls: bool,
    cardinality: Value,
    min: Value,
    max: Value,
}

/// Looks at all rows: only when it is asked for.
async fn measure(
    engine: &Arc<Engine>,
    base: &Base,
    shown: &[&(String, Ty)],
    options: &QueryOptions,
) -> Result<Vec<Measured>> {
    let mut selected = vec!["COUNT(*) AS n".to_owned()];
    for (index, (column, ty)) in shown.iter().enumerate() {
        let column = Sql::column(column, *ty).text;
        selected.push(format!("COUNT({column}) AS n{index}"));
        let text = if *ty == Ty::String { column } else { "CAST(NULL AS VARCHAR)".to_owned() };
        selected.push(format!("APPROX_COUNT_DISTINCT({text}) AS c{index}"));
        selected.push(format!("MIN({text}) AS l{index}"));
        selected.push(format!("MAX({text}) AS u{index}"));
    }
    let (from, filter) = (&base.source.from, plan::where_clause(&base.wheres));
    let sql = format!("SELECT {} FROM {from}{filter}", selected.join(", "));
    let batches = run(engine, &sql, options).await?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
        return Ok(Vec::new());
    };
    let cell = |at: usize| batch.columns().get(at).and_then(|column| texts(column).pop()).flatten();
    let number = |at: usize| cell(at).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let rows = number(0);
    Ok((0..shown.len())
        .map(|index| Measured {
            nulls: number(1 + 4 * index) < rows,
            cardinality: json!(number(2 + 4 * index)),
            min: json!(cell(3 + 4 * index)),
            max: json!(cell(4 + 4 * index)),
        })
        .collect())
}

/// The metrics of rolled-up tables as aggregators that combine them; null when none is rolled up
/// or two tables say different things of one column.
fn aggregators(tables: &[Arc<Table>]) -> Value {
    let mut found = Map::new();
    for table in tables {
        let Some(rollup) = &table.spec().rollup else { return Value::Null };
        for metric in &rollup.metrics {
            let stored = table.schema().field_with_name(&metric.name).ok();
            let stored = stored.map(|field| field.data_type());
            let made = aggregator(&metric.name, &metric.aggregate, stored);
            if found.get(&metric.name).is_some_and(|known| *known != made) {
                return Value::Null;
            }
            found.insert(metric.name.clone(), made);
        }
    }
    if found.is_empty() { Value::Null } else { Value::Object(found) }
}

fn aggregator(name: &str, aggregate: &Aggregate, stored: Option<&DataType>) -> Value {
    // The state of the first and last values holds their time too.
    let value = match stored {
        Some(DataType::Struct(fields)) => fields.last().map(|field| field.data_type()),
        other => other,
    };
    let prefix = match value.map(Ty::of) {
        Some(Ty::Double) => "double",
        Some(Ty::String) => "string",
        _ => "long",
    };
    let typed =
        |what: &str| json!({ "type": format!("{prefix}{what}"), "name": name, "fieldName": name });
    match aggregate {
        Aggregate::Count => json!({ "type": "longSum", "name": name, "fieldName": name }),
        Aggregate::Sum => typed("Sum"),
        Aggregate::Min => typed("Min"),
        Aggregate::Max => typed("Max"),
        Aggregate::First => typed("First"),
        Aggregate::Last => typed("Last"),
        Aggregate::Any => typed("Any"),
        Aggregate::Hll { lg_k } => json!({
            "type": "HLLSketchMerge", "name": name, "fieldName": name,
            "lgK": lg_k, "tgtHllType": "HLL_4", "round": false,
        }),
        Aggregate::Theta { lg_k } => json!({
            "type": "thetaSketch", "name": name, "fieldName": name,
            "size": 1_u64 << lg_k, "shouldFinalize": true, "isInputThetaSketch": false,
        }),
        Aggregate::Quantiles { k } => json!({
            "type": "quantilesDoublesSketchMerge", "name": name, "fieldName": name, "k": k,
        }),
    }
}
