//! Disks that are full, fail, or change bytes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use yeoul_base::disk::sim::{Action, Crash, Fault};
use yeoul_base::{Commit, ManualClock, PartId, SeededRand, SimDisk, Store, StoreError};
use yeoul_log::{Log, LogError, LogOptions};

use crate::model::fact_key;
use crate::support::{NOW_MS, Outcome, append, tiny, topic, values, values_and_lost};
use crate::workload::open;

fn fact(value: &'static str) -> Commit {
    let facts = vec![(fact_key("a"), Some(Bytes::from_static(value.as_bytes())))];
    Commit { facts, ..Commit::default() }
}

fn power_cut(disk: &SimDisk) -> SimDisk {
    let mut replay = disk.replay();
    while replay.step() {}
    SimDisk::from_image(&replay.image(Crash::PowerCut, &SeededRand::new(0)))
}

/// A log with eight groups in its commit log, the last of them `h`.
fn eight_groups() -> Result<(SimDisk, PartId), Box<dyn std::error::Error>> {
    let disk = SimDisk::new();
    let (log, _) = open(&disk)?;
    let part = topic(&log, "t", &[])?;
    for value in ["b", "c", "d", "e", "f", "g", "h"] {
        log.commit(append(part, &[value]))?;
    }
    Ok((disk, part))
}

fn first_slot(disk: &SimDisk) -> PathBuf {
    let used = |bytes: &Arc<Vec<u8>>| bytes.first().is_some_and(|byte| *byte != 0);
    let image = disk.image();
    let mut used =
        image.files.iter().filter(|(path, bytes)| path.starts_with("wal") && used(bytes));
    used.next().map(|(path, _)| path.clone()).expect("a slot with groups")
}

#[test]
fn a_changed_byte_in_what_was_acked_is_lost_alone_or_damage_and_named() -> Outcome {
    let (disk, part) = eight_groups()?;
    let whole = disk.image();
    // Four groups of one page fill a slot; the fourth is followed by one in the next slot.
    let (mut damaged, mut alone) = (0, 0);
    let slot = first_slot(&disk);
    for at in (0..16_384u64).filter(|at| at % 4096 < 260) {
        let disk = SimDisk::from_image(&whole);
        assert!(disk.flip(&slot, at, 0x10));
        let before = disk.image();
        match open(&disk) {
            Ok((log, recovered)) if recovered.lost.is_empty() => {
                let log: Arc<dyn Store> = Arc::new(log);
                assert_eq!(values(log, part)?.concat(), "bcdefgh", "flipped at {at}");
            }
            Ok((log, recovered)) => {
                alone += 1;
                check_one_lost(&log, part, recovered.lost[0].first)?;
                assert!(kept_aside(&disk), "flipped at {at}");
                drop(log);
                // It stays known: after a restart, and after a power cut.
                let (log, recovered) = open(&power_cut(&disk))?;
                assert!(recovered.lost.is_empty());
                check_one_lost(&log, part, log.lost()[0].first)?;
            }
            Err(error @ LogError::Damaged { .. }) => {
                damaged += 1;
                let text = error.to_string();
                assert!(text.contains("wal/0000000000.wal at byte "), "{text}");
                assert!(text.contains("yeoul doctor"), "{text}");
                let mut after = disk.image();
                after.files.remove(Path::new("lock"));
                let mut before = before;
                before.files.remove(Path::new("lock"));
                assert_eq!(after, before, "nothing may be changed");
            }
            Err(other) => return Err(other.into()),
        }
    }
    // Each of the first four groups but the topic's own has a batch of one record.
    assert!(damaged > 4 * 100, "{damaged} of the changes refused the start");
    assert_eq!(alone, 3 * 8, "{alone} of the changes took one record");
    Ok(())
}

/// One of seven records, one a batch, is lost; the others are there at their offsets.
fn check_one_lost(log: &Log, part: PartId, lost: i64) -> Outcome {
    let whole: Vec<_> = (0..).zip("bcdefgh".chars().map(String::from)).collect();
    let (values, ranges) = values_and_lost(Arc::new(log.clone()), part)?;
    assert_eq!(ranges, [(lost, lost)]);
    let expected: Vec<_> = whole.into_iter().filter(|(offset, _)| *offset != lost).collect();
    assert_eq!(values, expected);
    assert_eq!(log.lost().len(), 1);
    Ok(())
}

fn kept_aside(disk: &SimDisk) -> bool {
    let kept = |path: &PathBuf| path.to_string_lossy().starts_with("quarantine/part-0000000000-");
    disk.image().files.keys().any(kept)
}

#[test]
fn a_changed_byte_in_the_very_last_group_reads_as_a_torn_tail() -> Outcome {
    let (disk, part) = eight_groups()?;
    let image = disk.image();
    let last = image.files.keys().filter(|path| path.starts_with("wal")).nth(1).cloned();
    let last = last.ok_or("no second slot")?;
    assert!(disk.flip(&last, 3 * 4096 + 100, 1));
    let (log, recovered) = open(&disk)?;
    assert_eq!(values(Arc::new(log), part)?.concat(), "bcdefg");
    assert_eq!(recovered.cut.len(), 1, "{recovered:?}");
    let kept = disk.image().files.contains_key(Path::new(&recovered.cut[0]));
    assert!(kept, "the tail is kept aside");
    Ok(())
}

#[test]
fn a_snapshot_that_cannot_be_read_falls_back_to_the_one_before() -> Outcome {
    let disk = SimDisk::new();
    let (log, _) = open(&disk)?;
    let part = topic(&log, "t", &[])?;
    for value in ["a", "b", "c"] {
        log.commit(append(part, &[value]))?;
        log.checkpoint()?;
    }
    log.commit(append(part, &["d"]))?;
    drop(log);
    let image = disk.image();
    let snapshots: Vec<_> =
        image.files.keys().filter(|path| path.starts_with("snapshots")).collect();
    assert_eq!(snapshots.len(), 2);
    let one = SimDisk::from_image(&image);
    one.flip(snapshots[1], 20, 1);
    let (log, recovered) = open(&one)?;
    assert_eq!(recovered.quarantined.len(), 1);
    assert_eq!(values(Arc::new(log), part)?.concat(), "abcd");
    let both = SimDisk::from_image(&image);
    snapshots.iter().for_each(|path| assert!(both.flip(path, 20, 1)));
    let error = open(&both).err().ok_or("opened")?;
    assert!(error.to_string().contains("no snapshot can be read"), "{error}");
    Ok(())
}

#[test]
fn a_changed_byte_in_a_log_segment_takes_its_batch_and_no_other() -> Outcome {
    let (disk, part) = eight_groups()?;
    let (log, _) = open(&disk)?;
    log.close();
    let image = disk.image();
    let path = image.files.keys().find(|path| path.starts_with("parts")).ok_or("no file")?;
    let len = image.files[path].len() as u64;
    let each = len / 7;
    let mut refused = 0;
    for at in 0..len {
        let disk = SimDisk::from_image(&image);
        disk.flip(path, at, 0x40);
        let (log, _) = open(&disk)?;
        match values(Arc::new(log.clone()), part) {
            Ok(values) => assert_eq!(values.concat(), "bcdefgh", "flipped at {at}"),
            Err(StoreError::Quarantined { first, last, reason, .. }) => {
                refused += 1;
                let hit = (at / each) as i64;
                assert_eq!((first, last), (hit, hit), "flipped at {at}: {reason}");
                assert!(reason.contains("parts/0000000000/"), "{reason}");
                check_one_lost(&log, part, hit)?;
                assert!(kept_aside(&disk));
                let by_time = log.offset_at(part, NOW_MS)?;
                assert_eq!(by_time, Some((i64::from(hit == 0), NOW_MS)), "flipped at {at}");
                drop(log);
                let (log, _) = open(&power_cut(&disk))?;
                check_one_lost(&log, part, hit)?;
                log.commit(append(part, &["i"]))?;
            }
            Err(other) => return Err(format!("flipped at {at}: {other}").into()),
        }
    }
    // All but the leader epochs, which say nothing of the records.
    assert!(refused >= len - 7 * 4, "{refused} of {len} changes were refused");
    let short = SimDisk::from_image(&image);
    yeoul_base::Disk::open(&short, path, yeoul_base::Open::Write)?.set_len(len - 1)?;
    let error = open(&short).err().ok_or("opened")?;
    assert!(matches!(error, LogError::Damaged { position, .. } if position == len - 1), "{error}");
    Ok(())
}

#[test]
fn a_failed_write_or_sync_closes_the_log_for_good() -> Outcome {
    for action in [Action::Write, Action::Sync] {
        let disk = SimDisk::new();
        let told = Arc::new(AtomicUsize::new(0));
        let reason = Arc::new(Mutex::new(String::new()));
        let (count, kept) = (Arc::clone(&told), Arc::clone(&reason));
        let options = LogOptions {
            on_fatal: Some(Arc::new(move |why: &str| {
                count.fetch_add(1, Ordering::SeqCst);
                *kept.lock().expect("no panic") = why.to_owned();
            })),
            ..tiny()
        };
        let clock = Arc::new(ManualClock::at_ms(NOW_MS));
        let rand = Arc::new(SeededRand::new(1));
        let (log, _) = Log::open(Arc::new(disk.clone()), clock, rand, options)?;
        let part = topic(&log, "t", &[])?;
        log.commit(append(part, &["a"]))?;
        let error = ErrorKind::Other;
        disk.inject(Fault { action, path: "wal".into(), after: 0, times: 1, error });
        let answers = log.commit_all(vec![append(part, &["b"]), fact("1")]);
        assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::Closed(_)))));
        assert_eq!(told.load(Ordering::SeqCst), 1);
        assert!(reason.lock().expect("no panic").contains("injected at wal/"));
        assert!(log.fatal().is_some());
        // The disk would work again; the log does not try.
        let again = log.commit(append(part, &["c"]));
        assert!(matches!(again, Err(StoreError::Closed(_))), "{again:?}");
        assert_eq!(values(Arc::new(log.clone()), part)?, ["a"]);
        assert_eq!(log.fact(fact_key("a").kind, b"a"), None);
        log.close();
        let (log, _) = open(&power_cut(&disk))?;
        assert_eq!(values(Arc::new(log), part)?, ["a"]);
    }
    Ok(())
}

#[test]
fn a_full_disk_refuses_records_takes_facts_and_resumes() -> Outcome {
    let disk = SimDisk::new();
    let (log, _) = open(&disk)?;
    let part = topic(&log, "t", &[("retention.ms", "-1")])?;
    let used: usize = disk.image().files.values().map(|bytes| bytes.len()).sum();
    disk.set_capacity(Some(used as u64 + 9_000));
    let mut acked = 0;
    let refused = loop {
        match log.commit(append(part, &["x".repeat(900).as_str()])) {
            Ok(_) => acked += 1,
            Err(error) => break error,
        }
        assert!(acked < 1_000, "the disk never fills");
    };
    assert!(matches!(refused, StoreError::DiskFull(_)), "{refused:?}");
    assert!(acked > 0 && log.fatal().is_none());
    assert!(log.commit(append(part, &["y"])).is_err());
    log.commit(fact("still taken"))?;
    assert_eq!(values(Arc::new(log.clone()), part)?.len(), acked);
    let crashed = power_cut(&disk);
    disk.set_capacity(None);
    log.commit(append(part, &["z"]))?;
    assert_eq!(values(Arc::new(log), part)?.len(), acked + 1);
    let (log, _) = open(&crashed)?;
    assert_eq!(values(Arc::new(log.clone()), part)?.len(), acked);
    assert_eq!(log.fact(fact_key("a").kind, b"a").as_deref(), Some(&b"still taken"[..]));
    Ok(())
}
