//! A feeder over a simulated store and a real folder: visible at once, sealed exactly once.

use yeoul_base::{Commit, FactKind, ManualClock, MemStore, NewTopic, RealDisk};
use yeoul_format::{Columns, Origin};

use super::*;

struct Node {
    store: MemStore,
    disk: Arc<dyn Disk>,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

impl Node {
    fn new(ddl: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
        let clock = Arc::new(ManualClock::at_ms(1_700_000_000_000));
        let store = MemStore::new();
        let new = NewTopic { name: "movies".into(), partitions: 2, config: Default::default() };
        store.create_topic(new).unwrap();
        let schema = Schema::new(Columns::parse(ddl).unwrap().into_vec(), Origin::Declared);
        let facts = vec![schema.fact("movies")];
        store.commit(Commit { facts, ..Commit::default() }).unwrap();
        Self { store, disk, clock, _folder: folder }
    }

    fn feeder(&self, spec: TableIngest) -> Feeder {
        let context = TableContext {
            store: Arc::new(self.store.clone()),
            disk: Arc::clone(&self.disk),
            clock: self.clock.clone(),
            opened: Arc::new(|_| {}),
        };
        Feeder::new(spec, context, Arc::default()).with_limits(3, 1_000)
    }

    fn put(&self, records: &[&str]) {
        let topic = self.store.topics().get("movies").cloned().unwrap();
        for (at, value) in records.iter().enumerate() {
            let mut batch = BatchBuilder::new(Codec::None);
            batch.push(1_658_042_294_000, None, Some(value.as_bytes()), &[]);
            let part = topic.partitions[at % 2];
            let appends = vec![Append { part, batch: batch.finish().unwrap() }];
            self.store.commit(Commit { appends, ..Commit::default() }).unwrap();
        }
    }

    fn letters(&self) -> i64 {
        let topics = self.store.topics();
        let Some(topic) = topics.get("dead.table.films") else { return 0 };
        self.store.ends(topic.partitions[0]).unwrap().high
    }
}

fn to_end(feeder: &mut Feeder) {
    for _ in 0..1_000 {
        match feeder.step() {
            Step::Worked => {}
            Step::Idle => return,
            other => panic!("{other:?}"),
        }
    }
    panic!("never idle");
}

fn spec(column: Option<&str>) -> TableIngest {
    TableIngest {
        time: column.map(TimeColumn::new),
        timezone: chrono_tz::Asia::Seoul,
        ..TableIngest::new("films", "movies")
    }
}

/// Times (µs) and rows of what is in memory.
fn hot(feeder: &Feeder) -> Vec<(i64, i64)> {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
    let snapshot = feeder.table().unwrap().snapshot();
    let mut rows = Vec::new();
    for chunk in &snapshot.chunks {
        let times = chunk.batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let ids = chunk.batch.column_by_name("id").unwrap().as_primitive::<Int64Type>();
        rows.extend(times.values().iter().copied().zip(ids.values().iter().copied()));
    }
    rows.sort_unstable();
    rows
}

#[test]
fn rows_are_visible_at_once_and_sealed_with_their_letters_exactly_once() {
    let node = Node::new("id INT, at STRING");
    let mut feeder = node.feeder(spec(Some("at")));
    node.put(&[
        r#"{"id":1,"at":"2022-07-17 16:18:14"}"#,
        r#"{"id":2,"at":"soon"}"#,
        r#"{"id":3,"at":"1658042295"}"#,
        r#"{"id":"x","at":"2022-07-17"}"#,
        r#"{"id":5}"#,
        r#"{"id":6,"at":"2022-07-17T07:18:16Z"}"#,
    ]);
    to_end(&mut feeder);
    let base = 1_658_042_294_000_000;
    let expected = [(base, 1), (base + 1_000_000, 3), (base + 2_000_000, 6)];
    assert_eq!(hot(&feeder), expected);
    assert_eq!(node.letters(), 0, "letters wait for the seal");
    // The process stops without a seal: everything is read again.
    drop(feeder);
    let mut feeder = node.feeder(spec(Some("at")));
    to_end(&mut feeder);
    assert_eq!(hot(&feeder), expected);
    node.clock.advance(Duration::from_secs(61));
    to_end(&mut feeder);
    assert_eq!(hot(&feeder), [], "all is sealed");
    assert_eq!(node.letters(), 3);
    drop(feeder);
    let mut feeder = node.feeder(spec(Some("at")));
    to_end(&mut feeder);
    node.put(&[r#"{"id":7,"at":"2022-07-17T07:18:17Z"}"#]);
    to_end(&mut feeder);
    assert_eq!(hot(&feeder), [(base + 3_000_000, 7)]);
    assert_eq!(node.letters(), 3);
    assert_eq!(feeder.table().unwrap().snapshot().rows(), 4);
    node.clock.advance(Duration::from_secs(61));
    to_end(&mut feeder);
    let fates = node.store.fact(FactKind::Fates, b"table/films").unwrap();
    let fates = Fates::decode(&fates).unwrap();
    assert_eq!((fates.read, fates.used, fates.dead), (7, 4, 3));
}

#[test]
fn without_a_time_column_the_records_timestamp_is_the_time() {
    let node = Node::new("id INT");
    let mut feeder = node.feeder(spec(None));
    node.put(&[r#"{"id":1}"#]);
    to_end(&mut feeder);
    assert_eq!(hot(&feeder), [(1_658_042_294_000_000, 1)]);
}

#[test]
fn a_time_column_that_is_not_there_says_so() {
    let node = Node::new("id INT");
    let mut feeder = node.feeder(spec(Some("at")));
    match feeder.step() {
        Step::Failed(why) => assert!(why.contains("`at`") && why.contains("it has: id"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_topic_made_again_fills_the_same_table_from_its_start() {
    let node = Node::new("id INT");
    let mut feeder = node.feeder(spec(None));
    node.put(&[r#"{"id":1}"#, r#"{"id":2}"#]);
    to_end(&mut feeder);
    node.store.delete_topic("movies").unwrap();
    assert!(matches!(feeder.step(), Step::Waiting(_)));
    let new = NewTopic { name: "movies".into(), partitions: 2, config: Default::default() };
    node.store.create_topic(new).unwrap();
    node.put(&[r#"{"id":3}"#]);
    to_end(&mut feeder);
    let ids: Vec<_> = hot(&feeder).into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, [1, 2, 3]);
}

#[test]
fn small_files_are_folded_beside_the_feeding_until_few_are_left() {
    let node = Node::new("id INT, at INT");
    let mut feeder = node.feeder(TableIngest {
        limits: SealLimits { rows: 2, ..SealLimits::default() },
        ..spec(Some("at"))
    });
    let mut most = 0;
    for turn in 0..60 {
        let base = 1_658_042_294 + turn * 4;
        let records: Vec<_> =
            (0..4).map(|at| format!(r#"{{"id":{},"at":{}}}"#, turn * 4 + at, base + at)).collect();
        node.put(&records.iter().map(String::as_str).collect::<Vec<_>>());
        to_end(&mut feeder);
        most = most.max(feeder.table().unwrap().stats().segments);
    }
    // The thread works at its own pace; each look begins it again until nothing is left.
    for _ in 0..2_000 {
        if !feeder.table().unwrap().compaction_due() {
            break;
        }
        feeder.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    let stats = feeder.table().unwrap().stats();
    assert!(stats.segments <= 24, "{} of at most {most} files", stats.segments);
    assert_eq!((stats.rows, stats.fates.used), (240, 240));
    drop(feeder);
    let mut feeder = node.feeder(spec(Some("at")));
    to_end(&mut feeder);
    assert_eq!(feeder.table().unwrap().stats().rows, 240);
}
