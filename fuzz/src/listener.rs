//! One connection to the listener: frames, handlers, groups and a log on a simulated disk. Time
//! is simulated too, so that a request that waits for minutes is answered at once.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use yeoul_base::disk::sim::Image;
use yeoul_base::{Append, Clock, Commit, NewTopic, SeededRand, SimDisk, Store};
use yeoul_log::{BatchBuilder, Codec, Log, LogOptions};

#[derive(Debug)]
struct Simulated(tokio::time::Instant);

impl Clock for Simulated {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000 + self.monotonic().as_millis() as i64
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

fn options() -> LogOptions {
    LogOptions {
        slot_bytes: [64 << 10; 3],
        checkpoint_bytes: 1 << 30,
        // A file of zeros would be all that an execution is busy with.
        reserve_bytes: 0,
        hot_bytes: 0,
        inline: true,
        ..LogOptions::default()
    }
}

fn open(disk: &SimDisk) -> Log {
    let clock: Arc<dyn Clock> = Arc::new(Simulated(tokio::time::Instant::now()));
    let rand = Arc::new(SeededRand::new(7));
    Log::open(Arc::new(disk.clone()), clock, rand, options()).expect("an undamaged log").0
}

/// A topic `t` of two partitions with a few records.
fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let disk = SimDisk::new();
        let log = open(&disk);
        let new = NewTopic { name: "t".into(), partitions: 2, config: BTreeMap::new() };
        let part = log.create_topic(new).expect("made").partitions[0];
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1, Some(b"k"), Some(b"v"), &[]);
        let batch = builder.finish().expect("a record");
        log.commit(Commit { appends: vec![Append { part, batch }], ..Commit::default() })
            .expect("committed");
        log.close();
        disk.image()
    })
}

pub(crate) fn run(data: &[u8]) {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .max_blocking_threads(1)
            .build()
            .expect("a runtime");
    }
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let disk = SimDisk::from_image(image());
            let log = open(&disk);
            let store: Arc<dyn Store> = Arc::new(log.clone());
            let clock: Arc<dyn Clock> = Arc::new(Simulated(tokio::time::Instant::now()));
            let rand = Arc::new(SeededRand::new(7));
            yeoul_kafka::fuzzing::connection(store, clock, rand, data).await;
            log.close();
        });
    });
}
