//! The overlord's lists: tasks, workers, leader.
//!
//! What feeds a table is shown as one running task. Tasks cannot be posted: a batch spec names
//! files or addresses to read, and nothing is read from there.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::manage::{Refused, blocking, iso, missing};
use crate::node::{Node, Shared};
use crate::supervisor::{Kept, kept, tasks_of};

pub(crate) fn routes() -> Router<Shared> {
    let base = |rest: &str| format!("/druid/indexer/v1{rest}");
    Router::new()
        .route(&base("/tasks"), get(tasks))
        .route(&base("/runningTasks"), get(|s: State<Shared>| of_state(s, true)))
        .route(&base("/completeTasks"), get(|s: State<Shared>| of_state(s, false)))
        .route(&base("/pendingTasks"), get(|s: State<Shared>| of_state(s, false)))
        .route(&base("/waitingTasks"), get(|s: State<Shared>| of_state(s, false)))
        .route(&base("/task"), post(submit))
        .route(&base("/task/{id}"), get(task))
        .route(&base("/task/{id}/status"), get(status))
        .route(&base("/task/{id}/reports"), get(reports))
        .route(&base("/task/{id}/log"), get(log))
        .route(&base("/task/{id}/shutdown"), post(shutdown))
        .route(&base("/workers"), get(workers))
        .route(&base("/leader"), get(leader))
        .route(&base("/isLeader"), get(is_leader))
}

/// A task that runs.
fn running(node: &dyn Node) -> Vec<(Kept, String)> {
    let with_task = |kept: Kept| {
        let task = tasks_of(&kept, node.feed(&kept.id).as_ref())?;
        Some((kept, task))
    };
    kept(node).into_iter().filter_map(with_task).collect()
}

fn row(node: &dyn Node, kept: &Kept, task: &str) -> Value {
    let (host, port) = node.address();
    let created = iso(kept.created_ms);
    json!({
        "id": task,
        "groupId": format!("index_kafka_{}", kept.id),
        "type": "index_kafka",
        "createdTime": created,
        "queueInsertionTime": created,
        "statusCode": "RUNNING",
        "status": "RUNNING",
        "runnerStatusCode": "RUNNING",
        "duration": -1,
        "location": { "host": host, "port": port, "tlsPort": -1 },
        "dataSource": kept.id,
        "errorMsg": null,
    })
}

#[derive(Debug, Deserialize)]
struct Wanted {
    state: Option<String>,
    datasource: Option<String>,
    max: Option<usize>,
}

async fn tasks(
    State(shared): State<Shared>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, Refused> {
    if let Some(state) = &wanted.state
        && !["pending", "waiting", "running", "complete"].contains(&state.as_str())
    {
        let text = format!("`{state}` is no state: pending, waiting, running or complete");
        return Err(Refused::bad(text));
    }
    blocking(shared, move |shared| {
        let node = shared.node.as_ref();
        if wanted.state.as_deref().is_some_and(|state| state != "running") {
            return Ok(Json(json!([])));
        }
        let rows = running(node)
            .into_iter()
            .filter(|(kept, _)| wanted.datasource.as_ref().is_none_or(|name| *name == kept.id));
        let rows = rows.take(wanted.max.unwrap_or(usize::MAX));
        Ok(Json(rows.map(|(kept, task)| row(node, &kept, &task)).collect()))
    })
    .await
}

async fn of_state(State(shared): State<Shared>, runs: bool) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let node = shared.node.as_ref();
        let rows = running(node).into_iter().filter(|_| runs);
        Ok(Json(rows.map(|(kept, task)| row(node, &kept, &task)).collect()))
    })
    .await
}

fn find(node: &dyn Node, id: &str) -> Result<(Kept, String), Refused> {
    let found = running(node).into_iter().find(|(_, task)| task == id);
    found.ok_or_else(|| missing("task", id))
}

async fn task(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let (kept, task) = find(shared.node.as_ref(), &id)?;
        Ok(Json(json!({ "task": task, "payload": {
            "type": "index_kafka",
            "id": task,
            "dataSource": kept.id,
            "spec": kept.spec,
        } })))
    })
    .await
}

async fn status(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let node = shared.node.as_ref();
        let (kept, task) = find(node, &id)?;
        Ok(Json(json!({ "task": task, "status": row(node, &kept, &task) })))
    })
    .await
}

async fn reports(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let (kept, task) = find(shared.node.as_ref(), &id)?;
        let feed = shared.node.feed(&kept.id).unwrap_or_default();
        Ok(Json(json!({ "ingestionStatsAndErrors": {
            "taskId": task,
            "type": "ingestionStatsAndErrors",
            "payload": {
                "ingestionState": "BUILD_SEGMENTS",
                "unparseableEvents": {},
                "rowStats": { "buildSegments": {
                    "processed": feed.used,
                    "processedWithError": 0,
                    "thrownAway": feed.filtered,
                    "unparseable": feed.dead,
                } },
                "errorMsg": null,
            },
        } })))
    })
    .await
}

async fn log(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, Refused> {
    blocking(shared, move |shared| {
        let (kept, _) = find(shared.node.as_ref(), &id)?;
        let feed = shared.node.feed(&kept.id).unwrap_or_default();
        let said = feed.message.unwrap_or_else(|| "takes records as they come".to_owned());
        Ok(format!("table {}: {said}\n", kept.id).into_response())
    })
    .await
}

/// A table's feeding ends with its supervisor.
async fn shutdown(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let (kept, _) = find(shared.node.as_ref(), &id)?;
        let text = format!(
            "the task would begin again at once: suspend or terminate the supervisor `{}`",
            kept.id
        );
        Err(Refused::bad(text))
    })
    .await
}

async fn submit(body: Bytes) -> Refused {
    let Ok(spec) = serde_json::from_slice::<Value>(&body) else {
        return Refused::bad("the body is not a task");
    };
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default();
    let told = match kind {
        "index" | "index_parallel" | "index_hadoop" => {
            "files and addresses named by a spec are never read. Write the records into a topic \
             (`yeoul import`, or any Kafka client) and post the same `dataSchema` as a supervisor \
             of type `kafka` with `ioConfig.topic` naming it"
        }
        "kill" | "compact" => {
            "table segments are folded and dropped by the node itself; rows end by the table's \
             retention or by DELETE /druid/coordinator/v1/datasources/{name}"
        }
        _ => "tasks of this type are not offered: a supervisor of type `kafka` feeds a table",
    };
    Refused::bad(format!("$.type: `{kind}`: {told}"))
}

async fn workers(State(shared): State<Shared>) -> Result<Json<Value>, Refused> {
    blocking(shared, |shared| {
        let node = shared.node.as_ref();
        let (host, port) = node.address();
        let running = running(node);
        let tasks: Vec<_> = running.iter().map(|(_, task)| task.clone()).collect();
        let groups: Vec<_> =
            running.iter().map(|(kept, _)| format!("index_kafka_{}", kept.id)).collect();
        Ok(Json(json!([{
            "worker": {
                "scheme": "http",
                "host": format!("{host}:{port}"),
                "ip": host,
                "capacity": tasks.len().max(1),
                "version": "0",
                "category": "_default_worker_category",
            },
            "currCapacityUsed": tasks.len(),
            "currParallelIndexCapacityUsed": 0,
            "availabilityGroups": groups,
            "runningTasks": tasks,
            "lastCompletedTaskTime": iso(node.now_ms()),
            "blacklistedUntil": null,
        }])))
    })
    .await
}

pub(crate) async fn leader(State(shared): State<Shared>) -> Result<String, Refused> {
    blocking(shared, |shared| {
        let (host, port) = shared.node.address();
        Ok(format!("http://{host}:{port}"))
    })
    .await
}

pub(crate) async fn is_leader() -> (StatusCode, Json<Value>) {
    (StatusCode::OK, Json(json!({ "leader": true })))
}
