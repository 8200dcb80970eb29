//! What a table shows while it lives: rows at once, files after a seal, nothing after a drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use yeoul_base::{Fates, Wake};
use yeoul_table::{Granularity, TIME, TableError, TableSpec};

use super::{DAY_US, PART, World, columns, offsets, rows};

#[test]
fn rows_are_visible_when_appended_and_stay_through_a_seal_and_a_restart() {
    let world = World::new();
    let table = world.open();
    assert_eq!(table.next_offset(PART), None);
    for from in 0..100 {
        table.append(rows(from * 10, from * 10 + 10)).unwrap();
    }
    let before = table.snapshot();
    assert!(before.chunks.len() < 20, "small chunks are joined: {}", before.chunks.len());
    assert_eq!(offsets(&before), (0..1000).collect::<Vec<_>>());
    assert_eq!(table.committed_offset(PART), None);

    let report = table.seal().unwrap().unwrap();
    assert_eq!((report.rows, report.files), (1000, 1));
    assert_eq!(table.seal().unwrap(), None, "nothing is left to seal");
    let after = table.snapshot();
    assert!(after.chunks.is_empty());
    assert_eq!(offsets(&after), (0..1000).collect::<Vec<_>>());
    assert_eq!(offsets(&before).len(), 1000, "an old snapshot goes on as it was");

    drop(table);
    let table = world.open();
    assert_eq!(table.next_offset(PART), Some(1000));
    assert_eq!(offsets(&table.snapshot()), (0..1000).collect::<Vec<_>>());
    let stats = table.stats();
    assert_eq!((stats.rows, stats.hot_rows, stats.segments), (1000, 0, 1));
    assert_eq!((stats.min_us, stats.max_us), (Some(0), Some(999 * DAY_US / 24)));
    assert_eq!(stats.fates, Fates { read: 1000, used: 1000, out: 1000, ..Fates::default() });
}

#[test]
fn records_the_table_has_are_refused() {
    let world = World::new();
    let table = world.open();
    table.append(rows(0, 10)).unwrap();
    assert!(matches!(table.append(rows(5, 15)), Err(TableError::OutOfOrder { .. })));
    table.seal().unwrap();
    assert!(matches!(table.append(rows(9, 15)), Err(TableError::OutOfOrder { .. })));
    // The log lost 10..20 to its retention: a gap is the reader's to report.
    table.append(rows(20, 30)).unwrap();
    assert_eq!(table.next_offset(PART), Some(30));
    assert_eq!(table.committed_offset(PART), Some(10));
}

#[test]
fn limits_say_when_a_seal_is_due() {
    let world = World::new();
    let table = world.open();
    assert!(!table.seal_due());
    table.append(rows(0, 10)).unwrap();
    assert!(!table.seal_due());
    world.clock.advance(Duration::from_secs(61));
    assert!(table.seal_due());
    table.seal().unwrap();
    assert!(!table.seal_due());
}

#[test]
fn records_without_rows_move_the_position_with_the_next_seal() {
    let world = World::new();
    let table = world.open();
    let mut input = rows(0, 10);
    input.rows = None;
    input.offsets.clear();
    input.fates = Fates { read: 10, filtered: 10, ..Fates::default() };
    table.append(input).unwrap();
    let report = table.seal().unwrap().unwrap();
    assert_eq!((report.rows, report.files), (0, 0));
    drop(table);
    let table = world.open();
    assert_eq!(table.next_offset(PART), Some(10));
    assert_eq!(table.fates().filtered, 10);
}

#[test]
fn files_are_cut_only_where_both_sides_are_large() {
    let world = World::new();
    let mut spec = TableSpec::new("films", "korean_movies", columns());
    spec.granularity = Granularity::Year;
    let table = world.try_open(spec).unwrap();
    // An hour a row: 8,760 rows a year, so a file spans years until it has 65,536 rows.
    table.append(rows(0, 150_000)).unwrap();
    let report = table.seal().unwrap().unwrap();
    assert_eq!(report.files, 2);
    let snapshot = table.snapshot();
    for segment in snapshot.segments.iter() {
        assert!(segment.meta.rows >= 65_536);
        assert_eq!(segment.footer().unwrap().file_metadata().num_rows(), segment.meta.rows as i64);
    }
    assert_eq!(offsets(&snapshot).len(), 150_000);
}

#[test]
fn retention_drops_whole_files_and_hides_older_rows_meanwhile() {
    let world = World::new();
    let table = world.open();
    table.append(rows(0, 24)).unwrap();
    table.seal().unwrap();
    table.append(rows(24, 24 * 40)).unwrap();
    table.seal().unwrap();
    assert_eq!(table.apply_retention().unwrap(), 0);
    let pinned = table.snapshot();
    world.clock.advance(Duration::from_secs(367 * 86_400));
    assert_eq!(table.apply_retention().unwrap(), 1);
    let snapshot = table.snapshot();
    assert_eq!(offsets(&snapshot).first(), Some(&24));
    assert_eq!(snapshot.from_us, Some(2 * DAY_US + 1_000_000));
    assert_eq!(world.files().len(), 2, "a pinned file stays");
    assert_eq!(offsets(&pinned).first(), Some(&0));
    drop(pinned);
    assert_eq!(world.files().len(), 1);
}

#[test]
fn a_dropped_table_leaves_nothing() {
    let world = World::new();
    let table = world.open();
    table.append(rows(0, 24)).unwrap();
    table.seal().unwrap();
    table.drop_all().unwrap();
    assert!(matches!(table.append(rows(24, 25)), Err(TableError::Dropped(_))));
    assert!(matches!(table.seal(), Err(TableError::Dropped(_))));
    assert_eq!(world.files().len(), 0);
    drop(table);
    assert_eq!(world.open().next_offset(PART), None);
}

#[test]
fn a_change_wakes_who_watches_until_the_guard_goes() {
    let world = World::new();
    let table = world.open();
    let woken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&woken);
    let wake: Arc<dyn Wake> = Arc::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let guard = table.watch(wake);
    let before = table.generation();
    table.append(rows(0, 24)).unwrap();
    assert_eq!(woken.load(Ordering::SeqCst), 1);
    assert!(table.generation() > before);
    drop(guard);
    table.append(rows(24, 25)).unwrap();
    assert_eq!(woken.load(Ordering::SeqCst), 1);
}

#[test]
fn a_wrong_definition_is_refused_with_its_reason() {
    let world = World::new();
    let mut spec = TableSpec::new("films", "korean_movies", columns());
    spec.sort_by = vec!["genre".into()];
    let error = world.try_open(spec).unwrap_err().to_string();
    assert!(error.contains("no such column"), "{error}");
    let without_time = columns().project(&[1, 2]).unwrap();
    let spec = TableSpec::new("films", "korean_movies", Arc::new(without_time));
    assert!(world.try_open(spec).unwrap_err().to_string().contains(TIME));
}
