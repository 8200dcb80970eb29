//! Rows in the order of users, over thousands of days each: tens of files, not thousands, and
//! each file a part of the time.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use yeoul_base::{Fates, Rand, SeededRand};
use yeoul_table::{Rows, Table, TableSpec, time_field};

use super::{DAY_US, PART, World, offsets};

fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        time_field(),
        Field::new("user", DataType::Int64, true),
        Field::new("movie", DataType::Int64, true),
        Field::new("rate", DataType::Int64, true),
    ]))
}

/// (time in µs, user, movie, rate)
type Rate = (i64, i64, i64, i64);

fn append(table: &Table, from: i64, rates: &[Rate]) {
    let next = from + rates.len() as i64;
    let times = TimestampMicrosecondArray::from_iter_values(rates.iter().map(|rate| rate.0));
    let ints = |pick: fn(&Rate) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rates.iter().map(pick)))
    };
    let arrays = vec![
        Arc::new(times.with_timezone("UTC")) as ArrayRef,
        ints(|r| r.1),
        ints(|r| r.2),
        ints(|r| r.3),
    ];
    let read = rates.len() as u64;
    let input = Rows {
        part: PART,
        partition: 0,
        from,
        next,
        rows: Some(RecordBatch::try_new(columns(), arrays).unwrap()),
        offsets: (from..next).collect(),
        fates: Fates { read, used: read, out: read, ..Fates::default() },
        dead: Vec::new(),
    };
    table.append(input).unwrap();
}

/// Files and bytes before compaction and after it.
fn load(rates: &[Rate], seal_rows: usize) -> [(usize, u64); 2] {
    let world = World::new();
    let mut spec = TableSpec::new("films", "rates", columns());
    spec.compact.cut_rows_min = 8_192;
    let table = world.try_open(spec).unwrap();
    let mut written = 0;
    for (turn, some) in rates.chunks(seal_rows).enumerate() {
        append(&table, (turn * seal_rows) as i64, some);
        table.seal().unwrap();
    }
    let figures = |table: &Table| {
        let stats = table.stats();
        (stats.segments as usize, stats.bytes)
    };
    let before = figures(&table);
    while let Some(report) = table.compact(&|| false).unwrap() {
        written += report.rows_out;
    }
    let after = figures(&table);
    let amplification = written as f64 / rates.len() as f64;
    assert!(amplification <= 4.0, "each row was written {amplification} times more");
    assert_eq!(offsets(&table.snapshot()), (0..rates.len() as i64).collect::<Vec<_>>());
    assert_eq!(world.files().len(), after.0);
    let (first, last) = (table.stats().min_us.unwrap(), table.stats().max_us.unwrap());
    let month = 30 * DAY_US;
    let opened: Vec<_> = (0..12)
        .map(|part| first + (last - first) / 12 * part)
        .map(|from| table.snapshot().segments.overlapping(from, from + month).count())
        .collect();
    assert!(
        opened.iter().sum::<usize>() < 12 * after.0,
        "some month is not in all files: {opened:?} of {}",
        after.0
    );
    println!(
        "{before:?} → {after:?} files and bytes, {amplification:.2} times written, {opened:?}"
    );
    [before, after]
}

#[test]
fn thousands_of_days_in_the_order_of_users_make_tens_of_files() {
    let rand = SeededRand::new(16);
    let mut rates = Vec::new();
    for user in 0..1_500 {
        for _ in 0..=rand.below(80) {
            let day = rand.below(5_867) as i64;
            let time = day * DAY_US + rand.below(86_400) as i64 * 1_000_000;
            rates.push((time, user, rand.below(2_000) as i64, rand.below(10) as i64));
        }
    }
    let [before, after] = load(&rates, 500);
    assert!(before.0 > 100, "{before:?}");
    assert!(after.0 < 40, "{after:?}");
    assert!(after.1 < before.1, "{before:?} {after:?}");
    // As it comes in practice: few seals, few files at once.
    let [at_once, _] = load(&rates, 1_000_000);
    assert!(at_once.0 < 20, "{at_once:?}");
}

#[test]
fn the_real_rates_make_tens_of_files() {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/psyoblade-movies/rates.csv.gz");
    let Ok(bytes) = std::fs::read(PathBuf::from(file)) else {
        println!("skipped: no {file}");
        return;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    let rates: Vec<Rate> = text
        .lines()
        .skip(1)
        .map(|line| {
            let mut fields = line.split(',').map(|field| field.parse::<i64>().unwrap());
            let mut next = || fields.next().unwrap();
            let (user, movie, rate, time) = (next(), next(), next(), next());
            (time * 1_000_000, user, movie, rate)
        })
        .collect();
    assert_eq!(rates.len(), 140_710);
    let [before, after] = load(&rates, 1_000);
    assert!(before.0 >= 141 && after.0 < 40, "{before:?} {after:?}");
}
