//! `/druid/coordinator/v1`: data sources, their table segments, servers, rules and lookups.
//!
//! One node holds everything: a table is loaded as soon as it is there, and rules only say what
//! was said before; rows end by a table's retention.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use yeoul_sql::table::Table;

use crate::manage::{Refused, blocking, iso, missing};
use crate::node::{LOOKUP, Node, RULES, SUPERVISOR, Shared};
use crate::tasks::{is_leader, leader};

const DAY_MS: i64 = 86_400_000;
/// A lookup is kept in one fact.
const POSTED_BYTES_MAX: usize = 256 << 10;

pub(crate) fn routes() -> Router<Shared> {
    let base = |rest: &str| format!("/druid/coordinator/v1{rest}");
    Router::new()
        .route(&base("/datasources"), get(datasources))
        .route(&base("/datasources/{name}"), get(datasource).delete(drop_all))
        .route(&base("/datasources/{name}/intervals"), get(intervals))
        .route(&base("/datasources/{name}/intervals/{interval}"), delete(drop_interval))
        .route(&base("/datasources/{name}/segments"), get(segments))
        .route(&base("/datasources/{name}/markUnused"), post(mark_unused))
        .route(&base("/metadata/datasources"), get(names))
        .route(&base("/metadata/datasources/{name}/segments"), get(segments))
        .route(&base("/intervals"), get(all_intervals))
        .route(&base("/loadstatus"), get(load_status))
        .route(&base("/loadqueue"), get(load_queue))
        .route(&base("/rules"), get(all_rules))
        .route(&base("/rules/{name}"), get(rules).post(set_rules))
        .route(&base("/servers"), get(servers))
        .route(&base("/tiers"), get(async || Json(json!(["_default_tier"]))))
        .route(&base("/config"), get(async || Json(json!({}))))
        .route(&base("/config/compaction"), get(async || Json(json!({ "compactionConfigs": [] }))))
        .route(&base("/compaction/status"), get(async || Json(json!({ "latestStatus": [] }))))
        .route(&base("/lookups/config"), get(lookup_tiers).post(set_lookups))
        .route(&base("/lookups/config/all"), get(lookups))
        .route(&base("/lookups/config/{tier}"), get(lookups_of))
        .route(
            &base("/lookups/config/{tier}/{id}"),
            get(lookup).post(set_lookup).delete(end_lookup),
        )
        .route(&base("/lookups/status"), get(lookup_status))
        .route(&base("/leader"), get(leader))
        .route(&base("/isLeader"), get(is_leader))
}

fn tables(shared: &Shared) -> Vec<Arc<Table>> {
    shared.engine.catalog().tables()
}

fn table(shared: &Shared, name: &str) -> Result<Arc<Table>, Refused> {
    shared.engine.catalog().table(name).ok_or_else(|| missing("datasource", name))
}

/// A table segment as the coordinator shows it.
struct Part {
    id: String,
    start_ms: i64,
    end_ms: i64,
    bytes: u64,
    rows: u64,
}

fn parts(table: &Table) -> Vec<Part> {
    let snapshot = table.snapshot();
    let name = &table.spec().name;
    let part = |meta: &yeoul_sql::table::SegmentMeta| {
        let start_ms = meta.min_us.div_euclid(1_000).div_euclid(DAY_MS) * DAY_MS;
        let end_ms = (meta.max_us.div_euclid(1_000).div_euclid(DAY_MS) + 1) * DAY_MS;
        let id = format!("{name}_{}_{}_{}", iso(start_ms), iso(end_ms), meta.id);
        Part { id, start_ms, end_ms, bytes: meta.bytes, rows: meta.rows }
    };
    snapshot.segments.iter().map(|segment| part(&segment.meta)).collect()
}

fn summary(table: &Table) -> Value {
    let stats = table.stats();
    let time = |us: Option<i64>| us.map(|us| iso(us.div_euclid(1_000)));
    json!({
        "name": table.spec().name,
        "properties": {
            "tiers": { "_default_tier": {
                "size": stats.bytes,
                "replicatedSize": stats.bytes,
                "segmentCount": stats.segments,
            } },
            "segments": {
                "count": stats.segments,
                "size": stats.bytes,
                "replicatedSize": stats.bytes,
                "minTime": time(stats.min_us),
                "maxTime": time(stats.max_us),
            },
        },
    })
}

#[derive(Debug, Deserialize)]
struct Detail {
    simple: Option<String>,
    full: Option<String>,
}

async fn datasources(
    State(shared): State<Shared>,
    Query(detail): Query<Detail>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let tables = tables(shared);
        let long = detail.simple.is_some() || detail.full.is_some();
        let row = |table: &Arc<Table>| {
            if long { summary(table) } else { json!(table.spec().name) }
        };
        Ok(Json(tables.iter().map(row).collect()))
    })
    .await
}

async fn names(State(shared): State<Shared>) -> Result<Json<Value>, Refused> {
    blocking(shared, |shared| {
        Ok(Json(tables(shared).iter().map(|table| json!(table.spec().name)).collect()))
    })
    .await
}

async fn datasource(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let summary = summary(table(shared, &name)?.as_ref());
        Ok(Json(summary.get("properties").cloned().unwrap_or_default()))
    })
    .await
}

async fn intervals(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let mut spans: Vec<_> = parts(table(shared, &name)?.as_ref())
            .into_iter()
            .map(|part| (part.start_ms, part.end_ms))
            .collect();
        spans.sort_unstable_by(|one, other| other.cmp(one));
        spans.dedup();
        let span = |(start, end): (i64, i64)| json!(format!("{}/{}", iso(start), iso(end)));
        Ok(Json(spans.into_iter().map(span).collect()))
    })
    .await
}

async fn all_intervals(State(shared): State<Shared>) -> Result<Json<Value>, Refused> {
    blocking(shared, |shared| {
        let mut spans: Map<String, Value> = Map::new();
        for table in tables(shared) {
            for part in parts(&table) {
                let span = format!("{}/{}", iso(part.start_ms), iso(part.end_ms));
                let at = spans.entry(span).or_insert_with(|| json!({}));
                if let Some(at) = at.as_object_mut() {
                    let name = table.spec().name.clone();
                    let known = at.get(&name).cloned().unwrap_or_default();
                    let sum = |field: &str, more: u64| {
                        known.get(field).and_then(Value::as_u64).unwrap_or(0) + more
                    };
                    let summed =
                        json!({ "size": sum("size", part.bytes), "count": sum("count", 1) });
                    at.insert(name, summed);
                }
            }
        }
        Ok(Json(Value::Object(spans)))
    })
    .await
}

async fn segments(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(detail): Query<Detail>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let table = table(shared, &name)?;
        let full = |part: Part| {
            json!({
                "dataSource": name,
                "interval": format!("{}/{}", iso(part.start_ms), iso(part.end_ms)),
                "identifier": part.id,
                "size": part.bytes,
                "numRows": part.rows,
            })
        };
        let parts = parts(&table).into_iter();
        Ok(Json(if detail.full.is_some() {
            parts.map(full).collect()
        } else {
            parts.map(|part| json!(part.id)).collect()
        }))
    })
    .await
}

async fn load_status(
    State(shared): State<Shared>,
    Query(detail): Query<Detail>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let tables = tables(shared);
        if detail.full.is_some() {
            let zero = tables.iter().map(|table| (table.spec().name.clone(), json!(0)));
            return Ok(Json(json!({ "_default_tier": Value::Object(zero.collect()) })));
        }
        let value = if detail.simple.is_some() { json!(0) } else { json!(100.0) };
        let each = tables.iter().map(|table| (table.spec().name.clone(), value.clone()));
        Ok(Json(Value::Object(each.collect())))
    })
    .await
}

fn address(node: &dyn Node) -> String {
    let (host, port) = node.address();
    format!("{host}:{port}")
}

async fn load_queue(State(shared): State<Shared>) -> Result<Json<Value>, Refused> {
    blocking(shared, |shared| {
        let none = json!({
            "segmentsToLoad": 0,
            "segmentsToDrop": 0,
            "segmentsToLoadSize": 0,
            "segmentsToDropSize": 0,
        });
        Ok(Json(json!({ address(shared.node.as_ref()): none })))
    })
    .await
}

async fn servers(State(shared): State<Shared>) -> Result<Json<Value>, Refused> {
    blocking(shared, |shared| {
        let bytes: u64 = tables(shared).iter().map(|table| table.stats().bytes).sum();
        Ok(Json(json!([{
            "host": address(shared.node.as_ref()),
            "tier": "_default_tier",
            "type": "historical",
            "priority": 0,
            "currSize": bytes,
            "maxSize": bytes,
        }])))
    })
    .await
}

fn forever() -> Value {
    json!([{ "type": "loadForever", "tieredReplicants": { "_default_tier": 1 } }])
}

fn posted(node: &dyn Node, kind: &str) -> Vec<(String, Value)> {
    let read = |posted: crate::node::Posted| {
        let text = &posted.current()?.text;
        Some((posted.name.clone(), serde_json::from_str(text).ok()?))
    };
    node.posted(kind).into_iter().filter_map(read).collect()
}

async fn all_rules(State(shared): State<Shared>) -> Result<Json<Value>, Refused> {
    blocking(shared, |shared| {
        let mut rules = Map::new();
        rules.insert("_default".to_owned(), forever());
        rules.extend(posted(shared.node.as_ref(), RULES));
        Ok(Json(Value::Object(rules)))
    })
    .await
}

async fn rules(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let known = posted(shared.node.as_ref(), RULES);
        let own = known.into_iter().find(|(known, _)| *known == name).map(|(_, rules)| rules);
        let none = if name == "_default" { forever() } else { json!([]) };
        Ok(Json(own.unwrap_or(none)))
    })
    .await
}

/// Only rules that keep everything: a rule that drops rows would not be followed.
async fn set_rules(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<(), Refused> {
    blocking(shared, move |shared| {
        let rules = json_of(&body)?;
        let list = rules.as_array().ok_or_else(|| Refused::bad("rules are a list"))?;
        for (index, rule) in list.iter().enumerate() {
            let kind = rule.get("type").and_then(Value::as_str).unwrap_or_default();
            if kind != "loadForever" {
                return Err(Refused::bad(format!(
                    "$[{index}].type: `{kind}` is not followed: rows end by the table's \
                     `retention:` in its pipeline file"
                )));
            }
        }
        shared.node.post(RULES, &name, &rules.to_string()).map_err(Refused::internal)
    })
    .await
}

fn json_of(body: &[u8]) -> Result<Value, Refused> {
    if body.len() > POSTED_BYTES_MAX {
        return Err(Refused::bad(format!("the body has more than {POSTED_BYTES_MAX} bytes")));
    }
    serde_json::from_slice(body).map_err(|error| Refused::bad(format!("not JSON: {error}")))
}

/// Ends the supervisor and drops the rows. A table of a pipeline file is the file's to end.
fn drop_table(shared: &Shared, name: &str) -> Result<Json<Value>, Refused> {
    let node = shared.node.as_ref();
    let count = parts(table(shared, name)?.as_ref()).len();
    let ours = node.posted(SUPERVISOR).iter().any(|posted| posted.name == name);
    if !ours {
        return Err(Refused::bad(format!(
            "`{name}` is a table of a pipeline file, which would make it again: take it out there"
        )));
    }
    node.drop_pipeline(&format!("druid-{name}"), name).map_err(Refused::bad)?;
    node.post(SUPERVISOR, name, "").map_err(Refused::internal)?;
    Ok(Json(json!({ "numChangedSegments": count })))
}

async fn drop_all(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| drop_table(shared, &name)).await
}

async fn drop_interval(
    State(shared): State<Shared>,
    Path((name, interval)): Path<(String, String)>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| drop_span(shared, &name, &interval.replace('_', "/"))).await
}

async fn mark_unused(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let body = json_of(&body)?;
        let Some(interval) = body.get("interval").and_then(Value::as_str) else {
            return Err(Refused::bad("$.interval is missing: single segments are not marked"));
        };
        drop_span(shared, &name, interval)
    })
    .await
}

/// All rows or none: rows of a table end together, or by its retention.
fn drop_span(shared: &Shared, name: &str, interval: &str) -> Result<Json<Value>, Refused> {
    let stats = table(shared, name)?.stats();
    let ms = |text: &str| {
        let reader = yeoul_stream::TimeColumn::new("").reader(chrono_tz::UTC);
        reader.ok().and_then(|reader| reader.text(text))
    };
    let (start, end) = interval
        .split_once('/')
        .and_then(|(start, end)| Some((ms(start)?, ms(end)?)))
        .ok_or_else(|| Refused::bad(format!("`{interval}` is not an interval")))?;
    let (Some(min), Some(max)) = (stats.min_us, stats.max_us) else {
        return Ok(Json(json!({ "numChangedSegments": 0 })));
    };
    if end <= min || start > max {
        return Ok(Json(json!({ "numChangedSegments": 0 })));
    }
    if start <= min && max < end {
        return drop_table(shared, name);
    }
    Err(Refused::bad(
        "a part of a table is dropped by its `retention:` only; an interval that holds all rows \
         drops the table",
    ))
}

async fn lookup_tiers() -> Json<Value> {
    Json(json!(["__default"]))
}

async fn lookups(State(shared): State<Shared>) -> Result<Json<Value>, Refused> {
    blocking(shared, |shared| {
        let all = posted(shared.node.as_ref(), LOOKUP).into_iter().collect();
        Ok(Json(json!({ "__default": Value::Object(all) })))
    })
    .await
}

async fn lookups_of(State(shared): State<Shared>) -> Result<Json<Value>, Refused> {
    blocking(shared, |shared| {
        let names = posted(shared.node.as_ref(), LOOKUP).into_iter().map(|(name, _)| json!(name));
        Ok(Json(names.collect()))
    })
    .await
}

async fn lookup_status(State(shared): State<Shared>) -> Result<Json<Value>, Refused> {
    blocking(shared, |shared| {
        let names = posted(shared.node.as_ref(), LOOKUP);
        let loaded = names.into_iter().map(|(name, _)| (name, json!({ "loaded": true })));
        Ok(Json(json!({ "__default": Value::Object(loaded.collect()) })))
    })
    .await
}

async fn lookup(
    State(shared): State<Shared>,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<Value>, Refused> {
    blocking(shared, move |shared| {
        let found = posted(shared.node.as_ref(), LOOKUP).into_iter().find(|(name, _)| *name == id);
        found.map(|(_, lookup)| Json(lookup)).ok_or_else(|| missing("lookup", &id))
    })
    .await
}

/// The pairs of a posted lookup: only maps, which name nothing outside.
///
/// # Errors
/// It is none; for people.
pub fn lookup_pairs(posted: &Value) -> Result<Vec<(String, String)>, String> {
    let factory = posted.get("lookupExtractorFactory").unwrap_or(posted);
    let kind = factory.get("type").and_then(Value::as_str).unwrap_or_default();
    if kind != "map" {
        return Err(format!(
            "$.lookupExtractorFactory.type: `{kind}` is not offered: lookups are of type `map`; \
             a `lookups:` of a pipeline file reads a file"
        ));
    }
    let map = factory.get("map").and_then(Value::as_object);
    let map = map.ok_or("$.lookupExtractorFactory.map is missing")?;
    let pair = |(key, value): (&String, &Value)| match value {
        Value::String(text) => Ok((key.clone(), text.clone())),
        other => Err(format!("$.lookupExtractorFactory.map.{key}: {other} is not a text")),
    };
    map.iter().map(pair).collect()
}

fn take_lookup(node: &dyn Node, id: &str, lookup: &Value) -> Result<(), Refused> {
    lookup_pairs(lookup).map_err(Refused::bad)?;
    node.post(LOOKUP, id, &lookup.to_string()).map_err(Refused::internal)
}

async fn set_lookup(
    State(shared): State<Shared>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<(axum::http::StatusCode, Json<Value>), Refused> {
    blocking(shared, move |shared| {
        let lookup = json_of(&body)?;
        take_lookup(shared.node.as_ref(), &id, &lookup)?;
        Ok((axum::http::StatusCode::ACCEPTED, Json(json!({ id: lookup }))))
    })
    .await
}

/// `{ tier: { name: lookup } }`, as the console initialises lookups.
async fn set_lookups(
    State(shared): State<Shared>,
    body: Bytes,
) -> Result<(axum::http::StatusCode, Json<Value>), Refused> {
    blocking(shared, move |shared| {
        let all = json_of(&body)?;
        let tiers = all.as_object().ok_or_else(|| Refused::bad("a map of tiers is expected"))?;
        for (id, lookup) in tiers.values().filter_map(Value::as_object).flatten() {
            take_lookup(shared.node.as_ref(), id, lookup)?;
        }
        Ok((axum::http::StatusCode::ACCEPTED, Json(all)))
    })
    .await
}

async fn end_lookup(
    State(shared): State<Shared>,
    Path((_, id)): Path<(String, String)>,
) -> Result<axum::http::StatusCode, Refused> {
    blocking(shared, move |shared| {
        let node = shared.node.as_ref();
        if !posted(node, LOOKUP).iter().any(|(name, _)| *name == id) {
            return Err(missing("lookup", &id));
        }
        node.post(LOOKUP, &id, "").map_err(Refused::internal)?;
        Ok(axum::http::StatusCode::ACCEPTED)
    })
    .await
}
