//! This node's own streams, tables and sinks as consumer groups.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use yeoul_base::Store;
use yeoul_kafka::{ComponentGroup, ComponentGroups, ComponentOffset, KafkaOptions};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::delete_groups::DeleteGroupsRequest;
use yeoul_kafka_wire::api::describe_groups::DescribeGroupsRequest;
use yeoul_kafka_wire::api::list_groups::ListGroupsRequest;
use yeoul_kafka_wire::api::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic,
};
use yeoul_kafka_wire::api::offset_fetch::{OffsetFetchGroup, OffsetFetchRequest, OffsetFetchTopic};

use crate::Served;
use crate::client::{Client, batch};
use crate::groups::join_request;

const NAME: &str = "stream/korean_movies";

/// One stream that has read some of one partition.
#[derive(Debug, Default)]
struct OneStream(Mutex<Vec<ComponentGroup>>);

impl ComponentGroups for OneStream {
    fn groups(&self) -> Vec<ComponentGroup> {
        self.0.lock().expect("not poisoned").clone()
    }
}

async fn served() -> (Served, Client, Arc<OneStream>) {
    let stream = Arc::new(OneStream::default());
    let components: Arc<dyn ComponentGroups> = stream.clone();
    let options = KafkaOptions { components: Some(components), ..KafkaOptions::default() };
    let served = Served::with(options).await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 2).await;
    client.produce("t", batch(&["a", "b", "c"])).await;
    let part = served.log.topics().get("t").expect("it is there").partitions[0];
    *stream.0.lock().expect("not poisoned") = vec![ComponentGroup {
        name: NAME.into(),
        running: true,
        offsets: vec![ComponentOffset { topic: "t".into(), partition: 0, part, committed: 2 }],
    }];
    (served, client, stream)
}

#[tokio::test]
async fn a_stream_is_listed_described_and_has_offsets_like_a_consumer_group() {
    let (served, mut client, stream) = served().await;
    let listed = client.call(5, ListGroupsRequest::default()).await.groups;
    let shown: Vec<_> =
        listed.iter().map(|g| (g.group_id.as_str(), g.group_state.as_str())).collect();
    assert_eq!(shown, [(NAME, "Stable")]);

    let request = DescribeGroupsRequest { groups: vec![NAME.into()], ..Default::default() };
    let described = client.call(5, request.clone()).await.groups[0].clone();
    assert_eq!(described.protocol_type, "consumer");
    let member = &described.members[0];
    assert_eq!(member.client_id, format!("yeoul {NAME}"));
    // Version, topics, "t", partitions, 0, no user data: what tools take apart.
    let assignment = b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0\xff\xff\xff\xff";
    assert_eq!(member.member_assignment, Bytes::from_static(assignment));
    assert_eq!(
        member.member_metadata,
        Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff")
    );

    let topic = OffsetFetchTopic { name: "t".into(), partition_indexes: vec![0, 1] };
    for topics in [Some(vec![topic]), None] {
        let all = topics.is_none();
        let group = OffsetFetchGroup { group_id: NAME.into(), topics, ..Default::default() };
        let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
        let answer = client.call(9, request).await.groups[0].topics[0].clone();
        let found: Vec<_> =
            answer.partitions.iter().map(|p| (p.partition_index, p.committed_offset)).collect();
        assert_eq!(found, if all { vec![(0, 2)] } else { vec![(0, 2), (1, -1)] });
    }
    assert_eq!(served.groups.list()[0].offsets[0].lag, 1);

    stream.0.lock().expect("not poisoned")[0].running = false;
    let described = client.call(5, request).await.groups[0].clone();
    assert_eq!((described.group_state.as_str(), described.members.len()), ("Empty", 0));
}

#[tokio::test]
async fn nobody_joins_commits_for_or_deletes_a_stream() {
    let (served, mut client, _) = served().await;
    let mut request = join_request("");
    request.group_id = NAME.into();
    let refused = client.call(9, request).await;
    assert_eq!(refused.error_code, ErrorCode::GROUP_AUTHORIZATION_FAILED);
    let partition = OffsetCommitPartition { committed_offset: 0, ..Default::default() };
    let topic = OffsetCommitTopic { name: "t".into(), partitions: vec![partition] };
    let request = OffsetCommitRequest {
        group_id: NAME.into(),
        generation_id: -1,
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    let refused = client.call(8, request).await.topics[0].partitions[0].error_code;
    assert_eq!(refused, ErrorCode::GROUP_AUTHORIZATION_FAILED);
    let request = DeleteGroupsRequest { group_names: vec![NAME.into()] };
    let refused = client.call(2, request).await.results[0].error_code;
    assert_eq!(refused, ErrorCode::GROUP_AUTHORIZATION_FAILED);
    assert_eq!(served.groups.list()[0].offsets[0].committed, 2);
}
