//! Compaction against a model: whatever is written, compacted, restarted, crashed or fails to be
//! written, a reader from anywhere sees true records in order and the newest one of each key.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use yeoul_base::disk::sim::{Action, Crash, Fault, Image};
use yeoul_base::{
    Append, Clock, Commit, Disk, Isolation, ManualClock, PartId, Rand, RealDisk, SeededRand,
    SimDisk, Store, StoreError, SystemClock,
};
use yeoul_log::{
    BatchBuilder, BatchHeader, Codec, Hold, Holds, Log, LogOptions, PartitionReader, Record, batch,
};

use crate::support::{NOW_MS, Outcome, tiny, topic};

const KEYS: u64 = 6;
/// `delete.retention.ms` of the topic.
const DELETIONS_MS: i64 = 10_000;
const HOUR_MS: i64 = 3_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Committed,
    Open,
    Aborted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Written {
    key: String,
    /// `None` deletes the key.
    value: Option<String>,
    timestamp_ms: i64,
    /// When it was written, or decided if it was in a transaction.
    at_ms: i64,
    producer: Option<i64>,
    fate: Fate,
}

/// What was written, by offset; markers have none.
#[derive(Debug, Clone, Default)]
struct Model {
    written: BTreeMap<i64, Written>,
    start: i64,
    high: i64,
    /// First offset of a producer's open transaction.
    open: BTreeMap<i64, i64>,
    sequences: BTreeMap<i64, i32>,
    hold: Option<i64>,
}

struct Held(PartId, i64);

impl Holds for Held {
    fn holds(&self) -> Vec<Hold> {
        vec![Hold { component: "table/t".into(), part: self.0, from: self.1 }]
    }

    fn lost(&self, _: &str, _: PartId, _: std::ops::Range<i64>) {}
}

fn options() -> LogOptions {
    // A handful of keys, so that some compactions need several passes.
    LogOptions { compaction_keys_bytes: 4 * 64, hot_bytes: 2_000, ..tiny() }
}

fn open(disk: &SimDisk) -> (Log, u64) {
    open_with(disk, options())
}

fn open_with(disk: &SimDisk, options: LogOptions) -> (Log, u64) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at_ms(NOW_MS));
    let (log, recovered) =
        Log::open(disk, clock, Arc::new(SeededRand::new(3)), options).expect("it opens");
    (log, recovered.sequence)
}

fn all(
    log: &Log,
    part: PartId,
    from: i64,
    isolation: Isolation,
) -> Result<Vec<Record>, StoreError> {
    let mut reader = PartitionReader::new(Arc::new(log.clone()), part, from, isolation);
    let mut out = Vec::new();
    loop {
        let records = reader.next(700)?;
        if records.is_empty() {
            let ends = log.ends(part).expect("a partition");
            let end = if isolation == Isolation::Committed { ends.stable } else { ends.high };
            assert_eq!(reader.position(), end.max(from), "the end is reached");
            return Ok(out);
        }
        out.extend(records.into_iter().filter(|record| record.offset >= from));
    }
}

impl Model {
    fn stable(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.high)
    }

    /// The newest committed record of each key below the end.
    fn newest(&self) -> BTreeMap<&str, i64> {
        let decided = self.written.range(self.start..self.stable());
        let committed = decided.filter(|(_, written)| written.fate == Fate::Committed);
        committed.map(|(offset, written)| (written.key.as_str(), *offset)).collect()
    }

    fn check_from(&self, log: &Log, part: PartId, from: i64, now_ms: i64) -> Result<(), String> {
        let seen = all(log, part, from, Isolation::Committed).map_err(|e| e.to_string())?;
        let mut last = from - 1;
        for record in &seen {
            let Some(written) = self.written.get(&record.offset) else {
                return Err(format!("{record:?} was never written"));
            };
            let same = record.key.as_deref() == Some(written.key.as_bytes())
                && record.value.as_deref() == written.value.as_deref().map(str::as_bytes)
                && record.timestamp_ms == written.timestamp_ms;
            if !same || written.fate != Fate::Committed || record.offset <= last {
                return Err(format!("{record:?} after {last}, but {written:?}"));
            }
            last = record.offset;
        }
        let seen: BTreeMap<_, _> = seen.iter().map(|record| (record.offset, record)).collect();
        for (key, offset) in self.newest() {
            let written = &self.written[&offset];
            let deletion = written.value.is_none() && now_ms >= written.at_ms + DELETIONS_MS;
            if offset >= from && !deletion && !seen.contains_key(&offset) {
                return Err(format!("from {from}: the newest of {key}, {offset}, is not there"));
            }
        }
        for (offset, written) in self.written.range(from.max(self.hold.unwrap_or(i64::MAX))..) {
            let seen = seen.contains_key(offset);
            if written.fate == Fate::Committed && *offset < self.stable() && !seen {
                return Err(format!("{offset} is held and not there"));
            }
        }
        Ok(())
    }

    fn check(&self, log: &Log, part: PartId, now_ms: i64, rand: &SeededRand) -> Result<(), String> {
        let ends = log.ends(part).ok_or("no partition")?;
        let stable = self.stable().max(self.start);
        if (ends.start, ends.stable, ends.high) != (self.start, stable, self.high) {
            return Err(format!("{ends:?}, not {} {stable} {}", self.start, self.high));
        }
        self.check_from(log, part, self.start, now_ms)?;
        let from = self.start + rand.below((self.high - self.start) as u64 + 1) as i64;
        self.check_from(log, part, from, now_ms)?;
        // Everything, aborted and open too, as an uncommitted reader may see it; and by time.
        let plain =
            all(log, part, self.start, Isolation::Uncommitted).map_err(|e| e.to_string())?;
        for record in &plain {
            let written = self.written.get(&record.offset).ok_or("never written")?;
            if record.key.as_deref() != Some(written.key.as_bytes()) {
                return Err(format!("{record:?}, but {written:?}"));
            }
        }
        let time = NOW_MS + rand.below(60) as i64;
        let expected = plain.iter().find(|record| record.timestamp_ms >= time);
        let expected = expected.map(|record| (record.offset, record.timestamp_ms));
        let found = log.offset_at(part, time).map_err(|error| error.to_string())?;
        if found != expected {
            return Err(format!("at {time}: {found:?}, should be {expected:?}"));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Write,
    Transaction,
    End,
    Roll,
    Compact,
    Later,
    Checkpoint,
    Restart,
    DeleteRecords,
    Hold,
}

const STEPS: [Step; 16] = [
    Step::Write,
    Step::Write,
    Step::Write,
    Step::Write,
    Step::Transaction,
    Step::Transaction,
    Step::End,
    Step::End,
    Step::Roll,
    Step::Compact,
    Step::Compact,
    Step::Later,
    Step::Checkpoint,
    Step::Restart,
    Step::DeleteRecords,
    Step::Hold,
];

struct World {
    disk: SimDisk,
    log: Option<Log>,
    part: PartId,
    rand: SeededRand,
    model: Model,
    now_ms: i64,
    values: u64,
    /// By sequence.
    history: BTreeMap<u64, Model>,
    /// Journal's length and sequence after each step.
    acked: Vec<(usize, u64)>,
    replaced: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new();
        // Readers find the newest in memory, or everything.
        let hot_bytes = [2_000, 50_000][(seed % 2) as usize];
        let (log, _) = open_with(&disk, LogOptions { hot_bytes, ..options() });
        let config = [
            ("cleanup.policy", "compact"),
            ("segment.bytes", "1200"),
            ("segment.ms", "3600000"),
            ("min.cleanable.dirty.ratio", "0"),
            ("delete.retention.ms", "10000"),
        ];
        let part = topic(&log, "t", &config).expect("a topic");
        let mut world = Self {
            disk,
            log: None,
            part,
            rand: SeededRand::new(seed),
            model: Model::default(),
            now_ms: NOW_MS,
            values: 0,
            history: BTreeMap::new(),
            acked: Vec::new(),
            replaced: 0,
        };
        world.log = Some(log);
        world.note();
        world
    }

    fn log(&self) -> Log {
        self.log.clone().expect("open")
    }

    fn below(&self, bound: u64) -> u64 {
        self.rand.below(bound)
    }

    fn note(&mut self) {
        let sequence = self.log().stats().sequence;
        self.history.insert(sequence, self.model.clone());
        self.acked.push((self.disk.journal_len(), sequence));
    }

    fn batch(&mut self, producer: Option<i64>) -> Bytes {
        let codecs = [Codec::None, Codec::Lz4, Codec::Zstd, Codec::Snappy, Codec::Gzip];
        let mut builder = BatchBuilder::new(codecs[self.below(5) as usize]);
        if let Some(id) = producer {
            let next = self.model.sequences.get(&id).copied().unwrap_or(0);
            builder.transactional().producer(id, 0, next);
        }
        let count = 1 + self.below(4) as i64;
        for index in 0..count {
            self.values += 1;
            let key = format!("k{}", self.below(KEYS));
            let long = ".".repeat([1, 1, 60, 400][self.below(4) as usize]);
            let value = (self.below(4) > 0).then(|| format!("{}{long}", self.values));
            let timestamp_ms = NOW_MS + self.below(50) as i64;
            let value_bytes = value.as_deref().map(str::as_bytes);
            builder.push(timestamp_ms, Some(key.as_bytes()), value_bytes, &[]);
            let fate = if producer.is_some() { Fate::Open } else { Fate::Committed };
            let written = Written { key, value, timestamp_ms, at_ms: self.now_ms, producer, fate };
            self.model.written.insert(self.model.high + index, written);
        }
        if let Some(id) = producer {
            self.model.open.entry(id).or_insert(self.model.high);
            *self.model.sequences.entry(id).or_default() += count as i32;
        }
        self.model.high += count;
        builder.finish().expect("records")
    }

    fn commit(&self, batch: Bytes) -> Result<(), StoreError> {
        let appends = vec![Append { part: self.part, batch }];
        self.log().commit(Commit { appends, ..Commit::default() }).map(|_| ())
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let open: Vec<_> = self.model.open.keys().copied().collect();
        if open.is_empty() {
            return Ok(());
        }
        let id = open[self.below(open.len() as u64) as usize];
        let commit = self.below(2) == 0;
        self.model.open.remove(&id);
        self.model.high += 1;
        for written in self.model.written.values_mut() {
            if written.producer == Some(id) && written.fate == Fate::Open {
                written.fate = if commit { Fate::Committed } else { Fate::Aborted };
                written.at_ms = self.now_ms;
            }
        }
        self.commit(batch::marker(id, 0, commit, 0, NOW_MS))
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        let log = self.log();
        let done = match step {
            Step::Write => {
                let batch = self.batch(None);
                self.commit(batch)
            }
            Step::Transaction => {
                let producer = 1 + self.below(2) as i64;
                let batch = self.batch(Some(producer));
                self.commit(batch)
            }
            Step::End => self.end(),
            Step::Roll => log.enforce_retention(NOW_MS + HOUR_MS).map(|_| ()),
            Step::Compact => log.compact(self.now_ms).map(|replaced| self.replaced += replaced),
            Step::Later => {
                self.now_ms += self.below(2 * DELETIONS_MS as u64) as i64;
                Ok(())
            }
            Step::Checkpoint => log.checkpoint(),
            Step::Restart => {
                if self.below(2) == 0 {
                    log.close();
                }
                drop(log);
                self.log = None;
                self.log = Some(open(&self.disk).0);
                self.hold();
                Ok(())
            }
            Step::DeleteRecords => {
                let more = self.below((self.model.high - self.model.start) as u64 / 4 + 1) as i64;
                let before = (self.model.start + more).min(self.model.stable());
                let ends = log.delete_records(self.part, before);
                ends.map(|ends| self.model.start = ends.start)
            }
            Step::Hold => {
                let from = self.model.high - self.below(self.model.high as u64 / 2 + 1) as i64;
                // Forward only, as components go; what was compacted cannot come back.
                let from = from.max(self.model.hold.unwrap_or(self.model.high));
                self.model.hold = Some(from);
                self.hold();
                Ok(())
            }
        };
        done.map_err(|error| error.to_string())?;
        self.note();
        self.model.check(&self.log(), self.part, self.now_ms, &self.rand)
    }

    fn hold(&self) {
        if let Some(from) = self.model.hold {
            self.log().set_holds(Arc::new(Held(self.part, from)));
        }
    }

    fn run(seed: u64, steps: usize) -> Result<Self, String> {
        let mut world = Self::new(seed);
        for number in 0..steps {
            let step = STEPS[world.below(STEPS.len() as u64) as usize];
            let done = world.step(step);
            done.map_err(|error| format!("seed {seed}, step {number} {step:?}: {error}"))?;
        }
        Ok(world)
    }

    /// Ends all transactions, lets go of holds, closes and compacts everything.
    fn compact_all(&mut self) -> Result<(), String> {
        while !self.model.open.is_empty() {
            self.step(Step::End)?;
        }
        self.model.hold = None;
        self.log().set_holds(Arc::new(Held(self.part, i64::MAX)));
        self.step(Step::Roll)?;
        self.step(Step::Compact)
    }
}

#[test]
fn readers_see_the_newest_of_each_key_whatever_happens() -> Outcome {
    let mut replaced = 0;
    for seed in 0..80 {
        let mut world = World::run(seed, 70)?;
        world.compact_all().map_err(|error| format!("seed {seed}: {error}"))?;
        let log = world.log();
        let left = all(&log, world.part, world.model.start, Isolation::Committed)?;
        let newest: Vec<_> = world.model.newest().into_values().collect();
        let mut offsets: Vec<_> = left.iter().map(|record| record.offset).collect();
        offsets.retain(|offset| !newest.contains(offset));
        assert_eq!(offsets, [0i64; 0], "seed {seed}: more than the newest is left");
        // Two passes after their time no deletion is left; of markers the last batch at most.
        for _ in 0..2 {
            world.now_ms += DELETIONS_MS;
            world.step(Step::Compact)?;
        }
        let left = all(&log, world.part, world.model.start, Isolation::Uncommitted)?;
        assert!(left.iter().all(|record| record.value.is_some()), "seed {seed}: {left:?}");
        assert_eq!(
            left.len(),
            all(&log, world.part, world.model.start, Isolation::Committed)?.len()
        );
        assert_eq!(idle_markers(&log, world.part)?, 0, "seed {seed}");
        replaced += world.replaced;
    }
    println!("{replaced} log segments were replaced");
    assert!(replaced > 1_000, "{replaced}");
    Ok(())
}

/// Markers of transactions that have nothing left, but for the partition's last batch.
fn idle_markers(log: &Log, part: PartId) -> Result<usize, Box<dyn std::error::Error>> {
    let ends = log.ends(part).ok_or("no partition")?;
    let (mut at, mut busy, mut idle) = (ends.start, BTreeSet::new(), 0);
    while at < ends.high {
        let read = log.read(part, at, 1 << 20, Isolation::Uncommitted)?;
        for bytes in read.batches.into_iter().flat_map(batch::split) {
            let header = BatchHeader::parse(&bytes?)?;
            at = header.last_offset() + 1;
            if !header.is_control() {
                busy.insert(header.producer_id);
            } else if !busy.remove(&header.producer_id) && at < ends.high {
                idle += 1;
            }
        }
    }
    Ok(idle)
}

/// Crashes a finished world all over its journal.
#[test]
fn a_crash_loses_no_more_than_the_compaction() -> Outcome {
    const IMAGES: u64 = 60;
    let mut images = 0;
    for seed in 1000..1025 {
        let world = World::run(seed, 40)?;
        let mut replay = world.disk.replay();
        let length = replay.len() as u64;
        loop {
            for crash in Crash::ALL {
                if world.below(length * Crash::ALL.len() as u64) >= IMAGES {
                    continue;
                }
                let image = replay.image(crash, &world.rand);
                images += 1;
                check_image(&world, &image, replay.at())
                    .map_err(|e| format!("seed {seed}, {crash:?} after {}: {e}", replay.at()))?;
            }
            if !replay.step() {
                break;
            }
        }
    }
    println!("{images} images");
    assert!(images > 1_000, "{images}");
    Ok(())
}

fn check_image(world: &World, image: &Image, at: usize) -> Result<(), String> {
    let disk = SimDisk::from_image(image);
    let (log, sequence) = open(&disk);
    let acked = world.acked.iter().filter(|(done_at, _)| *done_at <= at);
    let acked = acked.map(|(_, sequence)| *sequence).max().unwrap_or(0);
    if sequence < acked {
        return Err(format!("{sequence} commits are there, {acked} were acked"));
    }
    // Before the topic was made there is nothing to look at.
    let Some(model) = world.history.get(&sequence) else { return Ok(()) };
    let mut model = Model { hold: None, ..model.clone() };
    // Deletions that have been dropped meanwhile are dropped for ever.
    let now_ms = world.now_ms;
    model.check(&log, world.part, now_ms, &world.rand)?;
    // It goes on from there: compacts, and is opened once more.
    log.set_holds(Arc::new(Held(world.part, i64::MAX)));
    log.enforce_retention(NOW_MS + HOUR_MS).map_err(|error| error.to_string())?;
    log.compact(now_ms).map_err(|error| error.to_string())?;
    model.check(&log, world.part, now_ms, &world.rand).map_err(|e| format!("compacted: {e}"))?;
    model.start = log.ends(world.part).map_or(0, |ends| ends.start);
    if at.is_multiple_of(2) {
        log.close();
    }
    drop(log);
    let (log, _) = open(&disk);
    model.check(&log, world.part, now_ms, &world.rand).map_err(|e| format!("again: {e}"))
}

/// Every write, sync, creation and removal of a compaction fails once: nothing is lost, the log
/// goes on, and the next compaction does the work.
#[test]
fn a_compaction_that_fails_anywhere_changes_nothing() -> Outcome {
    let mut failed = 0;
    for action in [Action::Write, Action::Sync, Action::Create, Action::Remove] {
        for error in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
            for after in 0.. {
                let mut world = World::new(7);
                for step in [Step::Write, Step::Transaction].repeat(12) {
                    world.step(step)?;
                }
                while !world.model.open.is_empty() {
                    world.step(Step::End)?;
                }
                world.step(Step::Roll)?;
                world.step(Step::Checkpoint)?;
                world.disk.inject(Fault { action, path: "parts".into(), after, times: 1, error });
                let replaced = world.log().compact(world.now_ms)?;
                assert_eq!(world.log().fatal(), None, "{action:?} {after}");
                world.model.check(&world.log(), world.part, world.now_ms, &world.rand)?;
                let again = world.log().compact(world.now_ms)?;
                world.model.check(&world.log(), world.part, world.now_ms, &world.rand)?;
                assert!(replaced + again > 5, "{action:?} {after}: {replaced}, {again}");
                // All the work was done at once: the fault was never met.
                if again == 0 {
                    break;
                }
                world.step(Step::Checkpoint)?;
                world.step(Step::Restart)?;
                world.compact_all()?;
                failed += 1;
            }
        }
    }
    println!("{failed} failures");
    assert!(failed > 20, "{failed}");
    Ok(())
}

/// What is damaged is never compacted away, and nothing behind it either.
#[test]
fn damage_stops_a_compaction_before_it() -> Outcome {
    let mut world = World::new(9);
    for _ in 0..30 {
        world.step(Step::Write)?;
    }
    world.step(Step::Roll)?;
    world.step(Step::Checkpoint)?;
    let image = world.disk.image();
    let logs: Vec<_> =
        image.files.keys().filter(|path| path.extension() == Some("log".as_ref())).collect();
    let bad = logs[logs.len() / 2].clone();
    assert!(world.disk.flip(&bad, 100, 4));
    let log = world.log();
    log.compact(world.now_ms)?;
    log.compact(world.now_ms)?;
    log.checkpoint()?;
    assert!(world.disk.image().files.contains_key(&bad), "{bad:?} is kept");
    let scrubbed = log.scrub()?;
    assert_eq!(scrubbed.damaged.len(), 1, "{scrubbed:?}");
    assert_eq!(scrubbed.damaged[0].file, bad.display().to_string());
    assert_eq!(log.lost().len(), 1);
    Ok(())
}

/// It is closed, synced and compacted behind one look, though nobody writes any more.
#[test]
fn an_idle_log_is_compacted_with_its_next_look() -> Outcome {
    const EVERY: Duration = Duration::from_secs(3);
    let dir = tempfile::TempDir::new()?;
    let options = LogOptions { retention_every: EVERY, ..LogOptions::default() };
    let (disk, clock) = (Arc::new(RealDisk::new(dir.path())?), Arc::new(SystemClock::new()));
    let (log, _) = Log::open(disk, clock.clone(), Arc::new(SeededRand::new(1)), options)?;
    let config = [("cleanup.policy", "compact"), ("segment.ms", "1")];
    let part = topic(&log, "t", &config)?;
    for n in 0..20 {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(NOW_MS, Some(b"key"), Some(format!("{n}").as_bytes()), &[]);
        let appends = vec![Append { part, batch: builder.finish().ok_or("a record")? }];
        log.commit(Commit { appends, ..Commit::default() })?;
    }
    let begun = clock.monotonic();
    while all(&log, part, 0, Isolation::Committed)?.len() > 1 {
        let waited = clock.monotonic().saturating_sub(begun);
        assert!(waited < 2 * EVERY, "not compacted after {waited:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    log.close();
    Ok(())
}

/// Writer, readers and the background compaction at once: no reader sees an aborted record, one
/// twice, or misses what was newest before it began.
#[test]
fn readers_go_on_while_files_are_swapped() -> Outcome {
    const WRITES: i64 = 2_000;
    const NAMES: i64 = 20;
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let every = Duration::from_millis(2);
    let options = LogOptions {
        inline: false,
        retention_every: every,
        slot_bytes: [1 << 20; 3],
        checkpoint_bytes: 100_000,
        background_bytes_per_s: 1 << 30,
        ..options()
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (log, _) = Log::open(disk, clock, Arc::new(SeededRand::new(3)), options)?;
    let config = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "4000"),
        ("min.cleanable.dirty.ratio", "0.1"),
        ("delete.retention.ms", "20"),
    ];
    let part = topic(&log, "t", &config)?;
    let written = AtomicI64::new(-1);
    let one = |producer: Option<i32>, n: i64, value: &str| {
        let mut builder = BatchBuilder::new(Codec::None);
        if let Some(sequence) = producer {
            builder.transactional().producer(1, 0, sequence);
        }
        builder.push(
            NOW_MS,
            Some(format!("k{}", n % NAMES).as_bytes()),
            Some(value.as_bytes()),
            &[],
        );
        builder.finish().expect("a record")
    };
    let scan = || -> Result<(), String> {
        let floor = written.load(Ordering::SeqCst);
        let start = log.ends(part).map_or(0, |ends| ends.start);
        let mut reader =
            PartitionReader::new(Arc::new(log.clone()), part, start, Isolation::Committed);
        let (mut newest, mut last) = (BTreeMap::new(), -1);
        loop {
            let records = reader.next(3_000).map_err(|error| error.to_string())?;
            if records.is_empty() {
                break;
            }
            for record in records {
                let value = record.value.expect("no deletions");
                let n: i64 = std::str::from_utf8(&value)
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .ok_or(format!("{value:?} was aborted"))?;
                if record.offset <= last {
                    return Err(format!("offset {} after {last}", record.offset));
                }
                last = record.offset;
                newest.insert(n % NAMES, n);
            }
        }
        for name in 0..NAMES.min(floor + 1) {
            let expected = floor - (floor - name).rem_euclid(NAMES);
            if newest.get(&name).is_none_or(|n| *n < expected) {
                return Err(format!("k{name} is {:?}, was {expected}", newest.get(&name)));
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut scans = 0;
                    while written.load(Ordering::SeqCst) < WRITES - 1 {
                        scan()?;
                        scans += 1;
                    }
                    Ok::<_, String>(scans)
                })
            })
            .collect();
        let mut sequence = 0;
        for n in 0..WRITES {
            if n % 50 == 7 {
                for _ in 0..3 {
                    let batch = one(Some(sequence), n, "aborted");
                    log.commit(Commit {
                        appends: vec![Append { part, batch }],
                        ..Commit::default()
                    })?;
                    sequence += 1;
                }
                let batch = batch::marker(1, 0, false, 0, NOW_MS);
                log.commit(Commit { appends: vec![Append { part, batch }], ..Commit::default() })?;
            }
            let batch = one(None, n, &n.to_string());
            log.commit(Commit { appends: vec![Append { part, batch }], ..Commit::default() })?;
            written.store(n, Ordering::SeqCst);
        }
        for reader in readers {
            let scans = reader.join().expect("no panic")?;
            assert!(scans > 3, "{scans} scans");
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    scan()?;
    // Only what a checkpoint has synced is compacted, and how far that came by now is the
    // machine's affair.
    log.checkpoint()?;
    let most = WRITES as u64 * 75 / 3;
    let bytes = || log.ends(part).map_or(0, |ends| ends.bytes);
    for _ in 0..2_000 {
        if bytes() < most {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("{} bytes of {} are left", bytes(), WRITES * 75);
    assert!(bytes() < most, "{} bytes are left", bytes());
    log.close();
    scan()?;
    Ok(())
}
