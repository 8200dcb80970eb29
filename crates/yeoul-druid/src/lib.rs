//! Druid's face of the tables: what Superset, pydruid and Turnilo ask of a Druid router.
//!
//! [`router`] answers under `/druid` and `/status`; the binary mounts it behind the web's layers
//! (hosts, tokens). It holds no state: all answers come from [`yeoul_sql::Engine`].
//!
//! Not here yet: native queries (`POST /druid/v2`), which are refused as unsupported.

mod answer;
mod coordinator;
mod error;
pub mod expression;
mod manage;
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
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use yeoul_sql::{Engine, ErrorKind, SqlError, sql_type};

use crate::error::DruidError;

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
        .route("/druid/v2", post(native))
        .route("/druid/v2/", post(native))
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
    Json(json!({ "version": VERSION, "modules": [], "memory": {} }))
}

async fn health() -> Json<bool> {
    Json(true)
}

async fn load_status() -> Json<Value> {
    Json(json!({ "inventoryInitialized": true }))
}

async fn native() -> DruidError {
    let text = "native queries are not offered; send SQL to /druid/v2/sql";
    DruidError::from(SqlError::new(ErrorKind::Unsupported, text))
}

async fn datasources(State(engine): State<Arc<Engine>>) -> Json<Vec<String>> {
    let tables = engine.catalog().tables();
    Json(tables.iter().map(|table| table.spec().name.clone()).collect())
}

/// Text is a dimension, numbers are metrics; empty lists for a name that is not known.
async fn datasource(State(engine): State<Arc<Engine>>, Path(name): Path<String>) -> Json<Value> {
    let (mut dimensions, mut metrics) = (Vec::new(), Vec::new());
    if let Some(table) = engine.catalog().table(&name) {
        for field in table.spec().columns.fields().iter().skip(1) {
            match sql_type(field.data_type()).0 {
                "BIGINT" | "FLOAT" | "DOUBLE" | "DECIMAL" => metrics.push(field.name().clone()),
                _ => dimensions.push(field.name().clone()),
            }
        }
    }
    Json(json!({ "dimensions": dimensions, "metrics": metrics }))
}
