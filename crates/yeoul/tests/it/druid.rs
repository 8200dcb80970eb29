//! Druid's management APIs through the binary: specs become tables that outlive restarts, and
//! real specs on real records give the figures that are known.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Node, wait_for, yeoul_in};

fn produce(node: &Node, topic: &str, records: &str) {
    let args = ["produce", topic, "--bootstrap-server", &node.kafka];
    let said = yeoul_in(Path::new("."), &args, records);
    assert_eq!(said.code, 0, "{said:?}");
}

/// Posts JSON where JSON must be said to be.
fn post(node: &Node, path: &str, body: &Value) -> (u16, Value) {
    let answer = node.send("POST", path, &["Content-Type: application/json"], &body.to_string());
    let json = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    (answer.status, json)
}

fn get(node: &Node, path: &str) -> Value {
    let answer = node.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

fn spec() -> Value {
    json!({ "type": "kafka", "spec": {
        "ioConfig": {
            "topic": "visits",
            "consumerProperties": { "bootstrap.servers": "nowhere.invalid:9092" },
            "inputFormat": { "type": "json", "flattenSpec": { "fields": [
                { "type": "path", "name": "city", "expr": "$.place.city" },
            ] } },
            "useEarliestOffset": true,
        },
        "dataSchema": {
            "dataSource": "stays",
            "timestampSpec": { "column": "at", "format": "auto" },
            "transformSpec": {
                "transforms": [
                    { "type": "expression", "name": "loud", "expression": "upper(\"city\")" },
                    { "type": "expression", "name": "price", "expression": "concat('${env:HOME}', '')" },
                ],
                "filter": { "type": "not", "field": { "type": "selector", "dimension": "city", "value": "nowhere" } },
            },
            "dimensionsSpec": { "dimensions": ["loud", "price", { "type": "long", "name": "floor" }] },
            "metricsSpec": [
                { "type": "count", "name": "rows" },
                { "type": "longSum", "name": "nights", "fieldName": "nights" },
            ],
            "granularitySpec": { "segmentGranularity": "day", "queryGranularity": "hour" },
        },
    } })
}

const VISITS: &str = r#"{"at":"2026-01-01T10:05:00Z","place":{"city":"seoul"},"floor":3,"nights":1}
{"at":"2026-01-01T10:45:00Z","place":{"city":"seoul"},"floor":"3","nights":2}
{"at":"2026-01-01T11:05:00Z","place":{"city":"seoul"},"floor":"top","nights":4}
{"at":"2026-01-01T11:05:00Z","place":{"city":"nowhere"},"floor":1,"nights":8}
{"at":"soon","place":{"city":"seoul"},"floor":1,"nights":16}
"#;
const BASE: &str = "/druid/indexer/v1/supervisor";
const ROWS: &str = "SELECT loud, floor, sum(\"rows\"), sum(nights) FROM stays GROUP BY loud, floor \
    ORDER BY floor NULLS LAST";

fn state(node: &Node) -> Value {
    get(node, &format!("{BASE}/stays/status"))["payload"].clone()
}

fn wait_lag(node: &Node, read: i64) {
    wait_for("the supervisor at its end", || {
        let payload = state(node);
        let done = payload["aggregateLag"] == 0 && payload["latestOffsets"]["0"] == read;
        if done { Ok(()) } else { Err(payload.to_string()) }
    });
}

#[test]
fn a_supervisor_lives_as_druids_does() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::run(folder.path(), &[]);
    assert_eq!(post(&node, BASE, &spec()), (200, json!({ "id": "stays" })));
    produce(&node, "visits", VISITS);
    let first = json!([["SEOUL", 3, 2, 3], ["SEOUL", null, 1, 4]]);
    wait_for("the rows", || {
        let rows = node.sql(ROWS)?;
        if json!(rows) == first { Ok(()) } else { Err(json!(rows).to_string()) }
    });
    // What a client writes is never taken for a variable of this machine.
    let price = node.sql("SELECT max(price) FROM stays").unwrap();
    assert_eq!(price, [[json!("${env:HOME}")]]);
    wait_lag(&node, 5);
    let payload = state(&node);
    assert_eq!((&payload["state"], &payload["stream"]), (&json!("RUNNING"), &json!("visits")));
    assert_eq!(payload["activeTasks"][0]["currentOffsets"]["0"], 5);
    let stats = get(&node, &format!("{BASE}/stays/stats"));
    let task = payload["activeTasks"][0]["id"].as_str().unwrap();
    let totals = &stats["0"][task]["totals"]["buildSegments"];
    assert_eq!(
        (&totals["processed"], &totals["thrownAway"], &totals["unparseable"]),
        (&json!(3), &json!(1), &json!(1))
    );
    let listed = get(&node, &format!("{BASE}?full"));
    let kept = &listed[0]["spec"]["spec"]["ioConfig"]["consumerProperties"]["bootstrap.servers"];
    assert_eq!(*kept, "nowhere.invalid:9092", "echoed, never connected to");
    assert_eq!(get(&node, "/druid/indexer/v1/tasks?state=running")[0]["id"], task);
    assert_eq!(get(&node, "/druid/coordinator/v1/loadstatus"), json!({ "stays": 100.0 }));
    let supervisors = node.sql("SELECT supervisor_id, state FROM sys.supervisors").unwrap();
    assert_eq!(supervisors, [[json!("stays"), json!("RUNNING")]]);

    // Suspended, it keeps its place.
    // Without a body, as curl sends it.
    let suspended = node.send("POST", &format!("{BASE}/stays/suspend"), &[], "");
    assert_eq!(suspended.status, 200, "{}", suspended.body);
    assert_eq!(post(&node, &format!("{BASE}/stays/suspend"), &json!({})).0, 400);
    produce(&node, "visits", VISITS);
    assert_eq!(state(&node)["state"], "SUSPENDED");
    node.stop();
    let node = Node::run(folder.path(), &[]);
    wait_for("the rows of before", || {
        let rows = node.sql(ROWS)?;
        if json!(rows) == first { Ok(()) } else { Err(json!(rows).to_string()) }
    });
    assert_eq!(get(&node, &format!("{BASE}/stays"))["suspended"], true);
    assert_eq!(post(&node, &format!("{BASE}/stays/resume"), &json!({})).0, 200);
    wait_lag(&node, 10);
    let second = json!([["SEOUL", 3, 4, 6], ["SEOUL", null, 2, 8]]);
    assert_eq!(json!(node.sql(ROWS).unwrap()), second);

    // Ended, its rows stay and its history, too; posted again it goes on.
    assert_eq!(
        post(&node, &format!("{BASE}/stays/terminate"), &json!({})),
        (200, json!({ "id": "stays" }))
    );
    assert_eq!(get(&node, BASE), json!([]));
    assert_eq!(node.get(&format!("{BASE}/stays/status")).status, 404);
    assert_eq!(get(&node, &format!("{BASE}/stays/history")).as_array().unwrap().len(), 4);
    produce(&node, "visits", VISITS);
    assert_eq!(json!(node.sql(ROWS).unwrap()), second);
    assert_eq!(post(&node, BASE, &spec()).0, 200);
    wait_lag(&node, 15);
    assert_eq!(json!(node.sql(ROWS).unwrap()), json!([["SEOUL", 3, 6, 9], ["SEOUL", null, 3, 12]]));

    // Dropped, nothing of it comes back.
    let dropped = node.send("DELETE", "/druid/coordinator/v1/datasources/stays", &[], "");
    assert_eq!(dropped.status, 200, "{}", dropped.body);
    assert!(node.sql(ROWS).is_err());
    node.stop();
    let node = Node::run(folder.path(), &[]);
    assert!(node.sql(ROWS).is_err());
    assert_eq!(get(&node, BASE), json!([]));
}

#[test]
fn what_cannot_be_done_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::run(folder.path(), &[]);
    let mut bad = spec();
    bad["spec"]["dataSchema"]["metricsSpec"][1]["type"] = json!("javascript");
    let (status, body) = post(&node, BASE, &bad);
    assert_eq!(status, 400);
    let error = body["error"].as_str().unwrap();
    assert!(error.starts_with("$.spec.dataSchema.metricsSpec[1].type: "), "{error}");
    let batch = json!({ "type": "index_parallel", "spec": { "ioConfig": {
        "inputSource": { "type": "local", "baseDir": "/etc", "filter": "passwd" },
    } } });
    let (status, body) = post(&node, "/druid/indexer/v1/task", &batch);
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().contains("never read"), "{body}");
    let (status, _) = post(&node, "/druid/indexer/v1/sampler?for=connect", &batch);
    assert_eq!(status, 400);
    assert_eq!(node.get(&format!("{BASE}/none")).status, 404);
}

#[test]
fn the_sampler_shows_what_a_spec_would_make() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::run(folder.path(), &[]);
    let mut request = spec();
    request["spec"]["ioConfig"] = json!({
        "inputSource": { "type": "inline", "data": VISITS },
        "inputFormat": spec()["spec"]["ioConfig"]["inputFormat"],
    });
    let (status, body) = post(&node, "/druid/indexer/v1/sampler?for=transform", &request);
    assert_eq!(status, 200, "{body}");
    assert_eq!((&body["numRowsRead"], &body["numRowsIndexed"]), (&json!(5), &json!(3)));
    let row = &body["data"][0];
    assert_eq!(row["parsed"]["loud"], "SEOUL");
    assert_eq!(row["parsed"]["__time"], 1_767_261_900_000_i64);
    assert_eq!(row["input"]["place"]["city"], "seoul");
    assert_eq!(body["data"][3]["unparseable"], true);
}

#[test]
fn a_posted_lookup_is_joined_by_queries() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::run(folder.path(), &[]);
    let path = "/druid/coordinator/v1/lookups/config/__default/cities";
    let lookup = json!({ "version": "v1", "lookupExtractorFactory": {
        "type": "map", "map": { "seoul": "서울" },
    } });
    assert_eq!(post(&node, path, &lookup).0, 202);
    let rows = node.sql("SELECT v FROM lookup.cities").unwrap();
    assert_eq!(rows, [[json!("서울")]]);
    let outside = json!({ "lookupExtractorFactory": { "type": "cachedNamespace" } });
    assert_eq!(post(&node, path, &outside).0, 400);
}

/// A file of the tutorial; `None`, said, where there is none and none is asked for.
fn tutorial(file: &str) -> Option<PathBuf> {
    let folder = "/../../../shared/data/druid-quickstart";
    let path = PathBuf::from(format!("{}{folder}/{file}", env!("CARGO_MANIFEST_DIR")));
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var_os("YEOUL_REQUIRE_REAL").is_none(), "no {}", path.display());
    println!("skipped: no {}", path.display());
    None
}

#[test]
fn real_rollup_of_the_tutorial_makes_five_rows_of_nine() {
    let (Some(data), Some(spec)) =
        (tutorial("rollup-data.json"), tutorial("specs/rollup-index.json"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let node = Node::run(folder.path(), &[]);
    let batch: Value = serde_json::from_str(&fs::read_to_string(spec).unwrap()).unwrap();
    // The tutorial reads a file; here the same lines come through a topic.
    let spec = json!({ "type": "kafka", "spec": {
        "dataSchema": batch["spec"]["dataSchema"],
        "ioConfig": { "topic": "packets", "inputFormat": batch["spec"]["ioConfig"]["inputFormat"] },
    } });
    produce(&node, "packets", &fs::read_to_string(data).unwrap());
    assert_eq!(post(&node, BASE, &spec).0, 200);
    let query = "SELECT packets, bytes, \"count\" FROM \"rollup-tutorial\" ORDER BY packets";
    let expected = json!([
        [12, 2_818, 1],
        [49, 10_204, 1],
        [161, 100_288, 2],
        [286, 35_937, 3],
        [415, 366_260, 2]
    ]);
    wait_for("five rows", || {
        let rows = json!(node.sql(query)?);
        if rows == expected { Ok(()) } else { Err(rows.to_string()) }
    });
}

#[test]
fn real_wikiticker_through_a_topic_with_druids_own_spec() {
    let (Some(data), Some(spec)) = (
        tutorial("wikiticker-2015-09-12-sampled.json.gz"),
        tutorial("specs/wikipedia-kafka-supervisor.json"),
    ) else {
        return;
    };
    let lines = Command::new("gzip").arg("-dc").arg(data).output().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let node = Node::run(folder.path(), &[]);
    let spec: Value = serde_json::from_str(&fs::read_to_string(spec).unwrap()).unwrap();
    assert_eq!(post(&node, BASE, &spec).0, 200);
    produce(&node, "wikipedia", &String::from_utf8(lines.stdout).unwrap());
    node.wait_number("SELECT count(*) FROM wikipedia", 39_244);
    let rows = |query: &str| json!(node.sql(query).unwrap());
    assert_eq!(
        rows("SELECT sum(added), sum(deleted), sum(delta) FROM wikipedia"),
        json!([[9_385_573, 394_298, 8_991_275]])
    );
    assert_eq!(
        rows("SELECT page, count(*) FROM wikipedia GROUP BY page ORDER BY 2 DESC LIMIT 5"),
        json!([
            ["Wikipedia:Vandalismusmeldung", 33],
            ["User:Cyde/List of candidates for speedy deletion/Subpage", 28],
            ["Jeremy Corbyn", 27],
            ["Wikipedia:Administrators' noticeboard/Incidents", 21],
            ["Flavia Pennetta", 20]
        ])
    );
    assert_eq!(
        rows(
            "SELECT channel, count(*), sum(added) FROM wikipedia GROUP BY channel ORDER BY 2 DESC LIMIT 5"
        ),
        json!([
            ["#en.wikipedia", 11_549, 3_045_299],
            ["#vi.wikipedia", 9_747, 295_972],
            ["#de.wikipedia", 2_523, 522_625],
            ["#fr.wikipedia", 2_099, 642_555],
            ["#ru.wikipedia", 1_386, 640_698]
        ])
    );
    let by_hour = rows(
        "SELECT sum(deleted), count(*) FROM wikipedia \
        GROUP BY date_trunc('hour', __time) ORDER BY date_trunc('hour', __time) LIMIT 4",
    );
    assert_eq!(by_hour, json!([[1_761, 268], [16_208, 1_144], [14_543, 1_102], [13_101, 815]]));
    // Booleans and numbers are text where the spec says nothing else.
    assert_eq!(
        rows("SELECT count(metroCode) FROM wikipedia WHERE isRobot IN ('true', 'false')"),
        json!([[427]])
    );
}
