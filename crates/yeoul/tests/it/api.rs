//! The shape of `/api/v1`, of the Druid face and of the rest of the port, on a node that has
//! something of everything.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Node, wait_for, yeoul_in};

const SHOP: &str = "\
name: shop
timezone: Asia/Seoul
sources:
  films:
    tail: { path: [films.tsv], read_from: beginning }
    decode: { tsv: { columns: { time: int, name: string } } }
streams:
  dated:
    sql: SELECT name, to_timestamp(time) AS ts FROM films
    key: name
tables:
  dated: { from: dated, time: { column: ts } }
";

/// Two films and a header, which is no film.
fn shop() -> (tempfile::TempDir, Node) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("shop.yaml"), SHOP).unwrap();
    let lines = "time\tname\n1709251200\t여울, \"A\"\n1709251260\tB\n";
    fs::write(folder.path().join("films.tsv"), lines).unwrap();
    let node = Node::run(folder.path(), &["shop.yaml"]);
    node.wait_number("SELECT count(*) FROM dated", 2);
    (folder, node)
}

fn api(node: &Node, path: &str) -> Value {
    node.get(&format!("/api/v1/{path}")).json()
}

fn names(list: &Value, field: &str) -> Vec<String> {
    let entries = list.as_array().unwrap().iter();
    entries.map(|entry| entry[field].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_api_shows_what_there_is() {
    let (folder, node) = shop();
    let info = api(&node, "info");
    assert_eq!((&info["name"], &info["timezone"]), (&json!("shop"), &json!("Asia/Seoul")));
    assert_eq!(info["kafka"], json!([node.kafka]));

    let flow = api(&node, "flow");
    let ids = names(&flow["nodes"], "id");
    for id in ["source/films", "topic/films", "stream/dated", "table/dated", "topic/dated"] {
        assert!(ids.iter().any(|seen| seen == id), "{id} in {ids:?}");
    }
    let edge = |from: &str, to: &str| {
        let edges = flow["edges"].as_array().unwrap().iter();
        edges.filter(|edge| edge["from"] == from && edge["to"] == to).count()
    };
    assert_eq!(edge("source/films", "topic/films"), 1);
    assert_eq!(edge("topic/films", "stream/dated"), 1);
    assert_eq!(edge("topic/dated", "table/dated"), 1);
    assert_eq!(edge("source/films", "dead/dead.source.films"), 1);

    let topics = names(&api(&node, "topics"), "name");
    assert!(topics.contains(&"films".to_owned()), "{topics:?}");
    let topic = api(&node, "topics/films");
    assert_eq!((&topic["records"], &topic["end_offsets"]), (&json!(2), &json!([2])));
    assert_eq!(topic["schema"][0], json!({ "name": "time", "type": "int" }));
    let records = api(&node, "topics/films/records?from=earliest&limit=1");
    assert_eq!(records["records"][0]["offset"], 0);
    let value: Value =
        serde_json::from_str(records["records"][0]["value"].as_str().unwrap()).unwrap();
    assert_eq!(value, json!({ "time": 1_709_251_200, "name": "여울, \"A\"" }));

    let table = api(&node, "tables/dated");
    assert_eq!((&table["rows"], &table["topic"]), (&json!(2), &json!("dated")));
    assert_eq!(table["min_ms"], 1_709_251_200_000_i64);
    assert_eq!(names(&api(&node, "tables"), "name"), ["dated"]);

    let status = api(&node, "status");
    assert!(names(&status["components"], "id").contains(&"stream/dated".to_owned()));
    assert_eq!(api(&node, "audit")["balanced"], true);
    let pipelines = api(&node, "pipelines");
    assert_eq!((&pipelines[0]["name"], &pipelines[0]["text"]), (&json!("shop"), &json!(SHOP)));
    let dead = json!([{ "topic": "dead.source.films", "component": "source/films", "records": 1 }]);
    assert_eq!(api(&node, "dead"), dead);
    assert_eq!(
        api(&node, "openapi.json")["openapi"].as_str().unwrap().split('.').next(),
        Some("3")
    );
    assert_eq!(node.get("/api/v1/nothing").status, 404);
    assert_eq!(node.get("/api/v1/topics/nothing").status, 404);
    drop(folder);
}

#[test]
fn queries_answer_in_every_form() {
    let (_folder, node) = shop();
    let query = "SELECT name, ts FROM dated ORDER BY ts";
    let answer = node.post("/api/v1/sql", &json!({ "query": query, "limit": 1 }).to_string());
    let answer = answer.json();
    assert_eq!(answer["rows"], json!([["여울, \"A\"", "2024-03-01T00:00:00.000Z"]]));
    assert_eq!(answer["truncated"], true);
    assert_eq!(answer["columns"][1], json!({ "name": "ts", "type": "timestamp" }));
    let wrong = node.post("/api/v1/sql", &json!({ "query": "SELECT nmae FROM dated" }).to_string());
    assert_eq!(wrong.status, 400);
    let wrong: Value = serde_json::from_str(&wrong.body).unwrap();
    assert_eq!((&wrong["error"]["line"], &wrong["error"]["column"]), (&json!(1), &json!(8)));

    let query = "SELECT name, 1 AS n FROM dated ORDER BY ts";
    let druid = |form: Value| {
        let mut body = json!({ "query": query });
        body.as_object_mut().unwrap().extend(form.as_object().unwrap().clone());
        let answer = node.post("/druid/v2/sql", &body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    let object: Value = serde_json::from_str(&druid(json!({}))).unwrap();
    assert_eq!(object, json!([{ "name": "여울, \"A\"", "n": 1 }, { "name": "B", "n": 1 }]));
    let array: Value =
        serde_json::from_str(&druid(json!({ "resultFormat": "array", "header": true }))).unwrap();
    assert_eq!(array, json!([["name", "n"], ["여울, \"A\"", 1], ["B", 1]]));
    let csv = druid(json!({ "resultFormat": "csv", "header": true }));
    assert_eq!(csv.trim_end(), "name,n\n\"여울, \"\"A\"\"\",1\nB,1");
}

#[test]
fn the_commands_show_the_same() {
    let (folder, node) = shop();
    let rows = node.ask(&["sql", "SELECT count(*) AS n FROM dated", "--output", "json"]).json();
    assert_eq!(rows["rows"], json!([[2]]));
    let table = node.ask(&["sql", "SELECT name FROM dated ORDER BY ts"]);
    assert_eq!((table.code, table.out.as_str()), (0, "NAME\n여울, \"A\"\nB\n"));
    let status = node.ask(&["status", "--output", "json"]).json();
    assert!(names(&status["components"], "id").contains(&"table/dated".to_owned()));
    let dead = node.ask(&["dead", "show", "source/films"]);
    assert!(dead.code == 0 && dead.out.contains("time\tname"), "{dead:?}");

    let server = ["--bootstrap-server", &node.kafka];
    let produce = ["produce", "films", "--output", "json", server[0], server[1]];
    let line = "{\"time\": 1709251320, \"name\": \"C\"}\n";
    let sent = yeoul_in(folder.path(), &produce, line).json();
    assert_eq!(sent, json!({ "topic": "films", "records": 1 }));
    node.wait_number("SELECT count(*) FROM dated", 3);
    let consume = ["consume", "dated", "--from", "beginning", "--output", "json"];
    let read = yeoul_in(folder.path(), &[&consume[..], &server].concat(), "");
    assert_eq!((read.code, read.out.lines().count()), (0, 3), "{read:?}");
    let last: Value = serde_json::from_str(read.out.lines().last().unwrap()).unwrap();
    assert_eq!(last["key"], "C", "{last}");
}

#[test]
fn health_and_metrics() {
    let (_folder, node) = shop();
    assert_eq!(node.get("/health/live").status, 200);
    wait_for("ready", || {
        let answer = node.get("/health/ready");
        if answer.status == 200 { Ok(()) } else { Err(answer.body) }
    });
    let metrics = node.get("/metrics");
    assert_eq!(metrics.status, 200);
    let wanted = "yeoul_records_in_total{component=\"table/dated\"} 2";
    assert!(metrics.body.contains(wanted), "{}", metrics.body);
    let page = node.get("/");
    assert!(page.status == 200 && page.body.contains("<html"), "{}", page.body);
    assert!(page.headers.contains("content-security-policy: default-src 'self'"));
    assert_eq!(node.get("/some/place/of/the/app").body, page.body);
}

#[test]
fn strangers_are_refused() {
    let (_folder, node) = shop();
    let query = r#"{"query": "SELECT 1"}"#;
    let json = "Content-Type: application/json";
    assert_eq!(node.send("GET", "/api/v1/info", &["Host: evil.example"], "").status, 403);
    assert_eq!(node.send("GET", "/", &["Host: evil.example"], "").status, 403);
    assert_eq!(node.send("GET", "/api/v1/info", &["Host: localhost:8888"], "").status, 200);
    for path in ["/api/v1/sql", "/druid/v2/sql"] {
        assert_eq!(node.post(path, query).status, 200, "{path}");
        let text = node.send("POST", path, &["Content-Type: text/plain"], query);
        assert_eq!(text.status, 415, "{path}: {}", text.body);
        let foreign = node.send("POST", path, &[json, "Origin: http://evil.example"], query);
        assert_eq!(foreign.status, 403, "{path}: {}", foreign.body);
    }
}
