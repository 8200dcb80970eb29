//! Native queries over eight rows: the answers of `tests/cases`, and pairs of native and SQL that
//! must agree.

use serde_json::{Value, json};

use crate::world::{Columns, Given, World, flat, same};

const EDITS: &Columns = &[
    ("channel", "string"),
    ("page", "string"),
    ("added", "long"),
    ("delta", "double"),
    ("bot", "bool"),
    ("tags", "strings"),
];

fn read(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn edits() -> World {
    let rows = read(include_str!("../cases/edits.json"));
    World::new(&[Given { name: "edits", columns: EDITS, rows: &rows, spec: |spec| spec }])
}

fn cases(text: &str) {
    let world = edits();
    let mut wrong = Vec::new();
    for case in read(text) {
        let (status, answer) = world.post("/druid/v2/", &case["query"]);
        if status != 200 || !same(&answer, &case["expected"]) {
            wrong.push(format!("{}: {status} {answer}", case["name"]));
            continue;
        }
        if let Some(sql) = case.get("sql") {
            let (native, sql) = (flat(&answer, false), world.sql(sql.as_str().unwrap()));
            if !same(&json!(native), &json!(sql)) {
                wrong.push(format!("{}: {native:?} but SQL says {sql:?}", case["name"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn timeseries() {
    cases(include_str!("../cases/timeseries.json"));
}

#[test]
fn top_n() {
    cases(include_str!("../cases/topn.json"));
}

#[test]
fn group_by() {
    cases(include_str!("../cases/groupby.json"));
}

#[test]
fn scans_searches_and_metadata() {
    cases(include_str!("../cases/others.json"));
}

fn counted(filter: &Value) -> Value {
    json!({
        "queryType": "timeseries", "dataSource": "edits", "intervals": "2026/2027",
        "granularity": "all", "filter": filter, "aggregations": [{ "type": "count", "name": "n" }],
    })
}

#[test]
fn every_kind_of_filter_passes_the_rows_it_should() {
    let world = edits();
    let mut wrong = Vec::new();
    for case in read(include_str!("../cases/filters.json")).iter().skip(1) {
        let (filter, expected) = (&case[1], &case[2]);
        let (status, answer) = world.post("/druid/v2", &counted(filter));
        if answer[0]["result"]["n"] != *expected {
            wrong.push(format!("{filter}: {status} {answer} instead of {expected}"));
        }
    }
    let many: Vec<String> =
        (0..20_000).map(|i| format!("value {i}")).chain(["ko".into()]).collect();
    let filter = json!({ "type": "in", "dimension": "channel", "values": many });
    assert_eq!(world.native(&counted(&filter))[0]["result"]["n"], json!(2));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_offered_or_wrong_is_said() {
    let world = edits();
    let query = |change: Value| {
        let mut query = counted(&json!({ "type": "true" }));
        let fields = query.as_object_mut().unwrap();
        change.as_object().unwrap().iter().for_each(|(name, value)| {
            fields.insert(name.clone(), value.clone());
        });
        query
    };
    let deep = (0..60)
        .fold(json!({ "type": "true" }), |inner, _| json!({ "type": "not", "field": inner }));
    for (change, status) in [
        (json!({ "queryType": "select" }), 501),
        (json!({ "filter": { "type": "javascript", "dimension": "page", "function": "x" } }), 501),
        (json!({ "filter": { "type": "no such filter" } }), 400),
        (json!({ "filter": deep }), 400),
        (json!({ "intervals": "yesterday" }), 400),
        (json!({ "granularity": "fortnight" }), 400),
        (json!({ "aggregations": [{ "type": "javascript", "name": "x" }] }), 501),
        (json!({ "aggregations": [{ "type": "longSum", "name": "x" }] }), 400),
        (
            json!({ "postAggregations": [{ "type": "fieldAccess", "name": "x", "fieldName": "y" }] }),
            400,
        ),
        (json!({ "dataSource": { "type": "join", "left": "edits" } }), 501),
        (json!({ "dataSource": { "type": "inline", "columnNames": [], "rows": [] } }), 501),
        (
            json!({ "virtualColumns": [{ "type": "expression", "name": "v", "expression": "1 +" }] }),
            400,
        ),
    ] {
        let (got, answer) = world.post("/druid/v2", &query(change.clone()));
        assert_eq!(got.as_u16(), status, "{change}\n{answer}");
        assert!(answer["error"].is_string() && answer["errorMessage"].is_string(), "{answer}");
    }
}

/// Small numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit as u64).unwrap()
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A filter and the SQL that means the same, written without the code under test.
fn filter(dice: &mut Dice, depth: usize) -> (Value, String) {
    let kinds = if depth == 0 { 7 } else { 10 };
    let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let channel = *dice.one(&["en", "ko", "de", "xx"]);
    let number = dice.below(45);
    match dice.below(kinds) {
        0 => (
            json!({ "type": "selector", "dimension": "channel", "value": channel }),
            format!("channel = {}", quote(channel)),
        ),
        1 => (
            json!({ "type": "selector", "dimension": "channel", "value": null }),
            "channel IS NULL".to_owned(),
        ),
        2 => (
            json!({ "type": "bound", "dimension": "added", "lower": number, "ordering": "numeric" }),
            format!("added >= {number}"),
        ),
        3 => (
            json!({ "type": "bound", "dimension": "delta", "upper": number, "upperStrict": true, "ordering": "numeric" }),
            format!("delta < {number}"),
        ),
        4 => {
            let part = *dice.one(&["e", "S", "산", "'", "\\", "%"]);
            (
                json!({ "type": "search", "dimension": "page", "query": { "type": "contains", "value": part, "caseSensitive": true } }),
                format!("POSITION({} IN page) > 0", quote(part)),
            )
        }
        5 => (
            json!({ "type": "in", "dimension": "page", "values": ["Seoul", "it's", "7"] }),
            "page IN ('Seoul', 'it''s', '7')".to_owned(),
        ),
        6 => (
            json!({ "type": "interval", "dimension": "__time", "intervals": ["2026-01-01T00:30/2026-01-02T12:00"] }),
            "(__time >= TIMESTAMP '2026-01-01 00:30:00' AND __time < TIMESTAMP '2026-01-02 12:00:00')".to_owned(),
        ),
        7 => {
            let (inner, sql) = filter(dice, depth - 1);
            (json!({ "type": "not", "field": inner }), format!("NOT ({sql})"))
        }
        kind => {
            let ((a, left), (b, right)) = (filter(dice, depth - 1), filter(dice, depth - 1));
            let word = if kind == 8 { "and" } else { "or" };
            (
                json!({ "type": word, "fields": [a, b] }),
                format!("(({left}) {} ({right}))", word.to_uppercase()),
            )
        }
    }
}

fn aggregations(dice: &mut Dice) -> (Vec<Value>, Vec<String>) {
    let known = [
        (json!({ "type": "count" }), "COUNT(*)"),
        (json!({ "type": "longSum", "fieldName": "added" }), "SUM(added)"),
        (json!({ "type": "doubleSum", "fieldName": "delta" }), "SUM(delta)"),
        (json!({ "type": "longMin", "fieldName": "added" }), "MIN(added)"),
        (json!({ "type": "doubleMax", "fieldName": "delta" }), "MAX(delta)"),
        (json!({ "type": "longSum", "expression": "added * 2 + 1" }), "SUM(added * 2 + 1)"),
        (
            json!({ "type": "filtered", "filter": { "type": "selector", "dimension": "bot", "value": "true" }, "aggregator": { "type": "longSum", "fieldName": "added" } }),
            "SUM(added) FILTER (WHERE bot)",
        ),
    ];
    let count = 1 + dice.below(3);
    let (mut native, mut sql) = (Vec::new(), Vec::new());
    for index in 0..count {
        let (spec, text) = dice.one(&known);
        let mut spec = spec.clone();
        spec["name"] = json!(format!("m{index}"));
        native.push(spec);
        sql.push((*text).to_owned());
    }
    (native, sql)
}

#[test]
fn random_native_queries_agree_with_the_sql_that_means_the_same() {
    let world = edits();
    let dims = [
        (json!("channel"), "channel"),
        (json!("page"), "page"),
        (
            json!({ "type": "default", "dimension": "added", "outputName": "a", "outputType": "LONG" }),
            "added",
        ),
        (
            json!({ "type": "extraction", "dimension": "page", "outputName": "u", "extractionFn": { "type": "upper" } }),
            "UPPER(page)",
        ),
    ];
    let grains =
        [("all", None), ("hour", Some("PT1H")), ("day", Some("P1D")), ("month", Some("P1M"))];
    for seed in 0..100 {
        let mut dice = Dice(seed);
        let (filter, condition) = filter(&mut dice, 3);
        let (native, mut selected) = aggregations(&mut dice);
        let (grain, period) = *dice.one(&grains);
        let mut keys = Vec::new();
        let mut query = json!({
            "queryType": "timeseries", "dataSource": "edits", "intervals": "2026-01-01/2026-02-01",
            "granularity": grain, "filter": filter, "aggregations": native,
            "context": { "skipEmptyBuckets": true },
        });
        if let Some(period) = period {
            keys.push(format!("TIME_FLOOR(__time, '{period}')"));
        }
        if dice.below(2) == 0 {
            let picked: Vec<_> = (0..1 + dice.below(2)).map(|_| dice.below(dims.len())).collect();
            let picked =
                if picked.len() == 2 && picked[0] == picked[1] { &picked[..1] } else { &picked };
            query["queryType"] = json!("groupBy");
            query["dimensions"] = picked.iter().map(|at| dims[*at].0.clone()).collect();
            keys.extend(picked.iter().map(|at| dims[*at].1.to_owned()));
        }
        let places: Vec<String> = (1..=keys.len()).map(|place| place.to_string()).collect();
        selected.splice(0..0, keys.iter().cloned());
        let mut sql = format!("SELECT {} FROM edits WHERE {condition}", selected.join(", "));
        if !places.is_empty() {
            sql.push_str(&format!(" GROUP BY {}", places.join(", ")));
            let order: Vec<String> =
                keys.iter().map(|key| format!("{key} ASC NULLS FIRST")).collect();
            sql.push_str(&format!(" ORDER BY {}", order.join(", ")));
        }
        let answer = flat(&world.native(&query), period.is_some());
        let expected = world.sql(&sql);
        // One row of nothing stands for no rows where there are no groups.
        assert!(same(&json!(answer), &json!(expected)), "{query}\n{sql}\n{answer:?}\n{expected:?}");
    }
}
