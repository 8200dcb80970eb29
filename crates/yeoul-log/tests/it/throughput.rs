//! Figures, not checks: `cargo test --release -p yeoul-log --test it -- --ignored --nocapture
//! throughput`. They go to the machine's own temporary folder; set `TMPDIR` for another disk.
//!
//! CPU seconds are those of the whole process per GB of batches, until the log is closed; the
//! share of each thread tells the writer from its callers.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use yeoul_base::disk::{DiskLock, Entry};
use yeoul_base::{
    Append, Clock, Commit, Disk, DiskFile, NewTopic, Open, OsRand, RealDisk, Store, SystemClock,
};
use yeoul_log::{BatchBuilder, Codec, Log, LogOptions};

use crate::support::{NOW_MS, Outcome};

/// A disk that says it has synced: what the log costs without it.
#[derive(Debug)]
struct Unsynced(RealDisk);

#[derive(Debug)]
struct UnsyncedFile(Arc<dyn DiskFile>);

impl Disk for Unsynced {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(UnsyncedFile(self.0.open(path, how)?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.remove_dir(dir)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.0.free_bytes()
    }

    fn total_bytes(&self) -> io::Result<u64> {
        self.0.total_bytes()
    }

    fn lock(&self, path: &Path, note: &str) -> io::Result<Box<dyn DiskLock>> {
        self.0.lock(path, note)
    }
}

impl DiskFile for UnsyncedFile {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(out, at)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.0.len_bytes()
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len(len_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

struct Load {
    name: &'static str,
    records: usize,
    record_bytes: usize,
    partitions: u32,
    in_flight: u64,
    batches: u64,
    synced: bool,
}

/// CPU seconds by the name of the thread; threads that have ended are in the process's sum only.
fn cpu_seconds() -> Result<(f64, BTreeMap<String, f64>), Box<dyn std::error::Error>> {
    const TICKS: f64 = 100.0;
    let seconds = |stat: &str| -> Option<f64> {
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some((ticks(11)? + ticks(12)?) / TICKS)
    };
    let all = seconds(&std::fs::read_to_string("/proc/self/stat")?).ok_or("no stat")?;
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        let name = std::fs::read_to_string(task.join("comm"))?.trim().to_owned();
        let its = seconds(&std::fs::read_to_string(task.join("stat"))?).ok_or("no stat")?;
        *threads.entry(name).or_default() += its;
    }
    Ok((all, threads))
}

fn one_run(load: &Load) -> Outcome {
    let dir = tempfile::tempdir()?;
    let clock = Arc::new(SystemClock::new());
    let disk = RealDisk::new(dir.path())?;
    let disk: Arc<dyn Disk> = if load.synced { Arc::new(disk) } else { Arc::new(Unsynced(disk)) };
    let (log, _) = Log::open(disk, clock.clone(), Arc::new(OsRand::new()), LogOptions::default())?;
    let new = NewTopic { name: "t".into(), partitions: load.partitions, config: BTreeMap::new() };
    let parts = log.create_topic(new)?.partitions.clone();
    let mut builder = BatchBuilder::new(Codec::None);
    (0..load.records)
        .for_each(|_| builder.push(NOW_MS, None, Some(&vec![b'x'; load.record_bytes]), &[]));
    let batch = builder.finish().ok_or("no records")?;
    let answered = Arc::new(AtomicU64::new(0));
    let (cpu_before, _) = cpu_seconds()?;
    let begin = clock.monotonic();
    let here = std::thread::current();
    for sent in 0..load.batches {
        while sent - answered.load(Ordering::Acquire) >= load.in_flight {
            std::thread::park();
        }
        let (counter, sender) = (Arc::clone(&answered), here.clone());
        let part = parts[(sent % u64::from(load.partitions)) as usize];
        let appends = vec![Append { part, batch: batch.clone() }];
        log.submit(
            Commit { appends, ..Commit::default() },
            Box::new(move |result| {
                assert!(result.is_ok(), "{result:?}");
                counter.fetch_add(1, Ordering::Release);
                sender.unpark();
            }),
        );
    }
    while answered.load(Ordering::Acquire) < load.batches {
        std::thread::park();
    }
    let took = (clock.monotonic() - begin).as_secs_f64();
    let stats = log.stats();
    let (_, threads) = cpu_seconds()?;
    log.close();
    let (cpu, _) = cpu_seconds()?;
    let gb = load.batches as f64 * batch.len() as f64 / 1e9;
    let per_gb = |seconds: f64| format!("{:.2}", seconds / gb);
    let writer = threads.get("log").copied().unwrap_or(0.0);
    println!(
        "{:36} {:5.0} MB/s {:9.0} records/s  {} CPU-s/GB (writer {})  {} groups, sync p50 {} us p99 {} us",
        load.name,
        gb * 1e3 / took,
        load.batches as f64 * load.records as f64 / took,
        per_gb(cpu - cpu_before),
        per_gb(writer),
        stats.groups,
        stats.sync_p50_us,
        stats.sync_p99_us
    );
    Ok(())
}

#[test]
#[ignore = "figures, for a quiet machine"]
fn throughput() -> Outcome {
    let load = |name, record_bytes, partitions, synced| Load {
        name,
        records: 16_000 / record_bytes,
        record_bytes,
        partitions,
        in_flight: 64,
        batches: 60_000,
        synced,
    };
    for load in [
        load("1 KiB, 1 partition, no sync", 1000, 1, false),
        load("1 KiB, 64 partitions, no sync", 1000, 64, false),
        load("100 B, 1 partition, no sync", 100, 1, false),
        load("1 KiB, 1 partition", 1000, 1, true),
        load("1 KiB, 64 partitions", 1000, 64, true),
        load("100 B, 64 partitions", 100, 64, true),
        Load {
            batches: 5_000,
            in_flight: 1,
            records: 1,
            ..load("200 B, one at a time", 200, 1, true)
        },
    ] {
        one_run(&load)?;
    }
    Ok(())
}
