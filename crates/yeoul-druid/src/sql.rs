//! `POST /druid/v2/sql`: the answer flows while the query runs.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures::stream;
use tracing::{info, warn};
use yeoul_sql::{Engine, QueryStream, SqlError};

use crate::answer::Writer;
use crate::error::DruidError;
use crate::request::Request;

/// Pieces are at least this large: some clients search all they have again for each piece.
const PIECE_BYTES: usize = 256 << 10;

/// Errors up to the first row are a status of their own; a later one cuts the body short, which
/// clients notice by the missing end.
pub(crate) async fn query(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, DruidError> {
    let request = Request::read(&headers, &body)?;
    let rows = match engine.stream(&request.query, &request.options()).await {
        Ok(rows) => rows,
        Err(error) => {
            info!(query = request.query, %error, "a Druid SQL query was refused");
            return Err(error.into());
        }
    };
    let writer = Writer::new(&request);
    let mut response = Response::builder().header(CONTENT_TYPE, writer.content_type());
    if let Ok(id) = HeaderValue::from_str(&request.query_id()) {
        response = response.header("X-Druid-SQL-Query-Id", id);
    }
    if request.header {
        response = response.header("X-Druid-SQL-Header-Included", "yes");
    }
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
    response.body(body).map_err(|error| {
        DruidError::from(SqlError::new(yeoul_sql::ErrorKind::Internal, error.to_string()))
    })
}

struct Pieces {
    rows: QueryStream,
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
            let schema = Arc::clone(self.rows.schema());
            self.writer.start(&schema, &mut out);
        }
        while out.len() < PIECE_BYTES {
            let Some(batch) = self.rows.next().await else {
                self.writer.end(&mut out);
                self.done = true;
                break;
            };
            self.writer.rows(&batch?, &mut out).map_err(|error| {
                SqlError::new(yeoul_sql::ErrorKind::Internal, error.to_string())
            })?;
        }
        Ok(Some(out))
    }
}
