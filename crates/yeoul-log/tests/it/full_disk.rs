//! A disk without a free byte is freed by the log's own requests (records deleted, topics
//! deleted, retention), in the same process and after a restart, and a crash at any moment of
//! that loses nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use yeoul_base::disk::sim::{Crash, Image};
use yeoul_base::{
    Clock, Commit, ManualClock, PartId, Rand, SeededRand, SimDisk, Store, StoreError, SystemClock,
};
use yeoul_log::{BatchBuilder, Codec, Log, LogError, LogOptions, Recovered};

use crate::model::fact_key;
use crate::support::{NOW_MS, Outcome, append, tiny, topic, values};
use crate::transactions::marker;

const RESERVE: u64 = 32 << 10;

fn open(disk: &SimDisk) -> Result<(Log, Recovered), LogError> {
    open_at(disk, &Arc::new(ManualClock::at_ms(NOW_MS)))
}

fn open_at(disk: &SimDisk, clock: &Arc<ManualClock>) -> Result<(Log, Recovered), LogError> {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let options = LogOptions { lock_note: "sim".into(), reserve_bytes: RESERVE, ..tiny() };
    Log::open(Arc::new(disk.clone()), clock, Arc::new(SeededRand::new(7)), options)
}

fn bytes_of(image: &Image) -> u64 {
    image.files.values().map(|bytes| bytes.len() as u64).sum()
}

type Model = BTreeMap<PartId, (i64, Vec<String>)>;

/// A log on a small disk, and what must be there after each of its commits.
struct Scene {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    log: Log,
    now: Model,
    /// By sequence.
    history: Vec<Model>,
    /// When a commit began and was answered, by sequence less one.
    times: Vec<(usize, usize)>,
    values: usize,
}

impl Scene {
    fn new() -> Result<Self, LogError> {
        let disk = SimDisk::new();
        let clock = Arc::new(ManualClock::at_ms(NOW_MS));
        let (log, _) = open_at(&disk, &clock)?;
        let (now, history, times) = (Model::new(), vec![Model::new()], Vec::new());
        Ok(Self { disk, clock, log, now, history, times, values: 0 })
    }

    /// Does something that is one commit, or none when it is refused.
    fn step<T>(
        &mut self,
        what: impl FnOnce(&Log) -> Result<T, StoreError>,
        then: impl FnOnce(&mut Model, &T),
    ) -> Result<T, StoreError> {
        let (before, begun) = (self.log.stats().sequence, self.disk.journal_len());
        let done = what(&self.log)?;
        assert_eq!(self.log.stats().sequence, before + 1);
        then(&mut self.now, &done);
        self.history.push(self.now.clone());
        self.times.push((begun, self.disk.journal_len()));
        Ok(done)
    }

    fn topic(&mut self, name: &str, config: &[(&str, &str)]) -> Result<PartId, StoreError> {
        self.step(
            |log| topic(log, name, config),
            |now, part| {
                now.insert(*part, (0, Vec::new()));
            },
        )
    }

    fn append(&mut self, part: PartId) -> Result<(), StoreError> {
        self.values += 1;
        let value = format!("{:04} {}", self.values, "x".repeat(900));
        let done = self.step(
            |log| log.commit(append(part, &[&value])),
            |now, _| now.entry(part).or_default().1.push(value.clone()),
        );
        done.map(|_| ())
    }

    fn delete_records(&mut self, part: PartId, before: i64) -> Result<(), StoreError> {
        let done = self.step(
            |log| log.delete_records(part, before),
            |now, _| now.entry(part).or_default().0 = before,
        );
        done.map(|_| ())
    }

    fn delete_topic(&mut self, name: &str, part: PartId) -> Result<(), StoreError> {
        self.step(
            |log| log.delete_topic(name),
            |now, ()| {
                now.remove(&part);
            },
        )
    }

    fn fact(&mut self) -> Result<(), StoreError> {
        let facts = vec![(fact_key("a"), Some(Bytes::from_static(b"v")))];
        let commit = Commit { facts, ..Commit::default() };
        self.step(|log| log.commit(commit), |_, _| {}).map(|_| ())
    }

    /// Appends round about until nothing goes any more and no byte is free.
    fn fill(&mut self, parts: &[PartId]) {
        for part in parts.iter().cycle().take(2_000) {
            match self.append(*part) {
                Ok(()) => {}
                Err(StoreError::DiskFull(_)) => {
                    self.disk.set_capacity(Some(bytes_of(&self.disk.image())));
                    let still = self.append(*part);
                    assert!(matches!(still, Err(StoreError::DiskFull(_))), "{still:?}");
                    return;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        panic!("the disk never fills");
    }

    /// Records are taken again, by the same process and without a word.
    fn resumes(&mut self, part: PartId) {
        for _ in 0..3 {
            self.append(part).expect("there is space again");
        }
        check(&self.log, &self.now).expect("all is there");
        assert_eq!(self.log.fatal(), None);
    }
}

fn check(log: &Log, model: &Model) -> Result<(), String> {
    let shown: Vec<_> = log.topics().by_name.values().flat_map(|t| t.partitions.to_vec()).collect();
    if shown.len() != model.len() {
        return Err(format!("partitions are {shown:?}, should be {:?}", model.keys()));
    }
    for (part, (start, all)) in model {
        let ends = log.ends(*part).ok_or(format!("{part} is not there"))?;
        if (ends.start, ends.high) != (*start, all.len() as i64) {
            return Err(format!("{part} has {ends:?}, should be {start}..{}", all.len()));
        }
        let shown = values(Arc::new(log.clone()), *part).map_err(|error| error.to_string())?;
        if shown != all[*start as usize..] {
            return Err(format!("{part} holds {} values from {start}", shown.len()));
        }
    }
    Ok(())
}

/// Fills a small disk, and frees it in every way, again and again.
fn freed_in_every_way() -> Result<Scene, Box<dyn std::error::Error>> {
    let mut scene = Scene::new()?;
    let keep = [("retention.ms", "-1")];
    let first = scene.topic("first", &keep)?;
    let second = scene.topic("second", &keep)?;
    let passing = scene.topic("passing", &keep)?;
    let short = scene.topic("short", &[("retention.bytes", "5000"), ("retention.ms", "-1")])?;
    for _ in 0..30 {
        for part in [first, second, passing, short] {
            scene.append(part)?;
        }
        scene.log.checkpoint()?;
    }
    let used = bytes_of(&scene.disk.image());
    scene.disk.set_capacity(Some(used + 50_000));
    let parts = [first, second, passing, short];
    scene.fill(&parts);

    let end = scene.log.ends(first).map_or(0, |ends| ends.high);
    scene.delete_records(first, end)?;
    scene.resumes(second);

    scene.fill(&[second, passing, short]);
    scene.delete_topic("passing", passing)?;
    scene.resumes(second);

    scene.fill(&[first, second, short]);
    let clock_ms = NOW_MS + 1;
    scene.step(
        |log| log.enforce_retention(clock_ms),
        |now, moved| assert!(*moved == 1 && now.contains_key(&short)),
    )?;
    let start = scene.log.ends(short).map_or(0, |ends| ends.start);
    scene.now.entry(short).or_default().0 = start;
    *scene.history.last_mut().expect("one") = scene.now.clone();
    scene.resumes(first);

    // Up to the middle of what waits in memory.
    scene.fill(&[second, short]);
    let end = scene.log.ends(second).map_or(0, |ends| ends.high);
    scene.delete_records(second, end - 3)?;
    scene.resumes(short);
    scene.resumes(second);
    Ok(scene)
}

#[test]
fn deleted_records_and_topics_and_retention_free_a_full_disk_at_once() -> Outcome {
    let scene = freed_in_every_way()?;
    // The space came back before any snapshot could forget the files, and one catches up.
    scene.log.checkpoint()?;
    drop(scene.log);
    let (log, _) = open(&scene.disk)?;
    check(&log, &scene.now)?;
    Ok(())
}

#[test]
fn a_crash_at_any_moment_of_that_loses_nothing() -> Outcome {
    let scene = freed_in_every_way()?;
    let rand = SeededRand::new(11);
    let mut replay = scene.disk.replay();
    let (mut images, mut full, mut older) = (0, 0, 0);
    loop {
        let at = replay.at();
        let acked = scene.times.iter().filter(|(_, done)| *done <= at).count();
        let begun = scene.times.iter().filter(|(begun, _)| *begun <= at).count();
        for crash in Crash::ALL {
            if rand.below(5) != 0 {
                continue;
            }
            images += 1;
            let image = replay.image(crash, &rand);
            let disk = SimDisk::from_image(&image);
            let said = |error: String| format!("{crash:?} after action {at}: {error}");
            let (log, recovered) = open(&disk).map_err(|error| said(error.to_string()))?;
            let sequence = recovered.sequence as usize;
            if sequence < acked || sequence > begun {
                return Err(said(format!("{sequence} commits of {acked} to {begun}")).into());
            }
            let model = &scene.history[sequence];
            check(&log, model).map_err(said)?;
            drop(log);
            if rand.below(4) == 0 {
                older += u32::from(without_newest_snapshot(&image, model).map_err(said)?);
            }
            // What a kill leaves is as large as what there was: no byte is free.
            if crash == Crash::Kill {
                full += 1;
                on_the_full_disk(&image, model).map_err(said)?;
            }
        }
        if !replay.step() {
            break;
        }
    }
    println!(
        "{images} images, {full} of them opened on a full disk, {older} by the older snapshot"
    );
    assert!(images > 1_000 && full > 100 && older > 100);
    Ok(())
}

fn without_newest_snapshot(image: &Image, model: &Model) -> Result<bool, String> {
    let is_snapshot = |path: &&std::path::PathBuf| path.extension().is_some_and(|e| e == "snap");
    let snapshots: Vec<_> = image.files.keys().filter(is_snapshot).collect();
    let [.., _, newest] = snapshots.as_slice() else { return Ok(false) };
    let disk = SimDisk::from_image(image);
    assert!(disk.flip(newest, 14, 1));
    let (log, _) = open(&disk).map_err(|error| format!("by the older snapshot: {error}"))?;
    check(&log, model).map_err(|error| format!("by the older snapshot: {error}"))?;
    Ok(true)
}

fn on_the_full_disk(image: &Image, model: &Model) -> Result<(), String> {
    let reserve = image.files.get(Path::new("reserve")).map(|file| file.len());
    let said = |error: String| format!("on the full disk, reserve {reserve:?}: {error}");
    let disk = SimDisk::from_image(image);
    disk.set_capacity(Some(bytes_of(image)));
    let (log, _) = match open(&disk) {
        Ok(opened) => opened,
        // Not even begun.
        Err(_) if !image.files.keys().any(|path| path.starts_with("snapshots")) => return Ok(()),
        Err(error) => return Err(said(error.to_string())),
    };
    check(&log, model).map_err(said)?;
    for (part, (start, all)) in model {
        let end = all.len() as i64;
        if end > *start {
            let left = |error| format!("{part} {start}..{end}: {error}: {:?}", log.stats());
            log.delete_records(*part, end).map_err(|error| said(left(error)))?;
        }
    }
    let freed: i64 = model.values().map(|(start, all)| all.len() as i64 - start).sum();
    if let Some(part) = model.keys().next()
        && freed > 60
    {
        let left = |error| format!("append: {error}: {:?}", log.stats());
        log.commit(append(*part, &["again"])).map_err(|error| said(left(error)))?;
        drop(log);
        let (log, _) = open(&disk).map_err(|error| said(error.to_string()))?;
        let shown = values(Arc::new(log), *part).map_err(|error| said(error.to_string()))?;
        assert_eq!(shown, ["again"]);
    }
    Ok(())
}

#[test]
fn commits_without_records_go_on_in_the_reserves_place() -> Outcome {
    let mut scene = Scene::new()?;
    let part = scene.topic("t", &[("retention.ms", "-1")])?;
    assert!(scene.disk.image().files.contains_key(Path::new("reserve")));
    scene.disk.set_capacity(Some(bytes_of(&scene.disk.image()) + 20_000));
    scene.fill(&[part]);
    // The slot kept for them has four, none of which leaves its room to records.
    for _ in 0..5 {
        scene.fact()?;
        assert!(matches!(scene.append(part), Err(StoreError::DiskFull(_))));
    }
    assert!(!scene.disk.image().files.contains_key(Path::new("reserve")), "its space was needed");
    let last = (0..40).find_map(|_| scene.fact().err());
    assert!(matches!(last, Some(StoreError::DiskFull(_))), "{last:?}");
    assert_eq!(scene.log.fatal(), None);
    scene.disk.set_capacity(None);
    scene.clock.advance(Duration::from_secs(5));
    scene.resumes(part);
    assert!(scene.disk.image().files.contains_key(Path::new("reserve")), "it is made again");
    Ok(())
}

#[test]
fn a_transaction_ends_on_a_full_disk() -> Outcome {
    let mut scene = Scene::new()?;
    let part = scene.topic("t", &[("retention.ms", "-1")])?;
    let mut builder = BatchBuilder::new(Codec::None);
    builder.transactional().producer(5, 0, 0);
    builder.push(NOW_MS, None, Some(b"open"), &[]);
    let opened = builder.finish().ok_or("a batch")?;
    let appends = |batch| vec![yeoul_base::Append { part, batch }];
    let commit = Commit { appends: appends(opened), ..Commit::default() };
    scene.step(
        |log| log.commit(commit),
        |now, _| now.entry(part).or_default().1.push("open".into()),
    )?;
    scene.disk.set_capacity(Some(bytes_of(&scene.disk.image()) + 20_000));
    scene.fill(&[part]);
    let high = scene.log.ends(part).map_or(0, |ends| ends.high);
    assert_eq!(scene.log.ends(part).map(|ends| ends.stable), Some(0));
    scene.log.commit(Commit { appends: vec![marker(part, 5, 0, true)], ..Commit::default() })?;
    assert_eq!(scene.log.ends(part).map(|ends| ends.stable), Some(high + 1));
    Ok(())
}

#[test]
fn threads_and_waiting_producers_resume_by_themselves() -> Outcome {
    let disk = SimDisk::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = LogOptions { inline: false, reserve_bytes: RESERVE, ..tiny() };
    let rand: Arc<dyn Rand> = Arc::new(SeededRand::new(1));
    let (log, _) = Log::open(Arc::new(disk.clone()), Arc::clone(&clock), rand, options)?;
    let (a, b) = (topic(&log, "a", &[])?, topic(&log, "b", &[])?);
    let value = "x".repeat(900);
    for _ in 0..100 {
        log.commit(append(a, &[&value]))?;
    }
    log.checkpoint()?;
    disk.set_capacity(Some(bytes_of(&disk.image()) + 30_000));
    let begin = clock.monotonic();
    let mut acked = 0;
    let mut refused = 0;
    while refused < 3 {
        match log.commit(append(b, &[&value])) {
            Ok(_) => (acked, refused) = (acked + 1, 0),
            Err(StoreError::DiskFull(_)) => refused += 1,
            Err(error) => return Err(error.into()),
        }
    }
    disk.set_capacity(Some(bytes_of(&disk.image())));
    log.delete_records(a, 100)?;
    while log.commit(append(b, &[&value])).is_err() {
        assert!((clock.monotonic() - begin).as_secs() < 20, "never resumes");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(log.fatal(), None);
    assert_eq!(values(Arc::new(log.clone()), b)?.len(), acked + 1);
    log.close();
    Ok(())
}
