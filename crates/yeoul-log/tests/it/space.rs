//! What happens when there is no place for a commit: waiting, refusing, going on; and what
//! relaxed topics may lose.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use yeoul_base::disk::sim::Crash;
use yeoul_base::{
    Clock, Commit, ManualClock, PartId, SeededRand, SimDisk, Store, StoreError, SystemClock,
};
use yeoul_log::{Log, LogOptions};

use crate::model::fact_key;
use crate::support::{NOW_MS, Outcome, append, open_real, tiny, topic, values};
use crate::workload::open;

fn fact(value: &'static str) -> Commit {
    let facts = vec![(fact_key("a"), Some(Bytes::from_static(value.as_bytes())))];
    Commit { facts, ..Commit::default() }
}

fn crashed(disk: &SimDisk, crash: Crash) -> SimDisk {
    let mut replay = disk.replay();
    while replay.step() {}
    SimDisk::from_image(&replay.image(crash, &SeededRand::new(0)))
}

fn threaded(disk: &SimDisk, options: LogOptions) -> Result<Log, yeoul_log::LogError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let rand = Arc::new(SeededRand::new(1));
    let options = LogOptions { inline: false, ..options };
    Ok(Log::open(Arc::new(disk.clone()), clock, rand, options)?.0)
}

/// Polls for something the log does by itself.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let begin = clock.monotonic();
    while !is_so() {
        assert!(clock.monotonic() - begin < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn at_the_limit_commits_wait_for_a_checkpoint_and_none_fails() -> Outcome {
    let dir = tempfile::tempdir()?;
    let options = LogOptions {
        slot_bytes: [64 << 10; 3],
        group_bytes: 32 << 10,
        // Never due by itself: only the limit asks for one.
        checkpoint_bytes: 1 << 40,
        wal_bytes_max: 512 << 10,
        ..LogOptions::default()
    };
    let (log, _) = open_real(dir.path(), options.clone())?;
    let part = topic(&log, "t", &[])?;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for n in 0..150 {
                    let value = format!("{thread} {n:03} {}", "x".repeat(8_000));
                    log.commit(append(part, &[&value])).expect("waits, and is committed");
                    let wal = log.stats().wal_bytes;
                    assert!(wal <= (512 + 3 * 64) << 10, "the limit does not hold: {wal}");
                }
            });
        }
    });
    assert!(log.stats().checkpoint_sequence > 0);
    let all = values(Arc::new(log.clone()), part)?;
    assert_eq!(all.len(), 600);
    for thread in 0..4 {
        let mine: Vec<_> =
            all.iter().filter(|value| value.starts_with(&format!("{thread} "))).collect();
        assert!(mine.is_sorted() && mine.len() == 150, "a caller's commits keep their order");
    }
    Ok(())
}

#[test]
fn a_limit_of_a_few_slots_gives_way_rather_than_stop_the_log() -> Outcome {
    for inline in [true, false] {
        let disk = SimDisk::new();
        let options = LogOptions { wal_bytes_max: 16 << 10, inline, ..tiny() };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let rand = Arc::new(SeededRand::new(1));
        let (log, _) = Log::open(Arc::new(disk.clone()), clock, rand, options)?;
        let part = topic(&log, "t", &[])?;
        for _ in 0..60 {
            log.commit(append(part, &["x".repeat(3_000).as_str()]))?;
            let wal = log.stats().wal_bytes;
            assert!(wal <= 6 * (16 << 10), "inline {inline}: {wal} bytes of slots");
        }
    }
    Ok(())
}

#[test]
fn a_full_disk_refuses_records_and_everything_resumes_by_itself() -> Outcome {
    let disk = SimDisk::new();
    let log = threaded(&disk, tiny())?;
    let part = topic(&log, "t", &[("retention.ms", "-1")])?;
    until("the slots are made", || log.stats().wal_bytes >= 32 << 10);
    let used: usize = disk.image().files.values().map(|bytes| bytes.len()).sum();
    disk.set_capacity(Some(used as u64 + 20_000));
    let mut acked = 0;
    let refused = loop {
        match log.commit(append(part, &["x".repeat(900).as_str()])) {
            Ok(_) => acked += 1,
            Err(error) => break error,
        }
        assert!(acked < 1_000, "the disk never fills");
    };
    assert!(matches!(refused, StoreError::DiskFull(_)), "{refused:?}");
    log.commit(fact("still taken"))?;
    assert_eq!(values(Arc::new(log.clone()), part)?.len(), acked);
    assert_eq!(log.fatal(), None);
    disk.set_capacity(None);
    until("records are taken again", || log.commit(append(part, &["y"])).is_ok());
    until("files catch up", || log.stats().unsplit_bytes == 0);
    log.close();
    let (log, _) = open(&crashed(&disk, Crash::PowerCut))?;
    assert_eq!(values(Arc::new(log), part)?.len(), acked + 1);
    Ok(())
}

const RELAXED: [(&str, &str); 1] = [("yeoul.durability", "relaxed")];

fn read(disk: &SimDisk, part: PartId) -> Result<String, Box<dyn std::error::Error>> {
    let (log, _) = open(disk)?;
    Ok(values(Arc::new(log), part)?.concat())
}

#[test]
fn a_relaxed_topic_is_shown_before_the_sync_and_a_power_cut_may_take_it() -> Outcome {
    let disk = SimDisk::new();
    let (log, _) = open(&disk)?;
    let (part, strict) = (topic(&log, "r", &RELAXED)?, topic(&log, "s", &[])?);
    log.commit(append(part, &["a"]))?;
    log.commit(append(part, &["b"]))?;
    assert_eq!(values(Arc::new(log.clone()), part)?.concat(), "ab");
    assert_eq!(read(&crashed(&disk, Crash::PowerCut), part)?, "");
    assert_eq!(read(&crashed(&disk, Crash::Kill), part)?, "ab");
    // Whatever is strict makes all that came before it durable: a position never runs ahead.
    log.commit(fact("2"))?;
    let (after, _) = open(&crashed(&disk, Crash::PowerCut))?;
    assert_eq!(values(Arc::new(after.clone()), part)?.concat(), "ab");
    assert_eq!(after.fact(fact_key("a").kind, b"a").as_deref(), Some(&b"2"[..]));
    assert!(after.leader_epoch() > log.leader_epoch(), "clients must notice");
    // In one group with a strict commit everything is synced.
    let answers = log.commit_all(vec![append(part, &["c"]), append(strict, &["d"])]);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(read(&crashed(&disk, Crash::PowerCut), part)?, "abc");
    // Across topics in one commit the stricter one counts.
    let mut both = append(part, &["e"]);
    both.appends.extend(append(strict, &["f"]).appends);
    log.commit(both)?;
    assert_eq!(read(&crashed(&disk, Crash::PowerCut), part)?, "abce");
    log.commit(append(part, &["g"]))?;
    log.checkpoint()?;
    assert_eq!(read(&crashed(&disk, Crash::PowerCut), part)?, "abceg");
    Ok(())
}

#[test]
fn relaxed_commits_are_synced_after_some_bytes_or_some_time() -> Outcome {
    let disk = SimDisk::new();
    let clock = Arc::new(ManualClock::at_ms(NOW_MS));
    let options = LogOptions { relaxed_bytes: 12 << 10, ..tiny() };
    let rand = Arc::new(SeededRand::new(1));
    let (log, _) = Log::open(Arc::new(disk.clone()), clock, rand, options)?;
    let part = topic(&log, "r", &RELAXED)?;
    for value in ["a", "b"] {
        log.commit(append(part, &[value]))?;
    }
    assert_eq!(read(&crashed(&disk, Crash::PowerCut), part)?, "");
    log.commit(append(part, &["c"]))?;
    assert_eq!(read(&crashed(&disk, Crash::PowerCut), part)?, "abc");
    // And by a thread of its own, with nobody asking.
    let disk = SimDisk::new();
    let log = threaded(&disk, tiny())?;
    let part = topic(&log, "r", &RELAXED)?;
    log.commit(append(part, &["a"]))?;
    until("it is synced", || read(&crashed(&disk, Crash::PowerCut), part).is_ok_and(|r| r == "a"));
    Ok(())
}

#[test]
fn a_failed_sync_of_relaxed_commits_closes_the_log() -> Outcome {
    use yeoul_base::disk::sim::{Action, Fault};
    let disk = SimDisk::new();
    let (log, _) = open(&disk)?;
    let part = topic(&log, "r", &RELAXED)?;
    log.commit(append(part, &["a"]))?;
    let error = std::io::ErrorKind::Other;
    disk.inject(Fault { action: Action::Sync, path: "wal".into(), after: 0, times: 1, error });
    let refused = log.commit(fact("1"));
    assert!(matches!(refused, Err(StoreError::Closed(_))), "{refused:?}");
    assert!(log.fatal().is_some());
    assert_eq!(read(&crashed(&disk, Crash::PowerCut), part)?, "");
    Ok(())
}
