//! How long until a broker that is being started acknowledges its first record.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use yeoul_kafka_wire::api::metadata::{MetadataRequest, MetadataRequestTopic};
use yeoul_kafka_wire::api::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use yeoul_log::batch::{BatchBuilder, Codec};

use crate::connection::{Connection, check};
use crate::{Failure, Target, produce};

/// Tried again this often.
const EVERY: Duration = Duration::from_millis(1);
const GIVE_UP: Duration = Duration::from_secs(120);

/// To be started together with the broker.
pub(crate) fn run(target: &Target) -> Result<Value, Failure> {
    let started = Instant::now();
    loop {
        match attempt(target) {
            Ok(()) => return Ok(json!({ "ms": started.elapsed().as_secs_f64() * 1_000.0 })),
            Err(error) if started.elapsed() > GIVE_UP => return Err(error),
            Err(_) => thread::sleep(EVERY),
        }
    }
}

fn attempt(target: &Target) -> Result<(), Failure> {
    const METADATA: i16 = 4;
    let mut connection = Connection::open(&target.addr)?;
    let topic = MetadataRequestTopic {
        name: Some(target.topic.clone()),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    };
    for topic in connection.call(METADATA, request)?.topics {
        check(topic.error_code, "the topic")?;
    }
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(crate::now_ms(), None, Some(b"first"), &[]);
    let partitions = vec![ProducePartition { index: 0, records: builder.finish() }];
    let topics = vec![ProduceTopic { name: target.topic.clone(), partitions }];
    let request = ProduceRequest { acks: -1, timeout_ms: 5_000, topics, ..Default::default() };
    for part in connection
        .call(produce::VERSION, request)?
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
    {
        check(part.error_code, "the first record")?;
    }
    Ok(())
}
