//! What clients and tools of the JVM found: each request as they send it, with the answer they need.
//! `interop/jvm` runs the programs themselves.

use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};
use yeoul_kafka_wire::api::metadata::{MetadataRequest, MetadataRequestTopic};

use crate::Served;
use crate::client::Client;

fn by_id(topic_id: [u8; 16], name: Option<&str>) -> MetadataRequest {
    let topic = MetadataRequestTopic { topic_id, name: name.map(Into::into) };
    MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    }
}

/// Java's admin client describes topics by id with a name that is empty, not null.
#[tokio::test]
async fn an_id_counts_beside_an_empty_name() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    let all = client.call(12, MetadataRequest::default()).await;
    let id = all.topics[0].topic_id;
    for name in [Some(""), None] {
        let seen = client.call(12, by_id(id, name)).await.topics.remove(0);
        assert_eq!(seen.error_code, ErrorCode::NONE);
        assert_eq!((seen.name.as_deref(), seen.topic_id), (Some("t"), id));
        let unknown = client.call(12, by_id([9; 16], name)).await.topics.remove(0);
        assert_eq!(unknown.error_code, ErrorCode::UNKNOWN_TOPIC_ID);
        assert_eq!((unknown.name, unknown.topic_id), (None, [9; 16]));
    }
}

/// Scripts around Kafka's tools look for these words in what a failed creation prints.
#[tokio::test]
async fn a_topic_already_exists_in_kafkas_words() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    let topic = CreatableTopic {
        name: "t".into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    let again = client.call(7, request).await.topics.remove(0);
    assert_eq!(again.error_code, ErrorCode::TOPIC_ALREADY_EXISTS);
    let said = again.error_message.unwrap_or_default();
    assert!(said.contains("already exists"), "{said}");
}
