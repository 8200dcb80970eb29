//! Druid's own integration queries on Druid's own rows, against the results it expects.

use serde_json::{Value, json};
use yeoul_agg::Aggregate;
use yeoul_sql::table::{Metric, Rollup, RollupBy, TableSpec};

use crate::world::{Columns, Given, World, real, same};

const WIKIPEDIA: &Columns = &[
    ("page", "string"),
    ("language", "string"),
    ("user", "string"),
    ("unpatrolled", "string"),
    ("newPage", "string"),
    ("robot", "string"),
    ("anonymous", "string"),
    ("namespace", "string"),
    ("continent", "string"),
    ("country", "string"),
    ("region", "string"),
    ("city", "string"),
    ("added", "long"),
    ("deleted", "long"),
    ("delta", "long"),
    ("count", "long"),
    // Metrics over raw values answer as those over states do.
    ("HLLSketchBuild", "string"),
    ("thetaSketch", "string"),
    ("quantilesDoublesSketch", "long"),
];

/// The three files together; the sketches of Druid's spec are over users and deltas.
fn rows(granularity_ms: i64) -> Option<Vec<Value>> {
    let folder = real("druid-itest")?.join("batch_index");
    let mut rows = Vec::new();
    for part in 1..=3 {
        let text = std::fs::read_to_string(folder.join(format!("wikipedia_index_data{part}.json")));
        for line in text.unwrap().lines().filter(|line| !line.trim().is_empty()) {
            let mut row: Value = serde_json::from_str(line).unwrap();
            let at = row["timestamp"].as_str().unwrap();
            let at = chrono::DateTime::parse_from_rfc3339(at).unwrap().timestamp_millis();
            row["__time"] = json!(at - at.rem_euclid(granularity_ms));
            row["count"] = json!(1);
            row["HLLSketchBuild"] = row["user"].clone();
            row["thetaSketch"] = row["user"].clone();
            row["quantilesDoublesSketch"] = row["delta"].clone();
            rows.push(row);
        }
    }
    Some(rows)
}

fn answers(
    rows: &[Value],
    file: &str,
    table: &str,
    marks: &[(&str, &str)],
    spec: fn(TableSpec) -> TableSpec,
) -> World {
    let world = World::new(&[Given { name: table, columns: WIKIPEDIA, rows, spec }]);
    let folder = real("druid-itest").unwrap();
    let mut text = std::fs::read_to_string(folder.join(file)).unwrap();
    text = text.replace("%%DATASOURCE%%", table);
    for (mark, value) in marks {
        text = text.replace(mark, value);
    }
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        // A join of a data source is SQL's here: refused with the words for it.
        let (status, answer) = world.post("/druid/v2", &case["query"]);
        if case["query"]["dataSource"]["type"] == json!("join") {
            assert_eq!(status, 501, "{answer}");
            continue;
        }
        if status != 200 || !same(&answer, &case["expectedResults"]) {
            wrong.push(format!("{}: {status} {answer}", case["description"]));
        }
    }
    assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
    world
}

/// As Druid's spec of these rows has it.
fn rolled_up(mut spec: TableSpec) -> TableSpec {
    let raw = ["added", "deleted", "delta"].map(|name| (name, Aggregate::Sum));
    let sketches = [
        ("HLLSketchBuild", Aggregate::Hll { lg_k: 12 }),
        ("thetaSketch", Aggregate::Theta { lg_k: 14 }),
        ("quantilesDoublesSketch", Aggregate::Quantiles { k: 128 }),
    ];
    let count = Metric { name: "count".to_owned(), aggregate: Aggregate::Count, input: None };
    let valued = raw.into_iter().chain(sketches).map(|(name, aggregate)| Metric {
        name: name.to_owned(),
        aggregate,
        input: Some(name.to_owned()),
    });
    let texts = WIKIPEDIA.iter().filter(|(_, ty)| *ty == "string").map(|(name, _)| *name);
    let dimensions = texts.filter(|name| !name.ends_with("Build") && *name != "thetaSketch");
    spec.rollup = Some(Rollup {
        by: RollupBy::Hour,
        dimensions: dimensions.map(str::to_owned).collect(),
        metrics: std::iter::once(count).chain(valued).collect(),
    });
    spec
}

#[test]
fn real_druid_queries_give_the_expected_results() {
    let Some(rows) = rows(1) else { return };
    answers(&rows, "wikipedia_index_queries.json", "wikipedia_index_test", &[], |spec| spec);
}

#[test]
fn real_druid_queries_over_hours_give_the_expected_results() {
    let Some(rows) = rows(3_600_000) else { return };
    let file = "wikipedia_index_queries_hour_query_granularity.json";
    answers(&rows, file, "wikipedia_index_test", &[], |spec| spec);
}

#[test]
fn real_druid_queries_over_rolled_up_hours_give_the_expected_results() {
    let Some(rows) = rows(1) else { return };
    let file = "wikipedia_index_queries_hour_query_granularity.json";
    let world = answers(&rows, file, "wikipedia_index_test", &[], rolled_up);
    let ask = json!({
        "queryType": "segmentMetadata", "dataSource": "wikipedia_index_test", "merge": true,
        "analysisTypes": ["aggregators", "rollup", "queryGranularity"],
    });
    let answer = world.native(&ask);
    let aggregators = &answer[0]["aggregators"];
    let added = json!({ "type": "longSum", "name": "added", "fieldName": "added" });
    assert_eq!(aggregators["added"], added, "{answer}");
    assert_eq!(aggregators["count"]["type"], json!("longSum"));
    assert_eq!(aggregators["HLLSketchBuild"]["type"], json!("HLLSketchMerge"));
    assert_eq!(answer[0]["columns"]["thetaSketch"]["type"], json!("thetaSketch"));
    assert_eq!(answer[0]["rollup"], json!(true));
    assert_eq!(answer[0]["queryGranularity"], json!("hour"));
}

/// Rows whose times the tester makes up, here a second apart.
#[test]
fn real_druid_realtime_queries_give_the_expected_results() {
    let Some(folder) = real("druid-itest") else { return };
    let text = std::fs::read_to_string(folder.join("wikipedia_realtime_index_data.json")).unwrap();
    let start = 1_377_910_953_000_i64;
    let mut rows = Vec::new();
    for (at, line) in text.lines().enumerate() {
        // Druid's tester gives this one a time before its window, so that it is thrown away.
        if at == 14 {
            continue;
        }
        let line = line.trim().trim_matches(['[', ']']).trim().trim_end_matches(',');
        if line.is_empty() {
            continue;
        }
        let mut row: Value = serde_json::from_str(line).unwrap();
        // The query of one minute asks for the last rows alone.
        row["__time"] = json!(start + i64::try_from(rows.len()).unwrap() * 60_000);
        row["count"] = json!(1);
        rows.push(row);
    }
    let time = |ms: i64| {
        chrono::DateTime::from_timestamp_millis(ms)
            .unwrap()
            .format("%Y-%m-%dT%H:%M:%S%.3fZ")
            .to_string()
    };
    let last = rows.last().unwrap()["__time"].as_i64().unwrap();
    let typhoon = rows.iter().find(|row| row["page"] == json!("Crimson Typhoon"));
    let typhoon = typhoon.map_or(last, |row| row["__time"].as_i64().unwrap());
    let minute = typhoon - typhoon.rem_euclid(60_000);
    let marks = [
        ("%%TIMEBOUNDARY_RESPONSE_TIMESTAMP%%", time(start)),
        ("%%TIMEBOUNDARY_RESPONSE_MAXTIME%%", time(last)),
        ("%%TIMEBOUNDARY_RESPONSE_MINTIME%%", time(start)),
        ("%%TIMESERIES_QUERY_START%%", time(start)),
        ("%%TIMESERIES_QUERY_END%%", time(last + 60_000)),
        ("%%TIMESERIES_RESPONSE_TIMESTAMP%%", time(start)),
        ("%%POST_AG_REQUEST_START%%", time(minute)),
        ("%%POST_AG_REQUEST_END%%", time(minute + 60_000)),
        ("%%POST_AG_RESPONSE_TIMESTAMP%%", time(minute)),
    ];
    let marks: Vec<(&str, &str)> =
        marks.iter().map(|(mark, time)| (*mark, time.as_str())).collect();
    let file = "wikipedia_realtime_index_queries.json";
    answers(&rows, file, "wikipedia_realtime", &marks, |spec| spec);
}
