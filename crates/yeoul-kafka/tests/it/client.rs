//! A client with one connection that waits for each answer, or sends raw bytes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use yeoul_kafka_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};
use yeoul_kafka_wire::api::fetch::{
    FetchPartition, FetchRequest, FetchResponsePartition, FetchTopic,
};
use yeoul_kafka_wire::api::produce::{
    ProducePartition, ProduceRequest, ProduceResponsePartition, ProduceTopic,
};
use yeoul_kafka_wire::{ErrorCode, Request, decode_response, encode_request};
use yeoul_log::batch::{BatchBuilder, Codec};

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    id: i32,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(addr).await.expect("connects"), id: 0 }
    }

    /// Sends without waiting; returns the correlation id.
    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: R) -> i32 {
        self.id += 1;
        let frame = encode_request(version, self.id, "it", request).expect("encodes");
        self.stream.write_all(&frame.concat()).await.expect("sends");
        self.id
    }

    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        let read = async {
            let len = self.stream.read_u32().await.ok()?;
            let mut frame = vec![0; len as usize];
            self.stream.read_exact(&mut frame).await.ok()?;
            Some(Bytes::from(frame))
        };
        timeout(Duration::from_secs(20), read).await.expect("an answer or the end in time")
    }

    pub(crate) async fn receive<R: Request>(&mut self, version: i16, id: i32) -> R::Response {
        let frame = self.frame().await.expect("an answer");
        decode_response::<R>(frame, version, id).expect("decodes")
    }

    pub(crate) async fn call<R: Request>(&mut self, version: i16, request: R) -> R::Response {
        let id = self.send(version, request).await;
        self.receive::<R>(version, id).await
    }

    pub(crate) async fn create(&mut self, name: &str, partitions: i32) -> ErrorCode {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        self.call(7, request).await.topics[0].error_code
    }

    pub(crate) async fn produce(&mut self, topic: &str, batch: Bytes) -> ProduceResponsePartition {
        let answer = self.call(9, produce(topic, 0, -1, batch)).await;
        answer.topics[0].partitions[0].clone()
    }

    pub(crate) async fn fetch(&mut self, topic: &str, offset: i64) -> FetchResponsePartition {
        let answer = self.call(12, fetch(topic, offset, 0)).await;
        answer.topics[0].partitions[0].clone()
    }
}

pub(crate) fn produce(topic: &str, partition: i32, acks: i16, batch: Bytes) -> ProduceRequest {
    let partitions = vec![ProducePartition { index: partition, records: Some(batch) }];
    let topics = vec![ProduceTopic { name: topic.into(), partitions }];
    ProduceRequest { acks, timeout_ms: 1000, topics, ..ProduceRequest::default() }
}

pub(crate) fn fetch(topic: &str, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition {
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topics = vec![FetchTopic { name: topic.into(), partitions: vec![partition] }];
    FetchRequest { max_wait_ms, min_bytes: 1, topics, ..FetchRequest::default() }
}

/// A batch of values.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for value in values {
        builder.push(1_000, None, Some(value.as_bytes()), &[]);
    }
    builder.finish().expect("not empty")
}
