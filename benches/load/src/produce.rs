//! Sends the same batches again and again, several requests under way on each connection.

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};
use yeoul_kafka_wire::api::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use yeoul_log::batch::{BatchBuilder, Codec};

use crate::connection::{Connection, check};
use crate::{Failure, Target, quantiles};

/// Every broker since 2.1 serves it.
pub(crate) const VERSION: i16 = 7;

#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    /// Bytes of one record's value
    #[arg(long, default_value_t = 1024)]
    record_bytes: usize,
    /// Bytes of values in one batch
    #[arg(long, default_value_t = 16_384)]
    batch_bytes: usize,
    /// Batches of different partitions in one request
    #[arg(long, default_value_t = 1)]
    batches: usize,
    /// Requests without an answer on one connection
    #[arg(long, default_value_t = 5)]
    in_flight: usize,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Bytes of values to send in all
    #[arg(long, default_value_t = 1_000_000_000)]
    bytes: u64,
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    acks: i16,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(long, default_value = "none")]
    codec: String,
}

/// A batch of records that do not compress to nothing.
pub(crate) fn batch(records: usize, record_bytes: usize, codec: Codec) -> Option<Bytes> {
    let mut builder = BatchBuilder::new(codec);
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..records {
        let value: Vec<u8> = (0..record_bytes)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Letters of a text: about half can be packed away.
                b"etaoinshrdlcumwf"[(state >> 60) as usize]
            })
            .collect();
        builder.push(crate::now_ms(), None, Some(&value), &[]);
    }
    builder.finish()
}

pub(crate) fn run(target: &Target, load: &Load) -> Result<Value, Failure> {
    let codec = Codec::from_name(&load.codec).ok_or("there is no such codec")?;
    let records = (load.batch_bytes / load.record_bytes.max(1)).max(1);
    let batch = batch(records, load.record_bytes, codec).ok_or("a batch without records")?;
    let request_bytes = (records * load.record_bytes * load.batches) as u64;
    let requests = load.bytes.div_ceil(request_bytes * load.connections as u64);
    let started = Instant::now();
    let senders: Vec<_> = (0..load.connections)
        .map(|index| {
            let (target, load, batch) = (target.clone(), load.clone(), batch.clone());
            thread::spawn(move || connection(&target, &load, index, requests, &batch))
        })
        .collect();
    let mut acks = Vec::new();
    for sender in senders {
        acks.extend(sender.join().map_err(|_| "a sender panicked")??);
    }
    let seconds = started.elapsed().as_secs_f64();
    let bytes = request_bytes * requests * load.connections as u64;
    let records = bytes / load.record_bytes.max(1) as u64;
    Ok(json!({
        "seconds": seconds, "bytes": bytes, "records": records,
        "wire_batch_bytes": batch.len(),
        "gb_per_s": bytes as f64 / seconds / 1e9, "records_per_s": records as f64 / seconds,
        "ack": quantiles::of(acks),
    }))
}

/// One connection's requests; how long each took from sending to its answer.
fn connection(
    target: &Target,
    load: &Load,
    index: usize,
    requests: u64,
    batch: &Bytes,
) -> Result<Vec<Duration>, Failure> {
    let (mut sending, mut receiving) = Connection::open(&target.addr)?.split()?;
    let (sent_at, taken) = sync_channel::<Instant>(load.in_flight.saturating_sub(1));
    let receiver = thread::spawn(move || {
        let mut acks = Vec::new();
        // `recv` before the answer: what is in the channel is what is under way.
        while let Ok(at) = taken.recv() {
            let answer = receiving.receive::<ProduceRequest>(VERSION)?;
            acks.push(at.elapsed());
            for part in answer.topics.iter().flat_map(|topic| &topic.partitions) {
                check(part.error_code, part.error_message.as_deref().unwrap_or("produce"))?;
            }
        }
        Ok::<_, Failure>(acks)
    });
    let step = load.connections as i32;
    let mut partition = index as i32 % target.partitions;
    for _ in 0..requests {
        let mut partitions = Vec::with_capacity(load.batches);
        for _ in 0..load.batches {
            partitions.push(ProducePartition { index: partition, records: Some(batch.clone()) });
            partition = (partition + step) % target.partitions;
        }
        let topics = vec![ProduceTopic { name: target.topic.clone(), partitions }];
        let request =
            ProduceRequest { acks: load.acks, timeout_ms: 30_000, topics, ..Default::default() };
        if sent_at.send(Instant::now()).is_err() {
            break;
        }
        sending.send(VERSION, request)?;
    }
    drop(sent_at);
    receiver.join().map_err(|_| "a receiver panicked")?
}
