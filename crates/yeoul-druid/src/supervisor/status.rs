//! How supervisors and their tasks do. A table is fed by one loop without end, which is shown as
//! one task.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::{Kept, find};
use crate::manage::{Refused, blocking, iso};
use crate::node::{Feed, FeedPartition, Shared};

pub(crate) fn state(kept: &Kept, feed: Option<&Feed>) -> &'static str {
    match feed {
        _ if kept.suspended => "SUSPENDED",
        None => "PENDING",
        Some(feed) if feed.failed => "UNHEALTHY_SUPERVISOR",
        Some(_) => "RUNNING",
    }
}

pub(crate) fn detailed(kept: &Kept, feed: Option<&Feed>) -> &'static str {
    match feed {
        _ if kept.suspended => "SUSPENDED",
        None => "PENDING",
        Some(feed) if feed.failed => "UNHEALTHY_SUPERVISOR",
        Some(feed) if !feed.running => "DISCOVERING_INITIAL_TASKS",
        Some(_) => "RUNNING",
    }
}

pub(super) fn healthy(feed: Option<&Feed>) -> bool {
    feed.is_none_or(|feed| !feed.failed)
}

pub(crate) fn task_id(kept: &Kept) -> String {
    format!("index_kafka_{}_{:x}", kept.id, kept.created_ms)
}

/// The task of a supervisor that takes records.
pub(crate) fn tasks_of(kept: &Kept, feed: Option<&Feed>) -> Option<String> {
    let takes = !kept.suspended && feed.is_some_and(|feed| !feed.failed);
    takes.then(|| task_id(kept))
}

fn offsets(feed: Option<&Feed>, of: impl Fn(&FeedPartition) -> i64) -> Value {
    let parts = feed.map_or(&[][..], |feed| feed.partitions.as_slice());
    let each = parts.iter().map(|part| (part.partition.to_string(), json!(of(part))));
    Value::Object(each.collect::<Map<_, _>>())
}

fn lag(part: &FeedPartition) -> i64 {
    (part.latest - part.current).max(0)
}

pub(super) async fn status(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let kept = find(shared.node.as_ref(), &id)?;
        let feed = shared.node.feed(&id);
        let feed = feed.as_ref();
        let now = iso(shared.node.now_ms());
        let active = tasks_of(&kept, feed).map(|task| {
            json!({
                "id": task,
                "startingOffsets": offsets(feed, |part| part.start),
                "startTime": iso(kept.created_ms),
                "remainingSeconds": null,
                "type": "ACTIVE",
                "currentOffsets": offsets(feed, |part| part.current),
                "lag": offsets(feed, lag),
            })
        });
        let partitions = feed.map_or(&[][..], |feed| feed.partitions.as_slice());
        let errors = feed.filter(|feed| feed.failed).and_then(|feed| feed.message.clone());
        let errors = errors.map(|message| {
            json!({
                "timestamp": now,
                "exceptionClass": "yeoul",
                "message": message,
                "streamException": false,
            })
        });
        Ok(Json(json!({
            "id": id,
            "generationTime": now,
            "payload": {
                "id": id,
                "dataSource": id,
                "stream": kept.topic,
                "topic": kept.topic,
                "partitions": partitions.len(),
                "replicas": 1,
                "durationSeconds": 3600,
                "activeTasks": active.into_iter().collect::<Vec<_>>(),
                "publishingTasks": [],
                "latestOffsets": offsets(feed, |part| part.latest),
                "minimumLag": offsets(feed, lag),
                "aggregateLag": partitions.iter().map(lag).sum::<i64>(),
                "offsetsLastUpdated": now,
                "suspended": kept.suspended,
                "healthy": healthy(feed),
                "state": state(&kept, feed),
                "detailedState": detailed(&kept, feed),
                "recentErrors": errors.into_iter().collect::<Vec<_>>(),
            },
        })))
    })
    .await
}

pub(super) async fn stats(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let kept = find(shared.node.as_ref(), &id)?;
        let feed = shared.node.feed(&id);
        let Some(task) = tasks_of(&kept, feed.as_ref()) else { return Ok(Json(json!({}))) };
        let feed = feed.unwrap_or_default();
        let totals = json!({
            "processed": feed.used,
            "processedBytes": 0,
            "processedWithError": 0,
            "thrownAway": feed.filtered,
            "unparseable": feed.dead,
        });
        // Rates are not kept: they are at `/metrics`.
        let none = json!({
            "processed": 0.0,
            "processedBytes": 0.0,
            "processedWithError": 0.0,
            "thrownAway": 0.0,
            "unparseable": 0.0,
        });
        let averages = json!({ "1m": none, "5m": none, "15m": none });
        Ok(Json(json!({ "0": { task: {
            "movingAverages": { "buildSegments": averages },
            "totals": { "buildSegments": totals },
        } } })))
    })
    .await
}

pub(super) async fn health(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    blocking(shared, move |shared| {
        find(shared.node.as_ref(), &id)?;
        let healthy = healthy(shared.node.feed(&id).as_ref());
        let code = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Ok((code, Json(json!({ "healthy": healthy }))).into_response())
    })
    .await
}

/// Records that could not be read are in the topic `dead.table.<id>`.
pub(super) async fn parse_errors(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        find(shared.node.as_ref(), &id)?;
        Ok(Json(json!([])))
    })
    .await
}
