//! `sys` with Druid's tables and columns, and `sys.queries`, which Druid has not: what is in the
//! tables, what feeds them, and who asks what.
//!
//! Invariant: a table segment is in `segments` exactly when a query over its table reads it.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use datafusion::catalog::TableProvider;
use serde_json::json;
use yeoul_table::Table;

use crate::catalog::Catalog;
use crate::error::SqlError;
use crate::rows::Columns;

pub(crate) const NAMES: [&str; 6] =
    ["queries", "segments", "server_segments", "servers", "supervisors", "tasks"];

type Made = Option<(&'static str, Arc<dyn TableProvider>)>;

/// The table of that (lower-case) name.
pub(crate) fn table(catalog: &Catalog, name: &str) -> Result<Made, SqlError> {
    Ok(Some(match name {
        "queries" => ("queries", queries(catalog)?),
        "segments" => ("segments", segments(catalog)?),
        "server_segments" => ("server_segments", server_segments(catalog)?),
        "servers" => ("servers", servers(catalog)?),
        "supervisors" => ("supervisors", supervisors(catalog)?),
        "tasks" => ("tasks", tasks(catalog)?),
        _ => return Ok(None),
    }))
}

/// As Druid writes times in these tables; far times by their number.
fn iso(us: i64) -> String {
    match DateTime::<Utc>::from_timestamp_micros(us) {
        Some(at) => at.to_rfc3339_opts(SecondsFormat::Millis, true),
        None => us.to_string(),
    }
}

/// A table segment, or what is in memory only and not sealed yet.
struct Part {
    id: String,
    datasource: String,
    start: String,
    end: String,
    bytes: u64,
    rows: u64,
    number: i64,
    is_realtime: bool,
    dimensions: String,
    metrics: String,
}

impl Part {
    /// Of the times it holds, widened to whole intervals of the table.
    fn new(table: &Table, min_us: i64, max_us: i64, number: u64, is_realtime: bool) -> Self {
        let spec = table.spec();
        let grain = spec.granularity;
        let start = iso(grain.start(grain.interval(min_us)));
        let end = iso(grain.start(grain.interval(max_us).saturating_add(1)));
        let kind = if is_realtime { "realtime" } else { "sealed" };
        let metrics: Vec<&str> = match &spec.rollup {
            Some(rollup) => rollup.metrics.iter().map(|metric| metric.name.as_str()).collect(),
            None => Vec::new(),
        };
        let names = spec.columns.fields().iter().skip(1).map(|field| field.name().as_str());
        let dimensions: Vec<&str> = names.filter(|name| !metrics.contains(name)).collect();
        Self {
            id: format!("{}_{start}_{end}_{kind}_{number}", spec.name),
            datasource: spec.name.clone(),
            start,
            end,
            bytes: 0,
            rows: 0,
            number: i64::try_from(number).unwrap_or(i64::MAX),
            is_realtime,
            dimensions: json!(dimensions).to_string(),
            metrics: json!(metrics).to_string(),
        }
    }
}

fn parts(catalog: &Catalog) -> Vec<Part> {
    let mut parts = Vec::new();
    for table in catalog.tables() {
        let snapshot = table.snapshot();
        for segment in snapshot.segments.iter() {
            let meta = &segment.meta;
            let part = Part::new(&table, meta.min_us, meta.max_us, meta.id.0, false);
            parts.push(Part { bytes: meta.bytes, rows: meta.rows, ..part });
        }
        for (chunk, number) in snapshot.chunks.iter().zip(0..) {
            let part = Part::new(&table, chunk.min_us, chunk.max_us, number, true);
            parts.push(Part { bytes: chunk.bytes as u64, rows: chunk.rows() as u64, ..part });
        }
    }
    parts
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn segments(catalog: &Catalog) -> Result<Arc<dyn TableProvider>, SqlError> {
    let parts = parts(catalog);
    let all = || parts.iter();
    let shard = |part: &Part| {
        json!({"type": "numbered", "partitionNum": part.number, "partitions": 0}).to_string()
    };
    Columns::default()
        .text("segment_id", all().map(|part| &part.id))
        .text("datasource", all().map(|part| &part.datasource))
        .text("start", all().map(|part| &part.start))
        .text("end", all().map(|part| &part.end))
        .number("size", all().map(|part| signed(part.bytes)))
        .text("version", all().map(|part| part.number.to_string()))
        .number("partition_num", all().map(|part| part.number))
        .number("num_replicas", all().map(|_| 1))
        .number("num_rows", all().map(|part| signed(part.rows)))
        .number("is_active", all().map(|_| 1))
        .number("is_published", all().map(|part| i64::from(!part.is_realtime)))
        .number("is_available", all().map(|_| 1))
        .number("is_realtime", all().map(|part| i64::from(part.is_realtime)))
        .number("is_overshadowed", all().map(|_| 0))
        .text("shard_spec", all().map(shard))
        .text("dimensions", all().map(|part| &part.dimensions))
        .text("metrics", all().map(|part| &part.metrics))
        .maybe("last_compaction_state", all().map(|_| None::<&str>))
        .number("replication_factor", all().map(|_| 1))
        .finish()
}

fn address(catalog: &Catalog) -> String {
    let server = catalog.server();
    format!("{}:{}", server.host, server.port)
}

fn server_segments(catalog: &Catalog) -> Result<Arc<dyn TableProvider>, SqlError> {
    let (parts, server) = (parts(catalog), address(catalog));
    Columns::default()
        .text("server", parts.iter().map(|_| &server))
        .text("segment_id", parts.iter().map(|part| &part.id))
        .finish()
}

fn servers(catalog: &Catalog) -> Result<Arc<dyn TableProvider>, SqlError> {
    let server = catalog.server();
    let used: u64 = parts(catalog).iter().map(|part| part.bytes).sum();
    let one = std::iter::once::<i64>;
    Columns::default()
        .text("server", std::iter::once(address(catalog)))
        .text("host", std::iter::once(&server.host))
        .number("plaintext_port", one(i64::from(server.port)))
        .number("tls_port", one(-1))
        .text("server_type", std::iter::once("historical"))
        .text("tier", std::iter::once("_default_tier"))
        .number("current_size", one(signed(used)))
        .number("max_size", one(signed(server.max_bytes)))
        .number("is_leader", one(1))
        .finish()
}

fn tasks(catalog: &Catalog) -> Result<Arc<dyn TableProvider>, SqlError> {
    let tasks = catalog.tasks();
    let (server, location) = (catalog.server(), address(catalog));
    let all = || tasks.iter();
    let created = |ms: i64| iso(ms.saturating_mul(1_000));
    Columns::default()
        .text("task_id", all().map(|task| &task.id))
        .text("group_id", all().map(|task| &task.group_id))
        .text("type", all().map(|task| &task.kind))
        .text("datasource", all().map(|task| &task.datasource))
        .text("created_time", all().map(|task| created(task.created_ms)))
        .text("queue_insertion_time", all().map(|task| created(task.created_ms)))
        .text("status", all().map(|task| &task.status))
        .text("runner_status", all().map(|task| &task.runner_status))
        .number("duration", all().map(|task| task.duration_ms))
        .text("location", all().map(|_| &location))
        .text("host", all().map(|_| &server.host))
        .number("plaintext_port", all().map(|_| i64::from(server.port)))
        .number("tls_port", all().map(|_| -1))
        .maybe("error_msg", all().map(|task| task.error.as_ref()))
        .finish()
}

fn supervisors(catalog: &Catalog) -> Result<Arc<dyn TableProvider>, SqlError> {
    let supervisors = catalog.supervisors();
    let all = || supervisors.iter();
    Columns::default()
        .text("supervisor_id", all().map(|supervisor| &supervisor.id))
        .text("state", all().map(|supervisor| &supervisor.state))
        .text("detailed_state", all().map(|supervisor| &supervisor.detailed_state))
        .number("healthy", all().map(|supervisor| i64::from(supervisor.healthy)))
        .text("type", all().map(|supervisor| &supervisor.kind))
        .text("source", all().map(|supervisor| &supervisor.source))
        .number("suspended", all().map(|supervisor| i64::from(supervisor.suspended)))
        .text("spec", all().map(|supervisor| &supervisor.spec))
        .finish()
}

fn queries(catalog: &Catalog) -> Result<Arc<dyn TableProvider>, SqlError> {
    let entries = catalog.query_entries();
    let all = || entries.iter();
    let ms = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Columns::default()
        .text("query_id", all().map(|entry| &entry.id))
        .text("state", all().map(|entry| entry.state.name()))
        .text("who", all().map(|entry| &entry.who))
        .text("query", all().map(|entry| &entry.text))
        .text("started", all().map(|entry| iso(entry.started_ms.saturating_mul(1_000))))
        .number("duration", all().map(|entry| ms(entry.elapsed)))
        .number("compute", all().map(|entry| ms(entry.compute)))
        .number("num_rows", all().map(|entry| signed(entry.rows)))
        .number("size", all().map(|entry| signed(entry.bytes)))
        .number("rows_scanned", all().map(|entry| signed(entry.rows_scanned)))
        .maybe("error_msg", all().map(|entry| entry.error.as_ref()))
        .finish()
}
