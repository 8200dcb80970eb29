//! Every statement that Superset 4.1.4 was recorded to send, over a table of the recorded shape:
//! they all run, name their columns as they were named, and add up.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Map, Value};
use yeoul_base::{Fates, RealDisk};
use yeoul_sql::encode::{Rows as Encoded, Style};
use yeoul_sql::{QueryOptions, QueryOutput, Unnamed};
use yeoul_table::{Rows, Table, TableSpec, time_field};

use super::{World, rows, runtime};

/// 2026-11-18T00:00:00Z; the recorded charts ask for the 19th, compare with the 18th.
const START_US: i64 = 1_794_960_000_000_000;
const HOUR_US: i64 = 3_600_000_000;
const HOURS: i64 = 72;
const STATIONS: [Option<&str>; 5] = [
    Some("102. 망원역 1번출구 앞"),
    Some("103. 망원역 2번출구 앞"),
    Some("104. 합정역 1번출구 앞"),
    Some("it's 105%"),
    None,
];

/// Bikes of a station in an hour.
fn bikes(hour: i64, station: i64) -> i64 {
    (hour * 7 + station * 3) % 23
}

fn table(world: &World) -> Arc<Table> {
    let field = |name: &str, ty: DataType| Field::new(name, ty, true);
    let schema = Arc::new(Schema::new(vec![
        time_field(),
        field("stationId", DataType::Utf8),
        field("stationName", DataType::Utf8),
        field("stationLatitude", DataType::Float64),
        field("stationLongitude", DataType::Float64),
        field("parkingBikeTotCnt", DataType::Int64),
        field("rackTotCnt", DataType::Int64),
        field("shared", DataType::Int64),
        field("uniq_station", DataType::Int64),
    ]));
    let cells: Vec<(i64, i64)> =
        (0..HOURS).flat_map(|hour| (0..5).map(move |station| (hour, station))).collect();
    let long = |value: fn(i64, i64) -> i64| {
        Arc::new(Int64Array::from_iter_values(cells.iter().map(|&(h, s)| value(h, s)))) as ArrayRef
    };
    let double = |value: fn(i64) -> f64| {
        Arc::new(Float64Array::from_iter_values(cells.iter().map(|&(_, s)| value(s)))) as ArrayRef
    };
    let times = cells.iter().map(|&(hour, _)| START_US + hour * HOUR_US);
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(StringArray::from_iter_values(cells.iter().map(|(_, s)| format!("ST-{s}")))),
        Arc::new(StringArray::from_iter(cells.iter().map(|&(_, s)| STATIONS[s as usize]))),
        double(|s| 37.5 + s as f64 / 100.0),
        double(|s| 126.9 + s as f64 / 100.0),
        long(bikes),
        long(|_, s| 10 + s),
        long(|h, _| h),
        long(|_, s| s),
    ];
    let count = cells.len() as u64;
    let spec = TableSpec::new("bike-station-info", "info", schema.clone());
    let folder = Arc::new(RealDisk::new(world._folder.path()).unwrap());
    let table = Table::open(Arc::new(world.store.clone()), folder, world.clock.clone(), spec);
    let table = Arc::new(table.unwrap());
    table
        .append(Rows {
            rows: Some(RecordBatch::try_new(schema, arrays).unwrap()),
            offsets: (0..count as i64).collect(),
            fates: Fates { read: count, used: count, out: count, ..Fates::default() },
            next: count as i64,
            ..rows(0, 0)
        })
        .unwrap();
    world.engine.catalog().put_table(Arc::clone(&table));
    table
}

/// A day's bikes of all stations.
fn total(day: i64) -> i64 {
    let hours = day * 24..(day + 1) * 24;
    hours.flat_map(|hour| (0..5).map(move |station| bikes(hour, station))).sum()
}

fn objects(output: &QueryOutput) -> Vec<Map<String, Value>> {
    let mut objects = Vec::new();
    for batch in &output.batches {
        let rows = Encoded::new(batch, Style::default()).unwrap();
        for row in 0..rows.len() {
            let mut text = String::new();
            rows.object(row, &mut text);
            objects.push(serde_json::from_str(&text).unwrap());
        }
    }
    objects
}

/// The first row of the recorded answer, which may be cut.
fn recorded_row(head: &str) -> Option<Map<String, Value>> {
    let rows = serde_json::Deserializer::from_str(head.strip_prefix('[')?);
    rows.into_iter().next()?.ok()
}

#[test]
fn all_statements_of_superset_run_and_add_up() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/client-recordings/superset_4.1.4.jsonl"
    );
    if !Path::new(path).exists() {
        eprintln!("skipped: {path} is not here");
        return;
    }
    let runtime = runtime();
    let world = World::new(runtime.handle());
    table(&world);
    let text = std::fs::read_to_string(path).unwrap();
    let (mut ran, mut summed) = (0, 0);
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let Some(sql) = record["body"]["query"].as_str() else { continue };
        let options = QueryOptions { unnamed: Unnamed::Numbered, ..QueryOptions::default() };
        let output = runtime.block_on(world.engine.query(sql, &options));
        if sql.contains("nosuchcolumn") {
            let error = output.unwrap_err();
            assert!(error.message.contains("no column `nosuchcolumn`"), "{error}");
            continue;
        }
        let rows = objects(&output.unwrap_or_else(|error| panic!("{sql}\n{error}")));
        ran += 1;
        // The stand-in's own names for columns without one are not Druid's.
        if let Some(first) = rows.first()
            && let Some(recorded) = recorded_row(record["response_head"].as_str().unwrap())
            && !recorded.contains_key("1")
            && !recorded.contains_key("*")
            && !sql.contains("SELECT *")
        {
            let names = |row: &Map<String, Value>| row.keys().cloned().collect::<BTreeSet<_>>();
            assert!(names(&recorded).is_subset(&names(first)), "{sql}");
        }
        let sums: Option<Vec<i64>> = rows
            .iter()
            .map(|row| row.get("SUM(parkingBikeTotCnt)").and_then(Value::as_i64))
            .collect();
        let whole = !sql.contains(" = '") && !sql.contains("LIMIT 3") && !sql.contains("OFFSET");
        if let Some(sums) = sums.filter(|sums| !sums.is_empty() && whole) {
            let expected = match () {
                () if sql.contains("'2026-11-18 ") => total(0),
                () if sql.contains("'2026-11-19 ") => total(1),
                () => total(0) + total(1) + total(2),
            };
            assert_eq!(sums.iter().sum::<i64>(), expected, "{sql}");
            summed += 1;
        }
    }
    assert!(ran >= 75 && summed >= 25, "{ran} ran, {summed} summed");
}
