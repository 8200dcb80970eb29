//! What a store promises, on real files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use yeoul_base::{
    Append, Commit, FactKey, FactKind, Guard, Isolation, NewTopic, Store, StoreError, Watched,
};
use yeoul_log::{BatchBuilder, Codec, LogError, LogOptions, batch};

use crate::support::{NOW_MS, Outcome, append, batch as batch_of, open_real, tiny, topic, values};

#[test]
fn what_was_committed_is_there_after_every_kind_of_end() -> Outcome {
    for clean in [true, false] {
        let dir = tempfile::tempdir()?;
        let (log, recovered) = open_real(dir.path(), LogOptions::default())?;
        assert!(recovered.fresh);
        let part = topic(&log, "영화.x-1", &[]).err();
        assert!(matches!(part, Some(StoreError::Invalid(_))), "not a legal name: {part:?}");
        let part = topic(&log, "movies", &[("retention.ms", "-1")])?;
        let key = FactKey::new(FactKind::SourcePosition, "movies");
        let mut commit = append(part, &["a", "b"]);
        commit.facts.push((key.clone(), Some(Bytes::from_static(b"17"))));
        let done = log.commit(commit)?;
        assert_eq!((done.appends[0].base_offset, done.appends[0].last_offset), (0, 1));
        let done = log.commit(append(part, &["c"]))?;
        assert_eq!((done.sequence, done.appends[0].base_offset), (3, 2));
        let epoch = log.leader_epoch();
        if clean {
            log.close();
            assert!(matches!(log.commit(append(part, &["x"])), Err(StoreError::Closed(_))));
        }
        drop(log);

        let (log, recovered) = open_real(dir.path(), LogOptions::default())?;
        assert_eq!((recovered.fresh, recovered.sequence), (false, 3));
        assert_eq!(recovered.replayed, if clean { 0 } else { 3 });
        assert!(log.leader_epoch() > epoch);
        assert_eq!(log.topics().get("movies").map(|topic| topic.partitions[0]), Some(part));
        assert_eq!(log.fact(key.kind, &key.key).as_deref(), Some(&b"17"[..]));
        assert_eq!(values(Arc::new(log.clone()), part)?, ["a", "b", "c"]);
        let done = log.commit(append(part, &["d"]))?;
        assert_eq!(done.appends[0].base_offset, 3);
        let other = topic(&log, "other", &[])?;
        assert_ne!(other, part, "ids are never used twice");
    }
    Ok(())
}

#[test]
fn a_second_process_is_told_who_has_the_directory() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (log, _) = open_real(dir.path(), tiny())?;
    let error = open_real(dir.path(), tiny()).err().ok_or("opened twice")?;
    let pid = std::process::id();
    assert_eq!(
        error.to_string(),
        format!(
            "the data directory is in use by process {pid}; stop it, or choose another directory with --data-dir"
        )
    );
    log.close();
    assert!(open_real(dir.path(), tiny()).is_ok());
    Ok(())
}

#[test]
fn fences_and_guards_refuse_and_change_nothing() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (log, _) = open_real(dir.path(), tiny())?;
    let part = topic(&log, "t", &[])?;
    let first = log.claim("source/t")?;
    let second = log.claim("source/t")?;
    let key = FactKey::new(FactKind::SourcePosition, "t");
    let commit = |fence, expect: Option<&'static [u8]>, value: &'static [u8]| Commit {
        fence: Some(fence),
        guards: vec![Guard { key: key.clone(), expect: expect.map(Bytes::from_static) }],
        facts: vec![(key.clone(), Some(Bytes::from_static(value)))],
        ..append(part, &["x"])
    };
    let error = log.commit(commit(first, None, b"1"));
    assert!(matches!(error, Err(StoreError::Fenced { ours: 1, current: 2, .. })), "{error:?}");
    // In one group: the second sees what the first did, though it is not durable yet.
    let answers = log.commit_all(vec![
        commit(second.clone(), None, b"1"),
        commit(second.clone(), None, b"2"),
        commit(second.clone(), Some(b"1"), b"3"),
    ]);
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert_eq!(answers[1], Err(StoreError::GuardMismatch("t".into())));
    assert_eq!(log.ends(part).map(|ends| ends.high), Some(2));
    assert_eq!(log.fact(key.kind, b"t").as_deref(), Some(&b"3"[..]));
    let own = FactKey::new(FactKind::Topic, "t");
    let error = log.commit(Commit { facts: vec![(own, None)], ..Commit::default() });
    assert!(matches!(error, Err(StoreError::Invalid(_))), "{error:?}");
    Ok(())
}

fn produced(part: yeoul_base::PartId, id: i64, epoch: i16, sequence: i32, value: &str) -> Commit {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.producer(id, epoch, sequence);
    builder.push(NOW_MS, None, Some(value.as_bytes()), &[]);
    let batch = builder.finish().expect("a record");
    Commit { appends: vec![Append { part, batch }], ..Commit::default() }
}

#[test]
fn a_batch_sent_again_gets_its_first_offsets_also_after_restarts() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (log, _) = open_real(dir.path(), tiny())?;
    let part = topic(&log, "t", &[])?;
    let id = log.new_producer_id()?;
    assert_ne!(log.new_producer_id()?, id);
    // Twice in the same group, too.
    let answers = log.commit_all(vec![
        produced(part, id, 0, 0, "a"),
        produced(part, id, 0, 0, "a"),
        produced(part, id, 0, 1, "b"),
    ]);
    let bases: Vec<_> = answers
        .iter()
        .flatten()
        .map(|done| (done.appends[0].base_offset, done.appends[0].duplicate))
        .collect();
    assert_eq!(bases, [(0, false), (0, true), (1, false)]);
    let gap = log.commit(produced(part, id, 0, 3, "d"));
    assert!(matches!(gap, Err(StoreError::OutOfOrderSequence { expected: 2, got: 3, .. })));
    log.checkpoint()?;
    log.commit(produced(part, id, 0, 2, "c"))?;
    check_duplicates_in_copy(dir.path(), part, id)
}

fn check_duplicates_in_copy(root: &std::path::Path, part: yeoul_base::PartId, id: i64) -> Outcome {
    // The log still runs: the copy is what a kill would leave.
    let copy = tempfile::tempdir()?;
    for folder in ["wal", "parts/0000000000", "snapshots"] {
        std::fs::create_dir_all(copy.path().join(folder))?;
        for entry in std::fs::read_dir(root.join(folder))? {
            let entry = entry?;
            std::fs::copy(entry.path(), copy.path().join(folder).join(entry.file_name()))?;
        }
    }
    for _ in 0..2 {
        let (log, _) = open_real(copy.path(), tiny())?;
        for (sequence, base) in [(1, 1), (2, 2)] {
            let done = log.commit(produced(part, id, 0, sequence, "again"))?;
            assert_eq!((done.appends[0].base_offset, done.appends[0].duplicate), (base, true));
        }
        let fenced = log.commit(produced(part, id, -1, 0, "x"));
        assert!(matches!(fenced, Err(StoreError::ProducerFenced { .. })), "{fenced:?}");
        assert_eq!(values(Arc::new(log.clone()), part)?, ["a", "b", "c"]);
    }
    Ok(())
}

#[test]
fn reads_are_whole_batches_from_memory_and_from_files() -> Outcome {
    for hot_bytes in [0, 1 << 20] {
        let dir = tempfile::tempdir()?;
        let (log, _) = open_real(dir.path(), LogOptions { hot_bytes, ..tiny() })?;
        let part = topic(&log, "t", &[])?;
        let names: Vec<String> = (0..400).map(|n| format!("value {n:04}")).collect();
        for pair in names.chunks(2) {
            let pair: Vec<_> = pair.iter().map(String::as_str).collect();
            log.commit(append(part, &pair))?;
        }
        assert_eq!(values(Arc::new(log.clone()), part)?, names);
        for from in [0, 1, 57, 199, 398, 399] {
            let read = log.read(part, from, 1, Isolation::Uncommitted)?;
            let first = read.batches.first().cloned().ok_or("nothing read")?;
            let header = batch::verify(&first, usize::MAX)?;
            assert_eq!(header.base_offset, from / 2 * 2);
            assert_eq!(header.leader_epoch, log.leader_epoch());
        }
        assert!(log.read(part, 400, 1, Isolation::Uncommitted)?.batches.is_empty());
        let beyond = log.read(part, 401, 1, Isolation::Uncommitted);
        assert!(matches!(beyond, Err(StoreError::OffsetOutOfRange { high: 400, .. })));
        assert!(std::fs::read_dir(dir.path().join("parts/0000000000"))?.count() > 3);
    }
    Ok(())
}

#[test]
fn offsets_by_time_are_exact_to_the_record() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (log, _) = open_real(dir.path(), LogOptions { segment_bytes: 2_000, ..tiny() })?;
    let part = topic(&log, "t", &[("retention.ms", "-1")])?;
    for n in 0..60i64 {
        let mut builder = BatchBuilder::new(if n % 2 == 0 { Codec::Gzip } else { Codec::None });
        for m in 0..3 {
            builder.push(1_000 * n + 100 * m, None, Some(&[b'x'; 90]), &[]);
        }
        let batch = builder.finish().ok_or("records")?;
        log.commit(Commit { appends: vec![Append { part, batch }], ..Commit::default() })?;
    }
    for (at, expected) in [
        (i64::MIN, Some((0, 0))),
        (0, Some((0, 0))),
        (1, Some((1, 100))),
        (200, Some((2, 200))),
        (201, Some((3, 1_000))),
        (30_150, Some((92, 30_200))),
        (59_200, Some((179, 59_200))),
        (59_201, None),
    ] {
        assert_eq!(log.offset_at(part, at)?, expected, "at {at}");
    }
    Ok(())
}

#[test]
fn retention_by_bytes_and_time_moves_the_start() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (log, _) = open_real(dir.path(), tiny())?;
    let config = [("retention.bytes", "4000"), ("segment.bytes", "1000"), ("retention.ms", "-1")];
    let by_bytes = topic(&log, "bytes", &config)?;
    let by_time = topic(&log, "time", &[("retention.ms", "60000")])?;
    for _ in 0..40 {
        log.commit(append(by_bytes, &["x".repeat(200).as_str()]))?;
        log.commit(append(by_time, &["y"]))?;
    }
    assert_eq!(log.enforce_retention(NOW_MS)?, 1);
    let ends = log.ends(by_bytes).ok_or("gone")?;
    assert!(ends.start > 0 && ends.bytes <= 4_000 && ends.bytes > 2_000, "{ends:?}");
    assert_eq!(values(Arc::new(log.clone()), by_bytes)?.len() as i64, ends.high - ends.start);
    assert_eq!(log.enforce_retention(NOW_MS + 60_001)?, 1);
    let ends = log.ends(by_time).ok_or("gone")?;
    assert_eq!((ends.start, ends.high, ends.bytes), (40, 40, 0));
    assert_eq!(log.commit(append(by_time, &["z"]))?.appends[0].base_offset, 40);
    // Files go only when neither snapshot needs them.
    log.checkpoint()?;
    log.commit(append(by_time, &["z"]))?;
    log.checkpoint()?;
    log.commit(append(by_time, &["z"]))?;
    log.checkpoint()?;
    let files = std::fs::read_dir(dir.path().join("parts/0000000000"))?.count();
    // Each with its checksums, but for the one that is written to.
    assert!(files < 2 * 5, "{files} files are left");
    let ends = log.delete_records(by_bytes, 39)?;
    assert_eq!((ends.start, ends.high), (39, 40));
    Ok(())
}

#[test]
fn topics_change_and_go() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (log, _) = open_real(dir.path(), tiny())?;
    let part = topic(&log, "t", &[])?;
    let id = log.topics().get("t").map(|topic| topic.id);
    log.commit(append(part, &["a"]))?;
    assert!(matches!(topic(&log, "t", &[]), Err(StoreError::TopicExists(_))));
    let grown = log.add_partitions("t", 3)?;
    assert_eq!(grown.partitions.len(), 3);
    assert!(log.add_partitions("t", 3).is_err());
    let limit = ("max.message.bytes".to_owned(), Some("100".to_owned()));
    log.alter_topic("t", vec![limit.clone()])?;
    let large = log.commit(append(part, &["x".repeat(100).as_str()]));
    assert!(matches!(large, Err(StoreError::TooLarge { limit: 100, .. })), "{large:?}");
    log.alter_topic("t", vec![(limit.0, None)])?;
    let stamped = ("message.timestamp.type".to_owned(), Some("LogAppendTime".to_owned()));
    log.alter_topic("t", vec![stamped])?;
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(5, None, Some(b"late"), &[]);
    let batch = builder.finish().ok_or("a record")?;
    let commit = Commit { appends: vec![Append { part, batch }], ..Commit::default() };
    assert_eq!(log.commit(commit)?.appends[0].log_append_time_ms, NOW_MS);
    assert_eq!(log.offset_at(part, NOW_MS)?, Some((0, NOW_MS)));
    log.delete_topic("t")?;
    assert!(matches!(log.commit(append(part, &["b"])), Err(StoreError::UnknownPartition(_))));
    assert_eq!(log.ends(part), None);
    let again = topic(&log, "t", &[])?;
    assert_ne!(again, part);
    assert_ne!(log.topics().get("t").map(|topic| topic.id), id);
    assert_eq!(log.ends(again).map(|ends| ends.high), Some(0));
    let none = NewTopic { name: "n".into(), partitions: 0, config: BTreeMap::new() };
    assert!(matches!(log.create_topic(none), Err(StoreError::Invalid(_))));
    Ok(())
}

#[test]
fn bad_batches_are_refused_by_name() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (log, _) = open_real(dir.path(), tiny())?;
    let part = topic(&log, "t", &[])?;
    let mut flipped = batch_of(&["a"]).to_vec();
    let at = flipped.len() - 2;
    flipped[at] ^= 1;
    let appends = vec![Append { part, batch: Bytes::from(flipped) }];
    let error = log.commit(Commit { appends, ..Commit::default() });
    assert!(matches!(&error, Err(StoreError::BadBatch(why)) if why.contains("checksum")));
    assert_eq!(log.ends(part).map(|ends| ends.high), Some(0));
    Ok(())
}

#[test]
fn watches_hear_of_their_partition_only_while_they_live() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (log, _) = open_real(dir.path(), LogOptions::default())?;
    let (one, two) = (topic(&log, "one", &[])?, topic(&log, "two", &[])?);
    let heard = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&heard);
    let wake = Arc::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let guard = log.watch(Watched::Part(one), wake);
    log.commit(append(two, &["x"]))?;
    log.commit(append(one, &["x"]))?;
    assert_eq!(heard.load(Ordering::SeqCst), 1);
    drop(guard);
    log.commit(append(one, &["x"]))?;
    assert_eq!(heard.load(Ordering::SeqCst), 1);
    Ok(())
}

#[test]
fn many_threads_commit_in_groups_and_slots_are_used_again() -> Outcome {
    let dir = tempfile::tempdir()?;
    let options = LogOptions {
        slot_bytes: [64 << 10; 3],
        group_bytes: 32 << 10,
        checkpoint_bytes: 128 << 10,
        segment_bytes: 64 << 10,
        ..LogOptions::default()
    };
    let (log, _) = open_real(dir.path(), options.clone())?;
    let part = topic(&log, "t", &[])?;
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let log = &log;
            scope.spawn(move || {
                for n in 0..100 {
                    let value = format!("{thread} {n:03} {}", "x".repeat(500));
                    log.commit(append(part, &[&value])).expect("committed");
                }
            });
        }
    });
    let stats = log.stats();
    assert_eq!(stats.commits, 801);
    assert!(stats.groups < stats.commits, "{stats:?}");
    assert!(stats.checkpoint_sequence > 0, "{stats:?}");
    assert!(stats.wal_bytes < 1 << 20, "slots are not used again: {stats:?}");
    let check = |log: &yeoul_log::Log| -> Outcome {
        let all = values(Arc::new(log.clone()), part)?;
        assert_eq!(all.len(), 800);
        for thread in 0..8 {
            let mine: Vec<_> =
                all.iter().filter(|value| value.starts_with(&format!("{thread} "))).collect();
            assert!(mine.is_sorted() && mine.len() == 100, "a caller's commits keep their order");
        }
        Ok(())
    };
    check(&log)?;
    drop(log);
    let (log, _) = open_real(dir.path(), options)?;
    check(&log)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test plays the person who removes files")]
fn a_directory_without_its_snapshots_is_not_taken_for_an_empty_one() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (log, _) = open_real(dir.path(), tiny())?;
    topic(&log, "t", &[])?;
    log.close();
    for entry in std::fs::read_dir(dir.path().join("snapshots"))? {
        std::fs::remove_file(entry?.path())?;
    }
    let error = open_real(dir.path(), tiny()).err().ok_or("opened")?;
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("yeoul doctor"), "{error}");
    Ok(())
}
