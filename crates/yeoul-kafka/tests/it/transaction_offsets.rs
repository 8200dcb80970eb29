//! Offsets in transactions: pending until the end, then committed or gone.

use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::delete_groups::DeleteGroupsRequest;
use yeoul_kafka_wire::api::delete_topics::DeleteTopicsRequest;
use yeoul_kafka_wire::api::offset_fetch::{
    OffsetFetchGroup, OffsetFetchRequest, OffsetFetchResponsePartition, OffsetFetchTopic,
};

use crate::Served;
use crate::client::Client;
use crate::producer::Producer;

const OK: ErrorCode = ErrorCode::NONE;

/// What group `g` has for partition 0 of topic `t`.
async fn fetched(client: &mut Client, require_stable: bool) -> OffsetFetchResponsePartition {
    let topics = vec![OffsetFetchTopic { name: "t".into(), partition_indexes: vec![0] }];
    let group =
        OffsetFetchGroup { group_id: "g".into(), topics: Some(topics), ..Default::default() };
    let request =
        OffsetFetchRequest { groups: vec![group], require_stable, ..OffsetFetchRequest::default() };
    client.call(8, request).await.groups[0].topics[0].partitions[0].clone()
}

async fn ready() -> (Served, Client, Producer) {
    let (served, mut client) = Served::with_topic().await;
    let producer = Producer::init(&mut client, "p").await;
    (served, client, producer)
}

#[tokio::test]
async fn an_offset_counts_once_its_transaction_is_committed() {
    let (_served, mut client, producer) = ready().await;
    for (committed, offset, before, after) in [(true, 5, -1, 5), (false, 9, 5, 5), (true, 9, 5, 9)]
    {
        assert_eq!(producer.add_group(&mut client, "g").await, OK);
        assert_eq!(producer.commit_offset(&mut client, "g", "t", offset).await, OK);
        let pending = fetched(&mut client, true).await;
        assert_eq!(pending.error_code, ErrorCode::UNSTABLE_OFFSET_COMMIT);
        assert_eq!(pending.committed_offset, -1);
        assert_eq!(fetched(&mut client, false).await.committed_offset, before);
        assert_eq!(producer.end(&mut client, committed).await, OK);
        let found = fetched(&mut client, true).await;
        assert_eq!((found.error_code, found.committed_offset), (OK, after));
        assert_eq!(found.metadata.as_deref(), Some("in a transaction"));
    }
}

#[tokio::test]
async fn offsets_need_their_group_in_the_transaction() {
    let (_served, mut client, producer) = ready().await;
    let code = producer.commit_offset(&mut client, "g", "t", 1).await;
    assert_eq!(code, ErrorCode::INVALID_TXN_STATE, "nothing was begun");
    assert_eq!(producer.add_group(&mut client, "other").await, OK);
    let code = producer.commit_offset(&mut client, "g", "t", 1).await;
    assert_eq!(code, ErrorCode::INVALID_TXN_STATE, "another group is in it");
    let answer = client.call(4, producer.offset_request("g", "t", 1)).await;
    let code = answer.topics[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::TRANSACTION_ABORTABLE);
    assert_eq!(producer.add_group(&mut client, "g").await, OK);
    let code = producer.commit_offset(&mut client, "g", "nope", 1).await;
    assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    // Somebody who says to be a member, and is not.
    let mut request = producer.offset_request("g", "t", 1);
    request.generation_id = 3;
    request.member_id = "ghost".into();
    let code = client.call(3, request).await.topics[0].partitions[0].error_code;
    assert!(
        [ErrorCode::ILLEGAL_GENERATION, ErrorCode::UNKNOWN_MEMBER_ID].contains(&code),
        "{code}"
    );
    assert_eq!(producer.end(&mut client, true).await, OK);
    let code = producer.commit_offset(&mut client, "g", "t", 1).await;
    assert_eq!(code, ErrorCode::INVALID_TXN_STATE, "it has ended");
    assert_eq!(fetched(&mut client, true).await.committed_offset, -1);
}

#[tokio::test]
async fn a_deleted_topic_or_group_takes_its_pending_offsets_along() {
    let (served, mut client, producer) = ready().await;
    assert_eq!(producer.add_group(&mut client, "g").await, OK);
    assert_eq!(producer.commit_offset(&mut client, "g", "t", 5).await, OK);
    let request = DeleteTopicsRequest { topic_names: vec!["t".into()], ..Default::default() };
    client.call(1, request).await;
    client.create("t", 1).await;
    assert_eq!(producer.end(&mut client, true).await, OK);
    assert_eq!(fetched(&mut client, true).await.committed_offset, -1);
    assert!(served.groups.list().is_empty());

    assert_eq!(producer.add_group(&mut client, "g").await, OK);
    assert_eq!(producer.commit_offset(&mut client, "g", "t", 5).await, OK);
    let request = DeleteGroupsRequest { group_names: vec!["g".into()] };
    assert_eq!(client.call(2, request).await.results[0].error_code, OK);
    assert_eq!(producer.end(&mut client, true).await, OK);
    assert_eq!(fetched(&mut client, true).await.committed_offset, -1);
    assert!(served.groups.list().is_empty());
}

#[tokio::test]
async fn who_is_fenced_loses_its_pending_offsets() {
    let (_served, mut client, zombie) = ready().await;
    assert_eq!(zombie.add_group(&mut client, "g").await, OK);
    assert_eq!(zombie.commit_offset(&mut client, "g", "t", 5).await, OK);
    Producer::init(&mut client, "p").await;
    let found = fetched(&mut client, true).await;
    assert_eq!((found.error_code, found.committed_offset), (OK, -1));
    assert_eq!(zombie.end(&mut client, true).await, ErrorCode::PRODUCER_FENCED);
}
