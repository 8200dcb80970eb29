//! One record at a time at a fixed rate. Time counts from when a record was due, not from when
//! it could be sent, so that a stall is paid by every record it delayed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use yeoul_kafka_wire::api::list_offsets::{
    LATEST, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use yeoul_kafka_wire::api::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use yeoul_log::batch::{self, BatchBuilder, Codec};

use crate::connection::{Connection, check};
use crate::{Failure, Target, consume, produce, quantiles};

#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    /// Records a second
    #[arg(long, default_value_t = 2_000)]
    rate: u64,
    #[arg(long, default_value_t = 1024)]
    record_bytes: usize,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Records of the first seconds are not counted
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    acks: i16,
}

impl Load {
    fn due(&self, record: u64) -> Duration {
        Duration::from_nanos(record * 1_000_000_000 / self.rate.max(1))
    }

    fn counted(&self, due: Duration) -> bool {
        due >= Duration::from_secs(self.warm_up)
    }
}

pub(crate) fn run(target: &Target, load: &Load) -> Result<Value, Failure> {
    let end = end_of(target)?;
    let started = Instant::now() + Duration::from_millis(200);
    let done = Arc::new(AtomicBool::new(false));
    let total = load.rate * (load.seconds + load.warm_up);
    let consumer = {
        let (target, load, done) = (target.clone(), load.clone(), Arc::clone(&done));
        thread::spawn(move || consumer(&target, &load, end, started, total, &done))
    };
    let acks = producer(target, load, started, total);
    done.store(true, Ordering::Relaxed);
    let seen = consumer.join().map_err(|_| "the consumer panicked")??;
    Ok(json!({ "rate": load.rate, "ack": quantiles::of(acks?), "seen": quantiles::of(seen) }))
}

fn end_of(target: &Target) -> Result<i64, Failure> {
    const VERSION: i16 = 2;
    let partitions = vec![ListOffsetsPartition { timestamp: LATEST, ..Default::default() }];
    let topics = vec![ListOffsetsTopic { name: target.topic.clone(), partitions }];
    let request = ListOffsetsRequest { topics, ..ListOffsetsRequest::default() };
    let answer = Connection::open(&target.addr)?.call(VERSION, request)?;
    let part = answer.topics.into_iter().flat_map(|topic| topic.partitions).next();
    let part = part.ok_or("no answer about the end")?;
    check(part.error_code, "the topic's end")?;
    Ok(part.offset)
}

/// Sends to partition 0; how long after each was due its acknowledgement came.
fn producer(
    target: &Target,
    load: &Load,
    started: Instant,
    total: u64,
) -> Result<Vec<Duration>, Failure> {
    let (mut sending, mut receiving) = Connection::open(&target.addr)?.split()?;
    let (sent, under_way) = channel::<u64>();
    let of = load.clone();
    let receiver = thread::spawn(move || {
        let mut acks = Vec::new();
        while let Ok(record) = under_way.recv() {
            let answer = receiving.receive::<ProduceRequest>(produce::VERSION)?;
            let due = of.due(record);
            let took = Instant::now().saturating_duration_since(started + due);
            for part in answer.topics.iter().flat_map(|topic| &topic.partitions) {
                check(part.error_code, "produce")?;
            }
            if of.counted(due) {
                acks.push(took);
            }
        }
        Ok::<_, Failure>(acks)
    });
    let mut value = vec![b'x'; load.record_bytes.max(8)];
    for record in 0..total {
        let due = started + load.due(record);
        // A sleep is late by some fifty microseconds: the last stretch is waited out awake.
        let ahead = due.saturating_duration_since(Instant::now());
        if ahead > Duration::from_micros(150) {
            thread::sleep(ahead - Duration::from_micros(100));
        }
        while Instant::now() < due {
            thread::yield_now();
        }
        if let Some(number) = value.first_chunk_mut::<8>() {
            *number = record.to_be_bytes();
        }
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(crate::now_ms(), None, Some(&value), &[]);
        let partitions = vec![ProducePartition { index: 0, records: builder.finish() }];
        let topics = vec![ProduceTopic { name: target.topic.clone(), partitions }];
        let request =
            ProduceRequest { acks: load.acks, timeout_ms: 30_000, topics, ..Default::default() };
        if sent.send(record).is_err() {
            break;
        }
        sending.send(produce::VERSION, request)?;
    }
    drop(sent);
    receiver.join().map_err(|_| "the receiver panicked")?
}

/// Waits for the records; how long after each was due it was there.
fn consumer(
    target: &Target,
    load: &Load,
    from: i64,
    started: Instant,
    total: u64,
    done: &AtomicBool,
) -> Result<Vec<Duration>, Failure> {
    const WAIT_MS: i32 = 200;
    let mut connection = Connection::open(&target.addr)?;
    let mut position = from;
    let mut seen = Vec::new();
    let end = from + i64::try_from(total)?;
    while position < end {
        let finished = done.load(Ordering::Relaxed);
        let request = consume::request(target, &[(0, position)], WAIT_MS);
        let answer = connection.call(consume::VERSION, request)?;
        let now = Instant::now();
        let before = position;
        for part in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
            check(part.error_code, "fetch")?;
            for bytes in part.records.0 {
                for whole in batch::split(bytes).map_while(Result::ok) {
                    for record in batch::decode(&whole)? {
                        position = record.offset + 1;
                        let number = record.value.as_ref().and_then(|value| value.first_chunk());
                        let Some(number) = number else { continue };
                        let due = load.due(u64::from_be_bytes(*number));
                        if load.counted(due) {
                            seen.push(now.saturating_duration_since(started + due));
                        }
                    }
                }
            }
        }
        if finished && before == position {
            return Err(format!("{} records never came", end - position).into());
        }
    }
    Ok(seen)
}
