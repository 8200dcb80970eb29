//! Reads a topic from its start as fast as the broker gives it; batches are not unpacked.

use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use yeoul_kafka_wire::api::fetch::{FetchPartition, FetchRequest, FetchTopic};
use yeoul_log::batch::{self, BatchHeader};

use crate::connection::{Connection, check};
use crate::{Failure, Target};

pub(crate) const VERSION: i16 = 11;
const PARTITION_BYTES: i32 = 1 << 20;
const ANSWER_BYTES: i32 = 50 << 20;
const WAIT_MS: i32 = 500;

#[derive(Debug, Default)]
struct Read {
    bytes: u64,
    records: u64,
}

pub(crate) fn run(target: &Target, connections: usize, bytes: u64) -> Result<Value, Failure> {
    let started = Instant::now();
    let readers: Vec<_> = (0..connections)
        .map(|index| {
            let target = target.clone();
            let mine: Vec<i32> =
                (0..target.partitions).filter(|p| *p as usize % connections == index).collect();
            thread::spawn(move || reader(&target, mine, bytes / connections as u64))
        })
        .collect();
    let mut all = Read::default();
    for reader in readers {
        let read = reader.join().map_err(|_| "a reader panicked")??;
        all.bytes += read.bytes;
        all.records += read.records;
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(json!({
        "seconds": seconds, "bytes": all.bytes, "records": all.records,
        "gb_per_s": all.bytes as f64 / seconds / 1e9,
        "records_per_s": all.records as f64 / seconds,
    }))
}

fn reader(target: &Target, partitions: Vec<i32>, limit: u64) -> Result<Read, Failure> {
    let mut connection = Connection::open(&target.addr)?;
    let mut at: Vec<(i32, i64)> = partitions.into_iter().map(|number| (number, 0)).collect();
    let mut read = Read::default();
    while !at.is_empty() && (limit == 0 || read.bytes < limit) {
        let answer = connection.call(VERSION, request(target, &at, WAIT_MS))?;
        check(answer.error_code, "fetch")?;
        for part in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
            check(part.error_code, "fetch of a partition")?;
            let Some(place) = at.iter_mut().find(|(number, _)| *number == part.partition_index)
            else {
                continue;
            };
            for bytes in part.records.0 {
                for whole in batch::split(bytes).map_while(Result::ok) {
                    let header = BatchHeader::parse(&whole)?;
                    read.bytes += whole.len() as u64;
                    read.records += u64::try_from(header.record_count).unwrap_or(0);
                    place.1 = header.last_offset() + 1;
                }
            }
            if place.1 >= part.high_watermark {
                at.retain(|(number, _)| *number != part.partition_index);
            }
        }
    }
    Ok(read)
}

/// A fetch of these places.
pub(crate) fn request(target: &Target, at: &[(i32, i64)], max_wait_ms: i32) -> FetchRequest {
    let partitions = at.iter().map(|(partition, fetch_offset)| FetchPartition {
        partition: *partition,
        fetch_offset: *fetch_offset,
        partition_max_bytes: PARTITION_BYTES,
        ..FetchPartition::default()
    });
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: ANSWER_BYTES,
        topics: vec![FetchTopic { name: target.topic.clone(), partitions: partitions.collect() }],
        ..FetchRequest::default()
    }
}
