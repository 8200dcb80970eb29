//! Queries over small tables and topics: data-driven in `slt/`, and what needs code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test may panic and damage files"
)]

mod answers;
mod docs;
mod engine;
mod limits;
mod live;
mod options;
mod recorded;
mod rollup;
mod slt;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tokio::runtime::{Handle, Runtime};
use yeoul_base::{
    Append, Commit, Disk, Fates, ManualClock, MemStore, NewTopic, PartId, RealDisk, Store,
};
use yeoul_format::{Columns, Origin};
use yeoul_log::batch::{BatchBuilder, Codec};
use yeoul_sql::{
    Catalog, Engine, EngineOptions, LookupMap, Lookups, SupervisorRow, System, TaskRow,
};
use yeoul_table::{Rows, Table, TableSpec, time_field};

/// 2026-11-20T22:00:00Z
const START_US: i64 = 1_795_212_000_000_000;
const MINUTE_US: i64 = 60_000_000;

/// One lookup, with Korean keys.
#[derive(Debug)]
struct Pairs;

impl Lookups for Pairs {
    fn names(&self) -> Vec<String> {
        vec!["lines".into()]
    }

    fn get(&self, name: &str) -> Option<Arc<LookupMap>> {
        let pairs = [("망원역", "6"), ("Hapjeong", "2, 6")];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        (name == "lines").then(|| Arc::new(pairs.into()))
    }
}

#[derive(Debug)]
struct Tasks;

impl System for Tasks {
    fn tasks(&self) -> Vec<TaskRow> {
        let running = || "RUNNING".to_owned();
        vec![TaskRow {
            id: "index_kafka_bikes_1".into(),
            kind: "index_kafka".into(),
            datasource: "bike-station".into(),
            created_ms: START_US / 1_000,
            status: running(),
            runner_status: running(),
            duration_ms: -1,
            ..TaskRow::default()
        }]
    }

    fn supervisors(&self) -> Vec<SupervisorRow> {
        vec![SupervisorRow { id: "bikes".into(), healthy: true, ..SupervisorRow::default() }]
    }
}

struct World {
    engine: Arc<Engine>,
    table: Arc<Table>,
    store: MemStore,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        time_field(),
        Field::new("stationName", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("load", DataType::Float64, true),
    ]))
}

/// One row a minute; three stations in turn, the third without a name.
fn rows(from: i64, next: i64) -> Rows {
    let offsets: Vec<i64> = (from..next).collect();
    let names = ["망원역", "Hapjeong"];
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(
                offsets.iter().map(|offset| START_US + offset * MINUTE_US),
            )
            .with_timezone("UTC"),
        ),
        Arc::new(StringArray::from_iter(
            offsets.iter().map(|offset| names.get((offset % 3) as usize)),
        )),
        Arc::new(Int64Array::from_iter_values(offsets.iter().copied())),
        Arc::new(Float64Array::from_iter_values(offsets.iter().map(|offset| *offset as f64 / 4.0))),
    ];
    let count = offsets.len() as u64;
    Rows {
        part: PartId(0),
        partition: 0,
        from,
        next,
        rows: Some(RecordBatch::try_new(columns(), arrays).unwrap()),
        offsets,
        fates: Fates { read: count, used: count, out: count, ..Fates::default() },
        dead: Vec::new(),
    }
}

/// A table of documents: one column, one that holds an object, and the rest.
fn wide_spec() -> TableSpec {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let columns = vec![time_field(), text("lang"), text("user"), text("_rest")];
    TableSpec::new("tweets", "tweets", Arc::new(Schema::new(columns)))
}

fn wide_rows() -> Rows {
    let documents = [
        (
            Some("ko"),
            Some(r#"{"name":"망원","followers":10}"#),
            r#"{"text":"안녕","geo":{"lat":37.5}}"#,
        ),
        (
            Some("en"),
            Some(r#"{"name":"Kim","followers":200}"#),
            r#"{"text":"Hi","geo":{"lat":"1.5"}}"#,
        ),
        (None, None, r#"{"text":null,"n":9007199254740993}"#),
    ];
    let text = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
    let times = TimestampMicrosecondArray::from(vec![START_US; 3]).with_timezone("UTC");
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(times),
        text(documents.iter().map(|it| it.0).collect()),
        text(documents.iter().map(|it| it.1).collect()),
        text(documents.iter().map(|it| Some(it.2)).collect()),
    ];
    Rows {
        rows: Some(RecordBatch::try_new(wide_spec().columns, arrays).unwrap()),
        offsets: vec![0, 1, 2],
        fates: Fates { read: 3, used: 3, out: 3, ..Fates::default() },
        next: 3,
        ..rows(0, 0)
    }
}

fn produce(store: &MemStore, topic: &str, values: &[&str]) {
    let info = store.topics().get(topic).cloned().unwrap();
    let mut batch = BatchBuilder::new(Codec::None);
    for value in values {
        batch.push(START_US / 1_000, Some(b"k"), Some(value.as_bytes()), &[]);
    }
    let append = Append { part: info.partitions[0], batch: batch.finish().unwrap() };
    store.commit(Commit { appends: vec![append], ..Commit::default() }).unwrap();
}

impl World {
    /// A table `bike-station` of 120 rows: 0..60 and 60..100 sealed, 100..120 in memory; a topic
    /// `movies` of three records with a schema and one that breaks it.
    fn new(runtime: &Handle) -> Self {
        Self::with(runtime, |_, _| {})
    }

    /// With other options; the folder is the data directory's.
    fn with(runtime: &Handle, change: impl FnOnce(&mut EngineOptions, Arc<dyn Disk>)) -> Self {
        let store = MemStore::new();
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
        let clock = Arc::new(ManualClock::at_ms(START_US / 1_000));
        let mut spec = TableSpec::new("bike-station", "bikes", columns());
        spec.retention = Some(Duration::from_secs(30 * 86_400));
        let table = Table::open(Arc::new(store.clone()), disk.clone(), clock.clone(), spec);
        let table = table.map(Arc::new).unwrap();
        for (from, next, seal) in [(0, 60, true), (60, 100, true), (100, 120, false)] {
            table.append(rows(from, next)).unwrap();
            if seal {
                table.seal().unwrap();
            }
        }
        let new = NewTopic { name: "movies".into(), partitions: 1, config: Default::default() };
        store.create_topic(new).unwrap();
        let columns = Columns::parse("movie STRING, year INT").unwrap().into_vec();
        let schema = yeoul_format::Schema::new(columns, Origin::Declared);
        let facts = vec![schema.fact("movies")];
        store.commit(Commit { facts, ..Commit::default() }).unwrap();
        produce(
            &store,
            "movies",
            &[r#"{"movie":"기생충","year":2019}"#, r#"{"movie":"Oldboy","year":2003}"#, "not json"],
        );

        let wide = Table::open(Arc::new(store.clone()), disk.clone(), clock.clone(), wide_spec());
        let wide = wide.map(Arc::new).unwrap();
        wide.append(wide_rows()).unwrap();
        let catalog = Arc::new(Catalog::new(Arc::new(store.clone())));
        catalog.put_table(wide);
        catalog.set_lookups(Arc::new(Pairs));
        catalog.set_system(Arc::new(Tasks));
        catalog.put_table(Arc::clone(&table));
        let mut options = EngineOptions::new(runtime.clone());
        options.memory_bytes = 8 << 20;
        options.clock = clock.clone();
        change(&mut options, disk);
        let engine = Arc::new(Engine::new(catalog, options).unwrap());
        Self { engine, table, store, clock, _folder: folder }
    }
}

fn runtime() -> Runtime {
    yeoul_sql::runtime(2).unwrap()
}
