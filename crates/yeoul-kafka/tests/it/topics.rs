//! Topics: created, shown at once, described, deleted.

use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::api_versions::ApiVersionsRequest;
use yeoul_kafka_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};
use yeoul_kafka_wire::api::delete_topics::{DeletableTopic, DeleteTopicsRequest};
use yeoul_kafka_wire::api::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, TOPIC,
};
use yeoul_kafka_wire::api::metadata::{MetadataRequest, MetadataRequestTopic, MetadataTopic};

use crate::Served;
use crate::client::{Client, batch};

async fn metadata(client: &mut Client, version: i16, name: &str, create: bool) -> MetadataTopic {
    let topic = MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: create,
        ..MetadataRequest::default()
    };
    client.call(version, request).await.topics[0].clone()
}

#[tokio::test]
async fn a_created_topic_has_its_leaders_in_the_next_answer() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    assert_eq!(client.create("t", 3).await, ErrorCode::NONE);
    for version in 0..=12 {
        let topic = metadata(&mut client, version, "t", false).await;
        assert_eq!(topic.error_code, ErrorCode::NONE);
        assert_eq!(topic.partitions.len(), 3);
        assert!(topic.partitions.iter().all(|partition| partition.leader_id == 1));
    }
    assert_eq!(client.create("t", 3).await, ErrorCode::TOPIC_ALREADY_EXISTS);
    assert_eq!(client.create("no/slash", 1).await, ErrorCode::INVALID_TOPIC_EXCEPTION);
    assert_eq!(client.create("zero", 0).await, ErrorCode::INVALID_PARTITIONS);
    assert_eq!(client.create("a.b", 1).await, ErrorCode::NONE);
    assert_eq!(client.create("a_b", 1).await, ErrorCode::INVALID_TOPIC_EXCEPTION);
}

#[tokio::test]
async fn clients_are_told_the_address_they_came_to() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    let answer = client.call(12, MetadataRequest::default()).await;
    assert_eq!(answer.brokers[0].host, "127.0.0.1");
    assert_eq!(answer.brokers[0].port, i32::from(served.addr.port()));
}

#[tokio::test]
async fn asking_for_a_topic_creates_it_only_where_that_is_meant() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    let missing = metadata(&mut client, 12, "later", false).await;
    assert_eq!(missing.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    // Versions before 4 cannot say no.
    let made = metadata(&mut client, 1, "later", false).await;
    assert_eq!((made.error_code, made.partitions.len()), (ErrorCode::NONE, 1));
    let made = metadata(&mut client, 12, "other", true).await;
    assert_eq!(made.error_code, ErrorCode::NONE);
    let bad = metadata(&mut client, 12, "..", true).await;
    assert_eq!(bad.error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
}

#[tokio::test]
async fn a_topic_made_again_has_another_id_and_begins_at_zero() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    let first = metadata(&mut client, 12, "t", false).await.topic_id;
    client.produce("t", batch(&["a", "b"])).await;
    let topic = DeletableTopic { topic_id: first, ..DeletableTopic::default() };
    let request = DeleteTopicsRequest { topics: vec![topic], ..Default::default() };
    let deleted = client.call(6, request).await;
    assert_eq!(deleted.responses[0].error_code, ErrorCode::NONE);
    client.create("t", 1).await;
    assert_ne!(metadata(&mut client, 12, "t", false).await.topic_id, first);
    assert_eq!(client.produce("t", batch(&["c"])).await.base_offset, 0);
}

#[tokio::test]
async fn configs_are_never_null_and_say_where_they_come_from() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    let topic = CreatableTopic {
        name: "t".into(),
        num_partitions: -1,
        replication_factor: -1,
        configs: vec![yeoul_kafka_wire::api::create_topics::CreatableConfig {
            name: "retention.ms".into(),
            value: Some("1000".into()),
        }],
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    let made = client.call(5, request).await;
    let configs = made.topics[0].configs.as_ref().expect("Java's admin client fails on null");
    assert!(configs.iter().any(|config| config.name == "cleanup.policy"));
    let resource = DescribeConfigsResource {
        resource_type: TOPIC,
        resource_name: "t".into(),
        configuration_keys: Some(vec!["retention.ms".into(), "retention.bytes".into()]),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let described = client.call(4, request).await;
    let found: Vec<_> = described.results[0]
        .configs
        .iter()
        .map(|c| (c.name.as_str(), c.value.as_deref(), c.config_source))
        .collect();
    let expected = [("retention.bytes", Some("-1"), 5), ("retention.ms", Some("1000"), 1)];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_version_from_the_future_is_answered_in_the_oldest_shape() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    let id = client.send(4, ApiVersionsRequest::default()).await;
    let answer = client.receive::<ApiVersionsRequest>(4, id).await;
    assert_eq!(answer.error_code, ErrorCode::NONE);
    // Version 99 with a body nobody knows.
    let future = [0, 18, 0, 99, 0, 0, 0, 9, 0xff, 0xff, 1, 2, 3];
    let mut frame = vec![0, 0, 0, future.len() as u8];
    frame.extend(future);
    tokio::io::AsyncWriteExt::write_all(&mut client.stream, &frame).await.expect("sends");
    let answer = client.receive::<ApiVersionsRequest>(0, 9).await;
    assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_VERSION);
    assert!(answer.api_keys.iter().any(|api| api.api_key == 0 && api.min_version == 0));
}
