//! Records in and out: acknowledgement, order, waiting, what is refused.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::init_producer_id::InitProducerIdRequest;
use yeoul_kafka_wire::api::list_offsets::{
    EARLIEST, LATEST, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic, MAX_TIMESTAMP,
};
use yeoul_kafka_wire::api::metadata::MetadataRequest;
use yeoul_kafka_wire::api::produce::ProduceRequest;
use yeoul_log::batch::{BatchBuilder, Codec, decode};

use crate::Served;
use crate::client::{Client, batch, fetch, produce};

#[tokio::test]
async fn an_offset_inside_a_batch_gets_the_whole_batch() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    assert_eq!(client.produce("t", batch(&["a", "b", "c"])).await.base_offset, 0);
    assert_eq!(client.produce("t", batch(&["d"])).await.base_offset, 3);
    let got = client.fetch("t", 1).await;
    assert_eq!((got.error_code, got.high_watermark), (ErrorCode::NONE, 4));
    let records = decode(&got.records.0[0]).expect("whole");
    assert_eq!(records.first().map(|record| record.offset), Some(0));
    assert_eq!(client.fetch("t", 5).await.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    let nowhere = client.fetch("nope", 0).await;
    assert_eq!(nowhere.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn a_batch_above_every_limit_is_still_given() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    client.produce("t", batch(&["x".repeat(10_000).as_str()])).await;
    let mut request = fetch("t", 0, 0);
    request.max_bytes = 1;
    request.topics[0].partitions[0].partition_max_bytes = 1;
    let got = client.call(12, request).await;
    assert!(got.topics[0].partitions[0].records.len_bytes() > 10_000);
}

#[tokio::test]
async fn a_waiting_fetch_wakes_when_something_is_appended() {
    let served = Served::new().await;
    let mut reader = Client::connect(served.addr).await;
    let mut writer = Client::connect(served.addr).await;
    writer.create("t", 1).await;
    let started = Instant::now();
    let id = reader.send(12, fetch("t", 0, 15_000)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    writer.produce("t", batch(&["a"])).await;
    let got = reader.receive::<yeoul_kafka_wire::api::fetch::FetchRequest>(12, id).await;
    assert!(got.topics[0].partitions[0].records.len_bytes() > 0);
    assert!(started.elapsed() < Duration::from_secs(10), "it waited for its timeout");
    // With nothing to come, it ends at its own time.
    let started = Instant::now();
    let got = reader.call(12, fetch("t", 1, 200)).await;
    assert_eq!(got.topics[0].partitions[0].records.len_bytes(), 0);
    assert!(started.elapsed() >= Duration::from_millis(190));
}

#[tokio::test]
async fn nothing_answers_acks_zero_and_everything_else_keeps_its_order() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    client.send(9, produce("t", 0, 0, batch(&["unasked"]))).await;
    let first = client.send(9, produce("t", 0, 1, batch(&["a"]))).await;
    let middle = client.send(12, MetadataRequest::default()).await;
    let last = client.send(9, produce("t", 0, -1, batch(&["b"]))).await;
    let answer = client.receive::<ProduceRequest>(9, first).await;
    assert_eq!(answer.topics[0].partitions[0].base_offset, 1, "acks 0 came before");
    client.receive::<MetadataRequest>(12, middle).await;
    let answer = client.receive::<ProduceRequest>(9, last).await;
    assert_eq!(answer.topics[0].partitions[0].base_offset, 2);
}

#[tokio::test]
async fn what_a_client_leaves_behind_is_written_all_the_same() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    for _ in 0..20 {
        client.send(9, produce("t", 0, 0, batch(&["a"]))).await;
    }
    drop(client);
    let mut reader = Client::connect(served.addr).await;
    let until = Instant::now() + Duration::from_secs(10);
    while reader.fetch("t", 0).await.high_watermark < 20 {
        assert!(Instant::now() < until, "records were lost with the connection");
    }
}

fn damaged(change: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut bytes = BytesMut::from(batch(&["a"]).as_ref());
    change(&mut bytes);
    bytes.freeze()
}

#[tokio::test]
async fn bad_batches_are_refused_with_their_reason() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    // Says that it is packed; the checksum fits.
    let garbage = |codec: u8| {
        damaged(|bytes| {
            bytes[22] = codec;
            let crc = crc32c::crc32c(&bytes[21..]).to_be_bytes();
            bytes[17..21].copy_from_slice(&crc);
        })
    };
    let cases = [
        (garbage(1), ErrorCode::INVALID_RECORD),
        (garbage(2), ErrorCode::INVALID_RECORD),
        (garbage(3), ErrorCode::INVALID_RECORD),
        (garbage(4), ErrorCode::INVALID_RECORD),
        (damaged(|bytes| bytes[40] ^= 1), ErrorCode::CORRUPT_MESSAGE),
        (damaged(|bytes| bytes[16] = 1), ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT),
        (damaged(|bytes| bytes.truncate(30)), ErrorCode::CORRUPT_MESSAGE),
        (Bytes::new(), ErrorCode::CORRUPT_MESSAGE),
        (batch(&["x".repeat(2_000_000).as_str()]), ErrorCode::MESSAGE_TOO_LARGE),
    ];
    for (bytes, code) in cases {
        let answer = client.produce("t", bytes).await;
        assert_eq!(answer.error_code, code);
        assert!(answer.error_message.is_some(), "{code} says nothing");
    }
    let answer = client.call(9, produce("t", 7, -1, batch(&["a"]))).await;
    let code = answer.topics[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let answer = client.call(9, produce("t", 0, 5, batch(&["a"]))).await;
    let code = answer.topics[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::INVALID_REQUIRED_ACKS);
    assert_eq!(client.fetch("t", 0).await.high_watermark, 0, "something was written");
}

#[tokio::test]
async fn producer_ids_are_given_once() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    let first = client.call(5, InitProducerIdRequest::default()).await;
    let second = client.call(0, InitProducerIdRequest::default()).await;
    assert!(first.producer_id >= 0 && second.producer_id != first.producer_id);
}

/// A batch as an idempotent producer sends it.
fn numbered(producer_id: i64, sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.producer(producer_id, 0, sequence);
    builder.push(1_000, None, Some(b"a"), &[]);
    builder.finish().expect("not empty")
}

#[tokio::test]
async fn a_batch_sent_twice_is_written_once_and_a_gap_is_refused() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    let id = client.call(5, InitProducerIdRequest::default()).await.producer_id;
    for (sequence, offset) in [(0, 0), (1, 1), (1, 1), (0, 0), (2, 2)] {
        let answer = client.produce("t", numbered(id, sequence)).await;
        assert_eq!((answer.error_code, answer.base_offset), (ErrorCode::NONE, offset));
    }
    let gap = client.produce("t", numbered(id, 9)).await;
    assert_eq!(gap.error_code, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(client.fetch("t", 0).await.high_watermark, 3);
}

#[tokio::test]
async fn offsets_are_found_by_place_and_by_time() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    client.produce("t", batch(&["a", "b"])).await;
    let cases = [(EARLIEST, 0), (LATEST, 2), (500, 0), (1_000, 0), (1_001, -1), (MAX_TIMESTAMP, 0)];
    for (timestamp, expected) in cases {
        let partition = ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() };
        let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition] };
        let request = ListOffsetsRequest { topics: vec![topic], ..Default::default() };
        for version in [1, 7] {
            let answer = client.call(version, request.clone()).await;
            assert_eq!(answer.topics[0].partitions[0].offset, expected, "at {timestamp}");
        }
    }
}
