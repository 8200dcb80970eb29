//! A router over tables of given rows, and what tests ask of it.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;
use yeoul_base::{Fates, ManualClock, MemStore, PartId, RealDisk};
use yeoul_druid::router;
use yeoul_sql::table::{Rows, Table, TableSpec, time_field};
use yeoul_sql::{Catalog, Engine, EngineOptions};

/// Columns: a name and `long`, `double`, `string`, `bool` or `strings`. The time is `__time`, in
/// milliseconds.
pub(crate) type Columns = [(&'static str, &'static str)];

pub(crate) struct World {
    pub(crate) router: Router,
    _folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
    ask: tokio::runtime::Runtime,
}

/// One table to make.
pub(crate) struct Given<'a> {
    pub(crate) name: &'a str,
    pub(crate) columns: &'a Columns,
    pub(crate) rows: &'a [Value],
    /// Changes the definition, such as to roll up.
    pub(crate) spec: fn(TableSpec) -> TableSpec,
}

impl World {
    pub(crate) fn new(tables: &[Given<'_>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
        let store = Arc::new(MemStore::new());
        let catalog = Arc::new(Catalog::new(store.clone()));
        for given in tables {
            let fields = given.columns.iter().map(|(name, ty)| field(name, ty));
            let columns = Arc::new(Schema::new(
                std::iter::once(time_field()).chain(fields).collect::<Vec<_>>(),
            ));
            let spec = TableSpec::new(given.name, given.name, Arc::clone(&columns));
            let clock = Arc::new(ManualClock::default());
            let spec = (given.spec)(spec);
            let table = Table::open(store.clone(), disk.clone(), clock, spec).unwrap();
            // Two parts, one of them sealed: an answer must not depend on where rows are.
            let (first, second) = given.rows.split_at(given.rows.len() / 2);
            for (part, rows) in [first, second].into_iter().enumerate() {
                if rows.is_empty() {
                    continue;
                }
                append(&table, part, &columns, given.columns, rows);
                if part == 0 {
                    table.seal().unwrap();
                }
            }
            catalog.put_table(Arc::new(table));
        }
        let runtime = yeoul_sql::runtime(2).unwrap();
        let options = EngineOptions::new(runtime.handle().clone());
        let engine = Arc::new(Engine::new(catalog, options).unwrap());
        let ask = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { router: router(engine), _folder: folder, _runtime: runtime, ask }
    }

    pub(crate) fn send(&self, request: Request<Body>) -> (StatusCode, String) {
        self.ask.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            let body = to_bytes(response.into_body(), 64 << 20).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        })
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let (status, text) = self.send(request);
        let value = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("not JSON ({error}): {text}");
        });
        (status, value)
    }

    /// The answer of a native query that must succeed.
    pub(crate) fn native(&self, query: &Value) -> Value {
        let (status, answer) = self.post("/druid/v2", query);
        assert_eq!(status, StatusCode::OK, "{query}\n{answer}");
        answer
    }

    /// The rows of a SQL query, as arrays.
    pub(crate) fn sql(&self, sql: &str) -> Vec<Value> {
        let body = json!({ "query": sql, "resultFormat": "array" });
        let (status, answer) = self.post("/druid/v2/sql", &body);
        assert_eq!(status, StatusCode::OK, "{sql}\n{answer}");
        answer.as_array().unwrap().clone()
    }
}

fn field(name: &str, ty: &str) -> Field {
    let ty = match ty {
        "long" => DataType::Int64,
        "double" => DataType::Float64,
        "bool" => DataType::Boolean,
        "strings" => DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))),
        _ => DataType::Utf8,
    };
    Field::new(name, ty, true)
}

fn append(table: &Table, part: usize, schema: &Arc<Schema>, columns: &Columns, rows: &[Value]) {
    let time: Vec<i64> = rows.iter().map(|row| row["__time"].as_i64().unwrap() * 1_000).collect();
    let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(time).with_timezone("UTC"));
    let mut arrays = vec![time];
    for (name, ty) in columns {
        let values = rows.iter().map(|row| &row[*name]);
        arrays.push(match *ty {
            "long" => Arc::new(values.map(Value::as_i64).collect::<Int64Array>()) as ArrayRef,
            "double" => Arc::new(values.map(Value::as_f64).collect::<Float64Array>()),
            "bool" => Arc::new(values.map(Value::as_bool).collect::<BooleanArray>()),
            "strings" => {
                let mut out = ListBuilder::new(StringBuilder::new());
                for list in values {
                    match list.as_array() {
                        Some(items) => {
                            items.iter().for_each(|item| out.values().append_option(item.as_str()));
                            out.append(true);
                        }
                        None => out.append(false),
                    }
                }
                Arc::new(out.finish())
            }
            _ => Arc::new(values.map(Value::as_str).collect::<StringArray>()),
        });
    }
    let count = rows.len() as u64;
    table
        .append(Rows {
            part: PartId(u32::try_from(part).unwrap()),
            partition: i32::try_from(part).unwrap(),
            from: 0,
            next: i64::try_from(count).unwrap(),
            rows: Some(RecordBatch::try_new(Arc::clone(schema), arrays).unwrap()),
            offsets: (0..i64::try_from(count).unwrap()).collect(),
            fates: Fates { read: count, used: count, out: count, ..Fates::default() },
            dead: Vec::new(),
        })
        .unwrap();
}

/// The rows of a native answer, as arrays, in their order; a bucket's time comes first when
/// `times`.
pub(crate) fn flat(answer: &Value, times: bool) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut row = |time: &Value, values: &Value| {
        let mut cells = if times { vec![time.clone()] } else { Vec::new() };
        match values {
            Value::Object(fields) => cells.extend(fields.values().cloned()),
            Value::Array(items) => cells.extend(items.iter().cloned()),
            other => cells.push(other.clone()),
        }
        rows.push(Value::Array(cells));
    };
    for element in answer.as_array().unwrap() {
        let time = &element["timestamp"];
        if let Some(event) = element.get("event") {
            row(time, event);
        } else if let Some(events) = element.get("events") {
            events.as_array().unwrap().iter().for_each(|event| row(time, event));
        } else {
            match &element["result"] {
                Value::Array(items) => items.iter().for_each(|item| row(time, item)),
                result => row(time, result),
            }
        }
    }
    rows
}

/// Whether two values are the same, doubles up to rounding.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// A folder of real input; `None`, said aloud, when it is not there.
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let folder = PathBuf::from(root).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("YEOUL_REQUIRE_REAL").is_none(), "no {}", folder.display());
    println!("skipped: no {}", folder.display());
    None
}
