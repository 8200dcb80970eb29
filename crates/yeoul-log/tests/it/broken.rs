//! Log segments that cannot be written or synced, while the commit log can.

use std::io::ErrorKind;
use std::sync::Arc;

use yeoul_base::disk::sim::{Action, Crash, Fault};
use yeoul_base::{PartId, SeededRand, SimDisk, Store, StoreError};
use yeoul_log::Log;

use crate::support::{Outcome, append, topic, values};
use crate::workload::open;

fn power_cut(disk: &SimDisk) -> SimDisk {
    let mut replay = disk.replay();
    while replay.step() {}
    SimDisk::from_image(&replay.image(Crash::PowerCut, &SeededRand::new(0)))
}

fn fail(disk: &SimDisk, action: Action, path: &str, times: u64, error: ErrorKind) {
    disk.inject(Fault { action, path: path.into(), after: 0, times, error });
}

fn two_topics(disk: &SimDisk) -> Result<(Log, PartId, PartId), Box<dyn std::error::Error>> {
    let (log, _) = open(disk)?;
    let (one, two) = (topic(&log, "one", &[])?, topic(&log, "two", &[])?);
    for value in ["a", "b"] {
        log.commit(append(one, &[value]))?;
        log.commit(append(two, &[value]))?;
    }
    log.checkpoint()?;
    log.commit(append(one, &["c"]))?;
    log.commit(append(two, &["c"]))?;
    Ok((log, one, two))
}

fn all(log: &Log, part: PartId) -> Result<String, StoreError> {
    values(Arc::new(log.clone()), part).map(|values| values.concat())
}

#[test]
fn a_log_segment_that_fails_once_is_written_anew() -> Outcome {
    for (action, error) in [
        (Action::Write, ErrorKind::Other),
        (Action::Sync, ErrorKind::Other),
        (Action::Sync, ErrorKind::StorageFull),
    ] {
        let disk = SimDisk::new();
        let (log, one, two) = two_topics(&disk)?;
        fail(&disk, action, "parts/0000000000", 1, error);
        log.commit(append(one, &["d"]))?;
        // The first of these meets the failed sync.
        log.checkpoint()?;
        log.checkpoint()?;
        log.commit(append(one, &["e"]))?;
        log.commit(append(two, &["d"]))?;
        assert_eq!(log.stats().read_only_parts, 0);
        assert_eq!((all(&log, one)?, all(&log, two)?), ("abcde".into(), "abcd".into()));
        let (log, _) = open(&power_cut(&disk))?;
        assert_eq!((all(&log, one)?, all(&log, two)?), ("abcde".into(), "abcd".into()));
    }
    Ok(())
}

#[test]
fn a_log_segment_that_fails_twice_makes_its_partition_read_only_and_no_other() -> Outcome {
    for action in [Action::Write, Action::Sync] {
        let disk = SimDisk::new();
        let (log, one, two) = two_topics(&disk)?;
        fail(&disk, action, "parts/0000000000", u64::MAX, ErrorKind::Other);
        log.commit(append(one, &["d"]))?;
        log.checkpoint()?;
        let refused = log.commit(append(one, &["e"]));
        assert!(matches!(refused, Err(StoreError::ReadOnly { .. })), "{action:?}: {refused:?}");
        assert_eq!(log.stats().read_only_parts, 1);
        // The other goes on, through many slots and checkpoints.
        let mut expected = "abc".to_owned();
        for n in 0..40 {
            let value = format!("{n}{}", "x".repeat(1_500));
            log.commit(append(two, &[&value]))?;
            expected.push_str(&value);
            if n % 5 == 4 {
                log.checkpoint()?;
            }
        }
        assert!(log.stats().wal_bytes < 10 * (16 << 10), "{:?}", log.stats());
        assert_eq!((all(&log, one)?, all(&log, two)?), ("abcd".into(), expected.clone()));
        assert_eq!(log.fatal(), None);
        // The next start, on a disk that works, finds everything and takes records again.
        for disk in [power_cut(&disk), power_cut(&power_cut(&disk))] {
            let (log, _) = open(&disk)?;
            assert_eq!((all(&log, one)?, all(&log, two)?), ("abcd".into(), expected.clone()));
            log.commit(append(one, &["e"]))?;
            log.checkpoint()?;
            drop(log);
            let (log, _) = open(&power_cut(&disk))?;
            assert_eq!(all(&log, one)?, "abcde");
        }
    }
    Ok(())
}

#[test]
fn a_folder_that_could_not_be_made_for_want_of_space_is_made_later() -> Outcome {
    let disk = SimDisk::new();
    let (log, _) = open(&disk)?;
    let part = topic(&log, "t", &[])?;
    fail(&disk, Action::Create, "parts/0000000000", 1, ErrorKind::StorageFull);
    log.commit(append(part, &["a"]))?;
    log.commit(append(part, &["b"]))?;
    assert_eq!(log.fatal(), None);
    log.checkpoint()?;
    let (log, _) = open(&power_cut(&disk))?;
    assert_eq!(all(&log, part)?, "ab");
    Ok(())
}

#[test]
fn a_snapshot_that_fails_once_is_written_anew_and_closes_the_log_when_it_fails_again() -> Outcome {
    for times in [1, 2] {
        for action in [Action::Write, Action::Sync, Action::Rename] {
            let disk = SimDisk::new();
            let (log, one, _) = two_topics(&disk)?;
            fail(&disk, action, "snapshots", times, ErrorKind::Other);
            log.checkpoint()?;
            let again = log.checkpoint();
            assert_eq!(again.is_ok(), times == 1, "{action:?}: {again:?}");
            assert_eq!(log.fatal().is_some(), times == 2);
            let (log, _) = open(&power_cut(&disk))?;
            assert_eq!(all(&log, one)?, "abc");
        }
    }
    Ok(())
}
