//! The handlers that change tables: making one again, dropping one that nothing feeds.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};

use crate::api::{Answer, App, ask, parse};
use crate::dto::{Dropped, Redo, RedoRequest};

pub(crate) async fn redo(State(app): State<App>, Path(name): Path<String>) -> Answer<Redo> {
    ask(&app.node, move |node| node.redo(&name)).await?.map(Json)
}

pub(crate) async fn change_redo(
    State(app): State<App>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Redo> {
    let request: RedoRequest = parse(body)?;
    ask(&app.node, move |node| node.change_redo(&name, request)).await?.map(Json)
}

pub(crate) async fn drop_table(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Answer<Dropped> {
    let dropped = name.clone();
    ask(&app.node, move |node| node.drop_table(&name)).await??;
    Ok(Json(Dropped { dropped }))
}
