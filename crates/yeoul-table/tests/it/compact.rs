//! Compaction: fewer files, the same rows, and nobody who waits or sees half of it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use yeoul_table::{Granularity, OFFSET, Segment, TIME, Table, TableError, TableSpec};

use super::{DAY_US, PART, World, columns, offsets, rows};

const NEVER: &dyn Fn() -> bool = &|| false;

/// `count` files of `each` rows.
fn sealed(table: &Table, count: i64, each: i64) {
    for _ in 0..count {
        let from = table.next_offset(PART).unwrap_or(0);
        table.append(rows(from, from + each)).unwrap();
        table.seal().unwrap();
    }
}

fn batches(segment: &Segment) -> Vec<RecordBatch> {
    let file = segment.open().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

#[test]
fn small_files_become_one_and_an_old_snapshot_keeps_its_own() {
    let world = World::new();
    let table = world.open();
    sealed(&table, 7, 100);
    assert!(!table.compaction_due());
    assert_eq!(table.compact(NEVER).unwrap(), None, "seven are not worth it");
    sealed(&table, 3, 100);
    let before = table.snapshot();
    let generation = table.generation();
    assert!(table.compaction_due());
    let report = table.compact(NEVER).unwrap().unwrap();
    assert_eq!((report.files_in, report.files_out), (10, 1));
    assert_eq!((report.rows_in, report.rows_out), (1000, 1000));
    assert!(!table.compaction_due());
    assert_eq!(table.generation(), generation, "no answer changed");

    assert_eq!(world.files().len(), 11, "files that a snapshot pins stay");
    assert_eq!(offsets(&before), (0..1000).collect::<Vec<_>>());
    drop(before);
    assert_eq!(world.files().len(), 1);
    assert_eq!(offsets(&table.snapshot()), (0..1000).collect::<Vec<_>>());
    assert_eq!(table.fates().used, 1000);

    drop(table);
    let table = world.open();
    assert_eq!(offsets(&table.snapshot()), (0..1000).collect::<Vec<_>>());
    assert_eq!(table.next_offset(PART), Some(1000));
}

#[test]
fn the_merged_file_is_what_one_seal_of_all_rows_would_have_been() {
    let orders = [true, false].map(|at_once| {
        let world = World::new();
        let table = world.open();
        if at_once {
            table.append(rows(0, 20_000)).unwrap();
            table.seal().unwrap();
        } else {
            sealed(&table, 20, 1000);
            table.compact(NEVER).unwrap().unwrap();
        }
        let snapshot = table.snapshot();
        assert_eq!(snapshot.segments.len(), 1);
        let segment = &snapshot.segments[0];
        let group = segment.footer().unwrap().row_group(0).clone();
        let level = if at_once { 1 } else { 3 };
        let zstd = Compression::ZSTD(ZstdLevel::try_new(level).unwrap());
        // A file only knows that it is zstd; the level shows in its size at most.
        assert_eq!(
            std::mem::discriminant(&group.column(0).compression()),
            std::mem::discriminant(&zstd)
        );
        let column = |batch: &RecordBatch| {
            let offsets = batch.column_by_name(OFFSET).unwrap().as_primitive::<Int64Type>();
            offsets.values().to_vec()
        };
        batches(segment).iter().flat_map(column).collect::<Vec<_>>()
    });
    assert_eq!(orders[0], orders[1]);
}

#[test]
fn a_merge_is_cut_where_intervals_are_large() {
    let world = World::new();
    let mut spec = TableSpec::new("films", "korean_movies", columns());
    spec.granularity = Granularity::Year;
    spec.compact.cut_rows_min = 5_000;
    let table = world.try_open(spec).unwrap();
    // Each seal holds all of three years: every third hour, and so on.
    for turn in 0..12 {
        let mut input = rows(turn * 2_190, (turn + 1) * 2_190);
        let batch = input.rows.take().unwrap();
        let times = (0..2_190).map(|row| Some((row * 12 + turn) * DAY_US / 24));
        let times: arrow::array::TimestampMicrosecondArray = times.collect();
        let mut columns = batch.columns().to_vec();
        columns[0] = Arc::new(times.with_timezone("UTC"));
        input.rows = Some(RecordBatch::try_new(batch.schema(), columns).unwrap());
        table.append(input).unwrap();
        table.seal().unwrap();
    }
    let report = table.compact(NEVER).unwrap().unwrap();
    assert_eq!((report.files_in, report.files_out), (12, 3));
    for segment in table.snapshot().segments.iter() {
        let year = |us| Granularity::Year.interval(us);
        assert_eq!(year(segment.meta.min_us), year(segment.meta.max_us));
        for batch in batches(segment) {
            let times = batch.column_by_name(TIME).unwrap();
            let times = times.as_primitive::<TimestampMicrosecondType>().values();
            assert!(times.is_sorted_by_key(|time| time.div_euclid(DAY_US / 24)));
        }
    }
    assert_eq!(offsets(&table.snapshot()).len(), 12 * 2_190);
}

#[test]
fn rows_are_appended_sealed_and_queried_while_it_runs() {
    let world = World::new();
    let table = world.open();
    sealed(&table, 8, 5_000);
    let turns = Cell::new(0);
    let report = table.compact(&|| {
        turns.set(turns.get() + 1);
        sealed(&table, 1, 10);
        let next = table.next_offset(PART).unwrap();
        assert_eq!(offsets(&table.snapshot()), (0..next).collect::<Vec<_>>());
        assert_eq!(table.compact(NEVER).unwrap(), None, "one at a time");
        false
    });
    assert_eq!(report.unwrap().unwrap().files_in, 8);
    assert!(turns.get() > 2);
    let next = table.next_offset(PART).unwrap();
    assert_eq!(offsets(&table.snapshot()), (0..next).collect::<Vec<_>>());
    assert_eq!(table.snapshot().segments.len(), 1 + turns.get());
    drop(table);
    assert_eq!(offsets(&world.open().snapshot()), (0..next).collect::<Vec<_>>());
}

#[test]
fn stopped_it_leaves_nothing() {
    let world = World::new();
    let table = world.open();
    sealed(&table, 8, 5_000);
    let turns = Cell::new(0);
    let stop = || {
        turns.set(turns.get() + 1);
        turns.get() > 3
    };
    assert_eq!(table.compact(&stop).unwrap(), None);
    assert_eq!(world.files().len(), 8);
    assert_eq!(offsets(&table.snapshot()).len(), 40_000);
}

#[test]
fn a_drop_or_a_retention_meanwhile_wins() {
    for dropped in [true, false] {
        let world = World::new();
        let table = world.open();
        sealed(&table, 8, 5_000);
        let done = table.compact(&|| {
            if dropped {
                let _ = table.drop_all();
            } else {
                world.clock.advance(Duration::from_secs(86_400 * 365));
                table.apply_retention().unwrap();
            }
            false
        });
        assert_eq!(done.unwrap(), None);
        assert_eq!(world.files().len(), table.snapshot().segments.len());
        drop(table);
        // What a restart finds is what was seen, and no file is left over.
        let table = world.open();
        assert_eq!(world.files().len(), table.snapshot().segments.len());
        assert_eq!(table.next_offset(PART).is_none(), dropped);
    }
}

#[test]
fn a_failure_leaves_the_old_files_and_is_made_good() {
    let world = World::new();
    let table = world.open();
    sealed(&table, 8, 100);
    // The second opener fences the first, whose compaction is refused after it has written.
    let second = world.open();
    assert!(matches!(table.compact(NEVER), Err(TableError::Store(_))));
    assert_eq!(offsets(&second.snapshot()), (0..800).collect::<Vec<_>>());
    drop((table, second));
    let table = world.open();
    assert_eq!(world.files().len(), 8, "what nobody names is gone");
    assert!(table.compact(NEVER).unwrap().is_some());
    assert_eq!(offsets(&table.snapshot()), (0..800).collect::<Vec<_>>());
}

#[test]
fn files_of_fewer_columns_get_nulls_and_files_of_other_types_stay() {
    let world = World::new();
    let table = world.try_open(TableSpec::new("films", "t", columns())).unwrap();
    sealed(&table, 8, 10);
    drop(table);
    let with = |name: &str, ty: DataType| {
        let mut fields = columns().fields().to_vec();
        fields.retain(|field| field.name() != name);
        fields.push(Arc::new(Field::new(name, ty, true)));
        TableSpec::new("films", "t", Arc::new(Schema::new(fields)))
    };
    // `n` as text: the old files cannot be merged as they are, and are not lost either.
    let table = world.try_open(with("n", DataType::Utf8)).unwrap();
    assert_eq!(table.compact(NEVER).unwrap(), None);
    assert_eq!(table.snapshot().segments.len(), 8);
    drop(table);
    let table = world.try_open(with("extra", DataType::Utf8)).unwrap();
    assert_eq!(table.compact(NEVER).unwrap().unwrap().files_out, 1);
    let snapshot = table.snapshot();
    let extra: usize = batches(&snapshot.segments[0])
        .iter()
        .map(|batch| batch.column_by_name("extra").unwrap().null_count())
        .sum();
    assert_eq!(extra, 80);
    assert_eq!(offsets(&snapshot), (0..80).collect::<Vec<_>>());
    drop((table, snapshot));
    // Back to the old columns: a column the table does not know is not thrown away.
    let table = world.try_open(TableSpec::new("films", "t", columns())).unwrap();
    sealed(&table, 8, 10);
    table.compact(NEVER).unwrap().unwrap();
    assert_eq!(offsets(&table.snapshot()), (0..160).collect::<Vec<_>>());
    assert_eq!(table.snapshot().segments.len(), 2);
}

#[test]
fn retention_by_bytes_keeps_the_newest_files() {
    let world = World::new();
    let mut spec = TableSpec::new("films", "t", columns());
    spec.retention_bytes = Some(50_000);
    let table = world.try_open(spec).unwrap();
    sealed(&table, 40, 100);
    let before = table.stats().bytes;
    assert!(before > 50_000, "{before}");
    assert!(table.apply_retention().unwrap() > 0);
    let after = table.stats().bytes;
    assert!((40_000..=50_000).contains(&after), "{after}");
    let kept = offsets(&table.snapshot());
    assert_eq!(kept, (kept[0]..4_000).collect::<Vec<_>>(), "the oldest go first");
    assert_eq!(table.apply_retention().unwrap(), 0);
}

#[test]
fn compaction_makes_a_rollup_perfect() {
    use yeoul_agg::Aggregate;
    use yeoul_table::{Metric, Rollup, RollupBy};

    let world = World::new();
    let mut spec = TableSpec::new("films", "t", columns());
    spec.rollup = Some(Rollup {
        by: RollupBy::Day,
        dimensions: vec!["grade".into()],
        metrics: vec![
            Metric { name: "rows".into(), aggregate: Aggregate::Count, input: None },
            Metric { name: "n".into(), aggregate: Aggregate::Sum, input: Some("n".into()) },
        ],
    });
    let table = world.try_open(spec).unwrap();
    // Four days of three grades, over and over.
    for turn in 0..9 {
        let mut input = rows(turn * 96, turn * 96 + 96);
        let batch = input.rows.take().unwrap();
        let mut columns = batch.columns().to_vec();
        columns[0] = rows(0, 96).rows.unwrap().column(0).clone();
        input.rows = Some(RecordBatch::try_new(batch.schema(), columns).unwrap());
        table.append(input).unwrap();
        table.seal().unwrap();
    }
    let totals = |table: &Table| {
        let (mut stored, mut count, mut sum) = (0, 0, 0);
        for segment in table.snapshot().segments.iter() {
            for batch in batches(segment) {
                stored += batch.num_rows();
                let add = |name: &str| -> i64 {
                    let column = batch.column_by_name(name).unwrap().as_primitive::<Int64Type>();
                    column.values().iter().sum()
                };
                count += add("rows");
                sum += add("n");
            }
        }
        (stored, count, sum)
    };
    assert_eq!(totals(&table), (9 * 12, 9 * 96, (0..864).sum::<i64>()));
    let generation = table.generation();
    let report = table.compact(NEVER).unwrap().unwrap();
    assert_eq!((report.files_out, report.rows_in, report.rows_out), (1, 9 * 12, 12));
    assert_eq!(totals(&table), (12, 9 * 96, (0..864).sum::<i64>()));
    assert!(table.generation() > generation, "a count of stored rows is another one");
}
