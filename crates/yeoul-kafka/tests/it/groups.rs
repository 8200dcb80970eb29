//! Consumer groups over the wire: joining, sharing, and offsets that outlive the node.

use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use yeoul_kafka::{GroupOptions, KafkaOptions};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::describe_groups::DescribeGroupsRequest;
use yeoul_kafka_wire::api::heartbeat::HeartbeatRequest;
use yeoul_kafka_wire::api::join_group::{JoinGroupProtocol, JoinGroupRequest, JoinGroupResponse};
use yeoul_kafka_wire::api::leave_group::{LeaveGroupRequest, LeavingMember};
use yeoul_kafka_wire::api::list_groups::ListGroupsRequest;
use yeoul_kafka_wire::api::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic,
};
use yeoul_kafka_wire::api::offset_fetch::{
    OffsetFetchGroup, OffsetFetchRequest, OffsetFetchResponsePartition, OffsetFetchTopic,
};
use yeoul_kafka_wire::api::sync_group::{SyncGroupAssignment, SyncGroupRequest};

use crate::Served;
use crate::client::{Client, batch};

pub(crate) fn join_request(member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member_id.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupProtocol {
            name: "range".into(),
            metadata: Bytes::from_static(b"m"),
        }],
        ..JoinGroupRequest::default()
    }
}

/// Joins as clients do: is given an id, comes back with it.
async fn join(client: &mut Client) -> JoinGroupResponse {
    let told = client.call(9, join_request("")).await;
    assert_eq!(told.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    client.call(9, join_request(&told.member_id)).await
}

async fn sync(client: &mut Client, joined: &JoinGroupResponse) -> (ErrorCode, Bytes) {
    let assignments = joined
        .members
        .iter()
        .map(|member| SyncGroupAssignment {
            member_id: member.member_id.clone(),
            assignment: Bytes::from(format!("for {}", member.member_id)),
        })
        .collect();
    let request = SyncGroupRequest {
        group_id: "g".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments,
        ..SyncGroupRequest::default()
    };
    let answer = client.call(5, request).await;
    (answer.error_code, answer.assignment)
}

async fn heartbeat(client: &mut Client, joined: &JoinGroupResponse) -> ErrorCode {
    let request = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        group_instance_id: None,
    };
    client.call(4, request).await.error_code
}

pub(crate) async fn commit(
    client: &mut Client,
    joined: Option<&JoinGroupResponse>,
    offset: i64,
) -> ErrorCode {
    let partition = OffsetCommitPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_metadata: Some("note".into()),
        ..OffsetCommitPartition::default()
    };
    let topic = OffsetCommitTopic { name: "t".into(), partitions: vec![partition] };
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id: joined.map_or(-1, |joined| joined.generation_id),
        member_id: joined.map(|joined| joined.member_id.clone()).unwrap_or_default(),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    client.call(8, request).await.topics[0].partitions[0].error_code
}

async fn committed(client: &mut Client) -> Option<OffsetFetchResponsePartition> {
    let group = OffsetFetchGroup { group_id: "g".into(), ..OffsetFetchGroup::default() };
    let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
    let answer = client.call(9, request).await;
    answer.groups[0].topics.first().map(|topic| topic.partitions[0].clone())
}

#[tokio::test]
async fn two_members_share_and_the_second_leaving_gives_back() {
    let served = Served::new().await;
    let mut one = Client::connect(served.addr).await;
    let mut two = Client::connect(served.addr).await;
    let alone = join(&mut one).await;
    assert_eq!((alone.error_code, alone.members.len()), (ErrorCode::NONE, 1));
    let (code, assignment) = sync(&mut one, &alone).await;
    assert_eq!((code, assignment), (ErrorCode::NONE, format!("for {}", alone.member_id).into()));

    // The second waits until the first has heard of it and joined again.
    let told = two.call(9, join_request("")).await;
    let waiting = two.send(9, join_request(&told.member_id)).await;
    while heartbeat(&mut one, &alone).await != ErrorCode::REBALANCE_IN_PROGRESS {}
    let leader = one.call(9, join_request(&alone.member_id)).await;
    let follower = two.receive::<JoinGroupRequest>(9, waiting).await;
    assert_eq!(leader.generation_id, alone.generation_id + 1);
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    assert_eq!(leader.leader, follower.leader);

    let request = SyncGroupRequest {
        group_id: "g".into(),
        generation_id: follower.generation_id,
        member_id: follower.member_id.clone(),
        ..SyncGroupRequest::default()
    };
    let early = two.send(5, request).await;
    sync(&mut one, &leader).await;
    let answer = two.receive::<SyncGroupRequest>(5, early).await;
    assert_eq!(answer.assignment, format!("for {}", follower.member_id));
    assert_eq!(heartbeat(&mut one, &alone).await, ErrorCode::ILLEGAL_GENERATION);
    let listed = served.groups.list();
    assert_eq!((listed[0].state, listed[0].members.len()), ("Stable", 2));

    let member = LeavingMember { member_id: follower.member_id.clone(), ..Default::default() };
    let request =
        LeaveGroupRequest { group_id: "g".into(), members: vec![member], ..Default::default() };
    let left = two.call(5, request).await;
    assert_eq!(left.members[0].error_code, ErrorCode::NONE);
    assert_eq!(heartbeat(&mut one, &leader).await, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(heartbeat(&mut two, &follower).await, ErrorCode::UNKNOWN_MEMBER_ID);
    let alone_again = one.call(9, join_request(&alone.member_id)).await;
    assert_eq!(alone_again.members.len(), 1);
}

#[tokio::test]
async fn committed_offsets_outlive_the_node() {
    let dir = TempDir::new().expect("a folder");
    let served = Served::at(dir.path(), KafkaOptions::default()).await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    client.produce("t", batch(&["a", "b", "c"])).await;
    let joined = join(&mut client).await;
    sync(&mut client, &joined).await;
    assert_eq!(commit(&mut client, Some(&joined), 2).await, ErrorCode::NONE);
    // Somebody who is not a member may not, as long as there are members.
    assert_eq!(commit(&mut client, None, 0).await, ErrorCode::UNKNOWN_MEMBER_ID);
    let lag = served.groups.list()[0].offsets[0].clone();
    assert_eq!((lag.topic.as_str(), lag.committed, lag.lag), ("t", 2, 1));
    served.stop().await;

    let served = Served::at(dir.path(), KafkaOptions::default()).await;
    let mut client = Client::connect(served.addr).await;
    assert_eq!(heartbeat(&mut client, &joined).await, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(commit(&mut client, Some(&joined), 0).await, ErrorCode::ILLEGAL_GENERATION);
    let found = committed(&mut client).await.expect("still there");
    assert_eq!((found.committed_offset, found.metadata.as_deref()), (2, Some("note")));
    assert_eq!(served.groups.list()[0].state, "Empty");
    // Without members anybody may set it, as tools that reset offsets do.
    assert_eq!(commit(&mut client, None, 1).await, ErrorCode::NONE);
    assert_eq!(committed(&mut client).await.map(|found| found.committed_offset), Some(1));
}

#[tokio::test]
async fn offsets_expire_over_a_restart_and_by_themselves() {
    let dir = TempDir::new().expect("a folder");
    let served = Served::at(dir.path(), KafkaOptions::default()).await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    assert_eq!(commit(&mut client, None, 5).await, ErrorCode::NONE);
    served.stop().await;
    let groups = GroupOptions {
        offsets_retention: Duration::from_millis(300),
        offsets_check_every: Duration::from_millis(50),
        ..GroupOptions::default()
    };
    let served = Served::at(dir.path(), KafkaOptions { groups, ..KafkaOptions::default() }).await;
    let mut client = Client::connect(served.addr).await;
    while committed(&mut client).await.is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(served.groups.list().is_empty());
}

#[tokio::test]
async fn groups_are_listed_by_state_and_type_and_an_unknown_one_is_dead() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    let joined = join(&mut client).await;
    sync(&mut client, &joined).await;
    let list = |states: &[&str], types: &[&str]| ListGroupsRequest {
        states_filter: states.iter().map(|state| (*state).to_owned()).collect(),
        types_filter: types.iter().map(|kind| (*kind).to_owned()).collect(),
    };
    for (states, types, count) in [
        (&[][..], &[][..], 1),
        (&["stable"], &[], 1),
        (&["Empty", "Dead"], &[], 0),
        (&[], &["Classic"], 1),
        (&[], &["consumer"], 0),
    ] {
        let listed = client.call(5, list(states, types)).await.groups;
        assert_eq!(listed.len(), count, "{states:?} {types:?}");
        for group in listed {
            assert_eq!((group.group_id.as_str(), group.protocol_type.as_str()), ("g", "consumer"));
            assert_eq!(
                (group.group_state.as_str(), group.group_type.as_str()),
                ("Stable", "classic")
            );
        }
    }
    for version in 0..=5 {
        let request = DescribeGroupsRequest {
            groups: vec!["g".into(), "nobody".into()],
            ..DescribeGroupsRequest::default()
        };
        let described = client.call(version, request).await.groups;
        assert_eq!((described[0].group_state.as_str(), described[0].members.len()), ("Stable", 1));
        assert_eq!(described[0].protocol_data, "range");
        assert_eq!(described[0].members[0].client_host, "/127.0.0.1");
        assert_eq!(described[1].group_state, "Dead");
        assert_eq!(described[1].error_code, ErrorCode::NONE);
    }
}

#[tokio::test]
async fn offsets_are_fetched_for_one_for_all_and_for_many_groups() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 2).await;
    assert_eq!(commit(&mut client, None, 5).await, ErrorCode::NONE);
    for version in 1..=7 {
        let topic = OffsetFetchTopic { name: "t".into(), partition_indexes: vec![0, 1] };
        let asked = OffsetFetchRequest {
            group_id: "g".into(),
            topics: Some(vec![topic]),
            ..OffsetFetchRequest::default()
        };
        let answer = client.call(version, asked).await;
        let found: Vec<_> = answer.topics[0]
            .partitions
            .iter()
            .map(|p| (p.partition_index, p.committed_offset, p.metadata.as_deref()))
            .collect();
        assert_eq!(found, [(0, 5, Some("note")), (1, -1, Some(""))]);
        if version >= 2 {
            let all = OffsetFetchRequest {
                group_id: "g".into(),
                topics: None,
                ..OffsetFetchRequest::default()
            };
            let answer = client.call(version, all).await;
            assert_eq!(answer.topics[0].partitions.len(), 1);
        }
    }
    let group = |name: &str| OffsetFetchGroup { group_id: name.into(), ..Default::default() };
    let request = OffsetFetchRequest {
        groups: vec![group("other"), group("g")],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    let answer = client.call(8, request).await;
    let counts: Vec<_> =
        answer.groups.iter().map(|g| (g.group_id.as_str(), g.topics.len())).collect();
    assert_eq!(counts, [("other", 0), ("g", 1)]);
}

#[tokio::test]
async fn a_deleted_topic_takes_its_offsets_along() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    commit(&mut client, None, 5).await;
    assert!(committed(&mut client).await.is_some());
    let request = yeoul_kafka_wire::api::delete_topics::DeleteTopicsRequest {
        topic_names: vec!["t".into()],
        ..Default::default()
    };
    client.call(1, request).await;
    client.create("t", 1).await;
    assert!(committed(&mut client).await.is_none());
    assert!(served.groups.list().is_empty());
}
