//! Figures, not checks: `cargo test --release -p yeoul-log --test it -- --ignored --nocapture
//! throughput`. They go to the machine's own temporary folder; set `TMPDIR` for another disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use yeoul_base::{Append, Clock, Commit, OsRand, RealDisk, Store, SystemClock};
use yeoul_log::{BatchBuilder, Codec, Log, LogOptions};

use crate::support::{NOW_MS, Outcome, topic};

fn one_run(name: &str, batch_records: usize, record_bytes: usize, in_flight: u64) -> Outcome {
    const RUN: Duration = Duration::from_secs(3);
    let dir = tempfile::tempdir()?;
    let clock = Arc::new(SystemClock::new());
    let disk = Arc::new(RealDisk::new(dir.path())?);
    let (log, _) = Log::open(disk, clock.clone(), Arc::new(OsRand::new()), LogOptions::default())?;
    let part = topic(&log, "t", &[])?;
    let mut builder = BatchBuilder::new(Codec::None);
    (0..batch_records)
        .for_each(|_| builder.push(NOW_MS, None, Some(&vec![b'x'; record_bytes]), &[]));
    let batch = builder.finish().ok_or("no records")?;
    let answered = Arc::new(AtomicU64::new(0));
    let begin = clock.monotonic();
    let mut sent = 0;
    while clock.monotonic() - begin < RUN {
        while sent - answered.load(Ordering::Acquire) >= in_flight {
            std::thread::yield_now();
        }
        let counter = Arc::clone(&answered);
        let appends = vec![Append { part, batch: batch.clone() }];
        log.submit(
            Commit { appends, ..Commit::default() },
            Box::new(move |result| {
                assert!(result.is_ok(), "{result:?}");
                counter.fetch_add(1, Ordering::Release);
            }),
        );
        sent += 1;
    }
    while answered.load(Ordering::Acquire) < sent {
        std::thread::yield_now();
    }
    let took = (clock.monotonic() - begin).as_secs_f64();
    let mb = sent as f64 * batch.len() as f64 / 1e6 / took;
    let records = sent as f64 * batch_records as f64 / took;
    let stats = log.stats();
    println!(
        "{name}: {mb:.0} MB/s, {records:.0} records/s, {} commits in {} groups, sync p50 {} us p99 {} us",
        stats.commits, stats.groups, stats.sync_p50_us, stats.sync_p99_us
    );
    Ok(())
}

#[test]
#[ignore = "figures, for a quiet machine"]
fn throughput() -> Outcome {
    one_run("100 B x 160, 64 in flight", 160, 100, 64)?;
    one_run("1 KiB x 16, 64 in flight", 16, 1024, 64)?;
    one_run("200 B x 1, one at a time", 1, 200, 1)
}
