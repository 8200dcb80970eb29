//! What has tripped clients of other brokers, one test each. Some stand beside their subject:
//! a waiting fetch, `acks` 0 and a batch above every limit in `records.rs`, leaders right after
//! CreateTopics and a version of ApiVersions from the future in `topics.rs`.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use yeoul_kafka::KafkaOptions;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::ApiKey;
use yeoul_kafka_wire::api::api_versions::ApiVersionsRequest;
use yeoul_kafka_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};
use yeoul_kafka_wire::api::delete_topics::{DeletableTopic, DeleteTopicsRequest};
use yeoul_kafka_wire::api::fetch::FetchRequest;
use yeoul_kafka_wire::api::list_offsets::{
    LATEST, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponsePartition,
    ListOffsetsTopic, MAX_TIMESTAMP,
};
use yeoul_kafka_wire::api::metadata::{MetadataRequest, MetadataRequestTopic, MetadataTopic};
use yeoul_kafka_wire::api::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic,
};
use yeoul_kafka_wire::api::offset_fetch::{OffsetFetchGroup, OffsetFetchRequest};
use yeoul_log::batch::{BatchBuilder, Codec, Header, decode};

use crate::Served;
use crate::client::{Client, batch, fetch};

async fn metadata(client: &mut Client, topic: MetadataRequestTopic) -> MetadataTopic {
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    };
    client.call(12, request).await.topics[0].clone()
}

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic { name: Some(name.into()), ..MetadataRequestTopic::default() }
}

async fn list_offset(client: &mut Client, timestamp: i64) -> ListOffsetsResponsePartition {
    let partition = ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition] };
    let request = ListOffsetsRequest { topics: vec![topic], ..Default::default() };
    client.call(7, request).await.topics[0].partitions[0].clone()
}

#[tokio::test]
async fn metadata_13_is_not_offered_and_produce_is_offered_from_0() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    let offered = client.call(3, ApiVersionsRequest::default()).await.api_keys;
    let range = |key: ApiKey| {
        let api = offered.iter().find(|api| api.api_key == key as i16).expect("offered");
        (api.min_version, api.max_version)
    };
    assert_eq!(range(ApiKey::Metadata), (0, 12), "13 sent Java into endless re-bootstrapping");
    assert_eq!(range(ApiKey::Produce).0, 0, "librdkafka compresses only when it sees 0");
}

#[tokio::test]
async fn configs_of_a_created_topic_are_not_null_from_version_5_on() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    for version in 5..=7 {
        for validate_only in [true, false] {
            let topic = CreatableTopic {
                name: format!("t{version}"),
                num_partitions: -1,
                replication_factor: -1,
                ..CreatableTopic::default()
            };
            let request =
                CreateTopicsRequest { topics: vec![topic], validate_only, ..Default::default() };
            let made = client.call(version, request).await.topics[0].clone();
            assert_eq!(made.error_code, ErrorCode::NONE);
            assert!(made.configs.is_some_and(|configs| !configs.is_empty()));
        }
    }
}

#[tokio::test]
async fn topics_are_created_on_demand_with_the_configured_partitions() {
    let options = KafkaOptions { default_partitions: 3, ..KafkaOptions::default() };
    assert!(options.auto_create, "the default");
    let served = Served::with(options.clone()).await;
    let mut client = Client::connect(served.addr).await;
    assert_eq!(metadata(&mut client, named("t")).await.partitions.len(), 3);
    let collides = client.create("t.b", 1).await;
    assert_eq!(collides, ErrorCode::NONE);
    let refused = metadata(&mut client, named("t_b")).await;
    assert_eq!(refused.error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);

    let served = Served::with(KafkaOptions { auto_create: false, ..options }).await;
    let mut client = Client::connect(served.addr).await;
    let missing = metadata(&mut client, named("t")).await;
    assert_eq!(missing.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn an_offset_inside_a_compressed_batch_gets_the_whole_batch_and_is_found_by_time() {
    let served = Served::new().await;
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let topic = format!("{codec:?}");
        let mut client = Client::connect(served.addr).await;
        client.create(&topic, 1).await;
        let mut builder = BatchBuilder::new(codec);
        for at in 0..10 {
            builder.push(1_000 + 10 * at, None, Some(b"value"), &[]);
        }
        client.produce(&topic, builder.finish().expect("not empty")).await;
        let got = client.fetch(&topic, 7).await;
        let records = decode(&got.records.0[0]).expect("whole");
        assert_eq!((records.len(), records[0].offset), (10, 0));

        for (timestamp, expected) in [
            (0, (0, 1_000)),
            (1_000, (0, 1_000)),
            (1_041, (5, 1_050)),
            (1_090, (9, 1_090)),
            (1_091, (-1, -1)),
        ] {
            let partition = ListOffsetsPartition { timestamp, ..Default::default() };
            let asked = ListOffsetsTopic { name: topic.clone(), partitions: vec![partition] };
            let request = ListOffsetsRequest { topics: vec![asked], ..Default::default() };
            let found = client.call(7, request).await.topics[0].partitions[0].clone();
            assert_eq!((found.offset, found.timestamp), expected, "{topic} at {timestamp}");
        }
    }
}

#[tokio::test]
async fn nothing_found_is_minus_one_without_an_error() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    for timestamp in [0, 1_000, MAX_TIMESTAMP] {
        let found = list_offset(&mut client, timestamp).await;
        assert_eq!(found.error_code, ErrorCode::NONE);
        assert_eq!((found.offset, found.timestamp, found.leader_epoch), (-1, -1, -1));
    }
    assert_eq!(list_offset(&mut client, LATEST).await.offset, 0);
}

#[tokio::test]
async fn nulls_empties_and_headers_with_one_name_come_back_as_they_were() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    let header = |name: &'static str, value: Option<&'static [u8]>| Header {
        name: Bytes::from_static(name.as_bytes()),
        value: value.map(Bytes::from_static),
    };
    let headers = [
        header("h", Some(b"1")),
        header("h", Some(b"2")),
        header("h", None),
        header("", Some(b"")),
    ];
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1, None, None, &headers);
    builder.push(2, Some(b""), Some(b""), &[]);
    let sent = builder.finish().expect("not empty");
    client.produce("t", sent.clone()).await;
    let got = client.fetch("t", 0).await.records.0[0].clone();
    // The broker's are the base offset and the leader epoch, nothing else.
    assert_eq!((&got[8..12], &got[16..]), (&sent[8..12], &sent[16..]));
    let records = decode(&got).expect("whole");
    assert_eq!((&records[0].key, &records[0].value), (&None, &None));
    assert_eq!(records[0].headers, headers);
    let empty = Some(Bytes::new());
    assert_eq!((&records[1].key, &records[1].value), (&empty, &empty));
}

#[tokio::test]
async fn the_text_beside_an_offset_comes_back() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    for (sent, expected) in [(Some("a note"), "a note"), (Some(""), ""), (None, "")] {
        let partition = OffsetCommitPartition {
            committed_offset: 5,
            committed_metadata: sent.map(str::to_owned),
            ..OffsetCommitPartition::default()
        };
        let topic = OffsetCommitTopic { name: "t".into(), partitions: vec![partition] };
        let request = OffsetCommitRequest {
            group_id: "g".into(),
            generation_id: -1,
            topics: vec![topic],
            ..OffsetCommitRequest::default()
        };
        let done = client.call(8, request.clone()).await;
        assert_eq!(done.topics[0].partitions[0].error_code, ErrorCode::NONE);
        let group = OffsetFetchGroup { group_id: "g".into(), ..OffsetFetchGroup::default() };
        let asked = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
        let found = client.call(8, asked).await.groups[0].topics[0].partitions[0].clone();
        assert_eq!(found.metadata.as_deref(), Some(expected));
        let mut long = request;
        long.topics[0].partitions[0].committed_metadata = Some("x".repeat(4_097));
        let refused = client.call(8, long).await.topics[0].partitions[0].error_code;
        assert_eq!(refused, ErrorCode::OFFSET_METADATA_TOO_LARGE);
    }
}

#[tokio::test]
async fn a_reader_of_a_topic_that_was_made_again_notices() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    client.produce("t", batch(&["a", "b", "c"])).await;
    let old = metadata(&mut client, named("t")).await.topic_id;
    let by_id = |topic_id| DeleteTopicsRequest {
        topics: vec![DeletableTopic { topic_id, ..DeletableTopic::default() }],
        ..DeleteTopicsRequest::default()
    };
    let deleted = client.call(6, by_id(old)).await.responses[0].clone();
    assert_eq!((deleted.error_code, deleted.name.as_deref()), (ErrorCode::NONE, Some("t")));
    let gone = client.fetch("t", 3).await.error_code;
    assert_eq!(gone, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    client.create("t", 1).await;

    let asked = MetadataRequestTopic { topic_id: old, name: None };
    let by_old_id = metadata(&mut client, asked).await;
    assert_eq!(by_old_id.error_code, ErrorCode::UNKNOWN_TOPIC_ID);
    let refused = client.call(6, by_id(old)).await.responses[0].error_code;
    assert_eq!(refused, ErrorCode::UNKNOWN_TOPIC_ID);
    let new = metadata(&mut client, named("t")).await;
    assert_eq!(new.error_code, ErrorCode::NONE);
    assert_ne!(new.topic_id, old);
    assert_eq!(client.fetch("t", 3).await.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(client.produce("t", batch(&["x"])).await.base_offset, 0);
    assert_eq!(client.fetch("t", 3).await.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
}

#[tokio::test]
async fn a_fetch_waits_for_min_bytes_and_each_append_is_looked_at() {
    let served = Served::new().await;
    let mut reader = Client::connect(served.addr).await;
    let mut writer = Client::connect(served.addr).await;
    writer.create("t", 1).await;
    let one = batch(&["x".repeat(1_000).as_str()]);
    let mut request = fetch("t", 0, 15_000);
    request.min_bytes = i32::try_from(2 * one.len()).expect("small");
    let started = Instant::now();
    let id = reader.send(12, request).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        writer.produce("t", one.clone()).await;
    }
    let got = reader.receive::<FetchRequest>(12, id).await;
    assert_eq!(got.topics[0].partitions[0].records.len_bytes(), 2 * one.len());
    assert!(started.elapsed() < Duration::from_secs(10), "it waited for its timeout");
}
