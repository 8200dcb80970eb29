//! Rolled-up tables: the same values however rows were cut into appends, chunks and files.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use yeoul_agg::{Aggregate, sketches};
use yeoul_base::{Fates, PartId};
use yeoul_table::{
    Metric, OFFSETS, Rollup, RollupBy, Rows, Snapshot, Table, TableSpec, decode_offsets, time_field,
};

use crate::World;

const MINUTE_US: i64 = 60_000_000;

#[derive(Debug, Clone)]
struct Row {
    us: i64,
    city: Option<&'static str>,
    n: Option<i64>,
    partition: i32,
    offset: i64,
}

fn metric(name: &str, aggregate: Aggregate, input: Option<&str>) -> Metric {
    Metric { name: name.into(), aggregate, input: input.map(Into::into) }
}

fn rollup() -> Rollup {
    Rollup {
        by: RollupBy::Minute,
        dimensions: vec!["city".into()],
        metrics: vec![
            metric("rows", Aggregate::Count, None),
            metric("total", Aggregate::Sum, Some("n")),
            metric("least", Aggregate::Min, Some("n")),
            metric("most", Aggregate::Max, Some("n")),
            metric("opened", Aggregate::First, Some("n")),
            metric("closed", Aggregate::Last, Some("n")),
            metric("users", Aggregate::Hll { lg_k: 12 }, Some("n")),
            metric("visitors", Aggregate::Theta { lg_k: 12 }, Some("n")),
            metric("spread", Aggregate::Quantiles { k: 128 }, Some("n")),
        ],
    }
}

fn spec() -> TableSpec {
    let rollup = rollup();
    let mut fields = vec![time_field(), Field::new("city", DataType::Utf8, true)];
    let inputs = rollup.metrics.iter().filter(|metric| metric.input.is_some());
    fields.extend(inputs.map(|metric| Field::new(&metric.name, DataType::Int64, true)));
    let mut spec = TableSpec::new("rolled", "t", Arc::new(Schema::new(fields)));
    spec.rollup = Some(rollup);
    spec.sort_by = vec!["city".into()];
    spec
}

fn append(table: &Table, columns: &SchemaRef, rows: &[&Row]) {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.us));
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(times.with_timezone("UTC")),
        Arc::new(rows.iter().map(|row| row.city).collect::<StringArray>()),
    ];
    let values: ArrayRef = Arc::new(rows.iter().map(|row| row.n).collect::<Int64Array>());
    arrays.resize(columns.fields().len(), values);
    let part = PartId(7 + first.partition as u32);
    let count = rows.len() as u64;
    table
        .append(Rows {
            part,
            partition: first.partition,
            from: table.next_offset(part).unwrap_or(0),
            next: last.offset + 1,
            rows: Some(RecordBatch::try_new(Arc::clone(columns), arrays).unwrap()),
            offsets: rows.iter().map(|row| row.offset).collect(),
            fates: Fates { read: count, used: count, out: count, ..Fates::default() },
            dead: Vec::new(),
        })
        .unwrap();
}

fn batches(snapshot: &Snapshot) -> Vec<RecordBatch> {
    let mut all: Vec<RecordBatch> =
        snapshot.chunks.iter().map(|chunk| chunk.batch.clone()).collect();
    for segment in snapshot.segments.iter() {
        segment.footer().unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(segment.open().unwrap()).unwrap();
        all.extend(builder.build().unwrap().map(Result::unwrap));
    }
    all
}

/// What a stored row says, finished.
type Finished = Vec<Option<i64>>;
type Key = (i64, Option<String>);

fn finished(merged: &RecordBatch) -> BTreeMap<Key, Finished> {
    let column = |name: &str| merged.column_by_name(name).unwrap();
    let times = column("__time").as_primitive::<TimestampMicrosecondType>();
    let cities = column("city").as_string::<i32>();
    let long = |array: &ArrayRef, row: usize| {
        let values = array.as_primitive::<Int64Type>();
        values.is_valid(row).then(|| values.value(row))
    };
    let text = |name: &str, row: usize| column(name).as_binary::<i32>().value(row).to_vec();
    let mut rows = BTreeMap::new();
    for row in 0..merged.num_rows() {
        let key = (times.value(row), cities.is_valid(row).then(|| cities.value(row).to_owned()));
        let mut values: Finished =
            ["rows", "total", "least", "most"].iter().map(|name| long(column(name), row)).collect();
        for name in ["opened", "closed"] {
            values.push(long(column(name).as_struct().column_by_name("value").unwrap(), row));
        }
        values.push(Some(sketches::hll_estimate(&text("users", row)).unwrap().round() as i64));
        values.push(Some(sketches::theta_estimate(&text("visitors", row)).unwrap() as i64));
        let spread = sketches::quantiles(&text("spread", row), &[0.5]).unwrap();
        values.push(spread.map(|found| found[0] as i64));
        let ranges = decode_offsets(&text(OFFSETS, row)).unwrap();
        values.push(Some(ranges.iter().map(|range| range.rows as i64).sum()));
        assert!(rows.insert(key, values).is_none(), "a key twice");
    }
    rows
}

/// The same by hand.
fn expected(rows: &[Row]) -> BTreeMap<Key, Finished> {
    let mut groups: BTreeMap<Key, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let key = (row.us - row.us.rem_euclid(MINUTE_US), row.city.map(str::to_owned));
        groups.entry(key).or_default().push(row);
    }
    let finish = |group: Vec<&Row>| {
        let mut values: Vec<i64> = group.iter().filter_map(|row| row.n).collect();
        values.sort_unstable();
        let moment = |row: &&&Row| (row.us, row.partition, row.offset);
        let mut distinct = values.clone();
        distinct.dedup();
        vec![
            Some(group.len() as i64),
            (!values.is_empty()).then(|| values.iter().sum()),
            values.first().copied(),
            values.last().copied(),
            group.iter().min_by_key(moment).unwrap().n,
            group.iter().max_by_key(moment).unwrap().n,
            Some(distinct.len() as i64),
            Some(distinct.len() as i64),
            // Few enough values to be exact.
            (!values.is_empty()).then(|| values[values.len().div_ceil(2) - 1]),
            Some(group.len() as i64),
        ]
    };
    groups.into_iter().map(|(key, group)| (key, finish(group))).collect()
}

fn some_rows() -> impl Strategy<Value = Vec<Row>> {
    let city = prop::sample::select(vec![None, Some("서울"), Some("부산")]);
    let row = (-3 * MINUTE_US..3 * MINUTE_US, city, prop::option::weighted(0.8, -20_i64..20), 0..2);
    prop::collection::vec(row, 1..120).prop_map(|rows| {
        let numbered = rows.into_iter().enumerate();
        // Whole seconds, so that times meet.
        let row = |(offset, (us, city, n, partition)): (usize, (i64, _, _, _))| Row {
            us: us - us.rem_euclid(1_000_000),
            city,
            n,
            partition,
            offset: offset as i64,
        };
        numbered.map(row).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_cut_gives_the_same_values(
        rows in some_rows(),
        sizes in prop::collection::vec(1_usize..40, 1..8),
        seals in prop::collection::vec(any::<bool>(), 1..8),
    ) {
        let world = World::new();
        let table = world.try_open(spec()).unwrap();
        let columns = Arc::clone(&table.spec().columns);
        let (mut rest, mut step) = (&rows[..], 0);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(sizes[step % sizes.len()].min(rest.len()));
            for partition in 0..2 {
                let of: Vec<_> = now.iter().filter(|row| row.partition == partition).collect();
                append(&table, &columns, &of);
            }
            if seals[step % seals.len()] {
                table.seal().unwrap();
            }
            (rest, step) = (later, step + 1);
        }
        let rollup = rollup();
        let merged = |table: &Table| {
            let all = batches(&table.snapshot());
            let all: Vec<&RecordBatch> = all.iter().collect();
            finished(&rollup.merge(table.schema(), &all).unwrap())
        };
        prop_assert_eq!(merged(&table), expected(&rows));
        // Sealed as one, then opened again: the same from files alone.
        table.seal().unwrap();
        drop(table);
        prop_assert_eq!(merged(&world.try_open(spec()).unwrap()), expected(&rows));
    }
}

#[test]
fn an_append_is_perfect_and_chunks_are_merged_where_they_join() {
    let world = World::new();
    let table = world.try_open(spec()).unwrap();
    let columns = Arc::clone(&table.spec().columns);
    let row = |offset: i64| Row {
        us: offset % 60 * 1_000_000,
        city: Some("서울"),
        n: Some(offset),
        partition: 0,
        offset,
    };
    for from in (0..1_000).step_by(10) {
        let rows: Vec<Row> = (from..from + 10).map(row).collect();
        append(&table, &columns, &rows.iter().collect::<Vec<_>>());
    }
    let snapshot = table.snapshot();
    assert_eq!(snapshot.rows(), 1, "one minute, one city");
    assert_eq!(table.stats().hot_rows, 1);
    let names: Vec<_> =
        snapshot.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names.first(), Some(&"__time"));
    assert_eq!(names.last(), Some(&OFFSETS));
    let ranges = snapshot.chunks[0].batch.column_by_name(OFFSETS).unwrap();
    let ranges = decode_offsets(ranges.as_binary::<i32>().value(0)).unwrap();
    assert_eq!((ranges.len(), ranges[0].first, ranges[0].last, ranges[0].rows), (1, 0, 999, 1_000));
    let report = table.seal().unwrap().unwrap();
    assert_eq!((report.rows, report.files), (1, 1));
}

#[test]
fn a_dimension_may_be_a_list() {
    let tags = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let fields = vec![time_field(), Field::new("tags", DataType::List(tags), true)];
    let mut spec = TableSpec::new("tagged", "t", Arc::new(Schema::new(fields)));
    spec.rollup = Some(Rollup {
        by: RollupBy::Hour,
        dimensions: vec!["tags".into()],
        metrics: vec![metric("rows", Aggregate::Count, None)],
    });
    let world = World::new();
    let table = world.try_open(spec).unwrap();
    let columns = Arc::clone(&table.spec().columns);
    for step in 0..3 {
        let mut lists = ListBuilder::new(StringBuilder::new());
        for list in
            [Some(vec!["a", "b"]), Some(vec!["b"]), None, Some(vec![]), Some(vec!["a", "b"])]
        {
            lists.append_option(list.map(|list| list.into_iter().map(Some)));
        }
        let times = TimestampMicrosecondArray::from_iter_values(0..5).with_timezone("UTC");
        let arrays: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(lists.finish())];
        let (from, next) = (step * 5, step * 5 + 5);
        table
            .append(Rows {
                part: PartId(7),
                partition: 0,
                from,
                next,
                rows: Some(RecordBatch::try_new(Arc::clone(&columns), arrays).unwrap()),
                offsets: (from..next).collect(),
                fates: Fates { read: 5, used: 5, out: 5, ..Fates::default() },
                dead: Vec::new(),
            })
            .unwrap();
    }
    table.seal().unwrap();
    let all = batches(&table.snapshot());
    let mut counts: Vec<i64> =
        all[0].column_by_name("rows").unwrap().as_primitive::<Int64Type>().values().to_vec();
    counts.sort_unstable();
    assert_eq!(counts, [3, 3, 3, 6]);
}

#[test]
fn a_definition_that_cannot_be_says_why() {
    let world = World::new();
    let refused = |change: &dyn Fn(&mut Rollup)| {
        let mut spec = spec();
        change(spec.rollup.as_mut().unwrap());
        world.try_open(spec).unwrap_err().to_string()
    };
    let text = refused(&|rollup| rollup.dimensions.push("town".into()));
    assert!(text.contains("no column for the dimension `town`"), "{text}");
    let text = refused(&|rollup| rollup.metrics.push(metric("city", Aggregate::Count, None)));
    assert!(text.contains("the column `city` is there twice"), "{text}");
    let text = refused(&|rollup| rollup.metrics.push(metric("new", Aggregate::Max, Some("x"))));
    assert!(text.contains("no column with the values of the metric `new`"), "{text}");
    let text = refused(&|rollup| {
        rollup.dimensions.clear();
        rollup.metrics.push(metric("city", Aggregate::Sum, Some("city")));
    });
    assert!(text.contains("sum cannot take a value of type"), "{text}");
}

#[test]
fn times_are_rounded_as_druid_rounds_them() {
    use yeoul_table::Granularity::{Day, Month};
    // 2026-11-18T17:44:41.5Z, a Wednesday.
    let us = 1_795_023_881_500_000;
    let day = 1_794_960_000_000_000;
    let expected = [
        ("none", us),
        ("second", us - 500_000),
        ("PT1M", day + (17 * 60 + 44) * MINUTE_US),
        ("fifteen_minute", day + (17 * 60 + 30) * MINUTE_US),
        ("HOUR", day + 17 * 60 * MINUTE_US),
        ("six_hour", day + 12 * 60 * MINUTE_US),
        ("day", day),
        ("week", day - 2 * 24 * 60 * MINUTE_US),
        ("month", day - 17 * 24 * 60 * MINUTE_US),
        ("quarter", day - 48 * 24 * 60 * MINUTE_US),
        ("P1Y", day - 321 * 24 * 60 * MINUTE_US),
        ("all", day),
    ];
    for (name, floored) in expected {
        let by: RollupBy = name.parse().unwrap();
        assert_eq!(by.floor(us, Day), floored, "{name}");
        assert_eq!(by.floor(floored, Day), floored, "{name} twice");
    }
    assert_eq!(RollupBy::All.floor(us, Month), day - 17 * 24 * 60 * MINUTE_US);
    assert!("fortnight".parse::<RollupBy>().is_err());
}

/// What rolling up costs: `cargo test -p yeoul-table --test it -- --ignored --nocapture cost`.
#[test]
#[ignore = "measures"]
#[allow(clippy::print_stdout, reason = "measures")]
fn cost_of_rollup() {
    let cpu = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
    };
    for metrics in [1, 3, 9] {
        let mut spec = spec();
        spec.limits.rows = usize::MAX;
        let rollup = spec.rollup.as_mut().unwrap();
        rollup.metrics.truncate(metrics);
        let mut fields = vec![time_field(), Field::new("city", DataType::Utf8, true)];
        let inputs = rollup.metrics.iter().filter(|metric| metric.input.is_some());
        fields.extend(inputs.map(|metric| Field::new(&metric.name, DataType::Int64, true)));
        spec.columns = Arc::new(Schema::new(fields));
        let world = World::new();
        let table = world.try_open(spec).unwrap();
        let columns = Arc::clone(&table.spec().columns);
        let cities = ["서울", "부산", "대구", "인천", "광주", "대전", "울산", "세종"];
        let (mut took, batch, batches) = (0.0, 8_192_i64, 60);
        for step in 0..batches {
            let row = |offset: i64| Row {
                us: offset * 10_000,
                city: cities.get((offset * 7 % 8) as usize).copied(),
                n: Some(offset * 31 % 1_000),
                partition: 0,
                offset,
            };
            let rows: Vec<Row> = (step * batch..(step + 1) * batch).map(row).collect();
            let rows: Vec<&Row> = rows.iter().collect();
            let before = cpu();
            append(&table, &columns, &rows);
            took += cpu() - before;
        }
        let rate = (batch * batches) as f64 / took / 1e6;
        let left = table.snapshot().rows();
        println!("{metrics} metrics: {rate:.2} M rows per CPU-second, {left} rows left");
    }
}
