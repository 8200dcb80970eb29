//! A feeder over a simulated store and a real folder: visible at once, sealed exactly once.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use yeoul_base::{Append, FactKind, ManualClock, MemStore, NewTopic, RealDisk};
use yeoul_format::{ColumnType, Columns, Extract, Origin, parse_place};
use yeoul_log::batch::{BatchBuilder, Codec};
use yeoul_table::SealLimits;

use super::*;

mod redo;

struct Node {
    store: MemStore,
    disk: Arc<dyn Disk>,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

impl Node {
    fn new(ddl: &str) -> Self {
        let node = Self::empty();
        let schema = Schema::new(Columns::parse(ddl).unwrap().into_vec(), Origin::Declared);
        let facts = vec![schema.fact("movies")];
        node.store.commit(Commit { facts, ..Commit::default() }).unwrap();
        node
    }

    /// With a topic nobody described.
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
        let clock = Arc::new(ManualClock::at_ms(1_700_000_000_000));
        let store = MemStore::new();
        let new = NewTopic { name: "movies".into(), partitions: 2, config: Default::default() };
        store.create_topic(new).unwrap();
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
        Step::Failed(why) => {
            assert!(
                why.contains("`time.column`") && why.contains("`at`; there are: __time, id"),
                "{why}"
            )
        }
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
    assert_eq!(ids, [3], "rows of the topic that is gone were sealed");
    assert_eq!(feeder.table().unwrap().snapshot().rows(), 3);
}

/// All rows, columns as text, `-` for null; in the order of the first column.
fn shown(feeder: &Feeder, columns: &[&str]) -> Vec<String> {
    let snapshot = feeder.table().unwrap().snapshot();
    let mut rows = Vec::new();
    for chunk in &snapshot.chunks {
        let texts = columns.iter().map(|name| {
            let column = chunk.batch.column_by_name(name).unwrap_or_else(|| panic!("no {name}"));
            cast(column, &DataType::Utf8).unwrap().as_string::<i32>().clone()
        });
        let texts: Vec<_> = texts.collect();
        for row in 0..chunk.batch.num_rows() {
            let cell = |text: &arrow::array::StringArray| {
                if text.is_null(row) { "-".to_owned() } else { text.value(row).to_owned() }
            };
            rows.push(texts.iter().map(cell).collect::<Vec<_>>().join(" "));
        }
    }
    rows.sort_unstable();
    rows
}

/// Until the first records were looked at and all are taken.
fn looked_at(node: &Node, feeder: &mut Feeder) {
    assert!(matches!(feeder.step(), Step::Waiting(_)));
    node.clock.advance(Duration::from_secs(2));
    to_end(feeder);
}

fn transform(name: &str, sql: &str) -> Transform {
    Transform { name: name.into(), sql: sql.into(), ty: None }
}

#[test]
fn rows_are_computed_filtered_and_narrowed_down_to_the_bad_one() {
    let node = Node::new("id INT, at STRING, n STRING, Grade STRING");
    let mut feeder = node.feeder(TableIngest {
        transforms: vec![
            transform("at", "to_timestamp(at)"),
            transform("twice", "CAST(n AS BIGINT) * 2"),
            transform("n", "upper(n)"),
            transform("grade2", "lower(grade)"),
        ],
        filter: Some("twice > 2 AND n <> 'NONE'".into()),
        ..spec(Some("at"))
    });
    node.put(&[
        r#"{"id":1,"at":"2022-07-17 16:18:14","n":"1","Grade":"A"}"#,
        r#"{"id":2,"at":"2022-07-17 16:18:15","n":"2","Grade":"B"}"#,
        r#"{"id":3,"at":"2022-07-17 16:18:16","n":"x","Grade":"C"}"#,
        r#"{"id":4,"at":"2022-07-17 16:18:17","n":"4","Grade":null}"#,
        r#"{"id":5,"at":"soon","n":"5"}"#,
        r#"{"id":6,"at":null,"n":"6"}"#,
    ]);
    to_end(&mut feeder);
    assert_eq!(
        shown(&feeder, &["id", "twice", "n", "grade2", "__time"]),
        ["2 4 2 b 2022-07-17T07:18:15Z", "4 8 4 - 2022-07-17T07:18:17Z"]
    );
    let fates = feeder.table().unwrap().fates();
    assert_eq!((fates.read, fates.used, fates.filtered, fates.dead), (6, 2, 1, 3));
    assert!(fates.balanced());
}

#[test]
fn what_cannot_be_computed_is_told_before_a_record_is_read() {
    let node = Node::new("id INT, at STRING");
    for (sql, part) in [
        ("idd + 1", "did you mean `id`?"),
        ("now()", "another answer each time"),
        ("max(id)", "is an aggregate"),
        ("nosuch(id)", "nosuch"),
        ("id +", "Expected"),
        ("(SELECT 1)", "one row"),
    ] {
        let transforms = vec![transform("x", sql)];
        let mut feeder = node.feeder(TableIngest { transforms, ..spec(None) });
        match feeder.step() {
            Step::Failed(why) => assert!(why.contains(part), "{sql}: {why}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn a_record_without_a_time_may_get_a_constant_one() {
    let missing = |also_unreadable| Some(Missing { micros: 1_000_000, also_unreadable });
    let records = [
        r#"{"id":1,"at":"2022-07-17T07:18:14Z"}"#,
        r#"{"id":2}"#,
        r#"{"id":3,"at":"soon"}"#,
        r#"{"id":4,"at":null}"#,
    ];
    for (also_unreadable, expected, dead) in [
        (
            true,
            vec![
                "1 2022-07-17T07:18:14Z",
                "2 1970-01-01T00:00:01Z",
                "3 1970-01-01T00:00:01Z",
                "4 1970-01-01T00:00:01Z",
            ],
            0,
        ),
        (
            false,
            vec!["1 2022-07-17T07:18:14Z", "2 1970-01-01T00:00:01Z", "4 1970-01-01T00:00:01Z"],
            1,
        ),
    ] {
        let node = Node::new("id INT, at STRING");
        let time = TimeColumn { missing: missing(also_unreadable), ..TimeColumn::new("at") };
        let mut feeder = node.feeder(TableIngest { time: Some(time), ..spec(None) });
        node.put(&records);
        to_end(&mut feeder);
        assert_eq!(shown(&feeder, &["id", "__time"]), expected);
        assert_eq!(feeder.table().unwrap().fates().dead, dead);
    }
}

#[test]
fn times_are_read_in_every_way_they_are_written() {
    use yeoul_sql::functions::stream::time::EpochUnit;
    let at = "2022-07-17T07:18:14Z";
    for (ddl, record, format) in [
        ("t STRING", r#"{"t":"2022-07-17T16:18:14+09:00"}"#, TimeFormat::Auto),
        ("t INT", r#"{"t":1658042294}"#, TimeFormat::Auto),
        ("t INT", r#"{"t":1658042294000}"#, TimeFormat::Auto),
        ("t INT", r#"{"t":1658042294000000}"#, TimeFormat::Auto),
        ("t INT", r#"{"t":1658042294000000000}"#, TimeFormat::Auto),
        ("t INT", r#"{"t":1658042294000000000}"#, TimeFormat::named("ns")),
        ("t STRING", r#"{"t":"1658042294000"}"#, TimeFormat::named("ms")),
        ("t DOUBLE", r#"{"t":1658042294.0}"#, TimeFormat::Epoch(EpochUnit::Seconds)),
        ("t ARRAY<INT>", r#"{"t":[2022,7,17,16,18,14]}"#, TimeFormat::named("array")),
        (
            "t STRING",
            r#"{"t":"17/Jul/2022:16:18:14 +0900"}"#,
            TimeFormat::named("dd/MMM/yyyy:HH:mm:ss Z"),
        ),
        (
            "t STRING",
            r#"{"t":"2022-07-17 00:18:14 PDT"}"#,
            TimeFormat::named("yyyy-MM-dd HH:mm:ss z"),
        ),
        (
            "t STRING",
            r#"{"t":"2022-07-17 16:18:14 Asia/Seoul"}"#,
            TimeFormat::named("yyyy-MM-dd HH:mm:ss VV"),
        ),
        (
            "t STRING",
            r#"{"t":"Sun Jul 17 07:18:14 +0000 2022"}"#,
            TimeFormat::named("EEE MMM dd HH:mm:ss Z yyyy"),
        ),
        (
            "t STRING",
            r#"{"t":"2022-07-17 16:18:14 Asia/Seoul"}"#,
            TimeFormat::Joda("YYYY-MM-dd HH:mm:ss ZZZ".into()),
        ),
        (
            "t STRING",
            r#"{"t":"2022-07-17 16:18:14"}"#,
            TimeFormat::Joda("yyyy-MM-dd kk:mm:ss".into()),
        ),
    ] {
        let node = Node::new(ddl);
        let time = TimeColumn { format, ..TimeColumn::new("t") };
        let shown_as = format!("{record} {:?}", time.format);
        let mut feeder = node.feeder(TableIngest { time: Some(time), ..spec(None) });
        node.put(&[record]);
        to_end(&mut feeder);
        assert_eq!(shown(&feeder, &["__time"]), [at], "{shown_as}");
    }
    let node = Node::new("__time STRING, x INT");
    let mut feeder = node.feeder(spec(None));
    node.put(&[r#"{"__time":"2022-07-17T07:18:14Z","x":1}"#]);
    to_end(&mut feeder);
    assert_eq!(shown(&feeder, &["__time", "x"]), ["2022-07-17T07:18:14Z 1"]);
}

#[test]
fn wide_documents_get_columns_for_their_places_and_keep_all() {
    let node = Node::empty();
    let declared =
        vec![Extract::at("first", ColumnType::String, parse_place("$.tags[0]").unwrap())];
    let mut feeder = node.feeder(TableIngest {
        reads: Reads::Topic { declared },
        transforms: vec![transform("name", "upper(\"user.name\")")],
        ..spec(None)
    });
    node.put(&[
        r#"{"id":1,"user":{"name":"a","n":1},"tags":["x","y"]}"#,
        r#"{"id":2,"user":{"name":"b","n":2}}"#,
    ]);
    looked_at(&node, &mut feeder);
    node.put(&[r#"{"id":3,"user":{"name":"c","n":"many"},"tags":"none","new":[1]}"#]);
    node.put(&[r#"{"id":"x","user":7}"#]);
    to_end(&mut feeder);
    assert_eq!(
        shown(&feeder, &["id", "user", "user.n", "name", "first", "tags", "_rest"]),
        [
            r#"- 7 - - - - {"id":"x"}"#,
            r#"1 {"name":"a","n":1} 1 A x [x, y] -"#,
            r#"2 {"name":"b","n":2} 2 B - - -"#,
            r#"3 {"name":"c","n":"many"} - C - - {"tags":"none","new":[1]}"#,
        ]
    );
    let columns = TableColumns::load(&node.store, "films").unwrap().unwrap();
    feeder.table().unwrap().seal().unwrap();
    drop(feeder);
    // What was found is a fact: a restart reads the same columns.
    let mut feeder = node.feeder(spec(None));
    to_end(&mut feeder);
    assert_eq!(TableColumns::load(&node.store, "films").unwrap().unwrap().paths, columns.paths);
}

#[test]
fn a_topic_made_again_is_looked_at_again_and_the_rows_stay() {
    let node = Node::empty();
    let mut feeder = node.feeder(spec(None));
    node.put(&[r#"{"id":1,"n":1}"#, r#"{"id":2,"n":2}"#]);
    looked_at(&node, &mut feeder);
    node.store.delete_topic("movies").unwrap();
    assert!(matches!(feeder.step(), Step::Waiting(_)));
    let mut shared = Shared::default();
    feeder.tell(&Step::Idle, &mut shared);
    assert!(shared.table.is_some(), "the rows can still be asked for");
    let new = NewTopic { name: "movies".into(), partitions: 2, config: Default::default() };
    node.store.create_topic(new).unwrap();
    node.put(&[r#"{"id":3,"n":"three","new":true}"#]);
    looked_at(&node, &mut feeder);
    let table = feeder.table().unwrap();
    assert_eq!(table.snapshot().rows(), 3);
    let type_of = |name: &str| table.schema().field_with_name(name).unwrap().data_type().clone();
    assert_eq!(
        [type_of("id"), type_of("n"), type_of("new")],
        [DataType::Int64, DataType::Utf8, DataType::Boolean]
    );
    assert_eq!(shown(&feeder, &["id", "n", "new"]), ["3 three true"]);
    feeder.tell(&Step::Idle, &mut shared);
    assert!(shared.status.message.is_some_and(|note| note.contains("was made again")));
}

#[test]
fn lines_and_text_with_groups_are_records_too() {
    let columns = Columns::parse("id STRING, at STRING").unwrap();
    let csv = yeoul_format::Decode::Csv(yeoul_format::Delimited { columns, ..Default::default() });
    let pattern = ValueFormat::Pattern {
        regex: r"^(\d+),([^,]+)$".into(),
        columns: vec!["id".into(), "at".into()],
    };
    let read =
        |name: &str, ty| ReadField { name: name.into(), place: parse_place(name).unwrap(), ty };
    for value in [ValueFormat::Line(csv), pattern] {
        let node = Node::empty();
        let mut feeder = node.feeder(TableIngest {
            value,
            reads: Reads::Exactly(vec![read("id", Some(ColumnType::Int))]),
            ..spec(Some("at"))
        });
        node.put(&["1,2022-07-17T07:18:14Z", "2,2022-07-17T07:18:15Z", "no line,at,all"]);
        looked_at(&node, &mut feeder);
        assert_eq!(
            shown(&feeder, &["id", "__time"]),
            ["1 2022-07-17T07:18:14Z", "2 2022-07-17T07:18:15Z"]
        );
        assert_eq!(feeder.table().unwrap().fates().dead, 1);
    }
}

#[test]
fn a_suspended_table_answers_and_takes_nothing() {
    let node = Node::new("id INT");
    let mut feeder = node.feeder(spec(None));
    node.put(&[r#"{"id":1}"#]);
    to_end(&mut feeder);
    node.clock.advance(Duration::from_secs(61));
    to_end(&mut feeder);
    drop(feeder);
    node.put(&[r#"{"id":2}"#]);
    let mut feeder = node.feeder(TableIngest { suspended: true, ..spec(None) });
    to_end(&mut feeder);
    assert_eq!(feeder.table().unwrap().snapshot().rows(), 1);
    drop(feeder);
    let mut feeder = node.feeder(spec(None));
    to_end(&mut feeder);
    assert_eq!(feeder.table().unwrap().snapshot().rows(), 2);
}

#[test]
fn rows_are_rolled_up_when_they_come() {
    let node = Node::new("at STRING, grade STRING, year STRING, user STRING");
    let metric = |name: &str, text: &str| read_metric(name, text).unwrap();
    let mut feeder = node.feeder(TableIngest {
        transforms: vec![transform("century", "CAST(year AS BIGINT) / 100")],
        filter: Some("grade <> 'X'".into()),
        rollup: Some(RollupIngest {
            by: "minute".parse().unwrap(),
            dimensions: Some(vec!["grade".into(), "century".into()]),
            metrics: vec![
                metric("rows", "count(*)"),
                metric("newest", "max(CAST(year AS BIGINT))"),
                metric("old", "count(*) FILTER (WHERE year < '1990')"),
            ],
        }),
        ..spec(Some("at"))
    });
    node.put(&[
        r#"{"at":"2022-07-17T07:18:14Z","grade":"A","year":"1988","user":"a"}"#,
        r#"{"at":"2022-07-17T07:18:59Z","grade":"A","year":"1999","user":"b"}"#,
        r#"{"at":"2022-07-17T07:18:30Z","grade":"A","year":"2001","user":"b"}"#,
        r#"{"at":"2022-07-17T07:19:00Z","grade":"A","year":"1999","user":"b"}"#,
        r#"{"at":"2022-07-17T07:19:00Z","grade":"X","year":"1999"}"#,
        r#"{"at":"2022-07-17T07:19:01Z","grade":"A","year":"many"}"#,
    ]);
    to_end(&mut feeder);
    node.clock.advance(Duration::from_secs(61));
    feeder.table().unwrap().seal().unwrap();
    let fates = feeder.table().unwrap().fates();
    assert_eq!((fates.read, fates.used, fates.filtered, fates.dead), (6, 4, 1, 1));
    let snapshot = feeder.table().unwrap().snapshot();
    assert_eq!(snapshot.rows(), 3, "07:18 of two centuries and 07:19");
    let names: Vec<_> = snapshot.schema.fields().iter().map(|it| it.name().as_str()).collect();
    assert_eq!(names, ["__time", "grade", "century", "rows", "newest", "old", "_offsets"]);
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
