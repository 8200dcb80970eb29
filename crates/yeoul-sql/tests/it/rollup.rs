//! The same question over raw and over rolled-up rows has the same answer.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use tokio::runtime::Runtime;
use yeoul_agg::Aggregate;
use yeoul_base::{Fates, ManualClock, MemStore, PartId, RealDisk};
use yeoul_sql::encode::{Rows as Encoded, Style};
use yeoul_sql::{Catalog, Engine, EngineOptions, QueryOptions};
use yeoul_table::{Metric, Rollup, RollupBy, Rows, Table, TableSpec, time_field};

use super::{START_US, runtime};

const ROWS: i64 = 3_000;
const CITIES: [Option<&str>; 3] = [Some("서울"), Some("부산"), None];

struct Data {
    city: ArrayRef,
    user: ArrayRef,
    n: ArrayRef,
    load: ArrayRef,
}

/// Rows of some offsets: every 7 s one, three in a row of the same time.
fn data(offsets: &[i64]) -> Data {
    let mixed = |offset: i64| offset.wrapping_mul(2_654_435_761).rem_euclid(1_000);
    let n = |offset: &i64| (mixed(*offset) % 10 != 0).then(|| mixed(*offset) - 500);
    Data {
        city: Arc::new(
            offsets.iter().map(|o| CITIES[(mixed(*o) % 3) as usize]).collect::<StringArray>(),
        ),
        user: Arc::new(
            offsets.iter().map(|o| Some(format!("u{}", mixed(*o)))).collect::<StringArray>(),
        ),
        n: Arc::new(offsets.iter().map(n).collect::<Int64Array>()),
        // Quarters: their sums are exact in any order.
        load: Arc::new(
            offsets.iter().map(|o| Some(mixed(*o) as f64 / 4.0)).collect::<Float64Array>(),
        ),
    }
}

fn rows(table: &Table, offsets: Vec<i64>, columns: Vec<ArrayRef>) -> Rows {
    let times = offsets.iter().map(|offset| START_US + offset / 3 * 21_000_000);
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(times)];
    arrays.extend(columns);
    let count = offsets.len() as u64;
    Rows {
        part: PartId(0),
        partition: 0,
        from: offsets[0],
        next: offsets[offsets.len() - 1] + 1,
        rows: Some(RecordBatch::try_new(Arc::clone(&table.spec().columns), arrays).unwrap()),
        offsets,
        fates: Fates { read: count, used: count, out: count, ..Fates::default() },
        dead: Vec::new(),
    }
}

fn specs() -> (TableSpec, TableSpec) {
    let field = |name: &str, of: DataType| Field::new(name, of, true);
    let raw = Schema::new(vec![
        time_field(),
        field("city", DataType::Utf8),
        field("user", DataType::Utf8),
        field("n", DataType::Int64),
        field("load", DataType::Float64),
    ]);
    let metrics = [
        ("rows", Aggregate::Count, None),
        ("n_sum", Aggregate::Sum, Some("n")),
        ("n_min", Aggregate::Min, Some("n")),
        ("n_max", Aggregate::Max, Some("n")),
        ("n_first", Aggregate::First, Some("n")),
        ("n_last", Aggregate::Last, Some("n")),
        ("load_sum", Aggregate::Sum, Some("load")),
        ("loads", Aggregate::Quantiles { k: 128 }, Some("load")),
        ("users", Aggregate::Hll { lg_k: 12 }, Some("user")),
        ("users_theta", Aggregate::Theta { lg_k: 14 }, Some("user")),
        ("user_last", Aggregate::Last, Some("user")),
    ];
    let mut fields = vec![time_field(), field("city", DataType::Utf8)];
    for (name, _, input) in metrics {
        if let Some(input) = input {
            fields.push(field(name, raw.field_with_name(input).unwrap().data_type().clone()));
        }
    }
    let metric = |(name, aggregate, input): (&str, Aggregate, Option<&str>)| Metric {
        name: name.to_owned(),
        aggregate,
        input: input.map(str::to_owned),
    };
    let mut rolled = TableSpec::new("rolled", "t", Arc::new(Schema::new(fields)));
    rolled.rollup = Some(Rollup {
        by: RollupBy::FiveMinutes,
        dimensions: vec!["city".into()],
        metrics: metrics.map(metric).into(),
    });
    (TableSpec::new("raw", "t", Arc::new(raw)), rolled)
}

struct Two {
    runtime: Runtime,
    engine: Arc<Engine>,
    rolled: Arc<Table>,
    _folder: tempfile::TempDir,
}

impl Two {
    /// Both tables with the same rows: some sealed, some in memory, in batches of many sizes.
    fn new() -> Self {
        let runtime = runtime();
        let store = MemStore::new();
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
        let clock = Arc::new(ManualClock::at_ms(START_US / 1_000));
        let catalog = Arc::new(Catalog::new(Arc::new(store.clone())));
        let (raw, rolled) = specs();
        let open = |spec| {
            let table = Table::open(Arc::new(store.clone()), disk.clone(), clock.clone(), spec);
            let table = Arc::new(table.unwrap());
            catalog.put_table(Arc::clone(&table));
            table
        };
        let (raw, rolled) = (open(raw), open(rolled));
        let mut from = 0;
        for step in 0_i64.. {
            if from >= ROWS {
                break;
            }
            let next = (from + 1 + step * 37 % 300).min(ROWS);
            let offsets: Vec<i64> = (from..next).collect();
            let of = data(&offsets);
            let columns = [&of.city, &of.user, &of.n, &of.load].map(Arc::clone);
            raw.append(rows(&raw, offsets.clone(), columns.into())).unwrap();
            let columns = [
                &of.city, &of.n, &of.n, &of.n, &of.n, &of.n, &of.load, &of.load, &of.user,
                &of.user, &of.user,
            ];
            rolled.append(rows(&rolled, offsets, columns.map(Arc::clone).into())).unwrap();
            if step % 5 == 4 {
                raw.seal().unwrap();
                rolled.seal().unwrap();
            }
            from = next;
        }
        let engine = Engine::new(catalog, EngineOptions::new(runtime.handle().clone())).unwrap();
        Self { runtime, engine: Arc::new(engine), rolled, _folder: folder }
    }

    fn answer(&self, sql: &str) -> Vec<String> {
        let options = QueryOptions::default();
        let query = self.engine.query(sql, &options);
        let output = self.runtime.block_on(query).unwrap_or_else(|error| panic!("{sql}\n{error}"));
        let mut lines = Vec::new();
        for batch in &output.batches {
            let rows = Encoded::new(batch, Style::default()).unwrap();
            for row in 0..rows.len() {
                let mut line = String::new();
                rows.csv(row, &mut line);
                lines.push(line);
            }
        }
        lines.sort();
        lines
    }
}

#[test]
fn raw_and_rolled_up_answer_alike() {
    let two = Two::new();
    assert!(two.rolled.snapshot().rows() < ROWS as u64 / 5, "{}", two.rolled.snapshot().rows());
    let pairs = [
        ("COUNT(*)", "SUM(\"rows\")"),
        ("SUM(n)", "SUM(n_sum)"),
        ("MIN(n)", "MIN(n_min)"),
        ("MAX(n)", "MAX(n_max)"),
        ("SUM(load)", "SUM(load_sum)"),
        ("APPROX_COUNT_DISTINCT(\"user\")", "APPROX_COUNT_DISTINCT(users)"),
        ("APPROX_COUNT_DISTINCT_DS_HLL(\"user\")", "HLL_SKETCH_ESTIMATE(DS_HLL(users), true)"),
        ("APPROX_COUNT_DISTINCT_DS_THETA(\"user\")", "APPROX_COUNT_DISTINCT_DS_THETA(users_theta)"),
        ("LATEST(n)", "LATEST(n_last)"),
        ("EARLIEST(n)", "EARLIEST(n_first)"),
        ("LATEST(\"user\")", "LATEST(user_last)"),
        // No difference in the first 25 minutes: few enough values to be exact.
        (
            "APPROX_QUANTILE_DS(load, 0.9) FILTER (WHERE __time < '2026-11-20T22:25:00Z')",
            "APPROX_QUANTILE_DS(loads, 0.9) FILTER (WHERE __time < '2026-11-20T22:25:00Z')",
        ),
    ];
    let shapes = [
        ("", ""),
        ("city, ", " GROUP BY city"),
        ("TIME_FLOOR(__time, 'PT1H') AS t, ", " GROUP BY 1"),
        ("TIME_FLOOR(__time, 'PT5M') AS t, city, ", " GROUP BY 1, 2"),
        ("TIME_FLOOR(__time, 'P1D') AS t, ", " WHERE city = '서울' GROUP BY 1"),
    ];
    for (keys, rest) in shapes {
        for (raw, rolled) in pairs {
            let raw = two.answer(&format!("SELECT {keys}{raw} AS v FROM raw{rest}"));
            let rolled = two.answer(&format!("SELECT {keys}{rolled} AS v FROM rolled{rest}"));
            // Doubles that count distinct values are whole numbers.
            let rolled: Vec<String> =
                rolled.iter().map(|line| line.trim_end_matches(".0").to_owned()).collect();
            let raw: Vec<String> =
                raw.iter().map(|line| line.trim_end_matches(".0").to_owned()).collect();
            assert!(!raw.is_empty());
            assert_eq!(raw, rolled, "{keys} {rest}");
        }
    }
}

#[test]
fn quantiles_over_states_stay_within_their_error() {
    let two = Two::new();
    let exact = two.answer("SELECT load FROM raw ORDER BY load LIMIT 3000");
    let mut exact: Vec<f64> = exact.iter().map(|line| line.parse().unwrap()).collect();
    exact.sort_unstable_by(f64::total_cmp);
    for rank in [0.05, 0.5, 0.95] {
        let found = two.answer(&format!("SELECT APPROX_QUANTILE_DS(loads, {rank}) FROM rolled"));
        let found: f64 = found[0].parse().unwrap();
        let at = exact.partition_point(|value| *value <= found) as f64 / exact.len() as f64;
        assert!((at - rank).abs() < 0.04, "{rank}: {at}");
    }
}

#[test]
fn the_ranges_of_offsets_are_seen_only_when_asked_for() {
    let two = Two::new();
    let options = QueryOptions::default();
    let query = two.engine.query("SELECT * FROM rolled LIMIT 1", &options);
    let output = two.runtime.block_on(query).unwrap();
    let names: Vec<_> = output.schema.fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names[..4], ["__time", "city", "rows", "n_sum"]);
    assert!(!names.iter().any(|name| name.starts_with('_') && name != "__time"), "{names:?}");
    let ranges = two.answer("SELECT COUNT(\"_offsets\") - COUNT(*) AS n FROM rolled");
    assert_eq!(ranges, ["0"]);
    assert!(two.rolled.stats().segments > 1);
}
