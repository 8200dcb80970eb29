//! `POST /druid/v2`: native queries, each translated into the one SQL query that means the same
//! and run as such.
//!
//! The way: body → [`model`] (within a budget) → [`plan`] (SQL text; the only thing a native query
//! ever is) → the engine → [`answer`] (Druid's JSON). So a native query and its SQL cannot
//! disagree, and every limit of the engine holds for both.

pub(crate) mod aggregate;
pub(crate) mod answer;
pub(crate) mod extract;
pub(crate) mod filter;
mod metadata;
pub(crate) mod model;
pub(crate) mod plan;
pub(crate) mod scope;
pub(crate) mod source;
pub(crate) mod time;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::Value;
use tracing::{info, warn};
use yeoul_sql::{Engine, ErrorKind, QueryOptions, QueryStream, SqlError, Unnamed};

use self::answer::{Shape, Writer};
use self::model::Query;
use self::plan::Planned;
use self::scope::{Result, invalid, unsupported};
use crate::error::DruidError;
use crate::request::CACHE_KEYS;

/// Pieces are at least this large.
const PIECE_BYTES: usize = 256 << 10;
const BODY_BYTES_MAX: usize = 1 << 20;
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// Answers a native query.
pub(crate) async fn query(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match answer(&engine, &headers, &body).await {
        Ok(response) => response,
        Err(error) => {
            let text = String::from_utf8_lossy(body.get(..body.len().min(2_048)).unwrap_or(&body));
            info!(query = %text, %error, "a native query was refused");
            DruidError::from(error).into_response()
        }
    }
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Query> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if kind.contains("smile") {
        return Err(unsupported("native queries are read as JSON, not as Smile"));
    }
    if body.len() > BODY_BYTES_MAX {
        let text =
            format!("the query has {} bytes, at most {BODY_BYTES_MAX} are allowed", body.len());
        return Err(SqlError::new(ErrorKind::TooLarge, text));
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| invalid(format!("the body is not JSON: {error}")))?;
    model::budget(&value).map_err(|text| SqlError::new(ErrorKind::TooLarge, text))?;
    if value.get("queryType").is_none() {
        return Err(invalid("`queryType` is missing"));
    }
    serde_json::from_value(value).map_err(|error| invalid(format!("not a native query: {error}")))
}

/// From the context.
pub(crate) fn options(query: &Query, id: &str) -> QueryOptions {
    let mut options = QueryOptions {
        unnamed: Unnamed::Numbered,
        max_rows: usize::MAX,
        query_id: Some(id.to_owned()),
        who: "druid".to_owned(),
        kept_answers: !CACHE_KEYS.iter().any(|key| query.refuses(key)),
        ..QueryOptions::default()
    };
    let timeout = query.context("timeout");
    let timeout = timeout.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    if let Some(ms) = timeout.filter(|ms| *ms > 0) {
        options.timeout = Duration::from_millis(ms).min(TIMEOUT_MAX);
    }
    options
}

fn query_id(query: &Query) -> String {
    match query.context("queryId").and_then(Value::as_str) {
        Some(id) if !id.is_empty() && id.len() <= 128 => id.to_owned(),
        _ => uuid::Uuid::new_v4().to_string(),
    }
}

async fn answer(engine: &Arc<Engine>, headers: &HeaderMap, body: &[u8]) -> Result<Response> {
    let query = read(headers, body)?;
    let id = query_id(&query);
    let options = options(&query, &id);
    let body = match query.query_type.as_str() {
        "timeseries" | "topN" | "groupBy" | "scan" => rows(engine, &query, options).await?,
        _ => Body::from(metadata::answer(engine, &query, &options).await?.to_string()),
    };
    let mut response = Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .header("X-Druid-Response-Context", "{}");
    if let Ok(id) = HeaderValue::from_str(&id) {
        response = response.header("X-Druid-Query-Id", id);
    }
    response.body(body).map_err(|error| SqlError::new(ErrorKind::Internal, error.to_string()))
}

fn shape(query: &Query) -> Result<Shape> {
    Ok(match query.query_type.as_str() {
        "timeseries" => Shape::Timeseries,
        "topN" => Shape::TopN { threshold: query.threshold.unwrap_or(0) },
        "groupBy" => Shape::GroupBy,
        _ => match query.result_format.as_deref().unwrap_or("list") {
            "list" => Shape::Scan { compact: false },
            "compactedList" => Shape::Scan { compact: true },
            other => return Err(unsupported(format!("the result format `{other}`"))),
        },
    })
}

/// A query with rows; empty when its data source is not known.
async fn rows(engine: &Arc<Engine>, query: &Query, options: QueryOptions) -> Result<Body> {
    let catalog = Arc::clone(engine.catalog());
    let plans = match &query.subtotals_spec {
        Some(sets) if query.query_type == "groupBy" && !sets.is_empty() => sets
            .iter()
            .map(|set| plan::plan_subtotal(query, &catalog, set))
            .collect::<Result<Option<Vec<_>>>>()?,
        _ => plan::plan(query, &catalog, 0)?.map(|planned| vec![planned]),
    };
    let Some(plans) = plans else { return Ok(Body::from("[]")) };
    let Some(first) = plans.first() else { return Ok(Body::from("[]")) };
    let shape = shape(query)?;
    // A topN of times without data has no bucket, not an empty one.
    if matches!(shape, Shape::TopN { .. }) && !answer::overlapping(first) {
        return Ok(Body::from("[]"));
    }
    let mut writer = Writer::new(shape, first);
    if shape == Shape::Timeseries
        && let Some(limit) = query.limit.filter(|limit| *limit > 0)
    {
        writer.limit(limit);
    }
    fill(engine, query, first, shape, &mut writer, &options).await?;
    let more = grand_total(engine, query, shape, &options).await?;
    let mut waiting: VecDeque<String> = plans.into_iter().map(|planned| planned.sql).collect();
    let Some(sql) = waiting.pop_front() else { return Ok(Body::from("[]")) };
    // The first rows come before the status is sent.
    let stream = engine.stream(&sql, &options).await?;
    let pieces = Pieces {
        engine: Arc::clone(engine),
        options,
        waiting,
        rows: stream,
        writer,
        more,
        started: false,
        done: false,
    };
    Ok(Body::from_stream(stream::unfold(pieces, |mut pieces| async move {
        match pieces.next().await {
            Ok(Some(piece)) => Some((Ok(Bytes::from(piece)), pieces)),
            Ok(None) => None,
            Err(error) => {
                warn!(%error, "a native query failed in the middle of its answer");
                pieces.done = true;
                Some((Err(error), pieces))
            }
        }
    })))
}

/// Tells the writer which buckets must be there, and what an empty one looks like: the answer to
/// the same question over no rows.
async fn fill(
    engine: &Arc<Engine>,
    query: &Query,
    planned: &Planned,
    shape: Shape,
    writer: &mut Writer,
    options: &QueryOptions,
) -> Result<()> {
    match shape {
        Shape::Timeseries if planned.bucket.is_some() && !query.flag("skipEmptyBuckets") => {
            let mut buckets = answer::buckets(planned)?;
            if buckets.is_empty() {
                return Ok(());
            }
            if query.descending.unwrap_or(false) {
                buckets.reverse();
            }
            let mut none = query.clone();
            none.granularity = None;
            none.filter = Some(model::Filter::False);
            let empty = one_result(engine, &none, options).await?;
            writer.fill(buckets, empty.unwrap_or_else(|| "{}".to_owned()));
        }
        Shape::TopN { .. } => {
            let buckets = match planned.bucket {
                Some(_) => answer::buckets(planned)?,
                None => vec![0],
            };
            writer.fill(buckets, "[]".to_owned());
        }
        _ => {}
    }
    Ok(())
}

/// The one result of a timeseries without granularity.
async fn one_result(
    engine: &Arc<Engine>,
    query: &Query,
    options: &QueryOptions,
) -> Result<Option<String>> {
    let Some(planned) = plan::plan(query, engine.catalog(), 0)? else { return Ok(None) };
    let answer = engine.query(&planned.sql, options).await?;
    let names = planned.outputs.iter().map(|output| output.name.as_str());
    answer::first_object(&answer.batches, names).map_err(internal)
}

fn internal(error: arrow::error::ArrowError) -> SqlError {
    SqlError::new(ErrorKind::Internal, error.to_string())
}

async fn grand_total(
    engine: &Arc<Engine>,
    query: &Query,
    shape: Shape,
    options: &QueryOptions,
) -> Result<Option<String>> {
    if shape != Shape::Timeseries || !query.flag("grandTotal") {
        return Ok(None);
    }
    let mut total = query.clone();
    total.granularity = None;
    let result = one_result(engine, &total, options).await?;
    Ok(result.map(|result| format!("{{\"timestamp\":null,\"result\":{result}}}")))
}

struct Pieces {
    engine: Arc<Engine>,
    options: QueryOptions,
    /// Queries whose rows come after these.
    waiting: VecDeque<String>,
    rows: QueryStream,
    writer: Writer,
    more: Option<String>,
    started: bool,
    done: bool,
}

impl Pieces {
    async fn next(&mut self) -> Result<Option<String>> {
        if self.done {
            return Ok(None);
        }
        let mut out = String::new();
        if !self.started {
            self.started = true;
            self.writer.start(&mut out);
        }
        while out.len() < PIECE_BYTES {
            if let Some(batch) = self.rows.next().await {
                self.writer.rows(&batch?, &mut out).map_err(internal)?;
                continue;
            }
            if let Some(sql) = self.waiting.pop_front() {
                self.rows = self.engine.stream(&sql, &self.options).await?;
                continue;
            }
            self.writer.end(self.more.as_deref(), &mut out);
            self.done = true;
            break;
        }
        Ok(Some(out))
    }
}
