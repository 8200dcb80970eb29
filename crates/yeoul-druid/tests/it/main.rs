//! Druid's HTTP as clients see it: requests and bytes of responses.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may panic and damage files"
)]

mod druid_itest;
mod naive;
mod native;
mod recordings;
mod sql;
mod world;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
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

/// Two rows of which one holds what some clients cannot read when it is written carelessly.
fn world() -> (Router, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
    let store = Arc::new(MemStore::new());
    let columns = Arc::new(Schema::new(vec![
        time_field(),
        Field::new("station name", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ]));
    let spec = TableSpec::new("bike-station-info", "bikes", Arc::clone(&columns));
    let clock = Arc::new(ManualClock::default());
    let table = Arc::new(Table::open(store.clone(), disk, clock, spec).unwrap());
    let time = TimestampMicrosecondArray::from(vec![1_795_212_000_000_000, 1_795_212_060_000_000]);
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(time.with_timezone("UTC")),
        Arc::new(StringArray::from(vec!["망원역 \"1\"\\", "b"])),
        Arc::new(Int64Array::from(vec![Some(1), None])),
    ];
    table
        .append(Rows {
            part: PartId(0),
            partition: 0,
            from: 0,
            next: 2,
            rows: Some(RecordBatch::try_new(columns, arrays).unwrap()),
            offsets: vec![0, 1],
            fates: Fates { read: 2, used: 2, out: 2, ..Fates::default() },
            dead: Vec::new(),
        })
        .unwrap();
    let catalog = Arc::new(Catalog::new(store));
    catalog.put_table(table);
    let options = EngineOptions::new(tokio::runtime::Handle::current());
    (router(Arc::new(Engine::new(catalog, options).unwrap())), folder)
}

async fn send(router: &Router, request: Request<Body>) -> (StatusCode, String, String) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let kind = response.headers().get("content-type");
    let kind = kind.map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

async fn post(router: &Router, path: &str, body: Value) -> (StatusCode, String, String) {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    send(router, request).await
}

async fn get(router: &Router, path: &str) -> (StatusCode, String) {
    let (status, _, body) = send(router, Request::get(path).body(Body::empty()).unwrap()).await;
    (status, body)
}

const ALL: &str =
    r#"SELECT "__time", "station name" AS s, n FROM "druid"."bike-station-info" ORDER BY 1"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_written_as_pydruid_reads_them() {
    let (router, _folder) = world();
    for path in ["/druid/v2/sql", "/druid/v2/sql/"] {
        let body = json!({ "query": ALL, "context": {}, "header": false });
        let (status, kind, body) = post(&router, path, body).await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/json"));
        assert_eq!(
            body,
            concat!(
                r#"[{"__time":"2026-11-20T22:00:00.000Z","s":"망원역 \"1\"\u005c","n":1},"#,
                r#"{"__time":"2026-11-20T22:01:00.000Z","s":"b","n":null}]"#
            )
        );
    }
    let body = json!({ "query": format!("SELECT * FROM ({ALL}) WHERE 1=0") });
    assert_eq!(post(&router, "/druid/v2/sql", body).await.2, "[]");
    let body = json!({ "query": ALL, "header": true, "context": { "sqlOuterLimit": 1 } });
    assert_eq!(
        post(&router, "/druid/v2/sql", body).await.2,
        r#"[{"__time":null,"s":null,"n":null},{"__time":"2026-11-20T22:00:00.000Z","s":"망원역 \"1\"\u005c","n":1}]"#
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_format_has_its_headers_and_its_end() {
    let (router, _folder) = world();
    let sql = r#"SELECT n, "station name" AS s FROM "bike-station-info" WHERE n = 1"#;
    let ask = |format: &str, types: bool| json!({ "query": sql, "resultFormat": format, "header": true, "typesHeader": types, "sqlTypesHeader": types });
    let cases = [
        (
            "array",
            "application/json",
            r#"[["n","s"],["LONG","STRING"],["BIGINT","VARCHAR"],[1,"망원역 \"1\"\u005c"]]"#,
        ),
        (
            "arrayLines",
            "text/plain",
            "[\"n\",\"s\"]\n[\"LONG\",\"STRING\"]\n[\"BIGINT\",\"VARCHAR\"]\n[1,\"망원역 \\\"1\\\"\\u005c\"]\n\n",
        ),
        (
            "objectLines",
            "text/plain",
            "{\"n\":{\"type\":\"LONG\",\"sqlType\":\"BIGINT\"},\"s\":{\"type\":\"STRING\",\"sqlType\":\"VARCHAR\"}}\n{\"n\":1,\"s\":\"망원역 \\\"1\\\"\\u005c\"}\n\n",
        ),
        ("csv", "text/csv", "n,s\nLONG,STRING\nBIGINT,VARCHAR\n1,\"망원역 \"\"1\"\"\\\"\n\n"),
    ];
    for (format, kind, expected) in cases {
        let (status, got_kind, body) = post(&router, "/druid/v2/sql", ask(format, true)).await;
        assert_eq!((status, got_kind.as_str(), body.as_str()), (StatusCode::OK, kind, expected));
    }
    let text = Request::post("/druid/v2/sql")
        .header("content-type", "text/plain")
        .body(Body::from("SELECT COUNT(*) FROM \"bike-station-info\""))
        .unwrap();
    assert_eq!(send(&router, text).await.2, r#"[{"EXPR$0":2}]"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_hold_what_clients_look_for() {
    let (router, _folder) = world();
    for (query, status) in [
        ("SELECT nope FROM \"bike-station-info\"", StatusCode::BAD_REQUEST),
        ("SELECT 1 FROM", StatusCode::BAD_REQUEST),
        ("DROP TABLE \"bike-station-info\"", StatusCode::NOT_IMPLEMENTED),
    ] {
        let (got, kind, body) = post(&router, "/druid/v2/sql", json!({ "query": query })).await;
        assert_eq!((got, kind.as_str()), (status, "application/json"), "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert!(body["error"].is_string() && body["errorMessage"].is_string(), "{body}");
    }
    let endless =
        "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r";
    let body = json!({ "query": endless, "context": { "timeout": 200 } });
    let (status, _, body) = post(&router, "/druid/v2/sql", body).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert!(body.contains(r#""error":"Query timeout""#), "{body}");
    let (status, _, body) = post(&router, "/druid/v2/", json!({ "queryType": "topN" })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    let broken = Request::post("/druid/v2/sql")
        .header("content-type", "application/json")
        .body(Body::from("{"))
        .unwrap();
    assert_eq!(send(&router, broken).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_paths_clients_probe_are_there() {
    let (router, _folder) = world();
    let (_, status) = get(&router, "/status").await;
    assert!(status.starts_with(r#"{"version":"29.0.1""#), "{status}");
    assert_eq!(get(&router, "/status/health").await.1, "true");
    for path in ["/druid/v2/datasources", "/druid/v2/datasources/"] {
        assert_eq!(get(&router, path).await.1, r#"["bike-station-info"]"#);
    }
    assert_eq!(
        get(&router, "/druid/v2/datasources/bike-station-info").await.1,
        r#"{"dimensions":["station name"],"metrics":["n"]}"#
    );
    assert_eq!(
        get(&router, "/druid/broker/v1/loadstatus").await.1,
        r#"{"inventoryInitialized":true}"#
    );
}
