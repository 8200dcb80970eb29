//! `/druid/v2/sql` beyond its rows: parameters, other bodies, plans, zones, cancelling.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{Given, World};

fn world() -> World {
    let rows = [
        json!({ "__time": 1_767_225_600_000_i64, "s": "a", "n": 1, "tags": ["x", "y"] }),
        json!({ "__time": 1_767_285_000_000_i64, "s": "b", "n": 2, "tags": null }),
    ];
    let columns = &[("s", "string"), ("n", "long"), ("tags", "strings")];
    World::new(&[Given { name: "t", columns, rows: &rows, spec: |spec| spec }])
}

fn rows(world: &World, body: Value) -> Value {
    let (status, answer) = world.post("/druid/v2/sql", &body);
    assert_eq!(status, StatusCode::OK, "{body}\n{answer}");
    answer
}

#[test]
fn parameters_are_values_of_their_type() {
    let world = world();
    let body = json!({
        "query": "SELECT s, CAST(? AS VARCHAR) AS p FROM t WHERE n = ? AND __time < ? AND s = ?",
        "resultFormat": "array",
        "parameters": [
            { "type": "VARCHAR", "value": "it's ?" },
            { "type": "BIGINT", "value": "1" },
            { "type": "TIMESTAMP", "value": "2026-01-01 10:00:00" },
            { "type": "VARCHAR", "value": "a" },
        ],
    });
    assert_eq!(rows(&world, body), json!([["a", "it's ?"]]));
    let few = json!({ "query": "SELECT ?", "parameters": [] });
    assert_eq!(world.post("/druid/v2/sql", &few).0, StatusCode::BAD_REQUEST);
    let odd = json!({ "query": "SELECT ?", "parameters": [{ "type": "BIGINT", "value": "x" }] });
    assert_eq!(world.post("/druid/v2/sql", &odd).0, StatusCode::BAD_REQUEST);
}

#[test]
fn a_body_may_be_text_or_a_form() {
    let world = world();
    for (kind, body) in [
        ("text/plain; charset=utf-8", "SELECT COUNT(*) AS c FROM t WHERE s = 'a'"),
        ("application/x-www-form-urlencoded", "SELECT+COUNT(*)+AS+c+FROM+t+WHERE+s+%3D+%27a%27"),
        (
            "application/x-www-form-urlencoded",
            "query=SELECT%20COUNT(*)%20AS%20c%20FROM%20t+WHERE+n%3D1",
        ),
    ] {
        let request = Request::post("/druid/v2/sql")
            .header("content-type", kind)
            .body(Body::from(body))
            .unwrap();
        assert_eq!(world.send(request), (StatusCode::OK, r#"[{"c":1}]"#.to_owned()), "{body}");
    }
}

#[test]
fn the_context_names_zone_limit_and_arrays() {
    let world = world();
    let day = "SELECT TIME_FLOOR(__time, 'P1D') AS d, COUNT(*) AS c FROM t GROUP BY 1 ORDER BY 1";
    let answer = rows(&world, json!({ "query": day, "resultFormat": "array" }));
    assert_eq!(answer, json!([["2026-01-01T00:00:00.000Z", 2]]));
    let context = json!({ "sqlTimeZone": "Asia/Seoul", "unknown": { "x": 1 } });
    let body = json!({ "query": day, "resultFormat": "array", "context": context });
    let days = rows(&world, body);
    assert_eq!(days.as_array().unwrap().len(), 2, "{days}");
    let all = "SELECT tags FROM t WHERE n = 1";
    assert_eq!(rows(&world, json!({ "query": all })), json!([{ "tags": "[\"x\",\"y\"]" }]));
    let body = json!({ "query": all, "context": { "sqlStringifyArrays": false } });
    assert_eq!(rows(&world, body), json!([{ "tags": ["x", "y"] }]));
    let body = json!({ "query": "SELECT n FROM t ORDER BY n", "context": { "sqlOuterLimit": 1 } });
    assert_eq!(rows(&world, body), json!([{ "n": 1 }]));
    let body = json!({ "query": "SELECT 1", "context": { "sqlTimeZone": "Mars" } });
    assert_eq!(world.post("/druid/v2/sql", &body).0, StatusCode::BAD_REQUEST);
}

#[test]
fn a_plan_has_three_columns() {
    let world = world();
    let query = "EXPLAIN PLAN FOR SELECT s, COUNT(*) AS c FROM t GROUP BY s";
    let answer = rows(&world, json!({ "query": query }));
    let cell =
        |name: &str| -> Value { serde_json::from_str(answer[0][name].as_str().unwrap()).unwrap() };
    assert!(cell("PLAN")[0]["query"]["plan"].as_str().unwrap().contains("Aggregate"), "{answer}");
    assert_eq!(
        cell("PLAN")[0]["signature"],
        json!([{ "name": "s", "type": "STRING" }, { "name": "c", "type": "LONG" }])
    );
    assert_eq!(cell("RESOURCES"), json!([{ "name": "t", "type": "DATASOURCE" }]));
    assert_eq!(cell("ATTRIBUTES")["statementType"], json!("SELECT"));
}

/// Sorting all of a group's answer needs no limit that an allocation could be made of.
#[test]
fn huge_limits_allocate_nothing() {
    let world = world();
    for limit in ["", " LIMIT 9000000000000000000"] {
        let query = format!("SELECT n FROM t GROUP BY n ORDER BY n DESC{limit}");
        assert_eq!(rows(&world, json!({ "query": query })), json!([{ "n": 2 }, { "n": 1 }]));
    }
    let floor = json!({ "query": "SELECT FLOOR(1.5) AS f, CEIL(1.5) AS c" });
    assert_eq!(rows(&world, floor), json!([{ "f": 1.0, "c": 2.0 }]));
}

#[test]
fn a_running_query_is_cancelled_by_its_id() {
    let world = world();
    let router = world.router.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let delete = |path: &'static str| {
            let request = Request::delete(path).body(Body::empty()).unwrap();
            router.clone().oneshot(request)
        };
        let status = delete("/druid/v2/sql/none").await.unwrap().status();
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(delete("/druid/v2/none").await.unwrap().status(), StatusCode::ACCEPTED);
        let endless = "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r) \
                       SELECT count(*) FROM r";
        let body = json!({ "query": endless, "context": { "sqlQueryId": "mine" } });
        let request = Request::post("/druid/v2/sql")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let running = tokio::spawn(router.clone().oneshot(request));
        let mut cancelled = StatusCode::NOT_FOUND;
        for _ in 0..200 {
            cancelled = delete("/druid/v2/sql/mine").await.unwrap().status();
            if cancelled == StatusCode::ACCEPTED {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(cancelled, StatusCode::ACCEPTED);
        let response = running.await.unwrap().unwrap();
        assert_eq!(response.headers()["X-Druid-SQL-Query-Id"], "mine");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"], json!("Query cancelled"), "{body}");
    });
}
