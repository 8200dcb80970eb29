//! The crash test: every workload is crashed at every step, in every way the simulated disk
//! knows, recovered, and compared with the model; recovery itself is crashed, and crashed again.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use yeoul_base::disk::sim::{Action, Crash, Image};
use yeoul_base::{Clock, Rand, SeededRand, SimDisk, SystemClock};
use yeoul_log::Log;

use crate::model::Model;
use crate::workload::{Counts, KINDS, Kind, Step, Workload, open};

/// Images one workload may give: enough in all, and in time.
pub(crate) const IMAGES_PER_WORKLOAD: usize = 400;
const KILLS_PER_WORKLOAD: u64 = 8;
const WORKLOADS: u64 = 176;
/// What every run must reach.
const IMAGES_MIN: usize = 50_000;

#[derive(Default)]
pub(crate) struct Seen {
    images: HashSet<u64>,
    recoveries: u64,
    counts: Counts,
}

impl Seen {
    /// Whether this image is new.
    fn is_new(&mut self, image: &Image) -> bool {
        const BLOCK: usize = 4096;
        let mut hasher = DefaultHasher::new();
        image.dirs.hash(&mut hasher);
        for (path, bytes) in &image.files {
            path.hash(&mut hasher);
            bytes.len().hash(&mut hasher);
            // Much faster than the hasher; two images taken for one make the count smaller.
            bytes.chunks(BLOCK).for_each(|block| hasher.write_u32(crc32c::crc32c(block)));
        }
        self.images.insert(hasher.finish())
    }

    fn count(&mut self, kind: Kind) {
        *self.counts.entry(kind).or_default() += 1;
    }
}

/// Crashes a finished workload everywhere.
pub(crate) fn crash(
    workload: &Workload,
    seed: u64,
    limit: usize,
    seen: &mut Seen,
) -> Result<(), String> {
    let rand = SeededRand::new(seed);
    let mut replay = workload.disk.replay();
    let total = replay.len() * Crash::ALL.len();
    let before = seen.images.len();
    loop {
        for crash in Crash::ALL {
            // Evenly over the journal when there are more than the limit.
            if rand.below(total as u64) >= 2 * limit as u64 || seen.images.len() - before >= limit {
                continue;
            }
            let image = replay.image(crash, &rand);
            if !seen.is_new(&image) {
                continue;
            }
            let at = replay.at();
            check(workload, &image, (at, crash), &rand, seen)
                .map_err(|error| format!("seed {seed}, {crash:?} after action {at}: {error}"))?;
        }
        let at = replay.at();
        if rand.below(replay.len() as u64) < KILLS_PER_WORKLOAD {
            kill_then_cut(workload, at, seen)
                .map_err(|error| format!("seed {seed}, killed after action {at}: {error}"))?;
        }
        if !replay.step() {
            return Ok(());
        }
    }
}

/// The process is killed; the next one reads what is in memory only, shows it, and then the power
/// is cut: what was shown must be there.
fn kill_then_cut(workload: &Workload, at: usize, seen: &mut Seen) -> Result<(), String> {
    let disk = workload.disk.killed_at(at);
    let (log, shown) = open(&disk).map_err(|error| format!("does not open: {error}"))?;
    let expected = &workload.history[shown.sequence as usize];
    expected.check(&log)?;
    let mut replay = disk.replay();
    while replay.step() {}
    let image = replay.image(Crash::PowerCut, &SeededRand::new(0));
    seen.is_new(&image);
    seen.count(Kind::KillThenPowerCut);
    seen.recoveries += 1;
    let said = |error| format!("then a power cut: {error}");
    same_again_cut(&SimDisk::from_image(&image), expected, shown.sequence, seen).map_err(said)?;
    // The older snapshot needs what the commit log had when the process was killed.
    without_newest_snapshot(&image, expected, shown.sequence, seen).map_err(said)
}

fn check(
    workload: &Workload,
    image: &Image,
    (at, crash): (usize, Crash),
    rand: &SeededRand,
    seen: &mut Seen,
) -> Result<(), String> {
    let acked = workload.steps.iter().filter(|step| step.done_at <= at);
    let kept = |step: &Step| if crash == Crash::Kill { step.sequence } else { step.durable };
    let acked = acked.map(kept).max().unwrap_or(0);
    let begun = workload.steps.iter().filter(|step| step.begun_at <= at);
    let begun = begun.map(|step| step.sequence).max().unwrap_or(0);

    let disk = SimDisk::from_image(image);
    let (log, recovered) = open(&disk).map_err(|error| format!("does not open: {error}"))?;
    seen.recoveries += 1;
    if !recovered.cut.is_empty() {
        seen.count(Kind::QuarantinedTail);
    }
    let sequence = recovered.sequence;
    if sequence < acked || sequence > begun {
        return Err(format!("{sequence} commits are there; {acked} were acked, {begun} begun"));
    }
    let expected = &workload.history[sequence as usize];
    expected.check(&log)?;
    let what = rand.below(5);
    if what == 0 {
        return go_on(&log, &disk, expected, rand, seen);
    }
    drop(log);
    match what {
        4 => without_newest_snapshot(image, expected, sequence, seen),
        1 | 2 => crash_recovery(image, &disk, expected, sequence, rand, seen),
        _ => same_again(&disk, expected, sequence, seen),
    }
}

/// Of two snapshots the newer cannot be read: the older one and the commit log give the same.
fn without_newest_snapshot(
    image: &Image,
    expected: &Model,
    sequence: u64,
    seen: &mut Seen,
) -> Result<(), String> {
    const MIDDLE: u64 = 14;
    let is_snapshot =
        |path: &&std::path::PathBuf| path.extension().is_some_and(|end| end == "snap");
    let snapshots: Vec<_> = image.files.keys().filter(is_snapshot).collect();
    let [.., _, newest] = snapshots.as_slice() else { return Ok(()) };
    let disk = SimDisk::from_image(image);
    if !disk.flip(newest, MIDDLE, 1) {
        return Ok(());
    }
    seen.is_new(&disk.image());
    seen.count(Kind::OlderSnapshot);
    same_again_cut(&disk, expected, sequence, seen)
        .map_err(|error| format!("without its newest snapshot: {error}"))
}

/// Recovery of what a recovery left gives the same.
fn same_again(
    disk: &SimDisk,
    expected: &Model,
    sequence: u64,
    seen: &mut Seen,
) -> Result<(), String> {
    let (log, recovered) = open(disk).map_err(|error| format!("not a second time: {error}"))?;
    seen.recoveries += 1;
    if recovered.sequence != sequence || !recovered.cut.is_empty() {
        return Err(format!("the second recovery says {recovered:?}, the first said {sequence}"));
    }
    expected.check(&log).map_err(|error| format!("second recovery: {error}"))
}

/// After recovery the log is written to, and the power is cut: what was acked then is there.
fn go_on(
    log: &Log,
    disk: &SimDisk,
    expected: &Model,
    rand: &SeededRand,
    seen: &mut Seen,
) -> Result<(), String> {
    let mut expected = expected.clone();
    expected.commit_one_more(log).map_err(|error| format!("no commit: {error}"))?;
    expected.check(log).map_err(|error| format!("after one more commit: {error}"))?;
    let sequence = log.stats().sequence;
    let mut replay = disk.replay();
    while replay.step() {}
    let image = replay.image(Crash::PowerCut, &SeededRand::new(0));
    let said = |error| format!("one more commit, then a power cut: {error}");
    // The tail that was cut is there still, beside what took its place.
    if rand.below(2) == 0 {
        return without_newest_snapshot(&image, &expected, sequence, seen).map_err(said);
    }
    same_again_cut(&SimDisk::from_image(&image), &expected, sequence, seen).map_err(said)
}

/// The recovery is crashed somewhere, and the recovery of that once more.
fn crash_recovery(
    first: &Image,
    recovered: &SimDisk,
    expected: &Model,
    sequence: u64,
    rand: &SeededRand,
    seen: &mut Seen,
) -> Result<(), String> {
    let second = crash_at_random(recovered, rand);
    if second != *first {
        seen.is_new(&second);
        seen.count(Kind::CrashInRecovery);
    }
    let disk = SimDisk::from_image(&second);
    same_again_cut(&disk, expected, sequence, seen)
        .map_err(|error| format!("crashed in recovery: {error}"))?;
    let third = crash_at_random(&disk, rand);
    if seen.is_new(&third) {
        seen.count(Kind::CrashInSecondRecovery);
    }
    let disk = SimDisk::from_image(&third);
    same_again_cut(&disk, expected, sequence, seen)
        .map_err(|error| format!("crashed in the second recovery: {error}"))
}

/// Like [`same_again`]; the tail may be cut once more.
fn same_again_cut(
    disk: &SimDisk,
    expected: &Model,
    sequence: u64,
    seen: &mut Seen,
) -> Result<(), String> {
    let (log, recovered) = open(disk).map_err(|error| format!("does not open: {error}"))?;
    seen.recoveries += 1;
    if recovered.sequence != sequence {
        return Err(format!("{} commits are there, {sequence} were", recovered.sequence));
    }
    expected.check(&log)
}

fn crash_at_random(disk: &SimDisk, rand: &SeededRand) -> Image {
    let mut replay = disk.replay();
    let stop = rand.below(replay.len() as u64 + 1);
    (0..stop).for_each(|_| {
        replay.step();
    });
    replay.image(Crash::ALL[rand.below(Crash::ALL.len() as u64) as usize], rand)
}

/// One worker's share of the seeds.
fn sweep(seeds: impl Iterator<Item = u64>) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds {
        let mut workload = Workload::by_seed(seed);
        workload.run().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        crash(&workload, seed, IMAGES_PER_WORKLOAD, &mut seen)
            .unwrap_or_else(|error| panic!("{error}"));
        for (kind, count) in &workload.counts {
            *seen.counts.entry(*kind).or_default() += count;
        }
    }
    seen
}

/// Workloads from a seed on, shared by as many threads as the machine has processors.
fn sweep_all(first: u64, workloads: u64) -> Seen {
    let clock = SystemClock::new();
    let begin = clock.monotonic();
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let mut all = Seen::default();
    std::thread::scope(|scope| {
        let share = |at: u64| (first + at..first + workloads).step_by(threads as usize);
        let shares: Vec<_> = (0..threads).map(|at| scope.spawn(move || sweep(share(at)))).collect();
        for share in shares {
            let seen = share.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.images.extend(seen.images);
            all.recoveries += seen.recoveries;
            for (kind, count) in seen.counts {
                *all.counts.entry(kind).or_default() += count;
            }
        }
    });
    let seconds = (clock.monotonic() - begin).as_secs_f64();
    println!(
        "{workloads} workloads, {} distinct images, {} recoveries, {seconds:.1} s on {threads} threads",
        all.images.len(),
        all.recoveries
    );
    for kind in KINDS {
        let count = all.counts.get(&kind).copied().unwrap_or(0);
        println!("{count:>8} {kind:?}");
        assert!(count > 0, "{kind:?} is not covered");
    }
    all
}

#[test]
fn nothing_acked_is_lost_or_changed_by_any_crash() {
    // Other seeds than those of every run: for a longer search.
    let first: u64 =
        std::env::var("YEOUL_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let images = sweep_all(first, WORKLOADS).images.len();
    assert!(images >= IMAGES_MIN, "only {images} distinct images");
}

/// `cargo xtask crash`: seeds that no other run has, in a release build.
#[test]
#[ignore = "minutes"]
fn a_million_images() {
    const FIRST: u64 = 1_000_000;
    const WORKLOADS: u64 = 3_500;
    let images = sweep_all(FIRST, WORKLOADS).images.len();
    assert!(images >= 1_000_000, "only {images} distinct images");
}

/// The test of the test: a log that forgets to sync must not pass.
#[test]
fn forgotten_syncs_are_noticed() {
    for action in [Action::Sync, Action::SyncDir] {
        let noticed = (0..8).any(|seed| {
            let mut workload = Workload::by_seed(seed);
            workload.disk.forget_syncs(action);
            workload.run().expect("without a crash all is well");
            crash(&workload, seed, IMAGES_PER_WORKLOAD, &mut Seen::default()).is_err()
        });
        assert!(noticed, "{action:?} can be forgotten without being noticed");
    }
}
