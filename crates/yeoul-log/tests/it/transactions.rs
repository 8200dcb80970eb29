//! Transactions as readers and producers of one partition see them, on real files.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use yeoul_base::store::AbortedTxn;
use yeoul_base::{
    Append, Commit, Isolation, ManualClock, PartId, RealDisk, SeededRand, Store, StoreError,
    Watched,
};
use yeoul_log::{BatchBuilder, Codec, Log, LogOptions, PartitionReader, batch};

use crate::support::{NOW_MS, Outcome, append, open_real, tiny, topic, values};

/// A batch of a producer's transaction.
pub(crate) fn open_batch(part: PartId, id: i64, epoch: i16, sequence: i32, value: &str) -> Append {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.transactional().producer(id, epoch, sequence);
    builder.push(NOW_MS, None, Some(value.as_bytes()), &[]);
    Append { part, batch: builder.finish().expect("a record") }
}

pub(crate) fn marker(part: PartId, id: i64, epoch: i16, commit: bool) -> Append {
    Append { part, batch: batch::marker(id, epoch, commit, 0, NOW_MS) }
}

fn one(append: Append) -> Commit {
    Commit { appends: vec![append], ..Commit::default() }
}

fn ends(log: &Log, part: PartId) -> (i64, i64, i64) {
    let ends = log.ends(part).expect("a partition");
    (ends.start, ends.stable, ends.high)
}

#[test]
fn nothing_undecided_or_aborted_is_seen_and_the_end_wakes_readers() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (log, _) = open_real(dir.path(), tiny())?;
    let part = topic(&log, "t", &[])?;
    log.commit(append(part, &["plain"]))?; // 0
    log.commit(one(open_batch(part, 1, 0, 0, "one")))?; // 1
    log.commit(one(open_batch(part, 2, 0, 0, "two")))?; // 2
    log.commit(append(part, &["between"]))?; // 3
    assert_eq!(ends(&log, part), (0, 1, 4));
    let open: Vec<_> = log.producers(part)?.iter().map(|p| p.open_since).collect();
    assert_eq!(open, [Some(1), Some(2)]);
    let store: Arc<dyn Store> = Arc::new(log.clone());
    assert_eq!(values(Arc::clone(&store), part)?, ["plain"]);
    let beyond = log.read(part, 3, 1 << 20, Isolation::Committed)?;
    assert!(beyond.batches.is_empty(), "between the ends there is nothing yet");
    assert_eq!(log.read(part, 3, 1 << 20, Isolation::Uncommitted)?.batches.len(), 1);

    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    let wake = move || {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let _watch = log.watch(Watched::Part(part), Arc::new(wake));
    log.commit(one(marker(part, 2, 0, true)))?; // 4
    assert_eq!(ends(&log, part), (0, 1, 5), "the older one is open still");
    log.commit(one(marker(part, 1, 0, false)))?; // 5
    assert_eq!((ends(&log, part), woken.load(Ordering::Relaxed)), ((0, 6, 6), 2));
    let aborted = AbortedTxn { producer_id: 1, first_offset: 1 };
    assert_eq!(log.read(part, 0, 1 << 20, Isolation::Committed)?.aborted, [aborted]);
    assert_eq!(log.read(part, 0, 1 << 20, Isolation::Uncommitted)?.aborted, []);
    let mut reader = PartitionReader::new(Arc::clone(&store), part, 0, Isolation::Committed);
    assert_eq!(reader.next(1 << 20)?.len(), 3);
    assert_eq!((reader.position(), reader.skipped()), (6, 3));
    assert_eq!(values(store, part)?, ["plain", "two", "between"]);

    // Nobody's transaction, and a second end: they change epochs only.
    log.commit_all(vec![one(marker(part, 3, 4, false)), one(marker(part, 1, 0, true))]);
    assert_eq!(ends(&log, part), (0, 8, 8));
    let fenced = log.commit(one(open_batch(part, 3, 3, 0, "late")));
    assert!(matches!(fenced, Err(StoreError::ProducerFenced { current: 4, got: 3, .. })));
    log.commit(one(open_batch(part, 3, 4, 0, "new")))?;
    Ok(())
}

#[test]
fn a_restart_knows_what_is_open_and_what_was_aborted() -> Outcome {
    for checkpoints in [0b00, 0b01, 0b10, 0b11] {
        let dir = tempfile::tempdir()?;
        let (log, _) = open_real(dir.path(), tiny())?;
        let part = topic(&log, "t", &[])?;
        // Long enough that log segments roll between a transaction's begin and its end.
        let long = "x".repeat(3000);
        log.commit(one(open_batch(part, 1, 0, 0, "a")))?; // 0
        log.commit(one(open_batch(part, 2, 0, 0, &long)))?; // 1
        log.commit(append(part, &[&long]))?; // 2
        log.commit(one(marker(part, 1, 0, false)))?; // 3
        if checkpoints & 1 != 0 {
            log.checkpoint()?;
        }
        log.commit(one(open_batch(part, 1, 0, 1, &long)))?; // 4
        log.commit(one(marker(part, 2, 1, false)))?; // 5
        log.commit(append(part, &["seen"]))?; // 6
        if checkpoints & 2 != 0 {
            log.checkpoint()?;
        }
        let before = (ends(&log, part), log.producers(part)?);
        assert_eq!(before.0, (0, 4, 7));
        drop(log);
        for _ in 0..2 {
            let (log, _) = open_real(dir.path(), tiny())?;
            assert_eq!((ends(&log, part), log.producers(part)?), before);
            let aborted: Vec<_> = log.read(part, 2, 1, Isolation::Committed)?.aborted;
            let ranges: Vec<_> = aborted.iter().map(|a| (a.producer_id, a.first_offset)).collect();
            assert_eq!(ranges, [(1, 0), (2, 1)]);
            let store: Arc<dyn Store> = Arc::new(log.clone());
            assert_eq!(values(store, part)?, [long.as_str()], "checkpoints {checkpoints:b}");
        }
        let (log, _) = open_real(dir.path(), tiny())?;
        log.commit(one(marker(part, 1, 0, true)))?; // 7
        let store: Arc<dyn Store> = Arc::new(log.clone());
        assert_eq!(values(store, part)?, [long.as_str(), &long, "seen"]);
        assert_eq!(ends(&log, part), (0, 8, 8));
    }
    Ok(())
}

#[test]
fn a_start_above_an_open_transaction_takes_the_stable_offset_along() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (log, _) = open_real(dir.path(), tiny())?;
    let part = topic(&log, "t", &[])?;
    log.commit(one(open_batch(part, 1, 0, 0, "gone")))?;
    log.commit(one(open_batch(part, 1, 0, 1, "stays")))?;
    log.commit(append(part, &["after"]))?;
    assert_eq!(log.delete_records(part, 1)?.stable, 1);
    for again in [false, true] {
        let (log, _) = if again {
            log.close();
            open_real(dir.path(), tiny())?
        } else {
            (log.clone(), Default::default())
        };
        assert_eq!(ends(&log, part), (1, 1, 3));
        assert!(log.read(part, 1, 1 << 20, Isolation::Committed)?.batches.is_empty());
        let asked = log.read(part, 0, 1 << 20, Isolation::Committed);
        assert!(matches!(asked, Err(StoreError::OffsetOutOfRange { asked: 0, start: 1, high: 3 })));
        if again {
            log.commit(one(marker(part, 1, 0, false)))?;
            assert_eq!(values(Arc::new(log.clone()), part)?, ["after"]);
            // Beyond the marker nobody needs the range any more.
            log.delete_records(part, 4)?;
            log.commit(append(part, &["new"]))?;
            assert_eq!(log.read(part, 4, 1 << 20, Isolation::Committed)?.aborted, []);
            assert_eq!(log.producers(part)?[0].open_since, None);
            log.commit(one(open_batch(part, 9, 0, 0, "open")))?;
            log.delete_topic("t")?;
            assert!(log.ends(part).is_none());
            log.close();
            assert_eq!(open_real(dir.path(), tiny())?.0.ends(part), None);
        }
    }
    Ok(())
}

#[test]
fn only_whole_markers_and_producers_batches_are_taken() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (log, _) = open_real(dir.path(), tiny())?;
    let part = topic(&log, "t", &[("max.message.bytes", "70")])?;
    assert!(matches!(
        log.commit(append(part, &["longer than allowed"])),
        Err(StoreError::TooLarge { limit: 70, .. })
    ));
    log.commit(one(open_batch(part, 1, 0, 0, "")))?;
    // A transaction's end is longer, and is taken.
    log.commit(one(marker(part, 1, 0, false)))?;
    let mut nobodys = BatchBuilder::new(Codec::None);
    nobodys.transactional().push(NOW_MS, None, None, &[]);
    let mut unsequenced = BatchBuilder::new(Codec::None);
    unsequenced.producer(1, 0, -1).push(NOW_MS, None, None, &[]);
    for mut builder in [nobodys, unsequenced] {
        let batch = builder.finish().ok_or("no record")?;
        let error = log.commit(one(Append { part, batch }));
        assert!(matches!(error, Err(StoreError::BadBatch(_))), "{error:?}");
    }
    let gone = PartId(99);
    let both = vec![marker(part, 1, 0, true), marker(gone, 1, 0, true)];
    let error = log.commit(Commit { appends: both, ..Commit::default() });
    assert_eq!(error, Err(StoreError::UnknownPartition(gone)));
    assert_eq!(ends(&log, part), (0, 2, 2), "not in one and not in the other");
    Ok(())
}

#[test]
fn a_silent_producer_is_forgotten_unless_its_transaction_is_open() -> Outcome {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    let dir = tempfile::tempdir()?;
    let clock = Arc::new(ManualClock::at_ms(NOW_MS));
    let disk = Arc::new(RealDisk::new(dir.path())?);
    let options = LogOptions { retention_ms: None, ..tiny() };
    let rand = Arc::new(SeededRand::new(1));
    let (log, _) = Log::open(disk, clock.clone(), rand, options)?;
    let part = topic(&log, "t", &[])?;
    for id in [1, 2] {
        log.commit(one(open_batch(part, id, 0, 0, "a")))?;
    }
    log.commit(one(marker(part, 1, 0, true)))?;
    let known = |log: &Log| -> Result<Vec<i64>, StoreError> {
        Ok(log.producers(part)?.iter().map(|producer| producer.producer_id).collect())
    };
    clock.advance(std::time::Duration::from_millis(DAY_MS as u64));
    log.enforce_retention(0)?;
    assert_eq!(known(&log)?, [1, 2]);
    clock.advance(std::time::Duration::from_millis(1));
    log.enforce_retention(0)?;
    assert_eq!(known(&log)?, [2]);
    // Whom nobody remembers may go on with any sequence, as with Kafka.
    log.commit(one(open_batch(part, 1, 0, 17, "b")))?;
    clock.advance(std::time::Duration::from_millis(DAY_MS as u64 + 1));
    log.commit(one(marker(part, 2, 0, true)))?;
    log.checkpoint()?;
    assert_eq!(known(&log)?, [1, 2]);
    Ok(())
}
