//! Retention and holds: what goes, what stays and for whom, and who is told.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use yeoul_base::{
    Append, Clock, Commit, ManualClock, NewTopic, PartId, Rand, SeededRand, SimDisk, Store,
    StoreError,
};
use yeoul_log::{BatchBuilder, Codec, Hold, Holds, Log, LogOptions};

use crate::support::{NOW_MS, Outcome, append, tiny, topic};

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Components whose places a test sets, and what they were told.
#[derive(Default)]
struct Components {
    holds: Mutex<Vec<Hold>>,
    lost: Mutex<Vec<(String, PartId, Range<i64>)>>,
}

impl Components {
    fn set(&self, holds: &[(&str, PartId, i64)]) {
        let hold = |(component, part, from): &(&str, PartId, i64)| Hold {
            component: (*component).into(),
            part: *part,
            from: *from,
        };
        *self.holds.lock().expect("no panic") = holds.iter().map(hold).collect();
    }

    fn told(&self) -> Vec<(String, PartId, Range<i64>)> {
        std::mem::take(&mut *self.lost.lock().expect("no panic"))
    }
}

impl Holds for Components {
    fn holds(&self) -> Vec<Hold> {
        self.holds.lock().expect("no panic").clone()
    }

    fn lost(&self, component: &str, part: PartId, offsets: Range<i64>) {
        self.lost.lock().expect("no panic").push((component.to_owned(), part, offsets));
    }
}

fn open(disk: &SimDisk, options: LogOptions) -> Log {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at_ms(NOW_MS));
    let disk = Arc::new(disk.clone());
    Log::open(disk, clock, Arc::new(SeededRand::new(3)), options).expect("it opens").0
}

/// One record of about 1,000 bytes, dated.
fn dated(part: PartId, timestamp_ms: i64) -> Commit {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(timestamp_ms, Some(b"k"), Some(&[b'.'; 900]), &[]);
    let batch = builder.finish().expect("a record");
    Commit { appends: vec![Append { part, batch }], ..Commit::default() }
}

fn fill(log: &Log, part: PartId, count: usize) -> Outcome {
    for _ in 0..count {
        log.commit(dated(part, NOW_MS))?;
    }
    Ok(())
}

fn start(log: &Log, part: PartId) -> i64 {
    log.ends(part).map_or(-1, |ends| ends.start)
}

#[test]
fn what_goes_by_age_and_size() -> Outcome {
    // Ten records of 1,000 bytes, a day apart, the newest a day old; their settings, and where
    // the partition starts then.
    let cases: [(&[(&str, &str)], i64); 9] = [
        (&[("retention.ms", "-1")], 0),
        (&[("retention.ms", "-1"), ("retention.bytes", "4500"), ("segment.bytes", "1000")], 6),
        // A quarter of retention.bytes: three records to a log segment.
        (&[("retention.ms", "-1"), ("retention.bytes", "12000")], 0),
        (&[("retention.ms", "-1"), ("retention.bytes", "8000")], 2),
        (&[("retention.ms", "432000001"), ("segment.bytes", "1000")], 5),
        (&[("retention.ms", "432000000"), ("segment.bytes", "2000")], 4),
        // Everything is too old, the newest log segment too.
        (&[("retention.ms", "1000"), ("segment.bytes", "4000")], 10),
        (&[("retention.ms", "1000"), ("cleanup.policy", "compact")], 0),
        (&[("retention.ms", "1000"), ("cleanup.policy", "compact,delete")], 10),
    ];
    for (config, expected) in cases {
        let disk = SimDisk::new();
        let log = open(&disk, tiny());
        let part = topic(&log, "t", config)?;
        for day in 0..10 {
            log.commit(dated(part, NOW_MS - (10 - day) * DAY_MS))?;
        }
        log.enforce_retention(NOW_MS)?;
        assert_eq!(start(&log, part), expected, "{config:?}");
        log.commit(dated(part, NOW_MS))?;
        drop(log);
        let log = open(&disk, tiny());
        assert_eq!(start(&log, part), expected, "{config:?} after a restart");
        assert_eq!(log.ends(part).map(|ends| ends.high), Some(11));
    }
    Ok(())
}

#[test]
fn settings_altered_while_it_runs_hold_from_the_next_look_on() -> Outcome {
    let log = open(&SimDisk::new(), tiny());
    let part = topic(&log, "t", &[("retention.ms", "-1"), ("segment.bytes", "1000")])?;
    fill(&log, part, 10)?;
    assert_eq!(log.enforce_retention(NOW_MS)?, 0);
    log.alter_topic("t", vec![("retention.bytes".into(), Some("3000".into()))])?;
    assert_eq!(log.enforce_retention(NOW_MS)?, 1);
    assert_eq!(start(&log, part), 7);
    log.alter_topic("t", vec![("retention.bytes".into(), None)])?;
    log.alter_topic("t", vec![("segment.bytes".into(), Some("100000".into()))])?;
    fill(&log, part, 10)?;
    log.alter_topic("t", vec![("retention.bytes".into(), Some("1".into()))])?;
    log.enforce_retention(NOW_MS)?;
    // The newest log segment stays, and it has grown since the size was raised.
    assert_eq!(start(&log, part), 9);
    Ok(())
}

#[test]
fn a_log_segment_closes_with_time() -> Outcome {
    let disk = SimDisk::new();
    let log = open(&disk, tiny());
    let hour = [("segment.ms", "3600000"), ("retention.bytes", "1"), ("segment.bytes", "100000")];
    let part = topic(&log, "t", &hour)?;
    fill(&log, part, 3)?;
    log.enforce_retention(NOW_MS + 3_599_999)?;
    fill(&log, part, 1)?;
    // When it was begun outlives a restart.
    log.close();
    let log = open(&disk, tiny());
    log.enforce_retention(NOW_MS + 3_600_000)?;
    assert_eq!(start(&log, part), 0, "it is the newest still");
    fill(&log, part, 1)?;
    log.enforce_retention(NOW_MS + 3_600_000)?;
    assert_eq!(start(&log, part), 4);
    Ok(())
}

#[test]
fn what_a_component_has_to_read_stays_until_it_is_too_much() -> Outcome {
    let options = LogOptions { holds_expected: true, hold_bytes_max: 5_000, ..tiny() };
    let log = open(&SimDisk::new(), options);
    let config = [("retention.bytes", "2500"), ("segment.bytes", "1000")];
    let (part, other) = (topic(&log, "t", &config)?, topic(&log, "u", &config)?);
    fill(&log, part, 6)?;
    assert_eq!(log.enforce_retention(NOW_MS)?, 0, "nobody has said yet what is needed");

    let components = Arc::new(Components::default());
    log.set_holds(Arc::clone(&components) as Arc<dyn Holds>);
    components.set(&[("table/a", part, 2), ("sink/b", part, 3), ("sink/b", other, 0)]);
    log.enforce_retention(NOW_MS)?;
    assert_eq!(start(&log, part), 2);
    assert_eq!(log.held_bytes().get(&part).map(|bytes| bytes / 900), Some(2));
    assert!(components.told().is_empty());

    // Nothing moves while the slowest stands still; then it goes on.
    fill(&log, part, 3)?;
    log.enforce_retention(NOW_MS)?;
    assert_eq!((start(&log, part), log.stats().held_bytes / 900), (2, 5));
    components.set(&[("table/a", part, 9), ("sink/b", part, 4), ("sink/b", other, 0)]);
    log.enforce_retention(NOW_MS)?;
    assert_eq!((start(&log, part), components.told().len()), (4, 0));

    // Beyond the limit the oldest go, no more than needed, and their holder is told.
    fill(&log, part, 4)?;
    log.enforce_retention(NOW_MS)?;
    assert_eq!(start(&log, part), 6);
    assert_eq!(components.told(), [("sink/b".to_owned(), part, 4..6)]);
    assert!(log.stats().held_bytes <= 5_000);

    // Who asks to delete is obeyed; who had not read it is told.
    log.delete_records(part, 10)?;
    let told = [("table/a".to_owned(), part, 9..10), ("sink/b".to_owned(), part, 6..10)];
    assert_eq!(components.told(), told);
    fill(&log, other, 2)?;
    log.delete_topic("u")?;
    assert_eq!(components.told(), [("sink/b".to_owned(), other, 0..2)]);
    Ok(())
}

/// Whatever happens: nothing that is held goes unless too much is held, what is kept without being
/// held keeps to the limit, and losses that are told add up to what is gone.
#[test]
fn random_writers_readers_and_restarts() -> Outcome {
    const LIMIT: u64 = 4_000;
    const KEEP: u64 = 3_000;
    for seed in 0..60 {
        let rand = SeededRand::new(seed);
        let disk = SimDisk::new();
        let options = || LogOptions { hold_bytes_max: LIMIT, ..tiny() };
        let mut log = open(&disk, options());
        let components = Arc::new(Components::default());
        log.set_holds(Arc::clone(&components) as Arc<dyn Holds>);
        let segment_bytes = ["1000", "2000", "2900"][rand.below(3) as usize];
        let config = [("retention.bytes", "3000"), ("segment.bytes", segment_bytes)];
        let part = topic(&log, "t", &config)?;
        let mut place = 0;
        for step in 0..40 {
            match rand.below(5) {
                0 | 1 => fill(&log, part, 1 + rand.below(4) as usize)?,
                2 => {
                    let high = log.ends(part).map_or(0, |ends| ends.high);
                    place += rand.below((high - place) as u64 + 1) as i64;
                }
                3 => {
                    components.set(&[("stream/s", part, place)]);
                    let (before, oldest) = (start(&log, part), place);
                    log.enforce_retention(NOW_MS)?;
                    let now = start(&log, part);
                    let told = components.told();
                    let said = format!("seed {seed}, step {step}: {before} to {now}, {told:?}");
                    assert!(now >= before, "{said}");
                    let expected = (now > oldest)
                        .then(|| ("stream/s".to_owned(), part, oldest.max(before)..now));
                    assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{said}");
                    let bytes = log.ends(part).map_or(0, |ends| ends.bytes);
                    let held = log.stats().held_bytes;
                    assert!(held <= LIMIT, "{said}: {held} held");
                    assert!(bytes <= KEEP + held, "{said}: {bytes} there, {held} held");
                    place = place.max(now);
                }
                _ => {
                    let before = log.ends(part);
                    if rand.below(2) == 0 {
                        log.close();
                    }
                    drop(log);
                    log = open(&disk, options());
                    log.set_holds(Arc::clone(&components) as Arc<dyn Holds>);
                    assert_eq!(
                        log.ends(part).map(|e| (e.start, e.high)),
                        before.map(|e| (e.start, e.high))
                    );
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_compacted_topic_takes_only_keys_and_bounds_hold_for_times() -> Outcome {
    let log = open(&SimDisk::new(), tiny());
    let compacted = topic(&log, "c", &[("cleanup.policy", "compact")])?;
    let refused = log.commit(append(compacted, &["no key"]));
    assert!(matches!(refused, Err(StoreError::InvalidRecord(_))), "{refused:?}");
    log.commit(dated(compacted, NOW_MS))?;

    let bounds =
        [("message.timestamp.before.max.ms", "1000"), ("message.timestamp.after.max.ms", "500")];
    let bounded = topic(&log, "b", &bounds)?;
    for (off, fine) in [(-1001, false), (-1000, true), (0, true), (500, true), (501, false)] {
        let done = log.commit(dated(bounded, NOW_MS + off));
        let refused = matches!(done, Err(StoreError::InvalidTimestamp(_)));
        assert_eq!((done.is_ok(), refused), (fine, !fine), "{off} ms: {done:?}");
    }
    assert_eq!(log.ends(bounded).map(|ends| ends.high), Some(3));
    Ok(())
}

/// Files of a deleted topic go, and the topic made anew under its name begins empty.
#[test]
fn a_topic_made_again_has_nothing_of_the_old_one() -> Outcome {
    let disk = SimDisk::new();
    let log = open(&disk, tiny());
    let old = topic(&log, "t", &[("segment.bytes", "1000")])?;
    fill(&log, old, 5)?;
    log.checkpoint()?;
    log.delete_topic("t")?;
    let new = NewTopic { name: "t".into(), partitions: 1, config: Default::default() };
    let new = log.create_topic(new)?.partitions[0];
    assert_ne!(old, new);
    assert_eq!(log.ends(new).map(|ends| (ends.start, ends.high)), Some((0, 0)));
    let gone = log.read(old, 0, 1 << 20, yeoul_base::Isolation::Uncommitted);
    assert!(matches!(gone, Err(StoreError::UnknownPartition(_))), "{gone:?}");
    // Two snapshots later nobody can need them.
    for _ in 0..2 {
        fill(&log, new, 1)?;
        log.checkpoint()?;
    }
    let folder = format!("parts/{:010}", old.0);
    let image = disk.image();
    assert!(!image.files.keys().any(|path| path.starts_with(&folder)), "{:?}", image.files.keys());
    assert!(!image.dirs.contains(std::path::Path::new(&folder)));
    Ok(())
}
