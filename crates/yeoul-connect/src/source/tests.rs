//! What every source must keep to: nothing lost, nothing twice, over restarts, crashes, rotation,
//! truncation and a slow or failing store.

mod store;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use yeoul_base::{FactKind, Isolation, MemStore, NewTopic, Rand, SeededRand, SystemClock};
use yeoul_format::{Columns, Decode, Delimited};
use yeoul_log::batch::{Record, decode};

use super::*;
use crate::config::{Every, GenerateConfig, Paths, ReadFrom, Shape, TailConfig};
use store::Trouble;

/// Time that passes twenty times as fast, so that waiting for a rotated file is short.
#[derive(Debug, Default)]
struct Hasty(SystemClock);

impl Clock for Hasty {
    fn now_ms(&self) -> i64 {
        self.0.now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic() * 20
    }
}

struct Bench {
    dir: tempfile::TempDir,
    store: MemStore,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), store: MemStore::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        append(&self.path(name), text.as_ref());
    }

    fn context(&self, decode: Option<Decode>) -> SourceContext {
        SourceContext {
            store: Arc::new(self.store.clone()),
            clock: Arc::new(Hasty::default()),
            base_dir: self.dir.path().to_owned(),
            topic: "lines".into(),
            decode,
        }
    }

    fn start(&self, pattern: &str, read_from: ReadFrom) -> SourceHandle {
        start("lines", &tail(pattern, read_from), self.context(None)).unwrap()
    }

    fn start_on(&self, store: Arc<dyn Store>, pattern: &str) -> SourceHandle {
        let context = SourceContext { store, ..self.context(None) };
        start("lines", &tail(pattern, ReadFrom::Beginning), context).unwrap()
    }

    fn records(&self, topic: &str) -> Vec<Record> {
        let topics = self.store.topics();
        let Some(topic) = topics.get(topic) else { return Vec::new() };
        let mut records = Vec::new();
        for part in topic.partitions.iter() {
            let read = self.store.read(*part, 0, usize::MAX, Isolation::Committed).unwrap();
            records.extend(read.batches.iter().flat_map(|batch| decode(batch).unwrap()));
        }
        records
    }

    fn values(&self, topic: &str) -> Vec<String> {
        let text = |record: Record| String::from_utf8(record.value.unwrap().to_vec()).unwrap();
        self.records(topic).into_iter().map(text).collect()
    }

    fn lines(&self) -> Vec<String> {
        self.values("lines")
    }

    /// Waits for exactly so many records, and a little for one too many.
    fn wait_for(&self, count: usize) {
        wait_until(|| self.lines().len() >= count, || format!("{count} lines: {:?}", self.lines()));
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(self.lines().len(), count, "{:?}", self.lines());
    }
}

fn append(path: &Path, text: &[u8]) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text).unwrap();
}

fn tail(pattern: &str, read_from: ReadFrom) -> SourceConfig {
    let path = Paths::from(vec![pattern.to_owned()]);
    SourceConfig::Tail(TailConfig { path, exclude: vec!["*.skip".into()], read_from })
}

fn wait_until(mut done: impl FnMut() -> bool, what: impl Fn() -> String) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain for {}", what());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn numbered(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!("line {n}\n")).collect()
}

fn expect_numbered(lines: &[String], count: usize) {
    let want: Vec<_> = (0..count).map(|n| format!("line {n}")).collect();
    assert_eq!(lines, want);
}

#[test]
fn a_restart_goes_on_where_it_stopped() {
    let bench = Bench::new();
    bench.append("a.log", numbered(0..3));
    let source = bench.start("a.log", ReadFrom::Beginning);
    bench.wait_for(3);
    assert_eq!(source.status().state, SourceState::Running);
    source.stop();
    bench.append("a.log", numbered(3..5));
    let source = bench.start("a.log", ReadFrom::Beginning);
    bench.append("a.log", numbered(5..6));
    bench.wait_for(6);
    expect_numbered(&bench.lines(), 6);
    let status = source.status();
    assert_eq!((status.fates.read, status.fates.used, status.fates.out), (6, 6, 6));
    assert_eq!((status.files.len(), status.lag_bytes), (1, 0));
    assert_eq!(status.files[0].offset, status.files[0].size);
}

#[test]
fn a_missing_file_is_waited_for_and_read_from_its_start() {
    let bench = Bench::new();
    let source = bench.start("*.log", ReadFrom::End);
    wait_until(|| source.status().message.is_some(), || "a message".into());
    let status = source.status();
    assert_eq!(status.state, SourceState::Waiting);
    assert_eq!(status.message.as_deref(), Some("no file matches *.log"));
    bench.append("b.skip", numbered(0..9));
    bench.append("b.log", numbered(0..2));
    bench.wait_for(2);
    expect_numbered(&bench.lines(), 2);
}

#[test]
fn reading_from_the_end_starts_after_the_last_whole_line() {
    let bench = Bench::new();
    bench.append("a.log", "old\nhalf");
    let source = bench.start("a.log", ReadFrom::End);
    wait_until(|| !source.status().files.is_empty(), || "the file".into());
    // "The end" is remembered although no line came.
    source.stop();
    bench.append("a.log", " whole\nnew\n");
    let _source = bench.start("a.log", ReadFrom::End);
    bench.wait_for(2);
    assert_eq!(bench.lines(), ["half whole", "new"]);
}

#[test]
fn a_partial_line_is_held_back() {
    let bench = Bench::new();
    bench.append("a.log", "one\ntw");
    let _source = bench.start("a.log", ReadFrom::Beginning);
    bench.wait_for(1);
    bench.append("a.log", "o\r\n\nthree");
    bench.wait_for(3);
    assert_eq!(bench.lines(), ["one", "two", ""]);
}

#[test]
fn a_renamed_file_is_drained_and_its_successor_read() {
    let bench = Bench::new();
    bench.append("a.log", numbered(0..2));
    let source = bench.start("a.log", ReadFrom::Beginning);
    bench.wait_for(2);
    fs::rename(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    bench.append("a.log.1", "late, to the old file\nits unended last line");
    bench.append("a.log", "first of the new file\n");
    bench.wait_for(5);
    let mut lines = bench.lines();
    lines.sort();
    assert_eq!(
        lines,
        [
            "first of the new file",
            "its unended last line",
            "late, to the old file",
            "line 0",
            "line 1"
        ]
    );
    wait_until(|| source.status().files.len() == 1, || "the old file to be let go".into());
    source.stop();
    let _source = bench.start("a.log*", ReadFrom::Beginning);
    bench.append("a.log", "more\n");
    bench.wait_for(6);
}

#[test]
fn a_file_renamed_while_nobody_watched_is_drained_first() {
    let bench = Bench::new();
    bench.append("a.log", numbered(0..2));
    let source = bench.start("a.log", ReadFrom::Beginning);
    bench.wait_for(2);
    source.stop();
    bench.append("a.log", numbered(2..4));
    fs::rename(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    bench.append("a.log", numbered(4..6));
    let _source = bench.start("a.log", ReadFrom::Beginning);
    bench.wait_for(6);
    expect_numbered(&bench.lines(), 6);
}

#[test]
fn truncated_and_replaced_files_are_read_anew() {
    let bench = Bench::new();
    bench.append("a.log", numbered(0..2));
    let _source = bench.start("a.log", ReadFrom::Beginning);
    bench.wait_for(2);
    // copytruncate: shorter than what was read.
    fs::write(bench.path("a.log"), "x\n").unwrap();
    bench.wait_for(3);
    // Written anew and longer than before: only its head tells.
    fs::write(bench.path("a.log"), "y, and this is longer than it was\nz\n").unwrap();
    bench.wait_for(5);
    // A half line that is rewritten is not mixed with what it was.
    fs::write(bench.path("a.log"), "").unwrap();
    std::thread::sleep(Duration::from_millis(60));
    bench.append("a.log", "half");
    std::thread::sleep(Duration::from_millis(60));
    fs::write(bench.path("a.log"), "other one\n").unwrap();
    bench.wait_for(6);
    fs::remove_file(bench.path("a.log")).unwrap();
    bench.append("a.log", "made again\n");
    bench.wait_for(7);
    let want = [
        "line 0",
        "line 1",
        "x",
        "y, and this is longer than it was",
        "z",
        "other one",
        "made again",
    ];
    assert_eq!(bench.lines(), want);
}

#[test]
fn truncated_while_nobody_watched() {
    let bench = Bench::new();
    bench.append("a.log", numbered(0..2));
    let source = bench.start("a.log", ReadFrom::Beginning);
    bench.wait_for(2);
    source.stop();
    fs::write(bench.path("a.log"), "other, longer than it was before\n").unwrap();
    let _source = bench.start("a.log", ReadFrom::End);
    bench.wait_for(3);
}

#[test]
fn what_does_not_decode_is_kept_with_its_reason() {
    let bench = Bench::new();
    let columns = Columns::parse("time INT, movie STRING, year INT").unwrap();
    let decode = Decode::Tsv(Delimited { columns, ..Delimited::default() });
    bench.append("m.tsv", "time\tmovie\tyear\n1658101694\t10100\t2018\n\n1658102294\t10101\n");
    let context = SourceContext { topic: "movies".into(), ..bench.context(Some(decode)) };
    let source = start("movies", &tail("m.tsv", ReadFrom::Beginning), context).unwrap();
    wait_until(|| source.status().fates.read == 4, || format!("{:?}", source.status()));
    assert_eq!(
        bench.values("movies"),
        [
            r#"{"time":1658101694,"movie":"10100","year":2018}"#,
            r#"{"time":1658102294,"movie":"10101","year":null}"#
        ]
    );
    let dead = bench.records("dead.source.movies");
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].value.as_deref(), Some(b"time\tmovie\tyear".as_slice()));
    let reason = dead[0].headers.iter().find(|header| header.name.ends_with(b"message")).unwrap();
    let reason = String::from_utf8_lossy(reason.value.as_ref().unwrap()).into_owned();
    assert!(reason.starts_with("column `time`: `time` is not an int"), "{reason}");
    assert!(reason.contains("m.tsv, byte 0"), "{reason}");
    let fates = source.status().fates;
    assert_eq!((fates.used, fates.dead, fates.filtered), (2, 1, 1));
    assert!(fates.balanced());
}

#[test]
fn a_header_names_the_columns_also_after_a_restart() {
    let bench = Bench::new();
    let columns = Columns::parse("n INT").unwrap();
    let options = Delimited { columns, header: true, ..Delimited::default() };
    bench.append("a.csv", "\u{feff}name,n\r\n가,1\r\n");
    let run = || {
        let context = bench.context(Some(Decode::Csv(options.clone())));
        start("lines", &tail("*.csv", ReadFrom::Beginning), context).unwrap()
    };
    let source = run();
    bench.wait_for(1);
    source.stop();
    bench.append("a.csv", "나,2\n");
    bench.append("b.csv", "n,other\n3,x\n");
    bench.append("c.csv", "no such column\n4\n");
    let source = run();
    bench.wait_for(3);
    assert_eq!(
        bench.lines(),
        [r#"{"name":"가","n":1}"#, r#"{"name":"나","n":2}"#, r#"{"n":3,"other":"x"}"#]
    );
    wait_until(|| source.status().fates.dead == 2, || format!("{:?}", source.status()));
    assert_eq!(source.status().fates.filtered, 2);
}

#[test]
fn lines_too_long_are_cut_and_counted_without_being_held() {
    let bench = Bench::new();
    bench.append("a.log", "before\n");
    bench.append("a.log", vec![b'x'; 5 << 20]);
    let source = bench.start("a.log", ReadFrom::Beginning);
    bench.wait_for(1);
    source.stop();
    let source = bench.start("a.log", ReadFrom::Beginning);
    bench.append("a.log", vec![b'x'; 100]);
    bench.append("a.log", "\nafter\n");
    bench.append("a.log", [vec![b'y'; (1 << 20) - 100].as_slice(), b"\nlast\n"].concat());
    bench.wait_for(3);
    assert_eq!(bench.lines(), ["before", "after", "last"]);
    wait_until(|| source.status().fates.dead == 2, || format!("{:?}", source.status()));
    let dead = bench.records("dead.source.lines");
    assert_eq!(dead[0].value.as_ref().unwrap().len(), 256 << 10);
    let reasons: Vec<_> = dead
        .iter()
        .map(|dead| {
            String::from_utf8_lossy(dead.headers.last().unwrap().value.as_ref().unwrap())
                .into_owned()
        })
        .collect();
    assert!(reasons[0].contains("the line has 5242980 bytes"), "{reasons:?}");
    assert!(reasons[1].contains("the topic takes at most"), "{reasons:?}");
}

#[test]
fn many_lines_are_many_commits_spread_over_partitions() {
    let bench = Bench::new();
    let new = NewTopic { name: "lines".into(), partitions: 3, config: BTreeMap::new() };
    bench.store.create_topic(new).unwrap();
    bench.append("a.log", numbered(0..50_000));
    let slow = Trouble::slow(bench.store.clone(), Duration::from_millis(10));
    let source = bench.start_on(Arc::new(slow), "a.log");
    bench.wait_for(50_000);
    let topics = bench.store.topics();
    for part in topics.get("lines").unwrap().partitions.iter() {
        assert!(bench.store.ends(*part).unwrap().high > 8_000);
    }
    let mut lines = bench.lines();
    lines.sort_by_key(|line| line[5..].parse::<usize>().unwrap());
    expect_numbered(&lines, 50_000);
    wait_until(|| source.status().fates.read == 50_000, || "the counts".into());
}

/// The store fails after some commits (or loses its answer), again and again, while lines come in
/// pieces; each time a new source takes over. Every line arrives once, in order.
#[test]
fn crashes_at_any_commit_lose_and_repeat_nothing() {
    for seed in 0..12 {
        let rand = SeededRand::new(seed);
        let bench = Bench::new();
        let text = numbered(0..30_000);
        let mut written = 0;
        for round in 0.. {
            let trouble = Trouble::after(bench.store.clone(), rand.below(4), rand.below(2) == 0);
            let failed = trouble.failed();
            let source = bench.start_on(Arc::new(trouble), "a.log");
            let piece = (rand.below(80_000) as usize).min(text.len() - written);
            bench.append("a.log", &text[written..written + piece]);
            written += piece;
            std::thread::sleep(Duration::from_millis(rand.below(40)));
            // What the "crashed" process still has in flight goes nowhere.
            drop(source);
            drop(failed);
            if written == text.len() {
                break;
            }
            assert!(round < 1_000);
        }
        let _source = bench.start("a.log", ReadFrom::Beginning);
        bench.wait_for(30_000);
        expect_numbered(&bench.lines(), 30_000);
        let fates = bench.store.fact(FactKind::Fates, b"source/lines").unwrap();
        assert_eq!(Fates::decode(&fates).unwrap().read, 30_000);
    }
}

#[test]
fn a_disk_that_is_full_for_a_while_is_waited_for() {
    let bench = Bench::new();
    bench.append("a.log", numbered(0..5));
    let trouble = Arc::new(Trouble::full(bench.store.clone()));
    let source = bench.start_on(Arc::clone(&trouble) as Arc<dyn Store>, "a.log");
    wait_until(|| source.status().message.is_some(), || "a message".into());
    let status = source.status();
    assert_eq!(status.state, SourceState::Waiting);
    assert!(status.message.as_ref().unwrap().contains("disk is full"), "{status:?}");
    trouble.relieve();
    bench.wait_for(5);
    wait_until(|| source.status().state == SourceState::Running, || "running".into());
}

#[test]
fn another_holder_of_the_name_ends_the_first() {
    let bench = Bench::new();
    bench.append("a.log", numbered(0..1));
    let first = bench.start("a.log", ReadFrom::Beginning);
    bench.wait_for(1);
    let second = bench.start("a.log", ReadFrom::Beginning);
    bench.append("a.log", numbered(1..2));
    bench.wait_for(2);
    wait_until(|| first.status().state == SourceState::Failed, || "the first to fail".into());
    assert!(first.status().message.unwrap().contains("generation 2"));
    assert_eq!(second.status().state, SourceState::Running);
}

fn generate(shape: Shape) -> GenerateConfig {
    GenerateConfig { shape, rate: None, every: None, stations: None, count: None, seed: 7 }
}

#[test]
fn generated_records_come_once_over_restarts() {
    let bench = Bench::new();
    let config =
        GenerateConfig { rate: Some(20_000.0), count: Some(3_000), ..generate(Shape::Movies) };
    let mut starts = 0;
    while bench.lines().len() < 3_000 {
        let config = SourceConfig::Generate(config.clone());
        let source = start("lines", &config, bench.context(None)).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        source.stop();
        starts += 1;
        assert!(starts < 500);
    }
    assert!(starts > 1, "the test is about restarts");
    let records: Vec<serde_json::Value> =
        bench.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let movies: Vec<_> = records.iter().map(|record| record["movie"].as_str().unwrap()).collect();
    let want: Vec<_> = (20_001..23_001).map(|movie| movie.to_string()).collect();
    assert_eq!(movies, want);
    let source = start("lines", &SourceConfig::Generate(config), bench.context(None)).unwrap();
    wait_until(|| source.status().message.is_some(), || "a message".into());
    assert!(source.status().message.unwrap().contains("made all 3000 records"));
}

#[test]
fn all_stations_report_at_once_each_round() {
    let bench = Bench::new();
    let every = Some(Every(Duration::from_millis(300)));
    let config = GenerateConfig { every, count: Some(5_400), ..generate(Shape::Bikes) };
    let source = start("lines", &SourceConfig::Generate(config), bench.context(None)).unwrap();
    wait_until(|| bench.lines().len() == 5_400, || "two rounds".into());
    source.stop();
    let lines = bench.lines();
    let stamp = |line: &String| line.split("\"timestamp\":").nth(1).unwrap().to_owned();
    assert!(lines[..2_700].iter().all(|line| stamp(line) == stamp(&lines[0])));
    let ids: std::collections::BTreeSet<_> = lines[2_700..]
        .iter()
        .map(|line| line.split("\"stationId\":").nth(1).unwrap().split(',').next().unwrap())
        .collect();
    assert_eq!(ids.len(), 2_700);
}

/// The same over the real log on a real disk, closed and opened again between the starts.
#[test]
fn the_real_log_keeps_records_and_position_together() {
    let bench = Bench::new();
    let files = tempfile::tempdir().unwrap();
    let mut lines = Vec::new();
    for round in 0..3 {
        bench.append("a.log", numbered(round * 2_000..(round + 1) * 2_000));
        let disk = yeoul_base::RealDisk::new(files.path()).unwrap();
        let (log, _) = yeoul_log::Log::open(
            Arc::new(disk),
            Arc::new(SystemClock::new()),
            Arc::new(yeoul_base::OsRand::new()),
            yeoul_log::LogOptions::default(),
        )
        .unwrap();
        let store: Arc<dyn Store> = Arc::new(log);
        let source = bench.start_on(Arc::clone(&store), "a.log");
        let want = (round as u64 + 1) * 2_000;
        wait_until(|| source.status().fates.read == want, || format!("{:?}", source.status()));
        source.stop();
        let part = store.topics().get("lines").unwrap().partitions[0];
        let mut reader =
            yeoul_log::reader::PartitionReader::new(store, part, 0, Isolation::Committed);
        lines.clear();
        loop {
            let records = reader.next(1 << 20).unwrap();
            if records.is_empty() {
                break;
            }
            let text = |record: Record| String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            lines.extend(records.into_iter().map(text));
        }
    }
    expect_numbered(&lines, 6_000);
}
