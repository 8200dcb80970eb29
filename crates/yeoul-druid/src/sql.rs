//! `POST /druid/v2/sql`: the answer flows while the query runs.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::json;
use tracing::{info, warn};
use yeoul_sql::{Engine, ErrorKind, QueryOptions, QueryStream, SqlError};

use crate::answer::{Writer, native_type};
use crate::error::DruidError;
use crate::request::Request;

/// Pieces are at least this large: some clients search all they have again for each piece.
const PIECE_BYTES: usize = 256 << 10;
const QUERY_ID: &str = "X-Druid-SQL-Query-Id";

/// Errors up to the first row are a status of their own; a later one cuts the body short, which
/// clients notice by the missing end.
pub(crate) async fn query(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = match Request::read(&headers, &body) {
        Ok(request) => request,
        Err(error) => return DruidError::from(error).into_response(),
    };
    let id = request.query_id();
    let mut response = match answer(&engine, &request, &id).await {
        Ok(response) => response,
        Err(error) => {
            info!(query = request.query, %error, "a Druid SQL query was refused");
            DruidError::from(error).into_response()
        }
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(QUERY_ID, id);
    }
    response
}

/// Stops the running queries of that id.
pub(crate) async fn cancel(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
) -> StatusCode {
    if engine.cancel(&id) > 0 { StatusCode::ACCEPTED } else { StatusCode::NOT_FOUND }
}

/// As for SQL; Druid answers the same whether a native query runs or not.
pub(crate) async fn cancel_native(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
) -> StatusCode {
    engine.cancel(&id);
    StatusCode::ACCEPTED
}

async fn answer(engine: &Arc<Engine>, request: &Request, id: &str) -> Result<Response, SqlError> {
    let options = request.options(id)?;
    let writer = Writer::new(request);
    let mut response = Response::builder().header(CONTENT_TYPE, writer.content_type());
    if request.header {
        response = response.header("X-Druid-SQL-Header-Included", "yes");
    }
    let rows = match explained(&request.query) {
        Some(query) => Source::One(explain(engine, query, &options).await?),
        None => Source::Many(engine.stream(&request.query, &options).await?),
    };
    let pieces = Pieces { rows, writer, started: false, done: false };
    let body = Body::from_stream(stream::unfold(pieces, |mut pieces| async move {
        match pieces.next().await {
            Ok(Some(piece)) => Some((Ok(Bytes::from(piece)), pieces)),
            Ok(None) => None,
            Err(error) => {
                warn!(%error, "a Druid SQL query failed in the middle of its answer");
                pieces.done = true;
                Some((Err(error), pieces))
            }
        }
    }));
    response.body(body).map_err(|error| SqlError::new(ErrorKind::Internal, error.to_string()))
}

/// The query of `EXPLAIN PLAN FOR query`.
fn explained(text: &str) -> Option<&str> {
    let mut rest = text.trim_start();
    for word in ["EXPLAIN", "PLAN", "FOR"] {
        let (head, after) = rest.split_at_checked(word.len())?;
        if !head.eq_ignore_ascii_case(word) || !after.starts_with(char::is_whitespace) {
            return None;
        }
        rest = after.trim_start();
    }
    Some(rest)
}

/// Druid's three columns: what would run, what it reads, what kind of statement it is.
async fn explain(
    engine: &Arc<Engine>,
    query: &str,
    options: &QueryOptions,
) -> Result<RecordBatch, SqlError> {
    let checked = engine.check_with(query, options).await?;
    let shown = engine.query(&format!("EXPLAIN {query}"), options).await?;
    let mut plan = String::new();
    for batch in &shown.batches {
        let text = batch.columns().get(1).and_then(|column| {
            let texts = arrow::compute::cast(column, &DataType::Utf8).ok()?;
            let texts = texts.as_any().downcast_ref::<StringArray>()?;
            texts.iter().flatten().next().map(str::to_owned)
        });
        if plan.is_empty() {
            plan = text.unwrap_or_default();
        }
    }
    let fields = checked.schema.fields();
    let signature: Vec<_> = fields
        .iter()
        .map(|field| json!({ "name": field.name(), "type": native_type(field.data_type()) }))
        .collect();
    let mappings: Vec<_> = fields
        .iter()
        .map(|field| json!({ "queryColumn": field.name(), "outputColumn": field.name() }))
        .collect();
    let plan = json!([{
        "query": { "queryType": "plan", "plan": plan },
        "signature": signature,
        "columnMappings": mappings,
    }]);
    let resources: Vec<_> =
        checked.tables.iter().map(|table| json!({ "name": table, "type": "DATASOURCE" })).collect();
    let cells = [
        ("PLAN", plan.to_string()),
        ("RESOURCES", json!(resources).to_string()),
        ("ATTRIBUTES", json!({ "statementType": "SELECT" }).to_string()),
    ];
    let fields: Vec<Field> =
        cells.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect();
    let columns =
        cells.into_iter().map(|(_, text)| Arc::new(StringArray::from(vec![text])) as ArrayRef);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.collect()).map_err(internal)
}

fn internal(error: arrow::error::ArrowError) -> SqlError {
    SqlError::new(ErrorKind::Internal, error.to_string())
}

/// Where rows come from.
enum Source {
    Many(QueryStream),
    One(RecordBatch),
}

struct Pieces {
    rows: Source,
    writer: Writer,
    started: bool,
    done: bool,
}

impl Pieces {
    async fn next(&mut self) -> Result<Option<String>, SqlError> {
        if self.done {
            return Ok(None);
        }
        let mut out = String::new();
        if !self.started {
            self.started = true;
            let schema: SchemaRef = match &self.rows {
                Source::Many(rows) => Arc::clone(rows.schema()),
                Source::One(batch) => batch.schema(),
            };
            self.writer.start(&schema, &mut out);
        }
        while out.len() < PIECE_BYTES {
            let batch = match &mut self.rows {
                Source::Many(rows) => match rows.next().await {
                    Some(batch) => batch?,
                    None => {
                        self.end(&mut out);
                        break;
                    }
                },
                Source::One(batch) => {
                    let batch = batch.clone();
                    self.writer.rows(&batch, &mut out).map_err(internal)?;
                    self.end(&mut out);
                    break;
                }
            };
            self.writer.rows(&batch, &mut out).map_err(internal)?;
        }
        Ok(Some(out))
    }

    fn end(&mut self, out: &mut String) {
        self.writer.end(out);
        self.done = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explained_query_is_found() {
        assert_eq!(explained(" explain  plan\nFOR SELECT 1"), Some("SELECT 1"));
        assert_eq!(explained("EXPLAIN SELECT 1"), None);
        assert_eq!(explained("EXPLAIN PLAN FORTUNE"), None);
        assert_eq!(explained("SELECT 'EXPLAIN PLAN FOR x'"), None);
    }
}
