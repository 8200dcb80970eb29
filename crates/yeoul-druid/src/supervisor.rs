//! `/druid/indexer/v1/supervisor`: specs become tables of this node.
//!
//! A supervisor is the JSON that was posted, kept with its history; what runs is the pipeline
//! file made of it. Suspending keeps the position, terminating keeps the rows: both leave the
//! table there to be asked.
//!
//! Invariant: a spec is kept only once the pipeline made of it runs.

mod status;

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::manage::{Refused, blocking, iso, missing};
use crate::node::{Node, SUPERVISOR, Shared};
use crate::spec::{self, Supervised};

pub(crate) use status::{detailed, state, tasks_of};

/// A spec is kept with its history in one fact.
const SPEC_BYTES_MAX: usize = 256 << 10;

pub(crate) fn routes() -> Router<Shared> {
    const BASE: &str = "/druid/indexer/v1/supervisor";
    let path = |rest: &str| format!("{BASE}{rest}");
    Router::new()
        .route(BASE, get(list).post(create))
        .route(&path("/history"), get(all_history))
        .route(&path("/suspendAll"), post(|s: State<Shared>| all(s, Act::Suspend)))
        .route(&path("/resumeAll"), post(|s: State<Shared>| all(s, Act::Resume)))
        .route(&path("/terminateAll"), post(|s: State<Shared>| all(s, Act::Terminate)))
        .route(&path("/{id}"), get(one))
        .route(&path("/{id}/status"), get(status::status))
        .route(&path("/{id}/stats"), get(status::stats))
        .route(&path("/{id}/health"), get(status::health))
        .route(&path("/{id}/parseErrors"), get(status::parse_errors))
        .route(&path("/{id}/history"), get(history))
        .route(
            &path("/{id}/suspend"),
            post(|s: State<Shared>, id: Path<String>| act(s, id, Act::Suspend)),
        )
        .route(
            &path("/{id}/resume"),
            post(|s: State<Shared>, id: Path<String>| act(s, id, Act::Resume)),
        )
        .route(
            &path("/{id}/reset"),
            post(|s: State<Shared>, id: Path<String>| act(s, id, Act::Reset)),
        )
        .route(
            &path("/{id}/resetOffsets"),
            post(|s: State<Shared>, id: Path<String>| act(s, id, Act::ResetOffsets)),
        )
        .route(
            &path("/{id}/terminate"),
            post(|s: State<Shared>, id: Path<String>| act(s, id, Act::Terminate)),
        )
        .route(
            &path("/{id}/shutdown"),
            post(|s: State<Shared>, id: Path<String>| act(s, id, Act::Terminate)),
        )
}

/// A supervisor that is there: its id and spec.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) id: String,
    pub(crate) spec: Value,
    pub(crate) suspended: bool,
    pub(crate) topic: String,
    pub(crate) created_ms: i64,
}

pub(crate) fn kept(node: &dyn Node) -> Vec<Kept> {
    let posted = node.posted(SUPERVISOR);
    let read = |posted: crate::node::Posted| {
        let current = posted.current()?;
        let spec: Value = serde_json::from_str(&current.text).ok()?;
        let supervised = spec::supervised(&spec).ok()?;
        let created_ms = current.at_ms;
        let Supervised { suspended, topic, .. } = supervised;
        Some(Kept { id: posted.name, spec, suspended, topic, created_ms })
    };
    posted.into_iter().filter_map(read).collect()
}

pub(crate) fn find(node: &dyn Node, id: &str) -> Result<Kept, Refused> {
    kept(node).into_iter().find(|kept| kept.id == id).ok_or_else(|| missing("supervisor", id))
}

/// Takes a spec: makes the table, or changes it.
fn take(node: &dyn Node, mut posted: Value) -> Result<String, Refused> {
    let bad = |text: String| Refused::new(StatusCode::BAD_REQUEST, text);
    let supervised = spec::supervised(&posted).map_err(|error| bad(error.to_string()))?;
    let id = supervised.id.clone();
    spec::table(&posted, &id, &supervised.topic).map_err(|error| bad(error.to_string()))?;
    if let Some(object) = posted.as_object_mut() {
        object.entry("type").or_insert_with(|| json!("kafka"));
    }
    let text = posted.to_string();
    if text.len() > SPEC_BYTES_MAX {
        return Err(bad(format!("the spec has more than {SPEC_BYTES_MAX} bytes")));
    }
    // Where a new supervisor begins is settled once: a restart must not move it.
    let known = node.feed(&id).is_some();
    let start = if supervised.from_start || known { None } else { node.ends(&supervised.topic) };
    let file = pipeline(&supervised, &posted, supervised.suspended, start.as_deref());
    node.apply(&format!("druid-{id}.yaml"), &file).map_err(bad)?;
    node.post(SUPERVISOR, &id, &text).map_err(Refused::internal)?;
    Ok(id)
}

/// The pipeline file of a supervisor. The spec is JSON in a block of text, its dollar signs
/// escaped: what a client posts must never be taken for a variable or a file of this machine.
fn pipeline(of: &Supervised, spec: &Value, suspended: bool, start: Option<&[i64]>) -> String {
    let json = serde_json::to_string_pretty(spec).unwrap_or_default().replace('$', "\\u0024");
    let json: String = json.lines().map(|line| format!("      {line}\n")).collect();
    let start = start.map(|start| format!("    start: {}\n", json!(start))).unwrap_or_default();
    format!(
        "# Made of the spec of a Druid supervisor.\n\
         name: druid-{id}\n\
         topics:\n  \"{topic}\": {{}}\n\
         tables:\n  \"{id}\":\n    from: \"{topic}\"\n    suspended: {suspended}\n{start}    \
         druid: |\n{json}",
        id = of.id,
        topic = of.topic,
    )
}

async fn create(State(shared): State<Shared>, body: Bytes) -> Result<Json<Value>, Refused> {
    let id = blocking(shared, move |shared| {
        let spec: Value = serde_json::from_slice(&body).map_err(|error| {
            Refused::new(StatusCode::BAD_REQUEST, format!("the body is not a spec: {error}"))
        })?;
        take(shared.node.as_ref(), spec)
    })
    .await?;
    Ok(Json(json!({ "id": id })))
}

/// A supervisor as `sys.supervisors` and `sys.tasks` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub id: String,
    pub topic: String,
    pub suspended: bool,
    pub state: &'static str,
    pub detailed_state: &'static str,
    pub healthy: bool,
    /// JSON.
    pub spec: String,
    pub created_ms: i64,
    /// The task that feeds its table; `None` while nothing does.
    pub task: Option<String>,
}

/// All supervisors of a node.
pub fn shown(node: &dyn Node) -> Vec<Shown> {
    let show = |kept: Kept| {
        let feed = node.feed(&kept.id);
        Shown {
            state: state(&kept, feed.as_ref()),
            detailed_state: detailed(&kept, feed.as_ref()),
            healthy: status::healthy(feed.as_ref()),
            task: tasks_of(&kept, feed.as_ref()),
            spec: kept.spec.to_string(),
            id: kept.id,
            topic: kept.topic,
            suspended: kept.suspended,
            created_ms: kept.created_ms,
        }
    };
    kept(node).into_iter().map(show).collect()
}

#[derive(Debug, Deserialize)]
struct Listing {
    full: Option<String>,
    state: Option<String>,
    system: Option<String>,
}

async fn list(
    State(shared): State<Shared>,
    Query(listing): Query<Listing>,
) -> Result<Json<Value>, Refused> {
    let wanted = |flag: &Option<String>| flag.as_deref().is_some_and(|flag| flag != "false");
    let (full, state) = (wanted(&listing.full) || wanted(&listing.system), wanted(&listing.state));
    blocking(shared, move |shared| {
        let each = kept(shared.node.as_ref()).into_iter().map(|kept| {
            if !full && !state {
                return json!(kept.id);
            }
            let feed = shared.node.feed(&kept.id);
            let mut row = json!({
                "id": kept.id,
                "dataSource": kept.id,
                "state": status::state(&kept, feed.as_ref()),
                "detailedState": detailed(&kept, feed.as_ref()),
                "healthy": status::healthy(feed.as_ref()),
                "type": "kafka",
                "source": kept.topic,
                "suspended": kept.suspended,
            });
            if let (true, Some(row)) = (full, row.as_object_mut()) {
                row.insert("spec".to_owned(), kept.spec);
            }
            row
        });
        Ok(Json(each.collect()))
    })
    .await
}

async fn one(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| Ok(Json(find(shared.node.as_ref(), &id)?.spec))).await
}

fn versions(posted: &crate::node::Posted) -> Vec<Value> {
    let row = |version: &crate::node::Version| {
        let spec = match version.text.as_str() {
            "" => json!({ "type": "NoopSupervisorSpec", "id": null, "dataSources": [posted.name] }),
            text => serde_json::from_str(text).unwrap_or(Value::Null),
        };
        json!({ "spec": spec, "version": iso(version.at_ms) })
    };
    posted.versions.iter().rev().map(row).collect()
}

async fn history(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let posted = shared.node.posted(SUPERVISOR);
        let posted = posted.iter().find(|posted| posted.name == id);
        posted.map(|posted| Json(json!(versions(posted)))).ok_or_else(|| missing("supervisor", &id))
    })
    .await
}

async fn all_history(State(shared): State<Shared>) -> Result<Json<Value>, Refused> {
    blocking(shared, |shared| {
        let posted = shared.node.posted(SUPERVISOR);
        let each = posted.iter().map(|posted| (posted.name.clone(), json!(versions(posted))));
        Ok(Json(Value::Object(each.collect())))
    })
    .await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Suspend,
    Resume,
    /// Positions are kept with the rows made of them: to forget one is to double the other. What
    /// Druid resets for, offsets that are gone, a table gets over by itself.
    Reset,
    ResetOffsets,
    Terminate,
}

fn change(node: &Arc<dyn Node>, id: &str, act: Act) -> Result<Value, Refused> {
    let kept = find(node.as_ref(), id)?;
    let supervised = spec::supervised(&kept.spec)
        .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let suspended = match act {
        Act::Suspend | Act::Terminate => true,
        Act::Resume => false,
        Act::Reset => return Ok(json!({ "id": id })),
        Act::ResetOffsets => {
            let text = "offsets are kept with the rows that were made of them and cannot be set: \
                to make the table again, use `yeoul redo`";
            return Err(Refused::new(StatusCode::BAD_REQUEST, text.to_owned()));
        }
    };
    if act != Act::Terminate && kept.suspended == suspended {
        let text = format!("[{id}] is already {}", if suspended { "suspended" } else { "running" });
        return Err(Refused::new(StatusCode::BAD_REQUEST, text));
    }
    let mut spec = kept.spec;
    if let Some(object) = spec.as_object_mut() {
        object.insert("suspended".to_owned(), json!(suspended));
    }
    // The table is there, so it has its positions: the start is of no use any more.
    let file = pipeline(&supervised, &spec, suspended, None);
    let bad = |text: String| Refused::new(StatusCode::BAD_REQUEST, text);
    node.apply(&format!("druid-{id}.yaml"), &file).map_err(bad)?;
    if act == Act::Terminate {
        node.post(SUPERVISOR, id, "").map_err(Refused::internal)?;
        return Ok(json!({ "id": id }));
    }
    node.post(SUPERVISOR, id, &spec.to_string()).map_err(Refused::internal)?;
    Ok(spec)
}

async fn act(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    act: Act,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| change(&shared.node, &id, act).map(Json)).await
}

async fn all(State(shared): State<Shared>, act: Act) -> Result<Response, Refused> {
    blocking(shared, move |shared| {
        for one in kept(shared.node.as_ref()) {
            let already = one.suspended == (act == Act::Suspend);
            if act == Act::Terminate || !already {
                change(&shared.node, &one.id, act)?;
            }
        }
        Ok(Json(json!({ "status": "success" })).into_response())
    })
    .await
}
