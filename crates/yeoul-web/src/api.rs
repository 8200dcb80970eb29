//! The handlers of `/api/v1`: read the request, ask the node, write JSON.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::RECORDS_LIMIT_MAX;
use crate::dto::{
    ApplyRequest, ApplyResult, Audit, DeadTopic, Flow, From, Info, PipelineInfo, Records,
    RecordsQuery, SqlRequest, SqlResult, Status, Table, Topic, Trace, TraceRequest,
};
use crate::error::ApiError;
use crate::live::Live;
use crate::node::Node;

const RECORDS_LIMIT_DEFAULT: usize = 100;

/// What every handler has.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) node: Arc<dyn Node>,
    pub(crate) live: Arc<Live>,
}

pub(crate) type Answer<T> = Result<Json<T>, ApiError>;

/// Asks the node on a thread that may block.
pub(crate) async fn ask<T: Send + 'static>(
    node: &Arc<dyn Node>,
    question: impl FnOnce(&dyn Node) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let node = Arc::clone(node);
    tokio::task::spawn_blocking(move || question(node.as_ref())).await.map_err(|error| {
        tracing::error!(%error, "a question to the node did not come back");
        ApiError::internal("the node failed to answer").with_hint("Its log says more.")
    })
}

pub(crate) async fn info(State(app): State<App>) -> Answer<Info> {
    ask(&app.node, |node| node.info()).await.map(Json)
}

pub(crate) async fn flow(State(app): State<App>) -> Answer<Flow> {
    ask(&app.node, |node| node.flow()).await.map(Json)
}

pub(crate) async fn topics(State(app): State<App>) -> Answer<Vec<Topic>> {
    ask(&app.node, |node| node.topics()).await.map(Json)
}

pub(crate) async fn topic(State(app): State<App>, Path(name): Path<String>) -> Answer<Topic> {
    let missing = ApiError::not_found(format!("there is no topic `{name}`"));
    ask(&app.node, move |node| node.topic(&name)).await?.map(Json).ok_or(missing)
}

/// As they stand in the address.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordsParams {
    from: Option<String>,
    partition: Option<String>,
    limit: Option<String>,
}

impl RecordsParams {
    fn query(&self) -> Result<RecordsQuery, ApiError> {
        let from = match self.from.as_deref() {
            None | Some("latest") => From::Latest,
            Some("earliest") => From::Earliest,
            Some(text) => match text.parse() {
                Ok(offset) if offset >= 0 => From::Offset(offset),
                _ => {
                    return Err(ApiError::bad_request(format!("from: `{text}` is no place"))
                        .with_hint("Write `latest`, `earliest` or an offset."));
                }
            },
        };
        let partition = self.partition.as_deref().map(str::parse).transpose();
        let partition = partition.map_err(|_| {
            ApiError::bad_request("partition: expected a number")
                .with_hint("Leave it out for all partitions.")
        })?;
        let limit = self.limit.as_deref().map(str::parse).transpose();
        let limit = limit
            .ok()
            .map(|limit| limit.unwrap_or(RECORDS_LIMIT_DEFAULT))
            .filter(|limit| (1..=RECORDS_LIMIT_MAX).contains(limit));
        let limit = limit.ok_or_else(|| {
            ApiError::bad_request(format!("limit: expected 1 to {RECORDS_LIMIT_MAX}"))
        })?;
        Ok(RecordsQuery { from, partition, limit })
    }
}

pub(crate) async fn records(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Result<Query<RecordsParams>, axum::extract::rejection::QueryRejection>,
) -> Answer<Records> {
    let Query(params) = params.map_err(|error| {
        ApiError::bad_request(error.body_text())
            .with_hint("There are `from`, `partition` and `limit`.")
    })?;
    let query = params.query()?;
    ask(&app.node, move |node| node.records(&name, &query)).await?.map(Json)
}

pub(crate) async fn tables(State(app): State<App>) -> Answer<Vec<Table>> {
    ask(&app.node, |node| node.tables()).await.map(Json)
}

pub(crate) async fn table(State(app): State<App>, Path(name): Path<String>) -> Answer<Table> {
    let missing = ApiError::not_found(format!("there is no table `{name}`"));
    ask(&app.node, move |node| node.table(&name)).await?.map(Json).ok_or(missing)
}

pub(crate) async fn status(State(app): State<App>) -> Answer<Status> {
    ask(&app.node, |node| node.status()).await.map(Json)
}

pub(crate) async fn audit(State(app): State<App>) -> Answer<Audit> {
    ask(&app.node, |node| node.audit()).await.map(Json)
}

pub(crate) async fn dead(State(app): State<App>) -> Answer<Vec<DeadTopic>> {
    ask(&app.node, |node| node.dead()).await.map(Json)
}

pub(crate) async fn pipelines(State(app): State<App>) -> Answer<Vec<PipelineInfo>> {
    ask(&app.node, |node| node.pipelines()).await.map(Json)
}

pub(crate) async fn sql(
    State(app): State<App>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<SqlResult> {
    let request: SqlRequest = parse(body)?;
    app.node.sql(request).await.map(Json)
}

pub(crate) async fn trace(
    State(app): State<App>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Trace> {
    let request: TraceRequest = parse(body)?;
    app.node.trace(request).await.map(Json)
}

pub(crate) async fn apply(
    State(app): State<App>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<ApplyResult> {
    let request: ApplyRequest = parse(body)?;
    app.node.apply(request).await.map(Json)
}

/// The body as JSON; the guard has seen to its content type.
pub(crate) fn parse<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, ApiError> {
    let body = body.map_err(|error| ApiError::new(error.status().as_u16(), error.body_text()))?;
    serde_json::from_slice(&body).map_err(|error| {
        let whole = error.to_string();
        let message = whole.split(" at line ").next().unwrap_or(&whole);
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        ApiError::bad_request(format!("the body cannot be read: {message}"))
            .at(number(error.line()), number(error.column()))
    })
}

pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let mut text = ask(&app.node, |node| {
        let mut text = String::new();
        node.metrics(&mut text);
        text
    })
    .await?;
    app.live.metrics(&mut text);
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, text).into_response())
}

pub(crate) async fn health_live() -> &'static str {
    "ok\n"
}

pub(crate) async fn health_ready(State(app): State<App>) -> Response {
    match app.node.ready() {
        Ok(()) => "ok\n".into_response(),
        Err(waits_for) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{waits_for}\n")).into_response()
        }
    }
}
