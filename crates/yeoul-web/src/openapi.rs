//! The OpenAPI document, put together from the route table below and the types of [`crate::dto`].

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::dto::{
    ApplyRequest, ApplyResult, Audit, DeadTopic, Dropped, Flow, Info, PipelineInfo, Records, Redo,
    RedoRequest, SqlRequest, SqlResult, Status, Table, Topic, Trace, TraceRequest,
};
use crate::error::ErrorBody;

type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

struct Route {
    method: &'static str,
    path: &'static str,
    about: &'static str,
    body: Option<MakeSchema>,
    answer: MakeSchema,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn get(path: &'static str, about: &'static str, answer: MakeSchema) -> Route {
    Route { method: "get", path, about, body: None, answer }
}

fn post(path: &'static str, about: &'static str, body: MakeSchema, answer: MakeSchema) -> Route {
    Route { method: "post", path, about, body: Some(body), answer }
}

/// Every route that answers JSON, below `/api/v1`.
fn routes() -> Vec<Route> {
    vec![
        get("/info", "Who answers", of::<Info>),
        get("/flow", "Everything that moves, as one graph", of::<Flow>),
        get("/topics", "All topics", of::<Vec<Topic>>),
        get("/topics/{name}", "One topic", of::<Topic>),
        get("/topics/{name}/records", "Records of a topic", of::<Records>),
        get("/tables", "All tables", of::<Vec<Table>>),
        get("/tables/{name}", "One table", of::<Table>),
        Route {
            method: "delete",
            path: "/tables/{name}",
            about: "Removes a table that nothing feeds",
            body: None,
            answer: of::<Dropped>,
        },
        get("/tables/{name}/redo", "How far a table has been made again", of::<Redo>),
        post(
            "/tables/{name}/redo",
            "Makes a table again from its topic, puts it in place, or gives it up",
            of::<RedoRequest>,
            of::<Redo>,
        ),
        get("/status", "Every component with its details", of::<Status>),
        get("/audit", "What became of every record", of::<Audit>),
        get("/dead", "Topics of dead letters", of::<Vec<DeadTopic>>),
        get("/pipelines", "Pipelines as they were applied", of::<Vec<PipelineInfo>>),
        post("/sql", "Runs one query", of::<SqlRequest>, of::<SqlResult>),
        post("/trace", "The records a row came from", of::<TraceRequest>, of::<Trace>),
        post(
            "/apply",
            "Makes the node run these files, or says what that would change",
            of::<ApplyRequest>,
            of::<ApplyResult>,
        ),
    ]
}

/// The whole document.
pub(crate) fn document() -> Value {
    let mut generator = SchemaGenerator::new(SchemaSettings::openapi3());
    let error = of::<ErrorBody>(&mut generator);
    let mut paths: Map<String, Value> = Map::new();
    for route in routes() {
        let answer = (route.answer)(&mut generator);
        let mut operation = json!({
            "summary": route.about,
            "responses": {
                "200": { "description": "OK", "content": content(&answer) },
                "default": { "description": "Refused", "content": content(&error) },
            },
        });
        if let Some(fields) = operation.as_object_mut() {
            let parameters = parameters(route.path);
            if !parameters.is_empty() {
                fields.insert("parameters".to_owned(), Value::Array(parameters));
            }
            if let Some(body) = route.body {
                let body = body(&mut generator);
                fields.insert(
                    "requestBody".to_owned(),
                    json!({ "required": true, "content": content(&body) }),
                );
            }
        }
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(route.method.to_owned(), operation);
        }
    }
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Yeoul",
            "version": "1",
            "description": "The WebSocket /api/v1/live is described in docs/formats/live.md.",
        },
        "servers": [{ "url": "/api/v1" }],
        "paths": paths,
        "components": { "schemas": generator.take_definitions(true) },
    })
}

fn content(schema: &Schema) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn parameters(path: &str) -> Vec<Value> {
    let mut parameters = Vec::new();
    if path.contains("{name}") {
        parameters.push(json!({
            "name": "name", "in": "path", "required": true, "schema": { "type": "string" },
        }));
    }
    if path.ends_with("/records") {
        let query = |name: &str, about: &str| json!({ "name": name, "in": "query", "description": about, "schema": { "type": "string" } });
        parameters.push(query("from", "latest (default), earliest or an offset"));
        parameters.push(query("partition", "absent: all"));
        parameters.push(query("limit", "1 to 1000, default 100"));
    }
    parameters
}
