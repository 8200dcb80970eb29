//! The doctor: each kind of damage is named with its place and what it takes; after a repair the
//! log starts, has every record that was not named, and tells of those that were.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use yeoul_base::disk::sim::{Crash, Image};
use yeoul_base::{
    Clock, Disk, Isolation, ManualClock, Open, PartId, SeededRand, SimDisk, Store, StoreError,
};
use yeoul_log::doctor::{self, Choice, Diagnosis, Kind, Repaired};
use yeoul_log::{Log, LogError, LogOptions, PartitionReader};

use crate::support::{NOW_MS, Outcome, append, tiny, topic, values, values_and_lost};
use crate::workload::open;

fn examine(disk: &SimDisk) -> Result<Diagnosis, LogError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    doctor::examine(&disk, &LogOptions { lock_note: "sim".into(), ..tiny() })
}

fn repair(disk: &SimDisk, choices: &[Choice]) -> Result<Repaired, LogError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at_ms(NOW_MS));
    let options = LogOptions { lock_note: "sim".into(), ..tiny() };
    doctor::repair(&disk, clock, Arc::new(SeededRand::new(3)), options, choices)
}

fn bytes_of(disk: &SimDisk) -> Image {
    let mut image = disk.image();
    image.files.remove(Path::new("lock"));
    image
}

/// One record a group: four groups in the first slot (the topic's, `b`, `c`, `d`), then `e` …
fn eight_groups() -> Result<(SimDisk, PartId), Box<dyn std::error::Error>> {
    let disk = SimDisk::new();
    let (log, _) = open(&disk)?;
    let part = topic(&log, "films", &[])?;
    for value in ["b", "c", "d", "e", "f", "g", "h"] {
        log.commit(append(part, &[value]))?;
    }
    drop(log);
    Ok((disk, part))
}

/// Twelve records of 900 bytes in three log segments, closed in order.
fn three_segments() -> Result<(SimDisk, PartId), Box<dyn std::error::Error>> {
    let disk = SimDisk::new();
    let (log, _) = open(&disk)?;
    let part = topic(&log, "films", &[("retention.ms", "-1")])?;
    for n in 0..12 {
        log.commit(append(part, &[&value(n)]))?;
    }
    log.close();
    drop(log);
    Ok((disk, part))
}

fn value(n: i64) -> String {
    format!("{n:02}{}", "x".repeat(900))
}

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let image = disk.image();
    let log = |path: &&PathBuf| {
        path.starts_with("parts") && path.extension().is_some_and(|end| end == "log")
    };
    image.files.keys().filter(log).cloned().collect()
}

fn slots(disk: &SimDisk) -> Vec<PathBuf> {
    disk.image().files.keys().filter(|path| path.starts_with("wal")).cloned().collect()
}

/// Opens the repaired log: everything but `lost` reads back, new records follow, and a second
/// repair finds nothing to do.
fn check(disk: &SimDisk, part: PartId, expected: &[(i64, String)], lost: &[(i64, i64)]) -> Outcome {
    let (log, _) = open(disk)?;
    let (there, told) = values_and_lost(Arc::new(log.clone()), part)?;
    assert_eq!((there.as_slice(), told.as_slice()), (expected, lost));
    let next = log.ends(part).ok_or("no partition")?.high;
    log.commit(append(part, &["more"]))?;
    drop(log);
    let mut replay = disk.replay();
    while replay.step() {}
    let cut = SimDisk::from_image(&replay.image(Crash::PowerCut, &SeededRand::new(0)));
    let (log, _) = open(&cut)?;
    let (there, told) = values_and_lost(Arc::new(log), part)?;
    let mut expected = expected.to_vec();
    expected.push((next, "more".into()));
    assert_eq!((there, told.as_slice()), (expected, lost));
    Ok(())
}

fn check_settled(disk: &SimDisk) -> Outcome {
    assert_eq!(examine(disk)?.findings, []);
    let before = bytes_of(disk);
    assert_eq!(repair(disk, &Choice::ALL)?, Repaired::default());
    assert_eq!(bytes_of(disk), before, "a second repair changes nothing");
    Ok(())
}

#[test]
fn a_healthy_directory_is_left_alone_and_one_in_use_too() -> Outcome {
    let (disk, _) = three_segments()?;
    let before = bytes_of(&disk);
    let diagnosis = examine(&disk)?;
    assert!(diagnosis.is_healthy(), "{}", diagnosis.text());
    assert_eq!((diagnosis.topics, diagnosis.records), (1, 12));
    let (log, recovered) = open(&disk)?;
    assert_eq!(diagnosis.commits, recovered.sequence);
    assert!(matches!(examine(&disk), Err(LogError::Locked { .. })));
    assert!(matches!(repair(&disk, &Choice::ALL), Err(LogError::Locked { .. })));
    drop(log);
    let disk = SimDisk::from_image(&before);
    check_settled(&disk)?;
    let empty = examine(&SimDisk::new())?;
    assert!(empty.is_healthy() && empty.commits == 0, "{empty:?}");
    Ok(())
}

#[test]
fn a_damaged_group_is_explained_and_cut() -> Outcome {
    let (disk, part) = eight_groups()?;
    let slot = slots(&disk)[0].clone();
    assert!(disk.flip(&slot, 2 * 4096 + 20, 1));
    let before = bytes_of(&disk);
    assert!(matches!(open(&disk), Err(LogError::Damaged { .. })));
    let diagnosis = examine(&disk)?;
    assert_eq!(bytes_of(&disk), before, "looking changes nothing");
    let [finding] = diagnosis.findings.as_slice() else { panic!("{diagnosis:?}") };
    assert_eq!((finding.kind, finding.choice), (Kind::CommitLog, Some(Choice::Cut)));
    assert_eq!(finding.loses.commits, Some((3, 8)));
    assert_eq!(
        diagnosis.text(),
        "wal/0000000000.wal at byte 8192: commit 3 cannot be read, but commits up to 7 were \
         acknowledged\n  \
         repair: cut the commit log here and go on with the commits before\n  \
         loses commits 3 to 8\n  \
         loses what 1 of these commits held cannot be told any more\n  \
         loses topic films, partition 0: offsets 1 to 6"
    );
    // What was not chosen is not done.
    assert_eq!(repair(&disk, &[Choice::Hole, Choice::Accept])?, Repaired::default());
    assert_eq!(bytes_of(&disk), before);
    let repaired = repair(&disk, &[Choice::Cut])?;
    let recovered = repaired.recovered.clone().ok_or("nothing was done")?;
    assert_eq!(recovered.sequence, 2);
    // The damaged group, and the five behind it.
    assert_eq!((repaired.kept.is_empty(), recovered.cut.len()), (false, 5), "{repaired:?}");
    for file in repaired.kept.iter().chain(&recovered.cut) {
        assert!(disk.image().files.contains_key(Path::new(file)), "{file}");
    }
    let damaged = disk.image().files[Path::new(&repaired.kept[0])].to_vec();
    let slot_bytes = &before.files[&slot];
    assert_eq!(damaged, slot_bytes[8192..8192 + damaged.len()], "as it was");
    assert!(damaged.len() > 100);
    check_settled(&disk)?;
    check(&disk, part, &[(0, "b".into())], &[])
}

#[test]
fn any_damage_to_commits_can_be_repaired_and_what_is_lost_adds_up() -> Outcome {
    let (whole, part) = eight_groups()?;
    let image = whole.image();
    let slot = slots(&whole)[0].clone();
    let (mut refused, mut told) = (0, 0);
    for at in (0..16_384u64).filter(|at| at % 4096 < 260 && at % 9 == 0) {
        let disk = SimDisk::from_image(&image);
        assert!(disk.flip(&slot, at, 0x10));
        let diagnosis = examine(&disk)?;
        let started = open(&SimDisk::from_image(&disk.image()));
        match started {
            Err(_) => refused += 1,
            Ok((_, recovered)) => {
                assert_eq!(recovered.lost.is_empty(), diagnosis.is_healthy(), "{at}");
                assert_eq!(recovered.sequence, diagnosis.commits, "{at}");
                told += u64::from(!diagnosis.is_healthy());
            }
        }
        let lost = diagnosis.findings.iter().flat_map(|finding| &finding.loses.offsets);
        let mut lost: Vec<_> = lost.flat_map(|lost| lost.first..=lost.last).collect();
        let new_topic = diagnosis.commits == 0;
        repair(&disk, &Choice::ALL)?;
        check_settled(&disk)?;
        let (log, _) = open(&disk)?;
        if new_topic {
            assert!(log.topics().by_name.is_empty(), "{at}");
            continue;
        }
        let (there, errors) = values_and_lost(Arc::new(log), part)?;
        assert_eq!(errors, [], "{at}: all of it was accepted");
        for (offset, value) in &there {
            let expected = "bcdefgh".chars().nth(*offset as usize).map(String::from);
            assert_eq!(Some(value), expected.as_ref(), "{at}");
        }
        lost.extend(there.iter().map(|(offset, _)| *offset));
        lost.sort_unstable();
        assert_eq!(lost, (0..7).collect::<Vec<_>>(), "{at}: {}", diagnosis.text());
    }
    assert!(refused > 50 && told > 0, "{refused} refused, {told} told");
    Ok(())
}

#[test]
fn a_slot_that_was_cut_short_or_is_gone_is_repaired() -> Outcome {
    let (whole, part) = eight_groups()?;
    let slot = slots(&whole)[1].clone();
    // A group is about 150 bytes, the rest of its page is zeros.
    for (len, left) in [(100, 3), (4096, 4), (4166, 4), (9000, 6), (12_289, 6), (16_383, 7)] {
        let disk = SimDisk::from_image(&whole.image());
        disk.open(&slot, Open::Write)?.set_len(len)?;
        let diagnosis = examine(&disk)?;
        assert!(!diagnosis.is_healthy(), "{len}");
        assert!(diagnosis.findings.iter().all(|finding| finding.kind == Kind::CommitLog));
        repair(&disk, &[Choice::Cut])?;
        check_settled(&disk)?;
        let expected: Vec<_> = (0..).zip("bcdefgh".chars().map(String::from)).take(left).collect();
        check(&disk, part, &expected, &[])?;
    }
    let disk = SimDisk::from_image(&whole.image());
    disk.remove_file(&slots(&whole)[0])?;
    assert!(open(&disk).is_err());
    repair(&disk, &[Choice::Cut])?;
    check_settled(&disk)?;
    let (log, _) = open(&disk)?;
    assert!(log.topics().by_name.is_empty());
    Ok(())
}

#[test]
fn a_log_segment_that_is_missing_or_short_becomes_a_hole() -> Outcome {
    let (whole, part) = three_segments()?;
    let files = segments(&whole);
    assert_eq!(files.len(), 3, "{files:?}");
    let each = whole.image().files[&files[0]].len() as u64 / 4;
    for (index, file) in files.iter().enumerate() {
        for left in [None, Some(0), Some(each + 7), Some(3 * each + 50)] {
            let disk = SimDisk::from_image(&whole.image());
            match left {
                None => disk.remove_file(file)?,
                Some(len) => disk.open(file, Open::Write)?.set_len(len)?,
            }
            let name = format!("{}, {left:?}", file.display());
            assert!(matches!(open(&disk), Err(LogError::Damaged { .. })), "{name}");
            let (base, end) = (index as i64 * 4, index as i64 * 4 + 3);
            let first = base + (left.unwrap_or(0) / each) as i64;
            let diagnosis = examine(&disk)?;
            let text = diagnosis.text();
            let [finding] = diagnosis.findings.as_slice() else { panic!("{name}: {text}") };
            assert_eq!((finding.kind, finding.choice), (Kind::LogSegment, Some(Choice::Hole)));
            assert_eq!(finding.position, Some(left.unwrap_or(0)), "{name}");
            let [lost] = finding.loses.offsets.as_slice() else { panic!("{name}: {text}") };
            assert_eq!((lost.first, lost.last), (first, end), "{name}");
            assert!(text.contains("parts/0000000000/") && text.contains("topic films"), "{text}");
            let repaired = repair(&disk, &[Choice::Hole])?;
            assert_eq!(repaired.lost.len(), 1, "{repaired:?}");
            let rest = (0..12).filter(|n| !(first..=end).contains(n));
            let rest: Vec<_> = rest.map(|n| (n, value(n))).collect();
            check(&disk, part, &rest, &[(first, end)])?;
        }
    }
    Ok(())
}

#[test]
fn what_is_given_up_is_passed_over_and_stays_known() -> Outcome {
    let (disk, part) = three_segments()?;
    disk.remove_file(&segments(&disk)[1])?;
    repair(&disk, &[Choice::Hole])?;
    let diagnosis = examine(&disk)?;
    assert_eq!(diagnosis.choices(), [Choice::Accept], "{}", diagnosis.text());
    assert!(diagnosis.text().contains("offsets 4 to 7"), "{}", diagnosis.text());
    repair(&disk, &[Choice::Accept])?;
    check_settled(&disk)?;
    assert!(examine(&disk)?.text().contains("given up before: topic films"));
    let (log, _) = open(&disk)?;
    let lost: Vec<_> =
        log.lost().iter().map(|lost| (lost.first, lost.last, lost.accepted)).collect();
    assert_eq!(lost, [(4, 7, true)]);
    drop(log);
    let rest = (0..12).filter(|n| !(4..=7).contains(n));
    check(&disk, part, &rest.map(|n| (n, value(n))).collect::<Vec<_>>(), &[])
}

#[test]
fn a_component_stops_before_what_is_lost_until_somebody_gives_it_up() -> Outcome {
    let (disk, part) = three_segments()?;
    disk.remove_file(&segments(&disk)[1])?;
    repair(&disk, &[Choice::Hole])?;
    // As streams and tables read: from the position they have committed, whatever happens.
    let read_on = |at: i64| -> Result<_, Box<dyn std::error::Error>> {
        let (log, _) = open(&disk)?;
        let mut reader = PartitionReader::new(Arc::new(log), part, at, Isolation::Committed);
        let mut seen = Vec::new();
        loop {
            match reader.next(1) {
                Ok(records) if records.is_empty() => return Ok((seen, reader.position(), None)),
                Ok(records) => seen.extend(records.into_iter().map(|record| record.offset)),
                Err(error) => return Ok((seen, reader.position(), Some(error))),
            }
        }
    };
    let (seen, position, error) = read_on(0)?;
    assert_eq!((seen, position), (vec![0, 1, 2, 3], 4));
    assert!(matches!(error, Some(StoreError::Quarantined { first: 4, last: 7, .. })), "{error:?}");
    assert_eq!(read_on(4)?.1, 4, "nor by a restart");
    repair(&disk, &[Choice::Accept])?;
    let (seen, position, error) = read_on(4)?;
    assert_eq!((seen, position, error), (vec![8, 9, 10, 11], 12, None));
    Ok(())
}

#[test]
fn damaged_records_in_a_log_segment_are_named_and_kept() -> Outcome {
    let (disk, part) = three_segments()?;
    let file = segments(&disk)[0].clone();
    let each = disk.image().files[&file].len() as u64 / 4;
    assert!(disk.flip(&file, each + 200, 1));
    let diagnosis = examine(&disk)?;
    let [finding] = diagnosis.findings.as_slice() else { panic!("{diagnosis:?}") };
    assert_eq!((finding.kind, finding.position), (Kind::Records, Some(each)));
    assert!(diagnosis.text().contains("topic films, partition 0: offset 1"), "{diagnosis:?}");
    let repaired = repair(&disk, &[Choice::Accept])?;
    assert_eq!(repaired.kept.len(), 1);
    check_settled(&disk)?;
    let rest = (0..12).filter(|n| *n != 1);
    check(&disk, part, &rest.map(|n| (n, value(n))).collect::<Vec<_>>(), &[])
}

/// The newest snapshot and a commit between it and the one before cannot be read.
fn two_bad_places() -> Result<(SimDisk, PartId), Box<dyn std::error::Error>> {
    let disk = SimDisk::new();
    let (log, _) = open(&disk)?;
    let part = topic(&log, "films", &[])?;
    for value in ["a", "b", "c"] {
        log.commit(append(part, &[value]))?;
        log.checkpoint()?;
    }
    drop(log);
    let image = disk.image();
    let newest = image.files.keys().rfind(|path| path.starts_with("snapshots"));
    assert!(disk.flip(newest.ok_or("no snapshot")?, 20, 1));
    assert!(disk.flip(&slots(&disk)[0], 3 * 4096 + 20, 1));
    Ok((disk, part))
}

#[test]
fn an_unreadable_snapshot_and_commit_log_fall_back_to_the_older_one() -> Outcome {
    let (disk, part) = two_bad_places()?;
    assert!(matches!(open(&disk), Err(LogError::Damaged { .. })));
    let diagnosis = examine(&disk)?;
    assert_eq!(diagnosis.choices(), [Choice::OlderSnapshot], "{}", diagnosis.text());
    let commits: Vec<_> = diagnosis.findings.iter().map(|found| found.loses.commits).collect();
    assert_eq!(commits, [None, Some((4, 4))], "{}", diagnosis.text());
    let repaired = repair(&disk, &[Choice::OlderSnapshot])?;
    let recovered = repaired.recovered.as_ref().ok_or("nothing was done")?;
    assert_eq!((recovered.sequence, recovered.quarantined.len()), (3, 1));
    check_settled(&disk)?;
    check(&disk, part, &[(0, "a".into()), (1, "b".into())], &[])
}

#[test]
fn without_any_snapshot_nothing_is_offered_and_nothing_is_done() -> Outcome {
    let (disk, _) = three_segments()?;
    let image = disk.image();
    for path in image.files.keys().filter(|path| path.starts_with("snapshots")) {
        assert!(disk.flip(path, 20, 1));
    }
    let before = bytes_of(&disk);
    let diagnosis = examine(&disk)?;
    assert!(!diagnosis.is_healthy() && diagnosis.choices().is_empty());
    assert!(diagnosis.text().contains("restore the file from a backup"), "{}", diagnosis.text());
    assert_eq!(repair(&disk, &Choice::ALL)?, Repaired::default());
    assert_eq!(bytes_of(&disk), before);
    Ok(())
}

fn values_of(disk: &SimDisk, part: PartId) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let (log, _): (Log, _) = open(disk)?;
    Ok(values(Arc::new(log), part)?)
}

#[test]
fn a_repair_that_is_interrupted_anywhere_is_finished_by_another() -> Outcome {
    let (group, part) = eight_groups()?;
    assert!(group.flip(&slots(&group)[0], 2 * 4096 + 20, 1));
    let (segment, _) = three_segments()?;
    segment.remove_file(&segments(&segment)[1])?;
    let (slot, _) = eight_groups()?;
    slot.open(&slots(&slot)[1], Open::Write)?.set_len(4096 + 70)?;
    let (snapshot, _) = two_bad_places()?;
    let mut crashes = 0;
    for damaged in [group, segment, slot, snapshot] {
        let image = damaged.image();
        let disk = SimDisk::from_image(&image);
        repair(&disk, &Choice::ALL)?;
        let expected = values_of(&SimDisk::from_image(&disk.image()), part)?;
        let mut replay = disk.replay();
        loop {
            for crash in Crash::ALL {
                let rand = SeededRand::new(replay.at() as u64);
                let again = SimDisk::from_image(&replay.image(crash, &rand));
                let at = format!("{crash:?} after {} actions", replay.at());
                let second = repair(&again, &Choice::ALL);
                second.map_err(|error| format!("{at}: {error}"))?;
                assert_eq!(examine(&again)?.findings, [], "{at}");
                let found = values_of(&again, part).map_err(|error| format!("{at}: {error}"))?;
                assert_eq!(found, expected, "{at}");
                crashes += 1;
            }
            if !replay.step() {
                break;
            }
        }
    }
    assert!(crashes > 500, "{crashes}");
    Ok(())
}
