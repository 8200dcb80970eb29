//! Druid's face of the tables: what Superset, pydruid and Turnilo ask of a Druid router.
//!
//! [`router`] answers under `/druid` and `/status`; the binary mounts it behind the web's layers
//! (hosts, tokens). It holds no state: all answers come from [`yeoul_sql::Engine`].

mod answer;
mod coordinator;
mod error;
pub mod expression;
mod manage;
mod native;
pub mod node;
mod request;
mod sampler;
pub mod spec;
mod sql;
mod supervisor;
mod tasks;
mod text;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use yeoul_sql::Engine;

use crate::text::Ty;

pub use coordinator::lookup_pairs;
pub use supervisor::{Shown, shown};

/// Clients switch features by it; this is the version whose behaviour is followed.
const VERSION: &str = "29.0.1";

/// Druid's paths, with and without a trailing slash.
pub fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/status/health", get(health))
        .route("/druid/broker/v1/loadstatus", get(load_status))
        .route("/druid/v2/sql", post(sql::query))
        .route("/druid/v2/sql/", post(sql::query))
        .route("/druid/v2/sql/{id}", delete(sql::cancel))
        .route("/druid/v2/{id}", delete(sql::cancel_native))
        .route("/druid/v2", post(native::query))
        .route("/druid/v2/", post(native::query))
        .route("/druid/v2/datasources", get(datasources))
        .route("/druid/v2/datasources/", get(datasources))
        .route("/druid/v2/datasources/{name}", get(datasource))
        .with_state(engine)
}

/// The overlord's and the coordinator's paths: supervisors, tasks, the sampler, data sources,
/// lookups. Beside [`router`].
pub fn management(engine: Arc<Engine>, node: Arc<dyn node::Node>) -> Router {
    let shared = node::Shared { node, engine };
    let probe = async || Json(json!({ "version": VERSION, "modules": [] }));
    Router::new()
        .merge(supervisor::routes())
        .merge(tasks::routes())
        .merge(sampler::routes())
        .merge(coordinator::routes())
        .route("/status/properties", get(async || Json(json!({}))))
        .route("/status/selfDiscovered", get(async || Json(true)))
        .route(
            "/status/selfDiscovered/status",
            get(async || Json(json!({ "selfDiscovered": true }))),
        )
        .route("/proxy/coordinator/status", get(probe))
        .route("/proxy/overlord/status", get(probe))
        .with_state(shared)
}

async fn status() -> Json<Value> {
    let memory = json!({
        "maxMemory": 0, "totalMemory": 0, "freeMemory": 0, "usedMemory": 0, "directMemory": 0,
    });
    Json(json!({ "version": VERSION, "modules": [], "memory": memory }))
}

async fn health() -> Json<bool> {
    Json(true)
}

async fn load_status() -> Json<Value> {
    Json(json!({ "inventoryInitialized": true }))
}

async fn datasources(State(engine): State<Arc<Engine>>) -> Json<Vec<String>> {
    let tables = engine.catalog().tables();
    Json(tables.iter().map(|table| table.spec().name.clone()).collect())
}

/// Of a rolled-up table what it says, else numbers are metrics and all else are dimensions; empty
/// lists for a name that is not known.
async fn datasource(State(engine): State<Arc<Engine>>, Path(name): Path<String>) -> Json<Value> {
    let (mut dimensions, mut metrics) = (Vec::new(), Vec::new());
    if let Some(table) = engine.catalog().table(&name) {
        for (column, ty) in native::source::columns(&table).into_iter().skip(1) {
            let measured = match &table.spec().rollup {
                Some(rollup) => rollup.metrics.iter().any(|metric| metric.name == column),
                None => matches!(ty, Ty::Long | Ty::Double),
            };
            if measured {
                metrics.push(column);
            } else {
                dimensions.push(column);
            }
        }
    }
    Json(json!({ "dimensions": dimensions, "metrics": metrics }))
}
