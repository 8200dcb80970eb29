//! All routes of the HTTP port behind one set of checks.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use yeoul_base::Clock;

use crate::api::App;
use crate::guard::{Guard, guard};
use crate::live::Live;
use crate::node::Node;
use crate::{api, assets, live, openapi, tables};

/// A pipeline file is at most 4 MiB; a folder of them may be more.
const BODY_BYTES_MAX: usize = 16 << 20;

/// How the port is opened.
#[derive(Debug, Clone)]
pub struct WebOptions {
    /// Names beside localhost that the node is reached by (`--allow-host`).
    pub allow_hosts: Vec<String>,
    /// Bound off loopback without a token (`--insecure`).
    pub insecure: bool,
    /// Asked for on every request but health; needed when bound off loopback.
    pub token: Option<String>,
    /// Further routes behind the same checks: Druid's face.
    pub extra: Router,
    /// For the beats of live lines.
    pub clock: Arc<dyn Clock>,
}

/// Everything that is served on the HTTP port. Live lines run on the tokio runtime it is
/// served by.
pub fn router(node: Arc<dyn Node>, options: WebOptions) -> Router {
    if !assets::has_page() {
        tracing::warn!("the web app is not in this binary: only the APIs are served");
    }
    let live = Arc::new(Live::new(Arc::clone(&node), options.clock));
    let checks = Guard::new(&options.allow_hosts, options.insecure, options.token.as_deref());
    let api = Router::new()
        .route("/info", get(api::info))
        .route("/flow", get(api::flow))
        .route("/topics", get(api::topics))
        .route("/topics/{name}", get(api::topic))
        .route("/topics/{name}/records", get(api::records))
        .route("/tables", get(api::tables))
        .route("/tables/{name}", get(api::table).delete(tables::drop_table))
        .route("/tables/{name}/redo", get(tables::redo).post(tables::change_redo))
        .route("/status", get(api::status))
        .route("/audit", get(api::audit))
        .route("/dead", get(api::dead))
        .route("/pipelines", get(api::pipelines))
        .route("/sql", post(api::sql))
        .route("/trace", post(api::trace))
        .route("/apply", post(api::apply))
        .route("/live", get(live::upgrade))
        .route("/openapi.json", get(async || Json(openapi::document())));
    Router::new()
        .nest("/api/v1", api)
        .route("/metrics", get(api::metrics))
        .route("/health/live", get(api::health_live))
        .route("/health/ready", get(api::health_ready))
        .with_state(App { node, live })
        .merge(options.extra)
        .fallback(assets::fallback)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::new(checks), guard))
}
