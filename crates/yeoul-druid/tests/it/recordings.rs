//! What Turnilo and Superset sent, sent again: every request is answered in Druid's shape, and
//! the values are those of a walk over the rows by hand.

use serde_json::{Map, Value, json};

use crate::naive;
use crate::world::{Columns, Given, World, flat, real, same};

const BIKES: &Columns = &[
    ("stationId", "string"),
    ("stationName", "string"),
    ("stationLatitude", "double"),
    ("stationLongitude", "double"),
    ("parkingBikeTotCnt", "long"),
    ("rackTotCnt", "long"),
    ("shared", "long"),
    ("uniq_station", "string"),
];

const MOVIES: &Columns = &[
    ("movie", "string"),
    ("title", "string"),
    ("title_eng", "string"),
    ("grade", "string"),
    ("year", "long"),
    ("count", "long"),
    ("tags", "strings"),
];

/// 2026-11-18T23:22Z, a little before the first interval that was recorded.
const START: i64 = 1_795_044_120_000;

/// Every four minutes over two days, with nulls among names and numbers.
fn bikes() -> Vec<Value> {
    let names = [
        json!("102. 망원역 1번출구 앞"),
        json!("103. 망원역 2번출구 앞"),
        json!("104. 합정역 1번출구 앞"),
        json!("105. 합정역 5번출구 앞"),
        Value::Null,
    ];
    let row = |i: i64| {
        let station = i.rem_euclid(5);
        let bikes = if i % 11 == 0 { Value::Null } else { json!((i * 7919 + 13) % 41) };
        json!({
            "__time": START + i * 240_000,
            "stationId": format!("ST-{}", 4 + station),
            "stationName": names[usize::try_from(station).unwrap()],
            "stationLatitude": 37.5 + station as f64 / 100.0,
            "stationLongitude": 126.9 - station as f64 / 100.0,
            "parkingBikeTotCnt": bikes,
            "rackTotCnt": 10 + station,
            "shared": i % 3,
            "uniq_station": format!("{}", i % 17),
        })
    };
    (0..720).map(row).collect()
}

fn movies() -> Vec<Value> {
    let tags = [json!(["a", "b"]), json!(["b"]), json!([]), Value::Null, json!(["c", "a1", "d"])];
    let titles = [["핑크 팬더", "Pink Panther"], ["올드보이", "Oldboy"], ["기생충", "Parasite"]];
    let row = |i: i64| {
        let title = titles[usize::try_from(i % 3).unwrap()];
        json!({
            "__time": START + i * 3_600_000,
            "movie": format!("{}", 10_225 + i % 9),
            "title": title[0],
            "title_eng": title[1],
            "grade": if i % 4 == 0 { Value::Null } else { json!("PG") },
            "year": 1_960 + i,
            "count": 1,
            "tags": tags[usize::try_from(i % 5).unwrap()],
        })
    };
    (0..48).map(row).collect()
}

fn recorded_world(bikes: &[Value], movies: &[Value]) -> World {
    let same = |spec| spec;
    World::new(&[
        Given { name: "bike-station-info", columns: BIKES, rows: bikes, spec: same },
        Given { name: "korean_movies", columns: MOVIES, rows: movies, spec: same },
    ])
}

fn lines(file: &str) -> Option<Vec<Value>> {
    let path = real("client-recordings")?.join(file);
    let text = std::fs::read_to_string(path).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// The names a query's results must have, in their order.
fn names(query: &Value) -> Vec<String> {
    let mut names = Vec::new();
    let dims = query.get("dimension").filter(|dim| !dim.is_null()).into_iter();
    for dim in dims.chain(query["dimensions"].as_array().into_iter().flatten()) {
        let dim = dim.get("delegate").unwrap_or(dim);
        names.push(dim["outputName"].as_str().or_else(|| dim.as_str()).unwrap().to_owned());
    }
    for part in ["aggregations", "postAggregations"] {
        for spec in query[part].as_array().into_iter().flatten() {
            names.push(spec["name"].as_str().unwrap().to_owned());
        }
    }
    names
}

fn keys(value: &Value) -> Vec<String> {
    value.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
}

/// Druid's shape of each kind of answer.
fn shaped(query: &Value, answer: &Value) -> Result<(), String> {
    let kind = query["queryType"].as_str().unwrap();
    let elements = answer.as_array().ok_or("not an array")?;
    let wanted = names(query);
    let named = |value: &Value| match keys(value) == wanted {
        true => Ok(()),
        false => Err(format!("{:?} are not {wanted:?}", keys(value))),
    };
    for element in elements {
        match kind {
            "timeseries" => named(&element["result"])?,
            "topN" => {
                element["result"].as_array().ok_or("no result")?.iter().try_for_each(named)?
            }
            "groupBy" => {
                named(&element["event"])?;
                if keys(element) != ["version", "timestamp", "event"] {
                    return Err(format!("{:?}", keys(element)));
                }
            }
            "scan" => {
                let columns = element["columns"].as_array().ok_or("no columns")?;
                let rows = element["events"].as_array().ok_or("no events")?;
                if keys(element).iter().position(|key| key == "columns")
                    > keys(element).iter().position(|key| key == "events")
                    || rows.iter().any(|row| row.as_array().unwrap().len() != columns.len())
                {
                    return Err("columns and events do not match".to_owned());
                }
            }
            "timeBoundary" => {
                let found = keys(&element["result"]);
                let bound = query["bound"].as_str();
                let right = match bound {
                    Some(bound) => found == [bound],
                    None => found == ["minTime", "maxTime"],
                };
                if !right {
                    return Err(format!("{found:?}"));
                }
            }
            _ => {
                let time = &element["columns"]["__time"];
                if time["type"] != json!("LONG") || element["id"] != json!("merged") {
                    return Err(element.to_string());
                }
            }
        }
    }
    if elements.is_empty() { Err("empty".to_owned()) } else { Ok(()) }
}

/// Whether the groups of an answer are among those counted by hand, and none is missing.
fn equal(query: &Value, answer: &Value, expected: &[Map<String, Value>]) -> Result<(), String> {
    let wanted = names(query);
    let limit = query["threshold"].as_u64().or_else(|| query["limitSpec"]["limit"].as_u64());
    let count = limit.map_or(expected.len(), |limit| expected.len().min(limit as usize));
    let rows = flat(answer, false);
    if rows.len() != count {
        return Err(format!("{} rows instead of {count}", rows.len()));
    }
    let dims = names(&json!({
        "dimension": query.get("dimension").cloned().unwrap_or(Value::Null),
        "dimensions": query["dimensions"],
    }));
    for row in rows {
        let got: Map<String, Value> =
            wanted.iter().cloned().zip(row.as_array().unwrap().clone()).collect();
        let group = expected.iter().find(|group| dims.iter().all(|dim| group[dim] == got[dim]));
        let group = group.ok_or_else(|| format!("no such group: {got:?}"))?;
        for (name, value) in group {
            if !same(value, &got[name]) {
                return Err(format!("{name} is {} instead of {value} in {got:?}", got[name]));
            }
        }
    }
    Ok(())
}

/// Kinds of requests that need what this world has not.
fn lacks(query: &Value) -> bool {
    query.to_string().contains("registeredLookup")
}

#[test]
fn real_requests_of_turnilo_are_answered_in_shape_and_value() {
    let Some(lines) = lines("turnilo_1.38.2.jsonl") else { return };
    let (bikes, movies) = (bikes(), movies());
    let world = recorded_world(&bikes, &movies);
    let (mut sent, mut checked, mut wrong) = (0, 0, Vec::new());
    for line in lines.iter().filter(|line| line["method"] == json!("POST")) {
        let query = &line["body"];
        if lacks(query) {
            continue;
        }
        sent += 1;
        let (status, answer) = world.post(line["target"].as_str().unwrap(), query);
        let step = &line["step"];
        if status != 200 {
            wrong.push(format!("{step}: {status} {answer}\n  {query}"));
            continue;
        }
        if let Err(error) = shaped(query, &answer) {
            wrong.push(format!("{step}: {error}\n  {query}"));
            continue;
        }
        let rows = if query["dataSource"] == json!("korean_movies") { &movies } else { &bikes };
        let rowed = ["timeseries", "topN", "groupBy"];
        if !rowed.contains(&query["queryType"].as_str().unwrap()) {
            continue;
        }
        if let Some(expected) = naive::groups(query, rows) {
            checked += 1;
            if let Err(error) = equal(query, &answer, &expected) {
                wrong.push(format!("{step}: {error}\n  {query}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {sent}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(sent > 180, "{sent} requests");
    assert!(checked > 90, "only {checked} of {sent} were counted by hand");
}

#[test]
fn real_requests_of_superset_are_answered() {
    let Some(lines) = lines("superset_4.1.4.jsonl") else { return };
    let (bikes, movies) = (bikes(), movies());
    let world = recorded_world(&bikes, &movies);
    let mut wrong = Vec::new();
    for line in lines.iter().filter(|line| line["body"].is_object()) {
        let (status, answer) = world.post(line["target"].as_str().unwrap(), &line["body"]);
        let (step, sql) = (&line["step"], line["body"]["query"].as_str().unwrap());
        let fails = sql.contains("nosuchcolumn");
        if fails != (status == 400) || (!fails && !answer.is_array()) {
            wrong.push(format!("{step}: {status} {answer}\n  {sql}"));
            continue;
        }
        // The names of the answer are those the query gives.
        let alias = sql.split(" AS \"").nth(1).and_then(|rest| rest.split('"').next());
        if let (Some(alias), Some(first)) = (alias, answer.get(0))
            && !fails
            && !sql.contains("virtual_table")
            && !sql.contains("rowcount_qry")
            && first.get(alias).is_none()
        {
            wrong.push(format!("{step}: no `{alias}` in {first}\n  {sql}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    let sum: i64 = bikes.iter().filter_map(|row| row["parkingBikeTotCnt"].as_i64()).sum();
    let got = world.sql("SELECT sum(\"parkingBikeTotCnt\") FROM \"druid\".\"bike-station-info\"");
    assert_eq!(got, [json!([sum])]);
}
