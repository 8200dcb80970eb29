//! Files that wait for a checkpoint stay open; their number is bounded, and when no more can be
//! opened the log waits instead of closing itself.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use yeoul_base::disk::{DiskLock, Entry};
use yeoul_base::{Disk, DiskFile, ManualClock, Open, SeededRand, SimDisk, Store};
use yeoul_log::{Log, LogOptions};

use crate::support::{NOW_MS, Outcome, append, tiny, topic, values};

/// A disk on which, for a while, no file can be opened.
#[derive(Debug, Default)]
struct FewFiles {
    disk: SimDisk,
    none_left: AtomicBool,
}

impl FewFiles {
    fn one_more(&self) -> io::Result<()> {
        const TOO_MANY_OPEN_FILES: i32 = 24;
        let none_left = self.none_left.load(Ordering::SeqCst);
        if none_left { Err(io::Error::from_raw_os_error(TOO_MANY_OPEN_FILES)) } else { Ok(()) }
    }
}

impl Disk for FewFiles {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        self.one_more()?;
        self.disk.open(path, how)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // A folder is opened to be synced.
        self.one_more()?;
        self.disk.sync_dir(dir)
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn total_bytes(&self) -> io::Result<u64> {
        self.disk.total_bytes()
    }
    fn lock(&self, path: &Path, note: &str) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock(path, note)
    }
}

fn open(disk: &Arc<FewFiles>, options: LogOptions) -> Log {
    let clock = Arc::new(ManualClock::at_ms(NOW_MS));
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    Log::open(disk, clock, Arc::new(SeededRand::new(7)), options).expect("it opens").0
}

#[test]
fn many_log_segments_make_a_checkpoint_due() -> Outcome {
    let log = open(&Arc::default(), LogOptions { rolled_files_max: 5, ..tiny() });
    let part = topic(&log, "t", &[])?;
    let before = log.stats().checkpoint_sequence;
    for _ in 0..8 {
        log.commit(append(part, &[&"x".repeat(3_000)]))?;
    }
    assert!(log.stats().checkpoint_sequence > before, "every record is a log segment of its own");
    Ok(())
}

#[test]
fn no_file_left_to_open_is_waited_for() -> Outcome {
    let disk = Arc::<FewFiles>::default();
    let log = open(&disk, LogOptions { rolled_files_max: 5, ..tiny() });
    let part = topic(&log, "t", &[])?;
    let record = "x".repeat(3_000);
    log.commit(append(part, &[&record]))?;
    disk.none_left.store(true, Ordering::SeqCst);
    let refused = (0..100).map(|_| log.commit(append(part, &[&record]))).filter(Result::is_err);
    assert!(refused.count() > 0, "neither a log segment nor a slot can be opened");
    disk.none_left.store(false, Ordering::SeqCst);
    let there = log.ends(part).expect("the topic").high;
    log.commit(append(part, &[&record]))?;
    let all = values(Arc::new(log), part)?;
    assert_eq!(all.len() as i64, there + 1, "what was refused is not there, all else is");
    Ok(())
}
