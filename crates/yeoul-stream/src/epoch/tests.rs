//! Each file of `tests/cases` is a stream with its input and what must come out. Every case runs
//! with epochs of several sizes, over several partitions, and is cut off at every commit, before
//! and after it: the rows must always be the same.

mod case;

use std::sync::atomic::{AtomicUsize, Ordering};

use yeoul_base::{Append, Committed, Done, Isolation, ManualClock, MemStore, StoreLayer};
use yeoul_log::batch::{BatchBuilder, Codec};
use yeoul_log::reader::PartitionReader;

use super::*;
use case::Case;

/// A store that dies at one commit, before it or after it.
#[derive(Debug)]
struct Mortal {
    inner: MemStore,
    /// Commits left to live.
    left: AtomicUsize,
    /// Whether the deadly commit still happens.
    happens: bool,
}

impl StoreLayer for Mortal {
    fn beneath(&self) -> &dyn Store {
        &self.inner
    }

    fn on_submit(&self, commit: Commit, done: Done) {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        match left {
            0 => done(Err(StoreError::Closed("dead".into()))),
            1 if self.happens => {
                let ignore: Done = Box::new(|_: Result<Committed, StoreError>| {});
                self.inner.submit(commit, ignore);
                done(Err(StoreError::Closed("dead".into())));
            }
            1 => done(Err(StoreError::Closed("dead".into()))),
            _ => self.inner.submit(commit, done),
        }
    }
}

/// A store with a case's topics and records; records go to partitions in turn.
fn filled(case: &Case, partitions: u32) -> MemStore {
    let store = MemStore::new();
    for topic in &case.topics {
        let new = NewTopic { name: topic.name.clone(), partitions, config: Default::default() };
        store.create_topic(new).unwrap();
        if let Some(schema) = &topic.schema {
            let facts = vec![schema.fact(&topic.name)];
            store.commit(Commit { facts, ..Commit::default() }).unwrap();
        }
        put(&store, &topic.name, &topic.records);
    }
    store
}

fn put(store: &dyn Store, topic: &str, records: &[String]) {
    let info = Arc::clone(store.topics().get(topic).unwrap());
    for (at, value) in records.iter().enumerate() {
        let mut batch = BatchBuilder::new(Codec::None);
        batch.push(1_658_042_294_000 + at as i64, None, Some(value.as_bytes()), &[]);
        let part = info.partitions[at % info.partitions.len()];
        let appends = vec![Append { part, batch: batch.finish().unwrap() }];
        store.commit(Commit { appends, ..Commit::default() }).unwrap();
    }
}

fn runner(case: &Case, store: Arc<dyn Store>, records: usize) -> Runner {
    let clock = Arc::new(ManualClock::at_ms(1_700_000_000_000));
    let lookups = Arc::new(Lookups::new(case.lookups(), clock.clone()));
    let context = StreamContext { store, clock, lookups };
    Runner::new(case.spec.clone(), context, Arc::default()).unwrap().with_limits(records, 300)
}

/// Steps until nothing is left; says why it stopped.
fn to_end(runner: &mut Runner) -> Step {
    for _ in 0..10_000 {
        match runner.step() {
            Step::Worked => {}
            other => return other,
        }
    }
    panic!("never idle");
}

/// All records of a topic as `key: value`, sorted.
fn rows(store: &MemStore, topic: &str) -> Vec<String> {
    let mut rows = Vec::new();
    let Some(info) = store.topics().get(topic).cloned() else { return rows };
    for part in info.partitions.iter() {
        let store: Arc<dyn Store> = Arc::new(store.clone());
        let mut reader = PartitionReader::new(store, *part, 0, Isolation::Committed);
        loop {
            let records = reader.next(usize::MAX).unwrap();
            if records.is_empty() {
                break;
            }
            rows.extend(records.iter().map(|record| {
                let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
                let key = record.key.as_ref().map(|key| format!("{}: ", text(key)));
                key.unwrap_or_default() + &record.value.as_ref().map(text).unwrap_or_default()
            }));
        }
    }
    rows.sort();
    rows
}

fn judge(case: &Case, store: &MemStore, how: &str) {
    assert_eq!(rows(store, &case.spec.to), case.expect, "{}: {how}", case.name);
    let component = case.spec.component();
    let letters = rows(store, &dead::topic_name(&component));
    assert_eq!(letters, case.dead, "{}: dead letters, {how}", case.name);
    let fates = store.fact(FactKind::Fates, component.as_bytes()).unwrap();
    let fates = Fates::decode(&fates).unwrap();
    let read: usize = case.topics.iter().map(|topic| topic.records.len()).sum();
    assert!(fates.balanced(), "{}: {how}: {fates:?}", case.name);
    assert_eq!(fates.read, read as u64, "{}: {how}", case.name);
    assert_eq!(fates.dead, case.dead.len() as u64, "{}: {how}", case.name);
    assert_eq!(fates.out, case.expect.len() as u64, "{}: {how}", case.name);
}

#[test]
fn every_case_gives_its_rows_however_it_is_cut() {
    let cases = case::all();
    assert!(cases.len() >= 4, "the cases were not found");
    for case in &cases {
        for (records, partitions) in [(1, 1), (3, 2), (8_192, 1), (7, 5)] {
            let store = filled(case, partitions);
            let mut runner = runner(case, Arc::new(store.clone()), records);
            assert_eq!(to_end(&mut runner), Step::Idle, "{}", case.name);
            judge(case, &store, &format!("{records} records, {partitions} partitions"));
        }
    }
}

#[test]
fn every_case_survives_a_death_at_every_commit() {
    for case in &case::all() {
        for happens in [false, true] {
            for death in 1.. {
                let store = filled(case, 2);
                let mortal =
                    Mortal { inner: store.clone(), left: AtomicUsize::new(death), happens };
                let died = match to_end(&mut runner(case, Arc::new(mortal), 2)) {
                    Step::Over(_) => true,
                    Step::Idle => false,
                    other => panic!("{}: {other:?}", case.name),
                };
                let mut next = runner(case, Arc::new(store.clone()), 2);
                assert_eq!(to_end(&mut next), Step::Idle, "{}", case.name);
                judge(case, &store, &format!("death at commit {death}, happens: {happens}"));
                if !died {
                    break;
                }
            }
        }
    }
}

fn simple(sql: &str) -> (MemStore, Case) {
    let case = Case::simple("movies", "movie STRING", sql);
    (filled(&case, 1), case)
}

fn record(movie: &str) -> String {
    format!("{{\"movie\":\"{movie}\"}}")
}

#[test]
fn an_older_generation_is_refused() {
    let (store, case) = simple("SELECT movie FROM movies");
    let mut old = runner(&case, Arc::new(store.clone()), 10);
    assert_eq!(to_end(&mut old), Step::Idle);
    let mut new = runner(&case, Arc::new(store.clone()), 10);
    put(&store, "movies", &[record("1")]);
    assert!(matches!(to_end(&mut old), Step::Over(_)));
    assert_eq!(to_end(&mut new), Step::Idle);
    assert_eq!(rows(&store, "s"), [record("1")]);
}

#[test]
fn a_topic_made_again_is_read_from_its_start() {
    let (store, case) = simple("SELECT movie FROM movies");
    let mut runner = runner(&case, Arc::new(store.clone()), 10);
    put(&store, "movies", &[record("1"), record("2")]);
    assert_eq!(to_end(&mut runner), Step::Idle);
    store.delete_topic("movies").unwrap();
    match to_end(&mut runner) {
        Step::Waiting(why) => assert!(why.contains("no topic or lookup `movies`"), "{why}"),
        other => panic!("{other:?}"),
    }
    let new = NewTopic { name: "movies".into(), partitions: 1, config: Default::default() };
    store.create_topic(new).unwrap();
    put(&store, "movies", &[record("3")]);
    assert_eq!(to_end(&mut runner), Step::Idle);
    assert!(runner.note.as_ref().is_some_and(|note| note.contains("made again")));
    assert_eq!(rows(&store, "s"), [record("1"), record("2"), record("3")]);
}

#[test]
fn an_output_topic_that_is_gone_is_made_again_and_partitions_may_grow() {
    let (store, case) = simple("SELECT movie FROM movies");
    let mut runner = runner(&case, Arc::new(store.clone()), 10);
    put(&store, "movies", &[record("1")]);
    assert_eq!(to_end(&mut runner), Step::Idle);
    store.delete_topic("s").unwrap();
    store.add_partitions("movies", 3).unwrap();
    put(&store, "movies", &[record("2"), record("3"), record("4")]);
    assert_eq!(to_end(&mut runner), Step::Idle);
    assert_eq!(rows(&store, "s"), [record("2"), record("3"), record("4")]);
}

#[test]
fn a_topic_nobody_described_is_looked_at() {
    let case = Case::simple("movies", "", "SELECT movie, rate + 1 AS rate FROM movies");
    let store = filled(&case, 1);
    let clock = Arc::new(ManualClock::at_ms(0));
    let lookups = Arc::new(Lookups::none(clock.clone()));
    let context = StreamContext { store: Arc::new(store.clone()), clock: clock.clone(), lookups };
    let mut runner = Runner::new(case.spec.clone(), context, Arc::default()).unwrap();
    let waits = |step: Step, what: &str| match step {
        Step::Waiting(why) => assert!(why.starts_with(what), "{why}"),
        other => panic!("{other:?}"),
    };
    waits(runner.step(), "waits for the first record of topic `movies`");
    put(&store, "movies", &["{\"movie\":\"1\",\"rate\":7}".into()]);
    waits(runner.step(), "looks at the first records of topic `movies`");
    clock.advance(Duration::from_secs(2));
    assert_eq!(to_end(&mut runner), Step::Idle);
    assert_eq!(rows(&store, "s"), ["{\"movie\":\"1\",\"rate\":8}"]);
    let schema = Schema::load(&store, "s").unwrap().unwrap();
    assert_eq!(schema.origin, Origin::Plan);
    assert_eq!(schema.columns[1].ty.to_string(), "int");
}

#[test]
fn a_batch_that_does_not_decode_is_one_letter_and_the_others_go_on() {
    let (store, case) = simple("SELECT movie FROM movies");
    put(&store, "movies", &[record("1")]);
    let part = store.topics().get("movies").unwrap().partitions[0];
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(0, None, Some(b"a"), &[]);
    batch.push(0, None, Some(b"b"), &[]);
    let mut broken = batch.finish().unwrap().to_vec();
    let end = broken.len();
    broken[end - 9..].fill(0xff);
    let appends = vec![Append { part, batch: broken.into() }];
    store.commit(Commit { appends, ..Commit::default() }).unwrap();
    put(&store, "movies", &[record("2")]);
    let mut runner = runner(&case, Arc::new(store.clone()), 10);
    assert_eq!(to_end(&mut runner), Step::Idle);
    assert_eq!(rows(&store, "s"), [record("1"), record("2")]);
    assert_eq!(rows(&store, "dead.stream.s").len(), 1);
    assert_eq!((runner.fates.read, runner.fates.dead, runner.fates.used), (4, 2, 2));
    assert_eq!(runner.lag(), 0);
}

#[test]
fn keys_choose_partitions_and_rows_without_keep_theirs() {
    let records: Vec<_> = (0..40).map(|n| record(&n.to_string())).collect();
    let (store, mut case) = simple("SELECT movie FROM movies");
    put(&store, "movies", &records);
    case.spec.key = vec!["movie".into()];
    case.spec.partitions = 4;
    assert_eq!(to_end(&mut runner(&case, Arc::new(store.clone()), 10)), Step::Idle);
    let info = store.topics().get("s").cloned().unwrap();
    for (number, part) in info.partitions.iter().enumerate() {
        let store: Arc<dyn Store> = Arc::new(store.clone());
        let mut reader = PartitionReader::new(store, *part, 0, Isolation::Committed);
        for record in reader.next(usize::MAX).unwrap() {
            let key = record.key.unwrap();
            assert_eq!(crate::evaluate::partition_of(&key, 4), number);
        }
    }
    assert_eq!(rows(&store, "s").len(), 40);
}

#[test]
fn a_row_too_large_for_its_topic_is_a_dead_letter() {
    let case = Case::simple("movies", "movie STRING", "SELECT repeat(movie, 300) AS m FROM movies");
    let store = filled(&case, 1);
    let config = [("max.message.bytes".to_owned(), "2000".to_owned())].into();
    store.create_topic(NewTopic { name: "s".into(), partitions: 1, config }).unwrap();
    put(&store, "movies", &[record("a"), record("0123456789"), record("b")]);
    let mut runner = runner(&case, Arc::new(store.clone()), 10);
    assert_eq!(to_end(&mut runner), Step::Idle);
    assert_eq!(rows(&store, "s").len(), 2);
    assert_eq!(rows(&store, "dead.stream.s"), [record("0123456789")]);
}
