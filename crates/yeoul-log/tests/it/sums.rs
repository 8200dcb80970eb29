//! Checksum files and the scrub: whatever byte changes, nothing wrong is served, what is good is,
//! and the scrub says what is damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use yeoul_base::{
    Append, Clock, Commit, Disk, Isolation, ManualClock, Open, PartId, Rand, SeededRand, SimDisk,
    Store, StoreError,
};
use yeoul_log::{BatchBuilder, Codec, Log, LogOptions, Record, batch};

use crate::support::{NOW_MS, Outcome, tiny, topic};

fn open(disk: &SimDisk) -> Log {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at_ms(NOW_MS));
    let options = LogOptions { unsplit_bytes: 8 << 20, slot_bytes: [1 << 20; 3], ..tiny() };
    Log::open(disk, clock, Arc::new(SeededRand::new(3)), options).expect("it opens").0
}

/// One record of a key; its value says where it should be.
fn put(log: &Log, part: PartId, key: usize, len: usize) -> Outcome {
    let offset = log.ends(part).expect("a partition").high;
    let mut builder = BatchBuilder::new(Codec::None);
    let value = format!("{offset}{}", ".".repeat(len));
    builder.push(NOW_MS, Some(format!("k{key}").as_bytes()), Some(value.as_bytes()), &[]);
    let batch = builder.finish().expect("a record");
    log.commit(Commit { appends: vec![Append { part, batch }], ..Commit::default() })?;
    Ok(())
}

fn record_is_true(record: &Record) -> bool {
    let value = record.value.as_deref().unwrap_or_default();
    let digits: Vec<u8> = value.iter().copied().take_while(u8::is_ascii_digit).collect();
    digits == record.offset.to_string().into_bytes()
}

/// Offsets that can be read; those that are quarantined are passed over.
fn readable(log: &Log, part: PartId) -> Result<Vec<i64>, String> {
    let ends = log.ends(part).expect("a partition");
    let (mut at, mut out) = (ends.start, Vec::new());
    while at < ends.high {
        match log.read(part, at, 1 << 16, Isolation::Uncommitted) {
            Ok(read) => {
                for bytes in read.batches.into_iter().flat_map(batch::split) {
                    for record in batch::decode(&bytes.expect("whole")).expect("it decodes") {
                        if !record_is_true(&record) {
                            return Err(format!("{record:?} is a lie"));
                        }
                        if record.offset >= at {
                            out.push(record.offset);
                        }
                        at = at.max(record.offset + 1);
                    }
                }
            }
            Err(StoreError::Quarantined { last, .. }) => at = last + 1,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(out)
}

fn files(disk: &SimDisk, end: &str) -> Vec<PathBuf> {
    let image = disk.image();
    let ours =
        |path: &&PathBuf| path.starts_with("parts") && path.extension().is_some_and(|e| e == end);
    image.files.keys().filter(ours).cloned().collect()
}

/// A topic with closed, summed log segments; compacted or as appended. Its offsets.
fn filled(
    disk: &SimDisk,
    compacted: bool,
) -> Result<(PartId, Vec<i64>), Box<dyn std::error::Error>> {
    let log = open(disk);
    let policy = if compacted { "compact" } else { "delete" };
    let config = [
        ("cleanup.policy", policy),
        ("retention.ms", "-1"),
        ("segment.bytes", "1500"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    let part = topic(&log, "t", &config)?;
    for n in 0..40 {
        put(&log, part, n * 7 % 25, 20 + n)?;
    }
    log.compact(NOW_MS)?;
    let offsets = readable(&log, part)?;
    assert_eq!(offsets.len() < 40, compacted);
    log.close();
    Ok((part, offsets))
}

#[test]
fn every_closed_log_segment_has_its_checksums_before_a_snapshot_names_it() -> Outcome {
    for compacted in [false, true] {
        let disk = SimDisk::new();
        let (part, offsets) = filled(&disk, compacted)?;
        let (logs, sums) = (files(&disk, "log"), files(&disk, "sum"));
        assert!(sums.len() >= 2);
        assert_eq!(sums.len() + 1, logs.len(), "{logs:?} {sums:?}");
        let log = open(&disk);
        assert_eq!(readable(&log, part)?, offsets);
        let scrubbed = log.scrub()?;
        assert_eq!((scrubbed.damaged.len(), scrubbed.log_segments), (0, logs.len() as u64));
        assert_eq!(log.stats().bad_blocks, 0);
    }
    Ok(())
}

/// Bit by bit over all closed log segments.
#[test]
fn no_changed_bit_is_served_and_the_scrub_finds_each() -> Outcome {
    for compacted in [false, true] {
        let begin = SimDisk::new();
        let (part, offsets) = filled(&begin, compacted)?;
        let image = begin.image();
        let rand = SeededRand::new(5);
        let closed = files(&begin, "sum");
        let mut harmless = 0;
        for path in closed.iter().map(|path| path.with_extension("log")) {
            let len = image.files[&path].len() as u64;
            for _ in 0..60 {
                let at = rand.below(len);
                let disk = SimDisk::from_image(&image);
                assert!(disk.flip(&path, at, 1 << rand.below(8)));
                let log = open(&disk);
                let said = format!("{} byte {at}, compacted: {compacted}", path.display());
                let left = readable(&log, part).map_err(|error| format!("{said}: {error}"))?;
                assert!(left.iter().all(|offset| offsets.contains(offset)), "{said}");
                assert!(offsets.len() - left.len() <= 40, "{said}");
                let scrubbed = log.scrub().map_err(|error| format!("{said}: {error}"))?;
                assert_eq!(scrubbed.damaged.len(), 1, "{said}");
                assert_eq!(log.stats().bad_blocks, 1, "{said}");
                assert_eq!(scrubbed.damaged[0].file, path.display().to_string());
                assert_eq!(scrubbed.damaged[0].lost.is_empty(), left == offsets, "{said}");
                // The leader epoch is neither the producer's nor needed; nothing else may change
                // without loss, and in a compacted file nothing at all is believed then.
                let appended = !path.display().to_string().contains('-');
                assert!(left != offsets || appended, "{said}");
                harmless += u64::from(left == offsets);
                // What is lost is known after a restart, and the rest is still there.
                drop(log);
                let log = open(&disk);
                assert_eq!(readable(&log, part)?, left, "{said}");
                assert_eq!(log.lost().is_empty(), left == offsets, "{said}");
            }
        }
        assert!(compacted || (1..30).contains(&harmless), "{harmless}");
    }
    Ok(())
}

#[test]
fn a_lost_checksum_file_comes_back_only_as_it_was() -> Outcome {
    for compacted in [false, true] {
        let begin = SimDisk::new();
        let (part, offsets) = filled(&begin, compacted)?;
        let image = begin.image();
        let sum = files(&begin, "sum").swap_remove(1);
        let logs = sum.with_extension("log");
        for (damage_sum, damage_log) in [(false, false), (true, false), (false, true)] {
            let disk = SimDisk::from_image(&image);
            if damage_sum {
                assert!(disk.flip(&sum, 41, 1));
            } else {
                disk.remove_file(&sum)?;
            }
            if damage_log {
                assert!(disk.flip(&logs, 90, 1));
            }
            let log = open(&disk);
            let left = readable(&log, part)?;
            let scrubbed = log.scrub()?;
            if damage_log {
                assert_eq!(scrubbed.damaged.len(), 1, "compacted: {compacted}");
                assert!(left.len() < offsets.len());
                assert!(!disk.image().files.contains_key(&sum), "nobody can say what it was");
            } else {
                assert_eq!((left, scrubbed.damaged.len()), (offsets.clone(), 0));
                assert_eq!(disk.image().files[&sum], image.files[&sum]);
            }
        }
    }
    Ok(())
}

/// A log segment of several blocks: only what lies in the bad one is doubted.
#[test]
fn blocks_are_judged_one_by_one() -> Outcome {
    let disk = SimDisk::new();
    let log = open(&disk);
    let config = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "5500000"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    let part = topic(&log, "t", &config)?;
    // Each key twice: after compaction every other record is left.
    for n in 0..240 {
        put(&log, part, n / 2, 50_000)?;
    }
    log.compact(NOW_MS)?;
    log.close();
    let image = disk.image();
    let largest = |path: &&PathBuf| image.files[*path].len();
    let path = files(&disk, "log").iter().max_by_key(largest).cloned().expect("a file");
    assert!(image.files[&path].len() > 2 << 20, "{}", path.display());
    let log = open(&disk);
    let before = readable(&log, part)?;
    log.close();
    assert!(disk.flip(&path, (1 << 20) + 300_000, 1));
    let log = open(&disk);
    let left = readable(&log, part)?;
    let lost = before.len() - left.len();
    assert!((20..=24).contains(&lost), "{lost} records of about 21 in a block");
    assert_eq!(log.stats().bad_blocks, 1);
    Ok(())
}

/// Rot in what nobody reads is found by the background scrub.
#[test]
fn the_scrub_comes_by_itself() -> Outcome {
    let begin = SimDisk::new();
    let (_, _) = filled(&begin, false)?;
    let path = files(&begin, "log").swap_remove(0);
    assert!(begin.flip(&path, 70, 1));
    let disk: Arc<dyn Disk> = Arc::new(begin.clone());
    let clock = Arc::new(ManualClock::at_ms(NOW_MS + 7 * 24 * 3_600_000 + 1));
    let every = std::time::Duration::from_millis(1);
    let options = LogOptions { inline: false, retention_every: every, ..tiny() };
    let shared_clock: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
    let (log, _) = Log::open(disk, shared_clock, Arc::new(SeededRand::new(3)), options)?;
    for _ in 0..2_000 {
        clock.advance(every);
        if !log.lost().is_empty() {
            let scrubbed = begin.open(Path::new(&path), Open::Read)?.len_bytes()?;
            assert!(scrubbed > 0, "nothing is deleted");
            return Ok(());
        }
        std::thread::sleep(every * 5);
    }
    Err("nobody came".into())
}
