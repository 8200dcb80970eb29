//! A topic, a stream and a table over the log on the simulated disk, crashed at many moments and
//! in every way; after recovery everything is what the surviving input makes of it, once.

use std::sync::Arc;
use std::time::Duration;

use yeoul_base::disk::sim::Crash;
use yeoul_base::{Clock, Disk, SeededRand, SimDisk, Store, SystemClock};
use yeoul_log::{Log, LogOptions};
use yeoul_stream::{
    Lookups, StreamContext, StreamHandle, StreamSpec, TableContext, TableHandle, TableIngest,
    TimeColumn, start, start_table,
};
use yeoul_table::SealLimits;

use crate::node;

const SQL: &str = "SELECT id, CAST(text AS INT) * 2 AS twice, to_timestamp(id + 1658042294) AS ts \
                   FROM input WHERE id % 3 <> 0";
/// Moments at which the disk is cut off.
const MOMENTS: usize = 48;

pub(crate) struct Node {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) stream: StreamHandle,
    pub(crate) table: TableHandle,
    pub(crate) log: Log,
}

pub(crate) fn open(disk: &SimDisk) -> Log {
    let clock = Arc::new(SystemClock::new());
    let options =
        LogOptions { slot_bytes: [16 << 10; 3], reserve_bytes: 0, ..LogOptions::default() };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Log::open(disk, clock, Arc::new(SeededRand::new(7)), options).unwrap().0
}

pub(crate) fn run(disk: &SimDisk, log: Log) -> Node {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store: Arc<dyn Store> = Arc::new(log.clone());
    let lookups = Arc::new(Lookups::none(Arc::clone(&clock)));
    let context = StreamContext { store: Arc::clone(&store), clock: Arc::clone(&clock), lookups };
    let stream = start(StreamSpec::new("doubled", SQL), context).unwrap();
    // Small seals, so that crashes fall between chunks, files and facts.
    let limits = SealLimits { rows: 7, age: Duration::from_millis(50), ..SealLimits::default() };
    let ingest = TableIngest {
        limits,
        time: Some(TimeColumn::new("ts")),
        ..TableIngest::new("doubles", "doubled")
    };
    let context = TableContext {
        store: Arc::clone(&store),
        disk: Arc::new(disk.clone()),
        clock,
        opened: Arc::new(|_| {}),
    };
    let table = start_table(ingest, context).unwrap();
    Node { store, stream, table, log }
}

/// What the records of `input` make: rows of `doubled`, and dead letters.
fn expected(input: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut rows, mut dead) = (Vec::new(), Vec::new());
    for value in input {
        let record: serde_json::Value = serde_json::from_str(value).unwrap();
        let id = record["id"].as_i64().unwrap();
        if id % 3 == 0 {
            continue;
        }
        match record["text"].as_str().unwrap().parse::<i64>() {
            Ok(text) => {
                let second = 14 + id;
                let (minute, second) = (18 + second / 60, second % 60);
                rows.push(format!(
                    "{{\"id\":{id},\"twice\":{},\"ts\":\"2022-07-17T07:{minute}:{second:02}Z\"}}",
                    text * 2
                ));
            }
            Err(_) => dead.push(value.clone()),
        }
    }
    rows.sort();
    dead.sort();
    (rows, dead)
}

fn judge(node: &Node, how: &str) {
    let input = node::values(&node.store, "input");
    let (rows, dead) = expected(&input);
    let status = node::wait(how, input.len() as u64, || node.stream.status());
    assert_eq!(status.fates.read, input.len() as u64, "{how}");
    assert_eq!(node::values(&node.store, "doubled"), rows, "{how}");
    assert_eq!(node::values(&node.store, "dead.stream.doubled"), dead, "{how}");
    node::wait(how, rows.len() as u64, || node.table.status());
    // A table without a row may not have been opened when its counts are right.
    let opened = (0..1_000).find_map(|_| {
        let table = node.table.table();
        if table.is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        table
    });
    let stats = opened.unwrap().stats();
    assert_eq!(stats.rows, rows.len() as u64, "{how}: {stats:?}");
    assert_eq!(stats.fates.used, rows.len() as u64, "{how}: {stats:?}");
}

pub(crate) fn records(ids: std::ops::Range<i64>) -> Vec<Vec<u8>> {
    let text = |id: i64| if id % 11 == 5 { "no number".to_owned() } else { (id * 10).to_string() };
    let record = |id: i64| format!("{{\"id\":{id},\"text\":\"{}\"}}", text(id)).into_bytes();
    ids.map(record).collect()
}

#[test]
fn after_any_crash_everything_is_there_once() {
    let disk = SimDisk::new();
    let log = open(&disk);
    node::topic(&log, "input", 2, "id INT, text STRING");
    let begin = disk.journal_len();
    let node = run(&disk, log);
    for batch in 0..8 {
        node::put(node.store.as_ref(), "input", &records(batch * 5..batch * 5 + 5));
        std::thread::sleep(Duration::from_millis(15));
    }
    judge(&node, "without a crash");
    let end = disk.journal_len();
    drop(node);

    let rand = SeededRand::new(11);
    let mut replay = disk.replay();
    let mut tried = 0;
    while replay.step() {
        let at = replay.at();
        let step = ((end - begin) / MOMENTS).max(1);
        if at < begin || at > end || !(at - begin).is_multiple_of(step) {
            continue;
        }
        let crash = Crash::ALL[tried % Crash::ALL.len()];
        tried += 1;
        let cut = SimDisk::from_image(&replay.image(crash, &rand));
        let node = run(&cut, open(&cut));
        let how = format!("{crash:?} after action {at} of {end}");
        judge(&node, &how);
        node::put(node.store.as_ref(), "input", &records(100..106));
        judge(&node, &format!("{how}, and six more records"));
    }
    assert!(tried >= MOMENTS / 2, "only {tried} crashes");
}
