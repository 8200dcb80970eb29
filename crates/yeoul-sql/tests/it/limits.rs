//! Turns, pressure, cancelling, the log, and what does not fit into memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use yeoul_base::{Disk, Open};
use yeoul_sql::{Admission, ErrorKind, Pressed, Pressure, QueryOptions, QueryState, Spill};

use super::{World, runtime};

const ENDLESS: &str = "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r)
    SELECT count(*) FROM r";

fn named(id: &str) -> QueryOptions {
    QueryOptions { query_id: Some(id.into()), who: "tester".into(), ..QueryOptions::default() }
}

#[test]
fn a_cancelled_query_ends_and_says_so() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    runtime.block_on(async {
        let engine = Arc::clone(&world.engine);
        let task = tokio::spawn(async move { engine.query(ENDLESS, &named("mine")).await });
        while world.engine.queries().first().map(|entry| entry.state) != Some(QueryState::Running) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(world.engine.cancel("other"), 0);
        assert_eq!(world.engine.cancel("mine"), 1);
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Cancelled);
        let log = world.engine.queries();
        assert_eq!((log[0].state, log[0].who.as_str()), (QueryState::Cancelled, "tester"));
        assert_eq!(world.engine.cancel("mine"), 0, "it is over");
    });
}

#[test]
fn queries_beyond_the_turns_wait_and_beyond_the_queue_are_refused() {
    let runtime = runtime();
    let world = World::with(runtime.handle(), |options, _| {
        let wait = Duration::from_millis(200);
        options.admission = Admission { running: 1, waiting: 1, wait };
    });
    runtime.block_on(async {
        let endless = |id: &'static str| {
            let engine = Arc::clone(&world.engine);
            tokio::spawn(async move { engine.query(ENDLESS, &named(id)).await })
        };
        let first = endless("first");
        while world.engine.queries().first().map(|entry| entry.state) != Some(QueryState::Running) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let second = endless("second");
        while world.engine.queries().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let error = world.engine.query("SELECT 1", &named("third")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Capacity);
        assert!(error.message.contains("1 queries are waiting already"), "{error}");
        let error = second.await.unwrap().unwrap_err();
        assert!(error.message.contains("no turn came within 0.2 s"), "{error}");
        world.engine.cancel("first");
        assert_eq!(first.await.unwrap().unwrap_err().kind, ErrorKind::Cancelled);
        world.engine.query("SELECT 1", &named("fourth")).await.unwrap();
        let states: Vec<_> = world.engine.queries().iter().map(|entry| entry.state).collect();
        use QueryState::{Cancelled, Done, Failed};
        assert_eq!(states, [Done, Cancelled, Failed, Failed]);
    });
}

#[derive(Debug, Default)]
struct Gauge(AtomicU8);

impl Pressure for Gauge {
    fn pressed(&self) -> Pressed {
        match self.0.load(Ordering::Acquire) {
            0 => Pressed::No,
            1 => Pressed::Wait,
            _ => Pressed::Refuse,
        }
    }
}

#[test]
fn ingestion_comes_before_queries() {
    let runtime = runtime();
    let gauge = Arc::new(Gauge::default());
    let world = World::with(runtime.handle(), |options, _| {
        options.pressure = Some(gauge.clone());
    });
    runtime.block_on(async {
        gauge.0.store(2, Ordering::Release);
        let error = world.engine.query("SELECT 1", &named("a")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Capacity);
        gauge.0.store(1, Ordering::Release);
        let engine = Arc::clone(&world.engine);
        let waits = tokio::spawn(async move { engine.query("SELECT 1", &named("b")).await });
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(world.engine.queries()[0].state, QueryState::Waiting);
        gauge.0.store(0, Ordering::Release);
        waits.await.unwrap().unwrap();
    });
}

fn spill(disk: Arc<dyn Disk>, bytes: u64) -> Option<Spill> {
    Some(Spill { disk, folder: PathBuf::from("spill"), bytes })
}

/// 120 × 120 × 40 groups, far more than the memory holds.
const GROUPS: &str = r#"WITH t AS (SELECT n FROM "bike-station")
    SELECT count(*) AS groups, sum(c) AS rows, max(s) AS most FROM (
        SELECT a.n AS x, b.n AS y, c.n AS z, count(*) AS c, sum(a.n + b.n + c.n) AS s
        FROM t a, t b, t c WHERE c.n < 40 GROUP BY a.n, b.n, c.n)"#;

#[test]
fn groups_beyond_the_memory_go_to_disk_and_nothing_stays_there() {
    let runtime = runtime();
    let mut kept = None;
    let world = World::with(runtime.handle(), |options, disk| {
        disk.create_dir_all(&PathBuf::from("spill/left")).unwrap();
        disk.open(&PathBuf::from("spill/left/over"), Open::CreateNew).unwrap();
        options.memory_bytes = 6 << 20;
        options.spill = spill(Arc::clone(&disk), 1 << 30);
        kept = Some(disk);
    });
    let disk = kept.unwrap();
    let left = || disk.list(&PathBuf::from("spill")).unwrap();
    assert_eq!(left(), [], "what an earlier process left is gone");
    let output = runtime.block_on(world.engine.query(GROUPS, &QueryOptions::default())).unwrap();
    let shown = format!("{:?}", output.batches);
    assert!(shown.contains("576000") && shown.contains("277"), "{shown}");
    assert_eq!(left(), []);
}

#[test]
fn the_disk_for_queries_is_limited_too() {
    let runtime = runtime();
    let world = World::with(runtime.handle(), |options, disk| {
        options.memory_bytes = 6 << 20;
        options.spill = spill(disk, 1 << 20);
    });
    let error = runtime.block_on(world.engine.query(GROUPS, &QueryOptions::default())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Memory, "{error}");
    runtime.block_on(world.engine.query("SELECT 1", &QueryOptions::default())).unwrap();
}

/// Live queries run several times a second: they must not push others out of the log.
#[test]
fn a_live_query_leaves_a_line_only_when_it_fails() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let live = QueryOptions { patient: true, ..named("live") };
    runtime.block_on(world.engine.query("SELECT 1", &live)).unwrap();
    assert_eq!(world.engine.queries(), []);
    runtime.block_on(world.engine.query("SELECT nope", &live)).unwrap_err();
    assert_eq!(world.engine.queries().len(), 1);
}

/// 120³ groups within 32 MiB; run by hand, it takes a minute.
#[test]
#[ignore = "takes a minute"]
fn millions_of_groups_fit_into_little_memory() {
    let runtime = runtime();
    let world = World::with(runtime.handle(), |options, disk| {
        options.memory_bytes = 32 << 20;
        options.spill = spill(disk, 4 << 30);
    });
    let sql = GROUPS.replace("c.n < 40", "c.n < 120");
    let options = QueryOptions { timeout: Duration::from_secs(600), ..QueryOptions::default() };
    let output = runtime.block_on(world.engine.query(&sql, &options)).unwrap();
    let shown = format!("{:?}", output.batches);
    assert!(shown.contains("1728000") && shown.contains("357"), "{shown}");
}
