//! `/druid/indexer/v1/sampler`: what a spec would make of records, for the console's wizard.
//!
//! Records come from this node's topic or from the request itself, never from a place a spec
//! names.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use yeoul_stream::{Previewed, preview};

use crate::manage::{Refused, blocking};
use crate::node::{Sampled, Shared};
use crate::spec;

const ROWS_DEFAULT: usize = 500;
const ROWS_MAX: usize = 5_000;

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/druid/indexer/v1/sampler", post(sample))
}

async fn sample(State(shared): State<Shared>, body: Bytes) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let request: Value = serde_json::from_slice(&body)
            .map_err(|error| Refused::bad(format!("the body is not a sampler's spec: {error}")))?;
        let limit = request.pointer("/samplerConfig/numRows").and_then(Value::as_u64);
        let limit = limit.map_or(ROWS_DEFAULT, |rows| usize::try_from(rows).unwrap_or(ROWS_MAX));
        let io = request.pointer("/spec/ioConfig").or_else(|| request.get("ioConfig"));
        let io = io.ok_or_else(|| Refused::bad("$.spec.ioConfig is missing"))?;
        let records = records(shared, io, limit.min(ROWS_MAX))?;
        let name = request.pointer("/spec/dataSchema/dataSource").and_then(Value::as_str);
        let ingest = spec::table(&request, name.unwrap_or("sample"), "sample")
            .map_err(|error| Refused::bad(error.to_string()))?;
        let values: Vec<_> =
            records.iter().map(|record| (record.timestamp_ms, record.value.clone())).collect();
        let previewed =
            preview(&ingest, &values).map_err(|error| Refused::bad(error.to_string()))?;
        Ok(Json(answer(&records, previewed)))
    })
    .await
}

fn records(shared: &Shared, io: &Value, limit: usize) -> Result<Vec<Sampled>, Refused> {
    if let Some(topic) = io.get("topic").and_then(Value::as_str) {
        let first = io.get("useEarliestOffset").and_then(Value::as_bool).unwrap_or(true);
        return shared.node.sample(topic, limit, first).map_err(Refused::bad);
    }
    let source = io.get("inputSource");
    let kind = source.and_then(|source| source.get("type")).and_then(Value::as_str);
    if kind != Some("inline") {
        return Err(Refused::bad(
            "$.spec.ioConfig: records come from a `topic` of this node or an `inputSource` of \
             type `inline`; files and addresses named by a spec are never read",
        ));
    }
    let data = source.and_then(|source| source.get("data")).and_then(Value::as_str);
    let now = shared.node.now_ms();
    let line = |line: &str| Sampled {
        timestamp_ms: now,
        key: None,
        value: Some(Bytes::copy_from_slice(line.as_bytes())),
    };
    let lines = data.unwrap_or_default().lines().filter(|line| !line.trim().is_empty());
    Ok(lines.take(limit).map(line).collect())
}

fn answer(records: &[Sampled], previewed: Vec<Previewed>) -> Value {
    let mut data = Vec::with_capacity(records.len());
    let (mut indexed, mut columns) = (0, Vec::<String>::new());
    for (record, previewed) in records.iter().zip(previewed) {
        let input = record.value.as_deref().unwrap_or_default();
        let input = serde_json::from_slice::<Map<String, Value>>(input)
            .map_or_else(|_| json!({ "raw": String::from_utf8_lossy(input) }), Value::Object);
        match previewed {
            Previewed::Row(row) => {
                let mut row: Map<String, Value> = serde_json::from_slice(&row).unwrap_or_default();
                let micros = row
                    .get("__time")
                    .and_then(Value::as_str)
                    .and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
                let ms = micros.map_or(0, |time| time.timestamp_millis());
                row.insert("__time".to_owned(), json!(ms));
                for name in row.keys() {
                    if name != "__time" && !columns.contains(name) {
                        columns.push(name.clone());
                    }
                }
                indexed += 1;
                data.push(json!({ "input": input, "parsed": row }));
            }
            Previewed::Filtered => {}
            Previewed::Dead(reason) => {
                data.push(json!({ "input": input, "unparseable": true, "error": reason }));
            }
        }
    }
    let column = |name: &String| json!({ "type": "string", "name": name });
    let dimensions: Vec<_> = columns.iter().map(column).collect();
    json!({
        "numRowsRead": records.len(),
        "numRowsIndexed": indexed,
        "logicalDimensions": dimensions,
        "physicalDimensions": dimensions,
        "logicalSegmentSchema": [],
        "data": data,
    })
}
